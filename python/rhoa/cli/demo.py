"""Verbs about rhoa itself: `demo`, `bench`, `info`."""

from __future__ import annotations

import importlib
import operator
import platform
import statistics
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rhoa import _core
from rhoa.cli.common import VerbResult, bar, figures_of_test
from rhoa.cohort import build
from rhoa.cohort.manifest import ct_ap_of
from rhoa.errors import ParameterError, install_line, require_count, require_extra
from rhoa.files import atomic_write
from rhoa.hips import boxes
from rhoa.parallel import thread_count
from rhoa.pose import Alignment
from rhoa.projection import ctap
from rhoa.projection.render import DEFAULT_WINDOW
from rhoa.projection.slabs import cumulative, thin_slab
from rhoa.radiograph import Radiograph
from rhoa.raster import draw_box, encode_png, picture_label, resize
from rhoa.reading import read_ct
from rhoa.report.write import EXPLAINED, write_windows
from rhoa.study import Plan, conduct
from rhoa.study.runner import WEIGHTS_FILE
from rhoa.volume import Volume

if TYPE_CHECKING:
    import argparse
    from argparse import Namespace
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from rhoa.cohort import Manifest
    from rhoa.learning import Recipe
    from rhoa.projection.render import Reduce

    Progress = Callable[[int, int, str], None]


# Every stage on a phantom cohort, through the functions a user's own data would take.

PHANTOM_NOTE = (
    "Every patient in this report is a digital phantom. The figures show that each stage runs and "
    "is measured honestly; they say nothing about how well rhoa grades patients."
)
OVERVIEW_ROWS = 320


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoSize:
    """How much the demo does; the defaults take a minute or two on two cores, and 300 MB.

    The recipes are the paper's, except for what is listed here: no pretrained weights (a demo must
    run without a network), so a larger learning rate, fewer epochs and smaller inputs.
    """

    ct_subjects: int = 16
    xray_subjects: int = 24
    epochs: int = 12
    image_size: int = 64
    batch: int = 16
    learning_rate: float = 1e-3
    spacing_mm: tuple[float, float, float] = (2.5, 2.0, 2.0)
    pixel_mm: float = 0.4
    voxel_mm: float = 2.5

    def __post_init__(self) -> None:
        for name in ("ct_subjects", "xray_subjects", "epochs", "batch"):
            require_count(name, getattr(self, name))
        require_count("image_size", self.image_size, least=32)

    def reduced(self, recipe: Recipe) -> Recipe:
        """``recipe`` at the demo's size; the learning-rate drops keep their share of the epochs."""
        return recipe.varied(
            epochs=self.epochs,
            drop_period=max(1, self.epochs // 2),
            drop_factor=0.1,
            image_size=self.image_size,
            batch=self.batch,
            learning_rate=self.learning_rate,
            validation_every=2,
        )


def make_cohort(out: Path, size: DemoSize, *, seed: int, progress: Progress | None) -> Manifest:
    """A phantom cohort as DICOM files, and its CT-APs, crops and partitions.

    Writes ``out/cohort`` (what a user would bring) and ``out/study`` (what rhoa makes of it).
    """
    from rhoa import phantom

    scans = phantom.write_cohort(
        out / "cohort",
        ct_subjects=size.ct_subjects,
        xray_subjects=size.xray_subjects,
        spacing_mm=size.spacing_mm,
        pixel_mm=size.pixel_mm,
        voxel_mm=size.voxel_mm,
        seed=seed,
        progress=progress,
    )
    manifest = build(scans, out / "study", progress=progress).split(seed=seed)
    manifest.write(out / "study" / "manifest.csv")
    first = min((out / "cohort" / "ct").glob("*/"))
    write_windows(out / "study" / "ct-ap", read_ct(first))
    return manifest


def train_and_report(
    out: Path, manifest: Manifest, size: DemoSize, *, seed: int, progress: Progress | None
) -> Path:
    """The models of the paper, trained, evaluated and reported in ``out/report.html``.

    Beside it, ``overview.png`` shows a CT-AP and hips by grade. Of the runs, ``runs/model-3`` keeps
    its weights; those of the others, 45 MB each and twice, are deleted.
    """
    from rhoa.learning import recipes

    plan = Plan(
        out=out,
        manifest=out / "study" / "manifest.csv",
        recipes=tuple(
            size.reduced(recipe) for name, recipe in recipes.items() if name.startswith("model-")
        ),
        weights="none",
        seeds=(seed,),
        notes=(PHANTOM_NOTE,),
    )
    report = conduct(plan, redo=True, progress=progress).report
    for weights in (out / "runs").rglob(WEIGHTS_FILE):
        if weights.parent.parent != out / "runs" / EXPLAINED:
            weights.unlink()
    atomic_write(
        out / "overview.png", encode_png(_overview(manifest), text=picture_label("picture"))
    )
    return report


def _overview(manifest: Manifest) -> NDArray[np.uint8]:
    """A CT-AP with its hips, and beside it hips by KL grade: as CT-AP above, as X-ray below."""
    from rhoa.report.write import read_grey

    image = Radiograph.load(next(ct_ap_of(hip) for hip in manifest if hip.source == "ct")).square()
    grey = image.to_uint8()
    for box in boxes(image).values():
        grey = draw_box(grey, box.top, box.left, box.bottom, box.right)
    columns = round(grey.shape[1] * OVERVIEW_ROWS / grey.shape[0])
    parts = [resize(grey.astype(np.float32), OVERVIEW_ROWS, columns)]
    half = OVERVIEW_ROWS // 2
    first = {(hip.source, hip.kl): hip.image for hip in reversed(manifest.hips)}
    for kl in range(5):
        files = [first.get((source, kl)) for source in ("ct", "xray")]
        crops = [read_grey(file, half) for file in files if file is not None]
        if len(crops) == len(files):
            parts.append(np.vstack([resize(crop, half, half) for crop in crops]))
    return np.rint(np.hstack(parts)).clip(0, 255).astype(np.uint8)


# How fast the projections are, beside a plain read of the same memory, NumPy and Numba.

_Array = Any  # in compiled code: whatever Numba is given
SHAPE = (600, 512, 512)
ANGLES_DEG = (10.0, 4.0, 3.0)
KINDS = ("int16", "uint8", "uint16", "float32")
REDUCTIONS: tuple[Reduce, ...] = ("sum", "max")
READ, STRAIGHT, OBLIQUE = (
    "pure read of the array",
    "straight sum, axis 1",
    "oblique sum, rhoa (shear)",
)
NUMBA = ", Numba"


@dataclass(frozen=True, slots=True)
class TimedCall:
    """Something to time."""

    name: str
    run: Callable[[], object]
    slow: bool = False  # three rounds tell enough


@dataclass(frozen=True, slots=True)
class Timing:
    """Milliseconds of one call, over the rounds."""

    name: str
    least: float
    median: float
    most: float


def volume(shape: tuple[int, int, int] = SHAPE, seed: int = 0) -> Volume:
    """A noisy scan of 1 mm voxels in int16, from below air to above bone."""
    hu = np.random.default_rng(seed).integers(-1024, 1500, shape, dtype=np.int16)
    return Volume.from_array(hu, (1, 1, 1))


def tilted(scan: Volume, angles_deg: tuple[float, float, float] = ANGLES_DEG) -> Alignment:
    """A pose turned by ``angles_deg`` about x, y and z, about the middle of the scan."""
    turn = np.eye(3)
    for axis, angle in enumerate(np.radians(angles_deg)):
        one, other = (axis + 1) % 3, (axis + 2) % 3
        plane = np.eye(3)
        plane[one, one] = plane[other, other] = np.cos(angle)
        plane[one, other], plane[other, one] = -np.sin(angle), np.sin(angle)
        turn = turn @ plane
    return Alignment(turn.T, scan.to_lps((np.array(scan.shape) - 1) / 2))


def words(array: NDArray[Any]) -> NDArray[np.int64]:
    """The memory of a C-contiguous array as 64-bit words, but for a rest below one word."""
    memory = array.reshape(-1).view(np.uint8)
    return memory[: len(memory) // 8 * 8].view(np.int64)


def candidates(scan: Volume, threads: int) -> list[TimedCall]:
    """What rhoa does with a scan, a plain read of it, NumPy, and Numba where it is installed."""
    hu, pose = scan.hu, tilted(scan)
    sums = np.empty((-(-hu.shape[1] // 10), hu.shape[0], hu.shape[2]), np.float32)
    stack = np.empty((hu.shape[1], hu.shape[0], hu.shape[2]), np.float32)
    fortran = np.asfortranarray(hu)

    def slabs(slices: int, reduce: Reduce) -> Callable[[], object]:
        out, window = stack[: hu.shape[1] - slices + 1], (-150, 600)
        return lambda: thin_slab(
            hu, thickness=slices, reduce=reduce, window=window, out=out, threads=threads
        )

    return [
        *along_axes(hu, threads),
        *(
            TimedCall(f"Fortran order, axis {axis}", _straight(fortran, axis, "sum", threads))
            for axis in range(3)
        ),
        TimedCall("running sums, every 10", lambda: cumulative(hu, every=10, threads=threads)),
        TimedCall(
            "running sums, every 10, out=",
            lambda: cumulative(hu, every=10, out=sums, threads=threads),
        ),
        *(
            TimedCall(f"{name} of slabs of {slices}, out=", slabs(slices, reduce))
            for slices in (5, 10, 50)
            if slices <= scan.shape[1]
            for name, reduce in zip(("sums", "maxima"), REDUCTIONS, strict=True)
        ),
        TimedCall(OBLIQUE, lambda: ctap(scan, pose=pose, threads=threads)),
        TimedCall(
            "oblique sum, rhoa (reslice)",
            lambda: ctap(scan, pose=pose, method="reslice", threads=threads),
            slow=True,
        ),
        TimedCall(
            "straight sum, numpy", lambda: np.clip(hu, -150, 600).sum(1, dtype=np.int32), slow=True
        ),
        TimedCall("one voxel, a call", lambda: ctap(hu[:1, :1, :1], threads=threads)),
        TimedCall(
            "64 x 64 x 65 voxels, threads started",
            lambda: ctap(hu[:64, :64, :65], threads=threads),
        ),
    ]


def along_axes(hu: NDArray[Any], threads: int) -> list[TimedCall]:
    """A plain read of an array; its sums and maxima along each axis, by rhoa and by Numba."""
    memory = words(hu)
    found = [TimedCall(READ, lambda: _core.read_once(memory, threads=threads))]
    for reduce in REDUCTIONS:
        for axis in range(3):
            name = f"straight {reduce}, axis {axis}"
            found.append(TimedCall(name, _straight(hu, axis, reduce, threads)))
            if (project := by_numba(hu, axis, reduce, threads)) is not None:
                found.append(TimedCall(f"{name}{NUMBA}", project))
    return found


def _straight(
    hu: NDArray[Any], axis: int, reduce: Reduce, threads: int
) -> Callable[[], NDArray[np.float32]]:
    return lambda: ctap(hu, axis=axis, reduce=reduce, threads=threads)


def by_numba(
    hu: NDArray[Any], axis: int, reduce: Reduce, threads: int
) -> Callable[[], NDArray[Any]] | None:
    """The same sum, or maximum, by Numba; None where it is not installed."""
    try:
        numba = importlib.import_module("numba")
    except ImportError:
        return None
    whole = hu.dtype.kind in "iu"
    limits = (np.iinfo(hu.dtype).min, np.iinfo(hu.dtype).max) if whole else (-np.inf, np.inf)
    low, high = np.clip(DEFAULT_WINDOW, *limits).astype(hu.dtype)
    numbers = np.int32 if whole else np.float64
    start = 0 if reduce == "sum" else low
    project = _compiled(axis, reduce)
    shape = np.delete(hu.shape, axis)

    def run() -> NDArray[Any]:
        numba.set_num_threads(threads)
        image = np.full(shape, start, numbers)
        project(hu, low, high, image)
        return image

    return run


@cache
def _compiled(axis: int, reduce: Reduce) -> Callable[..., None]:
    numba = importlib.import_module("numba")
    add = operator.add if reduce == "sum" else max

    def along_0(hu: _Array, low: _Array, high: _Array, image: _Array) -> None:
        for j in numba.prange(hu.shape[1]):
            line = image[j]
            for k in range(hu.shape[0]):
                row = hu[k, j]
                for i in range(hu.shape[2]):
                    line[i] = add(line[i], min(max(row[i], low), high))

    def along_1(hu: _Array, low: _Array, high: _Array, image: _Array) -> None:
        for k in numba.prange(hu.shape[0]):
            line = image[k]
            for j in range(hu.shape[1]):
                row = hu[k, j]
                for i in range(hu.shape[2]):
                    line[i] = add(line[i], min(max(row[i], low), high))

    def along_2(hu: _Array, low: _Array, high: _Array, image: _Array) -> None:
        for k in numba.prange(hu.shape[0]):
            for j in range(hu.shape[1]):
                row, total = hu[k, j], image[k, j]
                for i in range(hu.shape[2]):
                    total = add(total, min(max(row[i], low), high))
                image[k, j] = total

    function: Callable[..., None] = numba.njit(parallel=True)((along_0, along_1, along_2)[axis])
    return function


def timed(
    competitors: Sequence[TimedCall], *, rounds: int = 7, progress: Progress | None = None
) -> list[Timing]:
    """Time all of them in turn, round after round, after one call each that does not count.

    What disturbs the machine for a while disturbs all of them alike.
    """
    rounds = require_count("rounds", rounds)
    milliseconds: dict[str, list[float]] = {one.name: [] for one in competitors}
    for number in range(rounds + 1):
        for one in competitors:
            if one.slow and number > min(rounds, 3):
                continue
            start = time.perf_counter()
            one.run()
            if number:
                milliseconds[one.name].append(1e3 * (time.perf_counter() - start))
        if progress:
            progress(number + 1, rounds + 1, "rounds")
    return [
        Timing(name, min(times), statistics.median(times), max(times))
        for name, times in milliseconds.items()
    ]


def run(
    shape: tuple[int, int, int] = SHAPE,
    *,
    rounds: int = 7,
    threads: int | None = None,
    progress: Progress | None = None,
) -> list[dict[str, object]]:
    """Time rhoa on noisy scans of several types; a row each.

    Ratios are of the least times: to a plain read of the same array in the same rounds, and to
    Numba's time for the same image.

    Raises
    ------
    ParameterError
        If ``rounds`` is no whole number above zero.
    """
    scan, count = volume(shape), thread_count(threads)
    start = time.perf_counter()
    ctap(scan.hu, threads=count)
    first = 1e3 * (time.perf_counter() - start)
    rows: list[dict[str, object]] = [_row("int16", Timing("first call", first, first, first))]
    for kind in KINDS:
        if kind == "int16":
            competitors = candidates(scan, count)
        else:
            hu = scan.hu >> 4 if kind == "uint8" else scan.hu + np.int16(1024)
            competitors = along_axes(hu.astype(kind), count)
        timings = timed(competitors, rounds=rounds, progress=progress)
        rows += ratios(timings, kind)
    return rows


def ratios(timings: Sequence[Timing], kind: str) -> list[dict[str, object]]:
    """A row for each of rhoa's times, beside the read of memory and Numba."""
    least = {timing.name: timing.least for timing in timings}
    read = least[READ]
    return [
        _row(kind, timing)
        | {
            "/ read": round(timing.least / read, 2),
            "/ Numba": round(timing.least / numba, 2)
            if (numba := least.get(f"{timing.name}{NUMBA}"))
            else None,
        }
        for timing in timings
    ]


def _row(kind: str, timing: Timing) -> dict[str, object]:
    return {
        "what": timing.name,
        "voxels": kind,
        "min ms": round(timing.least, 2),
        "median ms": round(timing.median, 2),
        "max ms": round(timing.most, 2),
        "/ read": None,
        "/ Numba": None,
    }


def machine(threads: int) -> str:
    """The processor, what rhoa uses of it, and the day."""
    return (
        f"{processor()}, {_core.instruction_set()}, {threads} threads, "
        f"{datetime.now(UTC).date().isoformat()}"
    )


def processor() -> str:
    """The processor's name, with its family and model where the system reports them."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    pairs = (one.partition(":") for one in lines)
    cpu = {name.strip(): value.strip() for name, _, value in pairs}
    if "model name" not in cpu:
        return platform.processor() or platform.machine()
    return f"{cpu['model name']} (family {cpu.get('cpu family')}, model {cpu.get('model')})"


LIGHT = {"ct_subjects": 8, "xray_subjects": 12}
TRAINING_LIBRARIES = ("torch", "torchvision", "safetensors", "matplotlib")


def demo(options: Namespace) -> VerbResult:
    """Everything, on phantoms."""
    if options.full:
        require_extra("torch", extra="train", purpose="rhoa demo --full")
    missing = [name for name in TRAINING_LIBRARIES if not _importable(name)]
    light = options.light or bool(missing)
    names = ("ct_subjects", "xray_subjects", "epochs")
    given = {name: getattr(options, name) for name in names}
    changes = {name: value for name, value in given.items() if value is not None}
    size = DemoSize(**(LIGHT if light else {}) | changes)
    progress = bar()
    manifest = make_cohort(options.out, size, seed=options.seed, progress=progress)
    study = options.out / "study"
    lines = [f"CT-APs, crops and manifest are in {study}"]
    if light:
        needed = f"because they need {', '.join(missing)}: {install_line('train')}"
        why = "as --light asks" if options.light else needed
        lines.append(f"skipped: training, evaluation and report, {why}")
        return VerbResult([], lines)
    report = train_and_report(options.out, manifest, size, seed=options.seed, progress=progress)
    return VerbResult(figures_of_test(options.out / "metrics.json"), [*lines, f"open {report}"])


def _importable(library: str) -> bool:
    try:
        importlib.import_module(library)
    except ImportError:
        return False
    return True


def bench(options: Namespace) -> VerbResult:
    """Timings of the projections."""
    if min(options.shape) < 1:
        raise ParameterError(f"--shape must be three lengths above zero; got {options.shape}.")
    shape = (options.shape[0], options.shape[1], options.shape[2])
    rows = run(shape, rounds=options.rounds, threads=options.threads, progress=bar())
    return VerbResult(rows, [machine(thread_count(options.threads))])


def info(_: Namespace) -> VerbResult:
    """Versions."""
    from rhoa.versions import versions

    return VerbResult([{"what": name, "version": value} for name, value in versions().items()])


def add_demo(verb: argparse.ArgumentParser) -> None:
    """Options of `rhoa demo`."""
    verb.set_defaults(run=demo)
    verb.add_argument("-o", "--out", type=Path, required=True, help="folder to write")
    verb.add_argument("--seed", type=int, default=2020)
    verb.add_argument("--ct-subjects", type=int, help="phantom CTs (default: 16; 8 where light)")
    verb.add_argument(
        "--xray-subjects", type=int, help="phantom X-rays (default: 24; 12 where light)"
    )
    verb.add_argument("--epochs", type=int, help="of each model (default: 12)")
    extent = verb.add_mutually_exclusive_group()
    extent.add_argument("--light", action="store_true", help="the images only, without torch")
    extent.add_argument("--full", action="store_true", help="fail (exit 3) where torch is missing")


def add_bench(verb: argparse.ArgumentParser) -> None:
    """Options of `rhoa bench`."""
    verb.set_defaults(run=bench)
    verb.add_argument(
        "--shape",
        nargs=3,
        type=int,
        default=SHAPE,
        metavar=("K", "J", "I"),
        help="slices, rows and columns of the noisy scan (default: 600 512 512, 0.6 GB)",
    )
    verb.add_argument("--rounds", type=int, default=7, help="timed calls of each (default: 7)")
    verb.add_argument("--threads", type=int, help="default: RHOA_NUM_THREADS, else all processors")


def add_info(verb: argparse.ArgumentParser) -> None:
    """Options of `rhoa info`."""
    verb.set_defaults(run=info)

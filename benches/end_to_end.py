"""Time all of the road from a folder of slices to hips that are cropped and graded, stage by stage.

    python benches/end_to_end.py                     # 500 slices, a cohort of 20; about 20 minutes
    python benches/end_to_end.py --model RUN         # grades, too
    python benches/end_to_end.py --out docs/end-to-end  # also writes end-to-end.md

A digital pelvis of 500 slices of 512 x 512 is written three times: uncompressed, in JPEG 2000 and
in JPEG lossless (where ``imagecodecs`` is installed). Each road is a process of its own; memory is
the peak of a stage, all that the process holds counted. Beside rhoa, the same images are made with
SimpleITK, and with pydicom and NumPy; neither finds the pelvis, so SimpleITK gets rhoa's pose, and
NumPy sums as scanned. The cohort is one `rhoa hips --each` over scans of 2 x 1.5 x 1.5 mm.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
import warnings
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
import pydicom
from peers import PEERS, Grid
from pydicom.encaps import encapsulate
from pydicom.uid import JPEG2000Lossless, JPEGLossless
from readers import DICOM_READERS

import rhoa
from rhoa import phantom
from rhoa.cli import demo
from rhoa.cli.common import bar
from rhoa.parallel import thread_count
from rhoa.projection.depth_and_grid import projection_grid

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

HEAD = (
    "# From slices to hips\n\nWritten by `python benches/end_to_end.py --out docs/end-to-end`.\n\n"
)
FORMATS = ("uncompressed", "JPEG 2000", "JPEG lossless")
ROADS = ("rhoa", "SimpleITK", "pydicom + NumPy")
WINDOW = (-150, 600)
STATUS = Path("/proc/self/status")
Stage = tuple[str, float, float]
"""Its name, seconds, and the process' peak in MB."""


def write_series(folder: Path, slices: int) -> list[str]:
    """The same scan in each format, a folder each; notes on what was left out."""
    made = phantom.ct(phantom.Anatomy.random(7), spacing_mm=(1.5, 1.5, 1.5), angles=(6, 2, -3))
    small = made.volume.hu
    hu = np.full((slices, 512, 512), -1000, np.int16)
    places = [(full - part) // 2 for full, part in zip(hu.shape, small.shape, strict=True)]
    inner = tuple(
        slice(max(place, 0), max(place, 0) + min(part, full))
        for place, part, full in zip(places, small.shape, hu.shape, strict=True)
    )
    outer = tuple(
        slice(max(-place, 0), max(-place, 0) + one.stop - one.start)
        for place, one in zip(places, inner, strict=True)
    )
    hu[inner] = small[outer]
    phantom.write_dicom(rhoa.Volume.from_array(hu, (1.5, 1.5, 1.5)), folder / FORMATS[0])
    notes = []
    for name, packed in (("JPEG 2000", _jpeg_2000), ("JPEG lossless", _jpeg_lossless)):
        (folder / name).mkdir()
        try:
            for file in sorted((folder / FORMATS[0]).iterdir()):
                packed(pydicom.dcmread(file)).save_as(folder / name / file.name)
        except (ImportError, RuntimeError) as error:
            notes.append(f"{name} left out: {error}")
    return notes


def _jpeg_2000(image: pydicom.FileDataset) -> pydicom.FileDataset:
    image.compress(JPEG2000Lossless, generate_instance_uid=False)
    return image


def _jpeg_lossless(image: pydicom.FileDataset) -> pydicom.FileDataset:
    imagecodecs = import_module("imagecodecs")

    coded = imagecodecs.ljpeg_encode(image.pixel_array, bitspersample=16)
    image.PixelData = encapsulate([coded])
    image["PixelData"].VR = "OB"
    image.file_meta.TransferSyntaxUID = JPEGLossless
    return image


def by_rhoa(folder: Path, model: Path | None) -> Iterator[tuple[str, Callable[[], Any]]]:
    """Its stages, each to be called when the one before is done."""
    made: dict[str, Any] = {}

    def keep(name: str, work: Callable[[], Any]) -> Callable[[], Any]:
        return lambda: made.__setitem__(name, work())

    def located() -> tuple[Any, Any]:
        joints = rhoa.hips.joints(made["volume"], made["pose"])
        return joints, rhoa.hips.located(made["pose"], joints)

    def crops() -> list[Any]:
        found = rhoa.hips.boxes(made["image"], joints=made["heads"][0])
        return [rhoa.hips.crop(made["image"], box) for box in found.values()]

    yield "read", keep("volume", lambda: rhoa.read_ct(folder))
    yield "pose", keep("pose", lambda: rhoa.pose.from_volume(made["volume"]))
    yield "femoral heads", keep("heads", located)
    yield "CT-AP", keep("image", lambda: rhoa.ctap(made["volume"], pose=made["heads"][1]))
    yield "crops", keep("crops", crops)
    if model is not None:
        grader = rhoa.load_model(model)
        levels = lambda crop: 255 * (crop - crop.min()) / max(np.ptp(crop), 1)  # noqa: E731
        yield "grades", lambda: grader.predict_proba([levels(crop) for crop in made["crops"]])


def by_sitk(folder: Path, _: Path | None) -> Iterator[tuple[str, Callable[[], Any]]]:
    """The scan read, and the image through rhoa's pose, by SimpleITK."""
    reader = next(one for one in DICOM_READERS if one.name == "SimpleITK")
    peer = next(one for one in PEERS if one.name == "SimpleITK")
    scan = rhoa.read_ct(folder)
    samples = projection_grid(scan, rhoa.pose.from_volume(scan), "all", None).samples(scan)
    grid = Grid(samples["shape"], np.array(samples["origin"]), np.array(samples["steps"]))
    del scan
    made: dict[str, Any] = {}
    yield "read", lambda: made.__setitem__("hu", reader.read(folder)[0])
    oblique = peer.oblique
    if oblique is not None:
        yield (
            "CT-AP",
            lambda: oblique(peer.prepare(made["hu"]), WINDOW, grid, thread_count()),
        )


def by_hand(folder: Path, _: Path | None) -> Iterator[tuple[str, Callable[[], Any]]]:
    """What a script does: slices stacked by position, clipped and summed."""
    made: dict[str, Any] = {}

    def read() -> None:
        images = [pydicom.dcmread(file) for file in folder.iterdir()]
        images.sort(key=lambda image: float(image.ImagePositionPatient[2]))
        stack = [image.pixel_array * int(image.RescaleSlope) for image in images]
        made["hu"] = np.stack(stack).astype(np.int16) + np.int16(images[0].RescaleIntercept)

    yield "read", read
    yield "CT-AP, as scanned", lambda: np.clip(made["hu"], *WINDOW).sum(1, dtype=np.int32)


def stages_of(road: str, folder: Path, model: Path | None) -> list[Stage]:
    """Walk one road; `main` calls it in a process of its own."""
    walk = dict(zip(ROADS, (by_rhoa, by_sitk, by_hand), strict=True))[road]
    found = []
    for name, work in walk(folder, model):
        _forget_peak()
        start = time.perf_counter()
        work()
        found.append((name, time.perf_counter() - start, _peak_mb()))
    return found


def _forget_peak() -> None:
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return  # elsewhere a peak is that of all stages so far


def _peak_mb() -> float:
    if STATUS.exists():
        return int(STATUS.read_text().partition("VmHWM:")[2].split()[0]) / 1e3
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


def cohort_of(count: int, folder: Path) -> list[Stage]:
    """All hips of a cohort by the command line."""
    phantom.write_cohort(folder, ct_subjects=count, xray_subjects=0, progress=bar())
    words = [sys.executable, "-m", "rhoa", "hips", folder / "ct", "--each", "-o", folder / "hips"]
    start = time.perf_counter()
    subprocess.run(words, check=False, capture_output=True)  # noqa: S603  # this interpreter
    seconds = time.perf_counter() - start
    return [
        ("rhoa hips --each", seconds, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1e3)
    ]


def lines_of(title: str, stages: Iterable[Stage]) -> list[str]:
    """A Markdown table, and its largest stage."""
    stages = list(stages)
    whole, most = sum(seconds for _, seconds, _ in stages), max(stages, key=lambda stage: stage[1])
    lines = [f"**{title}**", "", "| stage | s | share | peak MB |", "|---|---:|---:|---:|"]
    lines += [f"| {n} | {s:.2f} | {s / whole:.0%} | {mb:.0f} |" for n, s, mb in stages]
    return [*lines, f"| all, the most in {most[0]} | {whole:.2f} | | |", ""]


def walked(road: str, folder: Path, model: Path | None) -> list[Stage]:
    """`stages_of`, in a process of its own."""
    words = [sys.executable, __file__, "--road", road, "--folder", os.fspath(folder)]
    if model is not None:
        words += ["--model", os.fspath(model)]
    run = subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True)  # noqa: S603
    return [(name, seconds, peak) for name, seconds, peak in json.loads(run.stdout)]


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--slices", type=int, default=500)
    parser.add_argument("--cohort", type=int, default=20, help="scans; 0 leaves it out")
    parser.add_argument("--model", type=Path, help="a run folder of rhoa train, for grades")
    parser.add_argument("--out", type=Path, help="path without suffix, for a .md")
    parser.add_argument("--road", choices=ROADS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    warnings.simplefilter("ignore")  # warnings about the phantom do not matter here
    if options.road:
        print(json.dumps(stages_of(options.road, options.folder, options.model)))
        return
    lines = [f"{options.slices} slices of 512 x 512; {demo.machine(thread_count())}.", ""]
    with TemporaryDirectory() as place:
        folder = Path(place)
        notes = write_series(folder, options.slices)
        for name in FORMATS:
            if not any((folder / name).iterdir()):
                continue
            for road in ROADS:
                try:
                    stages = walked(road, folder / name, options.model)
                except subprocess.CalledProcessError:
                    notes.append(f"{road} cannot read {name}.")
                    continue
                lines += lines_of(f"{name}, {road}", stages)
        if options.cohort:
            title = f"cohort of {options.cohort}"
            lines += lines_of(title, cohort_of(options.cohort, folder / "cohort"))
    text = "\n".join([*lines, *notes])
    print(text)
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        page = f"{HEAD}{text.rstrip()}\n"
        options.out.with_suffix(".md").write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()

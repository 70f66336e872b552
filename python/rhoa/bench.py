"""How fast the projections are, beside a plain read of the same memory and NumPy."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from rhoa import _core
from rhoa.errors import require_count
from rhoa.pose import Alignment
from rhoa.projection import ctap
from rhoa.stacks import cumulative, thin_slab
from rhoa.threads import thread_count
from rhoa.volume import Volume

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    Progress = Callable[[int, int, str], None]

SHAPE = (600, 512, 512)
ANGLES_DEG = (10.0, 4.0, 3.0)
READ, STRAIGHT, OBLIQUE = (
    "pure read of the array",
    "straight sum, rhoa",
    "oblique sum, rhoa (shear)",
)


@dataclass(frozen=True, slots=True)
class Candidate:
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


def candidates(scan: Volume, threads: int) -> list[Candidate]:
    """What rhoa does with a scan, a plain read of it, and NumPy."""
    hu, pose = scan.hu, tilted(scan)
    words = np.ascontiguousarray(hu).reshape(-1)
    words = words[: len(words) // 4 * 4].view(np.int64)
    fortran = np.asfortranarray(hu)

    def straight(array: NDArray[np.int16], axis: int) -> Callable[[], object]:
        return lambda: ctap(array, axis=axis, threads=threads)

    def slabs(slices: int) -> Callable[[], object]:
        return lambda: thin_slab(hu, thickness=slices, threads=threads)

    return [
        Candidate(READ, lambda: _core.read_once(words, threads=threads)),
        Candidate(STRAIGHT, straight(hu, 1)),
        Candidate("straight sum along axis 0", straight(hu, 0)),
        Candidate("straight sum along axis 2", straight(hu, 2)),
        *(Candidate(f"Fortran order, axis {axis}", straight(fortran, axis)) for axis in range(3)),
        Candidate("straight maximum", lambda: ctap(hu, reduce="max", threads=threads)),
        Candidate("running sums, every 10", lambda: cumulative(hu, every=10, threads=threads)),
        *(
            Candidate(f"slabs of {slices}", slabs(slices))
            for slices in (5, 50)
            if slices <= scan.shape[1]
        ),
        Candidate(OBLIQUE, lambda: ctap(scan, pose=pose, threads=threads)),
        Candidate(
            "oblique sum, rhoa (reslice)",
            lambda: ctap(scan, pose=pose, method="reslice", threads=threads),
        ),
        Candidate(
            "straight sum, numpy", lambda: np.clip(hu, -150, 600).sum(1, dtype=np.int32), slow=True
        ),
    ]


def timed(
    competitors: Sequence[Candidate], *, rounds: int = 7, progress: Progress | None = None
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
    """Time rhoa on a noisy scan; one row each, with its ratio to the straight sum.

    Raises
    ------
    ParameterError
        If ``rounds`` is no whole number above zero.
    """
    scan = volume(shape)
    timings = timed(candidates(scan, thread_count(threads)), rounds=rounds, progress=progress)
    reference = next(timing.median for timing in timings if timing.name == STRAIGHT)
    return [
        {
            "what": timing.name,
            "min ms": round(timing.least, 1),
            "median ms": round(timing.median, 1),
            "max ms": round(timing.most, 1),
            "/ straight": round(timing.median / reference, 2),
            "Gvoxel/s": round(scan.hu.size / timing.median / 1e6, 2),
        }
        for timing in timings
    ]

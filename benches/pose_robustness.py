"""How often the automatic pose survives what happens to scans: one body, many perturbed copies.

    python benches/pose_robustness.py                         # digital pelves: no data needed
    python benches/pose_robustness.py --painted z027 z036     # CTs painted from experts' pelves
    python benches/pose_robustness.py --scan patient/ct       # a scan of your own
    python benches/pose_robustness.py --quick                 # a dozen copies of each instead of 50

Copies are cropped, stored otherwise, resampled, noisy, scaled in HU, larger or smaller, turned;
they have things before and on the skin (zip, buckle, clip, wire, ECG leads, a catheter) and
contrast in bowel. The tables name the truth that each group rests on, and count bodies besides
cases: digital pelves know theirs, painted ones have the consensus of five experts, a real scan has
what rhoa finds in it untouched, so that only the change is measured.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from scipy.ndimage import affine_transform, gaussian_filter

import rhoa
from rhoa.errors import PoseError
from rhoa.phantom import ABDOMEN, Anatomy, ct
from rhoa.phantom.anatomy import PLAIN
from rhoa.pose import difference, from_landmarks, from_volume
from rhoa.pose.bone import along_patient

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    Points = NDArray[np.float64]

SIDES = ("left", "right")
RIGHT_DEG, WRONG_DEG, RIGHT_MM = 3.0, 5.0, 5.0
# Things that are no bone, in the AP frame: from, to (mm), radius (mm), HU; before the skin at a
# height and a side, or through the body.
OBJECTS = {
    "zip": (((0, -62), (0, -10)), 2.5, 2500),
    "buckle": (((-25, 60), (25, 60)), 5.0, 3000),
    "clip": (((60, 20), (60, 28)), 4.0, 2800),
    "button": (((0, 45), (0, 46)), 8.0, 2500),
    "wire": (((-110, 130), (110, 20)), 1.5, 2000),
    "coin": (((-95, 70), (-95, 72)), 9.0, 3000),
}


@dataclass(frozen=True, eq=False)
class Body:
    """A scan along the patient's axes, ``k`` up, ``j`` back, ``i`` left, and its truth."""

    name: str
    group: str
    volume: rhoa.Volume
    landmarks: Points
    heads: Points

    def with_hu(self, hu: NDArray[np.generic]) -> Body:
        """The same patient with other voxels."""
        clipped = np.clip(hu, -1024, 3071).astype(np.int16)
        volume = rhoa.Volume(clipped, self.volume.affine)
        return Body(self.name, self.group, volume, self.landmarks, self.heads)

    def moved(self, matrix: Points) -> Body:
        """The same voxels, the patient somewhere else: 4 x 4, patient to patient."""

        def to(points: Points) -> Points:
            return points @ matrix[:3, :3].T + matrix[:3, 3]

        volume = rhoa.Volume(self.volume.hu, matrix @ self.volume.affine)
        return Body(self.name, self.group, volume, to(self.landmarks), to(self.heads))

    @property
    def middle(self) -> Points:
        """Between the heads."""
        return self.heads.mean(axis=0)


def cropped(body: Body, axis: int, low: float = -1e9, high: float = 1e9) -> Body:
    """What lies between two places along a patient axis (0 left, 1 back, 2 up), from the heads."""
    along = 2 - axis
    affine, hu = body.volume.affine.copy(), body.volume.hu
    places = affine[axis, 3] + affine[axis, along] * np.arange(hu.shape[along])
    kept = np.flatnonzero(
        (places - body.middle[axis] >= low) & (places - body.middle[axis] <= high)
    )
    affine[:3, 3] += affine[:3, along] * kept[0]
    part = [slice(None)] * 3
    part[along] = slice(kept[0], kept[-1] + 1)
    volume = rhoa.Volume(np.ascontiguousarray(hu[tuple(part)]), affine)
    return Body(body.name, body.group, volume, body.landmarks, body.heads)


def resampled(body: Body, spacing_mm: tuple[float, ...], turn: Points | None = None) -> Body:
    """The patient turned about the heads, scanned on a new grid of the same extent."""
    matrix = np.eye(4)
    if turn is not None:
        matrix[:3, :3] = turn
        matrix[:3, 3] = body.middle - turn @ body.middle
    hu, affine = body.volume.hu.astype(np.float32), body.volume.affine
    last = np.array(hu.shape) - 1
    ends = np.stack([affine[:3, 3], affine[:3, :3] @ last + affine[:3, 3]])
    spacing = np.array(spacing_mm)
    shape = np.floor((ends.max(0) - ends.min(0))[::-1] / spacing).astype(int) + 1
    grid = np.eye(4)
    grid[:3, :3] = np.eye(3)[::-1] * spacing
    grid[:3, 3] = ends.min(axis=0)
    if turn is None:
        ratio = spacing / np.array(body.volume.spacing_mm)
        hu = gaussian_filter(hu, 0.42 * np.sqrt(np.maximum(ratio**2 - 1, 0)))
    back = np.linalg.inv(affine) @ np.linalg.inv(matrix) @ grid
    made = affine_transform(hu, back[:3, :3], back[:3, 3], tuple(shape), order=1, cval=-1000)
    here = body.moved(matrix)
    volume = rhoa.Volume(np.rint(made).astype(np.int16), grid)
    return Body(body.name, body.group, volume, here.landmarks, here.heads)


def painted_balls(body: Body, centres: Points, radius_mm: float, hu: float) -> Body:
    """The body with balls of one HU at patient places."""
    voxels = body.volume.hu.copy()
    spacing = np.array(body.volume.spacing_mm)
    for centre in centres:
        index = body.volume.to_index(centre)
        low = np.maximum(np.floor(index - radius_mm / spacing - 1), 0).astype(int)
        high = np.minimum(np.ceil(index + radius_mm / spacing + 2), voxels.shape).astype(int)
        if (high <= low).any():
            continue
        part = tuple(slice(*ends) for ends in zip(low, high, strict=True))
        offset = np.moveaxis(np.indices(high - low), 0, -1) + low - index
        near = ((offset * spacing) ** 2).sum(axis=-1) < radius_mm**2
        voxels[part][near] = hu
    return body.with_hu(voxels)


def on_skin(body: Body, line: tuple[tuple[float, ...], ...], radius: float, hu: float) -> Body:
    """Something along the skin before the pelvis, between two places (left, up) in the AP frame."""
    frame = from_landmarks(rhoa.Landmarks(*body.landmarks))
    tissue, centres = body.volume.hu > -300, []
    for share in np.linspace(0, 1, 40):
        x, z = np.array(line[0]) + share * np.subtract(line[1], line[0])
        place = body.volume.to_index(frame.to_lps((x, 0, z)))
        k, i = np.clip(np.rint(place[[0, 2]]).astype(int), 0, np.array(tissue.shape)[[0, 2]] - 1)
        front = np.flatnonzero(tissue[k, :, i])
        if len(front):
            centres.append(body.volume.to_lps((k, front[0] - radius / 2, i)))
    return painted_balls(body, np.array(centres), radius, hu) if centres else body


def contrast(body: Body, seed: int) -> Body:
    """Twelve balls of contrast, 300 to 1200 HU, anywhere in the pelvis but in bone."""
    random = np.random.default_rng([seed, 3])
    made = body
    for _ in range(12):
        centre = body.middle + random.uniform((-95, -90, -10), (95, 60, 150))
        radius, hu = random.uniform(6, 26), random.uniform(300, 1200)
        made = painted_balls(made, centre[None], radius, hu)
    bone = (body.volume.hu > 250) | (body.volume.hu < -1100)
    return body.with_hu(np.where(bone, body.volume.hu, made.volume.hu))


def copies(body: Body, *, quick: bool) -> Iterator[tuple[str, Body]]:
    """The perturbed copies of a body, by name."""
    random = np.random.default_rng(0)
    hu = body.volume.hu.astype(np.float32)
    yield "untouched", body
    for top in (120,) if quick else (220, 150, 120, 105):
        yield f"ends {top} mm above the heads", cropped(body, 2, high=top)
    for bottom in (50,) if quick else (100, 75, 60, 50, 40, 30):
        yield f"begins {bottom} mm below the heads", cropped(body, 2, low=-bottom)
    for wide in () if quick else (300, 260):
        yield f"{wide} mm wide", cropped(body, 0, low=-wide / 2, high=wide / 2)
    affine = body.volume.affine.copy()
    affine[:3, 3] += affine[:3, 2] * (hu.shape[2] - 1)
    affine[:3, 2] *= -1
    flipped = rhoa.Volume(body.volume.hu[:, :, ::-1], affine)
    yield "stored flipped", Body(body.name, body.group, flipped, body.landmarks, body.heads)
    spacings = ((3, 3, 3),) if quick else ((1.5, 1.5, 1.5), (2, 2, 2), (3, 3, 3), (4, 2, 2))
    for spacing in spacings:
        yield "voxels {} x {} x {} mm".format(*spacing), resampled(body, spacing)
    for noise in (80,) if quick else (30, 80, 150):
        drawn = random.standard_normal(hu.shape, dtype=np.float32)
        yield f"noise {noise} HU", body.with_hu(hu + noise * drawn)
    scales = ((0.75, 0),) if quick else ((0.7, 0), (0.85, 0), (1.2, 0), (1.4, 0), (1, -60), (1, 60))
    for factor, offset in scales:
        yield f"HU x {factor} {offset:+d}", body.with_hu(np.where(hu > 0, hu * factor, hu) + offset)
    for seed in range(2 if quick else 8):
        yield f"contrast {seed}", contrast(body, seed)
    for name, (line, radius, value) in list(OBJECTS.items())[: 3 if quick else None]:
        yield name, on_skin(body, line, radius, value)
    leads = body
    for line in (((-90, 160), (-20, 110)), ((20, 110), (90, 160)), ((0, 110), (0, 20))):
        leads = on_skin(leads, line, 1.5, 2200)
    yield "ECG leads", leads
    frame = from_landmarks(rhoa.Landmarks(*body.landmarks))
    path = np.linspace((0, 10, -60), (0, 55, 35), 60)
    yield "catheter", painted_balls(body, frame.to_lps(path), 3.0, 900)
    for size in (0.88,) if quick else (0.85, 0.92, 1.08, 1.15):
        yield f"size {size}", body.moved(np.diag([size, size, size, 1.0]))
    spacing = tuple(np.maximum(body.volume.spacing_mm, 1.5))
    for axis, degrees in ((2, 15),) if quick else [(a, d) for a in range(3) for d in (-15, 15)]:
        turn, (one, other) = np.eye(3), [(1, 2), (2, 0), (0, 1)][axis]
        cosine, sine = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
        turn[one, one] = turn[other, other] = cosine
        turn[one, other], turn[other, one] = -sine, sine
        yield f"turned {degrees:+d} deg about {'xyz'[axis]}", resampled(body, spacing, turn)


def digital(count: int) -> Iterator[Body]:
    """Digital pelves: every other one in a whole abdomen with contrast and tagged stool."""
    for seed in range(1000, 1000 + count):
        random = np.random.default_rng([seed, 5])
        case = ct(
            Anatomy.random(seed),
            spacing_mm=tuple(random.uniform((1.2, 1.3, 1.3), 2.5)),
            angles=tuple(random.uniform((-20, -8, -12), (20, 8, 12))),
            surroundings=ABDOMEN if seed % 2 else PLAIN,
        )
        heads = np.stack([case.hip_centres[side] for side in SIDES])
        truth = "digital pelves (truth: known)"
        yield Body(f"{seed}", truth, case.volume, case.landmarks.as_array(), heads)


def painted_bodies(data: Path, names: list[str]) -> Iterator[Body]:
    """Painted CTs of the experts' pelves; heads are spheres fitted to the segmented femora."""
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    from tests.pose.painted import painted  # noqa: PLC0415  # beside the package, not in it
    from tests.pose.pelves import experts, heads  # noqa: PLC0415

    for number, name in enumerate(names):
        case = painted(data, name, 1000 + number)
        pelvis = next(pelvis for pelvis in experts(data) if pelvis.name == name)
        fitted = heads(data, pelvis)
        if len(fitted) < len(SIDES):
            continue
        centres = pelvis.reference.to_ap(np.stack([fitted[side] for side in SIDES]))
        lps, marks = case.reference.to_lps(centres), case.reference.landmarks.as_array()
        yield Body(name, "painted CTs (truth: five experts)", case.volume, marks, lps)


def scanned(path: str) -> Body:
    """A real scan at about 2 mm, with what rhoa finds in it at full resolution."""
    volume = along_patient(rhoa.read_ct(path))
    found = from_volume(volume)
    joints = rhoa.hips.joints(volume, found)
    heads = np.stack([joints[side].centre_lps_mm for side in SIDES])
    whole = Body(
        Path(path).name,
        "real scans (truth: own pose, untouched)",
        rhoa.Volume(np.ascontiguousarray(volume.hu), volume.affine),
        found.landmarks.as_array(),
        heads,
    )
    return resampled(whole, tuple(np.maximum(volume.spacing_mm, 1.6)))


@dataclass(frozen=True)
class Outcome:
    """What became of one copy; infinity where nothing was found."""

    body: str
    deg: float
    heads_mm: float
    hard: frozenset[str]
    seconds: float


def outcome(body: Body) -> Outcome:
    """The pose and the joints of one copy against its truth."""
    start = time.perf_counter()
    try:
        found = from_volume(body.volume)
    except PoseError:
        return Outcome(body.name, np.inf, np.inf, frozenset({"refused"}), 0.0)
    seconds = time.perf_counter() - start
    true = from_landmarks(rhoa.Landmarks(*body.landmarks))
    joints = rhoa.hips.joints(body.volume, found)
    away = [
        float(np.linalg.norm(joints[side].centre_lps_mm - head))
        for side, head in zip(SIDES, body.heads, strict=True)
    ]
    turn = difference(found, true).turn_deg
    return Outcome(body.name, turn, max(away), found.hard_flags, seconds)


def table(group: str, outcomes: list[Outcome]) -> None:
    """One line: shares of the cases, and how many bodies they come from."""
    deg = np.array([one.deg for one in outcomes])
    heads = np.array([one.heads_mm for one in outcomes])
    hard = np.array([bool(one.hard) for one in outcomes])
    print(
        f"{group}: {len(outcomes)} cases of {len({one.body for one in outcomes})} bodies; heads "
        f"within {RIGHT_MM:g} mm {np.mean(heads <= RIGHT_MM):.0%}, pose within {RIGHT_DEG:g} deg "
        f"{np.mean(deg <= RIGHT_DEG):.0%}, usable {np.mean((deg <= RIGHT_DEG) & ~hard):.0%}; "
        f"unflagged beyond {RIGHT_DEG:g} deg {np.sum((deg > RIGHT_DEG) & ~hard)}, beyond "
        f"{WRONG_DEG:g} {np.sum((deg > WRONG_DEG) & ~hard)}; flagged but right "
        f"{np.sum((deg <= RIGHT_DEG) & hard)}; "
        f"{np.median([one.seconds for one in outcomes]):.2f} s"
    )


def main() -> None:
    """Print every copy that is lost, wrong or flagged, then the tables."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("RHOA_DATA", beside)))
    parser.add_argument("--digital", type=int, default=0, metavar="N", help="digital pelves")
    parser.add_argument("--painted", nargs="*", default=[], metavar="NAME", help="experts' pelves")
    parser.add_argument("--scan", nargs="*", default=[], metavar="PATH", help="real scans")
    parser.add_argument("--quick", action="store_true", help="a dozen copies of each body")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    if not (options.digital or options.painted or options.scan):
        options.digital = 4
    groups: dict[str, list[Outcome]] = {}
    for bodies in (
        digital(options.digital),
        painted_bodies(options.data, options.painted) if options.painted else (),
        map(scanned, options.scan),
    ):
        for body in bodies:
            for name, copy in copies(body, quick=options.quick):
                one = outcome(copy)
                groups.setdefault(body.group, []).append(one)
                if one.hard or one.deg > RIGHT_DEG or one.heads_mm > RIGHT_MM:
                    print(
                        f"  {body.name}, {name}: {one.deg:.1f} deg, heads {one.heads_mm:.1f} mm, "
                        f"{', '.join(sorted(one.hard)) or 'not flagged'}"
                    )
    for group, outcomes in groups.items():
        table(group, outcomes)


if __name__ == "__main__":
    main()

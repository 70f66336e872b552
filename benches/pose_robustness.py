"""How often the automatic pose survives what happens to scans: one body, many perturbed copies.

    python benches/pose_robustness.py --digital 4             # digital pelves: no data needed
    python benches/pose_robustness.py --painted               # CTs painted from experts' pelves
    python benches/pose_robustness.py --scan patient/ct       # a scan of your own
    python benches/pose_robustness.py --quick                 # half of the copies of each

Copies are cropped, stored otherwise, resampled, noisy, scaled in HU, larger or smaller, turned;
they have things on the skin and what is as dense as bone (`rhoa.phantom.with_things`); the patient
lies prone or on a side in a scan that says supine. Thresholds of the pose are chosen on
`CHOSEN_ON` alone and reported on `REPORTED_ON`. The table names the truth that each group rests on,
and counts bodies besides cases: digital pelves know theirs, painted ones have the consensus of five
experts, a real scan has what rhoa finds in it untouched, so that only the change is measured.
"""

from __future__ import annotations

import argparse
import os
import sys
import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import numpy as np
from scipy.ndimage import affine_transform, gaussian_filter

import rhoa
from rhoa.errors import PoseError
from rhoa.phantom import ABDOMEN, Anatomy, ct, with_things
from rhoa.phantom.anatomy import PLAIN, Thing
from rhoa.pose import difference, from_landmarks, from_volume
from rhoa.pose.bone import Faces, along_patient

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

    Points = NDArray[np.float64]

SIDES = ("left", "right")
RIGHT_DEG, WRONG_DEG, RIGHT_MM = 3.0, 5.0, 5.0
HEADING = """
| Group | bodies | cases | heads <= 5 mm | pose <= 3 deg | usable | usable hips of those inside \
| lost, flagged | unflagged > 3 deg | unflagged > 5 deg |
|---|---|---|---|---|---|---|---|---|---|"""
CHOSEN_ON = {"painted": ("z001", "z013", "z023", "z056"), "digital": range(1000, 1012)}
REPORTED_ON = {"painted": ("z027", "z036", "z046", "z064"), "digital": range(3000, 3100)}
"""Names of experts' pelves, and seeds of digital ones; of these the model holds none."""
HEAD_MM = 28.0
"""From the ends of a scan, of the centre of a hip that is inside."""
THINGS: tuple[Thing, ...] = get_args(Thing)
POSITIONS = {
    "prone": np.diag([-1.0, -1.0, 1.0]),
    "on the left side": np.array([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]),
    "on the right side": np.array([[0.0, 1.0, 0.0], [-1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]),
}
"""How a patient lies whom the scan's axes call supine."""


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
    marks = rhoa.Landmarks(*body.landmarks)
    for number, things in enumerate([*((thing,) for thing in THINGS), THINGS]):
        made = with_things(body.volume, marks, things, seed=number)
        yield "all things" if len(things) > 1 else things[0], replace(body, volume=made)
    for name, turn in POSITIONS.items():
        matrix = np.eye(4)
        matrix[:3, :3] = turn
        lying = replace(body, group=f"{body.group}, lying otherwise than said")
        yield name, lying.moved(matrix)
    for size in (0.88,) if quick else (0.85, 0.92, 1.08, 1.15):
        yield f"size {size}", body.moved(np.diag([size, size, size, 1.0]))
    spacing = tuple(np.maximum(body.volume.spacing_mm, 1.5))
    for axis, degrees in ((2, 15),) if quick else [(a, d) for a in range(3) for d in (-15, 15)]:
        turn, (one, other) = np.eye(3), [(1, 2), (2, 0), (0, 1)][axis]
        cosine, sine = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
        turn[one, one] = turn[other, other] = cosine
        turn[one, other], turn[other, one] = -sine, sine
        yield f"turned {degrees:+d} deg about {'xyz'[axis]}", resampled(body, spacing, turn)


def digital(seeds: Iterable[int]) -> Iterator[Body]:
    """Digital pelves: every other one in a whole abdomen, half of these with a prosthesis."""
    for seed in seeds:
        around = PLAIN if seed % 2 == 0 else ABDOMEN
        if seed % 4 == 1:
            around = replace(around, implant=SIDES[seed % 8 == 1])
        random = np.random.default_rng([seed, 5])
        case = ct(
            Anatomy.random(seed),
            spacing_mm=tuple(random.uniform((1.2, 1.3, 1.3), 2.5)),
            angles=tuple(random.uniform((-20, -8, -12), (20, 8, 12))),
            surroundings=around,
        )
        heads = np.stack([case.hip_centres[side] for side in SIDES])
        truth = f"digital pelves{', a hip replaced' if around.implant else ''} (truth: known)"
        yield Body(f"{seed}", truth, case.volume, case.landmarks.as_array(), heads)


def painted_bodies(data: Path, names: Iterable[str]) -> Iterator[Body]:
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
        f"{Path(path).name} (truth: own pose, untouched)",
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
    hips_inside: int
    hips_usable: int
    """Of those inside: found within 5 mm, in a pose that may be used."""


def outcome(body: Body) -> Outcome:
    """The pose and the joints of one copy against its truth."""
    faces = Faces.of_array(body.volume.shape, body.volume.affine)
    inside = faces.distances(body.heads).min(axis=1) > HEAD_MM
    try:
        found = from_volume(body.volume)
    except PoseError:
        refused = frozenset({"refused"})
        return Outcome(body.name, np.inf, np.inf, refused, int(inside.sum()), 0)
    true = from_landmarks(rhoa.Landmarks(*body.landmarks))
    joints = rhoa.hips.joints(body.volume, found)
    away = np.array(
        [
            np.linalg.norm(joints[side].centre_lps_mm - head)
            for side, head in zip(SIDES, body.heads, strict=True)
        ]
    )
    usable = inside & (away <= RIGHT_MM) & (not found.hard_flags)
    return Outcome(
        body.name,
        difference(found, true).turn_deg,
        float(away.max()),
        found.hard_flags,
        int(inside.sum()),
        int(usable.sum()),
    )


def row(group: str, outcomes: list[Outcome]) -> str:
    """One line of the table: of how many bodies and cases, shares of the cases, counts."""
    deg = np.array([one.deg for one in outcomes])
    heads = np.array([one.heads_mm for one in outcomes])
    hard = np.array([bool(one.hard) for one in outcomes])
    right = deg <= RIGHT_DEG
    hips = sum(one.hips_usable for one in outcomes) / sum(one.hips_inside for one in outcomes)
    cells = [
        group,
        len({one.body for one in outcomes}),
        len(outcomes),
        f"{np.mean(heads <= RIGHT_MM):.1%}",
        f"{np.mean(right):.1%}",
        f"{np.mean(right & ~hard):.1%}",
        f"{hips:.1%}",
        np.sum(~(right & (heads <= RIGHT_MM)) & hard),
        np.sum(~right & ~hard),
        np.sum((deg > WRONG_DEG) & ~hard),
    ]
    return f"| {' | '.join(map(str, cells))} |"


def main() -> None:
    """Print every copy that is lost, wrong or flagged, then the tables."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("RHOA_DATA", beside)))
    parser.add_argument("--digital", type=int, default=0, metavar="N", help="digital pelves")
    parser.add_argument("--painted", type=int, default=0, metavar="N", help="experts' pelves")
    parser.add_argument("--chosen-on", action="store_true", help="bodies thresholds are chosen on")
    parser.add_argument("--scan", nargs="*", default=[], metavar="PATH", help="real scans")
    parser.add_argument("--quick", action="store_true", help="a dozen copies of each body")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    if not (options.digital or options.painted or options.scan):
        options.digital = 4
    names = CHOSEN_ON if options.chosen_on else REPORTED_ON
    groups: dict[str, list[Outcome]] = {}
    for bodies in (
        painted_bodies(options.data, names["painted"][: options.painted]),
        map(scanned, options.scan),
        digital(names["digital"][: options.digital]),
    ):
        for body in bodies:
            for name, copy in copies(body, quick=options.quick):
                one = outcome(copy)
                groups.setdefault(copy.group, []).append(one)
                if one.hard or one.deg > RIGHT_DEG or one.heads_mm > RIGHT_MM:
                    print(
                        f"  {body.name}, {name}: {one.deg:.1f} deg, heads {one.heads_mm:.1f} mm, "
                        f"{', '.join(sorted(one.hard)) or 'not flagged'}",
                        flush=True,
                    )
    print(HEADING)
    for group, outcomes in groups.items():
        print(row(group, outcomes))


if __name__ == "__main__":
    main()

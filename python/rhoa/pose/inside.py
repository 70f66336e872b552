"""Which part of the pelvis a scan holds, and which hips of it can be used."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np

from rhoa.errors import ParameterError, PoseError, VolumeError, require_positive
from rhoa.pose.alignment import Alignment, Landmarks, from_landmarks
from rhoa.pose.flaws import PARTIAL, Flaws, find_flaws
from rhoa.pose.functional import tipped
from rhoa.pose.metal import BrightVoxels, bright_voxels, ends_below_metal, metal_pieces
from rhoa.pose.population import PARTS_MM, hip_centre, measured_centre
from rhoa.pose.scanned import Scanned
from rhoa.pose.sides import SIDES
from rhoa.pose.thumbnails import Thumbnails
from rhoa.pose.verdict import Coverage, HipCoverage, Metal
from rhoa.reading import as_volume
from rhoa.reading.looks import CUT_SLICES, METAL_CM3
from rhoa.reading.motion import BODY_HU

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from rhoa.pose.sides import Side
    from rhoa.pose.verdict import Reason
    from rhoa.reading import Scan
    from rhoa.volume import Volume

JOINT_MM = 35.0
"""Half the side of the box around a hip (Gebre et al. 2022)."""
LEAST_JOINT, LEAST_REGION = 0.95, 0.99
"""Share that must have been scanned of the joint, and of the region around it."""
SAMPLE_MM = 2.5
"""At most, between the points that stand for a region."""
MIDDLE_MM = 15.0
"""Metal this near to the middle belongs to no side."""
LEFT_OUT = ("localizers_dropped", "pages_dropped", "copies_dropped", "blank_dropped", "repairs")
"""What the report of a volume tells of slices that are not in it, or not as they were."""
SLICE_FLAGS: Mapping[Reason, str] = {
    "blank": "blank_slices",
    "partial": "partial_slices",
    "duplicated": "duplicated_slices",
    "shifted": "shifted_slices",
    "unlike": "unlike_slices",
    "streaked": "streaked_slices",
}


def coverage(
    volume: Scan, alignment: Alignment | Landmarks | None = None, *, roi_mm: float = 50.0
) -> Coverage:
    """What of the pelvis and of each hip is inside a scan, and what is wrong with its slices.

    Sides are judged one by one, so that one bad hip does not lose the patient. Nothing is dropped:
    slices that are not as they should be are listed, each with its index and the reason.

    Parameters
    ----------
    volume
        The scan, or its path, with its axes in any order. It is not copied: slices are
        compared at 128 rows and columns at most, metal is looked for in every voxel.
    alignment
        The AP frame, or the landmarks that define one. Hip centres are taken from
        ``quality["hip_left_x_mm"]`` and its like where they were measured; else from the
        population, within about 8 mm. Without it hips and parts of the pelvis are left out, and
        metal is said to lie left or right of the body's middle.
    roi_mm
        Half the side of the region around each hip centre, along the axes of the AP frame.

    Returns
    -------
    Coverage
        ``.hips["left"].usable``, ``.usable_sides``, ``.missing_parts``, ``.slices``, ``.metal``,
        ``.cut_share``, ``.flags``; ``print`` it for a summary.

    Raises
    ------
    ParameterError
        If ``volume`` is neither `Volume` nor path, or an option has the wrong form.
    VolumeError
        If the volume is empty.
    PoseError
        If the alignment points the patient's left to the right, or the head down.

    Examples
    --------
    >>> import rhoa
    >>> from rhoa.phantom import Anatomy, ct
    >>> pelvis = ct(Anatomy.random(1), spacing_mm=(5, 4, 4))
    >>> print(rhoa.pose.coverage(pelvis.volume, pelvis.landmarks))
    left hip: usable (100% of its region scanned, 113 mm from the edge, centre assumed)
    right hip: usable (100% of its region scanned, 113 mm from the edge, centre assumed)
    pelvis: all of it inside the scan
    slices: 61, none flagged
    """
    volume = as_volume(volume)
    frame = _require(volume, alignment)
    roi_mm = require_positive("roi_mm", roi_mm)
    thumbnails = Thumbnails.of(volume)
    flaws = Flaws((), {}) if thumbnails.is_doubtful else find_flaws(thumbnails)
    scan = _Scan(Scanned(thumbnails, flaws), bright_voxels(volume))
    report = volume.report or {}
    metal = () if scan.is_doubtful else _metal(scan, frame)
    return Coverage(
        {} if frame is None else {side: _hip(scan, frame, side, roi_mm) for side in SIDES},
        {} if frame is None else _parts(scan.scanned, frame),
        thumbnails.slice_axis,
        len(thumbnails.slices),
        flaws.findings,
        metal,
        scan.scanned.cut_shares(),
        {name: report[name] for name in LEFT_OUT if report.get(name)},
        _flags(scan, metal),
    )


@dataclass(frozen=True, slots=True)
class _Scan:
    scanned: Scanned
    bright: BrightVoxels

    @property
    def is_doubtful(self) -> bool:
        """Whether the values cannot be Hounsfield units."""
        return self.scanned.thumbnails.is_doubtful or self.bright.too_many

    @property
    def is_cut_off(self) -> bool:
        """Whether the values end where bone still is."""
        thumbnails = self.scanned.thumbnails
        cell_cm3 = self.bright.voxel_cm3 * thumbnails.step**2
        return ends_below_metal(thumbnails.slices, self.bright.highest_hu, cell_cm3)


def _require(volume: Volume, alignment: object) -> Alignment | None:
    """The alignment of a scan that can be judged."""
    if 0 in volume.shape:
        raise VolumeError(f"the volume is empty: its shape is {volume.shape}.")
    if isinstance(alignment, Landmarks):
        alignment = from_landmarks(alignment)
    if alignment is None:
        return None
    if not isinstance(alignment, Alignment):
        raise ParameterError(
            "alignment must be None, a rhoa.Alignment or a rhoa.Landmarks; "
            f"got {type(alignment).__name__}."
        )
    if not alignment.upright:
        raise PoseError(
            "the alignment points the patient's left to the right, or the head down; "
            "check that left and right landmarks are not swapped."
        )
    return alignment


def _hip(scan: _Scan, frame: Alignment, side: Side, roi_mm: float) -> HipCoverage:
    scanned = scan.scanned
    centre, measured = hip_centre(frame, side), measured_centre(frame, side) is not None
    count = int(np.ceil(2 * roi_mm / SAMPLE_MM)) + 1
    line = np.linspace(-roi_mm, roi_mm, count)
    offsets = np.stack(np.meshgrid(line, line, line, indexing="ij"), axis=-1).reshape(-1, 3)
    region = frame.to_lps(centre + offsets)
    joint = np.abs(offsets).max(axis=1) <= JOINT_MM
    seen = scanned.seen(region)
    near = (np.abs(frame.to_ap(scan.bright.lps_mm) - centre) <= roi_mm).all(axis=1)
    hip = HipCoverage(
        side,
        (float(centre[0]), float(centre[1]), float(centre[2])),
        measured,
        float(seen.mean()),
        float(seen[joint].mean()) if joint.any() else float(seen.mean()),
        float(scanned.margins_mm(frame.to_lps(centre[None]))[0]),
        float(np.count_nonzero(near)) * scan.bright.voxel_cm3,
        _cut_share(scanned, frame, side, region),
        _slices(scanned, region[joint]),
    )
    return replace(hip, flags=_hip_flags(hip, frame, scan, region[joint]))


def _slices(scanned: Scanned, joint: NDArray[np.float64]) -> dict[Reason, tuple[int, ...]]:
    """Flagged slices across a joint; partial ones where they lack some of it."""
    k, j, i = scanned.thumbnails.places(joint)
    reached = scanned.faces.distances(joint).min(axis=1) > 0
    if not reached.any():
        return {}
    low, high = int(k[reached].min()), int(k[reached].max())
    found: dict[Reason, tuple[int, ...]] = {}
    for one in scanned.flaws.findings:
        lost = scanned.flaws.lost.get(one.index)
        elsewhere = lost is not None and lost[j, i].mean() < PARTIAL
        if low <= one.index <= high and not elsewhere:
            found[one.reason] = (*found.get(one.reason, ()), one.index)
    return found


def _cut_share(
    scanned: Scanned, frame: Alignment, side: Side, region: NDArray[np.float64]
) -> float:
    """Share of the slices across a region on which the body is cut on that side."""
    index, cuts = scanned.cuts
    k, _, _ = scanned.thumbnails.places(region)
    across = (index >= k.min()) & (index <= k.max())
    if not across.any():
        return 0.0
    cut = 0
    for n in np.flatnonzero(across):
        pixels = np.argwhere(cuts[n])
        lps = scanned.thumbnails.grid.to_lps(
            np.column_stack([np.full(len(pixels), index[n]), pixels])
        )
        x = frame.to_ap(lps)[:, 0]
        cut += bool((x > 0 if side == "left" else x < 0).any())
    return cut / int(np.count_nonzero(across))


def _hip_flags(
    hip: HipCoverage, frame: Alignment, scan: _Scan, joint: NDArray[np.float64]
) -> frozenset[str]:
    flags = {SLICE_FLAGS[reason] for reason in hip.slices}
    if frame.hard_flags:
        flags.add("pose_not_used")
    if hip.joint_fraction < LEAST_JOINT:
        flags.add("field_of_view")
    elif hip.inside_fraction < LEAST_REGION:
        flags.add("close_to_edge")
    if hip.cut_share > CUT_SLICES:
        flags.add("body_cut")
    if scan.is_doubtful:
        return frozenset(flags | {"not_hounsfield"})
    if scan.is_cut_off:
        flags.add("values_cut_off")
    if hip.metal_cm3 > METAL_CM3:
        flags.add("implant")
    elif _metal_across(scan, joint) > METAL_CM3:
        flags.add("metal_nearby")
    return frozenset(flags)


def _metal_across(scan: _Scan, joint: NDArray[np.float64]) -> float:
    """Volume in cm3 of the metal on the slices across a joint: its streaks may reach it."""
    if scan.bright.cm3 <= METAL_CM3:
        return 0.0
    of_joint, of_metal = (scan.scanned.thumbnails.places(p)[0] for p in (joint, scan.bright.lps_mm))
    across = (of_metal >= of_joint.min()) & (of_metal <= of_joint.max())
    return float(np.count_nonzero(across)) * scan.bright.voxel_cm3


def _parts(scanned: Scanned, frame: Alignment) -> dict[str, float]:
    """Distance in mm of each part of the pelvis to the nearest end of the scan."""
    places: dict[str, NDArray[np.float64]] = {}
    for side in SIDES:
        sign = 1.0 if side == "left" else -1.0
        for name, point in PARTS_MM.items():
            places[f"{name}_{side}"] = tipped(np.array(point) * (sign, 1.0, 1.0), frame)
        centre = measured_centre(frame, side)
        if centre is not None:
            places[f"hip_centre_{side}"] = centre
    lps = dict(zip(places, frame.to_lps(np.stack(list(places.values()))), strict=True))
    if frame.landmarks is not None:
        for side in SIDES:
            lps[f"anterior_spine_{side}"] = getattr(frame.landmarks, f"asis_{side}")
            lps[f"pubic_tubercle_{side}"] = getattr(frame.landmarks, f"pubic_tubercle_{side}")
    margins = scanned.margins_mm(np.stack(list(lps.values())))
    return dict(zip(lps, margins.tolist(), strict=True))


def _metal(scan: _Scan, frame: Alignment | None) -> tuple[Metal, ...]:
    """The pieces of metal, and on which side each lies."""
    found = []
    for cm3, centre in metal_pieces(scan.bright):
        x = (
            centre[0] - _middle_x(scan.scanned.thumbnails)
            if frame is None
            else frame.to_ap(centre)[0]
        )
        side: Literal["left", "right", "middle"] = "left" if x > 0 else "right"
        point = (float(centre[0]), float(centre[1]), float(centre[2]))
        found.append(Metal(cm3, point, "middle" if abs(x) < MIDDLE_MM else side))
    return tuple(found)


def _middle_x(thumbnails: Thumbnails) -> float:
    """LPS x of the body's middle."""
    places = np.argwhere(thumbnails.slices[::4] > BODY_HU) * (4, 1, 1)
    return float(thumbnails.grid.to_lps(places)[:, 0].mean()) if len(places) else 0.0


def _flags(scan: _Scan, metal: tuple[Metal, ...]) -> frozenset[str]:
    """Of the scan as a whole."""
    thumbnails = scan.scanned.thumbnails
    known = {
        "not_hounsfield": scan.is_doubtful,
        "no_body": not thumbnails.is_body,
        "values_cut_off": scan.is_cut_off,
        "metal": bool(metal),
        "body_cut": scan.scanned.cut_shares().get("any", 0.0) > CUT_SLICES,
    }
    flaws = {SLICE_FLAGS[one.reason] for one in scan.scanned.flaws.findings}
    return frozenset({name for name, holds in known.items() if holds} | flaws)

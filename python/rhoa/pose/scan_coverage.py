"""Which part of the pelvis a scan holds, and which hips of it can be used."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import groupby
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from rhoa._types import SIDES, Frozen
from rhoa.errors import ParameterError, require_positive
from rhoa.files import html_view
from rhoa.pose.alignment import (
    Alignment,
    Landmarks,
    from_landmarks,
    require_upright,
    tipped,
)
from rhoa.pose.bone import Faces
from rhoa.pose.population import PARTS_MM, hip_centre, measured_centre
from rhoa.pose.slice_quality import (
    PARTIAL,
    REASONS,
    BrightVoxels,
    DownsampledScan,
    Metal,
    SliceDefects,
    bright_voxels,
    ends_below_metal,
    find_slice_defects,
    metal_pieces,
)
from rhoa.reading import as_volume
from rhoa.reading.quality import BODY_HU, CUT_SLICES, METAL_CM3, body_cuts

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from numpy.typing import NDArray

    from rhoa._types import Side
    from rhoa.pose.slice_quality import Reason, SliceFinding
    from rhoa.reading.reader import Scan


# Coverage records: what is inside a scan, and which hips can be used.

HIP_WARNINGS = frozenset(
    {
        "body_cut",
        "close_to_edge",
        "duplicated_slices",
        "low_confidence",
        "metal_nearby",
        "streaked_slices",
        "values_cut_off",
    }
)
"""Flags of a hip that ask for review; every other flag makes it unusable, unless it is accepted."""
HIP_REFUSALS: Mapping[str, str] = MappingProxyType(
    {
        "blank_slices": "slices across the joint are blank",
        "box_outside_image": "the box of the hip leaves the image",
        "field_of_view": "the scan lacks part of the joint",
        "implant": "there is metal in the joint",
        "not_found": "no femoral head was found there",
        "not_hounsfield": "the voxels are no Hounsfield units",
        "partial_slices": "slices across the joint lack part of it",
        "pose_not_used": "the pose of the pelvis cannot be trusted",
        "shifted_slices": "slices across the joint are shifted",
        "unlike_slices": "slices across the joint are unlike their neighbours",
    }
)
"""Flags that make a hip unusable, with what they mean; each can be accepted by its name."""


@dataclass(frozen=True, slots=True)
class HipCoverage(Frozen):
    """Whether the hip of one side is inside the scan and fit for use.

    Flags that make it unusable: ``field_of_view`` (the scan lacks part of the joint),
    ``implant``, ``blank_slices``, ``partial_slices``, ``shifted_slices``, ``unlike_slices`` (across
    the joint), ``not_hounsfield``, ``pose_not_used`` (the alignment has hard flags of its own); of
    `rhoa.hips.extract`, which also looks for the joint, ``not_found`` and ``box_outside_image``.
    Warnings: ``close_to_edge`` (the joint is inside, part of the region around it is not),
    ``body_cut`` (this side of the body leaves the field of view beside the joint),
    ``metal_nearby`` (on the same slices), ``duplicated_slices``, ``streaked_slices``,
    ``values_cut_off`` (at so low a value that metal cannot be detected), ``low_confidence`` (of
    `rhoa.hips.extract`: a femoral head that is half hidden, or far from where it should be).
    """

    side: Side
    centre_mm: tuple[float, float, float]
    """Of the femoral head or its socket, in the AP frame."""
    measured: bool
    """Whether the centre was found in this scan; else it is where it lies in the population."""
    inside_fraction: float
    """Share of the region around the centre that was scanned."""
    joint_fraction: float
    """Share of the cube of 70 mm around the centre that was scanned."""
    margin_mm: float
    """From the centre to the nearest end of the scan; below zero outside."""
    metal_cm3: float
    """Above 2500 HU, in the region."""
    cut_share: float
    """Of the slices across the region, those on which the body is cut on this side."""
    slices: Mapping[Reason, tuple[int, ...]] = field(default_factory=dict)
    """Indices of the flagged slices across the joint, by reason."""
    flags: frozenset[str] = frozenset()
    accepted: frozenset[str] = frozenset()
    """Flags that a person accepts: they forbid nothing."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "slices", MappingProxyType(dict(self.slices)))

    @property
    def warnings(self) -> frozenset[str]:
        """The flags that ask for review."""
        return self.flags & (HIP_WARNINGS | self.accepted)

    @property
    def hard_flags(self) -> frozenset[str]:
        """The flags that make the hip unusable."""
        return self.flags - HIP_WARNINGS - self.accepted

    @property
    def usable(self) -> bool:
        """Whether nothing forbids the use of this hip."""
        return not self.hard_flags

    def as_dict(self) -> dict[str, Any]:
        """Plain types, as JSON has them."""
        return {
            "side": self.side,
            "usable": self.usable,
            "flags": sorted(self.flags),
            "accepted": sorted(self.accepted & self.flags),
            "centre_mm": [round(value, 2) for value in self.centre_mm],
            "measured": self.measured,
            "inside_fraction": round(self.inside_fraction, 4),
            "joint_fraction": round(self.joint_fraction, 4),
            "margin_mm": round(self.margin_mm, 2),
            "metal_cm3": round(self.metal_cm3, 3),
            "cut_share": round(self.cut_share, 3),
            "slices": {reason: list(found) for reason, found in self.slices.items()},
        }

    def __str__(self) -> str:
        verdict = "usable" if self.usable else f"not usable: {flag_names(self.hard_flags)}"
        if self.warnings:
            verdict += f"; flagged: {flag_names(self.warnings)}"
        facts = [f"{self.inside_fraction:.0%} of its region scanned"]
        facts.append(f"{self.margin_mm:.0f} mm from the edge")
        if self.metal_cm3 >= 0.05:
            facts.append(f"{self.metal_cm3:.1f} cm3 of metal")
        if not self.measured:
            facts.append("centre assumed")
        return f"{self.side} hip: {verdict} ({', '.join(facts)})"


@dataclass(frozen=True, slots=True)
class Coverage(Frozen):
    """What a scan covers and what is wrong with it: see `rhoa.pose.coverage`.

    ``hips`` and ``parts_mm`` are empty where no alignment was given. ``str(coverage)`` is a short
    report; `as_dict` has plain types for JSON.
    """

    hips: Mapping[Side, HipCoverage]
    parts_mm: Mapping[str, float]
    """Distance in mm from parts of the pelvis, ``"iliac_crest_left"`` and so on, to the nearest end
    of the scan; below zero outside."""
    slice_axis: int
    slice_count: int
    slices: tuple[SliceFinding, ...] = ()
    """Every axial slice that is not as it should be, and why; none was dropped."""
    metal: tuple[Metal, ...] = ()
    cut_share: Mapping[str, float] = field(default_factory=dict)
    """Share of the slices on which the field of view cuts the body: ``"any"``, and at the
    ``"left"``, ``"right"``, ``"front"``, ``"back"``. Empty where no body was found."""
    reader: Mapping[str, Any] = field(default_factory=dict)
    """What `rhoa.read_ct` left out or repaired before, from the volume's report."""
    flags: frozenset[str] = frozenset()
    """Of the scan as a whole: ``not_hounsfield``, ``no_body`` (too small or no body: motion and cut
    bodies were not looked for), ``values_cut_off`` (at so low a value that metal cannot be
    detected), ``body_cut``, ``metal``, and ``blank_slices`` and the like for each reason."""

    def __post_init__(self) -> None:
        for name in ("hips", "parts_mm", "cut_share", "reader"):
            object.__setattr__(self, name, MappingProxyType(dict(getattr(self, name))))

    @property
    def usable_sides(self) -> tuple[Side, ...]:
        """The sides whose hip can be used."""
        return tuple(side for side, hip in self.hips.items() if hip.usable)

    @property
    def missing_parts(self) -> tuple[str, ...]:
        """Parts of the pelvis that lie outside the scan."""
        return tuple(name for name, margin in self.parts_mm.items() if margin < 0)

    def indices(self, reason: Reason) -> tuple[int, ...]:
        """Indices of the slices that were flagged for a reason."""
        return tuple(found.index for found in self.slices if found.reason == reason)

    def as_dict(self) -> dict[str, Any]:
        """Plain types, as JSON has them."""
        return {
            "usable_sides": list(self.usable_sides),
            "flags": sorted(self.flags),
            "hips": {side: hip.as_dict() for side, hip in self.hips.items()},
            "parts_mm": {name: round(margin, 1) for name, margin in self.parts_mm.items()},
            "slice_axis": self.slice_axis,
            "slice_count": self.slice_count,
            "slices": [
                {"index": one.index, "reason": one.reason, "note": one.note} for one in self.slices
            ],
            "metal": [
                {
                    "cm3": round(piece.cm3, 3),
                    "centre_lps_mm": [round(value, 2) for value in piece.centre_lps_mm],
                    "side": piece.side,
                }
                for piece in self.metal
            ],
            "cut_share": {where: round(share, 3) for where, share in self.cut_share.items()},
            "reader": dict(self.reader),
        }

    def __str__(self) -> str:
        lines = [str(hip) for hip in self.hips.values()]
        if self.missing_parts:
            lines.append(f"outside the scan: {', '.join(self.missing_parts).replace('_', ' ')}")
        elif self.parts_mm:
            lines.append("pelvis: all of it inside the scan")
        for piece in self.metal:
            place = "in the middle" if piece.side == "middle" else f"on the {piece.side}"
            lines.append(f"metal: {piece.cm3:.1f} cm3, {place}")
        if self.cut_share.get("any"):
            where = [name for name, share in self.cut_share.items() if share and name != "any"]
            lines.append(
                f"body: cut by the field of view on {self.cut_share['any']:.0%} of the slices "
                f"({', '.join(where)})"
            )
        found = [f"{reason} {_runs(self.indices(reason))}" for reason in REASONS
                 if self.indices(reason)]  # fmt: skip
        lines.append(f"slices: {self.slice_count}, {'; '.join(found) or 'none flagged'}")
        for name, what in self.reader.items():  # counts, and names of repairs
            items = what if isinstance(what, list) else [what]
            names = [str(one.get("name", one)) if isinstance(one, dict) else str(one)
                     for one in items]  # fmt: skip
            lines.append(f"{name.replace('_', ' ')} by the reader: {', '.join(names)}")
        odd = self.flags & {"not_hounsfield", "no_body", "values_cut_off"}
        lines += [f"not judged: {flag_names(odd)}"] if odd else []
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        parts = [line.partition(": ") for line in str(self).splitlines()]
        return html_view("Coverage of the scan", [(name, value) for name, _, value in parts])


def flag_names(flags: Collection[str]) -> str:
    """Names of flags in order, as words."""
    return ", ".join(sorted(flags)).replace("_", " ")


def _runs(indices: Sequence[int]) -> str:
    """Whole numbers as runs: ``3-7, 12``."""
    runs = []
    for _, run in groupby(enumerate(indices), key=lambda pair: pair[1] - pair[0]):
        numbers = [number for _, number in run]
        runs.append(str(numbers[0]) if len(numbers) == 1 else f"{numbers[0]}-{numbers[-1]}")
    return ", ".join(runs)


# Where a scan has seen the patient: inside its faces and its circle, on slices that hold it.

CUT_EVERY_MM = 4.0
"""Between slices in which the body is looked for at the edge of the field of view."""
CUT_PART = 0.1
"""Share of what is cut on a slice that must lie on one side to count for it."""
DIRECTIONS = ("left", "right", "front", "back")
_ON_FACE_MM = 1e-6


@dataclass(frozen=True, eq=False)
class ScannedRegion:
    """Where a scan has values of the patient: the downsampled scan and its defects."""

    downsampled: DownsampledScan
    defects: SliceDefects

    @cached_property
    def blank(self) -> NDArray[np.bool_]:
        """Which slices are blank."""
        blank = np.zeros(len(self.downsampled.slices), dtype=bool)
        blank[[one.index for one in self.defects.findings if one.reason == "blank"]] = True
        return blank

    @cached_property
    def faces(self) -> Faces:
        """The ends of the scan; blank slices at an end are beyond it."""
        grid, voxels = self.downsampled.grid, self.downsampled.voxels
        affine = grid.affine.copy()
        affine[:3, 1:3] /= self.downsampled.step
        held = np.flatnonzero(~self.blank)
        first, last = (held[0], held[-1]) if len(held) else (0, len(self.blank) - 1)
        affine[:3, 3] += first * affine[:3, 0]
        return Faces.of_array((int(last - first) + 1, *voxels.shape[1:]), affine)

    def seen(self, lps_mm: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Whether each of the points ``(n, 3)`` was scanned."""
        inside = np.asarray((self.faces.distances(lps_mm) > -_ON_FACE_MM).all(axis=1))
        k, j, i = self.downsampled.places(lps_mm)
        inside &= self.downsampled.field[j, i] & ~self.blank[k]
        if self.downsampled.unknown is not None:
            inside &= ~self.downsampled.unknown[k, j, i]
        for index, lost in self.defects.lost.items():
            there = k == index
            inside[there] &= ~lost[j[there], i[there]]
        return inside

    def margins_mm(self, lps_mm: NDArray[np.float64]) -> NDArray[np.float64]:
        """Distance of the points ``(n, 3)`` to the nearest end of the scan; below zero outside."""
        margins = np.asarray(self.faces.distances(lps_mm).min(axis=1))
        field = self.downsampled.field
        if field.all():
            return margins
        steps = np.array(self.downsampled.grid.spacing_mm[1:])
        held, beyond = np.argwhere(field) * steps, np.argwhere(~field) * steps
        places = self.downsampled.grid.to_index(lps_mm)[:, 1:] * steps
        _, j, i = self.downsampled.places(lps_mm)
        for n, (place, inside) in enumerate(zip(places, field[j, i], strict=True)):
            away = np.linalg.norm((beyond if inside else held) - place, axis=1).min()
            margins[n] = min(margins[n], away if inside else -away)
        return margins

    @cached_property
    def cuts(self) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
        """Slices that were examined, and where the edge of the field cuts the body on them."""
        every = max(1, round(CUT_EVERY_MM / self.downsampled.grid.spacing_mm[0]))
        index = np.arange(0, len(self.downsampled.slices), every)
        index = index[~self.blank[index]] if self.downsampled.is_body else index[:0]
        return index, body_cuts(self.downsampled.slices[index], self.downsampled.field)

    def cut_shares(self) -> dict[str, float]:
        """Share of the slices on which the body is cut, anywhere and in each direction."""
        index, cuts = self.cuts
        if not len(index):
            return {}
        grid, (rows, columns) = self.downsampled.grid, cuts.shape[1:]
        pixels_of_slice = np.indices((rows, columns)).reshape(2, -1).T
        in_first = np.column_stack([np.zeros(len(pixels_of_slice)), pixels_of_slice])
        middle = grid.to_lps([0, (rows - 1) / 2, (columns - 1) / 2])
        x, y, _ = (grid.to_lps(in_first) - middle).T
        aside = np.abs(x) > np.abs(y)
        parts = (aside & (x > 0), aside & (x <= 0), ~aside & (y < 0), ~aside & (y >= 0))
        pixels = cuts.reshape(len(index), -1)
        total = pixels.sum(axis=1)
        shares = {"any": float((total > 0).mean())}
        for name, part in zip(DIRECTIONS, parts, strict=True):
            here = pixels[:, part].sum(axis=1)
            shares[name] = float(((total > 0) & (here > CUT_PART * total)).mean())
        return shares


# Which part of the pelvis a scan holds, and which hips of it can be used.

JOINT_MM = 35.0
"""Half the side of the box around a hip (Gebre et al. 2022)."""
LEAST_JOINT, LEAST_REGION = 0.95, 0.99
"""Share that must have been scanned of the joint, and of the region around it."""
SAMPLE_MM = 2.5
"""At most, between the points that stand for a region."""
MIDDLE_MM = 15.0
"""Metal this near to the middle belongs to no side."""
LEFT_OUT = ("localizers_dropped", "pages_dropped", "copies_dropped", "blank_dropped", "repairs")
"""What the report of a volume says of slices that are not in it, or not as they were."""
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
    frame = _require_frame(alignment)
    roi_mm = require_positive("roi_mm", roi_mm)
    downsampled = DownsampledScan.of(volume)
    defects = SliceDefects((), {}) if downsampled.is_doubtful else find_slice_defects(downsampled)
    scan = _RegionAndMetal(ScannedRegion(downsampled, defects), bright_voxels(volume))
    report = volume.report or {}
    metal = () if scan.is_doubtful else _metal(scan, frame)
    cut_shares = scan.scanned.cut_shares()
    known = {
        "not_hounsfield": scan.is_doubtful,
        "no_body": not downsampled.is_body,
        "values_cut_off": scan.is_cut_off,
        "metal": bool(metal),
        "body_cut": cut_shares.get("any", 0.0) > CUT_SLICES,
    }
    flags = {name for name, holds in known.items() if holds}
    return Coverage(
        {} if frame is None else {side: _hip(scan, frame, side, roi_mm) for side in SIDES},
        {} if frame is None else _parts(scan.scanned, frame),
        downsampled.slice_axis,
        len(downsampled.slices),
        defects.findings,
        metal,
        cut_shares,
        {name: report[name] for name in LEFT_OUT if report.get(name)},
        frozenset(flags | {SLICE_FLAGS[one.reason] for one in defects.findings}),
    )


@dataclass(frozen=True, slots=True)
class _RegionAndMetal:
    scanned: ScannedRegion
    bright: BrightVoxels

    @property
    def is_doubtful(self) -> bool:
        """Whether the values cannot be Hounsfield units."""
        return self.scanned.downsampled.is_doubtful or self.bright.too_many

    @property
    def is_cut_off(self) -> bool:
        """Whether the values end where bone still is."""
        downsampled = self.scanned.downsampled
        cell_cm3 = self.bright.voxel_cm3 * downsampled.step**2
        return ends_below_metal(downsampled.slices, self.bright.highest_hu, cell_cm3)


def _require_frame(alignment: object) -> Alignment | None:
    """The alignment of a scan that can be judged."""
    if isinstance(alignment, Landmarks):
        alignment = from_landmarks(alignment)
    if alignment is None:
        return None
    if not isinstance(alignment, Alignment):
        raise ParameterError(
            "alignment must be None, a rhoa.Alignment or a rhoa.Landmarks; "
            f"got {type(alignment).__name__}."
        )
    require_upright(alignment)
    return alignment


def _hip(scan: _RegionAndMetal, frame: Alignment, side: Side, roi_mm: float) -> HipCoverage:
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


def _slices(scanned: ScannedRegion, joint: NDArray[np.float64]) -> dict[Reason, tuple[int, ...]]:
    """Flagged slices across a joint; partial ones where they lack some of it."""
    k, j, i = scanned.downsampled.places(joint)
    reached = scanned.faces.distances(joint).min(axis=1) > 0
    if not reached.any():
        return {}
    low, high = int(k[reached].min()), int(k[reached].max())
    found: dict[Reason, tuple[int, ...]] = {}
    for one in scanned.defects.findings:
        lost = scanned.defects.lost.get(one.index)
        elsewhere = lost is not None and lost[j, i].mean() < PARTIAL
        if low <= one.index <= high and not elsewhere:
            found[one.reason] = (*found.get(one.reason, ()), one.index)
    return found


def _cut_share(
    scanned: ScannedRegion, frame: Alignment, side: Side, region: NDArray[np.float64]
) -> float:
    """Share of the slices across a region on which the body is cut on that side."""
    index, cuts = scanned.cuts
    k, _, _ = scanned.downsampled.places(region)
    across = (index >= k.min()) & (index <= k.max())
    if not across.any():
        return 0.0
    cut = 0
    for n in np.flatnonzero(across):
        pixels = np.argwhere(cuts[n])
        lps = scanned.downsampled.grid.to_lps(
            np.column_stack([np.full(len(pixels), index[n]), pixels])
        )
        x = frame.to_ap(lps)[:, 0]
        cut += bool((x > 0 if side == "left" else x < 0).any())
    return cut / int(np.count_nonzero(across))


def _hip_flags(
    hip: HipCoverage, frame: Alignment, scan: _RegionAndMetal, joint: NDArray[np.float64]
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


def _metal_across(scan: _RegionAndMetal, joint: NDArray[np.float64]) -> float:
    """Volume in cm3 of the metal on the slices across a joint: its streaks may reach it."""
    if scan.bright.cm3 <= METAL_CM3:
        return 0.0
    of_joint, of_metal = (
        scan.scanned.downsampled.places(p)[0] for p in (joint, scan.bright.lps_mm)
    )
    across = (of_metal >= of_joint.min()) & (of_metal <= of_joint.max())
    return float(np.count_nonzero(across)) * scan.bright.voxel_cm3


def _parts(scanned: ScannedRegion, frame: Alignment) -> dict[str, float]:
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


def _metal(scan: _RegionAndMetal, frame: Alignment | None) -> tuple[Metal, ...]:
    """The pieces of metal, and on which side each lies."""
    found = []
    for cm3, centre in metal_pieces(scan.bright):
        if frame is None:  # from the body's middle
            downsampled = scan.scanned.downsampled
            body = np.argwhere(downsampled.slices[::4] > BODY_HU) * (4, 1, 1)
            middle = float(downsampled.grid.to_lps(body)[:, 0].mean()) if len(body) else 0.0
            x = centre[0] - middle
        else:
            x = frame.to_ap(centre)[0]
        side: Literal["left", "right", "middle"] = "left" if x > 0 else "right"
        point = (float(centre[0]), float(centre[1]), float(centre[2]))
        found.append(Metal(cm3, point, "middle" if abs(x) < MIDDLE_MM else side))
    return tuple(found)

"""Slice geometry: order, spacing, gaps, tilt; the volume's grid, or why there is none.

Only Image Position (Patient), Image Orientation (Patient) and Pixel Spacing count: slice thickness,
instance number and the tilt tag are not for computation.
"""

from __future__ import annotations

import hashlib
import math
import os
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from rhoa.dicom.header import DEFLATED, inflate, unreadable
from rhoa.errors import GeometryError, WarningCollector
from rhoa.files import listed
from rhoa.reading.decoding import decode
from rhoa.reading.repairs import Dropped, records_of, usable

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from numpy.typing import NDArray

    from rhoa.dicom.header import Header, Plane
    from rhoa.reading.series_index import ImageSeries


# Where slices lie: what every one must state, what all must share, which are at one position.

UNIT_TOLERANCE = 1e-3
"""Deviation of direction cosines from unit length and from a right angle."""
TURN_TOLERANCE = 2e-4
"""Difference of a direction cosine between slices (0.01 deg)."""
SPACING_TOLERANCE_MM = 0.05
SPACING_TOLERANCE_RATIO = 0.01
"""Positions within the larger of the two are one; spacing even within it is even."""
TILT_LIMIT_DEG = 0.1
FARTHEST_MM = 1e6
"""No coordinate or pixel size of a scan is larger."""
SMALLEST_PIXEL_MM = 1e-4


def check_planes(planes: Sequence[Plane]) -> None:
    """Check that every slice states its geometry, and that all state the same grid.

    Raises
    ------
    GeometryError
        Naming the first file that does not.
    """
    placed = sum(plane.position_mm is not None for plane in planes)
    remedy = ', or pass repair="drop" to read the scan without the file' if placed > 1 else ""
    checked: object = None
    for plane in planes:
        position = plane.position_mm
        near = position is not None and all(abs(mm) <= FARTHEST_MM for mm in position)
        if not near or _grid(plane) != checked:
            _check_plane(plane, remedy)
        checked = _grid(plane)
    first = planes[0]
    for plane in planes[1:]:
        if _grid(plane) == _grid(first):
            continue
        if (plane.rows, plane.columns) != (first.rows, first.columns):
            raise GeometryError(
                f"{plane.name}: {plane.rows} x {plane.columns} pixels, but {first.name} has "
                f"{first.rows} x {first.columns}; all slices must have one size; "
                "leave out those that do not belong to the scan."
            )
        if not np.allclose(plane.pixel_mm or (), first.pixel_mm or (), rtol=1e-4, atol=0):
            raise GeometryError(
                f"{plane.name}: PixelSpacing {_numerals(plane.pixel_mm)} mm, but {first.name} has "
                f"{_numerals(first.pixel_mm)} mm; all slices must have one pixel size; "
                "leave out those that do not belong to the scan."
            )
        turn = np.abs(np.subtract(plane.orientation or (), first.orientation or ())).max()
        if turn > TURN_TOLERANCE:
            raise GeometryError(
                f"{plane.name}: ImageOrientationPatient ({_numerals(plane.orientation)}), but "
                f"{first.name} has ({_numerals(first.orientation)}); all slices must be parallel; "
                "leave out those that do not belong to the scan."
            )


def coincident(planes: Sequence[Plane]) -> list[tuple[int, ...]]:
    """Groups of two or more slices at one position, as indices; `check_planes` comes first.

    Positions nearer to each other than the tolerance of spacing are one.
    """
    order = sorted_along(planes)
    along = along_normal(planes)
    steps = np.diff(along[order])
    apart = steps[steps >= SPACING_TOLERANCE_MM]
    nearest = tolerance_of(usual_step(apart)) if len(apart) else SPACING_TOLERANCE_MM
    groups = [[order[0]]]
    for before, after in pairwise(order):
        if along[after] - along[before] < nearest:
            groups[-1].append(after)
        else:
            groups.append([after])
    return [tuple(group) for group in groups if len(group) > 1]


def describe_coincident(planes: Sequence[Plane], group: Sequence[int]) -> str:
    """The message about slices that share a position."""
    first, second = planes[group[0]], planes[group[1]]
    rows, columns = directions(first)
    return (
        f"{first.name} and {second.name}: {len(group)} slices at one position, "
        f"{place_of(np.array(first.position_mm), np.cross(rows, columns))}; "
        "read_ct needs one slice a position; they are several acquisitions or reconstructions "
        "in one series that nothing in their headers separates: pass the files of one of them."
    )


def usual_step(steps: NDArray[np.float64]) -> float:
    """The median of the distances between slices; the lower one of two."""
    return float(np.sort(steps)[(len(steps) - 1) // 2])


def tolerance_of(spacing_mm: float) -> float:
    """How far a distance between slices may be off."""
    return max(SPACING_TOLERANCE_RATIO * spacing_mm, SPACING_TOLERANCE_MM)


def orientation_name(plane: Plane) -> str:
    """``axial``, ``coronal``, ``sagittal`` or ``oblique``; empty where it is unknown."""
    if plane.orientation is None or not np.isfinite(plane.orientation).all():
        return ""
    normal = np.abs(np.cross(plane.orientation[:3], plane.orientation[3:]))
    if normal.max() < math.cos(math.radians(15)):
        return "oblique"
    return ("sagittal", "coronal", "axial")[int(normal.argmax())]


def _grid(plane: Plane) -> object:
    """What all slices of a volume share."""
    return plane.rows, plane.columns, plane.orientation, plane.pixel_mm


def _check_plane(plane: Plane, remedy: str) -> None:
    """Check one slice; ``remedy`` is what else can be done where its position is unknown."""
    required = {
        "ImagePositionPatient (0020,0032)": plane.position_mm,
        "ImageOrientationPatient (0020,0037)": plane.orientation,
        "PixelSpacing (0028,0030)": plane.pixel_mm,
    }
    for tag, numbers in required.items():
        otherwise = remedy if tag.startswith("ImagePosition") else ""
        if numbers is None:
            raise GeometryError(
                f"{plane.name}: {tag} is missing or unreadable; the scan cannot be placed in the "
                f"patient without it; export the original series{otherwise}."
            )
        if not np.isfinite(numbers).all():
            raise GeometryError(
                f"{plane.name}: {tag} holds a number that is not finite ({_numerals(numbers)}); "
                f"export the original series{otherwise}."
            )
        if max(map(abs, numbers)) > FARTHEST_MM:
            raise GeometryError(
                f"{plane.name}: {tag} holds a number that no scan has ({_numerals(numbers)}); "
                "export the original series."
            )
    if min(plane.pixel_mm or (0.0,)) < SMALLEST_PIXEL_MM:
        raise GeometryError(
            f"{plane.name}: PixelSpacing (0028,0030) is {_numerals(plane.pixel_mm)} mm; "
            "it must be above zero; export the original series."
        )
    rows, columns = np.reshape(plane.orientation or (), (2, 3))
    lengths = np.linalg.norm([rows, columns], axis=1)
    if np.abs(lengths - 1).max() > UNIT_TOLERANCE or abs(rows @ columns) > UNIT_TOLERANCE:
        raise GeometryError(
            f"{plane.name}: ImageOrientationPatient (0020,0037) is "
            f"({_numerals(plane.orientation)}); it must be two perpendicular unit vectors; "
            "export the original series."
        )


def directions(plane: Plane) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Unit vectors of growing column index and of growing row index."""
    rows, columns = np.reshape(np.array(plane.orientation), (2, 3))
    return rows / np.linalg.norm(rows), columns / np.linalg.norm(columns)


def along_normal(planes: Sequence[Plane]) -> NDArray[np.float64]:
    """Position of every slice along the common normal, in mm."""
    rows, columns = directions(planes[0])
    along: NDArray[np.float64] = np.array([plane.position_mm for plane in planes]) @ np.cross(
        rows, columns
    )
    return along


def sorted_along(planes: Sequence[Plane]) -> list[int]:
    """Indices of the planes, ascending along their normal."""
    return [int(n) for n in np.argsort(along_normal(planes), kind="stable")]


def place_of(position: NDArray[np.float64], normal: NDArray[np.float64]) -> str:
    """A slice's coordinate on the patient axis nearest to the normal."""
    axis = int(np.abs(normal).argmax())
    return f"{'xyz'[axis]} = {position[axis]:.2f} mm"


def _numerals(numbers: Sequence[float] | None) -> str:
    return ", ".join(f"{number:.6g}" for number in numbers or ())


# Along the normal: which slices the volume has, and of which scanned ones each is made.

UNEVEN_RATIO = 0.05
"""Distances between slices that are further off than the tolerance, but not than this, are a
warning."""
ROUNDED_MM = 0.1
"""To which some writers round positions: no slice is then further off than half of it."""
DRIFT_TOLERANCE_RATIO = 0.25
"""Distance of a slice from the even grid, in slice spacings."""
PART_RATIO = 10.0
"""Parts of one stack do not differ more in their spacing."""
_MOST_PLACES = 4  # that a message names
_MOST_PAIRS = 20_000  # of slices, whose distances give the usual spacing
_SAME_LEVEL = 1e-3  # of a spacing: a slice so near to a level lies on it


@dataclass(frozen=True, slots=True, eq=False)
class SliceResampling:
    """The slices of the volume, evenly spaced, made of scanned ones."""

    step_mm: float
    below: NDArray[np.intp]
    """For every slice of the volume, the scanned one at or below it."""
    share: NDArray[np.float64]
    """The weight of the next scanned slice."""
    filled: tuple[int, ...] = ()
    """Slices of the volume in the place of a missing one."""
    resampled: dict[str, Any] | None = None
    """The record of the repair "spacing", where it was needed."""
    warning: str = ""
    """Uneven spacing that is accepted with a warning; empty where it is even."""

    def records(self, affine: NDArray[np.float64]) -> list[dict[str, Any]]:
        """The report's entries of the repairs "spacing" and "gaps"."""
        records = [] if self.resampled is None else [self.resampled]
        if self.filled:
            places = affine[:3, 3] + np.outer(self.filled, affine[:3, 0])
            records.append(
                {
                    "name": "gaps",
                    "what": "missing slices were interpolated linearly between their neighbours",
                    "slices": list(self.filled),
                    "positions_mm": places.round(3).tolist(),
                }
            )
        return records


def resampled_slices(
    positions: NDArray[np.float64], normal: NDArray[np.float64], repairs: Collection[str]
) -> SliceResampling | str:
    """The slices of the volume, or what is wrong with the distances between the scanned ones.

    Parameters
    ----------
    positions
        Of the scanned slices, ascending along ``normal``.
    """
    scan = _SliceSpacing(positions, normal)
    if "spacing" in repairs and (scan.is_uneven or scan.drifts or scan.has_parts):
        return scan.resampled(gaps="gaps" in repairs)
    if scan.off > max(UNEVEN_RATIO * scan.usual, scan.tolerance):
        return (
            f"the slice spacing varies from {scan.range} mm (uneven by more than "
            f"{max(UNEVEN_RATIO * scan.usual, scan.tolerance):.2g} mm); read_ct needs even "
            f"spacing; read a reconstruction with even spacing{scan.remedy}"
        )
    if scan.whole.max() > (2 if "gaps" in repairs else 1):
        return scan.describe_gaps(asked="gaps" in repairs)
    if scan.drifts:
        return (
            f"the slice spacing drifts from {scan.range} mm, up to {scan.drift:.2g} mm off an even "
            f"grid; read a reconstruction with even spacing{scan.remedy}"
        )
    return scan.on_slots()


class _SliceSpacing:
    """Sorted slices and the distances between them."""

    def __init__(self, positions: NDArray[np.float64], normal: NDArray[np.float64]) -> None:
        self.positions, self.normal = positions, normal
        self.along: NDArray[np.float64] = positions @ normal
        self.steps = np.diff(self.along)
        self.usual = usual_step(self.steps)
        self.tolerance = tolerance_of(self.usual)
        self.whole = np.maximum(1, np.rint(self.steps / self.usual))
        self.slots = np.concatenate([[0], self.whole.cumsum()]).astype(np.intp)
        self.off = float((np.abs(self.steps - self.whole * self.usual) / self.whole).max())
        if self.off > self.tolerance and self._are_rounded():
            self.off = 0.0
        """Largest deviation of a distance from a whole number of spacings, in mm a spacing."""
        even = np.interp(self.slots, self.slots[[0, -1]], self.along[[0, -1]])
        self.drift = float(np.abs(self.along - even).max())

    def _are_rounded(self) -> bool:
        """Whether positions are those of an even grid to the next 0.1 mm, or within half of it."""
        slots, along = self.slots.astype(np.float64), self.along
        n, m = np.triu_indices(len(slots), 1)
        few = slice(None, None, max(1, len(n) // _MOST_PAIRS))
        slope = float(np.median((along[m] - along[n])[few] / (slots[m] - slots[n])[few]))
        rest = along - slope * slots
        if np.abs(rest - np.median(rest)).max() <= 0.55 * ROUNDED_MM:
            return True
        tenths = along / ROUNDED_MM
        if np.abs(tenths - np.rint(tenths)).max() > 1e-4:
            return False
        low, high = slope - ROUNDED_MM / slots[-1], slope + ROUNDED_MM / slots[-1]
        for _ in range(60):  # the range of what is left is convex in the slope
            thirds = low + (high - low) * np.array([[1 / 3], [2 / 3]])
            left, right = np.ptp(along - thirds * slots, axis=1)
            low, high = (low, float(thirds[1, 0])) if left < right else (float(thirds[0, 0]), high)
        return bool(np.ptp(along - low * slots) < ROUNDED_MM * (1 - 1e-5))

    @property
    def is_uneven(self) -> bool:
        return self.off > self.tolerance

    @property
    def drifts(self) -> bool:
        return self.drift > max(DRIFT_TOLERANCE_RATIO * self.usual, SPACING_TOLERANCE_MM)

    @property
    def has_parts(self) -> bool:
        """Whether the stack has parts with wider spacing, rather than gaps."""
        return bool((self._spacing_around() > self.usual + self.tolerance).any())

    @property
    def range(self) -> str:
        return f"{self.steps.min():.4g} to {self.steps.max():.4g}"

    @property
    def remedy(self) -> str:
        """What a message about uneven spacing may offer."""
        for names, gaps in (("spacing", False), ("spacing,gaps", True)):
            if not self._too_wide(gaps=gaps).any():
                return f', or pass repair="{names}" to resample the slices'
        return ""

    def _spacing_around(self) -> NDArray[np.float64]:
        """The spacing of the part of the stack in which, or beside which, each distance lies.

        A part is four slices or more with like distances.
        """
        around = np.full(len(self.steps), self.usual)
        for n in range(len(self.steps) - 2):
            three = self.steps[n : n + 3]
            spacing = float(three.mean())
            if self.usual < spacing < PART_RATIO * self.usual and (
                np.ptp(three) <= tolerance_of(spacing)
            ):
                near = slice(max(0, n - 1), n + 4)
                around[near] = np.maximum(around[near], spacing)
        return around

    def _too_wide(self, *, gaps: bool) -> NDArray[np.bool_]:
        """Distances that no interpolation may span; a single missing slice only with ``gaps``."""
        around = self._spacing_around()
        wide: NDArray[np.bool_] = self.steps > 2 * (
            around + (self.tolerance if gaps else -self.tolerance)
        )
        return wide

    def describe_gaps(self, *, asked: bool) -> str:
        """The message about missing slices."""
        gaps = [
            f"{int(self.whole[n]) - 1} between {self._place_of(n)} and {self._place_of(n + 1)}"
            for n in np.flatnonzero(self.whole > 1).tolist()
        ]
        remedy = ""
        if asked:
            remedy = '; repair="gaps" fills single ones only'
        elif self.whole.max() == 2:
            remedy = ', or pass repair="gaps" to interpolate them'
        if not asked and self.has_parts:
            remedy += '; if the spacing changes there, pass repair="spacing"'
        return (
            f"slices are missing: {listed(gaps, most=_MOST_PLACES)}; read_ct needs even spacing "
            f"(here {self.usual:.4g} mm); restore the missing files, or pass the list of files on "
            f"one side of the gap{remedy}"
        )

    def on_slots(self) -> SliceResampling:
        """Slices where they are, and interpolated ones in single gaps."""
        count = int(self.slots[-1]) + 1
        level = np.arange(count)
        below = np.searchsorted(self.slots, level, side="right") - 1
        widths = np.append(self.whole, 1)
        share = (level - self.slots[below]) / widths[below]
        warning = ""
        if self.is_uneven:
            warning = (
                f"The slice spacing varies from {self.range} mm, by more than "
                f"{self.tolerance:.2g} mm; slices were taken as evenly spaced."
            )
        return SliceResampling(
            step_mm=float(self.along[-1] - self.along[0]) / (count - 1),
            below=below,
            share=share,
            filled=tuple(np.flatnonzero(share).tolist()),
            warning=warning,
        )

    def resampled(self, *, gaps: bool) -> SliceResampling | str:
        """Slices on an even grid of the usual spacing from the first slice on."""
        wide = np.flatnonzero(self._too_wide(gaps=gaps)).tolist()
        if wide:
            remedy = ""
            if not gaps and not self._too_wide(gaps=True).any():
                remedy = '; pass repair="spacing,gaps" to interpolate single missing slices, too'
            places = [
                f"{self.steps[n]:.4g} mm between {self._place_of(n)} and {self._place_of(n + 1)}"
                for n in wide
            ]
            return (
                'slices are too far apart for repair="spacing" '
                f"({listed(places, most=_MOST_PLACES)}; the usual spacing is "
                f"{self.usual:.4g} mm): some are missing; restore their files{remedy}"
            )
        length = float(self.along[-1] - self.along[0])
        count = int(np.floor(length / self.usual + _SAME_LEVEL)) + 1
        level = np.minimum(np.arange(count) * self.usual, length)
        start = self.along - self.along[0]
        below = np.clip(np.searchsorted(start, level, side="right") - 1, 0, len(start) - 2)
        share = (level - start[below]) / self.steps[below]
        on_level = np.abs(share - np.rint(share)) * self.steps[below] < _SAME_LEVEL * self.usual
        share = np.where(on_level, np.rint(share), share)
        single = self._too_wide(gaps=False)
        record = {
            "name": "spacing",
            "what": "slices were resampled linearly to an even grid of the median spacing",
            "spacing_mm": round(self.usual, 6),
            "scanned_mm": [round(float(self.steps.min()), 6), round(float(self.steps.max()), 6)],
            "largest_deviation_mm": round(float(np.abs(self.steps - self.usual).max()), 6),
            "slices_before": len(start),
            "slices_after": count,
            "end_lost_mm": round(max(0.0, length - float(level[-1])), 6),
        }
        filled = np.flatnonzero(single[below] & (share > 0) & (share < 1))
        return SliceResampling(self.usual, below, share, tuple(filled.tolist()), record)

    def _place_of(self, n: int) -> str:
        return place_of(self.positions[n], self.normal)


# From the places of slices to the grid of the volume, or the reason why there is none.
#
# Only Image Position (Patient), Image Orientation (Patient) and Pixel Spacing count: slice
# thickness, instance number and the tilt tag are not for computation.

LARGEST_TILT_DEG = 45.0
"""No gantry tilts further than 30; beyond this no repair straightens a stack."""
_WHOLE = 1e-3  # of a pixel: shifts so near to whole ones are whole


@dataclass(frozen=True, slots=True, eq=False)
class Layout:
    """How the slices of a volume are made of those that were scanned."""

    below: NDArray[np.intp]
    """For every slice of the volume, the scanned one at or below it."""
    share: NDArray[np.float64]
    """The weight of the next scanned slice; that of the one below is what is left of 1."""
    shifts: NDArray[np.float64]
    """For every scanned slice, how many rows and columns into the volume its own begin."""
    shape: tuple[int, int, int]


class Stack(NamedTuple):
    """Slices that form a volume."""

    order: tuple[int, ...]
    """Indices of the slices, ascending along the normal (row x column direction)."""
    affine: NDArray[np.float64]
    """From ``(k, j, i, 1)`` to patient LPS mm."""
    layout: Layout | None = None
    """How the volume is resampled; None where its slices are those that were scanned."""
    repairs: tuple[dict[str, Any], ...] = ()
    """What was put right, for the report."""
    warning: str = ""
    """Uneven spacing that is accepted with a warning; empty where it is even."""


def stack(planes: Sequence[Plane], repairs: Collection[str] = ()) -> Stack:
    """The order and affine of slices that form a volume, by themselves or by the given repairs.

    Raises
    ------
    GeometryError
        If there are fewer than two slices, or they lack or differ in geometry, share positions,
        leave gaps, are unevenly spaced or sheared (gantry tilt), and no repair may help.
    """
    check_planes(planes)
    if len(planes) < 2:
        raise GeometryError(
            f"{planes[0].name}: one slice is no volume; read_ct needs two or more; "
            "pass the folder that holds the whole series."
        )
    for group in coincident(planes):
        raise GeometryError(describe_coincident(planes, group))
    order = sorted_along(planes)
    positions = np.array([planes[n].position_mm for n in order])
    resampling = resampled_slices(positions, np.cross(*directions(planes[order[0]])), repairs)
    shear = _gantry_shear(positions, planes[order[0]], repairs)
    if isinstance(resampling, str) or isinstance(shear, str):
        raise GeometryError("; ".join(p for p in (resampling, shear) if isinstance(p, str)) + ".")
    return _stack(order, positions, planes[order[0]], resampling, shear)


@dataclass(frozen=True, slots=True, eq=False)
class _GantryShear:
    """How sorted slices lie beside each other."""

    axis: NDArray[np.float64]
    """The way from slice to slice of the volume, for each mm along the normal."""
    shifts: NDArray[np.float64]
    """Rows and columns by which each slice lies further than the first."""
    tilt_deg: float = 0.0


def _gantry_shear(
    positions: NDArray[np.float64], plane: Plane, repairs: Collection[str]
) -> _GantryShear | str:
    """The sideways places of sorted slices, or what is wrong with them."""
    rows, columns = directions(plane)
    normal = np.cross(rows, columns)
    along = positions @ normal
    way = (positions[-1] - positions[0]) / (along[-1] - along[0])
    tilt = math.degrees(math.atan(np.linalg.norm(way - normal)))
    straightens = tilt <= LARGEST_TILT_DEG
    if tilt > TILT_LIMIT_DEG and not (straightens and "tilt" in repairs):
        remedy = ', or pass repair="tilt" to resample the slices' if straightens else ""
        return (
            f"the slices are sheared by {tilt:.1f} deg (gantry tilt): their origins do not "
            "follow the slice normal; read_ct needs a rectangular stack; read a reconstruction "
            f"without tilt{remedy}"
        )
    pixel = np.array(plane.pixel_mm)
    beside = positions - positions[0] - np.outer(along - along[0], way)
    shift = float(np.linalg.norm(beside, axis=1).max())
    if shift > max(SPACING_TOLERANCE_MM, 0.1 * float(pixel.min())):
        return (
            f"slices lie up to {shift:.2g} mm beside the line through the first and the last; "
            "read_ct needs one field of view; read a reconstruction with one"
        )
    if tilt <= TILT_LIMIT_DEG:
        return _GantryShear(way, np.zeros((len(positions), 2)))
    shifts = (positions - positions[0]) @ np.stack([columns, rows], axis=1) / pixel
    whole = np.rint(shifts)
    return _GantryShear(normal, np.where(np.abs(shifts - whole) < _WHOLE, whole, shifts), tilt)


def _stack(
    order: list[int],
    positions: NDArray[np.float64],
    plane: Plane,
    resampling: SliceResampling,
    shear: _GantryShear,
) -> Stack:
    """The grid around all slices: rows and columns grow where slices are shifted."""
    rows, columns = directions(plane)
    down, across = plane.pixel_mm or (math.nan, math.nan)
    start, end = np.floor(shear.shifts.min(axis=0)), np.ceil(shear.shifts.max(axis=0))
    more_rows, more_columns = (end - start).astype(int).tolist()
    affine = np.eye(4)
    affine[:3, 0] = shear.axis * resampling.step_mm
    affine[:3, 1] = columns * down
    affine[:3, 2] = rows * across
    affine[:3, 3] = positions[0] + affine[:3, 1] * start[0] + affine[:3, 2] * start[1]
    records = resampling.records(affine)
    if shear.tilt_deg:
        records.append(
            {
                "name": "tilt",
                "what": "slices were shifted within their planes, with linear weights; what "
                "no slice covers, and up to one pixel at the rim of each, is air",
                "tilt_deg": round(shear.tilt_deg, 3),
                "largest_shift_mm": round(float(np.abs(shear.shifts * [down, across]).max()), 3),
                "rows_added": more_rows,
                "columns_added": more_columns,
            }
        )
    layout: Layout | None = None
    if records:
        shape = (len(resampling.below), plane.rows + more_rows, plane.columns + more_columns)
        layout = Layout(resampling.below, resampling.share, shear.shifts - start, shape)
    return Stack(tuple(order), affine, layout, tuple(records), resampling.warning)


# The slices of one series in the order of the volume, without exact copies.

_MOST_COMPARED_BYTES = 256 << 20  # the largest slice: 8192 x 8192 pixels of 32 bits
_BLOCK_BYTES = 1 << 20
_PAIRS_AT_ONCE = 32  # that are decoded to be compared


@dataclass(frozen=True, slots=True)
class SortedSlices:
    """The slices of one series in the order of the volume."""

    label: str
    headers: tuple[Header, ...]
    stack: Stack
    copies: int
    dropped: tuple[Dropped, ...]
    monochrome1: int

    def records(self, also_dropped: tuple[Dropped, ...]) -> list[dict[str, Any]]:
        """The report's entries of repairs made before pixels are decoded."""
        return records_of((*also_dropped, *self.dropped), self.monochrome1)


def sort_slices(series: ImageSeries, repairs: Collection[str]) -> SortedSlices:
    """The slices in ascending order along their normal.

    Raises
    ------
    GeometryError
        If they form no volume, and the given repairs do not help.
    """
    headers, dropped, monochrome1 = usable(series.slices, repairs)
    planes = [header.plane for header in headers]
    check_planes(planes)
    pairs = [(first, n) for first, *others in coincident(planes) for n in others]
    copies = {n for first, n in pairs if _is_copy(headers[first], headers[n])}
    copies |= _same_instances(headers, [pair for pair in pairs if pair[1] not in copies])
    distinct = [header for n, header in enumerate(headers) if n not in copies]
    stacked = stack_of(distinct, series.label, repairs)
    ordered = tuple(distinct[n] for n in stacked.order)
    return SortedSlices(series.label, ordered, stacked, len(copies), dropped, monochrome1)


def stack_of(headers: Collection[Header], label: str, repairs: Collection[str]) -> Stack:
    """The stack of some slices; messages begin with the series' label."""
    try:
        return stack([header.plane for header in headers], repairs)
    except GeometryError as error:
        raise GeometryError(f"{label}: {error}") from None


def _is_copy(one: Header, other: Header) -> bool:
    """Whether two slices at one position hold the same pixels at the same place."""
    if _beside_mm(one, other) > 2 * SPACING_TOLERANCE_MM or one.format != other.format:
        return False
    return _pixel_digest(one) == _pixel_digest(other)


def _beside_mm(one: Header, other: Header) -> float:
    apart = np.subtract(one.plane.position_mm or (), other.plane.position_mm or ())
    return float(np.linalg.norm(apart))


def _same_instances(headers: Sequence[Header], pairs: Sequence[tuple[int, int]]) -> set[int]:
    """Which second ones of pairs are the first in another encoding: one UID, equal values."""
    same = [
        (first, n)
        for first, n in pairs
        if headers[n].instance_uid == headers[first].instance_uid != ""
        and _beside_mm(headers[first], headers[n]) <= 2 * SPACING_TOLERANCE_MM
        and (headers[n].format.rows, headers[n].format.columns)
        == (headers[first].format.rows, headers[first].format.columns)
    ]
    copies: set[int] = set()
    for start in range(0, len(same), _PAIRS_AT_ONCE):
        some = same[start : start + _PAIRS_AT_ONCE]
        hu = decode(
            [headers[n] for pair in some for n in pair],
            max_bytes=4 << 30,
            findings=WarningCollector(),
        ).hu
        equal = (hu[::2] == hu[1::2]).all(axis=(1, 2))
        copies |= {n for (_, n), alike in zip(some, equal, strict=True) if alike}
    return copies


def _pixel_digest(header: Header) -> tuple[str, bytes]:
    """Equal where two slices' pixels are; too large ones never are."""
    place = header.pixels
    if place is None:
        return "", b""
    left = min(place.available, place.available if place.length is None else place.length)
    if left > _MOST_COMPARED_BYTES:
        return place.syntax, os.fsencode(header.path)
    digest = hashlib.blake2b()
    try:
        with header.path.open("rb") as file:
            source = inflate(file) if place.syntax == DEFLATED else file
            source.seek(place.offset)
            while left > 0 and (block := source.read(min(left, _BLOCK_BYTES))):
                digest.update(block)
                left -= len(block)
    except OSError as error:
        raise unreadable(header.name, error) from None
    return place.syntax, digest.digest()

"""From the places of slices to the grid of the volume, or the reason why there is none.

Only Image Position (Patient), Image Orientation (Patient) and Pixel Spacing count: slice thickness,
instance number and the tilt tag are not for computation.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from rhoa.errors import GeometryError
from rhoa.reading.geometry import (
    SPACING_TOLERANCE_MM,
    TILT_LIMIT_DEG,
    check_planes,
    coincident,
    describe_coincident,
    directions,
    sorted_along,
)
from rhoa.reading.levels import find_levels

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from numpy.typing import NDArray

    from rhoa.reading.geometry import Plane
    from rhoa.reading.levels import Levels

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
    doubt: str = ""
    """What deserves a warning."""


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
    levels = find_levels(positions, np.cross(*directions(planes[order[0]])), repairs)
    lean = _lean(positions, planes[order[0]], repairs)
    if isinstance(levels, str) or isinstance(lean, str):
        raise GeometryError("; ".join(p for p in (levels, lean) if isinstance(p, str)) + ".")
    return _stack(order, positions, planes[order[0]], levels, lean)


@dataclass(frozen=True, slots=True, eq=False)
class _Lean:
    """How sorted slices lie beside each other."""

    axis: NDArray[np.float64]
    """The way from slice to slice of the volume, for each mm along the normal."""
    shifts: NDArray[np.float64]
    """Rows and columns by which each slice lies further than the first."""
    tilt_deg: float = 0.0


def _lean(positions: NDArray[np.float64], plane: Plane, repairs: Collection[str]) -> _Lean | str:
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
        return _Lean(way, np.zeros((len(positions), 2)))
    shifts = (positions - positions[0]) @ np.stack([columns, rows], axis=1) / pixel
    whole = np.rint(shifts)
    return _Lean(normal, np.where(np.abs(shifts - whole) < _WHOLE, whole, shifts), tilt)


def _stack(
    order: list[int],
    positions: NDArray[np.float64],
    plane: Plane,
    levels: Levels,
    lean: _Lean,
) -> Stack:
    """The grid around all slices: rows and columns grow where slices are shifted."""
    rows, columns = directions(plane)
    down, across = plane.pixel_mm or (math.nan, math.nan)
    start, end = np.floor(lean.shifts.min(axis=0)), np.ceil(lean.shifts.max(axis=0))
    more_rows, more_columns = (end - start).astype(int).tolist()
    affine = np.eye(4)
    affine[:3, 0] = lean.axis * levels.step_mm
    affine[:3, 1] = columns * down
    affine[:3, 2] = rows * across
    affine[:3, 3] = positions[0] + affine[:3, 1] * start[0] + affine[:3, 2] * start[1]
    records = levels.records(affine)
    if lean.tilt_deg:
        records.append(
            {
                "name": "tilt",
                "what": "slices were shifted within their planes, with linear weights; what "
                "no slice covers, and up to one pixel at the rim of each, is air",
                "tilt_deg": round(lean.tilt_deg, 3),
                "largest_shift_mm": round(float(np.abs(lean.shifts * [down, across]).max()), 3),
                "rows_added": more_rows,
                "columns_added": more_columns,
            }
        )
    layout: Layout | None = None
    if records:
        shape = (len(levels.below), plane.rows + more_rows, plane.columns + more_columns)
        layout = Layout(levels.below, levels.share, lean.shifts - start, shape)
    return Stack(tuple(order), affine, layout, tuple(records), levels.doubt)

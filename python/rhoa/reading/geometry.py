"""From the positions and orientations of slices to one affine, or the reason why there is none.

Only Image Position (Patient), Image Orientation (Patient) and Pixel Spacing count: slice thickness,
instance number and the tilt tag are not for computation.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from rhoa.errors import GeometryError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

UNIT_TOLERANCE = 1e-3
"""Deviation of direction cosines from unit length and from a right angle."""
TURN_TOLERANCE = 2e-4
"""Difference of a direction cosine between slices (0.01 deg)."""
SPACING_TOLERANCE_MM = 0.05
SPACING_TOLERANCE_RATIO = 0.01
DRIFT_TOLERANCE_RATIO = 0.25
"""Distance of a slice from the even grid, in slice spacings."""
TILT_LIMIT_DEG = 0.1
COINCIDENT_MM = 0.01
"""Slices nearer to each other than this share one position."""
FARTHEST_MM = 1e6
"""No coordinate or pixel size of a scan is larger."""
SMALLEST_PIXEL_MM = 1e-4
_MOST_PLACES = 4  # that a message names


@dataclass(frozen=True, slots=True)
class Plane:
    """One slice in patient LPS mm, as its file states it; None where the file does not."""

    name: str
    position_mm: tuple[float, ...] | None
    orientation: tuple[float, ...] | None
    """Direction of growing column index, then of growing row index."""
    pixel_mm: tuple[float, ...] | None
    """Row step, column step."""
    rows: int
    columns: int


class Stack(NamedTuple):
    """Slices that form a volume."""

    order: tuple[int, ...]
    """Indices of the slices, ascending along the normal (row x column direction)."""
    affine: NDArray[np.float64]
    """From ``(k, j, i, 1)`` to patient LPS mm."""


def stack(planes: Sequence[Plane]) -> Stack:
    """The order and affine of slices that form a volume.

    Raises
    ------
    GeometryError
        If there are fewer than two slices, or they lack or differ in geometry, share positions,
        leave gaps, are unevenly spaced or sheared (gantry tilt).
    """
    check_planes(planes)
    if len(planes) < 2:
        raise GeometryError(
            f"{planes[0].name}: one slice is no volume; read_ct needs two or more; "
            "pass the folder that holds the whole series."
        )
    for group in coincident(planes):
        raise GeometryError(describe_coincident(planes, group))
    order = _sorted(planes)
    positions = np.array([planes[n].position_mm for n in order])
    rows, columns = _directions(planes[order[0]])
    normal = np.cross(rows, columns)
    problems = [
        *_spacing_problems(positions, normal),
        *_shear_problems(positions, normal, planes[order[0]]),
    ]
    if problems:
        raise GeometryError("; ".join(problems) + ".")
    down, across = planes[order[0]].pixel_mm or (math.nan, math.nan)
    affine = np.eye(4)
    affine[:3, 0] = (positions[-1] - positions[0]) / (len(positions) - 1)
    affine[:3, 1] = columns * down
    affine[:3, 2] = rows * across
    affine[:3, 3] = positions[0]
    return Stack(tuple(order), affine)


def check_planes(planes: Sequence[Plane]) -> None:
    """Check that every slice states its geometry, and that all state the same grid.

    Raises
    ------
    GeometryError
        Naming the first file that does not.
    """
    checked: object = None
    for plane in planes:
        if _grid(plane) != checked or not _is_place(plane.position_mm):
            _check_plane(plane)
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
                f"{plane.name}: PixelSpacing {_listed(plane.pixel_mm)} mm, but {first.name} has "
                f"{_listed(first.pixel_mm)} mm; all slices must have one pixel size; "
                "leave out those that do not belong to the scan."
            )
        turn = np.abs(np.subtract(plane.orientation or (), first.orientation or ())).max()
        if turn > TURN_TOLERANCE:
            raise GeometryError(
                f"{plane.name}: ImageOrientationPatient ({_listed(plane.orientation)}), but "
                f"{first.name} has ({_listed(first.orientation)}); all slices must be parallel; "
                "leave out those that do not belong to the scan."
            )


def coincident(planes: Sequence[Plane]) -> list[tuple[int, ...]]:
    """Groups of two or more slices at one position, as indices; `check_planes` comes first."""
    order = _sorted(planes)
    along = _along(planes)
    groups = [[order[0]]]
    for before, after in pairwise(order):
        if along[after] - along[before] < COINCIDENT_MM:
            groups[-1].append(after)
        else:
            groups.append([after])
    return [tuple(group) for group in groups if len(group) > 1]


def describe_coincident(planes: Sequence[Plane], group: Sequence[int]) -> str:
    """The message about slices that share a position."""
    first, second = planes[group[0]], planes[group[1]]
    rows, columns = _directions(first)
    return (
        f"{first.name} and {second.name}: {len(group)} slices at one position, "
        f"{_place(np.array(first.position_mm), np.cross(rows, columns))}; "
        "read_ct needs one slice a position; they are several acquisitions or reconstructions "
        "in one series: pass the list of files of one of them."
    )


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


def _is_place(position_mm: tuple[float, ...] | None) -> bool:
    return position_mm is not None and all(abs(mm) <= FARTHEST_MM for mm in position_mm)


def _check_plane(plane: Plane) -> None:
    required = {
        "ImagePositionPatient (0020,0032)": plane.position_mm,
        "ImageOrientationPatient (0020,0037)": plane.orientation,
        "PixelSpacing (0028,0030)": plane.pixel_mm,
    }
    for tag, numbers in required.items():
        if numbers is None:
            raise GeometryError(
                f"{plane.name}: {tag} is missing or unreadable; the scan cannot be placed in the "
                "patient without it; export the original series."
            )
        if not np.isfinite(numbers).all():
            raise GeometryError(
                f"{plane.name}: {tag} holds a number that is not finite ({_listed(numbers)}); "
                "export the original series."
            )
        if max(map(abs, numbers)) > FARTHEST_MM:
            raise GeometryError(
                f"{plane.name}: {tag} holds a number that no scan has ({_listed(numbers)}); "
                "export the original series."
            )
    if min(plane.pixel_mm or (0.0,)) < SMALLEST_PIXEL_MM:
        raise GeometryError(
            f"{plane.name}: PixelSpacing (0028,0030) is {_listed(plane.pixel_mm)} mm; "
            "it must be above zero; export the original series."
        )
    rows, columns = np.reshape(plane.orientation or (), (2, 3))
    lengths = np.linalg.norm([rows, columns], axis=1)
    if np.abs(lengths - 1).max() > UNIT_TOLERANCE or abs(rows @ columns) > UNIT_TOLERANCE:
        raise GeometryError(
            f"{plane.name}: ImageOrientationPatient (0020,0037) is ({_listed(plane.orientation)}); "
            "it must be two perpendicular unit vectors; export the original series."
        )


def _directions(plane: Plane) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    rows, columns = np.reshape(np.array(plane.orientation), (2, 3))
    return rows / np.linalg.norm(rows), columns / np.linalg.norm(columns)


def _along(planes: Sequence[Plane]) -> NDArray[np.float64]:
    """Position of every slice along the common normal, in mm."""
    rows, columns = _directions(planes[0])
    along: NDArray[np.float64] = np.array([plane.position_mm for plane in planes]) @ np.cross(
        rows, columns
    )
    return along


def _sorted(planes: Sequence[Plane]) -> list[int]:
    return [int(n) for n in np.argsort(_along(planes), kind="stable")]


def _spacing_problems(positions: NDArray[np.float64], normal: NDArray[np.float64]) -> list[str]:
    """What is wrong with the distances between sorted slices."""
    along = positions @ normal
    steps = np.diff(along)
    usual = float(np.sort(steps)[(len(steps) - 1) // 2])
    tolerance = max(SPACING_TOLERANCE_RATIO * usual, SPACING_TOLERANCE_MM)
    whole = np.maximum(1, np.round(steps / usual))
    if (np.abs(steps - whole * usual) > tolerance * whole).any():
        return [
            (
                f"the slice spacing varies from {steps.min():.4g} to {steps.max():.4g} mm "
                f"(uneven by more than {tolerance:.2g} mm); read_ct needs even spacing; read a "
                "reconstruction with even spacing"
            )
        ]
    gaps = [
        f"{int(whole[n]) - 1} between {_place(positions[n], normal)} and "
        f"{_place(positions[n + 1], normal)}"
        for n in np.flatnonzero(whole > 1)
    ]
    if gaps:
        places = ", ".join(gaps[:_MOST_PLACES]) + (", ..." if len(gaps) > _MOST_PLACES else "")
        return [
            (
                f"slices are missing: {places}; read_ct needs even spacing (here {usual:.4g} mm); "
                "restore the missing files, or pass the list of files on one side of the gap"
            )
        ]
    even = np.linspace(along[0], along[-1], len(along))
    drift = float(np.abs(along - even).max())
    if drift > max(DRIFT_TOLERANCE_RATIO * usual, SPACING_TOLERANCE_MM):
        return [
            (
                f"the slice spacing drifts from {steps.min():.4g} to {steps.max():.4g} mm, up to "
                f"{drift:.2g} mm off an even grid; read a reconstruction with even spacing"
            )
        ]
    return []


def _shear_problems(
    positions: NDArray[np.float64], normal: NDArray[np.float64], plane: Plane
) -> list[str]:
    """What is wrong with the sideways places of sorted slices."""
    along = positions @ normal
    way = (positions[-1] - positions[0]) / (along[-1] - along[0])
    tilt = math.degrees(math.atan(np.linalg.norm(way - normal)))
    if tilt > TILT_LIMIT_DEG:
        return [
            (
                f"the slices are sheared by {tilt:.1f} deg (gantry tilt): their origins do not "
                "follow the slice normal; read_ct needs a rectangular stack; read a reconstruction "
                "without tilt"
            )
        ]
    off = positions - positions[0] - np.outer(along - along[0], way)
    shift = float(np.linalg.norm(off, axis=1).max())
    if shift > max(SPACING_TOLERANCE_MM, 0.1 * min(plane.pixel_mm or (0.0,))):
        return [
            (
                f"slices lie up to {shift:.2g} mm beside the line through the first and the last; "
                "read_ct needs one field of view; read a reconstruction with one"
            )
        ]
    return []


def _place(position: NDArray[np.float64], normal: NDArray[np.float64]) -> str:
    """A slice's coordinate on the patient axis nearest to the normal."""
    axis = int(np.abs(normal).argmax())
    return f"{'xyz'[axis]} = {position[axis]:.2f} mm"


def _listed(numbers: Sequence[float] | None) -> str:
    return ", ".join(f"{number:.6g}" for number in numbers or ())

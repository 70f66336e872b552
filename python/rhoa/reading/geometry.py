"""Where slices lie: what every one must state, what all must share, which are at one position.

Only Image Position (Patient), Image Orientation (Patient) and Pixel Spacing count: slice thickness,
instance number and the tilt tag are not for computation.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

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
"""Positions within the larger of the two are one; spacing even within it is even."""
TILT_LIMIT_DEG = 0.1
FARTHEST_MM = 1e6
"""No coordinate or pixel size of a scan is larger."""
SMALLEST_PIXEL_MM = 1e-4


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
        if _grid(plane) != checked or not _is_place(plane.position_mm):
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
        "in one series: pass the list of files of one of them."
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


def _is_place(position_mm: tuple[float, ...] | None) -> bool:
    return position_mm is not None and all(abs(mm) <= FARTHEST_MM for mm in position_mm)


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
                f"{plane.name}: {tag} holds a number that is not finite ({_listed(numbers)}); "
                f"export the original series{otherwise}."
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


def _listed(numbers: Sequence[float] | None) -> str:
    return ", ".join(f"{number:.6g}" for number in numbers or ())

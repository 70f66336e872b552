"""Clouds of bone surface points: what is asked of them, their loose pieces, thinning."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from rhoa.errors import PoseError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from rhoa.pose.faces import Faces

LEAST_POINTS = 300
"""Fewer points sample a pelvis at more than 10 mm, which no landmark survives."""
MOST_POINTS = 60_000
"""More take time and change nothing: real pelves keep their plane to 0.1 deg down to 5000."""
EXTENT_RANGE_MM = (100.0, 1500.0)
"""Of the cloud's longest side: a pelvis is 200-300 mm wide."""
FLAT_MM = 10.0
"""A cloud thinner than this is a line or a plane."""
SPACING_SAMPLES, SPACING_STRIDE = 4_000, 8
PIECE_SHARE = 0.08
"""A loose piece with a smaller share of the points is no hip: a stone, a clip, contrast."""
CELL_RANGE_MM = (2.5, 12.0)


@dataclass(frozen=True, slots=True, eq=False)
class Cloud:
    """Surface points of bone in patient LPS mm, and what is known of the scan they come from."""

    points: NDArray[np.float64]
    faces: Faces | None = None
    """Of the scan; without them the ends of the cloud count as its ends."""
    voxel_mm: float = 0.0
    """The longest edge of a voxel; 0 for the vertices of a smooth surface."""
    loose_share: float = 0.0
    """Of the points given, those that were dropped as loose pieces."""


def require_cloud(points_lps: ArrayLike) -> NDArray[np.float64]:
    """``points_lps`` as a finite array ``(n, 3)`` that can be the surface of a pelvis.

    Raises
    ------
    PoseError
        If it has another shape, too few points, NaN, or spans no pelvis.
    """
    try:
        points = np.asarray(points_lps, dtype=np.float64)
    except (TypeError, ValueError):
        raise PoseError(
            "points_lps must be an array (n, 3) of numbers, patient LPS millimetres; "
            f"got {type(points_lps).__name__}."
        ) from None
    if points.ndim != 2 or points.shape[1] != 3:
        raise PoseError(
            "points_lps must be an array (n, 3), one surface point (x, y, z) a row; "
            f"got shape {points.shape}."
        )
    if len(points) < LEAST_POINTS:
        raise PoseError(
            f"points_lps: {len(points)} points; a pelvis needs at least {LEAST_POINTS}, better "
            "10000; pass the vertices of both hip bones, or use rhoa.Landmarks for single points."
        )
    if not np.isfinite(points).all():
        bad = int((~np.isfinite(points)).any(axis=1).sum())
        raise PoseError(
            f"points_lps: {bad} of {len(points)} points hold NaN or infinity; remove these rows."
        )
    _require_extent(points)
    return points


def _require_extent(points: NDArray[np.float64]) -> None:
    longest = float(max(np.ptp(axis) for axis in points.T))
    low, high = EXTENT_RANGE_MM
    if not low <= longest <= high:
        raise PoseError(
            f"points_lps span {longest:.3g} mm; a pelvis spans 200-300 mm; "
            "check that the unit is millimetres and that both hip bones are among them."
        )
    centred = points - points.mean(axis=0)
    spread = np.sqrt(np.maximum(np.linalg.eigvalsh(centred.T @ centred / len(points)), 0))
    if spread[0] < FLAT_MM / np.sqrt(12):
        raise PoseError(
            "points_lps lie on a line or in a plane; "
            "the surface of both hip bones is needed, not a contour or landmarks."
        )


def thinned(points: NDArray[np.float64], most: int = MOST_POINTS) -> NDArray[np.float64]:
    """At most ``most`` of the points, chosen by a fixed draw: the pose of the cloud has no say."""
    if len(points) <= most:
        return points
    chosen = np.random.default_rng(0).choice(len(points), most, replace=False)
    return points[np.sort(chosen)]


def without_loose_pieces(cloud: Cloud) -> Cloud:
    """The cloud without small pieces that touch nothing else."""
    from scipy.ndimage import label

    points = cloud.points
    columns = points.T.copy()  # reductions along a short axis are slow
    low = columns.min(axis=1, keepdims=True)
    cells = tuple(((columns - low) / _cell_mm(points)).astype(np.intp))
    occupied = np.zeros([axis.max() + 1 for axis in cells], dtype=bool)
    occupied[cells] = True
    pieces, count = label(occupied, structure=np.ones((3, 3, 3)))
    piece = pieces[cells]
    small = np.bincount(piece, minlength=count + 1) < PIECE_SHARE * len(points)
    if not small[1:].any() or small[1:].all():
        return cloud
    keep = ~small[piece]
    return replace(cloud, points=points[keep], loose_share=float(1 - keep.mean()))


def _cell_mm(points: NDArray[np.float64]) -> float:
    """Edge of the cells that connect the cloud: hardly any point is farther from its neighbours."""
    from scipy.spatial import cKDTree

    part = thinned(points, SPACING_SAMPLES)
    distance = cKDTree(part).query(part[::SPACING_STRIDE], k=4)[0][:, 3]
    spacing = np.quantile(distance, 0.98) * np.sqrt(len(part) / len(points))
    return float(np.clip(spacing, *CELL_RANGE_MM))

"""Round bone: spheres that edges point at, and hip joint centres in the acetabula.

Every edge lies on the line through the middle of the sphere it may belong to. The edges of a
femoral head and of its socket point at one place from all around.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from rhoa.parallel import side_by_side
from rhoa.pose.bone import thinned
from rhoa.pose.population import (
    FEMORAL_HEAD_RADIUS_MM,
    HIP_CENTRE_MM,
    HIP_CENTRE_SD_MM,
    HIP_DIFFERENCE_SD_MM,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from rhoa.pose.alignment import Alignment

    Points = NDArray[np.float64]


# Round bone: edges that point, along the direction in which density changes, at one place.

RADII_MM = np.arange(19.0, 29.1, 2.0)
"""Of heads and of the sockets around them."""
CELL_MM = 4.0
BLUR_CELLS = 0.7
PEAK_CELLS = 5
FIT_MM, FIT_COSINE, FIT_ROUNDS = (16.0, 32.0), 0.9, 4
LEAST_EDGES = 30


def hough_sphere_centres(points: Points, uphill: Points, most: int) -> tuple[Points, Points]:
    """The places at which most edges point, best first, and how much of a sphere is there.

    Parameters
    ----------
    points, uphill
        Edges in mm and the unit direction in which density grows at each, ``(n, 3)``.
    most
        Places at most.
    """
    from scipy.ndimage import gaussian_filter, maximum_filter

    low = points.min(axis=0)
    shape = tuple(((points.max(axis=0) - low) / CELL_MM).astype(int) + 1)

    def seen(radius: float) -> Points:
        """How much of a sphere of that radius lies about each cell."""
        votes = np.zeros(np.prod(shape, dtype=int))
        for inward in (radius, -radius):  # a head grows dense inward, its socket outward
            cell = np.floor((points + inward * uphill - low) / CELL_MM).astype(np.intp)
            within = ((cell >= 0) & (cell < shape)).all(axis=1)
            flat = np.ravel_multi_index(tuple(cell[within].T), shape)
            votes += np.bincount(flat, minlength=votes.size)
        blurred: Points = gaussian_filter(votes.reshape(shape), BLUR_CELLS) / radius**2
        return blurred

    roundness = np.maximum.reduce([np.zeros(shape), *side_by_side(seen, RADII_MM)])
    highest = maximum_filter(roundness, PEAK_CELLS) == roundness
    peaks = np.argwhere(highest & (roundness > 0))
    height = roundness[tuple(peaks.T)]
    best = np.argsort(-height)[:most]
    return (peaks[best] + 0.5) * CELL_MM + low, height[best]


def refine_sphere(points: Points, uphill: Points, start: Points) -> Points:
    """The place near ``start`` at which the lines through the edges around it meet.

    The least sum of squared distances to these lines; ``start`` where that leads away.
    """
    centre = start
    for _ in range(FIT_ROUNDS):
        offset = points - centre
        distance = np.linalg.norm(offset, axis=1)
        facing = np.abs((offset * uphill).sum(axis=1)) > FIT_COSINE * distance
        used = facing & (distance > FIT_MM[0]) & (distance < FIT_MM[1])
        if used.sum() < LEAST_EDGES:
            break
        normal = uphill[used]
        across = used.sum() * np.eye(3) - normal.T @ normal
        along = (normal * points[used]).sum(axis=1)
        centre = np.linalg.solve(across, points[used].sum(axis=0) - normal.T @ along)
    return centre if np.linalg.norm(centre - start) < 2 * CELL_MM else start


# Hip joint centres: a sphere in each acetabulum, where the frame says it must be.
#
# They lie far from the landmarks and are no part of the frame, so they show whether it is right.

RADIUS_RANGE_MM = (18.0, 32.0)

SAMPLES = 700
LEAST_SAMPLES = 60
REACH_MM = 52.0
GRID_MM = np.arange(-18.0, 18.1, 6.0)
SOCKET_RADII_MM = np.arange(20.0, 28.1, 1.0)
SHELL_MM = 1.75
BIN_MM = 0.25
EMPTY_WEIGHT = 2.0
"""A point inside the sphere counts against it as much as two on it count for it."""
PRIOR_WEIGHT = 0.02
"""One standard deviation from the population's centre costs this share of the points."""
BANDS_MM = (4.0, 3.0, 2.0)
RADIUS_WEIGHT = 0.1


def acetabular_centres(
    points: NDArray[np.float64], alignment: Alignment
) -> dict[str, NDArray[np.float64] | None]:
    """Centre of each hip joint, ``(3,)`` in AP-frame mm, by side; None where no bone is found.

    A coarse search for the sphere that touches most bone and holds none, then a robust fit; with or
    without the femoral heads among the points. About 3 mm from the centres of real femoral heads.
    """
    local = alignment.to_ap(points)
    x, y, z = local.T.copy()  # arithmetic along a short axis is slow
    beside = (y - HIP_CENTRE_MM[1]) ** 2 + (z - HIP_CENTRE_MM[2]) ** 2
    found: dict[str, NDArray[np.float64] | None] = {}
    for side, sign in (("left", 1.0), ("right", -1.0)):
        within = beside + (sign * x - HIP_CENTRE_MM[0]) ** 2 < REACH_MM**2
        near = local[within] * (sign, 1.0, 1.0)
        centre = _fitted(thinned(near, SAMPLES)) if len(near) >= LEAST_SAMPLES else None
        found[side] = None if centre is None else centre * (sign, 1.0, 1.0)
    return found


def hip_scores(centres: dict[str, NDArray[np.float64] | None]) -> tuple[float, float]:
    """How unusual the centres are, in standard deviations: each by itself, and left against right.

    NaN where a centre is missing.
    """
    left, right = centres["left"], centres["right"]
    if left is None or right is None:
        return float("nan"), float("nan")
    pair = np.stack([left, right * (-1.0, 1.0, 1.0)])
    alone = np.abs((pair - HIP_CENTRE_MM) / HIP_CENTRE_SD_MM).max()
    together = np.abs((pair[0] - pair[1]) / HIP_DIFFERENCE_SD_MM).max()
    return float(alone), float(together)


def _fitted(points: NDArray[np.float64]) -> NDArray[np.float64]:
    centre, radius = _coarse(points[::2])
    for band in BANDS_MM:
        for _ in range(5):
            centre, radius = _step(points, centre, radius, band)
    return centre


def _coarse(points: NDArray[np.float64]) -> tuple[NDArray[np.float64], float]:
    """The grid's sphere with most points on it, fewest inside, nearest to where it should be."""
    offsets = np.stack(np.meshgrid(GRID_MM, GRID_MM, GRID_MM, indexing="ij"), axis=-1)
    offsets = offsets.reshape(-1, 3)
    centres = HIP_CENTRE_MM + offsets
    squared = (points**2).sum(1) - 2 * centres @ points.T + (centres**2).sum(1)[:, None]
    # How many points of each centre are nearer than a radius: radii are multiples of a bin.
    rows, last = len(centres), int(RADIUS_RANGE_MM[1] / BIN_MM)
    bins = np.minimum(np.sqrt(np.maximum(squared, 0)) / BIN_MM, last).astype(np.intp)
    bins += np.arange(rows)[:, None] * (last + 1)
    counts = np.bincount(bins.ravel(), minlength=rows * (last + 1)).reshape(rows, last + 1)
    below = np.cumsum(counts, axis=1)
    inside, reached = (
        below[:, np.rint(radii / BIN_MM).astype(np.intp) - 1]
        for radii in (SOCKET_RADII_MM - SHELL_MM, SOCKET_RADII_MM + SHELL_MM)
    )
    unusual = ((offsets / HIP_CENTRE_SD_MM) ** 2).sum(axis=1, keepdims=True)
    score = reached - (1 + EMPTY_WEIGHT) * inside - PRIOR_WEIGHT * len(points) * unusual
    best, radius = np.unravel_index(np.argmax(score), score.shape)
    return centres[best], float(SOCKET_RADII_MM[radius])


def _step(
    points: NDArray[np.float64], centre: NDArray[np.float64], radius: float, band: float
) -> tuple[NDArray[np.float64], float]:
    """One Gauss-Newton step of the sphere, with weights that forget points far from it."""
    offset = points - centre
    distance = np.sqrt(np.einsum("ij,ij->i", offset, offset))
    error = distance - radius
    weight = np.where(error < -band, 0.0, 1 / (1 + (error / band) ** 2) ** 2)
    slope = np.full((len(points), 4), -1.0)
    slope[:, :3] = -offset / np.maximum(distance, 1e-9)[:, None]
    normal = slope.T @ (slope * weight[:, None]) + 1e-3 * np.eye(4)
    gradient = slope.T @ (weight * error)
    pull = RADIUS_WEIGHT * weight.sum()
    normal[3, 3] += pull
    gradient[3] += pull * (radius - FEMORAL_HEAD_RADIUS_MM)
    step = np.linalg.solve(normal, -gradient)
    return centre + step[:3], float(np.clip(radius + step[3], *RADIUS_RANGE_MM))

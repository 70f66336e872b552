"""Round bone: edges that point, along the direction in which density changes, at one place.

Every edge lies on the line through the middle of the sphere it may belong to. The edges of a
femoral head and of its socket point at one place from all around.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from rhoa.threads import side_by_side

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Points = NDArray[np.float64]

RADII_MM = np.arange(19.0, 29.1, 2.0)
"""Of heads and of the sockets around them."""
CELL_MM = 4.0
BLUR_CELLS = 0.7
PEAK_CELLS = 5
FIT_MM, FIT_COSINE, FIT_ROUNDS = (16.0, 32.0), 0.9, 4
LEAST_EDGES = 30


def round_places(points: Points, uphill: Points, most: int) -> tuple[Points, Points]:
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


def settled(points: Points, uphill: Points, start: Points) -> Points:
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

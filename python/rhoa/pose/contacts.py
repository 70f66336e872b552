"""Where a plane touches a surface: the landmark as the middle of the contact, not as one vertex."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from rhoa.errors import LandmarkError

if TYPE_CHECKING:
    from numpy.typing import NDArray

DEPTH_MM = 1.5
"""Points within this depth of the touching plane are in contact, or within one voxel."""


def contact(
    points: NDArray[np.float64],
    direction: NDArray[np.float64],
    *,
    depth_mm: float,
    radius_mm: float,
) -> tuple[NDArray[np.float64], NDArray[np.float64], int]:
    """The point farthest along ``direction``, the middle of the contact there, and its size.

    A ridge fixes the touching plane to tenths of a degree while its farthest vertex slides by many
    millimetres from one sampling to the next; the middle of the points within ``depth_mm`` of the
    plane and ``radius_mm`` of the vertex does not.

    Raises
    ------
    LandmarkError
        If there are no points.
    """
    if not len(points):
        raise LandmarkError("no bone surface where a landmark of the pelvis is looked for.")
    height = points @ direction
    farthest = points[int(np.argmax(height))]
    touching = points[height > height.max() - depth_mm]
    touching = touching[np.linalg.norm(touching - farthest, axis=1) < radius_mm]
    return farthest, touching.mean(axis=0), len(touching)

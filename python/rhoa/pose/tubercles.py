"""The pubic tubercles: the lateral corners of the pubic body, behind the crest that touches."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from rhoa.errors import LandmarkError
from rhoa.pose.contacts import contact

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Seen from the front the pubic bodies are two plateaus with the crest on top; the pelvis rests on
# their middle, up to 4 mm in front of the tubercles, which are their lateral lower corners. A plane
# that leans toward the side and a little toward the feet touches there. Lean is the lateral part
# per unit anterior: 0.4 to 0.6 find the same corner of a real pelvis within 2 mm. Where the
# superior ramus goes on in the same direction there is no corner to touch, and a lesser lean is
# tried.
LEANS = (0.5, 0.35, 0.2)
DOWNWARD = 0.25
WINDOW_MM = (42.0, 30.0)
"""How far from the midline, and above or below the crest; beyond is the superior ramus."""
BEHIND_MM = 20.0
RADIUS_MM = 6.0
EDGE_MM, LEAST_DROP_MM = 4.0, 1.0
"""At the window's lateral edge the surface has fallen behind a plane that touches a corner."""
MOST_DEPTH_DIFFERENCE_MM = 8.0
MOST_SIDE_DIFFERENCE_MM = 24.0
GAP_MM = (20.0, 76.0)


def tubercles(
    local: NDArray[np.float64], *, depth_mm: float
) -> tuple[NDArray[np.float64], tuple[int, int]] | None:
    """Left and right tubercle as rows, and the points that touch at each; None without a corner.

    ``local`` are surface points in the frame that rests on spines and crest: x toward the left from
    the middle between the spines, y posterior, z superior from the crest.
    """
    near = (np.abs(local[:, 0]) < WINDOW_MM[0]) & (np.abs(local[:, 2]) < WINDOW_MM[1])
    local = local[near & (local[:, 1] < BEHIND_MM)]
    for lean in LEANS:
        left = _corner(local[local[:, 0] > 0], lean, depth_mm)
        right = _corner(local[local[:, 0] < 0] * (-1.0, 1.0, 1.0), lean, depth_mm)
        if left is not None and right is not None and _pair(left[0], right[0]):
            return np.stack([left[0], right[0] * (-1.0, 1.0, 1.0)]), (left[1], right[1])
    return None


def _corner(
    half: NDArray[np.float64], lean: float, depth_mm: float
) -> tuple[NDArray[np.float64], int] | None:
    """Where a plane that leans outward touches the left half, and on how many points."""
    direction = np.array([lean, -1.0, -DOWNWARD])
    direction /= np.linalg.norm(direction)
    try:
        corner, middle, count = contact(half, direction, depth_mm=depth_mm, radius_mm=RADIUS_MM)
    except LandmarkError:
        return None
    edge = half[half[:, 0] > WINDOW_MM[0] - EDGE_MM]
    drop = corner @ direction - (edge @ direction).max(initial=-np.inf)
    return None if drop < LEAST_DROP_MM else (middle, count)


def _pair(left: NDArray[np.float64], right: NDArray[np.float64]) -> bool:
    """Whether two corners, the right one mirrored, can be those of one pelvis."""
    return bool(
        abs(left[1] - right[1]) < MOST_DEPTH_DIFFERENCE_MM
        and abs(left[0] - right[0]) < MOST_SIDE_DIFFERENCE_MM
        and GAP_MM[0] < left[0] + right[0] < GAP_MM[1]
    )

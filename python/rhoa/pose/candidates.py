"""Candidates for the anterior pelvic plane: large facets of the convex hull.

A pelvis laid face down on a table rests on both anterior superior iliac spines and on the pubis.
The planes on which a body can rest are the facets of its convex hull, and the hull turns with the
body: what is found here does not depend on the pose.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from rhoa.errors import LandmarkError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from rhoa.pose.alignment import Alignment

# Triangle of the resting facet, mean and spread over 40 real pelves, mm.
WIDTH_MM, WIDTH_SD = 224.0, 22.0
HEIGHT_MM, HEIGHT_SD = 94.0, 13.0
LEG_DIFFERENCE_SD = 28.0
LEAST_AREA_MM2 = 3500.0
SAME_MM = 3.0
"""Facets whose corners lie closer than this are one."""
MOST = 8
WINDOW_MM, STEP_MM, WINDOW_FACETS = 190.0, 12.0, 3
"""Along z, where the cloud holds a whole trunk: spine, ribs and pelvis."""
WING_SHARE, ABOUT_MM, STANDING_OUT_MM = 0.35, 40.0, 4.0
"""Where nothing stands out before a window's facet: beyond that share of the width, about the ends
of its height, more than that."""


@dataclass(frozen=True, slots=True)
class Search:
    """What is known of a pelvis before it is found.

    ``cone_deg`` bounds the angle between its front and the patient's front, ``turn_deg`` those
    between its head side and the patient's, and between both left sides; ``windowed`` looks through
    windows along z, for clouds that hold more than a pelvis. ``symmetry_mm`` is the mirror residual
    that costs as much as one standard deviation of the triangle.
    """

    cone_deg: float = 75.0
    turn_deg: float = 72.5
    windowed: bool = False
    symmetry_mm: float = 4.0

    @property
    def upright(self) -> bool:
        """Whether the patient's axes are known."""
        return self.turn_deg < 90


SUPINE = Search()
"""Hip bones of a patient in patient LPS, in any pose on the table."""
FREE = Search(cone_deg=180.0, turn_deg=180.0)
"""Hip bones turned in any way."""


@dataclass(frozen=True, slots=True, eq=False)
class Candidate:
    """A facet read as ASIS, ASIS and pubis; the frame has its origin at the pubis, mid-plane."""

    matrix: NDArray[np.float64]
    origin: NDArray[np.float64]
    corners: NDArray[np.float64]
    """ASIS left, ASIS right, pubis, as rows."""
    width: float
    height: float
    apex_offset: float
    triangle: float
    """Squared distance from the mean triangle, in standard deviations."""


def candidates(points: NDArray[np.float64], search: Search) -> list[Candidate]:
    """The likeliest facets of the cloud's hull, at most eight, best first."""
    if not search.windowed:
        return _distinct(_facets(points, search))[:MOST]
    low, high = points[:, 2].min(), points[:, 2].max()
    found: list[Candidate] = []
    for bottom in np.arange(low, max(high - WINDOW_MM, low) + STEP_MM, STEP_MM):
        inside = (points[:, 2] >= bottom) & (points[:, 2] <= bottom + WINDOW_MM)
        found += _facets(points[inside], search)[:WINDOW_FACETS]
    distinct = _distinct(sorted(found, key=lambda candidate: candidate.triangle))
    return [candidate for candidate in distinct if _rests(points, candidate)][:MOST]


def _rests(points: NDArray[np.float64], candidate: Candidate) -> bool:
    """Whether wings and pubis lie behind the plane: a window may have cut off what stands out."""
    local = (points - candidate.origin) @ candidate.matrix.T
    lateral, above = np.abs(local[:, 0]), local[:, 2]
    wings = (lateral > WING_SHARE * candidate.width) & (lateral < candidate.width)
    wings &= np.abs(above - candidate.height) < ABOUT_MM
    pubis = (lateral < ABOUT_MM) & (np.abs(above) < ABOUT_MM)
    return not np.any(local[wings | pubis, 1] < -STANDING_OUT_MM)


def _facets(points: NDArray[np.float64], search: Search) -> list[Candidate]:
    """Every large hull facet that faces the right way, best triangle first."""
    from scipy.spatial import ConvexHull, QhullError

    try:
        hull = ConvexHull(points)
    except (QhullError, ValueError):  # too few points, or all in one plane
        return []
    corners = points[hull.simplices]
    normals = hull.equations[:, :3]
    edges = corners[:, (1, 2, 0)] - corners
    area = np.linalg.norm(np.cross(edges[:, 0], edges[:, 1]), axis=1) / 2
    anterior = -normals[:, 1] >= np.cos(np.radians(search.cone_deg)) - 1e-12
    kept = np.flatnonzero((area > LEAST_AREA_MM2) & anterior)
    found = [_read(corners[facet], normals[facet]) for facet in kept]
    least = np.cos(np.radians(search.turn_deg)) - 1e-12
    upright = [c for c in found if min(c.matrix[0, 0], c.matrix[2, 2]) >= least]
    return sorted(upright, key=lambda candidate: candidate.triangle)


def _read(corners: NDArray[np.float64], outward: NDArray[np.float64]) -> Candidate:
    """The facet, its longest edge as the line of both ASIS; its outward normal tells the sides."""
    lengths = np.linalg.norm(corners[(1, 2, 0), :] - corners, axis=1)
    longest = int(np.argmax(lengths))
    one, other, pubis = corners[longest], corners[(longest + 1) % 3], corners[(longest + 2) % 3]
    y = -outward
    if np.cross(y, (one + other) / 2 - pubis) @ (one - other) < 0:
        one, other = other, one
    x = (one - other) / lengths[longest]
    z = np.cross(x, y)
    middle = (one + other) / 2
    height = float((middle - pubis) @ z)
    offset = float((pubis - middle) @ x)
    legs = float(np.linalg.norm(one - pubis) - np.linalg.norm(other - pubis))
    width = float(lengths[longest])
    return Candidate(
        matrix=np.stack([x, y, z]),
        origin=pubis - offset * x,
        corners=np.stack([one, other, pubis]),
        width=width,
        height=height,
        apex_offset=offset,
        triangle=triangle_of(width, height, legs),
    )


def triangle_of(width: float, height: float, legs: float) -> float:
    """Squared distance in standard deviations from the mean triangle; ``legs`` is a difference."""
    return (
        ((width - WIDTH_MM) / WIDTH_SD) ** 2
        + ((height - HEIGHT_MM) / HEIGHT_SD) ** 2
        + (legs / LEG_DIFFERENCE_SD) ** 2
    )


def _distinct(found: list[Candidate]) -> list[Candidate]:
    """The candidates without those whose corners a better one has."""
    kept: list[Candidate] = []
    for candidate in found:
        if all(
            np.linalg.norm(candidate.corners - other.corners, axis=1).max() > SAME_MM
            for other in kept
        ):
            kept.append(candidate)
    return kept


def facet_of(frame: Alignment) -> Candidate:
    """The frame's landmarks as a facet that rests on them."""
    landmarks = frame.landmarks
    if landmarks is None:
        raise LandmarkError("a frame without landmarks has no facet.")
    left, right = landmarks.asis_left, landmarks.asis_right
    offset = float((frame.origin - (left + right) / 2) @ frame.matrix[0])
    width, height = frame.quality["asis_width_mm"], frame.quality["height_mm"]
    legs = float(np.linalg.norm(left - frame.origin) - np.linalg.norm(right - frame.origin))
    return Candidate(
        matrix=frame.matrix,
        origin=frame.origin - offset * frame.matrix[0],
        corners=np.stack([left, right, frame.origin]),
        width=width,
        height=height,
        apex_offset=offset,
        triangle=triangle_of(width, height, legs),
    )

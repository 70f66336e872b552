"""From a resting facet to four landmarks: spines and pubis, looked for in the facet's own frame."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from rhoa.errors import LandmarkError
from rhoa.pose.alignment import Alignment, Landmarks, from_landmarks
from rhoa.pose.contacts import DEPTH_MM, contact
from rhoa.pose.tubercles import tubercles

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from rhoa.pose.candidates import Candidate

Pubis = Literal["tubercles", "crest"]

# Where landmarks are looked for, mm in the frame of the candidate: x left, y posterior, z superior.
SIDE_MM = 150.0
BEFORE_MM, BEHIND_MM = 15.0, 60.0
SPINE_BEYOND_X_MM = 40.0
SPINE_ABOVE = 0.55
"""Of the height from pubis to spines."""
SPINE_OVER_MM = 40.0
PUBIS_X_MM = PUBIS_Z_MM = 45.0
SLACK_MM = 25.0
"""By which points may move while the frame settles, or tubercles lie below the pubis' crest."""
RADIUS_MM = 12.0
ROUNDS, SETTLED_DEG = 10, 1e-3

MOST_CHANGE_DEG = 4.0
MOST_DEPTH_DIFFERENCE_MM = 8.0
LARGEST_GAP_MM = 70.0

ANTERIOR = np.array([0.0, -1.0, 0.0])


@dataclass(frozen=True, slots=True, eq=False)
class Refined:
    """Four landmarks, and how they came about."""

    landmarks: Landmarks
    contacts: tuple[int, ...] = (1, 1, 1, 1)
    """Surface points that touch at each landmark."""
    rejected: bool = False
    """Whether refinement went astray, so that the landmarks are the facet's own corners."""
    tubercles_missing: bool = False
    """Whether no tubercle was found where one was looked for, so that the crest stands for it."""
    crest_before_mm: float = 0.0
    """How far the crest that touches stands in front of the tubercles."""


def refined(
    points: NDArray[np.float64], facet: Candidate, *, voxel_mm: float, pubis: Pubis
) -> Refined:
    """Landmarks of the pelvis that rests on ``facet``; ``voxel_mm`` is 0 for a smooth surface."""
    depth_mm = max(DEPTH_MM, voxel_mm)
    points = _before(points, facet)
    try:
        rows, contacts = _resting(points, facet, depth_mm)
    except LandmarkError:
        return Refined(_corners(facet), rejected=True)
    resting = from_landmarks(Landmarks(*rows))
    if not _believable(rows, resting, facet):
        return Refined(_corners(facet), rejected=True)
    if pubis == "crest":
        return Refined(Landmarks(*rows), contacts)
    middle = _middle(rows, resting)
    found = tubercles((points - middle) @ resting.matrix.T, depth_mm=depth_mm)
    if found is None:
        return Refined(Landmarks(*rows), contacts, tubercles_missing=True)
    corners, counts = found
    left, right = corners @ resting.matrix + middle
    return Refined(
        Landmarks(rows[0], rows[1], left, right),
        (*contacts[:2], *counts),
        crest_before_mm=float(corners[:, 1].mean()),
    )


def _before(points: NDArray[np.float64], facet: Candidate) -> NDArray[np.float64]:
    """The points that spines and pubis are looked for among, however the frame settles."""
    x, y, z = facet.matrix @ (points - facet.origin).T
    kept = (y > -BEFORE_MM) & (y < BEHIND_MM) & (np.abs(x) < SIDE_MM + SLACK_MM)
    wings = z > SPINE_ABOVE * facet.height - SLACK_MM
    pubis = (np.abs(x) < PUBIS_X_MM + SLACK_MM) & (np.abs(z) < PUBIS_Z_MM + SLACK_MM)
    chosen: NDArray[np.float64] = points[kept & (wings | pubis)]
    return chosen


def _resting(
    points: NDArray[np.float64], facet: Candidate, depth_mm: float
) -> tuple[NDArray[np.float64], tuple[int, ...]]:
    """Where the plane through both wings and both sides of the pubis touches, as LPS rows."""
    matrix, origin, height = facet.matrix, facet.origin, facet.height
    for _ in range(ROUNDS):
        local = (points - origin) @ matrix.T
        left, lateral, above = local[:, 0] > 0, np.abs(local[:, 0]), local[:, 2]
        spine = (lateral > SPINE_BEYOND_X_MM) & (lateral < SIDE_MM)
        spine &= (above > SPINE_ABOVE * height) & (above < height + SPINE_OVER_MM)
        pubis = (lateral < PUBIS_X_MM) & (np.abs(above) < PUBIS_Z_MM)
        found = [
            contact(local[mask], ANTERIOR, depth_mm=depth_mm, radius_mm=RADIUS_MM)
            for mask in (spine & left, spine & ~left, pubis & left, pubis & ~left)
        ]
        rows = np.stack([middle for _, middle, _ in found]) @ matrix + origin
        alignment = from_landmarks(Landmarks(*rows))
        turned = angle_deg(alignment.matrix, matrix)
        matrix, height, origin = (
            alignment.matrix,
            alignment.quality["height_mm"],
            _middle(rows, alignment),
        )
        if turned < SETTLED_DEG:
            break
    return rows, tuple(count for _, _, count in found)


def _middle(rows: NDArray[np.float64], alignment: Alignment) -> NDArray[np.float64]:
    """The alignment's origin, moved along x into the plane midway between the spines."""
    x = alignment.matrix[0]
    offset = (rows[:2].mean(axis=0) - alignment.origin) @ x
    middle: NDArray[np.float64] = alignment.origin + offset * x
    return middle


def _believable(rows: NDArray[np.float64], resting: Alignment, facet: Candidate) -> bool:
    """Whether refinement stayed with the facet, on one pubis."""
    _, _, left, right = resting.to_ap(rows)
    return (
        angle_deg(resting.matrix, facet.matrix) < MOST_CHANGE_DEG
        and abs(left[1] - right[1]) < MOST_DEPTH_DIFFERENCE_MM
        and left[0] - right[0] < LARGEST_GAP_MM
    )


def _corners(facet: Candidate) -> Landmarks:
    """The corners of the facet; its one point of the pubis stands for both tubercles."""
    left, right, _ = facet.corners
    apart = 12.0 * facet.matrix[0]
    return Landmarks(left, right, facet.origin + apart, facet.origin - apart)


def angle_deg(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """Angle of the turn between two rotation matrices."""
    sine = np.linalg.norm(one - other) / np.sqrt(8)
    return float(np.degrees(2 * np.arcsin(min(sine, 1.0))))

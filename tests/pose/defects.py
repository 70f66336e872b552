"""What goes wrong with real pelves, one defect each: rows of the specification's failure table.

Every function takes the points of the left and the right hip (patient LPS mm) and the pelvis's
reference alignment, and returns the points of the damaged pelvis.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

import rhoa

Points = NDArray[np.float64]
Defect = Callable[[Points, Points, rhoa.pose.Alignment], Points]


def both(left: Points, right: Points) -> Points:
    return np.concatenate([left, right])


def ends_above_spines(by_mm: float) -> Defect:
    """The scan ends ``by_mm`` above the lower of both spines; negative: below the higher."""

    def cut(left: Points, right: Points, ap: rhoa.pose.Alignment) -> Points:
        spines = sorted([ap.landmarks.asis_left[2], ap.landmarks.asis_right[2]])
        points = both(left, right)
        return points[points[:, 2] < spines[1] + by_mm]

    return cut


def starts_above_pubis(by_mm: float) -> Defect:
    """The scan starts ``by_mm`` above the pubic landmarks."""

    def cut(left: Points, right: Points, ap: rhoa.pose.Alignment) -> Points:
        points = both(left, right)
        return points[points[:, 2] > ap.origin[2] + by_mm]

    return cut


def ball(centre: Points, radius: float, spacing_mm: float = 2.5) -> Points:
    """Points of a sphere's surface."""
    count = int(4 * np.pi * radius**2 / spacing_mm**2)
    k = np.arange(count) + 0.5
    z, turn = 1 - 2 * k / count, np.pi * (1 + 5**0.5) * k
    ring = np.sqrt(1 - z**2)
    return centre + radius * np.column_stack([ring * np.cos(turn), ring * np.sin(turn), z])


def stray_blob(before_mm: float, above_mm: float = 0.0) -> Defect:
    """A ball of 15 mm radius whose centre lies in front of the left pubic landmark."""

    def add(left: Points, right: Points, ap: rhoa.pose.Alignment) -> Points:
        at = ap.to_ap(ap.landmarks.pubic_tubercle_left) + np.array([0.0, -before_mm, above_mm])
        return np.concatenate([left, right, ball(ap.to_lps(at), 15.0)])

    return add


def displaced_hemipelvis(by_mm: float) -> Defect:
    """The left hip slid up and back by ``by_mm`` altogether, as in a vertical shear fracture."""

    def move(left: Points, right: Points, ap: rhoa.pose.Alignment) -> Points:
        shift = np.array([0.0, 1.0, 1.0]) * by_mm / np.sqrt(2)
        return both(left + shift @ ap.matrix, right)

    return move


def displaced_along(by_mm: float, axis: tuple[float, float, float]) -> Defect:
    """The left hip slid along an axis of the AP frame."""

    def move(left: Points, right: Points, ap: rhoa.pose.Alignment) -> Points:
        return both(left + by_mm * np.array(axis) @ ap.matrix, right)

    return move


def resected_spine(radius_mm: float = 45.0) -> Defect:
    """The left spine and everything within ``radius_mm`` of it is gone."""

    def cut(left: Points, right: Points, ap: rhoa.pose.Alignment) -> Points:
        far = np.linalg.norm(left - ap.landmarks.asis_left, axis=1) > radius_mm
        return both(left[far], right)

    return cut


def missing_hip(left: Points, right: Points, ap: rhoa.pose.Alignment) -> Points:
    """Only the right hip bone is there."""
    del left, ap
    return right

"""The two femoral heads: the roundest bone there is, and the first of a pelvis to be found."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from rhoa.pose.bone import edges
from rhoa.pose.cloud import thinned
from rhoa.pose.spheres import round_places, settled
from rhoa.pose.symmetry import Mirror
from rhoa.threads import side_by_side

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from rhoa.pose.bone import Bone

MOST_VOTERS = 40_000
PEAKS = 24
APART_MM, APART_SD = 166.0, 14.0
APART_RANGE_MM = (125.0, 215.0)
LEAST_LATERAL = np.cos(np.radians(35.0))
PAIRS = 30
"""Likeliest pairs by their roundness that are compared by their symmetry."""
HIP_X_MM, HIP_REACH_MM = (30.0, 165.0), 120.0
"""Bone about the line through both heads that is its own mirror image."""
LEAST_POINTS = 300
MOST_MIRRORED = 15_000
MIRROR_MM, ROUNDNESS_WEIGHT = 1.5, 3.0
MOST, MOST_UNLIKE = 2, 1.5
"""Pairs to go on with; one that much less likely than the best is none."""


@dataclass(frozen=True, eq=False)
class Heads:
    """Centres of a left and a right femoral head, patient LPS mm."""

    left: NDArray[np.float64]
    right: NDArray[np.float64]
    unlikeness: float = 0.0
    """How much less than the likeliest pair they look like two hips."""

    @cached_property
    def apart_mm(self) -> float:
        """Distance between the centres."""
        return float(np.linalg.norm(self.left - self.right))

    @cached_property
    def middle(self) -> NDArray[np.float64]:
        """The point midway."""
        middle: NDArray[np.float64] = (self.left + self.right) / 2
        return middle

    @cached_property
    def matrix(self) -> NDArray[np.float64]:
        """Rows: from right to left head, posterior, and superior as far as that is square to x."""
        x = (self.left - self.right) / self.apart_mm
        up = np.array([0.0, 0.0, 1.0]) - x[2] * x
        up /= np.linalg.norm(up)
        return np.stack([x, np.cross(up, x), up])

    def local(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Points in the frame of the heads, origin midway."""
        local: NDArray[np.float64] = (points - self.middle) @ self.matrix.T
        return local


def femoral_heads(bone: Bone) -> list[Heads]:
    """Pairs of round bone that may be the femoral heads, likeliest first."""
    points, uphill = edges(bone.grid)
    if len(points) < LEAST_POINTS:
        return []
    together = thinned(np.hstack([points, uphill]), MOST_VOTERS)
    points, uphill = together[:, :3], together[:, 3:]
    centres, roundness = round_places(points, uphill, PEAKS)
    pairs = _pairs(centres, roundness)
    dense = thinned(bone.points, MOST_MIRRORED)
    scores = side_by_side(lambda pair: _score(dense, pair[1], pair[0]), pairs)
    scored = sorted((score, n) for n, score in enumerate(scores) if np.isfinite(score))
    return [
        Heads(
            settled(points, uphill, pairs[n][1].left),
            settled(points, uphill, pairs[n][1].right),
            unlikeness=score - scored[0][0],
        )
        for score, n in scored
        if score - scored[0][0] < MOST_UNLIKE
    ][:MOST]


def _pairs(
    centres: NDArray[np.float64], roundness: NDArray[np.float64]
) -> list[tuple[float, Heads]]:
    """Pairs that lie to each other as two hips do, with their roundness; roundest first."""
    found = []
    for one, left in enumerate(centres):
        for other, right in enumerate(centres):
            across = left - right
            apart = float(np.linalg.norm(across))
            if not APART_RANGE_MM[0] < apart < APART_RANGE_MM[1]:
                continue
            if across[0] < LEAST_LATERAL * apart:
                continue
            both = roundness[one] + roundness[other]
            alike = both - 0.5 * abs(roundness[one] - roundness[other])
            found.append((float(alike), Heads(left, right)))
    found.sort(key=lambda pair: -pair[0])
    return [(round_ / found[0][0], heads) for round_, heads in found[:PAIRS]]


def _score(points: NDArray[np.float64], heads: Heads, roundness: float) -> float:
    """How unlike two hips; the bone about them is nearly its own mirror image."""
    local = heads.local(points)
    lateral = np.abs(local[:, 0])
    near = (lateral > HIP_X_MM[0]) & (lateral < HIP_X_MM[1])
    near &= np.hypot(local[:, 1], local[:, 2]) < HIP_REACH_MM
    if near.sum() < LEAST_POINTS:
        return float("inf")
    mirror = Mirror(points[near]).residual_in(heads.matrix[0], heads.middle)
    unusual = ((heads.apart_mm - APART_MM) / APART_SD) ** 2 / 2
    return mirror / MIRROR_MM + unusual - ROUNDNESS_WEIGHT * roundness

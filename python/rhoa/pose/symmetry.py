"""Mirror residual: how far a pelvis is from its own image in a candidate's mid-sagittal plane."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from rhoa.pose.cloud import thinned

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from rhoa.pose.candidates import Candidate

SAMPLES, TARGETS = 500, 20_000
TRIMMED = 0.8
"""Share of the samples that count: a fracture, a prosthesis or a cut wing has no counterpart."""


class Mirror:
    """The cloud, ready to be compared with its mirror images."""

    def __init__(self, points: NDArray[np.float64]) -> None:
        from scipy.spatial import cKDTree

        # A few hundred queries: a tree that is built quickly beats one that is searched quickly.
        self._tree = cKDTree(thinned(points, TARGETS), balanced_tree=False, compact_nodes=False)
        self._sample = thinned(points, SAMPLES)

    def residual(self, candidate: Candidate) -> float:
        """Trimmed mean distance in mm between the mirrored cloud and the cloud."""
        return self.residual_in(candidate.matrix[0], candidate.origin)

    def residual_in(self, across: NDArray[np.float64], origin: NDArray[np.float64]) -> float:
        """The same in the plane through ``origin`` with the unit normal ``across``."""
        offset = (self._sample - origin) @ across
        mirrored = self._sample - 2 * offset[:, None] * across
        distance = np.sort(self._tree.query(mirrored)[0])
        return float(distance[: int(TRIMMED * len(distance))].mean())

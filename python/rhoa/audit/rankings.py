"""Which areas under the precision-recall curve a printed row allows, over all possible rankings.

A ranking is a path of steps, one a case from the highest score down. ROC AUC and the areas are sums
over the steps, so the least and the most of a path come from those of shorter paths.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]

_MOST_STEPS = 100_000_000  # case by case, ROC AUC by ROC AUC: about two seconds


class Range(NamedTuple):
    """The least and the most that an area can be; NaN where no ranking is possible."""

    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Rankings:
    """All rankings of cases of two classes that pass through one of some confusion matrices.

    Parameters
    ----------
    positives, negatives
        Cases of either class.
    matrices
        (tp, tn), at one of which the threshold lies; anywhere if there are none.
    roc_auc
        Least and largest area that prints as published.

    Examples
    --------
    The negative stands between the two positives:

    >>> Rankings(2, 1, roc_auc=(0.49, 0.51)).average_precision()
    Range(low=0.8333333333333333, high=0.8333333333333333)
    """

    positives: int
    negatives: int
    matrices: tuple[tuple[int, int], ...] = ()
    roc_auc: tuple[float, float] = (0.0, 1.0)

    @property
    def countable(self) -> bool:
        """Whether there are few enough cases to tell the ranges."""
        pairs = self.positives * self.negatives
        return pairs**2 * max(1, len(self.matrices)) <= _MOST_STEPS

    def average_precision(self) -> Range:
        """Of average precision, the mean precision at the positives; no scores are tied."""
        found, entered = self._cases()
        precision = found / np.maximum(found + entered, 1)
        return self._range(precision, first=0)

    def without_first_segment(self, *, tied: int = 1) -> Range:
        """Of the trapezoids from the first score on, without the segment that begins at recall 0.

        ``tied`` positives share the highest score, if more than one; no other scores are tied.
        """
        found, entered = self._cases()
        after = found / np.maximum(found + entered, 1)
        before = (found - 1) / np.maximum(found - 1 + entered, 1)
        heights = (before + after) / 2
        heights[1, 0] = 0
        return self._range(heights, first=tied if tied > 1 else 0)

    def _cases(self) -> tuple[Vector, Vector]:
        found, entered = np.mgrid[: self.positives + 1, : self.negatives + 1].astype(float)
        return found, entered

    def _range(self, gains: Vector, *, first: int) -> Range:
        """Of the mean of ``gains``, one a positive; paths begin with ``first`` positives."""
        points: list[tuple[int, int] | None] = [
            (tp, self.negatives - tn) for tp, tn in self.matrices
        ]
        least, most = (
            min(self._least(sign * gains, first, point) for point in points or [None])
            for sign in (1.0, -1.0)
        )
        if not np.isfinite(least):
            return Range(np.nan, np.nan)
        return Range(float(least / self.positives), float(-most / self.positives))

    def _least(self, gains: Vector, first: int, point: tuple[int, int] | None) -> float:
        """The least sum of ``gains`` over the paths to the last case, infinite if there is none."""
        pairs = self.positives * self.negatives
        nowhere = np.full(pairs + 1, np.inf)  # by the pairs in the right order so far
        line = [nowhere] * (self.negatives + 1)
        for found in range(first, self.positives + 1):
            above, line = line, []
            for entered in range(self.negatives + 1):
                here = above[entered] + gains[found, entered]
                if found == first:
                    here = nowhere.copy()
                    here[0] = 0 if entered == 0 else np.inf
                if entered > 0:
                    here[found:] = np.minimum(here[found:], line[-1][: here.size - found])
                called = found + entered
                passed = point is None or called != sum(point) or (found, entered) == point
                line.append(here if passed else nowhere)
        split = point is not None and 0 < sum(point) < first  # a threshold splits no tie
        area = np.arange(pairs + 1) / pairs
        low, high = self.roc_auc
        end = line[-1][(area >= low - 1e-9) & (area <= high + 1e-9)]
        return float("inf") if split or end.size == 0 else float(end.min())

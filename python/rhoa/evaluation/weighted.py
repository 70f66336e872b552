"""All figures for many weightings of the hips at once.

The value of a figure has all weights one, a bootstrap resample has the number of times each hip was
drawn, a jackknife has zeros for the patient that is left out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from rhoa.evaluation.definitions import of_paper, of_positives, rates, ratio

if TYPE_CHECKING:
    from numpy.typing import NDArray

CALIBRATION_BINS = 10

NAMES = (
    *("accuracy", "balanced_accuracy", "precision", "recall", "specificity", "f1", "mcc"),
    *("roc_auc", "pr_auc", "brier", "ece"),
    *("paper_precision", "paper_recall", "paper_f1", "paper_pr_auc"),
)


class WeightedFigures:
    """The figures of fixed labels and scores as a function of the hips' weights.

    Hips must be given in descending order of score.
    """

    def __init__(
        self, labels: NDArray[np.bool_], scores: NDArray[np.float64], threshold: float
    ) -> None:
        self.labels = labels
        self.positive = labels.astype(np.float64)
        called = scores >= threshold
        cells = [~called & ~labels, called & ~labels, ~called & labels, called & labels]
        self.cells = np.stack(cells, axis=1).astype(np.float64)  # hips x (tn, fp, fn, tp)
        bins = np.minimum((scores * CALIBRATION_BINS).astype(int), CALIBRATION_BINS - 1)
        error = scores - self.positive
        self.errors = np.zeros((scores.size, 1 + CALIBRATION_BINS))  # squared, then by bin
        self.errors[:, 0] = error**2
        self.errors[np.arange(scores.size), 1 + bins] = error
        first = np.r_[True, scores[1:] != scores[:-1]]
        self.first_of_tie = np.flatnonzero(first)

    def __call__(self, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """Figures ``(rows, NAMES)`` for ``weights`` ``(rows, hips)``."""
        cells = self.confusion(weights)
        plain, standard, paper = rates(*cells), of_positives(*cells), of_paper(*cells)
        roc_auc, pr_auc, paper_pr_auc = self._areas(weights)
        errors, total = weights @ self.errors, weights.sum(axis=1)
        columns = [
            *(plain.accuracy, plain.balanced_accuracy, standard.precision, standard.recall),
            *(plain.specificity, standard.f1, plain.mcc, roc_auc, pr_auc),
            *(ratio(errors[:, 0], total), ratio(np.abs(errors[:, 1:]).sum(axis=1), total)),
            *(paper.precision, paper.recall, paper.f1, paper_pr_auc),
        ]
        return np.stack(columns, axis=1)

    def confusion(self, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """Weighted hips ``(tn, fp, fn, tp)``, one column per row of weights."""
        cells: NDArray[np.float64] = (weights @ self.cells).T
        return cells

    def has_every_class(self, weights: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Whether each row weighs every class that the labels have."""
        positive, total = weights @ self.positive, weights.sum(axis=1)
        present = np.ones(len(weights), bool)
        if self.labels.any():
            present &= positive > 0
        return present if self.labels.all() else present & (positive < total)

    def _areas(self, weights: NDArray[np.float64]) -> tuple[NDArray[np.float64], ...]:
        """ROC AUC, average precision and the paper's PR area; equal scores enter together."""
        gained, entered = weights * self.positive, weights
        if self.first_of_tie.size < weights.shape[1]:
            gained = np.add.reduceat(gained, self.first_of_tie, axis=1)
            entered = np.add.reduceat(entered, self.first_of_tie, axis=1)
        above, called = gained.cumsum(axis=1), entered.cumsum(axis=1)
        positives, negatives = above[:, -1], called[:, -1] - above[:, -1]
        precision = np.divide(above, called, out=np.zeros_like(above), where=called > 0)
        # Pairs in the wrong order: of each positive and the negatives that entered before it.
        lost = _row_sums(gained, called) - _row_sums(gained, above)
        lost -= (_row_sums(gained, entered) - _row_sums(gained, gained)) / 2
        roc_auc = 1 - ratio(lost, positives * negatives)
        average = ratio(_row_sums(gained, precision), positives)
        average[negatives == 0] = np.nan
        return roc_auc, average, self._without_first_segment(gained, precision, called)

    @staticmethod
    def _without_first_segment(
        gained: NDArray[np.float64], precision: NDArray[np.float64], called: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Trapezoids under the PR curve from its first threshold on, not from recall 0."""
        heights = precision[:, 1:] + precision[:, :-1]
        heights[called[:, :-1] == 0] = 0
        positives = gained.sum(axis=1)
        area = ratio(_row_sums(gained[:, 1:], heights), 2 * positives)
        area[positives == called[:, -1]] = np.nan
        return area


def _row_sums(one: NDArray[np.float64], two: NDArray[np.float64]) -> NDArray[np.float64]:
    sums: NDArray[np.float64] = np.einsum("ij,ij->i", one, two)
    return sums


def values_of(
    labels: NDArray[np.bool_], scores: NDArray[np.float64], threshold: float
) -> dict[str, float]:
    """Every figure of `NAMES`, each hip counted once."""
    order = np.argsort(-scores, kind="stable")
    figures = WeightedFigures(labels[order], scores[order], threshold)
    (values,) = figures(np.ones((1, labels.size)))
    return dict(zip(NAMES, values.tolist(), strict=True))

"""Figures of merit of a two-class model, each with a 95 % interval.

The positive class is rHOA (label 1); a hip whose score reaches the threshold is called rHOA. One
function computes every figure for many weightings of the hips at once: the value itself has all
weights one, a bootstrap resample has the number of times each hip was drawn.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from rhoa.errors import ParameterError, require_count
from rhoa.evaluation.intervals import percentile_interval, resampled_weights

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

CALIBRATION_BINS = 10


class Estimate(NamedTuple):
    """A value and its 95 % interval; NaN where undefined."""

    value: float
    low: float
    high: float


class Confusion(NamedTuple):
    """Numbers of hips: true negative, false positive, false negative, true positive."""

    tn: int
    fp: int
    fn: int
    tp: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """How good a set of scores is; every figure is an `Estimate` and a share of one.

    ``precision`` = tp / (tp + fp), ``recall`` = tp / (tp + fn), ``specificity`` = tn / (tn + fp),
    ``balanced_accuracy`` = (recall + specificity) / 2, ``f1`` = 2 tp / (2 tp + fp + fn).
    ``pr_auc`` is the average precision: the sum over thresholds of precision times the gain in
    recall. ``roc_auc`` counts a tie as half. ``brier`` is the mean squared difference of score and
    label; ``ece`` the expected calibration error: the mean absolute difference of mean score and
    share of rHOA, over ten equal bins of the score, weighted by their hips.

    ``groups`` is the number of patients (or hips, where none were given), ``excluded`` the number
    of resamples left out because one class was not drawn.
    """

    accuracy: Estimate
    balanced_accuracy: Estimate
    precision: Estimate
    recall: Estimate
    specificity: Estimate
    f1: Estimate
    roc_auc: Estimate
    pr_auc: Estimate
    brier: Estimate
    ece: Estimate
    confusion: Confusion
    hips: int
    groups: int
    threshold: float
    resamples: int
    excluded: int = field(default=0)


def evaluate(
    y_true: ArrayLike,
    y_score: ArrayLike,
    *,
    groups: ArrayLike | None = None,
    threshold: float = 0.5,
    resamples: int = 2000,
    seed: int = 0,
) -> Evaluation:
    """How well scores tell rHOA from no rHOA, each figure with a 95 % bootstrap interval.

    Parameters
    ----------
    y_true
        Label of each hip, 0 or 1 (rHOA).
    y_score
        Probability of rHOA of each hip, in [0, 1].
    groups
        Patient of each hip. A resample draws patients, so hips of one patient stay together;
        without groups each hip counts as a patient, and intervals are too narrow where patients
        have several hips.
    threshold
        A hip is called rHOA where its score is at least this.
    resamples
        Number of bootstrap resamples.
    seed
        Of the resampling.

    Returns
    -------
    Evaluation
        A figure whose definition divides by zero is NaN (``precision`` where no hip is called
        rHOA). With one class only, both AUC, balanced accuracy and what divides by the absent class
        are NaN. Resamples without one of the classes are excluded and counted. Intervals are NaN
        where there is only one group.

    Raises
    ------
    ParameterError
        If nothing is given, lengths differ, a label is not 0 or 1, or a score is NaN or outside
        [0, 1].

    References
    ----------
    Field and Welsh 2007, Bootstrapping clustered data, J R Stat Soc B 69:369-390.

    Examples
    --------
    >>> from rhoa.evaluation import evaluate
    >>> result = evaluate([0, 0, 1, 1], [0.1, 0.6, 0.4, 0.9])
    >>> result.roc_auc.value, result.confusion
    (0.75, Confusion(tn=1, fp=1, fn=1, tp=1))
    """
    labels, scores = _require_labels(y_true), _require_scores(y_score)
    if labels.size != scores.size:
        raise ParameterError(
            f"y_true and y_score must be as long; got {labels.size} and {scores.size}."
        )
    members = _require_groups(groups, labels.size)
    cutoff = _require_threshold(threshold)
    require_count("resamples", resamples)
    figures = _Figures(labels, scores, cutoff)
    (values,) = figures(np.ones((1, labels.size)))
    samples, excluded = _bootstrap(figures, members, resamples, seed)
    intervals = [percentile_interval(column) for column in samples.T]
    estimates = {
        name: Estimate(float(value), *(interval if np.isfinite(value) else (np.nan, np.nan)))
        for name, value, interval in zip(_NAMES, values, intervals, strict=True)
    }
    return Evaluation(
        **estimates,
        confusion=Confusion(
            *figures.confusion(np.ones((1, labels.size))).astype(int)[:, 0].tolist()
        ),
        hips=labels.size,
        groups=int(members.max()) + 1,
        threshold=cutoff,
        resamples=resamples,
        excluded=excluded,
    )


_NAMES = (
    "accuracy",
    "balanced_accuracy",
    "precision",
    "recall",
    "specificity",
    "f1",
    "roc_auc",
    "pr_auc",
    "brier",
    "ece",
)


def _bootstrap(
    figures: _Figures, members: NDArray[np.intp], resamples: int, seed: int
) -> tuple[NDArray[np.float64], int]:
    """Figures of each resample that has every class of the data, and how many had not."""
    if members.max() == 0:  # one patient says nothing about how patients differ
        return np.empty((0, len(_NAMES))), 0
    kept = []
    for weights in resampled_weights(members, resamples, seed=seed):
        complete = figures.has_every_class(weights)
        kept.append(figures(weights[complete]))
    samples = np.concatenate(kept)
    return samples, resamples - len(samples)


class _Figures:
    """The figures of fixed labels and scores as a function of the hips' weights."""

    def __init__(
        self, labels: NDArray[np.bool_], scores: NDArray[np.float64], threshold: float
    ) -> None:
        self.positive, self.negative = labels.astype(np.float64), (~labels).astype(np.float64)
        called = scores >= threshold
        cells = [~called & ~labels, called & ~labels, ~called & labels, called & labels]
        self.cells = np.stack(cells, axis=1).astype(np.float64)  # hips x (tn, fp, fn, tp)
        self.squared_error = (scores - self.positive) ** 2
        bins = np.minimum((scores * CALIBRATION_BINS).astype(int), CALIBRATION_BINS - 1)
        self.bin_error = np.zeros((scores.size, CALIBRATION_BINS))
        self.bin_error[np.arange(scores.size), bins] = scores - self.positive
        self.order = np.argsort(-scores, kind="stable")
        descending = scores[self.order]
        self.ties = np.flatnonzero(np.r_[True, descending[1:] != descending[:-1]])

    def __call__(self, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """Figures ``(rows, names)`` for ``weights`` ``(rows, hips)``."""
        tn, fp, fn, tp = self.confusion(weights)
        total = weights.sum(axis=1)
        recall, specificity = _ratio(tp, tp + fn), _ratio(tn, tn + fp)
        roc_auc, pr_auc = self._areas(weights)
        columns = [
            _ratio(tp + tn, total),
            (recall + specificity) / 2,
            _ratio(tp, tp + fp),
            recall,
            specificity,
            _ratio(2 * tp, 2 * tp + fp + fn),
            roc_auc,
            pr_auc,
            _ratio(weights @ self.squared_error, total),
            _ratio(np.abs(weights @ self.bin_error).sum(axis=1), total),
        ]
        return np.stack(columns, axis=1)

    def confusion(self, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """Weighted hips ``(tn, fp, fn, tp)``, one column per row of weights."""
        cells: NDArray[np.float64] = (weights @ self.cells).T
        return cells

    def has_every_class(self, weights: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Whether each row weighs every class that the labels have."""
        complete = np.ones(len(weights), bool)
        for members in (self.positive, self.negative):
            if members.any():
                complete &= weights @ members > 0
        return complete

    def _areas(
        self, weights: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """ROC AUC and average precision; hips of one score enter together."""
        ranked = weights[:, self.order]
        positive = np.add.reduceat(ranked * self.positive[self.order], self.ties, axis=1)
        negative = np.add.reduceat(ranked * self.negative[self.order], self.ties, axis=1)
        above, wrong = positive.cumsum(axis=1), negative.cumsum(axis=1)
        positives, negatives = above[:, -1], wrong[:, -1]
        won = (positive * (negatives[:, None] - wrong + negative / 2)).sum(axis=1)
        called = above + wrong
        precision = np.divide(above, called, out=np.zeros_like(above), where=called > 0)
        average = _ratio((precision * positive).sum(axis=1), positives)
        return _ratio(won, positives * negatives), np.where(negatives > 0, average, np.nan)


def _ratio(top: NDArray[np.float64], bottom: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.divide(top, bottom, out=np.full_like(bottom, np.nan), where=bottom > 0)


def _require_labels(y_true: ArrayLike) -> NDArray[np.bool_]:
    labels = np.asarray(y_true)
    if labels.ndim != 1 or labels.size == 0:
        raise ParameterError(f"y_true must be a list of labels; got shape {labels.shape}.")
    if labels.dtype.kind not in "buif" or not np.isin(labels, (0, 1)).all():
        raise ParameterError("y_true must hold 0 (no rHOA) and 1 (rHOA) only.")
    return labels.astype(bool)


def _require_scores(y_score: ArrayLike) -> NDArray[np.float64]:
    scores = np.asarray(y_score)
    if scores.ndim != 1 or scores.dtype.kind not in "buif":
        raise ParameterError(
            "y_score must be a list of numbers, the probability of rHOA of each hip; "
            f"got dtype {scores.dtype}, shape {scores.shape}."
        )
    scores = scores.astype(np.float64)
    wrong = int((~((scores >= 0) & (scores <= 1))).sum())  # counts NaN too
    if wrong:
        raise ParameterError(
            f"y_score must lie in [0, 1]; {wrong} of {scores.size} scores are NaN or outside."
        )
    return scores


def _require_groups(groups: ArrayLike | None, hips: int) -> NDArray[np.intp]:
    if groups is None:
        return np.arange(hips)
    names = np.asarray(groups)
    if names.shape != (hips,):
        raise ParameterError(
            f"groups must name the patient of each of the {hips} hips; got shape {names.shape}."
        )
    return np.unique(names.astype(str), return_inverse=True)[1]


def _require_threshold(threshold: object) -> float:
    if not isinstance(threshold, int | float | np.number) or not 0 <= threshold <= 1:
        raise ParameterError(f"threshold must be a number in [0, 1]; got {threshold!r}.")
    return float(threshold)

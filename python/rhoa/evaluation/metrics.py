"""Metrics of a two-class model, each with a 95 % interval, by every definition in use.

The positive class is rHOA (label 1); a hip whose score reaches the threshold is called rHOA.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from rhoa.cohort.partition import NO_GROUP, named_groups
from rhoa.errors import ParameterError, require_choice, require_count
from rhoa.evaluation.intervals import (
    ONE_CLASS,
    Estimate,
    area_estimate,
    bound_of_perfection,
    clopper_pearson,
    jackknife,
    left_out_weights,
    mean_interval,
    proportion_interval,
    too_few,
)
from rhoa.files import html_view

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import ArrayLike, NDArray

    from rhoa.evaluation.intervals import ProportionMethod, Scale

    Counts = NDArray[np.float64]


# What an evaluation holds: figures with intervals, counts, a baseline, and warnings.

IntervalMethod = Literal["auto", "exact"]
INTERVAL_METHODS: tuple[IntervalMethod, ...] = ("auto", "exact")
Definitions = Literal["standard", "paper"]
DEFINITIONS: tuple[Definitions, ...] = ("standard", "paper")

# With fewer hips than this in a class, one hip moves recall or specificity by over three points.
SMALL_CLASS = 30


class Confusion(NamedTuple):
    """Numbers of hips: true negative, false positive, false negative, true positive."""

    tn: int
    fp: int
    fn: int
    tp: int


class Baseline(NamedTuple):
    """What the same answer for every hip scores: ``answer`` is the label of the larger class."""

    answer: int
    accuracy: float
    balanced_accuracy: float
    precision: float
    recall: float
    specificity: float
    f1: float
    roc_auc: float
    pr_auc: float
    brier: float

    @classmethod
    def of(cls, share: float) -> Baseline:
        """Of who gives every hip the share of rHOA as score, and calls the larger class."""
        positive, both = share >= 0.5, 0 < share < 1
        return cls(
            answer=int(positive),
            accuracy=max(share, 1 - share),
            balanced_accuracy=0.5 if both else math.nan,
            precision=share if positive else math.nan,
            recall=float(positive) if share > 0 else math.nan,
            specificity=float(not positive) if share < 1 else math.nan,
            f1=2 * share / (1 + share) if positive else (0.0 if share > 0 else math.nan),
            roc_auc=0.5 if both else math.nan,
            pr_auc=share if both else math.nan,
            brier=share * (1 - share),
        )


def finite(value: float | None) -> float | None:
    """``value`` for JSON, which knows no NaN: None where it is undefined."""
    return float(value) if value is not None and math.isfinite(value) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """How good a set of scores is; every figure is an `Estimate`.

    ``precision`` = tp / (tp + fp), ``recall`` = ``sensitivity`` = tp / (tp + fn), ``specificity`` =
    tn / (tn + fp), ``balanced_accuracy`` = (recall + specificity) / 2, ``f1`` = 2 tp / (2 tp + fp +
    fn), ``mcc`` is Matthews' correlation of label and answer. ``pr_auc`` is the average precision:
    the sum over thresholds of precision times the gain in recall. ``roc_auc`` counts a tie as half.
    ``brier`` is the mean squared difference of score and label.

    Calibration: ``calibration_slope`` is that of a logistic regression of the labels on the scores'
    log odds (1 is right; below 1 scores are too extreme), ``calibration_intercept`` the shift of
    the log odds that makes mean score and share of rHOA equal (calibration in the large; 0 is
    right), ``oe_ratio`` rHOA hips observed over those expected, the sum of scores.
    ``calibration_error`` is the root mean square of the difference of mean score and share of rHOA
    over ten equal bins of the score, without what chance adds to it. ``ece``, the expected
    calibration error, is the mean absolute difference over the same bins; chance makes it larger
    than zero for every model, so it has no interval, but ``ece_expected``, its mean for a
    calibrated model with these scores and subjects, and ``ece_p``, how often such a model shows one
    as large.

    ``groups`` is the number of subjects (or hips, where none were given). ``baseline`` is what the
    larger class as the answer for all would score, ``warnings`` what a reader must know beside
    these figures. ``standard`` is None, or where ``definitions`` is ``"paper"`` the evaluation by
    the standard definitions.
    """

    accuracy: Estimate
    balanced_accuracy: Estimate
    precision: Estimate
    recall: Estimate
    specificity: Estimate
    f1: Estimate
    mcc: Estimate
    roc_auc: Estimate
    pr_auc: Estimate
    brier: Estimate
    calibration_slope: Estimate
    calibration_intercept: Estimate
    oe_ratio: Estimate
    calibration_error: Estimate
    ece: Estimate
    ece_expected: float
    ece_p: float
    confusion: Confusion
    baseline: Baseline
    hips: int
    groups: int
    threshold: float
    interval: IntervalMethod
    resamples: int
    warnings: tuple[str, ...] = ()
    definitions: Definitions = "standard"
    standard: Evaluation | None = None

    @property
    def sensitivity(self) -> Estimate:
        """Another name of the standard recall, whatever ``definitions`` says."""
        return (self.standard or self).recall

    @property
    def average_precision(self) -> Estimate:
        """Another name of the standard PR AUC, whatever ``definitions`` says."""
        return (self.standard or self).pr_auc

    def _repr_html_(self) -> str:
        rows: list[tuple[str, object]] = [
            (name.replace("_", " "), f"{one.value:.3f} (95 % CI {one.low:.3f} to {one.high:.3f})")
            for name, one in ((each.name, getattr(self, each.name)) for each in fields(self))
            if isinstance(one, Estimate)
        ]
        counts = self.confusion._asdict()
        rows.append(("confusion", ", ".join(f"{name} {n}" for name, n in counts.items())))
        rows += [("warning", text) for text in self.warnings]
        title = f"Evaluation of {self.hips} hips, threshold {self.threshold:g}"
        return html_view(title, rows)


# Figures of a confusion matrix, by every definition that papers use.
#
# All functions take counts, or arrays of counts, and divide as they are defined: a figure is NaN
# where its denominator is zero.


class Rates(NamedTuple):
    """Figures with one meaning; ``ppv`` and ``npv`` are shares of the hips called either way."""

    accuracy: Counts
    balanced_accuracy: Counts
    sensitivity: Counts
    specificity: Counts
    ppv: Counts
    npv: Counts
    mcc: Counts


class Averages(NamedTuple):
    """Precision, recall and F1 under one averaging of the two classes."""

    precision: Counts
    recall: Counts
    f1: Counts


def ratio(top: Counts, bottom: Counts) -> Counts:
    """``top / bottom``, NaN where ``bottom`` is zero."""
    quotient: Counts = np.full(np.broadcast(top, bottom).shape, np.nan)
    return np.divide(top, bottom, out=quotient, where=np.not_equal(bottom, 0))


def harmonic_mean(first: Counts, second: Counts) -> Counts:
    """Of two figures; NaN where their sum is zero."""
    return ratio(2 * first * second, first + second)


def rates(tn: Counts, fp: Counts, fn: Counts, tp: Counts) -> Rates:
    """The figures whose names leave no doubt about their definition."""
    sensitivity, specificity = ratio(tp, tp + fn), ratio(tn, tn + fp)
    margins = (tp + fp) * (tp + fn) * (tn + fp) * (tn + fn)
    return Rates(
        accuracy=ratio(tp + tn, tp + fp + tn + fn),
        balanced_accuracy=(sensitivity + specificity) / 2,
        sensitivity=sensitivity,
        specificity=specificity,
        ppv=ratio(tp, tp + fp),
        npv=ratio(tn, tn + fn),
        mcc=ratio(tp * tn - fp * fn, np.sqrt(margins)),
    )


def of_positives(tn: Counts, fp: Counts, fn: Counts, tp: Counts) -> Averages:
    """Precision, recall and F1 of the positive class: the standard ones; ``tn`` plays no part."""
    del tn
    return Averages(ratio(tp, tp + fp), ratio(tp, tp + fn), ratio(2 * tp, 2 * tp + fp + fn))


def macro(tn: Counts, fp: Counts, fn: Counts, tp: Counts) -> Averages:
    """Means over both classes; F1 is the mean of the two classes' F1."""
    return _mean(of_positives(tn, fp, fn, tp), of_positives(tp, fn, fp, tn), 0.5)


def weighted(tn: Counts, fp: Counts, fn: Counts, tp: Counts) -> Averages:
    """Means over both classes, weighted by how many hips are of each."""
    share = ratio(tp + fn, tp + fn + tn + fp)
    return _mean(of_positives(tn, fp, fn, tp), of_positives(tp, fn, fp, tn), share)


def _mean(positive: Averages, negative: Averages, share: Counts | float) -> Averages:
    return Averages(
        *(share * one + (1 - share) * two for one, two in zip(positive, negative, strict=True))
    )


def of_averages(averages: Averages) -> Averages:
    """The same with F1 as the harmonic mean of the averaged precision and recall."""
    f1 = harmonic_mean(averages.precision, averages.recall)
    return averages._replace(f1=f1)


def swapped(averages: Averages) -> Averages:
    """The same with precision printed as recall, and recall as precision."""
    return averages._replace(precision=averages.recall, recall=averages.precision)


def of_paper(tn: Counts, fp: Counts, fn: Counts, tp: Counts) -> Averages:
    """What the tables of Gebre et al. 2022 follow: macro recall printed as precision and so on.

    Their precision is the macro recall, their recall the macro precision, and their F1 the harmonic
    mean of the two.
    """
    return swapped(of_averages(macro(tn, fp, fn, tp)))


# All figures for many weightings of the hips at once.
#
# The value of a figure has the hips' own weights, a jackknife has zeros for the subject that is
# left out.

CALIBRATION_BINS = 10
_NO_HIPS = 1e-12  # expected rHOA hips, below which their ratio to those observed is undefined

NAMES = (
    *("accuracy", "balanced_accuracy", "precision", "recall", "specificity", "f1", "mcc"),
    *("roc_auc", "pr_auc", "brier", "ece", "oe_ratio"),
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
        bins = bin_of(scores, bin_edges(CALIBRATION_BINS))
        error = scores - self.positive
        self.errors = np.zeros((scores.size, 1 + CALIBRATION_BINS))  # squared, then by bin
        self.errors[:, 0] = error**2
        self.errors[np.arange(scores.size), 1 + bins] = error
        first = np.r_[True, scores[1:] != scores[:-1]]
        self.first_of_tie = np.flatnonzero(first)
        self.scores = scores

    def __call__(self, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """Figures ``(rows, NAMES)`` for ``weights`` ``(rows, hips)``."""
        cells = self.confusion(weights)
        plain, standard, paper = rates(*cells), of_positives(*cells), of_paper(*cells)
        roc_auc, pr_auc, paper_pr_auc = self._areas(weights)
        errors, total = weights @ self.errors, weights.sum(axis=1)
        expected = weights @ self.scores
        columns = [
            *(plain.accuracy, plain.balanced_accuracy, standard.precision, standard.recall),
            *(plain.specificity, standard.f1, plain.mcc, roc_auc, pr_auc),
            *(ratio(errors[:, 0], total), ratio(np.abs(errors[:, 1:]).sum(axis=1), total)),
            ratio(weights @ self.positive, np.where(expected > _NO_HIPS, expected, 0)),
            *(paper.precision, paper.recall, paper.f1, paper_pr_auc),
        ]
        return np.stack(columns, axis=1)

    def confusion(self, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """Weighted hips ``(tn, fp, fn, tp)``, one column per row of weights."""
        cells: NDArray[np.float64] = (weights @ self.cells).T
        return cells

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
        # Trapezoids under the PR curve from its first threshold on, not from recall 0.
        heights = precision[:, 1:] + precision[:, :-1]
        heights[called[:, :-1] == 0] = 0
        gains = gained.sum(axis=1)
        area = ratio(_row_sums(gained[:, 1:], heights), 2 * gains)
        area[gains == called[:, -1]] = np.nan
        return roc_auc, average, area


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


# Calibration: bins of the score, regression of labels on log odds, and what chance alone shows.

_LARGEST_LOG_ODDS = 36.0  # beyond this a double is one: scores of 0 and 1 stay finite
_STEPS = 100


def bin_edges(bins: int) -> NDArray[np.float64]:
    """Edges of ``bins`` equal bins of the score: the doubles that tenths such as .3 are read as."""
    edges: NDArray[np.float64] = np.arange(bins + 1) / bins
    return edges


def bin_of(scores: NDArray[np.float64], edges: NDArray[np.float64]) -> NDArray[np.intp]:
    """The bin of each score; one on an edge is of the upper bin, 1 of the last."""
    place: NDArray[np.intp] = np.searchsorted(edges, scores, side="right") - 1
    return np.clip(place, 0, edges.size - 2)


def log_odds(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of probabilities; those of 0 and 1 are large but finite."""
    from scipy.special import logit

    odds: NDArray[np.float64] = logit(scores)
    return np.clip(odds, -_LARGEST_LOG_ODDS, _LARGEST_LOG_ODDS)


def separated(labels: NDArray[np.bool_], scores: NDArray[np.float64]) -> bool:
    """Whether no score of a class lies among those of the other, so that no slope is likeliest."""
    rhoa, other = scores[labels], scores[~labels]
    return bool(rhoa.min() >= other.max() or rhoa.max() <= other.min())


class Regression(NamedTuple):
    """A logistic regression: its coefficients, and those with each subject left out in turn."""

    coefficients: NDArray[np.float64]
    left_out: NDArray[np.float64]


def regress(
    design: NDArray[np.float64],
    labels: NDArray[np.bool_],
    groups: NDArray[np.intp],
    weights: NDArray[np.float64],
    offset: NDArray[np.float64] | float = 0.0,
) -> Regression:
    """The likeliest logistic regression of labels on the columns of ``design``, which must exist.

    Each subject is left out by one step of Newton's method from the coefficients of all, whose
    jackknife is the sandwich estimate that corrects for few clusters (CR3).

    References
    ----------
    Bell and McCaffrey 2002, Bias reduction in standard errors for linear regression with
    multi-stage samples, Surv Methodol 28:169-181.
    """
    from scipy.special import expit

    outer = design[:, :, None] * design[:, None, :]
    signed = np.where(labels, 1, -1)

    def loss(given: NDArray[np.float64]) -> float:
        return float(weights @ np.logaddexp(0, -signed * (design @ given + offset)))

    beta = np.zeros(design.shape[1])
    current = loss(beta)
    for _ in range(_STEPS):
        chance = expit(design @ beta + offset)
        slope = weights * (labels - chance)
        curve = np.einsum("i,ijk->jk", weights * chance * (1 - chance), outer)
        step = np.linalg.lstsq(curve, slope @ design, rcond=None)[0]
        while loss(beta + step) > current and np.abs(step).max() > 1e-12:
            step = step / 2
        beta, current = beta + step, min(current, loss(beta + step))
        if np.abs(step).max() < 1e-10 * (1 + np.abs(beta).max()):
            break
    chance = expit(design @ beta + offset)
    pull, bend = weights * (labels - chance), weights * chance * (1 - chance)
    count = int(groups.max()) + 1
    of_subjects = np.zeros((count, beta.size))
    np.add.at(of_subjects, groups, pull[:, None] * design)
    bends = np.zeros((count, beta.size, beta.size))
    np.add.at(bends, groups, bend[:, None, None] * outer)
    with np.errstate(all="ignore"):
        left = bends.sum(axis=0) - bends
        moved = np.linalg.pinv(left, hermitian=True) @ of_subjects[:, :, None]
    return Regression(beta, beta - moved[:, :, 0])


def calibrated_labels(
    labels: NDArray[np.bool_],
    scores: NDArray[np.float64],
    groups: NDArray[np.intp],
    draws: int,
    seed: int,
) -> Iterator[NDArray[np.bool_]]:
    """Labels that hips would have if each score were the probability that it says.

    Blocks of rows ``(some, hips)``. Hips of a subject are drawn by one uniform number in a share of
    pairs that makes labels of a subject depend on each other as much as they do in the data.
    """
    # Covariance of errors within subjects, over that of labels drawn by one number: pairs each.
    count = int(groups.max()) + 1
    error = labels - scores
    seen = float((np.bincount(groups, error, count) ** 2).sum() - error @ error) / 2
    order = np.lexsort((scores, groups))
    sizes = np.bincount(groups, minlength=count)
    larger = np.cumsum(sizes)[groups[order]] - 1 - np.arange(scores.size)
    same = float(scores[order] @ larger)
    same -= float((np.bincount(groups, scores, count) ** 2).sum() - scores @ scores) / 2
    shared = min(1.0, max(0.0, seen / same)) if same > 0 else 0.0
    random = np.random.default_rng(seed)
    block = max(1, 300_000 // scores.size)
    for start in range(0, draws, block):
        rows = min(block, draws - start)
        drawn = random.random((rows, scores.size))
        if shared > 0:
            common = random.random((rows, count))[:, groups]
            drawn = np.where(random.random(drawn.shape) < math.sqrt(shared), common, drawn)
        yield drawn < scores


# Labels, scores and groups as arrays, or an error that says what is wrong with them.


def require_labels(y_true: ArrayLike) -> NDArray[np.bool_]:
    """``y_true`` as one truth value a hip."""
    labels = np.asarray(y_true)
    if labels.ndim != 1 or labels.size == 0:
        raise ParameterError(f"y_true must be a list of labels; got shape {labels.shape}.")
    if labels.dtype.kind not in "buif" or not np.isin(labels, (0, 1)).all():
        absent = int(np.isnan(labels).sum()) if labels.dtype.kind == "f" else 0
        said = f"; {absent} of {labels.size} are NaN: leave out hips without a label"
        raise ParameterError(
            f"y_true must hold 0 (no rHOA) and 1 (rHOA) only{said if absent else ''}."
        )
    return labels.astype(bool)


def require_both_classes(labels: NDArray[np.bool_], purpose: str) -> None:
    """Check that hips of either class are there."""
    if labels.all() or not labels.any():
        raise ParameterError(
            f"{purpose} needs hips of both classes; all {labels.size} are "
            f"{'rHOA' if labels.all() else 'no rHOA'}."
        )


def require_scores(
    y_score: ArrayLike, hips: int | None = None, *, name: str = "y_score"
) -> NDArray[np.float64]:
    """``y_score`` as one probability a hip, of as many hips as there are labels.

    Numbers of 32 or 16 bits are the shortest decimals that they print as, so that a score of .7
    reaches a threshold of .7, and the bin that begins there, whatever holds it.
    """
    scores = np.asarray(y_score)
    if scores.ndim != 1 or scores.dtype.kind not in "buif":
        raise ParameterError(
            f"{name} must be a list of numbers, the probability of rHOA of each hip; "
            f"got dtype {scores.dtype}, shape {scores.shape}."
        )
    short = scores.dtype.kind == "f" and scores.dtype.itemsize < 8
    scores = (scores.astype(str) if short else scores).astype(np.float64)
    if hips is not None and scores.size != hips:
        raise ParameterError(f"y_true and {name} must be as long; got {hips} and {scores.size}.")
    wrong = int((~((scores >= 0) & (scores <= 1))).sum())  # counts NaN too
    if wrong:
        raise ParameterError(
            f"{name} must lie in [0, 1]; {wrong} of {scores.size} scores are NaN or outside."
        )
    return scores


def require_groups(groups: ArrayLike | None, hips: int) -> NDArray[np.intp]:
    """Patient of each hip as 0, 1, ... without gaps; each hip its own where none are given."""
    if groups is None:
        return np.arange(hips)
    names = np.asarray(groups)
    if names.shape != (hips,):
        raise ParameterError(
            f"groups must name the patient of each of the {hips} hips; got shape {names.shape}."
        )
    return np.unique(named_groups(names), return_inverse=True)[1]


def require_weights(sample_weight: ArrayLike | None, hips: int) -> NDArray[np.float64] | None:
    """``sample_weight`` as one number >= 0 a hip, not all 0; None where none are given."""
    if sample_weight is None:
        return None
    weights = np.asarray(sample_weight)
    if weights.shape != (hips,) or weights.dtype.kind not in "buif":
        raise ParameterError(
            f"sample_weight must be a number for each of the {hips} hips; got dtype "
            f"{weights.dtype}, shape {weights.shape}."
        )
    weights = weights.astype(np.float64)
    if not (np.isfinite(weights) & (weights >= 0)).all() or not weights.any():
        raise ParameterError("sample_weight must be finite numbers >= 0, not all 0.")
    return weights


def require_threshold(threshold: object) -> float:
    """``threshold`` as a probability."""
    if not isinstance(threshold, int | float | np.number) or not 0 <= threshold <= 1:
        raise ParameterError(f"threshold must be a number in [0, 1]; got {threshold!r}.")
    return float(threshold)


def require_validation(partition: ArrayLike | None, hips: int, purpose: str) -> None:
    """Check that all hips are of the validation set, where partitions are given."""
    if partition is None:
        return
    names = np.asarray(partition)
    if names.shape != (hips,):
        raise ParameterError(
            f"partition must name that of each of the {hips} hips; got shape {names.shape}."
        )
    others = sorted({str(name) for name in names} - {"val"})
    if others:
        raise ParameterError(
            f"{purpose} is chosen on validation hips (val) only; "
            f"{int((names.astype(str) != 'val').sum())} of {hips} hips are of {', '.join(others)}."
        )


# Figures of merit of a two-class model, each with a 95 % interval.

_FIGURES = tuple(name for name in NAMES if not name.startswith("paper_"))
_PAPER = ("precision", "recall", "f1", "pr_auc")
_SCALES: dict[str, Scale] = {
    "mcc": "Fisher's z",
    "brier": "log",
    "oe_ratio": "log",
    "paper_pr_auc": "plain",
}


def evaluate(
    y_true: ArrayLike,
    y_score: ArrayLike,
    *,
    groups: ArrayLike | None = None,
    threshold: float = 0.5,
    resamples: int = 2000,
    seed: int = 0,
    interval: IntervalMethod = "auto",
    definitions: Definitions = "standard",
    sample_weight: ArrayLike | None = None,
) -> Evaluation:
    """How well scores tell rHOA from no rHOA, each figure with a 95 % interval.

    Parameters
    ----------
    y_true
        Label of each hip, 0 or 1 (rHOA).
    y_score
        Probability of rHOA of each hip, in [0, 1]. Scores of 32 or 16 bits are taken as the
        shortest decimals that they print as; equal scores are ties, which no order breaks.
    groups
        Subject of each hip. Intervals are over subjects, whose hips resemble each other; without
        groups each hip counts as a subject, and intervals are too narrow where subjects have
        several hips.
    threshold
        A hip is called rHOA where its score is at least this; choose it on validation hips
        (`rhoa.evaluation.choose_threshold`).
    resamples
        How often labels of a calibrated model are drawn for ``ece_expected`` and ``ece_p``.
    seed
        Of these draws. Nothing else is random.
    interval
        ``"auto"``: of shares and F1 by Wilson for the effective number of hips; of balanced
        accuracy from the two Wilson intervals and their covariance; of the ROC AUC by DeLong, with
        groups by Obuchowski, and Student's t; of other figures by the jackknife of subjects and
        Student's t. ``Estimate.method`` names it. ``"exact"``: the same with Clopper-Pearson for
        Wilson.
    definitions
        ``"standard"``, or ``"paper"``: precision, recall, F1 and PR AUC as the tables of Gebre et
        al. 2022 have them, with the standard ones in ``.standard``. Their precision is the macro
        recall, their recall the macro precision, F1 the harmonic mean of both, and the area under
        the PR curve lacks its first segment. All four by the jackknife.
    sample_weight
        Of each hip in every figure, such as the number of hips of a population that it stands for;
        hips of weight 0 are left out. Counts (``confusion``, ``hips``) are of hips, unweighted.

    Returns
    -------
    Evaluation
        A figure whose definition divides by zero is NaN (``precision`` where no hip is called
        rHOA). With one class only, both AUC, balanced accuracy, MCC and what divides by the absent
        class are NaN. With fewer than five subjects there are no intervals. ``Estimate.note`` gives
        the reason, also of an interval that has one side only.

    Raises
    ------
    ParameterError
        If nothing is given, lengths differ, a label is not 0 or 1 (NaN: a hip without a label), a
        score is NaN or outside [0, 1], or a weight is below 0.

    References
    ----------
    What `rhoa.evaluation.intervals` names; docs/evaluation.md has the coverage of each interval.
    Bröcker and Smith 2007, Increasing the reliability of reliability diagrams, Weather Forecast
    22:651-661 (what a calibrated model shows). Cox 1958, Two further applications of a model for
    binary regression, Biometrika 45:562-565 (slope and intercept).

    Examples
    --------
    >>> from rhoa.evaluation import evaluate
    >>> result = evaluate([0, 0, 1, 1], [0.1, 0.6, 0.4, 0.9])
    >>> result.roc_auc.value, result.confusion
    (0.75, Confusion(tn=1, fp=1, fn=1, tp=1))
    >>> result.roc_auc.note
    'no interval: 4 subjects; at least 5 are needed.'
    >>> result.baseline.accuracy, result.warnings
    (0.5, ('2 rHOA and 2 other hips: with fewer than 30 of a class, read intervals, not values.',))
    """
    labels = require_labels(y_true)
    scores = require_scores(y_score, labels.size)
    members = require_groups(groups, labels.size)
    cutoff = require_threshold(threshold)
    require_count("resamples", resamples)
    require_choice("interval", interval, INTERVAL_METHODS)
    require_choice("definitions", definitions, DEFINITIONS)
    weights = require_weights(sample_weight, labels.size)
    kept = np.flatnonzero(np.ones(labels.size, bool) if weights is None else weights > 0)
    order = kept[np.argsort(-scores[kept], kind="stable")]
    groups = np.unique(members[order], return_inverse=True)[1]
    hips = _Hips(
        labels[order], scores[order], groups, cutoff, None if weights is None else weights[order]
    )
    found = _estimates(hips, interval)
    ece, expected, p = _calibration_error_of_chance(hips, resamples, seed)

    def by(chosen: Definitions, standard: Evaluation | None) -> Evaluation:
        own = {name: f"paper_{name}" for name in _PAPER} if chosen == "paper" else {}
        return Evaluation(
            **{name: found[own.get(name, name)] for name in _FIGURES if name != "ece"},
            **_calibration(hips),
            ece=ece,
            ece_expected=expected,
            ece_p=p,
            confusion=Confusion(*hips.figures.cells.sum(axis=0).astype(int).tolist()),
            baseline=Baseline.of(float(np.average(hips.labels, weights=hips.weights))),
            hips=hips.labels.size,
            groups=int(groups.max()) + 1,
            threshold=cutoff,
            interval=interval,
            resamples=resamples,
            warnings=_warnings(hips, found["accuracy"].value),
            definitions=chosen,
            standard=standard,
        )

    standard = by("standard", None)
    return standard if definitions == "standard" else by("paper", standard)


def evaluate_by(
    y_true: ArrayLike,
    y_score: ArrayLike,
    by: ArrayLike,
    *,
    groups: ArrayLike | None = None,
    threshold: float = 0.5,
    resamples: int = 2000,
    seed: int = 0,
) -> dict[str, Evaluation]:
    """The evaluation of each subgroup of hips, by name, each with intervals of its own.

    Intervals are not corrected for the number of subgroups: of twenty, one misses by chance.

    Parameters
    ----------
    y_true, y_score, groups, threshold, resamples, seed
        As `evaluate` takes them.
    by
        Subgroup of each hip; "not stated" where it is missing (NaN, None, empty).

    Raises
    ------
    ParameterError
        As `evaluate`, or if ``by`` is not as long.

    Examples
    --------
    >>> found = evaluate_by([0, 1, 0, 1], [0.1, 0.9, 0.8, 0.7], ["F", "F", "M", "M"])
    >>> {name: one.roc_auc.value for name, one in found.items()}
    {'F': 1.0, 'M': 0.0}
    """
    labels = require_labels(y_true)
    scores = require_scores(y_score, labels.size)
    members = require_groups(groups, labels.size)
    names = np.asarray(by).astype(str)
    if names.shape != labels.shape:
        raise ParameterError(f"by must name the subgroup of each of the {labels.size} hips.")
    missing = [name.strip().casefold() in NO_GROUP for name in names]
    names = np.where(missing, NOT_STATED, names)
    options = {"threshold": threshold, "resamples": resamples, "seed": seed}
    return {
        str(name): evaluate(labels[own], scores[own], groups=members[own], **options)  # type: ignore[arg-type]
        for name in sorted(set(names), key=lambda name: (name == NOT_STATED, name))
        for own in [names == name]
    }


NOT_STATED = "not stated"


# A cross-validation: areas within its folds, answers at each fold's own threshold.

AT_THRESHOLDS = ("accuracy", "balanced_accuracy", "precision", "recall", "specificity", "f1")


@dataclass(frozen=True, slots=True, kw_only=True)
class CrossValidation:
    """How good the models of a cross-validation are; each hip has the score of one of them.

    ``roc_auc`` and ``pr_auc`` are means of the areas within folds, over the folds with hips of both
    classes: how well a model ranks hips. ``by_fold`` are the ROC AUCs of these means, NaN where a
    fold has one class. ``pooled`` is of all scores together: its areas also rank hips of one model
    against those of another, whose scores can be of another scale, so they can be far lower.
    ``at_thresholds`` are `AT_THRESHOLDS` of hips called rHOA at the threshold of their fold, one of
    ``thresholds``; both are empty where none was given.
    """

    roc_auc: Estimate
    pr_auc: Estimate
    by_fold: tuple[float, ...]
    pooled: Evaluation
    thresholds: tuple[float, ...]
    at_thresholds: Mapping[str, Estimate]


def evaluate_folds(
    y_true: ArrayLike,
    y_score: ArrayLike,
    folds: ArrayLike,
    *,
    groups: ArrayLike | None = None,
    thresholds: ArrayLike | None = None,
) -> CrossValidation:
    """The areas within the folds of a cross-validation, beside figures of all its hips together.

    Parameters
    ----------
    y_true, y_score, groups
        As `evaluate` takes them; the score of a hip is that of the model that did not see its fold.
    folds
        Fold of each hip, all hips of a subject in one.
    thresholds
        Of each hip's fold: chosen on the validation hips of that fold's own training part
        (`rhoa.evaluation.choose_threshold`), never on the hips given here. NaN where a fold has
        none; its hips are left out of ``at_thresholds``.

    Returns
    -------
    CrossValidation
        Intervals of the means are of the jackknife of subjects, on the scale of log odds; they are
        of these models, and say nothing of what other training hips would give.

    Raises
    ------
    ParameterError
        As `evaluate`, or if lengths differ, there is one fold, a subject is in two folds, or a fold
        has two thresholds.

    References
    ----------
    Airola et al. 2011, An experimental comparison of cross-validation techniques for estimating the
    area under the ROC curve, Comput Stat Data Anal 55:1828-1844 (what pooling does). LeDell,
    Petersen and van der Laan 2015, Computationally efficient confidence intervals for
    cross-validated area under the ROC curve estimates, Electron J Stat 9:1583-1607.

    Examples
    --------
    Both models rank their own hips without a mistake; the second gives higher scores:

    >>> found = evaluate_folds([0, 1, 0, 1], [0.1, 0.4, 0.6, 0.9], [1, 1, 2, 2])
    >>> found.roc_auc.value, found.pooled.roc_auc.value
    (1.0, 0.75)
    """
    labels = require_labels(y_true)
    scores = require_scores(y_score, labels.size)
    members = require_groups(groups, labels.size)
    names, fold_of = np.unique(np.asarray(folds), return_inverse=True)
    if fold_of.shape != labels.shape or names.size < 2:
        raise ParameterError(f"folds must name that of each of {labels.size} hips, two or more.")
    astray = len(set(zip(members.tolist(), fold_of.tolist(), strict=True))) - len(set(members))
    if astray:
        raise ParameterError(
            f"{astray} subjects have hips in several folds; make folds of subjects "
            "(rhoa.cohort.folds), or models are tested on subjects that they have seen."
        )
    own = [np.flatnonzero(fold_of == fold) for fold in range(names.size)]
    own = [hips[np.argsort(-scores[hips], kind="stable")] for hips in own]
    figures = [WeightedFigures(labels[hips], scores[hips], 0.5) for hips in own]

    def within(weights: Counts) -> dict[str, Counts]:
        """Areas ``(rows, folds)``; NaN where a fold's hips of weight are of one class."""
        found = np.stack(
            [of(weights[:, hips]) for of, hips in zip(figures, own, strict=True)], axis=2
        )
        return {name: found[:, NAMES.index(name)] for name in ("roc_auc", "pr_auc")}

    whole = within(np.ones((1, labels.size)))
    left_out = [within(weights) for weights in left_out_weights(members)]
    means = {}
    for name, areas in whole.items():
        without = np.concatenate([one[name] for one in left_out])
        means[name] = _mean_of_folds(name, areas[0], without, labels, members)
    cutoffs = _fold_thresholds(thresholds, fold_of)
    return CrossValidation(
        **means,
        by_fold=tuple(whole["roc_auc"][0].tolist()),
        pooled=evaluate(labels, scores, groups=members),
        thresholds=tuple(cutoffs.tolist()),
        at_thresholds=_at_thresholds(labels, scores, members, cutoffs[fold_of])
        if cutoffs.size
        else {},
    )


def _mean_of_folds(
    name: str,
    areas: Counts,
    left_out: Counts,
    labels: NDArray[np.bool_],
    groups: NDArray[np.intp],
) -> Estimate:
    """The mean over folds that have the area; ``left_out`` are ``(subjects, folds)``."""
    known = int(np.isfinite(areas).sum())
    if not known:
        return Estimate(math.nan, note="undefined: no fold has hips of both classes.")
    value = float(np.nanmean(areas))
    some = "" if known == areas.size else f"of {known} of {areas.size} folds, with both classes. "
    if few := too_few(groups):
        return Estimate(value, note=some + few)
    if value > 1 - 1e-12:
        bound = bound_of_perfection(*(np.unique(groups[own]).size for own in (labels, ~labels)))
        if name == "pr_auc":
            bound = binormal_precision(bound, float(labels.mean()))
        note = f"{some}one-sided: the classes do not overlap in any fold."
        return Estimate(1.0, bound, 1.0, note=note, method="Newcombe's bound for subjects")
    counts = np.isfinite(left_out).sum(axis=1)
    means = ratio(np.nansum(left_out, axis=1), counts)
    found = jackknife(value, means, "log odds")
    return Estimate(*found, note=some + found.note, method=found.method)


def _fold_thresholds(thresholds: ArrayLike | None, fold_of: NDArray[np.intp]) -> Counts:
    """That of each fold; NaN where it has none."""
    found = np.full(int(fold_of.max()) + 1, np.nan)
    if thresholds is None:
        return found[:0]
    of_hips = np.asarray(thresholds, np.float64)
    if of_hips.shape != fold_of.shape:
        raise ParameterError(f"thresholds must be of the fold of each of {fold_of.size} hips.")
    found[fold_of] = of_hips
    if not np.array_equal(found[fold_of], of_hips, equal_nan=True):
        raise ParameterError("thresholds must be one a fold; a fold has several.")
    return found


def _at_thresholds(
    labels: NDArray[np.bool_], scores: Counts, groups: NDArray[np.intp], cutoffs: Counts
) -> dict[str, Estimate]:
    known = np.isfinite(cutoffs)
    if not known.any():
        return {}
    called = scores[known] >= cutoffs[known]
    found = evaluate(labels[known], called, groups=groups[known], resamples=1)
    return {name: getattr(found, name) for name in AT_THRESHOLDS}


class _Hips:
    """Checked hips in descending order of score."""

    def __init__(
        self,
        labels: NDArray[np.bool_],
        scores: NDArray[np.float64],
        groups: NDArray[np.intp],
        threshold: float,
        weights: NDArray[np.float64] | None,
    ) -> None:
        self.labels, self.scores, self.groups = labels, scores, groups
        self.weights = weights
        self.weight = np.ones(labels.size) if weights is None else weights
        self.called = scores >= threshold
        self.figures = WeightedFigures(labels, scores, threshold)
        self.one_class = bool(labels.all() or not labels.any())


def _estimates(hips: _Hips, method: IntervalMethod) -> dict[str, Estimate]:
    """Each figure of `NAMES` with its interval."""
    (values,) = hips.figures(hips.weight[None])
    few = too_few(hips.groups)
    if few:
        return {
            name: Estimate(value, note=_undefined(name, hips) if math.isnan(value) else few)
            for name, value in zip(NAMES, values.tolist(), strict=True)
        }
    left_out = np.concatenate(
        [hips.figures(weights * hips.weight) for weights in left_out_weights(hips.groups)]
    )
    found = _closed_forms(hips, "wilson" if method == "auto" else "clopper-pearson")
    estimates = {}
    for name, value, left in zip(NAMES, values.tolist(), left_out.T, strict=True):
        if math.isnan(value):
            estimates[name] = Estimate(value, note=_undefined(name, hips))
        elif name in found:
            estimates[name] = found[name]
        else:
            estimates[name] = _at_the_end(name, value, hips) or jackknife(
                value, left, _SCALES.get(name, "log odds")
            )
    return estimates


def _undefined(name: str, hips: _Hips) -> str:
    if hips.one_class and name in {"roc_auc", "pr_auc", "balanced_accuracy", "mcc"}:
        return ONE_CLASS
    absent = {
        "recall": "no hip is rHOA",
        "specificity": "every hip is rHOA",
        "precision": "no hip is called rHOA",
        "mcc": "all hips are called alike",
        "f1": "no hip is rHOA or called so",
        "oe_ratio": "all scores are 0",
    }
    return f"undefined: {absent.get(name, 'it divides by zero')}."


def _at_the_end(name: str, value: float, hips: _Hips) -> Estimate | None:
    """A figure at the end of its scale, where the jackknife sees no variance; None elsewhere.

    The other bound is the figure that the bounds of shares or of the ROC AUC would give.
    """
    labels, groups = hips.labels, hips.groups
    one_sided = "one-sided: {}."
    if name == "mcc" and abs(value) > 1 - 1e-12:
        # The smallest shares of either class that are still compatible with all of it.
        share = float(np.average(labels, weights=hips.weights))
        lowest = [
            clopper_pearson(1.0, float(np.unique(groups[own]).size))[0] for own in (labels, ~labels)
        ]
        tp, tn = share * lowest[0], (1 - share) * lowest[1]
        bound = float(rates(*map(np.array, (tn, 1 - share - tn, share - tp, tp))).mcc)
        ends = (bound, 1.0) if value > 0 else (-1.0, -bound)
        note = one_sided.format("all hips are called " + ("right" if value > 0 else "wrong"))
        return Estimate(value, *ends, note=note, method="Clopper-Pearson, subjects")
    if name == "pr_auc" and value > 1 - 1e-12:
        area = bound_of_perfection(*(np.unique(groups[own]).size for own in (labels, ~labels)))
        bound = binormal_precision(area, float(np.average(labels, weights=hips.weights)))
        note = one_sided.format("the classes do not overlap")
        return Estimate(value, bound, 1.0, note=note, method="Newcombe's bound for subjects")
    if name in {"brier", "oe_ratio"} and value in {0.0, 1.0}:
        if value == 1 and name == "oe_ratio":
            return None
        low, high = clopper_pearson(value, float(np.unique(groups).size))
        scale = 1.0 if name == "brier" else float(np.average(hips.scores, weights=hips.weights))
        said = {
            ("brier", 0.0): "every score is its label",
            ("brier", 1.0): "every score is the other label",
            ("oe_ratio", 0.0): "no hip is rHOA",
        }[name, value]
        return Estimate(
            value,
            low / scale,
            high / scale,
            note=one_sided.format(said),
            method="Clopper-Pearson, subjects",
        )
    if name.startswith("paper_") and value in {0.0, 1.0}:
        return Estimate(value, note="no interval: the figure is at the end of its scale.")
    return None


def binormal_precision(area: float, share: float) -> float:
    """Average precision where scores of both classes are normal with one spread and this ROC AUC.

    Examples
    --------
    >>> round(binormal_precision(0.5, 0.3), 6), round(binormal_precision(0.999999, 0.3), 4)
    (0.3, 1.0)
    """
    from scipy.special import ndtr, ndtri

    recall = (np.arange(2000) + 0.5) / 2000
    missed = ndtr(ndtri(recall) - math.sqrt(2) * ndtri(area))
    return float(np.mean(share * recall / (share * recall + (1 - share) * missed)))


def _closed_forms(hips: _Hips, method: ProportionMethod) -> dict[str, Estimate]:
    """Estimates that need no jackknife."""
    labels, called, groups = hips.labels, hips.called, hips.groups
    named = f"{'Wilson' if method == 'wilson' else 'Clopper-Pearson'}, effective number of hips"

    def bounded(value: float, low: float, high: float, said: str = named) -> Estimate:
        ends = {0.0: "no hip counts for it", 1.0: "every hip counts for it"}
        note = f"one-sided: {ends[value]}." if value in ends else ""
        return Estimate(value, low, high, note=note, method=said)

    def share(right: NDArray[np.bool_], among: NDArray[np.bool_]) -> Estimate:
        weights = None if hips.weights is None else hips.weights[among]
        chosen = right[among]
        if not chosen.size:
            return Estimate(math.nan)
        value = (
            float(chosen[0])
            if chosen.all() or not chosen.any()
            else float(np.average(chosen, weights=weights))
        )
        return bounded(value, *proportion_interval(chosen, groups[among], method, weights=weights))

    # F1 rises with tp / (tp + fp + fn), which is a share: of the hips that are or are called rHOA.
    found = {
        "accuracy": share(labels == called, np.ones_like(labels)),
        "precision": share(labels & called, called),
        "recall": share(called, labels),
        "specificity": share(~called, ~labels),
        "f1": share(labels & called, labels | called),
        "roc_auc": area_estimate(labels, hips.scores, groups, hips.weights),
    }
    jaccard = found["f1"]
    value, low, high = (2 * part / (1 + part) for part in jaccard)
    found["f1"] = bounded(value, low, high)
    if not hips.one_class:
        middle = (found["recall"].value + found["specificity"].value) / 2
        low, high = mean_interval(labels == called, labels, groups, method, weights=hips.weights)
        both = f"{named}; means of both classes by Zou and Donner"
        found["balanced_accuracy"] = bounded(middle, low, high, both)
    return found


def _calibration(hips: _Hips) -> dict[str, Estimate]:
    """Slope, intercept and debiased error with intervals over subjects."""
    few = too_few(hips.groups)
    odds, names = log_odds(hips.scores), ("calibration_slope", "calibration_intercept")
    slope, intercept = (Estimate(math.nan, note=ONE_CLASS) for _ in names)
    if not hips.one_class:
        ones = np.ones(odds.size)
        shift = regress(ones[:, None], hips.labels, hips.groups, hips.weight, odds)
        intercept = jackknife(float(shift.coefficients[0]), shift.left_out[:, 0], "plain")
        if odds.min() == odds.max():
            slope = Estimate(math.nan, note="undefined: all scores are equal.")
        elif separated(hips.labels, hips.scores):
            slope = Estimate(
                math.nan, note="undefined: the classes do not overlap, so no slope is likeliest."
            )
        else:
            line = regress(np.stack([ones, odds], 1), hips.labels, hips.groups, hips.weight)
            slope = jackknife(float(line.coefficients[1]), line.left_out[:, 1], "plain")
    error = _debiased_error(hips)
    found = {**dict(zip(names, (slope, intercept), strict=True)), "calibration_error": error}
    if few:
        return {
            name: one if math.isnan(one.value) else Estimate(one.value, note=few)
            for name, one in found.items()
        }
    return found


def _debiased_error(hips: _Hips) -> Estimate:
    """Root mean square of mean score less share of rHOA over bins, by products between subjects.

    Hips of different subjects err independently, so products of their errors in a bin have the
    square of its mean error as their mean: nothing is added by chance. Bins with hips of one
    subject are left out. Where the mean square is below zero the error is 0.
    """
    count = int(hips.groups.max()) + 1
    shape = count, CALIBRATION_BINS
    flat = hips.groups * CALIBRATION_BINS + bin_of(hips.scores, bin_edges(CALIBRATION_BINS))
    sums, sizes = (
        np.bincount(flat, values, count * CALIBRATION_BINS).reshape(shape).astype(np.float64)
        for values in (hips.weight * (hips.scores - hips.labels), hips.weight)
    )

    def square(left: Counts | float, size: Counts | float) -> Counts:
        total, hips_in = sums.sum(axis=0) - left, sizes.sum(axis=0) - size
        products = total**2 - ((sums**2).sum(axis=0) - left**2)
        pairs = hips_in**2 - ((sizes**2).sum(axis=0) - size**2)
        known = pairs > 1e-9 * np.maximum(hips_in, 1e-300) ** 2
        mean = np.divide(products, pairs, out=np.zeros_like(products), where=known)
        weight = np.where(known, hips_in, 0)
        return ratio((mean * weight).sum(axis=-1), weight.sum(axis=-1))

    value = float(square(0.0, 0.0))
    if math.isnan(value):
        return Estimate(value, note="undefined: no bin has hips of two subjects.")
    found = jackknife(value, square(sums, sizes), "plain")
    low, high = (math.sqrt(max(0.0, part)) for part in found[1:])
    root = math.sqrt(max(0.0, value))
    if math.isnan(found.low):
        return Estimate(root, note=found.note)
    note = "one-sided: no error beyond that of chance is seen." if low == 0 else ""
    method = "jackknife of subjects, Student's t, scale of squares"
    return Estimate(root, low, high, note=note, method=method)


def _calibration_error_of_chance(
    hips: _Hips, draws: int, seed: int
) -> tuple[Estimate, float, float]:
    """The ECE, its mean for a calibrated model, and how often such a one shows as much."""
    bins = np.zeros((hips.scores.size, CALIBRATION_BINS))
    bins[np.arange(hips.scores.size), bin_of(hips.scores, bin_edges(CALIBRATION_BINS))] = 1
    bins *= hips.weight[:, None] / hips.weight.sum()

    def ece(labels: NDArray[np.bool_]) -> NDArray[np.float64]:
        error: NDArray[np.float64] = np.abs((hips.scores - labels) @ bins).sum(axis=1)
        return error

    seen = float(ece(hips.labels[None])[0])
    drawn = np.concatenate(
        [ece(one) for one in calibrated_labels(hips.labels, hips.scores, hips.groups, draws, seed)]
    )
    p = (1 + int((drawn >= seen - 1e-12).sum())) / (1 + draws)
    note = "no interval: chance alone makes it larger than 0; see ece_expected and ece_p."
    return Estimate(seen, note=note), float(drawn.mean()), p


def _warnings(hips: _Hips, accuracy: float) -> tuple[str, ...]:
    positives = int(hips.labels.sum())
    negatives = hips.labels.size - positives
    larger = max(positives, negatives) / hips.labels.size
    said = []
    if min(positives, negatives) < SMALL_CLASS:
        said.append(
            f"{positives} rHOA and {negatives} other hips: with fewer than {SMALL_CLASS} of a "
            "class, read intervals, not values."
        )
    if accuracy < larger:
        said.append(
            f"accuracy {accuracy:.3f} is below {larger:.3f}, the accuracy of calling every hip "
            f"{'rHOA' if positives >= negatives else 'no rHOA'}."
        )
    return tuple(said)

"""Metrics of a two-class model, each with a 95 % interval, by every definition in use.

The positive class is rHOA (label 1); a hip whose score reaches the threshold is called rHOA.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from rhoa.cohort.partition import NO_GROUP, named_groups
from rhoa.errors import ParameterError, require_choice, require_count
from rhoa.evaluation.intervals import (
    area_interval,
    bca_interval,
    left_out_weights,
    mean_interval,
    percentile_interval,
    proportion_interval,
    resampled_weights,
    strata_of,
)

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from rhoa.evaluation.intervals import ProportionMethod

    Counts = NDArray[np.float64]


# What an evaluation holds: figures with intervals, counts, a baseline, and warnings.

IntervalMethod = Literal["auto", "exact", "bca", "percentile"]
INTERVAL_METHODS: tuple[IntervalMethod, ...] = ("auto", "exact", "bca", "percentile")
Definitions = Literal["standard", "paper"]
DEFINITIONS: tuple[Definitions, ...] = ("standard", "paper")

# With fewer hips than this in a class, one hip moves recall or specificity by over three points.
SMALL_CLASS = 30


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
    """How good a set of scores is; every figure is an `Estimate` and, but for MCC, a share of one.

    ``precision`` = tp / (tp + fp), ``recall`` = ``sensitivity`` = tp / (tp + fn), ``specificity`` =
    tn / (tn + fp), ``balanced_accuracy`` = (recall + specificity) / 2, ``f1`` = 2 tp / (2 tp + fp +
    fn), ``mcc`` is Matthews' correlation of label and answer. ``pr_auc`` is the average precision:
    the sum over thresholds of precision times the gain in recall. ``roc_auc`` counts a tie as half.
    ``brier`` is the mean squared difference of score and label; ``ece`` the expected calibration
    error: the mean absolute difference of mean score and share of rHOA, over ten equal bins of the
    score, weighted by their hips. Scores of few hips make it larger than it is.

    ``groups`` is the number of patients (or hips, where none were given), ``excluded`` the number
    of resamples left out because one class was not drawn. ``baseline`` is what the larger class as
    the answer for all would score, ``warnings`` what a reader must know beside these figures.
    ``standard`` is None, or where ``definitions`` is ``"paper"`` the evaluation by the standard
    definitions.
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
    ece: Estimate
    confusion: Confusion
    baseline: Baseline
    hips: int
    groups: int
    threshold: float
    interval: IntervalMethod
    resamples: int
    excluded: int = 0
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
    top, bottom = np.broadcast_arrays(np.asarray(top, np.float64), np.asarray(bottom, np.float64))
    quotient: Counts = np.divide(top, bottom, out=np.full(bottom.shape, np.nan), where=bottom != 0)
    return quotient


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
# The value of a figure has all weights one, a bootstrap resample has the number of times each hip
# was drawn, a jackknife has zeros for the patient that is left out.

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


# Labels, scores and groups as arrays, or an error that says what is wrong with them.


def require_labels(y_true: ArrayLike) -> NDArray[np.bool_]:
    """``y_true`` as one truth value a hip."""
    labels = np.asarray(y_true)
    if labels.ndim != 1 or labels.size == 0:
        raise ParameterError(f"y_true must be a list of labels; got shape {labels.shape}.")
    if labels.dtype.kind not in "buif" or not np.isin(labels, (0, 1)).all():
        raise ParameterError("y_true must hold 0 (no rHOA) and 1 (rHOA) only.")
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
    """``y_score`` as one probability a hip, of as many hips as there are labels."""
    scores = np.asarray(y_score)
    if scores.ndim != 1 or scores.dtype.kind not in "buif":
        raise ParameterError(
            f"{name} must be a list of numbers, the probability of rHOA of each hip; "
            f"got dtype {scores.dtype}, shape {scores.shape}."
        )
    scores = scores.astype(np.float64)
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


def evaluate(
    y_true: ArrayLike,
    y_score: ArrayLike,
    *,
    groups: ArrayLike | None = None,
    threshold: float = 0.5,
    resamples: int = 2000,
    seed: int = 0,
    interval: IntervalMethod = "auto",
    stratified: bool = False,
    definitions: Definitions = "standard",
) -> Evaluation:
    """How well scores tell rHOA from no rHOA, each figure with a 95 % interval.

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
        A hip is called rHOA where its score is at least this; choose it on validation hips
        (`rhoa.evaluation.choose_threshold`).
    resamples
        Number of bootstrap resamples.
    seed
        Of the resampling.
    interval
        ``"auto"``: of the ROC AUC by DeLong, with groups by Obuchowski, on the scale of its log
        odds; of shares and F1 by Wilson, with groups for the effective number of hips; of balanced
        accuracy from the two Wilson intervals and their covariance; of other figures by the BCa
        bootstrap. ``"exact"``: the same with Clopper-Pearson for Wilson. ``"bca"`` and
        ``"percentile"``: all by that bootstrap.
    stratified
        Whether a resample keeps the numbers of patients with rHOA hips, without, and with both:
        right where patients were chosen by their label. Where the cohort decides how many there
        are, this makes intervals of precision, F1 and MCC too narrow.
    definitions
        ``"standard"``, or ``"paper"``: precision, recall, F1 and PR AUC as the tables of Gebre et
        al. 2022 have them, with the standard ones in ``.standard``. Their precision is the macro
        recall, their recall the macro precision, F1 the harmonic mean of both, and the area under
        the PR curve lacks its first segment. All four by bootstrap.

    Returns
    -------
    Evaluation
        A figure whose definition divides by zero is NaN (``precision`` where no hip is called
        rHOA). With one class only, both AUC, balanced accuracy, MCC and what divides by the absent
        class are NaN. Resamples without one of the classes are excluded and counted. Intervals are
        NaN where there is only one group, and where no resample differs from another: a bootstrap
        learns nothing from hips that are all right.

    Raises
    ------
    ParameterError
        If nothing is given, lengths differ, a label is not 0 or 1, or a score is NaN or outside
        [0, 1].

    References
    ----------
    Field and Welsh 2007, Bootstrapping clustered data, J R Stat Soc B 69:369-390, and what
    ``areas``, ``proportions`` and ``intervals`` of this package name.

    Examples
    --------
    >>> from rhoa.evaluation import evaluate
    >>> result = evaluate([0, 0, 1, 1], [0.1, 0.6, 0.4, 0.9])
    >>> result.roc_auc.value, result.confusion
    (0.75, Confusion(tn=1, fp=1, fn=1, tp=1))
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
    order = np.argsort(-scores, kind="stable")
    hips = _Hips(labels[order], scores[order], members[order], cutoff)
    strata = strata_of(hips.labels, hips.groups) if stratified else None
    bootstrap = _bootstrap(hips, strata, resamples, seed)
    values = dict(zip(NAMES, bootstrap.values.tolist(), strict=True))
    intervals = _intervals(hips, bootstrap, interval)

    def by(chosen: Definitions, standard: Evaluation | None) -> Evaluation:
        own = {name: f"paper_{name}" for name in _PAPER} if chosen == "paper" else {}
        sources = {name: own.get(name, name) for name in _FIGURES}
        return Evaluation(
            **{name: Estimate(values[key], *intervals[key]) for name, key in sources.items()},
            confusion=hips.confusion,
            baseline=Baseline.of(float(labels.mean())),
            hips=labels.size,
            groups=int(members.max()) + 1,
            threshold=cutoff,
            interval=interval,
            resamples=resamples,
            excluded=bootstrap.excluded,
            warnings=_warnings(hips, values["accuracy"]),
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


class _Hips:
    """Checked hips in descending order of score."""

    def __init__(
        self,
        labels: NDArray[np.bool_],
        scores: NDArray[np.float64],
        groups: NDArray[np.intp],
        threshold: float,
    ) -> None:
        self.labels, self.scores, self.groups = labels, scores, groups
        self.called = scores >= threshold
        self.figures = WeightedFigures(labels, scores, threshold)

    @property
    def confusion(self) -> Confusion:
        cells = self.figures.confusion(np.ones((1, self.labels.size)))
        return Confusion(*cells.astype(int)[:, 0].tolist())


class _Bootstrap(NamedTuple):
    """Figures of the data, of each resample that has every class, of each jackknife part."""

    values: NDArray[np.float64]
    samples: NDArray[np.float64]
    left_out: NDArray[np.float64]
    excluded: int


def _bootstrap(
    hips: _Hips, strata: NDArray[np.intp] | None, resamples: int, seed: int
) -> _Bootstrap:
    (values,) = hips.figures(np.ones((1, hips.labels.size)))
    nothing = np.empty((0, len(NAMES)))
    if hips.groups.max() == 0:  # one patient says nothing about how patients differ
        return _Bootstrap(values, nothing, nothing, 0)
    found = []
    for weights in resampled_weights(hips.groups, resamples, seed=seed, strata=strata):
        complete = hips.figures.has_every_class(weights)
        found.append(hips.figures(weights if complete.all() else weights[complete]))
    samples = np.concatenate(found)
    left_out = [hips.figures(weights) for weights in left_out_weights(hips.groups, strata)]
    return _Bootstrap(
        values, samples, np.concatenate([nothing, *left_out]), resamples - len(samples)
    )


def _intervals(
    hips: _Hips, bootstrap: _Bootstrap, method: IntervalMethod
) -> dict[str, tuple[float, float]]:
    """Interval of each figure; NaN where its value is."""
    columns = zip(NAMES, bootstrap.values, bootstrap.samples.T, bootstrap.left_out.T, strict=True)
    intervals = {
        name: percentile_interval(samples)
        if method == "percentile"
        else bca_interval(value, samples, left_out)
        for name, value, samples, left_out in columns
    }
    if method in {"auto", "exact"} and hips.groups.max() > 0:
        intervals |= _closed_forms(hips, "wilson" if method == "auto" else "clopper-pearson")
    defined = np.isfinite(bootstrap.values)
    return {
        name: intervals[name] if known else (np.nan, np.nan)
        for name, known in zip(NAMES, defined, strict=True)
    }


def _closed_forms(hips: _Hips, method: ProportionMethod) -> dict[str, tuple[float, float]]:
    """Intervals that need no resampling."""
    labels, called, groups = hips.labels, hips.called, hips.groups

    def share(right: NDArray[np.bool_], among: NDArray[np.bool_]) -> tuple[float, float]:
        return proportion_interval(right[among], groups[among], method)

    # F1 rises with tp / (tp + fp + fn), which is a share: of the hips that are or are called rHOA.
    low, high = share(labels & called, labels | called)
    return {
        "accuracy": share(labels == called, np.ones_like(labels)),
        "precision": share(labels, called),
        "recall": share(called, labels),
        "specificity": share(~called, ~labels),
        "f1": (2 * low / (1 + low), 2 * high / (1 + high)),
        "balanced_accuracy": mean_interval(labels == called, labels, groups, method),
        "roc_auc": area_interval(labels, hips.scores, groups),
    }


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

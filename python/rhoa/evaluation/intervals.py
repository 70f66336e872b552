"""95 % intervals over subjects: shares, jackknife, ROC AUC with covariance, bands of curves."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Self

    from numpy.typing import NDArray

    Proportion = Callable[[float, float], tuple[float, float]]
    Values = NDArray[np.float64]


# What a figure comes with: its interval, how that was made, or why there is none.


class _Interval(NamedTuple):
    value: float
    low: float
    high: float


class Estimate(_Interval):
    """A value and its 95 % interval, which unpacks as ``value, low, high``; NaN where undefined.

    ``method`` names how the interval was made. ``note`` says why value or interval is undefined, or
    that a bound is the end of the scale (a one-sided interval); it is empty otherwise.
    """

    note: str = ""
    method: str = ""

    def __new__(
        cls,
        value: float,
        low: float = math.nan,
        high: float = math.nan,
        *,
        note: str = "",
        method: str = "",
    ) -> Self:
        """An estimate; without bounds it has no interval."""
        # One NaN for all, so that what is undefined equals itself.
        numbers = (math.nan if math.isnan(part) else part for part in (value, low, high))
        estimate = super().__new__(cls, *numbers)
        estimate.note, estimate.method = note, method
        return estimate


FEWEST_SUBJECTS = 5
"""With fewer, figures have no interval: it would depend on what is assumed, not on the data."""


def too_few(groups: NDArray[np.intp]) -> str:
    """Why subjects are too few for an interval; empty where they are enough."""
    count = int(np.unique(groups).size)
    if count >= FEWEST_SUBJECTS:
        return ""
    subjects = "1 subject" if count == 1 else f"{count} subjects"
    return f"no interval: {subjects}; at least {FEWEST_SUBJECTS} are needed."


# 95 % intervals of a share, also where the hips come in subjects.

TAIL = 0.025  # on either side of an interval of 95 %
Z = 1.959963984540054  # of the standard normal distribution, at 97.5 %
_ROUNDING = 1e-12  # of values of about one: sums in another order differ by less

ProportionMethod = Literal["wilson", "clopper-pearson"]


def wilson(share: float, size: float) -> tuple[float, float]:
    """Wilson's score interval of ``share`` seen in ``size`` independent cases.

    References
    ----------
    Wilson 1927, J Am Stat Assoc 22:209-212; equation 4 of Newcombe 1998, Stat Med 17:857-872.

    Examples
    --------
    >>> [round(bound, 4) for bound in wilson(81 / 263, 263)]
    [0.2553, 0.3662]
    """
    shrunk = 1 / (1 + Z**2 / size)
    middle = shrunk * (share + Z**2 / (2 * size))
    reach = shrunk * Z * math.sqrt(share * (1 - share) / size + (Z / (2 * size)) ** 2)
    return max(0.0, min(share, middle - reach)), min(1.0, max(share, middle + reach))


def clopper_pearson(share: float, size: float) -> tuple[float, float]:
    """The exact interval: it covers at least 95 %, and is wider than need be.

    References
    ----------
    Clopper and Pearson 1934, Biometrika 26:404-413.
    """
    from scipy.special import betaincinv

    right = share * size
    wrong = size - right
    low = float(betaincinv(right, wrong + 1, TAIL)) if share > 0 else 0.0
    high = float(betaincinv(right + 1, wrong, 1 - TAIL)) if share < 1 else 1.0
    return low, high


INTERVALS: dict[ProportionMethod, Proportion] = {
    "wilson": wilson,
    "clopper-pearson": clopper_pearson,
}


def effective_size(
    right: NDArray[np.bool_], groups: NDArray[np.intp], weights: Values | None = None
) -> float:
    """How many independent hips tell as much about a share as these hips of subjects do.

    The size at which a binomial share would vary as much as the share does between subjects, made
    smaller for the few subjects that this variance is estimated from, and never above the number of
    hips. Where all hips agree, no variance is seen, and the size is the number of subjects.

    Parameters
    ----------
    right
        Of each hip, whether it counts for the share.
    groups
        Subject of each hip.
    weights
        Of each hip; with weights, numbers of hips and subjects are Kish's effective numbers.

    References
    ----------
    Korn and Graubard 1998, Confidence intervals for proportions with small expected number of
    positive counts estimated from survey data, Surv Methodol 24:193-201. Kish 1965, Survey
    Sampling, section 11.7.
    """
    weight = np.ones(right.size) if weights is None else weights
    members = np.unique(groups, return_inverse=True)[1]
    count, total = int(members.max()) + 1, float(weight.sum())
    hips = total**2 / float(weight @ weight)
    of_subjects = np.bincount(members, weight)
    subjects = float(count) if weights is None else total**2 / float(of_subjects @ of_subjects)
    if count == right.size and weights is None:
        return hips
    share = float(weight @ right) / total
    if right.all() or not right.any() or count == 1:
        return subjects
    excess = _excess(right, members, count, weight)
    variance = count / (count - 1) * float(excess @ excess) / total**2
    if variance < _ROUNDING * share * (1 - share):
        return hips
    few = (Z / student(freedom_of(excess))) ** 2
    return min(hips, few * share * (1 - share) / variance)


def _excess(
    right: NDArray[np.bool_], groups: NDArray[np.intp], count: int, weight: Values
) -> Values:
    """How many more hips of each subject are right than their share of all."""
    hits, hips = np.bincount(groups, weight * right, count), np.bincount(groups, weight, count)
    excess: Values = (hits * weight.sum() - (weight @ right) * hips) / weight.sum()
    return excess


def student(freedom: float) -> float:
    """The 97.5 % quantile of Student's t with ``freedom`` degrees."""
    from scipy.special import stdtrit

    return float(stdtrit(freedom, 1 - TAIL))


def freedom_of(parts: Values) -> float:
    """Degrees of freedom of a variance that is the mean square of subjects' ``parts``.

    Those of the chi-squared distribution that varies as such a mean square of parts of this
    kurtosis does: where few subjects make most of the variance it is known less well than their
    number says. From 2 to the number of subjects less one.

    References
    ----------
    Satterthwaite 1946, An approximate distribution of estimates of variance components, Biometrics
    Bull 2:110-114; Cramér 1946, Mathematical Methods of Statistics, 27.4 (variance of a variance).
    """
    squares = (parts - parts.mean()) ** 2
    total = float(squares.sum())
    most = max(1.0, parts.size - 1.0)
    if total == 0:
        return most
    kurtosis = parts.size * float(squares @ squares) / total**2
    return min(most, max(2.0, 2 * parts.size / max(kurtosis - 1, 1e-9)))


def proportion_interval(
    right: NDArray[np.bool_],
    groups: NDArray[np.intp],
    method: ProportionMethod = "wilson",
    *,
    weights: Values | None = None,
) -> tuple[float, float]:
    """95 % interval of the share of ``right``, hips of a subject taken together; NaN for none."""
    if right.size == 0:
        return math.nan, math.nan
    share = float(np.average(right, weights=weights))
    return INTERVALS[method](min(1.0, share), effective_size(right, groups, weights))


def mean_interval(
    right: NDArray[np.bool_],
    labels: NDArray[np.bool_],
    groups: NDArray[np.intp],
    method: ProportionMethod = "wilson",
    *,
    weights: Values | None = None,
) -> tuple[float, float]:
    """95 % interval of balanced accuracy: the mean of the shares of ``right`` in either class.

    It is put together from the intervals of the two shares, which are asymmetric near one, and
    their correlation between subjects; NaN where a class is absent.

    References
    ----------
    Zou and Donner 2008, Construction of confidence limits about effect measures, Stat Med
    27:1693-1702.
    """
    if labels.all() or not labels.any():
        return math.nan, math.nan
    weight = np.ones(right.size) if weights is None else weights
    count, shares, reaches, excess = int(groups.max()) + 1, [], [], []
    for members in (labels, ~labels):
        share = float(np.average(right[members], weights=weight[members]))
        own = None if weights is None else weight[members]
        low, high = proportion_interval(right[members], groups[members], method, weights=own)
        shares.append(share)
        reaches.append((share - low, high - share))
        excess.append(_excess(right[members], groups[members], count, weight[members]))
    spread = math.sqrt(float((excess[0] @ excess[0]) * (excess[1] @ excess[1])))
    tied = float(excess[0] @ excess[1])
    correlation = tied / spread if spread > _ROUNDING else 0.0
    down, up = (
        math.sqrt(max(0.0, one**2 + two**2 + 2 * correlation * one * two)) / 2
        for one, two in zip(*reaches, strict=True)
    )
    middle = sum(shares) / 2
    return max(0.0, middle - down), min(1.0, middle + up)


# The jackknife: each subject left out in turn, Student's t on a scale without ends.

_WEIGHTS_AT_ONCE = 300_000  # 2.4 MB of float64: a block and what is made of it stay in the cache
_LEFT_OUT = 1000  # parts that a jackknife leaves out in turn, at most
_NOWHERE = (float("nan"), float("nan"))

Scale = Literal["plain", "log", "log odds", "Fisher's z"]


def left_out_weights(groups: NDArray[np.intp]) -> Iterator[Values]:
    """Weights of the hips with one group left out in turn, as blocks of rows ``(some, hips)``.

    Of very many groups, several are left out at once.

    Parameters
    ----------
    groups
        Group of each hip, as whole numbers 0, 1, ... without gaps.
    """
    count = int(groups.max()) + 1
    parts = np.arange(count) * min(count, _LEFT_OUT) // count
    block = max(1, _WEIGHTS_AT_ONCE // groups.size)
    for start in range(0, int(parts[-1]) + 1, block):
        left = np.arange(start, min(start + block, int(parts[-1]) + 1))
        yield (parts[groups] != left[:, None]).astype(np.float64)


def jackknife_error(left_out: Values) -> float:
    """The standard error of a figure from its values with each subject left out in turn.

    NaN where one of them is: the figure then rests on that subject. 0 where they do not differ.

    References
    ----------
    Efron and Stein 1981, The jackknife estimate of variance, Ann Stat 9:586-596.
    """
    if left_out.size < 2 or not np.isfinite(left_out).all():
        return math.nan
    if np.ptp(left_out) < _ROUNDING * max(1.0, float(np.abs(left_out).max())):
        return 0.0
    return math.sqrt((left_out.size - 1) * float(left_out.var()))


def jackknife(
    value: float, left_out: Values, scale: Scale, *, freedom: float | None = None
) -> Estimate:
    """``value`` with the jackknife's interval: Student's t on a scale that has no ends.

    Parameters
    ----------
    value
        The figure of all subjects.
    left_out
        The figure with each subject left out in turn.
    scale
        On which the interval is symmetric.
    freedom
        Degrees of Student's t; `freedom_of` the parts unless given.

    References
    ----------
    Tukey 1958, Bias and confidence in not-quite large samples, Ann Math Stat 29:614.

    Examples
    --------
    The jackknife of a mean is Student's interval:

    >>> data = np.array([1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
    >>> found = jackknife(3.5, (data.sum() - data) / 5, "plain")
    >>> round(found.low, 3), round(found.high, 3)
    (1.537, 5.463)
    """
    method = f"jackknife of subjects, Student's t, {scale} scale"
    if scale == "plain":
        method = "jackknife of subjects, Student's t"
    if math.isnan(value):
        return Estimate(value)
    error = jackknife_error(left_out)
    if math.isnan(error):
        return Estimate(value, note="no interval: the figure rests on one subject.")
    if error == 0:
        return Estimate(value, note="no interval: it is the same whichever subject is left out.")
    reach = student(freedom_of(left_out) if freedom is None else freedom) * error
    return Estimate(value, *on_scale(value, reach, scale), method=method)


_ENDS: dict[Scale, tuple[float, float]] = {
    "plain": (-math.inf, math.inf),
    "log": (0.0, math.inf),
    "log odds": (0.0, 1.0),
    "Fisher's z": (-1.0, 1.0),
}


def on_scale(value: float, reach: float, scale: Scale) -> tuple[float, float]:
    """``value`` less and plus ``reach``, carried to the scale by its slope at the value.

    At an end of the scale, where it has no slope, as they are, and not beyond the end.
    """
    least, most = _ENDS[scale]
    if value <= least or value >= most:
        return max(least, value - reach), min(most, value + reach)
    if scale == "log":
        middle, reach = math.log(value), reach / value
        return _exp(middle - reach), _exp(middle + reach)
    if scale == "log odds":
        middle, reach = math.log(value / (1 - value)), reach / (value * (1 - value))
        return _share(middle - reach), _share(middle + reach)
    if scale == "Fisher's z":
        middle, reach = math.atanh(value), reach / (1 - value**2)
        return math.tanh(middle - reach), math.tanh(middle + reach)
    return value - reach, value + reach


def _share(log_odds: float) -> float:
    return 1 / (1 + _exp(-log_odds))


def _exp(exponent: float) -> float:
    return math.exp(min(700.0, exponent))


# Draws of subjects with replacement, so that the hips of a subject stay together.


def resampled_weights(groups: NDArray[np.intp], resamples: int, *, seed: int) -> Iterator[Values]:
    """How often each hip occurs in each bootstrap resample, as blocks of rows ``(some, hips)``.

    A resample draws as many groups as there are, with replacement; a hip occurs as often as its
    group was drawn.

    Parameters
    ----------
    groups
        Group of each hip, as whole numbers 0, 1, ... without gaps.
    resamples
        Rows in all blocks together.
    seed
        Of the draws, which depend on nothing else but the groups and ``resamples``.
    """
    random = np.random.default_rng(seed)
    count = int(groups.max()) + 1
    block = max(1, _WEIGHTS_AT_ONCE // groups.size)
    for start in range(0, resamples, block):
        rows = min(block, resamples - start)
        drawn = random.integers(count, size=(rows, count)) + count * np.arange(rows)[:, None]
        times = np.bincount(drawn.ravel(), minlength=rows * count).reshape(rows, count)
        yield times.astype(np.float64)[:, groups]


# ROC AUC of one or several models on the same hips, with the covariance of their estimates.


class Areas(NamedTuple):
    """ROC AUC of each model, and the covariance matrix of these estimates.

    ``of_positives`` and ``of_negatives`` are what each subject with hips of the class adds to each
    area, ``(models, subjects)``; ``subjects`` is how many there are in all.
    """

    values: Values
    covariance: Values
    of_positives: Values
    of_negatives: Values
    subjects: int

    def error(self, contrast: Values) -> tuple[float, float]:
        """Standard error and Satterthwaite's degrees of freedom of a contrast of the areas.

        The degrees of either class's part are those of its subjects (`freedom_of`).
        """
        variance = float(contrast @ self.covariance @ contrast)
        smallest = _ROUNDING * float(np.abs(contrast) @ np.diag(self.covariance))
        if not variance > max(_ROUNDING**2, smallest):
            return (math.nan if math.isnan(variance) else 0.0), math.nan
        classes = [contrast @ parts for parts in (self.of_positives, self.of_negatives)]
        variances = [_unbiased(parts.size) * float(parts @ parts) for parts in classes]
        spread = sum(
            part**2 / freedom_of(parts) for part, parts in zip(variances, classes, strict=True)
        )
        freedom = sum(variances) ** 2 / spread if spread > 0 else 1.0
        return math.sqrt(variance), min(freedom, self.subjects - 1)


def roc_areas(
    labels: NDArray[np.bool_],
    scores: Values,
    groups: NDArray[np.intp],
    weights: Values | None = None,
) -> Areas:
    """ROC AUC of models by what each hip contributes, in time n log n.

    The covariance is DeLong's where every hip is a subject, and Obuchowski's where subjects have
    several hips; NaN where a class has hips of one subject only.

    Parameters
    ----------
    labels
        Whether each hip is rHOA; both classes must occur.
    scores
        ``(models, hips)``; ties count half.
    groups
        Subject of each hip.
    weights
        Of each hip; all one unless given.

    References
    ----------
    DeLong, DeLong and Clarke-Pearson 1988, Biometrics 44:837-845. Obuchowski 1997, Nonparametric
    analysis of clustered ROC curve data, Biometrics 53:567-578. Sun and Xu 2014, Fast
    implementation of DeLong's algorithm, IEEE Signal Process Lett 21:1389-1393.
    """
    members = np.unique(groups, return_inverse=True)[1]
    subjects = int(members.max()) + 1
    weight = np.ones(labels.size) if weights is None else weights
    positives, negatives = members[labels], members[~labels]
    # What a hip of a class adds to a mean over its class.
    of_positive, of_negative = (weight[own] / weight[own].sum() for own in (labels, ~labels))
    values, above, below = [], [], []
    for score in scores:
        # Share of negatives below each positive, and of positives above each negative.
        won = _below(score[~labels], of_negative, score[labels])
        lost = 1 - _below(score[labels], of_positive, score[~labels])
        area = float(of_positive @ won)
        values.append(area)
        # What a subject's hips of a class add, beyond what as many average hips would.
        above.append(np.bincount(positives, of_positive * (won - area), subjects))
        below.append(np.bincount(negatives, of_negative * (lost - area), subjects))
    positive, other = np.stack(above).astype(np.float64), np.stack(below).astype(np.float64)
    both = positive @ other.T
    of_classes = positive[:, np.unique(positives)], other[:, np.unique(negatives)]
    covariance = _unbiased(subjects) * (both + both.T)
    for parts in of_classes:
        covariance += _unbiased(parts.shape[1]) * parts @ parts.T
    return Areas(np.array(values), covariance, of_classes[0], of_classes[1], subjects)


def _below(others: Values, weights: Values, scores: Values) -> Values:
    """For each of ``scores`` the share of ``others`` that are lower, those equal counted half."""
    order = np.argsort(others, kind="stable")
    share = np.r_[0.0, np.cumsum(weights[order])]
    share /= share[-1]
    lower, not_higher = (np.searchsorted(others[order], scores, side) for side in ("left", "right"))
    below: Values = (share[lower] + share[not_higher]) / 2
    return below


def _unbiased(count: int) -> float:
    return count / (count - 1) if count > 1 else math.nan


def area_estimate(
    labels: NDArray[np.bool_],
    scores: Values,
    groups: NDArray[np.intp],
    weights: Values | None = None,
) -> Estimate:
    """ROC AUC with its 95 % interval: Student's t on the scale of log odds, so within 0 and 1.

    Where the classes are apart altogether no variance is seen, and the bound is the area that would
    still be compatible with it (Newcombe 2006, Stat Med 25:559-573, method 5, with subjects for
    cases). No interval where a class is absent or of one subject, or all scores are equal.
    """
    if labels.all() or not labels.any():
        return Estimate(math.nan, note=ONE_CLASS)
    areas = roc_areas(labels, scores[None], groups, weights)
    area = float(areas.values[0])
    if min(area, 1 - area) < _ROUNDING:
        area = float(round(area))
    error, freedom = areas.error(np.ones(1))
    of_classes = areas.of_positives.shape[1], areas.of_negatives.shape[1]
    if min(of_classes) < 2:
        return Estimate(area, note="no interval: the hips of a class are of one subject.")
    if scores.min() == scores.max():
        return Estimate(area, note="no interval: all scores are equal.")
    if area in {0.0, 1.0}:
        bound = bound_of_perfection(*of_classes)
        return Estimate(
            area,
            *((bound, 1.0) if area == 1 else (0.0, 1 - bound)),
            note="one-sided: the classes do not overlap.",
            method="Newcombe's bound for subjects",
        )
    if error == 0:
        return Estimate(area, note="no interval: subjects do not differ.")
    method = "Obuchowski's variance, Student's t of Satterthwaite's degrees, log odds scale"
    return Estimate(area, *on_scale(area, student(freedom) * error, "log odds"), method=method)


ONE_CLASS = "undefined: all hips are of one class."


def bound_of_perfection(positives: int, negatives: int) -> float:
    """The lowest area from which an area of one is 1.96 standard errors away."""
    low, high = 0.5, 1.0
    half = (positives + negatives) / 2 - 1
    for _ in range(60):
        area = (low + high) / 2
        spread = 1 + half * ((1 - area) / (2 - area) + area / (1 + area))
        error = math.sqrt(area * (1 - area) * spread / (positives * negatives))
        if 1 - area > Z * error:
            low = area
        else:
            high = area
    return (low + high) / 2


# Bands around ROC, precision-recall and decision curves: where those of resampled subjects run.

Kind = Literal["roc", "pr"]
RESAMPLES = 500
PLACES = 101


class Band(NamedTuple):
    """95 % of the curves of resampled subjects lie between ``low`` and ``high`` at each ``x``."""

    x: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]


def curve_band(
    truth: NDArray[np.int_], score: NDArray[np.float64], groups: NDArray[np.intp], kind: Kind
) -> Band | None:
    """The band of a curve, point by point; None where one subject or class says nothing.

    Parameters
    ----------
    truth, score
        Labels 0 and 1, and probabilities of rHOA.
    groups
        Subject of each hip, as whole numbers 0, 1, ... without gaps.
    kind
        ``"roc"``: sensitivity over 1 - specificity; ``"pr"``: precision over recall.

    Examples
    --------
    >>> truth, score = np.array([0, 1, 0, 1]), np.array([0.1, 0.9, 0.2, 0.8])
    >>> band = curve_band(truth, score, np.arange(4), "roc")
    >>> float(band.low.min()), float(band.high.max())
    (1.0, 1.0)
    """
    order = np.argsort(-score, kind="stable")
    positive = truth[order].astype(np.float64)
    last = np.flatnonzero(np.r_[np.diff(score[order]) != 0, True])  # hips of one score are one step
    x = np.linspace(0, 1, PLACES)
    curves = []
    for weights in resampled_weights(groups, RESAMPLES, seed=0):
        drawn = weights[:, order]
        true, false = (
            np.cumsum(drawn * members, axis=1)[:, last] for members in (positive, 1 - positive)
        )
        for hit, wrong in zip(true, false, strict=True):
            if hit[-1] > 0 and wrong[-1] > 0:
                curves.append(_resampled(hit, wrong, x, kind))
    if groups.max() == 0 or len(curves) < 2:
        return None
    low, high = np.percentile(curves, (2.5, 97.5), axis=0)
    return Band(x, low, high)


def benefit_band(
    truth: NDArray[np.int_],
    score: NDArray[np.float64],
    groups: NDArray[np.intp],
    thresholds: NDArray[np.float64],
) -> Band | None:
    """The band of a decision curve's net benefit, point by point; None of one subject.

    Parameters
    ----------
    truth, score, groups
        As of `curve_band`.
    thresholds
        Threshold probabilities in [0, 1).

    Examples
    --------
    >>> truth, score = np.array([0, 1, 0, 1]), np.array([0.1, 0.9, 0.2, 0.8])
    >>> band = benefit_band(truth, score, np.arange(4), np.array([0.5]))
    >>> float(band.low[0]), float(band.high[0])  # the share of rHOA, from none of four to all
    (0.0, 1.0)
    """
    if groups.max() == 0:
        return None
    worth = np.where(truth[:, None] == 1, 1.0, -thresholds / (1 - thresholds))
    gained = worth * (score[:, None] >= thresholds)
    curves = [
        weights @ gained / weights.sum(axis=1, keepdims=True)
        for weights in resampled_weights(groups, RESAMPLES, seed=0)
    ]
    low, high = np.percentile(np.concatenate(curves), (2.5, 97.5), axis=0)
    return Band(thresholds, low, high)


def _resampled(
    hit: NDArray[np.float64], wrong: NDArray[np.float64], x: NDArray[np.float64], kind: Kind
) -> NDArray[np.float64]:
    """The height of one curve at each ``x``."""
    recall = hit / hit[-1]
    if kind == "roc":
        return np.interp(x, np.r_[0, wrong / wrong[-1]], np.r_[0, recall])
    called = np.maximum(hit + wrong, 1)
    reached = np.searchsorted(recall, np.maximum(x, 1e-9) - 1e-12)
    height: NDArray[np.float64] = (hit / called)[reached]
    return height

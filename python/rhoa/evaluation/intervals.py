"""95 % intervals: bootstrap of patients, shares, ROC AUC with covariance, bands of curves."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    Proportion = Callable[[float, float], tuple[float, float]]


# 95 % intervals of a share, also where the hips come in patients.

TAIL = 0.025  # on either side of an interval of 95 %
Z = 1.959963984540054  # of the standard normal distribution, at 97.5 %

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


def effective_size(right: NDArray[np.bool_], groups: NDArray[np.intp]) -> float:
    """How many independent hips tell as much about a share as these hips of patients do.

    The size at which a binomial share would vary as much as the share does between patients, made
    smaller for the few patients that this variance is estimated from, and never above the number of
    hips. Where all hips agree, no variance is seen, and the size is the number of patients.

    Parameters
    ----------
    right
        Of each hip, whether it counts for the share.
    groups
        Patient of each hip.

    References
    ----------
    Korn and Graubard 1998, Confidence intervals for proportions with small expected number of
    positive counts estimated from survey data, Surv Methodol 24:193-201.
    """
    hips = right.size
    members = np.unique(groups, return_inverse=True)[1]
    sizes = np.bincount(members)
    if sizes.size == hips:
        return float(hips)
    share = float(right.mean())
    if share in {0.0, 1.0} or sizes.size == 1:
        return float(sizes.size)
    excess = _excess(right, members, sizes.size)
    variance = sizes.size / (sizes.size - 1) * float(excess @ excess) / hips**2
    if variance == 0:
        return float(hips)
    few = (Z / student(sizes.size - 1)) ** 2
    return min(float(hips), few * share * (1 - share) / variance)


def _excess(right: NDArray[np.bool_], groups: NDArray[np.intp], count: int) -> NDArray[np.float64]:
    """How many more hips of each patient are right than their share of all; exactly 0 for none."""
    hits, hips = np.bincount(groups[right], minlength=count), np.bincount(groups, minlength=count)
    excess: NDArray[np.float64] = (hits * right.size - right.sum() * hips) / right.size
    return excess


def student(freedom: int) -> float:
    """The 97.5 % quantile of Student's t with ``freedom`` degrees."""
    from scipy.special import stdtrit

    return float(stdtrit(freedom, 1 - TAIL))


def proportion_interval(
    right: NDArray[np.bool_], groups: NDArray[np.intp], method: ProportionMethod = "wilson"
) -> tuple[float, float]:
    """95 % interval of the share of ``right``, hips of one patient taken together; NaN for none."""
    if right.size == 0:
        return math.nan, math.nan
    return INTERVALS[method](float(right.mean()), effective_size(right, groups))


def mean_interval(
    right: NDArray[np.bool_],
    labels: NDArray[np.bool_],
    groups: NDArray[np.intp],
    method: ProportionMethod = "wilson",
) -> tuple[float, float]:
    """95 % interval of balanced accuracy: the mean of the shares of ``right`` in either class.

    It is put together from the intervals of the two shares, which are asymmetric near one, and
    their correlation between patients; NaN where a class is absent.

    References
    ----------
    Zou and Donner 2008, Construction of confidence limits about effect measures, Stat Med
    27:1693-1702.
    """
    if labels.all() or not labels.any():
        return math.nan, math.nan
    count, shares, reaches, excess = int(groups.max()) + 1, [], [], []
    for members in (labels, ~labels):
        share = float(right[members].mean())
        low, high = proportion_interval(right[members], groups[members], method)
        shares.append(share)
        reaches.append((share - low, high - share))
        excess.append(_excess(right[members], groups[members], count))
    spread = math.sqrt(float((excess[0] @ excess[0]) * (excess[1] @ excess[1])))
    correlation = float(excess[0] @ excess[1]) / spread if spread > 0 else 0.0
    down, up = (
        math.sqrt(max(0.0, one**2 + two**2 + 2 * correlation * one * two)) / 2
        for one, two in zip(*reaches, strict=True)
    )
    middle = sum(shares) / 2
    return max(0.0, middle - down), min(1.0, middle + up)


# Bootstrap intervals that resample patients, so that the hips of a patient stay together.

_WEIGHTS_AT_ONCE = 300_000  # 2.4 MB of float64: a block and what is made of it stay in the cache
_LEFT_OUT = 1000  # parts that a jackknife leaves out in turn, at most
_ROUNDING = 1e-12  # of values of about one: sums in another order differ by less
_NOWHERE = (float("nan"), float("nan"))


def strata_of(labels: NDArray[np.bool_], groups: NDArray[np.intp]) -> NDArray[np.intp]:
    """Stratum of each group by its hips: 0 none is rHOA, 1 all are, 2 some are."""
    hips = np.bincount(groups)
    positive = np.bincount(groups, weights=labels)
    return np.where(positive == 0, 0, np.where(positive == hips, 1, 2))


def resampled_weights(
    groups: NDArray[np.intp],
    resamples: int,
    *,
    seed: int,
    strata: NDArray[np.intp] | None = None,
) -> Iterator[NDArray[np.float64]]:
    """How often each hip occurs in each bootstrap resample, as blocks of rows ``(some, hips)``.

    A resample draws as many groups as there are, with replacement, of each stratum as many as it
    has; a hip occurs as often as its group was drawn.

    Parameters
    ----------
    groups
        Group of each hip, as whole numbers 0, 1, ... without gaps.
    resamples
        Rows in all blocks together.
    seed
        Of the draws, which depend on nothing else but the groups, their strata and ``resamples``.
    strata
        Stratum of each group; one stratum unless given.
    """
    random = np.random.default_rng(seed)
    count = int(groups.max()) + 1
    strata = np.zeros(count, np.intp) if strata is None else strata
    pools = [np.flatnonzero(strata == stratum) for stratum in np.unique(strata)]
    block = max(1, _WEIGHTS_AT_ONCE // groups.size)
    for start in range(0, resamples, block):
        rows = min(block, resamples - start)
        offsets = count * np.arange(rows)[:, None]
        drawn = [
            pool[random.integers(pool.size, size=(rows, pool.size))] + offsets for pool in pools
        ]
        flat = np.concatenate([draw.ravel() for draw in drawn])
        times = np.bincount(flat, minlength=rows * count).reshape(rows, count)
        yield times.astype(np.float64)[:, groups]


def left_out_weights(
    groups: NDArray[np.intp], strata: NDArray[np.intp] | None = None
) -> Iterator[NDArray[np.float64]]:
    """Weights of the hips with one group left out in turn, the others of its stratum raised for it.

    Blocks of rows ``(some, hips)``. Groups that are alone in their stratum are not left out; of
    very many groups, several are left out at once.
    """
    count = int(groups.max()) + 1
    strata = np.zeros(count, np.intp) if strata is None else strata
    order = np.argsort(strata, kind="stable")
    order = order[np.bincount(strata)[strata[order]] > 1]
    if order.size == 0:
        return
    parts = np.array_split(order, min(order.size, _LEFT_OUT))
    block = max(1, _WEIGHTS_AT_ONCE // groups.size)
    for start in range(0, len(parts), block):
        rows = []
        for part in parts[start : start + block]:
            weights = np.ones(count)
            weights[part] = 0
            kept = np.bincount(strata, weights)
            raised = np.divide(np.bincount(strata), kept, out=np.ones_like(kept), where=kept > 0)
            rows.append(weights * raised[strata])
        yield np.stack(rows)[:, groups]


def percentile_interval(values: NDArray[np.float64]) -> tuple[float, float]:
    """The central 95 % of ``values``, NaN left aside: their 2.5th and 97.5th percentiles.

    NaN at both ends where none is left or all that are left are the same: they say nothing about
    how it varies.
    """
    finite = values[np.isfinite(values)]
    if _all_equal(finite):
        return _NOWHERE
    low, high = np.quantile(finite, (TAIL, 1 - TAIL))
    return float(low), float(high)


def bca_interval(
    value: float, values: NDArray[np.float64], left_out: NDArray[np.float64]
) -> tuple[float, float]:
    """The bias-corrected and accelerated interval of ``value``; NaN as of `percentile_interval`.

    Parameters
    ----------
    value
        The figure of the data.
    values
        The figure of each resample; NaN is left aside.
    left_out
        The figure with each group left out in turn; NaN is left aside.

    References
    ----------
    Efron 1987, Better bootstrap confidence intervals, J Am Stat Assoc 82:171-185.
    """
    from scipy.special import ndtr, ndtri

    finite = values[np.isfinite(values)]
    if _all_equal(finite):
        return _NOWHERE
    # A resample that equals the value counts half: shares of few hips tie with it often.
    below = (np.mean(finite < value - _ROUNDING) + np.mean(finite <= value + _ROUNDING)) / 2
    bias = float(ndtri(np.clip(below, 1 / finite.size, 1 - 1 / finite.size)))
    kept = left_out[np.isfinite(left_out)]
    acceleration = 0.0
    if not _all_equal(kept):
        pull = kept.mean() - kept
        acceleration = float((pull**3).sum()) / (6 * float(pull @ pull) ** 1.5)
    reach = bias + ndtri(np.array([TAIL, 1 - TAIL]))
    low, high = np.quantile(finite, ndtr(bias + reach / (1 - acceleration * reach)))
    return float(low), float(high)


def _all_equal(values: NDArray[np.float64]) -> bool:
    return values.size == 0 or bool(
        np.ptp(values) < _ROUNDING * max(1.0, float(np.abs(values).max()))
    )


# ROC AUC of one or several models on the same hips, with the covariance of their estimates.


class Areas(NamedTuple):
    """ROC AUC of each model, and the covariance matrix of these estimates."""

    values: NDArray[np.float64]
    covariance: NDArray[np.float64]


def roc_areas(
    labels: NDArray[np.bool_], scores: NDArray[np.float64], groups: NDArray[np.intp]
) -> Areas:
    """ROC AUC of models by what each hip contributes, in time n log n.

    The covariance is DeLong's where every hip is a patient, and Obuchowski's where patients have
    several hips; NaN where a class has hips of one patient only.

    Parameters
    ----------
    labels
        Whether each hip is rHOA; both classes must occur.
    scores
        ``(models, hips)``; ties count half.
    groups
        Patient of each hip.

    References
    ----------
    DeLong, DeLong and Clarke-Pearson 1988, Biometrics 44:837-845. Obuchowski 1997, Nonparametric
    analysis of clustered ROC curve data, Biometrics 53:567-578. Sun and Xu 2014, Fast
    implementation of DeLong's algorithm, IEEE Signal Process Lett 21:1389-1393.
    """
    members = np.unique(groups, return_inverse=True)[1]
    patients = int(members.max()) + 1
    positives, negatives = members[labels], members[~labels]
    values, above, below = [], [], []
    for score in scores:
        # Share of negatives below each positive, and of positives above each negative.
        won = _below(score[~labels], score[labels])
        lost = 1 - _below(score[labels], score[~labels])
        area = float(won.mean())
        values.append(area)
        # What a patient's hips of a class add, beyond what as many average hips would.
        above.append(np.bincount(positives, won - area, patients) / positives.size)
        below.append(np.bincount(negatives, lost - area, patients) / negatives.size)
    of_positives, of_negatives = np.stack(above), np.stack(below)
    both = of_positives @ of_negatives.T
    covariance = (
        _unbiased(np.unique(positives).size) * of_positives @ of_positives.T
        + _unbiased(np.unique(negatives).size) * of_negatives @ of_negatives.T
        + _unbiased(patients) * (both + both.T)
    )
    return Areas(np.array(values), covariance)


def _below(others: NDArray[np.float64], scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """For each of ``scores`` the share of ``others`` that are lower, those equal counted half."""
    ranked = np.sort(others)
    lower, not_higher = (np.searchsorted(ranked, scores, side) for side in ("left", "right"))
    return (lower + not_higher) / (2 * others.size)


def _unbiased(count: int) -> float:
    return count / (count - 1) if count > 1 else math.nan


def area_interval(
    labels: NDArray[np.bool_], scores: NDArray[np.float64], groups: NDArray[np.intp]
) -> tuple[float, float]:
    """95 % interval of the ROC AUC: normal on the scale of its log odds, so within 0 and 1.

    Where the classes are apart altogether no variance is seen, and the bound is the area that would
    still be compatible with it (Newcombe 2006, Stat Med 25:559-573, method 5, with patients for
    cases). NaN where a class is absent or of one patient.
    """
    if labels.all() or not labels.any():
        return _NOWHERE
    areas = roc_areas(labels, scores[None], groups)
    area, variance = float(areas.values[0]), float(areas.covariance[0, 0])
    of_classes = [np.unique(groups[members]).size for members in (labels, ~labels)]
    if math.isnan(variance) or min(of_classes) < 2:
        return _NOWHERE
    if area in {0.0, 1.0}:
        bound = _bound_of_perfection(*of_classes)
        return (bound, 1.0) if area == 1 else (0.0, 1 - bound)
    odds = math.log(area / (1 - area))
    reach = student(min(of_classes) - 1) * math.sqrt(max(variance, 0.0)) / (area * (1 - area))
    return _share(odds - reach), _share(odds + reach)


def _share(log_odds: float) -> float:
    return 1 / (1 + math.exp(-log_odds)) if log_odds > -700 else 0.0


def _bound_of_perfection(positives: int, negatives: int) -> float:
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


# Bands around ROC, precision-recall and decision curves: where those of resampled patients run.

Kind = Literal["roc", "pr"]
RESAMPLES = 500
PLACES = 101


class Band(NamedTuple):
    """95 % of the curves of resampled patients lie between ``low`` and ``high`` at each ``x``."""

    x: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]


def curve_band(
    truth: NDArray[np.int_], score: NDArray[np.float64], groups: NDArray[np.intp], kind: Kind
) -> Band | None:
    """The band of a curve, point by point; None where one patient or class says nothing.

    Parameters
    ----------
    truth, score
        Labels 0 and 1, and probabilities of rHOA.
    groups
        Patient of each hip, as whole numbers 0, 1, ... without gaps.
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
    """The band of a decision curve's net benefit, point by point; None of one patient.

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

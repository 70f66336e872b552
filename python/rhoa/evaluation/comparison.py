"""Two models on the same hips: how much better the second is, and whether it is at all."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from rhoa.errors import require_count
from rhoa.evaluation.intervals import (
    bca_interval,
    left_out_weights,
    resampled_weights,
    roc_areas,
    strata_of,
    student,
)
from rhoa.evaluation.metrics import (
    NAMES,
    Estimate,
    WeightedFigures,
    require_groups,
    require_labels,
    require_scores,
    require_threshold,
)

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

_ROUNDING = 1e-12  # of areas and, as a share, of their variances: sums in another order differ less
COMPARED = (
    *("accuracy", "balanced_accuracy", "precision", "recall", "specificity", "f1", "mcc"),
    *("roc_auc", "pr_auc", "brier", "ece"),
)


class AreaTest(NamedTuple):
    """ROC AUC of both models, second minus first, and the p value of no difference."""

    first: float
    second: float
    difference: Estimate
    p: float


class AnswerTest(NamedTuple):
    """Hips that only one of the models calls right, and the p value of no difference."""

    only_first: int
    only_second: int
    p: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Second model minus first, on the same hips.

    ``differences`` holds each figure's difference with its paired bootstrap interval; ``roc_auc``
    the test of DeLong, with groups that of Obuchowski, whose interval is normal on the scale of the
    inverse hyperbolic tangent and so within -1 and 1; ``answers`` McNemar's exact test, with
    groups its counterpart over patients. Of twenty figures tested, one differs by chance.
    """

    differences: dict[str, Estimate]
    roc_auc: AreaTest
    answers: AnswerTest
    hips: int
    groups: int
    threshold: float
    resamples: int
    excluded: int


def compare(
    y_true: ArrayLike,
    first: ArrayLike,
    second: ArrayLike,
    *,
    groups: ArrayLike | None = None,
    threshold: float = 0.5,
    resamples: int = 2000,
    seed: int = 0,
    stratified: bool = False,
) -> Comparison:
    """How much better the second of two models tells rHOA from no rHOA on the same hips.

    Overlapping intervals of two models do not say that they are equally good: the models err on the
    same hips. Differences are therefore taken within each resample of patients.

    Parameters
    ----------
    y_true
        Label of each hip, 0 or 1 (rHOA).
    first, second
        Probability of rHOA of each hip, by either model, in [0, 1].
    groups, threshold, resamples, seed, stratified
        As of `evaluate`.

    Returns
    -------
    Comparison
        Differences are NaN where a figure is undefined, the test of areas with one class only.

    Raises
    ------
    ParameterError
        As `evaluate`.

    References
    ----------
    DeLong et al. 1988, Biometrics 44:837-845; Obuchowski 1997, Biometrics 53:567-578; McNemar 1947,
    Psychometrika 12:153-157.

    Examples
    --------
    >>> result = compare([0, 0, 1, 1], [0.1, 0.6, 0.4, 0.9], [0.1, 0.2, 0.7, 0.9], resamples=100)
    >>> result.differences["accuracy"].value, result.answers
    (0.5, AnswerTest(only_first=0, only_second=2, p=0.5))
    """
    labels = require_labels(y_true)
    scores = [
        require_scores(given, labels.size, name=name)
        for name, given in (("first", first), ("second", second))
    ]
    members = require_groups(groups, labels.size)
    cutoff = require_threshold(threshold)
    require_count("resamples", resamples)
    pair = _ModelPair(labels, scores, cutoff)
    strata = strata_of(labels, members) if stratified else None
    differences, excluded = _differences(pair, members, strata, resamples, seed)
    first_right, second_right = ((score >= cutoff) == labels for score in scores)
    return Comparison(
        differences=differences,
        roc_auc=_area_test(labels, np.stack(scores), members),
        answers=_answer_test(first_right, second_right, members),
        hips=labels.size,
        groups=int(members.max()) + 1,
        threshold=cutoff,
        resamples=resamples,
        excluded=excluded,
    )


class _ModelPair:
    """Second minus first figure of two models, as a function of the hips' weights."""

    def __init__(
        self, labels: NDArray[np.bool_], scores: list[NDArray[np.float64]], threshold: float
    ) -> None:
        self.orders = [np.argsort(-score, kind="stable") for score in scores]
        self.figures = [
            WeightedFigures(labels[order], score[order], threshold)
            for order, score in zip(self.orders, scores, strict=True)
        ]

    def __call__(self, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        first, second = (
            figures(weights[:, order])
            for order, figures in zip(self.orders, self.figures, strict=True)
        )
        return second - first

    def complete(self, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """The rows of ``weights`` in which both classes are drawn."""
        return weights[self.figures[0].has_every_class(weights[:, self.orders[0]])]


def _differences(
    pair: _ModelPair,
    groups: NDArray[np.intp],
    strata: NDArray[np.intp] | None,
    resamples: int,
    seed: int,
) -> tuple[dict[str, Estimate], int]:
    (values,) = pair(np.ones((1, groups.size)))
    nothing = np.empty((0, len(NAMES)))
    samples, left_out = [nothing], [nothing]
    if groups.max() > 0:
        blocks = resampled_weights(groups, resamples, seed=seed, strata=strata)
        samples += [pair(pair.complete(weights)) for weights in blocks]
        left_out += [pair(weights) for weights in left_out_weights(groups, strata)]
    drawn, jackknife = np.concatenate(samples), np.concatenate(left_out)
    differences = {}
    for name in COMPARED:
        at = NAMES.index(name)
        value = float(values[at])
        interval = bca_interval(value, drawn[:, at], jackknife[:, at])
        known = math.isfinite(value)
        differences[name] = Estimate(value, *(interval if known else (math.nan, math.nan)))
    return differences, (resamples - len(drawn)) if groups.max() > 0 else 0


def _area_test(
    labels: NDArray[np.bool_], scores: NDArray[np.float64], groups: NDArray[np.intp]
) -> AreaTest:
    from scipy.special import stdtr

    if labels.all() or not labels.any():
        undefined = math.nan
        return AreaTest(undefined, undefined, Estimate(undefined, undefined, undefined), undefined)
    (first, second), covariance = roc_areas(labels, scores, groups)
    contrast = np.array([-1.0, 1.0])
    difference, variance = float(second - first), float(contrast @ covariance @ contrast)
    if not variance > _ROUNDING * max(_ROUNDING, float(np.trace(covariance))):
        # One patient of a class, or rankings alike but for the order of a patient's hips.
        same = math.isfinite(variance) and abs(difference) < _ROUNDING
        low_high = (difference, difference) if same else (math.nan, math.nan)
        p = 1.0 if same else math.nan
        return AreaTest(float(first), float(second), Estimate(difference, *low_high), p)
    freedom = min(np.unique(groups[members]).size for members in (labels, ~labels)) - 1
    error = math.sqrt(variance)
    p = 2 * float(stdtr(freedom, -abs(difference) / error))
    # Errors of few patients reach beyond -1 and 1, where no difference of areas is.
    middle, reach = math.atanh(difference), student(freedom) * error / (1 - difference**2)
    interval = Estimate(difference, math.tanh(middle - reach), math.tanh(middle + reach))
    return AreaTest(float(first), float(second), interval, p)


def _answer_test(
    first: NDArray[np.bool_], second: NDArray[np.bool_], groups: NDArray[np.intp]
) -> AnswerTest:
    """McNemar's exact test; over patients, whose hips change their answers together.

    Were the models equally good, each patient's surplus of hips that only one calls right would be
    as likely of the other: the p value is the share of all such exchanges with a total as large.
    """
    surplus = np.bincount(groups, second.astype(float) - first).astype(int)
    sizes = np.abs(surplus[surplus != 0])
    chances = np.ones(1)  # of the totals -sum, -sum + 2, ...
    for size in sizes:
        grown = np.zeros(chances.size + size)
        grown[: chances.size] += chances / 2
        grown[size:] += chances / 2
        chances = grown
    totals = 2 * np.arange(chances.size) - sizes.sum()
    p = float(chances[np.abs(totals) >= abs(int(surplus.sum()))].sum())
    return AnswerTest(int((first & ~second).sum()), int((~first & second).sum()), min(1.0, p))

"""Two models on the same hips: how much better the second is, and whether it is at all."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from rhoa.errors import ParameterError
from rhoa.evaluation.intervals import (
    ONE_CLASS,
    Estimate,
    jackknife_error,
    left_out_weights,
    roc_areas,
    student,
    too_few,
)
from rhoa.evaluation.metrics import (
    NAMES,
    WeightedFigures,
    require_groups,
    require_labels,
    require_scores,
    require_threshold,
    require_weights,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

COMPARED = (
    *("accuracy", "balanced_accuracy", "precision", "recall", "specificity", "f1", "mcc"),
    *("roc_auc", "pr_auc", "brier"),
)


class AreaTest(NamedTuple):
    """ROC AUC of both models, second minus first, and the p value of no difference.

    ``p`` is that of Student's t, as the interval is; ``p_normal`` that of the normal distribution,
    which programs such as pROC print: of few subjects it is too small.
    """

    first: float
    second: float
    difference: Estimate
    p: float
    p_normal: float


class AnswerTest(NamedTuple):
    """Hips that only one of the models calls right, and the p value of no difference."""

    only_first: int
    only_second: int
    p: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Second model minus first, on the same hips.

    ``differences`` holds each figure's difference with its interval, ``p_values`` its p value of no
    difference, by the same Student's t: p is below .05 where the interval has 0 outside, and only
    there. ``roc_auc`` is the same of the ROC AUC with both values; ``answers`` McNemar's exact test
    beside them, with groups its counterpart over subjects. Of twenty figures tested, one differs by
    chance: `holm` corrects for several models.
    """

    differences: dict[str, Estimate]
    p_values: dict[str, float]
    roc_auc: AreaTest
    answers: AnswerTest
    hips: int
    groups: int
    threshold: float


def compare(
    y_true: ArrayLike,
    first: ArrayLike,
    second: ArrayLike,
    *,
    groups: ArrayLike | None = None,
    threshold: float = 0.5,
    sample_weight: ArrayLike | None = None,
) -> Comparison:
    """How much better the second of two models tells rHOA from no rHOA on the same hips.

    Overlapping intervals of two models do not say that they are equally good: the models err on the
    same hips. The standard error of a difference is that of Obuchowski for the ROC AUC and the
    jackknife's over subjects for other figures; interval and p are Student's t of it, with as many
    degrees of freedom as there are subjects.

    Parameters
    ----------
    y_true
        Label of each hip, 0 or 1 (rHOA).
    first, second
        Probability of rHOA of each hip, by either model, in [0, 1].
    groups, threshold, sample_weight
        As of `evaluate`. ``answers`` counts hips, unweighted.

    Returns
    -------
    Comparison
        Differences are NaN where a figure is undefined, the test of areas with one class only.
        Where no subject distinguishes the models, p is 1, without an interval. ``Estimate.note``
        gives the reason.

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
    >>> labels = [0, 0, 0, 1, 1, 1]
    >>> result = compare(labels, [0.1, 0.6, 0.2, 0.4, 0.9, 0.3], [0.1, 0.2, 0.3, 0.7, 0.9, 0.6])
    >>> result.differences["accuracy"].value, result.answers
    (0.5, AnswerTest(only_first=0, only_second=3, p=0.25))
    """
    labels = require_labels(y_true)
    scores = [
        require_scores(given, labels.size, name=name)
        for name, given in (("first", first), ("second", second))
    ]
    members = require_groups(groups, labels.size)
    cutoff = require_threshold(threshold)
    weights = require_weights(sample_weight, labels.size)
    if weights is not None:
        kept = weights > 0
        labels, weights = labels[kept], weights[kept]
        scores = [score[kept] for score in scores]
        members = np.unique(members[kept], return_inverse=True)[1]
    areas = _area_test(labels, np.stack(scores), members, weights)
    differences, p_values = _differences(_ModelPair(labels, scores, cutoff), members, weights)
    differences["roc_auc"], p_values["roc_auc"] = areas.difference, areas.p
    first_right, second_right = ((score >= cutoff) == labels for score in scores)
    return Comparison(
        differences=differences,
        p_values=p_values,
        roc_auc=areas,
        answers=_answer_test(first_right, second_right, members),
        hips=labels.size,
        groups=int(members.max()) + 1,
        threshold=cutoff,
    )


def holm(p_values: Sequence[float]) -> list[float]:
    """P values of several comparisons, corrected for their number; NaN is not counted.

    Where those below .05 are called differences, at most 5 % of such sets hold a false one.

    References
    ----------
    Holm 1979, A simple sequentially rejective multiple test procedure, Scand J Stat 6:65-70.

    Examples
    --------
    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    given = np.asarray(p_values, np.float64)
    if given.ndim != 1 or ((given < 0) | (given > 1)).any():
        raise ParameterError("p values must be a list of numbers, 0 to 1.")
    order = np.argsort(given)[: int(np.isfinite(given).sum())]
    corrected = np.full(given.shape, math.nan)
    raised = given[order] * np.arange(order.size, 0, -1)
    corrected[order] = np.minimum(1, np.maximum.accumulate(raised))
    return [float(value) for value in corrected]


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


def _differences(
    pair: _ModelPair, groups: NDArray[np.intp], weights: NDArray[np.float64] | None
) -> tuple[dict[str, Estimate], dict[str, float]]:
    weight = np.ones(groups.size) if weights is None else weights
    (values,) = pair(weight[None])
    few, subjects = too_few(groups), int(groups.max()) + 1
    left = [] if few else [pair(rows * weight) for rows in left_out_weights(groups)]
    left_out = np.concatenate([np.empty((0, len(NAMES))), *left])
    differences, p_values = {}, {}
    for name in COMPARED:
        at = NAMES.index(name)
        value, error = float(values[at]), jackknife_error(left_out[:, at])
        reason = "undefined for one of the models." if math.isnan(value) else few
        differences[name], p_values[name] = _tested(
            value,
            error,
            subjects,
            reason or "no interval: the figure rests on one subject.",
            f"jackknife of subjects, Student's t of {subjects} degrees",
            most=2.0 if name == "mcc" else 1.0,
        )
    return differences, p_values


def _tested(
    value: float, error: float, freedom: float, reason: str, method: str, *, most: float = 1.0
) -> tuple[Estimate, float]:
    """A difference with its interval within ``most``, and p; why there is none if error is NaN."""
    from scipy.special import stdtr

    if math.isnan(value) or math.isnan(error):
        return Estimate(value, note=reason), math.nan
    if error == 0:
        same = abs(value) < 1e-12
        said = "no subject distinguishes the models" if same else "every subject shows the same"
        return Estimate(0.0 if same else value, note=f"no interval: {said}."), (
            1.0 if same else math.nan
        )
    reach = student(freedom) * error
    p = 2 * float(stdtr(freedom, -abs(value) / error))
    bounds = max(-most, value - reach), min(most, value + reach)
    return Estimate(value, *bounds, method=method), p


def _area_test(
    labels: NDArray[np.bool_],
    scores: NDArray[np.float64],
    groups: NDArray[np.intp],
    weights: NDArray[np.float64] | None,
) -> AreaTest:
    from scipy.special import ndtr

    nothing = math.nan
    if labels.all() or not labels.any():
        return AreaTest(nothing, nothing, Estimate(nothing, note=ONE_CLASS), nothing, nothing)
    areas = roc_areas(labels, scores, groups, weights)
    first, second = areas.values.tolist()
    error, _ = areas.error(np.array([-1.0, 1.0]))
    few = too_few(groups)
    estimate, p = _tested(
        second - first,
        math.nan if few else error,
        areas.subjects,
        few or "no interval: the hips of a class are of one subject.",
        f"Obuchowski's variance, Student's t of {areas.subjects} degrees",
    )
    normal = 2 * float(ndtr(-abs(estimate.value) / error)) if error > 0 else p
    return AreaTest(first, second, estimate, p, normal)


def _answer_test(
    first: NDArray[np.bool_], second: NDArray[np.bool_], groups: NDArray[np.intp]
) -> AnswerTest:
    """McNemar's exact test; over subjects, whose hips change their answers together.

    Were the models equally good, each subject's surplus of hips that only one calls right would be
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

"""From scores to decisions: a threshold chosen on validation hips, and what it is worth."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from rhoa.errors import ParameterError, require_choice
from rhoa.evaluation.metrics import (
    of_positives,
    rates,
    require_both_classes,
    require_labels,
    require_scores,
    require_validation,
)

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

Rule = Literal["youden", "f1", "sensitivity", "specificity"]
RULES: tuple[Rule, ...] = ("youden", "f1", "sensitivity", "specificity")


class OperatingPoint(NamedTuple):
    """A threshold, and what it gave on the validation hips: optimistic for all others."""

    threshold: float
    sensitivity: float
    specificity: float
    f1: float


def choose_threshold(
    y_true: ArrayLike,
    y_score: ArrayLike,
    *,
    rule: Rule = "youden",
    at_least: float | None = None,
    partition: ArrayLike | None = None,
) -> OperatingPoint:
    """The threshold that a rule chooses on the hips of the validation set.

    It lies half-way between two scores that occur, so that no validation hip sits on it. Of equally
    good ones that nearest to one half is taken.

    Parameters
    ----------
    y_true, y_score
        Labels and probabilities of the hips of the validation set.
    rule
        ``"youden"``: largest sensitivity + specificity. ``"f1"``: largest F1. ``"sensitivity"``:
        largest specificity among those whose sensitivity is at least ``at_least``;
        ``"specificity"``: the other way round.
    at_least
        Of the last two rules: a share.
    partition
        Of each hip. Anything but ``"val"`` is refused: what is tuned on test hips is not tested.

    Raises
    ------
    ParameterError
        If a hip is not of the validation set, a class is absent, or ``at_least`` is missing, is no
        share, or does not belong to the rule.

    References
    ----------
    Youden 1950, Index for rating diagnostic tests, Cancer 3:32-35.

    Examples
    --------
    >>> choose_threshold([0, 0, 1, 1], [0.1, 0.4, 0.3, 0.9])
    OperatingPoint(threshold=0.65, sensitivity=0.5, specificity=1.0, f1=0.6666666666666666)
    >>> choose_threshold([0, 0, 1, 1], [0.1, 0.4, 0.3, 0.9], rule="sensitivity", at_least=0.9)
    OperatingPoint(threshold=0.2, sensitivity=1.0, specificity=0.5, f1=0.8)
    """
    labels = require_labels(y_true)
    scores = require_scores(y_score, labels.size)
    require_validation(partition, labels.size, "a threshold")
    require_both_classes(labels, "a threshold")
    require_choice("rule", rule, RULES)
    constrained = rule in {"sensitivity", "specificity"}
    if constrained != (at_least is not None):
        raise ParameterError(
            f'rule="{rule}" {"needs at_least=SHARE" if constrained else "takes no at_least"}.'
        )
    if at_least is not None and not 0 <= at_least <= 1:
        raise ParameterError(f"at_least must be a share, 0 to 1; got {at_least!r}.")
    needed = at_least or 0.0
    distinct = np.unique(scores)
    between = (distinct[1:] + distinct[:-1]) / 2
    between = np.where(between > distinct[:-1], between, distinct[1:])  # of neighbouring floats
    thresholds = np.r_[0.0, between, 1.0]
    cells = _cells(labels, scores, thresholds)
    plain, f1 = rates(*cells), np.nan_to_num(of_positives(*cells).f1)
    sensitivity, specificity = plain.sensitivity, plain.specificity
    worth = {
        "youden": sensitivity + specificity,
        "f1": f1,
        "sensitivity": np.where(sensitivity >= needed, specificity, -1),
        "specificity": np.where(specificity >= needed, sensitivity, -1),
    }[rule]
    best = np.flatnonzero(worth >= worth.max() - 1e-12)
    at = best[np.argmin(np.abs(thresholds[best] - 0.5))]
    return OperatingPoint(
        *(float(values[at]) for values in (thresholds, sensitivity, specificity, f1))
    )


def _cells(
    labels: NDArray[np.bool_], scores: NDArray[np.float64], thresholds: NDArray[np.float64]
) -> tuple[NDArray[np.float64], ...]:
    """Hips (tn, fp, fn, tp) at each threshold."""
    positive, negative = np.sort(scores[labels]), np.sort(scores[~labels])
    fn, tn = (
        np.searchsorted(ranked, thresholds, side="left").astype(np.float64)
        for ranked in (positive, negative)
    )
    return tn, negative.size - tn, fn, positive.size - fn


class NetBenefit(NamedTuple):
    """At one threshold probability: net benefit of the model, of treating all, of treating none."""

    threshold: float
    model: float
    treat_all: float
    treat_none: float


def decision_curve(
    y_true: ArrayLike, y_score: ArrayLike, *, thresholds: ArrayLike | None = None
) -> list[NetBenefit]:
    """What acting on the score is worth, for every trade-off between missed and needless action.

    Net benefit is the share of hips rightly called rHOA less the share wrongly called so, the
    latter times threshold / (1 - threshold): who acts at a probability of 10 % takes nine needless
    actions for one that is needed. Scores must be calibrated for the threshold to mean that.

    Parameters
    ----------
    y_true, y_score
        Label and probability of rHOA of each hip.
    thresholds
        Threshold probabilities in [0, 1); 0.01 to 0.99 unless given.

    Raises
    ------
    ParameterError
        If labels or scores are none, or a threshold is outside [0, 1).

    References
    ----------
    Vickers and Elkin 2006, Decision curve analysis, Med Decis Making 26:565-574.

    Examples
    --------
    >>> decision_curve([0, 0, 1, 1], [0.1, 0.6, 0.4, 0.9], thresholds=[0.5])
    [NetBenefit(threshold=0.5, model=0.0, treat_all=0.0, treat_none=0.0)]
    """
    labels = require_labels(y_true)
    scores = require_scores(y_score, labels.size)
    chosen = np.linspace(0.01, 0.99, 99) if thresholds is None else np.asarray(thresholds, float)
    if chosen.ndim != 1 or chosen.size == 0 or not ((chosen >= 0) & (chosen < 1)).all():
        raise ParameterError("thresholds must be a list of probabilities, 0 to below 1.")
    _, fp, _, tp = _cells(labels, scores, chosen)
    odds, share = chosen / (1 - chosen), float(labels.mean())
    model = (tp - fp * odds) / labels.size
    treat_all = share - (1 - share) * odds
    rows = zip(chosen.tolist(), model.tolist(), treat_all.tolist(), strict=True)
    return [NetBenefit(*row, 0.0) for row in rows]

"""ROC AUC of one or several models on the same hips, with the covariance of their estimates."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from rhoa.evaluation.proportions import Z, student

if TYPE_CHECKING:
    from numpy.typing import NDArray

_NOWHERE = (math.nan, math.nan)


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
        won, kept = _placements(score[labels], score[~labels])
        area = float(won.mean())
        values.append(area)
        # What a patient's hips of a class add, beyond what as many average hips would.
        above.append(np.bincount(positives, won - area, patients) / positives.size)
        below.append(np.bincount(negatives, kept - area, patients) / negatives.size)
    of_positives, of_negatives = np.stack(above), np.stack(below)
    both = of_positives @ of_negatives.T
    covariance = (
        _unbiased(np.unique(positives).size) * of_positives @ of_positives.T
        + _unbiased(np.unique(negatives).size) * of_negatives @ of_negatives.T
        + _unbiased(patients) * (both + both.T)
    )
    return Areas(np.array(values), covariance)


def _placements(
    positive: NDArray[np.float64], negative: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Share of negatives below each positive, and of positives above each negative."""
    return _below(negative, positive), 1 - _below(positive, negative)


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

"""Bands around ROC, precision-recall and decision curves: where those of resampled patients run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from rhoa.evaluation.intervals import resampled_weights

if TYPE_CHECKING:
    from numpy.typing import NDArray

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

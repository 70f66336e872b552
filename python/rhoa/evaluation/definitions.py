"""Figures of a confusion matrix, by every definition that papers use.

All functions take counts, or arrays of counts, and divide as they are defined: a figure is NaN
where its denominator is zero.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Counts = NDArray[np.float64]


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

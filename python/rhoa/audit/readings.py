"""What a printed figure may mean: names of columns, and readings of the three that are ambiguous.

``precision``, ``recall`` and ``f1`` may be of the positive class, of the negative one, or averages
of both, and precision and recall may stand in each other's column.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rhoa.evaluation.definitions import (
    Averages,
    macro,
    of_averages,
    of_positives,
    swapped,
    weighted,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from rhoa.evaluation.definitions import Counts

    Reading = Callable[[Counts, Counts, Counts, Counts], Averages]

CLEAR = (
    "accuracy",
    "balanced_accuracy",
    "sensitivity",
    "specificity",
    "ppv",
    "npv",
    "mcc",
)
AMBIGUOUS = ("precision", "recall", "f1")
AREAS = ("roc_auc", "pr_auc")
FIGURES = (*CLEAR, *AMBIGUOUS, *AREAS)


def _of_negatives(tn: Counts, fp: Counts, fn: Counts, tp: Counts) -> Averages:
    return of_positives(tp, fn, fp, tn)


def _both(first: Callable[[Averages], Averages], reading: Reading) -> Reading:
    return lambda *cells: first(reading(*cells))


READINGS: dict[str, Reading] = {
    "positive": of_positives,
    "negative": _of_negatives,
    "macro/macroF1": macro,
    "macro/hmMacro": _both(of_averages, macro),
    "weighted/weightedF1": weighted,
    "weighted/hmWeighted": _both(of_averages, weighted),
}
READINGS |= {
    name.replace("/", "-swapped/") if "/" in name else f"{name}-swapped": _both(swapped, reading)
    for name, reading in list(READINGS.items())
}

MEANINGS = {
    "positive": "precision, recall and F1 of the positive class (the usual ones)",
    "negative": "precision, recall and F1 of the negative class",
    "macro/macroF1": "means over both classes; F1 the mean of the classes' F1",
    "macro/hmMacro": "means over both classes; F1 the harmonic mean of those",
    "weighted/weightedF1": "means weighted by class size; F1 too",
    "weighted/hmWeighted": "means weighted by class size; F1 the harmonic mean of those",
}


def meaning(definition: str) -> str:
    """A definition of a published table in words.

    Examples
    --------
    >>> meaning("positive-swapped")
    'precision, recall and F1 of the positive class (the usual ones), precision and recall swapped'
    """
    words = MEANINGS[definition.replace("-swapped", "")]
    return f"{words}, precision and recall swapped" if "-swapped" in definition else words

"""What an evaluation holds: figures with intervals, counts, a baseline, and warnings."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, NamedTuple

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
    the answer for all would score, ``warnings`` what a reader must be told with these figures.
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

"""How good a model is: metrics with intervals over subjects."""

from rhoa.evaluation.calibration import (
    Recalibration,
    ReliabilityBin,
    Temperature,
    fit_recalibration,
    fit_temperature,
    reliability,
)
from rhoa.evaluation.comparison import AnswerTest, AreaTest, Comparison, compare, holm
from rhoa.evaluation.decision_curves import (
    NetBenefit,
    OperatingPoint,
    choose_threshold,
    decision_curve,
)
from rhoa.evaluation.intervals import Estimate
from rhoa.evaluation.metrics import (
    Baseline,
    Confusion,
    Evaluation,
    evaluate,
    evaluate_by,
)

__all__ = [
    "AnswerTest",
    "AreaTest",
    "Baseline",
    "Comparison",
    "Confusion",
    "Estimate",
    "Evaluation",
    "NetBenefit",
    "OperatingPoint",
    "Recalibration",
    "ReliabilityBin",
    "Temperature",
    "choose_threshold",
    "compare",
    "decision_curve",
    "evaluate",
    "evaluate_by",
    "fit_recalibration",
    "fit_temperature",
    "holm",
    "reliability",
]

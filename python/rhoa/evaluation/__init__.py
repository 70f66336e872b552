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
from rhoa.evaluation.planning import (
    DevelopmentSize,
    ExpectedWidths,
    development_size,
    sample_size,
    subjects_needed,
)

__all__ = [
    "AnswerTest",
    "AreaTest",
    "Baseline",
    "Comparison",
    "Confusion",
    "DevelopmentSize",
    "Estimate",
    "Evaluation",
    "ExpectedWidths",
    "NetBenefit",
    "OperatingPoint",
    "Recalibration",
    "ReliabilityBin",
    "Temperature",
    "choose_threshold",
    "compare",
    "decision_curve",
    "development_size",
    "evaluate",
    "evaluate_by",
    "fit_recalibration",
    "fit_temperature",
    "holm",
    "reliability",
    "sample_size",
    "subjects_needed",
]

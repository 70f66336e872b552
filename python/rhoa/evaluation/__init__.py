"""How good a model is: metrics with intervals that resample patients."""

from rhoa.evaluation.calibration import ReliabilityBin, Temperature, fit_temperature, reliability
from rhoa.evaluation.comparison import AnswerTest, AreaTest, Comparison, compare
from rhoa.evaluation.decision_curves import (
    NetBenefit,
    OperatingPoint,
    choose_threshold,
    decision_curve,
)
from rhoa.evaluation.grades import (
    GradeEvaluation,
    RiskCoverage,
    evaluate_grades,
    risk_coverage,
)
from rhoa.evaluation.metrics import (
    Baseline,
    Confusion,
    Estimate,
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
    "GradeEvaluation",
    "NetBenefit",
    "OperatingPoint",
    "ReliabilityBin",
    "RiskCoverage",
    "Temperature",
    "choose_threshold",
    "compare",
    "decision_curve",
    "evaluate",
    "evaluate_by",
    "evaluate_grades",
    "fit_temperature",
    "reliability",
    "risk_coverage",
]

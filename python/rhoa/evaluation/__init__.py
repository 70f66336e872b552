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
from rhoa.evaluation.grades import (
    GradeEvaluation,
    RiskCoverage,
    evaluate_grades,
    risk_coverage,
)
from rhoa.evaluation.intervals import Estimate
from rhoa.evaluation.metrics import (
    Baseline,
    Confusion,
    CrossValidation,
    Evaluation,
    evaluate,
    evaluate_by,
    evaluate_folds,
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
    "CrossValidation",
    "DevelopmentSize",
    "Estimate",
    "Evaluation",
    "ExpectedWidths",
    "GradeEvaluation",
    "NetBenefit",
    "OperatingPoint",
    "Recalibration",
    "ReliabilityBin",
    "RiskCoverage",
    "Temperature",
    "choose_threshold",
    "compare",
    "decision_curve",
    "development_size",
    "evaluate",
    "evaluate_by",
    "evaluate_folds",
    "evaluate_grades",
    "fit_recalibration",
    "fit_temperature",
    "holm",
    "reliability",
    "risk_coverage",
    "sample_size",
    "subjects_needed",
]

"""How good a model is: metrics with intervals that resample patients."""

from rhoa.evaluation.calibration import Temperature, fit_temperature, reliability
from rhoa.evaluation.comparison import Comparison, compare
from rhoa.evaluation.decisions import OperatingPoint, choose_threshold, decision_curve
from rhoa.evaluation.metrics import Baseline, Confusion, Estimate, Evaluation, evaluate

__all__ = [
    "Baseline",
    "Comparison",
    "Confusion",
    "Estimate",
    "Evaluation",
    "OperatingPoint",
    "Temperature",
    "choose_threshold",
    "compare",
    "decision_curve",
    "evaluate",
    "fit_temperature",
    "reliability",
]

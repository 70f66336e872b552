"""How good a model is: metrics with intervals that resample patients."""

from rhoa.evaluation.metrics import Baseline, Confusion, Estimate, Evaluation, evaluate

__all__ = ["Baseline", "Confusion", "Estimate", "Evaluation", "evaluate"]

"""How good a model is: metrics with intervals that resample patients."""

from rhoa.evaluation.metrics import Confusion, Estimate, Evaluation, evaluate

__all__ = ["Confusion", "Estimate", "Evaluation", "evaluate"]

"""Whole studies: several recipes, over seeds or folds, trained, measured and reported."""

from rhoa.study.plan import TEMPLATE, Plan, read_plan
from rhoa.study.runner import conduct

__all__ = ["TEMPLATE", "Plan", "conduct", "read_plan"]

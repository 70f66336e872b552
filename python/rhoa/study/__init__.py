"""Whole studies: several recipes, over seeds or folds, trained, measured and reported."""

from rhoa.study.conducting import conduct
from rhoa.study.plan import Plan, read_plan
from rhoa.study.template import TEMPLATE

__all__ = ["TEMPLATE", "Plan", "conduct", "read_plan"]

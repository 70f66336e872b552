"""What each verb of the command line does: calls of the library, and what is worth printing."""

from rhoa.verbs.crops import hips
from rhoa.verbs.listing import inspect
from rhoa.verbs.output import Result, table
from rhoa.verbs.radiographs import xray
from rhoa.verbs.review import review
from rhoa.verbs.scan import ctap
from rhoa.verbs.study import bench, demo, evaluate, explain, info, predict, split, train

__all__ = [
    "Result",
    "bench",
    "ctap",
    "demo",
    "evaluate",
    "explain",
    "hips",
    "info",
    "inspect",
    "predict",
    "review",
    "split",
    "table",
    "train",
    "xray",
]

"""What each verb of the command line does: calls of the library, and what is worth printing."""

from rhoa.verbs.crops import hips
from rhoa.verbs.detector import detector
from rhoa.verbs.exporting import export
from rhoa.verbs.listing import inspect
from rhoa.verbs.output import Result, in_words_of_shell, table
from rhoa.verbs.plan import study as conduct
from rhoa.verbs.prediction import predict
from rhoa.verbs.published import audit
from rhoa.verbs.radiographs import xray
from rhoa.verbs.review import review
from rhoa.verbs.scan import ctap
from rhoa.verbs.study import bench, demo, evaluate, explain, info, split
from rhoa.verbs.training import train

__all__ = [
    "Result",
    "audit",
    "bench",
    "conduct",
    "ctap",
    "demo",
    "detector",
    "evaluate",
    "explain",
    "export",
    "hips",
    "in_words_of_shell",
    "info",
    "inspect",
    "predict",
    "review",
    "split",
    "table",
    "train",
    "xray",
]

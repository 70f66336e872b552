"""rhoa: radiograph-like images from abdominopelvic CT, and honest hip osteoarthritis models.

Research use only: not a medical device.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from rhoa import errors, pose
from rhoa._core import __version__
from rhoa.errors import RhoaError, RhoaWarning
from rhoa.learning.recipes import recipes
from rhoa.pose import Alignment, Landmarks
from rhoa.projection import coronal, ctap, cumulative, thin_slab
from rhoa.radiograph import Radiograph
from rhoa.reading import read_ct
from rhoa.volume import Volume

if TYPE_CHECKING:
    from rhoa import cohort, hips, phantom
    from rhoa.evaluation.metrics import evaluate
    from rhoa.evaluation.sensitivity import occlusion
    from rhoa.learning.inference import load_model
    from rhoa.learning.training import train
    from rhoa.versions import show_versions

__all__ = [
    "Alignment",
    "Landmarks",
    "Radiograph",
    "RhoaError",
    "RhoaWarning",
    "Volume",
    "__version__",
    "cohort",
    "coronal",
    "ctap",
    "cumulative",
    "errors",
    "evaluate",
    "hips",
    "load_model",
    "occlusion",
    "phantom",
    "pose",
    "read_ct",
    "recipes",
    "show_versions",
    "thin_slab",
    "train",
]

_ROOMS = ("cohort", "hips", "phantom")
_ON_FIRST_USE = {
    "evaluate": "rhoa.evaluation",
    "load_model": "rhoa.learning",
    "occlusion": "rhoa.evaluation.sensitivity",
    "show_versions": "rhoa.versions",
    "train": "rhoa.learning",
}


def __getattr__(name: str) -> object:
    """What is not needed by everyone, imported on first use."""
    if name in _ROOMS:
        return importlib.import_module(f"rhoa.{name}")
    if name not in _ON_FIRST_USE:
        raise AttributeError(f"module 'rhoa' has no attribute {name!r}")
    return getattr(importlib.import_module(_ON_FIRST_USE[name]), name)

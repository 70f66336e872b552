"""rhoa: radiograph-like images from abdominopelvic CT, and honest hip osteoarthritis models.

Research use only: not a medical device.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from rhoa._core import __version__

if TYPE_CHECKING:
    from rhoa import audit, cohort, errors, hips, phantom, pose, testing
    from rhoa.errors import RhoaError, RhoaWarning
    from rhoa.evaluation import evaluate
    from rhoa.evaluation.saliency import occlusion
    from rhoa.learning import load_model, recipes, train
    from rhoa.pose import Alignment, Landmarks
    from rhoa.prediction import predict
    from rhoa.projection import ctap, sweep
    from rhoa.projection.slabs import coronal, cumulative, thin_slab
    from rhoa.radiograph import Radiograph
    from rhoa.reading import read_ct
    from rhoa.reading.masks import resample_mask
    from rhoa.versions import show_versions
    from rhoa.volume import Volume

__all__ = [
    "Alignment",
    "Landmarks",
    "Radiograph",
    "RhoaError",
    "RhoaWarning",
    "Volume",
    "__version__",
    "audit",
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
    "predict",
    "read_ct",
    "recipes",
    "resample_mask",
    "show_versions",
    "sweep",
    "testing",
    "thin_slab",
    "train",
]

_ROOMS = ("audit", "cohort", "errors", "hips", "phantom", "pose", "testing")
_HOME = {
    "Alignment": "pose",
    "Landmarks": "pose",
    "Radiograph": "radiograph",
    "RhoaError": "errors",
    "RhoaWarning": "errors",
    "Volume": "volume",
    "coronal": "projection.slabs",
    "ctap": "projection",
    "cumulative": "projection.slabs",
    "evaluate": "evaluation",
    "load_model": "learning",
    "occlusion": "evaluation.saliency",
    "predict": "prediction",
    "read_ct": "reading.reader",
    "recipes": "learning",
    "resample_mask": "reading.masks",
    "show_versions": "versions",
    "sweep": "projection",
    "thin_slab": "projection.slabs",
    "train": "learning",
}


def __getattr__(name: str) -> object:
    """A public name, from its room, on first use: a program pays only for what it uses."""
    if name in _ROOMS:
        return importlib.import_module(f"rhoa.{name}")
    if name not in _HOME:
        raise AttributeError(f"module 'rhoa' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"rhoa.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__

"""Models of radiographic hip osteoarthritis: recipes, training, prediction.

`train` and `load_model` need ``rhoa[train]``; they bring torch in when first asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rhoa.errors import require_extra
from rhoa.learning.augmentations import Augmentation
from rhoa.learning.catalogue import as_coded, recipes
from rhoa.learning.execution import Execution
from rhoa.learning.recipes import Recipe

if TYPE_CHECKING:
    from rhoa.learning.inference import Model, load_model
    from rhoa.learning.training import train

__all__ = [
    "Augmentation",
    "Execution",
    "Model",
    "Recipe",
    "as_coded",
    "load_model",
    "recipes",
    "train",
]

_HEAVY = {"Model": "inference", "load_model": "inference", "train": "training"}


def __getattr__(name: str) -> object:
    """What needs torch, imported on first use."""
    if name not in _HEAVY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    for module in ("torch", "torchvision", "safetensors"):
        require_extra(module, extra="train", purpose=f"rhoa.{name}")
    module = require_extra(f"{__name__}.{_HEAVY[name]}", extra="train", purpose=f"rhoa.{name}")
    return getattr(module, name)

"""Models of radiographic hip osteoarthritis: recipes, training, prediction.

`train`, `Model` and `export_onnx` need the extra ``train``; they import torch when first used.
`load_model` needs it, or the extra ``onnx`` for models that were exported.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from rhoa.errors import require_extra
from rhoa.learning.recipe import Appearance, Augmentation, Execution, Recipe, as_coded, recipes

if TYPE_CHECKING:
    from rhoa.learning.grader import Draws, Ensemble, Grader
    from rhoa.learning.loading import load_ensemble, load_model
    from rhoa.learning.onnx_export import export_onnx
    from rhoa.learning.torch_model import Model, monte_carlo_dropout
    from rhoa.learning.trainer import train

__all__ = [
    "Appearance",
    "Augmentation",
    "Draws",
    "Ensemble",
    "Execution",
    "Grader",
    "Model",
    "Recipe",
    "as_coded",
    "export_onnx",
    "load_ensemble",
    "load_model",
    "monte_carlo_dropout",
    "recipes",
    "train",
]

_LIGHT = {
    "Draws": "grader",
    "Ensemble": "grader",
    "Grader": "grader",
    "load_ensemble": "loading",
    "load_model": "loading",
}
_HEAVY = {
    "Model": "torch_model",
    "export_onnx": "onnx_export",
    "monte_carlo_dropout": "torch_model",
    "train": "trainer",
}


def __getattr__(name: str) -> object:
    """What is large, or needs torch, imported on first use."""
    if name in _LIGHT:
        return getattr(importlib.import_module(f"{__name__}.{_LIGHT[name]}"), name)
    if name not in _HEAVY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    for module in ("torch", "torchvision", "safetensors"):
        require_extra(module, extra="train", purpose=f"rhoa.{name}")
    module = require_extra(f"{__name__}.{_HEAVY[name]}", extra="train", purpose=f"rhoa.{name}")
    return getattr(module, name)

"""The recipes by name: the paper's five models, the sixth it proposes, and one of today."""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING

from rhoa.learning.recipes import Recipe

if TYPE_CHECKING:
    from collections.abc import Mapping

_XRAY = Recipe(
    name="model-1",
    description="trained on X-rays",
    sources=("xray",),
    epochs=85,
    validation_every=53,
    drop_factor=0.05,
)
_CT = Recipe(
    name="model-5",
    description="trained on CT-APs",
    sources=("ct",),
    epochs=100,
    validation_every=8,
    drop_factor=0.1,
)
_BOTH = replace(
    _XRAY,
    name="model-3",
    description="trained on CT-APs and X-rays",
    sources=("xray", "ct"),
    epochs=40,
)
_MODELS = (
    _XRAY,
    replace(
        _XRAY,
        name="model-2",
        description="trained on X-rays downsampled to the size of CT-AP crops",
        xray_size=100,
    ),
    _BOTH,
    replace(
        _BOTH,
        name="model-4",
        description="trained on CT-APs and X-rays downsampled to their size",
        xray_size=100,
    ),
    _CT,
    replace(
        _CT,
        name="model-6",
        description="trained on X-rays as model 1, then on CT-APs as model 5",
        first=_XRAY,
    ),
)
_MODERN = Recipe(
    name="modern",
    description="trained on CT-APs and X-rays, stopped at the best validation AUC",
    sources=("xray", "ct"),
    epochs=30,
    optimizer="adamw",
    weight_decay=0.01,
    learning_rate=3e-4,
    schedule="cosine",
    label_smoothing=0.1,
    validation_every=49,
    best_by="val_auc",
    keep="best",
    patience=10,
)

recipes: Mapping[str, Recipe] = MappingProxyType(
    {recipe.name: recipe for recipe in (*_MODELS, _MODERN)}
)
"""``"model-1"`` to ``"model-5"`` of the paper, ``"model-6"``, which it proposes, ``"modern"``."""


def as_coded(recipe: Recipe) -> Recipe:
    """``recipe`` as the paper's published MATLAB code has it, where the code differs from the text.

    The code trains 10 epochs, keeps the first convolution, lets the last layer learn 1920 (weights)
    and 1000 (biases) times as fast, and validates on changed images; by MATLAB's defaults it drops
    the learning rate to a tenth every 10 epochs and decays weights by 1e-4.

    Examples
    --------
    >>> coded = as_coded(recipes["model-3"])
    >>> coded.name, coded.epochs, coded.frozen_stem, coded.head_weight_factor
    ('model-3-as-coded', 10, True, 1920.0)
    """
    first = None if recipe.first is None else as_coded(recipe.first)
    return replace(
        recipe,
        name=f"{recipe.name}-as-coded",
        description=f"{recipe.description}, as the paper's code has it",
        epochs=10,
        drop_factor=0.1,
        drop_period=10,
        weight_decay=1e-4,
        frozen_stem=True,
        head_weight_factor=1920.0,
        head_bias_factor=1000.0,
        augment_validation=True,
        first=first,
    )

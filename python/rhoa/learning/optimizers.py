"""The optimizer of a recipe, and what a learning rate is for each of its groups."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import nn

    from rhoa.learning.recipes import Recipe


def build_optimizer(network: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """Adam or AdamW over what is not frozen; a group for each learning rate and weight decay."""
    factors = {"fc.weight": recipe.head_weight_factor, "fc.bias": recipe.head_bias_factor}
    groups: dict[tuple[float, float], list[nn.Parameter]] = defaultdict(list)
    for name, parameter in network.named_parameters():
        if parameter.requires_grad:
            decay = recipe.weight_decay if parameter.ndim > 1 else 0.0
            groups[factors.get(name, 1.0), decay].append(parameter)
    kind = torch.optim.AdamW if recipe.optimizer == "adamw" else torch.optim.Adam
    return kind(
        [
            {"params": members, "factor": factor, "weight_decay": decay}
            for (factor, decay), members in groups.items()
        ],
        lr=recipe.learning_rate,
    )


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Give every group its share."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group["factor"]

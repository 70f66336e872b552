"""The last layer: classes, or grades in order; their losses."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional

if TYPE_CHECKING:
    from torch import Tensor

    from rhoa.learning.recipes import Recipe

ORDINAL_GRADES = (2, 3, 4)
"""Thresholds of KL; the first parts rHOA from no rHOA. No labelled hip has KL 1."""
UNGRADED = -1


class OrdinalHead(nn.Module):
    """Logits ``(n, 3)`` of KL >= 2, 3 and 4: a weight for each feature, a bias for each threshold.

    It begins with the difference of a two-class layer's outputs, which is the logit of rHOA.
    """

    def __init__(self, classes: nn.Linear) -> None:
        super().__init__()
        weight, bias = (parameter.detach() for parameter in (classes.weight, classes.bias))
        self.weight = nn.Parameter(weight[1:] - weight[:1])
        self.bias = nn.Parameter((bias[1] - bias[0]).repeat(len(ORDINAL_GRADES)))

    def forward(self, features: Tensor) -> Tensor:
        """Logits of features ``(n, f)``."""
        return functional.linear(features, self.weight) + self.bias

    def as_classes(self) -> nn.Linear:
        """The two-class layer whose softmax gives the same probability of KL >= 2."""
        layer = nn.Linear(self.weight.shape[1], 2)
        with torch.no_grad():
            layer.weight.copy_(torch.cat([torch.zeros_like(self.weight), self.weight]))
            layer.bias.copy_(torch.stack([torch.zeros_like(self.bias[0]), self.bias[0]]))
        return layer.to(self.weight.device)


def with_head(network: nn.Module, recipe: Recipe) -> nn.Module:
    """``network`` of two classes, in place, with the head and the frozen layers of ``recipe``."""
    if recipe.head == "ordinal" and isinstance(network.fc, nn.Linear):
        network.fc = OrdinalHead(network.fc)
    if recipe.frozen_stem:
        for layer in ("conv1", "bn1"):
            getattr(network, layer).requires_grad_(requires_grad=False)
    return network


def with_classes(network: nn.Module) -> nn.Module:
    """``network``, in place, with two classes: the inverse of `with_head`."""
    if isinstance(network.fc, OrdinalHead):
        network.fc = network.fc.as_classes()
    return network.requires_grad_()


def class_logits(outputs: Tensor, recipe: Recipe) -> Tensor:
    """Logits ``(n, 2)`` of no rHOA and rHOA."""
    if recipe.head == "classes":
        return outputs
    rhoa = outputs[:, 0]
    return torch.stack([torch.zeros_like(rhoa), rhoa], dim=1)


def loss_of(
    outputs: Tensor, labels: Tensor, grades: Tensor, recipe: Recipe, *, smoothing: float = 0.0
) -> Tensor:
    """Mean loss of a batch; ``labels`` are 0 or 1, ``grades`` KL or `UNGRADED`, both ``(n,)``.

    Of classes: cross-entropy. Of grades: binary cross-entropy of each threshold, averaged over the
    thresholds, of which a hip that has a label but no grade knows the first alone.
    """
    if recipe.head == "classes":
        return functional.cross_entropy(outputs, labels, label_smoothing=smoothing)
    thresholds = torch.tensor(ORDINAL_GRADES, device=grades.device)
    ungraded = grades[:, None] == UNGRADED
    passed = torch.where(ungraded, labels[:, None] == 1, grades[:, None] >= thresholds)
    known = ~ungraded | (thresholds == ORDINAL_GRADES[0])
    targets = passed * (1 - smoothing) + smoothing / 2
    losses = functional.binary_cross_entropy_with_logits(outputs, targets, reduction="none")
    return ((losses * known).sum(dim=1) / known.sum(dim=1)).mean()

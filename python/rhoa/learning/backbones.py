"""Networks of timm by name, with the last layer that rhoa's ResNet18 has."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from rhoa.errors import ParameterError, require_extra
from rhoa.learning.grader import CLASSES
from rhoa.learning.recipes import TIMM

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

MOST_PARAMETERS = 500_000_000
"""Four bytes each, they fill the largest file of weights that is read."""
TRIED_PX = 64
HEAD = ("fc.weight", "fc.bias")


class Backbone(nn.Module):
    """A convolutional network of timm up to its pooled features, then one layer of two classes.

    Parameters
    ----------
    name
        Of a recipe: ``"timm/"`` and timm's name.

    Raises
    ------
    MissingExtraError
        If timm is not installed.
    ParameterError
        If timm has no such network, or it is not convolutional or too large.
    """

    def __init__(self, name: str) -> None:
        super().__init__()
        timm = require_extra("timm", extra="timm", purpose=f"the network {name}")
        own = _require_known(timm, name.removeprefix(TIMM))
        self.body = timm.create_model(own, pretrained=False, num_classes=0)
        self.maps = nn.Identity()  # whose output Grad-CAM looks at
        self.fc = nn.Linear(self.body.head_hidden_size, len(CLASSES))

    def forward(self, images: Tensor) -> Tensor:
        """Outputs ``(n, 2)`` of ``images`` ``(n, 3, rows, columns)``."""
        features = self.body.forward_head(self.maps(self.body.forward_features(images)))
        outputs: Tensor = self.fc(features)
        return outputs

    def named_as_here(self, given: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Tensors under this network's names; those of timm's own files lose their last layer."""
        if any(key.startswith("body.") for key in given):
            return dict(given)
        last = str(self.body.pretrained_cfg["classifier"])
        kept = {f"body.{k}": value for k, value in given.items() if not k.startswith(f"{last}.")}
        return kept | {key: self.state_dict()[key] for key in HEAD}


def _require_known(timm: Any, name: str) -> str:  # noqa: ANN401  # a module
    """``name``, if timm knows it as a convolutional network of bearable size."""
    if not timm.is_model(name):
        near = difflib.get_close_matches(name, timm.list_models(), n=3)
        like = f"; it has {', '.join(near)}" if near else ""
        raise ParameterError(f"timm has no network {name!r}{like}: see timm.list_models().")
    with torch.device("meta"):
        network = timm.create_model(name, pretrained=False).train(mode=False)
        if sum(parameter.numel() for parameter in network.parameters()) > MOST_PARAMETERS:
            raise ParameterError(f"{name!r} has over {MOST_PARAMETERS} weights; choose a smaller.")
        try:
            maps = network.forward_features(torch.zeros(1, 3, TRIED_PX, TRIED_PX)).shape
        except (AssertionError, RuntimeError, ValueError):
            maps = ()
    if len(maps) != 4 or maps[1] != network.num_features:
        raise ParameterError(
            f"{name!r} is no convolutional network for images of any size; choose one, "
            "such as convnext_tiny or efficientnet_b0."
        )
    return name

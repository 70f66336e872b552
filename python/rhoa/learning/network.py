"""The network of a recipe, with two outputs, and its weights."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torchvision.models import resnet18

from rhoa.errors import WeightsError
from rhoa.learning.backbones import HEAD, Backbone
from rhoa.learning.grader import CLASSES
from rhoa.learning.recipes import RESNET18, TIMM
from rhoa.learning.weights import IMAGENET, imagenet, read_weights
from rhoa.reading.bounded import printable, shown

if TYPE_CHECKING:
    from collections.abc import Mapping
    from os import PathLike

    from torch import Tensor, nn


def build_network(
    weights: str | PathLike[str] = "none", *, seed: int = 2020, backbone: str = RESNET18
) -> nn.Module:
    """A ResNet18, or another backbone, with two outputs (no rHOA, rHOA).

    Parameters
    ----------
    weights
        ``"none"``: random. ``"imagenet"``: torchvision's, from the folder that the environment
        variable RHOA_WEIGHTS_DIR names, else torchvision's own cache or download, sha256 verified.
        A path: a ``.safetensors`` file, a run folder of `rhoa.train`, or a PyTorch state dict.
        Weights of 1000 classes lose their last layer, which starts at random.
    seed
        Of random weights.
    backbone
        As of `Recipe`. Of timm's, ``"imagenet"`` is refused: pass the file that timm publishes.

    Raises
    ------
    WeightsError
        If the weights are absent, damaged, not safe to load, or of another network.
    ParameterError
        If the backbone is none that rhoa can use.
    MissingExtraError
        If it is timm's, and timm is not installed.
    """
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        network = _random(backbone)
    if weights == "none":
        return network
    if weights != "imagenet":
        load_into(network, read_weights(Path(weights)), where=shown(weights))
    elif backbone == RESNET18:
        load_into(network, imagenet(), where=IMAGENET.file)
    else:
        own = backbone.removeprefix(TIMM)
        raise WeightsError(
            f'weights "imagenet" are those of {RESNET18}; for {backbone} pass weights=PATH, a file '
            f'that timm publishes (https://huggingface.co/timm, {own}), or "none".'
        )
    return network


def _random(backbone: str) -> nn.Module:
    if backbone == RESNET18:
        network: nn.Module = resnet18(weights=None, num_classes=len(CLASSES))
        return network
    return Backbone(backbone)


def load_into(network: nn.Module, given: Mapping[str, Tensor], *, where: str) -> None:
    """Copy ``given`` into ``network``; every tensor must be there and fit, except the last layer.

    How many batches were seen (``num_batches_tracked``) is in no formula: old files lack it.

    Raises
    ------
    WeightsError
        If tensors are missing, unknown, of another shape or kind of number, or not finite.
    """
    own = network.state_dict()
    kind = "a ResNet18"
    if isinstance(network, Backbone):
        kind, given = "that network", network.named_as_here(given)
    thousand = _shape(given.get("fc.weight"))[:1] == (1000,)
    kept = {key: value for key, value in given.items() if not (thousand and key in HEAD)}
    needed = {key for key in own if not key.endswith("num_batches_tracked")}
    shared = kept.keys() & own.keys()
    problems = {
        "missing": needed - kept.keys() - set(HEAD if thousand else ()),
        "unknown": kept.keys() - own.keys(),
        "misshapen": {key for key in shared if _shape(kept[key]) != own[key].shape},
    }
    problems["not of this kind of number"] = {
        key for key in shared - problems["misshapen"] if not _is_like(kept[key], own[key])
    }
    like = shared - problems["misshapen"] - problems["not of this kind of number"]
    problems["not finite"] = {
        key for key in like if not bool(torch.isfinite(torch.as_tensor(kept[key])).all())
    }
    problems["variances below zero"] = {
        key
        for key in like
        if key.endswith("running_var") and bool((torch.as_tensor(kept[key]) < 0).any())
    }
    for problem, keys in problems.items():
        if keys:
            first = printable(min(keys), most=80)
            raise WeightsError(
                f"{where}: {len(keys)} tensors are {problem} (first: {first}); "
                f"the weights of {kind} with 1000 or {len(CLASSES)} classes are needed."
            )
    network.load_state_dict({**own, **kept})


def _shape(value: object) -> tuple[int, ...]:
    return tuple(value.shape) if isinstance(value, torch.Tensor) else (-1,)


def _is_like(value: object, own: torch.Tensor) -> bool:
    """Whether both are real floating-point numbers on the CPU, or both whole numbers."""
    return (
        isinstance(value, torch.Tensor)
        and value.layout is torch.strided
        and value.device.type == "cpu"
        and value.dtype in _KINDS[own.dtype.is_floating_point]
    )


_KINDS = {
    True: {torch.float16, torch.bfloat16, torch.float32, torch.float64},
    False: {torch.int32, torch.int64},
}

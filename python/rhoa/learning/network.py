"""ResNet18 with two outputs: building it, and reading weights that cannot run code."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import safetensors
import torch
from safetensors.torch import load_file
from torchvision.models import ResNet18_Weights, resnet18

from rhoa.errors import WeightsError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from os import PathLike

    from torch import Tensor, nn

CLASSES = ("no rHOA", "rHOA")
WEIGHTS_FOLDER_VARIABLE = "RHOA_WEIGHTS_DIR"
WEIGHTS_FILE = "model.safetensors"
_IMAGENET_URL: str = ResNet18_Weights.IMAGENET1K_V1.url
IMAGENET_FILE = _IMAGENET_URL.rpartition("/")[2]  # resnet18-<start of its sha256>.pth
_HEAD = ("fc.weight", "fc.bias")


def build_network(weights: str | PathLike[str] = "none", *, seed: int = 2020) -> nn.Module:
    """A ResNet18 with two outputs (no rHOA, rHOA).

    Parameters
    ----------
    weights
        ``"none"``: random. ``"imagenet"``: torchvision's, from the folder that the environment
        variable RHOA_WEIGHTS_DIR names, else torchvision's own cache or download. A path: a
        ``.safetensors`` file, a run folder of `rhoa.train`, or a PyTorch state dict. Weights of
        1000 classes lose their last layer, which starts at random.
    seed
        Of random weights.

    Raises
    ------
    WeightsError
        If the weights are absent, damaged, not safe to load, or of another network.
    """
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        network: nn.Module = resnet18(weights=None, num_classes=len(CLASSES))
    if weights == "none":
        return network
    if weights == "imagenet":
        _load_into(network, _imagenet(), name=IMAGENET_FILE)
    else:
        path = Path(weights)
        _load_into(network, _read_weights(path), name=path.name)
    return network


def _load_into(network: nn.Module, given: Mapping[str, Any], *, name: str) -> None:
    """Copy ``given`` into ``network``; every tensor must be there and fit, except the last layer.

    How many batches were seen (``num_batches_tracked``) is in no formula: old files lack it.
    """
    own = network.state_dict()
    thousand = _shape(given.get("fc.weight"))[:1] == (1000,)
    kept = {key: value for key, value in given.items() if not (thousand and key in _HEAD)}
    needed = {key for key in own if not key.endswith("num_batches_tracked")}
    missing = sorted(needed - kept.keys() - set(_HEAD if thousand else ()))
    unknown = sorted(kept.keys() - own.keys())
    misfits = sorted(k for k in kept.keys() & own.keys() if _shape(kept[k]) != own[k].shape)
    for keys, problem in ((missing, "missing"), (unknown, "unknown"), (misfits, "misshapen")):
        if keys:
            raise WeightsError(
                f"{name}: {len(keys)} tensors are {problem} (first: {keys[0]}); "
                f"the weights of a ResNet18 with 1000 or {len(CLASSES)} classes are needed."
            )
    network.load_state_dict({**own, **kept})


def _shape(value: object) -> tuple[int, ...]:
    return tuple(value.shape) if isinstance(value, torch.Tensor) else (-1,)


def _imagenet() -> Mapping[str, Any]:
    folder = os.environ.get(WEIGHTS_FOLDER_VARIABLE)
    if folder and (Path(folder) / IMAGENET_FILE).is_file():
        return _read_imagenet(Path(folder) / IMAGENET_FILE)
    try:
        content: Mapping[str, Any] = ResNet18_Weights.IMAGENET1K_V1.get_state_dict(
            progress=False, check_hash=True, weights_only=True
        )
    except (OSError, RuntimeError) as error:
        raise WeightsError(
            f"{IMAGENET_FILE}: the ImageNet weights are neither in the folder {folder or '(unset)'}"
            f" of {WEIGHTS_FOLDER_VARIABLE} nor could they be downloaded ({error}); fetch "
            f"{_IMAGENET_URL} elsewhere and set {WEIGHTS_FOLDER_VARIABLE} to the folder that holds "
            f'{IMAGENET_FILE}, pass weights=PATH, or train from nothing with weights="none".'
        ) from None
    return content


def _read_imagenet(path: Path) -> Mapping[str, Any]:
    expected = path.stem.rpartition("-")[2]
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if not digest.startswith(expected):
        raise WeightsError(
            f"{path.name}: its sha256 begins with {digest[: len(expected)]}, not {expected}: "
            f"the file is damaged or another one; fetch {_IMAGENET_URL} again."
        )
    return _read_weights(path)


def _read_weights(path: Path) -> Mapping[str, Any]:
    if path.is_dir():
        path = path / WEIGHTS_FILE
    if not path.is_file():
        raise WeightsError(
            f'{path.name}: no such weights file; pass "imagenet", "none", a .safetensors file, '
            "a run folder or a PyTorch state dict."
        )
    return read_safetensors(path) if path.suffix == ".safetensors" else _read_state_dict(path)


def read_safetensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file.

    Raises
    ------
    WeightsError
        If it is no such file.
    """
    try:
        content: dict[str, Tensor] = load_file(path)
    except (OSError, safetensors.SafetensorError) as error:
        raise WeightsError(f"{path.name}: not a safetensors file ({error}).") from None
    return content


def _read_state_dict(path: Path) -> Mapping[str, Any]:
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # noqa: BLE001  # a file made to harm may raise anything
        raise WeightsError(
            f"{path.name}: not a state dict of tensors alone ({type(error).__name__}); files that "
            "hold more may run code when loaded: convert them to .safetensors where you trust them."
        ) from None
    if not isinstance(content, dict) or not all(isinstance(key, str) for key in content):
        raise WeightsError(
            f"{path.name}: a state dict (names and tensors) is needed; "
            f"got {type(content).__name__}; save network.state_dict()."
        )
    return content

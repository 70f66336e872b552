"""A trained model on torch: its folder, and the probabilities it gives."""

from __future__ import annotations

import hashlib
import json
import platform
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torchvision
from safetensors.torch import save

from rhoa._core import __version__
from rhoa.errors import ParameterError, WeightsError
from rhoa.files import atomic_write, read_checksummed, shown
from rhoa.learning.data import as_input
from rhoa.learning.grader import (
    CARD_FILE,
    CLASSES,
    IMAGES_AT_ONCE,
    WEIGHTS_FILE,
    SingleModel,
    read_model_card,
)
from rhoa.learning.network import build_network, load_into
from rhoa.learning.preprocessing import WHITE, preprocessing
from rhoa.torch_runtime import choose_device
from rhoa.weights import read_safetensors

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray
    from torch import Tensor, nn

    from rhoa.learning.recipe import Recipe


@dataclass(frozen=True, slots=True, eq=False)
class Model(SingleModel):
    """A trained network that grades crops of hips; `rhoa.load_model` makes one.

    Parameters
    ----------
    network
        With two outputs, in evaluation mode.
    card
        What ``model.json`` says: architecture, sizes, recipe, seed, versions, sha256.
    device
        Where it computes.
    """

    network: nn.Module = field(repr=False)
    card: Mapping[str, Any] = field(repr=False)
    device: torch.device

    def compute(self, levels: NDArray[np.uint8]) -> NDArray[np.float64]:
        """Probabilities ``(n, 2)`` of grey levels ``(n, image_size, image_size)``."""
        return probabilities(self.network, torch.from_numpy(levels), self.device)


def probabilities(network: nn.Module, crops: Tensor, device: torch.device) -> NDArray[np.float64]:
    """Class probabilities ``(n, 2)`` of uint8 ``crops`` ``(n, size, size)``."""
    return as_probabilities(forward(network, crops, device))


def as_probabilities(logits: Tensor) -> NDArray[np.float64]:
    """Softmax of outputs ``(n, 2)``."""
    result: NDArray[np.float64] = logits.double().softmax(dim=1).cpu().numpy()
    return result


def forward(network: nn.Module, crops: Tensor, device: torch.device) -> Tensor:
    """Outputs ``(n, 2)`` of ``network`` in evaluation mode, a few crops at a time, without grad."""
    training = network.training
    network.train(mode=False)
    with torch.inference_mode():
        outputs = [
            network(as_input(some.to(device).float() / WHITE))
            for some in torch.split(crops, IMAGES_AT_ONCE)
        ]
    network.train(mode=training)
    return torch.cat(outputs) if outputs else torch.empty((0, len(CLASSES)))


def load_torch_model(folder: Path, *, device: str) -> Model:
    """The model of a run folder, on torch; see `rhoa.load_model`."""
    card = read_model_card(folder)
    content = read_checksummed(folder, WEIGHTS_FILE, card["weights_sha256"], card=CARD_FILE)
    where = f"{shown(folder)}/{WEIGHTS_FILE}"
    try:
        network = build_network(backbone=card["architecture"])
    except ParameterError as error:
        raise WeightsError(f"{shown(folder)}/{CARD_FILE}: {error}") from None
    load_into(network, read_safetensors(content, where=where), where=where)
    place = choose_device(device)
    network.to(place).train(mode=False)
    return Model(network, MappingProxyType(card), place)


def save_model(
    network: nn.Module, folder: Path, *, recipe: Recipe, seed: int, notes: Mapping[str, Any]
) -> None:
    """Write ``model.safetensors``, then the card that seals it with its sha256."""
    tensors = {key: value.cpu().contiguous() for key, value in network.state_dict().items()}
    weights = save(tensors)
    card = {
        "architecture": recipe.backbone,
        "classes": list(CLASSES),
        "image_size": recipe.image_size,
        "xray_size": recipe.xray_size,
        "preprocessing": preprocessing(image_size=recipe.image_size, xray_size=recipe.xray_size),
        "recipe": recipe.name,
        "seed": seed,
        **notes,
        "versions": {
            "rhoa": __version__,
            "torch": torch.__version__,
            "torchvision": torchvision.__version__,
            "numpy": np.__version__,
            "python": platform.python_version(),
        },
        "weights_sha256": hashlib.sha256(weights).hexdigest(),
    }
    atomic_write(folder / WEIGHTS_FILE, weights)
    atomic_write(folder / CARD_FILE, json.dumps(card, indent=2) + "\n")

"""A trained model on torch: its folder, and the probabilities it gives."""

from __future__ import annotations

import copy
import hashlib
import json
import platform
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torchvision
from safetensors.torch import save

from rhoa._core import __version__
from rhoa._types import Frozen
from rhoa.errors import ParameterError, WeightsError, require_count
from rhoa.files import atomic_write, read_checksummed, shown
from rhoa.learning.data import as_input
from rhoa.learning.grader import (
    CARD_FILE,
    CLASSES,
    IMAGES_AT_ONCE,
    WEIGHTS_FILE,
    Ensemble,
    SingleModel,
    read_model_card,
)
from rhoa.learning.network import build_network, grade_logits, load_into, with_normalisation
from rhoa.learning.preprocessing import WHITE, normalisation_of, preprocessing
from rhoa.torch_runtime import choose_device, sent, whole_float32
from rhoa.weights import read_safetensors

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray
    from torch import Tensor, nn

    from rhoa.learning.recipe import Recipe


@dataclass(frozen=True, slots=True, eq=False)
class Model(SingleModel, Frozen):
    """A trained network that grades crops of hips; `rhoa.load_model` makes one.

    Parameters
    ----------
    network
        In evaluation mode.
    card
        What ``model.json`` says: architecture, sizes, recipe, seed, versions, sha256.
    device
        Where it computes.
    """

    network: nn.Module = field(repr=False)
    card: Mapping[str, Any] = field(repr=False)
    device: torch.device

    def __post_init__(self) -> None:
        object.__setattr__(self, "card", MappingProxyType(dict(self.card)))

    def compute(self, levels: NDArray[np.uint8]) -> NDArray[np.float64]:
        """Probabilities of grey levels, see `SingleModel.compute`."""
        return probabilities(self.network, torch.from_numpy(levels), self.device)


def probabilities(network: nn.Module, crops: Tensor, device: torch.device) -> NDArray[np.float64]:
    """Probabilities of uint8 ``crops`` ``(n, size, size)``, as of `SingleModel.compute`."""
    return as_probabilities(forward(network, crops, device))


def as_probabilities(outputs: Tensor) -> NDArray[np.float64]:
    """Probabilities of a saved network's outputs, as of `SingleModel.compute`."""
    wide = outputs.cpu().double()  # not every GPU has float64
    parts = (wide,) if wide.shape[1] == len(CLASSES) else grade_logits(wide)
    result: NDArray[np.float64] = torch.cat([p.softmax(dim=1) for p in parts], dim=1).numpy()
    return result


def forward(network: nn.Module, crops: Tensor, device: torch.device) -> Tensor:
    """Outputs of ``network`` in evaluation mode, a few crops at a time, without grad."""
    training = network.training
    network.train(mode=False)
    with torch.inference_mode(), whole_float32():
        outputs = [
            network(as_input(sent(some, device).float() / WHITE))
            for some in torch.split(crops, IMAGES_AT_ONCE)
        ]
    network.train(mode=training)
    return (
        torch.cat(outputs) if outputs else torch.empty((0, len(network.get_parameter("fc.bias"))))
    )


def monte_carlo_dropout(model: Model, *, samples: int = 16, seed: int = 2020) -> Ensemble:
    """Networks that each lack some of the features of ``model``, as in its training.

    Their `Grader.draws` measure how far the model's own uncertainty moves its answer. Each network
    drops the same features of every hip, so that a hip's draws do not depend on its company.

    Parameters
    ----------
    model
        Of `rhoa.load_model`, on torch, trained with ``Recipe.dropout``.
    samples
        How many networks.
    seed
        Of the features that are dropped.

    Raises
    ------
    ParameterError
        If it was trained without dropout: what training did not see measures nothing it learned.

    References
    ----------
    Gal and Ghahramani 2016, Dropout as a Bayesian approximation: representing model uncertainty in
    deep learning.
    """
    share = model.card.get("dropout", 0.0)
    if not (isinstance(share, float) and 0 < share < 1):
        raise ParameterError(
            "the model was trained without dropout; train one with dropout=0.2 (rhoa train --set "
            "dropout=0.2), or use an ensemble or several views."
        )
    weight = model.network.get_parameter("fc.weight").detach()
    shared = {id(part): part for name, part in model.network.named_children() if name != "fc"}
    random = np.random.default_rng(seed)
    members = []
    for _ in range(require_count("samples", samples)):
        network = copy.deepcopy(model.network, dict(shared))  # all but the last layer is shared
        kept = torch.from_numpy(random.random(weight.shape[1]) >= share).to(model.device)
        network.get_parameter("fc.weight").data = weight * kept / (1 - share)
        members.append(replace(model, network=network))
    return Ensemble(members)


def load_torch_model(folder: Path, *, device: str) -> Model:
    """The model of a run folder, on torch; see `rhoa.load_model`."""
    card = read_model_card(folder)
    content = read_checksummed(folder, WEIGHTS_FILE, card["weights_sha256"], card=CARD_FILE)
    where = f"{shown(folder)}/{WEIGHTS_FILE}"
    given = read_safetensors(content, where=where)
    try:
        network = build_network(
            backbone=card["architecture"], outputs=card.get("outputs", len(CLASSES))
        )
    except ParameterError as error:
        raise WeightsError(f"{shown(folder)}/{CARD_FILE}: {error}") from None
    load_into(network, given, where=where)
    if (normalisation := normalisation_of(card.get("preprocessing"))) is not None:
        with_normalisation(network, *normalisation)
    place = choose_device(device)
    network.to(place).train(mode=False)
    return Model(network, card, place)


def save_model(
    network: nn.Module, folder: Path, *, recipe: Recipe, seed: int, notes: Mapping[str, Any]
) -> None:
    """Write ``model.safetensors``, then the card that seals it with its sha256."""
    tensors = {key: value.cpu().contiguous() for key, value in network.state_dict().items()}
    weights = save(tensors)
    normalised = getattr(network, "normalisation", None)
    normalisation = None if normalised is None else (normalised.mean, normalised.std)
    applied = preprocessing(
        image_size=recipe.image_size, xray_size=recipe.xray_size, normalisation=normalisation
    )
    card = {
        "architecture": recipe.backbone,
        "classes": list(CLASSES),
        "target": recipe.target,
        "outputs": len(tensors["fc.bias"]),
        "dropout": recipe.dropout,
        "image_size": recipe.image_size,
        "xray_size": recipe.xray_size,
        "preprocessing": applied,
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

"""A trained model: its folder, and the probabilities it gives."""

from __future__ import annotations

import hashlib
import json
import platform
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torchvision
from safetensors.torch import save

from rhoa._core import __version__
from rhoa.devices import choose_device
from rhoa.errors import WeightsError, require_count
from rhoa.learning.dataset import WHITE, as_input, prepare, require_grey
from rhoa.learning.network import CLASSES, WEIGHTS_FILE, build_network
from rhoa.writing import atomic_write

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from os import PathLike

    from numpy.typing import ArrayLike, NDArray
    from torch import Tensor, nn

    from rhoa.learning.recipes import Recipe

CARD_FILE = "model.json"
IMAGES_AT_ONCE = 64


@dataclass(frozen=True, slots=True, eq=False)
class Model:
    """A trained network that grades crops of hips; `load_model` makes one.

    Parameters
    ----------
    network
        ResNet18 with two outputs, in evaluation mode.
    card
        What ``model.json`` says: architecture, sizes, recipe, seed, versions, sha256.
    device
        Where it computes.
    """

    network: nn.Module = field(repr=False)
    card: Mapping[str, Any] = field(repr=False)
    device: torch.device

    def predict_proba(
        self, images: Sequence[ArrayLike], *, batch: int = IMAGES_AT_ONCE
    ) -> NDArray[np.float64]:
        """Probabilities ``(n, 2)`` of no rHOA and rHOA; each row sums to one.

        Parameters
        ----------
        images
            Crops of hips, each a 2-D array of grey levels, 0 (black) to 255, of any size; right
            hips mirrored, as `rhoa.hips.crop` makes them.
        batch
            Images computed at once.

        Raises
        ------
        ParameterError
            If an image is not 2-D or its levels are not of that range.
        """
        require_count("batch", batch)
        size, xray_size = self.card["image_size"], self.card["xray_size"]
        scores = np.empty((len(images), len(CLASSES)))
        for start in range(0, len(images), batch):
            levels = [
                prepare(
                    require_grey(image, where=f"image {start + number}"),
                    image_size=size,
                    xray_size=xray_size,
                )
                for number, image in enumerate(images[start : start + batch])
            ]
            crops = torch.from_numpy(np.stack(levels))
            scores[start : start + batch] = probabilities(self.network, crops, self.device)
        return scores


def probabilities(network: nn.Module, crops: Tensor, device: torch.device) -> NDArray[np.float64]:
    """Class probabilities ``(n, 2)`` of uint8 ``crops`` ``(n, size, size)``."""
    logits = forward(network, crops, device)
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


def load_model(folder: str | PathLike[str], *, device: str = "auto") -> Model:
    """The model of a run folder of `rhoa.train`.

    Parameters
    ----------
    folder
        Holds ``model.json`` and ``model.safetensors``.
    device
        ``"auto"``: a GPU where there is one; else a name that torch knows (``"cpu"``).

    Raises
    ------
    WeightsError
        If a file is absent or damaged, or the weights are not the ones the card describes.
    """
    folder = Path(folder)
    card = _read_card(folder / CARD_FILE)
    weights = folder / WEIGHTS_FILE
    if not weights.is_file():
        raise WeightsError(f"{folder.name}: no {WEIGHTS_FILE} in it; pass a run folder.")
    if hashlib.sha256(weights.read_bytes()).hexdigest() != card["weights_sha256"]:
        raise WeightsError(
            f"{folder.name}: {WEIGHTS_FILE} is not the file that {CARD_FILE} describes "
            "(sha256 differs); train again or restore the folder."
        )
    place = choose_device(device)
    network = build_network(weights).to(place)
    network.train(mode=False)
    return Model(network, MappingProxyType(card), place)


def _read_card(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise WeightsError(f"{path.parent.name}: no {path.name} in it; pass a run folder.")
    try:
        card: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise WeightsError(f"{path.name}: not a JSON file ({error}).") from None
    kinds = {
        "architecture": str,
        "image_size": int,
        "xray_size": int | None,
        "weights_sha256": str,
    }
    wrong = [
        name
        for name, kind in kinds.items()
        if not isinstance(card, dict) or name not in card or not isinstance(card[name], kind)
    ]
    if wrong:
        raise WeightsError(f"{path.name}: lacks {', '.join(wrong)}; pass a run folder.")
    sizes = (card["image_size"], card["xray_size"] or 1)
    if card["architecture"] != "resnet18" or min(sizes) < 1:
        raise WeightsError(
            f"{path.name}: a resnet18 with sizes in pixels is needed; got "
            f"{card['architecture']!r}, image_size {sizes[0]}, xray_size {card['xray_size']}."
        )
    return card


def save_model(
    network: nn.Module, folder: Path, *, recipe: Recipe, seed: int, notes: Mapping[str, Any]
) -> None:
    """Write ``model.safetensors``, then the card that seals it with its sha256."""
    tensors = {key: value.cpu().contiguous() for key, value in network.state_dict().items()}
    weights = save(tensors)
    card = {
        "architecture": "resnet18",
        "classes": list(CLASSES),
        "image_size": recipe.image_size,
        "xray_size": recipe.xray_size,
        "recipe": recipe.name,
        "seed": seed,
        **notes,
        "versions": _versions(),
        "weights_sha256": hashlib.sha256(weights).hexdigest(),
    }
    atomic_write(folder / WEIGHTS_FILE, weights)
    atomic_write(folder / CARD_FILE, json.dumps(card, indent=2) + "\n")


def _versions() -> dict[str, str]:
    return {
        "rhoa": __version__,
        "torch": torch.__version__,
        "torchvision": torchvision.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
    }

"""A detector of hips in X-rays and CT-APs: Faster R-CNN on halves that look like left hips."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torchvision
from safetensors.torch import save

from rhoa._core import __version__
from rhoa.devices import choose_device
from rhoa.errors import ParameterError, WeightsError
from rhoa.hips.boxes import Box, squared
from rhoa.hips.detector_network import MEAN, STD, WHITE, Architecture, as_input, build_detector
from rhoa.hips.examples import halves_seen
from rhoa.radiograph import Radiograph
from rhoa.reading.bounded import shown
from rhoa.sealed import read_card, read_sealed
from rhoa.weights import read_safetensors
from rhoa.writing import atomic_write

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from os import PathLike

    from numpy.typing import ArrayLike, NDArray
    from torch import nn

    from rhoa.hips.coco import Shows
    from rhoa.pose.sides import Side

CARD_FILE = "detector.json"
WEIGHTS_FILE = "detector.safetensors"
SURE = 0.5
OTHER_LOOKS = (1.5, 0.67)
"""Exponents of grey levels, at the ends of what training changes them by."""


@dataclass(frozen=True, slots=True, eq=False)
class HipDetector:
    """Faster R-CNN that finds hips; `train_detector` trains one, `load` reads one.

    Examples
    --------
    >>> import numpy as np
    >>> from rhoa.hips.detector_network import Architecture
    >>> untrained = HipDetector.untrained(Architecture("alexnet", 64))
    >>> sorted(untrained.detect(np.random.default_rng(0).normal(size=(90, 140))))
    ['left', 'right']
    """

    network: nn.Module = field(repr=False)
    architecture: Architecture
    notes: Mapping[str, Any] = field(repr=False)
    """How it was trained, and what it gave on held-out halves."""
    device: torch.device

    @classmethod
    def untrained(cls, architecture: Architecture, *, seed: int = 2020) -> HipDetector:
        """A detector of random weights, on the CPU."""
        network = build_detector(architecture, seed=seed)
        network.train(mode=False)
        return cls(network, architecture, {"seed": seed}, torch.device("cpu"))

    def detect(
        self, image: Radiograph | ArrayLike, *, shows: Shows = "pelvis", clip: bool = True
    ) -> dict[Side, Box]:
        """The hip of each half of an image, the surest box of it.

        Parameters
        ----------
        image
            A `Radiograph` as `rhoa.hips.read_xray` or `rhoa.ctap` makes it, or a 2-D array, bone
            bright, the patient's right at column 0.
        shows
            ``"pelvis"``: halves are cut at the vertical midline and the right one is mirrored; an
            X-ray of one hip is taken whole. ``"half"``: one hip that looks like a left one.
        clip
            Whether to clip boxes to squares, as the paper did.

        Returns
        -------
        dict
            ``{"left": Box, "right": Box}``, sides of the patient, in pixel edges of the image. The
            score is the box's ``confidence``. A half in which nothing scores 0.05 is absent.

        Raises
        ------
        ParameterError
            If the image is not 2-D or far too long, or an X-ray that may be of one hip or of two
            (`read_xray` tells, and takes ``side=``).
        """
        pixel_mm = image.pixel_mm if isinstance(image, Radiograph) else (1.0, 1.0)
        found = {}
        for half in halves_seen(image, image_size=self.architecture.image_size, shows=shows):
            boxes = self.candidates(half.pixels)
            if boxes:
                box = half.to_image(boxes[0])
                found[half.side] = squared(box, pixel_mm) if clip else box
        return found

    def candidates(self, pixels: NDArray[np.uint8]) -> list[Box]:
        """All boxes of a half at the network's size, the surest first.

        Air beside a large patient takes up the range of grey levels and leaves the hip pale. Where
        nothing is sure, the half is looked at again, darker and brighter, and the surest look
        counts.
        """
        boxes = self._look(pixels)
        for gamma in OTHER_LOOKS:
            if _surest(boxes) >= SURE:
                break
            levels = WHITE * (pixels / np.float32(WHITE)) ** np.float32(gamma) + 0.5
            boxes = max(boxes, self._look(levels.astype(np.uint8)), key=_surest)
        return boxes

    def _look(self, pixels: NDArray[np.uint8]) -> list[Box]:
        with torch.inference_mode():
            result = self.network([as_input(pixels).to(self.device)])[0]
        corners, scores = result["boxes"].cpu().tolist(), result["scores"].cpu().tolist()
        boxes = [
            Box("left", top, left, bottom, right, score)
            for (left, top, right, bottom), score in zip(corners, scores, strict=True)
            if top < bottom and left < right
        ]
        return sorted(boxes, key=lambda box: -(box.confidence or 0.0))

    def save(self, folder: str | PathLike[str]) -> Path:
        """Write ``detector.safetensors``, then the card that seals it with its sha256."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        tensors = {
            key: value.cpu().contiguous() for key, value in self.network.state_dict().items()
        }
        weights = save(tensors)
        card = {
            "architecture": asdict(self.architecture),
            "normalisation": {"mean": MEAN, "std": STD},
            **self.notes,
            "versions": {
                "rhoa": __version__,
                "torch": torch.__version__,
                "torchvision": torchvision.__version__,
            },
            "weights_sha256": hashlib.sha256(weights).hexdigest(),
        }
        atomic_write(folder / WEIGHTS_FILE, weights)
        atomic_write(folder / CARD_FILE, json.dumps(card, indent=2) + "\n")
        return folder

    @classmethod
    def load(cls, folder: str | PathLike[str], *, device: str = "auto") -> HipDetector:
        """The detector of a folder that `save` wrote.

        Raises
        ------
        WeightsError
            If a file is absent or damaged, or the weights are not the ones the card describes.
        """
        folder = Path(folder)
        card = _read_card(folder)
        architecture = _architecture(card, f"{shown(folder)}/{CARD_FILE}")
        network = build_detector(architecture)
        _load_into(network, _read_weights(folder, card["weights_sha256"]), shown(folder))
        place = choose_device(device)
        network.to(place).train(mode=False)
        told = {"architecture", "normalisation", "versions", "weights_sha256"}
        notes = {name: value for name, value in card.items() if name not in told}
        return cls(network, architecture, notes, place)


def _surest(boxes: Sequence[Box]) -> float:
    """The score of the first box; 0 where there is none."""
    return (boxes[0].confidence or 0.0) if boxes else 0.0


def _read_card(folder: Path) -> dict[str, Any]:
    kinds = {"architecture": dict, "weights_sha256": str}
    card = read_card(folder, CARD_FILE, kinds, what="a folder of a detector")
    if card.get("normalisation") != {"mean": list(MEAN), "std": list(STD)}:
        raise WeightsError(
            f"{shown(folder)}/{CARD_FILE}: its normalisation is not the one that rhoa applies."
        )
    return card


def _architecture(card: Mapping[str, Any], where: str) -> Architecture:
    given = dict(card["architecture"])
    names = {one.name for one in fields(Architecture)}
    if set(given) != names:
        raise WeightsError(f"{where}: its architecture must tell {', '.join(sorted(names))}.")
    try:
        given |= {name: tuple(given[name]) for name in ("anchors_px", "aspects")}
        return Architecture(**given)
    except (ParameterError, TypeError) as error:
        raise WeightsError(f"{where}: {error}") from None


def _read_weights(folder: Path, sha256: str) -> dict[str, torch.Tensor]:
    content = read_sealed(folder, WEIGHTS_FILE, sha256, card=CARD_FILE)
    return read_safetensors(content, where=f"{shown(folder)}/{WEIGHTS_FILE}")


def _load_into(network: nn.Module, given: Mapping[str, torch.Tensor], where: str) -> None:
    own = network.state_dict()
    missing, unknown = sorted(own.keys() - given.keys()), sorted(given.keys() - own.keys())
    shared = own.keys() & given.keys()
    misfits = sorted(k for k in shared if own[k].shape != given[k].shape)
    strange = sorted(k for k in shared if not torch.isfinite(given[k]).all())
    for keys, problem in (
        *((missing, "missing"), (unknown, "unknown")),
        *((misfits, "misshapen"), (strange, "not finite")),
    ):
        if keys:
            raise WeightsError(
                f"{where}: {len(keys)} tensors are {problem} (first: {keys[0]}); "
                "the card describes another network: train again or restore the folder."
            )
    network.load_state_dict(dict(given))

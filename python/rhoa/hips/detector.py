"""A detector of hips in X-rays and CT-APs: Faster R-CNN on halves like left hips."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
import torchvision
from safetensors.torch import save
from torch import nn
from torchvision.models import alexnet, mobilenet_v3_large
from torchvision.models.detection import (
    FasterRCNN,
    fasterrcnn_mobilenet_v3_large_320_fpn,
)
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.backbone_utils import BackboneWithFPN
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.rpn import RPNHead
from torchvision.ops import MultiScaleRoIAlign

from rhoa._core import __version__
from rhoa.errors import ParameterError, WeightsError, require_choice, require_count
from rhoa.files import atomic_write, read_card, read_checksummed, shown
from rhoa.hips.detector_data import halves_seen
from rhoa.radiograph import Box, Radiograph, squared
from rhoa.torch_runtime import choose_device
from rhoa.weights import read_safetensors, read_tensors

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from os import PathLike

    from numpy.typing import ArrayLike, NDArray

    from rhoa._types import Side
    from rhoa.hips.annotations import Shows


# Faster R-CNN for hips: torchvision's, a small network for CPUs, and the paper's.

Backbone = Literal["mobilenet_v3_large_320_fpn", "mobilenet_v3_large_fpn", "alexnet"]
IMAGE_SIZES: dict[Backbone, int] = {
    "mobilenet_v3_large_320_fpn": 320,
    "mobilenet_v3_large_fpn": 128,
    "alexnet": 128,
}
"""Pixels of the shorter side of a half that each was made for."""
BACKBONES = tuple(IMAGE_SIZES)
WHITE = 255
SMALLEST_IMAGE = 64
CLASSES = 2  # nothing, and hip

# ImageNet's colours, which pretrained weights expect.
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
LEAST_SCORE = 0.05
ALEXNET_CHANNELS, SMALL_CHANNELS = 256, 64
SMALL_LAYERS = 13
"""Of MobileNet, up to strides of 16: hips fill a third of a half; coarser levels are of no use."""
SMALL_WIDTH = 256
POOL = 7
# A half has one hip: a few regions are enough, and train faster than torchvision's thousands.
REGIONS_TRAIN, REGIONS_TEST = 100, 50
SAMPLES_RPN, SAMPLES_HEAD = 64, 32
LIMITS: dict[str, Any] = {
    "rpn_pre_nms_top_n_train": 4 * REGIONS_TRAIN,
    "rpn_pre_nms_top_n_test": 4 * REGIONS_TEST,
    "rpn_post_nms_top_n_train": REGIONS_TRAIN,
    "rpn_post_nms_top_n_test": REGIONS_TEST,
    "rpn_batch_size_per_image": SAMPLES_RPN,
    "rpn_score_thresh": 0.0,
    "box_batch_size_per_image": SAMPLES_HEAD,
    "box_score_thresh": LEAST_SCORE,
    "box_detections_per_img": 10,
}
_BODY = "backbone."
_OWN_HEADS = ("rpn.head.cls_logits.", "rpn.head.bbox_pred.", "roi_heads.box_predictor.")
"""Of rhoa's anchors and classes: weights of others do not fit them."""


@dataclass(frozen=True, slots=True)
class Architecture:
    """What a detector's network is made of.

    Parameters
    ----------
    backbone
        ``"mobilenet_v3_large_320_fpn"``: what torchvision builds under this name, which takes its
        COCO weights; ``"mobilenet_v3_large_fpn"``: MobileNet up to strides of 16 with a narrow
        pyramid and head, which learns in a minute or two on a CPU; ``"alexnet"``, the paper's.
    image_size
        Pixels of the shorter side of a half, as the network sees it. Torchvision's network has
        strides of 32 and was made for 320 and more.
    anchors_px
        Sides of the anchors, at that size; each on every level.
    aspects
        Height over width of the anchors.
    """

    backbone: Backbone = BACKBONES[0]
    image_size: int = IMAGE_SIZES[BACKBONES[0]]
    anchors_px: tuple[int, ...] = (100, 140, 200)
    aspects: tuple[float, ...] = (1.0,)

    def __post_init__(self) -> None:
        require_choice("backbone", self.backbone, BACKBONES)
        require_count("image_size", self.image_size, least=SMALLEST_IMAGE)
        for pixels in self.anchors_px:
            require_count("anchors_px", pixels)
        if not self.anchors_px or not self.aspects or min(self.aspects) <= 0:
            raise ParameterError("anchors need sizes and positive aspects; got none.")


def build_detector(
    architecture: Architecture, *, weights: Path | None = None, seed: int = 2020
) -> FasterRCNN:
    """The network, for nothing and hip, with anchors of its own.

    Parameters
    ----------
    architecture
        What it is made of.
    weights
        A ``.safetensors`` file or a PyTorch state dict with torchvision's names: of the whole
        detector (COCO), or of the classifier that its backbone was taken from (ImageNet). What
        belongs to other classes and anchors is left out. None: all weights are random.
    seed
        Of random weights.

    Raises
    ------
    WeightsError
        If the weights are absent, damaged, not safe to load, or of another network.
    """
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        network = _BUILDERS[architecture.backbone](architecture)
    network.transform.image_mean, network.transform.image_std = list(MEAN), list(STD)
    if weights is not None:
        start_from(network, weights)
    return network


def as_input(pixels: NDArray[np.uint8]) -> torch.Tensor:
    """Grey levels as three equal colours in 0 to 1."""
    return (torch.from_numpy(pixels).float() / WHITE).expand(3, -1, -1)


def _small(architecture: Architecture) -> FasterRCNN:
    body = BackboneWithFPN(
        mobilenet_v3_large(weights=None).features[:SMALL_LAYERS],
        {"6": "0", "12": "1"},
        [40, 112],
        SMALL_CHANNELS,
    )
    return FasterRCNN(
        body,
        rpn_anchor_generator=_anchors(architecture, levels=3),
        box_roi_pool=MultiScaleRoIAlign(["0", "1"], POOL, sampling_ratio=2),
        box_head=TwoMLPHead(SMALL_CHANNELS * POOL**2, SMALL_WIDTH),
        box_predictor=FastRCNNPredictor(SMALL_WIDTH, CLASSES),
        **_sizes(architecture),
        **LIMITS,
    )


def _mobilenet(architecture: Architecture) -> FasterRCNN:
    network: FasterRCNN = fasterrcnn_mobilenet_v3_large_320_fpn(
        weights=None,
        weights_backbone=None,
        num_classes=CLASSES,
        **_sizes(architecture),
        **LIMITS,
    )
    anchors = _anchors(architecture, levels=3)
    count = anchors.num_anchors_per_location()[0]
    network.rpn.anchor_generator = anchors
    network.rpn.head = RPNHead(network.backbone.out_channels, count)
    return network


def _alexnet(architecture: Architecture) -> FasterRCNN:
    with torch.device("meta"):  # its classifier, 55 of 58 million weights, is never made
        body = alexnet(weights=None).features[:-1]  # without the last pooling: strides of 16
    body.to_empty(device="cpu")
    for layer in body:  # torchvision's own random weights are too small to learn from
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
    body.out_channels = ALEXNET_CHANNELS
    return FasterRCNN(
        body,
        CLASSES,
        rpn_anchor_generator=_anchors(architecture, levels=1),
        box_roi_pool=MultiScaleRoIAlign(["0"], POOL, sampling_ratio=2),
        **_sizes(architecture),
        **LIMITS,
    )


_BUILDERS = {
    "mobilenet_v3_large_fpn": _small,
    "mobilenet_v3_large_320_fpn": _mobilenet,
    "alexnet": _alexnet,
}


def _sizes(architecture: Architecture) -> dict[str, int]:
    return {"min_size": architecture.image_size, "max_size": 8 * architecture.image_size}


def _anchors(architecture: Architecture, levels: int) -> AnchorGenerator:
    return AnchorGenerator((architecture.anchors_px,) * levels, (architecture.aspects,) * levels)


def start_from(network: FasterRCNN, path: Path) -> None:
    """Copy the weights of a torchvision detector, or of a classifier's features, where they fit.

    Raises
    ------
    WeightsError
        If the file is absent or damaged, or weights that are needed are not in it.
    """
    if not path.is_file():
        raise WeightsError(
            f"{shown(path)}: no such weights file; pass a .safetensors file or a PyTorch state "
            "dict with torchvision's names."
        )
    own = network.state_dict()
    body = "backbone.body." if any(name.startswith("backbone.body.") for name in own) else _BODY
    given = read_tensors(path, where=shown(path))
    if not any(name.startswith(_BODY) for name in given):
        # A classifier calls its layers features.0 and so on.
        given = {body + name.removeprefix("features."): value for name, value in given.items()}
    whole = any(name.startswith("roi_heads.") for name in given)
    needed = {
        name
        for name in own
        if (whole or name.startswith(body))
        and not name.startswith(_OWN_HEADS)
        and not name.endswith("num_batches_tracked")  # in no formula; frozen layers lack it
    }
    wrong = sorted(
        name for name in needed if name not in given or given[name].shape != own[name].shape
    )
    if wrong:
        raise WeightsError(
            f"{shown(path)}: {len(wrong)} of {len(needed)} tensors are missing or misshapen "
            f"(first: {wrong[0]}); weights of torchvision's network of the same name are needed."
        )
    network.load_state_dict(own | {name: given[name] for name in needed})


# A detector of hips in X-rays and CT-APs: Faster R-CNN on halves that look like left hips.

CARD_FILE = "detector.json"
WEIGHTS_FILE = "detector.safetensors"
SURE = 0.5
OTHER_GAMMAS = (1.5, 0.67)
"""Exponents of grey levels, at the ends of what training changes them by."""


@dataclass(frozen=True, slots=True, eq=False)
class HipDetector:
    """Faster R-CNN that finds hips; `train_detector` trains one, `load` reads one.

    Examples
    --------
    >>> import numpy as np
    >>> from rhoa.hips.detector import Architecture
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

    def detect(self, image: Radiograph | ArrayLike, *, shows: Shows = "pelvis") -> dict[Side, Box]:
        """The hip of each half of an image, the surest box of it, clipped to a square.

        Parameters
        ----------
        image
            A `Radiograph` as `rhoa.hips.read_xray` or `rhoa.ctap` makes it, or a 2-D array, bone
            bright, the patient's right at column 0.
        shows
            ``"pelvis"``: halves are cut at the vertical midline and the right one is mirrored; an
            X-ray of one hip is taken whole. ``"half"``: one hip that looks like a left one.

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
                found[half.side] = squared(half.to_image(boxes[0]), pixel_mm)
        return found

    def candidates(self, pixels: NDArray[np.uint8]) -> list[Box]:
        """All boxes of a half at the network's size, the surest first.

        Air beside a large patient takes up the range of grey levels and leaves the hip pale. Where
        nothing is sure, the network also sees the half darker and brighter, and the surest
        result counts.
        """
        boxes = self._boxes(pixels)
        for gamma in OTHER_GAMMAS:
            if _surest(boxes) >= SURE:
                break
            levels = WHITE * (pixels / np.float32(WHITE)) ** np.float32(gamma) + 0.5
            boxes = max(boxes, self._boxes(levels.astype(np.uint8)), key=_surest)
        return boxes

    def _boxes(self, pixels: NDArray[np.uint8]) -> list[Box]:
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
        kinds = {"architecture": dict, "weights_sha256": str}
        card = read_card(folder, CARD_FILE, kinds, what="a folder of a detector")
        where = f"{shown(folder)}/{CARD_FILE}"
        if card.get("normalisation") != {"mean": list(MEAN), "std": list(STD)}:
            raise WeightsError(f"{where}: its normalisation is not the one that rhoa applies.")
        architecture = _architecture(card, where)
        content = read_checksummed(folder, WEIGHTS_FILE, card["weights_sha256"], card=CARD_FILE)
        weights = read_safetensors(content, where=f"{shown(folder)}/{WEIGHTS_FILE}")
        network = build_detector(architecture)
        _load_into(network, weights, shown(folder))
        place = choose_device(device)
        network.to(place).train(mode=False)
        of_card = {"architecture", "normalisation", "versions", "weights_sha256"}
        notes = {name: value for name, value in card.items() if name not in of_card}
        return cls(network, architecture, notes, place)


def _surest(boxes: Sequence[Box]) -> float:
    """The score of the first box; 0 where there is none."""
    return (boxes[0].confidence or 0.0) if boxes else 0.0


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

"""Training a hip detector: one loop, straight down."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from rhoa.errors import (
    ParameterError,
    RhoaError,
    require_choice,
    require_count,
    require_positive,
)
from rhoa.files import shown
from rhoa.hips.bounding_boxes import agreement
from rhoa.hips.detector import (
    BACKBONES,
    IMAGE_SIZES,
    Architecture,
    HipDetector,
    as_input,
    build_detector,
)
from rhoa.hips.detector_data import Example, changed
from rhoa.torch_runtime import choose_device, deterministic

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from os import PathLike

    from torchvision.models.detection import FasterRCNN

    from rhoa.hips.detector import Backbone

    Progress = Callable[[int, int, str], None]

WARM_UP = 0.1
"""Of the iterations, in which the learning rate rises."""
LARGEST_GRADIENT = 5.0
ANCHOR_QUANTILES = (0.05, 0.5, 0.95)


@dataclass(frozen=True, slots=True)
class DetectorOptions:
    """How a detector is trained.

    Parameters
    ----------
    backbone
        The network, one of `rhoa.hips.detector.BACKBONES`.
    image_size
        Pixels of the shorter side of the halves it sees; None: 320 for torchvision's two networks,
        128 for the others.
    epochs
        Passes over the training halves.
    batch
        Halves at once.
    learning_rate
        Of Adam; it rises over the first tenth of the iterations, then falls along a cosine.
    test_share
        Of the groups, held out and measured at the end.
    """

    backbone: Backbone = BACKBONES[0]
    image_size: int | None = None
    epochs: int = 20
    batch: int = 4
    learning_rate: float = 1e-3
    test_share: float = 0.1

    def __post_init__(self) -> None:
        require_choice("backbone", self.backbone, BACKBONES)
        require_count("epochs", self.epochs)
        require_count("batch", self.batch)
        require_positive("learning_rate", self.learning_rate)
        if not 0 <= self.test_share < 1:
            raise ParameterError(f"test_share must be from 0 to below 1; got {self.test_share!r}.")

    @property
    def side_px(self) -> int:
        """Pixels of the shorter side of a half."""
        return IMAGE_SIZES[self.backbone] if self.image_size is None else self.image_size


def train_detector(
    examples: Sequence[Example],
    options: DetectorOptions | None = None,
    *,
    weights: str | PathLike[str] | None = None,
    seed: int = 2020,
    device: str = "auto",
    progress: Progress | None = None,
) -> HipDetector:
    """A detector trained on nine in ten of the subjects and measured on the others.

    Anchors take the sizes and the aspect of the training boxes, as the paper's did. Each half is
    moved, zoomed and changed in contrast by a new draw in every epoch. On one machine's CPU, with
    one number of threads, one seed gives one set of weights.

    Parameters
    ----------
    examples
        Halves with their boxes, as `as_examples` and `read_examples` make them at
        ``options.side_px``.
    options
        Default: `DetectorOptions()`.
    weights
        What to start from: a file of torchvision's weights of the network of this name (COCO), or
        of the classifier that its backbone is (ImageNet); ``.safetensors`` or a PyTorch state dict.
        None: from random weights. Nothing is downloaded.
    seed
        Of weights, split, order and changes.
    device
        ``"auto"``: a GPU where there is one; else a name that torch knows.
    progress
        Called as ``progress(done, total, text)`` after each iteration.

    Returns
    -------
    HipDetector
        Its card tells what the held-out halves gave: ``average_precision``, ``f1``, ``iou_mean``
        and so on.

    Raises
    ------
    ParameterError
        If there is no example to train on, or examples are of another size.
    WeightsError
        If the weights cannot be used.
    RhoaError
        If the loss is no longer finite.

    References
    ----------
    Gebre et al. 2022, "Cropping and contrast adjustment of hip joints": 2700 halves of X-rays and
    CT-APs for training, 300 for test.
    """
    options = options or DetectorOptions()
    require_count("seed", seed, least=0)
    for number, example in enumerate(examples, 1):
        if min(example.pixels.shape) != options.side_px:
            raise ParameterError(
                f"example {number}: its shorter side has {min(example.pixels.shape)} pixels; make "
                f"examples with image_size={options.side_px}."
            )
    kept, held_out = split(examples, options.test_share, seed)
    if not kept:
        raise ParameterError("no labelled half is left to train on; label more images.")
    architecture = fitted(kept, options)
    place = choose_device(device)
    with deterministic(seed, place):
        start = None if weights is None else Path(weights)
        network = build_detector(architecture, weights=start, seed=seed).to(place)
        loss = _fit(network, kept, options, seed=seed, progress=progress)
    detector = HipDetector(network, architecture, {}, place)
    measured = measure(detector, held_out)
    notes = {
        "seed": seed,
        "started_from": "random weights" if start is None else shown(start),
        "options": asdict(options),
        "halves": {"train": len(kept), "test": len(held_out)},
        "train_loss": loss,
        "test": measured,
    }
    return HipDetector(network, architecture, notes, place)


def split(
    examples: Sequence[Example], share: float, seed: int
) -> tuple[list[Example], list[Example]]:
    """Examples to train on and to test: whole groups, ``share`` of them for the test."""
    groups = sorted({example.group for example in examples})
    count = round(share * len(groups)) if len(groups) > 1 else 0
    if share > 0 and len(groups) > 1:
        count = min(max(count, 1), len(groups) - 1)
    chosen = np.random.default_rng(seed).permutation(len(groups))[:count]
    out = {groups[number] for number in chosen}
    return [e for e in examples if e.group not in out], [e for e in examples if e.group in out]


def fitted(examples: Sequence[Example], options: DetectorOptions) -> Architecture:
    """The architecture whose anchors have the sizes and the aspect of the boxes."""
    sizes = [math.sqrt(e.box.height * e.box.width) for e in examples]
    anchors = sorted({max(8, round(size)) for size in np.quantile(sizes, ANCHOR_QUANTILES)})
    aspect = float(np.median([e.box.height / e.box.width for e in examples]))
    return Architecture(options.backbone, options.side_px, tuple(anchors), (round(aspect, 3),))


def measure(detector: HipDetector, examples: Sequence[Example]) -> dict[str, float | int | None]:
    """Agreement of a detector with examples it has not seen; None where nothing defines it."""
    found = [detector.candidates(example.pixels) for example in examples]
    result = agreement([[example.box] for example in examples], found)
    values = {name: getattr(result, name) for name in type(result).__slots__}
    return {name: None if math.isnan(value) else value for name, value in values.items()}


def _fit(
    network: FasterRCNN,
    examples: Sequence[Example],
    options: DetectorOptions,
    *,
    seed: int,
    progress: Progress | None,
) -> float:
    """Train ``network`` in place; the mean loss of the last epoch."""
    random = np.random.default_rng(seed)
    batches = math.ceil(len(examples) / options.batch)
    total = batches * options.epochs
    optimizer = torch.optim.AdamW(network.parameters(), lr=options.learning_rate, weight_decay=1e-4)
    done, losses = 0, [0.0]
    network.train()
    for epoch in range(1, options.epochs + 1):
        losses = []
        order = random.permutation(len(examples))
        for members in np.array_split(order, batches):
            for group in optimizer.param_groups:
                group["lr"] = options.learning_rate * pace(done, total)
            batch = [changed(examples[member], random) for member in members]
            loss = sum(network(*_batch(batch, network)).values())
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            torch.nn.utils.clip_grad_norm_(network.parameters(), LARGEST_GRADIENT)
            optimizer.step()
            losses.append(float(loss.detach()))
            done += 1
            if not math.isfinite(losses[-1]):
                raise RhoaError(
                    f"detector, iteration {done} of {total}: the training loss is {losses[-1]}; "
                    f"use a smaller learning_rate than {options.learning_rate:g}."
                )
            if progress is not None:
                progress(done, total, f"training: epoch {epoch} of {options.epochs}")
    settle(network, examples, options.batch)
    network.train(mode=False)
    return float(np.mean(losses))


def settle(network: FasterRCNN, examples: Sequence[Example], batch: int) -> None:
    """Give batch normalisation the means and spreads of all training halves.

    The running ones follow a few hundred iterations too slowly: without this, a network of small
    loss finds nothing.
    """
    norms = [m for m in network.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    if not norms:
        return
    pace_of = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the mean of all batches
    network.train()
    with torch.no_grad():
        for start in range(0, len(examples), batch):
            network(*_batch(examples[start : start + batch], network))
    for norm, momentum in zip(norms, pace_of, strict=True):
        norm.momentum = momentum


def pace(done: int, total: int) -> float:
    """Share of the learning rate: it rises in a line, then falls along a cosine."""
    rise = max(1, round(WARM_UP * total))
    if done < rise:
        return (done + 1) / rise
    return 0.5 * (1 + math.cos(math.pi * (done - rise) / max(1, total - rise)))


def _batch(
    examples: Sequence[Example], network: FasterRCNN
) -> tuple[list[torch.Tensor], list[dict[str, torch.Tensor]]]:
    """What the network is given of examples: images and targets, where its weights are."""
    place = next(network.parameters()).device
    images = [as_input(example.pixels).to(place) for example in examples]
    return images, [_target(example, place) for example in examples]


def _target(example: Example, place: torch.device) -> dict[str, torch.Tensor]:
    """The box within the image, and its class."""
    rows, columns = example.pixels.shape
    box = example.box
    corners = [
        min(max(box.left, 0.0), columns - 1.0),
        min(max(box.top, 0.0), rows - 1.0),
        max(min(box.right, float(columns)), 1.0),
        max(min(box.bottom, float(rows)), 1.0),
    ]
    return {
        "boxes": torch.tensor([corners], dtype=torch.float32, device=place),
        "labels": torch.ones(1, dtype=torch.int64, device=place),
    }

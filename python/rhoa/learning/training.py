"""Training: one loop, straight down, and the run folder it leaves."""

from __future__ import annotations

import json
import math
import os
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch.nn import functional

from rhoa.cohort import require_no_leaks
from rhoa.devices import choose_device
from rhoa.errors import ManifestError, ParameterError, RhoaError, require_count
from rhoa.learning.dataset import WHITE, as_input, augment, read_crops
from rhoa.learning.inference import (
    forward,
    probabilities,
    save_model,
)
from rhoa.learning.network import build_network
from rhoa.learning.recipes import SMALLEST_BATCH, Recipe
from rhoa.writing import atomic_write, csv_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from os import PathLike

    from torch import Tensor, nn

    from rhoa.cohort import Hip, Manifest

    Progress = Callable[[int, int, str], None]  # iterations done, of how many, what is done

HIP_COLUMNS = ("image", "subject", "side", "source", "visit", "partition", "kl", "label")


class Step(NamedTuple):
    """One iteration: a row of ``history.csv``; validation is None between validations."""

    iteration: int
    epoch: int
    learning_rate: float
    train_loss: float
    train_accuracy: float
    val_loss: float | None = None
    val_accuracy: float | None = None


class LabelledCrops(NamedTuple):
    """Crops ``(n, size, size)``, uint8, and their labels ``(n,)``, 0 or 1."""

    images: Tensor
    labels: Tensor


def train(  # noqa: PLR0913  # the contract of rhoa.train
    manifest: Manifest,
    recipe: Recipe,
    out: str | PathLike[str],
    *,
    weights: str | PathLike[str] = "imagenet",
    device: str = "auto",
    seed: int = 2020,
    progress: Progress | None = None,
) -> Path:
    """Train a model on a manifest's crops and write its run folder.

    The folder holds ``recipe.json``; ``history.csv``, a row per iteration (training figures are of
    the batch; validation ones are empty between validations); ``predictions.csv``, a row per
    labelled validation and test hip of X-rays and of CT-APs, whatever the model was trained on;
    ``model.safetensors``, the weights after the last iteration, as the paper took them; and
    ``model.json``, which also tells the iteration of the lowest validation loss. Each file is
    replaced whole, the card last. The stage before, where the recipe has one (``first``), leaves
    the run folder ``first`` inside.

    Parameters
    ----------
    manifest
        Labelled hips with partitions; hips without a label are left out.
    recipe
        One of `rhoa.recipes`, or a variant.
    out
        The run folder; made if absent.
    weights
        To begin with: ``"imagenet"``, ``"none"`` (random), or the path of a ``.safetensors`` file,
        a state dict, or the run folder of another model.
    device
        ``"auto"``: a GPU where there is one; else a name that torch knows.
    seed
        Of random weights, order and augmentation. On one machine's CPU, one seed gives one set of
        weights, to the bit.
    progress
        Called as ``progress(done, total, text)`` after each iteration.

    Returns
    -------
    pathlib.Path
        ``out``.

    Raises
    ------
    ManifestError
        If the manifest has no partitions, a subject or a copy of a crop lies in two of them
        (`rhoa.cohort.leaks`), a crop is missing, or the recipe's training hips lack a class.
    WeightsError
        If ``weights`` are absent or do not fit.
    RhoaError
        If the loss is no longer finite; the message names the iteration.

    References
    ----------
    Gebre et al. 2022, Training the deep learning model.
    """
    if not isinstance(recipe, Recipe):
        raise ParameterError(
            f'recipe must be a Recipe, as rhoa.recipes["model-3"]; got {recipe!r}.'
        )
    require_count("seed", seed, least=0)
    hips = _partitioned(manifest)
    chosen = {
        part: [h for h in hips if h.partition == part and h.source in recipe.sources]
        for part in ("train", "val")
    }
    _require_classes(chosen["train"], recipe)
    place = choose_device(device)
    folder = Path(out)
    start = weights
    if recipe.first is not None:
        start = train(
            manifest,
            recipe.first,
            folder / "first",
            weights=weights,
            device=device,
            seed=seed,
            progress=progress,
        )
    network = build_network(start, seed=seed).to(place)
    folder.mkdir(parents=True, exist_ok=True)

    with _deterministic(seed, place):
        history = _fit(
            network,
            _labelled_crops(chosen["train"], recipe),
            _labelled_crops(chosen["val"], recipe),
            recipe,
            seed=seed,
            progress=progress,
        )
        predictions = _predictions(network, hips, recipe)

    atomic_write(folder / "recipe.json", json.dumps(recipe.as_dict(), indent=2) + "\n")
    atomic_write(folder / "history.csv", csv_text(Step._fields, history))
    atomic_write(folder / "predictions.csv", csv_text((*HIP_COLUMNS, "score"), predictions))
    notes = {
        "pretrained": str(weights) if weights in {"imagenet", "none"} else Path(weights).name,
        "trained_hips": len(chosen["train"]),
        "iterations": len(history),
        **_best(history),
    }
    save_model(network, folder, recipe=recipe, seed=seed, notes=notes)
    return folder


def _fit(
    network: nn.Module,
    train_set: LabelledCrops,
    val_set: LabelledCrops,
    recipe: Recipe,
    *,
    seed: int,
    progress: Progress | None,
) -> list[Step]:
    """Train ``network`` in place; a row of history per iteration."""
    device = next(network.parameters()).device
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.Adam(network.parameters(), lr=recipe.learning_rate)
    sizes = recipe.batch_sizes(len(train_set.labels))
    total = len(sizes) * recipe.epochs
    history: list[Step] = []
    for epoch in range(1, recipe.epochs + 1):
        for group in optimizer.param_groups:
            group["lr"] = recipe.learning_rate_in(epoch)
        order = torch.randperm(len(train_set.labels), generator=generator)
        for members in torch.split(order[: sum(sizes)], sizes):
            images = augment(train_set.images[members] / WHITE, recipe.augmentation, generator)
            labels = train_set.labels[members].to(device)
            network.train()
            outputs = network(as_input(images.to(device)))
            loss = functional.cross_entropy(outputs, labels)
            step = Step(
                len(history) + 1, epoch, recipe.learning_rate_in(epoch), *_figures(outputs, labels)
            )
            _require_finite(step, recipe, total)
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            optimizer.step()
            if step.iteration % recipe.validation_every == 0 or step.iteration == total:
                val_loss, val_accuracy = _validate(network, val_set, recipe, seed=seed)
                step = step._replace(val_loss=val_loss, val_accuracy=val_accuracy)
            history.append(step)
            if progress is not None:
                progress(step.iteration, total, f"{recipe.name}: epoch {epoch} of {recipe.epochs}")
    return history


def _require_finite(step: Step, recipe: Recipe, total: int) -> None:
    if not math.isfinite(step.train_loss):
        raise RhoaError(
            f"{recipe.name}, iteration {step.iteration} of {total}: the training loss is "
            f"{step.train_loss}; use a smaller learning_rate than {recipe.learning_rate:g}, or "
            "other weights to begin with."
        )


def _validate(
    network: nn.Module, val_set: LabelledCrops, recipe: Recipe, *, seed: int
) -> tuple[float, float] | tuple[None, None]:
    """Loss and accuracy on the validation set; None where it is empty."""
    if not len(val_set.labels):
        return None, None
    images = val_set.images
    if recipe.augment_validation:  # the same changes at each validation, so that curves compare
        generator = torch.Generator().manual_seed(seed)
        changed = augment(images / WHITE, recipe.augmentation, generator)
        images = (changed * WHITE).round().to(torch.uint8)
    outputs = forward(network, images, next(network.parameters()).device)
    return _figures(outputs, val_set.labels.to(outputs.device))


def _figures(outputs: Tensor, labels: Tensor) -> tuple[float, float]:
    """Cross-entropy and accuracy."""
    with torch.no_grad():
        loss = functional.cross_entropy(outputs, labels)
        accuracy = (outputs.argmax(dim=1) == labels).float().mean()
    return float(loss), float(accuracy)


def _best(history: Sequence[Step]) -> dict[str, float | None]:
    validated = [step for step in history if step.val_loss is not None]
    if not validated:
        return {"best_iteration": None, "best_val_loss": None}
    best = min(validated, key=lambda step: step.val_loss or 0.0)
    return {"best_iteration": best.iteration, "best_val_loss": best.val_loss}


def _partitioned(manifest: Manifest) -> list[Hip]:
    """The labelled hips, all of which have a partition that nothing leaks into."""
    hips = [hip for hip in manifest.hips if hip.label is not None]
    if not hips:
        raise ManifestError("the manifest has no labelled hips; fill its kl or label column.")
    bare = sum(hip.partition is None for hip in hips)
    if bare:
        raise ManifestError(
            f"{bare} of {len(hips)} labelled hips have no partition; run `rhoa split` on the "
            "manifest (or manifest.split()) first."
        )
    require_no_leaks(manifest)
    return hips


def _require_classes(hips: Sequence[Hip], recipe: Recipe) -> None:
    counts = [sum(hip.label == label for hip in hips) for label in (0, 1)]
    if min(counts) == 0 or sum(counts) < SMALLEST_BATCH:
        raise ManifestError(
            f"{recipe.name} trains on {' and '.join(recipe.sources)} hips: {counts[0]} without and "
            f"{counts[1]} with rHOA are marked train; at least one of each is needed."
        )


def _labelled_crops(hips: Sequence[Hip], recipe: Recipe) -> LabelledCrops:
    images = read_crops(hips, image_size=recipe.image_size, xray_size=recipe.xray_size)
    return LabelledCrops(images, torch.tensor([hip.label for hip in hips], dtype=torch.int64))


def _predictions(network: nn.Module, hips: Iterable[Hip], recipe: Recipe) -> list[list[object]]:
    """Rows of ``predictions.csv``."""
    unseen = [hip for hip in hips if hip.partition in {"val", "test"}]
    crops = read_crops(unseen, image_size=recipe.image_size, xray_size=recipe.xray_size)
    scores = probabilities(network, crops, next(network.parameters()).device)[:, 1]
    return [
        [*(getattr(hip, name) for name in HIP_COLUMNS), float(score)]
        for hip, score in zip(unseen, scores, strict=True)
    ]


@contextmanager
def _deterministic(seed: int, device: torch.device) -> Iterator[None]:
    """Only algorithms that repeat to the bit; torch's settings and random state come back after."""
    if device.type == "cuda":  # read by cuBLAS when it starts; without it torch refuses
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    strict = torch.are_deterministic_algorithms_enabled()
    lenient = torch.is_deterministic_algorithms_warn_only_enabled()
    benchmark = torch.backends.cudnn.benchmark
    torch.use_deterministic_algorithms(mode=True)
    torch.backends.cudnn.benchmark = False
    try:
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            yield
    finally:
        torch.use_deterministic_algorithms(mode=strict, warn_only=lenient)
        torch.backends.cudnn.benchmark = benchmark

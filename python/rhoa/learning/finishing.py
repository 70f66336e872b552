"""The files of a finished run: models, predictions, curves, and the record that seals them."""

from __future__ import annotations

import copy
import hashlib
import json
import shutil
from typing import TYPE_CHECKING, Any

import torch

from rhoa.errors import RhoaError
from rhoa.learning.cards import CARD_FILE, WEIGHTS_FILE
from rhoa.learning.curves import write_curves
from rhoa.learning.heads import with_classes
from rhoa.learning.inference import probabilities, save_model
from rhoa.learning.records import HIP_COLUMNS, RUN_FILE, prediction_rows
from rhoa.writing import atomic_write, csv_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from torch import Tensor

    from rhoa.cohort import Hip
    from rhoa.learning.checkpoints import State
    from rhoa.learning.loop import Fitting, LabelledCrops

KEPT = ("last", "best")


def finish(
    folder: Path,
    fitting: Fitting,
    state: State,
    *,
    scored: tuple[Sequence[Hip], LabelledCrops],
    record: Mapping[str, Any],
) -> None:
    """Write everything; ``run.json``, which says that the folder is whole, comes last.

    The network is left with the kept weights.
    """
    recipe, network = fitting.recipe, fitting.learner.network
    hips, crops = scored
    weights = {"last": {k: v.clone() for k, v in network.state_dict().items()}}
    iterations: dict[str, int] = {"last": state.iteration}
    if state.best is not None:
        weights["best"] = state.best_weights
        iterations["best"] = state.best.iteration
    _require_finite(weights["last"], recipe.name)
    kept = recipe.keep if recipe.keep in weights else "last"

    folder.mkdir(parents=True, exist_ok=True)
    (folder / RUN_FILE).unlink(missing_ok=True)
    for name in KEPT:
        shutil.rmtree(folder / name, ignore_errors=True)
    notes = {
        "pretrained": record["weights"],
        "trained_hips": len(fitting.train_set.lines),
        "iterations": state.iteration,
        "best_iteration": None if state.best is None else state.best.iteration,
        "best_val_loss": None if state.best is None else state.best.val_loss,
        "best_val_auc": None if state.best is None else state.best.val_auc,
    }
    for name in sorted(weights, key=lambda name: name == kept):  # the kept one last
        network.load_state_dict(weights[name])
        place = folder if name == kept else folder / name
        place.mkdir(exist_ok=True)
        told = {**notes, "weights_of": name, "weights_iteration": iterations[name]}
        classes = with_classes(copy.deepcopy(network))
        save_model(classes, place, recipe=recipe, seed=fitting.seed, notes=told)
    scores = probabilities(classes, crops.images, crops.images.device)[:, 1]
    numbered = zip(crops.lines, prediction_rows(hips, scores), strict=True)
    rows = [row for _, row in sorted(numbered, key=lambda pair: pair[0])]
    atomic_write(folder / "predictions.csv", csv_text((*HIP_COLUMNS, "score"), rows))
    write_curves(folder, state.history)
    atomic_write(folder / "recipe.json", _json(recipe.as_dict()))
    atomic_write(folder / RUN_FILE, _json(record))


def is_finished(folder: Path, record: Mapping[str, Any]) -> bool:
    """Whether the run of ``record`` has left its whole folder there, with the weights it sealed."""
    try:
        if (folder / RUN_FILE).read_text(encoding="utf-8") != _json(record):
            return False
        card = json.loads((folder / CARD_FILE).read_text(encoding="utf-8"))
        with (folder / WEIGHTS_FILE).open("rb") as file:
            return bool(hashlib.file_digest(file, "sha256").hexdigest() == card["weights_sha256"])
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return False


def _require_finite(weights: Mapping[str, Tensor], name: str) -> None:
    strange = [key for key, value in weights.items() if not torch.isfinite(value).all()]
    if strange:
        raise RhoaError(
            f"{name}: after the last iteration {len(strange)} tensors are not finite (first: "
            f"{strange[0]}); use a smaller learning_rate, or other weights to begin with."
        )


def _json(content: object) -> str:
    return json.dumps(content, indent=2) + "\n"

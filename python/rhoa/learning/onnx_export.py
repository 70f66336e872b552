"""From a trained model to ONNX, which runs without torch; checked, then sealed by the card."""

from __future__ import annotations

import hashlib
import json
import logging
import warnings
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from rhoa.errors import RhoaError, require_extra
from rhoa.files import atomic_write, shown
from rhoa.learning.data import as_input
from rhoa.learning.grader import CARD_FILE, CLASSES, RHOA_FROM
from rhoa.learning.loading import (
    INPUT,
    ONNX_FILE,
    OUTPUT,
    OnnxModel,
    open_session,
    outputs_named,
)
from rhoa.learning.network import grade_logits
from rhoa.learning.preprocessing import WHITE
from rhoa.learning.torch_model import load_torch_model

if TYPE_CHECKING:
    from collections.abc import Iterator
    from os import PathLike

    from torch import Tensor, nn

    from rhoa.learning.torch_model import Model

LARGEST_DIFFERENCE = 1e-5
OPSET = 18
_TRIALS = 16


class _Grading(torch.nn.Module):
    """From grey levels to probabilities: the network, and what rhoa does before and after it."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, levels: Tensor) -> tuple[Tensor, ...]:
        outputs: Tensor = self.network(as_input(levels.float() / WHITE))
        if outputs.shape[1] == len(CLASSES):
            return (outputs.softmax(dim=1),)
        grades = [logits.softmax(dim=1) for logits in grade_logits(outputs)]
        kl = grades[0]
        classes = [kl[:, :RHOA_FROM].sum(dim=1), kl[:, RHOA_FROM:].sum(dim=1)]
        return torch.stack(classes, dim=1), *grades


def export_onnx(folder: str | PathLike[str], out: str | PathLike[str] | None = None) -> Path:
    """Write a run's classifier as ``model.onnx``, with a card that seals it.

    Its input ``levels`` is uint8 ``(n, image_size, image_size)``, crops resized as the card's
    ``preprocessing`` says; normalisation is in the graph. Its output ``probabilities`` is float32
    ``(n, 2)``, of no rHOA and rHOA; of target ``"kl"`` it also has ``kl`` ``(n, 5)`` and, where it
    knows Crowe's grade, ``crowe`` ``(n, 4)``. `rhoa.load_model` and ``rhoa predict`` run it by ONNX
    Runtime (the extra ``onnx``), without torch.

    Parameters
    ----------
    folder
        A run folder of `rhoa.train`.
    out
        Where to write ``model.onnx`` and ``model.json``; the run folder itself by default.

    Returns
    -------
    pathlib.Path
        ``out``.

    Raises
    ------
    WeightsError
        If the run cannot be loaded.
    RhoaError
        If ONNX Runtime's probabilities differ from torch's by more than 1e-5; nothing is written.
    MissingExtraError
        If onnxscript or onnxruntime is not installed.
    """
    require_extra("onnxscript", extra="export", purpose="rhoa.learning.export_onnx")
    require_extra("onnxruntime", extra="onnx", purpose="rhoa.learning.export_onnx")
    folder = Path(folder)
    out = folder if out is None else Path(out)
    model = load_torch_model(folder, device="cpu")
    content = _exported(model)
    difference = _difference(model, content, shown(folder))
    if not difference <= LARGEST_DIFFERENCE:  # true for NaN too
        raise RhoaError(
            f"{shown(folder)}: ONNX Runtime's probabilities differ from torch's by {difference:g}, "
            f"more than {LARGEST_DIFFERENCE:g}; nothing was written. Update onnxruntime and torch."
        )
    card = dict(model.card) | {
        "onnx": {
            "sha256": hashlib.sha256(content).hexdigest(),
            "opset": OPSET,
            "input": f"{INPUT}: uint8 (n, {model.card['image_size']}, {model.card['image_size']})",
            "output": f"{OUTPUT}: float32 (n, {len(CLASSES)}), {', '.join(CLASSES)}",
            "outputs": outputs_named(model.card),
            "largest_difference_from_torch": difference,
        }
    }
    out.mkdir(parents=True, exist_ok=True)
    atomic_write(out / ONNX_FILE, content)
    atomic_write(out / CARD_FILE, json.dumps(card, indent=2) + "\n")
    return out


def _exported(model: Model) -> bytes:
    size = model.card["image_size"]
    example = torch.zeros((2, size, size), dtype=torch.uint8)
    grading = _Grading(model.network).train(mode=False)
    with _quiet():
        program = torch.onnx.export(
            grading,
            (example,),
            dynamo=True,
            opset_version=OPSET,
            input_names=[INPUT],
            output_names=list(outputs_named(model.card)),
            dynamic_shapes=({0: torch.export.Dim("n")},),
            verbose=False,
        )
    if program is None:
        raise RhoaError("torch exported nothing; update torch and onnxscript.")
    content: bytes = program.model_proto.SerializeToString()
    return content


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the messages of the exporter for its own developers."""
    log = logging.getLogger("torch.onnx")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        log.setLevel(level)


def _difference(model: Model, content: bytes, name: str) -> float:
    """Between the probabilities of both, at most, on images of noise and of even grey."""
    size = model.card["image_size"]
    random = np.random.default_rng(0)
    noise = random.integers(0, WHITE + 1, (_TRIALS, size, size))
    even = np.broadcast_to(random.integers(0, WHITE + 1, (_TRIALS, 1, 1)), noise.shape)
    levels = np.concatenate([noise, even]).astype(np.uint8)
    exported = OnnxModel(open_session(content, model.card, name), model.card)
    return float(np.abs(exported.compute(levels) - model.compute(levels)).max())

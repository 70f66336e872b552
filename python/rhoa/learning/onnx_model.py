"""A trained model on ONNX Runtime: the same probabilities, and no torch."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from rhoa.errors import WeightsError, require_extra
from rhoa.learning.cards import CARD_FILE, read_model_card
from rhoa.learning.grader import CLASSES, SingleModel
from rhoa.learning.onnx_graph import doubt
from rhoa.reading.bounded import shown
from rhoa.sealed import read_sealed

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

ONNX_FILE = "model.onnx"
INPUT, OUTPUT = "levels", "probabilities"
_ERRORS_ONLY = 3  # of what the runtime would print


@dataclass(frozen=True, slots=True, eq=False)
class OnnxModel(SingleModel):
    """A trained network that grades crops of hips by ONNX Runtime; `rhoa.load_model` makes one.

    Parameters
    ----------
    session
        Of ONNX Runtime.
    card
        What ``model.json`` says.
    """

    session: Any = field(repr=False)
    card: Mapping[str, Any] = field(repr=False)

    def compute(self, levels: NDArray[np.uint8]) -> NDArray[np.float64]:
        """Probabilities ``(n, 2)`` of grey levels ``(n, image_size, image_size)``."""
        if not len(levels):
            return np.empty((0, len(CLASSES)))
        (found,) = self.session.run([OUTPUT], {INPUT: levels})
        return np.asarray(found, np.float64)


def load_onnx_model(folder: Path) -> OnnxModel:
    """The model of a folder that `rhoa.learning.export_onnx` wrote; see `rhoa.load_model`."""
    card = read_model_card(folder)
    sealed = card.get("onnx")
    sha256 = sealed.get("sha256") if isinstance(sealed, dict) else None
    if not isinstance(sha256, str):
        raise WeightsError(
            f"{shown(folder)}: {CARD_FILE} tells of no {ONNX_FILE}; make it with `rhoa export`, "
            "or load the model with torch (rhoa[train])."
        )
    content = read_sealed(folder, ONNX_FILE, sha256, card=CARD_FILE)
    return OnnxModel(open_session(content, card, shown(folder)), MappingProxyType(card))


def open_session(content: bytes, card: Mapping[str, Any], name: str) -> Any:  # noqa: ANN401  # of ONNX Runtime
    """A session of an ONNX file that was looked at, with the inputs and outputs of a card.

    Raises
    ------
    WeightsError
        If the file is no plain classifier, or not the card's.
    MissingExtraError
        If ONNX Runtime is not installed.
    """
    runtime = require_extra("onnxruntime", extra="onnx", purpose="a model.onnx")
    where = f"{name}/{ONNX_FILE}"
    if problem := doubt(content):
        raise WeightsError(f"{where}: not a classifier of rhoa ({problem}); export it again.")
    options = runtime.SessionOptions()
    options.log_severity_level = _ERRORS_ONLY
    try:
        session = runtime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # noqa: BLE001  # a file made to harm may raise anything
        raise WeightsError(
            f"{where}: ONNX Runtime refuses it ({type(error).__name__}); export it again."
        ) from None
    size = card["image_size"]
    inputs = [(one.name, one.type, one.shape[1:]) for one in session.get_inputs()]
    outputs = [(one.name, one.type, one.shape[1:]) for one in session.get_outputs()]
    if inputs != [(INPUT, "tensor(uint8)", [size, size])] or outputs != [
        (OUTPUT, "tensor(float)", [len(CLASSES)])
    ]:
        raise WeightsError(
            f"{where}: its input or output is not that of a classifier of crops of {size} pixels; "
            "export it again."
        )
    return session

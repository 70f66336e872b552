"""Trained models from their folders, by torch or by ONNX Runtime."""

from __future__ import annotations

import threading
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from rhoa.errors import ParameterError, WeightsError, require_choice, require_extra
from rhoa.files import read_checksummed, shown
from rhoa.learning.grader import (
    CARD_FILE,
    CLASSES,
    KL_GRADES,
    Ensemble,
    SingleModel,
    read_model_card,
    width_of,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from os import PathLike

    from numpy.typing import NDArray


# A trained model on ONNX Runtime: the same probabilities, and no torch.

ONNX_FILE = "model.onnx"
INPUT, OUTPUT = "levels", "probabilities"
MOST_TRIAL_SECONDS = 60.0
"""Of grading one blank crop when a file is opened; a ResNet18 takes 0.1."""
_NOTHING = 4  # is printed by the runtime below this severity, fatal
_FUNCTION = 25  # number of the field in onnx.proto's ModelProto


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
        """Probabilities of grey levels, see `SingleModel.compute`."""
        names = outputs_named(self.card)
        names = dict(list(names.items())[1:]) or names  # of grades, from which rHOA follows
        if not len(levels):
            return np.empty((0, sum(names.values())))
        try:
            found = np.concatenate(self.session.run(list(names), {INPUT: levels}), axis=1)
        except Exception as error:  # noqa: BLE001  # a file made to harm may raise anything
            raise WeightsError(
                f"{ONNX_FILE}: ONNX Runtime stopped on {len(levels)} crops "
                f"({type(error).__name__}); export it again, or grade fewer at once."
            ) from None
        return np.asarray(found, np.float64)


def outputs_named(card: Mapping[str, Any]) -> dict[str, int]:
    """The outputs of the ONNX file of a card, and how many probabilities of a hip each has."""
    width = width_of(card.get("outputs", len(CLASSES)))
    named = {OUTPUT: len(CLASSES)}
    if width > len(CLASSES):
        named["kl"] = len(KL_GRADES)
    if width > len(KL_GRADES):
        named["crowe"] = width - len(KL_GRADES)
    return named


def load_onnx_model(folder: Path) -> OnnxModel:
    """The model of a folder that `rhoa.learning.export_onnx` wrote; see `rhoa.load_model`."""
    card = read_model_card(folder)
    sealed = card.get("onnx")
    sha256 = sealed.get("sha256") if isinstance(sealed, dict) else None
    if not isinstance(sha256, str):
        raise WeightsError(
            f"{shown(folder)}: {CARD_FILE} tells of no {ONNX_FILE}; make it with `rhoa export`, "
            "or load the model with torch (extra train)."
        )
    content = read_checksummed(folder, ONNX_FILE, sha256, card=CARD_FILE)
    return OnnxModel(open_session(content, card, shown(folder)), MappingProxyType(card))


def open_session(content: bytes, card: Mapping[str, Any], name: str) -> Any:  # noqa: ANN401  # of ONNX Runtime
    """A session of an ONNX file that has the inputs and outputs of a card and grades a blank crop.

    Raises
    ------
    WeightsError
        If ONNX Runtime refuses the file, or it is not the card's.
    MissingExtraError
        If ONNX Runtime is not installed.
    """
    runtime = require_extra("onnxruntime", extra="onnx", purpose="a model.onnx")
    where = f"{name}/{ONNX_FILE}"
    if _holds_functions(content):
        raise WeightsError(f"{where}: it holds functions; export it again.")
    options, run_options = runtime.SessionOptions(), runtime.RunOptions()
    options.log_severity_level = run_options.log_severity_level = _NOTHING
    size = card["image_size"]
    blank = {INPUT: np.zeros((1, size, size), np.uint8)}
    # A loop may have no end; the runtime stops between two layers when it is asked to.
    limit = threading.Timer(MOST_TRIAL_SECONDS, setattr, (run_options, "terminate", True))
    limit.daemon = True
    try:
        session = runtime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        inputs = [(one.name, one.type, one.shape[1:]) for one in session.get_inputs()]
        outputs = [(one.name, one.type, one.shape[1:]) for one in session.get_outputs()]
        named = outputs_named(card)
        fits = inputs == [(INPUT, "tensor(uint8)", [size, size])] and outputs == [
            (name, "tensor(float)", [width]) for name, width in named.items()
        ]
        if fits:
            limit.start()
            graded = session.run(list(named), blank, run_options)
            fits = all(
                one.shape == (1, width) and abs(one.sum() - 1) < 1e-3
                for one, width in zip(graded, named.values(), strict=True)
            )
    except Exception as error:  # noqa: BLE001  # a file made to harm may raise anything
        raise WeightsError(
            f"{where}: ONNX Runtime refuses it ({type(error).__name__}); export it again."
        ) from None
    finally:
        limit.cancel()
    if not fits:
        raise WeightsError(
            f"{where}: its input or output is not that of a classifier of crops of {size} pixels; "
            "export it again."
        )
    return session


def _holds_functions(content: bytes) -> bool:
    """Whether an ONNX file defines functions, which ONNX Runtime unfolds without a limit.

    Thirty functions that each call the next one twice are a thousand million layers. `rhoa export`
    writes none. What is no protobuf message is left to the runtime to refuse.
    """
    at = 0

    def varint() -> int:
        nonlocal at
        value = shift = 0
        while True:
            value |= (content[at] & 0x7F) << shift
            at, shift = at + 1, shift + 7
            if content[at - 1] < 0x80:
                return value & 0xFFFFFFFF  # as protobuf reads tags and lengths

    with suppress(IndexError):
        while at < len(content):
            tag = varint()
            if tag >> 3 == _FUNCTION:
                return True
            match tag & 7:
                case 0:
                    varint()
                case 1 | 5 as fixed:
                    at += 8 if fixed == 1 else 4
                case 2:
                    length = varint()  # moves on, too
                    at += length
                case _:
                    return True  # a group, which no writer of ONNX makes, could hide them
    return False


# Trained models from their folders, by torch or by ONNX Runtime.

Runtime = Literal["auto", "torch", "onnx"]
RUNTIMES: tuple[Runtime, ...] = ("auto", "torch", "onnx")


def load_model(
    folder: str | PathLike[str], *, device: str = "auto", runtime: Runtime = "auto"
) -> SingleModel:
    """The model of a run folder of `rhoa.train`, or of a folder of `rhoa.learning.export_onnx`.

    Parameters
    ----------
    folder
        Holds ``model.json`` and ``model.safetensors``, or ``model.onnx``.
    device
        Of torch. ``"auto"``: a GPU where there is one; else a name that torch knows (``"cpu"``).
        ONNX Runtime works on the CPU.
    runtime
        ``"torch"`` (the extra ``train``), ``"onnx"`` (the extra ``onnx``, no torch), or ``"auto"``:
        ONNX Runtime where the model was exported for it and no device is asked for, else torch.

    Raises
    ------
    WeightsError
        If a file is absent or damaged, or the weights are not the ones the card describes.
    MissingExtraError
        If what computes is not installed.
    """
    require_choice("runtime", runtime, RUNTIMES)
    place = Path(folder)
    if runtime == "auto":
        exported = device == "auto" and (place / ONNX_FILE).exists()
        usable = find_spec("onnxruntime") is not None or find_spec("torch") is None
        runtime = "onnx" if exported and usable else "torch"
    if runtime == "onnx":
        if device not in {"auto", "cpu"}:
            raise ParameterError(f"ONNX Runtime works on the CPU; got device {device!r}.")
        return load_onnx_model(place)
    for module in ("torch", "torchvision", "safetensors"):
        require_extra(module, extra="train", purpose="rhoa.load_model")
    from rhoa.learning.torch_model import load_torch_model

    return load_torch_model(place, device=device)


def load_ensemble(
    folders: Sequence[str | PathLike[str]], *, device: str = "auto", runtime: Runtime = "auto"
) -> Ensemble:
    """The models of several folders, grading together; see `load_model` and `Ensemble`.

    Raises
    ------
    ParameterError
        If there is no folder.
    WeightsError
        If a model cannot be loaded.
    """
    return Ensemble(tuple(load_model(folder, device=device, runtime=runtime) for folder in folders))

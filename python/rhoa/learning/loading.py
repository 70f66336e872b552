"""Trained models from their folders, by torch or by ONNX Runtime, whose files are checked first."""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from rhoa.errors import ParameterError, WeightsError, require_choice, require_extra
from rhoa.files import read_checksummed, shown
from rhoa.learning.grader import CARD_FILE, CLASSES, Ensemble, SingleModel, read_model_card

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from os import PathLike

    from numpy.typing import NDArray


# ONNX files, checked before they are run: one plain network, whose numbers are in the file.
#
# An ONNX file may ask for more than arithmetic: tensors in other files, functions, branches and
# loops, operators of plug-ins, shapes without end. A classifier needs none of that.

OPERATORS = frozenset(
    {
        *("Add", "AveragePool", "BatchNormalization", "Cast", "Clip", "Concat", "Constant", "Conv"),
        *("Div", "Erf", "Flatten", "Gemm", "GlobalAveragePool", "HardSigmoid", "HardSwish"),
        *("Identity", "LayerNormalization", "LogSoftmax", "MatMul", "MaxPool", "Mul", "Pow"),
        *("ReduceMean", "ReduceSum", "Relu", "Reshape", "Sigmoid", "Slice", "Softmax", "Sqrt"),
        *("Squeeze", "Sub", "Tanh", "Transpose", "Unsqueeze", "Shape", "Gather"),
    }
)
"""None of them makes a tensor much larger than its inputs."""
_MOST_NODES = 10_000
_VARINT, _FIXED_64, _BYTES, _FIXED_32 = 0, 1, 2, 5  # kinds of protobuf fields
# Numbers of fields in onnx.proto.
_GRAPH, _TRAINING, _FUNCTION = 7, 20, 25  # of a model
_NODE, _INITIALIZER, _SPARSE = 1, 5, 15  # of a graph
_OPERATOR, _ATTRIBUTE, _DOMAIN = 4, 5, 7  # of a node
_TENSOR, _OTHER_CONTENT = 5, frozenset({6, 10, 11, 22, 23})  # of an attribute: graphs, lists, ...
_EXTERNAL, _LOCATION = 13, 14  # of a tensor

Field = tuple[int, int, memoryview | int]


def unsafe_graph_reason(content: bytes) -> str:
    """Why a file is no ONNX classifier that may be run; empty where it is one.

    Examples
    --------
    >>> unsafe_graph_reason(b"no protobuf at all")
    'it is no ONNX file'
    """
    try:
        graphs = []
        for number, _, value in _fields(memoryview(content)):
            if number in {_TRAINING, _FUNCTION}:
                return "it holds functions of its own"
            if number == _GRAPH:
                graphs.append(_message(value))
        (graph,) = graphs
        nodes = 0
        for number, _, value in _fields(graph):
            if number == _NODE:
                nodes += 1
                problem = _unsafe_node(_message(value))
            elif number == _INITIALIZER:
                problem = _unsafe_tensor(_message(value))
            else:
                problem = "it holds sparse tensors" if number == _SPARSE else ""
            if problem or nodes > _MOST_NODES:
                return problem or "it has more layers than any classifier"
    except (IndexError, ValueError):
        return "it is no ONNX file"
    return "" if nodes else "it has no layers"


def _unsafe_node(node: memoryview) -> str:
    for number, _, value in _fields(node):
        if number == _OPERATOR and bytes(_message(value)).decode("latin-1") not in OPERATORS:
            return "it asks for an operator that no classifier of rhoa has"
        if number == _DOMAIN and len(_message(value)):
            return "it asks for operators of a plug-in"
        if number == _ATTRIBUTE:
            for inner, _, content in _fields(_message(value)):
                if inner in _OTHER_CONTENT:
                    return "it holds graphs within its graph"
                if inner == _TENSOR and (problem := _unsafe_tensor(_message(content))):
                    return problem
    return ""


def _unsafe_tensor(tensor: memoryview) -> str:
    for number, _, value in _fields(tensor):
        if number == _EXTERNAL or (number == _LOCATION and value != 0):
            return "it keeps its numbers in other files"
    return ""


def _message(value: memoryview | int) -> memoryview:
    if isinstance(value, int):
        raise ValueError(value)  # noqa: TRY004  # the file is wrong, not the caller
    return value


def _fields(content: memoryview) -> Iterator[Field]:
    """(number, kind, value) of each field of a protobuf message."""
    at = 0
    while at < len(content):
        tag, at = _varint(content, at)
        kind = tag & 7
        value: memoryview | int
        if kind == _VARINT:
            value, at = _varint(content, at)
        elif kind == _BYTES:
            length, at = _varint(content, at)
            value, at = content[at : at + length], at + length
        elif kind in {_FIXED_32, _FIXED_64}:
            length = 4 if kind == _FIXED_32 else 8
            value, at = content[at : at + length], at + length
        else:
            raise ValueError(kind)
        if at > len(content):
            raise ValueError(at)
        yield tag >> 3, kind, value


def _varint(content: memoryview, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        byte = content[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise ValueError(at)


# A trained model on ONNX Runtime: the same probabilities, and no torch.

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
    content = read_checksummed(folder, ONNX_FILE, sha256, card=CARD_FILE)
    return OnnxModel(open_session(content, card, shown(folder)), MappingProxyType(card))


def open_session(content: bytes, card: Mapping[str, Any], name: str) -> Any:  # noqa: ANN401  # of ONNX Runtime
    """A session of a checked ONNX file, with the inputs and outputs of a card.

    Raises
    ------
    WeightsError
        If the file is no plain classifier, or not the card's.
    MissingExtraError
        If ONNX Runtime is not installed.
    """
    runtime = require_extra("onnxruntime", extra="onnx", purpose="a model.onnx")
    where = f"{name}/{ONNX_FILE}"
    if problem := unsafe_graph_reason(content):
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
        ``"torch"`` (``rhoa[train]``), ``"onnx"`` (``rhoa[onnx]``, no torch), or ``"auto"``: ONNX
        Runtime where the model was exported for it and no device is asked for, else torch.

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

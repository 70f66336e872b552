"""ONNX files, looked at before they are run: one plain network, whose numbers are in the file.

An ONNX file may ask for more than arithmetic: tensors in other files, functions, branches and
loops, operators of plug-ins, shapes without end. A classifier needs none of that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

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


def doubt(content: bytes) -> str:
    """Why a file is no ONNX classifier that may be run; empty where it is one.

    Examples
    --------
    >>> doubt(b"no protobuf at all")
    'it is no ONNX file'
    """
    try:
        return _doubt_of_model(memoryview(content))
    except (IndexError, ValueError):
        return "it is no ONNX file"


def _doubt_of_model(content: memoryview) -> str:
    graphs = []
    for number, _, value in _fields(content):
        if number in {_TRAINING, _FUNCTION}:
            return "it holds functions of its own"
        if number == _GRAPH:
            graphs.append(_message(value))
    if len(graphs) != 1:
        raise ValueError(graphs)
    nodes = 0
    for number, _, value in _fields(graphs[0]):
        if number == _NODE:
            nodes += 1
            problem = _doubt_of_node(_message(value))
        elif number == _INITIALIZER:
            problem = _doubt_of_tensor(_message(value))
        else:
            problem = "it holds sparse tensors" if number == _SPARSE else ""
        if problem or nodes > _MOST_NODES:
            return problem or "it has more layers than any classifier"
    return "" if nodes else "it has no layers"


def _doubt_of_node(node: memoryview) -> str:
    for number, _, value in _fields(node):
        if number == _OPERATOR and bytes(_message(value)).decode("latin-1") not in OPERATORS:
            return "it asks for an operator that no classifier of rhoa has"
        if number == _DOMAIN and len(_message(value)):
            return "it asks for operators of a plug-in"
        if number == _ATTRIBUTE:
            for inner, _, content in _fields(_message(value)):
                if inner in _OTHER_CONTENT:
                    return "it holds graphs within its graph"
                if inner == _TENSOR and (problem := _doubt_of_tensor(_message(content))):
                    return problem
    return ""


def _doubt_of_tensor(tensor: memoryview) -> str:
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

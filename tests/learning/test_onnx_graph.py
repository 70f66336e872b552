"""ONNX files before they run: what honest exporters write is let through, damage is not fatal."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rhoa.learning.loading import unsafe_graph_reason

pytestmark = pytest.mark.torch  # whose extra brings the writer of ONNX files


def simple() -> bytes:
    from onnx import TensorProto, helper

    graph = helper.make_graph(
        [helper.make_node("Gemm", ["x", "w"], ["y"], alpha=2.0)],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 2])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 2])],
        [helper.make_tensor("w", TensorProto.FLOAT, [2, 2], [1.0, 2.0, 3.0, 4.0])],
    )
    return helper.make_model(graph, producer_name="rhoa").SerializeToString()


def test_an_honest_network_is_let_through() -> None:
    assert unsafe_graph_reason(simple()) == ""


def test_functions_and_sparse_tensors_are_not() -> None:
    import onnx
    from onnx import helper

    model = onnx.load_from_string(simple())
    function = helper.make_function(
        "evil", "f", ["x"], ["y"], [helper.make_node("Relu", ["x"], ["y"])], model.opset_import
    )
    model.functions.append(function)
    assert "functions of its own" in unsafe_graph_reason(model.SerializeToString())

    model = onnx.load_from_string(simple())
    model.graph.sparse_initializer.add()
    assert "sparse" in unsafe_graph_reason(model.SerializeToString())


def test_a_network_of_no_layers_is_not() -> None:
    import onnx

    model = onnx.load_from_string(simple())
    del model.graph.node[:]

    assert unsafe_graph_reason(model.SerializeToString()) == "it has no layers"


@given(content=st.binary(max_size=200))
def test_any_bytes_get_an_answer(content: bytes) -> None:
    assert isinstance(unsafe_graph_reason(content), str)


@given(data=st.data())
def test_a_damaged_network_gets_an_answer(data: st.DataObject) -> None:
    content = bytearray(simple())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))

    assert isinstance(unsafe_graph_reason(bytes(content)), str)

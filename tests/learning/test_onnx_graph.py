"""ONNX files that look hostile and are valid: what they compute; damage is a `WeightsError`."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rhoa.errors import WeightsError
from rhoa.learning.loading import OnnxModel, open_session
from tests.learning.artefacts import onnx, onnx_large, onnx_loop

pytestmark = pytest.mark.torch  # whose extra brings the writer of ONNX files

CARD = {"image_size": 40}


def rhoa_of(content: bytes, level: int) -> float:
    """The probability of rHOA of an even crop."""
    model = OnnxModel(open_session(content, CARD, "run"), CARD)
    return float(model.compute(np.full((3, 40, 40), level, np.uint8))[1, 1])


def logistic(value: float) -> float:
    return float(1 / (1 + np.exp(-value)))


def branch() -> bytes:
    """Outputs are halved in one branch of a condition that holds."""
    from onnx import TensorProto, helper, numpy_helper

    half = numpy_helper.from_array(np.float32(0.5))
    branches = {
        f"{name}_branch": helper.make_graph(
            [
                helper.make_node("Constant", [], [f"{name}_factor"], value=half),
                helper.make_node(operator, ["x", f"{name}_factor"], [name]),
            ],
            name,
            [],
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, None)],
        )
        for name, operator in (("then", "Mul"), ("else", "Sub"))
    }
    return onnx(
        helper.make_node("If", ["always"], ["y"], **branches),
        constants={"always": np.array(True)},  # noqa: FBT003
    )


# The network's outputs of an even crop of level v are (-v, v): their softmax is logistic(2 v).
@pytest.mark.parametrize(
    ("build", "expected"),
    [
        (onnx, logistic(2)),
        (lambda: onnx_loop(3), logistic(2 * 2**3)),
        (lambda: onnx_large(1 << 20), logistic(2)),
        (branch, logistic(1)),
    ],
)
def test_valid_graphs_give_what_they_compute(build: Callable[[], bytes], expected: float) -> None:
    assert rhoa_of(build(), 1) == pytest.approx(expected, abs=1e-6)


def test_what_stops_at_a_larger_batch_than_the_trial_is_a_weights_error() -> None:
    class OutOfMemory:
        def run(self, *_: object) -> None:
            open_session(onnx(), CARD, "run").run(["no such output"], {})

    with pytest.raises(WeightsError, match="ONNX Runtime stopped on 2 crops"):
        OnnxModel(OutOfMemory(), CARD).compute(np.zeros((2, 40, 40), np.uint8))


@given(content=st.binary(max_size=200))
def test_any_bytes_are_refused(content: bytes) -> None:
    with pytest.raises(WeightsError):
        open_session(content, CARD, "run")


@given(data=st.data())
def test_damage_raises_nothing_else(data: st.DataObject) -> None:
    content = bytearray(onnx())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))

    with contextlib.suppress(WeightsError):
        open_session(bytes(content), CARD, "run")

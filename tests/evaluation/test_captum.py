"""Occlusion maps are those of captum, an independent implementation, wherever it has any."""

from __future__ import annotations

from collections.abc import Sequence
from types import MappingProxyType

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import rhoa

torch = pytest.importorskip("torch", reason="torch is not installed: pip install '.[train]'")
attribution = pytest.importorskip(
    "captum.attr", reason="captum is not installed: pip install '.[dev]'"
)

from rhoa.learning import Model  # noqa: E402
from rhoa.learning.data import as_input  # noqa: E402
from rhoa.learning.network import build_network  # noqa: E402
from rhoa.learning.preprocessing import WHITE  # noqa: E402

pytestmark = pytest.mark.torch


class Small:
    """A convolutional network of random weights on images of any shape."""

    def __init__(self) -> None:
        with torch.random.fork_rng():
            torch.manual_seed(1)
            self.network = torch.nn.Sequential(
                torch.nn.Conv2d(1, 4, 3, padding=1),
                torch.nn.ReLU(),
                torch.nn.AdaptiveAvgPool2d(2),
                torch.nn.Flatten(),
                torch.nn.Linear(16, 3),
                torch.nn.Softmax(dim=1),
            )

    def predict_proba(self, images: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
        with torch.no_grad():
            return self.network(torch.from_numpy(np.stack(images))[:, None]).numpy()


@given(
    shape=st.tuples(st.integers(8, 24), st.integers(8, 24)),
    patch=st.integers(1, 8),
    target=st.integers(0, 2),
    data=st.data(),
)
@settings(max_examples=15)
def test_any_geometry(shape: tuple[int, int], patch: int, target: int, data: st.DataObject) -> None:
    stride = data.draw(st.integers(1, patch))
    image = np.random.default_rng(2).random(shape).astype(np.float32)
    model = Small()

    ours = rhoa.occlusion(model, image, patch=patch, stride=stride, target=target)

    theirs = attribution.Occlusion(model.network).attribute(
        torch.from_numpy(image)[None, None],
        sliding_window_shapes=(1, patch, patch),
        strides=(1, stride, stride),
        baselines=float(image.mean()),
        target=target,
    )
    np.testing.assert_allclose(ours, theirs[0, 0].numpy(), atol=1e-5)


def test_a_trained_kind_of_model_at_the_networks_size() -> None:
    """A ResNet18 as `rhoa.load_model` gives it, whose maps come from changes alone."""
    network = build_network("none", seed=7).eval()
    card = MappingProxyType({"image_size": 96, "xray_size": None})
    model = Model(network, card, torch.device("cpu"))
    row, column = np.mgrid[:96, :48]
    half = (2 * row + 40 * (np.hypot(row - 40, column - 30) < 20)).astype(np.float32)
    image = np.hstack([half, 240 - half])
    assert image.mean() == 120  # predict_proba rounds to whole levels, and this is one

    def probabilities(levels: torch.Tensor) -> torch.Tensor:
        return network(as_input(levels[:, 0] / WHITE)).softmax(dim=1)

    ours = rhoa.occlusion(model, image, patch=48, stride=24, target=1)

    theirs = attribution.Occlusion(probabilities).attribute(
        torch.from_numpy(image)[None, None],
        sliding_window_shapes=(1, 48, 48),
        strides=(1, 24, 24),
        baselines=120.0,
        target=1,
    )
    assert np.abs(ours).max() > 1e-4
    np.testing.assert_allclose(ours, theirs[0, 0].numpy(), atol=1e-5)

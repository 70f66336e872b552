"""Grad-CAM is captum's, and what can be written down for a network that ends in a mean."""

from __future__ import annotations

from types import MappingProxyType

import numpy as np
import pytest

from rhoa.errors import RhoaError
from rhoa.raster import resize

torch = pytest.importorskip("torch", reason="torch is not installed: pip install '.[train]'")

from rhoa.evaluation.saliency import grad_cam  # noqa: E402
from rhoa.learning import Model  # noqa: E402
from rhoa.learning.data import as_input  # noqa: E402
from rhoa.learning.network import build_network  # noqa: E402

pytestmark = pytest.mark.torch


@pytest.fixture(scope="module")
def model() -> Model:
    card = MappingProxyType({"image_size": 64, "xray_size": None})
    return Model(build_network("none", seed=2).eval(), card, torch.device("cpu"))


@pytest.fixture(scope="module")
def image() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (64, 64)).astype(np.float32)


@pytest.mark.parametrize("target", [0, 1])
def test_it_is_the_last_maps_weighed_by_the_heads_weights(
    model: Model, image: np.ndarray, target: int
) -> None:
    """The head is linear in the mean of the maps: its gradient is its weight over their size."""
    maps: list[torch.Tensor] = []
    hook = model.network.layer4.register_forward_hook(lambda *call: maps.append(call[2]))
    with torch.no_grad():
        model.network(as_input(torch.from_numpy(image)[None] / 255))
    hook.remove()
    weights = model.network.fc.weight[target].detach()[:, None, None] / maps[0][0, 0].numel()
    expected = (weights * maps[0][0]).sum(dim=0).clamp(min=0).numpy()

    seen = grad_cam(model, image, target=target)

    np.testing.assert_allclose(seen, resize(expected, 64, 64), atol=1e-6)
    assert seen.max() > 0


def test_the_shape_is_the_images_and_the_network_keeps_no_trace(model: Model) -> None:
    image = np.tile(np.arange(50, dtype=np.float32), (50, 1))

    assert grad_cam(model, image).shape == (50, 50)
    assert not model.network.layer4._forward_hooks
    assert all(weight.grad is None for weight in model.network.parameters())


def test_a_class_that_is_none_is_named(model: Model, image: np.ndarray) -> None:
    with pytest.raises(RhoaError, match="2 classes; got 2"):
        grad_cam(model, image, target=2)

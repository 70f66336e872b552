"""What is computed from changes alone is what the network computes from whole images."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

if TYPE_CHECKING:
    import torch

pytestmark = pytest.mark.torch


@pytest.fixture(scope="module")
def network() -> torch.nn.Module:
    """With statistics of batch normalisation that are not the initial ones."""
    import torch

    from rhoa.learning.network import build_network

    built = build_network("none", seed=3)
    with torch.random.fork_rng():
        torch.manual_seed(4)
        with torch.no_grad():
            built.train()(torch.rand(8, 3, 64, 64))
    return built.eval()


def crop(rows: int, columns: int, seed: int) -> torch.Tensor:
    import torch

    levels = np.random.default_rng(seed).integers(0, 250, (1, rows, columns), np.uint8)
    return torch.from_numpy(levels)


@given(
    shape=st.tuples(st.integers(33, 90), st.integers(33, 90)),
    boxes=st.lists(
        st.tuples(st.integers(0, 89), st.integers(0, 89), st.integers(1, 40), st.integers(1, 40)),
        min_size=1,
        max_size=4,
    ),
    seed=st.integers(0, 99),
)
@settings(max_examples=12)
def test_changed_boxes_anywhere_give_the_networks_outputs(
    network: torch.nn.Module,
    shape: tuple[int, int],
    boxes: list[tuple[int, int, int, int]],
    seed: int,
) -> None:
    """Boxes of all sizes, at edges and beyond (then nothing changes), on images of odd sizes."""
    import torch

    from rhoa.learning.incremental_inference import Incremental
    from rhoa.learning.torch_model import forward

    known = crop(*shape, seed)
    crops = known.repeat(len(boxes), 1, 1)
    for changed, (top, left, height, width) in zip(crops, boxes, strict=True):
        changed[top : top + height, left : left + width] = 255

    incremental = Incremental(network)
    first = incremental(known)
    outputs = incremental(crops)

    expected = forward(network, torch.cat([known, crops]), known.device)

    torch.testing.assert_close(torch.cat([first, outputs]), expected, atol=2e-5, rtol=2e-5)


def test_the_network_stays_as_it_is(network: torch.nn.Module) -> None:
    import torch

    from rhoa.learning.incremental_inference import Incremental

    before = {key: value.clone() for key, value in network.state_dict().items()}

    Incremental(network)(crop(40, 40, 1))

    assert not any(layer.training for layer in network.modules())
    for key, value in network.state_dict().items():
        assert torch.equal(value, before[key])


def test_networks_of_other_layers_are_told() -> None:
    import torch
    from torchvision.models import resnet18, resnet50

    from rhoa.learning.incremental_inference import can_be_incremental

    assert can_be_incremental(resnet18(num_classes=2))
    assert not can_be_incremental(resnet50(num_classes=2))
    assert not can_be_incremental(torch.nn.Linear(2, 2))

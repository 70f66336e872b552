"""Convolutions by matrix products are convolutions, no less exact than the library's."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch", reason="torch is not installed: pip install 'rhoa[train]'")

from torch.nn import functional  # noqa: E402

from rhoa.learning.winograd import Winograd  # noqa: E402

pytestmark = pytest.mark.torch


def normal(*shape: int, seed: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@given(
    images=st.integers(1, 3),
    channels=st.tuples(st.integers(1, 5), st.integers(1, 5)),
    size=st.tuples(st.integers(3, 15), st.integers(3, 15)),
    padding=st.integers(0, 2),
    pixels_first=st.booleans(),
)
@settings(max_examples=40)
def test_outputs_of_all_shapes(
    images: int,
    channels: tuple[int, int],
    size: tuple[int, int],
    padding: int,
    *,
    pixels_first: bool,
) -> None:
    inputs, outputs = channels
    weight, bias = normal(outputs, inputs, 3, 3, seed=1).double(), normal(outputs, seed=2).double()
    maps = normal(images, inputs, *size, seed=3).double()
    if pixels_first:  # as it gives them itself
        maps = maps.permute(2, 3, 0, 1).contiguous().permute(2, 3, 0, 1)

    ours = Winograd(weight, bias)(maps, padding=padding)

    expected = functional.conv2d(maps, weight, bias, padding=padding)
    torch.testing.assert_close(ours, expected, atol=1e-12, rtol=1e-12)


def test_rounding_errors_of_many_channels_are_those_of_a_direct_convolution() -> None:
    weight, bias = normal(64, 512, 3, 3, seed=1) / 68, normal(64, seed=2)
    maps = normal(4, 512, 7, 7, seed=3).relu()
    exact = functional.conv2d(maps.double(), weight.double(), bias.double(), padding=1)

    ours = (Winograd(weight, bias)(maps, padding=1) - exact).abs().max()

    direct = (functional.conv2d(maps, weight, bias, padding=1) - exact).abs().max()
    assert 0 < ours < 2 * direct

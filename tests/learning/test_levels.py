"""Grey levels as a network takes them: sizes, ranges, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

from rhoa import RhoaError
from rhoa.learning.preprocessing import prepare, require_grey


def test_xray_size_removes_what_is_finer_than_its_pixels() -> None:
    """Lines one pixel wide average to grey; without xray_size they stay."""
    lines = np.tile([0.0, 255.0], (128, 64)).astype(np.float32)

    seen = prepare(lines, image_size=128, xray_size=32)
    sharp = prepare(lines, image_size=128, xray_size=None)

    assert np.ptp(seen[:, 8:-8]) <= 1
    np.testing.assert_array_equal(sharp, lines)


def test_xray_size_never_enlarges() -> None:
    image = np.random.default_rng(0).uniform(0, 255, (20, 20)).astype(np.float32)

    np.testing.assert_array_equal(
        prepare(image, image_size=40, xray_size=30),
        prepare(image, image_size=40, xray_size=None),
    )


def test_grey_levels_that_rounding_pushed_past_white_are_white() -> None:
    grey = require_grey(np.full((32, 32), np.nextafter(255, 256)), where="image 0")

    assert (prepare(grey, image_size=32, xray_size=None) == 255).all()


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((2, 2, 3)),
        np.zeros((0, 4)),
        np.array([["a"]]),
        np.array([[np.nan, 1.0]]),
        np.array([[-1.0, 1.0]]),
        np.array([[0.0, 256.0]]),
        np.array([[0.0, 0.7]]),
    ],
)
def test_grey_levels_of_another_range_are_refused(image: np.ndarray) -> None:
    with pytest.raises(RhoaError, match="image 3"):
        require_grey(image, where="image 3")

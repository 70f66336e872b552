"""Occlusion maps of models whose answer is known in closed form."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from rhoa import RhoaError
from rhoa.evaluation.saliency import occlusion


class Block:
    """Probability of class 1: the mean of one block of pixels."""

    def __init__(self, top: int, left: int, size: int) -> None:
        self.block = slice(top, top + size), slice(left, left + size)
        self.calls: list[int] = []

    def predict_proba(self, images: Sequence[NDArray[np.float32]]) -> NDArray[np.float64]:
        self.calls.append(len(images))
        share = np.array([float(image[self.block].mean()) for image in images])
        return np.stack([1 - share, share], axis=1)


def lit(shape: tuple[int, int], block: tuple[slice, slice]) -> NDArray[np.float32]:
    image = np.zeros(shape, np.float32)
    image[block] = 1.0
    return image


def test_hiding_the_block_alone_matters_and_by_the_mean_of_the_image() -> None:
    """The lit 4 x 4 of a 12 x 16 image has mean 1; hidden it has the image's mean, 1/12."""
    model = Block(4, 8, 4)
    image = lit((12, 16), model.block)

    sensitivity = occlusion(model, image, patch=4, stride=4)

    expected = np.zeros((12, 16))
    expected[model.block] = 1 - 16 / (12 * 16)
    np.testing.assert_allclose(sensitivity, expected, atol=1e-6)
    assert sensitivity.dtype == np.float32


def test_a_pixel_averages_the_patches_that_cover_it() -> None:
    """Patches of 2 by steps of 1 on a row of pixels whose third alone decides."""
    model = Block(0, 2, 1)
    image = np.zeros((2, 4), np.float32)
    image[0, 2] = 0.8
    fall = 0.8 - 0.1  # the mean of eight pixels is 0.1

    sensitivity = occlusion(model, image, patch=2, stride=1, target=1)

    np.testing.assert_allclose(sensitivity, [[0, fall / 2, fall, fall]] * 2, atol=1e-6)


def test_what_speaks_against_the_class_is_negative() -> None:
    model = Block(4, 8, 4)
    image = lit((12, 16), model.block)

    np.testing.assert_allclose(
        occlusion(model, image, patch=4, stride=4, target=0),
        -occlusion(model, image, patch=4, stride=4, target=1),
        atol=1e-6,
    )


def test_the_predicted_class_is_the_default() -> None:
    model = Block(0, 0, 8)
    dark = lit((8, 8), (slice(0, 2), slice(0, 2)))

    np.testing.assert_array_equal(
        occlusion(model, dark, patch=4, stride=2),
        occlusion(model, dark, patch=4, stride=2, target=0),
    )


def test_matlab_squares_are_centred_and_cut_at_the_edges() -> None:
    """Squares of 3 centred on pixels 0, 2 and 4 of a line of 5; the model sees pixel 1 alone.

    The first two squares hide it, the last one does not; between them lies the cubic of Keys.
    """
    model = Block(0, 1, 1)
    image = np.zeros((5, 5), np.float32)
    image[0, 1] = 1.0
    fall = 1 - 1 / 25

    sensitivity = occlusion(model, image, patch=3, stride=2, target=1, spread="matlab")

    # At half a step from the centres: -1/16, 9/16, 9/16, -1/16 of the four around it.
    line = np.array([1, (-1 + 9 + 9) / 16, 1, (9 - 1) / 16, 0])
    np.testing.assert_allclose(sensitivity[0], fall * line, atol=1e-6)
    assert np.abs(sensitivity[2]).max() == 0  # squares centred below pixel row 1 do not reach row 0


def test_of_single_pixels_both_readings_are_one() -> None:
    image = np.random.default_rng(5).random((6, 7))
    model = Block(1, 2, 3)

    mean, matlab = (
        occlusion(model, image, patch=1, stride=1, spread=spread) for spread in ("mean", "matlab")
    )

    np.testing.assert_allclose(mean, matlab, atol=1e-7)


@given(
    rows=st.integers(3, 17),
    columns=st.integers(3, 17),
    patch=st.integers(1, 3),
    batch=st.integers(1, 50),
    data=st.data(),
)
def test_every_pixel_is_covered_and_batches_do_not_matter(
    rows: int, columns: int, patch: int, batch: int, data: st.DataObject
) -> None:
    stride = data.draw(st.integers(1, patch))
    image = np.random.default_rng(0).random((rows, columns))
    model = Block(0, 0, 3)

    some = occlusion(model, image, patch=patch, stride=stride, batch=batch, target=1)
    whole = occlusion(Block(0, 0, 3), image, patch=patch, stride=stride, batch=10_000, target=1)

    assert np.isfinite(some).all()
    np.testing.assert_array_equal(some, whole)
    assert max(model.calls) <= batch


def test_the_image_stays_as_it_is() -> None:
    image = np.random.default_rng(0).random((9, 9)).astype(np.float32)
    before = image.copy()

    occlusion(Block(0, 0, 3), image, patch=3, stride=3)

    np.testing.assert_array_equal(image, before)


@pytest.mark.parametrize(
    ("image", "options", "problem"),
    [
        (np.zeros((4, 4, 3)), {}, "2-D"),
        (np.zeros((4, 4)), {"patch": 5}, "patch must fit"),
        (np.zeros((4, 4)), {"patch": 0}, "patch"),
        (np.zeros((4, 4)), {"stride": 3}, "no gaps"),
        (np.zeros((4, 4)), {"stride": 0}, "stride"),
        (np.zeros((4, 4)), {"batch": 0}, "batch"),
        (np.zeros((4, 4)), {"spread": "nearest"}, "spread must be one of 'mean', 'matlab'"),
        (np.zeros((4, 4)), {"target": 2}, "2 classes; got 2"),
        (np.zeros((4, 4)), {"target": -1}, "target"),
    ],
)
def test_what_cannot_be_occluded_is_named(
    image: NDArray[np.float64], options: dict[str, Any], problem: str
) -> None:
    with pytest.raises(RhoaError, match=problem):
        occlusion(Block(0, 0, 2), image, **{"patch": 2, "stride": 1, **options})

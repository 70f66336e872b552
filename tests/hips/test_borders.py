"""Margins that a collimator or software left: found where they are planted, and nowhere else."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

import rhoa
from rhoa.hips import Content, content
from rhoa.phantom import Anatomy, xray


def scene(rows: int, columns: int) -> NDArray[np.float32]:
    """Levels of 1000 to 3000 that change along every row and column."""
    row, column = np.indices((rows, columns), np.float32)
    return 2000 + 500 * np.sin(row / 7 + 1) + 500 * np.cos(column / 9)


@given(
    sizes=st.tuples(st.integers(40, 90), st.integers(40, 90)),
    margins=st.tuples(*[st.integers(0, 12)] * 4),
    level=st.sampled_from([0.0, 4095.0]),
    noise=st.sampled_from([0.0, 5.0]),
)
def test_planted_margins_are_found_to_the_pixel(
    sizes: tuple[int, int], margins: tuple[int, int, int, int], level: float, noise: float
) -> None:
    top, left, bottom, right = margins
    rows, columns = sizes
    image = np.full((top + rows + bottom, left + columns + right), level, np.float32)
    image[top : top + rows, left : left + columns] = scene(rows, columns)
    image += noise * np.random.default_rng(1).standard_normal(image.shape, np.float32)

    assert content(image) == Content(top, left, top + rows, left + columns)


def test_a_marker_in_a_margin_does_not_hide_it() -> None:
    image = np.zeros((200, 240), np.float32)
    image[30:180, 20:220] = scene(150, 200)
    image[8:18, 5:15] = 4095  # a letter in the corner

    assert content(image) == Content(30, 20, 180, 220)


def test_margins_of_both_kinds_are_found() -> None:
    image = np.zeros((120, 160), np.float32)
    image[:, 40:] = scene(120, 120)
    image[100:] = 4095

    assert content(image) == Content(0, 40, 100, 160)


@pytest.mark.parametrize(
    "image",
    [
        scene(60, 80),
        np.zeros((60, 80)),
        np.pad(scene(10, 10), 60),  # next to nothing would be left
        np.pad(scene(60, 80), 10, constant_values=2000),  # neither dark nor bright
        np.zeros((0, 5)),
        np.ones((1, 1)),
    ],
    ids=["scene", "black", "all but nothing", "grey frame", "empty", "one pixel"],
)
def test_without_margins_all_is_content(image: NDArray[np.float32]) -> None:
    assert content(image) == Content(0, 0, *image.shape)


def test_no_hip_of_a_phantom_is_taken_for_a_margin() -> None:
    """Air beside the patient may be; and blades that are planted are found around what is left."""
    made = xray(Anatomy.random(7), pixel_mm=1.0, voxel_mm=3.0)
    collimated = np.array(made.radiograph.pixels)
    collimated[:25], collimated[-15:], collimated[:, :30], collimated[:, -20:] = 0, 0, 0, 0

    for image in (made.radiograph, collimated):
        found = content(image)
        for box in made.boxes.values():
            assert found.top <= max(box.top, 25)
            assert found.left <= max(box.left, 30)
            assert found.bottom >= min(box.bottom, image.shape[0] - 15)
            assert found.right >= min(box.right, image.shape[1] - 20)
    rows, columns = collimated.shape
    assert (found.top, found.bottom) == (25, rows - 15)
    assert found.left >= 30
    assert found.right <= columns - 20


def test_a_rectangle_cuts_rows_first() -> None:
    image = np.arange(20).reshape(4, 5)

    assert np.array_equal(image[Content(1, 2, 3, 5).slices], image[1:3, 2:5])
    assert content(rhoa.Radiograph(scene(20, 30), (1, 1))) == Content(0, 0, 20, 30)

"""Changes of crops for test-time augmentation: exact where the truth is, bounded, and seeded."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from rhoa.learning import Augmentation
from rhoa.learning.preprocessing import draw_changes, warp_levels

LEVELS = np.random.default_rng(0).integers(0, 256, (3, 8, 8)).astype(np.uint8)


def change(*, turn: float = 0, down: float = 0, across: float = 0, scale: float = 1) -> np.ndarray:
    return np.array([turn, down, across, scale], np.float64)


def test_no_change_changes_nothing() -> None:
    np.testing.assert_array_equal(warp_levels(LEVELS, change()), LEVELS)


def test_a_quarter_turn_is_anticlockwise_as_seen() -> None:
    np.testing.assert_array_equal(
        warp_levels(LEVELS, change(turn=90)), np.rot90(LEVELS, axes=(1, 2))
    )


def test_a_shift_brings_in_black() -> None:
    moved = warp_levels(LEVELS, change(down=2, across=-1))

    np.testing.assert_array_equal(moved[:, 2:, :-1], LEVELS[:, :-2, 1:])
    assert not moved[:, :2].any()
    assert not moved[:, :, -1].any()


def test_a_larger_scale_enlarges_about_the_centre() -> None:
    corners = np.zeros((1, 8, 8), np.uint8)
    corners[0, 2:6, 2:6] = 200

    enlarged = warp_levels(corners, change(scale=2))

    assert (enlarged[0, 1:7, 1:7] == 200).all()


def test_half_a_pixel_is_the_mean_of_two() -> None:
    line = np.tile(np.uint8([10, 20, 30, 40]), (1, 4, 1))

    np.testing.assert_array_equal(warp_levels(line, change(across=0.5))[0, 0], [5, 15, 25, 35])


@given(seed=st.integers(0, 2**31), views=st.integers(1, 20))
def test_changes_stay_within_their_bounds_and_the_first_is_none(seed: int, views: int) -> None:
    limits = Augmentation(rotation_deg=3, translation_px=2, scale=(0.9, 1.1))

    rows = draw_changes(limits, views, seed=seed)

    np.testing.assert_array_equal(rows[0], change())
    assert (np.abs(rows[:, 0]) <= 3).all()
    assert (np.abs(rows[:, 1:3]) <= 2).all()
    assert ((rows[:, 3] >= 0.9) & (rows[:, 3] <= 1.1)).all()
    np.testing.assert_array_equal(rows, draw_changes(limits, views, seed=seed))
    np.testing.assert_array_equal(rows, draw_changes(limits, views + 3, seed=seed)[:views])

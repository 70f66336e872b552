"""Volume: indices, patient millimetres and which axis is which."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

import rhoa
from tests.strategies import rotations


def test_from_array_grows_superior_posterior_and_left() -> None:
    volume = rhoa.Volume.from_array(np.zeros((3, 4, 5), np.int16), spacing_mm=(3, 2, 1))

    assert volume.shape == (3, 4, 5)
    assert volume.spacing_mm == (3.0, 2.0, 1.0)
    np.testing.assert_array_equal(volume.to_lps(np.eye(3)), [[0, 0, 3], [0, 2, 0], [1, 0, 0]])
    assert volume.axes == (0, 1, 2, (1, 1, 1))


@given(rotations(40.0), st.tuples(*[st.floats(0.3, 5.0)] * 3))
def test_indices_survive_the_way_to_millimetres_and_back(
    turn: NDArray[np.float64], spacing: tuple[float, float, float]
) -> None:
    affine = np.eye(4)
    affine[:3, :3] = turn * spacing
    affine[:3, 3] = [-120.0, 33.0, 1500.0]
    volume = rhoa.Volume(np.zeros((3, 4, 5)), affine)
    index = np.array([[0, 0, 0], [2, 3, 4], [0.5, 1.25, -7]])

    np.testing.assert_allclose(volume.to_index(volume.to_lps(index)), index, atol=1e-9)
    np.testing.assert_allclose(volume.spacing_mm, spacing)


def test_corners_are_the_outermost_voxel_centres() -> None:
    corners = rhoa.Volume.from_array(np.zeros((3, 4, 5)), (3, 2, 1)).corners_lps_mm()

    assert corners.shape == (8, 3)
    assert corners.min(axis=0).tolist() == [0, 0, 0]
    assert corners.max(axis=0).tolist() == [4, 6, 6]


def test_the_array_is_not_copied_and_the_affine_is_read_only() -> None:
    hu = np.zeros((2, 2, 2), np.int16)
    volume = rhoa.Volume.from_array(hu, (1, 1, 1))

    assert np.shares_memory(volume.hu, hu)
    with pytest.raises(ValueError, match="read-only"):
        volume.affine[0, 0] = 2


@pytest.mark.parametrize(
    ("hu", "affine", "message"),
    [
        (np.zeros((2, 2)), np.eye(4), "3-D array"),
        (np.zeros((2, 2, 2), complex), np.eye(4), "dtype complex128"),
        (np.zeros((2, 2, 2)), np.eye(3), "4 x 4 matrix of finite numbers"),
        (np.zeros((2, 2, 2)), np.full((4, 4), np.nan), "finite"),
        (np.zeros((2, 2, 2)), np.ones((4, 4)), "last row"),
        (np.zeros((2, 2, 2)), np.diag([1, 1, 0, 1]), "invertible"),
    ],
)
def test_what_is_no_volume_is_refused(
    hu: NDArray[np.generic], affine: NDArray[np.float64], message: str
) -> None:
    with pytest.raises(rhoa.RhoaError, match=message):
        rhoa.Volume(hu, affine)


@pytest.mark.parametrize("spacing", [(1, 1), (1, 0, 1), (1, -1, 1), (1, np.nan, 1), 2, "abc"])
def test_spacing_must_be_three_positive_numbers(spacing: object) -> None:
    with pytest.raises(rhoa.RhoaError, match="spacing_mm"):
        rhoa.Volume.from_array(np.zeros((2, 2, 2)), spacing)

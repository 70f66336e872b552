"""Bone, and the small copy it is looked for in."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rhoa
from rhoa.errors import PoseError
from rhoa.pose.bone import BONE_HU, along_patient, around_body, body_of, bone_of, coarse, edges
from tests.strategies import stored


def test_a_block_of_voxels_becomes_its_mean() -> None:
    hu = np.arange(4 * 6 * 8, dtype=np.int16).reshape(4, 6, 8)
    volume = rhoa.Volume.from_array(hu, (1.0, 1.0, 0.5))

    copy = coarse(volume)

    np.testing.assert_array_equal(copy.hu, hu.reshape(2, 2, 3, 2, 2, 4).mean(axis=(1, 3, 5)))
    assert copy.spacing_mm == (2.0, 2.0, 2.0)
    np.testing.assert_allclose(copy.affine[:3, 3], volume.to_lps([0.5, 0.5, 1.5]))


def test_an_axis_that_is_coarse_already_stays() -> None:
    volume = rhoa.Volume.from_array(np.zeros((5, 40, 40), np.int16), (5.0, 0.7, 0.7))

    assert coarse(volume).shape == (5, 13, 13)


@pytest.mark.parametrize("spacing_mm", [1.34, 1.5, 1.69])
@pytest.mark.parametrize("along", [0, 1, 2])
def test_voxels_between_are_averaged_to_two_mm_where_they_lie(
    spacing_mm: float, along: int
) -> None:
    """HU that are places in mm are those of the copy's voxels, too: by parts of a voxel alone."""
    index = np.stack(np.meshgrid(*map(np.arange, (31, 40, 53)), indexing="ij"), axis=-1)
    volume = rhoa.Volume.from_array(np.zeros(index.shape[:3], np.float32), (spacing_mm,) * 3)
    ramp = rhoa.Volume(volume.to_lps(index)[..., along].astype(np.float32), volume.affine)

    copy = coarse(ramp)

    np.testing.assert_allclose(copy.spacing_mm, 2.0)
    places = np.stack(np.meshgrid(*map(np.arange, copy.shape), indexing="ij"), axis=-1)
    off_mm = copy.hu - copy.to_lps(places)[..., along]
    assert np.abs(off_mm).max() < 0.15
    assert abs(off_mm.mean()) < 0.02
    assert (np.subtract(ramp.shape, 1) * spacing_mm - np.subtract(copy.shape, 1) * 2 < 3).all()


def test_air_around_a_body_is_left_out_and_the_body_stays_where_it_was() -> None:
    hu = np.full((90, 300, 310), -1000, np.int16)
    hu[20:70, 100:180, 90:220] = 40
    volume = rhoa.Volume.from_array(hu, (1.5, 1.5, 1.5))

    part = around_body(volume)

    assert np.shares_memory(part.hu, hu)
    assert part.hu.size < 0.2 * hu.size
    tissue = [of.to_lps(np.argwhere(of.hu == 40)) for of in (part, volume)]
    np.testing.assert_allclose(*tissue)


def test_a_scan_of_nothing_but_tissue_is_all_body() -> None:
    volume = rhoa.Volume.from_array(np.zeros((20, 30, 40), np.int16), (2, 2, 2))

    assert around_body(volume).shape == volume.shape


@pytest.mark.parametrize("dtype", [np.int16, np.uint8, np.int32, np.float32, np.float64])
def test_sums_of_any_type_do_not_overflow(dtype: type) -> None:
    largest = np.iinfo(dtype).max // 2 if np.issubdtype(dtype, np.integer) else 30_000
    volume = rhoa.Volume.from_array(np.full((6, 6, 6), largest, dtype), (0.5, 0.5, 0.5))

    np.testing.assert_allclose(coarse(volume).hu, largest, rtol=1e-6)


def test_voxels_without_a_number_are_air() -> None:
    hu = np.zeros((4, 4, 4), np.float32)
    hu[0, 0, 0] = np.nan
    hu[2, 0, 0] = np.inf

    copy = coarse(rhoa.Volume.from_array(hu, (1, 1, 1))).hu

    assert copy[0, 0, 0] == copy[1, 0, 0] == -1024
    assert copy[0, 1, 1] == 0


@settings(max_examples=20)
@given(st.permutations([0, 1, 2]), st.tuples(*[st.booleans()] * 3))
def test_the_small_copy_does_not_depend_on_the_storage_order(
    order: list[int], flips: tuple[bool, bool, bool]
) -> None:
    hu = np.random.default_rng(0).integers(-1000, 1000, (8, 12, 16), dtype=np.int16)
    volume = rhoa.Volume.from_array(hu, (1, 1, 1))
    other = stored(volume, tuple(order), flips)

    np.testing.assert_array_equal(along_patient(other).hu, hu)
    np.testing.assert_allclose(coarse(other).affine, coarse(volume).affine, atol=1e-12)
    np.testing.assert_array_equal(coarse(other).hu, coarse(volume).hu)


def test_the_view_along_the_patient_is_no_copy() -> None:
    volume = rhoa.Volume.from_array(np.zeros((4, 5, 6), np.int16), (1, 1, 1))

    assert np.shares_memory(along_patient(volume).hu, volume.hu)


def test_the_table_is_no_body() -> None:
    hu = np.full((30, 100, 120), -1000, np.float32)
    hu[:, 20:70, 20:100] = 40
    hu[:, 40:50, 50:70] = -800  # gas within
    hu[:, 80:82] = 900  # the table

    body = body_of(rhoa.Volume.from_array(hu, (2, 2, 2)))

    assert body[:, 25:65, 25:95].all()
    assert not body[:, 78:].any()


def test_density_grows_from_the_surface_inward() -> None:
    index = np.indices((40, 40, 40)) - 20.0
    ball = np.where(np.sqrt((index**2).sum(axis=0)) < 10, 800.0, 0.0).astype(np.float32)
    bone = bone_of(rhoa.Volume.from_array(ball, (2, 2, 2)))

    points, uphill = edges(bone.grid)

    inward = 40.0 - points
    inward /= np.linalg.norm(inward, axis=1, keepdims=True)
    assert ((inward * uphill).sum(axis=1) > 0.95).all()


def test_a_head_has_an_edge_where_its_socket_touches_it() -> None:
    away = np.linalg.norm((np.indices((50, 50, 50)) - 24.5) * 2, axis=0)
    joint = np.select([away < 24, away < 28, away < 36], [700, 300, 900], 0).astype(np.float32)
    bone = bone_of(rhoa.Volume.from_array(joint, (2, 2, 2)))
    assert bone.grid.hu[24, 24, 37] > BONE_HU  # the joint space is no gap in the bone

    points, uphill = edges(bone.grid)

    from_centre = points - 49.0
    radius = np.linalg.norm(from_centre, axis=1)
    outward = (from_centre * uphill).sum(axis=1) / radius
    assert ((radius > 21) & (radius < 26) & (outward < -0.9)).sum() > 400
    assert ((radius > 26) & (radius < 30) & (outward > 0.9)).sum() > 400


def test_nothing_dense_is_no_bone() -> None:
    with pytest.raises(PoseError, match="200 HU"):
        bone_of(rhoa.Volume.from_array(np.zeros((20, 20, 20), np.float32), (2, 2, 2)))

"""Volumes come back from other libraries as they went, and lie there where they should."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rhoa.errors import VolumeError
from rhoa.volume import Volume

if TYPE_CHECKING:
    from types import ModuleType

LIBRARIES = {"nibabel": "nibabel", "sitk": "SimpleITK", "highdicom": "highdicom"}
LEFT_MARK = (1, 2, 4)


def library(name: str) -> ModuleType:
    return pytest.importorskip(name, reason=f"needs {name}")


@st.composite
def volumes(draw: st.DrawFn) -> Volume:
    """Voxels of any kind a CT comes in, in a turned, mirrored or permuted frame."""
    dtype = draw(st.sampled_from([np.int16, np.int32, np.float32, np.float64, np.uint8]))
    shape = draw(st.tuples(*[st.integers(1, 5)] * 3))
    random = np.random.default_rng(draw(st.integers(0, 999)))
    turn = np.linalg.qr(random.normal(size=(3, 3)))[0] if draw(st.booleans()) else np.eye(3)
    signs = draw(st.tuples(*[st.sampled_from([1, -1])] * 3))
    affine = np.eye(4)
    affine[:3, :3] = turn[:, draw(st.permutations(range(3)))] * signs * random.uniform(0.4, 5, 3)
    affine[:3, 3] = random.uniform(-500, 500, 3)
    return Volume(random.integers(0, 200, shape).astype(dtype), affine)


def marked() -> Volume:
    """A plain axial scan with one bright voxel on the patient's left."""
    hu = np.zeros((3, 4, 6), np.int16)
    hu[LEFT_MARK] = 1000
    affine = Volume.from_array(hu, (3.0, 0.7, 0.8)).affine.copy()
    affine[:3, 3] = (-20.0, 30.0, -400.0)
    return Volume(hu, affine)


@pytest.mark.parametrize("name", LIBRARIES)
@settings(max_examples=60, deadline=None)
@given(volume=volumes())
def test_a_volume_comes_back_as_it_went(name: str, volume: Volume) -> None:
    library(LIBRARIES[name])

    back = getattr(Volume, f"from_{name}")(getattr(volume, f"to_{name}")())

    np.testing.assert_array_equal(back.hu, volume.hu)
    np.testing.assert_allclose(back.affine, volume.affine, atol=1e-4, rtol=1e-6)


def test_the_left_voxel_is_on_the_left_in_nibabel() -> None:
    nibabel = library("nibabel")

    image = marked().to_nibabel()

    x, y, z = np.argwhere(np.asanyarray(image.dataobj) == 1000)[0]
    ras = nibabel.affines.apply_affine(image.affine, (x, y, z))
    np.testing.assert_allclose(ras, (-(-20 + 4 * 0.8), -(30 + 2 * 0.7), -400 + 3.0), atol=1e-5)
    assert image.header.get_xyzt_units()[0] == "mm"


def test_the_left_voxel_is_on_the_left_in_simpleitk() -> None:
    library("SimpleITK")

    image = marked().to_sitk()

    k, j, i = LEFT_MARK
    assert image.GetPixel(i, j, k) == 1000
    lps = image.TransformIndexToPhysicalPoint((i, j, k))
    np.testing.assert_allclose(lps, (-20 + 4 * 0.8, 30 + 2 * 0.7, -400 + 3.0))


def test_the_left_voxel_is_on_the_left_in_highdicom() -> None:
    library("highdicom")

    volume = marked().to_highdicom()

    lps = volume.map_indices_to_reference(np.array([LEFT_MARK]))
    np.testing.assert_allclose(lps, [(-20 + 4 * 0.8, 30 + 2 * 0.7, -400 + 3.0)])


def test_a_torchio_image_is_nibabels() -> None:
    torchio = library("torchio")
    library("nibabel")

    image = marked().to_torchio()

    assert isinstance(image, torchio.ScalarImage)
    np.testing.assert_allclose(image.affine, marked().to_nibabel().affine)
    np.testing.assert_array_equal(image.data[0], np.asanyarray(marked().to_nibabel().dataobj))
    np.testing.assert_array_equal(Volume.from_torchio(image).hu, marked().hu)


def test_a_scaled_nifti_image_gives_scaled_values() -> None:
    nibabel = library("nibabel")
    image = nibabel.Nifti1Image(np.full((2, 3, 4), 1.5), np.eye(4))

    volume = Volume.from_nibabel(image)

    assert volume.shape == (4, 3, 2)
    assert (volume.hu == 1.5).all()


@pytest.mark.parametrize("name", [*LIBRARIES, "torchio"])
def test_another_thing_is_named(name: str) -> None:
    if name == "sitk":
        library("SimpleITK")

    with pytest.raises(VolumeError, match="an image of it is needed; got dict"):
        getattr(Volume, f"from_{name}")({})


def test_colours_and_time_are_no_volume() -> None:
    sitk, nibabel = library("SimpleITK"), library("nibabel")

    with pytest.raises(VolumeError, match="several values a voxel"):
        Volume.from_sitk(sitk.Image([3, 4, 5], sitk.sitkVectorUInt8))
    with pytest.raises(VolumeError, match=r"3 dimensions are needed; got shape \(2, 3, 4, 5\)"):
        Volume.from_nibabel(nibabel.Nifti1Image(np.zeros((2, 3, 4, 5)), np.eye(4)))
    with pytest.raises(VolumeError, match="3 dimensions are needed"):
        Volume.from_sitk(sitk.Image([3, 4], sitk.sitkInt16))


def test_arrays_are_shared_where_they_can_be() -> None:
    volume = marked()

    assert np.shares_memory(np.asarray(volume), volume.hu)
    assert np.shares_memory(np.from_dlpack(volume), volume.hu)
    assert not np.shares_memory(np.array(volume), volume.hu)
    assert np.asarray(volume, dtype=np.float64).dtype == np.float64


@pytest.mark.torch
def test_torch_takes_a_volume() -> None:
    torch = library("torch")

    tensor = torch.from_dlpack(marked())

    assert tensor[LEFT_MARK] == 1000
    assert tensor.shape == (3, 4, 6)

"""Several windows, labels and attenuation in one pass."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

import rhoa
from rhoa.projection.render import WATER_ATTENUATION_PER_MM
from tests.strategies import arrays, clipped, noise_volume, posed, rotation, stored, windows

AXES = st.integers(0, 2)
TURN = rotation(9, -5, 7).T


def labelled_volume() -> tuple[rhoa.Volume, NDArray[np.uint8]]:
    volume = noise_volume()
    return volume, np.random.default_rng(5).integers(0, 4, volume.shape).astype(np.uint8)


class TestWindows:
    @given(arrays(), st.lists(windows(), min_size=1, max_size=4), AXES)
    def test_each_image_of_a_sweep_is_the_ct_ap_of_its_window(
        self, hu: NDArray[np.generic], bounds: list[tuple[float, float]], axis: int
    ) -> None:
        images = rhoa.sweep(hu, bounds, axis=axis)

        assert len(images) == len(bounds)
        for image, window in zip(images, bounds, strict=True):
            assert np.array_equal(image, rhoa.ctap(hu, window=window, axis=axis))

    @pytest.mark.parametrize("angles", [None, (9, -5, 7)])
    def test_a_sweep_of_a_volume_gives_radiographs_that_know_their_window(
        self, angles: tuple[float, float, float] | None
    ) -> None:
        volume = noise_volume()
        pose = angles and posed(volume, rotation(*angles).T)
        bounds = [(-150, 600), (0, 300)]

        images = rhoa.sweep(volume, bounds, pose=pose)

        for image, window in zip(images, bounds, strict=True):
            alone = rhoa.ctap(volume, pose=pose, window=window)
            assert image.provenance["window_hu"] == window
            assert np.array_equal(image.pixels, alone.pixels)

    def test_windows_may_come_from_a_generator(self) -> None:
        hu = np.full((1, 1, 1), 500)

        assert [image.item() for image in rhoa.sweep(hu, ((0, w) for w in (100, 600)))] == [
            100,
            500,
        ]

    def test_a_sweep_needs_a_window(self) -> None:
        with pytest.raises(rhoa.RhoaError, match="at least one"):
            rhoa.sweep(np.zeros((2, 2, 2)), [])


class TestMasks:
    @given(arrays(), windows(), AXES, st.integers(0, 2**32))
    def test_a_boolean_mask_sums_what_is_inside(
        self, hu: NDArray[np.generic], window: tuple[float, float], axis: int, seed: int
    ) -> None:
        """Oracle: NumPy's `where`."""
        mask = np.random.default_rng(seed).random(hu.shape) < 0.5

        image = rhoa.ctap(hu, window=window, axis=axis, mask=mask)

        expected = clipped(hu, window).sum(axis, where=mask)
        np.testing.assert_allclose(image, expected, rtol=3e-7, atol=1e-2)

    def test_a_boolean_mask_is_true_where_its_byte_is_not_zero(self) -> None:
        hu = np.full((1, 3, 1), 100, np.int16)
        mask = np.array([0, 2, 255], np.uint8).view(bool).reshape(hu.shape)

        assert rhoa.ctap(hu, mask=mask) == 200

    def test_a_boolean_mask_has_no_label(self) -> None:
        volume = noise_volume()
        mask = np.ones(volume.shape, bool)

        assert "label" not in rhoa.ctap(volume, mask=mask).provenance
        assert rhoa.ctap(volume, mask=mask.astype(int))[1].provenance["label"] == 1

    def test_integer_labels_give_an_image_each(self) -> None:
        volume, labels = labelled_volume()

        images = rhoa.ctap(volume.hu, mask=labels.astype(np.int32))

        assert list(images) == [1, 2, 3]
        for label, image in images.items():
            assert np.array_equal(image, rhoa.ctap(volume.hu, mask=labels == label))

    def test_labels_follow_a_scan_that_is_stored_the_other_way_round(self) -> None:
        volume, labels = labelled_volume()
        flipped = stored(volume, (0, 1, 2), (1, 1, 0))

        image = rhoa.ctap(flipped, mask=labels[::-1, ::-1] == 2)

        assert np.array_equal(image.pixels, rhoa.ctap(volume, mask=labels == 2).pixels)

    def test_through_a_pose_the_labels_add_up_to_the_whole(self) -> None:
        """Everything is linear; with a low end of 0 HU the outside adds nothing."""
        volume, labels = labelled_volume()
        pose = posed(volume, TURN)

        images = rhoa.ctap(volume, pose=pose, window=(0, 600), mask=labels + 1)

        assert [image.provenance["label"] for image in images.values()] == [1, 2, 3, 4]
        total = sum(image.pixels for image in images.values())
        whole = rhoa.ctap(volume, pose=pose, window=(0, 600)).pixels
        np.testing.assert_allclose(total, whole, atol=1e-5 * whole.max())

    def test_a_posed_mask_equals_the_ct_ap_of_the_masked_volume(self) -> None:
        """Oracle: voxels outside the mask set to 0 HU, in a window that begins there."""
        volume, labels = labelled_volume()
        pose = posed(volume, TURN)
        inside = np.where(labels == 2, np.clip(volume.hu, -100, 400) + 100, 0)
        oracle = rhoa.ctap(rhoa.Volume(inside, volume.affine), pose=pose, window=(0, 600))
        count = np.where(labels == 2, 100, 0).astype(np.float32)
        weight = rhoa.ctap(rhoa.Volume(count, volume.affine), pose=pose, window=(0, 600))

        image = rhoa.ctap(volume, pose=pose, window=(-100, 400), mask=labels == 2)

        expected = oracle.pixels - weight.pixels
        np.testing.assert_allclose(image.pixels, expected, atol=1e-5 * oracle.pixels.max())

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"mask": np.ones((2, 2), bool)}, r"the volume's shape \(2, 3, 4\); got \(2, 2\)"),
            ({"mask": np.ones((2, 3, 4))}, "boolean or hold integer labels; got float64"),
            ({"mask": np.full((2, 3, 4), 256)}, "labels must be 0 to 255; got 256 to 256"),
            ({"mask": np.full((2, 3, 4), -1)}, "labels must be 0 to 255"),
            ({"mask": np.ones((2, 3, 4), bool), "reduce": "max"}, 'only reduce="sum"'),
        ],
    )
    def test_bad_masks_are_named(self, arguments: dict[str, object], message: str) -> None:
        with pytest.raises(rhoa.RhoaError, match=message):
            rhoa.ctap(np.zeros((2, 3, 4)), **arguments)

    def test_a_mask_needs_the_shear(self) -> None:
        volume, labels = labelled_volume()

        with pytest.raises(rhoa.RhoaError, match='mask needs method="shear"'):
            rhoa.ctap(volume, pose=posed(volume, TURN), mask=labels, method="reslice")


class TestAttenuation:
    @pytest.mark.parametrize("angles", [None, (0, 0, 0)])
    @pytest.mark.parametrize("method", ["shear", "reslice"])
    def test_water_attenuates_by_its_thickness(
        self, angles: tuple[float, float, float] | None, method: str
    ) -> None:
        """Closed form: mu_water times the millimetres of water; bone of 1000 HU twice that."""
        hu = np.full((30, 40, 30), -1000, np.int16)
        hu[:, 10:30] = 0
        hu[:, 12:16] = 1000
        volume = rhoa.Volume.from_array(hu, (1.0, 0.5, 1.0))
        pose = angles and posed(volume, rotation(*angles).T)

        image = rhoa.ctap(volume, pose=pose, transform="attenuation", method=method)
        light = rhoa.ctap(volume, pose=pose, transform="transmission", method=method)

        expected = WATER_ATTENUATION_PER_MM * (20 + 4) * 0.5
        np.testing.assert_allclose(image.pixels[12:-12, 12:-12], expected, rtol=1e-5)
        np.testing.assert_allclose(light.pixels, np.exp(-np.maximum(image.pixels, 0)), rtol=1e-6)
        assert light.pixels.max() <= 1
        assert image.provenance["transform"] == "attenuation"

    def test_air_around_a_turned_scan_does_not_attenuate(self) -> None:
        volume = rhoa.Volume.from_array(np.zeros((40, 20, 40), np.int16), (1, 1, 1))

        image = rhoa.ctap(volume, pose=posed(volume, rotation(0, 45, 0).T), transform="attenuation")

        assert image.coverage_mm[0, 0] == 0
        assert image.pixels[0, 0] == pytest.approx(0, abs=1e-6)
        deep = image.pixels[image.coverage_mm > 19.999]  # 20 rows of 1 mm
        assert np.median(deep) == pytest.approx(WATER_ATTENUATION_PER_MM * 20, rel=1e-3)

    @pytest.mark.parametrize("angles", [None, (9, -5, 7)])
    def test_masked_attenuation_adds_up(self, angles: tuple[float, float, float] | None) -> None:
        volume, labels = labelled_volume()
        pose = angles and posed(volume, rotation(*angles).T)

        parts = rhoa.ctap(volume, pose=pose, mask=labels + 1, transform="attenuation")

        whole = rhoa.ctap(volume, pose=pose, transform="attenuation").pixels
        total = sum(part.pixels for part in parts.values())
        np.testing.assert_allclose(total, whole, atol=1e-5 * whole.max())

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"transform": "mu"}, "transform must be one of 'hu', 'attenuation', 'transmission'"),
            ({"transform": "attenuation", "reduce": "max"}, 'leave reduce="sum"'),
            ({"transform": "attenuation", "window": (-1024, 600)}, "a window from -1000 HU"),
        ],
    )
    def test_contradictions_are_named(self, arguments: dict[str, object], message: str) -> None:
        with pytest.raises(rhoa.RhoaError, match=message):
            rhoa.ctap(noise_volume(), **arguments)

    def test_an_array_has_no_millimetres(self) -> None:
        with pytest.raises(rhoa.RhoaError, match="needs spacings in mm; pass a rhoa.Volume"):
            rhoa.ctap(np.zeros((2, 2, 2)), transform="attenuation")

"""Running sums, slabs and coronal slices, against NumPy, SciPy and the CT-AP."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from scipy import ndimage

import rhoa
from tests.strategies import arrays, clipped, marked_volume, noise_volume, posed, rotation, windows

AXES = st.integers(0, 2)


class TestArrays:
    @given(arrays(), windows(), AXES, st.integers(1, 9))
    def test_running_sums_are_the_sums_of_the_first_slices(
        self, hu: NDArray[np.generic], window: tuple[float, float], axis: int, every: int
    ) -> None:
        length = hu.shape[axis]
        ends = [min(end, length) for end in range(every, length + every, every)]
        parts = [clipped(hu.take(range(end), axis), window).sum(axis) for end in ends]

        sums = rhoa.cumulative(hu, window=window, axis=axis, every=every)

        assert len(sums) == len(parts)
        for image, expected in zip(sums, parts, strict=True):
            np.testing.assert_allclose(image, expected, rtol=3e-7, atol=1e-2)
        if length:
            assert np.array_equal(sums[-1], rhoa.ctap(hu, window=window, axis=axis))

    @given(arrays(least=1), st.none() | windows(), AXES, st.data())
    def test_slabs_reduce_every_window_that_fits(
        self,
        hu: NDArray[np.generic],
        window: tuple[float, float] | None,
        axis: int,
        data: st.DataObject,
    ) -> None:
        thickness = data.draw(st.integers(1, hu.shape[axis]))
        step = data.draw(st.integers(1, 4))
        reduce = data.draw(st.sampled_from(["max", "mean", "sum"]))
        values = hu.astype(np.float64) if window is None else clipped(hu, window)
        slabs = np.moveaxis(sliding_window_view(values, thickness, axis), axis, 0)[::step]

        images = rhoa.thin_slab(
            hu, thickness=thickness, step=step, reduce=reduce, window=window, axis=axis
        )

        assert images.shape == slabs.shape[:3]
        np.testing.assert_allclose(images, getattr(slabs, reduce)(-1), rtol=3e-7, atol=1e-2)

    @pytest.mark.parametrize("pose", [False, True])
    def test_stacks_are_written_to_the_memory_that_is_given(self, *, pose: bool) -> None:
        volume = noise_volume()
        options = {"pose": posed(volume, rotation(8, -6, 11).T)} if pose else {}
        for stack in (
            lambda **given: rhoa.cumulative(volume, every=3, **options, **given),
            lambda **given: rhoa.thin_slab(
                volume, thickness_mm=9, reduce="mean", **options, **given
            ),
        ):
            expected = stack()
            out = np.full_like(expected, np.nan)

            assert stack(out=out) is out
            assert np.array_equal(out, expected)

    @pytest.mark.parametrize(
        "out",
        [
            np.empty((3, 2, 5), np.float32),
            np.empty((4, 2, 5), np.float64),
            np.empty((4, 5, 2), np.float32).transpose(0, 2, 1),
            np.broadcast_to(np.float32(0), (4, 2, 5)),
            [0.0],
        ],
    )
    def test_memory_that_does_not_fit_is_refused(self, out: object) -> None:
        with pytest.raises(rhoa.RhoaError, match=r"out must be a writable.*\(4, 2, 5\)"):
            rhoa.cumulative(np.zeros((2, 4, 5)), out=out)

    def test_memory_of_the_scan_itself_is_refused(self) -> None:
        hu = np.zeros((4, 4, 4), np.float32)
        with pytest.raises(rhoa.RhoaError, match="shares memory with the scan"):
            rhoa.thin_slab(hu, thickness=1, out=hu)

    @pytest.mark.parametrize(
        ("call", "message"),
        [
            (lambda hu: rhoa.cumulative(hu, every=0), "every must be a whole number >= 1"),
            (lambda hu: rhoa.thin_slab(hu, thickness=3), "at most the 2 slices that there are"),
            (lambda hu: rhoa.thin_slab(hu, thickness_mm=3), "an array has no millimetres"),
            (lambda hu: rhoa.cumulative(hu, depth="hip"), "pose, depth and pixel_mm need to know"),
            (lambda hu: rhoa.thin_slab(hu, thickness=1, step=0), "step must be a whole number"),
            (lambda hu: rhoa.thin_slab(hu, thickness=1, reduce="min"), "one of 'max', 'mean'"),
        ],
    )
    def test_bad_slabs_are_named(self, call: object, message: str) -> None:
        with pytest.raises(rhoa.RhoaError, match=message):
            call(np.zeros((2, 2, 2)))


class TestVolumes:
    def test_running_sums_of_a_scan_end_with_its_ct_ap(self) -> None:
        volume = marked_volume((2, 0, 1), (1, 1, 0))

        sums = rhoa.cumulative(volume)

        assert len(sums) == 6
        assert np.array_equal(sums[-1], rhoa.ctap(volume).pixels)
        assert np.array_equal(sums[-2], sums[0] * 5)  # the marker lies in the last slice

    def test_running_sums_through_a_pose_end_with_the_ct_ap_of_the_same_slices(self) -> None:
        volume = noise_volume()
        alignment = posed(volume, rotation(8, -6, 11).T)

        sums = rhoa.cumulative(volume, pose=alignment, depth=(-7.1, 7.1), every=5)

        image = rhoa.ctap(volume, pose=alignment, depth=(-7.1, 7.1), method="reslice")
        assert len(sums) == 4  # 14.2 mm of depth are cut into 16 slices of at most 0.9 mm
        assert np.array_equal(sums[-1], image.pixels)

    def test_through_a_pose_the_low_end_fills_the_outside(self) -> None:
        volume = rhoa.Volume.from_array(np.full((9, 9, 9), 40, np.int16), (1, 1, 1))
        pose = posed(volume, rotation(0, 0, 30).T)

        assert rhoa.thin_slab(volume, thickness_mm=1, pose=pose).min() == -1024
        low = rhoa.thin_slab(volume, thickness_mm=1, pose=pose, window=(-3000, 600))
        assert low.min() == -3000
        for function in (rhoa.cumulative, lambda v, **o: rhoa.thin_slab(v, thickness_mm=1, **o)):
            with pytest.raises(rhoa.RhoaError, match="low end must be finite"):
                function(volume, pose=pose, window=(-np.inf, 600))

    def test_slabs_through_a_pose_reduce_its_coronal_slices(self) -> None:
        """Oracle: NumPy over the re-sliced stack; 12 mm are cut into 14 slices of 12 / 14 mm."""
        volume = noise_volume()
        alignment = posed(volume, rotation(8, -6, 11).T)
        sums = rhoa.cumulative(volume, pose=alignment, window=(-1024, 9e9), depth=(-6, 6))
        scaled = np.diff(sums, axis=0, prepend=np.zeros_like(sums[:1]))

        for reduce in ("max", "mean", "sum"):
            slices = scaled if reduce == "sum" else scaled / (12 / 14 / 0.9)
            slabs = rhoa.thin_slab(
                volume, thickness_mm=2.6, reduce=reduce, pose=alignment, depth=(-6, 6), step=2
            )

            expected = getattr(sliding_window_view(slices, 3, 0), reduce)(-1)[::2]
            np.testing.assert_allclose(slabs, expected, rtol=1e-4, atol=0.1)

    def test_a_slab_of_a_scan_is_measured_in_millimetres(self) -> None:
        volume = marked_volume((0, 1, 2), (0, 0, 0))  # rows 1.5 mm apart

        slabs = rhoa.thin_slab(volume, thickness_mm=4.4)

        assert slabs.shape == (4, 5, 7)  # three slices a slab
        assert [slab.max() for slab in slabs] == [-1000, -1000, -1000, 600]
        with pytest.raises(rhoa.RhoaError, match="pass thickness_mm"):
            rhoa.thin_slab(volume, thickness=3)


class TestCoronal:
    def test_it_samples_a_linear_field_exactly(self) -> None:
        """Trilinear interpolation reproduces HU = a + b x + c y + d z inside the scan."""
        spacing = np.array([1.5, 0.8, 0.9])
        z, y, x = np.moveaxis(np.stack(np.indices((20, 20, 20)), axis=-1) * spacing, -1, 0)
        volume = rhoa.Volume.from_array(100 + 7 * x - 3 * y + 2 * z, tuple(spacing))
        alignment = posed(volume, rotation(8, -6, 11).T)

        stack = rhoa.coronal(volume, alignment, spacing_mm=1.1)

        index = np.stack(np.indices(stack.shape), axis=-1)
        lps = stack.to_lps(index)
        inside = volume.to_index(lps)
        inside = np.all((inside >= 0) & (inside <= 19), axis=-1)
        expected = 100 + 7 * lps[..., 0] - 3 * lps[..., 1] + 2 * lps[..., 2]
        np.testing.assert_allclose(stack.hu[inside], expected[inside], rtol=1e-5)
        assert np.all(stack.hu[np.any(volume.to_index(lps) < -1, axis=-1)] == -1024)

    def test_its_axes_run_up_back_and_left_in_the_ap_frame(self) -> None:
        volume = noise_volume()
        alignment = posed(volume, rotation(8, -6, 11).T)

        stack = rhoa.coronal(volume, alignment, spacing_mm=(2, 1.5, 1))

        steps = alignment.to_ap(stack.to_lps(np.eye(3))) - alignment.to_ap(stack.to_lps([0, 0, 0]))
        np.testing.assert_allclose(steps, [[0, 0, 2], [0, 1.5, 0], [1, 0, 0]], atol=1e-9)

    def test_voxels_larger_than_the_scan_lie_near_its_middle(self) -> None:
        volume = noise_volume()  # 16.8 mm wide
        frame = rhoa.Alignment(np.eye(3), volume.to_lps([9.5, 12, 10.5]) - [100, 0, 0])

        stack = rhoa.coronal(volume, frame, spacing_mm=(1, 1, 60))

        assert stack.shape[2] == 1
        assert frame.to_ap(stack.to_lps([0, 0, 0]))[0] == pytest.approx(120)  # of 91 to 109

    def test_without_a_pose_and_spacing_an_upright_scan_is_itself(self) -> None:
        volume = noise_volume()

        stack = rhoa.coronal(volume)

        np.testing.assert_allclose(stack.hu, volume.hu, rtol=1e-5, atol=1e-3)
        np.testing.assert_allclose(stack.affine, volume.affine, atol=1e-9)

    def test_its_straight_sum_is_the_posed_ct_ap(self) -> None:
        """A blob that fades before the border is neither clipped nor cut: both sums are linear."""
        z, y, x = np.indices((24, 24, 24)) - 11.5
        blob = 500 * np.exp(-(x**2 + 2 * y**2 + z**2) / 18)
        volume = rhoa.Volume.from_array(blob, (0.8, 0.9, 0.8))
        alignment = posed(volume, rotation(6, 2, -5).T)

        stack = rhoa.coronal(volume, alignment)
        image = rhoa.ctap(volume, pose=alignment, window=(0, 5000), method="reslice")

        summed = rhoa.ctap(stack, window=(0, 5000))
        assert summed.origin_mm != (0, 0)
        assert summed.shape == image.shape
        np.testing.assert_allclose(summed.pixels, image.pixels, atol=2e-3 * image.pixels.max())

    def test_order_0_keeps_labels_whole(self) -> None:
        labels = np.random.default_rng(4).integers(0, 5, (9, 9, 9)).astype(np.uint8)
        volume = rhoa.Volume.from_array(labels, (1, 1, 1))

        stack = rhoa.coronal(volume, posed(volume, rotation(20, 10, 5).T), order=0)

        assert set(np.unique(stack.hu)) <= {-1024.0, 0.0, 1.0, 2.0, 3.0, 4.0}

    def test_cubic_samples_equal_scipys(self) -> None:
        """Oracle: `scipy.ndimage.map_coordinates`, order 3, which pads the outside likewise."""
        volume = noise_volume()
        alignment = posed(volume, rotation(9, -4, 12).T)

        stack = rhoa.coronal(volume, alignment, order=3, spacing_mm=1.1)

        index = np.moveaxis(
            volume.to_index(stack.to_lps(np.stack(np.indices(stack.shape), -1))), -1, 0
        )
        hu = np.asarray(volume.hu, np.float64)
        expected = ndimage.map_coordinates(hu, index, order=3, mode="grid-constant", cval=-1024)
        ends = np.array(volume.shape).reshape(3, 1, 1, 1) - 1
        inside = np.all((index >= 0) & (index <= ends), axis=0)
        np.testing.assert_allclose(stack.hu[inside], expected[inside], atol=0.02)

    def test_quadratic_samples_are_refused(self) -> None:
        with pytest.raises(rhoa.RhoaError, match="order must be one of 0, 1, 3; got 2"):
            rhoa.coronal(noise_volume(), order=2)

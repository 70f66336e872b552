"""CT-AP, running sums, slabs and coronal slices, against NumPy int64, SciPy and closed forms."""

from __future__ import annotations

import os
import subprocess
import sys
from itertools import permutations, product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from scipy import ndimage

import rhoa
from tests.strategies import INTEGER_DTYPES, arrays, rotation, rotations, windows

AXES = st.integers(0, 2)


def clipped(hu: NDArray[np.generic], window: tuple[float, float]) -> NDArray[np.float64]:
    return np.clip(hu.astype(np.float64), *window)


class TestArrays:
    @given(arrays(INTEGER_DTYPES), st.integers(-6000, 6000), st.integers(1, 6000), AXES)
    def test_integer_sums_are_exact(
        self, hu: NDArray[np.generic], low: int, width: int, axis: int
    ) -> None:
        """Oracle: NumPy in int64."""
        expected = np.clip(hu.astype(np.int64), low, low + width).sum(axis)

        image = rhoa.ctap(hu, window=(low, low + width), axis=axis)

        assert image.dtype == np.float32
        assert np.array_equal(image, expected)

    @given(arrays(), windows(), AXES)
    def test_sums_of_any_type_equal_numpy_in_float64(
        self, hu: NDArray[np.generic], window: tuple[float, float], axis: int
    ) -> None:
        expected = clipped(hu, window).sum(axis)

        image = rhoa.ctap(hu, window=window, axis=axis)

        np.testing.assert_allclose(image, expected, rtol=3e-7, atol=1e-2)

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

    @pytest.mark.parametrize("shape", [(0, 4, 5), (3, 0, 5), (3, 4, 0), (0, 0, 0)])
    @pytest.mark.parametrize("axis", [0, 1, 2])
    def test_empty_axes_sum_to_zero(self, shape: tuple[int, int, int], axis: int) -> None:
        hu = np.zeros(shape, np.int16)

        image = rhoa.ctap(hu, axis=axis)

        assert np.array_equal(image, hu.sum(axis))

    def test_sums_longer_than_32_bits_hold_do_not_overflow(self) -> None:
        """70,000 voxels of 32,000 HU are 2.24e9, above 2**31."""
        hu = np.broadcast_to(np.int16(32_000), (1, 70_000, 2))

        image = rhoa.ctap(hu, window=(-32_768, 32_767))

        assert np.array_equal(image, np.full((1, 2), np.float32(2.24e9)))

    @pytest.mark.parametrize(
        "window", [(-1e9, 1e9), (40_000, 50_000), (-50_000, -40_000), (-np.inf, 0.5), (2.5, 1e300)]
    )
    def test_windows_beyond_the_type_clip_as_numpy_does(self, window: tuple[float, float]) -> None:
        hu = np.array([-32_768, -1, 0, 1, 32_767], np.int16).reshape(1, 1, 5)

        image = rhoa.ctap(hu, window=window, axis=1)

        np.testing.assert_allclose(image, clipped(hu, window).sum(1), rtol=1e-7)

    def test_native_arrays_are_not_copied_and_read_only_ones_are_read(self) -> None:
        """A view of a memory map twice the size of what may be allocated still sums."""
        hu = np.arange(60, dtype=np.int16).reshape(3, 4, 5)
        hu.flags.writeable = False

        assert np.array_equal(rhoa.ctap(hu, window=(0, 100)), hu.sum(1))

    def test_fields_of_packed_records_are_read_right(self) -> None:
        """Their elements lie 3 bytes apart: no whole number of elements."""
        records = np.zeros((2, 3, 4), np.dtype([("flag", "u1"), ("hu", "<i2")]))
        records["hu"] = np.arange(24).reshape(2, 3, 4)

        assert np.array_equal(rhoa.ctap(records["hu"], window=(0, 99)), records["hu"].sum(1))

    def test_sums_do_not_depend_on_thread_count(self) -> None:
        hu = np.random.default_rng(0).normal(0, 400, (40, 90, 100))

        images = [rhoa.ctap(hu, threads=threads).tobytes() for threads in (1, 2, 3, 8, 16)]

        assert len(set(images)) == 1

    def test_the_thread_count_comes_from_the_environment(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("RHOA_NUM_THREADS", "many")

        with pytest.raises(rhoa.RhoaError, match="RHOA_NUM_THREADS must be a whole number >= 1"):
            rhoa.ctap(np.zeros((2, 2, 2)))

    def test_a_forked_process_can_sum_after_its_parent_did(self) -> None:
        code = (
            "import os, numpy as np, rhoa\n"
            "hu = np.ones((64, 64, 100), np.int16)\n"
            "rhoa.ctap(hu, threads=2)\n"
            "child = os.fork()\n"
            "if child == 0:\n"
            "    os._exit(0 if rhoa.ctap(hu, threads=2).sum() == hu.size else 1)\n"
            "raise SystemExit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))\n"
        )

        run = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", code], timeout=60, check=False, env=os.environ
        )

        assert run.returncode == 0

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"hu": np.zeros((4, 4))}, "hu must be a 3-D array"),
            ({"hu": np.zeros((2, 2, 2), complex)}, "dtype complex128"),
            ({"hu": np.zeros((2, 2, 2), bool)}, "dtype bool"),
            ({"hu": np.array([[["a"]]])}, "hu must hold integers or floating-point"),
            ({"window": (600, -150)}, r"low < high, in HU; got \(600, -150\)"),
            ({"window": (0, 0)}, "low < high"),
            ({"window": (np.nan, 600)}, "low < high"),
            ({"window": 600}, "two numbers in HU"),
            ({"window": (1, 2, 3)}, "two numbers in HU"),
            ({"axis": 3}, "axis must be 0, 1 or 2; got 3"),
            ({"axis": True}, "axis must be 0, 1 or 2"),
            ({"threads": 0}, "threads must be a whole number >= 1; got 0"),
            ({"depth": "hip"}, "pose, depth and pixel_mm need to know"),
        ],
    )
    def test_bad_input_is_named(self, arguments: dict[str, object], message: str) -> None:
        hu = arguments.pop("hu", np.zeros((2, 2, 2)))

        with pytest.raises(rhoa.RhoaError, match=message):
            rhoa.ctap(hu, **arguments)

    @pytest.mark.parametrize(
        ("call", "message"),
        [
            (lambda hu: rhoa.cumulative(hu, every=0), "every must be a whole number >= 1"),
            (lambda hu: rhoa.thin_slab(hu, thickness=3), "at most the 2 slices along axis 1"),
            (lambda hu: rhoa.thin_slab(hu, thickness=1, step=0), "step must be a whole number"),
            (lambda hu: rhoa.thin_slab(hu, thickness=1, reduce="min"), "one of 'max', 'mean'"),
        ],
    )
    def test_bad_slabs_are_named(self, call: object, message: str) -> None:
        with pytest.raises(rhoa.RhoaError, match=message):
            call(np.zeros((2, 2, 2)))


def marked_volume(order: tuple[int, ...], flips: tuple[int, ...]) -> rhoa.Volume:
    """Air with one bright voxel left, superior and posterior in the patient, stored in any order.

    ``order`` permutes the array axes and ``flips`` reverses them; the affine follows.
    """
    hu = np.full((5, 6, 7), -1000, np.int16)
    hu[4, 5, 6] = 600
    affine = rhoa.Volume.from_array(hu, (2, 1.5, 1)).affine
    stored = np.eye(4)
    stored[:3, :3] = np.eye(3)[:, list(order)]
    for axis, flip in enumerate(flips):
        if flip:
            step = np.eye(4)
            step[axis, axis], step[axis, 3] = -1, hu.shape[order[axis]] - 1
            stored = stored @ step
    view = hu.transpose(order)[tuple(slice(None, None, -1 if flip else 1) for flip in flips)]
    return rhoa.Volume(view, affine @ stored)


class TestAsScanned:
    @pytest.mark.parametrize("order", list(permutations(range(3))))
    @pytest.mark.parametrize("flips", list(product([0, 1], repeat=3)))
    def test_left_is_on_the_right_and_superior_is_up_however_it_is_stored(
        self, order: tuple[int, ...], flips: tuple[int, ...]
    ) -> None:
        image = rhoa.ctap(marked_volume(order, flips))

        assert image.shape == (5, 7)
        assert image.pixel_mm == (2.0, 1.0)
        assert np.unravel_index(image.pixels.argmax(), image.shape) == (0, 6)
        assert image.to_mm(0, 6) == (6.0, 8.0)

    @given(rotations(30.0))
    def test_an_oblique_scans_pixels_know_their_place_along_its_own_axes(
        self, turn: NDArray[np.float64]
    ) -> None:
        """The scan's frame brings the marker's LPS position to its pixel's millimetres."""
        upright = marked_volume((0, 1, 2), (0, 0, 0))
        affine = np.eye(4)
        affine[:3, :3] = turn
        affine[:3, 3] = [7, -8, 9]
        volume = rhoa.Volume(upright.hu, affine @ upright.affine)

        image = rhoa.ctap(volume)

        row, column = np.unravel_index(image.pixels.argmax(), image.shape)
        x, _, z = image.frame.to_ap(volume.to_lps([4, 5, 6]))
        np.testing.assert_allclose(image.to_mm(row, column), (x, z), atol=1e-6)

    def test_pixels_equal_the_array_sum(self) -> None:
        hu = np.random.default_rng(1).integers(-1000, 2000, (4, 5, 6)).astype(np.int16)

        image = rhoa.ctap(rhoa.Volume.from_array(hu, (1, 1, 1)))

        assert np.array_equal(image, rhoa.ctap(hu)[::-1])

    def test_depth_needs_a_pose(self) -> None:
        volume = rhoa.Volume.from_array(np.zeros((2, 2, 2)), (1, 1, 1))

        with pytest.raises(rhoa.RhoaError, match="pass pose= as well"):
            rhoa.ctap(volume, depth="hip")

    def test_an_axis_is_for_arrays(self) -> None:
        volume = rhoa.Volume.from_array(np.zeros((2, 2, 2)), (1, 1, 1))

        with pytest.raises(rhoa.RhoaError, match="axis is for arrays"):
            rhoa.ctap(volume, axis=1)


def noise_volume(shape: tuple[int, int, int] = (20, 24, 22)) -> rhoa.Volume:
    smooth = ndimage.gaussian_filter(np.random.default_rng(2).normal(0, 1, shape), 2)
    return rhoa.Volume.from_array((smooth * 3000).astype(np.float32), (1.3, 0.9, 0.8))


def posed(volume: rhoa.Volume, matrix: NDArray[np.float64]) -> rhoa.Alignment:
    """An AP frame about the middle of the volume."""
    return rhoa.Alignment(matrix, volume.to_lps((np.array(volume.shape) - 1) / 2))


class TestPosed:
    @given(rotations(30.0))
    def test_it_equals_scipy_samples_of_every_coronal_slice(
        self, turn: NDArray[np.float64]
    ) -> None:
        """Oracle: `scipy.ndimage.map_coordinates` of the clipped volume at the same AP points."""
        volume = noise_volume((8, 9, 10))
        alignment = posed(volume, turn.T)

        image = rhoa.ctap(volume, pose=alignment, window=(-150, 600))

        corners = alignment.to_ap(volume.corners_lps_mm())
        front, back = corners[:, 1].min(), corners[:, 1].max()
        count = int(np.ceil((back - front) / 0.9 - 1e-6))
        step = (back - front) / count
        rows, columns = np.indices(image.shape)
        x, z = image.to_mm(rows, columns)
        expected = np.zeros(image.shape)
        for y in front + (np.arange(count) + 0.5) * step:
            points = np.stack([x, np.full_like(x, y), z], axis=-1)
            index = np.moveaxis(volume.to_index(alignment.to_lps(points)), -1, 0)
            hu = np.clip(volume.hu.astype(np.float64), -150, 600)
            expected += ndimage.map_coordinates(hu, index, order=1, mode="grid-constant", cval=-150)
        np.testing.assert_allclose(image.pixels, expected * step / 0.9, rtol=1e-5, atol=1e-2)

    def test_an_upright_pose_equals_the_unposed_sum_up_to_half_the_end_slices(self) -> None:
        """The integral from the first to the last slice is the trapezoid rule on voxel centres."""
        hu = np.random.default_rng(3).integers(-150, 600, (6, 7, 8)).astype(np.float32)
        volume = rhoa.Volume.from_array(hu, (1, 2, 1))
        upright = rhoa.Alignment(np.eye(3), np.zeros(3))

        image = rhoa.ctap(volume, pose=upright)

        ends = (hu[:, 0] + hu[:, -1])[::-1] / 2
        expected = rhoa.ctap(volume).pixels - ends
        assert image.pixel_mm == (1.0, 1.0)
        np.testing.assert_allclose(image.pixels, expected, rtol=1e-5, atol=1e-3)

    def test_a_ball_projects_to_its_chord_lengths(self) -> None:
        """Closed form: 2 sqrt(R^2 - r^2) times the HU above the window's low end, over dj."""
        spacing = (1.0, 0.8, 0.9)
        grid = np.stack(np.indices((80, 90, 80)), axis=-1) * spacing
        centre, radius = np.array([40.0, 36.0, 36.0]), 20.0
        distance = np.linalg.norm(grid - centre, axis=-1)
        share = np.clip((radius - distance) / 0.9 + 0.5, 0, 1)  # partial volume at the edge
        volume = rhoa.Volume.from_array((400 * share).astype(np.float32), spacing)
        matrix = rotation(12, -5, 8).T
        alignment = rhoa.Alignment(matrix, volume.to_lps(centre / spacing))

        image = rhoa.ctap(volume, pose=alignment, window=(0, 600))

        rows, columns = np.indices(image.shape)
        r = np.hypot(*image.to_mm(rows, columns))
        chord = 2 * np.sqrt(np.maximum(radius**2 - r**2, 0)) * 400 / 0.8
        error = image.pixels - chord
        assert np.sqrt((error[r < 18] ** 2).mean()) < 0.01 * chord.max()
        assert abs(error.sum() / chord.sum()) < 2e-3

    def test_clip_comes_before_interpolation(self) -> None:
        """Padding of -3024 HU beside tissue counts as -150, not as a mixture with -3024."""
        hu = np.full((6, 6, 6), -3024, np.int16)
        hu[:, :, 3:] = 50
        volume = rhoa.Volume.from_array(hu, (1, 1, 1))
        alignment = rhoa.Alignment(np.eye(3), np.array([0.5, 0, 0]))  # halfway between columns

        image = rhoa.ctap(volume, pose=alignment)

        middle = image.pixels[2, round(image.to_pixel(2, 0)[1])]  # between columns 2 and 3
        assert middle == pytest.approx(5 * (-150 + 50) / 2)

    def test_a_marker_on_the_patients_left_ends_on_the_right_half_and_superior_is_up(self) -> None:
        volume = marked_volume((0, 1, 2), (0, 0, 0))

        image = rhoa.ctap(volume, pose=posed(volume, rotation(10, 5, -8).T))

        row, column = np.unravel_index(image.pixels.argmax(), image.shape)
        assert row < image.shape[0] / 2
        assert column > image.shape[1] / 2

    def test_pixel_centres_are_multiples_of_the_pixel_from_the_origin(self) -> None:
        volume = noise_volume()

        image = rhoa.ctap(volume, pose=posed(volume, rotation(7, 3, 2).T), pixel_mm=0.7)

        assert image.pixel_mm == (0.7, 0.7)
        x, z = image.to_mm(0, 0)
        assert x / 0.7 == pytest.approx(round(x / 0.7), abs=1e-9)
        assert z / 0.7 == pytest.approx(round(z / 0.7), abs=1e-9)

    def test_depth_ranges_add_up(self) -> None:
        volume = noise_volume()
        alignment = posed(volume, rotation(9, -4, 3).T)

        parts = [
            rhoa.ctap(volume, pose=alignment, depth=depth, window=(0, 600)).pixels
            for depth in [(-30.0, -2.5), (-2.5, 4.0), (4.0, 30.0), (-30.0, 30.0)]
        ]

        difference = parts[0] + parts[1] + parts[2] - parts[3]
        assert np.sqrt((difference**2).mean()) < 0.01 * parts[3].std()

    def test_coverage_is_the_length_of_the_ray_inside_the_scan(self) -> None:
        volume = rhoa.Volume.from_array(np.zeros((10, 20, 10)), (1, 1, 1))
        upright = rhoa.Alignment(np.eye(3), np.zeros(3))

        image = rhoa.ctap(volume, pose=upright, depth=(-10.0, 9.5))

        np.testing.assert_allclose(image.coverage_mm, 10.0, atol=0.51)

    def test_landmarks_of_another_scan_are_refused(self) -> None:
        far = rhoa.Alignment(np.eye(3), np.array([0, 900, 0]))

        with pytest.raises(rhoa.RhoaError, match="no ray meets the scan"):
            rhoa.ctap(noise_volume(), pose=far, depth="pelvis")

    def test_landmarks_are_a_pose(self) -> None:
        volume = noise_volume()
        landmarks = rhoa.Landmarks((120, 2, 90), (-120, 0, 90), (15, 0, 0), (-15, 0, 0))

        by_landmarks = rhoa.ctap(volume, pose=landmarks)
        by_alignment = rhoa.ctap(volume, pose=rhoa.pose.from_landmarks(landmarks))

        assert np.array_equal(by_landmarks, by_alignment)

    def test_swapped_landmarks_are_refused(self) -> None:
        landmarks = rhoa.Landmarks((-120, 0, 90), (120, 0, 90), (-15, 0, 0), (15, 0, 0))

        with pytest.raises(rhoa.RhoaError, match="left and right landmarks are not swapped"):
            rhoa.ctap(noise_volume(), pose=landmarks)

    def test_a_flagged_alignment_warns(self) -> None:
        landmarks = rhoa.Landmarks((60, 0, 90), (-60, 0, 90), (15, 0, 0), (-15, 0, 0))

        with pytest.warns(rhoa.RhoaWarning, match="flagged: implausible"):
            rhoa.ctap(noise_volume(), pose=landmarks)

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"depth": (5, 5)}, "front < back"),
            ({"depth": "thigh"}, "depth must be one of 'all', 'pelvis', 'hip'"),
            ({"pixel_mm": 1e-6}, "samples are too many; choose larger pixels"),
            ({"depth": (0, 1e22)}, "samples are too many"),
            ({"pixel_mm": 0}, "pixel_mm must be a positive finite number"),
            ({"pose": "manual"}, "pose must be None, a rhoa.Landmarks or a rhoa.Alignment"),
            ({"method": "magic"}, "method must be one of 'reslice'"),
        ],
    )
    def test_bad_options_are_named(self, arguments: dict[str, object], message: str) -> None:
        volume = noise_volume()
        options = {"pose": posed(volume, np.eye(3)), **arguments}

        with pytest.raises(rhoa.RhoaError, match=message):
            rhoa.ctap(volume, **options)


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
        image = rhoa.ctap(volume, pose=alignment, window=(0, 5000))

        summed = rhoa.ctap(stack, window=(0, 5000))
        assert summed.origin_mm != (0, 0)
        assert summed.shape == image.shape
        np.testing.assert_allclose(summed.pixels, image.pixels, atol=2e-3 * image.pixels.max())

    def test_order_0_keeps_labels_whole(self) -> None:
        labels = np.random.default_rng(4).integers(0, 5, (9, 9, 9)).astype(np.uint8)
        volume = rhoa.Volume.from_array(labels, (1, 1, 1))

        stack = rhoa.coronal(volume, posed(volume, rotation(20, 10, 5).T), order=0)

        assert set(np.unique(stack.hu)) <= {-1024.0, 0.0, 1.0, 2.0, 3.0, 4.0}

    def test_cubic_order_is_refused(self) -> None:
        with pytest.raises(rhoa.RhoaError, match="order must be one of 0, 1; got 3"):
            rhoa.coronal(noise_volume(), order=3)


@pytest.mark.real
def test_a_real_implant_in_the_left_femur_is_on_the_right_of_the_image(real_data: Path) -> None:
    """`totalseg_example_ct`: 429 voxels above 2500 HU, mean RAS x -118 mm; liver at +64 mm."""
    pytest.importorskip("nibabel", reason="needs rhoa[nifti]")
    volume = rhoa.read_ct(real_data / "real-ct" / "totalseg_example_ct.nii.gz")

    metal = rhoa.ctap(volume, window=(2499, 2500))  # counts voxels above 2499 HU
    flesh = rhoa.ctap(volume)

    counts = metal.pixels - 2499 * volume.shape[1]
    rows, columns = np.nonzero(counts > 0)
    x = [flesh.to_mm(row, column)[0] for row, column in zip(rows, columns, strict=True)]
    assert counts.sum() == pytest.approx(429, abs=5)
    assert np.mean(columns) > 0.75 * flesh.shape[1]
    assert np.average(x, weights=counts[rows, columns]) == pytest.approx(118, abs=1)
    assert np.mean(rows) > 0.75 * flesh.shape[0]

"""CT-AP, running sums, slabs and coronal slices, against NumPy int64, SciPy and closed forms."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from itertools import permutations, product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import ndimage

import rhoa
from tests.strategies import (
    INTEGER_DTYPES,
    arrays,
    clipped,
    marked_volume,
    noise_volume,
    posed,
    rotation,
    rotations,
    windows,
)

AXES = st.integers(0, 2)


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

    @settings(max_examples=max(1_000, settings.default.max_examples))
    @given(
        st.tuples(*[st.integers(1, 300)] * 2, st.integers(1, 40)),
        st.permutations(range(3)),
        st.tuples(*[st.sampled_from([1, 1, -1, 2, -3])] * 3),
        st.integers(-40_000, 40_000),
        st.sampled_from([1, 2, 750, 751, 16_383, 16_384, 32_767, 65_535, 80_000]),
        st.integers(0, 2**32),
    )
    def test_sums_of_16_bit_voxels_are_exact_whatever_their_layout_and_length(
        self,
        shape: tuple[int, int, int],
        order: list[int],
        steps: tuple[int, int, int],
        low: int,
        width: int,
        seed: int,
    ) -> None:
        """Oracle: NumPy in int64; long axes and wide windows fill the 16-bit lanes to the brim."""
        rng = np.random.default_rng(seed)
        shape = (shape[seed % 2], 3, shape[2]) if seed % 3 else (2, shape[0], 3)
        hu = rng.integers(-32_768, 32_768, shape, dtype=np.int16)
        hu = hu.transpose(order)[tuple(slice(None, None, step) for step in steps)]
        axis = seed % 3
        expected = np.clip(hu.astype(np.int64), low, low + width).sum(axis)

        image = rhoa.ctap(hu, window=(low, low + width), axis=axis, threads=1)

        assert np.array_equal(image, expected.astype(np.float32))

    @given(arrays(least=1), windows(), AXES)
    def test_means_and_maxima_equal_numpys(
        self, hu: NDArray[np.generic], window: tuple[float, float], axis: int
    ) -> None:
        values = clipped(hu, window)

        for reduce in ("mean", "max"):
            image = rhoa.ctap(hu, window=window, axis=axis, reduce=reduce)

            np.testing.assert_allclose(image, getattr(values, reduce)(axis), rtol=3e-7, atol=1e-2)

    @given(arrays(), windows(), AXES)
    def test_sums_of_any_type_equal_numpy_in_float64(
        self, hu: NDArray[np.generic], window: tuple[float, float], axis: int
    ) -> None:
        expected = clipped(hu, window).sum(axis)

        image = rhoa.ctap(hu, window=window, axis=axis)

        np.testing.assert_allclose(image, expected, rtol=3e-7, atol=1e-2)

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

    @pytest.mark.parametrize("reduce", ["mean", "max"])
    def test_nothing_has_neither_mean_nor_maximum(self, reduce: str) -> None:
        with pytest.raises(rhoa.RhoaError, match=f'reduce="{reduce}" needs voxels; axis 1 has'):
            rhoa.ctap(np.zeros((3, 0, 4)), reduce=reduce)

    def test_nan_stays_in_its_own_pixel(self) -> None:
        hu = np.ones((3, 40, 5), np.float32)
        hu[1, 20, 2] = np.nan

        for reduce in ("sum", "max"):
            assert np.argwhere(np.isnan(rhoa.ctap(hu, reduce=reduce))).tolist() == [[1, 2]]

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


def images_of_everything(threads: int) -> bytes:
    """Every projection of an integer and a float scan, as bytes."""
    noise = np.random.default_rng(7).integers(-1024, 1500, (61, 73, 83), dtype=np.int16)
    images = []
    for hu in (noise, (noise * 0.37).astype(np.float32)):
        volume = rhoa.Volume.from_array(hu, (1.1, 0.8, 0.9))
        alignment = posed(volume, rotation(10, 4, -3).T)
        mask = noise % 3
        images += [rhoa.ctap(hu, axis=axis, threads=threads) for axis in range(3)]
        images += rhoa.ctap(volume, pose=alignment, mask=mask, threads=threads).values()
        for options in ({}, {"depth": (-9.3, 12.1)}, {"method": "reslice"}, {"reduce": "max"}):
            image = rhoa.ctap(volume, pose=alignment, threads=threads, **options)
            images += [image.pixels, image.coverage_mm]
        images.append(rhoa.cumulative(hu, every=7, threads=threads))
        images.append(rhoa.thin_slab(hu, thickness=9, step=4, reduce="mean", threads=threads))
        images.append(rhoa.coronal(volume, alignment, order=3, threads=threads).hu)
    return b"".join(np.asarray(image).tobytes() for image in images)


class TestDeterminism:
    def test_neither_threads_nor_instruction_set_nor_the_run_change_a_bit(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        digests = set()
        for level in ("scalar", "avx2", "avx512"):
            monkeypatch.setenv("RHOA_SIMD", level)
            for threads in (1, 2, 3, 16):
                try:
                    images = images_of_everything(threads)
                except rhoa.RhoaError as error:
                    assert "on this processor" in str(error)  # noqa: PT017  # not every one has it
                    assert level != "scalar"
                    break
                digests.add(hashlib.sha256(images).hexdigest())

        assert len(digests) == 1

    def test_an_unknown_instruction_set_is_named(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("RHOA_SIMD", "mmx")

        with pytest.raises(rhoa.RhoaError, match='RHOA_SIMD must be one of scalar.*got "mmx"'):
            rhoa.ctap(np.zeros((2, 2, 2)))


class TestMemory:
    @pytest.mark.skipif(sys.platform != "linux", reason="the peak is read from /proc")
    @pytest.mark.parametrize("posed", ["None", "pose"])
    def test_a_ct_ap_needs_less_than_32_mb_beside_its_input(self, posed: str) -> None:
        """600 x 512 x 512 int16 and two threads, in a process of its own."""
        code = (
            "import re, numpy as np, rhoa\n"
            "def peak():\n"
            "    return int(re.search(r'VmHWM:\\s+(\\d+)', open('/proc/self/status').read())[1])\n"
            "def scan(slices):\n"
            "    hu = np.full((slices, 512, 512), 40, np.int16)\n"
            "    volume = rhoa.Volume.from_array(hu, (0.8, 0.6, 0.6))\n"
            "    c, s = np.cos(0.2), np.sin(0.2)\n"
            "    turn = np.array([[1, 0, 0], [0, c, s], [0, -s, c]])\n"
            "    return volume, rhoa.Alignment(turn, volume.to_lps([slices / 2, 256, 256]))\n"
            "volume, pose = scan(2)\n"
            f"rhoa.ctap(volume, pose={posed}, threads=2)\n"
            "volume, pose = scan(600)\n"
            "before = peak()\n"
            f"image = rhoa.ctap(volume, pose={posed}, threads=2)\n"
            "output = image.pixels.nbytes + getattr(image.coverage_mm, 'nbytes', 0)\n"
            "print((peak() - before) / 1024 - output / 1e6)\n"
        )

        run = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
        )

        assert run.returncode == 0, run.stderr
        assert float(run.stdout) < 32


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


class TestPosed:
    @given(rotations(30.0))
    def test_it_equals_scipy_samples_of_every_coronal_slice(
        self, turn: NDArray[np.float64]
    ) -> None:
        """Oracle: `scipy.ndimage.map_coordinates` of the clipped volume at the same AP points."""
        volume = noise_volume((8, 9, 10))
        alignment = posed(volume, turn.T)

        image = rhoa.ctap(volume, pose=alignment, window=(-150, 600), method="reslice")

        ends = [(-0.5, length - 0.5) for length in volume.shape]  # voxels are boxes
        corners = alignment.to_ap(volume.to_lps(list(product(*ends))))
        front, back = corners[:, 1].min(), corners[:, 1].max()
        count = int(np.ceil((back - front) / 0.9 - 1e-6))
        step = 0.9
        front = (front + back - count * step) / 2  # whole rows
        rows, columns = np.indices(image.shape)
        x, z = image.to_mm(rows, columns)
        expected = np.zeros(image.shape)
        for y in front + (np.arange(count) + 0.5) * step:
            points = np.stack([x, np.full_like(x, y), z], axis=-1)
            index = np.moveaxis(volume.to_index(alignment.to_lps(points)), -1, 0)
            hu = np.clip(volume.hu.astype(np.float64), -150, 600)
            expected += ndimage.map_coordinates(hu, index, order=1, mode="grid-constant", cval=-150)
        np.testing.assert_allclose(image.pixels, expected * step / 0.9, rtol=1e-5, atol=1e-2)

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

        image = rhoa.ctap(volume, pose=alignment, method="reslice")

        middle = image.pixels[2, round(image.to_pixel(2, 0)[1])]  # between columns 2 and 3
        assert middle == pytest.approx(6 * (-150 + 50) / 2)

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

        with pytest.raises(
            rhoa.RhoaError, match=r"no ray meets .*-20\.0 to 160\.0 mm.*the scan lies between"
        ):
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

    @pytest.mark.parametrize("method", ["shear", "reslice"])
    def test_a_scan_of_one_row_is_as_deep_as_its_voxels(self, method: str) -> None:
        volume = rhoa.Volume.from_array(np.full((5, 1, 5), 100, np.int16), (1, 2, 1))
        pose = posed(volume, np.eye(3))

        image = rhoa.ctap(volume, pose=pose, window=(0, 600), method=method)
        beyond = rhoa.ctap(volume, pose=pose, depth=(-3, 3), window=(0, 600))

        assert image.provenance["depth_mm"] == pytest.approx((-1, 1))
        np.testing.assert_allclose(image.pixels, 100, atol=1e-3)
        np.testing.assert_allclose(beyond.pixels, 100, atol=1e-3)

    def test_pixels_that_all_fall_beside_the_scan_are_named(self) -> None:
        volume = noise_volume()  # 16.8 mm wide
        frame = rhoa.Alignment(np.eye(3), volume.to_lps([9.5, 12, 5]) - [100, 0, 0])

        with pytest.raises(rhoa.RhoaError, match="the pixels larger than the scan"):
            rhoa.ctap(volume, pose=frame, pixel_mm=30)

    def test_depths_far_beyond_the_scan_cost_the_shear_nothing(self) -> None:
        volume = rhoa.Volume.from_array(np.full((9, 9, 9), 100, np.int16), (1, 1, 1))

        image = rhoa.ctap(
            volume, pose=posed(volume, np.eye(3)), depth=np.array([-1e5, 1e5]), window=(0, 600)
        )

        np.testing.assert_allclose(
            image.pixels[3:-3, 3:-3], 900, rtol=1e-4
        )  # half a voxel at each end

    @pytest.mark.parametrize(
        "method", [{}, {"method": "reslice", "order": 3}, {"reduce": "max", "order": 3}]
    )
    def test_what_is_no_number_is_refused_where_cubic_interpolation_would_spread_it(
        self, method: dict[str, object]
    ) -> None:
        volume = noise_volume()
        hu = volume.hu.copy()
        hu[3, 4, 5] = np.nan
        broken = rhoa.Volume(hu, volume.affine)

        with pytest.raises(rhoa.errors.VolumeError, match=r"NaN.*np\.nan_to_num"):
            rhoa.ctap(broken, pose=posed(volume, rotation(8, -6, 11).T), **method)

    def test_a_maximum_stays_in_the_window_though_cubic_interpolation_overshoots(self) -> None:
        hu = np.full((20, 20, 20), -150, np.int16)
        hu[8:12, 8:12, 8:12] = 600
        volume = rhoa.Volume.from_array(hu, (1, 1, 1))

        image = rhoa.ctap(volume, pose=posed(volume, rotation(8, -6, 11).T), reduce="max", order=3)

        assert (image.pixels.min(), image.pixels.max()) == (-150, 600)

    def test_a_flagged_alignment_warns(self) -> None:
        landmarks = rhoa.Landmarks((60, 0, 90), (-60, 0, 90), (15, 0, 0), (-15, 0, 0))

        with pytest.warns(rhoa.RhoaWarning, match="flagged: implausible"):
            rhoa.ctap(noise_volume(), pose=landmarks)

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"depth": (5, 5)}, "front < back"),
            ({"depth": "thigh"}, "depth must be one of 'all', 'pelvis', 'hip'"),
            ({"pixel_mm": 1e-6}, "pixel_mm must be 0.001 to 1000 mm; got 1e-06"),
            ({"depth": (0, 1e5), "method": "reslice"}, "samples are too many; choose larger"),
            ({"depth": (0, 1e22)}, "both within 1e\\+06 mm"),
            ({"pixel_mm": 0}, "pixel_mm must be a positive finite number"),
            ({"pose": "manual"}, 'pose must be None, "auto", a rhoa.Landmarks or a rhoa.Alignment'),
            ({"method": "magic"}, "method must be one of 'shear', 'reslice'; got 'magic'"),
            ({"method": "reslice", "order": 2}, "order must be one of 1, 3; got 2"),
            ({"reduce": "min"}, "reduce must be one of 'sum', 'mean', 'max'"),
            ({"window": (-np.inf, 600)}, "the window's low end must be finite"),
        ],
    )
    def test_bad_options_are_named(self, arguments: dict[str, object], message: str) -> None:
        volume = noise_volume()
        options = {"pose": posed(volume, np.eye(3)), **arguments}

        with pytest.raises(rhoa.RhoaError, match=message):
            rhoa.ctap(volume, **options)


@pytest.mark.real
def test_a_real_implant_in_the_left_femur_is_on_the_right_of_the_image(real_data: Path) -> None:
    """`totalseg_example_ct`: 429 voxels above 2500 HU, mean RAS x -118 mm; liver at +64 mm."""
    pytest.importorskip("nibabel", reason="needs extra nifti")
    with pytest.warns(rhoa.RhoaWarning, match="metal|field of view"):
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

"""A posed image holds the whole scan: voxels are boxes, half a voxel beyond their centres too.

Oracles: the sum along the scan's own axes, which knows no interpolation; chords of a box.
"""

from __future__ import annotations

from itertools import permutations, product
from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import ndimage

import rhoa
from tests.closed_forms import chord_mm
from tests.strategies import posed, rotation, rotations, stored

Method = Literal["shear", "reslice"]
WAYS: list[dict[str, Any]] = [
    {"method": "shear"},
    {"method": "reslice"},
    {"method": "reslice", "order": 3},
]
SHAPE = (20, 40, 50)


def noise(spacing_mm: tuple[float, float, float] = (1.0, 1.0, 1.0)) -> rhoa.Volume:
    hu = np.random.default_rng(4).integers(-400, 1200, SHAPE).astype(np.int16)
    return rhoa.Volume.from_array(hu, spacing_mm)


def upright(volume: rhoa.Volume) -> rhoa.Alignment:
    """The scan's own axes, about one of its voxels."""
    return rhoa.Alignment(np.eye(3), volume.to_lps([9, 17, 21]))


def mass(image: rhoa.Radiograph, low: float, row_mm: float) -> float:
    """HU above the window's low end times mm3, over the row spacing."""
    front, back = image.provenance["depth_mm"]
    above = image.pixels.astype(np.float64) - low * (back - front) / row_mm
    return float(above.sum()) * image.pixel_mm[0] * image.pixel_mm[1]


class TestUpright:
    @pytest.mark.parametrize("way", WAYS, ids=str)
    @pytest.mark.parametrize("row_mm", [1.0, 2.5, 0.4])
    @pytest.mark.parametrize("window", [(-150, 600), (-1000, 3000)])
    def test_every_pixel_is_the_sum_as_scanned(
        self, way: dict[str, Any], row_mm: float, window: tuple[int, int]
    ) -> None:
        volume = noise((1, row_mm, 1))

        image = rhoa.ctap(volume, pose=upright(volume), window=window, **way)

        straight = rhoa.ctap(volume, window=window)
        assert image.shape == straight.shape
        assert image.origin_mm == pytest.approx((-21, 10))
        np.testing.assert_allclose(image.pixels, straight.pixels, rtol=1e-5, atol=0.05)
        assert image.coverage_mm is not None
        np.testing.assert_allclose(image.coverage_mm, 40 * row_mm, rtol=1e-6)

    @pytest.mark.parametrize("order", list(permutations(range(3))))
    @pytest.mark.parametrize("flips", list(product((0, 1), repeat=3)))
    def test_however_it_is_stored(self, order: tuple[int, ...], flips: tuple[int, ...]) -> None:
        volume = noise()
        straight = rhoa.ctap(volume)

        image = rhoa.ctap(stored(volume, order, flips), pose=upright(volume))

        np.testing.assert_allclose(image.pixels, straight.pixels, rtol=1e-5, atol=0.05)

    @pytest.mark.parametrize("options", [{"transform": "attenuation"}, {"reduce": "mean"}], ids=str)
    @pytest.mark.parametrize("way", WAYS, ids=str)
    def test_whatever_is_summed(self, way: dict[str, Any], options: dict[str, Any]) -> None:
        volume = noise((1, 0.7, 1))

        image = rhoa.ctap(volume, pose=upright(volume), **options, **way)

        straight = rhoa.ctap(volume, **options)
        np.testing.assert_allclose(image.pixels, straight.pixels, rtol=1e-4, atol=1e-3)

    def test_masks_sweeps_and_stacks_hold_it_too(self) -> None:
        volume = noise((1, 0.7, 1))
        pose, labels = upright(volume), np.arange(np.prod(SHAPE)).reshape(SHAPE) % 3

        images = rhoa.ctap(volume, pose=pose, mask=labels)
        (swept,) = rhoa.sweep(volume, [(-150, 600)], pose=pose)
        running = rhoa.cumulative(volume, pose=pose)
        slabs = rhoa.thin_slab(
            volume, thickness_mm=40 * 0.7, reduce="sum", window=(-150, 600), pose=pose
        )

        whole = rhoa.ctap(volume).pixels
        for label, image in rhoa.ctap(volume, mask=labels).items():
            np.testing.assert_allclose(images[label].pixels, image.pixels, rtol=1e-5, atol=0.05)
        assert running.shape == (40, 20, 50)
        for one in (swept.pixels, running[-1], slabs[0]):
            np.testing.assert_allclose(one, whole, rtol=1e-5, atol=0.05)
        np.testing.assert_allclose(running, rhoa.cumulative(volume), rtol=1e-5, atol=0.05)

    @pytest.mark.parametrize("shape", [(1, 40, 50), (20, 1, 50), (20, 40, 1), (1, 1, 1)])
    @pytest.mark.parametrize("way", WAYS, ids=str)
    def test_of_a_scan_that_is_one_voxel_thin(
        self, way: dict[str, Any], shape: tuple[int, int, int]
    ) -> None:
        volume = rhoa.Volume.from_array(noise().hu[tuple(map(slice, shape))], (1, 0.5, 1))
        pose = rhoa.Alignment(np.eye(3), np.zeros(3))

        image = rhoa.ctap(volume, pose=pose, **way)

        straight = rhoa.ctap(volume)
        np.testing.assert_allclose(image.pixels, straight.pixels, rtol=1e-5, atol=0.05)


class TestTilted:
    """Bounds are for scans that are bright up to their faces, from which splines overshoot."""

    @pytest.mark.parametrize("faded", [False, True])
    @given(
        rotations(8),
        st.tuples(*[st.floats(-0.5, 0.5)] * 3),
        st.sampled_from([(1.0, 1.0, 1.0), (1.3, 0.9, 0.8), (3.0, 0.7, 0.7), (0.7, 0.7, 3.0)]),
        st.sampled_from(WAYS),
    )
    def test_hardly_any_mass_is_lost_or_made(
        self,
        faded: bool,  # noqa: FBT001
        turn: NDArray[np.float64],
        offset: tuple[float, float, float],
        spacing: tuple[float, float, float],
        way: dict[str, Any],
    ) -> None:
        """A spline overshoots by a tenth of the outermost voxels at most, along each axis."""
        volume = noise(spacing)
        if faded:
            inner = np.full(SHAPE, -1000, np.int16)
            inner[4:-4, 4:-4, 4:-4] = volume.hu[4:-4, 4:-4, 4:-4]
            volume = rhoa.Volume(inner, volume.affine)
        origin = volume.to_lps(np.array([9, 17, 21]) + offset)

        image = rhoa.ctap(volume, pose=rhoa.Alignment(turn, origin), window=(-1000, 3000), **way)

        expected = (volume.hu + 1000.0).sum() * spacing[0] * spacing[2]
        bound = 5e-3 if faded else 0.02 if "order" in way else 0.015
        assert mass(image, -1000, spacing[1]) == pytest.approx(expected, rel=bound)

    @given(rotations(8), st.tuples(*[st.floats(-0.5, 0.5)] * 3))
    def test_trilinear_samples_keep_all_of_it(
        self, turn: NDArray[np.float64], offset: tuple[float, float, float]
    ) -> None:
        """With cubic voxels: each is shared out among pixels and slices that all are there."""
        volume = noise()
        pose = rhoa.Alignment(turn, volume.to_lps(np.array([9, 17, 21]) + offset))

        image = rhoa.ctap(volume, pose=pose, window=(-1000, 3000), method="reslice")

        expected = (volume.hu + 1000.0).sum()
        assert mass(image, -1000, 1) == pytest.approx(expected, rel=1e-3)

    @pytest.mark.parametrize("way", WAYS[:2], ids=str)
    @pytest.mark.parametrize("angles", [(0.1, 0.2, 0.1), (4, 0.1, 0.1), (0.1, 0.1, 7), (6, -3, 5)])
    def test_a_uniform_scan_is_as_thick_as_its_box(
        self, angles: tuple[float, float, float], way: dict[str, Any]
    ) -> None:
        """Closed form: the chord of each ray through the box, half a voxel beyond the centres."""
        volume = rhoa.Volume.from_array(np.full((30, 40, 36), 300, np.int16), (1.2, 0.8, 1))
        pose = posed(volume, rotation(*angles).T)

        image = rhoa.ctap(volume, pose=pose, window=(0, 600), **way)

        chord = chord_mm(volume, image, (-1e3, 1e3))
        np.testing.assert_allclose(image.coverage_mm, chord, atol=1e-4)
        deep = chord > chord.max() - 1e-3  # through the front and the back face
        clear = ndimage.binary_erosion(deep, iterations=6)  # of side faces, which are blurred
        assert clear.sum() > 50
        np.testing.assert_allclose(image.pixels[clear], 300 * chord[clear] / 0.8, rtol=2e-3)
        assert image.pixels.sum() == pytest.approx(300 * chord.sum() / 0.8, rel=0.01)


class TestDepths:
    @pytest.mark.parametrize("angles", [(0, 0, 0), (3, -2, 5)])
    @pytest.mark.parametrize("way", WAYS, ids=str)
    def test_all_is_the_range_that_it_tells(
        self, way: dict[str, Any], angles: tuple[float, float, float]
    ) -> None:
        volume = noise((1.3, 0.9, 0.8))
        pose = posed(volume, rotation(*angles).T)

        image = rhoa.ctap(volume, pose=pose, **way)
        again = rhoa.ctap(volume, pose=pose, depth=image.provenance["depth_mm"], **way)

        np.testing.assert_array_equal(again.pixels, image.pixels)

    @pytest.mark.parametrize("angles", [(0, 0, 0), (3, -2, 5)])
    def test_it_is_whole_rows_from_before_the_scan_to_behind_it(
        self, angles: tuple[float, float, float]
    ) -> None:
        volume = noise((1.3, 0.9, 0.8))
        pose = posed(volume, rotation(*angles).T)

        front, back = rhoa.ctap(volume, pose=pose).provenance["depth_mm"]

        ends = [(-0.5, length - 0.5) for length in SHAPE]
        y = pose.to_ap(volume.to_lps(list(product(*ends))))[:, 1]
        rows = (back - front) / 0.9
        assert rows == pytest.approx(round(rows))
        assert 0 <= y.min() - front + 1e-6 <= 0.46
        assert 0 <= back - y.max() + 1e-6 <= 0.46

    @given(st.floats(-19.9, 19.9), rotations(6))
    def test_parts_add_up_to_the_whole(self, cut: float, turn: NDArray[np.float64]) -> None:
        volume = noise()
        pose = posed(volume, turn)
        whole = rhoa.ctap(volume, pose=pose)
        front, back = whole.provenance["depth_mm"]

        parts = [rhoa.ctap(volume, pose=pose, depth=d) for d in ((front, cut), (cut, back))]

        total = parts[0].pixels + parts[1].pixels
        np.testing.assert_allclose(total, whole.pixels, rtol=1e-4, atol=0.5)

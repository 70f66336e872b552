"""Projections against closed forms: blobs, thin sheets, masses, depths, and a letter that reads."""

from __future__ import annotations

from functools import cache, lru_cache
from itertools import permutations, product
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import rhoa
from tests.closed_forms import LETTER, Blobs, chord_mm, letter, pixel_mm, sheet
from tests.strategies import posed, rotation

SHEAR, TRILINEAR, CUBIC = {}, {"method": "reslice"}, {"method": "reslice", "order": 3}
METHODS = pytest.mark.parametrize("method", [SHEAR, TRILINEAR, CUBIC], ids=["shear", "1", "3"])
ANGLES = [(10, 4, -3), (-7, 3, 12), (20, -10, 8), (3, 20, 0), (5, -15, 10)]
WINDOW = (0, 1e5)


def sample(family: list[Any], *, kept: tuple[int, ...]) -> list[Any]:
    """A family of parameters of which all but those kept are slow."""
    return [
        one if number in kept else pytest.param(one, marks=pytest.mark.slow)
        for number, one in enumerate(family)
    ]


def rms(error: NDArray[np.float64]) -> float:
    return float(np.sqrt(np.mean(error**2)))


@cache
def blobs() -> tuple[Blobs, rhoa.Volume]:
    """160 voxels of 1 mm each way; blobs of 1.2 to 5 voxels."""
    empty = rhoa.Volume.from_array(np.zeros((160, 160, 160), np.int8), (1, 1, 1))
    form = Blobs.within(empty, (1.2, 5))
    return form, form.scan(empty.shape, empty.affine)


@lru_cache(maxsize=1)  # the methods follow each other
def stored_blobs(
    order: tuple[int, ...], flips: tuple[int, ...]
) -> tuple[Blobs, rhoa.Volume, rhoa.Alignment]:
    """Anisotropic voxels whose axes run along those of the patient in any order and direction."""
    affine = np.zeros((4, 4))
    spacing, shape = (1.5, 0.8, 0.9), (70, 110, 100)
    for axis, patient in enumerate(order):
        affine[patient, axis] = spacing[axis] * flips[axis]
    affine[:, 3] = [20, -30, 40, 1]
    form = Blobs.within(rhoa.Volume(np.zeros(shape, np.int8), affine), (2.4, 4))
    volume = form.scan(shape, affine)
    return form, volume, posed(volume, rotation(9, -5, 6).T)


@lru_cache(maxsize=1)
def tilted_sheet(
    angles: tuple[float, float, float], depth_mm: float
) -> tuple[rhoa.Volume, rhoa.Alignment]:
    empty = rhoa.Volume.from_array(np.zeros((64, 64, 64), np.int8), (1, 1, 1))
    pose = posed(empty, rotation(*angles).T)
    return sheet(empty.shape, pose, depth_mm), pose


@cache
def letter_images() -> list[tuple[dict[str, Any], NDArray[np.float32]]]:
    """Options, and the image of the letter as it is first stored."""
    reference = letter()
    pose = posed(reference, rotation(6, -4, 5).T)
    options = [{}, *({"pose": pose, **method} for method in (SHEAR, TRILINEAR, CUBIC))]
    return [(one, rhoa.ctap(reference, **one).pixels) for one in options]


class TestBlobs:
    @pytest.mark.parametrize(
        ("method", "bound"),
        [
            (SHEAR, 0.001),
            (TRILINEAR, 0.008),
            pytest.param(CUBIC, 0.0003, marks=pytest.mark.slow),
        ],
        ids=["shear", "1", "3"],
    )
    def test_the_error_of_line_integrals_is_small_beside_the_images_contrast(
        self, method: dict[str, object], bound: float
    ) -> None:
        """RMS over all pixels and angles, relative to the image's standard deviation."""
        form, volume = blobs()
        errors = []
        for angles in ANGLES:
            pose = posed(volume, rotation(*angles).T)
            image = rhoa.ctap(volume, pose=pose, window=WINDOW, **method)
            expected = form.image(image)
            errors.append(rms(image.pixels - expected) / expected.std())

        assert np.sqrt(np.mean(np.square(errors))) <= bound

    @METHODS
    @pytest.mark.parametrize("angles", sample(ANGLES, kept=(0, 2)))
    def test_no_mass_is_lost(
        self, angles: tuple[float, float, float], method: dict[str, object]
    ) -> None:
        """Sum of pixels times their area equals sum of voxels times their volume (all 1 mm)."""
        _, volume = blobs()

        image = rhoa.ctap(volume, pose=posed(volume, rotation(*angles).T), window=WINDOW, **method)

        assert image.pixels.sum(dtype=float) == pytest.approx(volume.hu.sum(dtype=float), rel=0.001)

    @METHODS
    def test_a_depth_range_cuts_between_voxels(self, method: dict[str, object]) -> None:
        """Closed form with the error function, as the front slides by tenths of a voxel.

        Each image, and what each step takes away relative to itself: the change is smooth.
        """
        form, volume = blobs()
        pose = posed(volume, rotation(10, 4, -3).T)
        whole = rhoa.ctap(volume, pose=pose, window=WINDOW).pixels.std()
        depths = [(float(front), 20.0) for front in np.arange(-4, -2.95, 0.1)]

        images = [rhoa.ctap(volume, pose=pose, window=WINDOW, depth=d, **method) for d in depths]

        exact = [form.image(image, depth) for image, depth in zip(images, depths, strict=True)]
        errors = [image.pixels - expected for image, expected in zip(images, exact, strict=True)]
        assert max(map(rms, errors)) <= whole * (0.004 if method == TRILINEAR else 0.0006)
        for error, expected in zip(np.diff(errors, axis=0), np.diff(exact, axis=0), strict=True):
            assert rms(error) <= (0.3 if method == TRILINEAR else 0.03) * rms(expected)

    def test_a_thin_range_is_cut_from_a_steeply_tilted_scan(self) -> None:
        """6 mm between two fronts that cross the slices at 30 degrees."""
        form, volume = blobs()
        pose = posed(volume, rotation(30, 0, 0).T)

        image = rhoa.ctap(volume, pose=pose, window=WINDOW, depth=(-3, 3))

        expected = form.image(image, (-3, 3))
        assert rms(image.pixels - expected) <= 0.01 * expected.std()

    @METHODS
    @pytest.mark.parametrize(
        "turned", sample([(80, 5, 3), (85, 0, -10), (4, 3, 88), (2, 50, -40)], kept=(0, 2))
    )
    def test_rays_may_run_along_any_axis_of_the_array(
        self, turned: tuple[float, float, float], method: dict[str, object]
    ) -> None:
        """The scan lies at any angle to the patient; what the rays cross stays the same."""
        form, volume = blobs()
        turn = np.eye(4)
        turn[:3, :3] = rotation(*turned)
        moved = rhoa.Volume(volume.hu, turn @ volume.affine)
        shifted = Blobs(form.centres_lps @ turn[:3, :3].T, form.sigmas_mm, form.heights_hu)

        image = rhoa.ctap(moved, pose=posed(moved, np.eye(3)), window=WINDOW, **method)

        expected = shifted.image(image)
        error = rms(image.pixels - expected) / expected.std()
        assert error <= (0.012 if method == TRILINEAR else 0.001)

    @METHODS
    @pytest.mark.parametrize("flips", sample(list(product([1, -1], repeat=3)), kept=(0, 5)))
    @pytest.mark.parametrize("order", [(2, 1, 0), (0, 1, 2), (1, 2, 0)])
    def test_anisotropic_flipped_and_left_handed_scans_are_integrated_right(
        self, order: tuple[int, ...], flips: tuple[int, ...], method: dict[str, object]
    ) -> None:
        form, volume, pose = stored_blobs(order, flips)
        row_spacing = volume.spacing_mm[volume.axes.posterior]

        image = rhoa.ctap(volume, pose=pose, window=WINDOW, **method)

        expected = form.image(image) / row_spacing
        error = rms(image.pixels - expected) / expected.std()
        assert error <= (0.015 if method == TRILINEAR else 0.001)


class TestSheet:
    """A joint line is a sheet one voxel thick; fixed steps along the ray can miss it whole."""

    @METHODS
    @pytest.mark.parametrize("depth_mm", [-9.0, 0.0, 0.25, 0.5, 7.7])
    @pytest.mark.parametrize(
        ("angles", "cubic", "trilinear"),
        [
            ((0, 0, 0), 0.001, 0.001),
            ((3, 0, 0), 0.001, 0.002),
            ((10, 4, -3), 0.005, 0.04),
            ((20, -12, 9), 0.04, 0.15),
        ],
    )
    def test_its_line_integral_is_its_thickness(
        self,
        angles: tuple[float, float, float],
        cubic: float,
        trilinear: float,
        depth_mm: float,
        method: dict[str, object],
    ) -> None:
        """On average always; at steep tilts the voxels are a staircase to single rays."""
        volume, pose = tilted_sheet(angles, depth_mm)

        image = rhoa.ctap(volume, pose=pose, window=(0, 600), **method)

        x, z = pixel_mm(image)
        middle = image.pixels[(abs(x) < 12) & (abs(z) < 12)]
        assert middle.mean() == pytest.approx(600, rel=0.001)
        bound = trilinear if method == TRILINEAR else cubic
        assert abs(middle - 600).max() <= bound * 600

    @METHODS
    @pytest.mark.parametrize("row", [20, 31, 40])
    @pytest.mark.parametrize("tilt_deg", [0, 3, 10, 20])
    def test_a_sheet_of_one_row_of_voxels_is_crossed_at_an_angle(
        self, tilt_deg: float, row: int, method: dict[str, object]
    ) -> None:
        """Closed form: 600 HU mm over the cosine of the angle, on every ray."""
        hu = np.zeros((64, 64, 64), np.int16)
        hu[:, row] = 600
        volume = rhoa.Volume.from_array(hu, (1, 1, 1))

        image = rhoa.ctap(
            volume, pose=posed(volume, rotation(tilt_deg, 0, 0).T), window=(0, 600), **method
        )

        x, z = pixel_mm(image)
        middle = image.pixels[(abs(x) < 12) & (abs(z) < 12)]
        expected = 600 / np.cos(np.radians(tilt_deg))
        assert middle.mean() == pytest.approx(expected, rel=0.01)
        if method == SHEAR:
            np.testing.assert_allclose(middle, expected, rtol=0.001)


class TestLetter:
    @pytest.mark.parametrize("order", list(permutations(range(3))))
    @pytest.mark.parametrize("flips", list(product([0, 1], repeat=3)))
    def test_it_reads_right_however_it_is_stored(
        self, order: tuple[int, ...], flips: tuple[int, ...]
    ) -> None:
        volume = letter(order, flips)

        for options, expected in letter_images():
            image = rhoa.ctap(volume, **options)

            np.testing.assert_allclose(image.pixels, expected, atol=1e-4 * np.ptp(expected))

    @pytest.mark.parametrize("options", [{}, TRILINEAR, CUBIC, {"method": "shear"}])
    def test_it_is_an_r_and_not_its_mirror_image(self, options: dict[str, object]) -> None:
        volume = letter()
        pose = posed(volume, rotation(6, -4, 5).T) if options else None

        image = rhoa.ctap(volume, pose=pose, **options)

        bright = image.pixels > (image.pixels.min() + image.pixels.max()) / 2
        rows, columns = np.flatnonzero(bright.any(1)), np.flatnonzero(bright.any(0))
        seen = bright[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        places = [
            np.linspace(0, length - 1, count + 1)[:-1] + (length - 1) / count / 2
            for length, count in zip(seen.shape, LETTER.shape, strict=True)
        ]
        seen = seen[np.ix_(*(place.round().astype(int) for place in places))]
        agreement = {
            name: np.mean(seen == other)
            for name, other in {
                "R": LETTER,
                "mirrored": LETTER[:, ::-1],
                "upside down": LETTER[::-1],
                "both": LETTER[::-1, ::-1],
            }.items()
        }
        assert max(agreement, key=lambda name: agreement[name]) == "R"
        assert agreement["R"] >= 0.85


class TestCoverage:
    @pytest.mark.parametrize("angles", ANGLES)
    def test_it_is_the_length_of_the_ray_inside_the_scan(
        self, angles: tuple[float, float, float]
    ) -> None:
        """Oracle: where the ray crosses the three pairs of faces of the box of voxels."""
        volume = rhoa.Volume.from_array(np.zeros((20, 30, 25), np.int16), (1.5, 0.8, 0.9))
        depth = (-8.0, 6.5)

        image = rhoa.ctap(volume, pose=posed(volume, rotation(*angles).T), depth=depth)

        np.testing.assert_allclose(image.coverage_mm, chord_mm(volume, image, depth), atol=1e-3)


@METHODS
def test_a_metal_voxel_changes_only_the_rays_near_it(method: dict[str, object]) -> None:
    """No value of the scan scales the others: what differs fades within a few pixels."""
    hu = np.random.default_rng(3).integers(-200, 400, (50, 50, 50)).astype(np.int16)
    clean = rhoa.Volume.from_array(hu, (1, 1, 1))
    metal = hu.copy()
    metal[25, 25, 25] = 3071
    pose = posed(clean, rotation(10, 4, -3).T)
    options = {"pose": pose, "window": (-150, 3071), **method}

    change = rhoa.ctap(rhoa.Volume(metal, clean.affine), **options).pixels
    change = np.abs(change - rhoa.ctap(clean, **options).pixels)

    x, z = pixel_mm(rhoa.ctap(clean, **options))
    voxel_x, _, voxel_z = pose.to_ap(clean.to_lps((25, 25, 25)))
    near = (x - voxel_x) ** 2 + (z - voxel_z) ** 2 <= 6**2
    assert change[~near].max() <= 1e-3 * change.max()

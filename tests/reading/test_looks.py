"""What deserves a look in the voxels: metal, a cut body, motion, values that are no HU."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from pydicom.dataset import FileDataset
from scipy.ndimage import binary_fill_holes

from rhoa.dicom.pixels import fill_padding
from rhoa.errors import PixelDataError, RhoaError, RhoaWarning, WarningCollector
from rhoa.phantom import Anatomy, Phantom, Surroundings, ct, write_dicom
from rhoa.pose import coverage
from rhoa.reading import inspect, read_ct
from rhoa.reading.quality import (
    SliceStats,
    implausibility,
    quality_report,
    slice_stats,
    volume_quality_report,
)
from rhoa.volume import Volume
from tests.commands import run
from tests.reading.series import VoxelGrid, set_pixels, write_series

SPACING = (3.0, 2.0, 2.0)
VOXEL_CM3 = 0.012


@pytest.fixture(scope="module", name="body")
def phantom() -> NDArray[np.int16]:
    hu: NDArray[np.int16] = ct(Anatomy.random(5), spacing_mm=SPACING, angles=(5, 1, -2)).volume.hu
    return hu


PELVIS_MM = (6.0, 4.0, 4.0)


@pytest.fixture(scope="module", name="pelvis")
def coarse_phantom() -> Phantom:
    return ct(Anatomy.random(1), spacing_mm=PELVIS_MM)


@pytest.fixture(scope="module", name="seen")
def seen_of_the_body(body: NDArray[np.int16]) -> list[SliceStats]:
    return [slice_stats(one) for one in body]


def reported(seen: list[SliceStats], **options: bool) -> tuple[dict[str, Any], list[str]]:
    findings = WarningCollector()
    return quality_report(seen, SPACING, findings, **options), findings.warnings


def judged(hu: NDArray[Any], **options: bool) -> tuple[dict[str, Any], list[str]]:
    return reported([slice_stats(one) for one in hu], **options)


def test_a_body_in_the_middle_of_its_field_deserves_none(body: NDArray[np.int16]) -> None:
    report, warnings = judged(body)

    assert warnings == []
    assert report == {
        "metal_cm3": 0.0,
        "filled_hu": None,
        "plausible_hu": True,
        "cut_body_share": 0.0,
        "moved_slices": [],
    }


def test_floating_point_numbers_are_seen_as_integers_are(body: NDArray[np.int16]) -> None:
    moved = body.copy()
    moved[40:42] = np.roll(moved[40:42], (3, -3), axis=(1, 2))
    moved[20:24, 60:64, 60:64] = 3071

    assert judged(moved.astype(np.float32)) == judged(moved)


class TestMetal:
    @pytest.mark.parametrize("hu", [2501, 3071, 8000, 30710, 31743])
    def test_half_a_cubic_centimetre_in_one_place_is_metal(
        self, body: NDArray[np.int16], hu: int
    ) -> None:
        with_metal = body.copy()
        with_metal[30:34, 70:74, 90:93] = hu

        report, warnings = judged(with_metal)

        assert report["metal_cm3"] == pytest.approx(48 * VOXEL_CM3, abs=0.001)
        assert warnings[0].startswith("metal: 0.6 cm3 above 2500 HU or cut off")

    def test_less_is_metal_where_it_is_cut_off(self, body: NDArray[np.int16]) -> None:
        with_metal = body.copy()
        with_metal[30:32, 70:74, 90:93] = 3071

        assert judged(with_metal)[0]["metal_cm3"] == pytest.approx(24 * VOXEL_CM3, abs=0.001)
        with_metal[0, 0, 0] = 3072  # 3071 is a value among others then
        assert judged(with_metal)[0]["metal_cm3"] == 0

    def test_bright_spots_here_and_there_are_none(self, body: NDArray[np.int16]) -> None:
        """Like pools of barium: 0.14 cm3 each, 30 mm apart."""
        with_pools = body.copy()
        for k in range(10, 90, 10):
            with_pools[k : k + 2, 70:73, 40:42] = 3071

        report, warnings = judged(with_pools)

        assert report["metal_cm3"] == 0
        assert warnings == []

    def test_strict_reading_makes_it_an_error(self, body: NDArray[np.int16]) -> None:
        with_metal = body.copy()
        with_metal[30:34, 70:74, 90:93] = 3071

        with pytest.raises(PixelDataError, match="metal.*strict=True"):
            quality_report(
                [slice_stats(one) for one in with_metal], SPACING, WarningCollector(strict=True)
            )


class TestFieldOfView:
    @pytest.mark.parametrize("columns", [slice(45, None), slice(None, -45), slice(45, -45)])
    def test_a_body_that_the_border_cuts_is_reported(
        self, body: NDArray[np.int16], columns: slice
    ) -> None:
        report, warnings = judged(body[:, :, columns])

        assert report["cut_body_share"] == 1
        (warning,) = warnings
        assert warning.startswith("the field of view cuts the body on 100% of the slices; sums")

    def test_a_body_that_the_circle_cuts_is_reported(self, body: NDArray[np.int16]) -> None:
        """Of 300 mm, in an image of 312 mm: it cuts both flanks, 365 mm apart."""
        rows, columns = body.shape[1:]
        square = body[:, :, (columns - rows) // 2 :][:, :, :rows]
        j, i = np.indices((rows, rows)) - (rows - 1) / 2
        circle = np.hypot(j, i) <= 0.48 * rows

        report, _ = judged(np.where(circle, square, -1024).astype(np.int16))

        assert report["cut_body_share"] > 0.5

    def test_a_table_and_arms_beside_the_body_are_not_the_body(
        self, body: NDArray[np.int16]
    ) -> None:
        beside = body.copy()
        beside[:, 50:90, :3] = 40  # an arm, cut
        beside[:, -3:, :] = -100  # a table across the whole image

        assert judged(beside)[0]["cut_body_share"] == 0

    def test_the_share_of_slices_counts(self, body: NDArray[np.int16]) -> None:
        some = body.copy()
        some[::10, 60:100, :] = 40

        report, _ = judged(some)

        assert report["cut_body_share"] == pytest.approx(0.1, abs=0.06)

    def test_slices_along_the_body_end_where_it_goes_on(self, body: NDArray[np.int16]) -> None:
        upright = np.ascontiguousarray(np.moveaxis(body, 2, 0))
        affine = np.array([[2.0, 0, 0, 0], [0, 0, 2, 0], [0, 3, 0, 0], [0, 0, 0, 1]])
        findings = WarningCollector()

        sagittal = judged(upright, axial=False)[0]
        turned = volume_quality_report(upright, affine, findings)

        assert sagittal["cut_body_share"] is None
        assert turned == judged(body)[0]


class TestMotion:
    @given(
        k=st.integers(3, 90),
        count=st.integers(1, 4),
        pixels=st.tuples(st.integers(-8, 8), st.integers(-8, 8)).filter(
            lambda shift: np.hypot(*shift) >= 3
        ),
    )
    def test_a_jump_of_three_pixels_is_found_where_it_is(
        self,
        body: NDArray[np.int16],
        seen: list[SliceStats],
        k: int,
        count: int,
        pixels: tuple[int, int],
    ) -> None:
        moved = [slice_stats(np.roll(one, pixels, axis=(0, 1))) for one in body[k : k + count]]

        report, _ = reported([*seen[:k], *moved, *seen[k + count :]])

        assert report["moved_slices"] == [k, k + count]

    def test_one_that_stays_is_one_jump(self, body: NDArray[np.int16]) -> None:
        moved = body.copy()
        moved[50:] = np.roll(moved[50:], 4, axis=2)

        report, warnings = judged(moved)

        assert report["moved_slices"] == [50]
        (warning,) = warnings
        assert warning.startswith("motion: slices jump sideways at index 50; the patient moved")

    @pytest.mark.parametrize("seed", range(6))
    def test_no_body_that_lies_still_is_said_to_move(self, seed: int) -> None:
        spacing = [(5.0, 2.5, 2.5), (3.0, 2.0, 2.0)][seed % 2]
        volume = ct(Anatomy.random(seed), spacing_mm=spacing, angles=(seed, -1, seed - 3)).volume

        assert (
            volume_quality_report(volume.hu, volume.affine, WarningCollector())["moved_slices"]
            == []
        )


class TestWhatIsNoBody:
    @pytest.mark.parametrize(
        "hu",
        [
            np.random.default_rng(0).integers(-1024, 3072, (12, 64, 64)),
            np.full((12, 64, 64), 40),
            np.arange(12 * 64 * 64).reshape(12, 64, 64) % 1900 - 900,
            np.full((3, 512, 8), 3071),
            np.zeros((1, 1, 1)),
        ],
        ids=["noise", "one value", "ramp", "all metal", "one voxel"],
    )
    def test_nothing_is_said_of_it(self, hu: NDArray[np.int64]) -> None:
        report, warnings = judged(hu.astype(np.int16))

        assert warnings == []
        assert report["metal_cm3"] == 0
        assert report["cut_body_share"] is None


def windowed(hu: NDArray[Any], low: float, high: float) -> NDArray[Any]:
    """Grey values from 0 to 255, as a viewer exports them."""
    grey: NDArray[Any] = np.round((np.clip(hu, low, high) - low) / (high - low) * 255)
    return grey


def wrongly_padded(hu: NDArray[Any]) -> NDArray[Any]:
    """What cannot be HU becomes air, as `rhoa.read_ct` makes it."""
    return np.where(hu < -1500, -1024, hu)


NO_HU = {
    "8 bit, abdomen": lambda hu: windowed(hu, -160, 240),
    "8 bit, bone": lambda hu: windowed(hu, -450, 1050),
    "8 bit, all": lambda hu: windowed(hu, -1000, 1000),
    "[0, 1]": lambda hu: windowed(hu, -1000, 1000) / 255,
    "[-1, 1]": lambda hu: windowed(hu, -1000, 1000) / 127.5 - 1,
    "z-scores": lambda hu: (hu - hu.mean()) / hu.std(),
    "attenuation a cm": lambda hu: np.maximum(hu + 1000.0, 0) * 1.92e-4,
    "attenuation a m": lambda hu: np.maximum(hu + 1000.0, 0) * 1.92e-2,
    "labels": lambda hu: np.digitize(hu, [-500, -150, -30, 150, 400, 1000]),
    "labels of HU": lambda hu: np.array([-1000, -100, 50, 700])[np.digitize(hu, [-500, -30, 200])],
    "MR": lambda hu: np.digitize(hu, [-500, -30, 150]) * 200 + np.abs(hu % 37),
    "clipped to soft tissue": lambda hu: np.clip(hu, -160, 240),
    "half the scale": lambda hu: hu / 2,
    "twice the scale": lambda hu: hu * 2,
    "twice the scale, air as padding": lambda hu: np.maximum(hu * 2, -1024),
    "twice the scale, air as it is": lambda hu: np.where(hu > -900, hu * 2, hu),
    **{
        f"stored, {offset} too high": lambda hu, offset=offset: hu + float(offset)
        for offset in (100, 250, 500, 1000, 1024, 2048, 4096, 8192, 32768)
    },
    **{
        f"{offset} subtracted twice": lambda hu, offset=offset: wrongly_padded(hu - float(offset))
        for offset in (1000, 1024, 2048, 8192)
    },
}


class TestHounsfield:
    @pytest.mark.parametrize("kind", NO_HU)
    def test_values_that_are_no_hounsfield_units_are_a_warning_and_strictly_an_error(
        self, body: NDArray[np.int16], kind: str
    ) -> None:
        seen = [slice_stats(one) for one in NO_HU[kind](body).astype(np.float32)]

        report, warnings = reported(seen)

        assert report["plausible_hu"] is False
        assert report["metal_cm3"] is None
        (warning,) = warnings
        assert "no Hounsfield units" in warning
        with pytest.raises(PixelDataError, match="strict=True"):
            quality_report(seen, SPACING, WarningCollector(strict=True))

    @pytest.mark.parametrize("offset", [1000, 1024, 8192])
    def test_a_forgotten_offset_is_named(self, body: NDArray[np.int16], offset: int) -> None:
        """Air at 0 or 24 HU, muscle above 1000: the intercept is missing from the values."""
        _, (warning,) = judged(body + np.int16(offset))

        assert f"as if {offset} were still to be subtracted; check RescaleIntercept" in warning

    @pytest.mark.parametrize("kind", ["8 bit, abdomen", "[0, 1]", "MR", "stored, 1024 too high"])
    def test_no_hip_of_such_values_can_be_used(self, pelvis: Phantom, kind: str) -> None:
        values = NO_HU[kind](pelvis.volume.hu).astype(np.float32)

        found = coverage(Volume(values, pelvis.volume.affine), pelvis.landmarks)

        assert "not_hounsfield" in found.flags
        assert found.usable_sides == ()
        assert all("not_hounsfield" in hip.hard_flags for hip in found.hips.values())

    @pytest.mark.parametrize("seed", range(4))
    def test_a_ct_is_plausible_also_where_its_field_shows_no_air(self, seed: int) -> None:
        hu = ct(Anatomy.random(seed), spacing_mm=(8.0, 4.0, 4.0)).volume.hu
        for part in (1, 2 / 3, 1 / 2):
            rows, columns = (round(side * (1 - part) / 2) for side in hu.shape[1:])
            field = hu[:, rows : hu.shape[1] - rows, columns : hu.shape[2] - columns]

            assert implausibility(field) == ""
            assert implausibility(field.astype(np.float32)) == ""

    @pytest.mark.parametrize(
        "surroundings",
        [
            Surroundings(contrast_loops=4, tagged_stool=("left", "right"), bladder_hu=350.0),
            Surroundings(implant="left"),
            Surroundings(ribs=True, gas_bubbles=30),
        ],
        ids=["contrast", "implant", "ribs"],
    )
    def test_contrast_and_implants_leave_it_plausible(self, surroundings: Surroundings) -> None:
        volume = ct(Anatomy.random(2), spacing_mm=(8.0, 4.0, 4.0), surroundings=surroundings).volume

        report = volume_quality_report(volume.hu, volume.affine, WarningCollector())

        assert report["plausible_hu"] is True

    @given(
        st.integers(-3000, 3000), st.sampled_from([np.int16, np.float32]), st.integers(0, 2**32 - 1)
    )
    def test_noise_and_ramps_are_not_plausible(self, start: int, kind: type, seed: int) -> None:
        noise = np.random.default_rng(seed).integers(start, start + 4096, (4, 64, 64)).astype(kind)
        ramp = np.linspace(start, start + 2500, 20_000).astype(kind)

        assert implausibility(noise)
        assert implausibility(ramp)

    @pytest.mark.parametrize("part", [(slice(0, 4),), (slice(None), slice(0, 60), slice(0, 70))])
    def test_a_small_scan_is_not_judged(
        self, body: NDArray[np.int16], part: tuple[slice, ...]
    ) -> None:
        report, warnings = judged(windowed(body, -160, 240).astype(np.int16)[part])

        assert report["plausible_hu"] is None
        assert warnings == []

    @pytest.mark.parametrize(
        "part", [(slice(0, 4),), (slice(None), slice(0, 60), slice(0, 70)), (slice(None),)]
    )
    @pytest.mark.parametrize("suffix", ["dicom", "nii.gz"])
    def test_the_command_line_says_once_that_a_scan_is_too_small_to_judge(
        self,
        body: NDArray[np.int16],
        part: tuple[slice, ...],
        suffix: str,
        tmp_path: Path,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        small = Volume.from_array(np.ascontiguousarray(body[part]), SPACING)
        scan = tmp_path / f"scan.{suffix}"
        if suffix == "dicom":
            write_dicom(small, scan)
        else:
            nibabel = pytest.importorskip("nibabel")
            affine = np.diag([-1.0, -1.0, 1.0, 1.0]) @ small.affine[:, [2, 1, 0, 3]]
            nibabel.save(nibabel.Nifti1Image(small.hu.transpose(2, 1, 0), affine), scan)

        code, _, err = run(capsys, "ctap", scan, "-o", tmp_path / "out")

        assert code == 0
        assert err.count("Unit of values: not judged") == (len(part) > 1 or part[0].stop == 4)


@pytest.fixture(scope="module", params=["masked", "turned", "band"])
def outside(body: NDArray[np.int16], request: pytest.FixtureRequest) -> NDArray[np.bool_]:
    """The background of a scan, its corners, or one edge."""
    k, j, i = np.indices(body.shape)
    rows, columns = body.shape[1:]
    if request.param == "masked":
        return ~np.stack([binary_fill_holes(one > -300) for one in body])
    if request.param == "turned":
        return np.abs(j - rows / 2) / rows + np.abs(i - columns / 2) / columns > 0.8
    return j < 10 + k // 20


class TestBackground:
    """Resampled with, or masked to, one value that tissue has."""

    @pytest.mark.parametrize("fill", [0, -500, 100, -150])
    def test_it_is_reported_and_does_not_count_as_a_body(
        self, body: NDArray[np.int16], outside: NDArray[np.bool_], fill: int
    ) -> None:
        report, warnings = judged(np.where(outside, fill, body).astype(np.int16))

        assert report["plausible_hu"] is True
        assert report["filled_hu"] == fill
        assert report["cut_body_share"] == 0
        (warning,) = warnings
        assert warning.startswith(f"the background is filled with {fill} HU")

    def test_what_is_read_has_air_there_and_the_tissue_it_had(
        self, body: NDArray[np.int16], outside: NDArray[np.bool_], tmp_path: Path
    ) -> None:
        nibabel = pytest.importorskip("nibabel", reason="pip install 'rhoa[nifti]'")
        filled = np.where(outside, 0, body).astype(np.int16)
        affine = np.diag([-2.0, -2, 3, 1])
        nibabel.save(nibabel.Nifti1Image(filled.T, affine), tmp_path / "filled.nii.gz")

        with pytest.warns(RhoaWarning, match="the background is filled with 0 HU"):
            volume = read_ct(tmp_path / "filled.nii.gz")

        changed = filled != body
        inside = ~changed & (body != 0)
        assert (volume.hu[changed] == -1024).all()
        np.testing.assert_array_equal(volume.hu[inside], body[inside])

    def test_hips_in_it_were_not_scanned(self, pelvis: Phantom) -> None:
        hu = pelvis.volume.hu.copy()
        hu[:, :, hu.shape[2] // 2 :] = 0  # the left half of the patient

        found = coverage(Volume(hu, pelvis.volume.affine), pelvis.landmarks)

        assert found.hips["left"].inside_fraction < 0.4
        assert "field_of_view" in found.hips["left"].hard_flags
        assert found.hips["right"].inside_fraction == 1


@pytest.fixture(scope="module")
def hip(pelvis: Phantom) -> NDArray[np.bool_]:
    """A ball about the left hip's centre."""
    volume = pelvis.volume
    places = volume.to_lps(np.moveaxis(np.indices(volume.shape), 0, -1))
    near: NDArray[np.bool_] = np.linalg.norm(places - pelvis.hip_centres["left"], axis=-1) < 18
    return near


class TestWrappedMetal:
    """Metal denser than 16 bits hold reads as values far below air."""

    @pytest.mark.parametrize("value", [-30000, -31000, -32768, -20000, -5000, -2000])
    def test_in_the_body_it_is_metal_and_the_hip_unusable(
        self, pelvis: Phantom, hip: NDArray[np.bool_], value: int, tmp_path: Path
    ) -> None:
        nibabel = pytest.importorskip("nibabel", reason="pip install 'rhoa[nifti]'")
        volume = pelvis.volume
        hu = np.where(hip, value, volume.hu.astype(np.int64))
        ras = np.diag([-1.0, -1, 1, 1]) @ volume.affine
        image = nibabel.Nifti1Image(hu.T.astype(np.int16), ras[:, [2, 1, 0, 3]])
        nibabel.save(image, tmp_path / "metal.nii")
        grid = VoxelGrid(spacing_mm=PELVIS_MM, origin_mm=volume.affine[:3, 3], shape=hu.shape)
        write_series(
            tmp_path / "series", grid, hu=hu, edit=lambda k, image: stored_signed(image, hu[k])
        )

        for path in (tmp_path / "metal.nii", tmp_path / "series"):
            with pytest.warns(RhoaWarning) as caught:
                read = read_ct(path)
            assert "wrapped round" in str(caught[0].message)
            assert read.report["metal_cm3"] == pytest.approx(24.4, abs=2)
            assert "implant" in coverage(read, pelvis.landmarks).hips["left"].hard_flags

    def test_padding_at_the_border_and_noise_of_air_are_none(self, body: NDArray[np.int16]) -> None:
        hu = body.astype(np.int32)
        hu[:, :20, :20] = -32768
        hu[:, 30, 75] = -1600
        one = hu[30].copy()

        assert fill_padding(one) == (401, 0)
        assert (one[:20, :20] == -1024).all()
        assert one[30, 75] == -1024


@pytest.mark.parametrize("value", [0, 40, -100])
def test_declared_padding_inside_the_body_is_tissue(value: int, tmp_path: Path) -> None:
    """PixelPaddingValue 0 of signed HU is water, too."""
    hu = ct(Anatomy.random(3), spacing_mm=(12.0, 4.0, 4.0)).volume.hu.astype(np.int64)
    hu[:, :6] = value

    def edit(k: int, image: FileDataset) -> None:
        stored_signed(image, hu[k])
        image.add_new("PixelPaddingValue", "SS", value)

    write_series(tmp_path, VoxelGrid(spacing_mm=(12, 4, 4), shape=hu.shape), hu=hu, edit=edit)

    with pytest.warns(RhoaWarning):
        volume = read_ct(tmp_path)

    assert (volume.hu[:, :6] == -1024).all()
    tissue = hu[:, 20:-20, 20:-20]
    np.testing.assert_array_equal(volume.hu[:, 20:-20, 20:-20], tissue)
    assert (tissue == value).any()


def stored_signed(image: FileDataset, hu: NDArray[Any]) -> None:
    """HU as they are, with a sign."""
    set_pixels(image, np.asarray(hu, np.int64), signed=True)
    image.RescaleSlope, image.RescaleIntercept = "1", "0"


@pytest.mark.parametrize("suffix", [".nii.gz", ".nrrd", ".mha"])
def test_an_identity_affine_is_a_warning(suffix: str, tmp_path: Path) -> None:
    """What tools write who know neither sides nor spacing."""
    values = np.zeros((6, 7, 8), np.int16)
    file = tmp_path / f"scan{suffix}"
    if suffix == ".nii.gz":
        nibabel = pytest.importorskip("nibabel", reason="pip install 'rhoa[nifti]'")
        nibabel.save(nibabel.Nifti1Image(values, np.eye(4)), file)
    else:
        sitk = pytest.importorskip("SimpleITK", reason="pip install 'rhoa[itk]'")
        sitk.WriteImage(sitk.GetImageFromArray(values), str(file))

    with pytest.warns(RhoaWarning, match="the affine is the identity"):
        read_ct(file)
    with pytest.raises(RhoaError, match="identity.*strict=True"):
        read_ct(file, strict=True)
    assert "identity" in inspect(file)[0].warnings[0]


def test_a_volume_keeps_what_was_seen() -> None:
    volume = ct(Anatomy.random(1), spacing_mm=(5.0, 3.0, 3.0)).volume
    seen = volume_quality_report(volume.hu, volume.affine, WarningCollector())

    assert Volume(volume.hu, volume.affine, seen).report["metal_cm3"] == 0

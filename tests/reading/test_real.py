"""Real scans: what the data's own page says a reader must yield.

A sha is the first 16 hex digits of sha256 over the HU stack as little-endian int32, slices
ascending along the normal; the pages of the data sets give the other numbers.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import rhoa
from rhoa import errors
from rhoa.dicom.codecs import decompressors
from rhoa.dicom.header import read_header
from rhoa.dicom.pixels import stored_values
from rhoa.errors import WarningCollector
from rhoa.reading import inspect, read_ct
from rhoa.reading.decoding import raw_samples
from rhoa.reading.quality import quality_report, slice_stats

pytestmark = pytest.mark.real


def sha(hu: NDArray[np.generic]) -> str:
    return hashlib.sha256(np.ascontiguousarray(hu, "<i4").tobytes()).hexdigest()[:16]


def stored(path: Path) -> NDArray[np.int64]:
    """The stored values of one file."""
    header = read_header(path)
    with decompressors([header.pixels.syntax] if header.pixels else [], 1) as (decompress, _):
        return stored_values(raw_samples(header, decompress), header.format).astype(np.int64)


@pytest.fixture
def volume(colonography: tuple[rhoa.Volume, list[str]]) -> rhoa.Volume:
    volume, (warned,) = colonography
    assert "field of view cuts the body" in warned
    return volume


@pytest.fixture(scope="module")
def whole(real_data: Path) -> rhoa.Volume:
    with pytest.warns(errors.RhoaWarning, match="field of view cuts the body"):
        return read_ct(real_data / "real-ct" / "ct_colonography_02")


@pytest.mark.slow
class TestEverySlice:
    def test_the_whole_abdomen_is_read_voxel_for_voxel(self, whole: rhoa.Volume) -> None:
        """Ten pools of barium are no metal: .8 cm3 above 2500 HU, a quarter cut off at 3071."""
        assert whole.shape == (497, 512, 512)
        assert whole.hu.dtype == np.int16
        assert (whole.hu.min(), whole.hu.max()) == (-1024, 3071)
        assert whole.hu.mean(dtype=np.float64) == pytest.approx(-403.1353, abs=5e-5)
        assert sha(whole.hu) == "131fc61f16759055"
        assert whole.spacing_mm == pytest.approx((0.8, 0.625, 0.625))
        assert whole.to_lps([496, 0, 0])[2] == pytest.approx(-219.0)
        assert np.count_nonzero(whole.hu > 2500) == 2563
        assert whole.report["metal_cm3"] == 0
        assert whole.report["moved_slices"] == []

    def test_displaced_slices_are_found_where_they_are(self, whole: rhoa.Volume) -> None:
        still = [slice_stats(one) for one in whole.hu]
        for pixels in ((0, 3), (3, 0), (-5, 5)):
            looks = list(still)
            for k in (240, 241):
                looks[k] = slice_stats(np.roll(whole.hu[k], pixels, axis=(0, 1)))

            found = quality_report(looks, whole.spacing_mm, WarningCollector())

            assert found["moved_slices"] == [240, 242]


class TestColonography:
    def test_spacing_comes_from_positions_and_not_from_slice_thickness(
        self, volume: rhoa.Volume
    ) -> None:
        assert volume.spacing_mm == pytest.approx((1.6, 0.625, 0.625))
        assert volume.to_lps([0, 0, 0])[2] == pytest.approx(-615.8)
        assert volume.to_lps([248, 0, 0])[2] == pytest.approx(-219.0)

    def test_pools_of_barium_are_no_metal_and_nobody_moved(self, volume: rhoa.Volume) -> None:
        assert volume.report["metal_cm3"] == 0
        assert volume.report["moved_slices"] == []

    def test_the_field_of_view_cuts_skin_and_trochanters_in_three_quarters_of_the_slices(
        self, volume: rhoa.Volume
    ) -> None:
        assert volume.report["cut_body_share"] == pytest.approx(0.75, abs=0.05)
        assert volume.report["plausible_hu"]

    @pytest.mark.parametrize("centre", [(110, -154, -539), (-65, -139, -540)])
    def test_both_femoral_heads_are_bone_at_their_places(
        self, volume: rhoa.Volume, centre: tuple[float, float, float]
    ) -> None:
        k, j, i = np.rint(volume.to_index(centre)).astype(int)

        assert volume.hu[k - 6 : k + 7, j - 8 : j + 9, i - 8 : i + 9].mean() > 150


def test_a_compressed_series_whose_numbers_descend_is_read(real_data: Path) -> None:
    volume = read_ct(real_data / "dicom" / "totalseg_ct_j2k", strict=True)

    assert volume.shape == (20, 512, 512)
    assert (volume.hu.min(), volume.hu.max()) == (-1024, 1839)
    assert volume.hu.mean(dtype=np.float64) == pytest.approx(-624.1259, abs=5e-5)
    assert volume.spacing_mm == pytest.approx((2.0, 0.9765625, 0.9765625))
    assert sha(volume.hu) == "54dc2bf6b8ef6a49"


def test_padding_of_an_implicit_feet_first_series_is_air(real_data: Path) -> None:
    folder = real_data / "dicom" / "dcmqi_ct_3slice"
    files = sorted(folder.iterdir(), key=lambda path: read_header(path).plane.position_mm[2])
    unmasked = np.stack([stored(path) for path in files]) - 1024

    volume = read_ct(folder, strict=True)

    assert sha(unmasked) == "0c13d7594e230b66"
    assert unmasked.min() == -3024
    np.testing.assert_array_equal(volume.hu, np.where(unmasked == -3024, -1024, unmasked))
    assert volume.spacing_mm[0] == pytest.approx(1.0)
    assert volume.report["padding_voxels"] == (unmasked == -3024).sum()


@pytest.mark.parametrize(
    ("image", "intercept", "lowest", "highest"),
    [("CT1", -1024, -3024, 1254), ("CT2", 0, -2048, 1433)],
)
class TestWorkingGroup4:
    @pytest.mark.parametrize("syntax", ["RLE", "J2KR", "JPLL", "JLSL"])
    def test_every_lossless_syntax_gives_one_answer(
        self, syntax: str, image: str, intercept: int, lowest: int, highest: int, real_data: Path
    ) -> None:
        folder = real_data / "dicom" / "wg04"
        expected = stored(folder / f"{image}_UNC.dcm")

        values = stored(folder / f"{image}_{syntax}.dcm")

        np.testing.assert_array_equal(values, expected)
        assert (values.min() + intercept, values.max() + intercept) == (lowest, highest)

    def test_one_slice_is_no_volume(
        self, image: str, intercept: int, lowest: int, highest: int, real_data: Path
    ) -> None:
        del intercept, lowest, highest
        with pytest.raises(errors.GeometryError, match="one slice is no volume"):
            read_ct(real_data / "dicom" / "wg04" / f"{image}_UNC.dcm")


def test_gantry_tilt_and_varying_spacing_are_told_in_numbers(real_data: Path) -> None:
    with pytest.raises(errors.GeometryError, match="from 1.081 to 6.999 mm.*by 18.5 deg"):
        read_ct(real_data / "dicom" / "qa_ct_ge_tilt_varspacing")


def test_a_tilted_head_of_two_spacings_is_straightened_by_name(real_data: Path) -> None:
    folder = real_data / "dicom" / "qa_ct_ge_tilt_varspacing"

    volume = read_ct(folder, repair="tilt,spacing", strict=True)

    assert volume.shape == (37, 611, 512)
    assert volume.spacing_mm[0] == pytest.approx(4.0, abs=0.01)
    assert volume.report is not None
    spacing, tilt = volume.report["repairs"]
    assert (spacing["name"], spacing["slices_before"]) == ("spacing", 28)
    assert (tilt["name"], tilt["tilt_deg"]) == ("tilt", 18.5)
    axes = volume.affine[:3, :3] / volume.spacing_mm
    assert axes.T @ axes == pytest.approx(np.eye(3), abs=1e-6)
    assert volume.hu.max() > 1500  # bone, and no padding beyond air
    assert volume.hu.min() == -1024


def test_twelve_bits_are_unpacked_and_mr_is_refused(real_data: Path) -> None:
    folder = real_data / "dicom" / "qa_12bit"
    ranges = {(int(v.min()), int(v.max())) for v in map(stored, folder.iterdir())}

    assert ranges == {(0, 2908), (0, 4095), (-2048, 2047)}
    with pytest.raises(errors.NoSeriesError, match="modality MR, not CT"):
        read_ct(folder)


class TestDicomdir:
    def test_the_one_volume_is_read(self, real_data: Path) -> None:
        volume = read_ct(real_data / "dicom" / "pydicom_dicomdir" / "98892001" / "CT5N")

        assert volume.shape == (5, 16, 16)
        assert volume.spacing_mm[0] == pytest.approx(2.5)
        assert (volume.hu.min(), volume.hu.max()) == (-888, 85)
        assert sha(volume.hu) == "1a140c3dbb697b85"

    @pytest.mark.parametrize(
        ("folder", "error", "says"),
        [
            ("98892001/CT2N", errors.NoSeriesError, "localizers only"),
            ("77654033/CT2", errors.GeometryError, "161 between z = -99.48 mm and z = 103.02 mm"),
            ("77654033/CR1", errors.NoSeriesError, "modality CR, not CT"),
        ],
    )
    def test_what_is_no_volume_is_refused(
        self, folder: str, error: type[Exception], says: str, real_data: Path
    ) -> None:
        with pytest.raises(error, match=says):
            read_ct(real_data / "dicom" / "pydicom_dicomdir" / folder)

    def test_the_whole_tree_is_listed_and_the_dicomdir_not_followed(self, real_data: Path) -> None:
        series = inspect(real_data / "dicom" / "pydicom_dicomdir")

        assert sum(one.slices for one in series) == 14
        assert [one.slices for one in series if one.verdict == "volume"] == [5]


def test_a_resampled_nifti_keeps_its_overshoot_and_its_sides(real_data: Path) -> None:
    """The metal implant lies at mean RAS x -118 mm: the patient's left."""
    with pytest.warns(rhoa.RhoaWarning, match=r"metal: 11.6 cm3|cuts the body") as caught:
        volume = read_ct(real_data / "real-ct" / "totalseg_example_ct.nii.gz")

    assert len(caught) == 2

    assert volume.shape == (112, 101, 122)
    assert volume.spacing_mm == (3.0, 3.0, 3.0)
    assert (volume.hu.min(), volume.hu.max()) == (-1207, 3382)
    metal = volume.to_lps(np.argwhere(volume.hu > 2500))
    assert len(metal) == 429
    assert metal[:, 0].mean() == pytest.approx(118, abs=0.5)
    assert volume.report["metal_cm3"] == pytest.approx(429 * 0.027, abs=0.001)

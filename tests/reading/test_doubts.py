"""What headers tell: pages of text, missing rescaling, JPEG 2000 samples of another sign."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray
from pydicom.dataset import FileDataset

import rhoa
from rhoa import errors
from rhoa.dicom.codecs import stream_signed
from rhoa.phantom import Anatomy, ct
from rhoa.reading import inspect, read_ct
from rhoa.testing import make_series
from tests.reading.series import VoxelGrid, set_pixels, write_series

SPACING = (12.0, 4.0, 4.0)


@pytest.fixture(scope="module", name="body")
def phantom() -> NDArray[np.int64]:
    return ct(Anatomy.random(5), spacing_mm=SPACING).volume.hu.astype(np.int64)


def store_as_they_are(hu: NDArray[np.int64], folder: Path, **tags: str) -> None:
    """Write HU with a sign, and no rescaling but what ``tags`` say."""

    def edit(k: int, image: FileDataset) -> None:
        set_pixels(image, hu[k], signed=True)
        del image.RescaleSlope, image.RescaleIntercept
        for name, value in tags.items():
            setattr(image, name, value)

    write_series(folder, VoxelGrid(spacing_mm=SPACING, shape=hu.shape), hu=hu, edit=edit)


class TestMissingRescaling:
    def test_values_like_hounsfield_units_are_taken_as_they_are(
        self, body: NDArray[np.int64], tmp_path: Path
    ) -> None:
        store_as_they_are(body, tmp_path)

        with pytest.warns(rhoa.RhoaWarning, match="RescaleSlope and RescaleIntercept are missing"):
            volume = read_ct(tmp_path)

        np.testing.assert_array_equal(volume.hu, body)
        (summary,) = inspect(tmp_path)
        assert summary.verdict == "volume"
        assert "are missing" in summary.warnings[0]
        with pytest.raises(errors.PixelDataError, match="strict=True"):
            read_ct(tmp_path, strict=True)

    def test_values_with_an_offset_are_refused(
        self, body: NDArray[np.int64], tmp_path: Path
    ) -> None:
        store_as_they_are(body + 1024, tmp_path)

        with pytest.raises(errors.PixelDataError, match="RescaleSlope.*is missing"):
            read_ct(tmp_path)
        assert inspect(tmp_path)[0].verdict == "refused"

    @pytest.mark.parametrize("tag", ["RescaleSlope", "RescaleIntercept"])
    def test_half_of_it_is_refused(self, tag: str, body: NDArray[np.int64], tmp_path: Path) -> None:
        store_as_they_are(body, tmp_path, **{tag: "1"})

        with pytest.raises(errors.PixelDataError, match="is missing or no number"):
            read_ct(tmp_path)

    def test_other_units_are_refused_however_they_look(
        self, body: NDArray[np.int64], tmp_path: Path
    ) -> None:
        store_as_they_are(body, tmp_path, RescaleType="OD")

        with pytest.raises(errors.PixelDataError, match="no plain Hounsfield units"):
            read_ct(tmp_path)


def test_an_offset_that_the_intercept_forgot_is_a_warning(
    body: NDArray[np.int64], tmp_path: Path
) -> None:
    def forget(_k: int, image: FileDataset) -> None:
        image.RescaleIntercept = "0"

    write_series(tmp_path, VoxelGrid(spacing_mm=SPACING, shape=body.shape), hu=body, edit=forget)

    with pytest.warns(rhoa.RhoaWarning, match="still to be subtracted; check RescaleIntercept"):
        volume = read_ct(tmp_path)

    np.testing.assert_array_equal(volume.hu, body + 1024)
    assert not volume.report["plausible_hu"]


class TestPages:
    @pytest.mark.parametrize("word", ["DOSE_INFO", "SCREEN SAVE", "SCREEN_SAVE", "PATIENT_INFO"])
    @pytest.mark.parametrize("place", [1, 2, 3])
    def test_a_series_of_pages_is_none_of_slices(
        self, word: str, place: int, tmp_path: Path
    ) -> None:
        kind = ["DERIVED", "SECONDARY", "AXIAL", "OTHER"]
        kind[place] = word
        write_series(tmp_path, edit=lambda _, image: setattr(image, "ImageType", kind))

        with pytest.raises(errors.NoSeriesError, match="dose reports or screenshots"):
            read_ct(tmp_path)

    @pytest.mark.parametrize(
        ("word", "key"),
        [
            ("DOSE_INFO", "pages_dropped"),
            ("LOCALIZER", "localizers_dropped"),
            ("SCOUT", "localizers_dropped"),
            ("TOPOGRAM", "localizers_dropped"),
        ],
    )
    def test_one_among_slices_is_left_out_with_a_warning(
        self, word: str, key: str, tmp_path: Path
    ) -> None:
        paths = write_series(tmp_path)
        image = pydicom.dcmread(paths[-1])
        image.ImageType = ["DERIVED", "SECONDARY", word]
        image.save_as(paths[-1])

        with pytest.warns(rhoa.RhoaWarning, match="1 .* among the slices were left out"):
            volume = read_ct(tmp_path)

        assert volume.shape[0] == len(paths) - 1
        assert volume.report[key] == 1


class TestSign:
    def test_streams_of_another_sign_are_told_by_headers_alone(self, tmp_path: Path) -> None:
        pytest.importorskip("openjpeg", reason="pip install '.[codecs]'")
        make_series(tmp_path, defect="j2k-signedness")

        (summary,) = inspect(tmp_path)

        assert summary.verdict == "volume"
        assert "hold unsigned samples, PixelRepresentation says signed" in summary.warnings[0]

    @pytest.mark.parametrize(("depth", "signed"), [(0x0F, False), (0x8F, True), (0x0B, False)])
    def test_a_stream_says_it_in_its_first_bytes(self, depth: int, signed: bool) -> None:  # noqa: FBT001
        stream = b"\xff\x4f\xff\x51" + bytes(36) + b"\0\1" + bytes([depth]) + b"\1\1"

        assert stream_signed(bytes(16) + stream) is signed
        assert stream_signed(stream[:42]) is None
        assert stream_signed(b"\xff\xd8" + bytes(100)) is None

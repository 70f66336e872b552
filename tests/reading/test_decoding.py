"""Stored bits to Hounsfield units: exact in every syntax, padding gone, anything else refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from pydicom import config, uid
from pydicom.dataelem import DataElement
from pydicom.dataset import FileDataset

import rhoa
from rhoa import errors
from rhoa.dicom import codec_worker
from rhoa.dicom.header import PixelFormat
from rhoa.dicom.pixels import (
    TooLargeForInt16Error,
    padding_mask,
    stored_values,
    to_hu,
    to_hu_in_place,
)
from rhoa.reading import read_ct
from tests.reading.series import (
    SYNTAXES,
    VoxelGrid,
    image_dataset,
    ramp,
    save,
    set_pixels,
    write_series,
)

Edit = Callable[[int, FileDataset], object]

NOISY = VoxelGrid(shape=(5, 36, 40))  # JPEG 2000 needs 32 pixels a side
NOISE = np.random.default_rng(0).integers(-1024, 3072, NOISY.shape)


def form(
    bits: int = 16, *, allocated: int = 16, signed: bool = False, **others: float | None
) -> PixelFormat:
    defaults = {"high_bit": bits - 1, "slope": 1.0, "intercept": 0.0, **others}
    return PixelFormat(1, 1, allocated, bits, signed=signed, **defaults)


def hu_of(
    stored: list[float], slope: float, intercept: float, kind: str = "i2"
) -> tuple[list[float], int]:
    out = np.empty((1, len(stored)), kind)
    count = to_hu(np.array([stored]), form(slope=slope, intercept=intercept), None, out).padding
    return out[0].tolist(), count


class TestSyntaxes:
    @pytest.mark.parametrize("syntax", SYNTAXES, ids=lambda syntax: syntax.name)
    def test_hu_are_exact_in_every_lossless_syntax(self, syntax: uid.UID, tmp_path: Path) -> None:
        write_series(tmp_path, NOISY, hu=NOISE, syntax=syntax)

        volume = read_ct(tmp_path, strict=True)

        assert volume.hu.dtype == np.int16
        np.testing.assert_array_equal(volume.hu, NOISE)
        assert volume.report["transfer_syntaxes"] == [syntax.name]
        assert volume.report["hu_range"] == [NOISE.min(), NOISE.max()]

    @pytest.mark.parametrize("syntax", SYNTAXES, ids=lambda syntax: syntax.name)
    def test_signed_values_are_exact_in_every_lossless_syntax(
        self, syntax: uid.UID, tmp_path: Path
    ) -> None:
        def signed(k: int, image: FileDataset) -> None:
            set_pixels(image, NOISE[k], signed=True)
            image.RescaleIntercept = "0"

        write_series(tmp_path, NOISY, hu=NOISE, syntax=syntax, edit=signed)

        np.testing.assert_array_equal(read_ct(tmp_path).hu, NOISE)

    @pytest.mark.parametrize("threads", ["1", "2"])
    @pytest.mark.parametrize("syntax", [uid.JPEG2000Lossless, uid.JPEGLSLossless])
    def test_many_compressed_slices_are_shared_among_threads_or_processes(
        self, syntax: uid.UID, threads: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("RHOA_NUM_THREADS", threads)
        grid = VoxelGrid(shape=(30, 33, 35))
        write_series(tmp_path, grid, syntax=syntax)

        np.testing.assert_array_equal(read_ct(tmp_path).hu, ramp(grid.lps()))

    def test_slices_of_several_syntaxes_form_one_volume(self, tmp_path: Path) -> None:
        paths = write_series(tmp_path)
        again = pydicom.dcmread(paths[1])
        save(again, paths[1], uid.RLELossless)

        np.testing.assert_array_equal(read_ct(tmp_path).hu, ramp(VoxelGrid().lps()))

    def test_lossy_compression_is_read_with_a_warning(self, tmp_path: Path) -> None:
        write_series(tmp_path, edit=lambda _, image: setattr(image, "LossyImageCompression", "01"))

        with pytest.warns(rhoa.RhoaWarning, match="5 of 5 slices were compressed with loss"):
            read_ct(tmp_path)
        with pytest.raises(errors.PixelDataError, match="with loss.*strict=True"):
            read_ct(tmp_path, strict=True)

    def test_a_syntax_without_decoder_names_itself_and_the_remedy(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(
            codec_worker.DECODERS, uid.JPEGLSLossless, ("a decoder that is not there",)
        )
        paths = write_series(tmp_path, syntax=uid.RLELossless)
        for path in paths:
            image = pydicom.dcmread(path)
            image.file_meta.TransferSyntaxUID = uid.JPEGLSLossless
            image.save_as(path)

        with pytest.raises(ImportError, match="JPEG-LS Lossless.*pip install"):
            read_ct(tmp_path)

    def test_a_video_is_no_ct(self, tmp_path: Path) -> None:
        paths = write_series(tmp_path, syntax=uid.RLELossless)
        for path in paths:
            image = pydicom.dcmread(path)
            image.file_meta.TransferSyntaxUID = uid.MPEG2MPML
            image.save_as(path)

        with pytest.raises(errors.PixelDataError, match="MPEG2.*is not supported"):
            read_ct(tmp_path)


class TestBits:
    @given(
        st.integers(1, 16).flatmap(
            lambda bits: st.tuples(st.just(bits), st.integers(bits - 1, 15), st.booleans())
        ),
        hnp.arrays("u2", 20),
    )
    def test_only_the_stored_bits_count(
        self, layout: tuple[int, int, bool], raw: NDArray[np.uint16]
    ) -> None:
        bits, high, signed = layout
        expected = []
        for word in raw.tolist():
            value = (word >> (high + 1 - bits)) % 2**bits
            expected.append(value - 2**bits if signed and value >= 2 ** (bits - 1) else value)

        values = stored_values(raw, form(bits, high_bit=high, signed=signed))

        assert values.tolist() == expected

    @pytest.mark.parametrize("syntax", [uid.ExplicitVRLittleEndian, uid.JPEG2000Lossless])
    def test_overlays_in_the_high_bits_are_cut_off_also_after_decompression(
        self, syntax: uid.UID, tmp_path: Path
    ) -> None:
        stored = (NOISE + 1024) | (np.random.default_rng(1).integers(0, 16, NOISE.shape) << 12)

        def dirty(k: int, image: FileDataset) -> None:
            set_pixels(image, stored[k])

        paths = write_series(tmp_path, NOISY, hu=NOISE, syntax=syntax, edit=dirty)
        for path in paths:
            image = pydicom.dcmread(path)
            image.BitsStored, image.HighBit = 12, 11
            image.save_as(path)

        np.testing.assert_array_equal(read_ct(tmp_path).hu, NOISE)

    @pytest.mark.parametrize(
        ("tag", "value"),
        [("BitsStored", 17), ("HighBit", 16), ("HighBit", 3), ("BitsAllocated", 12)],
    )
    def test_bits_that_contradict_each_other_are_refused(
        self, tag: str, value: int, tmp_path: Path
    ) -> None:
        write_series(tmp_path, edit=lambda _, image: setattr(image, tag, value))

        with pytest.raises(errors.PixelDataError, match="stored bits must lie inside"):
            read_ct(tmp_path)


class TestRescaling:
    @given(
        st.lists(st.integers(-32768, 32767), min_size=1, max_size=9),
        st.integers(-3, 3).filter(bool),
        st.integers(-30, 30),
    )
    def test_whole_numbers_stay_exact_in_int16(
        self, stored: list[int], slope: int, intercept: int
    ) -> None:
        hu = [value * slope + intercept for value in stored]
        expected = [-1024 if value < -1500 else value for value in hu]
        if max(expected) > 32767:
            return

        assert hu_of(stored, slope, intercept) == (expected, sum(value < -1500 for value in hu))

    def test_values_beyond_int16_become_float32_and_never_wrap(self, tmp_path: Path) -> None:
        hu = np.full((3, 4, 5), 40)
        hu[1, 2, 3] = 4095  # metal on the extended scale

        write_series(
            tmp_path,
            VoxelGrid(shape=(3, 4, 5)),
            hu=hu,
            edit=lambda _, image: (
                setattr(image, "RescaleSlope", "10"),
                setattr(image, "RescaleIntercept", "-10240"),
            ),
        )

        volume = read_ct(tmp_path)

        assert volume.hu.dtype == np.float32
        assert volume.hu[1, 2, 3] == 40950
        assert volume.hu[0, 0, 0] == 400

    def test_a_fractional_slope_gives_float32(self, tmp_path: Path) -> None:
        write_series(tmp_path, edit=lambda _, image: setattr(image, "RescaleSlope", "0.5"))

        volume = read_ct(tmp_path)

        assert volume.hu.dtype == np.float32
        np.testing.assert_array_equal(volume.hu, (ramp(VoxelGrid().lps()) + 1024) / 2 - 1024)

    def test_each_slice_has_its_own_slope_and_intercept(self, tmp_path: Path) -> None:
        hu = np.full((4, 3, 3), 100)

        def rescaled(k: int, image: FileDataset) -> None:
            set_pixels(image, (hu[k] + 1000 * k) * 4)
            image.RescaleSlope, image.RescaleIntercept = "0.25", str(-1000 * k)

        write_series(tmp_path, VoxelGrid(shape=(4, 3, 3)), hu=hu, edit=rescaled)

        volume = read_ct(tmp_path)

        np.testing.assert_array_equal(volume.hu, hu)
        assert volume.report["rescale_varies"] is True

    @pytest.mark.parametrize(
        ("tag", "value", "says"),
        [
            ("RescaleSlope", None, "RescaleSlope .*missing or no number"),
            ("RescaleIntercept", None, "RescaleIntercept .*missing or no number"),
            ("RescaleSlope", "nan", "RescaleSlope .*missing or no number"),
            ("RescaleSlope", "0", "RescaleSlope .*is 0"),
            ("RescaleType", "OD", "RescaleType OD"),
            ("ImageType", ["DERIVED", "PRIMARY", "PERFUSION"], "PERFUSION"),
            ("ImageType", ["DERIVED", "SECONDARY", "GSI_IODINE"], "IODINE"),
            ("PhotometricInterpretation", "MONOCHROME1", "MONOCHROME1"),
            ("BurnedInAnnotation", "YES", "BurnedInAnnotation is YES.*leave the file out"),
        ],
    )
    def test_pixels_that_are_no_hounsfield_units_are_refused(
        self, tag: str, value: object, says: str, tmp_path: Path
    ) -> None:
        def edit(k: int, image: FileDataset) -> None:
            if k == 3:
                if value is None:
                    delattr(image, tag)
                elif value == "nan":
                    image.add(DataElement(tag, "DS", value, validation_mode=config.IGNORE))
                else:
                    setattr(image, tag, value)

        paths = write_series(tmp_path, edit=edit)

        with pytest.raises(errors.PixelDataError, match=says) as caught:
            read_ct(tmp_path)
        assert paths[3].name in str(caught.value)

    def test_an_unspecified_rescale_type_is_a_warning(self, tmp_path: Path) -> None:
        write_series(tmp_path, edit=lambda _, image: setattr(image, "RescaleType", "US"))

        with pytest.warns(rhoa.RhoaWarning, match="RescaleType is US"):
            read_ct(tmp_path)

    @given(
        hnp.arrays(np.uint16, (3, 4)),
        st.integers(2, 16),
        st.booleans(),
        st.sampled_from([0, -1024, 1000, -32768, -8192]),
        st.none() | st.integers(0, 65535),
        st.data(),
    )
    def test_made_in_place_they_are_the_same(  # every way to store 16 bits
        self,
        raw: NDArray[np.uint16],
        bits: int,
        signed: bool,  # noqa: FBT001  # drawn
        intercept: float,
        padding: int | None,
        data: st.DataObject,
    ) -> None:
        if data.draw(st.booleans()):  # values that CT has
            raw %= 4096
        high = data.draw(st.integers(bits - 1, 15))
        one = form(bits, high_bit=high, signed=signed, intercept=intercept, padding=padding)
        out, place = np.empty(raw.shape, np.int16), raw.view(np.int16).copy()
        try:
            expected = to_hu(stored_values(raw, one), one, padding_mask(raw, one), out)
        except TooLargeForInt16Error:
            with pytest.raises(TooLargeForInt16Error):
                to_hu_in_place(place, one)
            return

        assert to_hu_in_place(place, one) == expected
        np.testing.assert_array_equal(place, out)


class TestPadding:
    @pytest.mark.parametrize("syntax", [uid.ExplicitVRLittleEndian, uid.ImplicitVRLittleEndian])
    @pytest.mark.parametrize("tag", [-2000, 63536])
    def test_declared_padding_becomes_air_whatever_sign_the_tag_was_written_with(
        self, tag: int, syntax: uid.UID, tmp_path: Path
    ) -> None:
        stored = np.full((3, 4, 5), 1024)
        stored[:, 0] = -2000

        def padded(k: int, image: FileDataset) -> None:
            set_pixels(image, stored[k], signed=True)
            image.add_new("PixelPaddingValue", "SS" if tag < 0 else "US", tag)

        write_series(tmp_path, VoxelGrid(shape=(3, 4, 5)), hu=stored, syntax=syntax, edit=padded)

        volume = read_ct(tmp_path)

        assert set(volume.hu[:, 0].flat) == {-1024}
        assert set(volume.hu[:, 1:].flat) == {0}
        assert volume.report["padding_voxels"] == 15

    def test_a_range_of_padding_is_masked_whole(self) -> None:
        raw = np.array([[5, 10, 15, 20, 25]], "u2")

        mask = padding_mask(raw, form(padding=20, padding_limit=10))

        assert mask.tolist() == [[False, True, True, True, False]]

    def test_padding_outside_the_stored_bits_is_found(self) -> None:
        """-2000 in a 16-bit word, of which the header declares 12 bits unsigned."""
        raw = np.array([[63536, 2096, 63536 & 0x0FFF, 7]], "u2")

        mask = padding_mask(raw, form(12, padding=-2000))

        assert mask.tolist() == [[True, False, False, False]]

    def test_values_below_any_measurement_are_padding_without_a_tag(self) -> None:
        assert hu_of([-3024, -1501, -1500, -1207, 0], 1, 0) == ([-1024, -1024, -1500, -1207, 0], 2)

    def test_declared_padding_that_tissue_has_is_a_warning(self, tmp_path: Path) -> None:
        write_series(tmp_path, edit=lambda _, image: image.add_new("PixelPaddingValue", "US", 1024))

        with pytest.warns(rhoa.RhoaWarning, match="PixelPaddingValue means 0 HU"):
            read_ct(tmp_path)


class TestSize:
    def test_a_volume_larger_than_max_bytes_is_refused(self, tmp_path: Path) -> None:
        write_series(tmp_path)

        with pytest.raises(errors.ReadError, match="800 bytes.*max_bytes = 799"):
            read_ct(tmp_path, max_bytes=799)
        assert read_ct(tmp_path, max_bytes=800).hu.nbytes == 800

    @pytest.mark.parametrize("rows", [8193, 65535])
    def test_more_rows_than_any_ct_has_are_refused_before_anything_is_allocated(
        self, rows: int, tmp_path: Path
    ) -> None:
        write_series(tmp_path, edit=lambda _, image: setattr(image, "Rows", rows))

        with pytest.raises(errors.PixelDataError, match=f"{rows} x 10 pixels"):
            read_ct(tmp_path)

    def test_short_pixel_data_are_never_filled_up(self, tmp_path: Path) -> None:
        def short(k: int, image: FileDataset) -> None:
            if k == 1:
                image.PixelData = image.PixelData[:-2]

        paths = write_series(tmp_path, edit=short)

        with pytest.raises(errors.PixelDataError, match="158 bytes.*need 160") as caught:
            read_ct(tmp_path)
        assert paths[1].name in str(caught.value)

    def test_bytes_after_the_pixels_are_a_warning(self, tmp_path: Path) -> None:
        write_series(
            tmp_path,
            edit=lambda k, image: (
                k == 1 and setattr(image, "PixelData", image.PixelData + bytes(10))
            ),
        )

        with pytest.warns(rhoa.RhoaWarning, match="10 bytes more"):
            read_ct(tmp_path)

    def test_eight_and_thirty_two_bits_are_read(self, tmp_path: Path) -> None:
        for bits in (8, 32):
            folder = tmp_path / str(bits)
            folder.mkdir()
            for k in range(2):
                image = image_dataset(VoxelGrid(), k, ramp(VoxelGrid().lps())[k])
                image.BitsAllocated, image.BitsStored, image.HighBit = bits, bits, bits - 1
                image.PixelData = np.arange(80, dtype=f"<u{bits // 8}").tobytes()
                save(image, folder / f"{k}.dcm")

            np.testing.assert_array_equal(read_ct(folder).hu[1].ravel(), np.arange(80) - 1024)

"""Exports as people have them: several scans in one series, one scan in several, odd files."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray
from pydicom.dataset import FileDataset

import rhoa
from rhoa import errors
from rhoa.cli import main
from rhoa.phantom import Anatomy, ct
from rhoa.reading import inspect, read_ct
from tests.reading.series import VoxelGrid, image_dataset, ramp, save, set_pixels, write_series

GRID = VoxelGrid(shape=(8, 10, 12))


def write_phases(
    folder: Path,
    *edits: Callable[[int, FileDataset], object],
    grid: VoxelGrid = GRID,
    step: int = 0,
) -> list[NDArray[np.int64]]:
    """Scans in one series, each ``step`` slices of the grid further than the one before.

    ``step`` 0 puts all at the same places; else slices of ``len(edits)`` scans alternate.
    """
    stacks = []
    for n, edit in enumerate(edits):
        phase = ramp(grid.lps())[step * n :: len(edits) if step else 1] + 7 * n
        stacks.append(phase)
        for k, plane in enumerate(phase):
            at = k if not step else k * len(edits) + n * step
            image = image_dataset(grid, at, plane)
            image.SOPInstanceUID = image.file_meta.MediaStorageSOPInstanceUID = f"1.2.{n + 1}.{k}"
            image.InstanceNumber = n * len(phase) + k + 1
            edit(k, image)
            folder.mkdir(exist_ok=True)
            save(image, folder / f"{n}-{k}.dcm")
    return stacks


def tagged(**tags: object) -> Callable[[int, FileDataset], object]:
    def edit(_k: int, image: FileDataset) -> None:
        for name, value in tags.items():
            setattr(image, name, value)

    return edit


def timed(name: str, start: int) -> Callable[[int, FileDataset], object]:
    """Slices a second apart, from a second of the minute on."""
    return lambda k, image: setattr(image, name, f"1010{start + k:02d}.250000")


DISTINCT = {
    "acquisition": (tagged(AcquisitionNumber=1), tagged(AcquisitionNumber=2)),
    "time": (tagged(TemporalPositionIdentifier=1), tagged(TemporalPositionIdentifier=2)),
    "kernel": (tagged(ConvolutionKernel="B30f"), tagged(ConvolutionKernel="B70f")),
    "AcquisitionTime": (timed("AcquisitionTime", 5), timed("AcquisitionTime", 40)),
    "ContentTime": (timed("ContentTime", 5), timed("ContentTime", 40)),
}


class TestPhases:
    @pytest.mark.parametrize("what", DISTINCT)
    @pytest.mark.parametrize("step", [0, 1], ids=["at the same places", "in turns"])
    def test_two_scans_in_one_series_are_offered_as_two_volumes(
        self, what: str, step: int, tmp_path: Path
    ) -> None:
        grid = VoxelGrid(shape=(8 + 8 * step, 10, 12))
        stacks = write_phases(tmp_path / "ct", *DISTINCT[what], grid=grid, step=step)

        with pytest.raises(errors.AmbiguousSeriesError, match="2 CT volumes"):
            read_ct(tmp_path / "ct")
        listed = inspect(tmp_path / "ct")
        assert [one.verdict for one in listed] == ["volume", "volume"]
        assert len({one.part for one in listed}) == 2
        for n, stack in enumerate(stacks):
            volume = read_ct(tmp_path / "ct", series=n)
            np.testing.assert_array_equal(volume.hu, stack)
        first = read_ct(tmp_path / "ct", series="auto")
        np.testing.assert_array_equal(first.hu, stacks[0])
        assert "also here: series 1" in first.report["chosen"]["what"]

    def test_three_phases_and_numbers_of_instances_alone(self, tmp_path: Path) -> None:
        stacks = write_phases(tmp_path / "ct", *[tagged()] * 3)

        for n, stack in enumerate(stacks):
            np.testing.assert_array_equal(read_ct(tmp_path / "ct", series=n).hu, stack)

    def test_images_at_one_place_before_a_scan_are_left_out_with_a_warning(
        self, tmp_path: Path
    ) -> None:
        """As those that watch a contrast medium arrive."""
        write_series(tmp_path, GRID, edit=tagged(AcquisitionNumber=2))
        for k in range(5):
            image = image_dataset(GRID, 3, np.full((10, 12), k + 40))
            image.SOPInstanceUID = image.file_meta.MediaStorageSOPInstanceUID = f"1.2.9.{k}"
            image.AcquisitionNumber = 1
            save(image, tmp_path / f"watch{k}")

        with pytest.warns(rhoa.RhoaWarning, match="5 images of the series are no part.*acqu"):
            volume = read_ct(tmp_path)

        np.testing.assert_array_equal(volume.hu, ramp(GRID.lps()))

    def test_acquisitions_that_alternate_and_give_no_even_stacks_are_an_error(
        self, tmp_path: Path
    ) -> None:
        turns = [1, 1, 2, 1, 2, 2, 1, 2]
        write_series(
            tmp_path, GRID, edit=lambda k, image: setattr(image, "AcquisitionNumber", turns[k])
        )

        with pytest.raises(errors.GeometryError, match="AcquisitionNumber alternates"):
            read_ct(tmp_path)

    @pytest.mark.parametrize(
        "numbers",
        [[1] * 4 + [2] * 4, list(range(8)), [1, 1, 2, 2, 3, 3, 4, 4], [5] * 8],
        ids=["two parts", "one a slice", "one a pair", "one"],
    )
    def test_acquisitions_one_after_the_other_are_one_volume(
        self, numbers: list[int], tmp_path: Path
    ) -> None:
        write_series(
            tmp_path, GRID, edit=lambda k, image: setattr(image, "AcquisitionNumber", numbers[k])
        )

        np.testing.assert_array_equal(read_ct(tmp_path, strict=True).hu, ramp(GRID.lps()))

    def test_times_in_any_order_are_one_volume(self, tmp_path: Path) -> None:
        """Computers reconstruct slices side by side."""
        seconds = np.random.default_rng(3).permutation(8)
        write_series(
            tmp_path, GRID, edit=lambda k, image: timed("ContentTime", seconds[k])(0, image)
        )

        np.testing.assert_array_equal(read_ct(tmp_path, strict=True).hu, ramp(GRID.lps()))


@pytest.mark.parametrize("name", ["PatientID", "PatientName"])
def test_two_patients_in_one_series_are_an_error_that_names_neither(
    name: str, tmp_path: Path
) -> None:
    write_series(tmp_path, GRID, edit=lambda k, image: setattr(image, name, f"CANARY-{k // 4}"))

    with pytest.raises(errors.AmbiguousSeriesError, match=f"2 different values of {name}") as found:
        read_ct(tmp_path)
    assert "CANARY" not in str(found.value)


def test_one_patient_written_in_two_ways_is_one(tmp_path: Path) -> None:
    names = ("Doe^Jane", "DOE^JANE^^", "DOE^JANE ")
    write_series(tmp_path, GRID, edit=lambda k, image: setattr(image, "PatientName", names[k % 3]))

    assert read_ct(tmp_path, strict=True).shape == (8, 10, 12)


class TestJoin:
    @pytest.mark.parametrize("count", [2, 8], ids=["two series", "one a slice"])
    def test_slices_of_several_series_are_joined_where_that_is_asked_for(
        self, count: int, tmp_path: Path
    ) -> None:
        files = write_series(
            tmp_path,
            GRID,
            edit=lambda k, image: setattr(image, "SeriesInstanceUID", f"1.2.3.{k * count // 8}"),
        )

        with pytest.raises(errors.ReadError, match=r"form one even stack: pass join=True"):
            read_ct(tmp_path)
        volume = read_ct(tmp_path, join=True, strict=True)
        np.testing.assert_array_equal(volume.hu, ramp(GRID.lps()))
        assert volume.report["joined_series"] == count
        with pytest.warns(rhoa.RhoaWarning, match=f"{count} series UIDs form one even stack"):
            listed = read_ct(files)
        np.testing.assert_array_equal(listed.hu, volume.hu)
        assert [one.verdict for one in inspect(tmp_path, join=True)] == ["volume"]

    @pytest.mark.parametrize("second", [3, 4])
    def test_series_of_two_frames_of_reference_are_not_joined(
        self, second: int, tmp_path: Path
    ) -> None:
        paths = write_framed(
            tmp_path, lambda k: f"1.2.{int(k >= second)}", series=lambda k: k >= second
        )

        with pytest.raises(errors.GeometryError, match="2 different values of FrameOfReferenceUID"):
            read_ct(tmp_path, join=True)
        with pytest.raises(errors.AmbiguousSeriesError) as refused:
            read_ct(paths)
        assert "join" not in str(refused.value)

    def test_slices_that_each_have_series_and_frame_of_their_own_are_joined_with_a_warning(
        self, tmp_path: Path
    ) -> None:
        """Some programs that remove names give every file new identifiers."""
        paths = write_framed(tmp_path, lambda k: f"1.2.{k}", series=lambda k: k)

        with (
            pytest.warns(errors.RhoaWarning, match="8 series UIDs form one even stack"),
            pytest.warns(errors.RhoaWarning, match="8 different values of FrameOfReferenceUID"),
        ):
            volume = read_ct(paths)

        np.testing.assert_array_equal(volume.hu, ramp(GRID.lps()))

    @pytest.mark.parametrize("frame", [lambda k: k >= 4, lambda k: k % 2, lambda k: k == 3])
    def test_two_frames_of_reference_in_one_series_are_a_warning_and_strictly_an_error(
        self, frame: Callable[[int], int], tmp_path: Path
    ) -> None:
        write_framed(tmp_path, lambda k: f"1.2.{int(frame(k))}")

        with pytest.warns(errors.RhoaWarning, match="2 different values of FrameOfReferenceUID"):
            read_ct(tmp_path)
        with pytest.raises(errors.GeometryError, match="FrameOfReferenceUID"):
            read_ct(tmp_path, strict=True)
        assert any("FrameOfReferenceUID" in text for text in inspect(tmp_path)[0].warnings)

    @pytest.mark.parametrize("frame", [lambda _: "1.2.3", lambda _: "", lambda k: "1.2" * (k > 1)])
    def test_one_frame_of_reference_stated_or_not_is_no_matter(
        self, frame: Callable[[int], str], tmp_path: Path
    ) -> None:
        write_framed(tmp_path, frame)

        np.testing.assert_array_equal(read_ct(tmp_path, strict=True).hu, ramp(GRID.lps()))

    def test_a_list_of_two_scans_at_the_same_places_is_not_joined(self, tmp_path: Path) -> None:
        files = write_series(tmp_path, GRID) + write_series(tmp_path, GRID, series="2")

        with pytest.raises(errors.AmbiguousSeriesError, match="2 CT volumes"):
            read_ct(files)


WORDS = {
    "maps": [
        "PERFUSION", "CBF_MAP", "IODINE", "IODINE_MAP", "VNC", "VIRTUAL_NON_CONTRAST", "ZEFF",
        "Z_EFF", "ELECTRON_DENSITY", "ED", "RHO", "MIP", "MINIP", "MAX_IP", "THIN MIP",
        "SUBTRACTION", "MATERIAL DENSITY", "VNCa", "LABELMAP", "VRT", "STDDEV",
    ],
    "mono": ["MONO", "MONOE_70KEV", "MONO_E", "VMI", "VIRTUAL_MONOENERGETIC", "70 KEV", "MONO70"],
    "plain": [
        "AXIAL", "CT_SOM5 SPI", "CT_SOM7 SPI DUAL", "REFORMATTED", "MPR", "HELICAL", "AVERAGE",
        "NORM", "RESAMPLED", "MONOCHROME2", "ADDITIONAL", "VOLUME", "JP2K LOSSY 6:1", "SEQUENCE",
    ],
}  # fmt: skip  # several a line


class TestMeaning:
    @pytest.mark.parametrize("word", WORDS["maps"])
    @pytest.mark.parametrize("unit", ["", "HU", "US"])
    def test_maps_are_refused_whatever_their_unit_says(
        self, word: str, unit: str, tmp_path: Path
    ) -> None:
        write_words(tmp_path, word, unit)

        for accept in ("", "mono"):
            with pytest.raises(errors.PixelDataError, match="no plain Hounsfield units"):
                read_ct(tmp_path, accept=accept)

    @pytest.mark.parametrize("word", WORDS["mono"])
    def test_virtual_mono_energetic_values_are_read_where_they_are_accepted(
        self, word: str, tmp_path: Path
    ) -> None:
        write_words(tmp_path, word, "HU")

        with pytest.raises(errors.PixelDataError, match='pass accept="mono"'):
            read_ct(tmp_path)
        np.testing.assert_array_equal(
            read_ct(tmp_path, accept="mono", strict=True).hu, ramp(GRID.lps())
        )

    @pytest.mark.parametrize("word", WORDS["plain"])
    @pytest.mark.parametrize("unit", ["", "HU", "hu", "Hounsfield"])
    def test_ordinary_reconstructions_are_read(self, word: str, unit: str, tmp_path: Path) -> None:
        write_words(tmp_path, word, unit)

        assert read_ct(tmp_path, strict=True).shape == (8, 10, 12)

    @pytest.mark.parametrize("unit", ["OD", "MGML", "Z_EFF", "ED", "EDW", "HU_MOD", "PCT"])
    def test_other_units_are_refused(self, unit: str, tmp_path: Path) -> None:
        write_words(tmp_path, "AXIAL", unit)

        with pytest.raises(errors.PixelDataError, match="no plain Hounsfield units"):
            read_ct(tmp_path)


def write_words(folder: Path, word: str, unit: str) -> None:
    def edit(_k: int, image: FileDataset) -> None:
        image.ImageType = ["DERIVED", "PRIMARY", "AXIAL", word]
        if unit:
            image.RescaleType = unit

    with pydicom.config.disable_value_validation():
        write_series(folder, GRID, edit=edit)


class TestFiles:
    @pytest.mark.parametrize("explicit", [True, False])
    @pytest.mark.parametrize("meta", [True, False])
    def test_a_file_without_preamble_is_read(
        self,
        explicit: bool,  # noqa: FBT001  # a parameter
        meta: bool,  # noqa: FBT001  # a parameter
        tmp_path: Path,  # parameters
    ) -> None:
        syntax = (
            pydicom.uid.ExplicitVRLittleEndian if explicit else pydicom.uid.ImplicitVRLittleEndian
        )
        for path in write_series(tmp_path, GRID, syntax=syntax):
            content = path.read_bytes()
            behind = 144 + struct.unpack_from("<I", content, 140)[0]
            path.write_bytes(content[132 if meta else behind :])

        np.testing.assert_array_equal(read_ct(tmp_path, strict=True).hu, ramp(GRID.lps()))

    @pytest.mark.parametrize("explicit", [True, False])
    def test_a_data_set_in_the_other_encoding_than_the_meta_group_says_is_read(
        self,
        explicit: bool,  # noqa: FBT001  # a parameter
        tmp_path: Path,  # a parameter
    ) -> None:
        right = (
            pydicom.uid.ExplicitVRLittleEndian if explicit else pydicom.uid.ImplicitVRLittleEndian
        )
        for path in write_series(tmp_path, GRID, syntax=right):
            content = bytearray(path.read_bytes())
            at = content.index(b"1.2.840.10008.1.2.1\0" if explicit else b"1.2.840.10008.1.2\0")
            if explicit:
                content[at : at + 20] = b"1.2.840.10008.1.2\0\0\0"
            else:  # two bytes longer: so are the value, and the group
                content[at : at + 18] = b"1.2.840.10008.1.2.1\0"
                content[at - 2 : at] = struct.pack("<H", 20)
                length = struct.unpack_from("<I", content, 140)[0]
                content[140:144] = struct.pack("<I", length + 2)
            path.write_bytes(content)

        np.testing.assert_array_equal(read_ct(tmp_path, strict=True).hu, ramp(GRID.lps()))

    @pytest.mark.parametrize("change", ["RLE", "big endian", "implicit", "padding bytes"])
    def test_the_same_instances_in_another_encoding_are_copies(
        self, change: str, tmp_path: Path
    ) -> None:
        syntax = {
            "RLE": pydicom.uid.RLELossless,
            "big endian": pydicom.uid.ExplicitVRBigEndian,
            "implicit": pydicom.uid.ImplicitVRLittleEndian,
        }
        write_series(tmp_path / "a", GRID)
        for path in write_series(
            tmp_path / "b", GRID, syntax=syntax.get(change, pydicom.uid.ExplicitVRLittleEndian)
        ):
            if change == "padding bytes":
                image = pydicom.dcmread(path)
                image.PixelData += b"\0"
                image.save_as(path)

        volume = read_ct(tmp_path)

        np.testing.assert_array_equal(volume.hu, ramp(GRID.lps()))
        assert volume.report["copies_dropped"] == 8

    def test_one_instance_with_two_contents_is_an_error_still(self, tmp_path: Path) -> None:
        write_series(tmp_path / "a", GRID)
        write_series(tmp_path / "b", GRID, hu=ramp(GRID.lps()) + 1)

        with pytest.raises(errors.ReadError):
            read_ct(tmp_path)

    @pytest.mark.parametrize("step", [0.75, 1.25, 0.7666, 2.4375])
    def test_positions_rounded_to_a_tenth_of_a_millimetre_are_even(
        self, step: float, tmp_path: Path
    ) -> None:
        grid = VoxelGrid(spacing_mm=(step, 1, 1), shape=(40, 8, 8))
        hu = np.arange(40)[:, None, None] + np.zeros((1, 8, 8), np.int64) + np.arange(8)

        def edit(k: int, image: FileDataset) -> None:
            image.ImagePositionPatient = [-20, -30, f"{round(100 + k * step, 1):.1f}"]

        write_series(tmp_path, grid, hu=hu, edit=edit)

        volume = read_ct(tmp_path, strict=True)

        np.testing.assert_array_equal(volume.hu, hu)
        assert volume.spacing_mm[0] == pytest.approx(step, abs=0.1 / 39)

    def test_links_to_folders_inside_the_scan_are_followed(self, tmp_path: Path) -> None:
        write_series(tmp_path / "elsewhere" / "store", GRID)
        (tmp_path / "scan").mkdir()
        (tmp_path / "scan" / "ct").symlink_to(tmp_path / "elsewhere" / "store")
        (tmp_path / "scan" / "again").symlink_to(tmp_path / "elsewhere" / "store")
        (tmp_path / "scan" / "up").symlink_to(tmp_path)

        volume = read_ct(tmp_path / "scan", strict=True)

        assert volume.shape == (8, 10, 12)
        assert volume.report["copies_dropped"] == 0


class TestStudy:
    def test_a_volume_file_beside_the_slices_is_mentioned(self, tmp_path: Path) -> None:
        write_series(tmp_path, GRID)
        (tmp_path / "scan.nii.gz").write_bytes(b"converted")

        with pytest.warns(rhoa.RhoaWarning, match="scan.nii.gz beside the DICOM files"):
            read_ct(tmp_path)
        assert "scan.nii.gz" in inspect(tmp_path)[-1].reason

    def test_several_patients_are_told_as_such(self, tmp_path: Path) -> None:
        for n in range(3):
            write_series(tmp_path / f"p{n}", GRID, series=str(n + 1))

        with pytest.raises(errors.AmbiguousSeriesError) as found:
            read_ct(tmp_path)
        assert "3 folders (p0, p1, p2)" in str(found.value)
        assert "--each" in str(found.value)
        assert [one.folder for one in inspect(tmp_path)] == ["p0", "p1", "p2"]

    def test_a_study_of_an_archive_is_listed_as_a_radiographer_would(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        report = tagged(ImageType=["DERIVED", "SECONDARY", "DOSE_INFO"])
        scout = tagged(ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])
        write_series(tmp_path / "1 scout", VoxelGrid(shape=(2, 10, 12)), series="9", edit=scout)
        write_phases(tmp_path / "2 phases", *DISTINCT["acquisition"])
        for series, kernel in (("3", "B30f"), ("4", "B70f")):
            folder = tmp_path / f"{series} {kernel}"
            write_series(folder, GRID, series=series, edit=tagged(ConvolutionKernel=kernel))
        write_series(tmp_path / "5 dose", VoxelGrid(shape=(2, 10, 12)), series="5", edit=report)
        pet = tagged(Modality="PT", SOPClassUID="1.2.840.10008.5.1.4.1.1.128")
        write_series(tmp_path / "6 PET", VoxelGrid(shape=(6, 10, 12)), series="6", edit=pet)
        contours = image_dataset(GRID, 0, ramp(GRID.lps())[0], series="7")
        contours.Modality, contours.SOPClassUID = "RTSTRUCT", "1.2.840.10008.5.1.4.1.1.481.3"
        contours.file_meta.MediaStorageSOPClassUID = contours.SOPClassUID
        for name in ("PixelData", "Rows", "Columns"):
            delattr(contours, name)
        contours.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
        (tmp_path / "7 contours").mkdir()
        contours.save_as(tmp_path / "7 contours" / "rs.dcm", enforce_file_format=True)

        code = main(["inspect", str(tmp_path)])

        table, _, rest = capsys.readouterr().out.partition("\n\n")
        rows = [line.split("  ") for line in table.splitlines()[1:]]
        found = [
            (folder, modality, int(images), cells[-1])
            for _, folder, modality, images, *cells in (list(filter(None, row)) for row in rows)
        ]
        assert code == 0
        assert [(f.strip(), m.strip(), n, v.strip()) for f, m, n, v in found] == [
            ("2 phases", "CT", 8, "volume"),
            ("2 phases", "CT", 8, "volume"),
            ("3 B30f", "CT", 8, "volume"),
            ("4 B70f", "CT", 8, "volume"),
            ("6 PET", "PT", 6, "refused"),
            ("5 dose", "CT", 2, "refused"),
            ("1 scout", "CT", 2, "refused"),
            ("-", "RTSTRUCT", 1, "refused"),
        ]
        for what in ("acquisition 1", "acquisition 2", "localizers only", "dose reports"):
            assert what in rest
        assert "without an image, no CT slices" in rest

    def test_auto_takes_the_series_that_shows_the_pelvis(self, tmp_path: Path) -> None:
        """Not the abdomen, though that has more slices."""
        hu = ct(Anatomy.random(1), spacing_mm=(6.0, 4.0, 4.0)).volume.hu.astype(np.int64)
        soft = np.repeat(np.where(hu[-1:] > 150, 40, hu[-1:]), 90, axis=0)
        for series, some in (("1", soft), ("2", hu)):
            grid = VoxelGrid(spacing_mm=(6, 4, 4), shape=some.shape)
            write_series(
                tmp_path / series,
                grid,
                hu=some,
                series=series,
                edit=lambda k, image, some=some: stored(image, some[k]),
            )

        volume = read_ct(tmp_path, series="auto")

        np.testing.assert_array_equal(volume.hu, hu)

    def test_a_mask_of_all_slices_is_laid_over_a_scan_without_its_blank_ones(
        self, tmp_path: Path
    ) -> None:
        hu = ramp(GRID.lps())
        hu[:2] = -1024
        write_series(tmp_path, GRID, hu=hu)
        with pytest.warns(rhoa.RhoaWarning, match="2 at the first"):
            volume = read_ct(tmp_path)
        mask = np.zeros(GRID.shape, bool)
        mask[4] = True

        image = rhoa.ctap(volume, mask=mask)

        np.testing.assert_array_equal(
            np.flatnonzero(np.ptp(image.pixels, axis=1) > 0), [GRID.shape[0] - 1 - 4]
        )


def stored(image: FileDataset, hu: NDArray[np.int64]) -> None:
    set_pixels(image, hu, signed=True)
    image.RescaleIntercept = "0"


def write_framed(
    folder: Path, frame: Callable[[int], str], series: Callable[[int], int] | None = None
) -> list[Path]:
    """A series whose slices state frames of reference, and series, of their own."""

    def edit(k: int, image: FileDataset) -> None:
        image.FrameOfReferenceUID = frame(k)
        if series is not None:
            image.SeriesInstanceUID = f"1.2.840.{int(series(k)) + 1}"

    return write_series(folder, GRID, edit=edit)

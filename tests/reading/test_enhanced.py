"""Enhanced CT: frames are slices, judged by the same rules and named by their number."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from pydicom import uid
from pydicom.dataelem import DataElement
from pydicom.dataset import FileDataset
from pydicom.encaps import encapsulate, generate_frames

import rhoa
from rhoa import errors
from rhoa.dicom.multiframe import MOST_HEADER_BYTES
from rhoa.reading import inspect, read_ct
from tests.reading.enhanced import (
    enhanced_dataset,
    frame_order,
    group,
    joined,
    set_frames,
    write_enhanced,
)
from tests.reading.series import (
    PATIENT_POSITIONS,
    ROOT,
    VoxelGrid,
    decimals,
    ramp,
    save,
    write_series,
)
from tests.strategies import rotations

SYNTAXES = [
    uid.ImplicitVRLittleEndian,
    uid.ExplicitVRLittleEndian,
    uid.ExplicitVRBigEndian,
    uid.RLELossless,
    uid.JPEGLSLossless,
    uid.JPEG2000Lossless,
]
NOISY = VoxelGrid(shape=(5, 36, 40))  # JPEG 2000 needs 32 pixels a side
NOISE = np.random.default_rng(0).integers(-1024, 3072, NOISY.shape)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "scan.dcm"


def frame_of(k: int, slices: int = 5) -> int:
    """The number (from 1) of the frame that is slice ``k``."""
    return frame_order(slices).index(k) + 1


class TestFrames:
    @pytest.mark.parametrize("syntax", SYNTAXES, ids=lambda syntax: syntax.name)
    def test_hu_are_exact_in_every_lossless_syntax(self, syntax: uid.UID, file: Path) -> None:
        volume = read_ct(write_enhanced(file, NOISY, hu=NOISE, syntax=syntax), strict=True)

        assert volume.hu.dtype == np.int16
        np.testing.assert_array_equal(volume.hu, NOISE)
        assert volume.report["transfer_syntaxes"] == [syntax.name]
        assert (volume.report["files"], volume.report["slices"]) == (1, 5)
        assert volume.report["kernel"] == "SOFT"

    @pytest.mark.parametrize("position", PATIENT_POSITIONS)
    def test_one_file_is_the_same_volume_as_many(self, position: str, tmp_path: Path) -> None:
        grid = VoxelGrid(*PATIENT_POSITIONS[position])
        write_series(tmp_path / "many", grid)
        many = read_ct(tmp_path / "many", strict=True)

        one = read_ct(write_enhanced(tmp_path / "one.dcm", grid), strict=True)

        np.testing.assert_array_equal(one.hu, many.hu)
        np.testing.assert_array_equal(one.affine, many.affine)

    @given(
        turn=rotations(180),
        spacing=st.tuples(*[st.floats(0.3, 6)] * 3),
        origin=st.tuples(*[st.floats(-100, 100)] * 3),
        slices=st.integers(2, 6),
    )
    def test_any_rotation_spacing_and_origin_comes_back(
        self,
        turn: NDArray[np.float64],
        spacing: tuple[float, float, float],
        origin: tuple[float, float, float],
        slices: int,
    ) -> None:
        grid = VoxelGrid(turn[:, 0], turn[:, 1], spacing, origin, (slices, 3, 4))
        with TemporaryDirectory() as folder:
            volume = read_ct(write_enhanced(Path(folder) / "scan.dcm", grid))

        index = np.stack(np.indices(volume.shape), axis=-1)
        assert volume.to_lps(index) == pytest.approx(grid.lps(), abs=1e-5)
        np.testing.assert_array_equal(volume.hu, ramp(grid.lps()))

    def test_every_frame_has_its_own_slope_and_intercept(self, file: Path) -> None:
        def rescale(image: FileDataset) -> None:
            del image.SharedFunctionalGroupsSequence[0].PixelValueTransformationSequence
            for n, frame in enumerate(image.PerFrameFunctionalGroupsSequence):
                frame.PixelValueTransformationSequence = [
                    group(RescaleSlope=str(n + 1), RescaleIntercept=str(-10 * n), RescaleType="HU")
                ]

        stored = ramp(VoxelGrid().lps()) + 1024

        volume = read_ct(write_enhanced(file, edit=rescale), strict=True)

        for n, k in enumerate(frame_order(5)):
            np.testing.assert_array_equal(volume.hu[k], stored[k] * (n + 1) - 10 * n)
        assert volume.report["rescale_varies"] is True

    def test_groups_may_be_shared_or_of_each_frame_or_both_alike(self, file: Path) -> None:
        def spread(image: FileDataset) -> None:
            shared = image.SharedFunctionalGroupsSequence[0]
            for frame in image.PerFrameFunctionalGroupsSequence:
                frame.PlaneOrientationSequence = shared.PlaneOrientationSequence
                frame.PixelMeasuresSequence = shared.PixelMeasuresSequence
            del shared.PlaneOrientationSequence

        volume = read_ct(write_enhanced(file, edit=spread))

        np.testing.assert_array_equal(volume.hu, ramp(VoxelGrid().lps()))

    def test_sequences_of_undefined_length_are_read(self, file: Path) -> None:
        def open_ended(image: FileDataset) -> None:
            image["PerFrameFunctionalGroupsSequence"].is_undefined_length = True
            for frame in image.PerFrameFunctionalGroupsSequence:
                frame.is_undefined_length_sequence_item = True
                frame["PlanePositionSequence"].is_undefined_length = True

        volume = read_ct(write_enhanced(file, edit=open_ended))

        np.testing.assert_array_equal(volume.hu, ramp(VoxelGrid().lps()))

    def test_what_the_file_says_outside_the_groups_does_not_place_a_frame(self, file: Path) -> None:
        def distract(image: FileDataset) -> None:
            image.ImagePositionPatient = ["7", "8", "9"]
            image.ImageOrientationPatient = ["0", "1", "0", "1", "0", "0"]
            image.PixelSpacing, image.RescaleSlope = ["5", "5"], "3"

        volume = read_ct(write_enhanced(file, edit=distract))

        np.testing.assert_array_equal(volume.hu, ramp(VoxelGrid().lps()))
        assert volume.spacing_mm == (2.0, 1.5, 1.0)

    def test_padding_is_found_also_where_converters_leave_it(self, file: Path) -> None:
        hu = ramp(VoxelGrid().lps())
        hu[2, :2, :2] = -1000

        def convert(image: FileDataset) -> None:
            image.SOPClassUID = uid.LegacyConvertedEnhancedCTImageStorage
            set_frames(image, "UnassignedPerFrameConvertedAttributesSequence", PixelPaddingValue=24)

        volume = read_ct(write_enhanced(file, hu=hu, edit=convert))

        np.testing.assert_array_equal(volume.hu, np.where(hu == -1000, -1024, hu))
        assert volume.report["padding_voxels"] == 4

    def test_a_volume_may_be_spread_over_several_enhanced_files(self, tmp_path: Path) -> None:
        """A concatenation: the frames of one image, cut into files of one series."""
        whole = VoxelGrid(shape=(7, 8, 10))
        upper = VoxelGrid(shape=(4, 8, 10), origin_mm=whole.lps()[3, 0, 0])
        write_enhanced(tmp_path / "a.dcm", VoxelGrid(shape=(3, 8, 10)))
        write_enhanced(tmp_path / "b.dcm", upper)

        volume = read_ct(tmp_path)

        np.testing.assert_array_equal(volume.hu, ramp(whole.lps()))
        assert (volume.report["files"], volume.report["slices"]) == (2, 7)

    def test_a_thousand_frames_are_one_file(self, file: Path) -> None:
        grid = VoxelGrid(shape=(1000, 2, 3), spacing_mm=(0.5, 1, 1))

        volume = read_ct(write_enhanced(file, grid))

        np.testing.assert_array_equal(volume.hu, ramp(grid.lps()))


class TestCompressedFrames:
    """Which fragments make which frame."""

    @pytest.fixture
    def image(self) -> FileDataset:
        image = enhanced_dataset(NOISY, NOISE)
        image.file_meta.TransferSyntaxUID = uid.ExplicitVRLittleEndian
        image.compress(uid.RLELossless, generate_instance_uid=False)
        return image

    def test_a_frame_of_several_fragments_needs_an_offset_table_or_marks_where_frames_begin(
        self, image: FileDataset, file: Path
    ) -> None:
        streams = list(generate_frames(image.PixelData, number_of_frames=5))

        image.PixelData = encapsulate(streams, fragments_per_frame=3, has_bot=True)
        image.save_as(file)
        np.testing.assert_array_equal(read_ct(file).hu, NOISE)

        image.PixelData = encapsulate(streams, fragments_per_frame=3, has_bot=False)
        image.save_as(file)
        np.testing.assert_array_equal(read_ct(file).hu, NOISE)

        image.PixelData = encapsulate(
            [bytes(8) + stream for stream in streams], fragments_per_frame=3, has_bot=False
        )
        image.save_as(file)
        with pytest.raises(errors.PixelDataError, match="15 fragments for 5 frames and no offset"):
            read_ct(file)

    def test_one_fragment_a_frame_needs_none(self, image: FileDataset, file: Path) -> None:
        streams = list(generate_frames(image.PixelData, number_of_frames=5))
        image.PixelData = encapsulate(streams, has_bot=False)
        image.save_as(file)

        np.testing.assert_array_equal(read_ct(file).hu, NOISE)

    def test_an_extended_offset_table_is_followed(self, image: FileDataset, file: Path) -> None:
        streams = list(generate_frames(image.PixelData, number_of_frames=5))
        image.PixelData = encapsulate(streams, fragments_per_frame=2, has_bot=False)
        sizes = [len(stream) + 16 for stream in streams]  # two fragments, two heads
        starts = np.cumsum([0, *sizes[:-1]])
        image.ExtendedOffsetTable = struct.pack("<5Q", *starts.tolist())
        image.ExtendedOffsetTableLengths = struct.pack("<5Q", *map(len, streams))
        image.save_as(file)

        np.testing.assert_array_equal(read_ct(file).hu, NOISE)

    @pytest.mark.parametrize("entries", [(0, 8, 16, 24, 32), (1 << 31,) * 5, (0, 0, 0, 0, 0)])
    def test_a_table_that_points_beside_the_frames_is_refused(
        self, entries: tuple[int, ...], image: FileDataset, file: Path
    ) -> None:
        (length,) = struct.unpack_from("<I", image.PixelData, 4)
        assert length == 20
        image.PixelData = image.PixelData[:8] + struct.pack("<5I", *entries) + image.PixelData[28:]
        image.save_as(file)

        with pytest.raises(
            errors.PixelDataError, match=r"scan.dcm: its offset table points beside"
        ):
            read_ct(file)

    def test_a_table_of_another_length_is_refused(self, image: FileDataset, file: Path) -> None:
        streams = list(generate_frames(image.PixelData, number_of_frames=5))
        image.PixelData = encapsulate(streams[:4], has_bot=True)
        image.save_as(file)

        with pytest.raises(errors.PixelDataError, match="4 entries for 5 frames"):
            read_ct(file)

    @pytest.mark.parametrize("cut", [9, 30, 4000])
    def test_a_file_cut_short_is_refused(self, cut: int, image: FileDataset, file: Path) -> None:
        image.save_as(file)
        file.write_bytes(file.read_bytes()[:-cut])

        with pytest.raises(errors.PixelDataError, match=r"scan.dcm.*cut short"):
            read_ct(file)

    def test_a_damaged_frame_is_named(self, image: FileDataset, file: Path) -> None:
        streams = list(generate_frames(image.PixelData, number_of_frames=5))
        streams[3] = b"\xff" * len(streams[3])
        image.PixelData = encapsulate(streams)
        image.save_as(file)

        with pytest.raises(
            errors.PixelDataError, match="scan.dcm frame 4: its RLE Lossless pixels"
        ):
            read_ct(file)


def _without(group_name: str, *, frame: int | None = None) -> Callable[[FileDataset], None]:
    """Take a functional group from one frame (from 1), or from what all share."""

    def edit(image: FileDataset) -> None:
        items = image.PerFrameFunctionalGroupsSequence
        delattr(image.SharedFunctionalGroupsSequence[0] if frame is None else items[frame - 1],
                group_name)  # fmt: skip  # one statement

    return edit


def _position(frame: int, *numbers: float | str) -> Callable[[FileDataset], None]:
    def edit(image: FileDataset) -> None:
        item = image.PerFrameFunctionalGroupsSequence[frame - 1].PlanePositionSequence[0]
        value = "\\".join(map(str, numbers))
        item["ImagePositionPatient"] = DataElement(0x00200032, "DS", value, validation_mode=0)

    return edit


class TestDefects:
    """Each is what it is among files, named by file and frame."""

    @pytest.mark.parametrize(
        ("edit", "error", "says"),
        [
            (_without("PlanePositionSequence", frame=3), errors.GeometryError,
             r"scan.dcm frame 3: ImagePositionPatient \(0020,0032\) is missing"),
            (_without("PlaneOrientationSequence"), errors.GeometryError,
             r"scan.dcm frame 1: ImageOrientationPatient \(0020,0037\) is missing"),
            (_without("PixelMeasuresSequence"), errors.GeometryError,
             r"scan.dcm frame 1: PixelSpacing \(0028,0030\) is missing"),
            (_without("PixelValueTransformationSequence"), errors.PixelDataError,
             r"scan.dcm frame \d: RescaleSlope \(0028,1053\) is missing"),
            (_position(2, "nan", 0, 0), errors.GeometryError,
             r"scan.dcm frame 2: ImagePositionPatient \(0020,0032\) holds a number that is not"),
            (_position(2, 0, 0), errors.GeometryError,
             r"scan.dcm frame 2: ImagePositionPatient \(0020,0032\) is missing or unreadable"),
            (_position(2, "-20", "-30", "103.1"), errors.GeometryError, "spacing varies"),
        ],
    )  # fmt: skip  # a row a defect
    def test_what_a_frame_lacks_or_has_wrong_is_named(
        self,
        edit: Callable[[FileDataset], None],
        error: type[Exception],
        says: str,
        file: Path,
    ) -> None:
        write_enhanced(file, edit=edit)

        with pytest.raises(error, match=says):
            read_ct(file)
        assert inspect(file)[0].verdict == "refused"

    def test_two_frames_at_one_position_are_named(self, file: Path) -> None:
        where = decimals(VoxelGrid().lps()[frame_order(5)[0], 0, 0])

        with pytest.raises(
            errors.GeometryError, match="scan.dcm frame 1 and scan.dcm frame 4: 2 slices at one pos"
        ):
            read_ct(write_enhanced(file, edit=_position(4, *where)))

    def test_a_frame_that_is_there_twice_is_dropped_and_counted(self, file: Path) -> None:
        def repeat(image: FileDataset) -> None:
            image.PixelData += image.PixelData[:160]
            image["PixelData"].VR = "OW"
            image.PerFrameFunctionalGroupsSequence.append(image.PerFrameFunctionalGroupsSequence[0])
            image.NumberOfFrames = 6

        volume = read_ct(write_enhanced(file, edit=repeat), strict=True)

        np.testing.assert_array_equal(volume.hu, ramp(VoxelGrid().lps()))
        assert volume.report["copies_dropped"] == 1

    def test_a_frame_that_is_missing_leaves_a_gap(self, file: Path) -> None:
        def drop(image: FileDataset) -> None:
            n = frame_of(2) - 1
            image.PixelData = image.PixelData[: n * 160] + image.PixelData[(n + 1) * 160 :]
            image["PixelData"].VR = "OW"
            del image.PerFrameFunctionalGroupsSequence[n]
            image.NumberOfFrames = 4

        with pytest.raises(
            errors.GeometryError, match="missing: 1 between z = 102.00 mm and z = 106.00 mm"
        ):
            read_ct(write_enhanced(file, edit=drop))

    def test_frames_of_another_tilt_are_refused(self, file: Path) -> None:
        def tilt(image: FileDataset) -> None:
            for frame in image.PerFrameFunctionalGroupsSequence:
                x, y, z = frame.PlanePositionSequence[0].ImagePositionPatient
                moved = float(y) + (float(z) - 100) * np.tan(np.radians(15))
                frame.PlanePositionSequence[0].ImagePositionPatient = decimals([x, moved, z])

        with pytest.raises(errors.GeometryError, match="sheared by 15.0 deg"):
            read_ct(write_enhanced(file, edit=tilt))

    def test_frames_that_are_not_parallel_are_refused(self, file: Path) -> None:
        def turn(image: FileDataset) -> None:
            shared = image.SharedFunctionalGroupsSequence[0].PlaneOrientationSequence
            del image.SharedFunctionalGroupsSequence[0].PlaneOrientationSequence
            for frame in image.PerFrameFunctionalGroupsSequence:
                frame.PlaneOrientationSequence = shared
            last = group(ImageOrientationPatient=["1", "0", "0", "0", "0", "-1"])
            image.PerFrameFunctionalGroupsSequence[4].PlaneOrientationSequence = [last]

        with pytest.raises(errors.GeometryError, match="scan.dcm frame 5: .*must be parallel"):
            read_ct(write_enhanced(file, edit=turn))

    @pytest.mark.parametrize("number", [4, 6, 2_000_000_000, -1])
    def test_a_number_of_frames_that_the_groups_do_not_have_is_refused(
        self, number: int, file: Path
    ) -> None:
        write_enhanced(file, edit=lambda image: setattr(image, "NumberOfFrames", number))

        with pytest.raises(
            errors.ReadError, match=r"scan.dcm: .*5 frames|scan.dcm: 2000000000 fra"
        ):
            read_ct(file)

    def test_a_file_without_frame_groups_is_refused(self, file: Path) -> None:
        write_enhanced(file, edit=lambda image: delattr(image, "PerFrameFunctionalGroupsSequence"))

        with pytest.raises(errors.ReadError, match="scan.dcm: PerFrameFunctionalGroupsSequence"):
            read_ct(file)

    def test_groups_that_contradict_each_other_are_refused(self, file: Path) -> None:
        def contradict(image: FileDataset) -> None:
            frame = image.PerFrameFunctionalGroupsSequence[2]
            frame.PixelMeasuresSequence = [group(PixelSpacing=["1", "1"])]

        with pytest.raises(errors.ReadError, match="scan.dcm frame 3: PixelSpacing .*two values"):
            read_ct(write_enhanced(file, edit=contradict))

    def test_a_group_of_two_items_is_refused(self, file: Path) -> None:
        def double(image: FileDataset) -> None:
            places = image.PerFrameFunctionalGroupsSequence[1].PlanePositionSequence
            places.append(group(ImagePositionPatient=["0", "0", "0"]))

        with pytest.raises(errors.ReadError, match="frame 2: PlanePositionSequence has 2 items"):
            read_ct(write_enhanced(file, edit=double))

    def test_short_pixels_are_never_filled_up(self, file: Path) -> None:
        def shorten(image: FileDataset) -> None:
            image.PixelData = image.PixelData[:-200]
            image["PixelData"].VR = "OW"

        write_enhanced(file, edit=shorten)
        with pytest.raises(errors.PixelDataError, match=r"frame [45]: .* bytes .* need 160"):
            read_ct(file)

    def test_a_file_cut_short_is_refused(self, file: Path) -> None:
        content = write_enhanced(file).read_bytes()
        file.write_bytes(content[:-10])

        with pytest.raises(errors.PixelDataError, match=r"frame \d: .*the file is cut short"):
            read_ct(file)

    def test_bytes_after_the_last_frame_are_a_warning(self, file: Path) -> None:
        def lengthen(image: FileDataset) -> None:
            image.PixelData += bytes(10)
            image["PixelData"].VR = "OW"

        write_enhanced(file, edit=lengthen)
        with pytest.warns(rhoa.RhoaWarning, match="scan.dcm frame 5: 10 bytes more"):
            volume = read_ct(file)
        np.testing.assert_array_equal(volume.hu, ramp(VoxelGrid().lps()))

    @pytest.mark.parametrize("technique", ["MAX_IP", "MIN_IP", "VOLUME_RENDER", "CURVED_MPR"])
    def test_projections_are_no_slices(self, technique: str, file: Path) -> None:
        def project(image: FileDataset) -> None:
            kind = image.SharedFunctionalGroupsSequence[0].CTImageFrameTypeSequence[0]
            kind.VolumeBasedCalculationTechnique = technique

        with pytest.raises(errors.PixelDataError, match="no plain Hounsfield units"):
            read_ct(write_enhanced(file, edit=project))

    def test_burned_in_text_is_refused(self, file: Path) -> None:
        write_enhanced(file, edit=lambda image: setattr(image, "BurnedInAnnotation", "YES"))

        with pytest.raises(errors.PixelDataError, match="BurnedInAnnotation is YES"):
            read_ct(file)

    @given(place=st.integers(0, 279), sign=st.integers(0, 255))
    def test_a_damaged_byte_of_the_groups_is_an_error_or_changes_nothing(
        self, place: int, sign: int
    ) -> None:
        with TemporaryDirectory() as folder:
            file = write_enhanced(Path(folder) / "scan.dcm")
            content = bytearray(file.read_bytes())
            content[content.index(b"\x00\x52\x30\x92") + place] = sign
            file.write_bytes(content)

            try:
                volume = read_ct(file)
            except errors.ReadError:
                return
        np.testing.assert_array_equal(volume.hu, ramp(VoxelGrid().lps()))

    def test_a_header_larger_than_any_ct_has_is_refused_before_it_is_parsed(
        self, file: Path
    ) -> None:
        def swell(image: FileDataset) -> None:
            frame = image.PerFrameFunctionalGroupsSequence[0]
            frame.add_new(0x00091001, "OB", bytes(MOST_HEADER_BYTES))

        with pytest.raises(errors.ReadError, match="scan.dcm: 5 frames and a header of"):
            read_ct(write_enhanced(file, edit=swell))

    def test_a_deflated_file_is_refused(self, file: Path) -> None:
        write_enhanced(file, syntax=uid.DeflatedExplicitVRLittleEndian)

        with pytest.raises(errors.PixelDataError, match="deflated data set"):
            read_ct(file)

    def test_one_frame_or_one_file_is_no_volume(self, tmp_path: Path) -> None:
        write_enhanced(tmp_path / "one.dcm", VoxelGrid(shape=(1, 8, 10)))
        (single,) = write_series(tmp_path / "single", VoxelGrid(shape=(1, 8, 10)))

        for path, name in ((tmp_path / "one.dcm", "one.dcm frame 1"), (single, single.name)):
            with pytest.raises(errors.GeometryError, match=f"{name}: one slice is no volume"):
                read_ct(path)

    def test_messages_hold_neither_patient_nor_place(self, file: Path) -> None:
        write_enhanced(file, edit=_without("PlanePositionSequence", frame=3))

        with pytest.raises(errors.GeometryError) as caught:
            read_ct(file)
        assert "CANARY" not in str(caught.value)
        assert str(file.parent) not in str(caught.value)


class TestSeveralVolumes:
    @staticmethod
    def two(sequence: str, first: dict[str, object], second: dict[str, object]) -> FileDataset:
        """Two volumes at one place in one file, 7 HU apart."""
        images = [
            enhanced_dataset(VoxelGrid()),
            enhanced_dataset(VoxelGrid(), ramp(VoxelGrid().lps()) + 7),
        ]
        for image, elements in zip(images, (first, second), strict=True):
            set_frames(image, sequence, **elements)
        return joined(*images)

    @pytest.mark.parametrize(
        ("sequence", "elements", "names"),
        [
            ("FrameContentSequence", [{"StackID": "1"}, {"StackID": "B"}], ["stack 1", "stack B"]),
            ("FrameContentSequence",
             [{"TemporalPositionIndex": 1}, {"TemporalPositionIndex": 2}], ["time 1", "time 2"]),
            ("CTImageFrameTypeSequence",
             [{"FrameType": ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"]},
              {"FrameType": ["DERIVED", "PRIMARY", "VOLUME", "MEAN"]}],
             ["type DERIVED/PRIMARY/VOLUME/MEAN", "type ORIGINAL/PRIMARY/VOLUME/NONE"]),
        ],
    )  # fmt: skip  # a row a case
    def test_they_are_listed_and_one_can_be_chosen(
        self, sequence: str, elements: list[dict[str, object]], names: list[str], file: Path
    ) -> None:
        image = self.two(sequence, *elements)
        if sequence == "CTImageFrameTypeSequence":
            del image.SharedFunctionalGroupsSequence[0].CTImageFrameTypeSequence
        save(image, file)

        with pytest.raises(errors.AmbiguousSeriesError) as caught:
            read_ct(file)
        message = str(caught.value)
        assert "2 CT volumes" in message
        assert "series=" in message
        assert message.count("2 x 1.5 x 1") == 2
        assert all(name in message for name in names)
        assert ROOT not in message

        parts = {one.part: one.index for one in inspect(file)}
        assert sorted(parts) == names
        offsets = {
            (read_ct(file, series=n).hu - ramp(VoxelGrid().lps())).max() for n in parts.values()
        }
        assert offsets == {0, 7}

    def test_they_are_told_apart_by_dimension_indices_alone(self, file: Path) -> None:
        image = self.two(
            "FrameContentSequence",
            {"DimensionIndexValues": [1, 1]},
            {"DimensionIndexValues": [1, 2]},
        )
        image.DimensionIndexSequence = [
            group(DimensionIndexPointer=tag) for tag in (0x00200032, 0x00209241)
        ]
        save(image, file)

        with pytest.raises(errors.AmbiguousSeriesError, match="cardiac phase 1.*\n.*phase 2"):
            read_ct(file)

    def test_where_nothing_tells_them_apart_their_places_collide(self, file: Path) -> None:
        save(
            joined(
                enhanced_dataset(VoxelGrid()),
                enhanced_dataset(VoxelGrid(), ramp(VoxelGrid().lps()) + 7),
            ),
            file,
        )

        with pytest.raises(errors.GeometryError, match="2 slices at one position"):
            read_ct(file)

    def test_a_message_about_one_of_them_says_which(self, file: Path) -> None:
        image = self.two("FrameContentSequence", {"StackID": "1"}, {"StackID": "2"})
        _position(frame_of(1) + 5, -20, -30, 103.1)(image)
        save(image, file)

        np.testing.assert_array_equal(read_ct(file, series=0).hu, ramp(VoxelGrid().lps()))
        with pytest.raises(errors.GeometryError, match=r"stack 2\): the slice spacing varies"):
            read_ct(file, series=1)

    def test_a_localizer_in_the_file_is_no_rival(self, file: Path) -> None:
        image = enhanced_dataset(VoxelGrid())
        del image.SharedFunctionalGroupsSequence[0].CTImageFrameTypeSequence
        set_frames(image, "CTImageFrameTypeSequence", FrameType=["ORIGINAL", "PRIMARY", "VOLUME"])
        scout = enhanced_dataset(VoxelGrid(shape=(1, 8, 10)))
        set_frames(
            scout, "CTImageFrameTypeSequence", FrameType=["ORIGINAL", "PRIMARY", "LOCALIZER"]
        )
        save(joined(image, scout), file)

        assert read_ct(file).shape == (5, 8, 10)
        assert "localizers only" in inspect(file)[1].reason

    def test_mixed_frames_without_their_types_are_refused(self, file: Path) -> None:
        def mix(image: FileDataset) -> None:
            image.ImageType = ["MIXED", "PRIMARY", "VOLUME", "NONE"]
            del image.SharedFunctionalGroupsSequence[0].CTImageFrameTypeSequence

        with pytest.raises(errors.PixelDataError, match=r"frame 1: FrameType \(0008,9007\)"):
            read_ct(write_enhanced(file, edit=mix))

    def test_an_enhanced_file_beside_single_frames_is_another_volume(self, tmp_path: Path) -> None:
        write_series(tmp_path)
        write_enhanced(tmp_path / "enhanced.dcm", series="8.22")

        with pytest.raises(errors.AmbiguousSeriesError, match="2 CT volumes"):
            read_ct(tmp_path)
        np.testing.assert_array_equal(read_ct(tmp_path, series="8.22").hu, ramp(VoxelGrid().lps()))


@pytest.mark.parametrize(
    "syntax", [uid.ExplicitVRLittleEndian, uid.RLELossless, uid.JPEGLSLossless]
)
def test_what_highdicom_makes_of_a_series_is_the_same_volume(
    syntax: uid.UID, tmp_path: Path
) -> None:
    """An independent writer of legacy converted enhanced CT."""
    legacy = pytest.importorskip("highdicom.legacy", reason="pip install highdicom")

    def complete(k: int, image: FileDataset) -> None:
        image.StudyInstanceUID, image.FrameOfReferenceUID = f"{ROOT}8", f"{ROOT}9"
        image.StudyDate = image.ContentDate = image.AcquisitionDate = "20200101"
        image.StudyTime = image.ContentTime = "101010"
        image.AcquisitionTime = f"1010{k:02d}"
        image.StudyID, image.SeriesNumber, image.AcquisitionNumber = "1", 1, 1
        image.AccessionNumber = image.PatientBirthDate = image.PatientSex = ""
        image.ReferringPhysicianName, image.Manufacturer = "", "rhoa"
        image.BodyPartExamined, image.PatientPosition = "PELVIS", "HFS"
        image.ConvolutionKernel, image.PixelPaddingValue = "B30f", 0

    paths = write_series(tmp_path / "many", edit=complete)
    many = read_ct(tmp_path / "many")
    converted = legacy.LegacyConvertedEnhancedCTImage(
        [pydicom.dcmread(path) for path in sorted(paths)],
        series_instance_uid=f"{ROOT}2",
        series_number=2,
        sop_instance_uid=f"{ROOT}2.1",
        instance_number=1,
        transfer_syntax_uid=syntax,
    )
    converted.save_as(tmp_path / "one.dcm")

    one = read_ct(tmp_path / "one.dcm", strict=True)

    np.testing.assert_array_equal(one.hu, many.hu)
    np.testing.assert_array_equal(one.affine, many.affine)
    assert one.report["kernel"] == many.report["kernel"] == "B30f"


def test_many_frames_of_undefined_length_are_no_bomb(file: Path) -> None:
    """As scanners write them: 170 elements and marks a frame, which a parser reads one by one."""
    frames = 400  # in more reads than files.FEWEST_READS

    def loosen(data: FileDataset | pydicom.Dataset) -> None:
        for element in data:
            if element.VR == "SQ":
                element.is_undefined_length = True
                for item in element.value:
                    item.is_undefined_length_sequence_item = True
                    loosen(item)

    def edit(image: FileDataset) -> None:
        for frame in image.PerFrameFunctionalGroupsSequence:
            for n in range(10):
                frame.add_new(
                    0x00189000 + n * 2,
                    "SQ",
                    [group(ExposureTime="1", XRayTubeCurrent="1", FilterType="NONE", KVP="120")],
                )
        loosen(image)

    grid = VoxelGrid(shape=(frames, 128, 128))
    hu = np.broadcast_to(np.arange(frames)[:, None, None], grid.shape)
    write_enhanced(file, grid, hu=hu, edit=edit)

    np.testing.assert_array_equal(read_ct(file).hu, hu)

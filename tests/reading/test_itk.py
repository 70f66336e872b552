"""NRRD and MetaImage: what SimpleITK writes comes back; what it lets pass in silence does not."""

from __future__ import annotations

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from numpy.typing import NDArray

import rhoa
from rhoa import errors
from rhoa.reading import inspect, read_ct
from tests.strategies import rotation, rotations

sitk = pytest.importorskip("SimpleITK", reason="pip install '.[itk]'")

SHAPE = (4, 5, 6)  # slices, rows, columns
HU = np.arange(120, dtype=np.int16).reshape(SHAPE) - 60
SUFFIXES = [".nrrd", ".nhdr", ".mha", ".mhd"]


def save(
    path: Path,
    hu: NDArray[np.generic] = HU,
    *,
    directions: NDArray[np.float64] | None = None,
    spacing: tuple[float, float, float] = (1.0, 1.5, 2.0),
    origin: tuple[float, float, float] = (-50.0, 40.0, 100.0),
    packed: bool = False,
    vector: bool = False,
) -> Path:
    """Write ``hu[k, j, i]`` with SimpleITK; spacing and directions of columns, rows, slices."""
    image = sitk.GetImageFromArray(hu, isVector=vector)
    image.SetSpacing(spacing)
    image.SetOrigin(origin)
    image.SetDirection((np.eye(3) if directions is None else directions).ravel().tolist())
    sitk.WriteImage(image, str(path), useCompression=packed)
    return path


def edited(path: Path, *changes: tuple[str, str]) -> Path:
    """Replace text in the header of a file."""
    content = path.read_bytes()
    for old, new in changes:
        assert old.encode() in content
        content = content.replace(old.encode(), new.encode(), 1)
    path.write_bytes(content)
    return path


def text_of(name: str, value: str) -> str:
    """A field of MetaImage as SimpleITK writes it."""
    return f"{name} = {value}\n"


@pytest.fixture
def nrrd(tmp_path: Path) -> Path:
    return save(tmp_path / "scan.nrrd")


@pytest.fixture
def mha(tmp_path: Path) -> Path:
    return save(tmp_path / "scan.mha")


class TestPlace:
    @pytest.mark.parametrize("packed", [False, True], ids=["raw", "packed"])
    @pytest.mark.parametrize("suffix", SUFFIXES)
    def test_a_voxel_is_where_the_file_says(
        self, suffix: str, *, packed: bool, tmp_path: Path
    ) -> None:
        volume = read_ct(save(tmp_path / f"scan{suffix}", packed=packed), strict=True)

        np.testing.assert_array_equal(volume.hu, HU)
        assert volume.hu.dtype == np.int16
        assert volume.spacing_mm == (2.0, 1.5, 1.0)
        np.testing.assert_array_equal(volume.to_lps([0, 0, 0]), [-50, 40, 100])
        np.testing.assert_array_equal(volume.to_lps([1, 0, 0]), [-50, 40, 102])
        np.testing.assert_array_equal(volume.to_lps([0, 1, 0]), [-50, 41.5, 100])
        np.testing.assert_array_equal(volume.to_lps([0, 0, 1]), [-49, 40, 100])

    @pytest.mark.parametrize("suffix", [".nrrd", ".mha"])
    @given(
        turn=rotations(180),
        spacing=st.tuples(*[st.floats(0.3, 6)] * 3),
        origin=st.tuples(*[st.floats(-400, 400)] * 3),
        flips=st.tuples(*[st.sampled_from([-1, 1])] * 3),
        packed=st.booleans(),
    )
    @example(
        turn=rotation(45, 45, 45),
        spacing=(1, 1, 1),
        origin=(0, 0, 0),
        flips=(1, -1, 1),
        packed=False,
    )
    def test_any_rotation_mirroring_spacing_and_origin_comes_back(
        self,
        suffix: str,
        turn: NDArray[np.float64],
        spacing: tuple[float, float, float],
        origin: tuple[float, float, float],
        flips: tuple[int, int, int],
        *,
        packed: bool,
    ) -> None:
        directions = turn * np.array(flips)
        expected = np.eye(4)
        expected[:3, :3] = (directions * np.array(spacing))[:, ::-1]
        expected[:3, 3] = origin
        with TemporaryDirectory() as folder:
            volume = read_ct(
                save(
                    Path(folder) / f"scan{suffix}",
                    directions=directions,
                    spacing=spacing,
                    origin=origin,
                    packed=packed,
                ),
                strict=True,
            )

        np.testing.assert_array_equal(volume.hu, HU)
        np.testing.assert_allclose(volume.affine, expected, atol=1e-6)

    @pytest.mark.parametrize("space", ["RAS", "right-anterior-superior"])
    def test_an_ras_nrrd_is_turned_to_lps(self, space: str, nrrd: Path) -> None:
        volume = read_ct(edited(nrrd, ("left-posterior-superior", space)))

        np.testing.assert_array_equal(volume.to_lps([0, 0, 0]), [50, -40, 100])
        np.testing.assert_array_equal(volume.affine[:3, 2], [-1, 0, 0])

    def test_an_las_nrrd_is_turned_to_lps(self, nrrd: Path) -> None:
        volume = read_ct(edited(nrrd, ("left-posterior-superior", "LAS")))

        np.testing.assert_array_equal(volume.to_lps([0, 0, 0]), [-50, -40, 100])

    @pytest.mark.parametrize(
        "line",
        ["space: scanner-xyz\n", "space dimension: 3\n", "space: left-posterior-superior-t\n"],
    )
    def test_an_nrrd_in_another_space_is_an_error(self, line: str, nrrd: Path) -> None:
        edited(nrrd, ("space: left-posterior-superior\n", line))

        with pytest.raises(errors.GeometryError, match="which side is left is unknown"):
            read_ct(nrrd)

    def test_an_nrrd_that_has_spacings_only_is_an_error(self, nrrd: Path) -> None:
        edited(
            nrrd,
            ("space: left-posterior-superior\n", ""),
            ("space directions: (1,0,0) (0,1.5,0) (0,0,2)\n", "spacings: 1 1.5 2\n"),
            ("space origin: (-50,40,100)\n", ""),
        )

        with pytest.raises(errors.GeometryError, match="scan.nrrd: space is missing"):
            read_ct(nrrd)

    @pytest.mark.parametrize("vector", ["(nan,0,0)", "none", "(1,0)", "(one,0,0)"])
    def test_directions_that_are_no_three_vectors_are_an_error(
        self, vector: str, nrrd: Path
    ) -> None:
        with pytest.raises(errors.GeometryError, match="space directions must be three vectors"):
            read_ct(edited(nrrd, ("(1,0,0)", vector)))

    def test_sheared_voxels_are_an_error(self, nrrd: Path, mha: Path) -> None:
        edited(nrrd, ("(0,0,2)", f"(0,{2 * np.tan(np.radians(15))},2)"))
        edited(mha, ("1 0 0 0 1 0 0 0 1", "1 0 0 0 1 0 0 0.258819045 0.965925826"))

        for file in (nrrd, mha):
            with pytest.raises(errors.GeometryError, match=r"sheared by 15.0 deg"):
                read_ct(file)

    def test_an_axis_of_no_length_is_an_error(self, nrrd: Path, mha: Path) -> None:
        edited(nrrd, ("(0,0,2)", "(0,0,0)"))
        edited(mha, ("ElementSpacing = 1 1.5 2", "ElementSpacing = 1 1.5 0"))

        for file in (nrrd, mha):
            with pytest.raises(errors.RhoaError, match=file.name):
                read_ct(file)

    def test_another_unit_than_millimetres_is_an_error(self, nrrd: Path, mha: Path) -> None:
        edited(nrrd, ("encoding: raw", 'encoding: raw\nspace units: "cm" "cm" "cm"'))
        edited(mha, ("ElementType", "DistanceUnits = cm\nElementType"))

        for file in (nrrd, mha):
            with pytest.raises(errors.GeometryError, match="unit is cm; convert it to millimetres"):
                read_ct(file)

    def test_an_absent_origin_is_a_warning(self, nrrd: Path, mha: Path) -> None:
        edited(nrrd, ("space origin: (-50,40,100)\n", ""))
        edited(mha, (text_of("Offset", "-50 40 100"), ""))

        for file in (nrrd, mha):
            with pytest.warns(rhoa.RhoaWarning, match=r"first voxel was put at \(0, 0, 0\)"):
                volume = read_ct(file)
            np.testing.assert_array_equal(volume.to_lps([0, 0, 0]), [0, 0, 0])

    def test_an_absent_matrix_is_identity_with_a_warning(self, mha: Path) -> None:
        edited(mha, (text_of("TransformMatrix", "1 0 0 0 1 0 0 0 1"), ""))

        with pytest.warns(rhoa.RhoaWarning, match="TransformMatrix is missing.*which side is left"):
            volume = read_ct(mha)
        np.testing.assert_array_equal(volume.affine[:3, :3], [[0, 0, 1], [0, 1.5, 0], [2, 0, 0]])
        assert len(volume.report["warnings"]) == 1
        with pytest.raises(errors.GeometryError, match="strict=True"):
            read_ct(mha, strict=True)

    @pytest.mark.parametrize("matrix", [True, False], ids=["with matrix", "without"])
    @pytest.mark.parametrize("letters", ["LAI", "LPI", "RAS", "ARI", "RRI", "XYZ", "RA"])
    def test_letters_that_the_matrix_contradicts_are_an_error(
        self, letters: str, *, matrix: bool, mha: Path
    ) -> None:
        """ITK ignores AnatomicalOrientation; who goes by it would mirror or turn the patient."""
        edited(mha, ("AnatomicalOrientation = RAI", f"AnatomicalOrientation = {letters}"))
        if not matrix:
            edited(mha, (text_of("TransformMatrix", "1 0 0 0 1 0 0 0 1"), ""))

        with pytest.raises(
            errors.GeometryError, match=f"AnatomicalOrientation is {letters}, which"
        ):
            read_ct(mha)

    def test_letters_may_be_absent_or_unknown(self, mha: Path) -> None:
        edited(mha, ("AnatomicalOrientation = RAI", "AnatomicalOrientation = ???"))
        assert read_ct(mha, strict=True).shape == SHAPE
        edited(mha, (text_of("AnatomicalOrientation", "???"), ""))
        assert read_ct(mha, strict=True).shape == SHAPE

    @pytest.mark.parametrize(
        ("old", "new"),
        [
            ("ElementSpacing = 1 1.5 2\n", ""),
            ("ElementSpacing = 1 1.5 2\n", "ElementSize = 1 1.5 2\n"),
            ("ElementSpacing = 1 1.5 2\n", "ElementSpacing = 1 1.5\n"),
            ("TransformMatrix = 1 0 0 0 1 0 0 0 1", "TransformMatrix = nan 0 0 0 1 0 0 0 1"),
            ("Offset =", "Position = 0 0 0\nOffset ="),
            ("TransformMatrix =", "Rotation = 0 1 0 1 0 0 0 0 1\nTransformMatrix ="),
        ],
    )
    def test_a_place_that_is_missing_doubled_or_no_number_is_an_error(
        self, old: str, new: str, mha: Path
    ) -> None:
        with pytest.raises(errors.GeometryError, match="must be there once, with"):
            read_ct(edited(mha, (old, new)))


class TestValues:
    @pytest.mark.parametrize("suffix", [".nrrd", ".mha"])
    @pytest.mark.parametrize("kind", ["i1", "u1", "i2", "u2", "i4", "u4"])
    def test_integers_that_fit_are_int16(self, kind: str, suffix: str, tmp_path: Path) -> None:
        data = np.abs(HU).astype(kind)

        hu = read_ct(save(tmp_path / f"scan{suffix}", data), strict=True).hu

        assert hu.dtype == np.int16
        np.testing.assert_array_equal(hu, data)

    @pytest.mark.parametrize("suffix", [".nrrd", ".mha"])
    def test_integers_beyond_int16_are_float32(self, suffix: str, tmp_path: Path) -> None:
        hu = read_ct(save(tmp_path / f"scan{suffix}", HU.astype(np.int32) + 40000)).hu

        assert hu.dtype == np.float32
        np.testing.assert_array_equal(hu, HU + 40000.0)

    @pytest.mark.parametrize("suffix", [".nrrd", ".mha"])
    @pytest.mark.parametrize("kind", ["f4", "f8"])
    def test_floats_stay_floats(self, kind: str, suffix: str, tmp_path: Path) -> None:
        hu = read_ct(save(tmp_path / f"scan{suffix}", (HU + 0.25).astype(kind))).hu

        assert hu.dtype == np.float32
        np.testing.assert_array_equal(hu, HU + 0.25)

    def test_big_endian_voxels_are_read(self, nrrd: Path, mha: Path) -> None:
        content = HU.astype("<i2").tobytes()
        swapped = HU.astype(">i2").tobytes()
        edited(nrrd, ("endian: little", "endian: big"))
        edited(mha, ("ByteOrderMSB = False", "ByteOrderMSB = True"))
        for file in (nrrd, mha):
            file.write_bytes(file.read_bytes().removesuffix(content) + swapped)

            np.testing.assert_array_equal(read_ct(file, strict=True).hu, HU)
            np.testing.assert_array_equal(sitk.GetArrayFromImage(sitk.ReadImage(str(file))), HU)

    @pytest.mark.parametrize("suffix", [".nrrd", ".mha"])
    @pytest.mark.parametrize("value", [np.nan, np.inf])
    def test_voxels_that_are_not_finite_are_counted(
        self, value: float, suffix: str, tmp_path: Path
    ) -> None:
        data = HU.astype(np.float32)
        data[0, 0, :3] = value

        with pytest.raises(errors.PixelDataError, match="3 voxels are NaN or infinite.*-1024"):
            read_ct(save(tmp_path / f"scan{suffix}", data))

    def test_numbers_that_float32_cannot_hold_are_an_error(self, tmp_path: Path) -> None:
        with pytest.raises(errors.PixelDataError, match="no Hounsfield units"):
            read_ct(save(tmp_path / "scan.mha", HU * 1e300))

    def test_padding_becomes_air_and_overshoot_stays(self, tmp_path: Path) -> None:
        data = HU.copy()
        data[0, 0, :3] = [-3024, -2000, -1207]

        volume = read_ct(save(tmp_path / "scan.nrrd", data))

        assert volume.hu[0, 0, :3].tolist() == [-1024, -1024, -1207]
        assert volume.report["padding_voxels"] == 2
        assert volume.report["transfer_syntaxes"] == ["NRRD"]

    @pytest.mark.parametrize("suffix", [".nrrd", ".mha"])
    def test_vectors_are_no_ct(self, suffix: str, tmp_path: Path) -> None:
        file = save(tmp_path / f"scan{suffix}", np.zeros((*SHAPE, 3), np.uint8), vector=True)

        with pytest.raises(errors.ReadError, match=r"3-D|ElementNumberOfChannels is 3"):
            read_ct(file)

    @pytest.mark.parametrize("suffix", [".nrrd", ".mha"])
    def test_complex_numbers_are_no_ct(self, suffix: str, tmp_path: Path) -> None:
        image = sitk.GetImageFromArray(HU.astype(np.complex64))
        sitk.WriteImage(image, str(tmp_path / f"scan{suffix}"))

        with pytest.raises(errors.ReadError, match="scan"):
            read_ct(tmp_path / f"scan{suffix}")

    def test_labels_are_no_ct(self, nrrd: Path) -> None:
        edited(nrrd, ("encoding: raw\n", "encoding: raw\nSegment0_ID:=Segment_1\n"))

        with pytest.raises(errors.PixelDataError, match=r"a segmentation \(labels\), no CT"):
            read_ct(nrrd)

    @pytest.mark.parametrize("field", ["Slope = 2", "Offset = -1024"])
    def test_a_rescaling_that_itk_ignores_is_an_error(self, field: str, mha: Path) -> None:
        edited(mha, ("ElementType", f"ElementToIntensityFunction{field}\nElementType"))

        with pytest.raises(errors.ReadError, match="ElementToIntensityFunction.* must be"):
            read_ct(mha)


class TestFile:
    @pytest.mark.parametrize("suffix", [".nrrd", ".mha"])
    def test_four_dimensions_are_refused(self, suffix: str, tmp_path: Path) -> None:
        image = sitk.GetImageFromArray(np.stack([HU, HU]), isVector=False)
        sitk.WriteImage(image, str(tmp_path / f"scan{suffix}"))

        with pytest.raises(errors.ReadError, match="a CT is 3-D; this file has the dimension 4"):
            read_ct(tmp_path / f"scan{suffix}")

    @pytest.mark.parametrize("packed", [False, True], ids=["raw", "packed"])
    @pytest.mark.parametrize("suffix", SUFFIXES)
    def test_a_file_cut_short_is_an_error(
        self, suffix: str, *, packed: bool, tmp_path: Path
    ) -> None:
        noise = np.random.default_rng(0).integers(-1000, 1000, SHAPE).astype(np.int16)
        save(tmp_path / f"scan{suffix}", noise, packed=packed)
        data = max(tmp_path.iterdir(), key=lambda path: path.name != f"scan{suffix}")
        content = data.read_bytes()

        for cut in (len(content) - 1, len(content) - 4, len(content) // 2, 0):
            data.write_bytes(content[:cut])
            with pytest.raises(errors.ReadError, match=f"scan{suffix}"):
                read_ct(tmp_path / f"scan{suffix}")

    @pytest.mark.parametrize("suffix", [".nrrd", ".mha"])
    @given(place=st.integers(1, 150), sign=st.integers(1, 255))
    def test_a_damaged_packed_byte_is_an_error_or_changes_nothing(
        self, suffix: str, place: int, sign: int
    ) -> None:
        """ITK looks at no checksum: it returns wrong voxels for some of these."""
        noise = np.random.default_rng(0).integers(-1000, 1000, SHAPE).astype(np.int16)
        with TemporaryDirectory() as folder:
            file = save(Path(folder) / f"scan{suffix}", noise, packed=True)
            content = bytearray(file.read_bytes())
            content[-place] ^= sign
            file.write_bytes(content)
            try:
                volume = read_ct(file)
            except errors.PixelDataError:
                return
        np.testing.assert_array_equal(volume.hu, noise)

    @pytest.mark.parametrize("suffix", [".nrrd", ".mha"])
    @given(place=st.integers(0, 300), sign=st.integers(0, 255))
    def test_a_damaged_byte_of_the_header_is_an_error_and_nothing_else(
        self, suffix: str, place: int, sign: int
    ) -> None:
        with TemporaryDirectory() as folder:
            file = save(Path(folder) / f"scan{suffix}")
            content = bytearray(file.read_bytes())
            content[min(place, len(content) - 241)] = sign
            file.write_bytes(content)
            try:
                read_ct(file, strict=True)
            except errors.ReadError as error:
                message = str(error)
            else:
                message = file.name
        assert message.isprintable()
        assert file.name in message or "max_bytes" in message

    def test_data_that_only_claim_to_be_packed_are_an_error(self, nrrd: Path, mha: Path) -> None:
        edited(nrrd, ("encoding: raw", "encoding: gzip"))
        edited(mha, ("CompressedData = False", "CompressedData = True"))

        for file in (nrrd, mha):
            with pytest.raises(errors.PixelDataError, match="compressed voxels are damaged"):
                read_ct(file)

    def test_bytes_after_the_voxels_are_a_warning(self, mha: Path) -> None:
        mha.write_bytes(mha.read_bytes() + b"more")

        with pytest.warns(rhoa.RhoaWarning, match="bytes after its voxels"):
            assert read_ct(mha).shape == SHAPE

    def test_the_size_is_checked_before_the_voxels_are_read(self, nrrd: Path, mha: Path) -> None:
        for file in (nrrd, mha):
            with pytest.raises(errors.ReadError, match="max_bytes = 239"):
                read_ct(file, max_bytes=239)
            assert read_ct(file, max_bytes=240).hu.nbytes == 240
        for file, old in ((nrrd, "sizes: 6 5 4"), (mha, "DimSize = 6 5 4")):
            edited(file, (old, old[:-5] + "30000 30000 30000"))
            with pytest.raises(errors.ReadError, match="max_bytes"):
                read_ct(file)
            edited(file, ("30000 30000 30000", "1000 1000 1000"))
            with pytest.raises(errors.PixelDataError, match="2000000000 bytes"):
                read_ct(file)

    def test_voxels_in_another_folder_are_refused(self, tmp_path: Path) -> None:
        (tmp_path / "inner").mkdir()
        for suffix, name in ((".nhdr", "scan.raw"), (".mhd", "scan.raw")):
            file = save(tmp_path / "inner" / f"scan{suffix}")
            (tmp_path / "inner" / name).rename(tmp_path / name)
            with pytest.raises(errors.MissingFileError, match="not beside it"):
                read_ct(file)
            for elsewhere in (f"../{name}", str(tmp_path / name)):
                edited(file, (f" {name}", f" {elsewhere}"))
                with pytest.raises(errors.ReadError, match="in another folder") as caught:
                    read_ct(file)
                assert str(tmp_path) not in str(caught.value)
                edited(file, (f" {elsewhere}", f" {name}"))
            (tmp_path / "inner" / name).symlink_to(tmp_path / name)
            with pytest.raises(errors.ReadError, match="in another folder"):
                read_ct(file)
            (tmp_path / "inner" / name).unlink()

    @pytest.mark.parametrize("suffix", [".nhdr", ".mhd"])
    def test_voxels_beside_the_header_may_have_any_name(self, suffix: str, tmp_path: Path) -> None:
        file = edited(save(tmp_path / f"scan{suffix}"), (" scan.raw", " ./Möller 2.raw"))
        (tmp_path / "scan.raw").rename(tmp_path / "Möller 2.raw")

        np.testing.assert_array_equal(read_ct(file, strict=True).hu, HU)

    @pytest.mark.parametrize("name", ["LIST", "slice%03d.raw 1 4 1"])
    def test_voxels_in_several_files_are_refused(self, name: str, tmp_path: Path) -> None:
        for suffix in (".nhdr", ".mhd"):
            file = edited(save(tmp_path / f"scan{suffix}"), (" scan.raw", f" {name}"))
            with pytest.raises(errors.ReadError, match="several files"):
                read_ct(file)

    @pytest.mark.parametrize(
        ("old", "new", "says"),
        [
            ("encoding: raw", "encoding: ascii", "encoding is ascii"),
            ("encoding: raw", "encoding: raw\nbyte skip: 4", "byte skip"),
            ("encoding: raw", "encoding: raw\nlineskip: 1", "line skip"),
            ("type: short", "type: block", "ITK cannot read its header"),
            ("endian: little\n", "", "ITK cannot read its header"),
            (
                "kinds: domain domain domain",
                "kinds: vector domain domain",
                "ITK cannot read its header",
            ),
            ("sizes: 6 5 4", "sizes: 6 5 4\nsizes: 6 5 4", "sizes is in the header twice"),
            ("sizes: 6 5 4", "sizes: 6 5 0", "ITK cannot read its header"),
            ("NRRD0004", "NRRX0004", "neither an NRRD nor a MetaImage"),
        ],
    )
    def test_an_nrrd_that_is_no_plain_volume_says_why(
        self, old: str, new: str, says: str, nrrd: Path
    ) -> None:
        with pytest.raises(errors.ReadError, match=f"scan.nrrd.*{says}"):
            read_ct(edited(nrrd, (old, new)))

    @pytest.mark.parametrize(
        ("old", "new", "says"),
        [
            ("BinaryData = True", "BinaryData = False", "BinaryData is False"),
            ("ElementType = MET_SHORT", "ElementType = MET_LONG", "voxels take 480 bytes, 240 are"),
            ("ElementType", "HeaderSize = 7\nElementType", "HeaderSize is 7"),
            ("ElementType", "ElementByteOrderMSB = True\nElementType", "two byte orders"),
            ("ObjectType = Image", "ObjectType = Tube", "ObjectType is Tube"),
            ("DimSize = 6 5 4", "DimSize = 6 5 4 1", "3-D"),
            ("DimSize = 6 5 4", "DimSize = 6 5 -4", "3-D"),
            ("ObjectType", "\0bjectType", "neither an NRRD nor a MetaImage"),
            ("ElementDataFile", "Comment = " + 5000 * "x" + "\nElementDataFile", "neither an NRRD"),
        ],
    )
    def test_a_metaimage_that_is_no_plain_volume_says_why(
        self, old: str, new: str, says: str, mha: Path
    ) -> None:
        with pytest.raises(errors.ReadError, match=f"scan.mha.*{says}"):
            read_ct(edited(mha, (old, new)))

    @pytest.mark.parametrize("suffix", SUFFIXES)
    def test_what_is_neither_says_so_without_its_content(self, suffix: str, tmp_path: Path) -> None:
        file = tmp_path / f"scan{suffix}"
        file.write_bytes(b"CANARY" * 100)

        with pytest.raises(errors.ReadError, match=r"scan.*neither an NRRD") as caught:
            read_ct(file)
        assert "CANARY" not in str(caught.value)
        file.unlink()
        with pytest.raises(errors.MissingFileError, match="no such file"):
            read_ct(file)

    def test_series_is_for_dicom(self, nrrd: Path) -> None:
        with pytest.raises(errors.ParameterError, match="series= is for DICOM"):
            read_ct(nrrd, series=0)

    def test_inspect_tells_what_read_ct_would_do(self, nrrd: Path, mha: Path) -> None:
        for file, syntax in ((nrrd, "NRRD"), (mha, "MetaImage")):
            (good,) = inspect(file)
            assert (good.verdict, good.slices, good.rows, good.columns) == ("volume", 4, 5, 6)
            assert (good.spacing_mm, good.syntax) == ((2.0, 1.5, 1.0), syntax)

        (bad,) = inspect(edited(nrrd, ("space: left-posterior-superior\n", "space dimension: 3\n")))
        assert bad.verdict == "refused"
        assert "space is missing" in bad.reason

    def test_what_to_install_is_said(self, nrrd: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "SimpleITK", None)

        with pytest.raises(errors.MissingExtraError, match=r"pip install '\.\[itk\]'"):
            read_ct(nrrd)

    def test_progress_is_told_once(self, nrrd: Path) -> None:
        calls: list[tuple[int, int, str]] = []

        read_ct(nrrd, progress=lambda *call: calls.append(call))

        assert calls == [(1, 1, "reading voxels")]

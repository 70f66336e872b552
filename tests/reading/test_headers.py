"""DICOM files that are damaged, hostile or cut short: a named error, never a crash or a guess."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import pydicom.data
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import uid

from rhoa import errors
from rhoa.dicom.header import SkippedFileError, read_header
from rhoa.reading import read_ct
from tests.reading.series import VoxelGrid, write_series

GRID = VoxelGrid(shape=(5, 32, 33))  # JPEG 2000 needs 32 pixels a side
WHOLE = [uid.ExplicitVRLittleEndian, uid.DeflatedExplicitVRLittleEndian, uid.JPEG2000Lossless]


@pytest.fixture(scope="module")
def series(tmp_path_factory: pytest.TempPathFactory) -> dict[uid.UID, list[Path]]:
    """A series in each of several syntaxes."""
    return {
        syntax: write_series(tmp_path_factory.mktemp("s"), GRID, syntax=syntax) for syntax in WHOLE
    }


@pytest.fixture(scope="module")
def slices(series: dict[uid.UID, list[Path]]) -> dict[uid.UID, bytes]:
    """The last slice of each, whole."""
    return {syntax: paths[4].read_bytes() for syntax, paths in series.items()}


def read_with(folder: Path, content: bytes) -> None:
    """Read a series whose third slice is a file with ``content``."""
    write_series(folder)[2].write_bytes(content)
    read_ct(folder)


@pytest.mark.parametrize("syntax", WHOLE, ids=lambda syntax: syntax.name)
@given(data=st.data())
def test_a_file_cut_anywhere_is_an_error_even_where_it_leaves_no_gap(
    syntax: uid.UID,
    slices: dict[uid.UID, bytes],
    series: dict[uid.UID, list[Path]],
    data: st.DataObject,
) -> None:
    whole = slices[syntax]
    cut = data.draw(st.integers(132, len(whole) - 9))  # up to an end mark of 8 bytes
    last = series[syntax][4]
    last.write_bytes(whole[:cut])

    with pytest.raises(errors.ReadError, match=last.name):
        read_ct(last.parent)


@pytest.mark.parametrize(
    "syntax", [uid.ExplicitVRLittleEndian, uid.ImplicitVRLittleEndian, uid.ExplicitVRBigEndian]
)
def test_a_length_beyond_the_file_is_told_before_it_is_believed(
    syntax: uid.UID, tmp_path: Path
) -> None:
    path = write_series(tmp_path, syntax=syntax)[2]
    order = ">" if syntax == uid.ExplicitVRBigEndian else "<"
    content = path.read_bytes()
    place = content.index(struct.pack(order + "I", 160), len(content) - 160 - 12)
    path.write_bytes(content[:place] + struct.pack(order + "I", 0xFFFFFFF0) + content[place + 4 :])

    with pytest.raises(errors.PixelDataError, match="4294967280 bytes are declared, 160 are there"):
        read_ct(tmp_path)


def test_a_header_that_makes_no_sense_is_named(tmp_path: Path) -> None:
    with pytest.raises(errors.ReadError, match="export it again|cut short"):
        read_with(tmp_path, b"\0" * 128 + b"DICM" + b"\xff" * 600)


def test_a_deflate_bomb_is_refused(tmp_path: Path, slices: dict[uid.UID, bytes]) -> None:
    content = slices[uid.DeflatedExplicitVRLittleEndian]
    start = 144 + struct.unpack("<I", content[140:144])[0]
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    bomb = packer.compress(bytes(80 << 20)) + packer.flush()
    assert len(bomb) < 1 << 17

    with pytest.raises(errors.ReadError, match="deflated data exceed"):
        read_with(tmp_path, content[:start] + bomb)


def test_what_holds_no_image_is_skipped_with_its_modality(tmp_path: Path) -> None:
    path = write_series(tmp_path)[0]
    plan = pydicom.dcmread(path)
    plan.Modality = "RTPLAN"
    plan.file_meta.MediaStorageSOPClassUID = plan.SOPClassUID = uid.RTPlanStorage
    for tag in ("Rows", "Columns", "PixelData"):
        delattr(plan, tag)
    plan.save_as(path)

    with pytest.raises(SkippedFileError, match=r"DICOM without an image \(RTPLAN\)"):
        read_header(path)


def test_a_ct_slice_without_pixels_is_an_error_and_not_a_gap(tmp_path: Path) -> None:
    path = write_series(tmp_path)[4]  # at the end, where no gap would tell
    image = pydicom.dcmread(path)
    del image.PixelData
    image.save_as(path)

    with pytest.raises(errors.PixelDataError, match="no pixel data") as caught:
        read_ct(tmp_path)
    assert path.name in str(caught.value)


def test_unreadable_numbers_count_as_missing(tmp_path: Path) -> None:
    path = write_series(tmp_path)[1]
    content = path.read_bytes()
    path.write_bytes(content.replace(b"1.5\\1.0", b"1,5\\1,0"))

    with pytest.raises(errors.GeometryError, match="PixelSpacing .*missing or unreadable"):
        read_ct(tmp_path)


def test_every_file_that_travels_with_pydicom_is_read_or_refused_by_name() -> None:
    """Truncated, with wrong VRs, big-endian, without preamble: 86 files, none of them a volume."""
    folder = Path(pydicom.data.__file__).parent / "test_files"
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert len(files) > 50

    for path in files:
        with pytest.raises((errors.ReadError, errors.MissingExtraError)) as caught:
            read_ct(path)
        assert str(folder) not in str(caught.value)

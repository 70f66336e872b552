"""Compressed frames: false sizes and lost ends are found before and after a codec sees them."""

from __future__ import annotations

import os
import signal
import struct
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom import uid
from pydicom.encaps import encapsulate

from rhoa.dicom import codecs
from rhoa.dicom.header import PixelFormat
from rhoa.errors import PixelDataError
from rhoa.reading import read_ct
from tests.reading.series import VoxelGrid, write_series

GRID = VoxelGrid(shape=(5, 33, 34))  # JPEG 2000 needs 32 pixels a side
END_MARK = bytes.fromhex("feffdde0 00000000")
FORM = PixelFormat(33, 34, 16, 16, 15, signed=False)


def frame_of(folder: Path, syntax: uid.UID) -> bytes:
    """The encapsulated pixels of one slice."""
    image = pydicom.dcmread(write_series(folder, GRID, syntax=syntax)[0])
    return image.PixelData + END_MARK  # which pydicom takes off


@pytest.mark.parametrize(
    "syntax", [uid.JPEG2000Lossless, uid.JPEGLSLossless], ids=lambda syntax: syntax.name
)
def test_a_stream_of_another_size_than_its_header_is_refused(
    syntax: uid.UID, tmp_path: Path
) -> None:
    frame = frame_of(tmp_path, syntax)
    codecs.check_frame(frame, FORM, "good.dcm")

    with pytest.raises(PixelDataError, match=r"bad.dcm: .* is 33 x 34, but the header says 9 x 34"):
        codecs.check_frame(frame, PixelFormat(9, 34, 16, 16, 15, signed=False), "bad.dcm")


def test_a_stream_that_claims_to_be_huge_never_reaches_the_codec(tmp_path: Path) -> None:
    frame = bytearray(frame_of(tmp_path, uid.JPEG2000Lossless))
    place = frame.index(b"\xff\x51") + 6
    frame[place : place + 8] = struct.pack(">II", 60000, 60000)

    with pytest.raises(PixelDataError, match="60000 x 60000"):
        codecs.check_frame(bytes(frame), FORM, "bomb.dcm")


@pytest.mark.parametrize("cut", [5, 8, 9, 30])
def test_a_frame_without_its_end_is_refused(cut: int, tmp_path: Path) -> None:
    frame = frame_of(tmp_path, uid.JPEG2000Lossless)

    with pytest.raises(PixelDataError, match="cut short"):
        codecs.check_frame(frame[:-cut], FORM, "cut.dcm")


@pytest.mark.parametrize("frames", [5, 30])
def test_a_damaged_stream_names_its_file(frames: int, tmp_path: Path) -> None:
    """Few slices are decoded in this process, many in others."""
    path = write_series(tmp_path, VoxelGrid(shape=(frames, 33, 34)), syntax=uid.JPEG2000Lossless)[3]
    image = pydicom.dcmread(path)
    image.PixelData = encapsulate([b"\xff\x4f\xff\x51" + bytes(60)])
    image.save_as(path)

    with pytest.raises(PixelDataError, match=path.name):
        read_ct(tmp_path)


@pytest.mark.parametrize(
    ("side", "message"),
    [(8000, "cannot be 128000000 bytes"), (20, "RLE Lossless pixels cannot be decoded")],
)
def test_a_hostile_rle_size_is_an_error_and_not_an_abort(
    side: int, message: str, tmp_path: Path
) -> None:
    for path in write_series(tmp_path, VoxelGrid(shape=(2, 8, 10)), syntax=uid.RLELossless):
        image = pydicom.dcmread(path)
        image.Rows = image.Columns = side
        image.save_as(path)

    with pytest.raises(PixelDataError, match=message):
        read_ct(tmp_path)


def test_a_decoder_that_dies_is_an_error_that_names_the_file(tmp_path: Path) -> None:
    frame = frame_of(tmp_path, uid.JPEG2000Lossless)
    before = children_of(os.getpid())
    with codecs.decompressors(frames=100, threads=1) as (decompress, at_once):
        assert at_once == 1
        samples = decompress(frame, uid.JPEG2000Lossless, FORM, "good.dcm")
        assert samples.shape == (33, 34)
        (child,) = set(children_of(os.getpid())).difference(before)
        os.kill(child, signal.SIGKILL)

        with pytest.raises(PixelDataError, match=r"next.dcm: .*the decoder crashed"):
            decompress(frame, uid.JPEG2000Lossless, FORM, "next.dcm")


def test_no_decoder_outlives_its_use() -> None:
    before = children_of(os.getpid())
    with codecs.decompressors(frames=100, threads=2) as (_, at_once):
        assert len(children_of(os.getpid())) == len(before) + at_once

    assert children_of(os.getpid()) == before


def test_where_no_process_can_be_started_frames_are_decoded_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.executable", "/opt/blender/blender")
    frame = frame_of(tmp_path, uid.JPEG2000Lossless)

    with codecs.decompressors(frames=100, threads=2) as (decompress, at_once):
        here = decompress(frame, uid.JPEG2000Lossless, FORM, "good.dcm")

    assert at_once == 1
    assert here.dtype == np.uint16


def children_of(pid: int) -> list[int]:
    tasks = Path(f"/proc/{pid}/task")
    if not tasks.is_dir():
        pytest.skip("needs /proc to list child processes")
    return sorted(
        int(child) for task in tasks.iterdir() for child in (task / "children").read_text().split()
    )

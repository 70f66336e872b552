"""Series and volumes that are small on disk and claim to be vast."""

from __future__ import annotations

import gzip
import os
import struct
import zlib
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pydicom
from pydicom import uid
from pydicom.dataset import FileDataset
from pydicom.encaps import encapsulate

from tests.reading.fuzz.elements import elements, packed, replaced
from tests.reading.fuzz.seeds import nifti
from tests.reading.series import VoxelGrid, write_series

GRID = VoxelGrid(shape=(2, 33, 34))  # JPEG 2000 needs 32 pixels a side
END = 0xFFFFFFFF

Bomb = Callable[[Path], Path]


@cache
def zeros(mebibytes: int) -> bytes:
    """A raw deflate stream of so many zeros."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    return packer.compress(bytes(mebibytes << 20)) + packer.flush()


def changed(change: Callable[[bytes], bytes], syntax: uid.UID = uid.ExplicitVRLittleEndian) -> Bomb:
    """A series whose files are all changed alike."""

    def write(folder: Path) -> Path:
        for path in write_series(folder, GRID, syntax=syntax):
            path.write_bytes(change(path.read_bytes()))
        return folder

    return write


def edited(edit: Callable[[int, FileDataset], object], syntax: uid.UID) -> Bomb:
    """A compressed series whose headers are changed afterwards."""

    def write(folder: Path) -> Path:
        for k, path in enumerate(write_series(folder, GRID, syntax=syntax)):
            image = pydicom.dcmread(path)
            edit(k, image)
            image.save_as(path)
        return folder

    return write


def with_value(data: bytes, tag: int, value: bytes) -> bytes:
    """The file with another value in one element."""
    (element,) = [element for element in elements(data) if element.tag == tag]
    return replaced(data, element, value)


def before_rows(data: bytes, inserted: bytes) -> bytes:
    """The file with elements before (0028,0010)."""
    (rows,) = [element for element in elements(data) if element.tag == 0x00280010]
    return data[: rows.start] + inserted + data[rows.start :]


def sized(side: int) -> Callable[[int, FileDataset], None]:
    def edit(_k: int, image: FileDataset) -> None:
        image.Rows = image.Columns = side

    return edit


def sized_stream(side: int, place: int, code: str) -> Callable[[int, FileDataset], None]:
    """Header and code stream agree on a false size."""

    def edit(_k: int, image: FileDataset) -> None:
        image.Rows = image.Columns = side
        frame = bytearray(
            next(iter(pydicom.encaps.generate_frames(image.PixelData, number_of_frames=1)))
        )
        struct.pack_into(code, frame, place, side, side)
        image.PixelData = encapsulate([bytes(frame)])

    return edit


def deflated(mebibytes: int) -> Callable[[bytes], bytes]:
    def change(data: bytes) -> bytes:
        return data[: 144 + struct.unpack("<I", data[140:144])[0]] + zeros(mebibytes)

    return change


def undeclared_deflate(data: bytes) -> bytes:
    """The group length hides the transfer syntax from who trusts it."""
    return data[:140] + struct.pack("<I", 0) + deflated(100)(data)[144:]


def four_gigabytes(data: bytes) -> bytes:
    """(0008,0060) as unlimited text that claims 4 GiB."""
    (modality,) = [element for element in elements(data) if element.tag == 0x00080060]
    head = data[modality.start : modality.start + 4] + b"UT\0\0" + struct.pack("<I", END - 1)
    return data[: modality.start] + head + data[modality.value :]


def nested(depth: int) -> Callable[[bytes], bytes]:
    head = struct.pack("<HH2sHIHHI", 0x0008, 0x1140, b"SQ", 0, END, 0xFFFE, 0xE000, END)
    return lambda data: before_rows(data, head * depth)


def flooded(items: int) -> Callable[[bytes], bytes]:
    """A sequence of empty items."""
    head = struct.pack("<HH2sHI", 0x0008, 0x1140, b"SQ", 0, END)
    item = struct.pack("<HHI", 0xFFFE, 0xE000, 0)
    return lambda data: before_rows(
        data, head + item * items + struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)
    )


def numbered(data: bytes) -> bytes:
    """A position of half a million numbers."""
    (position,) = [element for element in elements(data) if element.tag == 0x00200032]
    new = struct.pack("<HH2sHI", 0x0020, 0x0032, b"UN", 0, 1_000_000) + b"1\\" * 500_000
    return data[: position.start] + new + data[position.end :]


def many_syntaxes(data: bytes) -> bytes:
    (syntax,) = [element for element in elements(data) if element.tag == 0x00020010]
    new = struct.pack("<HH2sHI", 2, 0x10, b"UN", 0, 1_000_000) + b"1\\" * 500_000
    return data[: syntax.start] + new + data[syntax.end :]


def sparse(folder: Path) -> Path:
    """An undefined length in a file of a tebibyte that takes no room on the disk."""
    head = struct.pack("<HH2sHI", 0x0009, 0x1001, b"OB", 0, END)
    for path in write_series(folder, GRID):
        path.write_bytes(before_rows(path.read_bytes(), head))
        os.truncate(path, 1 << 40)
    return folder


def sparse_zeros(folder: Path) -> Path:
    """A header that goes on as zeros, which are empty elements."""
    for path in write_series(folder, GRID):
        path.write_bytes(path.read_bytes()[:400])
        os.truncate(path, 1 << 40)
    return folder


def sparse_copies(folder: Path) -> Path:
    """Two files at one position, whose pixels would have to be compared."""

    def together(_k: int, image: FileDataset) -> None:
        image.ImagePositionPatient = ["0", "0", "0"]

    for path in write_series(folder, GRID, syntax=uid.JPEG2000Lossless, edit=together):
        path.write_bytes(path.read_bytes()[:-8])
        os.truncate(path, 1 << 40)
    return folder


def sparse_pixels(folder: Path) -> Path:
    for path in write_series(folder, GRID, syntax=uid.JPEG2000Lossless):
        path.write_bytes(path.read_bytes()[:-8])
        os.truncate(path, 1 << 40)
    return folder


def nifti_file(name: str, content: bytes) -> Bomb:
    def write(folder: Path) -> Path:
        folder.mkdir(exist_ok=True)
        path = folder / name
        path.write_bytes(content)
        return path

    return write


def gzip_of(head: bytes, mebibytes: int) -> bytes:
    member = gzip.compress(bytes(8 << 20), mtime=0)
    return gzip.compress(head, mtime=0) + member * (mebibytes // 8)


def declared(shape: tuple[int, int, int]) -> bytes:
    header = nifti("i2")
    return header[:42] + struct.pack("<3h", *shape) + header[48:]


LONG_EXTENSION = nifti("i2", extension=struct.pack("<4B2i", 1, 0, 0, 0, 0x7FFFFFF0, 6))
FAR_VOXELS = declared((5, 4, 3))[:108] + struct.pack("<f", 4e9) + declared((5, 4, 3))[112:]

BOMBS: dict[str, Bomb] = {
    "65535 rows and columns": edited(sized(65535), uid.RLELossless),
    "8192 rows and columns in RLE": edited(sized(8192), uid.RLELossless),
    "30000 pixels a side in JPEG 2000": edited(sized_stream(30000, 8, ">II"), uid.JPEG2000Lossless),
    "8192 pixels a side in JPEG 2000": edited(sized_stream(8192, 8, ">II"), uid.JPEG2000Lossless),
    "8192 pixels a side in JPEG-LS": edited(sized_stream(8192, 7, ">HH"), uid.JPEGLSLossless),
    "2000000000 frames": changed(
        lambda data: before_rows(data, packed(0x00280008, b"IS", b"2000000000"))
    ),
    "a text of 4 GB": changed(four_gigabytes),
    "a deflate bomb": changed(deflated(300), uid.DeflatedExplicitVRLittleEndian),
    "a deflate bomb below the limit": changed(deflated(3), uid.DeflatedExplicitVRLittleEndian),
    "a deflate bomb that hides its syntax": changed(
        undeclared_deflate, uid.DeflatedExplicitVRLittleEndian
    ),
    "10000 nested sequences": changed(nested(10_000)),
    "4 million items": changed(flooded(4_000_000)),
    "half a million coordinates": changed(numbered),
    "half a million syntaxes": changed(many_syntaxes),
    "a sparse header of 1 TiB": sparse,
    "a header and 1 TiB of zeros": sparse_zeros,
    "sparse pixels of 1 TiB": sparse_pixels,
    "sparse pixels of 1 TiB at one position": sparse_copies,
    "NIfTI of 32767 voxels a side": nifti_file("s.nii", declared((32767, 32767, 32767))),
    "NIfTI of 1000 voxels a side": nifti_file("s.nii", declared((1000, 1000, 1000))),
    "gzip of 1 GiB of zeros": nifti_file("s.nii.gz", gzip_of(declared((800, 800, 800)), 1024)),
    "gzip with an extension of 2 GiB": nifti_file("s.nii.gz", gzip_of(LONG_EXTENSION, 1024)),
    "gzip with voxels 4 GB later": nifti_file("s.nii.gz", gzip_of(FAR_VOXELS, 1024)),
}

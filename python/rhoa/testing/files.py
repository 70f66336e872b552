"""Defects of files: syntaxes, damage, hostile sizes, and what else lies in the folder."""

from __future__ import annotations

import copy
import struct
import zlib
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from rhoa.errors import require_extra
from rhoa.testing.draft import defect, ramp
from rhoa.testing.images import EXPLICIT_BIG, EXPLICIT_LITTLE, ROOT, decimals, lattice
from rhoa.testing.pixels import AIR_HU, known, outside_circle, overlay

if TYPE_CHECKING:
    from collections.abc import Callable

    from rhoa.testing.draft import Draft

IMPLICIT = "1.2.840.10008.1.2"
DEFLATED = "1.2.840.10008.1.2.1.99"
RLE = "1.2.840.10008.1.2.5"
JPEG_LS = "1.2.840.10008.1.2.4.80"
JPEG_LS_LOSSY = "1.2.840.10008.1.2.4.81"
J2K = "1.2.840.10008.1.2.4.90"
_CODEC = {JPEG_LS: "jpeg_ls", JPEG_LS_LOSSY: "jpeg_ls", J2K: "openjpeg"}

_PIXEL_ELEMENT = b"\xe0\x7f\x10\x00OW\0\0"
_CODE_STREAM = b"\xff\x4f\xff\x51"
_NEAR_LOSSLESS_HU = 3
_BOMB_BYTES = 128 << 20


def compressed(draft: Draft, syntax: str, **options: Any) -> None:  # noqa: ANN401  # an encoder's
    """Compress all slices now, so that what their headers say can be changed afterwards."""
    from pydicom.uid import UID

    if syntax in _CODEC:
        require_extra(_CODEC[syntax], extra="codecs", purpose="rhoa.testing")
    for image in draft.images:
        image.data.file_meta.TransferSyntaxUID = UID(EXPLICIT_LITTLE)
        image.data.compress(UID(syntax), generate_instance_uid=False, **options)
        image.syntax = ""


@defect("bigendian", "34", "explicit VR big endian")
def _bigendian(draft: Draft) -> None:
    draft.encode(EXPLICIT_BIG)


@defect("deflated", "35", "deflated explicit VR little endian")
def _deflated(draft: Draft) -> None:
    draft.encode(DEFLATED)


@defect("rle", "36", "RLE lossless")
def _rle(draft: Draft) -> None:
    compressed(draft, RLE)


@defect("implicit", "37", "implicit VR little endian")
def _implicit(draft: Draft) -> None:
    draft.encode(IMPLICIT)


@defect("jpeg-ls", "-", "JPEG-LS lossless")
def _jpeg_ls(draft: Draft) -> None:
    compressed(draft, JPEG_LS)


@defect("j2k", "-", "JPEG 2000 lossless")
def _j2k(draft: Draft) -> None:
    compressed(draft, J2K)


@defect(
    "j2k-signedness", "-", "signed by the header, unsigned by the JPEG 2000 stream", verdict="warn"
)
def _j2k_signedness(draft: Draft) -> None:
    draft.store(known(draft), intercept=0)
    compressed(draft, J2K)
    draft.tag(PixelRepresentation=1)


@defect("overlay-j2k", "-", "an overlay in bit 12, compressed along with the pixels")
def _overlay_j2k(draft: Draft) -> None:
    overlay(draft)
    compressed(draft, J2K)
    draft.tag(BitsStored=12, HighBit=11)


@defect("lossy", "-", "JPEG-LS near-lossless: HU are off by up to 3", verdict="warn")
def _lossy(draft: Draft) -> None:
    compressed(draft, JPEG_LS_LOSSY, jls_error=_NEAR_LOSSLESS_HU)
    draft.tag(LossyImageCompression="01")
    draft.tolerance_hu = _NEAR_LOSSLESS_HU


@defect("lossy-padding", "-", "padding of -2000 that lossy compression moved", verdict="warn")
def _lossy_padding(draft: Draft) -> None:
    hu = known(draft)
    outside = outside_circle(hu.shape, 0.48)
    drift = draft.random.integers(-315, 316, hu.shape)
    draft.store(np.where(outside, -2000 - 1024 + drift, hu), signed=True)
    draft.hu = np.where(outside, AIR_HU, hu)
    draft.tag(PixelPaddingValue=-2000, LossyImageCompression="01")


@defect("short-pixel-data", "28", "one slice has too few pixels", error="PixelDataError",
        repair=("drop", "gaps"))  # fmt: skip  # a row a defect
def _short_pixel_data(draft: Draft) -> None:
    _shorten(draft, draft.inside())


@defect("short-last-slice", "28", "the last slice has too few pixels", error="PixelDataError",
        repair=("drop",))  # fmt: skip  # a row a defect
def _short_last_slice(draft: Draft) -> None:
    _shorten(draft, -1)
    draft.hu = known(draft)[:-1]


def _shorten(draft: Draft, k: int) -> None:
    data = draft.images[k].data
    data.PixelData = data.PixelData[: len(data.PixelData) // 4 * 2]


@defect("excess-pixel-data", "28", "one slice has bytes after its pixels", verdict="warn")
def _excess_pixel_data(draft: Draft) -> None:
    draft.images[draft.inside()].data.PixelData += bytes(64)


@defect("no-pixel-data", "28", "one slice has no Pixel Data at all", error="PixelDataError",
        repair=("drop", "gaps"))  # fmt: skip  # a row a defect
def _no_pixel_data(draft: Draft) -> None:
    del draft.images[draft.inside()].data.PixelData


@defect("cut-file", "29", "one file ends inside its pixels", error="PixelDataError",
        repair=("drop", "gaps"))  # fmt: skip  # a row a defect
def _cut_file(draft: Draft) -> None:
    draft.images[draft.inside()].edit = lambda content: content[: -len(content) // 3]


@defect("cut-header", "29", "one file ends inside its header", error="ReadError",
        repair=("drop", "gaps"))  # fmt: skip  # a row a defect
def _cut_header(draft: Draft) -> None:
    draft.images[draft.inside()].edit = lambda content: content[:700]


@defect("four-gigabytes", "31", "one Pixel Data claims 4 GB", error="PixelDataError",
        repair=("drop", "gaps"))  # fmt: skip  # a row a defect
def _four_gigabytes(draft: Draft) -> None:
    def claim(content: bytes) -> bytes:
        place = content.rindex(_PIXEL_ELEMENT) + len(_PIXEL_ELEMENT)
        return content[:place] + struct.pack("<I", 0xFFFFFFFE) + content[place + 4 :]

    draft.images[draft.inside()].edit = claim


@defect("rows-65535", "30", "65535 x 65535 pixels are claimed", error="PixelDataError")
def _rows_65535(draft: Draft) -> None:
    draft.tag(Rows=65535, Columns=65535)
    draft.forget()


@defect("rows-65535-rle", "30", "65535 x 65535 RLE pixels are claimed", error="PixelDataError")
def _rows_65535_rle(draft: Draft) -> None:
    compressed(draft, RLE)
    _rows_65535(draft)


@defect("rows-8000-rle", "30", "8000 x 8000 RLE pixels are claimed", error="PixelDataError")
def _rows_8000_rle(draft: Draft) -> None:
    compressed(draft, RLE)
    draft.tag(Rows=8000, Columns=8000)
    draft.forget()


@defect(
    "rows-65535-j2k", "30", "65535 x 65535 JPEG 2000 pixels are claimed", error="PixelDataError"
)
def _rows_65535_j2k(draft: Draft) -> None:
    compressed(draft, J2K)
    _rows_65535(draft)
    for image in draft.images:
        image.edit = _stream_of(65535)


@defect("stream-size", "30", "the JPEG 2000 stream claims 60000 x 60000, the header does not",
        error="PixelDataError")  # fmt: skip  # a row a defect
def _stream_size(draft: Draft) -> None:
    compressed(draft, J2K)
    draft.images[draft.inside()].edit = _stream_of(60000)
    draft.forget()


def _stream_of(side: int) -> Callable[[bytes], bytes]:
    def claim(content: bytes) -> bytes:
        place = content.rindex(_CODE_STREAM) + 8
        return content[:place] + struct.pack(">II", side, side) + content[place + 8 :]

    return claim


@defect(
    "deflate-bomb", "-", "a deflated slice of 130 kB that inflates to 128 MiB", error="ReadError"
)
def _deflate_bomb(draft: Draft) -> None:
    def inflated(content: bytes) -> bytes:
        start = 144 + struct.unpack_from("<I", content, 140)[0]
        data = zlib.decompress(content[start:], -zlib.MAX_WBITS)
        head = data[: data.rindex(_PIXEL_ELEMENT)] + _PIXEL_ELEMENT
        deflate = zlib.compressobj(wbits=-zlib.MAX_WBITS)
        parts = [content[:start], deflate.compress(head + struct.pack("<I", _BOMB_BYTES))]
        parts += [deflate.compress(bytes(1 << 20)) for _ in range(_BOMB_BYTES >> 20)]
        return b"".join([*parts, deflate.flush()])

    image = draft.images[draft.inside()]
    image.syntax, image.edit = DEFLATED, inflated
    draft.forget()


@defect("foreign-files", "32", "a note, an empty file and a text named .dcm", verdict="repair")
def _foreign_files(draft: Draft) -> None:
    for name, content in (("notes.txt", "CANARY"), ("empty.dcm", ""), ("text.dcm", "CANARY" * 50)):
        draft.others.append(draft.folder / name)
        draft.others[-1].write_text(content)


@defect("symlink-loop", "33", "a link to the folder itself")
def _symlink_loop(draft: Draft) -> None:
    draft.others.append(draft.folder / "loop")
    draft.others[-1].symlink_to(draft.folder.resolve(), target_is_directory=True)


@defect("dicomdir-escape", "-", "a DICOMDIR that refers to files outside the folder")
def _dicomdir_escape(draft: Draft) -> None:
    from pydicom import config
    from pydicom.dataset import Dataset, FileDataset
    from pydicom.uid import MediaStorageDirectoryStorage

    meta = copy.deepcopy(draft.images[0].data.file_meta)
    meta.MediaStorageSOPClassUID = MediaStorageDirectoryStorage
    directory: Any = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    record: Any = Dataset()
    with config.disable_value_validation():
        record.DirectoryRecordType = "IMAGE"
        record.ReferencedFileID = ["..", "..", "..", "etc", "hostname"]
        directory.FileSetID = "CANARY"
        directory.DirectoryRecordSequence = [record]
        meta.TransferSyntaxUID = EXPLICIT_LITTLE
        draft.others.append(draft.folder / "DICOMDIR")
        directory.save_as(draft.others[-1], enforce_file_format=True)


@defect("polyglot", "-", "a preamble that makes each file a Windows program, too")
def _polyglot(draft: Draft) -> None:
    for image in draft.images:
        image.data.preamble = (
            b"MZ" + bytes(58) + struct.pack("<I", 128) + b"CANARY".ljust(64, b"\0")
        )


@defect("two-series", "07", "two series of one patient", error="AmbiguousSeriesError")
def _two_series(draft: Draft) -> None:
    dk, dj, di = draft.grid.spacing_mm
    finer = replace(draft.grid, spacing_mm=(dk / 2, dj, di))
    other = draft.slices(finer, known(draft) + 7, series="2")
    for image in other:
        image.data.ConvolutionKernel = "B60f"
    draft.images += other
    draft.forget()


@defect("stray-slice", "38", "one slice carries another SeriesInstanceUID", error="GeometryError",
        repair=("gaps",))  # fmt: skip  # a row a defect
def _stray_slice(draft: Draft) -> None:
    draft.images[draft.inside()].data.SeriesInstanceUID = f"{ROOT}2"


@defect("extra-slice", "38", "a series of one slice beside the scan")
def _extra_slice(draft: Draft) -> None:
    index = lattice((1, *draft.grid.shape[1:]))
    (image,) = draft.slices(draft.shaped(1), ramp(index) + 500, series="2")
    position = np.asarray(draft.grid.origin_mm) - 3.3 * draft.grid.spacing_mm[0] * draft.grid.normal
    image.data.ImagePositionPatient = decimals(position)
    draft.images.append(image)

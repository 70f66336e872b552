"""Pixels as pictures: grey levels, resizing without aliasing, PNG and TIFF files."""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING, Literal

import numpy as np

from rhoa._core import __version__

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import ArrayLike, NDArray

SOFTWARE, KIND = "Software", "kind"
"""Text fields of every picture that rhoa writes."""
_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_TIFF_DENOMINATOR = 10_000


def grey_range(pixels: NDArray[np.float32], saturate_percent: float = 0.0) -> tuple[float, float]:
    """The values shown as black and white: the range without ``saturate_percent`` at each end."""
    if pixels.size == 0:
        return 0.0, 1.0
    black, white = np.percentile(pixels, (saturate_percent, 100 - saturate_percent))
    return float(black), float(white)


def stretch(
    pixels: ArrayLike,
    *,
    saturate_percent: float = 0.0,
    bits: Literal[8, 16] = 8,
    ends: tuple[float, float] | None = None,
) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """Grey levels of an image, linear between the values of `grey_range`, or ``ends``.

    A constant image is black.

    Examples
    --------
    >>> stretch([[0.0, 50.0, 100.0]])
    array([[  0, 128, 255]], dtype=uint8)
    """
    image = np.asarray(pixels, np.float32)
    black, white = grey_range(image, saturate_percent) if ends is None else ends
    top = 2**bits - 1
    scale = top / (white - black) if white > black else 0.0
    levels = np.clip((image - black) * scale, 0, top) + 0.5
    return levels.astype(np.uint8) if bits == 8 else levels.astype(np.uint16)


def resize(image: NDArray[np.float32], rows: int, columns: int) -> NDArray[np.float32]:
    """``image`` over the same field at ``rows`` x ``columns`` pixels, bilinear, without aliasing.

    Where pixels grow, each new one averages the old ones it covers (a triangle as wide as the
    larger pixel).
    """
    height, width = image.shape
    down = resampling_matrix(height, rows, 0.0, height)
    across = resampling_matrix(width, columns, 0.0, width)
    return (down @ image @ across.T).astype(np.float32)


def resampling_matrix(length: int, count: int, start: float, stop: float) -> NDArray[np.float32]:
    """Weights ``(count, length)`` that resample the interval [start, stop) of a line of pixels.

    ``start`` and ``stop`` are pixel edges: pixel ``n`` covers [n, n + 1). Outside the line its end
    pixels are repeated.
    """
    step = (stop - start) / count
    centres = start + (np.arange(count) + 0.5) * step - 0.5
    reach = max(step, 1.0)
    taps = int(np.ceil(reach)) + 1
    source = np.floor(centres)[:, None] + np.arange(-taps, taps + 1)
    weights = np.maximum(0.0, 1.0 - np.abs(source - centres[:, None]) / reach)
    weights /= weights.sum(axis=1, keepdims=True)
    matrix = np.zeros((count, length), np.float32)
    lines = np.broadcast_to(np.arange(count)[:, None], source.shape)
    np.add.at(matrix, (lines, np.clip(source, 0, length - 1).astype(int)), weights)
    return matrix


def draw_box(
    grey: NDArray[np.uint8], top: float, left: float, bottom: float, right: float
) -> NDArray[np.uint8]:
    """The picture with a white rectangle on a black one, at pixel edges; for the eye."""
    marked = grey.copy()
    rows = np.clip(np.round([top, bottom - 1]).astype(int), 0, grey.shape[0] - 1)
    columns = np.clip(np.round([left, right - 1]).astype(int), 0, grey.shape[1] - 1)
    for inset, level in ((1, 0), (0, 255)):
        inward = np.array([inset, -inset])
        (first, last), (start, stop) = rows + inward, columns + inward
        marked[[first, last], start : stop + 1] = level
        marked[first : last + 1, [start, stop]] = level
    return marked


def picture_label(kind: str, **facts: str) -> dict[str, str]:
    """Text fields of a PNG that say what rhoa wrote: ``"ct-ap"``, ``"xray"``, ``"crop"``, ...

    Examples
    --------
    >>> picture_label("ct-ap", black="0.0")["kind"]
    'ct-ap'
    """
    return {SOFTWARE: f"rhoa {__version__}", KIND: kind, **facts}


def encode_png(
    grey: NDArray[np.uint8] | NDArray[np.uint16],
    *,
    pixel_mm: float | None = None,
    text: Mapping[str, str] | None = None,
) -> bytes:
    """A grey PNG file of 8 or 16 bits, with its pixel size and Latin-1 text fields."""
    rows, columns = grey.shape
    depth = grey.dtype.itemsize * 8
    lines = np.ascontiguousarray(grey.astype(grey.dtype.newbyteorder(">")))
    raw = np.zeros(
        (rows, 1 + columns * grey.dtype.itemsize), np.uint8
    )  # filter byte 0, then pixels
    raw[:, 1:] = lines.view(np.uint8).reshape(rows, -1)
    chunks = [_chunk(b"IHDR", struct.pack(">IIBBBBB", columns, rows, depth, 0, 0, 0, 0))]
    if pixel_mm is not None:
        per_metre = round(1000 / pixel_mm)
        chunks.append(_chunk(b"pHYs", struct.pack(">IIB", per_metre, per_metre, 1)))
    for key, value in (text or {}).items():
        chunks.append(_chunk(b"tEXt", f"{key}\0{value}".encode("latin-1", "replace")))
    chunks.append(_chunk(b"IDAT", zlib.compress(raw.tobytes(), 6)))
    chunks.append(_chunk(b"IEND", b""))
    return _PNG_SIGNATURE + b"".join(chunks)


def encode_tiff(pixels: NDArray[np.float32], *, pixel_mm: float | None = None) -> bytes:
    """A grey TIFF file of the float32 values themselves, with the size of its square pixels.

    One uncompressed strip, as the TIFF 6.0 specification has it for IEEE floating point samples.
    """
    rows, columns = pixels.shape
    samples = np.ascontiguousarray(pixels, "<f4").tobytes()
    short, long, rational = (3, "H"), (4, "I"), (5, "I")
    per_cm = round(10 / (pixel_mm or 1.0) * _TIFF_DENOMINATOR)
    fields = [
        (256, long, columns),
        (257, long, rows),
        (258, short, 32),  # bits
        (259, short, 1),  # no compression
        (262, short, 1),  # zero is black
        (273, long, 0),  # where the strip starts, below
        (277, short, 1),  # sample a pixel
        (278, long, rows),
        (279, long, len(samples)),
        (282, rational, 0),
        (283, rational, 0),
        (296, short, 1 if pixel_mm is None else 3),  # resolution: no unit, or centimetres
        (339, short, 3),  # IEEE floating point
    ]
    ratio = 8 + 2 + 12 * len(fields) + 4
    places = {273: ratio + 8, 282: ratio, 283: ratio}
    directory = struct.pack("<H", len(fields))
    for tag, (kind, code), value in fields:
        word = struct.pack(f"<{code}", places.get(tag, value)).ljust(4, b"\0")
        directory += struct.pack("<HHI", tag, kind, 1) + word
    head = b"II*\0" + struct.pack("<I", 8) + directory + struct.pack("<I", 0)
    return head + struct.pack("<II", per_cm, _TIFF_DENOMINATOR) + samples


def _chunk(kind: bytes, body: bytes) -> bytes:
    checksum = zlib.crc32(kind + body)
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", checksum)

"""Pixels as pictures: grey levels, resizing without aliasing, PNG and TIFF files."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from rhoa._core import __version__

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import ArrayLike, NDArray

SOFTWARE, KIND = "Software", "kind"
"""Text fields of every picture that rhoa writes."""
MM_PER_INCH = 25.4
_RESOLUTION_UNIT, _NO_UNIT = 296, 1  # of TIFF


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
    """A grey PNG file of 8 or 16 bits, with its pixel size and text fields."""
    from PIL.PngImagePlugin import PngInfo

    fields = PngInfo()
    for key, value in (text or {}).items():
        fields.add_text(key, value)
    dots = {} if pixel_mm is None else {"dpi": (MM_PER_INCH / pixel_mm,) * 2}
    # Level 6 takes two to five times as long, for a tenth less.
    return _encoded(grey, "PNG", pnginfo=fields, compress_level=1, **dots)


def encode_tiff(pixels: NDArray[np.float32], *, pixel_mm: float | None = None) -> bytes:
    """A grey TIFF file of the float32 values themselves, with the size of its square pixels."""
    if pixel_mm is None:
        return _encoded(pixels, "TIFF", tiffinfo={_RESOLUTION_UNIT: _NO_UNIT})
    return _encoded(pixels, "TIFF", resolution=10 / pixel_mm, resolution_unit="cm")


def _encoded(pixels: NDArray[Any], kind: str, **options: object) -> bytes:
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind, **options)
    return file.getvalue()

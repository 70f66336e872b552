"""The one reader of PNG, TIFF and JPEG pictures: X-rays and crops, here, in training, on pages.

A picture is one image of grey levels, of 1 to 16 bits, 32-bit integers or floats; or one in colour
whose channels are alike, opaque. It is turned as its EXIF orientation says.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from rhoa.errors import MissingFileError, PixelDataError, ViewError
from rhoa.hips.greys import check_size
from rhoa.reading.bounded import shown

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path

    from numpy.typing import NDArray
    from PIL.Image import Image

SIGNATURES = {
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"\xff\xd8\xff": "JPEG",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
}
_GREY_MODES = frozenset(["1", "L", "I", "I;16", "I;16B", "I;16L", "F"])
_COLOUR_MODES = frozenset(["RGB", "RGBA", "RGBX", "LA", "La", "P", "PA"])
_HEAD_BYTES = 16
_BITS, _PHOTOMETRIC, _WHITE_IS_ZERO = 258, 262, 0  # of TIFF
_MM_PER_INCH = 25.4
_SHADES = 4
"""Levels that the channels of a grey picture may differ by: JPEG rounds."""
_BRIGHTNESS = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """Pixels as a viewer shows them, and what the file says of them."""

    pixels: NDArray[np.float32]
    """The values of the file, neither scaled nor rounded."""
    format: str
    mode: str
    pixel_mm: tuple[float, float] | None
    """As the file claims; often the resolution of a printer."""
    white: float | None
    """The largest value that its bits can hold; None of 32-bit integers and floats."""
    text: Mapping[str, str]
    """Text fields of a PNG."""


def picture_format(head: bytes) -> str:
    """PNG, JPEG or TIFF, by the first bytes of a file; empty for whatever else."""
    return next((kind for sign, kind in SIGNATURES.items() if head.startswith(sign)), "")


def read_picture(path: Path, accept: Collection[str] = (), *, kind: str | None = None) -> Picture:
    """The picture in a file.

    Parameters
    ----------
    path
        What a file is, its content tells, not its name.
    accept
        ``"colour"``: a picture that is not grey; its brightness is taken.
    kind
        ``"PNG"``, ``"JPEG"`` or ``"TIFF"``, where the caller has looked already.

    Raises
    ------
    MissingFileError
        If there is nothing at that path.
    PixelDataError
        If it is damaged, too large, of several frames, or no image of grey levels.
    ViewError
        If it is in colour, and that is not accepted.
    """
    name = shown(path)
    kind = _kind(path, name) if kind is None else kind
    try:
        from PIL import Image

        # Its size is checked before its pixels are read.
        with Image.open(path, formats=[kind]) as picture:
            _check(picture, name)
            mode, size, white = picture.mode, _claimed_mm(picture), _white(picture)
            text = {str(key): one for key, one in picture.info.items() if isinstance(one, str)}
            samples = _samples(picture, white)
    except PixelDataError:
        raise
    except Exception as error:  # noqa: BLE001  # Pillow raises whatever its parsers met
        raise PixelDataError(
            f"{name}: not a readable {kind} picture ({type(error).__name__}); it is damaged or cut "
            "short: export it again."
        ) from None
    pixels = samples if samples.ndim == 2 else _grey(samples, name, accept)
    if not np.isfinite(pixels).all():
        raise PixelDataError(f"{name}: some of its pixels are no finite numbers; export it again.")
    return Picture(pixels, kind, mode, size, white, text)


def _kind(path: Path, name: str) -> str:
    if not os.path.isfile(path):  # noqa: PTH113  # Path.is_file raises where a name is too long
        raise MissingFileError(f"{name}: no such picture; check the path.")
    with path.open("rb") as file:
        kind = picture_format(file.read(_HEAD_BYTES))
    if not kind:
        raise PixelDataError(f"{name}: no PNG, TIFF or JPEG picture; export it as one of these.")
    return kind


def _check(picture: Image, name: str) -> None:
    """Check what its header tells, before its pixels are read."""
    columns, rows = picture.size
    check_size(name, rows, columns)
    frames, mode = getattr(picture, "n_frames", 1), picture.mode
    if frames != 1 or mode not in _GREY_MODES | _COLOUR_MODES:
        raise PixelDataError(
            f"{name}: one grey image is needed; this picture has {frames} frames of mode {mode}: "
            "save it as 8- or 16-bit grey."
        )


def _white(picture: Image) -> float | None:
    if picture.mode in {"I", "F"}:
        return None
    if not picture.mode.startswith("I;16"):
        return 255.0
    bits = getattr(picture, "tag_v2", {}).get(_BITS, (16,))
    return float(2 ** int(np.ravel(bits)[0]) - 1)


def _samples(picture: Image, white: float | None) -> NDArray[np.float32]:
    """Float32 levels (rows, columns), or (rows, columns, channels) with the last opaque."""
    from PIL import ImageOps

    negative = getattr(picture, "tag_v2", {}).get(_PHOTOMETRIC) == _WHITE_IS_ZERO
    upright = ImageOps.exif_transpose(picture)
    if upright.mode == "1":
        upright = upright.convert("L")
    elif upright.mode in _COLOUR_MODES:
        alpha = upright.mode in {"RGBA", "LA", "La", "PA"} or "transparency" in upright.info
        upright = upright.convert("RGBA" if alpha else "RGB")
    samples = np.asarray(upright, np.float32)
    if negative and white is not None and picture.mode.startswith("I;16"):
        # Pillow turns these around where they have 8 bits, not where they have 16.
        samples = np.float32(white) - samples
    return samples


def _grey(samples: NDArray[np.float32], name: str, accept: Collection[str]) -> NDArray[np.float32]:
    if samples.shape[2] == 4 and samples[..., 3].min() < 255:
        raise PixelDataError(
            f"{name}: the picture is partly transparent; save it as 8- or 16-bit grey."
        )
    red, green, blue = (samples[..., channel] for channel in range(3))
    apart = max(float(np.abs(red - green).max()), float(np.abs(green - blue).max()))
    if apart == 0:
        return red.copy()
    if apart > _SHADES and "colour" not in accept:
        raise ViewError(
            f"{name}: a colour picture; an X-ray or a crop is one grey image: save it as grey, or "
            'pass accept="colour" to take its brightness.'
        )
    return np.asarray(samples[..., :3] @ _BRIGHTNESS, np.float32)


def _claimed_mm(picture: Image) -> tuple[float, float] | None:
    """Rows, columns; from pHYs of PNG, resolution of TIFF, density of JPEG."""
    try:
        across, down = (float(dots) for dots in picture.info["dpi"])
    except (KeyError, TypeError, ValueError, ZeroDivisionError):
        return None
    if not (np.isfinite([across, down]).all() and min(across, down) > 0):
        return None
    return _MM_PER_INCH / down, _MM_PER_INCH / across

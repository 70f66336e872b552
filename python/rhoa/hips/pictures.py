"""PNG, TIFF and JPEG pictures of X-rays: one grey image, or one in colour that is grey."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from rhoa.errors import MissingFileError, PixelDataError, require_extra
from rhoa.hips.greys import check_size
from rhoa.hips.refusals import refuse
from rhoa.picture import decode_png
from rhoa.reading.bounded import shown

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    from numpy.typing import NDArray

SIGNATURES = {
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"\xff\xd8\xff": "JPEG",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
}
_GREY_MODES = frozenset(["1", "L", "I", "I;16", "I;16B", "I;16L", "F"])
_COLOUR_MODES = frozenset(["RGB", "RGBA", "RGBX", "LA", "La", "P", "PA"])
_PNG_HEADER = 33  # bytes of its signature and first chunk
_MOST_PNG_BYTES = 1 << 28
_PHOTOMETRIC, _WHITE_IS_ZERO = 262, 0  # of TIFF
_MM_PER_INCH = 25.4
_SHADES = 4
"""Levels that the channels of a grey picture may differ by: JPEG rounds."""
_BRIGHTNESS = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """Pixels as a viewer shows them, and the size that the file claims for them."""

    pixels: NDArray[np.float32]
    format: str
    mode: str
    pixel_mm: tuple[float, float] | None


def picture_format(head: bytes) -> str:
    """PNG, JPEG or TIFF, by the first bytes of a file; empty for whatever else."""
    return next((kind for sign, kind in SIGNATURES.items() if head.startswith(sign)), "")


def read_picture(path: Path, kind: str, accept: Collection[str]) -> Picture:
    """The picture in a file of this ``kind`` of format.

    Raises
    ------
    PixelDataError
        If it is damaged, too large, of several frames, or no image of grey levels.
    ViewError
        If it is in colour, and that is not accepted.
    MissingExtraError
        If Pillow is not installed.
    """
    pillow = require_extra("PIL.Image", extra="train", purpose="reading X-ray pictures")
    name = shown(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of odd metadata; sizes are checked here
            with pillow.open(path, formats=[kind]) as picture:
                _check(picture, name)
                mode, size = picture.mode, _claimed_mm(picture)
                samples = _samples(picture)
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
    return Picture(pixels, kind, mode, size)


def read_levels(path: Path) -> NDArray[np.float32]:
    """The grey levels of a picture; those that rhoa wrote need no Pillow.

    Raises
    ------
    MissingFileError
        If there is nothing at that path.
    PixelDataError, ViewError, MissingExtraError
        As `read_picture`; also if it is no picture at all.
    """
    name = shown(path)
    if not path.is_file():
        raise MissingFileError(f"{name}: no such picture.")
    with path.open("rb") as file:
        head = file.read(_PNG_HEADER)
        kind = picture_format(head)
        if not kind:
            raise PixelDataError(f"{name}: no PNG, TIFF or JPEG picture; crops are such files.")
        if kind == "PNG" and len(head) == _PNG_HEADER:
            columns, rows = (int.from_bytes(head[at : at + 4], "big") for at in (16, 20))
            check_size(name, rows, columns)
            own = decode_png(head + file.read(_MOST_PNG_BYTES))
            if own is not None:
                return own.astype(np.float32)
    return read_picture(path, kind, ()).pixels


def _check(picture: Any, name: str) -> None:  # noqa: ANN401  # Pillow's image
    """Check what its header tells, before its pixels are read."""
    columns, rows = picture.size
    check_size(name, rows, columns)
    frames, mode = getattr(picture, "n_frames", 1), picture.mode
    if frames != 1 or mode not in _GREY_MODES | _COLOUR_MODES:
        raise PixelDataError(
            f"{name}: an X-ray is one grey image; this picture has {frames} frames of mode {mode}: "
            "save it as 8- or 16-bit grey."
        )


def _samples(picture: Any) -> NDArray[np.float32]:  # noqa: ANN401  # Pillow's image
    """Float32 levels (rows, columns), or (rows, columns, channels) with the last opaque."""
    from PIL import ImageOps

    mode = picture.mode
    tags = getattr(picture, "tag_v2", {})
    if mode.startswith("I;16") and tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO:
        # Pillow turns these around where they have 8 bits, not where they have 16.
        turned = 65535.0 - np.asarray(ImageOps.exif_transpose(picture), np.float32)
        return np.asarray(turned, np.float32)
    if mode in _COLOUR_MODES:
        alpha = mode in {"RGBA", "LA", "La", "PA"} or "transparency" in picture.info
        picture = picture.convert("RGBA" if alpha else "RGB")
    return np.asarray(ImageOps.exif_transpose(picture), np.float32)


def _grey(samples: NDArray[np.float32], name: str, accept: Collection[str]) -> NDArray[np.float32]:
    if samples.shape[2] == 4 and samples[..., 3].min() < 255:
        raise PixelDataError(
            f"{name}: the picture is partly transparent; save it as 8- or 16-bit grey."
        )
    red, green, blue = (samples[..., channel] for channel in range(3))
    apart = max(float(np.abs(red - green).max()), float(np.abs(green - blue).max()))
    if apart == 0:
        return red.copy()
    if apart > _SHADES:
        refuse("colour", f"{name}: a colour picture; an X-ray is one grey image", accept)
    return np.asarray(samples[..., :3] @ _BRIGHTNESS, np.float32)


def _claimed_mm(picture: Any) -> tuple[float, float] | None:  # noqa: ANN401  # Pillow's image
    """Rows, columns; from pHYs of PNG, resolution of TIFF, density of JPEG."""
    try:
        across, down = (float(dots) for dots in picture.info["dpi"])
    except (KeyError, TypeError, ValueError, ZeroDivisionError):
        return None
    if not (np.isfinite([across, down]).all() and min(across, down) > 0):
        return None
    return _MM_PER_INCH / down, _MM_PER_INCH / across

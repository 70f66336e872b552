"""X-ray files as radiographs."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rhoa.errors import (
    MissingFileError,
    PixelDataError,
    ReadError,
    RhoaWarning,
    require_extra,
    require_positive,
)
from rhoa.radiograph import Radiograph

if TYPE_CHECKING:
    from os import PathLike

    from numpy.typing import NDArray

PICTURES = (".png", ".jpg", ".jpeg", ".tif", ".tiff")


def read_xray(path: str | PathLike[str], *, pixel_mm: float | None = None) -> Radiograph:
    """An AP X-ray as a `Radiograph`: bone bright, the patient's right at column 0.

    Parameters
    ----------
    path
        A DICOM file, or a PNG, JPEG or TIFF picture (needs Pillow, which ``rhoa[train]`` brings).
    pixel_mm
        Pixel size, for pictures, which rarely know it; overrides what a DICOM file states.

    Raises
    ------
    ReadError
        If the file is absent, no image, of several frames, in colour, or its pixel size is unknown.
    """
    path = Path(path)
    if not path.is_file():
        raise MissingFileError(f"{path.name}: no such X-ray file; check the path.")
    if path.suffix.lower() in PICTURES:
        pixels, size = _picture(path), None
    else:
        pixels, size = _dicom(path)
    if pixels.ndim != 2:
        raise PixelDataError(f"{path.name}: an X-ray is one grey image; got shape {pixels.shape}.")
    if pixel_mm is not None:
        step = require_positive("pixel_mm", pixel_mm)
        size = (step, step)
    if size is None:
        raise ReadError(f"{path.name}: its pixel size is unknown; pass pixel_mm=.")
    return Radiograph(pixels, size, provenance={"kind": "X-ray"})


def _picture(path: Path) -> NDArray[np.float32]:
    pillow = require_extra("PIL.Image", extra="train", purpose="reading X-ray pictures")
    try:
        with pillow.open(path) as picture:
            frames, mode = getattr(picture, "n_frames", 1), picture.mode
            pixels = np.asarray(picture, np.float32)
    except (OSError, SyntaxError) as error:
        raise PixelDataError(f"{path.name}: not a readable picture ({error}).") from None
    if frames > 1 or not mode.startswith(("1", "L", "I", "F")) or pixels.ndim != 2:
        raise PixelDataError(
            f"{path.name}: an X-ray is one grey image; this picture has {frames} frames of mode "
            f"{mode}. Save it as 8- or 16-bit grey."
        )
    return pixels


def _dicom(path: Path) -> tuple[NDArray[np.float32], tuple[float, float] | None]:
    import pydicom

    try:
        dataset = pydicom.dcmread(path)
    except pydicom.errors.InvalidDicomError:
        raise ReadError(f"{path.name}: not a DICOM file, and no PNG, JPEG or TIFF.") from None
    if "PixelData" not in dataset:
        raise PixelDataError(f"{path.name}: this DICOM file holds no image.")
    try:
        pixels = dataset.pixel_array.astype(np.float32)
    except (AttributeError, RuntimeError, ValueError, NotImplementedError) as error:
        raise PixelDataError(
            f"{path.name}: its pixels cannot be decoded ({error}); "
            "compressed files may need pip install 'rhoa[codecs]'."
        ) from None
    photometric = dataset.get("PhotometricInterpretation")
    if photometric == "MONOCHROME1":
        pixels = pixels.max(initial=0) - pixels
    elif photometric != "MONOCHROME2":
        raise PixelDataError(f"{path.name}: an X-ray is grey; this image is {photometric}.")
    return _right_first(pixels, dataset, path.name), _pixel_size(dataset)


def _pixel_size(dataset: Any) -> tuple[float, float] | None:  # noqa: ANN401  # untyped in pydicom
    for name in ("PixelSpacing", "ImagerPixelSpacing"):
        size = np.atleast_1d(np.asarray(dataset.get(name) or (), np.float64))
        if size.shape == (2,) and np.isfinite(size).all() and size.min() > 0:
            return float(size[0]), float(size[1])
    return None


def _right_first(
    pixels: NDArray[np.float32],
    dataset: Any,  # noqa: ANN401  # untyped in pydicom
    name: str,
) -> NDArray[np.float32]:
    """The image turned so that columns run to the patient's left and rows to the feet."""
    along = [str(part) for part in dataset.get("PatientOrientation") or ()]
    if len(along) != 2 or not set(along[0]) & {"L", "R"} or not set(along[1]) & {"F", "H"}:
        warnings.warn(
            f"{name}: it does not say where the patient's left is; taken to be on the right.",
            RhoaWarning,
            stacklevel=4,
        )
        return pixels
    columns, rows = along
    pixels = pixels if "L" in columns else pixels[:, ::-1]
    return pixels if "F" in rows else pixels[::-1]

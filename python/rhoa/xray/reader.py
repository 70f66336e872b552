"""X-ray files as radiographs: DICOM, and the one reader of PNG, TIFF and JPEG pictures."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from rhoa.dicom.codecs import LOSSY
from rhoa.dicom.header import SkippedFileError, unreadable
from rhoa.errors import (
    MissingFileError,
    PixelDataError,
    ReadError,
    ViewError,
    WarningCollector,
    require_choice,
    require_positive,
    warn_user,
)
from rhoa.files import shown
from rhoa.radiograph import UNKNOWN_SIZE, Radiograph
from rhoa.raster import MM_PER_INCH
from rhoa.xray.grey_levels import check_size, greys_of, read_tags
from rhoa.xray.margins import content, is_round
from rhoa.xray.refusals import HIPS, Extent, accepted, check_shape, check_tags, film_hips, refuse

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from os import PathLike

    from numpy.typing import NDArray
    from PIL.Image import Image

    from rhoa.xray.grey_levels import Tags
    from rhoa.xray.refusals import Hips


# The one reader of PNG, TIFF and JPEG pictures: X-rays and crops, here, in training, on pages.
#
# A picture is one image of grey levels, of 1 to 16 bits, 32-bit integers or floats; or one in
# colour whose channels are alike, opaque. It is turned as its EXIF orientation says.

SIGNATURES = {
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"\xff\xd8\xff": "JPEG",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
}
_GREY_MODES = frozenset(["1", "L", "I", "I;16", "I;16B", "I;16L", "F"])
_COLOUR_MODES = frozenset(["RGB", "RGBA", "RGBX", "LA", "La", "P", "PA"])
_PICTURE_HEAD_BYTES = 16
_BITS, _PHOTOMETRIC, _WHITE_IS_ZERO = 258, 262, 0  # of TIFF
_SHADES = 4
"""Levels that the channels of a grey picture may differ by: JPEG rounds."""
_BRIGHTNESS = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601


@dataclass(frozen=True, slots=True, eq=False)
class DisplayedImage:
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


def read_picture(
    path: Path, accept: Collection[str] = (), *, kind: str | None = None
) -> DisplayedImage:
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
    if kind is None:
        if not os.path.isfile(path):  # noqa: PTH113  # Path.is_file raises where a name is too long
            raise MissingFileError(f"{name}: no such picture; check the path.")
        with path.open("rb") as file:
            kind = picture_format(file.read(_PICTURE_HEAD_BYTES))
        if not kind:
            raise PixelDataError(
                f"{name}: no PNG, TIFF or JPEG picture; export it as one of these."
            )
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
    return DisplayedImage(pixels, kind, mode, size, white, text)


def _check(picture: Image, name: str) -> None:
    """Check what its header says, before its pixels are read."""
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
    return MM_PER_INCH / down, MM_PER_INCH / across


# X-ray files as radiographs.

PICTURES = (".png", ".jpg", ".jpeg", ".tif", ".tiff")
MOST_MAGNIFICATION = 3.0
"""A detector is never farther from the source than this times the patient."""
_HEAD_BYTES = 132
_SAME_SHARE = 1e-3  # by which two spacings that are the same may differ in their decimals


class _Read(NamedTuple):
    """An image as its file has it, turned upright."""

    pixels: NDArray[np.float32]
    pixel_mm: tuple[float, float] | None
    facts: dict[str, Any]
    words: Mapping[str, str] = MappingProxyType({})
    """What the header says, by element."""


def read_xray(
    path: str | PathLike[str],
    *,
    pixel_mm: float | Literal["file", "optional"] | None = None,
    side: Hips | None = None,
    voi: bool = False,
    accept: str | Collection[str] = (),
    strict: bool = False,
) -> Radiograph:
    """A frontal X-ray of a hip or the pelvis: bone bright, the patient's right at column 0.

    Grey levels are those of the file after its Modality LUT (or rescaling), turned around where
    small values mean bright, so that nothing is clipped. Rows run from superior to inferior as
    PatientOrientation has it; the image is flipped or transposed, never interpolated.

    Parameters
    ----------
    path
        A DICOM file (computed or digital radiography, digitised film, secondary capture), or a PNG,
        TIFF or JPEG picture of grey levels: 1 to 16 bits, floats, or in colour with equal
        channels; turned as EXIF says. What a file is, its content tells, not its name.
    pixel_mm
        Size of the square pixels; overrides what a DICOM file states. A picture needs it, for its
        resolution often is that of a printer; "file" takes the picture's word for it. "optional":
        where no size is stated, or the file is a picture, pixels are taken as 1 mm wide, for work
        that is done in pixels; ``provenance["pixel_mm_from"]`` is then "unknown".
    side
        What the image shows: ``"left"`` or ``"right"``, that hip alone, or ``"both"``. Default:
        what its elements and its size say, as ``provenance["hip"]`` and ``["hip_from"]`` tell.
    voi
        Whether to apply the file's first VOI LUT, or else window, as a viewer does. It makes files
        of unlike devices more alike, and may clip; the paper does not mention it.
    accept
        Refusals to overrule, by name: in a collection, or in a string with commas between.

        * ``"modality"``: an image of CT, MR, ultrasound or whatever makes no X-rays.
        * ``"part"``: BodyPartExamined, AnatomicRegionSequence, ViewCodeSequence or a description
          names another part of the body, and none before it a hip or the pelvis.
        * ``"view"``: ViewPosition, ViewCodeSequence, PatientOrientation or, where these are empty,
          a description is that of a lateral, oblique or other view that is not frontal.
        * ``"raw"``: PresentationIntentType is FOR PROCESSING.
        * ``"text"``: BurnedInAnnotation is YES.
        * ``"size"``: fewer than 64 pixels a side, one side more than 2.5 times the other, or a
          longer side that is not 50 to 1600 mm by the file's own pixel size.
        * ``"shutter"``: ShutterShape is CIRCULAR, or the image is a disc: fluoroscopy.
        * ``"colour"``: a picture that is not grey; its brightness is taken.
        * ``"side"``: elements contradict each other on the side, or ``side``; they are left aside.
        * ``"half"``, ``"outside"``, ``"box"``: of boxes of hips, where some are given: one lies in
          the half of the other side, partly outside the image, or is not 40 to 200 mm wide.

        Empty elements, and words that are not known, are no reason to refuse.
    strict
        Whether what is otherwise a `RhoaWarning` (the side of the patient's left is not stated,
        elements contradict each other) is an error.

    Returns
    -------
    Radiograph
        ``pixel_mm`` is the first of what is stated: a calibrated PixelSpacing (one with a
        PixelSpacingCalibrationType, other than ImagerPixelSpacing, or alone);
        ImagerPixelSpacing divided by EstimatedRadiographicMagnificationFactor; ImagerPixelSpacing,
        which is the detector's, where everything is magnified; NominalScannedPixelSpacing.

        ``provenance`` tells ``pixel_mm_from`` (which was taken), ``lossy``, ``photometric``,
        ``inverted``, ``modality_lut``, ``voi``, ``sides`` (what tells where the left is), ``hip``
        (``"left"`` or ``"right"`` of an image of one hip, ``"unknown"`` where that has to be asked
        for before it is cut into halves, empty for both hips), ``hip_from`` (what told it, or why
        it is unknown), ``padding_pixels`` (which reach the
        border, and were set to the darkest level), ``accepted``, and ``content_px``, the rectangle
        (top, left, bottom, right) between dark or bright margins (see `rhoa.hips.content`). Margins
        are not cut off: that would move the midline and every box drawn on the file;
        `rhoa.hips.prepare` leaves them out when it takes the range of grey levels.

    Raises
    ------
    ReadError
        If the file is absent, damaged, of several frames, too large, no grey image, or its pixel
        size is unknown; `ViewError` if it is refused for what it shows, or if two of its elements
        contradict each other, or ``side``, on the side.
    MissingExtraError
        If its decoder is not installed.

    References
    ----------
    Gebre et al. 2022, "X-ray images": hips of pelvic X-rays, pixels of 0.16 +- 0.02 mm.

    DICOM PS3.3, C.7.6.3.1.2 (grey levels), C.7.6.1.1.1 (orientation), 10.7 (pixel spacing).
    """
    path, overruled = Path(path), accepted(accept)
    if side is not None:
        require_choice("side", side, HIPS)
    wish = pixel_mm if isinstance(pixel_mm, str) else None
    step = None
    if pixel_mm is not None and wish not in {"file", "optional"}:
        step = require_positive("pixel_mm", pixel_mm)
    findings = WarningCollector(strict)
    kind = _kind(path)
    if kind:
        read = _read_picture(path, kind, overruled, trusted=wish == "file")
    else:
        read = _read_dicom(path, overruled, voi=voi, findings=findings)
    size, facts = read.pixel_mm, read.facts
    if step is not None:
        size, facts["pixel_mm_from"] = (step, step), "given"
    elif size is None and wish == "optional":
        size, facts["pixel_mm_from"] = (1.0, 1.0), UNKNOWN_SIZE
    if is_round(read.pixels):
        refuse("shutter", f"{shown(path)}: a disc, as a circular shutter of fluoroscopy", overruled)
    inner = content(read.pixels)
    known = size if facts["pixel_mm_from"] != UNKNOWN_SIZE else None
    hips = film_hips(
        shown(path),
        read.words,
        Extent.of(inner, known),
        side=side,
        accept=overruled,
        findings=findings,
    )
    for message in findings.warnings:
        warn_user(message)
    if size is None:
        remedy = "pass pixel_mm=" + (
            ' with its size, or pixel_mm="file" to trust its resolution' if kind else ""
        )
        raise ReadError(f"{shown(path)}: its pixel size is unknown; {remedy}.")
    facts |= {"hip": "" if hips.shows == "both" else hips.shows, "hip_from": hips.source}
    facts |= {"accepted": sorted(overruled), "content_px": list(inner)}
    return Radiograph(read.pixels, size, provenance={"kind": "X-ray", **facts})


def _kind(path: Path) -> str:
    """PNG, JPEG or TIFF; empty for DICOM.

    Raises
    ------
    ReadError
        If it is no file, cannot be opened, or is none of these.
    """
    if not os.path.isfile(path):  # noqa: PTH113  # Path.is_file raises where a name is too long
        raise MissingFileError(f"{shown(path)}: no such X-ray file; check the path.")
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
    except OSError as error:
        raise unreadable(shown(path), error) from None
    dicom = head[128:] == b"DICM"  # a preamble may look like TIFF
    kind = "" if dicom else picture_format(head)
    if not dicom and not kind:
        raise ReadError(
            f"{shown(path)}: not a DICOM file, and no PNG, JPEG or TIFF; export the X-ray as DICOM."
        )
    return kind


def _read_picture(path: Path, kind: str, overruled: Collection[str], *, trusted: bool) -> _Read:
    picture = read_picture(path, overruled, kind=kind)
    rows, columns = picture.pixels.shape
    check_shape(shown(path), (rows, columns), None, overruled)
    facts = {
        "file": picture.format,
        "pixel_mm_from": "the picture's resolution",
        "lossy": picture.format == "JPEG",
        "photometric": f"picture, mode {picture.mode}",
        "inverted": False,
        "modality_lut": "none",
        "voi": "none",
        "sides": "assumed",
        "padding_pixels": 0,
    }
    return _Read(picture.pixels, picture.pixel_mm if trusted else None, facts)


def _read_dicom(
    path: Path, overruled: Collection[str], *, voi: bool, findings: WarningCollector
) -> _Read:
    try:
        tags = read_tags(path, voi=voi)
    except SkippedFileError as skipped:
        raise ReadError(f"{shown(path)}: {skipped}.") from None
    form, stored = tags.header.format, tags.header.pixels
    check_tags(tags, overruled)
    size, source = _spacing(tags, findings)
    check_size(tags.header.name, form.rows, form.columns)
    check_shape(tags.header.name, (form.rows, form.columns), size, overruled)
    greys = greys_of(tags, voi=voi, findings=findings)
    pixels, transposed, sides = _upright(greys.pixels, tags, findings)
    if transposed and size is not None:
        size = size[::-1]
    facts = {
        "file": "DICOM",
        "pixel_mm_from": source,
        "lossy": tags.header.lossy or (stored is not None and stored.syntax in LOSSY),
        "photometric": tags.header.photometric,
        "inverted": greys.inverted,
        "modality_lut": greys.modality_lut,
        "voi": greys.voi,
        "sides": sides,
        "padding_pixels": greys.padding_pixels,
    }
    return _Read(pixels, size, facts, tags.words)


def _spacing(tags: Tags, findings: WarningCollector) -> tuple[tuple[float, float] | None, str]:
    """Pixel size (rows, columns) and what stated it, as `read_xray` says."""
    pixels, detector, scanned = (
        tags.spacings_mm.get(name)
        for name in ("PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing")
    )
    if pixels is not None and (
        detector is None
        or tags.is_calibrated
        or not np.allclose(pixels, detector, rtol=_SAME_SHARE, atol=0)
    ):
        return pixels, "PixelSpacing"
    if detector is None:
        return scanned, "" if scanned is None else "NominalScannedPixelSpacing"
    factor = tags.magnification
    if factor is None:
        return detector, "ImagerPixelSpacing"
    if not 1 <= factor <= MOST_MAGNIFICATION:
        findings.warn(
            f"{tags.header.name}: EstimatedRadiographicMagnificationFactor is {factor:g}, which "
            f"lies outside 1 to {MOST_MAGNIFICATION:g}; it was left out.",
            ReadError,
        )
        return detector, "ImagerPixelSpacing"
    down, across = (step / factor for step in detector)
    return (down, across), "ImagerPixelSpacing / EstimatedRadiographicMagnificationFactor"


def _upright(
    pixels: NDArray[np.float32], tags: Tags, findings: WarningCollector
) -> tuple[NDArray[np.float32], bool, str]:
    """The image turned so that columns run to the patient's left and rows to the feet."""
    columns, rows = ([part[:1] for part in tags.orientation] + ["", ""])[:2]
    transposed = columns in {"F", "H"} and rows in {"L", "R"}
    if transposed:
        pixels, columns, rows = pixels.T, rows, columns
    if columns not in {"L", "R"} or rows not in {"F", "H"}:
        findings.warn(
            f"{tags.header.name}: it does not say where the patient's left is (PatientOrientation);"
            " taken to be on the right, as films are hung.",
            ReadError,
        )
        return pixels, False, "assumed"
    if columns == "R":
        pixels = pixels[:, ::-1]
    if rows == "H":
        pixels = pixels[::-1]
    return np.ascontiguousarray(pixels), transposed, "PatientOrientation"

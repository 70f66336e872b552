"""From the stored values of an X-ray to grey levels in which bone is bright.

A file holds at most 65536 different values: what each of them means is worked out once, in a table,
in the order of DICOM PS3.3 C.7.6.3.1.2 and C.11: Modality LUT, VOI LUT, then black or white first.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from rhoa.errors import PixelDataError
from rhoa.reading.codecs import MAY_NOT_END, check_packing, decompressors, require_codec
from rhoa.reading.decoding import LARGEST_RESCALE, raw_samples
from rhoa.reading.extent import check_extent
from rhoa.reading.stored import padding_mask, stored_values
from rhoa.reading.syntaxes import UNCOMPRESSED

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from rhoa.hips.tags import Tags
    from rhoa.reading.findings import Findings
    from rhoa.reading.headers import Header

MOST_PIXELS_A_SIDE = 16_384
MOST_PIXELS = 64 << 20
"""A film of 43 x 43 cm in steps of 0.054 mm; float32 takes 256 MiB for it."""
_REMEDY = "export it again, or leave it out"
_GREYS = ("MONOCHROME1", "MONOCHROME2")
_KINDS = (*_GREYS, "RGB", "PALETTE COLOR", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT")


@dataclass(frozen=True, slots=True, eq=False)
class Greys:
    """The pixels of an X-ray as stored, bone bright, and how they came about."""

    pixels: NDArray[np.float32]
    inverted: bool
    modality_lut: str
    voi: str
    padding_pixels: int


def check_size(name: str, rows: int, columns: int) -> None:
    """Check, before anything is allocated, that an image has pixels, and not too many.

    Raises
    ------
    PixelDataError
        If it has not.
    """
    if (
        min(rows, columns) < 1
        or max(rows, columns) > MOST_PIXELS_A_SIDE
        or rows * columns > MOST_PIXELS
    ):
        raise PixelDataError(
            f"{name}: {rows} x {columns} pixels; an X-ray has 1 to {MOST_PIXELS_A_SIDE} rows and "
            f"columns and at most {MOST_PIXELS >> 20} million pixels; the file is damaged, or no "
            "X-ray: export it again, smaller."
        )


def greys_of(tags: Tags, *, voi: bool, findings: Findings) -> Greys:
    """The grey levels of an X-ray file whose header was read.

    Raises
    ------
    PixelDataError
        If its pixels are damaged, or no grey levels.
    MissingExtraError
        If its decoder is not installed.
    """
    header = _checked(tags, findings)
    raw = _raw(header)
    if header.samples == 3:
        raw = _one_channel(raw, tags)
    levels, inverted = _levels(tags, voi=voi, findings=findings)
    form = tags.header.format
    low = -(1 << form.bits_stored - 1) if form.signed else 0
    pixels = levels[stored_values(raw, form).astype(np.int32) - low]
    padding = _outer(padding_mask(raw, form))
    if padding is not None:
        if padding.all():
            raise PixelDataError(
                f"{header.name}: every pixel is padding (PixelPaddingValue); {_REMEDY}."
            )
        pixels[padding] = pixels[~padding].min()
    rescaled = (form.slope, form.intercept) not in {(None, None), (1.0, 0.0)}
    shown_by = "table" if tags.voi_lut is not None else "window" if tags.window else "none"
    return Greys(
        pixels,
        inverted,
        "table" if tags.modality_lut is not None else "rescale" if rescaled else "none",
        shown_by if voi or shown_by == "none" else f"{shown_by}, not applied",
        0 if padding is None else int(padding.sum()),
    )


def _checked(tags: Tags, findings: Findings) -> Header:
    """The header, once what it says of the pixels can be true."""
    header, form = tags.header, tags.header.format
    if header.frames > 1:
        raise PixelDataError(
            f"{header.name}: {header.frames} frames; an X-ray is one image: export the one that is "
            "meant as a file of its own."
        )
    colour = header.samples == 3 and header.photometric == "RGB"
    if not colour and (header.samples != 1 or header.photometric not in _GREYS):
        kind = header.photometric if header.photometric in _KINDS else "missing or unknown"
        raise PixelDataError(
            f"{header.name}: PhotometricInterpretation {kind} with "
            f"{header.samples} samples a pixel; an X-ray is MONOCHROME1 or MONOCHROME2: export it "
            "as a grey image."
        )
    bits = (form.bits_allocated, form.bits_stored, form.high_bit)
    if bits[0] not in {8, 16} or not 1 <= bits[1] <= bits[2] + 1 <= bits[0] or bits[2] >= bits[0]:
        raise PixelDataError(
            f"{header.name}: BitsAllocated {bits[0]}, BitsStored {bits[1]}, HighBit {bits[2]}; "
            "stored bits of an X-ray must lie inside 8 or 16 allocated ones; export it again."
        )
    if colour:
        header = replace(header, format=replace(form, columns=3 * form.columns))
        if form.bits_allocated != 8 or (header.pixels and header.pixels.syntax not in UNCOMPRESSED):
            raise PixelDataError(
                f"{header.name}: a colour image that is compressed or of more than 8 bits; an "
                "X-ray is MONOCHROME1 or MONOCHROME2: export it as a grey image."
            )
    place = check_extent(header, findings, remedy=_REMEDY)
    if place.syntax not in UNCOMPRESSED:
        needed = form.bytes_per_frame
        check_packing(header.name, place.syntax, packed=place.available, needed=needed)
        require_codec(header.name, place.syntax)
    return header


def _raw(header: Header) -> NDArray[Any]:
    apart = header.pixels is not None and header.pixels.syntax in MAY_NOT_END
    with decompressors(1, 1, apart=apart) as (decompress, _):
        return raw_samples(header, decompress)


def _one_channel(raw: NDArray[Any], tags: Tags) -> NDArray[Any]:
    """The one channel of a colour image whose channels are alike."""
    form = tags.header.format
    if tags.planar:
        channels = raw.reshape(3, form.rows, form.columns)
    else:
        channels = np.moveaxis(raw.reshape(form.rows, form.columns, 3), 2, 0)
    if (channels[0] != channels[1]).any() or (channels[0] != channels[2]).any():
        raise PixelDataError(
            f"{tags.header.name}: a colour image; an X-ray is grey: export the X-ray itself, not a "
            "picture with coloured marks."
        )
    channel: NDArray[Any] = channels[0]
    return channel


def _levels(tags: Tags, *, voi: bool, findings: Findings) -> tuple[NDArray[np.float32], bool]:
    """The grey level of every value that may be stored, from the lowest on."""
    form, name = tags.header.format, tags.header.name
    count = 1 << form.bits_stored
    levels = np.arange(count, dtype=np.float64) - (count // 2 if form.signed else 0)
    if tags.modality_lut is not None:
        levels = tags.modality_lut(levels)
    else:
        slope = 1.0 if form.slope is None else form.slope
        intercept = 0.0 if form.intercept is None else form.intercept
        if not (0 < abs(slope) <= LARGEST_RESCALE and abs(intercept) <= LARGEST_RESCALE):
            raise PixelDataError(
                f"{name}: RescaleSlope {slope:g} and RescaleIntercept {intercept:g} give no grey "
                f"levels; {_REMEDY}."
            )
        levels = levels * slope + intercept
    inverted = _is_inverted(tags, findings)
    if voi and tags.voi_lut is not None:
        levels = tags.voi_lut(levels)
    elif voi and tags.window is not None:
        levels = _windowed(levels, tags.window, name)
    elif tags.voi_lut is not None and tags.voi_lut.descends:
        inverted = not inverted  # what it would turn around is turned around without it, too
    if inverted:
        levels = levels.max() + levels.min() - levels
    return levels.astype(np.float32), inverted


def _is_inverted(tags: Tags, findings: Findings) -> bool:
    """Whether small values mean bright pixels.

    The two elements that say so ought to agree (PS3.3 C.8.11.3): either suffices.
    """
    first = tags.header.photometric == "MONOCHROME1"
    second = tags.shape == "INVERSE"
    if tags.shape in {"INVERSE", "IDENTITY"} and first != second:
        findings.warn(
            f"{tags.header.name}: {tags.header.photometric} and PresentationLUTShape {tags.shape} "
            "contradict each other; small values were taken as bright; look whether bone is bright "
            "in the result.",
            PixelDataError,
        )
    return first or second


def _windowed(
    levels: NDArray[np.float64], window: tuple[float, float, str], name: str
) -> NDArray[np.float64]:
    """Levels through a window (PS3.3 C.11.2.1.2 and C.11.2.1.3), from its lower to its upper end.

    The scale of the levels is kept: a viewer's is a linear function of it.
    """
    centre, width, function = window
    if function == "LINEAR":
        centre, width = centre - 0.5, width - 1
    if width <= 0 or function not in {"LINEAR", "LINEAR_EXACT", "SIGMOID"}:
        raise PixelDataError(
            f"{name}: WindowWidth {window[1]:g} with its VOILUTFunction is no window; read it "
            "without voi."
        )
    low, high = centre - width / 2, centre + width / 2
    if function == "SIGMOID":
        steep = np.clip(-4 * (levels - centre) / width, -700, 700)
        curved: NDArray[np.float64] = low + width / (1 + np.exp(steep))
        return curved
    return np.clip(levels, low, high)


def _outer(padding: NDArray[np.bool_] | None) -> NDArray[np.bool_] | None:
    """Padding that reaches the border: the same value inside may be metal or air."""
    if padding is None or not padding.any():
        return None
    from scipy.ndimage import label

    regions, _ = label(padding)
    border = np.concatenate([regions[0], regions[-1], regions[:, 0], regions[:, -1]])
    outer: NDArray[np.bool_] = np.isin(regions, np.setdiff1d(border, [0]))
    return outer

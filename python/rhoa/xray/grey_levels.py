"""The header of an X-ray, and its stored values as grey levels in which bone is bright."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from rhoa.dicom.codecs import check_packing, decompressors, require_codec
from rhoa.dicom.header import (
    EXPLICIT_BIG,
    MEDIA_DIRECTORY,
    UNCOMPRESSED,
    WANTED,
    header_of,
    number_of,
    numbers_of,
    parser_errors_reported,
    read_elements,
    text_of,
    values_of,
    whole_of,
)
from rhoa.dicom.pixels import check_extent, padding_mask, stored_values
from rhoa.errors import PixelDataError, ReadError
from rhoa.files import shown
from rhoa.reading.decoding import LARGEST_RESCALE, raw_samples

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from rhoa.dicom.header import Header
    from rhoa.errors import WarningCollector


# What the header of an X-ray file says: its kind, its grey scale, its pixel size, its sides.

DESCRIPTIONS = (
    *("SeriesDescription", "ProtocolName", "AcquisitionDeviceProcessingDescription"),
    *("RequestedProcedureDescription", "StudyDescription"),
)
"""Free text that may name the part and the view, the nearest to the image first."""
_CODES = ("ViewCodeSequence", "AnatomicRegionSequence")
_VALUES = ("ImageLaterality", "Laterality", "ShutterShape")
_MOST_ITEMS = 8  # of a sequence of codes
_MOST_DESCRIPTION = 256  # characters
_WANTED = (
    *WANTED,
    *("BodyPartExamined", "ViewPosition", *_CODES, *DESCRIPTIONS),
    *("PresentationIntentType", "PresentationLUTShape", "PlanarConfiguration"),
    *("ModalityLUTSequence", "VOILUTSequence"),
    *("WindowCenter", "WindowWidth", "VOILUTFunction"),
    *("ImagerPixelSpacing", "NominalScannedPixelSpacing", "PixelSpacingCalibrationType"),
    "EstimatedRadiographicMagnificationFactor",
    *("PatientOrientation", *_VALUES),
)


class LookupTable:
    """A look-up table of the header: what each value from ``first`` on becomes."""

    def __init__(self, first: int, values: NDArray[np.float64]) -> None:
        self.first = first
        self.values = values

    def __call__(self, numbers: NDArray[np.float64]) -> NDArray[np.float64]:
        """What ``numbers`` become; those beyond the table are as its ends."""
        place = np.rint(numbers).astype(np.int64) - self.first
        looked_up: NDArray[np.float64] = self.values[np.clip(place, 0, len(self.values) - 1)]
        return looked_up

    @property
    def descends(self) -> bool:
        """Whether large numbers become small ones."""
        return bool(self.values[0] > self.values[-1])


@dataclass(frozen=True, slots=True)
class Tags:
    """What is kept of the header of one X-ray. Texts are matched, and never shown."""

    header: Header
    words: Mapping[str, str]
    """Free or coded text by element: it may name the part, the view and the side."""
    intent: str
    shape: str
    """PresentationLUTShape."""
    planar: bool
    """Whether the samples of a colour image lie plane by plane."""
    modality_lut: LookupTable | None
    voi_lut: LookupTable | None
    window: tuple[float, float, str] | None
    """Centre, width, function."""
    spacings_mm: Mapping[str, tuple[float, float]]
    """Rows, columns; by element."""
    is_calibrated: bool
    magnification: float | None
    orientation: tuple[str, ...]
    """PatientOrientation: where the columns run, where the rows run."""


def read_tags(path: Path, *, voi: bool) -> Tags:
    """The header of one X-ray file.

    Raises
    ------
    SkippedFileError
        If the file is no DICOM image.
    ReadError
        If it cannot be parsed, or holds no pixels or a damaged look-up table.
    """
    dataset, place = read_elements(path, _WANTED)
    name = shown(path)
    if place is None:
        kind = text_of(getattr(dataset, "file_meta", {}), "MediaStorageSOPClassUID")
        if kind == MEDIA_DIRECTORY:
            raise ReadError(f"{name}: a DICOMDIR, which is never followed; leave it out.")
        raise PixelDataError(
            f"{name}: it holds no pixel data (7FE0,0010); the file is no image, cut short or "
            "stripped: export it again, or leave it out."
        )
    with parser_errors_reported(path, "export it again."):
        header = header_of(path, dataset, place)
        return Tags(
            header=header,
            words=MappingProxyType(_texts(dataset)),
            intent=text_of(dataset, "PresentationIntentType"),
            shape=text_of(dataset, "PresentationLUTShape"),
            planar=whole_of(dataset, "PlanarConfiguration") == 1,
            modality_lut=_table(dataset, "ModalityLUTSequence", header),
            voi_lut=_voi_lut(dataset, header, needed=voi),
            window=_window(dataset),
            spacings_mm=MappingProxyType(_spacings(dataset)),
            is_calibrated=bool(text_of(dataset, "PixelSpacingCalibrationType")),
            magnification=number_of(dataset, "EstimatedRadiographicMagnificationFactor"),
            orientation=tuple(str(part) for part in values_of(dataset, "PatientOrientation")[:3]),
        )


def _texts(dataset: Any) -> dict[str, str]:  # noqa: ANN401  # untyped in pydicom
    """Text by element, upper case; codes by what they mean."""
    found = {name: text_of(dataset, name) for name in ("BodyPartExamined", "ViewPosition")}
    for name in _CODES:
        items = values_of(dataset, name)[:_MOST_ITEMS]
        modifiers = "AnatomicRegionModifierSequence"  # which may give the side of a region
        codes = [
            code for item in items for code in (item, *values_of(item, modifiers)[:_MOST_ITEMS])
        ]
        found[name] = " ".join(text_of(code, "CodeMeaning") for code in codes)
    for name in (*DESCRIPTIONS, *_VALUES):
        parts = " ".join(str(part) for part in values_of(dataset, name)[:_MOST_ITEMS])
        found[name] = parts[:_MOST_DESCRIPTION]
    return {name: text.upper() for name, text in found.items() if text.strip()}


def _spacings(dataset: Any) -> dict[str, tuple[float, float]]:  # noqa: ANN401
    names = ("PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing")
    found = {}
    for name in names:
        numbers = numbers_of(dataset, name, 2)
        if numbers is not None and all(math.isfinite(step) and step > 0 for step in numbers):
            found[name] = (numbers[0], numbers[1])
    return found


def _window(dataset: Any) -> tuple[float, float, str] | None:  # noqa: ANN401
    """The first window of the file."""
    try:
        centre, width = (
            float(values_of(dataset, name)[0]) for name in ("WindowCenter", "WindowWidth")
        )
    except (IndexError, TypeError, ValueError):
        return None
    function = text_of(dataset, "VOILUTFunction") or "LINEAR"
    return (centre, width, function) if math.isfinite(centre + width) else None


def _voi_lut(dataset: Any, header: Header, *, needed: bool) -> LookupTable | None:  # noqa: ANN401
    """The first VOI LUT; a damaged one matters only where it is needed."""
    try:
        return _table(dataset, "VOILUTSequence", header)
    except PixelDataError:
        if needed:
            raise
        return None


def _table(dataset: Any, sequence: str, header: Header) -> LookupTable | None:  # noqa: ANN401
    """The first table of a sequence; None where there is none."""
    items = values_of(dataset, sequence)
    if not items:
        return None
    order = ">" if header.pixels and header.pixels.syntax == EXPLICIT_BIG else "<"
    descriptor = _integers(items[0], "LUTDescriptor", order)
    if descriptor.shape != (3,) or not 8 <= descriptor[2] <= 16:
        raise PixelDataError(
            f"{header.name}: the LUTDescriptor (0028,3002) of its {sequence} is no number of "
            "entries, first value and 8 to 16 bits; the file is damaged: export it again."
        )
    entries = int(descriptor[0]) & 0xFFFF or 1 << 16
    first = int(descriptor[1])
    if header.format.signed and first >= 1 << 15:  # written as unsigned
        first -= 1 << 16
    values = _integers(items[0], "LUTData", order) & 0xFFFF
    if len(values) in {entries // 2, (entries + 1) // 2} and descriptor[2] == 8:
        values = values.astype("<u2").view(np.uint8)  # two entries in a word
    if len(values) < entries:
        raise PixelDataError(
            f"{header.name}: its {sequence} holds {len(values)} of {entries} entries; "
            "the file is damaged: export it again."
        )
    return LookupTable(first, values[:entries].astype(np.float64))


def _integers(item: Any, name: str, order: str) -> NDArray[np.int64]:  # noqa: ANN401
    """The values of an element that may be numbers or words not yet read."""
    values = values_of(item, name)
    try:
        if values and isinstance(values[0], bytes):
            words = values[0][: len(values[0]) // 2 * 2]
            return np.frombuffer(words, f"{order}u2").astype(np.int64)
        return np.array(values, np.int64).reshape(-1)
    except (TypeError, ValueError, OverflowError):
        return np.empty(0, np.int64)


# From the stored values of an X-ray to grey levels in which bone is bright.
#
# A file holds at most 65536 different values: what each of them means is worked out once, in a
# table, in the order of DICOM PS3.3 C.7.6.3.1.2 and C.11: Modality LUT, VOI LUT, then black or
# white first.

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


def greys_of(tags: Tags, *, voi: bool, findings: WarningCollector) -> Greys:
    """The grey levels of an X-ray file whose header was read.

    Raises
    ------
    PixelDataError
        If its pixels are damaged, or no grey levels.
    MissingExtraError
        If its decoder is not installed.
    """
    header = _checked(tags, findings)
    syntaxes = [] if header.pixels is None else [header.pixels.syntax]
    with decompressors(syntaxes, 1) as (decompress, _):
        raw = raw_samples(header, decompress)
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


def _checked(tags: Tags, findings: WarningCollector) -> Header:
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


def _levels(
    tags: Tags, *, voi: bool, findings: WarningCollector
) -> tuple[NDArray[np.float32], bool]:
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


def _is_inverted(tags: Tags, findings: WarningCollector) -> bool:
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

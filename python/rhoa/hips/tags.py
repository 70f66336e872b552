"""What the header of an X-ray file says: its kind, its grey scale, its pixel size, its sides."""

from __future__ import annotations

import math
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from rhoa.errors import PixelDataError, ReadError
from rhoa.reading.bounded import shown
from rhoa.reading.elements import number_of, numbers_of, text_of, values_of, whole_of
from rhoa.reading.headers import MEDIA_DIRECTORY, WANTED, header_of, read_elements, told_of_damage
from rhoa.reading.syntaxes import EXPLICIT_BIG

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from rhoa.reading.headers import Header

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


class Table:
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
    modality_lut: Table | None
    voi_lut: Table | None
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
    with told_of_damage(path, "export it again."):
        return _tags(dataset, header_of(path, dataset, place), voi=voi)


def _tags(dataset: Any, header: Header, *, voi: bool) -> Tags:  # noqa: ANN401  # untyped in pydicom
    return Tags(
        header=header,
        words=MappingProxyType(_words(dataset)),
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


def _words(dataset: Any) -> dict[str, str]:  # noqa: ANN401  # untyped in pydicom
    """Text by element, upper case; codes by what they mean."""
    found = {name: text_of(dataset, name) for name in ("BodyPartExamined", "ViewPosition")}
    for name in _CODES:
        items = values_of(dataset, name)[:_MOST_ITEMS]
        codes = [code for item in items for code in (item, *_modifiers(item))]
        found[name] = " ".join(text_of(code, "CodeMeaning") for code in codes)
    for name in (*DESCRIPTIONS, *_VALUES):
        parts = " ".join(str(part) for part in values_of(dataset, name)[:_MOST_ITEMS])
        found[name] = parts[:_MOST_DESCRIPTION]
    return {name: text.upper() for name, text in found.items() if text.strip()}


def _modifiers(region: Any) -> list[Any]:  # noqa: ANN401
    """Codes that tell more of an anatomic region: its side."""
    return values_of(region, "AnatomicRegionModifierSequence")[:_MOST_ITEMS]


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


def _voi_lut(dataset: Any, header: Header, *, needed: bool) -> Table | None:  # noqa: ANN401
    """The first VOI LUT; a damaged one matters only where it is needed."""
    try:
        return _table(dataset, "VOILUTSequence", header)
    except PixelDataError:
        if needed:
            raise
        return None


def _table(dataset: Any, sequence: str, header: Header) -> Table | None:  # noqa: ANN401
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
    return Table(first, values[:entries].astype(np.float64))


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

"""Values of DICOM elements as plain numbers and short texts, whatever a file holds there."""

from __future__ import annotations

import math
from typing import Any

from rhoa.reading.bounded import printable

MOST_TEXT = 64  # characters of a UID; codes are shorter
_MOST_VALUE_BYTES = 4096  # of an element that the reader looks at; numbers take 16 bytes each
_TABLES = frozenset([0x00283000, 0x00283010])  # Modality and VOI LUT Sequence
_MOST_TABLE_BYTES = 1 << 18  # twice a table of 65536 words


def drop_long_values(dataset: Any) -> None:  # noqa: ANN401  # untyped
    """Leave out what no image states at such length, before it becomes a million numbers."""
    for tag, element in list(dataset.items()):
        most = _MOST_TABLE_BYTES if tag in _TABLES else _MOST_VALUE_BYTES
        if isinstance(element.value, bytes) and len(element.value) > most:
            del dataset[tag]


def values_of(dataset: Any, name: str) -> list[Any]:  # noqa: ANN401  # untyped in pydicom
    """All values of an element; none where it is absent, empty or unreadable."""
    try:
        value = dataset.get(name)
    except Exception:  # noqa: BLE001  # a damaged value counts as absent, which is then refused
        return []
    if value is None or value == "":
        return []
    if isinstance(value, str | bytes) or not hasattr(value, "__iter__"):
        return [value]
    return list(value)


def text_of(dataset: Any, name: str) -> str:  # noqa: ANN401  # untyped in pydicom
    """The first value as one short line that prints; empty where there is none."""
    values = values_of(dataset, name)
    return printable(str(values[0]).strip().strip("\0"), most=MOST_TEXT) if values else ""


def numbers_of(dataset: Any, name: str, count: int) -> tuple[float, ...] | None:  # noqa: ANN401
    """The values as ``count`` numbers; None where they are not that."""
    values = values_of(dataset, name)
    try:
        numbers = tuple(float(value) for value in values)
    except (TypeError, ValueError):
        return None
    return numbers if len(numbers) == count else None


def number_of(dataset: Any, name: str) -> float | None:  # noqa: ANN401  # untyped in pydicom
    """The value as one number; None where it is not that."""
    numbers = numbers_of(dataset, name, 1)
    return numbers[0] if numbers else None


def whole_of(dataset: Any, name: str) -> int | None:  # noqa: ANN401  # untyped in pydicom
    """The first value as a whole number; None where it is none."""
    values = values_of(dataset, name)
    if values and isinstance(values[0], bytes):  # an ambiguous VR that pydicom left unread
        return int.from_bytes(values[0][:2], "little")
    number = number_of(dataset, name)
    return int(number) if number is not None and math.isfinite(number) else None

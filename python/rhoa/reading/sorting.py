"""The slices of one series in the order of the volume, without exact copies."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from rhoa.errors import GeometryError
from rhoa.reading.geometry import SPACING_TOLERANCE_MM, check_planes, coincident
from rhoa.reading.headers import inflate, unreadable
from rhoa.reading.repairs import records_of, usable
from rhoa.reading.stacking import stack
from rhoa.reading.syntaxes import DEFLATED

if TYPE_CHECKING:
    from collections.abc import Collection

    from rhoa.reading.grouping import Series
    from rhoa.reading.headers import Header
    from rhoa.reading.repairs import Dropped
    from rhoa.reading.stacking import Stack

_MOST_COMPARED_BYTES = 256 << 20  # the largest slice: 8192 x 8192 pixels of 32 bits
_BLOCK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Sorted:
    """The slices of one series in the order of the volume."""

    label: str
    headers: tuple[Header, ...]
    stack: Stack
    copies: int
    dropped: tuple[Dropped, ...]
    monochrome1: int

    def records(self, also_dropped: tuple[Dropped, ...]) -> list[dict[str, Any]]:
        """What the report tells of repairs made before pixels are decoded."""
        return records_of((*also_dropped, *self.dropped), self.monochrome1)


def sort_slices(series: Series, repairs: Collection[str]) -> Sorted:
    """The slices in ascending order along their normal.

    Raises
    ------
    GeometryError
        If they form no volume, and the given repairs do not help.
    """
    rest = usable(series.slices, repairs)
    headers = rest.headers
    planes = [header.plane for header in headers]
    check_planes(planes)
    copies = {
        n
        for first, *others in coincident(planes)
        for n in others
        if _is_copy(headers[first], headers[n])
    }
    kept = [header for n, header in enumerate(headers) if n not in copies]
    stacked = stack_of(kept, series.label, repairs)
    ordered = tuple(kept[n] for n in stacked.order)
    return Sorted(series.label, ordered, stacked, len(copies), rest.dropped, rest.monochrome1)


def stack_of(headers: Collection[Header], label: str, repairs: Collection[str]) -> Stack:
    """The stack of some slices; messages begin with the series' label."""
    try:
        return stack([header.plane for header in headers], repairs)
    except GeometryError as error:
        raise GeometryError(f"{label}: {error}") from None


def _is_copy(one: Header, other: Header) -> bool:
    """Whether two slices at one position hold the same pixels at the same place."""
    apart = np.subtract(one.plane.position_mm or (), other.plane.position_mm or ())
    beside = float(np.linalg.norm(apart))
    if beside > 2 * SPACING_TOLERANCE_MM or one.format != other.format:
        return False
    return _pixel_digest(one) == _pixel_digest(other)


def _pixel_digest(header: Header) -> tuple[str, bytes]:
    """What tells two slices' pixels apart; too large ones are never alike."""
    place = header.pixels
    if place is None:
        return "", b""
    left = min(place.available, place.available if place.length is None else place.length)
    if left > _MOST_COMPARED_BYTES:
        return place.syntax, os.fsencode(header.path)
    digest = hashlib.blake2b()
    try:
        with header.path.open("rb") as file:
            source = inflate(file) if place.syntax == DEFLATED else file
            source.seek(place.offset)
            while left > 0 and (block := source.read(min(left, _BLOCK_BYTES))):
                digest.update(block)
                left -= len(block)
    except OSError as error:
        raise unreadable(header.name, error) from None
    return place.syntax, digest.digest()

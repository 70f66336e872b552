"""Whether a file holds the pixels that its header declares."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rhoa.errors import PixelDataError
from rhoa.reading.syntaxes import DEFLATED, UNCOMPRESSED

if TYPE_CHECKING:
    from rhoa.reading.findings import Findings
    from rhoa.reading.headers import Header, PixelPlace

REPAIR = 'export it again, or pass repair="drop" to read the scan without it'


def check_extent(header: Header, findings: Findings, *, remedy: str = REPAIR) -> PixelPlace:
    """Check that the file holds the pixels that it declares; where they lie.

    Parameters
    ----------
    remedy
        What a message tells to do.

    Raises
    ------
    PixelDataError
        If they are absent, or uncompressed and short.
    """
    place = header.pixels
    if place is None:
        raise PixelDataError(
            f"{header.name}: it holds no pixel data (7FE0,0010); the file is cut short or was "
            f"stripped: {remedy}."
        )
    if place.syntax in UNCOMPRESSED:
        _check_length(header, place, findings, remedy)
    return place


def _check_length(header: Header, place: PixelPlace, findings: Findings, remedy: str) -> None:
    name, form = header.name, header.format
    needed = form.bytes_per_frame
    if place.syntax != DEFLATED and (place.length or 0) > place.available:
        raise PixelDataError(
            f"{name}: pixel data of {place.length} bytes are declared, {place.available} are there;"
            f" the file is cut short: {remedy}."
        )
    found = min(place.length or 0, place.available)
    if found < needed:
        raise PixelDataError(
            f"{name}: {found} bytes of pixel data; {form.rows} x {form.columns} pixels of "
            f"{form.bits_allocated} bits need {needed}; the file is damaged: {remedy}."
        )
    if found > needed + 1:  # one byte of padding is the standard's
        findings.warn(
            f"{name}: {found - needed} bytes more than its pixels need; they are ignored.",
            PixelDataError,
        )

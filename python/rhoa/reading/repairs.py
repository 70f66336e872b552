"""Repairs by name: what `rhoa.read_ct` puts right only when it is asked to, and records."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from rhoa.errors import PixelDataError, require_names
from rhoa.reading.extent import check_extent
from rhoa.reading.findings import Findings
from rhoa.reading.frames import pixel_items
from rhoa.reading.headers import unreadable
from rhoa.reading.syntaxes import UNCOMPRESSED

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from rhoa.reading.headers import Header

REPAIRS: Mapping[str, str] = MappingProxyType(
    {
        "gaps": "interpolates single slices that are missing or blank, from their two neighbours",
        "tilt": "shifts the slices of a sheared stack (gantry tilt) onto a rectangular one",
        "spacing": "resamples unevenly spaced slices to an even grid of their median spacing",
        "drop": "leaves out files that are cut short or state no position",
        "monochrome1": "takes the values of MONOCHROME1 slices as they are stored",
    }
)
"""Every repair, and what it does. Interpolation is linear; where nothing was measured is air."""


class Dropped(NamedTuple):
    """A file that the repair "drop" left out."""

    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class Usable:
    """The slices of a series that repairs leave."""

    headers: tuple[Header, ...]
    dropped: tuple[Dropped, ...]
    """Files that were left out."""
    monochrome1: int
    """Slices that say they are MONOCHROME1."""


def named(repair: str | Collection[str]) -> frozenset[str]:
    """The repairs that ``repair`` names: one, several with commas between, or a collection.

    Raises
    ------
    ParameterError
        If there is no repair of such a name.
    """
    return require_names("repair", repair, REPAIRS, kind="repairs")


def usable(headers: Sequence[Header], repairs: Collection[str]) -> Usable:
    """The slices that can be read, after the repairs "drop" and "monochrome1" where asked for.

    No slice is left out where fewer than two would remain: their own errors tell more.
    """
    dropped: tuple[Dropped, ...] = ()
    kept = list(headers)
    if "drop" in repairs:
        faults = [_fault(header) for header in headers]
        whole = [header for header, fault in zip(headers, faults, strict=True) if not fault]
        if len(whole) >= 2:
            kept = whole
            dropped = tuple(
                Dropped(header.name, fault)
                for header, fault in zip(headers, faults, strict=True)
                if fault
            )
    inverted = sum(header.photometric == "MONOCHROME1" for header in kept)
    if "monochrome1" not in repairs or not inverted:
        return Usable(tuple(kept), dropped, 0)
    # PhotometricInterpretation tells how values are shown; PS3.3 C.11.1.1.2 rescales stored ones.
    return Usable(
        tuple(
            replace(header, photometric="MONOCHROME2")
            if header.photometric == "MONOCHROME1"
            else header
            for header in kept
        ),
        dropped,
        inverted,
    )


def _fault(header: Header) -> str:
    """Why "drop" leaves a slice out; empty where it does not."""
    position = header.plane.position_mm
    if position is None or not all(map(math.isfinite, position)):
        return f"{header.name}: ImagePositionPatient is missing or no number."
    try:
        place = check_extent(header, Findings())
        if place.syntax not in UNCOMPRESSED and not place.bare:
            with header.path.open("rb") as file:
                pixel_items(file, place, header.name)
    except PixelDataError as error:
        return str(error)
    except OSError as error:
        raise unreadable(header.name, error) from None
    return ""


def records_of(dropped: Sequence[Dropped], monochrome1: int) -> list[dict[str, Any]]:
    """What the report tells of the repairs "drop" and "monochrome1"."""
    records: list[dict[str, Any]] = []
    if dropped:
        records.append(
            {
                "name": "drop",
                "what": f"{len(dropped)} files (or frames) were left out",
                "files": [one.name for one in dropped],
                "reasons": [one.reason for one in dropped],
            }
        )
    if monochrome1:
        records.append(
            {
                "name": "monochrome1",
                "what": "values were taken as they are stored, not inverted",
                "slices": monochrome1,
            }
        )
    return records

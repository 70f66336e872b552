"""Repairs by name: what `rhoa.read_ct` puts right only when it is asked to, and records.

Slices that cannot be used are left out (`usable`), and those of a tilted, gapped or drifting series
are resampled to those of a volume (`resample`); which are is decided in `rhoa.reading.geometry`.
"""

from __future__ import annotations

import math
from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from rhoa.dicom.header import UNCOMPRESSED, unreadable
from rhoa.dicom.multiframe import pixel_items
from rhoa.dicom.pixels import AIR_HU, check_extent
from rhoa.errors import PixelDataError, WarningCollector, require_names

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from numpy.typing import NDArray

    from rhoa.dicom.header import Header
    from rhoa.reading.geometry import Layout

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


def repair_names(repair: str | Collection[str]) -> frozenset[str]:
    """The repairs that ``repair`` names: one, several with commas between, or a collection.

    Raises
    ------
    ParameterError
        If there is no repair of such a name.
    """
    return require_names("repair", repair, REPAIRS, kind="repairs")


def usable(
    headers: Sequence[Header], repairs: Collection[str]
) -> tuple[tuple[Header, ...], tuple[Dropped, ...], int]:
    """The slices that can be read, after the repairs "drop" and "monochrome1" where asked for.

    With them the files that were left out, and how many slices say they are MONOCHROME1.
    No slice is left out where fewer than two would remain: their own errors say more.
    """
    dropped: tuple[Dropped, ...] = ()
    used = list(headers)
    if "drop" in repairs:
        faults = [_drop_reason(header) for header in headers]
        whole = [header for header, fault in zip(headers, faults, strict=True) if not fault]
        if len(whole) >= 2:
            used = whole
            dropped = tuple(
                Dropped(header.name, fault)
                for header, fault in zip(headers, faults, strict=True)
                if fault
            )
    inverted = sum(header.photometric == "MONOCHROME1" for header in used)
    if "monochrome1" not in repairs or not inverted:
        return tuple(used), dropped, 0
    # PhotometricInterpretation says how values are shown; PS3.3 C.11.1.1.2 rescales stored ones.
    stored = tuple(
        replace(header, photometric="MONOCHROME2")
        if header.photometric == "MONOCHROME1"
        else header
        for header in used
    )
    return stored, dropped, inverted


def _drop_reason(header: Header) -> str:
    """Why "drop" leaves a slice out; empty where it does not."""
    position = header.plane.position_mm
    if position is None or not all(map(math.isfinite, position)):
        return f"{header.name}: ImagePositionPatient is missing or no number."
    try:
        place = check_extent(header, WarningCollector())
        if place.syntax not in UNCOMPRESSED and not place.bare:
            with header.path.open("rb") as file:
                pixel_items(file, place, header.name)
    except PixelDataError as error:
        return str(error)
    except OSError as error:
        raise unreadable(header.name, error) from None
    return ""


def records_of(dropped: Sequence[Dropped], monochrome1: int) -> list[dict[str, Any]]:
    """The report's entries of the repairs "drop" and "monochrome1"."""
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


# From scanned slices to the slices of the volume, where a repair moves them; linear weights.


def resample(hu: NDArray[Any], layout: Layout, scanned: Sequence[int]) -> NDArray[Any]:
    """The volume of a layout, in the type of ``hu``.

    Every voxel is made in one interpolation, of up to two slices, rows and columns; where one of
    those was not scanned it is air. Padding is air in ``hu`` already.

    Parameters
    ----------
    hu
        Decoded slices.
    scanned
        Index in ``hu`` of every slice that the layout speaks of.
    """
    made: NDArray[Any] = np.full(layout.shape, AIR_HU, hu.dtype)
    for k, (below, share) in enumerate(zip(layout.below, layout.share, strict=True)):
        parts = [(n, weight) for n, weight in ((below, 1 - share), (below + 1, share)) if weight]
        placed = [(_placed(hu[scanned[n]], layout.shifts[n]), weight) for n, weight in parts]
        top, left = (max(place[axis] for (_, place), _ in placed) for axis in (0, 1))
        bottom = max(top, min(place[0] + values.shape[0] for (values, place), _ in placed))
        right = max(left, min(place[1] + values.shape[1] for (values, place), _ in placed))
        cut = [
            (values[top - place[0] : bottom - place[0], left - place[1] : right - place[1]], weight)
            for (values, place), weight in placed
        ]
        mixed = cut[0][0] if len(cut) == 1 else _mixed(*cut[0], *cut[1])
        if made.dtype.kind == "i" and mixed.dtype.kind == "f":
            mixed = np.rint(mixed)  # between two int16 values: none is beyond
        made[k, top:bottom, left:right] = mixed
    return made


def _placed(
    plane: NDArray[Any], shift: NDArray[np.float64]
) -> tuple[NDArray[Any], tuple[int, int]]:
    """A slice moved by ``shift`` rows and columns: its values, and where on the grid they begin."""
    first = [math.ceil(shift[0]), math.ceil(shift[1])]
    ahead = [first[0] - shift[0], first[1] - shift[1]]
    if ahead[0]:
        plane = _mixed(plane[:-1], 1 - ahead[0], plane[1:], ahead[0])
    if ahead[1]:
        plane = _mixed(plane[:, :-1], 1 - ahead[1], plane[:, 1:], ahead[1])
    return plane, (first[0], first[1])


def _mixed(
    one: NDArray[Any], weight: float, other: NDArray[Any], other_weight: float
) -> NDArray[np.float32]:
    mixed: NDArray[np.float32] = np.multiply(one, np.float32(weight), dtype=np.float32)
    mixed += np.multiply(other, np.float32(other_weight), dtype=np.float32)
    return mixed

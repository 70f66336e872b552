"""Where each frame of a multi-frame file lies: by its size, or by offset table and fragments."""

from __future__ import annotations

import struct
from itertools import pairwise
from typing import TYPE_CHECKING, BinaryIO

from rhoa.errors import PixelDataError
from rhoa.reading.codecs import DELIMITER, ITEM
from rhoa.reading.headers import PixelPlace, unreadable
from rhoa.reading.syntaxes import UNCOMPRESSED

if TYPE_CHECKING:
    from rhoa.reading.headers import Header

MOST_FRAGMENTS = 200_000


def frame_places(header: Header, extended: bytes) -> list[PixelPlace | None]:
    """The place of every frame of ``header``'s file, in their order.

    Parameters
    ----------
    extended
        The value of Extended Offset Table (7FE0,0001), empty where there is none.

    Raises
    ------
    PixelDataError
        If compressed pixels are cut short, or do not tell which fragments make a frame.
    """
    place = header.pixels
    if place is None:
        return [None] * header.frames
    if place.syntax in UNCOMPRESSED:
        return [_even(header, place, n) for n in range(header.frames)]
    try:
        with header.path.open("rb") as file:
            table, *fragments = pixel_items(file, place, header.name)
            offsets = _offsets(file, table, extended, header)
    except OSError as error:
        raise unreadable(header.name, error) from None
    ends = [end for _, end in fragments]
    starts = _starts([start for start, _ in fragments], offsets, header)
    return [
        PixelPlace(place.syntax, start, stop - start, stop - start, bare=True)
        for start, stop in zip(starts, [*starts[1:], ends[-1]], strict=True)
    ]


def _even(header: Header, place: PixelPlace, n: int) -> PixelPlace:
    """Frame ``n`` (from 0) of uncompressed ones; the last takes what is left, which is checked."""
    size = header.format.bytes_per_frame
    left = max(0, (place.length or 0) - n * size)
    length = left if n == header.frames - 1 else min(size, left)
    return PixelPlace(
        place.syntax, place.offset + n * size, length, max(0, place.available - n * size)
    )


def pixel_items(file: BinaryIO, place: PixelPlace, name: str) -> list[tuple[int, int]]:
    """Start and end of every item, the offset table first; all must lie inside the file."""
    items: list[tuple[int, int]] = []
    here, last = place.offset, place.offset + place.available
    while True:
        file.seek(here)
        head = file.read(8)
        if head[:4] == DELIMITER and len(items) > 1:
            return items
        if head[:4] != ITEM or len(head) < 8:
            raise PixelDataError(
                f"{name}: the compressed pixels have no end mark after {len(items)} fragments; "
                "the file is cut short: export it again."
            )
        (length,) = struct.unpack("<I", head[4:])
        if here + 8 + length > last:
            raise PixelDataError(
                f"{name}: fragment {len(items)} of the compressed pixels ends after "
                f"{last - here - 8} of {length} bytes; the file is cut short: export it again."
            )
        items.append((here, here + 8 + length))
        here += 8 + length
        if len(items) > MOST_FRAGMENTS:
            raise PixelDataError(
                f"{name}: more than {MOST_FRAGMENTS} fragments of compressed pixels; "
                "no CT has so many; the file is damaged: export it again."
            )


def _offsets(
    file: BinaryIO, table: tuple[int, int], extended: bytes, header: Header
) -> list[int] | None:
    """Start of every frame as an offset table states it; None where there is none."""
    kind, size = ("Q", 8) if extended else ("I", 4)
    length = len(extended) or table[1] - table[0] - 8
    if not length:
        return None
    if length != size * header.frames:
        raise PixelDataError(
            f"{header.name}: its offset table has {length // size} entries for {header.frames} "
            "frames; the file is damaged: export it again."
        )
    file.seek(table[0] + 8)
    value = extended or file.read(length)
    return [table[1] + offset for offset in struct.unpack(f"<{header.frames}{kind}", value)]


def _starts(fragments: list[int], offsets: list[int] | None, header: Header) -> list[int]:
    """Start of every frame's first fragment."""
    if offsets is not None:
        rising = offsets[0] == fragments[0] and all(a < b for a, b in pairwise(offsets))
        if not rising or not set(offsets) <= set(fragments):
            raise PixelDataError(
                f"{header.name}: its offset table points beside the frames; "
                "the file is damaged: export it again."
            )
        return offsets
    if header.frames == 1:
        return fragments[:1]
    if len(fragments) != header.frames:
        raise PixelDataError(
            f"{header.name}: {len(fragments)} fragments for {header.frames} frames and no offset "
            "table, so which belong together is unknown; export it again."
        )
    return fragments

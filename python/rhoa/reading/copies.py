"""Whether two slices hold the same pixels, without decoding them."""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING

from rhoa.errors import ReadError
from rhoa.reading.headers import DEFLATED, inflate

if TYPE_CHECKING:
    from rhoa.reading.headers import Header

_MOST_COMPARED_BYTES = 256 << 20  # the largest slice: 8192 x 8192 pixels of 32 bits
_BLOCK_BYTES = 1 << 20


def same_pixels(one: Header, other: Header) -> bool:
    """Whether two slices are exact copies: of one format, byte for byte the same pixels."""
    return one.format == other.format and _pixel_digest(one) == _pixel_digest(other)


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
        raise ReadError(f"{header.name}: the file cannot be read ({error.strerror}).") from None
    return place.syntax, digest.digest()

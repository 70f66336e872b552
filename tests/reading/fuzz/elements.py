"""Where the elements of a DICOM file lie, found without believing any of its lengths."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass

UNDEFINED = 0xFFFFFFFF
LONG_VRS = frozenset(
    [b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"]
)
META_START = 132
ITEM, ITEM_END, SEQUENCE_END, PIXELS = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD, 0x7FE00010
IMPLICIT, BIG = b"1.2.840.10008.1.2", b"1.2.840.10008.1.2.2"
DEFLATED = b"1.2.840.10008.1.2.1.99"
_MOST = 400


@dataclass(frozen=True, slots=True)
class Element:
    """One element: its header from ``start``, its value from ``value`` to ``end``."""

    tag: int
    vr: bytes  # empty where it is implicit, and for items
    start: int
    length_at: int
    length_bytes: int
    value: int
    end: int
    order: str


def elements(data: bytes) -> list[Element]:
    """The elements of a file in their order, those inside sequences among them."""
    found = _walk(data, META_START, "<", implicit=False, meta=True)
    start = found[-1].end if found else META_START
    syntax = syntax_of(data, found)
    if syntax == DEFLATED:
        return found
    order = ">" if syntax == BIG else "<"
    return found + _walk(data, start, order, implicit=syntax == IMPLICIT, meta=False)


def syntax_of(data: bytes, found: list[Element]) -> bytes:
    """The transfer syntax that the file names; empty where it names none."""
    for element in found:
        if element.tag == 0x00020010:
            return data[element.value : element.end].strip(b"\0 ")
    return b""


def replaced(data: bytes, element: Element, value: bytes) -> bytes:
    """The file with another value in an element, its length told honestly."""
    value += b" " * (len(value) % 2)
    size = struct.pack(
        element.order + ("H" if element.length_bytes == 2 else "I"),
        min(len(value), 0xFFFF if element.length_bytes == 2 else UNDEFINED),
    )
    head = data[: element.length_at] + size
    return (
        head
        + data[element.length_at + element.length_bytes : element.value]
        + value
        + (data[element.end :])
    )


def packed(tag: int, vr: bytes, value: bytes, order: str = "<", *, implicit: bool = False) -> bytes:
    """The bytes of a new element."""
    value += b" " * (len(value) % 2)
    head = struct.pack(order + "HH", tag >> 16, tag & 0xFFFF)
    if implicit:
        return head + struct.pack(order + "I", len(value)) + value
    if vr in LONG_VRS:
        return head + vr + b"\0\0" + struct.pack(order + "I", len(value)) + value
    return head + vr + struct.pack(order + "H", len(value) & 0xFFFF) + value


def inflated(data: bytes) -> tuple[bytes, bytes] | None:
    """A deflated file as what comes before its stream and what is in it; None for other files."""
    found = elements(data)
    if syntax_of(data, found) != DEFLATED or not found:
        return None
    start = found[-1].end
    try:
        content = zlib.decompressobj(-zlib.MAX_WBITS).decompress(data[start:], 1 << 20)
    except zlib.error:
        return None
    return data[:start], content


def deflated(head: bytes, content: bytes, level: int = 6) -> bytes:
    """The opposite of `inflated`."""
    packer = zlib.compressobj(level, zlib.DEFLATED, -zlib.MAX_WBITS)
    return head + packer.compress(content) + packer.flush()


def walk_explicit(content: bytes) -> list[Element]:
    """The elements of a data set without a file around it, explicit VR little-endian."""
    return _walk(content, 0, "<", implicit=False, meta=False)


def _walk(data: bytes, start: int, order: str, *, implicit: bool, meta: bool) -> list[Element]:
    found: list[Element] = []
    place, encapsulated = start, False
    while place + 8 <= len(data) and len(found) < _MOST:
        group, number = struct.unpack_from(order + "HH", data, place)
        if meta and group != 2:
            break
        tag, vr = group << 16 | number, b""
        length_at, size = place + 4, 4
        if not implicit and group != 0xFFFE:
            vr = data[place + 4 : place + 6]
            length_at, size = (place + 8, 4) if vr in LONG_VRS else (place + 6, 2)
        if length_at + size > len(data):
            break
        (length,) = struct.unpack_from(order + ("H" if size == 2 else "I"), data, length_at)
        value = length_at + size
        if tag == PIXELS:
            encapsulated = length == UNDEFINED
        opens = tag == ITEM and not encapsulated
        inside = length == UNDEFINED or vr == b"SQ" or opens or tag in {ITEM_END, SEQUENCE_END}
        end = value if inside else min(len(data), value + length)
        found.append(Element(tag, vr, place, length_at, size, value, end, order))
        place = end
    return found

"""Ways to damage a DICOM file: its elements, lengths, code streams; see `bytewise`."""

from __future__ import annotations

import struct
import zlib
from functools import cache
from random import Random

from tests.reading.fuzz import elements as dicom
from tests.reading.fuzz.bytewise import (
    BYTES,
    INTEGERS,
    Mutation,
    flip_bits,
    overwrite,
    remove_span,
    repeat_span,
)
from tests.reading.fuzz.elements import Element, elements, packed, replaced

TEXTS = (
    b"", b" ", b"0", b"-1", b"1", b"1e308", b"-1e308", b"1e309", b"1e-320", b"NaN", b"nan", b"inf",
    b"-Infinity", b"1,5", b"0x10", b"1_000", b"9" * 16, b"9" * 400, b"1\\2", b"1\\2\\3", b"\\" * 6,
    b"0\\0\\0\\0\\0\\0", b"1\\0\\0\\1\\0\\0", b"1e300\\1e300",b"\\" * 4000, b"\x00", b"\xff",
    b"\x1b[31m\n", b"LOCALIZER", b"ORIGINAL\\PRIMARY\\LOCALIZER", b"MONOCHROME1", b"PALETTE COLOR",
    b"CT", b"OT", b"MR", b"YES", b"01", b"US", b"HU", b"1.2.840.10008.5.1.4.1.1.7", b"A" * 4000,
)  # fmt: skip
VRS = (
    b"AE", b"AS", b"AT", b"CS", b"DA", b"DS", b"DT", b"FD", b"FL", b"IS", b"LO", b"LT", b"OB",
    b"OD", b"OF", b"OL", b"OV", b"OW", b"PN", b"SH", b"SL", b"SQ", b"SS", b"ST", b"SV", b"TM",
    b"UC", b"UI", b"UL", b"UN", b"UR", b"US", b"UT", b"UV", b"\0\0", b"ZZ", b"  ", b"??",
)  # fmt: skip
SYNTAXES = tuple(
    b"1.2.840.10008.1.2" + tail
    for tail in (
        b"", b".1", b".2", b".1.99", b".5", b".4.50", b".4.51", b".4.57", b".4.70", b".4.80",
        b".4.81", b".4.90", b".4.91", b".4.201", b".4.202", b".4.203", b".4.100", b".6", b".1.98",
        b".4.9999",
    )
)  # fmt: skip
IMAGE_TAGS = (
    0x00280002, 0x00280004, 0x00280008, 0x00280010, 0x00280011, 0x00280030, 0x00280100, 0x00280101,
    0x00280102, 0x00280103, 0x00280120, 0x00280121, 0x00281052, 0x00281053, 0x00281054, 0x00200032,
    0x00200037, 0x00080008, 0x00080016, 0x00080060, 0x0020000E, 0x00180050, 0x00280301, 0x00282110,
    0x00080005, 0x00181210, 0x00185100,
)  # fmt: skip
_NUMBERS = {0x00280008: b"IS", 0x00280120: b"US", 0x00280121: b"US"}


def change_length(random: Random, data: bytes, _donor: bytes) -> bytes:
    """An element or item claims another length."""
    element = _any(random, data)
    if element is None:
        return data
    code = "H" if element.length_bytes == 2 else "I"
    true = element.end - element.value
    number = random.choice((*INTEGERS, true + 1, true + 2, true - 2, true * 2, len(data)))
    number &= (1 << 8 * element.length_bytes) - 1
    packed_number = struct.pack(element.order + code, number)
    return (
        data[: element.length_at]
        + packed_number
        + (data[element.length_at + element.length_bytes :])
    )


def change_value(random: Random, data: bytes, donor: bytes) -> bytes:
    """An element that readers look at gets another value of honest length."""
    element = _wanted(random, data)
    if element is None:
        return data
    others = [other for other in elements(donor) if other.tag == element.tag]
    if others and random.random() < 0.2:
        return replaced(data, element, donor[others[0].value : others[0].end])
    if element.vr in {b"US", b"SS", b"UL", b""} and random.random() < 0.9:
        value = struct.pack(element.order + "H", random.choice(INTEGERS) & 0xFFFF)
    else:
        value = random.choice(TEXTS)
    return replaced(data, element, value)


def change_number(random: Random, data: bytes, _donor: bytes) -> bytes:
    """One number of a decimal string moves a little, or far."""
    found = [e for e in elements(data) if e.vr in {b"DS", b"IS"} and e.end > e.value]
    if not found:
        return data
    element = random.choice(found)
    parts = data[element.value : element.end].split(b"\\")
    n = random.randrange(len(parts))
    try:
        old = float(parts[n])
    except ValueError:
        old = 1.0
    new = random.choice((
        old + 1e-4, old * 1.001, old + 1, -old, old * 1e6, old * 1e-6, 0.0, old * 1e300,
        float("nan"), float("inf"), 5e-324, 1e16, 32767.0, 3e9,
    ))  # fmt: skip
    parts[n] = f"{new:.10g}".encode()
    return replaced(data, element, b"\\".join(parts))


def remove_element(random: Random, data: bytes, _donor: bytes) -> bytes:
    element = _any(random, data)
    return data if element is None else data[: element.start] + data[element.end :]


def repeat_element(random: Random, data: bytes, _donor: bytes) -> bytes:
    element = _any(random, data)
    if element is None:
        return data
    copy = data[element.start : element.end]
    return data[: element.end] + copy * random.choice((1, 1, 3, 300)) + data[element.end :]


def move_element(random: Random, data: bytes, donor: bytes) -> bytes:
    """An element of this file or of another lands elsewhere."""
    target = _any(random, data)
    source = data if random.random() < 0.5 else donor
    element = _any(random, source)
    if target is None or element is None:
        return data
    return data[: target.start] + source[element.start : element.end] + data[target.start :]


def change_vr(random: Random, data: bytes, _donor: bytes) -> bytes:
    found = [element for element in elements(data) if element.vr]
    if not found:
        return data
    place = random.choice(found).start + 4
    return data[:place] + random.choice(VRS) + data[place + 2 :]


def change_tag(random: Random, data: bytes, _donor: bytes) -> bytes:
    element = _any(random, data)
    if element is None:
        return data
    tag = random.choice((*IMAGE_TAGS, dicom.PIXELS, 0x7FE00008, 0x7FE00009, dicom.ITEM,
                         dicom.ITEM_END, dicom.SEQUENCE_END, 0x00020010, 0x00091001))  # fmt: skip
    new = struct.pack(element.order + "HH", tag >> 16, tag & 0xFFFF)
    return data[: element.start] + new + data[element.start + 4 :]


def change_image(random: Random, data: bytes, _donor: bytes) -> bytes:
    """Rows, Columns, bits, sign, samples or frames become something else, present or not."""
    tag = random.choice((
        0x00280002, 0x00280008, 0x00280010, 0x00280010, 0x00280011, 0x00280011, 0x00280100,
        0x00280101, 0x00280102, 0x00280103, 0x00280120, 0x00280121,
    ))  # fmt: skip
    found = elements(data)
    number = random.choice(INTEGERS)
    same = [element for element in found if element.tag == tag]
    order = same[0].order if same else "<"
    value = struct.pack(order + "H", number & 0xFFFF)
    if _NUMBERS.get(tag) == b"IS":
        value = str(number).encode()
    if same:
        return replaced(data, same[0], value)
    later = [element for element in found if element.tag > tag]
    if not later:
        return data
    new = packed(tag, _NUMBERS.get(tag, b"US"), value, later[0].order, implicit=not later[0].vr)
    return data[: later[0].start] + new + data[later[0].start :]


def grow_image(random: Random, data: bytes, _donor: bytes) -> bytes:
    """Rows and Columns both grow, as a bomb's would."""
    size = random.choice((2, 64, 1000, 4096, 8000, 8192, 30000, 65535))
    for tag in (0x00280010, 0x00280011):
        for element in elements(data):
            if element.tag == tag:
                data = replaced(data, element, struct.pack(element.order + "H", size))
                break
    return data


def change_syntax(random: Random, data: bytes, _donor: bytes) -> bytes:
    for element in elements(data):
        if element.tag == 0x00020010:
            syntax = random.choice(SYNTAXES)
            return replaced(data, element, syntax + b"\0" * (len(syntax) % 2))
    return data


def nest(random: Random, data: bytes, _donor: bytes) -> bytes:
    """Sequences in sequences, deep, or items in one, many."""
    target = _any(random, data)
    if target is None:
        return data
    depth = random.choice((2, 30, 300, 900, 3000))
    order, undefined = target.order, struct.pack(target.order + "I", dicom.UNDEFINED)
    tag = random.choice((0x00089215, 0x00091001, 0x00081140, 0x00280010))
    vr = random.choice((b"SQ", b"SQ", b"UN"))
    head = struct.pack(order + "HH", tag >> 16, tag & 0xFFFF)
    head += undefined if not target.vr else vr + b"\0\0" + undefined
    item = struct.pack(order + "HH", 0xFFFE, 0xE000)
    if random.random() < 0.5:
        opened = (head + item + undefined) * depth
        closing = struct.pack(order + "HHIHHI", 0xFFFE, 0xE00D, 0, 0xFFFE, 0xE0DD, 0) * depth
    else:
        opened = head + (item + struct.pack(order + "I", 0)) * depth
        closing = struct.pack(order + "HHI", 0xFFFE, 0xE0DD, 0)
    closing *= random.random() < 0.7
    return data[: target.start] + opened + closing + data[target.start :]


def change_stream(random: Random, data: bytes, donor: bytes) -> bytes:
    """The head of a code stream, its offset table, or a marker in it."""
    pixels = [element for element in elements(data) if element.tag == dicom.PIXELS]
    start = pixels[0].value if pixels else len(data) // 2
    reach = random.choice((24, 64, 120, 400))
    inside = data[start : start + reach]
    if not inside:
        return data
    marks = [n for n in range(len(inside) - 1) if inside[n] == 0xFF and inside[n + 1] >= 0x4F]
    if marks and random.random() < 0.5:
        place = random.choice(marks) + random.choice((1, 2, 4, 5, 6, 8, 9, 10, 12, 16, 20))
        size, code = random.choice(((1, "B"), (2, "H"), (4, "I")))
        number = struct.pack(">" + code, random.choice(INTEGERS) & ((1 << 8 * size) - 1))
        inside = inside[:place] + number + inside[place + size :]
    else:
        change = random.choice((flip_bits, overwrite, overwrite, repeat_span, remove_span))
        inside = change(random, inside, donor)
    return data[:start] + inside + data[start + reach :]


def change_inflated(random: Random, data: bytes, donor: bytes) -> bytes:
    """A deflated data set is changed inside its stream."""
    parts = dicom.inflated(data)
    if parts is None:
        return change_value(random, data, donor)
    head, content = parts
    found = dicom.walk_explicit(content)
    if not found:
        return data
    element = random.choice(found)
    what = random.randrange(4)
    if what == 0:
        value = random.choice((*TEXTS, struct.pack("<H", random.choice(INTEGERS) & 0xFFFF)))
        content = replaced(content, element, value)
    elif what == 1:
        content = content[: element.start] + content[element.end :]
    elif what == 2:
        number = struct.pack("<I", random.choice(INTEGERS))[: element.length_bytes]
        content = (
            content[: element.length_at]
            + number
            + (content[element.length_at + element.length_bytes :])
        )
    else:
        content = overwrite(random, content, donor)
    return dicom.deflated(head, content)


def deflate_bomb(random: Random, data: bytes, donor: bytes) -> bytes:
    """The file claims to be deflated, and holds a stream that grows a thousandfold."""
    if random.random() < 0.75:  # it takes as long as a hundred other inputs
        return change_inflated(random, data, donor)
    found = [element for element in elements(data) if element.tag >> 16 == 2]
    syntax = [element for element in found if element.tag == 0x00020010]
    if not syntax:
        return data
    head = data[: found[-1].end]
    return replaced(head, syntax[0], dicom.DEFLATED) + _zeros(random.choice((1, 30, 100)))


@cache
def _zeros(mebibytes: int) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    return packer.compress(bytes(mebibytes << 20)) + packer.flush()


def _any(random: Random, data: bytes) -> Element | None:
    found = elements(data)
    return random.choice(found) if found else None


def _wanted(random: Random, data: bytes) -> Element | None:
    found = [element for element in elements(data) if element.tag in IMAGE_TAGS]
    return random.choice(found) if found else _any(random, data)


DICOM: tuple[Mutation, ...] = (
    change_length, change_length, change_value, change_value, change_value, change_number,
    change_number, remove_element, repeat_element, move_element, change_vr, change_tag,
    change_image, change_image, grow_image, change_syntax, nest, change_stream, change_stream,
    change_stream, change_inflated, deflate_bomb, *BYTES,
)  # fmt: skip

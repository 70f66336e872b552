"""Headers as most scanners write them, parsed in one go; pydicom parses all others.

pydicom takes any DICOM file, one element at a time, which costs more than reading the pixels. This
parser takes files whose data set is explicit little endian, whose tags ascend, whose values are
printable ASCII of the VRs that the standard gives them, and whose pixels begin within the first
bytes of the file. At anything else it gives up; what it takes means to pydicom the same.
"""

from __future__ import annotations

import re
import struct
from typing import TYPE_CHECKING, Any, NamedTuple

from rhoa.reading.syntaxes import EXPLICIT_LITTLE, UNCOMPRESSED

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    Readers = dict[bytes, Callable[[bytes], Any]]

HEAD_BYTES = 1 << 16
"""Of a file, in which a plain header ends."""

PIXELS, UNDEFINED_LENGTH = 0x7FE00010, 0xFFFFFFFF
_META = 0x0002FFFF
_ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
_SHORT = frozenset(b"AE AS AT CS DA DS DT FL FD IS LO LT PN SH SL SS ST TM UI UL US".split())
_LONG = frozenset(b"OB OD OF OL OV OW SQ SV UC UN UR UT UV".split())
_DEEPEST = 8  # sequences in sequences
_LONGEST = 1024  # bytes of a value that the reader looks at
_NUMBER = re.compile(r" *[+-]?[0-9.]+([eE][+-]?[0-9]+)? *\Z")
_COUNT = re.compile(r" *[0-9]{1,9} *\Z")
_START = struct.Struct("<HH2sH")
_ITEM_START = struct.Struct("<HHI")
_LENGTH = struct.Struct("<I")
_SHORT_UNSIGNED, _SHORT_SIGNED = struct.Struct("<H"), struct.Struct("<h")
_OTHER_SYNTAXES = UNCOMPRESSED - {EXPLICIT_LITTLE}
_STANDARD_SYNTAX = "1.2.840.10008.1.2."


class NotPlainError(Exception):
    """A header that is left to pydicom. Never reaches the user."""


class PlainValues(dict[str, Any]):
    """Values by keyword, as ``get`` of a pydicom data set gives them."""

    def __init__(self) -> None:
        super().__init__()
        self.file_meta: dict[str, str] = {}


class PlainElements(NamedTuple):
    """Elements of a plain header that the reader looks at, as they lie in the file."""

    file_meta: dict[str, str]
    common: dict[int, tuple[bytes, bytes]]
    """VR and value by tag, of what the slices of a series mostly have in common."""
    own: dict[int, tuple[bytes, bytes]]
    """The same of `OWN`."""
    pixels_offset: int
    pixels_length: int | None

    @property
    def key(self) -> Hashable:
        """What is equal only in headers that differ in nothing but `OWN`."""
        return (*self.file_meta.items(), *self.common.items())

    def own_values(self) -> PlainValues:
        """The values of `OWN`.

        Raises
        ------
        NotPlainError
            If one of them is not as nearly all are.
        """
        return _values(self.file_meta, self.own)

    def values(self) -> PlainValues:
        """All values.

        Raises
        ------
        NotPlainError
            If one of them is not as nearly all are.
        """
        return _values(self.file_meta, self.common | self.own)


def plain_elements(head: bytes) -> PlainElements:
    """The elements that the reader looks at in a file that begins with ``head``.

    Raises
    ------
    NotPlainError
        If the header is not as nearly all are.
    """
    try:
        file_meta, here = _walk_meta(head)
        return _walk(head, here, file_meta)
    except (struct.error, IndexError, UnicodeDecodeError, ValueError):
        raise NotPlainError from None


def _values(file_meta: dict[str, str], elements: dict[int, tuple[bytes, bytes]]) -> PlainValues:
    found = PlainValues()
    found.file_meta = file_meta
    try:
        for tag, (kind, value) in elements.items():
            keyword, readers = ELEMENTS[tag]
            found[keyword] = _value(readers, kind, value)
    except (struct.error, IndexError, UnicodeDecodeError, ValueError):
        raise NotPlainError from None
    return found


def _walk_meta(head: bytes) -> tuple[dict[str, str], int]:
    """The file meta group, and where the data set begins."""
    file_meta: dict[str, str] = {}
    wanted = {0x00020002: "MediaStorageSOPClassUID", 0x00020010: "TransferSyntaxUID"}
    tag, kind, start, length = _element(head, 132)
    if (tag, kind, length) != (0x00020000, b"UL", 4):
        raise NotPlainError
    here = start + 4
    end = here + _LENGTH.unpack_from(head, start)[0]
    while here < end:
        last = tag
        tag, kind, start, length = _element(head, here)
        here = start + length
        if not last < tag <= _META or here > end:
            raise NotPlainError
        if tag in wanted:
            file_meta[wanted[tag]] = (_value(_UID, kind, _whole(head, start, here)) or [""])[0]
    syntax = file_meta.get("TransferSyntaxUID", "")
    if syntax in _OTHER_SYNTAXES or not syntax.startswith(_STANDARD_SYNTAX):
        raise NotPlainError
    return file_meta, here


def _walk(head: bytes, here: int, file_meta: dict[str, str]) -> PlainElements:
    """The elements up to the pixels; hundreds a header, so that no function is called for one."""
    common: dict[int, tuple[bytes, bytes]] = {}
    own: dict[int, tuple[bytes, bytes]] = {}
    start_of, length_of, last = _START.unpack_from, _LENGTH.unpack_from, _META
    while True:
        group, element, kind, length = start_of(head, here)
        tag = group << 16 | element
        if tag <= last or tag > PIXELS - 16:  # out of order, or the pixels
            break
        last = tag
        if kind in _SHORT:
            start = here + 8
        elif kind in _LONG:
            start = here + 12
            (length,) = length_of(head, here + 8)
            if length == UNDEFINED_LENGTH:
                if kind != b"SQ" or tag in ELEMENTS:
                    raise NotPlainError
                here = _behind_sequence(head, start, 0)
                continue
        else:
            raise NotPlainError
        here = start + length
        if tag in ELEMENTS:
            (own if tag in OWN else common)[tag] = kind, _whole(head, start, here)
    if tag != PIXELS or kind not in {b"OW", b"OB"}:
        raise NotPlainError
    (length,) = length_of(head, here + 8)
    known = None if length == UNDEFINED_LENGTH else length
    return PlainElements(file_meta, common, own, here + 12, known)


def _whole(head: bytes, start: int, end: int) -> bytes:
    value = head[start:end]
    if len(value) != end - start:
        raise NotPlainError
    return value


def _value(readers: Readers, kind: bytes, value: bytes) -> Any:  # noqa: ANN401
    read = readers.get(kind)
    if read is None or len(value) > _LONGEST:
        raise NotPlainError
    return read(value) if value else None


def _element(head: bytes, here: int) -> tuple[int, bytes, int, int]:
    """Tag, VR, start and length of the value of the element at ``here``."""
    group, element, kind, length = _START.unpack_from(head, here)
    if kind in _SHORT:
        return group << 16 | element, kind, here + 8, length
    if kind not in _LONG:
        raise NotPlainError
    return group << 16 | element, kind, here + 12, _LENGTH.unpack_from(head, here + 8)[0]


def _behind_sequence(head: bytes, here: int, depth: int) -> int:
    """Where the element after a sequence of undefined length begins."""
    if depth > _DEEPEST:
        raise NotPlainError
    while True:
        group, element, length = _ITEM_START.unpack_from(head, here)
        here += 8
        if group << 16 | element == _SEQUENCE_END:
            return here
        if group << 16 | element != _ITEM:
            raise NotPlainError
        here = here + length if length != UNDEFINED_LENGTH else _behind_item(head, here, depth)


def _behind_item(head: bytes, here: int, depth: int) -> int:
    while True:
        group, element, _ = _ITEM_START.unpack_from(head, here)
        if group << 16 | element == _ITEM_END:
            return here + 8
        _, kind, start, length = _element(head, here)
        if length != UNDEFINED_LENGTH:
            here = start + length
        elif kind == b"SQ":
            here = _behind_sequence(head, start, depth + 1)
        else:
            raise NotPlainError


def _words(value: bytes) -> list[str]:
    """The words of a text; each as it stands between the separators, without padding at the end."""
    text = value.decode("ascii").rstrip("\0 ")
    words = text.split("\\")
    if not text.isprintable() or any(word != word.strip() or not word for word in words):
        raise NotPlainError
    return words


def _text(value: bytes) -> list[str] | None:
    return _words(value) if value.strip(b"\0 ") else None


def _numbers(value: bytes) -> list[float] | None:
    text = value.decode("ascii").strip(" \0")
    words = text.split("\\")
    if text and not all(map(_NUMBER.match, words)):
        raise NotPlainError
    return [float(word) for word in words] if text else None


def _count(value: bytes) -> int | None:
    text = value.decode("ascii").strip(" \0")
    if text and not _COUNT.match(text):
        raise NotPlainError
    return int(text) if text else None


def _short(value: bytes) -> int:
    return int(_SHORT_UNSIGNED.unpack(value)[0])


def _signed_short(value: bytes) -> int:
    return int(_SHORT_SIGNED.unpack(value)[0])


_CODE: Readers = {b"CS": _text}
_UID: Readers = {b"UI": _text}
_DECIMAL: Readers = {b"DS": _numbers}
_UNSIGNED: Readers = {b"US": _short}
_STORED: Readers = {b"US": _short, b"SS": _signed_short}
ELEMENTS: dict[int, tuple[str, Readers]] = {
    0x00080008: ("ImageType", _CODE),
    0x00080016: ("SOPClassUID", _UID),
    0x00080018: ("SOPInstanceUID", _UID),
    0x00080060: ("Modality", _CODE),
    0x00181210: ("ConvolutionKernel", {b"SH": _text}),
    0x00185100: ("PatientPosition", _CODE),
    0x0020000E: ("SeriesInstanceUID", _UID),
    0x00200032: ("ImagePositionPatient", _DECIMAL),
    0x00200037: ("ImageOrientationPatient", _DECIMAL),
    0x00280002: ("SamplesPerPixel", _UNSIGNED),
    0x00280004: ("PhotometricInterpretation", _CODE),
    0x00280008: ("NumberOfFrames", {b"IS": _count}),
    0x00280010: ("Rows", _UNSIGNED),
    0x00280011: ("Columns", _UNSIGNED),
    0x00280030: ("PixelSpacing", _DECIMAL),
    0x00280100: ("BitsAllocated", _UNSIGNED),
    0x00280101: ("BitsStored", _UNSIGNED),
    0x00280102: ("HighBit", _UNSIGNED),
    0x00280103: ("PixelRepresentation", _UNSIGNED),
    0x00280120: ("PixelPaddingValue", _STORED),
    0x00280121: ("PixelPaddingRangeLimit", _STORED),
    0x00280301: ("BurnedInAnnotation", _CODE),
    0x00281052: ("RescaleIntercept", _DECIMAL),
    0x00281053: ("RescaleSlope", _DECIMAL),
    0x00281054: ("RescaleType", {b"LO": _text}),
    0x00282110: ("LossyImageCompression", _CODE),
}
"""Keyword, and how a value of each VR is read, of what the reader looks at."""
OWN = frozenset([0x00080018, 0x00200032])
"""The instance and the position, which no two slices share."""

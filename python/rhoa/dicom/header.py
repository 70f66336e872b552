"""The header of one DICOM file: what the reader needs to know, and where the pixels lie."""

from __future__ import annotations

import contextlib
import math
import os
import re
import struct
import warnings
import zlib
from dataclasses import dataclass, replace
from io import BufferedReader, BytesIO
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

from rhoa.errors import PixelDataError, ReadError
from rhoa.files import BoundedFile, printable, shown

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    Readers = dict[bytes, Callable[[bytes], Any]]


# Values of DICOM elements as plain numbers and short texts, whatever a file holds there.

MOST_TEXT = 64  # characters of a UID; codes are shorter
_MOST_VALUE_BYTES = 4096  # of an element that the reader uses; numbers take 16 bytes each
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


def raw_of(dataset: Any, name: str) -> bytes:  # noqa: ANN401  # untyped in pydicom
    """A text as it lies in the file, in whatever character set; empty where it is absent."""
    if isinstance(dataset, PlainValues):
        return dataset.get(name) or b""
    value = dataset.get_item(name).value if name in dataset else b""
    return value if isinstance(value, bytes) else str(value or "").encode()


def seconds_of(dataset: Any, name: str) -> float | None:  # noqa: ANN401  # untyped in pydicom
    """A time of day (TM) in seconds; None where it is none."""
    found = re.fullmatch(r"(\d\d):?(\d\d):?(\d\d(?:\.\d{1,6})?)", text_of(dataset, name))
    if found is None:
        return None
    hours, minutes, seconds = map(float, found.groups())
    return 3600 * hours + 60 * minutes + seconds


# Transfer syntaxes whose pixels are not compressed, by UID.

IMPLICIT_LITTLE = "1.2.840.10008.1.2"
EXPLICIT_LITTLE = "1.2.840.10008.1.2.1"
EXPLICIT_BIG = "1.2.840.10008.1.2.2"
DEFLATED = "1.2.840.10008.1.2.1.99"
UNCOMPRESSED = frozenset([IMPLICIT_LITTLE, EXPLICIT_LITTLE, EXPLICIT_BIG, DEFLATED])


# Headers as most scanners write them, parsed in one go; pydicom parses all others.
#
# pydicom takes any DICOM file, one element at a time, which costs more than reading the pixels.
# This parser takes files whose data set is explicit little endian, whose tags ascend, whose values
# are printable ASCII of the VRs that the standard gives them, and whose pixels begin within the
# first bytes of the file. At anything else it gives up; what it takes means to pydicom the same.

HEAD_BYTES = 1 << 16
"""Of a file, in which a plain header ends."""

PIXELS, UNDEFINED_LENGTH = 0x7FE00010, 0xFFFFFFFF
_META = 0x0002FFFF
_ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
_SHORT = frozenset(b"AE AS AT CS DA DS DT FL FD IS LO LT PN SH SL SS ST TM UI UL US".split())
_LONG = frozenset(b"OB OD OF OL OV OW SQ SV UC UN UR UT UV".split())
_DEEPEST = 8  # sequences in sequences
_LONGEST = 1024  # bytes of a value that the reader uses
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
    """Elements of a plain header that the reader uses, as they lie in the file."""

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
    """The elements that the reader uses in a file that begins with ``head``.

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


def _raw(value: bytes) -> bytes:
    return value


_CODE: Readers = {b"CS": _text}
_TIME: Readers = {b"TM": _text}
_NUMBER_TEXT: Readers = {b"IS": _count}
_UID: Readers = {b"UI": _text}
_DECIMAL: Readers = {b"DS": _numbers}
_UNSIGNED: Readers = {b"US": _short}
_STORED: Readers = {b"US": _short, b"SS": lambda value: int(_SHORT_SIGNED.unpack(value)[0])}
ELEMENTS: dict[int, tuple[str, Readers]] = {
    0x00080008: ("ImageType", _CODE),
    0x00080016: ("SOPClassUID", _UID),
    0x00080018: ("SOPInstanceUID", _UID),
    0x00080032: ("AcquisitionTime", _TIME),
    0x00080033: ("ContentTime", _TIME),
    0x00080060: ("Modality", _CODE),
    0x00080070: ("Manufacturer", {b"LO": _text}),
    0x0008103E: ("SeriesDescription", {b"LO": _raw}),
    0x00081090: ("ManufacturerModelName", {b"LO": _text}),
    0x00100010: ("PatientName", {b"PN": _raw}),
    0x00100020: ("PatientID", {b"LO": _raw}),
    0x00180015: ("BodyPartExamined", _CODE),
    0x00181210: ("ConvolutionKernel", {b"SH": _text}),
    0x00185100: ("PatientPosition", _CODE),
    0x0020000E: ("SeriesInstanceUID", _UID),
    0x00200012: ("AcquisitionNumber", _NUMBER_TEXT),
    0x00200013: ("InstanceNumber", _NUMBER_TEXT),
    0x00200032: ("ImagePositionPatient", _DECIMAL),
    0x00200037: ("ImageOrientationPatient", _DECIMAL),
    0x00200052: ("FrameOfReferenceUID", _UID),
    0x00200100: ("TemporalPositionIdentifier", _NUMBER_TEXT),
    0x00280002: ("SamplesPerPixel", _UNSIGNED),
    0x00280004: ("PhotometricInterpretation", _CODE),
    0x00280008: ("NumberOfFrames", _NUMBER_TEXT),
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
"""Keyword, and how a value of each VR is read, of the elements that the reader uses."""
OWN = frozenset([0x00080018, 0x00080032, 0x00080033, 0x00200013, 0x00200032])
"""The instance, its times and number, and the position, which no two slices need share."""


@dataclass(frozen=True, slots=True)
class Plane:
    """One slice in patient LPS mm, as its file states it; None where the file does not."""

    name: str
    position_mm: tuple[float, ...] | None
    orientation: tuple[float, ...] | None
    """Direction of growing column index, then of growing row index."""
    pixel_mm: tuple[float, ...] | None
    """Row step, column step."""
    rows: int
    columns: int


# One DICOM file without its pixels: what the reader needs to know, and where the pixels lie.

MOST_INFLATED_BYTES = 64 << 20
"""A deflated slice larger than this is no CT slice: 4096 x 4096 pixels take 32 MiB."""
MOST_INFLATION, SMALL_BYTES = 200, 4 << 20
"""A data set beyond the second may not grow more than this; an empty slice grows a thousandfold."""

MEDIA_DIRECTORY = "1.2.840.10008.1.3.10"
_CT_IMAGES = frozenset(f"1.2.840.10008.5.1.4.1.1.2{kind}" for kind in ("", ".1", ".2"))
_FLOAT_PIXELS = 0x7FE00008
_MOST_KNOWN = 64  # headers unlike each other that are remembered; localizers, several series

WANTED = [keyword for keyword, _ in ELEMENTS.values()]
"""Elements of one slice that the reader uses."""


class SkippedFileError(Exception):
    """A file that is no DICOM image; the reason is its message. Never reaches the user."""


def unreadable(name: str, error: OSError) -> ReadError:
    """The error of a file whose header could be read, and whose pixels cannot."""
    return ReadError(f"{name}: the file cannot be read ({error.strerror}).")


@dataclass(frozen=True, slots=True)
class PixelFormat:
    """How stored values lie in the file, and how they become Hounsfield units."""

    rows: int
    columns: int
    bits_allocated: int
    bits_stored: int
    high_bit: int
    signed: bool
    padding: int | None = None
    padding_limit: int | None = None
    slope: float | None = 1.0
    intercept: float | None = 0.0

    @property
    def bytes_per_frame(self) -> int:
        """Bytes of one uncompressed frame."""
        return self.rows * self.columns * self.bits_allocated // 8


@dataclass(frozen=True, slots=True)
class PixelPlace:
    """Where the Pixel Data value lies: its offset, declared length and transfer syntax."""

    syntax: str
    offset: int
    length: int | None
    """None where it is undefined, as for compressed pixels."""
    available: int
    """Bytes that the file really holds from ``offset`` on."""
    bare: bool = False
    """Whether these are the fragments of one frame among others: no offset table, no end mark."""


@dataclass(frozen=True, slots=True)
class Header:
    """What the reader keeps of one slice: a DICOM file, or one frame of it.

    It holds nothing about the patient.
    """

    path: Path
    series_uid: str
    instance_uid: str
    sop_class: str
    modality: str
    image_type: tuple[str, ...]
    frames: int
    samples: int
    photometric: str
    kernel: str
    patient_position: str
    burned_in: bool
    lossy: bool
    rescale_type: str
    plane: Plane
    format: PixelFormat
    pixels: PixelPlace | None
    """None where the file holds no (integer) Pixel Data."""
    frame: int | None = None
    """Which frame of an enhanced file, counted from 1."""
    part: tuple[tuple[str, str], ...] = ()
    """What distinguishes its volume in an enhanced file: stack, time, frame type."""
    patient: tuple[int, int] = (0, 0)
    """Numbers that differ where PatientID, and PatientName, do; 0 where the file states none."""
    frame_of_reference: str = ""
    acquisition: str = ""
    time_point: str = ""
    number: int | None = None
    acquired_s: float | None = None
    made_s: float | None = None
    """AcquisitionTime and ContentTime, in seconds of the day."""
    body_words: frozenset[str] = frozenset()
    """`BODY_WORDS` in BodyPartExamined and SeriesDescription."""
    scanner: str = ""
    """Manufacturer and model, each word once."""

    @property
    def name(self) -> str:
        """The file's name and the frame's number, for messages."""
        return shown(self.path) if self.frame is None else f"{shown(self.path)} frame {self.frame}"


def read_header(path: Path, known: dict[Hashable, Header] | None = None) -> Header:
    """The header of one DICOM file.

    Parameters
    ----------
    path
        The file.
    known
        Headers read before, kept here for the next: slices agree in nearly everything, and what is
        byte for byte as it was need not be parsed again.

    Raises
    ------
    SkippedFileError
        If the file is no DICOM image.
    ReadError
        If it is a DICOM file that cannot be parsed.
    """
    try:
        with path.open("rb", buffering=0) as file:
            head = file.read(HEAD_BYTES)
            if head[128:132] != b"DICM" and not _starts_without_preamble(head):
                reason = "no DICOM file" if head else "empty file"
                raise SkippedFileError(reason)
            try:
                size = os.fstat(file.fileno()).st_size
                return _parse_plain(path, head, size, {} if known is None else known)
            except NotPlainError:
                file.seek(0)
                remedy = 'export it again, leave it out, or pass repair="drop".'
                with BufferedReader(file) as buffered, parser_errors_reported(path, remedy):
                    found = _elements(path, buffered, WANTED, deflated=_is_deflated(head))
                    return header_of(path, *found)
    except OSError as error:
        raise ReadError(
            f"{shown(path)}: the file cannot be read ({error.strerror}); check its permissions."
        ) from None


def inflate(file: BinaryIO) -> BytesIO:
    """The data set of a deflated DICOM file, inflated up to a limit.

    Raises
    ------
    ReadError
        If the stream is damaged, or inflates to more than any CT slice.
    """
    head = file.read(144)  # preamble, DICM and the meta group's length
    file.seek(144 + struct.unpack("<I", head[140:144])[0])
    name = shown(getattr(file, "name", ""))
    stream = zlib.decompressobj(-zlib.MAX_WBITS)
    packed = file.read(MOST_INFLATED_BYTES)
    most = min(MOST_INFLATED_BYTES, max(SMALL_BYTES, MOST_INFLATION * len(packed)))
    try:
        data = stream.decompress(packed, most)
    except zlib.error:
        raise ReadError(f"{name}: the deflated data are damaged; export the file again.") from None
    if stream.unconsumed_tail:
        raise ReadError(
            f"{name}: the deflated data exceed {most >> 20} MiB; "
            "no single image is that large; export the file uncompressed."
        )
    if not stream.eof:
        raise ReadError(f"{name}: the deflated data end early; the file is cut short.")
    return BytesIO(data)


def _is_deflated(head: bytes) -> bool:
    meta = head[132 : 144 + int.from_bytes(head[140:144], "little")]
    return DEFLATED.encode() in meta


def _parse_plain(path: Path, head: bytes, size: int, known: dict[Hashable, Header]) -> Header:
    found = plain_elements(head)
    key, offset, length = found.key, found.pixels_offset, found.pixels_length
    place = PixelPlace(found.file_meta["TransferSyntaxUID"], offset, length, max(0, size - offset))
    alike = known.get(key)
    if alike is None:
        header = header_of(path, found.values(), place)
        if len(known) < _MOST_KNOWN:
            known[key] = header
        return header
    values = found.own_values()
    position = numbers_of(values, "ImagePositionPatient", 3)
    return replace(
        alike,
        path=path,
        instance_uid=text_of(values, "SOPInstanceUID"),
        plane=replace(alike.plane, name=shown(path), position_mm=position),
        pixels=place,
        **_own(values),
    )


def _own(dataset: Any) -> dict[str, Any]:  # noqa: ANN401  # untyped in pydicom
    """When an image was made, and its number."""
    return {
        "number": whole_of(dataset, "InstanceNumber"),
        "acquired_s": seconds_of(dataset, "AcquisitionTime"),
        "made_s": seconds_of(dataset, "ContentTime"),
    }


def _starts_without_preamble(head: bytes) -> bool:
    """Whether a file begins with the first element of a data set, as some programs write it."""
    if len(head) < 12:
        return False
    group, element, kind, length = _START.unpack_from(head)
    first = (group == 2 and element <= 0x10) or (group == 8 and element <= 0x18)
    implicit = 0 < _LENGTH.unpack_from(head, 4)[0] <= MOST_TEXT
    explicit = kind in {b"UL", b"OB", b"UI", b"CS"} and int(length) <= MOST_TEXT
    return bool(first and (explicit or implicit))


def read_elements(path: Path, wanted: Sequence[str]) -> tuple[Any, PixelPlace | None]:
    """The elements ``wanted`` of one DICOM file of any kind, and where its pixels lie.

    Raises
    ------
    SkippedFileError
        If the file is no DICOM file.
    ReadError
        If it is one that cannot be parsed.
    """
    try:
        with path.open("rb") as file:
            head = file.read(HEAD_BYTES)
            if head[128:132] != b"DICM" and not _starts_without_preamble(head):
                raise SkippedFileError("no DICOM file" if head else "empty file")
            file.seek(0)
            with parser_errors_reported(path, "export it again."):
                return _elements(path, file, wanted, deflated=_is_deflated(head))
    except OSError as error:
        raise unreadable(shown(path), error) from None


def elements_of(files: Iterable[Path], wanted: Sequence[str]) -> Iterator[Any]:
    """The elements ``wanted`` of each DICOM file that can be parsed; others are passed over."""
    for file in files:
        try:
            yield read_elements(file, wanted)[0]
        except (SkippedFileError, ReadError):
            continue


@contextlib.contextmanager
def parser_errors_reported(path: Path, remedy: str) -> Iterator[None]:
    """Whatever a parser raises becomes a `ReadError`; what it warns of is checked elsewhere."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except (SkippedFileError, ReadError, OSError):
        raise
    except Exception as error:  # noqa: BLE001  # pydicom raises whatever its parser met
        raise ReadError(
            f"{shown(path)}: a DICOM file that cannot be parsed ({type(error).__name__}); "
            f"it is damaged or cut short: {remedy}"
        ) from None


def _elements(
    path: Path, file: BinaryIO, wanted: Sequence[str], *, deflated: bool
) -> tuple[Any, PixelPlace | None]:
    import pydicom
    from pydicom.filereader import read_dataset

    dataset: Any
    implicit = False
    if deflated:
        source: BinaryIO = inflate(file)
        syntax = DEFLATED
        dataset = read_dataset(
            BoundedFile(source, shown(path)),  # type: ignore[arg-type]  # all it needs
            is_implicit_VR=False,
            is_little_endian=True,
            stop_when=lambda tag, _vr, _length: tag >= _FLOAT_PIXELS,
            specific_tags=[pydicom.tag.Tag(name) for name in wanted],
        )
    else:
        source = file
        bounded: Any = BoundedFile(file, shown(path))
        # Whatever the meta group says, the data set may be in the other VR encoding.
        dataset = pydicom.dcmread(
            bounded, stop_before_pixels=True, specific_tags=[*wanted], force=True
        )
        syntax = text_of(dataset.file_meta, "TransferSyntaxUID")
        stored = [dataset.get_item(tag) for tag in dataset.keys()]  # noqa: SIM118  # untyped
        raw = next((one for one in stored if hasattr(one, "is_implicit_VR")), None)
        implicit, little = dataset.original_encoding
        if raw is not None:
            implicit, little = raw.is_implicit_VR, raw.is_little_endian
        if not syntax or syntax in {IMPLICIT_LITTLE, EXPLICIT_LITTLE, EXPLICIT_BIG}:
            syntax = IMPLICIT_LITTLE if implicit else EXPLICIT_LITTLE if little else EXPLICIT_BIG
    drop_long_values(dataset)
    return dataset, _locate_pixels(source, syntax, implicit=implicit)


def _locate_pixels(source: BinaryIO, syntax: str, *, implicit: bool) -> PixelPlace | None:
    """The place of the pixels; ``source`` stands at the tag that follows the header."""
    order = ">" if syntax == EXPLICIT_BIG else "<"
    start = source.read(8)
    if len(start) < 8:
        return None
    group, element = struct.unpack(order + "HH", start[:4])
    if group << 16 | element != PIXELS:
        return None
    length = start[4:]
    if not implicit:
        length = source.read(4)  # after the VR, OB or OW, and two reserved bytes
        if len(length) < 4:
            return None
    (declared,) = struct.unpack(order + "I", length)
    offset = source.tell()
    available = source.seek(0, 2) - offset
    known = None if declared == UNDEFINED_LENGTH else declared
    return PixelPlace(syntax, offset, known, available)


def header_of(path: Path, dataset: Any, pixels: PixelPlace | None) -> Header:  # noqa: ANN401
    """The header of one slice, from `WANTED` elements in a data set of pydicom or its like."""
    sop_class = text_of(dataset, "SOPClassUID")
    modality = text_of(dataset, "Modality")
    declared = str(getattr(dataset, "file_meta", {}).get("MediaStorageSOPClassUID") or sop_class)
    if declared == MEDIA_DIRECTORY:
        raise SkippedFileError("DICOMDIR (never followed)")
    rows, columns = whole_of(dataset, "Rows") or 0, whole_of(dataset, "Columns") or 0
    if pixels is None and (not modality or declared in _CT_IMAGES):
        # Also where another tag is absent: a header cut inside a UID would look like a new series.
        raise PixelDataError(
            f"{shown(path)}: it holds no pixel data (7FE0,0010); the file is cut short or was "
            'stripped: export it again, leave it out, or pass repair="drop".'
        )
    if pixels is None and not rows:
        raise SkippedFileError(f"DICOM without an image ({modality})")
    kind = values_of(dataset, "ImageType")
    bits = whole_of(dataset, "BitsAllocated") or 0
    stored = whole_of(dataset, "BitsStored") or bits
    high_bit = whole_of(dataset, "HighBit")
    return Header(
        path=path,
        series_uid=text_of(dataset, "SeriesInstanceUID"),
        instance_uid=text_of(dataset, "SOPInstanceUID"),
        sop_class=sop_class,
        modality=modality,
        image_type=tuple(printable(str(part).upper(), most=MOST_TEXT) for part in kind),
        frames=whole_of(dataset, "NumberOfFrames") or 1,
        samples=whole_of(dataset, "SamplesPerPixel") or 1,
        photometric=text_of(dataset, "PhotometricInterpretation"),
        kernel=printable(
            " ".join(map(str, values_of(dataset, "ConvolutionKernel"))), most=MOST_TEXT
        ),
        patient_position=text_of(dataset, "PatientPosition"),
        burned_in=text_of(dataset, "BurnedInAnnotation") == "YES",
        lossy=text_of(dataset, "LossyImageCompression") == "01",
        rescale_type=text_of(dataset, "RescaleType"),
        plane=Plane(
            name=shown(path),
            position_mm=numbers_of(dataset, "ImagePositionPatient", 3),
            orientation=numbers_of(dataset, "ImageOrientationPatient", 6),
            pixel_mm=numbers_of(dataset, "PixelSpacing", 2),
            rows=rows,
            columns=columns,
        ),
        format=PixelFormat(
            rows=rows,
            columns=columns,
            bits_allocated=bits,
            bits_stored=stored,
            high_bit=stored - 1 if high_bit is None else high_bit,
            signed=whole_of(dataset, "PixelRepresentation") == 1,
            padding=whole_of(dataset, "PixelPaddingValue"),
            padding_limit=whole_of(dataset, "PixelPaddingRangeLimit"),
            slope=number_of(dataset, "RescaleSlope"),
            intercept=number_of(dataset, "RescaleIntercept"),
        ),
        pixels=pixels,
        patient=(_person(dataset, "PatientID"), _person(dataset, "PatientName")),
        frame_of_reference=text_of(dataset, "FrameOfReferenceUID"),
        acquisition=text_of(dataset, "AcquisitionNumber"),
        time_point=text_of(dataset, "TemporalPositionIdentifier"),
        body_words=_body_words(dataset),
        scanner=scanner_name(
            text_of(dataset, "Manufacturer"), text_of(dataset, "ManufacturerModelName")
        ),
        **_own(dataset),
    )


def scanner_name(maker: str, model: str) -> str:
    """Manufacturer and model, a word that both hold once.

    >>> scanner_name("SIEMENS", "SIEMENS Force")
    'SIEMENS Force'
    """
    return " ".join(dict.fromkeys(f"{maker} {model}".split()))


def _person(dataset: Any, name: str) -> int:  # noqa: ANN401  # untyped in pydicom
    """A number for a name or an identifier, however it is padded; 0 where there is none."""
    text = raw_of(dataset, name).upper().strip(b" \0^")
    return hash(text) if text else 0


BODY_WORDS: Mapping[str, str] = MappingProxyType(
    {
        "pelvis": r"PELV|BECKEN|BASSIN|HIP(S|_|$| )|HUEFT|HANCHE|CADERA|FEMUR|SACR|COXA|T?CAP\b",
        "abdomen": r"ABD|BAUCH|COLON|LIVER|KIDNEY|URO|A/P|AP\b|WHOLE ?BODY|WB\b|TRUNK",
        "elsewhere": "HEAD|SKULL|BRAIN|NECK|KOPF|HALS|CHEST|THORAX|LUNG|KNEE|FOOT|ANKLE|HAND|WRIST"
        "|ELBOW|SHOULDER|CARDIAC|HEART|CORONAR|C.?SPINE|T.?SPINE",
    }
)
"""What words of BodyPartExamined and SeriesDescription mean, as regular expressions."""


def _body_words(dataset: Any) -> frozenset[str]:  # noqa: ANN401  # untyped in pydicom
    raw = raw_of(dataset, "SeriesDescription").decode("ascii", "replace").upper()
    text = f"{text_of(dataset, 'BodyPartExamined').upper()} {raw}"
    return frozenset(name for name, words in BODY_WORDS.items() if re.search(words, text))

"""The text headers of NRRD and MetaImage files: what ITK takes for granted is checked here.

ITK reads a file without orientation as if it lay along the patient, one in centimetres as
millimetres, and leaves a rescaling alone, all without a word; here each is an error or a warning.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from rhoa.errors import GeometryError, MissingFileError, PixelDataError, ReadError
from rhoa.reading.bounded import shown

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

MOST_HEADER_BYTES = 1 << 20
MOST_LINE = 4000
"""Characters of a line of MetaImage; ITK's parser has fixed buffers."""

_NRRD_TYPES = {
    "i1": "signed char|int8|int8_t",
    "u1": "uchar|unsigned char|uint8|uint8_t",
    "i2": "short|short int|signed short|signed short int|int16|int16_t",
    "u2": "ushort|unsigned short|unsigned short int|uint16|uint16_t",
    "i4": "int|signed int|int32|int32_t",
    "u4": "uint|unsigned int|uint32|uint32_t",
    "i8": "longlong|long long|long long int|signed long long|signed long long int|int64|int64_t",
    "u8": "ulonglong|unsigned long long|unsigned long long int|uint64|uint64_t",
    "f4": "float",
    "f8": "double",
}
_META_TYPES = {
    "i1": "MET_CHAR", "u1": "MET_UCHAR", "i2": "MET_SHORT", "u2": "MET_USHORT",
    "i4": "MET_INT", "u4": "MET_UINT", "i8": "MET_LONG_LONG", "u8": "MET_ULONG_LONG",
    "f4": "MET_FLOAT", "f8": "MET_DOUBLE",
}  # fmt: skip  # a pair a type; MET_LONG is 4 or 8 bytes, as the writer's machine had it
_SPACES = frozenset([
    "left-posterior-superior", "lps", "right-anterior-superior", "ras",
    "left-anterior-superior", "las",
])  # fmt: skip  # those that ITK turns to LPS; it takes any other for LPS as it is
_ONE_NAME = {"datafile": "data file", "byteskip": "byte skip", "lineskip": "line skip"}
_PLACE = {
    ("TransformMatrix", "Rotation", "Orientation"): 9,
    ("Offset", "Position", "Origin"): 3,
    ("ElementSpacing",): 3,
}
"""Names of one and the same field of MetaImage, and how many numbers it has."""
_DOUBTS = {
    "TransformMatrix": "its axes were taken as left, posterior, superior: check which side is left",
    "Offset": "its first voxel was put at (0, 0, 0) mm",
}
_MILLIMETRES = frozenset(
    ["mm", "millimeter", "millimeters", "millimetre", "millimetres", "", "???"]
)


@dataclass(frozen=True, slots=True)
class TextHeader:
    """What a header says of the voxels, and all its fields."""

    name: str
    format: str
    """"NRRD" or "MetaImage"."""
    fields: Mapping[str, str]
    shape: tuple[int, int, int]
    """Columns, rows, slices: the first changes fastest."""
    dtype: np.dtype[np.generic]
    data: Path
    """The file with the voxels: the same, or one beside it."""
    offset: int
    compressed: bool
    """By zlib or gzip."""


def read_text_header(path: Path) -> TextHeader:
    """The header of a ``.nrrd``, ``.nhdr``, ``.mha`` or ``.mhd`` file.

    Raises
    ------
    ReadError
        If it is none, is not 3-D, or its voxels are elsewhere or coded in a way that is not read.
    """
    if not os.path.isfile(path):  # noqa: PTH113  # Path.is_file raises where a name is too long
        raise MissingFileError(f"{shown(path)}: no such file; check the path.")
    try:
        with path.open("rb") as file:
            head = file.read(MOST_HEADER_BYTES)
    except OSError as error:
        raise ReadError(
            f"{shown(path)}: the file cannot be read ({error.strerror}); check its permissions."
        ) from None
    return _nrrd(path, head) if head.startswith(b"NRRD000") else _metaimage(path, head)


def check_place(header: TextHeader) -> list[str]:
    """What is doubtful about where the voxels lie in the patient; nothing for a complete header.

    Raises
    ------
    GeometryError
        If it is unknown which side is left, or the unit is not millimetres.
    """
    check = _check_nrrd_place if header.format == "NRRD" else _check_metaimage_place
    return check(header)


def _nrrd(path: Path, head: bytes) -> TextHeader:
    name = shown(path)
    fields, offset = _nrrd_fields(head, name)
    if any(key.startswith(("Segment0_", "Segmentation_")) for key in fields):
        raise PixelDataError(f"{name}: a segmentation (labels), no CT; pass the CT itself.")
    shape = _shape(fields.get("dimension", ""), fields.get("sizes", ""), name)
    kinds = fields.get("kinds", "").split()
    if not set(kinds) <= {"domain", "space", "???", "none"}:
        raise ReadError(
            f"{name}: axes of the kinds {' '.join(kinds)[:80]}; a CT has three axes of space and "
            "one number a voxel; save it as a plain volume."
        )
    encoding = fields.get("encoding", "missing").lower()
    if encoding not in {"raw", "gzip", "gz"}:
        raise ReadError(f"{name}: encoding {encoding[:20]}; save it as raw or gzip.")
    for skip in ("byte skip", "line skip"):
        if fields.get(skip, "0") != "0":
            raise ReadError(f"{name}: {skip} is not read; save the volume as one file.")
    kind = _type(fields.get("type", "missing"), _NRRD_TYPES, name)
    if kind.itemsize > 1:
        order = fields.get("endian", "missing").lower()
        if order not in {"little", "big"}:
            raise PixelDataError(f"{name}: endian is {order[:20]}; save the volume again.")
        kind = kind.newbyteorder("<" if order == "little" else ">")
    data = fields.get("data file")
    return TextHeader(
        name=name,
        format="NRRD",
        fields=fields,
        shape=shape,
        dtype=kind,
        data=path if data is None else _beside(path, data),
        offset=offset if data is None else 0,
        compressed=encoding != "raw",
    )


def _nrrd_fields(head: bytes, name: str) -> tuple[dict[str, str], int]:
    """Fields and key/value pairs, and where the header ends."""
    fields: dict[str, str] = {}
    offset = 0
    while True:
        end = head.find(b"\n", offset)
        if end < 0 and len(head) < MOST_HEADER_BYTES and "data file" in fields:
            end = len(head)  # a header of its own need not end with an empty line
        if end < 0:
            raise ReadError(f"{name}: its header has no end; the file is damaged or cut short.")
        line = head[offset:end].decode("utf-8", "surrogateescape").rstrip("\r")
        offset = end + 1
        if not line:
            return fields, min(offset, len(head))
        if line.startswith(("#", "NRRD000")):
            continue
        key, found, value = line.partition(":=")
        if not found:
            key, _, value = line.partition(": ")
            key = key.lower()
        key = _ONE_NAME.get(key, key)
        _enter(fields, key, value.strip(), name)


def _metaimage(path: Path, head: bytes) -> TextHeader:
    name = shown(path)
    fields, offset = _metaimage_fields(head, name)
    needed = {
        "ObjectType": {"Image"},
        "BinaryData": {"True", "true", "1"},
        "ElementNumberOfChannels": {"1"},
        "HeaderSize": {"0"},
        "ElementToIntensityFunctionSlope": {"1"},
        "ElementToIntensityFunctionOffset": {"0"},
    }
    for key, values in needed.items():
        value = fields.get(key, "missing" if key == "BinaryData" else min(values))
        if value not in values:
            raise ReadError(
                f"{name}: {key} is {value[:40]}; it must be {min(values)} for a plain CT volume; "
                "save it again."
            )
    shape = _shape(fields.get("NDims", ""), fields.get("DimSize", ""), name)
    kind = _type(fields.get("ElementType", "missing"), _META_TYPES, name)
    orders = (fields.get("BinaryDataByteOrderMSB"), fields.get("ElementByteOrderMSB"))
    big = {value.lower() in {"true", "1"} for value in orders if value is not None}
    if len(big) > 1:
        raise PixelDataError(f"{name}: two byte orders that contradict each other; save it again.")
    data = fields["ElementDataFile"]
    return TextHeader(
        name=name,
        format="MetaImage",
        fields=fields,
        shape=shape,
        dtype=kind.newbyteorder(">" if True in big else "<"),
        data=path if data.upper() == "LOCAL" else _beside(path, data),
        offset=offset if data.upper() == "LOCAL" else 0,
        compressed=fields.get("CompressedData", "False").lower() in {"true", "1"},
    )


def _metaimage_fields(head: bytes, name: str) -> tuple[dict[str, str], int]:
    """Fields up to ElementDataFile, which is the last, and where the header ends."""
    fields: dict[str, str] = {}
    offset = 0
    while "ElementDataFile" not in fields:
        end = head.find(b"\n", offset, offset + MOST_LINE)
        if end < 0 and offset < len(head) < min(MOST_HEADER_BYTES, offset + MOST_LINE):
            end = len(head)
        line = head[offset:end].decode("utf-8", "surrogateescape").rstrip("\r")
        key, equals, value = line.partition("=")
        if end < 0 or not equals or any(sign < " " and sign != "\t" for sign in line):
            raise ReadError(
                f"{name}: neither an NRRD nor a MetaImage header, or one that is damaged or cut "
                "short; export the volume again."
            )
        _enter(fields, key.strip(), value.strip(), name)
        offset = end + 1
    return fields, min(offset, len(head))


def _enter(fields: dict[str, str], key: str, value: str, name: str) -> None:
    """Keep a field, as a message may show it; one that is there twice may be read either way."""
    key = _printable(key)
    if key in fields:
        raise ReadError(f"{name}: {key[:40]} is in the header twice; save the volume again.")
    fields[key] = value if key in {"data file", "ElementDataFile"} else _printable(value)


def _printable(text: str) -> str:
    return "".join(sign if sign.isprintable() else "?" for sign in text)


def _shape(dimension: str, sizes: str, name: str) -> tuple[int, int, int]:
    numbers = sizes.split()
    whole = all(number.isascii() and number.isdecimal() and len(number) < 10 for number in numbers)
    if dimension != "3" or len(numbers) != 3 or not whole or 0 in map(int, numbers):
        raise ReadError(
            f"{name}: a CT is 3-D; this file has the dimension {dimension[:10] or 'missing'} and "
            f"the sizes {sizes[:60] or 'missing'}; save the one volume that is wanted."
        )
    columns, rows, slices = map(int, numbers)
    return columns, rows, slices


def _type(wanted: str, types: Mapping[str, str], name: str) -> np.dtype[np.generic]:
    for kind, names in types.items():
        if wanted in names.split("|"):
            return np.dtype(kind)
    raise PixelDataError(
        f"{name}: voxels of type {wanted[:40]} are no CT; save it as 16-bit integers."
    )


def _beside(path: Path, wanted: str) -> Path:
    """The file with the voxels, which must lie beside its header."""
    if wanted.upper().startswith("LIST") or "%" in wanted:
        raise ReadError(f"{shown(path)}: its voxels are in several files; save it as one file.")
    data = path.parent / wanted
    if "\0" in wanted or data.resolve().parent != path.parent.resolve():
        raise ReadError(
            f"{shown(path)}: its voxels are in another folder; put both files into one folder, or "
            "save the volume as one file."
        )
    if not data.is_file():
        raise MissingFileError(f"{shown(path)}: the file with its voxels is not beside it.")
    return data


def _check_nrrd_place(header: TextHeader) -> list[str]:
    fields, name = header.fields, header.name
    space = fields.get("space", "").lower()
    if space not in _SPACES:
        raise GeometryError(
            f"{name}: space is {space[:40] or 'missing'}, so which side is left is unknown; it "
            "must be left-posterior-superior, left-anterior-superior or right-anterior-superior."
        )
    vectors = fields.get("space directions", "missing")
    if not _are_numbers(vectors.translate(str.maketrans("(),", "   ")), 9):
        raise GeometryError(
            f"{name}: space directions must be three vectors (x,y,z) of numbers; got "
            f"{vectors[:80]}; convert the original series again."
        )
    units = {unit.strip().lower() for unit in fields.get("space units", "").split('"')}
    if not units <= _MILLIMETRES:
        raise GeometryError(
            f"{name}: its unit is {', '.join(sorted(units - _MILLIMETRES))[:40]}; "
            "convert it to millimetres."
        )
    if "space origin" not in fields:
        return [f"{name}: space origin is missing; its first voxel was put at (0, 0, 0) mm."]
    if not _are_numbers(fields["space origin"].translate(str.maketrans("(),", "   ")), 3):
        raise GeometryError(f"{name}: space origin must be three numbers; convert it again.")
    return []


def _check_metaimage_place(header: TextHeader) -> list[str]:
    fields, name = header.fields, header.name
    doubts = []
    for keys, count in _PLACE.items():
        given = [key for key in keys if key in fields]
        if not given and keys[0] in _DOUBTS:
            doubts.append(f"{name}: {keys[0]} is missing; {_DOUBTS[keys[0]]}.")
        elif len(given) != 1 or not _are_numbers(fields[given[0]], count):
            raise GeometryError(
                f"{name}: {' or '.join(given or keys)} must be there once, with {count} numbers; "
                "convert the original series again."
            )
    unit = fields.get("DistanceUnits", "mm").lower()
    if unit not in _MILLIMETRES | {"?"}:
        raise GeometryError(f"{name}: its unit is {unit[:20]}; convert it to millimetres.")
    return doubts


def _are_numbers(text: str, count: int) -> bool:
    """Whether this is ``count`` finite numbers."""
    try:
        numbers = [float(word) for word in text.split()]
    except ValueError:
        return False
    return len(numbers) == count and all(map(math.isfinite, numbers))

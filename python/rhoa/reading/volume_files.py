"""Files of one whole volume: NIfTI, the only place where RAS exists, NRRD and MetaImage."""

from __future__ import annotations

import gzip
import math
import os
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from rhoa.dicom.pixels import IMPOSSIBLE_HU, fill_padding
from rhoa.errors import (
    GeometryError,
    MissingFileError,
    PixelDataError,
    ReadError,
    VolumeError,
    require_extra,
)
from rhoa.files import printable, shown
from rhoa.reading.decoding import require_budget
from rhoa.reading.geometry import FARTHEST_MM, TILT_LIMIT_DEG
from rhoa.reading.quality import clear_background, volume_quality_report, warn_of_wrapped
from rhoa.reading.series_index import SeriesSummary
from rhoa.volume import RAS_TO_LPS, REVERSED, Volume

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from rhoa.errors import WarningCollector
    from rhoa.files import Progress


# The text headers of NRRD and MetaImage files: what ITK takes for granted is checked here.
#
# ITK reads a file without orientation as if it lay along the patient, one in centimetres as
# millimetres, and leaves a rescaling alone, all without a word; here each is an error or a warning.

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
_ASSUMED = {
    "TransformMatrix": "its axes were taken as left, posterior, superior: check which side is left",
    "Offset": "its first voxel was put at (0, 0, 0) mm",
}
_ITK_MILLIMETRES = frozenset(
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
    key = printable(key, most=len(key))
    if key in fields:
        raise ReadError(f"{name}: {key[:40]} is in the header twice; save the volume again.")
    is_path = key in {"data file", "ElementDataFile"}
    fields[key] = value if is_path else printable(value, most=len(value))


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
    if not units <= _ITK_MILLIMETRES:
        raise GeometryError(
            f"{name}: its unit is {', '.join(sorted(units - _ITK_MILLIMETRES))[:40]}; "
            "convert it to millimetres."
        )
    if "space origin" not in fields:
        return [f"{name}: space origin is missing; its first voxel was put at (0, 0, 0) mm."]
    if not _are_numbers(fields["space origin"].translate(str.maketrans("(),", "   ")), 3):
        raise GeometryError(f"{name}: space origin must be three numbers; convert it again.")
    return []


def _check_metaimage_place(header: TextHeader) -> list[str]:
    fields, name = header.fields, header.name
    warnings = []
    for keys, count in _PLACE.items():
        given = [key for key in keys if key in fields]
        if not given and keys[0] in _ASSUMED:
            warnings.append(f"{name}: {keys[0]} is missing; {_ASSUMED[keys[0]]}.")
        elif len(given) != 1 or not _are_numbers(fields[given[0]], count):
            raise GeometryError(
                f"{name}: {' or '.join(given or keys)} must be there once, with {count} numbers; "
                "convert the original series again."
            )
    unit = fields.get("DistanceUnits", "mm").lower()
    if unit not in _ITK_MILLIMETRES | {"?"}:
        raise GeometryError(f"{name}: its unit is {unit[:20]}; convert it to millimetres.")
    return warnings


def _are_numbers(text: str, count: int) -> bool:
    """Whether this is ``count`` finite numbers."""
    try:
        numbers = [float(word) for word in text.split()]
    except ValueError:
        return False
    return len(numbers) == count and all(map(math.isfinite, numbers))


# What files of one whole volume (NIfTI, NRRD, MetaImage) have in common: voxels, axes, report.


def require_finite(values: NDArray[Any], name: str) -> None:
    """Check that no voxel is NaN or infinite: one of them would spoil every ray through it."""
    if values.dtype.kind != "f":
        return
    wrong = values.size - np.count_nonzero(np.isfinite(values))
    if wrong:
        raise PixelDataError(
            f"{name}: {wrong} voxels are NaN or infinite; fill them (air is -1024) first."
        )


def to_hounsfield(
    values: NDArray[Any], name: str, findings: WarningCollector
) -> tuple[NDArray[Any], int]:
    """HU, int16 where that holds integers exactly, else float32; the number of padding voxels.

    An array that owns its memory may be changed and returned.
    """
    limits = np.iinfo(np.int16)
    low, high = values.min(), values.max()
    if not max(abs(float(low)), abs(float(high))) <= LARGEST_HU:
        raise PixelDataError(
            f"{name}: its voxels reach from {low:g} to {high:g}, which are no Hounsfield units; "
            "export it again."
        )
    whole = values.dtype.kind in "iu" and limits.min <= low and high <= limits.max
    kind = np.int16 if whole else np.float32
    hu: NDArray[Any] = values.astype(kind, copy=not values.flags.owndata)
    if low >= IMPOSSIBLE_HU:
        return hu, 0
    slices = np.moveaxis(hu, int(np.argmax(np.abs(hu.strides))), 0)
    counts = [fill_padding(one) for one in slices]
    padding, wrapped = np.sum(counts, axis=0).tolist()
    warn_of_wrapped(wrapped, findings)
    return hu, padding


def check_axes(affine: NDArray[np.float64], name: str) -> None:
    """Check that voxels are finite boxes with right angles."""
    axes = affine[:3, :3]
    lengths = np.linalg.norm(axes, axis=0)
    if not np.isfinite(affine).all() or not lengths.min() > 0:
        raise GeometryError(
            f"{name}: its affine holds NaN, infinity or a zero axis; "
            "convert the original series again."
        )
    cosines = np.abs(np.triu((axes / lengths).T @ (axes / lengths), 1)).max()
    shear = math.degrees(math.asin(min(1.0, cosines)))
    if shear > TILT_LIMIT_DEG:
        raise GeometryError(
            f"{name}: its voxels are sheared by {shear:.1f} deg (gantry tilt); "
            "read_ct needs a rectangular stack; resample it first."
        )


IDENTITY = (
    "the affine is the identity, as where none was known: neither the sides of the patient nor the "
    "spacing are certain; convert the original series again."
)


def doubts_of(affine: NDArray[np.float64]) -> list[str]:
    """What is doubtful about the affine of ``(k, j, i, 1)``: the identity is that of no scan."""
    to_lps = affine @ REVERSED
    if any(np.array_equal(axes, np.eye(4)) for axes in (to_lps, RAS_TO_LPS @ to_lps)):
        return [IDENTITY]
    return []


def report_of(
    hu: NDArray[Any],
    affine: NDArray[np.float64],
    findings: WarningCollector,
    *,
    syntax: str,
    padding: int,
) -> dict[str, Any]:
    """The report of a file of one volume, ``hu[k, j, i]``."""
    seen = volume_quality_report(hu, affine, findings)
    if seen["filled_hu"] is not None:
        clear_background(hu, seen["filled_hu"])
    for doubt in doubts_of(affine):
        findings.warn(doubt, GeometryError)
    return {
        "files": 1,
        "skipped": {},
        "series": 1,
        "slices": hu.shape[0],
        "repairs": [],
        "spacing_mm": np.linalg.norm(affine[:3, :3], axis=0).tolist(),
        "transfer_syntaxes": [syntax],
        "padding_voxels": padding,
        "hu_range": [float(hu.min()), float(hu.max())],
        **seen,
        "warnings": list(findings.warnings),
    }


def summary_of(
    shape: tuple[int, ...],
    affine: NDArray[np.float64] | None,
    *,
    syntax: str,
    reason: str,
    warnings: Sequence[str] = (),
) -> SeriesSummary:
    """The row of ``rhoa inspect`` for a file of one volume.

    Parameters
    ----------
    shape
        Slices, rows, columns.
    affine
        From ``(k, j, i, 1)`` to mm; None where it is unknown, for the ``reason`` given.
    """
    spacing: tuple[float, float, float] | None = None
    if affine is not None:
        dk, dj, di = np.linalg.norm(affine[:3, :3], axis=0).round(6).tolist()
        spacing = (dk, dj, di)
        warnings = [*warnings, *doubts_of(affine)]
    slices, rows, columns = shape
    return SeriesSummary(
        index=0,
        uid="",
        modality="",
        verdict="refused" if reason else "volume",
        slices=slices,
        rows=rows,
        columns=columns,
        spacing_mm=spacing,
        orientation="",
        kernel="",
        syntax=syntax,
        reason=reason,
        warnings=() if reason else tuple(warnings),
    )


# NIfTI files: the only place where RAS exists.

CONFLICT_MM = 0.5
LARGEST_HU = 1e30
"""Near it float32 ends."""
MOST_INFLATION, SMALL_BYTES = 200, 16 << 20
"""Voxels beyond the second may not take more than the first times their compressed file."""
MOST_EXTENSION_BYTES = 16 << 20
"""Between the header and the voxels. What is there is not read."""
_MILLIMETRES = frozenset(["mm", "unknown"])
_HEAD_BYTES = 540  # the larger header, that of NIfTI-2


@dataclass(frozen=True, slots=True)
class _Image:
    """A header, and its voxels that are still in the file."""

    header: Any
    voxels: Any  # of nibabel, which has no types
    shape: tuple[int, ...]
    dtype: np.dtype[Any]


def read_nifti(
    path: Path, *, max_bytes: int, findings: WarningCollector, progress: Progress | None
) -> Volume:
    """The volume in a ``.nii`` or ``.nii.gz`` file: HU as stored, the affine turned to LPS.

    Raises
    ------
    ReadError
        If the file is absent, damaged, not 3-D, too large, holds NaN or infinite voxels, or its two
        affines contradict each other (one of them would mirror or move the patient).
    """
    name = shown(path)
    values, affine = _placed_values(path, max_bytes)
    hu, padding = to_hounsfield(values, name, findings)
    if progress is not None:
        progress(1, 1, "reading voxels")
    report = report_of(hu.T, affine, findings, syntax="NIfTI", padding=padding)
    try:
        return Volume(hu.T, affine, report)
    except VolumeError as error:
        raise GeometryError(f"{name}: {error}") from None


def nifti_values(path: Path, *, max_bytes: int) -> tuple[NDArray[Any], NDArray[np.float64]]:
    """The values ``[k, j, i]`` in a file, scaled as its header says, and their affine to LPS mm.

    Raises
    ------
    ReadError
        As `read_nifti`.
    """
    values, affine = _placed_values(path, max_bytes)
    return values.T, affine


def _placed_values(path: Path, max_bytes: int) -> tuple[NDArray[Any], NDArray[np.float64]]:
    """Voxels (x, y, z), and the affine of (k, j, i)."""
    image = _open(path)
    name = shown(path)
    largest = image.dtype if image.dtype.itemsize > 2 else np.dtype("i2")
    require_budget(image.shape[:3], largest, max_bytes, name=name)
    # The file must be able to hold its voxels before anything is allocated for them.
    needed = math.prod(image.shape) * image.dtype.itemsize
    start, size = int(image.voxels.offset), path.stat().st_size
    if not 0 <= start <= MOST_EXTENSION_BYTES:
        raise PixelDataError(
            f"{name}: its voxels start at byte {start}; no header is that long; "
            "the file is damaged: export it again."
        )
    packed = path.suffix.lower() == ".gz"
    if needed > max(SMALL_BYTES, MOST_INFLATION * size) if packed else start + needed > size:
        raise PixelDataError(
            f"{name}: its voxels cannot be read: {' x '.join(map(str, image.shape))} take "
            f"{needed} bytes, the file has {size}{' compressed' if packed else ''}; "
            "the file is damaged or cut short: export it again."
        )
    affine = _affine(image.header, image.shape[:3], name)
    try:
        values = _values(image, name)
    except ReadError:
        raise
    except Exception as error:  # noqa: BLE001  # damaged streams raise anything
        raise PixelDataError(
            f"{name}: its voxels cannot be read ({type(error).__name__}); "
            "the file is damaged or cut short: export it again."
        ) from None
    return values, RAS_TO_LPS @ affine @ REVERSED


def summarise_nifti(path: Path) -> SeriesSummary:
    """What `read_nifti` would read, from the header alone."""
    image = _open(path)
    affine: NDArray[np.float64] | None = None
    reason = ""
    try:
        affine = RAS_TO_LPS @ _affine(image.header, image.shape[:3], shown(path)) @ REVERSED
    except ReadError as error:
        reason = str(error)
    return summary_of(image.shape[2::-1], affine, syntax="NIfTI", reason=reason)


def _open(path: Path) -> _Image:
    """The header and the place of the voxels; extensions are not read."""
    nibabel = require_extra("nibabel", extra="nifti", purpose="reading NIfTI")
    name = shown(path)
    if not os.path.isfile(path):  # noqa: PTH113  # Path.is_file raises where a name is too long
        raise MissingFileError(f"{name}: no such file; check the path.")
    try:
        with gzip.open(path) if path.suffix.lower() == ".gz" else path.open("rb") as stream:
            head = stream.read(_HEAD_BYTES)
        kinds = (nibabel.Nifti1Header, nibabel.Nifti2Header)
        kind = next(kind for kind in kinds if kind.may_contain_header(head))
        header = kind(head[: kind.sizeof_hdr])
        voxels = nibabel.arrayproxy.ArrayProxy(path, header)
        image = _Image(header, voxels, header.get_data_shape(), np.dtype(header.get_data_dtype()))
        single = header["magic"].item() == kind.single_magic
    except Exception as error:  # noqa: BLE001  # damaged headers raise anything
        raise ReadError(
            f"{name}: not a NIfTI file ({type(error).__name__}); export it again."
        ) from None
    if not single:
        raise ReadError(f"{name}: its voxels are in another file; export it as one file.")
    shape = image.shape
    if len(shape) < 3 or min(shape) < 1 or math.prod(shape[3:]) != 1:
        raise ReadError(
            f"{name}: a CT is 3-D; this file has the shape {shape}; "
            "save the one volume that is wanted."
        )
    if image.dtype.kind not in "iuf":
        raise PixelDataError(f"{name}: voxels of type {image.dtype} are no CT.")
    return image


def _affine(header: Any, shape: tuple[int, ...], name: str) -> NDArray[np.float64]:  # noqa: ANN401
    """Voxel (x, y, z) to RAS mm: the sform, or the qform where there is no sform."""
    try:
        unit = header.get_xyzt_units()[0]
    except KeyError:
        unit = f"code {int(header['xyzt_units'])}, which does not exist"
    if unit not in _MILLIMETRES:
        raise GeometryError(f"{name}: its unit is {unit}; convert the affine to millimetres.")
    codes = int(header["sform_code"]), int(header["qform_code"])
    if max(codes) <= 0:
        raise GeometryError(
            f"{name}: neither sform nor qform is set, so which side is left is unknown; "
            "convert the original series again."
        )
    try:
        sform = header.get_sform() if codes[0] > 0 else None
        qform = header.get_qform() if codes[1] > 0 else None
    except Exception:  # noqa: BLE001  # broken quaternions raise anything
        raise GeometryError(
            f"{name}: its qform is no rotation; convert the original series again."
        ) from None
    for matrix in (sform, qform):
        if matrix is not None and not np.abs(matrix).max() <= FARTHEST_MM:
            raise GeometryError(
                f"{name}: its affine holds NaN, infinity or a number that no scan has; "
                "convert the original series again."
            )
    affine = np.array(sform if sform is not None else qform, np.float64)
    check_axes(affine, name)
    if sform is not None and qform is not None:
        ends = np.meshgrid(*[(0, length - 1) for length in shape])
        corners = np.stack(ends, axis=-1).reshape(-1, 3)
        difference = np.array(sform) - np.array(qform)
        apart = np.linalg.norm(corners @ difference[:3, :3].T + difference[:3, 3], axis=1).max()
        mirrored = np.linalg.det(sform[:3, :3]) * np.linalg.det(qform[:3, :3]) < 0
        if mirrored or not apart <= CONFLICT_MM:
            what = "one mirrors the other" if mirrored else "one of them moves the patient"
            raise GeometryError(
                f"{name}: sform and qform place the scan {apart:.1f} mm apart ({what}); "
                "find out which is right and set the code of the other to 0."
            )
    return affine


def _values(image: _Image, name: str) -> NDArray[Any]:
    """Voxels (x, y, z), scaled."""
    slope, intercept = float(image.voxels.slope), float(image.voxels.inter)
    values: NDArray[Any] = np.asarray(image.voxels.get_unscaled()).reshape(image.shape[:3])
    require_finite(values, name)
    if (slope, intercept) != (1.0, 0.0):
        whole = values.dtype.kind in "iu" and slope.is_integer() and intercept.is_integer()
        wide = np.int64 if whole and max(abs(slope), abs(intercept)) < 2**31 else np.float64
        values = values.astype(wide)
        with np.errstate(over="ignore"):  # found below
            values *= wide(slope)
            values += wide(intercept)
    return values


# NRRD and MetaImage files: ITK says where the voxels lie, in LPS; they are read here.
#
# ITK fills up or leaves wrong what a damaged compressed stream does not give, and says so on stderr
# at most. So the voxels are read and inflated here, with the checksums that both formats have.

MOST_DEFLATE_RATIO = 1032
"""Of deflate, at most."""
_BLOCK_BYTES = 1 << 20
_SIDES = ("RL", "AP", "IS")
"""Letters of an axis along +x or -x, +y or -y, +z or -z: ITK names the side where it begins."""
_ALONG = 1e-3  # least part of an axis along the side that its letter names


def read_itk(
    path: Path, *, max_bytes: int, findings: WarningCollector, progress: Progress | None
) -> Volume:
    """The volume in an NRRD or MetaImage file: HU as stored, the affine as ITK reads it.

    Raises
    ------
    ReadError
        If the file is absent, damaged, not 3-D, too large, holds NaN or infinite voxels, or does
        not say which side is left.
    MissingExtraError
        If SimpleITK is not installed.
    """
    header = read_text_header(path)
    values, affine = _placed_itk_values(path, header, max_bytes, findings)
    hu, padding = to_hounsfield(values, header.name, findings)
    if progress is not None:
        progress(1, 1, "reading voxels")
    report = report_of(hu, affine, findings, syntax=header.format, padding=padding)
    try:
        return Volume(hu, affine, report)
    except VolumeError as error:
        raise GeometryError(f"{header.name}: {error}") from None


def itk_values(
    path: Path, *, max_bytes: int, findings: WarningCollector
) -> tuple[NDArray[Any], NDArray[np.float64]]:
    """The values ``[k, j, i]`` in a file, and their affine to LPS mm.

    Raises
    ------
    ReadError
        As `read_itk`.
    """
    return _placed_itk_values(path, read_text_header(path), max_bytes, findings)


def _placed_itk_values(
    path: Path, header: TextHeader, max_bytes: int, findings: WarningCollector
) -> tuple[NDArray[Any], NDArray[np.float64]]:
    largest = header.dtype if header.dtype.itemsize > 2 else np.dtype("i2")
    require_budget(header.shape[::-1], largest, max_bytes, name=header.name)
    for warning in check_place(header):
        findings.warn(warning, GeometryError)
    affine = _itk_affine(path, header)
    values = _voxels(header, findings)
    require_finite(values, header.name)
    return values, affine


def summarise_itk(path: Path) -> SeriesSummary:
    """What `read_itk` would read, from the header alone."""
    header = read_text_header(path)
    affine: NDArray[np.float64] | None = None
    reason, warnings = "", []
    try:
        warnings = check_place(header)
        affine = _itk_affine(path, header)
        _check_itk_size(header)
    except ReadError as error:
        reason = str(error)
    shape = header.shape[::-1]
    return summary_of(shape, affine, syntax=header.format, reason=reason, warnings=warnings)


def _itk_affine(path: Path, header: TextHeader) -> NDArray[np.float64]:
    """From ``(k, j, i, 1)`` to LPS mm, as SimpleITK reads the header; no voxel is read."""
    sitk = require_extra("SimpleITK", extra="itk", purpose="reading NRRD and MetaImage")
    reader: Any = sitk.ImageFileReader()
    try:
        reader.SetImageIO("NrrdImageIO" if header.format == "NRRD" else "MetaImageIO")
        reader.SetFileName(str(path))
        reader.ReadImageInformation()
    except Exception as error:  # noqa: BLE001  # ITK's messages hold whole paths
        raise ReadError(
            f"{header.name}: ITK cannot read its header ({type(error).__name__}); "
            "export the volume again."
        ) from None
    if (tuple(reader.GetSize()), reader.GetNumberOfComponents()) != (header.shape, 1):
        raise ReadError(
            f"{header.name}: the header says {header.shape} voxels of one number, ITK reads "
            f"{tuple(reader.GetSize())} of {reader.GetNumberOfComponents()}; "
            "export the volume again."
        )
    directions = np.reshape(reader.GetDirection(), (3, 3))
    lps = np.eye(4)
    lps[:3, :3] = directions * np.array(reader.GetSpacing())
    lps[:3, 3] = reader.GetOrigin()
    check_axes(lps, header.name)
    _check_letters(header.fields.get("AnatomicalOrientation", "???"), directions, header.name)
    affine: NDArray[np.float64] = lps @ REVERSED
    return affine


def _check_letters(letters: str, directions: NDArray[np.float64], name: str) -> None:
    """Check that AnatomicalOrientation, which ITK ignores, does not contradict the matrix."""
    if not letters.strip("?"):
        return
    axes = [
        (row, 1 - 2 * side.index(letter))
        for letter in letters.upper()
        for row, side in enumerate(_SIDES)
        if letter in side
    ]
    fits = len(letters) == len(axes) == 3 and all(
        sign * directions[row, column] > _ALONG for column, (row, sign) in enumerate(axes)
    )
    if not fits:
        raise GeometryError(
            f"{name}: AnatomicalOrientation is {letters[:10]}, which TransformMatrix (identity "
            "where it is missing) contradicts: one of them turns or mirrors the patient; "
            "find out which is right and take the other out."
        )


def _check_itk_size(header: TextHeader) -> int:
    """Bytes that the voxels take, which the file must be able to give before they are allocated."""
    needed = math.prod(header.shape) * header.dtype.itemsize
    packed = header.data.stat().st_size - header.offset
    if needed > (MOST_DEFLATE_RATIO * packed if header.compressed else packed):
        size = " x ".join(map(str, header.shape[::-1]))
        raise PixelDataError(
            f"{header.name}: {size} voxels take {needed} bytes, "
            f"{packed}{' compressed' if header.compressed else ''} are there; "
            "the file is damaged or cut short: export it again."
        )
    return needed


def _voxels(header: TextHeader, findings: WarningCollector) -> NDArray[Any]:
    """Stored values ``[k, j, i]`` in this machine's byte order."""
    needed = _check_itk_size(header)
    values: NDArray[Any] = np.empty(header.shape[::-1], header.dtype)
    room = values.view(np.uint8).reshape(-1).data
    try:
        with header.data.open("rb") as file:
            file.seek(header.offset)
            if header.compressed:
                _inflate(file, room, header.name)
                left = 0
            else:
                left = needed - file.readinto(room)
                extra = len(file.read(_BLOCK_BYTES))
    except OSError as error:
        raise ReadError(f"{header.name}: its voxels cannot be read ({error.strerror}).") from None
    if left:
        raise PixelDataError(f"{header.name}: the file became shorter while it was read.")
    if not header.compressed and extra:
        findings.warn(
            f"{header.name}: there are bytes after its voxels; they are ignored.", PixelDataError
        )
    native = header.dtype.newbyteorder("=")
    return values if header.dtype == native else values.astype(native)


def _inflate(file: Any, room: memoryview, name: str) -> None:  # noqa: ANN401  # a binary file
    """Fill ``room`` from a zlib or gzip stream, whose checksum must be right."""
    stream = zlib.decompressobj(zlib.MAX_WBITS | 32)  # either of the two
    filled = 0
    try:
        while not stream.eof:
            packed = stream.unconsumed_tail or file.read(_BLOCK_BYTES)
            block = stream.decompress(packed, min(_BLOCK_BYTES, len(room) - filled + 1))
            if filled + len(block) > len(room) or not (packed or block):
                break
            room[filled : filled + len(block)] = block
            filled += len(block)
    except zlib.error:
        raise PixelDataError(
            f"{name}: its compressed voxels are damaged; export the volume again."
        ) from None
    if not stream.eof or filled != len(room):
        raise PixelDataError(
            f"{name}: its compressed voxels are {'fewer' if filled < len(room) else 'more'} than "
            f"the header says, or have no end ({filled} of {len(room)} bytes); "
            "the file is damaged or cut short: export the volume again."
        )

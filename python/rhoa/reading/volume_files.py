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
from rhoa.volume import RAS_TO_LPS, REVERSED, Volume, from_sitk

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
_YES = frozenset({"True", "true", "1"})
_PLAIN = {
    "NRRD": {
        "encoding": frozenset({"raw", "gzip", "gz"}),
        "byte skip": frozenset({"0"}),
        "line skip": frozenset({"0"}),
    },
    "MetaImage": {
        "ObjectType": frozenset({"Image"}),
        "BinaryData": _YES,
        "HeaderSize": frozenset({"0"}),
        "ElementToIntensityFunctionSlope": frozenset({"1"}),
        "ElementToIntensityFunctionOffset": frozenset({"0"}),
    },
}
"""What fields must hold, where they are there: with others ITK reads other voxels, or other HU."""
_ASSUMED = {
    "TransformMatrix": "its axes were taken as left, posterior, superior: check which side is left",
    "Offset": "its first voxel was put at (0, 0, 0) mm",
}
_ITK_MILLIMETRES = frozenset(
    ["mm", "millimeter", "millimeters", "millimetre", "millimetres", "", "???"]
)


@dataclass(frozen=True, slots=True)
class TextHeader:
    """The fields of a header, and where its voxels are."""

    name: str
    format: str
    """"NRRD" or "MetaImage"."""
    fields: Mapping[str, str]
    data: Path
    """The file with the voxels: the same, or one beside it."""
    offset: int

    @property
    def packed(self) -> bool:
        """Whether the voxels are compressed by zlib or gzip."""
        if self.format == "NRRD":
            return self.fields.get("encoding", "").lower() != "raw"
        return self.fields.get("CompressedData") in _YES


def read_text_header(path: Path) -> TextHeader:
    """The header of a ``.nrrd``, ``.nhdr``, ``.mha`` or ``.mhd`` file.

    Raises
    ------
    ReadError
        If it is none, or its voxels are elsewhere or are no plain numbers of HU.
    """
    name = shown(path)
    if not os.path.isfile(path):  # noqa: PTH113  # Path.is_file raises where a name is too long
        raise MissingFileError(f"{name}: no such file; check the path.")
    try:
        with path.open("rb") as file:
            head = file.read(MOST_HEADER_BYTES)
    except OSError as error:
        raise ReadError(
            f"{name}: the file cannot be read ({error.strerror}); check its permissions."
        ) from None
    kind = "NRRD" if head.startswith(b"NRRD000") else "MetaImage"
    fields, offset = (_nrrd_fields if kind == "NRRD" else _metaimage_fields)(head, name)
    if any(key.startswith(("Segment0_", "Segmentation_")) for key in fields):
        raise PixelDataError(f"{name}: a segmentation (labels), no CT; pass the CT itself.")
    for key, values in _PLAIN[kind].items():
        value = fields.get(key, min(values))
        if value.lower() not in values and value not in values:
            raise ReadError(
                f"{name}: {key} is {value[:40]}; it must be {min(values)} for a plain CT volume; "
                "save it again."
            )
    orders = (fields.get("BinaryDataByteOrderMSB"), fields.get("ElementByteOrderMSB"))
    if len({order in _YES for order in orders if order is not None}) > 1:
        raise PixelDataError(f"{name}: two byte orders that contradict each other; save it again.")
    data = fields.get("data file" if kind == "NRRD" else "ElementDataFile")
    if data is None or (kind == "MetaImage" and data.upper() == "LOCAL"):
        return TextHeader(name, kind, fields, path, offset)
    return TextHeader(name, kind, fields, _beside(path, data), 0)


def check_place(header: TextHeader) -> list[str]:
    """What is doubtful about where the voxels lie in the patient; nothing for a complete header.

    Raises
    ------
    GeometryError
        If it is unknown which side is left, or the unit is not millimetres.
    """
    check = _check_nrrd_place if header.format == "NRRD" else _check_metaimage_place
    return check(header)


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


def affine_warnings(affine: NDArray[np.float64]) -> list[str]:
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
    for warning in affine_warnings(affine):
        findings.warn(warning, GeometryError)
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
        warnings = [*warnings, *affine_warnings(affine)]
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


# NRRD and MetaImage files: ITK reads them, and says where the voxels lie, in LPS.
#
# ITK fills up or leaves wrong what a damaged compressed stream does not give, and says so on stderr
# at most. So such a stream is inflated here first, for the checksums that both formats have.

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
    reader, dtype = _itk_reader(path, header)
    shape = reader.GetSize()[::-1]
    largest = dtype if dtype.itemsize > 2 else np.dtype("i2")
    require_budget(shape, largest, max_bytes, name=header.name)
    for warning in check_place(header):
        findings.warn(warning, GeometryError)
    _itk_affine(reader, header)
    needed = math.prod(shape) * dtype.itemsize
    _check_itk_size(header, shape, needed)
    if header.packed:
        _check_packed(header, needed)
    elif header.data.stat().st_size - header.offset > needed:
        findings.warn(
            f"{header.name}: there are bytes after its voxels; they are ignored.", PixelDataError
        )
    try:
        values, affine = from_sitk(reader.Execute())
    except Exception as error:  # noqa: BLE001  # ITK's messages hold whole paths
        raise PixelDataError(
            f"{header.name}: ITK cannot read its voxels ({type(error).__name__}); "
            "export the volume again."
        ) from None
    require_finite(values, header.name)
    return values, affine


def summarise_itk(path: Path) -> SeriesSummary:
    """What `read_itk` would read, from the header alone."""
    header = read_text_header(path)
    reader, dtype = _itk_reader(path, header)
    shape = reader.GetSize()[::-1]
    affine: NDArray[np.float64] | None = None
    reason, warnings = "", []
    try:
        warnings = check_place(header)
        affine = _itk_affine(reader, header)
        _check_itk_size(header, shape, math.prod(shape) * dtype.itemsize)
    except ReadError as error:
        reason = str(error)
    return summary_of(shape, affine, syntax=header.format, reason=reason, warnings=warnings)


def _itk_reader(path: Path, header: TextHeader) -> tuple[Any, np.dtype[Any]]:
    """SimpleITK's reader of a 3-D image before it reads voxels, and their type."""
    sitk = require_extra("SimpleITK", extra="itk", purpose="reading NRRD and MetaImage")
    reader: Any = sitk.ImageFileReader()
    try:
        reader.SetImageIO("NrrdImageIO" if header.format == "NRRD" else "MetaImageIO")
        reader.SetFileName(str(path))
        reader.ReadImageInformation()
        one = sitk.Image([1] * 3, reader.GetPixelID(), reader.GetNumberOfComponents())
        dtype = sitk.GetArrayViewFromImage(one).dtype
    except Exception as error:  # noqa: BLE001  # ITK's messages hold whole paths
        check_place(header)  # says what is wrong, where that is the place
        raise ReadError(
            f"{header.name}: ITK cannot read its header ({type(error).__name__}); "
            "export the volume again."
        ) from None
    size, numbers = reader.GetSize(), reader.GetNumberOfComponents()
    if len(size) != 3 or numbers != 1 or dtype.kind not in "iuf":
        raise ReadError(
            f"{header.name}: a CT is 3-D; this file has the dimension {len(size)}, the sizes "
            f"{size} and {numbers} numbers of type {dtype} a voxel; save the one volume that is "
            "wanted."
        )
    said = header.fields.get("sizes" if header.format == "NRRD" else "DimSize", "missing")
    if said.split() != [str(length) for length in size]:
        raise ReadError(
            f"{header.name}: the header says {said[:40]} voxels, ITK reads {size}; a CT is 3-D; "
            "export the volume again."
        )
    return reader, dtype


def _itk_affine(reader: Any, header: TextHeader) -> NDArray[np.float64]:  # noqa: ANN401  # SimpleITK's
    """From ``(k, j, i, 1)`` to LPS mm, as SimpleITK reads the header; no voxel is read."""
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


def _check_itk_size(header: TextHeader, shape: tuple[int, ...], needed: int) -> None:
    """Check that the file can give the bytes that the voxels take, before they are allocated."""
    there = header.data.stat().st_size - header.offset
    if needed > (MOST_DEFLATE_RATIO * there if header.packed else there):
        size = " x ".join(map(str, shape))
        raise PixelDataError(
            f"{header.name}: {size} voxels take {needed} bytes, "
            f"{there}{' compressed' if header.packed else ''} are there; "
            "the file is damaged or cut short: export it again."
        )


def _check_packed(header: TextHeader, needed: int) -> None:
    """Check the length and the checksum of a zlib or gzip stream."""
    stream = zlib.decompressobj(zlib.MAX_WBITS | 32)  # either of the two
    length = 0
    try:
        with header.data.open("rb") as file:
            file.seek(header.offset)
            while not stream.eof and length <= needed:
                packed = stream.unconsumed_tail or file.read(_BLOCK_BYTES)
                block = stream.decompress(packed, _BLOCK_BYTES)
                if not (packed or block):
                    break
                length += len(block)
    except OSError as error:
        raise ReadError(f"{header.name}: its voxels cannot be read ({error.strerror}).") from None
    except zlib.error:
        raise PixelDataError(
            f"{header.name}: its compressed voxels are damaged; export the volume again."
        ) from None
    if not stream.eof or length != needed:
        raise PixelDataError(
            f"{header.name}: its compressed voxels are {'fewer' if length < needed else 'more'} "
            f"than the header says, or have no end ({length} of {needed} bytes); "
            "the file is damaged or cut short: export the volume again."
        )

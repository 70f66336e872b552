"""NRRD and MetaImage files: ITK tells where the voxels lie, in LPS; they are read here.

ITK fills up or leaves wrong what a damaged compressed stream does not give, and says so on stderr
at most. So the voxels are read and inflated here, with the checksums that both formats have.
"""

from __future__ import annotations

import math
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np

from rhoa.errors import GeometryError, PixelDataError, ReadError, VolumeError, require_extra
from rhoa.exchange import REVERSED
from rhoa.reading.decoding import require_budget
from rhoa.reading.itk_headers import TextHeader, check_place, read_text_header
from rhoa.reading.voxels import check_axes, report_of, require_finite, summary_of, to_hounsfield
from rhoa.volume import Volume

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from rhoa.reading.catalogue import SeriesSummary
    from rhoa.reading.files import Progress
    from rhoa.reading.findings import Findings


MOST_INFLATION = 1032
"""Of deflate, at most."""
_BLOCK_BYTES = 1 << 20
_SIDES = ("RL", "AP", "IS")
"""Letters of an axis along +x or -x, +y or -y, +z or -z: ITK names the side where it begins."""
_ALONG = 1e-3  # least part of an axis along the side that its letter names


def read_itk(
    path: Path, *, max_bytes: int, findings: Findings, progress: Progress | None
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
    values, affine = _placed_values(path, header, max_bytes, findings)
    hu, padding = to_hounsfield(values, header.name)
    if progress is not None:
        progress(1, 1, "reading voxels")
    report = report_of(hu, affine, findings, syntax=header.format, padding=padding)
    try:
        return Volume(hu, affine, report)
    except VolumeError as error:
        raise GeometryError(f"{header.name}: {error}") from None


def itk_values(
    path: Path, *, max_bytes: int, findings: Findings
) -> tuple[NDArray[Any], NDArray[np.float64]]:
    """The values ``[k, j, i]`` in a file, and their affine to LPS mm.

    Raises
    ------
    ReadError
        As `read_itk`.
    """
    return _placed_values(path, read_text_header(path), max_bytes, findings)


def _placed_values(
    path: Path, header: TextHeader, max_bytes: int, findings: Findings
) -> tuple[NDArray[Any], NDArray[np.float64]]:
    largest = header.dtype if header.dtype.itemsize > 2 else np.dtype("i2")
    require_budget(header.shape[::-1], largest, max_bytes, name=header.name)
    for doubt in check_place(header):
        findings.warn(doubt, GeometryError)
    affine = _affine(path, header)
    values = _voxels(header, findings)
    require_finite(values, header.name)
    return values, affine


def summarise_itk(path: Path) -> SeriesSummary:
    """What `read_itk` would read, from the header alone."""
    header = read_text_header(path)
    affine: NDArray[np.float64] | None = None
    reason, doubts = "", []
    try:
        doubts = check_place(header)
        affine = _affine(path, header)
        _check_size(header)
    except ReadError as error:
        reason = str(error)
    shape = header.shape[::-1]
    return summary_of(shape, affine, syntax=header.format, reason=reason, warnings=doubts)


def _affine(path: Path, header: TextHeader) -> NDArray[np.float64]:
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


def _check_size(header: TextHeader) -> int:
    """Bytes that the voxels take, which the file must be able to give before they are allocated."""
    needed = math.prod(header.shape) * header.dtype.itemsize
    packed = header.data.stat().st_size - header.offset
    if needed > (MOST_INFLATION * packed if header.compressed else packed):
        size = " x ".join(map(str, header.shape[::-1]))
        raise PixelDataError(
            f"{header.name}: {size} voxels take {needed} bytes, "
            f"{packed}{' compressed' if header.compressed else ''} are there; "
            "the file is damaged or cut short: export it again."
        )
    return needed


def _voxels(header: TextHeader, findings: Findings) -> NDArray[Any]:
    """Stored values ``[k, j, i]`` in this machine's byte order."""
    needed = _check_size(header)
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

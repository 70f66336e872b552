"""NIfTI files: the only place where RAS exists."""

from __future__ import annotations

import gzip
import math
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from rhoa.errors import (
    GeometryError,
    MissingFileError,
    PixelDataError,
    ReadError,
    VolumeError,
    require_extra,
)
from rhoa.exchange import RAS_TO_LPS, REVERSED
from rhoa.reading.bounded import shown
from rhoa.reading.decoding import require_budget
from rhoa.reading.geometry import FARTHEST_MM
from rhoa.reading.voxels import check_axes, report_of, require_finite, summary_of, to_hounsfield
from rhoa.volume import Volume

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from rhoa.reading.catalogue import SeriesSummary
    from rhoa.reading.files import Progress
    from rhoa.reading.findings import Findings


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
    path: Path, *, max_bytes: int, findings: Findings, progress: Progress | None
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
    hu, padding = to_hounsfield(values, name)
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
    _check_size(image, path)
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
    """The header and the place of the voxels; extensions are not looked at."""
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


def _check_size(image: _Image, path: Path) -> None:
    """Check that the file can hold its voxels, before anything is allocated for them."""
    needed = math.prod(image.shape) * image.dtype.itemsize
    start, size = int(image.voxels.offset), path.stat().st_size
    if not 0 <= start <= MOST_EXTENSION_BYTES:
        raise PixelDataError(
            f"{shown(path)}: its voxels start at byte {start}; no header is that long; "
            "the file is damaged: export it again."
        )
    packed = path.suffix.lower() == ".gz"
    if needed > max(SMALL_BYTES, MOST_INFLATION * size) if packed else start + needed > size:
        raise PixelDataError(
            f"{shown(path)}: its voxels cannot be read: {' x '.join(map(str, image.shape))} take "
            f"{needed} bytes, the file has {size}{' compressed' if packed else ''}; "
            "the file is damaged or cut short: export it again."
        )


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
        _check_agreement(np.array(sform), np.array(qform), shape, name)
    return affine


def _check_agreement(
    sform: NDArray[np.float64], qform: NDArray[np.float64], shape: tuple[int, ...], name: str
) -> None:
    """Check that both affines put the scan at one place, the same side left."""
    corners = np.stack(np.meshgrid(*[(0, length - 1) for length in shape]), axis=-1).reshape(-1, 3)
    difference = sform - qform
    apart = np.linalg.norm(corners @ difference[:3, :3].T + difference[:3, 3], axis=1).max()
    mirrored = np.linalg.det(sform[:3, :3]) * np.linalg.det(qform[:3, :3]) < 0
    if mirrored or not apart <= CONFLICT_MM:
        what = "one mirrors the other" if mirrored else "one of them moves the patient"
        raise GeometryError(
            f"{name}: sform and qform place the scan {apart:.1f} mm apart ({what}); "
            "find out which is right and set the code of the other to 0."
        )


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

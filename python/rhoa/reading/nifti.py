"""NIfTI files: the only place where RAS exists."""

from __future__ import annotations

import math
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
from rhoa.reading.decoding import require_budget
from rhoa.reading.voxels import check_axes, report_of, require_finite, summary_of, to_hounsfield
from rhoa.volume import Volume

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from rhoa.reading.findings import Findings
    from rhoa.reading.series import SeriesSummary

    Progress = Callable[[int, int, str], object]

RAS_TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
# (k, j, i, 1) of a Volume to the (x, y, z, 1) voxel indices of the file.
REVERSED = np.array([[0, 0, 1, 0], [0, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 1.0]])
CONFLICT_MM = 0.5
_MILLIMETRES = frozenset(["mm", "unknown"])


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
    image = _open(path)
    stored = np.dtype(image.get_data_dtype())
    require_budget(image.shape[:3], max(np.dtype("i2"), stored), max_bytes)
    affine = _affine(image.header, image.shape[:3], path.name)
    try:
        hu, padding = _voxels(image, path.name)
    except ReadError:
        raise
    except Exception as error:  # noqa: BLE001  # damaged streams raise anything
        raise PixelDataError(
            f"{path.name}: its voxels cannot be read ({type(error).__name__}); "
            "the file is damaged or cut short: export it again."
        ) from None
    if progress is not None:
        progress(1, 1, "reading voxels")
    volume = _volume(hu, affine, path.name)
    report = report_of(volume.hu, volume.affine, findings, syntax="NIfTI", padding=padding)
    return Volume(volume.hu, volume.affine, report)


def summarise_nifti(path: Path) -> SeriesSummary:
    """What `read_nifti` would read, from the header alone."""
    image = _open(path)
    affine: NDArray[np.float64] | None = None
    reason = ""
    try:
        affine = RAS_TO_LPS @ _affine(image.header, image.shape[:3], path.name) @ REVERSED
    except ReadError as error:
        reason = str(error)
    return summary_of(image.shape[2::-1], affine, syntax="NIfTI", reason=reason)


def _open(path: Path) -> Any:  # noqa: ANN401  # nibabel has no types
    nibabel = require_extra("nibabel", extra="nifti", purpose="reading NIfTI")
    if not path.is_file():
        raise MissingFileError(f"{path.name}: no such file; check the path.")
    try:
        image = nibabel.load(path)
    except Exception as error:  # noqa: BLE001  # damaged headers raise anything
        raise ReadError(
            f"{path.name}: not a NIfTI file ({type(error).__name__}); export it again."
        ) from None
    if not hasattr(image, "get_qform"):
        raise ReadError(f"{path.name}: not a NIfTI file; export it as NIfTI-1.")
    shape = image.shape
    if len(shape) < 3 or 0 in shape or math.prod(shape[3:]) != 1:
        raise ReadError(
            f"{path.name}: a CT is 3-D; this file has the shape {shape}; "
            "save the one volume that is wanted."
        )
    return image


def _affine(header: Any, shape: tuple[int, ...], name: str) -> NDArray[np.float64]:  # noqa: ANN401
    """Voxel (x, y, z) to RAS mm: the sform, or the qform where there is no sform."""
    unit = header.get_xyzt_units()[0]
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


def _voxels(image: Any, name: str) -> tuple[NDArray[Any], int]:  # noqa: ANN401  # nibabel has no types
    """Voxels (x, y, z), int16 where that holds them exactly, else float32; padding voxels."""
    slope, intercept = float(image.dataobj.slope), float(image.dataobj.inter)
    values: NDArray[Any] = np.asarray(image.dataobj.get_unscaled()).reshape(image.shape[:3])
    if values.dtype.kind not in "iuf":
        raise PixelDataError(f"{name}: voxels of type {values.dtype} are no CT.")
    require_finite(values, name)
    if (slope, intercept) != (1.0, 0.0):
        whole = values.dtype.kind in "iu" and slope.is_integer() and intercept.is_integer()
        wide = np.int64 if whole and max(abs(slope), abs(intercept)) < 2**31 else np.float64
        values = values.astype(wide) * wide(slope) + wide(intercept)
    return to_hounsfield(values, name)


def _volume(hu: NDArray[Any], affine: NDArray[np.float64], name: str) -> Volume:
    try:
        return Volume(hu.T, RAS_TO_LPS @ affine @ REVERSED)
    except VolumeError as error:
        raise GeometryError(f"{name}: {error}") from None

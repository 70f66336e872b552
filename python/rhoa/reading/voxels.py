"""What files of one whole volume (NIfTI, NRRD, MetaImage) have in common: voxels, axes, report."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from rhoa.errors import GeometryError, PixelDataError
from rhoa.reading.catalogue import SeriesSummary
from rhoa.reading.geometry import TILT_LIMIT_DEG
from rhoa.reading.looks import judge_volume
from rhoa.reading.stored import AIR_HU, IMPOSSIBLE_HU

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from rhoa.reading.findings import Findings

LARGEST_HU = 1e30
"""Near it float32 ends."""


def require_finite(values: NDArray[Any], name: str) -> None:
    """Check that no voxel is NaN or infinite: one of them would spoil every ray through it."""
    if values.dtype.kind != "f":
        return
    wrong = values.size - np.count_nonzero(np.isfinite(values))
    if wrong:
        raise PixelDataError(
            f"{name}: {wrong} voxels are NaN or infinite; fill them (air is -1024) first."
        )


def to_hounsfield(values: NDArray[Any], name: str) -> tuple[NDArray[Any], int]:
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
    padding = hu < IMPOSSIBLE_HU
    hu[padding] = AIR_HU
    return hu, int(padding.sum())


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


def report_of(
    hu: NDArray[Any],
    affine: NDArray[np.float64],
    findings: Findings,
    *,
    syntax: str,
    padding: int,
) -> dict[str, Any]:
    """The report of a file of one volume, ``hu[k, j, i]``."""
    seen = judge_volume(hu, affine, findings)
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

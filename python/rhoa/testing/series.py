"""A DICOM series or a NIfTI file whose every voxel is known, with the defect that is asked for."""

from __future__ import annotations

import gzip
import struct
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from rhoa.errors import (
    ParameterError,
    require_choice,
    require_count,
    require_extra,
    require_positive,
)

# Each of these enters its defects in the catalogue.
from rhoa.testing import defects  # noqa: F401
from rhoa.testing.synthetic import (
    CATALOGUE,
    PATIENT_POSITIONS,
    Draft,
    Series,
    Verdict,
    VoxelGrid,
    lattice,
    ramp,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from os import PathLike

    from numpy.typing import ArrayLike, NDArray


# A DICOM series whose every voxel is known, with the defect that is asked for.

SMALLEST = (8, 32, 32)
"""Slices, rows and columns: room for every defect, and enough pixels for JPEG 2000."""
DENSEST_HU = 3000
"""The ramp must stay below: 12 bits hold -1024 to 3071 HU."""

DEFECTS: Mapping[str, str] = MappingProxyType(
    {name: CATALOGUE[name].description for name in sorted(CATALOGUE)}
)
"""What `make_series` can do, by name. Some are no defects: unusual series that are right."""


def make_series(
    folder: str | PathLike[str],
    *,
    defect: str | None = None,
    shape: tuple[int, int, int] = (12, 64, 48),
    spacing_mm: tuple[float, float, float] = (2.0, 0.7, 0.8),
    origin_mm: tuple[float, float, float] = (-20.0, -30.0, 100.0),
    position: str = "HFS",
    orientation: ArrayLike | None = None,
    seed: int = 0,
) -> Series:
    """Write a small CT series with known Hounsfield units into an empty folder.

    Voxel (k, j, i) has -900 + 100 k + 3 j + i HU, so that a slice out of order, a flip or a
    transposition shows in every voxel; some defects need a body in air and have that instead.
    Nothing in the files is like a patient's data: text elements hold the word CANARY.

    Parameters
    ----------
    folder
        Where to write; it is made if need be.
    defect
        A name from `DEFECTS`; None for a series without fault.
    shape
        Slices, rows, columns; at least 8 x 32 x 32.
    spacing_mm
        Between slices, rows, columns.
    origin_mm
        Patient LPS mm of voxel (0, 0, 0).
    position
        PatientPosition, which gives the orientation, too; some defects have their own.
    orientation
        The direction (LPS) of growing column index and that of growing row index, six numbers, in
        place of those that follow from ``position``.
    seed
        Which slices a defect strikes, and whatever else of it is left to chance.

    Returns
    -------
    Series
        The files, the truth, and what a reader must make of them.

    Raises
    ------
    ParameterError
        If there is no such defect, or the other options leave no room for it.
    MissingExtraError
        If a defect needs an encoder that is not installed.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     series = make_series(folder, defect="gantry-tilt")
    >>> series.verdict, series.error, series.repair
    ('error', 'GeometryError', ('tilt',))
    """
    if defect is not None:
        require_choice("defect", defect, DEFECTS)
    folder = Path(folder)
    grid = _grid(shape, spacing_mm, origin_mm, position, orientation)
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise ParameterError(f"{folder.name}: the folder must be empty; pass another one.")
    random = np.random.default_rng([require_count("seed", seed, least=0), 6])
    draft = Draft(folder, grid, position, random)
    draft.lay()
    entry = None if defect is None else CATALOGUE[defect]
    if entry is not None:
        entry.make(draft)
    paths = [image.write(folder) for image in draft.images]
    return Series(
        path=folder,
        paths=(*paths, *draft.others),
        hu=draft.hu,
        affine=draft.affine,
        defect=defect,
        verdict="volume" if entry is None else entry.verdict,
        error=None if entry is None else entry.error,
        repair=() if entry is None else entry.repair,
        tolerance_hu=draft.tolerance_hu,
    )


def _grid(
    shape: tuple[int, int, int],
    spacing_mm: tuple[float, float, float],
    origin_mm: tuple[float, float, float],
    position: str,
    orientation: ArrayLike | None,
) -> VoxelGrid:
    """The grid of the series, its numbers checked."""
    for name, count, least in zip(("slices", "rows", "columns"), shape, SMALLEST, strict=True):
        require_count(name, count, least=least)
    densest = int(ramp(np.array(shape) - 1))
    if densest > DENSEST_HU:
        raise ParameterError(
            f"shape {tuple(shape)} makes a ramp up to {densest} HU; it must end at {DENSEST_HU} or "
            "below: take fewer slices, rows or columns."
        )
    for step in spacing_mm:
        require_positive("spacing_mm", step)
    require_choice("position", position, PATIENT_POSITIONS)
    if orientation is None:
        orientation = PATIENT_POSITIONS[position]
    try:
        directions = np.array(orientation, np.float64).reshape(2, 3)
    except (TypeError, ValueError):
        directions = np.zeros((2, 3))
    if not np.allclose(directions @ directions.T, np.eye(2), rtol=0, atol=1e-6):
        raise ParameterError(
            f"orientation must be two perpendicular unit vectors (x, y, z); got {orientation!r}."
        )
    return VoxelGrid(directions[0], directions[1], spacing_mm, origin_mm, shape)


# A NIfTI file whose every voxel is known, with the defect that is asked for.

RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
# (x, y, z, 1) of the file to (k, j, i, 1) of the truth.
_REVERSED = np.array([[0, 0, 1, 0], [0, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 1.0]])
_HEADER_BYTES = 352
_DIM = 40  # where the header keeps its shape


@dataclass(slots=True)
class _File:
    """The file before it is written: ``data[x, y, z]`` and its two affines (RAS)."""

    data: NDArray[Any]
    sform: NDArray[np.float64] | None
    qform: NDArray[np.float64] | None
    truth: NDArray[np.int64] | None
    unit: str = "mm"
    edit: Callable[[bytes], bytes] | None = None


@dataclass(frozen=True, slots=True)
class _Defect:
    description: str
    make: Callable[[_File], None]
    error: str | None = None
    verdict: Verdict | None = None


def make_nifti(
    path: str | PathLike[str],
    *,
    defect: str | None = None,
    shape: tuple[int, int, int] = (12, 64, 48),
    spacing_mm: tuple[float, float, float] = (2.0, 0.7, 0.8),
    origin_mm: tuple[float, float, float] = (-20.0, -30.0, 100.0),
) -> Series:
    """Write a small CT with known Hounsfield units as one NIfTI file.

    Values are those of `make_series`; k runs upward, j backward and i to the patient's left.

    Parameters
    ----------
    path
        The file, ``.nii`` or ``.nii.gz``.
    defect
        A name from `NIFTI_DEFECTS`; None for a file without fault.
    shape, spacing_mm, origin_mm
        As in `make_series`.

    Returns
    -------
    Series
        The file, the truth, and what a reader must make of it.

    Raises
    ------
    ParameterError
        If there is no such defect, or the name is no NIfTI file's.
    MissingExtraError
        If nibabel is not installed.
    """
    nibabel = require_extra("nibabel", extra="nifti", purpose="rhoa.testing.make_nifti")
    path = Path(path)
    if not path.name.endswith((".nii", ".nii.gz")):
        raise ParameterError(f"{path.name}: a NIfTI file's name ends with .nii or .nii.gz.")
    if defect is not None:
        require_choice("defect", defect, NIFTI_DEFECTS)
    for name, count in zip(("slices", "rows", "columns"), shape, strict=True):
        require_count(name, count, least=3)
    grid = VoxelGrid(spacing_mm=spacing_mm, origin_mm=origin_mm, shape=shape)
    hu = ramp(lattice(grid.shape))
    affine = RAS @ grid.affine @ _REVERSED
    file = _File(hu.T.astype(np.int16), affine, affine.copy(), hu)
    entry = _Defect("", lambda _: None) if defect is None else _CATALOGUE[defect]
    entry.make(file)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(_written(nibabel, file, zipped=path.suffix == ".gz"))
    return Series(
        path=path,
        paths=(path,),
        hu=file.truth,
        affine=None if file.truth is None else grid.affine,
        defect=defect,
        verdict=entry.verdict or ("error" if entry.error else "volume"),
        error=entry.error,
        repair=(),
        tolerance_hu=1.0,
    )


def _written(nibabel: Any, file: _File, *, zipped: bool) -> bytes:  # noqa: ANN401  # untyped
    image = nibabel.Nifti1Image(file.data, None, dtype=file.data.dtype)
    known = next((affine for affine in (file.sform, file.qform) if affine is not None), np.eye(4))
    image.header.set_zooms((*np.linalg.norm(known[:3, :3], axis=0), *[1] * (file.data.ndim - 3)))
    image.header.set_sform(file.sform, code=0 if file.sform is None else 1)
    image.header.set_qform(file.qform, code=0 if file.qform is None else 1)
    image.header.set_xyzt_units(file.unit)
    content: bytes = image.to_bytes()
    if file.edit is not None:
        content = file.edit(content)
    return gzip.compress(content, mtime=0) if zipped else content


def _mirrored(file: _File) -> None:
    file.qform = np.diag([-1.0, 1, 1, 1]) @ np.array(file.qform)
    file.truth = None


def _moved(file: _File) -> None:
    file.qform = np.array(file.qform)
    file.qform[:3, 3] += [0, 0, 7]
    file.truth = None


def _set(**values: Any) -> Callable[[_File], None]:  # noqa: ANN401  # attributes of the file
    def make(file: _File) -> None:
        for name, value in values.items():
            setattr(file, name, value)

    return make


def _not_finite(value: float) -> Callable[[_File], None]:
    def spoil(file: _File) -> None:
        file.data = file.data.astype(np.float32)
        file.data[2, 1, 1] = value
        file.truth = None

    return spoil


def _affine_nan(file: _File) -> None:
    file.sform = np.array(file.sform)
    file.sform[1, 3] = np.nan
    file.qform = file.truth = None


def _sheared(file: _File) -> None:
    file.sform = np.array(file.sform)
    file.sform[1, 2] = file.sform[2, 2] * np.tan(np.radians(15))
    file.qform = file.truth = None


def _bomb(file: _File) -> None:
    def claim(content: bytes) -> bytes:
        sides = struct.pack("<4h", 3, 32767, 32767, 32767)
        return (content[:_DIM] + sides + content[_DIM + len(sides) :])[: _HEADER_BYTES + 64]

    file.edit, file.truth = claim, None


def _four_d(file: _File) -> None:
    file.data = np.stack([file.data, file.data + 7], axis=-1)
    file.truth = None


def _padding(file: _File) -> None:
    if file.truth is None:
        return
    file.truth = file.truth.copy()
    file.truth[:, :2] = -1024
    file.data = file.data.copy()
    file.data[:, :2] = -3024


_CATALOGUE = {
    "affine-nan": _Defect("NaN in the affine", _affine_nan, "GeometryError"),
    "bomb": _Defect("32767 x 32767 x 32767 voxels are claimed", _bomb, "ReadError"),
    "cut": _Defect(
        "the file ends after half of its voxels",
        _set(edit=lambda content: content[: len(content) // 2], truth=None),
        "ReadError",
    ),
    "four-d": _Defect("two volumes in one file", _four_d, "ReadError"),
    "inf": _Defect("one voxel is infinite", _not_finite(np.inf), "PixelDataError"),
    "metres": _Defect("the affine is in metres", _set(unit="meter", truth=None), "GeometryError"),
    "nan": _Defect("one voxel is NaN", _not_finite(np.nan), "PixelDataError"),
    "no-code": _Defect(
        "neither qform nor sform is set",
        _set(sform=None, qform=None, truth=None),
        "GeometryError",
    ),
    "padding": _Defect("-3024 outside the field of view", _padding, verdict="repair"),
    "qform-mirrors": _Defect("the qform mirrors the sform", _mirrored, "GeometryError"),
    "qform-moves": _Defect("the qform is 7 mm off the sform", _moved, "GeometryError"),
    "qform-only": _Defect("only the qform is set", _set(sform=None)),
    "sform-only": _Defect("only the sform is set", _set(qform=None)),
    "sheared": _Defect("sheared voxels", _sheared, "GeometryError"),
}

NIFTI_DEFECTS: Mapping[str, str] = MappingProxyType(
    {name: entry.description for name, entry in _CATALOGUE.items()}
)
"""What `make_nifti` can do, by name. Some are no defects: unusual files that are right."""

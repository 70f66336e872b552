"""A DICOM series whose every voxel is known, with the defect that is asked for."""

from __future__ import annotations

from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

from rhoa.errors import ParameterError, require_choice, require_count, require_positive

# Each of these enters its defects in the catalogue.
from rhoa.testing import enhanced, files, geometry, pixels  # noqa: F401
from rhoa.testing.draft import CATALOGUE, Draft, Series, ramp
from rhoa.testing.images import PATIENT_POSITIONS, Grid

if TYPE_CHECKING:
    from collections.abc import Mapping
    from os import PathLike

    from numpy.typing import ArrayLike, NDArray

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
) -> Grid:
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
    along_row, along_column = _directions(
        PATIENT_POSITIONS[position] if orientation is None else orientation
    )
    return Grid(along_row, along_column, spacing_mm, origin_mm, shape)


def _directions(orientation: ArrayLike) -> NDArray[np.float64]:
    try:
        directions = np.array(orientation, np.float64).reshape(2, 3)
    except (TypeError, ValueError):
        directions = np.zeros((2, 3))
    if not np.allclose(directions @ directions.T, np.eye(2), rtol=0, atol=1e-6):
        raise ParameterError(
            f"orientation must be two perpendicular unit vectors (x, y, z); got {orientation!r}."
        )
    return directions

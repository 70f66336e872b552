"""Small CT series on disk, right in every respect, or wrong in the one that a test names."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom import uid
from pydicom.dataset import FileDataset
from pydicom.uid import UID, ExplicitVRLittleEndian

from rhoa.testing.synthetic import (
    INTERCEPT,
    PATIENT_POSITIONS,
    ROOT,
    VoxelGrid,
    decimals,
    image_dataset,
    save,
    set_pixels,
)

__all__ = [
    "INTERCEPT",
    "PATIENT_POSITIONS",
    "ROOT",
    "SMALL",
    "SYNTAXES",
    "VoxelGrid",
    "decimals",
    "image_dataset",
    "ramp",
    "save",
    "set_pixels",
    "write_series",
]

SYNTAXES = [
    uid.ImplicitVRLittleEndian,
    uid.ExplicitVRLittleEndian,
    uid.ExplicitVRBigEndian,
    uid.DeflatedExplicitVRLittleEndian,
    uid.RLELossless,
    uid.JPEGLSLossless,
    uid.JPEG2000Lossless,
]
"""Transfer syntaxes that lose nothing and can be written here."""

SMALL = (9, 40, 36)
"""Voxels of a series with a defect that is one at any size."""


def ramp(lps: NDArray[np.float64]) -> NDArray[np.int64]:
    """HU that tell every place: steeper to the left than to the back than to the head."""
    return np.rint(lps @ [3.0, 2.0, 1.0]).astype(np.int64)


def write_series(
    folder: Path,
    grid: VoxelGrid | None = None,
    *,
    hu: NDArray[np.int64] | None = None,
    syntax: UID = ExplicitVRLittleEndian,
    edit: Callable[[int, FileDataset], object] | None = None,
    series: str = "1",
) -> list[Path]:
    """Write ``hu`` (default: `ramp`) slice by slice; names and numbers say nothing of the order.

    ``edit(k, dataset)`` may change slice ``k`` before it is written. The paths are in the order of
    the slices.
    """
    grid = grid or VoxelGrid()
    hu = ramp(grid.lps()) if hu is None else hu
    random = np.random.default_rng(0)
    numbers = random.permutation(len(hu))
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for k, (plane, number) in enumerate(zip(hu, numbers, strict=True)):
        image = image_dataset(grid, k, plane, series=series)
        image.InstanceNumber = int(number)
        if edit is not None:
            edit(k, image)
        path = folder / f"{series}-{number:03d}.dcm"
        save(image, path, syntax)
        paths.append(path)
    return paths

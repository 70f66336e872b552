"""Metal in a scan: where voxels are brighter than any bone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from rhoa.reading.looks import METAL_CM3, METAL_HU

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from rhoa.volume import Volume

CELL_MM = 5.0
"""Bright voxels in touching cells of this size are one piece."""
MOST_METAL = 0.1
"""Of all voxels; where more are brighter, the values are no Hounsfield units."""
LEAST_END_HU = 1200
"""Values that end below this are no CT of bone; between here and metal, the end hides it."""
PLATEAU_CM3 = 0.5
"""At the highest value: no bone has as much of one value, unless the scale ends there."""


@dataclass(frozen=True, slots=True, eq=False)
class BrightVoxels:
    """All voxels above 2500 HU."""

    lps_mm: NDArray[np.float64]
    """Their centres, ``(n, 3)``."""
    voxel_cm3: float
    highest_hu: float
    too_many: bool
    """Whether there are more than metal can be; then none of them is kept."""

    @property
    def cm3(self) -> float:
        """Volume of all of them."""
        return len(self.lps_mm) * self.voxel_cm3


def bright_voxels(volume: Volume) -> BrightVoxels:
    """The voxels above 2500 HU.

    One pass in the order of memory, however the axes are stored.
    """
    order = sorted(range(3), key=lambda axis: -abs(volume.hu.strides[axis]))
    found: list[NDArray[np.intp]] = []
    count, most, highest = 0, MOST_METAL * volume.hu.size, -np.inf
    for n, slab in enumerate(volume.hu.transpose(order)):
        top = slab.max()
        highest = max(highest, float(top))
        if top <= METAL_HU:
            continue
        places = np.argwhere(slab > METAL_HU)
        count += len(places)
        if count > most:
            found = []
            break
        found.append(np.column_stack([np.full(len(places), n), places]))
    index = np.concatenate(found) if found else np.empty((0, 3), np.intp)
    lps = volume.to_lps(index[:, np.argsort(order)])
    voxel_cm3 = abs(float(np.linalg.det(volume.affine[:3, :3]))) / 1000
    return BrightVoxels(lps, voxel_cm3, highest, count > most)


def metal_pieces(bright: BrightVoxels) -> list[tuple[float, NDArray[np.float64]]]:
    """Volume in cm3 and centre in LPS mm of each piece of at least 0.5 cm3, largest first."""
    if bright.cm3 <= METAL_CM3:
        return []
    from scipy.ndimage import label

    low = bright.lps_mm.min(axis=0)
    cells = tuple(((bright.lps_mm - low) / CELL_MM).astype(np.intp).T)
    occupied = np.zeros([int(axis.max()) + 1 for axis in cells], dtype=bool)
    occupied[cells] = True
    labels, count = label(occupied, np.ones((3, 3, 3)))
    piece = labels[cells]
    pieces = []
    for number in range(1, count + 1):
        points = bright.lps_mm[piece == number]
        if len(points) * bright.voxel_cm3 > METAL_CM3:
            pieces.append((len(points) * bright.voxel_cm3, points.mean(axis=0)))
    return sorted(pieces, key=lambda one: -one[0])


def ends_below_metal(slices: NDArray[np.int16], highest_hu: float, voxel_cm3: float) -> bool:
    """Whether values are cut off where bone still is, so that metal cannot be told from it."""
    if not LEAST_END_HU <= highest_hu <= METAL_HU:
        return False
    return bool(np.count_nonzero(slices >= int(highest_hu)) * voxel_cm3 > PLATEAU_CM3)

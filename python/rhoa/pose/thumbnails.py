"""A scan looked at from afar: every axial slice, some of its rows and columns."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from rhoa.reading.hounsfield import doubt_of
from rhoa.reading.looks import field_of_view, is_body, thumbnail_step
from rhoa.volume import Volume

if TYPE_CHECKING:
    from numpy.typing import NDArray

VOID_HU = -1024
"""What a voxel without a number counts as."""
_INT16 = (-(1 << 15), (1 << 15) - 1)
_MOST_SAMPLED = 40  # slices in which the field of view is looked for


@dataclass(frozen=True, eq=False)
class Thumbnails:
    """Axial slices ``[k, j, i]``, ``k`` along the array axis that runs most nearly upright.

    ``k`` counts the scan's own slices, as they are stored; rows run along the front-back axis and
    columns along the left-right axis, every ``step``-th of them, as they are stored, too.
    """

    grid: Volume
    """HU, int16, and where they lie in the patient."""
    step: int
    slice_axis: int
    voxels: NDArray[Any]
    """The scan itself, its axes in the same order."""
    unknown: NDArray[np.bool_] | None
    """Voxels of the grid without a number; None where each has one."""

    @classmethod
    def of(cls, volume: Volume) -> Thumbnails:
        """The scan from afar; at most 128 rows and columns."""
        axes = volume.axes
        order = (axes.superior, axes.posterior, axes.left)
        voxels = volume.hu.transpose(order)
        step = thumbnail_step(voxels.shape[1:])
        few, unknown = voxels[:, ::step, ::step], None
        if few.dtype.kind == "f":
            unknown = ~np.isfinite(few)
            few = np.where(unknown, VOID_HU, few)
            unknown = unknown if unknown.any() else None
        if few.dtype != np.int16:
            few = np.clip(few.astype(np.float32), *_INT16)
        affine = volume.affine.copy()
        affine[:3, :3] = volume.affine[:3, list(order)] * (1, step, step)
        grid = Volume(few.astype(np.int16), affine)
        return cls(grid, step, axes.superior, voxels, unknown)

    @property
    def slices(self) -> NDArray[np.int16]:
        """HU of the grid."""
        return self.grid.hu

    @cached_property
    def is_doubtful(self) -> bool:
        """Whether the values cannot be Hounsfield units."""
        return bool(doubt_of(self.slices))

    @cached_property
    def is_body(self) -> bool:
        """Whether this is large enough for a body, and is one."""
        return not self.is_doubtful and is_body(self.slices)

    @cached_property
    def field(self) -> NDArray[np.bool_]:
        """Rows and columns inside the circle of reconstruction, or all of them."""
        count = len(self.slices)
        few = np.linspace(0, count - 1, min(count, _MOST_SAMPLED)).astype(int)
        return field_of_view(self.slices[few])

    def places(self, lps_mm: NDArray[np.float64]) -> tuple[NDArray[np.intp], ...]:
        """Indices ``k, j, i`` of the grid nearest to points ``(n, 3)``."""
        index = np.rint(self.grid.to_index(lps_mm))
        return tuple(np.clip(index, 0, np.array(self.slices.shape) - 1).astype(np.intp).T)

"""A small copy of a CT along the patient's axes: means of blocks, about 2 mm wide."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from rhoa.threads import side_by_side
from rhoa.volume import Volume

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

TARGET_MM = 2.0
AIR_HU = -1024.0
"""What an unknown voxel counts as."""
DENSITIES_HU = (AIR_HU, 1500.0)
LARGE = 1.4
"""Times the voxels that are wanted: the least that are made smaller."""


def coarse(
    volume: Volume,
    *,
    target_mm: float = TARGET_MM,
    progress: Callable[[int, int, str], None] | None = None,
) -> Volume:
    """Block means of the volume, float32 HU, ``k`` superior, ``j`` posterior, ``i`` left.

    Axes that are about as coarse as ``target_mm`` already stay as they are. Voxels that do not fill
    a block at the far ends are left out. The axes are ordered and turned to run most nearly along
    the patient's; an oblique volume stays oblique. Nothing of the volume's size is copied.
    """
    source = along_patient(volume)
    blocks = [max(1, round(target_mm / step)) for step in source.spacing_mm]
    blocks = [min(block, length) for block, length in zip(blocks, source.shape, strict=True)]
    k, j, i = (n // block for n, block in zip(source.shape, blocks, strict=True))
    means = np.empty((k, j, i), np.float32)
    wide = np.int32 if source.hu.dtype.kind in "biu" and source.hu.dtype.itemsize <= 2 else float

    def mean(slab: int) -> None:
        part = source.hu[
            slab * blocks[0] : (slab + 1) * blocks[0], : j * blocks[1], : i * blocks[2]
        ]
        rows = np.zeros((j, i * blocks[2]), wide)
        for layer in part:
            for first in range(blocks[1]):
                rows += layer[first :: blocks[1]]
        means[slab] = sum(rows[:, first :: blocks[2]] for first in range(blocks[2]))

    for done, _ in enumerate(side_by_side(mean, range(k)), 1):
        if progress is not None:
            progress(done, k, "bone")
    means /= np.float32(np.prod(blocks))
    if wide is float:
        np.nan_to_num(means, copy=False, nan=AIR_HU, posinf=AIR_HU, neginf=AIR_HU)
    affine = source.affine.copy()
    affine[:3, 3] = source.to_lps([(block - 1) / 2 for block in blocks])
    affine[:3, :3] *= blocks
    return Volume(means, affine)


def finer(volume: Volume, target_mm: float) -> Volume:
    """The same with voxels of about ``target_mm`` where they were larger, interpolated by cubics.

    In voxels of 3 mm a joint space is gone; between them it is not. Edges are found at voxels, and
    between linear pieces there is none: a spine of 3 mm voxels was lost. Metal is as dense as dense
    bone, lest a cubic overshoot beside it.
    """
    hu, affine = volume.hu, volume.affine.copy()
    if max(volume.spacing_mm) < LARGE * target_mm:
        return volume
    from scipy.ndimage import zoom

    hu = np.clip(hu, *DENSITIES_HU).astype(np.float32)
    for axis, (step, length) in enumerate(zip(volume.spacing_mm, volume.shape, strict=True)):
        if step < LARGE * target_mm or length < 2:
            continue
        # The first and the last voxel stay where they are; a cubic spline is linear in its values.
        count = round((length - 1) * step / target_mm) + 1
        spline = zoom(np.eye(length, dtype=np.float32), (count / length, 1), order=3)
        hu = np.moveaxis(np.tensordot(spline, hu, (1, axis)), 0, axis)
        affine[:3, axis] *= (length - 1) / (count - 1)
    return Volume(np.ascontiguousarray(hu), affine)


def along_patient(volume: Volume) -> Volume:
    """A view of the volume whose axes grow most nearly superior, posterior and left."""
    superior, posterior, left, signs = volume.axes
    order = (superior, posterior, left)
    view: NDArray[np.generic] = volume.hu.transpose(order)
    affine = volume.affine[:, [*order, 3]].copy()
    for axis, sign in enumerate(signs):
        if sign < 0:
            affine[:3, 3] += (view.shape[axis] - 1) * affine[:3, axis]
            affine[:3, axis] *= -1
            view = np.flip(view, axis)
    return Volume(view, affine)

"""Bone in a grey CT: the body without its table, what is dense in it, its surface and its edges."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from rhoa.errors import PoseError
from rhoa.pose.masks import surface_points
from rhoa.pose.slabs import by_slabs
from rhoa.threads import side_by_side
from rhoa.volume import Volume

if TYPE_CHECKING:
    from numpy.typing import NDArray

BONE_HU = 200.0
"""Of a 2 mm mean; the shell of every bone of an adult is above, soft tissue far below."""
RANGE_HU = (-200.0, 1500.0)
"""Beyond it a voxel counts as the limit, so that metal does not outshine its neighbours."""
SMOOTHING_VOXELS, SMOOTHING_REACH = 0.7, 3
TISSUE_HU = -300.0
BODY_MM = 5.0
"""Step of the body's outline; what is thinner than three steps, a table's shell, is not body."""
DENSE_HU, EDGE_HU = 100.0, 60.0
"""Least of a voxel at an edge, and of the difference between its neighbours."""
VOXELS_AT_ONCE = 50_000


@dataclass(frozen=True, slots=True, eq=False)
class Bone:
    """What is dense in a body: bone, and contrast that looks like it."""

    grid: Volume
    """Smoothed HU within `RANGE_HU`, its low end outside the body."""
    mask: NDArray[np.bool_]
    points: NDArray[np.float64]
    """Centres of the surface voxels, patient LPS mm."""


def bone_of(grid: Volume) -> Bone:
    """The bone of a coarse copy of a CT.

    Raises
    ------
    PoseError
        If nothing in it is as dense as bone.
    """
    smooth = smoothed(np.where(body_of(grid), grid.hu, RANGE_HU[0]))
    mask = smooth > BONE_HU
    points = surface_points(mask, grid)
    if not len(points):
        raise PoseError(
            f"volume: no bone, nothing inside the body above {BONE_HU:g} HU; "
            "a pelvis is needed; check the Hounsfield units (rescale slope and intercept)."
        )
    return Bone(Volume(smooth, grid.affine), mask, points)


def body_of(grid: Volume) -> NDArray[np.bool_]:
    """The patient: the largest piece of tissue, filled slice by slice, without the table.

    Everything, where nothing is tissue. A grid with ``k`` superior, as `coarse` makes it.
    """
    from scipy.ndimage import binary_dilation, binary_fill_holes, binary_opening, label

    steps = [max(1, round(BODY_MM / step)) for step in grid.spacing_mm]
    tissue = grid.hu[:: steps[0], :: steps[1], :: steps[2]] > TISSUE_HU
    # The body goes on beyond the scan: its ends are no skin.
    padded = np.pad(tissue, 1, mode="edge")
    pieces, count = label(binary_opening(padded)[1:-1, 1:-1, 1:-1])
    if not count:
        return np.ones(grid.shape, bool)
    sizes = np.bincount(pieces.ravel())
    sizes[0] = 0
    body = binary_dilation(pieces == sizes.argmax())
    body = np.stack(list(side_by_side(binary_fill_holes, body)))
    for axis, (step, length) in enumerate(zip(steps, grid.shape, strict=True)):
        body = body.repeat(step, axis=axis).take(range(length), axis=axis)
    whole: NDArray[np.bool_] = body
    return whole


def smoothed(hu: NDArray[np.float32]) -> NDArray[np.float32]:
    """HU within `RANGE_HU`, with less noise."""
    from scipy.ndimage import gaussian_filter

    def smooth(slab: NDArray[np.float32]) -> NDArray[np.float32]:
        filtered: NDArray[np.float32] = gaussian_filter(
            np.clip(slab, *RANGE_HU), SMOOTHING_VOXELS, radius=SMOOTHING_REACH
        )
        return filtered

    return by_slabs(smooth, hu, reach=SMOOTHING_REACH)


def edges(grid: Volume) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Where smoothed HU change fastest, and the unit direction in which they grow there; LPS, rows.

    The surface of a femoral head is among them where its socket touches it.
    """
    hu = grid.hu
    dense = np.zeros(hu.shape, bool)
    inner = (slice(2, -2),) * 3
    dense[inner] = hu[inner] > DENSE_HU
    every, flat = np.flatnonzero(dense), hu.ravel()
    steps = np.array([hu.shape[1] * hu.shape[2], hu.shape[2], 1])

    def steepest(at: NDArray[np.intp]) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
        slope = flat[at[:, None] + steps] - flat[at[:, None] - steps]
        steep = np.abs(slope).max(axis=1) > EDGE_HU
        at, slope = at[steep], slope[steep]
        along = steps[np.abs(slope).argmax(axis=1)]
        steepness = np.abs(slope).max(axis=1)
        # Steeper than one voxel further on and one before, along the axis nearest to the direction.
        kept = steepness >= np.abs(flat[at + 2 * along] - flat[at])
        kept &= steepness >= np.abs(flat[at] - flat[at - 2 * along])
        return at[kept], slope[kept]

    pieces = np.array_split(every, -(-len(every) // VOXELS_AT_ONCE) or 1)
    at, slope = map(np.concatenate, zip(*side_by_side(steepest, pieces), strict=True))
    uphill = slope.astype(np.float64) @ np.linalg.inv(grid.affine[:3, :3])
    uphill /= np.linalg.norm(uphill, axis=1, keepdims=True)
    index = np.stack(np.unravel_index(at, hu.shape), axis=1)
    return grid.to_lps(index), uphill

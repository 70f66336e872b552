"""Bone about two femoral heads, read in several ways: each leaves out what may be contrast.

No test tells bone from contrast in every scan. Each of these works where another fails: what is
thick throughout is no iliac wing; what lies behind bone, seen from the side, is inside the pelvis,
and what lies before a step is beside the wing; what has no counterpart on the other side is no part
of a pelvis.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from rhoa.pose.cloud import thinned
from rhoa.pose.masks import surface_points
from rhoa.pose.slabs import by_slabs
from rhoa.threads import side_by_side
from rhoa.volume import Volume

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from rhoa.pose.bone import Bone
    from rhoa.pose.heads import Heads

# The pelvis about the line through the heads, mm; thighs and arms beyond.
HALF_WIDTH_MM, REACH_MM = 165.0, 165.0
THIGH_X_MM, THIGH_Z_MM = 45.0, -55.0
LOWEST_MM = -80.0
"""Below are thighs alone, which may be bent or crossed before the plane of the pelvis."""
MOST_POINTS = 25_000
# Thick: a cube of which this share is dense, and all that lies within another cube about it.
CUBE_MM, DENSE, SPREAD_MM = 17.0, 0.92, 21.0
JOINT_MM = 66.0
"""Bone this close to a head may be thick."""
PUBIS_MM = (55.0, 15.0)
"""So may bone this close to the middle and no higher above the heads."""
CELL_MM, DEEP_MM = 3.0, 6.0
"""What is seen from the side: the outermost of each cell, and what lies less deep behind it."""
INNER_MM = 5.0
"""A spine lies farther to the side than the middle of the head less this."""
STEPS_MM = (4.0, 7.0)
"""From one cell to the next a wing goes in or out by less; two readings."""
LEAST_OUT_MM = 30.0
WING_Y_MM, WING_Z_MM = (-20.0, 45.0), (28.0, 65.0)
"""Where a wing is surely seen from the side, in the heads' frame: over the joint."""
OFF_MM = 6.0
"""A bone's mirror image lies within this of the other side's."""
NEIGHBOURS = ((0, 1), (1, 0), (1, 1), (1, -1))


def readings(bone: Bone, heads: Heads) -> dict[str, NDArray[np.float64]]:
    """Clouds of surface points about the heads, patient LPS mm, by what was left out."""
    every = about(bone.points, heads)
    thin = _without_thick(bone, heads, every)
    outer, thin_outer = (seen_from_the_side(points, heads) for points in (every, thin))
    near, far = (wings(every, heads, step_mm=step) for step in STEPS_MM)
    clouds = {"every": every, "outer": outer, "wings": near}
    doubtful = {
        "every": every,
        "thin": thin,
        "outer": outer,
        "thin outer": thin_outer,
        "wings": near,
        "far wings": far,
        "thin wings": wings(thin, heads, step_mm=STEPS_MM[1]),
    }
    paired = side_by_side(lambda points: with_counterpart(points, heads), doubtful.values())
    names = [f"{name}, paired" for name in doubtful]
    return clouds | dict(zip(names, paired, strict=True))


def about(points: NDArray[np.float64], heads: Heads) -> NDArray[np.float64]:
    """Points where the pelvis of these heads is, without arms and thighs, 25 000 at most."""
    local = heads.local(points)
    lateral = np.abs(local[:, 0])
    kept = (lateral < HALF_WIDTH_MM) & (np.hypot(local[:, 1], local[:, 2]) < REACH_MM)
    kept &= (local[:, 2] > THIGH_Z_MM) | ((lateral < THIGH_X_MM) & (local[:, 2] > LOWEST_MM))
    return thinned(points[kept], MOST_POINTS)


def _beside_joints(local: NDArray[np.float64], heads: Heads) -> NDArray[np.bool_]:
    """Which points of the heads' frame lie where thick bone is: at the joints and the pubis."""
    lateral = np.abs(local[:, 0])
    away = np.hypot(lateral - heads.apart_mm / 2, np.hypot(local[:, 1], local[:, 2]))
    near: NDArray[np.bool_] = away < JOINT_MM
    near |= (lateral < PUBIS_MM[0]) & (local[:, 2] < PUBIS_MM[1])
    return near


def _without_thick(bone: Bone, heads: Heads, every: NDArray[np.float64]) -> NDArray[np.float64]:
    """The surface of what is left when thick pieces are taken away, but at joints and pubis."""
    from scipy.ndimage import find_objects, maximum_filter, uniform_filter

    box, grid = _box(bone, heads)
    mask = bone.mask[box]
    spacing = np.array(grid.spacing_mm)
    cube, spread = (
        np.maximum(3, np.rint(size / spacing).astype(int)) for size in (CUBE_MM, SPREAD_MM)
    )
    dense = by_slabs(
        lambda slab: uniform_filter(slab.astype(np.float32), cube) > DENSE, mask, reach=int(cube[0])
    )
    thick = np.zeros_like(dense)
    for found in find_objects(dense.view(np.int8)):  # one box about all of it
        about_it = tuple(
            slice(max(0, side.start - reach), side.stop + reach)
            for side, reach in zip(found, spread, strict=True)
        )
        thick[about_it] = maximum_filter(dense[about_it], spread)
    points = about(surface_points(mask & ~thick, grid), heads)
    beside, apart = (_beside_joints(heads.local(cloud), heads) for cloud in (every, points))
    return np.concatenate([every[beside], points[~apart]])


def _box(bone: Bone, heads: Heads) -> tuple[tuple[slice, ...], Volume]:
    """The part of the grid that holds the pelvis about the heads."""
    signs = np.stack(np.meshgrid(*[(-1, 1)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    corners = signs * (HALF_WIDTH_MM, REACH_MM, REACH_MM) @ heads.matrix + heads.middle
    index = bone.grid.to_index(corners)
    last = np.array(bone.grid.shape) - 1
    low = np.clip(np.floor(index.min(axis=0)).astype(int), 0, last)
    high = np.clip(np.ceil(index.max(axis=0)).astype(int), low, last) + 1
    box = tuple(slice(start, stop) for start, stop in zip(low, high, strict=True))
    affine = bone.grid.affine.copy()
    affine[:3, 3] = bone.grid.to_lps(low)
    return box, Volume(bone.grid.hu[box], affine)


def seen_from_the_side(points: NDArray[np.float64], heads: Heads) -> NDArray[np.float64]:
    """Bone at joints and pubis, and what is outermost beside and above the joints."""
    local = heads.local(points)
    flat, shape, _ = _cells(local)
    inner = heads.apart_mm / 2 - INNER_MM
    seen = np.zeros(len(points), bool)
    for sign in (1, -1):
        outward = sign * local[:, 0]
        outermost = _outermost(outward, flat, shape)
        seen |= (outward > inner) & (outward > outermost[flat] - DEEP_MM)
    return points[seen | _beside_joints(local, heads)]


def wings(points: NDArray[np.float64], heads: Heads, *, step_mm: float) -> NDArray[np.float64]:
    """Bone at joints and pubis, and of each wing what is seen from the side without a step."""
    local = heads.local(points)
    flat, shape, low = _cells(local)
    y, z = (CELL_MM * (np.arange(n) + start) for n, start in zip(shape, low, strict=True))
    over_joint = (y[:, None] > WING_Y_MM[0]) & (y[:, None] < WING_Y_MM[1])
    over_joint = (over_joint & (z > WING_Z_MM[0]) & (z < WING_Z_MM[1])).ravel()
    seen = np.zeros(len(points), bool)
    for sign in (1, -1):
        outward = sign * local[:, 0]
        depth = _outermost(outward, flat, shape)
        bony = depth > LEAST_OUT_MM
        if not (bony & over_joint).any():
            continue
        piece = _without_steps(np.where(bony, depth, np.nan).reshape(shape), step_mm)
        wing = bony & (piece == np.bincount(piece[bony & over_joint]).argmax())
        seen |= wing[flat] & (outward > depth[flat] - DEEP_MM)
    return points[seen | _beside_joints(local, heads)]


def _cells(
    local: NDArray[np.float64],
) -> tuple[NDArray[np.intp], tuple[int, int], NDArray[np.intp]]:
    """Which cell of a picture from the side each point falls into, its shape, its first cell."""
    cell = np.rint(local[:, 1:] / CELL_MM).astype(np.intp)
    low = cell.min(axis=0)
    cell -= low
    rows, columns = cell.max(axis=0) + 1
    return cell[:, 0] * columns + cell[:, 1], (int(rows), int(columns)), low


def _outermost(
    outward: NDArray[np.float64], flat: NDArray[np.intp], shape: tuple[int, int]
) -> NDArray[np.float64]:
    depth = np.full(shape[0] * shape[1], -np.inf)
    np.maximum.at(depth, flat, outward)
    return depth


def _without_steps(depth: NDArray[np.float64], step_mm: float) -> NDArray[np.intp]:
    """Number of the piece each cell belongs to; cells of depth NaN belong to no other's."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    rows, columns = depth.shape
    number = np.arange(depth.size).reshape(depth.shape)
    ones, others = [], []
    for down, right in NEIGHBOURS:
        here = (slice(0, rows - down), slice(max(0, -right), columns - max(0, right)))
        there = (slice(down, rows), slice(max(0, right), columns - max(0, -right)))
        near = np.abs(depth[here] - depth[there]) < step_mm
        ones.append(number[here][near])
        others.append(number[there][near])
    ends = (np.concatenate(ones), np.concatenate(others))
    graph = coo_array((np.ones(len(ends[0]), bool), ends), shape=(depth.size, depth.size))
    pieces: NDArray[np.intp] = connected_components(graph, directed=False)[1]
    return pieces


def with_counterpart(points: NDArray[np.float64], heads: Heads) -> NDArray[np.float64]:
    """The points whose mirror image, in the plane midway between the heads, has a neighbour."""
    from scipy.spatial import cKDTree

    if not len(points):
        return points
    x = heads.matrix[0]
    mirrored = points - 2 * ((points - heads.middle) @ x)[:, None] * x
    tree = cKDTree(points, balanced_tree=False, compact_nodes=False)  # each point asks but once
    distance = tree.query(mirrored, distance_upper_bound=OFF_MM)[0]
    paired: NDArray[np.float64] = points[np.isfinite(distance)]
    return paired

"""Bone in a grey CT: its surface and edges; clouds of surface points, and their symmetry."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from rhoa.errors import PoseError
from rhoa.parallel import by_slabs, side_by_side
from rhoa.volume import Volume

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import ArrayLike, NDArray

    from rhoa.pose.alignment import Alignment
    from rhoa.pose.anterior_plane import Candidate


# A small copy of a CT along the patient's axes: means of blocks, about 2 mm wide.

TARGET_MM = 2.0
AIR_HU = -1024.0
"""What an unknown voxel counts as."""
DENSITIES_HU = (AIR_HU, 1500.0)
LARGE, SMALL = 1.4, 0.85
"""Times the voxels that are wanted: the least that are made smaller, the most that are averaged."""
BODY_CELL_MM, BODY_MARGIN_MM, LEAST_BODY_CM2 = 6.0, 12.0, 10.0
"""Planes of a scan that hold less tissue, beyond those that hold more, are outside the body."""


def coarse(
    volume: Volume,
    *,
    target_mm: float = TARGET_MM,
    progress: Callable[[int, int, str], None] | None = None,
) -> Volume:
    """Block means of the volume, float32 HU, ``k`` superior, ``j`` posterior, ``i`` left.

    Axes that are about as coarse as ``target_mm`` already stay as they are; of those between, a
    block takes parts of voxels. Voxels that do not fill a block at the far ends are left out. The
    axes are ordered and turned to run most nearly along the patient's; an oblique volume stays
    oblique. Nothing of the volume's size is copied.
    """
    source = along_patient(volume)
    blocks = [max(1, round(target_mm / step)) for step in source.spacing_mm]
    blocks = [min(block, length) for block, length in zip(blocks, source.shape, strict=True)]
    widths = [
        target_mm / step if block == 1 and step < SMALL * target_mm <= step * length else block
        for block, step, length in zip(blocks, source.spacing_mm, source.shape, strict=True)
    ]
    k, j, i = (int(n / width + 1e-6) for n, width in zip(source.shape, widths, strict=True))
    means = np.empty((k, j, i), np.float32)
    small = source.hu.dtype.kind in "biu" and source.hu.dtype.itemsize <= 2
    wide = float if not small else np.int32 if widths == blocks else np.float32
    layers, rows_of, columns_of = (
        _parts(n // block, width / block)
        for n, block, width in zip(source.shape, blocks, widths, strict=True)
    )
    held = [n // block * block for n, block in zip(source.shape, blocks, strict=True)]

    def mean(slab: int) -> None:
        rows = np.zeros((held[1] // blocks[1], held[2]), wide)
        for part, share in zip(*(of[slab] for of in layers), strict=True):
            for number in range(part * blocks[0], (part + 1) * blocks[0]):
                for first in range(blocks[1]):
                    layer = source.hu[number, first : held[1] : blocks[1], : held[2]]
                    rows += layer if share == 1 else layer * wide(share)
        plane = rows[:, :: blocks[2]].copy()
        for first in range(1, blocks[2]):
            plane += rows[:, first :: blocks[2]]
        for axis, (index, shares) in enumerate((rows_of, columns_of)):
            if index.shape[1] > 1:
                plane = plane.swapaxes(0, axis)
                plane = np.einsum("nt,ntx->nx", shares.astype(wide), plane[index])
                plane = plane.swapaxes(0, axis)
        means[slab] = plane

    for done, _ in enumerate(side_by_side(mean, range(k)), 1):
        if progress is not None:
            progress(done, k, "bone")
    means /= np.float32(np.prod(widths))
    if wide is float:
        np.nan_to_num(means, copy=False, nan=AIR_HU, posinf=AIR_HU, neginf=AIR_HU)
    affine = source.affine.copy()
    affine[:3, 3] = source.to_lps([(width - 1) / 2 for width in widths])
    affine[:3, :3] *= widths
    return Volume(means, affine)


def _parts(length: int, width: float) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Of each block of ``width`` voxels the voxels that it holds, and how much of each."""
    start = np.arange(int(length / width + 1e-6))[:, None] * width
    index = np.floor(start + 1e-6).astype(np.intp) + np.arange(1 if width == 1 else 3)
    share = np.minimum(index + 1, start + width) - np.maximum(index, start)
    return np.minimum(index, length - 1), np.maximum(share, 0)


def around_body(volume: Volume) -> Volume:
    """A view of the volume along the patient's axes, without the air around body and table."""
    volume = along_patient(volume)
    steps = [max(1, int(BODY_CELL_MM / step)) for step in volume.spacing_mm]
    tissue = volume.hu[:: steps[0], :: steps[1], :: steps[2]] > TISSUE_HU
    sides_mm = np.multiply(steps, volume.spacing_mm)
    part, affine = [], volume.affine.copy()
    for axis, (step, side_mm, length) in enumerate(zip(steps, sides_mm, volume.shape, strict=True)):
        cm2 = tissue.sum(axis=tuple({0, 1, 2} - {axis})) * (np.prod(sides_mm) / side_mm / 100)
        held = np.flatnonzero(cm2 > LEAST_BODY_CM2)
        if not len(held):
            return volume
        margin = int(BODY_MARGIN_MM / volume.spacing_mm[axis])
        first = max(0, int(held[0]) * step - margin)
        part.append(slice(first, min(length, int(held[-1] + 1) * step + margin)))
        affine[:3, 3] += first * affine[:3, axis]
    return Volume(volume.hu[tuple(part)], affine)


def finer(volume: Volume, target_mm: float) -> Volume:
    """The same with voxels of about ``target_mm`` where they were larger, interpolated by cubics.

    In voxels of 3 mm a joint space is gone; between them it is not. Edges are found at voxels, and
    between linear pieces there is none: a spine of 3 mm voxels was lost. Metal is as dense as dense
    bone, lest a cubic overshoot beside it.
    """
    if max(volume.spacing_mm) < LARGE * target_mm:
        return volume
    from scipy.ndimage import zoom

    hu, affine = np.clip(volume.hu, *DENSITIES_HU).astype(np.float32), volume.affine.copy()
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


# Clouds of bone surface points: what is asked of them, their loose pieces, thinning.

LEAST_POINTS = 300
"""Fewer points sample a pelvis at more than 10 mm, which no landmark survives."""
MOST_POINTS = 60_000
"""More take time and change nothing: real pelves keep their plane to 0.1 deg down to 5000."""
EXTENT_RANGE_MM = (100.0, 1500.0)
"""Of the cloud's longest side: a pelvis is 200-300 mm wide."""
FLAT_MM = 10.0
"""A cloud thinner than this is a line or a plane."""
SPACING_SAMPLES, SPACING_STRIDE = 4_000, 8
PIECE_SHARE = 0.08
"""A loose piece with a smaller share of the points is no hip: a stone, a clip, contrast."""
CELL_RANGE_MM = (2.5, 12.0)


@dataclass(frozen=True, slots=True, eq=False)
class Cloud:
    """Surface points of bone in patient LPS mm, and what is known of the scan they come from."""

    points: NDArray[np.float64]
    faces: Faces | None = None
    """Of the scan; without them the ends of the cloud count as its ends."""
    voxel_mm: float = 0.0
    """The longest edge of a voxel; 0 for the vertices of a smooth surface."""
    loose_share: float = 0.0
    """Of the points given, those that were dropped as loose pieces."""


def require_cloud(points_lps: ArrayLike) -> NDArray[np.float64]:
    """``points_lps`` as a finite array ``(n, 3)`` that can be the surface of a pelvis.

    Raises
    ------
    PoseError
        If it has another shape, too few points, NaN, or spans no pelvis.
    """
    try:
        points = np.asarray(points_lps, dtype=np.float64)
    except (TypeError, ValueError):
        raise PoseError(
            "points_lps must be an array (n, 3) of numbers, patient LPS millimetres; "
            f"got {type(points_lps).__name__}."
        ) from None
    if points.ndim != 2 or points.shape[1] != 3:
        raise PoseError(
            "points_lps must be an array (n, 3), one surface point (x, y, z) a row; "
            f"got shape {points.shape}."
        )
    if len(points) < LEAST_POINTS:
        raise PoseError(
            f"points_lps: {len(points)} points; a pelvis needs at least {LEAST_POINTS}, better "
            "10000; pass the vertices of both hip bones, or use rhoa.Landmarks for single points."
        )
    if not np.isfinite(points).all():
        bad = int((~np.isfinite(points)).any(axis=1).sum())
        raise PoseError(
            f"points_lps: {bad} of {len(points)} points hold NaN or infinity; remove these rows."
        )
    longest = float(max(np.ptp(axis) for axis in points.T))
    low, high = EXTENT_RANGE_MM
    if not low <= longest <= high:
        raise PoseError(
            f"points_lps span {longest:.3g} mm; a pelvis spans 200-300 mm; "
            "check that the unit is millimetres and that both hip bones are among them."
        )
    centred = points - points.mean(axis=0)
    spread = np.sqrt(np.maximum(np.linalg.eigvalsh(centred.T @ centred / len(points)), 0))
    if spread[0] < FLAT_MM / np.sqrt(12):
        raise PoseError(
            "points_lps lie on a line or in a plane; "
            "the surface of both hip bones is needed, not a contour or landmarks."
        )
    return points


def thinned(points: NDArray[np.float64], most: int = MOST_POINTS) -> NDArray[np.float64]:
    """At most ``most`` of the points, chosen by a fixed draw: the pose of the cloud has no say."""
    if len(points) <= most:
        return points
    chosen = np.random.default_rng(0).choice(len(points), most, replace=False)
    return points[np.sort(chosen)]


def without_loose_pieces(cloud: Cloud) -> Cloud:
    """The cloud without small pieces that touch nothing else."""
    from scipy.ndimage import label
    from scipy.spatial import cKDTree

    points = cloud.points
    # Edge of the cells that connect the cloud: hardly any point is farther from its neighbours.
    part = thinned(points, SPACING_SAMPLES)
    distance = cKDTree(part).query(part[::SPACING_STRIDE], k=4)[0][:, 3]
    spacing = np.quantile(distance, 0.98) * np.sqrt(len(part) / len(points))
    cell_mm = float(np.clip(spacing, *CELL_RANGE_MM))
    columns = points.T.copy()  # reductions along a short axis are slow
    low = columns.min(axis=1, keepdims=True)
    cells = tuple(((columns - low) / cell_mm).astype(np.intp))
    occupied = np.zeros([axis.max() + 1 for axis in cells], dtype=bool)
    occupied[cells] = True
    pieces, count = label(occupied, structure=np.ones((3, 3, 3)))
    piece = pieces[cells]
    small = np.bincount(piece, minlength=count + 1) < PIECE_SHARE * len(points)
    if not small[1:].any() or small[1:].all():
        return cloud
    keep = ~small[piece]
    return replace(cloud, points=points[keep], loose_share=float(1 - keep.mean()))


# The faces of a scan, and whether bone is cut off at one of them near a landmark.

NEAR_MM = 30.0
"""Bone this close to a landmark belongs to it."""
CLOUD_TOUCH_MM = 4.0


@dataclass(frozen=True, slots=True, eq=False)
class Faces:
    """Planes that bound a scan: ``inward @ p + offset`` is the distance in mm of a point inside.

    Bone touches a face within ``touch_mm`` of it.
    """

    inward: NDArray[np.float64]
    offset: NDArray[np.float64]
    touch_mm: float = CLOUD_TOUCH_MM

    @classmethod
    def of_box(cls, low: NDArray[np.float64], high: NDArray[np.float64]) -> Faces:
        """The six faces of a box along the patient's axes."""
        return cls(np.concatenate([np.eye(3), -np.eye(3)]), np.concatenate([-low, high]))

    @classmethod
    def of_array(cls, shape: tuple[int, ...], affine: NDArray[np.float64]) -> Faces:
        """The planes through the outermost voxel centres of an array with this affine."""
        to_index = np.linalg.inv(affine)
        length = np.linalg.norm(to_index[:3, :3], axis=1)
        unit = to_index[:3, :3] / length[:, None]
        start = to_index[:3, 3] / length
        last = (np.array(shape) - 1) / length
        voxel = float((1 / length).max())
        return cls(
            np.concatenate([unit, -unit]), np.concatenate([start, last - start]), 0.75 * voxel
        )

    @classmethod
    def of_cloud(cls, points: NDArray[np.float64], alignment: Alignment, *, upright: bool) -> Faces:
        """Where a cloud ends below and above: what is known of the scan when only points are.

        Along the pelvis's own axis, and along the patient's where that means something: on a whole
        pelvis the iliac crests rise far above the spines, and the ischia lie far below the pubis.
        """
        axes = [alignment.matrix[2]] + ([np.array([0.0, 0.0, 1.0])] if upright else [])
        inward = np.stack([sign * axis for axis in axes for sign in (1.0, -1.0)])
        return cls(inward, -(inward @ points.T).min(axis=1))

    def distances(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Distance of each point to each face, ``(n, faces)`` mm."""
        distances: NDArray[np.float64] = points @ self.inward.T + self.offset
        return distances


def face_distances(
    landmarks: NDArray[np.float64], points: NDArray[np.float64], faces: Faces
) -> tuple[float, float]:
    """Distance in mm of the landmarks, ``(4, 3)``, to the nearest face, and to one that cuts bone.

    A face cuts bone where bone touches it near the landmark; infinity where none does.
    """
    to_faces = faces.distances(landmarks)
    touching = faces.distances(points) < faces.touch_mm
    some = np.logical_or.reduce(tuple(touching.T))
    at_face, which = points[some], touching[some]
    nearest_cut = np.inf
    for landmark, distances in zip(landmarks, to_faces, strict=True):
        cut = which[np.linalg.norm(at_face - landmark, axis=1) < NEAR_MM].any(axis=0)
        nearest_cut = min(nearest_cut, float(distances[cut].min(initial=np.inf)))
    return float(to_faces.min()), nearest_cut


# Mirror residual: how far a pelvis is from its own image in a candidate's mid-sagittal plane.

SAMPLES, TARGETS = 500, 20_000
TRIMMED = 0.8
"""Share of the samples that count: a fracture, a prosthesis or a cut wing has no counterpart."""


class Mirror:
    """The cloud, ready to be compared with its mirror images."""

    def __init__(self, points: NDArray[np.float64]) -> None:
        from scipy.spatial import cKDTree

        # A few hundred queries: a tree that is built quickly beats one that is searched quickly.
        self._tree = cKDTree(thinned(points, TARGETS), balanced_tree=False, compact_nodes=False)
        self._sample = thinned(points, SAMPLES)

    def residual(self, candidate: Candidate) -> float:
        """Trimmed mean distance in mm between the mirrored cloud and the cloud."""
        across = candidate.matrix[0]
        offset = (self._sample - candidate.origin) @ across
        mirrored = self._sample - 2 * offset[:, None] * across
        distance = np.sort(self._tree.query(mirrored)[0])
        return float(distance[: int(TRIMMED * len(distance))].mean())


def surface_points(mask: NDArray[np.bool_], grid: Volume) -> NDArray[np.float64]:
    """Centres of the voxels of ``mask`` with a face outside it, ``(n, 3)`` patient LPS mm.

    The border of the array is no surface: bone that is cut there goes on beyond.
    """
    bounds = []
    for axis in range(3):
        some = np.flatnonzero(mask.any(axis=tuple(other for other in range(3) if other != axis)))
        if not len(some):
            return np.empty((0, 3))
        bounds.append((int(some[0]), int(some[-1]) + 1))
    box = mask[tuple(slice(*ends) for ends in bounds)]
    inside = box.copy()
    for axis, (ends, length) in enumerate(zip(bounds, mask.shape, strict=True)):
        along, filled = np.moveaxis(inside, axis, 0), np.moveaxis(box, axis, 0)
        along[1:] &= filled[:-1]
        along[:-1] &= filled[1:]
        along[0] &= ends[0] == 0
        along[-1] &= ends[1] == length
    index = np.argwhere(box & ~inside) + [ends[0] for ends in bounds]
    return grid.to_lps(index)


# Bone in a grey CT: the body without its table, what is dense in it, its surface and its edges.

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
    points = surface_points(smooth > BONE_HU, grid)
    if not len(points):
        raise PoseError(
            f"volume: no bone, nothing inside the body above {BONE_HU:g} HU; "
            "a pelvis is needed; check the Hounsfield units (rescale slope and intercept)."
        )
    return Bone(Volume(smooth, grid.affine), points)


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

    def edge_voxels(at: NDArray[np.intp]) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
        slope = flat[at[:, None] + steps] - flat[at[:, None] - steps]
        steep = np.abs(slope).max(axis=1) > EDGE_HU
        at, slope = at[steep], slope[steep]
        along = steps[np.abs(slope).argmax(axis=1)]
        steepness = np.abs(slope).max(axis=1)
        # Steeper than one voxel further on and one before, along the axis nearest to the direction.
        steepest = steepness >= np.abs(flat[at + 2 * along] - flat[at])
        steepest &= steepness >= np.abs(flat[at] - flat[at - 2 * along])
        return at[steepest], slope[steepest]

    pieces = np.array_split(every, -(-len(every) // VOXELS_AT_ONCE) or 1)
    at, slope = map(np.concatenate, zip(*side_by_side(edge_voxels, pieces), strict=True))
    uphill = slope.astype(np.float64) @ np.linalg.inv(grid.affine[:3, :3])
    uphill /= np.linalg.norm(uphill, axis=1, keepdims=True)
    index = np.stack(np.unravel_index(at, hu.shape), axis=1)
    return grid.to_lps(index), uphill

"""Where the samples of a posed image lie: the AP frame's grid, and depths by anatomy."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from rhoa._types import SIDES
from rhoa.errors import ParameterError, PoseError, require_choice, require_positive, require_volume
from rhoa.pose import Alignment
from rhoa.pose.alignment import tipped
from rhoa.pose.population import measured_centre
from rhoa.volume import Volume

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from rhoa.pose.automatic import Pose


# Depth ranges by anatomy: which part of a ray crosses the hips, and which the pelvis.

NAMED_DEPTHS: tuple[Literal["pelvis"], Literal["hip"]] = ("pelvis", "hip")

HIP_DEPTH_MM = (15.0, 90.0)
"""Holds both hip joints of most pelves; where the hip centres were not measured."""
HIP_REACH_MM = 37.5
"""On both sides of a hip centre: the head's radius is 25 mm, the walls of its socket, the neck and
the greater trochanter lie within 12 mm more. The width is that of `HIP_DEPTH_MM`."""
PELVIS_DEPTH_MM = (-20.0, 160.0)
"""Where the hip centres were not measured. Bone begins at the plane, by its definition."""
BACK_BEHIND_HIPS_MM = 118.0
"""The most posterior bone, of the sacrum, lies 102 mm (SD 10) behind the hip centres of twenty real
pelves, 116 mm at most; behind the plane itself the spread is 12 mm."""
OUTLINE_MM = ((0.0, 90.0), (0.0, 0.0), (20.0, -40.0), (82.0, -45.0), (83.0, 160.0))
"""(y, z) of the pelvis seen from its side, without its back; mean of ten real pelves."""
BACK_Z_MM = (60.0, 95.0)


def depth_range_mm(alignment: Alignment, part: Literal["pelvis", "hip"]) -> tuple[float, float]:
    """Front and back of a part of the pelvis, mm behind the origin along y of the frame.

    Where the hip centres were measured (``quality["hip_left_y_mm"]`` and its like), ``"hip"``
    reaches 37.5 mm before and behind them, and ``"pelvis"`` from 20 mm before the anterior pelvic
    plane to 118 mm behind them, which no sacrum of twenty real pelves exceeds; else they are 15 to
    90 mm and -20 to 160 mm. In a frame that was tipped on purpose the range of the pelvis grows by
    what the tipped bone needs.
    """
    centres = [measured_centre(alignment, side) for side in SIDES]
    hips = [float(centre[1]) for centre in centres if centre is not None]
    if part == "hip":
        if not hips:
            return HIP_DEPTH_MM
        return min(hips) - HIP_REACH_MM, max(hips) + HIP_REACH_MM
    front, back = PELVIS_DEPTH_MM
    if hips:
        back = max(hips) + BACK_BEHIND_HIPS_MM
    if not alignment.quality.get("tilt_offset_deg"):
        return front, back
    outline = np.array([*OUTLINE_MM, *((back, z) for z in BACK_Z_MM)])
    moved = tipped(np.insert(outline, 0, 0.0, axis=1), alignment)[:, 1]
    return float(moved.min()) + front, float(moved.max())


# Where the samples of a posed image lie: the AP frame's grid over a scan.

Depth = Literal["all", "pelvis", "hip"] | tuple[float, float]
Triple = tuple[float, float, float]

MOST_SAMPLES, MOST_SLICES = 1 << 36, 1 << 16
FARTHEST_MM = 1e6
SMALLEST_STEP_MM, LARGEST_STEP_MM = 1e-3, 1e3
HALF_A_VOXEL = 0.5
"""From the outermost voxel centres to where the scan ends."""
_KERNEL_TYPES = frozenset(["i1", "u1", "i2", "u2", "i4", "f4", "f8"])
_ON_GRID = 1e-6  # pixels; a position this near a multiple of the pixel size lies on it


@dataclass(frozen=True, slots=True)
class ProjectionGrid:
    """Samples of a posed projection: rows run down, depth runs back, columns run left."""

    alignment: Alignment
    shape: tuple[int, int, int]
    start_mm: NDArray[np.float64]  # AP (x, y, z) of the first sample
    pixel_mm: float
    depth_mm: tuple[float, float]
    step_mm: float

    def rays(self, volume: Volume) -> dict[str, Any]:
        """One ray a pixel, as the kernels take them: a step of depth is one millimetre."""
        left, _, top = self.start_mm
        origin, steps = self._in_voxels(volume, [left, 0, top], 1.0)
        shape = (self.shape[0], self.shape[2])
        return {"shape": shape, "origin": origin, "steps": steps, "depth_mm": self.depth_mm}

    def samples(self, volume: Volume) -> dict[str, Any]:
        """All samples, as the kernels take them.

        Raises
        ------
        ParameterError
            If they are too many.
        """
        _require_feasible(self.shape)
        origin, steps = self._in_voxels(volume, self.start_mm, self.step_mm)
        return {"shape": self.shape, "origin": origin, "steps": steps}

    def _in_voxels(
        self, volume: Volume, start_mm: ArrayLike, step_mm: float
    ) -> tuple[Triple, tuple[Triple, Triple, Triple]]:
        # AP steps of one row down, one step back, one column to the left.
        steps = np.array([[0, 0, -self.pixel_mm], [0, step_mm, 0], [self.pixel_mm, 0, 0]])
        frame = self.alignment
        return in_voxels(volume, frame.to_lps(start_mm), steps @ frame.matrix)


def projection_grid(
    volume: Volume, alignment: Alignment, depth: Depth, pixel_mm: float | None
) -> ProjectionGrid:
    """The samples of a CT-AP of ``volume``; depth and pixels as in `rhoa.ctap`."""
    low, high = extent_mm(volume, alignment, beyond=HALF_A_VOXEL)
    between_slices, between_rows, between_columns = frame_spacing_mm(volume)
    if pixel_mm is None:
        pixel_mm = min(between_slices, between_columns)
    pixel_mm = _require_step("pixel_mm", pixel_mm)
    front, back = depth_ends(depth, alignment, (low[1], high[1]))
    slices = max(1, math.ceil((back - front) / between_rows - _ON_GRID))
    if _is_all(depth):  # whole rows: samples as far apart as the scan's sum best
        spare = (slices * between_rows - (back - front)) / 2
        front, back = front - spare, back + spare
    step_mm = (back - front) / slices
    left, columns = meeting(low[0], high[0], pixel_mm)
    bottom, rows = meeting(low[2], high[2], pixel_mm)
    _require_feasible((rows, 1, columns))
    # Each sample stands for the depth of one step around it.
    start = np.array([left, front + step_mm / 2, bottom + (rows - 1) * pixel_mm])
    return ProjectionGrid(
        alignment, (rows, slices, columns), start, pixel_mm, (front, back), step_mm
    )


def coronal_grid(
    volume: Volume, frame: Alignment, spacing_mm: Triple, depth: Depth = "all"
) -> tuple[tuple[int, int, int], NDArray[np.float64]]:
    """Shape and LPS affine of the voxels in ``frame`` that meet the scan: up, back and left.

    Raises
    ------
    PoseError
        If the scan has nothing within ``depth``.
    """
    low, high = extent_mm(volume, frame, beyond=HALF_A_VOXEL)
    lines = [meeting(low[2 - n], high[2 - n], step) for n, step in enumerate(spacing_mm)]
    if not _is_all(depth):
        front, back = depth_ends(depth, frame, (low[1], high[1]))
        if front > high[1] or back < low[1]:
            raise PoseError(
                f"no coronal slice within the depth range, {front:.1f} to {back:.1f} mm behind the "
                f"anterior pelvic plane: the scan lies between {low[1]:.1f} and {high[1]:.1f} mm; "
                "if the range is right, the landmarks may be of another scan."
            )
        first, count = lines[1]
        last = first + (count - 1) * spacing_mm[1]
        lines[1] = multiples(max(front, first), min(back, last), spacing_mm[1])
    (up, rows), (back_mm, slices), (left, columns) = lines
    _require_feasible((rows, slices, columns))
    ap_steps = np.diag(spacing_mm)[:, ::-1]  # one row for each array axis: its step in x, y, z
    affine = np.eye(4)
    affine[:3, :3] = frame.matrix.T @ ap_steps.T
    affine[:3, 3] = frame.to_lps([left, back_mm, up])
    return (rows, slices, columns), affine


def scan_axes(volume: Volume) -> Alignment:
    """The scan's own left, posterior and superior axes; patient LPS where it is not oblique.

    The nearest rotation, where the axes are not quite square to each other.
    """
    axes = volume.axes
    order = (axes.left, axes.posterior, axes.superior)
    signs = np.array(axes.signs[::-1])
    directions = volume.affine[:3, :3] / np.linalg.norm(volume.affine[:3, :3], axis=0)
    left, _, right = np.linalg.svd(directions[:, order].T * signs[:, None])
    return Alignment((left @ right).round(12), np.zeros(3))


def _require_feasible(counts: tuple[int, int, int]) -> None:
    if math.prod(counts) > MOST_SAMPLES or max(counts) > MOST_SLICES:
        raise ParameterError(
            f"{counts[0]} x {counts[1]} x {counts[2]} samples are too many; "
            "choose larger pixels or spacing, or a smaller depth."
        )


def depth_ends(
    depth: Depth, alignment: Alignment, extent: tuple[float, float]
) -> tuple[float, float]:
    """Front and back of a depth range in mm; ``"all"`` is the scan's own ``extent``.

    Raises
    ------
    ParameterError
        If ``depth`` is neither a known word nor two ascending numbers.
    """
    if isinstance(depth, str):
        require_choice("depth", depth, ["all", *NAMED_DEPTHS])
        if depth == "all":
            return float(extent[0]), float(extent[1])
        return depth_range_mm(alignment, depth)
    try:
        front, back = (float(end) for end in depth)
    except (TypeError, ValueError):
        front, back = math.nan, math.nan
    if not -FARTHEST_MM <= front < back <= FARTHEST_MM:
        raise ParameterError(
            'depth must be "all", "pelvis", "hip" or (front, back) in mm with front < back, both '
            f"within {FARTHEST_MM:g} mm; got {depth!r}."
        )
    return front, back


def _is_all(depth: Depth) -> bool:
    return isinstance(depth, str) and depth == "all"


def extent_mm(
    volume: Volume, frame: Alignment, *, beyond: float = 0.0
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Smallest and largest AP (x, y, z) of the scan's corner voxel centres, or so far beyond."""
    corners = frame.to_ap(volume.corners_lps_mm(beyond=beyond))
    return corners.min(axis=0), corners.max(axis=0)


def multiples(low: float, high: float, step: float) -> tuple[float, int]:
    """The first multiple of ``step`` in [low, high], and how many there are.

    Where there is none, the one nearest to the middle.
    """
    first = math.ceil(low / step - _ON_GRID)
    last = math.floor(high / step + _ON_GRID)
    if last < first:
        first = last = round((low + high) / 2 / step)
    return first * step, last - first + 1


def meeting(low: float, high: float, step: float) -> tuple[float, int]:
    """The first multiple of ``step`` whose pixel, half a step to each side, meets the scan.

    And how many there are; one that only touches the scan is left out.
    """
    half = (0.5 - 2 * _ON_GRID) * step
    return multiples(low - half, high + half, step)


def in_voxels(
    volume: Volume, start_lps: NDArray[np.float64], steps_lps: NDArray[np.float64]
) -> tuple[Triple, tuple[Triple, Triple, Triple]]:
    """A start (3,) and steps (3, 3; one a row) of patient mm as fractional voxel indices."""
    to_index = np.linalg.inv(volume.affine[:3, :3])
    first, second, third = (_triple(step) for step in steps_lps @ to_index.T)
    return _triple(volume.to_index(start_lps)), (first, second, third)


def frame_spacing_mm(volume: Volume) -> Triple:
    """The scan's spacing along its most superior, posterior and left axes."""
    axes, spacing = volume.axes, volume.spacing_mm
    return spacing[axes.superior], spacing[axes.posterior], spacing[axes.left]


def spacing_triple(spacing_mm: float | Triple) -> Triple:
    """One spacing for all axes, or one each, as three positive numbers."""
    values = np.atleast_1d(np.asarray(spacing_mm, dtype=object))
    if values.shape not in {(1,), (3,)}:
        raise ParameterError(f"spacing_mm must be one number or three, in mm; got {spacing_mm!r}.")
    k, j, i = (_require_step("spacing_mm", value) for value in np.broadcast_to(values, 3))
    return k, j, i


def _require_step(name: str, value: object) -> float:
    step = require_positive(name, value)
    if not SMALLEST_STEP_MM <= step <= LARGEST_STEP_MM:
        raise ParameterError(
            f"{name} must be {SMALLEST_STEP_MM:g} to {LARGEST_STEP_MM:g} mm; got {step:g}."
        )
    return step


def require_view(
    volume: object,
    axis: int | None,
    pose: Pose,
    depth: Depth,
    pixel_mm: float | None,
) -> None:
    """Check that an array is projected along an axis, and a scan from the front or through a pose.

    Raises
    ------
    ParameterError
        If an option needs what the other kind of volume has, or a pose that is not given.
    """
    measured = not _is_all(depth) or pixel_mm is not None
    if not isinstance(volume, Volume):
        if pose is not None or measured:
            raise ParameterError(
                "pose, depth and pixel_mm need to know where the voxels lie; "
                "pass rhoa.Volume(hu, affine) or rhoa.Volume.from_array(hu, spacing_mm)."
            )
        return
    if axis is not None:
        raise ParameterError("axis is for arrays; a Volume knows which of its axes is front-back.")
    if 0 in volume.shape:
        raise ParameterError(f"the volume is empty: its shape is {volume.shape}.")
    if pose is None and measured:
        raise ParameterError("depth and pixel_mm are measured in the AP frame; pass pose= as well.")


def oriented_view(volume: Volume, voxels: NDArray[Any]) -> NDArray[Any]:
    """An array of the scan's shape, viewed from the front: down, back and left."""
    axes = volume.axes
    up, back, left = axes.signs
    turned = voxels.transpose(axes.superior, axes.posterior, axes.left)
    return turned[::-up, ::back, ::left]


def as_kernel_array(hu: ArrayLike) -> NDArray[Any]:
    """``hu`` in an element type and layout the kernels read; a copy only where it has to be."""
    array = require_volume(hu)
    native = array.dtype.newbyteorder("=")
    if f"{native.kind}{native.itemsize}" not in _KERNEL_TYPES:
        native = np.dtype(np.float64)
    whole = all(stride % array.itemsize == 0 for stride in array.strides)
    if array.dtype == native and array.flags.aligned and whole:
        return array.view(np.ndarray)
    return np.array(array, dtype=native, order="C")


def output(shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Memory for the kernels to write to; NumPy asks the system for large pages where it can.

    Raises
    ------
    MemoryError
        If there is not that much.
    """
    try:
        return np.empty(shape, np.float32)
    except ValueError as error:  # more than can be counted
        raise MemoryError(str(error)) from None


def _triple(values: NDArray[np.float64]) -> Triple:
    k, j, i = values.tolist()
    return k, j, i

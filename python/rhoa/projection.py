"""From a volume to images along one direction: CT-AP, running sums, slabs, coronal slices."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal, overload

import numpy as np

from rhoa import _core
from rhoa.errors import (
    ParameterError,
    PoseError,
    require_axis,
    require_choice,
    require_count,
    require_volume,
    require_window,
)
from rhoa.pose import Alignment, Landmarks, usable_alignment
from rhoa.radiograph import Radiograph
from rhoa.sampling import (
    Depth,
    ProjectionGrid,
    coronal_grid,
    frame_spacing_mm,
    in_voxels,
    projection_grid,
    scan_axes,
    spacing_triple,
)
from rhoa.threads import thread_count
from rhoa.volume import Volume

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

Window = tuple[float, float]

DEFAULT_WINDOW: Window = (-150.0, 600.0)
"""Gebre et al. 2022: HU outside it are clipped before summation."""

OUTSIDE_HU = -1024.0
_KERNEL_TYPES = frozenset(["i1", "u1", "i2", "u2", "i4", "f4", "f8"])


@overload
def ctap(
    volume: Volume,
    *,
    window: Window = DEFAULT_WINDOW,
    pose: Alignment | Landmarks | None = None,
    depth: Depth = "all",
    pixel_mm: float | None = None,
    method: Literal["reslice"] = "reslice",
    threads: int | None = None,
) -> Radiograph: ...
@overload
def ctap(
    volume: ArrayLike,
    *,
    window: Window = DEFAULT_WINDOW,
    axis: int = 1,
    threads: int | None = None,
) -> NDArray[np.float32]: ...
def ctap(  # noqa: PLR0913  # one verb for arrays and volumes, every option by keyword
    volume: Volume | ArrayLike,
    *,
    window: Window = DEFAULT_WINDOW,
    axis: int | None = None,
    pose: Alignment | Landmarks | None = None,
    depth: Depth = "all",
    pixel_mm: float | None = None,
    method: Literal["reslice"] = "reslice",
    threads: int | None = None,
) -> NDArray[np.float32] | Radiograph:
    """The CT-AP: HU clipped to ``window`` and summed from front to back.

    Parameters
    ----------
    volume
        A `Volume`, which gives a `Radiograph`; or a 3-D array of HU with any strides and any real
        numeric type, which gives the float32 array ``np.clip(hu, *window).sum(axis)``, exact for
        integers while the sums stay below 2**24.
    window
        (low, high) in HU.
    axis
        Array only: the axis to sum along (default 1, the rows of axial slices).
    pose
        Volume only. None sums along the scan's own front-to-back axis, on the scan's own grid. An
        `Alignment` (or `Landmarks`, which define one) sums perpendicular to the anterior pelvic
        plane: the line integral of clipped HU divided by the scan's row spacing, so that posed and
        unposed images of a scan have one scale. HU outside the scan count as the window's low end;
        ``coverage_mm`` of the result says where the scan was.
    depth
        With a pose: the part of the ray that counts, in mm behind the anterior pelvic plane.
        ``"all"`` is the whole scan, ``"pelvis"`` -20 to 160 mm, ``"hip"`` 15 to 90 mm.
    pixel_mm
        With a pose: size of the square pixels; by default the finer of the scan's spacings between
        slices and between columns.
    method
        With a pose: ``"reslice"`` sums trilinear samples of every re-sliced coronal slice, one
        row spacing apart.
    threads
        Number of threads; by default ``RHOA_NUM_THREADS``, else all processors. The result does
        not depend on it.

    Raises
    ------
    RhoaError
        If the array is not 3-D and real, the window is not ascending, or the pose cannot be used.

    References
    ----------
    Gebre et al. 2022, "Detecting hip osteoarthritis on clinical CT: a deep learning application
    based on 2-D summation images derived from CT", Osteoporosis International 33:355-365.

    Examples
    --------
    >>> import numpy as np, rhoa
    >>> hu = np.full((2, 10, 3), 40, np.int16)
    >>> rhoa.ctap(hu)
    array([[400., 400., 400.],
           [400., 400., 400.]], dtype=float32)
    >>> rhoa.ctap(rhoa.Volume.from_array(hu, spacing_mm=(2, 1, 1))).pixel_mm
    (2.0, 1.0)
    """
    low, high = require_window(window)
    require_choice("method", method, ["reslice"])
    threads = thread_count(threads)
    if not isinstance(volume, Volume):
        if pose is not None or depth != "all" or pixel_mm is not None:
            raise ParameterError(
                "pose, depth and pixel_mm need to know where the voxels lie; "
                "pass rhoa.Volume(hu, affine) or rhoa.Volume.from_array(hu, spacing_mm)."
            )
        along = require_axis(1 if axis is None else axis)
        return _core.clipped_sum(_kernel_array(volume), low, high, axis=along, threads=threads)
    if axis is not None:
        raise ParameterError("axis is for arrays; a Volume knows which of its axes is front-back.")
    if pose is None:
        if depth != "all" or pixel_mm is not None:
            raise ParameterError(
                "depth and pixel_mm are measured in the AP frame; pass pose= as well."
            )
        return _as_scanned(volume, (low, high), threads)
    _require_scan(volume)
    if not math.isfinite(low):
        raise ParameterError(
            "with a pose, the window's low end must be finite: it fills the outside."
        )
    grid = projection_grid(volume, usable_alignment(pose), depth, pixel_mm)
    return _posed(volume, (low, high), grid, threads)


def cumulative(
    hu: ArrayLike,
    *,
    window: Window = DEFAULT_WINDOW,
    axis: int = 1,
    every: int = 1,
    threads: int | None = None,
) -> NDArray[np.float32]:
    """Running sums of clipped HU along ``axis``; the last one equals `ctap`.

    The paper's sequential summation made visible: one image after every ``every`` slices,
    stacked along the first axis.

    Raises
    ------
    RhoaError
        If the array is not 3-D and real, the window is not ascending or ``every`` is below 1.

    Examples
    --------
    >>> import numpy as np, rhoa
    >>> rhoa.cumulative(np.full((1, 3, 1), 100), every=2).ravel()
    array([200., 300.], dtype=float32)
    """
    low, high = require_window(window)
    along, every = require_axis(axis), require_count("every", every)
    array = _kernel_array(hu)
    threads = thread_count(threads)
    return _core.running_sums(array, low, high, axis=along, every=every, threads=threads)


def thin_slab(  # noqa: PLR0913  # every option by keyword
    hu: ArrayLike,
    *,
    thickness: int,
    step: int = 1,
    reduce: Literal["max", "mean", "sum"] = "max",
    window: Window | None = None,
    axis: int = 1,
    threads: int | None = None,
) -> NDArray[np.float32]:
    """Slabs of ``thickness`` slices sliding along ``axis``, each reduced to one image.

    The images are stacked along the first axis: one for every ``step``-th place where a whole slab
    fits, ``(n - thickness) // step + 1`` in all. ``window`` clips HU first; None does not clip.

    Raises
    ------
    RhoaError
        If the array is not 3-D and real, or the slab is thicker than the array.

    References
    ----------
    Napel et al. 1992, "CT angiography with spiral CT and maximum intensity projection", Radiology
    185:607-610 (sliding thin-slab maximum intensity projection).

    Examples
    --------
    >>> import numpy as np, rhoa
    >>> hu = np.array([3, 1, 4, 1, 5]).reshape(1, 5, 1)
    >>> rhoa.thin_slab(hu, thickness=2).ravel()
    array([3., 4., 4., 5.], dtype=float32)
    """
    low, high = (-math.inf, math.inf) if window is None else require_window(window)
    require_choice("reduce", reduce, ["max", "mean", "sum"])
    along, array = require_axis(axis), _kernel_array(hu)
    thickness, step = require_count("thickness", thickness), require_count("step", step)
    if thickness > array.shape[along]:
        raise ParameterError(
            f"thickness must be at most the {array.shape[along]} slices along axis {along}; "
            f"got {thickness}."
        )
    slabs = _core.sliding_slab(
        array,
        low,
        high,
        axis=along,
        thickness=thickness,
        step=step,
        maximum=reduce == "max",
        threads=thread_count(threads),
    )
    return slabs / np.float32(thickness) if reduce == "mean" else slabs


def coronal(
    volume: Volume,
    pose: Alignment | Landmarks | None = None,
    *,
    spacing_mm: float | tuple[float, float, float] | None = None,
    order: int = 1,
    threads: int | None = None,
) -> Volume:
    """The volume re-sliced into the AP frame: coronal slices are ``hu[:, j, :]``.

    Parameters
    ----------
    volume
        The scan.
    pose
        The AP frame; None keeps the patient's own axes (LPS) as they were scanned.
    spacing_mm
        Voxel spacing of the result: one number, or ``(superior, posterior, left)``. By default the
        scan's own along the nearest axes.
    order
        1 for trilinear samples, 0 for the nearest voxel (label maps).
    threads
        As in `ctap`.

    Returns
    -------
    Volume
        float32 HU, ``k`` superior, ``j`` posterior, ``i`` left, voxel centres at whole multiples
        of the spacing from the origin of the frame; -1024 HU outside the scan.

    Raises
    ------
    RhoaError
        If the pose cannot be used or ``order`` is neither 0 nor 1.
    """
    _require_scan(volume)
    require_choice("order", order, [0, 1])
    frame = Alignment(np.eye(3), np.zeros(3)) if pose is None else usable_alignment(pose)
    spacing = frame_spacing_mm(volume) if spacing_mm is None else spacing_triple(spacing_mm)
    shape, affine = coronal_grid(volume, frame, spacing)
    origin, steps = in_voxels(volume, affine[:3, 3], affine[:3, :3].T)
    hu = _core.resliced(
        _kernel_array(volume.hu),
        shape=shape,
        origin=origin,
        steps=steps,
        linear=order == 1,
        outside=OUTSIDE_HU,
        threads=thread_count(threads),
    )
    return Volume(hu, affine, volume.report)


def _as_scanned(volume: Volume, window: Window, threads: int) -> Radiograph:
    _require_scan(volume)
    axes = volume.axes
    hu = _kernel_array(volume.hu)
    image = _core.clipped_sum(hu, *window, axis=axes.posterior, threads=threads)
    if axes.superior > axes.left:
        image = image.T
    up, _, left = axes.signs
    image = image[::-up, ::left]  # row 0 superior, column 0 the patient's right
    corner = np.zeros(3)
    corner[axes.superior] = volume.shape[axes.superior] - 1 if up > 0 else 0
    corner[axes.left] = 0 if left > 0 else volume.shape[axes.left] - 1
    corner[axes.posterior] = (volume.shape[axes.posterior] - 1) / 2
    frame = scan_axes(volume)
    x, _, z = frame.to_ap(volume.to_lps(corner))
    spacing = volume.spacing_mm
    provenance = {"kind": "CT-AP", "window_hu": window, "pose": "as scanned"}
    return Radiograph(
        np.ascontiguousarray(image),
        (spacing[axes.superior], spacing[axes.left]),
        (x, z),
        provenance=provenance,
        scan_frame=frame,
    )


def _posed(volume: Volume, window: Window, grid: ProjectionGrid, threads: int) -> Radiograph:
    frame = grid.alignment
    # AP steps of one row down, one sample back, one column to the left.
    ap_steps = np.array([[0, 0, -grid.pixel_mm], [0, grid.step_mm, 0], [grid.pixel_mm, 0, 0]])
    origin, steps = in_voxels(volume, frame.to_lps(grid.start_mm), ap_steps @ frame.matrix)
    sums, inside = _core.oblique_sum(
        _kernel_array(volume.hu),
        *window,
        shape=grid.shape,
        origin=origin,
        steps=steps,
        threads=threads,
    )
    if not inside.any():
        raise PoseError(
            "no ray meets the scan within the depth range: are the landmarks of another scan, "
            "or not in patient LPS millimetres?"
        )
    row_spacing_mm = volume.spacing_mm[volume.axes.posterior]
    provenance = {
        "kind": "CT-AP",
        "window_hu": window,
        "pose": "anterior pelvic plane",
        "method": "reslice",
        "depth_mm": grid.depth_mm,
    }
    return Radiograph(
        sums * np.float32(grid.step_mm / row_spacing_mm),
        (grid.pixel_mm, grid.pixel_mm),
        (grid.start_mm[0], grid.start_mm[2]),
        frame,
        provenance,
        inside * np.float32(grid.step_mm),
    )


def _require_scan(volume: object) -> None:
    if not isinstance(volume, Volume):
        raise ParameterError(
            f"volume must be a rhoa.Volume; got {type(volume).__name__}. "
            "Build one with rhoa.Volume.from_array(hu, spacing_mm)."
        )
    if 0 in volume.shape:
        raise ParameterError(f"the volume is empty: its shape is {volume.shape}.")


def _kernel_array(hu: ArrayLike) -> NDArray[Any]:
    """``hu`` in an element type and layout the kernels read; a copy only where it has to be."""
    array = require_volume(hu)
    native = array.dtype.newbyteorder("=")
    if f"{native.kind}{native.itemsize}" not in _KERNEL_TYPES:
        native = np.dtype(np.float64)
    whole = all(stride % array.itemsize == 0 for stride in array.strides)
    if array.dtype == native and array.flags.aligned and whole:
        return array.view(np.ndarray)
    return np.array(array, dtype=native, order="C")

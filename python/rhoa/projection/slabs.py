"""From a volume to stacks of images: running sums, slabs, coronal slices."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from rhoa import _core
from rhoa.errors import (
    ParameterError,
    require_axis,
    require_choice,
    require_count,
    require_positive,
    require_window,
)
from rhoa.parallel import thread_count
from rhoa.pose import Alignment, alignment_for
from rhoa.projection.depth_and_grid import (
    Depth,
    as_kernel_array,
    coronal_grid,
    frame_spacing_mm,
    in_voxels,
    oriented_view,
    output,
    projection_grid,
    require_view,
    spacing_triple,
)
from rhoa.projection.render import DEFAULT_WINDOW, require_finite_low
from rhoa.reading import as_volume
from rhoa.reading.reader import read_if_path
from rhoa.volume import Volume

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from rhoa.pose.automatic import Pose
    from rhoa.projection.render import Reduce, Window
    from rhoa.reading.reader import Scan

OUTSIDE_HU = -1024.0


def cumulative(
    hu: Scan | ArrayLike,
    *,
    window: Window = DEFAULT_WINDOW,
    axis: int | None = None,
    every: int = 1,
    pose: Pose = None,
    depth: Depth = "all",
    pixel_mm: float | None = None,
    out: NDArray[np.float32] | None = None,
    threads: int | None = None,
) -> NDArray[np.float32]:
    """Running sums of clipped HU from front to back; the last one equals `ctap`.

    The paper's sequential summation made visible: one image after every ``every`` slices,
    stacked along the first axis.

    Parameters
    ----------
    hu
        A 3-D array, summed along ``axis`` (default 1); or a `Volume`, or a path that `read_ct`
        reads, summed from front to back.
        Images of a volume have row 0 superior and column 0 to the patient's right.
    window
        (low, high) in HU.
    every
        Slices from one image to the next.
    pose, depth, pixel_mm
        Volume only, as in `ctap`: the sums run over re-sliced coronal slices, as with
        ``method="reslice"``, and have its scale.
    out
        A C-contiguous float32 array of the result's shape to write to, which is then returned: for
        many scans of one shape, memory that is used again is faster than new memory.
    threads
        As in `ctap`.

    Raises
    ------
    RhoaError
        If the array is not 3-D and real, the window is not ascending, ``every`` is below 1 or
        ``out`` does not fit.

    Examples
    --------
    >>> import numpy as np, rhoa
    >>> rhoa.cumulative(np.full((1, 3, 1), 100), every=2).ravel()
    array([200., 300.], dtype=float32)
    """
    bounds, every = require_window(window), require_count("every", every)
    slices = _slices(hu, axis, pose, depth, pixel_mm)
    return slices.running(bounds, every, out, thread_count(threads))


def thin_slab(
    hu: Scan | ArrayLike,
    *,
    thickness: int | None = None,
    thickness_mm: float | None = None,
    step: int = 1,
    reduce: Reduce = "max",
    window: Window | None = None,
    axis: int | None = None,
    pose: Pose = None,
    depth: Depth = "all",
    pixel_mm: float | None = None,
    out: NDArray[np.float32] | None = None,
    threads: int | None = None,
) -> NDArray[np.float32]:
    """Slabs of ``thickness`` slices sliding from front to back, each reduced to one image.

    The images are stacked along the first axis: one for every ``step``-th slice where a whole slab
    fits, ``(n - thickness) // step + 1`` in all. The cost does not depend on the thickness.

    Parameters
    ----------
    hu
        A 3-D array, whose slabs slide along ``axis`` (default 1); or a `Volume`, or a path that
        `read_ct` reads, from front to back. Images of a volume have row 0 superior and column 0 to
        the patient's right.
    thickness, thickness_mm
        Array: slices in a slab. Volume: its thickness in mm, to the nearest slice.
    step
        Slices from one slab to the next.
    reduce
        ``"max"``, ``"mean"`` or ``"sum"`` of the slices.
    window
        (low, high) in HU to clip to first; by default nothing is clipped. With a pose, the low end
        fills what lies outside the scan; by default it is -1024 HU, and what is below counts as it.
    pose, depth, pixel_mm
        Volume only, as in `ctap`; the slabs are of re-sliced coronal slices, and sums have the
        scale of `ctap`.
    out
        As in `cumulative`.
    threads
        As in `ctap`.

    Raises
    ------
    RhoaError
        If the array is not 3-D and real, the slab is thicker than the array or ``out`` does not
        fit.

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
    bounds = None if window is None else require_window(window)
    require_choice("reduce", reduce, ["max", "mean", "sum"])
    step, slices = require_count("step", step), _slices(hu, axis, pose, depth, pixel_mm)
    if bounds is None:
        bounds = (-math.inf if pose is None else OUTSIDE_HU, math.inf)
    count = slices.in_slab(thickness, thickness_mm)
    return slices.slabs(bounds, count, step, reduce, out, thread_count(threads))


def coronal(
    volume: Scan,
    pose: Pose = None,
    *,
    spacing_mm: float | tuple[float, float, float] | None = None,
    depth: Depth = "all",
    order: int = 1,
    threads: int | None = None,
) -> Volume:
    """The volume re-sliced into the AP frame: coronal slices are ``hu[:, j, :]``.

    Parameters
    ----------
    volume
        The scan, or its path.
    pose
        The AP frame: an `Alignment`, `Landmarks`, or ``"auto"`` to find it as in `ctap`; None keeps
        the patient's own axes (LPS) as they were scanned.
    spacing_mm
        Voxel spacing of the result: one number, or ``(superior, posterior, left)``. By default the
        scan's own along the nearest axes.
    depth
        With a pose: only the coronal slices of this part of the scan, as in `ctap`.
    order
        1 for trilinear samples, 3 for cubic B-splines, 0 for the nearest voxel (label maps).
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
        If the pose cannot be used, ``order`` is not 0, 1 or 3, or a depth is given without a pose.
    """
    volume = as_volume(volume)
    require_view(volume, None, pose, depth, None)
    require_choice("order", order, [0, 1, 3])
    frame = Alignment(np.eye(3), np.zeros(3)) if pose is None else alignment_for(volume, pose)
    spacing = frame_spacing_mm(volume) if spacing_mm is None else spacing_triple(spacing_mm)
    shape, affine = coronal_grid(volume, frame, spacing, depth)
    origin, steps = in_voxels(volume, affine[:3, 3], affine[:3, :3].T)
    hu = output(shape)
    _core.resliced(
        as_kernel_array(volume.hu),
        hu,
        shape=shape,
        origin=origin,
        steps=steps,
        order=order,
        outside=OUTSIDE_HU,
        threads=thread_count(threads),
    )
    return Volume(hu, affine, volume.report)


@dataclass(frozen=True, slots=True)
class _Slices:
    """Slices along one axis of an array, or along the depth of a grid over it."""

    hu: NDArray[Any]
    axis: int
    count: int
    slice_mm: float | None
    samples: dict[str, Any] | None = None
    scale: float = 1.0
    """What sums are multiplied by: the slices of a grid lie nearer than the scan's rows."""

    def running(
        self, window: Window, every: int, out: NDArray[np.float32] | None, threads: int
    ) -> NDArray[np.float32]:
        """Sums of the first slices."""
        every = min(every, max(self.count, 1))
        sums = self._output(-(-self.count // every), out)
        if self.samples is None:
            _core.running_sums(self.hu, window, sums, axis=self.axis, every=every, threads=threads)
            return sums
        self._project(window, sums, ("running", every, 0), threads)
        return self._scaled(sums)

    def slabs(
        self,
        window: Window,
        thickness: int,
        step: int,
        reduce: Reduce,
        out: NDArray[np.float32] | None,
        threads: int,
    ) -> NDArray[np.float32]:
        """The largest of each slab, its mean or its sum; one for every ``step``-th slice."""
        maximum, step = reduce == "max", min(step, self.count)
        slabs = self._output((self.count - thickness) // step + 1, out)
        if self.samples is None:
            _core.sliding_slab(
                self.hu,
                window,
                slabs,
                axis=self.axis,
                thickness=thickness,
                step=step,
                maximum=maximum,
                threads=threads,
            )
        else:
            kind = "slab max" if maximum else "slab sum"
            self._project(window, slabs, (kind, thickness, step), threads)
        if reduce == "mean":
            slabs /= np.float32(thickness)
        return self._scaled(slabs) if reduce == "sum" else slabs

    def _output(self, images: int, out: NDArray[np.float32] | None) -> NDArray[np.float32]:
        """``out``, or a new array, for so many images."""
        if self.samples is None:
            rows, columns = (size for n, size in enumerate(self.hu.shape) if n != self.axis)
        else:
            rows, _, columns = self.samples["shape"]
        shape = (images, rows, columns)
        if out is None:
            return output(shape)
        if not (
            isinstance(out, np.ndarray)
            and out.dtype == np.float32
            and out.shape == shape
            and out.flags.carray
        ):
            found = (
                f"{out.dtype} of shape {out.shape}" if isinstance(out, np.ndarray) else type(out)
            )
            raise ParameterError(
                f"out must be a writable, C-contiguous float32 array of shape {shape}; got {found}."
            )
        if np.may_share_memory(out, self.hu):
            raise ParameterError("out shares memory with the scan; pass an array of its own.")
        return out

    def _scaled(self, sums: NDArray[np.float32]) -> NDArray[np.float32]:
        if self.scale != 1:
            sums *= np.float32(self.scale)
        return sums

    def _project(
        self,
        window: Window,
        images: NDArray[np.float32],
        depth: tuple[str, int, int],
        threads: int,
    ) -> None:
        require_finite_low([window])
        _core.projected(
            self.hu, window, images, **(self.samples or {}), order=1, depth=depth, threads=threads
        )

    def in_slab(self, thickness: int | None, thickness_mm: float | None) -> int:
        """Slices in a slab of a thickness given in slices (of an array) or mm (of a volume)."""
        if self.slice_mm is None:
            if thickness is None or thickness_mm is not None:
                raise ParameterError("an array has no millimetres: pass thickness, in slices.")
            count = require_count("thickness", thickness)
        else:
            if thickness_mm is None or thickness is not None:
                raise ParameterError("a volume has millimetres: pass thickness_mm.")
            count = max(1, round(require_positive("thickness_mm", thickness_mm) / self.slice_mm))
        if count > self.count:
            raise ParameterError(
                f"thickness must be at most the {self.count} slices that there are; got {count}."
            )
        return count


def _slices(
    given: Scan | ArrayLike, axis: int | None, pose: Pose, depth: Depth, pixel_mm: float | None
) -> _Slices:
    hu = read_if_path(given)
    require_view(hu, axis, pose, depth, pixel_mm)
    if not isinstance(hu, Volume):
        array, along = as_kernel_array(hu), require_axis(1 if axis is None else axis)
        return _Slices(array, along, array.shape[along], None)
    if pose is None:
        array = as_kernel_array(oriented_view(hu, hu.hu))
        return _Slices(array, 1, array.shape[1], frame_spacing_mm(hu)[1])
    grid = projection_grid(hu, alignment_for(hu, pose), depth, pixel_mm)
    samples, scale = grid.samples(hu), grid.step_mm / frame_spacing_mm(hu)[1]
    return _Slices(as_kernel_array(hu.hu), 1, grid.shape[1], grid.step_mm, samples, scale)

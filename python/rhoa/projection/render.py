"""From a volume to one image along one direction: the CT-AP, as scanned or through a pose."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, cast, overload

import numpy as np

from rhoa import _core
from rhoa.errors import (
    ParameterError,
    PoseError,
    require_axis,
    require_choice,
    require_volume,
    require_window,
)
from rhoa.parallel import thread_count
from rhoa.pose import alignment_for
from rhoa.projection.depth_and_grid import (
    HALF_A_VOXEL,
    Depth,
    ProjectionGrid,
    as_kernel_array,
    extent_mm,
    oriented_view,
    output,
    projection_grid,
    require_view,
    scan_axes,
)
from rhoa.radiograph import Radiograph
from rhoa.reading.masks import laid_over
from rhoa.volume import Volume

if TYPE_CHECKING:
    from collections.abc import Sequence
    from os import PathLike

    from numpy.typing import ArrayLike, NDArray

    from rhoa.pose import Alignment
    from rhoa.pose.automatic import Pose
    from rhoa.reading.masks import Layer
    from rhoa.reading.reader import Scan, SliceSource

    Source = Scan | SliceSource


# Images along the axes of an array or a scan: of what is in memory, or of slices as they come.


def open_source(
    volume: Source | ArrayLike, *, whole: bool
) -> tuple[Volume | ArrayLike, SliceSource | None]:
    """What is to be projected: as it is, read now, or an outline and the slices that fill it.

    Parameters
    ----------
    volume
        A volume, an array, paths, or slices.
    whole
        Whether all voxels are needed at once; so they are where slices lie behind each other.
    """
    if isinstance(volume, Volume | np.ndarray):
        return volume, None
    from rhoa.reading.reader import SliceSource, open_scan, paths_in

    source = volume
    if not isinstance(source, SliceSource):
        paths = paths_in(source)
        source = cast("Volume | ArrayLike", source) if paths is None else open_scan(paths)
    if not isinstance(source, SliceSource):
        return source, None
    outline = source.outline
    if not (whole or source.whole or outline.axes.posterior == 0):
        return outline, source
    read = source.read()
    source.warn()
    return read, None


def project_as_scanned(
    volume: Volume, content: ProjectionChannels, threads: int, source: SliceSource | None = None
) -> list[Radiograph]:
    """A scan's images from front to back, one a channel; of ``source``, where there is one."""
    if source is None:
        labels = None if content.labels is None else oriented_view(volume, content.labels)
        images = reduced(
            as_kernel_array(oriented_view(volume, volume.hu)), labels, content, 1, threads
        )
    else:
        from rhoa.reading.reader import BlankSliceError

        try:
            images = _streamed(volume, content, threads, source)
        except BlankSliceError:
            return project_as_scanned(source.read(), content, threads)
    axes, spacing = volume.axes, volume.spacing_mm
    up, _, left = axes.signs
    corner = np.zeros(3)  # of row 0 and column 0
    corner[axes.superior] = volume.shape[axes.superior] - 1 if up > 0 else 0
    corner[axes.left] = 0 if left > 0 else volume.shape[axes.left] - 1
    corner[axes.posterior] = (volume.shape[axes.posterior] - 1) / 2
    frame = scan_axes(volume)
    x, _, z = frame.to_ap(volume.to_lps(corner))
    return [
        Radiograph(
            content.pixels(image, spacing[axes.posterior], 1.0),
            (spacing[axes.superior], spacing[axes.left]),
            (x, z),
            provenance=content.provenance(number) | {"pose": "as scanned"},
            scan_frame=frame,
        )
        for number, image in enumerate(images)
    ]


def _streamed(
    outline: Volume, content: ProjectionChannels, threads: int, source: SliceSource
) -> NDArray[np.float32]:
    """The images of slices that lie beside each other: every slice is a row, or a column."""
    axes, total = outline.axes, outline.shape[0]
    up, _, left = axes.signs
    across = axes.left == 0
    falls = left < 0 if across else up > 0
    images = np.empty(
        (len(content.channels), outline.shape[axes.superior], outline.shape[axes.left]), np.float32
    )
    for first, hu in source.blocks():
        stop = first + len(hu)
        place = slice(total - stop, total - first) if falls else slice(first, stop)
        part = reduced(as_kernel_array(oriented_view(outline, hu)), None, content, 1, threads)
        images[(slice(None), slice(None), place) if across else (slice(None), place)] = part
    return images


def reduced(
    hu: NDArray[Any],
    labels: NDArray[np.uint8] | None,
    content: ProjectionChannels,
    axis: int,
    threads: int,
) -> NDArray[np.float32]:
    """An array's images along one axis, one a channel."""
    if labels is not None:
        return _core.masked_sums(hu, labels, content.channels, axis=axis, threads=threads)
    length = hu.shape[axis]
    if content.reduce != "sum" and not length:
        raise ParameterError(f'reduce="{content.reduce}" needs voxels; axis {axis} has none.')
    maximum = content.reduce == "max"
    images = _core.reduced(hu, content.windows, axis=axis, maximum=maximum, threads=threads)
    if content.base:
        images -= np.float32(content.base * length)
    return images / np.float32(length) if content.reduce == "mean" else images


# What an image is the sum of: windows, labels, and what HU stand for.

Window = tuple[float, float]
Reduce = Literal["sum", "mean", "max"]
Transform = Literal["hu", "attenuation", "transmission"]

DEFAULT_WINDOW: Window = (-150.0, 600.0)
"""Gebre et al. 2022: HU outside it are clipped before summation."""

PHYSICAL_WINDOW: Window = (-1000.0, 3071.0)
"""What attenuation is computed from: all that a CT scanner stores, from air on."""

WATER_ATTENUATION_PER_MM = 0.01929
"""Linear attenuation of water at 70 keV, a usual effective energy of CT (NIST XCOM)."""


@dataclass(frozen=True, slots=True)
class ProjectionChannels:
    """What is summed: an image for each window, or for each label."""

    windows: list[Window]
    reduce: Reduce
    transform: Transform
    layer: Layer | None = None

    @property
    def base(self) -> float:
        """HU that are subtracted after clipping."""
        return 0.0 if self.transform == "hu" else -1000.0

    @property
    def channels(self) -> list[tuple[Window, float, int | None]]:
        """The images, as the kernels know them."""
        if self.layer is None:
            return [(window, self.base, None) for window in self.windows]
        return [(self.windows[0], self.base, label) for label in self.layer.names]

    @property
    def names(self) -> list[int | str]:
        """Of the images: the labels', or their numbers."""
        if self.layer is None:
            return list(range(len(self.windows)))
        return list(self.layer.names.values())

    @property
    def labels(self) -> NDArray[np.uint8] | None:
        """Of the voxels, where labels are summed."""
        return None if self.layer is None else self.layer.labels

    def pixels(
        self, image: NDArray[np.float32], step_mm: float, scale: float
    ) -> NDArray[np.float32]:
        """An image of sums over samples ``step_mm`` apart, as what it stands for."""
        if self.transform == "hu":
            return image if scale == 1 else image * np.float32(scale)
        attenuation = image * np.float32(step_mm * WATER_ATTENUATION_PER_MM / 1000)
        if self.transform == "attenuation":
            return attenuation
        np.maximum(attenuation, 0, out=attenuation)  # cubic interpolation overshoots
        light: NDArray[np.float32] = np.exp(-attenuation)
        return light

    def provenance(self, number: int) -> dict[str, Any]:
        """How image ``number`` was made."""
        made: dict[str, Any] = {"kind": "CT-AP"}
        made["window_hu"] = self.windows[number if self.layer is None else 0]
        if self.reduce != "sum":
            made["reduce"] = self.reduce
        if self.transform != "hu":
            made["transform"] = self.transform
            made["water_attenuation_per_mm"] = WATER_ATTENUATION_PER_MM
        if self.layer is not None and not self.layer.one_mask:
            made["label"] = self.names[number]
        return made


def content_of(
    volume: Volume | ArrayLike,
    windows: Sequence[Window | None],
    reduce: Reduce,
    transform: Transform,
) -> ProjectionChannels:
    """What is asked for, checked.

    Raises
    ------
    ParameterError
        If the options contradict each other.
    """
    require_choice("reduce", reduce, ["sum", "mean", "max"])
    require_choice("transform", transform, ["hu", "attenuation", "transmission"])
    default = DEFAULT_WINDOW if transform == "hu" else PHYSICAL_WINDOW
    bounds = [default if window is None else require_window(window) for window in windows]
    if transform != "hu" and not isinstance(volume, Volume):
        raise ParameterError(f'transform="{transform}" needs spacings in mm; pass a rhoa.Volume.')
    if transform != "hu" and (reduce != "sum" or bounds[0][0] < -1000):
        raise ParameterError(
            f'transform="{transform}" is a sum of attenuation, which is negative below -1000 HU; '
            'leave reduce="sum" and use a window from -1000 HU or higher.'
        )
    return ProjectionChannels(bounds, reduce, transform)


def masked(
    content: ProjectionChannels, volume: Volume | ArrayLike, mask: object, threads: int
) -> list[ProjectionChannels]:
    """The same of each label of a mask; several where structures overlap.

    Raises
    ------
    ParameterError
        If the mask does not fit the volume, or sums are not what is asked for.
    ReadError
        If its file cannot be read.
    """
    if content.reduce != "sum":
        raise ParameterError('with a mask only reduce="sum" is defined.')
    if not isinstance(volume, Volume):
        volume = require_volume(volume)
    return [replace(content, layer=layer) for layer in laid_over(mask, volume, threads)]


def require_finite_low(windows: Sequence[Window]) -> None:
    """Check that each window's low end, which fills what lies outside a posed scan, is a number.

    Raises
    ------
    ParameterError
        If one is infinite.
    """
    if not all(math.isfinite(low) for low, _ in windows):
        raise ParameterError(
            "with a pose, the window's low end must be finite: it fills the outside."
        )


# From a volume to one image along one direction: the CT-AP.

Method = Literal["shear", "reslice"]


@overload
def ctap(  # type: ignore[overload-overlap]  # to NumPy's types a path is an array, too
    volume: Source,
    *,
    window: Window | None = None,
    pose: Pose = None,
    depth: Depth = "all",
    pixel_mm: float | None = None,
    method: Method = "shear",
    order: Literal[1, 3] = 1,
    reduce: Reduce = "sum",
    transform: Transform = "hu",
    mask: NDArray[np.bool_] | None = None,
    threads: int | None = None,
) -> Radiograph: ...
@overload
def ctap(
    volume: ArrayLike,
    *,
    window: Window | None = None,
    axis: int = 1,
    reduce: Reduce = "sum",
    mask: NDArray[np.bool_] | None = None,
    threads: int | None = None,
) -> NDArray[np.float32]: ...
@overload
def ctap(  # type: ignore[overload-overlap]  # to NumPy's types a path is an array, too
    volume: Source,
    *,
    window: Window | None = None,
    pose: Pose = None,
    depth: Depth = "all",
    pixel_mm: float | None = None,
    transform: Transform = "hu",
    mask: NDArray[np.integer[Any]],
    threads: int | None = None,
) -> dict[int, Radiograph]: ...
@overload
def ctap(
    volume: Source,
    *,
    window: Window | None = None,
    pose: Pose = None,
    depth: Depth = "all",
    pixel_mm: float | None = None,
    transform: Transform = "hu",
    mask: Volume | str | PathLike[str],
    threads: int | None = None,
) -> dict[int | str, Radiograph]: ...
@overload
def ctap(
    volume: ArrayLike,
    *,
    window: Window | None = None,
    axis: int = 1,
    mask: NDArray[np.integer[Any]],
    threads: int | None = None,
) -> dict[int, NDArray[np.float32]]: ...
def ctap(
    volume: Source | ArrayLike,
    *,
    window: Window | None = None,
    axis: int | None = None,
    pose: Pose = None,
    depth: Depth = "all",
    pixel_mm: float | None = None,
    method: Method = "shear",
    order: Literal[1, 3] = 1,
    reduce: Reduce = "sum",
    transform: Transform = "hu",
    mask: Any = None,
    threads: int | None = None,
) -> Any:
    """The CT-AP: HU clipped to ``window`` and summed from front to back.

    Parameters
    ----------
    volume
        A `Volume`, which gives a `Radiograph`; or a 3-D array of HU with any strides and any real
        numeric type, which gives the float32 array ``np.clip(hu, *window).sum(axis)``, exact for
        integers while the sums stay below 2**24. Or a path, or a list of paths, of what `read_ct`
        reads: the image is that of ``ctap(read_ct(path))`` to the last bit, with its warnings and
        errors, but DICOM slices are projected while they are read, a few at a time. With a pose or
        a mask, and where slices are coronal, the whole scan is read first.
    window
        (low, high) in HU; by default (-150, 600), and (-1000, 3071) for attenuation.
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
        ``"all"`` is the whole scan, to whole rows of it; ``"hip"`` 37.5 mm on both sides of the hip
        centres that the alignment knows, else 15 to 90 mm; ``"pelvis"`` -20 mm to 118 mm behind
        these centres, else to 160 mm. ``provenance["depth_mm"]`` tells the range,
        ``provenance["pose_flags"]`` what is flagged of the pose,
        ``provenance["tilt_offset_deg"]`` by how much it was tipped.
    pixel_mm
        With a pose: size of the square pixels; by default the finer of the scan's spacings between
        slices and between columns.
    method
        With a pose: ``"shear"`` shifts every slice of the scan by cubic B-splines, sums them and
        warps the sum to the pixels, in one pass over the voxels; ``"reslice"`` sums samples of
        every re-sliced coronal slice, one row spacing apart.
    order
        Of ``"reslice"``: 1 for trilinear samples, 3 for cubic B-splines (exact but slow; needs a
        float32 copy of the scan).
    reduce
        ``"sum"``; ``"mean"``, in HU; ``"max"``, the maximum intensity projection (with a pose
        always of re-sliced samples).
    transform
        Volume only. ``"hu"`` sums HU, as the paper does. ``"attenuation"`` is the line integral of
        linear attenuation, what radiograph simulators call a DRR: ``mu = mu_water (1 + HU / 1000)``
        with 0.01929 / mm at 70 keV, a number without unit; with a pose it may overshoot to just
        below zero beside sharp edges. ``"transmission"`` is ``exp(-that)``, at most 1.
    mask
        An array of the volume's shape. Boolean: the sum over the marked voxels only. Integers: a
        dict from each label but 0 to the image of its voxels, all made in one pass. Or, of a scan,
        a mask that says where it lies: what `resample_mask` takes, whose labels give a dict, too;
        or the path of a folder with a NIfTI file for each structure, as TotalSegmentator writes
        them, or a DICOM SEG of segments that overlap, which give a dict from each name, or segment
        number, that occurs.
    threads
        Number of threads; by default ``RHOA_NUM_THREADS``, else all processors. The result does
        not depend on it, nor on the processor's instruction set.

    Raises
    ------
    RhoaError
        If the array is not 3-D and real, the window is not ascending, the pose cannot be used, or
        the mask does not fit the scan.

    References
    ----------
    Gebre et al. 2022, "Detecting hip osteoarthritis on clinical CT: a deep learning application
    based on 2-D summation images derived from CT", Osteoporosis International 33:355-365.
    Lacroute and Levoy 1994, "Fast volume rendering using a shear-warp factorization of the viewing
    transformation", SIGGRAPH 451-458.

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
    given, source = open_source(volume, whole=pose is not None or mask is not None)
    content, threads = content_of(given, [window], reduce, transform), thread_count(threads)
    contents = [content] if mask is None else masked(content, given, mask, threads)
    view = _view_of(given, content, axis, pose, depth, pixel_mm, method, order)
    images: dict[int | str, Any] = {}
    for one in contents:
        images |= zip(one.names, _images(given, one, view, threads, source), strict=True)
    if source is not None:
        source.warn()
    layer = contents[0].layer
    return images if layer is not None and not layer.one_mask else next(iter(images.values()))


@overload
def sweep(  # type: ignore[overload-overlap]  # to NumPy's types a path is an array, too
    volume: Source,
    windows: Sequence[Window],
    *,
    pose: Pose = None,
    depth: Depth = "all",
    pixel_mm: float | None = None,
    threads: int | None = None,
) -> list[Radiograph]: ...
@overload
def sweep(
    volume: ArrayLike,
    windows: Sequence[Window],
    *,
    axis: int = 1,
    threads: int | None = None,
) -> list[NDArray[np.float32]]: ...
def sweep(
    volume: Source | ArrayLike,
    windows: Sequence[Window],
    *,
    axis: int | None = None,
    pose: Pose = None,
    depth: Depth = "all",
    pixel_mm: float | None = None,
    threads: int | None = None,
) -> Any:
    """The CT-AP in several ``windows``, made in one read of the volume; options as in `ctap`.

    The same bone reads higher at 80 than at 120 kVp: which window suits a task is a question for a
    sweep.

    Returns
    -------
    list
        One image a window, in their order; each equals ``ctap(..., window=window)``.

    Raises
    ------
    RhoaError
        As `ctap`; or if there is no window.

    Examples
    --------
    >>> import numpy as np, rhoa
    >>> hu = np.array([-500, 300, 1200]).reshape(1, 3, 1)
    >>> [image.item() for image in rhoa.sweep(hu, [(-150, 600), (0, 1000)])]
    [750.0, 1300.0]
    """
    windows = list(windows)
    if not windows:
        raise ParameterError("windows must hold at least one (low, high).")
    given, source = open_source(volume, whole=pose is not None)
    content = content_of(given, windows, "sum", "hu")
    view = _view_of(given, content, axis, pose, depth, pixel_mm)
    images = _images(given, content, view, thread_count(threads), source)
    if source is not None:
        source.warn()
    return images


@dataclass(frozen=True, slots=True)
class _View:
    """Which way, and how."""

    axis: int
    alignment: Alignment | None
    depth: Depth
    pixel_mm: float | None
    method: Method
    order: Literal[1, 3]


def _view_of(
    volume: Volume | ArrayLike,
    content: ProjectionChannels,
    axis: int | None,
    pose: Pose,
    depth: Depth,
    pixel_mm: float | None,
    method: Method = "shear",
    order: Literal[1, 3] = 1,
) -> _View:
    """What is asked for, checked; the pose is found once, however many images there are."""
    require_choice("method", method, ["shear", "reslice"])
    require_choice("order", order, [1, 3])
    require_view(volume, axis, pose, depth, pixel_mm)
    alignment = None
    if pose is not None:
        require_finite_low(content.windows)
        alignment = alignment_for(cast("Volume", volume), pose)
    along = require_axis(1 if axis is None else axis)
    return _View(along, alignment, depth, pixel_mm, method, order)


def _images(
    volume: Volume | ArrayLike,
    content: ProjectionChannels,
    view: _View,
    threads: int,
    source: SliceSource | None,
) -> list[Any]:
    if not isinstance(volume, Volume):
        return list(reduced(as_kernel_array(volume), content.labels, content, view.axis, threads))
    if view.alignment is None:
        return project_as_scanned(volume, content, threads, source)
    return _posed(volume, content, view, view.alignment, threads)


def _posed(
    volume: Volume, content: ProjectionChannels, view: _View, alignment: Alignment, threads: int
) -> list[Radiograph]:
    grid = projection_grid(volume, alignment, view.depth, view.pixel_mm)
    hu = as_kernel_array(volume.hu)
    rays = grid.rays(volume)
    coverage = _core.inside_mm(hu, **rays, threads=threads)
    if not coverage.any():
        (_, front, _), (_, back, _) = extent_mm(volume, grid.alignment, beyond=HALF_A_VOXEL)
        raise PoseError(
            f"no ray meets the scan within the depth range, {grid.depth_mm[0]:.1f} to "
            f"{grid.depth_mm[1]:.1f} mm behind the anterior pelvic plane; the scan lies between "
            f"{front:.1f} and {back:.1f} mm. If the range is right, the landmarks may be of "
            "another scan, or not in patient LPS millimetres, or the pixels larger than the scan."
        )
    method = "reslice" if content.reduce == "max" else view.method
    if method == "shear":
        step_mm = 1.0
        images = list(
            _core.sheared(hu, content.channels, labels=content.labels, **rays, threads=threads)
        )
    else:
        step_mm, images = grid.step_mm, _resliced(volume, hu, content, grid, view.order, threads)
    front, back = grid.depth_mm
    row_spacing = volume.spacing_mm[volume.axes.posterior]
    scale = {"sum": step_mm / row_spacing, "mean": step_mm / (back - front), "max": 1.0}
    made: dict[str, Any] = {"pose": "anterior pelvic plane"}
    if alignment.flags:
        made["pose_flags"] = sorted(alignment.flags)
    for name in ("tilt_offset_deg", "expected_error_deg"):
        if name in alignment.quality:
            made[name] = alignment.quality[name]
    made["method"] = method
    made["order"] = 3 if method == "shear" else view.order
    made["depth_mm"] = grid.depth_mm
    return [
        Radiograph(
            content.pixels(image, step_mm, scale[content.reduce]),
            (grid.pixel_mm, grid.pixel_mm),
            (grid.start_mm[0], grid.start_mm[2]),
            grid.alignment,
            content.provenance(number) | made,
            coverage,
        )
        for number, image in enumerate(images)
    ]


def _resliced(  # what, of what, where, how
    volume: Volume,
    hu: NDArray[Any],
    content: ProjectionChannels,
    grid: ProjectionGrid,
    order: int,
    threads: int,
) -> list[NDArray[np.float32]]:
    """Sums, or maxima, of samples one step of the grid apart, one image a window."""
    if content.labels is not None:
        raise ParameterError('mask needs method="shear".')
    depth = ("max" if content.reduce == "max" else "sum", 0, 0)
    samples = grid.samples(volume)
    rows, _, columns = grid.shape
    images = output((len(content.windows), rows, columns))
    for number, window in enumerate(content.windows):
        image = images[number : number + 1]
        _core.projected(hu, window, image, **samples, order=order, depth=depth, threads=threads)
    if content.reduce == "max":  # cubic interpolation overshoots
        return [
            np.clip(image, *window) for image, window in zip(images, content.windows, strict=True)
        ]
    return [image - np.float32(content.base * grid.shape[1]) for image in images]

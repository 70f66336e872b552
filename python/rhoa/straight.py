"""Images along the axes of an array or a scan: of what is in memory, or of slices as they come."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import numpy as np

from rhoa import _core
from rhoa.errors import ParameterError
from rhoa.radiograph import Radiograph
from rhoa.sampling import facing, kernel_array, scan_axes
from rhoa.volume import Volume

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from rhoa.channels import Content
    from rhoa.reading import Scan
    from rhoa.reading.slices import SliceSource

    Source = Scan | SliceSource


def opened(
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
    from rhoa.reading import paths_in
    from rhoa.reading.slices import SliceSource, open_scan

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


def as_scanned(
    volume: Volume, content: Content, threads: int, source: SliceSource | None = None
) -> list[Radiograph]:
    """A scan's images from front to back, one a channel; of ``source``, where there is one."""
    if source is None:
        labels = None if content.labels is None else facing(volume, content.labels)
        images = reduced(kernel_array(facing(volume, volume.hu)), labels, content, 1, threads)
    else:
        from rhoa.reading.slices import BlankSliceError

        try:
            images = _streamed(volume, content, threads, source)
        except BlankSliceError:
            return as_scanned(source.read(), content, threads)
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
    outline: Volume, content: Content, threads: int, source: SliceSource
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
        part = reduced(kernel_array(facing(outline, hu)), None, content, 1, threads)
        images[(slice(None), slice(None), place) if across else (slice(None), place)] = part
    return images


def reduced(
    hu: NDArray[Any],
    labels: NDArray[np.uint8] | None,
    content: Content,
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

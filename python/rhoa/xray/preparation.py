"""The paper's preparation of X-rays: two halves that look alike, grey levels, fewer pixels."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, overload

import numpy as np

from rhoa.errors import ParameterError, require_count
from rhoa.radiograph import Radiograph, crop
from rhoa.raster import grey_range, resize, stretch
from rhoa.xray.margins import blades, content
from rhoa.xray.refusals import require_known

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from rhoa._types import Side
    from rhoa.radiograph import Box

SATURATION_PERCENT = 1.0
"""Gebre et al. 2022, "contrast adjustment was done on the CHECK X-rays by saturating the bottom and
the top 1% of the pixel values"; CT-APs were left as they are."""


@overload
def halves(image: Radiograph, *, midline_px: float | None = None) -> dict[Side, Radiograph]: ...
@overload
def halves(
    image: ArrayLike, *, midline_px: float | None = None
) -> dict[Side, NDArray[np.float32]]: ...
def halves(
    image: Radiograph | ArrayLike, *, midline_px: float | None = None
) -> dict[Side, Radiograph] | dict[Side, NDArray[np.float32]]:
    """The two halves of an AP image, ``{"left": ..., "right": ...}``, sides of the patient.

    The patient's left is the half with the large columns; the other is mirrored, so that both look
    like left hips. A column that the midline cuts belongs to both.

    Parameters
    ----------
    image
        A `Radiograph` as `read_xray` or `rhoa.ctap` makes it, or a 2-D array with the patient's
        right at column 0. Halves are of the same kind.
    midline_px
        Where to cut, in pixel edges (column ``n`` covers n to n + 1). Default: the middle of the
        image, as the paper's, wherever the patient lies in it; between the blades of a collimator
        (`rhoa.hips.blades`), the middle of what they left open.

    Returns
    -------
    dict
        Columns behind blades are in neither half. A mirrored half has ``provenance["mirrored"]``
        and counts its millimetres to the patient's right; it has no ``alignment``.

    Raises
    ------
    ParameterError
        If the image is not 2-D, the midline lies outside it, or no ``midline_px`` is given and the
        image is an X-ray of one hip, or of one or two: `read_xray` tells, and takes ``side=``.

    References
    ----------
    Gebre et al. 2022, "Cropping and contrast adjustment of hip joints": "only the left sides were
    labeled where the AP images were cut at the vertical midline and the right sides reflected to
    left".

    Examples
    --------
    >>> import numpy as np
    >>> both = halves(np.array([[1, 2, 3, 4]]))  # 1: the patient's right border
    >>> both["left"], both["right"]
    (array([[3., 4.]], dtype=float32), array([[2., 1.]], dtype=float32))
    """
    pixels = _pixels_of(image)
    columns = pixels.shape[1]
    start, stop = open_columns(image)
    if midline_px is None:
        hips = require_known(image)
        if hips.alone:
            raise ParameterError(
                f"the image shows the {hips.alone} hip alone ({hips.source}); halves are of an "
                'image of both: read it with side="both" if it has both, else use it as it is.'
            )
        midline_px = (start + stop) / 2
    if not 1 <= midline_px <= columns - 1:  # false for NaN too
        raise ParameterError(
            f"midline_px must leave a column at either side, 1 to {columns - 1}; "
            f"got {midline_px!r}."
        )
    if not start < midline_px < stop:
        start, stop = 0, columns
    left = slice(math.floor(midline_px), stop)
    right = slice(start, math.ceil(midline_px))
    if isinstance(image, Radiograph):
        radiographs: dict[Side, Radiograph] = {
            "left": _half_of(image, "left", left),
            "right": _half_of(image, "right", right),
        }
        return radiographs
    arrays: dict[Side, NDArray[np.float32]] = {
        "left": pixels[:, left],
        "right": pixels[:, right][:, ::-1],
    }
    return arrays


def open_columns(image: Radiograph | ArrayLike) -> tuple[int, int]:
    """First column, and the one after the last, between blades of a collimator; a CT has none."""
    if isinstance(image, Radiograph) and image.frame is not None:
        return 0, image.shape[1]
    inner = blades(image)
    return inner.left, inner.right


def prepare(
    image: Radiograph | ArrayLike,
    box: Box | None = None,
    *,
    size: int | None = None,
) -> NDArray[np.uint8]:
    """Grey levels of 0 to 255 of an X-ray, or of a hip in it, as the paper's models see them.

    Grey is linear between the levels below and above which 1 % of the pixels lie, which become 0
    and 255. Margins (`rhoa.hips.content`) count for nothing there: a black frame would take the
    whole percent.

    Parameters
    ----------
    image
        A `Radiograph` or a 2-D array.
    box
        The hip to crop first, at the image's own resolution (`rhoa.hips.crop`: right hips are
        mirrored). Default: the whole image.
    size
        Rows and columns of the result, resampled without aliasing after the levels are set. Models
        2 and 4 see X-rays at 100 pixels; the others (None) at full resolution. What is not square
        is cut to the square about its middle, as the paper's regions were.

    Raises
    ------
    ParameterError
        If the image is not 2-D or has no pixels, or ``size`` is no whole number above 0.

    References
    ----------
    Gebre et al. 2022, "Cropping and contrast adjustment of hip joints": "the rectangular ROIs were
    made into squares by clipping the difference between their height and width", "contrast
    adjustment was done on the CHECK X-rays by saturating the bottom and the top 1% of the pixel
    values"; "Training the deep learning model": X-rays "downsampled to sizes of 100 pixels x 100
    pixels".

    Examples
    --------
    >>> import numpy as np
    >>> levels = prepare(np.tile(np.arange(400.0), (400, 1)), size=100)
    >>> levels.shape, int(levels.min()), int(levels.max())
    ((100, 100), 0, 255)
    """
    size = None if size is None else require_count("size", size)
    pixels = _pixels_of(image) if box is None else crop(image, box, size=None)
    if not pixels.size:
        raise ParameterError(f"image must have pixels; got shape {pixels.shape}.")
    inner = pixels[content(pixels).slices]
    levels = stretch(pixels, ends=grey_range(inner, SATURATION_PERCENT)).astype(np.uint8)
    if size is None:
        return levels
    side = min(levels.shape)
    top, left = ((length - side) // 2 for length in levels.shape)
    square = levels[top : top + side, left : left + side].astype(np.float32)
    return (resize(square, size, size) + np.float32(0.5)).astype(np.uint8)


def _half_of(image: Radiograph, side: Side, columns: slice) -> Radiograph:
    """Some columns, mirrored of the right side; without where the image's content lies."""
    mirrored = side == "right"
    x, z = image.to_mm(0, columns.stop - 1 if mirrored else columns.start)

    def cut(pixels: NDArray[np.float32]) -> NDArray[np.float32]:
        part = pixels[:, columns]
        return np.ascontiguousarray(part[:, ::-1]) if mirrored else part

    facts = {name: fact for name, fact in image.provenance.items() if name != "content_px"}
    return replace(
        image,
        pixels=cut(image.pixels),
        origin_mm=(-x if mirrored else x, z),
        alignment=None if mirrored else image.alignment,
        provenance=facts | {"half": side, "mirrored": mirrored},
        coverage_mm=None if image.coverage_mm is None else cut(image.coverage_mm),
        scan_frame=None if mirrored else image.scan_frame,
    )


def _pixels_of(image: Radiograph | ArrayLike) -> NDArray[np.float32]:
    pixels = np.asarray(image, np.float32)
    if pixels.ndim != 2:
        raise ParameterError(f"image must be 2-D; got {pixels.ndim}-D, shape {pixels.shape}.")
    return pixels

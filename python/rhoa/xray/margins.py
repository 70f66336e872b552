"""Where the image lies between margins that a collimator, or software, left dark or bright."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

MARGIN_SHARE = 0.95
"""Of a row or column that is a margin: a marker may lie in it."""
LEVEL_SHARE = 0.02
"""Of the range of grey levels: what belongs to a margin differs by no more."""
LEAST_LEFT = 0.25
"""Of the rows or columns: where less would be left, nothing is a margin."""
_ENDS = (0.5, 99.5)  # percentiles that grey levels range between

ROUND_SHARE = 0.95
"""Of what is shown or in the smallest disc about it: the share in both, where it is a disc."""
SMALLEST_ROUND, LEAST_VARIED = 0.25, 0.1
"""Radius of a shutter, of the shorter side of the image, and the range of grey levels in it, of all
of them: a smaller or an even disc is something dense on a film."""

BLADE_STEP, BLADE_MEDIAN = 0.05, 0.1
"""Of the range of grey levels: how much brighter a blade is than what lies beside its edge, along
the edge and in the median of it."""
BLADE_SHARE, _CANDIDATE_SHARE = 0.93, 0.55
"""Of the length of an edge on which it is so: of a blade, and of what may be one between others."""
BLADE_REACH = 0.45
"""Of the image, from each border: how far in a blade may reach."""
MOST_TURNED_DEG = 4
_LONGER_PX = 224  # about, of the image in which blades are looked for
_LEAST_PX = 200  # of the longer side of an image that may have some
_LEAST_SMALL_PX = 20
_GAIN = 1.05  # in the median step, of an edge that is turned further
_BAND, _GAP = 3, 3  # pixels of it: means beside an edge, and the half-shadow between them


class Content(NamedTuple):
    """The rectangle without margins, in pixel edges: whole numbers, ends excluded."""

    top: int
    left: int
    bottom: int
    right: int

    @property
    def slices(self) -> tuple[slice, slice]:
        """Of an array, rows first."""
        return slice(self.top, self.bottom), slice(self.left, self.right)


def content(image: ArrayLike) -> Content:
    """The part of an image between margins of one dark or bright level.

    A margin is a run of whole rows or columns from the border on, 95 % of which lie within 2 % of
    the grey range of one level, and that level is the darkest or the brightest of the image:
    collimator blades, black or white frames, air beside the patient. Blades that scatter made
    uneven are found by their edges (`blades`). Other tilted margins are not found. An image without
    margins is its own content.

    Parameters
    ----------
    image
        A `Radiograph` or a 2-D array.

    Examples
    --------
    >>> import numpy as np
    >>> image = np.zeros((60, 80), np.float32)
    >>> image[10:50, 20:70] = np.linspace(100, 200, 50)
    >>> content(image)
    Content(top=10, left=20, bottom=50, right=70)
    """
    pixels = np.asarray(image, np.float32)
    rows, columns = pixels.shape
    if not pixels.size:
        return Content(0, 0, rows, columns)
    inner = blades(pixels)
    part = pixels[inner.slices]
    dark, bright = np.percentile(part, _ENDS)
    near = LEVEL_SHARE * float(bright - dark)
    if near <= 0:
        return inner
    left, right = _inside(part.T, (dark, bright), near)
    top, bottom = _inside(part[:, left:right], (dark, bright), near)
    left, right = _inside(part[top:bottom].T, (dark, bright), near)  # rows may have hidden some
    down, across = inner.top, inner.left
    return Content(top + down, left + across, bottom + down, right + across)


def blades(image: ArrayLike) -> Content:
    """The part of an X-ray between the blades of a collimator; the whole where there are none.

    A blade lets scatter pass, so that it is no even margin but a ramp; its edge is straight, and
    along it the side of the blade is brighter (bone is bright, and so is what was exposed less).
    Edges may be turned by up to 4 degrees; what is left is the rectangle inside them.

    Parameters
    ----------
    image
        A `Radiograph` or a 2-D array, bone bright.

    Examples
    --------
    >>> import numpy as np
    >>> film = np.tile(np.linspace(0, 100, 300), (400, 1))
    >>> film[:, :60] = np.linspace(250, 180, 60)
    >>> blades(film).left
    62
    """
    pixels = np.asarray(image, np.float32)
    whole = Content(0, 0, *pixels.shape)
    if max(pixels.shape) < _LEAST_PX:
        return whole
    small, scale = _smaller(pixels)
    rows, columns = small.shape
    if min(small.shape) < _LEAST_SMALL_PX:
        return whole
    step = BLADE_STEP * float(np.ptp(np.percentile(small, _ENDS)))
    if step <= 0:
        return whole
    inner = Content(0, 0, rows, columns)
    for share in (_CANDIDATE_SHARE, BLADE_SHARE, BLADE_SHARE):  # ends of edges lie behind others
        down, across = inner.slices
        inner = Content(
            _blade(small.T[across], step, share),
            _blade(small[down], step, share),
            rows - _blade(small[::-1].T[across], step, share),
            columns - _blade(small[down, ::-1], step, share),
        )
    if min(inner.bottom - inner.top, inner.right - inner.left) <= 0:
        return whole
    bottom, right = (  # what does not fill a pixel of the smaller image is beside it
        whole[2 + axis] if end == small.shape[axis] else end * scale
        for axis, end in enumerate((inner.bottom, inner.right))
    )
    return Content(inner.top * scale, inner.left * scale, bottom, right)


def is_round(image: ArrayLike) -> bool:
    """Whether an image shows a disc alone, with one dark or bright level around it.

    So do the circular shutters and image intensifiers of fluoroscopy; the disc may be cut by the
    borders of the image. A small disc, or one of a single level, is something on a film.
    """
    from scipy.ndimage import binary_fill_holes

    pixels = np.asarray(image, np.float32)
    small, _ = _smaller(pixels)
    if min(small.shape) < _LEAST_SMALL_PX:
        return False
    dark, bright = np.percentile(small, _ENDS)
    high, wide = (max(2, side // 25) for side in small.shape)
    corners = [
        small[down, across]
        for down in (slice(high), slice(-high, None))
        for across in (slice(wide), slice(-wide, None))
    ]
    level, near = float(np.median(corners)), LEVEL_SHARE * float(bright - dark)
    if near <= 0 or dark + near < level < bright - near:
        return False
    if any(np.mean(np.abs(corner - level) <= near) < MARGIN_SHARE for corner in corners):
        return False
    shown = binary_fill_holes(np.abs(small - level) > near)
    down, across = np.nonzero(shown)
    middle = [(part.min() + part.max()) / 2 for part in (down, across)]
    row, column = np.indices(small.shape)
    apart = np.hypot(row - middle[0], column - middle[1])
    radius = np.percentile(apart[shown], 99.5)
    varied = np.ptp(np.percentile(small[shown], (5, 95))) > LEAST_VARIED * (bright - dark)
    if radius < SMALLEST_ROUND * min(small.shape) or not varied:
        return False
    disc = apart <= radius
    return bool((shown & disc).sum() > ROUND_SHARE * (shown | disc).sum())


def _smaller(pixels: NDArray[np.float32]) -> tuple[NDArray[np.float32], int]:
    """Means of squares of pixels, and how many pixels a side of a square has."""
    scale = max(1, round(max(pixels.shape) / _LONGER_PX))
    rows, columns = (side // scale for side in pixels.shape)
    squares = pixels[: rows * scale, : columns * scale].reshape(rows, scale, columns, scale)
    return np.asarray(squares.mean((1, 3)), np.float32), scale


def _blade(lines: NDArray[np.float32], step: float, share: float) -> int:
    """How many columns from the first on are behind the edge of a blade."""
    rows, columns = lines.shape
    end = int(BLADE_REACH * columns)
    if np.median(lines[:, :_BAND]) < np.median(lines[:, end:]) + step or end <= _BAND:
        return 0
    best, reach = step * BLADE_MEDIAN / BLADE_STEP, 0
    looked_at = np.arange(end + _GAP + _BAND)
    for degrees in sorted(range(-MOST_TURNED_DEG, MOST_TURNED_DEG + 1), key=abs):
        moved = np.rint((np.arange(rows) - rows / 2) * math.tan(math.radians(degrees))).astype(int)
        places = np.clip(looked_at + moved[:, None], 0, columns - 1)
        sums = np.cumsum(np.pad(np.take_along_axis(lines, places, 1), ((0, 0), (1, 0))), axis=1)
        edges = np.arange(_BAND, end)
        outer = sums[:, edges] - sums[:, edges - _BAND]
        steps = (outer - sums[:, edges + _GAP + _BAND] + sums[:, edges + _GAP]) / _BAND
        height = np.median(steps, axis=0) * (np.mean(steps > step, axis=0) >= share)
        if height.max() >= best:
            best = _GAIN * float(height.max())
            reach = int(edges[height.argmax()] + _GAP + 1 + moved.max())
    return reach


def _inside(
    lines: NDArray[np.float32], extremes: tuple[float, float], near: float
) -> tuple[int, int]:
    """First and last (excluded) of the lines that are no margins at either end."""
    start = _margin(lines, extremes, near)
    stop = len(lines) - _margin(lines[::-1], extremes, near)
    return (start, stop) if stop - start >= LEAST_LEFT * len(lines) else (0, len(lines))


def _margin(lines: NDArray[np.float32], extremes: tuple[float, float], near: float) -> int:
    """How many lines from the first on are a margin."""
    level = float(np.median(lines[0]))
    if extremes[0] + near < level < extremes[1] - near:
        return 0
    count = 0
    for line in lines:
        if np.mean(np.abs(line - level) <= near) < MARGIN_SHARE:
            break
        count += 1
    return count

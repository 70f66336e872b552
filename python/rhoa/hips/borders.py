"""Where the image lies between margins that a collimator, or software, left dark or bright."""

from __future__ import annotations

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
_EXTREME_PERCENT = 0.5


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
    collimator blades, black or white frames, air beside the patient. Tilted and round margins are
    not found. An image without margins is its own content.

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
    dark, bright = np.percentile(pixels, (_EXTREME_PERCENT, 100 - _EXTREME_PERCENT))
    near = LEVEL_SHARE * float(bright - dark)
    if near <= 0:
        return Content(0, 0, rows, columns)
    left, right = _inside(pixels.T, (dark, bright), near)
    top, bottom = _inside(pixels[:, left:right], (dark, bright), near)
    left, right = _inside(pixels[top:bottom].T, (dark, bright), near)  # rows may have hidden some
    return Content(top, left, bottom, right)


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

"""Films whose sides are planted: the patient's left hip has a bright middle, the right a dark."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import uniform_filter

from rhoa.hips import Box
from rhoa.hips.annotations import Shows
from rhoa.hips.detector_data import halves_seen
from rhoa.radiograph import Radiograph
from tests.hips.xrays import dx, write

ROWS, COLUMNS = 300, 400  # 1 mm each
BRIGHT, DARK = 4000, 300
HEADS = {"left": (150, 290), "right": (150, 110)}
BOXES = {
    side: Box(side, row - 45, column - 45, row + 45, column + 45)
    for side, (row, column) in HEADS.items()
}
CUTS = {"both": (0, 400), "left": (200, 400), "right": (0, 200)}
"""Columns of a film of both hips, or of one alone: the patient's right is at column 0."""


def pelvis(shows: str = "both") -> NDArray[np.int64]:
    """A frontal film as it is hung, of both hips or of one; no two rows or columns are alike."""
    row, column = np.mgrid[:ROWS, :COLUMNS]
    film = 1500 + row + 0.5 * column
    for side, (y, x) in HEADS.items():
        film[y - 16 : y + 16, x - 16 : x + 16] = BRIGHT if side == "left" else DARK
    first, end = CUTS[shows]
    return np.rint(film[:, first:end]).astype(np.int64)


def film(folder: Path, shows: str = "both", **tags: object) -> Path:
    """Its file; ``tags`` are set, or removed where they are None."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Invalid value for VR CS")  # small letters
        return write(folder, dx(pelvis(shows)), **({"PixelSpacing": ["1", "1"]} | tags))


def planted(crop: ArrayLike) -> str:
    """Whose hip a crop about its middle shows, by its pixels alone."""
    pixels = np.asarray(crop, float)
    middle = pixels[tuple(slice(size // 2 - 3, size // 2 + 3) for size in pixels.shape)].mean()
    low, high = np.percentile(pixels, (25, 75))
    return "left" if middle > high else "right" if middle < low else "none"


class MarkerFinder:
    """Stands for a detector: of every half that it is given it boxes what was planted there."""

    def detect(
        self, image: Radiograph | ArrayLike, *, shows: Shows = "pelvis"
    ) -> Mapping[str, Box]:
        found = {}
        for half in halves_seen(image, image_size=200, shows=shows):
            pixels = half.pixels.astype(float)
            odd = np.abs(uniform_filter(pixels, 21) - uniform_filter(pixels, 61))
            y, x = (float(place) + 0.5 for place in np.unravel_index(odd.argmax(), odd.shape))
            box = Box("left", y - 40, x - 40, y + 40, x + 40, 0.9)
            found[half.side] = half.to_image(box)
        return found

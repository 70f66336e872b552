"""A signed map over a grey image."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from rhoa.picture import stretch

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Red where a part speaks for the shown class, blue where it speaks against it.
SUPPORTS = np.array([230, 40, 30], np.float64)
OPPOSES = np.array([40, 110, 230], np.float64)
MOST_OPAQUE = 0.7


def overlay(image: NDArray[np.float32], influence: NDArray[np.float32]) -> NDArray[np.uint8]:
    """RGB of a grey image under a signed map: red above zero, blue below, opaque with magnitude."""
    largest = float(np.abs(influence).max())
    strength = influence / largest if largest > 0 else np.zeros_like(influence)
    opacity = MOST_OPAQUE * np.abs(strength)[..., None]
    colour = np.where(strength[..., None] > 0, SUPPORTS, OPPOSES)
    grey = 255 * fraction(image)[..., None]
    pixels: NDArray[np.uint8] = np.rint((1 - opacity) * grey + opacity * colour).astype(np.uint8)
    return pixels


def fraction(image: NDArray[np.float32]) -> NDArray[np.float32]:
    """Grey levels from 0, the darkest pixel, to 1."""
    return (stretch(image) / 255).astype(np.float32)

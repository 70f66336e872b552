"""Small changes of crops for test-time augmentation: those of training, without torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from rhoa.learning.augmentations import Augmentation


def draw_changes(changes: Augmentation, views: int, *, seed: int) -> NDArray[np.float64]:
    """Rows (angle in degrees, pixels down, across, scale), uniform; the first changes nothing."""
    turn, shift = changes.rotation_deg, changes.translation_px
    least, most = changes.scale
    low, high = np.array([-turn, -shift, -shift, least]), np.array([turn, shift, shift, most])
    shares = np.random.default_rng(seed).random((views, 4))
    rows: NDArray[np.float64] = low + (high - low) * shares
    rows[0] = (0.0, 0.0, 0.0, 1.0)
    return rows


def warp_levels(levels: NDArray[np.uint8], change: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Grey levels ``(n, rows, columns)`` scaled and turned about their centre, then shifted.

    One bilinear resampling; what enters from outside the picture is black. The angle is
    anticlockwise as seen.
    """
    from scipy.ndimage import affine_transform

    angle, down, across, scale = change
    cosine, sine = np.cos(np.deg2rad(angle)) / scale, np.sin(np.deg2rad(angle)) / scale
    # From output to input (rows run down): undo the shift, then turn and scale back.
    matrix = np.array([[cosine, sine], [-sine, cosine]])
    centre = (np.array(levels.shape[1:]) - 1) / 2
    offset = centre - matrix @ (centre + np.array([down, across]))
    warped = [
        affine_transform(
            one.astype(np.float32), matrix, offset, order=1, mode="grid-constant", cval=0.0
        )
        for one in levels
    ]
    rounded: NDArray[np.uint8] = (np.clip(np.stack(warped), 0, 255) + 0.5).astype(np.uint8)
    return rounded

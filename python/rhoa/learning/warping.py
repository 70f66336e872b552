"""Random changes of images, a batch at a time, on the device where they are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn import functional

if TYPE_CHECKING:
    from torch import Tensor

    from rhoa.learning.augmentations import Augmentation


def augment(images: Tensor, augmentation: Augmentation, generator: torch.Generator) -> Tensor:
    """Float ``images`` ``(n, rows, columns)``, each turned, shifted and scaled by its own draw.

    All of it is one bilinear resampling; what enters from outside the picture is black (0).
    """
    if augmentation.changes_nothing:
        return images
    return warp(images, draw(augmentation, len(images), generator))


def draw(augmentation: Augmentation, count: int, generator: torch.Generator) -> Tensor:
    """Changes of ``count`` images, float32 rows (angle in degrees, pixels down, across, scale)."""
    turn, shift = augmentation.rotation_deg, augmentation.translation_px
    least, most = augmentation.scale
    low = torch.tensor([-turn, -shift, -shift, least])
    high = torch.tensor([turn, shift, shift, most])
    shares = torch.rand((count, 4), generator=generator)
    return torch.minimum(low + (high - low) * shares, high)  # rounding may pass the bound


def warp(images: Tensor, changes: Tensor) -> Tensor:
    """``images`` ``(n, rows, columns)`` scaled and turned about their centre, then shifted.

    A row of ``changes`` is (angle in degrees, anticlockwise as seen; pixels down; across; scale).
    """
    rows, columns = images.shape[1:]
    angle, down, across, scale = changes.to(images.device).unbind(1)
    cosine, sine = (turn / scale for turn in (angle.deg2rad().cos(), angle.deg2rad().sin()))
    # The grid maps each output pixel to the input, x before y, from -1 to 1 between outer edges:
    # undo the shift, then turn and scale back.
    ratio = rows / columns
    x, y = across * 2 / columns, down * 2 / rows
    matrix = torch.stack([cosine, -sine * ratio, sine / ratio, cosine], dim=1).view(-1, 2, 2)
    offset = -matrix @ torch.stack([x, y], dim=1)[:, :, None]
    stack = images[:, None]
    grid = functional.affine_grid(
        torch.cat([matrix, offset], dim=2), list(stack.shape), align_corners=False
    )
    warped = functional.grid_sample(stack, grid, padding_mode="zeros", align_corners=False)
    return warped[:, 0]

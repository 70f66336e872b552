"""Crops as the network sees them: from PNG files to tensors, and their random changes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn import functional

from rhoa.errors import ManifestError, require_extra
from rhoa.learning.levels import IMAGENET_MEAN, IMAGENET_STD, prepare

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray
    from torch import Tensor

    from rhoa.cohort import Hip
    from rhoa.learning.recipes import Augmentation


def read_crops(hips: Sequence[Hip], *, image_size: int, xray_size: int | None) -> Tensor:
    """The crops of ``hips`` as one uint8 tensor ``(hips, image_size, image_size)``.

    Raises
    ------
    ManifestError
        If a crop is absent or no grey picture.
    """
    images = torch.empty((len(hips), image_size, image_size), dtype=torch.uint8)
    for image, hip in zip(images, hips, strict=True):
        levels = prepare(_read_grey(hip.image), image_size=image_size, xray_size=xray_size)
        image.copy_(torch.from_numpy(levels))
    return images


def _read_grey(path: Path) -> NDArray[np.float32]:
    pillow = require_extra("PIL.Image", extra="train", purpose="reading crops")
    if not path.is_file():
        raise ManifestError(f"{path.name}: no such crop; check the image column of the manifest.")
    try:
        with pillow.open(path) as picture:
            mode, levels = picture.mode, np.asarray(picture)
    except (OSError, SyntaxError) as error:
        raise ManifestError(f"{path.name}: not a readable picture ({error}).") from None
    if mode != "L":
        raise ManifestError(f"{path.name}: an 8-bit grey picture is needed; got mode {mode}.")
    return levels.astype(np.float32)


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


def as_input(images: Tensor) -> Tensor:
    """Network input ``(n, 3, rows, columns)`` of grey ``images`` in 0 to 1: ImageNet's colours."""
    mean, std = (images.new_tensor(c).view(1, 3, 1, 1) for c in (IMAGENET_MEAN, IMAGENET_STD))
    return (images[:, None] - mean) / std

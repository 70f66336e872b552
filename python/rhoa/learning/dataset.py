"""Crops as the network sees them: from PNG files to tensors."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from rhoa.errors import ManifestError, require_extra
from rhoa.learning.levels import IMAGENET_MEAN, IMAGENET_STD, prepare
from rhoa.threads import side_by_side

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray
    from torch import Tensor

    from rhoa.cohort import Hip


def read_crops(hips: Sequence[Hip], *, image_size: int, xray_size: int | None) -> Tensor:
    """The crops of ``hips`` as one uint8 tensor ``(hips, image_size, image_size)``.

    Raises
    ------
    ManifestError
        If a crop is absent or no grey picture.
    """
    images = torch.empty((len(hips), image_size, image_size), dtype=torch.uint8)

    def read(pair: tuple[Tensor, Hip]) -> None:
        image, hip = pair
        levels = prepare(_read_grey(hip.crop), image_size=image_size, xray_size=xray_size)
        image.copy_(torch.from_numpy(levels))

    for _ in side_by_side(read, zip(images, hips, strict=True)):  # decoding lets others work
        pass
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


def as_input(images: Tensor) -> Tensor:
    """Network input ``(n, 3, rows, columns)`` of grey ``images`` in 0 to 1: ImageNet's colours."""
    mean, std = (images.new_tensor(c).view(1, 3, 1, 1) for c in (IMAGENET_MEAN, IMAGENET_STD))
    return (images[:, None] - mean) / std

"""Crops as the network sees them: from PNG files to tensors."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np
import torch

from rhoa.errors import ManifestError, ParameterError, require_extra
from rhoa.picture import resize

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import ArrayLike, NDArray
    from torch import Tensor

    from rhoa.cohort import Hip

# Mean and spread of ImageNet's red, green and blue, which the pretrained weights expect.
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
WHITE = 255


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
        levels = prepare(_read_grey(hip.image), image_size=image_size, xray_size=xray_size)
        image.copy_(torch.from_numpy(levels))

    with ThreadPoolExecutor() as pool:  # decoding lets other threads work
        for _ in pool.map(read, zip(images, hips, strict=True)):
            pass
    return images


def prepare(
    image: NDArray[np.float32], *, image_size: int, xray_size: int | None
) -> NDArray[np.uint8]:
    """Grey levels of an image at ``image_size``; a larger one is seen through ``xray_size`` first.

    Without ``xray_size`` nothing but the network's input limits its resolution.
    """
    if xray_size is not None and max(image.shape) > xray_size:
        image = resize(image, xray_size, xray_size)
    if image.shape != (image_size, image_size):
        image = resize(image, image_size, image_size)
    return (np.clip(image, 0, WHITE) + 0.5).astype(np.uint8)


def require_grey(image: ArrayLike, *, where: str) -> NDArray[np.float32]:
    """``image`` as 2-D float32 grey levels of 0 to 255.

    Raises
    ------
    ParameterError
        If it is not 2-D, empty, not finite, or its levels lie outside 0 to 255 or all in 0 to 1.
    """
    levels = np.asarray(image)
    if levels.ndim != 2 or levels.size == 0 or levels.dtype.kind not in "uif":
        raise ParameterError(
            f"{where}: a 2-D grey image is needed; got dtype {levels.dtype}, shape {levels.shape}."
        )
    grey = levels.astype(np.float32)
    least, most = float(grey.min()), float(grey.max())
    if not (least > -0.5 and most < WHITE + 0.5):  # half a level of rounding; true for NaN too
        raise ParameterError(
            f"{where}: grey levels must lie in 0 to 255; got {least:g} to {most:g}; "
            "rhoa.picture.stretch makes them."
        )
    if levels.dtype.kind == "f" and 0 < most <= 1:
        raise ParameterError(
            f"{where}: grey levels must lie in 0 to 255, these in 0 to {most:g}; "
            "multiply shares of white by 255."
        )
    return grey


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

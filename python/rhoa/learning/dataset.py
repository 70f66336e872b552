"""Crops as the network sees them: from picture files to tensors."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from rhoa.errors import ManifestError, ReadError
from rhoa.hips.crop_files import read_crop
from rhoa.learning.levels import IMAGENET_MEAN, IMAGENET_STD, prepare
from rhoa.reading.bounded import shown
from rhoa.threads import side_by_side

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from torch import Tensor

    from rhoa.cohort import Hip


def read_crops(
    hips: Sequence[Hip],
    *,
    image_size: int,
    xray_size: int | None,
    accept: str | Collection[str] = (),
) -> Tensor:
    """The crops of ``hips`` as one uint8 tensor ``(hips, image_size, image_size)``.

    Raises
    ------
    ManifestError
        If a crop is absent, or `rhoa.hips.read_crop` refuses it and ``accept`` does not overrule.
    """
    images = torch.empty((len(hips), image_size, image_size), dtype=torch.uint8)

    def read(pair: tuple[Tensor, Hip]) -> None:
        image, hip = pair
        if not hip.crop.is_file():
            raise ManifestError(
                f"{shown(hip.crop)}: no such crop; check the image column of the manifest."
            )
        try:
            crop = read_crop(hip.crop, side=hip.side, accept=accept)
        except ReadError as error:
            raise ManifestError(str(error)) from None
        levels = prepare(crop, image_size=image_size, xray_size=xray_size)
        image.copy_(torch.from_numpy(levels))

    for _ in side_by_side(read, zip(images, hips, strict=True)):  # decoding lets others work
        pass
    return images


def as_input(images: Tensor) -> Tensor:
    """Network input ``(n, 3, rows, columns)`` of grey ``images`` in 0 to 1: ImageNet's colours."""
    mean, std = (images.new_tensor(c).view(1, 3, 1, 1) for c in (IMAGENET_MEAN, IMAGENET_STD))
    return (images[:, None] - mean) / std

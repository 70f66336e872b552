"""Crops as the network sees them: tensors, batches, and random changes on the device."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch.nn import functional

from rhoa.errors import ManifestError, ParameterError, ReadError
from rhoa.files import shown
from rhoa.hips.crop_files import read_crop
from rhoa.learning.preprocessing import IMAGENET_MEAN, IMAGENET_STD, prepare
from rhoa.parallel import side_by_side
from rhoa.torch_runtime import sent

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from torch import Tensor

    from rhoa.cohort import Hip
    from rhoa.learning.recipe import Augmentation, Recipe


# Crops as the network sees them: from picture files to tensors.


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
    mean, std = (
        sent(torch.tensor(c, dtype=images.dtype), images.device).view(1, 3, 1, 1)
        for c in (IMAGENET_MEAN, IMAGENET_STD)
    )
    return (images[:, None] - mean) / std


# Random changes of images, a batch at a time, on the device where they are.


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
    angle, down, across, scale = sent(changes, images.device).unbind(1)
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


# Which images a batch holds and how each is changed, from the seed and the epoch alone.
#
# Nothing here depends on what was drawn before: a run that goes on from the middle of an epoch, or
# on another number of processes, meets the same batches.


class Batch(NamedTuple):
    """Numbers of images ``(n,)``, and the changes of each ``(n, 4)``, as `warp` takes them."""

    members: Tensor
    changes: Tensor

    def part(self, rank: int, count: int) -> Batch:
        """The images that process ``rank`` of ``count`` takes."""
        return Batch(self.members[rank::count], self.changes[rank::count])


def batches(
    recipe: Recipe, images: int, *, seed: int, epoch: int, groups: Sequence[str] = ()
) -> list[Batch]:
    """The batches of an epoch over ``images`` images, in order.

    Each shuffle of the images has a table of changes, a row for each draw; ``groups`` names the
    group of each image, where the recipe's sampling is not natural.
    """
    sizes = recipe.batch_sizes(images)
    needed = sum(sizes)
    members, changes = [], []
    for shuffle in range(math.ceil(needed / images)):
        generator = seeded(seed, epoch, shuffle)
        order = torch.randperm(images, generator=generator)
        weights = recipe.group_weights
        members.append(sampled(weights, groups, generator)[order] if weights else order)
        changes.append(draw(recipe.augmentation, images, generator)[order])
    parts = (torch.split(torch.cat(all_of)[:needed], sizes) for all_of in (members, changes))
    return [Batch(*pair) for pair in zip(*parts, strict=True)]


def sampled(
    weights: Mapping[str, float], groups: Sequence[str], generator: torch.Generator
) -> Tensor:
    """As many numbers of images as there are ``groups``, each group's share by its weight.

    Weights of groups that have no image count for nothing. Shares are rounded to whole draws, the
    largest remainders up; a group's images come in shuffles of all of them, the last one cut short.

    Raises
    ------
    ParameterError
        If no image is of a group of a weight above 0.
    """
    own = {name: [at for at, one in enumerate(groups) if one == name] for name in weights}
    own = {name: members for name, members in own.items() if members and weights[name] > 0}
    if not own:
        raise ParameterError(
            f"sampling: no training hip is of a group of a weight above 0 ({', '.join(weights)})."
        )
    total = sum(weights[name] for name in own)
    shares = {name: len(groups) * weights[name] / total for name in own}
    counts = {name: math.floor(share) for name, share in shares.items()}
    left = len(groups) - sum(counts.values())
    tied = torch.randperm(len(own), generator=generator).tolist()  # no group is favoured for ever
    by_remainder = sorted(
        zip(own, tied, strict=True), key=lambda one: (counts[one[0]] - shares[one[0]], one[1])
    )
    for name, _ in by_remainder[:left]:
        counts[name] += 1
    drawn = []
    for name, members in own.items():
        rounds = math.ceil(counts[name] / len(members))
        orders = [torch.randperm(len(members), generator=generator) for _ in range(rounds)]
        if orders:
            drawn.append(torch.tensor(members)[torch.cat(orders)[: counts[name]]])
    return torch.cat(drawn)


def seeded(*seeds: int) -> torch.Generator:
    """A generator of its own for these numbers."""
    state = np.random.SeedSequence(seeds).generate_state(1, np.uint64)
    return torch.Generator().manual_seed(int(state[0]))

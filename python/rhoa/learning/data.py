"""Crops as the network sees them: tensors, batches, and random changes on the device."""

from __future__ import annotations

import math
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch.nn import functional

from rhoa.errors import ManifestError, ParameterError, ReadError
from rhoa.files import shown
from rhoa.hips.crop_files import read_crop
from rhoa.learning.preprocessing import IMAGENET_MEAN, IMAGENET_STD, WHITE, prepare
from rhoa.parallel import side_by_side
from rhoa.pose.population import HIP_BOX_MM
from rhoa.raster import resampling_matrix
from rhoa.torch_runtime import sent

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from torch import Tensor

    from rhoa.cohort import Hip
    from rhoa.learning.recipe import Appearance, Augmentation, Recipe


# Crops as the network sees them: from picture files to tensors.


def read_crops(
    hips: Sequence[Hip],
    *,
    image_size: int,
    xray_size: int | None,
    accept: str | Collection[str] = (),
    enlarged: Tensor | None = None,
) -> Tensor:
    """The crops of ``hips`` as one uint8 tensor ``(hips, image_size, image_size)``.

    ``enlarged`` ``(hips,)``, where it is given, is filled with how many pixels of the input one of
    each crop becomes, after ``xray_size``.

    Raises
    ------
    ManifestError
        If a crop is absent, or `rhoa.hips.read_crop` refuses it and ``accept`` does not overrule.
    """
    images = torch.empty((len(hips), image_size, image_size), dtype=torch.uint8)

    def read(numbered: tuple[int, Hip]) -> None:
        number, hip = numbered
        if not hip.crop.is_file():
            raise ManifestError(
                f"{shown(hip.crop)}: no such crop; check the image column of the manifest."
            )
        try:
            crop = read_crop(hip.crop, side=hip.side, accept=accept)
        except ReadError as error:
            raise ManifestError(str(error)) from None
        levels = prepare(crop, image_size=image_size, xray_size=xray_size)
        images[number] = torch.from_numpy(levels)
        if enlarged is not None:
            enlarged[number] = image_size / min(len(crop), xray_size or len(crop))

    for _ in side_by_side(read, enumerate(hips)):  # decoding lets others work
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


def augment(
    images: Tensor,
    augmentation: Augmentation,
    generator: torch.Generator,
    enlarged: Tensor | None = None,
) -> Tensor:
    """Float ``images`` ``(n, rows, columns)``, each changed by its own draw, see `warp`."""
    if augmentation.changes_nothing:
        return images
    return warp(images, draw(augmentation, len(images), generator), enlarged)


def draw(augmentation: Augmentation, count: int, generator: torch.Generator) -> Tensor:
    """Changes of ``count`` images, float32 rows (angle in degrees, pixels down, across, scale)."""
    turn, shift = augmentation.rotation_deg, augmentation.translation_px
    least, most = augmentation.scale
    low = torch.tensor([-turn, -shift, -shift, least])
    high = torch.tensor([turn, shift, shift, most])
    shares = torch.rand((count, 4), generator=generator)
    return torch.minimum(low + (high - low) * shares, high)  # rounding may pass the bound


def warp(images: Tensor, changes: Tensor, enlarged: Tensor | None = None) -> Tensor:
    """``images`` ``(n, rows, columns)`` scaled and turned about their centre, then shifted.

    All of it is one bilinear resampling; what enters from outside is black (0). A row of
    ``changes`` is (angle in degrees, anticlockwise as seen; pixels down; across; scale); pixels are
    those of crops that were ``enlarged`` ``(n,)`` times, where that is given.
    """
    rows, columns = images.shape[1:]
    angle, down, across, scale = sent(changes, images.device).unbind(1)
    if enlarged is not None:
        down, across = down * enlarged, across * enlarged
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


# Random changes of grey levels and sharpness: `rhoa.learning.Appearance`.

APPEARANCE_DRAWS = 6
"""Whether a variant, and which; whether matched; gamma; pixel size; blur."""


class AppearanceTables(NamedTuple):
    """What `restyle` needs to know of the training hips; what is drawn from is on the CPU."""

    is_ct: Tensor
    """``(n,)``, whether an image is a CT-AP."""
    targets: Tensor
    """``(2, 256)``: what X-rays are matched to, and CT-APs: the share of pixels up to each
    level in the mean histogram of the other source. Empty where there is but one source."""
    variants: Tensor
    """Variants of all hips, uint8, one hip's after the other's."""
    variants_of: Tensor
    """``(n, 2)``: which of them is a hip's first, and how many it has."""


def mean_histogram(images: Tensor) -> Tensor:
    """The share of pixels of each level, ``(256,)``, of uint8 images of one size."""
    counts = torch.zeros(WHITE + 1, dtype=torch.float64)
    for image in images:
        counts += torch.bincount(image.flatten().cpu(), minlength=WHITE + 1)
    return counts / counts.sum()


def restyle(
    images: Tensor, batch: Batch, tables: AppearanceTables, appearance: Appearance
) -> Tensor:
    """Levels 0 to 1 of the ``batch`` of the uint8 training ``images``, changed by its draws."""
    place, (members, _, draws) = images.device, batch
    is_ct, (first, count) = tables.is_ct[members], tables.variants_of[members].unbind(1)
    some = images[sent(members, place)]
    varied = ((draws[:, 0] < appearance.variants) & (count > 0)).nonzero()[:, 0]
    if len(varied):
        which = (first + (draws[:, 1] * count).long())[varied]
        some[sent(varied, place)] = tables.variants[sent(which, place)]
    levels = some / WHITE
    chosen = (draws[:, 2] < appearance.histogram).nonzero()[:, 0]
    if len(chosen) and len(tables.targets):
        at = sent(chosen, place)
        targets = tables.targets[sent(is_ct[chosen].long(), place)]
        levels[at] = matched(some[at], targets) / WHITE
    if appearance.gamma != (1.0, 1.0):
        least, most = (math.log(power) for power in appearance.gamma)
        powers = (least + (most - least) * draws[:, 3]).exp()
        levels = levels ** sent(powers, place)[:, None, None]
    if appearance.xray_pixel_mm[1] > 0 or appearance.blur_mm[1] > 0:
        low, high = torch.tensor([appearance.xray_pixel_mm, appearance.blur_mm]).unbind(1)
        pixel_mm, sigma_mm = (low + (high - low) * draws[:, 4:]).unbind(1)
        matrices = sharpness(images.shape[1], pixel_mm * ~is_ct, sent(sigma_mm, place))
        levels = matrices @ levels @ matrices.mT
    return levels


def matched(images: Tensor, targets: Tensor) -> Tensor:
    """uint8 ``images`` ``(n, rows, columns)`` with, by rank, the levels of other histograms.

    ``targets`` ``(n, 256)`` are the shares of pixels up to each level. Pixels of one level have the
    middle of their ranks, so that an image matched to its own histogram stays as it is.
    """
    flat = images.flatten(1)
    ascending = flat.sort(dim=1).values
    every = torch.arange(WHITE + 1, dtype=torch.uint8, device=images.device).repeat(len(flat), 1)
    below, up_to = (torch.searchsorted(ascending, every, right=right) for right in (False, True))
    middle = (below + up_to) / (2 * flat.shape[1])
    table = torch.searchsorted(targets, middle).clamp(max=WHITE)
    return table.gather(1, flat.long()).view(images.shape)


def sharpness(size: int, pixel_mm: Tensor, sigma_mm: Tensor) -> Tensor:
    """Matrices ``(n, size, size)`` that make lines of an image of 70 mm less sharp.

    Pixels of ``pixel_mm`` ``(n,)`` are first made of it and enlarged again, where they are larger
    than its own; then it is blurred by a Gaussian of ``sigma_mm`` ``(n,)``, at the borders over the
    pixels that there are. 0 and 0 are the identity. The matrices are where ``sigma_mm`` is.
    """
    own_mm, place = HIP_BOX_MM / size, sigma_mm.device
    at = torch.arange(size, device=place)
    apart = at[:, None] - at
    sigmas = (sigma_mm / own_mm).clamp(min=1e-3)[:, None, None]
    matrices = (-0.5 * (apart / sigmas) ** 2).softmax(dim=2)
    for number, large_mm in enumerate(pixel_mm.tolist()):
        if large_mm > own_mm:
            coarse = _coarse(size, max(1, round(HIP_BOX_MM / large_mm)))
            matrices[number] = matrices[number] @ sent(coarse, place)
    return matrices


@cache
def _coarse(size: int, count: int) -> Tensor:
    """From a line of ``size`` pixels to ``count``, and back."""
    fewer, again = resampling_matrix(size, count, 0, size), resampling_matrix(count, size, 0, count)
    return torch.from_numpy(again @ fewer)


# Which images a batch holds and how each is changed, from the seed and the epoch alone.
#
# Nothing here depends on what was drawn before: a run that goes on from the middle of an epoch, or
# on another number of processes, meets the same batches.


class Batch(NamedTuple):
    """Numbers of images ``(n,)``, and what `warp` and `restyle` take of each."""

    members: Tensor
    changes: Tensor  # (n, 4)
    draws: Tensor  # (n, 6), of 0 to 1

    def part(self, rank: int, count: int) -> Batch:
        """The images that process ``rank`` of ``count`` takes."""
        return Batch(*(whole[rank::count] for whole in self))


def batches(
    recipe: Recipe, images: int, *, seed: int, epoch: int, groups: Sequence[str] = ()
) -> list[Batch]:
    """The batches of an epoch over ``images`` images, in order.

    Each shuffle of the images has a table of changes, a row for each draw; ``groups`` names the
    group of each image, where the recipe's sampling is not natural.
    """
    sizes = recipe.batch_sizes(images)
    needed = sum(sizes)
    members, changes, draws = [], [], []
    for shuffle in range(math.ceil(needed / images)):
        generator = seeded(seed, epoch, shuffle)
        order = torch.randperm(images, generator=generator)
        weights = recipe.group_weights
        members.append(sampled(weights, groups, generator)[order] if weights else order)
        changes.append(draw(recipe.augmentation, images, generator)[order])
        draws.append(torch.rand((images, APPEARANCE_DRAWS), generator=generator)[order])
    parts = (torch.split(torch.cat(all_of)[:needed], sizes) for all_of in (members, changes, draws))
    return [Batch(*parts_of_one) for parts_of_one in zip(*parts, strict=True)]


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

"""Which images a batch holds and how each is changed, from the seed and the epoch alone.

Nothing here depends on what was drawn before: a run that goes on from the middle of an epoch, or on
another number of processes, meets the same batches.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

from rhoa.learning.warping import draw

if TYPE_CHECKING:
    from torch import Tensor

    from rhoa.learning.recipes import Recipe


class Batch(NamedTuple):
    """Numbers of images ``(n,)``, and the changes of each ``(n, 4)``, as `warp` takes them."""

    members: Tensor
    changes: Tensor

    def part(self, rank: int, count: int) -> Batch:
        """The images that process ``rank`` of ``count`` takes."""
        return Batch(self.members[rank::count], self.changes[rank::count])


def batches(recipe: Recipe, images: int, *, seed: int, epoch: int) -> list[Batch]:
    """The batches of an epoch over ``images`` images, in order.

    Each shuffle of the images has a table of changes, a row for each image.
    """
    sizes = recipe.batch_sizes(images)
    needed = sum(sizes)
    members, changes = [], []
    for shuffle in range(math.ceil(needed / images)):
        generator = seeded(seed, epoch, shuffle)
        order = torch.randperm(images, generator=generator)
        members.append(order)
        changes.append(draw(recipe.augmentation, images, generator)[order])
    parts = (torch.split(torch.cat(all_of)[:needed], sizes) for all_of in (members, changes))
    return [Batch(*pair) for pair in zip(*parts, strict=True)]


def seeded(*seeds: int) -> torch.Generator:
    """A generator of its own for these numbers."""
    state = np.random.SeedSequence(seeds).generate_state(1, np.uint64)
    return torch.Generator().manual_seed(int(state[0]))

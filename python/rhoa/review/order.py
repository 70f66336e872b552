"""In which order a reader sees the hips: at random by a seed, some of them again later."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np

from rhoa.review.state import Reading

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rhoa.pose.sides import Side

GAP = 0.25
"""Share of the hips that lie between two looks at one hip, at the least."""


def reading_order(
    hips: Sequence[tuple[str, Side]], *, reader: str, seed: int, repeat: float
) -> list[Reading]:
    """Every hip once in random order, and a share of them again, a quarter of the hips later.

    Parameters
    ----------
    hips
        Case and side; their order does not matter.
    reader
        Each reader has an order of their own.
    seed
        The same seed gives the same order.
    repeat
        Share of the hips that are shown twice, from 0 to 0.5.

    Examples
    --------
    >>> order = reading_order([("a", "left"), ("b", "left")], reader="A", seed=1, repeat=0.5)
    >>> len(order), order[-1].reading
    (3, 2)
    """
    own = hashlib.blake2s(reader.encode(), digest_size=8).digest()
    random = np.random.default_rng([seed, int.from_bytes(own)])
    hips = sorted(hips)
    count = len(hips)
    places = random.permutation(count).tolist()
    again = round(repeat * count)
    latest = count - GAP * count
    early = [n for n in range(count) if places[n] <= latest]
    chosen = random.permutation(early)[:again].tolist()
    shown = [(float(places[n]), Reading(hips[n][0], hips[n][1], 1)) for n in range(count)]
    for n in chosen:
        earliest = places[n] + GAP * count
        place = earliest + random.random() * (count - earliest) + 0.5
        shown.append((place, Reading(hips[n][0], hips[n][1], 2)))
    return [reading for _, reading in sorted(shown, key=lambda one: one[0])]

"""Percentile bootstrap intervals that resample patients, so that both hips stay together."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

LEVEL_PERCENT = 95.0
_WEIGHTS_AT_ONCE = 4_000_000  # 32 MB of float64


def resampled_weights(
    groups: NDArray[np.intp], resamples: int, *, seed: int
) -> Iterator[NDArray[np.float64]]:
    """How often each hip occurs in each bootstrap resample, as blocks of rows ``(some, hips)``.

    A resample draws as many groups as there are, with replacement; a hip occurs as often as its
    group was drawn.

    Parameters
    ----------
    groups
        Group of each hip, as whole numbers 0, 1, ... without gaps.
    resamples
        Rows in all blocks together.
    seed
        Of the draws, which depend on nothing else but the numbers of groups and resamples.
    """
    random = np.random.default_rng(seed)
    count = int(groups.max()) + 1
    chances = np.full(count, 1 / count)
    block = max(1, _WEIGHTS_AT_ONCE // groups.size)
    for start in range(0, resamples, block):
        draws = random.multinomial(count, chances, size=min(block, resamples - start))
        yield draws[:, groups].astype(np.float64)


def percentile_interval(values: NDArray[np.float64]) -> tuple[float, float]:
    """The central 95 % of ``values``, NaN left aside: their 2.5th and 97.5th percentiles.

    NaN at both ends where fewer than two values are left.
    """
    finite = values[np.isfinite(values)]
    if finite.size < 2:
        return float("nan"), float("nan")
    tail = (100 - LEVEL_PERCENT) / 2
    low, high = np.percentile(finite, (tail, 100 - tail))
    return float(low), float(high)

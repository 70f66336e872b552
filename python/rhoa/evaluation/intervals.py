"""Bootstrap intervals that resample patients, so that the hips of a patient stay together."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from rhoa.evaluation.proportions import TAIL

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

_WEIGHTS_AT_ONCE = 300_000  # 2.4 MB of float64: a block and what is made of it stay in the cache
_LEFT_OUT = 1000  # parts that a jackknife leaves out in turn, at most
_ROUNDING = 1e-12  # of values of about one: sums in another order differ by less
_NOWHERE = (float("nan"), float("nan"))


def strata_of(labels: NDArray[np.bool_], groups: NDArray[np.intp]) -> NDArray[np.intp]:
    """Stratum of each group by its hips: 0 none is rHOA, 1 all are, 2 some are."""
    hips = np.bincount(groups)
    positive = np.bincount(groups, weights=labels)
    return np.where(positive == 0, 0, np.where(positive == hips, 1, 2))


def resampled_weights(
    groups: NDArray[np.intp],
    resamples: int,
    *,
    seed: int,
    strata: NDArray[np.intp] | None = None,
) -> Iterator[NDArray[np.float64]]:
    """How often each hip occurs in each bootstrap resample, as blocks of rows ``(some, hips)``.

    A resample draws as many groups as there are, with replacement, of each stratum as many as it
    has; a hip occurs as often as its group was drawn.

    Parameters
    ----------
    groups
        Group of each hip, as whole numbers 0, 1, ... without gaps.
    resamples
        Rows in all blocks together.
    seed
        Of the draws, which depend on nothing else but the groups, their strata and ``resamples``.
    strata
        Stratum of each group; one stratum unless given.
    """
    random = np.random.default_rng(seed)
    count = int(groups.max()) + 1
    strata = np.zeros(count, np.intp) if strata is None else strata
    pools = [np.flatnonzero(strata == stratum) for stratum in np.unique(strata)]
    block = max(1, _WEIGHTS_AT_ONCE // groups.size)
    for start in range(0, resamples, block):
        rows = min(block, resamples - start)
        offsets = count * np.arange(rows)[:, None]
        drawn = [
            pool[random.integers(pool.size, size=(rows, pool.size))] + offsets for pool in pools
        ]
        flat = np.concatenate([draw.ravel() for draw in drawn])
        times = np.bincount(flat, minlength=rows * count).reshape(rows, count)
        yield times.astype(np.float64)[:, groups]


def left_out_weights(
    groups: NDArray[np.intp], strata: NDArray[np.intp] | None = None
) -> Iterator[NDArray[np.float64]]:
    """Weights of the hips with one group left out in turn, the others of its stratum raised for it.

    Blocks of rows ``(some, hips)``. Groups that are alone in their stratum are not left out; of
    very many groups, several are left out at once.
    """
    count = int(groups.max()) + 1
    strata = np.zeros(count, np.intp) if strata is None else strata
    order = np.argsort(strata, kind="stable")
    order = order[np.bincount(strata)[strata[order]] > 1]
    if order.size == 0:
        return
    parts = np.array_split(order, min(order.size, _LEFT_OUT))
    block = max(1, _WEIGHTS_AT_ONCE // groups.size)
    for start in range(0, len(parts), block):
        rows = []
        for part in parts[start : start + block]:
            weights = np.ones(count)
            weights[part] = 0
            kept = np.bincount(strata, weights)
            raised = np.divide(np.bincount(strata), kept, out=np.ones_like(kept), where=kept > 0)
            rows.append(weights * raised[strata])
        yield np.stack(rows)[:, groups]


def percentile_interval(values: NDArray[np.float64]) -> tuple[float, float]:
    """The central 95 % of ``values``, NaN left aside: their 2.5th and 97.5th percentiles.

    NaN at both ends where none is left or all that are left are the same: they say nothing about
    how it varies.
    """
    finite = values[np.isfinite(values)]
    if _all_equal(finite):
        return _NOWHERE
    low, high = np.quantile(finite, (TAIL, 1 - TAIL))
    return float(low), float(high)


def bca_interval(
    value: float, values: NDArray[np.float64], left_out: NDArray[np.float64]
) -> tuple[float, float]:
    """The bias-corrected and accelerated interval of ``value``; NaN as of `percentile_interval`.

    Parameters
    ----------
    value
        The figure of the data.
    values
        The figure of each resample; NaN is left aside.
    left_out
        The figure with each group left out in turn; NaN is left aside.

    References
    ----------
    Efron 1987, Better bootstrap confidence intervals, J Am Stat Assoc 82:171-185.
    """
    from scipy.special import ndtr, ndtri

    finite = values[np.isfinite(values)]
    if _all_equal(finite):
        return _NOWHERE
    # A resample that equals the value counts half: shares of few hips tie with it often.
    below = (np.mean(finite < value - _ROUNDING) + np.mean(finite <= value + _ROUNDING)) / 2
    bias = float(ndtri(np.clip(below, 1 / finite.size, 1 - 1 / finite.size)))
    kept = left_out[np.isfinite(left_out)]
    acceleration = 0.0
    if not _all_equal(kept):
        pull = kept.mean() - kept
        acceleration = float((pull**3).sum()) / (6 * float(pull @ pull) ** 1.5)
    reach = bias + ndtri(np.array([TAIL, 1 - TAIL]))
    low, high = np.quantile(finite, ndtr(bias + reach / (1 - acceleration * reach)))
    return float(low), float(high)


def _all_equal(values: NDArray[np.float64]) -> bool:
    return values.size == 0 or bool(
        np.ptp(values) < _ROUNDING * max(1.0, float(np.abs(values).max()))
    )

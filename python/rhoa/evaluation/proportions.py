"""95 % intervals of a share, also where the hips come in patients."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Proportion = Callable[[float, float], tuple[float, float]]

TAIL = 0.025  # on either side of an interval of 95 %
Z = 1.959963984540054  # of the standard normal distribution, at 97.5 %

ProportionMethod = Literal["wilson", "clopper-pearson"]


def wilson(share: float, size: float) -> tuple[float, float]:
    """Wilson's score interval of ``share`` seen in ``size`` independent cases.

    References
    ----------
    Wilson 1927, J Am Stat Assoc 22:209-212; equation 4 of Newcombe 1998, Stat Med 17:857-872.

    Examples
    --------
    >>> [round(bound, 4) for bound in wilson(81 / 263, 263)]
    [0.2553, 0.3662]
    """
    shrunk = 1 / (1 + Z**2 / size)
    middle = shrunk * (share + Z**2 / (2 * size))
    reach = shrunk * Z * math.sqrt(share * (1 - share) / size + (Z / (2 * size)) ** 2)
    return max(0.0, min(share, middle - reach)), min(1.0, max(share, middle + reach))


def clopper_pearson(share: float, size: float) -> tuple[float, float]:
    """The exact interval: it covers at least 95 %, and is wider than need be.

    References
    ----------
    Clopper and Pearson 1934, Biometrika 26:404-413.
    """
    from scipy.special import betaincinv

    right = share * size
    wrong = size - right
    low = float(betaincinv(right, wrong + 1, TAIL)) if share > 0 else 0.0
    high = float(betaincinv(right + 1, wrong, 1 - TAIL)) if share < 1 else 1.0
    return low, high


INTERVALS: dict[ProportionMethod, Proportion] = {
    "wilson": wilson,
    "clopper-pearson": clopper_pearson,
}


def effective_size(right: NDArray[np.bool_], groups: NDArray[np.intp]) -> float:
    """How many independent hips tell as much about a share as these hips of patients do.

    The size at which a binomial share would vary as much as the share does between patients, made
    smaller for the few patients that this variance is estimated from, and never above the number of
    hips. Where all hips agree, no variance is seen, and the size is the number of patients.

    Parameters
    ----------
    right
        Of each hip, whether it counts for the share.
    groups
        Patient of each hip.

    References
    ----------
    Korn and Graubard 1998, Confidence intervals for proportions with small expected number of
    positive counts estimated from survey data, Surv Methodol 24:193-201.
    """
    hips = right.size
    members = np.unique(groups, return_inverse=True)[1]
    sizes = np.bincount(members)
    if sizes.size == hips:
        return float(hips)
    share = float(right.mean())
    if share in {0.0, 1.0} or sizes.size == 1:
        return float(sizes.size)
    excess = _excess(right, members, sizes.size)
    variance = sizes.size / (sizes.size - 1) * float(excess @ excess) / hips**2
    if variance == 0:
        return float(hips)
    few = (Z / student(sizes.size - 1)) ** 2
    return min(float(hips), few * share * (1 - share) / variance)


def _excess(right: NDArray[np.bool_], groups: NDArray[np.intp], count: int) -> NDArray[np.float64]:
    """How many more hips of each patient are right than their share of all; exactly 0 for none."""
    hits, hips = np.bincount(groups[right], minlength=count), np.bincount(groups, minlength=count)
    excess: NDArray[np.float64] = (hits * right.size - right.sum() * hips) / right.size
    return excess


def student(freedom: int) -> float:
    """The 97.5 % quantile of Student's t with ``freedom`` degrees."""
    from scipy.special import stdtrit

    return float(stdtrit(freedom, 1 - TAIL))


def proportion_interval(
    right: NDArray[np.bool_], groups: NDArray[np.intp], method: ProportionMethod = "wilson"
) -> tuple[float, float]:
    """95 % interval of the share of ``right``, hips of one patient taken together; NaN for none."""
    if right.size == 0:
        return math.nan, math.nan
    return INTERVALS[method](float(right.mean()), effective_size(right, groups))


def mean_interval(
    right: NDArray[np.bool_],
    labels: NDArray[np.bool_],
    groups: NDArray[np.intp],
    method: ProportionMethod = "wilson",
) -> tuple[float, float]:
    """95 % interval of balanced accuracy: the mean of the shares of ``right`` in either class.

    It is put together from the intervals of the two shares, which are asymmetric near one, and
    their correlation between patients; NaN where a class is absent.

    References
    ----------
    Zou and Donner 2008, Construction of confidence limits about effect measures, Stat Med
    27:1693-1702.
    """
    if labels.all() or not labels.any():
        return math.nan, math.nan
    count, shares, reaches, excess = int(groups.max()) + 1, [], [], []
    for members in (labels, ~labels):
        share = float(right[members].mean())
        low, high = proportion_interval(right[members], groups[members], method)
        shares.append(share)
        reaches.append((share - low, high - share))
        excess.append(_excess(right[members], groups[members], count))
    spread = math.sqrt(float((excess[0] @ excess[0]) * (excess[1] @ excess[1])))
    correlation = float(excess[0] @ excess[1]) / spread if spread > 0 else 0.0
    down, up = (
        math.sqrt(max(0.0, one**2 + two**2 + 2 * correlation * one * two)) / 2
        for one, two in zip(*reaches, strict=True)
    )
    middle = sum(shares) / 2
    return max(0.0, middle - down), min(1.0, middle + up)

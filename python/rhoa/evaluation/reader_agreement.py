"""How well two readings agree: kappa, limits, means, with intervals over subjects.

Intervals are the jackknife's over subjects with Student's t, of shares of hips Wilson's.
`Estimate.note` says why one is undefined (fewer than five subjects, or all of them alike) or
one-sided (readers who agree on every hip).
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from rhoa.errors import ParameterError, ReviewError, require_choice
from rhoa.evaluation.intervals import (
    Estimate,
    clopper_pearson,
    jackknife,
    left_out_weights,
    proportion_interval,
    too_few,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Sequence
    from pathlib import Path

    from numpy.typing import ArrayLike, NDArray

    from rhoa.evaluation.intervals import Scale

    Statistic = Callable[[NDArray[np.float64]], NDArray[np.float64]]


# How well two readings agree, with intervals over subjects: kappa, limits, means.

Weighting = Literal["none", "linear", "quadratic"]
WEIGHTINGS: tuple[Weighting, ...] = ("none", "linear", "quadratic")
LIMIT_SD = 1.96
"""Limits of agreement are the bias plus and minus this many standard deviations."""


class BlandAltman(NamedTuple):
    """Mean difference, and the limits between which 95 % of the differences are expected."""

    bias: Estimate
    lower: Estimate
    upper: Estimate


def kappa(
    first: ArrayLike,
    second: ArrayLike,
    *,
    groups: Sequence[Hashable],
    categories: int = 5,
    weighting: Weighting = "none",
) -> Estimate:
    """Cohen's kappa of two readings: agreement beyond what their marginal shares would give.

    Parameters
    ----------
    first, second
        Category of each hip, 0 to ``categories - 1``.
    groups
        Subject of each hip.
    categories
        How many there are, such as 5 Kellgren-Lawrence grades.
    weighting
        Of a disagreement: ``"none"`` counts each alike, ``"linear"`` by the number of categories
        between, ``"quadratic"`` by its square.

    Returns
    -------
    Estimate
        NaN where both readings use the same single category. Readings that agree on every hip have
        a lower bound: of as many subjects, that share of hips could disagree by one category.

    Raises
    ------
    ParameterError
        If the lengths differ, or a category is out of its range.

    References
    ----------
    Cohen 1960, Educational and Psychological Measurement 20:37-46. Cohen 1968, Psychological
    Bulletin 70:213-220.

    Examples
    --------
    >>> round(kappa([0, 0, 1, 1], [0, 0, 1, 0], groups=[1, 1, 2, 3], categories=2).value, 3)
    0.5
    """
    require_choice("weighting", weighting, WEIGHTINGS)
    one, other = (_categories(each, categories) for each in (first, second))
    pairs = np.zeros((_length(one, other), categories * categories))
    pairs[np.arange(len(pairs)), one * categories + other] = 1.0
    apart = np.abs(np.subtract.outer(np.arange(categories), np.arange(categories)))
    cost = {"none": apart > 0, "linear": apart, "quadratic": apart**2}[weighting].astype(np.float64)

    def statistic(weights: NDArray[np.float64]) -> NDArray[np.float64]:
        table = (weights @ pairs).reshape(len(weights), categories, categories)
        expected = table.sum(2)[:, :, None] * table.sum(1)[:, None, :]
        total = weights.sum(1)
        with np.errstate(invalid="ignore", divide="ignore"):
            chance = (expected * cost).sum((1, 2))
            return np.asarray(1 - total * (table * cost).sum((1, 2)) / chance)

    found = _estimate(statistic, groups, len(pairs), "Fisher's z")
    if found.value != 1 or too_few(_numbers(groups)):
        return found
    # The largest share of hips that could disagree, by one category: of subjects, 0 did.
    share = clopper_pearson(0.0, len(set(groups)))[1]
    table = pairs.mean(0).reshape(categories, categories)
    chance = float((np.outer(table.sum(1), table.sum(0)) * cost).sum())
    note = "one-sided: the readings agree on every hip."
    low = max(-1.0, 1 - share / chance)
    return Estimate(1.0, low, 1.0, note=note, method="Clopper-Pearson, subjects")


def specific_agreement(
    first: ArrayLike,
    second: ArrayLike,
    *,
    groups: Sequence[Hashable],
    category: int,
) -> Estimate:
    """Of hips that either reading puts into a category, weighted by both: how many the other does.

    ``2 n_both / (n_first + n_second)``; NaN where neither uses the category.

    References
    ----------
    Fleiss 1975, Biometrics 31:651-659 (proportions of specific agreement).
    """
    one, other = np.asarray(first) == category, np.asarray(second) == category
    _length(one, other)
    found = ratio(2.0 * (one & other), one * 1.0 + other, groups=groups, scale="log odds")
    users = {group for group, used in zip(groups, one | other, strict=True) if used}
    if found.value not in {0.0, 1.0} or too_few(_numbers(groups)):
        return found
    bounds = clopper_pearson(found.value, len(users))
    note = f"one-sided: the readings {'always' if found.value else 'never'} agree on it."
    return Estimate(found.value, *bounds, note=note, method="Clopper-Pearson, subjects")


def ratio(
    parts: ArrayLike,
    wholes: ArrayLike,
    *,
    groups: Sequence[Hashable],
    scale: Scale = "plain",
) -> Estimate:
    """The sum of ``parts`` over the sum of ``wholes``."""
    part, whole = np.asarray(parts, np.float64), np.asarray(wholes, np.float64)

    def statistic(weights: NDArray[np.float64]) -> NDArray[np.float64]:
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray((weights @ part) / (weights @ whole))

    return _estimate(statistic, groups, _length(part, whole), scale)


def mean(
    values: ArrayLike,
    *,
    groups: Sequence[Hashable],
    least: float = -np.inf,
    most: float = np.inf,
) -> Estimate:
    """The mean of ``values``; its interval ends where they do, at ``least`` and ``most``."""
    found = ratio(values, np.ones_like(values, np.float64), groups=groups)
    low, high = np.clip(found[1:], least, most).tolist()
    return Estimate(found.value, low, high, note=found.note, method=found.method)


def proportion(right: ArrayLike, *, groups: Sequence[Hashable]) -> Estimate:
    """The share of hips of which something is so, with Wilson's interval of their effective number.

    Examples
    --------
    >>> found = proportion([True] * 9 + [False], groups=range(10))
    >>> found.value, round(found.low, 2), round(found.high, 2)
    (0.9, 0.6, 0.98)
    """
    held, of = np.asarray(right, bool), _numbers(groups)
    if len(of) != held.size or not held.size or too_few(of):
        return mean(held, groups=groups)
    low, high = proportion_interval(held, of)
    return Estimate(float(held.mean()), low, high, method="Wilson, effective number of hips")


def bland_altman(differences: ArrayLike, *, groups: Sequence[Hashable]) -> BlandAltman:
    """Bias and limits of agreement of paired differences; of one difference no limits (NaN).

    References
    ----------
    Bland and Altman 1986, Lancet 327:307-310.

    Examples
    --------
    >>> round(bland_altman([-1.0, 0.0, 1.0], groups=[1, 2, 3]).upper.value, 2)
    1.96
    """
    values = np.asarray(differences, np.float64)
    middle = values.mean() if values.size else 0.0
    centred = values - middle  # squares of large values differ by less than their rounding errors

    def statistic(sds: float) -> Statistic:
        def limit(weights: NDArray[np.float64]) -> NDArray[np.float64]:
            total = weights.sum(1)
            shift = weights @ centred / total
            with np.errstate(invalid="ignore"):
                variance = (weights @ centred**2 - total * shift**2) / (total - 1)
            return np.asarray(middle + shift + sds * np.sqrt(np.maximum(variance, 0.0)))

        return limit

    lower, upper = (
        _estimate(statistic(sds), groups, len(values), "plain") for sds in (-LIMIT_SD, LIMIT_SD)
    )
    return BlandAltman(mean(values, groups=groups), lower, upper)


def _estimate(
    statistic: Statistic, groups: Sequence[Hashable], length: int, scale: Scale
) -> Estimate:
    """The statistic of all hips, and its interval over subjects."""
    if len(groups) != length:
        raise ParameterError(f"groups must be one for each of {length} hips; got {len(groups)}.")
    if not length:
        return Estimate(np.nan, note="undefined: there are no hips.")
    of = _numbers(groups)
    value = float(statistic(np.ones((1, length)))[0])
    if np.isnan(value):
        return Estimate(value, note="undefined: it divides by zero.")
    if few := too_few(of):
        return Estimate(value, note=few)
    return jackknife(value, np.concatenate([statistic(w) for w in left_out_weights(of)]), scale)


def _numbers(groups: Sequence[Hashable]) -> NDArray[np.intp]:
    """Subject of each hip as a whole number."""
    numbers = {group: number for number, group in enumerate(dict.fromkeys(groups))}
    return np.array([numbers[group] for group in groups], np.intp)


def _categories(values: ArrayLike, count: int) -> NDArray[np.intp]:
    array = np.asarray(values)
    if array.ndim != 1 or (array.size and (array.min() < 0 or array.max() >= count)):
        raise ParameterError(f"categories must be whole numbers from 0 to {count - 1}, one a hip.")
    whole = array.astype(np.intp)
    if not np.array_equal(whole, array):
        raise ParameterError(f"categories must be whole numbers from 0 to {count - 1}, one a hip.")
    return whole


def _length(one: NDArray[np.generic], other: NDArray[np.generic]) -> int:
    if one.shape != other.shape:
        raise ParameterError(
            f"both readings must be of the same hips; got {len(one)}, {len(other)}."
        )
    return len(one)


# What a report says of its readers: how well they agree, from the file that an export leaves.

FILE = "agreement.json"
REPORTED = ("KL, kappa (quadratic)", "rHOA, kappa")


def agreement_notes(folder: Path) -> list[str]:
    """Sentences about the readers of the grades in a folder; none where nobody wrote it down.

    Raises
    ------
    ReviewError
        If the file is damaged.
    """
    file = folder / FILE
    if not file.is_file():
        return []
    try:
        record = json.loads(file.read_text(encoding="utf-8"))
        readers, figures = int(record["readers"]), list(record["figures"])
        lines = [_sentence(one) for name in REPORTED for one in figures if one["measure"] == name]
    except (ValueError, KeyError, TypeError):
        raise ReviewError(f"{FILE}: damaged; write it again with rhoa review --export.") from None
    many = "one reader graded" if readers == 1 else f"{readers} readers graded"
    return [f"Grades were read on rhoa's page: {many} the hips.", *lines]


def _sentence(figure: dict[str, Any]) -> str:
    number = "not defined" if figure["value"] is None else f"{figure['value']:.2f}"
    if figure["value"] is not None:
        low, high = figure["low"], figure["high"]
        interval = "not defined" if low is None else f"{low:.2f} to {high:.2f}"
        number += f" (95 % interval {interval})"
    return (
        f"Agreement, {figure['kind']} ({' and '.join(figure['readers'])}): {figure['measure']} "
        f"{number}, {figure['count']} hips of {figure['subjects']} subjects."
    )

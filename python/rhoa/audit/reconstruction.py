"""Which confusion matrices a row of a published table can come from.

The two class sizes leave (positives + 1) (negatives + 1) matrices; each is tried, under every
reading of the columns, against what the figures would print.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from rhoa.errors import ParameterError, require_count
from rhoa.evaluation.metrics import (
    Averages,
    macro,
    of_averages,
    of_positives,
    rates,
    swapped,
    weighted,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from numpy.typing import NDArray

    from rhoa.evaluation.metrics import Counts

    Reading = Callable[[Counts, Counts, Counts, Counts], Averages]

    Cells = NDArray[np.float64]


# Figures as papers print them: the numbers that round to what is printed.

_NUMBER = re.compile(r"([+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+))\s*(%?)")
_INTERVAL = re.compile(
    r"(?P<value>[^\[(]+?)\s*[\[(]\s*(?P<low>[^\s,;\u2013-]+)\s*(?:,|;|-|\u2013|to)\s*"
    r"(?P<high>[^\s\])]+)\s*[\])]"
)


@dataclass(frozen=True, slots=True)
class Printed:
    """A printed number as a fraction of one, and half a unit of its last digit.

    ``twice`` is half a unit of the last digit before trailing zeros, where the number is a
    percentage that ends with them: 79.0 may be .7889 rounded to .79 first. It equals ``half`` where
    that cannot be. ``percent`` says whether it is a percentage; ``interval`` holds the printed
    confidence bounds, if any.
    """

    text: str
    value: float
    half: float
    twice: float
    percent: bool
    interval: tuple[Printed, Printed] | None = None


def parse(figure: str, printed: float | str | Printed) -> Printed:
    """``printed`` of ``figure`` as a `Printed`.

    A number above one is a percentage with one decimal, any other a fraction with two. Text carries
    its own decimals, may end in ``%``, and may be followed by its interval, as in
    ``"0.93 [0.72-0.99]"``.

    Raises
    ------
    ParameterError
        If it is no number, or no share.

    Examples
    --------
    >>> parse("accuracy", 79.0)
    Printed(text='79.0', value=0.79, half=0.0005, twice=0.005, percent=True, interval=None)
    >>> parse("f1", "0.785").half
    0.0005
    """
    if isinstance(printed, Printed):
        return printed
    if isinstance(printed, bool) or not isinstance(printed, str | float | int):
        raise ParameterError(f"{figure} must be a printed number; got {printed!r}.")
    if isinstance(printed, str):
        text = printed.strip()
    else:
        text = f"{printed:.1f}" if printed > 1 else f"{printed:.2f}"
    bounds = _INTERVAL.fullmatch(text)
    if bounds is None:
        return _number(figure, text)
    value = _number(figure, bounds["value"])
    low, high = (_number(figure, bounds[name]) for name in ("low", "high"))
    return Printed(text, value.value, value.half, value.twice, value.percent, (low, high))


def _number(figure: str, text: str) -> Printed:
    found = _NUMBER.fullmatch(text.strip().replace("\u2212", "-"))
    if found is None:
        raise ParameterError(
            f"{figure} must be a number as printed, such as 79.2, 79.2% or 0.79; got {text!r}."
        )
    number, sign = Decimal(found[1]), found[2]
    percent = bool(sign) or number > 1
    last = int(number.as_tuple().exponent)
    significant = min(0, int(number.normalize().as_tuple().exponent)) if percent else last
    scale = Decimal("0.01") if percent else Decimal(1)
    value, half = number * scale, scale * _half(last)
    twice = scale * _half(max(last, significant))
    if not -1 <= value <= 1:
        raise ParameterError(
            f"{figure} must be a share: 0 to 1, or a percentage to 100; got {text!r}."
        )
    return Printed(text.strip(), float(value), float(half), float(twice), percent)


def _half(exponent: int) -> Decimal:
    return Decimal(5).scaleb(exponent - 1)


# What a printed figure may mean: names of columns, and readings of the three that are ambiguous.
#
# ``precision``, ``recall`` and ``f1`` may be of the positive class, of the negative one, or
# averages of both, and precision and recall may stand in each other's column.

CLEAR = (
    "accuracy",
    "balanced_accuracy",
    "sensitivity",
    "specificity",
    "ppv",
    "npv",
    "mcc",
)
AMBIGUOUS = ("precision", "recall", "f1")
AREAS = ("roc_auc", "pr_auc")
FIGURES = (*CLEAR, *AMBIGUOUS, *AREAS)


def _both(first: Callable[[Averages], Averages], reading: Reading) -> Reading:
    return lambda *cells: first(reading(*cells))


READINGS: dict[str, Reading] = {
    "positive": of_positives,
    "negative": lambda tn, fp, fn, tp: of_positives(tp, fn, fp, tn),
    "macro/macroF1": macro,
    "macro/hmMacro": _both(of_averages, macro),
    "weighted/weightedF1": weighted,
    "weighted/hmWeighted": _both(of_averages, weighted),
}
READINGS |= {
    name.replace("/", "-swapped/") if "/" in name else f"{name}-swapped": _both(swapped, reading)
    for name, reading in list(READINGS.items())
}

MEANINGS = {
    "positive": "precision, recall and F1 of the positive class (the usual ones)",
    "negative": "precision, recall and F1 of the negative class",
    "macro/macroF1": "means over both classes; F1 the mean of the classes' F1",
    "macro/hmMacro": "means over both classes; F1 the harmonic mean of those",
    "weighted/weightedF1": "means weighted by class size; F1 too",
    "weighted/hmWeighted": "means weighted by class size; F1 the harmonic mean of those",
}


def meaning(definition: str) -> str:
    """A definition of a published table in words.

    Examples
    --------
    >>> meaning("positive-swapped")
    'precision, recall and F1 of the positive class (the usual ones), precision and recall swapped'
    """
    words = MEANINGS[definition.replace("-swapped", "")]
    return f"{words}, precision and recall swapped" if "-swapped" in definition else words


# All confusion matrices of two class sizes, and how far their figures are from printed ones.

_CELLS_AT_ONCE = 500_000
_SLACK = 1e-12  # of double arithmetic: a figure that lies on the edge of rounding may go either way
_UNDEFINED = 1e6  # units that a figure is off which divides by zero


def blocks(positives: int, negatives: int) -> Iterator[tuple[Cells, Cells]]:
    """All (tp, tn), flat, some rows of tp at a time."""
    tn = np.arange(negatives + 1.0)
    rows = max(1, _CELLS_AT_ONCE // tn.size)
    for start in range(0, positives + 1, rows):
        tp = np.arange(start, min(start + rows, positives + 1), dtype=np.float64)
        yield np.repeat(tp, tn.size), np.tile(tn, tp.size)


def clear_figures(tp: Cells, tn: Cells, positives: int, negatives: int) -> dict[str, Cells]:
    """The figures with one definition, of each matrix."""
    return rates(tn, negatives - tn, positives - tp, tp)._asdict()


def excess(values: Cells, printed: Printed, *, twice: bool = False) -> Cells:
    """How far ``values`` are from rounding to what is printed, in units of its last digit."""
    reach = printed.twice if twice else printed.half
    off = np.maximum(np.abs(values - printed.value) - reach - _SLACK, 0) / (2 * printed.half)
    return np.nan_to_num(off, nan=_UNDEFINED)


def figures_of(definition: str, tp: Cells, tn: Cells, sizes: tuple[int, int]) -> dict[str, Cells]:
    """Every figure of each matrix under one definition; ``sizes`` are those of the two classes."""
    positives, negatives = sizes
    averages = READINGS[definition](tn, negatives - tn, positives - tp, tp)
    return clear_figures(tp, tn, positives, negatives) | averages._asdict()


def excesses(
    definition: str, table: Mapping[str, Printed], tp: Cells, tn: Cells, sizes: tuple[int, int]
) -> dict[str, Cells]:
    """`excess` of every figure of ``table`` for each matrix, under one definition."""
    values = figures_of(definition, tp, tn, sizes)
    return {name: excess(values[name], figure) for name, figure in table.items()}


# What would have to be printed otherwise for a contradictory row to come from one matrix.


@dataclass(frozen=True, slots=True)
class Repair:
    """Figures that, printed otherwise, would leave the row consistent under ``definition``.

    ``values`` holds for each of ``figures`` the lowest and highest value that it would need,
    ``units`` how far the nearest of ``matrices`` (tp, tn) is off, in units of the last digits.
    """

    definition: str
    figures: tuple[str, ...]
    values: tuple[tuple[float, float], ...]
    units: float
    matrices: tuple[tuple[int, int], ...]


def nearest_repairs(
    table: Mapping[str, Printed], positives: int, negatives: int
) -> tuple[Repair, ...]:
    """The repairs that change the fewest figures, nearest first.

    F1 is computed from precision and recall, so it may change with either of them for nothing.
    """
    sizes = positives, negatives
    names = tuple(table)
    least = len(names) + 1
    found: list[tuple[int, str, Cells]] = []  # errors, definition, (tp, tn, changed, units) by row
    for tp, tn in blocks(positives, negatives):
        for definition in READINGS:
            off = np.stack(list(excesses(definition, table, tp, tn, sizes).values()))
            errors = _errors(names, off > 0)
            fewest = int(errors.min())
            if fewest > least:
                continue
            least = fewest
            near = errors == fewest
            changed = (2.0 ** np.arange(len(names))) @ (off[:, near] > 0)
            rows = np.stack([tp[near], tn[near], changed, off[:, near].sum(axis=0)], axis=1)
            found.append((fewest, definition, rows))
    repairs = [
        repair
        for definition in READINGS
        for repair in _grouped(
            definition,
            names,
            np.concatenate(
                [np.empty((0, 4))]
                + [rows for errors, of, rows in found if (errors, of) == (least, definition)]
            ),
            sizes,
        )
    ]
    return tuple(sorted(repairs, key=lambda repair: (repair.units, repair.definition)))


def _errors(names: tuple[str, ...], changed: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Independent changes of each column of ``changed`` (figures, matrices)."""
    count: NDArray[np.intp] = changed.sum(axis=0)
    if "f1" not in names:
        return count
    sources = [names.index(name) for name in ("precision", "recall") if name in names]
    for_nothing = changed[names.index("f1")] & changed[sources].any(axis=0)
    errors: NDArray[np.intp] = count - for_nothing
    return errors


def _grouped(
    definition: str, names: tuple[str, ...], rows: Cells, sizes: tuple[int, int]
) -> Iterator[Repair]:
    """A repair for each set of figures that are changed together."""
    for changed in np.unique(rows[:, 2]):
        tp, tn, _, units = rows[rows[:, 2] == changed].T
        values = figures_of(definition, tp, tn, sizes)
        figures = tuple(name for at, name in enumerate(names) if int(changed) >> at & 1)
        yield Repair(
            definition,
            figures,
            tuple((float(values[name].min()), float(values[name].max())) for name in figures),
            float(units.min()),
            tuple(zip(tp.astype(int).tolist(), tn.astype(int).tolist(), strict=True)),
        )


Verdict = Literal["consistent", "rounded twice", "contradictory", "impossible"]

_MOST_CELLS = 200_000_000


class Match(NamedTuple):
    """A confusion matrix that prints as published, and the definition under which it does."""

    tp: int
    tn: int
    definition: str


@dataclass(frozen=True, slots=True)
class Audit:
    """What a row of a published table can come from.

    ``verdict``: ``"consistent"``; ``"rounded twice"``, where it is so only if the percentages named
    in ``rounded_twice`` were rounded to a fraction first; ``"contradictory"``, where no definition
    reconciles the figures; ``"impossible"``, where already those with only one definition (as
    accuracy and balanced accuracy) have no confusion matrix of these class sizes. ``repairs`` come
    nearest first, of the last two only.
    """

    positives: int
    negatives: int
    printed: Mapping[str, Printed]
    verdict: Verdict
    matches: tuple[Match, ...]
    rounded_twice: tuple[str, ...] = ()
    repairs: tuple[Repair, ...] = ()

    @property
    def matrices(self) -> tuple[tuple[int, int], ...]:
        """The (tp, tn) that match under some definition, in ascending order."""
        return tuple(sorted({(match.tp, match.tn) for match in self.matches}))

    @property
    def definitions(self) -> tuple[str, ...]:
        """The definitions that some matrix fits."""
        return tuple(sorted({match.definition for match in self.matches}))


def confusions(
    *,
    accuracy: float | str | None = None,
    balanced_accuracy: float | str | None = None,
    precision: float | str | None = None,
    recall: float | str | None = None,
    f1: float | str | None = None,
    positives: int,
    negatives: int,
) -> list[Match]:
    """Every confusion matrix and definition that print as these figures of a published table.

    Parameters
    ----------
    accuracy, balanced_accuracy, precision, recall, f1
        As printed: a number above one is a percentage with one decimal, any other a fraction with
        two; text carries its own decimals (``"0.785"``, ``"79%"``). None where not printed.
    positives, negatives
        Cases of either class.

    Returns
    -------
    list of Match
        Sorted; empty where the figures cannot be of one confusion matrix. `check` says why, and
        what would have to be printed. Percentages that end in a zero may have been rounded to a
        fraction first (.7889, .79, 79.0) where nothing fits otherwise.

    Raises
    ------
    ParameterError
        If a figure is no printed number, or a class is empty.

    Examples
    --------
    The row of model 1 on CT-APs in Gebre et al. 2022: it finds three of fifteen.

    >>> import rhoa
    >>> rhoa.audit.confusions(
    ...     accuracy=50.0, balanced_accuracy=60.0, precision=0.60, recall=0.71, f1=0.65,
    ...     positives=15, negatives=9,
    ... )
    [Match(tp=3, tn=9, definition='macro-swapped/hmMacro')]
    """
    figures = {
        "accuracy": accuracy,
        "balanced_accuracy": balanced_accuracy,
        "precision": precision,
        "recall": recall,
        "f1": f1,
    }
    printed = {name: value for name, value in figures.items() if value is not None}
    return list(check(printed, positives=positives, negatives=negatives).matches)


def check(printed: Mapping[str, float | str | Printed], *, positives: int, negatives: int) -> Audit:
    """What printed figures of any binary classifier can come from.

    Parameters
    ----------
    printed
        Figures by name: ``accuracy``, ``balanced_accuracy``, ``sensitivity``, ``specificity``,
        ``ppv``, ``npv``, ``mcc``, and by any definition ``precision``, ``recall``, ``f1``.
        ``roc_auc`` and ``pr_auc`` are read, but say nothing of a confusion matrix.
    positives, negatives
        Cases of either class.

    Raises
    ------
    ParameterError
        If a figure is unknown or no printed number, none of them says anything of the confusion
        matrix, or there are too many cases to try all.

    Examples
    --------
    >>> printed = {"accuracy": "83.3", "balanced_accuracy": "83.3", "sensitivity": ".67"}
    >>> audit = check(printed, positives=15, negatives=9)
    >>> audit.verdict, audit.repairs[0].figures, audit.repairs[0].matrices
    ('impossible', ('accuracy',), ((10, 9),))
    """
    figures = parsed(printed)
    require_count("positives", positives)
    require_count("negatives", negatives)
    if (positives + 1) * (negatives + 1) > _MOST_CELLS:
        raise ParameterError(
            f"{positives} positives and {negatives} negatives have too many confusion matrices to "
            f"try all; up to {_MOST_CELLS} are tried."
        )
    table = {name: figure for name, figure in figures.items() if name not in AREAS}
    if not table:
        raise ParameterError(
            f"nothing to check: name at least one of {', '.join((*CLEAR, *AMBIGUOUS))}."
        )
    for twice in (False, True):
        matches, possible = _matches(table, positives, negatives, twice=twice)
        if matches:
            verdict: Verdict = "rounded twice" if twice else "consistent"
            loosened = _loosened(table, matches, positives, negatives) if twice else ()
            return Audit(positives, negatives, figures, verdict, matches, loosened)
    repairs = nearest_repairs(table, positives, negatives)
    verdict = "contradictory" if possible else "impossible"
    return Audit(positives, negatives, figures, verdict, (), repairs=repairs)


def parsed(printed: Mapping[str, float | str | Printed]) -> dict[str, Printed]:
    """Figures by name as `Printed`; ParameterError for a name that is no figure."""
    strange = [name for name in printed if name not in FIGURES]
    if strange:
        raise ParameterError(
            f"there is no figure {strange[0]!r}; figures are {', '.join(FIGURES)}."
        )
    return {name: parse(name, value) for name, value in printed.items()}


def _matches(
    table: Mapping[str, Printed], positives: int, negatives: int, *, twice: bool
) -> tuple[tuple[Match, ...], bool]:
    """The matches, and whether any matrix fits the figures that have one definition only."""
    found: list[Match] = []
    possible = False
    for tp, tn in blocks(positives, negatives):
        clear = clear_figures(tp, tn, positives, negatives)
        fits = np.ones(tp.shape, bool)
        for name in set(clear) & set(table):
            fits &= excess(clear[name], table[name], twice=twice) == 0
        possible |= bool(fits.any())
        tp, tn = tp[fits], tn[fits]  # noqa: PLW2901  # those that are left
        for definition, reading in READINGS.items():
            averages = reading(tn, negatives - tn, positives - tp, tp)._asdict()
            fits = np.ones(tp.shape, bool)
            for name in set(averages) & set(table):
                fits &= excess(averages[name], table[name], twice=twice) == 0
            pairs = zip(tp[fits].astype(int).tolist(), tn[fits].astype(int).tolist(), strict=True)
            found += [Match(*pair, definition) for pair in pairs]
    return tuple(sorted(found)), possible


def _loosened(
    table: Mapping[str, Printed], matches: Iterable[Match], positives: int, negatives: int
) -> tuple[str, ...]:
    """The figures that some match does not print unless they are rounded twice."""
    names = set()
    for match in matches:
        tp, tn = np.array([float(match.tp)]), np.array([float(match.tn)])
        off = excesses(match.definition, table, tp, tn, (positives, negatives))
        names |= {name for name, units in off.items() if units[0] > 0}
    return tuple(name for name in table if name in names)

"""Which confusion matrices a row of a published table can come from.

The two class sizes leave (positives + 1) (negatives + 1) matrices; each is tried, under every
reading of the columns, against what the figures would print.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from rhoa.audit.cells import blocks, clear_figures, excess, excesses
from rhoa.audit.printed import Printed, parse
from rhoa.audit.readings import AMBIGUOUS, AREAS, CLEAR, FIGURES, READINGS
from rhoa.audit.repairs import Repair, nearest_repairs
from rhoa.errors import ParameterError, require_count

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from rhoa.audit.cells import Cells

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
        for definition in READINGS:
            found += _matches_of(
                definition, table, tp[fits], tn[fits], (positives, negatives), twice=twice
            )
    return tuple(sorted(found)), possible


def _matches_of(  # as `_matches`
    definition: str,
    table: Mapping[str, Printed],
    tp: Cells,
    tn: Cells,
    sizes: tuple[int, int],
    *,
    twice: bool,
) -> list[Match]:
    averages = READINGS[definition](tn, sizes[1] - tn, sizes[0] - tp, tp)._asdict()
    fits = np.ones(tp.shape, bool)
    for name in set(averages) & set(table):
        fits &= excess(averages[name], table[name], twice=twice) == 0
    pairs = zip(tp[fits].astype(int).tolist(), tn[fits].astype(int).tolist(), strict=True)
    return [Match(*pair, definition) for pair in pairs]


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

"""All confusion matrices of two class sizes, and how far their figures are from printed ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from rhoa.audit.readings import READINGS
from rhoa.evaluation.definitions import rates

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

    from rhoa.audit.printed import Printed

    Cells = NDArray[np.float64]

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

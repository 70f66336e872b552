"""What would have to be printed otherwise for a contradictory row to come from one matrix."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from rhoa.audit.cells import blocks, excesses, figures_of
from rhoa.audit.readings import READINGS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

    from rhoa.audit.cells import Cells
    from rhoa.audit.printed import Printed


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

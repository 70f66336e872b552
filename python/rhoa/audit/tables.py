"""A whole published table: every row audited, and the definition that most rows share."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from rhoa.audit.matching import Audit, check
from rhoa.audit.readings import FIGURES, READINGS
from rhoa.cohort.tables import open_table
from rhoa.errors import ManifestError, ParameterError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from os import PathLike

    from rhoa.cohort.tables import Row

SIZES = ("positives", "negatives")
TITLES = ("name", "table", "set", "row", "model")  # columns that name a row, in this order
ALIASES = {
    "acc": "accuracy",
    "balanced_acc": "balanced_accuracy",
    "bal_acc": "balanced_accuracy",
    "sens": "sensitivity",
    "tpr": "sensitivity",
    "spec": "specificity",
    "tnr": "specificity",
    "f1_score": "f1",
    "auc": "roc_auc",
    "auroc": "roc_auc",
    "ap": "pr_auc",
    "auprc": "pr_auc",
}


class PublishedRow(NamedTuple):
    """A row of a published table: its name, class sizes and figures as text."""

    name: str
    positives: int
    negatives: int
    printed: Mapping[str, str]


class AuditedRow(NamedTuple):
    """A row and what it can come from."""

    name: str
    audit: Audit


@dataclass(frozen=True, slots=True)
class TableAudit:
    """The rows of a table, and how many of them each definition explains.

    ``definition`` is the one that explains most rows, None where none explains any.
    """

    rows: tuple[AuditedRow, ...]
    explained: Mapping[str, int]

    @property
    def definition(self) -> str | None:
        """The definition that explains most rows; of equals the first in ``READINGS``."""
        if not self.explained:
            return None
        return max(READINGS, key=lambda name: self.explained.get(name, 0))

    @property
    def sound(self) -> bool:
        """Whether every row can come from some confusion matrix."""
        return all(row.audit.matches for row in self.rows)


def table(rows: Iterable[PublishedRow]) -> TableAudit:
    """The audit of every row, and the definition that explains most of them.

    Examples
    --------
    >>> rows = [
    ...     PublishedRow("M1", 15, 9, {"accuracy": "50.0", "precision": ".60", "recall": ".71"}),
    ...     PublishedRow("M2", 15, 9, {"accuracy": "87.5", "precision": ".83", "recall": ".92"}),
    ... ]
    >>> table(rows).definition
    'macro-swapped/macroF1'
    """
    audited = tuple(
        AuditedRow(row.name, check(row.printed, positives=row.positives, negatives=row.negatives))
        for row in rows
    )
    counts = Counter(name for row in audited for name in row.audit.definitions)
    return TableAudit(audited, dict(counts.most_common()))


def read_table(path: str | PathLike[str]) -> list[PublishedRow]:
    """The rows of a CSV or tab-separated text as a paper prints them.

    Columns ``positives`` and ``negatives`` hold the class sizes, the others figures by the names
    that `check` knows (``acc``, ``sens``, ``AUC`` and the like are understood); empty cells are not
    printed. ``name``, ``table``, ``set``, ``row`` and ``model`` name a row.

    Raises
    ------
    MissingFileError
        If there is no such file.
    ManifestError
        If class sizes or figures are missing, or a column is unknown.
    """
    source = open_table(path)
    known = {column: _known(column) for column in source.columns}
    unknown = [column for column, name in known.items() if name is None]
    missing = [name for name in SIZES if name not in known.values()]
    if unknown or missing or not set(known.values()) & set(FIGURES):
        problem = (
            f"lacks the columns {', '.join(missing)}"
            if missing
            else f"has the unknown columns {', '.join(unknown)}"
            if unknown
            else "has no column of figures"
        )
        raise ManifestError(
            f"{source.path.name}: {problem}; needed are positives, negatives and figures: "
            f"{', '.join(FIGURES)}; a row is named by {', '.join(TITLES)}."
        )
    columns = {name: column for column, name in known.items() if name is not None}
    return [_published(source.path.name, row, columns) for row in source.rows(source.columns)]


def _known(column: str) -> str | None:
    name = re.sub(r"[^a-z0-9]+", "_", column.strip().lower()).strip("_")
    name = ALIASES.get(name, name)
    return name if name in {*SIZES, *TITLES, *FIGURES} else None


def _published(file: str, row: Row, columns: Mapping[str, str]) -> PublishedRow:
    text = {name: row.cells[column].text.strip() for name, column in columns.items()}
    sizes = []
    for name in SIZES:
        if not text[name].isdigit():
            raise ManifestError(
                f"{file}, {row.where}: {name} must be a whole number; got {text[name]!r}."
            )
        sizes.append(int(text[name]))
    printed = {name: text[name] for name in FIGURES if text.get(name)}
    title = " ".join(text[name] for name in TITLES if text.get(name))
    positives, negatives = sizes
    return PublishedRow(title or row.where, positives, negatives, printed)


def row_named(rows: Iterable[PublishedRow], name: str) -> PublishedRow:
    """The row of that name.

    Raises
    ------
    ParameterError
        If there is none, or more than one.
    """
    rows = list(rows)
    found = [row for row in rows if row.name == name]
    if len(found) != 1:
        raise ParameterError(
            f"{len(found)} rows are named {name!r}; rows are {', '.join(row.name for row in rows)}."
        )
    return found[0]

"""What a verb prints, and the tables that it writes."""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from rhoa.errors import RhoaError
from rhoa.writing import atomic_write, csv_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

Rows = list[dict[str, Any]]
_SHELL_WORDS = (
    (r'\b(accept|side)="(\w+)"', r"--\1 \2"),
    (r'pass pixel_mm=, or "file" to', "pass --pixel-mm MM, or --pixel-mm file to"),
    (r"pass pixel_mm=", "pass --pixel-mm MM"),
)
"""What messages about X-rays call options, and what the command line calls them."""


@dataclass(frozen=True, slots=True)
class Result:
    """What a verb prints: a table (or its JSON), then lines; and whether cases were rejected."""

    rows: Rows = field(default_factory=list)
    lines: Sequence[str] = ()
    rejected: bool = False
    failed: bool = False
    """Whether what was to be checked does not hold."""
    shown: Rows | None = None
    """What the table has, where JSON tells more."""


def in_shell_words(message: str) -> str:
    """A message about X-rays that names the options of the command line, not those of Python."""
    for pattern, words in _SHELL_WORDS:
        message = re.sub(pattern, words, message)
    return message


@contextlib.contextmanager
def shell_words() -> Iterator[None]:
    """Errors that are raised meanwhile name the options of the command line."""
    try:
        yield
    except RhoaError as error:
        raise type(error)(in_shell_words(str(error))) from None


def table(rows: Rows) -> str:
    """Rows of like keys as aligned columns."""
    columns = list(rows[0])
    cells = [columns, *([_cell(row.get(column)) for column in columns] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in cells
    )


def write_table(file: Path, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    """Write rows as CSV; a list is its members with blanks between."""
    cells = ([_written(row.get(name)) for name in columns] for row in rows)
    atomic_write(file, csv_text(columns, cells))


def _written(value: object) -> object:
    return " ".join(map(str, value)) if isinstance(value, list | tuple) else value


def _cell(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list | tuple):
        return (", " if any(isinstance(part, str) for part in value) else " x ").join(
            map(_cell, value)
        )
    return str(value)

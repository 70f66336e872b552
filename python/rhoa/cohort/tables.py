"""Tables of studies as rows of text: SPSS, SAS, and text with commas, semicolons, bars or tabs."""

from __future__ import annotations

import csv
import io
import math
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from rhoa.errors import ManifestError, MissingFileError, require_extra

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from os import PathLike

SPSS = (".sav", ".zsav")
SAS = (".sas7bdat",)
TEXT = (".csv", ".txt", ".tsv")
SEPARATORS = "|\t;,"  # the first of these in the header separates; names hold none of them
# How programs write an absent value in text.
NOTHING = frozenset({"", "na", "nan", "n/a", "#n/a", "null", "#null!", "none", "<na>"})

_CODED = re.compile(r"(-?[0-9]+(?:\.[0-9]+)?):\s*(.*)", re.DOTALL)  # "2: Left"
_DECIMAL_COMMA = re.compile(r"\s*(-?[0-9]+),([0-9]+)\s*")
_SPECIAL = re.compile(r"(\.[A-Za-z_]?)(?::\s*(.*))?", re.DOTALL)  # ".", ".P", ".: Missing Form"


class Cell(NamedTuple):
    """One value: its code as text, whether it stands for a missing value, its label if printed.

    Whole numbers have no decimals ("2"). SAS's special missing values are ".A" to ".Z". A value
    that SPSS declares missing keeps its code.
    """

    text: str
    missing: bool = False
    label: str = ""


class Row(NamedTuple):
    """One row: where it is ("line 5" of a text, "row 5" of a binary table) and its cells."""

    where: str
    cells: dict[str, Cell]


@dataclass(frozen=True, slots=True)
class Table:
    """A table on disk: its columns; rows are read when asked for."""

    path: Path
    columns: tuple[str, ...]

    def find(self, name: str) -> str | None:
        """The column of that name, whatever its case; None where there is none."""
        if name in self.columns:
            return name
        found = [column for column in self.columns if column.casefold() == name.casefold()]
        return found[0] if len(found) == 1 else None

    def require(self, names: Sequence[str], remedy: str) -> list[str]:
        """The columns of those names; an error lists the columns found and the ones needed."""
        found = [self.find(name) for name in names]
        absent = [name for name, column in zip(names, found, strict=True) if column is None]
        if absent:
            raise ManifestError(
                f"{self.path.name}: lacks the columns {', '.join(absent)}; it has "
                f"{self.listed()}; {remedy}."
            )
        return [column for column in found if column is not None]

    def listed(self, most: int = 40) -> str:
        """The columns in words, no more than ``most``."""
        more = len(self.columns) - most
        return ", ".join(self.columns[:most]) + (f" and {more} more" if more > 0 else "")

    def rows(self, columns: Sequence[str]) -> Iterator[Row]:
        """The rows, with the cells of ``columns`` alone."""
        if self.path.suffix.lower() in TEXT:
            return self._text_rows(columns)
        return self._binary_rows(columns)

    def _text_rows(self, columns: Sequence[str]) -> Iterator[Row]:
        places = [(column, self.columns.index(column)) for column in columns]
        lines = _lines(self.path)
        next(lines)
        for line, fields in lines:
            if not any(field.strip() for field in fields):
                continue
            if len(fields) != len(self.columns):
                raise ManifestError(
                    f"{self.path.name}, line {line}: {len(fields)} values under "
                    f"{len(self.columns)} columns; quote values that hold the separator."
                )
            yield Row(f"line {line}", {column: text_cell(fields[at]) for column, at in places})

    def _binary_rows(self, columns: Sequence[str]) -> Iterator[Row]:
        names = list(dict.fromkeys(columns))
        data, about = _binary(self.path, usecols=names)
        read = [
            [
                _binary_cell(
                    value,
                    is_number=about.readstat_variable_types.get(name) != "string",
                    declared=about.missing_ranges.get(name, ()),
                )
                for value in data[name]
            ]
            for name in names
        ]
        for number, cells in enumerate(zip(*read, strict=True), 1):
            yield Row(f"row {number}", dict(zip(names, cells, strict=True)))


def open_table(path: str | PathLike[str]) -> Table:
    """A table of a study, by its suffix: ``.sav``, ``.zsav``, ``.sas7bdat``, ``.csv``, ``.txt``.

    Text is UTF-8 or Latin-1, separated by bars, tabs, semicolons or commas, whichever its first
    line has. In text, ``2: Left`` is the code 2 with a label, ``.`` and ``.A`` to ``.Z`` (with or
    without a label) are missing values, as the OAI writes them.

    Raises
    ------
    MissingFileError
        If there is no such file.
    ManifestError
        If the file is of another kind or cannot be read as what its suffix says.
    MissingExtraError
        If the table is SPSS's or SAS's and pyreadstat is not installed.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if not path.is_file():
        raise MissingFileError(f"{path.name}: no such table; check the path.")
    if suffix in TEXT:
        _, header = next(_lines(path), (0, []))
        columns = tuple(name.strip() for name in header)
    elif suffix in SPSS + SAS:
        columns = tuple(_binary(path, metadataonly=True)[1].column_names)
    else:
        raise ManifestError(
            f"{path.name}: a table of a study ends in {', '.join(SPSS + SAS + TEXT)}; convert it."
        )
    if not any(columns):
        raise ManifestError(f"{path.name}: has no columns; a table needs a line of their names.")
    repeated = [name for name, count in Counter(columns).items() if count > 1 and name]
    if repeated:
        raise ManifestError(
            f"{path.name}: the columns {', '.join(repeated)} are there twice; rename them."
        )
    return Table(path, columns)


def text_cell(field: str) -> Cell:
    """A cell from the text of a field.

    Examples
    --------
    >>> text_cell("2: Left")
    Cell(text='2', missing=False, label='Left')
    >>> text_cell(".: Missing Form/Incomplete Workbook").missing
    True
    """
    text = field.strip()
    if text.casefold() in NOTHING:
        return Cell("", missing=True)
    if special := _SPECIAL.fullmatch(text):
        return Cell(special[1].upper(), missing=True, label=special[2] or "")
    if coded := _CODED.fullmatch(text):
        return Cell(coded[1], label=coded[2])
    return Cell(text)


def _lines(path: Path) -> Iterator[tuple[int, list[str]]]:
    content = path.read_bytes()
    if b"\0" in content:
        raise ManifestError(f"{path.name}: no text table, it holds null bytes; save it as UTF-8.")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = content.decode("latin-1")  # takes every byte; codes and ids are ASCII in both
    header = text.partition("\n")[0]
    separator = next((mark for mark in SEPARATORS if mark in header), ",")
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    try:
        for fields in reader:
            if separator == ";":  # of spreadsheets whose decimals have commas
                matches = [_DECIMAL_COMMA.fullmatch(field) for field in fields]
                fields = [  # noqa: PLW2901
                    f"{number[1]}.{number[2]}" if number else field
                    for number, field in zip(matches, fields, strict=True)
                ]
            yield reader.line_num, fields
    except csv.Error as error:
        raise ManifestError(
            f"{path.name}, line {reader.line_num}: cannot be split into values ({error})."
        ) from None


def _binary(path: Path, **options: Any) -> tuple[Any, Any]:  # noqa: ANN401  # pyreadstat's own
    suffix = path.suffix.lower()
    pyreadstat = require_extra("pyreadstat", extra="tables", purpose=f"a {suffix} table")
    read = pyreadstat.read_sav if suffix in SPSS else pyreadstat.read_sas7bdat
    try:
        data, about = read(
            str(path),
            user_missing=True,
            disable_datetime_conversion=True,
            output_format="dict",
            **options,
        )
    except (pyreadstat.ReadstatError, pyreadstat.PyreadstatError, UnicodeDecodeError) as error:
        raise ManifestError(
            f"{path.name}: cannot be read as a {suffix} table ({error}); export it again."
        ) from None
    return data, about


def _binary_cell(value: object, *, is_number: bool, declared: Sequence[Any]) -> Cell:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return Cell("", missing=True)
    if not isinstance(value, str):
        cell = Cell(number_text(float(value)))  # type: ignore[arg-type]  # a number, else as below
    elif is_number:
        return Cell(f".{value.upper()}", missing=True)  # a special missing value of SAS
    else:
        cell = text_cell(value)
    return cell._replace(missing=cell.missing or any(_within(value, each) for each in declared))


def _within(value: object, declared: Any) -> bool:  # noqa: ANN401  # a value or a range of them
    if not isinstance(declared, dict):
        return bool(value == declared)
    low, high = declared["lo"], declared["hi"]
    if isinstance(value, str) != isinstance(low, str):
        return False
    return bool(low <= value <= high)


def number_text(value: float) -> str:
    """A number as text, whole ones without decimals."""
    return str(int(value)) if value.is_integer() else repr(value)

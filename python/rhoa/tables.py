"""Tables of people and programs as rows of text: CSV in any dialect, workbooks, SPSS and SAS."""

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
from rhoa.files import shown

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from os import PathLike

    from rhoa._types import Side

SPSS = (".sav", ".zsav")
SAS = (".sas7bdat",)
WORKBOOKS = (".xlsx", ".xlsm", ".xls", ".ods")
TABLES = (".csv", ".tsv", ".txt", *WORKBOOKS)
"""Suffixes of what people list their scans in."""
SEPARATORS = {"|": "bars", "\t": "tabs", ";": "semicolons", ",": "commas"}
"""Those of texts, in the order in which they are preferred where several would do."""
NOTHING = frozenset({"", "na", "nan", "n/a", "#n/a", "null", "#null!", "none", "<na>"})
"""How programs write an absent value in text."""
SIDE_WORDS: dict[str, Side] = {"left": "left", "l": "left", "right": "right", "r": "right"}

_CODED = re.compile(r"(-?[0-9]+(?:\.[0-9]+)?):\s*(.*)", re.DOTALL)  # "2: Left"
_DECIMAL_COMMA = re.compile(r"\s*(-?[0-9]+),([0-9]+)\s*")
_THOUSANDS = re.compile(r"\s*-?[1-9][0-9]{0,2},[0-9]{3}\s*")
_SPECIAL = re.compile(r"(\.[A-Za-z_]?)(?::\s*(.*))?", re.DOTALL)  # ".", ".P", ".: Missing Form"
_EXCEL = re.compile(r"\s*\"?sep=(.)\"?\s*", re.IGNORECASE | re.DOTALL)
_MARKS = {b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16", b"\xef\xbb\xbf": "utf-8-sig"}
_SAMPLE_LINES = 50


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
    """A table on disk: its columns, and how a text is separated; rows are read when asked for."""

    path: Path
    columns: tuple[str, ...]
    separator: str = ""

    def find(self, name: str) -> str | None:
        """The column of that name, whatever its case and blanks; None where there is none.

        Raises
        ------
        ManifestError
            If two columns have that name.
        """
        if name in self.columns:
            return name
        found = [column for column in self.columns if plain_name(column) == plain_name(name)]
        if len(found) > 1:
            raise ManifestError(
                f"{shown(self.path)}: the columns {' and '.join(found)} have one name; rename all "
                "but one."
            )
        return found[0] if found else None

    def require(self, names: Sequence[str], remedy: str) -> list[str]:
        """The columns of those names; an error lists the columns found and the ones needed."""
        found = [self.find(name) for name in names]
        absent = [name for name, column in zip(names, found, strict=True) if column is None]
        if absent:
            seen = f", separated by {self.separator}" if self.separator else ""
            raise ManifestError(
                f"{shown(self.path)}: lacks the columns {', '.join(absent)}; it has "
                f"{self.listed()}{seen}; {remedy}."
            )
        return [column for column in found if column is not None]

    def listed(self, most: int = 40) -> str:
        """The columns in words, no more than ``most``."""
        named = [column for column in self.columns if column]
        more = len(named) - most
        return ", ".join(named[:most]) + (f" and {more} more" if more > 0 else "")

    def rows(self, columns: Sequence[str]) -> Iterator[Row]:
        """The rows, with the cells of ``columns`` alone; no row may be short."""
        if self.path.suffix.lower() in SPSS + SAS:
            yield from self._binary_rows(columns)
            return
        places = [(column, self.columns.index(column)) for column in columns]
        for where, fields in self._fields():
            if len(fields) < len(self.columns):
                self._refuse_width(where, fields)
            yield Row(where, {column: text_cell(fields[at]) for column, at in places})

    def records(self) -> Iterator[tuple[str, dict[str, str]]]:
        """Where each row is, and its texts by column; values that say nothing are empty.

        A row may be short: spreadsheets leave out cells at its end that are empty.
        """
        if self.path.suffix.lower() in SPSS + SAS:
            for row in self._binary_rows([column for column in self.columns if column]):
                yield row.where, {name: cell.text for name, cell in row.cells.items()}
            return
        for where, fields in self._fields():
            texts = [stated(field) for field in fields]
            texts += [""] * (len(self.columns) - len(texts))
            yield where, {c: text for c, text in zip(self.columns, texts, strict=True) if c}

    def _fields(self) -> Iterator[tuple[str, list[str]]]:
        """The rows below the header that hold anything, none longer than the header."""
        lines = _lines(self.path)[1]
        next(lines)
        for where, fields in lines:
            if not any(field.strip() for field in fields):
                continue
            if any(field.strip() for field in fields[len(self.columns) :]):
                self._refuse_width(where, fields)
            yield where, fields[: len(self.columns)]

    def _refuse_width(self, where: str, fields: Sequence[str]) -> None:
        raise ManifestError(
            f"{shown(self.path)}, {where}: {len(fields)} values under {len(self.columns)} columns; "
            "quote values that hold the separator."
        )

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
    r"""A table, by its suffix: SPSS, SAS, the first sheet of a workbook, or else a text.

    A text is UTF-8 or UTF-16 (with a byte order mark or without) or Windows-1252, separated by
    bars, tabs, semicolons or commas: as Excel's line ``sep=;`` says, else by what gives its lines
    as many values as its header. Lines without a value, and columns without a name (pandas'
    index), are left out. Numbers may have decimal commas. In `Table.rows`, ``2: Left`` is the code
    2 with a label, ``.`` and ``.A`` to ``.Z`` (with or without a label) are missing values, as the
    OAI writes them.

    Raises
    ------
    MissingFileError
        If there is no such file.
    ManifestError
        If the file cannot be read as what its suffix says, or two columns have one name.
    MissingExtraError
        If the table is SPSS's, SAS's or a workbook and what reads it is not installed.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> file = pathlib.Path(tempfile.mkdtemp()) / "hips.csv"
    >>> _ = file.write_text("sep=;\nSubject;Side;Age\nS1;L;63,5\n;;\n")
    >>> table = open_table(file)
    >>> table.find("subject"), table.separator, [row for _, row in table.records()]
    ('Subject', 'semicolons', [{'Subject': 'S1', 'Side': 'L', 'Age': '63.5'}])
    """
    path = Path(path)
    if not path.is_file():
        raise MissingFileError(f"{shown(path)}: no such table; check the path.")
    separator = ""
    if path.suffix.lower() in SPSS + SAS:
        columns = tuple(_binary(path, metadataonly=True)[1].column_names)
    else:
        separator, lines = _lines(path)
        _, header = next(lines, ("", []))
        while header and not header[-1].strip():
            header = header[:-1]
        columns = tuple(name.strip() for name in header)
    if not any(columns):
        raise ManifestError(f"{shown(path)}: has no columns; a table needs a line of their names.")
    repeated = [name for name, count in Counter(columns).items() if count > 1 and name]
    if repeated:
        raise ManifestError(
            f"{shown(path)}: the columns {', '.join(repeated)} are there twice; rename them."
        )
    return Table(path, columns, separator)


def read_rows(
    path: Path, required: Sequence[str], *, known: Sequence[str] = ()
) -> list[tuple[int, dict[str, str]]]:
    """The line of each row of a table, and its texts by the names ``required`` and others.

    Columns are found whatever their case and blanks; those that are neither required nor ``known``
    keep the names they have.

    Raises
    ------
    MissingFileError
        If there is no such file.
    ManifestError
        If a column is missing, or `open_table` cannot read it.
    """
    table = open_table(path)
    found = table.require(required, f"a table needs {', '.join(required)}")
    names = dict(zip(found, required, strict=True))
    names |= {column: name for name in known if (column := table.find(name)) is not None}
    doubled = [c for c in table.columns if c not in names and plain_name(c) in names.values()]
    if doubled:
        raise ManifestError(
            f"{shown(path)}: the columns {doubled[0]} and {plain_name(doubled[0])} have one name; "
            "rename one."
        )
    return [
        (
            int(where.rpartition(" ")[2]),
            {names.get(column, column): text for column, text in row.items()},
        )
        for where, row in table.records()
    ]


def plain_name(column: str) -> str:
    """The name of a column without capitals, and with one line for what parts its words.

    Examples
    --------
    >>> plain_name(" Slice thickness-MM ")
    'slice_thickness_mm'
    """
    return re.sub(r"[\W_]+", "_", column.casefold()).strip("_")


def stated(text: str) -> str:
    """A text without blanks around it, empty where it is one of ``NOTHING``."""
    text = text.strip()
    return "" if text.casefold() in NOTHING else text


def whole(text: str) -> str:
    """A text without blanks around it, and a whole number without decimals: "3088.0" is "3088".

    Programs that know of missing values write whole numbers so.
    """
    return re.sub(r"(?<=[0-9])\.0+$", "", text.strip())


def side_in_table(text: str) -> str:
    """``left`` or ``right`` for L, R, Left and the like; another text as it is.

    Examples
    --------
    >>> side_in_table("Left"), side_in_table("R"), side_in_table("both")
    ('left', 'right', 'both')
    """
    return SIDE_WORDS.get(text.strip().casefold(), text)


def text_cell(field: str) -> Cell:
    """A cell from the text of a field.

    Examples
    --------
    >>> text_cell("2: Left")
    Cell(text='2', missing=False, label='Left')
    >>> text_cell(".: Missing Form/Incomplete Workbook").missing
    True
    """
    text = stated(field)
    if not text:
        return Cell("", missing=True)
    if special := _SPECIAL.fullmatch(text):
        return Cell(special[1].upper(), missing=True, label=special[2] or "")
    if coded := _CODED.fullmatch(text):
        return Cell(coded[1], label=coded[2])
    return Cell(text)


def _lines(path: Path) -> tuple[str, Iterator[tuple[str, list[str]]]]:
    """What separates a table in words, and its lines from the header on."""
    if path.suffix.lower() in WORKBOOKS:
        return "", _sheet(path)
    text = decoded(path)
    skipped, mark = 0, ""
    if excel := _EXCEL.fullmatch(text.partition("\n")[0]):
        text, skipped, mark = text.partition("\n")[2], 1, excel[1]
    mark = mark or _separator(text)
    return SEPARATORS.get(mark, repr(mark)), _text_lines(path, text, mark, skipped)


def decoded(path: Path) -> str:
    """A text file as text, whatever its encoding.

    Raises
    ------
    ManifestError
        If it is no text.
    """
    content = path.read_bytes()
    name = next((name for mark, name in _MARKS.items() if content.startswith(mark)), "")
    if not name and b"\0" in content[1:2] + content[3:4]:
        name = "utf-16-le"
    if not name and b"\0" in content[:1] + content[2:3]:
        name = "utf-16-be"
    # Windows-1252 lacks five bytes; Latin-1 takes every one.
    for encoding in (name,) if name else ("utf-8", "cp1252", "latin-1"):
        try:
            text = content.decode(encoding)
        except UnicodeDecodeError:
            continue
        if "\0" not in text:
            return text
    kind = "a workbook (save it under a name in .xlsx)" if content[:2] == b"PK" else "no text"
    raise ManifestError(
        f"{shown(path)}: is {kind}; a table is a CSV in UTF-8, UTF-16 or Windows-1252."
    )


def _separator(text: str) -> str:
    """The mark that gives most lines as many values as the header, and the header the most."""
    best, most = ",", (0.0, 1)
    for mark in SEPARATORS:
        sample = csv.reader(io.StringIO(text, newline=""), delimiter=mark)
        try:
            lines = [line for line, _ in zip(sample, range(_SAMPLE_LINES), strict=False)]
        except csv.Error:
            continue
        widths = [len(line) for line in lines if any(field.strip() for field in line)]
        if widths and widths[0] > 1:
            found = sum(width == widths[0] for width in widths) / len(widths), widths[0]
            if found > most:
                best, most = mark, found
    return best


def _text_lines(
    path: Path, text: str, separator: str, skipped: int
) -> Iterator[tuple[str, list[str]]]:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    begun = False
    try:
        for fields in reader:
            begun = begun or any(field.strip() for field in fields)
            if begun:
                numbers = [_with_point(field, separator) for field in fields]
                yield f"line {reader.line_num + skipped}", numbers
    except csv.Error as error:
        raise ManifestError(
            f"{shown(path)}, line {reader.line_num + skipped}: cannot be split into values "
            f"({error})."
        ) from None


def _with_point(field: str, separator: str) -> str:
    """A number with a decimal point; among commas, "1,234" may be a thousand and stays."""
    number = _DECIMAL_COMMA.fullmatch(field)
    if number is None or (separator == "," and _THOUSANDS.fullmatch(field)):
        return field
    return f"{number[1]}.{number[2]}"


def _sheet(path: Path) -> Iterator[tuple[str, list[str]]]:
    """The rows of the first sheet of a workbook, from the header on."""
    calamine = require_extra(
        "python_calamine", extra="tables", purpose=f"a {path.suffix.lower()} table"
    )
    try:
        sheet = calamine.CalamineWorkbook.from_path(str(path)).get_sheet_by_index(0)
        rows = sheet.to_python(skip_empty_area=False)
    except Exception as error:  # noqa: BLE001  # of a parser of foreign files
        raise ManifestError(
            f"{shown(path)}: cannot be read as a {path.suffix.lower()} table "
            f"({type(error).__name__}); save it again, or as CSV."
        ) from None
    begun = False
    for number, row in enumerate(rows, 1):
        fields = [
            number_text(float(value))
            if isinstance(value, int | float) and not isinstance(value, bool)
            else str(value)
            for value in row
        ]
        begun = begun or any(field.strip() for field in fields)
        if begun:
            yield f"line {number}", fields


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

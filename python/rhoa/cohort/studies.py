"""The tables of the CHECK and OAI studies as manifests, with counts that add up to the row."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from rhoa.cohort.identity import CHECK, OAI, OAI_SIDES, SIDE_WORDS, HipId, side_of, subject_of
from rhoa.cohort.intake import Claim, Codes, Faults, Request, plain_code, take
from rhoa.cohort.tables import open_table
from rhoa.errors import ManifestError, ParameterError
from rhoa.pose.sides import SIDES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from os import PathLike

    from rhoa.cohort.accounts import Intake
    from rhoa.cohort.identity import Study
    from rhoa.cohort.tables import Cell, Table
    from rhoa.pose.sides import Side

KNEES = re.compile(r"(V[0-9]{2})?XRKL", re.IGNORECASE)  # grades in the OAI's readings of knees


@dataclass(frozen=True, slots=True)
class CheckColumns:
    """Columns of CHECK's tables, in either layout; upper and lower case make no difference.

    A row a hip: ``id`` (3088_T02_APL) and ``grade``. A row a subject: ``subject`` and a column of
    grades a visit and side, named by ``wide``, in which {visit} stands for 0, 2, 5, 8 or 10 and
    {side} for li (left) or re (right).
    """

    id: str = "id"
    grade: str = "KL_def"
    subject: str = "nsin"
    wide: str = "T{visit}_H_{side}_KL_def"


@dataclass(frozen=True, slots=True)
class OaiColumns:
    """Columns of the OAI's tables of readings, a row a hip; case makes no difference."""

    subject: str = "ID"
    side: str | None = None
    """None for SIDE or hip, whichever the table has."""
    visit: str | None = None
    """The column of visits, for a table that has one column of grades for all of them."""
    only: Mapping[str, float | str] = field(default_factory=dict)
    """Rows that count, by a column's value: {"READPRJ": 40}, say, where projects read one hip."""


CHECK_COLUMNS = CheckColumns()
CHECK_CODES = Codes(prosthesis=(5,), missing=(9,))
OAI_COLUMNS = OaiColumns()
OAI_CODES = Codes(prosthesis=(".P",))


def check(
    table: str | PathLike[str],
    images: str | PathLike[str] | None = None,
    *,
    visits: Sequence[str] | None = None,
    columns: CheckColumns = CHECK_COLUMNS,
    codes: Codes = CHECK_CODES,
) -> Intake:
    """The hips of a CHECK table that have a grade and an image, and counts of all others.

    Parameters
    ----------
    table
        ``.sav``, ``.sas7bdat``, ``.csv`` or ``.txt``, in one of the layouts of `CheckColumns`.
    images
        Folder of images (PNG, JPEG, TIFF; ``.dcm``) of one hip each, such as
        ``0003088_T00_APL.png``, with its subfolders.
        Zeros before the number and a word such as ``Cropped_`` make no difference. None for a
        manifest of the names that images are expected to have.
    visits
        Visits wanted, of T00, T02, T05, T08 and T10; None for all that the table has.
    columns
        Names of columns, where a release has others.
    codes
        What stands for a prosthesis and for a missing grade: 5 and 9, as far as published code on
        CHECK tells. Other numbers are errors until they are named here.

    Returns
    -------
    Intake
        ``manifest`` (source xray; in order of subject, visit and side; KL 1 is in it without a
        label) and ``flow``.

    Raises
    ------
    ManifestError
        If columns are absent, values are wrong, a hip has two grades or two images, or none is
        left.
    MissingExtraError
        If the table is SPSS's or SAS's and pyreadstat is not installed.

    Examples
    --------
    >>> import os, pathlib, tempfile
    >>> table = pathlib.Path(tempfile.mkdtemp()) / "scores.csv"
    >>> rows = ["id,KL_def", "3088_T00_APL,2.0", "3088_T00_APR,1.0", "3088_T02_APL,9.0"]
    >>> _ = table.write_text(os.linesep.join(rows))
    >>> intake = check(table)
    >>> [(str(hip.image), hip.side, hip.visit, hip.label) for hip in intake.manifest]
    [('0003088_T00_APL.png', 'left', 'T00', 1), ('0003088_T00_APR.png', 'right', 'T00', None)]
    >>> print(intake.flow)
    3 rows: 3 hips
    - 1 without a grade (9: 1)
    = 2 in the manifest, 1 of them KL 1 without a label
    """
    source = open_table(table)
    request = Request(CHECK, images, _visits(visits, CHECK), codes)
    grades = _grade_columns(source, columns.wide, CHECK)
    is_long = None not in {source.find(columns.id), source.find(columns.grade)}
    is_wide = source.find(columns.subject) is not None and bool(grades)
    if is_long == is_wide:
        raise ManifestError(
            f"{source.path.name}: has the columns of {'both layouts' if is_long else 'no layout'}; "
            f"it needs {columns.id} and {columns.grade} (a row a hip), or {columns.subject} and "
            f"{columns.wide} (a row a subject); it has {source.listed()}; pass "
            "columns=rhoa.cohort.CheckColumns(...)."
        )
    if is_long:
        rows, claims = _check_hips(source, columns)
    else:
        _require_sides(source, grades, request.visits)
        rows, claims = _check_subjects(source, columns, grades)
    return take(source.path.name, rows, claims, request)


def oai(
    table: str | PathLike[str],
    images: str | PathLike[str] | None = None,
    *,
    grade: str,
    visits: Sequence[str] | None = None,
    columns: OaiColumns = OAI_COLUMNS,
    codes: Codes = OAI_CODES,
) -> Intake:
    """The hips of an OAI table that have a grade and an image, and counts of all others.

    Parameters
    ----------
    table
        ``.txt`` (the OAI's ASCII, separated by bars), ``.sas7bdat``, ``.csv`` or ``.sav``: a row a
        hip, with ``ID``, ``SIDE`` (1 right, 2 left) or ``hip`` (R, L), and grades.
    images
        Folder of images (PNG, JPEG, TIFF; ``.dcm``) of one hip each, such as
        ``9000099_V00_APL.png`` or ``OI00_9000099_APL.png``, with its subfolders. None for a
        manifest of the names that images are expected to have.
    grade
        The column of Kellgren-Lawrence grades of hips; {visit} in it stands for 00, 06 and the
        like. No name is assumed: the OAI's readings of hips (``hxr_sq00``) are known to hold
        features (``V00HJSNSM``), and its knees' ``V00XRKL`` must not pass for hips.
    visits
        Visits wanted: V00 (baseline) and V06 (48 months) have pelvis X-rays. None for all that the
        table has.
    columns
        Names of the other columns, and which readings count.
    codes
        What stands for a prosthesis and for a missing grade, beside the OAI's missing values
        (``.``, ``.A`` to ``.Z``, ``.: Missing Form/Incomplete Workbook``).

    Returns
    -------
    Intake
        ``manifest`` (source xray; in order of subject, visit and side; KL 1 is in it without a
        label) and ``flow``.

    Raises
    ------
    ManifestError
        If columns are absent, values are wrong, a hip has two grades or two images, or none is
        left.
    ParameterError
        If ``grade`` names the knees' column, or neither it nor ``columns`` tells the visit.
    MissingExtraError
        If the table is SPSS's or SAS's and pyreadstat is not installed.

    Examples
    --------
    >>> import os, pathlib, tempfile
    >>> table = pathlib.Path(tempfile.mkdtemp()) / "hips.txt"
    >>> rows = ["ID|SIDE|V00HKL", "9000099|1: Right|3: Moderate", "9000099|2: Left|.P: Prosthetic"]
    >>> _ = table.write_text(os.linesep.join(rows))
    >>> intake = oai(table, grade="V{visit}HKL")
    >>> [(str(hip.image), hip.side, hip.kl) for hip in intake.manifest]
    [('9000099_V00_APR.png', 'right', 3)]
    >>> intake.flow.prosthesis
    1
    """
    if KNEES.fullmatch(grade.replace("{visit}", "00")):
        raise ParameterError(f"grade must name a column of hips; {grade!r} is of the OAI's knees.")
    if ("{visit}" in grade) == (columns.visit is not None):
        raise ParameterError(
            "the visit must be told by {visit} in grade or by a column, OaiColumns(visit=...), not "
            f"by {'both' if columns.visit else 'neither'}; got grade={grade!r}."
        )
    source = open_table(table)
    request = Request(OAI, images, _visits(visits, OAI), codes)
    rows, claims = _oai_hips(source, grade, columns)
    return take(source.path.name, rows, claims, request)


class _Grades(NamedTuple):
    """A column of grades, and the visit and side that its name tells."""

    column: str
    visit: str | None
    side: Side | None


def _check_hips(source: Table, columns: CheckColumns) -> tuple[int, list[Claim]]:
    id_column, grade = source.require([columns.id, columns.grade], "pass columns=")
    claims, faults = [], Faults(source.path.name)
    rows = list(source.rows([id_column, grade]))
    for row in rows:
        hip = CHECK.hip(row.cells[id_column].text)
        if hip is None:
            faults.add(row.where, "id")
        else:
            claims.append(Claim(row.where, hip, row.cells[grade]))
    faults.settle("an id is subject, visit and side, such as NUMBER_T02_APL; correct them")
    return len(rows), claims


def _check_subjects(
    source: Table, columns: CheckColumns, grades: Sequence[_Grades]
) -> tuple[int, list[Claim]]:
    (subject_column,) = source.require([columns.subject], "pass columns=")
    claims, faults = [], Faults(source.path.name)
    rows = list(source.rows([subject_column, *(column for column, _, _ in grades)]))
    for row in rows:
        subject = subject_of(row.cells[subject_column].text)
        if subject is None:
            faults.add(row.where, "subject")
            continue
        for column, visit, side in grades:
            if visit and side:
                where = f"{row.where}, {column}"
                claims.append(Claim(where, HipId(subject, visit, side), row.cells[column]))
    faults.settle("a subject is a number; correct them")
    return len(rows), claims


def _oai_hips(source: Table, grade: str, columns: OaiColumns) -> tuple[int, list[Claim]]:
    side = columns.side or next((name for name in ("SIDE", "hip") if source.find(name)), "SIDE")
    grades = _grade_columns(source, grade, OAI)
    names = [columns.subject, side, columns.visit or side, *columns.only]
    remedy = "pass grade= and columns=rhoa.cohort.OaiColumns(...)"
    found = source.require([*names, *([] if grades else [grade])], remedy)
    only = dict(zip(found[3:], map(plain_code, map(str, columns.only.values())), strict=False))
    claims, faults = [], Faults(source.path.name)
    rows = list(source.rows([*found, *(column for column, _, _ in grades)]))
    for row in rows:
        subject, which, time = (row.cells[column] for column in found[:3])
        number, side_named = subject_of(subject.text), _oai_side(which)
        visits = [OAI.visit(time.text) if columns.visit else visit for _, visit, _ in grades]
        if number is None:
            faults.add(row.where, "subject")
        if side_named is None:
            faults.add(row.where, "side", which.text)
        if None in visits:
            faults.add(row.where, "visit", time.text)
        counts = all(plain_code(row.cells[name].text) == code for name, code in only.items())
        for (column, _, _), visit in zip(grades, visits, strict=True):
            if number and side_named and visit:
                hip = HipId(number, visit, side_named)
                claims.append(Claim(row.where, hip, row.cells[column], counts))
    faults.settle(
        "a subject is a number, a side 1 or R (right), 2 or L (left), a visit V00 to V11; "
        "correct them"
    )
    return len(rows), claims


def _grade_columns(source: Table, template: str, study: Study) -> list[_Grades]:
    """The columns whose names fit the template, with the visits and sides in them."""
    words = "|".join(word for side in SIDES for word in SIDE_WORDS[side])
    pattern = re.escape(template)
    pattern = pattern.replace(re.escape("{visit}"), "(?P<visit>[0-9]{1,2})", 1)
    pattern = pattern.replace(re.escape("{side}"), f"(?P<side>{words})", 1)
    grades = []
    for column in source.columns:
        if match := re.fullmatch(pattern, column, re.IGNORECASE):
            told = match.groupdict()
            visit = study.visit(told["visit"]) if "visit" in told else None
            if visit or "visit" not in told:
                grades.append(_Grades(column, visit, side_of(told.get("side", ""))))
    return grades


def _oai_side(cell: Cell) -> Side | None:
    """The side of a cell such as "1: Right"; None too where its number and word disagree."""
    side = side_of(cell.text, OAI_SIDES)
    return None if cell.label and side_of(cell.label) != side else side


def _visits(visits: Sequence[str] | None, study: Study) -> frozenset[str] | None:
    if visits is None:
        return None
    wanted = [visits] if isinstance(visits, str) else [str(visit) for visit in visits]
    named = {visit: study.visit(visit) for visit in wanted}
    if not named or None in named.values():
        raise ParameterError(
            f"visits must be some of {study.letter}00 to {study.letter}{study.last_visit:02d} of "
            f"{study.name}; got {wanted!r}."
        )
    return frozenset(visit for visit in named.values() if visit)


def _require_sides(source: Table, grades: Sequence[_Grades], wanted: frozenset[str] | None) -> None:
    """Refuse a visit with grades of one side, or with two columns of one side."""
    columns = Counter(
        (visit, side) for _, visit, side in grades if wanted is None or visit in wanted
    )
    for visit, _ in columns:
        if [columns[visit, side] for side in SIDES] != [1, 1]:
            raise ManifestError(
                f"{source.path.name}: visit {visit} has {columns[visit, 'left']} columns of grades "
                f"of left hips and {columns[visit, 'right']} of right ones; it needs one of each; "
                "pass columns=rhoa.cohort.CheckColumns(wide=...) or other visits=."
            )

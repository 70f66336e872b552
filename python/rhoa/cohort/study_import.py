"""The tables of the CHECK and OAI studies as manifests, with counts that add up to the row."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from rhoa._types import SIDES
from rhoa.cohort.manifest import Hip, Manifest, label_of
from rhoa.errors import ManifestError, MissingFileError, ParameterError, require_choice
from rhoa.files import atomic_write
from rhoa.hips.crop_files import crop_label, encode_crop, read_crop
from rhoa.tables import number_text, open_table, whole
from rhoa.xray.reader import PICTURES

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from os import PathLike

    from rhoa._types import Side
    from rhoa.tables import Cell, Table


# Who a hip is in a study: subject, visit and side, however a table or an image spells them.

SIDE_WORDS: Mapping[Side, tuple[str, ...]] = {
    "left": ("left", "l", "apl", "li", "links"),  # CHECK's tables are Dutch: links, rechts
    "right": ("right", "r", "apr", "re", "rechts"),
}
OAI_SIDES: Mapping[str, Side] = {"1": "right", "2": "left"}  # SIDE in the OAI's tables of readings
LONGEST_SUBJECT = 7  # digits
LEAST_MONTHS = 18  # that a bare number may mean: below, it is a visit or a slip


class HipId(NamedTuple):
    """A hip at a visit: subject without leading zeros, visit ("T02", "V00"), side."""

    subject: str
    visit: str
    side: Side


@dataclass(frozen=True, slots=True)
class Study:
    """How a study numbers its visits: the letter, others that images bear, and the last number."""

    name: str
    letter: str
    other_letters: tuple[str, ...]
    last_visit: int
    months: Mapping[int, int]
    """Visits by their months after the first; a bare number is of months from 18 on."""

    def visit(self, text: str) -> str | None:
        """``T02`` from T02, T2, 02, 2, 2.0 or 24m; None where it is no visit of the study.

        Examples
        --------
        >>> CHECK.visit("t2"), CHECK.visit("T11"), OAI.visit("6"), OAI.visit("48"), OAI.visit("00m")
        ('T02', None, 'V06', 'V06', 'V00')
        """
        letters = "|".join((self.letter, *self.other_letters))
        late = re.fullmatch(r"([0-9]{1,3}) ?(m|mo|months?)?", whole(text), re.IGNORECASE)
        if late is not None and (late[2] or int(late[1]) >= LEAST_MONTHS):
            number = self.months.get(int(late[1]))
            return None if number is None else f"{self.letter}{number:02d}"
        match = re.fullmatch(rf"(?:{letters})?([0-9]{{1,2}})", whole(text), re.IGNORECASE)
        if match is None or int(match[1]) > self.last_visit:
            return None
        return f"{self.letter}{int(match[1]):02d}"

    def hip(self, text: str) -> HipId | None:
        """The hip of an id such as 3088_T02_APL, zero-padded or not; None where it is no id.

        Subject, visit and side, or visit, subject and side (OI00_9000099_APL).

        Examples
        --------
        >>> CHECK.hip("0003088_T02_APL")
        HipId(subject='3088', visit='T02', side='left')
        """
        parts = text.strip().split("_")
        if len(parts) != 3:
            return None
        first, second, last = parts
        for subject, visit in ((first, second), (second, first)):
            # A bare number is no visit here: it may be the subject.
            named = self.visit(visit) if visit[:1].isalpha() else None
            found, side = subject_of(subject), side_of(last)
            if found and named and side:
                return HipId(found, named, side)
        return None

    def is_film(self, stem: str) -> bool:
        """Whether a name is a subject's and a visit's without a side: a film of both hips.

        Examples
        --------
        >>> CHECK.is_film("0003088_T00_AP"), OAI.is_film("OI00_9000099"), CHECK.is_film("logo")
        (True, True, False)
        """
        bare = re.sub(r"_(ap|pelvis|both|hips?)$", "", stem.strip(), flags=re.IGNORECASE)
        return self.image(f"{bare}_L") is not None

    def image(self, stem: str) -> HipId | None:
        """The hip of an image by its name, which may have a word before it: Cropped_3088_T00_APR.

        Examples
        --------
        >>> CHECK.image("Cropped_0003088_T00_APR")
        HipId(subject='3088', visit='T00', side='right')
        """
        bare = re.sub(r"^[A-Za-z]+_", "", stem.strip())
        return self.hip(stem) or self.hip(bare)

    def image_name(self, hip: HipId) -> str:
        """The name that an image of the hip has in the study.

        Examples
        --------
        >>> CHECK.image_name(HipId("3088", "T02", "left"))
        '0003088_T02_APL'
        """
        letter = "L" if hip.side == "left" else "R"
        return f"{hip.subject:0>{LONGEST_SUBJECT}}_{hip.visit}_AP{letter}"


CHECK = Study("CHECK", "T", (), 10, {12 * years: years for years in (0, 2, 5, 8, 10)})
OAI = Study(
    "OAI",
    "V",
    ("OI",),
    11,
    {0: 0, 12: 1, 18: 2, 24: 3, 30: 4, 36: 5, 48: 6, 60: 7, 72: 8, 84: 9, 96: 10, 108: 11},
)


def subject_of(text: str) -> str | None:
    """A subject's number without leading zeros; None where it is none."""
    match = re.fullmatch(rf"0*([0-9]{{1,{LONGEST_SUBJECT}}})", whole(text))
    return match and match[1]


def side_of(text: str, numbers: Mapping[str, Side] | None = None) -> Side | None:
    """The side that a word or, where a study has them, a number means; None where it is none."""
    word = whole(text).casefold()
    if numbers and word in numbers:
        return numbers[word]
    return next((side for side in SIDES if word in SIDE_WORDS[side]), None)


def in_order(hip: HipId) -> tuple[int, str, str]:
    """What hips are sorted by: the subject's number, visit, side."""
    return int(hip.subject), hip.visit, hip.side


# What became of every row of a study's table and of every image beside it, in counts.


@dataclass(frozen=True, slots=True)
class ImageFlow:
    """Images of a folder: those found are those used and the three kinds that are not."""

    found: int
    used: int
    """In the manifest."""
    left_out: int
    """Of hips that the table has and the manifest does not."""
    without_row: int
    """Of hips that the table does not have."""
    other_names: int
    """Whose names are no hip's."""
    films: int = 0
    """Of ``other_names``, those of both hips by their names: their hips must be cropped first."""


@dataclass(frozen=True, slots=True)
class TableFlow:
    """Hips of a table: each is counted once, by the first reason that leaves it out, or as kept.

    ``hips`` is ``other_readings + other_visits + repeated + prosthesis + ungraded + without_image +
    kept``, and ``kept`` is the length of the manifest.
    """

    rows: int
    """Rows of the table."""
    hips: int
    """Hips at visits that the rows state: one a row, or one a row and column of grades."""
    other_readings: int
    """In rows that ``only`` leaves out."""
    other_visits: int
    repeated: int
    """Stated again, with the same grade."""
    prosthesis: int
    ungraded_by_code: Mapping[str, int]
    """Without a grade, by the code in its place; "empty" where there is none."""
    without_image: int
    kept: int
    doubtful: int
    """Kept hips of KL 1, which have no label."""
    images: ImageFlow | None
    """None where no folder of images was given."""

    @property
    def ungraded(self) -> int:
        """Hips without a grade."""
        return sum(self.ungraded_by_code.values())

    def __str__(self) -> str:
        codes = ", ".join(f"{code}: {count}" for code, count in self.ungraded_by_code.items())
        steps = [
            (self.other_readings, "of other readings"),
            (self.other_visits, "of other visits"),
            (self.repeated, "repeated"),
            (self.prosthesis, "with a prosthesis"),
            (self.ungraded, f"without a grade ({codes})"),
            (self.without_image, "without an image"),
        ]
        lines = [f"{self.rows} rows: {self.hips} hips"]
        lines += [f"- {count} {reason}" for count, reason in steps if count]
        lines.append(f"= {self.kept} in the manifest, {self.doubtful} of them KL 1 without a label")
        if self.images is not None:
            seen = self.images
            lines.append(
                f"{seen.found} images: {seen.used} used, {seen.left_out} of hips left out, "
                f"{seen.without_row} without a row, {seen.other_names} with other names"
            )
            if seen.films:
                lines.append(
                    f"{seen.films} of those are films of both hips: crop their hips first "
                    "(`rhoa hips scans.csv`, `rhoa xray --detector`)"
                )
        return "\n".join(lines)


@dataclass(frozen=True, slots=True)
class Intake:
    """What a study's table became: the manifest, and the counts of what did not come along."""

    manifest: Manifest
    flow: TableFlow


# From what a table states of hips, and a folder of images, to a manifest and its counts.

IMAGES = (*PICTURES, ".dcm")
GRADES = frozenset("01234")
Readings = Literal["same", "first", "median", "highest"]
READINGS: tuple[Readings, ...] = ("same", "first", "median", "highest")
SHOWN = 5  # wrong values that a message lists
SHORT = 3  # characters that a value may have to be repeated in a message: no subject's number


@dataclass(frozen=True, slots=True)
class Codes:
    """What stands in the place of a grade: numbers or texts as the table has them."""

    prosthesis: tuple[float | str, ...] = ()
    missing: tuple[float | str, ...] = ()
    """Beside empty cells and values that the table itself declares missing."""

    def __post_init__(self) -> None:
        prosthesis, missing = plain(self.prosthesis), plain(self.missing)
        if wrong := (prosthesis & missing) | ((prosthesis | missing) & GRADES):
            raise ParameterError(
                "codes must be no grades (0 to 4), and none both prosthesis and missing; "
                f"got {', '.join(sorted(wrong))}."
            )


class TableEntry(NamedTuple):
    """What a table says at one place of one hip: the cell of its grade, and whether it counts."""

    where: str
    hip: HipId
    grade: Cell
    counts: bool = True


class GradeCell(NamedTuple):
    """What the cell of a grade means: a grade, a prosthesis, or the code of a missing grade."""

    kl: int | None
    prosthesis: bool = False
    code: str = ""


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked of a table."""

    study: Study
    images: str | PathLike[str] | None
    visits: frozenset[str] | None
    """None for all."""
    codes: Codes
    out: str | PathLike[str] | None
    readings: Readings
    mirrored: bool

    def __post_init__(self) -> None:
        require_choice("readings", self.readings, READINGS)
        if self.out is not None and self.images is None:
            raise ParameterError(
                "out is for crops of images; pass images=, the folder they are in."
            )


class Faults:
    """Wrong values of a table, collected so that one message lists all."""

    def __init__(self, table: str) -> None:
        self._table = table
        self._found: list[str] = []

    def add(self, where: str, what: str, text: str | None = None) -> None:
        """Note a wrong value; its text is shown only where it is too short to name a subject."""
        value = "" if text is None else f" {text!r}" if len(text) <= SHORT else " (not shown)"
        self._found.append(f"{where}: {what}{value}")

    def settle(self, needed: str) -> None:
        """Raise if there were any."""
        if self._found:
            more = "; ..." if len(self._found) > SHOWN else ""
            raise ManifestError(
                f"{self._table}: {len(self._found)} values are wrong "
                f"({'; '.join(self._found[:SHOWN])}{more}); {needed}."
            )


def import_table(table: str, rows: int, entries: Iterable[TableEntry], request: Request) -> Intake:
    """The manifest of the hips that count, have a grade and an image, and the counts of all."""
    entries = list(entries)
    there = {entry.hip.visit for entry in entries}
    if request.visits is not None and not request.visits <= there:
        raise ManifestError(
            f"{table}: has no hips of the visits {', '.join(sorted(request.visits - there))}; it "
            f"has {', '.join(sorted(there)) or 'none'}; pass visits= it has."
        )
    counting = [entry for entry in entries if entry.counts]
    wanted = [c for c in counting if request.visits is None or c.hip.visit in request.visits]
    outcomes = _outcomes(table, wanted, request)
    graded = {hip: o.kl for hip, o in outcomes.items() if o.kl is not None}
    ungraded = Counter(o.code for o in outcomes.values() if o.kl is None and not o.prosthesis)
    paths, others, films = (None, 0, 0) if request.images is None else _images(request)
    hips = []
    for hip in sorted(graded, key=in_order):
        name = Path(f"{request.study.image_name(hip)}.png")
        path = name if paths is None else paths.get(hip)
        if path is not None:
            kl = graded[hip]
            hips.append(Hip(path, hip.subject, hip.side, "xray", kl, hip.visit, label_of(kl)))
    if request.out is not None:
        hips = _standing_alike(hips, Path(request.out), mirrored=request.mirrored)
    images = None
    if paths is not None:
        with_row = len(paths.keys() & {entry.hip for entry in entries})
        images = ImageFlow(
            found=len(paths) + others,
            used=len(hips),
            left_out=with_row - len(hips),
            without_row=len(paths) - with_row,
            other_names=others,
            films=films,
        )
    flow = TableFlow(
        rows=rows,
        hips=len(entries),
        other_readings=len(entries) - len(counting),
        other_visits=len(counting) - len(wanted),
        repeated=len(wanted) - len(outcomes),
        prosthesis=sum(outcome.prosthesis for outcome in outcomes.values()),
        ungraded_by_code=dict(sorted(ungraded.items())),
        without_image=len(graded) - len(hips),
        kept=len(hips),
        doubtful=sum(hip.kl == 1 for hip in hips),
        images=images,
    )
    if not hips:
        raise ManifestError(f"{table}: no hip is left. What became of them:\n{flow}")
    return Intake(Manifest(tuple(hips)), flow)


def plain(codes: Iterable[float | str]) -> frozenset[str]:
    """Codes as `plain_code` writes them."""
    return frozenset(plain_code(str(code)) for code in codes)


def plain_code(text: str) -> str:
    """A code without what numbers may vary in: "9.0" is "9", ".p" is ".P"."""
    try:
        return number_text(float(text))
    except ValueError:
        return text.strip().upper()


def _outcomes(
    table: str, entries: Sequence[TableEntry], request: Request
) -> dict[HipId, GradeCell]:
    """What is known of each hip; a missing reading beside another one says nothing."""
    codes = request.codes
    prosthesis, missing = plain(codes.prosthesis), plain(codes.missing)
    read: dict[HipId, list[tuple[str, GradeCell]]] = {}
    faults, clashes = Faults(table), []
    for where, hip, grade, _ in entries:
        code = plain_code(grade.text)
        if code in prosthesis:
            outcome = GradeCell(None, prosthesis=True)
        elif grade.missing or code in missing:
            outcome = GradeCell(None, code=code or "empty")
        elif code in GRADES:
            outcome = GradeCell(int(code))
        else:
            faults.add(where, "grade", grade.text)
            continue
        read.setdefault(hip, []).append((where, outcome))
    faults.settle(
        "grades are 0 to 4; correct them, or name the codes: codes=rhoa.cohort.Codes(...)"
    )
    outcomes: dict[HipId, GradeCell] = {}
    for hip, readings in read.items():
        stated = [(where, one) for where, one in readings if one.kl is not None or one.prosthesis]
        grades = sorted(one.kl for _, one in stated if one.kl is not None)
        first = (stated or readings)[0]
        outcomes[hip] = first[1]
        others = [where for where, one in stated if one != first[1]]
        if others and (request.readings == "same" or len(grades) < len(stated)):
            clashes.append(f"{first[0]} and {others[0]}")
        elif request.readings == "median" and grades:  # of two in the middle, the higher
            outcomes[hip] = GradeCell(grades[len(grades) // 2])
        elif request.readings == "highest" and grades:
            outcomes[hip] = GradeCell(grades[-1])
    if clashes:
        more = "; ..." if len(clashes) > SHOWN else ""
        rule = (
            ""
            if request.readings != "same"
            else (', or name the rule of several readers: readings="median", "highest" or "first"')
        )
        raise ManifestError(
            f"{table}: {len(clashes)} times a hip is stated again with another grade "
            f"({'; '.join(clashes[:SHOWN])}{more}); a hip has one grade a visit; remove the rows "
            f"that do not hold{rule}."
        )
    return outcomes


def _standing_alike(hips: Iterable[Hip], out: Path, *, mirrored: bool) -> list[Hip]:
    """The hips with crops of their own in ``out``, right ones mirrored, which say that they are."""
    out.mkdir(parents=True, exist_ok=True)
    placed = []
    for hip in hips:
        levels = read_crop(hip.crop, side=hip.side, accept=("label", "size", "shape"))
        label = crop_label(hip.crop)
        turned = mirrored or label.get("mirrored") == "yes"
        if hip.side == "right" and not turned:
            levels = levels[:, ::-1]
        file = out / f"{hip.crop.stem}.png"
        grey = (np.clip(levels, 0, 255) + 0.5).astype(np.uint8)
        atomic_write(file, encode_crop(grey, side=hip.side, source="xray"))
        placed.append(replace(hip, image=file))
    if len({hip.image for hip in placed}) < len(placed):
        raise ManifestError(
            f"{out.name}: two images have one name in different folders; give each its own."
        )
    return placed


def _images(request: Request) -> tuple[dict[HipId, Path], int, int]:
    """Images by the hip that their names state; how many state none, and how many of both."""
    folder = Path(request.images or ".")
    if not folder.is_dir():
        raise MissingFileError(f"{folder.name}: no such folder of images; check the path.")
    crops = None if request.out is None else Path(request.out).resolve()
    paths: dict[HipId, Path] = {}
    others = again = films = 0
    for path in sorted(folder.rglob("*")):
        own = crops is not None and path.resolve().is_relative_to(crops)
        if path.suffix.lower() not in IMAGES or own or not path.is_file():
            continue
        hip = request.study.image(path.stem)
        if hip is None:
            others += 1
            films += request.study.is_film(path.stem)
        elif paths.setdefault(hip, path) != path:
            again += 1
    if again:
        raise ManifestError(
            f"{folder.name}: {again} images are of hips and visits that another image is of; each "
            "needs one image; move the others away."
        )
    return paths, others, films


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
    out: str | PathLike[str] | None = None,
    readings: Readings = "same",
    mirrored: bool = False,
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
    out
        Folder for crops of the hips as 8-bit PNG, right ones mirrored, which the manifest then
        names: images may be PNG of 8 or 16 bits, TIFF, JPEG or DICOM. None where images are used as
        they are, and right hips are mirrored already.
    readings
        Of a hip that has several grades at a visit: ``"same"`` (they must be), ``"first"``,
        ``"median"`` (of two in the middle the higher) or ``"highest"``. A missing reading beside
        another one says nothing.
    mirrored
        Whether images of right hips are mirrored already, so that ``out`` leaves them so.

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
    request = Request(CHECK, images, _visits(visits, CHECK), codes, out, readings, mirrored)
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
        rows, entries = _check_hips(source, columns)
    else:
        _require_sides(source, grades, request.visits)
        rows, entries = _check_subjects(source, columns, grades)
    return import_table(source.path.name, rows, entries, request)


def oai(
    table: str | PathLike[str],
    images: str | PathLike[str] | None = None,
    *,
    grade: str,
    visits: Sequence[str] | None = None,
    columns: OaiColumns = OAI_COLUMNS,
    codes: Codes = OAI_CODES,
    out: str | PathLike[str] | None = None,
    readings: Readings = "same",
    mirrored: bool = False,
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
    out, readings, mirrored
        As of `check`.

    Returns
    -------
    Intake
        As of `check`.

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
            "give the visit by {visit} in grade or by a column, OaiColumns(visit=...), not "
            f"by {'both' if columns.visit else 'neither'}; got grade={grade!r}."
        )
    source = open_table(table)
    request = Request(OAI, images, _visits(visits, OAI), codes, out, readings, mirrored)
    rows, entries = _oai_hips(source, grade, columns)
    return import_table(source.path.name, rows, entries, request)


class _Grades(NamedTuple):
    """A column of grades, and the visit and side that its name states."""

    column: str
    visit: str | None
    side: Side | None


def _check_hips(source: Table, columns: CheckColumns) -> tuple[int, list[TableEntry]]:
    id_column, grade = source.require([columns.id, columns.grade], "pass columns=")
    entries, faults = [], Faults(source.path.name)
    rows = list(source.rows([id_column, grade]))
    for row in rows:
        hip = CHECK.hip(row.cells[id_column].text)
        if hip is None:
            faults.add(row.where, "id")
        else:
            entries.append(TableEntry(row.where, hip, row.cells[grade]))
    faults.settle("an id is subject, visit and side, such as NUMBER_T02_APL; correct them")
    return len(rows), entries


def _check_subjects(
    source: Table, columns: CheckColumns, grades: Sequence[_Grades]
) -> tuple[int, list[TableEntry]]:
    (subject_column,) = source.require([columns.subject], "pass columns=")
    entries, faults = [], Faults(source.path.name)
    rows = list(source.rows([subject_column, *(column for column, _, _ in grades)]))
    for row in rows:
        subject = subject_of(row.cells[subject_column].text)
        if subject is None:
            faults.add(row.where, "subject")
            continue
        for column, visit, side in grades:
            if visit and side:
                where = f"{row.where}, {column}"
                entries.append(TableEntry(where, HipId(subject, visit, side), row.cells[column]))
    faults.settle("a subject is a number; correct them")
    return len(rows), entries


def _oai_hips(source: Table, grade: str, columns: OaiColumns) -> tuple[int, list[TableEntry]]:
    side = columns.side or next((name for name in ("SIDE", "hip") if source.find(name)), "SIDE")
    grades = _grade_columns(source, grade, OAI)
    names = [columns.subject, side, columns.visit or side, *columns.only]
    remedy = "pass grade= and columns=rhoa.cohort.OaiColumns(...)"
    found = source.require([*names, *([] if grades else [grade])], remedy)
    only = dict(zip(found[3:], map(plain_code, map(str, columns.only.values())), strict=False))
    entries, faults = [], Faults(source.path.name)
    rows = list(source.rows([*found, *(column for column, _, _ in grades)]))
    for row in rows:
        subject, which, time = (row.cells[column] for column in found[:3])
        number, side_named = subject_of(subject.text), side_of(which.text, OAI_SIDES)
        if which.label and side_of(which.label) != side_named:  # "1: Right" says it twice
            side_named = None
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
                entries.append(TableEntry(row.where, hip, row.cells[column], counts))
    faults.settle(
        "a subject is a number, a side 1 or R (right), 2 or L (left), a visit V00 to V11; "
        "correct them"
    )
    return len(rows), entries


def _grade_columns(source: Table, template: str, study: Study) -> list[_Grades]:
    """The columns whose names fit the template, with the visits and sides in them."""
    words = "|".join(word for side in SIDES for word in SIDE_WORDS[side])
    pattern = re.escape(template)
    pattern = pattern.replace(re.escape("{visit}"), "(?P<visit>[0-9]{1,2})", 1)
    pattern = pattern.replace(re.escape("{side}"), f"(?P<side>{words})", 1)
    grades = []
    for column in source.columns:
        if match := re.fullmatch(pattern, column, re.IGNORECASE):
            stated = match.groupdict()
            visit = study.visit(stated["visit"]) if "visit" in stated else None
            if visit or "visit" not in stated:
                grades.append(_Grades(column, visit, side_of(stated.get("side", ""))))
    return grades


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

"""From what a table states of hips, and a folder of images, to a manifest and its counts."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from rhoa.cohort.accounts import ImageFlow, Intake, TableFlow
from rhoa.cohort.identity import HipId, in_order
from rhoa.cohort.manifest import Hip, Manifest, label_of
from rhoa.cohort.tables import number_text
from rhoa.errors import ManifestError, MissingFileError, ParameterError
from rhoa.hips.xray import PICTURES

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from os import PathLike

    from rhoa.cohort.identity import Study
    from rhoa.cohort.tables import Cell

IMAGES = (*PICTURES, ".dcm")
GRADES = frozenset("01234")
SHOWN = 5  # wrong values that a message tells of
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


class Claim(NamedTuple):
    """What a table says at one place of one hip: the cell of its grade, and whether it counts."""

    where: str
    hip: HipId
    grade: Cell
    counts: bool = True


class Outcome(NamedTuple):
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


class Faults:
    """Wrong values of a table, collected so that one message tells of all."""

    def __init__(self, table: str) -> None:
        self._table = table
        self._found: list[str] = []

    def add(self, where: str, what: str, text: str | None = None) -> None:
        """Note a wrong value; its text is told only where it is too short to name a subject."""
        told = "" if text is None else f" {text!r}" if len(text) <= SHORT else " (not shown)"
        self._found.append(f"{where}: {what}{told}")

    def settle(self, needed: str) -> None:
        """Raise if there were any."""
        if self._found:
            more = "; ..." if len(self._found) > SHOWN else ""
            raise ManifestError(
                f"{self._table}: {len(self._found)} values are wrong "
                f"({'; '.join(self._found[:SHOWN])}{more}); {needed}."
            )


def take(table: str, rows: int, claims: Iterable[Claim], request: Request) -> Intake:
    """The manifest of the hips that count, have a grade and an image, and the counts of all."""
    claims = list(claims)
    _require_visits(table, claims, request.visits)
    counting = [claim for claim in claims if claim.counts]
    wanted = [c for c in counting if request.visits is None or c.hip.visit in request.visits]
    outcomes = _outcomes(table, wanted, request.codes)
    graded = {hip: o.kl for hip, o in outcomes.items() if o.kl is not None}
    paths, others = (None, 0) if request.images is None else _images(request)
    hips = []
    for hip in sorted(graded, key=in_order):
        name = Path(f"{request.study.image_name(hip)}.png")
        path = name if paths is None else paths.get(hip)
        if path is not None:
            kl = graded[hip]
            hips.append(Hip(path, hip.subject, hip.side, "xray", kl, hip.visit, label_of(kl)))
    flow = TableFlow(
        rows=rows,
        hips=len(claims),
        other_readings=len(claims) - len(counting),
        other_visits=len(counting) - len(wanted),
        repeated=len(wanted) - len(outcomes),
        prosthesis=sum(outcome.prosthesis for outcome in outcomes.values()),
        ungraded_by_code=_ungraded(outcomes),
        without_image=len(graded) - len(hips),
        kept=len(hips),
        doubtful=sum(hip.kl == 1 for hip in hips),
        images=None if paths is None else _image_flow(paths, others, claims, kept=len(hips)),
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


def _outcomes(table: str, claims: Sequence[Claim], codes: Codes) -> dict[HipId, Outcome]:
    prosthesis, missing = plain(codes.prosthesis), plain(codes.missing)
    outcomes: dict[HipId, Outcome] = {}
    first: dict[HipId, str] = {}
    faults, clashes = Faults(table), []
    for where, hip, grade, _ in claims:
        code = plain_code(grade.text)
        if code in prosthesis:
            outcome = Outcome(None, prosthesis=True)
        elif grade.missing or code in missing:
            outcome = Outcome(None, code=code or "empty")
        elif code in GRADES:
            outcome = Outcome(int(code))
        else:
            faults.add(where, "grade", grade.text)
            continue
        first.setdefault(hip, where)
        known = outcomes.setdefault(hip, outcome)
        if (known.kl, known.prosthesis) != (outcome.kl, outcome.prosthesis):
            clashes.append(f"{first[hip]} and {where}")
    faults.settle(
        "grades are 0 to 4; correct them, or name the codes: codes=rhoa.cohort.Codes(...)"
    )
    if clashes:
        more = "; ..." if len(clashes) > SHOWN else ""
        raise ManifestError(
            f"{table}: {len(clashes)} times a hip is stated again with another grade "
            f"({'; '.join(clashes[:SHOWN])}{more}); a hip has one grade a visit; remove the rows "
            "that do not hold."
        )
    return outcomes


def _require_visits(table: str, claims: Iterable[Claim], visits: frozenset[str] | None) -> None:
    there = {claim.hip.visit for claim in claims}
    if visits is not None and not visits <= there:
        raise ManifestError(
            f"{table}: has no hips of the visits {', '.join(sorted(visits - there))}; it has "
            f"{', '.join(sorted(there)) or 'none'}; pass visits= it has."
        )


def _ungraded(outcomes: Mapping[HipId, Outcome]) -> dict[str, int]:
    codes = Counter(o.code for o in outcomes.values() if o.kl is None and not o.prosthesis)
    return dict(sorted(codes.items()))


def _images(request: Request) -> tuple[dict[HipId, Path], int]:
    """Images by the hip that their names tell, and how many names tell none."""
    folder = Path(request.images or ".")
    if not folder.is_dir():
        raise MissingFileError(f"{folder.name}: no such folder of images; check the path.")
    paths: dict[HipId, Path] = {}
    others = again = 0
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() not in IMAGES or not path.is_file():
            continue
        hip = request.study.image(path.stem)
        if hip is None:
            others += 1
        elif paths.setdefault(hip, path) != path:
            again += 1
    if again:
        raise ManifestError(
            f"{folder.name}: {again} images are of hips and visits that another image is of; each "
            "needs one image; move the others away."
        )
    return paths, others


def _image_flow(
    paths: Mapping[HipId, Path], others: int, claims: Iterable[Claim], *, kept: int
) -> ImageFlow:
    stated = {claim.hip for claim in claims}
    with_row = len(paths.keys() & stated)
    return ImageFlow(
        found=len(paths) + others,
        used=kept,
        left_out=with_row - kept,
        without_row=len(paths) - with_row,
        other_names=others,
    )

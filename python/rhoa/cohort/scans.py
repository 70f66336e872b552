"""The list of scans that crops are made of: a table with a row a hip."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, cast

from rhoa._core import __version__
from rhoa.cohort.cases import Case, key_of
from rhoa.cohort.manifest import SOURCES, choice, exclusion_of, grade, read_rows
from rhoa.cohort.pseudonyms import patient_of
from rhoa.errors import ManifestError, ParameterError, ReadError, require_names
from rhoa.hips.refusals import accepted
from rhoa.pose.sides import SIDES
from rhoa.pose.verdict import HIP_REFUSALS
from rhoa.reading.repairs import named

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from rhoa.cohort.manifest import Source
    from rhoa.cohort.pseudonyms import Pseudonyms

COLUMNS = (
    *("subject", "source", "scan", "side", "visit", "kl", "landmarks"),
    *("top", "left", "bottom", "right"),
)
SHARED = ("subject", "source", "visit", "landmarks", "repair")
"""Columns in which the rows of one scan must agree; the last may be absent."""
EDGES = ("top", "left", "bottom", "right")


@dataclass(frozen=True, slots=True)
class Scan:
    """One scan of the list, with the rows of its hips, which it iterates over."""

    path: Path
    table: Path
    rows: tuple[tuple[int, dict[str, str]], ...]
    pseudonymous: bool = False
    """Whether its subject is called by a pseudonym, so that nothing else may name it."""
    shares_visit: bool = False
    """Whether another film of the same visit is listed: then each must be of one hip."""

    def told(self, column: str) -> str:
        """What the table says of the whole scan."""
        return self.rows[0][1].get(column, "")

    @property
    def source(self) -> Source:
        """What it is: ct or xray."""
        return cast("Source", self.told("source"))

    @property
    def where(self) -> str:
        """Its first row, for messages."""
        return f"{self.table.name}, line {self.rows[0][0]}"

    @property
    def landmarks(self) -> Path | None:
        """The file of its landmarks; None where its pose is to be found."""
        return self.table.parent / self.told("landmarks") if self.told("landmarks") else None

    @property
    def name(self) -> str:
        """A file name made of the subject and the visit."""
        return scan_name(self.told("subject"), self.told("visit"))

    def case(self) -> Case:
        """The scan as something to be done: anew where its rows or its files change."""
        names = (*SHARED, "side", "accept", *EDGES)
        rows = [{name: row.get(name, "") for name in names} for row in self]
        files = [self.path] if self.landmarks is None else [self.path, self.landmarks]
        source = f"{self.source}_{self.told('side')}" if self.shares_visit else self.source
        return Case(f"{source}-{self.name}", self, key_of([__version__, rows], *files))

    def __iter__(self) -> Iterator[dict[str, str]]:
        return (row for _, row in self.rows)


def scan_name(subject: str, visit: str) -> str:
    """A file name made of a subject and a visit."""
    whole = "_".join([subject, visit] if visit else [subject])
    safe = re.sub(r"[^A-Za-z0-9_.-]+", "-", whole).strip(".-")
    if safe == whole and "_" not in subject + visit:
        return safe
    # Different subjects must not share a name because a file system would not take theirs.
    digest = hashlib.blake2s(f"{subject}\0{visit}".encode()).hexdigest()[:8]
    return f"{safe or 'scan'}-{digest}"


def read_scans(table: Path, pseudonyms: Pseudonyms | None = None) -> list[Scan]:
    """The scans of a table, in its order, their subjects by pseudonyms where some are given.

    A scan whose subject the table leaves empty is then of the patient whom its files name.

    Raises
    ------
    ManifestError
        With the line, if a value is wrong, rows of one scan differ, or two scans have one name and
        are not the left and the right film of one visit.
    """
    grouped: dict[Path, list[tuple[int, dict[str, str]]]] = {}
    for line, row in read_rows(table, COLUMNS):
        _require_row(row, f"{table.name}, line {line}", needs_subject=pseudonyms is None)
        rows = grouped.setdefault(table.parent / row["scan"], [])
        if any(row["side"] == other["side"] for _, other in rows):
            raise ManifestError(
                f"{table.name}, line {line}: the {row['side']} hip of this scan is listed twice."
            )
        rows.append((line, row))
    if not grouped:
        raise ManifestError(f"{table.name}: the table has no rows.")
    scans = [
        Scan(path, table, tuple(rows), pseudonymous=pseudonyms is not None)
        for path, rows in grouped.items()
    ]
    for scan in scans:
        # What is accepted of a CT is accepted of a hip, of an X-ray of the whole film.
        for key in (*SHARED, *(("accept",) if scan.source == "xray" else ())):
            if any(row.get(key, "") != scan.told(key) for row in scan):
                raise ManifestError(f"{scan.where}: the rows of this scan differ in {key}.")
        if pseudonyms is not None:
            _rename(scan, pseudonyms)
    return _of_visits(scans, table)


def _of_visits(scans: list[Scan], table: Path) -> list[Scan]:
    """The scans, those marked that share their visit: a film of the left hip, one of the right."""
    visits: dict[tuple[str, str], list[Scan]] = {}
    for scan in scans:
        visits.setdefault((scan.source, scan.name.casefold()), []).append(scan)
    for (source, _), shared in visits.items():
        sides = [row["side"] for scan in shared for row in scan]
        same = source == "xray" and len({scan.name for scan in shared}) == 1
        if len(shared) > 1 and not (same and len(set(sides)) == len(sides)):
            raise ManifestError(
                f"{table.name}: two scans have the same subject and visit ({shared[0].where}, and "
                f"{shared[1].where}); number the visits."
            )
    return [
        replace(scan, shares_visit=len(visits[scan.source, scan.name.casefold()]) > 1)
        for scan in scans
    ]


def _rename(scan: Scan, pseudonyms: Pseudonyms) -> None:
    """Call the subject of a scan by a pseudonym."""
    try:
        subject = scan.told("subject") or patient_of(scan.path)
    except ReadError as error:
        raise ManifestError(
            f"{scan.where}: the scan does not say whose it is ({error}); fill the column subject."
        ) from None
    if not subject:
        raise ManifestError(
            f"{scan.where}: subject is empty, and so is PatientID in the scan; fill the column."
        )
    for row in scan:
        row["subject"] = pseudonyms.of(subject)


def _require_row(row: Mapping[str, str], where: str, *, needs_subject: bool) -> None:
    choice(row["source"], SOURCES, f"{where}: source")
    choice(row["side"], SIDES, f"{where}: side")
    grade(row["kl"], where)
    exclusion_of(row.get("exclusion", ""), where)
    try:
        if row["source"] == "ct":
            require_names("accept", row.get("accept", ""), sorted(HIP_REFUSALS), kind="refusals")
        else:
            accepted(row.get("accept", ""))
        named(row.get("repair", ""))
    except ParameterError as error:
        raise ManifestError(f"{where}: {error}") from None
    if row.get("repair") and row["source"] != "ct":
        raise ManifestError(f"{where}: repair is of source ct; leave it empty.")
    if (needs_subject and not row["subject"]) or not row["scan"]:
        raise ManifestError(f"{where}: subject or scan is empty.")

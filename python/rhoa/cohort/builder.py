"""From a list of scans to crops of hips and their manifest."""

from __future__ import annotations

import hashlib
import json
import re
import warnings
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from rhoa._core import __version__
from rhoa._types import SIDES
from rhoa.cohort.batch import RECORD, Case, key_of, run_cases
from rhoa.cohort.manifest import (
    DESCRIBING,
    SOURCES,
    VARIANTS,
    Hip,
    Manifest,
    choice,
    exclusion_of,
    grade,
    label_of,
    plain_row,
    sha256_of,
    warn_of_spellings,
)
from rhoa.cohort.pseudonyms import patient_of, redact
from rhoa.dicom.header import elements_of, scanner_name
from rhoa.errors import (
    ManifestError,
    ParameterError,
    ReadError,
    RhoaError,
    RhoaWarning,
    require_names,
    warn_user,
)
from rhoa.files import atomic_write, csv_text, list_files
from rhoa.hips import Box, extract, model_crop, read_xray, write_crop
from rhoa.hips.bounding_boxes import BoxRules, checked_box, fits
from rhoa.pose import Landmarks
from rhoa.pose.scan_coverage import HIP_REFUSALS
from rhoa.reading import read_ct
from rhoa.reading.repairs import repair_names
from rhoa.tables import plain_name, read_rows
from rhoa.xray.refusals import ASK, accepted, settled

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from os import PathLike

    import numpy as np
    from numpy.typing import NDArray

    from rhoa._types import Side
    from rhoa.cohort.batch import Outcome, Pool
    from rhoa.cohort.manifest import Source
    from rhoa.cohort.pseudonyms import Pseudonyms
    from rhoa.hips.bounding_boxes import Scaling
    from rhoa.radiograph import Radiograph


# The list of scans that crops are made of: a table with a row a hip.

COLUMNS = (
    *("subject", "source", "scan", "side", "visit", "kl", "landmarks"),
    *("top", "left", "bottom", "right"),
)
SHARED = ("subject", "source", "visit", "landmarks", "repair")
"""Columns in which the rows of one scan must agree; the last may be absent."""
EDGES = ("top", "left", "bottom", "right")


@dataclass(frozen=True, slots=True)
class ScanRows:
    """One scan of the list, with the rows of its hips, which it iterates over."""

    path: Path
    table: Path
    rows: tuple[tuple[int, dict[str, str]], ...]
    pseudonymous: bool = False
    """Whether its subject is called by a pseudonym, so that nothing else may name it."""
    shares_visit: bool = False
    """Whether another film of the same visit is listed: then each must be of one hip."""
    scaling: Scaling = "stretched"
    """Of crops of a CT, as of `rhoa.hips.extract`."""
    variants: bool = False
    """Whether crops of `rhoa.hips.extraction.VARIANTS` are made, too."""

    def value(self, column: str) -> str:
        """The value of a column that all rows of the scan share."""
        return self.rows[0][1].get(column, "")

    @property
    def source(self) -> Source:
        """What it is: ct or xray."""
        return cast("Source", self.value("source"))

    @property
    def where(self) -> str:
        """Its first row, for messages."""
        return f"{self.table.name}, line {self.rows[0][0]}"

    @property
    def landmarks(self) -> Path | None:
        """The file of its landmarks; None where its pose is to be found."""
        return self.table.parent / self.value("landmarks") if self.value("landmarks") else None

    @property
    def name(self) -> str:
        """A file name made of the subject and the visit."""
        return scan_name(self.value("subject"), self.value("visit"))

    def case(self) -> Case:
        """The scan as something to be done: anew where its rows or its files change."""
        names = (*SHARED, "side", "accept", *EDGES)
        rows = [{name: row.get(name, "") for name in names} for row in self]
        files = [self.path] if self.landmarks is None else [self.path, self.landmarks]
        source = f"{self.source}_{self.value('side')}" if self.shares_visit else self.source
        options = [VARIANTS] * self.variants + [self.scaling] * (self.scaling != "stretched")
        asked = [__version__, rows, *options]
        return Case(f"{source}-{self.name}", self, key_of(asked, *files))

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


def read_scans(table: Path, pseudonyms: Pseudonyms | None = None) -> list[ScanRows]:
    """The scans of a table, in its order, their subjects by pseudonyms where some are given.

    A scan whose subject the table leaves empty is then of the patient whom its files name.

    Raises
    ------
    ManifestError
        With the line, if a value is wrong, rows of one scan differ, or two scans have one name and
        are not the left and the right film of one visit.
    """
    grouped: dict[Path, list[tuple[int, dict[str, str]]]] = {}
    optional = ("accept", "repair", "exclusion", *DESCRIBING)
    for line, given in read_rows(table, COLUMNS, known=optional):
        row = plain_row(given)
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
        ScanRows(path, table, tuple(rows), pseudonymous=pseudonyms is not None)
        for path, rows in grouped.items()
    ]
    warn_of_spellings((scan.value("subject") for scan in scans), table)
    for scan in scans:
        # What is accepted of a CT is accepted of a hip, of an X-ray of the whole film.
        for key in (*SHARED, *(("accept",) if scan.source == "xray" else ())):
            if any(row.get(key, "") != scan.value(key) for row in scan):
                raise ManifestError(f"{scan.where}: the rows of this scan differ in {key}.")
        if pseudonyms is not None:
            _rename(scan, pseudonyms)
    return _of_visits(scans, table)


def _of_visits(scans: list[ScanRows], table: Path) -> list[ScanRows]:
    """The scans, those marked that share their visit: a film of the left hip, one of the right."""
    visits: dict[tuple[str, str], list[ScanRows]] = {}
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


def _rename(scan: ScanRows, pseudonyms: Pseudonyms) -> None:
    """Call the subject of a scan by a pseudonym."""
    try:
        subject = scan.value("subject") or patient_of(scan.path)
    except ReadError as error:
        raise ManifestError(
            f"{scan.where}: the scan names no patient ({error}); fill the column subject."
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
        repair_names(row.get("repair", ""))
    except ParameterError as error:
        raise ManifestError(f"{where}: {error}") from None
    if row.get("repair") and row["source"] != "ct":
        raise ManifestError(f"{where}: repair is of source ct; leave it empty.")
    if (needs_subject and not row["subject"]) or not row["scan"]:
        raise ManifestError(f"{where}: subject or scan is empty.")


_HEADER = (
    *("Manufacturer", "ManufacturerModelName", "ConvolutionKernel", "SliceThickness"),
    *("StudyDate", "PatientSex", "PatientAge"),
)
_PRINTABLE = re.compile(r"[^\w .,/+-]+")


def _described(path: Path) -> dict[str, str]:
    """What the first DICOM file of a scan says of it, under the names of `DESCRIBING`.

    The year of the study and a band of ten years of age: neither a date nor an age.
    """
    found = next(elements_of(list_files(path), _HEADER), None) if path.exists() else None
    if found is None:
        return {}
    maker, model, kernel, thickness, date, sex, age = (
        _PRINTABLE.sub(" ", str(found.get(word) or "")).strip()[:64] for word in _HEADER
    )
    years = int(age[:3]) if re.fullmatch("[0-9]{3}Y", age) else None
    return {
        "scanner": scanner_name(maker, model),
        "kernel": kernel,
        "slice_thickness_mm": thickness if re.fullmatch(r"[0-9]+([.][0-9]+)?", thickness) else "",
        "year": date[:4] if re.fullmatch("[0-9]{8}", date) else "",
        "sex": sex if sex in {"M", "F", "O"} else "",
        "age": "" if years is None else f"{years // 10 * 10}-{years // 10 * 10 + 9}",
    }


CASES = "cases"


def build(
    scans_csv: str | PathLike[str],
    out: str | PathLike[str],
    *,
    pseudonyms: Pseudonyms | None = None,
    describe: bool = False,
    cache: str | PathLike[str] | None = None,
    scaling: Scaling = "stretched",
    variants: bool = False,
    pool: Pool | None = None,
    progress: Callable[[int, int, str], None] | None = None,
) -> Manifest:
    """Crop every hip of a list of scans and write the manifest of the crops.

    Each scan is done wholly or not at all, and one that fails stops no other. Started again, what
    is done already is not done anew, unless its files or its rows have changed (grades may).

    Parameters
    ----------
    scans_csv
        One row per hip; columns ``subject, source, scan, side, visit, kl, landmarks, top, left,
        bottom, right``. For ``source`` ct, ``scan`` is a DICOM folder or a NIfTI file and
        ``landmarks`` a JSON file of `Landmarks`, or empty where the pose is to be found in the
        scan; for xray, ``scan`` is an image and the last four are the hip's box in pixel edges of
        the image as `rhoa.hips.read_xray` turns it; a box that is not square is clipped to a square
        about its middle. Side and box are checked against the film; films of the left and of the
        right hip may share a visit. Paths are relative to the table. Columns that may be added:
        ``exclusion`` (prosthesis, quality); ``accept``, the refusals to overrule: those of
        `rhoa.hips.extract` for this hip of a CT, of `rhoa.hips.read_xray` for an X-ray of odd tags,
        or of a row that disagrees with it; and ``repair``, the repairs of `rhoa.read_ct` that a CT
        may have; names with commas between; and what describes hips and goes into the manifest:
        ``age``, ``sex``, ``site``, ``scanner``, ``kernel``, ``reader``, ``year``,
        ``slice_thickness_mm``, and any whose name begins with ``x_``.
    out
        Folder for ``ct-ap/NAME.png`` and ``.npz``, ``crops/SOURCE/NAME_SIDE.png`` (CT-AP crops
        100 x 100; X-ray crops as large as they are, with 1 % saturated at either end; right hips
        mirrored), ``manifest.csv``, ``cases/`` with what is done, and, where hips have no crop,
        ``rejected.csv`` with the reasons.
    pseudonyms
        What to call subjects in all that is written; by default as the table does. A subject that
        the table leaves empty is then the patient whom the DICOM files name (PatientID).
    describe
        Whether what describes a scan is taken from its DICOM header where the table says nothing:
        scanner, kernel, slice thickness, year of the study, sex, and age in a band of ten years.
    cache
        A folder for decoded volumes, as `rhoa.read_ct` takes it.
    scaling
        Of crops of CTs, as of `rhoa.hips.extract`.
    variants
        Whether each hip of a CT is also cropped as `rhoa.hips.extraction.VARIANTS` say (other HU,
        attenuation, depth, tilt), into ``crops/ct/variants/NAME_SIDE_VARIANT.png``; the manifest's
        column ``variants`` names them. Training alone may be shown them (`Appearance.variants`).
    pool
        Where to do the scans: `rhoa.cohort.processes`, `rhoa.cohort.dask`; default: this process.
    progress
        Called with (scans done, scans in all, what is being done).

    Returns
    -------
    Manifest
        Of the hips, not yet split. A hip of a CT that `rhoa.hips.extract` refuses has no crop, and
        an exclusion: prosthesis, or quality. Scans that failed are not in it.

    Raises
    ------
    ManifestError
        If the table is wrong, or every scan failed. One failing scan is a warning.
    """
    scans_csv, out = Path(scans_csv), Path(out)
    scans = read_scans(scans_csv, pseudonyms)
    for scan in scans if describe else ():
        described = _described(scan.path)
        for row in scan:
            row.update({name: text for name, text in described.items() if not row.get(name)})
    scans = [
        replace(scan, scaling=scaling, variants=variants) if scan.source == "ct" else scan
        for scan in scans
    ]
    cases = [scan.case() for scan in scans]
    _forget_lost(cases, out)

    def show(done: int, total: int, _: str) -> None:
        if progress is not None:
            progress(done, total, "making crops")

    crop = partial(_crop_scan, cache=cache)
    outcomes = run_cases(crop, cases, out / CASES, pool=pool, progress=show)
    done = [(s, one) for s, one in zip(scans, outcomes, strict=True) if not one.failure]
    hips = [hip for scan, one in done for hip in _placed(scan, one, out)]
    _report_rejected(scans, outcomes, out)
    warned: dict[str, list[str]] = {}
    for scan, one in done:
        for text in one.record["warnings"]:
            warned.setdefault(text, []).append(scan.where)
    for text, (first, *more) in warned.items():
        warn_user(f"{first}{f' and {len(more)} more scans' * bool(more)}: {text}")
    if not hips:
        reason = _said(scans[0], outcomes[0].failure)
        raise ManifestError(f"{scans_csv.name}: every scan failed; the first: {reason}")
    manifest = Manifest(tuple(hips))
    manifest.write(out / "manifest.csv")
    return manifest


def _crop_scan(
    scan: ScanRows, folder: Path, *, cache: str | PathLike[str] | None
) -> dict[str, Any]:
    """Write the crops of a scan, and its CT-AP, into a folder; their hashes."""
    crops: dict[str, tuple[NDArray[np.uint8], Box, Radiograph]] = {}
    refused: dict[Side, dict[str, str]] = {}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", RhoaWarning)
        if scan.source == "ct":
            landmarks = None if scan.landmarks is None else Landmarks.from_json(scan.landmarks)
            volume = read_ct(scan.path, repair=scan.value("repair"), cache=cache)
            found = extract(
                volume,
                pose="auto" if landmarks is None else landmarks,
                sides=[cast("Side", row["side"]) for row in scan],
                accept={cast("Side", row["side"]): row.get("accept", "") for row in scan},
                scaling=scan.scaling,
            )
            image = found.image
            for name in ("ct-ap.png", "ct-ap.npz"):
                image.save(folder / name)
            for side, hip in found.hips.items():
                if hip.crop is not None and hip.box is not None:
                    crops[side] = hip.crop, hip.box, image
                else:
                    why = _said(scan, "; ".join(hip.refusals))
                    refused[side] = {"refused": why, "exclusion": str(hip.exclusion)}
            for name, other, boxes in found.variants(volume) if scan.variants else ():
                for side, box in boxes.items():
                    crops[f"{side}_{name}"] = model_crop(other, box, source="ct"), box, other
        else:
            image, hip_boxes = _xray(scan)
            for side, box in hip_boxes.items():
                crops[side] = model_crop(image, box, source="xray"), box, image
    hashes = {}
    for name, (pixels, box, shown) in crops.items():
        file = folder / f"{name}.png"
        write_crop(file, pixels, box, shown, source=scan.source)
        hashes[name] = sha256_of(file)
    warned = [
        _said(scan, str(one.message)) for one in caught if issubclass(one.category, RhoaWarning)
    ]
    return {"sha256": hashes, "refused": refused, "warnings": warned}


def _said(scan: ScanRows, message: str) -> str:
    """A message about a scan, without its names where its subject has a pseudonym."""
    return redact(message, scan.path, scan.name) if scan.pseudonymous else message


def _place(scan: ScanRows, file: str, out: Path) -> Path:
    """Where a file of a scan belongs."""
    side, _, variant = Path(file).stem.partition("_")
    if side in SIDES:
        folder = out / "crops" / scan.source
        return (folder / VARIANTS if variant else folder) / f"{scan.name}_{file}"
    return out / "ct-ap" / f"{scan.name}{Path(file).suffix}"


def _forget_lost(cases: Sequence[Case], out: Path) -> None:
    """Forget cases that were done but whose files somebody took away, or whose crops changed."""
    for case in cases:
        record = out / CASES / case.name / RECORD
        try:
            hashes = json.loads(record.read_text(encoding="utf-8"))["record"]["sha256"]
            files = [f"{side}.png" for side in hashes]
        except (OSError, ValueError, KeyError, TypeError):
            continue
        scan: ScanRows = case.source
        files += ["ct-ap.png", "ct-ap.npz"] if scan.source == "ct" else []
        for file in files:
            places = (record.parent / file, _place(scan, file, out))
            found = next((place for place in places if place.is_file()), None)
            side = Path(file).stem
            if found is None or (side in hashes and hashes[side] != sha256_of(found)):
                record.unlink(missing_ok=True)


def _placed(scan: ScanRows, one: Outcome, out: Path) -> list[Hip]:
    """Move the files of a scan that is done to where they belong; its hips."""
    for file in sorted((out / CASES / one.name).iterdir()):
        if file.name != RECORD:
            place = _place(scan, file.name, out)
            place.parent.mkdir(parents=True, exist_ok=True)
            file.replace(place)
    hips = []
    for line, row in scan.rows:
        side, where = cast("Side", row["side"]), f"{scan.table.name}, line {line}"
        kl, exclusion = grade(row["kl"], where), exclusion_of(row.get("exclusion", ""), where)
        crop: Path | None = _place(scan, f"{side}.png", out)
        refused = one.record["refused"].get(side)
        if refused is not None and crop is not None:
            crop.unlink(missing_ok=True)  # of an earlier run
            crop, exclusion = None, exclusion or refused["exclusion"]
        described = [
            (name, text)
            for name, text in row.items()
            if name in DESCRIBING or plain_name(name).startswith("x_")
        ]
        other = [name.partition("_") for name in one.record["sha256"]]
        if names := " ".join(name for own, _, name in other if name and own == side):
            described.append((VARIANTS, names))
        hips.append(
            Hip(
                *(crop, row["subject"], side, scan.source, kl, row["visit"]),
                label=label_of(kl) if exclusion is None else None,
                exclusion=exclusion,
                sha256=one.record["sha256"].get(side),
                refused="" if refused is None else refused["refused"],
                others=tuple(described),
            )
        )
    return hips


def _xray(scan: ScanRows) -> tuple[Radiograph, Mapping[Side, Box]]:
    """The film and the boxes of its rows, which are compared with what it says and shows."""
    accept = accepted(scan.value("accept"))
    rows = {cast("Side", row["side"]): (line, row) for line, row in scan.rows}
    where = {side: f"{scan.table.name}, line {line}" for side, (line, _) in rows.items()}
    try:
        # Boxes are in pixels: a picture need not know their size.
        image = read_xray(scan.path, pixel_mm="optional", accept=accept)
        film = settled(image, where, accept=accept)
    except RhoaError as error:
        # Options of `read_xray` are columns here; the rows state the sides.
        message = str(error).replace(f"{ASK}, or", "look which is true, and")
        message = re.sub(r'pass accept="(\w+)"', r"write \1 into the column accept", message)
        raise type(error)(message) from None
    if scan.shares_visit and film.shows == "both":
        raise ManifestError(
            f"{scan.where}: this film shows both hips ({film.source}), and another film of its "
            "subject and visit is listed; number the visits."
        )
    edges: dict[Side, list[float]] = {}
    for side, (_, row) in rows.items():
        try:
            edges[side] = [float(row[edge]) for edge in EDGES]
        except ValueError:
            raise ManifestError(
                f"{where[side]}: an X-ray needs its hip's box: top, left, bottom and right, in "
                "pixels."
            ) from None
    overrule = "write {kind} into the column accept"
    rules = BoxRules.of(image, film)._replace(accept=accept, overrule=overrule)
    exchanged = dict(zip(rows, reversed(list(edges.values())), strict=True))
    if len(rows) == 2 and all(fits(side, exchanged[side], rules) for side in rows):
        raise ManifestError(
            f"{scan.where}: the left hip's box lies to the left of the right hip's; boxes are in "
            "the image as rhoa.hips.read_xray turns it, with the patient's left on the right."
        )
    return image, {side: checked_box(side, edges[side], rules, where[side]) for side in rows}


def _report_rejected(scans: Sequence[ScanRows], outcomes: Sequence[Outcome], out: Path) -> None:
    """List in ``rejected.csv`` the scans that failed and the hips that have no crop."""
    failed, refused = [], []
    for scan, one in zip(scans, outcomes, strict=True):
        if one.failure:
            failed.append((scan.value("subject"), scan.source, _said(scan, one.failure), ""))
            continue
        for line, row in scan.rows:
            why = one.record["refused"].get(row["side"])
            if why is not None:
                reason = f"{scan.table.name}, line {line}: {row['side']} hip: {why['refused']}"
                refused.append((row["subject"], scan.source, reason, row["side"]))
    file = out / "rejected.csv"
    if not failed and not refused:
        file.unlink(missing_ok=True)
        return
    atomic_write(file, csv_text(("subject", "source", "reason", "side"), [*failed, *refused]))
    for rows, what in ((failed, "scans were rejected"), (refused, "hips were refused a crop")):
        if rows:
            warn_user(f"{len(rows)} {what}; {file.name} has the reasons. The first: {rows[0][2]}")

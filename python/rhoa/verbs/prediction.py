"""Grades of hips: of CTs, of X-rays, or of crops that are ready."""

from __future__ import annotations

import warnings
from dataclasses import replace
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rhoa
from rhoa.errors import ParameterError, RhoaError, RhoaWarning
from rhoa.hips.film import require_known
from rhoa.hips.pictures import read_levels
from rhoa.hips.sheet import Entry, Verdict, write_card
from rhoa.hips.views import frontal
from rhoa.learning.cards import CARD_FILE
from rhoa.progress import bar
from rhoa.reading.bounded import shown
from rhoa.verbs.dicom_findings import require_consistent, study_of, write_dicom_findings
from rhoa.verbs.folder import (
    Asked,
    each_of,
    name_scans,
    refuse_landmarks,
    scans_in,
    told_warnings,
    veil,
)
from rhoa.verbs.grading import (
    COLUMNS,
    graded,
    hips_of_ct,
    hips_of_xray,
    scores_of,
    write_prediction,
)
from rhoa.verbs.inputs import distinct_names, kind_of
from rhoa.verbs.output import Result, in_shell_words, shell_words
from rhoa.verbs.pelvis import AUTO, Request
from rhoa.writing import atomic_write, csv_text

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Mapping, Sequence

    from rhoa.learning import Grader
    from rhoa.verbs.grading import FoundHips
    from rhoa.verbs.output import Rows

TABLE = "predictions.csv"
SHORT = ("scan", "side", "probability", "spread", "refused", "flags")


def predict(options: Namespace) -> Result:
    """Probabilities of the hips of scans, X-rays and crops."""
    places = [Path(scan) for scan in options.scans]
    require_consistent(options)
    if options.each:
        return _each(places, options)
    kinds = [kind_of(place, has_detector=options.detector is not None) for place in places]
    crops = [place for place, kind in zip(places, kinds, strict=True) if kind == "crop"]
    if crops and options.dicom:
        raise ParameterError("--dicom tells of scans; a ready crop has no place in one.")
    scans = [place for place, kind in zip(places, kinds, strict=True) if kind != "crop"]
    if crops and scans:
        raise ParameterError(
            f"{shown(crops[0])} is a ready crop and {shown(scans[0])} a scan; grade them apart, or "
            "pass --detector FOLDER where pictures are whole X-rays."
        )
    if crops:
        return _of_crops(crops, options)
    if len(scans) > 1:
        _require_out(options)
        request = Request.of(options.pose or AUTO)
        refuse_landmarks(request)
        return _of_scans(distinct_names(scans), options)
    return _of_one(scans[0], options)


def _each(places: Sequence[Path], options: Namespace) -> Result:
    if len(places) != 1:
        raise ParameterError("--each takes one folder of scans.")
    _require_out(options)
    refuse_landmarks(Request.of(options.pose or AUTO))
    scans, loose = scans_in(places[0])
    result = _of_scans({path.name: path for path in scans}, options)
    lines = [f"{loose} other files beside the scans were not looked at"] if loose else []
    return replace(result, lines=[*result.lines, *lines])


def _require_out(options: Namespace) -> None:
    if options.out is None:
        raise ParameterError("several scans need a folder for what becomes of them: pass -o OUT.")


def _of_scans(scans: Mapping[str, Path], options: Namespace) -> Result:
    # A model that cannot be loaded fails everything, and no scan; another model grades all anew.
    options.graders = _described(options)
    named = name_scans(scans, options)
    work = partial(_case, options)
    asked = {name: Asked(scan) for name, scan in named.items()}
    result = each_of(asked, options, work, table=TABLE, columns=COLUMNS)
    return _told(result.rows, list(result.lines), rejected=result.rejected)


def _of_one(scan: Path, options: Namespace) -> Result:
    (called,) = name_scans({shown(scan): scan}, options)
    found, rows = _graded(scan, options, quiet=False)
    for note in found.notes:
        warnings.warn(note, RhoaWarning, stacklevel=2)
    named: Rows = [{"scan": called, **row} for row in rows]
    lines = []
    if options.out is not None:
        write_prediction(options.out, found, rows, model=_described(options))
        names = ["prediction.json", *_write_dicom(options.out, scan, found, rows, options)]
        lines = [_write_table(options.out, named), *(f"wrote {options.out / n}" for n in names)]
    return _told(named, lines)


def _of_crops(crops: Sequence[Path], options: Namespace) -> Result:
    """Ready crops, all of them in batches."""
    grader = _grader(options)
    levels, reasons = [], {}
    for crop in crops:
        try:
            levels.append(_levels_of(crop))
        except RhoaError as error:
            if len(crops) == 1:
                raise
            reasons[crop] = str(error)
    draws = grader.draws(levels, views=options.views)
    rows: Rows = []
    place = 0
    for crop in crops:
        scores = scores_of(draws, None if crop in reasons else place)
        place += crop not in reasons
        refused = reasons.get(crop, "")
        rows.append({"scan": str(crop), "source": "crop", **scores, "refused": refused})
    lines = [] if options.out is None else [_write_table(options.out, rows)]
    return _told(rows, lines)


def _levels_of(crop: Path) -> Any:  # noqa: ANN401  # an array of grey levels
    from rhoa.learning.levels import require_grey

    return require_grey(read_levels(crop), where=shown(crop))


def _case(options: Namespace, scan: Path, folder: Path) -> dict[str, Any]:
    """One scan of several: its files, its rows, and its part of the page."""
    found, rows = _graded(scan, options, quiet=True)
    write_prediction(folder, found, rows, model=options.graders)
    _write_dicom(folder, scan, found, rows, options)
    alignment = None if found.pelvis is None else found.pelvis.alignment
    joints = {} if found.pelvis is None else found.pelvis.joints
    views = [] if found.image is None else [frontal(found.image, alignment, joints, found.boxes)]
    verdict: Verdict = "fine"
    if found.image is None:
        verdict = "failed"
    elif found.notes or any(row["refused"] or row["flags"] for row in rows):
        verdict = "look"
    facts = [(f"{row['side']} hip", _sentence(row)) for row in rows]
    flags = [] if alignment is None else sorted(alignment.flags)
    entry = Entry(options.names[scan], verdict, facts, flags, found.notes, views)
    return {"verdict": verdict, "rows": rows, "card": write_card(entry, folder)}


def _write_dicom(
    folder: Path, scan: Path, found: FoundHips, rows: Rows, options: Namespace
) -> list[str]:
    """The names of the DICOM files that were written, if any were asked for."""
    if not options.dicom:
        return []
    models = [str(one["weights_sha256"]) for one in _described(options)["members"]]
    study = study_of(scan, options)
    return write_dicom_findings(folder, found, rows, models=models, study=study)


def _graded(scan: Path, options: Namespace, *, quiet: bool) -> tuple[FoundHips, Rows]:
    grader = _grader(options)
    if kind_of(scan, has_detector=options.detector is not None) == "ct":
        request = Request.of(options.pose or AUTO)
        progress = None if quiet else bar()
        with told_warnings(veil(scan, options)) as told:
            volume = rhoa.read_ct(
                scan, series=options.series, repair=options.repair, progress=progress
            )
        found = hips_of_ct(volume, request, threads=options.threads)
        found = replace(found, notes=[*told, *found.notes])
    else:
        found = _found_in_xray(scan, options)
    return found, graded(found, grader, views=options.views)


def _found_in_xray(scan: Path, options: Namespace) -> FoundHips:
    if options.detector is None:
        raise ParameterError(
            f"{shown(scan)}: the hips of an X-ray are found by a detector; pass --detector FOLDER "
            "(rhoa.hips.train_detector trains one), or grade crops."
        )
    with shell_words(), told_warnings(veil(scan, options)) as told:
        # Boxes are in pixels: a picture need not know their size.
        image = rhoa.hips.read_xray(
            scan, pixel_mm="unknown", side=options.side, accept=options.accept
        )
        require_known(image, shown(scan))
    notes = [in_shell_words(note) for note in told]
    return hips_of_xray(image, _loaded_detector(options.detector, options.device), notes)


def _grader(options: Namespace) -> Grader:
    cards = [Path(folder) / CARD_FILE for folder in options.model]
    written = tuple(card.stat().st_mtime_ns for card in cards if card.is_file())
    return _loaded(tuple(map(str, options.model)), options.device, options.runtime, written)


@lru_cache(maxsize=1)
def _loaded(
    folders: tuple[str, ...],
    device: str,
    runtime: Any,  # noqa: ANN401  # checked there
    written: tuple[int, ...],  # noqa: ARG001  # a run that was trained again is another model
) -> Grader:
    """The models, once a process."""
    from rhoa.learning import load_ensemble, load_model

    if len(folders) == 1:
        return load_model(folders[0], device=device, runtime=runtime)
    return load_ensemble(folders, device=device, runtime=runtime)


@lru_cache(maxsize=1)
def _loaded_detector(folder: Path, device: str) -> Any:  # noqa: ANN401  # needs torch
    return rhoa.hips.HipDetector.load(folder, device=device)


def _described(options: Namespace) -> dict[str, Any]:
    """What graded: no paths, for those may name a patient's folder."""
    grader = _grader(options)
    return {
        "views": options.views,
        "members": [
            {
                "runtime": type(member).__name__,
                **{key: member.card.get(key) for key in ("recipe", "seed", "weights_sha256")},
            }
            for member in grader.members
        ],
    }


def _told(rows: Rows, lines: list[str], *, rejected: bool = False) -> Result:
    """The table of all hips; why some have no grade."""
    columns = [name for name in SHORT if any(name in row for row in rows)]
    refused = [row for row in rows if row["refused"]]
    shown_rows = [
        {name: row.get(name) for name in columns} | {"refused": "yes" if row["refused"] else "no"}
        for row in rows
    ]
    reasons = [
        f"{row['scan']}{', ' + row['side'] + ' hip' if 'side' in row else ''}: not graded: "
        f"{row['refused']}"
        for row in refused
    ]
    return Result(rows, [*reasons, *lines], rejected or bool(refused), shown=shown_rows)


def _sentence(row: Mapping[str, Any]) -> str:
    if row["refused"]:
        return f"not graded: {row['refused']}"
    spread = f" +- {row['spread']:.3f}" if row.get("spread") is not None else ""
    return f"probability of rHOA {row['probability']:.3f}{spread}"


def _write_table(out: Path, rows: Rows) -> str:
    out.mkdir(parents=True, exist_ok=True)
    columns = ("scan", *(name for name in COLUMNS if any(name in row for row in rows)))
    cells = [[_cell(row.get(name)) for name in columns] for row in rows]
    atomic_write(out / TABLE, csv_text(columns, cells))
    return f"wrote {out / TABLE}"


def _cell(value: object) -> object:
    return " ".join(map(str, value)) if isinstance(value, list | tuple) else value

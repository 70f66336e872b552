"""Verbs of trained models: `predict`, `export`."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rhoa
from rhoa.cli.batch import (
    ScanJob,
    captured_warnings,
    each_of,
    name_scans,
    redactor,
    refuse_landmarks,
    scans_in,
)
from rhoa.cli.common import VerbResult, bar, distinct_names, in_words_of_shell, write_table
from rhoa.cli.ct import AUTO, PoseRequest
from rhoa.cli.options import folder_options, predict_options
from rhoa.cohort import Pseudonyms
from rhoa.cohort.pseudonyms import patient_of
from rhoa.dicom.secondary_capture import StudyIdentity
from rhoa.errors import ParameterError, warn_user
from rhoa.files import shown
from rhoa.hips.contact_sheet import SheetEntry, Verdict, frontal, write_card
from rhoa.learning.grader import CARD_FILE
from rhoa.prediction import KL_COLUMNS, PREDICTION_FILE, graded, hips_in, kind_of, load_grader
from rhoa.prediction import predict as predict_all

if TYPE_CHECKING:
    import argparse
    from argparse import Namespace
    from collections.abc import Mapping, Sequence

    from rhoa.cli.common import Rows
    from rhoa.learning import Grader
    from rhoa.prediction import FoundHips


# Whose the DICOM files of `rhoa predict --dicom` are.


def require_consistent(options: Namespace) -> None:
    """Check that it is clear whose the files are to be.

    Raises
    ------
    ParameterError
        If options contradict each other.
    """
    if options.identified and not options.dicom:
        raise ParameterError("--identified says whose the files of --dicom are: pass --dicom too.")
    if options.identified and options.pseudonyms is not None:
        raise ParameterError("--identified and --pseudonyms contradict each other: pass one.")
    if options.dicom and options.out is None:
        raise ParameterError("--dicom writes files: pass -o OUT.")


def study_of(scan: Path, options: Namespace) -> StudyIdentity:
    """Nobody's, unless the options name the patient, or give a pseudonym."""
    if options.identified:
        return StudyIdentity.of(scan)
    patient = None if options.pseudonyms is None else patient_of(scan)
    if patient is None:
        return StudyIdentity()
    return StudyIdentity(patient_id=Pseudonyms.load(options.pseudonyms).of(patient))


# Grades of hips: of CTs, of X-rays, or of crops that are ready.

COLUMNS = (
    *("subject", "side", "visit", "source", "probability", *KL_COLUMNS, "kl_expected"),
    *(*(f"crowe_{grade}" for grade in range(1, 5)), "crowe_expected"),
    *("spread", "disagreement_nats", "entropy_nats", "usable", "refused"),
    *("top", "left", "bottom", "right", "confidence", "head_radius_mm", "flags"),
    *("inside_fraction", "joint_fraction", "margin_mm", "metal_cm3", "pose_used", "pose_flags"),
)
TABLE = "predictions.csv"
SHORT = ("scan", "side", "probability", "kl_expected", "spread", "refused", "flags")


def predict(options: Namespace) -> VerbResult:
    """Probabilities of the hips of scans, X-rays and crops."""
    places = [Path(scan) for scan in options.scans]
    require_consistent(options)
    if options.each:
        return _each(places, options)
    kinds = [kind_of(place, has_detector=options.detector is not None) for place in places]
    crops = [place for place, kind in zip(places, kinds, strict=True) if kind == "crop"]
    if crops and options.dicom:
        raise ParameterError("--dicom describes scans; a ready crop has no place in one.")
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
        request = PoseRequest.of(options.pose or AUTO)
        refuse_landmarks(request)
        return _of_scans(distinct_names(scans), options)
    return _of_one(scans[0], options)


def _each(places: Sequence[Path], options: Namespace) -> VerbResult:
    if len(places) != 1:
        raise ParameterError("--each takes one folder of scans.")
    _require_out(options)
    refuse_landmarks(PoseRequest.of(options.pose or AUTO))
    scans, loose = scans_in(places[0])
    result = _of_scans({path.name: path for path in scans}, options)
    lines = [f"{loose} other files beside the scans were not looked at"] if loose else []
    return replace(result, lines=[*result.lines, *lines])


def _require_out(options: Namespace) -> None:
    if options.out is None:
        raise ParameterError("several scans need a folder for what becomes of them: pass -o OUT.")


def _of_scans(scans: Mapping[str, Path], options: Namespace) -> VerbResult:
    # A model that cannot be loaded fails everything, and no scan; another model grades all anew.
    options.graders = _described(options)
    named = name_scans(scans, options)
    work = partial(_case, options)
    jobs = {name: ScanJob(scan) for name, scan in named.items()}
    result = each_of(jobs, options, work, table=TABLE, columns=COLUMNS)
    return _result(result.rows, list(result.lines), rejected=result.rejected)


def _of_one(scan: Path, options: Namespace) -> VerbResult:
    (called,) = name_scans({shown(scan): scan}, options)
    found, rows, warned = _graded(scan, options, quiet=False)
    for text in warned:
        warn_user(text)
    named: Rows = [{"scan": called, **_label_keys(called, options), **row} for row in rows]
    lines = []
    if options.out is not None:
        found.save(options.out, rows, model=_described(options), notes=warned)
        files = [options.out / PREDICTION_FILE]
        files += _write_dicom(options.out, scan, found, rows, options)
        lines = [_write_rows(options.out, named), *(f"wrote {file}" for file in files)]
    return _result(named, lines)


def _of_crops(crops: Sequence[Path], options: Namespace) -> VerbResult:
    """Ready crops, all of them in batches."""
    words = {"views": options.views, "accept": options.accept, "abstain": options.abstain}
    rows = predict_all([str(crop) for crop in crops], _grader(options), **words)
    for row, crop in zip(rows, crops, strict=True):
        row["scan"], row["refused"] = str(crop), in_words_of_shell(row["refused"], options)
    lines = [] if options.out is None else [_write_rows(options.out, rows)]
    return _result(rows, lines)


def _case(options: Namespace, scan: Path, folder: Path) -> dict[str, Any]:
    """One scan of several: its files, its row, and its panel of the page."""
    found, rows, warned = _graded(scan, options, quiet=True)
    found.save(folder, rows, model=options.graders, notes=warned)
    _write_dicom(folder, scan, found, rows, options)
    of_ct = found.extracted
    alignment = None if of_ct is None else of_ct.alignment
    joints = {} if of_ct is None else of_ct.joints
    views = [] if found.image is None else [frontal(found.image, alignment, joints, found.boxes)]
    verdict: Verdict = "fine"
    if of_ct is not None and not of_ct.pose_used:
        verdict = "not used"
    elif warned or any(row["refused"] or row["flags"] for row in rows):
        verdict = "look"
    facts = []
    for row in rows:
        if row["refused"]:
            grade = f"not graded: {row['refused']}"
        else:
            spread = f" +- {row['spread']:.3f}" if row.get("spread") is not None else ""
            grade = f"probability of rHOA {row['probability']:.3f}{spread}"
            if "kl_expected" in row:
                grade += f", expected KL {row['kl_expected']:.1f}"
        facts.append((f"{row['side']} hip", grade))
    flags = [] if alignment is None else sorted(alignment.flags)
    entry = SheetEntry(options.names[scan], verdict, facts, flags, warned, views)
    label_keys = _label_keys(options.names[scan], options)
    rows = [label_keys | row for row in rows]
    return {"verdict": verdict, "rows": rows, "card": write_card(entry, folder)}


def _label_keys(name: str, options: Namespace) -> dict[str, str]:
    """What joins a scan's rows with a table of labels: by name it is a subject of its own.

    A pseudonym of a scan is that of its patient, and letters for the scan.
    """
    return {"subject": name.partition("_")[0] if options.pseudonyms else name, "visit": ""}


def _write_dicom(
    folder: Path, scan: Path, found: FoundHips, rows: Rows, options: Namespace
) -> list[Path]:
    """The DICOM files that were written, if any were asked for."""
    if not options.dicom:
        return []
    models = [str(one["weights_sha256"]) for one in _described(options)["members"]]
    return found.save_dicom(folder, rows, models=models, study=study_of(scan, options))


def _graded(scan: Path, options: Namespace, *, quiet: bool) -> tuple[FoundHips, Rows, list[str]]:
    """The hips of a scan, their graded rows, and the warnings given meanwhile."""
    grader = _grader(options)
    detector = None
    if options.detector is not None:
        detector = _loaded_detector(options.detector, options.device)
    with captured_warnings(redactor(scan, options)) as warned:
        request = PoseRequest.of(options.pose or AUTO)
        of_ct = kind_of(scan, has_detector=detector is not None) == "ct"
        found = hips_in(
            scan,
            pose=request.pose,
            detector=detector,
            accept=[*(request.accept if of_ct else ()), *options.accept.split(",")],
            side=options.side,
            scaling=grader.ct_scaling,
            threads=options.threads,
            series=options.series,
            repair=options.repair,
            cache=options.cache,
            progress=None if quiet else bar(),
        )
    warned = [in_words_of_shell(text, options) for text in warned]
    rows = graded([found], grader, views=options.views, abstain=options.abstain)
    for row in rows:
        row["refused"] = in_words_of_shell(row["refused"], options)
    return found, rows, warned


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
    return load_grader(folders, device=device, runtime=runtime)


@lru_cache(maxsize=1)
def _loaded_detector(folder: Path, device: str) -> Any:  # noqa: ANN401  # needs torch
    return rhoa.hips.HipDetector.load(folder, device=device)


def _described(options: Namespace) -> dict[str, Any]:
    """What graded: no paths, for those may name a patient's folder."""
    grader, abstention = _grader(options), {}
    if options.abstain is not None:
        threshold = grader.abstention_threshold(options.abstain)
        abstention["abstain"] = {"share": options.abstain, "entropy_nats": threshold}
    return {
        "views": options.views,
        **abstention,
        "members": [
            {
                "runtime": type(member).__name__,
                **{key: member.card.get(key) for key in ("recipe", "seed", "weights_sha256")},
            }
            for member in grader.members
        ],
    }


def _result(rows: Rows, lines: list[str], *, rejected: bool = False) -> VerbResult:
    """The table of all hips; why some have no grade."""
    columns = [name for name in SHORT if any(name in row for row in rows)]
    refused = [row for row in rows if row["refused"]]
    shown_rows = [
        {name: row.get(name) for name in columns} | {"refused": "yes" if row["refused"] else "no"}
        for row in rows
    ]
    reasons = [
        f"{row['scan']}{', ' + row['side'] + ' hip' if row.get('side') else ''}: not graded: "
        f"{row['refused']}"
        for row in refused
    ]
    return VerbResult(rows, [*reasons, *lines], rejected or bool(refused), shown=shown_rows)


def _write_rows(out: Path, rows: Rows) -> str:
    out.mkdir(parents=True, exist_ok=True)
    columns = ("scan", *(name for name in COLUMNS if any(name in row for row in rows)))
    write_table(out / TABLE, columns, rows)
    return f"wrote {out / TABLE}"


# A trained model as ONNX.


def export(options: Namespace) -> VerbResult:
    """A run's classifier as ONNX, checked against torch."""
    from rhoa.learning import export_onnx

    out = export_onnx(options.run_folder, options.out)
    card = json.loads((out / "model.json").read_text(encoding="utf-8"))
    difference = card["onnx"]["largest_difference_from_torch"]
    row = {"model": str(out / "model.onnx"), "largest difference from torch": difference}
    return VerbResult([row], [f"grade with `rhoa predict SCAN --model {out}`; it needs no torch"])


def add_export(verb: argparse.ArgumentParser) -> None:
    """Options of `rhoa export`."""
    verb.set_defaults(run=export)
    verb.add_argument("run_folder", metavar="RUN", type=Path, help="run folder of `rhoa train`")
    verb.add_argument(
        "-o",
        "--out",
        type=Path,
        help="folder for model.onnx and model.json, all that `rhoa predict` needs (default: RUN); "
        "nothing is written where it differs from torch by more than 1e-5",
    )


def add_predict(verb: argparse.ArgumentParser) -> None:
    """Options of `rhoa predict`."""
    verb.set_defaults(run=predict)
    verb.add_argument(
        "scans",
        nargs="+",
        metavar="SCAN",
        help="a CT (folder of DICOM, or a volume file), a DICOM X-ray (with --detector), or ready "
        "crops (PNG, right hips mirrored, as `rhoa hips` writes them); with --each a folder of CTs",
    )
    predict_options(verb)
    folder_options(verb, "predictions.csv")
    verb.epilog = (
        "A hip is not graded where the pose of its pelvis is flagged, where the scan lacks part of "
        "the joint, or where an implant or bad slices cross it; the table says why, and the exit "
        "code is 4. Crops are made as those that models are trained on. Not a medical device."
    )

"""What `rhoa predict --dicom` writes: the image and the findings, for an archive."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rhoa.capture import Study, write_dicom
from rhoa.cohort import Pseudonyms
from rhoa.cohort.pseudonyms import patient_of
from rhoa.errors import ParameterError
from rhoa.structured import HipFinding, structured_report

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from rhoa.prediction import FoundHips
    from rhoa.verbs.output import Rows

IMAGE, REPORT = "image.dcm", "findings.dcm"


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


def study_of(scan: Path, options: Namespace) -> Study:
    """Nobody's, unless the options name the patient, or give a pseudonym."""
    if options.identified:
        return Study.of(scan)
    patient = None if options.pseudonyms is None else patient_of(scan)
    if patient is None:
        return Study()
    return Study(patient_id=Pseudonyms.load(options.pseudonyms).of(patient))


def write_dicom_findings(
    folder: Path, found: FoundHips, rows: Rows, *, models: Sequence[str], study: Study
) -> list[str]:
    """Write image and report into ``folder``; the names of the files, none without a pose."""
    if found.image is None or (found.extracted is not None and not found.extracted.pose_used):
        return []
    hips = [_finding(row, found) for row in rows]
    modality = "CT" if found.source == "ct" else "XR"
    written = structured_report(found.image, hips, models=models, modality=modality, study=study)
    for name, dataset in zip((IMAGE, REPORT), written, strict=True):
        write_dicom(dataset, folder / name)
    return [IMAGE, REPORT]


def _finding(row: Mapping[str, Any], found: FoundHips) -> HipFinding:
    return HipFinding(
        side=row["side"],
        box=found.boxes.get(row["side"]),
        probability=row["probability"],
        spread=row.get("spread"),
        flags=row["flags"],
        not_graded=row["refused"],
    )

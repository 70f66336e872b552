"""Findings as a DICOM structured report: as the standard asks, read back whole, of nobody."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pydicom
import pytest

import rhoa
from rhoa.dicom.secondary_capture import StudyIdentity, secondary_capture
from rhoa.errors import ParameterError, PoseError
from rhoa.hips import Box
from rhoa.hips.dicom_report import OWN, SCHEME, HipFinding, structured_report
from rhoa.phantom import Anatomy, ct, write_dicom
from rhoa.pose import from_landmarks
from tests.canaries import TEXTS, files_of, found_in, plant_files
from tests.commands import run
from tests.learning.runs import write_onnx_run
from tests.standard import missing

highdicom = pytest.importorskip("highdicom", reason="needs extra dicom-out")
LANDMARKS = rhoa.Landmarks((120.0, 0, 90), (-120.0, 2, 92), (20.0, 4, 0), (-20.0, 4, 1))
LEFT = HipFinding(
    side="left",
    box=Box("left", 10, 60, 50, 100, 0.875),
    probability=0.75,
    spread=0.125,
    kl_probabilities=(0.0625, 0.1875, 0.25, 0.375, 0.125),
    entropy_nats=1.5,
    kl=3,
    flags=["unsure_box"],
)
RIGHT = HipFinding(side="right", not_graded="implant; field of view")


def image() -> rhoa.Radiograph:
    values = np.random.default_rng(4).normal(20_000, 8_000, (90, 120))
    return rhoa.Radiograph(values, (2.0, 1.0), alignment=from_landmarks(LANDMARKS))


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Image and report of nobody."""
    folder = tmp_path_factory.mktemp("dicom")
    both = structured_report(image(), [LEFT, RIGHT], models=["ab12"])
    for name, dataset in zip(("image.dcm", "findings.dcm"), both, strict=True):
        dataset.save_as(folder / name, enforce_file_format=True)
    return folder


def groups(report: pydicom.Dataset) -> dict[str, pydicom.Dataset]:
    """The groups of measurements by what they track."""
    (measurements,) = [
        item for item in report.ContentSequence if meaning(item) == "Imaging Measurements"
    ]
    return {
        next(
            item.TextValue
            for item in group.ContentSequence
            if meaning(item) == "Tracking Identifier"
        ): group
        for group in measurements.ContentSequence
    }


def meaning(item: pydicom.Dataset) -> str:
    return item.ConceptNameCodeSequence[0].CodeMeaning


def numbers(group: pydicom.Dataset) -> dict[str, tuple[float, str]]:
    """Values and units of a group, by the codes of what was measured."""
    return {
        item.ConceptNameCodeSequence[0].CodeValue: (
            float(item.MeasuredValueSequence[0].NumericValue),
            item.MeasuredValueSequence[0].MeasurementUnitsCodeSequence[0].CodeValue,
        )
        for item in group.ContentSequence
        if item.ValueType == "NUM"
    }


def words(group: pydicom.Dataset) -> dict[str, str]:
    """What is told in codes, by what it is of."""
    return {
        meaning(item): item.ConceptCodeSequence[0].CodeMeaning
        for item in group.ContentSequence
        if item.ValueType == "CODE"
    }


@pytest.mark.parametrize("name", ["image.dcm", "findings.dcm"])
def test_every_mandatory_element_is_there(written: Path, name: str) -> None:
    assert missing(pydicom.dcmread(written / name)) == set()


def test_the_table_of_mandatory_elements_notices(written: Path) -> None:
    report, picture = (pydicom.dcmread(written / name) for name in ("findings.dcm", "image.dcm"))
    del report.CompletionFlag, report.StudyDate
    report.ContentDate = None
    del report.ContentSequence[-1].ContentSequence[0].ContentSequence[0].RelationshipType
    picture.ConversionType = ""
    del picture.Rows

    assert missing(report) == {
        *("CompletionFlag", "StudyDate", "ContentDate"),
        "TEXT.RelationshipType",
    }
    assert missing(picture) == {"ConversionType", "Rows"}


def test_findings_are_read_back_by_pydicom(written: Path) -> None:
    report = pydicom.dcmread(written / "findings.dcm")
    found = groups(report)

    assert report.SOPClassUID == pydicom.uid.ComprehensiveSRStorage
    assert list(found) == ["pelvis", "left hip", "right hip"]
    angles = from_landmarks(LANDMARKS).angles
    assert numbers(found["pelvis"]) == {
        name: (pytest.approx(angle, abs=0.005), "deg") for name, angle in angles._asdict().items()
    }
    assert numbers(found["left hip"]) == {
        "probability": (0.75, "1"),
        "spread": (0.125, "1"),
        **{
            f"kl-{grade}-probability": (share, "1")
            for grade, share in enumerate((0.0625, 0.1875, 0.25, 0.375, 0.125))
        },
        "kl-expected": (2.3125, "1"),
        "entropy": (1.5, "1"),
        "box-confidence": (0.875, "1"),
    }
    told = words(found["left hip"])
    assert told["Kellgren-Lawrence grade"] == "Kellgren-Lawrence grade 3"
    assert told["Flag of quality"] == "unsure box"
    assert told["Finding Site"] == "Hip joint"
    assert numbers(found["right hip"]) == {}
    assert words(found["right hip"])["Hip not graded"] == "implant; field of view"


def test_sides_are_those_of_the_patient(written: Path) -> None:
    for side, group in groups(pydicom.dcmread(written / "findings.dcm")).items():
        if side == "pelvis":
            continue
        (site,) = [item for item in group.ContentSequence if meaning(item) == "Finding Site"]
        (laterality,) = site.ContentSequence
        assert laterality.ConceptCodeSequence[0].CodeMeaning.lower() == side.partition(" ")[0]


def test_a_box_is_a_region_of_the_written_image(written: Path) -> None:
    """In columns and rows of its pixels, which are square where the image's were 2 mm x 1 mm."""
    report, picture = (pydicom.dcmread(written / name) for name in ("findings.dcm", "image.dcm"))
    (region,) = [
        item for item in groups(report)["left hip"].ContentSequence if item.ValueType == "SCOORD"
    ]
    corners = np.reshape(region.GraphicData, (-1, 2))
    (selected,) = region.ContentSequence

    assert (picture.Rows, picture.Columns) == (180, 120)
    assert corners.min(axis=0).tolist() == [60, 20]
    assert corners.max(axis=0).tolist() == [100, 100]
    assert corners[0].tolist() == corners[-1].tolist()
    assert selected.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == picture.SOPInstanceUID
    evidence = report.CurrentRequestedProcedureEvidenceSequence[0]
    assert evidence.StudyInstanceUID == picture.StudyInstanceUID == report.StudyInstanceUID


def test_highdicom_reads_it_as_a_measurement_report(written: Path) -> None:
    report = highdicom.sr.srread(written / "findings.dcm")
    hips = report.content.get_planar_roi_measurement_groups()

    assert report.ContentTemplateSequence[0].TemplateIdentifier == "1500"
    assert [group.tracking_identifier for group in hips] == ["left hip"]
    assert {one.name.value: one.value for one in hips[0].get_measurements()}["probability"] == 0.75
    assert len(report.content.get_image_measurement_groups()) == 2


def test_own_codes_name_their_scheme_and_are_as_short_as_codes_may_be(written: Path) -> None:
    report = pydicom.dcmread(written / "findings.dcm")

    (scheme,) = report.CodingSchemeIdentificationSequence
    assert scheme.CodingSchemeDesignator == SCHEME
    assert all(len(code) <= 16 and len(text) <= 64 for code, text in OWN.items())


def test_it_is_of_nobody_and_of_whom_it_is_said_to_be() -> None:
    study = StudyIdentity(patient_id="S-12", study_instance_uid="1.2.3", series_number=7)
    both = [
        structured_report(image(), [LEFT]),
        structured_report(image(), [LEFT], study=study),
    ]

    for dataset in both[0]:
        assert not dataset.PatientID
        assert not dataset.PatientName
    assert both[0][0].StudyInstanceUID == both[0][1].StudyInstanceUID != "1.2.3"
    assert [(d.PatientID, d.StudyInstanceUID, d.SeriesNumber) for d in both[1]] == [
        ("S-12", "1.2.3", 7),
        ("S-12", "1.2.3", 8),
    ]


@pytest.mark.parametrize("hips", [[], [LEFT, LEFT]])
def test_one_finding_of_a_hip_is_needed(hips: list[HipFinding]) -> None:
    with pytest.raises(ParameterError, match="one finding of each hip"):
        structured_report(image(), hips)


@pytest.mark.parametrize(
    "wrong", [{"side": "both"}, {"probability": 75}, {"kl": 5}, {"kl_probabilities": [1]}]
)
def test_findings_that_are_none_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ParameterError, match=f"{next(iter(wrong))} must be"):
        HipFinding(**{"side": "left", **wrong})


@pytest.mark.torch  # whose extra brings the writer of ONNX files
def test_predict_writes_both_of_nobody_of_a_pseudonym_or_of_the_patient(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def unsearched(_: object) -> rhoa.Alignment:
        raise PoseError("the landmarks are not compared")

    monkeypatch.setattr("rhoa.hips.extraction.from_volume", unsearched)
    phantom = ct(Anatomy.random(8), spacing_mm=(4, 3, 3))
    write_dicom(phantom.volume, tmp_path / "ct")
    plant_files(tmp_path / "ct")
    phantom.landmarks.to_json(tmp_path / "landmarks.json")
    names = rhoa.cohort.Pseudonyms.create(tmp_path / "study.key")
    model = write_onnx_run(tmp_path / "model")
    words = ("predict", tmp_path / "ct", "--model", model, "--pose", tmp_path / "landmarks.json")
    ways = {
        "nobody": (),
        "pseudonym": ("--pseudonyms", tmp_path / "study.key"),
        "patient": ("--identified",),
    }

    codes = [run(capsys, *words, "-o", tmp_path / way, "--dicom", *ways[way])[0] for way in ways]
    refused = run(capsys, *words, "-o", tmp_path / "x", "--identified")

    assert codes == [0, 0, 0]
    assert refused[0] == 2
    assert "pass --dicom too" in refused[2]
    both = {
        way: [pydicom.dcmread(tmp_path / way / name) for name in ("image.dcm", "findings.dcm")]
        for way in ways
    }
    for way, identity in (("nobody", ""), ("pseudonym", names.of(TEXTS["PatientID"]))):
        assert [dataset.PatientID for dataset in both[way]] == [identity] * 2
        assert found_in(files_of(tmp_path / way)) == set()
    assert [dataset.PatientID for dataset in both["patient"]] == [TEXTS["PatientID"]] * 2
    assert [d.StudyInstanceUID for d in both["patient"]] == [TEXTS["StudyInstanceUID"]] * 2
    assert all(not missing(dataset) for datasets in both.values() for dataset in datasets)
    assert set(groups(both["nobody"][1])) == {"pelvis", "left hip", "right hip"}
    assert "probability" in numbers(groups(both["nobody"][1])["left hip"])


def test_dicom_validator_finds_no_error(written: Path, tmp_path: Path) -> None:
    """By the standard itself, from a folder that has it: it is loaded from the network."""
    pytest.importorskip("dicom_validator", reason="dicom-validator is not installed")
    standard = os.environ.get("RHOA_DICOM_STANDARD")
    if not standard:
        pytest.skip("set RHOA_DICOM_STANDARD to the folder that dicom-validator keeps editions in")
    secondary_capture(image().pixels, (1.0, 1.0)).save_as(written / "bare.dcm")

    checked = subprocess.run(
        [sys.executable, "-m", "dicom_validator.validate_iods", "-src", standard, "-e", "local"]
        + [str(file) for file in sorted(written.iterdir())],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )

    assert checked.returncode == 0, checked.stdout + checked.stderr

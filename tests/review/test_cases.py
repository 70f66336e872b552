"""What is found in a folder to be reviewed, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import rhoa
from rhoa.cli import main
from rhoa.cohort import build
from rhoa.errors import ManifestError, ReviewError
from rhoa.phantom import Anatomy, ct, write_cohort, write_dicom
from rhoa.review import read_cohort
from tests.review.cohorts import PATIENT, make_manifest


def test_the_files_of_rhoa_hips_are_read(tmp_path: Path) -> None:
    phantom = ct(Anatomy.random(1), spacing_mm=(4, 3, 3), angles=(3, 0, 0))
    write_dicom(phantom.volume, tmp_path / "scans" / "one")
    assert main(["hips", str(tmp_path / "scans"), "-o", str(tmp_path / "out"), "--each"]) == 0

    (case,) = read_cohort(tmp_path / "out", scans=tmp_path / "scans")

    folder = tmp_path / "out" / "one"
    assert case.scan == tmp_path / "scans" / "one"
    assert case.source == "ct"
    assert case.found.landmarks is not None
    pose = json.loads((folder / "pose.json").read_text())
    assert case.found.landmarks.as_dict() == {
        name: pose[name] for name in case.found.landmarks.as_dict()
    }
    assert case.found.used
    rows = json.loads((folder / "boxes.json").read_text())
    assert {side: (box.top, box.left) for side, box in case.found.boxes.items()} == {
        row["side"]: (row["top"], row["left"]) for row in rows
    }


def test_the_files_of_rhoa_ctap_are_read(tmp_path: Path) -> None:
    phantom = ct(Anatomy.random(1), spacing_mm=(8, 6, 6))
    write_dicom(phantom.volume, tmp_path / "scans" / "one")
    assert main(["ctap", str(tmp_path / "scans"), "-o", str(tmp_path / "out"), "--each"]) == 0

    (case,) = read_cohort(tmp_path / "out")

    assert case.found.boxes is None
    assert case.found.landmarks is None
    assert not case.flagged


def test_a_study_is_read_with_its_images_and_scans(tmp_path: Path) -> None:
    table = write_cohort(
        tmp_path / "cohort",
        ct_subjects=1,
        xray_subjects=1,
        spacing_mm=(6, 5, 5),
        pixel_mm=2.0,
        voxel_mm=6.0,
    )
    build(table, tmp_path / "study")

    of_ct, of_xray = read_cohort(tmp_path / "study", scans=table)

    assert (of_ct.source, of_xray.source) == ("ct", "xray")
    assert of_ct.image == tmp_path / "study" / "ct-ap" / "CT-001.npz"
    assert of_ct.scan == tmp_path / "cohort" / "ct" / "CT-001"
    assert of_ct.found.used
    assert of_xray.image is of_xray.scan is None
    assert set(of_ct.hips) == set(of_xray.hips) == {"left", "right"}


def test_cases_are_numbered_and_their_keys_say_nothing_of_names(
    cohort_folder: Path, scans: Path
) -> None:
    cohort = read_cohort(cohort_folder, scans=scans)

    assert [case.number for case in cohort] == [1, 2, 3]
    assert [case.flagged for case in cohort] == [False, True, False]
    assert all(PATIENT in case.name for case in cohort)
    assert all(len(case.key) == 16 and int(case.key, 16) for case in cohort)


def test_a_case_keeps_its_key_when_others_come(cohort_folder: Path) -> None:
    before = {case.name: case.key for case in read_cohort(cohort_folder)}
    first = cohort_folder / "AAA"
    first.mkdir()
    (first / "ct-ap.npz").write_bytes((cohort_folder / f"{PATIENT}-01" / "ct-ap.npz").read_bytes())

    after = {case.name: case.key for case in read_cohort(cohort_folder)}

    assert len(after) == 4
    assert after.items() >= before.items()


def test_hips_of_a_manifest_are_cases_by_subject(tmp_path: Path) -> None:
    cohort = read_cohort(make_manifest(tmp_path, 6))

    assert [set(case.hips) for case in cohort] == [{"left", "right"}] * 3


def test_an_image_outside_the_folder_is_refused(tmp_path: Path) -> None:
    table = make_manifest(tmp_path / "inside", 2)
    (tmp_path / "secret.png").write_bytes((tmp_path / "inside" / "0.png").read_bytes())
    table.write_text(table.read_text().replace("\n0.png", "\n../secret.png"))

    with pytest.raises(ManifestError, match="lies outside the folder"):
        read_cohort(tmp_path / "inside")


def test_a_link_to_the_outside_is_refused(tmp_path: Path) -> None:
    make_manifest(tmp_path / "inside", 2)
    inside = tmp_path / "inside" / "0.png"
    inside.rename(tmp_path / "secret.png")
    inside.symlink_to(tmp_path / "secret.png")

    with pytest.raises(ManifestError, match="lies outside the folder"):
        read_cohort(tmp_path / "inside")


def test_a_folder_with_nothing_to_review_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(ReviewError, match="rhoa hips SCANS"):
        read_cohort(tmp_path)
    with pytest.raises(ReviewError, match="no such folder"):
        read_cohort(tmp_path / "absent")
    with pytest.raises(ReviewError, match="no such folder or table of scans"):
        read_cohort(make_manifest(tmp_path, 2), scans=tmp_path / "absent")


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("pose.json", "{"),
        ("pose.json", "[]"),
        ("pose.json", '{"asis_left": 3}'),
        ("boxes.json", "{}"),
        ("boxes.json", "[1]"),
        ("boxes.json", '[{"side": "left", "top": 3, "left": 0, "bottom": 1, "right": 4}]'),
    ],
)
def test_damaged_files_are_told_without_the_name_of_their_folder(
    cohort_folder: Path, file: str, content: str
) -> None:
    (cohort_folder / f"{PATIENT}-01" / file).write_text(content)

    with pytest.raises(ReviewError, match="damaged") as raised:
        read_cohort(cohort_folder)

    assert PATIENT not in str(raised.value)
    assert rhoa.RhoaError in type(raised.value).__mro__

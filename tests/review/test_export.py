"""What readers made is read back by the rest of rhoa as they made it."""

from __future__ import annotations

import csv
import json
from typing import TYPE_CHECKING

import numpy as np
import pytest

import rhoa
from rhoa.errors import ReviewError
from rhoa.evaluation.reader_agreement import agreement_notes
from rhoa.hips import Box, crop, read_coco, read_examples
from rhoa.pose import from_landmarks
from rhoa.report.collect import names_readers
from rhoa.review import Session, Sitting, agreement_of, export, journals_in, read_cohort, states_of
from tests.commands import run
from tests.pictures import levels_of
from tests.review.cohorts import PATIENT, make_manifest

if TYPE_CHECKING:
    from pathlib import Path

    from rhoa.review import Cohort

pytestmark = pytest.mark.filterwarnings("ignore::rhoa.RhoaWarning")


def sitting(cohort: Cohort, reader: str = "anna", **options: object) -> Session:
    return Session(cohort, Sitting(reader=reader, repeat=0.0, **options))


def grade_all(session: Session, grade: dict[tuple[int, str], int | str]) -> None:
    for case in session.cohort:
        for side in ("left", "right"):
            kl = grade[case.number, side]
            told = {"do": "grade", "case": case.key, "side": side, "reading": 1}
            why = {"kl": None, "reason": kl} if isinstance(kl, str) else {"kl": kl}
            session.act(told | why)


GRADES = {
    (1, "left"): 0,
    (1, "right"): 4,
    (2, "left"): "prosthesis",
    (2, "right"): 1,
    (3, "left"): 2,
    (3, "right"): "cut off",
}


def test_grades_go_out_as_a_manifest_that_is_read_back_and_split(cohort_folder: Path) -> None:
    session = sitting(read_cohort(cohort_folder))
    grade_all(session, GRADES)

    done = export(session.cohort, {"anna": session.state}, cohort_folder / "review" / "anna")

    manifest = rhoa.cohort.read(cohort_folder / "review" / "anna" / "manifest.csv")
    assert manifest == done.manifest
    told = {(int(hip.subject[-2:]), hip.side): (hip.kl, hip.exclusion) for hip in manifest}
    assert told == {
        hip: (grade, None)
        if isinstance(grade, int)
        else (None, "prosthesis" if grade == "prosthesis" else "quality")
        for hip, grade in GRADES.items()
    }
    assert manifest.flow().excluded == {"prosthesis": 1, "quality": 1, "KL 1": 1}
    assert len({hip.partition for hip in manifest.split()}) > 1


def test_every_grade_goes_out_with_its_notes(cohort_folder: Path) -> None:
    cohort = read_cohort(cohort_folder)
    anna, bela = sitting(cohort), sitting(cohort, "bela")
    notes = 'old fracture, "healed"\nsee the other side'
    hip = {"case": cohort.cases[0].key, "reading": 1}
    told, noted = {"do": "grade", **hip}, {"do": "note", **hip}
    anna.act(noted | {"side": "right", "notes": notes, "features": {"narrowing_superior": 2}})
    anna.act(told | {"side": "right", "kl": 3, "seconds": 12.5})
    anna.act(told | {"side": "left", "kl": None, "reason": "prosthesis"})
    bela.act(noted | {"side": "left", "notes": "no grade yet"})
    bela.act(told | {"side": "right", "kl": 2})

    export(cohort, {"bela": bela.state, "anna": anna.state}, cohort_folder / "out")

    with (cohort_folder / "out" / "grades.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert names_readers(cohort_folder / "out" / "grades.csv")
    named = {(row["subject"], row["source"], row["visit"]) for row in rows}
    manifest = rhoa.cohort.read(cohort_folder / "out" / "manifest.csv")
    assert named <= {(hip.subject, hip.source, hip.visit) for hip in manifest}
    kept = ("case", "side", "reader", "kl", "reason", "seconds", "narrowing_superior", "notes")
    assert [tuple(row[name] for name in kept) for row in rows] == [
        ("1", "left", "anna", "", "prosthesis", "", "", ""),
        ("1", "right", "anna", "3", "", "12.5", "2", notes),
        ("1", "left", "bela", "", "", "", "", "no grade yet"),
        ("1", "right", "bela", "2", "", "", "", ""),
    ]
    manifest = rhoa.cohort.read(cohort_folder / "out" / "manifest.csv")
    hips = {(one.subject, one.side, one.visit): one.kl for one in manifest}
    joined = [hips[row["subject"], row["side"], row["visit"]] for row in rows]
    assert joined == [None, None, None, None]  # readers disagree on the right hip


def test_crops_are_those_of_the_boxes(cohort_folder: Path) -> None:
    cohort = read_cohort(cohort_folder)
    session = sitting(cohort)
    case = cohort.cases[0]
    told = {"do": "box", "case": case.key, "side": "left", "box": [10, 30, 30, 50]}
    session.act(told)

    export(cohort, {"anna": session.state}, cohort_folder / "out")

    image = rhoa.Radiograph.load(case.image)
    expected = crop(image, Box("left", 10, 30, 30, 50))
    png = cohort_folder / "out" / "crops"
    (file,) = png.glob("*01-*_left.png")
    levels = levels_of(file)
    scaled = (expected - expected.min()) / (expected.max() - expected.min()) * 255
    assert np.abs(levels - scaled).max() <= 0.5 + 1e-3


def test_boxes_go_out_as_coco_that_a_detector_learns_from(cohort_folder: Path) -> None:
    cohort = read_cohort(cohort_folder)
    session = sitting(cohort)
    session.act({"do": "box", "case": cohort.cases[0].key, "side": "right", "box": [8, 9, 20, 21]})
    session.act({"do": "box", "case": cohort.cases[2].key, "side": "right", "box": None})

    export(cohort, {"anna": session.state}, cohort_folder / "out")

    labelled = read_coco(cohort_folder / "out" / "boxes.coco.json")
    assert [len(one.boxes) for one in labelled] == [2, 2, 1]
    (drawn,) = (box for box in labelled[0].boxes if box.side == "right")
    assert (drawn.top, drawn.left, drawn.bottom, drawn.right) == pytest.approx((8, 9, 20, 21))
    assert all(one.path.is_file() for one in labelled)
    assert len(read_examples(labelled[2:], image_size=32, groups=["a"])) == 1


def test_boxes_on_pixels_that_are_not_square_survive_the_page(cohort_folder: Path) -> None:
    """Case 2 is as scanned: 5.5 mm rows, 4.5 mm columns; the page has square pixels."""
    cohort = read_cohort(cohort_folder)
    session = sitting(cohort)
    case = cohort.cases[1]
    image = rhoa.Radiograph.load(case.image)
    assert image.pixel_mm == (5.5, 4.5)
    shown = session.detail(case)["boxes"]["left"]

    session.act({"do": "box", "case": case.key, "side": "left", "box": list(shown)})

    kept = session.pictures.boxes(case, session.state.case(case.key))["left"]
    found = case.found.boxes["left"]
    edges = ("top", "left", "bottom", "right")
    assert [getattr(kept, e) for e in edges] == pytest.approx([getattr(found, e) for e in edges])
    top, left, bottom, right = shown
    assert (bottom - top) * 4.5 == pytest.approx(found.height * 5.5)
    assert (right - left) * 4.5 == pytest.approx(found.width * 4.5)


def test_moved_landmarks_go_out_and_make_the_image(cohort_folder: Path, scans: Path) -> None:
    cohort = read_cohort(cohort_folder, scans=scans)
    session = sitting(cohort)
    case = cohort.cases[1]
    points = {name: list(point) for name, point in case.found.landmarks.as_dict().items()}
    points["asis_left"][2] += 9.0
    session.act({"do": "pose", "case": case.key, "landmarks": points})
    session.act({"do": "judge", "case": case.key, "verdict": "accepted"})

    export(cohort, {"anna": session.state}, cohort_folder / "out")

    (file,) = (cohort_folder / "out" / "landmarks").glob("*02-*.json")
    landmarks = rhoa.Landmarks.from_json(file)
    assert landmarks.as_dict() == points
    image = session.pictures.image(case, session.state.case(case.key))
    expected = rhoa.ctap(rhoa.read_ct(case.scan), pose=landmarks)
    np.testing.assert_array_equal(image.pixels, expected.pixels)
    angles = from_landmarks(landmarks).angles
    assert session.summary(case)["angles"] == pytest.approx(angles._asdict())


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("sides exchanged", "not swapped"),
        ("one point", "four separate landmarks"),
        ("on a line", "collinear"),
        ("depth beside the scan", "no ray meets"),
    ],
)
def test_a_pose_without_an_image_is_refused_before_it_is_written(
    cohort_folder: Path, scans: Path, name: str, message: str
) -> None:
    """The page, which shows the images of all cases, could not be loaded after it."""
    session = sitting(read_cohort(cohort_folder, scans=scans))
    case = session.cohort.cases[0]
    asis_left, asis_right, *pubis = case.found.landmarks.as_array().tolist()
    points = {
        "sides exchanged": (asis_right, asis_left, *pubis[::-1]),
        "one point": (asis_left,) * 4,
        "on a line": (asis_left, asis_right) * 2,
        "depth beside the scan": None,
    }[name]
    landmarks = None if points is None else rhoa.Landmarks(*points).as_dict()
    depth = [900, 950] if points is None else None
    before = session.snapshot()

    with pytest.raises(rhoa.RhoaError, match=message):
        session.act({"do": "pose", "case": case.key, "landmarks": landmarks, "depth_mm": depth})

    assert session.snapshot() == before


def test_a_rejected_case_is_left_out(cohort_folder: Path) -> None:
    cohort = read_cohort(cohort_folder)
    session = sitting(cohort)
    rejected = cohort.cases[0]
    session.act({"do": "judge", "case": rejected.key, "verdict": "rejected", "reason": "other"})

    done = export(cohort, {"anna": session.state}, cohort_folder / "out")

    assert done.rejected == 1
    assert {hip.subject for hip in done.manifest} == {case.name for case in cohort.cases[1:]}


def test_a_manifest_of_crops_keeps_its_rows_and_takes_the_grades(tmp_path: Path) -> None:
    cohort = read_cohort(make_manifest(tmp_path, 4))
    session = sitting(cohort)
    session.act({"do": "grade", "case": cohort.cases[0].key, "side": "left", "reading": 1, "kl": 3})

    done = export(cohort, {"anna": session.state}, tmp_path / "out")

    before = rhoa.cohort.read(tmp_path / "manifest.csv")
    after = rhoa.cohort.read(tmp_path / "out" / "manifest.csv")
    assert [(hip.subject, hip.side, hip.kl) for hip in after] == [
        (hip.subject, hip.side, 3 if number == 0 else None) for number, hip in enumerate(before)
    ]
    for old, new in zip(before, after, strict=True):
        assert old.image.read_bytes() == new.image.read_bytes()
    assert done.boxes == done.landmarks == 0


def test_two_readers_make_one_label_a_queue_and_their_agreement(cohort_folder: Path) -> None:
    cohort = read_cohort(cohort_folder)
    for reader, other in (("anna", 4), ("ben", 3)):
        session = sitting(cohort, reader)
        grade_all(session, GRADES | {(1, "right"): other})
        session.close()
    states = states_of(journals_in(cohort.journals))

    done = export(cohort, states, cohort_folder / "review" / "consensus")

    assert done.disputed == 1
    table = (cohort_folder / "review" / "consensus" / "adjudication.csv").read_text()
    name = cohort.cases[0].name
    assert list(csv.reader(table.splitlines())) == [
        ["subject", "side", "source", "visit", "case", "grades"],
        [name, "right", "ct", "", "1", "4 3"],
    ]
    kls = {(int(hip.subject[-2:]), hip.side): hip.kl for hip in done.manifest}
    assert kls[1, "right"] is None
    assert kls[3, "left"] == 2
    told = json.loads((cohort_folder / "review" / "consensus" / "agreement.json").read_text())
    figures = {one["measure"]: one for one in told["figures"]}
    assert figures["KL, equal"]["value"] == 0.75
    assert figures["KL, equal"]["count"] == 4
    assert figures["KL, equal"]["subjects"] == 3
    assert figures["gradable, equal"]["value"] == 1
    assert figures["rHOA, kappa"]["value"] == 1
    notes = agreement_notes(cohort_folder / "review" / "consensus")
    assert notes[0] == "Grades were read on rhoa's page: 2 readers graded the hips."
    assert "rHOA, kappa 1.00 (95 % interval not defined), 4 hips of 3 subjects." in notes[-1]


def test_the_command_says_which_intervals_are_not_defined(
    cohort_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two readers who give every hip one grade: equal everywhere, and kappa of one category."""
    for reader in ("anna", "ben"):
        session = sitting(read_cohort(cohort_folder), reader)
        grade_all(session, dict.fromkeys(GRADES, 2))
        session.close()

    code, out, _ = run(capsys, "review", cohort_folder, "--agreement")

    assert code == 0
    assert "nan" not in out
    lines = {line.split("  ")[1].strip(): line for line in out.splitlines() if "  " in line}
    assert lines["KL, equal"].split()[4:8] == ["1.000", "too", "few", "subjects"]
    assert "not defined" in lines["KL, kappa"]
    assert "too few subjects" in lines["KL, kappa"]


def test_a_report_says_nothing_of_readers_that_are_not_known(tmp_path: Path) -> None:
    assert agreement_notes(tmp_path) == []

    (tmp_path / "agreement.json").write_text('{"readers": 1}')
    with pytest.raises(ReviewError, match=r"agreement\.json: damaged"):
        agreement_notes(tmp_path)


def test_an_adjudicator_sees_the_queue_alone_and_decides(cohort_folder: Path) -> None:
    cohort = read_cohort(cohort_folder)
    for reader, other in (("anna", 4), ("ben", 3)):
        session = sitting(cohort, reader)
        grade_all(session, GRADES | {(1, "right"): other})
        session.close()
    judge = sitting(cohort, "carl", adjudicates=True)
    assert [(cohort.case(at.case).number, at.side) for at in judge.order()] == [(1, "right")]

    judge.act({"do": "grade", "case": cohort.cases[0].key, "side": "right", "reading": 1, "kl": 3})

    done = export(cohort, states_of(journals_in(cohort.journals)), cohort_folder / "out")
    kls = {(int(hip.subject[-2:]), hip.side): hip.kl for hip in done.manifest}
    assert kls[1, "right"] == 3
    assert done.disputed == 0


def test_a_training_answers_each_grade_by_the_known_one_and_none_counts(tmp_path: Path) -> None:
    table = make_manifest(tmp_path, 6)
    rows = list(csv.reader(table.read_text().splitlines()))
    for number, row in enumerate(rows[1:5]):
        row[4] = str(number)
    table.write_text("".join(",".join(row) + "\n" for row in rows))
    session = sitting(read_cohort(tmp_path), training=True)

    order = session.order()
    answers = {}
    for at in order:
        told = {"do": "grade", "case": at.case, "side": at.side, "reading": 1, "kl": 2}
        assert "known_kl" not in session.snapshot()["order"][order.index(at)]
        answers[at] = session.act(told)["known_kl"]

    assert sorted(answers.values()) == [0, 1, 2, 3]  # the two hips without a grade are not shown
    assert session.state.grades == {}
    assert len(session.state.training) == 4
    session.close()
    with pytest.raises(ReviewError, match="column kl"):
        sitting(read_cohort(make_manifest(tmp_path / "none", 2)), training=True)


def test_cases_are_dealt_to_readers_evenly_and_each_sees_theirs(cohort_folder: Path) -> None:
    cohort = read_cohort(cohort_folder)
    readers = ["anna", "ben", "carl"]

    cohort.assign(readers, per_case=2)

    seen = {}
    for reader in readers:
        session = sitting(cohort, reader)
        seen[reader] = {at.case for at in session.order()}
        assert {one["key"] for one in session.snapshot()["cases"]} == seen[reader]
        session.close()
    assert [len(cases) for cases in seen.values()] == [2, 2, 2]
    assert all(sum(case.key in of for of in seen.values()) == 2 for case in cohort)
    with pytest.raises(
        ReviewError, match="no case is assigned to dora; readers are anna, ben, carl"
    ):
        sitting(cohort, "dora")
    before = cohort.assignment
    cohort.assign(["dora"])
    assert cohort.assignment == before  # every case had its readers


def test_predictions_are_shown_where_a_reader_is_unblinded_and_nowhere_else(
    cohort_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cohort = read_cohort(cohort_folder)
    known = {(cohort.cases[0].name, "left"): 0.83}
    with pytest.raises(ReviewError, match="not blinded"):
        sitting(cohort, predictions=known)

    session = sitting(cohort, predictions=known, blinded=False)

    shown = {(at["case"], at["side"]): at["prediction"] for at in session.snapshot()["order"]}
    assert shown[cohort.cases[0].key, "left"] == 0.83
    assert set(shown.values()) == {0.83, None}
    session.close()
    blinded = sitting(cohort)
    assert {at["prediction"] for at in blinded.snapshot()["order"]} == {None}
    code, _, err = run(capsys, "review", cohort_folder, "--predictions", tmp_path / "p.csv")
    assert code != 0
    assert "--unblinded" in err


def test_readers_poses_and_boxes_are_compared(cohort_folder: Path, scans: Path) -> None:
    cohort = read_cohort(cohort_folder, scans=scans)
    first, third = cohort.cases[0], cohort.cases[2]
    for reader, away in (("anna", 0.0), ("ben", 6.0)):
        session = sitting(cohort, reader)
        found = first.found.landmarks.as_dict()
        points = {name: [point[0] + away, *point[1:]] for name, point in found.items()}
        session.act({"do": "pose", "case": first.key, "landmarks": points})
        session.act({"do": "judge", "case": first.key, "verdict": "accepted"})
        session.act({"do": "judge", "case": third.key, "verdict": "accepted"})
        box = [10, 10 + away, 22, 22 + away]
        session.act({"do": "box", "case": third.key, "side": "left", "box": box})
        session.act({"do": "accept boxes", "case": third.key})
        session.close()

    figures = {
        one.measure: one for one in agreement_of(cohort, states_of(journals_in(cohort.journals)))
    }

    assert figures["landmarks, mean distance, mm"].estimate.value == pytest.approx(3.0)
    assert figures["landmarks to the left, mm, bias"].estimate.value == pytest.approx(3.0)
    assert figures["landmarks to the superior, mm, bias"].estimate.value == pytest.approx(0.0)
    assert figures["tilt, deg, bias"].estimate.value == pytest.approx(0.0, abs=1e-9)
    assert figures["boxes, mean IoU"].estimate.value == pytest.approx((6 / 18 + 1) / 2)
    assert figures["boxes, mean IoU"].read == 2


def test_names_of_patients_are_in_files_that_the_user_keeps_and_nowhere_on_the_page(
    cohort_folder: Path, scans: Path
) -> None:
    cohort = read_cohort(cohort_folder, scans=scans)
    session = sitting(cohort)

    told = [session.snapshot(), *(session.detail(case) for case in cohort)]

    assert PATIENT not in json.dumps(told)
    assert PATIENT not in (cohort_folder / "review" / "anna.jsonl").read_text()

"""The command line: what each verb writes, what each mistake says, with which exit code."""

from __future__ import annotations

import csv
import hashlib
import json
import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pydicom
import pytest

import rhoa
from rhoa import cli
from rhoa.errors import warn_user
from rhoa.phantom import Anatomy, Surroundings, ct, write_dicom
from rhoa.raster import encode_png
from rhoa.testing import make_series
from rhoa.testing.synthetic import CATALOGUE
from tests.cohort.copies import texture
from tests.commands import run

pytestmark = pytest.mark.usefixtures("poses_once")

VERBS = [
    *("inspect", "ctap", "hips", "xray", "detector", "review", "split", "train", "evaluate"),
    *("export", "predict", "explain", "study", "plan-size", "audit", "demo", "bench", "info"),
]


@pytest.fixture(scope="module")
def patient(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a small CT series and its landmarks."""
    folder = tmp_path_factory.mktemp("patient")
    phantom = ct(Anatomy.random(8), spacing_mm=(4, 3, 3), angles=(6, 1, -2))
    write_dicom(phantom.volume, folder / "ct")
    phantom.landmarks.to_json(folder / "landmarks.json")
    return folder


def test_a_scan_becomes_a_picture_and_its_values(
    patient: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = run(capsys, "ctap", patient / "ct", "-o", tmp_path / "out")

    assert code == 0
    assert "ct-ap.png" in out
    image = rhoa.Radiograph.load(tmp_path / "out" / "ct-ap.npz")
    assert np.array_equal(image, rhoa.ctap(rhoa.read_ct(patient / "ct")))


@pytest.mark.parametrize(
    # The femoral heads of this phantom lie 44.7 mm behind the plane.
    ("depth", "range_mm"),
    [(("-20", "120"), [-20, 120]), (("hip",), [44.7 - 37.5, 44.7 + 37.5])],
)
def test_landmarks_realign_it(
    patient: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    depth: tuple[str, ...],
    range_mm: list[float],
) -> None:
    words = ("ctap", patient / "ct", "-o", tmp_path / "a.npz", "--depth", *depth, "--json")
    code, out, _ = run(capsys, *words, "--pose", patient / "landmarks.json")

    assert code == 0
    assert json.loads(out)[0]["tilt_deg"] == pytest.approx(6, abs=0.01)
    image = rhoa.Radiograph.load(tmp_path / "a.npz")
    assert image.provenance["depth_mm"] == pytest.approx(range_mm, abs=1.0)


def test_it_is_projected_the_way_that_is_asked_for(
    patient: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("ctap", patient / "ct", "-o", tmp_path / "a.npz", "--pose", patient / "landmarks.json")
    volume = rhoa.read_ct(patient / "ct")
    pose = rhoa.Landmarks.from_json(patient / "landmarks.json")

    for options in ({"method": "reslice", "order": 3}, {"reduce": "max"}, {"transform": "hu"}):
        given = [str(word) for name, value in options.items() for word in (f"--{name}", value)]
        code, _, _ = run(capsys, *words, *given)

        assert code == 0
        image = rhoa.Radiograph.load(tmp_path / "a.npz")
        assert np.array_equal(image, rhoa.ctap(volume, pose=pose, **options))


def test_bench_times_everything_beside_a_read_of_memory(
    capsys: pytest.CaptureFixture[str],
) -> None:
    code, out, _ = run(capsys, "bench", "--shape", 9, 8, 7, "--rounds", 2, "--json")

    rows = {row["what"]: row for row in json.loads(out)}
    assert code == 0
    assert rows["pure read of the array"]["/ read"] == 1
    assert {"straight sum, axis 1", "oblique sum, rhoa (shear)"} <= set(rows)
    assert {row["voxels"] for row in json.loads(out)} == {"int16", "uint8", "uint16", "float32"}
    assert all(row["min ms"] <= row["median ms"] <= row["max ms"] for row in rows.values())


@pytest.mark.parametrize("pose", [(), ("--pose", "LANDMARKS")])
def test_hips_are_cropped(
    patient: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], pose: tuple[str, ...]
) -> None:
    places = {"LANDMARKS": patient / "landmarks.json"}
    words = ("hips", patient / "ct", "-o", tmp_path, *(places.get(word, word) for word in pose))
    code, out, _ = run(capsys, *words)

    assert code == 0
    boxes = json.loads((tmp_path / "boxes.json").read_text())
    assert [box["side"] for box in boxes] == ["left", "right"]
    for name in ("hip-left.png", "hip-right.png", "boxes.png", "ct-ap.png"):
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")
        assert name in out


def test_boxes_tell_how_sure_they_are_and_whether_a_hip_can_be_used(
    patient: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = run(capsys, "hips", patient / "ct", "-o", tmp_path, "--json")

    assert code == 0
    (told,) = json.loads(out)
    rows = told["hips"]
    assert rows == json.loads((tmp_path / "boxes.json").read_text())
    assert told["pose"] == json.loads((tmp_path / "pose.json").read_text())
    assert (told["scan"], told["verdict"], told["failure"]) == ("ct", "look", "")
    assert told["pose"]["flags"] == ["coarse_voxels"]
    assert [text.partition(";")[0] for text in told["warnings"]] == [
        "the alignment is flagged: coarse_voxels"
    ]
    assert {row["side"]: row["usable"] for row in rows} == {"left": True, "right": True}
    assert all(row["confidence"] > 0.5 and row["flags"] == [] for row in rows)


def test_a_hip_beside_the_scan_does_not_lose_the_other(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    reach = ((-225, 60), (-95, 225), (-95, 205))
    phantom = ct(Anatomy.random(8), spacing_mm=(4, 3, 3), surroundings=Surroundings(reach_mm=reach))
    write_dicom(phantom.volume, tmp_path / "ct")
    phantom.landmarks.to_json(tmp_path / "landmarks.json")
    words = ("hips", tmp_path / "ct", "-o", tmp_path / "out", "--pose")

    code, out, _ = run(capsys, *words, tmp_path / "landmarks.json")

    assert code == 4
    assert "left hip not cropped: " in out
    assert "box outside image: " in out
    rows = json.loads((tmp_path / "out" / "boxes.json").read_text())
    assert {row["side"]: row["usable"] for row in rows} == {"left": False, "right": True}
    assert (tmp_path / "out" / "hip-right.png").exists()
    assert not (tmp_path / "out" / "hip-left.png").exists()


@pytest.fixture(scope="module")
def patients(patient: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of five: sound, an implant, slices too thick for a pose, no CT, damaged."""
    folder = tmp_path_factory.mktemp("patients") / "scans"
    shutil.copytree(patient / "ct", folder / "sound & well")
    case = ct(Anatomy.random(8), spacing_mm=(4, 3, 3), surroundings=Surroundings(implant="left"))
    write_dicom(case.volume, folder / "implant")
    case = ct(Anatomy.random(8), spacing_mm=(6, 3, 3))
    write_dicom(case.volume, folder / "thick")
    make_series(folder / "mr", defect="mr")
    (folder / "damaged.nii").write_bytes(b"no volume")
    (folder / "notes.txt").write_text("beside the scans")
    return folder


def test_each_scan_of_a_folder_is_on_one_page(
    patients: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = run(capsys, "hips", patients, "-o", tmp_path, "--each")

    assert code == 4
    assert "Traceback" not in err
    rows = list(csv.DictReader((tmp_path / "hips.csv").read_text("utf-8").splitlines()))
    found = {(row["scan"], row["side"]): row for row in rows}
    assert len(found) == len(rows) == 6
    for name in ("sound & well", "implant", "thick"):
        for file in ("ct-ap.npz", "pose.json", "view-1.png", "view-2.png"):
            assert (tmp_path / name / file).is_file(), (name, file)
        for side in ("left", "right"):
            usable = found[name, side]["usable"] == "True"
            assert (tmp_path / name / f"hip-{side}.png").is_file() == usable
    assert "implant" in found["implant", "left"]["flags"]
    assert found["implant", "left"]["usable"] == "False"
    assert found["implant", "right"]["usable"] == "True"
    assert found["thick", "left"]["pose_used"] == "False"
    assert found["implant", "left"]["pose_used"] == "True"
    page = (tmp_path / "contact-sheet.html").read_text(encoding="utf-8")
    places = [page.index(f"<h3>{name}<") for name in ("damaged.nii", "mr", "thick", "implant")]
    assert places == sorted(places)
    assert "sound &amp; well" in page
    assert "damaged.nii: " in out
    assert "mr: " in out
    assert "1 other files beside the scans were not looked at" in out
    assert "CANARY" not in page + out + err

    _, printed, _ = run(capsys, "hips", patients, "-o", tmp_path, "--each", "--json")
    told = {one["scan"]: one for one in json.loads(printed)}
    assert sorted(told) == ["damaged.nii", "implant", "mr", "sound & well", "thick"]
    assert {name for name, one in told.items() if one["failure"]} == {"damaged.nii", "mr"}
    verdicts = {name: one["verdict"] for name, one in told.items() if not one["failure"]}
    assert verdicts == {"implant": "look", "sound & well": "look", "thick": "not used"}
    for name in verdicts:
        pose = json.loads((tmp_path / name / "pose.json").read_text("utf-8"))
        assert told[name]["pose"] == pose
        for hip in told[name]["hips"]:
            row = found[name, hip["side"]]
            assert {k: _in_table(hip.get(k)) for k in row if k != "scan"} == {
                k: text for k, text in row.items() if k != "scan"
            }
            assert hip["scanner"] == "rhoa"


def _in_table(value: object) -> str:
    if isinstance(value, list):
        return " ".join(map(str, value))
    return "" if value is None else str(value)


def test_one_scan_is_the_same_alone_and_in_a_folder(
    patients: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(capsys, "hips", patients / "sound & well", "-o", tmp_path / "alone")
    run(capsys, "hips", patients, "-o", tmp_path / "all", "--each")

    for file in sorted((tmp_path / "alone").iterdir()):
        same = tmp_path / "all" / "sound & well" / file.name
        assert same.read_bytes() == file.read_bytes(), file.name


def digests(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_side_by_side_in_parts_and_again_the_same_is_made(
    patients: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("ctap", patients, "--each", "-o")

    codes = [
        run(capsys, *words, tmp_path / "one")[0],
        run(capsys, *words, tmp_path / "two", "--workers", 2)[0],
        run(capsys, *words, tmp_path / "parts", "--shard", "1/2")[0],
        run(capsys, *words, tmp_path / "parts", "--shard", "2/2")[0],
        run(capsys, *words, tmp_path / "parts")[0],
    ]
    made = digests(tmp_path / "one")
    code, out, _ = run(capsys, *words, tmp_path / "one")
    other = run(capsys, *words, tmp_path / "one", "--window", 0, 1000)

    assert codes == [4, 4, 4, 0, 4]  # damaged, mr, thick | implant, sound: in turn
    assert digests(tmp_path / "two") == made
    parts = digests(tmp_path / "parts")
    assert {name: parts[name] for name in made} == made
    assert {name for name in parts if name not in made} == {
        *(f"ct-aps-{n}-of-2.csv" for n in (1, 2)),
        *(f"contact-sheet-{n}-of-2.html" for n in (1, 2)),
        "rejected-1-of-2.csv",
    }
    assert (code, "3 of them were done before" in out) == (4, True)
    assert "done before" not in other[1]
    rows = list(csv.DictReader((tmp_path / "one" / "ct-aps.csv").read_text("utf-8").splitlines()))
    assert [row["scan"] for row in rows] == ["implant", "sound & well", "thick"]
    rejected = (tmp_path / "one" / "rejected.csv").read_text("utf-8")
    assert "damaged.nii" in rejected
    assert "mr" in rejected


def test_inspect_lists_the_series(patient: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "inspect", patient / "ct", "--json")

    assert code == 0
    (series,) = json.loads(out)
    assert series["modality"] == "CT"
    assert series["spacing_mm"] == [4.0, 3.0, 3.0]


def test_inspect_tells_why_a_series_is_refused_and_what_to_type_next(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_series(tmp_path / "a b" / "good", defect="lossy-padding")
    make_series(tmp_path / "a b" / "bad", defect="gantry-tilt")
    for path in (tmp_path / "a b" / "bad").iterdir():
        image = pydicom.dcmread(path)
        image.SeriesInstanceUID = "1.2.3.99"
        image.ConvolutionKernel = "kernel of 16 let"
        image.save_as(path)

    code, out, _ = run(capsys, "inspect", tmp_path / "a b")
    told = json.loads(run(capsys, "inspect", tmp_path / "a b", "--json")[1])

    assert code == 0
    lines = out.splitlines()
    assert max(map(len, lines[:-1])) <= 98  # the last is a command, with the path that was given
    assert lines[0].split()[:3] == ["index", "folder", "modality"]
    reason = " ".join(out.split("refused: ")[1].split("warning:")[0].split())
    assert "sheared by 15.0 deg (gantry tilt)" in reason
    assert "warning: 12 of 12 slices were compressed with loss" in out
    index = next(one["index"] for one in told if one["verdict"] == "volume")
    assert lines[-1] == f"next: rhoa ctap '{tmp_path / 'a b'}' -o out"
    assert told[index]["warnings"] == [
        "12 of 12 slices were compressed with loss; HU are approximate."
    ]
    assert {one["uid"] for one in told} >= {"1.2.3.99"}
    assert "1.2.3.99" not in out
    assert "CANARY" not in out + json.dumps(told)


def test_inspect_of_several_volumes_names_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_series(tmp_path, defect="two-series")

    code, out, _ = run(capsys, "inspect", tmp_path)

    assert code == 0
    assert out.splitlines()[-1].startswith(f"next: rhoa ctap {tmp_path} --series 0 -o out")


def test_inspect_of_refused_series_alone_is_an_answer_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_series(tmp_path, defect="mr")

    code, out, _ = run(capsys, "inspect", tmp_path)

    assert code == 0
    assert "refused: modality MR, not CT." in out
    assert out.splitlines()[-1] == "no series here can be read as a CT volume"


def test_repairs_are_named_after_repair(
    patient: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(patient / "ct", tmp_path / "ct")
    sorted((tmp_path / "ct").iterdir())[3].unlink()

    refused, _, message = run(capsys, "ctap", tmp_path / "ct", "-o", tmp_path / "out.png")
    repair = ("--repair", "gaps,tilt")
    listed, out, _ = run(capsys, "inspect", tmp_path / "ct", "--json", *repair)
    made, _, _ = run(capsys, "ctap", tmp_path / "ct", "-o", tmp_path / "out.png", *repair)

    assert (refused, listed, made) == (1, 0, 0)
    assert "pass --repair gaps" in message
    assert json.loads(out)[0]["verdict"] == "volume"


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["ctap", "none", "-o", "out"], 1, "rhoa ctap: none"),
        (["ctap", "EMPTY", "-o", "out"], 1, "rhoa ctap: "),
        (["ctap", "CT", "-o", "out", "--window", "600", "-150"], 2, "low < high, in HU; got (600"),
        (["ctap", "CT", "-o", "out", "--window", "nan", "600"], 2, "low < high, in HU; got (nan"),
        (["ctap", "CT", "-o", "out", "--depth", "hip"], 2, "pass --pose"),
        (["ctap", "CT", "-o", "out", "--tilt-offset", "5"], 2, "pass --pose"),
        (["ctap", "CT", "-o", "out", "--pose", "auto", "--tilt-offset", "50"], 2, "within 35 deg"),
        (["ctap", "CT", "-o", "out", "--pose", "LINE"], 1, "landmarks"),
        (["ctap", "CT", "-o", "out.tif"], 2, "out.tif: rhoa writes .png, .npz"),
        (["hips", "CT", "-o", "out", "--pose", "LINE"], 1, "landmarks"),
        (["hips", "none.csv", "-o", "out"], 1, "none.csv: no such table"),
        (["hips", "none.csv", "-o", "out", "--depth", "hip"], 2, "names its own landmarks"),
        (["hips", "EMPTY", "-o", "out", "--each"], 1, "empty: holds no scans, which are folders"),
        (["hips", "none", "-o", "out", "--each"], 1, "none: no such folder"),
        (["ctap", "EMPTY", "-o", "out", "--each", "--shard", "3/2"], 2, "'3/2' is no part"),
        (["ctap", "CT", "-o", "out.png", "--each"], 2, "writes many images; name a folder"),
        (["hips", "EMPTY", "-o", "out", "--each", "--pose", "GOOD"], 2, "landmarks are of one"),
        (["split", "none.csv"], 1, "none.csv: no such table"),
        (["train", "none.csv", "-o", "run", "--recipe", "model-9"], 2, "no recipe 'model-9'"),
        (["ctap", "CT"], 2, "required: -o/--out"),
        (["ctap", "CT", "-o", "out", "--window", "high", "low"], 2, "invalid float value"),
        (["demo", "--out", "out", "--ct-subjects", "0"], 2, "ct_subjects must be a whole number"),
        (["sing"], 2, "invalid choice: 'sing' (one of inspect, ctap, hips"),
        (["hip", "CT", "-o", "out"], 2, "invalid choice: 'hip'; did you mean hips?"),
        (["ctap", "CT", "-o", "out", "--windw", "0", "1"], 2, "--windw 0 1; did you mean --window"),
        (["ctap", "CT", "-o", "out", "-q", "-v"], 2, "not allowed with argument"),
        (["ctap", "CT", "-o", "out", "--log", "none/log"], 2, "none/log: No such file"),
        (["--print-completion", "fish"], 2, "takes one of bash, zsh, tcsh"),
        (["--pose"], 2, "name a verb: inspect, ctap"),
    ],
)
def test_a_mistake_is_one_clear_line(
    patient: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    words: list[str],
    code: int,
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    line = {name: [n, 0, 0] for n, name in enumerate(("asis_left", "asis_right"))}
    line |= {"pubic_tubercle_left": [5, 0, 0], "pubic_tubercle_right": [9, 0, 0]}
    (tmp_path / "line.json").write_text(json.dumps(line))
    places = {"CT": patient / "ct", "EMPTY": "empty", "LINE": "line.json"}
    places["GOOD"] = patient / "landmarks.json"

    given, _, err = run(capsys, *(places.get(word, word) for word in words))

    assert given == code
    assert message in err
    assert "Traceback" not in err
    lines = [text for text in err.splitlines() if text.startswith("rhoa")]
    assert len(lines) == 1
    assert not (tmp_path / "out").exists() or not any((tmp_path / "out").iterdir())


PYTHON_WORDS = re.compile(r"\b[a-z_]+=|\bread_(?:ct|xray)\b|rhoa\.\w|in the shell|max_bytes")
"""What no message of the shell has: arguments and functions of Python."""


class TestWordsOfTheShell:
    """Remedies are options that can be typed."""

    @pytest.mark.parametrize(
        "defect", [name for name, made in CATALOGUE.items() if made.repair or made.error]
    )
    def test_a_refused_series_is_told_with_options(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str], defect: str
    ) -> None:
        series = make_series(tmp_path / "ct", defect=defect)

        code, _, err = run(capsys, "ctap", tmp_path / "ct", "-o", tmp_path / "out")
        listed = run(capsys, "inspect", tmp_path / "ct")[1]

        assert code == 1
        assert not PYTHON_WORDS.search(err)
        assert not PYTHON_WORDS.search(listed)
        if series.repair:
            assert f"--repair {series.repair[0]}" in err
        if series.repair and "refused: " in listed:  # what headers tell
            assert f"--repair {series.repair[0]}" in " ".join(listed.split())

    @pytest.mark.parametrize("defect", ["two-series", "missing-slice"])
    def test_a_folder_of_patients_is_to_be_read_with_each(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str], defect: str
    ) -> None:
        """Of their own series UIDs, and of one, as some programs that anonymise write them."""
        series = make_series(tmp_path / "all", defect=defect)
        for n, path in enumerate(sorted(series.path.iterdir())):
            uid = str(pydicom.dcmread(path, stop_before_pixels=True).SeriesInstanceUID)
            patient = uid[-1] if defect == "two-series" else "ab"[n > 5]
            (tmp_path / "patients" / patient).mkdir(parents=True, exist_ok=True)
            shutil.copy(path, tmp_path / "patients" / patient)

        code, _, err = run(capsys, "hips", tmp_path / "patients", "-o", tmp_path / "out")

        assert code == 1
        assert "lie in 2 folders (" in err
        assert "if each is a scan of its own, pass one of them, or --each." in err

    def test_a_volume_file_beside_slices_is_named(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        series = make_series(tmp_path / "ct")
        (series.path / "bones.nii.gz").write_bytes(b"")

        code, _, err = run(capsys, "ctap", series.path, "-o", tmp_path / "out")

        assert code == 0
        assert "warning: bones.nii.gz beside the DICOM files: not read; pass a volume file" in err

    def test_an_image_that_is_refused_names_what_overrules_it(
        self, patient: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (tmp_path / "a.png").write_bytes(encode_png(texture(0)))
        slice_of_ct = min((patient / "ct").iterdir())

        unknown = run(capsys, "xray", tmp_path / "a.png", "-o", tmp_path / "out")[2]
        modality = run(capsys, "xray", slice_of_ct, "-o", tmp_path / "out")[2]
        large = run(capsys, "hips", patient / "ct", "-o", tmp_path / "out", "--max-bytes", "9")[2]

        assert "pass --pixel-mm with its size, or --pixel-mm file to trust its" in unknown
        assert "rhoa needs a frontal X-ray" in modality
        assert "pass --accept modality to read it" in modality
        assert "more than --max-bytes 9; pass a larger --max-bytes if" in large

    def test_a_folder_of_ct_is_one_refusal(
        self, patient: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        code, out, err = run(capsys, "xray", patient / "ct", "-o", tmp_path / "out")

        assert (code, out) == (1, "")
        assert len(err.splitlines()) == 1
        assert "DICOM files are CT, no X-rays; rhoa hips finds the hips of a CT" in err

    @pytest.mark.parametrize("slices", [3, pytest.param(30, marks=pytest.mark.slow)])
    def test_a_scan_without_a_pelvis_says_the_same_in_the_table_and_below(
        self, patient: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], slices: int
    ) -> None:
        """The upper end of a scan: three slices, and the lumbar spine."""
        files = {
            float(pydicom.dcmread(path, stop_before_pixels=True).ImagePositionPatient[2]): path
            for path in (patient / "ct").iterdir()
        }
        (tmp_path / "ct").mkdir()
        for place in sorted(files)[-slices:]:
            shutil.copy(files[place], tmp_path / "ct")

        code, out, _ = run(capsys, "hips", tmp_path / "ct", "-o", tmp_path / "out")

        assert code == 4
        assert re.search(r"^left +False ", out, re.MULTILINE)
        assert "left hip: not usable: no pelvis found: " in out
        assert f"{slices * 4} mm from top to bottom; the scan must hold both hips" in out
        assert "pass a scan that holds the pelvis, or its landmarks with --pose" in out
        assert "points_lps" not in out


def test_without_a_verb_the_help_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys)

    assert (code, err) == (0, "")
    assert "rhoa hips patient/ct -o out" in out


class TestDefaults:
    """`rhoa.toml` in the working folder."""

    @pytest.fixture(autouse=True)
    def here(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        monkeypatch.chdir(tmp_path)
        return tmp_path

    def test_a_table_sets_the_options_of_its_verb_and_words_overrule_it(
        self, here: Path, patient: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (here / "rhoa.toml").write_text(
            '[ctap]\nout = "made"\nwindow = [0, 500]\njson = true\n[hips]\npose = "auto"\n'
        )

        first = run(capsys, "ctap", patient / "ct")
        second = run(capsys, "ctap", patient / "ct", "--window", "-100", "400", "-o", "other")

        assert "rhoa ctap: rhoa.toml sets out, window, json" in first[2]
        assert rhoa.Radiograph.load(here / "made/ct-ap.npz").provenance["window_hu"] == [0, 500]
        assert json.loads(first[1])[0]
        window = rhoa.Radiograph.load(here / "other/ct-ap.npz").provenance["window_hu"]
        assert (second[0], window) == (0, [-100, 400])

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("[ctap", "rhoa.toml: not TOML"),
            ("[hip]", "[hip] is no verb; did you mean hips?"),
            ("pose = 1", "[pose] is no verb"),
            ("[ctap]\nwindo = [0, 1]", "has no option windo; did you mean window?"),
            ("[ctap]\nwindow = [0]", "window must be 2 values; got [0]"),
            ('[ctap]\nwindow = ["low", 1]', "window: could not convert string to float"),
            ('[ctap]\njson = "yes"', "json must be true or false"),
            ('[ctap]\nmethod = "shears"', "method must be one of shear, reslice"),
            ("[ctap]\nout = { a = 1 }", "must be a text, a number or a list"),
        ],
    )
    def test_what_it_cannot_mean_is_a_usage_error(
        self, here: Path, capsys: pytest.CaptureFixture[str], text: str, message: str
    ) -> None:
        (here / "rhoa.toml").write_text(text)

        code, _, err = run(capsys, "ctap", "ct", "-o", "out")

        assert code == 2
        assert message in err


class TestMuch:
    """How much a verb says beside its result."""

    @pytest.fixture
    def warning(self, monkeypatch: pytest.MonkeyPatch) -> None:
        from rhoa.cli import demo
        from rhoa.cli.common import VerbResult, bar

        def warns(_: object) -> VerbResult:
            show = bar()
            show(1, 1, "reading")
            for number in range(3):
                warn_user(f"{number}.dcm: {number + 2} slices are blank.")
            return VerbResult(lines=["done"])

        monkeypatch.setattr(demo, "info", warns)

    @pytest.mark.usefixtures("warning")
    def test_warnings_of_one_kind_are_shown_once_and_counted(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        once, every, none = (run(capsys, "info", *much) for much in ((), ("-v",), ("-q",)))

        assert [said[1] for said in (once, every, none)] == ["done\n"] * 3
        assert once[2].count("slices are blank") == 1
        assert "2 more warnings of this kind; -v shows every one" in once[2]
        assert every[2].count("slices are blank") == 3
        assert none[2] == ""

    @pytest.mark.usefixtures("warning")
    def test_a_log_has_what_quiet_leaves_out(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        run(capsys, "info", "-q", "--log", tmp_path / "log")
        run(capsys, "ctap", tmp_path / "none", "-o", tmp_path / "o", "--log", tmp_path / "log")

        lines = (tmp_path / "log").read_text().splitlines()
        assert [line for line in lines if "0.dcm: 2 slices are blank" in line]
        assert [line for line in lines if "reading: 1 done" in line]
        assert "rhoa ctap: none: no such" in lines[-1]
        assert all(re.match(r"20\d\d-\d\d-\d\d \d\d:\d\d:\d\d ", line) for line in lines)

    def test_quiet_does_not_hide_an_error_and_verbose_shows_where_it_arose(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        quiet, verbose = (
            run(capsys, "ctap", tmp_path / "none", "-o", tmp_path, much) for much in ("-q", "-v")
        )

        assert quiet[0] == verbose[0] == 1
        assert quiet[2].startswith("rhoa ctap: none")
        assert "Traceback" in verbose[2]


def test_a_shell_completes_verbs_and_options(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("shtab", reason="needs extra completion")

    code, out, _ = run(capsys, "--print-completion", "bash")

    assert code == 0
    assert all(word in out for word in ("hips", "--tilt-offset", "--adjudicate"))
    assert subprocess.run(["bash", "-n"], input=out, text=True, check=False).returncode == 0  # noqa: S607


def test_a_folder_of_ct_slices_is_one_refusal_that_names_the_verb_to_use(
    patient: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = run(capsys, "xray", patient / "ct", "-o", tmp_path / "out")

    assert (code, out) == (1, "")
    assert len(err.splitlines()) == 1
    assert "DICOM files are CT, no X-rays; rhoa hips finds" in err


def test_flagged_landmarks_are_used_only_by_force(
    patient: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    landmarks = rhoa.Landmarks.from_json(patient / "landmarks.json")
    near = landmarks.as_array().mean(axis=0)
    rhoa.Landmarks(*(near + (landmarks.as_array() - near) / 2)).to_json(tmp_path / "small.json")
    words = ["ctap", patient / "ct", "-o", tmp_path / "a.png", "--pose"]

    refused = run(capsys, *words, tmp_path / "small.json")
    forced = run(capsys, *words, f"force:{tmp_path / 'small.json'}")

    assert refused[0] == 1
    assert "flagged implausible" in refused[2]
    assert forced[0] == 0
    assert "warning: the alignment is flagged: implausible" in forced[2]


def test_the_pose_is_found_and_kept(
    patient: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    truth = rhoa.pose.from_landmarks(rhoa.Landmarks.from_json(patient / "landmarks.json"))

    code, out, err = run(capsys, "ctap", patient / "ct", "-o", tmp_path, "--pose", "auto")

    assert code == 0
    assert err.count("warning") == 1
    assert "warning: the alignment is flagged: coarse_voxels" in err
    assert "left hip: usable" in out
    image = rhoa.Radiograph.load(tmp_path / "ct-ap.npz")
    assert image.alignment is not None
    assert rhoa.pose.difference(image.alignment, truth).turn_deg < 2
    again = rhoa.Landmarks.from_json(tmp_path / "pose.json")
    kept = rhoa.pose.from_landmarks(again)
    assert rhoa.pose.difference(image.alignment, kept).turn_deg < 0.01
    told = json.loads((tmp_path / "pose.json").read_text())
    assert told["used"] is True
    assert told["hard_flags"] == []
    assert told["coverage"]["usable_sides"] == ["left", "right"]


@pytest.fixture(scope="module")
def thick(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A scan of slices of 6 mm: its pose is found and not to be trusted."""
    phantom = ct(Anatomy.random(8), spacing_mm=(6, 3, 3))
    folder = tmp_path_factory.mktemp("thick") / "ct"
    write_dicom(phantom.volume, folder)
    return folder


def test_a_flagged_pose_is_told_and_used_only_by_force(
    thick: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("ctap", thick, "-o", tmp_path, "--json", "--pose")

    plain = run(capsys, *words, "auto", "--pixel-mm", 2)
    plain_image = rhoa.Radiograph.load(tmp_path / "ct-ap.npz")
    forced = run(capsys, *words, "force", "--pixel-mm", 2)
    forced_image = rhoa.Radiograph.load(tmp_path / "ct-ap.npz")

    assert (plain[0], forced[0]) == (0, 0)
    assert json.loads(plain[1])[0]["pose"] == "as scanned"
    assert np.array_equal(plain_image, rhoa.ctap(rhoa.read_ct(thick)))
    assert "warning: the CT-AP is as scanned, and no hip is cropped: " in plain[2]
    assert "--depth, --pixel-mm and --tilt-offset were left out" in plain[2]
    assert "use the pose all the same with --pose force" in plain[2]
    assert json.loads(forced[1])[0]["pose"] == "anterior pelvic plane"
    assert forced_image.pixel_mm == (2, 2)
    assert "warning: the alignment is flagged: " in forced[2]


def test_hips_are_cropped_where_the_spines_were_not_scanned(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    reach = ((-225, 225), (-95, 225), (-95, 65))
    phantom = ct(
        Anatomy.random(8),
        spacing_mm=(3, 3, 3),
        angles=(4, 0, 0),
        surroundings=Surroundings(reach_mm=reach),
    )
    write_dicom(phantom.volume, tmp_path / "ct")

    code, out, _ = run(capsys, "hips", tmp_path / "ct", "-o", tmp_path / "out", "--json")

    assert code == 0
    assert [row["usable"] for row in json.loads(out)[0]["hips"]] == [True, True]
    image = rhoa.Radiograph.load(tmp_path / "out" / "ct-ap.npz")
    assert "landmarks_outside" in image.provenance["pose_flags"]
    assert image.provenance["expected_error_deg"] > 1
    assert image.alignment is not None
    for box in rhoa.hips.boxes(image).values():
        x, _, z = image.alignment.to_ap(phantom.hip_centres[box.side])
        np.testing.assert_allclose(image.to_pixel(x, z), np.array(box.centre) - 0.5, atol=1)


def test_a_pelvis_is_tipped_by_an_offset(
    patient: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("ctap", patient / "ct", "-o", tmp_path, "--pose", patient / "landmarks.json")

    code, out, _ = run(capsys, *words, "--tilt-offset", -5, "--json")

    assert code == 0
    # Of the pelvis, tipped back by 5 deg from how it lies.
    assert json.loads(out)[0]["tilt_deg"] == pytest.approx(6 - 5, abs=0.01)
    image = rhoa.Radiograph.load(tmp_path / "ct-ap.npz")
    assert image.provenance["tilt_offset_deg"] == -5
    assert image.provenance["pose_flags"] == ["functional_tilt"]
    told = json.loads((tmp_path / "pose.json").read_text())
    assert told["flags"] == ["functional_tilt"]


def test_landmarks_are_compared_with_what_is_found(
    patient: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    read = rhoa.Landmarks.from_json(patient / "landmarks.json").as_array()
    true = rhoa.pose.from_landmarks(rhoa.Landmarks(*read))
    read[0, 2] += 20  # the left ASIS 20 mm too high
    wrong = rhoa.pose.difference(rhoa.pose.from_landmarks(rhoa.Landmarks(*read)), true)
    rhoa.Landmarks(*read).to_json(tmp_path / "high.json")
    words = ("ctap", patient / "ct", "-o", tmp_path / "out", "--pose")

    same = run(capsys, *words, patient / "landmarks.json")
    high = run(capsys, *words, tmp_path / "high.json")

    assert (same[0], high[0]) == (0, 0)
    assert "from the automatic pose: " in same[1]
    assert "differ" not in same[2]
    assert "warning: the landmarks differ from the pose found in the scan by" in high[2]
    told = json.loads((tmp_path / "out" / "pose.json").read_text())
    told_deg = told["difference_from_automatic"]["obliquity_deg"]
    assert told_deg == pytest.approx(wrong.obliquity_deg, abs=0.8)


def test_swapped_sides_cannot_be_forced_and_the_message_does_not_say_so(
    patient: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The likeliest cause: points taken from a viewer that shows RAS."""
    lps = rhoa.Landmarks.from_json(patient / "landmarks.json").as_array()
    rhoa.Landmarks(*(lps * [-1, -1, 1])).to_json(tmp_path / "ras.json")
    words = ["ctap", patient / "ct", "-o", tmp_path / "a.png", "--pose"]

    refused = run(capsys, *words, tmp_path / "ras.json")
    forced = run(capsys, *words, f"force:{tmp_path / 'ras.json'}")

    assert (refused[0], forced[0]) == (1, 1)
    assert "landmarks_swapped; correct them (patient LPS: x to the patient's left)" in refused[2]
    assert "force:" not in refused[2]
    assert "left and right landmarks are not swapped" in forced[2]
    assert not (tmp_path / "a.png").exists()


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """40 hips of 20 subjects, a quarter with rHOA and one in ten of KL 1, each an own texture."""
    rows = []
    for number in range(40):
        subject, side = f"Miller{number // 2}", ("left", "right")[number % 2]
        (tmp_path / f"{number}.png").write_bytes(encode_png(texture(number)))
        kl = 1 if number % 10 == 0 else 3 * (number % 4 == 1)
        rows.append(f"{number}.png,{subject},{side},xray,{kl},,")
    head = "image,subject,side,source,kl,visit,label"
    (tmp_path / "manifest.csv").write_text("\n".join([head, *rows]) + "\n", encoding="utf-8")
    return tmp_path / "manifest.csv"


def test_split_tells_what_was_wanted_and_reached(
    table: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """26 hips of KL 0: 14, 8 and 4 by the rule; 10 of KL 3: 5, 3 and 2; 4 are of KL 1."""
    code, out, err = run(capsys, "split", table, "--json")

    rows = json.loads(out)
    assert code == 0
    assert [row["xray no rHOA wanted"] for row in rows] == [14, 8, 4]
    assert [row["xray rHOA wanted"] for row in rows] == [5, 3, 2]
    assert sum(row["xray rHOA"] for row in rows) == 10
    manifest = rhoa.cohort.read(table)
    reached = Counter(hip.partition for hip in manifest.labelled if hip.label == 1)
    assert {row["partition"]: row["xray rHOA"] for row in rows} == reached
    assert "4 excluded: KL 1" in err
    assert "Miller" not in out + err


def test_split_writes_a_manifest_a_fold(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = table.read_bytes()

    code, out, _ = run(capsys, "split", table, "--fold", 4)

    assert code == 0
    assert table.read_bytes() == before
    folds = [rhoa.cohort.read(table.with_name(f"manifest-fold-{n}.csv")) for n in (1, 2, 3, 4)]
    tested = [hip.image for fold in folds for hip in fold.labelled if hip.partition == "test"]
    assert len(tested) == len(set(tested)) == 36
    assert len(out.splitlines()) == 1 + 4 * 3 + 4


def test_an_audit_splits_what_is_not_split_and_leaves_what_is(
    table: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = run(capsys, "split", table, "--audit")
    written = table.read_bytes()
    again, found, _ = run(capsys, "split", table, "--audit", "--json", "--seed", 7)

    assert code == again == 0
    assert out.splitlines()[0] == "no leaks among 36 images"
    assert json.loads(found) == []
    assert table.read_bytes() == written


def test_an_audit_fails_where_a_copy_leaks_and_lists_it(
    table: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cli.main(["split", str(table)])
    hips = rhoa.cohort.read(table).hips
    line = next(
        n
        for n, hip in enumerate(hips, start=2)
        if hip.label is not None and hip.partition != hips[1].partition
    )
    (table.parent / f"{line - 2}.png").write_bytes(encode_png(texture(1)[:, ::-1]))
    capsys.readouterr()

    code, out, _ = run(capsys, "split", table, "--audit", "--json")
    _, plain, _ = run(capsys, "split", table, "--audit")

    rows = json.loads(out)
    assert code == 1
    assert [(row["kind"], row["lines"]) for row in rows] == [("mirrored copy", [3, line])]
    assert f"mirrored copy  3 and {line}" in plain
    assert "1 pair of rows leaks" in plain
    assert "Miller" not in out + plain


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_explains_itself(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, verb, "--help")

    assert code == 0
    assert f"usage: rhoa {verb}" in out
    assert len(out.splitlines()) > 5


def test_info_names_versions(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "info", "--json")

    assert code == 0
    assert {"what": "rhoa", "version": rhoa.__version__} in json.loads(out)


def test_the_module_is_the_command() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "rhoa", "--version"], capture_output=True, text=True, check=False
    )

    assert (done.returncode, done.stdout) == (0, f"rhoa {rhoa.__version__}\n")


def test_the_command_line_imports_only_its_own_module_before_it_knows_the_verb() -> None:
    code = (
        "import sys, rhoa.cli\n"
        "try: rhoa.cli.main(['--version'])\n"
        "except SystemExit: pass\n"
        "print([name for name in sys.modules if name.startswith(('rhoa.reading', 'rhoa.hips'))])"
    )

    run = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)

    assert run.stdout.splitlines()[-1] == "[]"

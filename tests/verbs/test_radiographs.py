"""`rhoa xray`: what it writes of a file and of a folder, what it prints, what it rejects."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

import rhoa
from rhoa.hips import content, read_xray
from rhoa.phantom import Anatomy, write_xray, xray
from rhoa.raster import encode_png
from tests.commands import run
from tests.hips.xrays import dx, truth, write

SMALL = "mobilenet_v3_large_fpn"

WRITTEN = ["half-left.png", "half-right.png", "xray.npz", "xray.png"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two X-rays in a tree, one of a knee, one picture, one of one hip, notes."""
    folder = tmp_path_factory.mktemp("films")
    (folder / "a" / "b").mkdir(parents=True)
    write_xray(xray(Anatomy.random(2), pixel_mm=1.0, voxel_mm=3.0), folder / "a" / "IM1")
    write(folder, PhotometricInterpretation="MONOCHROME1").rename(folder / "a" / "b" / "IM1")
    write(folder, BodyPartExamined="KNEE").rename(folder / "knee.dcm")
    write(folder, ImageLaterality="R", PatientOrientation=None).rename(folder / "one hip.dcm")
    (folder / "picture.png").write_bytes(encode_png(np.zeros((70, 80), np.uint8), pixel_mm=2))
    (folder / "notes.txt").write_text("no image")
    (folder / ".DS_Store").write_bytes(b"hidden")
    return folder


def test_an_xray_becomes_a_picture_its_values_and_both_halves(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = run(capsys, "xray", folder / "a" / "IM1", "-o", tmp_path / "out")

    assert code == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == WRITTEN
    assert "IM1   300 x 400  1 x 1     ImagerPixelSpacing  MONOCHROME2  read" in out
    image = rhoa.Radiograph.load(tmp_path / "out" / "xray.npz")
    assert np.array_equal(image, read_xray(folder / "a" / "IM1"))
    assert image.provenance["pixel_mm_from"] == "ImagerPixelSpacing"


def test_the_pictures_are_of_the_sides_that_their_names_say(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A bright square at the patient's left hip, a dark one at the right; columns run right."""
    lying = np.full((100, 120), 2000)
    lying[40:60, 20:40], lying[40:60, 80:100] = 4000, 100
    path = write(tmp_path, dx(lying), PatientOrientation=["R", "F"], PixelSpacing=["1", "1"])

    code, _, _ = run(capsys, "xray", path, "-o", tmp_path)

    left, right = (
        read_xray(tmp_path / f"half-{side}.png", pixel_mm="file", accept="size").pixels
        for side in ("left", "right")
    )
    assert code == 0
    assert left[40:60, 20:40].min() == left.max() > left.min()
    assert right[40:60, 20:40].max() == right.min() < right.max()


def test_a_folder_is_read_file_by_file_and_failures_are_listed(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = run(capsys, "xray", folder, "-o", tmp_path)

    assert code == 4
    assert "Traceback" not in err
    rows = list(csv.reader((tmp_path / "rejected.csv").read_text("utf-8").splitlines()))
    assert rows[0] == ["file", "reason"]
    assert [row[0] for row in rows[1:]] == ["knee.dcm", "notes.txt", "picture.png"]
    assert "BodyPartExamined names another part (knee)" in rows[1][1]
    for name, count in (("a/IM1", 4), ("a/b/IM1", 4), ("one hip.dcm", 2)):
        files = [path for path in (tmp_path / name).iterdir() if path.is_file()]
        assert len(files) == count, name
    assert "3 of 6 files read" in out
    assert "read, right hip alone" in out
    assert "warning: one hip.dcm: it does not say where the patient's left is" in out
    assert "hidden" not in out + err
    assert ".DS_Store" not in out
    assert "CANARY" not in out + err + str(rows)


def test_json_tells_what_was_taken_and_found(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = run(capsys, "xray", folder, "-o", tmp_path, "--json")

    told = {row["file"]: row for row in json.loads(out)}
    assert code == 4
    assert told["a/b/IM1"] == {
        "file": "a/b/IM1",
        "pixels": [70, 90],
        "pixel_mm": [1.5, 2.0],
        "pixel_mm_from": "PixelSpacing",
        "photometric": "MONOCHROME1",
        "inverted": True,
        "modality_lut": "none",
        "voi": "none",
        "sides": "PatientOrientation",
        "hip": "",
        "hip_from": "BodyPartExamined",
        "content_px": list(content(truth())),
        "warnings": [],
        "verdict": "read",
    }
    assert told["one hip.dcm"]["hip"] == "right"
    assert len(told["one hip.dcm"]["warnings"]) == 1
    assert told["knee.dcm"]["verdict"] == "refused"
    assert "knee" in told["knee.dcm"]["reason"]


def test_what_is_written_into_the_folder_is_not_read_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path)

    for _ in range(2):
        code, out, _ = run(capsys, "xray", tmp_path, "-o", tmp_path / "out", "--json")
        assert code == 0
        assert [row["file"] for row in json.loads(out)] == ["xray.dcm"]
    assert not (tmp_path / "out" / "rejected.csv").exists()


def test_options_reach_the_reader(
    tmp_path: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    window = {"WindowCenter": "1000.5", "WindowWidth": "1001", "BodyPartExamined": "KNEE"}
    path = write(tmp_path, **window)
    words = ("xray", path, "-o", tmp_path / "out", "--voi", "--accept", "part", "--pixel-mm", "0.9")

    code, _, _ = run(capsys, *words, "--side", "both")
    image = rhoa.Radiograph.load(tmp_path / "out" / "xray.npz")
    words = ("xray", folder / "picture.png", "-o", tmp_path, "--pixel-mm", "file", "--json")
    trusted = run(capsys, *words, "--side", "both")

    assert code == 0
    assert np.array_equal(image, truth().clip(500, 1500))
    assert image.pixel_mm == (0.9, 0.9)
    assert json.loads(trusted[1])[0]["pixel_mm"] == [2.0, 2.0]


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["none.dcm"], 1, "none.dcm: no such X-ray file; check the path."),
        (["notes.txt"], 1, "notes.txt: not a DICOM file"),
        (["knee.dcm"], 1, "pass --accept part"),
        (["knee.dcm", "--accept", "knee"], 2, "accept must name refusals that exist"),
        (["knee.dcm", "--pixel-mm", "wide"], 2, "--pixel-mm"),
        (["knee.dcm", "--pixel-mm", "-1"], 2, "pixel_mm must be a positive"),
    ],
)
def test_a_mistake_is_one_clear_line(
    folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    code: int,
    message: str,
) -> None:
    file, *options = words
    given, _, err = run(capsys, "xray", folder / file, "-o", tmp_path / "out", *options)

    assert given == code
    assert message in err
    assert "Traceback" not in err
    assert not (tmp_path / "out").exists()


@pytest.mark.torch
class TestDetector:
    @pytest.fixture
    def detector(self, tmp_path: Path) -> Path:
        """Untrained: it finds something in every half, of a score near a half or below."""
        from rhoa.hips.detector import Architecture, HipDetector

        return HipDetector.untrained(Architecture(SMALL, 64)).save(tmp_path / "run")

    def test_hips_are_cropped_and_told_with_their_scores(
        self, folder: Path, detector: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        from rhoa.hips import HipDetector

        out = tmp_path / "out"

        code, text, _ = run(
            capsys, "xray", folder / "a" / "IM1", "-o", out, "--detector", detector, "--json"
        )

        assert code == 0
        written = sorted(path.name for path in out.iterdir())
        assert written == sorted([*WRITTEN, "boxes.json", "hip-left.png", "hip-right.png"])
        places = json.loads((out / "boxes.json").read_text())
        assert json.loads(text)[0]["hips"] == places
        expected = HipDetector.load(detector).detect(rhoa.Radiograph.load(out / "xray.npz"))
        for place in places:
            box = expected[place["side"]]
            assert place["left"] == pytest.approx(box.left, abs=0.006)
            assert place["bottom"] == pytest.approx(box.bottom, abs=0.006)
            assert place["confidence"] == pytest.approx(box.confidence, abs=0.0006)

    def test_of_a_folder_each_file_has_its_own(
        self, folder: Path, detector: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """The X-ray of a right hip alone has no left one, and none is missed."""
        out = tmp_path / "out"

        code, text, _ = run(capsys, "xray", folder, "-o", out, "--detector", detector)

        assert code == 4
        assert (out / "a" / "IM1" / "hip-left.png").exists()
        assert (out / "one hip.dcm" / "hip-right.png").exists()
        assert not (out / "one hip.dcm" / "hip-left.png").exists()
        assert "no left hip" not in text

    def test_a_folder_that_is_no_detector_fails_before_anything_is_read(
        self, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        code, _, err = run(
            capsys, "xray", folder, "-o", tmp_path / "out", "--detector", tmp_path / "absent"
        )

        assert code == 1
        assert "no detector.json in it" in err
        assert not (tmp_path / "out").exists()

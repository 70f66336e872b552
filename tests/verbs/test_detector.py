"""`rhoa detector`: from digital pelves, and from boxes that were corrected, to a detector."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import rhoa
from rhoa.errors import RhoaError
from rhoa.hips import Box, Example, HipDetector, LabelledImage, write_coco
from rhoa.hips.annotations import boxes_table
from rhoa.raster import encode_png
from tests.commands import run

pytestmark = pytest.mark.torch

SMALL = "mobilenet_v3_large_fpn"
REDUCED = ("--epochs", "1", "--image-size", "64", "--backbone", SMALL, "--device", "cpu")


@pytest.fixture
def pictures(tmp_path: Path) -> list[LabelledImage]:
    """Ten pictures of two discs each, and their boxes."""
    random = np.random.default_rng(0)
    rows, columns = np.indices((96, 160)) + 0.5
    labelled = []
    for number in range(10):
        image, boxes = random.integers(0, 60, (96, 160)), []
        for side, middle in (("right", 40), ("left", 120)):
            row, column, radius = 48 + random.normal(0, 5), middle + random.normal(0, 5), 18.0
            image[np.hypot(rows - row, columns - column) < radius] += 150
            boxes.append(
                Box(side, row - radius, column - radius, row + radius, column + radius)  # type: ignore[arg-type]
            )
        (tmp_path / f"{number}.png").write_bytes(encode_png(image.astype(np.uint8)))
        labelled.append(LabelledImage(Path(f"{number}.png"), tuple(boxes), (96, 160)))
    return labelled


@pytest.mark.slow
def test_the_documented_command_makes_a_detector_that_xray_takes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """``rhoa detector --phantoms 24 --epochs 12``, reduced."""
    from rhoa.phantom import Anatomy, write_xray, xray

    write_xray(xray(Anatomy.random(40), pixel_mm=1.0), tmp_path / "IM1")
    words = ("detector", "--phantoms", 2, *REDUCED, "--test-share", 0.5, "-o", tmp_path / "run")

    code, out, err = run(capsys, *words, "--json")
    told = json.loads(out)
    found = run(
        capsys, "xray", tmp_path / "IM1", "-o", tmp_path / "out", "--detector", tmp_path / "run"
    )

    assert code == found[0] == 0
    assert told[0]["backbone"] == SMALL
    assert told[0]["trained on"] == told[0]["held out"] == 4
    assert "making digital pelves: 4 done" in err
    assert "training: 1 done" in err
    card = json.loads((tmp_path / "run" / "detector.json").read_text("utf-8"))
    assert card["started_from"] == "random weights"
    assert card["options"]["epochs"] == 1
    assert (tmp_path / "out" / "boxes.json").is_file()


def test_corrected_boxes_coco_and_matlab_tables_teach_the_same(
    pictures: list[LabelledImage],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Same pictures and boxes: the same halves go into the training. MATLAB counts from 0.5."""
    (tmp_path / "boxes.csv").write_text(boxes_table(pictures), encoding="utf-8")
    write_coco(pictures, tmp_path / "coco.json")
    lines = ["imageFilename,hip_left,hip_right"]
    for image in pictures:
        cells = dict.fromkeys(("left", "right"), "")
        for box in image.boxes:
            corner = f"{box.left + 0.5!r} {box.top + 0.5!r}"
            cells[box.side] = f"[{corner} {box.width!r} {box.height!r}]"
        lines.append(",".join([image.path.name, *cells.values()]))
    (tmp_path / "matlab.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    taught: list[list[Example]] = []

    def untaught(examples: list[Example], *_: object, **__: object) -> HipDetector:
        taught.append(examples)
        raise RhoaError("enough was seen")

    monkeypatch.setattr(rhoa.hips, "train_detector", untaught, raising=False)
    for name in ("boxes.csv", "coco.json", "matlab.csv"):
        _, _, err = run(capsys, "detector", tmp_path / name, *REDUCED, "-o", tmp_path / "run")
        assert "enough was seen" in err
    words = ("detector", tmp_path / "boxes.csv", "--shows", "half", "-o", tmp_path / "run")
    code, _, err = run(capsys, *words)
    assert (code, "its boxes are of whole pictures; leave out --shows half." in err) == (2, True)

    for halves in taught:
        assert len(halves) == 20
        for half, image in zip(halves[::2], pictures, strict=True):
            (left,) = [box for box in image.boxes if box.side == "left"]
            edges = (half.box.top, half.box.left + 64, half.box.bottom, half.box.right + 64)
            drawn = (left.top, left.left, left.bottom, left.right)
            # Halves of 96 x 80 pixels, seen as 77 x 64; the left one begins at column 80.
            np.testing.assert_allclose(edges, np.multiply(drawn, (77 / 96, 0.8) * 2), atol=1e-3)
        for half, first in zip(halves, taught[0], strict=True):
            np.testing.assert_array_equal(half.pixels, first.pixels)
            assert half.box.iou(first.box) == pytest.approx(1, abs=1e-4)
            assert half.group == first.group


def test_a_subject_is_held_out_with_all_its_pictures(
    pictures: list[LabelledImage], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Ten pictures of two subjects: who is held out takes five pictures along."""
    (tmp_path / "boxes.csv").write_text(boxes_table(pictures), encoding="utf-8")
    rows = [f"{image.path},S{number % 2}" for number, image in enumerate(pictures)]
    whose = tmp_path / "subjects.csv"
    whose.write_text("\n".join(["image,subject", *rows]), encoding="utf-8")
    words = ("detector", tmp_path / "boxes.csv", *REDUCED, "--subjects", whose)

    code, _, err = run(capsys, *words, "-o", tmp_path / "run")

    assert code == 0, err
    card = json.loads((tmp_path / "run" / "detector.json").read_text("utf-8"))
    assert card["halves"] == {"train": 10, "test": 10}


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("image,subject\n0.png,A", "9 of 10 labelled pictures have no subject, 1.png first"),
        ("image,who\n0.png,A", "lacks the columns subject"),
        ("image,subject\n0.png,", "line 2: image or subject is empty"),
        ("image,subject\n0.png,A\n0.png,B", "line 3: the picture has another subject above"),
    ],
)
def test_a_table_of_subjects_must_be_whole(
    pictures: list[LabelledImage],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    rows: str,
    message: str,
) -> None:
    (tmp_path / "boxes.csv").write_text(boxes_table(pictures), encoding="utf-8")
    whose = tmp_path / "subjects.csv"
    whose.write_text(rows, encoding="utf-8")
    words = ("detector", tmp_path / "boxes.csv", *REDUCED, "--subjects", whose)

    code, _, err = run(capsys, *words, "-o", tmp_path / "run")

    assert code == 1
    assert message in err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        ([], 2, "there is nothing to learn from"),
        (["--phantoms", "few"], 2, "'few' is no whole number"),
        (["none.csv"], 1, "none.csv: no such table"),
        (["none.json"], 1, "none.json: no such file"),
        (["--phantoms", "1", "--backbone", "vgg"], 2, "backbone must be one of"),
        (["boxes.csv", "--hip-class", "hip"], 2, "--hip-class is for COCO JSON"),
        (["--phantoms", "1", "--hip-class", "hip"], 2, "--hip-class is for COCO JSON"),
        (["--phantoms", "1", "--subjects", "s.csv"], 2, "--subjects is for files of boxes"),
        (["--phantoms", "1", "--images", "films"], 2, "--images is for files of boxes"),
    ],
)
def test_mistakes_are_one_line(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    code: int,
    message: str,
) -> None:
    given, _, err = run(capsys, "detector", *words, "-o", tmp_path / "run")

    assert given == code
    assert message in err
    assert "Traceback" not in err
    assert not (tmp_path / "run").exists()

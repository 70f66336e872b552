"""`rhoa hips --review`, `rhoa xray --review`, and `--boxes`: a person corrects, crops follow."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

import rhoa
from rhoa.hips import crop, prepare, read_coco, write_coco
from rhoa.phantom import Anatomy, ct, write_dicom, write_xray, xray
from rhoa.raster import stretch
from tests.commands import run
from tests.pictures import levels_of

pytestmark = pytest.mark.usefixtures("poses_once")

SMALL = "mobilenet_v3_large_fpn"


def rows_of(file: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(file.read_text("utf-8").splitlines()))


def edit(file: Path, image: str, side: str, **cells: object) -> None:
    rows = rows_of(file)
    for row in rows:
        if (row["image"], row["side"]) == (image, side):
            row.update({name: str(value) for name, value in cells.items()})
    with file.open("w", newline="", encoding="utf-8") as stream:
        table = csv.DictWriter(stream, list(rows[0]))
        table.writeheader()
        table.writerows(rows)


@pytest.fixture(scope="module")
def scans(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two CTs, the slices of one thicker than its pixels are wide."""
    folder = tmp_path_factory.mktemp("scans")
    for name, spacing in (("even", (4, 4, 4)), ("thick", (4, 3, 3))):
        phantom = ct(Anatomy.random(11), spacing_mm=spacing)
        write_dicom(phantom.volume, folder / name)
    return folder


def test_scans_are_reviewed_corrected_and_cropped_anew(
    scans: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One box is moved by 6 pixels, one emptied; the other scan is not done again."""
    words = ("hips", scans, "--each", "-o", tmp_path)
    assert run(capsys, *words, "--review")[0] == 0
    found = rows_of(tmp_path / "boxes.csv")
    page = (tmp_path / "contact-sheet.html").read_text("utf-8")
    hips = rows_of(tmp_path / "hips.csv")
    before = levels_of(tmp_path / "thick" / "hip-right.png")

    assert [(row["image"], row["side"]) for row in found] == [
        (f"{name}/ct-ap.png", side) for name in ("even", "thick") for side in ("left", "right")
    ]
    for row in found:
        shape = levels_of(tmp_path / row["image"]).shape
        assert (int(row["rows"]), int(row["columns"])) == shape
        assert f"{row['side']} hip, confidence {float(row['score']):.2f}" in page
    assert {row["change"] for row in hips} == {""}

    left = next(row for row in found if (row["image"], row["side"]) == ("thick/ct-ap.png", "left"))
    moved = {edge: float(left[edge]) + 6 for edge in ("top", "bottom")}
    edit(tmp_path / "boxes.csv", "thick/ct-ap.png", "left", **moved)
    edit(tmp_path / "boxes.csv", "thick/ct-ap.png", "right", left="", top="", right="", bottom="")
    code, out, _ = run(capsys, *words, "--boxes", tmp_path / "boxes.csv")

    assert code == 0
    assert "corrections.csv: 1 moved, 1 removed" in out
    changes = {row["change"]: row for row in rows_of(tmp_path / "corrections.csv")}
    height = float(left["bottom"]) - float(left["top"])
    assert float(changes["moved"]["iou"]) == pytest.approx((height - 6) / (height + 6), abs=1e-3)
    assert changes["removed"]["image"] == "thick/ct-ap.png"
    assert {row["scan"]: row["change"] for row in rows_of(tmp_path / "hips.csv")} == {
        "even": "",
        "thick": "moved",
    }
    assert not (tmp_path / "thick" / "hip-right.png").exists()
    assert before.shape == (100, 100)
    image = rhoa.Radiograph.load(tmp_path / "thick" / "ct-ap.npz")
    (box,) = json.loads((tmp_path / "thick" / "boxes.json").read_text("utf-8"))
    square = image.square()
    shift = (box["top"] - _top(hips, "thick", "left")) * image.pixel_mm[0]
    assert shift == pytest.approx(6 * square.pixel_mm[0], abs=0.05)
    drawn = rhoa.hips.Box("left", *(box[edge] for edge in ("top", "left", "bottom", "right")))
    cut = levels_of(tmp_path / "thick" / "hip-left.png").astype(int)
    assert np.abs(cut - stretch(crop(image, drawn))).max() <= 3  # the box is told to 0.01 pixel

    again = rows_of(tmp_path / "boxes.csv")
    assert again[3]["left"] == again[2]["score"] == ""
    run(capsys, *words, "--boxes", tmp_path / "boxes.csv")
    assert rows_of(tmp_path / "boxes.csv") == again  # what was corrected stays so


def _top(rows: list[dict[str, str]], scan: str, side: str) -> float:
    return float(next(r["top"] for r in rows if (r["scan"], r["side"]) == (scan, side)))


def test_only_scans_that_were_corrected_are_done_again(
    scans: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("hips", scans, "--each", "-o", tmp_path)
    run(capsys, *words, "--review")
    boxes = rows_of(tmp_path / "boxes.csv")
    mine = [row for row in boxes if row["image"].startswith("even")]
    with (tmp_path / "mine.csv").open("w", newline="", encoding="utf-8") as stream:
        table = csv.DictWriter(stream, list(mine[0]))
        table.writeheader()
        table.writerows(mine)

    code, out, _ = run(capsys, *words, "--boxes", tmp_path / "mine.csv")

    assert code == 0
    assert "1 of them were done before" in out
    assert "corrections.csv: nothing was changed" in out


def test_one_scan_has_a_page_and_takes_coco_back(
    scans: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("hips", scans / "even", "-o", tmp_path)
    assert run(capsys, *words, "--review")[0] == 0
    assert 'href="./view-1.png"' in (tmp_path / "contact-sheet.html").read_text("utf-8")
    (labelled,) = read_coco(tmp_path / "boxes.coco.json", folder=Path())
    kept = [box for box in labelled.boxes if box.side == "right"]
    one = rhoa.hips.LabelledImage(labelled.path, tuple(kept), labelled.shape)
    write_coco([one], tmp_path / "mine.json")

    code, _, _ = run(capsys, *words, "--boxes", tmp_path / "mine.json")

    assert code == 0
    (change,) = rows_of(tmp_path / "corrections.csv")
    assert (change["side"], change["change"]) == ("left", "removed")
    (box,) = json.loads((tmp_path / "boxes.json").read_text("utf-8"))
    assert (box["side"], box["change"]) == ("right", "")
    assert box["confidence"] == pytest.approx(kept[0].confidence, abs=1e-3)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("other/ct-ap.png,left,1,2,3,4", "mine.csv, line 2: 'other/ct-ap.png' is no picture"),
        ("even/ct-ap.png,middle,1,2,3,4", "mine.csv, line 2: side must be left or right"),
    ],
)
def test_mistakes_are_told_before_anything_is_done(
    scans: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], line: str, message: str
) -> None:
    file = tmp_path / "mine.csv"
    file.write_text(f"image,side,left,top,right,bottom\n{line}\n", encoding="utf-8")

    code, _, err = run(capsys, "hips", scans, "--each", "-o", tmp_path / "out", "--boxes", file)

    assert code == 1
    assert message in err
    assert not (tmp_path / "out").exists()


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two X-rays, and notes."""
    folder = tmp_path_factory.mktemp("films")
    (folder / "a").mkdir()
    write_xray(xray(Anatomy.random(2), pixel_mm=1.0, voxel_mm=3.0), folder / "a" / "IM1")
    write_xray(xray(Anatomy.random(3), pixel_mm=1.0, voxel_mm=3.0), folder / "IM2")
    (folder / "notes.txt").write_text("no image")
    return folder


def test_drawn_boxes_of_xrays_are_cropped_without_a_detector(
    films: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "mine.csv"
    row = "a/IM1/xray.png,left,230,130,310,210"
    file.write_text(f"image,side,left,top,right,bottom\n{row}\n", encoding="utf-8")

    code, out, _ = run(capsys, "xray", films, "-o", tmp_path / "out", "--boxes", file)

    assert code == 4  # notes.txt
    assert "corrections.csv: 1 added" in out
    image = rhoa.Radiograph.load(tmp_path / "out" / "a" / "IM1" / "xray.npz")
    cut = levels_of(tmp_path / "out" / "a" / "IM1" / "hip-left.png")
    assert np.array_equal(cut, prepare(image, rhoa.hips.Box("left", 130, 230, 210, 310)))
    assert not (tmp_path / "out" / "IM2" / "hip-left.png").exists()
    page = (tmp_path / "out" / "contact-sheet.html").read_text("utf-8")
    assert "added by hand" in page
    assert "<h2>1 X-ray failed" in page
    assert "CANARY" not in page


def test_a_review_without_boxes_is_refused(
    films: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, err = run(capsys, "xray", films, "-o", tmp_path / "out", "--review")

    assert code == 2
    assert "pass --detector RUN" in err


@pytest.mark.torch
class TestDetector:
    @pytest.fixture
    def detector(self, tmp_path: Path) -> Path:
        """Untrained: it finds something in every half."""
        from rhoa.hips.detector import Architecture, HipDetector

        return HipDetector.untrained(Architecture(SMALL, 64)).save(tmp_path / "run")

    def test_every_box_of_xrays_is_on_the_page_with_its_score(
        self, films: Path, detector: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        out = tmp_path / "out"

        code, _, _ = run(capsys, "xray", films, "-o", out, "--detector", detector, "--review")

        assert code == 4
        page = (out / "contact-sheet.html").read_text("utf-8")
        boxes = [row for row in rows_of(out / "boxes.csv") if row["left"]]
        assert boxes
        for row in boxes:
            assert f"{row['side']} hip, score {float(row['score']):.2f}" in page
        assert {image.path.as_posix() for image in read_coco(out / "boxes.coco.json", folder="")}
        assert (out / "IM2" / "view-1.png").exists()

    def test_a_half_without_a_hip_is_a_warning_and_an_empty_row(
        self, films: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """A detector that is sure of nothing: its scores are pressed below 0.05."""
        import torch

        from rhoa.hips.detector import Architecture, HipDetector

        blind = HipDetector.untrained(Architecture(SMALL, 64))
        with torch.no_grad():
            blind.network.roi_heads.box_predictor.cls_score.bias += torch.tensor([50.0, -50.0])
        run_folder, out = blind.save(tmp_path / "run"), tmp_path / "out"

        code, text, err = run(
            capsys, "xray", films / "IM2", "-o", out, "--detector", run_folder, "--review"
        )

        assert code == 0
        for side in ("left", "right"):
            assert f"IM2: no {side} hip was found; review the picture." in err
            assert not (out / f"hip-{side}.png").exists()
        assert [row["left"] for row in rows_of(out / "boxes.csv")] == ["", ""]
        assert "<h2>1 X-ray to review" in (out / "contact-sheet.html").read_text("utf-8")
        assert json.loads((out / "boxes.json").read_text("utf-8")) == []
        assert "no left hip" not in text

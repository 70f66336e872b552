"""`rhoa xray` and `rhoa predict` on films of both hips, of one, and of an unknown side."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

import rhoa
from rhoa.hips import read_xray
from rhoa.prediction import hips_in
from rhoa.raster import encode_png
from tests.commands import run
from tests.hips.films import MarkerFinder, film, pelvis, planted
from tests.pictures import levels_of

HIP = {"BodyPartExamined": "HIP"}


@pytest.fixture
def finder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Stands for the folder of a detector, which finds what was planted."""

    class Loader:
        @staticmethod
        def load(*_: object, **__: object) -> MarkerFinder:
            return MarkerFinder()

    monkeypatch.setitem(vars(rhoa.hips), "HipDetector", Loader)  # without importing torch
    return tmp_path / f"finder-{tmp_path.name}"


def written(folder: Path) -> dict[str, str]:
    """Whose hip each crop of a folder shows, by its name and by its pixels."""
    found = {}
    for file in folder.glob("hip-*.png"):
        levels = levels_of(file)
        assert levels is not None
        found[file.stem.removeprefix("hip-")] = planted(levels)
    return found


@pytest.mark.parametrize(
    ("shows", "tags", "options", "verdict"),
    [
        ("both", {}, [], "read"),
        ("both", HIP, ["--side", "both"], "read"),
        ("left", HIP, ["--side", "left"], "read, left hip alone (given)"),
        ("right", HIP, ["--side", "right"], "read, right hip alone (given)"),
        ("right", HIP | {"ImageLaterality": "R"}, [], "read, right hip alone (ImageLaterality)"),
        ("left", {"SeriesDescription": "HIP L"}, [], "read, left hip alone (SeriesDescription)"),
    ],
)
def test_crops_are_of_the_hips_that_the_film_shows(
    tmp_path: Path,
    finder: Path,
    capsys: pytest.CaptureFixture[str],
    shows: str,
    tags: dict[str, object],
    options: list[str],
    verdict: str,
) -> None:
    path, out = film(tmp_path, shows, **tags), tmp_path / "out"

    code, text, _ = run(capsys, "xray", path, "-o", out, "--detector", finder, *options, "--json")

    sides = ["left", "right"] if shows == "both" else [shows]
    (row,) = json.loads(text)
    assert code == 0
    assert row["verdict"] == verdict
    assert written(out) == {side: side for side in sides}
    assert [hip["side"] for hip in row["hips"]] == sides
    assert (out / "half-left.png").exists() == (out / "half-right.png").exists()
    assert (out / "half-left.png").exists() == (shows == "both")


@pytest.mark.parametrize("detected", [False, True])
def test_a_film_of_an_unknown_side_is_not_cut_but_asked_for_with_the_option(
    tmp_path: Path, finder: Path, capsys: pytest.CaptureFixture[str], *, detected: bool
) -> None:
    path, out = film(tmp_path, "left", **HIP), tmp_path / "out"
    words = ["--detector", finder] if detected else []

    code, _, err = run(capsys, "xray", path, "-o", out, *words)

    assert code == 2
    assert "xray.dcm: whether it shows both hips or one, and which, is unknown" in err
    assert "BodyPartExamined names a hip" in err
    assert "--side left, --side right or, where it shows both hips, --side both" in err
    assert 'side="' not in err
    assert not out.exists()


def test_of_a_folder_films_of_an_unknown_side_are_rejected_and_listed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    films, out = tmp_path / "films", tmp_path / "out"
    films.mkdir()
    for name, shows, tags in (
        ("both", "both", {}),
        ("known", "left", HIP | {"ImageLaterality": "L"}),
        ("unknown", "left", HIP),
        ("two", "left", HIP | {"ImageLaterality": "L", "SeriesDescription": "Hip right"}),
        ("stray", "both", {"Laterality": "R"}),
    ):
        film(films, shows, **tags).rename(films / f"{name}.dcm")

    code, text, _ = run(capsys, "xray", films, "-o", out)
    rows = list(csv.DictReader((out / "rejected.csv").read_text("utf-8").splitlines()))
    reasons = {row["file"]: row["reason"] for row in rows}
    again, _, _ = run(
        capsys, "xray", films / "unknown.dcm", "-o", out / "unknown", "--side", "left"
    )

    assert code == 4
    assert set(reasons) == {"unknown.dcm", "two.dcm"}
    assert "--side left" in reasons["unknown.dcm"]
    assert "ImageLaterality says left" in reasons["two.dcm"]
    assert "SeriesDescription says right (RIGHT)" in reasons["two.dcm"]
    assert "--accept side" in reasons["two.dcm"]
    assert "Laterality says right, which was not believed" in text
    assert "pass --side right if it shows that hip alone" in text
    assert {file.parent.name for file in out.rglob("half-*.png")} == {"both.dcm", "stray.dcm"}
    assert again == 0
    assert (out / "unknown" / "xray.png").exists()


@pytest.mark.parametrize("side", ["left", "right"])
def test_boxes_that_were_drawn_tell_the_side_and_are_checked_against_the_film(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], side: str
) -> None:
    box = {"left": "45,105,135,195", "right": "65,105,155,195"}[side]
    (tmp_path / "boxes.csv").write_text(
        f"image,side,left,top,right,bottom\nxray.png,{side},{box}\n", encoding="utf-8"
    )
    words = ("-o", tmp_path / "out", "--boxes", tmp_path / "boxes.csv")

    code, _, _ = run(capsys, "xray", film(tmp_path, side, **HIP), *words)
    told = rhoa.Radiograph.load(tmp_path / "out" / "xray.npz").provenance
    other = {"left": "R", "right": "L"}[side]
    wrong, _, err = run(capsys, "xray", film(tmp_path, side, **HIP, ImageLaterality=other), *words)

    assert code == 0
    assert written(tmp_path / "out") == {side: side}
    assert (told["hip"], told["hip_from"]) == (side, "its drawn box")
    assert not list((tmp_path / "out").glob("half-*.png"))
    assert wrong == 1
    assert "hip alone (ImageLaterality)" in err
    assert "--accept side" in err


def test_a_drawn_box_in_the_half_of_the_other_side_is_told_with_the_option(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "boxes.csv").write_text(
        "image,side,left,top,right,bottom\nxray.png,left,65,105,155,195\n", encoding="utf-8"
    )
    words = ("xray", film(tmp_path), "-o", tmp_path / "out", "--boxes", tmp_path / "boxes.csv")

    code, _, err = run(capsys, *words)
    accepted, _, _ = run(capsys, *words, "--accept", "half")

    assert code == 1
    assert "xray.png: the left box lies in the half of the right hip" in err
    assert "--accept half" in err
    assert accepted == 0


@pytest.mark.parametrize(
    ("shape", "code"), [((300, 400), 0), ((400, 300), 2), ((300, 300), 2)], ids=str
)
def test_a_picture_that_may_be_of_one_hip_is_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], shape: tuple[int, int], code: int
) -> None:
    pytest.importorskip("PIL", reason="needs Pillow to read pictures")
    levels = np.random.default_rng(0).integers(0, 255, shape, np.uint8)
    (tmp_path / "a.png").write_bytes(encode_png(levels))
    words = ("xray", tmp_path / "a.png", "-o", tmp_path / "out", "--pixel-mm", "1")

    got, _, err = run(capsys, *words)

    assert got == code
    assert ("--side" in err) == bool(code)
    assert run(capsys, *words, "--side", "right")[0] == 0


class TestPrediction:
    @pytest.mark.parametrize("shows", ["left", "right", "both"])
    def test_a_film_has_the_hips_that_it_shows(self, tmp_path: Path, shows: str) -> None:
        tags = HIP | {"ImageLaterality": shows[0].upper()}
        image = read_xray(film(tmp_path, shows, **tags))

        found = hips_in(image, detector=MarkerFinder())  # type: ignore[arg-type]

        pairs = zip(found.rows, found.crops, strict=True)
        crops = {row["side"]: planted(crop) for row, crop in pairs if crop is not None}
        assert crops == {side: side for side in (("left", "right") if shows == "both" else [shows])}
        assert not [row for row in found.rows if row["refused"]]

    @pytest.mark.torch
    @pytest.mark.parametrize(
        ("kind", "side", "reason"),
        [
            ("DICOM", "right", "BodyPartExamined names a hip"),
            ("PNG", "left", "nor does its size, 200 x 300 pixels"),
        ],
    )
    def test_an_unknown_side_is_asked_for_and_not_graded(
        self,
        tmp_path: Path,
        finder: Path,
        capsys: pytest.CaptureFixture[str],
        kind: str,
        side: str,
        reason: str,
    ) -> None:
        """Nor is a picture of one hip graded as two."""
        from tests.learning.runs import write_onnx_run

        model = write_onnx_run(tmp_path / "model")
        if kind == "DICOM":
            path = film(tmp_path, side, **HIP)
        else:
            path = tmp_path / "a.png"
            path.write_bytes(encode_png((pelvis(side) / 16).astype(np.uint8)))
        words = ("predict", path, "--model", model, "--detector", finder, "--json")
        out = ("-o", tmp_path / "out")

        refused, _, err = run(capsys, *words)
        code, text, _ = run(capsys, *words, *out, "--side", side)

        assert refused == 2
        assert reason in err
        assert "pass --side left, --side right or" in err
        assert code == 0
        assert [row["side"] for row in json.loads(text)] == [side]
        assert written(tmp_path / "out") == {side: side}
        told = json.loads((tmp_path / "out" / "prediction.json").read_text("utf-8"))
        assert told["shows"] == {"shows": side, "source": "given"}


@pytest.mark.real
@pytest.mark.filterwarnings("ignore:.*patient's left:rhoa.RhoaWarning")
def test_the_real_film_gives_one_hip(
    real_data: Path, tmp_path: Path, finder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = real_data / "xray" / "RG2_rle.dcm"
    words = ("xray", path, "-o", tmp_path / "out", "--detector", finder, "--side", "left")

    code, text, _ = run(capsys, *words)

    assert code == 0
    assert "read, left hip alone (given)" in text
    assert not list((tmp_path / "out").glob("half-*.png"))
    assert [file.name for file in (tmp_path / "out").glob("hip-*.png")] == ["hip-left.png"]

"""Crops that are handed in: `predict`, `explain` and `train` take the same, and refuse the same."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import rhoa
from rhoa.hips.crop_files import encode_crop, padded
from rhoa.raster import encode_png
from tests.commands import run
from tests.learning.runs import brightness, write_onnx_run, write_run
from tests.learning.squares import squares

pytestmark = pytest.mark.torch  # whose extra brings the writer of ONNX files

LEVELS = np.random.default_rng(1).integers(0, 200, (40, 40)).astype(np.uint8)
TALL = np.pad(LEVELS[:, 10:30], ((0, 0), (2, 2)), constant_values=7)  # 40 x 24, a quiet border

Said = Callable[..., tuple[int, str]]


def graded(image: np.ndarray) -> float:
    """What the model of `write_onnx_run` says of an image of 40 x 40 levels."""
    return float(brightness(np.floor(image[None] + 0.5).astype(np.uint8))[0, 1])


@pytest.fixture(params=["predict", "explain", "train"])
def said(
    request: pytest.FixtureRequest, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> Said:
    """The exit code and the last line of a verb that is handed a crop."""

    def of(content: bytes, *options: str) -> tuple[int, str]:
        file = tmp_path / "hip.png"
        file.write_bytes(content)
        if request.param == "predict":
            words = ["predict", file, "--model", write_onnx_run(tmp_path / "model")]
        elif request.param == "explain":
            model = write_run(tmp_path / "run")
            words = ["explain", file, "--model", model, "-o", tmp_path / "map.png", "--patch", "20"]
        else:
            hips = squares(tmp_path).hips
            rows = [
                *("image", "subject", "side", "source", "visit", "kl", "label", "partition"),
            ]
            lines = [[getattr(hip, name) for name in rows] for hip in hips]
            lines[0][0] = file
            with (tmp_path / "manifest.csv").open("w", newline="", encoding="utf-8") as stream:
                csv.writer(stream).writerows([rows, *lines])
            words = ["train", tmp_path / "manifest.csv", "-o", tmp_path / "out", "--epochs", 1]
            words += ["--recipe", "model-3", "--weights", "none", "--image-size", 40]
            words += ["--set", "batch=4"]
        code, _, err = run(capsys, *words, *options)
        return code, err

    return of


@pytest.mark.parametrize(
    ("content", "message", "name"),
    [
        (encode_png(TALL), "hip.png: 40 x 24 pixels; a crop of a hip is square", "shape"),
        (
            encode_crop(LEVELS, side="left", source="ct", mirrored=True),
            "hip.png: a crop of a left hip that is mirrored",
            "label",
        ),
    ],
)
def test_what_is_no_crop_is_refused_by_every_verb_unless_it_is_accepted(
    said: Said, content: bytes, message: str, name: str
) -> None:
    code, refused = said(content)
    accepted, _ = said(content, "--accept", name)

    assert code == 1
    assert message in refused
    assert f"pass --accept {name} to " in refused
    assert refused.count("\n") == 1
    assert accepted == 0


def test_a_ct_ap_that_rhoa_saved_is_refused_by_every_verb(said: Said, tmp_path: Path) -> None:
    """Of 16 bits and square: a crop of 40 x 40 pixels but for what it says."""
    sums = np.random.default_rng(0).normal(0, 1e4, (40, 40)).astype(np.float32)
    image = rhoa.Radiograph(sums, (1, 1), provenance={"kind": "CT-AP"})
    image.save(tmp_path / "ct-ap.png")

    code, err = said((tmp_path / "ct-ap.png").read_bytes())

    assert code == 1
    assert "hip.png: rhoa wrote it as a whole CT-AP, not as a crop of a hip" in err
    assert "--accept label" in err


class TestOfPrediction:
    @pytest.fixture
    def model(self, tmp_path: Path) -> Path:
        return write_onnx_run(tmp_path / "model")

    def test_a_picture_is_padded_and_not_stretched(
        self, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (tmp_path / "hip.png").write_bytes(encode_png(TALL))
        words = ("predict", tmp_path / "hip.png", "--model", model, "--accept", "shape", "--json")

        _, out, _ = run(capsys, *words)

        square = np.full((40, 40), 7.0)
        square[:, 8:32] = TALL
        assert json.loads(out)[0]["probability"] == pytest.approx(graded(square), abs=2e-6)

    def test_16_bits_and_orientations_are_graded_as_what_a_viewer_shows(
        self, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        exif = Image.Exif()
        exif[274] = 6
        Image.fromarray(LEVELS.T[::-1].copy()).save(tmp_path / "turned.png", exif=exif)
        (tmp_path / "deep.png").write_bytes(encode_png(LEVELS.astype(np.uint16) * 257))
        Image.fromarray(LEVELS).convert("RGB").save(tmp_path / "colours.tif")
        files = [tmp_path / name for name in ("turned.png", "deep.png", "colours.tif")]

        code, out, err = run(capsys, "predict", *files, "--model", model, "--json")

        assert code == 0, err
        scores = [row["probability"] for row in json.loads(out)]
        assert scores == pytest.approx([graded(LEVELS)] * 3, abs=2e-6)

    def test_among_several_the_refused_one_is_listed_with_its_remedy(
        self, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        for name, pixels in (("a", LEVELS), ("b", TALL)):
            (tmp_path / f"{name}.png").write_bytes(encode_png(pixels))
        files = [tmp_path / "a.png", tmp_path / "b.png"]

        code, out, _ = run(capsys, "predict", *files, "--model", model, "--json")

        first, second = json.loads(out)
        assert code == 4
        assert first["refused"] == ""
        assert second["probability"] is None
        assert "--accept shape" in second["refused"]

    def test_a_refusal_of_another_kind_of_file_is_no_name_here(
        self, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (tmp_path / "hip.png").write_bytes(encode_png(LEVELS))
        words = ("predict", tmp_path / "hip.png", "--model", model, "--accept", "part")

        code, _, err = run(capsys, *words)

        assert code == 2
        assert "accept must name refusals that exist (label, size, shape, colour)" in err


def test_an_array_that_is_not_square_is_refused(tmp_path: Path) -> None:
    model = rhoa.load_model(write_onnx_run(tmp_path / "model"))

    with pytest.raises(rhoa.RhoaError, match=r"image 1: a crop of a hip is square.*\(40, 24\)"):
        model.predict_proba([LEVELS, TALL])
    assert model.predict_proba([padded(TALL.astype(np.float32))]).shape == (1, 2)


def test_the_score_of_an_explanation_is_that_of_the_prediction(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of a crop that is larger than the map, too."""
    model = write_run(tmp_path / "run")
    large = np.random.default_rng(3).integers(0, 255, (450, 450)).astype(np.uint8)
    (tmp_path / "hip.png").write_bytes(encode_png(large))
    words = (tmp_path / "hip.png", "--model", model, "--json")

    _, told, _ = run(capsys, "explain", *words, "-o", tmp_path / "m.png", "--method", "grad-cam")
    _, out, _ = run(capsys, "predict", *words)

    assert json.loads(told)[0]["rHOA"] == pytest.approx(json.loads(out)[0]["probability"], abs=1e-6)

"""`rhoa.predict`: grades of CTs, X-rays and crops in one call, or why there is none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import rhoa
from rhoa.errors import MissingFileError, ParameterError
from rhoa.hips.crop_files import encode_crop
from rhoa.phantom import Anatomy, Surroundings, ct
from tests.learning.runs import brightness, write_onnx_run

pytestmark = [
    pytest.mark.torch,  # whose extra brings the writer of ONNX files
    pytest.mark.filterwarnings("ignore::rhoa.RhoaWarning"),
    pytest.mark.usefixtures("poses_once"),
]

SPACING = (4, 3, 3)
SIZE = 40


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Grades by brightness alone, so that answers are known."""
    return write_onnx_run(tmp_path_factory.mktemp("model"), size=SIZE)


@pytest.fixture(scope="module")
def implanted() -> rhoa.Volume:
    surroundings = Surroundings(implant="left")
    return ct(Anatomy.random(8), spacing_mm=SPACING, surroundings=surroundings).volume


def known(crop: np.ndarray) -> float:
    from rhoa.learning.preprocessing import prepare

    seen = prepare(crop.astype(np.float32), image_size=SIZE, xray_size=None)
    return float(brightness(seen[None])[0, 1])


def test_a_volume_gives_a_row_a_hip_graded_as_its_crop(implanted: rhoa.Volume, model: Path) -> None:
    left, right = rhoa.predict(implanted, model)

    hip = rhoa.hips.extract(implanted).hips["right"]
    assert (left["side"], right["side"]) == ("left", "right")
    assert left["probability"] is None
    assert left["refused"].startswith("implant: ")
    assert not left["usable"]
    assert right["probability"] == pytest.approx(known(hip.crop), abs=2e-6)
    assert right["refused"] == ""
    assert right["pose_used"]


def test_an_accepted_hip_is_graded(implanted: rhoa.Volume, model: Path) -> None:
    left, _ = rhoa.predict(implanted, model, accept=("implant",))

    assert left["usable"]
    assert 0 < left["probability"] < 1
    assert "implant" in left["flags"]


def test_many_are_graded_in_order_and_one_that_fails_stops_no_other(
    model: Path, tmp_path: Path
) -> None:
    levels = [np.full((50, 50), value, np.uint8) for value in (40, 200)]
    files = [tmp_path / name for name in ("dark.png", "absent.png", "bright.png")]
    for file, pixels in zip(files[::2], levels, strict=True):
        file.write_bytes(encode_crop(pixels, side="left", source="ct"))

    rows = rhoa.predict(files, model)

    assert [row["scan"] for row in rows] == ["dark.png", "absent.png", "bright.png"]
    assert rows[0]["probability"] == pytest.approx(known(levels[0]), abs=2e-6)
    assert rows[1]["probability"] is None
    assert "absent.png: no such file or folder" in rows[1]["refused"]
    assert rows[2]["probability"] == pytest.approx(known(levels[1]), abs=2e-6)


def test_the_only_scan_that_fails_is_an_error(model: Path, tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match="no such file or folder"):
        rhoa.predict(tmp_path / "absent", model)


def test_several_models_and_views_give_their_spread(model: Path, tmp_path: Path) -> None:
    file = tmp_path / "hip.png"
    pixels = np.random.default_rng(0).integers(0, 256, (60, 60)).astype(np.uint8)
    file.write_bytes(encode_crop(pixels, side="left", source="ct"))

    (alone,) = rhoa.predict(file, model)
    (twice,) = rhoa.predict(file, [model, model])
    (viewed,) = rhoa.predict(file, rhoa.load_model(model), views=4)

    assert "spread" not in alone
    assert twice["probability"] == alone["probability"]
    assert twice["spread"] == 0
    assert viewed["spread"] > 0


def test_an_xray_needs_a_detector(model: Path, tmp_path: Path) -> None:
    from rhoa.phantom import write_xray, xray

    write_xray(xray(Anatomy.random(2), pixel_mm=1.0, voxel_mm=3.0), tmp_path / "film.dcm")

    with pytest.raises(ParameterError, match=r"pass detector= \(--detector FOLDER"):
        rhoa.predict(tmp_path / "film.dcm", model)


def test_what_is_accepted_must_be_a_refusal(implanted: rhoa.Volume, model: Path) -> None:
    with pytest.raises(ParameterError, match="accept must name refusals that exist"):
        rhoa.predict(implanted, model, accept=("metal",))

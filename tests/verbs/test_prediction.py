"""`rhoa predict`: which hips are graded and from which pixels, what is written, what is refused."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

import rhoa
from rhoa.cohort.builder import COLUMNS
from rhoa.phantom import Anatomy, Surroundings, ct, write_dicom, write_xray, xray
from rhoa.raster import encode_png
from tests.commands import run
from tests.learning.runs import brightness, write_onnx_run
from tests.pictures import levels_of

pytestmark = [
    pytest.mark.torch,  # whose extra brings the writer of ONNX files
    pytest.mark.usefixtures("poses_once"),
]

SMALL = "mobilenet_v3_large_fpn"

SPACING = (4, 3, 3)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_onnx_run(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def patients(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of scans: a sound one, an implant on the left, a scan cut at the joints."""
    folder = tmp_path_factory.mktemp("patients")
    cut = ((-225, 225), (-95, 225), (0, 205))
    phantoms = {
        "cut": Surroundings(reach_mm=cut),
        "implant": Surroundings(implant="left"),
        "sound": Surroundings(),
    }
    for name, surroundings in phantoms.items():
        case = ct(Anatomy.random(8), spacing_mm=SPACING, surroundings=surroundings)
        write_dicom(case.volume, folder / name)
    return folder


def expected(crop: np.ndarray, size: int = 40) -> float:
    from rhoa.learning.preprocessing import prepare

    seen = prepare(crop.astype(np.float32), image_size=size, xray_size=None)
    return float(brightness(seen[None])[0, 1])


class TestOfCts:
    def test_crops_and_grades_are_those_of_training(
        self, patients: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """The crops that `rhoa.cohort.build` writes for training, to the pixel."""
        lines = [",".join(COLUMNS)]
        lines += [f"P1,ct,{patients / 'sound'},{side},,2,,,,," for side in ("left", "right")]
        (tmp_path / "scans.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
        with pytest.warns(rhoa.RhoaWarning, match="coarse_voxels"):
            manifest = rhoa.cohort.build(tmp_path / "scans.csv", tmp_path / "study")

        out = tmp_path / "out"
        code, printed, _ = run(
            capsys, "predict", patients / "sound", "--model", model, "-o", out, "--json"
        )

        rows = json.loads(printed)
        assert code == 0
        assert [row["side"] for row in rows] == ["left", "right"]
        for hip, row in zip(manifest, rows, strict=True):
            trained_on, graded = levels_of(hip.image), levels_of(out / f"hip-{hip.side}.png")
            np.testing.assert_array_equal(graded, trained_on)
            assert row["probability"] == pytest.approx(expected(trained_on), abs=2e-6)
            assert row["refused"] == ""

    def test_what_is_written_tells_box_pose_joint_coverage_and_model(
        self, patients: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        words = ("predict", patients / "sound", "--model", model, "-o", tmp_path / "out")
        run(capsys, *words)
        run(capsys, "hips", patients / "sound", "-o", tmp_path / "hips")

        told = json.loads((tmp_path / "out" / "prediction.json").read_text("utf-8"))
        boxes = json.loads((tmp_path / "hips" / "boxes.json").read_text("utf-8"))
        card = json.loads((model / "model.json").read_text("utf-8"))
        for hip, box in zip(told["hips"], boxes, strict=True):
            assert {name: hip[name] for name in ("side", "top", "left", "bottom", "right")} == {
                name: box[name] for name in ("side", "top", "left", "bottom", "right")
            }
            assert hip["confidence"] == box["confidence"]
        assert told["model"]["members"][0]["weights_sha256"] == card["weights_sha256"]
        assert told["model"]["members"][0]["recipe"] == "brightness"
        assert set(told["pose"]["coverage"]["hips"]) == {"left", "right"}
        with (tmp_path / "out" / "predictions.csv").open(encoding="utf-8", newline="") as file:
            table = list(csv.DictReader(file))
        assert [row["side"] for row in table] == ["left", "right"]
        assert {"probability", "flags", "pose_flags", "inside_fraction"} <= table[0].keys()
        assert all((row["subject"], row["visit"]) == (row["scan"], "") for row in table)

    def test_a_model_abstains_where_it_is_less_sure_than_of_its_validation_hips(
        self, patients: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """Of ten hips it was nearly sure; of these two it is not."""
        run_folder = shutil.copytree(model, tmp_path / "run")
        card = json.loads((run_folder / "model.json").read_text("utf-8"))
        card["validation"] = {"hips_sha256": "a", "probabilities": ["0.99 0.01"] * 10}
        (run_folder / "model.json").write_text(json.dumps(card), "utf-8")

        words = ("predict", patients / "sound", "--model", run_folder, "-o", tmp_path / "out")
        code, printed, _ = run(capsys, *words, "--abstain", "0.2", "--views", "2", "--json")

        told = json.loads((tmp_path / "out" / "prediction.json").read_text("utf-8"))
        sure = -(0.99 * np.log(0.99) + 0.01 * np.log(0.01))
        assert code == 4
        assert told["model"]["abstain"] == {"share": 0.2, "entropy_nats": pytest.approx(sure)}
        assert told["hips"] == [
            {k: v for k, v in row.items() if k not in {"scan", "subject", "visit"}}
            for row in json.loads(printed)
        ]
        for row in told["hips"]:
            share = expected(levels_of(tmp_path / "out" / f"hip-{row['side']}.png"))
            entropy = -(share * np.log(share) + (1 - share) * np.log(1 - share))
            assert row["entropy_nats"] == pytest.approx(entropy, abs=2e-6)
            assert (row["probability"], row["spread"], row["usable"]) == (None, None, True)
            assert row["refused"].endswith("have it read, or pass a smaller --abstain")

    def test_hips_that_must_not_be_graded_are_not_and_it_says_why(
        self, patients: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        code, out, err = run(
            capsys, "predict", patients, "--each", "--model", model, "-o", tmp_path
        )

        with (tmp_path / "predictions.csv").open(encoding="utf-8", newline="") as file:
            rows = {(row["scan"], row["side"]): row for row in csv.DictReader(file)}
        assert code == 4, err
        assert set(rows) == {
            (scan, side) for scan in ("cut", "implant", "sound") for side in ("left", "right")
        }
        assert rows["sound", "left"]["probability"]
        assert "implant" in rows["implant", "left"]["refused"]
        assert rows["implant", "left"]["probability"] == ""
        assert rows["implant", "right"]["probability"]
        for side in ("left", "right"):
            assert "field of view" in rows["cut", side]["refused"]
            assert rows["cut", side]["probability"] == ""
            assert not (tmp_path / "cut" / f"hip-{side}.png").exists()
        assert "implant, left hip: not graded: implant" in out
        told = json.loads((tmp_path / "implant" / "prediction.json").read_text("utf-8"))
        assert [hip["probability"] is None for hip in told["hips"]] == [True, False]
        page = (tmp_path / "contact-sheet.html").read_text("utf-8")
        assert page.index("<h3>implant<") < page.index("<h3>sound<")

    def test_a_pose_that_is_flagged_grades_no_hip_but_by_force(
        self, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """Slices of 6 mm blur the landmarks."""
        case = ct(Anatomy.random(8), spacing_mm=(6, 2.5, 2.5))
        write_dicom(case.volume, tmp_path / "ct")
        words = ("predict", tmp_path / "ct", "--model", model, "--json")

        code, out, _ = run(capsys, *words)
        forced, used, _ = run(capsys, *words, "--pose", "force")

        assert code == 4
        for row in json.loads(out):
            assert row["probability"] is None
            assert row["refused"].startswith("pose not used")
        assert forced == 0
        assert all(row["probability"] is not None for row in json.loads(used))

    def test_hips_are_graded_where_the_spines_lie_outside_the_scan(
        self, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        case = ct(
            Anatomy.random(8),
            spacing_mm=SPACING,
            surroundings=Surroundings(reach_mm=((-225, 225), (-95, 225), (-95, 80))),
        )
        write_dicom(case.volume, tmp_path / "ct")

        code, out, _ = run(capsys, "predict", tmp_path / "ct", "--model", model, "--json")

        assert code == 0
        for row in json.loads(out):
            assert row["probability"] is not None
            assert "landmarks_outside" in row["pose_flags"]

    def test_several_scans_are_named_apart_and_done_once(
        self, patients: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        for name in ("a", "b"):
            (tmp_path / name).mkdir()
            (tmp_path / name / "ct").symlink_to(patients / ("sound" if name == "a" else "implant"))
        scans = [tmp_path / "a" / "ct", tmp_path / "b" / "ct"]
        words = ("predict", *scans, "--model", model, "-o", tmp_path / "out")

        first, _, _ = run(capsys, *words)
        again, out, _ = run(capsys, *words)

        assert (first, again) == (4, 4)
        assert "2 of them were done before" in out
        names = sorted(path.name for path in (tmp_path / "out").iterdir() if path.is_dir())
        assert names == ["a-ct", "b-ct"]

    def test_another_model_grades_them_anew(
        self, patients: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        run_folder = write_onnx_run(tmp_path / "run")
        (tmp_path / "scans").mkdir()
        (tmp_path / "scans" / "one").symlink_to(patients / "sound")
        words = ("predict", tmp_path / "scans", "--each", "--model", run_folder)
        words += ("-o", tmp_path / "out")
        run(capsys, *words)
        card = json.loads((run_folder / "model.json").read_text("utf-8"))
        (run_folder / "model.json").write_text(json.dumps(card | {"seed": 7}))
        _, out, _ = run(capsys, *words)

        assert "were done before" not in out


class TestOfOthers:
    def test_ready_crops_are_graded_in_batches(
        self, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        random = np.random.default_rng(0)
        crops = [random.integers(0, 256, (n, n)).astype(np.uint8) for n in (40, 100, 31)]
        files = [tmp_path / f"{number}.png" for number in range(3)]
        for file, crop in zip(files, crops, strict=True):
            file.write_bytes(encode_png(crop))
        (tmp_path / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\n but cut")

        code, out, _ = run(capsys, "predict", *files, "--model", model, "--json")
        partly, told, _ = run(
            capsys, "predict", *files, tmp_path / "bad.png", "--model", model, "--json"
        )

        rows = json.loads(out)
        assert code == 0
        assert [row["probability"] for row in rows] == pytest.approx(
            [expected(crop) for crop in crops], abs=2e-6
        )
        assert partly == 4
        assert json.loads(told)[:3] == rows
        assert "bad.png" in json.loads(told)[3]["refused"]

    def test_hips_of_an_xray_are_those_that_the_detector_finds(
        self, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """Cropped as `rhoa.cohort.build` crops the same boxes, to the pixel."""
        from rhoa.hips import HipDetector
        from rhoa.hips.detector import Architecture

        write_xray(xray(Anatomy.random(2), pixel_mm=1.0, voxel_mm=3.0), tmp_path / "film.dcm")
        detector = HipDetector.untrained(Architecture(SMALL, 64))
        detector.save(tmp_path / "detector")
        boxes = detector.detect(rhoa.hips.read_xray(tmp_path / "film.dcm"))
        lines = [",".join((*COLUMNS, "accept"))]  # of an untrained detector, any box will do
        lines += [
            f"P1,xray,film.dcm,{side},,2,,{box.top!r},{box.left!r},{box.bottom!r},{box.right!r},"
            '"half,outside,box"'
            for side, box in boxes.items()
        ]
        (tmp_path / "scans.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
        manifest = rhoa.cohort.build(tmp_path / "scans.csv", tmp_path / "study")

        words = ("predict", tmp_path / "film.dcm", "--model", model, "-o", tmp_path / "out")
        code, out, _ = run(capsys, *words, "--detector", tmp_path / "detector", "--json")
        refused, _, err = run(capsys, *words)

        assert code == 0
        rows = json.loads(out)
        for hip in manifest:
            trained_on = levels_of(hip.image)
            graded = levels_of(tmp_path / "out" / f"hip-{hip.side}.png")
            np.testing.assert_array_equal(graded, trained_on)
        assert [row["probability"] for row in rows] == pytest.approx(
            [expected(levels_of(hip.image)) for hip in manifest], abs=2e-6
        )
        assert all(row["flags"] == ["low_confidence"] for row in rows if row["confidence"] < 0.5)
        assert (refused, "--detector" in err) == (2, True)

    def test_several_models_and_views_give_a_spread(
        self, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        crop = np.zeros((40, 40), np.uint8)
        crop[15:25, 15:25] = 255
        (tmp_path / "crop.png").write_bytes(encode_png(crop))
        other = write_onnx_run(tmp_path / "other", size=20)
        words = ("predict", tmp_path / "crop.png", "--model", model)

        _, alone, _ = run(capsys, *words, "--json")
        _, viewed, _ = run(capsys, *words, "--views", 6, "--json")
        _, together, _ = run(capsys, *words, "--model", other, "--json")

        assert "spread" not in json.loads(alone)[0]
        assert json.loads(viewed)[0]["spread"] > 0
        (row,) = json.loads(together)
        each = [expected(crop), expected(crop, 20)]
        assert row["probability"] == pytest.approx(np.mean(each), abs=2e-6)
        assert row["spread"] == pytest.approx(np.std(each), abs=2e-6)

    @pytest.mark.parametrize(
        ("words", "wanted", "message"),
        [
            (["none.png"], 1, "none.png: no such file or folder"),
            (["notes.txt"], 2, "neither a CT, an X-ray nor a picture"),
            (["crop.png", "folder"], 2, "crop.png is a ready crop and folder a scan"),
            (["folder", "other"], 2, "pass -o OUT"),
            (["folder", "folder", "-o", "out"], 2, "one scan is named twice"),
            (["folder", "other", "-o", "out", "--each"], 2, "--each takes one folder"),
            (["crop.png", "--views", "0"], 2, "views must be a whole number >= 1"),
            (["crop.png", "--runtime", "torch"], 1, "no model.safetensors"),
        ],
    )
    def test_mistakes_say_what_to_do(
        self,
        model: Path,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
        words: Sequence[str],
        wanted: int,
        message: str,
    ) -> None:
        monkeypatch.chdir(tmp_path)
        (tmp_path / "folder").mkdir()
        (tmp_path / "other").mkdir()
        (tmp_path / "notes.txt").write_text("no image")
        (tmp_path / "crop.png").write_bytes(encode_png(np.eye(40, dtype=np.uint8) * 255))

        code, _, err = run(capsys, "predict", *words, "--model", model)

        assert code == wanted
        assert message in err


WITHOUT_TORCH = """
import sys
for name in ("torch", "torchvision", "safetensors", "matplotlib"):
    sys.modules[name] = None  # whoever imports it fails
from rhoa import cli
code = cli.main(sys.argv[1:])
assert not any(name.startswith("torch.") for name in sys.modules)
sys.exit(code)
"""


def test_predict_needs_no_torch(patients: Path, model: Path, tmp_path: Path) -> None:
    words = ["predict", patients / "sound", "--model", model, "-o", tmp_path, "--json"]

    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_TORCH, *map(str, words)],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    for row in json.loads(done.stdout):
        crop = levels_of(tmp_path / f"hip-{row['side']}.png")
        assert row["probability"] == pytest.approx(expected(crop), abs=2e-6)

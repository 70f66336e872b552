"""The whole road at tiny size, with torch and without."""

from __future__ import annotations

import json
import sys
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

import pytest

from rhoa import cli, cohort
from rhoa.cli import demo
from rhoa.cli.demo import DemoSize, train_and_report

TINY = DemoSize(
    ct_subjects=4,
    xray_subjects=8,
    epochs=2,
    image_size=32,
    batch=4,
    spacing_mm=(5.0, 4.0, 4.0),
    pixel_mm=1.0,
    voxel_mm=4.0,
)


@pytest.fixture(scope="module")
def demonstrated(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A folder that ``rhoa demo`` wrote where torch is absent, and what it printed."""
    out = tmp_path_factory.mktemp("demo")
    small = {name: getattr(TINY, name) for name in ("spacing_mm", "pixel_mm", "voxel_mm")}
    subjects = f"--ct-subjects {TINY.ct_subjects} --xray-subjects {TINY.xray_subjects}"
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(StringIO()) as printed:
        patch.setitem(sys.modules, "torch", None)
        patch.setattr(demo, "LIGHT", small)
        assert cli.main(["demo", "--out", str(out), "--seed", "6", *subjects.split()]) == 0
    assert not (out / "report.html").exists()
    return out, printed.getvalue()


@pytest.fixture(scope="module")
def study(demonstrated: tuple[Path, str]) -> tuple[Path, cohort.Manifest]:
    out, _ = demonstrated
    return out, cohort.read(out / "study" / "manifest.csv")


def test_the_imaging_half_leaves_a_study_a_user_could_have_made(
    study: tuple[Path, cohort.Manifest],
) -> None:
    out, manifest = study

    assert len(manifest) == 24
    assert {hip.partition for hip in manifest} == {"train", "val", "test"}
    assert len(list((out / "study" / "ct-ap").glob("*.png"))) == 4


@pytest.mark.torch
def test_the_learning_half_reports_what_the_runs_predicted(
    study: tuple[Path, cohort.Manifest],
) -> None:
    """The report's figures are those of the predictions on disk, computed again here."""
    import rhoa

    out, manifest = study
    report = train_and_report(out, manifest, TINY, seed=6, progress=None)

    page = report.read_text(encoding="utf-8")
    metrics = json.loads((out / "metrics.json").read_text(encoding="utf-8"))
    assert [model["name"] for model in metrics["models"]] == [f"Model-{n}" for n in range(1, 7)]
    for title in (
        "Table 1",
        "Table 2",
        "Table 3",
        "digital phantom",
        "Occlusion",
        "Leak audit",
        "1650 HU",
    ):
        assert title in page
    assert "<script src" not in page
    assert 'src="http' not in page
    lines = (out / "runs" / "model-3" / "seed-6" / "predictions.csv").read_text().splitlines()
    columns = lines[0].split(",")
    rows = [dict(zip(columns, line.split(","), strict=True)) for line in lines[1:]]
    test = [row for row in rows if (row["source"], row["partition"]) == ("xray", "test")]
    again = rhoa.evaluate(
        [int(row["label"]) for row in test],
        [float(row["score"]) for row in test],
        groups=[row["subject"] for row in test],
    )
    told = metrics["models"][2]["results"]["xray"]["test"]
    assert told["accuracy"]["value"] == pytest.approx(again.accuracy.value)
    assert told["hips"] == len(test)
    kept = [path.parent for path in out.rglob("*.safetensors")]
    assert kept == [out / "runs" / "model-3" / "seed-6"]


def test_without_torch_the_demo_says_what_it_skipped_and_succeeds(
    demonstrated: tuple[Path, str],
) -> None:
    _, printed = demonstrated

    assert "skipped: training, evaluation and report, because they need torch" in printed


def test_light_makes_the_images_of_fewer_subjects_even_where_torch_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[DemoSize] = []
    monkeypatch.setattr(demo, "make_cohort", lambda _, size, **__: asked.append(size))

    code = cli.main(["demo", "--out", str(tmp_path), "--light", "--xray-subjects", "9"])

    assert code == 0
    assert "skipped: training, evaluation and report, as --light asks" in capsys.readouterr().out
    assert [(size.ct_subjects, size.xray_subjects) for size in asked] == [(8, 9)]


def test_without_torch_the_full_demo_fails_and_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)

    code = cli.main(["demo", "--out", str(tmp_path), "--full"])

    assert code == 3
    assert "rhoa demo --full needs torch: pip install '.[train]'" in capsys.readouterr().err

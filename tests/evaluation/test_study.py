"""The numbers of a study: runs fit their manifest or are refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from rhoa.cohort import Manifest
from rhoa.errors import ManifestError, MissingFileError
from rhoa.report.collect import numbers, read_runs
from tests.evaluation.studies import hips_of, write_scores

NO_IMAGE = Path("no-picture-is-read.png")


def test_the_baseline_always_answers_the_larger_class() -> None:
    """Of 1 rHOA and 3 no-rHOA, "no-rHOA" is right in 3 of 4 and never finds rHOA."""
    manifest = Manifest(tuple(hips_of(NO_IMAGE, "ct", "test", 1, 3)))

    baseline = numbers(manifest, [])["baselines"]["ct"]["test"]

    assert baseline.pop("answer") == "no-rHOA"
    assert {name: estimate["value"] for name, estimate in baseline.items()} == {
        "accuracy": 0.75,
        "balanced_accuracy": 0.5,
        "precision": None,
        "recall": 0.0,
        "f1": 0.0,
        "pr_auc": 0.25,
        "roc_auc": 0.5,
    }


def test_a_model_of_two_stages_has_seen_the_images_of_both(tmp_path: Path) -> None:
    manifest = Manifest(tuple(hips_of(NO_IMAGE, "ct", "test", 2, 2)))
    run = write_scores(tmp_path / "run", manifest, [0.5] * 4, name="model-5")
    recipe = json.loads((run / "recipe.json").read_text())
    recipe["first"] = {"name": "model-1", "sources": ["xray"], "first": None}
    (run / "recipe.json").write_text(json.dumps(recipe))

    (model,) = numbers(manifest, read_runs([run], manifest.hips))["models"]

    assert model["sources"] == ["xray", "ct"]


@pytest.mark.parametrize("name", ["recipe.json", "history.csv", "predictions.csv"])
def test_a_folder_that_is_no_run_is_refused(tmp_path: Path, name: str) -> None:
    manifest = Manifest(tuple(hips_of(NO_IMAGE, "ct", "test", 2, 2)))
    run = write_scores(tmp_path / "run", manifest, [0.5] * 4)
    (run / name).unlink()

    with pytest.raises(MissingFileError, match=f"no {name} in it; pass folders written by"):
        read_runs([run], manifest.hips)


@pytest.mark.parametrize("field", ["partition", "label", "subject"])
def test_predictions_of_another_manifest_are_refused(tmp_path: Path, field: str) -> None:
    manifest = Manifest(tuple(hips_of(NO_IMAGE, "ct", "test", 2, 2)))
    run = write_scores(tmp_path / "run", manifest, [0.5] * 4)
    other = {"partition": "val", "label": 0, "subject": "someone"}[field]
    hips = (replace(manifest.hips[0], **{field: other}), *manifest.hips[1:])

    with pytest.raises(ManifestError, match="1 of 4 hips are absent") as caught:
        read_runs([run], hips)

    assert "ct-test" not in str(caught.value)


def test_predictions_of_some_hips_only_are_refused(tmp_path: Path) -> None:
    hips = hips_of(NO_IMAGE, "ct", "test", 2, 2)
    run = write_scores(tmp_path / "run", Manifest(tuple(hips[:3])), [0.5] * 3)

    with pytest.raises(ManifestError, match="holds 3 of the 4 ct hips of partition test"):
        read_runs([run], hips)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("recipe.json", "{", "not a JSON file"),
        ("recipe.json", "[]", "no recipe"),
        ("history.csv", "iteration,train_loss\n1,2\n", "lacks the columns train_accuracy"),
        ("predictions.csv", "subject\n", "lacks the columns side"),
    ],
)
def test_a_damaged_run_is_named(tmp_path: Path, name: str, content: str, message: str) -> None:
    manifest = Manifest(tuple(hips_of(NO_IMAGE, "ct", "test", 2, 2)))
    run = write_scores(tmp_path / "run", manifest, [0.5] * 4)
    (run / name).write_text(content, encoding="utf-8")

    with pytest.raises(ManifestError, match=f"run/{name}: {message}"):
        read_runs([run], manifest.hips)

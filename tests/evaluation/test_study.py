"""The numbers of a study: runs fit their manifest or are refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rhoa.cohort import Manifest
from rhoa.errors import ManifestError, MissingFileError
from rhoa.evaluation.reader_agreement import kappa
from rhoa.report.collect import beside_readers, names_readers, numbers, read_runs
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


def test_a_folder_of_runs_is_refused_and_a_run_in_it_named(tmp_path: Path) -> None:
    manifest = Manifest(tuple(hips_of(NO_IMAGE, "ct", "test", 2, 2)))
    write_scores(tmp_path / "runs" / "model-3", manifest, [0.5] * 4)

    with pytest.raises(MissingFileError, match="runs: no .* in it; .* such as runs/model-3"):
        read_runs([tmp_path / "runs"], manifest.hips)
    with pytest.raises(MissingFileError, match="none: no such folder"):
        read_runs([tmp_path / "none"], manifest.hips)


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


class TestReaders:
    """Answers of readers beside the model's, on the test hips that they graded."""

    # Labels: two hips with rHOA, three without; the model calls the first three rHOA.
    SCORES = (0.9, 0.8, 0.7, 0.2, 0.1)

    def beside(self, folder: Path, table: str) -> dict[str, Any]:
        manifest = Manifest(tuple(hips_of(NO_IMAGE, "ct", "test", 2, 3)))
        run = write_scores(folder / "run", manifest, list(self.SCORES))
        (folder / "grades.csv").write_text(table, encoding="utf-8")
        return beside_readers(read_runs([run], manifest.hips), folder / "grades.csv")

    def test_each_reader_has_an_operating_point_and_agreement(self, tmp_path: Path) -> None:
        """Anna grades all and misses the second rHOA; Bela grades the first three hips alone."""
        lines = ["Subject;side;reader;kl"]
        lines += [f"ct-test-{n};L;anna;{kl}" for n, kl in enumerate((4, 1, 0, 1, 0))]
        lines += [f"ct-test-{n};left;bela;{kl}" for n, kl in enumerate((2, 3, 2))]

        found = self.beside(tmp_path, "\n".join(lines))

        anna, bela = found["rows"]
        assert (anna["reader"], anna["hips"], anna["subjects"], anna["rHOA"]) == ("anna", 5, 5, 2)
        assert (anna["recall"]["value"], anna["specificity"]["value"]) == (0.5, 1.0)
        assert (bela["hips"], bela["recall"]["value"], bela["specificity"]["value"]) == (3, 1, 0)
        assert bela["of_model"]["recall"]["value"] == 1
        assert bela["of_model"]["specificity"]["value"] == 0
        answers, labels, model = [1, 0, 0, 0, 0], [1, 1, 0, 0, 0], [1, 1, 1, 0, 0]
        for name, other in (("with_label", labels), ("with_model", model)):
            expected = kappa(answers, other, groups=range(5), categories=2).value
            assert anna[name]["value"] == pytest.approx(expected)
        assert "MRMC" in found["notes"][0]
        assert len(found["notes"]) == 1

    def test_the_first_reading_counts_and_hips_without_grade_are_left_aside(
        self, tmp_path: Path
    ) -> None:
        table = "subject,side,source,visit,reader,reading,kl\n"
        table += "ct-test-0,left,ct,0,anna,2,0\nct-test-0,left,ct,0,anna,1,3\n"
        table += "ct-test-1,left,ct,0,anna,1,\nct-test-2,left,ct,0,anna,1,0\n"
        table += "ct-test-3,left,xray,0,anna,1,4\nct-test-4,left,ct,1,anna,1,4\n"

        (anna,) = self.beside(tmp_path, table)["rows"]

        assert (anna["hips"], anna["recall"]["value"], anna["specificity"]["value"]) == (2, 1, 1)

    def test_labels_made_of_the_grades_are_reported(self, tmp_path: Path) -> None:
        table = "subject,side,reader,kl\n"
        table += "\n".join(f"ct-test-{n},left,anna,{2 * (n < 2)}" for n in range(5))

        notes = self.beside(tmp_path, table)["notes"]

        assert "The label of all 5 hips is what most of these readers gave" in notes[1]

    @pytest.mark.parametrize(
        ("table", "message"),
        [
            ("subject,side,kl\nct-test-0,left,3\n", "reader"),
            ("subject,side,reader,kl\nct-test-0,left,a,7\n", "line 2: kl must be 0 to 4"),
            ("subject,side,reader,kl\nct-test-0,left,a,x\n", "line 2: kl must be 0 to 4"),
            ("subject,side,reader,kl\nsomeone,left,a,3\n", "grades no test hip"),
        ],
    )
    def test_a_table_that_is_not_of_these_hips_is_refused(
        self, tmp_path: Path, table: str, message: str
    ) -> None:
        with pytest.raises(ManifestError, match=message):
            self.beside(tmp_path, table)

    def test_a_table_without_readers_is_not_taken_for_one(self, tmp_path: Path) -> None:
        (tmp_path / "grades.csv").write_text("case,side,reader,kl\n1,left,a,3\n")

        assert not names_readers(tmp_path / "grades.csv")
        assert not names_readers(tmp_path / "absent.csv")

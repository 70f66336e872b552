"""Whole studies on squares: what is trained, what is not trained again, what is measured."""

from __future__ import annotations

import csv
import json
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import rhoa
from rhoa import cli, cohort
from rhoa.cli.study import WITHIN_FOLDS
from rhoa.cli.study import _areas as study_lines
from rhoa.cohort import Hip, Manifest
from rhoa.errors import ParameterError
from rhoa.files import csv_text
from rhoa.study import Plan, conduct
from rhoa.study.runner import StudyOutcome, pool_scores, prepare, require_trainable, train_all
from tests.learning.squares import QUICK, TINY, squares

pytestmark = pytest.mark.torch

XRAY = replace(QUICK, name="xray", sources=("xray",), epochs=1)
BOTH = replace(QUICK, name="both", epochs=1)
FIGURES = ("roc_auc", "brier", "recall")


def manifest(folder: Path) -> Path:
    """Hips of squares, as a table on disk."""
    names = ("image", "subject", "side", "source", "kl", "visit", "label", "partition")
    hips = squares(folder).hips
    table = folder / "manifest.csv"
    Manifest(tuple(Hip(**{name: getattr(hip, name) for name in names}) for hip in hips)).write(
        table
    )
    return table


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    folder = tmp_path_factory.mktemp("study")
    return Plan(
        out=folder / "out",
        manifest=manifest(folder),
        recipes=(XRAY, BOTH),
        weights="none",
        seeds=(1, 2),
        notes=("squares are no hips",),
    )


@pytest.fixture(scope="module")
def report(plan: Plan) -> Path:
    return conduct(plan).report


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def scores(run: Path, source: str, part: str) -> tuple[list[int], list[float], list[str]]:
    """Labels, scores and subjects of a set, as a run's table has them."""
    mine = [
        row
        for row in rows(run / "predictions.csv")
        if (row["source"], row["partition"]) == (source, part)
    ]
    return (
        [int(row["label"]) for row in mine],
        [float(row["score"]) for row in mine],
        [row["subject"] for row in mine],
    )


def weights_of(plan: Plan) -> dict[Path, tuple[bytes, int]]:
    """Content and time of every run's weights."""
    files = sorted((plan.out / "runs").glob("*/*/model.safetensors"))
    return {file: (file.read_bytes(), file.stat().st_mtime_ns) for file in files}


def test_each_recipe_is_trained_with_each_seed(plan: Plan, report: Path) -> None:
    assert report == plan.out / "report.html"
    for recipe in (XRAY, BOTH):
        for seed in (1, 2):
            card = json.loads(
                (plan.out / "runs" / recipe.name / f"seed-{seed}" / "model.json").read_text()
            )
            assert (card["recipe"], card["seed"]) == (recipe.name, seed)


def test_a_run_is_what_training_alone_would_make(plan: Plan, report: Path, tmp_path: Path) -> None:
    alone = rhoa.train(cohort.read(plan.manifest), BOTH, tmp_path / "alone", weights="none", seed=2)

    told = plan.out / "runs" / "both" / "seed-2" / "model.safetensors"
    assert report.is_file()
    assert told.read_bytes() == (alone / "model.safetensors").read_bytes()


@pytest.mark.parametrize("source", ["xray", "ct"])
@pytest.mark.parametrize("part", ["val", "test"])
def test_figures_are_those_of_the_runs_and_of_their_mean_scores(
    plan: Plan, report: Path, source: str, part: str
) -> None:
    """From the runs' tables, put together and measured here again."""
    runs = [plan.out / "runs" / "both" / f"seed-{seed}" for seed in (1, 2)]
    sets = [scores(run, source, part) for run in runs]
    each = [rhoa.evaluate(labels, score, groups=who) for labels, score, who in sets]
    mean = np.mean([score for _, score, _ in sets], axis=0)
    together = rhoa.evaluate(sets[0][0], mean, groups=sets[0][2])

    told = {
        row["figure"]: row
        for row in json.loads((report.parent / "results.json").read_text())
        if (row["recipe"], row["source"], row["partition"]) == ("both", source, part)
    }

    for figure in FIGURES:
        values = [getattr(one, figure).value for one in each]
        row, whole = told[figure], getattr(together, figure)
        assert row["runs"] == 2
        assert row["values"] == pytest.approx(values)
        assert row["mean"] == pytest.approx(np.mean(values))
        assert row["spread"] == pytest.approx(np.std(values, ddof=1))
        expected = [None if np.isnan(number) else pytest.approx(number) for number in whole[:3]]
        assert [row["together"], row["low"], row["high"]] == expected


def test_the_report_is_of_the_mean_scores(plan: Plan, report: Path) -> None:
    metrics = json.loads((plan.out / "metrics.json").read_text())
    results = json.loads((plan.out / "results.json").read_text())

    for model in metrics["models"]:
        for row in results:
            if row["recipe"].casefold() == model["name"].casefold():
                shown = model["results"][row["source"]][row["partition"]][row["figure"]]
                assert shown["value"] == row["together"]
    page = report.read_text(encoding="utf-8")
    assert "squares are no hips" in page
    assert "trained with 2 seeds" in page


def test_started_again_it_does_what_was_stopped_and_leaves_the_others(
    plan: Plan, report: Path
) -> None:
    """A run is stopped while it trains: its record says so, its weights are not there."""
    before, page = weights_of(plan), report.read_bytes()
    stopped = plan.out / "runs" / "xray" / "seed-2"
    record = json.loads((stopped / "asked.json").read_text())
    (stopped / "asked.json").write_text(json.dumps(record | {"done": False}))
    for file in stopped.iterdir():
        if file.is_dir():
            shutil.rmtree(file)
        elif file.name != "asked.json":
            file.unlink()

    conduct(plan)

    after = weights_of(plan)
    assert {file: content for file, (content, _) in after.items()} == {
        file: content for file, (content, _) in before.items()
    }
    changed = [file for file in after if after[file] != before[file]]
    assert changed == [stopped / "model.safetensors"]
    assert report.read_bytes() == page


def test_a_run_that_was_trained_otherwise_is_refused_and_nothing_is_trained(
    plan: Plan, report: Path
) -> None:
    before = weights_of(plan)
    more = replace(plan, recipes=(replace(BOTH, epochs=2), replace(XRAY, name="third")))

    with pytest.raises(ParameterError, match="2 runs .* both/seed-1: recipe.epochs was 1, is 2"):
        conduct(more)

    assert report.is_file()
    assert weights_of(plan) == before


def test_redo_trains_it_anew_and_no_other(plan: Plan, tmp_path: Path) -> None:
    small = replace(plan, out=tmp_path / "out", seeds=(1,))
    train_all(prepare(small), small, progress=None)
    before = weights_of(small)
    other = replace(small, recipes=(XRAY, replace(BOTH, batch=2)))
    jobs = prepare(other)

    require_trainable(jobs, redo=True)
    train_all(jobs, other, progress=None)

    after = weights_of(small)
    assert [file.parts[-3] for file in after if after[file] != before[file]] == ["both"]


def test_other_labels_are_another_study(plan: Plan, report: Path, tmp_path: Path) -> None:
    hips = cohort.read(plan.manifest).hips
    changed = Manifest((replace(hips[0], kl=None, label=None), *hips[1:]))
    changed.write(tmp_path / "manifest.csv")

    with pytest.raises(ParameterError, match="other hips, labels or partitions"):
        conduct(replace(plan, manifest=tmp_path / "manifest.csv"))

    assert report.is_file()


def test_folders_that_no_study_wrote_are_never_replaced(plan: Plan, tmp_path: Path) -> None:
    mine = tmp_path / "out" / "runs" / "xray" / "seed-1" / "notes.txt"
    mine.parent.mkdir(parents=True)
    mine.write_text("mine")

    with pytest.raises(ParameterError, match="hold what no study wrote; the first, xray/seed-1"):
        conduct(replace(plan, out=tmp_path / "out"), redo=True)

    assert mine.read_text() == "mine"


@pytest.fixture(scope="module")
def folded(plan: Plan, tmp_path_factory: pytest.TempPathFactory) -> tuple[Plan, StudyOutcome]:
    """A cross-validation of four folds."""
    out = tmp_path_factory.mktemp("folded")
    plan = replace(plan, out=out, seeds=(1,), folds=4, recipes=(BOTH,))
    return plan, conduct(plan)


def test_in_folds_each_hip_is_tested_once_by_a_model_that_did_not_see_its_subject(
    folded: tuple[Plan, StudyOutcome],
) -> None:
    plan, (_, results) = folded[0], (folded[1].report, folded[1].results)
    folder = plan.out

    hips = cohort.read(plan.manifest).labelled
    together = rows(folder / "together" / "both" / "predictions.csv")
    assert len(together) == len(hips)
    by_hip = {}
    for fold in range(1, 5):
        parts = {hip.subject: hip.partition for hip in prepare(plan)[fold - 1].manifest}
        for row in rows(folder / "runs" / "both" / f"fold-{fold}" / "predictions.csv"):
            if row["partition"] == "test":
                assert parts[row["subject"]] == "test"
                by_hip[row["subject"], row["side"]] = float(row["score"])
    assert {(row["subject"], row["side"]): float(row["score"]) for row in together} == by_hip
    (area,) = [
        one for one in results if (one.source, one.partition, one.figure) == ("ct", "test", "brier")
    ]
    ct = [row for row in together if row["source"] == "ct"]
    errors = [(float(row["score"]) - int(row["label"])) ** 2 for row in ct]
    assert area.together.value == pytest.approx(np.mean(errors))
    assert area.hips == len(ct)


def test_the_headline_of_folds_is_the_mean_of_the_areas_within_them(
    folded: tuple[Plan, StudyOutcome],
) -> None:
    """Where a fold has hips of one class, it has no area."""
    plan, outcome = folded
    (found,) = [
        one
        for one in outcome.results
        if (one.source, one.partition, one.figure) == ("ct", "test", "roc_auc")
    ]
    each = [scores(plan.out / "runs" / "both" / f"fold-{n}", "ct", "test") for n in range(1, 5)]
    areas = [rhoa.evaluate(*one[:2]).roc_auc.value for one in each if len(set(one[0])) == 2]
    pooled = rhoa.evaluate(*([value for one in each for value in one[at]] for at in (0, 1)))

    assert found.within is not None
    assert found.within.value == pytest.approx(np.mean(areas))
    assert found.mean == pytest.approx(np.mean(areas))
    assert found.together.value == pytest.approx(pooled.roc_auc.value)
    metrics = json.loads((plan.out / "metrics.json").read_text())
    (row,) = [one for one in metrics["cross_validation"] if one["source"] == "ct"]
    assert (row["folds"], row["model"]) == (4, "Both")
    assert row["roc_auc"]["value"] == found.within.value
    assert row["pooled"]["roc_auc"]["value"] == found.together.value
    assert "ROC AUC within folds" in outcome.report.read_text(encoding="utf-8")
    (line,) = [
        one
        for one in rows(plan.out / "results.csv")
        if (one["source"], one["partition"], one["figure"]) == ("ct", "test", "roc_auc")
    ]
    assert float(line["within"]) == found.within.value


def test_the_verb_prints_areas_within_folds_and_says_what_pooled_ones_are(
    folded: tuple[Plan, StudyOutcome],
) -> None:
    (row,) = study_lines(folded[1].results)
    (area,) = [
        one
        for one in folded[1].results
        if (one.source, one.partition, one.figure) == ("xray", "test", "roc_auc")
    ]

    printed = row["X-ray test"]
    assert printed.startswith(f"{area.mean:.3f}")
    assert f"pooled {area.together.value:.3f}" in printed
    assert "against another's" in WITHIN_FOLDS


def prediction_row(subject: str, partition: str, label: int, score: float) -> list[object]:
    """A CT-AP hip of `COLUMNS`."""
    return ["a.png", subject, "left", "ct", "", partition, 3 * label, label, score]


COLUMNS = ("image", "subject", "side", "source", "visit", "partition", "kl", "label", "score")


def test_the_threshold_of_a_fold_comes_from_its_own_validation_hips(tmp_path: Path) -> None:
    """Validation hips of fold 1 are apart at .65, its test hips at .25; of fold 2 at .3 and .75.

    Whatever is changed of the test hips, the thresholds stay.
    """
    val = ([(0, 0.6), (1, 0.7)], [(0, 0.2), (1, 0.4)])
    test = ([(0, 0.2), (1, 0.3)], [(0, 0.7), (1, 0.8)])

    def thresholds(folder: Path, tested: tuple[list[tuple[int, float]], ...]) -> dict[str, str]:
        jobs = []
        for number in (1, 2):
            run = folder / f"fold-{number}"
            run.mkdir(parents=True)
            table = [
                prediction_row(f"{part}-{number}-{label}", part, label, score)
                for part, hips in (("val", val), ("test", tested))
                for label, score in hips[number - 1]
            ]
            (run / "predictions.csv").write_text(csv_text(COLUMNS, table), "utf-8")
            for name in ("recipe.json", "history.csv"):
                (run / name).write_text("{}")
            job = SimpleNamespace(recipe=SimpleNamespace(name="m"), name=run.name, folder=run)
            job.manifest = Manifest(())
            jobs.append(job)
        (pooled,), _ = pool_scores(jobs, folder / "together")  # type: ignore[arg-type]  # like jobs
        return {
            row["subject"]: (row["fold"], row["fold_threshold"])
            for row in rows(pooled / "predictions.csv")
        }

    found = thresholds(tmp_path / "one", test)
    other = thresholds(tmp_path / "other", ([(1, 0.1), (0, 0.9)], [(1, 0.0), (0, 1.0)]))

    assert set(found) == {"test-1-0", "test-1-1", "test-2-0", "test-2-1"}  # and no validation hip
    assert [found[f"test-{n}-0"][0] for n in (1, 2)] == ["1", "2"]
    assert [float(found[f"test-{n}-{c}"][1]) for n in (1, 2) for c in (0, 1)] == pytest.approx(
        [0.65, 0.65, 0.3, 0.3]
    )
    assert other == found


def test_progress_counts_images_over_all_runs_and_never_goes_back(
    plan: Plan, tmp_path: Path
) -> None:
    """Two batches of 4 images of the X-ray stage, then 4 of each source: 4 + 4 x 2 images."""
    steps: list[tuple[int, int, str]] = []
    ct = replace(QUICK, name="staged", sources=("ct",), epochs=1, first=XRAY)
    small = replace(plan, out=tmp_path, seeds=(1,), recipes=(ct, BOTH))

    train_all(prepare(small), small, progress=lambda *step: steps.append(step))

    seen = [done for done, _, what in steps if what.startswith("training: ")]
    assert {total for _, total, what in steps if what.startswith("training: ")} == {16}
    assert seen == sorted(seen)
    assert {4, 8, 16} <= set(seen)


def test_the_verb_prints_areas_and_lists_runs(
    plan: Plan, report: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    toml = tmp_path / "study.toml"
    toml.write_text(
        f'manifest = "{plan.manifest}"\nout = "{tmp_path / "out"}"\nweights = "none"\n'
        'recipes = ["model-1", "model-5"]\nseeds = [1, 2]\n'
        f'[every-recipe]\nbackbone = "{TINY}"\nepochs = 1\nbatch = 4\nimage_size = 40\n',
        encoding="utf-8",
    )

    listed = cli.main(["study", str(toml), "--list"])
    before = capsys.readouterr().out
    done = cli.main(["study", str(toml)])
    after = capsys.readouterr().out
    cli.main(["study", str(toml), "--list", "--json"])
    states = json.loads(capsys.readouterr().out)

    assert report.is_file()
    assert (listed, done) == (0, 0)
    assert "new" in before
    assert "done" not in before
    assert "model-5" in after
    assert "+-" in after
    assert {row["state"] for row in states} == {"done"}
    assert {(row["recipe"], row["run"]) for row in states} == {
        (model, f"seed-{seed}") for model in ("model-1", "model-5") for seed in (1, 2)
    }

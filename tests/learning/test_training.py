"""Training on squares: it learns, repeats to the bit, and leaves a complete run folder."""

from __future__ import annotations

import csv
import hashlib
import json
import re
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import rhoa
from rhoa import RhoaError
from rhoa.errors import ManifestError, WeightsError
from rhoa.learning import Execution, Recipe
from rhoa.raster import encode_png, resize
from tests.learning.squares import QUICK, STILL, Squares, squares
from tests.pictures import levels_of

pytestmark = pytest.mark.torch


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Squares:
    return squares(tmp_path_factory.mktemp("crops"))


@pytest.fixture(scope="module")
def run(cohort: Squares, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return rhoa.train(
        cohort, QUICK, tmp_path_factory.mktemp("run") / "quick", weights="none", seed=7
    )


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def sha256(run: Path) -> str:
    return hashlib.sha256((run / "model.safetensors").read_bytes()).hexdigest()


class TestLearning:
    def test_eight_different_images_are_learnt_and_new_ones_told_apart(
        self, cohort: Squares, tmp_path: Path
    ) -> None:
        recipe = replace(QUICK, epochs=15, drop_period=15, learning_rate=5e-3)
        recipe = replace(recipe, augmentation=STILL, batch=8)

        folder = rhoa.train(cohort, recipe, tmp_path / "run", weights="none")

        assert float(rows(folder / "history.csv")[-1]["train_loss"]) < 0.05
        predictions = rows(folder / "predictions.csv")
        assert len(predictions) == 16
        assert all((float(row["score"]) > 0.5) == (row["label"] == "1") for row in predictions)

    def test_one_seed_gives_one_set_of_weights_and_torch_is_left_as_it_was(
        self, cohort: Squares, run: Path, tmp_path: Path
    ) -> None:
        import torch

        before = torch.get_rng_state(), torch.are_deterministic_algorithms_enabled()
        again = rhoa.train(cohort, QUICK, tmp_path / "again", weights="none", seed=7)
        other = rhoa.train(cohort, QUICK, tmp_path / "other", weights="none", seed=8)

        assert sha256(again) == sha256(run)
        assert sha256(other) != sha256(run)
        for name in ("history.csv", "predictions.csv", "recipe.json", "model.json", "run.json"):
            assert (again / name).read_bytes() == (run / name).read_bytes()
        assert torch.equal(torch.get_rng_state(), before[0])
        assert torch.are_deterministic_algorithms_enabled() == before[1]

    @pytest.mark.parametrize(("sources", "hips"), [(("ct",), 4), (("xray", "ct"), 8)])
    def test_only_the_recipes_sources_are_trained_on(
        self, cohort: Squares, tmp_path: Path, sources: tuple[str, ...], hips: int
    ) -> None:
        """Other X-rays (noise) change nothing in a model of CT-APs alone, which grades them too."""
        recipe = replace(QUICK, sources=sources, epochs=1)
        changed = squares(tmp_path)
        random = np.random.default_rng(1)
        for hip in changed.hips:
            if hip.source == "xray":
                noise = random.integers(0, 255, (40, 40)).astype(np.uint8)
                hip.image.write_bytes(encode_png(noise))

        first = rhoa.train(cohort, recipe, tmp_path / "first", weights="none")
        second = rhoa.train(changed, recipe, tmp_path / "second", weights="none")

        assert (sha256(first) == sha256(second)) == (sources == ("ct",))
        assert json.loads((first / "model.json").read_text())["trained_hips"] == hips
        assert {row["source"] for row in rows(first / "predictions.csv")} == {"xray", "ct"}

    def test_it_goes_on_from_another_run(self, cohort: Squares, run: Path, tmp_path: Path) -> None:
        """The X-ray then CT-AP transfer: with no learning to speak of, the weights stay."""
        from safetensors.torch import load_file

        recipe = replace(QUICK, sources=("ct",), epochs=1, learning_rate=1e-30)

        folder = rhoa.train(cohort, recipe, tmp_path / "more", weights=run)

        before, after = (load_file(f / "model.safetensors") for f in (run, folder))
        np.testing.assert_array_equal(before["fc.weight"], after["fc.weight"])

    def test_a_recipe_of_two_stages_is_two_runs_one_after_the_other(
        self, cohort: Squares, tmp_path: Path
    ) -> None:
        xray = replace(QUICK, name="xray", sources=("xray",), epochs=1)
        ct = replace(QUICK, name="ct", sources=("ct",), epochs=1)

        both = rhoa.train(
            cohort, replace(ct, first=xray), tmp_path / "both", weights="none", seed=7
        )
        alone = rhoa.train(cohort, xray, tmp_path / "alone", weights="none", seed=7)
        then = rhoa.train(cohort, ct, tmp_path / "then", weights=alone, seed=7)

        assert sha256(both / "first") == sha256(alone)
        assert sha256(both) == sha256(then) != sha256(alone)
        assert Recipe.from_dict(json.loads((both / "recipe.json").read_text())).first == xray

    def test_it_stops_when_its_patience_is_over(self, cohort: Squares, tmp_path: Path) -> None:
        recipe = replace(QUICK, epochs=20, drop_period=20, validation_every=1, patience=1)
        told = []

        folder = rhoa.train(
            cohort,
            replace(recipe, learning_rate=0.02),
            tmp_path / "run",
            weights="none",
            progress=lambda *said: told.append(said),
        )

        done = len(rows(folder / "history.csv"))
        card = json.loads((folder / "model.json").read_text())
        assert done == card["best_iteration"] + 1 < 40
        assert told[-1] == (40, 40, f"quick: stopped after {done} iterations")

    def test_grades_teach_a_two_class_model(self, cohort: Squares, tmp_path: Path) -> None:
        """Saved, an ordinal model is a ResNet18 of two classes that gives the same scores."""
        recipe = replace(QUICK, head="ordinal", keep="best", best_by="val_auc", label_smoothing=0.1)

        folder = rhoa.train(cohort, recipe, tmp_path / "run", weights="none")

        hips = [hip for hip in cohort.hips if hip.partition == "test"]
        images = [levels_of(hip.image) for hip in hips]
        written = [float(r["score"]) for r in rows(folder / "predictions.csv")][-len(hips) :]
        scores = rhoa.load_model(folder).predict_proba(images)
        np.testing.assert_allclose(scores[:, 1], written, atol=1e-6)
        best = max(float(row["val_auc"] or 0) for row in rows(folder / "history.csv"))
        assert json.loads((folder / "model.json").read_text())["best_val_auc"] == best

    @pytest.mark.parametrize(
        "precision", ["bfloat16", pytest.param("float16", marks=pytest.mark.slow)]
    )
    def test_half_precision_learns_about_the_same(
        self, cohort: Squares, run: Path, tmp_path: Path, precision: str
    ) -> None:
        execution = Execution(precision=precision)

        folder = rhoa.train(
            cohort, QUICK, tmp_path / "run", weights="none", seed=7, execution=execution
        )

        whole, half = (
            [float(row["train_loss"]) for row in rows(f / "history.csv")] for f in (run, folder)
        )
        assert half != whole
        assert half[0] == pytest.approx(whole[0], abs=0.02)
        assert json.loads((folder / "run.json").read_text())["precision"] == precision

    def test_a_smallest_image_in_a_set_smaller_than_the_batch_trains(
        self, cohort: Squares, tmp_path: Path
    ) -> None:
        """At 32 pixels the last layers see one pixel, which batch normalisation cannot do alone."""
        pair = Squares(tuple(hip for hip in cohort.hips if hip.subject == "ct-train-0"))
        recipe = replace(QUICK, image_size=32, batch=32, epochs=1)

        folder = rhoa.train(pair, recipe, tmp_path / "run", weights="none")

        assert len(rows(folder / "history.csv")) == 1


class TestRunFolder:
    def test_it_holds_these_files_and_nothing_else(self, run: Path) -> None:
        assert sorted(path.name for path in run.iterdir()) == [
            "best",
            "history.csv",
            "history.jsonl",
            "model.json",
            "model.safetensors",
            "predictions.csv",
            "recipe.json",
            "run.json",
        ]
        assert sorted(path.name for path in (run / "best").iterdir()) == [
            "model.json",
            "model.safetensors",
        ]

    def test_history_has_a_row_per_iteration_and_validates_on_time(self, run: Path) -> None:
        history = rows(run / "history.csv")

        assert ",".join(history[0]) == (
            "iteration,epoch,learning_rate,train_loss,train_accuracy,val_loss,val_accuracy,val_auc,"
            "val_loss_ct,val_accuracy_ct,val_auc_ct,val_loss_xray,val_accuracy_xray,val_auc_xray"
        )
        assert [row["iteration"] for row in history] == ["1", "2", "3", "4"]
        assert [row["epoch"] for row in history] == ["1", "1", "2", "2"]
        assert [float(row["learning_rate"]) for row in history] == pytest.approx(
            [1e-3, 1e-3, 1e-4, 1e-4]
        )
        assert [bool(row["val_loss"]) for row in history] == [False, True, False, True]
        lines = (run / "history.jsonl").read_text().splitlines()
        same = [{k: "" if v is None else str(v) for k, v in json.loads(n).items()} for n in lines]
        assert same == history

    def test_predictions_cover_every_partition_of_both_sources_in_the_manifests_order(
        self, cohort: Squares, run: Path
    ) -> None:
        predictions = rows(run / "predictions.csv")

        assert ",".join(predictions[0]) == (
            "image,subject,side,source,visit,partition,kl,label,score"
        )
        assert [row["image"] for row in predictions] == [str(hip.image) for hip in cohort.hips]
        assert {(row["source"], row["partition"]) for row in predictions} == {
            (source, part) for source in ("xray", "ct") for part in ("train", "val", "test")
        }
        assert all(0 <= float(row["score"]) <= 1 for row in predictions)

    def test_reports_leave_training_hips_out(self, run: Path) -> None:
        from rhoa.report.collect import _read_predictions

        said = _read_predictions(run / "predictions.csv")

        assert [part for _, part, _ in said.values()] == ["val"] * 4 + ["test"] * 4

    def test_the_recipe_is_written_whole(self, run: Path) -> None:
        assert Recipe.from_dict(json.loads((run / "recipe.json").read_text())) == QUICK

    def test_the_card_says_what_the_model_is(self, run: Path) -> None:
        card = json.loads((run / "model.json").read_text())

        assert card["architecture"] == QUICK.backbone
        assert (card["image_size"], card["xray_size"], card["recipe"]) == (40, None, "quick")
        assert (card["seed"], card["pretrained"], card["iterations"]) == (7, "none", 4)
        assert card["weights_sha256"] == sha256(run)

    def test_the_best_iteration_is_that_of_the_lowest_validation_loss(self, run: Path) -> None:
        card = json.loads((run / "model.json").read_text())
        losses = {
            int(row["iteration"]): float(row["val_loss"])
            for row in rows(run / "history.csv")
            if row["val_loss"]
        }

        assert card["best_val_loss"] == min(losses.values())
        assert losses[card["best_iteration"]] == card["best_val_loss"]
        best = json.loads((run / "best" / "model.json").read_text())
        assert (best["weights_of"], best["weights_iteration"]) == ("best", card["best_iteration"])
        assert (card["weights_of"], card["weights_iteration"]) == ("last", 4)

    def test_best_and_last_weights_change_places_where_the_recipe_keeps_the_best(
        self, cohort: Squares, run: Path, tmp_path: Path
    ) -> None:
        folder = rhoa.train(
            cohort, replace(QUICK, keep="best"), tmp_path / "run", weights="none", seed=7
        )

        assert sha256(folder) == sha256(run / "best")
        assert sha256(folder / "last") == sha256(run)
        assert not (folder / "best").exists()
        assert rhoa.load_model(folder / "last").card["weights_of"] == "last"

    def test_the_record_has_hashes_of_images_and_of_the_split_and_no_names(
        self, cohort: Squares, run: Path
    ) -> None:
        from rhoa.learning.run_folder import run_hashes

        record = json.loads((run / "run.json").read_text())

        assert Recipe.from_dict(record["recipe"]) == QUICK
        assert record["hips"]["train"] == {"xray": {"0": 2, "1": 2}, "ct": {"0": 2, "1": 2}}
        assert set(record["versions"]) >= {"rhoa", "torch", "numpy", "python"}
        assert not any(hip.subject in json.dumps(record) for hip in cohort.hips)
        hashes = {name: record[name] for name in ("manifest_sha256", "split_sha256")}
        assert run_hashes(cohort.hips) == hashes
        moved = run_hashes([replace(cohort.hips[0], partition="val"), *cohort.hips[1:]])
        graded = run_hashes([replace(cohort.hips[0], kl=2, label=1), *cohort.hips[1:]])
        assert moved["split_sha256"] != hashes["split_sha256"] == graded["split_sha256"]
        assert hashes["manifest_sha256"] not in {
            moved["manifest_sha256"],
            graded["manifest_sha256"],
        }

    def test_validation_cells_are_empty_without_validation_hips(
        self, cohort: Squares, tmp_path: Path
    ) -> None:
        kept = Squares(tuple(hip for hip in cohort.hips if hip.partition != "val"))

        folder = rhoa.train(kept, replace(QUICK, epochs=1), tmp_path / "run", weights="none")

        assert not any(row["val_loss"] for row in rows(folder / "history.csv"))
        assert json.loads((folder / "model.json").read_text())["best_iteration"] is None

    def test_augmented_validation_changes_history_but_neither_weights_nor_predictions(
        self, cohort: Squares, run: Path, tmp_path: Path
    ) -> None:
        recipe = replace(QUICK, augment_validation=True)

        folder = rhoa.train(cohort, recipe, tmp_path / "run", weights="none", seed=7)

        assert sha256(folder) == sha256(run)
        assert (folder / "predictions.csv").read_bytes() == (run / "predictions.csv").read_bytes()
        assert (folder / "history.csv").read_bytes() != (run / "history.csv").read_bytes()


class TestCurvesForTensorboard:
    def test_they_are_beside_the_run(self, cohort: Squares, tmp_path: Path) -> None:
        pytest.importorskip("tensorboard")
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

        folder = rhoa.train(
            cohort,
            replace(QUICK, epochs=1),
            tmp_path / "run",
            weights="none",
            execution=Execution(tensorboard=True),
        )

        events = EventAccumulator(str(folder / "tensorboard")).Reload()
        history = rows(folder / "history.csv")
        drawn = [(event.step, event.value) for event in events.Scalars("train_loss")]
        losses = [(int(row["iteration"]), float(row["train_loss"])) for row in history]
        np.testing.assert_allclose(drawn, losses, rtol=1e-6)
        assert [event.step for event in events.Scalars("val_loss")] == [2]

    def test_their_package_is_named_where_it_is_absent(
        self, cohort: Squares, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(sys.modules, "tensorboard", None)

        with pytest.raises(ImportError, match=r"pip install '\.\[tensorboard\]'"):
            rhoa.train(
                cohort,
                QUICK,
                tmp_path / "run",
                weights="none",
                execution=Execution(tensorboard=True),
            )


class TestRefusals:
    def test_a_manifest_without_partitions_is_sent_to_split(
        self, cohort: Squares, tmp_path: Path
    ) -> None:
        with pytest.raises(ManifestError, match="rhoa split"):
            rhoa.train(cohort.change(partition=None), QUICK, tmp_path / "run", weights="none")

    def test_a_manifest_without_labels_is_refused(self, cohort: Squares, tmp_path: Path) -> None:
        with pytest.raises(ManifestError, match="no labelled hips"):
            rhoa.train(cohort.change(label=None), QUICK, tmp_path / "run", weights="none")

    def test_excluded_hips_need_no_partition_and_are_not_read(
        self, cohort: Squares, tmp_path: Path
    ) -> None:
        doubtful = replace(
            cohort.hips[0], kl=1, label=None, partition=None, image=tmp_path / "gone.png"
        )
        manifest = Squares((*cohort.hips, doubtful))

        folder = rhoa.train(manifest, replace(QUICK, epochs=1), tmp_path / "run", weights="none")

        assert len(rows(folder / "predictions.csv")) == 16

    def test_one_class_in_training_is_refused(self, cohort: Squares, tmp_path: Path) -> None:
        with pytest.raises(ManifestError, match="0 without and 8 with rHOA"):
            rhoa.train(cohort.change(label=1), QUICK, tmp_path / "run", weights="none")

    def test_a_subject_in_two_partitions_is_refused_without_its_name(
        self, cohort: Squares, tmp_path: Path
    ) -> None:
        with pytest.raises(ManifestError, match=r"lines 2 and 10 \(train and val\): one") as error:
            rhoa.train(cohort.change(subject="Jane Doe"), QUICK, tmp_path / "run", weights="none")

        assert "Jane" not in str(error.value)
        assert not (tmp_path / "run").exists()

    def test_a_mirrored_copy_in_another_partition_is_refused(self, tmp_path: Path) -> None:
        changed = squares(tmp_path)
        first, last = changed.hips[0].image, changed.hips[-1].image
        last.write_bytes(encode_png(np.ascontiguousarray(levels_of(first)[:, ::-1])))

        with pytest.raises(
            ManifestError, match=r"lines 2 and 17 \(train and test\): mirrored copy"
        ):
            rhoa.train(changed, QUICK, tmp_path / "run", weights="none")

    def test_a_loss_that_is_not_finite_names_the_iteration(
        self, cohort: Squares, tmp_path: Path
    ) -> None:
        recipe = replace(QUICK, learning_rate=1e30, epochs=20, drop_period=20)

        with pytest.raises(
            RhoaError,
            match=r"quick, iteration (\d+) of 40: the training loss is nan \(batch: lines",
        ) as error:
            rhoa.train(cohort, recipe, tmp_path / "run", weights="none")

        lines = re.findall(r"lines ([\d, ]+) of the manifest", str(error.value))[0].split(", ")
        assert {cohort.hips[int(line) - 2].partition for line in lines} == {"train"}
        assert len(lines) == 4
        iteration = int(re.findall(r"iteration (\d+)", str(error.value))[0])
        curves = rows(tmp_path / "run" / "unfinished" / "history.csv")
        assert [row["iteration"] for row in curves] == [str(n) for n in range(1, iteration)]
        assert not (tmp_path / "run" / "model.json").exists()

    def test_a_name_is_no_recipe(self, cohort: Squares, tmp_path: Path) -> None:
        with pytest.raises(RhoaError, match=r"rhoa\.recipes"):
            rhoa.train(cohort, "model-1", tmp_path / "run")

    def test_an_unknown_device_is_refused(self, cohort: Squares, tmp_path: Path) -> None:
        with pytest.raises(RhoaError, match="device"):
            rhoa.train(cohort, QUICK, tmp_path / "run", weights="none", device="abacus")


class TestLoadedModel:
    def test_it_gives_the_probabilities_the_run_wrote(self, cohort: Squares, run: Path) -> None:
        from PIL import Image

        images = [np.asarray(Image.open(hip.image)) for hip in cohort.hips]
        written = [float(row["score"]) for row in rows(run / "predictions.csv")]

        scores = rhoa.load_model(run, device="cpu").predict_proba(images)

        assert scores.shape == (16, 2)
        np.testing.assert_allclose(scores[:, 1], written, atol=1e-6)
        np.testing.assert_allclose(scores.sum(axis=1), 1, atol=1e-12)

    def test_neither_batch_nor_company_nor_number_type_matters(self, run: Path) -> None:
        random = np.random.default_rng(0)
        images = [random.integers(0, 256, (n, n)).astype(np.uint8) for n in (30, 40, 90)]
        model = rhoa.load_model(run)

        together = model.predict_proba(images)

        np.testing.assert_allclose(model.predict_proba(images, batch=2), together, atol=1e-6)
        floats = [image.astype(np.float64) for image in images]
        np.testing.assert_allclose(model.predict_proba(floats), together, atol=1e-6)

    def test_no_images_give_no_rows(self, run: Path) -> None:
        assert rhoa.load_model(run).predict_proba([]).shape == (0, 2)

    def test_a_downsampling_model_downsamples_what_it_is_asked_too(
        self, cohort: Squares, tmp_path: Path
    ) -> None:
        folder = rhoa.train(
            cohort, replace(QUICK, epochs=1, xray_size=16), tmp_path / "run", weights="none"
        )
        image = np.random.default_rng(0).integers(0, 256, (64, 64)).astype(np.float32)
        model = rhoa.load_model(folder)

        np.testing.assert_array_equal(
            model.predict_proba([image]), model.predict_proba([resize(image, 16, 16)])
        )

    def test_weights_the_card_does_not_describe_are_refused(
        self, run: Path, tmp_path: Path
    ) -> None:
        folder = shutil.copytree(run, tmp_path / "run")
        weights = folder / "model.safetensors"
        content = bytearray(weights.read_bytes())
        content[-1] ^= 1
        weights.write_bytes(content)

        with pytest.raises(WeightsError, match="sha256 differs"):
            rhoa.load_model(folder)

    @pytest.mark.parametrize(
        "card", ["{", "[]", "{}", '{"architecture": "resnet18", "image_size": "big"}']
    )
    def test_a_card_of_something_else_is_refused(self, tmp_path: Path, card: str) -> None:
        (tmp_path / "model.json").write_text(card)

        with pytest.raises(WeightsError, match=r"model\.json"):
            rhoa.load_model(tmp_path)

    def test_a_folder_that_is_no_run_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(WeightsError, match=r"no model\.json"):
            rhoa.load_model(tmp_path)

"""Whose hips choose the weights, and how batches are drawn: by source, by class, by weights."""

from __future__ import annotations

import csv
import json
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

import rhoa
from rhoa.errors import ManifestError, ParameterError
from rhoa.learning.recipe import SAMPLINGS
from tests.learning.squares import QUICK, Squares, squares

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.torch
GROUPS = st.lists(st.sampled_from(SAMPLINGS["by-source-and-class"]), min_size=2, max_size=60)


def drawn(groups: list[str], sampling: object, **options: int) -> list[int]:
    """The hips of an epoch, in order."""
    from rhoa.learning.data import batches

    recipe = replace(QUICK, sampling=sampling, batch=len(groups))
    asked = {"seed": 1, "epoch": 1, **options}
    return [int(n) for one in batches(recipe, len(groups), groups=groups, **asked) for n in one[0]]


@given(GROUPS)
def test_each_group_has_its_share_of_an_epoch_to_one_draw(groups: list[str]) -> None:
    found = drawn(groups, "by-source-and-class")

    counts = Counter(groups[number] for number in found)
    share = len(groups) / len(set(groups))
    assert len(found) == len(groups)
    assert counts.keys() == set(groups)
    assert all(abs(count - share) < 1 for count in counts.values())
    for name in set(groups):  # no hip twice before all of its group once
        times = Counter(number for number in found if groups[number] == name)
        every = [times[number] for number, one in enumerate(groups) if one == name]
        assert max(every) - min(every) <= 1


def test_weights_are_those_of_the_draws_and_groups_without_weight_sit_out() -> None:
    groups = ["ct"] * 4 + ["xray"] * 36

    found = Counter(groups[number] for number in drawn(groups, {"ct": 3, "xray": 1}))
    alone = Counter(groups[number] for number in drawn(groups, {"ct": 1, "xray": 0}))

    assert found == {"ct": 30, "xray": 10}
    assert alone == {"ct": 40}


def test_draws_follow_from_seed_and_epoch_alone() -> None:
    groups = ["0", "1"] * 10

    first = drawn(groups, "by-class", epoch=3)

    assert first == drawn(groups, "by-class", epoch=3)
    assert first != drawn(groups, "by-class", epoch=4)
    assert first != drawn(groups, "by-class", epoch=3, seed=2)


def test_natural_draws_are_each_hip_once() -> None:
    assert sorted(drawn([""] * 12, "natural")) == list(range(12))


@pytest.mark.parametrize(
    "wrong", ["evenly", {}, {"ct": -1}, {"ct": 0}, {"mri": 1}, {"ct": 1, "0": 1}, 3]
)
def test_a_sampling_that_is_none_is_refused(wrong: object) -> None:
    with pytest.raises(ParameterError, match="sampling must be"):
        replace(QUICK, sampling=wrong)


def test_a_recipe_with_weights_survives_json() -> None:
    recipe = replace(QUICK, sampling={"xray": 1, "ct": 3}, validate_on="ct", validation_every=0.25)

    again = rhoa.learning.Recipe.from_dict(json.loads(json.dumps(recipe.as_dict())))

    assert again == recipe
    assert recipe.group_weights == {"ct": 3, "xray": 1}


@pytest.mark.parametrize("wrong", [0, 0.0, 1.5, -0.5, "often"])
def test_an_interval_between_validations_is_iterations_or_a_share_of_an_epoch(
    wrong: object,
) -> None:
    with pytest.raises(ParameterError, match="validation_every"):
        replace(QUICK, validation_every=wrong)


def test_a_small_cohort_is_validated_often_enough_by_a_share_of_an_epoch() -> None:
    recipe = replace(QUICK, validation_every=0.5, batch=4)

    assert [recipe.validation_interval(hips) for hips in (4, 8, 40, 400)] == [1, 1, 5, 50]


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Squares:
    made = squares(tmp_path_factory.mktemp("crops"))
    return Squares(
        tuple(
            replace(hip, label=1 - hip.label, kl=3 - hip.kl)
            if (hip.source, hip.partition) == ("ct", "val")
            else hip
            for hip in made.hips
        )
    )


class TestWhoseHipsChoose:
    """Of a cohort whose CT-APs for validation have the wrong labels."""

    def trained(self, cohort: Squares, out: Path, **changes: object) -> tuple[dict, list]:
        recipe = replace(QUICK, epochs=5, validation_every=1, keep="best", drop_period=9)
        rhoa.train(cohort, replace(recipe, **changes), out, weights="none", seed=4)
        with (out / "history.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
        return json.loads((out / "model.json").read_text()), rows

    @pytest.mark.parametrize("sources", [("xray", "ct"), ("xray",)])
    def test_the_kept_weights_are_the_best_of_the_hips_that_are_named(
        self, cohort: Squares, tmp_path: Path, sources: tuple[str, ...]
    ) -> None:
        cards, curves = {}, {}
        for name in ("ct", "xray"):
            options = {"validate_on": name, "sources": sources}
            cards[name], curves[name] = self.trained(cohort, tmp_path / name, **options)

        own = [f"val_{figure}_{source}" for figure in ("loss", "accuracy") for source in cards]
        for first, second in zip(curves["ct"], curves["xray"], strict=True):
            assert [first[name] for name in own] == [second[name] for name in own]
            assert all(first[name] for name in own)  # of both sources, whoever judges
        best = {}
        for name, card in cards.items():
            losses = [float(row[f"val_loss_{name}"]) for row in curves[name]]
            assert card["best_val_loss"] == min(losses)
            assert card["best_iteration"] == best.setdefault(name, 1 + losses.index(min(losses)))
            assert [float(row["val_loss"]) for row in curves[name]] == losses
        assert best["xray"] > best["ct"]

    def test_without_hips_to_judge_by_it_says_so(self, cohort: Squares, tmp_path: Path) -> None:
        bare = Squares(tuple(h for h in cohort.hips if (h.source, h.partition) != ("ct", "val")))

        with pytest.raises(ManifestError, match="validate_on is ct, and no validation hip"):
            self.trained(bare, tmp_path / "run", validate_on="ct")

    def test_batches_of_a_run_hold_what_the_sampling_says(
        self, cohort: Squares, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from rhoa.learning import trainer

        seen: Counter[str] = Counter()
        step = trainer.train_step

        def counted(setup: object, batch: object) -> tuple[float, float]:
            seen.update(setup.groups[n] for n in batch.members.tolist())
            return step(setup, batch)

        monkeypatch.setattr(trainer, "train_step", counted)
        few = [h for h in cohort.hips if not (h.source == "ct" and h.subject.endswith("train-1"))]
        self.trained(Squares(tuple(few)), tmp_path / "run", sampling="by-source", epochs=4, batch=6)

        assert seen == {"ct": 12, "xray": 12}

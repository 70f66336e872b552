"""The recipe that the words of ``rhoa train`` name."""

from __future__ import annotations

from dataclasses import replace

import pytest

import rhoa
from rhoa import RhoaError
from rhoa.cli import parser
from rhoa.cli.study import recipe_of
from rhoa.learning import Augmentation, Recipe, as_coded


def named(*words: str) -> Recipe:
    return recipe_of(parser().parse_args(["train", "manifest.csv", "-o", "run", *words]))


def test_without_words_it_is_model_3() -> None:
    assert named() == rhoa.recipes["model-3"]


@pytest.mark.parametrize("name", rhoa.recipes)
def test_every_recipe_has_its_name(name: str) -> None:
    assert named("--recipe", name) == rhoa.recipes[name]


def test_any_field_can_be_set_in_every_stage() -> None:
    words = ["--set", "head=ordinal", "--set", "batch=8", "--set", "patience=null", "--epochs", "3"]

    recipe = named("--recipe", "model-6", *words)

    expected = {"head": "ordinal", "batch": 8, "patience": None, "epochs": 3}
    assert recipe == rhoa.recipes["model-6"].varied(**expected)
    assert recipe.first == replace(rhoa.recipes["model-1"], **expected)


def test_fields_of_the_augmentation_are_set_one_by_one() -> None:
    recipe = named("--set", "augmentation.rotation_deg=10", "--set", "augmentation.scale=[0.9,1.1]")

    assert recipe.augmentation == Augmentation(rotation_deg=10, scale=(0.9, 1.1))


def test_so_are_fields_of_the_appearance_and_others_stay() -> None:
    usual = rhoa.recipes["domain"].appearance

    recipe = named("--recipe", "domain", "--set", "appearance.gamma=[0.9,1.1]")

    assert recipe.appearance == replace(usual, gamma=(0.9, 1.1))


def test_as_coded_is_the_paper_s_code_and_can_be_changed() -> None:
    assert named("--as-coded") == as_coded(rhoa.recipes["model-3"])
    assert named("--as-coded", "--set", "frozen_stem=false") == replace(
        as_coded(rhoa.recipes["model-3"]), frozen_stem=False
    )


@pytest.mark.parametrize(
    "field", ["epoch", "first", "augmentation", "augmentation.flip", "batch.x", "appearance"]
)
def test_what_cannot_be_set_is_refused_with_what_can(field: str) -> None:
    with pytest.raises(RhoaError, match=rf"'{field}' is no field .* learning_rate"):
        named("--set", f"{field}=1")


def test_a_value_out_of_range_is_refused_by_name() -> None:
    with pytest.raises(RhoaError, match="optimizer must be one of 'adam', 'adamw'; got 'sgd'"):
        named("--set", "optimizer=sgd")


def test_a_setting_without_a_value_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as error:
        named("--set", "batch")

    assert error.value.code == 2
    assert "FIELD=VALUE" in capsys.readouterr().err

"""Plans of studies: what a TOML file says is what is trained, and what it cannot say is told."""

from __future__ import annotations

import tomllib
from dataclasses import replace
from pathlib import Path

import pytest

from rhoa.errors import MissingFileError, ParameterError
from rhoa.learning import recipes
from rhoa.study import TEMPLATE, Plan, read_plan

LEAST = 'manifest = "m.csv"\nout = "out"\nrecipes = ["model-1", "model-5"]\n'


def plan(folder: Path, text: str) -> Plan:
    path = folder / "study.toml"
    path.write_text(text, encoding="utf-8")
    return read_plan(path)


def test_a_plan_of_three_lines_trains_the_papers_recipes_once(tmp_path: Path) -> None:
    assert plan(tmp_path, LEAST) == Plan(
        out=tmp_path / "out",
        manifest=tmp_path / "m.csv",
        recipes=(recipes["model-1"], recipes["model-5"]),
    )


def test_options_of_all_and_of_one_recipe_are_changed_and_nothing_else(tmp_path: Path) -> None:
    text = LEAST + (
        "[every-recipe]\nepochs = 7\naugmentation = { rotation_deg = 1 }\n"
        "[recipe.model-5]\nepochs = 9\nlearning_rate = 0.002\n"
    )

    first, fifth = plan(tmp_path, text).recipes

    still = replace(recipes["model-1"].augmentation, rotation_deg=1)
    assert first == replace(recipes["model-1"], epochs=7, augmentation=still)
    assert fifth == replace(recipes["model-5"], epochs=9, learning_rate=0.002, augmentation=still)


def test_so_are_changes_of_grey_levels_and_sharpness(tmp_path: Path) -> None:
    text = LEAST.replace("model-5", "domain") + "[recipe.domain]\nappearance = {blur_mm = [0, 1]}\n"

    _, domain = plan(tmp_path, text).recipes

    usual = recipes["domain"]
    assert domain == replace(usual, appearance=replace(usual.appearance, blur_mm=(0, 1)))


def test_each_stage_of_the_sixth_model_has_its_own_options(tmp_path: Path) -> None:
    text = (
        'manifest = "m.csv"\nout = "out"\nrecipes = ["model-6"]\n'
        "[every-recipe]\nimage_size = 64\n[recipe.model-6]\nepochs = 9\n"
        "[recipe.model-6.first]\nepochs = 3\n"
    )

    (sixth,) = plan(tmp_path, text).recipes

    first = replace(recipes["model-1"], image_size=64, epochs=3)
    assert sixth == replace(recipes["model-6"], image_size=64, epochs=9, first=first)


def test_a_recipe_of_ones_own_begins_like_another(tmp_path: Path) -> None:
    text = (
        'scans = "s.csv"\nout = "out"\nrecipes = ["small"]\nweights = "start.safetensors"\n'
        '[recipe.small]\nlike = "model-3"\nimage_size = 50\ndescription = "at 50 pixels"\n'
    )

    made = plan(tmp_path, text)

    assert made.weights == tmp_path / "start.safetensors"
    assert made.recipes == (
        replace(recipes["model-3"], name="small", image_size=50, description="at 50 pixels"),
    )


def test_the_template_is_a_plan_and_explains_every_option(tmp_path: Path) -> None:
    made = plan(tmp_path, TEMPLATE)

    assert [recipe.name for recipe in made.recipes] == [f"model-{n}" for n in range(1, 7)]
    assert made.recipes[4] == recipes["model-5"]
    switched_on = TEMPLATE.replace("\n# ", "\n")
    for key in ("scans", "folds", "epochs", "image_size", "learning_rate", "batch", "like"):
        assert f"{key} = " in switched_on
    tomllib.loads(TEMPLATE)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (LEAST + "seed = [1]\n", "has no option 'seed' .did you mean 'seeds'"),
        (LEAST + "[every-recipe]\nepoch = 3\n", "every-recipe has no option 'epoch' .*'epochs'"),
        (LEAST + "[recipe.model-5]\nbach = 3\n", "recipe.model-5 has no option 'bach' .*'batch'"),
        (LEAST + "[recipe.model-4]\nbatch = 3\n", "recipe.model-4: recipes does not name it"),
        (LEAST + "[recipe.model-5]\nepochs = 0\n", "recipe.model-5: epochs must be a whole"),
        (LEAST + '[every-recipe]\nepochs = "3"\n', "every-recipe: epochs must be a whole"),
        (LEAST + "[recipe.model-5.first]\nepochs = 3\n", "model-5 has no first stage"),
        (
            LEAST + "[every-recipe]\naugmentation = {turn = 3}\n",
            "augmentation has no option 'turn'",
        ),
        (LEAST + "[every-recipe]\nappearance = {blur = 3}\n", "appearance has no option 'blur'"),
        (LEAST + "[every-recipe]\naugmentation = 3\n", "augmentation must be a table; got 3"),
        (LEAST + "seeds = 3\n", "seeds must be a list of whole numbers; got 3"),
        (LEAST + "seeds = [true]\n", "seeds must be a list of whole numbers"),
        (LEAST + "seeds = [1, 1]\n", "each once"),
        (LEAST + "seeds = [-1]\n", "seeds must be a whole number >= 0"),
        (LEAST + "seeds = [1, 2]\nfolds = 5\n", "several seeds or folds, not both"),
        (LEAST + "folds = 2\n", "folds must be a whole number >= 3"),
        (LEAST + "weights = 3\n", "weights must be a text in quotes; got 3"),
        (LEAST + 'scans = "s.csv"\n', "a manifest or a table of scans; name one"),
        ('out = "out"\nrecipes = ["model-1"]\n', "a manifest or a table of scans; name one"),
        ('manifest = "m.csv"\nrecipes = ["model-1"]\n', "out is missing"),
        ('manifest = "m.csv"\nout = "o"\n', "recipes is missing"),
        ('manifest = "m.csv"\nout = "o"\nrecipes = []\n', "one or more, each once"),
        ('manifest = "m.csv"\nout = "o"\nrecipes = ["model1"]\n', "no recipe 'model1' .*'model-1'"),
        ("manifest = \n", "study.toml: not a TOML file"),
    ],
)
def test_what_a_plan_cannot_say_is_told_with_the_file_and_the_key(
    tmp_path: Path, text: str, said: str
) -> None:
    with pytest.raises(ParameterError, match=said) as told:
        plan(tmp_path, text)

    assert str(told.value).startswith("study.toml: ")


def test_a_recipes_name_is_a_folder_inside_the_study(tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match="made of letters"):
        Plan(
            out=tmp_path,
            manifest=tmp_path / "m.csv",
            recipes=(replace(recipes["model-1"], name="../out"),),
        )


def test_an_absent_plan_is_told_how_to_begin(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match="rhoa study --template > study.toml"):
        read_plan(tmp_path / "study.toml")

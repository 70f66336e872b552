"""The paper's training options, as numbers (Gebre et al. 2022, Training options)."""

from __future__ import annotations

import json
import sys
from dataclasses import FrozenInstanceError, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

import rhoa
from rhoa import RhoaError
from rhoa.learning import Augmentation, Recipe, recipes


@pytest.mark.parametrize(
    ("name", "sources", "xray_size", "epochs", "validation_every", "drop_factor"),
    [
        ("model-1", ("xray",), None, 85, 53, 0.05),
        ("model-2", ("xray",), 100, 85, 53, 0.05),
        ("model-3", ("xray", "ct"), None, 40, 53, 0.05),
        ("model-4", ("xray", "ct"), 100, 40, 53, 0.05),
        ("model-5", ("ct",), None, 100, 8, 0.1),
        ("model-6", ("ct",), None, 100, 8, 0.1),
    ],
)
def test_each_model_has_the_options_the_paper_prints(
    name: str,
    sources: tuple[str, ...],
    xray_size: int | None,
    epochs: int,
    validation_every: int,
    drop_factor: float,
) -> None:
    recipe = recipes[name]

    assert recipe.name == name
    assert recipe.sources == sources
    assert recipe.xray_size == xray_size
    assert (recipe.epochs, recipe.validation_every) == (epochs, validation_every)
    assert (recipe.drop_factor, recipe.drop_period) == (drop_factor, 10)
    assert (recipe.learning_rate, recipe.batch, recipe.image_size) == (1e-4, 32, 224)
    assert recipe.augmentation == Augmentation(rotation_deg=5, translation_px=5, scale=(0.75, 1.2))
    assert not recipe.augment_validation


def test_there_are_six_models_and_none_can_be_changed() -> None:
    assert list(recipes) == [*(f"model-{number}" for number in range(1, 7)), "modern"]
    with pytest.raises(TypeError):
        recipes["model-1"] = recipes["model-2"]  # type: ignore[index]
    with pytest.raises(FrozenInstanceError):
        recipes["model-1"].epochs = 1  # type: ignore[misc]


@pytest.mark.parametrize(
    ("name", "images", "iterations"),
    [("model-1", 3112, 8245), ("model-3", 3158, 3920), ("model-5", 46, 100)],
)
def test_iterations_are_full_batches_times_epochs(name: str, images: int, iterations: int) -> None:
    """97 * 85 is the paper's 8245; its 4040 and 1000 do not follow from its own batch of 32."""
    assert recipes[name].iterations(images) == iterations


def test_the_sixth_model_is_the_first_and_then_the_fifth() -> None:
    """X-rays, then CT: the paper's proposal, at the end of its conclusion."""
    only_sixth = {"name": "model-6", "description": recipes["model-6"].description}

    assert recipes["model-6"].first == recipes["model-1"]
    assert recipes["model-6"] == replace(recipes["model-5"], **only_sixth, first=recipes["model-1"])
    assert all(recipes[f"model-{number}"].first is None for number in range(1, 6))


def test_a_variant_changes_every_stage() -> None:
    varied = recipes["model-6"].varied(image_size=64, batch=4)

    assert varied == replace(
        recipes["model-6"],
        image_size=64,
        batch=4,
        first=replace(recipes["model-1"], image_size=64, batch=4),
    )


def test_learning_rate_drops_after_every_period() -> None:
    rates = [recipes["model-5"].learning_rate_in(epoch) for epoch in (1, 10, 11, 20, 21)]

    assert rates == pytest.approx([1e-4, 1e-4, 1e-5, 1e-5, 1e-6], rel=1e-12)


@given(images=st.integers(2, 200), batch=st.integers(2, 40), drop_last=st.booleans())
def test_no_batch_has_a_single_image(images: int, batch: int, drop_last: bool) -> None:  # noqa: FBT001  # drawn
    recipe = replace(recipes["model-1"], batch=batch, drop_last=drop_last)

    sizes = recipe.batch_sizes(images)

    assert min(sizes) >= 2
    assert sum(sizes) == images or (drop_last and images - batch < sum(sizes) < images)


def test_a_batch_larger_than_the_set_shrinks_to_it() -> None:
    assert recipes["model-5"].batch_sizes(8) == [8]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("sources", ()),
        ("sources", ("ct", "ct")),
        ("sources", ("mri",)),
        ("epochs", 0),
        ("validation_every", 0),
        ("drop_period", 0),
        ("batch", 1),
        ("image_size", 31),
        ("xray_size", 0),
        ("learning_rate", 0),
        ("learning_rate", float("nan")),
        ("drop_factor", 1.5),
        ("augmentation", None),
        ("first", "model-1"),
    ],
)
def test_a_number_out_of_range_is_refused_by_name(field: str, value: object) -> None:
    with pytest.raises(RhoaError, match=field):
        replace(recipes["model-1"], **{field: value})


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("rotation_deg", -1),
        ("translation_px", float("inf")),
        ("scale", (1.2, 0.75)),
        ("scale", (0, 1)),
        ("scale", 1),
    ],
)
def test_augmentation_out_of_range_is_refused_by_name(field: str, value: object) -> None:
    with pytest.raises(RhoaError, match=field):
        Augmentation(**{field: value})


@pytest.mark.parametrize("name", recipes)
def test_a_recipe_survives_json(name: str) -> None:
    text = json.dumps(recipes[name].as_dict())

    assert Recipe.from_dict(json.loads(text)) == recipes[name]


def test_json_of_something_else_is_no_recipe() -> None:
    with pytest.raises(RhoaError, match="not the fields"):
        Recipe.from_dict({"name": "model-1"})


@pytest.mark.parametrize("name", ["train", "load_model"])
def test_without_torch_the_heavy_half_says_what_to_install(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)

    with pytest.raises(
        ImportError, match=rf"rhoa\.{name} needs torch: pip install 'rhoa\[train\]'"
    ):
        getattr(rhoa.learning, name)

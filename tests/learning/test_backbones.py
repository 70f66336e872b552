"""Networks of timm by name: trained, saved, loaded, exported and explained as a ResNet18 is."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import rhoa
from rhoa.errors import MissingExtraError, ParameterError, WeightsError
from rhoa.learning import recipes
from tests.learning.squares import QUICK, TINY, squares

pytestmark = pytest.mark.torch

RECIPE = QUICK.varied(epochs=1, image_size=64)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("timm")
    return rhoa.train(squares(folder), RECIPE, folder / "run", weights="none", device="cpu")


def test_a_run_says_which_network_it_is_and_loads_as_trained(run: Path) -> None:
    """Its own predictions are those of the weights that were saved."""
    import timm

    card = json.loads((run / "model.json").read_text("utf-8"))
    record = json.loads((run / "run.json").read_text("utf-8"))
    model = rhoa.load_model(run, device="cpu", runtime="torch")

    probabilities = model.predict_proba([np.zeros((64, 64), np.uint8)])

    assert card["architecture"] == record["recipe"]["backbone"] == TINY
    assert record["versions"]["timm"] == timm.__version__
    assert probabilities.shape == (1, 2)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)


def test_it_is_explained(run: Path) -> None:
    from rhoa.evaluation.saliency import grad_cam

    image = np.random.default_rng(0).integers(0, 255, (64, 64)).astype(np.uint8)
    model = rhoa.load_model(run, device="cpu", runtime="torch")

    seen = grad_cam(model, image)
    map_ = rhoa.occlusion(model, image, patch=32, stride=32)

    assert seen.shape == map_.shape == image.shape
    assert seen.min() >= 0


def test_timms_own_file_gives_all_but_the_last_layer(tmp_path: Path) -> None:
    import timm
    import torch
    from safetensors.torch import save_file

    from rhoa.learning.network import build_network

    theirs = timm.create_model("test_resnet", pretrained=False)
    save_file(theirs.state_dict(), tmp_path / "model.safetensors")

    ours = build_network(tmp_path / "model.safetensors", backbone=TINY)

    images = torch.rand(2, 3, 64, 64)
    theirs.reset_classifier(0)
    with torch.no_grad():
        features = theirs.train(mode=False)(images)
        expected = ours.fc(features)
        torch.testing.assert_close(ours.train(mode=False)(images), expected)
    assert ours.fc.out_features == 2


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("timm/test_vit", "no convolutional network for images of any size"),
        ("timm/resnet81", "timm has no network 'resnet81'; it has resnet"),
        ("timm/vit_giant_patch14_dinov2", "over 500000000 weights"),
    ],
)
def test_networks_that_cannot_be_used_are_refused(name: str, message: str) -> None:
    from rhoa.learning.network import build_network

    with pytest.raises(ParameterError, match=message):
        build_network(backbone=name)


@pytest.mark.parametrize("name", ["timm/", "hf-hub:somebody/net", "timm/../net", "resnet50", 18])
def test_a_recipe_names_networks_and_no_places(name: str) -> None:
    with pytest.raises(ParameterError, match="backbone must be 'resnet18' or 'timm/'"):
        RECIPE.varied(backbone=name)


def test_stages_are_of_one_network_and_only_resnet18_has_a_stem_to_freeze() -> None:
    with pytest.raises(ParameterError, match="backbone must be 'resnet18' as in first"):
        replace(recipes["model-6"], backbone=TINY)
    with pytest.raises(ParameterError, match="frozen_stem is of resnet18"):
        RECIPE.varied(frozen_stem=True)
    assert recipes["model-6"].varied(backbone=TINY).first == recipes["model-1"].varied(
        backbone=TINY
    )


def test_imagenets_weights_are_of_resnet18_and_a_file_is_asked_for() -> None:
    from rhoa.learning.network import build_network

    with pytest.raises(WeightsError, match=r"for timm/test_resnet pass weights=PATH"):
        build_network("imagenet", backbone=TINY)


def test_weights_of_another_network_are_refused(run: Path) -> None:
    from rhoa.learning.network import build_network

    with pytest.raises(WeightsError, match="the weights of a ResNet18 .* are needed"):
        build_network(run)
    with pytest.raises(WeightsError, match="the weights of that network .* are needed"):
        build_network(run, backbone="timm/test_convnext")


def test_without_timm_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    from rhoa.learning.network import build_network

    monkeypatch.setitem(sys.modules, "timm", None)

    with pytest.raises(MissingExtraError, match=r"\.\[timm\]"):
        build_network(backbone=TINY)

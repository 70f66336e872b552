"""What MATLAB does and the paper's text does not say, each by a known answer; off by default."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

import rhoa
from rhoa.errors import ParameterError, WeightsError
from rhoa.learning import Augmentation, recipes
from rhoa.raster import encode_png
from tests.learning.squares import QUICK, STILL, Square, Squares, squares

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

pytestmark = pytest.mark.torch


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Squares:
    return squares(tmp_path_factory.mktemp("crops"))


def training_crops(cohort: Squares) -> Tensor:
    from rhoa.learning.data import read_crops

    hips = [hip for hip in cohort.hips if hip.partition == "train"]
    return read_crops(hips, image_size=40, xray_size=None)


def test_the_papers_recipes_do_none_of_it() -> None:
    plain = {
        "augment_on": "input",
        "bn_statistics": "running",
        "decay_batch_norm": False,
        "normalisation": "imagenet",
        "head_start": "torch",
        "augment_validation": False,
    }
    for recipe in recipes.values():
        assert {name: getattr(recipe, name) for name in plain} == plain


@pytest.mark.parametrize(
    "name", ["augment_on", "bn_statistics", "normalisation", "head_start", "augment_validation"]
)
def test_a_choice_that_is_none_is_refused(name: str) -> None:
    with pytest.raises(ParameterError, match=f"{name} must be one of"):
        replace(QUICK, **{name: "matlab"})


class TestPopulationStatistics:
    def test_they_are_mean_and_variance_of_all_that_reaches_each_layer(self) -> None:
        """Of batches of 3, 3 and 2; the second layer sees batches that the first normalised."""
        import torch
        from torch import nn

        from rhoa.learning.network import set_population_statistics

        torch.manual_seed(0)
        first, second = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 5, 3)
        network = nn.Sequential(first, nn.BatchNorm2d(4), nn.ReLU(), second, nn.BatchNorm2d(5))
        images = torch.rand(8, 3, 9, 9)

        set_population_statistics(network.train(mode=False), images.split(3))

        with torch.no_grad():
            maps = first(images)
            deeper = []
            for one in maps.split(3):
                centred = one - one.mean(dim=(0, 2, 3), keepdim=True)
                spread = (centred**2).mean(dim=(0, 2, 3), keepdim=True)
                deeper.append(second((centred / (spread + 1e-5).sqrt()).clamp(min=0)))
        for layer, seen in ((network[1], maps), (network[4], torch.cat(deeper))):
            rows = seen.transpose(0, 1).flatten(1).double()
            assert torch.allclose(layer.running_mean.double(), rows.mean(dim=1), atol=1e-6)
            assert torch.allclose(layer.running_var.double(), rows.var(dim=1, correction=0))
        assert not network.training

    def test_a_run_saves_those_of_all_training_images(
        self, cohort: Squares, tmp_path: Path
    ) -> None:
        """Batches of 3 leave two of eight images out of every epoch, but not out of this one."""
        import torch

        from rhoa.learning.data import as_input

        recipe = replace(QUICK, augmentation=STILL, batch=3, bn_statistics="population")
        folder = rhoa.train(cohort, recipe, tmp_path / "run", weights="none", seed=1)
        plain = replace(recipe, bn_statistics="running")
        other = rhoa.train(cohort, plain, tmp_path / "plain", weights="none", seed=1)

        networks = [rhoa.load_model(one, device="cpu").network for one in (folder, other)]
        stem, other_stem = (one.body.conv1 for one in networks)
        assert torch.equal(stem[0].weight, other_stem[0].weight)
        with torch.no_grad():
            maps = stem[0](as_input(training_crops(cohort) / 255))
        rows = maps.transpose(0, 1).flatten(1).double()
        found = stem[1]
        assert torch.allclose(found.running_mean.double(), rows.mean(dim=1), atol=1e-5)
        assert torch.allclose(found.running_var.double(), rows.var(dim=1, correction=0), rtol=1e-4)
        assert not torch.allclose(other_stem[1].running_var, found.running_var, rtol=0.05)


@pytest.fixture(scope="module")
def run(cohort: Squares, tmp_path_factory: pytest.TempPathFactory) -> tuple[Squares, Path]:
    recipe = replace(QUICK, normalisation="training", augmentation=STILL)
    out = tmp_path_factory.mktemp("runs") / "run"
    return cohort, rhoa.train(cohort, recipe, out, weights="none", seed=2)


class TestNormalisation:
    def test_training_crops_reach_the_first_layer_with_mean_0_and_spread_1(
        self, run: tuple[Squares, Path]
    ) -> None:
        from rhoa.learning.torch_model import forward

        cohort, folder = run
        crops = training_crops(cohort)
        model = rhoa.load_model(folder, device="cpu")
        seen = []
        model.network.body.conv1.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
        forward(model.network, crops, model.device)

        assert seen[0].shape == (8, 3, 40, 40)
        for colour in seen[0].double().unbind(1):
            assert float(colour.mean()) == pytest.approx(0, abs=1e-5)
            assert float(colour.std(correction=0)) == pytest.approx(1, abs=1e-5)
        levels = crops.double() / 255
        applied = json.loads((folder / "model.json").read_text())["preprocessing"]
        assert applied["mean"] == pytest.approx([float(levels.mean())] * 3)
        assert applied["std"] == pytest.approx([float(levels.std(correction=0))] * 3)

    def test_the_loaded_model_grades_as_the_run_did(self, run: tuple[Squares, Path]) -> None:
        import csv

        cohort, folder = run
        images = [rhoa.hips.read_crop(hip.crop) for hip in cohort.hips]
        found = rhoa.load_model(folder, device="cpu").predict_proba(images)[:, 1]

        with (folder / "predictions.csv").open(newline="") as file:
            scores = {row["image"]: float(row["score"]) for row in csv.DictReader(file)}
        assert found == pytest.approx([scores[str(hip.crop)] for hip in cohort.hips], abs=1e-5)

    def test_occlusion_grades_by_it_too(self, cohort: Squares) -> None:
        import torch

        from rhoa.learning.incremental_inference import Incremental
        from rhoa.learning.network import build_network, with_normalisation
        from rhoa.learning.torch_model import forward

        network = with_normalisation(build_network(), 0.4, 0.1).eval()
        crop = training_crops(cohort)[:1]
        occluded = crop.clone()
        occluded[:, 8:16, 8:16] = 0
        incremental = Incremental(network)
        incremental(crop)

        expected = forward(network, occluded, crop.device)
        assert torch.allclose(incremental(occluded), expected, atol=1e-5)

    @pytest.mark.parametrize(("mean", "std"), [(0.5, -1.0), (0.5, 0.0), (0.5, "1"), (7, 1)])
    def test_a_card_of_an_impossible_one_is_refused(
        self, run: tuple[Squares, Path], tmp_path: Path, mean: object, std: object
    ) -> None:
        folder = tmp_path / "run"
        shutil.copytree(run[1], folder)
        card = json.loads((folder / "model.json").read_text())
        card["preprocessing"] |= {"mean": [mean] * 3, "std": [std] * 3}
        (folder / "model.json").write_text(json.dumps(card))

        with pytest.raises(WeightsError, match="preprocessing is not the one"):
            rhoa.load_model(folder, device="cpu")


class TestTheLastLayer:
    def test_glorots_rule_is_uniform_within_its_bound_and_leaves_the_body(self) -> None:
        import torch

        from rhoa.learning.network import build_network

        plain, network = build_network(seed=5), build_network(seed=5, head_start="glorot")

        bound = (6 / (512 + 2)) ** 0.5
        weights = network.fc.weight.detach()
        assert float(weights.abs().max()) <= bound
        assert float(weights.std()) == pytest.approx(bound / 3**0.5, rel=0.05)
        assert not network.fc.bias.any()
        body = {k: v for k, v in plain.state_dict().items() if not k.startswith("fc.")}
        assert all(torch.equal(network.state_dict()[key], value) for key, value in body.items())

    def test_a_layer_that_a_file_gives_stays(self, tmp_path: Path) -> None:
        import torch

        from rhoa.learning.network import build_network

        given = build_network(seed=1)
        torch.save(given.state_dict(), tmp_path / "whole.pt")

        network = build_network(tmp_path / "whole.pt", head_start="glorot")

        assert torch.equal(network.fc.weight, given.fc.weight)


class TestShiftsOfCrops:
    def test_a_pixel_of_a_crop_is_as_many_of_the_input_as_it_becomes(self, tmp_path: Path) -> None:
        """5 of 100 are 11.2 of 224; of a larger X-ray, those of the size it is seen through."""
        import torch

        from rhoa.learning.data import read_crops

        hips = []
        for size in (100, 224, 448):
            path = tmp_path / f"{size}.png"
            path.write_bytes(encode_png(np.eye(size, dtype=np.uint8) * 255))
            hips.append(Square(path, "s", "left", "xray", 0, "", 0, "train"))
        found, through = torch.empty(3), torch.empty(3)

        read_crops(hips, image_size=224, xray_size=None, enlarged=found)
        read_crops(hips, image_size=224, xray_size=100, enlarged=through)

        assert (5 * found).tolist() == pytest.approx([11.2, 5, 2.5])
        assert (5 * through).tolist() == pytest.approx([11.2, 11.2, 11.2])

    def test_images_are_shifted_by_so_much(self) -> None:
        import torch

        from rhoa.learning.data import warp

        images = torch.zeros(2, 21, 21)
        images[:, 10, 10] = 1.0
        changes = torch.tensor([[0.0, 2.0, -3.0, 1.0]] * 2)

        found = warp(images, changes, torch.tensor([1.0, 2.0]))

        places = [tuple(divmod(int(image.argmax()), 21)) for image in found]
        assert places == [(12, 7), (14, 4)]
        assert torch.equal(found[0], warp(images, changes)[0])

    def test_a_run_shifts_them_so(self, cohort: Squares, tmp_path: Path) -> None:
        """Crops of 40 pixels at 80: shifts of 4 pixels of the crop are those of 8 of the input."""
        digests = {}
        for name, pixels, on in (("crop", 4, "crop"), ("input", 8, "input"), ("other", 4, "input")):
            moved = Augmentation(rotation_deg=0, translation_px=pixels, scale=(1, 1))
            recipe = replace(QUICK, image_size=80, epochs=1, augmentation=moved, augment_on=on)
            folder = rhoa.train(cohort, recipe, tmp_path / name, weights="none", seed=3)
            digests[name] = json.loads((folder / "model.json").read_text())["weights_sha256"]

        assert digests["crop"] == digests["input"] != digests["other"]


@pytest.mark.parametrize("how", [True, "anew"])
def test_validation_images_are_changed_in_one_way_or_anew_each_time(
    cohort: Squares, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: object
) -> None:
    import torch

    from rhoa.learning import trainer

    validated, grade = [], trainer.forward

    def graded(network: object, images: Tensor, place: object) -> Tensor:
        validated.append(images)
        return grade(network, images, place)

    monkeypatch.setattr(trainer, "forward", graded)
    recipe = replace(QUICK, augment_validation=how)
    rhoa.train(cohort, recipe, tmp_path / "run", weights="none", seed=4)

    first, second = (images for images in validated if len(images))
    assert first.shape == second.shape == (4, 40, 40)
    assert torch.equal(first, second) == (how is True)

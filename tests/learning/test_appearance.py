"""Grey levels and sharpness of training images, changed with known results; of no other images."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import rhoa
from rhoa.errors import ParameterError
from rhoa.learning import Appearance, Recipe, recipes
from tests.learning.squares import QUICK, STILL, Squares, squares

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

pytestmark = pytest.mark.torch

SIZE, FIELD_MM = 224, 70.0
ALL = Appearance(histogram=0.5, gamma=(0.5, 2), xray_pixel_mm=(2, 8), blur_mm=(0, 3))


def restyled(
    images: Tensor, appearance: Appearance, draws: list[list[float]], *, is_ct: list[bool]
) -> Tensor:
    """Each of ``images``, which are training hips of these sources, by its own draws."""
    import torch

    from rhoa.learning.data import AppearanceTables, Batch, mean_histogram, restyle

    source = torch.tensor(is_ct)
    tables = AppearanceTables(
        source,
        torch.stack([mean_histogram(images[own]) for own in (source, ~source)]).cumsum(1),
        torch.empty(0),
        torch.zeros((len(images), 2), dtype=torch.long),
    )
    batch = Batch(torch.arange(len(images)), torch.empty(0), torch.tensor(draws))
    return restyle(images, batch, tables, appearance)


def contrast(image: np.ndarray, per_mm: float) -> float:
    """Of a grating of that frequency across an image 70 mm wide, away from its borders."""
    x = (np.arange(SIZE) + 0.5) * FIELD_MM / SIZE
    inner = (x > 15) & (x < 55)
    waves = 2 * np.pi * per_mm * x[inner]
    basis = np.stack([np.cos(waves), np.sin(waves), np.ones(inner.sum())], axis=1)
    found = np.linalg.lstsq(basis, image[SIZE // 2, inner], rcond=None)[0]
    return float(np.hypot(*found[:2]))


def grating(per_mm: float) -> Tensor:
    """Of contrast 1 about 0, float32 ``(1, 224, 224)``."""
    import torch

    x = (torch.arange(SIZE) + 0.5) * FIELD_MM / SIZE
    return (2 * torch.pi * per_mm * x).cos().expand(1, SIZE, SIZE)


class TestSharpness:
    @pytest.mark.parametrize("per_mm", [0.1, 0.2, 0.3, 0.45])
    @pytest.mark.parametrize("pixel_mm", [0.5, 0.8, 1.0])
    def test_pixels_of_a_ct_ap_leave_the_line_pairs_that_their_transfer_function_leaves(
        self, per_mm: float, pixel_mm: float
    ) -> None:
        """A triangle as wide as two pixels, to them and back: sinc(frequency * pixel)^4."""
        import torch

        from rhoa.learning.data import sharpness

        lines = sharpness(SIZE, torch.tensor([pixel_mm]), torch.zeros(1))
        image = (lines @ grating(per_mm) @ lines.mT)[0].numpy()

        assert contrast(image, per_mm) == pytest.approx(np.sinc(per_mm * pixel_mm) ** 4, abs=0.03)

    @pytest.mark.parametrize("per_mm", [0.1, 0.3, 0.6])
    @pytest.mark.parametrize("sigma_mm", [0.2, 0.5, 1.0])
    def test_a_blur_leaves_what_a_gaussian_leaves(self, per_mm: float, sigma_mm: float) -> None:
        import torch

        from rhoa.learning.data import sharpness

        lines = sharpness(SIZE, torch.zeros(1), torch.tensor([sigma_mm]))
        image = (lines @ grating(per_mm) @ lines.mT)[0].numpy()

        left = np.exp(-2 * (np.pi * sigma_mm * per_mm) ** 2)
        assert contrast(image, per_mm) == pytest.approx(left, abs=0.01)

    def test_even_grey_stays_even_up_to_the_borders(self) -> None:
        import torch

        from rhoa.learning.data import sharpness

        lines = sharpness(SIZE, torch.tensor([0.8, 2.0]), torch.tensor([0.5, 0.0]))

        assert torch.allclose(lines.sum(dim=2), torch.ones(2, SIZE), atol=1e-5)

    def test_x_rays_alone_get_the_pixels_of_ct_aps(self) -> None:
        import torch

        images = torch.randint(0, 256, (2, 64, 64), dtype=torch.uint8)
        coarse = Appearance(xray_pixel_mm=(7, 7))

        ct, xray = restyled(images, coarse, [[0.0] * 6] * 2, is_ct=[True, False])

        assert torch.equal(ct, images[0] / 255)
        assert float(xray.std()) < 0.3 * float((images[1] / 255).std())  # 49 pixels averaged


class TestHistograms:
    def test_a_ramp_gets_a_known_distribution(self) -> None:
        """Of all levels once, the lower quarter becomes 10, the middle half 100, the rest 250."""
        import torch

        from rhoa.learning.data import matched

        ramp = torch.arange(256, dtype=torch.uint8).view(1, 16, 16)
        shares = torch.zeros(1, 256, dtype=torch.float64)
        shares[0, [10, 100, 250]] = torch.tensor([0.25, 0.5, 0.25], dtype=torch.float64)

        (found,) = matched(ramp, shares.cumsum(1)).flatten(1).tolist()

        assert found == [10] * 64 + [100] * 128 + [250] * 64

    @given(st.integers(0, 2**32), st.integers(2, 256))
    def test_an_image_matched_to_itself_stays_as_it_is(self, seed: int, levels: int) -> None:
        import torch

        from rhoa.learning.data import matched, mean_histogram

        random = np.random.default_rng(seed)
        image = torch.from_numpy(random.choice(256, levels)[random.integers(0, levels, (1, 9, 9))])
        image = image.to(torch.uint8)

        assert torch.equal(matched(image, mean_histogram(image)[None].cumsum(1)), image.long())

    def test_the_mean_histogram_is_that_of_all_images(self) -> None:
        import torch

        from rhoa.learning.data import mean_histogram

        images = torch.tensor([[[0, 0], [0, 9]], [[9, 9], [255, 255]]], dtype=torch.uint8)

        found = mean_histogram(images)

        assert {n: float(share) for n, share in enumerate(found) if share} == {
            0: 3 / 8,
            9: 3 / 8,
            255: 2 / 8,
        }

    def test_each_source_gets_the_mean_histogram_of_the_other(self) -> None:
        import torch

        dark, bright = torch.full((2, 8, 8), 30), torch.full((2, 8, 8), 200)
        images = torch.cat([dark, bright]).to(torch.uint8)
        draws = [[0.0] * 6, [0, 0, 0.6, 0, 0, 0]] * 2

        found = restyled(images, Appearance(histogram=0.5), draws, is_ct=[True, True, False, False])

        levels = [round(float(image.mean()) * 255) for image in found]
        assert levels == [200, 30, 30, 200]  # a draw of 0.6 is not below 0.5


class TestGamma:
    def test_its_logarithm_is_uniform_between_both_ends(self) -> None:
        import torch

        images = torch.full((4, 2, 2), 51, dtype=torch.uint8)  # a fifth of white
        draws = [[0, 0, 0, share, 0, 0] for share in (0.0, 0.25, 0.5, 1.0)]

        found = restyled(images, Appearance(gamma=(0.5, 2)), draws, is_ct=[True] * 3 + [False])

        powers = [0.5, 2**-0.5, 1.0, 2.0]
        assert found[:, 0, 0].tolist() == pytest.approx([0.2**power for power in powers], rel=1e-5)


@given(st.integers(0, 2**32))
def test_ranges_that_change_nothing_leave_images_to_the_bit(seed: int) -> None:
    import torch

    random = np.random.default_rng(seed)
    images = torch.from_numpy(random.integers(0, 256, (3, 40, 40)).astype(np.uint8))
    nearly = Appearance(xray_pixel_mm=(0, 1.7), blur_mm=(0, 1e-9))  # 1.75 mm are a pixel

    found = restyled(images, nearly, random.random((3, 6)).tolist(), is_ct=[True, False, False])

    assert torch.equal(found, images / 255)


class TestVariants:
    def test_hips_are_seen_as_any_of_their_own_and_those_without_as_they_are(self) -> None:
        import torch

        from rhoa.learning.data import AppearanceTables, Batch, restyle

        images = torch.tensor([1, 2, 3], dtype=torch.uint8).view(3, 1, 1)
        tables = AppearanceTables(
            torch.tensor([True, True, True]),
            torch.empty(0),
            torch.tensor([10, 11, 30, 31, 32], dtype=torch.uint8).view(5, 1, 1),
            torch.tensor([[0, 2], [2, 0], [2, 3]]),
        )
        draws = torch.rand((3000, 6), generator=torch.Generator().manual_seed(1))
        members = torch.arange(3000) % 3

        batch = Batch(members, torch.empty(0), draws)
        found = restyle(images, batch, tables, Appearance(variants=0.5))

        seen = (found[:, 0, 0] * 255).round().long()
        assert [sorted(set(seen[n::3].tolist())) for n in range(3)] == [
            [1, 10, 11],
            [2],
            [3, 30, 31, 32],
        ]
        assert float((seen[0::3] == 1).float().mean()) == pytest.approx(0.5, abs=0.05)
        assert float((seen[2::3] == 31).float().mean()) == pytest.approx(1 / 6, abs=0.04)


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Squares:
    return squares(tmp_path_factory.mktemp("crops"))


class TestARun:
    def test_training_images_are_changed_and_validation_images_never(
        self, cohort: Squares, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        import torch

        from rhoa.learning import trainer
        from rhoa.learning.data import read_crops

        def crops(partition: str) -> Tensor:
            hips = [hip for hip in cohort.hips if hip.partition == partition]
            return read_crops(hips, image_size=40, xray_size=None)

        validated, trained = [], []
        grade, images_of = trainer.forward, trainer.training_images

        def graded(network: object, images: Tensor, place: object) -> Tensor:
            validated.append(images)
            return grade(network, images, place)

        def changed(setup: object, batch: object) -> Tensor:
            trained.append((batch.members, images_of(setup, batch)))
            return trained[-1][1]

        monkeypatch.setattr(trainer, "forward", graded)
        monkeypatch.setattr(trainer, "training_images", changed)
        recipe = replace(QUICK, augmentation=STILL, appearance=ALL)
        rhoa.train(cohort, recipe, tmp_path / "run", weights="none", seed=3)

        judged = [images for images in validated if len(images)]
        assert judged
        assert all(torch.equal(images, crops("val")) for images in judged)
        plain = crops("train")
        assert len(trained) == 4
        for members, images in trained:
            assert not torch.equal(images, plain[members] / 255)

    def test_one_seed_gives_one_set_of_weights_and_run_json_has_the_changes(
        self, cohort: Squares, tmp_path: Path
    ) -> None:
        digests = {}
        for name, looks in (("one", ALL), ("again", ALL), ("plain", Appearance())):
            recipe = replace(QUICK, appearance=looks)
            folder = rhoa.train(cohort, recipe, tmp_path / name, weights="none", seed=3)
            digests[name] = json.loads((folder / "model.json").read_text())["weights_sha256"]

        record = json.loads((tmp_path / "one" / "run.json").read_text())
        assert digests["one"] == digests["again"] != digests["plain"]
        assert Recipe.from_dict(record["recipe"]) == replace(QUICK, appearance=ALL)


def test_domain_needs_nothing_but_a_manifest_and_the_papers_models_change_no_looks() -> None:
    looks = recipes["domain"].appearance

    assert looks.variants == 0
    assert looks.histogram > 0
    assert looks.gamma[0] < 1 < looks.gamma[1]
    assert looks.xray_pixel_mm[1] > 0 < looks.blur_mm[1]
    others = [recipe for name, recipe in recipes.items() if name != "domain"]
    assert all(recipe.appearance == Appearance() for recipe in others)
    assert Appearance().changes_nothing


@pytest.mark.parametrize(
    "wrong",
    [
        {"variants": 1.5},
        {"histogram": -0.1},
        {"histogram": "often"},
        {"gamma": (0, 1)},
        {"gamma": (2, 1)},
        {"gamma": 1.2},
        {"xray_pixel_mm": (-1, 1)},
        {"blur_mm": (0, float("inf"))},
        {"blur_mm": (0, float("nan"))},
    ],
)
def test_changes_that_are_none_are_refused_by_name(wrong: dict[str, object]) -> None:
    with pytest.raises(ParameterError, match=next(iter(wrong))):
        Appearance(**wrong)

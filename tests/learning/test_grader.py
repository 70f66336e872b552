"""Grading without any runtime: batches, views, ensembles and their spread, by known models."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from rhoa.errors import ParameterError, WeightsError
from rhoa.learning import Augmentation, Draws, Ensemble
from rhoa.learning.grader import SingleModel
from tests.learning.runs import brightness


@dataclass(frozen=True, slots=True, eq=False)
class Bright(SingleModel):
    """Grades by brightness, and keeps what it was asked."""

    shift: float = 0.0
    card: Mapping[str, Any] = field(default_factory=lambda: {"image_size": 16, "xray_size": None})
    seen: list[int] = field(default_factory=list)

    def compute(self, levels: NDArray[np.uint8]) -> NDArray[np.float64]:
        self.seen.append(len(levels))
        odds = brightness(levels)[:, 1] + self.shift
        return np.stack([1 - odds, odds], axis=1)


IMAGES = [np.random.default_rng(n).integers(0, 256, (16, 16)) for n in range(7)]


def test_images_are_computed_in_batches() -> None:
    model = Bright()

    scores = model.predict_proba(IMAGES, batch=3)

    assert model.seen == [3, 3, 1]
    np.testing.assert_allclose(scores, brightness(np.stack(IMAGES).astype(np.uint8)))


def test_the_first_view_is_the_crop_itself_and_company_does_not_matter() -> None:
    model = Bright()

    together = model.draws(IMAGES, views=5, seed=3)
    alone = model.draws(IMAGES[4:5], views=5, seed=3)

    assert together.samples.shape == (5, 7, 2)
    np.testing.assert_array_equal(together.samples[0], model.predict_proba(IMAGES))
    np.testing.assert_array_equal(together.samples[:, 4], alone.samples[:, 0])
    assert (together.spread > 0).all()


def test_views_that_change_nothing_have_no_spread() -> None:
    still = Augmentation(rotation_deg=0, translation_px=0, scale=(1, 1))

    draws = Bright().draws(IMAGES, views=4, changes=still)

    np.testing.assert_allclose(draws.spread, 0, atol=1e-15)
    np.testing.assert_allclose(draws.disagreement_nats, 0, atol=1e-15)


def test_an_ensemble_is_the_mean_of_its_members_and_tells_their_spread() -> None:
    members = [Bright(shift) for shift in (-0.1, 0.0, 0.1)]

    together = Ensemble(members)

    each = [member.predict_proba(IMAGES) for member in members]
    np.testing.assert_allclose(together.predict_proba(IMAGES), np.mean(each, axis=0))
    np.testing.assert_allclose(together.draws(IMAGES).spread, np.std([0.1, 0, -0.1]))
    assert together.draws(IMAGES, views=2).samples.shape == (6, 7, 2)


def test_an_ensemble_of_none_is_refused() -> None:
    with pytest.raises(ParameterError, match="at least one model"):
        Ensemble([])


@pytest.mark.parametrize("option", [{"views": 0}, {"batch": 0}, {"views": 1.5}])
def test_numbers_out_of_range_are_refused(option: dict[str, Any]) -> None:
    with pytest.raises(ParameterError, match=next(iter(option))):
        Bright().draws(IMAGES, **option)


def test_no_images_give_no_rows() -> None:
    assert Bright().draws([], views=3).samples.shape == (3, 0, 2)
    assert Ensemble([Bright()]).predict_proba([]).shape == (0, 2)


def test_probabilities_that_are_no_numbers_are_an_error() -> None:
    with pytest.raises(WeightsError, match="no finite probability"):
        Bright(shift=float("nan")).predict_proba(IMAGES)


@given(shares=arrays.arrays(np.float64, (4, 3), elements={"min_value": 0, "max_value": 1}))
def test_disagreement_lies_between_none_and_that_of_two_sure_halves(
    shares: NDArray[np.float64],
) -> None:
    """Mutual information of two classes is at most ln 2, and 0 where all looks agree."""
    draws = Draws(np.stack([1 - shares, shares], axis=2))

    assert (draws.disagreement_nats >= 0).all()
    assert (draws.disagreement_nats <= np.log(2) + 1e-12).all()
    same = Draws(np.repeat(draws.samples[:1], 4, axis=0))
    np.testing.assert_allclose(same.disagreement_nats, 0, atol=1e-12)

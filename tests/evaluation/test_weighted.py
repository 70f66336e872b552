"""Weights stand for hips that occur as often."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from rhoa.evaluation.metrics import NAMES, WeightedFigures, values_of

hip = st.tuples(st.booleans(), st.integers(0, 4), st.integers(0, 3))


@given(st.lists(hip, min_size=1, max_size=30))
def test_a_hip_of_weight_k_counts_as_k_hips(hips: list[tuple[bool, int, int]]) -> None:
    labels, scores, weights = (np.array(part) for part in zip(*hips, strict=True))
    scores = scores / 4
    if weights.sum() == 0:
        return
    order = np.argsort(-scores, kind="stable")

    figures = WeightedFigures(labels[order], scores[order], 0.5)
    (found,) = figures(weights[order][None].astype(float))

    expected = values_of(np.repeat(labels, weights), np.repeat(scores, weights), 0.5)
    np.testing.assert_allclose(found, [expected[name] for name in NAMES], atol=1e-12)


@given(st.lists(hip, min_size=1, max_size=30), st.floats(0.1, 10))
def test_the_scale_of_weights_does_not_matter(
    hips: list[tuple[bool, int, int]], scale: float
) -> None:
    labels, scores, weights = (np.array(part) for part in zip(*hips, strict=True))
    order = np.argsort(-scores, kind="stable")
    figures = WeightedFigures(labels[order], scores[order] / 4, 0.5)

    one, two = figures(np.stack([weights, scale * weights])[:, order].astype(float))

    np.testing.assert_allclose(two, one, atol=1e-9)


def test_a_row_without_a_class_is_told() -> None:
    figures = WeightedFigures(np.array([True, False, False]), np.array([0.9, 0.5, 0.1]), 0.5)

    complete = figures.has_every_class(np.array([[1.0, 1, 0], [0, 2, 1], [3, 0, 0]]))

    assert complete.tolist() == [True, False, False]

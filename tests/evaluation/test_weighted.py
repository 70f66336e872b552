"""Weights stand for hips that occur as often."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rhoa.evaluation import evaluate, reliability
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


@given(st.lists(st.tuples(hip, st.integers(0, 5)), min_size=1, max_size=20))
def test_a_sample_weight_counts_as_hips_of_the_same_subject(rows: list) -> None:
    labels, scores, weights = (
        np.array(part) for part in zip(*(one for one, _ in rows), strict=True)
    )
    groups = np.array([group for _, group in rows])
    if weights.sum() == 0:
        return
    scores = scores / 4
    many = {"groups": np.repeat(groups, weights), "resamples": 1}

    found = evaluate(labels, scores, groups=groups, sample_weight=weights, resamples=1)
    expected = evaluate(np.repeat(labels, weights), np.repeat(scores, weights), **many)

    for name in ("accuracy", "recall", "mcc", "roc_auc", "pr_auc", "brier", "oe_ratio", "ece"):
        one, two = getattr(found, name), getattr(expected, name)
        assert one.value == pytest.approx(two.value, abs=1e-9, nan_ok=True)
        if name in {"mcc", "roc_auc", "pr_auc", "brier", "oe_ratio"}:  # over subjects alone
            assert one[1:] == pytest.approx(two[1:], abs=1e-6, nan_ok=True)
            assert one.note == two.note


def test_scores_of_any_precision_reach_the_threshold_and_the_bin_that_they_print() -> None:
    """float32(.7) is below .7, and .3 above the double that 3 * .1 is."""
    tenths = [number / 10 for number in range(11)]
    labels = np.arange(11) % 2

    for dtype in (np.float16, np.float32, np.float64):
        scores = np.array(tenths, dtype)
        bins = reliability(labels, scores)
        assert [one.hips for one in bins] == [1] * 9 + [2]
        assert [one.low_edge for one in bins] == tenths[:10]
        for cut, called in ((0.3, 8), (0.6, 5), (0.7, 4)):
            confusion = evaluate(labels, scores, threshold=cut, resamples=1).confusion
            assert confusion.tp + confusion.fp == called

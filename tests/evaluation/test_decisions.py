"""Thresholds by rule and decision curves, against every threshold tried one by one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics

from rhoa import RhoaError
from rhoa.evaluation import choose_threshold, decision_curve, evaluate


@st.composite
def scored(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    labels = [*draw(st.lists(st.integers(0, 1), max_size=20)), 0, 1]
    score = st.one_of(st.integers(0, 10).map(lambda n: n / 10), st.floats(0, 1))
    return np.array(labels), np.array(
        draw(st.lists(score, min_size=len(labels), max_size=len(labels)))
    )


def _tried(labels: np.ndarray, scores: np.ndarray) -> list[tuple[float, float, float]]:
    """Sensitivity, specificity and F1 of every way to part the hips by score, none called first."""
    wrong, found, _ = metrics.roc_curve(labels, scores, drop_intermediate=False)
    positives, negatives = labels.sum(), labels.size - labels.sum()
    f1 = 2 * found * positives / (positives + found * positives + wrong * negatives)
    return list(zip(found, 1 - wrong, f1, strict=True))


class TestThreshold:
    @given(scored())
    def test_no_other_is_better(self, data: tuple[np.ndarray, np.ndarray]) -> None:
        labels, scores = data
        tried = _tried(labels, scores)
        if scores.max() == 1:  # no threshold in [0, 1] calls none of them
            tried.pop(0)

        youden = choose_threshold(labels, scores)
        f1 = choose_threshold(labels, scores, rule="f1")
        keen = choose_threshold(labels, scores, rule="sensitivity", at_least=0.8)

        best = max(one[0] + one[1] for one in tried)
        assert youden.sensitivity + youden.specificity == pytest.approx(best)
        assert f1.f1 == pytest.approx(max(one[2] for one in tried))
        assert keen.sensitivity >= 0.8
        assert keen.specificity == pytest.approx(max(one[1] for one in tried if one[0] >= 0.8))

    def test_neighbouring_floats_are_told_apart(self) -> None:
        low = 0.5
        high = np.nextafter(low, 1)

        point = choose_threshold([0, 1], [low, high])

        assert (point.threshold, point.sensitivity, point.specificity) == (high, 1, 1)

    @given(scored())
    def test_it_gives_what_it_says(self, data: tuple[np.ndarray, np.ndarray]) -> None:
        labels, scores = data
        point = choose_threshold(labels, scores)

        result = evaluate(labels, scores, threshold=point.threshold, resamples=1)

        assert result.recall.value == pytest.approx(point.sensitivity)
        assert result.specificity.value == pytest.approx(point.specificity)
        assert result.f1.value == pytest.approx(point.f1)

    def test_a_specificity_that_is_asked_for_is_kept(self) -> None:
        point = choose_threshold(
            [0, 0, 0, 0, 1, 1], [0.1, 0.2, 0.3, 0.8, 0.6, 0.9], rule="specificity", at_least=1
        )

        assert (point.sensitivity, point.specificity) == (0.5, 1.0)
        assert point.threshold == pytest.approx(0.85)

    @pytest.mark.parametrize(
        ("options", "problem"),
        [
            ({"partition": ["val", "val", "test"]}, "1 of 3 hips are of test"),
            ({"rule": "best"}, "rule must be one of 'youden'"),
            ({"rule": "sensitivity"}, "needs at_least=SHARE"),
            ({"rule": "f1", "at_least": 0.9}, "takes no at_least"),
            ({"rule": "sensitivity", "at_least": 90}, "at_least must be a share"),
        ],
    )
    def test_what_cannot_be_chosen_is_named(self, options: dict[str, object], problem: str) -> None:
        with pytest.raises(RhoaError, match=problem):
            choose_threshold([0, 1, 1], [0.2, 0.4, 0.6], **options)

    def test_validation_hips_of_one_class_will_not_do(self) -> None:
        with pytest.raises(RhoaError, match="a threshold needs hips of both classes"):
            choose_threshold([0, 0], [0.2, 0.4], partition=["val", "val"])


class TestDecisionCurve:
    @given(scored(), st.floats(0.01, 0.99))
    def test_it_is_vickers_and_elkins(
        self, data: tuple[np.ndarray, np.ndarray], threshold: float
    ) -> None:
        labels, scores = data
        called = scores >= threshold
        needless = threshold / (1 - threshold)
        expected = ((called & (labels == 1)).mean()) - (called & (labels == 0)).mean() * needless

        (point,) = decision_curve(labels, scores, thresholds=[threshold])

        assert point.model == pytest.approx(expected, abs=1e-12)
        everyone = labels.mean() - (1 - labels.mean()) * needless
        assert point.treat_all == pytest.approx(everyone, abs=1e-9)
        assert point.treat_none == 0

    def test_below_every_score_the_model_treats_all(self) -> None:
        low, *_, high = decision_curve([0, 1, 1], [0.3, 0.5, 0.9])

        assert (low.threshold, high.threshold) == (0.01, 0.99)
        assert low.model == pytest.approx(low.treat_all)
        assert high.model == 0

    @pytest.mark.parametrize("thresholds", [[], [1.0], [-0.1], [[0.5]], [np.nan]])
    def test_thresholds_are_probabilities(self, thresholds: list[float]) -> None:
        with pytest.raises(RhoaError, match="thresholds must be"):
            decision_curve([0, 1], [0.2, 0.8], thresholds=thresholds)

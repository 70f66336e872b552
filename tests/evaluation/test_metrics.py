"""Figures of merit against scikit-learn, closed forms, and the paper's own counts."""

from __future__ import annotations

import dataclasses
import json
import math
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn import metrics

from rhoa import RhoaError
from rhoa.evaluation import Confusion, Estimate, Evaluation, evaluate

FIGURES = (
    *("accuracy", "balanced_accuracy", "precision", "recall", "specificity"),
    *("f1", "roc_auc", "pr_auc", "brier", "ece"),
)


@st.composite
def graded(draw: st.DrawFn) -> tuple[NDArray[np.int_], NDArray[np.float64]]:
    """Labels of both classes and scores, many of them tied, some at 0, 1 and the threshold."""
    labels = [*draw(st.lists(st.integers(0, 1), max_size=40)), 0, 1]
    score = st.one_of(st.integers(0, 8).map(lambda n: n / 8), st.floats(0, 1))
    scores = draw(st.lists(score, min_size=len(labels), max_size=len(labels)))
    return np.array(labels), np.array(scores)


class TestValues:
    @given(graded())
    def test_they_are_scikit_learns(
        self, data: tuple[NDArray[np.int_], NDArray[np.float64]]
    ) -> None:
        labels, scores = data
        called = scores >= 0.5
        undefined = {"zero_division": np.nan}
        expected = {
            "accuracy": metrics.accuracy_score(labels, called),
            "balanced_accuracy": metrics.balanced_accuracy_score(labels, called),
            "precision": metrics.precision_score(labels, called, **undefined),
            "recall": metrics.recall_score(labels, called),
            "specificity": metrics.recall_score(labels, called, pos_label=0),
            "f1": metrics.f1_score(labels, called),
            "roc_auc": metrics.roc_auc_score(labels, scores),
            "pr_auc": metrics.average_precision_score(labels, scores),
            "brier": metrics.brier_score_loss(labels, scores),
        }

        result = evaluate(labels, scores, resamples=1)

        for name, value in expected.items():
            assert getattr(result, name).value == pytest.approx(value, abs=1e-12, nan_ok=True)
        assert result.confusion == tuple(metrics.confusion_matrix(labels, called).ravel())

    def test_every_number_goes_into_json(self) -> None:
        result = evaluate([0, 1], [0.2, 0.8], resamples=2)

        assert json.loads(json.dumps(dataclasses.asdict(result)))["confusion"] == [1, 0, 0, 1]

    def test_a_score_at_the_threshold_is_called_rhoa(self) -> None:
        assert evaluate([1, 0], [0.7, 0.69], threshold=0.7, resamples=1).accuracy.value == 1

    def test_calibration_error_is_the_weighted_gap_of_each_bin(self) -> None:
        """Bin 0.2-0.3: mean score .25 of labels 0, 1 (gap .25, 2 of 3); bin 0.9-1: gap 0."""
        result = evaluate([0, 1, 1], [0.25, 0.25, 1.0], resamples=1)

        assert result.ece.value == pytest.approx(0.25 * 2 / 3, abs=1e-12)

    def test_the_papers_model_1_finds_three_of_fifteen(self) -> None:
        """Its CT-AP test row: (tp, tn) = (3, 9) of 15 and 9; F1 of rHOA is .33, printed .65."""
        labels = [1] * 15 + [0] * 9
        scores = [0.9] * 3 + [0.1] * 21

        result = evaluate(labels, scores, resamples=1)

        assert result.confusion == Confusion(tn=9, fp=0, fn=12, tp=3)
        assert result.accuracy.value == 0.5
        assert result.balanced_accuracy.value == pytest.approx(0.6)
        assert result.recall.value == pytest.approx(0.2)
        assert result.f1.value == pytest.approx(1 / 3)

    @given(graded(), st.randoms(use_true_random=False))
    def test_order_does_not_matter(
        self, data: tuple[NDArray[np.int_], NDArray[np.float64]], random: object
    ) -> None:
        labels, scores = data
        order = random.sample(range(len(labels)), len(labels))
        groups = np.arange(len(labels)) // 2

        here = evaluate(labels, scores, groups=groups, resamples=20)
        there = evaluate(labels[order], scores[order], groups=groups[order], resamples=20)

        for name in FIGURES:
            np.testing.assert_allclose(getattr(here, name), getattr(there, name), atol=1e-12)


class TestUndefined:
    @pytest.mark.parametrize("label", [0, 1])
    def test_one_class_has_no_auc_and_no_warning(self, label: int) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            result = evaluate([label] * 6, [0.1, 0.2, 0.4, 0.6, 0.8, 0.9], resamples=50)

        for name in ("roc_auc", "pr_auc", "balanced_accuracy"):
            assert all(math.isnan(part) for part in getattr(result, name))
        assert result.accuracy.value == 0.5
        assert result.accuracy.low < 0.5 < result.accuracy.high
        assert result.excluded == 0

    def test_precision_is_undefined_where_nothing_is_called_rhoa(self) -> None:
        result = evaluate([0, 1, 0, 1], [0.1, 0.2, 0.3, 0.4])

        assert math.isnan(result.precision.value)
        assert result.f1.value == 0

    def test_one_patient_has_values_but_no_intervals(self) -> None:
        result = evaluate([0, 1], [0.2, 0.8], groups=["a", "a"])

        assert result.accuracy.value == 1
        assert math.isnan(result.accuracy.low)
        assert math.isnan(result.accuracy.high)


class TestIntervals:
    def test_they_hold_the_value_and_stay_within_zero_and_one(self) -> None:
        random = np.random.default_rng(0)
        labels = random.integers(0, 2, 120)
        scores = np.clip(labels * 0.3 + random.random(120) * 0.7, 0, 1)

        result = evaluate(labels, scores, groups=np.arange(120) // 2)

        for name in FIGURES[:-1]:  # resampling makes the calibration error of ten bins larger
            estimate = getattr(result, name)
            assert isinstance(estimate, Estimate)
            assert 0 <= estimate.low <= estimate.value <= estimate.high <= 1
        assert (result.hips, result.groups) == (120, 60)

    def test_the_seed_decides(self) -> None:
        labels, scores = [0, 1] * 20, np.random.default_rng(0).random(40)
        first, again, other = (evaluate(labels, scores, seed=seed) for seed in (3, 3, 4))

        assert first == again
        assert first.roc_auc != other.roc_auc

    def test_resamples_that_lose_a_class_are_excluded_and_counted(self) -> None:
        """One rHOA hip of n is missed by (1 - 1/n)^n of resamples: 34.9 % for ten."""
        labels = [1] + [0] * 9

        result = evaluate(labels, np.linspace(1, 0, 10), resamples=20_000)

        assert result.excluded / 20_000 == pytest.approx(0.9**10, abs=0.012)
        assert result.recall == Estimate(1.0, 1.0, 1.0)

    def test_group_names_may_be_text_or_numbers(self) -> None:
        labels, scores = [0, 1, 0, 1], [0.1, 0.9, 0.6, 0.4]

        assert evaluate(labels, scores, groups=["p", "p", "q", "q"]) == evaluate(
            labels, scores, groups=[1, 1, 2, 2]
        )


class TestRefusals:
    @pytest.mark.parametrize(
        ("labels", "scores", "options", "problem"),
        [
            ([], [], {}, "y_true"),
            ([0, 1], [0.5], {}, "as long; got 2 and 1"),
            ([0, 2], [0.5, 0.5], {}, "y_true must hold 0"),
            (["no", "yes"], [0.5, 0.5], {}, "y_true must hold 0"),
            ([0, math.nan], [0.5, 0.5], {}, "y_true must hold 0"),
            ([[0, 1]], [0.5, 0.5], {}, "y_true"),
            ([0, 1], [0.5, math.nan], {}, "1 of 2 scores"),
            ([0, 1], [0.5, 1.1], {}, "1 of 2 scores"),
            ([0, 1], [-0.1, 1.1], {}, "2 of 2 scores"),
            ([0, 1], ["0.1", "0.2"], {}, "y_score must be a list of numbers"),
            ([0, 1], [0.5, 0.5], {"groups": ["a"]}, "each of the 2 hips"),
            ([0, 1], [0.5, 0.5], {"threshold": 1.5}, "threshold"),
            ([0, 1], [0.5, 0.5], {"threshold": math.nan}, "threshold"),
            ([0, 1], [0.5, 0.5], {"resamples": 0}, "resamples"),
        ],
    )
    def test_what_cannot_be_evaluated_is_named(
        self, labels: object, scores: object, options: dict[str, object], problem: str
    ) -> None:
        with pytest.raises(RhoaError, match=problem):
            evaluate(labels, scores, **options)


def test_an_evaluation_cannot_be_changed() -> None:
    result = evaluate([0, 1], [0.2, 0.8], resamples=1)

    assert isinstance(result, Evaluation)
    with pytest.raises(AttributeError):
        result.hips = 3

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
from sklearn.metrics import matthews_corrcoef as matthews

from rhoa import RhoaError
from rhoa.evaluation import Confusion, Estimate, Evaluation, evaluate

FIGURES = (
    *("accuracy", "balanced_accuracy", "precision", "recall", "specificity"),
    *("f1", "mcc", "roc_auc", "pr_auc", "brier", "ece"),
)
CALIBRATION = ("calibration_slope", "calibration_intercept", "oe_ratio", "calibration_error")
METHODS = ("auto", "exact")


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
            "mcc": np.nan if called.all() or not called.any() else matthews(labels, called),
            "roc_auc": metrics.roc_auc_score(labels, scores),
            "pr_auc": metrics.average_precision_score(labels, scores),
            "brier": metrics.brier_score_loss(labels, scores),
        }

        result = evaluate(labels, scores, resamples=1)

        for name, value in expected.items():
            assert getattr(result, name).value == pytest.approx(value, abs=1e-12, nan_ok=True)
        assert result.confusion == tuple(metrics.confusion_matrix(labels, called).ravel())

    def test_other_names_mean_the_same(self) -> None:
        result = evaluate([0, 0, 1, 1], [0.1, 0.6, 0.4, 0.9], resamples=10)

        assert result.sensitivity == result.recall
        assert result.average_precision == result.pr_auc

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
    @pytest.mark.parametrize("method", METHODS)
    def test_they_hold_the_value_and_stay_within_zero_and_one(self, method: str) -> None:
        random = np.random.default_rng(0)
        labels = random.integers(0, 2, 120)
        scores = np.clip(labels * 0.3 + random.random(120) * 0.7, 0, 1)

        result = evaluate(labels, scores, groups=np.arange(120) // 2, interval=method)

        for name in FIGURES:
            if name == "ece":
                continue  # chance makes it larger than zero: it has no interval
            estimate = getattr(result, name)
            assert isinstance(estimate, Estimate)
            assert 0 <= estimate.low <= estimate.value <= estimate.high <= 1
        assert (result.hips, result.groups, result.interval) == (120, 60, method)

    def test_nothing_but_the_chance_of_the_ece_depends_on_the_seed(self) -> None:
        labels, scores = [0, 1] * 20, np.random.default_rng(0).random(40)
        first, again, other = (evaluate(labels, scores, seed=seed) for seed in (3, 3, 4))

        assert first == again
        assert first.ece_expected != other.ece_expected
        for name in (*FIGURES, *CALIBRATION):
            assert getattr(first, name) == getattr(other, name)

    def test_every_interval_names_its_method_and_every_absent_one_its_reason(self) -> None:
        random = np.random.default_rng(0)
        labels = random.integers(0, 2, 60)
        result = evaluate(labels, np.clip(labels * 0.3 + random.random(60) * 0.7, 0, 1))

        for name in (*FIGURES, *CALIBRATION):
            estimate = getattr(result, name)
            assert math.isnan(estimate.low) == (estimate.method == "")
            assert not math.isnan(estimate.low) or estimate.note.endswith(".")

    @pytest.mark.parametrize(
        ("method", "recall", "accuracy"),
        # 15 of 15 and 24 of 24: z^2 / (n + z^2) for Wilson, .025^(1/n) for Clopper-Pearson.
        [
            ("auto", 15 / (15 + 3.841459), 24 / (24 + 3.841459)),
            ("exact", 0.025 ** (1 / 15), 0.025 ** (1 / 24)),
        ],
    )
    def test_a_perfect_score_is_no_certainty(
        self, method: str, recall: float, accuracy: float
    ) -> None:
        result = evaluate([1] * 15 + [0] * 9, [0.9] * 15 + [0.1] * 9, interval=method)

        assert result.recall == pytest.approx((1, recall, 1), abs=1e-6)
        assert result.accuracy == pytest.approx((1, accuracy, 1), abs=1e-6)
        assert result.f1.low == pytest.approx(2 * recall / (1 + recall), abs=1e-6)
        for name in ("balanced_accuracy", "roc_auc"):
            assert 0.7 < getattr(result, name).low < 1

    def test_hips_of_a_patient_count_together_in_every_interval(self) -> None:
        """Every hip twice, as one patient, has the intervals of the hips alone, or nearly so."""
        random = np.random.default_rng(1)
        labels = random.integers(0, 2, 150)
        scores = np.clip(labels * 0.3 + random.random(150) * 0.7, 0, 1)
        twice = np.repeat(labels, 2), np.repeat(scores, 2)

        alone = evaluate(labels, scores, groups=np.arange(150))
        grouped = evaluate(*twice, groups=np.repeat(np.arange(150), 2))

        for name in (*FIGURES[:-1], *CALIBRATION[:-1]):
            one, two = getattr(alone, name), getattr(grouped, name)
            assert two.high - two.low == pytest.approx(one.high - one.low, rel=0.03)

    def test_group_names_may_be_text_or_numbers(self) -> None:
        labels, scores = [0, 1, 0, 1, 1, 0], [0.1, 0.9, 0.6, 0.4, 0.8, 0.3]

        assert evaluate(labels, scores, groups=["p", "p", "q", "r", "s", "t"]) == evaluate(
            labels, scores, groups=[1, 1, 2, 3, 4, 5]
        )


class TestRefusals:
    @pytest.mark.parametrize(
        ("labels", "scores", "options", "problem"),
        [
            ([], [], {}, "y_true"),
            ([0, 1], [0.5], {}, "as long; got 2 and 1"),
            ([0, 2], [0.5, 0.5], {}, "y_true must hold 0"),
            (["no", "yes"], [0.5, 0.5], {}, "y_true must hold 0"),
            ([0, math.nan], [0.5, 0.5], {}, "1 of 2 are NaN: leave out hips without a label"),
            ([0, 1], [0.5, 0.5], {"sample_weight": [1]}, "for each of the 2 hips"),
            ([0, 1], [0.5, 0.5], {"sample_weight": [1, -1]}, "finite numbers >= 0"),
            ([0, 1], [0.5, 0.5], {"sample_weight": [0, 0]}, "not all 0"),
            ([[0, 1]], [0.5, 0.5], {}, "y_true"),
            ([0, 1], [0.5, math.nan], {}, "1 of 2 scores"),
            ([0, 1], [0.5, 1.1], {}, "1 of 2 scores"),
            ([0, 1], [-0.1, 1.1], {}, "2 of 2 scores"),
            ([0, 1], ["0.1", "0.2"], {}, "y_score must be a list of numbers"),
            ([0, 1], [0.5, 0.5], {"groups": ["a"]}, "each of the 2 hips"),
            ([0, 1], [0.5, 0.5], {"threshold": 1.5}, "threshold"),
            ([0, 1], [0.5, 0.5], {"threshold": math.nan}, "threshold"),
            ([0, 1], [0.5, 0.5], {"resamples": 0}, "resamples"),
            ([0, 1], [0.5, 0.5], {"interval": "wald"}, "interval must be one of 'auto'"),
            ([0, 1], [0.5, 0.5], {"definitions": "mine"}, "definitions must be one of 'standard'"),
        ],
    )
    def test_what_cannot_be_evaluated_is_named(
        self, labels: object, scores: object, options: dict[str, object], problem: str
    ) -> None:
        with pytest.raises(RhoaError, match=problem):
            evaluate(labels, scores, **options)


class TestPaper:
    """The definitions of the tables of Gebre et al. 2022."""

    @given(graded())
    def test_its_precision_is_the_macro_recall_and_so_on(
        self, data: tuple[NDArray[np.int_], NDArray[np.float64]]
    ) -> None:
        labels, scores = data
        called = scores >= 0.5
        if called.all() or not called.any():
            return  # macro precision divides by zero
        recall = metrics.recall_score(labels, called, average="macro")
        precision = metrics.precision_score(labels, called, average="macro")

        result = evaluate(labels, scores, resamples=1, definitions="paper")

        assert result.precision.value == pytest.approx(recall, abs=1e-12)
        assert result.recall.value == pytest.approx(precision, abs=1e-12)
        both = precision + recall
        f1 = 2 * precision * recall / both if both else math.nan
        assert result.f1.value == pytest.approx(f1, abs=1e-12, nan_ok=True)

    @given(graded())
    def test_its_pr_area_begins_at_the_first_threshold(
        self, data: tuple[NDArray[np.int_], NDArray[np.float64]]
    ) -> None:
        """Trapezoids over scikit-learn's curve, without the point that it adds at recall 0."""
        labels, scores = data
        precision, recall, _ = metrics.precision_recall_curve(labels, scores)
        expected = np.trapezoid(precision[-2::-1], recall[-2::-1])

        result = evaluate(labels, scores, resamples=1, definitions="paper")

        assert result.pr_auc.value == pytest.approx(expected, abs=1e-12)

    def test_a_perfect_ranking_of_fifteen_loses_a_fifteenth(self) -> None:
        result = evaluate([1] * 15 + [0] * 9, np.linspace(1, 0, 24), definitions="paper")

        assert result.pr_auc.value == pytest.approx(14 / 15)
        assert result.standard is not None
        assert result.standard.pr_auc.value == 1

    def test_the_row_of_model_1_is_as_printed_beside_the_standard_one(self) -> None:
        """CT-AP test, (tp, tn) = (3, 9): printed .60, .71, .65."""
        labels, scores = [1] * 15 + [0] * 9, [0.9] * 3 + [0.1] * 21

        result = evaluate(labels, scores, definitions="paper")

        printed = [result.precision, result.recall, result.f1]
        assert [round(figure.value, 2) for figure in printed] == [0.60, 0.71, 0.65]
        assert all(figure.low < figure.value < figure.high for figure in printed)
        assert result.standard == evaluate(labels, scores)
        assert (result.definitions, result.standard.definitions) == ("paper", "standard")
        assert result.sensitivity.value == pytest.approx(0.2)
        assert result.accuracy == result.standard.accuracy


class TestWhatIsToldWithIt:
    @pytest.mark.parametrize("positives", [10, 20, 30])
    def test_the_baseline_is_the_larger_class_for_all(self, positives: int) -> None:
        labels = np.arange(40) < positives

        baseline = evaluate(labels, np.full(40, 0.3), resamples=1).baseline

        answers = np.full(40, 2 * positives >= 40)
        assert baseline.answer == answers[0]
        assert baseline.accuracy == metrics.accuracy_score(labels, answers)
        assert baseline.balanced_accuracy == metrics.balanced_accuracy_score(labels, answers)
        assert baseline.recall == metrics.recall_score(labels, answers)
        assert baseline.specificity == metrics.recall_score(labels, answers, pos_label=0)
        assert baseline.f1 == pytest.approx(metrics.f1_score(labels, answers, zero_division=0))
        share = np.full(40, labels.mean())
        assert baseline.roc_auc == metrics.roc_auc_score(labels, share)
        assert baseline.pr_auc == pytest.approx(metrics.average_precision_score(labels, share))
        assert baseline.brier == pytest.approx(metrics.brier_score_loss(labels, share))

    def test_fewer_than_thirty_of_a_class_is_told(self) -> None:
        scores = np.r_[np.full(30, 0.9), np.full(30, 0.1)]

        assert evaluate([1] * 30 + [0] * 30, scores, resamples=1).warnings == ()
        (said,) = evaluate([1] * 30 + [0] * 29, scores[:-1], resamples=1).warnings
        assert "30 rHOA and 29 other hips" in said

    def test_an_accuracy_below_the_baseline_is_told(self) -> None:
        said = evaluate([1] * 60 + [0] * 40, np.full(100, 0.1), resamples=1).warnings

        assert said == ("accuracy 0.400 is below 0.600, the accuracy of calling every hip rHOA.",)


def test_an_evaluation_cannot_be_changed() -> None:
    result = evaluate([0, 1], [0.2, 0.8], resamples=1)

    assert isinstance(result, Evaluation)
    with pytest.raises(AttributeError):
        result.hips = 3

"""Two models on the same hips: differences, and tests that know they are of the same hips."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit, logit
from scipy.stats import binomtest

from rhoa import RhoaError
from rhoa.evaluation import compare, evaluate, holm
from rhoa.evaluation.comparison import COMPARED
from rhoa.evaluation.intervals import roc_areas
from tests.evaluation.cohorts import Population


def two_models(subjects: int, seed: int, better: float) -> tuple[np.ndarray, ...]:
    """Labels, scores of two models that share most of their noise, groups."""
    random = np.random.default_rng(seed)
    labels, first, groups = Population().cohort(subjects, random)
    noise = 0.05 * random.standard_normal(labels.size)
    second = np.clip(first + noise + better * (labels - 0.5), 0, 1)
    return labels, first, second, groups


class TestDifferences:
    def test_they_are_second_minus_first_of_every_figure(self) -> None:
        labels, first, second, groups = two_models(60, 0, 0.1)

        result = compare(labels, first, second, groups=groups)

        one, two = (evaluate(labels, score, groups=groups) for score in (first, second))
        for name in COMPARED:
            expected = getattr(two, name).value - getattr(one, name).value
            assert result.differences[name].value == pytest.approx(expected, abs=1e-12)
        assert result.roc_auc.first == pytest.approx(one.roc_auc.value, abs=1e-12)
        assert result.roc_auc.second == pytest.approx(two.roc_auc.value, abs=1e-12)
        assert (result.hips, result.groups) == (120, 60)

    def test_swapped_models_have_swapped_signs(self) -> None:
        labels, first, second, groups = two_models(60, 1, 0.1)

        here = compare(labels, first, second, groups=groups)
        there = compare(labels, second, first, groups=groups)

        for name in ("accuracy", "roc_auc", "brier"):
            mine, other = here.differences[name], there.differences[name]
            assert mine == pytest.approx((-other.value, -other.high, -other.low), abs=0.01)
        assert here.roc_auc.p == pytest.approx(there.roc_auc.p)
        assert here.answers.p == there.answers.p

    def test_a_small_difference_of_like_models_is_seen_where_intervals_overlap(self) -> None:
        """Models share their noise: the difference varies far less than either does."""
        labels, first, second, groups = two_models(150, 2, 0.12)

        result = compare(labels, first, second, groups=groups)

        one, two = (evaluate(labels, score, groups=groups).roc_auc for score in (first, second))
        assert one.high > two.low  # of the models alone
        assert result.differences["roc_auc"].low > 0
        assert result.roc_auc.difference.low > 0
        assert result.roc_auc.p < 0.01


class TestAreas:
    def test_p_is_that_of_the_contrast(self) -> None:
        """Twice the tail of t at difference over error, with 60 degrees for 60 subjects."""
        from scipy.stats import t

        labels, first, second, groups = two_models(60, 4, 0.05)
        areas = roc_areas(labels == 1, np.stack([first, second]), groups)
        values, covariance = areas.values, areas.covariance
        error = np.sqrt(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1])

        result = compare(labels, first, second, groups=groups).roc_auc

        assert result.p == pytest.approx(2 * t.sf(abs(values[1] - values[0]) / error, 60))
        assert result.difference.high - result.difference.low == pytest.approx(
            2 * t.ppf(0.975, 60) * error
        )

    @given(
        st.lists(
            st.tuples(st.integers(0, 1), st.integers(0, 4), st.integers(0, 4), st.integers(0, 5)),
            min_size=4,
            max_size=14,
        )
    )
    def test_intervals_of_few_hips_are_differences_of_areas(
        self, hips: list[tuple[int, int, int, int]]
    ) -> None:
        labels, first, second, groups = (np.array(part) for part in zip(*hips, strict=True))

        result = compare(labels, first / 4, second / 4, groups=groups).roc_auc

        if not math.isnan(result.difference.low):
            assert -1 <= result.difference.low <= result.difference.value + 1e-12
            assert result.difference.value - 1e-12 <= result.difference.high <= 1

    def test_intervals_of_few_hips_hold_no_difference_as_often_as_they_say(self) -> None:
        """150 cohorts of 12 subjects, both models as good; the bound is three standard errors."""
        held, defined = 0, 0
        for seed in range(150):
            random = np.random.default_rng(seed)
            labels, score, groups = Population().cohort(12, random)
            first, second = expit(logit(score) + 0.8 * random.standard_normal((2, labels.size)))
            low, high = compare(labels, first, second, groups=groups).roc_auc.difference[1:]
            defined += not math.isnan(low)
            held += low <= 0 <= high

        assert defined > 140
        assert held / defined > 0.95 - 3 * math.sqrt(0.95 * 0.05 / defined)

    def test_the_same_scores_do_not_differ(self) -> None:
        labels, scores = [0, 1, 0, 1, 0, 1], [0.1, 0.8, 0.6, 0.4, 0.3, 0.2]

        result = compare(labels, scores, scores)

        assert result.answers == (0, 0, 1)
        for name in COMPARED:
            assert result.p_values[name] == 1
            assert result.differences[name].value == 0
            assert math.isnan(result.differences[name].low)
            assert "no subject distinguishes the models" in result.differences[name].note

    @pytest.mark.parametrize(
        ("subjects", "pairs"),
        [
            (20, 800),
            *(pytest.param(*more, marks=pytest.mark.slow) for more in [(60, 800), (300, 200)]),
        ],
    )
    def test_p_is_below_05_in_5_of_100_equally_good_models(self, subjects: int, pairs: int) -> None:
        """The normal distribution's p is below it more often where subjects are few."""
        p_values = []
        for seed in range(pairs):
            random = np.random.default_rng(seed)
            labels, score, groups = Population(0.35, 0.8).cohort(subjects, random)
            first, second = expit(logit(score) + 0.8 * random.standard_normal((2, labels.size)))
            result = compare(labels, first, second, groups=groups).roc_auc
            p_values.append((result.p, result.p_normal))

        student, normal = np.nanmean(np.array(p_values) < 0.05, axis=0)
        assert student == pytest.approx(0.05, abs=max(0.02, 3 * math.sqrt(0.05 * 0.95 / pairs)))
        assert student <= normal

    @given(
        st.integers(0, 10_000), st.integers(5, 30), st.floats(0, 1.5), st.sampled_from([1, 2, 5])
    )
    def test_interval_and_p_are_one_answer(
        self, seed: int, subjects: int, better: float, hips: int
    ) -> None:
        random = np.random.default_rng(seed)
        groups = np.arange(subjects).repeat(hips)
        labels = random.random(groups.size) < 0.5
        odds = 2 * (labels - 0.5) + random.standard_normal(groups.size)
        noise = random.standard_normal((2, groups.size))
        first, second = expit(odds + noise[0]), expit(odds + better * (labels - 0.5) + noise[1])

        result = compare(labels, first, second, groups=groups)

        for name, (_, low, high) in result.differences.items():
            p = result.p_values[name]
            if not math.isnan(low):
                assert (p < 0.05) == (low > 0 or high < 0)
            else:
                assert math.isnan(p) or p == 1

    def test_one_class_has_no_areas(self) -> None:
        result = compare([1, 1, 1], [0.1, 0.2, 0.9], [0.3, 0.4, 0.6])

        assert math.isnan(result.roc_auc.p)
        assert math.isnan(result.differences["roc_auc"].value)
        assert not math.isnan(result.differences["accuracy"].value)


class TestHolm:
    @given(st.lists(st.floats(0, 1), max_size=12))
    def test_it_multiplies_by_how_many_are_left_and_keeps_their_order(
        self, given_p: list[float]
    ) -> None:
        """Step by step: the k-th smallest of n is raised by n - k + 1, and to those before it."""
        ranked, reached = sorted(given_p), 0.0
        expected = {}
        for rank, p in enumerate(ranked):
            reached = min(1.0, max(reached, p * (len(ranked) - rank)))
            expected.setdefault(p, reached)

        assert holm(given_p) == pytest.approx([expected[p] for p in given_p])

    def test_what_is_undefined_is_not_counted(self) -> None:
        assert holm([0.02, math.nan, 0.04])[::2] == [0.04, 0.04]
        with pytest.raises(RhoaError, match="0 to 1"):
            holm([1.5])


class TestAnswers:
    @given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=40))
    def test_one_hip_a_patient_is_mcnemars_exact_test(
        self, answers: list[tuple[bool, bool]]
    ) -> None:
        first, second = np.array(answers).T
        only_first, only_second = int((first & ~second).sum()), int((~first & second).sum())
        expected = 1.0
        if only_first + only_second:
            expected = binomtest(only_first, only_first + only_second).pvalue

        found = compare(np.ones(len(answers)), first.astype(float), second.astype(float)).answers

        assert found[:2] == (only_first, only_second)
        assert found.p == pytest.approx(expected, abs=1e-12)

    @given(
        st.lists(
            st.tuples(st.booleans(), st.booleans(), st.integers(0, 4)), min_size=1, max_size=25
        )
    )
    def test_hips_of_a_patient_change_together(self, answers: list[tuple[bool, bool, int]]) -> None:
        """All exchanges of the two models within patients, one by one."""
        first, second, groups = (np.array(part) for part in zip(*answers, strict=True))
        surplus = [
            int(second[groups == group].sum()) - int(first[groups == group].sum())
            for group in np.unique(groups)
        ]
        totals = [
            abs(sum(sign * one for sign, one in zip(signs, surplus, strict=True)))
            for signs in itertools.product((-1, 1), repeat=len(surplus))
        ]
        expected = sum(total >= abs(sum(surplus)) for total in totals) / len(totals)

        found = compare(
            np.ones(len(answers)),
            first.astype(float),
            second.astype(float),
            groups=groups,
        ).answers

        assert found.p == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    ("first", "second", "problem"),
    [
        ([0.5], [0.5, 0.5], "y_true and first must be as long; got 2 and 1"),
        ([0.5, 0.5], [0.5, math.nan], "second must lie in \\[0, 1\\]; 1 of 2"),
    ],
)
def test_the_model_whose_scores_are_wrong_is_named(
    first: list[float], second: list[float], problem: str
) -> None:
    with pytest.raises(RhoaError, match=problem):
        compare([0, 1], first, second)

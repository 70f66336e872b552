"""Intervals of shares: against scipy, published values, and the patients' own variance."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from rhoa.evaluation.intervals import (
    clopper_pearson,
    effective_size,
    mean_interval,
    proportion_interval,
    wilson,
)


@given(st.integers(1, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_they_are_scipys(counts: tuple[int, int]) -> None:
    right, size = counts
    test = binomtest(right, size)

    # scipy looks for the exact bounds until it is 2e-12 near.
    for ours, method, near in ((wilson, "wilson", 1e-12), (clopper_pearson, "exact", 1e-11)):
        theirs = test.proportion_ci(method=method)
        assert ours(right / size, size) == pytest.approx((theirs.low, theirs.high), abs=near)


@pytest.mark.parametrize(
    ("right", "size", "score", "exact"),
    # Newcombe 1998, Stat Med 17:857-872, table I, methods 3 and 5.
    [
        (81, 263, (0.2553, 0.3662), (0.2527, 0.3676)),
        (15, 148, (0.0624, 0.1605), (0.0578, 0.1617)),
        (0, 20, (0.0000, 0.1611), (0.0000, 0.1684)),
        (1, 29, (0.0061, 0.1718), (0.0009, 0.1776)),
    ],
)
def test_they_are_the_published_ones(
    right: int, size: int, score: tuple[float, float], exact: tuple[float, float]
) -> None:
    assert wilson(right / size, size) == pytest.approx(score, abs=5e-5)
    assert clopper_pearson(right / size, size) == pytest.approx(exact, abs=5e-5)


class TestEffectiveSize:
    def test_hips_of_a_patient_each_count_whole(self) -> None:
        right = np.array([True, False, True])

        assert effective_size(right, np.arange(3)) == 3

    def test_hips_that_always_agree_count_as_patients_less_the_few(self) -> None:
        """Variance between 200 pairs of one answer is that of 199 hips; t for z takes 1.2 %."""
        answers = np.arange(200) % 4 > 0

        size = effective_size(np.repeat(answers, 2), np.repeat(np.arange(200), 2))

        assert size == pytest.approx(199 * (1.959964 / 1.971957) ** 2, rel=1e-4)

    def test_it_never_exceeds_the_number_of_hips(self) -> None:
        """One right and one wrong hip a patient: patients do not differ at all."""
        assert effective_size(np.tile([True, False], 50), np.repeat(np.arange(50), 2)) == 100

    def test_where_all_are_right_it_is_the_number_of_patients(self) -> None:
        assert effective_size(np.ones(40, bool), np.repeat(np.arange(20), 2)) == 20

    def test_independent_hips_lose_little_by_their_grouping(self) -> None:
        right = np.random.default_rng(0).random(4000) < 0.7

        size = effective_size(right, np.repeat(np.arange(2000), 2))

        assert 0.9 * 4000 < size <= 4000


def test_no_hips_have_no_interval() -> None:
    assert np.isnan(proportion_interval(np.empty(0, bool), np.empty(0, np.intp))).all()


class TestMean:
    def test_it_follows_zou_and_donner(self) -> None:
        """13 of 15 and 7 of 9 of independent hips, from the published formula by hand."""
        right = np.r_[np.arange(15) < 13, np.arange(9) < 7]
        labels = np.arange(24) < 15
        (low_1, high_1), (low_2, high_2) = wilson(13 / 15, 15), wilson(7 / 9, 9)
        middle = (13 / 15 + 7 / 9) / 2

        low, high = mean_interval(right, labels, np.arange(24))

        assert low == pytest.approx(middle - np.hypot(13 / 15 - low_1, 7 / 9 - low_2) / 2)
        assert high == pytest.approx(middle + np.hypot(high_1 - 13 / 15, high_2 - 7 / 9) / 2)

    def test_errors_that_patients_share_widen_it(self) -> None:
        random = np.random.default_rng(0)
        labels, pairs = np.tile([True, False], 200), np.repeat(np.arange(200), 2)
        together = np.repeat(random.random(200) < 0.8, 2)
        apart = together.copy()
        apart[1::2] = random.permutation(apart[1::2])

        low, high = mean_interval(together, labels, pairs)
        low_apart, high_apart = mean_interval(apart, labels, pairs)

        assert (high - low) / (high_apart - low_apart) == pytest.approx(np.sqrt(2), rel=0.1)

    def test_all_right_still_has_a_lower_bound(self) -> None:
        low, high = mean_interval(np.ones(24, bool), np.arange(24) < 15, np.arange(24))

        assert 0.8 < low < 0.95
        assert high == 1


def test_patients_that_are_all_alike_do_not_tie_the_errors_of_the_classes() -> None:
    """One of three hips of each class right in every patient: no correlation is seen."""
    right = np.tile([True, False, False], 8)
    labels = np.tile(np.repeat([True, False], 3), 4)
    patients = np.repeat(np.arange(4), 6)

    low, high = mean_interval(right, labels, patients)

    below, above = wilson(1 / 3, 12)
    assert low == pytest.approx(1 / 3 - np.hypot(1 / 3 - below, 1 / 3 - below) / 2)
    assert high == pytest.approx(1 / 3 + np.hypot(above - 1 / 3, above - 1 / 3) / 2)

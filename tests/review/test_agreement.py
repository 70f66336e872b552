"""Agreement equals scikit-learn's and closed forms; intervals hold the truth as they say."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from scipy.stats import kurtosis, t
from sklearn.metrics import cohen_kappa_score

from rhoa.errors import ParameterError
from rhoa.evaluation.intervals import clopper_pearson
from rhoa.evaluation.reader_agreement import (
    bland_altman,
    kappa,
    mean,
    proportion,
    ratio,
    specific_agreement,
)

READINGS = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=2, max_size=40)
NAMES = {"none": None, "linear": "linear", "quadratic": "quadratic"}


def simulated(random: np.random.Generator, subjects: int) -> tuple[np.ndarray, np.ndarray, list]:
    """Two readers of both hips of each subject: grades of a common truth, each with errors."""
    severity = random.normal(size=(subjects, 1)) + 0.7 * random.normal(size=(subjects, 2))
    read = [severity + 0.6 * random.normal(size=severity.shape) for _ in range(2)]
    grades = [np.digitize(one, (-0.5, 0.2, 0.8, 1.6)).ravel() for one in read]
    return grades[0], grades[1], np.repeat(np.arange(subjects), 2).tolist()


@given(READINGS, st.sampled_from(["none", "linear", "quadratic"]))
def test_kappa_is_that_of_scikit_learn(readings: list[tuple[int, int]], weighting: str) -> None:
    first, second = zip(*readings, strict=True)
    if len({*first, *second}) < 2:
        return
    expected = cohen_kappa_score(first, second, labels=range(5), weights=NAMES[weighting])

    found = kappa(first, second, groups=range(len(first)), weighting=weighting).value

    assert found == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("weighting", list(NAMES))
def test_the_interval_is_the_jackknifes_of_scikit_learn(weighting: str) -> None:
    first, second, groups = simulated(np.random.default_rng(3), 25)
    options = {"labels": range(5), "weights": NAMES[weighting]}
    value = cohen_kappa_score(first, second, **options)
    left = [
        cohen_kappa_score(first[kept], second[kept], **options)
        for kept in (np.array(groups) != subject for subject in range(25))
    ]
    error = np.sqrt(24 / 25 * np.sum((np.array(left) - np.mean(left)) ** 2)) / (1 - value**2)
    freedom = np.clip(2 * 25 / (kurtosis(left, fisher=False) - 1), 2, 24)
    reach = t.ppf(0.975, freedom) * error

    found = kappa(first, second, groups=groups, weighting=weighting)

    assert found[1:] == pytest.approx(np.tanh(np.arctanh(value) + np.array([-reach, reach])))


def test_intervals_of_kappa_hold_the_truth_about_95_times_in_100() -> None:
    """Forty subjects with two hips each; the truth is kappa of two hundred thousand subjects."""
    random = np.random.default_rng(1)
    first, second, _ = simulated(random, 200_000)
    truth = cohen_kappa_score(first, second, weights="quadratic")

    held = 0
    for _ in range(300):
        one, other, groups = simulated(random, 40)
        low, high = kappa(one, other, groups=groups, weighting="quadratic")[1:]
        held += low <= truth <= high

    assert 0.90 <= held / 300 <= 0.98


def test_agreement_on_every_hip_has_a_lower_bound_and_one_category_no_kappa() -> None:
    """0 of 6 subjects disagree: at most 1 - .025 ** (1 / 6) of hips do, here over chance of 1/2."""
    grades = [0, 0, 0, 1, 1, 1]

    whole = kappa(grades, grades, groups=range(6), categories=2)
    grade = specific_agreement(grades, grades, groups=range(6), category=1)

    assert whole == pytest.approx((1, 1 - (1 - 0.025 ** (1 / 6)) / 0.5, 1))
    assert "one-sided" in whole.note
    assert grade == pytest.approx((1, clopper_pearson(1, 3)[0], 1))
    assert np.isnan(kappa([2] * 6, [2] * 6, groups=range(6)).value)


def test_specific_agreement_is_the_share_of_both_readers_uses_of_a_grade() -> None:
    first, second = [0, 0, 2, 2, 2, 3], [0, 2, 2, 2, 3, 3]
    groups = range(6)

    assert specific_agreement(first, second, groups=groups, category=2).value == 2 * 2 / (3 + 3)
    assert specific_agreement(first, second, groups=groups, category=3).value == 2 * 1 / (1 + 2)
    assert np.isnan(specific_agreement(first, second, groups=groups, category=4).value)


def test_limits_of_agreement_are_the_bias_and_1_96_standard_deviations() -> None:
    differences = np.random.default_rng(0).normal(2, 3, size=50)

    bias, lower, upper = bland_altman(differences, groups=range(50))

    spread = 1.96 * differences.std(ddof=1)
    assert bias.value == pytest.approx(differences.mean())
    assert (lower.value, upper.value) == pytest.approx(
        (differences.mean() - spread, differences.mean() + spread)
    )
    assert lower.low < lower.value < lower.high < bias.low < bias.value < bias.high < upper.low


def test_hips_of_one_subject_count_together() -> None:
    """Both hips of a subject are alike here: the interval is as wide as with one hip each."""
    values = np.random.default_rng(0).normal(size=30)
    alone = mean(values, groups=range(30))

    twice = mean(np.repeat(values, 2), groups=np.repeat(np.arange(30), 2).tolist())

    assert tuple(twice) == pytest.approx(tuple(alone))


def test_one_subject_has_no_interval() -> None:
    assert mean([1.0, 2.0], groups=["a", "a"])[0] == 1.5
    assert np.isnan(mean([1.0, 2.0], groups=["a", "a"]).low)
    assert "1 subject; at least 5" in mean([1.0, 2.0], groups=["a", "a"]).note
    assert np.isnan(ratio([], [], groups=[]).value)


def test_one_difference_is_the_bias_and_has_no_limits() -> None:
    found = bland_altman([3.0], groups=["a"])

    assert found.bias.value == 3
    assert np.isnan([found.lower.value, found.upper.value]).all()


@pytest.mark.parametrize("difference", [0.0, 0.1, -1234.567, 1e9 / 3])
def test_equal_differences_are_bias_and_limits_without_intervals(difference: float) -> None:
    for estimate in bland_altman([difference] * 7, groups=range(7)):
        assert estimate.value == pytest.approx(difference, rel=1e-14)
        assert np.isnan(estimate[1:]).all()


def test_a_shift_of_all_differences_shifts_the_limits_with_them() -> None:
    """However large: a spread of hundredths of a millimetre at 100 km."""
    differences = np.arange(8) / 64

    near = bland_altman(differences, groups=range(8))
    far = bland_altman(differences + 2.0**27, groups=range(8))

    for one, two in zip(near, far, strict=True):
        assert np.subtract(two, 2.0**27) == pytest.approx(tuple(one), abs=1e-6)


FEW = st.lists(
    st.tuples(st.integers(0, 1), st.integers(0, 1), st.integers(0, 6)), min_size=1, max_size=10
)


@given(FEW)
@example([(number % 2, number % 2, number) for number in range(6)])  # perfect agreement
@example([(1, 1, number) for number in range(6)])  # one category
@example([(0, 1, number) for number in range(6)])  # never agree
@example([(0, 0, 0)])  # one hip
@example([(0, 0, 0), (1, 1, 0)])  # one subject
def test_few_or_equal_hips_have_defined_results(hips: list[tuple[int, int, int]]) -> None:
    """Values and intervals are numbers in order, or not defined (NaN at both ends)."""
    first, second, groups = zip(*hips, strict=True)
    known = {"groups": groups}
    estimates = [
        *(kappa(first, second, weighting=weighting, **known) for weighting in NAMES),
        *(specific_agreement(first, second, category=category, **known) for category in range(3)),
        *bland_altman(np.subtract(second, first), **known),
        mean(first, **known),
    ]

    for value, low, high in estimates:
        assert not np.isinf([value, low, high]).any()
        assert (low < high) or (np.isnan(low) and np.isnan(high))
        assert np.isnan(low) or not np.isnan(value)
        if len(set(groups)) < 5:
            assert np.isnan(low)


@pytest.mark.parametrize(
    ("first", "second", "groups"),
    [([0], [0, 1], [1]), ([5], [0], [1]), ([0.5], [0], [1]), ([-1], [0], [1]), ([0], [0], [1, 2])],
)
def test_what_cannot_be_compared_is_refused(first: list, second: list, groups: list) -> None:
    with pytest.raises(ParameterError):
        kappa(first, second, groups=groups)


@pytest.mark.parametrize("wrong", [0, 1, 2, 9, 10])
def test_the_interval_of_a_share_lies_within_0_and_1_and_holds_it(wrong: int) -> None:
    right = np.arange(10) >= wrong

    found = proportion(right, groups=range(10))

    assert 0 <= found.low <= found.value == (10 - wrong) / 10 <= found.high <= 1
    assert found.high - found.low > 0.1


def test_the_interval_of_a_mean_ends_where_its_values_do() -> None:
    overlaps, subjects = [1.0, 1.0, 0.9, 1.0, 0.2, 1.0], range(6)

    assert mean(overlaps, groups=subjects).high > 1
    assert mean(overlaps, groups=subjects, least=0, most=1).high == 1
    few = mean(overlaps[:3], groups=[1, 2, 3], least=0, most=1)
    assert np.isnan(few.low)
    assert "subjects" in few.note

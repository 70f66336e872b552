"""The bootstrap: it draws patients, as many as there are, and covers the truth."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import bootstrap

from rhoa.evaluation import evaluate
from rhoa.evaluation.intervals import (
    bca_interval,
    left_out_weights,
    percentile_interval,
    resampled_weights,
    strata_of,
)
from tests.evaluation.cohorts import Population


@given(groups=st.lists(st.integers(0, 5), min_size=1, max_size=30), seed=st.integers(0, 1000))
def test_a_resample_draws_as_many_groups_as_there_are_and_keeps_their_hips_together(
    groups: list[int], seed: int
) -> None:
    members = np.unique(groups, return_inverse=True)[1]
    count = members.max() + 1

    weights = np.concatenate(list(resampled_weights(members, 7, seed=seed)))

    assert weights.shape == (7, len(groups))
    for group in range(count):
        mine = weights[:, members == group]
        assert (mine == mine[:, :1]).all()
    first = np.unique(members, return_index=True)[1]
    assert (weights[:, first].sum(axis=1) == count).all()


def test_blocks_are_one_stream_of_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    groups = np.arange(10)
    whole = np.concatenate(list(resampled_weights(groups, 25, seed=1)))

    monkeypatch.setattr("rhoa.evaluation.intervals._WEIGHTS_AT_ONCE", 70)
    blocks = list(resampled_weights(groups, 25, seed=1))

    assert [len(block) for block in blocks] == [7, 7, 7, 4]
    np.testing.assert_array_equal(np.concatenate(blocks), whole)


def test_strata_tell_patients_with_rhoa_hips_without_and_with_both() -> None:
    labels = np.array([False, False, True, True, True, False, True])

    assert strata_of(labels, np.array([0, 0, 1, 1, 2, 2, 3])).tolist() == [0, 1, 2, 1]


@given(strata=st.lists(st.integers(0, 2), min_size=1, max_size=12), seed=st.integers(0, 1000))
def test_a_stratified_resample_draws_as_many_of_each_stratum(strata: list[int], seed: int) -> None:
    kinds = np.array(strata)

    (weights,) = resampled_weights(np.arange(kinds.size), 5, seed=seed, strata=kinds)

    for kind in np.unique(kinds):
        assert (weights[:, kinds == kind].sum(axis=1) == (kinds == kind).sum()).all()


def test_a_patient_is_left_out_and_its_stratum_raised_for_it() -> None:
    """Patients a (two hips), b and c of one stratum, d alone in another."""
    groups, strata = np.array([0, 0, 1, 2, 3]), np.array([0, 0, 0, 1])

    (weights,) = left_out_weights(groups, strata)

    np.testing.assert_allclose(
        weights, [[0, 0, 1.5, 1.5, 1], [1.5, 1.5, 0, 1.5, 1], [1.5, 1.5, 1.5, 0, 1]]
    )
    assert list(left_out_weights(np.arange(2), np.arange(2))) == []


def test_of_very_many_patients_each_is_left_out_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rhoa.evaluation.intervals._LEFT_OUT", 4)

    weights = np.concatenate(list(left_out_weights(np.arange(10))))

    assert weights.shape == (4, 10)
    assert ((weights == 0).sum(axis=0) == 1).all()
    np.testing.assert_allclose(weights.sum(axis=1), 10)


def test_draws_are_those_of_drawing_with_replacement() -> None:
    """A group is drawn k times with the binomial chance of n tries at 1/n."""
    weights = np.concatenate(list(resampled_weights(np.arange(4), 40_000, seed=0)))

    shares = [(weights[:, 0] == k).mean() for k in range(3)]

    np.testing.assert_allclose(shares, [81 / 256, 108 / 256, 54 / 256], atol=0.01)


def test_the_interval_lies_between_the_2_5th_and_97_5th_percentiles() -> None:
    assert percentile_interval(np.arange(0, 1001.0)) == (25.0, 975.0)


@pytest.mark.parametrize("seed", range(3))
def test_the_accelerated_interval_is_scipys(seed: int) -> None:
    """Of the same resampled values and jackknife; quantiles of 9999 values interpolate alike."""
    data = np.random.default_rng(seed).exponential(size=25)
    theirs = bootstrap((data,), np.mean, random_state=seed)

    left_out = np.array([np.delete(data, at).mean() for at in range(25)])
    ours = bca_interval(data.mean(), theirs.bootstrap_distribution, left_out)

    low, high = theirs.confidence_interval
    assert ours == pytest.approx((low, high), rel=2e-4)


def test_the_accelerated_interval_of_a_symmetric_figure_is_the_percentile_one() -> None:
    values = np.linspace(-1, 1, 2001)

    assert bca_interval(0.0, values, np.array([-1.0, 1.0])) == pytest.approx((-0.95, 0.95))


def test_undefined_resamples_are_left_aside() -> None:
    low, high = percentile_interval(np.array([np.nan, 1.0, 3.0]))

    assert (low, high) == pytest.approx((1.05, 2.95))
    assert np.isnan(percentile_interval(np.array([np.nan, 1.0]))).all()


def test_identical_pairs_widen_the_interval_by_the_root_of_two() -> None:
    """Twice the same 300 hips are 300 facts: grouped, the interval is that of the 300 alone."""
    random = np.random.default_rng(0)
    labels = random.integers(0, 2, 300)
    scores = np.clip(0.25 * labels + 0.75 * random.random(300), 0, 1)
    twice = np.tile(labels, 2), np.tile(scores, 2)
    options = {"resamples": 4000, "interval": "percentile"}

    alone = evaluate(labels, scores, **options).accuracy
    grouped = evaluate(*twice, groups=np.tile(np.arange(300), 2), **options).accuracy
    naive = evaluate(*twice, **options).accuracy

    assert grouped.high - grouped.low == pytest.approx(alone.high - alone.low, rel=0.06)
    assert (grouped.high - grouped.low) / (naive.high - naive.low) == pytest.approx(
        np.sqrt(2), rel=0.06
    )


COVERED = ("roc_auc", "balanced_accuracy", "accuracy", "recall", "specificity", "precision", "f1")


@pytest.mark.slow
def test_intervals_cover_the_truth_of_two_hips_a_subject() -> None:
    """300 cohorts of 60 subjects, whose hips share half of all variance.

    Bounds are three standard errors from 95 %, and 98.5 %; `python benches/intervals.py` measures
    1000 cohorts, and of 300 subjects too.
    """
    population, cohorts = Population(), 300
    covered = dict.fromkeys(COVERED, 0)
    for number in range(cohorts):
        labels, scores, groups = population.cohort(60, np.random.default_rng(number))
        result = evaluate(labels, scores, groups=groups, resamples=10)
        for name in COVERED:
            estimate = getattr(result, name)
            covered[name] += estimate.low <= population.truth[name] <= estimate.high

    for name, count in covered.items():
        assert 0.95 - 0.038 < count / cohorts <= 1, name
    assert 0.93 <= covered["roc_auc"] / cohorts <= 0.985
    assert 0.93 <= covered["balanced_accuracy"] / cohorts <= 0.985


def test_hips_taken_as_independent_are_not_covered() -> None:
    """Both hips of a patient are graded right, or neither, with chance .8.

    About 95 % of intervals hold .8; taken as independent hips they are too narrow by the root of
    two and should hold it in 83 % (1.96 / sqrt 2 normal deviations). Bounds are three standard
    errors of 300 trials.
    """
    covered: dict[str, int] = {}
    trials, patients = 300, 80
    for trial in range(trials):
        random = np.random.default_rng(trial)
        labels = np.repeat(random.integers(0, 2, patients), 2)
        right = np.repeat(random.random(patients) < 0.8, 2)
        scores = np.where(right, labels, 1 - labels).astype(float)
        pairs = np.repeat(np.arange(patients), 2)
        for name, groups in (("grouped", pairs), ("naive", None)):
            for method in ("auto", "percentile"):
                options = {"resamples": 300 if method == "percentile" else 1, "interval": method}
                estimate = evaluate(labels, scores, groups=groups, **options).accuracy
                key = f"{name} {method}"
                covered[key] = covered.get(key, 0) + (estimate.low <= 0.8 <= estimate.high)

    for method in ("auto", "percentile"):
        assert covered[f"grouped {method}"] / trials == pytest.approx(0.95, abs=0.038)
        assert covered[f"naive {method}"] / trials == pytest.approx(0.834, abs=0.064)

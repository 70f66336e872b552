"""The bootstrap: it draws patients, as many as there are, and covers the truth."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rhoa.evaluation import evaluate
from rhoa.evaluation.intervals import percentile_interval, resampled_weights


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


def test_draws_are_those_of_drawing_with_replacement() -> None:
    """A group is drawn k times with the binomial chance of n tries at 1/n."""
    weights = np.concatenate(list(resampled_weights(np.arange(4), 40_000, seed=0)))

    shares = [(weights[:, 0] == k).mean() for k in range(3)]

    np.testing.assert_allclose(shares, [81 / 256, 108 / 256, 54 / 256], atol=0.01)


def test_the_interval_lies_between_the_2_5th_and_97_5th_percentiles() -> None:
    assert percentile_interval(np.arange(0, 1001.0)) == (25.0, 975.0)


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

    alone = evaluate(labels, scores, resamples=4000).accuracy
    grouped = evaluate(*twice, groups=np.tile(np.arange(300), 2), resamples=4000).accuracy
    naive = evaluate(*twice, resamples=4000).accuracy

    assert grouped.high - grouped.low == pytest.approx(alone.high - alone.low, rel=0.06)
    assert (grouped.high - grouped.low) / (naive.high - naive.low) == pytest.approx(
        np.sqrt(2), rel=0.06
    )


def test_intervals_cover_the_true_accuracy_of_correlated_pairs() -> None:
    """Both hips of a patient are graded right, or neither, with chance .8.

    About 95 % of intervals hold .8; taken as independent hips they are too narrow by the root of
    two and should hold it in 83 % (1.96 / sqrt 2 normal deviations). Bounds are three standard
    errors of 300 trials.
    """
    covered = {"grouped": 0, "naive": 0}
    trials, patients = 300, 80
    for trial in range(trials):
        random = np.random.default_rng(trial)
        labels = np.repeat(random.integers(0, 2, patients), 2)
        right = np.repeat(random.random(patients) < 0.8, 2)
        scores = np.where(right, labels, 1 - labels).astype(float)
        pairs = np.repeat(np.arange(patients), 2)
        for name, groups in (("grouped", pairs), ("naive", None)):
            estimate = evaluate(labels, scores, groups=groups, resamples=300).accuracy
            covered[name] += estimate.low <= 0.8 <= estimate.high

    assert covered["grouped"] / trials == pytest.approx(0.95, abs=0.038)
    assert covered["naive"] / trials == pytest.approx(0.834, abs=0.064)

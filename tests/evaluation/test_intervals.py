"""Draws of subjects, the jackknife over subjects, and how often intervals hold the truth."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom, t

from rhoa.evaluation import evaluate
from rhoa.evaluation.intervals import (
    freedom_of,
    jackknife,
    left_out_weights,
    on_scale,
    proportion_interval,
    resampled_weights,
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


@pytest.mark.parametrize(
    ("scale", "least", "most"),
    [("log odds", 0.0, 1.0), ("Fisher's z", -1.0, 1.0), ("log", 0.0, np.inf)],
)
@given(share=st.floats(0, 1), reach=st.floats(1e-9, 10))
def test_an_interval_holds_its_value_and_stays_on_its_scale_also_at_its_ends(
    scale: str, least: float, most: float, share: float, reach: float
) -> None:
    value = least + share * (min(most, 2.0) - least)

    low, high = on_scale(value, reach, scale)

    assert least <= low <= value + 1e-9
    assert value - 1e-9 <= high <= most


def test_each_subject_is_left_out_with_all_its_hips() -> None:
    (weights,) = left_out_weights(np.array([0, 0, 1, 2]))

    np.testing.assert_array_equal(weights, [[0, 0, 1, 1], [1, 1, 0, 1], [1, 1, 1, 0]])


def test_of_very_many_patients_each_is_left_out_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rhoa.evaluation.intervals._LEFT_OUT", 4)

    weights = np.concatenate(list(left_out_weights(np.arange(10))))

    assert weights.shape == (4, 10)
    assert ((weights == 0).sum(axis=0) == 1).all()


def test_draws_are_those_of_drawing_with_replacement() -> None:
    """A group is drawn k times with the binomial chance of n tries at 1/n."""
    weights = np.concatenate(list(resampled_weights(np.arange(4), 40_000, seed=0)))

    shares = [(weights[:, 0] == k).mean() for k in range(3)]

    np.testing.assert_allclose(shares, [81 / 256, 108 / 256, 54 / 256], atol=0.01)


@given(st.lists(st.floats(-5, 5), min_size=3, max_size=20), st.floats(0.01, 10))
def test_the_jackknife_of_a_mean_is_students_interval(values: list[float], spread: float) -> None:
    data = np.array([*values, min(values) - spread])
    size = data.size

    left_out = (data.sum() - data) / (size - 1)
    found = jackknife(data.mean(), left_out, "plain", freedom=size - 1)

    expected = t.interval(0.95, size - 1, data.mean(), data.std(ddof=1) / np.sqrt(size))
    assert found[1:] == pytest.approx(expected, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("draw", ["normal", "exponential", "uniform"])
def test_degrees_of_freedom_are_those_that_the_variance_varies_by(draw: str) -> None:
    """A chi-squared of f degrees over f has the variance 2 / f; so have 20 000 simulated ones."""
    random = np.random.default_rng(0)
    samples = getattr(random, draw)(size=(20_000, 50))
    variances = samples.var(axis=1, ddof=1)

    found = freedom_of(samples.ravel()) / 20_000  # of all of them: of each 50

    assert found == pytest.approx(min(50, 2 / (variances.var() / variances.mean() ** 2)), rel=0.05)
    # One of 31: the kurtosis of p = 1 / 31 is 1 / (p (1 - p)) - 3.
    assert freedom_of(np.array([0.0] * 30 + [1.0])) == pytest.approx(62 / (31**2 / 30 - 4))


def test_a_figure_that_rests_on_one_subject_has_no_interval() -> None:
    found = jackknife(0.5, np.array([np.nan, 0.4, 0.6]), "plain")

    assert np.isnan(found[1:]).all()
    assert "one subject" in found.note


def test_identical_pairs_widen_the_interval_by_the_root_of_two() -> None:
    """Twice the same 300 hips are 300 facts: grouped, the interval is that of the 300 alone."""
    random = np.random.default_rng(0)
    labels = random.integers(0, 2, 300)
    scores = np.clip(0.25 * labels + 0.75 * random.random(300), 0, 1)
    twice = np.tile(labels, 2), np.tile(scores, 2)

    alone = evaluate(labels, scores)
    grouped = evaluate(*twice, groups=np.tile(np.arange(300), 2))
    naive = evaluate(*twice)

    for name in ("accuracy", "roc_auc", "brier", "calibration_slope"):
        one, pairs, hips = (getattr(each, name) for each in (alone, grouped, naive))
        assert pairs.high - pairs.low == pytest.approx(one.high - one.low, rel=0.01)
        assert (pairs.high - pairs.low) / (hips.high - hips.low) == pytest.approx(
            np.sqrt(2), rel=0.02
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

    95 % of intervals hold .8; taken as independent hips they are too narrow by the root of two and
    hold it in 83 % (1.96 / sqrt 2 normal deviations). Exact, over all numbers of right patients;
    as shares are counts, coverage wavers with the number of patients, so it is a mean over these.
    """
    covered: dict[str, list[float]] = {"grouped": [], "naive": []}
    for patients in range(61, 120, 3):
        counts, pairs = np.arange(patients + 1), np.repeat(np.arange(patients), 2)
        for name, groups in (("grouped", pairs), ("naive", np.arange(2 * patients))):
            bounds = [proportion_interval(pairs < count, groups) for count in counts]
            held = [low <= 0.8 <= high for low, high in bounds]
            covered[name].append(binom.pmf(counts, patients, 0.8) @ held)

    assert np.mean(covered["grouped"]) == pytest.approx(0.95, abs=0.01)
    assert np.mean(covered["naive"]) == pytest.approx(0.834, abs=0.01)


@pytest.mark.slow
def test_the_bench_measures_every_figure_of_every_population() -> None:
    """25 cohorts of 12 and of 60 subjects of the five; bounds are five standard errors wide."""
    path = Path(__file__).parents[2] / "benches" / "intervals.py"
    spec = importlib.util.spec_from_file_location("bench_of_intervals", path)
    bench = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = bench
    spec.loader.exec_module(bench)

    found = bench.main(["--quick"])

    assert {name for name, _ in found} == set("ABCDE")
    assert {size for _, size in found} == {12, 60}
    for (population, size), cells in found.items():
        assert set(cells) == set(bench.FIGURES)
        for name, cell in cells.items():
            held, width, defined = cell["rhoa"]
            low = 60 if (population, size) == ("C", 12) else 73  # few errors, of few subjects
            assert held >= low, (population, size, name)
            assert width > 0
            assert defined > 0.5, (population, size, name)

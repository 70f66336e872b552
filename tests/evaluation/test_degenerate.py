"""Few, equal, perfect and one-sided hips: every figure is a number or undefined, never an error."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from numpy.typing import NDArray

from rhoa.evaluation import compare, decision_curve, evaluate, reliability
from rhoa.evaluation.comparison import COMPARED
from rhoa.evaluation.intervals import bca_interval, benefit_band, curve_band, percentile_interval
from rhoa.evaluation.metrics import INTERVAL_METHODS

HIP = st.tuples(  # label, scores of two models, patient
    st.integers(0, 1), st.sampled_from([0.0, 0.5, 1.0]), st.sampled_from([0.0, 0.5, 1.0]),
    st.integers(0, 2),
)  # fmt: skip
HIPS = st.lists(HIP, min_size=1, max_size=5)
PERFECT = [(0, 0.0, 0.0, 0), (1, 1.0, 1.0, 1), (1, 1.0, 1.0, 2)]
EQUAL = [(label, 0.5, 0.5, patient) for patient, label in enumerate((0, 1, 0, 1))]
ONE_CLASS = [(1, 0.5, 0.0, 0), (1, 1.0, 0.5, 1)]
ONE_PATIENT = [(0, 0.0, 0.5, 0), (1, 1.0, 0.5, 0)]
TWO_PATIENTS = [(0, 0.0, 1.0, 0), (1, 1.0, 0.0, 1)]
Columns = tuple[NDArray[np.int_], NDArray[np.float64], NDArray[np.float64], NDArray[np.int_]]


def columns(hips: list[tuple[int, float, float, int]]) -> Columns:
    labels, first, second, patients = (np.array(part) for part in zip(*hips, strict=True))
    return labels, first, second, np.unique(patients, return_inverse=True)[1]


def is_defined(estimate: tuple[float, float, float], *, most: float = 1) -> bool:
    """Whether it is a value of at most ``most``, or none, with bounds in order, or none."""
    value, low, high = estimate
    return (np.isnan(value) or abs(value) <= most) and (
        (np.isnan(low) and np.isnan(high)) or (low <= high and not np.isnan(value))
    )


@given(HIPS, st.integers(1, 4), st.sampled_from(INTERVAL_METHODS), st.booleans())
@example(PERFECT, 1, "auto", False)  # noqa: FBT003
@example(EQUAL, 3, "bca", True)  # noqa: FBT003
@example(ONE_CLASS, 3, "percentile", False)  # noqa: FBT003
@example(ONE_PATIENT, 3, "exact", False)  # noqa: FBT003
@example(TWO_PATIENTS, 1, "bca", False)  # noqa: FBT003
def test_every_figure_of_few_hips_is_defined_or_undefined(
    hips: list[tuple[int, float, float, int]],
    resamples: int,
    interval: str,
    stratified: bool,  # noqa: FBT001
) -> None:
    labels, scores, _, patients = columns(hips)

    result = evaluate(
        labels,
        scores,
        groups=patients,
        resamples=resamples,
        interval=interval,
        stratified=stratified,
    )

    for name in COMPARED:
        estimate = getattr(result, name)
        assert is_defined(estimate), name
        if patients.max() == 0:
            assert np.isnan(estimate.low), name


@given(HIPS, st.integers(1, 4))
@example(PERFECT, 1)
@example(EQUAL, 3)
@example(ONE_CLASS, 3)
@example(ONE_PATIENT, 3)
@example(TWO_PATIENTS, 1)
def test_every_difference_of_few_hips_is_defined_or_undefined(
    hips: list[tuple[int, float, float, int]], resamples: int
) -> None:
    labels, first, second, patients = columns(hips)

    result = compare(labels, first, second, groups=patients, resamples=resamples)

    # Matthews' correlation goes from -1 to 1.
    assert all(is_defined(estimate, most=2) for estimate in result.differences.values())
    assert is_defined(result.roc_auc.difference)
    assert np.isnan(result.roc_auc.p) or 0 <= result.roc_auc.p <= 1
    assert 0 <= result.answers.p <= 1


@given(HIPS)
@example(PERFECT)
@example(EQUAL)
@example(ONE_CLASS)
@example(ONE_PATIENT)
@example(TWO_PATIENTS)
def test_curves_bands_and_bins_of_few_hips_are_defined(
    hips: list[tuple[int, float, float, int]],
) -> None:
    labels, scores, _, patients = columns(hips)
    thresholds = np.array([0.0, 0.5, 0.99])

    curves = [curve_band(labels, scores, patients, kind) for kind in ("roc", "pr")]
    benefit = benefit_band(labels, scores, patients, thresholds)

    for band in (*curves, benefit):
        assert band is None or (band.low <= band.high).all()
    assert (benefit is None) == (patients.max() == 0)
    for by in ("equal width", "equal count"):
        found = reliability(labels, scores, groups=patients, bins=3, by=by)
        assert all(0 <= one.low <= one.share <= one.high <= 1 for one in found)
    assert all(np.isfinite(one.model) for one in decision_curve(labels, scores))


@pytest.mark.parametrize("resamples", [1, 2, 50])
def test_intervals_that_need_no_resample_do_not_depend_on_which_are_drawn(resamples: int) -> None:
    """Of two patients, of whom a resample has but one in half of all draws."""
    labels, scores = [0, 1], [0.2, 0.8]

    for seed in range(4):
        result = evaluate(labels, scores, resamples=resamples, seed=seed)
        for name in ("accuracy", "recall", "specificity", "balanced_accuracy"):
            assert 0 < getattr(result, name).low < getattr(result, name).high == 1


class TestIntervals:
    @pytest.mark.parametrize("values", [[], [np.nan] * 3, [0.1], [0.1, np.nan], [1e9] * 4])
    def test_none_or_equal_values_have_none(self, values: list[float]) -> None:
        drawn = np.array(values, float)

        for interval in (percentile_interval(drawn), bca_interval(0.1, drawn, drawn)):
            assert np.isnan(interval).all()

    @pytest.mark.parametrize("size", [1.0, 1e6, 1e12])
    def test_values_that_differ_by_rounding_are_equal(self, size: float) -> None:
        values = size * np.array([1.0, np.nextafter(1, 0), np.nextafter(1, 2)])

        assert np.isnan(percentile_interval(values)).all()

    @given(st.lists(st.sampled_from([0.0, 1e-16, -2e-16]), min_size=2, max_size=6))
    def test_a_jackknife_that_differs_by_rounding_does_not_move_the_bounds(
        self, noise: list[float]
    ) -> None:
        values = np.linspace(0, 1, 101)

        exact = bca_interval(0.5, values, np.full(len(noise), 0.3))
        noisy = bca_interval(0.5, values, 0.3 + np.array(noise))

        assert noisy == pytest.approx(exact, abs=1e-12)


@pytest.mark.parametrize("seed", range(8))
def test_rankings_alike_but_for_the_order_of_a_patients_hips_do_not_differ(seed: int) -> None:
    """Hips of one patient and class exchange their scores: sums of each patient stay."""
    random = np.random.default_rng(seed)
    labels, patients = np.repeat([0, 1], 15), np.repeat(np.arange(10), 3)
    first = random.permutation(30) / 30
    second = np.concatenate([random.permutation(first[patients == n]) for n in range(10)])

    result = compare(labels, first, second, groups=patients, resamples=1).roc_auc

    assert result.p == 1
    assert result.difference == pytest.approx((0, 0, 0), abs=1e-12)

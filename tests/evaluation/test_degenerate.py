"""Few, equal, perfect and one-sided hips: every figure is a number or undefined, never an error."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from numpy.typing import NDArray

from rhoa.evaluation import compare, decision_curve, evaluate, reliability
from rhoa.evaluation.comparison import COMPARED
from rhoa.evaluation.intervals import FEWEST_SUBJECTS, benefit_band, curve_band
from rhoa.evaluation.metrics import INTERVAL_METHODS

HIP = st.tuples(  # label, scores of two models, patient
    st.integers(0, 1), st.sampled_from([0.0, 0.5, 1.0]), st.sampled_from([0.0, 0.5, 1.0]),
    st.integers(0, 6),
)  # fmt: skip
HIPS = st.lists(HIP, min_size=1, max_size=12)
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


FIGURES = (*COMPARED, "calibration_slope", "calibration_intercept", "oe_ratio", "calibration_error")
SEVEN = [(label, float(label), float(label), patient) for patient, label in enumerate([0, 1] * 4)]


@given(HIPS, st.sampled_from(INTERVAL_METHODS))
@example(PERFECT, "auto")
@example(EQUAL, "exact")
@example(ONE_CLASS, "auto")
@example(ONE_PATIENT, "exact")
@example(TWO_PATIENTS, "auto")
@example(SEVEN, "auto")
def test_every_figure_of_few_hips_is_defined_or_undefined(
    hips: list[tuple[int, float, float, int]], interval: str
) -> None:
    """No interval is a point, and each that lacks a side, or both, says why."""
    labels, scores, _, patients = columns(hips)

    result = evaluate(labels, scores, groups=patients, resamples=1, interval=interval)

    for name in (*FIGURES, "ece"):
        estimate = getattr(result, name)
        most = np.inf if name in FIGURES[-4:] else 1
        assert is_defined(estimate, most=most), name
        assert np.isnan(estimate.low) or estimate.low < estimate.high, name
        assert not np.isnan(estimate.low) or estimate.note, name
        if patients.max() + 1 < FEWEST_SUBJECTS or np.isnan(estimate.low):
            assert np.isnan(estimate.low), name
        elif estimate.value in {estimate.low, estimate.high}:
            assert "one-sided" in estimate.note, name


@given(HIPS)
@example(PERFECT)
@example(EQUAL)
@example(ONE_CLASS)
@example(ONE_PATIENT)
@example(TWO_PATIENTS)
@example(SEVEN)
def test_every_difference_of_few_hips_is_defined_or_undefined(
    hips: list[tuple[int, float, float, int]],
) -> None:
    labels, first, second, patients = columns(hips)

    result = compare(labels, first, second, groups=patients)

    # Matthews' correlation goes from -1 to 1.
    for name in COMPARED:
        estimate, p = result.differences[name], result.p_values[name]
        assert is_defined(estimate, most=2), name
        assert np.isnan(p) or 0 <= p <= 1
        if np.isnan(estimate.low):
            assert estimate.note, name
            assert np.isnan(p) or p == 1
        else:
            # Interval and p are one answer.
            assert (p < 0.05) == (not estimate.low <= 0 <= estimate.high), name
    assert result.roc_auc.difference == result.differences["roc_auc"]
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


@pytest.mark.parametrize("seed", range(8))
def test_rankings_alike_but_for_the_order_of_a_patients_hips_do_not_differ(seed: int) -> None:
    """Hips of one patient and class exchange their scores: sums of each patient stay."""
    random = np.random.default_rng(seed)
    labels, patients = np.repeat([0, 1], 15), np.repeat(np.arange(10), 3)
    first = random.permutation(30) / 30
    second = np.concatenate([random.permutation(first[patients == n]) for n in range(10)])

    result = compare(labels, first, second, groups=patients).roc_auc

    assert result.p == 1
    assert result.difference.value == 0
    assert np.isnan(result.difference.low)
    assert "no subject distinguishes the models" in result.difference.note

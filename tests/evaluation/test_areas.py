"""ROC AUC: DeLong's and Obuchowski's covariance against their definitions and a published value."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from rhoa.evaluation.intervals import area_estimate, roc_areas

Hips = tuple[NDArray[np.bool_], NDArray[np.float64], NDArray[np.intp]]


@st.composite
def hips(draw: st.DrawFn) -> Hips:
    """Labels of both classes, tied scores of two models, up to six patients."""
    labels = np.array([*draw(st.lists(st.booleans(), min_size=3, max_size=25)), True, False])
    score = st.lists(st.integers(0, 6), min_size=labels.size, max_size=labels.size)
    scores = np.array([draw(score), draw(score)]) / 6
    group = st.lists(st.integers(0, 5), min_size=labels.size, max_size=labels.size)
    return labels, scores, np.unique(draw(group), return_inverse=True)[1]


def _kernel(positive: float, negative: float) -> float:
    return 1.0 if positive > negative else 0.5 if positive == negative else 0.0


def _components(
    labels: NDArray[np.bool_], score: NDArray[np.float64]
) -> tuple[list[float], list[float]]:
    """V10 and V01 of DeLong 1988, equations 4 and 5, pair by pair."""
    positive, negative = score[labels].tolist(), score[~labels].tolist()
    v10 = [sum(_kernel(x, y) for y in negative) / len(negative) for x in positive]
    v01 = [sum(_kernel(x, y) for x in positive) / len(positive) for y in negative]
    return v10, v01


@given(hips())
def test_values_are_scikit_learns(data: Hips) -> None:
    labels, scores, groups = data

    areas = roc_areas(labels, scores, groups)

    for score, value in zip(scores, areas.values, strict=True):
        assert value == pytest.approx(roc_auc_score(labels, score), abs=1e-12)


@given(hips())
def test_one_hip_a_patient_has_delongs_covariance(data: Hips) -> None:
    labels, scores, _ = data
    if min(labels.sum(), (~labels).sum()) < 2:
        return
    parts = [_components(labels, score) for score in scores]
    expected = sum(
        np.cov([part[side] for part in parts]) / len(parts[0][side]) for side in range(2)
    )

    areas = roc_areas(labels, scores, np.arange(labels.size))

    np.testing.assert_allclose(areas.covariance, expected, atol=1e-12)


@given(hips())
def test_patients_with_several_hips_have_obuchowskis_covariance(data: Hips) -> None:
    """The estimator of Obuchowski 1997, patient by patient, for two models."""
    labels, scores, groups = data
    patients = range(groups.max() + 1)
    count = [len(set(groups[members])) for members in (labels, ~labels)]
    if min(count) < 2:
        return
    m, n = int(labels.sum()), int((~labels).sum())
    parts = [_components(labels, score) for score in scores]
    areas = [float(np.mean(v10)) for v10, _ in parts]

    def excess(model: int, side: int, patient: int) -> float:
        members = groups[labels] if side == 0 else groups[~labels]
        own = [v for v, of in zip(parts[model][side], members, strict=True) if of == patient]
        return sum(own) - len(own) * areas[model]

    def product(one: int, side_1: int, two: int, side_2: int) -> float:
        return sum(excess(one, side_1, p) * excess(two, side_2, p) for p in patients)

    several = len(patients)
    expected = [
        [
            count[0] / (count[0] - 1) * product(r, 0, s, 0) / m**2
            + count[1] / (count[1] - 1) * product(r, 1, s, 1) / n**2
            + several / (several - 1) * (product(r, 0, s, 1) + product(r, 1, s, 0)) / (m * n)
            for s in range(2)
        ]
        for r in range(2)
    ]

    found = roc_areas(labels, scores, groups).covariance

    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_the_published_ratings_have_the_published_error() -> None:
    """Hanley and McNeil 1982, Radiology 143:29-36: 58 normal and 51 abnormal CTs, rated 1 to 5.

    Area .8932 with DeLong's standard error .0307: Stata's manual, [R] roctab.
    """
    normal, abnormal = [33, 6, 6, 11, 2], [3, 2, 2, 11, 33]
    ratings = np.repeat(np.tile(np.arange(5.0), 2), normal + abnormal)
    labels = np.arange(109) >= 58

    found = roc_areas(labels, ratings[None], np.arange(109))
    area, variance = found.values.item(), found.covariance.item()

    assert area == pytest.approx(0.8932, abs=5e-5)
    assert np.sqrt(variance) == pytest.approx(0.0307, abs=5e-5)


# DeLong et al. 1988: albumin, total protein, K-G score, whether surgery helped; 43 patients.
OVARIAN = """
3.0 5.8 10 0  3.2 6.3 5 1  3.9 6.8 3 1  2.8 4.8 6 0  3.2 5.8 3 1  0.9 4.0 5 0  2.5 5.7 8 0
1.6 5.6 5 1  3.8 5.7 5 1  3.7 6.7 6 1  3.2 5.4 4 1  3.8 6.6 6 1  4.1 6.6 5 1  3.6 5.7 5 1
4.3 7.0 4 1  3.6 6.7 4 0  2.3 4.4 6 1  4.2 7.6 4 0  4.0 6.6 6 0  3.5 5.8 6 1  3.8 6.8 7 1
3.0 4.7 8 0  4.5 7.4 5 1  3.7 7.4 5 1  3.1 6.6 6 1  4.1 8.2 6 1  4.3 7.0 5 1  4.3 6.5 4 1
3.2 5.1 5 1  2.6 4.7 6 1  3.3 6.8 6 0  1.7 4.0 7 0  3.7 6.1 5 1  3.3 6.3 7 1  4.2 7.7 6 1
3.5 6.2 5 1  2.9 5.7 9 0  2.1 4.8 7 1  2.8 6.2 8 0  4.0 7.0 7 1  3.3 5.7 6 1  3.7 6.9 5 1
3.6 6.6 5 1
"""


def test_areas_of_one_study_and_their_differences_have_the_published_errors() -> None:
    """As the manual of SAS prints them for this example (PROC LOGISTIC, ROCCONTRAST)."""
    albumin, protein, score, helped = np.array(OVARIAN.split(), float).reshape(-1, 4).T
    tests = np.stack([10 - score, albumin, protein])

    found = roc_areas(helped == 1, tests, np.arange(43))

    assert found.values == pytest.approx([0.7258, 0.7366, 0.6478], abs=5e-5)
    errors = np.sqrt(np.diag(found.covariance))
    assert errors == pytest.approx([0.1028, 0.0927, 0.1000], abs=5e-5)
    for contrast, error in (([-1.0, 1.0, 0.0], 0.0953), ([-1.0, 0.0, 1.0], 0.1046)):
        assert found.error(np.array(contrast))[0] == pytest.approx(error, abs=5e-5)


@given(hips(), st.integers(2, 3))
def test_the_same_hips_again_in_each_patient_tell_nothing_new(data: Hips, times: int) -> None:
    labels, scores, groups = data

    once = roc_areas(labels, scores, groups).covariance
    again = roc_areas(
        np.tile(labels, times), np.tile(scores, times), np.tile(groups, times)
    ).covariance

    np.testing.assert_allclose(again, once, atol=1e-12)


class TestInterval:
    def test_it_lies_within_zero_and_one_and_turns_with_the_classes(self) -> None:
        random = np.random.default_rng(0)
        labels = np.arange(40) < 12
        scores = labels + random.random(40) * 1.2

        _, low, high = area_estimate(labels, scores, np.arange(40) // 2)
        turned = area_estimate(~labels, scores, np.arange(40) // 2)[1:]

        assert 0 < low < roc_auc_score(labels, scores) < high < 1
        assert turned == pytest.approx((1 - high, 1 - low))

    @pytest.mark.parametrize("sign", [1, -1])
    def test_classes_that_are_apart_have_newcombes_bound(self, sign: int) -> None:
        """The bound solves 1 - A = z SE(A), with Newcombe's standard error for 15 and 9."""
        labels = np.arange(24) < 15

        bounds = area_estimate(labels, np.where(labels, sign, 0.0), np.arange(24))[1:]
        area = bounds[0] if sign == 1 else 1 - bounds[1]

        spread = 1 + (12 - 1) * ((1 - area) / (2 - area) + area / (1 + area))
        error = np.sqrt(area * (1 - area) * spread / (15 * 9))
        assert (bounds[1] if sign == 1 else 1 - bounds[0]) == 1
        assert 1 - area == pytest.approx(1.959964 * error, rel=1e-6)

    def test_a_class_of_one_patient_or_none_has_no_interval(self) -> None:
        scores, groups = np.array([0.1, 0.2, 0.9, 0.3]), np.array([0, 1, 2, 2])

        for labels in ([False] * 4, [True] * 4, [False, False, True, True]):
            found = area_estimate(np.array(labels), scores, groups)
            assert np.isnan(found[1:]).all()
            assert "class" in found.note

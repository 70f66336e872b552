"""Figures of grades and of uncertainty: closed forms, scikit-learn, and plain loops."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from numpy.typing import NDArray

from rhoa.errors import ParameterError
from rhoa.evaluation import evaluate_grades, risk_coverage

SEEDS = st.integers(0, 2**32 - 1)


def sure(answers: NDArray[np.intp]) -> NDArray[np.float64]:
    return np.asarray(np.eye(5)[answers])


def answered(seed: int, hips: int = 60) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Grades of readers, and probabilities that favour grades near them."""
    random = np.random.default_rng(seed)
    grades = random.integers(0, 5, hips)
    logits = -((np.arange(5) - grades[:, None] - random.normal(0, 1, (hips, 1))) ** 2)
    shares = np.exp(logits)
    return grades, shares / shares.sum(axis=1, keepdims=True)


def plain_aurc(wrong: NDArray[np.float64], uncertainty: NDArray[np.float64]) -> float:
    """Mean of the share of wrong answers among the 1, 2, ... surest, one hip after the other."""
    order = sorted(range(len(wrong)), key=lambda at: uncertainty[at])
    risks = [sum(wrong[order[:count]]) / count for count in range(1, len(wrong) + 1)]
    return sum(risks) / len(risks)


@given(seed=SEEDS)
def test_figures_are_those_of_scikit_learn_and_of_counting(seed: int) -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    grades, shares = answered(seed)
    answers = shares.argmax(axis=1)

    found = evaluate_grades(grades, shares)

    labels = range(5)
    np.testing.assert_array_equal(
        found.confusion, metrics.confusion_matrix(grades, answers, labels=labels)
    )
    assert found.kappa.value == pytest.approx(
        metrics.cohen_kappa_score(grades, answers, weights="quadratic", labels=labels)
    )
    assert found.exact.value == pytest.approx(np.mean(grades == answers))
    assert found.within_one.value == pytest.approx(np.mean(abs(grades - answers) <= 1))
    assert found.mean_absolute_error.value == pytest.approx(np.mean(abs(grades - answers)))
    for least, area in ((2, found.auc_2), (3, found.auc_3), (4, found.auc_4)):
        expected = metrics.roc_auc_score(grades >= least, shares[:, least:].sum(axis=1))
        assert area.value == pytest.approx(expected)
    for one in (found.exact, found.within_one, found.kappa, found.auc_2, found.by_entropy.aurc):
        assert one.low <= one.value <= one.high
    error = found.mean_absolute_error
    assert 0 <= error.low <= error.value <= error.high <= 4


@given(seed=SEEDS, hips=st.integers(1, 40))
def test_aurc_is_the_mean_of_risks_counted_one_by_one(seed: int, hips: int) -> None:
    random = np.random.default_rng(seed)
    wrong, uncertainty = random.integers(0, 2, hips).astype(float), random.random(hips)

    found = risk_coverage(wrong, uncertainty)

    assert found.aurc.value == pytest.approx(plain_aurc(wrong, uncertainty))
    assert found.best == pytest.approx(plain_aurc(wrong, wrong))
    assert found.curve[-1] == pytest.approx(wrong.mean())


@given(seed=SEEDS)
@example(seed=2200)  # an area of 0 that is not 0 without some subjects
def test_ties_are_the_mean_over_random_orders(seed: int) -> None:
    """All orders of hips that are equally unsure, by drawing them."""
    random = np.random.default_rng(seed)
    wrong, uncertainty = random.integers(0, 2, 8).astype(float), random.integers(0, 3, 8) / 2
    drawn = [plain_aurc(wrong, uncertainty + 1e-6 * random.random(8)) for _ in range(400)]

    value = risk_coverage(wrong, uncertainty).aurc.value

    assert value == pytest.approx(np.mean(drawn), abs=6 * np.std(drawn) / 20 + 1e-9)


def test_an_uncertainty_that_knows_nothing_has_the_risk_of_all() -> None:
    found = risk_coverage([1, 0, 0, 0, 1], [0.5] * 5)

    assert found.aurc.value == pytest.approx(0.4)
    assert found.error_auc.value == pytest.approx(0.5)
    assert found.curve == pytest.approx([0.4] * 10)


def test_an_uncertainty_that_knows_all_is_the_best() -> None:
    """Two of four wrong, last: (0 + 0 + 1/3 + 2/4) / 4."""
    found = risk_coverage([0, 1, 0, 1], [0.1, 3.0, 0.2, 4.0])

    assert found.aurc.value == pytest.approx(found.best) == pytest.approx((1 / 3 + 1 / 2) / 4)
    assert found.error_auc.value == 1


def test_intervals_are_over_subjects() -> None:
    """Each hip twice under one subject says no more than once; under its own name it would."""
    grades, shares = answered(3, 80)
    subjects = np.arange(80)

    once = evaluate_grades(grades, shares, groups=subjects)
    twice = evaluate_grades(
        np.tile(grades, 2), np.tile(shares, (2, 1)), groups=np.tile(subjects, 2)
    )
    apart = evaluate_grades(np.tile(grades, 2), np.tile(shares, (2, 1)))

    for name in ("exact", "within_one", "kappa", "mean_absolute_error", "auc_3"):
        first, second, third = (getattr(one, name) for one in (once, twice, apart))
        width = first.high - first.low
        assert second.high - second.low == pytest.approx(width, rel=0.1), name
        assert third.high - third.low < 0.8 * width, name
    widths = [one.by_entropy.aurc.high - one.by_entropy.aurc.low for one in (once, twice, apart)]
    assert widths[1] == pytest.approx(widths[0], rel=0.1)
    assert widths[2] < 0.8 * widths[0]


def test_the_interval_of_aurc_covers_the_truth() -> None:
    """Hips are wrong with probability u, their uncertainty: AURC tends to E u / 2 = 1/4."""
    covered = 0
    for seed in range(100):
        random = np.random.default_rng(seed)
        uncertainty = random.random(150)
        found = risk_coverage(random.random(150) < uncertainty, uncertainty).aurc
        covered += found.low <= 0.25 <= found.high
    assert covered >= 86  # 95 of 100, less four standard deviations


def test_what_is_undefined_is_nan() -> None:
    found = evaluate_grades([0, 0, 1], sure(np.array([0, 0, 1])))

    assert math.isnan(found.auc_2.value)
    assert math.isnan(found.by_entropy.error_auc.value)
    assert found.as_dict()["auc_2"] == {"value": None, "low": None, "high": None}
    assert found.kappa.value == 1


def test_no_interval_is_of_four_subjects_and_each_absent_one_says_why() -> None:
    """As of every other figure; nor of an AURC that is the same whichever subject is left out."""
    wrong, unsure = [0, 1, 0, 1, 0, 0, 1, 0], [0.1, 0.7, 0.2, 0.3, 0.6, 0.4, 0.9, 0.8]

    four = risk_coverage(wrong, unsure, groups=[0, 0, 1, 1, 2, 2, 3, 3])
    eight = risk_coverage(wrong, unsure)
    none_wrong = risk_coverage([0] * 8, unsure)

    for one in (four.aurc, four.error_auc):
        assert math.isnan(one.low)
        assert "4 subjects; at least 5" in one.note
    assert 0 <= eight.aurc.low < eight.aurc.value < eight.aurc.high <= 1
    assert {type(part) for part in eight.aurc} == {float}
    assert eight.aurc.method.startswith("jackknife of subjects")
    assert "whichever subject" in none_wrong.aurc.note
    assert "one class" in none_wrong.error_auc.note


@pytest.mark.parametrize(
    ("grades", "shares", "what"),
    [
        ([0, 5], np.full((2, 5), 0.2), "grades must be KL 0 to 4"),
        ([], np.empty((0, 5)), "at least one hip"),
        ([0, 1.5], np.full((2, 5), 0.2), "grades must be KL 0 to 4"),
        ([0, 1], np.full((2, 4), 0.25), "five shares"),
        ([0, 1], np.full((2, 5), 0.3), "sum to one"),
        ([0, 1], np.full((2, 5), np.nan), "five shares"),
    ],
)
def test_what_is_no_grade_is_refused(grades: list[float], shares: object, what: str) -> None:
    with pytest.raises(ParameterError, match=what):
        evaluate_grades(grades, shares)  # type: ignore[arg-type]


def test_uncertainties_that_are_none_are_refused() -> None:
    with pytest.raises(ParameterError, match="same hips"):
        risk_coverage([0, 1], [0.5])
    with pytest.raises(ParameterError, match="finite"):
        risk_coverage([0, 1], [0.5, float("nan")])

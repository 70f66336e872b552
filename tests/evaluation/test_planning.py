"""Planned sizes: published examples, and intervals as wide as `evaluate` makes them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import norm

from rhoa import RhoaError
from rhoa.evaluation import development_size, evaluate, sample_size, subjects_needed
from rhoa.evaluation.planning import slope_variance
from tests.commands import run
from tests.evaluation.cohorts import Population


def test_development_needs_what_the_published_example_does() -> None:
    """The manual of pmsampsize: 24 parameters, prevalence .174, R squared .288."""
    assert development_size(24, prevalence=0.174, r2=0.288) == (623, 662, 221, 662)


def test_subjects_with_more_hips_need_more_of_them() -> None:
    alone = development_size(10, prevalence=0.35, r2=0.2)
    pairs = development_size(10, prevalence=0.35, r2=0.2, hips=2, icc=0.5)

    assert pairs.hips == pytest.approx(1.5 * alone.hips, abs=1)


def test_a_calibration_slope_needs_what_the_published_example_does() -> None:
    """The manual of pmvalsampsize: log odds normal, -5 and 2.5; 4544 for a width of .2."""
    odds = np.linspace(-30, 20, 20_001)
    shares = norm.pdf(odds, -5, 2.5) * (odds[1] - odds[0])

    hips = slope_variance(odds, shares) / (0.2 / (2 * 1.96)) ** 2

    assert hips == pytest.approx(4544, rel=0.005)


@pytest.mark.parametrize("subjects", [30, pytest.param(100, marks=pytest.mark.slow)])
def test_widths_are_those_of_simulated_cohorts(subjects: int) -> None:
    """Two hips a subject that share half of the variance; the mean over 150 cohorts."""
    population = Population()
    right = population.truth["recall"]
    names = ("sensitivity", "specificity", "roc_auc")
    widths = []
    for seed in range(150):
        labels, scores, groups = population.cohort(subjects, np.random.default_rng(seed))
        result = evaluate(labels, scores, groups=groups, resamples=1)
        widths.append([getattr(result, name).high - getattr(result, name).low for name in names])

    # Half of the variance of labels is a third of their correlation: asin(1/2) / asin(1).
    (expected,) = sample_size(subjects, icc=1 / 3, sensitivity=right, specificity=right)

    found = np.mean(widths, axis=0)
    np.testing.assert_allclose([getattr(expected, name) for name in names], found, rtol=0.12)


def test_the_subjects_needed_are_the_fewest() -> None:
    for name, count in subjects_needed(0.2, hips=3, icc=0.3).items():
        fewer, enough = sample_size([count - 1, count], hips=3, icc=0.3)
        assert getattr(enough, name) <= 0.2 < getattr(fewer, name)


@pytest.mark.parametrize(
    "options",
    [{"icc": 1.2}, {"prevalence": 0}, {"roc_auc": 0.5}, {"hips": 0.5}, {"sensitivity": 1.0}],
)
def test_impossible_numbers_are_named(options: dict[str, float]) -> None:
    with pytest.raises(RhoaError, match=next(iter(options))):
        sample_size(20, **options)
    with pytest.raises(RhoaError, match="r2 must lie between 0 and"):
        development_size(5, prevalence=0.1, r2=0.7)


def test_the_verb_prints_what_the_library_says(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("matplotlib")
    picture = tmp_path / "widths.svg"

    code, out, _ = run(capsys, "plan-size", "--subjects", "20,60", "--hips", 4, "--json")
    drawn, text, _ = run(
        capsys, "plan-size", "--width", 0.1, "--parameters", 24, "--r2", 0.288, "--prevalence",
        0.174, "--hips", 1, "-o", picture,
    )  # fmt: skip

    assert (code, drawn) == (0, 0)
    assert json.loads(out) == [row._asdict() for row in sample_size([20, 60], hips=4)]
    assert "needs 662 hips" in text
    assert picture.read_text(encoding="utf-8").startswith("<?xml")

"""How often 95 % intervals hold the truth, by simulation; writes the table of docs/intervals.md.

    python benches/intervals.py                    # 1000 cohorts of each population and size
    python benches/intervals.py --quick            # 60 cohorts of two sizes, as the test runs it
    python benches/intervals.py --write            # the table into docs/intervals.md
    python benches/intervals.py --compare          # p below .05 of models that are equally good
    python benches/intervals.py --speed            # times alone

Subjects have one to ten hips whose labels and scores share part of their variance. Each figure has
candidates: ways to make its interval, of which rhoa takes the first. A cell is the per cent of
cohorts whose interval holds the truth, and the mean width; cohorts in which the figure or interval
is undefined are left out.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import time
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import expit, logit, ndtr, ndtri
from scipy.stats import norm

from rhoa.cli.common import bar
from rhoa.evaluation import compare, evaluate
from rhoa.evaluation.intervals import (
    jackknife,
    left_out_weights,
    on_scale,
    resampled_weights,
    roc_areas,
    student,
)
from rhoa.evaluation.metrics import (
    NAMES,
    WeightedFigures,
    bin_edges,
    bin_of,
    log_odds,
    regress,
    values_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    Bounds = tuple[float, float]

ROOT = Path(__file__).resolve().parent.parent
SIZES = (12, 20, 60, 300)
FIGURES = (
    *("accuracy", "balanced_accuracy", "precision", "recall", "specificity", "f1", "mcc"),
    *("roc_auc", "pr_auc", "brier", "paper_pr_auc"),
    *("calibration_slope", "calibration_intercept", "oe_ratio", "calibration_error"),
)
SHARES = FIGURES[:6]


@dataclass(frozen=True)
class Population:
    """Binormal log odds; labels and scores of a subject's hips share ``icc`` of their variance.

    With ``extreme`` 1 and ``shift`` 0 scores are calibrated: they are the chance of rHOA.
    """

    name: str
    prevalence: float
    roc_auc: float
    hips: tuple[int, int]
    icc: float
    extreme: float = 1.0
    shift: float = 0.0

    def cohort(
        self, subjects: int, random: np.random.Generator
    ) -> tuple[NDArray[np.bool_], NDArray[np.float64], NDArray[np.intp]]:
        """Labels, scores and subjects of the hips of a cohort."""
        sizes = random.integers(self.hips[0], self.hips[1] + 1, subjects)
        groups = np.repeat(np.arange(subjects), sizes)
        tendency, noise = (
            np.sqrt(self.icc) * random.standard_normal(subjects)[groups]
            + np.sqrt(1 - self.icc) * random.standard_normal(groups.size)
            for _ in range(2)
        )
        labels = tendency < ndtri(self.prevalence)
        distance = np.sqrt(2) * ndtri(self.roc_auc)
        odds = logit(self.prevalence) + distance * (distance * (labels - 0.5) + noise)
        return labels, expit(self.extreme * odds + self.shift), groups

    @cached_property
    def truth(self) -> dict[str, float]:
        """The figures of a cohort so large that they hardly vary."""
        alone = Population(self.name, self.prevalence, self.roc_auc, (1, 1), 0.0, self.extreme)
        alone = Population(**{**alone.__dict__, "shift": self.shift})
        labels, scores, groups = alone.cohort(1_000_000, np.random.default_rng(1))
        found = values_of(labels, scores, 0.5)
        odds, ones = log_odds(scores)[:, None], np.ones((labels.size, 1))
        one, nobody = np.ones(labels.size), np.zeros(labels.size, int)
        line = regress(np.hstack([ones, odds]), labels, nobody, one)
        shift = regress(ones, labels, nobody, one, odds[:, 0])
        place = bin_of(scores, bin_edges(10))
        hips = np.bincount(place, minlength=10)
        gaps = np.bincount(place, scores - labels, 10) / np.maximum(hips, 1)
        if (self.extreme, self.shift) == (1, 0):
            gaps = np.zeros(10)
        del groups
        return found | {
            "calibration_slope": float(line.coefficients[1]),
            "calibration_intercept": float(shift.coefficients[0]),
            "calibration_error": float(np.sqrt(hips @ gaps**2 / hips.sum())),
        }


POPULATIONS = (
    Population("A", 0.35, 0.85, (2, 2), 0.5),
    Population("B", 0.62, 0.75, (1, 1), 0.2, extreme=1.5),
    Population("C", 0.35, 0.97, (1, 10), 0.8, extreme=0.7, shift=0.4),
    Population("D", 0.62, 0.92, (2, 2), 0.2, extreme=1.3, shift=-0.5),
    Population("E", 0.35, 0.75, (4, 4), 0.8),
)


class Cohort:
    """A simulated cohort, and candidates for the interval of each figure."""

    def __init__(
        self, population: Population, subjects: int, seed: int, *, resamples: int = 0
    ) -> None:
        given = population.cohort(subjects, np.random.default_rng(seed))
        order = np.argsort(-given[1], kind="stable")
        self.labels, self.scores, self.groups = (part[order] for part in given)
        self.figures = WeightedFigures(self.labels, self.scores, 0.5)
        self.resamples, self.seed = resamples, seed
        self.result, self.exact = (
            evaluate(self.labels, self.scores, groups=self.groups, resamples=1, interval=interval)
            for interval in ("auto", "exact")
        )

    @cached_property
    def values(self) -> NDArray[np.float64]:
        """Of all figures of `NAMES`."""
        return self.figures(np.ones((1, self.labels.size)))[0]

    @cached_property
    def left_out(self) -> NDArray[np.float64]:
        """The same with each subject left out."""
        return np.concatenate([self.figures(rows) for rows in left_out_weights(self.groups)])

    @cached_property
    def drawn(self) -> NDArray[np.float64]:
        """The same of bootstrap resamples of subjects."""
        blocks = resampled_weights(self.groups, self.resamples, seed=self.seed)
        with np.errstate(all="ignore"):
            return np.concatenate([self.figures(rows) for rows in blocks])

    def candidates(self, name: str) -> Iterator[tuple[str, Bounds]]:
        """Names and bounds; what rhoa takes comes first."""
        own = self.result if name in FIGURES and not name.startswith("paper_") else None
        if own is not None:
            yield "rhoa", getattr(own, name)[1:]
        if name in SHARES:
            yield "Clopper-Pearson", getattr(self.exact, name)[1:]
        if name in NAMES:
            at = NAMES.index(name)
            value, left = float(self.values[at]), self.left_out[:, at]
            scales = {"mcc": ("Fisher's z", "plain"), "brier": ("log", "log odds", "plain")}
            scales |= {"oe_ratio": ("log", "plain")}
            for scale in scales.get(name, ("log odds", "plain")):
                ends = {0.0, 1.0, -1.0} if scale != "plain" else set()
                if np.isfinite(value) and value not in ends:
                    found = jackknife(value, left, scale)
                    yield f"jackknife {scale}", found[1:]
                    found = jackknife(value, left, scale, freedom=left.size - 1)
                    yield f"jackknife {scale}, n - 1", found[1:]
            if self.resamples:
                yield "BCa", bca(value, self.drawn[:, at], left)
        if name == "roc_auc" and self.labels.any() and not self.labels.all():
            areas = roc_areas(self.labels, self.scores[None], self.groups)
            error, _ = areas.error(np.ones(1))
            sizes = [parts.shape[1] for parts in (areas.of_positives, areas.of_negatives)]
            area, few = float(areas.values[0]), min(sizes)
            if 0 < area < 1 and few > 1 and error > 0:
                for said, freedom in (("smaller class", few - 1.0), ("normal", 1e9)):
                    reach = student(freedom) * error
                    yield f"Obuchowski, {said}", on_scale(area, reach, "log odds")


def bca(value: float, drawn: NDArray[np.float64], left_out: NDArray[np.float64]) -> Bounds:
    """Efron's bias-corrected and accelerated interval (1987, J Am Stat Assoc 82:171-185)."""
    drawn, left_out = drawn[np.isfinite(drawn)], left_out[np.isfinite(left_out)]
    if not np.isfinite(value) or drawn.size < 2 or np.ptp(drawn) == 0 or np.ptp(left_out) < 1e-12:
        return np.nan, np.nan
    below = np.clip((np.mean(drawn < value) + np.mean(drawn <= value)) / 2, 1e-3, 1 - 1e-3)
    bias, pull = ndtri(below), left_out.mean() - left_out
    acceleration = (pull**3).sum() / (6 * (pull @ pull) ** 1.5)
    reach = bias + ndtri([0.025, 0.975])
    low, high = np.quantile(drawn, ndtr(bias + reach / (1 - acceleration * reach)))
    return float(low), float(high)


Cell = dict[str, tuple[float, float, float]]
"""Of each candidate: share of intervals that hold the truth, mean width, share defined."""


def coverage(
    population: Population, subjects: int, cohorts: int, resamples: int
) -> dict[str, Cell]:
    """Of each figure and candidate, how often its intervals hold the truth, and their width."""
    held: dict[str, dict[str, list[tuple[bool, float]]]] = {name: {} for name in FIGURES}
    progress = bar()
    for number in range(cohorts):
        seed = 1000 * subjects + number
        cohort = Cohort(population, subjects, seed, resamples=resamples)
        for name in FIGURES:
            for said, (low, high) in cohort.candidates(name):
                if np.isfinite(low):
                    inside = low <= population.truth[name] <= high
                    held[name].setdefault(said, []).append((inside, high - low))
        if progress is not None:
            progress(number + 1, cohorts, f"population {population.name}, {subjects} subjects")
    return {
        name: {
            said: (*np.mean(found, axis=0).tolist(), len(found) / cohorts)
            for said, found in ways.items()
        }
        for name, ways in held.items()
    }

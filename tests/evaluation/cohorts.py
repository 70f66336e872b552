"""Simulated cohorts of two hips a subject, with known true figures."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm


@dataclass(frozen=True)
class Population:
    """Binormal scores whose noise, like the tendency to rHOA, hips of a subject share in part.

    A hip is called rHOA where its score is at least one half, where sensitivity and specificity are
    the same.
    """

    prevalence: float = 0.35
    roc_auc: float = 0.85
    shared: float = 0.5  # of the variance

    @cached_property
    def distance(self) -> float:
        """Of the classes' mean scores, in standard deviations."""
        return float(np.sqrt(2) * norm.ppf(self.roc_auc))

    @property
    def truth(self) -> dict[str, float]:
        """The figures of an endless cohort."""
        right, share = float(norm.cdf(self.distance / 2)), self.prevalence
        tp, fp = share * right, (1 - share) * (1 - right)
        fn, tn = share - tp, 1 - share - fp
        noise = np.linspace(
            -9, 9, 20_001
        )  # of a rHOA hip; the others' scores are lower by distance
        density, other = norm.pdf(noise), norm.sf(noise + self.distance)
        precision = share * norm.sf(noise) / (share * norm.sf(noise) + (1 - share) * other)
        missed = norm.sf(noise + self.distance / 2) ** 2  # squared error of a hip of either class
        edges = norm.ppf(np.linspace(0, 1, 11))  # of the bins of the calibration error
        gaps = share * self._excess(edges, rhoa=True)
        gaps += (1 - share) * self._excess(edges, rhoa=False)
        return {
            "roc_auc": self.roc_auc,
            "balanced_accuracy": right,
            "accuracy": right,
            "recall": right,
            "specificity": right,
            "pr_auc": float(np.trapezoid(precision * density, noise)),
            "brier": float(np.trapezoid(missed * density, noise)),
            "ece": float(np.abs(gaps).sum()),
            "precision": tp / (tp + fp),
            "f1": 2 * tp / (2 * tp + fp + fn),
            "mcc": (tp * tn - fp * fn)
            / float(np.sqrt((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn))),
        }

    def _excess(self, edges: NDArray[np.float64], *, rhoa: bool) -> NDArray[np.float64]:
        """Mean of score minus label over each bin, of the hips of a class."""
        mean = self.distance / 2 if rhoa else -self.distance / 2
        ends = np.clip(edges, mean - 9, mean + 9)
        inside = []
        for low, high in pairwise(ends):
            places = np.linspace(low, high, 2001)
            error = norm.cdf(places) - rhoa
            inside.append(np.trapezoid(error * norm.pdf(places - mean), places))
        return np.array(inside)

    def cohort(
        self, subjects: int, random: np.random.Generator
    ) -> tuple[NDArray[np.int_], NDArray[np.float64], NDArray[np.int_]]:
        """Labels, scores and groups of both hips of each of ``subjects``."""
        tendency, noise = (self._two_a_subject(subjects, random) for _ in range(2))
        labels = tendency < norm.ppf(self.prevalence)
        scores = norm.cdf(self.distance * (labels - 0.5) + noise)
        return labels.astype(int), scores, np.repeat(np.arange(subjects), 2)

    def _two_a_subject(self, subjects: int, random: np.random.Generator) -> NDArray[np.float64]:
        own = random.standard_normal((subjects, 2))
        common = random.standard_normal((subjects, 1))
        mixed = np.sqrt(self.shared) * common + np.sqrt(1 - self.shared) * own
        return np.asarray(mixed.ravel())

"""How often 95 % intervals hold the truth, by simulation; writes the table of docs/evaluation.md.

    python benches/intervals.py                    # 1000 cohorts of each population and size
    python benches/intervals.py --quick            # 25 cohorts of two sizes, as the test runs it
    python benches/intervals.py --compare          # p below .05 of models that are equally good
    python benches/intervals.py --write            # the table into docs/evaluation.md
    python benches/intervals.py --speed            # times alone

Subjects have one to ten hips whose labels and scores share part of their variance. Each figure has
candidates: ways to make its interval, of which rhoa takes the first. A cell is the per cent of
cohorts whose interval holds the truth, and the median width; cohorts in which the figure or its
interval is undefined are left out.
"""

from __future__ import annotations

import argparse
import os
import platform
import time
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import expit, logit, ndtr, ndtri

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
GOAL = (93.0, 98.0)
_TRUTH_HIPS = 300_000
_BOOTSTRAPPED = 5  # one in so many cohorts: a bootstrap takes longer than all else
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
        alone = replace(self, hips=(1, 1), icc=0.0)
        labels, scores, _ = alone.cohort(_TRUTH_HIPS, np.random.default_rng(1))
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
        given = {"groups": self.groups, "resamples": 1}
        self.paper = evaluate(self.labels, self.scores, definitions="paper", **given)
        self.result = self.paper.standard
        self.exact = evaluate(self.labels, self.scores, interval="exact", **given)

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
        own = self.paper if name.startswith("paper_") else self.result
        yield "rhoa", getattr(own, name.removeprefix("paper_"))[1:]
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
"""Of each candidate: per cent of intervals that hold the truth, median width, share defined."""


def coverage(
    population: Population, subjects: int, cohorts: int, resamples: int
) -> dict[str, Cell]:
    """Of each figure and candidate, how often its intervals hold the truth, and their width."""
    held: dict[str, dict[str, list[tuple[bool, float]]]] = {name: {} for name in FIGURES}
    progress = bar()
    for number in range(cohorts):
        seed = 1000 * subjects + number
        drawn = resamples if number % _BOOTSTRAPPED == 0 else 0
        cohort = Cohort(population, subjects, seed, resamples=drawn)
        for name in FIGURES:
            for said, (low, high) in cohort.candidates(name):
                if np.isfinite(low):
                    inside = low <= population.truth[name] <= high
                    held[name].setdefault(said, []).append((inside, high - low))
        if progress is not None:
            progress(number + 1, cohorts, f"population {population.name}, {subjects} subjects")
    return {
        name: {
            said: (100 * np.mean(found, 0)[0], np.median(found, 0)[1], len(found) / cohorts)
            for said, found in ways.items()
        }
        for name, ways in held.items()
    }


METHODS = {
    **dict.fromkeys(SHARES, "Wilson, effective number of hips"),
    "balanced_accuracy": "both Wilson intervals (Zou and Donner)",
    "f1": "Wilson of tp / (tp + fp + fn)",
    "mcc": "jackknife t, Fisher's z",
    "roc_auc": "Obuchowski, Satterthwaite's t, log odds",
    "pr_auc": "jackknife t, log odds",
    "paper_pr_auc": "jackknife t",
    "brier": "jackknife t, log",
    "calibration_slope": "sandwich (CR3) t",
    "calibration_intercept": "sandwich (CR3) t",
    "oe_ratio": "jackknife t, log",
    "calibration_error": "jackknife t of its square",
}
Found = dict[tuple[str, int], dict[str, Cell]]


def table(found: Found, sizes: tuple[int, ...]) -> str:
    """Lowest to highest coverage of the populations by what rhoa takes, and the mean width."""
    lines = [
        "| figure | method | " + " | ".join(f"{size} subjects" for size in sizes) + " |",
        "|---|---|" + "---:|" * len(sizes),
    ]
    for name in FIGURES:
        row = []
        for size in sizes:
            of = [cells[name]["rhoa"] for (_, own), cells in found.items() if own == size]
            held, width = [one[0] for one in of], np.mean([one[1] for one in of])
            row.append(f"{min(held):.1f} to {max(held):.1f} ({width:.3f})")
        lines.append(f"| `{name}` | {METHODS[name]} | {' | '.join(row)} |")
    missed = [
        f"`{name}` {cells[name]['rhoa'][0]:.1f} ({population}, {size})"
        for name in FIGURES
        for (population, size), cells in found.items()
        if cells[name]["rhoa"][0] < GOAL[0]
    ]
    lines += ["", f"Below {GOAL[0]:.0f} %: {', '.join(missed) or 'none'}.", ""]
    lines += [
        "| figure | other ways, not taken: lowest to highest coverage (median width) |",
        "|---|---|",
    ]
    for name in FIGURES:
        ways: dict[str, list[tuple[float, float, float]]] = {}
        for cells in found.values():
            for said, cell in cells[name].items():
                ways.setdefault(said, []).append(cell)
        width = np.mean([cell[1] for cell in ways.pop("rhoa")])
        others = [
            f"{said} {min(c[0] for c in of):.1f} to {max(c[0] for c in of):.1f} "
            f"({np.mean([c[1] for c in of]):.3f})"
            for said, of in ways.items()
        ]
        if others:
            lines.append(f"| `{name}` ({width:.3f}) | {'; '.join(others)} |")
    return "\n".join(lines)


def equally_good(cohorts: int, sizes: tuple[int, ...]) -> str:
    """Per cent of comparisons with p below .05 of two models that differ by noise alone."""
    lines = [
        "| figure | " + " | ".join(f"{size} subjects" for size in sizes) + " |",
        "|---|" + "---:|" * len(sizes),
    ]
    names = ("roc_auc", "balanced_accuracy", "brier", "pr_auc")
    below: dict[tuple[str, int], list[float]] = {}
    for population in POPULATIONS:
        for size in sizes:
            p_values: dict[str, list[float]] = {name: [] for name in (*names, "normal")}
            for number in range(cohorts):
                random = np.random.default_rng(number)
                labels, scores, groups = population.cohort(size, random)
                if labels.all() or not labels.any():
                    continue
                noise = random.standard_normal((2, size))[:, groups]
                noise = (noise + random.standard_normal((2, groups.size))) / np.sqrt(2)
                first, second = expit(logit(scores) + noise)
                result = compare(labels, first, second, groups=groups)
                for name in names:
                    p_values[name].append(result.p_values[name])
                p_values["normal"].append(result.roc_auc.p_normal)
            for name, found in p_values.items():
                known = np.array(found)[np.isfinite(found)]
                below.setdefault((name, size), []).append(100 * float(np.mean(known < 0.05)))
    for name in (*names, "normal"):
        row = [f"{min(below[name, size]):.1f} to {max(below[name, size]):.1f}" for size in sizes]
        said = "`roc_auc`, normal distribution (DeLong)" if name == "normal" else f"`{name}`"
        lines.append(f"| {said} | {' | '.join(row)} |")
    return "\n".join(lines)


def speed() -> None:
    """Print how long an evaluation takes."""
    print(f"{platform.machine()}, {os.cpu_count()} threads")
    for subjects in (12, 300, 1000):
        population = Population("speed", 0.35, 0.85, (2, 2), 0.5)
        labels, scores, groups = population.cohort(subjects, np.random.default_rng(0))
        start = time.perf_counter(), time.process_time()
        evaluate(labels, scores, groups=groups)
        wall, cpu = time.perf_counter() - start[0], time.process_time() - start[1]
        print(f"evaluate, {labels.size} hips: {wall:.2f} s wall, {cpu:.2f} s CPU")


def write(page: Path, mark: str, text: str) -> None:
    """Put ``text`` between the marks of a page."""
    begin, end = f"<!-- {mark} -->", f"<!-- end of {mark} -->"
    head, _, rest = page.read_text(encoding="utf-8").partition(begin)
    tail = rest.partition(end)[2]
    page.write_text(f"{head}{begin}\n\n{text}\n\n{end}{tail}", encoding="utf-8")


def main(arguments: list[str] | None = None) -> Found:
    """Simulate, print, and write where asked to."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cohorts", type=int, default=1000)
    parser.add_argument("--resamples", type=int, default=500, help="of the bootstrap beside")
    parser.add_argument("--quick", action="store_true", help="25 cohorts of 12 and 60 subjects")
    parser.add_argument("--write", action="store_true", help="into docs/evaluation.md")
    parser.add_argument("--compare", action="store_true", help="models that are equally good")
    parser.add_argument("--speed", action="store_true", help="times alone")
    options = parser.parse_args(arguments)
    page = ROOT / "docs" / "evaluation.md"
    found: Found = {}
    if options.speed:
        speed()
        return found
    if options.compare:
        text = equally_good(options.cohorts, SIZES[1:])
        mark = "p values of equally good models"
    else:
        sizes, cohorts = ((12, 60), 25) if options.quick else (SIZES, options.cohorts)
        resamples = 0 if options.quick else options.resamples
        with np.errstate(all="ignore"):
            for population in POPULATIONS:
                for size in sizes:
                    found[population.name, size] = coverage(population, size, cohorts, resamples)
        text, mark = table(found, sizes), "coverage"
    print(text)
    if options.write:
        write(page, mark, text)
    return found


if __name__ == "__main__":
    main()

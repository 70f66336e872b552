"""How often 95 % intervals hold the truth, by simulation, and how long 10 000 resamples take.

    python benches/intervals.py                       # 1000 cohorts of 60 and of 300 subjects
    python benches/intervals.py --cohorts 200 --roc-auc 0.95 --shared 0.8
    python benches/intervals.py --closed              # figures and ways without a bootstrap alone
    python benches/intervals.py --speed               # times alone

Subjects have two hips whose labels and scores share part of their variance; the truth is known in
closed form. Each row is a figure, each column a way to make intervals: per cent of cohorts whose
interval holds the truth, and the mean width. "unclustered" takes hips as independent.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from sklearn.metrics import roc_auc_score

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from rhoa.cli.common import bar  # noqa: E402
from rhoa.evaluation import evaluate  # noqa: E402
from tests.evaluation.cohorts import Population  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Mapping

CLOSED = (
    *("roc_auc", "balanced_accuracy", "accuracy", "recall", "specificity"),
    *("precision", "f1"),
)
FIGURES = (*CLOSED, "mcc", "pr_auc", "brier", "ece")
WAYS: Mapping[str, Mapping[str, object]] = {
    "auto": {},
    "unclustered": {"groups": None},
    "exact": {"interval": "exact"},
    "bca": {"interval": "bca"},
    "bca strat.": {"interval": "bca", "stratified": True},
    "percentile": {"interval": "percentile"},
    "perc. strat.": {"interval": "percentile", "stratified": True},
}
CLOSED_WAYS = ("auto", "unclustered", "exact")


def coverage(population: Population, subjects: int, options: argparse.Namespace) -> None:
    """Print how often the intervals of each way hold the truth."""
    truth, progress, cohorts = population.truth, bar(), options.cohorts
    figures = CLOSED if options.closed else FIGURES
    ways = [way for way in options.ways if not options.closed or way in CLOSED_WAYS]
    resamples = 1 if options.closed else options.resamples
    held = np.zeros((len(figures), len(ways)))
    width = np.zeros_like(held)
    defined = np.zeros_like(held)
    for number in range(cohorts):
        labels, scores, groups = population.cohort(subjects, np.random.default_rng(number))
        for column, way in enumerate(ways):
            chosen = {"groups": groups, "resamples": resamples, "seed": number}
            result = evaluate(labels, scores, **(chosen | dict(WAYS[way])))
            for row, name in enumerate(figures):
                _, low, high = getattr(result, name)
                if np.isfinite(low):
                    defined[row, column] += 1
                    held[row, column] += low <= truth[name] <= high
                    width[row, column] += high - low
        if progress is not None:
            progress(number + 1, cohorts, f"{subjects} subjects")
    print(f"\n{subjects} subjects, {2 * subjects} hips, {cohorts} cohorts")
    print(f"{'':18}" + "".join(f"{name:>14}" for name in ways))
    for name, *row in zip(figures, held, width, defined, strict=True):
        cells = zip(*row, strict=True)
        shown = [f"{100 * h / d:.1f} ({w / d:.3f})" if d else "-" for h, w, d in cells]
        print(f"{name:18}" + "".join(f"{cell:>14}" for cell in shown))
    error = 100 * np.sqrt(0.95 * 0.05 / cohorts)
    print(f"standard error of a 95 % entry: {error:.1f}")


def speed(hips: int = 849, resamples: int = 10_000) -> None:
    """Print the time of resampling, beside the same with scikit-learn for one figure."""
    labels, scores, _ = Population().cohort((hips + 1) // 2, np.random.default_rng(0))
    labels, scores, groups = labels[:hips], scores[:hips], np.arange(hips) // 2
    print(
        f"\n{resamples} resamples of {hips} hips ({platform.machine()}, {os.cpu_count()} threads)"
    )
    print(f"{'':44}{'wall s':>8}{'CPU s':>8}")
    evaluate(labels, scores, resamples=10)
    for name, options in {
        "every hip a patient": {},
        "two hips a patient": {"groups": groups},
    }.items():
        took = []
        for _ in range(3):
            start = time.perf_counter(), time.process_time()
            evaluate(labels, scores, resamples=resamples, **options)
            took.append((time.perf_counter() - start[0], time.process_time() - start[1]))
        print(f"{f'all 15 figures, {name}':44}{min(took)[0]:8.2f}{min(took)[1]:8.2f}")
    random, few = np.random.default_rng(0), resamples // 20
    start = time.perf_counter(), time.process_time()
    for _ in range(few):
        drawn = random.integers(hips, size=hips)
        roc_auc_score(labels[drawn], scores[drawn])
    wall, cpu = time.perf_counter() - start[0], time.process_time() - start[1]
    print(f"{'ROC AUC, a loop over scikit-learn (of 1/20)':44}{20 * wall:8.2f}{20 * cpu:8.2f}")


def main() -> None:
    """Simulate, time, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cohorts", type=int, default=1000)
    parser.add_argument("--subjects", type=int, nargs="+", default=[60, 300])
    parser.add_argument("--resamples", type=int, default=1000)
    parser.add_argument("--prevalence", type=float, default=0.35)
    parser.add_argument("--roc-auc", type=float, default=0.85)
    parser.add_argument("--shared", type=float, default=0.5, help="variance that hips share")
    parser.add_argument("--ways", nargs="+", choices=list(WAYS), default=list(WAYS))
    parser.add_argument(
        "--closed", action="store_true", help="what needs no bootstrap, in a tenth of the time"
    )
    parser.add_argument("--speed", action="store_true", help="times alone")
    options = parser.parse_args()
    if not options.speed:
        population = Population(options.prevalence, options.roc_auc, options.shared)
        print(population)
        for subjects in options.subjects:
            coverage(population, subjects, options)
    if not options.closed:
        speed()


if __name__ == "__main__":
    main()

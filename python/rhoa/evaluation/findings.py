"""What a study shows beyond its tables: comparisons, calibration, operating points, failures.

Temperature and threshold are chosen on validation hips; everything is measured on test hips.
"""

from __future__ import annotations

import math
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from rhoa.errors import RhoaWarning
from rhoa.evaluation.calibration import fit_temperature
from rhoa.evaluation.comparison import compare
from rhoa.evaluation.decisions import choose_threshold
from rhoa.evaluation.metrics import evaluate
from rhoa.evaluation.results import finite

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rhoa.cohort import Hip
    from rhoa.evaluation.results import Estimate
    from rhoa.evaluation.study import Run

COMPARED = ("balanced_accuracy", "pr_auc", "brier")


def reference(runs: Sequence[Run], source: str) -> Run | None:
    """The model whose test results on ``source`` are looked at closely.

    That of the largest ROC AUC on the validation set, so that the test set has no say; the first
    one where no validation set has both classes.
    """
    tested = [run for run in runs if (source, "test") in run.sets]
    if not tested:
        return None

    def area(run: Run) -> float:
        scores = run.sets.get((source, "val"))
        value = math.nan if scores is None else scores.evaluation.roc_auc.value
        return value if math.isfinite(value) else -1.0

    return max(tested, key=area)


def findings(runs: Sequence[Run], source: str) -> dict[str, Any]:
    """Everything of one source, in plain types for ``metrics.json``; None where undefined."""
    chosen = reference(runs, source)
    return {
        "reference": None if chosen is None else chosen.name,
        "comparisons": [] if chosen is None else _comparisons(runs, chosen, source),
        "calibration": [_calibration(run, source) for run in runs if _tuned(run, source)],
        "failures": [] if chosen is None else [_failure(*one) for one in failures(chosen, source)],
    }


def failures(run: Run, source: str) -> list[tuple[Hip, float]]:
    """Test hips that the model calls wrong at 0.5, with their scores; the most confident first."""
    scores = run.sets[source, "test"]
    wrong = np.flatnonzero((scores.score >= 0.5) != (scores.truth == 1))
    order = wrong[np.argsort(-np.abs(scores.score[wrong] - 0.5), kind="stable")]
    return [(scores.hips[at], float(scores.score[at])) for at in order]


def _failure(hip: Hip, score: float) -> dict[str, Any]:
    return {"label": hip.label, "kl": hip.kl, "side": hip.side, "probability": score}


def _comparisons(runs: Sequence[Run], chosen: Run, source: str) -> list[dict[str, Any]]:
    """The reference against each other model, on the test hips."""
    mine = chosen.sets[source, "test"]
    if not mine.has_both_classes:
        return []
    rows = []
    for run in runs:
        theirs = run.sets.get((source, "test"))
        if run is chosen or theirs is None:
            continue
        result = compare(mine.truth, theirs.score, mine.score, groups=mine.groups, resamples=1000)
        rows.append(
            {
                "model": run.name,
                "roc_auc": _plain(result.roc_auc.difference),
                "roc_auc_p": finite(result.roc_auc.p),
                **{name: _plain(result.differences[name]) for name in COMPARED},
                "only_reference_right": result.answers.only_second,
                "only_model_right": result.answers.only_first,
                "answers_p": finite(result.answers.p),
            }
        )
    return rows


def _tuned(run: Run, source: str) -> bool:
    """Whether there are hips to choose on, and hips to measure on."""
    val, test = (run.sets.get((source, part)) for part in ("val", "test"))
    return val is not None and val.has_both_classes and test is not None


def _calibration(run: Run, source: str) -> dict[str, Any]:
    """Temperature and threshold from the validation set, and what they do on the test set."""
    val, test = run.sets[source, "val"], run.sets[source, "test"]
    part = np.full(val.truth.size, "val")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RhoaWarning)  # an extreme temperature is printed as it is
        temperature = fit_temperature(val.truth, val.score, partition=part)
    point = choose_threshold(val.truth, val.score, partition=part)
    scaled = evaluate(test.truth, temperature.apply(test.score), groups=test.groups)
    moved = evaluate(test.truth, test.score, groups=test.groups, threshold=point.threshold)
    return {
        "model": run.name,
        "temperature": temperature.value,
        "brier": _plain(test.evaluation.brier),
        "brier_scaled": _plain(scaled.brier),
        "ece": _plain(test.evaluation.ece),
        "ece_scaled": _plain(scaled.ece),
        "threshold": point.threshold,
        "recall": _plain(moved.recall),
        "specificity": _plain(moved.specificity),
    }


def _plain(estimate: Estimate) -> Mapping[str, float | None]:
    return {name: finite(value) for name, value in estimate._asdict().items()}

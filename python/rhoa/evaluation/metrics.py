"""Figures of merit of a two-class model, each with a 95 % interval.

The positive class is rHOA (label 1); a hip whose score reaches the threshold is called rHOA.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from rhoa.errors import require_choice, require_count
from rhoa.evaluation.areas import area_interval
from rhoa.evaluation.checks import (
    require_groups,
    require_labels,
    require_scores,
    require_threshold,
)
from rhoa.evaluation.intervals import (
    bca_interval,
    left_out_weights,
    percentile_interval,
    resampled_weights,
    strata_of,
)
from rhoa.evaluation.proportions import mean_interval, proportion_interval
from rhoa.evaluation.results import (
    DEFINITIONS,
    INTERVAL_METHODS,
    SMALL_CLASS,
    Baseline,
    Confusion,
    Estimate,
    Evaluation,
)
from rhoa.evaluation.weighted import NAMES, WeightedFigures

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from rhoa.evaluation.proportions import ProportionMethod
    from rhoa.evaluation.results import Definitions, IntervalMethod

__all__ = ["Baseline", "Confusion", "Estimate", "Evaluation", "evaluate"]

_FIGURES = tuple(name for name in NAMES if not name.startswith("paper_"))
_PAPER = ("precision", "recall", "f1", "pr_auc")


def evaluate(
    y_true: ArrayLike,
    y_score: ArrayLike,
    *,
    groups: ArrayLike | None = None,
    threshold: float = 0.5,
    resamples: int = 2000,
    seed: int = 0,
    interval: IntervalMethod = "auto",
    stratified: bool = False,
    definitions: Definitions = "standard",
) -> Evaluation:
    """How well scores tell rHOA from no rHOA, each figure with a 95 % interval.

    Parameters
    ----------
    y_true
        Label of each hip, 0 or 1 (rHOA).
    y_score
        Probability of rHOA of each hip, in [0, 1].
    groups
        Patient of each hip. A resample draws patients, so hips of one patient stay together;
        without groups each hip counts as a patient, and intervals are too narrow where patients
        have several hips.
    threshold
        A hip is called rHOA where its score is at least this; choose it on validation hips
        (`rhoa.evaluation.choose_threshold`).
    resamples
        Number of bootstrap resamples.
    seed
        Of the resampling.
    interval
        ``"auto"``: of the ROC AUC by DeLong, with groups by Obuchowski, on the scale of its log
        odds; of shares and F1 by Wilson, with groups for the effective number of hips; of balanced
        accuracy from the two Wilson intervals and their covariance; of other figures by the BCa
        bootstrap. ``"exact"``: the same with Clopper-Pearson for Wilson. ``"bca"`` and
        ``"percentile"``: all by that bootstrap.
    stratified
        Whether a resample keeps the numbers of patients with rHOA hips, without, and with both:
        right where patients were chosen by their label. Where the cohort decides how many there
        are, this makes intervals of precision, F1 and MCC too narrow.
    definitions
        ``"standard"``, or ``"paper"``: precision, recall, F1 and PR AUC as the tables of Gebre et
        al. 2022 have them, with the standard ones in ``.standard``. Their precision is the macro
        recall, their recall the macro precision, F1 the harmonic mean of both, and the area under
        the PR curve lacks its first segment. All four by bootstrap.

    Returns
    -------
    Evaluation
        A figure whose definition divides by zero is NaN (``precision`` where no hip is called
        rHOA). With one class only, both AUC, balanced accuracy, MCC and what divides by the absent
        class are NaN. Resamples without one of the classes are excluded and counted. Intervals are
        NaN where there is only one group, and where no resample differs from another: a bootstrap
        learns nothing from hips that are all right.

    Raises
    ------
    ParameterError
        If nothing is given, lengths differ, a label is not 0 or 1, or a score is NaN or outside
        [0, 1].

    References
    ----------
    Field and Welsh 2007, Bootstrapping clustered data, J R Stat Soc B 69:369-390, and what
    ``areas``, ``proportions`` and ``intervals`` of this package name.

    Examples
    --------
    >>> from rhoa.evaluation import evaluate
    >>> result = evaluate([0, 0, 1, 1], [0.1, 0.6, 0.4, 0.9])
    >>> result.roc_auc.value, result.confusion
    (0.75, Confusion(tn=1, fp=1, fn=1, tp=1))
    >>> result.baseline.accuracy, result.warnings
    (0.5, ('2 rHOA and 2 other hips: with fewer than 30 of a class, read intervals, not values.',))
    """
    labels = require_labels(y_true)
    scores = require_scores(y_score, labels.size)
    members = require_groups(groups, labels.size)
    cutoff = require_threshold(threshold)
    require_count("resamples", resamples)
    require_choice("interval", interval, INTERVAL_METHODS)
    require_choice("definitions", definitions, DEFINITIONS)
    order = np.argsort(-scores, kind="stable")
    hips = _Hips(labels[order], scores[order], members[order], cutoff)
    strata = strata_of(hips.labels, hips.groups) if stratified else None
    bootstrap = _bootstrap(hips, strata, resamples, seed)
    values = dict(zip(NAMES, bootstrap.values.tolist(), strict=True))
    intervals = _intervals(hips, bootstrap, interval)

    def by(chosen: Definitions, standard: Evaluation | None) -> Evaluation:
        own = {name: f"paper_{name}" for name in _PAPER} if chosen == "paper" else {}
        sources = {name: own.get(name, name) for name in _FIGURES}
        return Evaluation(
            **{name: Estimate(values[key], *intervals[key]) for name, key in sources.items()},
            confusion=hips.confusion,
            baseline=Baseline.of(float(labels.mean())),
            hips=labels.size,
            groups=int(members.max()) + 1,
            threshold=cutoff,
            interval=interval,
            resamples=resamples,
            excluded=bootstrap.excluded,
            warnings=_warnings(hips, values["accuracy"]),
            definitions=chosen,
            standard=standard,
        )

    standard = by("standard", None)
    return standard if definitions == "standard" else by("paper", standard)


class _Hips:
    """Checked hips in descending order of score."""

    def __init__(
        self,
        labels: NDArray[np.bool_],
        scores: NDArray[np.float64],
        groups: NDArray[np.intp],
        threshold: float,
    ) -> None:
        self.labels, self.scores, self.groups = labels, scores, groups
        self.called = scores >= threshold
        self.figures = WeightedFigures(labels, scores, threshold)

    @property
    def confusion(self) -> Confusion:
        cells = self.figures.confusion(np.ones((1, self.labels.size)))
        return Confusion(*cells.astype(int)[:, 0].tolist())


class _Bootstrap(NamedTuple):
    """Figures of the data, of each resample that has every class, of each jackknife part."""

    values: NDArray[np.float64]
    samples: NDArray[np.float64]
    left_out: NDArray[np.float64]
    excluded: int


def _bootstrap(
    hips: _Hips, strata: NDArray[np.intp] | None, resamples: int, seed: int
) -> _Bootstrap:
    (values,) = hips.figures(np.ones((1, hips.labels.size)))
    nothing = np.empty((0, len(NAMES)))
    if hips.groups.max() == 0:  # one patient says nothing about how patients differ
        return _Bootstrap(values, nothing, nothing, 0)
    kept = []
    for weights in resampled_weights(hips.groups, resamples, seed=seed, strata=strata):
        complete = hips.figures.has_every_class(weights)
        kept.append(hips.figures(weights if complete.all() else weights[complete]))
    samples = np.concatenate(kept)
    left_out = [hips.figures(weights) for weights in left_out_weights(hips.groups, strata)]
    return _Bootstrap(
        values, samples, np.concatenate([nothing, *left_out]), resamples - len(samples)
    )


def _intervals(
    hips: _Hips, bootstrap: _Bootstrap, method: IntervalMethod
) -> dict[str, tuple[float, float]]:
    """Interval of each figure; NaN where its value is."""
    columns = zip(NAMES, bootstrap.values, bootstrap.samples.T, bootstrap.left_out.T, strict=True)
    intervals = {
        name: percentile_interval(samples)
        if method == "percentile"
        else bca_interval(value, samples, left_out)
        for name, value, samples, left_out in columns
    }
    if method in {"auto", "exact"} and hips.groups.max() > 0:
        intervals |= _closed_forms(hips, "wilson" if method == "auto" else "clopper-pearson")
    defined = np.isfinite(bootstrap.values)
    return {
        name: intervals[name] if known else (np.nan, np.nan)
        for name, known in zip(NAMES, defined, strict=True)
    }


def _closed_forms(hips: _Hips, method: ProportionMethod) -> dict[str, tuple[float, float]]:
    """Intervals that need no resampling."""
    labels, called, groups = hips.labels, hips.called, hips.groups

    def share(right: NDArray[np.bool_], among: NDArray[np.bool_]) -> tuple[float, float]:
        return proportion_interval(right[among], groups[among], method)

    # F1 rises with tp / (tp + fp + fn), which is a share: of the hips that are or are called rHOA.
    low, high = share(labels & called, labels | called)
    return {
        "accuracy": share(labels == called, np.ones_like(labels)),
        "precision": share(labels, called),
        "recall": share(called, labels),
        "specificity": share(~called, ~labels),
        "f1": (2 * low / (1 + low), 2 * high / (1 + high)),
        "balanced_accuracy": mean_interval(labels == called, labels, groups, method),
        "roc_auc": area_interval(labels, hips.scores, groups),
    }


def _warnings(hips: _Hips, accuracy: float) -> tuple[str, ...]:
    positives = int(hips.labels.sum())
    negatives = hips.labels.size - positives
    larger = max(positives, negatives) / hips.labels.size
    said = []
    if min(positives, negatives) < SMALL_CLASS:
        said.append(
            f"{positives} rHOA and {negatives} other hips: with fewer than {SMALL_CLASS} of a "
            "class, read intervals, not values."
        )
    if accuracy < larger:
        said.append(
            f"accuracy {accuracy:.3f} is below {larger:.3f}, the accuracy of calling every hip "
            f"{'rHOA' if positives >= negatives else 'no rHOA'}."
        )
    return tuple(said)

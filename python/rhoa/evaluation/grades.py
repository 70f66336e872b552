"""Agreement of grades with readers, and whether uncertainty is higher where grades are wrong."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from rhoa.errors import ManifestError, ParameterError
from rhoa.evaluation.intervals import Estimate, jackknife, left_out_weights, too_few
from rhoa.evaluation.metrics import evaluate, finite, ratio, require_groups
from rhoa.evaluation.reader_agreement import kappa, mean, proportion
from rhoa.tables import read_rows

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import ArrayLike, NDArray


# Uncertainty as a predictor of error: what is wrong among the hips that are answered.

COVERAGES = tuple(share / 10 for share in range(1, 11))


@dataclass(frozen=True, slots=True, kw_only=True)
class RiskCoverage:
    """What share of the answers is wrong where only the surest hips are answered.

    ``aurc`` is the mean of that share over all numbers of answered hips, to be read beside
    ``best``, that of an uncertainty that puts all wrong answers last, and the share of all that are
    wrong, that of one that knows nothing. ``error_auc`` is how often a wrong answer is less sure
    than a right one. ``curve`` holds the share that is wrong at each of `COVERAGES`.
    """

    aurc: Estimate
    best: float
    error_auc: Estimate
    curve: tuple[float, ...]


def risk_coverage(
    wrong: ArrayLike, uncertainty: ArrayLike, *, groups: ArrayLike | None = None
) -> RiskCoverage:
    """The risk-coverage curve of an uncertainty, and the area under it.

    Hips of equal uncertainty count as in random order.

    Parameters
    ----------
    wrong
        Whether the answer of each hip is wrong, ``(n,)``.
    uncertainty
        Of each hip, such as `rhoa.learning.Draws.entropy_nats` or ``disagreement_nats``, of an
        ensemble, of several views or of `rhoa.learning.monte_carlo_dropout`.
    groups
        Subject of each hip, over whom intervals are; each hip is its own unless given.

    Raises
    ------
    ParameterError
        If there are no hips, the lengths differ, or an uncertainty is not finite.

    References
    ----------
    Geifman, Uziel and El-Yaniv 2019, Bias-reduced uncertainty estimation for deep neural
    classifiers (AURC).

    Examples
    --------
    >>> risk_coverage([0, 0, 1], [0.1, 0.2, 0.9]).aurc.value.__round__(3)  # (0 + 0 + 1/3) / 3
    0.111
    """
    errors = np.asarray(wrong, np.float64)
    unsure = np.asarray(uncertainty, np.float64)
    if errors.ndim != 1 or not errors.size or unsure.shape != errors.shape:
        raise ParameterError(
            f"wrong and uncertainty must be of the same hips, at least one; got shapes "
            f"{errors.shape} and {unsure.shape}."
        )
    if not np.isfinite(unsure).all():
        raise ParameterError("uncertainty must be a finite number of every hip.")
    members = require_groups(groups, errors.size)
    order = np.argsort(unsure, kind="stable")
    errors, unsure, members = errors[order], unsure[order], members[order]
    first_of_tie = np.flatnonzero(np.r_[True, np.diff(unsure) != 0])
    tie = np.cumsum(np.r_[False, np.diff(unsure) != 0])

    def risks(weights: NDArray[np.float64]) -> NDArray[np.float64]:
        lost, size = (
            np.add.reduceat(of, first_of_tie, axis=1) for of in (weights * errors, weights)
        )
        expected = weights * ratio(lost, size).take(tie, axis=1)
        expected[weights == 0] = 0.0
        return ratio(expected.cumsum(axis=1), weights.cumsum(axis=1))

    def area(weights: NDArray[np.float64]) -> NDArray[np.float64]:
        held = np.where(weights > 0, weights * risks(weights), 0.0)
        return ratio(held.sum(axis=1), weights.sum(axis=1))

    everyone = np.ones((1, errors.size))
    value = float(area(everyone)[0])
    left_out = np.concatenate([area(weights) for weights in left_out_weights(members)])
    few, freedom = too_few(members), left_out.size - 1
    aurc = (
        Estimate(value, note=few) if few else jackknife(value, left_out, "plain", freedom=freedom)
    )
    low, high = np.clip(aurc[1:], 0, 1).tolist()
    places = np.ceil(np.array(COVERAGES) * errors.size).astype(int) - 1
    failures = np.sort(errors)
    return RiskCoverage(
        aurc=Estimate(value, low, high, note=aurc.note, method=aurc.method),
        best=float((failures.cumsum() / np.arange(1, errors.size + 1)).mean()),
        error_auc=_area(errors > 0, _ranked(unsure), members),
        curve=tuple(risks(everyone)[0][places].tolist()),
    )


def _ranked(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Any numbers as shares of one in the same order."""
    distinct, places = np.unique(values, return_inverse=True)
    shares: NDArray[np.float64] = (places + 0.5) / distinct.size
    return shares


def _area(
    labels: NDArray[np.bool_], scores: NDArray[np.float64], groups: NDArray[np.intp]
) -> Estimate:
    return evaluate(labels, scores, groups=groups, resamples=1).roc_auc


# Grades against those of readers.


@dataclass(frozen=True, slots=True, kw_only=True)
class GradeEvaluation:
    """How good probabilities of grades are; the answer is the most probable grade.

    ``confusion[true, answered]`` counts hips. ``exact`` and ``within_one`` are shares, ``kappa``
    weighs disagreements by their square, ``mean_absolute_error`` is in grades. ``auc_2``, ``auc_3``
    and ``auc_4`` are ROC AUCs of the probability of at least that KL grade. ``by_entropy`` judges
    the uncertainty as a predictor of answers that are not exact.
    """

    confusion: NDArray[np.intp]
    exact: Estimate
    within_one: Estimate
    kappa: Estimate
    mean_absolute_error: Estimate
    auc_2: Estimate
    auc_3: Estimate
    auc_4: Estimate
    by_entropy: RiskCoverage
    hips: int
    groups: int

    def as_dict(self) -> dict[str, Any]:
        """Plain types, for JSON; None where undefined."""

        def plain(estimate: Estimate) -> dict[str, float | None]:
            return {name: finite(value) for name, value in estimate._asdict().items()}

        names = ("exact", "within_one", "kappa", "mean_absolute_error", "auc_2", "auc_3", "auc_4")
        return {
            "hips": self.hips,
            "subjects": self.groups,
            "confusion": self.confusion.tolist(),
            **{name: plain(getattr(self, name)) for name in names},
            "aurc": plain(self.by_entropy.aurc),
            "aurc_best": self.by_entropy.best,
            "error_auc": plain(self.by_entropy.error_auc),
            "risk_at_coverage": dict(zip(map(str, COVERAGES), self.by_entropy.curve, strict=True)),
        }


def evaluate_grades(
    grades: ArrayLike,
    probabilities: ArrayLike,
    *,
    groups: ArrayLike | None = None,
    uncertainty: ArrayLike | None = None,
) -> GradeEvaluation:
    """How well a model's grades agree with those of readers, with intervals over subjects.

    Parameters
    ----------
    grades
        KL 0 to 4 of each hip, ``(n,)``.
    probabilities
        Of each grade, ``(n, 5)``, as `rhoa.learning.Grader.predict_kl` gives them.
    groups
        Subject of each hip; each hip is its own unless given.
    uncertainty
        Of each hip; the entropy of its probabilities unless given.

    Returns
    -------
    GradeEvaluation
        Intervals are of 95 %: of shares Wilson's of the effective number of hips, of the mean error
        and of kappa those of `rhoa.evaluation.reader_agreement`, of areas those of `rhoa.evaluate`,
        of AURC the jackknife's over subjects.

    Raises
    ------
    ParameterError
        If a grade is none, the shapes do not fit, or rows do not sum to one.

    Examples
    --------
    >>> sure = np.eye(5)[[0, 1, 2, 3, 3]]
    >>> found = evaluate_grades([0, 1, 2, 3, 4], sure)
    >>> found.exact.value, found.within_one.value, found.mean_absolute_error.value
    (0.8, 1.0, 0.2)
    """
    truth, shares = np.asarray(grades), np.asarray(probabilities, np.float64)
    if truth.ndim != 1 or not truth.size or not np.isin(truth, range(5)).all():
        raise ParameterError("grades must be KL 0 to 4, one a hip, of at least one hip.")
    sound = shares.shape == (truth.size, 5) and (shares >= 0).all()
    if not sound or np.abs(shares.sum(axis=1) - 1).max() > 1e-3:
        raise ParameterError(
            f"probabilities must be five shares of each of {truth.size} hips that sum to one; got "
            f"shape {shares.shape}."
        )
    truth = truth.astype(np.intp)
    members = require_groups(groups, truth.size)
    answered = shares.argmax(axis=1)
    apart = np.abs(truth - answered)
    if uncertainty is None:
        logs = np.log(np.where(shares > 0, shares, 1.0))
        uncertainty = -(shares * logs).sum(axis=1)
    confusion = np.zeros((5, 5), np.intp)
    np.add.at(confusion, (truth, answered), 1)
    subjects: Sequence[int] = members.tolist()
    areas = {
        f"auc_{least}": _area(truth >= least, np.minimum(shares[:, least:].sum(axis=1), 1), members)
        for least in (2, 3, 4)
    }
    return GradeEvaluation(
        confusion=confusion,
        exact=proportion(apart == 0, groups=subjects),
        within_one=proportion(apart <= 1, groups=subjects),
        kappa=kappa(truth, answered, groups=subjects, weighting="quadratic"),
        mean_absolute_error=mean(apart, groups=subjects, least=0, most=4),
        by_entropy=risk_coverage(apart > 0, uncertainty, groups=members),
        hips=truth.size,
        groups=int(members.max()) + 1,
        **areas,
    )


# The grades of a run folder, as its training or an external validation left them.

KL_COLUMNS = tuple(f"kl_{grade}" for grade in range(5))


def grades_of_run(folder: Path) -> list[dict[str, Any]]:
    """The figures of a run with target ``"kl"`` on validation and test hips, as plain types.

    One dictionary for each source and partition.

    Raises
    ------
    ManifestError
        If the run's predictions are not numbers.
    """
    columns = ("subject", "source", "partition", "kl", *KL_COLUMNS)
    rows = [row for _, row in read_rows(folder / "predictions.csv", columns)]
    found = []
    for source in ("xray", "ct"):
        for partition in ("val", "test"):
            own = [
                row
                for row in rows
                if (row["source"], row["partition"]) == (source, partition) and row["kl"]
            ]
            if not own:
                continue
            try:
                grades = [int(row["kl"]) for row in own]
                shares = np.array([[float(row[name]) for name in KL_COLUMNS] for row in own])
            except ValueError:
                raise ManifestError(
                    f"{folder.name}/predictions.csv: a hip has no probabilities of grades; train "
                    "again."
                ) from None
            figures = evaluate_grades(grades, shares, groups=[row["subject"] for row in own])
            found.append({"source": source, "partition": partition, **figures.as_dict()})
    return found

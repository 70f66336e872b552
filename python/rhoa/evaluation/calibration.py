"""Whether a score means the probability that it says, and how to make it so."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from rhoa.errors import require_choice, require_count, require_positive, warn_user
from rhoa.evaluation.intervals import TAIL, proportion_interval
from rhoa.evaluation.metrics import (
    CALIBRATION_BINS,
    bin_edges,
    bin_of,
    calibrated_labels,
    log_odds,
    regress,
    require_both_classes,
    require_groups,
    require_labels,
    require_scores,
    require_validation,
    require_weights,
    separated,
)

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

_DRAWS = 1000
_COLDEST, _HOTTEST = 1e-4, 1e4

Bins = Literal["equal width", "equal count"]
BINS: tuple[Bins, ...] = ("equal width", "equal count")


@dataclass(frozen=True, slots=True)
class Temperature:
    """A divisor of log odds: above one it takes confidence from scores, below it adds some.

    The order of scores and the answers at a threshold of one half stay as they are.
    """

    value: float

    def __post_init__(self) -> None:
        require_positive("temperature", self.value)

    def apply(self, y_score: ArrayLike) -> NDArray[np.float64]:
        """``y_score``, probabilities, with their log odds divided by the temperature."""
        from scipy.special import expit

        calibrated: NDArray[np.float64] = expit(log_odds(require_scores(y_score)) / self.value)
        return calibrated


def fit_temperature(
    y_true: ArrayLike, y_score: ArrayLike, *, partition: ArrayLike | None = None
) -> Temperature:
    """The temperature under which validation hips are likeliest.

    Parameters
    ----------
    y_true, y_score
        Labels and probabilities of the hips of the validation set.
    partition
        Of each hip. Anything but ``"val"`` is refused: what is tuned on test hips is not tested.

    Raises
    ------
    ParameterError
        If a hip is not of the validation set, or a class is absent.

    Warns
    -----
    RhoaWarning
        If every hip is on its side of one half, so that the likeliest temperature is zero and makes
        each score 0 or 1; or if scores tell the classes no better than chance, so that it is
        infinite. So few hips say nothing of confidence: the temperature is left at one.

    References
    ----------
    Guo et al. 2017, On calibration of modern neural networks, ICML.

    Examples
    --------
    A model that says .9, and .1, is right three times in four, as one that says .75 would be:

    >>> labels, scores = [1, 1, 1, 0, 0, 0, 0, 1], [0.9] * 4 + [0.1] * 4
    >>> temperature = fit_temperature(labels, scores)
    >>> temperature.apply([0.9, 0.1]).round(4).tolist()
    [0.75, 0.25]
    """
    labels = require_labels(y_true)
    scores = require_scores(y_score, labels.size)
    require_validation(partition, labels.size, "a temperature")
    require_both_classes(labels, "a temperature")
    from scipy.optimize import minimize_scalar

    # Convex in the inverse temperature, so there is one minimum.
    signed = np.where(labels, 1, -1) * log_odds(scores)
    chance = signed.sum() <= 0
    if chance or (signed >= 0).all():
        warn_user(
            f"no optimal temperature exists for these {labels.size} validation hips: classes are "
            f"{'separated no better than by chance' if chance else 'perfectly separated'}; "
            "scores are left as they are."
        )
        return Temperature(1.0)

    def loss(log_temperature: float) -> float:
        return float(np.logaddexp(0, -signed * np.exp(-log_temperature)).mean())

    bounds = float(np.log(_COLDEST)), float(np.log(_HOTTEST))
    best = minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": 1e-9})
    return Temperature(float(np.exp(best.x)))


@dataclass(frozen=True, slots=True)
class Recalibration:
    """A slope and an intercept of log odds: the intercept also mends a shift of prevalence.

    The order of scores stays as it is; answers at a threshold of one half need not.
    """

    slope: float
    intercept: float

    def __post_init__(self) -> None:
        require_positive("slope", self.slope)

    def apply(self, y_score: ArrayLike) -> NDArray[np.float64]:
        """``y_score``, probabilities, with their log odds times the slope plus the intercept."""
        from scipy.special import expit

        odds = self.slope * log_odds(require_scores(y_score)) + self.intercept
        calibrated: NDArray[np.float64] = expit(odds)
        return calibrated


def fit_recalibration(
    y_true: ArrayLike, y_score: ArrayLike, *, partition: ArrayLike | None = None
) -> Recalibration:
    """The slope and intercept of log odds under which validation hips are likeliest.

    A temperature is a slope alone: it cannot make the mean score that of another prevalence.

    Parameters
    ----------
    y_true, y_score, partition
        As of `fit_temperature`.

    Raises
    ------
    ParameterError
        If a hip is not of the validation set, or a class is absent.

    Warns
    -----
    RhoaWarning
        If the classes do not overlap, so that no slope is likeliest, or the likeliest is not
        positive: scores are left as they are.

    References
    ----------
    Platt 1999, Probabilistic outputs for support vector machines. Van Calster et al. 2019,
    Calibration: the Achilles heel of predictive analytics, BMC Med 17:230.

    Examples
    --------
    Scores of .1 and .9 where a quarter and a half are rHOA:

    >>> labels, scores = [1, 0, 0, 0, 1, 1, 0, 0], [0.1] * 4 + [0.9] * 4
    >>> fit_recalibration(labels, scores).apply([0.1, 0.9]).round(4).tolist()
    [0.25, 0.5]
    """
    labels = require_labels(y_true)
    scores = require_scores(y_score, labels.size)
    require_validation(partition, labels.size, "a recalibration")
    require_both_classes(labels, "a recalibration")
    odds = log_odds(scores)
    found, apart = np.zeros(2), separated(labels, scores)
    if not apart:
        design = np.stack([np.ones(odds.size), odds], axis=1)
        found = regress(design, labels, np.arange(odds.size), np.ones(odds.size)).coefficients
    if apart or not found[1] > 0:
        said = "do not overlap" if apart else "are separated no better than by chance"
        warn_user(
            f"no recalibration is best for these {labels.size} validation hips: their classes "
            f"{said}; scores are left as they are."
        )
        return Recalibration(1.0, 0.0)
    return Recalibration(float(found[1]), float(found[0]))


class ReliabilityBin(NamedTuple):
    """Hips of one bin of the score: their mean score, and the share of rHOA with its interval.

    ``expected_low`` and ``expected_high`` are the consistency bar: between them lies the share of
    rHOA of 95 % of calibrated models with these scores and subjects.
    """

    low_edge: float
    high_edge: float
    hips: int
    score: float
    share: float
    low: float
    high: float
    expected_low: float
    expected_high: float


def reliability(
    y_true: ArrayLike,
    y_score: ArrayLike,
    *,
    groups: ArrayLike | None = None,
    bins: int = CALIBRATION_BINS,
    by: Bins = "equal width",
    sample_weight: ArrayLike | None = None,
) -> list[ReliabilityBin]:
    """The reliability diagram: of each bin of the score, its mean and the share of rHOA.

    Parameters
    ----------
    y_true, y_score, groups, sample_weight
        As of `evaluate`.
    bins
        Number of bins; those without hips are left out.
    by
        ``"equal width"``: of the score, those of ``ece`` and ``calibration_error`` of `evaluate`;
        a score on an edge is of the upper bin. ``"equal count"``: of hips, as far as equal scores
        allow.

    Returns
    -------
    list of ReliabilityBin
        In ascending order, with Wilson's interval, with groups for the effective number of hips,
        and consistency bars.

    Raises
    ------
    ParameterError
        As `evaluate`.

    References
    ----------
    Bröcker and Smith 2007, Increasing the reliability of reliability diagrams, Weather Forecast
    22:651-661.

    Examples
    --------
    >>> low, high = reliability([0, 1, 1, 1], [0.1, 0.1, 0.8, 0.9], bins=2)
    >>> (low.hips, low.score, low.share), (high.hips, high.share)
    ((2, 0.1, 0.5), (2, 1.0))
    """
    labels = require_labels(y_true)
    scores = require_scores(y_score, labels.size)
    members = require_groups(groups, labels.size)
    require_count("bins", bins)
    require_choice("by", by, BINS)
    weights = require_weights(sample_weight, labels.size)
    edges = bin_edges(bins)
    if by == "equal count":
        edges[1:-1] = np.quantile(scores, edges[1:-1], method="inverted_cdf")
    place = bin_of(scores, edges)
    weight = np.ones(labels.size) if weights is None else weights
    shares = np.zeros((labels.size, bins))
    shares[np.arange(labels.size), place] = weight
    of_bins = shares.sum(axis=0)
    shares /= np.where(of_bins > 0, of_bins, 1)
    drawn = [each @ shares for each in calibrated_labels(labels, scores, members, _DRAWS, 0)]
    bars = np.quantile(np.concatenate(drawn), (TAIL, 1 - TAIL), axis=0)
    found = []
    for number in np.flatnonzero(of_bins):
        inside = (place == number) & (weight > 0)
        own = None if weights is None else weights[inside]
        low, high = proportion_interval(labels[inside], members[inside], weights=own)
        found.append(
            ReliabilityBin(
                float(edges[number]),
                float(edges[number + 1]),
                int(inside.sum()),
                float(np.average(scores[inside], weights=own)),
                float(np.average(labels[inside], weights=own)),
                low,
                high,
                float(bars[0, number]),
                float(bars[1, number]),
            )
        )
    return found

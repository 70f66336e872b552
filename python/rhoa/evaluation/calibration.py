"""Whether a score means the probability that it says, and how to make it so."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from rhoa.errors import require_choice, require_count, require_positive, warn_user
from rhoa.evaluation.intervals import proportion_interval
from rhoa.evaluation.metrics import (
    require_both_classes,
    require_groups,
    require_labels,
    require_scores,
    require_validation,
)

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

_LARGEST_LOG_ODDS = 36.0  # beyond this a double is one: scores of 0 and 1 stay finite
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


def log_odds(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of probabilities; those of 0 and 1 are large but finite."""
    from scipy.special import logit

    odds: NDArray[np.float64] = logit(scores)
    return np.clip(odds, -_LARGEST_LOG_ODDS, _LARGEST_LOG_ODDS)


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
            f"no temperature is best for these {labels.size} validation hips: their classes are "
            f"{'no better told than by chance' if chance else 'apart altogether'}; "
            "scores are left as they are."
        )
        return Temperature(1.0)

    def loss(log_temperature: float) -> float:
        return float(np.logaddexp(0, -signed * np.exp(-log_temperature)).mean())

    bounds = float(np.log(_COLDEST)), float(np.log(_HOTTEST))
    best = minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": 1e-9})
    return Temperature(float(np.exp(best.x)))


class ReliabilityBin(NamedTuple):
    """Hips of one bin of the score: their mean score, and the share of rHOA with its interval."""

    low_edge: float
    high_edge: float
    hips: int
    score: float
    share: float
    low: float
    high: float


def reliability(
    y_true: ArrayLike,
    y_score: ArrayLike,
    *,
    groups: ArrayLike | None = None,
    bins: int = 10,
    by: Bins = "equal width",
) -> list[ReliabilityBin]:
    """The reliability diagram: of each bin of the score, its mean and the share of rHOA.

    Parameters
    ----------
    y_true, y_score, groups
        As of `evaluate`.
    bins
        Number of bins; those without hips are left out.
    by
        ``"equal width"``: of the score, as the expected calibration error takes them; a score on
        an edge is of the upper bin. ``"equal count"``: of hips, as far as equal scores allow.

    Returns
    -------
    list of ReliabilityBin
        In ascending order, with Wilson's interval, with groups for the effective number of hips.

    Raises
    ------
    ParameterError
        As `evaluate`.

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
    edges = np.linspace(0, 1, bins + 1)
    if by == "equal count":
        edges[1:-1] = np.quantile(scores, edges[1:-1], method="inverted_cdf")
    place = np.clip(np.searchsorted(edges, scores, side="right") - 1, 0, bins - 1)
    found = []
    for number in np.unique(place):
        inside = place == number
        share = float(labels[inside].mean())
        low, high = proportion_interval(labels[inside], members[inside])
        found.append(
            ReliabilityBin(
                float(edges[number]),
                float(edges[number + 1]),
                int(inside.sum()),
                float(scores[inside].mean()),
                share,
                low,
                high,
            )
        )
    return found

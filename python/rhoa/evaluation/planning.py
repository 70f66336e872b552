"""How many subjects a study needs: expected widths of its intervals, and Riley's criteria."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from rhoa.errors import ParameterError, require_count, require_extra
from rhoa.evaluation.intervals import FEWEST_SUBJECTS, Z, on_scale, student, wilson

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.figure import Figure
    from numpy.typing import NDArray

_NODES = 2001  # of the integrals over log odds
_MOST_SUBJECTS = 10_000_000


class ExpectedWidths(NamedTuple):
    """Expected widths of the 95 % intervals of a study of so many subjects."""

    subjects: int
    hips: int
    sensitivity: float
    specificity: float
    roc_auc: float
    calibration_slope: float


def sample_size(
    subjects: Sequence[int] | int,
    *,
    hips: float = 2,
    icc: float = 0.5,
    prevalence: float = 0.35,
    sensitivity: float = 0.85,
    specificity: float = 0.85,
    roc_auc: float = 0.85,
) -> list[ExpectedWidths]:
    """How wide the 95 % intervals of a test set of so many subjects will be, on average.

    Parameters
    ----------
    subjects
        Numbers of subjects to look at; one row each.
    hips
        Mean number of hips a subject.
    icc
        Correlation within subjects, 0 to 1, of labels and of answers.
    prevalence
        Share of rHOA hips.
    sensitivity, specificity, roc_auc
        What the model is expected to reach.

    Returns
    -------
    list of ExpectedWidths
        Of sensitivity and specificity Wilson's interval for the effective number of hips; of the
        ROC AUC that of Hanley and McNeil's variance; of the calibration slope that of a calibrated
        model whose log odds are normal in either class. Student's t has a degree of freedom fewer
        than there are subjects (with hips of the class).

    Raises
    ------
    ParameterError
        If a number is out of its range.

    References
    ----------
    Hanley and McNeil 1982, Radiology 143:29-36. Riley et al. 2021, Minimum sample size for external
    validation of a clinical prediction model with a binary outcome, Stat Med 40:4230-4251.

    Examples
    --------
    >>> few, many = sample_size([24, 96])
    >>> round(few.sensitivity, 2), round(many.sensitivity, 2)
    (0.43, 0.2)
    """
    counts = [subjects] if isinstance(subjects, int) else list(subjects)
    for count in counts:
        require_count("subjects", count, least=FEWEST_SUBJECTS)
    if not hips >= 1:
        raise ParameterError(f"hips must be at least 1 a subject; got {hips!r}.")
    shares = {
        "prevalence": prevalence, "sensitivity": sensitivity, "specificity": specificity,
    }  # fmt: skip
    for name, share in shares.items():
        if not 0 < share < 1:
            raise ParameterError(f"{name} must lie between 0 and 1; got {share!r}.")
    if not 0 <= icc <= 1 or not 0.5 < roc_auc < 1:
        raise ParameterError(
            f"icc must lie in [0, 1] and roc_auc between 0.5 and 1; got {icc!r}, {roc_auc!r}."
        )
    slope_variance = _slope_variance(prevalence, roc_auc)
    found = []
    for count in counts:
        classes = [_class_size(count, hips, share, icc) for share in (prevalence, 1 - prevalence)]
        widths = []
        for value, (size, freedom) in zip((sensitivity, specificity), classes, strict=True):
            low, high = wilson(value, size * (Z / student(freedom)) ** 2)
            widths.append(high - low)
        (positives, one), (negatives, two) = classes
        parts = (
            (roc_auc / (2 - roc_auc) - roc_auc**2) / positives,
            (2 * roc_auc**2 / (1 + roc_auc) - roc_auc**2) / negatives,
        )
        freedom = sum(parts) ** 2 / (parts[0] ** 2 / one + parts[1] ** 2 / two)
        low, high = on_scale(roc_auc, student(freedom) * math.sqrt(sum(parts)), "log odds")
        independent = count * hips / (1 + (hips - 1) * icc)
        slope = 2 * student(count - 1) * math.sqrt(slope_variance / independent)
        found.append(
            ExpectedWidths(count, round(count * hips), widths[0], widths[1], high - low, slope)
        )
    return found


def _class_size(subjects: int, hips: float, share: float, icc: float) -> tuple[float, float]:
    """Effective number of hips of a class, and degrees of freedom of its subjects."""
    same = share + icc * (1 - share)  # chance that another hip of the subject is of the class too
    mates = 1 + (hips - 1) * same  # hips of the class of a subject that has one
    size = subjects * hips * share / (1 + (mates - 1) * icc)
    return size, max(1.0, subjects * hips * share / mates - 1)


def _slope_variance(prevalence: float, roc_auc: float) -> float:
    """Variance of a calibration slope times the number of independent hips, calibrated model."""
    from scipy.special import logit, ndtri
    from scipy.stats import norm

    distance = math.sqrt(2) * float(ndtri(roc_auc))
    places = np.linspace(-9 - distance, 9 + distance, _NODES)
    density = prevalence * norm.pdf(places - distance / 2) + (1 - prevalence) * norm.pdf(
        places + distance / 2
    )
    odds = float(logit(prevalence)) + distance * places
    return slope_variance(odds, density * (places[1] - places[0]))


def slope_variance(odds: NDArray[np.float64], shares: NDArray[np.float64]) -> float:
    """Variance of a calibrated model's slope, times the number of hips, ``shares`` of given odds.

    References
    ----------
    Riley et al. 2021, Stat Med 40:4230-4251, section 2.2.
    """
    from scipy.special import expit

    chance = expit(odds)
    curve = shares * chance * (1 - chance)
    whole, cross, square = (float(curve @ odds**power) for power in range(3))
    return whole / (whole * square - cross**2)


def subjects_needed(width: float, **expected: float) -> dict[str, int]:
    """The fewest subjects with which each interval is expected to be at most ``width`` wide.

    Parameters
    ----------
    width
        Of the 95 % interval, end to end.
    **expected
        ``hips``, ``icc`` and so on, as of `sample_size`.

    Raises
    ------
    ParameterError
        As `sample_size`, or if ``width`` is not positive.

    Examples
    --------
    >>> needed = subjects_needed(0.2, hips=2, icc=0.5)
    >>> needed["sensitivity"] > needed["specificity"]
    True
    """
    if not 0 < width < math.inf:
        raise ParameterError(f"width must be a positive number; got {width!r}.")
    needed = {}
    for name in ExpectedWidths._fields[2:]:
        low, high = FEWEST_SUBJECTS, FEWEST_SUBJECTS
        while getattr(sample_size(high, **expected)[0], name) > width and high < _MOST_SUBJECTS:
            low, high = high + 1, 2 * high
        while low < high:
            middle = (low + high) // 2
            wide = getattr(sample_size(middle, **expected)[0], name) > width
            low, high = (middle + 1, high) if wide else (low, middle)
        needed[name] = high
    return needed


class DevelopmentSize(NamedTuple):
    """Hips that a model's development needs by each of Riley's criteria, and by all."""

    shrinkage: int
    optimism: int
    prevalence: int
    hips: int


def development_size(
    parameters: int,
    *,
    prevalence: float,
    r2: float,
    shrinkage: float = 0.9,
    hips: float = 1,
    icc: float = 0.0,
) -> DevelopmentSize:
    """How many hips the development of a regression model needs, by the criteria of Riley et al.

    Independent hips are counted; with ``hips`` and ``icc`` the numbers are those of hips of
    subjects, raised by the design effect. A deep network has more parameters than any data: for one
    these numbers are a lower limit, with the parameters of its last layer that are trained.

    Parameters
    ----------
    parameters
        Of the regression, without the intercept.
    prevalence
        Share of rHOA hips.
    r2
        Cox and Snell's R squared that is expected.
    shrinkage
        The least that is accepted: .9 is 10 % of overfitting.
    hips, icc
        As of `sample_size`.

    Raises
    ------
    ParameterError
        If a number is out of its range; ``r2`` has a largest value at each prevalence.

    References
    ----------
    Riley et al. 2020, Calculating the sample size required for developing a clinical prediction
    model, BMJ 368:m441.

    Examples
    --------
    >>> development_size(24, prevalence=0.174, r2=0.288)
    DevelopmentSize(shrinkage=623, optimism=662, prevalence=221, hips=662)
    """
    require_count("parameters", parameters)
    if not 0 < prevalence < 1 or not 0 < shrinkage < 1:
        raise ParameterError(
            f"prevalence and shrinkage must lie between 0 and 1; got {prevalence!r}, {shrinkage!r}."
        )
    if not hips >= 1 or not 0 <= icc <= 1:
        raise ParameterError(f"hips must be >= 1 and icc in [0, 1]; got {hips!r}, {icc!r}.")
    entropy = prevalence * math.log(prevalence) + (1 - prevalence) * math.log(1 - prevalence)
    most = 1 - math.exp(2 * entropy)
    if not 0 < r2 < min(most, shrinkage):
        raise ParameterError(
            f"r2 must lie between 0 and {min(most, shrinkage):.3f} at this prevalence; got {r2!r}."
        )
    effect = 1 + (hips - 1) * icc

    def needed(factor: float) -> int:
        return math.ceil(effect * parameters / ((factor - 1) * math.log(1 - r2 / factor)))

    found = (
        needed(shrinkage),
        needed(r2 / (r2 + 0.05 * most)),
        math.ceil(effect * (1.96 / 0.05) ** 2 * prevalence * (1 - prevalence)),
    )
    return DevelopmentSize(*found, max(found))


def width_chart(rows: Sequence[ExpectedWidths]) -> Figure:
    """The expected widths over the number of subjects, both on logarithmic scales.

    Raises
    ------
    MissingExtraError
        Without matplotlib.
    """
    figures = require_extra("matplotlib.figure", extra="report", purpose="a chart")
    figure = figures.Figure((5.2, 3.6), layout="constrained")
    axes = figure.subplots()
    names = {
        "sensitivity": ("sensitivity", "o", "#0072b2"),
        "specificity": ("specificity", "s", "#d55e00"),
        "roc_auc": ("ROC AUC", "^", "#009e73"),
        "calibration_slope": ("calibration slope", "D", "#aa4499"),
    }
    counts = [row.subjects for row in rows]
    for name, (said, marker, colour) in names.items():
        widths = [getattr(row, name) for row in rows]
        axes.plot(counts, widths, marker=marker, color=colour, label=said, markersize=4)
    axes.set(xscale="log", yscale="log", xlabel="Subjects", ylabel="Width of the 95 % interval")
    axes.set_xticks(counts, [str(count) for count in counts])
    ticks = [t for t in (0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5) if _within(t, rows)]
    axes.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.minorticks_off()
    axes.grid(visible=True, color="#dddddd", linewidth=0.6)
    axes.legend(frameon=False)
    chart: Figure = figure
    return chart


def _within(tick: float, rows: Sequence[ExpectedWidths]) -> bool:
    widths = [width for row in rows for width in row[2:]]
    return min(widths) / 1.5 <= tick <= max(widths) * 1.5

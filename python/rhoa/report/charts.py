"""Every chart of the report as a plain function that returns a matplotlib figure, for papers.

charts.roc_curves(curves).savefig("figure-3.pdf")
"""

from __future__ import annotations

import math
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from rhoa.errors import require_extra
from rhoa.evaluation.intervals import curve_band

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from rhoa.evaluation.calibration import ReliabilityBin
    from rhoa.evaluation.decision_curves import NetBenefit
    from rhoa.evaluation.intervals import Band
    from rhoa.evaluation.saliency import OcclusionExample

DOTS_PER_INCH = 160
# Loss of a model that answers 0.5 for every hip; losses above LOSS_TOP leave the frame.
CHANCE_LOSS = math.log(2)
LOSS_TOP = 2.0


@dataclass(frozen=True, slots=True)
class Palette:
    """Inks of a chart: text, guides, and one colour a model (told apart by the colour-blind)."""

    ink: str
    guide: str
    series: tuple[str, ...]


LIGHT = Palette(
    "#26241f", "#a39d92", ("#0072b2", "#d55e00", "#009e73", "#aa4499", "#a87900", "#56606b")
)
DARK = Palette(
    "#e4dfd4", "#7d776c", ("#69b6ea", "#ff9b5e", "#45cfa2", "#e59ad4", "#e6c34f", "#aeb8c2")
)
DASHES: tuple[Any, ...] = (
    *("-", (0, (6, 1.5)), (0, (3, 1, 1, 1)), (0, (1, 1)), (0, (8, 1.5, 1, 1.5)), (0, (2, 2))),
)


@dataclass(frozen=True, slots=True, eq=False)
class RankCurve:
    """Scores of one model on one set, and what the legend says of them.

    With ``groups``, the patient of each hip as whole numbers without gaps, the curve has a band.
    """

    legend: str
    truth: NDArray[np.int_]
    score: NDArray[np.float64]
    groups: NDArray[np.intp] | None = None


def roc_curves(curves: Sequence[RankCurve], *, palette: Palette = LIGHT) -> Figure:
    """ROC curves of all models with bands of 95 % of resampled patients; the paper's Figure 3."""
    with _blank((3.9, 4.1 + 0.17 * len(curves)), palette) as figure:
        axes = _square(figure)
        axes.plot([0, 1], [0, 1], color=palette.guide, linewidth=0.8, linestyle=":")
        axes.set(xlabel="1 \N{MINUS SIGN} specificity", ylabel="Sensitivity (recall)")
        _draw_ranks(figure, axes, curves, "roc", palette)
    return figure


def precision_recall_curves(curves: Sequence[RankCurve], *, palette: Palette = LIGHT) -> Figure:
    """Precision-recall curves of all models with bands of 95 % of resampled patients."""
    with _blank((3.9, 4.1 + 0.17 * len(curves)), palette) as figure:
        axes = _square(figure)
        if curves:
            share = curves[0].truth.mean()
            axes.axhline(share, color=palette.guide, linewidth=0.8, linestyle=":")
        axes.set(xlabel="Recall (sensitivity)", ylabel="Precision")
        _draw_ranks(figure, axes, curves, "pr", palette)
    return figure


def learning_curves(
    history: Mapping[str, NDArray[np.float64]], *, palette: Palette = LIGHT
) -> Figure:
    """Loss and accuracy by iteration, of training batches and of the validation set."""
    iteration = history["iteration"]
    with _blank((2.6, 2.9), palette) as figure:
        above, below = figure.subplots(2, 1, sharex=True)
        for axes, quantity in ((above, "loss"), (below, "accuracy")):
            seen = np.isfinite(history[f"val_{quantity}"])
            train = history[f"train_{quantity}"]
            axes.plot(iteration, train, color=palette.series[0], linewidth=0.7, alpha=0.75)
            axes.plot(
                iteration[seen],
                history[f"val_{quantity}"][seen],
                color=palette.series[1],
                linewidth=1.3,
                marker="o" if seen.sum() <= 25 else None,
                markersize=2.2,
            )
            axes.set_ylabel(quantity.capitalize())
        above.axhline(CHANCE_LOSS, color=palette.guide, linewidth=0.8, linestyle=":")
        above.set_ylim(0, LOSS_TOP)
        below.set_ylim(0, 1.03)
        below.set_xlabel("Iteration")
    return figure


def reliability_diagram(bins: Sequence[ReliabilityBin], *, palette: Palette = LIGHT) -> Figure:
    """The share of rHOA over the mean score of each bin, with intervals; hips a bin below."""
    with _blank((2.6, 3.1), palette) as figure:
        above, below = figure.subplots(2, 1, sharex=True, height_ratios=(4, 1))
        above.plot([0, 1], [0, 1], color=palette.guide, linewidth=0.8, linestyle=":")
        score, share = (
            np.array([getattr(tenth, name) for tenth in bins]) for name in ("score", "share")
        )
        reach = np.array([[tenth.share - tenth.low, tenth.high - tenth.share] for tenth in bins]).T
        above.errorbar(
            score,
            share,
            np.maximum(reach.reshape(2, -1), 0),
            color=palette.series[0],
            marker="o",
            markersize=3.5,
            linestyle="none",
            elinewidth=0.8,
            capsize=0,
        )
        above.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), ylabel="Share of rHOA")
        edges = [tenth.low_edge for tenth in bins]
        widths = [tenth.high_edge - tenth.low_edge for tenth in bins]
        hips = [tenth.hips for tenth in bins]
        below.bar(edges, hips, widths, align="edge", color=palette.guide, linewidth=0)
        below.set(xlabel="Probability of rHOA", ylabel="Hips")
    return figure


def decision_curves(
    curves: Mapping[str, Sequence[NetBenefit]],
    bands: Mapping[str, Band] | None = None,
    *,
    palette: Palette = LIGHT,
) -> Figure:
    """Net benefit of each model, of calling every hip rHOA and of calling none, by threshold.

    ``bands`` are those of `benefit_band`, by the name of the curve.
    """
    with _blank((5.2, 3.4), palette) as figure:
        axes = figure.subplots()
        first = next(iter(curves.values()), ())
        axes.plot(
            [point.threshold for point in first],
            [point.treat_all for point in first],
            color=palette.guide,
            linewidth=0.9,
            label="every hip",
        )
        axes.axhline(0, color=palette.guide, linewidth=0.9, linestyle=":", label="no hip")
        for number, (name, points) in enumerate(curves.items()):
            color = palette.series[number % len(palette.series)]
            if bands is not None and name in bands:
                axes.fill_between(*bands[name], color=color, alpha=0.08, linewidth=0)
            axes.plot(
                [point.threshold for point in points],
                [point.model for point in points],
                color=color,
                linestyle=DASHES[number % len(DASHES)],
                linewidth=1.4,
                label=_literal(name),
            )
        top = max([0.05, *(point.model for points in curves.values() for point in points)])
        axes.set(xlim=(0, 1), ylim=(-0.4 * top, 1.1 * top))
        axes.set(xlabel="Threshold probability", ylabel="Net benefit")
        figure.legend(loc="outside lower center", frameon=False, ncols=3, handlelength=3.2)
    return figure


def window_histograms(
    images: Mapping[str, NDArray[np.float32]], *, palette: Palette = LIGHT
) -> Figure:
    """Histograms of one scan's CT-APs in several HU windows, each over its own range of grey.

    The paper's supplementary Figure 1: the full range is one narrow peak, the window is not.
    """
    with _blank((5.2, 2.7), palette) as figure:
        axes = figure.subplots()
        for number, (name, image) in enumerate(images.items()):
            values = np.asarray(image, np.float64)
            spread = float(np.ptp(values)) or 1.0
            shares, edges = np.histogram((values - values.min()) / spread, bins=128, range=(0, 1))
            color = palette.series[number % len(palette.series)]
            heights = 100 * shares / values.size
            axes.stairs(heights, edges, color=color, linewidth=1.3, label=_literal(name))
            axes.stairs(heights, edges, color=color, alpha=0.15, fill=True, linewidth=0)
        axes.set(xlim=(0, 1), xlabel="Grey level, black to white", ylabel="Pixels (%)")
        axes.set_yscale("symlog", linthresh=1)
        axes.legend(frameon=False)
    return figure


def occlusion_maps(examples: Sequence[OcclusionExample], *, palette: Palette = LIGHT) -> Figure:
    """Occlusion maps over their crops, misclassified ones first; the paper's Figure 4.

    Ground truth top left, probability of rHOA top right; red where a part speaks for the class
    that the model calls, blue where it speaks against it.
    """
    from rhoa.evaluation.saliency import overlay

    ordered = sorted(examples, key=lambda example: not example.misclassified)
    columns = max(1, min(4, len(ordered)))
    rows = max(1, -(-len(ordered) // columns))
    with _blank((1.8 * columns, 1.95 * rows), palette) as figure:
        grid = figure.subplots(rows, columns, squeeze=False)
        for axes in grid.flat:
            axes.set_axis_off()
        for axes, example in zip(grid.flat, ordered, strict=False):
            axes.imshow(overlay(example.image, example.map))
            truth = "rHOA" if example.label else "no-rHOA"
            axes.set_title(f"GT {truth}", loc="left", fontsize=7)
            color = palette.series[1] if example.misclassified else palette.ink
            axes.set_title(f"{example.probability:.2f}", loc="right", fontsize=7, color=color)
    return figure


def rank_points(
    curve: RankCurve, kind: Literal["roc", "pr"]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The points of a curve, in the order in which they are joined."""
    metrics = require_extra("sklearn.metrics", extra="report", purpose="a chart")
    if kind == "roc":
        false_positive, true_positive, _ = metrics.roc_curve(curve.truth, curve.score)
        return false_positive, true_positive
    # From the lowest threshold on: with steps, the area is the average precision.
    precision, recall, _ = metrics.precision_recall_curve(curve.truth, curve.score)
    return recall, precision


def _draw_ranks(
    figure: Figure,
    axes: Axes,
    curves: Sequence[RankCurve],
    kind: Literal["roc", "pr"],
    palette: Palette,
) -> None:
    for number, curve in enumerate(curves):
        color = palette.series[number % len(palette.series)]
        axes.plot(
            *rank_points(curve, kind),
            color=color,
            linestyle=DASHES[number % len(DASHES)],
            linewidth=1.5,
            drawstyle="default" if kind == "roc" else "steps-post",
            label=_literal(curve.legend),
        )
        band = None
        if curve.groups is not None:
            band = curve_band(curve.truth, curve.score, curve.groups, kind)
        if band is not None:
            axes.fill_between(*band, color=color, alpha=0.08, linewidth=0)
    figure.legend(loc="outside lower center", frameon=False, handlelength=3.2)


def _literal(name: str) -> str:
    """A name as a legend prints it: its dollars open no formula, an underscore does not hide it."""
    return (" " * name.startswith("_") + name).replace("$", r"\$")


def _square(figure: Figure) -> Axes:
    axes = figure.subplots()
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal")
    axes.set_xticks(np.linspace(0, 1, 6))
    axes.set_yticks(np.linspace(0, 1, 6))
    return axes


@contextmanager
def _blank(inches: tuple[float, float], palette: Palette) -> Iterator[Figure]:
    """An empty figure, drawn on in rhoa's style whatever the user's own is."""
    matplotlib = require_extra("matplotlib", extra="report", purpose="a chart")
    figures = require_extra("matplotlib.figure", extra="report", purpose="a chart")
    inks = ("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color")
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(dict.fromkeys(inks, palette.ink))
        matplotlib.rcParams.update(
            {
                "font.size": 7.5,
                "axes.linewidth": 0.6,
                "axes.spines.top": False,
                "axes.spines.right": False,
                "xtick.major.width": 0.6,
                "ytick.major.width": 0.6,
            }
        )
        yield figures.Figure(figsize=inches, dpi=DOTS_PER_INCH, layout="constrained")

"""Every chart of the report as a plain function that returns a matplotlib figure, for papers.

charts.rank_curves(curve, others=others).savefig("figure-3.pdf")
"""

from __future__ import annotations

import io
import math
import re
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from rhoa.errors import require_extra
from rhoa.evaluation.intervals import curve_band

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from rhoa.evaluation.calibration import ReliabilityBin
    from rhoa.evaluation.decision_curves import NetBenefit
    from rhoa.evaluation.intervals import Band

DOTS_PER_INCH = 160
CHANCE_LOSS = math.log(2)  # of a model that answers 0.5 for every hip
FONT = 7.5


@dataclass(frozen=True, slots=True)
class Palette:
    """Inks of a chart: text, guides, and colours that the colour-blind can distinguish."""

    ink: str
    guide: str
    series: tuple[str, ...]


LIGHT = Palette(
    "#26241f", "#a39d92", ("#0072b2", "#d55e00", "#009e73", "#aa4499", "#a87900", "#56606b")
)
DARK = Palette(
    "#e4dfd4", "#7d776c", ("#69b6ea", "#ff9b5e", "#45cfa2", "#e59ad4", "#e6c34f", "#aeb8c2")
)


@dataclass(frozen=True, slots=True, eq=False)
class RankCurve:
    """Scores of one model on one set, its name, and its areas as they are printed over the panels.

    With ``groups``, the patient of each hip as whole numbers without gaps, the curve has a band.
    """

    name: str
    truth: NDArray[np.int_]
    score: NDArray[np.float64]
    groups: NDArray[np.intp] | None = None
    roc: str = ""
    pr: str = ""


class ReaderPoint(NamedTuple):
    """Where a reader, whose answers have no threshold, lies in a curve's panels."""

    name: str
    specificity: float
    recall: float
    precision: float


def rank_curves(
    curve: RankCurve,
    *,
    others: Sequence[RankCurve] = (),
    readers: Sequence[ReaderPoint] = (),
) -> Figure:
    """ROC and precision-recall curve of one model; the paper's Figure 3, one model a panel.

    Its band holds 95 % of the curves of resampled patients. ``others`` are thin grey lines behind
    it, ``readers`` crosses with their names.
    """
    with _blank((3.4, 1.95)) as figure:
        panels = figure.subplots(1, 2)
        panels[0].plot([0, 1], [0, 1], color=LIGHT.guide, linewidth=0.8, linestyle=":")
        panels[1].axhline(curve.truth.mean(), color=LIGHT.guide, linewidth=0.8, linestyle=":")
        labels = ("1 \N{MINUS SIGN} specificity", "Recall"), ("Recall", "Precision")
        kinds: tuple[Literal["roc", "pr"], ...] = ("roc", "pr")
        for axes, kind, (across, up) in zip(panels, kinds, labels, strict=True):
            style: dict[str, Any] = {"drawstyle": "default" if kind == "roc" else "steps-post"}
            for other in others:
                points = rank_points(other, kind)
                axes.plot(*points, color=LIGHT.guide, linewidth=0.5, alpha=0.7, **style)
            band = None
            if curve.groups is not None:
                band = curve_band(curve.truth, curve.score, curve.groups, kind)
            if band is not None:
                axes.fill_between(*band, color=LIGHT.series[0], alpha=0.18, linewidth=0)
            axes.plot(*rank_points(curve, kind), color=LIGHT.series[0], linewidth=1.6, **style)
            for number, reader in enumerate(readers):
                x = 1 - reader.specificity if kind == "roc" else reader.recall
                y = reader.recall if kind == "roc" else reader.precision
                if math.isfinite(x) and math.isfinite(y):
                    name = _literal(reader.name)
                    place = (4, -8 if number % 2 else 3)
                    axes.plot(x, y, "x", color=LIGHT.series[1], markersize=5)
                    axes.annotate(name, (x, y), place, textcoords="offset points", fontsize=6.5)
            axes.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.03), aspect="equal")
            axes.set(xticks=np.linspace(0, 1, 3), yticks=np.linspace(0, 1, 3))
            axes.set(xlabel=across, ylabel=up)
            axes.set_title(_literal(getattr(curve, kind)), fontsize=FONT)
        figure.suptitle(_literal(curve.name), fontsize=FONT + 1, fontweight="bold")
    return figure


def learning_curves(history: Mapping[str, NDArray[np.float64]]) -> Figure:
    """Loss and accuracy by iteration and epoch, of training batches and of the validation set.

    The frame holds every validation loss; losses of single training batches may leave it.
    """
    iteration, epoch = history["iteration"], history["epoch"]
    with _blank((1.7, 2.5)) as figure:
        above, below = figure.subplots(2, 1, sharex=True)
        for axes, quantity in ((above, "loss"), (below, "accuracy")):
            seen = np.isfinite(history[f"val_{quantity}"])
            train = history[f"train_{quantity}"]
            axes.plot(iteration, train, color=LIGHT.series[0], linewidth=0.7, alpha=0.75)
            axes.plot(
                iteration[seen],
                history[f"val_{quantity}"][seen],
                color=LIGHT.series[1],
                linewidth=1.3,
                marker="o" if seen.sum() <= 25 else None,
                markersize=2.2,
            )
            axes.set_ylabel(quantity.capitalize())
        above.axhline(CHANCE_LOSS, color=LIGHT.guide, linewidth=0.8, linestyle=":")
        above.set_ylim(0, loss_top(history))
        below.set_ylim(0, 1.03)
        below.set_xlabel("Iteration")
        if iteration.size and epoch[-1] > 0:
            a_epoch = iteration[-1] / epoch[-1]
            second = above.secondary_xaxis(
                "top", functions=(lambda at: at / a_epoch, lambda at: at * a_epoch)
            )
            second.set_xlabel("Epoch")
    return figure


def loss_top(history: Mapping[str, NDArray[np.float64]]) -> float:
    """The top of the frame of losses: above those of validation, and most of training."""
    val, train = (history[name][np.isfinite(history[name])] for name in ("val_loss", "train_loss"))
    most = np.quantile(train, 0.95) if train.size else 0.0
    return 1.05 * float(np.max([CHANCE_LOSS, most, *val]))


def reliability_diagram(bins: Sequence[ReliabilityBin]) -> Figure:
    """The share of rHOA over the mean score of each bin, with intervals; hips a bin below.

    Grey bars are consistency bars: between their ends lies the share of rHOA of 95 % of calibrated
    models with these scores and patients.
    """
    with _blank((1.7, 2.1)) as figure:
        above, below = figure.subplots(2, 1, sharex=True, height_ratios=(4, 1))
        above.plot([0, 1], [0, 1], color=LIGHT.guide, linewidth=0.8, linestyle=":")
        expected = [(tenth.expected_low, tenth.expected_high) for tenth in bins]
        above.vlines(
            [tenth.score for tenth in bins],
            *np.array(expected).reshape(-1, 2).T,
            color=LIGHT.guide,
            alpha=0.45,
            linewidth=6,
        )
        score, share = (
            np.array([getattr(tenth, name) for tenth in bins]) for name in ("score", "share")
        )
        reach = np.array([[tenth.share - tenth.low, tenth.high - tenth.share] for tenth in bins]).T
        above.errorbar(
            score,
            share,
            np.maximum(reach.reshape(2, -1), 0),
            color=LIGHT.series[0],
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
        below.bar(edges, hips, widths, align="edge", color=LIGHT.guide, linewidth=0)
        below.set(xlabel="Probability of rHOA", ylabel="Hips")
    return figure


def decision_curves(curve: Sequence[NetBenefit], band: Band | None = None) -> Figure:
    """Net benefit of a model, of calling every hip rHOA and of calling none, by threshold.

    ``band`` is that of `benefit_band`.
    """
    with _blank((1.7, 1.6)) as figure:
        axes = figure.subplots()
        threshold = [point.threshold for point in curve]
        everyone, model = ([getattr(at, name) for at in curve] for name in ("treat_all", "model"))
        axes.plot(threshold, everyone, color=LIGHT.guide, linewidth=0.9)
        axes.axhline(0, color=LIGHT.guide, linewidth=0.9, linestyle=":")
        if band is not None:
            axes.fill_between(*band, color=LIGHT.series[0], alpha=0.18, linewidth=0)
        axes.plot(threshold, model, color=LIGHT.series[0], linewidth=1.4)
        top = max([0.05, *model])
        axes.set(xlim=(0, 1), ylim=(-0.4 * top, 1.1 * top))
        axes.set(xlabel="Threshold probability", ylabel="Net benefit")
    return figure


def risk_curve(wrong_at: Mapping[float, float]) -> Figure:
    """The share of wrong answers among the surest hips, by the share that is answered."""
    with _blank((1.7, 1.6)) as figure:
        axes = figure.subplots()
        coverage, wrong = list(wrong_at), list(wrong_at.values())
        axes.axhline(wrong_at[max(coverage)], color=LIGHT.guide, linewidth=0.9, linestyle=":")
        axes.plot(coverage, wrong, color=LIGHT.series[0], linewidth=1.4, marker="o", markersize=2)
        axes.set(xlim=(0, 1.03), ylim=(0, max(0.1, 1.1 * max(wrong))))
        axes.set(xlabel="Share of hips answered", ylabel="Wrong grades")
    return figure


def window_histograms(images: Mapping[str, NDArray[np.float32]]) -> Figure:
    """Histograms of one scan's CT-APs in several HU windows, each over its own range of grey.

    The paper's supplementary Figure 1: the full range is one narrow peak, the window is not.
    """
    with _blank((5.2, 2.7)) as figure:
        axes = figure.subplots()
        for number, (name, image) in enumerate(images.items()):
            values = np.asarray(image, np.float64)
            spread = float(np.ptp(values)) or 1.0
            shares, edges = np.histogram((values - values.min()) / spread, bins=128, range=(0, 1))
            color = LIGHT.series[number % len(LIGHT.series)]
            heights = 100 * shares / values.size
            axes.stairs(heights, edges, color=color, linewidth=1.3, label=_literal(name))
            axes.stairs(heights, edges, color=color, alpha=0.15, fill=True, linewidth=0)
        axes.set(xlim=(0, 1), xlabel="Grey level, black to white", ylabel="Pixels (%)")
        axes.set_yscale("symlog", linthresh=1)
        axes.legend(frameon=False)
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


def as_svg(figure: Figure, *, outlined: bool = False) -> bytes:
    """A figure as SVG, its texts as text or ``outlined``: the same figure gives the same bytes."""
    matplotlib = require_extra("matplotlib", extra="report", purpose="a chart")
    buffer = io.BytesIO()
    style = {"svg.hashsalt": "rhoa", "svg.fonttype": "path" if outlined else "none"}
    with matplotlib.rc_context(style):
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    figure.set_layout_engine("none")  # its parts have their places now
    return buffer.getvalue()


def for_dark_pages(svg: bytes) -> bytes:
    """The SVG of a chart with the inks of `DARK`."""
    inks = dict(zip(_inks(LIGHT), _inks(DARK), strict=True))
    return re.sub(b"|".join(inks), lambda found: inks[found[0]], svg)


def _inks(palette: Palette) -> list[bytes]:
    return [ink.encode() for ink in (palette.ink, palette.guide, *palette.series)]


def _literal(name: str) -> str:
    """A name as a legend prints it: its dollars open no formula, an underscore does not hide it."""
    return (" " * name.startswith("_") + name).replace("$", r"\$")


@contextmanager
def _blank(inches: tuple[float, float]) -> Iterator[Figure]:
    """An empty figure, drawn on in rhoa's style whatever the user's own is."""
    matplotlib = require_extra("matplotlib", extra="report", purpose="a chart")
    figures = require_extra("matplotlib.figure", extra="report", purpose="a chart")
    inks = ("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color")
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(dict.fromkeys(inks, LIGHT.ink))
        matplotlib.rcParams.update(
            {
                "font.size": FONT,
                "axes.linewidth": 0.6,
                "axes.spines.top": False,
                "axes.spines.right": False,
                "xtick.major.width": 0.6,
                "ytick.major.width": 0.6,
            }
        )
        yield figures.Figure(figsize=inches, dpi=DOTS_PER_INCH, layout="constrained")

"""Figures of the report as HTML fragments that carry their pictures: charts and images.

Charts are drawn twice, in ink for light and for dark pages; the page picks one. Every picture is a
base64 PNG whose bytes depend on its content only.
"""

from __future__ import annotations

import base64
import html
import io
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from rhoa.errors import ManifestError, PoseError, require_extra
from rhoa.hips import boxes
from rhoa.picture import encode_png, resize, stretch

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from rhoa.cohort import Hip
    from rhoa.evaluation.report import GalleryItem, OcclusionExample
    from rhoa.hips.boxes import Box
    from rhoa.pose.sides import Side
    from rhoa.radiograph import Radiograph

    Draw = Callable[[Any, "Palette"], None]

DOTS_PER_INCH = 180
GALLERY_ROWS = 420
CROP_PIXELS = 144

# Loss of a model that answers 0.5 for every hip; losses above LOSS_TOP leave the frame.
CHANCE_LOSS = math.log(2)
LOSS_TOP = 2.0

# Red where a part speaks for the shown class, blue where it speaks against it.
SUPPORTS = np.array([230, 40, 30], np.float64)
OPPOSES = np.array([40, 110, 230], np.float64)
MOST_OPAQUE = 0.7


@dataclass(frozen=True, slots=True)
class Palette:
    """Inks of a chart: text, guides, and one colour a model (told apart by the colour-blind)."""

    ink: str
    guide: str
    series: tuple[str, ...]


LIGHT = Palette("#26241f", "#a39d92", ("#0072b2", "#d55e00", "#009e73", "#aa4499", "#a87900"))
DARK = Palette("#e4dfd4", "#7d776c", ("#69b6ea", "#ff9b5e", "#45cfa2", "#e59ad4", "#e6c34f"))
DASHES = ("-", (0, (6, 1.5)), (0, (3, 1, 1, 1)), (0, (1, 1)), (0, (8, 1.5, 1, 1.5)))


@dataclass(frozen=True, slots=True, eq=False)
class RankCurve:
    """Scores of one model on one set, and what the legend says of them."""

    legend: str
    truth: NDArray[np.int_]
    score: NDArray[np.float64]


def rank_curves(curves: Sequence[RankCurve], *, kind: Literal["roc", "pr"], alt: str) -> str:
    """ROC or precision-recall curves of all models, one on top of the other."""

    def draw(figure: Any, palette: Palette) -> None:  # noqa: ANN401  # matplotlib comes late
        axes = figure.subplots()
        axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal")
        axes.set_xticks(np.linspace(0, 1, 6))
        axes.set_yticks(np.linspace(0, 1, 6))
        if kind == "roc":
            axes.plot([0, 1], [0, 1], color=palette.guide, linewidth=0.8, linestyle=":")
            axes.set(xlabel="1 \N{MINUS SIGN} specificity", ylabel="Sensitivity (recall)")
        else:
            axes.axhline(curves[0].truth.mean(), color=palette.guide, linewidth=0.8, linestyle=":")
            axes.set(xlabel="Recall (sensitivity)", ylabel="Precision")
        for number, curve in enumerate(curves):
            axes.plot(
                *rank_points(curve, kind),
                color=palette.series[number % len(palette.series)],
                linestyle=DASHES[number % len(DASHES)],
                linewidth=1.5,
                drawstyle="default" if kind == "roc" else "steps-post",
                label=curve.legend,
            )
        figure.legend(loc="outside lower center", frameon=False, handlelength=3.2)

    return _chart((3.7, 4.0 + 0.17 * len(curves)), draw, alt)


def rank_points(
    curve: RankCurve, kind: Literal["roc", "pr"]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The points of a curve, in the order in which they are joined."""
    from sklearn.metrics import precision_recall_curve, roc_curve

    if kind == "roc":
        false_positive, true_positive, _ = roc_curve(curve.truth, curve.score)
        return false_positive, true_positive
    # From the lowest threshold on: with steps, the area is the average precision.
    precision, recall, _ = precision_recall_curve(curve.truth, curve.score)
    return recall, precision


def training_curves(history: Mapping[str, NDArray[np.float64]], *, alt: str) -> str:
    """Loss and accuracy of one model by iteration, on training batches and the validation set."""
    iteration = history["iteration"]

    def draw(figure: Any, palette: Palette) -> None:  # noqa: ANN401  # matplotlib comes late
        above, below = figure.subplots(2, 1, sharex=True)
        for axes, quantity in ((above, "loss"), (below, "accuracy")):
            seen = np.isfinite(history[f"val_{quantity}"])
            axes.plot(
                iteration,
                history[f"train_{quantity}"],
                color=palette.series[0],
                linewidth=0.7,
                alpha=0.75,
            )
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

    return _chart((2.3, 2.9), draw, alt)


def _chart(inches: tuple[float, float], draw: Draw, alt: str) -> str:
    light, dark = (_address(_render(inches, draw, palette)) for palette in (LIGHT, DARK))
    width, height = (round(96 * inch) for inch in inches)
    return (
        f'<picture><source media="screen and (prefers-color-scheme: dark)" srcset="{dark}">'
        f'<img src="{light}" width="{width}" height="{height}" alt="{html.escape(alt)}"></picture>'
    )


def _render(inches: tuple[float, float], draw: Draw, palette: Palette) -> bytes:
    matplotlib = require_extra("matplotlib", extra="train", purpose="the report")
    figures = require_extra("matplotlib.figure", extra="train", purpose="the report")
    inks = ("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color")
    buffer = io.BytesIO()
    with matplotlib.rc_context():
        matplotlib.rcdefaults()  # a user's own style must not change the report
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
        figure = figures.Figure(figsize=inches, dpi=DOTS_PER_INCH, layout="constrained")
        draw(figure, palette)
        figure.savefig(buffer, format="png", transparent=True, metadata={"Software": None})
    return buffer.getvalue()


def gallery(items: Sequence[GalleryItem]) -> str:
    """CT-APs with their captions, and boxes around the hips where they are known."""
    return _grid("gallery", [_radiograph(*item) for item in items])


def _radiograph(caption: str, image: Radiograph, found: Mapping[Side, Box] | None = None) -> str:
    """An SVG in millimetres: the picture, the boxes over it, the sides of the patient."""
    found = _known_boxes(image) if found is None else found
    (rows, columns), (down, across) = image.shape, image.pixel_mm
    high, wide = rows * down, columns * across
    square = image.square()
    shown = min(square.shape[0], GALLERY_ROWS)
    grey = square.to_uint8().astype(np.float32)
    picture = _grey(resize(grey, shown, max(1, round(shown * square.shape[1] / square.shape[0]))))
    rectangles = "".join(
        f'<rect x="{box.left * across:.1f}" y="{box.top * down:.1f}" '
        f'width="{box.width * across:.1f}" height="{box.height * down:.1f}"/>'
        for box in found.values()
    )
    return (
        f'<figure><svg viewBox="0 0 {wide:.1f} {high:.1f}" role="img" '
        f'aria-label="CT-AP: {html.escape(caption)}">'
        f'<image href="{picture}" width="{wide:.1f}" height="{high:.1f}" '
        f'preserveAspectRatio="none"/>{rectangles}'
        f'<text x="{0.02 * wide:.1f}" y="{0.07 * wide:.1f}" font-size="{0.055 * wide:.1f}">R</text>'
        f'<text x="{0.98 * wide:.1f}" y="{0.07 * wide:.1f}" font-size="{0.055 * wide:.1f}" '
        f'text-anchor="end">L</text></svg><figcaption>{html.escape(caption)}</figcaption></figure>'
    )


def _known_boxes(image: Radiograph) -> Mapping[Side, Box]:
    if image.alignment is None or image.alignment.landmarks is None:
        return {}
    try:
        return boxes(image)
    except PoseError:  # the image ends at a hip: shown without boxes
        return {}


def crops(hips: Sequence[Hip]) -> str:
    """A row of crops, each with its grade."""
    return _grid(
        "crops",
        [
            f'<figure><img src="{_grey(read_grey(hip.image, CROP_PIXELS))}" alt="{grade} hip">'
            f"<figcaption>{grade}</figcaption></figure>"
            for hip in hips
            for grade in ["ungraded" if hip.kl is None else f"KL {hip.kl}"]
        ],
    )


def read_grey(path: Path, size: int) -> NDArray[np.float32]:
    """A picture file as grey levels 0 to 255, no larger than ``size`` rows or columns."""
    pictures = require_extra("matplotlib.image", extra="train", purpose="the report")
    try:
        pixels = np.asarray(pictures.imread(path), np.float32)
    except (OSError, SyntaxError, ValueError):
        raise ManifestError(
            f"{path.name}: no readable picture; the manifest must name crops that exist."
        ) from None
    if path.suffix.lower() == ".png":
        pixels = 255 * pixels  # matplotlib reads PNG files as fractions
    grey = pixels if pixels.ndim == 2 else pixels[..., :3].mean(axis=2)
    shrink = min(1.0, size / max(grey.shape))
    rows, columns = (max(1, round(length * shrink)) for length in grey.shape)
    return resize(grey, rows, columns)


def occlusions(examples: Sequence[OcclusionExample]) -> str:
    """Crops beside their occlusion maps; ground truth top left, probability top right."""
    return _grid("occlusions", [_occlusion(example) for example in examples])


def _occlusion(example: OcclusionExample) -> str:
    truth = "rHOA" if example.label else "no-rHOA"
    verdict = "misclassified" if example.misclassified else "correct"
    return (
        f'<figure class="{verdict}"><div class="pair">'
        f'<img src="{_grey(255 * _fraction(example.image))}" alt="crop">'
        f'<img src="{_address(overlay_png(example.image, example.map))}" alt="occlusion map">'
        f"<span>GT {truth}</span><span>P(rHOA) {example.probability:.2f}</span></div>"
        f"<figcaption><b>{verdict.capitalize()}.</b> {html.escape(example.caption)}</figcaption>"
        "</figure>"
    )


def overlay_png(image: NDArray[np.float32], influence: NDArray[np.float32]) -> bytes:
    """A grey image under a signed map: red above zero, blue below, opaque with magnitude."""
    pictures = require_extra("matplotlib.image", extra="train", purpose="the report")
    largest = float(np.abs(influence).max())
    strength = influence / largest if largest > 0 else np.zeros_like(influence)
    opacity = MOST_OPAQUE * np.abs(strength)[..., None]
    colour = np.where(strength[..., None] > 0, SUPPORTS, OPPOSES)
    grey = 255 * _fraction(image)[..., None]
    pixels = np.rint((1 - opacity) * grey + opacity * colour).astype(np.uint8)
    buffer = io.BytesIO()
    pictures.imsave(buffer, pixels, format="png", metadata={"Software": None})
    return buffer.getvalue()


def _fraction(image: NDArray[np.float32]) -> NDArray[np.float32]:
    return (stretch(image) / 255).astype(np.float32)


def _grey(levels: NDArray[np.float32]) -> str:
    return _address(encode_png(np.rint(np.clip(levels, 0, 255)).astype(np.uint8)))


def _grid(name: str, figures: Sequence[str]) -> str:
    return f'<div class="grid {name}">{"".join(figures)}</div>'


def _address(png: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(png).decode("ascii")

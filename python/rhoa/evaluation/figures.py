"""Figures of the report as HTML fragments that carry their pictures: charts and images.

Charts are drawn twice, in ink for light and for dark pages; the page picks one. Every picture is a
base64 PNG whose bytes depend on its content only.
"""

from __future__ import annotations

import base64
import html
import io
from typing import TYPE_CHECKING, Protocol

import numpy as np

from rhoa.errors import ManifestError, PoseError, ReadError, require_extra
from rhoa.evaluation.charts import DARK, LIGHT
from rhoa.evaluation.overlays import fraction, overlay
from rhoa.hips import boxes
from rhoa.hips.crop_files import CROP_REFUSALS, read_crop
from rhoa.picture import encode_png, resize

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from rhoa.cohort import Hip
    from rhoa.evaluation.occlusions import OcclusionExample
    from rhoa.hips.boxes import Box
    from rhoa.pose.sides import Side
    from rhoa.radiograph import Radiograph

    GalleryItem = tuple[str, Radiograph] | tuple[str, Radiograph, Mapping[Side, Box]]

    from rhoa.evaluation.charts import Palette

    class Draw(Protocol):
        """A chart but for its inks."""

        def __call__(self, *, palette: Palette) -> Figure:
            """The figure."""
            ...


GALLERY_ROWS = 420
CROP_PIXELS = 144


def chart(draw: Draw, alt: str) -> str:
    """A chart of `rhoa.evaluation.charts`, drawn for light pages and for dark ones."""
    light, dark = draw(palette=LIGHT), draw(palette=DARK)
    width, height = (round(96 * inch) for inch in light.get_size_inches())
    addresses = [_address(_png(figure)) for figure in (light, dark)]
    return (
        '<picture><source media="screen and (prefers-color-scheme: dark)" '
        f'srcset="{addresses[1]}">'
        f'<img src="{addresses[0]}" width="{width}" height="{height}" alt="{html.escape(alt)}">'
        "</picture>"
    )


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
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
        f'text-anchor="end">L</text></svg><figcaption>{html.escape(caption)}'
        f"{_pose(image)}</figcaption></figure>"
    )


def _pose(image: Radiograph) -> str:
    """Angles of the pelvis and what is to be looked at, as two lines."""
    alignment = image.alignment
    if alignment is None:
        return "<br>as scanned"
    names = ("tilt", "obliquity", "rotation")
    angles = ", ".join(
        f"{name} {angle:.1f}\N{DEGREE SIGN}".replace("-", "\N{MINUS SIGN}")
        for name, angle in zip(names, alignment.angles, strict=True)
    )
    flags = ", ".join(sorted(alignment.flags)) or "no flags"
    kind = ' class="flagged"' if alignment.flags else ""
    return f"<br>{angles}<br><span{kind}>{html.escape(flags)}</span>"


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
            f'<figure><img src="{_grey(read_grey(hip.crop, CROP_PIXELS))}" alt="{grade} hip">'
            f"<figcaption>{grade}</figcaption></figure>"
            for hip in hips
            for grade in ["ungraded" if hip.kl is None else f"KL {hip.kl}"]
        ],
    )


def scored_crops(hips: Sequence[tuple[Hip, float]]) -> str:
    """Crops with ground truth top left and probability top right."""
    return _grid(
        "failures",
        [
            f'<figure><div class="pair single-crop">'
            f'<img src="{_grey(read_grey(hip.crop, CROP_PIXELS))}" alt="crop">'
            f"<span>GT {'rHOA' if hip.label else 'no-rHOA'}</span><span>{score:.2f}</span></div>"
            f"<figcaption>{hip.side} hip, {'ungraded' if hip.kl is None else f'KL {hip.kl}'}"
            "</figcaption></figure>"
            for hip, score in hips
        ],
    )


def read_grey(path: Path, size: int) -> NDArray[np.float32]:
    """A crop as models see it, no larger than ``size`` rows and columns.

    Whatever training was allowed to take is shown: what is not square is padded.
    """
    try:
        return shrunk(read_crop(path, accept=CROP_REFUSALS), size)
    except ReadError as error:
        raise ManifestError(f"{error} The manifest must name crops that exist.") from None


def shrunk(grey: NDArray[np.float32], size: int) -> NDArray[np.float32]:
    """A square image, no larger than ``size`` rows and columns."""
    side = min(size, len(grey))
    return grey if side == len(grey) else resize(grey, side, side)


def occlusions(examples: Sequence[OcclusionExample]) -> str:
    """Crops beside their occlusion maps; ground truth top left, probability top right."""
    return _grid("occlusions", [_occlusion(example) for example in examples])


def _occlusion(example: OcclusionExample) -> str:
    truth = "rHOA" if example.label else "no-rHOA"
    verdict = "misclassified" if example.misclassified else "correct"
    return (
        f'<figure class="{verdict}"><div class="pair">'
        f'<img src="{_grey(255 * fraction(example.image))}" alt="crop">'
        f'<img src="{_address(overlay_png(example.image, example.map))}" alt="occlusion map">'
        f"<span>GT {truth}</span><span>P(rHOA) {example.probability:.2f}</span></div>"
        f"<figcaption><b>{verdict.capitalize()}.</b> {html.escape(example.caption)}</figcaption>"
        "</figure>"
    )


def overlay_png(image: NDArray[np.float32], influence: NDArray[np.float32]) -> bytes:
    """`rhoa.evaluation.overlays.overlay` as a PNG file."""
    pictures = require_extra("matplotlib.image", extra="train", purpose="the report")
    buffer = io.BytesIO()
    pixels = overlay(image, influence)
    pictures.imsave(buffer, pixels, format="png", metadata={"Software": None})
    return buffer.getvalue()


def _grey(levels: NDArray[np.float32]) -> str:
    return _address(encode_png(np.rint(np.clip(levels, 0, 255)).astype(np.uint8)))


def _grid(name: str, figures: Sequence[str]) -> str:
    return f'<div class="grid {name}">{"".join(figures)}</div>'


def _address(png: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(png).decode("ascii")

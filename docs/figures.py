"""Draw the pictures of these pages from digital pelves.

    python docs/figures.py                     # into docs/figures, a minute
    python docs/figures.py --spacing-mm 4 --out /tmp/figures

Needs matplotlib (``pip install '.[train]'``).
"""

from __future__ import annotations

import argparse
import warnings
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from PIL import Image

import rhoa
from rhoa.evaluation import sample_size
from rhoa.evaluation.planning import width_chart
from rhoa.hips.contact_sheet import frontal, lateral, marked
from rhoa.phantom import Anatomy, Surroundings, ct
from rhoa.raster import draw_box

if TYPE_CHECKING:
    from collections.abc import Mapping

    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from rhoa.phantom import Phantom

ANGLES = (14.0, 4.0, -5.0)  # tilt, obliquity, rotation in degrees: more than most patients have
SEED = 6
DOTS_PER_INCH = 96
YELLOW, BLUE = "#ffd54a", "#7fd4ff"  # told apart by colour-blind readers, on grey


def main() -> None:
    """Draw all of them."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "figures")
    parser.add_argument("--spacing-mm", type=float, default=1.5, help="of the digital CT")
    options = parser.parse_args()
    draw(options.out, options.spacing_mm)


def draw(out: Path, spacing_mm: float) -> None:
    """Write every picture into ``out``."""
    phantom = ct(Anatomy.random(SEED), spacing_mm=(spacing_mm,) * 3, angles=ANGLES)
    out.mkdir(parents=True, exist_ok=True)
    figures = {
        "geometry": geometry(phantom),
        "realigned": realigned(phantom),
        "slices": slices(phantom),
        "flagged": flagged(spacing_mm),
        "grades": grades(spacing_mm),
        "widths": width_chart(sample_size([20, 60, 100, 200, 300, 400], hips=2)),
    }
    for name, drawn in figures.items():
        drawn.savefig(out / f"{name}.png", dpi=DOTS_PER_INCH)


def geometry(phantom: Phantom) -> Figure:
    """The anterior pelvic frame, from the front and from the side."""
    pose = rhoa.pose.from_landmarks(phantom.landmarks)
    figure = _figure((9.6, 4.3))
    front, side = figure.subplots(1, 2, width_ratios=(1.15, 1))
    _front(front, rhoa.ctap(phantom.volume, pose=pose), pose)
    _side(side, phantom.volume, pose)
    return figure


def realigned(phantom: Phantom) -> Figure:
    """One scan as it was taken, and realigned with a box around each hip."""
    pose = rhoa.pose.from_landmarks(phantom.landmarks)
    image = rhoa.ctap(phantom.volume, pose=pose)
    grey = image.to_uint8()
    joints = rhoa.hips.joints(phantom.volume, pose)
    for box in rhoa.hips.boxes(image, joints=joints).values():
        grey = draw_box(grey, box.top, box.left, box.bottom, box.right)
    pictures = rhoa.ctap(phantom.volume).square().to_uint8(), grey
    figure = _figure((9.0, 3.6))
    shapes = [columns / rows for rows, columns in (picture.shape for picture in pictures)]
    panels = figure.subplots(1, 2, width_ratios=shapes)
    titles = ("as scanned", "realigned")
    for axes, picture, title in zip(panels, pictures, titles, strict=True):
        axes.imshow(picture, cmap="gray", vmin=0, vmax=255)
        axes.set_title(title)
        axes.set_axis_off()
    return figure


def slices(phantom: Phantom) -> Figure:
    """The left hip of one scan, from slices as they are and from thicker ones."""
    thin, affine = phantom.volume.hu, phantom.volume.affine
    panels = {}
    for joined in (1, 2, 4):
        hu = thin[: len(thin) // joined * joined].reshape(-1, joined, *thin.shape[1:]).mean(axis=1)
        grid = affine @ np.diag([joined, 1, 1, 1])
        grid[:3, 3] += affine[:3, 0] * (joined - 1) / 2
        volume = rhoa.Volume(hu.astype(np.int16), grid)
        panels[f"slices of {volume.spacing_mm[0]:.3g} mm"] = _left_hip(volume, phantom)
    return _row(panels, (7.5, 2.8))


def grades(spacing_mm: float) -> Figure:
    """The left hip of one pelvis, by the grade that it was made with."""
    panels = {}
    for kl in range(5):
        phantom = ct(Anatomy.random(SEED, kl_left=kl), spacing_mm=(spacing_mm,) * 3)
        panels[f"KL {kl}"] = _left_hip(phantom.volume, phantom)
    return _row(panels, (9.6, 2.2))


def _left_hip(volume: rhoa.Volume, truth: Phantom) -> NDArray[np.uint8]:
    """The crop of the left hip, in the box that the phantom's own scan gives."""
    pose = rhoa.pose.from_landmarks(truth.landmarks)
    found = rhoa.ctap(truth.volume, pose=pose)
    box = rhoa.hips.boxes(found, joints=rhoa.hips.joints(truth.volume, pose))["left"]
    image = rhoa.ctap(volume, pose=pose)
    edges = [
        edge + 0.5
        for corner in ((box.top, box.left), (box.bottom, box.right))
        for edge in image.to_pixel(*found.to_mm(corner[0] - 0.5, corner[1] - 0.5))
    ]
    return rhoa.hips.model_crop(image, rhoa.hips.Box("left", *edges), source="ct")


def flagged(spacing_mm: float) -> Figure:
    """A scan that ends below the iliac spines, with a hip that was replaced, as it is reviewed."""
    reach_mm = ((-225.0, 225.0), (-95.0, 225.0), (-95.0, 80.0))
    around = Surroundings(implant="left", reach_mm=reach_mm)
    scan = ct(Anatomy.random(SEED), spacing_mm=(spacing_mm,) * 3, surroundings=around)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", rhoa.RhoaWarning)  # its flags are what the picture shows
        found = rhoa.hips.extract(scan.volume)
    views = (
        frontal(found.image, found.alignment, found.joints, found.boxes),
        lateral(scan.volume, found.alignment, found.joints),
    )
    pictures = [np.asarray(Image.open(BytesIO(marked(view)))) for view in views]
    return _row(dict(zip(("from the front", "from the patient's left"), pictures, strict=True)))


def _row(
    panels: Mapping[str, NDArray[np.uint8]], inches: tuple[float, float] = (9.0, 3.2)
) -> Figure:
    """Pictures beside each other, of one height."""
    figure = _figure(inches)
    pictures = list(panels.values())
    shapes = [picture.shape[1] / picture.shape[0] for picture in pictures]
    for axes, title, picture in zip(
        figure.subplots(1, len(panels), width_ratios=shapes), panels, pictures, strict=True
    ):
        axes.imshow(picture, cmap="gray", vmin=0, vmax=255)
        axes.set_title(title)
        axes.set_axis_off()
    return figure


def _figure(inches: tuple[float, float]) -> Figure:
    return Figure(figsize=inches, layout="constrained")


def _front(axes: Axes, image: rhoa.Radiograph, pose: rhoa.Alignment) -> None:
    """A CT-AP with the frame's x and z, and the four landmarks."""
    rows, columns = image.shape
    (left, top), (right, bottom) = image.to_mm(-0.5, -0.5), image.to_mm(rows - 0.5, columns - 0.5)
    axes.imshow(image.to_uint8(), cmap="gray", extent=(left, right, bottom, top))
    points = pose.to_ap(pose.landmarks.as_array() if pose.landmarks else np.empty((0, 3)))
    axes.plot(points[:, 0], points[:, 2], "o", color=BLUE, markersize=6)
    for (x, _, z), name in zip(points[:2], ("left ASIS", "right ASIS"), strict=True):
        _label(axes, name, (x, z), (0, 8), BLUE)
    _label(axes, "pubic tubercles", (0, 0), (0, -20), BLUE)
    _arrow(axes, (0, 0), (70, 0), "x, patient's left", (0, 6))
    _arrow(axes, (0, 0), (0, 70), "z, superior", (42, -4))
    axes.set_title("from the front: a CT-AP")
    axes.set_xlabel("x, mm  (column 0 is the patient's right)")
    axes.set_ylabel("z, mm  (row 0 is superior)")


def _side(axes: Axes, volume: rhoa.Volume, pose: rhoa.Alignment) -> None:
    """The scan summed from side to side, with the plane, the rays and the tilt."""
    sums = rhoa.ctap(volume.hu, axis=2)
    dk, dj, _ = volume.spacing_mm
    slices, rows = sums.shape
    y, z = volume.to_lps([0, 0, 0])[1:]
    extent = (y - dj / 2, y + (rows - 0.5) * dj, z - dk / 2, z + (slices - 0.5) * dk)
    low, high = np.percentile(sums, (1, 99.8))
    axes.imshow(sums, cmap="gray", extent=extent, origin="lower", vmin=low, vmax=high)
    origin, spine = _side_on(pose, (0, 0, 0)), _side_on(pose, (0, 0, 130))
    axes.axline(origin, spine, color=BLUE, linewidth=1.2)
    axes.plot([origin[0]] * 2, [origin[1], origin[1] + 130], "--", color="white", linewidth=1)
    for height in (30, 60, 90):
        ray = _side_on(pose, (0, -25, height)), _side_on(pose, (0, 140, height))
        axes.annotate("", ray[1], ray[0], arrowprops={"arrowstyle": "->", "color": YELLOW})
    _label(axes, "rays along y", _side_on(pose, (0, 100, 90)), (0, 8), YELLOW)
    tilt = f"tilt {pose.angles.tilt:+.0f}\N{DEGREE SIGN}"
    _label(axes, tilt, (origin[0], origin[1] + 130), (14, 4), "white")
    _label(axes, "anterior pelvic plane", _side_on(pose, (0, 0, -70)), (-30, 0), BLUE)
    axes.set_title("from the patient's left: plane and rays")
    axes.set_xlabel("y of the scanner (LPS), mm")
    axes.set_ylabel("z of the scanner (LPS), mm")


def _side_on(pose: rhoa.Alignment, ap_mm: tuple[float, float, float]) -> tuple[float, float]:
    """Patient (y, z) of a point in the AP frame."""
    _, y, z = pose.to_lps(ap_mm)
    return float(y), float(z)


def _arrow(
    axes: Axes,
    start: tuple[float, float],
    end: tuple[float, float],
    name: str,
    offset: tuple[float, float],
) -> None:
    axes.annotate("", end, start, arrowprops={"arrowstyle": "->", "color": YELLOW, "lw": 1.8})
    _label(axes, name, end, offset, YELLOW)


def _label(
    axes: Axes, text: str, place: tuple[float, float], offset: tuple[float, float], color: str
) -> None:
    """Text with a dark rim, to be read on any grey."""
    rim = [withStroke(linewidth=2.5, foreground="black")]
    axes.annotate(
        text,
        place,
        offset,
        textcoords="offset points",
        color=color,
        ha="center",
        path_effects=rim,
    )


if __name__ == "__main__":
    main()

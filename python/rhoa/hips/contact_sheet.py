"""A contact sheet: pose and hips of many images, from the front and from the side."""

from __future__ import annotations

import html
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal
from urllib.parse import quote

import numpy as np

from rhoa.files import atomic_write
from rhoa.hips.annotations import in_picture
from rhoa.pose.bone import along_patient
from rhoa.projection import ctap
from rhoa.radiograph import Radiograph
from rhoa.raster import encode_png, resize, stretch
from rhoa.xray.preparation import SATURATION_PERCENT

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from os import PathLike

    from numpy.typing import NDArray

    from rhoa._types import Side
    from rhoa.hips.femoral_heads import Joint
    from rhoa.pose import Alignment
    from rhoa.radiograph import Box
    from rhoa.volume import Volume

    Point = NDArray[np.float64]


# A contact sheet: one page on which the eye checks pose and hips of many images.

Verdict = Literal["failed", "not used", "look", "fine"]
VERDICTS: dict[Verdict, str] = {
    "failed": "no image or no hips were made; the reason is beside the name",
    "not used": "the pose found is not to be trusted, and the image is as scanned",
    "look": "used; something asks for a look",
    "fine": "nothing was flagged",
}
"""In the order of the page: what needs a person comes first."""

OF_SCANS = (
    "The patient's left is on the right of the frontal view; the lateral view looks from the "
    "patient's left. Circles are femoral heads (dashed: assumed, not found), squares are what is "
    "cropped, the line of the lateral view is the anterior pelvic plane."
)
OF_XRAYS = (
    "The patient's left is on the right. Squares are what is cropped; their scores are beside the "
    "picture, and under the pointer."
)


@dataclass(frozen=True, slots=True, eq=False)
class SheetEntry:
    """One scan or X-ray on the sheet."""

    name: str
    """Without patient data."""
    verdict: Verdict
    facts: Sequence[tuple[str, str]] = ()
    """What was measured: (name, value)."""
    flags: Sequence[str] = ()
    notes: Sequence[str] = ()
    """Sentences: warnings, or why it failed."""
    views: Sequence[View] = ()


def write_card(entry: SheetEntry, folder: str | PathLike[str], *, place: str | None = None) -> str:
    """The part of a page that shows one image; its pictures are written into ``folder``.

    Pictures are ``view-1.png`` and so on; the page finds them in ``place`` beside it, by default a
    folder of the entry's name. Landmarks, plane, femoral heads and boxes are drawn over them by
    the page, with their names under the pointer.
    """
    views = []
    for number, view in enumerate(entry.views, 1):
        file = f"view-{number}.png"
        atomic_write(Path(folder) / file, encode_png(view.grey, pixel_mm=view.pixel_mm))
        views.append(_figure(view, quote(f"{place or entry.name}/{file}")))
    flags = "".join(f"<li>{html.escape(flag.replace('_', ' '))}</li>" for flag in entry.flags)
    facts = "".join(
        f"<dt>{html.escape(name)}</dt><dd>{html.escape(value)}</dd>" for name, value in entry.facts
    )
    notes = "".join(f"<p>{html.escape(note)}</p>" for note in entry.notes)
    return (
        f'<article class="{entry.verdict.replace(" ", "-")}">\n'
        f"<h3>{html.escape(entry.name)}</h3>\n"
        + (f'<ul class="flags">{flags}</ul>\n' if flags else "")
        + (f'<div class="views">{"".join(views)}</div>\n' if views else "")
        + (f"<dl>{facts}</dl>\n" if facts else "")
        + f"{notes}</article>\n"
    )


def sheet(
    cards: Iterable[tuple[Verdict, str]], *, title: str, legend: str = OF_SCANS, what: str = "scans"
) -> str:
    """The page of cards, as `write_card` makes them: what needs a person comes first."""
    groups: dict[Verdict, list[str]] = {verdict: [] for verdict in VERDICTS}
    for verdict, card in cards:
        groups[verdict].append(card)
    counts = ", ".join(f"{len(found)} {verdict}" for verdict, found in groups.items() if found)
    parts = "".join(
        f"<h2>{len(found)} {verdict}<small>{VERDICTS[verdict]}</small></h2>\n{''.join(found)}"
        for verdict, found in groups.items()
        if found
    )
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{html.escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n"
        f"<h1>{html.escape(title)}</h1>\n<p>{counts or f'no {what}'}. {legend}</p>\n"
        f"{parts}</main>\n</body>\n</html>\n"
    )


def _figure(view: View, source: str) -> str:
    rows, columns = view.grey.shape
    marks = "".join(_mark(mark) for mark in view.marks)
    title = html.escape(view.title)
    return (
        f'<figure><svg viewBox="0 0 {columns} {rows}" role="img" aria-label="{title}">'
        f'<image href="{source}" width="{columns}" height="{rows}"/>{marks}</svg>'
        f"<figcaption>{title}</figcaption></figure>\n"
    )


def _mark(mark: Mark) -> str:
    """A shape with its name, which the browser shows under the pointer."""
    at = [f"{value:.1f}" for value in mark.at]
    kind = mark.kind if mark.sure else f"{mark.kind} assumed"
    title = f"<title>{html.escape(mark.label)}</title>"
    match mark.kind:
        case "point":
            shape, place = "path", f'd="M{at[0]} {at[1]}h0"'  # its dot is as large as its stroke
        case "circle":
            shape, place = "circle", f'cx="{at[0]}" cy="{at[1]}" r="{at[2]}"'
        case "line":
            shape, place = "line", f'x1="{at[0]}" y1="{at[1]}" x2="{at[2]}" y2="{at[3]}"'
        case "box":
            left, top, right, bottom = mark.at
            shape = "rect"
            place = (
                f'x="{at[0]}" y="{at[1]}" width="{right - left:.1f}" height="{bottom - top:.1f}"'
            )
    return f'<{shape} class="{kind}" {place}>{title}</{shape}>'


STYLE = """
:root { color-scheme: dark; --ink: #e6e6e3; --quiet: #9a9a94; --paper: #161615; --card: #1f1f1d;
  --rule: #34342f; --wrong: #ff8a70; --look: #f0c05a; --fine: #7fce8f; --mark: #56c7ff }
body { margin: 0; background: var(--paper); color: var(--ink); font: 15px/1.45 system-ui,
  sans-serif } main { max-width: 80rem; margin: 0 auto; padding: 1.5rem 1rem 4rem }
h1 { font-size: 1.4rem; margin: 0 0 .3rem } p { max-width: 60rem; margin: .3rem 0 }
h2 { font-size: 1.05rem; margin: 2rem 0 .6rem } small { color: var(--quiet); font-weight: 400;
  margin-left: .7rem } main > p, figcaption, dt { color: var(--quiet) }
article { background: var(--card); border-left: 4px solid var(--fine); padding: .7rem 1rem;
  margin: 0 0 .8rem } article.failed, article.not-used { border-color: var(--wrong) }
article.look { border-color: var(--look) } h3 { display: inline-block; margin: 0 .8rem 0 0;
  font-size: 1rem; overflow-wrap: anywhere }
.flags { display: inline-flex; flex-wrap: wrap; gap: .35rem; margin: 0; padding: 0;
  list-style: none } .flags li { border: 1px solid var(--look); color: var(--look);
  border-radius: 1rem; padding: 0 .6rem; font-size: .85rem }
.not-used .flags li { border-color: var(--wrong); color: var(--wrong) }
.views { display: flex; flex-wrap: wrap; gap: .8rem; margin: .6rem 0 }
figure { margin: 0; flex: 1 1 22rem; max-width: 38rem } figcaption { font-size: .85rem }
svg { display: block; width: 100%; height: auto; max-height: 70vh; background: #000 }
svg .point { stroke: var(--mark); stroke-width: 8px; stroke-linecap: round }
svg .line { stroke: var(--mark); stroke-width: 1.5px }
svg .circle, svg .box { fill: none; stroke: var(--fine); stroke-width: 1.5px }
svg .circle { stroke: var(--mark) } svg .assumed { stroke-dasharray: 5 4 }
svg * { vector-effect: non-scaling-stroke; pointer-events: all }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .1rem 1rem; margin: .4rem 0;
  font-size: .9rem } dd { margin: 0; font-variant-numeric: tabular-nums }
@media print { :root { color-scheme: light; --ink: #111; --quiet: #555; --paper: #fff;
  --card: #fff } article { break-inside: avoid } }
"""


# A scan as the eye checks it: from the front and from the side, with what was found in it.

NAMES = {
    "asis_left": "left ASIS",
    "asis_right": "right ASIS",
    "pubic_tubercle_left": "left pubic tubercle",
    "pubic_tubercle_right": "right pubic tubercle",
}
FILM_PX = 800
"""Of the longer side of an X-ray on a page."""
PLANE_BEYOND = 0.35
"""The plane is drawn beyond spines and tubercles by this share of the distance between them."""


@dataclass(frozen=True, slots=True)
class Mark:
    """Something found, to be drawn over a picture; in pixel edges, column before row."""

    kind: Literal["point", "line", "circle", "box"]
    label: str
    at: tuple[float, ...]
    """Point (x, y); line (x, y, x, y); circle (x, y, radius); box (left, top, right, bottom)."""
    sure: bool = True


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """A picture with square pixels, and the marks that belong over it."""

    title: str
    grey: NDArray[np.uint8]
    pixel_mm: float
    marks: tuple[Mark, ...]


def frontal(
    image: Radiograph,
    alignment: Alignment | None,
    joints: Mapping[Side, Joint],
    boxes: Mapping[Side, Box],
) -> View:
    """The CT-AP: landmarks, the line through the spines, femoral heads and hip boxes.

    Parameters
    ----------
    image
        The CT-AP, posed or as scanned.
    alignment
        The pelvis in it, whether the image was posed by it or not; None where none was found.
    joints, boxes
        What was found of each side; a side may be absent. Boxes are in the pixels of ``image``.
    """
    square = image.square()
    frame = square.frame

    def place(lps_mm: Point) -> tuple[float, float]:
        point = lps_mm if frame is None else frame.to_ap(lps_mm)
        row, column = square.to_pixel(float(point[0]), float(point[2]))
        return column + 0.5, row + 0.5

    marks = [_boxed(box, "confidence") for box in in_picture(image, boxes.values())]
    for joint in joints.values():
        radius = joint.radius_mm / square.pixel_mm[0]
        head = (*place(joint.centre_lps_mm), radius)
        marks.append(Mark("circle", f"{joint.side} femoral head", head, sure=joint.found))
    if alignment is not None and alignment.landmarks is not None:
        points = dict(zip(NAMES, alignment.landmarks.as_array(), strict=True))
        spines = (*place(points["asis_right"]), *place(points["asis_left"]))
        marks.append(Mark("line", "through both ASIS", spines))
        marks += [Mark("point", NAMES[name], place(point)) for name, point in points.items()]
    posed = "in the anterior pelvic plane" if image.alignment is not None else "as scanned"
    return View(f"CT-AP, {posed}", square.to_uint8(), square.pixel_mm[0], tuple(marks))


def film(image: Radiograph, boxes: Mapping[Side, Box], *, most_px: int = FILM_PX) -> View:
    """An X-ray with its hip boxes and their scores, no more than ``most_px`` pixels a side."""
    square = image.square()
    shrunk = min(1.0, most_px / max(square.shape))
    rows, columns = (max(1, round(count * shrunk)) for count in square.shape)
    marks = []
    for box in in_picture(image, boxes.values()):
        mark = _boxed(box, "score")
        marks.append(replace(mark, at=tuple(shrunk * edge for edge in mark.at)))
    grey = stretch(resize(square.pixels, rows, columns), saturate_percent=SATURATION_PERCENT)
    pixel_mm = square.pixel_mm[0] / shrunk
    return View("X-ray", grey.astype(np.uint8, copy=False), pixel_mm, tuple(marks))


def lateral(volume: Volume, alignment: Alignment | None, joints: Mapping[Side, Joint]) -> View:
    """The scan from the patient's left side, as scanned: the anterior pelvic plane as a line.

    Parameters
    ----------
    volume
        The scan.
    alignment
        The pelvis in it; None where none was found.
    joints
        Both hips; a side may be absent.
    """
    scan = along_patient(volume)
    rows, columns, _ = scan.spacing_mm
    pixels = ctap(scan.hu, axis=2)[::-1]
    top = (len(pixels) - 1) * rows
    square = Radiograph(pixels, (rows, columns), (0.0, top)).square()

    def place(lps_mm: Point) -> tuple[float, float]:
        k, j, _ = scan.to_index(lps_mm)
        row, column = square.to_pixel(float(j * columns), float(k * rows))
        return column + 0.5, row + 0.5

    marks = [
        Mark(
            "circle",
            f"{joint.side} femoral head",
            (*place(joint.centre_lps_mm), joint.radius_mm / square.pixel_mm[0]),
            sure=joint.found,
        )
        for joint in joints.values()
    ]
    if alignment is not None and alignment.landmarks is not None:
        landmarks = alignment.landmarks.as_array()
        spines, pubis = landmarks[:2].mean(axis=0), landmarks[2:].mean(axis=0)
        beyond = PLANE_BEYOND * (spines - pubis)
        ends = (*place(pubis - beyond), *place(spines + beyond))
        marks.append(Mark("line", "anterior pelvic plane", ends))
        marks += [
            Mark("point", NAMES[name], place(point))
            for name, point in zip(NAMES, landmarks, strict=True)
        ]
    return View("from the left, as scanned", square.to_uint8(), square.pixel_mm[0], tuple(marks))


def _boxed(box: Box, certainty: str) -> Mark:
    """The mark of a box of a picture, with what is known of it."""
    known = "" if box.confidence is None else f", {certainty} {box.confidence:.2f}"
    return Mark("box", f"{box.side} hip{known}", (box.left, box.top, box.right, box.bottom))

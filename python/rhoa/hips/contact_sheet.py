"""A contact sheet: pose and hips of many images, from the front and from the side."""

from __future__ import annotations

import html
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Literal
from urllib.parse import quote

import numpy as np

from rhoa.files import atomic_write
from rhoa.hips.annotations import in_picture
from rhoa.pose.bone import along_patient
from rhoa.projection import ctap
from rhoa.radiograph import Radiograph
from rhoa.raster import encode_png, picture_label, resize, stretch
from rhoa.xray.preparation import SATURATION_PERCENT
from rhoa.xray.refusals import is_measured

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from os import PathLike

    from numpy.typing import NDArray

    from rhoa._types import Side
    from rhoa.hips.femoral_heads import Joint
    from rhoa.pose import Alignment, Landmarks
    from rhoa.radiograph import Box
    from rhoa.volume import Volume

    Point = NDArray[np.float64]
    Place = Callable[[Point], tuple[float, float]]


# A contact sheet: one page on which the eye checks pose and hips of many images.

Verdict = Literal["failed", "not used", "look", "fine"]
VERDICTS: dict[Verdict, tuple[str, str]] = {
    "failed": ("failed", "no image or no hips were made; the reason is beside the name"),
    "not used": (
        "could not be posed",
        "the pose that was found is not to be trusted, and the image is as scanned",
    ),
    "look": ("to review", "used, and something was flagged"),
    "fine": ("without a flag", "nothing asks for a review"),
}
"""Headings and what they mean, in the order of the page: what needs a person comes first."""
FLAGS_PAGE = "docs/flags.md"
"""Of rhoa's documentation."""
SCALE_MM = (10, 20, 50, 100)
TEXT_SHARE = 0.035
"""Of a picture's width that its sides and scale are high."""
SCALE_SHARE = 0.3
"""Of a picture's width that its scale bar takes, at most."""

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
    crops: Sequence[tuple[str, str]] = ()
    """Of hips: (title, name of the file in the entry's folder)."""


_META = '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'


class Markup(str):
    """HTML, which is not escaped again; every other text is."""

    __slots__ = ()


def tag(name: str, *inner: str, **attributes: object) -> Markup:
    """An element of a page: whatever is no `Markup` is text in it, and never a part of the page.

    Examples
    --------
    >>> tag("p", "a < b", tag("b", "!"), title='"')
    '<p title="&quot;">a &lt; b<b>!</b></p>'
    """
    described = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{html.escape(str(value))}"'
        for key, value in attributes.items()
    )
    body = "".join(one if isinstance(one, Markup) else html.escape(one) for one in inner)
    return Markup(f"<{name}{described}>{body}</{name}>")


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
    crops = [
        tag("figure", tag("img", src=quote(f"{place or entry.name}/{file}"), alt=title, width=300),
            tag("figcaption", title))
        for title, file in entry.crops
    ]  # fmt: skip
    flags = [tag("li", flag.replace("_", " ")) for flag in entry.flags]
    facts = [tag(*cell) for name, text in entry.facts for cell in (("dt", name), ("dd", text))]
    parts = [
        tag("h3", entry.name),
        *([tag("ul", *flags, class_="flags")] if flags else ()),
        *([tag("div", *views, class_="views")] if views else ()),
        *([tag("div", *crops, class_="crops")] if crops else ()),
        *([tag("dl", *facts)] if facts else ()),
        *(tag("p", note) for note in entry.notes),
    ]
    between = Markup("\n")
    inner = (piece for part in parts for piece in (part, between))
    return tag("article", between, *inner, class_=entry.verdict.replace(" ", "-"))


def sheet(
    cards: Iterable[tuple[Verdict, str]], *, title: str, legend: str = OF_SCANS, what: str = "scans"
) -> str:
    """The page of cards, as `write_card` makes them: what needs a person comes first."""
    groups: dict[Verdict, list[Markup]] = {verdict: [] for verdict in VERDICTS}
    for verdict, card in cards:
        groups[verdict].append(Markup(card))
    groups = {verdict: found for verdict, found in groups.items() if found}
    counts = ", ".join(f"{len(found)} {VERDICTS[verdict][0]}" for verdict, found in groups.items())
    parts = [tag("h1", title), tag("p", f"{counts or f'no {what}'}. {legend}")]
    for verdict, found in groups.items():
        heading, meaning = VERDICTS[verdict]
        unit = what if len(found) != 1 else what.removesuffix("s")
        parts += [tag("h2", f"{len(found)} {unit} {heading}", tag("small", meaning)), *found]
    parts.append(
        tag(
            "p",
            "Flags in words: what was measured, why it matters and what to do stands in ",
            tag("code", FLAGS_PAGE),
            " of rhoa's documentation. Research use only: not a medical device.",
            class_="legend",
        )
    )
    style = files("rhoa.hips").joinpath("contact_sheet.css").read_text("utf-8")
    head = tag("head", Markup(_META), tag("title", title), tag("style", Markup(style)))
    return f"<!doctype html>\n{tag('html', head, tag('body', tag('main', *parts)), lang='en')}\n"


def _figure(view: View, source: str) -> Markup:
    rows, columns = view.grey.shape
    picture = tag("image", href=source, width=columns, height=rows)
    marks = [_mark(mark, columns) for mark in (*view.marks, *view.sides_and_scale)]
    box = f"0 0 {columns} {rows}"
    drawing = tag("svg", picture, *marks, viewBox=box, role="img", aria_label=view.title)
    return tag("figure", drawing, tag("figcaption", view.title))


def scale_bar_mm(wide_mm: float) -> int:
    """The length of the scale bar of a picture that shows so many millimetres.

    >>> scale_bar_mm(400), scale_bar_mm(70)
    (100, 20)
    """
    return max((mm for mm in SCALE_MM if mm < SCALE_SHARE * wide_mm), default=SCALE_MM[0])


def marked(view: View) -> bytes:
    """The view as a PNG for people, enlarged: its marks drawn in, sides, and a scale bar in mm."""
    from PIL import Image, ImageDraw, ImageFont

    rows, columns = view.grey.shape
    enlarged = max(1, round(PREVIEW_PX / columns))
    picture = Image.fromarray(view.grey).convert("RGB")
    picture = picture.resize((columns * enlarged, rows * enlarged), Image.Resampling.BICUBIC)
    draw = ImageDraw.Draw(picture)
    wide = picture.width
    font = ImageFont.load_default(max(12.0, TEXT_SHARE * wide))
    thick = max(1, wide // 400)
    for mark in (*view.marks, *view.sides_and_scale):
        at = [enlarged * value for value in mark.at]
        colour = COLOURS.get(mark.label.partition(" ")[0], LINE_COLOUR)
        match mark.kind:
            case "line":
                draw.line(at, LINE_COLOUR, thick)
            case "box":
                draw.rectangle(at, outline=colour, width=2 * thick)
                # A label that would leave the picture ends where its box does.
                leaves = at[0] + draw.textlength(mark.label, font) > wide
                place = (at[2] if leaves else at[0], at[3] + 2 * thick)
                draw.text(place, mark.label, colour, font, anchor="ra" if leaves else "la")
            case "side":
                anchor = "lm" if at[0] < wide / 2 else "rm"
                draw.text((at[0], at[1]), mark.label, "white", font, anchor=anchor)
            case "scale":
                draw.line(at, "white", 2 * thick)
                draw.text((at[2], at[1] - 3 * thick), mark.label, "white", font, anchor="rs")
            case "point" | "circle":
                x, y, radius = (*at, 3.0 * thick)[:3]
                fill = colour if mark.kind == "point" else None
                draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill, colour, thick)
    pixel_mm = None if view.pixel_mm is None else view.pixel_mm / enlarged
    return encode_png(np.asarray(picture), pixel_mm=pixel_mm, text=picture_label("picture"))


def _mark(mark: Mark, columns: int) -> Markup:
    """A shape with its name, which the browser shows under the pointer; or a side, or the scale."""
    at = [f"{value:.1f}" for value in mark.at]
    match mark.kind:
        case "point":
            shape, place = "path", {"d": f"M{at[0]} {at[1]}h0"}  # its dot is as large as its stroke
        case "circle":
            shape, place = "circle", dict(zip(("cx", "cy", "r"), at, strict=True))
        case "line":
            shape, place = "line", dict(zip(("x1", "y1", "x2", "y2"), at, strict=True))
        case "box":
            left, top, right, bottom = mark.at
            size = {"width": f"{right - left:.1f}", "height": f"{bottom - top:.1f}"}
            shape, place = "rect", {"x": at[0], "y": at[1], **size}
        case "side" | "scale":
            size = {"font_size": f"{TEXT_SHARE * columns:.1f}", "class_": mark.kind}
            if mark.kind == "side":
                anchor = "start" if mark.at[0] < columns / 2 else "end"
                return tag("text", mark.label, x=at[0], y=at[1], text_anchor=anchor, **size)
            bar = tag("line", x1=at[0], y1=at[1], x2=at[2], y2=at[3], class_="scale")
            above = f"{mark.at[1] - TEXT_SHARE * columns / 3:.1f}"
            name = tag("text", mark.label, x=at[2], y=above, text_anchor="end", **size)
            return Markup(bar + name)
    kind = mark.kind if mark.sure else f"{mark.kind} assumed"
    return tag(shape, tag("title", mark.label), class_=kind, **place)


# A scan as the eye checks it: from the front and from the side, with what was found in it.

NAMES = {
    "asis_left": "left ASIS",
    "asis_right": "right ASIS",
    "pubic_tubercle_left": "left pubic tubercle",
    "pubic_tubercle_right": "right pubic tubercle",
}
FILM_PX = 800
"""Of the longer side of an X-ray on a page."""
PREVIEW_PX = 800
"""Width that a picture for people is enlarged to, about."""
COLOURS = {"left": "#7cc4e8", "right": "#f0a6ca"}
LINE_COLOUR = "#82c991"
PLANE_BEYOND = 0.35
"""The plane is drawn beyond spines and tubercles by this share of the distance between them."""


@dataclass(frozen=True, slots=True)
class Mark:
    """Something found, to be drawn over a picture; in pixel edges, column before row."""

    kind: Literal["point", "line", "circle", "box", "side", "scale"]
    label: str
    at: tuple[float, ...]
    """Point and side (x, y); line and scale (x, y, x, y); circle (x, y, radius); box (left, top,
    right, bottom).
    """
    sure: bool = True


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """A picture with square pixels, and the marks that belong over it."""

    title: str
    grey: NDArray[np.uint8]
    pixel_mm: float | None
    """None where it is not known."""
    marks: tuple[Mark, ...]
    ends: tuple[str, str] = ("R", "L")
    """What lies at the left and at the right edge."""

    @property
    def sides_and_scale(self) -> tuple[Mark, ...]:
        """What lies at either edge, and a bar of so many mm where the pixel size is known."""
        rows, columns = self.grey.shape
        first, last = self.ends
        sides = [Mark("side", first, (0.02 * columns, 0.5 * rows))]
        sides += [Mark("side", last, (0.98 * columns, 0.5 * rows))]
        if self.pixel_mm is None:
            return tuple(sides)
        mm = scale_bar_mm(columns * self.pixel_mm)
        right, low = 0.97 * columns, 0.97 * rows
        scale = Mark("scale", f"{mm} mm", (right - mm / self.pixel_mm, low, right, low))
        return (*sides, scale)


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
    marks += _heads(joints, place, square.pixel_mm[0])
    if alignment is not None and alignment.landmarks is not None:
        landmarks = alignment.landmarks
        spines = (*place(landmarks.asis_right), *place(landmarks.asis_left))
        marks += [Mark("line", "through both ASIS", spines), *_points(landmarks, place)]
    posed = "in the anterior pelvic plane" if image.alignment is not None else "as scanned"
    return View(f"CT-AP, {posed}", square.to_uint8(), square.pixel_mm[0], tuple(marks))


def film(image: Radiograph, boxes: Mapping[Side, Box]) -> View:
    """An X-ray with its hip boxes and their scores, no more than `FILM_PX` pixels a side."""
    square = image.square()
    shrunk = min(1.0, FILM_PX / max(square.shape))
    rows, columns = (max(1, round(count * shrunk)) for count in square.shape)
    marks = []
    for box in in_picture(image, boxes.values()):
        mark = _boxed(box, "score")
        marks.append(replace(mark, at=tuple(shrunk * edge for edge in mark.at)))
    grey = stretch(resize(square.pixels, rows, columns), saturate_percent=SATURATION_PERCENT)
    pixel_mm = square.pixel_mm[0] / shrunk if is_measured(image) else None
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

    marks = _heads(joints, place, square.pixel_mm[0])
    if alignment is not None and alignment.landmarks is not None:
        landmarks = alignment.landmarks.as_array()
        spines, pubis = landmarks[:2].mean(axis=0), landmarks[2:].mean(axis=0)
        beyond = PLANE_BEYOND * (spines - pubis)
        ends = (*place(pubis - beyond), *place(spines + beyond))
        marks.append(Mark("line", "anterior pelvic plane", ends))
        marks += _points(alignment.landmarks, place)
    grey = square.to_uint8()
    return View("from the left, as scanned", grey, square.pixel_mm[0], tuple(marks), ("A", "P"))


def _heads(joints: Mapping[Side, Joint], place: Place, pixel_mm: float) -> list[Mark]:
    return [
        Mark(
            "circle",
            f"{joint.side} femoral head",
            (*place(joint.centre_lps_mm), joint.radius_mm / pixel_mm),
            sure=joint.found,
        )
        for joint in joints.values()
    ]


def _points(landmarks: Landmarks, place: Place) -> list[Mark]:
    points = zip(NAMES.values(), landmarks.as_array(), strict=True)
    return [Mark("point", name, place(point)) for name, point in points]


def _boxed(box: Box, certainty: str) -> Mark:
    """The mark of a box of a picture, with what is known of it."""
    known = "" if box.confidence is None else f", {certainty} {box.confidence:.2f}"
    return Mark("box", f"{box.side} hip{known}", (box.left, box.top, box.right, box.bottom))

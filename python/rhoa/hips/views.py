"""A scan as the eye checks it: from the front and from the side, with what was found in it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np

from rhoa.hips.corrections import in_picture
from rhoa.hips.preparation import SATURATION_PERCENT
from rhoa.picture import resize, stretch
from rhoa.pose.coarse import along_patient
from rhoa.projection import ctap
from rhoa.radiograph import Radiograph

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from numpy.typing import NDArray

    from rhoa.hips.boxes import Box
    from rhoa.hips.joints import Joint
    from rhoa.pose import Alignment
    from rhoa.pose.sides import Side
    from rhoa.volume import Volume

    Point = NDArray[np.float64]

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
    if alignment is not None:
        marks += _plane(alignment, place)
    return View("from the left, as scanned", square.to_uint8(), square.pixel_mm[0], tuple(marks))


def _boxed(box: Box, certainty: str) -> Mark:
    """The mark of a box of a picture, with what is known of it."""
    told = "" if box.confidence is None else f", {certainty} {box.confidence:.2f}"
    return Mark("box", f"{box.side} hip{told}", (box.left, box.top, box.right, box.bottom))


def _plane(alignment: Alignment, place: Callable[[Point], tuple[float, float]]) -> Iterator[Mark]:
    """The anterior pelvic plane seen from its side, and the landmarks that it rests on."""
    if alignment.landmarks is None:
        return
    rows = alignment.landmarks.as_array()
    spines, pubis = rows[:2].mean(axis=0), rows[2:].mean(axis=0)
    beyond = PLANE_BEYOND * (spines - pubis)
    ends = (*place(pubis - beyond), *place(spines + beyond))
    yield Mark("line", "anterior pelvic plane", ends)
    for name, point in zip(NAMES, rows, strict=True):
        yield Mark("point", NAMES[name], place(point))

"""Boxes that people gave, against the image: the half of their side, its borders, a hip's size."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from rhoa.errors import ManifestError, ParameterError
from rhoa.hips.boxes import Box
from rhoa.hips.film import hips_of, is_measured
from rhoa.hips.preparation import open_columns
from rhoa.pose.sides import SIDES
from rhoa.radiograph import Radiograph

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from numpy.typing import ArrayLike

    from rhoa.hips.film import FilmHips
    from rhoa.pose.sides import Side

LEAST_HIP_MM, MOST_HIP_MM = 40.0, 200.0
LEAST_SHARE, MOST_SHARE = 0.05, 0.6
"""Of the longer side of an image of both hips whose pixel size is unknown."""
MOST_OBLONG = 1.5
"""Of numbers that may be the width and height of a hip."""
DRAWN_OUTSIDE = 0.02
"""Of the area of a box: where less lies outside, it was drawn up to the border."""


class BoxRules(NamedTuple):
    """What boxes of one image are checked by."""

    shape: tuple[int, int]
    pixel_mm: tuple[float, float] | None = None
    """None where it is unknown."""
    midline_px: float | None = None
    """Right hips lie before it; None where the image does not show both hips."""
    most_outside: float = DRAWN_OUTSIDE
    accept: Collection[str] = ()
    """Names of `rhoa.hips.refusals` that are overruled: half, outside, box."""
    overrule: str = 'pass accept="{kind}"'
    """What overrules a refusal of that ``kind``, for messages; empty where nothing does."""

    @classmethod
    def of(cls, image: Radiograph | ArrayLike, hips: FilmHips | None = None) -> BoxRules:
        """Those of an image that shows these hips (default: `rhoa.hips.film.hips_of`)."""
        rows, columns = np.shape(image)
        hips = hips_of(image) if hips is None else hips
        pixel_mm = image.pixel_mm if is_measured(image) else None
        middle: float | None = sum(open_columns(image)) / 2
        if isinstance(image, Radiograph) and image.alignment is not None:
            middle = image.to_pixel(0.0, 0.0)[1] + 0.5  # from pixel centres to edges
        elif isinstance(image, Radiograph) and image.scan_frame is not None:
            middle = None  # of a CT as scanned: the patient may lie anywhere
        return cls((rows, columns), pixel_mm, middle if hips.shows == "both" else None)


def checked_box(side: Side, edges: Sequence[float], rules: BoxRules, where: str = "") -> Box:
    """The box of a hip whose ``edges`` are top, left, bottom, right in pixels.

    Raises
    ------
    ManifestError
        If they are no rectangle or fractions of 1, or if the box lies in the half of the other
        side, partly outside the image, or has not the size of a hip, and that is not accepted. If
        the edges fit in another order, or as width and height, the message says so.
    """
    kind, problem = "", ""
    if all(0 <= edge <= 1 for edge in edges):
        problem = "its edges are fractions of 1, and pixels are needed"
    else:
        try:
            box = Box(side, *edges)
        except ParameterError as error:
            problem = str(error).rstrip(".")
        else:
            kind, problem = next(_problems(box, rules), ("", ""))
            if not problem:
                return box
    meant = (
        text
        for text, other in _readings(edges, rules, is_box=kind == "half")
        if fits(side, other, rules)
    )
    remedy = next(meant, "correct the box")
    if kind and rules.overrule:
        remedy += f", or {rules.overrule.format(kind=kind)} to take it all the same"
    raise ManifestError(f"{where}{': ' if where else ''}{problem}; {remedy}.")


def fits(side: Side, edges: Sequence[float], rules: BoxRules) -> bool:
    """Whether edges are a box in which nothing is wrong, accepted or not."""
    try:
        box = Box(side, *edges)
    except ParameterError:
        return False
    return next(_problems(box, rules._replace(accept=())), None) is None


def _problems(box: Box, rules: BoxRules) -> Iterator[tuple[str, str]]:
    """(name of the refusal, what is wrong) of all that is not accepted."""
    rows, columns = rules.shape
    outside = box.share_outside(rules.shape)
    if outside > rules.most_outside and ("outside" not in rules.accept or outside >= 1):
        image = f"the image of {rows} x {columns} pixels (rows x columns)"
        name = "outside" if outside < 1 else ""
        yield name, f"{outside:.0%} of the {box.side} box lies outside {image}"
    if rules.midline_px is not None and "half" not in rules.accept:
        half = SIDES[0] if box.centre[1] >= rules.midline_px else SIDES[1]
        if half != box.side:
            where = "left is the patient's left, at the large columns"
            yield "half", f"the {box.side} box lies in the half of the {half} hip; {where}"
    size = _odd_size(box, rules)
    if size and "box" not in rules.accept:
        yield "box", size


def _odd_size(box: Box, rules: BoxRules) -> str:
    """What is wrong with the size of a box; empty where nothing is."""
    if rules.pixel_mm is not None:
        high, wide = box.height * rules.pixel_mm[0], box.width * rules.pixel_mm[1]
        if min(high, wide) < LEAST_HIP_MM or max(high, wide) > MOST_HIP_MM:
            return (
                f"the {box.side} box is {wide:.4g} x {high:.4g} mm (width x height), and that of a "
                f"hip is {LEAST_HIP_MM:g} to {MOST_HIP_MM:g} mm"
            )
    elif rules.midline_px is not None:
        longer = max(rules.shape)
        least, most = LEAST_SHARE * longer, MOST_SHARE * longer
        if min(box.height, box.width) < least or max(box.height, box.width) > most:
            return (
                f"the {box.side} box has {box.width:.4g} x {box.height:.4g} pixels (width x "
                f"height), and that of a hip {least:.0f} to {most:.0f} in an image of this size"
            )
    return ""


def _readings(
    edges: Sequence[float], rules: BoxRules, *, is_box: bool
) -> Iterator[tuple[str, tuple[float, float, float, float]]]:
    """Other meanings that four numbers may have, and the edges that they would be.

    Where they are the box of a hip, though of another side, they are no width and height.
    """
    first, second, third, fourth = edges
    rows, columns = rules.shape
    if all(0 <= edge <= 1 for edge in edges):
        meant = [("multiply", (first * rows, second * columns, third * rows, fourth * columns))]
    else:
        meant = [("x and y seem exchanged (x1 y1 x2 y2)", (second, first, fourth, third))]
        if not is_box and MOST_OBLONG > third / max(fourth, 1) > 1 / MOST_OBLONG:
            high, wide = first + third, second + fourth
            meant.append(("the last two seem to be height and width", (first, second, high, wide)))
            meant.append(("they seem to be x, y, width, height", (second, first, wide, high)))
    for text, (top, left, bottom, right) in meant:
        fit = f"top {top:.6g}, left {left:.6g}, bottom {bottom:.6g}, right {right:.6g}"
        yield f"{text}: {fit} would fit", (top, left, bottom, right)

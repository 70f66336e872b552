"""Hip boxes of many pictures as a table that people correct, and what they changed."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from rhoa.errors import ManifestError, MissingFileError, ParameterError
from rhoa.hips.box_checks import BoxRules, checked_box
from rhoa.hips.boxes import MOST_OUTSIDE, Box, squared
from rhoa.hips.coco import LabelledImage, read_coco
from rhoa.hips.film import settled
from rhoa.hips.refusals import accepted
from rhoa.pose.sides import SIDES
from rhoa.reading.bounded import shown

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from os import PathLike

    from rhoa.pose.sides import Side
    from rhoa.radiograph import Radiograph

Change = Literal["moved", "added", "removed"]

EDGES = ("left", "top", "right", "bottom")
COLUMNS = ("image", "side", *EDGES, "score", "rows", "columns")
NEEDED = ("image", "side", *EDGES)
SAME_PX = 0.05
"""Edges that differ by less were not moved: annotation programs round."""


@dataclass(frozen=True, slots=True)
class Correction:
    """One hip whose box somebody changed; edges are of the picture."""

    side: Side
    change: Change
    found: Box | None
    drawn: Box | None

    def as_dict(self) -> dict[str, object]:
        """Plain types, for tables: what it was, what it is, and how much they share."""
        both = self.found is not None and self.drawn is not None
        told: dict[str, object] = {"side": self.side, "change": self.change}
        told["iou"] = round(self.found.iou(self.drawn), 4) if both else ""  # type: ignore[union-attr, arg-type]  # both are there
        for name, box in (("found", self.found), ("drawn", self.drawn)):
            for edge in EDGES:
                told[f"{name}_{edge}"] = "" if box is None else round(getattr(box, edge), 2)
        return told


CORRECTION_COLUMNS = (
    *("image", "side", "change", "iou"),
    *(f"{name}_{edge}" for name in ("found", "drawn") for edge in EDGES),
)


def in_picture(image: Radiograph, boxes: Iterable[Box]) -> tuple[Box, ...]:
    """Boxes of an image in the pixel edges of its picture, whose pixels are square."""
    return tuple(_carried(box, image, image.square()) for box in boxes)


def from_picture(image: Radiograph, boxes: Iterable[Box]) -> tuple[Box, ...]:
    """Boxes of an image's picture in the pixel edges of the image."""
    return tuple(_carried(box, image.square(), image) for box in boxes)


def boxes_table(labelled: Iterable[LabelledImage]) -> str:
    """The boxes as CSV: a row a hip; of a hip without a box, a row whose edges are empty.

    Edges are pixel edges of the picture: its first pixel covers 0 to 1.

    Examples
    --------
    >>> box = Box("left", 2, 30, 12, 40, 0.9)
    >>> print(boxes_table([LabelledImage(Path("a.png"), (box,), (50, 60))]).rstrip())
    image,side,left,top,right,bottom,score,rows,columns
    a.png,left,30,2,40,12,0.9,50,60
    a.png,right,,,,,,50,60
    """
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(COLUMNS)
    for image in labelled:
        by_side = {box.side: box for box in image.boxes}
        shape = ("", "") if image.shape is None else image.shape
        for side in SIDES:
            box = by_side.get(side)
            edges = ["" if box is None else f"{getattr(box, edge):.6g}" for edge in EDGES]
            score = "" if box is None or box.confidence is None else f"{box.confidence:.3g}"
            table.writerow([image.path.as_posix(), side, *edges, score, *shape])
    return text.getvalue()


def read_boxes(
    path: str | PathLike[str], known: Collection[str] | None
) -> dict[str, LabelledImage]:
    """The pictures of a corrected file with their boxes, by name.

    A picture that the file names has the boxes that the file gives it, no others: a row whose edges
    are empty, or that was deleted, is a hip without a box. Pictures that it does not name are not
    in the result.

    Parameters
    ----------
    path
        The CSV that `boxes_table` makes (commas, or semicolons as some spreadsheets save it; other
        columns are left alone), or COCO JSON, where file names are those of the CSV.
    known
        The pictures that there are; None where any may be.

    Raises
    ------
    MissingFileError
        If there is no such file.
    ManifestError
        With the line (of JSON: the number of the image), if a picture is unknown, a side is neither
        left nor right, edges are no numbers or no box, a hip has two boxes, or the box of the left
        hip lies to the left of the right hip's.
    """
    path = Path(path)
    if path.suffix.lower() == ".json":
        images = [
            (f"{shown(path)}, image {number}", image)
            for number, image in enumerate(read_coco(path, folder=Path()), 1)
        ]
    else:
        images = _read_table(path)
    drawn: dict[str, LabelledImage] = {}
    for where, image in images:
        name = image.path.as_posix()
        if known is not None and name not in known:
            raise ManifestError(
                f"{where}: {name!r} is no picture of this run, which has {_some(known)}; leave "
                "the names as they were written."
            )
        if name in drawn:
            raise ManifestError(f"{where}: the picture {name!r} is listed twice.")
        _require_sides(image.boxes, where)
        drawn[name] = image
    return drawn


def corrected(
    image: Radiograph,
    found: Mapping[Side, Box],
    drawn: LabelledImage,
    *,
    accept: str | Collection[str] = (),
) -> tuple[dict[Side, Box], list[Correction]]:
    """The boxes of an image as somebody drew them, in its own pixels, and what differs.

    A box that was not moved stays as it was found. Others are clipped to squares, as crops are
    square, and have no confidence: nothing measured them. ``accept`` overrules refusals of boxes by
    name (half, outside, box), and that of an X-ray of another hip (side).

    Raises
    ------
    ManifestError
        If the drawn boxes are of a picture of another size, or one lies in the half of the other
        side or outside the picture, or has not the size of a hip.
    ViewError
        If the image is an X-ray that shows another hip alone.
    """
    overruled = accepted(accept)
    shape, name = image.square().shape, drawn.path.as_posix()
    if drawn.shape not in {None, shape}:
        raise ManifestError(
            f"{name}: {shape[0]} x {shape[1]} pixels, and its boxes were drawn on "
            f"{drawn.shape[0]} x {drawn.shape[1]}: correct the file of this run, not another's."
        )
    before = dict(zip(found, in_picture(image, found.values()), strict=True))
    after = {box.side: box for box in drawn.boxes}
    hips = settled(image, dict.fromkeys(after, f"the box of {name}"), accept=overruled)
    rules = BoxRules.of(image.square(), hips)._replace(most_outside=MOST_OUTSIDE, accept=overruled)
    if image.frame is not None:
        rules = rules._replace(overrule="")  # of a CT, whose verbs accept nothing
    boxes: dict[Side, Box] = {}
    changes = []
    for side in SIDES:
        old, new = before.get(side), after.get(side)
        if new is None:
            if old is not None:
                changes.append(Correction(side, "removed", old, None))
            continue
        if old is not None and _same(old, new):
            boxes[side] = found[side]
            continue
        new = squared(checked_box(side, (new.top, new.left, new.bottom, new.right), rules, name))
        (boxes[side],) = from_picture(image, [new])
        changes.append(Correction(side, "added" if old is None else "moved", old, new))
    return boxes, changes


def _carried(box: Box, image: Radiograph, other: Radiograph) -> Box:
    """A box of one image in the pixel edges of another of the same field."""
    if image is other:
        return box
    top, left = other.to_pixel(*image.to_mm(box.top - 0.5, box.left - 0.5))
    bottom, right = other.to_pixel(*image.to_mm(box.bottom - 0.5, box.right - 0.5))
    return replace(box, top=top + 0.5, left=left + 0.5, bottom=bottom + 0.5, right=right + 0.5)


def _same(box: Box, other: Box) -> bool:
    return all(abs(getattr(box, edge) - getattr(other, edge)) < SAME_PX for edge in EDGES)


def _require_sides(boxes: Sequence[Box], where: str) -> None:
    by_side = {box.side: box for box in boxes}
    if len(by_side) < len(boxes):
        raise ManifestError(f"{where}: a hip has two boxes; leave one a side.")
    if len(by_side) == 2 and by_side["left"].centre[1] <= by_side["right"].centre[1]:
        raise ManifestError(
            f"{where}: the left hip's box lies to the left of the right hip's; the patient's left "
            "is on the right of the picture."
        )


def _read_table(path: Path) -> list[tuple[str, LabelledImage]]:
    """(where, picture with its boxes) of each picture of the CSV."""
    pictures: dict[str, tuple[str, list[Box], tuple[int, int] | None]] = {}
    listed: dict[tuple[str, str], int] = {}
    for line, row in _rows(path):
        where = f"{shown(path)}, line {line}"
        if row["side"] not in SIDES:
            raise ManifestError(f"{where}: side must be left or right; got {row['side']!r}.")
        first = listed.setdefault((row["image"], row["side"]), line)
        if first != line:
            raise ManifestError(
                f"{where}: the {row['side']} hip of {row['image']!r} is listed in line {first} too."
            )
        box, shape = _box(row, where), _shape(row, where)
        _, boxes, stated = pictures.setdefault(row["image"], (where, [], shape))
        if shape != stated:
            raise ManifestError(f"{where}: rows and columns differ from those of its other hip.")
        boxes += [] if box is None else [box]
    return [
        (where, LabelledImage(Path(name), tuple(boxes), shape))
        for name, (where, boxes, shape) in pictures.items()
    ]


def _rows(path: Path) -> list[tuple[int, dict[str, str]]]:
    if not path.is_file():
        raise MissingFileError(f"{shown(path)}: no such file of boxes; check the path.")
    try:
        text = path.read_text(encoding="utf-8-sig")
        delimiter = ";" if ";" in text.partition("\n")[0] else ","
        table = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter, restval="")
        absent = [name for name in NEEDED if name not in (table.fieldnames or ())]
        if absent:
            raise ManifestError(
                f"{shown(path)}: lacks the columns {', '.join(absent)}; correct the boxes.csv that "
                "--review wrote, or pass COCO JSON."
            )
        rows = []
        for row in table:
            cells = {key: (row[key] or "").strip() for key in row if key}
            if delimiter == ";":  # spreadsheets that save so have decimal commas
                cells |= {edge: cells[edge].replace(",", ".") for edge in EDGES}
            if any(cells.values()):
                rows.append((table.line_num, cells))
    except (UnicodeDecodeError, csv.Error) as error:
        raise ManifestError(f"{shown(path)}: not a CSV table in UTF-8 ({error}).") from None
    return rows


def _box(row: Mapping[str, str], where: str) -> Box | None:
    """The box of a row; None where its edges are empty."""
    texts = [row[edge] for edge in EDGES]
    if not any(texts):
        return None
    try:
        left, top, right, bottom = map(float, texts)
        return Box("left" if row["side"] == "left" else "right", top, left, bottom, right)
    except ParameterError as error:
        raise ManifestError(f"{where}: {error}") from None
    except ValueError:
        raise ManifestError(
            f"{where}: left, top, right and bottom must be numbers, or all empty for a hip without "
            f"a box; got {', '.join(text or '(empty)' for text in texts)}."
        ) from None


def _shape(row: Mapping[str, str], where: str) -> tuple[int, int] | None:
    rows, columns = row.get("rows", ""), row.get("columns", "")
    if not rows and not columns:
        return None
    if not (rows.isdecimal() and columns.isdecimal()):
        raise ManifestError(f"{where}: rows and columns must be whole numbers; leave them alone.")
    return int(rows), int(columns)


def _some(names: Collection[str]) -> str:
    first = sorted(names)[:3]
    more = len(names) - len(first)
    return ", ".join(first) + (f" and {more} more" if more > 0 else "") if first else "none"

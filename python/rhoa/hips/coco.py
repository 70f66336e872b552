"""Hip boxes that people drew: COCO JSON of annotation programs, and tables of MATLAB."""

from __future__ import annotations

import csv
import json
import math
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from rhoa.errors import ManifestError, MissingFileError, ParameterError, require_choice
from rhoa.hips.boxes import Box
from rhoa.hips.film import Extent
from rhoa.pose.sides import SIDES
from rhoa.reading.bounded import shown
from rhoa.writing import atomic_write

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from os import PathLike

    from rhoa.pose.sides import Side

Shows = Literal["pelvis", "half"]
SHOWS: tuple[Shows, ...] = ("pelvis", "half")
CATEGORY = "hip"
MATLAB_EDGE = 0.5
"""Where MATLAB's spatial coordinates begin: its pixel 1 covers 0.5 to 1.5."""

_CORNERS = ("x", "y", "width", "height")
_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")
_BOXES = re.compile(r"\s*\[?[\s\d.,;eE+-]*\]?\s*")


@dataclass(frozen=True, slots=True)
class LabelledImage:
    """An image file and the hip boxes that were drawn on it."""

    path: Path
    boxes: tuple[Box, ...]
    """In pixel edges of the file. Of a half, every box is a left one: so it looks."""
    shape: tuple[int, int] | None = None
    """Rows and columns, where they are known."""
    shows: Shows = "pelvis"


class _Drawn(NamedTuple):
    """A box as its file has it: what names its side, x, y, width, height, and where it stands."""

    label: str
    corners: tuple[float, ...]
    where: str
    score: float | None = None


def read_coco(
    path: str | PathLike[str], *, folder: str | PathLike[str] | None = None, shows: Shows = "pelvis"
) -> list[LabelledImage]:
    """The images of a COCO file with their hip boxes, in the file's order.

    Taken are annotations of categories whose name has the word "hip"; where there is but one
    category, of that, whatever its name. A box of a pelvis is of the side that its attribute
    ``side`` tells, else its category's name ("hip left"). Where nothing does, it is of the half
    that its middle lies in, if the image is a landscape, as pelves are; else, of two boxes, the one
    at larger columns is the left. Images without boxes are kept.

    Parameters
    ----------
    path
        JSON with ``images``, ``annotations`` and ``categories``, as Label Studio and CVAT export
        it; ``bbox`` is [x, y, width, height] from the corner of the image.
    folder
        What a relative ``file_name`` is relative to. Default: the folder of ``path``.
    shows
        ``"pelvis"``: both hips; ``"half"``: one hip that looks like a left one, as
        `rhoa.hips.halves` makes it.

    Raises
    ------
    MissingFileError
        If there is no such file.
    ManifestError
        If it is no COCO file, or an annotation is damaged, turned, of an unknown image or side.
    """
    require_choice("shows", shows, SHOWS)
    path = Path(path)
    content = _read_json(path)
    base = path.parent if folder is None else Path(folder)
    hips = _hip_categories(content, path)
    images: dict[Any, LabelledImage] = {}
    for number, image in enumerate(content["images"], 1):
        where = f"{shown(path)}, image {number}"
        identity, name = _field(image, "id", where), _field(image, "file_name", where)
        if not isinstance(identity, int | str) or not isinstance(name, str) or not name:
            raise ManifestError(f"{where}: its id or file_name is no name; export it again.")
        if identity in images:
            raise ManifestError(f"{where}: its id {identity!r} is another image's too.")
        file = base / name.replace("\\", "/")
        images[identity] = LabelledImage(file, (), _shape(image, where), shows)
    drawn: dict[Any, list[_Drawn]] = {identity: [] for identity in images}
    for number, annotation in enumerate(content["annotations"], 1):
        where = f"{shown(path)}, annotation {number}"
        category = _field(annotation, "category_id", where)
        if category not in hips:
            continue
        identity = _field(annotation, "image_id", where)
        if not isinstance(identity, int | str) or identity not in images:
            raise ManifestError(f"{where}: no image has its image_id; export the file again.")
        attributes = annotation.get("attributes") or {}
        if attributes.get("rotation"):
            raise ManifestError(
                f"{where}: a box turned by {attributes['rotation']} degrees; draw it upright."
            )
        corners = _corners(_field(annotation, "bbox", where), where)
        told = str(attributes.get("side", "")) + " " + hips[category]
        if shows == "pelvis" and images[identity].shape is None and _named(told) is None:
            told_by = "neither a side nor the width of its image is told"
            raise ManifestError(f"{where}: {told_by}; export width and height.")
        drawn[identity].append(_Drawn(told, corners, where, _score(annotation, where)))
    return [_labelled(image, drawn[identity]) for identity, image in images.items()]


def write_coco(
    labelled: Iterable[LabelledImage],
    path: str | PathLike[str],
    *,
    folder: str | PathLike[str] | None = None,
) -> None:
    """Write images and their hip boxes as COCO JSON, category "hip".

    The side of a box is its attribute ``side``; its confidence, if any, its ``score``.

    Parameters
    ----------
    labelled
        Images whose ``shape`` is known.
    path
        The file to write.
    folder
        What file names are made relative to, where they lie in it. Default: that of ``path``.

    Raises
    ------
    ParameterError
        If an image has no ``shape``: annotation programs need it.
    """
    path = Path(path)
    base = path.parent if folder is None else Path(folder)
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for image in labelled:
        if image.shape is None:
            raise ParameterError(f"{shown(image.path)}: COCO needs shape=(rows, columns).")
        rows, columns = image.shape
        inside = image.path.is_relative_to(base)
        name = (image.path.relative_to(base) if inside else image.path).as_posix()
        images.append({"id": len(images) + 1, "file_name": name, "width": columns, "height": rows})
        for box in image.boxes:
            annotation = {
                "id": len(annotations) + 1,
                "image_id": len(images),
                "category_id": 1,
                "bbox": [box.left, box.top, box.width, box.height],
                "area": box.width * box.height,
                "iscrowd": 0,
                "attributes": {"side": box.side},
            }
            score = {} if box.confidence is None else {"score": box.confidence}
            annotations.append(annotation | score)
    content = {
        "images": images,
        "annotations": annotations,
        "categories": [{"id": 1, "name": CATEGORY}],
    }
    atomic_write(path, json.dumps(content, indent=1) + "\n")


def read_matlab(
    path: str | PathLike[str], *, folder: str | PathLike[str] | None = None, shows: Shows = "pelvis"
) -> list[LabelledImage]:
    """The images of a table that MATLAB's ``writetable`` wrote of an image labeler's ground truth.

    The first column, ``imageFilename``, names the file. Boxes are [x y width height] in one column
    a label (several boxes with semicolons between), in four columns a label (``hip_1`` to
    ``hip_4``), or in the columns ``x, y, width, height``. MATLAB counts pixels from 1 and puts
    whole numbers in their middle: its x is ``x - 0.5`` in rhoa's pixel edges. An empty cell is an
    image without a box.

    Parameters
    ----------
    path
        CSV with commas, as UTF-8.
    folder
        What a relative file name is relative to. Default: the folder of ``path``.
    shows
        ``"pelvis"``: a label whose name has the word "left" or "right" tells the side; without it,
        of two boxes the one at larger columns is the left. Where a label has the word "hip", others
        are left out. ``"half"``: every box is a left one.

    Raises
    ------
    MissingFileError
        If there is no such file.
    ManifestError
        If a column is missing, or a row holds no box or one whose side is unknown.
    """
    require_choice("shows", shows, SHOWS)
    path = Path(path)
    rows = _read_rows(path)
    base = path.parent if folder is None else Path(folder)
    header = [name.strip() for name in rows[0][1]]
    if header[0].casefold() != "imagefilename" or len(header) < 2:
        raise ManifestError(
            f"{shown(path)}: its first column must be imageFilename and boxes must follow; "
            f"got {', '.join(header)}."
        )
    images: dict[str, list[_Drawn]] = {}
    for line, cells in rows[1:]:
        where = f"{shown(path)}, line {line}"
        if len(cells) != len(header) or not cells[0].strip():
            raise ManifestError(f"{where}: {len(header)} cells are needed; got {len(cells)}.")
        boxes = images.setdefault(cells[0].strip().replace("\\", "/"), [])
        boxes += [_Drawn(label, box, where) for label, box in _matlab_boxes(header, cells, where)]
    if any(_is_hip(box.label) for drawn in images.values() for box in drawn):
        images = {
            name: [box for box in drawn if _is_hip(box.label)] for name, drawn in images.items()
        }
    return [
        _labelled(LabelledImage(base / name, (), None, shows), drawn)
        for name, drawn in images.items()
    ]


def _matlab_boxes(
    header: Sequence[str], cells: Sequence[str], where: str
) -> list[tuple[str, tuple[float, ...]]]:
    """(label, corners in pixel edges) of a row."""
    columns = dict(zip(header[1:], cells[1:], strict=True))
    lower = {name.casefold(): name for name in columns}
    if lower.keys() >= set(_CORNERS):
        label = columns[lower["label"]] if "label" in lower else ""
        texts = {label: " ".join(columns[lower[name]] for name in _CORNERS)}
    else:
        texts = dict(columns)
        for label in [name[:-2] for name in columns if name.endswith("_1")]:
            names = [f"{label}_{number}" for number in range(1, 5)]
            if all(name in columns for name in names):
                texts[label] = " ".join(texts.pop(name) for name in names)
    found = []
    for label, text in texts.items():
        numbers = [float(number) for number in _NUMBER.findall(text)]
        if text.strip(" []") in {"", "NaN NaN NaN NaN"}:
            continue
        if not _BOXES.fullmatch(text) or len(numbers) % 4 or not numbers:
            raise ManifestError(f"{where}: [x y width height] is needed; got {text.strip()!r}.")
        for start in range(0, len(numbers), 4):
            x, y, width, height = numbers[start : start + 4]
            corners = (x - MATLAB_EDGE, y - MATLAB_EDGE, width, height)
            found.append((label, _corners(corners, where)))
    return found


def _labelled(image: LabelledImage, drawn: Sequence[_Drawn]) -> LabelledImage:
    """The image with its boxes, each with its side."""
    sides: list[Side | None] = [_named(box.label) for box in drawn]
    middles = [box.corners[0] + box.corners[2] / 2 for box in drawn]
    shape = image.shape
    if image.shows == "half":
        sides = ["left"] * len(drawn)
    elif shape is not None and Extent(*shape, in_mm=False).holds == "both":
        halves: list[Side] = ["left" if x >= shape[1] / 2 else "right" for x in middles]
        sides = [side or half for side, half in zip(sides, halves, strict=True)]
    elif len(drawn) == 2 and None in sides:
        by_place = SIDES if middles[0] > middles[1] else SIDES[::-1]
        sides = [side or placed for side, placed in zip(sides, by_place, strict=True)]
    boxes = []
    for side, box in zip(sides, drawn, strict=True):
        if side is None:
            raise ManifestError(
                f"{box.where}: the side of its box is unknown; name the label hip_left or "
                'hip_right, or pass shows="half" for halves that look like left hips.'
            )
        boxes.append(_box(side, box))
    return replace(image, boxes=tuple(boxes))


def _named(text: str) -> Side | None:
    """The side that a name tells; None where it tells none, or both."""
    sides = [side for side in SIDES if side in _words(text)]
    return sides[0] if len(sides) == 1 else None


def _words(text: str) -> set[str]:
    """The words of a name as leftHip, left_hip or "Hip left"."""
    return {word.casefold() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+", text)}


def _is_hip(name: str) -> bool:
    return bool(_words(name) & {"hip", "hips"})


def _box(side: Side, drawn: _Drawn) -> Box:
    x, y, width, height = drawn.corners
    try:
        return Box(side, y, x, y + height, x + width, drawn.score)
    except ParameterError as error:
        raise ManifestError(f"{drawn.where}: {error}") from None


def _corners(value: object, where: str) -> tuple[float, ...]:
    numbers = value if isinstance(value, list | tuple) else []
    good = [n for n in numbers if isinstance(n, int | float) and math.isfinite(n)]
    if len(numbers) != 4 or len(good) != 4 or good[2] <= 0 or good[3] <= 0:
        raise ManifestError(
            f"{where}: bbox must be [x, y, width, height], finite and not empty; got {value!r}."
        )
    return tuple(map(float, good))


def _score(annotation: Mapping[str, Any], where: str) -> float | None:
    score = annotation.get("score")
    if score is None:
        return None
    if not isinstance(score, int | float) or not 0 <= score <= 1:
        raise ManifestError(f"{where}: score must be from 0 to 1; got {score!r}.")
    return float(score)


def _shape(image: Mapping[str, Any], where: str) -> tuple[int, int] | None:
    rows, columns = image.get("height"), image.get("width")
    if rows is None and columns is None:
        return None
    if not all(isinstance(n, int) and n > 0 for n in (rows, columns)):
        raise ManifestError(f"{where}: width and height must be pixels; got {columns!r}, {rows!r}.")
    return int(rows or 0), int(columns or 0)


def _field(entry: object, name: str, where: str) -> Any:  # noqa: ANN401  # of JSON
    if not isinstance(entry, dict) or name not in entry:
        raise ManifestError(f"{where}: it has no {name}; export the file again as COCO.")
    return entry[name]


def _hip_categories(content: Mapping[str, Any], path: Path) -> dict[Any, str]:
    """Names of the categories that are hips, by their id."""
    names = {}
    for number, category in enumerate(content["categories"], 1):
        where = f"{shown(path)}, category {number}"
        names[_field(category, "id", where)] = str(_field(category, "name", where))
    if len(names) == 1:
        return names
    hips = {number: name for number, name in names.items() if _is_hip(name)}
    if not hips:
        raise ManifestError(
            f"{shown(path)}: none of its {len(names)} categories is named hip; rename one."
        )
    return hips


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content: dict[str, Any] = json.loads(_text(path))
    except (json.JSONDecodeError, RecursionError) as error:
        raise ManifestError(f"{shown(path)}: not a JSON file ({error}).") from None
    lists = ("images", "annotations", "categories")
    absent = [
        name
        for name in lists
        if not isinstance(content, dict) or not isinstance(content.get(name), list)
    ]
    if absent:
        raise ManifestError(
            f"{shown(path)}: no list of {', '.join(absent)}; export the boxes as COCO JSON."
        )
    return content


def _read_rows(path: Path) -> list[tuple[int, list[str]]]:
    """(line, cells) of each row that is not empty, the header first."""
    reader = csv.reader(_text(path).splitlines())
    try:
        rows = [(reader.line_num, cells) for cells in reader if any(c.strip() for c in cells)]
    except csv.Error as error:
        raise ManifestError(f"{shown(path)}, line {reader.line_num}: {error}.") from None
    if not rows:
        raise ManifestError(f"{shown(path)}: an empty file; write the table again.")
    return rows


def _text(path: Path) -> str:
    if not path.is_file():
        raise MissingFileError(f"{shown(path)}: no such file; check the path.")
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ManifestError(
            f"{shown(path)}: not a text in UTF-8 ({type(error).__name__})."
        ) from None

"""Hip boxes that people drew: COCO JSON, MATLAB tables, and tables that people correct."""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple
from urllib.parse import unquote, urlsplit

import numpy as np

from rhoa._types import SIDES
from rhoa.errors import ManifestError, MissingFileError, ParameterError, require_choice, warn_user
from rhoa.files import atomic_write, csv_text, listed, shown
from rhoa.hips.bounding_boxes import MOST_OUTSIDE, BoxRules, checked_box
from rhoa.radiograph import Box, squared
from rhoa.tables import SIDE_WORDS, decoded, open_table, plain_name, read_rows, side_in_table, whole
from rhoa.xray.refusals import Extent, accepted, settled

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from os import PathLike

    from rhoa._types import Side
    from rhoa.radiograph import Radiograph


# Hip boxes that people drew: COCO JSON of annotation programs, and tables of MATLAB.

Shows = Literal["pelvis", "half"]
SHOWS: tuple[Shows, ...] = ("pelvis", "half")
CATEGORY = "hip"
MATLAB_EDGE = 0.5
"""Where MATLAB's spatial coordinates begin: its pixel 1 covers 0.5 to 1.5."""

NO_HIPS = frozenset(
    {
        *("no", "non", "not", "without", "prosthesis", "prosthetic", "implant", "arthroplasty"),
        *("replacement", "endoprosthesis", "tha", "thr", "metal", "background"),
    }
)
"""Words of categories that are no natural hips, whatever else their names say."""

_CORNERS = ("x", "y", "width", "height")
_JOINED = re.compile(r"(l|r|left|right)?(hips?)(l|r|left|right)?")
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
    """A box as its file has it: its side, x, y, width, height, and where it stands."""

    side: Side | None
    corners: tuple[float, ...]
    where: str
    score: float | None = None


def read_coco(
    path: str | PathLike[str],
    *,
    folder: str | PathLike[str] | None = None,
    shows: Shows = "pelvis",
    hip_class: str | Collection[str] = (),
) -> list[LabelledImage]:
    """The images of a COCO file with their hip boxes, in the file's order.

    Taken are annotations of categories whose name has the word "hip" (``hip_L``, ``RHip``, "left
    hip", but not "no hip" or "hip prosthesis"); where there is but one category that annotations
    use, of that, whatever its name. A box of a pelvis is of the side that its attribute ``side``
    says, else its category's name. Where neither does, it is of the half that its middle lies in,
    if the image is a landscape, as pelves are; else, of two boxes, the one at larger columns is the
    left. An annotation without a box has the box of its polygons or mask. Crowds (``iscrowd``) are
    left out with a warning. Images without boxes are kept.

    Parameters
    ----------
    path
        JSON with ``images``, ``annotations`` and ``categories``, as CVAT, Roboflow and Label Studio
        export it (``bbox`` is [x, y, width, height] from the corner of the image), or Label
        Studio's own JSON, whose boxes are in percent.
    folder
        What a relative ``file_name`` is relative to. Default: the folder of ``path``. Names of
        another machine (URLs, backslashes, folders that are not here) are sought by their ends.
    shows
        ``"pelvis"``: both hips; ``"half"``: one hip that looks like a left one, as
        `rhoa.hips.halves` makes it.
    hip_class
        The categories that are hips, by name or id, where their names do not say it.

    Raises
    ------
    MissingFileError
        If there is no such file.
    ManifestError
        If it is no COCO file, no category is evidently a hip, or an annotation is damaged, turned,
        of an unknown image or side.

    Examples
    --------
    >>> import json, tempfile
    >>> file = Path(tempfile.mkdtemp()) / "boxes.json"
    >>> image = {"id": 1, "file_name": "a.png", "width": 400, "height": 300}
    >>> drawn = {"image_id": 1, "category_id": "2", "bbox": [250, 100, 80, 90]}
    >>> kinds = [{"id": 1, "name": "no hip"}, {"id": 2, "name": "hip_L"}]
    >>> content = {"images": [image], "annotations": [drawn], "categories": kinds}
    >>> _ = file.write_text(json.dumps(content))
    >>> read_coco(file)[0].boxes[0].side
    'left'
    """
    require_choice("shows", shows, SHOWS)
    path = Path(path)
    content = _read_json(path)
    base = path.parent if folder is None else Path(folder)
    hips = _hip_categories(content, path, hip_class)
    images: dict[str, LabelledImage] = {}
    for number, image in enumerate(content["images"], 1):
        where = f"{shown(path)}, image {number}"
        identity, name = _identity(image, "id", where), _field(image, "file_name", where)
        if not isinstance(name, str) or not name:
            raise ManifestError(f"{where}: its file_name is no name; export it again.")
        if identity in images:
            raise ManifestError(f"{where}: its id {identity} is another image's too.")
        names = _likely_names(name)
        file = next((base / one for one in names if (base / one).is_file()), base / names[0])
        images[identity] = LabelledImage(file, (), _shape(image, where), shows)
    drawn: dict[str, list[_Drawn]] = {identity: [] for identity in images}
    crowds = 0
    for number, annotation in enumerate(content["annotations"], 1):
        where = f"{shown(path)}, annotation {number}"
        category = _identity(annotation, "category_id", where)
        if category not in hips:
            continue
        identity = _identity(annotation, "image_id", where)
        if identity not in images:
            raise ManifestError(f"{where}: no image has its image_id; export the file again.")
        if str(annotation.get("iscrowd", 0)).casefold() in {"1", "1.0", "true"}:
            crowds += 1
            continue
        attributes = _attributes(annotation)
        turned = attributes.get("rotation", annotation.get("rotation"))
        if _number(turned) != 0 and turned not in {None, ""}:
            raise ManifestError(f"{where}: a box turned by {turned} degrees; draw it upright.")
        corners = _corners(_bbox(annotation, images[identity].shape, where), where)
        side = _side_of(attributes, hips[category], where)
        if shows == "pelvis" and images[identity].shape is None and side is None:
            known = "neither a side nor the width of its image is known"
            raise ManifestError(f"{where}: {known}; export width and height.")
        drawn[identity].append(_Drawn(side, corners, where, _score(annotation, where)))
    if crowds:
        warn_user(
            f"{shown(path)}: {crowds} annotations of hips are crowds (iscrowd 1) and are left out; "
            "where each is one hip, set iscrowd to 0."
        )
    return [_labelled(image, drawn[identity]) for identity, image in images.items()]


def _likely_names(name: str) -> list[str]:
    r"""What a file name of an annotation program may mean here, the whole name first.

    Examples
    --------
    >>> _likely_names("images\\\\a%20b.png")
    ['images/a%20b.png', 'images/a b.png', 'a b.png']
    """
    plain = name.replace("\\", "/")
    query = urlsplit(plain).query  # Label Studio: /data/local-files/?d=films/a.png
    bare = unquote(query.partition("=")[2] if query.startswith("d=") else plain)
    bare = bare.replace("\\", "/")
    parts = [part for part in bare.split("/") if part not in {"", "."}]
    ends = ["/".join(parts[start:]) for start in range(len(parts))]
    uploaded = re.sub(r"^[0-9a-f]{8}-", "", parts[-1]) if parts else ""  # by Label Studio
    return [one for one in dict.fromkeys([re.sub("/+", "/", plain), *ends, uploaded]) if one]


def _identity(entry: object, name: str, where: str) -> str:
    """An id as text: programs write 1, "1" and 1.0 for one another."""
    value = _field(entry, name, where)
    if isinstance(value, bool) or not isinstance(value, int | str | float):
        if name == "image_id":
            raise ManifestError(f"{where}: no image has its image_id; export the file again.")
        raise ManifestError(f"{where}: its {name} is no number and no name; export it again.")
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _attributes(annotation: Mapping[str, Any]) -> dict[str, Any]:
    """Attributes by their names without capitals; also those listed as name and value."""
    given = annotation.get("attributes")
    if isinstance(given, list):
        pairs = [(one.get("name"), one.get("value")) for one in given if isinstance(one, dict)]
        given = dict(pairs)
    return {plain_name(str(k)): v for k, v in given.items()} if isinstance(given, dict) else {}


def _side_of(attributes: Mapping[str, Any], category: str, where: str) -> Side | None:
    """The side that an attribute or the category's name states; they must not contradict."""
    stated = next((attributes[name] for name in ("side", "laterality") if name in attributes), "")
    sides = {side for side in (_side_in(str(stated)), _side_in(category)) if side}
    if len(sides) > 1:
        raise ManifestError(
            f"{where}: its attribute says {stated} and its category {category!r}; correct one."
        )
    return sides.pop() if sides else None


def _bbox(annotation: Mapping[str, Any], shape: tuple[int, int] | None, where: str) -> object:
    """The box of an annotation, else that of its polygons, else that of its mask."""
    bbox, outline = annotation.get("bbox"), annotation.get("segmentation")
    if bbox or not outline:
        return _field(annotation, "bbox", where)
    if isinstance(outline, dict):
        counts, size = outline.get("counts"), outline.get("size") or shape
        if not isinstance(counts, list) or not isinstance(size, list | tuple) or len(size) != 2:
            raise ManifestError(
                f"{where}: it has a compressed mask and no bbox; export boxes or polygons."
            )
        runs = np.array([_number(count) for count in counts])
        if not (np.isfinite(runs).all() and (runs >= 0).all() and runs.sum() <= np.prod(size)):
            raise ManifestError(f"{where}: its mask is damaged; export it again.")
        ends = np.cumsum(runs).astype(int)
        rows = int(size[0])
        spans = [(a, b) for a, b in zip(ends[::2], ends[1::2], strict=False) if b > a]
        if not spans or rows < 1:
            return []
        left, right = spans[0][0] // rows, (spans[-1][1] - 1) // rows + 1
        whole = any(a // rows != (b - 1) // rows for a, b in spans)
        top = 0 if whole else min(a % rows for a, _ in spans)
        bottom = rows if whole else max((b - 1) % rows for _, b in spans) + 1
        return [int(left), int(top), int(right - left), int(bottom - top)]
    polygons = outline if isinstance(outline, list) else []
    numbers = [n for one in polygons for n in (one if isinstance(one, list) else [one])]
    points = [_number(n) for n in numbers]
    if len(points) < 6 or len(points) % 2 or not all(map(math.isfinite, points)):
        raise ManifestError(f"{where}: bbox is absent and its polygon is damaged; export it again.")
    x, y = points[::2], points[1::2]
    return [min(x), min(y), max(x) - min(x), max(y) - min(y)]


def _number(value: object) -> float:
    """A number of JSON, also as text; NaN where it is none."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return math.nan
    try:
        return float(value)
    except (ValueError, OverflowError):
        return math.nan


def write_coco(labelled: Iterable[LabelledImage], path: str | PathLike[str]) -> None:
    """Write images and their hip boxes as COCO JSON, category "hip".

    The side of a box is its attribute ``side``; its confidence, if any, its ``score``.

    Parameters
    ----------
    labelled
        Images whose ``shape`` is known.
    path
        The file to write. Names of images in its folder are relative to it.

    Raises
    ------
    ParameterError
        If an image has no ``shape``: annotation programs need it.
    """
    path = Path(path)
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for image in labelled:
        if image.shape is None:
            raise ParameterError(f"{shown(image.path)}: COCO needs shape=(rows, columns).")
        rows, columns = image.shape
        inside = image.path.is_relative_to(path.parent)
        name = (image.path.relative_to(path.parent) if inside else image.path).as_posix()
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
    a label (several boxes with semicolons between), or in four columns a label (``hip_1`` to
    ``hip_4``). MATLAB counts pixels from 1 and puts whole numbers in their middle: its x is
    ``x - 0.5`` in rhoa's pixel edges. An empty cell is an image without a box.

    Parameters
    ----------
    path
        CSV with commas, as UTF-8.
    folder
        What a relative file name is relative to. Default: the folder of ``path``.
    shows
        ``"pelvis"``: a label whose name has the word "left" or "right" gives the side; without it,
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
    base = path.parent if folder is None else Path(folder)
    table = open_table(path)
    header = list(table.columns)
    if header[0].casefold() != "imagefilename" or len(header) < 2:
        raise ManifestError(
            f"{shown(path)}: its first column must be imageFilename and boxes must follow; "
            f"got {table.listed()}."
        )
    images: dict[str, list[tuple[str, _Drawn]]] = {}
    for row in table.rows(header):
        where = f"{shown(path)}, {row.where}"
        cells = [row.cells[name].text for name in header]
        if not cells[0]:
            raise ManifestError(f"{where}: its imageFilename is empty; name the picture.")
        boxes = images.setdefault(cells[0].replace("\\", "/"), [])
        boxes += [
            (label, _Drawn(_side_in(label), box, where))
            for label, box in _matlab_boxes(header, cells, where)
        ]
    named = any(_is_hip(label) for drawn in images.values() for label, _ in drawn)
    return [
        _labelled(
            LabelledImage(base / name, (), None, shows),
            [box for label, box in drawn if _is_hip(label) or not named],
        )
        for name, drawn in images.items()
    ]


def _matlab_boxes(
    header: Sequence[str], cells: Sequence[str], where: str
) -> list[tuple[str, tuple[float, ...]]]:
    """(label, corners in pixel edges) of a row."""
    columns = dict(zip(header[1:], cells[1:], strict=True))
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
    sides: list[Side | None] = [box.side for box in drawn]
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
        x, y, width, height = box.corners
        try:
            boxes.append(Box(side, y, x, y + height, x + width, box.score))
        except ParameterError as error:
            raise ManifestError(f"{box.where}: {error}") from None
    return replace(image, boxes=tuple(boxes))


def _side_in(text: str) -> Side | None:
    """The side that a name contains; None where it contains none, or both."""
    sides = {SIDE_WORDS[word] for word in _words_of(text) if word in SIDE_WORDS}
    return sides.pop() if len(sides) == 1 else None


def _words_of(text: str) -> set[str]:
    """The words of a name as leftHip, left_hip, hip_L, RHip or "Hip left"."""
    words = re.findall(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+", text)
    found: set[str] = set()
    for word in map(str.casefold, words):
        joined = _JOINED.fullmatch(word)
        found |= {part for part in joined.groups() if part} if joined else {word}
    return found


def _is_hip(name: str) -> bool:
    words = _words_of(name)
    return bool(words & {"hip", "hips"}) and not words & NO_HIPS


def _corners(value: object, where: str) -> tuple[float, ...]:
    numbers = value if isinstance(value, list | tuple) else []
    good = [n for n in map(_number, numbers) if math.isfinite(n)]
    if len(numbers) != 4 or len(good) != 4 or good[2] <= 0 or good[3] <= 0:
        raise ManifestError(
            f"{where}: bbox must be [x, y, width, height], finite and not empty; got {value!r}."
        )
    return tuple(good)


def _score(annotation: Mapping[str, Any], where: str) -> float | None:
    score = annotation.get("score")
    if score is None:
        return None
    if not isinstance(score, int | float) or not 0 <= score <= 1:
        raise ManifestError(f"{where}: score must be from 0 to 1; got {score!r}.")
    return float(score)


def _shape(image: Mapping[str, Any], where: str) -> tuple[int, int] | None:
    rows, columns = image.get("height"), image.get("width")
    if rows in {None, 0} and columns in {None, 0}:
        return None
    numbers = [_number(rows), _number(columns)]
    if not all(number > 0 and number.is_integer() for number in numbers):
        raise ManifestError(f"{where}: width and height must be pixels; got {columns!r}, {rows!r}.")
    return int(numbers[0]), int(numbers[1])


def _field(entry: object, name: str, where: str) -> Any:  # noqa: ANN401  # of JSON
    if not isinstance(entry, dict) or name not in entry:
        raise ManifestError(f"{where}: it has no {name}; export the file again as COCO.")
    return entry[name]


def _hip_categories(
    content: Mapping[str, Any], path: Path, hip_class: str | Collection[str]
) -> dict[str, str]:
    """Names of the categories that are hips, by their id."""
    names: dict[str, str] = {}
    above = set()  # Roboflow's root, named as the category above the others
    for number, category in enumerate(content["categories"], 1):
        where = f"{shown(path)}, category {number}"
        names[_identity(category, "id", where)] = str(_field(category, "name", where))
        above.add(str(category.get("supercategory")))
    used = [
        _identity(annotation, "category_id", f"{shown(path)}, annotation {number}")
        for number, annotation in enumerate(content["annotations"], 1)
    ]
    if len(names) > 1:
        names = {i: name for i, name in names.items() if i in used or name not in above}
    unlisted = [one for one in dict.fromkeys(used) if one not in names]
    if len(names) == 1 and len(set(used)) == len(unlisted) == 1:
        names = dict.fromkeys(unlisted, *names.values())  # numbered from 0 here and from 1 there
        unlisted = []
    names |= dict.fromkeys(unlisted, "")
    seen = ", ".join(f"{i} ({name})" if name else f"{i} (unlisted)" for i, name in names.items())
    asked = [hip_class] if isinstance(hip_class, str) else list(hip_class)
    wanted = {plain_name(name) for one in asked for name in str(one).split(",")} - {""}
    chosen = {i: name for i, name in names.items() if {plain_name(name), plain_name(i)} & wanted}
    if wanted:
        if not chosen:
            raise ManifestError(
                f"{shown(path)}: none of its categories is {', '.join(sorted(wanted))}; it has "
                f'{seen}; pass hip_class="NAME" of one of them.'
            )
        return chosen
    hips = {i: name for i, name in names.items() if _is_hip(name)}
    if hips and not unlisted:
        return hips
    if len(names) == 1 and not _words_of(next(iter(names.values()))) & NO_HIPS:
        return names
    problem = (
        f"annotations have categories that are not listed ({listed(unlisted, most=5)})"
        if unlisted
        else f"none of its {len(names)} categories is named hip"
    )
    raise ManifestError(
        f'{shown(path)}: {problem}; it has {seen}; pass hip_class="NAME" of one of them, or rename '
        "it."
    )


def _read_json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise MissingFileError(f"{shown(path)}: no such file; check the path.")
    try:
        content: Any = json.loads(decoded(path).removeprefix("\ufeff"))
    except (json.JSONDecodeError, RecursionError) as error:
        raise ManifestError(f"{shown(path)}: not a JSON file ({error}).") from None
    if isinstance(content, list) and content and all(isinstance(one, dict) for one in content):
        content = _from_label_studio(content, path)
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
    plain: dict[str, Any] = content
    return plain


def _from_label_studio(tasks: Sequence[Mapping[str, Any]], path: Path) -> dict[str, Any]:
    """Label Studio's own JSON, whose boxes are in percent, as COCO."""
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    names: dict[str, int] = {}
    for number, task in enumerate(tasks, 1):
        where = f"{shown(path)}, task {number}"
        data = task.get("data", task)
        texts = data.values() if isinstance(data, dict) else []
        file = data.get("image") if isinstance(data, dict) else None
        file = file or next((t for t in texts if isinstance(t, str) and "." in t), None)
        image: dict[str, Any] = {"id": number, "file_name": file}
        images.append(image)
        for drawn in _label_studio_boxes(task):
            value = drawn.get("value", drawn)
            labels = value.get("rectanglelabels") if isinstance(value, dict) else None
            if not isinstance(labels, list) or not labels:
                continue
            columns, rows = (_number(drawn.get(f"original_{k}")) for k in ("width", "height"))
            x, y, width, height = (_number(value.get(name)) for name in _CORNERS)
            if not (columns > 0 and rows > 0):
                raise ManifestError(f"{where}: its original_width and original_height are absent.")
            image |= {"width": int(columns), "height": int(rows)}
            bbox = [x * columns / 100, y * rows / 100, width * columns / 100, height * rows / 100]
            annotation = {"image_id": number, "bbox": bbox, "rotation": value.get("rotation") or 0}
            annotation["category_id"] = names.setdefault(str(labels[0]), len(names))
            annotations.append(annotation)
    categories = [{"id": identity, "name": name} for name, identity in names.items()]
    return {"images": images, "annotations": annotations, "categories": categories}


def _label_studio_boxes(task: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """What was drawn on a task: of its last annotation that was not cancelled, or of its label."""
    drawn = task.get("label")
    for annotation in task.get("annotations") or task.get("completions") or []:
        if isinstance(annotation, dict) and not annotation.get("was_cancelled"):
            drawn = annotation.get("result")
    return [one for one in drawn if isinstance(one, dict)] if isinstance(drawn, list) else []


# The boxes that a detector learns from, of any of these files, and whose pictures they are.


def read_labels(
    path: str | PathLike[str],
    *,
    folder: str | PathLike[str] | None = None,
    shows: Shows = "pelvis",
    hip_class: str | Collection[str] = (),
) -> list[LabelledImage]:
    """The pictures of a file of boxes, whichever of three kinds it is.

    COCO JSON (`read_coco`, which takes ``hip_class``), a table of MATLAB (`read_matlab`), which
    begins with the column ``imageFilename``, or a table of corrected boxes (`read_boxes`).

    Raises
    ------
    ParameterError
        If ``shows`` is ``"half"`` and the boxes are corrected ones, of whole pictures.
    ManifestError, MissingFileError
        As the reader of its kind.
    """
    path = Path(path)
    if path.suffix.lower() == ".json":
        return read_coco(path, folder=folder, shows=shows, hip_class=hip_class)
    if open_table(path).columns[0].casefold() == "imagefilename":
        return read_matlab(path, folder=folder, shows=shows)
    if shows != "pelvis":
        raise ParameterError(
            f'{shown(path)}: its boxes are of whole pictures; leave out shows="{shows}".'
        )
    base = path.parent if folder is None else Path(folder)
    return [replace(image, path=base / image.path) for image in read_boxes(path, None).values()]


def subjects_of(labelled: Iterable[LabelledImage], path: str | PathLike[str]) -> list[str]:
    """The subject of each labelled picture, by a table with the columns image and subject.

    The table names pictures by their paths from its own folder.

    Raises
    ------
    MissingFileError
        If there is no such table.
    ManifestError
        With the line, if a row names no picture or no subject, or another one than a row above; or
        if a labelled picture is in no row.
    """
    path = Path(path)
    owners: dict[Path, str] = {}
    for line, row in read_rows(path, ("image", "subject")):
        where, image, subject = f"{shown(path)}, line {line}", row["image"], row["subject"]
        if not image or not subject:
            raise ManifestError(f"{where}: image or subject is empty; name both.")
        if owners.setdefault((path.parent / image).resolve(), subject) != subject:
            raise ManifestError(f"{where}: the picture has another subject above.")
    files = [one.path.resolve() for one in labelled]
    absent = [file for file in files if file not in owners]
    if absent:
        raise ManifestError(
            f"{shown(path)}: {len(absent)} of {len(files)} labelled pictures have no subject, "
            f"{shown(absent[0])} first; list every picture, by its path from this table's folder."
        )
    return [owners[file] for file in files]


# Hip boxes of many pictures as a table that people correct, and what they changed.

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
        found, drawn = self.found, self.drawn
        iou = "" if found is None or drawn is None else round(found.iou(drawn), 4)
        row: dict[str, object] = {"side": self.side, "change": self.change, "iou": iou}
        for name, box in (("found", found), ("drawn", drawn)):
            for edge in EDGES:
                row[f"{name}_{edge}"] = "" if box is None else round(getattr(box, edge), 2)
        return row


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
    >>> boxes_table([LabelledImage(Path("a.png"), (box,), (50, 60))]).splitlines()[1:]
    ['a.png,left,30,2,40,12,0.9,50,60', 'a.png,right,,,,,,50,60']
    """
    rows: list[list[object]] = []
    for image in labelled:
        by_side = {box.side: box for box in image.boxes}
        shape = ("", "") if image.shape is None else image.shape
        for side in SIDES:
            box = by_side.get(side)
            edges = ["" if box is None else f"{getattr(box, edge):.6g}" for edge in EDGES]
            score = "" if box is None or box.confidence is None else f"{box.confidence:.3g}"
            rows.append([image.path.as_posix(), side, *edges, score, *shape])
    return csv_text(COLUMNS, rows)


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
        The CSV that `boxes_table` makes, as any spreadsheet saves it (`rhoa.tables.open_table`;
        other columns are left alone), or COCO JSON, where file names are those of the CSV, or end
        as they do.
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
        if known is not None and name not in known and path.suffix.lower() == ".json":
            name = next((one for one in _likely_names(name) if one in known), name)
            image = replace(image, path=Path(name))  # noqa: PLW2901
        if known is not None and name not in known:
            raise ManifestError(
                f"{where}: {name!r} is no picture of this run, which has "
                f"{listed(sorted(known), most=3) or 'none'}; leave the names as they were written."
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
        if old is not None and all(
            abs(getattr(old, edge) - getattr(new, edge)) < SAME_PX for edge in EDGES
        ):
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
    for line, row in read_rows(path, NEEDED, known=COLUMNS):
        where = f"{shown(path)}, line {line}"
        row["side"] = side_in_table(row["side"])
        if row["side"] not in SIDES:
            raise ManifestError(f"{where}: side must be left or right; got {row['side']!r}.")
        first = listed.setdefault((row["image"], row["side"]), line)
        if first != line:
            raise ManifestError(
                f"{where}: the {row['side']} hip of {row['image']!r} is listed in line {first} too."
            )
        box, shape = _corrected_box(row, where), _stated_shape(row, where)
        _, boxes, stated = pictures.setdefault(row["image"], (where, [], shape))
        if shape != stated:
            raise ManifestError(f"{where}: rows and columns differ from those of its other hip.")
        boxes += [] if box is None else [box]
    return [
        (where, LabelledImage(Path(name), tuple(boxes), shape))
        for name, (where, boxes, shape) in pictures.items()
    ]


def _corrected_box(row: Mapping[str, str], where: str) -> Box | None:
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


def _stated_shape(row: Mapping[str, str], where: str) -> tuple[int, int] | None:
    rows, columns = (whole(row.get(name, "")) for name in ("rows", "columns"))
    if not rows and not columns:
        return None
    if not (rows.isdecimal() and columns.isdecimal()):
        raise ManifestError(f"{where}: rows and columns must be whole numbers; leave them alone.")
    return int(rows), int(columns)

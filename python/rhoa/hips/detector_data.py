"""Hips as the detector sees them: halves that look like left hips, small, with their boxes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from rhoa.errors import ParameterError, ReadError, RhoaError, require_choice
from rhoa.files import shown
from rhoa.hips.annotations import SHOWS
from rhoa.hips.bounding_boxes import MOST_OUTSIDE, BoxRules, checked_box
from rhoa.radiograph import Box, Radiograph
from rhoa.raster import resampling_matrix, resize
from rhoa.xray.preparation import open_columns, prepare
from rhoa.xray.reader import read_xray
from rhoa.xray.refusals import accepted, require_known, settled

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from numpy.typing import ArrayLike, NDArray

    from rhoa._types import Side
    from rhoa.hips.annotations import LabelledImage, Shows
    from rhoa.xray.refusals import FilmHips

LONGEST = 4
"""Of the longer side, in shorter ones: what is longer is no half of a pelvis."""


@dataclass(frozen=True, slots=True, eq=False)
class Half:
    """A half of a pelvis that looks like a left hip, at the size that a network sees."""

    side: Side
    """Of the patient; columns of right halves run the other way."""
    pixels: NDArray[np.uint8]
    scale: tuple[float, float]
    """Network pixels of one pixel of the image, rows and columns."""
    edge_px: float
    """Where its column 0 lies in the image, in pixel edges."""

    def to_half(self, box: Box) -> Box:
        """A box of the image, as it lies in the half: a left one."""
        first, second = ((edge - self.edge_px) * self.scale[1] for edge in (box.left, box.right))
        if self.side == "right":
            first, second = -second, -first
        top, bottom = box.top * self.scale[0], box.bottom * self.scale[0]
        return Box("left", top, first, bottom, second, box.confidence)

    def to_image(self, box: Box) -> Box:
        """A box of the half, as it lies in the image."""
        first, second = box.left / self.scale[1], box.right / self.scale[1]
        if self.side == "right":
            first, second = -second, -first
        top, bottom = box.top / self.scale[0], box.bottom / self.scale[0]
        edge = self.edge_px
        return Box(self.side, top, first + edge, bottom, second + edge, box.confidence)


@dataclass(frozen=True, slots=True, eq=False)
class Example:
    """A half and the box that was drawn on it, in its pixel edges."""

    pixels: NDArray[np.uint8]
    box: Box
    group: str
    """Examples of one group are never in training and test at once."""


def halves_seen(
    image: Radiograph | ArrayLike,
    *,
    image_size: int,
    shows: Shows = "pelvis",
    hips: FilmHips | None = None,
) -> list[Half]:
    """The halves of an image as a network sees them; one where it shows one hip alone.

    Grey levels are those of `rhoa.hips.prepare`; the shorter side has ``image_size`` pixels, which
    are square even where the image's are not. Which ``hips`` it shows, the image tells by default.

    Raises
    ------
    ParameterError
        If the image is not 2-D, has no pixels, or is longer than four times its width, or if it may
        be of one hip or of two.
    """
    require_choice("shows", shows, SHOWS)
    pixel_mm = image.pixel_mm if isinstance(image, Radiograph) else (1.0, 1.0)
    pixels = np.asarray(image, np.float32)
    if pixels.ndim != 2 or min(pixels.shape) < 2:
        raise ParameterError(f"image must be 2-D with pixels; got shape {pixels.shape}.")
    alone = "left" if shows == "half" else (hips or require_known(image)).alone
    start, stop = open_columns(image)
    if alone == "left":
        return [_half("left", pixels[:, start:stop], pixel_mm, image_size, edge_px=start)]
    if alone == "right":
        return [_half("right", pixels[:, start:stop][:, ::-1], pixel_mm, image_size, edge_px=stop)]
    first, end = (start + stop) // 2, (start + stop + 1) // 2  # as `halves` cuts them
    return [
        _half("left", pixels[:, first:stop], pixel_mm, image_size, edge_px=first),
        _half("right", pixels[:, start:end][:, ::-1], pixel_mm, image_size, edge_px=end),
    ]


def as_examples(
    image: Radiograph | ArrayLike,
    boxes: Iterable[Box],
    *,
    image_size: int,
    shows: Shows = "pelvis",
    group: str = "",
    accept: str | Collection[str] = (),
) -> list[Example]:
    """The halves of an image that have a box, and the box of each.

    A box belongs to the half of its side; a half without one tells nothing and is left out. An
    X-ray that may be of one hip or of two shows the hips that have boxes.

    Parameters
    ----------
    image, shows
        As of `HipDetector.detect`.
    boxes
        In the image's pixel edges.
    image_size
        Pixels of the shorter side of a half.
    group
        Whose image it is.
    accept
        Names of refusals of boxes that are overruled (half, outside, box), as of `read_xray`.

    Raises
    ------
    ParameterError
        If two boxes are of one side.
    ManifestError, ViewError
        If a box lies in the half of the other side, outside the image, or has not the size of a
        hip; or if the image shows another hip alone.
    """
    overruled = accepted(accept)
    by_side: dict[Side, Box] = {}
    for box in boxes:
        if box.side in by_side:
            raise ParameterError(f"two boxes are of the {box.side} hip; one a half is needed.")
        by_side[box.side] = box
    hips = settled(image, dict.fromkeys(by_side, "the box"), accept=overruled)
    seen = halves_seen(image, image_size=image_size, shows=shows, hips=hips)
    rules = BoxRules.of(image, hips)._replace(most_outside=MOST_OUTSIDE, accept=overruled)
    if shows == "half":
        rules = rules._replace(midline_px=None)
    elif rules.midline_px is not None:
        rules = rules._replace(midline_px=sum(half.edge_px for half in seen) / 2)  # their cut
    for box in by_side.values():
        checked_box(box.side, (box.top, box.left, box.bottom, box.right), rules)
    return [
        Example(half.pixels, half.to_half(by_side[half.side]), group)
        for half in seen
        if half.side in by_side
    ]


def read_examples(
    labelled: Sequence[LabelledImage],
    *,
    image_size: int,
    groups: Sequence[str] | None = None,
    accept: str | Collection[str] = (),
) -> list[Example]:
    """The examples of labelled pictures: PNG, JPEG or TIFF, as `rhoa xray` and MATLAB write them.

    DICOM files are refused: `rhoa.hips.read_xray` turns them upright, and boxes that were drawn on
    their stored pixels would lie elsewhere.

    Parameters
    ----------
    labelled
        As `rhoa.hips.read_coco` and `rhoa.hips.read_matlab` read them. Pixels count as square.
    image_size
        Pixels of the shorter side of a half.
    groups
        The subject of each image. Default: each file is its own.
    accept
        Names of refusals of boxes that are overruled, as of `as_examples`.

    Raises
    ------
    ParameterError
        If ``groups`` is not as long as ``labelled``.
    ManifestError, ViewError
        If boxes do not fit their image.
    ReadError
        If an image cannot be read, is a DICOM file, or is not of the labels' shape.
    """
    if groups is not None and len(groups) != len(labelled):
        raise ParameterError(
            f"groups must name the subject of each of {len(labelled)} images; got {len(groups)}."
        )
    examples = []
    for number, image in enumerate(labelled):
        if not image.boxes:
            continue
        picture = _picture(image)
        group = str(image.path) if groups is None else groups[number]
        try:
            examples += as_examples(
                picture,
                image.boxes,
                image_size=image_size,
                shows=image.shows,
                group=group,
                accept=accept,
            )
        except RhoaError as error:
            raise type(error)(f"{shown(image.path)}: {error}") from None
    return examples


def _picture(image: LabelledImage) -> Radiograph:
    read = read_xray(image.path, pixel_mm="optional")
    if read.provenance["file"] == "DICOM":
        raise ReadError(
            f"{shown(image.path)}: a DICOM file, which may be turned when it is read; label the "
            "picture that `rhoa xray` writes of it."
        )
    if image.shape not in {None, read.shape}:
        raise ReadError(
            f"{shown(image.path)}: {read.shape[0]} x {read.shape[1]} pixels; its labels are of an "
            f"image of {image.shape[0]} x {image.shape[1]}: label it again."
        )
    return read


def changed(example: Example, random: np.random.Generator) -> Example:
    """The example moved, zoomed, and of other contrast, by its own draw; its shape stays."""
    rows, columns = example.pixels.shape
    zoom = float(np.exp(random.uniform(-0.22, 0.22)))
    tall, wide = (zoom * float(np.exp(random.uniform(-0.06, 0.06))) for _ in range(2))
    middle_row = rows * (0.5 + random.uniform(-0.12, 0.12))
    middle_column = columns * (0.5 + random.uniform(-0.12, 0.12))
    top, left = middle_row - rows * tall / 2, middle_column - columns * wide / 2
    down = resampling_matrix(rows, rows, top, top + rows * tall)
    across = resampling_matrix(columns, columns, left, left + columns * wide)
    shares = np.clip(down @ (example.pixels / np.float32(255)) @ across.T, 0, 1)
    shares = shares ** np.float32(np.exp(random.uniform(-0.4, 0.4)))
    box = example.box
    moved = Box(
        "left",
        (box.top - top) / tall,
        (box.left - left) / wide,
        (box.bottom - top) / tall,
        (box.right - left) / wide,
    )
    return replace(example, pixels=(255 * shares + 0.5).astype(np.uint8), box=moved)


def _half(
    side: Side,
    pixels: NDArray[np.float32],
    pixel_mm: tuple[float, float],
    image_size: int,
    *,
    edge_px: float,
) -> Half:
    rows, columns = pixels.shape
    high, wide = rows * pixel_mm[0], columns * pixel_mm[1]
    if max(high, wide) > LONGEST * min(high, wide):
        raise ParameterError(
            f"a half of {rows} x {columns} pixels is too long for a pelvis; cut it about the hips."
        )
    shape = tuple(max(1, round(image_size * side / min(high, wide))) for side in (high, wide))
    levels = resize(prepare(pixels).astype(np.float32), *shape)
    small = (np.clip(levels, 0, 255) + 0.5).astype(np.uint8)
    return Half(side, small, (shape[0] / rows, shape[1] / columns), edge_px)

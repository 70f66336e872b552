"""What is shown of a case: its image through the reader's pose, its boxes, crops of its hips."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from rhoa.errors import PoseError, ReadError, ReviewError
from rhoa.hips import Box, crop
from rhoa.hips.crop_files import CROP_REFUSALS, read_crop
from rhoa.picture import encode_png, grey_range, resize, stretch
from rhoa.pose import from_landmarks
from rhoa.pose.sides import SIDES
from rhoa.radiograph import DISPLAY_SATURATION_PERCENT, Radiograph
from rhoa.review.kept import Kept
from rhoa.review.volumes import Volumes, found_boxes, lateral, mean_pelvis_in, projected, remade
from rhoa.writing import replacing

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from rhoa.pose import Landmarks
    from rhoa.pose.sides import Side
    from rhoa.review.actions import Posed
    from rhoa.review.cases import Case
    from rhoa.review.state import CaseState
    from rhoa.review.volumes import Lateral

REMADE = ".remade"
"""The folder of images through readers' poses; made anew where it is absent."""
KEPT = 16
THUMBNAIL_PIXELS = 320
_TOP = 65535


@dataclass(frozen=True, slots=True, eq=False)
class Shown:
    """Grey levels of 16 bits for the page, and what it must know to draw on them."""

    levels: NDArray[np.uint16]
    black: int
    """Level that is shown black at first; `white` likewise."""
    white: int

    @classmethod
    def of(cls, pixels: NDArray[np.float32], saturate_percent: float) -> Shown:
        """Of an image, linear over its whole range."""
        low, high = grey_range(pixels)
        ends = grey_range(pixels, saturate_percent)
        scale = _TOP / (high - low) if high > low else 0.0
        black, white = (round((end - low) * scale) for end in ends)
        levels = stretch(pixels, bits=16, ends=(low, high)).astype(np.uint16)
        return cls(levels, black, white)


class Pictures:
    """The images of a cohort; safe to ask from several threads."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / REMADE
        self._volumes = Volumes()
        self._images = Kept["tuple[Radiograph, Mapping[Side, Box]]"](most=KEPT)
        self._laterals = Kept["Lateral"](most=KEPT)

    def image(self, case: Case, state: CaseState) -> Radiograph:
        """The image of a case, through the reader's landmarks where there are some.

        Raises
        ------
        ReviewError
            If the case has crops alone, or its CT is needed and not known.
        """
        return self._made(case, state.pose)[0]

    def boxes(self, case: Case, state: CaseState) -> dict[Side, Box]:
        """The boxes of a case: found, then as the reader changed them."""
        held = dict(self._made(case, state.pose)[1]) if case.image is not None else {}
        for side, box in state.boxes.items():
            if box is None:
                held.pop(side, None)
            else:
                held[side] = box
        return held

    def sides(self, case: Case, state: CaseState) -> list[Side]:
        """The sides that can be graded."""
        wanted = list(case.hips) or list(SIDES)
        boxed = self.boxes(case, state) if case.image is not None else {}
        return [side for side in wanted if side in boxed or side in case.hips]

    def hip(self, case: Case, side: Side, state: CaseState) -> NDArray[np.float32]:
        """A hip as it is graded, right ones mirrored: a manifest's crop, or cut from the image.

        Raises
        ------
        ReviewError
            If there is none.
        """
        untouched = state.pose is None and side not in state.boxes
        if side in case.hips and (untouched or case.image is None):
            return shown_crop(case.hips[side].image)
        box = self.boxes(case, state).get(side)
        if box is None:
            raise ReviewError(f"case {case.number} has no box of its {side} hip; draw one.")
        return crop(self.image(case, state), box, size=None)

    def lateral(self, case: Case) -> Lateral:
        """The view from the patient's left."""
        return self._laterals.get(case.key, lambda: lateral(self._volumes.of(case)))

    def preview(self, case: Case, landmarks: Landmarks, depth_mm: Depth) -> Radiograph:
        """The CT-AP through landmarks, at once and without its hips."""
        alignment = from_landmarks(landmarks)
        return projected(self._volumes.of(case), alignment, depth_mm or "all")

    def landmarks(self, case: Case, state: CaseState) -> Landmarks | None:
        """The reader's landmarks, else those that were found."""
        chosen = None if state.pose is None else state.pose.as_landmarks()
        return chosen or case.found.landmarks

    def some_landmarks(self, case: Case) -> Landmarks:
        """A mean pelvis, for a reader to put in its place."""
        return mean_pelvis_in(self._volumes.of(case))

    def thumbnail(self, case: Case, state: CaseState) -> bytes:
        """A small PNG of the image, or of the hips where there is none."""
        if case.image is not None:
            grey = self.image(case, state).square().to_uint8()
        else:
            side = THUMBNAIL_PIXELS // 2
            hips = [shown_crop(hip.image) for hip in case.hips.values()]
            grey = np.hstack([stretch(resize(hip, side, side)).astype(np.uint8) for hip in hips])
        rows, columns = grey.shape
        share = min(1.0, THUMBNAIL_PIXELS / max(rows, columns))
        small = resize(
            grey.astype(np.float32), max(1, round(rows * share)), max(1, round(columns * share))
        )
        return encode_png(np.rint(small).clip(0, 255).astype(np.uint8))

    def _made(self, case: Case, pose: Posed | None) -> tuple[Radiograph, Mapping[Side, Box]]:
        if case.image is None:
            raise ReviewError(f"case {case.number} has crops alone, no image of the pelvis.")
        name = case.key if pose is None else f"{case.key}-{_digest(pose)}"
        return self._images.get(
            name, lambda: _as_found(case) if pose is None else self._posed(case, pose, name)
        )

    def _posed(self, case: Case, pose: Posed, name: str) -> tuple[Radiograph, dict[Side, Box]]:
        """The image through a pose, from the disk where it was made before."""
        file = self._folder / f"{name}.npz"
        try:
            image = Radiograph.load(file)
            return image, _boxes_in(image)
        except ReadError:
            pass
        landmarks = pose.as_landmarks() or case.found.landmarks
        if landmarks is None:
            raise ReviewError(f"case {case.number} has no landmarks to measure a depth from.")
        image, held = remade(self._volumes.of(case), landmarks, pose.depth_mm or "all")
        edges = {side: [b.top, b.left, b.bottom, b.right] for side, b in held.items()}
        told = {**image.provenance, "boxes": edges}
        image = Radiograph(
            image.pixels, image.pixel_mm, image.origin_mm, image.alignment, told,
            image.coverage_mm, image.scan_frame,
        )  # fmt: skip
        self._folder.mkdir(parents=True, exist_ok=True)
        with replacing(file) as partial:
            image.save(partial)
        return image, _boxes_in(image)


def shown_crop(file: Path) -> NDArray[np.float32]:
    """The grey levels of a crop, 0 to 255, as models see it; what is not square is padded.

    Raises
    ------
    ReviewError
        If it is absent or no picture.
    """
    try:
        return read_crop(file, accept=CROP_REFUSALS)
    except (OSError, ReadError):
        raise ReviewError(
            "a crop of the manifest is no readable picture of grey levels; restore it."
        ) from None


def shown_image(image: Radiograph) -> Shown:
    """An image with square pixels, for the page."""
    return Shown.of(image.square().pixels, DISPLAY_SATURATION_PERCENT)


def to_shown(box: Box, image: Radiograph) -> tuple[float, float, float, float]:
    """Top, left, bottom, right of a box in the square pixels that are shown."""
    return _moved(box, image, image.square())


def from_shown(side: Side, edges: tuple[float, float, float, float], image: Radiograph) -> Box:
    """A box of the image from edges in the square pixels that are shown."""
    return Box(side, *_moved(Box(side, *edges), image.square(), image))


def _moved(box: Box, image: Radiograph, other: Radiograph) -> tuple[float, float, float, float]:
    if image is other:
        return box.top, box.left, box.bottom, box.right
    corners = ((box.top, box.left), (box.bottom, box.right))
    (top, left), (bottom, right) = (
        other.to_pixel(*image.to_mm(row - 0.5, column - 0.5)) for row, column in corners
    )
    return top + 0.5, left + 0.5, bottom + 0.5, right + 0.5


def _as_found(case: Case) -> tuple[Radiograph, Mapping[Side, Box]]:
    if case.image is None:
        raise ReviewError(f"case {case.number} has crops alone, no image of the pelvis.")
    image = Radiograph.load(case.image)
    if case.found.boxes is not None:
        return image, case.found.boxes
    try:
        return image, found_boxes(image)
    except PoseError:
        return image, {}


def _boxes_in(image: Radiograph) -> dict[Side, Box]:
    return {side: Box(side, *edges) for side, edges in image.provenance["boxes"].items()}


def _digest(pose: Posed) -> str:
    told = json.dumps([pose.landmarks, pose.depth_mm], sort_keys=True)
    return hashlib.blake2s(told.encode(), digest_size=8).hexdigest()


Depth = tuple[float, float] | None

"""What is shown of a case: its image through the reader's pose, its boxes, crops of its hips."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from rhoa.errors import PoseError, ReadError, ReviewError
from rhoa.hips import Box, boxes, crop
from rhoa.hips.crop_files import CROP_REFUSALS, read_crop
from rhoa.picture import encode_png, grey_range, resize, stretch
from rhoa.pose import from_landmarks
from rhoa.pose.sides import SIDES
from rhoa.radiograph import DISPLAY_SATURATION_PERCENT, Radiograph
from rhoa.review.cases import Refusal
from rhoa.review.kept import Kept
from rhoa.review.volumes import Volumes, extracted, lateral, mean_pelvis_in, projected
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


@dataclass(frozen=True, slots=True, eq=False)
class Projected:
    """The image of a case, and the hips in it."""

    image: Radiograph
    boxes: Mapping[Side, Box]
    refused: Mapping[Side, Refusal] = field(default_factory=dict)

    @classmethod
    def stored(cls, image: Radiograph) -> Projected:
        """With what was written down beside the image."""
        known = image.provenance
        return cls(
            image,
            {side: Box(side, *edges) for side, edges in known["boxes"].items()},
            {side: Refusal(*why) for side, why in known.get("refused", {}).items()},
        )


class Pictures:
    """The images of a cohort; safe to ask from several threads."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / REMADE
        self._volumes = Volumes()
        self._images = Kept["Projected"](most=KEPT)
        self._laterals = Kept["Lateral"](most=KEPT)

    def image(self, case: Case, state: CaseState) -> Radiograph:
        """The image of a case, through the reader's landmarks where there are some.

        Raises
        ------
        ReviewError
            If the case has crops alone, or its CT is needed and not known.
        """
        return self._made(case, state.pose).image

    def boxes(self, case: Case, state: CaseState) -> dict[Side, Box]:
        """The boxes of a case: found, then as the reader changed them."""
        held = dict(self._made(case, state.pose).boxes) if case.image is not None else {}
        for side, box in state.boxes.items():
            if box is None:
                held.pop(side, None)
            else:
                held[side] = box
        return held

    def refused(self, case: Case, state: CaseState) -> dict[Side, Refusal]:
        """The hips that are not to be graded; a box that the reader drew takes a hip in."""
        known = case.found.refused
        if case.image is not None and state.pose is not None:
            known = self._made(case, state.pose).refused
        return {side: why for side, why in known.items() if state.boxes.get(side) is None}

    def sides(self, case: Case, state: CaseState) -> list[Side]:
        """The sides that can be graded."""
        boxed = self.boxes(case, state) if case.image is not None else {}
        cropped = [side for side, hip in case.hips.items() if hip.image is not None]
        wanted, refused = list(case.hips) or list(SIDES), self.refused(case, state)
        return [s for s in wanted if (s in boxed or s in cropped) and s not in refused]

    def hip(self, case: Case, side: Side, state: CaseState) -> NDArray[np.float32]:
        """A hip as it is graded, right ones mirrored: a manifest's crop, or cut from the image.

        Raises
        ------
        ReviewError
            If there is none.
        """
        untouched = state.pose is None and side not in state.boxes
        if side in case.hips and (untouched or case.image is None):
            return shown_crop(case.hips[side].crop)
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
            hips = [shown_crop(hip.image) for hip in case.hips.values() if hip.image is not None]
            shown = [stretch(resize(hip, side, side)).astype(np.uint8) for hip in hips]
            grey = np.hstack(shown) if shown else np.zeros((side, side), np.uint8)
        rows, columns = grey.shape
        share = min(1.0, THUMBNAIL_PIXELS / max(rows, columns))
        small = resize(
            grey.astype(np.float32), max(1, round(rows * share)), max(1, round(columns * share))
        )
        return encode_png(np.rint(small).clip(0, 255).astype(np.uint8))

    def _made(self, case: Case, pose: Posed | None) -> Projected:
        if case.image is None:
            raise ReviewError(f"case {case.number} has crops alone, no image of the pelvis.")
        name = case.key if pose is None else f"{case.key}-{_digest(pose)}"
        return self._images.get(
            name, lambda: _as_found(case) if pose is None else self._posed(case, pose, name)
        )

    def _posed(self, case: Case, pose: Posed, name: str) -> Projected:
        """The image through a pose, from the disk where it was made before."""
        file = self._folder / f"{name}.npz"
        try:
            return Projected.stored(Radiograph.load(file))
        except ReadError:
            pass
        landmarks = pose.as_landmarks() or case.found.landmarks
        if landmarks is None:
            raise ReviewError(f"case {case.number} has no landmarks to measure a depth from.")
        found = extracted(self._volumes.of(case), landmarks, pose.depth_mm or "all")
        edges = {side: [b.top, b.left, b.bottom, b.right] for side, b in found.boxes.items()}
        refused = {
            side: ["; ".join(hip.refusals), hip.exclusion]
            for side, hip in found.hips.items()
            if not hip.usable
        }
        image = replace(
            found.image, provenance={**found.image.provenance, "boxes": edges, "refused": refused}
        )
        self._folder.mkdir(parents=True, exist_ok=True)
        with replacing(file) as partial:
            image.save(partial)
        return Projected.stored(image)


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


def _as_found(case: Case) -> Projected:
    if case.image is None:
        raise ReviewError(f"case {case.number} has crops alone, no image of the pelvis.")
    image = Radiograph.load(case.image)
    if case.found.boxes is not None:
        return Projected(image, case.found.boxes)
    held: dict[Side, Box] = {}
    for side in SIDES:
        try:
            held |= boxes(image, sides=(side,))
        except PoseError:
            continue
    return Projected(image, held)


def _digest(pose: Posed) -> str:
    told = json.dumps([pose.landmarks, pose.depth_mm], sort_keys=True)
    return hashlib.blake2s(told.encode(), digest_size=8).hexdigest()


Depth = tuple[float, float] | None

"""What is shown of a case: its image, its boxes, crops of its hips; CTs kept in memory."""

from __future__ import annotations

import hashlib
import json
import threading
from collections import OrderedDict
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Generic, TypeVar

import numpy as np

from rhoa._types import SIDES
from rhoa.errors import PoseError, ReadError, ReviewError, RhoaError
from rhoa.files import replacing
from rhoa.hips import Box, boxes, crop, extract
from rhoa.hips.crop_files import CROP_REFUSALS, crop_label, read_crop
from rhoa.pose import Landmarks, from_landmarks
from rhoa.pose.bone import along_patient
from rhoa.pose.population import mean_landmarks_mm
from rhoa.projection import ctap
from rhoa.radiograph import DISPLAY_SATURATION_PERCENT, UNKNOWN_SIZE, Radiograph, squared
from rhoa.raster import encode_png, grey_range, resize, stretch
from rhoa.reading import read_ct
from rhoa.review.cohort import Refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from rhoa._types import Side
    from rhoa.review.cohort import ReviewCase
    from rhoa.review.events import CaseState, Posed
    from rhoa.volume import Volume


# A cache of the last few values, each made once even if several threads ask at once.

Value = TypeVar("Value")


class LRUCache(Generic[Value]):
    """Values by name; the least recently used one is dropped first.

    Examples
    --------
    >>> cache = LRUCache[int](most=1)
    >>> cache.get("a", lambda: 1), cache.get("a", lambda: 2)
    (1, 1)
    """

    def __init__(self, *, most: int) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._values: OrderedDict[str, Value] = OrderedDict()
        self._makers: dict[str, threading.Lock] = {}

    def get(self, name: str, make: Callable[[], Value]) -> Value:
        """The value of that name, made if it is not cached; other names need not wait for it."""
        with self._lock:
            if name in self._values:
                self._values.move_to_end(name)
                return self._values[name]
            maker = self._makers.setdefault(name, threading.Lock())
        with maker:
            with self._lock:
                if name in self._values:
                    return self._values[name]
            value = make()
            with self._lock:
                self._values[name] = value
                while len(self._values) > self._most:
                    self._values.popitem(last=False)
                self._makers.pop(name, None)
        return value


# The CTs of the cases, the last few in memory, and views of them.

SCANS_CACHED = 2
"""Scans in memory: the one that is shown, and the one before."""
BEFORE_MIDDLE_MM = np.array([0.0, -60.0, 0.0])
"""Of the anterior pelvic plane, from the middle of most scans."""


@dataclass(frozen=True, slots=True, eq=False)
class Lateral:
    """The scan seen from the patient's left, as scanned, with square pixels.

    A voxel ``(k, j, i)`` of the scan, with its axes along the patient, lies at column
    ``across[0] * j + across[1]`` and row ``down[0] * k + down[1]``, in pixel edges.
    """

    image: Radiograph
    affine: NDArray[np.float64]
    """From ``(k, j, i, 1)`` to patient LPS mm."""
    across: tuple[float, float]
    down: tuple[float, float]


class Volumes:
    """Scans by case, read when first asked for; safe to ask from several threads.

    Parameters
    ----------
    cache
        As `rhoa.read_ct` takes it.
    """

    def __init__(self, cache: Path | None = None) -> None:
        self._folder = cache
        self._cache = LRUCache["Volume"](most=SCANS_CACHED)

    def of(self, case: ReviewCase) -> Volume:
        """The CT of a case.

        Raises
        ------
        ReviewError
            If it is not known where it is, or it cannot be read.
        """
        scan = case.scan
        if scan is None:
            raise ReviewError(
                f"the CT of case {case.number} is not known; start rhoa review with --scans."
            )
        try:
            return self._cache.get(case.key, lambda: read_ct(scan, cache=self._folder))
        except RhoaError:  # its text names files, which patients' names may be in
            raise ReviewError(
                f"the CT of case {case.number} cannot be read; rhoa inspect says why."
            ) from None


def lateral(volume: Volume) -> Lateral:
    """The view from the patient's left."""
    scan = along_patient(volume)
    rows, columns, _ = scan.spacing_mm
    pixels = ctap(scan.hu, axis=2)[::-1]
    slices = len(pixels)
    square = Radiograph(pixels, (rows, columns), (0.0, (slices - 1) * rows)).square()
    step = square.pixel_mm[0]
    x, z = square.origin_mm
    return Lateral(
        square,
        np.asarray(scan.affine),
        (columns / step, 0.5 - x / step),
        (-rows / step, 0.5 + z / step),
    )


# What is shown of a case: its image through the reader's pose, its boxes, crops of its hips.

REMADE = ".remade"
"""The folder of images through readers' poses; made anew where it is absent."""
PICTURES_CACHED = 16
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

    def __init__(self, folder: Path, *, cache: Path | None = None) -> None:
        self._folder = folder / REMADE
        self._volumes = Volumes(cache)
        self._images = LRUCache["Projected"](most=PICTURES_CACHED)
        self._laterals = LRUCache["Lateral"](most=PICTURES_CACHED)

    def image(self, case: ReviewCase, state: CaseState) -> Radiograph:
        """The image of a case, through the reader's landmarks where there are some.

        Raises
        ------
        ReviewError
            If the case has crops alone, or its CT is needed and not known.
        """
        return self._made(case, state.pose).image

    def boxes(self, case: ReviewCase, state: CaseState) -> dict[Side, Box]:
        """The boxes of a case: found, then as the reader changed them."""
        found = dict(self._made(case, state.pose).boxes) if case.image is not None else {}
        for side, box in state.boxes.items():
            if box is None:
                found.pop(side, None)
            else:
                found[side] = box
        return found

    def refused(self, case: ReviewCase, state: CaseState) -> dict[Side, Refusal]:
        """The hips that are not to be graded; a box that the reader drew takes a hip in."""
        known = case.found.refused
        if case.image is not None and state.pose is not None:
            known = self._made(case, state.pose).refused
        return {side: why for side, why in known.items() if state.boxes.get(side) is None}

    def sides(self, case: ReviewCase, state: CaseState) -> list[Side]:
        """The sides that can be graded."""
        boxed = self.boxes(case, state) if case.image is not None else {}
        cropped = [side for side, hip in case.hips.items() if hip.image is not None]
        wanted, refused = list(case.hips) or list(SIDES), self.refused(case, state)
        return [s for s in wanted if (s in boxed or s in cropped) and s not in refused]

    def hip(self, case: ReviewCase, side: Side, state: CaseState) -> NDArray[np.float32]:
        """A hip as it is graded, right ones mirrored: a manifest's crop, or cut from the image.

        Raises
        ------
        ReviewError
            If there is none.
        """
        if side in case.hips and (state.untouched(side) or case.image is None):
            return shown_crop(case.hips[side].crop)
        box = self.boxes(case, state).get(side)
        if box is None:
            raise ReviewError(f"case {case.number} has no box of its {side} hip; draw one.")
        return crop(self.image(case, state), box, size=None)

    def hip_pixel_mm(
        self, case: ReviewCase, side: Side, state: CaseState, rows: int
    ) -> float | None:
        """The pixel size of `hip`, which has ``rows`` rows; None where it is not known."""
        if side in case.hips and (state.untouched(side) or case.image is None):
            text = crop_label(case.hips[side].crop).get("pixel_mm", "")
            return float(text) if text else None
        image = self.image(case, state)
        if image.provenance.get("pixel_mm_from") == UNKNOWN_SIZE:
            return None
        box = squared(self.boxes(case, state)[side], image.pixel_mm)
        return box.height * image.pixel_mm[0] / rows

    def lateral(self, case: ReviewCase) -> Lateral:
        """The view from the patient's left."""
        return self._laterals.get(case.key, lambda: lateral(self._volumes.of(case)))

    def preview(self, case: ReviewCase, pose: Posed) -> Radiograph:
        """The CT-AP through a pose, at once and without its hips.

        Raises
        ------
        RhoaError
            If it makes no image.
        """
        alignment = from_landmarks(_landmarks_of(case, pose))
        image: Radiograph = ctap(
            self._volumes.of(case), pose=alignment, depth=pose.depth_mm or "all"
        )
        return image

    def landmarks(self, case: ReviewCase, state: CaseState) -> Landmarks | None:
        """The reader's landmarks, else those that were found."""
        chosen = None if state.pose is None else state.pose.as_landmarks()
        return chosen or case.found.landmarks

    def some_landmarks(self, case: ReviewCase) -> Landmarks:
        """A mean pelvis in the middle of the scan, for a reader to put in its place."""
        volume = self._volumes.of(case)
        middle = volume.to_lps((np.array(volume.shape) - 1) / 2)
        return Landmarks(*(mean_landmarks_mm() + middle + BEFORE_MIDDLE_MM))

    def thumbnail(self, case: ReviewCase, state: CaseState) -> bytes:
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

    def _made(self, case: ReviewCase, pose: Posed | None) -> Projected:
        file = case.image
        if file is None:
            raise ReviewError(f"case {case.number} has crops alone, no image of the pelvis.")
        if pose is None:
            return self._images.get(case.key, lambda: _as_found(file, case.found.boxes))
        content = json.dumps([pose.landmarks, pose.depth_mm], sort_keys=True)
        digest = hashlib.blake2s(content.encode(), digest_size=8).hexdigest()
        name = f"{case.key}-{digest}"
        return self._images.get(name, lambda: self._posed(case, pose, name))

    def _posed(self, case: ReviewCase, pose: Posed, name: str) -> Projected:
        """The image through a pose, from the disk where it was made before."""
        file = self._folder / f"{name}.npz"
        try:
            return Projected.stored(Radiograph.load(file))
        except ReadError:
            pass
        found = extract(
            self._volumes.of(case),
            pose=from_landmarks(_landmarks_of(case, pose)),  # as the reader placed them
            accept=("pose_not_used",),
            depth=pose.depth_mm or "all",
        )
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


def _as_found(file: Path, written: Mapping[Side, Box] | None) -> Projected:
    image = Radiograph.load(file)
    if written is not None:
        return Projected(image, written)
    found: dict[Side, Box] = {}
    for side in SIDES:
        try:
            found |= boxes(image, sides=(side,))
        except PoseError:
            continue
    return Projected(image, found)


def _landmarks_of(case: ReviewCase, pose: Posed) -> Landmarks:
    """Those of a pose, else those that were found."""
    landmarks = pose.as_landmarks() or case.found.landmarks
    if landmarks is None:
        raise ReviewError(f"case {case.number} has no landmarks to measure a depth from.")
    return landmarks

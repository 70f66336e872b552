"""Boxes around the hip joints of an AP image, and crops of them."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from rhoa.errors import ParameterError, PoseError, require_choice, require_count
from rhoa.picture import resampling_matrix
from rhoa.pose import Landmarks, usable_alignment
from rhoa.pose.population import (
    FEMORAL_HEAD_RADIUS_MM,
    HIP_BOX_MM,
    hip_centre,
)
from rhoa.pose.sides import SIDES, Side

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import ArrayLike, NDArray

    from rhoa.hips.joints import Joint
    from rhoa.radiograph import Radiograph

HALF_BOX_RADII = HIP_BOX_MM / 2 / FEMORAL_HEAD_RADIUS_MM
"""Half the side of a box, in radii of its femoral head."""

# A box that lies outside the image by more than this share of its area shows no hip to grade.
MOST_OUTSIDE = 0.25
_SAME_SIDE = 1e-9


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle around the hip of one side, in pixel edges: pixel ``n`` covers [n, n + 1).

    Raises
    ------
    ParameterError
        If the side is neither "left" nor "right", or the rectangle is empty.

    Examples
    --------
    >>> Box("left", top=10, left=20, bottom=30, right=50).centre
    (20.0, 35.0)
    """

    side: Side
    top: float
    left: float
    bottom: float
    right: float
    confidence: float | None = None
    """From 0 to 1, of what found it; None where nothing was measured."""

    def __post_init__(self) -> None:
        require_choice("side", self.side, SIDES)
        edges = (self.top, self.left, self.bottom, self.right)
        if not all(map(math.isfinite, edges)) or not (
            self.top < self.bottom and self.left < self.right
        ):
            raise ParameterError(
                f"a box needs finite edges, top < bottom and left < right; got {edges}."
            )

    @property
    def height(self) -> float:
        """Pixels from top to bottom."""
        return self.bottom - self.top

    @property
    def width(self) -> float:
        """Pixels from left to right."""
        return self.right - self.left

    @property
    def centre(self) -> tuple[float, float]:
        """(row, column) of the middle, in pixel edges."""
        return (self.top + self.bottom) / 2, (self.left + self.right) / 2

    def iou(self, other: Box) -> float:
        """Intersection over union of two boxes."""
        high = min(self.bottom, other.bottom) - max(self.top, other.top)
        wide = min(self.right, other.right) - max(self.left, other.left)
        shared = max(high, 0.0) * max(wide, 0.0)
        return shared / (self.height * self.width + other.height * other.width - shared)

    def share_outside(self, shape: tuple[int, int]) -> float:
        """Share of the box's area that lies outside an image of ``shape`` (rows, columns)."""
        high = min(self.bottom, shape[0]) - max(self.top, 0.0)
        wide = min(self.right, shape[1]) - max(self.left, 0.0)
        return 1 - max(high, 0.0) * max(wide, 0.0) / (self.height * self.width)


def boxes(
    radiograph: Radiograph,
    landmarks: Landmarks | None = None,
    *,
    joints: Mapping[Side, Joint] | None = None,
    sides: Sequence[Side] = SIDES,
) -> dict[Side, Box]:
    """A square around each hip joint, with the femoral head in its middle.

    The heads are those of ``joints``, which measured them in the scan; else those of the image's
    alignment (``pose="auto"`` finds them); else they are put where they lie in the mean pelvis.
    The square is 2.85 radii of the head wide, 70 mm in the mean pelvis.

    Parameters
    ----------
    radiograph
        A CT-AP.
    landmarks
        Of the same scan. They may be left out where the image's alignment carries them.
    joints
        Of the same scan, as `rhoa.hips.joints` finds them; a box has its joint's confidence.
    sides
        The sides that are wanted.

    Returns
    -------
    dict
        ``{"left": Box, "right": Box}``, sides of the patient: the left box lies in the right half
        of the image.

    Raises
    ------
    PoseError
        If nothing tells where the hips are, left and right are swapped, or more than a quarter of a
        box lies outside the image.

    References
    ----------
    Gebre et al. 2022, "Cropping and contrast adjustment of hip joints": femoral head in the middle,
    up to but without the greater trochanter, with the iliopectineal line.
    """
    for side in sides:
        require_choice("side", side, SIDES)
    if joints is not None:
        found = {side: box_of_joint(radiograph, joints[side]) for side in sides}
    else:
        found = _boxes_of_pelvis(radiograph, landmarks, sides)
    for side, box in found.items():
        outside = box.share_outside(radiograph.shape)
        if outside > MOST_OUTSIDE:
            raise PoseError(
                f"{outside:.0%} of the {side} hip box lies outside the image; "
                "the scan ends at the hip, or the landmarks are another scan's."
            )
    return found


def box_of_joint(radiograph: Radiograph, joint: Joint) -> Box:
    """The square around a hip joint, wherever in the image it lies, or beside it."""
    box = _box(radiograph, joint.side, joint.centre_lps_mm, joint.radius_mm)
    return replace(box, confidence=joint.confidence)


def _boxes_of_pelvis(
    radiograph: Radiograph, landmarks: Landmarks | None, sides: Sequence[Side]
) -> dict[Side, Box]:
    """Boxes where the heads of an aligned pelvis were found, or where they are in most."""
    pelvis = radiograph.alignment if landmarks is None else usable_alignment(landmarks)
    if pelvis is None:
        raise PoseError(
            "hip boxes need to know the pelvis: pass landmarks= or joints=, or an image projected "
            'with rhoa.ctap(volume, pose="auto").'
        )
    boxes = {}
    for side in sides:
        radius_mm = pelvis.quality.get(f"hip_{side}_radius_mm", FEMORAL_HEAD_RADIUS_MM)
        centre = pelvis.to_lps(hip_centre(pelvis, side))
        boxes[side] = _box(radiograph, side, centre, radius_mm)
    return boxes


def _box(
    radiograph: Radiograph, side: Side, centre_lps_mm: NDArray[np.float64], radius_mm: float
) -> Box:
    """The square about a femoral head."""
    centre = centre_lps_mm if radiograph.frame is None else radiograph.frame.to_ap(centre_lps_mm)
    row, column = radiograph.to_pixel(float(centre[0]), float(centre[2]))
    row, column = row + 0.5, column + 0.5  # from pixel centres to pixel edges
    down, across = (HALF_BOX_RADII * radius_mm / step for step in radiograph.pixel_mm)
    return Box(side, row - down, column - across, row + down, column + across)


def squared(box: Box, pixel_mm: tuple[float, float] = (1.0, 1.0)) -> Box:
    """The square about a box's middle whose side is the shorter side of the box.

    A box that is square already, but for rounding, is returned as it is.

    Parameters
    ----------
    box
        In pixel edges.
    pixel_mm
        Of the image: where pixels are not square, the square is one of millimetres.

    References
    ----------
    Gebre et al. 2022, "Cropping and contrast adjustment of hip joints": "the rectangular ROIs were
    made into squares by clipping the difference between their height and width".

    Examples
    --------
    >>> squared(Box("left", top=0, left=0, bottom=10, right=20))
    Box(side='left', top=0.0, left=5.0, bottom=10.0, right=15.0, confidence=None)
    """
    rows_mm, columns_mm = pixel_mm
    if math.isclose(box.height * rows_mm, box.width * columns_mm, abs_tol=1e-3 * min(pixel_mm)):
        return box  # so that a square that was written to a table and read again stays as it is
    half_mm = min(box.height * rows_mm, box.width * columns_mm) / 2
    down, across = half_mm / rows_mm, half_mm / columns_mm
    row, column = box.centre
    return replace(
        box, top=row - down, left=column - across, bottom=row + down, right=column + across
    )


def crop(
    image: Radiograph | ArrayLike, box: Box, *, size: int | None = 100, mirror: bool | None = None
) -> NDArray[np.float32]:
    """The part of an image inside ``box`` as a square of ``size`` pixels, float32.

    A box that is not square is clipped to the square about its middle (`squared`): what is round in
    the patient is round in the crop.

    Parameters
    ----------
    image
        A `Radiograph`, whose pixel size counts, or a 2-D array of square pixels.
    box
        In the image's pixel edges. Beyond the image its border pixels are repeated.
    size
        Rows and columns of the crop; None keeps about the image's own number of pixels.
    mirror
        Whether to turn left and right around. By default right hips are, so that every crop looks
        like a left hip.

    Raises
    ------
    ParameterError
        If the image is not 2-D, or all of the square lies outside it.

    References
    ----------
    Gebre et al. 2022, "Cropping and contrast adjustment of hip joints": "made into squares by
    clipping the difference between their height and width".
    """
    pixels = np.asarray(image, np.float32)
    if pixels.ndim != 2:
        raise ParameterError(f"image must be 2-D; got {pixels.ndim}-D, shape {pixels.shape}.")
    box = squared(box, getattr(image, "pixel_mm", (1.0, 1.0)))
    if box.share_outside((pixels.shape[0], pixels.shape[1])) >= 1:
        raise ParameterError(f"the {box.side} box lies outside the image of {pixels.shape} pixels.")
    if size is None:
        size = max(1, round(max(box.height, box.width)))
    size = require_count("size", size)
    down = resampling_matrix(pixels.shape[0], size, box.top, box.bottom)
    across = resampling_matrix(pixels.shape[1], size, box.left, box.right)
    if box.side == "right" if mirror is None else mirror:
        across = across[::-1]
    return (down @ pixels @ across.T).astype(np.float32)

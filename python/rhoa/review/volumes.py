"""The CTs that readers look at, the last few kept in memory, and views of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from rhoa.errors import PoseError, ReviewError, RhoaError
from rhoa.hips import boxes, joints, located
from rhoa.pose import Landmarks, from_landmarks
from rhoa.pose.coarse import along_patient
from rhoa.pose.sides import SIDES
from rhoa.projection import ctap
from rhoa.radiograph import Radiograph
from rhoa.reading import read_ct
from rhoa.review.kept import Kept

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from rhoa.hips import Box
    from rhoa.pose import Alignment
    from rhoa.pose.sides import Side
    from rhoa.review.cases import Case
    from rhoa.sampling import Depth
    from rhoa.volume import Volume

KEPT = 2
"""Scans in memory: the one that is looked at, and the one before."""
# Where the landmarks of the mean pelvis lie about its middle, LPS mm: something to drag.
MEAN_PELVIS_MM = np.array(
    [[112, -60, 45], [-112, -60, 45], [22, -60, -45], [-22, -60, -45]], np.float64
)


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
    """Scans by case, read when first asked for; safe to ask from several threads."""

    def __init__(self) -> None:
        self._kept = Kept["Volume"](most=KEPT)

    def of(self, case: Case) -> Volume:
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
            return self._kept.get(case.key, lambda: read_ct(scan))
        except RhoaError:  # its text names files, which patients' names may be in
            raise ReviewError(
                f"the CT of case {case.number} cannot be read; rhoa inspect tells why."
            ) from None


def projected(volume: Volume, alignment: Alignment, depth: Depth = "all") -> Radiograph:
    """The CT-AP through an alignment."""
    image: Radiograph = ctap(volume, pose=alignment, depth=depth)
    return image


def remade(
    volume: Volume, landmarks: Landmarks, depth: Depth = "all"
) -> tuple[Radiograph, Mapping[Side, Box]]:
    """The CT-AP through landmarks, and the boxes of the hips that are found in it."""
    alignment = from_landmarks(landmarks)
    found = joints(volume, alignment)
    image = projected(volume, located(alignment, found), depth)
    return image, found_boxes(image, found)


def found_boxes(image: Radiograph, found: Mapping[Side, object] | None = None) -> dict[Side, Box]:
    """A box for each hip that an image holds."""
    held: dict[Side, Box] = {}
    for side in SIDES:
        try:
            held |= boxes(image, joints=found, sides=(side,))  # type: ignore[arg-type]  # joints
        except PoseError:
            continue
    return held


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


def mean_pelvis_in(volume: Volume) -> Landmarks:
    """Landmarks to begin with where none were found: a mean pelvis in the middle of the scan."""
    middle = volume.to_lps((np.array(volume.shape) - 1) / 2)
    return Landmarks(*(MEAN_PELVIS_MM + middle))

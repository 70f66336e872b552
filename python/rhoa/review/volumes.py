"""The CTs that readers look at, the last few kept in memory, and views of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from rhoa.errors import ReviewError, RhoaError
from rhoa.hips import extract
from rhoa.pose import Landmarks, from_landmarks
from rhoa.pose.coarse import along_patient
from rhoa.pose.population import mean_landmarks_mm
from rhoa.projection import ctap
from rhoa.radiograph import Radiograph
from rhoa.reading import read_ct
from rhoa.review.kept import Kept

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from rhoa.hips import ExtractedHips
    from rhoa.pose import Alignment
    from rhoa.review.cases import Case
    from rhoa.sampling import Depth
    from rhoa.volume import Volume

KEPT = 2
"""Scans in memory: the one that is looked at, and the one before."""
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


def extracted(volume: Volume, landmarks: Landmarks, depth: Depth = "all") -> ExtractedHips:
    """The hips through a reader's landmarks, which stand as the reader placed them."""
    return extract(volume, pose=from_landmarks(landmarks), accept=("pose_not_used",), depth=depth)


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
    return Landmarks(*(mean_landmarks_mm() + middle + BEFORE_MIDDLE_MM))

"""The mean pelvis: where its parts lie in the AP frame, and how far single pelves differ from it.

Every population constant of rhoa stands here once. Millimetres in the AP frame through the pubic
tubercles (x toward the left, y posterior, z superior; the left side is given), unless said
otherwise. Two groups of real pelves were measured: A, ten of the atlas of Han et al. 2019 (Phys.
Med. Biol. 64, CC BY 4.0); and C, forty in the frame that rests on the pubic crest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from rhoa._types import Side
    from rhoa.pose.alignment import Alignment

HIP_CENTRE_MM = np.array([83.0, 49.0, 18.0])
"""Centre of the femoral head: mean of A. It is not scaled by the size of the pelvis: with the
distance between the ASIS as scale it lies further from the heads of single pelves, not nearer (10.3
against 8.9 mm on average, 20 pelves)."""
HIP_CENTRE_SD_MM = np.array([7.0, 6.5, 8.0])
"""Between pelves: for each axis the larger of A and C."""
HIP_DIFFERENCE_SD_MM = np.array([4.5, 3.0, 4.5])
"""Between the left centre and the mirrored right one: C."""
FEMORAL_HEAD_RADIUS_MM = 24.6
"""Mean of A's heads and sockets."""
HIP_BOX_MM = 70.0
"""Side of the square around a hip (95 pixels of 0.74 mm in Gebre et al. 2022)."""

# Means of A.
PARTS_MM: Mapping[str, tuple[float, float, float]] = {
    "iliac_crest": (92.0, 83.0, 159.0),
    "anterior_spine": (112.0, 0.0, 93.0),
    "posterior_spine": (46.0, 138.0, 99.0),
    "hip_centre": (83.0, 49.0, 18.0),
    "pubic_tubercle": (14.0, 0.0, 0.0),
    "ischium": (49.0, 82.0, -45.0),
}


def mean_landmarks_mm() -> NDArray[np.float64]:
    """Left and right ASIS, left and right pubic tubercle of the mean pelvis, about their middle.

    ``(4, 3)`` in mm, axes as of a patient who lies straight: x left, y posterior, z superior.
    """
    points = np.array(
        [
            np.array(PARTS_MM[part]) * (sign, 1.0, 1.0)
            for part in ("anterior_spine", "pubic_tubercle")
            for sign in (1.0, -1.0)
        ]
    )
    about_middle: NDArray[np.float64] = points - points.mean(axis=0)
    return about_middle


def measured_centre(alignment: Alignment, side: str) -> NDArray[np.float64] | None:
    """Centre of a hip that was measured with an alignment, ``(3,)`` in its frame in mm.

    None where it was not, or where the centres cannot be those of hips.
    """
    found = [alignment.quality.get(f"hip_{side}_{axis}_mm", np.nan) for axis in "xyz"]
    if "implausible_hips" in alignment.flags or not np.isfinite(found).all():
        return None
    return np.array(found)


def hip_centre(alignment: Alignment, side: Side) -> NDArray[np.float64]:
    """Centre of a hip, ``(3,)`` in the frame in mm: measured, else the population's mean."""
    found = measured_centre(alignment, side)
    return HIP_CENTRE_MM * (1.0 if side == "left" else -1.0, 1.0, 1.0) if found is None else found

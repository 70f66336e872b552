"""Depth ranges by anatomy: which part of a ray crosses the hips, and which the pelvis."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from rhoa.pose.functional import tipped
from rhoa.pose.population import measured_centre
from rhoa.pose.sides import SIDES

if TYPE_CHECKING:
    from rhoa.pose.alignment import Alignment

NAMED_DEPTHS: tuple[Literal["pelvis"], Literal["hip"]] = ("pelvis", "hip")

HIP_DEPTH_MM = (15.0, 90.0)
"""Holds both hip joints of most pelves; where the hip centres were not measured."""
HIP_REACH_MM = 37.5
"""On both sides of a hip centre: the head's radius is 25 mm, the walls of its socket, the neck and
the greater trochanter lie within 12 mm more. The width is that of `HIP_DEPTH_MM`."""
PELVIS_DEPTH_MM = (-20.0, 160.0)
"""Where the hip centres were not measured. Bone begins at the plane, by its definition."""
BACK_BEHIND_HIPS_MM = 118.0
"""The most posterior bone, of the sacrum, lies 102 mm (SD 10) behind the hip centres of twenty real
pelves, 116 mm at most; behind the plane itself the spread is 12 mm."""
OUTLINE_MM = ((0.0, 90.0), (0.0, 0.0), (20.0, -40.0), (82.0, -45.0), (83.0, 160.0))
"""(y, z) of the pelvis seen from its side, without its back; mean of ten real pelves."""
BACK_Z_MM = (60.0, 95.0)


def depth_range_mm(alignment: Alignment, part: Literal["pelvis", "hip"]) -> tuple[float, float]:
    """Front and back of a part of the pelvis, mm behind the origin along y of the frame.

    Where the hip centres were measured (``quality["hip_left_y_mm"]`` and its like), ``"hip"``
    reaches 37.5 mm before and behind them, and ``"pelvis"`` from 20 mm before the anterior pelvic
    plane to 118 mm behind them, which no sacrum of twenty real pelves exceeds; else they are 15 to
    90 mm and -20 to 160 mm. In a frame that was tipped on purpose the range of the pelvis grows by
    what the tipped bone needs.
    """
    hips = _hip_depths(alignment)
    if part == "hip":
        if not hips:
            return HIP_DEPTH_MM
        return min(hips) - HIP_REACH_MM, max(hips) + HIP_REACH_MM
    front, back = PELVIS_DEPTH_MM
    if hips:
        back = max(hips) + BACK_BEHIND_HIPS_MM
    if not alignment.quality.get("tilt_offset_deg"):
        return front, back
    outline = np.array([*OUTLINE_MM, *((back, z) for z in BACK_Z_MM)])
    moved = tipped(np.insert(outline, 0, 0.0, axis=1), alignment)[:, 1]
    return float(moved.min()) + front, float(moved.max())


def _hip_depths(alignment: Alignment) -> list[float]:
    """Depths of the hip centres that were measured, in mm."""
    centres = [measured_centre(alignment, side) for side in SIDES]
    return [float(centre[1]) for centre in centres if centre is not None]

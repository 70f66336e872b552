"""Functional pose: the pelvis tipped about its hips, as when a patient stands up."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from rhoa.errors import ParameterError
from rhoa.pose.alignment import FUNCTIONAL_TILT, TILT_LIMIT_DEG, Alignment, Angles
from rhoa.pose.population import HIP_CENTRE_MM, measured_centre
from rhoa.pose.sides import SIDES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray


def tilted(alignment: Alignment, offset_deg: float) -> Alignment:
    """The frame in which the aligned pelvis is tipped by ``offset_deg`` about its hip axis.

    Parameters
    ----------
    alignment
        As found or read.
    offset_deg
        Above zero tips the ASIS forward (anterior tilt), in degrees. From lying to standing most
        pelves tip backward, by 5 deg on average with a spread of 10: about -5.

    Returns
    -------
    Alignment
        The midpoint of the hip centres keeps its place; so do the landmarks. The flag
        ``functional_tilt`` and ``quality["tilt_offset_deg"]`` tell that the frame is no longer the
        anterior pelvic plane; offsets add up.

    Raises
    ------
    ParameterError
        If the offset is no finite number within 35 deg.

    Examples
    --------
    >>> import rhoa
    >>> points = rhoa.Landmarks((120, 0, 90), (-120, 0, 90), (25, 0, 0), (-25, 0, 0))
    >>> standing = rhoa.pose.tilted(rhoa.pose.from_landmarks(points), -5)
    >>> round(standing.angles.tilt, 6), standing.ok
    (5.0, False)
    """
    try:
        offset = float(offset_deg)
    except (TypeError, ValueError):
        offset = math.nan
    if not abs(offset) <= TILT_LIMIT_DEG:
        raise ParameterError(
            f"offset_deg must be a number within {TILT_LIMIT_DEG:g} deg; got {offset_deg!r}."
        )
    turn, axis = _turn(offset), _hip_axis(alignment)
    total = alignment.quality.get("tilt_offset_deg", 0.0) + offset
    return replace(
        alignment,
        matrix=turn @ alignment.matrix,
        origin=alignment.to_lps(axis - turn.T @ axis),
        quality={**_moved(alignment.quality, turn, axis), "tilt_offset_deg": total},
        flags=alignment.flags | {FUNCTIONAL_TILT},
    )


def pelvis_angles(alignment: Alignment) -> Angles:
    """How the pelvis of an alignment lies, degrees; where it was tipped, with its new tilt.

    ``alignment.angles`` are those of the frame, which turns the other way when the pelvis tips.
    """
    offset = alignment.quality.get("tilt_offset_deg", 0.0)
    if not offset:
        return alignment.angles
    return Alignment(_turn(-2 * offset) @ alignment.matrix, alignment.origin).angles


def tipped(points: NDArray[np.float64], alignment: Alignment) -> NDArray[np.float64]:
    """AP points ``(..., 3)`` of a pelvis, where they are in a frame that was tipped on purpose.

    The same points where it was not.
    """
    offset = alignment.quality.get("tilt_offset_deg", 0.0)
    if not offset:
        return points
    axis = _hip_axis(alignment)
    moved: NDArray[np.float64] = (points - axis) @ _turn(offset).T + axis
    return moved


def _turn(offset_deg: float) -> NDArray[np.float64]:
    """What tips AP points of the pelvis, its ASIS forward."""
    cosine, sine = math.cos(math.radians(offset_deg)), math.sin(math.radians(offset_deg))
    return np.array([[1, 0, 0], [0, cosine, -sine], [0, sine, cosine]])


def _hip_axis(alignment: Alignment) -> NDArray[np.float64]:
    """Midpoint of both hip centres in the frame; the population's where they were not measured."""
    left, right = (measured_centre(alignment, side) for side in SIDES)
    if left is None or right is None:
        return np.array([0.0, *HIP_CENTRE_MM[1:]])
    middle: NDArray[np.float64] = (left + right) / 2
    return middle


def _moved(
    quality: Mapping[str, float], turn: NDArray[np.float64], axis: NDArray[np.float64]
) -> dict[str, float]:
    """The quality with its hip centres where they are in the tipped frame."""
    moved = dict(quality)
    for side in SIDES:
        names = [f"hip_{side}_{name}_mm" for name in "xyz"]
        if all(name in moved for name in names):
            centre = np.array([moved[name] for name in names])
            values = (turn @ (centre - axis) + axis).tolist()
            moved |= dict(zip(names, values, strict=True))
    return moved

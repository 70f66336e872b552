"""Which alignment a scan is looked at in: the one given, or the one found in it; how two differ."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from rhoa.errors import ParameterError
from rhoa.pose.alignment import Alignment, Landmarks, usable_alignment
from rhoa.pose.automatic import from_volume

if TYPE_CHECKING:
    from rhoa.reading import Scan

Pose = Alignment | Landmarks | Literal["auto"] | None

DIFFERENCE_LIMIT_DEG = 3.0
"""Two readings of one pelvis that differ by more deserve a look."""


def alignment_for(volume: Scan, pose: Pose) -> Alignment:
    """The alignment that ``pose`` means for a scan, if its sides can be trusted.

    Parameters
    ----------
    volume
        The scan, or its path.
    pose
        An `Alignment`, the `Landmarks` of one, or ``"auto"`` for what `from_volume` finds.

    Warns
    -----
    RhoaWarning
        If it is flagged.

    Raises
    ------
    ParameterError
        If ``pose`` is none of these.
    PoseError
        If no pelvis is found, or the pose swaps left and right or turns the head down.
    """
    if isinstance(pose, str):
        if pose != "auto":
            raise ParameterError(
                f'pose must be None, "auto", a rhoa.Landmarks or a rhoa.Alignment; got {pose!r}. '
                "A file of landmarks is read with rhoa.Landmarks.from_json."
            )
        pose = from_volume(volume)
    return usable_alignment(pose)


class Difference(NamedTuple):
    """By how much one alignment differs from another, degrees and millimetres."""

    tilt_deg: float
    obliquity_deg: float
    rotation_deg: float
    turn_deg: float
    """Angle of the rotation from one frame to the other, never below zero."""
    plane_deg: float
    """Angle between the anterior pelvic planes."""
    landmarks_mm: float | None
    """Largest distance between the same landmark of both; None where one has no landmarks."""

    @property
    def large(self) -> bool:
        """Whether it is above 3 deg."""
        return self.turn_deg > DIFFERENCE_LIMIT_DEG

    def __str__(self) -> str:
        text = (
            f"{self.turn_deg:.1f} deg (tilt {self.tilt_deg:+.1f}, obliquity "
            f"{self.obliquity_deg:+.1f}, rotation {self.rotation_deg:+.1f})"
        )
        if self.landmarks_mm is not None:
            text += f", landmarks up to {self.landmarks_mm:.0f} mm"
        return text


def difference(one: Alignment, other: Alignment) -> Difference:
    """How ``one`` reading of a pelvis differs from an ``other`` of the same scan.

    Examples
    --------
    >>> import rhoa
    >>> points = rhoa.Landmarks((120, 0, 90), (-120, 0, 90), (25, 0, 0), (-25, 0, 0))
    >>> read = rhoa.pose.from_landmarks(points)
    >>> print(rhoa.pose.difference(rhoa.pose.tilted(read, 2), read))
    2.0 deg (tilt -2.0, obliquity +0.0, rotation +0.0), landmarks up to 0 mm
    """
    angles = np.subtract(one.angles, other.angles)
    tilt, obliquity, rotation = ((angles + 180) % 360 - 180).tolist()
    cosine = (np.trace(one.matrix @ other.matrix.T) - 1) / 2
    away = None
    if one.landmarks is not None and other.landmarks is not None:
        apart = one.landmarks.as_array() - other.landmarks.as_array()
        away = float(np.linalg.norm(apart, axis=1).max())
    return Difference(
        tilt,
        obliquity,
        rotation,
        _degrees(cosine),
        _degrees(one.matrix[1] @ other.matrix[1]),
        away,
    )


def _degrees(cosine: float) -> float:
    return float(np.degrees(np.arccos(np.clip(cosine, -1.0, 1.0))))

"""Pose: from a volume, mask, points or landmarks to the anterior pelvic frame."""

from rhoa.pose.alignment import (
    Alignment,
    Angles,
    Landmarks,
    from_landmarks,
    usable_alignment,
)

__all__ = ["Alignment", "Angles", "Landmarks", "from_landmarks", "usable_alignment"]

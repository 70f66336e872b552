"""Pose: from a volume, mask, points or landmarks to the anterior pelvic frame."""

from rhoa.pose.alignment import (
    Alignment,
    Angles,
    Landmarks,
    from_landmarks,
    usable_alignment,
)
from rhoa.pose.automatic import from_volume
from rhoa.pose.choice import Difference, alignment_for, difference
from rhoa.pose.estimate import from_points
from rhoa.pose.functional import tilted
from rhoa.pose.inside import coverage
from rhoa.pose.masks import from_mask
from rhoa.pose.verdict import Coverage, HipCoverage

__all__ = [
    "Alignment",
    "Angles",
    "Coverage",
    "Difference",
    "HipCoverage",
    "Landmarks",
    "alignment_for",
    "coverage",
    "difference",
    "from_landmarks",
    "from_mask",
    "from_points",
    "from_volume",
    "tilted",
    "usable_alignment",
]

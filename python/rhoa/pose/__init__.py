"""Pose: from a volume, mask, points or landmarks to the anterior pelvic frame."""

from rhoa.pose.alignment import (
    Alignment,
    Angles,
    Difference,
    Landmarks,
    difference,
    from_landmarks,
    tilted,
    usable_alignment,
)
from rhoa.pose.anterior_plane import from_mask, from_points
from rhoa.pose.automatic import alignment_for, from_volume
from rhoa.pose.scan_coverage import Coverage, HipCoverage, coverage
from rhoa.pose.slice_quality import SliceFinding

__all__ = [
    "Alignment",
    "Angles",
    "Coverage",
    "Difference",
    "HipCoverage",
    "Landmarks",
    "SliceFinding",
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

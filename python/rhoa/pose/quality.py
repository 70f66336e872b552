"""What is measured of an automatic alignment, and the flags that follow.

Warnings ask for a look; every other flag forbids automatic use.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from rhoa.pose.alignment import Alignment, from_landmarks
from rhoa.pose.faces import Faces, face_distances
from rhoa.pose.sockets import hip_centres, hip_scores

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from rhoa.pose.candidates import Candidate
    from rhoa.pose.cloud import Cloud
    from rhoa.pose.refine import Refined

FACE_LIMIT_MM = 6.0
APEX_LIMIT_MM = 14.0
STEP_LIMIT_MM = 5.0
"""Between the depths of both tubercles; up to 4 mm on real pelves, more where a hip has slid."""
VOXEL_LIMIT_MM = 3.05
"""Positions of 3 mm slices are rounded."""
CENTROID_LIMITS_DEG = (2.0, 4.0)
"""Rotation and obliquity of the line between both hips, against those of the spines."""
MIDDLE_MM = 25.0
HIPS_X_MM, HIPS_Y_MM, HIPS_Z_MM = 180.0, 180.0, (-80.0, 200.0)
"""Where hip bones are in the AP frame."""
POSE_FLAGS = frozenset({"extreme_pose", "landmarks_swapped"})
"""Flags that mean something only where the patient's axes are known."""


@dataclass(frozen=True, slots=True)
class _Limit:
    """A number, the value above which it is worth a warning, and above which it is refused."""

    name: str
    warning: tuple[str, float]
    hard: tuple[str, float] | None = None


_LIMITS = (
    _Limit("triangle", ("unusual_triangle", 9.0), ("implausible_triangle", 20.0)),
    _Limit("mirror_mm", ("asymmetric", 5.0), ("not_a_pelvis", 8.0)),
    _Limit("apex_offset_mm", ("pubis_off_centre", APEX_LIMIT_MM)),
    _Limit("tubercle_step_mm", ("stepped_pubis", STEP_LIMIT_MM)),
    _Limit("hip_centre_z", ("unusual_hips", 3.5), ("implausible_hips", 5.0)),
    _Limit("hip_difference_z", ("unequal_hips", 3.5), ("displaced_hip", 5.0)),
    _Limit("centroid_rotation_deg", ("turned_against_hips", CENTROID_LIMITS_DEG[0])),
    _Limit("centroid_obliquity_deg", ("turned_against_hips", CENTROID_LIMITS_DEG[1])),
    _Limit("voxel_mm", ("coarse_voxels", VOXEL_LIMIT_MM)),
)
_POSE_LIMITS = (
    _Limit("tilt_deg", ("large_tilt", 25.0)),
    _Limit("turn_deg", ("large_turn", 12.0)),
)


def judged(
    cloud: Cloud, found: Refined, facet: Candidate, *, mirror_mm: float, upright: bool
) -> Alignment:
    """The alignment of the landmarks found, with every number of its quality and its flags."""
    points = cloud.points
    alignment = from_landmarks(found.landmarks)
    faces = cloud.faces or Faces.of_cloud(points, alignment, upright=upright)
    rows = found.landmarks.as_array()
    to_face, to_cut = face_distances(rows, points, faces)
    rotation, obliquity = _line_of_hips(cloud, alignment)
    centres = hip_centres(points, alignment)
    alone, together = hip_scores(centres)
    quality = {
        **alignment.quality,
        "triangle": facet.triangle,
        "mirror_mm": mirror_mm,
        "confidence": math.exp(-(facet.triangle + (mirror_mm / 3) ** 2) / 12),
        "apex_offset_mm": _off_centre(rows, alignment),
        "tubercle_step_mm": float(abs((rows[2] - rows[3]) @ alignment.matrix[1])),
        "crest_before_tubercles_mm": found.crest_before_mm,
        "voxel_mm": cloud.voxel_mm,
        "loose_share": cloud.loose_share,
        "least_contact_points": float(min(found.contacts)),
        "face_distance_mm": to_face,
        "centroid_rotation_deg": rotation,
        "centroid_obliquity_deg": obliquity,
        "hip_centre_z": alone,
        "hip_difference_z": together,
    }
    for side, centre in centres.items():
        if centre is not None:
            named = zip("xyz", centre, strict=True)
            quality |= {f"hip_{side}_{axis}_mm": float(value) for axis, value in named}
    flags = alignment.flags - (frozenset() if upright else POSE_FLAGS)
    flags |= exceeded(quality, alignment if upright else None)
    if to_cut < FACE_LIMIT_MM + cloud.voxel_mm:
        flags |= {"field_of_view"}
    flags |= {f"hip_{side}_missing" for side, centre in centres.items() if centre is None}
    if found.rejected:
        flags |= {"refine_rejected"}
    if found.tubercles_missing:
        flags |= {"tubercles_not_found"}
    return replace(alignment, quality=quality, flags=flags)


def exceeded(quality: dict[str, float], alignment: Alignment | None) -> frozenset[str]:
    """The flags of every number beyond its limit; the pose counts where ``alignment`` is given."""
    values, limits = dict(quality), list(_LIMITS)
    if alignment is not None:
        tilt, obliquity, rotation = alignment.angles
        values |= {"tilt_deg": abs(tilt), "turn_deg": max(abs(obliquity), abs(rotation))}
        limits += _POSE_LIMITS
    flags = set()
    for limit in limits:
        for name, bound in filter(None, (limit.warning, limit.hard)):
            if values.get(limit.name, 0.0) > bound:
                flags.add(name)
    return frozenset(flags)


def _off_centre(rows: NDArray[np.float64], alignment: Alignment) -> float:
    """Distance in mm of the pubis from the plane midway between the spines, the first rows."""
    return float(abs((rows[:2].mean(axis=0) - alignment.origin) @ alignment.matrix[0]))


def _line_of_hips(cloud: Cloud, alignment: Alignment) -> tuple[float, float]:
    """Rotation and obliquity in degrees of the line through both hips, in the frame."""
    local = alignment.to_ap(cloud.points)
    x, y, z = local.T
    hips = (np.abs(x) > MIDDLE_MM) & (np.abs(x) < HIPS_X_MM)
    hips &= (y < HIPS_Y_MM) & (z > HIPS_Z_MM[0]) & (z < HIPS_Z_MM[1])
    left, right = local[hips & (x > 0)], local[hips & (x < 0)]
    if not len(left) or not len(right):
        return 0.0, 0.0  # hip_centres says so
    across, back, up = left.mean(axis=0) - right.mean(axis=0)
    return abs(math.degrees(math.atan2(back, across))), abs(math.degrees(math.atan2(up, across)))

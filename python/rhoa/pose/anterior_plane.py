"""The anterior pelvic plane of bone surface points or masks: candidates, landmarks, quality."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from rhoa.errors import LandmarkError, ParameterError, PoseError, require_choice, require_point
from rhoa.pose.alignment import Alignment, Landmarks, from_landmarks
from rhoa.pose.bone import (
    Cloud,
    Faces,
    Mirror,
    face_distances,
    require_cloud,
    surface_points,
    thinned,
    without_loose_pieces,
)
from rhoa.pose.spheres import acetabular_centres, hip_scores
from rhoa.reading.masks import has_place, parts_of, resampled
from rhoa.volume import Volume

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import ArrayLike, NDArray

    from rhoa.reading.masks import LabelMap


# Candidates for the anterior pelvic plane: large facets of the convex hull.
#
# A pelvis laid face down on a table rests on both anterior superior iliac spines and on the pubis.
# The planes on which a body can rest are the facets of its convex hull, and the hull turns with the
# body: what is found here does not depend on the pose.

# Triangle of the resting facet, mean and spread over 40 real pelves, mm.
WIDTH_MM, WIDTH_SD = 224.0, 22.0
HEIGHT_MM, HEIGHT_SD = 94.0, 13.0
LEG_DIFFERENCE_SD = 28.0
LEAST_AREA_MM2 = 3500.0
SAME_MM = 3.0
"""Facets whose corners lie closer than this are one."""
MOST = 8
WINDOW_MM, STEP_MM, WINDOW_FACETS = 190.0, 12.0, 3
"""Along z, where the cloud holds a whole trunk: spine, ribs and pelvis."""
WING_SHARE, ABOUT_MM, STANDING_OUT_MM = 0.35, 40.0, 4.0
"""Where nothing stands out before a window's facet: beyond that share of the width, about the ends
of its height, more than that."""


@dataclass(frozen=True, slots=True)
class Search:
    """What is known of a pelvis before it is found.

    ``cone_deg`` bounds the angle between its front and the patient's front, ``turn_deg`` those
    between its head side and the patient's, and between both left sides; ``windowed`` looks through
    windows along z, for clouds that hold more than a pelvis.
    """

    cone_deg: float = 75.0
    turn_deg: float = 72.5
    windowed: bool = False

    @property
    def upright(self) -> bool:
        """Whether the patient's axes are known."""
        return self.turn_deg < 90


SUPINE = Search()
"""Hip bones of a patient in patient LPS, in any pose on the table."""
FREE = Search(cone_deg=180.0, turn_deg=180.0)
"""Hip bones turned in any way."""


@dataclass(frozen=True, slots=True, eq=False)
class Candidate:
    """A facet read as ASIS, ASIS and pubis; the frame has its origin at the pubis, mid-plane."""

    matrix: NDArray[np.float64]
    origin: NDArray[np.float64]
    corners: NDArray[np.float64]
    """ASIS left, ASIS right, pubis, as rows."""
    width: float
    height: float
    triangle: float
    """Squared distance from the mean triangle, in standard deviations."""


def candidates(points: NDArray[np.float64], search: Search) -> list[Candidate]:
    """The likeliest facets of the cloud's hull, at most eight, best first."""
    if not search.windowed:
        return _distinct(_facets(points, search))[:MOST]
    low, high = points[:, 2].min(), points[:, 2].max()
    found: list[Candidate] = []
    for bottom in np.arange(low, max(high - WINDOW_MM, low) + STEP_MM, STEP_MM):
        inside = (points[:, 2] >= bottom) & (points[:, 2] <= bottom + WINDOW_MM)
        found += _facets(points[inside], search)[:WINDOW_FACETS]
    distinct = _distinct(sorted(found, key=lambda candidate: candidate.triangle))
    return [candidate for candidate in distinct if _rests(points, candidate)][:MOST]


def _rests(points: NDArray[np.float64], candidate: Candidate) -> bool:
    """Whether wings and pubis lie behind the plane: a window may have cut off what stands out."""
    local = (points - candidate.origin) @ candidate.matrix.T
    lateral, above = np.abs(local[:, 0]), local[:, 2]
    wings = (lateral > WING_SHARE * candidate.width) & (lateral < candidate.width)
    wings &= np.abs(above - candidate.height) < ABOUT_MM
    pubis = (lateral < ABOUT_MM) & (np.abs(above) < ABOUT_MM)
    return not np.any(local[wings | pubis, 1] < -STANDING_OUT_MM)


def _facets(points: NDArray[np.float64], search: Search) -> list[Candidate]:
    """Every large hull facet that faces the right way, best triangle first."""
    from scipy.spatial import ConvexHull, QhullError

    try:
        hull = ConvexHull(points)
    except (QhullError, ValueError):  # too few points, or all in one plane
        return []
    corners = points[hull.simplices]
    normals = hull.equations[:, :3]
    edges = corners[:, (1, 2, 0)] - corners
    area = np.linalg.norm(np.cross(edges[:, 0], edges[:, 1]), axis=1) / 2
    anterior = -normals[:, 1] >= np.cos(np.radians(search.cone_deg)) - 1e-12
    kept = np.flatnonzero((area > LEAST_AREA_MM2) & anterior)
    found = [_read(corners[facet], normals[facet]) for facet in kept]
    least = np.cos(np.radians(search.turn_deg)) - 1e-12
    upright = [c for c in found if min(c.matrix[0, 0], c.matrix[2, 2]) >= least]
    return sorted(upright, key=lambda candidate: candidate.triangle)


def _read(corners: NDArray[np.float64], outward: NDArray[np.float64]) -> Candidate:
    """The facet, its longest edge as the line of both ASIS; its outward normal gives the sides."""
    lengths = np.linalg.norm(corners[(1, 2, 0), :] - corners, axis=1)
    longest = int(np.argmax(lengths))
    one, other, pubis = corners[longest], corners[(longest + 1) % 3], corners[(longest + 2) % 3]
    y = -outward
    if np.cross(y, (one + other) / 2 - pubis) @ (one - other) < 0:
        one, other = other, one
    x = (one - other) / lengths[longest]
    z = np.cross(x, y)
    middle = (one + other) / 2
    height = float((middle - pubis) @ z)
    offset = float((pubis - middle) @ x)
    legs = float(np.linalg.norm(one - pubis) - np.linalg.norm(other - pubis))
    width = float(lengths[longest])
    return Candidate(
        matrix=np.stack([x, y, z]),
        origin=pubis - offset * x,
        corners=np.stack([one, other, pubis]),
        width=width,
        height=height,
        triangle=triangle_of(width, height, legs),
    )


def triangle_of(width: float, height: float, legs: float) -> float:
    """Squared distance in standard deviations from the mean triangle; ``legs`` is a difference."""
    return (
        ((width - WIDTH_MM) / WIDTH_SD) ** 2
        + ((height - HEIGHT_MM) / HEIGHT_SD) ** 2
        + (legs / LEG_DIFFERENCE_SD) ** 2
    )


def _distinct(found: list[Candidate]) -> list[Candidate]:
    """The candidates without those whose corners a better one has."""
    kept: list[Candidate] = []
    for candidate in found:
        if all(
            np.linalg.norm(candidate.corners - other.corners, axis=1).max() > SAME_MM
            for other in kept
        ):
            kept.append(candidate)
    return kept


def facet_of(frame: Alignment) -> Candidate:
    """The frame's landmarks as a facet that rests on them."""
    landmarks = frame.landmarks
    if landmarks is None:
        raise LandmarkError("a frame without landmarks has no facet.")
    left, right = landmarks.asis_left, landmarks.asis_right
    offset = float((frame.origin - (left + right) / 2) @ frame.matrix[0])
    width, height = frame.quality["asis_width_mm"], frame.quality["height_mm"]
    legs = float(np.linalg.norm(left - frame.origin) - np.linalg.norm(right - frame.origin))
    return Candidate(
        matrix=frame.matrix,
        origin=frame.origin - offset * frame.matrix[0],
        corners=np.stack([left, right, frame.origin]),
        width=width,
        height=height,
        triangle=triangle_of(width, height, legs),
    )


# Where a plane touches a surface: the landmark as the middle of the contact, not as one vertex.

DEPTH_MM = 1.5
"""Points within this depth of the touching plane are in contact, or within one voxel."""


def contact(
    points: NDArray[np.float64],
    direction: NDArray[np.float64],
    *,
    depth_mm: float,
    radius_mm: float,
) -> tuple[NDArray[np.float64], NDArray[np.float64], int]:
    """The point farthest along ``direction``, the middle of the contact there, and its size.

    A ridge fixes the touching plane to tenths of a degree while its farthest vertex slides by many
    millimetres from one sampling to the next; the middle of the points within ``depth_mm`` of the
    plane and ``radius_mm`` of the vertex does not.

    Raises
    ------
    LandmarkError
        If there are no points.
    """
    if not len(points):
        raise LandmarkError("no bone surface where a landmark of the pelvis is looked for.")
    height = points @ direction
    farthest = points[int(np.argmax(height))]
    touching = points[height > height.max() - depth_mm]
    touching = touching[np.linalg.norm(touching - farthest, axis=1) < radius_mm]
    return farthest, touching.mean(axis=0), len(touching)


# The pubic tubercles: the lateral corners of the pubic body, behind the crest that touches.

# Seen from the front the pubic bodies are two plateaus with the crest on top; the pelvis rests on
# their middle, up to 4 mm in front of the tubercles, which are their lateral lower corners. A plane
# that leans toward the side and a little toward the feet touches there. Lean is the lateral part
# per unit anterior: 0.4 to 0.6 find the same corner of a real pelvis within 2 mm. Where the
# superior ramus goes on in the same direction there is no corner to touch, and a lesser lean is
# tried.
LEANS = (0.5, 0.35, 0.2)
DOWNWARD = 0.25
PUBIS_WINDOW_MM = (42.0, 30.0)
"""How far from the midline, and above or below the crest; beyond is the superior ramus."""
PUBIS_DEPTH_MM = 20.0
TUBERCLE_RADIUS_MM = 6.0
EDGE_MM, LEAST_DROP_MM = 4.0, 1.0
"""At the window's lateral edge the surface has fallen behind a plane that touches a corner."""
MOST_SIDE_DIFFERENCE_MM = 24.0
GAP_MM = (20.0, 76.0)


def tubercles(
    local: NDArray[np.float64], *, depth_mm: float
) -> tuple[NDArray[np.float64], tuple[int, int]] | None:
    """Left and right tubercle as rows, and the points that touch at each; None without a corner.

    ``local`` are surface points in the frame that rests on spines and crest: x toward the left from
    the middle between the spines, y posterior, z superior from the crest.
    """
    near = (np.abs(local[:, 0]) < PUBIS_WINDOW_MM[0]) & (np.abs(local[:, 2]) < PUBIS_WINDOW_MM[1])
    local = local[near & (local[:, 1] < PUBIS_DEPTH_MM)]
    for lean in LEANS:
        left = _corner(local[local[:, 0] > 0], lean, depth_mm)
        right = _corner(local[local[:, 0] < 0] * (-1.0, 1.0, 1.0), lean, depth_mm)
        if left is not None and right is not None and _pair(left[0], right[0]):
            return np.stack([left[0], right[0] * (-1.0, 1.0, 1.0)]), (left[1], right[1])
    return None


def _corner(
    half: NDArray[np.float64], lean: float, depth_mm: float
) -> tuple[NDArray[np.float64], int] | None:
    """Where a plane that leans outward touches the left half, and on how many points."""
    direction = np.array([lean, -1.0, -DOWNWARD])
    direction /= np.linalg.norm(direction)
    try:
        corner, middle, count = contact(
            half, direction, depth_mm=depth_mm, radius_mm=TUBERCLE_RADIUS_MM
        )
    except LandmarkError:
        return None
    edge = half[half[:, 0] > PUBIS_WINDOW_MM[0] - EDGE_MM]
    drop = corner @ direction - (edge @ direction).max(initial=-np.inf)
    return None if drop < LEAST_DROP_MM else (middle, count)


def _pair(left: NDArray[np.float64], right: NDArray[np.float64]) -> bool:
    """Whether two corners, the right one mirrored, can be those of one pelvis."""
    return bool(
        abs(left[1] - right[1]) < MOST_DEPTH_DIFFERENCE_MM
        and abs(left[0] - right[0]) < MOST_SIDE_DIFFERENCE_MM
        and GAP_MM[0] < left[0] + right[0] < GAP_MM[1]
    )


# From a resting facet to four landmarks: spines and pubis, looked for in the facet's own frame.

Pubis = Literal["tubercles", "crest"]

# Where landmarks are looked for, mm in the frame of the candidate: x left, y posterior, z superior.
SIDE_MM = 150.0
BEFORE_MM, BEHIND_MM = 15.0, 60.0
SPINE_BEYOND_X_MM = 40.0
SPINE_ABOVE = 0.55
"""Of the height from pubis to spines."""
SPINE_OVER_MM = 40.0
PUBIS_X_MM = PUBIS_Z_MM = 45.0
SLACK_MM = 25.0
"""By which points may move while the frame settles, or tubercles lie below the pubis' crest."""
RADIUS_MM = 12.0
ROUNDS, SETTLED_DEG = 10, 1e-3

MOST_CHANGE_DEG = 4.0
MOST_DEPTH_DIFFERENCE_MM = 8.0
LARGEST_GAP_MM = 70.0

ANTERIOR = np.array([0.0, -1.0, 0.0])


@dataclass(frozen=True, slots=True, eq=False)
class Refined:
    """Four landmarks, and how they came about."""

    landmarks: Landmarks
    contacts: tuple[int, ...] = (1, 1, 1, 1)
    """Surface points that touch at each landmark."""
    rejected: bool = False
    """Whether refinement went astray, so that the landmarks are the facet's own corners."""
    tubercles_missing: bool = False
    """Whether no tubercle was found where one was looked for, so that the crest stands for it."""
    crest_before_mm: float = 0.0
    """How far the crest that touches stands in front of the tubercles."""


def refined(
    points: NDArray[np.float64], facet: Candidate, *, voxel_mm: float, pubis: Pubis
) -> Refined:
    """Landmarks of the pelvis that rests on ``facet``; ``voxel_mm`` is 0 for a smooth surface."""
    depth_mm = max(DEPTH_MM, voxel_mm)
    # What spines and pubis are looked for among, however the frame moves.
    x, y, z = facet.matrix @ (points - facet.origin).T
    near = (y > -BEFORE_MM) & (y < BEHIND_MM) & (np.abs(x) < SIDE_MM + SLACK_MM)
    wings = z > SPINE_ABOVE * facet.height - SLACK_MM
    pubic = (np.abs(x) < PUBIS_X_MM + SLACK_MM) & (np.abs(z) < PUBIS_Z_MM + SLACK_MM)
    points = points[near & (wings | pubic)]
    try:
        rows, contacts = _resting(points, facet, depth_mm)
    except LandmarkError:
        return Refined(_corners(facet), rejected=True)
    resting = from_landmarks(Landmarks(*rows))
    _, _, left, right = resting.to_ap(rows)
    if not (
        angle_deg(resting.matrix, facet.matrix) < MOST_CHANGE_DEG
        and abs(left[1] - right[1]) < MOST_DEPTH_DIFFERENCE_MM
        and left[0] - right[0] < LARGEST_GAP_MM
    ):  # it left the facet, or its pubis
        return Refined(_corners(facet), rejected=True)
    if pubis == "crest":
        return Refined(Landmarks(*rows), contacts)
    middle = _middle(rows, resting)
    found = tubercles((points - middle) @ resting.matrix.T, depth_mm=depth_mm)
    if found is None:
        return Refined(Landmarks(*rows), contacts, tubercles_missing=True)
    corners, counts = found
    left, right = corners @ resting.matrix + middle
    return Refined(
        Landmarks(rows[0], rows[1], left, right),
        (*contacts[:2], *counts),
        crest_before_mm=float(corners[:, 1].mean()),
    )


def _resting(
    points: NDArray[np.float64], facet: Candidate, depth_mm: float
) -> tuple[NDArray[np.float64], tuple[int, ...]]:
    """Where the plane through both wings and both sides of the pubis touches, as LPS rows."""
    matrix, origin, height = facet.matrix, facet.origin, facet.height
    for _ in range(ROUNDS):
        local = (points - origin) @ matrix.T
        left, lateral, above = local[:, 0] > 0, np.abs(local[:, 0]), local[:, 2]
        spine = (lateral > SPINE_BEYOND_X_MM) & (lateral < SIDE_MM)
        spine &= (above > SPINE_ABOVE * height) & (above < height + SPINE_OVER_MM)
        pubis = (lateral < PUBIS_X_MM) & (np.abs(above) < PUBIS_Z_MM)
        found = [
            contact(local[mask], ANTERIOR, depth_mm=depth_mm, radius_mm=RADIUS_MM)
            for mask in (spine & left, spine & ~left, pubis & left, pubis & ~left)
        ]
        rows = np.stack([middle for _, middle, _ in found]) @ matrix + origin
        alignment = from_landmarks(Landmarks(*rows))
        turned = angle_deg(alignment.matrix, matrix)
        matrix, height, origin = (
            alignment.matrix,
            alignment.quality["height_mm"],
            _middle(rows, alignment),
        )
        if turned < SETTLED_DEG:
            break
    return rows, tuple(count for _, _, count in found)


def _middle(rows: NDArray[np.float64], alignment: Alignment) -> NDArray[np.float64]:
    """The alignment's origin, moved along x into the plane midway between the spines."""
    x = alignment.matrix[0]
    offset = (rows[:2].mean(axis=0) - alignment.origin) @ x
    middle: NDArray[np.float64] = alignment.origin + offset * x
    return middle


def _corners(facet: Candidate) -> Landmarks:
    """The corners of the facet; its one point of the pubis stands for both tubercles."""
    left, right, _ = facet.corners
    apart = 12.0 * facet.matrix[0]
    return Landmarks(left, right, facet.origin + apart, facet.origin - apart)


def angle_deg(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """Angle of the turn between two rotation matrices."""
    sine = np.linalg.norm(one - other) / np.sqrt(8)
    return float(np.degrees(2 * np.arcsin(min(sine, 1.0))))


# What is measured of an automatic alignment, and the flags that follow.
#
# Warnings ask for review; every other flag forbids automatic use.

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
    centres = acetabular_centres(points, alignment)
    to_middle = (rows[:2].mean(axis=0) - alignment.origin) @ alignment.matrix[0]
    alone, together = hip_scores(centres)
    quality = {
        **alignment.quality,
        "triangle": facet.triangle,
        "mirror_mm": mirror_mm,
        "confidence": math.exp(-(facet.triangle + (mirror_mm / 3) ** 2) / 12),
        "apex_offset_mm": float(abs(to_middle)),
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


def _line_of_hips(cloud: Cloud, alignment: Alignment) -> tuple[float, float]:
    """Rotation and obliquity in degrees of the line through both hips, in the frame."""
    local = alignment.to_ap(cloud.points)
    x, y, z = local.T
    hips = (np.abs(x) > MIDDLE_MM) & (np.abs(x) < HIPS_X_MM)
    hips &= (y < HIPS_Y_MM) & (z > HIPS_Z_MM[0]) & (z < HIPS_Z_MM[1])
    left, right = local[hips & (x > 0)], local[hips & (x < 0)]
    if not len(left) or not len(right):
        return 0.0, 0.0  # acetabular_centres says so
    across, back, up = left.mean(axis=0) - right.mean(axis=0)
    return abs(math.degrees(math.atan2(back, across))), abs(math.degrees(math.atan2(up, across)))


# From bone surface points to an alignment: candidates, the best of them, refined and judged.

Orientation = Literal["supine", "free"]
ORIENTATIONS = ("supine", "free")
PUBES = ("tubercles", "crest")
SYMMETRY_MM = 4.0
"""Mirror residual that costs as much as one standard deviation of the triangle."""


def from_points(
    points_lps: ArrayLike,
    *,
    orientation: Orientation = "supine",
    pubis: Pubis = "tubercles",
    box_mm: tuple[Sequence[float], Sequence[float]] | None = None,
) -> Alignment:
    """The AP frame of a pelvis given as surface points of both hip bones, found automatically.

    The pelvis is laid on every plane it can rest on (the facets of its convex hull); the facet that
    looks like spines and pubis, and in which the pelvis is its own mirror image, is refined to the
    four landmarks. Sacrum and femora among the points do no harm.

    Parameters
    ----------
    points_lps
        ``(n, 3)`` patient LPS millimetres: vertices of a surface or surface voxels, 3 mm apart or
        less, in any order. No normals, faces or labels are needed.
    orientation
        ``"supine"``: the patient's axes are known (prone and feet first included), the pelvis is
        turned by less than 70 deg. ``"free"``: any rotation; the angles then mean nothing by
        themselves.
    pubis
        ``"tubercles"``: the plane through both spines and both pubic tubercles. ``"crest"``: the
        plane on which the pelvis rests, through the most anterior points of the pubic bodies,
        on average 1.2 deg less tilted (ASIS less anterior).
    box_mm
        Corners of the scan (low, high) in patient LPS millimetres, for the field-of-view check;
        without it the ends of the cloud itself are checked.

    Returns
    -------
    Alignment
        With ``quality`` numbers and ``flags``; an alignment with ``hard_flags`` is not for use
        without review.

    Raises
    ------
    PoseError
        If the points cannot be a pelvis, or no facet of their hull resembles one.
    ParameterError
        If an option is none of those listed.

    Examples
    --------
    >>> import numpy as np, rhoa
    >>> try:
    ...     rhoa.pose.from_points(np.zeros((4, 3)))
    ... except rhoa.RhoaError as error:
    ...     print(str(error)[:19])
    points_lps: 4 point
    """
    require_choice("orientation", orientation, ORIENTATIONS)
    require_choice("pubis", pubis, PUBES)
    cloud = Cloud(require_cloud(points_lps), faces=_require_box(box_mm))
    return estimate(cloud, search=SUPINE if orientation == "supine" else FREE, pubis=pubis)


def estimate(cloud: Cloud, *, search: Search, pubis: Pubis = "tubercles") -> Alignment:
    """The alignment of checked bone surface points.

    Raises
    ------
    PoseError
        If no facet of the hull resembles a pelvis.
    """
    cloud = replace(cloud, points=thinned(cloud.points))
    if not search.windowed:
        cloud = without_loose_pieces(cloud)
    points = cloud.points
    found = candidates(points, search)
    if not found:
        raise PoseError(
            "no plane touches this bone at two iliac spines and a pubis; check that both hip bones "
            "are whole, in patient LPS millimetres, and alone (no table, arms or contrast); "
            'pass orientation="free" if the patient axes are unknown, or rhoa.Landmarks.'
        )
    mirror = Mirror(points)
    residuals = [mirror.residual(facet) for facet in found]
    scores = [
        facet.triangle + (residual / SYMMETRY_MM) ** 2
        for facet, residual in zip(found, residuals, strict=True)
    ]
    best = int(np.argmin(scores))
    landmarks = refined(points, found[best], voxel_mm=cloud.voxel_mm, pubis=pubis)
    return judged(cloud, landmarks, found[best], mirror_mm=residuals[best], upright=search.upright)


def _require_box(box_mm: object) -> Faces | None:
    if box_mm is None:
        return None
    try:
        low, high = (require_point("box_mm", corner) for corner in box_mm)  # type: ignore[attr-defined]  # checked here
    except (TypeError, ValueError):
        raise ParameterError(
            "box_mm must be two corners (low, high), each (x, y, z) in patient LPS mm; "
            f"got {box_mm!r}."
        ) from None
    if not (low < high).all():
        raise ParameterError(f"box_mm must have low < high along x, y and z; got {box_mm!r}.")
    return Faces.of_box(low, high)


# Masks and label maps of bone: their surface voxels in patient space, and the pose they have.

TOTALSEGMENTATOR: Mapping[str, int] = {"hip_left": 77, "hip_right": 78}
"""Values of TotalSegmentator version 2, task ``total``."""
TRUNK_MM = 260.0
"""A mask taller than this holds more than a pelvis, and is searched window by window."""


def from_mask(
    mask: Any,  # noqa: ANN401  # see the docstring
    affine: ArrayLike | None = None,
    *,
    labels: Mapping[str, int] | None = None,
    orientation: Orientation = "supine",
    pubis: Pubis = "tubercles",
) -> Alignment:
    """The AP frame of a segmented pelvis.

    Parameters
    ----------
    mask
        3-D: a boolean mask of both hip bones (other bone does little harm), or an integer label
        map. An integer map of 0 and 1 alone is a mask. Or what `rhoa.resample_mask` takes, which
        says where it lies; or the path of a folder with ``hip_left.nii.gz`` and
        ``hip_right.nii.gz``, as TotalSegmentator writes them.
    affine
        Of an array: 4 x 4, from the indices of ``mask`` to patient LPS millimetres, as
        `rhoa.Volume.affine`.
    labels
        Values of ``hip_left`` and ``hip_right`` in a label map; by default those of
        TotalSegmentator version 2 (77 and 78). Other names are ignored: the pose rests on the
        hip bones alone.
    orientation, pubis
        As in `from_points`.

    Returns
    -------
    Alignment
        Flagged ``sides_swapped`` if the label ``hip_left`` lies on the patient's right: the frame
        follows the anatomy, the labels or the affine are wrong. Flagged ``field_of_view`` if bone
        is cut at a face of the array near a landmark.

    Raises
    ------
    PoseError
        If a hip bone is absent, or no plane touches the mask as it touches a pelvis.
    ParameterError
        If mask, labels or an option have the wrong form.
    ReadError
        If a file is absent, damaged, or not placed in the patient.
    VolumeError
        If the affine is not a finite, invertible 4 x 4 matrix.

    Examples
    --------
    >>> import numpy as np, rhoa
    >>> try:
    ...     rhoa.pose.from_mask(np.zeros((8, 8, 8), bool), np.eye(4))
    ... except rhoa.RhoaError as error:
    ...     print(error)
    mask: no voxel is set; both hip bones are needed.
    """
    require_choice("orientation", orientation, ORIENTATIONS)
    require_choice("pubis", pubis, PUBES)
    array, affine = _with_place(mask, affine, labels)
    values = _require_labels(array, labels)
    grid = Volume(array.view(np.uint8) if array.dtype == bool else array, affine)
    parts = {name: surface_points(array == value, grid) for name, value in values.items()}
    empty = [f"{name} ({values[name]})" for name, points in parts.items() if not len(points)]
    if empty:
        raise PoseError(
            f"mask: no voxel is labelled {' or '.join(empty)}; both hip bones are needed; "
            "pass labels={'hip_left': ..., 'hip_right': ...} if the map has other values."
        )
    if not values:
        parts = {"bone": surface_points(array != 0, grid)}
        if not len(parts["bone"]):
            raise PoseError("mask: no voxel is set; both hip bones are needed.")
    points = require_cloud(np.concatenate(list(parts.values())))
    search = SUPINE if orientation == "supine" else FREE
    if search.upright and not values and np.ptp(points[:, 2]) > TRUNK_MM:
        search = replace(search, windowed=True)
    faces = Faces.of_array(grid.shape, grid.affine)
    cloud = Cloud(points, faces=faces, voxel_mm=max(grid.spacing_mm))
    alignment = estimate(cloud, search=search, pubis=pubis)
    if values:
        leftward = parts["hip_left"].mean(axis=0) - parts["hip_right"].mean(axis=0)
        if leftward @ alignment.matrix[0] < 0:
            return replace(alignment, flags=alignment.flags | {"sides_swapped"})
    return alignment


def _with_place(
    mask: object, affine: ArrayLike | None, labels: Mapping[str, int] | None
) -> tuple[NDArray[Any], NDArray[np.float64]]:
    """The labels of a mask and its affine; of both hip bones alone where each has its own map."""
    if not has_place(mask):
        if affine is None:
            raise ParameterError("affine is needed with an array: it says where the mask lies.")
        array = np.asarray(mask)
        if array.ndim != 3 or array.dtype.kind not in "biu":
            raise ParameterError(
                "mask must be a 3-D array of booleans or whole numbers; "
                f"got {array.ndim}-D, dtype {array.dtype}; convert a map read as float with "
                ".astype(numpy.uint8)."
            )
        return array, np.asarray(affine)
    if affine is not None:
        raise ParameterError("affine is for arrays; the mask says itself where it lies.")
    values = TOTALSEGMENTATOR if labels is None else labels
    wanted = {values.get(name, 0) for name in TOTALSEGMENTATOR}
    hips: LabelMap | None = None
    for name, part in parts_of(mask, names=TOTALSEGMENTATOR):
        if name is None:
            return part.labels, part.affine
        value = values.get(name, 0) if isinstance(name, str) else name
        if value not in wanted:
            continue
        if hips is None:
            hips = replace(part, labels=np.zeros_like(part.labels))
        hips.labels[resampled(part, hips.grid, partial=True) > 0] = value
    if hips is None:
        raise PoseError(
            f"mask: neither {' nor '.join(TOTALSEGMENTATOR)} is in it; both hip bones are needed."
        )
    return hips.labels, hips.affine


def _require_labels(array: NDArray[Any], labels: Mapping[str, int] | None) -> dict[str, int]:
    """The values of both hips in a label map; empty for a mask."""
    if labels is None:
        if array.dtype == bool or not array.size or (array.min() >= 0 and array.max() <= 1):
            return {}
        return dict(TOTALSEGMENTATOR)
    missing = [name for name in TOTALSEGMENTATOR if name not in labels]
    if missing:
        raise ParameterError(
            f"labels must give the values of hip_left and hip_right; got {sorted(labels)}."
        )
    return {name: labels[name] for name in TOTALSEGMENTATOR}

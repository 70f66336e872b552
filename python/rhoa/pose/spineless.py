"""The pose of a pelvis whose iliac spines lie outside the scan, from what is left of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from rhoa.errors import PoseError
from rhoa.pose.alignment import NO_SPINES, Alignment
from rhoa.pose.bone import bone_of
from rhoa.pose.clearing import about
from rhoa.pose.cloud import Cloud, require_cloud, thinned, without_loose_pieces
from rhoa.pose.coarse import coarse
from rhoa.pose.heads import femoral_heads
from rhoa.pose.quality import exceeded
from rhoa.pose.sockets import hip_centres, hip_scores
from rhoa.pose.symmetry import Mirror
from rhoa.reading import read_if_path
from rhoa.volume import Volume

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from rhoa.reading import Scan

# Directions in the sagittal plane of the AP frame, degrees from posterior toward superior, mean of
# ten real pelves: from hips to ischia, and from pubis to hips. Each has a spread of 4.5 deg.
DIRECTIONS_DEG = np.array([-66.0, 18.0])
TILT_SD_DEG = 4.4
SEARCH_DEG = (np.arange(-25.0, 26.0, 5.0), np.arange(-15.0, 16.0, 5.0))
"""Rotation and obliquity of the mid-sagittal plane that are tried first."""
# Ischia end 30 to 60 mm from the midline; the femora, which may be among the points, begin at 85.
PUBIS_X_MM, ISCHIUM_X_MM, CONTACT_MM = 40.0, (25.0, 75.0), 3.0
ROUNDS, SETTLED_DEG = 12, 0.01


def without_spines(bone: ArrayLike | Scan) -> Alignment:
    """The AP frame of a pelvis whose ASIS were not scanned, from hips, pubis and ischia.

    Rotation and obliquity are those of the mid-sagittal plane of symmetry; tilt follows from where
    pubis, hip joints and ischia lie to each other in the population, which leaves about 4 deg of
    uncertainty (one standard deviation); rotation and obliquity keep theirs of about 1 deg.

    Parameters
    ----------
    bone
        ``(n, 3)`` surface points of both hip bones, patient LPS mm, as in `from_points`; or a grey
        CT, or its path, in which the pelvis is looked for about the femoral heads as `from_volume`
        does. The pelvis is turned by less than 25 deg.

    Returns
    -------
    Alignment
        Always flagged ``no_spines``, and as in `from_points` where a number is implausible;
        ``landmarks`` is None, ``quality["tilt_sd_deg"]`` is the uncertainty of the tilt.

    Raises
    ------
    PoseError
        If the points cannot be a pelvis, or hips, pubis or ischia are not among them; if a CT
        holds no two femoral heads.

    Examples
    --------
    >>> import rhoa
    >>> from rhoa.phantom import Anatomy, Surroundings, ct
    >>> hips_only = Surroundings(reach_mm=((-225, 225), (-95, 225), (-95, 55)))
    >>> pelvis = ct(Anatomy.random(1), spacing_mm=(3, 3, 3), surroundings=hips_only)
    >>> frame = rhoa.pose.without_spines(pelvis.volume)
    >>> sorted(frame.warnings), sorted(frame.hard_flags)
    (['no_spines'], [])
    """
    given = read_if_path(bone)
    points = points_of(given) if isinstance(given, Volume) else given
    cloud = without_loose_pieces(Cloud(thinned(require_cloud(points))))
    points = cloud.points
    mirror = Mirror(points)
    x, centre = _plane_of_symmetry(points, mirror)
    tilt, change = 0.0, np.inf
    for _ in range(ROUNDS):
        frame = _tipped(x, centre, tilt)
        frame = _at_pubis(points, frame)
        change = _tilt_error_deg(points, frame)
        tilt += change
        if abs(change) < SETTLED_DEG:
            break
    alignment = _at_pubis(points, _tipped(x, centre, tilt))
    centres = hip_centres(points, alignment)
    alone, together = hip_scores(centres)
    quality = {
        "mirror_mm": mirror.residual_in(x, centre),
        "tilt_sd_deg": TILT_SD_DEG,
        "hip_centre_z": alone,
        "hip_difference_z": together,
    }
    for side, hip in centres.items():
        if hip is not None:
            named = zip("xyz", hip, strict=True)
            quality |= {f"hip_{side}_{axis}_mm": float(value) for axis, value in named}
    flags = exceeded(quality, alignment) | {NO_SPINES}
    return Alignment(alignment.matrix, alignment.origin, quality=quality, flags=flags)


def points_of(volume: Volume) -> NDArray[np.float64]:
    """Surface points of the pelvis in a grey CT, about its femoral heads, patient LPS mm."""
    bone = bone_of(coarse(volume))
    heads = femoral_heads(bone)
    if not heads:
        raise PoseError(
            "volume: no two femoral heads were found in its bone; the scan must hold both hips; "
            "pass rhoa.Landmarks, or points of the hip bones."
        )
    return about(bone.points, heads[0])


def _plane_of_symmetry(
    points: NDArray[np.float64], mirror: Mirror
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The unit normal, toward the patient's left, and a point of the mid-sagittal plane."""
    from scipy.optimize import minimize

    centre = points.mean(axis=0)

    def residual(parameters: NDArray[np.float64]) -> float:
        rotation, obliquity, offset = parameters
        x = _lateral(rotation, obliquity)
        return mirror.residual_in(x, centre + offset * x)

    starts = [np.array([a, b, 0.0]) for a in SEARCH_DEG[0] for b in SEARCH_DEG[1]]
    best = min(starts, key=residual)
    simplex = best + np.vstack([np.zeros(3), np.diag([3.0, 3.0, 3.0])])
    options = {"initial_simplex": simplex, "xatol": 0.01, "fatol": 1e-4, "maxfev": 200}
    rotation, obliquity, offset = minimize(residual, best, method="Nelder-Mead", options=options).x
    x = _lateral(rotation, obliquity)
    return x, centre + offset * x


def _lateral(rotation_deg: float, obliquity_deg: float) -> NDArray[np.float64]:
    rotation, obliquity = np.radians([rotation_deg, obliquity_deg])
    cosine = np.cos(obliquity)
    return np.array([cosine * np.cos(rotation), cosine * np.sin(rotation), np.sin(obliquity)])


def _tipped(x: NDArray[np.float64], origin: NDArray[np.float64], tilt_deg: float) -> Alignment:
    """The frame with this lateral axis and tilt, its z toward the head."""
    up = np.array([0.0, 0.0, 1.0]) - x[2] * x
    up /= np.linalg.norm(up)
    back = np.cross(up, x)
    cosine, sine = np.cos(np.radians(tilt_deg)), np.sin(np.radians(tilt_deg))
    return Alignment(np.stack([x, cosine * back + sine * up, cosine * up - sine * back]), origin)


def _at_pubis(points: NDArray[np.float64], frame: Alignment) -> Alignment:
    """The frame with its origin in the mid-plane at the most anterior bone of the middle."""
    local = frame.to_ap(points)
    middle = local[np.abs(local[:, 0]) < PUBIS_X_MM]
    if not len(middle):
        raise PoseError("no bone in the middle, where the pubis lies; both hip bones are needed.")
    touching = middle[middle[:, 1] < middle[:, 1].min() + CONTACT_MM]
    _, y, z = touching.mean(axis=0)
    return Alignment(frame.matrix, frame.to_lps((0.0, y, z)))


def _sagittal(points: NDArray[np.float64], frame: Alignment) -> NDArray[np.float64]:
    """Directions in degrees, as `DIRECTIONS_DEG`: hips to ischia, pubis to hips."""
    centres = hip_centres(points, frame)
    local = frame.to_ap(points)
    lateral = np.abs(local[:, 0])
    rear = local[(lateral > ISCHIUM_X_MM[0]) & (lateral < ISCHIUM_X_MM[1]) & (local[:, 1] > 0)]
    low = [rear[rear[:, 0] * sign > 0] for sign in (1, -1)]
    if any(centre is None for centre in centres.values()) or not all(map(len, low)):
        raise PoseError(
            "hip joints and ischia are not among the points; without them and without the iliac "
            "spines a pelvis has no measurable pose."
        )
    ischia = np.mean(
        [side[side[:, 2] < side[:, 2].min() + CONTACT_MM].mean(axis=0) for side in low], axis=0
    )
    hips = np.mean([centre for centre in centres.values() if centre is not None], axis=0)
    steps = np.stack([ischia - hips, hips])
    angles: NDArray[np.float64] = np.degrees(np.arctan2(steps[:, 2], steps[:, 1]))
    return angles


def _tilt_error_deg(points: NDArray[np.float64], frame: Alignment) -> float:
    """By how much the frame must tip for pubis, hips and ischia to lie as in the population."""
    return float((_sagittal(points, frame) - DIRECTIONS_DEG).mean())

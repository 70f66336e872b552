"""Landmarks, the anterior pelvic frame they define, how two differ, and functional tilt."""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from rhoa._types import SIDES, Frozen
from rhoa.errors import (
    LandmarkError,
    MissingFileError,
    ParameterError,
    PoseError,
    require_point,
    warn_user,
)
from rhoa.files import atomic_write, html_view
from rhoa.pose.population import HIP_CENTRE_MM, measured_centre

if TYPE_CHECKING:
    from collections.abc import Mapping
    from os import PathLike

    from numpy.typing import ArrayLike, NDArray


# Landmarks of the pelvis and the anterior pelvic frame they define.

# Hard limits of a plausible adult supine pelvis: outside them an alignment is flagged, never used
# unasked. Spread of real pelves: ASIS to ASIS 188-258 mm, height 74-111 mm, tubercles 7-49 mm.
WIDTH_RANGE_MM = (140.0, 320.0)
HEIGHT_RANGE_MM = (45.0, 150.0)
TUBERCLE_RANGE_MM = (3.0, 90.0)
TILT_LIMIT_DEG = 35.0
TURN_LIMIT_DEG = 20.0

LANDMARKS_OUTSIDE = "landmarks_outside"
"""Flag of a frame of which a spine or a tubercle lies outside the scan."""
MODEL_LANDMARKS = "landmarks_of_model"
"""Flag of a frame of which a landmark is the registered model's, not read on the bone."""
FUNCTIONAL_TILT = "functional_tilt"
"""Flag of a frame that was tipped on purpose."""
WARNINGS = frozenset(
    {
        FUNCTIONAL_TILT,
        LANDMARKS_OUTSIDE,
        MODEL_LANDMARKS,
        "asymmetric",
        "coarse_voxels",
        "large_tilt",
        "large_turn",
        "pubis_off_centre",
        "stepped_pubis",
        "tubercles_not_found",
        "turned_against_hips",
        "unequal_hips",
        "unusual_hips",
        "unusual_triangle",
    }
)
"""Flags that ask for review; every other flag forbids automatic use."""


@dataclass(frozen=True, slots=True, eq=False)
class Landmarks(Frozen):
    """Both anterior superior iliac spines and both pubic tubercles, in patient LPS mm.

    Raises
    ------
    LandmarkError
        If a point is not three finite numbers.

    Examples
    --------
    >>> import rhoa
    >>> points = rhoa.Landmarks((120, 0, 90), (-120, 0, 90), (15, 0, 0), (-15, 0, 0))
    >>> rhoa.pose.from_landmarks(points).angles
    Angles(tilt=0.0, obliquity=0.0, rotation=0.0)
    """

    asis_left: NDArray[np.float64]
    asis_right: NDArray[np.float64]
    pubic_tubercle_left: NDArray[np.float64]
    pubic_tubercle_right: NDArray[np.float64]

    def __post_init__(self) -> None:
        for name in _NAMES:
            object.__setattr__(self, name, require_point(name, getattr(self, name)))

    @classmethod
    def from_json(cls, path: str | PathLike[str]) -> Landmarks:
        """Read ``{"asis_left": [x, y, z], ...}``, patient LPS millimetres; or 3D Slicer's markups.

        A markups file (``.mrk.json``) says itself whether its points are LPS or RAS. Its points are
        known by their labels, whatever their capitals and separators: "ASIS left", "L ASIS",
        "pubic_tubercle_right", "right PT".

        Raises
        ------
        LandmarkError
            If the file is no JSON object, or lacks one of the four points or has it twice.
        """
        path = Path(path)
        if not path.is_file():
            raise MissingFileError(f"{path.name}: no such landmark file; check the path.")
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            raise LandmarkError(f"{path.name}: not a JSON file ({error}).") from None
        if isinstance(content, dict) and "markups" in content:
            content = _from_markups(content, path.name)
        missing = [n for n in _NAMES if not isinstance(content, dict) or n not in content]
        if missing:
            raise LandmarkError(
                f"{path.name}: lacks {', '.join(missing)}; "
                "each must be [x, y, z] in patient LPS millimetres."
            )
        if content.get("space", "LPS") != "LPS":
            raise LandmarkError(f'{path.name}: "space" must be "LPS"; convert the points first.')
        if content.get("unit", "mm") != "mm":
            raise LandmarkError(f'{path.name}: "unit" must be "mm"; convert the points first.')
        try:
            return cls(**{name: content[name] for name in _NAMES})
        except LandmarkError as error:
            raise LandmarkError(f"{path.name}: {error}") from None

    def as_array(self) -> NDArray[np.float64]:
        """The points as rows ``(4, 3)``: ASIS left, right, pubic tubercle left, right."""
        return np.stack([getattr(self, name) for name in _NAMES])

    def as_dict(self) -> dict[str, list[float]]:
        """The points by name, as JSON has them."""
        return {name: getattr(self, name).tolist() for name in _NAMES}

    def to_json(self, path: str | PathLike[str]) -> None:
        """Write the points as `from_json` reads them; 3D Slicer's markups for ``.mrk.json``."""
        if Path(path).name.lower().endswith(".mrk.json"):
            atomic_write(path, json.dumps(_as_markups(self), indent=2) + "\n")
            return
        text = json.dumps({"space": "LPS", "unit": "mm", **self.as_dict()}, indent=2)
        atomic_write(path, text + "\n")


_NAMES = tuple(point.name for point in fields(Landmarks))
MARKUPS_SCHEMA = (
    "https://raw.githubusercontent.com/slicer/slicer/master/Modules/Loadable/Markups/Resources/"
    "Schema/markups-schema-v1.0.3.json#"
)
_TO_LPS = {"LPS": (1.0, 1.0, 1.0), "RAS": (-1.0, -1.0, 1.0)}
_SIDE_LABELS = {"left": "left", "l": "left", "right": "right", "r": "right"}
_POINT_LABELS = {"asis": "asis", "pubictubercle": "pubic_tubercle", "pt": "pubic_tubercle"}


def _as_markups(landmarks: Landmarks) -> dict[str, object]:
    """The points as a list of fiducials, as 3D Slicer opens them."""
    points = [
        {"id": str(number), "label": name, "position": position, "positionStatus": "defined"}
        for number, (name, position) in enumerate(landmarks.as_dict().items(), 1)
    ]
    markup = {
        "type": "Fiducial",
        "coordinateSystem": "LPS",
        "coordinateUnits": "mm",
        "controlPoints": points,
    }
    return {"@schema": MARKUPS_SCHEMA, "markups": [markup]}


def _from_markups(content: Mapping[str, object], file: str) -> dict[str, object]:
    """Points by name, LPS, from markups of 3D Slicer; points of other labels are passed over."""
    found: dict[str, object] = {}
    try:
        for markup in content["markups"]:  # type: ignore[attr-defined]  # checked here
            system, unit = markup["coordinateSystem"], markup.get("coordinateUnits", "mm")
            signs = _TO_LPS.get({"0": "RAS", "1": "LPS"}.get(str(system), str(system)))
            if signs is None or unit != "mm":
                raise LandmarkError(
                    f"{file}: points must be in mm, LPS or RAS; this file says {system}, {unit}."
                )
            for point in markup["controlPoints"]:
                name = _landmark_name(str(point["label"]))
                if name is None or point.get("positionStatus", "defined") != "defined":
                    continue
                if name in found:
                    raise LandmarkError(f"{file}: two points are labelled {name}; remove one.")
                found[name] = [float(x) * s for x, s in zip(point["position"], signs, strict=True)]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        if isinstance(error, LandmarkError):
            raise
        raise LandmarkError(
            f"{file}: these are no markups of 3D Slicer ({type(error).__name__}); save the points "
            "again as .mrk.json."
        ) from None
    return found


def _landmark_name(label: str) -> str | None:
    """The landmark that a label means.

    >>> _landmark_name("L ASIS"), _landmark_name("Pubic-Tubercle_right"), _landmark_name("F-1")
    ('asis_left', 'pubic_tubercle_right', None)
    """
    words = re.findall(r"[a-z]+", label.casefold())
    sides = [_SIDE_LABELS[word] for word in words if word in _SIDE_LABELS]
    point = _POINT_LABELS.get("".join(word for word in words if word not in _SIDE_LABELS))
    return f"{point}_{sides[0]}" if point and len(sides) == 1 else None


class Angles(NamedTuple):
    """Pose of the pelvis in the scanner, in degrees.

    ``tilt`` > 0: anterior (ASIS in front of the pubic tubercles); ``obliquity`` > 0: left ASIS
    higher; ``rotation`` > 0: right-hand turn about the superior axis.
    """

    tilt: float
    obliquity: float
    rotation: float

    def __str__(self) -> str:
        return (
            f"tilt {self.tilt:+.1f}, obliquity {self.obliquity:+.1f}, "
            f"rotation {self.rotation:+.1f} deg"
        )


@dataclass(frozen=True, slots=True, eq=False)
class Alignment(Frozen):
    """The anterior pelvic (AP) frame of one pelvis: ``p_ap = matrix @ (p_lps - origin)``.

    The rows of ``matrix`` are x (toward the patient's left through both ASIS), y (posterior, the
    direction of projection) and z (superior); ``origin`` lies midway between the pubic tubercles.
    ``quality`` holds measured numbers; ``flags`` name reasons not to trust the result, and ``ok``
    is true when there are none. Some of them, `warnings`, only ask for review; the others,
    `hard_flags`, forbid automatic use.
    """

    matrix: NDArray[np.float64]
    origin: NDArray[np.float64]
    landmarks: Landmarks | None = None
    quality: Mapping[str, float] = field(default_factory=dict)
    flags: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        matrix = np.array(self.matrix, dtype=np.float64)
        if matrix.shape != (3, 3) or not np.allclose(matrix @ matrix.T, np.eye(3), atol=1e-6):
            raise PoseError("matrix must be a 3 x 3 rotation: its rows are not orthonormal.")
        if np.linalg.det(matrix) < 0:
            raise PoseError("matrix must be a rotation; this one mirrors left and right.")
        matrix.flags.writeable = False
        object.__setattr__(self, "matrix", matrix)
        object.__setattr__(self, "origin", require_point("origin", self.origin))
        object.__setattr__(self, "quality", MappingProxyType(dict(self.quality)))
        object.__setattr__(self, "flags", frozenset(self.flags))

    @property
    def ok(self) -> bool:
        """Whether there is no flag at all."""
        return not self.flags

    @property
    def warnings(self) -> frozenset[str]:
        """The flags that ask for a review of the landmarks."""
        return self.flags & WARNINGS

    @property
    def hard_flags(self) -> frozenset[str]:
        """The flags that forbid automatic use."""
        return self.flags - WARNINGS

    @property
    def upright(self) -> bool:
        """Whether x points toward the patient's left, and z toward the head."""
        return bool(self.matrix[0, 0] > 0 and self.matrix[2, 2] > 0)

    @property
    def angles(self) -> Angles:
        """Tilt, obliquity and rotation in degrees (Baker 2001: rotation, obliquity, tilt)."""
        columns = self.matrix.T
        tilt = np.arctan2(columns[2, 1], columns[2, 2])
        obliquity = np.arcsin(np.clip(columns[2, 0], -1, 1))
        rotation = np.arctan2(columns[1, 0], columns[0, 0])
        return Angles(*(float(np.degrees(angle)) for angle in (tilt, obliquity, rotation)))

    def to_ap(self, lps_mm: ArrayLike) -> NDArray[np.float64]:
        """AP-frame millimetres of patient LPS points ``(..., 3)``."""
        ap: NDArray[np.float64] = (np.asarray(lps_mm, np.float64) - self.origin) @ self.matrix.T
        return ap

    def to_lps(self, ap_mm: ArrayLike) -> NDArray[np.float64]:
        """Patient LPS millimetres of AP-frame points ``(..., 3)``."""
        lps: NDArray[np.float64] = np.asarray(ap_mm, np.float64) @ self.matrix + self.origin
        return lps

    def _repr_html_(self) -> str:
        angles = self.angles._asdict()
        rows: list[tuple[str, object]] = [(n, f"{value:+.1f}°") for n, value in angles.items()]
        rows.append(("flags", ", ".join(sorted(self.flags)).replace("_", " ") or "none"))
        rows += [(name.replace("_", " "), f"{value:.4g}") for name, value in self.quality.items()]
        return html_view("Alignment of the pelvis", rows)


def from_landmarks(landmarks: Landmarks) -> Alignment:
    """The AP frame through four landmarks, with its quality numbers and flags.

    Flags: ``landmarks_swapped`` (the left ASIS is on the patient's right, or the spines lie below
    the tubercles), ``implausible`` (distances no adult pelvis has), ``extreme_pose`` (tilt beyond
    35 deg, obliquity or rotation beyond 20 deg).

    Raises
    ------
    LandmarkError
        If the points are collinear or coincide, so that they span no plane.
    """
    asis_middle = (landmarks.asis_left + landmarks.asis_right) / 2
    origin = (landmarks.pubic_tubercle_left + landmarks.pubic_tubercle_right) / 2
    across = landmarks.asis_left - landmarks.asis_right
    width = float(np.linalg.norm(across))
    if width < 1.0:
        raise LandmarkError("both ASIS are one point; four separate landmarks are needed.")
    x = across / width
    up = asis_middle - origin
    up = up - (up @ x) * x
    height = float(np.linalg.norm(up))
    if height < 1.0:
        raise LandmarkError(
            "the landmarks are collinear: ASIS and pubic tubercles span no plane; "
            "check that the tubercles lie below the spines."
        )
    z = up / height
    matrix = np.stack([x, np.cross(z, x), z])
    tubercles = landmarks.pubic_tubercle_left - landmarks.pubic_tubercle_right
    quality = {
        "asis_width_mm": width,
        "height_mm": height,
        "tubercle_distance_mm": float(np.linalg.norm(tubercles)),
    }
    alignment = Alignment(matrix, origin, landmarks, quality)
    flags = set()
    if not alignment.upright or tubercles[0] <= 0:
        flags.add("landmarks_swapped")
    ranges = (WIDTH_RANGE_MM, HEIGHT_RANGE_MM, TUBERCLE_RANGE_MM)
    if any(
        not low <= value <= high
        for value, (low, high) in zip(quality.values(), ranges, strict=True)
    ):
        flags.add("implausible")
    tilt, *turns = alignment.angles
    if abs(tilt) > TILT_LIMIT_DEG or max(map(abs, turns)) > TURN_LIMIT_DEG:
        flags.add("extreme_pose")
    return replace(alignment, flags=frozenset(flags))


def usable_alignment(pose: object) -> Alignment:
    """The alignment that ``pose`` is, or that its landmarks define, if its sides can be trusted.

    Parameters
    ----------
    pose
        An `Alignment` or `Landmarks`.

    Warns
    -----
    RhoaWarning
        If it is flagged.

    Raises
    ------
    ParameterError
        If ``pose`` is neither `Alignment` nor `Landmarks`.
    PoseError
        If it points the patient's left to the right, or the head down.
    """
    alignment = from_landmarks(pose) if isinstance(pose, Landmarks) else pose
    if not isinstance(alignment, Alignment):
        raise ParameterError(
            'pose must be None, "auto", a rhoa.Landmarks or a rhoa.Alignment; '
            f"got {type(pose).__name__}."
        )
    require_upright(alignment)
    doubtful = alignment.flags - {FUNCTIONAL_TILT}
    if doubtful:
        listed = ", ".join(sorted(doubtful))
        warn_user(
            f"the alignment is flagged: {listed}; check its landmarks before you use the image."
        )
    return alignment


def require_upright(alignment: Alignment) -> None:
    """Check that an alignment points the patient's left to the left, and the head up.

    Raises
    ------
    PoseError
        If it does not.
    """
    if not alignment.upright:
        raise PoseError(
            "the alignment points the patient's left to the right, or the head down; "
            "check that left and right landmarks are not swapped."
        )


# Functional pose: the pelvis tipped about its hips, as when a patient stands up.


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
        ``functional_tilt`` and ``quality["tilt_offset_deg"]`` say that the frame is no longer the
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
    quality = dict(alignment.quality)
    quality["tilt_offset_deg"] = quality.get("tilt_offset_deg", 0.0) + offset
    for side in SIDES:
        names = [f"hip_{side}_{name}_mm" for name in "xyz"]
        if all(name in quality for name in names):
            centre = np.array([quality[name] for name in names])
            values = (turn @ (centre - axis) + axis).tolist()
            quality |= dict(zip(names, values, strict=True))
    return replace(
        alignment,
        matrix=turn @ alignment.matrix,
        origin=alignment.to_lps(axis - turn.T @ axis),
        quality=quality,
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


DIFFERENCE_LIMIT_DEG = 3.0
"""Two alignments of one pelvis that differ by more need review."""


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

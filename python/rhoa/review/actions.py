"""What a reader can do: each action checked whole, from JSON and back."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, ClassVar, cast

from rhoa.errors import LandmarkError, ParameterError, ReviewError
from rhoa.hips import Box
from rhoa.pose import Landmarks
from rhoa.pose.sides import SIDES

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from rhoa.pose.sides import Side

GRADES = (0, 1, 2, 3, 4)
REASONS = ("prosthesis", "fracture", "cut off", "poor image", "other")
"""Why a hip cannot be graded."""
FEATURES = {"narrowing": 3, "osteophytes": 3, "sclerosis": 1, "cysts": 1}
"""Features and their highest score, as in the OARSI atlas (Altman and Gold 2007)."""
VERDICTS = ("accepted", "rejected")
KINDS = ("grade", "boxes", "pose")
"""What can be undone by itself."""
MOST_NOTES = 2000
_KEY = re.compile(r"[0-9a-f]{16}")
_DEPTH_MM = 1000.0


@dataclass(frozen=True, slots=True)
class Started:
    """A sitting began: how hips are ordered and repeated, and as what the reader grades."""

    do: ClassVar[str] = "start"
    kind: ClassVar[str] = ""
    seed: int
    repeat: float
    adjudicates: bool = False


@dataclass(frozen=True, slots=True)
class Graded:
    """A hip was graded, or found not gradable: ``kl`` or ``reason``, never both."""

    do: ClassVar[str] = "grade"
    kind: ClassVar[str] = "grade"
    case: str
    side: Side
    reading: int
    """1, or 2 where it was shown again."""
    kl: int | None
    reason: str = ""
    notes: str = ""
    features: Mapping[str, int] | None = None


@dataclass(frozen=True, slots=True)
class Boxed:
    """A hip's box was drawn, moved, or (None) deleted; pixel edges top, left, bottom, right."""

    do: ClassVar[str] = "box"
    kind: ClassVar[str] = "boxes"
    case: str
    side: Side
    box: tuple[float, float, float, float] | None

    def as_box(self) -> Box | None:
        """The box itself."""
        return None if self.box is None else Box(self.side, *self.box)


@dataclass(frozen=True, slots=True)
class BoxesAccepted:
    """The boxes of a case are right."""

    do: ClassVar[str] = "accept boxes"
    kind: ClassVar[str] = "boxes"
    case: str


@dataclass(frozen=True, slots=True)
class Posed:
    """Landmarks (patient LPS mm) or depth range (mm) were changed; None: as they were found."""

    do: ClassVar[str] = "pose"
    kind: ClassVar[str] = "pose"
    case: str
    landmarks: Mapping[str, tuple[float, float, float]] | None
    depth_mm: tuple[float, float] | None = None

    def as_landmarks(self) -> Landmarks | None:
        """The landmarks themselves."""
        return None if self.landmarks is None else Landmarks(**cast("Any", self.landmarks))


@dataclass(frozen=True, slots=True)
class Judged:
    """The pose of a case was accepted or rejected."""

    do: ClassVar[str] = "judge"
    kind: ClassVar[str] = "pose"
    case: str
    verdict: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Undone:
    """The action of that line is taken back."""

    do: ClassVar[str] = "undo"
    kind: ClassVar[str] = ""
    line: int


Action = Started | Graded | Boxed | BoxesAccepted | Posed | Judged | Undone
_ACTIONS: dict[str, type[Action]] = {
    one.do: one for one in (Started, Graded, Boxed, BoxesAccepted, Posed, Judged, Undone)
}


def as_action(told: Mapping[str, Any]) -> Action:
    """The action that JSON tells.

    Raises
    ------
    ReviewError
        If a field is absent, unknown or out of its range.
    """
    if not isinstance(told, dict) or told.get("do") not in _ACTIONS:
        raise ReviewError(f"an action's do must be one of {', '.join(_ACTIONS)}.")
    kind = _ACTIONS[told["do"]]
    names = [one.name for one in fields(kind)]
    unknown = sorted(set(told) - {*names, "do"})
    if unknown:
        raise ReviewError(f"{kind.do}: has no field {unknown[0]!r}.")
    checked = {name: _CHECKS[name](told[name]) for name in names if name in told}
    try:
        action = kind(**checked)
    except TypeError:
        absent = ", ".join(name for name in names if name not in checked)
        raise ReviewError(f"{kind.do}: lacks one of {absent}.") from None
    _check_whole(action)
    return action


def as_fields(action: Action) -> dict[str, Any]:
    """The action as JSON has it; `as_action` reads it back."""
    told = {one.name: getattr(action, one.name) for one in fields(action)}
    return {"do": action.do, **told}


def _check_whole(action: Action) -> None:
    if isinstance(action, Graded) and (action.kl is None) != bool(action.reason):
        raise ReviewError("grade: needs kl, or a reason why there is none; not both.")
    try:
        if isinstance(action, Boxed):
            action.as_box()
        if isinstance(action, Posed):
            action.as_landmarks()
    except (ParameterError, LandmarkError) as error:
        raise ReviewError(f"{action.do}: {error}") from None
    except TypeError:
        raise ReviewError("pose: landmarks are the four of rhoa.Landmarks.") from None


def _one_of(*choices: object, name: str) -> Callable[[object], Any]:
    def check(value: object) -> object:
        if isinstance(value, bool) or value not in choices:
            raise ReviewError(f"{name} must be one of {', '.join(map(str, choices))}.")
        return value

    return check


def _text(name: str, most: int) -> Callable[[object], str]:
    def check(value: object) -> str:
        if not isinstance(value, str) or len(value) > most:
            raise ReviewError(f"{name} must be text of at most {most} characters.")
        return value

    return check


def _whole(name: str, least: int) -> Callable[[object], int]:
    def check(value: object) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise ReviewError(f"{name} must be a whole number of at least {least}.")
        return value

    return check


def _numbers(name: str, count: int) -> Callable[[object], tuple[float, ...] | None]:
    def check(value: object) -> tuple[float, ...] | None:
        if value is None:
            return None
        if not isinstance(value, list | tuple) or len(value) != count or not all(map(_is, value)):
            raise ReviewError(f"{name} must be {count} finite numbers.")
        return tuple(float(one) for one in value)

    return check


def _is(value: object) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and math.isfinite(cast("float", value)) and abs(cast("float", value)) < 1e6


def _case(value: object) -> str:
    if not isinstance(value, str) or not _KEY.fullmatch(value):
        raise ReviewError("case must be the key of a case.")
    return value


def _landmarks(value: object) -> Mapping[str, Any] | None:
    if value is None:
        return None
    if not isinstance(value, dict):
        raise ReviewError("landmarks must be points by name.")
    return {str(name): _numbers("a landmark", 3)(point) for name, point in value.items()}


def _depth(value: object) -> tuple[float, ...] | None:
    depth = _numbers("depth_mm", 2)(value)
    if depth is not None and not -_DEPTH_MM <= depth[0] < depth[1] <= _DEPTH_MM:
        raise ReviewError("depth_mm must be (front, back) in mm with front < back.")
    return depth


def _features(value: object) -> Mapping[str, int] | None:
    if value is None:
        return None
    if not isinstance(value, dict) or set(value) - set(FEATURES):
        raise ReviewError(f"features must be of {', '.join(FEATURES)}.")
    for name, score in value.items():
        _one_of(*range(FEATURES[name] + 1), name=name)(score)
    return dict(value)


def _share(value: object) -> float:
    if not _is(value) or not 0 <= cast("float", value) <= 0.5:
        raise ReviewError("repeat must be a share of the hips, from 0 to 0.5.")
    return float(cast("float", value))


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise ReviewError("adjudicates must be true or false.")
    return value


_CHECKS: dict[str, Callable[[object], Any]] = {
    "seed": _whole("seed", 0),
    "repeat": _share,
    "adjudicates": _flag,
    "case": _case,
    "side": _one_of(*SIDES, name="side"),
    "reading": _one_of(1, 2, name="reading"),
    "kl": _one_of(*GRADES, None, name="kl"),
    "reason": _text("reason", 200),
    "notes": _text("notes", MOST_NOTES),
    "features": _features,
    "box": _numbers("box", 4),
    "landmarks": _landmarks,
    "depth_mm": _depth,
    "verdict": _one_of(*VERDICTS, name="verdict"),
    "line": _whole("line", 1),
}

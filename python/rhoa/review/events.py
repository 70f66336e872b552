"""What readers do: actions, their journal, the state they come to, order and consensus."""

from __future__ import annotations

import fcntl
import hashlib
import json
import math
import os
import re
import threading
from collections import Counter
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple, cast

import numpy as np

from rhoa._types import SIDES
from rhoa.errors import LandmarkError, ParameterError, ReviewError, WriteError
from rhoa.hips import Box
from rhoa.pose import Landmarks

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from rhoa._types import Side

    Hip = tuple[str, Side]


# What a reader can do: each action checked whole, from JSON and back.

GRADES = (0, 1, 2, 3, 4)
REASONS = ("prosthesis", "fracture", "cut off", "poor image", "other")
"""Why a hip cannot be graded."""
FEATURES = {
    "narrowing_superior": 3,
    "narrowing_medial": 3,
    "osteophytes_superior_acetabular": 3,
    "osteophytes_inferior_acetabular": 3,
    "osteophytes_superior_femoral": 3,
    "osteophytes_inferior_femoral": 3,
    "sclerosis_acetabular": 1,
    "sclerosis_femoral": 1,
    "cysts_acetabular": 1,
    "cysts_femoral": 1,
}
"""Features by location and their highest score, as in the OARSI atlas (Altman and Gold 2007)."""
VERDICTS = ("accepted", "rejected")
KINDS = ("grade", "boxes", "pose")
"""What can be undone by itself."""
MOST_NOTES = 2000
_KEY = re.compile(r"[0-9a-f]{16}")
_DEPTH_MM = 1000.0


@dataclass(frozen=True, slots=True)
class Started:
    """A sitting began: how hips are ordered and repeated, and as what the reader grades.

    Grades of an adjudicator decide; those of a training count for nothing but the training.
    """

    do: ClassVar[str] = "start"
    kind: ClassVar[str] = ""
    seed: int
    repeat: float
    adjudicates: bool = False
    training: bool = False


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
    seconds: float | None = None
    """For which the hip was on a visible page before it was graded."""


@dataclass(frozen=True, slots=True)
class Noted:
    """Notes and features of a hip, as they are after a change; graded or not."""

    do: ClassVar[str] = "note"
    kind: ClassVar[str] = ""
    case: str
    side: Side
    reading: int
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


Action = Started | Graded | Noted | Boxed | BoxesAccepted | Posed | Judged | Undone
_ACTIONS: dict[str, type[Action]] = {
    one.do: one for one in (Started, Graded, Noted, Boxed, BoxesAccepted, Posed, Judged, Undone)
}


def as_action(record: Mapping[str, Any]) -> Action:
    """The action that the fields of a JSON object describe.

    Raises
    ------
    ReviewError
        If a field is absent, unknown or out of its range.
    """
    if not isinstance(record, dict) or record.get("do") not in _ACTIONS:
        raise ReviewError(f"an action's do must be one of {', '.join(_ACTIONS)}.")
    kind = _ACTIONS[record["do"]]
    names = [one.name for one in fields(kind)]
    unknown = sorted(set(record) - {*names, "do"})
    if unknown:
        raise ReviewError(f"{kind.do}: has no field {unknown[0]!r}.")
    checked = {name: _CHECKS[name](record[name]) for name in names if name in record}
    try:
        action = kind(**checked)
    except TypeError:
        absent = ", ".join(name for name in names if name not in checked)
        raise ReviewError(f"{kind.do}: lacks one of {absent}.") from None
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
    return action


def as_fields(action: Action) -> dict[str, Any]:
    """The action as JSON has it; `as_action` reads it back."""
    return {"do": action.do} | {one.name: getattr(action, one.name) for one in fields(action)}


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


def _seconds(value: object) -> float | None:
    if value is not None and (not _is(value) or cast("float", value) < 0):
        raise ReviewError("seconds must be a number of at least 0.")
    return None if value is None else float(cast("float", value))


def _flag(name: str) -> Callable[[object], bool]:
    def check(value: object) -> bool:
        if not isinstance(value, bool):
            raise ReviewError(f"{name} must be true or false.")
        return value

    return check


_CHECKS: dict[str, Callable[[object], Any]] = {
    "seed": _whole("seed", 0),
    "repeat": _share,
    "adjudicates": _flag("adjudicates"),
    "training": _flag("training"),
    "case": _case,
    "side": _one_of(*SIDES, name="side"),
    "reading": _one_of(1, 2, name="reading"),
    "kl": _one_of(*GRADES, None, name="kl"),
    "reason": _text("reason", 200),
    "seconds": _seconds,
    "notes": _text("notes", MOST_NOTES),
    "features": _features,
    "box": _numbers("box", 4),
    "landmarks": _landmarks,
    "depth_mm": _depth,
    "verdict": _one_of(*VERDICTS, name="verdict"),
    "line": _whole("line", 1),
}


# A reader's journal: every action is a line that is on the disk before it is confirmed.

SUFFIX = ".jsonl"
READER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,39}")


class Entry(NamedTuple):
    """A line: its number from 1, when it was written (UTC), and the action."""

    number: int
    at: str
    action: Action


class Journal:
    """The journal of one reader, open for more; no other process can open it meanwhile.

    A line that a killed process left unfinished was never confirmed, and is removed.

    Parameters
    ----------
    folder
        Made if it is absent.
    reader
        Letters, digits, dots, dashes and underscores.

    Raises
    ------
    ReviewError
        If the reader's name is none, another process has the journal open, or a line is damaged.
    WriteError
        If the folder cannot be written.
    """

    def __init__(self, folder: Path, reader: str) -> None:
        if not READER.fullmatch(reader):
            raise ReviewError(
                f"a reader's name has up to 40 letters, digits, dots, dashes; got {reader!r}."
            )
        self.reader, self.path = reader, folder / f"{reader}{SUFFIX}"
        self._lock = threading.Lock()
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
        except OSError as error:
            raise _unwritten(self.path, error) from None
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._file)
            raise ReviewError(
                f"{reader} has this folder open already; close that, or pass another --reader."
            ) from None
        try:
            whole = self.path.read_bytes().rfind(b"\n") + 1
            os.ftruncate(self._file, whole)
            self.entries = read_journal(self.path)
            handle = os.open(folder, os.O_RDONLY)
            try:  # a new file's name must be on the disk, too
                os.fsync(handle)
            finally:
                os.close(handle)
        except BaseException:
            os.close(self._file)
            raise

    def append(self, action: Action) -> Entry:
        """Write an action down; it is on the disk when this returns.

        Raises
        ------
        WriteError
            If it could not be written; the journal is then as it was.
        """
        with self._lock:
            number = self.entries[-1].number + 1 if self.entries else 1
            entry = Entry(number, datetime.now(UTC).isoformat(timespec="milliseconds"), action)
            record = {"n": number, "at": entry.at, **as_fields(action)}
            line = json.dumps(record, separators=(",", ":"), allow_nan=False).encode() + b"\n"
            size = os.fstat(self._file).st_size
            try:
                written = os.write(self._file, line)
                if written < len(line):
                    raise OSError(28, "No space left on device")  # noqa: TRY301  # undone below
                os.fsync(self._file)
            except OSError as error:
                os.ftruncate(self._file, size)
                raise _unwritten(self.path, error) from None
            self.entries.append(entry)
            return entry

    def close(self) -> None:
        """Let other processes open it."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


def read_journal(path: Path) -> list[Entry]:
    """The entries of a journal; a last line without its end is left out.

    Raises
    ------
    ReviewError
        If another line is damaged.
    """
    entries = []
    for number, line in enumerate(path.read_bytes().split(b"\n")[:-1], 1):
        try:
            record: dict[str, Any] = json.loads(line)
            count, at = record.pop("n"), record.pop("at")
            if count != number:
                raise ReviewError(f"it says that it is line {count}")  # reported below
            entries.append(Entry(number, str(at), as_action(record)))
        except (ValueError, KeyError, AttributeError, TypeError) as error:
            raise ReviewError(
                f"{path.name}, line {number}: damaged ({error}); restore the file from a copy, or "
                "cut it before that line."
            ) from None
    return entries


def journals_in(folder: Path) -> dict[str, list[Entry]]:
    """The entries of every reader in a folder, by name."""
    files = sorted(folder.glob(f"*{SUFFIX}"))
    return {file.stem: read_journal(file) for file in files if READER.fullmatch(file.stem)}


def _unwritten(path: Path, error: OSError) -> WriteError:
    return WriteError(
        f"{path.name}: could not be written ({error.strerror or error}); what was there before is "
        "unchanged. Check the folder, its permissions and the space on its disk."
    )


# What a reader's actions come to: the state is a fold over the journal, and nothing else.


class Reading(NamedTuple):
    """One reading of one hip."""

    case: str
    side: Side
    reading: int


@dataclass(frozen=True, slots=True)
class CaseState:
    """What a reader made of one case."""

    pose: Posed | None = None
    verdict: Judged | None = None
    boxes: Mapping[Side, Box | None] = field(default_factory=dict)
    """Of the sides whose box was drawn anew, or (None) deleted."""
    boxes_accepted: bool = False

    def untouched(self, side: Side) -> bool:
        """Whether a hip's crop is as it was found."""
        return self.pose is None and side not in self.boxes


@dataclass(frozen=True, slots=True)
class State:
    """What a reader has made of a cohort."""

    grades: Mapping[Reading, Graded] = field(default_factory=dict)
    decisions: Mapping[Reading, Graded] = field(default_factory=dict)
    """Grades that were given as adjudicator."""
    training: Mapping[Reading, Graded] = field(default_factory=dict)
    """Grades that were given to learn."""
    notes: Mapping[Reading, Noted] = field(default_factory=dict)
    cases: Mapping[str, CaseState] = field(default_factory=dict)
    started: Started | None = None
    """The last sitting."""

    def case(self, key: str) -> CaseState:
        """Of that case; as it was found where nothing was done."""
        return self.cases.get(key, CaseState())


def active_entries(entries: Sequence[Entry]) -> list[Entry]:
    """The entries that count: neither taken back nor a taking back."""
    undone = {entry.action.line for entry in entries if isinstance(entry.action, Undone)}
    return [
        entry
        for entry in entries
        if entry.number not in undone and not isinstance(entry.action, Undone)
    ]


def fold(entries: Sequence[Entry]) -> State:
    """What the entries come to.

    New landmarks or another depth make another image: boxes that were drawn on the one before, and
    verdicts on it, are void; grades are of the hip, and stay.
    """
    grades: dict[Reading, Graded] = {}
    decisions: dict[Reading, Graded] = {}
    training: dict[Reading, Graded] = {}
    notes: dict[Reading, Noted] = {}
    cases: dict[str, CaseState] = {}
    started = None
    for entry in active_entries(entries):
        action = entry.action
        if isinstance(action, Started):
            started = action
        elif isinstance(action, Graded):
            of = grades
            if started is not None and started.adjudicates:
                of = decisions
            elif started is not None and started.training:
                of = training
            of[Reading(action.case, action.side, action.reading)] = action
        elif isinstance(action, Noted):
            notes[Reading(action.case, action.side, action.reading)] = action
        elif not isinstance(action, Undone):
            cases[action.case] = _next_state(cases.get(action.case, CaseState()), action)
    return State(
        grades=grades,
        decisions=decisions,
        training=training,
        notes=notes,
        cases=cases,
        started=started,
    )


def last_of(entries: Sequence[Entry], kind: str, case: str | None = None) -> Entry | None:
    """The last entry of a kind that still counts; of one case, where that is asked for."""
    return next(
        (
            entry
            for entry in reversed(active_entries(entries))
            if entry.action.kind == kind and case in (None, getattr(entry.action, "case", None))
        ),
        None,
    )


def final_grades(grades: Mapping[Reading, Graded]) -> dict[tuple[str, Side], Graded]:
    """The grade of each hip: its first reading; the second one only measures the reader."""
    return {(at.case, at.side): grade for at, grade in grades.items() if at.reading == 1}


def _next_state(state: CaseState, action: Action) -> CaseState:
    if isinstance(action, Posed):
        found = action.landmarks is None and action.depth_mm is None
        return CaseState(pose=None if found else action)
    if isinstance(action, Judged):
        return replace(state, verdict=action)
    if isinstance(action, Boxed):
        boxes = {**state.boxes, action.side: action.as_box()}
        return replace(state, boxes=boxes, boxes_accepted=False)
    if isinstance(action, BoxesAccepted):
        return replace(state, boxes_accepted=True)
    return state


# In which order a reader sees the hips: at random by a seed, some of them again later.

GAP = 0.25
"""Share of the hips that lie between two readings of one hip, at the least."""


def reading_order(
    hips: Sequence[tuple[str, Side]], *, reader: str, seed: int, repeat: float
) -> list[Reading]:
    """Every hip once in random order, and a share of them again, a quarter of the hips later.

    Parameters
    ----------
    hips
        Case and side; their order does not matter.
    reader
        Each reader has an order of their own.
    seed
        The same seed gives the same order.
    repeat
        Share of the hips that are shown twice, from 0 to 0.5.

    Examples
    --------
    >>> order = reading_order([("a", "left"), ("b", "left")], reader="A", seed=1, repeat=0.5)
    >>> len(order), order[-1].reading
    (3, 2)
    """
    digest = hashlib.blake2s(reader.encode(), digest_size=8).digest()
    random = np.random.default_rng([seed, int.from_bytes(digest)])
    hips = sorted(hips)
    count = len(hips)
    places = random.permutation(count).tolist()
    again = round(repeat * count)
    latest = count - GAP * count
    early = [n for n in range(count) if places[n] <= latest]
    chosen = random.permutation(early)[:again].tolist()
    shown = [(float(places[n]), Reading(hips[n][0], hips[n][1], 1)) for n in range(count)]
    for n in chosen:
        earliest = places[n] + GAP * count
        place = earliest + random.random() * (count - earliest) + 0.5
        shown.append((place, Reading(hips[n][0], hips[n][1], 2)))
    return [reading for _, reading in sorted(shown, key=lambda one: one[0])]


# One label from several readers: the majority's, the adjudicator's, or none yet.


@dataclass(frozen=True, slots=True)
class Label:
    """What a hip is, and who says so."""

    kl: int | None
    reason: str
    """Why there is no grade."""
    by: Literal["one reader", "majority", "adjudication"]


def states_of(journals: Mapping[str, Sequence[Entry]]) -> dict[str, State]:
    """What each reader has made of a cohort."""
    return {reader: fold(entries) for reader, entries in journals.items()}


def labels(states: Mapping[str, State]) -> tuple[dict[Hip, Label], set[Hip]]:
    """The label of each graded hip, and the hips whose readers must be decided between.

    A grade (or that there is none) stands if more than half of the readers of the hip gave it.
    Where an adjudicator graded the hip, that decides; the last one to, by name, if there are more.
    """
    votes: dict[Hip, list[Graded]] = {}
    decided: dict[Hip, Graded] = {}
    for _, state in sorted(states.items()):
        for hip, grade in final_grades(state.grades).items():
            votes.setdefault(hip, []).append(grade)
        decided |= final_grades(state.decisions)
    found = {hip: Label(one.kl, one.reason, "adjudication") for hip, one in decided.items()}
    disputed = set()
    for hip, given in votes.items():
        if hip in found:
            continue
        label = _majority(given)
        if label is None:
            disputed.add(hip)
        else:
            found[hip] = label
    return found, disputed


def disputed_hips(states: Mapping[str, State]) -> set[Hip]:
    """Hips on which readers disagree without a majority, whether adjudicated since or not."""
    return labels({reader: replace(state, decisions={}) for reader, state in states.items()})[1]


def _majority(given: Sequence[Graded]) -> Label | None:
    kl, count = Counter(grade.kl for grade in given).most_common(1)[0]
    if 2 * count <= len(given):
        return None
    reasons = Counter(grade.reason for grade in given if grade.kl == kl)
    by: Literal["one reader", "majority"] = "one reader" if len(given) == 1 else "majority"
    return Label(kl, reasons.most_common(1)[0][0], by)

"""What a reader's actions come to: the state is a fold over the journal, and nothing else."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, NamedTuple

from rhoa.review.actions import (
    Boxed,
    BoxesAccepted,
    Graded,
    Judged,
    Posed,
    Started,
    Undone,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rhoa.hips import Box
    from rhoa.pose.sides import Side
    from rhoa.review.actions import Action
    from rhoa.review.journal import Entry


class Reading(NamedTuple):
    """One look at one hip."""

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


@dataclass(frozen=True, slots=True)
class State:
    """What a reader has made of a cohort."""

    grades: Mapping[Reading, Graded] = field(default_factory=dict)
    decisions: Mapping[Reading, Graded] = field(default_factory=dict)
    """Grades that were given as adjudicator."""
    cases: Mapping[str, CaseState] = field(default_factory=dict)
    started: Started | None = None
    """The last sitting."""

    def case(self, key: str) -> CaseState:
        """Of that case; as it was found where nothing was done."""
        return self.cases.get(key, CaseState())


def standing(entries: Sequence[Entry]) -> list[Entry]:
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
    cases: dict[str, CaseState] = {}
    started = None
    for entry in standing(entries):
        action = entry.action
        if isinstance(action, Started):
            started = action
        elif isinstance(action, Graded):
            decides = started is not None and started.adjudicates
            of = decisions if decides else grades
            of[Reading(action.case, action.side, action.reading)] = action
        elif not isinstance(action, Undone):
            cases[action.case] = _after(cases.get(action.case, CaseState()), action)
    return State(grades, decisions, cases, started)


def last_of(entries: Sequence[Entry], kind: str, case: str | None = None) -> Entry | None:
    """The last entry of a kind that still counts; of one case, where that is asked for."""
    return next(
        (
            entry
            for entry in reversed(standing(entries))
            if entry.action.kind == kind and case in (None, getattr(entry.action, "case", None))
        ),
        None,
    )


def final_grades(grades: Mapping[Reading, Graded]) -> dict[tuple[str, Side], Graded]:
    """The grade of each hip: of the first look; the second one only measures the reader."""
    return {(at.case, at.side): grade for at, grade in grades.items() if at.reading == 1}


def _after(state: CaseState, action: Action) -> CaseState:
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

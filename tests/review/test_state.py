"""The state of a review is a fold over its journal; what was undone never was."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from rhoa.hips import Box
from rhoa.review.events import (
    Boxed,
    BoxesAccepted,
    CaseState,
    Entry,
    Graded,
    Judged,
    Posed,
    Reading,
    Started,
    Undone,
    fold,
    last_of,
)
from tests.review.actions import DONE, KEYS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rhoa.review.events import Action

A = KEYS[0]


def entries(*actions: Action) -> list[Entry]:
    return [Entry(number, "", action) for number, action in enumerate(actions, 1)]


@given(st.lists(DONE, max_size=12), st.data())
def test_undoing_an_action_is_as_if_it_never_was(
    actions: Sequence[Action], data: st.DataObject
) -> None:
    if not actions:
        return
    line = data.draw(st.integers(1, len(actions)))
    without = [action for number, action in enumerate(actions, 1) if number != line]

    assert fold(entries(*actions, Undone(line))) == fold(entries(*without))


@given(st.lists(DONE, max_size=12))
def test_undoing_everything_leads_back_to_the_beginning(actions: Sequence[Action]) -> None:
    every = entries(*actions)
    for kind in ("grade", "boxes", "pose"):
        while (last := last_of(every, kind)) is not None:
            every.append(Entry(len(every) + 1, "", Undone(last.number)))

    assert fold(every).grades == {}
    assert fold(every).cases == {}


def test_the_last_grade_of_a_hip_counts() -> None:
    first, second = Graded(A, "left", 1, kl=0), Graded(A, "left", 1, kl=3)

    assert fold(entries(first, second)).grades == {Reading(A, "left", 1): second}


def test_grades_of_an_adjudicator_are_kept_apart() -> None:
    own, decided = Graded(A, "left", 1, kl=0), Graded(A, "left", 1, kl=3)
    state = fold(entries(Started(1, 0.0), own, Started(1, 0.0, adjudicates=True), decided))

    assert state.grades == {Reading(A, "left", 1): own}
    assert state.decisions == {Reading(A, "left", 1): decided}


def test_another_pose_voids_boxes_and_verdict() -> None:
    moved = Posed(A, None, (0.0, 90.0))
    before = (Boxed(A, "left", (0, 0, 9, 9)), BoxesAccepted(A), Judged(A, "accepted"))

    assert fold(entries(*before, moved)).case(A) == CaseState(pose=moved)


def test_another_box_asks_for_acceptance_again() -> None:
    state = fold(entries(BoxesAccepted(A), Boxed(A, "left", (0, 0, 9, 9)))).case(A)

    assert not state.boxes_accepted
    assert state.boxes == {"left": Box("left", 0, 0, 9, 9)}


def test_undo_takes_the_last_of_its_kind_and_case() -> None:
    done = entries(Graded(A, "left", 1, kl=0), BoxesAccepted(A), BoxesAccepted(KEYS[1]))

    assert last_of(done, "grade") == done[0]
    assert last_of(done, "boxes") == done[2]
    assert last_of(done, "boxes", A) == done[1]
    assert last_of(done, "pose") is None

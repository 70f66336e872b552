"""One label from several readers: the majority's, the adjudicator's, or none yet."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from rhoa.review.state import final_grades, fold

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rhoa.pose.sides import Side
    from rhoa.review.actions import Graded
    from rhoa.review.journal import Entry
    from rhoa.review.state import State

    Hip = tuple[str, Side]


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

"""Readers against each other, and each against themselves: every figure of their agreement."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from rhoa.pose import from_landmarks
from rhoa.review.actions import GRADES
from rhoa.review.agreement import (
    WEIGHTINGS,
    bland_altman,
    kappa,
    mean,
    specific_agreement,
)
from rhoa.review.pictures import Pictures
from rhoa.review.state import final_grades

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from rhoa.evaluation import Estimate
    from rhoa.pose.sides import Side
    from rhoa.review.actions import Graded
    from rhoa.review.cases import Case, Cohort
    from rhoa.review.state import State

ANGLES = ("tilt", "obliquity", "rotation")
AXES = ("left", "posterior", "superior")


class Figure(NamedTuple):
    """One figure of the agreement of two readers, or of two readings of one."""

    readers: tuple[str, str]
    measure: str
    estimate: Estimate
    read: int
    """Of hips, cases or landmarks."""
    subjects: int

    @property
    def kind(self) -> Literal["intra-reader", "inter-reader"]:
        """Whether one reader is compared with themself."""
        return "intra-reader" if self.readers[0] == self.readers[1] else "inter-reader"

    def as_dict(self) -> dict[str, object]:
        """Plain types, for JSON; None where a figure is not defined."""
        numbers = {
            name: round(value, 4) if np.isfinite(value) else None
            for name, value in self.estimate._asdict().items()
        }
        return {
            "readers": list(dict.fromkeys(self.readers)),
            "kind": self.kind,
            "measure": self.measure,
            **numbers,
            "count": self.read,
            "subjects": self.subjects,
        }


@dataclass(frozen=True, slots=True)
class _Pair:
    """Two readings and whose they are."""

    readers: tuple[str, str]
    subjects: Sequence[str]
    """Of each thing that was read twice."""

    def figure(self, measure: str, estimate: Estimate) -> Figure:
        return Figure(self.readers, measure, estimate, len(self.subjects), len(set(self.subjects)))


def agreement_of(cohort: Cohort, states: Mapping[str, State]) -> list[Figure]:
    """Every figure of the agreement of a cohort's readers.

    Grades: Cohen's kappa without and with weights, of KL and of rHOA (KL of 2 and more), share of
    equal grades, agreement on each grade, agreement on which hips can be graded; between each two
    readers, and between both readings of one. Between readers also landmarks and angles of poses
    that both accepted, and boxes that both accepted on the same image.
    """
    cases = {case.key: case for case in cohort}
    figures: list[Figure] = []
    for reader, state in sorted(states.items()):
        again = {(at.case, at.side): grade for at, grade in state.grades.items() if at.reading == 2}
        figures += _of_grades((reader, reader), final_grades(state.grades), again, cases)
    pictures = Pictures(cohort.journals)
    for one, other in combinations(sorted(states), 2):
        pair, both = (one, other), (states[one], states[other])
        figures += _of_grades(
            pair, final_grades(both[0].grades), final_grades(both[1].grades), cases
        )
        figures += _of_poses(pair, both, cohort, pictures)
        figures += _of_boxes(pair, both, cohort, pictures)
    return figures


def subject_of(case: Case) -> str:
    """Whose case it is: by the manifest; in a folder every case is a subject of its own."""
    return next((hip.subject for hip in case.hips.values()), case.name)


def _of_grades(
    readers: tuple[str, str],
    first: Mapping[tuple[str, Side], Graded],
    second: Mapping[tuple[str, Side], Graded],
    cases: Mapping[str, Case],
) -> Iterator[Figure]:
    shared = sorted(hip for hip in first if hip in second and hip[0] in cases)
    if not shared:
        return
    subjects = {hip: subject_of(cases[hip[0]]) for hip in shared}
    every = _Pair(readers, [subjects[hip] for hip in shared])
    can = [(first[hip].kl is None) == (second[hip].kl is None) for hip in shared]
    yield every.figure("gradable, equal", mean(np.array(can, float), groups=every.subjects))
    graded = [hip for hip in shared if None not in (first[hip].kl, second[hip].kl)]
    if not graded:
        return
    one, other = (np.array([of[hip].kl for hip in graded]) for of in (first, second))
    pair = _Pair(readers, [subjects[hip] for hip in graded])
    groups = pair.subjects
    yield pair.figure("KL, equal", mean((one == other).astype(float), groups=groups))
    for weighting in WEIGHTINGS:
        name = "KL, kappa" + ("" if weighting == "none" else f" ({weighting})")
        yield pair.figure(name, kappa(one, other, groups=groups, weighting=weighting))
    ill = ([int(kl >= 2) for kl in one], [int(kl >= 2) for kl in other])
    yield pair.figure("rHOA, kappa", kappa(*ill, groups=groups, categories=2))
    for grade in GRADES:
        if grade in one or grade in other:
            estimate = specific_agreement(one, other, groups=groups, category=grade)
            yield pair.figure(f"KL {grade}, specific agreement", estimate)


def _of_poses(
    readers: tuple[str, str], states: tuple[State, State], cohort: Cohort, pictures: Pictures
) -> Iterator[Figure]:
    shared = []
    for case in cohort:
        both = [state.case(case.key) for state in states]
        if all(one.verdict and one.verdict.verdict == "accepted" for one in both):
            first, second = (pictures.landmarks(case, one) for one in both)
            if first is not None and second is not None:
                shared.append((subject_of(case), first, second))
    if not shared:
        return
    pair = _Pair(readers, [subject for subject, _, _ in shared])
    apart = np.array([second.as_array() - first.as_array() for _, first, second in shared])
    angles = [
        np.subtract(from_landmarks(second).angles, from_landmarks(first).angles)
        for _, first, second in shared
    ]
    for name, values in zip(ANGLES, np.array(angles).T, strict=True):
        yield from _limits(pair, f"{name}, deg", values)
    points = _Pair(readers, [subject for subject in pair.subjects for _ in range(4)])
    flat = apart.reshape(-1, 3)
    distance = mean(np.linalg.norm(flat, axis=1), groups=points.subjects)
    yield points.figure("landmarks, mean distance, mm", distance)
    for name, values in zip(AXES, flat.T, strict=True):
        yield from _limits(points, f"landmarks to the {name}, mm", values)


def _limits(pair: _Pair, name: str, values: np.ndarray) -> Iterator[Figure]:
    found = bland_altman(values, groups=pair.subjects)
    for what, estimate in zip(("bias", "lower limit", "upper limit"), found, strict=True):
        yield pair.figure(f"{name}, {what}", estimate)


def _of_boxes(
    readers: tuple[str, str], states: tuple[State, State], cohort: Cohort, pictures: Pictures
) -> Iterator[Figure]:
    overlaps, subjects = [], []
    for case in cohort:
        one, other = (state.case(case.key) for state in states)
        if not (one.boxes_accepted and other.boxes_accepted and one.pose == other.pose):
            continue
        held = [pictures.boxes(case, state) for state in (one, other)]
        for side in sorted(set(held[0]) | set(held[1])):
            boxes = [of.get(side) for of in held]
            there = boxes[0] is not None and boxes[1] is not None
            overlaps.append(boxes[0].iou(boxes[1]) if there else 0.0)  # type: ignore[union-attr,arg-type]  # both are there
            subjects.append(subject_of(case))
    if overlaps:
        pair = _Pair(readers, subjects)
        yield pair.figure("boxes, mean IoU", mean(np.array(overlaps), groups=subjects))

"""One reader at work on one cohort: what the page asks, and what it may do."""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from rhoa._types import SIDES
from rhoa.errors import ReviewError
from rhoa.pose import from_landmarks
from rhoa.radiograph import UNKNOWN_SIZE
from rhoa.review.events import (
    FEATURES,
    KINDS,
    REASONS,
    Boxed,
    BoxesAccepted,
    Graded,
    Journal,
    Judged,
    Noted,
    Posed,
    Reading,
    Started,
    State,
    Undone,
    as_action,
    disputed_hips,
    fold,
    journals_in,
    last_of,
    reading_order,
    states_of,
)
from rhoa.review.images import Pictures, from_shown, to_shown

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from rhoa._types import Side
    from rhoa.radiograph import Radiograph
    from rhoa.review.cohort import Cohort, ReviewCase
    from rhoa.review.events import Entry

SEED, REPEAT = 2020, 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Sitting:
    """How a reader sits down to a cohort; None: as the last time, at first the defaults."""

    reader: str
    seed: int | None = None
    """Of the order of hips (2020)."""
    repeat: float | None = None
    """Share of the hips that are shown twice (0.1)."""
    blinded: bool = True
    """Whether other readers' grades are hidden."""
    adjudicates: bool = False
    """Whether only hips that readers disagree on are graded, and these grades decide."""
    training: bool = False
    """Whether hips of known grade are graded to learn: each grade is answered by the known one."""
    predictions: Mapping[tuple[str, Side], float] | None = None
    """A model's probabilities by name of the case and side; shown to a reader who is not blinded.
    """
    cache: Path | None = None
    """A folder for decoded volumes, as `rhoa.read_ct` takes it."""


class Session:
    """A reader's sitting: state, order and pictures. Every change is on the disk first.

    Raises
    ------
    ReviewError
        If the journal is open elsewhere or damaged, or there is nothing to adjudicate.
    """

    def __init__(self, cohort: Cohort, sitting: Sitting) -> None:
        if sitting.predictions is not None and sitting.blinded:
            raise ReviewError("predictions are shown to a reader who is not blinded alone.")
        assigned = cohort.assignment
        self.cases: tuple[ReviewCase, ...] = cohort.cases
        if assigned is not None and not sitting.adjudicates:
            mine = {key for key, readers in assigned.items() if sitting.reader in readers}
            self.cases = tuple(case for case in cohort if case.key in mine)
            if not self.cases:
                readers = sorted({name for of in assigned.values() for name in of})
                raise ReviewError(
                    f"no case is assigned to {sitting.reader}; readers are {', '.join(readers)}."
                )
        self.cohort, self.blinded, self.reader = cohort, sitting.blinded, sitting.reader
        self.predictions = sitting.predictions or {}
        self.pictures = Pictures(cohort.journals, cache=sitting.cache)
        self._lock = threading.RLock()
        self._journal = Journal(cohort.journals, sitting.reader)
        self._state = fold(self._journal.entries)
        before = self._state.started or Started(SEED, REPEAT)
        self.started = Started(
            before.seed if sitting.seed is None else sitting.seed,
            before.repeat if sitting.repeat is None else sitting.repeat,
            sitting.adjudicates,
            sitting.training,
        )
        if self.started != self._state.started:
            self._append(self.started)
        self.disputed = self._disputed()
        if sitting.adjudicates and not self.disputed:
            self._journal.close()
            raise ReviewError("readers agree on every hip: there is nothing to adjudicate.")
        if sitting.training and not self.order():
            self._journal.close()
            raise ReviewError(
                "no hip has a known KL grade: a training needs a manifest with the column kl."
            )

    def close(self) -> None:
        """Let other processes open the journal."""
        self._journal.close()

    @property
    def state(self) -> State:
        """What the reader has made of the cohort so far."""
        return self._state

    def snapshot(self) -> dict[str, Any]:
        """All that the page shows at first."""
        with self._lock:
            self.disputed = self._disputed()
            return {
                "reader": self.reader,
                "blinded": self.blinded,
                "adjudicates": self.started.adjudicates,
                "training": self.started.training,
                "reasons": REASONS,
                "features": FEATURES,
                "cases": [self.summary(case) for case in self.cases],
                "order": [reading._asdict() | self._grade(reading) for reading in self.order()],
            }

    def order(self) -> list[Reading]:
        """The readings that are due, in the reader's order: of the hips that can be graded."""
        every = [
            (case.key, side)
            for case in self.cases
            for side in case.hips or SIDES
            if not self.started.training or _known_grade(case, side) is not None
        ]
        shown = reading_order(
            every, reader=self.reader, seed=self.started.seed, repeat=self.started.repeat
        )
        gradable = {
            case.key: self.pictures.sides(case, self._state.case(case.key)) for case in self.cases
        }
        return [
            reading
            for reading in shown
            if reading.side in gradable[reading.case]
            and (
                not self.started.adjudicates
                or (reading.reading == 1 and reading[:2] in self.disputed)
            )
        ]

    def summary(self, case: ReviewCase) -> dict[str, Any]:
        """A line about a case, without anything that identifies its subject."""
        state = self._state.case(case.key)
        landmarks = self.pictures.landmarks(case, state)
        alignment = None if landmarks is None else from_landmarks(landmarks)
        moved = state.pose is not None and state.pose.landmarks is not None
        flags = case.found.flags if not moved or alignment is None else tuple(alignment.flags)
        return {
            "key": case.key,
            "number": case.number,
            "source": case.source,
            "has_image": case.image is not None,
            "movable": case.scan is not None,
            "flagged": case.flagged and state.verdict is None,
            "flags": sorted(flags),
            "hip_flags": dict(case.found.hip_flags),
            "refused": {
                side: why.reasons for side, why in self.pictures.refused(case, state).items()
            },
            "used": case.found.used or moved,
            "moved": moved,
            "angles": None if alignment is None else alignment.angles._asdict(),
            "verdict": None if state.verdict is None else state.verdict.verdict,
            "reason": "" if state.verdict is None else state.verdict.reason,
            "boxes_accepted": state.boxes_accepted,
            "boxes_changed": bool(state.boxes),
            "grades": {
                side: "x" if grade.kl is None else grade.kl
                for side in SIDES
                if (grade := self._own.get(Reading(case.key, side, 1))) is not None
            },
            "disagreement": any(key == case.key for key, _ in self.disputed),
        }

    def detail(self, case: ReviewCase) -> dict[str, Any]:
        """What is drawn over the image of a case, in its square pixels."""
        state = self._state.case(case.key)
        image = self.pictures.image(case, state)
        landmarks = self.pictures.landmarks(case, state)
        movable = landmarks is None and case.scan is not None
        return {
            **place_of(image),
            "landmarks": None if landmarks is None else landmarks.as_dict(),
            "suggested": self.pictures.some_landmarks(case).as_dict() if movable else None,
            "depth_mm": None if state.pose is None else state.pose.depth_mm,
            "boxes": {
                side: to_shown(box, image) for side, box in self.pictures.boxes(case, state).items()
            },
        }

    def act(self, action_fields: Mapping[str, Any]) -> dict[str, Any]:
        """Do what the page asks, once it is on the disk; the case afterwards.

        Raises
        ------
        ReviewError
            If the action makes no sense here.
        WriteError
            If it could not be written down.
        """
        action = as_action(dict(action_fields))
        if isinstance(action, Started | Undone):
            raise ReviewError(f"the page cannot {action.do}.")
        case = self.cohort.case(action.case)
        with self._lock:
            state = self._state.case(case.key)
            if isinstance(action, Graded | Noted) and action.side not in self.pictures.sides(
                case, state
            ):
                why = self.pictures.refused(case, state).get(action.side)
                reason = "" if why is None else f" ({why.reasons}); draw its box to take it in"
                raise ReviewError(f"case {case.number} has no {action.side} hip to grade{reason}.")
            if isinstance(action, Boxed) and action.box is not None:
                box = from_shown(action.side, action.box, self.pictures.image(case, state))
                action = replace(action, box=(box.top, box.left, box.bottom, box.right))
            if isinstance(action, BoxesAccepted | Judged) and case.image is None:
                raise ReviewError(f"case {case.number} has crops alone.")
            if isinstance(action, Posed):
                if case.scan is None:
                    raise ReviewError(
                        f"the CT of case {case.number} is not known; start rhoa review with "
                        "--scans."
                    )
                if action.landmarks is not None or action.depth_mm is not None:
                    self.pictures.preview(case, action)  # without an image nothing can be shown
            self._append(action)
            done: dict[str, Any] = {"case": self.summary(case)}
            if isinstance(action, Graded) and self.started.training:
                done["known_kl"] = _known_grade(case, action.side)
            return done

    def undo(self, kind: object, key: object = None) -> dict[str, Any]:
        """Take back the last action of a kind, of one case where that is asked for.

        Raises
        ------
        ReviewError
            If there is none.
        """
        if kind not in KINDS:
            raise ReviewError(f"what is undone must be one of {', '.join(KINDS)}.")
        with self._lock:
            case = None if key is None else self.cohort.case(str(key)).key
            last = last_of(self._journal.entries, str(kind), case)
            if last is None:
                raise ReviewError("there is nothing to undo.")
            self._append(Undone(last.number))
            action = last.action
            names = ("do", "case", "side", "reading")
            undone = {name: getattr(action, name, None) for name in names}
            try:
                summary = self.summary(self.cohort.case(str(undone["case"])))
            except ReviewError:  # the case has left the folder since
                summary = None
            return {"undone": undone, "case": summary}

    def _append(self, action: Any) -> Entry:  # noqa: ANN401  # any action
        entry = self._journal.append(action)
        self._state = fold(self._journal.entries)
        return entry

    @property
    def _own(self) -> Mapping[Reading, Graded]:
        """The grades that the reader gives in this sitting."""
        if self.started.training:
            return self._state.training
        return self._state.decisions if self.started.adjudicates else self._state.grades

    def _grade(self, reading: Reading) -> dict[str, Any]:
        """What is known of a reading: the reader's grade, notes and features; a prediction."""
        grade, noted = self._own.get(reading), self._state.notes.get(reading)
        case = self.cohort.case(reading.case)
        known: dict[str, Any] = {
            "graded": grade is not None,
            "kl": None if grade is None else grade.kl,
            "reason": "" if grade is None else grade.reason,
            "notes": "" if noted is None else noted.notes,
            "features": None if noted is None else noted.features,
            "prediction": self.predictions.get((case.name, reading.side)),
        }
        if self.started.training and grade is not None:
            known["known_kl"] = _known_grade(case, reading.side)
        return known

    def _disputed(self) -> set[tuple[str, Side]]:
        """Hips that readers disagree on; none for a blinded reader."""
        if self.blinded and not self.started.adjudicates:
            return set()
        return disputed_hips(states_of(journals_in(self.cohort.journals)))


def _known_grade(case: ReviewCase, side: Side) -> int | None:
    hip = case.hips.get(side)
    return None if hip is None else hip.kl


def place_of(image: Radiograph) -> dict[str, Any]:
    """Where the square pixels of an image lie in the patient: what the page needs to draw on it.

    A point p (patient LPS mm) lies at x, y, z = matrix (p - origin); its column is
    (x - origin_mm[0]) / pixel_mm + 0.5 and its row (origin_mm[1] - z) / pixel_mm + 0.5, in edges.
    """
    square = image.square()
    frame = square.frame
    return {
        "shape": square.shape,
        "pixel_mm": square.pixel_mm[0],
        "size_known": image.provenance.get("pixel_mm_from") != UNKNOWN_SIZE,
        "origin_mm": square.origin_mm,
        "posed": image.alignment is not None,
        "matrix": np.eye(3).tolist() if frame is None else frame.matrix.tolist(),
        "origin": [0.0, 0.0, 0.0] if frame is None else frame.origin.tolist(),
    }

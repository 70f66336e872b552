"""What readers made of a cohort, in files that the rest of rhoa reads; their agreement."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from rhoa._types import SIDES
from rhoa.cohort import Hip, Manifest
from rhoa.cohort.manifest import label_of, sha256_of
from rhoa.errors import ReviewError, RhoaError
from rhoa.evaluation.reader_agreement import FILE as AGREEMENT_FILE
from rhoa.evaluation.reader_agreement import (
    WEIGHTINGS,
    bland_altman,
    kappa,
    mean,
    proportion,
    specific_agreement,
)
from rhoa.files import atomic_write, csv_text, replacing
from rhoa.hips import Box, LabelledImage, write_coco
from rhoa.hips.bounding_boxes import model_crop
from rhoa.hips.crop_files import CROP_REFUSALS, rhoa_label, write_crop
from rhoa.pose import from_landmarks
from rhoa.raster import encode_png, picture_label, stretch
from rhoa.review.events import FEATURES, GRADES, CaseState, final_grades, labels
from rhoa.review.images import Pictures, to_shown
from rhoa.xray.reader import read_picture

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from rhoa._types import Side
    from rhoa.cohort.manifest import Exclusion
    from rhoa.evaluation import Estimate
    from rhoa.review.cohort import Cohort, ReviewCase
    from rhoa.review.events import Graded, Label, State


# Readers against each other, and each against themselves: every figure of their agreement.

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
    """Two readings and their readers."""

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


def subject_of(case: ReviewCase) -> str:
    """Whose case it is: by the manifest; in a folder every case is a subject of its own."""
    return next((hip.subject for hip in case.hips.values()), case.name)


def _of_grades(
    readers: tuple[str, str],
    first: Mapping[tuple[str, Side], Graded],
    second: Mapping[tuple[str, Side], Graded],
    cases: Mapping[str, ReviewCase],
) -> Iterator[Figure]:
    shared = sorted(hip for hip in first if hip in second and hip[0] in cases)
    if not shared:
        return
    subjects = {hip: subject_of(cases[hip[0]]) for hip in shared}
    every = _Pair(readers, [subjects[hip] for hip in shared])
    can = [(first[hip].kl is None) == (second[hip].kl is None) for hip in shared]
    yield every.figure("gradable, equal", proportion(can, groups=every.subjects))
    graded = [hip for hip in shared if None not in (first[hip].kl, second[hip].kl)]
    if not graded:
        return
    one, other = (np.array([of[hip].kl for hip in graded]) for of in (first, second))
    pair = _Pair(readers, [subjects[hip] for hip in graded])
    groups = pair.subjects
    yield pair.figure("KL, equal", proportion(one == other, groups=groups))
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
    distance = mean(np.linalg.norm(flat, axis=1), groups=points.subjects, least=0)
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
        yield pair.figure("boxes, mean IoU", mean(overlaps, groups=subjects, least=0, most=1))


# What readers made of a cohort, in the files that the rest of rhoa reads.

MANIFEST, BOXES, LANDMARKS = "manifest.csv", "boxes.coco.json", "landmarks"
DISPUTED = "adjudication.csv"
GRADES_FILE = "grades.csv"


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written."""

    folder: Path
    manifest: Manifest
    landmarks: int = 0
    boxes: int = 0
    disputed: int = 0
    """Hips without a label, because readers disagree."""
    rejected: int = 0
    """Cases whose pose a reader rejected: their hips are left out."""
    failed: Sequence[str] = field(default_factory=tuple)

    @property
    def lines(self) -> list[str]:
        """What was written, a line each."""
        graded = sum(hip.kl is not None for hip in self.manifest)
        lines = [
            f"wrote {self.folder / MANIFEST}: {len(self.manifest)} hips, {graded} of them graded",
            f"wrote {self.folder / BOXES}: {self.boxes} boxes",
            f"wrote {self.folder / LANDMARKS}: landmarks of {self.landmarks} cases",
        ]
        if self.rejected:
            lines.append(f"{self.rejected} cases were left out: their pose was rejected")
        if self.disputed:
            lines.append(
                f"{self.disputed} hips have no label, for readers disagree: {DISPUTED}; "
                "decide with --adjudicate"
            )
        return [*lines, *self.failed]


def export(cohort: Cohort, states: Mapping[str, State], out: Path) -> Exported:
    """Write what readers made of a cohort: manifest with crops, boxes, landmarks, agreement.

    Parameters
    ----------
    cohort
        What was reviewed.
    states
        Of the readers. Of several, grades are those of `rhoa.review.events.labels`; poses and
        boxes are those of the first reader, by name, who judged the case.
    out
        Folder for ``manifest.csv`` and ``crops/``, which `rhoa.cohort.read` reads;
        ``boxes.coco.json`` and ``images/``, which `rhoa.hips.read_coco` reads; a file for each case
        in ``landmarks/``, which `rhoa.Landmarks.from_json` reads; ``grades.csv`` with every grade,
        its features and notes; ``agreement.json`` and, where readers disagree,
        ``adjudication.csv``.

    Raises
    ------
    ReviewError
        If there is no hip to export.
    """
    for folder in ("crops", "images", LANDMARKS):
        (out / folder).mkdir(parents=True, exist_ok=True)
    pictures = Pictures(cohort.journals)
    found, disputed = labels(states)
    hips: list[Hip] = []
    labelled: list[LabelledImage] = []
    failed: list[str] = []
    posed = rejected = 0
    for case in cohort:
        state = _chosen(case, states)
        if state.verdict is not None and state.verdict.verdict == "rejected":
            rejected += 1
            continue
        try:
            hips += _hips(case, state, pictures, found, out)
            labelled += _labelled(case, state, pictures, out)
            posed += _write_landmarks(case, state, pictures, out)
        except RhoaError as error:
            failed.append(f"case {case.number} was left out: {error}")
    if not hips:
        raise ReviewError("no case has a hip that could be exported; draw boxes first.")
    manifest = Manifest(tuple(hips))
    with replacing(out / MANIFEST) as partial:
        manifest.write(partial)
    with replacing(out / BOXES) as partial:
        write_coco(labelled, partial)
    _write_grades(cohort, states, out)
    figures = [figure.as_dict() for figure in agreement_of(cohort, states)]
    agreement = {"readers": len(states), "figures": figures}
    atomic_write(out / AGREEMENT_FILE, json.dumps(agreement, indent=1, allow_nan=False) + "\n")
    _write_disputed(cohort, disputed, states, out)
    boxes = sum(len(one.boxes) for one in labelled)
    return Exported(out, manifest, posed, boxes, len(disputed), rejected, failed)


def _chosen(case: ReviewCase, states: Mapping[str, State]) -> CaseState:
    """What the first reader who judged a case, or changed something in it, made of it."""
    made = [state.case(case.key) for _, state in sorted(states.items())]
    judged = [one for one in made if one.verdict is not None or one.boxes_accepted]
    touched = [one for one in made if one != CaseState()]
    return next(iter(judged or touched), CaseState())


def _hips(
    case: ReviewCase,
    state: CaseState,
    pictures: Pictures,
    found: Mapping[tuple[str, Side], Label],
    out: Path,
) -> list[Hip]:
    hips = []

    def row_of(side: Side) -> Hip:
        return case.hips.get(side) or Hip(
            out, subject_of(case), side, case.source, None, "", label=None
        )

    for side in pictures.sides(case, state):
        label = found.get((case.key, side))
        file = out / "crops" / f"{file_name(case)}_{side}.png"
        _write_crop(file, case, side, state, pictures)
        row = replace(row_of(side), image=file, sha256=sha256_of(file), refused="")
        if label is not None and label.kl is not None:
            row = replace(row, kl=label.kl, label=label_of(label.kl), exclusion=None)
        elif label is not None:
            exclusion: Exclusion = "prosthesis" if label.reason == "prosthesis" else "quality"
            row = replace(row, kl=None, label=None, exclusion=exclusion)
        hips.append(row)
    for side, why in pictures.refused(case, state).items():
        row = replace(row_of(side), label=None, exclusion=why.exclusion, refused=why.reasons)
        hips.append(replace(row, image=None, sha256=None))
    return hips


def _write_crop(
    file: Path, case: ReviewCase, side: Side, state: CaseState, pictures: Pictures
) -> None:
    """The crop as `rhoa.cohort.build` makes it; a manifest's own where nothing was changed."""
    if case.image is None or (side in case.hips and state.untouched(side)):
        levels = stretch(pictures.hip(case, side, state), ends=(0, 255)).astype(np.uint8)
        label = rhoa_label(read_picture(case.hips[side].crop, CROP_REFUSALS).text)
        atomic_write(file, encode_png(levels, text=label))
        return
    image, box = pictures.image(case, state), pictures.boxes(case, state)[side]
    pixels = model_crop(image, box, source=case.source)
    write_crop(file, pixels, box, image, source=case.source)


def _labelled(
    case: ReviewCase, state: CaseState, pictures: Pictures, out: Path
) -> list[LabelledImage]:
    """The image as a picture with square pixels, and its boxes in them."""
    if case.image is None:
        return []
    image = pictures.image(case, state)
    square = image.square()
    boxes = [Box(side, *to_shown(box, image)) for side, box in pictures.boxes(case, state).items()]
    file = out / "images" / f"{file_name(case)}.png"
    grey = square.to_uint8()
    atomic_write(file, encode_png(grey, pixel_mm=square.pixel_mm[0], text=picture_label("picture")))
    return [LabelledImage(file, tuple(boxes), square.shape)]


def _write_landmarks(case: ReviewCase, state: CaseState, pictures: Pictures, out: Path) -> int:
    """Landmarks that were used or accepted."""
    landmarks = pictures.landmarks(case, state)
    if landmarks is None or not (case.found.used or state.verdict or state.pose):
        return 0
    with replacing(out / LANDMARKS / f"{file_name(case)}.json") as partial:
        landmarks.to_json(partial)
    return 1


def _write_grades(cohort: Cohort, states: Mapping[str, State], out: Path) -> None:
    """Every grade, note and feature of every reader, repeated readings too, as it was given."""
    cases = {case.key: case for case in cohort}
    rows: list[list[object]] = []
    for reader, state in sorted(states.items()):
        known = [at for at in {**state.grades, **state.notes} if at.case in cases]
        for at in sorted(known, key=lambda at: (cases[at.case].number, at.side, at.reading)):
            grade, noted = state.grades.get(at), state.notes.get(at)
            given = [None, "", None] if grade is None else [grade.kl, grade.reason, grade.seconds]
            features = (noted.features if noted else None) or {}
            scores = [features.get(name) for name in FEATURES]
            notes = noted.notes if noted else ""
            hip = _hip_cells(cases[at.case], at.side)
            rows.append([*hip, reader, at.reading, *given, *scores, notes])
    atomic_write(out / GRADES_FILE, csv_text(_GRADE_COLUMNS, rows))


_HIP_COLUMNS = ("subject", "side", "source", "visit", "case")
"""What joins a table of readers with manifests and predictions; ``case`` is the page's number."""
_GIVEN_COLUMNS = ("reader", "reading", "kl", "reason", "seconds")
_GRADE_COLUMNS = (*_HIP_COLUMNS, *_GIVEN_COLUMNS, *FEATURES, "notes")


def _hip_cells(case: ReviewCase, side: Side) -> list[object]:
    listed = case.hips.get(side) or next(iter(case.hips.values()), None)
    visit = "" if listed is None else listed.visit
    return [subject_of(case), side, case.source, visit, case.number]


def _write_disputed(
    cohort: Cohort,
    disputed: set[tuple[str, Side]],
    states: Mapping[str, State],
    out: Path,
) -> None:
    file = out / DISPUTED
    if not disputed:
        file.unlink(missing_ok=True)
        return
    cases = {case.key: case for case in cohort}
    known = [hip for hip in disputed if hip[0] in cases]
    rows: list[list[object]] = []
    for key, side in sorted(known, key=lambda hip: (cases[hip[0]].number, SIDES.index(hip[1]))):
        given = [
            "x" if grade.kl is None else str(grade.kl)
            for _, state in sorted(states.items())
            for at, grade in state.grades.items()
            if at == (key, side, 1)
        ]
        rows.append([*_hip_cells(cases[key], side), " ".join(given)])
    atomic_write(file, csv_text([*_HIP_COLUMNS, "grades"], rows))


def file_name(case: ReviewCase) -> str:
    """A file name of a case: its own, where a file system takes it and no other case has it."""
    safe = re.sub(r"[^A-Za-z0-9_.-]+", "-", case.name).strip(".-")
    return safe if safe == case.name else f"{safe or 'case'}-{case.key[:8]}"

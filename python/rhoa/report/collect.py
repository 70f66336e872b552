"""The numbers of a study: its runs read back and measured, readers beside them, comparisons."""

from __future__ import annotations

import json
import math
import statistics
import warnings
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rhoa.cohort.manifest import describing, plain_row, sha256_of
from rhoa.cohort.partition import PARTITIONS
from rhoa.errors import ManifestError, MissingFileError, ParameterError, RhoaWarning
from rhoa.evaluation.calibration import fit_recalibration, fit_temperature
from rhoa.evaluation.comparison import compare, holm
from rhoa.evaluation.decision_curves import choose_threshold
from rhoa.evaluation.metrics import (
    NOT_STATED,
    Baseline,
    CrossValidation,
    Evaluation,
    evaluate,
    evaluate_by,
    evaluate_folds,
    finite,
)
from rhoa.evaluation.reader_agreement import kappa
from rhoa.hips.crop_files import crop_label
from rhoa.learning.recipe import RESNET18
from rhoa.tables import open_table, plain_name, read_rows

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from os import PathLike

    from numpy.typing import NDArray

    from rhoa.cohort import Hip, Manifest
    from rhoa.evaluation.intervals import Estimate

    HipKey = tuple[str, str, str, str]


# The numbers of a study: its hips counted, its models read back and measured on them.

SOURCES = ("xray", "ct")  # in the order of the paper's tables
CLASSES = ("rHOA", "no-rHOA")
FIGURES = (
    "accuracy",
    "balanced_accuracy",
    "precision",
    "recall",
    "specificity",
    "f1",
    "pr_auc",
    "roc_auc",
    "brier",
    "ece",
)
AREAS = ("roc_auc", "pr_auc")
CALIBRATION = ("calibration_slope", "calibration_intercept", "oe_ratio", "calibration_error")
SAME_ANSWER = ("accuracy", "balanced_accuracy", "precision", "recall", "f1", "pr_auc", "roc_auc")
"""Figures of who gives every hip the same answer."""
NO_DRAWS = 1
"""Resamples where no ECE is reported: nothing else is drawn, and draws take most of the time."""
HISTORY = ("iteration", "train_loss", "train_accuracy", "val_loss", "val_accuracy", "epoch")
PREDICTIONS = ("subject", "side", "source", "visit", "label", "partition", "score")
FOLD, FOLD_THRESHOLD = "fold", "fold_threshold"
"""Columns of predictions of a cross-validation: the fold a hip was tested in, and the threshold
chosen on that fold's validation hips."""


@dataclass(frozen=True, slots=True, eq=False)
class Scores:
    """What one model says of the hips of one source and partition."""

    hips: Sequence[Hip]
    truth: NDArray[np.int_]
    score: NDArray[np.float64]
    groups: NDArray[np.intp]
    """Subject of each hip, as whole numbers 0, 1, ... without gaps."""
    evaluation: Evaluation
    folds: CrossValidation | None = None
    """Of a cross-validation, whose hips are all test."""

    @property
    def has_both_classes(self) -> bool:
        """Whether there are hips with rHOA and hips without."""
        return 0 < int(self.truth.sum()) < self.truth.size


@dataclass(frozen=True, slots=True, eq=False)
class Run:
    """A trained model: its recipe, its history, its scores by (source, partition)."""

    name: str
    recipe: Mapping[str, Any]
    history: Mapping[str, NDArray[np.float64]]
    sets: Mapping[tuple[str, str], Scores]
    record: Mapping[str, Any]
    """What ``run.json`` says: seed, device, versions, hashes; empty where there is none."""
    card: Mapping[str, Any]
    """What ``model.json`` says; empty where there is none."""


def read_runs(folders: Iterable[str | PathLike[str]], hips: Sequence[Hip]) -> list[Run]:
    """The runs of ``folders``, measured on ``hips``, which are all labelled and have partitions.

    Raises
    ------
    MissingFileError
        If a folder lacks a file.
    ManifestError
        If a file cannot be read, or predictions are of other hips, labels or partitions.
    """
    paths = [Path(folder) for folder in folders]
    recipes = [_read_recipe(path) for path in paths]
    names = [str(recipe["name"]) for recipe in recipes]
    unique = [
        name if names.count(name) == 1 else f"{name} ({path.name})"
        for name, path in zip(names, paths, strict=True)
    ]
    return [
        Run(
            name[:1].upper() + name[1:],
            recipe,
            _read_history(path),
            _read_sets(path, hips),
            _read_json(path / "run.json"),
            _read_json(path / "model.json"),
        )
        for path, recipe, name in zip(paths, recipes, unique, strict=True)
    ]


def _read_recipe(folder: Path) -> dict[str, Any]:
    path = file_of_run(folder, "recipe.json")
    recipe = _read_json(path)
    if not {"name", "sources"} <= recipe.keys():
        raise ManifestError(f"{_where(path)}: no recipe; pass folders written by rhoa.train.")
    return recipe


def _read_json(path: Path) -> dict[str, Any]:
    """The object of a JSON file; empty where there is no file, or no object in it."""
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ManifestError(f"{_where(path)}: not a JSON file ({error}).") from None
    return content if isinstance(content, dict) else {}


def _read_history(folder: Path) -> dict[str, NDArray[np.float64]]:
    path = folder / "history.csv"
    rows = _read_csv(path, HISTORY)
    try:
        return {
            name: np.array([float(row[name] or "nan") for row in rows], np.float64)
            for name in HISTORY
        }
    except ValueError as error:
        raise ManifestError(f"{_where(path)}: not a table of numbers ({error}).") from None


def _read_sets(folder: Path, hips: Sequence[Hip]) -> dict[tuple[str, str], Scores]:
    """Scores by (source, partition), in the manifest's order of hips."""
    path = file_of_run(folder, "predictions.csv")
    sealed = _read_json(folder / "run.json").get("files_sha256")
    if isinstance(sealed, dict) and sealed.get(path.name) not in {None, sha256_of(path)}:
        raise ManifestError(
            f"{_where(path)}: is not the file that the training wrote (sha256 differs); restore "
            "it, or train again."
        )
    said, folds = _read_predictions(path), _read_folds(path)
    known = {_key(hip): hip for hip in hips}
    strange = sum(
        key not in known or (str(known[key].label), known[key].partition) != (label, partition)
        for key, (label, partition, _) in said.items()
    )
    if strange:
        raise ManifestError(
            f"{_where(path)}: {strange} of {len(said)} hips are absent from the manifest, or have "
            "another label or partition there; report runs with the manifest they were trained on."
        )
    sets: dict[tuple[str, str], Scores] = {}
    for source, partition in sorted(
        {(key[2], partition) for key, (_, partition, _) in said.items()}
    ):
        expected = [hip for hip in hips if (hip.source, hip.partition) == (source, partition)]
        present = [hip for hip in expected if _key(hip) in said]
        if len(present) < len(expected):
            raise ManifestError(
                f"{_where(path)}: holds {len(present)} of the {len(expected)} {source} hips of "
                f"partition {partition}; train again on this manifest."
            )
        truth = np.array([hip.label for hip in present], int)
        score = np.array([said[_key(hip)][2] for hip in present], np.float64)
        groups = np.unique([hip.subject for hip in present], return_inverse=True)[1]
        measured = evaluate(truth, score, groups=groups)
        marks = [folds[_key(hip)] for hip in present if _key(hip) in folds]
        folded = None
        if len(marks) == len(present) and len({fold for fold, _ in marks}) > 1:
            names, cutoffs = zip(*marks, strict=True)
            folded = evaluate_folds(truth, score, names, groups=groups, thresholds=cutoffs)
        sets[source, partition] = Scores(present, truth, score, groups, measured, folded)
    return sets


def _read_predictions(path: Path) -> dict[HipKey, tuple[str, str, float]]:
    """(label, partition, score) by hip; unlabelled hips and those of training are left out."""
    rows = [
        row
        for row in _read_csv(path, PREDICTIONS)
        if row["label"] and row["partition"] != PARTITIONS[0]
    ]
    said = {}
    for number, row in enumerate(rows, start=1):
        try:
            score = float(row["score"])
        except ValueError:
            raise ManifestError(f"{_where(path)}: labelled hip {number} has no score.") from None
        key = (row["subject"], row["side"], row["source"], row["visit"])
        said[key] = (row["label"], row["partition"], score)
    if len(said) < len(rows):
        raise ManifestError(f"{_where(path)}: {len(rows) - len(said)} hips are listed twice.")
    return said


def _read_folds(path: Path) -> dict[HipKey, tuple[int, float]]:
    """Fold and threshold by hip, where the scores of a cross-validation were put together."""
    try:
        return {
            (row["subject"], row["side"], row["source"], row["visit"]): (
                int(row[FOLD]),
                float(row[FOLD_THRESHOLD] or "nan"),
            )
            for row in _read_csv(path, PREDICTIONS)
            if row.get(FOLD) and FOLD_THRESHOLD in row
        }
    except ValueError as error:
        raise ManifestError(f"{_where(path)}: a fold is no whole number ({error}).") from None


def _key(hip: Hip) -> HipKey:
    return hip.subject, hip.side, hip.source, hip.visit


def _read_csv(path: Path, columns: Sequence[str]) -> list[dict[str, str]]:
    try:
        return [row for _, row in read_rows(file_of_run(path.parent, path.name), columns)]
    except ManifestError as error:
        raise ManifestError(f"{path.parent.name}/{error}") from None


def file_of_run(folder: Path, name: str) -> Path:
    """A file that every folder of a finished run has.

    Raises
    ------
    MissingFileError
        If there is none; the message names runs in the folder, where it holds some.
    """
    path = folder / name
    if not path.is_file():
        runs = [*folder.glob(f"*/{name}"), *folder.glob(f"*/*/{name}")]
        inside = sorted(run.parent.relative_to(folder.parent).as_posix() for run in runs)
        found = f"no {name} in it" if folder.is_dir() else "no such folder"
        such = f", such as {inside[0]}" if inside else ""
        raise MissingFileError(f"{folder.name}: {found}; pass folders written by rhoa.train{such}.")
    return path


def _where(path: Path) -> str:
    return f"{path.parent.name}/{path.name}"


def numbers(
    manifest: Manifest,
    runs: Sequence[Run],
    *,
    by: Sequence[str] = (),
    readers: Path | None = None,
) -> dict[str, Any]:
    """Every number of the tables, for ``metrics.json``: plain types, None where undefined."""
    hips = manifest.labelled.hips
    subjects = {"start": len({hip.subject for hip in manifest})}
    subjects["left"] = len({hip.subject for hip in hips})
    partitions = len({hip.partition for hip in hips})
    return {
        "cohort": _cohort(hips) | {"excluded": dict(manifest.excluded)},
        "models": [_model(run, hips) for run in runs],
        "cross_validation": [
            _cross_validation(run, source, scores.folds)
            for run, source, scores in _on_test_sets(runs)
            if scores.folds is not None
        ],
        "baselines": {
            source: {
                partition: _baseline(_members(hips, [source], [partition]))
                for partition in PARTITIONS
            }
            for source in SOURCES
        },
        "claims": claims(manifest),
        "participants": participants(hips),
        "flow": manifest.flow().as_dict() | {"subjects": subjects, "partitions": partitions},
        "grades": grades(runs),
        "subgroups": subgroups(manifest, runs, by),
        "readers": {"rows": [], "notes": []} if readers is None else beside_readers(runs, readers),
        "findings": {source: comparisons_and_calibration(runs, source) for source in SOURCES},
    }


def claims(manifest: Manifest) -> dict[str, str]:
    """What can be said of the crops and the labels of a manifest, in words, from itself alone."""
    hips = manifest.labelled.hips
    by_rhoa = [label for hip in hips if (label := crop_label(hip.crop))]
    if len(by_rhoa) == len(hips):
        crops = "crops that rhoa made, right hips mirrored"
    elif by_rhoa:
        crops = (
            f"{len(by_rhoa)} of {len(hips)} crops were made by rhoa, right hips mirrored; whether "
            "right hips are mirrored in the others is not known"
        )
    else:
        crops = "crops that were not made by rhoa; whether right hips are mirrored is not known"
    said = []
    for value, name in ((1, "rHOA"), (0, "no rHOA")):
        grades = sorted({hip.kl for hip in hips if hip.label == value and hip.kl is not None})
        if grades:
            said.append(f"{name}: Kellgren-Lawrence grade {_range(grades)}")
    bare = sum(hip.kl is None for hip in hips)
    if bare:
        said.append(f"{bare} of {len(hips)} labels have no grade: what defines them is not known")
    doubtful = [hip for hip in manifest if hip.kl == 1]
    used = Counter(hip.label for hip in doubtful if hip.label is not None)
    parts = [f"{count} as {('no rHOA', 'rHOA')[value]}" for value, count in sorted(used.items())]
    left = sum(hip.label is None for hip in doubtful)
    parts += [f"{left} left out"] if left else []
    kl1 = f"KL 1: {', '.join(parts)}" if parts else "no hip of KL 1 is in the manifest"
    return {
        "crops": crops,
        "outcome": "; ".join(said) or "no labels",
        "kl1": kl1 + (", so a doubtful hip has no right answer" if left and not used else ""),
    }


def _range(grades: Sequence[int]) -> str:
    first, last = grades[0], grades[-1]
    whole = list(grades) == list(range(first, last + 1))
    return f"{first} to {last}" if whole and last > first else " or ".join(map(str, grades))


# Who the subjects are, and how good the models are in each subgroup of them.

BAND_YEARS = 10
MOST_VALUES = 12
"""Different numbers of a column, beyond which hips are taken together in bands of ten."""


def participants(hips: Sequence[Hip]) -> dict[str, dict[str, str]]:
    """Each column that describes hips in each partition, over subjects, in words."""
    found: dict[str, dict[str, str]] = {}
    for column in describing(hips):
        found[column] = {}
        for partition in PARTITIONS:
            first: dict[str, str] = {}
            for hip in _members(hips, SOURCES, [partition]):
                first[hip.subject] = first.get(hip.subject) or hip.value(column)
            found[column][partition] = _distribution(list(first.values()))
    return found


def _distribution(values: Sequence[str]) -> str:
    stated = [value for value in values if value]
    absent = len(values) - len(stated)
    numbers = [number for value in stated if math.isfinite(number := _number(value))]
    if len(numbers) == len(stated) > 1 and len(set(numbers)) > 2:
        spread = statistics.stdev(numbers)
        low, high = min(numbers), max(numbers)
        text = f"{statistics.fmean(numbers):.1f} (SD {spread:.1f}; {low:g} to {high:g})"
    elif len(counts := Counter(stated)) > MOST_VALUES:
        text = f"{len(counts)} different values"
    else:
        text = ", ".join(f"{name} {count}" for name, count in sorted(counts.items()))
    return "; ".join(filter(None, [text, f"{absent} {NOT_STATED}" if absent else ""])) or "none"


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def subgroups(manifest: Manifest, runs: Sequence[Run], by: Sequence[str]) -> list[dict[str, Any]]:
    """The test figures of each model in each subgroup: a dictionary for each, of plain types.

    Raises
    ------
    ParameterError
        If no hip has such a column.
    """
    known = {plain_name(name) for hip in manifest for name, _ in hip.others} | {*OWN_COLUMNS}
    for column in by:
        if plain_name(column) not in known:
            raise ParameterError(
                f"by names {column!r}, and the manifest has {', '.join(sorted(known))}; name some "
                "of these, with commas between."
            )
    rows: list[dict[str, Any]] = []
    for run, source, scores in _on_test_sets(runs):
        for column in by:
            values = _banded([hip.value(plain_name(column)) for hip in scores.hips])
            found = evaluate_by(
                scores.truth, scores.score, values, groups=scores.groups, resamples=NO_DRAWS
            )
            for name, one in found.items():
                positives = one.confusion.tp + one.confusion.fn
                rows.append(
                    {"model": run.name, "source": source, "by": column, "subgroup": name}
                    | {"hips": one.hips, "subjects": one.groups, "rHOA": int(positives)}
                    | {figure: _plain(getattr(one, figure)) for figure in BY_SUBGROUP}
                    | {"warnings": list(one.warnings)}
                )
    return rows


def _on_test_sets(runs: Sequence[Run]) -> Iterator[tuple[Run, str, Scores]]:
    """Each model on each kind of image that has test hips."""
    for run in runs:
        for source in SOURCES:
            scores = run.sets.get((source, "test"))
            if scores is not None:
                yield run, source, scores


def grades(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """The share of test hips of each KL grade that each model calls right."""
    rows: list[dict[str, Any]] = []
    for run, source, scores in _on_test_sets(runs):
        of_hips = np.array([-1 if hip.kl is None else hip.kl for hip in scores.hips])
        for kl in sorted({*of_hips.tolist()} - {-1}):
            own = of_hips == kl
            truth, score, groups = scores.truth[own], scores.score[own], scores.groups[own]
            found = evaluate(truth, score, groups=groups, resamples=NO_DRAWS)
            rows.append(
                {"model": run.name, "source": source, "kl": kl}
                | {"hips": found.hips, "subjects": found.groups}
                | {"right": _plain(found.accuracy)}
            )
    return rows


# Readers beside the model, on the test hips that they graded.

READERS_FILE = "grades.csv"
READER_COLUMNS = ("subject", "side", "reader", "kl")
RHOA_FROM = 2
NO_MRMC = (
    "Each row is of one reader, or of the model on the hips of that reader. No inference to other "
    "readers and cases (MRMC) is made: differences between readers and the model are not tested."
)


def names_readers(table: Path) -> bool:
    """Whether a file is a table of grades with the columns that `beside_readers` needs."""
    return table.is_file() and all(open_table(table).find(name) for name in READER_COLUMNS)


def beside_readers(runs: Sequence[Run], table: Path) -> dict[str, Any]:
    """Each reader's answers against the label and the reference model's, on the same test hips.

    Parameters
    ----------
    runs
        As `read_runs` gives them.
    table
        ``grades.csv`` of `rhoa review`, or any table with the columns subject, side, reader and kl;
        source and visit are compared where it has them, and of several readings (column reading)
        the first is taken. A grade of 2 and above is the answer rHOA; a hip without a grade is left
        aside.

    Raises
    ------
    ManifestError
        If a column is missing, a grade is not 0 to 4, or no test hip is graded.
    """
    graded = _graded(table)
    rows: list[dict[str, Any]] = []
    given = unanimous = 0
    for source in SOURCES:
        chosen = reference(runs, source)
        if chosen is None:
            continue
        scores = chosen.sets[source, "test"]
        votes: dict[int, list[int]] = {}
        for reader, answers in sorted(graded.items()):
            of_hips = [_answer(answers, hip) for hip in scores.hips]
            at = np.flatnonzero([answer is not None for answer in of_hips])
            if not at.size:
                continue
            answer = np.array([int(of_hips[place] or 0) for place in at])
            for place, one in zip(at.tolist(), answer.tolist(), strict=True):
                votes.setdefault(place, []).append(one)
            truth, groups = scores.truth[at], scores.groups[at]
            called = (scores.score[at] >= 0.5).astype(int)
            same = kappa(answer, called, groups=groups.tolist(), categories=2)
            rows.append(
                {"reader": reader, "source": source, "model": chosen.name}
                | {"hips": int(at.size), "subjects": len(set(groups.tolist()))}
                | {"rHOA": int(truth.sum())}
                | _operating(truth, answer, groups)
                | {"of_model": _operating(truth, called, groups), "with_model": _plain(same)}
            )
        for place, answers_of_hip in votes.items():
            share = sum(answers_of_hip) / len(answers_of_hip)
            given += 1
            unanimous += share != 0.5 and (share > 0.5) == bool(scores.truth[place])
    if not rows:
        raise ManifestError(
            f"{table.name}: grades no test hip of the manifest; name the subjects and sides as the "
            "manifest has them, or leave the table away."
        )
    notes = [NO_MRMC]
    if given and given == unanimous:
        notes.append(
            f"The label of all {given} hips is what most of these readers gave: where it was made "
            "of their grades, their figures are too good."
        )
    return {"rows": rows, "notes": notes}


def _graded(table: Path) -> dict[str, dict[tuple[str, ...], int | None]]:
    """By reader and hip, whose source and visit are empty where the table has none: the grade."""
    found: dict[str, dict[tuple[str, ...], int | None]] = {}
    first: dict[tuple[str, ...], float] = {}
    known = ("source", "visit", "reading")
    for line, said in read_rows(table, READER_COLUMNS, known=known):
        row = plain_row({"source": "", "visit": "", **said})
        kl = _number(row["kl"]) if row["kl"] else math.nan
        if row["kl"] and kl not in range(5):
            raise ManifestError(f"{table.name}, line {line}: kl must be 0 to 4, or empty.")
        hip = (row["subject"], row["side"], row["source"], row["visit"])
        reading = _number(row.get("reading") or "1")
        if reading < first.get((row["reader"], *hip), math.inf):
            first[row["reader"], *hip] = reading
            grade = None if math.isnan(kl) else int(kl)
            found.setdefault(row["reader"], {})[hip] = grade
    return found


def _answer(answers: Mapping[tuple[str, ...], int | None], hip: Hip) -> bool | None:
    for source in (hip.source, ""):
        for visit in (hip.visit, ""):
            key = (hip.subject, hip.side, source, visit)
            if key in answers:
                grade = answers[key]
                return None if grade is None else grade >= RHOA_FROM
    return None


def _operating(
    truth: NDArray[np.int_], answer: NDArray[np.int_], groups: NDArray[np.intp]
) -> dict[str, Any]:
    """Recall, specificity, precision and kappa with the label, of answers 0 and 1."""
    found = evaluate(truth, answer, groups=groups, resamples=NO_DRAWS)
    same = kappa(answer, truth, groups=groups.tolist(), categories=2)
    named = ("recall", "specificity", "precision")
    return {name: _plain(getattr(found, name)) for name in named} | {"with_label": _plain(same)}


OWN_COLUMNS = ("side", "kl", "visit")
BY_SUBGROUP = ("roc_auc", "balanced_accuracy", "recall", "specificity", "brier")
MULTIPLICITY = (
    "Each interval is of one subgroup and is not corrected for their number: of twenty, one misses "
    "by chance. Subgroups that were not named beforehand suggest differences; they prove none."
)


def _banded(values: Sequence[str]) -> list[str]:
    """Values as they are; of many different numbers, the decade each lies in."""
    numbers = [_number(value) for value in values]
    stated = [value for value in values if value]
    if len(set(stated)) <= MOST_VALUES or not all(math.isfinite(_number(v)) for v in stated):
        return list(values)
    lows = [math.floor(n / BAND_YEARS) * BAND_YEARS if math.isfinite(n) else None for n in numbers]
    return ["" if low is None else f"{low}-{low + BAND_YEARS - 1}" for low in lows]


def _members(hips: Iterable[Hip], sources: Iterable[str], among: Iterable[str | None]) -> list[Hip]:
    return [hip for hip in hips if hip.source in sources and hip.partition in among]


def _cohort(labelled: Sequence[Hip]) -> dict[str, Any]:
    """Labelled hips by source, partition and class, and their subjects."""
    partitions: dict[str, set[str | None]] = {}
    for hip in labelled:
        partitions.setdefault(hip.subject, set()).add(hip.partition)

    def subjects(sources: Iterable[str], among: Iterable[str]) -> int:
        return len({hip.subject for hip in _members(labelled, sources, among)})

    return {
        "hips": {
            source: {
                partition: _classes(_members(labelled, [source], [partition]))
                for partition in PARTITIONS
            }
            for source in SOURCES
        },
        "subjects": {
            **{partition: subjects(SOURCES, [partition]) for partition in PARTITIONS},
            "all": subjects(SOURCES, PARTITIONS),
        },
        "subjects_by_source": {
            source: {partition: subjects([source], [partition]) for partition in PARTITIONS}
            for source in SOURCES
        },
        "subjects_in_several_partitions": sum(len(among) > 1 for among in partitions.values()),
    }


def _classes(hips: Sequence[Hip]) -> dict[str, int]:
    positive = sum(hip.label == 1 for hip in hips)
    return dict(zip(CLASSES, (positive, len(hips) - positive), strict=True))


def _model(run: Run, hips: Sequence[Hip]) -> dict[str, Any]:
    # What it was trained on: of its recipe's kinds of image, those that there were.
    there = (run.record.get("hips") or {}).get("train") or {
        hip.source for hip in hips if hip.partition == PARTITIONS[0]
    }
    named = _seen(run.recipe)
    sources = [source for source in named if source in there] or named
    lacking = [source for source in named if source not in sources]
    without = f" (of which there were no {'X-rays' if lacking == ['xray'] else 'CT-APs'})"
    last = {name: finite(values[-1]) for name, values in run.history.items() if values.size}
    backbone = str(run.recipe.get("backbone", RESNET18))
    network = "ResNet18" if backbone == RESNET18 else backbone
    # What made the model, as far as its folder says.
    from_record = ("seed", "device", "precision", "versions", "manifest_sha256", "split_sha256")
    from_card = (
        *("architecture", "image_size", "pretrained", "trained_hips", "iterations"),
        *("weights_of", "weights_iteration", "weights_sha256"),
    )
    return {
        "name": run.name,
        "description": f"{network} {run.recipe.get('description', '')}".strip()
        + (without if lacking else ""),
        "sources": sources,
        "xray_size": run.recipe.get("xray_size"),
        "epochs": run.recipe.get("epochs"),
        "last_iteration": last,
        "results": {
            source: {
                partition: _evaluation(run.sets[source, partition].evaluation)
                if (source, partition) in run.sets
                else None
                for partition in ("val", "test")
            }
            for source in SOURCES
        },
        "provenance": {
            **{name: run.record.get(name) for name in from_record},
            **{name: run.card.get(name) for name in from_card},
        },
    }


def _seen(recipe: Mapping[str, Any]) -> list[str]:
    """The kinds of image that a model was trained on, in any stage, in their order."""
    first = recipe.get("first")
    return list(dict.fromkeys([*(_seen(first) if first else ()), *recipe["sources"]]))


def _cross_validation(run: Run, source: str, found: CrossValidation) -> dict[str, Any]:
    """Areas within folds, which are the headline, and those of all scores pooled."""
    areas = {name: getattr(found, name) for name in AREAS}
    return {
        "model": run.name,
        "source": source,
        "folds": len(found.by_fold),
        **{name: _plain(one) for name, one in areas.items()},
        "roc_auc_by_fold": [finite(area) for area in found.by_fold],
        "pooled": {name: _plain(getattr(found.pooled, name)) for name in AREAS},
        "thresholds": [finite(threshold) for threshold in found.thresholds],
        "at_thresholds": {name: _plain(one) for name, one in found.at_thresholds.items()},
        "notes": {name: one.note for name, one in areas.items() if one.note},
        "methods": {name: one.method for name, one in areas.items() if one.method},
    }


def _evaluation(evaluation: Evaluation) -> dict[str, Any]:
    found = {name: getattr(evaluation, name) for name in (*FIGURES, "mcc", *CALIBRATION)}
    return {
        "hips": evaluation.hips,
        "subjects": evaluation.groups,
        "confusion": {key: int(count) for key, count in evaluation.confusion._asdict().items()},
        "ece_expected": finite(evaluation.ece_expected),
        "ece_p": finite(evaluation.ece_p),
        **{name: _plain(one) for name, one in found.items()},
        # Why a figure or its interval is undefined or one-sided, and how each interval was made.
        "notes": {name: one.note for name, one in found.items() if one.note},
        "methods": {name: one.method for name, one in found.items() if one.method},
        "warnings": list(evaluation.warnings),
    }


def _baseline(hips: Sequence[Hip]) -> dict[str, Any] | None:
    """Figures of who gives every hip the same score and calls the larger class."""
    if not hips:
        return None
    same = Baseline.of(sum(hip.label == 1 for hip in hips) / len(hips))
    estimates = {
        name: {"value": finite(getattr(same, name)), "low": None, "high": None}
        for name in SAME_ANSWER
    }
    return {"answer": CLASSES[1 - same.answer], **estimates}


# What a study shows beyond its tables: comparisons, calibration, operating points, failures.
#
# Temperature and threshold are chosen on validation hips; everything is measured on test hips.

COMPARED = ("balanced_accuracy", "pr_auc", "brier")


def reference(runs: Sequence[Run], source: str) -> Run | None:
    """The model whose test results on ``source`` are compared with the others.

    That of the largest ROC AUC on the validation set, so that the test set has no say; the first
    one where no validation set has both classes.
    """
    tested = [run for run in runs if (source, "test") in run.sets]
    if not tested:
        return None

    def area(run: Run) -> float:
        scores = run.sets.get((source, "val"))
        value = math.nan if scores is None else scores.evaluation.roc_auc.value
        return value if math.isfinite(value) else -1.0

    return max(tested, key=area)


def comparisons_and_calibration(runs: Sequence[Run], source: str) -> dict[str, Any]:
    """Everything of one source, in plain types for ``metrics.json``; None where undefined."""
    chosen = reference(runs, source)
    return {
        "reference": None if chosen is None else chosen.name,
        "comparisons": [] if chosen is None else _comparisons(runs, chosen, source),
        "calibration": [_calibration(run, source) for run in runs if _tuned(run, source)],
        "failures": [
            {"label": hip.label, "kl": hip.kl, "side": hip.side, "probability": score}
            for hip, score in ([] if chosen is None else failures(chosen, source))
        ],
    }


def failures(run: Run, source: str) -> list[tuple[Hip, float]]:
    """Test hips that the model calls wrong at 0.5, with their scores; the most confident first."""
    scores = run.sets[source, "test"]
    wrong = np.flatnonzero((scores.score >= 0.5) != (scores.truth == 1))
    order = wrong[np.argsort(-np.abs(scores.score[wrong] - 0.5), kind="stable")]
    return [(scores.hips[at], float(scores.score[at])) for at in order]


def _comparisons(runs: Sequence[Run], chosen: Run, source: str) -> list[dict[str, Any]]:
    """The reference against each other model, on the test hips."""
    mine = chosen.sets[source, "test"]
    if not mine.has_both_classes:
        return []
    rows: list[dict[str, Any]] = []
    for run in runs:
        theirs = run.sets.get((source, "test"))
        if run is chosen or theirs is None:
            continue
        result = compare(mine.truth, theirs.score, mine.score, groups=mine.groups)
        rows.append(
            {
                "model": run.name,
                "roc_auc": _plain(result.roc_auc.difference),
                "roc_auc_p": finite(result.roc_auc.p),
                "roc_auc_p_normal": finite(result.roc_auc.p_normal),
                "p_values": {name: finite(result.p_values[name]) for name in COMPARED},
                "notes": {name: one.note for name, one in result.differences.items() if one.note},
                **{name: _plain(result.differences[name]) for name in COMPARED},
                "only_reference_right": result.answers.only_second,
                "only_model_right": result.answers.only_first,
                "answers_p": finite(result.answers.p),
            }
        )
    for row, p in zip(rows, holm([row["roc_auc_p"] for row in rows]), strict=True):
        row["roc_auc_p_holm"] = finite(p)
    return rows


def _tuned(run: Run, source: str) -> bool:
    """Whether there are hips to choose on, and hips to measure on."""
    val, test = (run.sets.get((source, partition)) for partition in ("val", "test"))
    return val is not None and val.has_both_classes and test is not None


def _calibration(run: Run, source: str) -> dict[str, Any]:
    """Temperature and threshold from the validation set, and what they do on the test set."""
    val, test = run.sets[source, "val"], run.sets[source, "test"]
    partition = np.full(val.truth.size, "val")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RhoaWarning)  # an extreme temperature is printed as it is
        temperature = fit_temperature(val.truth, val.score, partition=partition)
        line = fit_recalibration(val.truth, val.score, partition=partition)
    point = choose_threshold(val.truth, val.score, partition=partition)
    scaled = evaluate(
        test.truth, temperature.apply(test.score), groups=test.groups, resamples=NO_DRAWS
    )
    mended = evaluate(test.truth, line.apply(test.score), groups=test.groups, resamples=NO_DRAWS)
    moved = evaluate(
        test.truth, test.score, groups=test.groups, threshold=point.threshold, resamples=NO_DRAWS
    )
    return {
        "model": run.name,
        "temperature": temperature.value,
        "brier_scaled": _plain(scaled.brier),
        "slope": line.slope,
        "intercept": line.intercept,
        "brier_recalibrated": _plain(mended.brier),
        "oe_recalibrated": _plain(mended.oe_ratio),
        "threshold": point.threshold,
        "recall": _plain(moved.recall),
        "specificity": _plain(moved.specificity),
    }


def _plain(estimate: Estimate) -> Mapping[str, float | None]:
    return {name: finite(value) for name, value in estimate._asdict().items()}

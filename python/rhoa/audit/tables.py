"""A whole published table: every row audited, remarks, and scores beside printed figures."""

from __future__ import annotations

import math
import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rhoa.audit.reconstruction import (
    AMBIGUOUS,
    AREAS,
    CLEAR,
    FIGURES,
    READINGS,
    Audit,
    check,
    excess,
    figures_of,
    parsed,
)
from rhoa.errors import ManifestError, ParameterError
from rhoa.evaluation.intervals import clopper_pearson
from rhoa.evaluation.metrics import require_labels, require_scores, require_threshold, values_of
from rhoa.tables import open_table, whole

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from os import PathLike

    from numpy.typing import ArrayLike

    from rhoa.audit.reconstruction import Printed, Repair
    from rhoa.tables import Row


# A whole published table: every row audited, and the definition that most rows share.

SIZES = ("positives", "negatives")
TITLES = ("name", "table", "set", "row", "model")  # columns that name a row, in this order
ALIASES = {
    "acc": "accuracy",
    "balanced_acc": "balanced_accuracy",
    "bal_acc": "balanced_accuracy",
    "sens": "sensitivity",
    "tpr": "sensitivity",
    "spec": "specificity",
    "tnr": "specificity",
    "f1_score": "f1",
    "auc": "roc_auc",
    "auroc": "roc_auc",
    "ap": "pr_auc",
    "auprc": "pr_auc",
}


class PublishedRow(NamedTuple):
    """A row of a published table: its name, class sizes and figures as text."""

    name: str
    positives: int
    negatives: int
    printed: Mapping[str, str]


class AuditedRow(NamedTuple):
    """A row and what it can come from."""

    name: str
    audit: Audit


@dataclass(frozen=True, slots=True)
class TableAudit:
    """The rows of a table, and how many of them each definition explains.

    ``definition`` is the one that explains most rows, None where none explains any.
    """

    rows: tuple[AuditedRow, ...]
    explained: Mapping[str, int]

    @property
    def definition(self) -> str | None:
        """The definition that explains most rows; of equals the first in ``READINGS``."""
        if not self.explained:
            return None
        return max(READINGS, key=lambda name: self.explained.get(name, 0))

    @property
    def sound(self) -> bool:
        """Whether every row can come from some confusion matrix."""
        return all(row.audit.matches for row in self.rows)


def table(rows: Iterable[PublishedRow]) -> TableAudit:
    """The audit of every row, and the definition that explains most of them.

    Examples
    --------
    >>> rows = [
    ...     PublishedRow("M1", 15, 9, {"accuracy": "50.0", "precision": ".60", "recall": ".71"}),
    ...     PublishedRow("M2", 15, 9, {"accuracy": "87.5", "precision": ".83", "recall": ".92"}),
    ... ]
    >>> table(rows).definition
    'macro-swapped/macroF1'
    """
    audited = tuple(
        AuditedRow(row.name, check(row.printed, positives=row.positives, negatives=row.negatives))
        for row in rows
    )
    counts = Counter(name for row in audited for name in row.audit.definitions)
    return TableAudit(audited, dict(counts.most_common()))


def read_table(path: str | PathLike[str]) -> list[PublishedRow]:
    """The rows of a CSV or tab-separated text as a paper prints them.

    Columns ``positives`` and ``negatives`` hold the class sizes, the others figures by the names
    that `check` knows (``acc``, ``sens``, ``AUC`` and the like are understood); empty cells are not
    printed. ``name``, ``table``, ``set``, ``row`` and ``model`` name a row.

    Raises
    ------
    MissingFileError
        If there is no such file.
    ManifestError
        If class sizes or figures are missing, or a column is unknown.
    """
    source = open_table(path)
    known: dict[str, str] = {}
    for column in source.columns:
        name = re.sub(r"[^a-z0-9]+", "_", column.strip().lower()).strip("_")
        known[column] = ALIASES.get(name, name)
    unknown = [column for column, name in known.items() if name not in {*SIZES, *TITLES, *FIGURES}]
    missing = [name for name in SIZES if name not in known.values()]
    if unknown or missing or not set(known.values()) & set(FIGURES):
        problem = (
            f"lacks the columns {', '.join(missing)}"
            if missing
            else f"has the unknown columns {', '.join(unknown)}"
            if unknown
            else "has no column of figures"
        )
        raise ManifestError(
            f"{source.path.name}: {problem}; needed are positives, negatives and figures: "
            f"{', '.join(FIGURES)}; a row is named by {', '.join(TITLES)}."
        )
    columns = {name: column for column, name in known.items()}
    return [_published(source.path.name, row, columns) for row in source.rows(source.columns)]


def _published(file: str, row: Row, columns: Mapping[str, str]) -> PublishedRow:
    text = {name: row.cells[column].text.strip() for name, column in columns.items()}
    sizes = []
    for name in SIZES:
        text[name] = whole(text[name])
        if not text[name].isdigit():
            raise ManifestError(
                f"{file}, {row.where}: {name} must be a whole number; got {text[name]!r}."
            )
        sizes.append(int(text[name]))
    printed = {name: text[name] for name in FIGURES if text.get(name)}
    title = " ".join(text[name] for name in TITLES if text.get(name))
    positives, negatives = sizes
    return PublishedRow(title or row.where, positives, negatives, printed)


def row_named(rows: Iterable[PublishedRow], name: str) -> PublishedRow:
    """The row of that name.

    Raises
    ------
    ParameterError
        If there is none, or more than one.
    """
    rows = list(rows)
    found = [row for row in rows if row.name == name]
    if len(found) != 1:
        raise ParameterError(
            f"{len(found)} rows are named {name!r}; rows are {', '.join(row.name for row in rows)}."
        )
    return found[0]


# Scores beside the figures that were printed of them.


class Compared(NamedTuple):
    """A printed figure beside what the scores give by the standard definition.

    ``definitions`` are those under which the scores print as published: empty where none does.
    """

    figure: str
    printed: str
    value: float
    definitions: tuple[str, ...]


def compare(
    y_true: ArrayLike,
    y_score: ArrayLike,
    printed: Mapping[str, float | str | Printed],
    *,
    threshold: float = 0.5,
) -> list[Compared]:
    """Whether scores give the figures that are printed of them, and by which definitions.

    Parameters
    ----------
    y_true, y_score
        Label (0 or 1) and score in [0, 1] of each case.
    printed
        Figures as `check` takes them.
    threshold
        A case is called positive where its score is at least this.

    Raises
    ------
    ParameterError
        If labels or scores are none, or a figure is unknown or no printed number.

    Examples
    --------
    >>> compare([1, 1, 0], [0.9, 0.2, 0.1], {"accuracy": 66.7, "recall": 0.75})[1].definitions
    ('macro/macroF1', 'macro/hmMacro', 'macro-swapped/macroF1', 'macro-swapped/hmMacro')
    """
    labels = require_labels(y_true)
    scores = require_scores(y_score, labels.size)
    cutoff = require_threshold(threshold)
    called = scores >= cutoff
    tp, tn = (
        np.array([float((called & labels).sum())]),
        np.array([float((~called & ~labels).sum())]),
    )
    sizes = int(labels.sum()), int((~labels).sum())
    by_definition = {name: figures_of(name, tp, tn, sizes) for name in READINGS}
    areas = values_of(labels, scores, cutoff)
    found = []
    for name, figure in parsed(printed).items():
        if name in AREAS:
            values = {"standard": areas[name]}
            if name == "pr_auc":
                values["first segment dropped"] = areas["paper_pr_auc"]
        elif name in CLEAR:
            values = {"standard": float(by_definition["positive"][name][0])}
        else:
            values = {key: float(figures[name][0]) for key, figures in by_definition.items()}
        agreeing = tuple(
            definition
            for definition, value in values.items()
            if excess(np.array([value]), figure)[0] == 0
        )
        found.append(Compared(name, figure.text, next(iter(values.values())), agreeing))
    return found


def shared_definitions(compared: list[Compared]) -> tuple[str, ...]:
    """The definitions under which every printed precision, recall and F1 agrees."""
    sets = [set(one.definitions) for one in compared if one.figure in AMBIGUOUS]
    return tuple(name for name in READINGS if sets and all(name in names for names in sets))


def read_predictions(
    path: str | PathLike[str], *, only: Mapping[str, str] | None = None
) -> tuple[NDArray[np.int_], NDArray[np.float64]]:
    """Labels and scores of a CSV with columns ``label`` and ``score``, as `rhoa.train` writes it.

    Parameters
    ----------
    path
        The file.
    only
        Values that columns must have: ``{"partition": "test", "source": "ct"}``.

    Raises
    ------
    MissingFileError
        If there is no such file.
    ManifestError
        If a column is missing, a value is no number, or no row is left.
    """
    source = open_table(path)
    wanted = dict(only or {})
    columns = source.require(["label", "score", *wanted], "pass predictions.csv of `rhoa train`")
    labels, scores = [], []
    for row in source.rows(columns):
        label, score, *chosen_by = (row.cells[column].text.strip() for column in columns)
        if chosen_by != list(wanted.values()):
            continue
        try:
            labels.append(int(whole(label)))
            scores.append(float(score))
        except ValueError:
            raise ManifestError(
                f"{source.path.name}, {row.where}: label and score must be numbers."
            ) from None
    if not labels:
        chosen = ", ".join(f"{name} {value}" for name, value in wanted.items())
        raise ManifestError(f"{source.path.name}: no row{f' of {chosen}' if chosen else ''}.")
    return np.array(labels), np.array(scores)


# Which areas under the precision-recall curve a printed row allows, over all possible rankings.
#
# A ranking is a path of steps, one a case from the highest score down. ROC AUC and the areas are
# sums over the steps, so the least and the most of a path come from those of shorter paths.

Vector = NDArray[np.float64]

_MOST_STEPS = 100_000_000  # case by case, ROC AUC by ROC AUC: about two seconds


class Range(NamedTuple):
    """The least and the most that an area can be; NaN where no ranking is possible."""

    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Rankings:
    """All rankings of cases of two classes that pass through one of some confusion matrices.

    Parameters
    ----------
    positives, negatives
        Cases of either class.
    matrices
        (tp, tn), at one of which the threshold lies; anywhere if there are none.
    roc_auc
        Least and largest area that prints as published.

    Examples
    --------
    The negative stands between the two positives:

    >>> Rankings(2, 1, roc_auc=(0.49, 0.51)).average_precision()
    Range(low=0.8333333333333333, high=0.8333333333333333)
    """

    positives: int
    negatives: int
    matrices: tuple[tuple[int, int], ...] = ()
    roc_auc: tuple[float, float] = (0.0, 1.0)

    @property
    def countable(self) -> bool:
        """Whether there are few enough cases to compute the ranges."""
        pairs = self.positives * self.negatives
        return pairs**2 * max(1, len(self.matrices)) <= _MOST_STEPS

    def average_precision(self) -> Range:
        """Of average precision, the mean precision at the positives; no scores are tied."""
        found, entered = np.mgrid[: self.positives + 1, : self.negatives + 1].astype(float)
        precision = found / np.maximum(found + entered, 1)
        return self._range(precision, first=0)

    def without_first_segment(self, *, tied: int = 1) -> Range:
        """Of the trapezoids from the first score on, without the segment that begins at recall 0.

        ``tied`` positives share the highest score, if more than one; no other scores are tied.
        """
        found, entered = np.mgrid[: self.positives + 1, : self.negatives + 1].astype(float)
        after = found / np.maximum(found + entered, 1)
        before = (found - 1) / np.maximum(found - 1 + entered, 1)
        heights = (before + after) / 2
        heights[1, 0] = 0
        return self._range(heights, first=tied if tied > 1 else 0)

    def _range(self, gains: Vector, *, first: int) -> Range:
        """Of the mean of ``gains``, one a positive; paths begin with ``first`` positives."""
        points: list[tuple[int, int] | None] = [
            (tp, self.negatives - tn) for tp, tn in self.matrices
        ]
        least, most = (
            min(self._least(sign * gains, first, point) for point in points or [None])
            for sign in (1.0, -1.0)
        )
        if not np.isfinite(least):
            return Range(np.nan, np.nan)
        return Range(float(least / self.positives), float(-most / self.positives))

    def _least(self, gains: Vector, first: int, point: tuple[int, int] | None) -> float:
        """The least sum of ``gains`` over the paths to the last case, infinite if there is none."""
        pairs = self.positives * self.negatives
        nowhere = np.full(pairs + 1, np.inf)  # by the pairs in the right order so far
        line = [nowhere] * (self.negatives + 1)
        for found in range(first, self.positives + 1):
            above, line = line, []
            for entered in range(self.negatives + 1):
                here = above[entered] + gains[found, entered]
                if found == first:
                    here = nowhere.copy()
                    here[0] = 0 if entered == 0 else np.inf
                if entered > 0:
                    here[found:] = np.minimum(here[found:], line[-1][: here.size - found])
                called = found + entered
                passed = point is None or called != sum(point) or (found, entered) == point
                line.append(here if passed else nowhere)
        split = point is not None and 0 < sum(point) < first  # a threshold splits no tie
        area = np.arange(pairs + 1) / pairs
        low, high = self.roc_auc
        end = line[-1][(area >= low - 1e-9) & (area <= high + 1e-9)]
        return float("inf") if split or end.size == 0 else float(end.min())


# What a reader of a published row should know, in sentences.


def remarks(audit: Audit) -> list[str]:
    """What the row says by the standard definitions, and what of it cannot be."""
    said = _standard(audit) + _baseline(audit)
    said += [remark for name in ("roc_auc", "pr_auc") for remark in _area(audit, name)]
    return said + _rankings(audit)


def _standard(audit: Audit) -> list[str]:
    if not audit.matches:
        return []
    tp, tn = np.array(audit.matrices, np.float64).T
    sizes = audit.positives, audit.negatives
    values = figures_of("positive", tp, tn, sizes)
    f1 = _range(values["f1"])
    shares = []
    for name, right, size in zip(("sensitivity", "specificity"), (tp, tn), sizes, strict=True):
        text = f"{name} {_range(values[name])}"
        if tp.size == 1:
            low, high = clopper_pearson(float(right[0]) / size, size)
            text += f" ({int(right[0])}/{size}, exact 95 % interval {low:.2f}-{high:.2f})"
        shares.append(text)
    return [f"{shares[0]}, {shares[1]}, F1 of the positive class {f1}"]


def _range(values: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> str:
    low, high = f"{values.min():.2f}", f"{values.max():.2f}"
    return low if low == high else f"{low} to {high}"


def _baseline(audit: Audit) -> list[str]:
    larger = max(audit.positives, audit.negatives) / (audit.positives + audit.negatives)
    printed = audit.printed.get("accuracy")
    if printed is None or printed.value + printed.half >= larger:
        return []
    answer = "positive" if audit.positives >= audit.negatives else "negative"
    return [f"accuracy {printed.text} is below {100 * larger:.1f} %: calling every case {answer}"]


def _area(audit: Audit, name: str) -> list[str]:
    printed = audit.printed.get(name)
    if printed is None:
        return []
    said = []
    if printed.interval is not None:
        low, high = printed.interval
        if not low.value <= printed.value <= high.value:
            said.append(f"{name} {printed.text}: the value lies outside its own interval")
    if name == "roc_auc" and audit.matches:
        tp, tn = np.array(audit.matrices, np.float64).T
        sensitivity, specificity = tp / audit.positives, tn / audit.negatives
        # The curve rises through the operating point: it cannot be left of nor below these corners.
        lowest = float((sensitivity * specificity).min())
        highest = float((1 - (1 - sensitivity) * (1 - specificity)).max())
        if not lowest - printed.half <= printed.value <= highest + printed.half:
            said.append(
                f"roc_auc {printed.text}: the operating point allows {lowest:.3f} to {highest:.3f}"
            )
    return said


def _rankings(audit: Audit) -> list[str]:
    """What the PR area can be, where it is no average precision."""
    printed, roc = audit.printed.get("pr_auc"), audit.printed.get("roc_auc")
    repaired = not audit.matches
    if printed is None or (repaired and not audit.repairs):
        return []
    matrices = audit.repairs[0].matrices if repaired else audit.matrices
    roc_auc = (0.0, 1.0) if roc is None else (roc.value - roc.half, roc.value + roc.half)
    rankings = Rankings(audit.positives, audit.negatives, tuple(matrices), roc_auc)
    if not rankings.countable:
        return []
    average = rankings.average_precision()
    if math.isnan(average.low) or _prints(printed, average):
        return []
    kind = "the repaired confusion matrix" if repaired else "confusion matrix"
    alike = f"this ROC AUC and {kind}" if roc is not None else f"this {kind}"
    said = (
        f"pr_auc {printed.text}: rankings of {alike} have an average precision of "
        f"{average.low:.3f} to {average.high:.3f}; "
    )
    for tied in range(1, audit.positives + 1):
        if _prints(printed, rankings.without_first_segment(tied=tied)):
            shared = f" if {tied} positives share the highest score" if tied > 1 else ""
            return [f"{said}without the first segment of the curve the area can be so{shared}"]
    return [f"{said}it is none without the first segment of the curve either"]


def _prints(printed: Printed, area: Range) -> bool:
    """Whether an area of the range rounds to what is printed."""
    slack = printed.half + 1e-9
    return area.low - slack <= printed.value <= area.high + slack


def repair_in_words(repair: Repair, audit: Audit) -> str:
    """``recall 0.89 should be 0.8963 to 0.8966: 2 matrices``."""
    changes = []
    for name, values in zip(repair.figures, repair.values, strict=True):
        printed = audit.printed[name]
        first, last = (f"{100 * x:.2f}" if printed.percent else f"{x:.4f}" for x in values)
        needed = first if first == last else f"{first} to {last}"
        changes.append(f"{name} {printed.text} should be {needed}")
    count = len(repair.matrices)
    matrices = (
        f"{count} matrices" if count > 1 else "(tp, tn) = ({}, {})".format(*repair.matrices[0])
    )
    return f"{' and '.join(changes)}: {matrices}"

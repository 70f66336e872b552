"""Scores beside the figures that were printed of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from rhoa.audit.cells import excess, figures_of
from rhoa.audit.matching import parsed
from rhoa.audit.readings import AMBIGUOUS, AREAS, CLEAR, READINGS
from rhoa.cohort.tables import open_table
from rhoa.errors import ManifestError
from rhoa.evaluation.checks import require_labels, require_scores, require_threshold
from rhoa.evaluation.weighted import values_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from os import PathLike

    from numpy.typing import ArrayLike, NDArray

    from rhoa.audit.printed import Printed


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
        found.append(_compared(name, figure, values))
    return found


def _compared(name: str, printed: Printed, values: Mapping[str, float]) -> Compared:
    agreeing = tuple(
        definition
        for definition, value in values.items()
        if excess(np.array([value]), printed)[0] == 0
    )
    return Compared(name, printed.text, next(iter(values.values())), agreeing)


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
        label, score, *kept = (row.cells[column].text.strip() for column in columns)
        if kept != list(wanted.values()):
            continue
        try:
            labels.append(int(label))
            scores.append(float(score))
        except ValueError:
            raise ManifestError(
                f"{source.path.name}, {row.where}: label and score must be numbers."
            ) from None
    if not labels:
        chosen = ", ".join(f"{name} {value}" for name, value in wanted.items())
        raise ManifestError(f"{source.path.name}: no row{f' of {chosen}' if chosen else ''}.")
    return np.array(labels), np.array(scores)

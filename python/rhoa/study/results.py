"""What a study found: each recipe's figures over seeds or folds, and of their scores together."""

from __future__ import annotations

import csv
import json
import math
import statistics
from collections import defaultdict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from rhoa.cohort import Manifest
from rhoa.evaluation.results import Estimate, finite
from rhoa.evaluation.study import FIGURES, SOURCES, read_runs
from rhoa.writing import atomic_write, csv_text

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from rhoa.evaluation.metrics import Evaluation
    from rhoa.evaluation.study import Run
    from rhoa.study.jobs import Job

    HipKey = tuple[str, str, str, str]

PARTS = ("val", "test")
COPIED = ("recipe.json", "history.csv")
RECORDS = ("run.json", "model.json")  # of one run: they name its seed and its weights
HIP = ("subject", "side", "source", "visit")


@dataclass(frozen=True, slots=True)
class Result:
    """One figure of one recipe on one set of hips.

    ``values`` are those of the runs, ``mean`` and ``spread`` (standard deviation; None of a single
    run) are over them. ``together`` is the figure of each hip's mean score over seeds, or, of
    folds, of the scores that each hip got in the fold in which it was tested; its interval
    resamples subjects.
    """

    recipe: str
    source: str
    partition: str
    figure: str
    hips: int
    subjects: int
    values: tuple[float, ...]
    together: Estimate

    @property
    def mean(self) -> float:
        """Over runs."""
        return float(np.mean(self.values))

    @property
    def spread(self) -> float | None:
        """Standard deviation over runs."""
        return float(np.std(self.values, ddof=1)) if len(self.values) > 1 else None

    def as_dict(self) -> dict[str, Any]:
        """Plain types, None where undefined."""
        numbers = {
            "mean": self.mean,
            "spread": self.spread,
            "least": min(self.values),
            "most": max(self.values),
            "together": self.together.value,
            "low": self.together.low,
            "high": self.together.high,
        }
        named = ("recipe", "source", "partition", "figure", "hips", "subjects")
        return (
            {name: getattr(self, name) for name in named}
            | {"runs": len(self.values)}
            | {name: finite(number) for name, number in numbers.items()}
            | {"values": [finite(value) for value in self.values]}
        )


def put_together(jobs: Sequence[Job], out: Path) -> tuple[list[Path], Manifest]:
    """One run folder a recipe, ``out/NAME``, with scores of all its runs; and their manifest.

    Over seeds, the score of a hip is the mean of its scores. Over folds, it is the score of the
    fold in which the hip was tested: all hips of the manifest are test then. Recipe and history are
    those of the first run.
    """
    by_recipe: dict[str, list[Job]] = defaultdict(list)
    for job in jobs:
        by_recipe[job.recipe.name].append(job)
    folders = []
    for name, mine in by_recipe.items():
        folder = out / name
        folder.mkdir(parents=True, exist_ok=True)
        for file in (*COPIED, *RECORDS) if len(mine) == 1 else COPIED:
            atomic_write(folder / file, (mine[0].folder / file).read_bytes())
        atomic_write(folder / "predictions.csv", _merged(mine))
        folders.append(folder)
    manifest = jobs[0].manifest
    if _over_folds(jobs):
        manifest = Manifest(tuple(replace(hip, partition="test") for hip in manifest))
    return folders, manifest


def _over_folds(jobs: Sequence[Job]) -> bool:
    return jobs[0].name.startswith("fold-")


def _merged(jobs: Sequence[Job]) -> str:
    """``predictions.csv`` of several runs together."""
    folds = _over_folds(jobs)
    scores: dict[HipKey, list[float]] = defaultdict(list)
    rows: dict[HipKey, dict[str, Any]] = {}
    for job in jobs:
        with (job.folder / "predictions.csv").open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                if folds and row["partition"] != "test":
                    continue
                key = (row["subject"], row["side"], row["source"], row["visit"])
                scores[key].append(float(row["score"]))
                rows.setdefault(key, row)
    columns = list(next(iter(rows.values())))
    merged = [row | {"score": statistics.fmean(scores[key])} for key, row in rows.items()]
    return csv_text(columns, ([row[name] for name in columns] for row in merged))


def measure(jobs: Sequence[Job], together: Sequence[Run]) -> list[Result]:
    """Every figure of every recipe on every set; ``together`` are the runs of `put_together`."""
    runs: dict[str, list[Run]] = defaultdict(list)
    for job in jobs:
        (run,) = read_runs([job.folder], job.manifest.labelled.hips)
        runs[job.recipe.name].append(run)
    found = []
    for name, whole in zip(runs, together, strict=True):
        for source in SOURCES:
            for part in PARTS:
                each = [
                    run.sets[source, part].evaluation
                    for run in runs[name]
                    if (source, part) in run.sets
                ]
                if each:
                    pooled = whole.sets.get((source, part))
                    best = None if pooled is None else pooled.evaluation
                    found += _results((name, source, part), each, best)
    return found


def _results(
    where: tuple[str, str, str], each: Sequence[Evaluation], together: Evaluation | None
) -> list[Result]:
    nothing = Estimate(math.nan, math.nan, math.nan)
    size = together or each[0]
    return [
        Result(
            *where,
            figure,
            size.hips,
            size.groups,
            tuple(getattr(evaluation, figure).value for evaluation in each),
            nothing if together is None else getattr(together, figure),
        )
        for figure in FIGURES
    ]


def write_results(results: Sequence[Result], out: Path) -> None:
    """``out/results.json``, and ``out/results.csv`` for spreadsheets."""
    rows = [result.as_dict() for result in results]
    atomic_write(out / "results.json", json.dumps(rows, indent=2, allow_nan=False) + "\n")
    columns = [name for name in rows[0] if name != "values"]
    atomic_write(
        out / "results.csv", csv_text(columns, ([row[name] for name in columns] for row in rows))
    )

"""A study from its plan to its report: the runs, each done once, and what they found."""

from __future__ import annotations

import hashlib
import json
import math
import re
import shutil
import statistics
from collections import defaultdict
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np

from rhoa import cohort
from rhoa.cohort import Hip, Manifest
from rhoa.cohort.leakage import leaks
from rhoa.cohort.manifest import sha256_of
from rhoa.cohort.partition import spellings_of_one_subject
from rhoa.errors import ManifestError, MissingFileError, ParameterError, require_extra
from rhoa.evaluation.decision_curves import choose_threshold
from rhoa.evaluation.intervals import Estimate
from rhoa.evaluation.metrics import finite
from rhoa.files import atomic_write, csv_text, listed
from rhoa.hips.crop_files import read_crop
from rhoa.report.collect import (
    AREAS,
    FIGURES,
    FOLD,
    FOLD_THRESHOLD,
    SOURCES,
    file_of_run,
    read_runs,
)
from rhoa.report.write import explained, write_study_report
from rhoa.tables import read_rows

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from rhoa._types import Side
    from rhoa.cohort.manifest import Source
    from rhoa.evaluation.metrics import Evaluation
    from rhoa.learning import Recipe
    from rhoa.report.collect import Run, Scores
    from rhoa.study.plan import Plan

    State = Literal["new", "begun", "done", "changed", "foreign"]
    Progress = Callable[[int, int, str], None]

    HipKey = tuple[str, str, str, str]


# The runs that a plan asks for, each done once: what was done before is found again.

RECORD = "asked.json"
WEIGHTS_FILE = "model.safetensors"


@dataclass(frozen=True, slots=True, eq=False)
class Job:
    """One run: a recipe, trained with one seed on one manifest."""

    name: str
    """Of the repetition: ``seed-2020`` or ``fold-1``."""
    recipe: Recipe
    seed: int
    manifest: Manifest
    folder: Path
    asked: Mapping[str, Any]
    """All that decides what is trained, as plain types."""

    @property
    def state(self) -> State:
        """What its folder holds: ``foreign`` is what no study wrote."""
        found = self._found()
        if found is None:
            return "foreign" if self.folder.is_dir() and any(self.folder.iterdir()) else "new"
        if found.get("asked") != self.asked:
            return "changed"
        return "done" if found.get("done") is True else "begun"

    @property
    def differences(self) -> list[str]:
        """What was trained before and what is asked for now, where the folder is ``changed``."""
        before, now = _flat((self._found() or {}).get("asked", {})), _flat(self.asked)
        keys = [key for key in (*before, *now) if before.get(key) != now.get(key)]
        return [
            "other hips, labels or partitions"
            if key == "hips"
            else f"{key} was {before.get(key)!r}, is {now.get(key)!r}"
            for key in dict.fromkeys(keys)
        ]

    @property
    def stages(self) -> list[int]:
        """Images seen in each stage of the training."""
        train = [hip for hip in self.manifest.labelled if hip.partition == "train"]
        images: list[int] = []
        stage: Recipe | None = self.recipe
        while stage is not None:
            hips = sum(hip.source in stage.sources for hip in train)
            images.insert(0, stage.iterations(hips) * stage.batch)
            stage = stage.first
        return images

    def _found(self) -> dict[str, Any] | None:
        try:
            found = json.loads((self.folder / RECORD).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return found if isinstance(found, dict) else None

    def run(self, plan: Plan, progress: Progress) -> None:
        """Train, or do nothing where it is done; what is ``changed`` is trained anew."""
        from rhoa.learning import train

        if self.state == "done":
            return
        if self.state == "changed":
            shutil.rmtree(self.folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self._record(done=False)
        train(
            self.manifest,
            self.recipe,
            self.folder,
            weights=plan.weights,
            device=plan.device,
            seed=self.seed,
            progress=progress,
            accept=plan.accept,
        )
        self._record(done=True)

    def _record(self, *, done: bool) -> None:
        record = {"asked": self.asked, "done": done}
        atomic_write(self.folder / RECORD, json.dumps(record, indent=2) + "\n")


def jobs_of(plan: Plan, manifests: Sequence[Manifest]) -> list[Job]:
    """Every run of the plan, repetition by repetition: of each seed, or of each fold's manifest."""
    weights = plan.weights
    if not isinstance(weights, str):  # weights are what they hold, not where they lie
        file = weights / WEIGHTS_FILE if weights.is_dir() else weights
        if not file.is_file():
            raise MissingFileError(f"{weights.name}: no such weights; check the path in the plan.")
        weights = f"sha256:{sha256_of(file)}"
    if plan.folds is None:
        repetitions = [(f"seed-{seed}", seed, manifests[0]) for seed in plan.seeds]
    else:
        repetitions = [
            (f"fold-{number}", plan.seeds[0], manifest)
            for number, manifest in enumerate(manifests, start=1)
        ]
    jobs = []
    for name, seed, manifest in repetitions:
        hips = _digest(manifest)
        for recipe in plan.recipes:
            asked = {"recipe": recipe.as_dict(), "weights": weights, "seed": seed, "hips": hips}
            plain = json.loads(json.dumps(asked))
            folder = plan.out / "runs" / recipe.name / name
            jobs.append(Job(name, recipe, seed, manifest, folder, plain))
    return jobs


def require_trainable(jobs: Sequence[Job], *, redo: bool) -> None:
    """Refuse where a run was trained otherwise before, unless ``redo``, or a folder is not ours.

    Raises
    ------
    ParameterError
        Naming the first such run and how it differs.
    """
    foreign = [job for job in jobs if job.state == "foreign"]
    if foreign:
        raise ParameterError(
            f"{len(foreign)} folders of runs hold what no study wrote; the first, "
            f"{foreign[0].recipe.name}/{foreign[0].name}: move them, or name another folder as out."
        )
    changed = [job for job in jobs if job.state == "changed"]
    if changed and not redo:
        first = changed[0]
        raise ParameterError(
            f"{len(changed)} runs in the study's folder were trained otherwise; the first, "
            f"{first.recipe.name}/{first.name}: {'; '.join(first.differences)}; "
            "--redo (redo=True) trains them anew, or name another folder as out."
        )


def train_all(jobs: Sequence[Job], plan: Plan, *, progress: Progress | None) -> None:
    """Do every run that is not done; progress counts the images seen by all of them."""
    total = sum(sum(job.stages) for job in jobs)
    before = 0
    for number, job in enumerate(jobs, start=1):
        where = f"training: {job.recipe.name}, {job.name}, run {number} of {len(jobs)}"
        meter = _ProgressTotal(before, tuple(job.stages), total, where, progress)
        job.run(plan, meter)
        before += sum(job.stages)
        if progress is not None:
            progress(before, total, where)


class _ProgressTotal:
    """Progress of one run, whose stages follow one another, reported as progress of all runs."""

    def __init__(
        self,
        before: int,
        stages: tuple[int, ...],
        total: int,
        what: str,
        progress: Progress | None,
    ) -> None:
        self.before, self.stages, self.total = before, stages, total
        self.what, self.progress = what, progress
        self.stage, self.ended = 0, False

    def __call__(self, done: int, total: int, _: str) -> None:
        """Called by `rhoa.train` after each iteration; what follows the last is another stage."""
        if self.ended:
            self.stage = min(self.stage + 1, len(self.stages) - 1)
        self.ended = done >= total
        of_stage = self.stages[self.stage] * done // max(total, 1)
        seen = self.before + sum(self.stages[: self.stage]) + of_stage
        if self.progress is not None and seen < self.total:  # `train_all` reports the end
            self.progress(seen, self.total, self.what)


def _digest(manifest: Manifest) -> str:
    """Of the hips, their images, labels and partitions; not of where the images lie."""
    rows = sorted(
        f"{hip.subject}\0{hip.side}\0{hip.source}\0{hip.visit}\0{hip.label}\0{hip.partition}\0"
        f"{hip.sha256 or sha256_of(hip.crop)}"
        for hip in manifest.labelled
    )
    return hashlib.sha256("\n".join(rows).encode()).hexdigest()


def _flat(value: object, key: str = "") -> dict[str, Any]:
    """``{"recipe": {"epochs": 3}}`` as ``{"recipe.epochs": 3}``."""
    if not isinstance(value, dict):
        return {key: value}
    return {
        name: one
        for inner, member in value.items()
        for name, one in _flat(member, f"{key}.{inner}".lstrip(".")).items()
    }


# What a study found: each recipe's figures over seeds or folds, and of their scores together.

PARTITIONS = ("val", "test")
COPIED = ("recipe.json", "history.csv")
RECORDS = ("run.json", "model.json")  # of one run: they name its seed and its weights
HIP = ("subject", "side", "source", "visit")
PREDICTIONS = "predictions.csv"
PROBABILITY = re.compile(r"score|(kl|crowe)_(\d|expected)").fullmatch


@dataclass(frozen=True, slots=True)
class Result:
    """One figure of one recipe on one set of hips.

    ``values`` are those of the runs, ``mean`` and ``spread`` (standard deviation; None of a single
    run) are over those that are defined. ``together`` is the figure of each hip's mean score over
    seeds, or, of folds, of the scores that each hip got in the fold in which it was tested, pooled
    over folds; its interval is over subjects. ``within`` is None but for the areas of test hips
    over folds: their mean within folds, which is the headline, with its interval over subjects.
    """

    recipe: str
    source: str
    partition: str
    figure: str
    hips: int
    subjects: int
    values: tuple[float, ...]
    together: Estimate
    within: Estimate | None = None

    @property
    def known(self) -> tuple[float, ...]:
        """The values that are defined: an area is not where a fold has one class."""
        return tuple(value for value in self.values if math.isfinite(value))

    @property
    def mean(self) -> float:
        """Over runs."""
        return float(np.mean(self.known)) if self.known else math.nan

    @property
    def spread(self) -> float | None:
        """Standard deviation over runs."""
        return float(np.std(self.known, ddof=1)) if len(self.known) > 1 else None

    def as_dict(self) -> dict[str, Any]:
        """Plain types, None where undefined."""
        numbers = {
            "mean": self.mean,
            "spread": self.spread,
            "least": min(self.known, default=math.nan),
            "most": max(self.known, default=math.nan),
            "together": self.together.value,
            "low": self.together.low,
            "high": self.together.high,
        }
        within = self.within or Estimate(math.nan)
        numbers |= dict(zip(("within", "within_low", "within_high"), within, strict=True))
        named = ("recipe", "source", "partition", "figure", "hips", "subjects")
        return (
            {name: getattr(self, name) for name in named}
            | {"runs": len(self.values)}
            | {name: finite(number) for name, number in numbers.items()}
            | {"values": [finite(value) for value in self.values]}
        )


def pool_scores(jobs: Sequence[Job], out: Path) -> tuple[list[Path], Manifest]:
    """One run folder a recipe, ``out/NAME``, with scores of all its runs; and their manifest.

    Over seeds, the score of a hip is the mean of its scores. Over folds, it is the score of the
    fold in which the hip was tested: all hips of the manifest are test then, and beside each stand
    its fold and the threshold that was chosen there. Recipe and history are those of the first run.
    """
    by_recipe: dict[str, list[Job]] = defaultdict(list)
    for job in jobs:
        by_recipe[job.recipe.name].append(job)
    folders = []
    for name, mine in by_recipe.items():
        folder = out / name
        folder.mkdir(parents=True, exist_ok=True)
        single = len(mine) == 1 and not _over_folds(jobs)
        for file in (*COPIED, *RECORDS, PREDICTIONS) if single else COPIED:
            atomic_write(folder / file, (mine[0].folder / file).read_bytes())
        if not single:
            atomic_write(folder / PREDICTIONS, _merged(mine))
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
    scores: dict[HipKey, list[dict[str, float]]] = defaultdict(list)
    rows: dict[HipKey, dict[str, Any]] = {}
    for number, job in enumerate(jobs, start=1):
        table = read_rows(job.folder / PREDICTIONS, (*HIP, "label", "partition", "score"))
        of_run: list[dict[str, Any]] = [row for _, row in table]
        if folds:
            chosen = {source: fold_threshold(of_run, source) for source in SOURCES}
            of_run = [
                row | {FOLD: number, FOLD_THRESHOLD: chosen[row["source"]]}
                for row in of_run
                if row["partition"] == "test"
            ]
        for row in of_run:
            key = (row["subject"], row["side"], row["source"], row["visit"])
            scores[key].append({name: float(row[name]) for name in row if PROBABILITY(name)})
            rows.setdefault(key, row)
    columns = list(next(iter(rows.values())))
    merged = [
        row | {name: statistics.fmean(one[name] for one in scores[key]) for name in scores[key][0]}
        for key, row in rows.items()
    ]
    return csv_text(columns, ([row[name] for name in columns] for row in merged))


def fold_threshold(rows: Sequence[Mapping[str, str]], source: str) -> float | None:
    """The threshold of a fold's model for one kind of image, from the predictions of its run.

    That of the largest sensitivity + specificity on the fold's validation hips, which are of its
    training part; None where they lack a class. The hips that it tests have no say.
    """
    val = [
        row for row in rows if (row["source"], row["partition"]) == (source, "val") and row["label"]
    ]
    labels = [int(row["label"]) for row in val]
    if len(set(labels)) < 2:
        return None
    scores, partition = ([row[name] for row in val] for name in ("score", "partition"))
    return choose_threshold(labels, list(map(float, scores)), partition=partition).threshold


def measure(jobs: Sequence[Job], together: Sequence[Run]) -> list[Result]:
    """Every figure of every recipe on every set; ``together`` are the runs of `pool_scores`."""
    runs: dict[str, list[Run]] = defaultdict(list)
    for job in jobs:
        (run,) = read_runs([job.folder], job.manifest.labelled.hips)
        runs[job.recipe.name].append(run)
    found = []
    for name, whole in zip(runs, together, strict=True):
        for source in SOURCES:
            for partition in PARTITIONS:
                each = [
                    run.sets[source, partition].evaluation
                    for run in runs[name]
                    if (source, partition) in run.sets
                ]
                if each:
                    pooled = whole.sets.get((source, partition))
                    found += _results((name, source, partition), each, pooled)
    return found


def _results(
    where: tuple[str, str, str], each: Sequence[Evaluation], pooled: Scores | None
) -> list[Result]:
    nothing = Estimate(math.nan, math.nan, math.nan)
    together = None if pooled is None else pooled.evaluation
    folds = None if pooled is None else pooled.folds
    size = together or each[0]
    return [
        Result(
            *where,
            figure,
            size.hips,
            size.groups,
            tuple(getattr(evaluation, figure).value for evaluation in each),
            nothing if together is None else getattr(together, figure),
            getattr(folds, figure) if folds is not None and figure in AREAS else None,
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


# Models measured on a cohort that they were not trained on.


def is_external(run: Path, manifest: Manifest) -> bool:
    """Whether a manifest lacks hips that a run was trained or measured on: of another cohort."""
    known = {tuple(getattr(hip, name) for name in HIP) for hip in manifest.labelled}
    rows = [row for _, row in read_rows(_predictions_of(run), (*HIP, "label", "partition"))]
    return any(tuple(row[name] for name in HIP) not in known for row in rows if row["label"])


def evaluate_external(
    runs: Sequence[Path],
    manifest: Manifest,
    out: Path,
    *,
    by: Sequence[str] = (),
    notes: Sequence[str] = (),
    readers: Path | None = None,
    progress: Progress | None = None,
) -> Path:
    """Report how good trained models are on a cohort that they never saw.

    Predictions of all labelled hips go to ``out/external/RUN/predictions.csv``; the report is
    marked as of another cohort.

    Parameters
    ----------
    runs
        Folders of `rhoa.train`; their ``predictions.csv`` says which hips they were trained on.
    manifest
        The other cohort; its partitions are left aside, as all of it is test.
    out
        Folder for the report.
    by, notes, readers
        As of `rhoa.report.write.write_report`.
    progress
        Called as ``progress(done, total, what)``.

    Raises
    ------
    ManifestError
        If a subject, or a copy of a crop, is in the cohort and among the hips of training.
    """
    from rhoa.learning import load_model
    from rhoa.learning.run_folder import is_doubtful, predictions_table

    tested = Manifest(tuple(replace(hip, partition="test") for hip in manifest.labelled))
    if not tested.hips:
        raise ManifestError("the manifest has no labelled hips to measure models on.")
    folders, unseen = [], []
    for number, run in enumerate(runs):
        trained, absent = _trained_on(run)
        if absent:
            unseen.append(f"{run.name}: {absent} of {len(trained) + absent}")
        _require_apart(run, trained, tested)
        if progress is not None:
            progress(number, len(runs), "grading the cohort")
        model = load_model(run)
        graded = list(tested)
        if model.card.get("target") == "kl":
            graded += [replace(hip, partition="test") for hip in manifest if is_doubtful(hip)]
        crops = [read_crop(hip.crop, side=hip.side) for hip in graded]
        folder = out / "external" / run.name
        folder.mkdir(parents=True, exist_ok=True)
        for file in (*COPIED, "model.json"):
            atomic_write(folder / file, file_of_run(run, file).read_bytes())
        record = {k: v for k, v in _json_of(run / "run.json").items() if k != "files_sha256"}
        atomic_write(folder / "run.json", json.dumps(record, indent=2) + "\n")
        atomic_write(folder / PREDICTIONS, predictions_table(graded, model.draws(crops, views=1)))
        folders.append(folder)
    audited = (
        f"Copies of images of training could not all be looked for: gone are {'; '.join(unseen)}"
        if unseen
        else "No subject and no image of it is among those of training"
    )
    external = (
        "External validation: the models never saw this cohort, of which every labelled hip is "
        f"tested. {audited}. Thresholds and temperatures that were chosen on validation hips are "
        "not reported, as this cohort has none."
    )
    best = explained(list(runs))
    return write_study_report(
        out,
        tested,
        folders,
        example=(best, tested),
        notes=[external, *notes],
        by=by,
        readers=readers,
        external=True,
    )


def _trained_on(run: Path) -> tuple[list[Hip], int]:
    """The hips of a run whose images are there, as of partition train; and how many are gone."""
    hips, absent = [], 0
    for _, row in read_rows(_predictions_of(run), ("image", *HIP, "label", "kl")):
        file = Path(row["image"])
        absent += not file.is_file()
        hips.append(
            Hip(
                *(file, row["subject"], cast("Side", row["side"]), cast("Source", row["source"])),
                *(None, row["visit"], int(row["label"] or 0)),  # of KL 1, which some models learn
                partition="train",
            )
        )
    return hips, absent


def _require_apart(run: Path, trained: Sequence[Hip], tested: Manifest) -> None:
    """Refuse a cohort that shares a subject or a copy of a crop with the hips of a run."""
    of_training = {hip.subject for hip in trained}
    both = {hip.subject for hip in tested} & of_training
    for one in spellings_of_one_subject([*of_training, *(hip.subject for hip in tested)]):
        if set(one) & of_training:
            both |= {hip.subject for hip in tested if hip.subject in one}
    if both:
        raise ManifestError(
            f"{len(both)} subjects of the manifest are among those that {run.name} was trained "
            "with: results would be too good; remove them, or, where they are other people of the "
            "same names, give them other names."
        )
    present = [hip for hip in trained if hip.crop.is_file()]
    first = len(present)
    copies = [leak for leak in leaks(Manifest((*present, *tested.hips))) if leak.kind != "subject"]
    if copies:
        lines = sorted({max(leak.lines) - first for leak in copies})
        raise ManifestError(
            f"{len(copies)} images of the manifest (rows {listed(lines, most=5)} of its labelled "
            f"hips) are copies of images that {run.name} was trained with: results would be too "
            "good; remove them."
        )


def _predictions_of(run: Path) -> Path:
    return file_of_run(run, PREDICTIONS)


def _json_of(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


# A study from its plan to its report.

LIBRARIES = ("torch", "torchvision", "safetensors", "matplotlib")


@dataclass(frozen=True, slots=True)
class StudyOutcome:
    """What a study left: its page, and each figure of each recipe on each set of hips."""

    report: Path
    results: tuple[Result, ...]


def conduct(plan: Plan, *, redo: bool = False, progress: Progress | None = None) -> StudyOutcome:
    """Train, measure and report all that a plan names; what is done already is not done again.

    ``plan.out`` gets ``manifest.csv`` (of folds ``manifest-fold-1.csv`` and so on), the run folders
    ``runs/RECIPE/seed-2020`` (``fold-1``), ``together/RECIPE`` with the scores of a recipe's runs
    put together, ``results.csv`` and ``results.json`` with every figure over runs and together, and
    the report of the scores together, ``report.html`` with ``metrics.json``. Of a table of scans,
    crops are written to ``images`` first.

    Parameters
    ----------
    plan
        From `rhoa.study.read_plan`, or made in Python.
    redo
        Whether runs that were trained otherwise (another recipe, start or manifest) are trained
        anew.
    progress
        Called with (images seen, in all, what is being done), and likewise for other stages.

    Raises
    ------
    ParameterError
        If runs in ``plan.out`` were trained otherwise, and not ``redo``; nothing is trained then.
    ManifestError
        As of `rhoa.cohort.read`, `rhoa.cohort.build` and `rhoa.train`.
    MissingExtraError
        Without torch or matplotlib: the extra ``train`` brings both.
    """
    for library in LIBRARIES:
        require_extra(library, extra="train", purpose="a study")
    jobs = prepare(plan, progress=progress)
    require_trainable(jobs, redo=redo)
    train_all(jobs, plan, progress=progress)
    if progress is not None:
        progress(0, 1, "measuring and writing the report")
    findings = _report(plan, jobs)
    if progress is not None:
        progress(1, 1, "measuring and writing the report")
    return findings


def prepare(plan: Plan, *, progress: Progress | None = None) -> list[Job]:
    """The runs of a plan, once its crops are made and split; nothing is trained."""
    if plan.scans is None:
        manifest = cohort.read(cast("Path", plan.manifest))  # a plan has one of the two
    else:
        manifest = _crops(plan.scans, plan.out / "images", progress)
    plan.out.mkdir(parents=True, exist_ok=True)
    if plan.folds is None:
        if any(hip.partition is None for hip in manifest):
            manifest = manifest.split(seed=plan.split_seed)
        manifests = {"manifest.csv": manifest}
    else:
        folds = manifest.folds(plan.folds, seed=plan.split_seed)
        manifests = {f"manifest-fold-{n}.csv": one for n, one in enumerate(folds, start=1)}
    for name, one in manifests.items():
        one.write(plan.out / name)
    return jobs_of(plan, list(manifests.values()))


def _crops(table: Path, images: Path, progress: Progress | None) -> Manifest:
    """The crops of a table of scans, made once for each state of the table."""
    stamp = images / "scans.sha256"
    digest = sha256_of(table) if table.is_file() else ""  # build says what is wrong with it
    if digest and stamp.is_file() and stamp.read_text(encoding="ascii").strip() == digest:
        return cohort.read(images / "manifest.csv")
    manifest = cohort.build(table, images, progress=progress)
    atomic_write(stamp, digest + "\n")
    return manifest


def _report(plan: Plan, jobs: list[Job]) -> StudyOutcome:
    folders, manifest = pool_scores(jobs, plan.out / "together")
    results = measure(jobs, read_runs(folders, manifest.labelled.hips))
    write_results(results, plan.out)
    first = {job.folder: job for job in jobs if job.name == jobs[0].name}
    shown = first[explained(list(first))]
    notes = list(plan.notes)
    if plan.folds is not None:
        notes.append(
            f"Cross-validation with {plan.folds} folds of subjects: each hip is measured with the "
            "score of the model that saw none of its subject, and counts as test. The table of "
            "cross-validation has the areas within folds, which are the headline; other tables, "
            "curves and comparisons pool the scores of all folds. Curves of training are those of "
            "the first fold; results.csv has each figure over folds."
        )
    elif len(plan.seeds) > 1:
        notes.append(
            f"Each recipe was trained with {len(plan.seeds)} seeds; a hip is measured with the "
            "mean of its scores. Curves of training are those of the first seed; results.csv has "
            "each figure's mean and spread over seeds."
        )
    report = write_study_report(
        plan.out,
        manifest,
        folders,
        example=(shown.folder, shown.manifest),
        notes=notes,
    )
    return StudyOutcome(report, tuple(results))

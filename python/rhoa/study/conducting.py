"""A study from its plan to its report."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from rhoa import cohort
from rhoa.cohort.manifest import sha256_of
from rhoa.errors import require_extra
from rhoa.study.jobs import jobs_of, require_trainable, train_all
from rhoa.study.pages import explained, write_study_report
from rhoa.study.results import measure, put_together, write_results
from rhoa.writing import atomic_write

if TYPE_CHECKING:
    from pathlib import Path

    from rhoa.cohort import Manifest
    from rhoa.study.jobs import Job, Progress
    from rhoa.study.plan import Plan
    from rhoa.study.results import Result

LIBRARIES = ("torch", "torchvision", "safetensors", "matplotlib")


@dataclass(frozen=True, slots=True)
class Findings:
    """What a study left: its page, and each figure of each recipe on each set of hips."""

    report: Path
    results: tuple[Result, ...]


def conduct(plan: Plan, *, redo: bool = False, progress: Progress | None = None) -> Findings:
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
        Without torch or matplotlib: ``pip install 'rhoa[train]'``.
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
    """The runs of a plan, once its crops are made and parted; nothing is trained."""
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
        parted = manifest.folds(plan.folds, seed=plan.split_seed)
        manifests = {f"manifest-fold-{n}.csv": one for n, one in enumerate(parted, start=1)}
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


def _report(plan: Plan, jobs: list[Job]) -> Findings:
    from rhoa.evaluation.study import read_runs

    folders, manifest = put_together(jobs, plan.out / "together")
    results = measure(jobs, read_runs(folders, manifest.labelled.hips))
    write_results(results, plan.out)
    first = {job.folder: job for job in jobs if job.name == jobs[0].name}
    shown = first[explained(list(first))]
    report = write_study_report(
        plan.out,
        manifest,
        folders,
        example=(shown.folder, shown.manifest),
        notes=[*plan.notes, *_notes(plan)],
    )
    return Findings(report, tuple(results))


def _notes(plan: Plan) -> list[str]:
    """How scores were put together, where there was more than one."""
    note = ""
    if plan.folds is not None:
        note = (
            f"Cross-validation with {plan.folds} folds of subjects: each hip is measured with the "
            "score of the model that saw none of its subject, and counts as test. Curves of "
            "training are those of the first fold; results.csv has each figure over folds."
        )
    elif len(plan.seeds) > 1:
        note = (
            f"Each recipe was trained with {len(plan.seeds)} seeds; a hip is measured with the "
            "mean of its scores. Curves of training are those of the first seed; results.csv has "
            "each figure's mean and spread over seeds."
        )
    return [note] if note else []

"""The runs that a plan asks for, each done once: what was done before is found again."""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from rhoa.cohort.manifest import sha256_of
from rhoa.errors import MissingFileError, ParameterError
from rhoa.writing import atomic_write

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from rhoa.cohort import Manifest
    from rhoa.learning import Recipe
    from rhoa.study.plan import Plan

    State = Literal["new", "begun", "done", "changed", "foreign"]
    Progress = Callable[[int, int, str], None]

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
        return [stage.iterations(hips) * stage.batch for stage, hips in self._stages()]

    def _stages(self) -> list[tuple[Recipe, int]]:
        train = [hip for hip in self.manifest.labelled if hip.partition == "train"]
        order: list[Recipe] = []
        stage: Recipe | None = self.recipe
        while stage is not None:
            order.insert(0, stage)
            stage = stage.first
        return [(one, sum(hip.source in one.sources for hip in train)) for one in order]

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
    weights = _weights(plan.weights)
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
        meter = _Meter(before, tuple(job.stages), total, where, progress)
        job.run(plan, meter)
        before += sum(job.stages)
        if progress is not None:
            progress(before, total, where)


class _Meter:
    """Progress of one run, whose stages follow one another, told as progress of all runs."""

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
        part = self.stages[self.stage] * done // max(total, 1)
        seen = self.before + sum(self.stages[: self.stage]) + part
        if self.progress is not None and seen < self.total:  # `train_all` tells the end
            self.progress(seen, self.total, self.what)


def _weights(weights: str | Path) -> str:
    """A name, or the digest of a file: weights are what they hold, not where they lie."""
    if isinstance(weights, str):
        return weights
    file = weights / WEIGHTS_FILE if weights.is_dir() else weights
    if not file.is_file():
        raise MissingFileError(f"{weights.name}: no such weights; check the path in the plan.")
    return f"sha256:{sha256_of(file)}"


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
        for inner, part in value.items()
        for name, one in _flat(part, f"{key}.{inner}".lstrip(".")).items()
    }

"""One stage of a training run: a network fitted, and the run folder it leaves."""

from __future__ import annotations

import shutil
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch

from rhoa.errors import ParameterError
from rhoa.learning.checkpoints import (
    CHECKPOINT_FILE,
    Learner,
    State,
    load_checkpoint,
    save_checkpoint,
)
from rhoa.learning.curves import growing
from rhoa.learning.dataset import read_crops
from rhoa.learning.determinism import deterministic
from rhoa.learning.finishing import finish, is_finished
from rhoa.learning.heads import UNGRADED, with_head
from rhoa.learning.loop import Fitting, LabelledCrops, fit
from rhoa.learning.network import build_network
from rhoa.learning.optimizers import build_optimizer
from rhoa.learning.recipes import SMALLEST_BATCH
from rhoa.learning.records import run_record, tensors_sha256

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
    from os import PathLike

    from torch import nn

    from rhoa.cohort import Hip
    from rhoa.learning.curves import Step
    from rhoa.learning.execution import Execution
    from rhoa.learning.recipes import Recipe
    from rhoa.learning.teams import Team

    Progress = Callable[[int, int, str], None]  # iterations done, of how many, what is done

UNFINISHED = "unfinished"
_DTYPES = {"float32": None, "bfloat16": torch.bfloat16, "float16": torch.float16}


class LabelledHip(NamedTuple):
    """A hip, and its line in the manifest's file."""

    line: int
    hip: Hip


@dataclass(frozen=True, slots=True)
class Stage:
    """One recipe, where and how it is trained, and the folder to leave."""

    recipe: Recipe
    folder: Path
    seed: int
    team: Team
    place: torch.device
    execution: Execution
    accept: str | Collection[str] = ()
    """Refusals of `rhoa.hips.read_crop` to overrule."""

    @property
    def precision(self) -> str:
        """``"float32"``, ``"bfloat16"`` or ``"float16"``."""
        if self.execution.precision != "auto":
            return self.execution.precision
        if self.place.type != "cuda":
            return "float32"
        return "bfloat16" if torch.cuda.is_bf16_supported() else "float16"


def carry_out(
    stage: Stage,
    hips: Sequence[LabelledHip],
    weights: str | PathLike[str],
    progress: Progress | None,
) -> None:
    """Train ``stage`` from ``weights`` and write its folder, unless it is there already."""
    recipe, team = stage.recipe, stage.team
    network = with_head(build_network(weights, seed=stage.seed, backbone=recipe.backbone), recipe)
    named = str(weights) if weights in {"imagenet", "none"} else Path(weights).name
    record = run_record(
        recipe,
        [hip for _, hip in hips],
        weights=named,
        weights_sha256=tensors_sha256(network.state_dict()),
        seed=stage.seed,
        device=stage.place,
        precision=stage.precision,
        processes=team.size,
    )
    chosen = _in_order(hips, recipe)
    total = recipe.iterations(len(chosen["train"]))
    tell = _teller(stage, total, progress)
    if stage.execution.resume and is_finished(stage.folder, record):
        tell(total, "is there already")
        return
    require_parts(recipe, len(chosen["train"]), team)
    everything = [one for some in chosen.values() for one in some]
    with deterministic(stage.seed, stage.place):
        crops = _labelled_crops(everything, stage)
        fitting = _fitting(stage, network, crops, {k: len(v) for k, v in chosen.items()})
        state = _train(stage, fitting, record, tell)
        if state.iteration < total:
            tell(total, f"stopped after {state.iteration} iterations")
        if team.leads:
            scored = [hip for _, hip in everything], crops
            finish(stage.folder, fitting, state, scored=scored, record=record)
            shutil.rmtree(stage.folder / UNFINISHED, ignore_errors=True)
    team.wait()


def _in_order(hips: Sequence[LabelledHip], recipe: Recipe) -> dict[str, list[LabelledHip]]:
    """Hips that train, hips that validate, and the rest."""
    parts: dict[str, list[LabelledHip]] = {"train": [], "val": [], "rest": []}
    for one in hips:
        seen = one.hip.source in recipe.sources and one.hip.partition in {"train", "val"}
        parts[str(one.hip.partition) if seen else "rest"].append(one)
    return parts


def _labelled_crops(hips: Sequence[LabelledHip], stage: Stage) -> LabelledCrops:
    recipe = stage.recipe
    images = read_crops(
        [hip for _, hip in hips],
        image_size=recipe.image_size,
        xray_size=recipe.xray_size,
        accept=stage.accept,
    )
    grades = [UNGRADED if hip.kl is None else hip.kl for _, hip in hips]
    return LabelledCrops(
        images.to(stage.place),
        torch.tensor([hip.label for _, hip in hips], device=stage.place),
        torch.tensor(grades, device=stage.place),
        [line for line, _ in hips],
    )


def _fitting(
    stage: Stage, network: nn.Module, crops: LabelledCrops, counts: Mapping[str, int]
) -> Fitting:
    channels_last = stage.place.type == "cuda"
    network.to(stage.place)
    if channels_last:
        network.to(memory_format=torch.channels_last)
    step = stage.team.spread(network)
    seen = counts["train"] + counts["val"]
    precision = stage.precision
    return Fitting(
        learner=Learner(
            network,
            build_optimizer(network, stage.recipe),
            torch.amp.GradScaler(stage.place.type, enabled=precision == "float16"),
        ),
        forward=torch.compile(step) if stage.execution.compile else step,
        recipe=stage.recipe,
        train_set=crops.between(0, counts["train"]),
        val_set=crops.between(counts["train"], seen),
        seed=stage.seed,
        team=stage.team,
        autocast=_DTYPES[precision],
        channels_last=channels_last,
    )


def _train(
    stage: Stage, fitting: Fitting, record: Mapping[str, Any], tell: Callable[[int, str], None]
) -> State:
    """The state after the last iteration, from the checkpoint if there is one."""
    folder = stage.folder / UNFINISHED
    checkpoint = folder / CHECKPOINT_FILE
    learner, recipe = fitting.learner, stage.recipe
    state = State()
    if stage.execution.resume and (checkpoint.exists() or checkpoint.is_symlink()):
        state = load_checkpoint(checkpoint, learner, identity=record)
    stage.team.wait()  # all have read what the leader will replace
    if stage.team.leads and not state.history:
        checkpoint.unlink(missing_ok=True)

    def save() -> None:
        save_checkpoint(checkpoint, learner, state, identity=record)

    with _curves(stage, folder, state) as add:

        def show(step: Step) -> None:
            add(step)
            tell(step.iteration, f"epoch {step.epoch} of {recipe.epochs}")

        fit(
            fitting,
            state,
            record=show,
            save=save,
            save_every_s=60 * stage.execution.checkpoint_minutes,
        )
    return state


@contextmanager
def _curves(stage: Stage, folder: Path, state: State) -> Iterator[Callable[[Step], None]]:
    if not stage.team.leads:
        yield lambda _: None
        return
    folder.mkdir(parents=True, exist_ok=True)
    board = stage.folder / "tensorboard" if stage.execution.tensorboard else None
    with growing(folder, state.history, tensorboard=board) as add:
        yield add


def _teller(stage: Stage, total: int, progress: Progress | None) -> Callable[[int, str], None]:
    def tell(done: int, what: str) -> None:
        if progress is not None and stage.team.leads:
            progress(done, total, f"{stage.recipe.name}: {what}")

    return tell


def require_parts(recipe: Recipe, images: int, team: Team) -> None:
    """Check that each of a team gets images enough of every batch.

    Raises
    ------
    ParameterError
        If batch normalisation would have nothing to compare.
    """
    least = min(recipe.batch_sizes(images)) // team.size
    if team.size > 1 and least < SMALLEST_BATCH:
        raise ParameterError(
            f"{recipe.name}: a batch leaves one of {team.size} processes {least} images; at least "
            f"{SMALLEST_BATCH} each are needed: start fewer, or make batch larger."
        )

"""Training a model: what is asked of the hips, the stages, and the files they leave."""

from __future__ import annotations

import copy
import hashlib
import json
import math
import shutil
import time
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from sklearn.metrics import roc_auc_score

from rhoa.cohort.leakage import require_no_leaks
from rhoa.cohort.manifest import sha256_of, variants_of
from rhoa.errors import (
    ManifestError,
    ParameterError,
    RhoaError,
    require_count,
    require_names,
    warn_user,
)
from rhoa.files import atomic_write, listed, locked, writing
from rhoa.hips.bounding_boxes import SCALING
from rhoa.hips.crop_files import CROP_REFUSALS
from rhoa.learning.data import (
    AppearanceTables,
    as_input,
    augment,
    batches,
    mean_histogram,
    read_crops,
    restyle,
    seeded,
    warp,
)
from rhoa.learning.grader import (
    CARD_FILE,
    KL_GRADES,
    RHOA_FROM,
    VALIDATION,
    WEIGHTS_FILE,
    Draws,
    validation_record,
)
from rhoa.learning.network import (
    UNGRADED,
    build_network,
    build_optimizer,
    class_logits,
    loss_of,
    outputs_of,
    set_learning_rate,
    set_population_statistics,
    with_classes,
    with_head,
    with_normalisation,
)
from rhoa.learning.preprocessing import WHITE
from rhoa.learning.recipe import SMALLEST_BATCH, Execution, Recipe
from rhoa.learning.run_folder import (
    CHECKPOINT_FILE,
    FILES,
    RUN_FILE,
    Best,
    Learner,
    Step,
    TrainingState,
    crowe_of,
    differences,
    growing,
    is_doubtful,
    load_checkpoint,
    predictions_table,
    run_hashes,
    run_record,
    save_checkpoint,
    tensors_sha256,
    write_curves,
)
from rhoa.learning.torch_model import forward, probabilities, save_model
from rhoa.torch_runtime import deterministic, device_name, gathered, sent

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
    from os import PathLike

    from torch import Tensor, nn

    from rhoa.cohort import Hip, Manifest
    from rhoa.learning.data import Batch
    from rhoa.torch_runtime import Team

    Progress = Callable[[int, int, str], None]  # iterations done, of how many, what is done


# The training loop: one, straight down.

LINES_NAMED = 8


class LabelledCrops(NamedTuple):
    """Crops ``(n, size, size)``, uint8, with labels, KL grades and lines of the manifest, ``(n,)``.

    All but the lines are on the device that computes. ``crowe`` is 0 to 3 or `UNGRADED`.
    """

    images: Tensor
    labels: Tensor
    grades: Tensor
    crowe: Tensor
    lines: Sequence[int]
    enlarged: Tensor | None = None
    """Pixels of the input that one of each crop becomes; None where shifts are of the input's."""

    def between(self, start: int, stop: int) -> LabelledCrops:
        """Some of them, without a copy."""
        some = slice(start, stop)
        return self._each(lambda tensor: tensor[some], self.lines[some])

    def at(self, numbers: Sequence[int]) -> LabelledCrops:
        """Those of these numbers."""
        chosen = torch.tensor(numbers, dtype=torch.long, device=self.images.device)
        return self._each(lambda tensor: tensor[chosen], [self.lines[number] for number in numbers])

    def _each(self, some: Callable[[Tensor], Tensor], lines: Sequence[int]) -> LabelledCrops:
        images, labels, grades, crowe, _, enlarged = self
        enlarged = None if enlarged is None else some(enlarged)
        return LabelledCrops(some(images), some(labels), some(grades), some(crowe), lines, enlarged)


@dataclass(frozen=True, slots=True)
class TrainingSetup:
    """What the loop works with.

    ``forward`` is the network of ``learner``, compiled or averaged over a team where asked for.
    """

    learner: Learner
    forward: nn.Module | Callable[[Tensor], Tensor]
    recipe: Recipe
    train_set: LabelledCrops
    val_set: LabelledCrops
    """Of the hips that judge the weights."""
    watched_set: LabelledCrops
    """Of the other validation hips, whose figures are recorded and decide nothing."""
    val_sources: Sequence[str]
    """Of the hips of both."""
    groups: Sequence[str]
    """Of the training hips, as `Recipe.sampling` names them."""
    seed: int
    team: Team
    autocast: torch.dtype | None
    channels_last: bool
    appearance: AppearanceTables | None = None
    """Of the training hips, where the recipe changes how they look."""


def fit(
    setup: TrainingSetup,
    state: TrainingState,
    *,
    record: Callable[[Step], None],
    report: Callable[[int, str], None],
    save: Callable[[], None],
    save_every_s: float,
) -> None:
    """Train from ``state`` to the end of the recipe, or until its patience is over.

    ``report`` is called after each iteration. ``record`` gets each step too, but only at the next
    validation, checkpoint or end of an epoch: to read a loss is to wait for the GPU.
    """
    recipe, learner = setup.recipe, setup.learner
    images = len(setup.train_set.lines)
    total = recipe.iterations(images)
    in_epoch = total // recipe.epochs
    done, saved = state.iteration, time.monotonic()
    unread: list[tuple[Step, Batch, Tensor]] = []
    for epoch in range(1 + done // in_epoch, recipe.epochs + 1):
        rate = recipe.learning_rate_in(epoch)
        set_learning_rate(learner.optimizer, rate)
        missed = max(0, done - (epoch - 1) * in_epoch)
        drawn = batches(recipe, images, seed=setup.seed, epoch=epoch, groups=setup.groups)
        for batch in drawn[missed:]:
            if recipe.patience is not None and state.stale >= recipe.patience:
                return
            done += 1
            step = Step(done, epoch, rate, math.nan, math.nan)
            unread.append((step, batch, train_step(setup, batch)))
            validates = done % recipe.validation_interval(images) == 0 or done == total
            saves = setup.team.leads and time.monotonic() - saved >= save_every_s
            if validates or saves or batch is drawn[-1]:
                for one in _read(unread, setup, total):
                    known = one.iteration < done or not validates
                    state.history.append(one if known else _validated(one, setup, state))
                    record(state.history[-1])
                unread.clear()
            report(done, f"epoch {epoch} of {recipe.epochs}")
            if saves:
                save()
                saved = time.monotonic()


def _read(
    unread: Sequence[tuple[Step, Batch, Tensor]], setup: TrainingSetup, total: int
) -> Iterator[Step]:
    """The steps with their loss and accuracy, up to the first whose loss is not finite."""
    figures = torch.stack([figures for _, _, figures in unread]).tolist()
    for (step, batch, _), (loss, accuracy) in zip(unread, figures, strict=True):
        read = step._replace(train_loss=loss, train_accuracy=accuracy)
        _require_finite(read, batch, setup, total)
        yield read


def train_step(setup: TrainingSetup, batch: Batch) -> Tensor:
    """One step of the optimizer; loss and accuracy of the batch before it, ``(2,)``, unread."""
    recipe, (network, optimizer, scaler) = setup.recipe, setup.learner
    team, whole = setup.team, setup.train_set
    part = batch.part(team.rank, team.size)
    place = whole.images.device
    members = sent(part.members, place)
    inputs = as_input(training_images(setup, part))
    if setup.channels_last:
        inputs = inputs.contiguous(memory_format=torch.channels_last)
    labels, grades, crowe = whole.labels[members], whole.grades[members], whole.crowe[members]
    network.train()
    with torch.autocast(place.type, dtype=setup.autocast, enabled=setup.autocast is not None):
        outputs = setup.forward(inputs)
    outputs = outputs.float()
    loss = loss_of(outputs, labels, grades, recipe, crowe=crowe, smoothing=recipe.label_smoothing)
    share = len(members) / len(batch.members)
    optimizer.zero_grad()
    # A team averages gradients over its processes, which may have parts of unequal size.
    scaled: Tensor = scaler.scale(loss * (share * team.size))
    torch.autograd.backward(scaled)
    scaler.step(optimizer)
    scaler.update()
    with torch.no_grad():
        hits = (class_logits(outputs).argmax(dim=1) == labels).float().mean()
        return team.summed(torch.stack([loss.detach(), hits]) * share)


def training_images(setup: TrainingSetup, batch: Batch) -> Tensor:
    """Levels 0 to 1 of the training images of ``batch``, changed by its draws."""
    recipe, crops = setup.recipe, setup.train_set
    members = sent(batch.members, crops.images.device)
    if setup.appearance is None:
        images = crops.images[members] / WHITE
    else:
        images = restyle(crops.images, batch, setup.appearance, recipe.appearance)
    if recipe.augmentation.changes_nothing:
        return images
    return warp(images, batch.changes, None if crops.enlarged is None else crops.enlarged[members])


def _require_finite(step: Step, batch: Batch, setup: TrainingSetup, total: int) -> None:
    if math.isfinite(step.train_loss):
        return
    lines = sorted(setup.train_set.lines[member] for member in batch.members.tolist())
    named = ", ".join(map(str, lines[:LINES_NAMED])) + (" ..." if len(lines) > LINES_NAMED else "")
    recipe = setup.recipe
    raise RhoaError(
        f"{recipe.name}, iteration {step.iteration} of {total}: the training loss is "
        f"{step.train_loss} (batch: lines {named} of the manifest); use a smaller learning_rate "
        f"than {recipe.learning_rate:g}, or other weights to begin with."
    )


def _validated(step: Step, setup: TrainingSetup, state: TrainingState) -> Step:
    """``step`` with the leader's validation figures; ``state`` learns whether it is the best."""
    val_set, recipe, network = setup.val_set, setup.recipe, setup.learner.network
    if not val_set.lines:
        return step
    figures = [math.nan] * 9
    if setup.team.leads:
        figures = validate(network, setup, step.iteration)
    place = val_set.images.device
    loss, accuracy, area, *of_sources = setup.team.broadcast(figures, place)
    if not math.isfinite(loss):
        raise RhoaError(
            f"{recipe.name}, iteration {step.iteration}: the validation loss is {loss}; use a "
            f"smaller learning_rate than {recipe.learning_rate:g}."
        )
    auc = None if math.isnan(area) else area
    best = Best(step.iteration, loss, auc)
    if state.best is None or _merit(best, recipe) > _merit(state.best, recipe):
        state.best, state.stale = best, 0
        state.best_weights = {k: v.clone() for k, v in network.state_dict().items()}
    else:
        state.stale += 1
    known = [None if math.isnan(value) else value for value in of_sources]
    return Step(*step[:5], loss, accuracy, auc, *known)


def _merit(best: Best, recipe: Recipe) -> tuple[float, float]:
    by_auc = recipe.best_by == "val_auc" and best.val_auc is not None
    return (best.val_auc or 0.0) if by_auc else 0.0, -best.val_loss


def validate(network: nn.Module, setup: TrainingSetup, iteration: int) -> list[float]:
    """Loss, accuracy and area under the ROC curve of the judging hips, of CT-APs, of X-rays.

    NaN where a class, or every hip of a source, is absent.
    """
    recipe, judges = setup.recipe, setup.val_set
    both = (judges, setup.watched_set)
    outputs = [_validation_outputs(network, one, setup, iteration) for one in both]
    figures = _figures(outputs[0], judges, recipe)
    for source in ("ct", "xray"):
        own = [number for number, name in enumerate(setup.val_sources) if name == source]
        judging = [number for number in own if number < len(judges.lines)]
        # All hips of a source judge, or none of them does.
        crops, found, first = (judges, outputs[0], 0) if judging else (
            setup.watched_set, outputs[1], len(judges.lines)
        )  # fmt: skip
        if not own:
            figures += [math.nan] * 3
            continue
        numbers = [number - first for number in own]
        figures += _figures(found[torch.tensor(numbers)], crops.at(numbers), recipe)
    return figures


def _validation_outputs(
    network: nn.Module, crops: LabelledCrops, setup: TrainingSetup, iteration: int
) -> Tensor:
    images, recipe = crops.images, setup.recipe
    if not crops.lines:
        return torch.zeros((0, 2))
    if recipe.augment_validation:
        generator = seeded(setup.seed, *[iteration] * (recipe.augment_validation == "anew"))
        changed = augment(images / WHITE, recipe.augmentation, generator, crops.enlarged)
        images = (changed * WHITE).round().to(torch.uint8)
    return forward(network, images, images.device).cpu()


def _figures(outputs: Tensor, crops: LabelledCrops, recipe: Recipe) -> list[float]:
    """Of outputs on the CPU, as figures are of float64, which not every GPU has."""
    logits = class_logits(outputs)
    labels, grades, crowe = (one.cpu() for one in (crops.labels, crops.grades, crops.crowe))
    loss = loss_of(outputs, labels, grades, recipe, crowe=crowe)
    accuracy = (logits.argmax(dim=1) == labels).double().mean()
    margin = (logits[:, 1] - logits[:, 0]).double().numpy()
    both = 0 < labels.sum() < len(labels) and bool(torch.isfinite(logits).all())
    area = float(roc_auc_score(labels.numpy(), margin)) if both else math.nan
    return [float(loss), float(accuracy), area]


# The files of a finished run: models, predictions, curves, and the record that seals them.

KEPT = ("last", "best")
SEALED = ("predictions.csv", "history.csv", "recipe.json")
"""Files whose digests ``run.json`` holds; that of the weights is in their card."""


def finish(
    folder: Path,
    setup: TrainingSetup,
    state: TrainingState,
    *,
    scored: tuple[Sequence[Hip], LabelledCrops],
    record: Mapping[str, Any],
) -> None:
    """Write everything; ``run.json``, which says that the folder is whole, comes last.

    The network is left with the kept weights.
    """
    recipe, network = setup.recipe, setup.learner.network
    hips, crops = scored
    weights = {"last": {k: v.clone() for k, v in network.state_dict().items()}}
    iterations: dict[str, int] = {"last": state.iteration}
    if state.best is not None:
        weights["best"] = state.best_weights
        iterations["best"] = state.best.iteration
    strange = [key for key, value in weights["last"].items() if not torch.isfinite(value).all()]
    if strange:
        raise RhoaError(
            f"{recipe.name}: after the last iteration {len(strange)} tensors are not finite "
            f"(first: {strange[0]}); use a smaller learning_rate, or other weights to begin with."
        )
    kept = recipe.keep if recipe.keep in weights else "last"

    folder.mkdir(parents=True, exist_ok=True)
    (folder / RUN_FILE).unlink(missing_ok=True)
    for name in KEPT:
        shutil.rmtree(folder / name, ignore_errors=True)
    notes = {
        "pretrained": record["weights"],
        SCALING: record.get(SCALING),
        "trained_hips": len(setup.train_set.lines),
        "iterations": state.iteration,
        "best_iteration": None if state.best is None else state.best.iteration,
        "best_val_loss": None if state.best is None else state.best.val_loss,
        "best_val_auc": None if state.best is None else state.best.val_auc,
    }
    for name in sorted(weights, key=lambda name: name == kept):  # the kept one last
        network.load_state_dict(weights[name])
        if recipe.bn_statistics == "population":
            set_population_statistics(network, _every_training_input(setup))
        place = folder if name == kept else folder / name
        place.mkdir(exist_ok=True)
        own = {**notes, "weights_of": name, "weights_iteration": iterations[name]}
        saved = with_classes(copy.deepcopy(network))
        if validated := setup.val_set.images.shape[0]:
            found = probabilities(saved, setup.val_set.images, crops.images.device)
            of = json.dumps([record["manifest_sha256"], sorted(recipe.sources), validated])
            own[VALIDATION] = validation_record(found, hashlib.sha256(of.encode()).hexdigest())
        save_model(saved, place, recipe=recipe, seed=setup.seed, notes=own)
    scores = probabilities(saved, crops.images, crops.images.device)
    order = sorted(range(len(hips)), key=lambda at: crops.lines[at])
    table = predictions_table([hips[at] for at in order], Draws.of(scores[None, order]))
    atomic_write(folder / "predictions.csv", table)
    write_curves(folder, state.history)
    atomic_write(folder / "recipe.json", _json(recipe.as_dict()))
    sealed = {FILES: {name: sha256_of(folder / name) for name in SEALED}}
    atomic_write(folder / RUN_FILE, _json({**record, **sealed}))


def _every_training_input(setup: TrainingSetup) -> Iterator[Tensor]:
    """What the network is given of one epoch more, in which no image sits out."""
    recipe = replace(setup.recipe, drop_last=False, epoch_iterations=None)
    count, epoch = len(setup.train_set.lines), recipe.epochs + 1
    for batch in batches(recipe, count, seed=setup.seed, epoch=epoch, groups=setup.groups):
        yield as_input(training_images(setup, batch))


def is_finished(folder: Path, record: Mapping[str, Any]) -> bool:
    """Whether the run of ``record`` has left its whole folder there, with the files it sealed.

    Raises
    ------
    ParameterError
        If another run has: finished work is not written over.
    """
    there = _finished_record(folder)
    if there is None:
        return False
    _require_asked_the_same(folder, there, record)
    try:
        card = json.loads((folder / CARD_FILE).read_text(encoding="utf-8"))
        sealed = {WEIGHTS_FILE: card["weights_sha256"], **there.get(FILES, {})}
        return all(sha256_of(folder / name) == digest for name, digest in sealed.items())
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return False


def _finished_record(folder: Path) -> dict[str, Any] | None:
    """What ``run.json`` of a folder says; None where it is no whole run of rhoa.

    Raises
    ------
    ParameterError
        If the folder holds files that a run would write over, and no sign of a run of rhoa.
    """
    try:
        there = json.loads((folder / RUN_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        there = None
    if isinstance(there, dict):
        return there
    own = [name for name in (WEIGHTS_FILE, "predictions.csv", *KEPT) if (folder / name).exists()]
    if own and not (folder / UNFINISHED).exists():
        raise ParameterError(
            f"{folder.name}: holds {', '.join(own)} and no {RUN_FILE} that says what they are; "
            "choose another folder, or write over them with resume=False (--restart)."
        )
    return None


def _require_asked_the_same(
    folder: Path, there: Mapping[str, Any], record: Mapping[str, Any]
) -> None:
    if other := differences({name: there.get(name) for name in record}, record):
        raise ParameterError(
            f"{folder.name}: holds a finished run of other words ({'; '.join(other)}); choose "
            "another folder, or write over it with resume=False (--restart)."
        )


def _json(content: object) -> str:
    return json.dumps(content, indent=2) + "\n"


# One stage of a training run: a network fitted, and the run folder it leaves.

UNFINISHED = "unfinished"
_DTYPES = {"float32": None, "bfloat16": torch.bfloat16, "float16": torch.float16}


class LabelledHip(NamedTuple):
    """A hip, and its line in the manifest's file."""

    line: int
    hip: Hip


@dataclass(frozen=True, slots=True)
class StageConfig:
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


def run_stage(
    stage: StageConfig,
    hips: Sequence[LabelledHip],
    weights: str | PathLike[str],
    progress: Progress | None,
) -> None:
    """Train ``stage`` from ``weights`` and write its folder, unless it is there already."""
    recipe, team = stage.recipe, stage.team
    hips = [one for one in hips if truth_of(one.hip, recipe) is not None]
    taught = [hip for _, hip in hips if hip.partition == "train"] if recipe.target == "kl" else []
    outputs = outputs_of(recipe, with_crowe=any(crowe_of(hip) for hip in taught))
    backbone, start = recipe.backbone, recipe.head_start
    network = build_network(
        weights, seed=stage.seed, backbone=backbone, outputs=outputs, head_start=start
    )
    with_head(network, recipe)
    named = str(weights) if weights in {"imagenet", "none"} else Path(weights).name
    record = run_record(
        recipe,
        [hip for _, hip in hips],
        weights=named,
        weights_sha256=tensors_sha256(network.state_dict()),
        seed=stage.seed,
        device=stage.place,
        devices=team.everyone(device_name(stage.place)),
        precision=stage.precision,
    )
    judges = recipe.sources if recipe.validate_on == "all" else (recipe.validate_on,)
    used = {"train": recipe.sources, "val": judges}
    chosen: dict[str, list[LabelledHip]] = {"train": [], "val": [], "rest": []}
    for one in hips:
        seen = one.hip.source in used.get(str(one.hip.partition), ())
        chosen[str(one.hip.partition) if seen else "rest"].append(one)
    if recipe.validate_on != "all" and not chosen["val"]:
        raise ManifestError(
            f"{recipe.name}: validate_on is {recipe.validate_on}, and no validation hip of the "
            "manifest is of that source; split again, or let all hips judge."
        )
    total = recipe.iterations(len(chosen["train"]))

    def report(done: int, what: str) -> None:
        if progress is not None and team.leads:
            progress(done, total, f"{recipe.name}: {what}")

    if stage.execution.resume and is_finished(stage.folder, record):
        report(total, "is there already")
        return
    require_parts(recipe, len(chosen["train"]), team)
    everything = [one for some in chosen.values() for one in some]
    with deterministic(stage.seed, stage.place):
        crops = _labelled_crops(everything, stage)
        setup = _training_setup(stage, network, crops, chosen)
        state = _train(stage, setup, record, report)
        if state.iteration < total:
            report(total, f"stopped after {state.iteration} iterations")
        if team.leads:
            scored = [hip for _, hip in everything], crops
            finish(stage.folder, setup, state, scored=scored, record=record)
            shutil.rmtree(stage.folder / UNFINISHED, ignore_errors=True)
    team.wait()


def _labelled_crops(hips: Sequence[LabelledHip], stage: StageConfig) -> LabelledCrops:
    recipe = stage.recipe
    enlarged = torch.empty(len(hips)) if recipe.augment_on == "crop" else None
    images = read_crops(
        [hip for _, hip in hips],
        image_size=recipe.image_size,
        xray_size=recipe.xray_size,
        accept=stage.accept,
        enlarged=enlarged,
    )
    grades = [UNGRADED if hip.kl is None else hip.kl for _, hip in hips]
    crowe = [(crowe_of(hip) if recipe.target == "kl" else None) for _, hip in hips]
    return LabelledCrops(
        images.to(stage.place),
        torch.tensor([truth_of(hip, recipe) for _, hip in hips], device=stage.place),
        torch.tensor(grades, device=stage.place),
        torch.tensor([UNGRADED if one is None else one - 1 for one in crowe], device=stage.place),
        [line for line, _ in hips],
        None if enlarged is None else enlarged.to(stage.place),
    )


def _appearance_tables(
    stage: StageConfig, images: Tensor, hips: Sequence[LabelledHip]
) -> AppearanceTables | None:
    recipe = stage.recipe
    if recipe.appearance.changes_nothing:
        return None
    asked = recipe.appearance.variants > 0
    files = [variants_of(hip) if asked else [] for _, hip in hips]
    if asked and not any(files):
        warn_user(
            f"{recipe.name}: appearance.variants is set, and no training hip has variants; "
            "rhoa hips scans.csv --variants makes them."
        )
    variants = read_crops(
        [replace(hip, image=one) for (_, hip), own in zip(hips, files, strict=True) for one in own],
        image_size=recipe.image_size,
        xray_size=recipe.xray_size,
        accept=stage.accept,
    )
    is_ct = torch.tensor([hip.source == "ct" for _, hip in hips])
    targets = []
    if recipe.appearance.histogram and 0 < is_ct.sum() < len(is_ct):
        targets = [mean_histogram(images[own.to(stage.place)]) for own in (is_ct, ~is_ct)]
    counts = torch.tensor([len(own) for own in files])
    return AppearanceTables(
        is_ct,
        torch.stack(targets).cumsum(1).float().to(stage.place) if targets else torch.empty(0),
        variants.to(stage.place),
        torch.stack([counts.cumsum(0) - counts, counts], dim=1),
    )


def _training_setup(
    stage: StageConfig,
    network: nn.Module,
    crops: LabelledCrops,
    chosen: Mapping[str, Sequence[LabelledHip]],
) -> TrainingSetup:
    channels_last = stage.place.type == "cuda"
    precision, trained = stage.precision, len(chosen["train"])
    if stage.recipe.normalisation == "training":
        levels = mean_histogram(crops.images[:trained])
        grey = torch.linspace(0, 1, WHITE + 1, dtype=torch.float64)
        mean = float((levels * grey).sum())
        with_normalisation(network, mean, float((levels * (grey - mean) ** 2).sum().sqrt()))
    network.to(stage.place)
    if channels_last:
        network.to(memory_format=torch.channels_last)
    step = stage.team.spread(network)
    seen = trained + len(chosen["val"])
    others = [n for n, (_, hip) in enumerate(chosen["rest"]) if hip.partition == "val"]
    watched = [chosen["rest"][number] for number in others]
    return TrainingSetup(
        learner=Learner(
            network,
            build_optimizer(network, stage.recipe),
            torch.amp.GradScaler(stage.place.type, enabled=precision == "float16"),
        ),
        forward=torch.compile(step) if stage.execution.compile else step,
        recipe=stage.recipe,
        train_set=crops.between(0, trained),
        val_set=crops.between(trained, seen),
        watched_set=crops.at([seen + number for number in others]),
        val_sources=[hip.source for _, hip in (*chosen["val"], *watched)],
        groups=[group_of(hip, stage.recipe) for _, hip in chosen["train"]],
        seed=stage.seed,
        team=stage.team,
        autocast=_DTYPES[precision],
        channels_last=channels_last,
        appearance=_appearance_tables(stage, crops.images[:trained], chosen["train"]),
    )


def _train(
    stage: StageConfig,
    setup: TrainingSetup,
    record: Mapping[str, Any],
    report: Callable[[int, str], None],
) -> TrainingState:
    """The state after the last iteration, from the checkpoint if there is one."""
    folder = stage.folder / UNFINISHED
    checkpoint = folder / CHECKPOINT_FILE
    learner = setup.learner
    state = TrainingState()
    if stage.execution.resume and (checkpoint.exists() or checkpoint.is_symlink()):
        state = load_checkpoint(checkpoint, learner, identity=record)
    stage.team.wait()  # all have read what the leader will replace
    if stage.team.leads and not state.history:
        checkpoint.unlink(missing_ok=True)

    def save() -> None:
        save_checkpoint(checkpoint, learner, state, identity=record)

    with _curves(stage, folder, state) as add:
        fit(
            setup,
            state,
            record=add,
            report=report,
            save=save,
            save_every_s=60 * stage.execution.checkpoint_minutes,
        )
    return state


@contextmanager
def _curves(
    stage: StageConfig, folder: Path, state: TrainingState
) -> Iterator[Callable[[Step], None]]:
    if not stage.team.leads:
        yield lambda _: None
        return
    folder.mkdir(parents=True, exist_ok=True)
    board = stage.folder / "tensorboard" if stage.execution.tensorboard else None
    with growing(folder, state.history, tensorboard=board) as add:
        yield add


def require_parts(recipe: Recipe, images: int, team: Team) -> None:
    """Check that each of a team gets images enough of every batch, and none is left to wait.

    Raises
    ------
    ParameterError
        If batch normalisation would have nothing to compare, or its statistics are to be measured
        at the end, which one process does alone.
    """
    if team.size > 1 and recipe.bn_statistics == "population":
        raise ParameterError(
            f'{recipe.name}: bn_statistics="population" is measured by one process: start one, or '
            'train with "running".'
        )
    least = min(recipe.batch_sizes(images)) // team.size
    if team.size > 1 and least < SMALLEST_BATCH:
        raise ParameterError(
            f"{recipe.name}: a batch leaves one of {team.size} processes {least} images; at least "
            f"{SMALLEST_BATCH} each are needed: start fewer, or make batch larger."
        )


# Training a model: what is asked of the hips, and the stages one after the other.


def train(
    manifest: Manifest,
    recipe: Recipe,
    out: str | PathLike[str],
    *,
    weights: str | PathLike[str] = "imagenet",
    device: str = "auto",
    seed: int = 2020,
    progress: Progress | None = None,
    execution: Execution = Execution(),  # noqa: B008  # frozen
    accept: str | Collection[str] = (),
) -> Path:
    """Train a model on a manifest's crops and write its run folder.

    The folder holds ``model.safetensors`` and its card ``model.json``; ``last`` or ``best``, a
    folder with the other of the last weights and those of the best validation; ``predictions.csv``,
    a row per labelled hip of X-rays and of CT-APs, whatever the model was trained on;
    ``history.csv`` and ``history.jsonl``, a row per iteration (training figures are of the batch;
    validation ones are empty between validations); ``recipe.json``; and ``run.json``: what was run
    on what. The stage before, where the recipe has one (``first``), leaves the run folder ``first``
    inside.

    While it runs, a folder ``unfinished`` holds a checkpoint and the curves so far; all else is
    written at the end. Called again with the same arguments, it goes on from there, on a CPU with
    as many threads to the same bits as if nothing had happened; a run that is finished is left as
    it is, and one of other arguments is written over only where ``execution`` says
    ``resume=False``. A lock keeps a second process out of the folder. Started by
    ``torchrun``, its processes train one model together: each takes its part of every batch, and
    gradients and batch normalisation are of the whole.

    Parameters
    ----------
    manifest
        Labelled hips with partitions; hips without a label are left out, but for those of KL 1
        where the recipe's target is ``"kl"``.
    recipe
        One of `rhoa.recipes`, or a variant.
    out
        The run folder; made if absent.
    weights
        To begin with: ``"imagenet"``, ``"none"`` (random), or the path of a ``.safetensors`` file,
        a state dict, or the run folder of another model.
    device
        ``"auto"``: a GPU where there is one; else a name that torch knows.
    seed
        Of random weights, order and augmentation. On one machine's CPU with one number of threads
        (``run.json`` has it), one seed gives one set of weights, to the bit.
    progress
        Called as ``progress(done, total, text)`` after each iteration.
    execution
        Precision, compilation, checkpoints, curves.
    accept
        Refusals of `rhoa.hips.read_crop` to overrule for every crop of the manifest, by name:
        ``"label"``, ``"size"``, ``"shape"`` (pads what is not square), ``"colour"``.

    Returns
    -------
    pathlib.Path
        ``out``.

    Raises
    ------
    ManifestError
        If the manifest has no partitions, a subject or a copy of a crop lies in two of them
        (`rhoa.cohort.leaks`), a crop is missing or refused, the recipe's training hips lack a
        class, or its target is ``"kl"`` and a hip has a label and no grade.
    WeightsError
        If ``weights`` are absent or do not fit, or the checkpoint is damaged or of another run.
    ParameterError
        If ``out`` holds a finished run of another recipe, seed, manifest or start.
    WriteError
        If another process trains in ``out``, or the disk is full.
    RhoaError
        If the loss is no longer finite; the message names the iteration and the batch.

    References
    ----------
    Gebre et al. 2022, Training the deep learning model.
    """
    if not isinstance(recipe, Recipe):
        raise ParameterError(
            f'recipe must be a Recipe, as rhoa.recipes["model-3"]; got {recipe!r}.'
        )
    require_count("seed", seed, least=0)
    overruled = require_names("accept", accept, CROP_REFUSALS, kind="refusals")
    stages = [recipe]
    while stages[0].first is not None:
        stages.insert(0, stages[0].first)
    hips = _partitioned(manifest, stages)
    for stage in stages:
        chosen = [h for _, h in hips if h.partition == "train" and h.source in stage.sources]
        counts = [sum(truth_of(hip, stage) == label for hip in chosen) for label in (0, 1)]
        if min(counts) == 0 or sum(counts) < SMALLEST_BATCH:
            raise ManifestError(
                f"{stage.name} trains on {' and '.join(stage.sources)} hips: {counts[0]} without "
                f"and {counts[1]} with rHOA are marked train; at least one of each is needed."
            )
        absent = [str(kl) for kl in KL_GRADES if kl not in {hip.kl for hip in chosen}]
        if stage.target == "kl" and absent:
            warn_user(f"{stage.name}: no training hip has KL {', '.join(absent)}: never answered.")
    folder, start = Path(out), weights
    there = _finished_record(folder) if execution.resume else None
    if there is not None:  # before a stage that it begins with is trained
        own = [hip for _, hip in hips if truth_of(hip, recipe) is not None]
        record = {"recipe": recipe.as_dict(), "seed": seed, **run_hashes(own)}
        _require_asked_the_same(folder, there, record)
    with gathered(device) as (team, place), writing(folder.name):
        team.once(lambda: _require_no_leaks(manifest, hips), place)
        with locked(folder) if team.leads else nullcontext():
            for number, one in enumerate(stages, start=1):
                inner = folder.joinpath(*["first"] * (len(stages) - number))
                run = StageConfig(one, inner, seed, team, place, execution, overruled)
                run_stage(run, hips, start, progress)
                start = inner
    return folder


def truth_of(hip: Hip, recipe: Recipe) -> int | None:
    """Whether a hip has rHOA; None where the recipe's target leaves it out."""
    if recipe.target == "rhoa" or hip.kl is None:
        return hip.label
    return int(hip.kl >= RHOA_FROM) if hip.label is not None or is_doubtful(hip) else None


def group_of(hip: Hip, recipe: Recipe) -> str:
    """The group of a training hip that `Recipe.sampling` weighs; empty where it weighs none."""
    label = truth_of(hip, recipe)
    names = (hip.source, str(label), f"{hip.source}-{label}")
    return next((name for name in names if name in recipe.group_weights), "")


def _partitioned(manifest: Manifest, stages: Sequence[Recipe]) -> list[LabelledHip]:
    """The hips that a stage can use, all of which have a partition."""
    hips = [
        LabelledHip(line, hip)
        for line, hip in enumerate(manifest.hips, start=2)
        if any(truth_of(hip, stage) is not None for stage in stages)
    ]
    if not hips:
        raise ManifestError("the manifest has no labelled hips; fill its kl or label column.")
    bare = sum(hip.partition is None for _, hip in hips)
    if bare:
        raise ManifestError(
            f"{bare} of {len(hips)} labelled hips have no partition; run `rhoa split` on the "
            "manifest (or manifest.split()) first."
        )
    sources = {source for stage in stages if stage.target == "kl" for source in stage.sources}
    ungraded = [line for line, hip in hips if hip.kl is None and hip.source in sources]
    if ungraded:
        raise ManifestError(
            f"{len(ungraded)} hips have a label and no KL grade (lines "
            f'{listed(ungraded, most=LINES_NAMED)} of the manifest), which target="kl" needs; fill '
            "their kl column, empty their label, or train with target=rhoa."
        )
    if sources:
        for line, hip in hips:
            crowe_of(hip, f"line {line} of the manifest")
    return hips


def _require_no_leaks(manifest: Manifest, used: Sequence[LabelledHip]) -> None:
    graded = {hip for _, hip in used if hip.label is None}  # of KL 1, audited as the others are
    audited = (replace(hip, label=0) if hip in graded else hip for hip in manifest.hips)
    require_no_leaks(replace(manifest, hips=tuple(audited)) if graded else manifest)

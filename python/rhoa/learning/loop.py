"""The training loop: one, straight down."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import torch
from sklearn.metrics import roc_auc_score

from rhoa.errors import RhoaError
from rhoa.learning.batches import batches, seeded
from rhoa.learning.checkpoints import Best, Learner, State
from rhoa.learning.curves import Step
from rhoa.learning.dataset import as_input
from rhoa.learning.heads import class_logits, loss_of
from rhoa.learning.inference import forward
from rhoa.learning.levels import WHITE
from rhoa.learning.optimizers import set_learning_rate
from rhoa.learning.warping import augment, warp

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor, nn

    from rhoa.learning.batches import Batch
    from rhoa.learning.recipes import Recipe
    from rhoa.learning.teams import Team

LINES_NAMED = 8


class LabelledCrops(NamedTuple):
    """Crops ``(n, size, size)``, uint8, with labels, KL grades and lines of the manifest, ``(n,)``.

    All but the lines are on the device that computes.
    """

    images: Tensor
    labels: Tensor
    grades: Tensor
    lines: Sequence[int]

    def between(self, start: int, stop: int) -> LabelledCrops:
        """Some of them, without a copy."""
        some = slice(start, stop)
        return LabelledCrops(
            self.images[some], self.labels[some], self.grades[some], self.lines[some]
        )


@dataclass(frozen=True, slots=True)
class Fitting:
    """What the loop works with.

    ``forward`` is the network of ``learner``, compiled or averaged over a team where asked for.
    """

    learner: Learner
    forward: nn.Module | Callable[[Tensor], Tensor]
    recipe: Recipe
    train_set: LabelledCrops
    val_set: LabelledCrops
    seed: int
    team: Team
    autocast: torch.dtype | None
    channels_last: bool


def fit(
    fitting: Fitting,
    state: State,
    *,
    record: Callable[[Step], None],
    save: Callable[[], None],
    save_every_s: float,
) -> None:
    """Train from ``state`` to the end of the recipe, or until its patience is over."""
    recipe, learner = fitting.recipe, fitting.learner
    images = len(fitting.train_set.lines)
    total = recipe.iterations(images)
    in_epoch = total // recipe.epochs
    done, saved = state.iteration, time.monotonic()
    for epoch in range(1 + done // in_epoch, recipe.epochs + 1):
        rate = recipe.learning_rate_in(epoch)
        set_learning_rate(learner.optimizer, rate)
        missed = max(0, done - (epoch - 1) * in_epoch)
        for batch in batches(recipe, images, seed=fitting.seed, epoch=epoch)[missed:]:
            if recipe.patience is not None and state.stale >= recipe.patience:
                return
            loss, accuracy = train_step(fitting, batch)
            step = Step(state.iteration + 1, epoch, rate, loss, accuracy)
            _require_finite(step, batch, fitting, total)
            if step.iteration % recipe.validation_every == 0 or step.iteration == total:
                step = _validated(step, fitting, state)
            state.history.append(step)
            record(step)
            if fitting.team.leads and time.monotonic() - saved >= save_every_s:
                save()
                saved = time.monotonic()


def train_step(fitting: Fitting, batch: Batch) -> tuple[float, float]:
    """One step of the optimizer; loss and accuracy of the batch as they were before it."""
    recipe, (network, optimizer, scaler) = fitting.recipe, fitting.learner
    team, whole = fitting.team, fitting.train_set
    members, changes = batch.part(team.rank, team.size)
    place = whole.images.device
    members = members.to(place)
    images = whole.images[members] / WHITE
    if not recipe.augmentation.changes_nothing:
        images = warp(images, changes)
    inputs = as_input(images)
    if fitting.channels_last:
        inputs = inputs.contiguous(memory_format=torch.channels_last)
    labels, grades = whole.labels[members], whole.grades[members]
    network.train()
    with torch.autocast(place.type, dtype=fitting.autocast, enabled=fitting.autocast is not None):
        outputs = fitting.forward(inputs)
    outputs = outputs.float()
    loss = loss_of(outputs, labels, grades, recipe, smoothing=recipe.label_smoothing)
    share = len(members) / len(batch.members)
    optimizer.zero_grad()
    # A team averages gradients over its processes, which may have parts of unequal size.
    scaled: Tensor = scaler.scale(loss * (share * team.size))
    torch.autograd.backward(scaled)
    scaler.step(optimizer)
    scaler.update()
    with torch.no_grad():
        hits = (class_logits(outputs, recipe).argmax(dim=1) == labels).float().mean()
        figures = team.summed(torch.stack([loss.detach(), hits]) * share)
    mean_loss, accuracy = figures.tolist()
    return mean_loss, accuracy


def _require_finite(step: Step, batch: Batch, fitting: Fitting, total: int) -> None:
    if math.isfinite(step.train_loss):
        return
    lines = sorted(fitting.train_set.lines[member] for member in batch.members.tolist())
    named = ", ".join(map(str, lines[:LINES_NAMED])) + (" ..." if len(lines) > LINES_NAMED else "")
    recipe = fitting.recipe
    raise RhoaError(
        f"{recipe.name}, iteration {step.iteration} of {total}: the training loss is "
        f"{step.train_loss} (batch: lines {named} of the manifest); use a smaller learning_rate "
        f"than {recipe.learning_rate:g}, or other weights to begin with."
    )


def _validated(step: Step, fitting: Fitting, state: State) -> Step:
    """``step`` with the leader's validation figures; ``state`` learns whether it is the best."""
    val_set, recipe, network = fitting.val_set, fitting.recipe, fitting.learner.network
    if not val_set.lines:
        return step
    figures = torch.zeros(3, dtype=torch.float64, device=val_set.images.device)
    if fitting.team.leads:
        values = validate(network, val_set, recipe, seed=fitting.seed)
        figures.copy_(torch.tensor(values, dtype=torch.float64))
    loss, accuracy, area = fitting.team.told(figures).tolist()
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
    return step._replace(val_loss=loss, val_accuracy=accuracy, val_auc=auc)


def _merit(best: Best, recipe: Recipe) -> tuple[float, float]:
    by_auc = recipe.best_by == "val_auc" and best.val_auc is not None
    return (best.val_auc or 0.0) if by_auc else 0.0, -best.val_loss


def validate(
    network: nn.Module, val_set: LabelledCrops, recipe: Recipe, *, seed: int
) -> tuple[float, float, float]:
    """Loss, accuracy and area under the ROC curve (NaN where a class is absent)."""
    images = val_set.images
    if recipe.augment_validation:  # the same changes at each validation, so that curves compare
        changed = augment(images / WHITE, recipe.augmentation, seeded(seed))
        images = (changed * WHITE).round().to(torch.uint8)
    outputs = forward(network, images, images.device)
    logits = class_logits(outputs, recipe)
    loss = loss_of(outputs, val_set.labels, val_set.grades, recipe)
    accuracy = (logits.argmax(dim=1) == val_set.labels).double().mean()
    labels = val_set.labels.cpu().numpy()
    margin = (logits[:, 1] - logits[:, 0]).double().cpu().numpy()
    both = 0 < labels.sum() < len(labels) and bool(torch.isfinite(logits).all())
    return float(loss), float(accuracy), float(roc_auc_score(labels, margin)) if both else math.nan

"""Training a model: what is asked of the hips, and the stages one after the other."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rhoa.cohort import require_no_leaks
from rhoa.errors import ManifestError, ParameterError, require_count, require_names
from rhoa.hips.crop_files import CROP_REFUSALS
from rhoa.learning.execution import Execution
from rhoa.learning.recipes import SMALLEST_BATCH, Recipe
from rhoa.learning.stages import LabelledHip, Stage, carry_out
from rhoa.learning.teams import gathered

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from os import PathLike

    from rhoa.cohort import Manifest
    from rhoa.learning.stages import Progress


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
    written at the end. Called again with the same arguments, it goes on from there, on a CPU to the
    same bits as if nothing had happened; a run that is finished is left as it is. Started by
    ``torchrun``, its processes train one model together: each takes its part of every batch.

    Parameters
    ----------
    manifest
        Labelled hips with partitions; hips without a label are left out.
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
        Of random weights, order and augmentation. On one machine's CPU, one seed gives one set of
        weights, to the bit.
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
        (`rhoa.cohort.leaks`), a crop is missing or refused, or the recipe's training hips lack a
        class.
    WeightsError
        If ``weights`` are absent or do not fit, or the checkpoint is damaged or of another run.
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
    hips = _partitioned(manifest)
    stages = [recipe]
    while stages[0].first is not None:
        stages.insert(0, stages[0].first)
    for stage in stages:
        _require_classes(hips, stage)
    folder, start = Path(out), weights
    with gathered(device) as (team, place):
        for number, one in enumerate(stages, start=1):
            inner = folder.joinpath(*["first"] * (len(stages) - number))
            run = Stage(one, inner, seed, team, place, execution, overruled)
            carry_out(run, hips, start, progress)
            start = inner
    return folder


def _partitioned(manifest: Manifest) -> list[LabelledHip]:
    """The labelled hips, all of which have a partition that nothing leaks into."""
    hips = [
        LabelledHip(line, hip)
        for line, hip in enumerate(manifest.hips, start=2)
        if hip.label is not None
    ]
    if not hips:
        raise ManifestError("the manifest has no labelled hips; fill its kl or label column.")
    bare = sum(hip.partition is None for _, hip in hips)
    if bare:
        raise ManifestError(
            f"{bare} of {len(hips)} labelled hips have no partition; run `rhoa split` on the "
            "manifest (or manifest.split()) first."
        )
    require_no_leaks(manifest)
    return hips


def _require_classes(hips: Sequence[LabelledHip], recipe: Recipe) -> None:
    chosen = [hip for _, hip in hips if hip.partition == "train" and hip.source in recipe.sources]
    counts = [sum(hip.label == label for hip in chosen) for label in (0, 1)]
    if min(counts) == 0 or sum(counts) < SMALLEST_BATCH:
        raise ManifestError(
            f"{recipe.name} trains on {' and '.join(recipe.sources)} hips: {counts[0]} without and "
            f"{counts[1]} with rHOA are marked train; at least one of each is needed."
        )

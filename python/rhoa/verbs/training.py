"""Training a model: the options of ``rhoa train``, and what it does."""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import rhoa
from rhoa import cohort
from rhoa.errors import ParameterError
from rhoa.learning import Execution, Recipe, as_coded
from rhoa.progress import bar
from rhoa.verbs.options import crop_option
from rhoa.verbs.output import Result

EPILOG = """\
Started again with the same words, it goes on from its last checkpoint (OUT/unfinished), on a CPU to
the same bits; the learning curves are there while it runs. Several GPUs, or processes, train one
model together:

  torchrun --nproc-per-node 4 -m rhoa train study/manifest.csv -o runs/model-3

Any field of a recipe can be set, by its name in rhoa.learning.Recipe:

  rhoa train study/manifest.csv -o runs/mine --recipe modern --set head=ordinal --set epochs=40 \\
      --set augmentation.rotation_deg=10"""


def train_options(verb: argparse.ArgumentParser) -> None:
    """Of ``rhoa train``."""
    verb.formatter_class = argparse.RawDescriptionHelpFormatter
    verb.epilog = EPILOG
    verb.add_argument("manifest", type=Path, help="manifest.csv with partitions")
    verb.add_argument(
        "--recipe", default="model-3", help=f"{', '.join(rhoa.recipes)} (default: model-3)"
    )
    verb.add_argument("-o", "--out", type=Path, required=True, help="run folder to write")
    verb.add_argument(
        "--weights", default="imagenet", metavar="imagenet|none|FILE", help="where to start from"
    )
    verb.add_argument("--epochs", type=int, help="default: the recipe's")
    verb.add_argument("--image-size", type=int, help="network input, pixels (default: 224)")
    verb.add_argument(
        "--as-coded",
        action="store_true",
        help="the recipe as the paper's code has it where that differs from its text",
    )
    verb.add_argument(
        "--set",
        action="append",
        default=[],
        type=_field,
        metavar="FIELD=VALUE",
        help="another value of a field of the recipe (and of the one trained before it)",
    )
    verb.add_argument("--device", default="auto", help="auto, cpu, cuda (default: auto)")
    verb.add_argument("--seed", type=int, default=2020)
    verb.add_argument(
        "--precision",
        default="auto",
        metavar="auto|float32|bfloat16|float16",
        help="of training steps (default: half precision on a GPU, float32 on a CPU)",
    )
    crop_option(verb)
    verb.add_argument("--compile", action="store_true", help="torch.compile the training step")
    verb.add_argument(
        "--checkpoint-minutes", type=float, default=5.0, help="between checkpoints (default: 5)"
    )
    verb.add_argument(
        "--restart", action="store_true", help="begin anew, whatever the folder holds"
    )
    verb.add_argument(
        "--tensorboard", action="store_true", help="also write curves for TensorBoard"
    )


def _field(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form FIELD=VALUE")
    try:
        return name, json.loads(value)
    except json.JSONDecodeError:
        return name, value


def train(options: argparse.Namespace) -> Result:
    """A trained model."""
    recipe = recipe_of(options)  # a wrong word is told before a long table is read
    run = rhoa.train(
        cohort.read(options.manifest),
        recipe,
        options.out,
        weights=options.weights,
        device=options.device,
        seed=options.seed,
        progress=bar(),
        execution=Execution(
            precision=options.precision,
            compile=options.compile,
            checkpoint_minutes=options.checkpoint_minutes,
            resume=not options.restart,
            tensorboard=options.tensorboard,
        ),
        accept=options.accept,
    )
    return Result([{"run": str(run)}], [f"wrote {run}; measure it with `rhoa evaluate`"])


def recipe_of(options: argparse.Namespace) -> Recipe:
    """The recipe that the options name, and what they change of it.

    Raises
    ------
    ParameterError
        If there is no such recipe or field, or a value is out of its range.
    """
    if options.recipe not in rhoa.recipes:
        raise ParameterError(
            f"there is no recipe {options.recipe!r}; choose one of {', '.join(rhoa.recipes)}."
        )
    recipe = rhoa.recipes[options.recipe]
    if options.as_coded:
        recipe = as_coded(recipe)
    changes: dict[str, Any] = {"epochs": options.epochs, "image_size": options.image_size}
    changes = {name: value for name, value in changes.items() if value is not None}
    augmentation = {}
    for name, value in options.set:
        whole, _, part = name.partition(".")
        if whole == "augmentation" and part in recipe.as_dict()[whole]:
            augmentation[part] = value
        elif name in recipe.as_dict() and name not in {"first", "augmentation"}:
            changes[name] = value
        else:
            raise ParameterError(
                f"{name!r} is no field of a recipe that can be set; rhoa.learning.Recipe has "
                f"{', '.join(recipe.as_dict())}."
            )
    if augmentation:
        changes["augmentation"] = replace(recipe.augmentation, **augmentation)
    return recipe.varied(**changes)

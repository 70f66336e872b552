"""Verbs of studies: `split`, `train`, `evaluate`, `explain`, `study`, `audit`."""

from __future__ import annotations

import argparse
import json
import math
import textwrap
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import rhoa
from rhoa import cohort
from rhoa.cli.common import VerbResult, bar, figures_of_test, table
from rhoa.cli.options import crop_option
from rhoa.cohort import leakage
from rhoa.errors import ParameterError, require_extra, warn_user
from rhoa.files import atomic_write
from rhoa.learning import Execution, Recipe, as_coded
from rhoa.learning.recipe import GROUPED
from rhoa.study import TEMPLATE, conduct, read_plan
from rhoa.study.runner import prepare
from rhoa.tables import open_table, read_rows

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Mapping

    from rhoa.audit import Audit, PublishedRow, TableAudit
    from rhoa.cli.common import Rows
    from rhoa.evaluation import Estimate
    from rhoa.learning import Model
    from rhoa.study.runner import Result as Figure


# What follows the images: partitions, models, their figures; and the demo.

EXPLAINED_PIXELS = 400
"""Of a side of an occlusion map; the score is that of the whole crop."""


def split(options: Namespace) -> VerbResult:
    """A manifest with partitions, or one a fold, or what leaks between its partitions."""
    manifest = cohort.read(options.manifest)
    out: Path = options.out or options.manifest
    if options.fold is not None:
        return _write_folds(manifest.folds(options.fold, seed=options.seed), out)
    has_partitions = any(hip.partition is not None for hip in manifest)
    if options.audit and has_partitions:
        return _audit(manifest, None)
    placed = manifest.split(seed=options.seed)
    if not options.replace:
        _require_unsplit(out, placed)
        if has_partitions and placed != manifest:
            _refuse_to_replace(options.manifest)
    if options.audit:
        return _audit(placed, out)
    placed.write(out)
    rows = _counts(placed)
    shown = [{key: value for key, value in row.items() if "wanted" not in key} for row in rows]
    for line, row in zip(shown, rows, strict=True):
        for key, reached in line.items():
            if row.get(f"{key} wanted", reached) != reached:
                line[key] = f"{reached} ({row[f'{key} wanted']} wanted)"
    difference = placed.balance().largest_difference
    lacking = _lacking(placed)
    near = (
        "All partitions reached their target sizes"
        if difference == 0
        else f"Partitions are within {difference} hip{'s' if difference > 1 else ''} of their "
        "target sizes: all hips of a subject stay together"
    )
    said = [*str(placed.flow()).splitlines(), *(lacking or [near]), f"wrote {out}"]
    return VerbResult(rows, said, rejected=bool(lacking), shown=shown)


def _require_unsplit(out: Path, placed: cohort.Manifest) -> None:
    """Refuse to write over a table that has other partitions."""
    if not out.is_file():
        return
    there = {row["subject"]: row["partition"] for row in _partitions(out) if row["partition"]}
    new = {hip.subject: hip.partition for hip in placed}
    if any(new.get(subject) != partition for subject, partition in there.items()):
        _refuse_to_replace(out)


def _partitions(table: Path) -> list[dict[str, str]]:
    columns = open_table(table).find("subject"), open_table(table).find("partition")
    if None in columns:
        return []
    return [row for _, row in read_rows(table, ("subject", "partition"))]


def _refuse_to_replace(table: Path) -> None:
    raise ParameterError(
        f"{table.name} has partitions already; --audit checks them, --replace makes new ones in "
        "their place, and -o writes elsewhere."
    )


def _lacking(manifest: cohort.Manifest) -> list[str]:
    """What partitions lack to train on and to measure with, in sentences."""
    said = []
    labelled = manifest.labelled
    for source in cohort.manifest.SOURCES:
        hips = [hip for hip in labelled if hip.source == source]
        for partition in ("train", "val", "test"):
            labels = [hip.label for hip in hips if hip.partition == partition]
            counts = {"with rHOA": labels.count(1), "without rHOA": labels.count(0)}
            none = [name for name, count in counts.items() if not count]
            if not hips or not none:
                continue
            what = "no hips" if len(none) == 2 else f"no hip {none[0]}"
            name = {"xray": "X-ray", "ct": "CT-AP"}[source]
            said.append(f"{name} {partition} has {what}: {_CONSEQUENCES[partition]}")
    return said


_CONSEQUENCES = {
    "train": "nothing can be trained on it",
    "val": "no best weights, threshold or temperature can be chosen on it",
    "test": "no ROC AUC can be measured on it",
}


def _counts(manifest: cohort.Manifest) -> Rows:
    """Reached and wanted hips of each source and class, a row for each partition."""
    names = {"1": "rHOA", "0": "no rHOA"}
    shares = manifest.balance().shares
    rows: Rows = []
    for partition in ("train", "val", "test"):
        row: dict[str, Any] = {"partition": partition}
        for source in ("xray", "ct"):
            for label, name in names.items():
                key = (source, label, partition)
                mine = [s for s in shares if (s.stratum, s.label, s.partition) == key]
                row[f"{source} {name}"] = sum(share.reached for share in mine)
                row[f"{source} {name} wanted"] = sum(share.wanted for share in mine)
        rows.append(row)
    return rows


def _write_folds(folds: tuple[cohort.Manifest, ...], out: Path) -> VerbResult:
    rows, lines, lacking = [], [], []
    for number, manifest in enumerate(folds, start=1):
        path = out.with_name(f"{out.stem}-fold-{number}{out.suffix}")
        manifest.write(path)
        lines.append(f"wrote {path}")
        lacking += [f"fold {number}: {sentence}" for sentence in _lacking(manifest)]
        for partition in ("train", "val", "test"):
            hips = [hip for hip in manifest.labelled if hip.partition == partition]
            positive = sum(hip.label == 1 for hip in hips)
            counts = {"rHOA": positive, "no rHOA": len(hips) - positive}
            rows.append({"fold": number, "partition": partition, **counts})
    return VerbResult(rows, [*lacking, *lines], rejected=bool(lacking))


def _audit(manifest: cohort.Manifest, out: Path | None) -> VerbResult:
    """What leaks; the manifest is written where nothing does and it was split just now."""
    found = leakage.leaks(manifest, progress=bar())
    rows: Rows = [leak.as_dict() for leak in found]
    if rows:
        shown = [
            {**row, "lines": " and ".join(map(str, row["lines"]))}
            | {"partitions": " and ".join(row["partitions"])}
            for row in rows
        ]
        many = len(rows) > 1
        line = f"{len(rows)} pair{'s' * many} of rows leak{'s' * (not many)} from one partition "
        line += "into another; remove copies, or give them one subject, and split again; where a "
        line += "look shows two different hips, write yes into the column distinct of both lines"
        return VerbResult(rows, [line], failed=True, shown=shown)
    lines = [str(found)]
    if out is not None:
        manifest.write(out)
        lines.append(f"wrote {out}")
    return VerbResult(rows, lines)


def evaluate(options: Namespace) -> VerbResult:
    """A report, and the test figures of each model."""
    from rhoa.evaluation.reader_agreement import agreement_notes
    from rhoa.report.collect import MULTIPLICITY, READERS_FILE, names_readers
    from rhoa.report.write import write_study_report
    from rhoa.study.runner import evaluate_external, is_external

    manifest = cohort.read(options.manifest)
    beside = options.manifest.parent / READERS_FILE
    readers = options.readers or (beside if names_readers(beside) else None)
    notes = agreement_notes(options.manifest.parent)
    by = [name.strip() for name in (options.by or "").split(",") if name.strip()]
    said: dict[str, Any] = {"by": by, "notes": notes, "readers": readers}
    external = any(is_external(run, manifest) for run in options.runs)
    if external:
        report = evaluate_external(options.runs, manifest, options.out, progress=bar(), **said)
        lines = ["external validation: the models never saw this cohort"]
    else:
        report = write_study_report(options.out, manifest, options.runs, **said)
        lines = [sentence for sentence in _lacking(manifest) if " test has " in sentence]
    figures = options.out / "metrics.json"
    rows = figures_of_test(figures)
    shown = list(rows)
    found = json.loads(figures.read_text(encoding="utf-8"))
    lines += _warnings(found)
    for columns, more, after in (
        (_GRADING, found["grading"], ["aurc: mean share of answers that are not exact"]),
        (_SUBGROUP, found["subgroups"], [MULTIPLICITY]),
        (_READER, found["readers"]["rows"], found["readers"]["notes"]),
    ):
        if more:
            kept = [{column: one[column] for column in columns} for one in more]
            lines += ["", *table(kept).splitlines(), *after]
            rows += kept
    return VerbResult(rows, [*lines, f"wrote {report}"], shown=shown)


_GRADING = (
    *("model", "source", "partition"),
    *("exact", "within_one", "kappa", "mean_absolute_error", "auc_2", "aurc"),
)
_SUBGROUP = (
    *("model", "source", "by", "subgroup", "hips", "subjects", "rHOA"),
    *("roc_auc", "balanced_accuracy"),
)
_READER = (
    *("reader", "source", "model", "hips", "subjects", "rHOA"),
    *("recall", "specificity", "with_label", "with_model"),
)


def _warnings(metrics: Mapping[str, Any]) -> list[str]:
    """What a reader of the test figures must know, once for all models of which it is true."""
    said: dict[str, list[str]] = {}
    for model in metrics["models"]:
        for source, result in model["results"].items():
            test = result["test"]
            if test is None:
                continue
            for warning in filter(None, (*test["warnings"], test["notes"].get("roc_auc"))):
                said.setdefault(f"{source}: {warning}", []).append(model["name"])
    everyone = len(metrics["models"])
    return [
        warning if len(names) == everyone else f"{warning} ({', '.join(names)})"
        for warning, names in said.items()
    ]


def explain(options: Namespace) -> VerbResult:
    """An occlusion map, or Grad-CAM, over its crop."""
    require_extra("torch", extra="train", purpose="rhoa explain")
    from rhoa.evaluation.saliency import grad_cam
    from rhoa.report.write import overlay_png, shrunk

    model = rhoa.load_model(options.model)
    levels = rhoa.hips.read_crop(options.crop, accept=options.accept)
    crop = shrunk(levels, EXPLAINED_PIXELS)
    if options.method == "grad-cam":
        influence = grad_cam(cast("Model", model), crop)
    else:
        influence = rhoa.occlusion(
            model, crop, patch=options.patch, stride=options.stride, spread=options.method
        )
    atomic_write(options.out, overlay_png(crop, influence))
    score = float(model.predict_proba([levels])[0, 1])
    return VerbResult(
        [{"image": str(options.crop), "rHOA": round(score, 6)}], [f"wrote {options.out}"]
    )


# Training a model: the options of ``rhoa train``, and what it does.

USUAL_RECIPE = "model-3"
EPILOG = """\
Started again with the same words, it goes on from its last checkpoint (OUT/unfinished), on a CPU to
the same bits; the learning curves are there while it runs. Several GPUs, or processes, train one
model together:

  torchrun --nproc-per-node 4 -m rhoa train study/manifest.csv -o runs/model-3

Any field of a recipe can be set, by its name in rhoa.learning.Recipe:

  rhoa train study/manifest.csv -o runs/mine --recipe modern --set head=ordinal --set epochs=40 \\
      --set augmentation.rotation_deg=10

A model of KL grades 0 to 4, KL 1 too: --set target=kl"""


def train_options(verb: argparse.ArgumentParser) -> None:
    """Of ``rhoa train``."""
    verb.formatter_class = argparse.RawDescriptionHelpFormatter
    verb.epilog = EPILOG
    verb.add_argument("manifest", type=Path, help="manifest.csv with partitions")
    verb.add_argument(
        "--recipe",
        help=f"{', '.join(rhoa.recipes)} (default: model-3, where there are X-rays and CT-APs)",
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


def train(options: argparse.Namespace) -> VerbResult:
    """A trained model."""
    recipe = recipe_of(options)  # a wrong word is refused before a long table is read
    manifest = cohort.read(options.manifest)
    there = {hip.source for hip in manifest.labelled if hip.partition == "train"}
    if options.recipe is None and there and there != {"xray", "ct"}:
        raise ParameterError(
            f"{options.manifest.name}: has no {'CT-APs' if 'ct' not in there else 'X-rays'} to "
            f"train on, and {USUAL_RECIPE} is of both; name a recipe with --recipe, such as "
            f"{'model-1' if 'xray' in there else 'model-5'}."
        )
    lacking = [name for name in recipe.sources if there and name not in there]
    if lacking:
        warn_user(
            f"{options.manifest.name}: has no {' and '.join(lacking)} hips to train on, which "
            f"{recipe.name} names; it is trained on the others alone."
        )
    run = rhoa.train(
        manifest,
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
    return VerbResult([{"run": str(run)}], [f"wrote {run}; measure it with `rhoa evaluate`"])


def recipe_of(options: argparse.Namespace) -> Recipe:
    """The recipe that the options name, and what they change of it.

    Raises
    ------
    ParameterError
        If there is no such recipe or field, or a value is out of its range.
    """
    name = options.recipe or USUAL_RECIPE
    if name not in rhoa.recipes:
        raise ParameterError(
            f"there is no recipe {name!r}; choose one of {', '.join(rhoa.recipes)}."
        )
    recipe = rhoa.recipes[name]
    if options.as_coded:
        recipe = as_coded(recipe)
    changes: dict[str, Any] = {"epochs": options.epochs, "image_size": options.image_size}
    changes = {name: value for name, value in changes.items() if value is not None}
    grouped: dict[str, dict[str, Any]] = {name: {} for name in GROUPED}
    for name, value in options.set:
        group, _, field = name.partition(".")
        if group in GROUPED and field in recipe.as_dict()[group]:
            grouped[group][field] = value
        elif name in recipe.as_dict() and name not in {"first", *GROUPED}:
            changes[name] = value
        else:
            raise ParameterError(
                f"{name!r} is no field of a recipe that can be set; rhoa.learning.Recipe has "
                f"{', '.join(recipe.as_dict())}."
            )
    for group, fields in grouped.items():
        if fields:
            changes[group] = replace(getattr(recipe, group), **fields)
    return recipe.varied(**changes)


# A study from a TOML file: what it will train, and what it found.

SETS = (("xray", "X-ray"), ("ct", "CT-AP"))
PARTITIONS = (("val", "validation"), ("test", "test"))


def study_options(verb: argparse.ArgumentParser) -> None:
    """Of `rhoa study`."""
    verb.formatter_class = argparse.RawDescriptionHelpFormatter
    verb.add_argument("plan", type=Path, nargs="?", help="a TOML file; --template prints one")
    task = verb.add_mutually_exclusive_group()
    task.add_argument("--template", action="store_true", help="print a plan with comments, and end")
    task.add_argument(
        "--list", action="store_true", help="print the runs and what is done of them, and end"
    )
    task.add_argument(
        "--redo",
        action="store_true",
        help="train anew what was trained otherwise before; without it, such runs are refused",
    )
    verb.epilog = """\
A plan names images, recipes, and the seeds or folds of each:

  manifest = "study/manifest.csv"
  out = "results"
  recipes = ["model-1", "model-3", "model-5"]
  seeds = [2020, 2021, 2022]
  [every-recipe]
  epochs = 30

  rhoa study --template > study.toml           a plan with every option explained
  rhoa study study.toml --list                 what it will train
  rhoa study study.toml                        all of it; started again, what is not done

Its folder gets report.html (each hip measured with the mean of its scores), results.csv (each
figure's mean and spread over runs, and its interval), and a run folder for each model. Of
folds, the headline is the mean of the areas within folds; pooled areas stand beside it."""


def study(options: argparse.Namespace) -> VerbResult:
    """Everything that a plan names, trained and measured; or a plan to begin with."""
    if options.template:
        return VerbResult([], TEMPLATE.splitlines())
    if options.plan is None:
        raise ParameterError("name a plan; `rhoa study --template > study.toml` begins one.")
    plan = read_plan(options.plan)
    rejected = plan.out / "images" / "rejected.csv"
    if options.list:
        jobs = prepare(plan, progress=bar())
        rows: Rows = [
            {
                "recipe": job.recipe.name,
                "run": job.name,
                "images seen": sum(job.stages),
                "state": job.state,
            }
            for job in jobs
        ]
        return VerbResult(rows, rejected=rejected.is_file())
    findings = conduct(plan, redo=options.redo, progress=bar())
    folds = any(figure.within is not None for figure in findings.results)
    lines = [WITHIN_FOLDS if folds else OVER_SEEDS]
    lines += [f"every figure is in {plan.out / 'results.csv'}", f"open {findings.report}"]
    shown = _areas(findings.results)
    rows = [figure.as_dict() for figure in findings.results]
    return VerbResult(rows, lines, rejected=rejected.is_file(), shown=shown)


OVER_SEEDS = "ROC AUC: mean over runs +- standard deviation, [95 % interval of their mean scores]"
WITHIN_FOLDS = (
    "ROC AUC of test hips: mean within folds [95 % interval]; pooled: of the scores of all folds, "
    "which also ranks hips of one model against another's"
)


def _areas(figures: tuple[Figure, ...]) -> Rows:
    """One line a recipe: its ROC AUC on each set of hips, ``0.912 +- 0.013 [0.85-0.96]``.

    Over folds, that of test hips is ``0.910 [0.85-0.95], pooled 0.842 [0.77-0.90]``.
    """

    def bounds(estimate: Estimate) -> str:
        low, high = estimate[1:3]
        return f" [{low:.2f}-{high:.2f}]" if math.isfinite(low) else ""

    rows: dict[str, dict[str, Any]] = {}
    for figure in figures:
        if figure.figure == "roc_auc":
            column = f"{dict(SETS)[figure.source]} {dict(PARTITIONS)[figure.partition]}"
            spread = "" if figure.spread is None else f" +- {figure.spread:.3f}"
            row = rows.setdefault(figure.recipe, {"recipe": figure.recipe})
            row[column] = f"{figure.mean:.3f}{spread}{bounds(figure.together)}"
            if figure.within is not None:
                pooled = f"{figure.together.value:.3f}{bounds(figure.together)}"
                row[column] = f"{figure.mean:.3f}{bounds(figure.within)}, pooled {pooled}"
    return list(rows.values())


# A published table on the command line: what it can come from, and what scores make of it.

FIGURES = (
    *("accuracy", "balanced_accuracy", "precision", "recall", "f1"),
    *("sensitivity", "specificity", "ppv", "npv", "mcc", "roc_auc", "pr_auc"),
)
TERMINAL = 98  # columns that a text may take
SHOWN = 3  # matrices and repairs of a row that are printed; --json has all

EXAMPLES = """\
One row, figures as they are printed (digits count: 0.80 is not 0.8):

  rhoa audit --positives 15 --negatives 9 --accuracy 50.0 --balanced-accuracy 60.0 \\
      --precision 0.60 --recall 0.71 --f1 0.65

A whole table, table.csv, one row a model; cells that were not printed stay empty:

  name,positives,negatives,accuracy,balanced_accuracy,precision,recall,f1,roc_auc
  Model 1,15,9,50.0,60.0,0.60,0.71,0.65,0.73 [0.49-0.89]

  rhoa audit table.csv

Your own scores (columns label and score) beside what was printed of them:

  rhoa audit table.csv --row "Model 1" --predictions run/predictions.csv --partition test

Precision, recall and F1 are tried as of the positive class, of the negative one, as plain and as
weighted means over both, with F1 as the mean of two or the harmonic mean of the means, and with
precision and recall swapped. Verdicts: consistent; rounded twice (78.89 -> .79 -> 79.0);
contradictory (no definition fits all figures); impossible (accuracy, balanced accuracy and other
figures of one meaning have no confusion matrix of these sizes). Exit code 1 unless all are
consistent, or unless the scores print as published."""


def audit_options(verb: argparse.ArgumentParser) -> None:
    """Declare the arguments of `audit`."""
    verb.formatter_class = argparse.RawDescriptionHelpFormatter
    verb.epilog = EXAMPLES
    verb.add_argument(
        "table", nargs="?", type=Path, help="CSV of printed rows; or give one row by options"
    )
    verb.add_argument("--row", metavar="NAME", help="of the table, the only row to check")
    row = verb.add_argument_group("one row, as printed")
    for size in ("positives", "negatives"):
        row.add_argument(f"--{size}", type=int, metavar="N", help=f"how many {size} there are")
    for figure in FIGURES:
        name = figure.replace("_", "-")
        row.add_argument(f"--{name}", dest=f"printed_{figure}", metavar="PRINTED", help="")
    scores = verb.add_argument_group("scores of your own")
    scores.add_argument(
        "--predictions", type=Path, metavar="CSV", help="columns label (0, 1) and score"
    )
    scores.add_argument("--partition", metavar="NAME", help="rows of this partition only")
    scores.add_argument("--source", metavar="NAME", help="rows of this source (xray, ct) only")
    scores.add_argument("--threshold", type=float, default=0.5, help="default: 0.5")


def audit(options: Namespace) -> VerbResult:
    """What each row can come from, or how scores compare with one row."""
    from rhoa.audit import table

    rows = _rows(options)
    if options.predictions is not None:
        return _compared(options, rows)
    found = table(rows)
    lines = [line for row in found.rows for line in _remarks(row.name, row.audit, found)]
    return VerbResult(
        [_everything(row.name, row.audit) for row in found.rows],
        ["", *lines, *_summary(found)],
        failed=not found.sound,
        shown=[_shown(row.name, row.audit) for row in found.rows],
    )


def _rows(options: Namespace) -> list[PublishedRow]:
    from rhoa.audit import PublishedRow, read_table
    from rhoa.audit.tables import row_named

    printed = {name: getattr(options, f"printed_{name}") for name in FIGURES}
    printed = {name: text for name, text in printed.items() if text is not None}
    sizes = options.positives, options.negatives
    if options.table is not None:
        if printed or sizes != (None, None):
            raise ParameterError("give a table, or one row by options, not both.")
        rows = read_table(options.table)
        return rows if options.row is None else [row_named(rows, options.row)]
    if options.row is not None:
        raise ParameterError("--row names a row of a table; there is none.")
    if options.predictions is not None and sizes == (None, None):
        return [PublishedRow("as printed", 0, 0, printed)]
    if None in sizes:
        raise ParameterError(
            "give table.csv, or --positives, --negatives and figures as printed; "
            "`rhoa audit --help` has examples."
        )
    return [PublishedRow("as printed", *sizes, printed)]


def _compared(options: Namespace, rows: list[PublishedRow]) -> VerbResult:
    from rhoa.audit import compare, meaning, read_predictions
    from rhoa.audit.tables import shared_definitions

    if len(rows) != 1:
        raise ParameterError(
            f"the table has {len(rows)} rows; name the one these scores are of: --row NAME."
        )
    only = {"partition": options.partition, "source": options.source}
    labels, scores = read_predictions(
        options.predictions, only={name: text for name, text in only.items() if text is not None}
    )
    (row,) = rows
    found = compare(labels, scores, row.printed, threshold=options.threshold)
    shared = shared_definitions(found)
    sizes = int(labels.sum()), int((labels == 0).sum())
    lines = ["", f"{sizes[0]} positives and {sizes[1]} negatives in {options.predictions.name}"]
    alike = sizes == (row.positives, row.negatives) or (row.positives, row.negatives) == (0, 0)
    if not alike:
        lines.append(f"printed of {row.positives} positives and {row.negatives} negatives")
    lines += [f"all of precision, recall and F1 fit {name}: {meaning(name)}" for name in shared]
    shown = [
        {
            "figure": one.figure,
            "printed": one.printed,
            "computed": round(one.value, 4),
            "agrees under": ", ".join(one.definitions[:SHOWN]) or "nothing",
        }
        for one in found
    ]
    everything = [one._asdict() for one in found]
    failed = not alike or any(not one.definitions for one in found)
    return VerbResult(everything, lines, failed=failed, shown=shown)


def _shown(name: str, audit: Audit) -> dict[str, Any]:
    matrices = [f"({tp}, {tn})" for tp, tn in audit.matrices]
    more = f" and {len(matrices) - SHOWN} more" if len(matrices) > SHOWN else ""
    return {
        "row": name,
        "sizes": f"{audit.positives}+ {audit.negatives}-",
        "verdict": audit.verdict,
        "(tp, tn)": " ".join(matrices[:SHOWN]) + more if matrices else "none",
        "definitions": len(audit.definitions),
    }


def _everything(name: str, audit: Audit) -> dict[str, Any]:
    from rhoa.audit import remarks

    return {
        "row": name,
        "positives": audit.positives,
        "negatives": audit.negatives,
        "printed": {figure: printed.text for figure, printed in audit.printed.items()},
        "verdict": audit.verdict,
        "rounded_twice": list(audit.rounded_twice),
        "matches": [match._asdict() for match in audit.matches],
        "repairs": [
            {
                "definition": repair.definition,
                "figures": list(repair.figures),
                "values": [list(values) for values in repair.values],
                "matrices": [list(matrix) for matrix in repair.matrices],
            }
            for repair in audit.repairs
        ],
        "remarks": remarks(audit),
    }


def _remarks(name: str, audit: Audit, table: TableAudit) -> list[str]:
    """What to know of a row, folded to the terminal."""
    from rhoa.audit import remarks
    from rhoa.audit.tables import repair_in_words

    said = remarks(audit)
    if audit.rounded_twice:
        said.append(f"{' and '.join(audit.rounded_twice)} rounded to a fraction, then printed in %")
    fitting = [one for one in audit.repairs if one.definition == table.definition]
    said += [
        f"to repair: {repair_in_words(one, audit)}" for one in (fitting or audit.repairs)[:SHOWN]
    ]
    return [
        textwrap.fill(
            f"{name}: {remark}", width=TERMINAL, subsequent_indent="    ", break_on_hyphens=False
        )
        for remark in said
    ]


def _summary(table: TableAudit) -> list[str]:
    from rhoa.audit import meaning

    count = len(table.rows)
    sound = sum(bool(row.audit.matches) for row in table.rows)
    lines = ["", f"{sound} of {count} rows can come from a confusion matrix"]
    if table.definition is not None:
        explained = table.explained[table.definition]
        lines.append(
            textwrap.fill(
                f"{explained} of {count} rows fit {table.definition}: {meaning(table.definition)}",
                width=TERMINAL,
                subsequent_indent="    ",
            )
        )
    return lines


def add_split(verb: argparse.ArgumentParser) -> None:
    """Options of `rhoa split`."""
    verb.set_defaults(run=split)
    verb.add_argument(
        "manifest", type=Path, help="manifest.csv, as `rhoa hips scans.csv` writes it"
    )
    verb.add_argument("-o", "--out", type=Path, help="default: the manifest itself")
    verb.add_argument("--seed", type=int, default=2020)
    verb.add_argument(
        "--replace",
        action="store_true",
        help="make new partitions where there are some; without it they are kept",
    )
    task = verb.add_mutually_exclusive_group()
    task.add_argument(
        "--audit",
        action="store_true",
        help="look for subjects and copies of images (mirrored, resized, rewindowed, cropped) that "
        "leak between partitions, and exit with 1 if there are; partitions that the manifest has "
        "are left as they are, and nothing that leaks is written",
    )
    task.add_argument(
        "--fold",
        type=int,
        metavar="K",
        help="write K manifests for cross-validation, OUT-fold-1.csv and so on: in each another "
        "fold is test, and the next one val",
    )


def add_train(verb: argparse.ArgumentParser) -> None:
    """Options of `rhoa train`."""
    verb.set_defaults(run=train)
    train_options(verb)


def add_evaluate(verb: argparse.ArgumentParser) -> None:
    """Options of `rhoa evaluate`."""
    verb.set_defaults(run=evaluate)
    verb.add_argument("runs", nargs="+", type=Path, help="run folders of `rhoa train`")
    verb.add_argument(
        "--manifest",
        type=Path,
        required=True,
        help="the manifest they were trained on, or that of another cohort, which they then grade "
        "(external validation)",
    )
    verb.add_argument(
        "--by",
        metavar="COLUMNS",
        help="also report subgroups by columns of the manifest, such as sex,site",
    )
    verb.add_argument(
        "--readers",
        type=Path,
        metavar="CSV",
        help="readers' grades of the test hips (columns subject, side, reader, kl), to show beside "
        "the models (default: grades.csv of `rhoa review --export`, where it is beside the "
        "manifest)",
    )
    verb.add_argument("-o", "--out", type=Path, required=True, help="folder for report.html")


def plan_size(options: Namespace) -> VerbResult:
    """Expected widths of intervals by number of subjects, and what Riley's criteria ask for."""
    from rhoa.evaluation.planning import (
        development_size,
        sample_size,
        subjects_needed,
        width_chart,
    )

    try:
        counts = [int(count) for count in options.subjects.split(",")]
    except ValueError:
        raise ParameterError("subjects must be numbers with commas between.") from None
    names = ("hips", "icc", "prevalence", "sensitivity", "specificity", "roc_auc")
    expected = {name: getattr(options, name) for name in names}
    rows = sample_size(counts, **expected)
    lines = []
    if options.width is not None:
        needed = subjects_needed(options.width, **expected)
        said = ", ".join(f"{name.replace('_', ' ')} {count}" for name, count in needed.items())
        lines.append(f"subjects for intervals at most {options.width:g} wide: {said}")
    if options.parameters is not None:
        if options.r2 is None:
            raise ParameterError("parameters needs r2, the R squared (Cox and Snell) expected.")
        development = development_size(
            options.parameters,
            r2=options.r2,
            **{name: expected[name] for name in ("prevalence", "hips", "icc")},
        )
        lines.append(
            f"development of {options.parameters} parameters needs {development.hips} hips: "
            f"{development.shrinkage} for a shrinkage of 0.9, {development.optimism} for an "
            f"optimism of 0.05, {development.prevalence} for the prevalence (Riley et al. 2020)"
        )
    if options.out is not None:
        width_chart(rows).savefig(options.out)
        lines.append(f"wrote {options.out}")
    shown = [
        {name: f"{value:.3f}" if isinstance(value, float) else value for name, value in one.items()}
        for one in (row._asdict() for row in rows)
    ]
    return VerbResult([row._asdict() for row in rows], lines, shown=shown)


def add_plan_size(verb: argparse.ArgumentParser) -> None:
    """Options of `rhoa plan-size`."""
    verb.set_defaults(run=plan_size)
    verb.description = (
        "Expected widths of the 95 % intervals of a test set by its number of subjects."
    )
    verb.add_argument(
        "--subjects", default="12,20,60,100,300", help="numbers of subjects (default: %(default)s)"
    )
    for name, default, said in (
        ("hips", 2, "mean number of hips a subject"),
        ("icc", 0.5, "correlation within subjects, of labels and of answers"),
        ("prevalence", 0.35, "share of rHOA hips"),
        ("sensitivity", 0.85, "sensitivity that is expected"),
        ("specificity", 0.85, "specificity that is expected"),
        ("roc-auc", 0.85, "ROC AUC that is expected"),
    ):
        verb.add_argument(
            f"--{name}", type=float, default=default, help=f"{said} (default: %(default)s)"
        )
    verb.add_argument("--width", type=float, help="also the subjects for intervals this wide")
    development = verb.add_argument_group("development (Riley et al. 2020)")
    development.add_argument("--parameters", type=int, metavar="N", help="of the regression")
    development.add_argument("--r2", type=float, help="R squared (Cox and Snell) expected")
    verb.add_argument("-o", "--out", type=Path, help="picture of the widths (png, svg, pdf)")


def add_explain(verb: argparse.ArgumentParser) -> None:
    """Options of `rhoa explain`."""
    verb.set_defaults(run=explain)
    verb.add_argument("crop", type=Path, help="a crop of a hip, right hips mirrored (rhoa hips)")
    verb.add_argument("--model", type=Path, required=True, help="run folder of `rhoa train`")
    verb.add_argument("-o", "--out", type=Path, required=True, help="PNG to write")
    crop_option(verb)
    verb.add_argument(
        "--patch", type=int, default=20, help="occluding square, pixels (default: 20)"
    )
    verb.add_argument("--stride", type=int, default=5, help="its step, pixels (default: 5)")
    verb.add_argument(
        "--method",
        choices=["matlab", "mean", "grad-cam"],
        default="matlab",
        help="occlusion as MATLAB draws it (default); each pixel the mean of the squares over it; "
        "or Grad-CAM, coarse and quick",
    )


def add_study(verb: argparse.ArgumentParser) -> None:
    """Options of `rhoa study`."""
    verb.set_defaults(run=study)
    study_options(verb)


def add_audit(verb: argparse.ArgumentParser) -> None:
    """Options of `rhoa audit`."""
    verb.set_defaults(run=audit)
    audit_options(verb)

"""A study from a TOML file: what it will train, and what it found."""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rhoa.errors import ParameterError
from rhoa.progress import bar
from rhoa.study import TEMPLATE, conduct, read_plan
from rhoa.study.conducting import prepare
from rhoa.verbs.output import Result

if TYPE_CHECKING:
    from rhoa.study.jobs import Job
    from rhoa.study.results import Result as Figure
    from rhoa.verbs.output import Rows

SETS = (("xray", "X-ray"), ("ct", "CT-AP"))
PARTS = (("val", "validation"), ("test", "test"))


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
figure's mean and spread over runs, and its interval), and a run folder for each model."""


def study(options: argparse.Namespace) -> Result:
    """Everything that a plan names, trained and measured; or a plan to begin with."""
    if options.template:
        return Result([], TEMPLATE.splitlines())
    if options.plan is None:
        raise ParameterError("name a plan; `rhoa study --template > study.toml` begins one.")
    plan = read_plan(options.plan)
    rejected = plan.out / "images" / "rejected.csv"
    if options.list:
        jobs = prepare(plan, progress=bar())
        return Result(_listed(jobs), rejected=rejected.is_file())
    findings = conduct(plan, redo=options.redo, progress=bar())
    lines = ["ROC AUC: mean over runs +- standard deviation, [95 % interval of their mean scores]"]
    lines += [f"every figure is in {plan.out / 'results.csv'}", f"open {findings.report}"]
    shown = _areas(findings.results)
    rows = [figure.as_dict() for figure in findings.results]
    return Result(rows, lines, rejected=rejected.is_file(), shown=shown)


def _listed(jobs: list[Job]) -> Rows:
    return [
        {
            "recipe": job.recipe.name,
            "run": job.name,
            "images seen": sum(job.stages),
            "state": job.state,
        }
        for job in jobs
    ]


def _areas(figures: tuple[Figure, ...]) -> Rows:
    """One line a recipe: its ROC AUC on each set of hips."""
    rows: dict[str, dict[str, Any]] = {}
    for figure in figures:
        if figure.figure == "roc_auc":
            column = f"{dict(SETS)[figure.source]} {dict(PARTS)[figure.partition]}"
            rows.setdefault(figure.recipe, {"recipe": figure.recipe})[column] = _told(figure)
    return list(rows.values())


def _told(figure: Figure) -> str:
    """``0.912 +- 0.013 [0.85-0.96]``."""
    spread = "" if figure.spread is None else f" +- {figure.spread:.3f}"
    low, high = figure.together[1:3]
    interval = f" [{low:.2f}-{high:.2f}]" if math.isfinite(low) else ""
    return f"{figure.mean:.3f}{spread}{interval}"

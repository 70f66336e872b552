"""A study from a TOML file: what it will train, and what it found."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rhoa.errors import ParameterError
from rhoa.progress import bar
from rhoa.study import TEMPLATE, conduct, read_plan
from rhoa.study.conducting import prepare
from rhoa.verbs.output import Result

if TYPE_CHECKING:
    from argparse import Namespace

    from rhoa.study.jobs import Job
    from rhoa.study.results import Result as Figure
    from rhoa.verbs.output import Rows

SETS = (("xray", "X-ray"), ("ct", "CT-AP"))
PARTS = (("val", "validation"), ("test", "test"))


def study(options: Namespace) -> Result:
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
    return f"{figure.mean:.3f}{spread} [{figure.together.low:.2f}-{figure.together.high:.2f}]"

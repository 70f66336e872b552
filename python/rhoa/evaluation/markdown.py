"""The report's numbers as Markdown tables, for papers, wikis and diffs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rhoa.cohort.split import PARTITIONS
from rhoa.evaluation.statements import checklist
from rhoa.evaluation.study import CLASSES, SOURCES
from rhoa.evaluation.tables import COLUMNS, COUNTS, DASH, PART_NAMES, SOURCE_NAMES, estimate_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    Numbers = Mapping[str, Any]


def as_markdown(title: str, notes: Sequence[str], metrics: Numbers) -> str:
    """The whole document."""
    blocks = [f"# {title}", *(f"> {note}" for note in notes), _cohort(metrics)]
    for number, source in zip("23", SOURCES, strict=True):
        if any(metrics["baselines"][source][part] for part in ("val", "test")):
            blocks.append(_results(number, source, metrics))
    blocks += [_answers(metrics), *(_comparisons(source, metrics) for source in SOURCES)]
    items = checklist(metrics)
    rows = [(item.tripod, item.claim, item.subject, item.answer or "*open*") for item in items]
    head = ("TRIPOD+AI", "CLAIM section", "Item", "What this run says")
    blocks.append("## Reporting checklist\n\n" + _table(head, rows))
    return "\n\n".join(block for block in blocks if block) + "\n"


def _cohort(metrics: Numbers) -> str:
    hips, flow, leaks = metrics["cohort"]["hips"], metrics["flow"], metrics["leaks"]
    head = ["Partition", *(f"{SOURCE_NAMES[s]} {name}" for s in SOURCES for name in CLASSES)]
    rows = [
        [PART_NAMES[part], *(hips[source][part][name] for source in SOURCES for name in CLASSES)]
        for part in PARTITIONS
    ]
    left_out = ", ".join(f"{count} {why}" for why, count in flow["excluded"].items()) or "none"
    audit = f"{len(leaks['leaks'])} pairs of {leaks['images']} images leak between partitions"
    return (
        f"## Table 1. Hips\n\n{_table([*head, 'Subjects'], _with_subjects(rows, metrics))}\n\n"
        f"{flow['start']} hips, left out: {left_out}. Leak audit: {audit}."
    )


def _with_subjects(rows: list[list[Any]], metrics: Numbers) -> list[list[Any]]:
    subjects = metrics["cohort"]["subjects"]
    return [[*row, subjects[part]] for row, part in zip(rows, PARTITIONS, strict=True)]


def _results(number: str, source: str, metrics: Numbers) -> str:
    rows = []
    for part in ("val", "test"):
        for model in metrics["models"]:
            result = model["results"][source][part]
            rows.append([PART_NAMES[part], model["name"], *_figures(result)])
        baseline = metrics["baselines"][source][part]
        if baseline is not None:
            name = f"Always {baseline['answer']}"
            rows.append([PART_NAMES[part], name, *_figures(baseline)])
    head = ["Set", "Model", *(name for name, *_ in COLUMNS)]
    return f"## Table {number}. {SOURCE_NAMES[source]} images\n\n{_table(head, rows)}"


def _figures(result: Numbers | None) -> list[str]:
    cells = []
    for _, name, percent in COLUMNS:
        value, interval = (
            (DASH, "") if result is None else estimate_text(result[name], percent=percent)
        )
        cells.append(f"{value} [{interval}]" if interval else value)
    return cells


def _answers(metrics: Numbers) -> str:
    rows = [
        [SOURCE_NAMES[source], model["name"], *(result["confusion"][key] for _, key in COUNTS)]
        for source in SOURCES
        for model in metrics["models"]
        if (result := model["results"][source]["test"]) is not None
    ]
    if not rows:
        return ""
    head = ["Test images", "Model", *(name for name, _ in COUNTS)]
    return f"## Table 4. Answers at 0.5\n\n{_table(head, rows)}"


def _comparisons(source: str, metrics: Numbers) -> str:
    found = metrics["findings"][source]
    rows = []
    for other in found["comparisons"]:
        value, interval = estimate_text(other["roc_auc"])
        p = other["roc_auc_p"]
        shown = DASH if p is None else f"{p:.3f}"
        rows.append(
            [f"{found['reference']} minus {other['model']}", f"{value} [{interval}]", shown]
        )
    if not rows:
        return ""
    title = f"Models compared, {SOURCE_NAMES[source]} test images"
    return f"## {title}\n\n{_table(('Models', 'ROC AUC', 'p'), rows)}"


def _table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)

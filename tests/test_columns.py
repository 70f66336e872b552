"""The page of tables names every column of every table that rhoa writes, and no other."""

from __future__ import annotations

import ast
import dataclasses
import importlib
import re
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from rhoa.cli import ct, prediction
from rhoa.cohort.manifest import DESCRIBING
from rhoa.evaluation.intervals import Estimate
from rhoa.learning import run_folder
from rhoa.learning.grader import Draws
from rhoa.reading import SeriesSummary
from rhoa.study.runner import Result

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs/tables.md").read_text("utf-8")
GRADES = Draws(np.zeros((1, 1, 2)), np.zeros((1, 1, 5)), np.zeros((1, 1, 4))).columns
OF_RUN = (*run_folder.HIP_COLUMNS, "score", *GRADES, "crowe", *DESCRIBING)
FIGURE = Result("model-1", "ct", "test", "recall", 2, 1, (0.5,), Estimate(0.5, 0.4, 0.6))

WRITERS: dict[tuple[str, str], list[tuple[str, dict[str, object]]]] = {
    ("cli/batch.py", "each_of"): [
        ("`hips.csv`", {"columns": ct.HIP_COLUMNS}),
        ("`ct-aps.csv`", {"columns": ct.COLUMNS}),
        ("`predictions.csv` of `rhoa predict`", {"columns": prediction.COLUMNS}),
        ("`rejected.csv` of `--each`", {}),
    ],
    ("cli/batch.py", "write_review"): [("`corrections.csv`", {})],
    ("cli/prediction.py", "_write_rows"): [
        ("`predictions.csv` of `rhoa predict`", {"columns": ("scan", *prediction.COLUMNS)})
    ],
    ("cli/xray.py", "_of_folder"): [("`rejected.csv` of `rhoa xray`", {})],
    ("cohort/builder.py", "_report_rejected"): [("`rejected.csv`", {})],
    ("cohort/manifest.py", "write"): [("`manifest.csv`", {"others": DESCRIBING})],
    ("hips/annotations.py", "boxes_table"): [("`boxes.csv`", {})],
    ("learning/run_folder.py", "predictions_table"): [
        (
            "`predictions.csv` of a run",
            {"computed": ("score", *GRADES), "crowe": ("crowe",), "others": DESCRIBING},
        )
    ],
    ("learning/run_folder.py", "write_curves"): [("`history.csv`", {})],
    ("phantom/export.py", "write_cohort"): [("`scans.csv`", {})],
    ("review/exporting.py", "_write_grades"): [("`grades.csv`", {})],
    ("review/exporting.py", "_write_disputed"): [("`adjudication.csv`", {})],
    ("study/runner.py", "_merged"): [("`predictions.csv` of a run", {"columns": OF_RUN})],
    ("study/runner.py", "write_results"): [
        ("`results.csv`", {"columns": FIGURE.as_dict().keys() - {"values"}})
    ],
}
"""Of each function that writes a table: its headings on the page, with what its own names hold."""
OTHERWISE = {
    ("cli/common.py", "write_table"),  # what the others call
    ("learning/run_folder.py", "add"),  # a line of `history.csv`
    ("report/tables.py", "csv"),  # headed as in the report
}


def calls() -> Iterator[tuple[tuple[str, str], ast.expr]]:
    """Each call that writes a table: where it is, and the expression of its columns."""
    package = ROOT / "python/rhoa"
    for file in sorted(package.rglob("*.py")):
        inner: dict[ast.Call, str] = {}
        for function in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(function, ast.FunctionDef):
                for node in ast.walk(function):
                    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                        inner[node] = function.name  # the innermost function comes last
        for call, name in inner.items():
            at = {"csv_text": 0, "write_table": 1}.get(ast.unparse(call.func))
            if at is not None:
                yield (file.relative_to(package).as_posix(), name), call.args[at]


def documented(heading: str) -> list[str]:
    """The names in the first column below a heading of the page."""
    below = PAGE.split(f" {heading}\n", 1)[1]
    rows = re.findall(
        r"^\| (`.*?`) \| (?=\S)", re.split(r"^##", below, flags=re.MULTILINE)[0], re.MULTILINE
    )
    return [name for row in rows for name in re.findall(r"`([^`]+)`", row)]


def test_the_page_names_every_column_of_every_table_and_no_other() -> None:
    written: dict[str, set[str]] = {}
    seen = set()
    for where, expression in calls():
        if where in OTHERWISE:
            continue
        assert where in WRITERS, f"{where} writes a table that docs/tables.md does not know"
        seen.add(where)
        module = importlib.import_module(f"rhoa.{where[0][:-3].replace('/', '.')}")
        names = {node.id for node in ast.walk(expression) if isinstance(node, ast.Name)}
        for heading, own in WRITERS[where]:
            if own.keys() == names - vars(module).keys():
                columns = eval(ast.unparse(expression), vars(module) | own)  # noqa: S307  # rhoa's own
                written.setdefault(heading, set()).update(columns)

    assert seen == WRITERS.keys()
    assert written.keys() == {heading for of in WRITERS.values() for heading, _ in of}
    for heading, columns in written.items():
        assert sorted(documented(heading)) == sorted(columns), heading


def test_the_page_names_what_inspect_and_the_json_of_hips_print() -> None:
    summary = SeriesSummary(0, "1.2", "CT", "volume", 3, 4, 5, None, "axial", "", "", "")
    fields = [field.name for field in dataclasses.fields(SeriesSummary)]

    assert documented("`rhoa inspect`") == list(ct._row_of(summary))
    assert sorted(documented("`rhoa inspect --json`")) == sorted(fields)
    assert len(documented("`rhoa hips --json`")) == 6


def test_the_page_names_every_table_of_a_report() -> None:
    source = ast.parse((ROOT / "python/rhoa/report/tables.py").read_text("utf-8"))
    named = set()
    for node in ast.walk(source):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "ReportTable":
            name = ast.unparse(node.args[0]).strip("f'\"")
            named |= {name.replace("{source}", kind) for kind in ("ct", "xray")}

    assert set(documented("`tables/*.csv` of a report")) == named

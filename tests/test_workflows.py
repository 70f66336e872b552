"""Workflows and issue forms: they call scripts that exist, with no more rights than they need."""

from __future__ import annotations

import os
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[1]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
FORMS = sorted(
    path
    for path in (ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml")
    if path.name != "config.yml"
)


def read(path: Path) -> dict[Any, Any]:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def steps(workflow: dict[Any, Any]) -> list[dict[str, Any]]:
    return [step for job in workflow["jobs"].values() for step in job.get("steps", [])]


def test_there_are_workflows_and_forms() -> None:
    assert {"ci", "wheels", "release"} <= {path.stem for path in WORKFLOWS}
    assert {path.stem for path in FORMS} == {"bug", "refused", "question"}


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_a_workflow_has_no_rights_but_those_that_a_job_names(path: Path) -> None:
    workflow = read(path)

    assert workflow["permissions"] == {}
    rights = {
        (name, level)
        for job in workflow["jobs"].values()
        for name, level in job["permissions"].items()
        if level != "read"
    }
    publishing = {("id-token", "write"), ("attestations", "write")}
    assert rights == (publishing if path.stem == "release" else set())


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_actions_have_a_version_and_leave_no_credentials(path: Path) -> None:
    for step in steps(read(path)):
        if "uses" in step:
            assert re.fullmatch(r"[\w-]+/[\w-]+@v\d+(\.\d+)*", step["uses"])
        if step.get("uses", "").startswith("actions/checkout@"):
            assert step["with"]["persist-credentials"] is False


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_steps_call_scripts_that_exist(path: Path) -> None:
    called = [
        ROOT / name
        for step in steps(read(path))
        for name in re.findall(r"\bscripts/[\w.]+", step.get("run", ""))
    ]

    assert called or path.stem == "release"
    for script in called:
        assert script.is_file()
        assert os.access(script, os.X_OK)


def test_every_version_of_python_that_rhoa_is_for_is_tested() -> None:
    matrix = read(ROOT / ".github" / "workflows" / "ci.yml")["jobs"]["test"]["strategy"]["matrix"]

    assert matrix["python"] == ["3.11", "3.12", "3.13", "3.14"]


def test_every_dependency_has_a_floor_and_the_floors_are_tested() -> None:
    runs = [step["run"] for step in steps(read(ROOT / ".github/workflows/ci.yml")) if "run" in step]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"].values()
    needed = [*project["dependencies"], *(line for extra in extras for line in extra)]

    assert any(run.endswith(" lowest-direct") for run in runs)
    assert [line for line in needed if ">=" not in line and not line.startswith("rhoa-ct[")] == []


@pytest.mark.parametrize("path", FORMS, ids=lambda path: path.stem)
def test_a_form_asks_for_rhoa_info_and_warns_of_patient_data(path: Path) -> None:
    form = read(path)

    assert any(part.get("id") == "info" for part in form["body"])
    assert "`rhoa info`" in str(form)
    assert "**Never attach" in form["body"][0]["attributes"]["value"]

"""Figures in the README and in docs have a command beside them, which exists, with its options."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
COMMAND = re.compile(r"python (?:-m )?benches[./](\w+)(?:\.py)?([^`\n|]*)")


def commands() -> list[tuple[str, str, str]]:
    found = [
        (page.name, name, options.partition(" # ")[0].strip())
        for page in PAGES
        if page.exists()
        for name, options in COMMAND.findall(page.read_text(encoding="utf-8"))
    ]
    return sorted(set(found))


@pytest.mark.parametrize(("page", "name", "options"), commands())
def test_a_page_names_a_benchmark_that_exists_with_options_that_it_takes(
    page: str, name: str, options: str
) -> None:
    source = (ROOT / "benches" / f"{name}.py").read_text(encoding="utf-8")

    for option in re.findall(r"--[\w-]+", options):
        assert f'"{option}"' in source, page


def test_the_page_of_accuracy_names_the_command_of_each_measurement() -> None:
    named = {name for page, name, _ in commands() if page == "accuracy.md"}

    assert named >= {
        *("accuracy", "broken_series", "pose", "pose_robustness", "projection", "reading"),
    }


def test_the_tests_that_the_page_of_accuracy_names_exist() -> None:
    text = (ROOT / "docs" / "accuracy.md").read_text(encoding="utf-8")
    named = re.findall(r"`(?:pytest )?(tests/[\w/.]+)", text)

    assert len(named) >= 4
    for name in named:
        assert (ROOT / name).is_file()


def test_the_page_of_flags_explains_every_flag_and_no_other() -> None:
    """Flags are texts in the rooms of pose and hips, set by these words or kept in these lists."""
    from rhoa.pose.alignment import WARNINGS
    from rhoa.pose.scan_coverage import HIP_REFUSALS, HIP_WARNINGS

    rooms = [
        file for room in ("pose", "hips") for file in (ROOT / "python/rhoa" / room).glob("*.py")
    ]
    source = "\n".join(file.read_text(encoding="utf-8") for file in rooms)
    set_by_name = re.findall(r'flags(?:\.add\(| \|=? ?\{)"([a-z_]+)"', source)
    limited = re.findall(r'_Limit\("\w+", \("(\w+)"[^)]*\)(?:, \("(\w+)")?', source)
    of_numbers = re.findall(r'^        "([a-z_]+)": .*(?:_MM|_DEG)', source, re.MULTILINE)
    raised = {*set_by_name, *of_numbers, *filter(None, (name for pair in limited for name in pair))}
    raised |= WARNINGS | HIP_REFUSALS.keys() | HIP_WARNINGS | {"no_body"}
    raised |= {"hip_left_missing", "hip_right_missing"}

    rows = [
        line
        for line in (ROOT / "docs/flags.md").read_text("utf-8").splitlines()
        if line[:3] == "| `"
    ]
    explained = {name for row in rows for name in re.findall(r"`(\w+)`", row.split("|")[1])}

    assert explained | {"no_body"} == raised
    assert all(
        len(row.split("|")) == 7 and all(map(str.strip, row.split("|")[1:6])) for row in rows
    )
    for row in rows:
        name, kind = re.findall(r"`(\w+)`", row)[0], row.split("|")[2]
        assert (name in WARNINGS | HIP_WARNINGS) == kind.strip().startswith("warning"), name

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

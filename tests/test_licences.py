"""Nothing that rhoa needs, or is built of, binds its users by a licence of the GPL family."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from scripts import crate_licences
from tests.licences import closure, is_free, objection

needs_cargo = pytest.mark.skipif(
    shutil.which("cargo") is None or not crate_licences.LOCK.exists(),
    reason="crates are read by cargo from Cargo.lock: an installed wheel has neither",
)


def distribution(folder: Path, name: str, *lines: str) -> None:
    """An installed distribution, as ``importlib.metadata`` finds it in ``folder``."""
    home = folder / f"{name}-1.0.dist-info"
    home.mkdir()
    head = ["Metadata-Version: 2.4", f"Name: {name}", "Version: 1.0"]
    (home / "METADATA").write_text("\n".join([*head, *lines, ""]), encoding="utf-8")


def objections(root: str) -> list[str]:
    found = [objection(distribution) for distribution in closure(root).installed.values()]
    return sorted(line for line in found if line is not None)


@pytest.mark.parametrize(
    ("expression", "free"),
    [
        *(("MIT", True), ("GPL-3.0-only", False), ("AGPL-3.0-or-later", False)),
        *(("LGPL-2.1-or-later", False), ("MIT OR GPL-2.0-only", True), ("MIT/Apache-2.0", True)),
        *(("MIT AND GPL-2.0-only", False), ("GPL-2.0-only WITH Classpath-exception-2.0", False)),
        *(("MIT AND (GPL-2.0-only OR Zlib)", True), ("(MIT OR Zlib) AND SSPL-1.0", False)),
        *(("GPL-2.0-only OR MIT AND Zlib", True), ("Zlib AND MIT OR GPL-2.0-only", True)),
    ],
)
def test_an_expression_is_free_where_one_of_its_alternatives_is(
    expression: str, *, free: bool
) -> None:
    assert is_free(expression) is free


@pytest.mark.parametrize(
    "line",
    [
        "License-Expression: MIT AND GPL-3.0-or-later",
        "Classifier: License :: OSI Approved :: GNU Affero General Public License v3",
        "Classifier: License :: OSI Approved :: GNU Lesser General Public License v2 (LGPLv2)",
        "License: GPLv3",
        "Summary: says nothing of its licence",
    ],
)
def test_a_distribution_that_is_not_free_is_found_however_it_says_so(
    line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is two steps away, behind an extra; the one beside it is free."""
    distribution(
        tmp_path, "root", "License: MIT", "Provides-Extra: x", 'Requires-Dist: middle; extra == "x"'
    )
    distribution(tmp_path, "middle", "License-Expression: MIT", "Requires-Dist: copyleft[deep]")
    distribution(tmp_path, "copyleft", line)
    monkeypatch.syspath_prepend(tmp_path)

    assert [found.split(":")[0] for found in objections("root")] == ["copyleft"]


def test_what_is_not_installed_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    distribution(tmp_path, "root", "License: MIT", "Requires-Dist: no-such-distribution")
    monkeypatch.syspath_prepend(tmp_path)

    assert closure("root").missing == {"no-such-distribution"}


def test_nothing_that_rhoa_needs_or_may_need_is_under_the_gpl() -> None:
    found = closure("rhoa")

    assert objections("rhoa") == []
    assert {"numpy", "pydicom", "scikit-learn", "scipy"} <= set(found.installed)
    if os.environ.get("RHOA_REQUIRE_TORCH") == "1":
        assert {"torch", "torchvision", "safetensors", "matplotlib"} <= set(found.installed)


def crate_objections(crates: list[dict[str, Any]]) -> list[str]:
    return [crate["name"] for crate in crates if not is_free(crate["license"] or "GPL")]


@needs_cargo
def test_no_crate_is_under_the_gpl() -> None:
    crates = crate_licences.crates()

    assert {"pyo3", "numpy", "criterion"} <= {crate["name"] for crate in crates}
    assert crate_objections(crates) == []
    assert crate_objections([*crates, {"name": "x", "license": "GPL-3.0"}]) == ["x"]
    assert crate_objections([*crates, {"name": "x", "license": None}]) == ["x"]


@needs_cargo
def test_the_licences_of_all_linked_crates_are_in_the_file_that_the_wheel_carries() -> None:
    """Where it is behind, ``python scripts/crate_licences.py`` writes it anew."""
    assert crate_licences.NOTICES.read_text(encoding="utf-8") == crate_licences.notices()

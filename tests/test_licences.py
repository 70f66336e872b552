"""Nothing that rhoa needs, or is built of, binds its users by a licence of the GPL family.

GPL, AGPL, LGPL and SSPL, in what is installed with rhoa (pip-licenses reads it) and in its crates.
LGPL is in the rule because crates are linked statically, and one rule for both halves is easier to
keep. Weak copyleft by file (MPL) and proprietary runtimes (CUDA, which torch brings) may stay: they
ask nothing of those who use rhoa.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from scripts import crate_licences

pytest.importorskip("piplicenses", reason="the extra test brings pip-licenses")

COPYLEFT = ("GPL", "General Public", "SSPL", "Server Side Public")
READ = {
    "docutils": "BSD and public domain; its GPL part is an Emacs mode that is not installed",
    "cuda-toolkit": "names the nvidia-* distributions, and holds no file of its own",
}
"""Distributions that pip-licenses would stop at."""
TAKEN_UNDER_MIT = {"MIT OR Apache-2.0 OR LGPL-2.1-or-later"}
"""Licences of crates that name the GPL as one of several to choose from."""
needs_cargo = pytest.mark.skipif(
    shutil.which("cargo") is None or not crate_licences.LOCK.exists(),
    reason="crates are read by cargo from Cargo.lock: an installed wheel has neither",
)


def pip_licenses(*words: str, beside: Path | None = None) -> subprocess.CompletedProcess[str]:
    """What it says of this environment, with the distributions in ``beside``."""
    paths = [str(beside)] if beside else []
    paths += filter(None, [os.environ.get("PYTHONPATH")])
    return subprocess.run(
        [sys.executable, "-m", "piplicenses", "--from=mixed", *words],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
    )


def refused(beside: Path | None = None) -> str:
    """Why the environment holds something that rhoa must not need; empty where it does not."""
    forbidden = ";".join((*COPYLEFT, "UNKNOWN"))
    run = pip_licenses(
        "--partial-match", f"--fail-on={forbidden}", "--ignore-packages", *READ, beside=beside
    )
    return run.stderr if run.returncode else ""


@pytest.mark.parametrize(
    ("line", "free"),
    [
        ("License-Expression: MIT", True),
        ("License-Expression: MIT AND GPL-3.0-or-later", False),
        ("Classifier: License :: OSI Approved :: GNU Affero General Public License v3", False),
        (
            "Classifier: License :: OSI Approved :: GNU Lesser General Public License v2 (LGPLv2)",
            False,
        ),
        ("License: GPLv3", False),
        ("Summary: says nothing of its licence", False),
    ],
)
def test_a_distribution_that_is_not_free_is_found_however_it_says_so(
    line: str, tmp_path: Path, *, free: bool
) -> None:
    home = tmp_path / "beside-1.0.dist-info"
    home.mkdir()
    head = "Metadata-Version: 2.4\nName: beside\nVersion: 1.0\n"
    (home / "METADATA").write_text(f"{head}{line}\n", encoding="utf-8")

    assert ("beside" not in refused(beside=tmp_path)) is free


def test_nothing_that_is_installed_is_under_the_gpl() -> None:
    names = {one["Name"].lower() for one in json.loads(pip_licenses("--format=json").stdout)}

    assert refused() == ""
    assert {"numpy", "scipy", "pydicom", "pillow"} <= names
    if os.environ.get("RHOA_REQUIRE_TORCH") == "1":
        assert {"torch", "torchvision", "safetensors", "matplotlib"} <= names


def crate_objections(crates: list[dict[str, Any]]) -> list[str]:
    """Names of crates that bind rhoa's users, or say nothing of their licence."""
    return [
        crate["name"]
        for crate in crates
        if crate["license"] not in TAKEN_UNDER_MIT
        and (not crate["license"] or re.search("|".join(COPYLEFT), crate["license"]))
    ]


@needs_cargo
def test_no_crate_is_under_the_gpl() -> None:
    crates = crate_licences.crates()

    assert {"pyo3", "numpy", "criterion"} <= {crate["name"] for crate in crates}
    assert crate_objections(crates) == []
    for licence in ("GPL-3.0", "(MIT OR Zlib) AND SSPL-1.0", None):
        assert crate_objections([*crates, {"name": "x", "license": licence}]) == ["x"]


@needs_cargo
def test_the_licences_of_all_linked_crates_are_in_the_file_that_the_wheel_carries() -> None:
    """Where it is behind, ``python scripts/crate_licences.py`` writes it anew."""
    assert crate_licences.NOTICES.read_text(encoding="utf-8") == crate_licences.notices()

"""The phantom study at its smallest: the documented command runs; its tables are its results."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from rhoa import cohort

pytestmark = [pytest.mark.torch, pytest.mark.slow]

SCRIPT = Path(__file__).parents[2] / "benches" / "phantom_study.py"


def test_the_reduced_study_writes_what_it_found_into_a_page(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- study -->\nold\n<!-- end of study -->\nafter\n")
    words = [str(SCRIPT), str(tmp_path / "out"), "--reduced", "--write", str(page)]

    run = subprocess.run(
        [sys.executable, *words],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert run.returncode == 0, run.stderr
    manifest = cohort.read(tmp_path / "out" / "manifest.csv")
    parts = {(hip.subject, hip.partition) for hip in manifest}
    assert len(parts) == len({subject for subject, _ in parts}) == 16
    results = json.loads((tmp_path / "out" / "results" / "results.json").read_text())
    text = page.read_text(encoding="utf-8")
    assert text.startswith("before\n<!-- study -->\n")
    assert text.endswith("<!-- end of study -->\nafter\n")
    assert "old" not in text
    areas = {
        row["recipe"]: row
        for row in results
        if (row["source"], row["partition"], row["figure"]) == ("ct", "test", "roc_auc")
    }
    assert list(areas) == [f"model-{number}" for number in range(1, 7)]
    for name, row in areas.items():
        (line,) = [line for line in text.splitlines() if line.startswith(f"| {name} |")]
        assert row["mean"] == pytest.approx(np.mean(row["values"]))
        told = f"| {row['mean']:.3f} +- {row['spread']:.3f}"
        if row["low"] is not None:  # few subjects have none
            told += f" [{row['low']:.2f}, {row['high']:.2f}]"
        assert line.endswith(f"{told} |")
    worst = min(areas[f"model-{number}"]["mean"] for number in (3, 4, 5))
    best = max(areas[f"model-{number}"]["mean"] for number in (1, 2))
    assert ("(3, 4, 5) all beat" in text) == (worst > best)
    assert ("do not all beat" in text) == (worst <= best)

"""Scores of several seeds together: every probability is their mean, grades as well as rHOA."""

from __future__ import annotations

import csv
from pathlib import Path
from types import SimpleNamespace

import pytest

from rhoa.cohort import Manifest
from rhoa.files import csv_text
from rhoa.study.runner import pool_scores

COLUMNS = (
    *("image", "subject", "side", "source", "visit", "partition", "kl", "label", "score"),
    *("kl_0", "kl_1", "kl_2", "kl_3", "kl_4", "kl_expected", "crowe_1", "crowe", "x_kl_0"),
)


def test_seeds_are_pooled_by_the_mean_of_each_probability(tmp_path: Path) -> None:
    jobs = []
    for seed, shares in enumerate(([0.5, 0.5, 0, 0, 0], [0.1, 0.1, 0.2, 0.2, 0.4])):
        folder = tmp_path / f"seed-{seed}"
        folder.mkdir()
        expected = sum(kl * share for kl, share in enumerate(shares))
        row = ["a.png", "S1", "left", "ct", "", "test", 1, "", sum(shares[2:])]
        row += [*shares, expected, 0.25 + seed / 4, 2, 7]
        (folder / "predictions.csv").write_text(csv_text(COLUMNS, [row]), "utf-8")
        for name in ("recipe.json", "history.csv"):
            (folder / name).write_text("{}")
        recipe = SimpleNamespace(name="grades")
        job = SimpleNamespace(recipe=recipe, name=f"seed-{seed}", folder=folder)
        job.manifest = Manifest(())
        jobs.append(job)

    (pooled,), _ = pool_scores(jobs, tmp_path / "together")  # type: ignore[arg-type]  # like jobs

    (row,) = csv.DictReader((pooled / "predictions.csv").read_text("utf-8").splitlines())
    assert [float(row[f"kl_{kl}"]) for kl in range(5)] == pytest.approx([0.3, 0.3, 0.1, 0.1, 0.2])
    assert float(row["score"]) == pytest.approx(0.4)
    assert float(row["kl_expected"]) == pytest.approx((0.5 + 2.7) / 2)
    assert float(row["crowe_1"]) == pytest.approx(0.375)
    assert (row["kl"], row["label"], row["crowe"], row["x_kl_0"]) == ("1", "", "2", "7")

"""How much too good a model looks whose images were parted, not its subjects.

    python benches/visit_leak.py OUT                                # an hour on 2 cores
    python benches/visit_leak.py OUT --write docs/phantom-study.md  # and its table into the docs
    python benches/visit_leak.py OUT --reduced                      # in a minute, to see it work

Digital subjects are X-rayed at five visits: the same bones, positioned anew, grades that rise now
and then. One recipe is cross-validated twice on the same hips: with folds of subjects, and with
folds of images, as the counts of the paper's Table 1 suggest. Every hip is scored by a model that
did not see its image; only with folds of subjects did the model see none of its subject.

`rhoa.train` refuses the second: images of one subject lie in two partitions. This script trains
below that audit, on purpose, to measure what it prevents.
"""

from __future__ import annotations

import argparse
import csv
import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
from phantom_study import table, write_between

from rhoa import cohort, evaluate, phantom, recipes
from rhoa.cli.common import bar
from rhoa.evaluation import compare
from rhoa.learning.recipe import Execution
from rhoa.learning.trainer import LabelledHip, StageConfig, run_stage
from rhoa.torch_runtime import Team

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rhoa.cohort import Hip
    from rhoa.learning import Recipe

    Arm = Literal["subjects", "images"]

SEED = 2020
VISITS = 5
ARMS: tuple[Arm, Arm] = ("subjects", "images")
MARKS = ("<!-- visits -->", "<!-- end of visits -->")


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How much is done."""

    subjects: int = 36
    folds: int = 5
    pixel_mm: float = 0.8
    image_size: int = 48
    epochs: int = 20

    @property
    def recipe(self) -> Recipe:
        """Model 1 as in the phantom study."""
        first = recipes["model-1"]
        return replace(
            first,
            image_size=self.image_size,
            batch=16,
            learning_rate=1e-3,
            epochs=self.epochs,
            drop_factor=0.1,
            drop_period=max(1, 2 * self.epochs // 3),
            validation_every=12,
            augmentation=replace(first.augmentation, translation_px=1),
        )


REDUCED = Size(subjects=4, folds=3, pixel_mm=2.0, image_size=32, epochs=1)


def labelled_hips(out: Path, size: Size) -> list[Hip]:
    """The crops of the cohort, made once."""
    scans, images = out / "cohort" / "scans.csv", out / "images" / "manifest.csv"
    if not scans.is_file():
        phantom.write_cohort(
            scans.parent,
            ct_subjects=0,
            xray_subjects=size.subjects,
            visits=VISITS,
            pixel_mm=size.pixel_mm,
            seed=SEED,
            progress=bar(),
        )
    if not images.is_file():
        cohort.build(scans, images.parent, progress=bar())
    return list(cohort.read(images).labelled.hips)


def cross_validated(hips: Sequence[Hip], arm: Arm, out: Path, size: Size) -> list[float]:
    """The score of each hip by the model of the fold in which it was tested."""
    parts = cohort.folds(
        [str(hip.label) for hip in hips],
        groups=[hip.subject for hip in hips] if arm == "subjects" else None,
        count=size.folds,
        seed=SEED,
    )
    scores: dict[tuple[str, str, str], float] = {}
    for test in range(size.folds):
        names = {0: "test", 1: "val"}
        placed = [
            replace(hip, partition=names.get((int(fold) - test) % size.folds, "train"))
            for hip, fold in zip(hips, parts, strict=True)
        ]
        folder = out / "runs" / arm / f"fold-{test + 1}"
        folder.mkdir(parents=True, exist_ok=True)
        stage = StageConfig(size.recipe, folder, SEED, Team(), torch.device("cpu"), Execution())
        lines = [LabelledHip(line, hip) for line, hip in enumerate(placed, start=2)]
        run_stage(stage, lines, "none", bar())
        with (folder / "predictions.csv").open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                if row["partition"] == "test":
                    scores[row["subject"], row["side"], row["visit"]] = float(row["score"])
    return [scores[hip.subject, hip.side, hip.visit] for hip in hips]


def tables(hips: Sequence[Hip], scores: dict[Arm, list[float]]) -> str:
    """What was found, as Markdown."""
    labels, subjects = [hip.label for hip in hips], [hip.subject for hip in hips]
    rows: list[list[Any]] = []
    for arm in ARMS:
        found = evaluate(labels, scores[arm], groups=subjects)
        rows.append([f"folds of {arm}", *map(told, (found.roc_auc, found.balanced_accuracy))])
    both = compare(labels, scores["subjects"], scores["images"], groups=subjects)
    gaps = (both.differences[name] for name in ("roc_auc", "balanced_accuracy"))
    rows.append(["too good by", *map(told, gaps)])
    said = (
        f"{len(hips)} labelled hips of {len(set(subjects))} subjects at {VISITS} visits; each hip "
        "is scored once. 95 % intervals resample subjects; the last row is paired."
    )
    heads = ["cross-validated with", "ROC AUC, pooled", "balanced accuracy"]
    return f"{said}\n\n{table(heads, rows)}"


def told(estimate: Sequence[float]) -> str:
    """``0.912 [0.850, 0.960]``; the value alone where it has no interval."""
    value, low, high = (round(number, 3) + 0.0 for number in estimate[:3])  # no -0.000
    return f"{value:.3f} [{low:.3f}, {high:.3f}]" if math.isfinite(low) else f"{value:.3f}"


def main() -> None:
    """Train both ways and print what was found."""
    options = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    options.add_argument("out", type=Path)
    options.add_argument("--reduced", action="store_true", help="small, to see it work")
    options.add_argument("--write", type=Path, metavar="FILE", help="put the table into it, too")
    chosen = options.parse_args()
    size = REDUCED if chosen.reduced else Size()
    hips = labelled_hips(chosen.out, size)
    found = tables(hips, {arm: cross_validated(hips, arm, chosen.out, size) for arm in ARMS})
    print(found)
    if chosen.write is not None:
        write_between(chosen.write, MARKS, found)


if __name__ == "__main__":
    main()

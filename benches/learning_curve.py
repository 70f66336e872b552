"""How well CT-APs are read by how many of them were labelled to train on, with X-rays and without.

    python benches/learning_curve.py OUT                               # about an hour on 2 cores
    python benches/learning_curve.py OUT --write docs/phantom-study.md # and its table into the docs
    python benches/learning_curve.py OUT --reduced                     # in minutes, to see it work

Makes a cohort of the harder phantoms (OUT/cohort) and its crops (OUT/images), unless they are
there, and trains on X-rays and 20, 50 and 100 labelled hips of CT-APs (OUT/20, OUT/50, OUT/100:
studies, as `rhoa study` carries them out). The few are among the many: subjects are taken in one
random order until the hips suffice. Hips to validate and to test on are the same throughout.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from phantom_study import (
    FRACTIONS,
    HARD,
    REDUCED,
    SEED,
    Size,
    crops,
    parted,
    table,
    test_scores,
    told,
    write_between,
)

from rhoa import cohort
from rhoa.cli.common import bar
from rhoa.cohort import Manifest
from rhoa.evaluation import compare
from rhoa.study import conduct, read_plan

if TYPE_CHECKING:
    from rhoa.study.runner import Result

CT_FRACTIONS = FRACTIONS | {"ct": (0.46, 0.12, 0.42)}
WITHOUT_CT, RECIPES = "model-1", ("model-5", "model-3", "model-6", "domain")
MARKS = ("<!-- curve -->", "<!-- end of curve -->")
CURVE = replace(HARD, ct_subjects=130, seeds=3)


def of_few(manifest: Manifest, hips: int) -> Manifest:
    """The manifest with about as many labelled CT-APs to train on: whole subjects, in one order."""
    found = [hip for hip in manifest.labelled if (hip.source, hip.partition) == ("ct", "train")]
    subjects = sorted({hip.subject for hip in found})
    kept: set[str] = set()
    for subject in np.random.default_rng(SEED).permutation(subjects).tolist():
        if sum(hip.subject in kept for hip in found) >= hips:
            break
        kept.add(subject)
    return Manifest(
        tuple(
            hip
            for hip in manifest
            if (hip.source, hip.partition) != ("ct", "train") or hip.subject in kept
        )
    )


def studies(out: Path, size: Size, sizes: list[int]) -> dict[int, Path]:
    """The plan of each number of hips; the smallest also trains on X-rays alone."""
    whole = parted(cohort.read(crops(out, size)), CT_FRACTIONS)
    plans = {}
    for hips in sizes:
        folder = out / str(hips)
        folder.mkdir(exist_ok=True)
        plans[hips] = folder / "study.toml"
        if not (folder / "manifest.csv").is_file():
            of_few(whole, hips).write(folder / "manifest.csv")
        if not plans[hips].is_file():
            names = (WITHOUT_CT, *RECIPES) if hips == sizes[0] else RECIPES
            plans[hips].write_text(size.plan(names), encoding="utf-8")
    return plans


def labelled(plan: Path) -> str:
    """How many hips of how many subjects a plan trains on, of CT-APs."""
    hips = [
        hip
        for hip in cohort.read(plan.parent / "manifest.csv").labelled
        if (hip.source, hip.partition) == ("ct", "train")
    ]
    return f"{len(hips)} of {len({hip.subject for hip in hips})}"


def areas(results: list[Result]) -> dict[str, Result]:
    """ROC AUC on the CT-AP test set, by recipe."""
    return {
        one.recipe: one
        for one in results
        if (one.figure, one.source, one.partition) == ("roc_auc", "ct", "test")
    }


def gained(out: Path, first: str, second: str) -> str:
    """The ROC AUC that the second recipe has more than the first, with its 95 % interval."""
    before, after = test_scores(out, first), test_scores(out, second)
    hips = sorted(before)
    both = compare(
        [hip.label for hip in hips],
        [before[hip] for hip in hips],
        [after[hip] for hip in hips],
        groups=[hip.subject for hip in hips],
    )
    value, low, high = both.differences["roc_auc"][:3]
    return f"{value:+.3f} [{low:+.3f}, {high:+.3f}]"


def main() -> None:
    """Train what is not trained yet, and print what was found."""
    options = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    options.add_argument("out", type=Path)
    options.add_argument("--reduced", action="store_true", help="small, to see it work")
    options.add_argument("--write", type=Path, metavar="FILE", help="put the tables into it, too")
    chosen = options.parse_args()
    size, sizes = (
        (replace(REDUCED, ct_subjects=24), [6, 12]) if chosen.reduced else (CURVE, [20, 50, 100])
    )
    plans = studies(chosen.out, size, sizes)
    found, differences = [], []
    for hips, file in plans.items():
        plan = read_plan(file)
        results = areas(list(conduct(plan, progress=bar()).results))
        if hips == sizes[0]:
            alone = told(results[WITHOUT_CT])
            found.append(["0", alone, *["-"] * (len(RECIPES))])
            test = f"{results[WITHOUT_CT].hips} hips of {results[WITHOUT_CT].subjects}"
        found.append([labelled(file), "-", *(told(results[name]) for name in RECIPES)])
        differences.append(
            [labelled(file), *(gained(plan.out, "model-5", name) for name in RECIPES[1:])]
        )
    text = "\n\n".join(
        [
            (
                f"ROC AUC on the CT-AP test set ({test} subjects) over {size.seeds} seeds, mean +- "
                "standard deviation; in brackets the 95 % interval of the seeds' mean scores, over "
                "subjects."
            ),
            table(["labelled CT-AP hips of subjects", WITHOUT_CT, *RECIPES], found),
            (
                "More than model 5, which is trained on CT-APs alone, with paired 95 % intervals "
                "over subjects:"
            ),
            table(["labelled CT-AP hips of subjects", *RECIPES[1:]], differences),
        ]
    )
    print(text)
    if chosen.write is not None:
        write_between(chosen.write, MARKS, text)


if __name__ == "__main__":
    main()

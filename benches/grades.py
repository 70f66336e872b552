"""How well grades of digital hips are read, and whether uncertainty is higher where they are wrong.

    python benches/grades.py [--subjects 300] [--seeds 3] [--epochs 30]

CT-APs of digital pelves in their true pose, KL 0 to 4 as often as `KL_SHARES` says; 47 % of the
subjects train, 20 % validate, 33 % test. Each head is trained from random weights with several
seeds, which also grade together. Intervals are of 95 %, over subjects. What a phantom shows is its
severity, which is its grade and a normal error of 0.45 grades: no reader of images can be exact
for all. The numbers of this page were fixed before anything was trained. Minutes on one core.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

import rhoa
from rhoa.cohort import Hip, Manifest
from rhoa.evaluation import evaluate_grades, risk_coverage
from rhoa.hips import model_crop, read_crop, write_crop
from rhoa.learning import Augmentation, Recipe, load_ensemble, load_model, monte_carlo_dropout
from rhoa.phantom import Anatomy, ct
from rhoa.phantom.export import KL_SHARES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rhoa.evaluation.metrics import Estimate
    from rhoa.learning import Draws

SEED = 2020
SPACING_MM = (3.0, 2.0, 2.0)
SHARES = {"train": 0.47, "val": 0.20, "test": 0.33}
ABSTAINED = (0.1, 0.2, 0.3)
CHANGES = Augmentation(rotation_deg=5, translation_px=1, scale=(0.9, 1.1))
HEADS = {"classes": "softmax", "ordinal": "CORN"}


def cohort(folder: Path, subjects: int) -> Manifest:
    """Hips of phantoms, partitions of subjects."""
    random = np.random.default_rng(SEED)
    edges = np.cumsum([share * subjects for share in SHARES.values()])
    hips = []
    for number in range(subjects):
        kl = dict(zip(("left", "right"), random.choice(5, 2, p=KL_SHARES).tolist(), strict=True))
        bones = int(random.integers(1 << 31))
        anatomy = Anatomy.random(bones, kl_left=kl["left"], kl_right=kl["right"])
        case = ct(anatomy, spacing_mm=SPACING_MM)
        image = rhoa.ctap(case.volume, pose=case.landmarks)
        partition = tuple(SHARES)[int(np.searchsorted(edges, number, side="right"))]
        for side, box in rhoa.hips.boxes(image).items():
            file = folder / f"{number:04d}-{side}.png"
            write_crop(file, model_crop(image, box, source="ct"), box, image, source="ct")
            label = None if kl[side] == 1 else int(kl[side] >= 2)
            hip = Hip(file, f"S{number:04d}", side, "ct", kl[side], "", label, partition=partition)
            hips.append(hip)
    return Manifest(tuple(hips))


def recipe(head: str, epochs: int) -> Recipe:
    """Small crops, from random weights."""
    return Recipe(
        name=head,
        description=f"KL grades of CT-APs, {HEADS[head]}",
        sources=("ct",),
        target="kl",
        head=head,
        dropout=0.2,
        image_size=48,
        batch=16,
        epochs=epochs,
        learning_rate=1e-3,
        schedule="cosine",
        optimizer="adamw",
        weight_decay=0.01,
        augmentation=CHANGES,
        validation_every=50,
        best_by="val_loss",
        keep="best",
    )


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--subjects", type=int, default=300)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=30)
    options = parser.parse_args()
    begun = time.perf_counter()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        manifest = cohort(folder, options.subjects)
        test = [hip for hip in manifest if hip.partition == "test"]
        crops = [read_crop(hip.crop) for hip in test]
        print(f"{len(test)} test hips of {len({hip.subject for hip in test})} subjects")
        runs = {
            head: [
                rhoa.train(
                    manifest,
                    recipe(head, options.epochs),
                    folder / f"{head}-{seed}",
                    weights="none",
                    device="cpu",
                    seed=SEED + seed,
                )
                for seed in range(options.seeds)
            ]
            for head in HEADS
        }
        for head, folders in runs.items():
            report(HEADS[head], folders, test, crops)
    print(f"{time.perf_counter() - begun:.0f} s")


def report(name: str, runs: Sequence[Path], test: Sequence[Hip], crops: Sequence[object]) -> None:
    """What one head does: alone, and its seeds together."""
    grades, subjects = [hip.kl for hip in test], [hip.subject for hip in test]
    first = load_model(runs[0], device="cpu")
    together = load_ensemble(runs, device="cpu")
    draws: dict[str, Draws] = {
        "one model": first.draws(crops, views=1),
        "8 views": first.draws(crops, views=8, changes=CHANGES),
        "dropout, 16 networks": monte_carlo_dropout(first).draws(crops),
        f"{len(runs)} seeds": together.draws(crops, views=1),
    }
    print(f"\n| {name} | exact | within one | kappa | mean error | AUC, KL >= 2 |")
    print("|---|---|---|---|---|---|")
    for who in ("one model", f"{len(runs)} seeds"):
        found = evaluate_grades(grades, draws[who].grades.mean(axis=0), groups=subjects)
        figures = (
            *(found.exact, found.within_one, found.kappa, found.mean_absolute_error, found.auc_2),
        )
        print(f"| {who} | {' | '.join(map(told, figures))} |")
    print(found.confusion)
    print("\n| Uncertainty | exact | AURC | best possible | a wrong answer is less sure |")
    print("|---|---|---|---|---|")
    for who, drawn in draws.items():
        wrong = drawn.grades.mean(axis=0).argmax(axis=1) != grades
        measures = {"entropy": drawn.entropy_nats, "mutual information": drawn.disagreement_nats}
        for measure, values in measures.items():
            if who == "one model" and measure != "entropy":
                continue
            found = risk_coverage(wrong, values, groups=subjects)
            print(
                f"| {who}, {measure} | {1 - wrong.mean():.3f} | {told(found.aurc)} | "
                f"{found.best:.3f} | {told(found.error_auc)} |"
            )
    print("\n| Asked share of validation hips | of test hips | exact, answered | exact, left out |")
    print("|---|---|---|---|")
    drawn = draws[f"{len(runs)} seeds"]
    right = drawn.grades.mean(axis=0).argmax(axis=1) == grades
    for share in ABSTAINED:
        left = drawn.entropy_nats > together.abstention_threshold(share)
        exact = [f"{right[some].mean():.3f}" for some in (~left, left)]
        print(f"| {share:.0%} | {left.mean():.0%} | {' | '.join(exact)} |")


def told(estimate: Estimate) -> str:
    """``0.65 [0.58, 0.71]``."""
    return f"{estimate.value:.2f} [{estimate.low:.2f}, {estimate.high:.2f}]"


if __name__ == "__main__":
    main()

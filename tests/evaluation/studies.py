"""Studies to report on: pictures of hips, manifests, run folders as `rhoa.train` leaves them."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rhoa.cohort import Hip, Manifest
from rhoa.evaluation.saliency import OcclusionExample
from rhoa.radiograph import Radiograph
from rhoa.raster import encode_png

MODELS = {  # name: sources, size of X-rays, separation of the classes on (X-rays, CT-APs)
    "model-1": (["xray"], None, (2.6, 0.7)),
    "model-2": (["xray"], 100, (2.2, 0.5)),
    "model-3": (["xray", "ct"], None, (2.5, 2.0)),
    "model-4": (["xray", "ct"], 100, (2.3, 1.6)),
    "model-5": (["ct"], None, (0.4, 1.8)),
    "model-6": (["xray", "ct"], None, (1.9, 1.2)),
}
SIDES = ("left", "right")


def hip_picture(kl: int, random: np.random.Generator, size: int = 100) -> NDArray[np.uint8]:
    """A cartoon of a left hip: a bright head in a socket, the joint space narrower with grade."""
    row, column = np.mgrid[:size, :size] / size - 0.5
    radius = np.hypot(row, column - 0.05 * random.normal())
    head = 160.0 * (radius < 0.26)
    socket = 190.0 * ((radius > 0.36 - 0.018 * kl) & (row - 0.3 * column < 0.1))
    noisy = 40 + np.maximum(head, socket) + 12 * random.normal(size=row.shape)
    return np.clip(noisy, 0, 255).astype(np.uint8)


def make_manifest(folder: Path, per_partition: dict[str, dict[str, int]]) -> Manifest:
    """Two hips a subject, KL 0 to 4 in turn, so that KL 1 is excluded."""
    random = np.random.default_rng(7)
    hips = []
    for source, parts in per_partition.items():
        for partition, subjects in parts.items():
            for number in range(subjects):
                for side in SIDES:
                    kl = len(hips) % 5
                    image = folder / f"{source}_{len(hips)}.png"
                    image.write_bytes(encode_png(hip_picture(kl, random)))
                    label = None if kl == 1 else int(kl >= 2)
                    subject = f"{source}-{partition}-{number}"
                    hips.append(Hip(image, subject, side, source, kl, "0", label, partition))
    return Manifest(tuple(hips))


def hips_of(image: Path, source: str, partition: str, positive: int, negative: int) -> list[Hip]:
    """One hip a subject, all with the same picture."""
    grades = [2] * positive + [0] * negative
    return [
        Hip(image, f"{source}-{partition}-{n}", "left", source, kl, "0", int(kl >= 2), partition)
        for n, kl in enumerate(grades)
    ]


def write_run(folder: Path, manifest: Manifest, name: str, seed: int) -> Path:
    """A run folder as `rhoa.train` leaves it, with scores of a known separation."""
    gains = dict(zip(("xray", "ct"), MODELS[name][2], strict=True))
    random = np.random.default_rng(seed)
    scores = []
    for hip in unseen(manifest):
        logit = random.normal(gains[hip.source] * (2 * (hip.label or 0) - 1) * 0.6, 1.0)
        scores.append(1 / (1 + np.exp(-logit)))
    return write_scores(folder, manifest, scores, name=name)


def write_scores(
    folder: Path, manifest: Manifest, scores: list[float], *, name: str = "model-3"
) -> Path:
    sources, xray_size, _ = MODELS.get(name, (["xray", "ct"], None, None))
    folder.mkdir(parents=True)
    recipe = {"name": name, "description": f"trained on {' and '.join(sources)}"}
    recipe |= {"sources": sources, "xray_size": xray_size, "epochs": 6}
    (folder / "recipe.json").write_text(json.dumps(recipe))
    write_rows(folder / "history.csv", history(np.random.default_rng(1)))
    rows = [
        {**hip_row(hip), "score": f"{score:.6f}"}
        for hip, score in zip(unseen(manifest), scores, strict=True)
    ]
    write_rows(folder / "predictions.csv", rows)
    return folder


def unseen(manifest: Manifest) -> list[Hip]:
    return [hip for hip in manifest.labelled if hip.partition != "train"]


def hip_row(hip: Hip) -> dict[str, object]:
    names = ("image", "subject", "side", "source", "visit", "partition", "kl", "label")
    return {name: getattr(hip, name) for name in names}


def history(random: np.random.Generator) -> list[dict[str, object]]:
    rows = []
    for iteration in range(1, 61):
        loss = 0.75 * np.exp(-iteration / 25) + 0.04 * abs(random.normal())
        val = iteration % 6 == 0
        rows.append(
            {
                "iteration": iteration,
                "epoch": (iteration + 9) // 10,
                "learning_rate": 1e-4,
                "train_loss": loss,
                "train_accuracy": min(1.0, 1 - loss / 2),
                "val_loss": loss + 0.15 if val else "",
                "val_accuracy": 0.9 - loss / 3 if val else "",
            }
        )
    return rows


def write_rows(path: Path, rows: list[dict[str, Any]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, list(rows[0]))
        table.writeheader()
        table.writerows(rows)


def radiograph() -> Radiograph:
    row, column = np.mgrid[:60, :80]
    blobs = np.hypot(row - 35, np.abs(column - 39.5) - 22) < 9
    return Radiograph(100 * blobs + row.astype(np.float32), (2.0, 1.0))


def occlusion_examples() -> list[OcclusionExample]:
    random = np.random.default_rng(3)
    row, column = np.mgrid[:100, :100] / 100 - 0.5
    bump = np.exp(-(((row + 0.3) ** 2 + column**2) / 0.01))
    dent = np.exp(-(((row - 0.2) ** 2 + (column + 0.2) ** 2) / 0.02))
    grades = [(3, 1, 0.91), (0, 0, 0.12), (2, 1, 0.31), (0, 0, 0.64), (4, 1, 0.97), (2, 1, 0.55)]
    return [
        OcclusionExample(
            f"CT-AP, KL {kl}", hip_picture(kl, random), bump - 0.5 * dent, label, probability
        )
        for kl, label, probability in grades
    ]


def write_readers(path: Path, manifest: Manifest) -> Path:
    """Grades of two readers: one gives every label's, the other is a grade higher on right hips."""
    rows = []
    for hip in manifest.labelled:
        kl = hip.kl or 0
        row = {"subject": hip.subject, "side": hip.side, "source": hip.source, "visit": hip.visit}
        rows.append(row | {"reader": "A", "kl": kl})
        rows.append(row | {"reader": "B", "kl": min(4, kl + 2 * (hip.side == "right"))})
    write_rows(path, rows)
    return path

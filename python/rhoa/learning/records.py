"""What a run folder tells beside the weights: what was run, on what, and what came of it."""

from __future__ import annotations

import hashlib
import json
import platform
from importlib import metadata
from typing import TYPE_CHECKING, Any

from rhoa._core import __version__
from rhoa.cohort.manifest import sha256_of
from rhoa.learning.recipes import RESNET18

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import torch
    from torch import Tensor

    from rhoa.cohort import Hip
    from rhoa.learning.recipes import Recipe

RUN_FILE = "run.json"
HIP_COLUMNS = ("image", "subject", "side", "source", "visit", "partition", "kl", "label")
_LIBRARIES = ("torch", "torchvision", "numpy", "safetensors")


def run_record(
    recipe: Recipe,
    hips: Sequence[Hip],
    *,
    weights: str,
    weights_sha256: str,
    seed: int,
    device: torch.device,
    precision: str,
    processes: int,
) -> dict[str, Any]:
    """What ``run.json`` holds: two runs with the same record compute the same.

    On one machine; a GPU's last digits may differ. Names of patients are in no part of it.
    """
    return {
        "recipe": recipe.as_dict(),
        "seed": seed,
        "weights": weights,
        "weights_sha256": weights_sha256,
        "device": device.type,
        "precision": precision,
        "processes": processes,
        **run_hashes(hips),
        "hips": _counts(hips),
        "versions": {
            "rhoa": __version__,
            "python": platform.python_version(),
            **{library: metadata.version(library) for library in _libraries(recipe)},
        },
    }


def _libraries(recipe: Recipe) -> tuple[str, ...]:
    return _LIBRARIES if recipe.backbone == RESNET18 else (*_LIBRARIES, "timm")


def run_hashes(hips: Iterable[Hip]) -> dict[str, str]:
    """SHA-256 of the labelled hips, images and all, and of who is in which partition."""
    manifest, split = hashlib.sha256(), set()
    for hip in hips:
        names = ("subject", "side", "source", "visit", "kl", "label", "partition")
        row = [sha256_of(hip.crop), *(getattr(hip, name) for name in names)]
        manifest.update(json.dumps(row).encode() + b"\n")
        split.add(json.dumps([hip.subject, hip.partition]))
    parted = hashlib.sha256("\n".join(sorted(split)).encode())
    return {"manifest_sha256": manifest.hexdigest(), "split_sha256": parted.hexdigest()}


def _counts(hips: Iterable[Hip]) -> dict[str, dict[str, dict[str, int]]]:
    """How many hips, by partition, source and label."""
    counts: dict[str, dict[str, dict[str, int]]] = {}
    for hip in hips:
        labels = counts.setdefault(str(hip.partition), {}).setdefault(hip.source, {})
        labels[str(hip.label)] = labels.get(str(hip.label), 0) + 1
    return counts


def tensors_sha256(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 of all numbers and their names."""
    digest = hashlib.sha256()
    for name, value in tensors.items():
        numbers = value.detach().cpu().contiguous()
        digest.update(f"{name} {numbers.dtype} {tuple(numbers.shape)}\n".encode())
        digest.update(numbers.numpy().tobytes())
    return digest.hexdigest()


def prediction_rows(hips: Sequence[Hip], scores: Iterable[float]) -> list[list[object]]:
    """Rows of ``predictions.csv``: `HIP_COLUMNS` and the score."""
    return [
        [*(getattr(hip, name) for name in HIP_COLUMNS), float(score)]
        for hip, score in zip(hips, scores, strict=True)
    ]

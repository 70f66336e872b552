"""A cohort whose KL grade is its brightness: small enough to learn in seconds."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rhoa.cohort import Hip, Manifest
from rhoa.learning import Recipe
from rhoa.raster import encode_png
from tests.learning.squares import QUICK, STILL

BRIGHT = replace(
    QUICK,
    name="bright",
    target="kl",
    epochs=20,
    drop_period=16,
    learning_rate=3e-3,
    validation_every=20,
    batch=10,
    image_size=32,
    augmentation=STILL,
)
COUNTS = {"train": 10, "val": 8, "test": 2}
CROWE = ("I", "2", "iii", "4.0", "")
"""Of KL 0 to 4: one more, as tables may spell it; nobody graded the last."""


def bright(kl: int, random: np.random.Generator, *, spread: float) -> NDArray[np.uint8]:
    """A crop 50 grey levels brighter a grade; ``spread`` is how much hips of a grade differ."""
    level = 25 + 50 * kl + random.normal(0, spread)
    return np.clip(random.normal(level, 8, (32, 32)), 0, 255).astype(np.uint8)


def brightnesses(folder: Path, *, crowe: bool = False, seed: int = 0) -> Manifest:
    """Hips of each grade in each partition; those of KL 1 have no label; other people a seed."""
    random = np.random.default_rng(seed)
    hips = []
    for partition, count in COUNTS.items():
        for number in range(count):
            for kl in range(5):
                subject = f"{partition}-{number}-{kl}-{seed}"
                path = folder / f"{subject}.png"
                path.write_bytes(encode_png(bright(kl, random, spread=16)))
                label = None if kl == 1 else int(kl >= 2)
                others = (("Crowe", CROWE[kl]),) if crowe else ()
                hip = Hip(path, subject, "left", "ct", kl, "", label, others=others)
                hips.append(replace(hip, partition=partition))  # type: ignore[arg-type]  # one of three
    return Manifest(tuple(hips))


def brief(**changes: object) -> Recipe:
    """One epoch of it."""
    return replace(BRIGHT, epochs=1, **changes)  # type: ignore[arg-type]  # fields

"""A cohort whose KL grade is its brightness: small enough to learn in seconds."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from rhoa.cohort import Hip, Manifest
from rhoa.learning import Recipe
from rhoa.raster import encode_png
from tests.learning.squares import QUICK, STILL

BRIGHT = replace(
    QUICK,
    name="bright",
    target="kl",
    epochs=16,
    drop_period=12,
    validation_every=16,
    batch=10,
    image_size=32,
    augmentation=STILL,
)
COUNTS = {"train": 16, "val": 8, "test": 6}


def crop(kl: int, random: np.random.Generator) -> np.ndarray:
    return np.clip(random.normal(25 + 50 * kl, 8, (32, 32)), 0, 255).astype(np.uint8)


def brightnesses(folder: Path, *, crowe: bool = False, seed: int = 0) -> Manifest:
    """Hips of each grade in each partition; KL 1 is labelled by nobody."""
    random = np.random.default_rng(seed)
    hips = []
    for partition, count in COUNTS.items():
        for number in range(count):
            for kl in range(5):
                subject = f"{partition}-{number}-{kl}"
                path = folder / f"{subject}.png"
                path.write_bytes(encode_png(crop(kl, random)))
                hips.append(
                    Hip(
                        path,
                        subject,
                        "left",
                        "ct",
                        kl,
                        "",
                        None if kl == 1 else int(kl >= 2),
                        partition=partition,  # type: ignore[arg-type]  # one of three
                        others=(("Crowe", ("I", "2", "iii", "4.0", "")[kl]),) if crowe else (),
                    )
                )
    return Manifest(tuple(hips))


def quick(**changes: object) -> Recipe:
    """One epoch of it."""
    return replace(BRIGHT, epochs=1, **changes)  # type: ignore[arg-type]  # fields

"""Cohorts small enough to train on in a second: a hip is a square, bright on one side."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rhoa.learning import Augmentation, Recipe
from rhoa.raster import encode_png

TINY = "timm/test_resnet"
"""A residual network of half a million weights, for what holds of any network."""
STILL = Augmentation(rotation_deg=0, translation_px=0, scale=(1, 1))
QUICK = Recipe(
    name="quick",
    backbone=TINY,
    description="small enough for a test",
    sources=("xray", "ct"),
    epochs=2,
    validation_every=2,
    drop_factor=0.1,
    drop_period=1,
    learning_rate=1e-3,
    batch=4,
    image_size=40,
)


@dataclass(frozen=True)
class Square:
    """What training asks of a hip."""

    image: Path
    subject: str
    side: str
    source: str
    kl: int | None
    visit: str
    label: int | None
    partition: str | None
    exclusion: str | None = None
    distinct: bool = False
    others: tuple[tuple[str, str], ...] = ()

    @property
    def crop(self) -> Path:
        return self.image


@dataclass(frozen=True)
class Squares:
    """What training asks of a manifest."""

    hips: tuple[Square, ...]

    def change(self, **fields: object) -> Squares:
        return Squares(tuple(replace(hip, **fields) for hip in self.hips))


def square(label: int, size: int, random: np.random.Generator) -> NDArray[np.uint8]:
    """Noise, bright above (no rHOA) or below (rHOA)."""
    image = random.integers(0, 60, (size, size))
    half = slice(size // 2, None) if label else slice(None, size // 2)
    image[half] += 150
    return image.astype(np.uint8)


def squares(folder: Path, *, size: int = 40, seed: int = 0) -> Squares:
    """Hips of both sources, classes and sides: 8 for training, 4 for validation, 4 for test."""
    random = np.random.default_rng(seed)
    hips = []
    for partition, count in (("train", 2), ("val", 1), ("test", 1)):
        for number in range(count):
            for source in ("xray", "ct"):
                for label, side in ((0, "left"), (1, "right")):
                    subject = f"{source}-{partition}-{number}"
                    path = folder / f"{subject}-{side}.png"
                    path.write_bytes(encode_png(square(label, size, random)))
                    kl = 3 if label else 0
                    hips.append(Square(path, subject, side, source, kl, "T00", label, partition))
    return Squares(tuple(hips))

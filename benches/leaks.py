"""How many planted copies the leak audit finds, how many false pairs it tells, how long it takes.

    python benches/leaks.py             # 600 hips of CT-APs, 120 of X-rays, 300 textures
    python benches/leaks.py --subjects 50 --xrays 4 --textures 50 --images 1000

Hips are of digital subjects, CT at 4 mm, and more alike than patients' are; they are made once and
kept in the folder for temporary files. Recall is of copies after each change; a false pair is an
image and a copy of another subject's. Unrelated hips are compared without changes as well. Times
are of ``--images`` images, hips under noise of their own, in three partitions.
"""

from __future__ import annotations

import argparse
import platform
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from rhoa.cohort import Hip, Manifest, leaks  # noqa: E402
from rhoa.cohort.likeness import likenesses, sketch  # noqa: E402
from rhoa.picture import encode_png, resize, stretch  # noqa: E402
from rhoa.progress import bar  # noqa: E402
from tests.cohort.copies import CHANGES, changed, hips, texture, xray_hips  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tests.cohort.copies import Picture

CACHE = Path(tempfile.gettempdir()) / "rhoa-leaks"
TIMES = ("reading, hashing and sketches", "comparing")


def kept(make: Callable[[int], list[Picture]], subjects: int) -> list[Picture]:
    """Both hips of each subject, made once."""
    CACHE.mkdir(exist_ok=True)
    progress = bar()
    images: list[Picture] = []
    for seed in range(subjects):
        file = CACHE / f"{make.__name__}-{seed}.npy"
        if not file.is_file():
            np.save(file, make(seed))
        images += list(np.load(file))
        if progress is not None:
            progress(seed + 1, subjects, make.__name__.replace("_", " "))
    return images


def measure(kind: str, images: Sequence[Picture], hips_each: int) -> None:
    """Print recall and false pairs of every change."""
    count = len(images)
    owners = np.arange(count) // hips_each
    originals = np.array([sketch(image) for image in images])
    print(f"{f'{count} {kind}':32} recall  false pairs  distance: median  95 %")
    for name, changes in CHANGES.items():
        copies = [sketch(changed(image, changes, seed)) for seed, image in enumerate(images)]
        sketches = np.concatenate([originals, copies])
        found = likenesses(sketches, np.arange(count), count + np.arange(count))
        own = [pair.distance for pair in found if pair.second - count == pair.first]
        false = sum(owners[pair.first] != owners[pair.second - count] for pair in found)
        middle, high = np.quantile(own, (0.5, 0.95))
        print(f"{name:32} {len(own) / count:6.3f}  {false:11}  {middle:16.3f}  {high:4.3f}")
    first, second = np.flatnonzero(owners % 2 == 0), np.flatnonzero(owners % 2)
    found = likenesses(originals, first, second)
    print(f"unrelated: {len(found)} false pairs among {len(first) * len(second)}\n")


def clock(images: Sequence[Picture], count: int) -> None:
    """Print the time of an audit of ``count`` images."""
    random = np.random.default_rng(0)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for number in range(count):
            noise = resize(random.normal(0, 25, (20, 20)).astype(np.float32), 100, 100)
            file = Path(folder) / f"{number}.png"
            file.write_bytes(encode_png(stretch(images[random.integers(len(images))] + noise)))
            part = random.choice(["train", "val", "test"], p=(0.55, 0.30, 0.15))
            rows.append(Hip(file, str(number), "left", "xray", 0, "", 0, part))
        marks = [time.perf_counter()]
        found = leaks(Manifest(tuple(rows)), progress=lambda *_: marks.append(time.perf_counter()))
        marks = [marks[0], marks[-1], time.perf_counter()]
    for what, seconds in zip(TIMES, np.diff(marks), strict=True):
        print(f"{count} images, {what}: {seconds:.1f} s")
    print(f"{len(found)} false pairs among them; {platform.machine()}")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--subjects", type=int, default=300)
    parser.add_argument("--xrays", type=int, default=60, help="subjects")
    parser.add_argument("--textures", type=int, default=300)
    parser.add_argument("--images", type=int, default=10_000)
    options = parser.parse_args()
    images = kept(hips, options.subjects)
    measure("hips of CT-APs", images, 2)
    measure("hips of X-rays", kept(xray_hips, options.xrays), 2)
    measure("textures", [texture(seed) for seed in range(options.textures)], 1)
    clock(images, options.images)


if __name__ == "__main__":
    main()

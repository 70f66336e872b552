"""How many planted copies the leak audit finds, how many false pairs it reports, how long it takes.

    python benches/leaks.py             # 600 hips of CT-APs, 120 of X-rays, 300 textures
    python benches/leaks.py --subjects 50 --xrays 4 --textures 50 --images 1000
    python benches/leaks.py --cohort 1000       # 2000 hips of X-rays, each subject another

The hips of ``--cohort`` are quick to make: of CTs of 3 mm around the hips, a detector of 1.5 mm and
pixels of 0.7 mm. Its first third is what thresholds were chosen on; figures are of the others.

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
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from rhoa.cli.common import bar  # noqa: E402
from rhoa.cohort import Hip, Manifest, leaks  # noqa: E402
from rhoa.cohort.leakage import likenesses, sketch  # noqa: E402
from rhoa.hips import crop  # noqa: E402
from rhoa.phantom import Anatomy, Surroundings, xray  # noqa: E402
from rhoa.raster import encode_png, resize, stretch  # noqa: E402
from tests.cohort.copies import (  # noqa: E402
    CHANGES,
    GRADE_SHARES,
    changed,
    hips,
    texture,
    xray_hips,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tests.cohort.copies import Picture

COHORT_SEED = 5000
AROUND_HIPS = Surroundings(reach_mm=((-225, 225), (-95, 225), (-85, 90)))
CACHE = Path(tempfile.gettempdir()) / "rhoa-leaks"
TIMES = ("reading, hashing and sketches", "comparing")


def kept(make: Callable[[int], list[Picture]], subjects: int, *, first: int = 0) -> list[Picture]:
    """Both hips of each subject, made once."""
    CACHE.mkdir(exist_ok=True)
    progress = bar()
    images: list[Picture] = []
    for seed in range(first, first + subjects):
        file = CACHE / f"{make.__name__}-{seed}.npy"
        if not file.is_file():
            np.save(file, make(seed))
        images += list(np.load(file))
        if progress is not None:
            progress(seed + 1 - first, subjects, make.__name__.replace("_", " "))
    return images


def coarse_hips(seed: int) -> list[Picture]:
    """Both hips of a digital subject's X-ray, in half a second."""
    made = sys.modules["rhoa.phantom.radiography"]
    whole = made.ct, made.VOXEL_MM, made.COARSE_MM
    made.ct, made.VOXEL_MM, made.COARSE_MM = partial(whole[0], surroundings=AROUND_HIPS), 3.0, 1.5
    try:
        random = np.random.default_rng(seed)
        left, right = (int(kl) for kl in random.choice(5, 2, p=GRADE_SHARES))
        image = xray(Anatomy.random(seed, kl_left=left, kl_right=right), pixel_mm=0.7, seed=seed)
    finally:
        made.ct, made.VOXEL_MM, made.COARSE_MM = whole
    crops = (crop(image.radiograph, box, size=110) for box in image.boxes.values())
    return [stretch(pixels, saturate_percent=1) for pixels in crops]


def measure(kind: str, images: Sequence[Picture], hips_each: int) -> None:
    """Print recall and false pairs of every change."""
    count = len(images)
    sides = np.array([min(image.shape) for image in images])
    owners = np.arange(count) // hips_each
    originals = np.array([sketch(image) for image in images])
    print(f"{f'{count} {kind}':32} recall  false pairs  distance: median  95 %")
    for name, changes in CHANGES.items():
        copies = [changed(image, changes, seed) for seed, image in enumerate(images)]
        sketches = np.concatenate([originals, [sketch(copy) for copy in copies]])
        both = np.concatenate([sides, [min(copy.shape) for copy in copies]])
        found = likenesses(sketches, both, np.arange(count), count + np.arange(count))
        own = [pair.distance for pair in found if pair.second - count == pair.first]
        false = sum(owners[pair.first] != owners[pair.second - count] for pair in found)
        middle, high = np.quantile(own, (0.5, 0.95))
        print(f"{name:32} {len(own) / count:6.3f}  {false:11}  {middle:16.3f}  {high:4.3f}")
    found = likenesses(originals, sides, np.arange(count), np.arange(count))
    pairs = {frozenset((p.first, p.second)) for p in found if owners[p.first] != owners[p.second]}
    print(f"unchanged: {len(pairs)} false pairs, {1000 * len(pairs) / count:.2f} per 1000 images\n")


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
    parser.add_argument("--cohort", type=int, help="subjects of the large cohort, and no others")
    options = parser.parse_args()
    if options.cohort:
        images = kept(coarse_hips, options.cohort + options.cohort // 2, first=COHORT_SEED)
        measure("hips of X-rays of the cohort", images[options.cohort // 2 * 2 :], 2)
        return
    images = kept(hips, options.subjects)
    measure("hips of CT-APs", images, 2)
    measure("hips of X-rays", kept(xray_hips, options.xrays), 2)
    measure("textures", [texture(seed) for seed in range(options.textures)], 1)
    clock(images, options.images)


if __name__ == "__main__":
    main()

"""How far posed images are from closed forms: the figures of docs/accuracy.md.

    python -m benches.accuracy      # from the repository's root; a minute on two cores

Gaussian blobs have exact line integrals through any pose and between any depths; a block has an
exact edge. `tests/test_accuracy.py` holds bounds of the same errors.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

import rhoa
from tests.closed_forms import Blobs
from tests.strategies import posed, rotation

if TYPE_CHECKING:
    from collections.abc import Mapping

METHODS: Mapping[str, Mapping[str, object]] = {
    "shear (default)": {},
    "reslice, trilinear": {"method": "reslice"},
    "reslice, cubic": {"method": "reslice", "order": 3},
}
ANGLES = [(10, 4, -3), (-7, 3, 12), (20, -10, 8), (3, 20, 0), (5, -15, 10)]
WINDOW = (0, 1e5)
SIDE_MM = 160


def blobs(slice_mm: float, sigmas_mm: tuple[float, float]) -> tuple[Blobs, rhoa.Volume]:
    """Blobs in a cube, and their scan with pixels of 1 mm."""
    empty = np.zeros((round(SIDE_MM / slice_mm), SIDE_MM, SIDE_MM), np.int8)
    volume = rhoa.Volume.from_array(empty, (slice_mm, 1, 1))
    form = Blobs.within(volume, sigmas_mm)
    return form, form.scan(volume.shape, volume.affine)


def percent_off(
    scan: tuple[Blobs, rhoa.Volume],
    angles: tuple[float, float, float],
    depth: tuple[float, float] | None,
    method: Mapping[str, object],
) -> float:
    """RMS error over all pixels, in percent of the exact image's standard deviation."""
    form, volume = scan
    image = rhoa.ctap(
        volume,
        pose=posed(volume, rotation(*angles).T),
        window=WINDOW,
        depth=depth or "all",
        **method,
    )
    expected = form.image(image, depth or (-np.inf, np.inf))
    error = np.sqrt(np.mean((image.pixels - expected) ** 2))
    return float(100 * error / expected.std())


def overshoot_percent() -> tuple[float, float]:
    """By how much a block's image leaves the block's range: along its edges, and anywhere."""
    edges, anywhere = [], []
    for turn, shift in [(0, 0.0), (5, 0.3), (12, 0.5), (20, 0.2), (27, 0.2)]:
        hu = np.zeros((96, 96, 96), np.int16)
        hu[32:64, 32:64, 32:64] = 500
        volume = rhoa.Volume.from_array(hu, (1, 1, 1))
        centre = volume.to_lps(np.array([47.5 + shift, 47.5, 47.5 + shift]))
        pose = rhoa.Alignment(rotation(0, turn, 0).T, centre)
        pixels = rhoa.ctap(volume, pose=pose, window=(0, 500)).pixels.astype(float)
        whole = 32 * 500.0
        beyond = np.maximum(pixels - whole, -pixels) / whole
        anywhere.append(beyond.max())
        middle = np.r_[beyond[pixels.shape[0] // 2], beyond[:, pixels.shape[1] // 2]]
        edges.append(middle.max())
    return 100 * max(edges), 100 * max(anywhere)


def main() -> None:
    """Print each figure with what it is of."""
    fine, thick = blobs(1, (1.2, 5)), blobs(5, (6, 8))
    for name, method in METHODS.items():
        errors = [percent_off(fine, angles, None, method) for angles in ANGLES]
        mean = float(np.sqrt(np.mean(np.square(errors))))
        print(f"line integrals, {name}: {mean:.2f} % of the image's contrast (RMS)")
    for name, method in METHODS.items():
        for slices, scan in (("1 mm", fine), ("5 mm", thick)):
            error = percent_off(scan, (30, 0, 0), (-3, 3), method)
            print(f"6 mm at a tilt of 30 degrees, slices of {slices}, {name}: {error:.2f} %")
    edge, corner = overshoot_percent()
    print(f"overshoot: {edge:.0f} % beside straight edges, {corner:.0f} % at corners")


if __name__ == "__main__":
    main()

"""Images to plant copies of, digital hips and smooth noise, and what copying may change."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage

import rhoa
from rhoa.hips import boxes, crop
from rhoa.phantom import Anatomy, ct, xray
from rhoa.raster import resize, stretch

GRADE_SHARES = (0.40, 0.10, 0.22, 0.16, 0.12)

Picture = NDArray[np.uint8]
Change = Callable[[NDArray[np.float64], np.random.Generator], NDArray[np.float64]]


def hips(seed: int) -> list[Picture]:
    """Both hips of a digital subject as `rhoa.cohort.build` crops them, at 4 mm and any grade."""
    random = np.random.default_rng(seed)
    left, right = (int(kl) for kl in random.choice(5, 2, p=GRADE_SHARES))
    angles = tuple(random.normal(0, (6, 2, 3)))
    anatomy = Anatomy.random(seed, kl_left=left, kl_right=right)
    phantom = ct(anatomy, spacing_mm=(4, 4, 4), angles=angles)
    image = rhoa.ctap(phantom.volume, pose=phantom.landmarks)
    return [stretch(crop(image, box, size=100)) for box in boxes(image).values()]


def xray_hips(seed: int) -> list[Picture]:
    """Both hips of a digital subject's X-ray at 0.4 mm, saturated as `rhoa.cohort.build` does."""
    random = np.random.default_rng(seed)
    left, right = (int(kl) for kl in random.choice(5, 2, p=GRADE_SHARES))
    image = xray(Anatomy.random(seed, kl_left=left, kl_right=right), pixel_mm=0.4)
    crops = (crop(image.radiograph, box, size=200) for box in image.boxes.values())
    return [stretch(pixels, saturate_percent=1) for pixels in crops]


def texture(seed: int) -> Picture:
    """Smooth noise, from bone-sized to fine."""
    random = np.random.default_rng([seed, 5])
    noise = sum(
        ndimage.gaussian_filter(random.standard_normal((100, 100)), sigma) * sigma**1.5
        for sigma in (2, 5, 12)
    )
    return stretch(noise)


def mirrored(image: NDArray[np.float64], _: np.random.Generator) -> NDArray[np.float64]:
    return image[:, ::-1]


def cropped(image: NDArray[np.float64], random: np.random.Generator) -> NDArray[np.float64]:
    """Up to 3 of 100 pixels less at each edge."""
    top, left, bottom, right = random.integers(0, 4, 4)
    return image[top : image.shape[0] - bottom, left : image.shape[1] - right]


def shifted(image: NDArray[np.float64], random: np.random.Generator) -> NDArray[np.float64]:
    """Up to 3 of 100 pixels each way; the edge is repeated where nothing is known."""
    down, across = random.integers(0, 7, 2)
    rows, columns = image.shape
    return np.pad(image, 3, mode="edge")[down : down + rows, across : across + columns]


def resized(image: NDArray[np.float64], random: np.random.Generator) -> NDArray[np.float64]:
    """From half to twice as large."""
    scale = 2 ** random.uniform(-1, 1)
    rows, columns = (round(length * scale) for length in image.shape)
    return resize(image.astype(np.float32), rows, columns).astype(np.float64)


def rewindowed(image: NDArray[np.float64], random: np.random.Generator) -> NDArray[np.float64]:
    """Up to 3 % saturated at either end, and a gamma of 0.6 to 1.7."""
    low, high = np.percentile(image, (random.uniform(0, 3), 100 - random.uniform(0, 3)))
    return 255 * np.clip((image - low) / (high - low), 0, 1) ** 2 ** random.uniform(-0.8, 0.8)


def noisy(image: NDArray[np.float64], random: np.random.Generator) -> NDArray[np.float64]:
    """By 1 to 5 of 255 grey levels."""
    return image + random.normal(0, random.uniform(1, 5), image.shape)


def compressed(image: NDArray[np.float64], random: np.random.Generator) -> NDArray[np.float64]:
    """Cosines of 8 x 8 blocks rounded, coarser for finer waves, as JPEG does."""
    rows, columns = (length // 8 * 8 for length in image.shape)
    waves = np.add.outer(np.arange(8), np.arange(8))
    steps = random.uniform(1, 3) * (4 + 3 * waves)
    blocks = image[:rows, :columns].reshape(rows // 8, 8, columns // 8, 8)
    cosines = fft.dctn(blocks, axes=(1, 3), norm="ortho")
    rounded = np.rint(cosines / steps[:, None, :]) * steps[:, None, :]
    result = image.copy()
    result[:rows, :columns] = fft.idctn(rounded, axes=(1, 3), norm="ortho").reshape(rows, columns)
    return result


def negative(image: NDArray[np.float64], _: np.random.Generator) -> NDArray[np.float64]:
    return 255 - image


CHANGES: dict[str, tuple[Change, ...]] = {
    **{
        change.__name__: (change,)
        for change in (mirrored, cropped, shifted, resized, rewindowed, noisy, compressed, negative)
    },
    "cropped, resized, compressed": (cropped, resized, compressed),
    "mirrored, shifted, rewindowed": (mirrored, shifted, rewindowed),
    "all but negative": (mirrored, cropped, shifted, resized, rewindowed, noisy, compressed),
}


def changed(image: Picture, changes: tuple[Change, ...], seed: int) -> Picture:
    """A copy after some changes, as 8-bit grey levels."""
    random = np.random.default_rng([seed, 9])
    copy = image.astype(np.float64)
    for change in changes:
        copy = change(copy, random)
    return np.clip(np.rint(copy), 0, 255).astype(np.uint8)

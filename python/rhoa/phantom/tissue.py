"""The body without bones: skin, fat, muscle, what the bowel and the bladder hold, the table."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from rhoa.phantom.contents import add_bladder_and_gas, add_bowel

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from rhoa.phantom.anatomy import Anatomy
    from rhoa.phantom.shapes import Grid
    from rhoa.phantom.surroundings import Surroundings

AIR_HU, FAT_HU, MUSCLE_HU, SKIN_HU = -1000.0, -100.0, 55.0, 0.0
TEXTURE_VOXELS = 6
SLAB = 8  # slices worked on at once, so that they stay in cache


def soft_tissue(
    grid: Grid,
    anatomy: Anatomy,
    random: np.random.Generator,
    surroundings: Surroundings,
    *,
    table: bool,
    down: NDArray[np.float64],
) -> NDArray[np.float32]:
    """HU of the body without bones; ``down`` is the AP direction in which things fall."""
    hu = np.empty(grid.shape, np.float32)
    texture = _Texture(random, grid.shape)
    for start in range(0, grid.shape[0], SLAB):
        part = (slice(start, min(start + SLAB, grid.shape[0])), *grid.everything[1:])
        hu[part] = _layers(grid, part, anatomy, texture)
        if table:
            x, y, _ = grid.points(part)
            _add_table(hu[part], x, y, anatomy.body_centre_mm + anatomy.body_depth / 2)
    add_bladder_and_gas(hu, grid, anatomy, random, surroundings)
    add_bowel(hu, grid, anatomy, surroundings, down)
    return hu


def _layers(
    grid: Grid, part: tuple[slice, slice, slice], anatomy: Anatomy, texture: _Texture
) -> NDArray[np.float32]:
    x, y, z = grid.points(part)
    half_wide, half_deep = np.float32(anatomy.body_width / 2), np.float32(anatomy.body_depth / 2)
    # The trunk narrows a little toward the waist; below the crotch there are two thighs.
    widen = 1 - 0.10 * np.clip((z - 20) / 150, 0, 1) - 0.04 * np.clip((-20 - z) / 60, 0, 1)
    depth = (y - np.float32(anatomy.body_centre_mm)) / half_deep
    # Flatter in front and behind than an ellipse, so that the iliac spines lie under the skin.
    aside = np.abs(x / (half_wide * widen))
    trunk = np.sqrt(aside * aside * aside + depth * depth)
    body = (1 - trunk) * half_deep  # mm below the skin, about
    body -= 6 * np.clip(9 - np.abs(x), 0, None) * np.clip((-45 - z) / 25, 0, 1)
    fat_mm = 16 + 10 * np.clip(np.abs(depth), 0, 1)
    hu = np.full(body.shape, AIR_HU, np.float32)
    for limit, value in ((0.0, SKIN_HU), (2.0, FAT_HU), (fat_mm, MUSCLE_HU)):
        share = np.clip((body - limit) / 2.5 + 0.5, 0, 1)
        hu += share * (np.float32(value) - hu)
    # Muscle is not all alike; there is fat between the muscles and around the bowel, at random.
    inside = np.clip((body - fat_mm) / 6, 0, 1)
    grain = texture.slab(part[0])
    hu += inside * (6 * grain - 110 * np.clip(grain - 0.4, 0, 1))
    return hu


def _add_table(
    hu: NDArray[np.float32], x: NDArray[np.float32], y: NDArray[np.float32], back_mm: float
) -> None:
    """A curved shell of carbon fibre around foam, under the back."""
    sag = x * x / np.float32(1400)
    below = y - np.float32(back_mm + 3) + sag
    within = (np.abs(x) < 200) & (below > 0)
    hu[within & (below < 16)] = -900
    hu[within & ((below < 3) | ((below > 13) & (below < 16)))] = -150


class _Texture:
    """Noise of unit spread that changes over a few voxels, by linear interpolation."""

    def __init__(self, random: np.random.Generator, shape: tuple[int, int, int]) -> None:
        coarse = [n // TEXTURE_VOXELS + 2 for n in shape]
        noise = random.standard_normal(coarse, dtype=np.float32)
        self.noise = _stretched(_stretched(noise, 1, range(shape[1])), 2, range(shape[2]))

    def slab(self, along: slice) -> NDArray[np.float32]:
        """The noise of some slices."""
        return _stretched(self.noise, 0, range(along.start, along.stop))


def _stretched(noise: NDArray[np.float32], axis: int, places: range) -> NDArray[np.float32]:
    """``noise`` interpolated along an axis, `TEXTURE_VOXELS` new values for an old one."""
    place = np.array(places, np.float32) / TEXTURE_VOXELS
    low = place.astype(int)
    share = (place - low).reshape([-1 if axis == n else 1 for n in range(noise.ndim)])
    first = noise.take(low, axis)
    first += share.astype(np.float32) * (noise.take(low + 1, axis) - first)
    return first

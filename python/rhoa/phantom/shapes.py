"""Signed distances of simple solids, joined smoothly on parts of a voxel grid.

A distance is negative inside, in mm. Solids are given in the AP frame (x left, y posterior, z
superior) and evaluated only where they can matter: in the box of voxels around them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    Array = NDArray[np.float32]
    Point = Sequence[float] | NDArray[np.float64]

FAR_MM = np.float32(25.0)
MARGIN_MM = 8.0


@dataclass(frozen=True, slots=True, eq=False)
class Grid:
    """Voxels ``(k, j, i)`` and the AP position of each: ``start + index @ steps``."""

    shape: tuple[int, int, int]
    start: NDArray[np.float64]
    steps: NDArray[np.float64]
    """AP step of one voxel along k, j and i, one a row, (3, 3)."""

    def around(
        self, low: NDArray[np.float64], high: NDArray[np.float64]
    ) -> tuple[slice, slice, slice]:
        """The voxels that cover an AP box."""
        corners = np.stack(np.meshgrid(*zip(low, high, strict=True)), axis=-1).reshape(8, 3)
        index = (corners - self.start) @ np.linalg.inv(self.steps)
        first, last = np.floor(index.min(axis=0)), np.ceil(index.max(axis=0)) + 1
        k, j, i = (
            slice(int(np.clip(a, 0, n)), int(np.clip(b, 0, n)))
            for a, b, n in zip(first, last, self.shape, strict=True)
        )
        return k, j, i

    def moved(self, by_mm: NDArray[np.float64]) -> Grid:
        """The same voxels seen from a frame that has slid by ``by_mm``."""
        return Grid(self.shape, self.start - by_mm, self.steps)

    def points(self, part: tuple[slice, slice, slice]) -> list[NDArray[np.float32]]:
        """AP x, y and z of the voxels of a part."""
        lines = [
            np.arange(along.start, along.stop, dtype=np.float32).reshape(
                [-1 if axis == n else 1 for n in range(3)]
            )
            for axis, along in enumerate(part)
        ]
        k, j, i = lines
        start, steps = self.start.astype(np.float32), self.steps.astype(np.float32)
        return [start[c] + steps[0, c] * k + steps[1, c] * j + steps[2, c] * i for c in range(3)]

    @property
    def everything(self) -> tuple[slice, slice, slice]:
        """All voxels."""
        k, j, i = (slice(0, n) for n in self.shape)
        return k, j, i


class Field:
    """The distance to a union of solids, on a grid; far away it is `FAR_MM`."""

    def __init__(self, grid: Grid, distance: NDArray[np.float32] | None = None) -> None:
        self.grid = grid
        self.distance = np.full(grid.shape, FAR_MM, np.float32) if distance is None else distance

    def moved(self, by_mm: NDArray[np.float64]) -> Field:
        """A view of this field: solids are added to it ``by_mm`` from where they say."""
        return Field(self.grid.moved(by_mm), self.distance)

    def add(self, solid: Solid, *, blend_mm: float = 3.0) -> None:
        """Unite with a solid, rounding the crease between them over ``blend_mm``."""
        part, distance = self._evaluate(solid)
        if distance.size:
            near = self.distance[part]
            crease = np.maximum(blend_mm - np.abs(near - distance), 0)
            crease *= crease / np.float32(4 * blend_mm)
            self.distance[part] = np.minimum(near, distance) - crease

    def cut(self, solid: Solid) -> None:
        """Take a solid away."""
        part, distance = self._evaluate(solid)
        if distance.size:
            self.distance[part] = np.maximum(self.distance[part], -distance)

    def _evaluate(self, solid: Solid) -> tuple[tuple[slice, slice, slice], NDArray[np.float32]]:
        part = self.grid.around(solid.low - MARGIN_MM, solid.high + MARGIN_MM)
        x, y, z = self.grid.points(part)
        return part, solid.distance(x, y, z)


@dataclass(frozen=True, slots=True, eq=False)
class Solid:
    """A distance function and the AP box that holds the solid."""

    distance: Callable[
        [NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]], NDArray[np.float32]
    ]
    low: NDArray[np.float64]
    high: NDArray[np.float64]


def capsule(a: Point, b: Point, radius_a: float, radius_b: float | None = None) -> Solid:
    """A rod with round ends from ``a`` to ``b``, its radius changing evenly."""
    start, end = np.asarray(a, float), np.asarray(b, float)
    other = radius_a if radius_b is None else radius_b
    along = end - start
    length2 = max(float(along @ along), 1e-9)

    def distance(x: Array, y: Array, z: Array) -> Array:
        dx, dy, dz = x - start[0], y - start[1], z - start[2]
        t = np.clip((dx * along[0] + dy * along[1] + dz * along[2]) / length2, 0, 1)
        off = (dx - t * along[0]) ** 2 + (dy - t * along[1]) ** 2 + (dz - t * along[2]) ** 2
        return _single(np.sqrt(off) - (radius_a + t * (other - radius_a)))

    largest = max(radius_a, other)
    return Solid(distance, np.minimum(start, end) - largest, np.maximum(start, end) + largest)


def ball(centre: Point, radius: float) -> Solid:
    """A sphere."""
    return capsule(centre, centre, radius)


def ellipsoid(centre: Point, radii: Sequence[float]) -> Solid:
    """An ellipsoid along the axes; its distance is exact on the surface, and near it."""
    middle, axes = np.asarray(centre, float), np.asarray(radii, float)

    def distance(x: Array, y: Array, z: Array) -> Array:
        parts = [(p - c) / r for p, c, r in zip((x, y, z), middle, axes, strict=True)]
        k = np.sqrt(sum(part * part for part in parts))
        slope = np.sqrt(sum((part / r) ** 2 for part, r in zip(parts, axes, strict=True)))
        return _single(k * (k - 1) / np.maximum(slope, 1e-6))

    return Solid(distance, middle - axes, middle + axes)


def plate(a: Point, b: Point, c: Point, thickness: float) -> Solid:
    """A triangle with the given thickness and round edges."""
    corners = np.array([a, b, c], float)
    normal = np.cross(corners[1] - corners[0], corners[2] - corners[0])
    normal /= np.linalg.norm(normal)
    half = thickness / 2

    def distance(x: Array, y: Array, z: Array) -> Array:
        height = sum((p - q) * n for p, q, n in zip((x, y, z), corners[0], normal, strict=True))
        inside = np.ones(np.broadcast_shapes(x.shape, y.shape, z.shape), bool)
        nearest = np.full(inside.shape, np.float32(np.inf))
        for n in range(3):
            start, along = corners[n], corners[(n + 1) % 3] - corners[n]
            inward = np.cross(normal, along)
            dx, dy, dz = x - start[0], y - start[1], z - start[2]
            inside &= dx * inward[0] + dy * inward[1] + dz * inward[2] > 0
            t = np.clip((dx * along[0] + dy * along[1] + dz * along[2]) / (along @ along), 0, 1)
            off = (dx - t * along[0]) ** 2 + (dy - t * along[1]) ** 2 + (dz - t * along[2]) ** 2
            nearest = np.minimum(nearest, off)
        return _single(np.where(inside, np.abs(height), np.sqrt(nearest)) - half)

    return Solid(distance, corners.min(axis=0) - half, corners.max(axis=0) + half)


def below_plane(solid: Solid, point: Point, direction: Point) -> Solid:
    """The part of a solid that lies behind a plane through ``point`` facing ``direction``."""
    where, facing = np.asarray(point, float), np.asarray(direction, float)
    facing = facing / np.linalg.norm(facing)

    def distance(x: Array, y: Array, z: Array) -> Array:
        height = sum((p - q) * n for p, q, n in zip((x, y, z), where, facing, strict=True))
        return _single(np.maximum(solid.distance(x, y, z), height))

    return Solid(distance, solid.low, solid.high)


def _single(values: NDArray[np.floating]) -> Array:
    return values.astype(np.float32, copy=False)

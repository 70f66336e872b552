"""What patients bring into a scan besides bone: bladder, bowel, ribs and metal, painted as HU."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from rhoa.phantom import bones
from rhoa.phantom.shapes import ball, below_plane, capsule

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from rhoa.phantom.anatomy import Anatomy
    from rhoa.phantom.shapes import Field, Grid, Solid
    from rhoa.phantom.surroundings import Surroundings
    from rhoa.pose.sides import Side

    Point = NDArray[np.float64]

GAS_HU, METAL_HU, LINER_HU, SOFT_HU = -900.0, 3071.0, -50.0, 40.0
BLADDER_RADIUS_MM = 26.0
CONTRAST_HU, CONTRAST_RADIUS_MM = (300.0, 700.0), (8.0, 16.0)
STOOL_HU, STOOL_RADIUS_MM, LUMPS = (400.0, 1300.0), 17.0, 24
# The colon in the hollow of the left iliac wing of the mean pelvis, from below up, AP mm.
COLON: tuple[tuple[int, int, int], ...] = ((80, 40, 72), (86, 34, 98), (96, 32, 124))
# The last three pairs of ribs: height at the spine, how far they fall, and where they end, degrees
# around the body from the back.
RIBS = ((318.0, 50.0, 85.0), (350.0, 105.0, 115.0), (382.0, 140.0, 138.0))
EDGE_MM = 2.5


def add_bladder_and_gas(
    hu: NDArray[np.float32],
    grid: Grid,
    anatomy: Anatomy,
    random: np.random.Generator,
    surroundings: Surroundings,
) -> None:
    """The bladder, and bubbles of bowel gas in front of the sacrum and in the flanks."""
    bladder = anatomy.point("left", 0, 62, 30)
    _fill(hu, grid, ball(bladder, BLADDER_RADIUS_MM), surroundings.bladder_hu)
    for _ in range(surroundings.gas_bubbles):
        where = random.uniform((-75, 25, 70), (75, 70, 190))
        _fill(hu, grid, ball(where, float(random.uniform(5, 13))), GAS_HU)


def add_bowel(
    hu: NDArray[np.float32],
    grid: Grid,
    anatomy: Anatomy,
    surroundings: Surroundings,
    down: NDArray[np.float64],
) -> None:
    """Contrast and tagged stool; ``down`` is the AP direction in which things fall."""
    random = np.random.default_rng([anatomy.seed, 88])
    top = min(surroundings.reach_mm[2][1], 300.0) - 20
    for _ in range(surroundings.contrast_loops):
        where = random.uniform((-95, 15, 30), (95, 65, max(top, 31)))
        radius, value = random.uniform(*CONTRAST_RADIUS_MM), random.uniform(*CONTRAST_HU)
        _fill(hu, grid, ball(where, float(radius)), float(value))
    for side in surroundings.tagged_stool:
        middle = [anatomy.point(side, *place) for place in COLON]
        for start, end in ((middle[0], middle[1]), (middle[1], middle[2])):
            loop = capsule(start, end, STOOL_RADIUS_MM)
            _fill(hu, grid, loop, GAS_HU)
            level = (start + end) / 2 - 6 * down
            # Lumps of unlike density.
            seeds = random.uniform(loop.low, loop.high, (LUMPS, 3))
            values = random.uniform(*STOOL_HU, LUMPS)
            _fill(hu, grid, below_plane(loop, level, -down), (seeds, values))


def add_ribs(field: Field, anatomy: Anatomy) -> None:
    """The last three pairs of ribs, from the spine around the flanks."""
    centre, s = anatomy.body_centre_mm, anatomy.size
    wide, deep = 0.82 * anatomy.body_width / 2, 0.74 * anatomy.body_depth / 2
    for start, drop, last in RIBS:
        turns = np.radians(np.arange(12.0, last, 12.0))
        for sign in (1, -1):
            along = np.stack(
                [
                    sign * wide * np.sin(turns),
                    centre + deep * np.cos(turns),
                    s * (start - drop * turns / turns[-1]),
                ],
                axis=1,
            )
            for one, other in pairwise(along):
                field.add(capsule(one, other, 5.0 * s), blend_mm=1)


def add_implant(hu: NDArray[np.float32], grid: Grid, anatomy: Anatomy, side: Side) -> None:
    """A total hip replacement: cup, liner, ball, neck and stem in place of head and cartilage."""
    sign = 1 if side == "left" else -1
    cup, s = bones.centre_of_cup(anatomy, side), anatomy.size
    head = bones.centre_of_head(anatomy, side)
    opening = np.array([0.80 * sign, -0.25, -0.55])
    socket = anatomy.head_radius + anatomy.joint(side).joint_space_mm

    def at(x: float, y: float, z: float) -> Point:
        return head + s * np.array([sign * x, y, z])

    parts: list[tuple[Solid, float]] = [
        (below_plane(ball(cup, socket + 0.5), cup, opening), METAL_HU),
        (below_plane(ball(cup, socket - 4), cup, opening), LINER_HU),
        (below_plane(ball(cup, socket), cup, -opening), SOFT_HU),
        (ball(cup, 14.0 * s), METAL_HU),
        (capsule(cup, at(30, 1, -24), 6.5 * s, 7.5 * s), METAL_HU),
        (capsule(at(30, 1, -24), at(39, 3, -62), 9.0 * s, 7.0 * s), METAL_HU),
        (capsule(at(39, 3, -62), at(33, 4, -135), 7.0 * s, 4.5 * s), METAL_HU),
    ]
    for solid, value in parts:
        _fill(hu, grid, solid, value)


def _fill(
    hu: NDArray[np.float32],
    grid: Grid,
    solid: Solid,
    value: float | tuple[NDArray[np.float64], NDArray[np.float64]],
) -> None:
    """Replace what is inside a solid by one HU, or by that of the nearest of some points."""
    part = grid.around(solid.low - 4, solid.high + 4)
    x, y, z = grid.points(part)
    share = np.clip(0.5 - solid.distance(x, y, z) / EDGE_MM, 0, 1)
    if isinstance(value, tuple):
        nearest, level = np.full(share.shape, np.float32(np.inf)), np.zeros_like(share)
        for (a, b, c), inside in zip(*value, strict=True):
            away = (x - np.float32(a)) ** 2 + (y - np.float32(b)) ** 2 + (z - np.float32(c)) ** 2
            level[away < nearest] = inside
            np.minimum(nearest, away, out=nearest)
    else:
        level = np.float32(value)
    hu[part] += share * (level - hu[part])

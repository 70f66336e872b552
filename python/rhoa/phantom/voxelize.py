"""The digital pelvis as a CT volume: skeleton, soft tissue, contents, and true landmarks."""

from __future__ import annotations

from dataclasses import dataclass, fields
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from rhoa._types import SIDES
from rhoa.errors import ParameterError, require_positive
from rhoa.phantom import solids
from rhoa.phantom.anatomy import PADDING_HU, PLAIN, Surroundings
from rhoa.phantom.solids import Field, Grid, ball, below_plane, capsule
from rhoa.pose import Landmarks, from_landmarks
from rhoa.pose.bone import along_patient
from rhoa.volume import Volume

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from rhoa._types import Side
    from rhoa.phantom.anatomy import Anatomy, Thing
    from rhoa.phantom.solids import Solid

    Array = NDArray[np.float32]
    Point = NDArray[np.float64]
    Place = tuple[float, float]


# What patients bring into a scan besides bone: bladder, bowel, ribs and metal, painted as HU.

GAS_HU, METAL_HU, LINER_HU, SOFT_HU = -900.0, 3071.0, -50.0, 40.0
BLADDER_RADIUS_MM = 26.0
CONTRAST_HU, CONTRAST_RADIUS_MM = (300.0, 700.0), (8.0, 16.0)
STOOL_HU, STOOL_RADIUS_MM, LUMPS = (400.0, 1300.0), 17.0, 24
# The colon in the hollow of the left iliac wing of the mean pelvis, from below up, AP mm.
COLON: tuple[tuple[int, int, int], ...] = ((80, 40, 72), (86, 34, 98), (96, 32, 124))
# The last three pairs of ribs: height at the spine, how far they fall, and where they end, degrees
# around the body from the back.
RIBS = ((318.0, 50.0, 85.0), (350.0, 105.0, 115.0), (382.0, 140.0, 138.0))
# Rectum and sigmoid colon, full of stool and gas.
RECTUM: tuple[tuple[int, int, int], ...] = (
    (0, 104, 20),
    (10, 112, 58),
    (-24, 92, 86),
    (30, 72, 98),
)
EDGE_MM = 2.5


def add_bladder_and_gas(
    hu: NDArray[np.float32],
    grid: Grid,
    anatomy: Anatomy,
    random: np.random.Generator,
    surroundings: Surroundings,
) -> None:
    """The bladder, and bubbles of bowel gas in front of the sacrum and in the flanks."""
    for start, end in pairwise(anatomy.point("left", *place) for place in RECTUM):
        loop = capsule(start, end, 19.0)
        lumps = random.uniform(loop.low, loop.high, (LUMPS, 3))
        _fill(hu, grid, loop, (lumps, random.uniform(GAS_HU, 70, LUMPS)))
    bladder = anatomy.point("left", 0, 62, 30)
    _fill(hu, grid, ball(bladder, BLADDER_RADIUS_MM), surroundings.bladder_hu)
    for n in range(surroundings.gas_bubbles):
        radius = float(random.uniform(5, 13))
        # Every other one in the rectum.
        low, high = ((-75, 25, 75), (75, 70, 190)) if n % 2 else ((-18, 100, 52), (24, 110, 80))
        start = random.uniform(low, high)
        end = start + random.uniform((-12, -6, 0), (12, 6, 12))
        _fill(hu, grid, capsule(start, end, radius + 2.5, radius + 1.5), SOFT_HU)
        _fill(hu, grid, capsule(start, end, radius, radius - 1.0), GAS_HU)


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
    cup, s = solids.centre_of_cup(anatomy, side), anatomy.size
    head = solids.centre_of_head(anatomy, side)
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


# Lines along the skin before the pelvis, from and to (left and up, AP mm), their radius and HU.
ON_SKIN: Mapping[str, tuple[tuple[tuple[Place, Place], ...], float, float]] = {
    "zip": ((((0, -10), (0, -62)),), 2.5, 2500),
    "buckle": ((((-25, 60), (25, 60)),), 5.0, 3000),
    "clip": ((((60, 20), (60, 28)),), 4.0, 2800),
    "coin": ((((-95, 70), (-95, 72)),), 9.0, 3000),
    "wire": ((((-110, 130), (110, 20)),), 1.5, 2000),
    "ecg_leads": (
        (((-90, 160), (-20, 110)), ((20, 110), (90, 160)), ((0, 110), (0, 20))),
        1.5,
        2200,
    ),
}
CATHETER = ((0, 10, -60), (0, 55, 35))
BEFORE_PLANE = ((-60, -12, 75), (55, -16, 50))
# The left external iliac and femoral artery of the mean pelvis, from above down, AP mm.
ARTERY = ((28, 100, 150), (58, 62, 92), (74, 20, 45), (70, 8, 15), (72, 14, -60))
SKIN_STEP_MM = 4.0
BONE_HU, TISSUE_HU = 250.0, -300.0


def with_things(
    volume: Volume, landmarks: Landmarks, things: Sequence[Thing], *, seed: int = 0
) -> Volume:
    """A copy of any scan of known pose with things that patients bring, as in `Surroundings`.

    Parameters
    ----------
    volume
        A CT in Hounsfield units; its bone (above 250 HU) is left as it is.
    landmarks
        Of the pelvis in it.
    things
        Names as in ``Surroundings.things``.
    seed
        Draws HU, and places that vary.

    Examples
    --------
    >>> from rhoa.phantom import Anatomy, ct, with_things
    >>> pelvis = ct(Anatomy.random(1), spacing_mm=(5, 5, 5))
    >>> int(with_things(pelvis.volume, pelvis.landmarks, ["buckle"]).hu.max()) > 2000
    True
    """
    frame = from_landmarks(landmarks)
    hu = np.array(volume.hu, np.float32)
    view = along_patient(Volume(hu, volume.affine))
    grid = Grid(view.shape, frame.to_ap(view.affine[:3, 3]), (frame.matrix @ view.affine[:3, :3]).T)
    spines = frame.to_ap(np.stack([landmarks.asis_left, landmarks.asis_right]))
    random = np.random.default_rng([seed, 99])
    add_things(view.hu, grid, Surroundings(things=tuple(things)).things, spines, random)
    return Volume(np.clip(np.rint(hu), -1024, 3071).astype(np.int16), volume.affine)


def add_things(
    hu: NDArray[np.float32],
    grid: Grid,
    things: Sequence[Thing],
    spines: NDArray[np.float64],
    random: np.random.Generator,
) -> None:
    """Paint things on the skin, and what in the body is as dense as bone; ``spines`` in AP mm."""
    s = float(np.linalg.norm(spines[0] - spines[1])) / 224
    into = (-np.inf, BONE_HU)
    for thing in things:
        if thing in ON_SKIN:
            lines, radius, value = ON_SKIN[thing]
            for line in lines:
                for one, other in pairwise(_along_skin(hu, grid, s * np.array(line, float))):
                    _fill(hu, grid, capsule(one, other, radius), value)
        elif thing == "catheter":
            _fill(
                hu,
                grid,
                capsule(s * np.array(CATHETER[0]), s * np.array(CATHETER[1]), 3.0),
                900.0,
                into,
            )
        elif thing == "contrast_before_plane":
            loop = capsule(s * np.array(BEFORE_PLANE[0]), s * np.array(BEFORE_PLANE[1]), 12.0)
            _fill(hu, grid, loop, float(random.uniform(350, 900)), into)
        elif thing == "contrast_at_spine":
            where = spines[0] + random.uniform((-16, -10, -12), (-8, 2, 4))
            _fill(hu, grid, ball(where, 14.0), float(random.uniform(400, 900)), into)
        elif thing == "calcified_vessels":
            for sign in (1, -1):
                course = s * np.array(ARTERY, float) * (sign, 1, 1)
                for one, other in pairwise(course):
                    for start in np.arange(0.0, 0.9, 0.2):
                        end = start + random.uniform(0.02, 0.18)
                        wall = random.uniform(-3, 3, 3)
                        here, there = (one + at * (other - one) + wall for at in (start, end))
                        value = float(random.uniform(500, 1400))
                        _fill(hu, grid, capsule(here, there, 2.0), value, into)
        elif thing == "arms":
            _add_arms(hu, grid, s)


def _along_skin(
    hu: NDArray[np.float32], grid: Grid, line: NDArray[np.float64]
) -> list[NDArray[np.float64]]:
    """AP places on the skin before a line of the AP plane, ``((left, up), (left, up))``."""
    places = []
    inverse = np.linalg.inv(grid.steps)
    count = int(np.linalg.norm(line[1] - line[0]) / SKIN_STEP_MM) + 2
    for x, z in np.linspace(line[0], line[1], count):
        k, _, i = np.rint((np.array([x, 0, z]) - grid.start) @ inverse).astype(int)
        if 0 <= k < grid.shape[0] and 0 <= i < grid.shape[2]:
            tissue = np.flatnonzero(hu[k, :, i] > TISSUE_HU)
            if len(tissue):
                places.append(grid.start + np.array([k, tissue[0], i]) @ grid.steps)
    return places


def _add_arms(hu: NDArray[np.float32], grid: Grid, scale: float) -> None:
    """Forearms beside the body, two bones each, as far as the scan reaches."""
    middle = np.array([0.0, 70.0, 40.0]) * scale
    k, j, _ = np.rint((middle - grid.start) @ np.linalg.inv(grid.steps)).astype(int)
    tissue = np.flatnonzero(hu[np.clip(k, 0, len(hu) - 1), j] > TISSUE_HU)
    for edge, sign in zip(tissue[[-1, 0]], (1, -1), strict=True):
        x = (grid.start + np.array([k, j, edge]) @ grid.steps)[0] + sign * 36
        low, high = np.array([x, 55.0, -90.0]), np.array([x + sign * 8, 75.0, 190.0])
        _fill(hu, grid, capsule(low, high, 32.0, 38.0), MUSCLE_HU, (-np.inf, TISSUE_HU))
        for back in (-13.0, 13.0):
            one, other = (end + np.array([0.0, back, 0.0]) for end in (low, high))
            _fill(hu, grid, capsule(one, other, 7.5), CORTEX_HU, (-np.inf, BONE_HU))
            _fill(hu, grid, capsule(one, other, 4.0), 120.0)


def _fill(
    hu: NDArray[np.float32],
    grid: Grid,
    solid: Solid,
    value: float | tuple[NDArray[np.float64], NDArray[np.float64]],
    into: tuple[float, float] = (-np.inf, np.inf),
) -> None:
    """Replace HU in a range inside a solid by one HU, or by that of the nearest of some points."""
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
    share[(hu[part] < into[0]) | (hu[part] > into[1])] = 0
    hu[part] += share * (level - hu[part])


# The skeleton in a CT: cortex around spongy bone, joints with what age has done to them.

CORTEX_HU, CARTILAGE_HU = 1150.0, 90.0
TRABECULAE_HU = 45.0
LABELS = {"sacrum": 25, "femur_left": 75, "femur_right": 76, "hip_left": 77, "hip_right": 78}
"""Values of a label map of the bones, as TotalSegmentator gives them."""


def add_bones(
    hu: NDArray[np.float32],
    grid: Grid,
    anatomy: Anatomy,
    voxel_mm: float,
    surroundings: Surroundings,
) -> NDArray[np.uint8]:
    """Paint the skeleton into soft tissue; a map of `LABELS`."""
    pelvis, sacrum, spine = Field(grid), Field(grid), Field(grid)
    solids.add_pelvis(pelvis, anatomy, surroundings)
    solids.add_sacrum(sacrum, anatomy, pelvis)
    solids.add_spine(spine, anatomy, top_mm=surroundings.reach_mm[2][1])
    if surroundings.ribs:
        add_ribs(spine, anatomy)
    np.maximum(spine.distance, 2.0 - sacrum.distance, out=spine.distance)
    for field, kind in ((sacrum, (1.4, 200.0)), (spine, (1.2, 190.0)), (pelvis, (1.8, 220.0))):
        _paint(hu, field, kind, voxel_mm, grid.everything)
    labels = np.zeros(grid.shape, np.uint8)
    labels[sacrum.distance < 0] = LABELS["sacrum"]
    hips = _voxels(pelvis.distance < 0)
    left = (
        grid.start[0] + sum(at * step for at, step in zip(hips, grid.steps[:, 0], strict=True)) > 0
    )
    labels[hips] = np.where(left, LABELS["hip_left"], LABELS["hip_right"])
    for side in surroundings.sides:
        moved = grid.moved(surroundings.displacement(side))
        femur, box = _add_femur(hu, moved, anatomy, side, pelvis, voxel_mm)
        labels[box][femur.distance[box] < 0] = LABELS[f"femur_{side}"]
        if side == surroundings.implant:
            add_implant(hu, moved, anatomy, side)
        else:
            _age_joint(hu, moved, anatomy, side, pelvis, femur)
    return labels


def _add_femur(
    hu: NDArray[np.float32],
    grid: Grid,
    anatomy: Anatomy,
    side: Side,
    pelvis: Field,
    voxel_mm: float,
) -> tuple[Field, tuple[slice, slice, slice]]:
    """The femur, and the voxels around it."""
    femur = Field(grid)
    solids.add_femur(femur, anatomy, side)
    head = solids.centre_of_head(anatomy, side)
    box = grid.around(head - np.array([110, 70, 400]), head + np.array([110, 70, 60]))
    near = femur.distance[box]
    np.maximum(near, 0.25 - pelvis.distance[box], out=near)
    s, sign = anatomy.size, 1 if side == "left" else -1

    def strut(ends: Sequence[tuple[float, float, float]], *place: NDArray[np.float32]) -> Array:
        one, other = (head + s * np.array([sign * a, b, c]) for a, b, c in ends)
        return np.clip(-capsule(one, other, 11 * s, 8 * s).distance(*place) / 6, 0, 1)

    def tissue(x: Array, y: Array, z: Array) -> tuple[Array, Array]:
        # Toward the shaft the cortex grows thick and the core turns to marrow; neck and trochanters
        # are less dense than the head, but for struts that bear the load: from the thick cortex of
        # the calcar into the head, and from the lateral cortex over the neck.
        aside, up = np.abs(x - np.float32(head[0])), z - np.float32(head[2])
        shaft = np.clip((-35 - up) / 45, 0, 1)
        struts = 170 * strut(((24, 0, -40), (2, 0, 0)), x, y, z)
        struts += 90 * strut(((48, 4, -42), (-8, 0, 4)), x, y, z)
        core = 300 - 180 * np.clip((aside - 0.6 * up - 20) / 25, 0, 1) - 130 * shaft
        calcar = 1 - (np.abs(aside - 24 * s) + np.abs(up + 42 * s)) / (24 * s)
        return 1.4 + 5 * shaft + 3 * np.clip(calcar, 0, 1), core + (1 - shaft) * struts

    _paint(hu, femur, tissue, voxel_mm, box)
    return femur, box


def _voxels(mask: NDArray[np.bool_]) -> tuple[NDArray[np.intp], ...]:
    """`numpy.nonzero` of three axes, faster."""
    return np.unravel_index(np.flatnonzero(mask), mask.shape)


def _paint(
    hu: NDArray[np.float32],
    field: Field,
    kind: tuple[float, float] | Callable[[Array, Array, Array], tuple[Array, Array]],
    voxel_mm: float,
    part: tuple[slice, slice, slice],
) -> None:
    """Replace soft tissue by bone: a cortical shell around a spongy core, with soft edges.

    ``kind`` is the thickness of the cortex and the HU of the core, or gives both of AP places.
    """
    distance, tissue = field.distance[part], hu[part]
    near = _voxels(distance < voxel_mm)
    d, old = distance[near], tissue[near]
    place = [np.full(d.shape, start, np.float32) for start in field.grid.start]
    for at, along, steps in zip(near, part, field.grid.steps, strict=True):
        index = (at + along.start).astype(np.float32)
        for c, step in enumerate(steps):
            if step:
                place[c] += np.float32(step) * index
    cortex, core = kind(*place) if callable(kind) else kind
    core = core + np.float32(TRABECULAE_HU) * _trabeculae(*place)
    bone = np.clip(0.5 - d / voxel_mm, 0, 1)
    shell = np.clip((d + cortex) / voxel_mm + 0.5, 0, 1)
    tissue[near] = old + bone * (core + shell * (np.float32(CORTEX_HU) - core) - old)


def _trabeculae(x: Array, y: Array, z: Array) -> NDArray[np.float32]:
    """Noise of unit spread about a millimetre wide; some way behind, it is another one."""
    n, layer = len(PLATES), (y / 5).astype(np.int32)
    row = (z * np.float32(1.4)).astype(np.int32) + 37 * layer
    column = (x * np.float32(1.4)).astype(np.int32) + 101 * layer
    noise: Array = PLATES[row % n, column % n]
    return noise


def _plates(count: int = 192) -> NDArray[np.float32]:
    """A pattern that repeats, of unit spread: longer than it is wide."""
    waves = np.fft.rfft2(np.random.default_rng(3).standard_normal((count, count)))
    up, aside = np.fft.fftfreq(count)[:, None], np.fft.rfftfreq(count)
    pattern = np.fft.irfft2(waves * np.exp(-((6 * up) ** 2) - (3 * aside) ** 2), (count, count))
    return np.asarray(pattern / pattern.std(), np.float32)


PLATES = _plates()


def _age_joint(
    hu: NDArray[np.float32],
    grid: Grid,
    anatomy: Anatomy,
    side: Side,
    pelvis: Field,
    femur: Field,
) -> None:
    """Cartilage in the joint space, sclerosis above and below it, and cysts."""
    joint, sign = anatomy.joint(side), 1 if side == "left" else -1
    cup, head = solids.centre_of_cup(anatomy, side), solids.centre_of_head(anatomy, side)
    socket = anatomy.head_radius + joint.joint_space_mm
    part = grid.around(cup - (socket + 20), cup + (socket + 20))
    x, y, z = grid.points(part)
    radius = np.sqrt((x - cup[0]) ** 2 + (y - cup[1]) ** 2 + (z - cup[2]) ** 2)
    region, bone = hu[part], np.minimum(pelvis.distance[part], femur.distance[part])
    space = (radius < socket) & (bone > 0) & (pelvis.distance[part] < 2 * joint.joint_space_mm)
    region[space] = np.maximum(region[space], CARTILAGE_HU)
    upward = ((x - cup[0]) * sign * 0.45 + (z - cup[2])) / np.maximum(radius, 1)
    loaded = np.clip((upward - 0.35) / 0.4, 0, 1)
    band = 3.5 + 4.0 * joint.sclerosis
    depth = np.abs(radius - socket)
    dense = loaded * np.clip(1.2 - depth / band, 0, 1) * np.clip(0.5 - bone / 2, 0, 1)
    region += np.float32(120 + 600 * joint.sclerosis) * dense * np.clip(1.2 - region / 1400, 0, 1)
    random = np.random.default_rng([anatomy.seed, 5, sign + 1])
    for _ in range(joint.cysts):
        angle, size = random.uniform(-0.5, 0.9), random.uniform(2.0, 4.2)
        above = random.random() < 0.6
        reach = socket + 5 if above else anatomy.head_radius - 5
        centre = (cup if above else head) + reach * np.array(
            [sign * np.sin(angle), random.uniform(-0.3, 0.3), np.cos(angle)]
        )
        d = np.sqrt((x - centre[0]) ** 2 + (y - centre[1]) ** 2 + (z - centre[2]) ** 2)
        hollow = np.clip((size - d) / 1.5 + 0.5, 0, 1) * (bone < 0)
        region += hollow * (np.float32(30) - region)


# The body without bones: skin, fat, muscle, what the bowel and the bladder hold, the table.

AIR_HU, FAT_HU, MUSCLE_HU, SKIN_HU = -1000.0, -100.0, 55.0, 0.0
TEXTURE_VOXELS = (11, 6, 6)  # along k, j, i: muscles run up and down
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
    fat_mm = 20 + 10 * np.clip(np.abs(depth), 0, 1) + 10 * np.clip(depth, 0, 1)
    hu = np.full(body.shape, AIR_HU, np.float32)
    for limit, value in ((0.0, SKIN_HU), (2.0, FAT_HU), (fat_mm, MUSCLE_HU)):
        share = np.clip((body - limit) / 2.5 + 0.5, 0, 1)
        hu += share * (np.float32(value) - hu)
    # Muscle is not all alike; there is fat between the muscles, and more of it around the bowel.
    inside = np.clip((body - fat_mm) / 6, 0, 1)
    grain = texture.slab(part[0])
    cavity = 1.15 - (x / 92) ** 2 - ((y - 55) / 58) ** 2 - (np.minimum(z - 70, 0) / 66) ** 2
    cavity = np.clip(4 * cavity, 0, 1)
    fat = np.clip(grain - 0.3 + 0.7 * cavity, 0, 1) * (110 + 30 * cavity)
    hu += inside * (6 * grain - fat)
    return hu


def _add_table(
    hu: NDArray[np.float32], x: NDArray[np.float32], y: NDArray[np.float32], back_mm: float
) -> None:
    """A curved shell of carbon fibre around foam, under the back."""
    sag = x * x / np.float32(1400)
    below = y - np.float32(back_mm + 3) + sag
    within = (np.abs(x) < 200) & (below > 0) & (below < 16)
    foam = (below > 3) & (below < 13)
    np.copyto(hu, np.where(foam, np.float32(-900), np.float32(-150)), where=within)


class _Texture:
    """Noise of unit spread that changes over some voxels, by linear interpolation."""

    def __init__(self, random: np.random.Generator, shape: tuple[int, int, int]) -> None:
        coarse = [n // step + 2 for n, step in zip(shape, TEXTURE_VOXELS, strict=True)]
        noise = random.standard_normal(coarse, dtype=np.float32)
        self.noise = _stretched(_stretched(noise, 1, range(shape[1])), 2, range(shape[2]))

    def slab(self, along: slice) -> NDArray[np.float32]:
        """The noise of some slices."""
        return _stretched(self.noise, 0, range(along.start, along.stop))


def _stretched(noise: NDArray[np.float32], axis: int, places: range) -> NDArray[np.float32]:
    """``noise`` interpolated along an axis, `TEXTURE_VOXELS` new values for an old one.

    The spread stays the same between old values, so that sums do not show where they lie.
    """
    place = np.array(places, np.float32) / TEXTURE_VOXELS[axis]
    low = place.astype(int)
    share = (place - low).reshape([-1 if axis == n else 1 for n in range(noise.ndim)])
    spread = np.sqrt(share**2 + (1 - share) ** 2)
    first = noise.take(low, axis)
    first *= (1 - share) / spread
    other = noise.take(low + 1, axis)
    other *= share / spread
    first += other
    return first


# The digital pelvis as a CT volume, with its true landmarks, hip centres and grades.

LANDMARKS = tuple(field.name for field in fields(Landmarks))


@dataclass(frozen=True, slots=True, eq=False)
class Phantom:
    """A CT of a digital pelvis and what is true of it; points in patient LPS mm."""

    volume: Volume
    landmarks: Landmarks
    hip_centres: Mapping[Side, NDArray[np.float64]]
    """Centres of the femoral heads."""
    anatomy: Anatomy
    labels: NDArray[np.uint8]
    """Which voxel is which bone, with TotalSegmentator's values: `rhoa.phantom.LABELS`."""
    surroundings: Surroundings = PLAIN
    """What else the scan holds, such as the side of an implant."""

    @property
    def kl(self) -> Mapping[Side, int]:
        """Kellgren-Lawrence grade of each hip."""
        return {side: self.anatomy.joint(side).kl for side in SIDES}

    @property
    def half_boxes_mm(self) -> Mapping[Side, float]:
        """Half the side of the square that a reader draws around each hip of the CT-AP, mm."""
        return {side: solids.half_box_mm(self.anatomy, side) for side in SIDES}

    @property
    def missing(self) -> frozenset[str]:
        """What the scan does not show, beyond its reach or absent: landmarks, hip_left, hip_right.

        Their positions are where they would be.
        """
        points = {name: getattr(self.landmarks, name) for name in LANDMARKS}
        points |= {f"hip_{side}": self.hip_centres[side] for side in SIDES}
        origin = self.volume.to_lps((0, 0, 0)) - self.surroundings.array_mm[:, 0]
        low, high = np.array(self.surroundings.reach_mm, float).T
        absent = self.surroundings.absent
        return frozenset(
            name
            for name, point in points.items()
            if name.endswith(f"_{absent}")
            or (point - origin < low).any()
            or (point - origin > high).any()
        )


def ct(
    anatomy: Anatomy,
    *,
    spacing_mm: tuple[float, float, float] = (2.0, 2.0, 2.0),
    angles: tuple[float, float, float] = (0.0, 0.0, 0.0),
    noise_hu: float = 20.0,
    table: bool = True,
    surroundings: Surroundings = PLAIN,
) -> Phantom:
    """A CT of the subject: int16 HU on axial slices, ``k`` superior, ``j`` posterior, ``i`` left.

    Parameters
    ----------
    anatomy
        The subject.
    spacing_mm
        Between slices, rows and columns.
    angles
        Tilt, obliquity and rotation of the pelvis in the scanner, degrees, with the signs of
        `rhoa.pose.Angles`.
    noise_hu
        Standard deviation of the noise.
    table
        Whether the patient lies on a table.
    surroundings
        What else the scan holds (contrast, ribs, an implant, a hip out of place) and how far it
        reaches.

    Raises
    ------
    ParameterError
        If a spacing is not positive or an angle not finite.

    Examples
    --------
    >>> from rhoa.phantom import Anatomy, ct
    >>> import rhoa
    >>> pelvis = ct(Anatomy.random(1), spacing_mm=(6, 6, 6), angles=(5, 0, 0))
    >>> round(rhoa.pose.from_landmarks(pelvis.landmarks).angles.tilt, 3)
    5.0
    """
    spacing = tuple(require_positive("spacing_mm", step) for step in spacing_mm)
    turn = _rotation(angles)  # AP to LPS
    random = np.random.default_rng([anatomy.seed, 77])
    origin = np.array(
        [random.uniform(-20, 20), random.uniform(-180, -120), random.uniform(-900, 0)]
    )
    grid, affine = _grid(np.array(spacing), turn, origin, surroundings)
    hu = soft_tissue(grid, anatomy, random, surroundings, table=table, down=turn[1])
    labels = add_bones(hu, grid, anatomy, float(np.mean(spacing)), surroundings)
    spines = np.stack([solids.spine_tip(anatomy, side) for side in SIDES])
    things = np.random.default_rng([anatomy.seed, 99])
    add_things(hu, grid, surroundings.things, spines, things)
    volume = Volume(_digitised(hu, noise_hu, random), affine)
    if surroundings.beyond == "padding":
        unseen = _beyond(volume, surroundings)
        volume.hu[unseen], labels[unseen] = PADDING_HU, 0

    def lps(place: Callable[[Anatomy, Side], NDArray[np.float64]], side: Side) -> Point:
        point: Point = turn @ (place(anatomy, side) + surroundings.displacement(side)) + origin
        return point

    landmarks = Landmarks(
        *(lps(solids.spine_tip, side) for side in SIDES),
        *(lps(solids.tubercle_tip, side) for side in SIDES),
    )
    centres = {side: lps(solids.centre_of_head, side) for side in SIDES}
    return Phantom(volume, landmarks, centres, anatomy, labels, surroundings)


def _digitised(
    hu: NDArray[np.float32], noise_hu: float, random: np.random.Generator
) -> NDArray[np.int16]:
    """Whole HU with noise, within what a 12-bit scanner stores."""
    values = np.empty(hu.shape, np.int16)
    for stored, tissue in zip(values, hu, strict=True):
        noise: NDArray[np.float32] | int = 0
        if noise_hu:
            noise = noise_hu * random.standard_normal(tissue.shape, dtype=np.float32)
        stored[:] = np.clip(np.rint(tissue + noise), -1024, 3071)
    return values


def _rotation(angles: tuple[float, float, float]) -> NDArray[np.float64]:
    """AP axes in LPS, one a column: rotation about z, then obliquity, then tilt (Baker 2001)."""
    if len(angles) != 3 or not np.isfinite(angles).all():
        raise ParameterError(
            f"angles must be (tilt, obliquity, rotation), finite, in degrees; got {angles!r}."
        )
    tilt, obliquity, rotation = np.radians(angles)
    about_x = _turn(1, 2, tilt)
    about_y = _turn(2, 0, -obliquity)
    about_z = _turn(0, 1, rotation)
    return about_z @ about_y @ about_x


def _turn(first: int, second: int, angle: float) -> NDArray[np.float64]:
    matrix = np.eye(3)
    matrix[first, first] = matrix[second, second] = np.cos(angle)
    matrix[second, first], matrix[first, second] = np.sin(angle), -np.sin(angle)
    return matrix


def _grid(
    spacing: NDArray[np.float64],
    turn: NDArray[np.float64],
    origin: NDArray[np.float64],
    surroundings: Surroundings,
) -> tuple[Grid, NDArray[np.float64]]:
    """The scanner's voxels: their AP positions, and their LPS affine."""
    low, high = surroundings.array_mm.T
    k, j, i = (int(count) for count in np.floor((high - low)[::-1] / spacing) + 1)
    first_lps = origin + low
    steps_lps = np.diag(spacing)[:, ::-1]  # rows: k up, j back, i left
    affine = np.eye(4)
    affine[:3, :3] = steps_lps.T
    affine[:3, 3] = first_lps
    return Grid((k, j, i), (first_lps - origin) @ turn, steps_lps @ turn), affine


def _beyond(volume: Volume, surroundings: Surroundings) -> NDArray[np.bool_]:
    """The voxels that the scan does not reach."""
    unseen = np.zeros(volume.shape, bool)
    ends = zip(surroundings.reach_mm[::-1], volume.spacing_mm, (2, 1, 0), strict=True)
    for axis, ((low, high), step, lps) in enumerate(ends):
        place = surroundings.array_mm[lps, 0] + step * np.arange(volume.shape[axis])
        lost = (place < low - 1e-6) | (place > high + 1e-6)
        unseen |= lost.reshape([-1 if other == axis else 1 for other in range(3)])
    return unseen

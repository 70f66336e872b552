"""The digital pelvis as a CT volume, with its true landmarks, hip centres and grades."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from rhoa.errors import ParameterError, require_positive
from rhoa.hips.boxes import SIDES
from rhoa.phantom import bones
from rhoa.phantom.shapes import Field, Grid, ball
from rhoa.pose import Landmarks
from rhoa.volume import Volume

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from rhoa.hips.boxes import Side
    from rhoa.phantom.anatomy import Anatomy

AIR_HU, FAT_HU, MUSCLE_HU, SKIN_HU = -1000.0, -100.0, 55.0, 0.0
CORTEX_HU, CARTILAGE_HU = 1150.0, 90.0
# AP box that a scan covers around the pelvis, mm: x, y, z.
FIELD_OF_VIEW = ((-225.0, 225.0), (-95.0, 225.0), (-95.0, 205.0))
BODY_CENTRE_Y = 70.0
VERTEBRAE = 3
TEXTURE_VOXELS = 6
SLAB = 8  # slices worked on at once, so that they stay in cache


@dataclass(frozen=True, slots=True, eq=False)
class Phantom:
    """A CT of a digital pelvis and what is true of it; points in patient LPS mm."""

    volume: Volume
    landmarks: Landmarks
    hip_centres: Mapping[Side, NDArray[np.float64]]
    """Centres of the femoral heads."""
    anatomy: Anatomy

    @property
    def kl(self) -> Mapping[Side, int]:
        """Kellgren-Lawrence grade of each hip."""
        return {side: self.anatomy.joint(side).kl for side in SIDES}


def ct(
    anatomy: Anatomy,
    *,
    spacing_mm: tuple[float, float, float] = (2.0, 2.0, 2.0),
    angles: tuple[float, float, float] = (0.0, 0.0, 0.0),
    noise_hu: float = 20.0,
    table: bool = True,
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
    grid, affine = _grid(np.array(spacing), turn, origin)
    hu = _soft_tissue(grid, anatomy, random, table=table)
    _add_bones(hu, grid, anatomy, float(np.mean(spacing)))
    volume = Volume(_digitised(hu, noise_hu, random), affine)

    def lps(point: tuple[float, float, float] | NDArray[np.float64]) -> NDArray[np.float64]:
        placed: NDArray[np.float64] = turn @ np.asarray(point, float) + origin
        return placed

    landmarks = Landmarks(
        *(lps(bones.spine_tip(anatomy, side)) for side in SIDES),
        *(lps(bones.tubercle_tip(anatomy, side)) for side in SIDES),
    )
    centres = {side: lps(bones.centre_of_head(anatomy, side)) for side in SIDES}
    return Phantom(volume, landmarks, centres, anatomy)


def _digitised(
    hu: NDArray[np.float32], noise_hu: float, random: np.random.Generator
) -> NDArray[np.int16]:
    """Whole HU with noise, within what a 12-bit scanner stores."""
    values = np.empty(hu.shape, np.int16)
    for k, tissue in enumerate(hu):
        noise = noise_hu * random.standard_normal(tissue.shape, dtype=np.float32)
        values[k] = np.clip(np.rint(tissue + noise), -1024, 3071)
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
    spacing: NDArray[np.float64], turn: NDArray[np.float64], origin: NDArray[np.float64]
) -> tuple[Grid, NDArray[np.float64]]:
    """The scanner's voxels: their AP positions, and their LPS affine."""
    (left, right), (front, back), (low, high) = FIELD_OF_VIEW
    extent = np.array([high - low, back - front, right - left])
    k, j, i = (int(count) for count in np.floor(extent / spacing) + 1)
    first_lps = origin + np.array([left, front, low])
    steps_lps = np.diag(spacing)[:, ::-1]  # rows: k up, j back, i left
    affine = np.eye(4)
    affine[:3, :3] = steps_lps.T
    affine[:3, 3] = first_lps
    return Grid((k, j, i), (first_lps - origin) @ turn, steps_lps @ turn), affine


def _soft_tissue(
    grid: Grid, anatomy: Anatomy, random: np.random.Generator, *, table: bool
) -> NDArray[np.float32]:
    """Skin, fat, muscle, gas and the table, without bones."""
    hu = np.empty(grid.shape, np.float32)
    texture = _Texture(random, grid.shape)
    for start in range(0, grid.shape[0], SLAB):
        part = (slice(start, min(start + SLAB, grid.shape[0])), *grid.everything[1:])
        hu[part] = _layers(grid, part, anatomy, texture)
        if table:
            x, y, _ = grid.points(part)
            _add_table(hu[part], x, y, anatomy.body_depth / 2)
    _add_gas(hu, grid, anatomy, random)
    return hu


def _layers(
    grid: Grid, part: tuple[slice, slice, slice], anatomy: Anatomy, texture: _Texture
) -> NDArray[np.float32]:
    x, y, z = grid.points(part)
    half_wide, half_deep = np.float32(anatomy.body_width / 2), np.float32(anatomy.body_depth / 2)
    # The trunk narrows a little toward the waist; below the crotch there are two thighs.
    widen = 1 - 0.10 * np.clip((z - 20) / 150, 0, 1) - 0.04 * np.clip((-20 - z) / 60, 0, 1)
    depth = (y - np.float32(BODY_CENTRE_Y)) / half_deep
    trunk = np.sqrt((x / (half_wide * widen)) ** 2 + depth**2)
    body = (1 - trunk) * half_deep  # mm below the skin, about
    body -= 6 * np.clip(9 - np.abs(x), 0, None) * np.clip((-45 - z) / 25, 0, 1)
    fat_mm = 16 + 10 * np.clip(np.abs(depth), 0, 1)
    hu = np.full(body.shape, AIR_HU, np.float32)
    for limit, value in ((0.0, SKIN_HU), (2.0, FAT_HU), (fat_mm, MUSCLE_HU)):
        share = np.clip((body - limit) / 2.5 + 0.5, 0, 1)
        hu += share * (np.float32(value) - hu)
    # Fat between the muscles and around the bowel, at random.
    inside = np.clip((body - fat_mm) / 6, 0, 1)
    hu -= 110 * inside * np.clip(texture.slab(part[0]) - 0.4, 0, 1)
    return hu


def _add_gas(
    hu: NDArray[np.float32], grid: Grid, anatomy: Anatomy, random: np.random.Generator
) -> None:
    """A few bubbles of bowel gas in front of the sacrum and in the flanks, and the bladder."""
    bladder = anatomy.point("left", 0, 48, 26)
    places = [(bladder, 26.0, 8.0)]
    for _ in range(5):
        where = random.uniform((-75, 25, 70), (75, 70, 190))
        places.append((tuple(where), float(random.uniform(5, 13)), -900.0))
    for centre, radius, value in places:
        solid = ball(centre, radius)
        part = grid.around(solid.low - 4, solid.high + 4)
        share = np.clip(0.5 - solid.distance(*grid.points(part)) / 2.5, 0, 1)
        hu[part] += share * (np.float32(value) - hu[part])


def _add_table(
    hu: NDArray[np.float32], x: NDArray[np.float32], y: NDArray[np.float32], half_deep: float
) -> None:
    """A curved shell of carbon fibre around foam, under the back."""
    sag = x * x / np.float32(1400)
    below = y - np.float32(BODY_CENTRE_Y + half_deep + 3) + sag
    within = (np.abs(x) < 200) & (below > 0)
    hu[within & (below < 16)] = -900
    hu[within & ((below < 3) | ((below > 13) & (below < 16)))] = -150


def _add_bones(hu: NDArray[np.float32], grid: Grid, anatomy: Anatomy, voxel_mm: float) -> None:
    pelvis = Field(grid)
    bones.add_pelvis(pelvis, anatomy)
    sacrum, spine = Field(grid), Field(grid)
    bones.add_sacrum(sacrum, anatomy, pelvis)
    bones.add_spine(spine, anatomy, levels=VERTEBRAE)
    np.maximum(spine.distance, 2.0 - sacrum.distance, out=spine.distance)
    for field, cortex_mm, core_hu in (
        (sacrum, 1.2, 190.0),
        (spine, 1.2, 190.0),
        (pelvis, 1.7, 230.0),
    ):
        _paint(hu, field, cortex_mm, core_hu, voxel_mm)
    for side in SIDES:
        femur = Field(grid)
        bones.add_femur(femur, anatomy, side)
        np.maximum(femur.distance, 0.25 - pelvis.distance, out=femur.distance)
        part = grid.around(*_femur_box(anatomy, side))
        # Toward the shaft the cortex grows thick and the core turns to marrow.
        z = grid.points(part)[2] - bones.centre_of_head(anatomy, side)[2]
        shaft = np.clip((-35 - z) / 45, 0, 1)
        _paint(hu, femur, 1.5 + 5 * shaft, 320 - 330 * shaft, voxel_mm, part)
        _age_joint(hu, grid, anatomy, side, pelvis, femur)


def _femur_box(anatomy: Anatomy, side: Side) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    head = bones.centre_of_head(anatomy, side)
    return head - np.array([110, 70, 260]), head + np.array([110, 70, 60])


def _paint(
    hu: NDArray[np.float32],
    field: Field,
    cortex_mm: float | NDArray[np.float32],
    core_hu: float | NDArray[np.float32],
    voxel_mm: float,
    part: tuple[slice, slice, slice] = (slice(None), slice(None), slice(None)),
) -> None:
    """Replace soft tissue by bone: a cortical shell around a spongy core, with soft edges."""
    distance, tissue = field.distance[part], hu[part]
    near = distance < voxel_mm
    d = distance[near]
    cortex = np.broadcast_to(np.asarray(cortex_mm, np.float32), distance.shape)[near]
    core = np.broadcast_to(np.asarray(core_hu, np.float32), distance.shape)[near]
    bone = np.clip(0.5 - d / voxel_mm, 0, 1)
    shell = np.clip((d + cortex) / voxel_mm + 0.5, 0, 1)
    value = core + shell * (np.float32(CORTEX_HU) - core)
    old = tissue[near]
    tissue[near] = old + bone * (value - old)


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
    cup, head = bones.centre_of_cup(anatomy, side), bones.centre_of_head(anatomy, side)
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
    region += np.float32(650 * joint.sclerosis) * dense * np.clip(1.2 - region / 1400, 0, 1)
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

"""The bones of the pelvis as unions of simple solids: signed distances, joined smoothly."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from rhoa.phantom.anatomy import PLAIN

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from rhoa._types import Side
    from rhoa.phantom.anatomy import Anatomy, Surroundings

    Array = NDArray[np.float32]
    PointLike = Sequence[float] | NDArray[np.float64]

    Point = NDArray[np.float64]


# Signed distances of simple solids, joined smoothly on parts of a voxel grid.
#
# A distance is negative inside, in mm. Solids are given in the AP frame (x left, y posterior, z
# superior) and evaluated only where they can matter: in the box of voxels around them.

FAR_MM = np.float32(25.0)
CORNERS = np.indices((2, 2, 2)).reshape(3, 8).T == 1
"""Of a box: which of its ends, low or high, each has along x, y and z."""
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
        index = (np.where(CORNERS, high, low) - self.start) @ np.linalg.inv(self.steps)
        ends = np.stack([np.floor(index.min(axis=0)), np.ceil(index.max(axis=0)) + 1])
        first, last = np.clip(ends, 0, self.shape).astype(int).tolist()
        k, j, i = (slice(*ends) for ends in zip(first, last, strict=True))
        return k, j, i

    def moved(self, by_mm: NDArray[np.float64]) -> Grid:
        """The same voxels seen from a frame that has slid by ``by_mm``."""
        return Grid(self.shape, self.start - by_mm, self.steps)

    def points(self, part: tuple[slice, slice, slice]) -> list[NDArray[np.float32]]:
        """AP x, y and z of the voxels of a part, of shapes that broadcast to its shape.

        Along an axis that does not change a coordinate it has length 1, which saves time.
        """
        places: list[Array] = [np.full((1, 1, 1), value, np.float32) for value in self.start]
        for axis, along in enumerate(part):
            shape = [-1 if axis == n else 1 for n in range(3)]
            line: Array = np.arange(along.start, along.stop, dtype=np.float32).reshape(shape)
            for c, step in enumerate(self.steps[axis]):
                if step:
                    places[c] = places[c] + np.float32(step) * line
        return places

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


def capsule(a: PointLike, b: PointLike, radius_a: float, radius_b: float | None = None) -> Solid:
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


def ball(centre: PointLike, radius: float) -> Solid:
    """A sphere."""
    return capsule(centre, centre, radius)


def ellipsoid(centre: PointLike, radii: Sequence[float]) -> Solid:
    """An ellipsoid along the axes; its distance is exact on the surface, and near it."""
    middle, axes = np.asarray(centre, float), np.asarray(radii, float)

    def distance(x: Array, y: Array, z: Array) -> Array:
        parts = [(p - c) / r for p, c, r in zip((x, y, z), middle, axes, strict=True)]
        k = np.sqrt(sum(part * part for part in parts))
        slope = np.sqrt(sum((part / r) ** 2 for part, r in zip(parts, axes, strict=True)))
        return _single(k * (k - 1) / np.maximum(slope, 1e-6))

    return Solid(distance, middle - axes, middle + axes)


def plate(a: PointLike, b: PointLike, c: PointLike, thickness: float) -> Solid:
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


def below_plane(solid: Solid, point: PointLike, direction: PointLike) -> Solid:
    """The part of a solid that lies behind a plane through ``point`` facing ``direction``."""
    where, facing = np.asarray(point, float), np.asarray(direction, float)
    facing = facing / np.linalg.norm(facing)

    def distance(x: Array, y: Array, z: Array) -> Array:
        height = sum((p - q) * n for p, q, n in zip((x, y, z), where, facing, strict=True))
        return _single(np.maximum(solid.distance(x, y, z), height))

    return Solid(distance, solid.low, solid.high)


def _common(one: Solid, other: Solid) -> Solid:
    """What lies in both solids."""

    def distance(x: Array, y: Array, z: Array) -> Array:
        return np.maximum(one.distance(x, y, z), other.distance(x, y, z))

    return Solid(distance, one.low, one.high)


def drum(centre: PointLike, wide: float, deep: float, half_height: float, slope: float) -> Solid:
    """A cylinder with an oval base, rounded edges, a waist, and ends that rise backward."""
    middle = np.asarray(centre, float)
    reach = np.array([wide, deep, half_height + abs(slope) * deep])
    (left, back, high), waist = middle.tolist(), 0.86

    def distance(x: Array, y: Array, z: Array) -> Array:
        up = np.abs(z - high - slope * (y - back))
        across = np.sqrt(((x - left) / wide) ** 2 + ((y - back) / deep) ** 2)
        across = across - waist - (1 - waist) * np.minimum(up / half_height, 1) ** 2
        return _single(_both(across * deep, up - half_height, 4.0))

    return Solid(distance, middle - reach, middle + reach)


def _both(one: Array, other: Array, round_mm: float) -> Array:
    """Distance to what lies in two solids, the edge between them rounded."""
    edge: Array = np.maximum(round_mm - np.abs(one - other), 0)
    edge *= edge
    edge *= 1 / np.float32(4 * round_mm)
    edge += np.maximum(one, other)
    return edge


def _polynomial(rows: Rows, a: Array, b: Array) -> Array:
    """The sum of ``rows[i][j] a^i b^j``."""
    total: Array = np.zeros(1, np.float32)
    for row in reversed(rows):
        inner: Array = np.full(1, row[-1], np.float32)
        for factor in reversed(row[:-1]):
            inner = inner * b + np.float32(factor)
        total = total * a + inner
    return total


def _between(place: Array, places: Sequence[float], values: Sequence[float]) -> Array:
    """Values interpolated between places."""
    return _single(np.interp(place, places, values))


def _single(values: NDArray[np.floating]) -> Array:
    return values.astype(np.float32, copy=False)


# The bones of the pelvis as unions of simple solids, in the AP frame of one subject.

Place = tuple[float, float, float]
Rows = tuple[tuple[float, ...], ...]

# The mean pelvis (its left side), AP mm: means of twenty real ones, scaled to 224 mm between the
# spines. Centre of the acetabulum:
HIP: Place = (82.0, 51.0, 20.0)
CUP_WALL_MM = 7.0
# The iliac crest from behind the anterior to the posterior spines,
CREST: tuple[Place, ...] = (
    *((121, 17, 114), (129, 30, 130), (127, 47, 146), (116, 64, 156), (100, 80, 161)),
    *((81, 102, 160), (65, 124, 144), (53, 137, 125), (47, 141, 103), (50, 127, 78)),
)
# the lower border of the wing and its hollow middle,
LOWER_SPINE, ROOF, NOTCH = (97, 22, 58), (84, 50, 57), (66, 91, 52)
HOLLOW: tuple[Place, ...] = ((99, 40, 92), (84, 66, 93), (71, 83, 100), (57, 114, 98))
# the pelvic brim from the sacroiliac joint along the superior pubic ramus to the tubercle,
BRIM: tuple[Place, ...] = (
    *((60, 100, 66), (66, 80, 44), (64, 64, 32), (58, 48, 24), (52, 34, 16), (38, 20, 9)),
)
BRIM_RADIUS_MM = 8.0
# the medial end of the pubic crest, the body below it along the symphysis,
CREST_END: Place = (6, 8, 2.5)
PUBIC_BODY: tuple[Place, ...] = ((11, 12, 0), (11, 30, -17))
# and the ring around the obturator foramen: ischium, tuberosity, inferior ramus.
ISCHIUM: tuple[Place, ...] = (
    *((71, 80, 16), (64, 94, -14), (60, 92, -31), (48, 82, -36), (34, 58, -34), (22, 43, -28)),
)

# The greater trochanter, from the middle of the femoral head.
TROCHANTER: Place = (55, 8, -17)
TROCHANTER_RADII_MM: Place = (12.5, 17, 22)

# An expert's tubercle is where a plane leaning outward and down touches the corner of the pubis.
_TUBERCLE_FACES = np.array([0.5, -1.0, -0.25]) / np.linalg.norm([0.5, -1.0, -0.25])
TUBERCLE_RADIUS_MM = 5.5


def centre_of_cup(anatomy: Anatomy, side: Side) -> NDArray[np.float64]:
    """Centre of the acetabulum, AP mm."""
    return anatomy.point(side, *HIP)


def centre_of_head(anatomy: Anatomy, side: Side) -> NDArray[np.float64]:
    """Centre of the femoral head, AP mm: moved up and out by the narrowing of the joint."""
    superolateral = np.array([0.4 if side == "left" else -0.4, 0.0, 1.0])
    superolateral /= np.linalg.norm(superolateral)
    return centre_of_cup(anatomy, side) + anatomy.joint(side).narrowing_mm * superolateral


def half_box_mm(anatomy: Anatomy, side: Side) -> float:
    """Half the side of the square that a reader draws about a hip in the coronal plane, mm.

    The femoral head is in its middle. It holds the joint space above and below with the wall of
    the socket, reaches the iliopectineal line, and stops short of the greater trochanter; a
    rectangle is made square by clipping its longer side (Gebre et al. 2022).
    """
    s, head = anatomy.size, centre_of_head(anatomy, side)
    sign = 1 if side == "left" else -1
    up = anatomy.head_radius + anatomy.joint(side).joint_space_mm + CUP_WALL_MM * s
    brim = np.array([anatomy.point(side, *place) for place in BRIM])[::-1] * (sign, 1, 1)
    line = float(np.interp(head[2], brim[:, 2], brim[:, 0])) - BRIM_RADIUS_MM * s
    inward = sign * head[0] - line
    outward = (TROCHANTER[0] - TROCHANTER_RADII_MM[0]) * s
    return float(min(up, (inward + outward) / 2))


def spine_tip(anatomy: Anatomy, side: Side) -> Point:
    """The most anterior point of the ASIS, AP mm."""
    sign = 1 if side == "left" else -1
    return np.array([sign * anatomy.width / 2, 0.0, anatomy.height])


def tubercle_tip(anatomy: Anatomy, side: Side) -> Point:
    """The tip of the pubic tubercle, at the lateral end of the pubic crest, AP mm."""
    sign = 1 if side == "left" else -1
    return np.array([sign * anatomy.tubercle_distance / 2, 0.0, 0.0])


def add_pelvis(field: Field, anatomy: Anatomy, surroundings: Surroundings = PLAIN) -> None:
    """Both hip bones: wings, acetabula, pubic rami, ischia, joined at the symphysis."""
    halves = {side: field.moved(surroundings.displacement(side)) for side in surroundings.sides}
    for side, half in halves.items():
        _add_ilium(half, anatomy, side)
        _add_pubis(half, anatomy, side)
        _add_ischium(half, anatomy, side)
    for side, half in halves.items():
        _add_acetabulum(half, anatomy, side)
    field.cut(plate((0, -20, 30), (0, 90, -20), (0, -20, -70), 3.5))  # the symphyseal disc


def _add_ilium(field: Field, anatomy: Anatomy, side: Side) -> None:
    s = anatomy.size

    def at(point: Place) -> Point:
        return anatomy.point(side, *point)

    # The tip is the most anterior point of a ball.
    spine: Point = spine_tip(anatomy, side) + np.array([0.0, 6.5 * s, 0.0])
    crest = [spine, *map(at, CREST)]
    for start, end in pairwise(crest):
        field.add(capsule(start, end, 5.5 * s), blend_mm=2)
    field.add(ball(spine, 6.5 * s), blend_mm=1)
    lower_spine, roof, notch = at(LOWER_SPINE), at(ROOF), at(NOTCH)
    field.add(ball(lower_spine, 7.0 * s))
    field.add(capsule(lower_spine, roof, 7.0 * s, 10.0 * s))
    front, middle, joint, rear = map(at, HOLLOW)
    # From front to back the wing is thin where it is hollow, and thick at the sacroiliac joint.
    wing: list[tuple[float, Point, Point, Point]] = [
        *((6.0, spine, lower_spine, crest[1]), (5.0, lower_spine, crest[1], front)),
        *((9.0, lower_spine, roof, front), (4.0, front, crest[1], crest[2])),
        *((4.0, front, crest[2], crest[3]), (4.0, front, crest[3], crest[4])),
        *((4.5, front, middle, crest[4]), (8.0, roof, front, middle)),
        *((4.0, middle, crest[4], crest[5]), (11.0, roof, notch, middle)),
        *((5.0, middle, crest[5], joint), (12.0, notch, middle, joint)),
        *((6.0, joint, crest[5], crest[6]), (9.0, joint, crest[6], rear)),
        *((13.0, notch, joint, rear), (11.0, rear, crest[6], crest[7])),
        *((11.0, rear, crest[7], crest[8]), (11.0, rear, crest[8], crest[9])),
        *((11.0, rear, crest[9], crest[10]), (12.0, notch, rear, crest[10])),
    ]
    for thickness, a, b, c in wing:
        field.add(plate(a, b, c, thickness * s))
    for start, end in pairwise(map(at, BRIM[:5])):
        field.add(capsule(start, end, BRIM_RADIUS_MM * s))


def _in_mean_pelvis(anatomy: Anatomy, sign: int, x: Array, y: Array, z: Array) -> list[Array]:
    """AP places of a subject in the mean pelvis, left of it: the inverse of `Anatomy.point`."""
    tall = (anatomy.height / 93 + anatomy.size) / 2
    return [
        x * np.float32(sign * 224 / anatomy.width),
        y * np.float32(1 / anatomy.depth),
        (z - np.float32(anatomy.lean) * y) * np.float32(1 / tall),
    ]


def _add_pubis(field: Field, anatomy: Anatomy, side: Side) -> None:
    s, sign = anatomy.size, 1 if side == "left" else -1
    radius = TUBERCLE_RADIUS_MM * s
    tubercle = np.array(tubercle_tip(anatomy, side)) - radius * _TUBERCLE_FACES * (sign, 1, 1)

    def at(point: Place) -> Point:
        return anatomy.point(side, *point)

    ramus, end = at(BRIM[-1]), at(CREST_END)
    crest = np.array([sign * 11.5 * s, 6.5 * s - anatomy.crest_before, 3 * s])
    field.add(capsule(at(BRIM[-2]), ramus, 10.0 * s, 7.5 * s))
    field.add(capsule(ramus, tubercle + np.array([0, 2, 2]) * s, 7.0 * s, radius), blend_mm=1)
    field.add(ball(tubercle, radius), blend_mm=0.5)
    field.add(capsule(tubercle, crest, radius, 6.5 * s), blend_mm=1)
    field.add(capsule(crest, end, 6.5 * s, 6.0 * s), blend_mm=1)
    top, bottom = map(at, PUBIC_BODY)
    field.add(capsule(top, bottom, 9.5 * s, 8.5 * s))
    field.add(plate(tubercle + np.array([0, 5, 1]) * s, top, bottom, 8.0 * s))


def _add_ischium(field: Field, anatomy: Anatomy, side: Side) -> None:
    s = anatomy.size

    def at(point: Place) -> Point:
        return anatomy.point(side, *point)

    field.add(capsule(at((64, 90, 48)), at((66, 88, 16)), 9.0 * s))
    ring = [*map(at, ISCHIUM), at(PUBIC_BODY[-1])]
    radii = [15.0 * s, 16.0 * s, 13.5 * s, 11.0 * s, 7.0 * s, 7.0 * s, 8.5 * s]
    for n in range(len(ring) - 1):
        field.add(capsule(ring[n], ring[n + 1], radii[n], radii[n + 1]))
    field.add(capsule(at((66, 88, 16)), at((53, 105, 12)), 9.0 * s, 3.5 * s))  # ischial spine
    for corner in ((57, 92, 44), (57, 86, -26)):  # the wall of the true pelvis beside the socket
        field.add(plate(at((54, 54, 26)), at((55, 93, 14)), at(corner), 3.5 * s), blend_mm=5)


def _add_acetabulum(field: Field, anatomy: Anatomy, side: Side) -> None:
    joint, sign = anatomy.joint(side), 1 if side == "left" else -1
    centre, socket = centre_of_cup(anatomy, side), anatomy.head_radius + joint.joint_space_mm
    field.add(_socket(centre, socket, anatomy.size, sign), blend_mm=9)
    if joint.osteophyte_mm > 0.5:
        # The rim lies square to the opening: grown out at its upper outer and lower inner ends.
        for lateral, up, reach in ((0.57, 0.82, 1.1), (-0.5, -0.86, 0.5)):
            rim = centre + (socket + 2.5) * np.array([lateral * sign, -0.05, up])
            away = reach * np.array([sign, 0, -0.25]) * joint.osteophyte_mm
            size = 1.5 + 0.35 * joint.osteophyte_mm
            field.add(capsule(rim, rim + away, size, 1.2))
    field.cut(ball(centre, socket))
    fossa = np.array([-0.82 * sign, 0.05, -0.57]) * (socket + 1.8 * anatomy.size - 21)
    field.cut(ball(centre + fossa, 21))


def _socket(centre: Point, socket: float, size: float, sign: int) -> Solid:
    """The walls of the acetabulum: thick above and behind, thin medially, to a wavy rim."""
    opening = (0.72 * sign, -0.28, -0.63)
    reach = np.full(3, socket + 9 * size)

    def distance(x: Array, y: Array, z: Array) -> Array:
        x, y, z = x - np.float32(centre[0]), y - np.float32(centre[1]), z - np.float32(centre[2])
        radius = np.sqrt(x * x + y * y + z * z) + np.float32(1e-3)
        up, back, out = z / radius, y / radius, x * np.float32(sign) / radius
        height = x * opening[0] + y * opening[1] + z * opening[2]
        # The rim covers the head above and behind, dips in front, and is open at the notch below.
        notch = np.clip((-0.55 * out - 0.25 * back - 0.8 * up - 0.6) / 0.35, 0, 1)
        rim = 0.04 + 0.1 * up + 0.12 * back - 0.2 * back * up - 0.45 * notch * notch
        below = np.float32(socket) * rim - height
        wall = 2.4 + 4.6 * np.clip(up + 0.1, 0, 1) + 4 * np.clip(back, 0, 1)
        wall *= np.clip(0.4 + below / (14 * size), 0.4, 1)
        return _single(_both(radius - (socket + np.float32(size) * wall), -below, 2.5))

    return Solid(distance, centre - reach, centre + reach)


# The sacrum along its own slope: t runs down its length from the promontory, w back and up. Front
# and back are polynomials in (x / 50)^2 and t / 40 - 0.75, fitted to the mean of ten real ones.
SACRUM: Place = (0, 92, 125)
SACRUM_DOWN, SACRUM_BACK = np.array([0, 0.5026, -0.8645]), np.array([0, 0.8645, 0.5026])
FRONT: Rows = (
    *((-3.2, 25.6, -12.6, -3.9), (-16.0, 20.3, 59.9, -69.9)),
    (-4.6, -36.3, -18.9, 66.2),
)
BACK: Rows = (
    *((27.0, 2.5, -5.3, 6.8), (-18.0, 39.5, 0.8, -114.9)),
    (-2.8, -29.8, 18.4, 91.2),
)
# Half its width along t; t between its segments, and x and w of the foramina there.
SACRUM_T, SACRUM_WIDE = (-8, 4, 16, 28, 40, 52, 64, 74), (54, 60, 59, 55, 51, 46, 37, 24)
SEGMENTS = ((14.0, 25.0, -20.0), (31.0, 21.5, -7.0), (45.0, 19.0, 1.0), (57.0, 17.0, 5.0))


def add_sacrum(field: Field, anatomy: Anatomy, pelvis: Field) -> None:
    """Sacrum and coccyx with their foramina; a joint's width from the ilia."""
    s = anatomy.size
    corners = [anatomy.point("left", *place) for place in ((-62, 58, 32), (62, 168, 140))]

    def along(t: float, x: float, w: float) -> Point:
        place = np.array(SACRUM) + t * SACRUM_DOWN + w * SACRUM_BACK
        return anatomy.point("left", x, place[1], place[2])

    def distance(x: Array, y: Array, z: Array) -> Array:
        x, y, z = _in_mean_pelvis(anatomy, 1, x, y, z)
        y, z = y - np.float32(SACRUM[1]), z - np.float32(SACRUM[2])
        t = y * np.float32(SACRUM_DOWN[1]) + z * np.float32(SACRUM_DOWN[2])
        w = y * np.float32(SACRUM_BACK[1]) + z * np.float32(SACRUM_BACK[2])
        a, b = _single((x / 50) ** 2), _single(np.minimum(t, 66) / 40 - 0.75)
        thick = np.maximum(_polynomial(FRONT, a, b) - w, w - _polynomial(BACK, a, b))
        # The upper end plate is level, the alae slope down to the sides.
        top = 0.1 * np.abs(x) - 9 - t - 0.25 * w
        aside = np.abs(x) - _between(t, SACRUM_T, SACRUM_WIDE)
        edge = np.maximum(np.maximum(top, aside), t - 72)
        return _single(np.float32(s) * _both(np.float32(0.85) * thick, _single(edge), 6.0))

    field.add(Solid(distance, np.minimum(*corners), np.maximum(*corners)))
    coccyx = [(along(74, 0, 13), 11, 6, 9), (along(89, 0, 9), 8, 5, 8), (along(102, 0, 2), 5, 4, 7)]
    for centre, *radii in coccyx:
        field.add(ellipsoid(centre, [s * radius for radius in radii]))
    field.add(capsule(along(0, 0, 25), along(48, 0, 38), 5 * s, 6 * s), blend_mm=8)
    for side in (-1, 1):
        facet = along(-8, 20 * side, 12), along(-18, 22 * side, 10)
        field.add(capsule(*facet, 6 * s, 4.5 * s), blend_mm=4)
        for t, x, w in SEGMENTS:
            front = along(t + 2, side * (x + 3), w - 4)
            back = front + s * np.array([-4 * side, 24, -2])
            field.cut(capsule(front, back, 7 * s, 3.5 * s))
    np.maximum(field.distance, 2.5 - pelvis.distance, out=field.distance)


def add_spine(field: Field, anatomy: Anatomy, *, top_mm: float) -> None:
    """Vertebrae from L5 up to a height: bodies, pedicles, transverse and spinous processes."""
    s = anatomy.size
    for level in range(max(3, round((top_mm - 100) / (35 * s)))):
        centre = anatomy.point("left", 0, 79, 138) + s * level * np.array([0, -4, 35])
        centre[1] += s * max(0, level - 3) * 8  # above the lordosis the spine goes back again

        def at(x: float, y: float, z: float, centre: Point = centre) -> Point:
            return centre + s * np.array([x, y, z])

        field.add(drum(centre, 25 * s, 17 * s, 13 * s, 0.35 - 0.2 * min(level, 2)))
        for side in (-1, 1):
            facet = at(17 * side, 33, -4)
            field.add(
                capsule(at(14 * side, 8, 3), at(17 * side, 30, 7), 5.5 * s, 4 * s), blend_mm=5
            )
            field.add(capsule(at(15 * side, 30, 13), at(17 * side, 33, -16), 5 * s, 6 * s))
            field.add(capsule(at(17 * side, 27, 4), at(40 * side, 29, 6), 4 * s, 2.5 * s))
            field.add(plate(facet, at(14 * side, 32, 8), at(0, 44, 0), 5 * s))
        field.add(capsule(at(0, 42, -2), at(0, 64, -9), 4 * s), blend_mm=5)
        field.add(capsule(at(0, 64, -6), at(0, 64, -13), 3.5 * s, 4 * s))


def add_femur(field: Field, anatomy: Anatomy, side: Side) -> None:
    """Proximal femur: head, neck at about 125 degrees, trochanters, shaft; osteophytes."""
    joint, s = anatomy.joint(side), anatomy.size
    sign = 1 if side == "left" else -1
    head = centre_of_head(anatomy, side)
    radius = anatomy.head_radius

    def at(x: float, y: float, z: float) -> NDArray[np.float64]:
        return head + s * np.array([sign * x, y, z])

    base, knee = at(40, 2, -34), at(30, 4, -170)
    sphere = ball(head, radius)
    if joint.flattening_mm >= 0.2:
        # A worn dome is shallower.
        up = np.array([0.3 * sign, 0, 1.0])
        up /= np.linalg.norm(up)
        worn = 2.2 * radius
        dome = ball(head + (radius - joint.flattening_mm - worn) * up, worn)
        sphere = _common(sphere, dome)
    field.add(sphere)
    field.add(capsule(at(10, 0, -8), base, 15 * s, 16 * s), blend_mm=7)
    field.add(capsule(base, at(40, 3, -64), 16.5 * s, 16 * s), blend_mm=6)
    field.add(capsule(at(40, 3, -64), knee, 16 * s, 14 * s))
    field.add(capsule(knee, at(15, 6, -320), 14 * s))
    # The greater trochanter rises behind the neck to a tip; its crest falls to the lesser one.
    x, y, z = TROCHANTER
    field.add(capsule(at(x - 4, y + 2, z + 8), at(x, y - 2, z - 8), 9 * s, 12.5 * s), blend_mm=6)
    field.add(capsule(at(x, y - 2, z - 8), at(x - 8, y - 4, z - 34), 12.5 * s), blend_mm=8)
    lesser = at(22, 17, -60)
    field.add(capsule(at(x - 5, y + 6, z + 2), lesser, 6 * s, 5 * s), blend_mm=5)
    field.add(capsule(lesser, at(24, 14, -68), 6.5 * s, 5 * s), blend_mm=6)
    # The fovea, a pit for the ligament.
    field.cut(ball(head + (radius + 3.5 * s) * np.array([-0.9 * sign, 0.15, -0.41]), 6.5 * s))
    if joint.osteophyte_mm > 0.5:
        grown = joint.osteophyte_mm
        # A collar around the edge of the head, most at its upper outer and lower inner ends.
        for x, z, share in ((8, 21.5, 1.0), (-8, -21, 0.9), (-17, -15, 0.7)):
            place = head + radius / 23.0 * np.array([sign * x, 0, z])
            outward = np.array([sign * x, 0, z]) / np.hypot(x, z)
            tip = place + share * 0.55 * grown * outward + [sign * 0.45 * grown, 0, -0.35 * grown]
            field.add(capsule(place, tip, 2.0 + 0.45 * grown * share, 1.5 + 0.2 * grown))

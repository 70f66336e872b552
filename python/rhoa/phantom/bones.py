"""The bones of the pelvis as unions of simple solids, in the AP frame of one subject."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from rhoa.hips.boxes import SIDES
from rhoa.phantom.shapes import ball, below_plane, capsule, ellipsoid, plate

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from rhoa.hips.boxes import Side
    from rhoa.phantom.anatomy import Anatomy
    from rhoa.phantom.shapes import Field, Solid

Point = tuple[float, float, float]

# Centre of the acetabulum in the mean pelvis: 81 mm to the side, 51 behind, 22 above the tubercles.
HIP: Point = (81.0, 51.0, 22.0)
CUP_WALL_MM = 7.0
# Mean pelvis, left side: the iliac crest from behind the ASIS to the PSIS,
CREST: tuple[Point, ...] = (
    *((122, 20, 118), (132, 42, 144), (128, 72, 160), (108, 102, 160), (78, 124, 142)),
    *((52, 136, 118), (42, 138, 98)),
)
# the pelvic brim from the sacroiliac joint to the acetabulum and along the superior pubic ramus,
BRIM: tuple[Point, ...] = ((50, 102, 78), (64, 80, 58), (68, 52, 36), (50, 22, 16))
# and the lower ring around the obturator foramen.
INFERIOR_RAMUS: tuple[Point, ...] = ((9, 20, -32), (24, 38, -48), (42, 60, -52), (58, 79, -44))


def centre_of_cup(anatomy: Anatomy, side: Side) -> NDArray[np.float64]:
    """Centre of the acetabulum, AP mm."""
    return np.array(anatomy.point(side, *HIP))


def centre_of_head(anatomy: Anatomy, side: Side) -> NDArray[np.float64]:
    """Centre of the femoral head, AP mm: moved up and out by the narrowing of the joint."""
    return centre_of_cup(anatomy, side) + anatomy.joint(side).narrowing_mm * _superolateral(side)


def spine_tip(anatomy: Anatomy, side: Side) -> Point:
    """The most anterior point of the ASIS, AP mm."""
    sign = 1 if side == "left" else -1
    return (sign * anatomy.width / 2, 0.0, anatomy.height)


def tubercle_tip(anatomy: Anatomy, side: Side) -> Point:
    """The most anterior point of the pubic tubercle, AP mm."""
    sign = 1 if side == "left" else -1
    return (sign * anatomy.tubercle_distance / 2, 0.0, 0.0)


def _superolateral(side: Side) -> NDArray[np.float64]:
    direction = np.array([0.4 if side == "left" else -0.4, 0.0, 1.0])
    return direction / float(np.linalg.norm(direction))


def _behind(tip: Point, radius: float) -> Point:
    """Centre of a ball whose most anterior point is ``tip``."""
    return (tip[0], tip[1] + radius, tip[2])


def add_pelvis(field: Field, anatomy: Anatomy) -> None:
    """Both hip bones: wings, acetabula, pubic rami, ischia, joined at the symphysis."""
    for side in SIDES:
        _add_ilium(field, anatomy, side)
        _add_pubis_and_ischium(field, anatomy, side)
    for side in SIDES:
        _add_acetabulum(field, anatomy, side)
    field.cut(plate((0, -20, 30), (0, 80, -20), (0, -20, -70), 3.5))  # the symphyseal disc


def _add_ilium(field: Field, anatomy: Anatomy, side: Side) -> None:
    s = anatomy.size

    def at(point: Point) -> Point:
        return anatomy.point(side, *point)

    spine = _behind(spine_tip(anatomy, side), 6.5 * s)
    crest = [spine, *(at(point) for point in CREST)]
    for start, end in pairwise(crest):
        field.add(capsule(start, end, 5.5 * s), blend_mm=2)
    field.add(ball(spine, 6.5 * s), blend_mm=1)
    roof, notch = at((88, 58, 50)), at((62, 104, 66))
    lower_spine = at((97, 22, 58))
    field.add(ball(lower_spine, 7.0 * s))
    field.add(capsule(lower_spine, roof, 7.0 * s, 10.0 * s))
    field.add(plate(spine, lower_spine, roof, 6.0 * s))
    for n in range(4):
        field.add(plate(roof, crest[n], crest[n + 1], 4.0 * s))
    field.add(plate(roof, notch, crest[4], 6.0 * s))
    for n in range(4, len(crest) - 1):
        field.add(plate(notch, crest[n], crest[n + 1], 8.0 * s))
    brim = [at(point) for point in BRIM]
    for (start, end), radius in zip(pairwise(brim), (8.0, 8.5, 7.0), strict=True):
        field.add(capsule(start, end, radius * s))


def _add_pubis_and_ischium(field: Field, anatomy: Anatomy, side: Side) -> None:
    s = anatomy.size

    def at(point: Point) -> Point:
        return anatomy.point(side, *point)

    tubercle = _behind(tubercle_tip(anatomy, side), 5.5 * s)
    field.add(capsule(at(BRIM[-1]), tubercle, 6.5 * s, 5.5 * s), blend_mm=1)
    body = at((8, 14, -14))
    field.add(capsule(tubercle, body, 5.5 * s, 7.5 * s), blend_mm=1)
    ring = [body, *(at(point) for point in INFERIOR_RAMUS)]
    radii = [7.5 * s, 6.5 * s, 5.5 * s, 7.0 * s, 13.0 * s]
    for n in range(len(ring) - 1):
        field.add(capsule(ring[n], ring[n + 1], radii[n], radii[n + 1]))
    tuberosity = at((58, 79, -44))
    field.add(capsule(at((78, 70, 6)), tuberosity, 13.0 * s, 12.0 * s))
    field.add(capsule(at((72, 84, 16)), at((50, 102, 8)), 8.0 * s, 3.5 * s))  # ischial spine


def _add_acetabulum(field: Field, anatomy: Anatomy, side: Side) -> None:
    joint, sign = anatomy.joint(side), 1 if side == "left" else -1
    centre, socket = centre_of_cup(anatomy, side), anatomy.head_radius + joint.joint_space_mm
    opening = np.array([0.80 * sign, -0.25, -0.55])
    wall = ball(centre, socket + CUP_WALL_MM * anatomy.size)
    field.add(below_plane(wall, centre + 3 * opening, opening))
    if joint.osteophyte_mm > 0.5:
        # The rim lies square to the opening: grown out at its upper outer and lower inner ends.
        for lateral, up, reach in ((0.57, 0.82, 1.1), (-0.5, -0.86, 0.5)):
            rim = centre + (socket + 2.5) * np.array([lateral * sign, -0.05, up])
            away = reach * np.array([sign, 0, -0.25]) * joint.osteophyte_mm
            size = 1.5 + 0.35 * joint.osteophyte_mm
            field.add(capsule(rim, rim + away, size, 1.2))
    field.cut(ball(centre, socket))


def add_sacrum(field: Field, anatomy: Anatomy, pelvis: Field) -> None:
    """Sacrum and coccyx with their foramina; a joint's width from the ilia."""
    s = anatomy.size
    parts: list[tuple[Point, Point]] = [
        ((0, 100, 92), (50, 21, 15)),
        ((0, 114, 70), (43, 15, 15)),
        ((0, 123, 49), (33, 11, 14)),
        ((0, 127, 30), (24, 9, 12)),
        ((0, 125, 13), (15, 7, 10)),
        ((0, 117, -4), (6, 5, 11)),
    ]
    for centre, radii in parts:
        field.add(ellipsoid(anatomy.point("left", *centre), [s * r for r in radii]), blend_mm=6)
    for x, y, z in ((23, 110, 80), (21, 118, 59), (18, 124, 40), (14, 126, 22)):
        for side in SIDES:
            front, back = anatomy.point(side, x, y - 40, z), anatomy.point(side, x, y + 40, z)
            field.cut(capsule(front, back, 4.2 * s))
    np.maximum(field.distance, 2.5 - pelvis.distance, out=field.distance)


def add_spine(field: Field, anatomy: Anatomy, *, levels: int) -> None:
    """Lumbar vertebrae from L5 up: bodies, pedicles, transverse and spinous processes."""
    s = anatomy.size
    for level in range(levels):
        z = 126 + 35 * level
        y = 90 - 3 * level
        centre = np.array(anatomy.point("left", 0, y, 0)) + np.array([0, 0, z * s])
        body = capsule(centre - np.array([0, 0, 3 * s]), centre + np.array([0, 0, 3 * s]), 15 * s)
        for side in (-1, 1):
            field.add(
                capsule(
                    centre + np.array([10 * side, 0, -2]) * s,
                    centre + np.array([10 * side, 0, 2]) * s,
                    13.5 * s,
                ),
                blend_mm=4,
            )
            process = centre + np.array([20 * side, 26, 2]) * s
            field.add(capsule(centre + np.array([14 * side, 10, 4]) * s, process, 5 * s))
            field.add(capsule(process, centre + np.array([43 * side, 27, 4]) * s, 4 * s, 3 * s))
            field.add(capsule(process, centre + np.array([2 * side, 44, -4]) * s, 3.5 * s))
        field.add(body, blend_mm=4)
        tip = centre + np.array([0, 68, -12]) * s
        field.add(capsule(centre + np.array([0, 44, -4]) * s, tip, 4 * s, 4.5 * s))


def add_femur(field: Field, anatomy: Anatomy, side: Side) -> None:
    """Proximal femur: head, neck at about 125 degrees, trochanters, shaft; osteophytes."""
    joint, s = anatomy.joint(side), anatomy.size
    sign = 1 if side == "left" else -1
    head = centre_of_head(anatomy, side)
    radius = anatomy.head_radius

    def at(x: float, y: float, z: float) -> NDArray[np.float64]:
        return head + s * np.array([sign * x, y, z])

    base, knee = at(41, 2, -31), at(30, 4, -170)
    field.add(_flattened(ball(head, radius), head, joint.flattening_mm, radius, sign))
    field.add(capsule(at(12, 0, -9), base, 15.5 * s, 17.5 * s), blend_mm=5)
    field.add(capsule(base, at(41, 3, -62), 19 * s, 16.5 * s), blend_mm=6)
    field.add(capsule(at(41, 3, -62), knee, 16.5 * s, 14 * s))
    field.add(ellipsoid(at(55, 8, -17), (12.5 * s, 17 * s, 22 * s)), blend_mm=6)
    field.add(ellipsoid(at(25, 18, -60), (9 * s, 9 * s, 12 * s)), blend_mm=6)
    if joint.osteophyte_mm > 0.5:
        grown = joint.osteophyte_mm
        # A collar around the edge of the head, most at its upper outer and lower inner ends.
        for x, z, share in ((8, 21.5, 1.0), (-8, -21, 0.9), (-17, -15, 0.7)):
            place = head + radius / 23.0 * np.array([sign * x, 0, z])
            outward = np.array([sign * x, 0, z]) / np.hypot(x, z)
            tip = place + share * 0.55 * grown * outward + [sign * 0.45 * grown, 0, -0.35 * grown]
            field.add(capsule(place, tip, 2.0 + 0.45 * grown * share, 1.5 + 0.2 * grown))


def _flattened(
    head: Solid, centre: NDArray[np.float64], by_mm: float, radius: float, sign: int
) -> Solid:
    if by_mm < 0.2:
        return head
    up = np.array([0.3 * sign, 0, 1.0])
    up /= np.linalg.norm(up)
    return below_plane(head, centre + (radius - by_mm) * up, up)

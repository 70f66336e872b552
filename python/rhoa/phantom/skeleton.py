"""The skeleton in a CT: cortex around spongy bone, joints with what age has done to them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from rhoa.phantom import bones
from rhoa.phantom.contents import add_implant, add_ribs
from rhoa.phantom.shapes import Field

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from rhoa.phantom.anatomy import Anatomy
    from rhoa.phantom.shapes import Grid
    from rhoa.phantom.surroundings import Surroundings
    from rhoa.pose.sides import Side

CORTEX_HU, CARTILAGE_HU = 1150.0, 90.0
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
    bones.add_pelvis(pelvis, anatomy, surroundings)
    bones.add_sacrum(sacrum, anatomy, pelvis)
    bones.add_spine(spine, anatomy, top_mm=surroundings.reach_mm[2][1])
    if surroundings.ribs:
        add_ribs(spine, anatomy)
    np.maximum(spine.distance, 2.0 - sacrum.distance, out=spine.distance)
    for field, cortex_mm, core_hu in (
        (sacrum, 1.2, 190.0),
        (spine, 1.2, 190.0),
        (pelvis, 1.7, 230.0),
    ):
        _paint(hu, field, cortex_mm, core_hu, voxel_mm)
    labels = np.zeros(grid.shape, np.uint8)
    labels[sacrum.distance < 0] = LABELS["sacrum"]
    hips = np.nonzero(pelvis.distance < 0)
    left = grid.start[0] + np.stack(hips, axis=1) @ grid.steps[:, 0] > 0
    labels[hips] = np.where(left, LABELS["hip_left"], LABELS["hip_right"])
    for side in surroundings.sides:
        moved = grid.moved(surroundings.displacement(side))
        femur = _add_femur(hu, moved, anatomy, side, pelvis, voxel_mm)
        labels[femur.distance < 0] = LABELS[f"femur_{side}"]
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
) -> Field:
    femur = Field(grid)
    bones.add_femur(femur, anatomy, side)
    np.maximum(femur.distance, 0.25 - pelvis.distance, out=femur.distance)
    part = grid.around(*_femur_box(anatomy, side))
    # Toward the shaft the cortex grows thick and the core turns to marrow.
    z = grid.points(part)[2] - bones.centre_of_head(anatomy, side)[2]
    shaft = np.clip((-35 - z) / 45, 0, 1)
    _paint(hu, femur, 1.5 + 5 * shaft, 320 - 330 * shaft, voxel_mm, part)
    return femur


def _femur_box(anatomy: Anatomy, side: Side) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    head = bones.centre_of_head(anatomy, side)
    return head - np.array([110, 70, 400]), head + np.array([110, 70, 60])


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

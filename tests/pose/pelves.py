"""Pelves to look for: a digital one for every machine, real ones where RHOA_DATA holds them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import binary_fill_holes, gaussian_filter

import rhoa
from rhoa.phantom import Anatomy, ct
from rhoa.pose import Alignment, Landmarks
from rhoa.pose.bone import surface_points

LANDMARKS = ("asis_left", "asis_right", "pubic_tubercle_left", "pubic_tubercle_right")


@dataclass(frozen=True)
class Pelvis:
    """Surface points of both hip bones, LPS mm, and the landmarks that someone else read."""

    name: str
    left: NDArray[np.float64]
    right: NDArray[np.float64]
    sacrum: NDArray[np.float64]
    landmarks: Landmarks

    @cached_property
    def points(self) -> NDArray[np.float64]:
        return np.concatenate([self.left, self.right])

    @cached_property
    def found(self) -> Alignment:
        """As rhoa finds it."""
        return rhoa.pose.from_points(self.points)

    @cached_property
    def reference(self) -> Alignment:
        return rhoa.pose.from_landmarks(self.landmarks)


@cache
def digital_bone(spacing_mm: float = 2.0) -> tuple[rhoa.Volume, NDArray[np.bool_], Landmarks]:
    """A digital CT, its bone, and its true landmarks; tilt 4, obliquity 1, rotation -3 deg."""
    phantom = ct(
        Anatomy.random(7), spacing_mm=(spacing_mm,) * 3, angles=(4, 1, -3), noise_hu=0, table=False
    )
    smooth = gaussian_filter(phantom.volume.hu.astype(np.float32), 0.7)
    return phantom.volume, smooth > 250, phantom.landmarks


@cache
def digital_pelvis() -> Pelvis:
    """The pelvis of the digital CT without spine and femoral shafts.

    Its points are shaken off the voxels' lattice, on which many touch a plane at once.
    """
    volume, bone, landmarks = digital_bone()
    points = surface_points(bone, volume)
    points += np.random.default_rng(0).normal(scale=0.3, size=points.shape)
    x, _, z = rhoa.pose.from_landmarks(landmarks).to_ap(points).T
    hips = (z > -60) & ((np.abs(x) > 35) | (z < 30))
    return Pelvis(
        "digital", points[hips & (x > 0)], points[hips & (x < 0)], np.empty((0, 3)), landmarks
    )


def atlas(real_data: Path) -> list[Pelvis]:
    """Ten pelves whose landmarks were carried over from their mean shape."""
    file = real_data / "pelvis-atlas" / "pelves.npz"
    if not file.is_file():
        pytest.skip("no pelvis-atlas in RHOA_DATA")
    with np.load(file) as content:
        names = sorted({key.partition("/")[0] for key in content.files})
        return [
            Pelvis(
                name,
                *(content[f"{name}/{bone}"].astype(float) for bone in BONES),
                Landmarks(*(content[f"{name}/{point}"] for point in LANDMARKS)),
            )
            for name in names
        ]


def experts(real_data: Path) -> list[Pelvis]:
    """Ten pelves whose landmarks are the consensus of five experts."""
    folder = real_data / "pelvis-experts"
    if not (folder / "pelves.npz").is_file():
        pytest.skip("no pelvis-experts in RHOA_DATA")
    read = json.loads((folder / "landmarks.json").read_text(encoding="utf-8"))
    with np.load(folder / "pelves.npz") as content:
        return [
            Pelvis(
                name,
                *(content[f"{name}/{bone}/vertices"].astype(float) for bone in BONES),
                Landmarks(*(entry["consensus_lps_mm"][point] for point in LANDMARKS)),
            )
            for name, entry in read.items()
            if f"{name}/left_hip/vertices" in content.files
        ]


def heads(real_data: Path, pelvis: Pelvis) -> dict[str, NDArray[np.float64]]:
    """Centres of the femoral heads of an expert's pelvis, LPS mm, by spheres on the femora."""
    found = {}
    random = np.random.default_rng(0)
    with np.load(real_data / "pelvis-experts" / "pelves.npz") as content:
        for side, sign in (("left", 1), ("right", -1)):
            key = f"{pelvis.name}/{side}_femur/vertices"
            if key not in content.files:
                continue
            femur = content[key].astype(float)
            expected = pelvis.reference.to_lps((83 * sign, 51, 19))
            near = femur[np.linalg.norm(femur - expected, axis=1) < 40]
            found[side] = _head(near, random)
    return found


def _head(points: NDArray[np.float64], random: np.random.Generator) -> NDArray[np.float64]:
    """Centre of the sphere of 18 to 30 mm radius that most points lie on, by random samples."""
    best = np.zeros(len(points), bool)
    for _ in range(300):
        centre, radius = _sphere(points[random.choice(len(points), 4, replace=False)])
        on = np.abs(np.linalg.norm(points - centre, axis=1) - radius) < 1
        if 18 < radius < 30 and on.sum() > best.sum():
            best = on
    return _sphere(points[best])[0]


def _sphere(points: NDArray[np.float64]) -> tuple[NDArray[np.float64], float]:
    """Centre and radius of the least-squares sphere."""
    rows = np.column_stack([2 * points, np.ones(len(points))])
    *centre, rest = np.linalg.lstsq(rows, (points**2).sum(axis=1), rcond=None)[0]
    return np.array(centre), float(np.sqrt(rest + np.dot(centre, centre)))


def mask(
    real_data: Path, pelvis: Pelvis, turn: NDArray[np.float64], spacing_mm: float
) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """The hips of an expert's pelvis turned and cut into voxels: a label map and its affine."""
    centre = pelvis.reference.origin
    with np.load(real_data / "pelvis-experts" / "pelves.npz") as content:
        shells = {
            value: _sampled(
                (getattr(pelvis, side) - centre) @ turn.T,
                content[f"{pelvis.name}/{side}_hip/faces"],
                spacing_mm,
            )
            for side, value in (("left", 77), ("right", 78))
        }
    low = np.min([shell.min(axis=0) for shell in shells.values()], axis=0) - 4 * spacing_mm
    high = np.max([shell.max(axis=0) for shell in shells.values()], axis=0) + 4 * spacing_mm
    voxels = np.zeros(np.ceil((high - low) / spacing_mm).astype(int)[::-1] + 1, np.uint8)
    for value, shell in shells.items():
        solid = np.zeros(voxels.shape, bool)
        solid[tuple(np.rint((shell - low) / spacing_mm).astype(int)[:, ::-1].T)] = True
        voxels[binary_fill_holes(solid)] = value
    affine = np.eye(4)
    affine[:3, :3] = np.eye(3)[::-1] * spacing_mm
    affine[:3, 3] = low
    return voxels, affine


def _sampled(
    vertices: NDArray[np.float64], faces: NDArray[np.int32], spacing_mm: float
) -> NDArray[np.float64]:
    """Points all over a triangulated surface, closer to each other than a voxel."""
    corners = vertices[faces]
    edges = corners[:, 1:] - corners[:, :1]
    area = np.linalg.norm(np.cross(edges[:, 0], edges[:, 1]), axis=1) / 2
    counts = np.ceil(area * 6 / spacing_mm**2).astype(int)
    weights = np.random.default_rng(0).random((counts.sum(), 2))
    weights = np.where(weights.sum(axis=1, keepdims=True) > 1, 1 - weights, weights)
    first, edges = np.repeat(corners[:, 0], counts, axis=0), np.repeat(edges, counts, axis=0)
    inside = first + weights[:, :1] * edges[:, 0] + weights[:, 1:] * edges[:, 1]
    return np.concatenate([vertices, inside])


BONES = ("left_hip", "right_hip", "sacrum")


def plane_error_deg(one: Alignment, other: Alignment) -> float:
    """Angle between the normals of both planes."""
    cross = np.linalg.norm(np.cross(one.matrix[1], other.matrix[1]))
    return float(np.degrees(np.arctan2(cross, one.matrix[1] @ other.matrix[1])))


def turn_deg(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """Angle of the rotation between two matrices."""
    return float(np.degrees(2 * np.arcsin(min(np.linalg.norm(one - other) / np.sqrt(8), 1))))

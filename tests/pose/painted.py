"""Whole CTs painted from the experts' pelves: real bone, and around it what a real patient holds.

Everything is placed in the AP frame of the pelvis (x left, y posterior, z superior) and the patient
is then turned in the scanner, so the true pose is known.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import (
    affine_transform,
    binary_erosion,
    binary_fill_holes,
    distance_transform_edt,
    gaussian_filter,
)

import rhoa
from rhoa.pose import Alignment, Landmarks
from tests.pose.pelves import LANDMARKS, _sampled, experts

BONES = ("left_hip", "right_hip", "sacrum", "left_femur", "right_femur")
FINE_MM = 1.25
CORTEX_MM = 2.5
"""Of vertebrae and ribs."""
FIELD_MM = ((-215.0, 215.0), (-95.0, 215.0), (-115.0, 290.0))
"""Of the scan about the pelvis, along the patient's axes: left, posterior, superior."""
BODY_Y = 72.0
FARTHEST_OUT = 0.9
"""Of the spines, between the middle of the body and its skin."""
CONTENTS = frozenset({"stool", "pools", "gas", "bladder", "spine", "ribs", "table"})
# Middle lines of the colon: ascending to caecum, descending to rectum.
COLON = (
    ((-95, 70, 215), (-92, 55, 165), (-88, 35, 125), (-82, 18, 88), (-70, 22, 62)),
    ((102, 85, 230), (100, 70, 170), (92, 42, 125), (78, 22, 92), (50, 35, 70), (18, 45, 84)),
    ((18, 45, 84), (-12, 70, 74), (5, 98, 45), (0, 95, 0)),
)


@dataclass(frozen=True)
class Painted:
    """A painted CT, and the pose the experts' landmarks have in it."""

    name: str
    volume: rhoa.Volume
    reference: Alignment


@dataclass(frozen=True)
class Skeleton:
    """Bone on a fine grid in the AP frame: its share of each voxel, and its depth in mm."""

    share: NDArray[np.float32]
    depth: NDArray[np.float32]
    low: NDArray[np.float64]


@cache
def skeleton(real_data: Path, name: str) -> Skeleton:
    """The five bones of an expert's pelvis in its AP frame, the thighs cut to the field of view."""
    pelvis = next(pelvis for pelvis in experts(real_data) if pelvis.name == name)
    low, high = np.array([-170.0, -60.0, -150.0]), np.array([170.0, 200.0, 260.0])
    shape = np.ceil((high - low) / FINE_MM).astype(int)[::-1] + 1
    share, depth = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
    with np.load(real_data / "pelvis-experts" / "pelves.npz") as content:
        for bone in BONES:
            if f"{name}/{bone}/vertices" not in content.files:
                continue
            vertices = pelvis.reference.to_ap(content[f"{name}/{bone}/vertices"])
            shell = _sampled(vertices, content[f"{name}/{bone}/faces"], FINE_MM)
            index = np.rint((shell - low) / FINE_MM).astype(int)[:, ::-1]
            index = index[((index >= 0) & (index < shape)).all(axis=1)]
            start, stop = index.min(axis=0), index.max(axis=0) + 1
            box = tuple(slice(a, b) for a, b in zip(start, stop, strict=True))
            surface = np.zeros(stop - start, bool)
            surface[tuple((index - start).T)] = True
            # Thighs are cut open at the last slice of the box, which a lid closes.
            surface[0] |= binary_fill_holes(surface[0])
            solid = binary_fill_holes(surface)
            within = distance_transform_edt(solid, FINE_MM).astype(np.float32) - FINE_MM / 2
            share[box] = np.maximum(share[box], np.clip(within / FINE_MM + 0.25, 0, 1))
            depth[box] = np.maximum(depth[box], within)
    return Skeleton(share, depth, low)


def painted(
    real_data: Path,
    name: str,
    seed: int,
    *,
    angles: tuple[float, float, float] | None = None,
    contents: frozenset[str] = CONTENTS,
    spacing_mm: tuple[float, float, float] | None = None,
) -> Painted:
    """A CT of an expert's pelvis; ``seed`` draws the pose, the soft tissue and what is in it."""
    random = np.random.default_rng([seed, 11])
    drawn = random.uniform((-18, -7, -12), (18, 7, 12))
    turn = _turn(drawn if angles is None else np.array(angles, float))
    spacing = np.array(spacing_mm or random.choice([2.0, 2.5], 3, p=[0.7, 0.3]))
    low, high = np.array(FIELD_MM).T
    shape = tuple(np.floor((high - low) / spacing[::-1]).astype(int)[::-1] + 1)
    affine = np.eye(4)
    affine[:3, :3] = np.eye(3)[::-1] * spacing[None, :]
    affine[:3, 3] = low
    pelvis = next(pelvis for pelvis in experts(real_data) if pelvis.name == name)
    rows = pelvis.reference.to_ap(pelvis.landmarks.as_array()) @ turn.T
    reference = rhoa.pose.from_landmarks(Landmarks(**dict(zip(LANDMARKS, rows, strict=True))))
    canvas = _Canvas(shape, affine, turn, random)
    canvas.body(rows[:2], table="table" in contents)
    if "bladder" in contents:
        canvas.bladder()
    filled = {"stool", "pools", "gas"} & contents
    if filled:
        canvas.colon(filled)
    canvas.bones(skeleton(real_data, name))
    canvas.trunk(spine="spine" in contents, ribs="ribs" in contents)
    return Painted(name, rhoa.Volume(canvas.finished(), affine), reference)


class _Canvas:
    """HU on the scan's grid, and the AP position of each of its voxels."""

    def __init__(
        self,
        shape: tuple[int, ...],
        affine: NDArray[np.float64],
        turn: NDArray[np.float64],
        random: np.random.Generator,
    ) -> None:
        self.random, self.affine, self.turn = random, affine, turn
        k, j, i = np.ogrid[tuple(slice(0, n) for n in shape)]
        self.lps = (
            (affine[0, 2] * i + affine[0, 3]).astype(np.float32),
            (affine[1, 1] * j + affine[1, 3]).astype(np.float32),
            (affine[2, 0] * k + affine[2, 3]).astype(np.float32),
        )
        x, y, z = self.lps
        self.ap = tuple(
            (row[0] * x + row[1] * y + row[2] * z).astype(np.float32)
            for row in turn.T.astype(np.float32)
        )
        self.hu = np.full(shape, -1000, np.float32)
        self.inside = np.zeros(shape, bool)

    def body(self, spines: NDArray[np.float64], *, table: bool) -> None:
        """An ellipse of fat, muscle and fat between them, wide enough to hold the spines."""
        x, y, z = self.lps
        wide, deep = self.random.uniform(178, 205), self.random.uniform(118, 138)
        out = np.hypot(spines[:, 0] / wide, (spines[:, 1] - BODY_Y) / deep).max()
        wide, deep = (size * max(1.0, out / FARTHEST_OUT) for size in (wide, deep))
        trunk = np.sqrt((x / wide) ** 2 + ((y - BODY_Y) / deep) ** 2) + 0 * z
        depth = (1 - trunk) * deep
        depth -= 7 * np.clip(9 - np.abs(x), 0, None) * np.clip((-60 - z) / 25, 0, 1)
        self.inside = depth > 0
        fat_mm = self.random.uniform(8, 22)
        self.hu = np.select([depth <= 0, depth < fat_mm], [-1000, -100], 45).astype(np.float32)
        cloudy = gaussian_filter(self.random.standard_normal(self.hu.shape, np.float32), 3)
        self.hu[(depth >= fat_mm) & (cloudy > 0.6 * cloudy.std())] = -90
        if table:
            top = y - (BODY_Y + deep + 2) + x * x / 1400 + 0 * z
            on = np.abs(x) < 200
            self.hu[on & (top > 0) & (top < 4) & ~self.inside] = 150
            self.hu[on & (top > 22) & (top < 26) & ~self.inside] = 350
            rails = (np.abs(np.abs(x) - 190) < 6) & (np.abs(top - 12) < 6)
            self.hu[rails & ~self.inside] = 900

    def ball(self, centre: NDArray[np.float64], radius: float) -> tuple[object, NDArray[np.bool_]]:
        """The part of the grid about an AP point, and which of its voxels lie within."""
        middle = np.linalg.inv(self.affine)[:3] @ np.append(self.turn @ centre, 1)
        reach = radius / np.linalg.norm(self.affine[:3, :3], axis=0) + 1
        part = tuple(
            slice(max(int(m - r), 0), max(int(m + r) + 2, 0))
            for m, r in zip(middle, reach, strict=True)
        )
        offsets = [a[part] - c for a, c in zip(self.ap, centre, strict=True)]
        return part, sum(o * o for o in offsets) < radius**2

    def rod(
        self, start: object, end: object, radius: float, step_mm: float = 3.0
    ) -> NDArray[np.bool_]:
        mask = np.zeros(self.hu.shape, bool)
        one, other = np.asarray(start, float), np.asarray(end, float)
        for t in np.linspace(0, 1, int(np.linalg.norm(other - one) / step_mm) + 2):
            part, within = self.ball(one + t * (other - one), radius)
            mask[part] |= within
        return mask

    def bladder(self) -> None:
        centre = self.random.uniform((-8, 40, 15), (8, 55, 35))
        part, within = self.ball(centre, self.random.uniform(25, 38))
        layered = self.lps[1][0, part[1], :].reshape(1, -1, 1) > (self.turn @ centre)[1]
        dense = self.random.uniform(150, 900)
        self.hu[part] = np.where(within, np.where(layered, dense, 0.4 * dense), self.hu[part])

    def colon(self, filled: set[str]) -> None:
        """A tube of changing width; gas on top, contrast or tagged stool below."""
        lumen = np.zeros(self.hu.shape, bool)
        level = np.zeros(self.hu.shape, np.float32)
        for line in COLON:
            shift = self.random.uniform((-14, -26, -10), (14, 14, 14))
            for start, end in pairwise(np.array(line, float)):
                for t in np.linspace(0, 1, 6, endpoint=False):
                    centre = start + t * (end - start) + shift * (1, 1, 1)
                    radius = self.random.uniform(13, 32)
                    part, within = self.ball(centre, radius)
                    lumen[part] |= within
                    top = (self.turn @ centre)[1] + self.random.uniform(-1.2, 1.0) * radius
                    level[part] = np.where(within, top, level[part])
        lumen &= self.inside
        below = (self.lps[1] > level) & lumen
        self.hu[lumen] = -900 if "gas" in filled else 20
        grain = gaussian_filter(self.random.standard_normal(self.hu.shape, np.float32), 1.2)
        grain /= grain.std()
        fluid = self.random.uniform(300, 900)
        stool = self.random.uniform(350, 1300) + 250 * grain
        patch = gaussian_filter(self.random.standard_normal(self.hu.shape, np.float32), 6)
        solid = patch > np.quantile(patch, 0.5)
        if "pools" in filled:
            self.hu[below & ~solid] = fluid
        if "stool" in filled:
            tagged = below & solid
            self.hu[tagged] = stool[tagged]
            holes = tagged & (grain > 2)
            self.hu[holes] = -700

    def bones(self, skeleton: Skeleton) -> None:
        """Cortex around a spongy core, over whatever lies there."""
        cortex, core = self.random.uniform(750, 1300), self.random.uniform(60, 280)
        cortex_mm = self.random.uniform(1.2, 2.2)
        shell = np.clip((cortex_mm - skeleton.depth) / FINE_MM + 0.5, 0, 1)
        value = core + shell * (cortex - core)
        inner = (self.turn.T @ self.affine[:3, :3] / FINE_MM)[::-1]
        offset = ((self.turn.T @ self.affine[:3, 3] - skeleton.low) / FINE_MM)[::-1]
        corners = np.indices((2, 2, 2)).reshape(3, 8).T * skeleton.share.shape
        here = (corners - offset) @ np.linalg.inv(inner).T
        start = np.clip(np.floor(here.min(axis=0)), 0, self.hu.shape).astype(int)
        stop = np.clip(np.ceil(here.max(axis=0)) + 1, 0, self.hu.shape).astype(int)
        hu = self.hu[tuple(slice(*ends) for ends in zip(start, stop, strict=True))]
        sampled = [
            affine_transform(
                gaussian_filter(field, 0.5), inner, offset + inner @ start, hu.shape, order=1
            )
            for field in (skeleton.share, skeleton.share * value)
        ]
        share = np.clip(sampled[0], 0, 1)
        hu += np.where(share > 0, sampled[1] - share * hu, 0)

    def trunk(self, *, spine: bool, ribs: bool) -> None:
        """Lumbar column, perhaps bent to a side, and the lowest ribs."""
        bend, lordosis = self.random.normal(0, 18), self.random.uniform(-25, 5)
        solid = np.zeros(self.hu.shape, bool)
        for level in range(6 if spine else 0):
            t = (level + 0.5) / 5
            centre = np.array(
                [bend * np.sin(2.2 * t), 88 + lordosis * np.sin(2 * t), 128 + 35 * level]
            )
            for side in (-9, 9):
                solid |= self.rod(
                    centre + np.array([side, 0, -8]), centre + np.array([side, 0, 8]), 15
                )
                solid |= self.rod(
                    centre + np.array([side, 20, 2]), centre + np.array([5 * side, 28, 2]), 4.5
                )
            solid |= self.rod(centre + np.array([0, 38, 0]), centre + np.array([0, 66, -10]), 5)
        for level in range(4 if ribs else 0):
            height = 210 + 28 * level
            for side in (-1, 1):
                angle = np.radians(np.linspace(75, -55 if level else 0, 14))
                arc = np.stack(
                    [
                        side * 138 * np.cos(angle),
                        62 + 85 * np.sin(angle),
                        height - 30 * np.cos(angle),
                    ],
                    axis=1,
                )
                for start, end in pairwise(arc):
                    solid |= self.rod(start, end, 5.5)
        offsets = np.indices((5, 5, 5)).reshape(3, -1).T - 2
        away = np.linalg.norm(offsets * np.linalg.norm(self.affine[:3, :3], axis=0), axis=1)
        core = binary_erosion(solid, (away < CORTEX_MM).reshape(5, 5, 5), border_value=1)
        self.hu[solid] = np.where(core[solid], 170, 650)

    def finished(self) -> NDArray[np.int16]:
        noise = self.random.uniform(12, 45)
        soft = gaussian_filter(self.hu, 0.35)
        soft += noise * self.random.standard_normal(soft.shape, np.float32)
        return np.clip(np.rint(soft), -1024, 3071).astype(np.int16)


def _turn(angles: NDArray[np.float64]) -> NDArray[np.float64]:
    """AP axes in LPS, one a column: rotation about z, then obliquity, then tilt."""
    turn = np.eye(3)
    for (first, second), angle in zip(
        ((1, 2), (2, 0), (0, 1)), np.radians(angles * (1, -1, 1)), strict=True
    ):
        step = np.eye(3)
        step[first, first] = step[second, second] = np.cos(angle)
        step[second, first], step[first, second] = np.sin(angle), -np.sin(angle)
        turn = step @ turn
    return turn

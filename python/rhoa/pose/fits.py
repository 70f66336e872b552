"""Pelves fitted to readings of one bone, how unlike a pelvis each is, and the best of their parts.

The femoral heads are no part of the frame: where they lie in it tells whether it is right.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import product
from typing import TYPE_CHECKING

import numpy as np

from rhoa.errors import LandmarkError
from rhoa.pose.alignment import Alignment, Landmarks, from_landmarks
from rhoa.pose.candidates import VOLUME, Candidate, candidates, facet_of
from rhoa.pose.cloud import LEAST_POINTS
from rhoa.pose.population import HIP_CENTRE_MM, HIP_CENTRE_SD_MM, HIP_DIFFERENCE_SD_MM
from rhoa.pose.refine import Refined, refined
from rhoa.pose.symmetry import Mirror

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from rhoa.pose.bone import Bone
    from rhoa.pose.heads import Heads
    from rhoa.pose.refine import Pubis

SEARCH = replace(VOLUME, windowed=False)
REFINED, COMBINED = 2, 6
"""Facets of a reading that are refined; combinations of parts that are."""
SAME_PART_MM = 4.0
MOST_SPINES, MOST_PUBES = 6, 4
MIDDLE_MM = 45.0
WINGS_X_MM = 40.0
"""Only bone farther from the middle is compared with its mirror image: bowel is elsewhere."""
REJECTED, NO_TUBERCLES = 2.0, 1.5
"""What a rejected refinement, and tubercles that are not found, cost."""
MOST_CREST_MM = 5.0
"""What lies farther behind the crest is the superior ramus; real tubercles lie up to 4 mm."""
STEP_MM = 5.0
"""Between the depths of both tubercles; costs as much as one standard deviation."""
# What is dense before a spine, and close to it: contrast, or the spine itself, which was left out.
NEAR_MM, BEFORE_MM, MANY, COST_BEFORE = 11.0, 3.5, 6, 8.0
RESTORED, RESTORED_MM, TIMES = 4, 15.0, 2
"""Fits about whose spines all bone is taken back, how far, and how often."""
# A wing is thin just behind its spine, bowel is not: mm from side to side.
THIN_MM, THICK_SD_MM, MOST_THICK_SD = 16.0, 5.0, 3.0
BEHIND_MM, BESIDE_MM = (6.0, 10.0, 14.0), (-4.0, 0.0, 4.0)
LINE_MM = np.arange(-45.0, 45.1, 1.0)
HOLLOW_MM = 8
"""Marrow between two cortices is no gap."""


@dataclass(frozen=True, slots=True, eq=False)
class Fit:
    """A pelvis in one reading of the bone."""

    points: NDArray[np.float64]
    facet: Candidate
    found: Refined
    frame: Alignment
    mirror_mm: float
    thickness_mm: float
    """Of what lies just behind the spines, from side to side; the thicker of both."""
    before: int
    """Points of bone that stand before a spine; more than a few are contrast, or the spine."""
    unlikeness: float
    """Squared distance from the mean pelvis, in standard deviations; of right ones about 4."""


@dataclass(frozen=True, slots=True, eq=False)
class Fitter:
    """What a pelvis is fitted with."""

    bone: Bone
    heads: Heads
    pubis: Pubis
    pair: float = 0.0
    """What the heads cost that it rests on."""

    def fits(self, points: NDArray[np.float64]) -> list[Fit]:
        """The likeliest pelves of a cloud, at most two."""
        if len(points) < LEAST_POINTS:
            return []
        facets = candidates(points, SEARCH)
        facets.sort(key=lambda facet: facet.triangle + self._misplaced(facet.matrix, facet.origin))
        mirror = self._mirror(points) if facets else None
        return [self._fit(points, facet, mirror) for facet in facets[:REFINED] if mirror]

    def combined(self, found: list[Fit]) -> list[Fit]:
        """Pelves with the left spine of one fit, the right of another and the pubis of a third."""
        found = sorted(found, key=lambda fit: fit.unlikeness)
        rows = [fit.found.landmarks.as_array() for fit in found]
        lefts, rights = (_distinct([row[side] for row in rows])[:MOST_SPINES] for side in (0, 1))
        pubes = _distinct([fit.frame.origin for fit in found])[:MOST_PUBES]
        likely = []
        for parts in product(lefts, rights, pubes):
            left, right, pubis = parts
            if left == right == pubis:
                continue
            try:
                frame = from_landmarks(Landmarks(rows[left][0], rows[right][1], *rows[pubis][2:]))
            except LandmarkError:
                continue
            facet = facet_of(frame)
            least = facet.triangle + self._misplaced(frame.matrix, frame.origin)
            if least < found[0].unlikeness:
                likely.append((least, parts, facet))
        likely.sort(key=lambda one: one[0])
        fits = []
        for _, parts, facet in likely[:COMBINED]:
            points = _joined([found[part].points for part in parts], facet)
            fits.append(self._fit(points, facet, self._mirror(points)))
        return fits

    def restored(self, found: list[Fit]) -> list[Fit]:
        """The likeliest fits again, with all bone about spines before which some stands."""
        fits = []
        for fit in sorted(found, key=lambda fit: fit.unlikeness)[:RESTORED]:
            last = fit
            for _ in range(TIMES):
                if not last.before:
                    break
                spines = last.found.landmarks.as_array()[:2]
                away = np.min(
                    [np.linalg.norm(self.bone.points - spine, axis=1) for spine in spines], axis=0
                )
                points = np.concatenate([last.points, self.bone.points[away < RESTORED_MM]])
                last = self._fit(points, facet_of(last.frame), self._mirror(points))
                fits.append(last)
        return fits

    def _fit(self, points: NDArray[np.float64], facet: Candidate, mirror: Mirror) -> Fit:
        voxel_mm = max(self.bone.grid.spacing_mm)
        found = refined(points, facet, voxel_mm=voxel_mm, pubis=self.pubis)
        if found.crest_before_mm > MOST_CREST_MM:
            found = refined(points, facet, voxel_mm=voxel_mm, pubis="crest")
            found = replace(found, tubercles_missing=True)
        frame = from_landmarks(found.landmarks)
        mirror_mm = mirror.residual_in(frame.matrix[0], frame.origin)
        thick = np.array([_thickness_mm(self.bone, frame, side) for side in (0, 1)])
        rows = found.landmarks.as_array()
        from_plane = float((rows[2] - rows[3]) @ frame.matrix[1])
        over = np.clip((thick - THIN_MM) / THICK_SD_MM, 0, MOST_THICK_SD)
        before = self._before(frame, rows[:2])
        unlikeness = (
            facet.triangle
            + self._misplaced(frame.matrix, frame.origin)
            + (mirror_mm / SEARCH.symmetry_mm) ** 2
            + float((over**2).sum())
            + REJECTED * found.rejected
            + NO_TUBERCLES * found.tubercles_missing
            + (from_plane / STEP_MM) ** 2
            + COST_BEFORE * min(before / MANY, 1.0)
            + self.pair
        )
        return Fit(points, facet, found, frame, mirror_mm, float(thick.max()), before, unlikeness)

    def _before(self, frame: Alignment, spines: NDArray[np.float64]) -> int:
        """Most points of any bone that stand before a spine."""
        before = self.bone.points[(self.bone.points - spines[0]) @ frame.matrix[1] < -BEFORE_MM]
        return max(
            int((np.linalg.norm(before - spine, axis=1) < NEAR_MM).sum()) for spine in spines
        )

    def _mirror(self, points: NDArray[np.float64]) -> Mirror:
        lateral = np.abs(self.heads.local(points)[:, 0])
        wings = points[lateral > WINGS_X_MM]
        return Mirror(wings if len(wings) else points)

    def _misplaced(self, matrix: NDArray[np.float64], origin: NDArray[np.float64]) -> float:
        """How far the heads lie from where they should, in squared standard deviations."""
        left, right = ((head - origin) @ matrix.T for head in (self.heads.left, self.heads.right))
        right = right * (-1.0, 1.0, 1.0)
        both = ((left + right) / 2 - HIP_CENTRE_MM) / HIP_CENTRE_SD_MM
        apart = (left - right) / HIP_DIFFERENCE_SD_MM
        return float((both[1:] ** 2).sum() + (apart**2).sum())


def _distinct(places: list[NDArray[np.float64]]) -> list[int]:
    """Numbers of the places that are not near an earlier one."""
    kept: list[int] = []
    for number, place in enumerate(places):
        if all(np.linalg.norm(place - places[other]) > SAME_PART_MM for other in kept):
            kept.append(number)
    return kept


def _joined(clouds: list[NDArray[np.float64]], facet: Candidate) -> NDArray[np.float64]:
    """The left of one cloud, the right of another, the middle of a third."""
    parts = []
    for points, sign in zip(clouds, (1, -1, 0), strict=True):
        x = (points - facet.origin) @ facet.matrix[0]
        parts.append(points[sign * x > MIDDLE_MM if sign else np.abs(x) <= MIDDLE_MM])
    return np.concatenate(parts)


def _thickness_mm(bone: Bone, frame: Alignment, side: int) -> float:
    """From side to side, of what is dense behind a spine; the median of nine lines."""
    if frame.landmarks is None:
        return 0.0
    spine = frame.landmarks.as_array()[side]
    offsets = np.array([(x, y, z) for y, z in product(BEHIND_MM, BESIDE_MM) for x in LINE_MM])
    index = np.rint(bone.grid.to_index(spine + offsets @ frame.matrix)).astype(np.intp)
    within = ((index >= 0) & (index < bone.grid.shape)).all(axis=1)
    dense = np.zeros(len(index), bool)
    dense[within] = bone.mask[tuple(index[within].T)]
    runs = []
    for line in dense.reshape(-1, len(LINE_MM)):
        on = np.flatnonzero(line)
        if not len(on):
            continue
        pieces = np.split(on, np.flatnonzero(np.diff(on) > HOLLOW_MM) + 1)
        nearest = min(pieces, key=lambda piece: float(np.abs(LINE_MM[piece]).min()))
        runs.append(nearest[-1] - nearest[0] + 1)
    return float(np.median(runs)) if runs else 0.0

"""The hip joints in a CT: femoral heads, looked for where the pelvis says they must be.

Each side is looked for by itself, in a small part of the scan: one bad hip costs no other.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from rhoa._types import SIDES, Side
from rhoa.errors import ParameterError
from rhoa.parallel import side_by_side
from rhoa.pose import Alignment
from rhoa.pose.bone import along_patient, coarse, edges, finer, smoothed
from rhoa.pose.population import FEMORAL_HEAD_RADIUS_MM, hip_centre, measured_centre
from rhoa.pose.spheres import hough_sphere_centres, refine_sphere
from rhoa.reading import as_volume
from rhoa.reading.quality import METAL_CM3, METAL_HU
from rhoa.volume import Volume

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from rhoa.reading.reader import Scan

    Point = NDArray[np.float64]

VOXEL_MM = 1.25
REACH_MM = 54.0
"""Of the part of the scan that is looked at, from where the head should be."""
FEWEST_VOXELS = 12
MOST_PLACES = 24
# How far heads lie from where they should, mm: found as a pair, or in the population.
FOUND_SD_MM, POPULATION_SD_MM = 5.0, 9.0
PRIOR_WEIGHT = 0.5
MOST_UNUSUAL = 4.0
"""Standard deviations from where a head should be."""
RADIUS_RANGE_MM = (17.0, 31.0)
FACING = 0.9
BAND_MM, SEEN_MM = 2.0, 3.0
FIT_ROUNDS = 6
FARTHEST_FIT_MM = 6.0
DIRECTIONS = 400
WHOLE_HEAD = 0.6
"""Share of a sphere that is seen of a sound head: the rest is neck, and fovea."""
LEAST_SEEN = 0.2
JOINT_MM = 35.0
"""Half the cube about the centre that holds a joint."""
UNSURE = 0.1
"""Confidence, at most, in a head that was not found."""


@dataclass(frozen=True, slots=True, eq=False)
class Joint:
    """The hip joint of one side."""

    side: Side
    centre_lps_mm: Point
    """Of the femoral head, patient LPS; where the head was not found, of the population's."""
    radius_mm: float
    """Of the femoral head; 24.6 where it was not found."""
    confidence: float
    """From 0 to 1: how much of a whole sphere is seen (a sound head: 1), times how near it lies to
    where it should, times the share of the joint that was scanned."""
    flags: frozenset[str] = frozenset()
    """``not_found``; ``implant``, metal in the joint; ``field_of_view``, part of the joint was not
    scanned."""

    @property
    def hard_flags(self) -> frozenset[str]:
        """The flags that forbid automatic use."""
        return self.flags - {"field_of_view"}

    @property
    def found(self) -> bool:
        """Whether the femoral head was found."""
        return "not_found" not in self.flags


def joints(volume: Scan, alignment: Alignment) -> dict[Side, Joint]:
    """Both hip joints of a CT whose pelvis is known.

    Parameters
    ----------
    volume
        The CT, in any storage order, or its path.
    alignment
        Of its pelvis. Hip centres that were measured (as `rhoa.pose.from_volume` does) say where
        to search; else the population's are taken: 83 mm to the side, 49 behind, 18 above the
        middle of the tubercles.

    Returns
    -------
    dict
        A `Joint` for each side, whatever the scan holds there: what is missing, replaced by metal
        or cut off is flagged and has a low confidence.

    Raises
    ------
    ParameterError
        If the arguments are no scan and its `Alignment`.

    Examples
    --------
    >>> import rhoa
    >>> from rhoa.phantom import Anatomy, ct
    >>> pelvis = ct(Anatomy.random(1), spacing_mm=(3, 3, 3))
    >>> found = rhoa.hips.joints(pelvis.volume, rhoa.pose.from_landmarks(pelvis.landmarks))
    >>> away = found["left"].centre_lps_mm - pelvis.hip_centres["left"]
    >>> bool((abs(away) < 2).all()), found["left"].flags
    (True, frozenset())
    """
    if not isinstance(alignment, Alignment):
        raise ParameterError(
            f"joints needs the rhoa.Alignment of the scan; got {type(alignment).__name__}."
        )
    scan = along_patient(as_volume(volume))
    found = side_by_side(lambda side: _joint(scan, alignment, side), SIDES)
    return dict(zip(SIDES, found, strict=True))


def located(alignment: Alignment, found: Mapping[Side, Joint]) -> Alignment:
    """The alignment with the femoral heads that were found.

    Depth ranges, boxes and coverage follow them: ``quality["hip_left_x_mm"]`` and so on, and
    ``quality["hip_left_radius_mm"]``. Sides that were not found stay as they are.

    Examples
    --------
    >>> import rhoa
    >>> from rhoa.phantom import Anatomy, ct
    >>> pelvis = ct(Anatomy.random(1), spacing_mm=(3, 3, 3))
    >>> frame = rhoa.pose.from_landmarks(pelvis.landmarks)
    >>> frame = rhoa.hips.located(frame, rhoa.hips.joints(pelvis.volume, frame))
    >>> sorted(name for name in frame.quality if name.startswith("hip_left"))
    ['hip_left_radius_mm', 'hip_left_x_mm', 'hip_left_y_mm', 'hip_left_z_mm']
    """
    quality = dict(alignment.quality)
    for side, joint in found.items():
        if joint.found:
            named = zip("xyz", alignment.to_ap(joint.centre_lps_mm).tolist(), strict=True)
            quality |= {f"hip_{side}_{axis}_mm": value for axis, value in named}
            quality[f"hip_{side}_radius_mm"] = joint.radius_mm
    return replace(alignment, quality=quality)


def _joint(scan: Volume, alignment: Alignment, side: Side) -> Joint:
    # Where the head should be, patient LPS, and how far from there it may well be.
    prior = alignment.to_lps(hip_centre(alignment, side))
    is_measured = measured_centre(alignment, side) is not None
    spread = FOUND_SD_MM if is_measured else POPULATION_SD_MM
    part = _part(scan, prior, REACH_MM)
    head = None if part is None else _head(part, prior, spread)
    centre, radius, seen = (prior, FEMORAL_HEAD_RADIUS_MM, 0.0) if head is None else head
    inside = _share_inside(scan, centre, alignment)
    flags = set()
    if head is None:
        flags.add("not_found")
    if inside < 1:
        flags.add("field_of_view")
    if part is not None and _metal_cm3(part, centre) > METAL_CM3:
        flags.add("implant")
    unusual = float(np.linalg.norm(centre - prior)) / spread
    sure = min(seen / WHOLE_HEAD, 1.0) * float(np.exp(-(unusual**2) / 8)) * inside
    if flags & {"not_found", "implant"}:
        sure = min(sure, UNSURE)
    return Joint(side, centre, radius, sure, frozenset(flags))


def _part(scan: Volume, centre: Point, reach_mm: float) -> Volume | None:
    """The cube about a place, as far as it was scanned; None where hardly any of it was."""
    index, reach = scan.to_index(centre), reach_mm / np.array(scan.spacing_mm)
    low = np.maximum(np.floor(index - reach), 0).astype(int)
    high = np.minimum(np.ceil(index + reach) + 1, scan.shape).astype(int)
    if (high - low < FEWEST_VOXELS).any():
        return None
    box = tuple(slice(first, stop) for first, stop in zip(low, high, strict=True))
    affine = scan.affine.copy()
    affine[:3, 3] = scan.to_lps(low)
    return Volume(scan.hu[box], affine)


def _head(part: Volume, prior: Point, spread: float) -> tuple[Point, float, float] | None:
    """Centre and radius of the femoral head, and the share of its sphere that is seen."""
    even = finer(coarse(part, target_mm=VOXEL_MM), VOXEL_MM)
    points, uphill = edges(Volume(smoothed(even.hu), even.affine))
    if len(points) < DIRECTIONS:
        return None
    places, roundness = hough_sphere_centres(points, uphill, MOST_PLACES)
    away = np.linalg.norm(places - prior, axis=1) / spread
    likely = np.log(roundness) - PRIOR_WEIGHT * away**2
    best, highest = None, -np.inf
    for place in places[np.argsort(-likely)[:2]]:
        fit = _fitted(points, uphill, refine_sphere(points, uphill, place))
        if fit is None or fit[2] <= LEAST_SEEN:
            continue
        # A ball of contrast is rounder than any head, and not where the pelvis has one.
        unusual = float(np.linalg.norm(fit[0] - prior)) / spread
        likelihood = np.log(fit[2]) - PRIOR_WEIGHT * unusual**2
        if unusual < MOST_UNUSUAL and likelihood > highest:
            best, highest = fit, likelihood
    return best


def _fitted(points: Point, uphill: Point, start: Point) -> tuple[Point, float, float] | None:
    """The sphere of edges about ``start`` that are dense within: a head, and not its socket."""
    centre, radius = start, 0.0
    for _ in range(FIT_ROUNDS):
        inward = centre - points
        distance = np.linalg.norm(inward, axis=1)
        facing = (inward * uphill).sum(axis=1) > FACING * distance
        facing &= (distance > RADIUS_RANGE_MM[0]) & (distance < RADIUS_RANGE_MM[1])
        if not radius:
            # The distance that most edges have, for its sphere's surface.
            counts, ends = np.histogram(distance[facing], bins=np.arange(*RADIUS_RANGE_MM, 1.0))
            middles = (ends[:-1] + ends[1:]) / 2
            dense = np.convolve(counts / middles**2, [0.5, 1, 0.5], mode="same")
            radius = float(middles[np.argmax(dense)])
        used = facing & (np.abs(distance - radius) < BAND_MM)
        if used.sum() < DIRECTIONS // 4:
            return None
        near = points[used] - centre
        rows = np.column_stack([2 * near, np.ones(len(near))])
        x, y, z, square = np.linalg.lstsq(rows, (near**2).sum(axis=1), rcond=None)[0].tolist()
        moved = np.array([x, y, z])
        radius = float(np.sqrt(max(square + moved @ moved, 1.0)))
        centre = centre + moved
        if np.linalg.norm(centre - start) > FARTHEST_FIT_MM:
            return None
    low, high = RADIUS_RANGE_MM
    return (centre, radius, _share_seen(near, radius)) if low < radius < high else None


def _share_seen(near: Point, radius: float) -> float:
    """Share of the directions from the centre in which there is an edge, ``near`` it."""
    from scipy.spatial import cKDTree

    step = np.arange(DIRECTIONS) + 0.5
    up, turn = 1 - 2 * step / DIRECTIONS, np.pi * (1 + 5**0.5) * step
    ring = np.sqrt(1 - up**2)
    sphere = radius * np.column_stack([ring * np.cos(turn), ring * np.sin(turn), up])
    return float((cKDTree(near).query(sphere)[0] < SEEN_MM).mean())


def _share_inside(scan: Volume, centre: Point, alignment: Alignment) -> float:
    """Share of the joint, a cube in the AP frame, that was scanned."""
    line = np.linspace(-JOINT_MM, JOINT_MM, 15)
    cube = np.stack(np.meshgrid(line, line, line, indexing="ij"), axis=-1).reshape(-1, 3)
    index = scan.to_index(centre + cube @ alignment.matrix)
    last = np.array(scan.shape) - 1
    return float(((index > -0.5) & (index < last + 0.5)).all(axis=1).mean())


def _metal_cm3(part: Volume, centre: Point) -> float:
    """Volume above `METAL_HU` in the cube of the joint."""
    joint = _part(part, centre, JOINT_MM)
    if joint is None:
        return 0.0
    return float(np.count_nonzero(joint.hu > METAL_HU)) * float(np.prod(joint.spacing_mm)) / 1000

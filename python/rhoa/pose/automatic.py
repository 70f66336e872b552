"""The automatic pose of a pelvis in a grey CT: a statistical shape model registered to its bone."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache, cached_property, partial
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeVar

import numpy as np

from rhoa.errors import LandmarkError, ParameterError, PoseError, require_choice
from rhoa.parallel import side_by_side
from rhoa.pose.alignment import (
    LANDMARKS_OUTSIDE,
    MODEL_LANDMARKS,
    Alignment,
    Landmarks,
    from_landmarks,
    usable_alignment,
)
from rhoa.pose.anterior_plane import PUBES, angle_deg, facet_of, refined
from rhoa.pose.bone import Faces, around_body, bone_of, coarse, edges, finer, thinned
from rhoa.pose.spheres import hough_sphere_centres, refine_sphere
from rhoa.reading import as_volume
from rhoa.volume import Volume

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from numpy.typing import NDArray

    from rhoa.pose.anterior_plane import Pubis
    from rhoa.pose.bone import Bone
    from rhoa.reading.reader import Scan

    Rows = NDArray[np.intp]

    Points = NDArray[np.float64]

Real = TypeVar("Real", np.float32, np.float64)


# A statistical shape model of the pelvis, registered robustly to the edges of bone in a CT.
#
# Every point of the model's surface asks for an edge of bone near it that faces its way; edges that
# no point asks for (contrast, metal, arms, the table) cost nothing. Registration begins from many
# places and keeps what finds most support: first rigid, then with the principal modes of the shape,
# last with smooth deformations that no mode spans.

FILE = Path(__file__).with_name("pelvis_model.npz")
LANDMARKS, HIPS = slice(-6, -2), slice(-2, None)
"""Of a shape's points, after its surface: spines and tubercles, centres of both hips."""
SACRUM = 2

TURNED_MM = 12.0
"""Distance that the full turn of a surface's direction, per unit of its normal, counts as."""
SIZE_SD = 0.08
"""Of the logarithm of a pelvis' size."""
NOISE_MM = 2.5
ALONG = 0.1
"""Weight of a residual along the surface against that across it."""
MOST_TURN, MOST_GROWTH = 0.2, 0.1
"""Of one step: radians, and of the logarithm of the size."""
LEAST_FOUND = 60
"""Points that find an edge; with fewer nothing is fitted."""
SURE_WEIGHT = 0.3
"""Points of less weight (joints, much of the sacrum) are left out of the first steps."""
FEW, SOME = 250, 700
ONE_THREAD, ONE_THREAD_UNKNOWNS = 200_000, 90
"""Multiplications of a product, and unknowns of a system, that BLAS does on one thread."""

LEAST_EDGES, MOST_EDGES = 1_000, 80_000
# What is no edge of bone, in HU: gas lies before it; it is as dense within as at its rim.
BEFORE_MM, GAS_HU = 4.0, -150.0
RIM_MM, CORE_MM, CORE_HU, CORE_SHARE = (2.0, 3.5), (6.0, 9.0, 12.0), 300.0, 0.8
VOTERS, PLACES = 40_000, 24
APART_MM, LEAST_LATERAL = (125.0, 215.0), 0.8
PAIRS, TILTS_DEG = 40, (-30.0, -10.0, 10.0, 30.0)
STEP_MM, BACK_MM, GRID_TILTS_DEG = 40.0, (-30.0, 10.0), (-20.0, 10.0)
"""Starts that need no round places: along the middle of the bone, from feet to head."""
SAME_MM, SAME_DEG = 15.0, 12.0
STARTED, CONTINUED = 14, 4
# Distances within which an edge counts, mm, one a step.
RIGID_MM = (30, 26, 22, 20, 18, 16, 14, 12)
MODES_MM = tuple(np.linspace(26, 10, 12))
ALL_MM = (18, 14)
SMOOTH_MM = tuple(np.linspace(18, 7, 14))
RIVAL_MM, RIVAL_DEG = 25.0, 15.0
END_MM = 2.5
"""From the ends of a scan, within which nothing is expected."""
NEAR_MM = 25.0
"""Surface this close to a landmark shows whether it was seen."""


@dataclass(frozen=True, eq=False)
class PelvisModel:
    """The mean pelvis in its AP frame, mm, and how pelves differ from it."""

    mean: Points
    """Surface points, then both spines, both tubercles, both hip centres."""
    normals: Points
    """Outward, of the surface points."""
    weight: NDArray[np.float64]
    """Of each surface point; less at joints."""
    bone: NDArray[np.uint8]
    """0 left hip, 1 right hip, 2 sacrum."""
    modes: NDArray[np.float32]
    """Principal modes ``(modes, points, 3)``, one standard deviation each."""
    smooth: NDArray[np.float32]
    """Smooth deformations ``(count, points)``, along each of the three axes."""

    @cached_property
    def middle(self) -> Points:
        """Midway between the hip centres."""
        middle: Points = self.mean[HIPS].mean(axis=0)
        return middle

    @cached_property
    def apart_mm(self) -> float:
        """Between the hip centres."""
        return float(np.linalg.norm(np.subtract(*self.mean[HIPS])))

    @cached_property
    def order(self) -> Rows:
        """Surface points that matter, in an order whose beginnings sample all of it."""
        return np.random.default_rng(0).permutation(np.flatnonzero(self.weight > SURE_WEIGHT))

    @cached_property
    def every(self) -> Rows:
        """All surface points."""
        return np.arange(len(self.normals))

    def near(self, point: int, reach_mm: float = NEAR_MM) -> Rows:
        """Surface points about a landmark or hip centre, counted as from the end of ``mean``."""
        return np.flatnonzero(
            np.linalg.norm(self.mean[: len(self.normals)] - self.mean[point], axis=1) < reach_mm
        )


@cache
def pelvis_model() -> PelvisModel:
    """The model that travels with the package."""
    with np.load(FILE) as content:
        return PelvisModel(
            content["mean"].astype(float),
            content["normals"].astype(float),
            content["weight"].astype(float),
            content["bone"],
            content["modes"].astype(np.float32),
            content["smooth"].astype(np.float32),
        )


@dataclass(frozen=True, eq=False)
class Fit:
    """The model laid somewhere: ``lps = size * (point - model.middle) @ turn.T + place``."""

    model: PelvisModel
    turn: Points
    """Columns: the model's axes in patient LPS."""
    place: Points
    """Of the middle between the hips, as far as the shape leaves it there."""
    size: float = 1.0
    modes: NDArray[np.float64] | None = None
    """In standard deviations."""
    smooth: NDArray[np.float64] | None = None
    support: float = 0.0
    """From 0 to 1: how much of the surface that was scanned found an edge."""

    def shape(self, rows: Rows | slice) -> Points:
        """Points of the deformed model in its own frame."""
        points = self.model.mean[rows]
        if self.modes is not None:
            points = points + np.einsum("m,mpx->px", self.modes, self.model.modes[:, rows])
        if self.smooth is not None:
            points = points + np.einsum("sp,sx->px", self.model.smooth[:, rows], self.smooth)
        return points

    def lps(self, rows: Rows | slice) -> Points:
        """Points where they lie in the patient, mm."""
        laid: Points = self.size * (self.shape(rows) - self.model.middle) @ self.turn.T + self.place
        return laid

    def normals(self, rows: Rows | slice) -> Points:
        """Outward directions of surface points in the patient."""
        outward: Points = self.model.normals[rows] @ self.turn.T
        return outward

    @property
    def landmarks(self) -> Points:
        """Both spines and both tubercles, patient LPS, rows."""
        return self.lps(LANDMARKS)

    @property
    def hips(self) -> Points:
        """Left and right hip centre, patient LPS, rows."""
        return self.lps(HIPS)

    @cached_property
    def frame(self) -> Alignment:
        """The AP frame through the model's landmarks."""
        return from_landmarks(Landmarks(*self.landmarks))

    @property
    def unusual(self) -> float:
        """Root mean square of the modes, in standard deviations; of ordinary pelves below 1.5."""
        return 0.0 if self.modes is None else float(np.sqrt(np.mean(self.modes**2)))


@dataclass(frozen=True, eq=False)
class BoneEdges:
    """Edges of bone in a scan, and what they say of a fit."""

    points: Points
    outward: Points
    grid: Volume
    """Smoothed HU, at least of the body."""
    faces: Faces
    """Of the whole scan."""

    @classmethod
    def of(cls, grid: Volume, scan: Volume) -> BoneEdges:
        """All edges of smoothed HU of a scan."""
        points, uphill = edges(grid)
        return cls(points, -uphill, grid, Faces.of_array(scan.shape, scan.affine))

    def cortical(self) -> BoneEdges:
        """Those that may be an edge of bone: soft tissue before them, marrow behind a dense rim.

        Gas lies before contrast in bowel and air before what is on the skin; contrast and metal
        are as dense within as at their rim. So are some femoral heads.
        """
        grid = self.grid
        places = grid.to_index(self.points)
        inward = grid.to_index(self.points - self.outward) - places

        def at(depth_mm: float) -> NDArray[np.float32]:
            index = np.rint(places + depth_mm * inward).astype(np.intp)
            np.clip(index, 0, np.array(grid.shape) - 1, out=index)
            values: NDArray[np.float32] = grid.hu[tuple(index.T)]
            return values

        core, rim = np.stack([at(mm) for mm in CORE_MM]), np.stack([at(mm) for mm in RIM_MM])
        filled = core.min(axis=0) > CORE_HU
        filled &= core.mean(axis=0) > CORE_SHARE * rim.max(axis=0)
        of_bone = (at(-BEFORE_MM) > GAS_HU) & ~filled
        return replace(self, points=self.points[of_bone], outward=self.outward[of_bone])

    def turned(self, turn: Points) -> BoneEdges:
        """The same scan with its axes turned."""
        affine = np.eye(4)
        affine[:3] = turn @ self.grid.affine[:3]
        return BoneEdges(
            self.points @ turn.T,
            self.outward @ turn.T,
            Volume(self.grid.hu, affine),
            replace(self.faces, inward=self.faces.inward @ turn.T),
        )

    @cached_property
    def sample(self) -> BoneEdges:
        """A part of them that is quickly searched, chosen by a fixed draw."""
        both = thinned(np.hstack([self.points, self.outward]), MOST_EDGES)
        return replace(self, points=both[:, :3], outward=both[:, 3:])

    @cached_property
    def _tree(self) -> object:
        from scipy.spatial import cKDTree

        rows = np.hstack([self.points, TURNED_MM * self.outward])
        return cKDTree(rows, leafsize=30, balanced_tree=False)

    def nearest(self, points: Points, outward: Points, within_mm: float) -> tuple[Points, Rows]:
        """Distance, direction counted, and number of the nearest edge; infinity where none is."""
        return self._tree.query(  # type: ignore[attr-defined,no-any-return]  # SciPy has no types
            np.hstack([points, TURNED_MM * outward]), distance_upper_bound=within_mm
        )

    def inside(self, points: Points) -> NDArray[np.bool_]:
        """Whether points were scanned, and not at the very edge of the scan."""
        return np.asarray((self.faces.distances(points) > END_MM).all(axis=1))

    def found(self, fit: Fit, rows: Rows, spread_mm: float) -> tuple[Points, NDArray[np.bool_]]:
        """For each surface point how near an edge is, 1 to 0, and whether it was scanned."""
        points = fit.lps(rows)
        inside = self.inside(points)
        away, _ = self.nearest(points, fit.normals(rows), 3 * spread_mm)
        near = np.exp(-0.5 * (np.minimum(away, 99.0) / spread_mm) ** 2)
        return np.where(np.isfinite(away) & inside, near, 0.0), inside

    def support(self, fit: Fit, rows: Rows, spread_mm: float) -> Fit:
        """The fit with its support; where most lies outside, what is missing counts against it."""
        near, inside = self.found(fit, rows, spread_mm)
        weight = fit.model.weight[rows]
        total = max(float(weight[inside].sum()), 0.5 * float(weight.sum()))
        return replace(fit, support=float((weight * near).sum()) / total)

    def registered(
        self,
        fit: Fit,
        rows: Rows,
        within_mm: Sequence[float],
        *,
        modes: bool = False,
        smooth: bool = False,
    ) -> Fit:
        """The fit moved, and deformed if asked for, to the edges near it."""
        for cap in within_mm:
            moved = self._step(fit, rows, float(cap), modes=modes, smooth=smooth)
            if moved is None:
                break
            fit = moved
        return fit

    def _step(self, fit: Fit, rows: Rows, cap: float, *, modes: bool, smooth: bool) -> Fit | None:
        """One Gauss-Newton step, in the model's frame; None where too few points find an edge.

        Unknown are a shift, a turn, the size, the modes and the smooth deformations along each
        axis; residuals are weighted by Tukey's function, across the surface more than along it.
        """
        model = fit.model
        laid = fit.lps(rows)
        away, number = self.nearest(laid, fit.normals(rows), cap)
        used = np.isfinite(away) & self.inside(laid)
        if np.count_nonzero(used) < LEAST_FOUND:
            return None
        rows, edge = rows[used], number[used]
        across = self.outward[edge] @ fit.turn
        residual = (self.points[edge] - laid[used]) @ fit.turn / fit.size
        weight = model.weight[rows] * (1 - (away[used] / cap) ** 2) ** 2
        weight /= NOISE_MM**2
        from_middle = (laid[used] - fit.place) @ fit.turn / fit.size

        few = 7 + (len(model.modes) if modes else 0)
        extra = len(model.smooth) if smooth else 0
        # What each unknown moves along each axis: the first ones along all, the others along one.
        moves = np.zeros((3, len(rows), few), np.float32)
        x, y, z = from_middle.T
        for axis in range(3):
            moves[axis, :, axis] = 1
            moves[axis, :, 6] = from_middle[:, axis]
        moves[0, :, 4], moves[0, :, 5] = z, -y
        moves[1, :, 3], moves[1, :, 5] = -z, x
        moves[2, :, 3], moves[2, :, 4] = y, -x
        if modes:
            moves[:, :, 7:] = model.modes[:, rows].transpose(2, 1, 0)
        count = few + 3 * extra
        matrix, gradient = np.zeros((count, count)), np.zeros(count)
        normal = np.empty((len(rows), count), np.float32)
        normal[:, :few] = np.einsum("ink,ni->nk", moves, across.astype(np.float32))
        bend = model.smooth[:, rows].T if smooth else np.zeros((len(rows), 0), np.float32)
        here = np.arange(few)
        for axis in range(3):
            own = few + axis * extra + np.arange(extra)
            normal[:, own] = bend * across[:, axis : axis + 1]
            along = np.hstack([moves[axis], bend])
            weighted = (ALONG * weight[:, None] * along).astype(np.float32)
            where = np.concatenate([here, own])
            matrix[np.ix_(where, where)] += _product(along, weighted)
            gradient[where] += np.einsum("nk,n->k", weighted, residual[:, axis])
        weighted = (weight[:, None] * normal).astype(np.float32)
        matrix += _product(normal, weighted)
        gradient += np.einsum("nk,n->k", weighted, (residual * across).sum(axis=1))

        matrix[6, 6] += 1 / SIZE_SD**2
        gradient[6] -= np.log(fit.size) / SIZE_SD**2
        shape = fit.modes if fit.modes is not None else np.zeros(len(model.modes))
        bent = fit.smooth if fit.smooth is not None else np.zeros((len(model.smooth), 3))
        if modes:
            gradient[7:few] -= shape
        if smooth:
            gradient[few:] -= bent.T.ravel()
        diagonal = np.arange(count)
        matrix[diagonal, diagonal] += np.where(diagonal < 6, 1e-6, np.where(diagonal < 7, 0, 1))
        step = _solved(matrix, gradient)
        angle = float(np.linalg.norm(step[3:6]))
        if angle > MOST_TURN:
            step *= MOST_TURN / angle
        return Fit(
            model,
            fit.turn @ _rotation(step[3:6]),
            fit.place + fit.size * fit.turn @ step[:3],
            fit.size * float(np.exp(np.clip(step[6], -MOST_GROWTH, MOST_GROWTH))),
            shape + step[7:few] if modes else fit.modes,
            bent + step[few:].reshape(3, -1).T if smooth else fit.smooth,
        )


@dataclass(frozen=True, eq=False)
class Registration:
    """The best fit, and how much more of it is supported than of any other place."""

    fit: Fit
    margin: float


def registered_pelvis(scan: BoneEdges, least_margin: float) -> Registration | None:
    """The pelvis in a scan along the patient's axes; None where none has the least margin."""
    scan, model = scan.sample, pelvis_model()
    if len(scan.points) < LEAST_EDGES:
        return None
    few, some = model.order[:FEW], model.order[:SOME]

    def rigid(fit: Fit) -> Fit:
        return scan.support(scan.registered(fit, few, RIGID_MM), few, 5.0)

    def deformed(fit: Fit) -> Fit:
        return scan.support(scan.registered(fit, some, MODES_MM, modes=True), some, 4.0)

    starts = side_by_side(lambda fit: scan.support(fit, few, 8.0), _starts(model, scan))
    begun: list[Fit] = []
    for start in _likeliest(starts):
        if all(_apart(start, other, SAME_MM, SAME_DEG) for other in begun):
            begun.append(start)
        if len(begun) == STARTED:
            break
    moved = _likeliest(side_by_side(rigid, begun))
    ends = _likeliest(side_by_side(deformed, moved[:CONTINUED]))
    if not ends:
        return None
    best, *others = ends
    rivals = [fit.support for fit in others if _apart(fit, best, RIVAL_MM, RIVAL_DEG)]
    margin = best.support - max(rivals, default=0.0)
    if margin < least_margin:  # the rest of the fit, half of the work, changes nothing of it
        return None
    fit = scan.registered(best, model.every, ALL_MM, modes=True)
    fit = scan.registered(fit, model.every, SMOOTH_MM, modes=True, smooth=True)
    fit = scan.support(fit, model.every, 4.0)
    return Registration(fit, margin)


def _likeliest(fits: Iterable[Fit]) -> list[Fit]:
    return sorted(fits, key=lambda fit: -fit.support)


def _starts(model: PelvisModel, scan: BoneEdges) -> list[Fit]:
    """Where a pelvis may be: between two round places, and all along the body."""
    both = thinned(np.hstack([scan.points, -scan.outward]), VOTERS)
    places, roundness = hough_sphere_centres(both[:, :3], both[:, 3:], PLACES)
    pairs = []
    for (one, left), (other, right) in product(enumerate(places), repeat=2):
        apart = float(np.linalg.norm(left - right))
        if APART_MM[0] < apart < APART_MM[1] and left[0] - right[0] > LEAST_LATERAL * apart:
            pairs.append((roundness[one] + roundness[other], left, right))
    pairs.sort(key=lambda pair: -pair[0])
    starts = [
        _between(model, left, right, tilt) for _, left, right in pairs[:PAIRS] for tilt in TILTS_DEG
    ]
    low, high = scan.points.min(axis=0), scan.points.max(axis=0)
    middle = np.median(scan.points, axis=0)
    half = np.array([model.apart_mm / 2, 0.0, 0.0])
    for height in np.arange(low[2] - STEP_MM / 2, high[2] + 1, STEP_MM):
        for back, tilt in product(BACK_MM, GRID_TILTS_DEG):
            centre = np.array([middle[0], middle[1] + back, height])
            starts.append(_between(model, centre + half, centre - half, tilt))
    return starts


def _between(model: PelvisModel, left: Points, right: Points, tilt_deg: float) -> Fit:
    """The mean pelvis with its hips at two places, its ASIS tipped forward."""
    apart = float(np.linalg.norm(left - right))
    x = (left - right) / apart
    up = np.array([0.0, 0.0, 1.0]) - x[2] * x
    up /= np.linalg.norm(up)
    back = np.cross(up, x)
    cosine, sine = np.cos(np.radians(tilt_deg)), np.sin(np.radians(tilt_deg))
    turn = np.column_stack([x, cosine * back + sine * up, cosine * up - sine * back])
    size = float(np.clip(apart / model.apart_mm, 0.8, 1.2))
    return Fit(model, turn, (left + right) / 2, size)


def _apart(one: Fit, other: Fit, distance_mm: float, turned_deg: float) -> bool:
    away = float(np.linalg.norm(one.place - other.place))
    return away > distance_mm or angle_deg(one.turn, other.turn) > turned_deg


# OpenBLAS does large products and solutions on threads of its own, which wait for each other longer
# than these small ones take, above all where processors are shared: they are done part by part.


def _product(one: NDArray[Real], other: NDArray[Real]) -> NDArray[Real]:
    """``one.T @ other``."""
    rows = max(1, ONE_THREAD // (one.shape[1] * other.shape[1]))
    whole = len(one) // rows * rows
    parts = (of[:whole].reshape(-1, rows, of.shape[1]) for of in (one, other))
    summed = (next(parts).transpose(0, 2, 1) @ next(parts)).sum(axis=0)
    total: NDArray[Real] = summed + one[whole:].T @ other[whole:]
    return total


def _solved(matrix: Points, right: Points) -> Points:
    """The solution of a symmetric positive system, half by half."""
    count = len(matrix)
    if count < ONE_THREAD_UNKNOWNS:
        return np.asarray(np.linalg.solve(matrix, right), np.float64)
    first, second = slice(None, count // 2), slice(count // 2, None)
    across = matrix[first, second]
    both = _solved(matrix[first, first], np.column_stack([across, right[first]]))
    reduced, least = both[:, :-1], both[:, -1]
    end = _solved(
        matrix[second, second] - _product(across, reduced), right[second] - across.T @ least
    )
    return np.concatenate([least - reduced @ end, end])


def _rotation(vector: Points) -> Points:
    """The rotation about a vector by its length."""
    angle = float(np.linalg.norm(vector))
    x, y, z = vector / max(angle, 1e-12)
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    turn: Points = np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross
    return turn


# The pose of a pelvis in a grey CT: a model of the pelvis registered to the edges of its bone.

LEAST_SUPPORT, SURE_SUPPORT = 0.27, 0.28
LEAST_MARGIN, SURE_MARGIN = 0.06, 0.10
"""A pelvis with less margin is none; with less than is sure, it is flagged. The least margin of
158 perturbed scans of 19 pelves was 0.26, the largest of 20 scans without a pelvis 0.05."""
TURNED_MARGIN = 0.2
"""Of a patient who lies otherwise than the axes of the scan say."""
LEAST_SIDE = 0.5
"""Support of one hip bone, against that of the other."""
EVIDENCE_MM = 4.0
LEAST_EVIDENCE = 0.30
"""Of a landmark: how much of the surface about it finds an edge; ordinary ones have 0.33 to 0.6."""
LEAST_SCANNED = 0.9
"""Share of the surface about a landmark that was scanned; with less the landmark is outside."""
LEAST_FACE_MM = 6.0
"""From a landmark to the nearest end of the scan; nearer ones are outside, too."""
CLEAN_MM, SPINE_MM, TRUSTED_MM = 7.0, 12.0, 3.5
"""Bone this close to the fitted surface, about spines (which stand out more in some pelves than the
model knows) a little farther, and to an edge that may be bone's, holds the landmarks."""
FARTHEST_MM = 12.0
"""Between a landmark on the bone and the model's; one farther away is the model's."""
MOST_BEHIND_MM = 3.0
"""Of a landmark on the bone against the model's, front to back, from what the others have."""
MOST_DIFFERENCE_DEG = 4.0
FINE_MM = 2.0
"""Steps of the grid that edges are looked for in; larger voxels are interpolated."""
HEAD_REACH_MM, HEAD_OFF_MM = 45.0, 12.0
MOST_VOXEL_MM, THICK_VOXEL_MM, COARSE_VOXEL_MM = 5.05, 4.05, 3.05
"""Positions of slices are rounded."""
LARGE_TILT_DEG, LARGE_TURN_DEG = 25.0, 12.0
# Expected error of the frame, deg (one standard deviation): all landmarks on bone, or some of them
# the model's.
BONE_DEG, MODEL_DEG = 1.0, 2.0
TURNS = {
    "prone": np.diag([-1.0, -1.0, 1.0]),
    "left decubitus": np.array([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]),
    "right decubitus": np.array([[0.0, 1.0, 0.0], [-1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]),
    "upside down": np.diag([-1.0, 1.0, -1.0]),
    "upside down, prone": np.diag([1.0, -1.0, -1.0]),
}
"""How else than its axes say a patient may lie in a scan."""
NAMES = ("asis_left", "asis_right", "tubercle_left", "tubercle_right")


def from_volume(
    volume: Scan,
    *,
    pubis: Pubis = "tubercles",
    progress: Callable[[int, int, str], None] | None = None,
) -> Alignment:
    """The AP frame of the pelvis in a grey CT, found automatically.

    On a copy with voxels of about 2 mm a statistical shape model of the pelvis is registered to the
    edges of bone (`rhoa.pose.automatic`); the four landmarks are then read on the bone near its
    surface, the femoral heads on the edges about its hip centres. Landmarks that lie outside the
    scan, or of which no bone is seen, are the model's. Nothing of the size of the volume is copied.

    Parameters
    ----------
    volume
        A CT in Hounsfield units, or its path, in any storage order, with both hips; 3 mm voxels or
        smaller. Any amount of trunk and thighs may be with it.
    pubis
        As in `from_points`.
    progress
        Called as ``progress(done, total, what)``.

    Returns
    -------
    Alignment
        ``quality`` holds ``support`` (0 to 1, how much of the model's surface found bone),
        ``rival_margin`` (by how much it exceeds that of any other place), ``support_asis_left`` and
        so on (at each landmark), ``model_difference_deg`` (between the frame and the model's),
        ``expected_error_deg`` (one standard deviation), ``hip_left_x_mm`` and so on (the femoral
        heads). Warnings:

        ``landmarks_outside``
            A spine or tubercle lies outside the scan, or at its very end; it is the model's.
        ``landmarks_of_model``
            Bone is seen at a landmark, but the plane touches it elsewhere than the model: contrast
            or another bone is before it, or the pelvis is unusual. The landmark is midway between
            both, or, where they lie more than 12 mm apart, the model's.
        ``coarse_voxels``, ``large_tilt``, ``large_turn``
            Voxels above 3 mm; a tilt beyond 25 deg, obliquity or rotation beyond 12 deg.

        Hard flags:

        ``not_like_a_pelvis``
            Little of the model's surface finds bone, or far less on one side than on the other.
        ``ambiguous``
            Another place is supported nearly as well.
        ``landmark_not_seen``
            A landmark was scanned, but no bone of its shape is there: it is hidden or covered by
            contrast, resected, or replaced. It is the model's.
        ``model_differs``
            The frame of the landmarks on the bone and the model's differ by more than 4 deg.
        ``thick_slices``
            Voxels above 5 mm; above 4 mm, if a landmark is the model's: of ten phantoms with slices
            of 5 mm the one that was 6 deg off had one, the others were within 2 deg.
        ``turned_in_scan``
            The patient lies otherwise than the axes of the scan say: prone, on a side, or head for
            feet; ``angles`` say how.

    Raises
    ------
    PoseError
        If there is no bone, or no pelvis in it.
    ParameterError
        If an argument has the wrong form.

    Examples
    --------
    >>> import numpy as np, rhoa
    >>> try:
    ...     rhoa.pose.from_volume(rhoa.Volume.from_array(np.zeros((9, 9, 9)), (2, 2, 2)))
    ... except rhoa.RhoaError as error:
    ...     print(str(error)[:15])
    volume: no bone
    """
    require_choice("pubis", pubis, PUBES)
    volume = as_volume(volume)
    grid = coarse(around_body(volume), progress=progress)
    bone = bone_of(finer(grid, FINE_MM))
    edges = BoneEdges.of(bone.grid, volume)
    scan = edges.cortical()
    found, turn = _found(scan)
    frame = _LandmarkReading(bone, max(grid.spacing_mm), edges, scan, found, pubis).alignment()
    if turn is not None:
        frame = replace(frame, flags=frame.flags | {"turned_in_scan"})
    return frame


def _found(scan: BoneEdges) -> tuple[Registration, str | None]:
    """The pelvis, and how the patient lies where that is not as the scan's axes say."""
    upright = registered_pelvis(scan, LEAST_MARGIN)
    if (
        upright is not None
        and upright.margin >= SURE_MARGIN
        and upright.fit.support >= LEAST_SUPPORT
    ):
        return upright, None
    for name, turn in TURNS.items():
        turned = scan.turned(turn)
        found = registered_pelvis(turned, TURNED_MARGIN)
        if found is not None and found.fit.support > SURE_SUPPORT:
            fit = found.fit
            if not turned.inside(fit.hips).all():
                continue
            back = replace(fit, turn=turn.T @ fit.turn, place=turn.T @ fit.place)
            return replace(found, fit=back), name
    if upright is None or not scan.inside(upright.fit.hips).any():
        raise PoseError(
            "volume: no pelvis was found in its bone; the scan must hold both hips, with the "
            "femoral heads; pass rhoa.Landmarks, or a mask of the hip bones to "
            "rhoa.pose.from_mask."
        )
    return upright, None


@dataclass(frozen=True, eq=False)
class _LandmarkReading:
    """Landmarks, heads and evidence of a registered pelvis."""

    bone: Bone
    voxel_mm: float
    """Of the scan: the longest edge, at least about 2."""
    edges: BoneEdges
    """All of them, for the heads."""
    scan: BoneEdges
    found: Registration
    pubis: Pubis

    @property
    def fit(self) -> Fit:
        return self.found.fit

    def alignment(self) -> Alignment:
        fit, model = self.fit, self.fit.model
        near, inside = self.scan.sample.found(fit, model.every, EVIDENCE_MM)
        weight = model.weight * inside
        about = [model.near(point) for point in range(LANDMARKS.start, LANDMARKS.stop)]
        scanned = np.array([inside[rows].mean() for rows in about])
        seen = np.array(
            [(near[rows] * weight[rows]).sum() / max(weight[rows].sum(), 1e-9) for rows in about]
        )
        flags = set()
        faces = self.scan.faces
        outside = scanned < LEAST_SCANNED
        outside |= faces.distances(fit.landmarks).min(axis=1) < LEAST_FACE_MM
        if outside.any():
            flags.add(LANDMARKS_OUTSIDE)
        unseen = ~outside & (seen < LEAST_EVIDENCE)
        if unseen.any():
            flags.add("landmark_not_seen")
        rows = self._on_bone()
        if unseen[:2].any():
            unseen[:2] = True  # the plane of the bone was laid against what covers the spine
        marks, instead = self._chosen(rows, outside | unseen)
        if (instead & ~outside & ~unseen).any():
            flags.add(MODEL_LANDMARKS)
        frame = from_landmarks(Landmarks(*marks))
        differs = angle_deg(frame.matrix, fit.frame.matrix)
        if differs > MOST_DIFFERENCE_DEG:
            flags.add("model_differs")
        sides = [
            float((weight * near)[model.bone == side].sum())
            / max(float(weight[model.bone == side].sum()), 0.2 * float(model.weight.sum()))
            for side in range(SACRUM)
        ]
        if fit.support < SURE_SUPPORT or min(sides) < LEAST_SIDE * max(sides):
            flags.add("not_like_a_pelvis")
        if self.found.margin < SURE_MARGIN:
            flags.add("ambiguous")
        flags |= _of_numbers(frame, self.voxel_mm)
        if self.voxel_mm > THICK_VOXEL_MM and instead.any():
            flags.add("thick_slices")
        quality = {
            **frame.quality,
            "support": fit.support,
            "rival_margin": self.found.margin,
            **{f"support_{name}": float(value) for name, value in zip(NAMES, seen, strict=True)},
            "model_difference_deg": differs,
            "model_size": fit.size,
            "model_unusual": fit.unusual,
            "expected_error_deg": MODEL_DEG if instead.any() else BONE_DEG,
            "voxel_mm": self.voxel_mm,
            "face_distance_mm": float(faces.distances(marks).min()),
        }
        for side, head in zip(("left", "right"), self._heads(), strict=True):
            named = zip("xyz", frame.to_ap(head).tolist(), strict=True)
            quality |= {f"hip_{side}_{axis}_mm": value for axis, value in named}
        return replace(frame, quality=quality, flags=frame.flags | flags)

    def _chosen(
        self, rows: Points | None, untrusted: NDArray[np.bool_]
    ) -> tuple[Points, NDArray[np.bool_]]:
        """The landmarks, on bone as far as the model agrees, and which of them are the model's.

        Centres of surface voxels lie a little behind the surface; so do the model's then.
        """
        of_model = self.fit.landmarks
        if rows is None:
            return of_model, np.ones(4, bool)
        back = self.fit.frame.matrix[1]
        behind = (rows - of_model) @ back
        usual = float(np.median(behind[~untrusted])) if not untrusted.all() else 0.0
        instead = untrusted | (np.linalg.norm(rows - of_model, axis=1) > FARTHEST_MM)
        of_model = of_model + usual * back
        differ = ~instead & (np.abs(behind - usual) > MOST_BEHIND_MM)
        # Either may be wrong, the bone for what covers it, the model for its few bodies.
        marks = np.where(differ[:, None], (rows + of_model) / 2, rows)
        return np.where(instead[:, None], of_model, marks), instead | differ

    def _on_bone(self) -> Points | None:
        """Where the plane touches the bone near the fitted surface; None where it does not."""
        from scipy.spatial import cKDTree

        fit, points = self.fit, self.bone.points
        rows = np.flatnonzero(fit.model.bone < SACRUM)
        hips, reach = fit.lps(rows), np.full(len(rows), CLEAN_MM)
        for spine in range(LANDMARKS.start, LANDMARKS.start + 2):
            reach[np.isin(rows, fit.model.near(spine))] = SPINE_MM
        low, high = hips.min(axis=0) - SPINE_MM, hips.max(axis=0) + SPINE_MM
        points = points[((points > low) & (points < high)).all(axis=1)]
        # A tree that is built quickly beats one that is searched quickly.
        tree = partial(cKDTree, balanced_tree=False, compact_nodes=False)
        away, nearest = tree(hips).query(points, distance_upper_bound=SPINE_MM)
        points = points[away < np.append(reach, 0)[nearest]]
        if not len(points):
            return None
        voxel_mm = max(self.scan.grid.spacing_mm)
        within = max(TRUSTED_MM, 1.75 * voxel_mm)
        edges = self.scan.points
        edges = edges[((edges > low) & (edges < high)).all(axis=1)]
        trusted = tree(edges).query(points, distance_upper_bound=within)[0]
        try:
            found = refined(
                points[np.isfinite(trusted)],
                facet_of(fit.frame),
                voxel_mm=voxel_mm,
                pubis=self.pubis,
            )
        except LandmarkError:
            return None
        return None if found.rejected else found.landmarks.as_array()

    def _heads(self) -> list[Points]:
        """Both femoral heads: where edges near the model's hip centres meet."""
        heads = []
        for hip in self.fit.hips:
            near = np.linalg.norm(self.edges.points - hip, axis=1) < HEAD_REACH_MM
            points, uphill = self.edges.points[near], -self.edges.outward[near]
            head = hip
            for _ in range(2):
                head = refine_sphere(points, uphill, head)
            heads.append(head if np.linalg.norm(head - hip) < HEAD_OFF_MM else hip)
        return heads


def _of_numbers(frame: Alignment, voxel_mm: float) -> set[str]:
    tilt, obliquity, rotation = map(abs, frame.angles)
    known = {
        "thick_slices": voxel_mm > MOST_VOXEL_MM,
        "coarse_voxels": voxel_mm > COARSE_VOXEL_MM,
        "large_tilt": tilt > LARGE_TILT_DEG,
        "large_turn": max(obliquity, rotation) > LARGE_TURN_DEG,
    }
    return {name for name, holds in known.items() if holds}


# The alignment that an image is made through: the one given, or the one found in the scan.

Pose = Alignment | Landmarks | Literal["auto"] | None


def alignment_for(volume: Scan, pose: Pose) -> Alignment:
    """The alignment that ``pose`` means for a scan, if its sides can be trusted.

    Parameters
    ----------
    volume
        The scan, or its path.
    pose
        An `Alignment`, the `Landmarks` of one, or ``"auto"`` for what `from_volume` finds.

    Warns
    -----
    RhoaWarning
        If it is flagged.

    Raises
    ------
    ParameterError
        If ``pose`` is none of these.
    PoseError
        If no pelvis is found, or the pose swaps left and right or turns the head down.
    """
    if isinstance(pose, str):
        if pose != "auto":
            raise ParameterError(
                f'pose must be None, "auto", a rhoa.Landmarks or a rhoa.Alignment; got {pose!r}. '
                "A file of landmarks is read with rhoa.Landmarks.from_json."
            )
        pose = from_volume(volume)
    return usable_alignment(pose)

"""The pose of a pelvis in a grey CT: a model of the pelvis registered to the edges of its bone."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np

from rhoa.errors import LandmarkError, ParameterError, PoseError, require_choice
from rhoa.pose.alignment import (
    LANDMARKS_OUTSIDE,
    MODEL_LANDMARKS,
    Alignment,
    Landmarks,
    from_landmarks,
    usable_alignment,
)
from rhoa.pose.anterior_plane import PUBES, angle_deg, facet_of, refined
from rhoa.pose.bone import Faces, bone_of, coarse, finer
from rhoa.pose.registration import LANDMARKS, SACRUM, BoneEdges, registered_pelvis
from rhoa.pose.spheres import refine_sphere
from rhoa.reading import as_volume

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from rhoa.pose.anterior_plane import Pubis
    from rhoa.pose.bone import Bone
    from rhoa.pose.registration import Fit, Registration
    from rhoa.reading.reader import Scan

    Points = NDArray[np.float64]


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
CLEAN_MM, TRUSTED_MM = 7.0, 3.5
"""Bone this close to the fitted surface, and to an edge that may be bone's, holds the landmarks."""
FARTHEST_MM = 12.0
"""Between a landmark on the bone and the model's; one farther away is the model's."""
MOST_BEHIND_MM = 3.0
"""Of a landmark on the bone against the model's, front to back, from what the others have."""
MOST_DIFFERENCE_DEG = 4.0
FINE_MM = 2.0
"""Steps of the grid that edges are looked for in; larger voxels are interpolated."""
HEAD_REACH_MM, HEAD_OFF_MM = 45.0, 12.0
MOST_VOXEL_MM, COARSE_VOXEL_MM = 4.05, 3.05
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
    edges of bone (`rhoa.pose.registration`); the four landmarks are then read on the bone near its
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
            Voxels above 4 mm.
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
    grid = coarse(volume, progress=progress)
    bone = bone_of(finer(grid, FINE_MM))
    edges = BoneEdges.of(bone.grid)
    scan = edges.of_shells()
    found, turn = _found(scan)
    frame = _Reading(bone, max(grid.spacing_mm), edges, scan, found, pubis).alignment()
    if turn is not None:
        frame = replace(frame, flags=frame.flags | {"turned_in_scan"})
    return frame


def _found(scan: BoneEdges) -> tuple[Registration, str | None]:
    """The pelvis, and how the patient lies where that is not as the scan's axes say."""
    upright = registered_pelvis(scan)
    if (
        upright is not None
        and upright.margin >= SURE_MARGIN
        and upright.fit.support >= LEAST_SUPPORT
    ):
        return upright, None
    for name, turn in TURNS.items():
        found = registered_pelvis(scan.turned(turn))
        if found is not None and found.margin > TURNED_MARGIN and found.fit.support > SURE_SUPPORT:
            fit = found.fit
            if not scan.turned(turn).inside(fit.hips).all():
                continue
            back = replace(fit, turn=turn.T @ fit.turn, place=turn.T @ fit.place)
            return replace(found, fit=back), name
    if upright is None or upright.margin < LEAST_MARGIN or not scan.inside(upright.fit.hips).any():
        raise PoseError(
            "volume: no pelvis was found in its bone; the scan must hold both hips, with the "
            "femoral heads; pass rhoa.Landmarks, or a mask of the hip bones to "
            "rhoa.pose.from_mask."
        )
    return upright, None


@dataclass(frozen=True, eq=False)
class _Reading:
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
        near, inside = self.scan.some.found(fit, model.every, EVIDENCE_MM)
        weight = model.weight * inside
        about = [model.near(point) for point in range(LANDMARKS.start, LANDMARKS.stop)]
        scanned = np.array([inside[rows].mean() for rows in about])
        seen = np.array(
            [(near[rows] * weight[rows]).sum() / max(weight[rows].sum(), 1e-9) for rows in about]
        )
        flags = set()
        faces = Faces.of_array(self.scan.grid.shape, self.scan.grid.affine)
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
        hips = fit.lps(np.flatnonzero(fit.model.bone < SACRUM))
        low, high = hips.min(axis=0) - CLEAN_MM, hips.max(axis=0) + CLEAN_MM
        points = points[((points > low) & (points < high)).all(axis=1)]
        near = cKDTree(hips).query(points, distance_upper_bound=CLEAN_MM)[0]
        points = points[np.isfinite(near)]
        if not len(points):
            return None
        voxel_mm = max(self.scan.grid.spacing_mm)
        within = max(TRUSTED_MM, 1.75 * voxel_mm)
        edges = self.scan.points
        edges = edges[((edges > low) & (edges < high)).all(axis=1)]
        trusted = cKDTree(edges).query(points, distance_upper_bound=within)[0]
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


# Which alignment a scan is looked at in: the one given, or the one found in it; how two differ.

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

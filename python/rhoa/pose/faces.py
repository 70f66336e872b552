"""The faces of a scan, and whether bone is cut off at one of them near a landmark."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from rhoa.pose.alignment import Alignment

NEAR_MM = 30.0
"""Bone this close to a landmark belongs to it."""
CLOUD_TOUCH_MM = 4.0


@dataclass(frozen=True, slots=True, eq=False)
class Faces:
    """Planes that bound a scan: ``inward @ p + offset`` is the distance in mm of a point inside.

    Bone touches a face within ``touch_mm`` of it.
    """

    inward: NDArray[np.float64]
    offset: NDArray[np.float64]
    touch_mm: float = CLOUD_TOUCH_MM

    @classmethod
    def of_box(cls, low: NDArray[np.float64], high: NDArray[np.float64]) -> Faces:
        """The six faces of a box along the patient's axes."""
        return cls(np.concatenate([np.eye(3), -np.eye(3)]), np.concatenate([-low, high]))

    @classmethod
    def of_array(cls, shape: tuple[int, ...], affine: NDArray[np.float64]) -> Faces:
        """The planes through the outermost voxel centres of an array with this affine."""
        to_index = np.linalg.inv(affine)
        length = np.linalg.norm(to_index[:3, :3], axis=1)
        unit = to_index[:3, :3] / length[:, None]
        start = to_index[:3, 3] / length
        last = (np.array(shape) - 1) / length
        voxel = float((1 / length).max())
        return cls(
            np.concatenate([unit, -unit]), np.concatenate([start, last - start]), 0.75 * voxel
        )

    @classmethod
    def of_cloud(cls, points: NDArray[np.float64], alignment: Alignment, *, upright: bool) -> Faces:
        """Where a cloud ends below and above: what is known of the scan when only points are.

        Along the pelvis's own axis, and along the patient's where that means something: on a whole
        pelvis the iliac crests rise far above the spines, and the ischia lie far below the pubis.
        """
        axes = [alignment.matrix[2]] + ([np.array([0.0, 0.0, 1.0])] if upright else [])
        inward = np.stack([sign * axis for axis in axes for sign in (1.0, -1.0)])
        return cls(inward, -(inward @ points.T).min(axis=1))

    def distances(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Distance of each point to each face, ``(n, faces)`` mm."""
        distances: NDArray[np.float64] = points @ self.inward.T + self.offset
        return distances


def face_distances(
    landmarks: NDArray[np.float64], points: NDArray[np.float64], faces: Faces
) -> tuple[float, float]:
    """Distance in mm of the landmarks, ``(4, 3)``, to the nearest face, and to one that cuts bone.

    A face cuts bone where bone touches it near the landmark; infinity where none does.
    """
    to_faces = faces.distances(landmarks)
    touching = faces.distances(points) < faces.touch_mm
    some = np.logical_or.reduce(tuple(touching.T))
    at_face, which = points[some], touching[some]
    nearest_cut = np.inf
    for landmark, distances in zip(landmarks, to_faces, strict=True):
        cut = which[np.linalg.norm(at_face - landmark, axis=1) < NEAR_MM].any(axis=0)
        nearest_cut = min(nearest_cut, float(distances[cut].min(initial=np.inf)))
    return float(to_faces.min()), nearest_cut

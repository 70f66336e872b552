"""Masks and label maps of bone: their surface voxels in patient space, and the pose they have."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from rhoa.errors import ParameterError, PoseError, require_choice
from rhoa.pose.candidates import FREE, SUPINE
from rhoa.pose.cloud import Cloud, require_cloud
from rhoa.pose.estimate import ORIENTATIONS, PUBES, Orientation, estimate
from rhoa.pose.faces import Faces
from rhoa.reading.mask_resampling import resampled
from rhoa.reading.masks import has_place, parts_of
from rhoa.volume import Volume

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import ArrayLike, NDArray

    from rhoa.pose.alignment import Alignment
    from rhoa.pose.refine import Pubis
    from rhoa.reading.masks import LabelMap

TOTALSEGMENTATOR: Mapping[str, int] = {"hip_left": 77, "hip_right": 78}
"""Values of TotalSegmentator version 2, task ``total``."""
TRUNK_MM = 260.0
"""A mask taller than this holds more than a pelvis, and is searched window by window."""


def from_mask(
    mask: Any,  # noqa: ANN401  # see the docstring
    affine: ArrayLike | None = None,
    *,
    labels: Mapping[str, int] | None = None,
    orientation: Orientation = "supine",
    pubis: Pubis = "tubercles",
) -> Alignment:
    """The AP frame of a segmented pelvis.

    Parameters
    ----------
    mask
        3-D: a boolean mask of both hip bones (other bone does little harm), or an integer label
        map. An integer map of 0 and 1 alone is a mask. Or what `rhoa.resample_mask` takes, which
        says where it lies; or the path of a folder with ``hip_left.nii.gz`` and
        ``hip_right.nii.gz``, as TotalSegmentator writes them.
    affine
        Of an array: 4 x 4, from the indices of ``mask`` to patient LPS millimetres, as
        `rhoa.Volume.affine`.
    labels
        Values of ``hip_left`` and ``hip_right`` in a label map; by default those of
        TotalSegmentator version 2 (77 and 78). Other names are ignored: the pose rests on the
        hip bones alone.
    orientation, pubis
        As in `from_points`.

    Returns
    -------
    Alignment
        Flagged ``sides_swapped`` if the label ``hip_left`` lies on the patient's right: the frame
        follows the anatomy, the labels or the affine are wrong. Flagged ``field_of_view`` if bone
        is cut at a face of the array near a landmark.

    Raises
    ------
    PoseError
        If a hip bone is absent, or no plane touches the mask as it touches a pelvis.
    ParameterError
        If mask, labels or an option have the wrong form.
    ReadError
        If a file is absent, damaged, or not placed in the patient.
    VolumeError
        If the affine is not a finite, invertible 4 x 4 matrix.

    Examples
    --------
    >>> import numpy as np, rhoa
    >>> try:
    ...     rhoa.pose.from_mask(np.zeros((8, 8, 8), bool), np.eye(4))
    ... except rhoa.RhoaError as error:
    ...     print(error)
    mask: no voxel is set; both hip bones are needed.
    """
    require_choice("orientation", orientation, ORIENTATIONS)
    require_choice("pubis", pubis, PUBES)
    array, affine = _with_place(mask, affine, labels)
    values = _require_labels(array, labels)
    grid = Volume(array.view(np.uint8) if array.dtype == bool else array, affine)
    parts = {name: surface_points(array == value, grid) for name, value in values.items()}
    empty = [f"{name} ({values[name]})" for name, points in parts.items() if not len(points)]
    if empty:
        raise PoseError(
            f"mask: no voxel is labelled {' or '.join(empty)}; both hip bones are needed; "
            "pass labels={'hip_left': ..., 'hip_right': ...} if the map has other values."
        )
    if not values:
        parts = {"bone": surface_points(array != 0, grid)}
        if not len(parts["bone"]):
            raise PoseError("mask: no voxel is set; both hip bones are needed.")
    points = require_cloud(np.concatenate(list(parts.values())))
    search = SUPINE if orientation == "supine" else FREE
    if search.upright and not values and np.ptp(points[:, 2]) > TRUNK_MM:
        search = replace(search, windowed=True)
    faces = Faces.of_array(grid.shape, grid.affine)
    cloud = Cloud(points, faces=faces, voxel_mm=max(grid.spacing_mm))
    alignment = estimate(cloud, search=search, pubis=pubis)
    if values and _swapped(parts["hip_left"], parts["hip_right"], alignment):
        return replace(alignment, flags=alignment.flags | {"sides_swapped"})
    return alignment


def surface_points(mask: NDArray[np.bool_], grid: Volume) -> NDArray[np.float64]:
    """Centres of the voxels of ``mask`` with a face outside it, ``(n, 3)`` patient LPS mm.

    The border of the array is no surface: bone that is cut there goes on beyond.
    """
    bounds = []
    for axis in range(3):
        some = np.flatnonzero(mask.any(axis=tuple(other for other in range(3) if other != axis)))
        if not len(some):
            return np.empty((0, 3))
        bounds.append((int(some[0]), int(some[-1]) + 1))
    box = mask[tuple(slice(*ends) for ends in bounds)]
    inside = box.copy()
    for axis, (ends, length) in enumerate(zip(bounds, mask.shape, strict=True)):
        along, filled = np.moveaxis(inside, axis, 0), np.moveaxis(box, axis, 0)
        along[1:] &= filled[:-1]
        along[:-1] &= filled[1:]
        along[0] &= ends[0] == 0
        along[-1] &= ends[1] == length
    index = np.argwhere(box & ~inside) + [ends[0] for ends in bounds]
    return grid.to_lps(index)


def _swapped(left: NDArray[np.float64], right: NDArray[np.float64], alignment: Alignment) -> bool:
    """Whether the hip called left lies on the anatomical right, or on the patient's."""
    offset = left.mean(axis=0) - right.mean(axis=0)
    return bool(offset @ alignment.matrix[0] < 0)


def _with_place(
    mask: object, affine: ArrayLike | None, labels: Mapping[str, int] | None
) -> tuple[NDArray[Any], NDArray[np.float64]]:
    """The labels of a mask and its affine; of both hip bones alone where each has its own map."""
    if not has_place(mask):
        if affine is None:
            raise ParameterError("affine is needed with an array: it says where the mask lies.")
        return _require_mask(mask), np.asarray(affine)
    if affine is not None:
        raise ParameterError("affine is for arrays; the mask says itself where it lies.")
    values = TOTALSEGMENTATOR if labels is None else labels
    wanted = {values.get(name, 0) for name in TOTALSEGMENTATOR}
    hips: LabelMap | None = None
    for name, part in parts_of(mask, names=TOTALSEGMENTATOR):
        if name is None:
            return part.labels, part.affine
        value = values.get(name, 0) if isinstance(name, str) else name
        if value not in wanted:
            continue
        if hips is None:
            hips = replace(part, labels=np.zeros_like(part.labels))
        hips.labels[resampled(part, hips.grid, partial=True) > 0] = value
    if hips is None:
        raise PoseError(
            f"mask: neither {' nor '.join(TOTALSEGMENTATOR)} is in it; both hip bones are needed."
        )
    return hips.labels, hips.affine


def _require_mask(mask: object) -> NDArray[Any]:
    array = np.asarray(mask)
    if array.ndim != 3 or array.dtype.kind not in "biu":
        raise ParameterError(
            "mask must be a 3-D array of booleans or whole numbers; "
            f"got {array.ndim}-D, dtype {array.dtype}; convert a map read as float with "
            ".astype(numpy.uint8)."
        )
    return array


def _require_labels(array: NDArray[Any], labels: Mapping[str, int] | None) -> dict[str, int]:
    """The values of both hips in a label map; empty for a mask."""
    if labels is None:
        if array.dtype == bool or not array.size or (array.min() >= 0 and array.max() <= 1):
            return {}
        return dict(TOTALSEGMENTATOR)
    missing = [name for name in TOTALSEGMENTATOR if name not in labels]
    if missing:
        raise ParameterError(
            f"labels must give the values of hip_left and hip_right; got {sorted(labels)}."
        )
    return {name: labels[name] for name in TOTALSEGMENTATOR}

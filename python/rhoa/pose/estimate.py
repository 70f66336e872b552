"""From bone surface points to an alignment: candidates, the best of them, refined and judged."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Literal

import numpy as np

from rhoa.errors import ParameterError, PoseError, require_choice, require_point
from rhoa.pose.candidates import FREE, SUPINE, Search, candidates
from rhoa.pose.cloud import Cloud, require_cloud, thinned, without_loose_pieces
from rhoa.pose.faces import Faces
from rhoa.pose.quality import judged
from rhoa.pose.refine import refined
from rhoa.pose.symmetry import Mirror

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike

    from rhoa.pose.alignment import Alignment
    from rhoa.pose.refine import Pubis

Orientation = Literal["supine", "free"]
ORIENTATIONS = ("supine", "free")
PUBES = ("tubercles", "crest")


def from_points(
    points_lps: ArrayLike,
    *,
    orientation: Orientation = "supine",
    pubis: Pubis = "tubercles",
    box_mm: tuple[Sequence[float], Sequence[float]] | None = None,
) -> Alignment:
    """The AP frame of a pelvis given as surface points of both hip bones, found automatically.

    The pelvis is laid on every plane it can rest on (the facets of its convex hull); the facet that
    looks like spines and pubis, and in which the pelvis is its own mirror image, is refined to the
    four landmarks. Sacrum and femora among the points do no harm.

    Parameters
    ----------
    points_lps
        ``(n, 3)`` patient LPS millimetres: vertices of a surface or surface voxels, 3 mm apart or
        less, in any order. No normals, faces or labels are needed.
    orientation
        ``"supine"``: the patient's axes are known (prone and feet first included), the pelvis is
        turned by less than 70 deg. ``"free"``: any rotation; the angles then mean nothing by
        themselves.
    pubis
        ``"tubercles"``: the plane through both spines and both pubic tubercles. ``"crest"``: the
        plane on which the pelvis rests, through the most anterior points of the pubic bodies,
        on average 1.2 deg less tilted (ASIS less anterior).
    box_mm
        Corners of the scan (low, high) in patient LPS millimetres, for the field-of-view check;
        without it the ends of the cloud itself are checked.

    Returns
    -------
    Alignment
        With ``quality`` numbers and ``flags``; an alignment with ``hard_flags`` is not for use
        without a look.

    Raises
    ------
    PoseError
        If the points cannot be a pelvis, or no facet of their hull resembles one.
    ParameterError
        If an option is none of those listed.

    Examples
    --------
    >>> import numpy as np, rhoa
    >>> try:
    ...     rhoa.pose.from_points(np.zeros((4, 3)))
    ... except rhoa.RhoaError as error:
    ...     print(str(error)[:19])
    points_lps: 4 point
    """
    require_choice("orientation", orientation, ORIENTATIONS)
    require_choice("pubis", pubis, PUBES)
    cloud = Cloud(require_cloud(points_lps), faces=_require_box(box_mm))
    return estimate(cloud, search=SUPINE if orientation == "supine" else FREE, pubis=pubis)


def estimate(cloud: Cloud, *, search: Search, pubis: Pubis = "tubercles") -> Alignment:
    """The alignment of checked bone surface points.

    Raises
    ------
    PoseError
        If no facet of the hull resembles a pelvis.
    """
    cloud = replace(cloud, points=thinned(cloud.points))
    if not search.windowed:
        cloud = without_loose_pieces(cloud)
    points = cloud.points
    found = candidates(points, search)
    if not found:
        raise PoseError(
            "no plane touches this bone at two iliac spines and a pubis; check that both hip bones "
            "are whole, in patient LPS millimetres, and alone (no table, arms or contrast); "
            'pass orientation="free" if the patient axes are unknown, or rhoa.Landmarks.'
        )
    mirror = Mirror(points)
    residuals = [mirror.residual(facet) for facet in found]
    scores = [
        facet.triangle + (residual / search.symmetry_mm) ** 2
        for facet, residual in zip(found, residuals, strict=True)
    ]
    best = int(np.argmin(scores))
    landmarks = refined(points, found[best], voxel_mm=cloud.voxel_mm, pubis=pubis)
    return judged(cloud, landmarks, found[best], mirror_mm=residuals[best], upright=search.upright)


def _require_box(box_mm: object) -> Faces | None:
    if box_mm is None:
        return None
    try:
        low, high = (require_point("box_mm", corner) for corner in box_mm)  # type: ignore[attr-defined]  # checked here
    except (TypeError, ValueError):
        raise ParameterError(
            "box_mm must be two corners (low, high), each (x, y, z) in patient LPS mm; "
            f"got {box_mm!r}."
        ) from None
    if not (low < high).all():
        raise ParameterError(f"box_mm must have low < high along x, y and z; got {box_mm!r}.")
    return Faces.of_box(low, high)

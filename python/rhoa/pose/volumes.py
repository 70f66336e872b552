"""The pose of a pelvis in a grey CT: from the femoral heads to the spines, past contrast."""

from __future__ import annotations

from dataclasses import replace
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np

from rhoa.errors import PoseError, require_choice
from rhoa.pose.alignment import Alignment, Landmarks
from rhoa.pose.bone import bone_of
from rhoa.pose.candidates import VOLUME
from rhoa.pose.clearing import readings
from rhoa.pose.cloud import Cloud, require_cloud
from rhoa.pose.coarse import coarse
from rhoa.pose.estimate import PUBES, estimate
from rhoa.pose.faces import Faces
from rhoa.pose.fits import MANY, Fit, Fitter
from rhoa.pose.heads import femoral_heads
from rhoa.pose.quality import judged
from rhoa.pose.refine import angle_deg
from rhoa.reading import as_volume
from rhoa.threads import side_by_side

if TYPE_CHECKING:
    from collections.abc import Callable

    from rhoa.pose.bone import Bone
    from rhoa.pose.heads import Heads
    from rhoa.pose.refine import Pubis
    from rhoa.reading import Scan

UNLIKENESS_LIMIT = 8.0
"""Right pelves have 2 to 7."""
FEW_READINGS, FEW_READINGS_LIMIT = 2, 6.0
"""Where no more readings than that agree, the limit is lower."""
SURE_READINGS, SURE_MARGIN, SURE_LIMIT = 8, 25.0, 16.0
"""Where so many agree and nothing else comes near, an unusual pelvis is believed."""
MOST_VOXEL_MM = 4.05
"""Positions of 4 mm slices are rounded."""
RIVAL_DEG, RIVAL_LIMIT = 3.0, 3.0
"""A pelvis that far from the best, and that little less likely, makes it ambiguous."""
AGREEING_DEG, AGREEING = 2.5, 3.0
"""Readings that near the best and hardly less likely are averaged."""
THICKNESS_LIMIT_MM = 26.0
PAIR_WEIGHT = 2.0


def from_volume(
    volume: Scan,
    *,
    pubis: Pubis = "tubercles",
    progress: Callable[[int, int, str], None] | None = None,
) -> Alignment:
    """The AP frame of the pelvis in a grey CT, found without hands.

    On a copy with voxels of about 2 mm the body is told from the table and bone from soft tissue;
    the two femoral heads are found by their roundness; the bone about them is read in several ways,
    each of which leaves out what may be contrast or stool, and the pelvis that is most like one is
    taken. Nothing of the size of the volume is copied.

    Parameters
    ----------
    volume
        A CT in Hounsfield units, or its path. It holds the pelvis from the iliac spines to below
        the pubis, in voxels of 3 mm or smaller and any storage order; any amount of trunk and
        thighs may be with it.
    pubis
        As in `from_points`.
    progress
        Called as ``progress(done, total, what)``.

    Returns
    -------
    Alignment
        With ``quality`` numbers and ``flags`` as of `from_points`; ``hip_left_x_mm`` and so on are
        femoral heads. Hard flags of its own:

        ``not_like_a_pelvis``
            ``quality["unlikeness"]`` above 8; above 6 where at most two ``quality["readings"]``
            agree, above 16 where at least eight do and nothing else comes near.
        ``ambiguous``
            Another pose explains the bone nearly as well: ``quality["rival_margin"]`` below 3.
        ``contrast_at_spine``
            What is dense at a spine is thicker than bone, ``quality["spine_thickness_mm"]`` > 26.
        ``bone_before_spine``
            Something dense stands before a spine: contrast, or the spine itself.
        ``thick_slices``
            Voxels above 4 mm.
        ``heads_not_found``
            The frame rests on the outline of the bone alone.

    Raises
    ------
    PoseError
        If there is no bone, or none that resembles a pelvis.
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
    bone = bone_of(coarse(as_volume(volume), progress=progress))
    found: list[Fit] = []
    fitter = None
    for heads in femoral_heads(bone):
        fits = _fits(Fitter(bone, heads, pubis, pair=PAIR_WEIGHT * heads.unlikeness))
        if fits and (not found or fits[0].unlikeness < found[0].unlikeness):
            fitter = heads
        found = sorted(found + fits, key=lambda fit: fit.unlikeness)
    if fitter is None:
        return _without_heads(bone, pubis)
    return _judged(bone, fitter, found)


def _fits(fitter: Fitter) -> list[Fit]:
    """Every pelvis read about one pair of heads, likeliest first."""
    clouds = readings(fitter.bone, fitter.heads)
    found = list(chain.from_iterable(side_by_side(fitter.fits, clouds.values())))
    if found:
        found += fitter.combined(found)
        found += fitter.restored(found)
    return sorted(found, key=lambda fit: fit.unlikeness)


def _judged(bone: Bone, heads: Heads, found: list[Fit]) -> Alignment:
    """The mean of the readings that agree with the best, its quality and its flags."""
    best = found[0]
    away = [angle_deg(fit.frame.matrix, best.frame.matrix) for fit in found]
    pairs = list(zip(found, away, strict=True))
    near = [
        fit
        for fit, deg in pairs
        if deg < AGREEING_DEG and fit.unlikeness < best.unlikeness + AGREEING
    ]
    rivals = [fit.unlikeness for fit, deg in pairs if deg > RIVAL_DEG]
    margin = min(rivals, default=np.inf) - best.unlikeness
    landmarks = Landmarks(*np.median([fit.found.landmarks.as_array() for fit in near], axis=0))
    shown = next((fit.found for fit in near if not fit.found.rejected), best.found)
    cloud = Cloud(
        best.points,
        faces=Faces.of_array(bone.grid.shape, bone.grid.affine),
        voxel_mm=max(bone.grid.spacing_mm),
        heads=(heads.left, heads.right),
    )
    refined = replace(shown, landmarks=landmarks)
    alignment = judged(cloud, refined, best.facet, mirror_mm=best.mirror_mm, upright=True)
    flags = set(alignment.flags)
    if best.unlikeness > _limit(len(near), margin):
        flags.add("not_like_a_pelvis")
    if cloud.voxel_mm > MOST_VOXEL_MM:
        flags.add("thick_slices")
    if margin < RIVAL_LIMIT:
        flags.add("ambiguous")
    if best.before >= MANY:
        flags.add("bone_before_spine")
    if best.thickness_mm > THICKNESS_LIMIT_MM:
        flags.add("contrast_at_spine")
    quality = {
        **alignment.quality,
        "unlikeness": best.unlikeness,
        "rival_margin": float(margin),
        "readings": float(len(near)),
        "spine_thickness_mm": best.thickness_mm,
    }
    return replace(alignment, quality=quality, flags=frozenset(flags))


def _limit(readings_near: int, margin: float) -> float:
    """Of the unlikeness, by how many readings agree and how far away the next other one is."""
    if readings_near <= FEW_READINGS:
        return FEW_READINGS_LIMIT
    if readings_near >= SURE_READINGS and margin > SURE_MARGIN:
        return SURE_LIMIT
    return UNLIKENESS_LIMIT


def _without_heads(bone: Bone, pubis: Pubis) -> Alignment:
    cloud = Cloud(
        require_cloud(bone.points),
        faces=Faces.of_array(bone.grid.shape, bone.grid.affine),
        voxel_mm=max(bone.grid.spacing_mm),
    )
    try:
        alignment = estimate(cloud, search=VOLUME, pubis=pubis)
    except PoseError:
        raise PoseError(
            "volume: neither two femoral heads nor a plane that touches two iliac spines and a "
            "pubis were found in its bone; the pelvis must be in the scan from the spines to below "
            "the pubis; pass rhoa.Landmarks, or a mask of the hip bones to rhoa.pose.from_mask."
        ) from None
    return replace(alignment, flags=alignment.flags | {"heads_not_found"})

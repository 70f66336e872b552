"""Digital scans with a known pelvis, cut and with metal in known places."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

import rhoa
from rhoa.phantom import Anatomy, Phantom, ct
from rhoa.pose import Alignment, Coverage, coverage

SIDES = ("left", "right")
SPACING = (3.0, 2.0, 2.0)


@cache
def phantom(spacing_mm: tuple[float, float, float] = SPACING) -> Phantom:
    return ct(Anatomy.random(5), spacing_mm=spacing_mm, angles=(5, 1, -2))


def measured(pelvis: Phantom) -> Alignment:
    """The true frame, with the true centres of the femoral heads."""
    frame = rhoa.pose.from_landmarks(pelvis.landmarks)
    quality = dict(frame.quality)
    for side, centre in pelvis.hip_centres.items():
        named = zip("xyz", frame.to_ap(centre).tolist(), strict=True)
        quality |= {f"hip_{side}_{axis}_mm": value for axis, value in named}
    return replace(frame, quality=quality)


def judged(hu: NDArray[Any], report: dict[str, Any] | None = None) -> Coverage:
    return coverage(rhoa.Volume(hu, phantom().volume.affine, report), measured(phantom()))


def is_caught(volume: rhoa.Volume) -> bool:
    """Whether a scan is refused with what to do, or its pose has a hard flag."""
    try:
        return bool(rhoa.pose.from_volume(volume).hard_flags)
    except rhoa.errors.PoseError as error:
        return "rhoa.Landmarks" in str(error)


def cut(volume: rhoa.Volume, axis: int, first: int, last: int) -> rhoa.Volume:
    """The part of a scan from index ``first`` up to ``last``."""
    index = [slice(None)] * 3
    index[axis] = slice(first, last)
    affine = volume.affine.copy()
    affine[:3, 3] += first * affine[:3, axis]
    return rhoa.Volume(volume.hu[tuple(index)], affine)


def with_ball(
    volume: rhoa.Volume, centre_lps: NDArray[np.float64], radius: float, hu: int
) -> rhoa.Volume:
    steps = np.stack(np.meshgrid(*map(np.arange, volume.shape), indexing="ij"), axis=-1)
    inside = np.linalg.norm(volume.to_lps(steps) - centre_lps, axis=-1) < radius
    return rhoa.Volume(np.where(inside, np.int16(hu), volume.hu), volume.affine)

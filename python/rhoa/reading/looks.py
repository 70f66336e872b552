"""What deserves a look in the voxels: metal, a cut body, a patient that moved.

`look` takes a few facts from a slice while it is in the processor's cache, so that slices may
stream past and be thrown away; `judge` judges all facts of a scan together.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from rhoa.errors import PixelDataError
from rhoa.reading.hounsfield import doubt_of, is_plausible
from rhoa.reading.motion import BODY_HU, moved_slices

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from rhoa.reading.findings import Findings

METAL_HU = 2500
"""Dense cortical bone ends at 2000."""
METAL_CM3, CUT_OFF_CM3 = 0.5, 0.2
"""Voxels above `METAL_HU`, or cut off, that one place must exceed to be metal. A pool of barium on
the wall of a bowel, which cuts values off as well, has up to 0.2 and 0.06 cm3."""
CUT_OFF_HU, CUT_OFF_EXTENDED_HU = 3071, 30710
"""Where 12 bits end, as they are and on the extended scale."""
_MOST_METAL = 0.1  # of all voxels; where more are above, the values are no Hounsfield units
CONTACT = 0.02
"""Share of the field of view's edge that a body must touch to be cut; a table touches less."""
CUT_SLICES = 0.05
"""Share of slices with a cut body that deserves a warning."""
_MOST_A_SIDE = 128  # pixels of a thumbnail
_CELLS = 32  # places a side
_FEWEST_PIXELS, _FEWEST_SLICES = 48, 8  # of a scan in which a body can be told
_MOST_SAMPLED = 40  # slices in which the field of view is looked at
_SMALLEST_CIRCLE, _LARGEST_CIRCLE = 0.45, 0.69  # of the image's sides; corners are at 0.71
_FILLED = 0.9  # share of a circle of reconstruction in which something changes
_TISSUES = ((-130, -70), (0, 120))  # HU of fat, and of all else that is soft
_ONE_VALUE = 0.5  # share of one single value that only something artificial has
_INT16 = (-(1 << 15), (1 << 15) - 1)
_SOFT = 0.5  # least share that both have of what has from -300 to 300 HU in a body


class Look(NamedTuple):
    """Facts of one slice."""

    highest: float
    bright: tuple[NDArray[np.int64], NDArray[np.int64]] | None
    """How many voxels are above `METAL_HU`, and at the end of the scale, in each of 32 x 32 places;
    None where none is."""
    thumbnail: NDArray[np.int16]
    """Every ``step``-th voxel of every ``step``-th row."""
    shape: tuple[int, int]

    @property
    def step(self) -> int:
        """How many pixels lie between those of the thumbnail."""
        return thumbnail_step(self.shape)


def look(slice_hu: NDArray[np.int16] | NDArray[np.float32], highest: float | None = None) -> Look:
    """The facts of one slice of HU; its ``highest``, where that is known."""
    rows, columns = slice_hu.shape
    step = thumbnail_step(slice_hu.shape)
    few: NDArray[Any] = slice_hu[::step, ::step]
    if few.dtype != np.int16:
        few = np.clip(few, *_INT16)
    thumbnail = few.astype(np.int16)
    if highest is None:
        highest = float(slice_hu.max())
    if not highest > METAL_HU:
        return Look(highest, None, thumbnail, (rows, columns))
    j, i = np.divmod(np.flatnonzero(slice_hu > METAL_HU), columns)
    values = slice_hu[j, i]
    places = j * _CELLS // rows * _CELLS + i * _CELLS // columns
    cut = (values == CUT_OFF_HU) | (values >= CUT_OFF_EXTENDED_HU)
    dense = np.bincount(places, minlength=_CELLS**2)
    cut_off = np.bincount(places[cut], minlength=_CELLS**2)
    return Look(highest, (dense, cut_off), thumbnail, (rows, columns))


def thumbnail_step(shape: tuple[int, ...]) -> int:
    """Pixels from one of a thumbnail to the next."""
    return -(-max(shape) // _MOST_A_SIDE)


def judge(
    looks: Sequence[Look],
    spacing_mm: tuple[float, float, float],
    findings: Findings,
    *,
    axial: bool = True,
) -> dict[str, Any]:
    """Warn of what deserves a look, and give what `Volume.report` tells of it.

    Parameters
    ----------
    looks
        Of all slices, in their order.
    spacing_mm
        Between slices, rows, columns.
    findings
        Where warnings go.
    axial
        Whether slices are across the body; else only metal and the unit can be judged.

    Returns
    -------
    dict
        ``metal_cm3``; ``plausible_hu``, whether air and soft tissue lie where Hounsfield units have
        them; ``cut_body_share`` of the slices; ``moved_slices``, indices of the slices that are
        displaced against the one before them. What cannot be told is None: the scan is small, or
        shows no body, or its values are no Hounsfield units.
    """
    thumbnails = np.stack([one.thumbnail for one in looks])
    few = _sample(thumbnails)
    report: dict[str, Any] = {
        "metal_cm3": None,
        "plausible_hu": is_plausible(few),
        "cut_body_share": None,
        "moved_slices": None,
    }
    doubt = "" if report["plausible_hu"] else doubt_of(few)
    if doubt:
        findings.warn(doubt, PixelDataError)
        return report
    metal = _metal_cm3(looks, spacing_mm)
    report["metal_cm3"] = round(metal, 3)
    if metal:
        findings.warn(
            f"metal: {metal:.1f} cm3 above {METAL_HU} HU or cut off; "
            "leave hips with implants out, and look at what the streaks reach.",
            PixelDataError,
        )
    if not axial or not is_body(thumbnails):
        return report
    share = report["cut_body_share"] = round(_cut_share(thumbnails), 3)
    if share > CUT_SLICES:
        findings.warn(
            f"the field of view cuts the body on {share:.0%} of the slices; "
            "sums along rays that leave it are too small.",
            PixelDataError,
        )
    moved = report["moved_slices"] = moved_slices(thumbnails, looks[0].step)
    if moved:
        listed = ", ".join(map(str, moved[:6])) + (" ..." if len(moved) > 6 else "")
        findings.warn(
            f"motion: slices jump sideways at index {listed}; the patient moved, or slices are "
            "wrong: look at them.",
            PixelDataError,
        )
    return report


def judge_volume(
    hu: NDArray[Any], affine: NDArray[np.float64], findings: Findings
) -> dict[str, Any]:
    """`judge` a whole volume, ``hu[k, j, i]``, across the axis that runs most nearly upright."""
    lengths = np.linalg.norm(affine[:3, :3], axis=0)
    upright = int(np.argmax(np.abs(affine[2, :3]) / lengths))
    others = [axis for axis in range(3) if axis != upright]
    dk, dj, di = (float(lengths[axis]) for axis in (upright, *others))
    return judge([look(one) for one in np.moveaxis(hu, upright, 0)], (dk, dj, di), findings)


def _metal_cm3(looks: Sequence[Look], spacing_mm: tuple[float, float, float]) -> float:
    """Volume of the places that hold metal."""
    cm3 = math.prod(spacing_mm) / 1000
    shape = (len(looks), *looks[0].shape)
    bright = {k: one.bright for k, one in enumerate(looks) if one.bright is not None}
    found = sum(int(counts.sum()) for counts, _ in bright.values()) * cm3
    if not CUT_OFF_CM3 < found < _MOST_METAL * cm3 * math.prod(shape):
        return 0.0
    from scipy.ndimage import label, sum_labels

    first, last = min(bright), max(bright)
    dense, cut_off = np.zeros((2, last - first + 1, _CELLS**2), np.int64)
    for k, counts in bright.items():
        dense[k - first], cut_off[k - first] = counts
    highest = max(one.highest for one in looks)
    if CUT_OFF_HU < highest < CUT_OFF_EXTENDED_HU:
        cut_off[:] = 0  # it is a value among others
    dense, cut_off = (counts.reshape(-1, _CELLS, _CELLS) for counts in (dense, cut_off))
    pieces, count = label(dense > 0, np.ones((3, 3, 3)))
    numbers = range(1, count + 1)
    volumes = np.array(sum_labels(dense, pieces, numbers)) * cm3
    cut_volumes = np.array(sum_labels(cut_off, pieces, numbers)) * cm3
    return float(volumes[(volumes > METAL_CM3) | (cut_volumes > CUT_OFF_CM3)].sum())


def is_body(thumbnails: NDArray[np.int16]) -> bool:
    """Whether this is a body: mostly fat and soft tissue, with noise, and enough of it."""
    if min(thumbnails.shape[1:]) < _FEWEST_PIXELS or len(thumbnails) < _FEWEST_SLICES:
        return False
    few = _sample(thumbnails)
    counts = np.bincount(few[(few > BODY_HU) & (few < -BODY_HU)].ravel() - BODY_HU)
    soft = sum(counts[low - BODY_HU : high - BODY_HU].sum() for low, high in _TISSUES)
    return bool(soft > _SOFT * counts.sum() and counts.max() < _ONE_VALUE * counts.sum())


def _sample(thumbnails: NDArray[np.int16]) -> NDArray[np.int16]:
    """Up to 40 of them, evenly."""
    count = min(len(thumbnails), _MOST_SAMPLED)
    few: NDArray[np.int16] = thumbnails[np.linspace(0, len(thumbnails) - 1, count).astype(int)]
    return few


def _cut_share(thumbnails: NDArray[np.int16]) -> float:
    """Share of slices in which the body touches the edge of the field of view."""
    few = _sample(thumbnails)
    return float(body_cuts(few, field_of_view(few)).any(axis=(1, 2)).mean())


def body_cuts(thumbnails: NDArray[np.int16], inside: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Pixels at which the edge of a field of view cuts the body, ``(k, j, i)``.

    None in slices where the body touches less than `CONTACT` of that edge.

    Parameters
    ----------
    thumbnails
        Of slices across the body.
    inside
        The `field_of_view`.
    """
    around = np.pad(inside, 1)
    edge = inside & ~(around[:-2, 1:-1] & around[2:, 1:-1] & around[1:-1, :-2] & around[1:-1, 2:])
    enough = CONTACT * np.count_nonzero(edge)
    cuts = np.zeros(thumbnails.shape, dtype=bool)
    for one, cut in zip(thumbnails, cuts, strict=True):
        body = (one > BODY_HU) & inside
        if np.count_nonzero(body & edge) <= enough:
            continue
        from scipy.ndimage import label  # takes longer to import than all the rest

        pieces, _ = label(body)
        trunk = np.argmax(np.bincount(pieces.ravel())[1:]) + 1  # no table, no arm
        touching = (pieces == trunk) & edge
        if np.count_nonzero(touching) > enough:
            cut[:] = touching
    return cuts


def field_of_view(thumbnails: NDArray[np.int16]) -> NDArray[np.bool_]:
    """Pixels inside the circle of reconstruction, where nothing ever changes outside it."""
    _, rows, columns = thumbnails.shape
    changing = thumbnails.max(axis=0) != thumbnails.min(axis=0)
    j, i = np.indices((rows, columns))
    away = np.hypot((j - (rows - 1) / 2) / rows, (i - (columns - 1) / 2) / columns)
    radius = away[changing].max(initial=0.0)
    inside: NDArray[np.bool_] = away <= radius
    if _SMALLEST_CIRCLE < radius < _LARGEST_CIRCLE and changing[inside].mean() > _FILLED:
        return inside
    return np.ones_like(inside)

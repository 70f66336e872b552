"""Quality of the voxels: Hounsfield units or not, metal, a cut body, a patient that moved.

`slice_stats` takes a few facts from a slice while it is in the processor's cache, so that slices
may stream past and be thrown away; `quality_report` evaluates the facts of a whole scan.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from rhoa.errors import PixelDataError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from rhoa.errors import WarningCollector


# Slices that are displaced against the slice before them: the patient moved, or they are wrong.

LEAST_JUMP_PX = 2.5
"""A displacement of three pixels is found with this margin for its measurement."""
BODY_HU = -300
_OUTLIER = 4.0  # robust standard deviations
_LEAST_SPREAD_PX, _LEAST_SPREAD = (
    0.2,
    2e-4,
)  # of centroids, of 1 - correlation: exact scans have none
_MOST_EXAMINED = 48  # transitions that are measured
_LOW_HU, _HIGH_HU = -300, 300  # what is registered: the outline, fat, muscle, bone
_FARTHEST = 0.15  # of the image's sides, that a patient moves between two slices
_BETTER = 0.7  # a displacement explains a difference where it leaves less than this part of it


def moved_slices(thumbnails: NDArray[np.int16], step: int) -> list[int]:
    """Indices of slices that are displaced by three pixels or more against the one before.

    Centroids of the body and correlations of neighbours name the suspects: robust outliers among
    all steps from slice to slice. A suspect is believed where registration of the two slices finds
    a displacement that its neighbours do not have, and that makes the slices alike.

    Parameters
    ----------
    thumbnails
        ``(k, j, i)``: every ``step``-th voxel of every ``step``-th row of the slices, in HU.
    """
    jumps = np.diff(_centroids(thumbnails), axis=0) * step
    unlike = 1 - _correlations(thumbnails)
    by_place = np.linalg.norm(_score(jumps, _LEAST_SPREAD_PX), axis=1)
    by_difference = _score(unlike, _LEAST_SPREAD)
    suspicion = np.maximum(by_place, by_difference)
    suspects = np.flatnonzero(suspicion > _OUTLIER)
    suspects = suspects[np.argsort(-suspicion[suspects], kind="stable")][:_MOST_EXAMINED]
    return sorted(int(k) + 1 for k in suspects if _is_jump(thumbnails, int(k), step))


def _centroids(thumbnails: NDArray[np.int16]) -> NDArray[np.float64]:
    """Centre ``(j, i)`` of the body in every slice, in pixels of the thumbnails."""
    _, rows, columns = thumbnails.shape
    body = thumbnails > BODY_HU
    in_rows = np.count_nonzero(body, axis=2)
    in_columns = body.view(np.uint8).sum(axis=1, dtype=np.uint8)  # of 128 pixels at most
    counts = np.maximum(in_rows.sum(axis=1), 1)
    return np.stack(
        [in_rows @ np.arange(rows) / counts, in_columns @ np.arange(columns) / counts], axis=1
    )


def _correlations(thumbnails: NDArray[np.int16]) -> NDArray[np.float64]:
    """Normalised cross-correlation of each slice with the next."""
    few = np.clip(thumbnails[:, ::3, ::3], _LOW_HU, _HIGH_HU).reshape(len(thumbnails), -1)
    values = few.astype(np.float32)
    values -= values.mean(axis=1, keepdims=True)
    values /= np.maximum(np.linalg.norm(values, axis=1, keepdims=True), 1e-6)
    products: NDArray[np.float64] = np.einsum("kn,kn->k", values[1:], values[:-1], dtype=np.float64)
    return products


def _score(values: NDArray[np.float64], least: float) -> NDArray[np.float64]:
    """How many robust standard deviations each lies above or below the median."""
    away = np.abs(values - np.median(values, axis=0))
    score: NDArray[np.float64] = away / np.maximum(1.4826 * np.median(away, axis=0), least)
    return score


def _is_jump(thumbnails: NDArray[np.int16], k: int, step: int) -> bool:
    """Whether slice ``k + 1`` is displaced against slice ``k``."""
    shift, better = displacement(thumbnails[k], thumbnails[k + 1])
    if not better < _BETTER:
        return False
    around = [n for n in (k - 2, k - 1, k + 1, k + 2) if 0 <= n < len(thumbnails) - 1]
    usual = np.median([displacement(thumbnails[n], thumbnails[n + 1])[0] for n in around], axis=0)
    return bool(np.linalg.norm(shift - usual) * step > LEAST_JUMP_PX)


def displacement(
    one: NDArray[np.int16], other: NDArray[np.int16]
) -> tuple[NDArray[np.float64], float]:
    """How far ``other`` is displaced, in pixels; what part of the difference is left without it."""
    first, second = (  # air is zero, as what lies beyond the border
        np.clip(image, _LOW_HU, _HIGH_HU).astype(np.float64) - _LOW_HU for image in (one, other)
    )
    spectrum = np.fft.rfft2(first).conj() * np.fft.rfft2(second)
    match = np.fft.irfft2(spectrum, first.shape)
    reach = [max(2, int(_FARTHEST * side)) for side in first.shape]
    near = np.take(match, range(-reach[0], reach[0] + 1), axis=0, mode="wrap")
    near = np.take(near, range(-reach[1], reach[1] + 1), axis=1, mode="wrap")
    j, i = np.unravel_index(np.argmax(near), near.shape)
    shift = np.array([_vertex(near[:, i], int(j)) - reach[0], _vertex(near[j], int(i)) - reach[1]])
    turns = [np.fft.fftfreq(first.shape[0]), np.fft.rfftfreq(first.shape[1])]
    phase = np.exp(2j * np.pi * (turns[0][:, None] * shift[0] + turns[1] * shift[1]))
    back = np.fft.irfft2(np.fft.rfft2(second) * phase, first.shape)
    before = float(np.square(second - first).sum())
    return shift, float(np.square(back - first).sum()) / max(before, 1e-9)


def _vertex(values: NDArray[np.float64], at: int) -> float:
    """Where a parabola through the highest value and its neighbours has its vertex."""
    if not 0 < at < len(values) - 1:
        return float(at)
    before, here, after = values[at - 1 : at + 2]
    bend = before - 2 * here + after
    return at + float(0.5 * (before - after) / bend) if bend < 0 else float(at)


# Whether values can be Hounsfield units: where air and soft tissue lie in their histogram.

AIR_HU = (-1060, -940)
SOFT_TISSUE_HU = (0, 100)
"""Muscle at 50; a liver with contrast reaches 100."""
_BIN_HU = 20
_AROUND_HU = 60  # on both sides of a range, where the histogram must be lower
_LEAST = {AIR_HU: 0.01, SOFT_TISSUE_HU: 0.03}  # least share of all voxels
_STANDS_OUT = 1.5  # a peak's highest bin against the mean of what lies around its range
_FEWEST_VOXELS = 4096
_OFFSETS = (1000, 1024)  # what is added to HU to store them without a sign
_MOST_VALUES = 1 << 17


def is_plausible(hu: NDArray[Any]) -> bool:
    """Whether air lies at -1000 HU and soft tissue between 0 and 100, as two peaks."""
    few = _few(hu)
    return few.size >= _FEWEST_VOXELS and all(_has_peak(few, span) for span in _LEAST)


def implausibility(hu: NDArray[Any]) -> str:
    """Why values declared to be HU cannot be it; empty where they can, or it is undecided."""
    few = _few(hu)
    if few.size < _FEWEST_VOXELS or _has_peak(few, AIR_HU):
        return ""
    if not any(is_plausible(few - np.int32(offset)) for offset in _OFFSETS):
        return ""
    return (
        "the values are no Hounsfield units: air lies near 0 and soft tissue near 1050, as if 1000 "
        "or 1024 were still to be subtracted; check RescaleIntercept, or export the series again."
    )


def _few(hu: NDArray[Any]) -> NDArray[Any]:
    """About a hundred thousand of the values, evenly."""
    values = hu.reshape(-1)
    return values[:: max(1, values.size // _MOST_VALUES)]


def _has_peak(hu: NDArray[Any], span: tuple[int, int]) -> bool:
    """Whether many values lie in a span of HU, and fewer beside it."""
    low, high = span
    around = np.arange(low - _AROUND_HU, high + _AROUND_HU + 1, _BIN_HU)
    counts = np.histogram(hu, around)[0]
    beside = _AROUND_HU // _BIN_HU
    inside, outside = counts[beside:-beside], np.r_[counts[:beside], counts[-beside:]]
    return bool(
        inside.sum() >= _LEAST[span] * hu.size
        and inside.max() >= outside.max()
        and inside.max() > _STANDS_OUT * outside.mean()
    )


# Quality control of voxels: metal, a body cut by the field of view, a patient that moved.

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
"""Share of slices with a cut body above which there is a warning."""
_MOST_A_SIDE = 128  # pixels of a thumbnail
_CELLS = 32  # places a side
_FEWEST_PIXELS, _FEWEST_SLICES = 48, 8  # of a scan in which a body can be recognised
_MOST_SAMPLED = 40  # slices in which the field of view is measured
_SMALLEST_CIRCLE, _LARGEST_CIRCLE = 0.45, 0.69  # of the image's sides; corners are at 0.71
_FILLED = 0.9  # share of a circle of reconstruction in which something changes
_TISSUES = ((-130, -70), (0, 120))  # HU of fat, and of all else that is soft
_ONE_VALUE = 0.5  # share of one single value that only something artificial has
_INT16 = (-(1 << 15), (1 << 15) - 1)
_SOFT = 0.5  # least share that both have of what has from -300 to 300 HU in a body


class SliceStats(NamedTuple):
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


def slice_stats(
    slice_hu: NDArray[np.int16] | NDArray[np.float32], highest: float | None = None
) -> SliceStats:
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
        return SliceStats(highest, None, thumbnail, (rows, columns))
    j, i = np.divmod(np.flatnonzero(slice_hu > METAL_HU), columns)
    values = slice_hu[j, i]
    places = j * _CELLS // rows * _CELLS + i * _CELLS // columns
    cut = (values == CUT_OFF_HU) | (values >= CUT_OFF_EXTENDED_HU)
    dense = np.bincount(places, minlength=_CELLS**2)
    cut_off = np.bincount(places[cut], minlength=_CELLS**2)
    return SliceStats(highest, (dense, cut_off), thumbnail, (rows, columns))


def thumbnail_step(shape: tuple[int, ...]) -> int:
    """Pixels from one of a thumbnail to the next."""
    return -(-max(shape) // _MOST_A_SIDE)


def quality_report(
    stats: Sequence[SliceStats],
    spacing_mm: tuple[float, float, float],
    findings: WarningCollector,
    *,
    axial: bool = True,
) -> dict[str, Any]:
    """Warn of defects in the voxels; the entries of `Volume.report` about them.

    Parameters
    ----------
    stats
        Of all slices, in their order.
    spacing_mm
        Between slices, rows, columns.
    findings
        Where warnings go.
    axial
        Whether slices are across the body; else only metal and the unit can be measured.

    Returns
    -------
    dict
        ``metal_cm3``; ``plausible_hu``, whether air and soft tissue lie where Hounsfield units have
        them; ``cut_body_share`` of the slices; ``moved_slices``, indices of the slices that are
        displaced against the one before them. What cannot be measured is None: the scan is
        small, or shows no body, or its values are no Hounsfield units.
    """
    thumbnails = np.stack([one.thumbnail for one in stats])
    few = _sample(thumbnails)
    report: dict[str, Any] = {
        "metal_cm3": None,
        "plausible_hu": is_plausible(few),
        "cut_body_share": None,
        "moved_slices": None,
    }
    reason = "" if report["plausible_hu"] else implausibility(few)
    if reason:
        findings.warn(reason, PixelDataError)
        return report
    metal = _metal_cm3(stats, spacing_mm)
    report["metal_cm3"] = round(metal, 3)
    if metal:
        findings.warn(
            f"metal: {metal:.1f} cm3 above {METAL_HU} HU or cut off; "
            "leave hips with implants out, and look at what the streaks reach.",
            PixelDataError,
        )
    if not axial or not is_body(thumbnails):
        return report
    cuts = body_cuts(few, field_of_view(few))
    share = report["cut_body_share"] = round(float(cuts.any(axis=(1, 2)).mean()), 3)
    if share > CUT_SLICES:
        findings.warn(
            f"the field of view cuts the body on {share:.0%} of the slices; "
            "sums along rays that leave it are too small.",
            PixelDataError,
        )
    moved = report["moved_slices"] = moved_slices(thumbnails, stats[0].step)
    if moved:
        listed = ", ".join(map(str, moved[:6])) + (" ..." if len(moved) > 6 else "")
        findings.warn(
            f"motion: slices jump sideways at index {listed}; the patient moved, or slices are "
            "wrong: look at them.",
            PixelDataError,
        )
    return report


def volume_quality_report(
    hu: NDArray[Any], affine: NDArray[np.float64], findings: WarningCollector
) -> dict[str, Any]:
    """`quality_report` of a volume ``hu[k, j, i]``, across the axis that is nearest to upright."""
    lengths = np.linalg.norm(affine[:3, :3], axis=0)
    upright = int(np.argmax(np.abs(affine[2, :3]) / lengths))
    others = [axis for axis in range(3) if axis != upright]
    dk, dj, di = (float(lengths[axis]) for axis in (upright, *others))
    return quality_report(
        [slice_stats(one) for one in np.moveaxis(hu, upright, 0)], (dk, dj, di), findings
    )


def _metal_cm3(stats: Sequence[SliceStats], spacing_mm: tuple[float, float, float]) -> float:
    """Volume of the places that hold metal."""
    cm3 = math.prod(spacing_mm) / 1000
    shape = (len(stats), *stats[0].shape)
    bright = {k: one.bright for k, one in enumerate(stats) if one.bright is not None}
    found = sum(int(counts.sum()) for counts, _ in bright.values()) * cm3
    if not CUT_OFF_CM3 < found < _MOST_METAL * cm3 * math.prod(shape):
        return 0.0
    from scipy.ndimage import label, sum_labels

    first, last = min(bright), max(bright)
    dense, cut_off = np.zeros((2, last - first + 1, _CELLS**2), np.int64)
    for k, counts in bright.items():
        dense[k - first], cut_off[k - first] = counts
    highest = max(one.highest for one in stats)
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

"""Quality of the voxels: Hounsfield units or not, metal, a cut body, a patient that moved.

`slice_stats` takes a few facts from a slice while it is in the processor's cache, so that slices
may stream past and be thrown away; `quality_report` evaluates the facts of a whole scan.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from rhoa.dicom.pixels import AIR_HU, DENSEST_PADDING_HU, not_at_border
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


# Whether values can be Hounsfield units: air, fat, soft tissue and bone in their histogram.

AIR_SPAN_HU, FAT_SPAN_HU, SOFT_SPAN_HU = (-1060, -940), (-150, -30), (-150, 150)
BONE_FROM_HU = 350
_BIN_HU = 10
_LEAST_AIR, _LEAST_FAT, _LEAST_SOFT, _LEAST_BONE = 0.01, 0.03, 0.03, 5e-4  # of all values
_LEAST_MUSCLE = 0.1  # of a body without air around it
_MOST_SOFT_BONE = 1.0  # of what is soft, the bone and contrast that a body has
_MOST_ELSEWHERE = 0.12  # of all values, within 60 HU: where no air is, this is air at a wrong place
_MOST_DENSE = 0.08  # of a body without air around it, above 600 HU
_LOWEST_FAT_HU, _FARTHEST_FAT_HU = -145, 200  # fat's peak, and muscle's above it: 120 to 160
_LEAN = 0.4  # of what is soft, bone where no fat is
_NOISELESS = 0.9  # share of soft tissue that has one of three values: no scanner measures that
_FEWEST_VALUES, _FEWEST_VOXELS = 1024, 1 << 14
FEWEST_JUDGED_SLICES, SMALLEST_JUDGED_MM = 5, 150.0
"""Smaller scans hold too little of a body for a verdict on their unit."""
_MOST_VALUES = 1 << 17


def can_be_judged(shape: tuple[int, ...], spacing_mm: Sequence[float]) -> bool:
    """Whether a scan is large enough for its histogram to tell the unit."""
    extents = [n * mm for n, mm in zip(shape[1:], spacing_mm[1:], strict=True)]
    large = min(extents) >= SMALLEST_JUDGED_MM and math.prod(shape) >= _FEWEST_VOXELS
    return large and shape[0] >= FEWEST_JUDGED_SLICES


def implausibility(hu: NDArray[Any]) -> str:
    """Why values cannot be Hounsfield units; empty where they can.

    A CT in HU has a peak of air near -1000, or no air at all but fat and soft tissue at their
    places; most of what is denser than lung within 150 HU of water; some bone; and noise. Padding
    of exactly -1024 HU is left out.
    """
    values = hu.reshape(-1)
    few = values[:: max(1, values.size // _MOST_VALUES)]
    few = few[few != AIR_HU]
    fault = _fault(few) if few.size >= _FEWEST_VALUES else "nearly all voxels have one value"
    if not fault:
        return ""
    low, high = np.percentile(values, (0.1, 99.9)) if values.size else (0.0, 0.0)
    offset = _offset(few) if few.size >= _FEWEST_VALUES else 0
    if offset:
        done = "still to be subtracted" if offset > 0 else "subtracted twice"
        fault = (
            f"air lies near {offset - 1000} and soft tissue near {offset + 50}, as if {abs(offset)}"
            f" were {done}; check RescaleIntercept"
        )
    return (
        f"the values are no Hounsfield units: {fault} (values from {low:.4g} to {high:.4g}). "
        "Grey values of a viewer, maps, labels and other modalities are not read as a CT: export "
        "the original series again."
    )


def _fault(values: NDArray[Any]) -> str:
    """What a histogram of HU would have, and this one has not."""
    edges = np.arange(-1200, 3101, _BIN_HU)
    counts = np.histogram(np.clip(values, edges[0], edges[-1]), edges)[0] / values.size

    def share(low: float, high: float = 1e9) -> float:
        return float(counts[(edges[:-1] >= low) & (edges[:-1] < high)].sum())

    soft = share(*SOFT_SPAN_HU)
    if soft < _LEAST_SOFT or share(150) > _MOST_SOFT_BONE * soft:
        return "little of them is within 150 of water"
    if share(BONE_FROM_HU) < _LEAST_BONE:
        return f"none is above {BONE_FROM_HU}, as bone is"
    peaks = np.convolve(counts, np.ones(6), "valid")  # within 60 HU
    inside = (edges[: len(peaks)] >= AIR_SPAN_HU[0] - 30) & (
        edges[: len(peaks)] <= AIR_SPAN_HU[1] - 30
    )
    below_fat = edges[: len(peaks)] < -300
    if not (share(*AIR_SPAN_HU) >= _LEAST_AIR and peaks[inside].max() >= peaks[below_fat].max()):
        if peaks[below_fat].max() > _MOST_ELSEWHERE or share(-1200, -1060) > _MOST_ELSEWHERE:
            return "air lies elsewhere than near -1000"
        has_fat = share(*FAT_SPAN_HU) > max(_LEAST_FAT, share(-270, -150))
        lean = (  # a field within muscle and bone
            -30 <= edges[int(peaks.argmax())] <= 50
            and share(150) < _LEAN * soft
            and min(share(-1200, -30), share(400)) > _LEAST_BONE
        )
        if not (has_fat or lean) or share(-30, 150) < _LEAST_MUSCLE or share(600) > _MOST_DENSE:
            return "there is neither air near -1000, nor fat near -100 around soft tissue"
    middles = edges[: len(peaks)] + 30
    in_fat = np.flatnonzero((middles >= -300) & (middles <= -30))
    in_muscle = np.flatnonzero((middles >= 0) & (middles <= 250))
    fat, muscle = in_fat[peaks[in_fat].argmax()], in_muscle[peaks[in_muscle].argmax()]
    is_peak = peaks[fat] > max(_LEAST_FAT, 1.2 * peaks[fat - 8], 1.2 * peaks[fat + 8])
    apart = middles[muscle] - middles[fat]
    if is_peak and middles[fat] <= _LOWEST_FAT_HU and apart >= _FARTHEST_FAT_HU:
        return (
            f"fat lies near {middles[fat]} and muscle {apart} above it, as if a slope had been "
            "applied twice; check RescaleSlope"
        )
    tissue = values[(values >= SOFT_SPAN_HU[0]) & (values < SOFT_SPAN_HU[1])]
    if np.sort(np.unique(tissue, return_counts=True)[1])[-3:].sum() > _NOISELESS * tissue.size:
        return "soft tissue has no noise"
    return ""


def _offset(values: NDArray[Any]) -> int:
    """What must be subtracted to give HU, to the next 10, or a known intercept; 0 for nothing."""
    counts, edges = np.histogram(values, 512)
    lowest = edges[int(np.argmax(np.cumsum(counts) > _LEAST_AIR * values.size))]
    near = values[values < lowest + 100]
    middle = float(np.median(near)) + 1000 if near.size else 0.0
    usual = (1000, 1024, 2048, 4096, 8192, 32768, -1000, -1024)
    for known in (min(usual, key=lambda one: abs(one - middle)), round(middle, -1), *usual):
        if known and not _fault(values.astype(np.float64) - known):
            return int(known)
    return 0


# A background that resampling or masking filled with one value.

_CORNER = 5  # pixels of a thumbnail on both sides of a corner, with one value where it is filled
_LEAST_FILLED = 0.005  # of all voxels


def fill_of(thumbnails: NDArray[Any]) -> float | None:
    """The one value, denser than air, that fills the corners of slices ``(k, j, i)``, if any."""
    corners = []
    for flipped in (slice(None), slice(None, None, -1)):
        for turned in (slice(None), slice(None, None, -1)):
            corner = thumbnails[:, flipped, turned][:, :_CORNER, :_CORNER]
            near = np.add(*np.indices(corner.shape[1:])) < _CORNER
            values = corner[:, near]
            corners.append(values[(values == values[:, :1]).all(axis=1), 0])
    found = np.concatenate(corners)
    found = found[found > DENSEST_PADDING_HU]
    if not found.size:
        return None
    values, counts = np.unique(found, return_counts=True)
    fill = float(values[counts.argmax()])
    return fill if np.mean(thumbnails == fill) > _LEAST_FILLED else None


def background_of(slice_hu: NDArray[Any], fill: float) -> NDArray[np.bool_]:
    """Where one slice has the value ``fill`` from its border inward."""
    filled: NDArray[np.bool_] = slice_hu == fill
    if filled.any():
        inside = not_at_border(filled)
        filled = filled if inside is None else filled & ~inside
    return filled


def clear_background(slices: NDArray[Any], fill: float) -> int:
    """Make a filled background air, in place; how many voxels it has."""
    count = 0
    for one in slices:
        filled = background_of(one, fill)
        one[filled] = AIR_HU
        count += int(np.count_nonzero(filled))
    return count


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
        ``filled_hu``, the value of a background that is not air; ``metal_cm3``;
        ``plausible_hu``, whether air, soft tissue and bone lie where Hounsfield units have them
        (None where a scan is too small to judge); ``cut_body_share`` of the slices;
        ``moved_slices``, indices of the slices that are displaced against the one before them.
        What cannot be measured is None: the scan is
        small, or shows no body, or its values are no Hounsfield units.
    """
    thumbnails = np.stack([one.thumbnail for one in stats])
    judged = can_be_judged((len(stats), *stats[0].shape), spacing_mm)
    fill = fill_of(thumbnails) if judged else None
    few = _sample(thumbnails)
    reason = implausibility(few if fill is None else few[few != fill]) if judged else ""
    report: dict[str, Any] = {
        "filled_hu": None if reason else fill,
        "metal_cm3": None,
        "plausible_hu": not reason if judged else None,
        "cut_body_share": None,
        "moved_slices": None,
    }
    if reason:
        findings.warn(reason, PixelDataError)
        return report
    if fill is not None:
        findings.warn(
            f"the background is filled with {fill:g} HU, a value that tissue has, as by resampling "
            "or masking; it was set to air and counts as outside the scan.",
            PixelDataError,
        )
        clear_background(thumbnails, fill)
        few = _sample(thumbnails)
    metal = _metal_cm3(stats, spacing_mm)
    report["metal_cm3"] = round(metal, 3)
    if metal:
        findings.warn(
            f"metal: {metal:.1f} cm3 above {METAL_HU} HU or cut off; "
            "leave hips with implants out, and review what the streaks reach.",
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
            "wrong: review them.",
            PixelDataError,
        )
    return report


def warn_of_wrapped(voxels: int, findings: WarningCollector) -> None:
    """Warn of metal whose values wrapped round."""
    if voxels:
        findings.warn(
            f"{voxels} voxels inside the body have values that nothing has, as metal whose value "
            "wrapped round 16 bits; they were set to 3071 HU: leave hips with implants out.",
            PixelDataError,
        )


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

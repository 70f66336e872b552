"""Axial slices that are not as they should be: blank, partial, repeated, displaced, streaked."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from rhoa.pose.verdict import SliceFinding
from rhoa.reading.motion import BODY_HU, LEAST_JUMP_PX, displacement, moved_slices
from rhoa.threads import side_by_side

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from rhoa.pose.thumbnails import Thumbnails

TISSUE_HU = -150
BLANK = 0.01
"""Least share of tissue, of the field of view."""
PARTIAL = 0.05
"""Share of the body of the nearest whole slice that one single value has replaced."""
PARTIAL_BEFORE = 0.02
"""Most that had this value there; more is a tissue, of a scan without noise."""
PARTIAL_REACH_MM = 40.0
"""How far away that slice may be; a body changes by less than `PARTIAL` from slice to slice."""
RANGE_HU = (-300, 300)
"""What slices are compared by: the outline, fat, muscle, the outline of bone."""
UNLIKE_MAD = 6.0
LEAST_SPREAD = 2e-4
"""Of 1 - correlation; exact scans have none."""
ALIKE = 0.5
"""Both neighbours of a slice that is wrong differ by less than this part of what they differ from
it."""
STREAKED = 1.5
"""Noise against that of the slices around: 1.13 at most on two real scans, 1.41 of a slice among
others that were interpolated halfway; streaks of 80 HU have 1.8 to 4.4."""
STREAKED_MAD = 6.0
AROUND = 15
"""Slices whose median is what is usual."""
SOFT_HU = 200
"""Beyond this, to both sides, edges outweigh noise."""
FEWEST_SOFT = 200
LEAST_NOISE_HU = 3.0
_OFFSET = 1 << 15


class Flaws(NamedTuple):
    """What was found, in the order of the slices; where a partial slice lacks the body."""

    findings: tuple[SliceFinding, ...]
    lost: Mapping[int, NDArray[np.bool_]]


def find_flaws(thumbnails: Thumbnails) -> Flaws:
    """All slices of a scan that are not as they should be."""
    slices = thumbnails.slices
    tissue = np.count_nonzero((slices > TISSUE_HU) & thumbnails.field, axis=(1, 2))
    share = np.asarray(tissue) / max(int(np.count_nonzero(thumbnails.field)), 1)
    blank = share < BLANK
    lost = _lost_parts(slices, blank, thumbnails.grid.spacing_mm[0])
    found = [
        SliceFinding(int(k), "blank", f"{share[k]:.1%} of it is tissue")
        for k in np.flatnonzero(blank)
    ]
    for k, mask in lost.items():
        missing = mask.mean() / (mask | (slices[k] > BODY_HU)).mean()
        found.append(SliceFinding(k, "partial", f"{missing:.0%} of the body is one value"))
    good = np.array([k for k in range(len(slices)) if not blank[k] and k not in lost], np.intp)
    found += (
        SliceFinding(k, "duplicated", f"equal to slice {k - 1}")
        for k in _repeated(thumbnails, good)
    )
    if thumbnails.is_body and len(good) > 2:
        few = slices if len(good) == len(slices) else slices[good]
        found += _displaced(few, good, thumbnails) + _streaked(few, good)
        told = {one.index for one in found if one.reason in {"shifted", "streaked"}}
        found += (one for one in _unlike(few, good) if one.index not in told)
    return Flaws(tuple(sorted(found, key=lambda one: (one.index, one.reason))), lost)


def _lost_parts(
    slices: NDArray[np.int16], blank: NDArray[np.bool_], spacing_mm: float
) -> dict[int, NDArray[np.bool_]]:
    """Where slices lack the body that the nearest whole slice has, looking from both ends."""
    lost: dict[int, NDArray[np.bool_]] = {}
    for upward in (range(len(slices)), range(len(slices) - 1, -1, -1)):
        whole = None
        for k in upward:
            if blank[k]:
                continue
            if whole is not None and abs(k - whole) * spacing_mm <= PARTIAL_REACH_MM:
                mask = _replaced(slices[whole], slices[k])
                if mask is not None:
                    lost[k] = lost.get(k, mask) | mask
                    continue
            whole = k
    return dict(sorted(lost.items()))


def _replaced(whole: NDArray[np.int16], here: NDArray[np.int16]) -> NDArray[np.bool_] | None:
    """Where one single value stands for the body of another slice; None where little does."""
    body = whole > BODY_HU
    values = here[body]
    if not values.size:
        return None
    counts = np.bincount(values.astype(np.int32) + _OFFSET)
    fill = int(counts.argmax()) - _OFFSET
    before, now = np.count_nonzero(whole[body] == fill), counts.max()
    if before > PARTIAL_BEFORE * values.size or now - before <= PARTIAL * values.size:
        return None
    from scipy.ndimage import binary_opening

    lost: NDArray[np.bool_] = binary_opening(body & (here == fill), np.ones((2, 2)))
    return lost  # without single voxels that have the value by chance


def _repeated(thumbnails: Thumbnails, good: NDArray[np.intp]) -> Iterator[int]:
    """Slices that equal the one before them, to the last voxel."""
    alike = (thumbnails.slices[1:] == thumbnails.slices[:-1]).all(axis=(1, 2))
    floating = thumbnails.voxels.dtype.kind == "f"
    for k in np.intersect1d(np.flatnonzero(alike) + 1, good):
        if np.array_equal(thumbnails.voxels[k], thumbnails.voxels[k - 1], equal_nan=floating):
            yield int(k)


def _displaced(
    slices: NDArray[np.int16], index: NDArray[np.intp], thumbnails: Thumbnails
) -> list[SliceFinding]:
    """Slices that lie beside the others; of a jump that is not undone, the first one only."""
    jumps = moved_slices(slices, thumbnails.step)
    moves = [displacement(slices[k - 1], slices[k])[0] for k in jumps]
    pixel_mm = np.array(thumbnails.grid.spacing_mm[1:])
    found, n = [], 0
    while n < len(jumps):
        run = [jumps[n]]
        if n + 1 < len(jumps) and _undone(moves[n] + moves[n + 1], thumbnails.step):
            between = range(jumps[n], jumps[n + 1])
            run = list(between) if 2 * len(between) < len(slices) else jumps[n : n + 2]
            n += 1
        away = float(np.linalg.norm(moves[n] * pixel_mm))
        note = f"{away:.0f} mm beside slice {index[run[0] - 1]}"
        found += [SliceFinding(int(index[k]), "shifted", note) for k in run]
        n += 1
    return found


def _undone(left_px: NDArray[np.float64], step: int) -> bool:
    return bool(np.linalg.norm(left_px) * step < LEAST_JUMP_PX)


def _unlike(slices: NDArray[np.int16], index: NDArray[np.intp]) -> list[SliceFinding]:
    """Slices that differ from both neighbours, which are alike: of another place or patient."""
    values = _smooth(slices)
    unlike, across = 1 - _correlations(values, 1), 1 - _correlations(values, 2)
    spread = np.median(np.abs(unlike - np.median(unlike)))
    limit = np.median(unlike) + UNLIKE_MAD * max(float(spread), LEAST_SPREAD)
    least = np.minimum(unlike[:-1], unlike[1:])
    wrong = np.flatnonzero((least > limit) & (across < ALIKE * least)) + 1
    return [
        SliceFinding(
            int(index[k]),
            "unlike",
            f"correlation {1 - least[k - 1]:.3f} with its neighbours, "
            f"of which one has {1 - across[k - 1]:.3f} with the other",
        )
        for k in wrong
    ]


def _smooth(slices: NDArray[np.int16]) -> NDArray[np.float32]:
    """Means of two by two pixels, as rows of unit length without their mean."""
    rows, columns = (length // 2 * 2 for length in slices.shape[1:])
    clipped = np.clip(slices[:, :rows, :columns], *RANGE_HU)
    pairs = clipped[:, ::2] + clipped[:, 1::2]
    means = (pairs[:, :, ::2] + pairs[:, :, 1::2]).reshape(len(slices), -1).astype(np.float32)
    means -= means.mean(axis=1, keepdims=True)
    means /= np.maximum(np.linalg.norm(means, axis=1, keepdims=True), 1e-6)
    return means


def _correlations(values: NDArray[np.float32], apart: int) -> NDArray[np.float64]:
    """Of each slice with the one ``apart`` slices on."""
    products: NDArray[np.float64] = np.einsum(
        "kn,kn->k", values[apart:], values[:-apart], dtype=np.float64
    )
    return products


def _streaked(slices: NDArray[np.int16], index: NDArray[np.intp]) -> list[SliceFinding]:
    """Slices that change more from row to row, or from column to column, than those around."""
    from scipy.ndimage import median_filter

    noise = np.array(list(side_by_side(_noise, slices)))
    usual = median_filter(noise, (min(AROUND, len(noise)), 1), mode="nearest")
    ratio = noise / usual
    above = np.log(ratio)
    spread = np.median(np.abs(above), axis=0)
    streaked = ((ratio > STREAKED) & (above > STREAKED_MAD * spread)).any(axis=1)
    return [
        SliceFinding(int(index[k]), "streaked", f"noise {ratio[k].max():.1f} times the usual")
        for k in np.flatnonzero(streaked)
    ]


def _noise(one: NDArray[np.int16]) -> tuple[float, float]:
    """Median of the second differences across rows and across columns, in soft tissue; HU."""
    soft = (one > -SOFT_HU) & (one < SOFT_HU)
    across, along = (_second_difference(*turned) for turned in ((one, soft), (one.T, soft.T)))
    return across, along


def _second_difference(one: NDArray[np.int16], soft: NDArray[np.bool_]) -> float:
    inner = soft[1:-1] & soft[2:] & soft[:-2]
    if np.count_nonzero(inner) < FEWEST_SOFT:
        return LEAST_NOISE_HU
    before, here, after = (one[rows][inner].astype(np.int32) for rows in _ROWS)
    return max(float(np.median(np.abs(2 * here - before - after))) / 2, LEAST_NOISE_HU)


_ROWS: Sequence[slice] = (slice(None, -2), slice(1, -1), slice(2, None))

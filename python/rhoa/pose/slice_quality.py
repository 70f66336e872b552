"""Axial slices that are blank, partial, repeated, displaced or streaked, and metal in a scan."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from rhoa.parallel import side_by_side
from rhoa.reading.quality import (
    BODY_HU,
    LEAST_JUMP_PX,
    METAL_CM3,
    METAL_HU,
    background_of,
    can_be_judged,
    displacement,
    field_of_view,
    fill_of,
    implausibility,
    is_body,
    moved_slices,
    thumbnail_step,
)
from rhoa.volume import Volume

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray


# Metal in a scan: where voxels are brighter than any bone.

CELL_MM = 5.0
"""Bright voxels in touching cells of this size are one piece."""
MOST_METAL = 0.1
"""Of all voxels; where more are brighter, the values are no Hounsfield units."""
LEAST_END_HU = 1200
"""Values that end below this are no CT of bone; between here and metal, the end hides it."""
PLATEAU_CM3 = 0.5
"""At the highest value: no bone has as much of one value, unless the scale ends there."""


@dataclass(frozen=True, slots=True, eq=False)
class BrightVoxels:
    """All voxels above 2500 HU."""

    lps_mm: NDArray[np.float64]
    """Their centres, ``(n, 3)``."""
    voxel_cm3: float
    highest_hu: float
    too_many: bool
    """Whether there are more than metal can be; then none of them is listed."""

    @property
    def cm3(self) -> float:
        """Volume of all of them."""
        return len(self.lps_mm) * self.voxel_cm3


def bright_voxels(volume: Volume) -> BrightVoxels:
    """The voxels above 2500 HU.

    One pass in the order of memory, however the axes are stored.
    """
    order = sorted(range(3), key=lambda axis: -abs(volume.hu.strides[axis]))
    found: list[NDArray[np.intp]] = []
    count, most, highest = 0, MOST_METAL * volume.hu.size, -np.inf
    for n, slab in enumerate(volume.hu.transpose(order)):
        top = slab.max()
        highest = max(highest, float(top))
        if top <= METAL_HU:
            continue
        places = np.argwhere(slab > METAL_HU)
        count += len(places)
        if count > most:
            found = []
            break
        found.append(np.column_stack([np.full(len(places), n), places]))
    index = np.concatenate(found) if found else np.empty((0, 3), np.intp)
    lps = volume.to_lps(index[:, np.argsort(order)])
    voxel_cm3 = abs(float(np.linalg.det(volume.affine[:3, :3]))) / 1000
    return BrightVoxels(lps, voxel_cm3, highest, count > most)


def metal_pieces(bright: BrightVoxels) -> list[tuple[float, NDArray[np.float64]]]:
    """Volume in cm3 and centre in LPS mm of each piece of at least 0.5 cm3, largest first."""
    if bright.cm3 <= METAL_CM3:
        return []
    from scipy.ndimage import label

    low = bright.lps_mm.min(axis=0)
    cells = tuple(((bright.lps_mm - low) / CELL_MM).astype(np.intp).T)
    occupied = np.zeros([int(axis.max()) + 1 for axis in cells], dtype=bool)
    occupied[cells] = True
    labels, count = label(occupied, np.ones((3, 3, 3)))
    piece = labels[cells]
    pieces = []
    for number in range(1, count + 1):
        points = bright.lps_mm[piece == number]
        if len(points) * bright.voxel_cm3 > METAL_CM3:
            pieces.append((len(points) * bright.voxel_cm3, points.mean(axis=0)))
    return sorted(pieces, key=lambda one: -one[0])


def ends_below_metal(slices: NDArray[np.int16], highest_hu: float, voxel_cm3: float) -> bool:
    """Whether values are cut off where bone still is, so that metal cannot be detected."""
    if not LEAST_END_HU <= highest_hu <= METAL_HU:
        return False
    return bool(np.count_nonzero(slices >= int(highest_hu)) * voxel_cm3 > PLATEAU_CM3)


# A downsampled scan: every axial slice, some of its rows and columns.

VOID_HU = -1024
"""What a voxel without a number counts as."""
_INT16 = (-(1 << 15), (1 << 15) - 1)
_MOST_SAMPLED = 40  # slices in which the field of view is looked for


@dataclass(frozen=True, eq=False)
class DownsampledScan:
    """Axial slices ``[k, j, i]``, ``k`` along the array axis that runs most nearly upright.

    ``k`` counts the scan's own slices, as they are stored; rows run along the front-back axis and
    columns along the left-right axis, every ``step``-th of them, as they are stored, too.
    """

    grid: Volume
    """HU, int16, and where they lie in the patient."""
    step: int
    slice_axis: int
    voxels: NDArray[Any]
    """The scan itself, its axes in the same order."""
    unknown: NDArray[np.bool_] | None
    """Voxels of the grid without a number; None where each has one."""

    @classmethod
    def of(cls, volume: Volume) -> DownsampledScan:
        """The scan with at most 128 rows and columns."""
        axes = volume.axes
        order = (axes.superior, axes.posterior, axes.left)
        voxels = volume.hu.transpose(order)
        step = thumbnail_step(voxels.shape[1:])
        few, unknown = voxels[:, ::step, ::step], None
        if few.dtype.kind == "f":
            unknown = ~np.isfinite(few)
            few = np.where(unknown, VOID_HU, few)
            unknown = unknown if unknown.any() else None
        if few.dtype != np.int16:
            few = np.clip(few.astype(np.float32), *_INT16)
        spacing = [volume.spacing_mm[axis] for axis in order]
        # The reader made a filled background air and reports what it was filled with.
        fill = None if (volume.report or {}).get("filled_hu") is None else float(VOID_HU)
        if fill is None and can_be_judged(voxels.shape, spacing):
            fill = fill_of(few)
            if fill is not None and implausibility(few[few != fill]):
                fill = None
        if fill is not None:
            filled = np.stack([background_of(one, fill) for one in few])
            few = np.where(filled, VOID_HU, few)
            unknown = filled if unknown is None else unknown | filled
        affine = volume.affine.copy()
        affine[:3, :3] = volume.affine[:3, list(order)] * (1, step, step)
        grid = Volume(few.astype(np.int16), affine)
        return cls(grid, step, axes.superior, voxels, unknown)

    @property
    def slices(self) -> NDArray[np.int16]:
        """HU of the grid."""
        return self.grid.hu

    @cached_property
    def is_doubtful(self) -> bool:
        """Whether the values cannot be Hounsfield units."""
        judged = can_be_judged(self.slices.shape, self.grid.spacing_mm)
        return judged and bool(implausibility(self.slices))

    @cached_property
    def is_body(self) -> bool:
        """Whether this is large enough for a body, and is one."""
        return not self.is_doubtful and is_body(self.slices)

    @cached_property
    def field(self) -> NDArray[np.bool_]:
        """Rows and columns inside the circle of reconstruction, or all of them."""
        count = len(self.slices)
        few = np.linspace(0, count - 1, min(count, _MOST_SAMPLED)).astype(int)
        return field_of_view(self.slices[few])

    def places(self, lps_mm: NDArray[np.float64]) -> tuple[NDArray[np.intp], ...]:
        """Indices ``k, j, i`` of the grid nearest to points ``(n, 3)``."""
        index = np.rint(self.grid.to_index(lps_mm))
        return tuple(np.clip(index, 0, np.array(self.slices.shape) - 1).astype(np.intp).T)


Reason = Literal["blank", "partial", "duplicated", "shifted", "unlike", "streaked"]
REASONS: tuple[Reason, ...] = ("blank", "partial", "duplicated", "shifted", "unlike", "streaked")


@dataclass(frozen=True, slots=True)
class SliceFinding:
    """An axial slice that is not as it should be."""

    index: int
    """Along the array axis that runs most nearly upright, `Coverage.slice_axis`."""
    reason: Reason
    note: str
    """What was measured."""


@dataclass(frozen=True, slots=True)
class Metal:
    """A piece of metal: voxels above 2500 HU in one place."""

    cm3: float
    centre_lps_mm: tuple[float, float, float]
    side: Literal["left", "right", "middle"]
    """Of the AP frame; without an alignment, of the body's middle."""


# Axial slices that are not as they should be: blank, partial, repeated, displaced, streaked.

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


class SliceDefects(NamedTuple):
    """What was found, in the order of the slices; where a partial slice lacks the body."""

    findings: tuple[SliceFinding, ...]
    lost: Mapping[int, NDArray[np.bool_]]


def find_slice_defects(scan: DownsampledScan) -> SliceDefects:
    """All slices of a scan that are not as they should be."""
    slices = scan.slices
    tissue = np.count_nonzero((slices > TISSUE_HU) & scan.field, axis=(1, 2))
    share = np.asarray(tissue) / max(int(np.count_nonzero(scan.field)), 1)
    blank = share < BLANK
    lost = _lost_parts(slices, blank, scan.grid.spacing_mm[0])
    found = [
        SliceFinding(int(k), "blank", f"{share[k]:.1%} of it is tissue")
        for k in np.flatnonzero(blank)
    ]
    for k, mask in lost.items():
        missing = mask.mean() / (mask | (slices[k] > BODY_HU)).mean()
        found.append(SliceFinding(k, "partial", f"{missing:.0%} of the body is one value"))
    good = np.array([k for k in range(len(slices)) if not blank[k] and k not in lost], np.intp)
    alike = (slices[1:] == slices[:-1]).all(axis=(1, 2))
    floating = scan.voxels.dtype.kind == "f"
    found += (
        SliceFinding(int(k), "duplicated", f"equal to slice {k - 1}")
        for k in np.intersect1d(np.flatnonzero(alike) + 1, good)
        if np.array_equal(scan.voxels[k], scan.voxels[k - 1], equal_nan=floating)
    )
    if scan.is_body and len(good) > 2:
        few = slices if len(good) == len(slices) else slices[good]
        found += _displaced(few, good, scan) + _streaked(few, good)
        known = {one.index for one in found if one.reason in {"shifted", "streaked"}}
        found += (one for one in _unlike(few, good) if one.index not in known)
    return SliceDefects(tuple(sorted(found, key=lambda one: (one.index, one.reason))), lost)


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


def _displaced(
    slices: NDArray[np.int16], index: NDArray[np.intp], scan: DownsampledScan
) -> list[SliceFinding]:
    """Slices that lie beside the others; of a jump that is not undone, the first one only."""
    jumps = moved_slices(slices, scan.step)
    moves = [displacement(slices[k - 1], slices[k])[0] for k in jumps]
    pixel_mm = np.array(scan.grid.spacing_mm[1:])
    found, n = [], 0
    while n < len(jumps):
        run = [jumps[n]]
        is_last = n + 1 == len(jumps)
        if not is_last and np.linalg.norm(moves[n] + moves[n + 1]) * scan.step < LEAST_JUMP_PX:
            between = range(jumps[n], jumps[n + 1])
            run = list(between) if 2 * len(between) < len(slices) else jumps[n : n + 2]
            n += 1
        away = float(np.linalg.norm(moves[n] * pixel_mm))
        note = f"{away:.0f} mm beside slice {index[run[0] - 1]}"
        found += [SliceFinding(int(index[k]), "shifted", note) for k in run]
        n += 1
    return found


def _unlike(slices: NDArray[np.int16], index: NDArray[np.intp]) -> list[SliceFinding]:
    """Slices that differ from both neighbours, which are alike: of another place or patient."""
    # Means of two by two pixels, as rows of unit length without their mean.
    rows, columns = (length // 2 * 2 for length in slices.shape[1:])
    clipped = np.clip(slices[:, :rows, :columns], *RANGE_HU)
    pairs = clipped[:, ::2] + clipped[:, 1::2]
    values = (pairs[:, :, ::2] + pairs[:, :, 1::2]).reshape(len(slices), -1).astype(np.float32)
    values -= values.mean(axis=1, keepdims=True)
    values /= np.maximum(np.linalg.norm(values, axis=1, keepdims=True), 1e-6)
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

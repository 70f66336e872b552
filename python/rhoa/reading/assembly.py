"""From decoded slices to the volume: blank slices left out, and repairs that move values made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from rhoa.errors import GeometryError, PixelDataError
from rhoa.reading.decoding import require_budget
from rhoa.reading.resampling import resample
from rhoa.reading.sorting import stack_of

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from numpy.typing import NDArray

    from rhoa.reading.findings import Findings
    from rhoa.reading.sorting import Sorted

AIR_BELOW_HU = -900
"""The middle of a slice through a body is denser somewhere."""
STILL_AIR_HU = 5.0
"""Standard deviation below which air was never scanned: noise is larger."""
FEWEST_PIXELS = 64
"""Those of a smaller slice may be equal by chance."""
_EVERY = 4  # pixel is looked at first
_MOST_NAMED = 4


@dataclass(frozen=True, slots=True, eq=False)
class Assembled:
    """The voxels of a volume, and what was put right."""

    hu: NDArray[Any]
    affine: NDArray[np.float64]
    blank_dropped: int
    repairs: tuple[dict[str, Any], ...]


def assemble(
    hu: NDArray[Any],
    ordered: Sorted,
    repairs: Collection[str],
    *,
    max_bytes: int,
    findings: Findings,
) -> Assembled:
    """The volume of decoded slices.

    Blank slices at an end are left out. A blank slice inside the stack is a missing one: an error,
    or interpolated by the repair "gaps".

    Raises
    ------
    GeometryError
        If blank slices interrupt the stack, or leave fewer than two slices.
    """
    kept = _kept(hu, ordered, repairs)
    stacked = ordered.stack
    inside = range(0)
    if len(kept) < len(hu):
        stacked = stack_of([ordered.headers[n] for n in kept], ordered.label, repairs)
        inside = range(kept[0], kept[-1] + 1)
    if stacked.doubt:
        findings.warn(stacked.doubt, GeometryError)
    ends = len(hu) - len(inside) if inside else 0
    if stacked.layout is None:
        return Assembled(hu[kept[0] : kept[-1] + 1], stacked.affine, ends, ())
    require_budget(stacked.layout.shape, hu.dtype, max_bytes)
    made = resample(hu, stacked.layout, kept)
    blank = [ordered.headers[n].name for n in inside if n not in kept]
    records = [
        {**record, "blank_files": blank} if blank and record["name"] == "gaps" else record
        for record in stacked.repairs
    ]
    return Assembled(made, stacked.affine, ends, tuple(records))


def _kept(hu: NDArray[Any], ordered: Sorted, repairs: Collection[str]) -> list[int]:
    """Indices of the slices that are not blank."""
    headers = ordered.headers
    blank, empty = blank_slices(hu, [header.format.intercept for header in headers])
    if not empty.any():
        return list(range(len(hu)))
    seen = np.flatnonzero(~blank)
    if len(seen) < 2:
        raise PixelDataError(
            f"{headers[0].name}: {int(blank.sum())} of {len(hu)} slices are blank (all pixels "
            "equal), too many for a volume; export the original series."
        )
    solid = np.flatnonzero(~empty)
    inside = [n for n in np.flatnonzero(empty).tolist() if len(solid) and solid[0] < n < solid[-1]]
    if inside and "gaps" not in repairs:
        single = not (np.diff(inside) == 1).any()
        remedy = ', or pass repair="gaps" to interpolate it' if single else ""
        names = ", ".join(headers[n].name for n in inside[:_MOST_NAMED])
        raise GeometryError(
            f"{names}: {len(inside)} blank slices inside the stack, which count as missing; "
            f"export the original series{remedy}."
        )
    return [n for n in range(int(seen[0]), int(seen[-1]) + 1) if n not in inside]


def blank_slices(
    hu: NDArray[Any], zeros_hu: Sequence[float | None]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which slices are blank; which are that, or hold nothing but still air in their middle.

    Blank are slices of equal pixels: air, or stored zeros, or anything where most slices differ.

    Parameters
    ----------
    zeros_hu
        What a stored zero is in every slice.
    """
    equal, void, still = blankness(hu, zeros_hu)
    blank = equal if 2 * equal.sum() < len(hu) else void
    return blank, blank | still


def blankness(
    hu: NDArray[Any], zeros_hu: Sequence[float | None]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_], NDArray[np.bool_]]:
    """Which slices have equal pixels; which of them of air or zeros; which show still air."""
    _, rows, columns = hu.shape
    equal, void, still = (np.zeros(len(hu), bool) for _ in range(3))
    if rows * columns < FEWEST_PIXELS:
        return equal, void, still
    middle = hu[:, rows // 4 : rows - rows // 4, columns // 4 : columns - columns // 4]
    some = middle[:, ::_EVERY, ::_EVERY]
    low, high = some.min(axis=(1, 2)), some.max(axis=(1, 2))
    for k in np.flatnonzero((low == high) | (high <= AIR_BELOW_HU)).tolist():
        equal[k] = hu[k].min() == hu[k].max()
        void[k] = equal[k] and (low[k] <= AIR_BELOW_HU or low[k] == zeros_hu[k])
        still[k] = middle[k].max() <= AIR_BELOW_HU and middle[k].std() < STILL_AIR_HU
    return equal, void, still

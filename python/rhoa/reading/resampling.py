"""From scanned slices to the slices of the volume, where a repair moves them; linear weights."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from rhoa.reading.stored import AIR_HU

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from rhoa.reading.stacking import Layout


def resample(hu: NDArray[Any], layout: Layout, scanned: Sequence[int]) -> NDArray[Any]:
    """The volume of a layout, in the type of ``hu``.

    Every voxel is made in one interpolation, of up to two slices, rows and columns; where one of
    those was not scanned it is air. Padding is air in ``hu`` already.

    Parameters
    ----------
    hu
        Decoded slices.
    scanned
        Index in ``hu`` of every slice that the layout speaks of.
    """
    made: NDArray[Any] = np.full(layout.shape, AIR_HU, hu.dtype)
    for k, (below, share) in enumerate(zip(layout.below, layout.share, strict=True)):
        parts = [(n, weight) for n, weight in ((below, 1 - share), (below + 1, share)) if weight]
        placed = [(_placed(hu[scanned[n]], layout.shifts[n]), weight) for n, weight in parts]
        top, left = (max(place[axis] for (_, place), _ in placed) for axis in (0, 1))
        bottom = max(top, min(place[0] + values.shape[0] for (values, place), _ in placed))
        right = max(left, min(place[1] + values.shape[1] for (values, place), _ in placed))
        cut = [
            (values[top - place[0] : bottom - place[0], left - place[1] : right - place[1]], weight)
            for (values, place), weight in placed
        ]
        mixed = cut[0][0] if len(cut) == 1 else _mixed(*cut[0], *cut[1])
        if made.dtype.kind == "i" and mixed.dtype.kind == "f":
            mixed = np.rint(mixed)  # between two int16 values: none is beyond
        made[k, top:bottom, left:right] = mixed
    return made


def _placed(
    plane: NDArray[Any], shift: NDArray[np.float64]
) -> tuple[NDArray[Any], tuple[int, int]]:
    """A slice moved by ``shift`` rows and columns: its values, and where on the grid they begin."""
    first = [math.ceil(shift[0]), math.ceil(shift[1])]
    ahead = [first[0] - shift[0], first[1] - shift[1]]
    if ahead[0]:
        plane = _mixed(plane[:-1], 1 - ahead[0], plane[1:], ahead[0])
    if ahead[1]:
        plane = _mixed(plane[:, :-1], 1 - ahead[1], plane[:, 1:], ahead[1])
    return plane, (first[0], first[1])


def _mixed(
    one: NDArray[Any], weight: float, other: NDArray[Any], other_weight: float
) -> NDArray[np.float32]:
    mixed: NDArray[np.float32] = np.multiply(one, np.float32(weight), dtype=np.float32)
    mixed += np.multiply(other, np.float32(other_weight), dtype=np.float32)
    return mixed

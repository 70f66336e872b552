"""Whether values can be Hounsfield units: where air and soft tissue lie in their histogram."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

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


def doubt_of(hu: NDArray[Any]) -> str:
    """Why values declared to be HU cannot be it; nothing where they can, or it cannot be told."""
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

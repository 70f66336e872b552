"""Along the normal: which slices the volume has, and of which scanned ones each is made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from rhoa.reading.geometry import SPACING_TOLERANCE_MM, place_of, tolerance_of, usual_step

if TYPE_CHECKING:
    from collections.abc import Collection

    from numpy.typing import NDArray

UNEVEN_RATIO = 0.05
"""Distances between slices that are further off than the tolerance, but not than this, are a
warning."""
DRIFT_TOLERANCE_RATIO = 0.25
"""Distance of a slice from the even grid, in slice spacings."""
PART_RATIO = 10.0
"""Parts of one stack do not differ more in their spacing."""
_MOST_PLACES = 4  # that a message names
_SAME_LEVEL = 1e-3  # of a spacing: a slice so near to a level lies on it


@dataclass(frozen=True, slots=True, eq=False)
class Levels:
    """The slices of the volume, evenly spaced, made of scanned ones."""

    step_mm: float
    below: NDArray[np.intp]
    """For every slice of the volume, the scanned one at or below it."""
    share: NDArray[np.float64]
    """The weight of the next scanned slice."""
    filled: tuple[int, ...] = ()
    """Slices of the volume in the place of a missing one."""
    resampled: dict[str, Any] | None = None
    """The record of the repair "spacing", where it was needed."""
    doubt: str = ""
    """What deserves a warning."""

    def records(self, affine: NDArray[np.float64]) -> list[dict[str, Any]]:
        """What the report tells of the repairs "spacing" and "gaps"."""
        records = [] if self.resampled is None else [self.resampled]
        if self.filled:
            places = affine[:3, 3] + np.outer(self.filled, affine[:3, 0])
            records.append(
                {
                    "name": "gaps",
                    "what": "missing slices were interpolated linearly between their neighbours",
                    "slices": list(self.filled),
                    "positions_mm": places.round(3).tolist(),
                }
            )
        return records


def find_levels(
    positions: NDArray[np.float64], normal: NDArray[np.float64], repairs: Collection[str]
) -> Levels | str:
    """The slices of the volume, or what is wrong with the distances between the scanned ones.

    Parameters
    ----------
    positions
        Of the scanned slices, ascending along ``normal``.
    """
    scan = _Scan(positions, normal)
    if "spacing" in repairs and (scan.is_uneven or scan.drifts or scan.has_parts):
        return scan.resampled(gaps="gaps" in repairs)
    if scan.off > max(UNEVEN_RATIO * scan.usual, scan.tolerance):
        return (
            f"the slice spacing varies from {scan.range} mm (uneven by more than "
            f"{max(UNEVEN_RATIO * scan.usual, scan.tolerance):.2g} mm); read_ct needs even "
            f"spacing; read a reconstruction with even spacing{scan.remedy}"
        )
    if scan.whole.max() > (2 if "gaps" in repairs else 1):
        return scan.describe_gaps(asked="gaps" in repairs)
    if scan.drifts:
        return (
            f"the slice spacing drifts from {scan.range} mm, up to {scan.drift:.2g} mm off an even "
            f"grid; read a reconstruction with even spacing{scan.remedy}"
        )
    return scan.on_slots()


class _Scan:
    """Sorted slices and the distances between them."""

    def __init__(self, positions: NDArray[np.float64], normal: NDArray[np.float64]) -> None:
        self.positions, self.normal = positions, normal
        self.along: NDArray[np.float64] = positions @ normal
        self.steps = np.diff(self.along)
        self.usual = usual_step(self.steps)
        self.tolerance = tolerance_of(self.usual)
        self.whole = np.maximum(1, np.rint(self.steps / self.usual))
        self.off = float((np.abs(self.steps - self.whole * self.usual) / self.whole).max())
        """Largest deviation of a distance from a whole number of spacings, in mm a spacing."""
        self.slots = np.concatenate([[0], self.whole.cumsum()]).astype(np.intp)
        even = np.interp(self.slots, self.slots[[0, -1]], self.along[[0, -1]])
        self.drift = float(np.abs(self.along - even).max())

    @property
    def is_uneven(self) -> bool:
        return self.off > self.tolerance

    @property
    def drifts(self) -> bool:
        return self.drift > max(DRIFT_TOLERANCE_RATIO * self.usual, SPACING_TOLERANCE_MM)

    @property
    def has_parts(self) -> bool:
        """Whether the stack has parts with wider spacing, rather than gaps."""
        return bool((self._spacing_around() > self.usual + self.tolerance).any())

    @property
    def range(self) -> str:
        return f"{self.steps.min():.4g} to {self.steps.max():.4g}"

    @property
    def remedy(self) -> str:
        """What a message about uneven spacing may offer."""
        for names, gaps in (("spacing", False), ("spacing,gaps", True)):
            if not self._too_wide(gaps=gaps).any():
                return f', or pass repair="{names}" to resample the slices'
        return ""

    def _spacing_around(self) -> NDArray[np.float64]:
        """The spacing of the part of the stack in which, or beside which, each distance lies.

        A part is four slices or more with like distances.
        """
        around = np.full(len(self.steps), self.usual)
        for n in range(len(self.steps) - 2):
            three = self.steps[n : n + 3]
            spacing = float(three.mean())
            if self.usual < spacing < PART_RATIO * self.usual and (
                np.ptp(three) <= tolerance_of(spacing)
            ):
                near = slice(max(0, n - 1), n + 4)
                around[near] = np.maximum(around[near], spacing)
        return around

    def _too_wide(self, *, gaps: bool) -> NDArray[np.bool_]:
        """Distances that no interpolation may span; a single missing slice only with ``gaps``."""
        around = self._spacing_around()
        wide: NDArray[np.bool_] = self.steps > 2 * (
            around + (self.tolerance if gaps else -self.tolerance)
        )
        return wide

    def describe_gaps(self, *, asked: bool) -> str:
        """The message about missing slices."""
        gaps = [
            f"{int(self.whole[n]) - 1} between {self._place(n)} and {self._place(n + 1)}"
            for n in np.flatnonzero(self.whole > 1).tolist()
        ]
        remedy = ""
        if asked:
            remedy = '; repair="gaps" fills single ones only'
        elif self.whole.max() == 2:
            remedy = ', or pass repair="gaps" to interpolate them'
        if not asked and self.has_parts:
            remedy += '; if the spacing changes there, pass repair="spacing"'
        return (
            f"slices are missing: {_listed(gaps)}; read_ct needs even spacing (here "
            f"{self.usual:.4g} mm); restore the missing files, or pass the list of files on one "
            f"side of the gap{remedy}"
        )

    def on_slots(self) -> Levels:
        """Slices where they are, and interpolated ones in single gaps."""
        count = int(self.slots[-1]) + 1
        level = np.arange(count)
        below = np.searchsorted(self.slots, level, side="right") - 1
        widths = np.append(self.whole, 1)
        share = (level - self.slots[below]) / widths[below]
        doubt = ""
        if self.is_uneven:
            doubt = (
                f"The slice spacing varies from {self.range} mm, by more than "
                f"{self.tolerance:.2g} mm; slices were taken as evenly spaced."
            )
        return Levels(
            step_mm=float(self.along[-1] - self.along[0]) / (count - 1),
            below=below,
            share=share,
            filled=tuple(np.flatnonzero(share).tolist()),
            doubt=doubt,
        )

    def resampled(self, *, gaps: bool) -> Levels | str:
        """Slices on an even grid of the usual spacing from the first slice on."""
        wide = np.flatnonzero(self._too_wide(gaps=gaps)).tolist()
        if wide:
            remedy = ""
            if not gaps and not self._too_wide(gaps=True).any():
                remedy = '; pass repair="spacing,gaps" to interpolate single missing slices, too'
            places = [
                f"{self.steps[n]:.4g} mm between {self._place(n)} and {self._place(n + 1)}"
                for n in wide
            ]
            return (
                f'slices are too far apart for repair="spacing" ({_listed(places)}; the usual '
                f"spacing is {self.usual:.4g} mm): some are missing; restore their files{remedy}"
            )
        length = float(self.along[-1] - self.along[0])
        count = int(np.floor(length / self.usual + _SAME_LEVEL)) + 1
        level = np.minimum(np.arange(count) * self.usual, length)
        start = self.along - self.along[0]
        below = np.clip(np.searchsorted(start, level, side="right") - 1, 0, len(start) - 2)
        share = (level - start[below]) / self.steps[below]
        on_level = np.abs(share - np.rint(share)) * self.steps[below] < _SAME_LEVEL * self.usual
        share = np.where(on_level, np.rint(share), share)
        single = self._too_wide(gaps=False)
        record = {
            "name": "spacing",
            "what": "slices were resampled linearly to an even grid of the median spacing",
            "spacing_mm": round(self.usual, 6),
            "scanned_mm": [round(float(self.steps.min()), 6), round(float(self.steps.max()), 6)],
            "largest_deviation_mm": round(float(np.abs(self.steps - self.usual).max()), 6),
            "slices_before": len(start),
            "slices_after": count,
            "end_lost_mm": round(max(0.0, length - float(level[-1])), 6),
        }
        filled = np.flatnonzero(single[below] & (share > 0) & (share < 1))
        return Levels(self.usual, below, share, tuple(filled.tolist()), record)

    def _place(self, n: int) -> str:
        return place_of(self.positions[n], self.normal)


def _listed(places: list[str]) -> str:
    return ", ".join(places[:_MOST_PLACES]) + (", ..." if len(places) > _MOST_PLACES else "")

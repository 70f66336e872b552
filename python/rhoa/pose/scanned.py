"""Where a scan has seen the patient: inside its faces and its circle, on slices that hold it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from rhoa.pose.faces import Faces
from rhoa.reading.looks import body_cuts

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from rhoa.pose.flaws import Flaws
    from rhoa.pose.thumbnails import Thumbnails

CUT_EVERY_MM = 4.0
"""Between slices in which the body is looked for at the edge of the field of view."""
CUT_PART = 0.1
"""Share of what is cut on a slice that must lie on one side to count for it."""
DIRECTIONS = ("left", "right", "front", "back")
_ON_FACE_MM = 1e-6


@dataclass(frozen=True, eq=False)
class Scanned:
    """A scan from afar and its flaws."""

    thumbnails: Thumbnails
    flaws: Flaws

    @cached_property
    def blank(self) -> NDArray[np.bool_]:
        """Which slices are blank."""
        blank = np.zeros(len(self.thumbnails.slices), dtype=bool)
        blank[[one.index for one in self.flaws.findings if one.reason == "blank"]] = True
        return blank

    @cached_property
    def faces(self) -> Faces:
        """The ends of the scan; blank slices at an end are beyond it."""
        grid, voxels = self.thumbnails.grid, self.thumbnails.voxels
        affine = grid.affine.copy()
        affine[:3, 1:3] /= self.thumbnails.step
        held = np.flatnonzero(~self.blank)
        first, last = (held[0], held[-1]) if len(held) else (0, len(self.blank) - 1)
        affine[:3, 3] += first * affine[:3, 0]
        return Faces.of_array((int(last - first) + 1, *voxels.shape[1:]), affine)

    def seen(self, lps_mm: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Whether each of the points ``(n, 3)`` was scanned."""
        inside = np.asarray((self.faces.distances(lps_mm) > -_ON_FACE_MM).all(axis=1))
        k, j, i = self.thumbnails.places(lps_mm)
        inside &= self.thumbnails.field[j, i] & ~self.blank[k]
        if self.thumbnails.unknown is not None:
            inside &= ~self.thumbnails.unknown[k, j, i]
        for index, lost in self.flaws.lost.items():
            there = k == index
            inside[there] &= ~lost[j[there], i[there]]
        return inside

    def margins_mm(self, lps_mm: NDArray[np.float64]) -> NDArray[np.float64]:
        """Distance of the points ``(n, 3)`` to the nearest end of the scan; below zero outside."""
        margins = np.asarray(self.faces.distances(lps_mm).min(axis=1))
        field = self.thumbnails.field
        if field.all():
            return margins
        steps = np.array(self.thumbnails.grid.spacing_mm[1:])
        held, beyond = np.argwhere(field) * steps, np.argwhere(~field) * steps
        places = self.thumbnails.grid.to_index(lps_mm)[:, 1:] * steps
        _, j, i = self.thumbnails.places(lps_mm)
        for n, (place, inside) in enumerate(zip(places, field[j, i], strict=True)):
            away = np.linalg.norm((beyond if inside else held) - place, axis=1).min()
            margins[n] = min(margins[n], away if inside else -away)
        return margins

    @cached_property
    def cuts(self) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
        """Slices that were looked at, and where the edge of the field cuts the body on them."""
        every = max(1, round(CUT_EVERY_MM / self.thumbnails.grid.spacing_mm[0]))
        index = np.arange(0, len(self.thumbnails.slices), every)
        index = index[~self.blank[index]] if self.thumbnails.is_body else index[:0]
        return index, body_cuts(self.thumbnails.slices[index], self.thumbnails.field)

    def cut_shares(self) -> dict[str, float]:
        """Share of the slices on which the body is cut, anywhere and in each direction."""
        index, cuts = self.cuts
        if not len(index):
            return {}
        x, y, _ = (self._plane(cuts.shape[1:]) - self._middle).T
        aside = np.abs(x) > np.abs(y)
        parts = (aside & (x > 0), aside & (x <= 0), ~aside & (y < 0), ~aside & (y >= 0))
        pixels = cuts.reshape(len(index), -1)
        total = pixels.sum(axis=1)
        shares = {"any": float((total > 0).mean())}
        for name, part in zip(DIRECTIONS, parts, strict=True):
            here = pixels[:, part].sum(axis=1)
            shares[name] = float(((total > 0) & (here > CUT_PART * total)).mean())
        return shares

    def _plane(self, shape: tuple[int, ...]) -> NDArray[np.float64]:
        """LPS of the pixels of the first slice, one a row."""
        index = np.indices(shape).reshape(2, -1).T
        return self.thumbnails.grid.to_lps(np.column_stack([np.zeros(len(index)), index]))

    @property
    def _middle(self) -> NDArray[np.float64]:
        _, rows, columns = self.thumbnails.slices.shape
        return self.thumbnails.grid.to_lps([0, (rows - 1) / 2, (columns - 1) / 2])

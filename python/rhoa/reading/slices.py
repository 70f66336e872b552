"""A CT that is read a few slices at a time: what needs no whole volume never holds one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from rhoa.errors import GeometryError, warn_user
from rhoa.reading import read_ct, whole_volume
from rhoa.reading.assembly import blankness
from rhoa.reading.decoding import decoder, kinds, require_budget, shape_of, warn_of_padding
from rhoa.reading.findings import Findings
from rhoa.reading.repairs import named
from rhoa.reading.series import arrange, read_series
from rhoa.reading.stored import TooLargeForInt16Error
from rhoa.volume import Volume

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from numpy.typing import NDArray

    from rhoa.reading.decoding import Fill
    from rhoa.reading.files import PathOrPaths, Progress
    from rhoa.reading.looks import Look
    from rhoa.reading.series import Arranged


BLOCK_BYTES = 8 << 20
"""Of slices that are decoded together: 16 of 512 x 512 pixels."""


class BlankSliceError(Exception):
    """A blank slice: whether it counts is known when all slices are. Never reaches the user."""


class SliceSource:
    """The slices of one CT, sorted and checked, decoded when they are asked for."""

    def __init__(
        self, arranged: Arranged, *, max_bytes: int, findings: Findings, progress: Progress | None
    ) -> None:
        self._arranged = arranged
        self._max_bytes = max_bytes
        self._findings = findings
        self._progress = progress
        self._kinds = kinds(arranged.headers)

    @property
    def whole(self) -> bool:
        """Whether all slices are needed at once: repairs may move them."""
        return bool(self._arranged.repairs)

    @property
    def outline(self) -> Volume:
        """A volume of this shape and place, whose voxels are all 0 and take no memory."""
        zero = np.zeros((), self._kinds[0])
        return Volume(
            np.broadcast_to(zero, shape_of(self._arranged.headers)), self._arranged.affine
        )

    def blocks(self) -> Iterator[tuple[int, NDArray[Any]]]:
        """The index of a first slice, and the HU of it and those after it, block by block.

        Values are those of `read`, in int16 where that holds all of a block, else in float32. The
        array is used again for the next block.

        Raises
        ------
        ReadError
            As `rhoa.read_ct`.
        BlankSliceError
            If a slice is blank, so that all have to be read.
        """
        headers = self._arranged.headers
        total, rows, columns = shape_of(headers)
        require_budget((total, rows, columns), np.dtype(self._kinds[0]), self._max_bytes)
        most = max(1, BLOCK_BYTES // (rows * columns * 2))
        buffers = {kind: np.empty((0, rows, columns), kind) for kind in self._kinds}
        looks: dict[int, Look] = {}
        with decoder(headers, self._progress) as fill:
            for first in range(0, total, most):
                count = min(most, total - first)
                hu, seen = self._block(fill, buffers, first, count)
                looks |= seen
                zeros = [header.format.intercept for header in headers[first : first + count]]
                equal, _, still = blankness(hu, zeros)
                if (equal | still).any():
                    raise BlankSliceError
                yield first, hu
        warn_of_padding(headers, self._findings)
        doubt = self._arranged.ordered.stack.doubt
        if doubt:
            self._findings.warn(doubt, GeometryError)
        self._arranged.judge(looks, self._findings)

    def _block(
        self, fill: Fill, buffers: dict[str, NDArray[Any]], first: int, count: int
    ) -> tuple[NDArray[Any], dict[int, Look]]:
        """One block in the smallest of the element types that holds it."""
        *narrow, widest = self._kinds
        for kind in narrow:
            hu = _room(buffers, kind, count)
            try:
                return hu, fill(hu, first).looks
            except TooLargeForInt16Error:
                shape = shape_of(self._arranged.headers)
                require_budget(shape, np.dtype(widest), self._max_bytes)
        hu = _room(buffers, widest, count)
        return hu, fill(hu, first).looks

    def read(self) -> Volume:
        """The whole volume, as `rhoa.read_ct` reads it."""
        return read_series(
            self._arranged,
            max_bytes=self._max_bytes,
            findings=self._findings,
            progress=self._progress,
        )

    def warn(self) -> None:
        """Warn of what was found so far."""
        for message in self._findings.warnings:
            warn_user(message)


def open_scan(
    path: PathOrPaths,
    *,
    series: str | int | None = None,
    repair: str | Collection[str] = (),
    progress: Progress | None = None,
) -> SliceSource | Volume:
    """What `rhoa.read_ct` would read: the slices of a DICOM series; else the volume, already read.

    Raises
    ------
    ReadError
        As `rhoa.read_ct`.
    """
    if whole_volume(path) is not None:
        return read_ct(path, series=series, repair=repair, progress=progress)
    return open_series(path, series=series, repair=repair, progress=progress)


def open_series(
    path: PathOrPaths,
    *,
    series: str | int | None = None,
    repair: str | Collection[str] = (),
    strict: bool = False,
    max_bytes: int = 4 << 30,
    progress: Progress | None = None,
) -> SliceSource:
    """A CT series whose slices are decoded when they are asked for; options as in `rhoa.read_ct`.

    Headers are read, and checked, now.

    Raises
    ------
    ReadError
        As `rhoa.read_ct`.
    """
    findings = Findings(strict)
    arranged = arrange(
        path, series=series, repairs=named(repair), findings=findings, progress=progress
    )
    return SliceSource(arranged, max_bytes=max_bytes, findings=findings, progress=progress)


def _room(buffers: dict[str, NDArray[Any]], kind: str, count: int) -> NDArray[Any]:
    """A part of the buffer of that kind, which is made larger where it has to be."""
    if len(buffers[kind]) < count:
        buffers[kind] = np.empty((count, *buffers[kind].shape[1:]), kind)
    return buffers[kind][:count]

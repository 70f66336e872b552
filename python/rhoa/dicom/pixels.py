"""Pixel data as stored: whether it is complete, and the Hounsfield units that it means.

Stored values are cut to their bits and signed first; padding becomes air before anything is
computed; rescaling is exact.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from rhoa.dicom.header import DEFLATED, UNCOMPRESSED
from rhoa.errors import PixelDataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from rhoa.dicom.header import Header, PixelFormat, PixelPlace
    from rhoa.errors import WarningCollector


# Stored values, and the Hounsfield units that they mean.

AIR_HU = -1024
"""What padding becomes."""
IMPOSSIBLE_HU = -1500
"""Below it no value is a measurement, even after ringing and interpolation: it is padding, or metal
whose value wrapped round."""
WRAPPED_METAL_HU = 3071
"""What metal becomes whose value wrapped round 16 bits."""
_WRAPPED_BELOW_HU, _WRAPPED_PIXELS = -3100, 12
"""Impossible values in the body are metal where they are below all that pads, or so many together;
else they are noise of air."""
DENSEST_PADDING_HU = -900
"""Declared padding above it would erase tissue."""


class Counts(NamedTuple):
    """What was met in the pixels of a slice."""

    padding: int
    wrapped: int
    """Voxels of metal whose value wrapped round."""
    low: float
    high: float


class TooLargeForInt16Error(Exception):
    """HU beyond int16: the volume is decoded as float32."""


def stored_values(raw: NDArray[Any], form: PixelFormat) -> NDArray[Any]:
    """Stored values: the ``bits_stored`` bits up to ``high_bit``, sign-extended where signed.

    Bits outside them may hold overlays or leftovers, also after decompression.
    """
    bits = raw.dtype.itemsize * 8
    unsigned = raw.astype(raw.dtype.newbyteorder("="), copy=False)
    if form.bits_stored == bits:
        return unsigned.view(f"i{bits // 8}") if form.signed else unsigned
    raised = np.left_shift(unsigned, bits - 1 - form.high_bit)
    if form.signed:
        raised = raised.view(f"i{bits // 8}")
    values: NDArray[Any] = np.right_shift(raised, bits - form.bits_stored)
    return values


def padding_mask(raw: NDArray[Any], form: PixelFormat) -> NDArray[np.bool_] | None:
    """Where pixels are declared padding; None where nothing is declared.

    The tag is often written with the wrong sign (63536 for -2000), and padding may lie outside the
    stored bits: it is compared as the bits that the file holds.
    """
    if form.padding is None:
        return None
    bits = raw.dtype.itemsize * 8
    mask: NDArray[np.bool_] = raw == form.padding & ((1 << bits) - 1)
    if form.padding_limit is not None:
        ends = [wrapped(value, form) for value in (form.padding, form.padding_limit)]
        stored = stored_values(raw, form)
        mask |= (stored >= min(ends)) & (stored <= max(ends))
    elif form.bits_stored < bits:
        mask |= stored_values(raw, form) == wrapped(form.padding, form)
    return mask


def wrapped(value: int, form: PixelFormat) -> int:
    """A tag's value with the sign that the pixels have."""
    pattern = value & ((1 << form.bits_allocated) - 1)
    if form.signed and pattern >= 1 << (form.bits_allocated - 1):
        return pattern - (1 << form.bits_allocated)
    return pattern


def rescales_to_whole(form: PixelFormat) -> bool:
    """Whether HU are whole numbers that int32 holds on the way to int16."""
    slope, intercept = form.slope or 0.0, form.intercept or 0.0
    small = form.bits_allocated <= 16 and abs(slope) < 2**14 and abs(intercept) < 2**29
    return small and slope.is_integer() and intercept.is_integer()


def to_hu(
    stored: NDArray[Any],
    form: PixelFormat,
    padding: NDArray[np.bool_] | None,
    out: NDArray[np.int16] | NDArray[np.float32],
) -> Counts:
    """Write the HU of one slice to ``out``."""
    slope, intercept = form.slope or 0.0, form.intercept or 0.0
    work: NDArray[Any]
    if out.dtype == np.int16:
        work = stored.astype(np.int32)
        if slope != 1:
            work *= int(slope)
        work += int(intercept)
    else:
        work = stored * np.float64(slope) + intercept
    filling = fill_padding(work, padding)
    low, high = work.min(), work.max()
    if out.dtype == np.int16 and high > np.iinfo(np.int16).max:
        raise TooLargeForInt16Error
    out[...] = work
    return Counts(*filling, float(low), float(high))


def fill_padding(hu: NDArray[Any], declared: NDArray[np.bool_] | None = None) -> tuple[int, int]:
    """Make padding air, and metal that wrapped round dense, in one slice of HU, in place.

    Padding is what is declared, or impossible, and connected to the border of the slice. Values of
    tissue inside the body stay though they are declared padding; impossible ones are metal.

    Returns
    -------
    tuple
        How many voxels were padding, and how many metal.
    """
    impossible = hu < IMPOSSIBLE_HU
    padding = impossible if declared is None else impossible | declared
    if not padding.any():
        return 0, 0
    inside = not_at_border(padding)
    wrapped = 0
    if inside is not None:
        from scipy.ndimage import label, minimum

        pieces, count = label(inside & impossible)
        if count:
            lowest = minimum(hu, pieces, np.arange(count + 1))
            sizes = np.bincount(pieces.ravel())
            is_metal = (lowest < _WRAPPED_BELOW_HU) | (sizes >= _WRAPPED_PIXELS)
            is_metal[0] = False
            metal = is_metal[pieces]
            wrapped = int(metal.sum())
            padding &= ~metal
            hu[metal] = WRAPPED_METAL_HU
        padding &= ~inside | (hu <= DENSEST_PADDING_HU)
    hu[padding] = AIR_HU
    return int(padding.sum()), wrapped


def not_at_border(mask: NDArray[np.bool_]) -> NDArray[np.bool_] | None:
    """Pixels of a mask that are not connected to the border of their image; None where all are."""
    outside = ~mask  # most often one run in every row: what is left and right of it is connected
    first, behind = outside.argmax(axis=1), outside.shape[1] - outside[:, ::-1].argmax(axis=1)
    runs = np.where(outside[np.arange(len(outside)), first], behind - first, 0)
    if runs.sum() == np.count_nonzero(outside):
        return None
    from scipy.ndimage import label

    pieces, count = label(mask)
    at_border = np.zeros(count + 1, bool)
    for edge in (pieces[0], pieces[-1], pieces[:, 0], pieces[:, -1]):
        at_border[edge] = True
    at_border[0] = True  # no pixel of the mask
    inside: NDArray[np.bool_] = ~at_border[pieces]
    return inside if inside.any() else None


def to_hu_in_place(out: NDArray[np.int16], form: PixelFormat) -> Counts:
    """As `to_hu` of 16 bits with a slope of 1, where ``out`` already holds what the file holds.

    Nothing is copied, unless a value does not fit into 16 bits.
    """
    raw: NDArray[np.uint16] = out.view(np.uint16)
    padding = padding_mask(raw, form)
    stored: NDArray[Any] = out if form.signed else raw
    ends = int(stored.min()), int(stored.max())
    if form.bits_stored < 16 and not _are_stored(ends, form):
        np.left_shift(raw, 15 - form.high_bit, out=raw)
        np.right_shift(stored, 16 - form.bits_stored, out=stored)
        ends = int(stored.min()), int(stored.max())
    count, intercept, limits = 0, int(form.intercept or 0.0), np.iinfo(stored.dtype)
    if padding is not None:
        value = wrapped(form.padding or 0, form) + intercept
        is_air = form.padding_limit is None and IMPOSSIBLE_HU <= value <= DENSEST_PADDING_HU
        fits = limits.min <= AIR_HU - intercept <= limits.max
        if not (fits and (is_air or not_at_border(padding) is None)):
            return to_hu(stored.copy(), form, padding, out)
        count = int(np.count_nonzero(padding))
        stored[padding] = AIR_HU - intercept
        ends = int(stored.min()), int(stored.max())
    low, high = ends[0] + intercept, ends[1] + intercept
    if low < IMPOSSIBLE_HU or high > np.iinfo(np.int16).max:
        return to_hu(stored.copy(), form, padding, out)
    raw += np.uint16(intercept & 0xFFFF)  # the sum fits, so that it is exact modulo 2^16
    return Counts(count, 0, float(low), float(high))


def _are_stored(ends: tuple[int, int], form: PixelFormat) -> bool:
    """Whether words from one number to another can only be stored values with nothing around."""
    half = 1 << (form.bits_stored - 1)
    lowest, highest = (-half, half - 1) if form.signed else (0, 2 * half - 1)
    return form.high_bit == form.bits_stored - 1 and lowest <= ends[0] and ends[1] <= highest


# Whether a file holds the pixels that its header declares.

REPAIR = 'export it again, or pass repair="drop" to read the scan without it'


def check_extent(header: Header, findings: WarningCollector, *, remedy: str = REPAIR) -> PixelPlace:
    """Check that the file holds the pixels that it declares; where they lie.

    Parameters
    ----------
    remedy
        What a message advises to do.

    Raises
    ------
    PixelDataError
        If they are absent, or uncompressed and short.
    """
    place = header.pixels
    if place is None:
        raise PixelDataError(
            f"{header.name}: it holds no pixel data (7FE0,0010); the file is cut short or was "
            f"stripped: {remedy}."
        )
    if place.syntax not in UNCOMPRESSED:
        return place
    name, form = header.name, header.format
    needed = form.bytes_per_frame
    if place.syntax != DEFLATED and (place.length or 0) > place.available:
        raise PixelDataError(
            f"{name}: pixel data of {place.length} bytes are declared, {place.available} are there;"
            f" the file is cut short: {remedy}."
        )
    found = min(place.length or 0, place.available)
    if found < needed:
        raise PixelDataError(
            f"{name}: {found} bytes of pixel data; {form.rows} x {form.columns} pixels of "
            f"{form.bits_allocated} bits need {needed}; the file is damaged: {remedy}."
        )
    if found > needed + 1:  # one byte of padding is the standard's
        findings.warn(
            f"{name}: {found - needed} bytes more than its pixels need; they are ignored.",
            PixelDataError,
        )
    return place

"""From the pixels of sorted slices to Hounsfield units, in one array.

The array is int16 where that holds every value, else float32.
"""

from __future__ import annotations

import contextlib
import math
import re
import sys
import threading
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from rhoa.dicom.codecs import (
    check_frame,
    check_packing,
    decompressors,
    encapsulated,
    require_codec,
)
from rhoa.dicom.header import (
    DEFLATED,
    EXPLICIT_BIG,
    EXPLICIT_LITTLE,
    IMPLICIT_LITTLE,
    UNCOMPRESSED,
    inflate,
    unreadable,
)
from rhoa.dicom.pixels import (
    DENSEST_PADDING_HU,
    TooLargeForInt16Error,
    check_extent,
    padding_mask,
    rescales_to_whole,
    stored_values,
    to_hu,
    to_hu_in_place,
    wrapped,
)
from rhoa.errors import PixelDataError, ReadError, WarningCollector
from rhoa.parallel import thread_count
from rhoa.reading.quality import SliceStats, implausibility, slice_stats

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from rhoa.dicom.codecs import Decompress
    from rhoa.dicom.header import Header
    from rhoa.dicom.pixels import Counts
    from rhoa.files import Progress

    Fill = Callable[[NDArray[Any], int], "Tally"]


MOST_PIXELS_A_SIDE = 8192
LARGEST_RESCALE = 2.0**31
"""No slope or intercept is larger; 32-bit values times it still fit float32."""
_RUN = 16  # slices that a thread takes at once; they are waited for together
_LITTLE = frozenset([IMPLICIT_LITTLE, EXPLICIT_LITTLE])
MONO = "mono"
"""The name by which virtual mono-energetic HU are accepted."""
_HU_TYPES = frozenset(["", "HU", "HOUNSFIELD", "HOUNSFIELD UNIT", "HOUNSFIELD UNITS", "HNSF"])
_UNSPECIFIED = frozenset(["US", "UNSPECIFIED", "NONE"])
_MEANINGS: Mapping[str, str] = MappingProxyType(
    {
        "perfusion": "PERFUS|CBF|CBV|MTT|TTP|TMAX|TTD|PERMEAB|BLOOD.?(FLOW|VOLUME)|^PBV$|^RBV$",
        "iodine": "IODINE|IODIN|^IMD$|^IOD",
        "virtual non-contrast": "VNC|VUE|VIRTUAL.?(NON|UN)|NON.?CONTRAST.?VIRT|VNI|VUC",
        "effective atomic number": "Z.?EFF|EFF.*(ATOM|Z$)|EFFECTIVE.?Z|ATOMIC",
        "electron density": "ELECTRON|^EDW?$|^RHO$|RHO.E",
        "material": "MATERIAL|URIC|NON.?CALCIUM|CALCIUM.?(MAP|SUPP)|^WATER|FAT.?FRAC|BONE.?REMOV"
        "|BONE.?MARROW|^BMD$|^MD$",
        "attenuation": "^ATTENUATION|MU.?MAP|STOPPING|^SPR$|PHOTO.?ELECTRIC|COMPTON|SINOGRAM",
        "labels": "LABEL|SEGMENT|PROBAB|^MASK$|^SEG$",
        "projection": "M(AX|IN)?IP|(MAX|MIN|AVG|AVE|MEAN).?IP|^IP$|MAXIMUM|MINIMUM|RAYSUM|DRR",
        "rendering": "RENDER|^VRT?$|^SSD$|CURVED|ENDOSCOP|FLY.?THROUGH|UNFOLD|PANORAM",
        "arithmetic": "ADDITION$|SUBTRACT|DIVISION|MULTIPLIC|DEVIATION|DIFFERENCE|^SUB$|^STDDEV$"
        "|^VARIANCE$|ENTROPY|QUANTITY|^RATIO$",
        MONO: "MONO.?E|MONO.?[0-9]|^MONO$|^VM[IE]|^VMCT|KEV|MONO.?CHROMATIC|^VIRTUAL$",
    }
)
"""What words of ImageType and RescaleType mean that are not plain HU; matched in any part."""
_MEANING = {name: re.compile(words) for name, words in _MEANINGS.items()}


class DecodedSeries(NamedTuple):
    """Slices as one volume, and what their pixels were."""

    hu: NDArray[np.int16] | NDArray[np.float32]
    padding_voxels: int
    wrapped_voxels: int
    hu_range: tuple[float, float]
    stats: dict[int, SliceStats]  # by slice


@dataclass(slots=True)
class Tally:
    """What was met in the pixels of some slices."""

    padding: int = 0
    wrapped: int = 0
    low: float = math.inf
    high: float = -math.inf
    stats: dict[int, SliceStats] = field(default_factory=dict)

    def add(self, one: Counts) -> None:
        """Count one more slice."""
        self.padding += one.padding
        self.wrapped += one.wrapped
        self.low, self.high = min(self.low, one.low), max(self.high, one.high)


def check_pixels(header: Header, findings: WarningCollector, accept: Collection[str] = ()) -> None:
    """Check, before anything is allocated, that a slice can be decoded to HU.

    ``accept`` may hold `MONO`.

    Raises
    ------
    PixelDataError
        If its pixels are absent, short, larger than any CT's, no grey image of Hounsfield units,
        or of a transfer syntax that no decoder knows.
    MissingExtraError
        If its decoder is not installed.
    """
    name, form = header.name, header.format
    _check_meaning(header, findings, accept)
    if max(form.rows, form.columns) > MOST_PIXELS_A_SIDE or min(form.rows, form.columns) < 1:
        raise PixelDataError(
            f"{name}: {form.rows} x {form.columns} pixels; a CT slice has 1 to "
            f"{MOST_PIXELS_A_SIDE} rows and columns; the file is damaged: export it again."
        )
    bits = (form.bits_allocated, form.bits_stored, form.high_bit)
    if bits[0] not in {8, 16, 32} or not 1 <= bits[1] <= bits[2] + 1 <= bits[0]:
        raise PixelDataError(
            f"{name}: BitsAllocated {bits[0]}, BitsStored {bits[1]}, HighBit {bits[2]}; "
            "stored bits must lie inside 8, 16 or 32 allocated ones; export the file again."
        )
    place = check_extent(header, findings)
    if place.syntax in UNCOMPRESSED:
        return
    check_packing(name, place.syntax, packed=place.available, needed=form.bytes_per_frame)
    require_codec(name, place.syntax)


def _check_meaning(header: Header, findings: WarningCollector, accept: Collection[str]) -> None:
    """Check that pixels are Hounsfield units and nothing else."""
    name, form = header.name, header.format
    if header.photometric != "MONOCHROME2":
        raise PixelDataError(
            f"{name}: PhotometricInterpretation {header.photometric or 'missing'}; a CT slice is "
            "MONOCHROME2; with another one readers disagree about its values: export it again"
            + (', or pass repair="monochrome1".' if header.photometric == "MONOCHROME1" else ".")
        )
    if header.burned_in:
        raise PixelDataError(
            f"{name}: BurnedInAnnotation is YES: its pixels hold text, perhaps a name; "
            "leave the file out."
        )
    for tag, number in (
        ("RescaleSlope (0028,1053)", form.slope),
        ("RescaleIntercept (0028,1052)", form.intercept),
    ):
        if number is None or not math.isfinite(number):
            raise PixelDataError(
                f"{name}: {tag} is missing or no number; stored values are no Hounsfield units "
                "without it; export the original series."
            )
        if abs(number) > LARGEST_RESCALE:
            raise PixelDataError(
                f"{name}: {tag} is {number:g}, which gives no Hounsfield units; "
                "export the original series."
            )
    if form.slope == 0:
        raise PixelDataError(
            f"{name}: RescaleSlope (0028,1053) is 0, which makes every voxel equal; "
            "export the original series."
        )
    kind = header.rescale_type.upper().strip()
    words = [*header.image_type, *(kind,) * (kind not in _HU_TYPES | _UNSPECIFIED)]
    parts = {part for word in words for part in (word, *re.split(r"[^A-Z0-9]+", word.upper()))}
    found = {
        meaning: part
        for meaning, pattern in _MEANING.items()
        for part in sorted(parts)
        if pattern.search(part.upper())
    }
    if MONO in found and len(found) == 1:
        if MONO in accept:
            return
        raise PixelDataError(
            f"{name}: {found[MONO]}: virtual mono-energetic Hounsfield units, which differ from "
            'those of an ordinary CT; read_ct needs that, or pass accept="mono".'
        )
    if found or kind not in _HU_TYPES | _UNSPECIFIED:
        what = ", ".join(f"{part} ({meaning})" for meaning, part in found.items())
        raise PixelDataError(
            f"{name}: {what or f'RescaleType {kind}'}: the values are no plain Hounsfield units; "
            "read_ct needs the ordinary CT reconstruction."
        )
    if kind in _UNSPECIFIED:
        findings.warn(
            f"RescaleType is {kind} (unspecified); values are taken as Hounsfield units.",
            PixelDataError,
        )


def decode(
    headers: Sequence[Header],
    *,
    max_bytes: int,
    findings: WarningCollector,
    progress: Progress | None = None,
) -> DecodedSeries:
    """The slices in the given order as one array of HU.

    Raises
    ------
    ReadError
        If the volume would take more than ``max_bytes``.
    PixelDataError
        If a slice cannot be decoded.
    """
    for kind in kinds(headers):
        shape = shape_of(headers)
        require_budget(shape, np.dtype(kind), max_bytes)
        hu = np.empty(shape, kind)
        try:
            with decoder(headers, progress) as fill:
                tally = fill(hu, 0)
        except TooLargeForInt16Error:
            continue
        warn_of_padding(headers, findings)
        seen = (tally.low, tally.high)
        return DecodedSeries(hu, tally.padding, tally.wrapped, seen, tally.stats)
    raise PixelDataError(f"{headers[0].name}: its values fit neither int16 nor float32.")


def shape_of(headers: Sequence[Header]) -> tuple[int, int, int]:
    """Slices, rows and columns of the volume."""
    return len(headers), headers[0].format.rows, headers[0].format.columns


def kinds(headers: Sequence[Header]) -> tuple[str, ...]:
    """The element types that may hold the HU, the smaller first."""
    whole = all(rescales_to_whole(header.format) for header in headers)
    return ("i2", "f4") if whole else ("f4",)


def require_budget(
    shape: tuple[int, ...], dtype: np.dtype[np.generic], max_bytes: int, *, name: str = ""
) -> None:
    """Check that a volume, of the file ``name``, fits into ``max_bytes`` before it is allocated."""
    needed = math.prod(shape) * dtype.itemsize
    if needed > max_bytes:
        size = " x ".join(map(str, shape))
        raise ReadError(
            f"{name + ': ' if name else ''}the volume of {size} voxels takes {needed} bytes, more "
            f"than max_bytes = {max_bytes}; pass a larger max_bytes= if the scan is really that "
            "large."
        )


@contextlib.contextmanager
def decoder(headers: Sequence[Header], progress: Progress | None = None) -> Iterator[Fill]:
    """A function ``fill(hu, first)``: it decodes the slices from number ``first`` on into ``hu``.

    It raises `TooLargeForInt16Error` where ``hu`` cannot hold the values; then ``hu`` is of no use.
    """
    syntaxes = [header.pixels.syntax for header in headers if header.pixels is not None]
    compressed = not UNCOMPRESSED.issuperset(syntaxes)
    with (
        decompressors(syntaxes, thread_count()) as (decompress, workers),
        ThreadPoolExecutor(workers) as pool,
    ):

        def fill(hu: NDArray[Any], first: int) -> Tally:
            tally, lock = Tally(), threading.Lock()
            run = 1 if compressed else min(_RUN, -(-len(hu) // (4 * workers)))

            def fill_run(start: int) -> int:
                stop = min(start + run, len(hu))
                for k in range(start, stop):
                    counts = _slice_hu(hu[k], headers[first + k], decompress)
                    exact = hu.dtype == np.int16  # else the highest is not yet rounded
                    facts = slice_stats(hu[k], counts.high if exact else None)
                    with lock:
                        tally.add(counts)
                        tally.stats[first + k] = facts
                return first + stop

            _in_order(pool, fill_run, range(0, len(hu), run), len(headers), progress)
            return tally

        yield fill


def _in_order(
    pool: ThreadPoolExecutor,
    work: Callable[[int], int],
    starts: range,
    total: int,
    progress: Progress | None,
) -> None:
    """Work from every start; an error is that of the earliest, and ends the others."""
    jobs = [pool.submit(work, start) for start in starts]
    try:
        for job in jobs:
            done = job.result()
            if progress is not None:
                progress(done, total, "decoding slices")
    except BaseException:
        for job in jobs:
            job.cancel()
        wait(jobs)  # they write into an array that the caller takes back
        raise


def _slice_hu(
    out: NDArray[np.int16] | NDArray[np.float32], header: Header, decompress: Decompress
) -> Counts:
    if _lies_as_it_is_stored(header, out):
        place, words = header.pixels, out.view(np.uint16)
        try:
            with open(header.path, "rb", buffering=0) as file:  # noqa: PTH123  # many times a series
                file.seek(place.offset if place else 0)
                got = file.readinto(words.data.cast("B"))
        except OSError as error:
            raise unreadable(header.name, error) from None
        if got != words.nbytes:
            raise PixelDataError(f"{header.name}: the file became shorter while it was read.")
        return to_hu_in_place(out.view(np.int16), header.format)
    raw = raw_samples(header, decompress)
    form = header.format
    padding = padding_mask(raw, form)
    return to_hu(stored_values(raw, form), form, padding, out)


def _lies_as_it_is_stored(header: Header, out: NDArray[np.int16] | NDArray[np.float32]) -> bool:
    """Whether pixels are 16 bits in this machine's order, to which only a number is added."""
    form, place = header.format, header.pixels
    return (
        out.dtype == np.int16
        and out.flags.c_contiguous
        and form.bits_allocated == 16
        and form.slope == 1
        and place is not None
        and place.syntax in _LITTLE
        and sys.byteorder == "little"
    )


def raw_samples(header: Header, decompress: Decompress) -> NDArray[Any]:
    """The samples of one slice as unsigned integers of the allocated size, all bits as stored."""
    place, form = header.pixels, header.format
    if place is None:
        raise PixelDataError(f"{header.name}: it holds no pixel data; export it again.")
    kind = np.dtype(f"u{form.bits_allocated // 8}")
    compressed = place.syntax not in UNCOMPRESSED
    length = place.available if compressed else form.bytes_per_frame
    try:
        with header.path.open("rb") as file:
            source = inflate(file) if place.syntax == DEFLATED else file
            source.seek(place.offset)
            value = source.read(length)
    except OSError as error:
        raise unreadable(header.name, error) from None
    if len(value) < length:
        raise PixelDataError(f"{header.name}: the file became shorter while it was read.")
    if not compressed:
        kind = kind.newbyteorder(">" if place.syntax == EXPLICIT_BIG else "<")
        return np.frombuffer(value, kind).reshape(form.rows, form.columns)
    if place.bare:
        value = encapsulated(value)
    check_frame(value, form, header.name, syntax=place.syntax)
    samples = decompress(value, place.syntax, form, header.name)
    if samples.shape != (form.rows, form.columns) or samples.dtype.kind not in "iu":
        raise PixelDataError(
            f"{header.name}: it decodes to {samples.shape} of {samples.dtype}, the header says "
            f"{form.rows} x {form.columns}; the file is damaged: export it again."
        )
    signed = np.dtype(f"i{kind.itemsize}")
    return samples.astype(signed if samples.dtype.kind == "i" else kind, copy=False).view(kind)


def warn_of_padding(headers: Sequence[Header], findings: WarningCollector) -> None:
    """Warn of declared padding that tissue may have."""
    for header in headers:
        form = header.format
        if form.padding is None:
            continue
        hu = wrapped(form.padding, form) * (form.slope or 0.0) + (form.intercept or 0.0)
        if hu > DENSEST_PADDING_HU:
            findings.warn(
                f"PixelPaddingValue means {hu:g} HU, a value that tissue has; "
                "voxels that hold it were set to air where they are connected to the border.",
                PixelDataError,
            )
            return


# Series that do not state how stored values become Hounsfield units.

_SAMPLED = 5  # slices
_MOST_A_SIDE = 128  # pixels of them


def assume_hounsfield(
    headers: Sequence[Header], findings: WarningCollector, accept: Collection[str] = ()
) -> tuple[Header, ...]:
    """Headers without any rescaling get slope 1 and intercept 0 where the values are like HU.

    Some converters store Hounsfield units and no rescaling. Where air lies at -1000 and soft tissue
    between 0 and 100 in the stored values, they are taken as they are, with a warning. Other
    headers are given back as they came, to be refused by `check_pixels`.

    Raises
    ------
    ReadError
        If the pixels cannot be decoded, for whatever other reason.
    """
    if any((h.format.slope, h.format.intercept) != (None, None) for h in headers):
        return tuple(headers)
    assumed = tuple(replace(h, format=replace(h.format, slope=1.0, intercept=0.0)) for h in headers)
    for header in assumed:
        check_pixels(header, WarningCollector(), accept)
    few = {int(n) for n in np.linspace(0, len(headers) - 1, _SAMPLED)}
    if not _are_like_hounsfield([assumed[n] for n in sorted(few)]):
        return tuple(headers)
    findings.warn(
        "RescaleSlope and RescaleIntercept are missing; air and soft tissue lie where Hounsfield "
        "units have them, so the stored values were taken as they are.",
        PixelDataError,
    )
    return assumed


def _are_like_hounsfield(headers: Sequence[Header]) -> bool:
    syntaxes = [header.pixels.syntax for header in headers if header.pixels is not None]
    found = []
    with decompressors(syntaxes, 1) as (decompress, _):
        for header in headers:
            step = -(-max(header.format.rows, header.format.columns) // _MOST_A_SIDE)
            raw = raw_samples(header, decompress)[::step, ::step]
            values, padding = stored_values(raw, header.format), padding_mask(raw, header.format)
            found.append(values.ravel() if padding is None else values[~padding])
    return not implausibility(np.concatenate(found))

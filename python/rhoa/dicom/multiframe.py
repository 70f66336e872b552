"""Enhanced (multi-frame) CT: its frames as slices, and where each lies in the file.

What a single-frame file states of its slice, an enhanced one states in functional groups, shared by
all frames or per frame. Here each frame's groups are laid out flat, and the header is made of them
as of any file; so every check of slices is a check of frames.
"""

from __future__ import annotations

import struct
import warnings
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any, BinaryIO

from rhoa.dicom.codecs import DELIMITER, ITEM
from rhoa.dicom.header import (
    DEFLATED,
    UNCOMPRESSED,
    WANTED,
    PixelPlace,
    drop_long_values,
    header_of,
    unreadable,
)
from rhoa.errors import PixelDataError, ReadError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rhoa.dicom.header import Header

    Part = tuple[tuple[str, str], ...]


# Where each frame of a multi-frame file lies: by its size, or by offset table and fragments.

MOST_FRAGMENTS = 200_000


def frame_places(header: Header, extended: bytes) -> list[PixelPlace | None]:
    """The place of every frame of ``header``'s file, in their order.

    Parameters
    ----------
    extended
        The value of Extended Offset Table (7FE0,0001), empty where there is none.

    Raises
    ------
    PixelDataError
        If compressed pixels are cut short, or do not state which fragments make a frame.
    """
    place = header.pixels
    if place is None:
        return [None] * header.frames
    if place.syntax in UNCOMPRESSED:
        return [_even(header, place, n) for n in range(header.frames)]
    try:
        with header.path.open("rb") as file:
            table, *fragments = pixel_items(file, place, header.name)
            offsets = _offsets(file, table, extended, header)
            if offsets is None and 1 < header.frames < len(fragments):
                marked = _marked(file, fragments)
                offsets = marked if len(marked) == header.frames else None
    except OSError as error:
        raise unreadable(header.name, error) from None
    ends = [end for _, end in fragments]
    starts = _starts([start for start, _ in fragments], offsets, header)
    return [
        PixelPlace(place.syntax, start, stop - start, stop - start, bare=True)
        for start, stop in zip(starts, [*starts[1:], ends[-1]], strict=True)
    ]


def _even(header: Header, place: PixelPlace, n: int) -> PixelPlace:
    """Frame ``n`` (from 0) of uncompressed ones; the last takes what is left, which is checked."""
    size = header.format.bytes_per_frame
    left = max(0, (place.length or 0) - n * size)
    length = left if n == header.frames - 1 else min(size, left)
    return PixelPlace(
        place.syntax, place.offset + n * size, length, max(0, place.available - n * size)
    )


def pixel_items(file: BinaryIO, place: PixelPlace, name: str) -> list[tuple[int, int]]:
    """Start and end of every item, the offset table first; all must lie inside the file."""
    items: list[tuple[int, int]] = []
    here, last = place.offset, place.offset + place.available
    while True:
        file.seek(here)
        head = file.read(8)
        if head[:4] == DELIMITER and len(items) > 1:
            return items
        if head[:4] != ITEM or len(head) < 8:
            raise PixelDataError(
                f"{name}: the compressed pixels have no end mark after {len(items)} fragments; "
                "the file is cut short: export it again."
            )
        (length,) = struct.unpack("<I", head[4:])
        if here + 8 + length > last:
            raise PixelDataError(
                f"{name}: fragment {len(items)} of the compressed pixels ends after "
                f"{last - here - 8} of {length} bytes; the file is cut short: export it again."
            )
        items.append((here, here + 8 + length))
        here += 8 + length
        if len(items) > MOST_FRAGMENTS:
            raise PixelDataError(
                f"{name}: more than {MOST_FRAGMENTS} fragments of compressed pixels; "
                "no CT has so many; the file is damaged: export it again."
            )


def _offsets(
    file: BinaryIO, table: tuple[int, int], extended: bytes, header: Header
) -> list[int] | None:
    """Start of every frame as an offset table states it; None where there is none."""
    kind, size = ("Q", 8) if extended else ("I", 4)
    length = len(extended) or table[1] - table[0] - 8
    if not length:
        return None
    if length != size * header.frames:
        raise PixelDataError(
            f"{header.name}: its offset table has {length // size} entries for {header.frames} "
            "frames; the file is damaged: export it again."
        )
    file.seek(table[0] + 8)
    value = extended or file.read(length)
    return [table[1] + offset for offset in struct.unpack(f"<{header.frames}{kind}", value)]


def _marked(file: BinaryIO, fragments: list[tuple[int, int]]) -> list[int]:
    """Start of every fragment that begins with the mark of a frame's first one."""
    starts = []
    for start, _ in fragments:
        file.seek(start + 8)
        head = file.read(8)
        run_lengths = struct.unpack("<II", head) if len(head) == 8 else (0, 0)
        is_rle = 1 <= run_lengths[0] <= 15 and run_lengths[1] == 64
        if head.startswith((b"\xff\xd8\xff", b"\xff\x4f\xff\x51", b"\0\0\0\x0cjP  ")) or is_rle:
            starts.append(start)
    return starts


def _starts(fragments: list[int], offsets: list[int] | None, header: Header) -> list[int]:
    """Start of every frame's first fragment."""
    if offsets is not None:
        rising = offsets[0] == fragments[0] and all(a < b for a, b in pairwise(offsets))
        if not rising or not set(offsets) <= set(fragments):
            raise PixelDataError(
                f"{header.name}: its offset table points beside the frames; "
                "the file is damaged: export it again."
            )
        return offsets
    if header.frames == 1:
        return fragments[:1]
    if len(fragments) != header.frames:
        raise PixelDataError(
            f"{header.name}: {len(fragments)} fragments for {header.frames} frames and no offset "
            "table, so which belong together is unknown; export it again."
        )
    return fragments


# Enhanced (multi-frame) CT: the frames of one file become the slices that single files are.

ENHANCED_CT = frozenset(["1.2.840.10008.5.1.4.1.1.2.1", "1.2.840.10008.5.1.4.1.1.2.2"])
"""Enhanced CT, and what converters make of single-frame CT."""
MOST_HEADER_BYTES = 32 << 20
"""A frame takes one to four kilobytes of the header."""
MOST_FRAMES = 20_000
"""A beating heart or a perfused organ, scanned 30 times, has half as many."""

_SHARED = "SharedFunctionalGroupsSequence"
_PER_FRAME = "PerFrameFunctionalGroupsSequence"
_GROUPS = {
    "PlanePositionSequence": ("ImagePositionPatient",),
    "PlaneOrientationSequence": ("ImageOrientationPatient",),
    "PixelMeasuresSequence": ("PixelSpacing",),
    "PixelValueTransformationSequence": ("RescaleSlope", "RescaleIntercept", "RescaleType"),
    "CTImageFrameTypeSequence": ("FrameType", "VolumeBasedCalculationTechnique"),
    "CTReconstructionSequence": ("ConvolutionKernel",),
    "FrameContentSequence": ("StackID", "TemporalPositionIndex", "DimensionIndexValues"),
}
_UNASSIGNED = (
    "UnassignedSharedConvertedAttributesSequence",
    "UnassignedPerFrameConvertedAttributesSequence",
)
_CONVERTED = ("ConvolutionKernel", "PixelPaddingValue", "PixelPaddingRangeLimit",
              "BurnedInAnnotation", "LossyImageCompression")  # fmt: skip
"""What converters leave in the unassigned groups, and matters."""
_OF_FRAMES = frozenset(name for names in _GROUPS.values() for name in names) | {"NumberOfFrames"}
_DIMENSIONS = {
    0x00209056: "stack",
    0x00209128: "time",
    0x0020930D: "time",
    0x00209241: "cardiac phase",
    0x00209245: "respiratory phase",
}
"""Dimensions whose index distinguishes volumes; others count slices within one."""
_MOST_SHOWN = 16  # characters of a stack's name


def slices_of(header: Header) -> tuple[Header, ...]:
    """One header for every frame of an enhanced CT file; any other header alone.

    Raises
    ------
    ReadError
        If the functional groups do not fit the frames, contradict each other or cannot be parsed.
    PixelDataError
        If it is unknown which pixels are whose frame, or which frames are originals.
    """
    if header.sop_class not in ENHANCED_CT:
        return (header,)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # odd but readable values; what matters is checked
            return _slices(header)
    except ReadError:
        raise
    except Exception as error:  # noqa: BLE001  # pydicom raises whatever its parser met
        raise ReadError(
            f"{header.name}: functional groups that cannot be parsed ({type(error).__name__}); "
            "the file is damaged or cut short: export it again, or leave it out."
        ) from None


def part_names(keys: Iterable[tuple[str, Part]]) -> dict[tuple[str, Part], str]:
    """What distinguishes each part, given with its series' UID, from others of that series.

    Such as ``stack 2, time 1``; nothing where there is one part.
    """
    keys = list(keys)
    several: dict[str, list[dict[str, str]]] = {}
    for uid, part in keys:
        several.setdefault(uid, []).append(dict(part))
    return {
        (uid, part): ", ".join(
            f"{what} {value}"
            for what, value in part
            if len({other.get(what) for other in several[uid]}) > 1
        )
        for uid, part in keys
    }


def _slices(header: Header) -> tuple[Header, ...]:
    from pydicom import dcmread
    from pydicom.datadict import keyword_for_tag

    _check_extent(header)
    names = [*WANTED, _SHARED, _PER_FRAME, "DimensionIndexSequence", "ExtendedOffsetTable"]
    dataset: Any = dcmread(header.path, stop_before_pixels=True, specific_tags=[*names], force=True)
    shared = _item(dataset, _SHARED, header.name)
    frames = dataset.get(_PER_FRAME)
    if not frames:
        raise ReadError(
            f"{header.name}: PerFrameFunctionalGroupsSequence (5200,9230) is missing or empty; "
            "without it no frame can be placed in the patient; export the original series."
        )
    if len(frames) != header.frames:
        raise ReadError(
            f"{header.name}: NumberOfFrames is {header.frames}, but functional groups describe "
            f"{len(frames)} frames: frame {min(len(frames), header.frames) + 1} has "
            f"{'no description' if len(frames) < header.frames else 'no pixels'}; "
            "export the original series."
        )
    places = frame_places(header, bytes(dataset.get("ExtendedOffsetTable") or b""))
    common = frozenset(WANTED) - _OF_FRAMES  # elements of the file that count for all its frames
    base = {
        tag: dataset.get_item(tag)
        for tag in dataset.keys()  # noqa: SIM118  # a data set iterates over its elements
        if keyword_for_tag(tag) in common
    }
    pointers = [
        item.get("DimensionIndexPointer") for item in dataset.get("DimensionIndexSequence") or ()
    ]
    dimensions = {n: _DIMENSIONS[tag] for n, tag in enumerate(pointers) if tag in _DIMENSIONS}
    return tuple(
        _slice(header, number, _flat(base, frame, shared, name), place, dimensions)
        for number, (frame, place) in enumerate(zip(frames, places, strict=True), 1)
        for name in [f"{header.name} frame {number}"]
    )


def _check_extent(header: Header) -> None:
    """Check, before the groups are parsed, that the file can be what it declares."""
    place = header.pixels
    if place is not None and place.syntax == DEFLATED:
        raise PixelDataError(
            f"{header.name}: enhanced CT in a deflated data set is not read; "
            "export the file uncompressed or as JPEG 2000."
        )
    length = header.path.stat().st_size if place is None else place.offset
    if length > MOST_HEADER_BYTES or header.frames > MOST_FRAMES:
        raise ReadError(
            f"{header.name}: {header.frames} frames and a header of {length} bytes; an enhanced CT "
            f"has up to {MOST_FRAMES} frames and {MOST_HEADER_BYTES} bytes; "
            "the file is damaged: export it again."
        )


def _item(dataset: Any, group: str, name: str) -> Any:  # noqa: ANN401  # untyped in pydicom
    """The one item of a functional group; None where there is none."""
    items = None if dataset is None else dataset.get(group)
    if not items:
        return None
    if len(items) != 1:
        raise ReadError(
            f"{name}: {group} has {len(items)} items; one is needed, as readers disagree which "
            "counts; export the original series."
        )
    return items[0]


def _flat(base: dict[Any, Any], frame: Any, shared: Any, name: str) -> Any:  # noqa: ANN401
    """A frame's elements as a single-frame file has them; a group of its own comes first."""
    from pydicom.dataset import Dataset

    flat: Any = Dataset()
    flat.update(base)
    for group, keywords in _GROUPS.items():
        found = [_item(where, group, name) for where in (frame, shared)]
        items = [item for item in found if item is not None]
        for keyword in keywords:
            elements = [item.get_item(keyword) for item in items if keyword in item]
            if len(elements) == 2 and elements[0].value != elements[1].value:
                raise ReadError(
                    f"{name}: {keyword} is in the shared and in the frame's own functional groups, "
                    "with two values; export the original series."
                )
            if elements:
                flat[elements[0].tag] = elements[0]
    for where, group in zip((shared, frame), _UNASSIGNED, strict=True):
        item = _item(where, group, name)
        for keyword in _CONVERTED:
            if item is not None and keyword in item and keyword not in flat:
                element = item.get_item(keyword)
                flat[element.tag] = element
    return flat


def _slice(
    header: Header,
    number: int,
    flat: Any,  # noqa: ANN401  # untyped in pydicom
    place: PixelPlace | None,
    dimensions: dict[int, str],
) -> Header:
    name = f"{header.name} frame {number}"
    kind = [str(value) for value in flat.get("FrameType") or ()]
    if not kind and header.image_type[:1] == ("MIXED",):
        raise PixelDataError(
            f"{name}: FrameType (0008,9007) is missing, and ImageType is MIXED: which frames are "
            "originals is unknown; export the original series."
        )
    part = _part(flat, kind, dimensions)
    if kind:
        flat.ImageType = [*kind, str(flat.get("VolumeBasedCalculationTechnique") or "NONE")]
    drop_long_values(flat)
    one = header_of(header.path, flat, place)
    return replace(
        one,
        instance_uid=f"{header.instance_uid} frame {number}",
        plane=replace(one.plane, name=name),
        frame=number,
        part=part,
    )


def _part(flat: Any, kind: list[str], dimensions: dict[int, str]) -> Part:  # noqa: ANN401
    """To which volume of the file a frame belongs."""
    indices = flat.get("DimensionIndexValues")
    indices = [indices] if isinstance(indices, int) else list(indices or ())
    part = {what: str(indices[n]) for n, what in dimensions.items() if n < len(indices)}
    for what, keyword in (("stack", "StackID"), ("time", "TemporalPositionIndex")):
        value = str(flat.get(keyword) or "").strip()
        if value:
            part[what] = "".join(c for c in value[:_MOST_SHOWN] if c.isprintable())
    if kind:
        part["type"] = "/".join(kind)
    return tuple(part.items())

"""One DICOM file without its pixels: what the reader needs to know, and where the pixels lie."""

from __future__ import annotations

import contextlib
import os
import struct
import warnings
import zlib
from dataclasses import dataclass, replace
from io import BufferedReader, BytesIO
from typing import TYPE_CHECKING, Any, BinaryIO

from rhoa.errors import PixelDataError, ReadError
from rhoa.reading.bounded import BoundedFile, printable, shown
from rhoa.reading.elements import (
    MOST_TEXT,
    drop_long_values,
    number_of,
    numbers_of,
    text_of,
    values_of,
    whole_of,
)
from rhoa.reading.geometry import Plane
from rhoa.reading.plain import (
    ELEMENTS,
    HEAD_BYTES,
    PIXELS,
    UNDEFINED_LENGTH,
    NotPlainError,
    plain_elements,
)
from rhoa.reading.syntaxes import DEFLATED, EXPLICIT_BIG, IMPLICIT_LITTLE

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Iterator, Sequence
    from pathlib import Path

MOST_INFLATED_BYTES = 64 << 20
"""A deflated slice larger than this is no CT slice: 4096 x 4096 pixels take 32 MiB."""
MOST_INFLATION, SMALL_BYTES = 200, 4 << 20
"""A data set beyond the second may not grow more than this; an empty slice grows a thousandfold."""

MEDIA_DIRECTORY = "1.2.840.10008.1.3.10"
_CT_IMAGES = frozenset(f"1.2.840.10008.5.1.4.1.1.2{kind}" for kind in ("", ".1", ".2"))
_FLOAT_PIXELS = 0x7FE00008
_MOST_KNOWN = 64  # headers unlike each other that are kept; localizers, several series

WANTED = [keyword for keyword, _ in ELEMENTS.values()]
"""Elements of one slice that the reader looks at."""


class SkippedFileError(Exception):
    """A file that is no DICOM image; the reason is its message. Never reaches the user."""


def unreadable(name: str, error: OSError) -> ReadError:
    """The error of a file whose header could be read, and whose pixels cannot."""
    return ReadError(f"{name}: the file cannot be read ({error.strerror}).")


@dataclass(frozen=True, slots=True)
class PixelFormat:
    """How stored values lie in the file, and how they become Hounsfield units."""

    rows: int
    columns: int
    bits_allocated: int
    bits_stored: int
    high_bit: int
    signed: bool
    padding: int | None = None
    padding_limit: int | None = None
    slope: float | None = 1.0
    intercept: float | None = 0.0

    @property
    def bytes_per_frame(self) -> int:
        """Bytes of one uncompressed frame."""
        return self.rows * self.columns * self.bits_allocated // 8


@dataclass(frozen=True, slots=True)
class PixelPlace:
    """Where the Pixel Data value lies: its offset, declared length and transfer syntax."""

    syntax: str
    offset: int
    length: int | None
    """None where it is undefined, as for compressed pixels."""
    available: int
    """Bytes that the file really holds from ``offset`` on."""
    bare: bool = False
    """Whether these are the fragments of one frame among others: no offset table, no end mark."""


@dataclass(frozen=True, slots=True)
class Header:
    """What the reader keeps of one slice: a DICOM file, or one frame of it.

    It holds nothing about the patient.
    """

    path: Path
    series_uid: str
    instance_uid: str
    sop_class: str
    modality: str
    image_type: tuple[str, ...]
    frames: int
    samples: int
    photometric: str
    kernel: str
    patient_position: str
    burned_in: bool
    lossy: bool
    rescale_type: str
    plane: Plane
    format: PixelFormat
    pixels: PixelPlace | None
    """None where the file holds no (integer) Pixel Data."""
    frame: int | None = None
    """Which frame of an enhanced file, counted from 1."""
    part: tuple[tuple[str, str], ...] = ()
    """What tells its volume from others in an enhanced file: stack, time, frame type."""

    @property
    def name(self) -> str:
        """The file's name and the frame's number, for messages."""
        return shown(self.path) if self.frame is None else f"{shown(self.path)} frame {self.frame}"


def read_header(path: Path, known: dict[Hashable, Header] | None = None) -> Header:
    """The header of one DICOM file.

    Parameters
    ----------
    path
        The file.
    known
        Headers read before, kept here for the next: slices agree in nearly everything, and what is
        byte for byte as it was need not be parsed again.

    Raises
    ------
    SkippedFileError
        If the file is no DICOM image.
    ReadError
        If it is a DICOM file that cannot be parsed.
    """
    try:
        with path.open("rb", buffering=0) as file:
            head = file.read(HEAD_BYTES)
            if head[128:132] != b"DICM":
                reason = "no DICOM file" if head else "empty file"
                raise SkippedFileError(reason)
            try:
                size = os.fstat(file.fileno()).st_size
                return _parse_plain(path, head, size, {} if known is None else known)
            except NotPlainError:
                file.seek(0)
                with BufferedReader(file) as buffered:
                    return _parse(path, buffered, deflated=_is_deflated(head))
    except OSError as error:
        raise ReadError(
            f"{shown(path)}: the file cannot be read ({error.strerror}); check its permissions."
        ) from None


def inflate(file: BinaryIO) -> BytesIO:
    """The data set of a deflated DICOM file, inflated up to a limit.

    Raises
    ------
    ReadError
        If the stream is damaged, or inflates to more than any CT slice.
    """
    head = file.read(144)  # preamble, DICM and the meta group's length
    file.seek(144 + struct.unpack("<I", head[140:144])[0])
    name = shown(getattr(file, "name", ""))
    stream = zlib.decompressobj(-zlib.MAX_WBITS)
    packed = file.read(MOST_INFLATED_BYTES)
    most = min(MOST_INFLATED_BYTES, max(SMALL_BYTES, MOST_INFLATION * len(packed)))
    try:
        data = stream.decompress(packed, most)
    except zlib.error:
        raise ReadError(f"{name}: the deflated data are damaged; export the file again.") from None
    if stream.unconsumed_tail:
        raise ReadError(
            f"{name}: the deflated data exceed {most >> 20} MiB; "
            "no single image is that large; export the file uncompressed."
        )
    if not stream.eof:
        raise ReadError(f"{name}: the deflated data end early; the file is cut short.")
    return BytesIO(data)


def _is_deflated(head: bytes) -> bool:
    meta = head[132 : 144 + int.from_bytes(head[140:144], "little")]
    return DEFLATED.encode() in meta


def _parse_plain(path: Path, head: bytes, size: int, known: dict[Hashable, Header]) -> Header:
    found = plain_elements(head)
    key, offset, length = found.key, found.pixels_offset, found.pixels_length
    place = PixelPlace(found.file_meta["TransferSyntaxUID"], offset, length, max(0, size - offset))
    alike = known.get(key)
    if alike is None:
        header = header_of(path, found.values(), place)
        if len(known) < _MOST_KNOWN:
            known[key] = header
        return header
    values = found.own_values()
    position = numbers_of(values, "ImagePositionPatient", 3)
    return replace(
        alike,
        path=path,
        instance_uid=text_of(values, "SOPInstanceUID"),
        plane=replace(alike.plane, name=shown(path), position_mm=position),
        pixels=place,
    )


def _parse(path: Path, file: BinaryIO, *, deflated: bool) -> Header:
    remedy = 'export it again, leave it out, or pass repair="drop".'
    with told_of_damage(path, remedy):
        return header_of(path, *_elements(path, file, WANTED, deflated=deflated))


def read_elements(path: Path, wanted: Sequence[str]) -> tuple[Any, PixelPlace | None]:
    """The elements ``wanted`` of one DICOM file of any kind, and where its pixels lie.

    Raises
    ------
    SkippedFileError
        If the file is no DICOM file.
    ReadError
        If it is one that cannot be parsed.
    """
    try:
        with path.open("rb") as file:
            head = file.read(HEAD_BYTES)
            if head[128:132] != b"DICM":
                raise SkippedFileError("no DICOM file" if head else "empty file")
            file.seek(0)
            with told_of_damage(path, "export it again."):
                return _elements(path, file, wanted, deflated=_is_deflated(head))
    except OSError as error:
        raise unreadable(shown(path), error) from None


def elements_of(files: Iterable[Path], wanted: Sequence[str]) -> Iterator[Any]:
    """The elements ``wanted`` of each DICOM file that can be parsed; others are passed over."""
    for file in files:
        try:
            yield read_elements(file, wanted)[0]
        except (SkippedFileError, ReadError):
            continue


@contextlib.contextmanager
def told_of_damage(path: Path, remedy: str) -> Iterator[None]:
    """Whatever a parser raises becomes a `ReadError`; what it warns of is checked elsewhere."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except (SkippedFileError, ReadError, OSError):
        raise
    except Exception as error:  # noqa: BLE001  # pydicom raises whatever its parser met
        raise ReadError(
            f"{shown(path)}: a DICOM file that cannot be parsed ({type(error).__name__}); "
            f"it is damaged or cut short: {remedy}"
        ) from None


def _elements(
    path: Path, file: BinaryIO, wanted: Sequence[str], *, deflated: bool
) -> tuple[Any, PixelPlace | None]:
    import pydicom
    from pydicom.filereader import read_dataset

    dataset: Any
    if deflated:
        source: BinaryIO = inflate(file)
        syntax = DEFLATED
        dataset = read_dataset(
            BoundedFile(source, shown(path)),  # type: ignore[arg-type]  # all it needs
            is_implicit_VR=False,
            is_little_endian=True,
            stop_when=lambda tag, _vr, _length: tag >= _FLOAT_PIXELS,
            specific_tags=[pydicom.tag.Tag(name) for name in wanted],
        )
    else:
        source = file
        bounded: Any = BoundedFile(file, shown(path))
        dataset = pydicom.dcmread(bounded, stop_before_pixels=True, specific_tags=[*wanted])
        syntax = text_of(dataset.file_meta, "TransferSyntaxUID") or IMPLICIT_LITTLE
    drop_long_values(dataset)
    return dataset, _locate_pixels(source, syntax)


def _locate_pixels(source: BinaryIO, syntax: str) -> PixelPlace | None:
    """The place of the pixels; ``source`` stands at the tag that follows the header."""
    order = ">" if syntax == EXPLICIT_BIG else "<"
    start = source.read(8)
    if len(start) < 8:
        return None
    group, element = struct.unpack(order + "HH", start[:4])
    if group << 16 | element != PIXELS:
        return None
    length = start[4:]
    if syntax != IMPLICIT_LITTLE:
        length = source.read(4)  # after the VR, OB or OW, and two reserved bytes
        if len(length) < 4:
            return None
    (declared,) = struct.unpack(order + "I", length)
    offset = source.tell()
    available = source.seek(0, 2) - offset
    known = None if declared == UNDEFINED_LENGTH else declared
    return PixelPlace(syntax, offset, known, available)


def header_of(path: Path, dataset: Any, pixels: PixelPlace | None) -> Header:  # noqa: ANN401
    """The header of one slice, from `WANTED` elements in a data set of pydicom or its like."""
    sop_class = text_of(dataset, "SOPClassUID")
    modality = text_of(dataset, "Modality")
    declared = str(getattr(dataset, "file_meta", {}).get("MediaStorageSOPClassUID") or sop_class)
    if declared == MEDIA_DIRECTORY:
        raise SkippedFileError("DICOMDIR (never followed)")
    rows, columns = whole_of(dataset, "Rows") or 0, whole_of(dataset, "Columns") or 0
    if pixels is None and (not modality or declared in _CT_IMAGES):
        # Also where another tag is absent: a header cut inside a UID would look like a new series.
        raise PixelDataError(
            f"{shown(path)}: it holds no pixel data (7FE0,0010); the file is cut short or was "
            'stripped: export it again, leave it out, or pass repair="drop".'
        )
    if pixels is None and not rows:
        raise SkippedFileError(f"DICOM without an image ({modality})")
    kind = values_of(dataset, "ImageType")
    bits = whole_of(dataset, "BitsAllocated") or 0
    stored = whole_of(dataset, "BitsStored") or bits
    high_bit = whole_of(dataset, "HighBit")
    return Header(
        path=path,
        series_uid=text_of(dataset, "SeriesInstanceUID"),
        instance_uid=text_of(dataset, "SOPInstanceUID"),
        sop_class=sop_class,
        modality=modality,
        image_type=tuple(printable(str(part).upper(), most=MOST_TEXT) for part in kind),
        frames=whole_of(dataset, "NumberOfFrames") or 1,
        samples=whole_of(dataset, "SamplesPerPixel") or 1,
        photometric=text_of(dataset, "PhotometricInterpretation"),
        kernel=printable(
            " ".join(map(str, values_of(dataset, "ConvolutionKernel"))), most=MOST_TEXT
        ),
        patient_position=text_of(dataset, "PatientPosition"),
        burned_in=text_of(dataset, "BurnedInAnnotation") == "YES",
        lossy=text_of(dataset, "LossyImageCompression") == "01",
        rescale_type=text_of(dataset, "RescaleType"),
        plane=Plane(
            name=shown(path),
            position_mm=numbers_of(dataset, "ImagePositionPatient", 3),
            orientation=numbers_of(dataset, "ImageOrientationPatient", 6),
            pixel_mm=numbers_of(dataset, "PixelSpacing", 2),
            rows=rows,
            columns=columns,
        ),
        format=PixelFormat(
            rows=rows,
            columns=columns,
            bits_allocated=bits,
            bits_stored=stored,
            high_bit=stored - 1 if high_bit is None else high_bit,
            signed=whole_of(dataset, "PixelRepresentation") == 1,
            padding=whole_of(dataset, "PixelPaddingValue"),
            padding_limit=whole_of(dataset, "PixelPaddingRangeLimit"),
            slope=number_of(dataset, "RescaleSlope"),
            intercept=number_of(dataset, "RescaleIntercept"),
        ),
        pixels=pixels,
    )

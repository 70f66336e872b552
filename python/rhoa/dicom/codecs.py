"""Compressed frames to samples: checks before a codec sees them, and the codecs.

JPEG 2000, JPEG lossless and RLE are decoded by the extension, which releases Python's lock. What
else there is, is decoded by other packages in processes of their own.
"""

from __future__ import annotations

import contextlib
import os
import struct
import subprocess
import sys
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

import numpy as np

from rhoa import _core
from rhoa.dicom import codec_worker
from rhoa.errors import MissingExtraError, PixelDataError, install_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from numpy.typing import NDArray

    from rhoa.dicom.header import Header, PixelFormat
    from rhoa.errors import WarningCollector

    Samples = NDArray[np.generic]
    Decompress = Callable[[bytes, str, PixelFormat, str], Samples]


# What a compressed code stream says of itself, read before a decoder believes it.

_J2K, _JP2 = b"\xff\x4f\xff\x51", b"\0\0\0\x0cjP  "
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # SOFn
_LS_FRAME, _LS_PRESETS, _SCAN = 0xF7, 0xF8, 0xDA
_LEAST_RESET, _MOST_RESET = 3, 255


def stream_size(stream: bytes) -> tuple[int, int] | None:
    """Rows and columns of the one component that a JPEG 2000, JPEG or JPEG-LS stream declares.

    None where it is no such stream, or has parameters that the standard forbids: with some of them
    decoders take minutes for a small image.
    """
    if stream.startswith(_JP2):  # a file format around the code stream, which some writers leave
        stream = stream[max(0, stream.find(_J2K)) :]
    if stream.startswith(_J2K):
        if len(stream) < 45:
            return None
        width, height, left, top = struct.unpack_from(">4I", stream, 8)
        components, _, across, down = struct.unpack_from(">H3B", stream, 40)
        whole = (components, across, down) == (1, 1, 1)  # one component, not subsampled
        return (height - top, width - left) if whole else None
    return (_jpeg_frame(stream) or (None,))[0]


def stream_signed(stream: bytes) -> bool | None:
    """Whether a JPEG 2000 stream declares signed samples; None where it is no such stream.

    Its first two hundred bytes are enough.
    """
    start = stream.find(_J2K)
    if start < 0 or len(stream) < start + 43:
        return None
    return bool(stream[start + 42] & 0x80)


def _jpeg_frame(stream: bytes) -> tuple[tuple[int, int], int] | None:
    """Rows and columns of one frame, and bits of a sample, from the segments before its scan."""
    if stream[:2] != b"\xff\xd8":
        return None
    size, place, bits, is_ls, presets = None, 2, 0, False, b""
    while place + 10 <= len(stream) and stream[place] == 0xFF:
        marker = stream[place + 1]
        if marker == 0xFF:  # filling before a marker
            place += 1
            continue
        (length,) = struct.unpack_from(">H", stream, place + 2)
        if marker in _JPEG_FRAMES or marker == _LS_FRAME:
            bits, height, width, components = struct.unpack_from(">BHHB", stream, place + 4)
            if components != 1 or size is not None:
                return None
            size, is_ls = (height, width), marker == _LS_FRAME
        elif marker == _LS_PRESETS:
            presets = stream[place + 4 : place + 2 + length]
        elif marker == _SCAN:
            near = stream[place + 7]
            sound = size is not None and (not is_ls or _is_sound(bits, presets, near))
            return (size, bits) if size is not None and sound else None
        place += 2 + length
    return None


def _is_sound(bits: int, presets: bytes, near: int) -> bool:
    """Whether JPEG-LS parameters lie where ISO/IEC 14495-1, table C.1, has them."""
    if not 2 <= bits <= 16:
        return False
    largest = 2**bits - 1
    if presets:
        if len(presets) != 11 or presets[0] != 1:  # mapping tables and sizes are not of CT
            return False
        most, first, second, third, reset = struct.unpack_from(">5H", presets, 1)
        if most > largest or (reset and not _LEAST_RESET <= reset <= max(_MOST_RESET, largest)):
            return False
        largest = most or largest
        given = [threshold for threshold in (first, second, third) if threshold]
        if given != sorted(given) or any(not near < one <= largest for one in given):
            return False
    most_near: int = min(255, largest // 2)
    return near <= most_near


RLE = "1.2.840.10008.1.2.5"
LOSSY = frozenset(
    f"1.2.840.10008.1.2.4.{n}" for n in ("50", "51", "81", "91", "203")
)  # JPEG, JPEG, JPEG-LS near-lossless, JPEG 2000, HTJ2K
JPEG_2000 = frozenset(f"1.2.840.10008.1.2.4.{n}" for n in ("90", "91", "201", "202", "203"))
_LOSSY_JPEG = frozenset(f"1.2.840.10008.1.2.4.{n}" for n in ("50", "51"))
IN_PROCESS = {
    RLE: "RLE",
    **{f"1.2.840.10008.1.2.4.{n}": "JPEG lossless" for n in ("57", "70")},
    **{f"1.2.840.10008.1.2.4.{n}": "JPEG 2000" for n in ("90", "91")},
}
"""What the extension decodes. Decoders of other syntaxes may crash, and that of JPEG-LS counts to
two thousand million on some damaged streams: they work in other processes."""

MOST_INFLATION, SMALL_BYTES = 1000, 8 << 20
"""A slice beyond the second is no more than this times its compressed bytes; air may be."""
_RLE_INFLATION = 64  # two bytes become 128 at most
_SIGNS = ("unsigned", "signed")
_START_BYTES = 512  # hold an offset table, and a stream's own header
_SLACK_BYTES = 1 << 20  # for offset tables, marks, comments, and what follows the pixels
ITEM, DELIMITER = b"\xfe\xff\x00\xe0", b"\xfe\xff\xdd\xe0"
_WORTH_A_PROCESS = 12  # frames; a process takes as long to start as ten frames to decode


def syntax_name(syntax: str) -> str:
    """The name of a transfer syntax as the standard prints it."""
    from pydicom.uid import UID

    return UID(syntax, validation_mode=0).name  # what is no UID is its own name


def require_codec(name: str, syntax: str) -> None:
    """Check that this machine can decode ``syntax``.

    Raises
    ------
    MissingExtraError
        Naming the syntax and the pip line that brings its decoder.
    PixelDataError
        If no decoder for it exists.
    """
    if syntax in IN_PROCESS:
        return
    if syntax not in codec_worker.DECODERS:
        raise PixelDataError(
            f"{name}: transfer syntax {syntax_name(syntax)} ({syntax}) is not supported; "
            "convert the series to an uncompressed or JPEG 2000 syntax."
        )
    if codec_worker.decoder_of(syntax) is None:
        raise MissingExtraError(
            f"{name}: transfer syntax {syntax_name(syntax)} needs a decoder that is not installed: "
            f"{install_line('codecs')}"
        )


def encapsulated(fragments: bytes) -> bytes:
    """The fragments of one frame as a whole Pixel Data value: no offsets before, an end after."""
    return ITEM + bytes(4) + fragments + DELIMITER + bytes(4)


def check_packing(name: str, syntax: str, *, packed: int, needed: int) -> None:
    """Check that ``packed`` bytes may be ``needed`` bytes of pixels, before they are read.

    Raises
    ------
    PixelDataError
        If they are far too few, as in a bomb, or far too many.
    """
    most = _RLE_INFLATION * packed if syntax == RLE else max(SMALL_BYTES, MOST_INFLATION * packed)
    if needed > most:
        raise PixelDataError(
            f"{name}: {packed} bytes of compressed pixels cannot be {needed} bytes of an image; "
            "the file is damaged: export it again."
        )
    if packed > 2 * needed + _SLACK_BYTES:
        raise PixelDataError(
            f"{name}: {packed} bytes of compressed pixels for {needed} bytes of an image; "
            "the file is damaged: export it again."
        )


def check_frame(value: bytes, form: PixelFormat, name: str, *, syntax: str = "") -> None:
    """Check that an encapsulated frame is whole and of the size its header states.

    Raises
    ------
    PixelDataError
        If a fragment is cut short, or the code stream is none of ``syntax``, declares other rows
        and columns or several components.
    MissingExtraError
        If it is lossy JPEG of 12 bits, which fewer decoders know.
    """
    stream = b""
    for fragment in _fragments(value, name):
        stream += fragment
        if len(stream) >= 1 << 16:
            break
    size = stream_size(stream)
    if size is None and syntax not in {RLE, ""}:
        raise PixelDataError(
            f"{name}: its compressed pixels are no sound {syntax_name(syntax)} code stream; "
            "the file is damaged: export it again."
        )
    if size is not None and size != (form.rows, form.columns):
        raise PixelDataError(
            f"{name}: the compressed image is {size[0]} x {size[1]}, but the header says "
            f"{form.rows} x {form.columns}; the file is damaged: export it again."
        )
    if syntax in _LOSSY_JPEG and codec_worker.decoder_of(syntax) == "pillow":
        bits = (_jpeg_frame(stream) or (None, 8))[1]
        if bits != 8:
            raise MissingExtraError(
                f"{name}: {syntax_name(syntax)} of {bits} bits needs a decoder that is not "
                "installed: pip install python-gdcm"
            )


def check_sign(header: Header, findings: WarningCollector) -> None:
    """Warn where a JPEG 2000 stream says signed and the header unsigned, or the reverse."""
    place = header.pixels
    if place is None or place.syntax not in JPEG_2000:
        return
    try:
        with header.path.open("rb") as file:
            file.seek(place.offset)
            signed = stream_signed(file.read(min(_START_BYTES, place.available)))
    except OSError:  # reported when the pixels are read
        return
    if signed not in {None, header.format.signed}:
        findings.warn(
            f"the JPEG 2000 streams hold {_SIGNS[bool(signed)]} samples, PixelRepresentation says "
            f"{_SIGNS[header.format.signed]}, which was used; look whether air is at -1000 HU.",
            PixelDataError,
        )


def _fragments(value: bytes, name: str) -> list[bytes]:
    """The fragments after the offset table; all of them must lie inside the file."""
    fragments, place = [], 0
    while value[place : place + 4] == ITEM:
        (length,) = struct.unpack_from("<I", value.ljust(place + 8, b"\0"), place + 4)
        place += 8
        if place + length > len(value):
            raise PixelDataError(
                f"{name}: the compressed pixels end after {len(value) - place} of {length} bytes; "
                "the file is cut short: export it again."
            )
        fragments.append(value[place : place + length])
        place += length
    if value[place : place + 4] != DELIMITER or len(fragments) < 2:
        raise PixelDataError(
            f"{name}: the compressed pixels have no end mark; "
            "the file is cut short: export it again."
        )
    return fragments[1:]


@contextlib.contextmanager
def decompressors(syntaxes: Iterable[str], threads: int) -> Iterator[tuple[Decompress, int]]:
    """A function that decompresses a frame, and the number of threads that may call it at once.

    Parameters
    ----------
    syntaxes
        Those of all frames to come. Child processes are started where the extension does not
        decode them; a child that uses too much processor time ends.
    """
    elsewhere = sum(syntax in codec_worker.DECODERS for syntax in syntaxes)
    if not elsewhere:
        yield _decompress, threads
        return
    count = max(1, min(threads, elsewhere // _WORTH_A_PROCESS))
    started = [child for child in (_start() for _ in range(count)) if child is not None]
    children = [child for child in started if child.stdout and codec_worker.receive(child.stdout)]
    idle: SimpleQueue[subprocess.Popen[bytes]] = SimpleQueue()
    for child in children:
        idle.put(child)

    def decompress(value: bytes, syntax: str, form: PixelFormat, name: str) -> Samples:
        if syntax in IN_PROCESS or not children:
            return _decompress(value, syntax, form, name)
        child = idle.get()
        try:
            return _ask(child, value, syntax, form, name)
        finally:
            idle.put(child)

    try:
        yield decompress, max(1, len(children))
    finally:
        _stop(started)


def _stop(children: list[subprocess.Popen[bytes]]) -> None:
    for child in children:
        child.kill()
        child.communicate()


def _decompress(value: bytes, syntax: str, form: PixelFormat, name: str) -> Samples:
    """The samples of one frame, decoded in this process."""
    codec = IN_PROCESS.get(syntax)
    try:
        if codec is None:
            samples: Samples = codec_worker.decompress(value, syntax, _options(form))
            return samples
        return _core.decoded(
            b"".join(_fragments(value, name)),
            codec=codec,
            rows=form.rows,
            columns=form.columns,
            bits=form.bits_allocated,
        ).reshape(form.rows, form.columns)
    except PixelDataError:
        raise
    except NotImplementedError as error:
        raise PixelDataError(
            f"{name}: its {syntax_name(syntax)} pixels cannot be decoded: {error}; "
            "convert the series to an uncompressed syntax."
        ) from None
    except Exception as error:  # noqa: BLE001  # codecs raise anything
        raise _undecodable(name, syntax, str(error)) from None


def _start() -> subprocess.Popen[bytes] | None:
    """A worker, which says when it is ready; None where this Python cannot start one."""
    if "python" not in Path(sys.executable or "").name.lower():  # embedded in another program
        return None
    paths = [path for path in sys.path if path]
    try:
        child = subprocess.Popen(  # noqa: S603  # this interpreter, our own file
            [sys.executable, "-P", codec_worker.__file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"},
        )
    except OSError:
        return None
    return child


def _ask(
    child: subprocess.Popen[bytes], value: bytes, syntax: str, form: PixelFormat, name: str
) -> Samples:
    """The samples that a worker decodes from one frame."""
    if child.stdin is None or child.stdout is None:
        raise _undecodable(name, syntax, "the decoder has no pipes")
    try:
        codec_worker.send(child.stdin, {"syntax": syntax, "options": _options(form)}, value)
        reply = codec_worker.receive(child.stdout)
    except OSError:
        reply = None
    if reply is None:
        raise _undecodable(name, syntax, "the decoder crashed or did not end")
    head, body = reply
    if "error" in head:
        raise _undecodable(name, syntax, head["error"])
    return np.frombuffer(body, head["dtype"]).reshape(head["shape"])


def _options(form: PixelFormat) -> dict[str, Any]:
    return {
        "rows": form.rows,
        "columns": form.columns,
        "samples_per_pixel": 1,
        "bits_allocated": form.bits_allocated,
        "bits_stored": form.bits_stored,
        "pixel_representation": int(form.signed),
        "photometric_interpretation": "MONOCHROME2",
        "number_of_frames": 1,
        "pixel_keyword": "PixelData",
    }


def _undecodable(name: str, syntax: str, why: str) -> PixelDataError:
    reason = " ".join(why.split())[-160:]
    return PixelDataError(
        f"{name}: its {syntax_name(syntax)} pixels cannot be decoded ({reason}); "
        "the file is damaged: export it again."
    )

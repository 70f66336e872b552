"""What a compressed code stream says of itself, read before a decoder believes it."""

from __future__ import annotations

import struct

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
        return _j2k_size(stream)
    return _jpeg_size(stream) if stream[:2] == b"\xff\xd8" else None


def stream_signed(stream: bytes) -> bool | None:
    """Whether a JPEG 2000 stream declares signed samples; None where it is no such stream.

    Its first two hundred bytes are enough.
    """
    start = stream.find(_J2K)
    if start < 0 or len(stream) < start + 43:
        return None
    return bool(stream[start + 42] & 0x80)


def _j2k_size(stream: bytes) -> tuple[int, int] | None:
    """Rows and columns of a code stream of one component that is not subsampled."""
    if len(stream) < 45:
        return None
    width, height, left, top = struct.unpack_from(">4I", stream, 8)
    components, _, across, down = struct.unpack_from(">H3B", stream, 40)
    return (height - top, width - left) if (components, across, down) == (1, 1, 1) else None


def _jpeg_size(stream: bytes) -> tuple[int, int] | None:
    """Rows and columns of one frame, from the segments before its scan."""
    size, place, bits, presets = None, 2, 0, b""
    while place + 10 <= len(stream) and stream[place] == 0xFF:
        marker = stream[place + 1]
        if marker == 0xFF:  # filling before a marker
            place += 1
            continue
        (length,) = struct.unpack_from(">H", stream, place + 2)
        if marker in _JPEG_FRAMES or marker == _LS_FRAME:
            precision, height, width, components = struct.unpack_from(">BHHB", stream, place + 4)
            if components != 1 or size is not None:
                return None
            size, bits = (height, width), precision if marker == _LS_FRAME else 0
        elif marker == _LS_PRESETS:
            presets = stream[place + 4 : place + 2 + length]
        elif marker == _SCAN:
            near = stream[place + 7]
            return size if not bits or _is_sound(bits, presets, near) else None
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

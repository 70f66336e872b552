"""What code streams say of themselves: sizes as written, and nothing the standards forbid."""

from __future__ import annotations

import struct

import numpy as np
import pytest

from rhoa.dicom.codecs import stream_size


def jpegls(
    *,
    bits: int = 12,
    components: int = 1,
    presets: tuple[int, int, int, int, int] | None = None,
    near: int = 0,
) -> bytes:
    """The segments of a JPEG-LS image of 9 rows and 7 columns, up to its scan."""
    stream = b"\xff\xd8\xff\xf7" + struct.pack(">HBHHB3B", 11, bits, 9, 7, components, 1, 0x11, 0)
    if presets is not None:
        stream += b"\xff\xf8" + struct.pack(">HB5H", 13, 1, *presets)
    return stream + b"\xff\xda" + struct.pack(">HB2B3B", 8, 1, 1, 0, near, 0, 0) + bytes(8)


def j2k(*, components: int = 1, step: int = 1) -> bytes:
    """The start of a JPEG 2000 image of 9 rows and 7 columns whose origin is (2, 3)."""
    sizes = struct.pack(">HH8I", 41, 0, 9, 12, 2, 3, 9, 12, 0, 0)
    return b"\xff\x4f\xff\x51" + sizes + struct.pack(">H3B", components, 15, step, step)


def test_the_size_is_rows_then_columns() -> None:
    assert stream_size(jpegls()) == (9, 7)
    assert stream_size(j2k()) == (9, 7)


def test_a_file_format_around_a_code_stream_is_looked_through() -> None:
    assert stream_size(b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(60) + j2k()) == (9, 7)


def test_bytes_may_fill_the_room_before_a_marker() -> None:
    stream = jpegls()

    assert stream_size(stream[:2] + b"\xff\xff" + stream[2:]) == (9, 7)


@pytest.mark.parametrize("bits", [2, 8, 12, 16])
@pytest.mark.parametrize("presets", [None, (0, 0, 0, 0, 0), (3, 1, 2, 3, 64)])
def test_sound_parameters_are_accepted(
    bits: int, presets: tuple[int, int, int, int, int] | None
) -> None:
    assert stream_size(jpegls(bits=bits, presets=presets)) == (9, 7)


@pytest.mark.parametrize(
    "stream",
    [
        b"",
        bytes(100),
        b"\0\0\0\x0cjP  " + bytes(100),
        j2k(components=16384),
        j2k(step=2),
        j2k()[:30],
        jpegls(components=3),
        jpegls(bits=1),
        jpegls(bits=17),
        jpegls(presets=(4096, 0, 0, 0, 0)),
        jpegls(presets=(0, 30, 20, 10, 0)),
        jpegls(presets=(100, 3, 7, 101, 0)),
        jpegls(presets=(0, 0, 0, 0, 2)),
        jpegls(presets=(0, 5, 7, 21, 64), near=5),
        jpegls(near=3, bits=2),
        jpegls()[:2] + jpegls()[2:15] + jpegls()[2:],
    ],
    ids=range(16),
)
def test_anything_else_is_refused(stream: bytes) -> None:
    assert stream_size(stream) is None


def test_what_encoders_write_is_sound() -> None:
    """CharLS itself, at every depth, with and without loss."""
    encoder = pytest.importorskip("jpeg_ls", reason="pip install '.[codecs]'")
    for bits in range(2, 17):
        image = np.full((9, 7), (1 << bits) - 1, "u1" if bits <= 8 else "u2")
        image[2:5] = 0
        for loss in range(3 if bits > 2 else 2):
            assert stream_size(bytes(encoder.encode_array(image, lossy_error=loss))) == (9, 7)

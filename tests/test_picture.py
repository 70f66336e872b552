"""Grey levels, resizing and PNG files."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from rhoa.raster import encode_png, encode_tiff, resampling_matrix, resize, stretch


def decode_png(data: bytes) -> tuple[np.ndarray, dict[bytes, bytes]]:
    """A reader for grey PNG files by the specification, checking every checksum."""
    assert data.startswith(b"\x89PNG\r\n\x1a\n")
    chunks: dict[bytes, bytes] = {}
    place = 8
    while place < len(data):
        (length,) = struct.unpack_from(">I", data, place)
        kind, body = data[place + 4 : place + 8], data[place + 8 : place + 8 + length]
        (checksum,) = struct.unpack_from(">I", data, place + 8 + length)
        assert checksum == zlib.crc32(kind + body)
        chunks[kind] = chunks.get(kind, b"") + body
        place += 12 + length
    columns, rows, depth = struct.unpack_from(">IIB", chunks[b"IHDR"])
    dtype = np.dtype(">u2" if depth == 16 else "u1")
    packed = np.frombuffer(zlib.decompress(chunks[b"IDAT"]), np.uint8).reshape(rows, -1)
    lines = [unfiltered(packed[0], np.zeros(packed.shape[1] - 1, int), dtype.itemsize)]
    for line in packed[1:]:
        lines.append(unfiltered(line, lines[-1], dtype.itemsize))
    return np.array(lines, np.uint8).view(dtype).reshape(rows, columns), chunks


def unfiltered(line: np.ndarray, above: np.ndarray, step: int) -> np.ndarray:
    """The bytes of a line (PNG 3rd edition, section 9.2: None, Sub, Up, Average, Paeth)."""
    kind, values = int(line[0]), line[1:].astype(int)
    for at in range(values.size):
        a, b = values[at - step] if at >= step else 0, above[at]
        c = above[at - step] if at >= step else 0
        nearest = min((a, b, c), key=lambda value: abs(a + b - c - value))
        values[at] = (values[at] + (0, a, b, (a + b) // 2, nearest)[kind]) % 256
    return values


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_png_holds_the_pixels_and_their_size(dtype: type) -> None:
    grey = np.random.default_rng(0).integers(0, np.iinfo(dtype).max, (5, 7)).astype(dtype)

    pixels, chunks = decode_png(encode_png(grey, pixel_mm=0.5, text={"black": "-150.0"}))

    assert np.array_equal(pixels, grey)
    assert struct.unpack(">IIB", chunks[b"pHYs"]) == (2000, 2000, 1)
    assert chunks[b"tEXt"] == b"black\0-150.0"


@pytest.mark.parametrize("order", [">u2", "<u2"])
def test_a_png_holds_smooth_pixels_of_any_layout(order: str) -> None:
    """Smooth lines are filtered, each in its own way."""
    row, column = np.mgrid[:24, :40]
    grey = (900 * np.hypot(row - 8, column - 20)).astype(order)[::-1, ::2]

    assert np.array_equal(decode_png(encode_png(grey))[0], grey)
    assert np.array_equal(decode_png(encode_png((grey >> 8).astype(np.uint8)))[0], grey >> 8)


def test_the_same_picture_is_the_same_bytes_and_text_is_kept_in_any_script() -> None:
    grey = np.arange(64, dtype=np.uint8).reshape(8, 8)
    text = {"where": "M\u00fcnchen, \u6771\u4eac"}

    one, two = (encode_png(grey, pixel_mm=0.7, text=text) for _ in range(2))

    assert one == two
    assert Image.open(io.BytesIO(one)).text == text


def test_grey_levels_span_the_range_and_saturate_the_ends() -> None:
    pixels = np.arange(101, dtype=np.float32)[None]

    assert stretch(pixels)[0, [0, 50, 100]].tolist() == [0, 128, 255]
    assert stretch(pixels, bits=16)[0, [0, 100]].tolist() == [0, 65535]
    assert stretch(pixels, saturate_percent=10)[0, [0, 10, 90, 100]].tolist() == [0, 0, 255, 255]
    assert not stretch(np.full((3, 3), 7.0)).any()


@given(st.integers(1, 40), st.integers(1, 40))
def test_resizing_keeps_a_constant_and_the_mean_of_a_ramp(length: int, count: int) -> None:
    """Weights sum to one, and are symmetric about the middle."""
    matrix = resampling_matrix(length, count, 0, length)

    np.testing.assert_allclose(matrix.sum(axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(matrix, matrix[::-1, ::-1], atol=1e-6)


def test_resizing_to_the_same_size_changes_nothing() -> None:
    image = np.random.default_rng(1).random((6, 9)).astype(np.float32)

    np.testing.assert_allclose(resize(image, 6, 9), image, rtol=1e-6)


def test_shrinking_averages_instead_of_skipping() -> None:
    """One bright column of eight keeps its share of the mean (nearest neighbours would lose it)."""
    image = np.zeros((8, 64), np.float32)
    image[:, ::8] = 8

    np.testing.assert_allclose(resize(image, 4, 8)[:, 1:-1], 1, atol=0.01)


class TestTiff:
    @pytest.mark.parametrize("shape", [(1, 1), (3, 7), (64, 40)])
    def test_other_software_reads_values_and_pixel_size(
        self, shape: tuple[int, int], tmp_path: Path
    ) -> None:
        pixels = np.random.default_rng(4).normal(0, 1e5, shape).astype(np.float32)
        file = tmp_path / "image.tif"
        file.write_bytes(encode_tiff(pixels, pixel_mm=0.7))

        with Image.open(file) as picture:
            values, dots_per_inch = np.asarray(picture), picture.info["dpi"]

        np.testing.assert_array_equal(values, pixels)
        assert dots_per_inch == pytest.approx((25.4 / 0.7, 25.4 / 0.7), rel=1e-4)

    def test_without_a_pixel_size_there_is_no_unit(self, tmp_path: Path) -> None:
        file = tmp_path / "image.tif"
        file.write_bytes(encode_tiff(np.zeros((2, 3), np.float32)))

        with Image.open(file) as picture:
            assert picture.tag_v2[296] == 1

"""Compressed frames: false sizes and lost ends are found before and after a codec sees them."""

from __future__ import annotations

import io
import os
import signal
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray
from PIL import Image
from pydicom import uid
from pydicom.encaps import encapsulate
from pydicom.pixels import get_encoder

from rhoa import _core
from rhoa.dicom import codecs
from rhoa.dicom.header import PixelFormat
from rhoa.errors import MissingExtraError, PixelDataError
from rhoa.reading import read_ct
from tests.reading.series import VoxelGrid, ramp, write_series

GRID = VoxelGrid(shape=(5, 33, 34))  # JPEG 2000 needs 32 pixels a side
END_MARK = bytes.fromhex("feffdde0 00000000")
FORM = PixelFormat(33, 34, 16, 16, 15, signed=False)


def frame_of(folder: Path, syntax: uid.UID) -> bytes:
    """The encapsulated pixels of one slice."""
    image = pydicom.dcmread(write_series(folder, GRID, syntax=syntax)[0])
    return image.PixelData + END_MARK  # which pydicom takes off


@pytest.mark.parametrize(
    "syntax", [uid.JPEG2000Lossless, uid.JPEGLSLossless], ids=lambda syntax: syntax.name
)
def test_a_stream_of_another_size_than_its_header_is_refused(
    syntax: uid.UID, tmp_path: Path
) -> None:
    frame = frame_of(tmp_path, syntax)
    codecs.check_frame(frame, FORM, "good.dcm")

    with pytest.raises(PixelDataError, match=r"bad.dcm: .* is 33 x 34, but the header says 9 x 34"):
        codecs.check_frame(frame, PixelFormat(9, 34, 16, 16, 15, signed=False), "bad.dcm")


def test_a_stream_that_claims_to_be_huge_never_reaches_the_codec(tmp_path: Path) -> None:
    frame = bytearray(frame_of(tmp_path, uid.JPEG2000Lossless))
    place = frame.index(b"\xff\x51") + 6
    frame[place : place + 8] = struct.pack(">II", 60000, 60000)

    with pytest.raises(PixelDataError, match="60000 x 60000"):
        codecs.check_frame(bytes(frame), FORM, "bomb.dcm")


@pytest.mark.parametrize("cut", [5, 8, 9, 30])
def test_a_frame_without_its_end_is_refused(cut: int, tmp_path: Path) -> None:
    frame = frame_of(tmp_path, uid.JPEG2000Lossless)

    with pytest.raises(PixelDataError, match="cut short"):
        codecs.check_frame(frame[:-cut], FORM, "cut.dcm")


@pytest.mark.parametrize("syntax", [uid.JPEG2000Lossless, uid.JPEGLSLossless])
@pytest.mark.parametrize("frames", [5, 30])
def test_a_damaged_stream_names_its_file(frames: int, syntax: uid.UID, tmp_path: Path) -> None:
    path = write_series(tmp_path, VoxelGrid(shape=(frames, 33, 34)), syntax=syntax)[3]
    image = pydicom.dcmread(path)
    image.PixelData = encapsulate([b"\xff\x4f\xff\x51" + bytes(60)])
    image.save_as(path)

    with pytest.raises(PixelDataError, match=path.name):
        read_ct(tmp_path)


@pytest.mark.parametrize(
    ("side", "message"),
    [(8000, "cannot be 128000000 bytes"), (20, "RLE Lossless pixels cannot be decoded")],
)
def test_a_hostile_rle_size_is_an_error_and_not_an_abort(
    side: int, message: str, tmp_path: Path
) -> None:
    for path in write_series(tmp_path, VoxelGrid(shape=(2, 8, 10)), syntax=uid.RLELossless):
        image = pydicom.dcmread(path)
        image.Rows = image.Columns = side
        image.save_as(path)

    with pytest.raises(PixelDataError, match=message):
        read_ct(tmp_path)


class TestOtherProcesses:
    """JPEG-LS, HTJ2K and lossy JPEG are decoded by other packages, which may crash."""

    def test_a_decoder_that_dies_is_an_error_that_names_the_file(self, tmp_path: Path) -> None:
        frame = frame_of(tmp_path, uid.JPEGLSLossless)
        before = children_of(os.getpid())
        with codecs.decompressors([uid.JPEGLSLossless], 2) as (decompress, at_once):
            assert at_once == 1
            samples = decompress(frame, uid.JPEGLSLossless, FORM, "good.dcm")
            assert samples.shape == (33, 34)
            (child,) = set(children_of(os.getpid())).difference(before)
            os.kill(child, signal.SIGKILL)

            with pytest.raises(PixelDataError, match=r"next.dcm: .*the decoder crashed"):
                decompress(frame, uid.JPEGLSLossless, FORM, "next.dcm")

    def test_no_decoder_outlives_its_use(self) -> None:
        before = children_of(os.getpid())
        with codecs.decompressors([uid.HTJ2K] * 100, 2) as (_, at_once):
            assert at_once == 2
            assert len(children_of(os.getpid())) == len(before) + at_once

        assert children_of(os.getpid()) == before

    def test_where_no_process_can_be_started_frames_are_decoded_here(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("sys.executable", "/opt/blender/blender")
        frame = frame_of(tmp_path, uid.JPEGLSLossless)

        with codecs.decompressors([uid.JPEGLSLossless] * 100, 2) as (decompress, at_once):
            here = decompress(frame, uid.JPEGLSLossless, FORM, "good.dcm")

        assert at_once == 1
        assert here.dtype == np.uint16

    @pytest.mark.parametrize("bits", [12, 16])
    def test_lossy_jpeg_of_more_than_8_bits_is_not_damaged_but_lacks_a_decoder(
        self, bits: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("rhoa.dicom.codec_worker.decoder_of", lambda _: "pillow")
        frame = struct.pack(">HBHHB3B", 11, bits, 33, 34, 1, 1, 0x11, 0)
        scan = struct.pack(">HB2B3B", 8, 1, 1, 0, 0, 63, 0)
        stream = b"\xff\xd8\xff\xc1" + frame + b"\xff\xda" + scan + bytes(8)

        with pytest.raises(MissingExtraError, match=f"x.dcm: .*of {bits} bits.*pip install"):
            codecs.check_frame(
                encapsulate([stream]) + END_MARK, FORM, "x.dcm", syntax=uid.JPEGExtended12Bit
            )


def test_what_the_extension_decodes_starts_no_process() -> None:
    before = children_of(os.getpid())
    with codecs.decompressors([*codecs.IN_PROCESS] * 100, 7) as (_, at_once):
        assert at_once == 7
        assert children_of(os.getpid()) == before


def test_without_other_packages_jpeg_2000_jpeg_lossless_and_rle_are_read(tmp_path: Path) -> None:
    grid = VoxelGrid(shape=(3, 33, 34))
    for syntax in (uid.JPEG2000Lossless, uid.RLELossless, uid.JPEGLSLossless):
        (tmp_path / syntax.name).mkdir()
        write_series(tmp_path / syntax.name, grid, syntax=syntax)
    (tmp_path / "JPEG lossless").mkdir()
    for path in write_series(tmp_path / "JPEG lossless", grid):
        as_jpeg_lossless(path, predictor=1, syntax=uid.JPEGLosslessSV1)
    script = """
import sys
for name in ("openjpeg", "pylibjpeg", "libjpeg", "jpeg_ls", "gdcm", "imagecodecs"):
    sys.modules[name] = None
import rhoa
for folder in sys.argv[1:]:
    try:
        hu = rhoa.read_ct(folder).hu
        print(hu.shape, hu.sum())
    except ImportError as error:
        print(error)
"""
    folders = [str(folder) for folder in sorted(tmp_path.iterdir())]
    run = subprocess.run(
        [sys.executable, "-c", script, *folders], stdout=subprocess.PIPE, text=True, check=True
    )

    lines = run.stdout.splitlines()
    whole = f"{grid.shape} {ramp(grid.lps()).sum()}"
    assert [line for line in lines if line != whole] == [lines[2]]
    assert "JPEG-LS Lossless" in lines[2]
    assert "pip install '.[codecs]'" in lines[2]


class TestJpeg2000:
    """The oracle is OpenJPEG, which is installed for the tests."""

    @pytest.mark.parametrize("seed", range(40))
    def test_samples_are_those_of_openjpeg(self, seed: int) -> None:
        openjpeg = pytest.importorskip("openjpeg.utils", reason="needs the extra codecs")
        random = np.random.default_rng(seed)
        bits, signed = int(random.choice([8, 12, 16])), bool(random.random() < 0.5)
        image = picture(random, bits, tuple(random.integers(32, 120, 2)))
        given = image - (1 << bits - 1) if signed else image
        given = given.astype(f"{'i' if signed else 'u'}{1 if bits == 8 else 2}")
        layers = [float(rate) for rate in sorted(random.integers(2, 30, 3))[::-1]]
        lossy = bool(random.random() < 0.5)
        stream = openjpeg.encode_array(
            given,
            bits_stored=bits,
            codec_format=int(random.integers(0, 2)),
            add_plt=bool(random.random() < 0.5),
            compression_ratios=layers if lossy else None,
        )

        samples = decoded(stream, "JPEG 2000", image.shape)

        expected = openjpeg.decode(stream)
        assert samples.dtype.kind == ("i" if signed else "u")
        if lossy:  # OpenJPEG rounds the wavelet's constants: the original is nearer to ours
            assert np.abs(samples.astype(int) - expected).max() <= (4 if bits == 16 else 1)
        else:
            np.testing.assert_array_equal(samples, given)
            np.testing.assert_array_equal(samples, expected)

    @pytest.mark.parametrize(
        "options",
        [
            {"tile_size": (33, 40), "num_resolutions": 3},
            {"tile_size": (50, 34), "num_resolutions": 3, "offset": (7, 19), "progression": "PCRL"},
            {"num_resolutions": 1},
            {"num_resolutions": 6, "progression": "RPCL", "precinct_size": (32, 64)},
            {"codeblock_size": (4, 64), "progression": "CPRL"},
            {"quality_mode": "rates", "quality_layers": [20, 5, 1], "progression": "RLCP"},
            {"quality_mode": "rates", "quality_layers": [20, 5, 2], "irreversible": True},
            {"irreversible": True, "tile_size": (56, 50), "num_resolutions": 2},
            {"no_jp2": False},
        ],
    )
    def test_tiles_resolutions_layers_and_precincts_are_decoded(
        self, options: dict[str, object]
    ) -> None:
        """OpenJPEG as Pillow brings it, which crashes where it halves tiles of few pixels."""
        image = picture(np.random.default_rng(0), 8, (107, 123)).astype("u1")
        file = io.BytesIO()
        Image.fromarray(image).save(file, "JPEG2000", **{"no_jp2": True, **options})

        samples = decoded(file.getvalue(), "JPEG 2000", image.shape)

        expected = np.asarray(Image.open(file)).astype(int)
        loss = 1 if options.get("irreversible") else 0
        assert np.abs(samples - expected).max() <= loss
        if not loss:
            np.testing.assert_array_equal(expected, image)

    @pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1), (3, 5)])
    def test_a_few_pixels_are_an_image(self, shape: tuple[int, int]) -> None:
        image = picture(np.random.default_rng(0), 8, shape).astype("u1")
        file = io.BytesIO()
        Image.fromarray(image).save(file, "JPEG2000", no_jp2=True, num_resolutions=1)

        np.testing.assert_array_equal(decoded(file.getvalue(), "JPEG 2000", shape), image)

    def test_a_stream_whose_last_tile_has_no_length_or_end_is_whole(self) -> None:
        stream = coded_j2k()
        place = stream.index(b"\xff\x90") + 6
        endless = stream[:place] + bytes(4) + stream[place + 4 :]
        expected = decoded(stream, "JPEG 2000", (50, 60))

        for one in (endless, endless + b"\0", stream[:-2]):
            np.testing.assert_array_equal(decoded(one, "JPEG 2000", (50, 60)), expected)

    def test_a_missing_tile_is_no_black_square(self) -> None:
        stream = coded_j2k(tile_size=(33, 33), num_resolutions=2)
        second = stream.index(b"\xff\x90\0\x0a\0\x01")
        third = stream.index(b"\xff\x90\0\x0a\0\x02")

        with pytest.raises(ValueError, match="3 of 4 tiles"):
            decoded(stream[:second] + stream[third:], "JPEG 2000", (50, 60))

    @pytest.mark.parametrize(
        ("marker", "place", "value", "error", "says"),
        [
            (b"\xff\x52", 6, b"\xff\xff", NotImplementedError, "65535 layers"),
            (b"\xff\x52", 12, b"\x40", NotImplementedError, "HTJ2K"),
            (b"\xff\x52", 9, b"\x20", ValueError, "coding style"),
            (b"\xff\x52", 10, b"\x09", ValueError, "coding style"),
            (b"\xff\x51", 22, b"\0\0\0\x01\0\0\0\x01", ValueError, "more blocks"),
            (b"\xff\x51", 22, bytes(8), ValueError, "tiles do not cover"),
            (b"\xff\x51", 38, b"\0\x03", ValueError, "several components"),
            (b"\xff\x51", 40, b"\x0f", ValueError, "16 bits, more than the 8 allocated"),
            (b"\xff\x51", 6, b"\0\0\x40\0", ValueError, "50 x 16384, not 50 x 60"),
        ],
    )
    def test_a_header_that_asks_for_too_much_is_refused_before_decoding(
        self, marker: bytes, place: int, value: bytes, error: type[Exception], says: str
    ) -> None:
        """Small tiles of a large image, which claims a terabyte of blocks."""
        stream = bytearray(coded_j2k())
        place += stream.index(marker)
        stream[place : place + len(value)] = value

        with pytest.raises(error, match=says):
            _core.decoded(bytes(stream), codec="JPEG 2000", rows=50, columns=60, bits=8)


class TestJpegLossless:
    """The oracle is an encoder that is written from table H.1 of ITU-T T.81."""

    @pytest.mark.parametrize("predictor", range(1, 8))
    @pytest.mark.parametrize(
        ("bits", "shift", "restart"), [(8, 0, 0), (12, 0, 3), (12, 2, 0), (16, 0, 1), (16, 3, 9)]
    )
    def test_every_predictor_gives_the_samples_back(
        self, predictor: int, bits: int, shift: int, restart: int
    ) -> None:
        image = picture(np.random.default_rng(predictor), bits, (27, 31))
        stream = jpeg_lossless(image, bits, predictor, shift=shift, restart=restart)

        samples = decoded(stream, "JPEG lossless", image.shape)

        np.testing.assert_array_equal(samples, image >> shift << shift)

    @pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1)])
    def test_one_row_or_column_is_an_image(self, shape: tuple[int, int]) -> None:
        image = picture(np.random.default_rng(0), 16, shape)

        samples = decoded(jpeg_lossless(image, 16, 7), "JPEG lossless", shape)

        np.testing.assert_array_equal(samples, image)

    def test_the_largest_difference_needs_no_bits(self) -> None:
        image = np.array([[0, 32768, 0, 65535, 32767]])  # from the first prediction, 32768

        samples = decoded(jpeg_lossless(image, 16, 1), "JPEG lossless", image.shape)

        np.testing.assert_array_equal(samples, image)

    @pytest.mark.parametrize("syntax", [uid.JPEGLossless, uid.JPEGLosslessSV1])
    @pytest.mark.parametrize("signed", [False, True])
    def test_a_series_of_it_is_read(self, syntax: uid.UID, *, signed: bool, tmp_path: Path) -> None:
        grid = VoxelGrid(shape=(3, 20, 17))
        for path in write_series(tmp_path, grid):
            as_jpeg_lossless(path, predictor=1, syntax=syntax, signed=signed)

        volume = read_ct(tmp_path, strict=True)

        np.testing.assert_array_equal(volume.hu, ramp(grid.lps()))

    def test_another_process_of_jpeg_is_named(self) -> None:
        stream = jpeg_lossless(np.ones((4, 4), int), 8, 1)

        with pytest.raises(ValueError, match="JPEG of another kind .*FFC1"):
            decoded(stream.replace(b"\xff\xc3", b"\xff\xc1"), "JPEG lossless", (4, 4))


class TestRle:
    @pytest.mark.parametrize("bits", [8, 16])
    @pytest.mark.parametrize("shape", [(1, 1), (2, 129), (40, 33)])
    def test_bytes_are_merged_the_highest_first(self, bits: int, shape: tuple[int, int]) -> None:
        image = picture(np.random.default_rng(1), bits, shape).astype(f"u{bits // 8}")
        image[:, : shape[1] // 2] = 77  # long runs
        stream = get_encoder(uid.RLELossless).encode(
            image,
            rows=shape[0],
            columns=shape[1],
            samples_per_pixel=1,
            bits_allocated=bits,
            bits_stored=bits,
            pixel_representation=0,
            number_of_frames=1,
            photometric_interpretation="MONOCHROME2",
            encoding_plugin="pydicom",
        )

        samples = _core.decoded(stream, codec="RLE", rows=shape[0], columns=shape[1], bits=bits)

        np.testing.assert_array_equal(samples.reshape(shape), image)

    @pytest.mark.parametrize(
        ("place", "value", "says"),
        [(0, 1, "1 segments for samples of 16 bits"), (4, 60, "follow"), (8, 1 << 30, "follow")],
    )
    def test_segments_that_lie_elsewhere_are_refused(
        self, place: int, value: int, says: str
    ) -> None:
        stream = bytearray(struct.pack("<16I", 2, 64, 66, *[0] * 13) + b"\xff\x07" * 2)
        assert decoded(bytes(stream), "RLE", (1, 2)).tolist() == [[0x0707, 0x0707]]
        struct.pack_into("<I", stream, place, value)

        with pytest.raises(ValueError, match=says):
            decoded(bytes(stream), "RLE", (1, 2))


def decoded(stream: bytes, codec: str, shape: tuple[int, ...]) -> NDArray[np.generic]:
    rows, columns = map(int, shape)
    samples = _core.decoded(stream, codec=codec, rows=rows, columns=columns, bits=16)
    return samples.reshape(shape)


def picture(random: np.random.Generator, bits: int, shape: tuple[int, ...]) -> NDArray[np.int64]:
    """Waves and noise over the whole range."""
    y, x = np.indices(shape)
    wave = (np.sin(x / 9) * np.cos(y / 7) + 1) / 2 * (1 << bits)
    return np.clip(wave + random.normal(0, 1 << bits - 4, shape), 0, (1 << bits) - 1).astype(int)


def coded_j2k(**options: object) -> bytes:
    """A code stream of 50 rows and 60 columns of 8 bits."""
    file = io.BytesIO()
    image = picture(np.random.default_rng(3), 8, (50, 60)).astype("u1")
    Image.fromarray(image).save(file, "JPEG2000", no_jp2=True, **options)
    return file.getvalue()


def jpeg_lossless(
    image: NDArray[np.int64], bits: int, predictor: int, *, shift: int = 0, restart: int = 0
) -> bytes:
    """``image`` in JPEG lossless; ``restart`` lines between restarts."""
    rows, columns = image.shape
    counts = [1] * 12 + [0, 0, 0, 5]  # codes of 1 to 12 bits, and 5 of 16
    codes, code = [], 0
    for length, count in enumerate(counts, 1):
        codes += [f"{code + n:0{length}b}" for n in range(count)]
        code = (code + count) << 1
    values = (image >> shift).tolist()
    parts = [""]
    for y in range(rows):
        fresh = y == 0 or (restart > 0 and y % restart == 0)
        if fresh and y:
            parts.append("")
        for x in range(columns):
            a = values[y][x - 1] if x else 0
            b, c = (values[y - 1][x], values[y - 1][x - 1]) if not fresh else (0, 0)
            if fresh:
                guess = a if x else 1 << (bits - shift - 1)
            elif not x:
                guess = b
            else:
                guess = [
                    *(a, b, c, a + b - c),
                    *(a + ((b - c) >> 1), b + ((a - c) >> 1), (a + b) // 2),
                ][predictor - 1]
            step = (values[y][x] - guess + 32767) % 65536 - 32767
            size = abs(step).bit_length()
            parts[-1] += codes[size]
            if 0 < size < 16:
                parts[-1] += f"{step if step > 0 else step + (1 << size) - 1:0{size}b}"
    scan = b""
    for n, part in enumerate(parts):
        filled = part + "1" * (-len(part) % 8)
        packed = int(filled, 2).to_bytes(len(filled) // 8, "big").replace(b"\xff", b"\xff\0")
        scan += (b"\xff" + bytes([0xD0 + (n - 1) % 8]) if n else b"") + packed
    segments = {
        0xC3: struct.pack(">BHHB3B", bits, rows, columns, 1, 1, 0x11, 0),
        0xC4: bytes([0, *counts, *range(17)]),
        0xDD: struct.pack(">H", restart * columns),
        0xDA: bytes([1, 1, 0, predictor, 0, shift]),
    }
    head = b"".join(
        struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body for marker, body in segments.items()
    )
    return b"\xff\xd8" + head + scan + b"\xff\xd9"


def as_jpeg_lossless(path: Path, *, predictor: int, syntax: uid.UID, signed: bool = False) -> None:
    """A slice of `write_series`, written again in JPEG lossless."""
    image = pydicom.dcmread(path)
    stored = image.pixel_array.astype(int)
    if signed:
        stored = (stored + int(image.RescaleIntercept)) & 0xFFFF
        image.PixelRepresentation, image.RescaleIntercept = 1, "0"
    image.PixelData = encapsulate([jpeg_lossless(stored, 16, predictor)])
    image["PixelData"].VR, image["PixelData"].is_undefined_length = "OB", True
    image.file_meta.TransferSyntaxUID = syntax
    image.save_as(path)


def children_of(pid: int) -> list[int]:
    tasks = Path(f"/proc/{pid}/task")
    if not tasks.is_dir():
        pytest.skip("needs /proc to list child processes")
    return sorted(
        int(child) for task in tasks.iterdir() for child in (task / "children").read_text().split()
    )

"""PNG, TIFF and JPEG pictures: levels, sizes, damage."""

from __future__ import annotations

import re
import struct
import subprocess
import sys
import tomllib
import tracemalloc
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import rhoa
from rhoa.errors import PixelDataError, ReadError, ViewError
from rhoa.hips import read_xray
from rhoa.raster import encode_png
from tests.hips.xrays import truth

ROOT = Path(__file__).parents[2]
LEVELS = truth(80, 100)
GREY = (LEVELS // 16).astype(np.uint8)


def tiff(
    pixels: np.ndarray, *, white_is_zero: bool = False, order: str = "<", **extra: int
) -> bytes:
    """An uncompressed grey TIFF file of one strip (TIFF 6.0, section 4)."""
    data = pixels.astype(pixels.dtype.newbyteorder(order)).tobytes()
    tags = {
        256: pixels.shape[1],
        257: pixels.shape[0],
        258: pixels.dtype.itemsize * 8,
        259: 1,
        262: 0 if white_is_zero else 1,
        273: 8,
        277: 1,
        278: pixels.shape[0],
        279: len(data),
        **{int(tag): value for tag, value in extra.items()},
    }
    entries = b"".join(
        struct.pack(f"{order}HHII", tag, 4, 1, value) for tag, value in sorted(tags.items())
    )
    start = struct.pack(f"{order}HI", 42, 8 + len(data))
    count = struct.pack(f"{order}H", len(tags))
    return {"<": b"II", ">": b"MM"}[order] + start + data + count + entries + bytes(4)


def test_a_picture_needs_the_base_install_alone(tmp_path: Path) -> None:
    """NumPy, SciPy, pydicom and Pillow; every optional library is hidden."""
    for suffix in (".png", ".tif", ".jpg"):
        Image.fromarray(GREY).save(tmp_path / f"film{suffix}")
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    names = re.findall(r"[A-Za-z][\w.-]+(?=>=)", str(extras["optional-dependencies"]))
    code = (
        "import sys\n"
        f"sys.modules |= dict.fromkeys({[*names, 'sklearn']!r})\n"
        "from rhoa import cli\n"
        "sys.exit(cli.main(sys.argv[1:]))"
    )
    words = ["xray", str(tmp_path), "-o", "out", "--pixel-mm", "1", "--side", "both"]

    done = subprocess.run(
        [sys.executable, "-c", code, *words],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert "3 of 3 files read" in done.stdout
    assert "torch" not in done.stderr


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.dat", "no suffix"])
@pytest.mark.parametrize("levels", [GREY, LEVELS.astype(np.uint16)], ids=["8 bits", "16 bits"])
def test_grey_pictures_keep_their_levels_whatever_their_name(
    tmp_path: Path, name: str, levels: np.ndarray
) -> None:
    content = tiff(levels) if name.endswith("tif") else encode_png(levels)
    (tmp_path / name).write_bytes(content)

    image = read_xray(tmp_path / name, pixel_mm=0.3)

    assert np.array_equal(image, levels)
    assert image.pixel_mm == (0.3, 0.3)
    assert image.provenance["pixel_mm_from"] == "given"
    assert image.provenance["sides"] == "assumed"


def test_tiff_of_the_other_byte_order_and_of_floats_is_read(tmp_path: Path) -> None:
    (tmp_path / "big.tif").write_bytes(tiff(LEVELS.astype(np.uint16), order=">"))
    Image.fromarray(LEVELS.astype(np.float32) / 7).save(tmp_path / "float.tif")
    damaged = LEVELS.astype(np.float32)
    damaged[3, 3] = np.nan
    Image.fromarray(damaged).save(tmp_path / "nan.tif")

    assert np.array_equal(read_xray(tmp_path / "big.tif", pixel_mm=1), LEVELS)
    assert np.array_equal(
        read_xray(tmp_path / "float.tif", pixel_mm=1), LEVELS.astype(np.float32) / 7
    )
    with pytest.raises(PixelDataError, match=r"nan\.tif: some of its pixels are no finite"):
        read_xray(tmp_path / "nan.tif", pixel_mm=1)


class TestSize:
    def test_a_picture_needs_its_pixel_size(self, tmp_path: Path) -> None:
        (tmp_path / "a.png").write_bytes(encode_png(GREY))

        either = 'pass pixel_mm= with its size, or pixel_mm="file"'
        for size, remedy in ((None, either), ("file", "pass pixel_mm=")):
            with pytest.raises(ReadError, match=rf"a\.png: its pixel size is unknown; {remedy}"):
                read_xray(tmp_path / "a.png", pixel_mm=size)

    def test_resolution_is_trusted_only_when_asked(self, tmp_path: Path) -> None:
        (tmp_path / "a.png").write_bytes(encode_png(GREY, pixel_mm=0.25))
        image = Image.fromarray(GREY)
        image.save(tmp_path / "b.tif", dpi=(50.8, 25.4))  # across, down
        image.save(tmp_path / "c.jpg", dpi=(254, 127))

        for name, pixel_mm in (("a.png", (0.25, 0.25)), ("b.tif", (1, 0.5)), ("c.jpg", (0.2, 0.1))):
            with pytest.raises(ReadError, match="its pixel size is unknown"):
                read_xray(tmp_path / name)
            read = read_xray(tmp_path / name, pixel_mm="file")
            assert read.pixel_mm == pytest.approx(pixel_mm)
            assert read.provenance["pixel_mm_from"] == "the picture's resolution"
            assert read_xray(tmp_path / name, pixel_mm=2).pixel_mm == (2, 2)

    def test_a_picture_that_rhoa_wrote_comes_back(self, tmp_path: Path) -> None:
        image = rhoa.Radiograph(LEVELS.astype(np.float32), (0.5, 0.5))
        image.save(tmp_path / "a.png")

        again = read_xray(tmp_path / "a.png", pixel_mm="file")

        assert again.pixel_mm == (0.5, 0.5)
        assert again.pixels / 65535 == pytest.approx(LEVELS / 4095, abs=1e-5)

    def test_tiny_and_long_pictures_are_refused(self, tmp_path: Path) -> None:
        for shape in ((63, 80), (70, 200)):
            (tmp_path / "a.png").write_bytes(encode_png(np.zeros(shape, np.uint8)))
            with pytest.raises(ViewError, match=f"{shape[0]} x {shape[1]} pixels"):
                read_xray(tmp_path / "a.png", pixel_mm=1)


class TestDamage:
    def test_a_size_that_is_claimed_takes_no_memory(self, tmp_path: Path) -> None:
        content = bytearray(encode_png(GREY))
        place = content.index(b"IHDR")
        for side in (17_000, 9_000, 60_000, 0x7FFFFFFF):
            content[place + 4 : place + 12] = struct.pack(">II", side, side)
            header = bytes(content[place : place + 17])
            content[place + 17 : place + 21] = struct.pack(">I", zlib.crc32(header))
            (tmp_path / "a.png").write_bytes(content)
            huge = tiff(GREY, **{"256": side, "257": side, "278": side})
            (tmp_path / "a.tif").write_bytes(huge)

            for name in ("a.png", "a.tif"):
                tracemalloc.start()
                with pytest.raises(PixelDataError, match=name):
                    read_xray(tmp_path / name, pixel_mm=1)
                _, peak = tracemalloc.get_traced_memory()
                tracemalloc.stop()
                assert peak < 8 << 20

    @given(share=st.floats(0, 0.99), kind=st.sampled_from(["png", "jpg", "tif"]))
    def test_a_picture_that_is_cut_short_is_never_half_an_image(
        self, tmp_path_factory: pytest.TempPathFactory, share: float, kind: str
    ) -> None:
        path = tmp_path_factory.mktemp("cut") / f"a.{kind}"
        Image.fromarray(GREY).save(path)
        whole, levels = path.read_bytes(), read_xray(path, pixel_mm=1).pixels
        path.write_bytes(whole[: int(share * len(whole))])

        try:
            image = read_xray(path, pixel_mm=1)
        except ReadError as error:
            assert str(error).startswith(f"a.{kind}: ")  # noqa: PT017  # either outcome is right
        else:  # what is lost lay behind the pixels
            assert np.array_equal(image, levels)

    @given(data=st.data(), kind=st.sampled_from(["png", "jpg", "tif"]))
    def test_whatever_a_picture_holds_is_an_image_or_a_typed_error(
        self, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, kind: str
    ) -> None:
        path = tmp_path_factory.mktemp("fuzz") / f"a.{kind}"
        Image.fromarray(GREY).save(path)
        content = bytearray(path.read_bytes())
        for _ in range(data.draw(st.integers(1, 4))):
            content[data.draw(st.integers(8, len(content) - 1))] = data.draw(st.integers(0, 255))
        path.write_bytes(content)

        try:
            image = read_xray(path, pixel_mm=1, accept="size,colour")
        except rhoa.RhoaError as error:
            assert f"a.{kind}: " in str(error)  # noqa: PT017  # either outcome is right
            assert str(path.parent) not in str(error)  # noqa: PT017
        else:
            assert np.isfinite(image.pixels).all()

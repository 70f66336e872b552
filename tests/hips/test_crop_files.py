"""Crops as files: what they say of themselves, what is refused, one reader for all who look."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from PIL.PngImagePlugin import PngInfo

import rhoa
from rhoa.errors import ManifestError, MissingFileError, PixelDataError, ViewError
from rhoa.hips import Box, read_crop, write_crop
from rhoa.hips.crop_files import CROP_REFUSALS, MOST_CROP_PIXELS, encode_crop, padded
from rhoa.raster import encode_png, picture_label
from rhoa.report.write import read_grey
from rhoa.review.images import shown_crop
from tests.hips.test_pictures import tiff
from tests.learning.squares import squares
from tests.pictures import levels_of, text_of

LEVELS = np.add.outer(np.arange(0, 120, 3), np.arange(0, 120, 3)).astype(np.uint8)
"""40 x 40, no two rows or columns alike, nor the same either way round."""
LEVELS[3, 30] = 255
WIDE = LEVELS[:24]

ORIENTED: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    # How pixels are stored, that a viewer who turns them by the tag shows LEVELS (TIFF 6.0, 274).
    1: lambda x: x,
    2: lambda x: x[:, ::-1],
    3: lambda x: x[::-1, ::-1],
    4: lambda x: x[::-1],
    5: lambda x: x.swapaxes(0, 1),
    6: lambda x: x.swapaxes(0, 1)[::-1],
    7: lambda x: x.swapaxes(0, 1)[::-1, ::-1],
    8: lambda x: x.swapaxes(0, 1)[:, ::-1],
}


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def oriented(kind: str, orientation: int, pixels: np.ndarray = LEVELS) -> bytes:
    exif = Image.Exif()
    exif[274] = orientation
    stored = np.ascontiguousarray(ORIENTED[orientation](pixels))
    options: dict[str, object] = {"quality": 100} if kind == "JPEG" else {}
    return saved(Image.fromarray(stored), kind, exif=exif, **options)


GREY = Image.fromarray(LEVELS)
DEEP = Image.fromarray(LEVELS.astype(np.uint16) * 257)
PALETTE = GREY.convert("P")
ENCODINGS = {
    "L png": encode_png(LEVELS),
    "L png, filtered": saved(GREY, "PNG", optimize=True),
    "L tiff": saved(GREY, "TIFF"),
    "L tiff, LZW": saved(GREY, "TIFF", compression="tiff_lzw"),
    "RGB png": saved(GREY.convert("RGB"), "PNG"),
    "RGB tiff": saved(GREY.convert("RGB"), "TIFF"),
    "RGBA png": saved(GREY.convert("RGBA"), "PNG"),
    "LA png": saved(GREY.convert("LA"), "PNG"),
    "P png": saved(PALETTE, "PNG"),
    "P png with a transparent shade that is not used": saved(
        GREY.quantize(255), "PNG", transparency=255
    ),
    "16-bit png": encode_png(LEVELS.astype(np.uint16) * 257),
    "16-bit png of Pillow": saved(DEEP, "PNG"),
    "16-bit tiff": saved(DEEP, "TIFF"),
    "float tiff": saved(Image.fromarray(LEVELS.astype(np.float32)), "TIFF"),
    "32-bit tiff": saved(Image.fromarray(LEVELS.astype(np.int32)), "TIFF"),
    **{f"png turned {n}": oriented("PNG", n) for n in ORIENTED},
    **{f"tiff turned {n}": oriented("TIFF", n) for n in ORIENTED},
    **{
        f"16-bit png turned {n}": oriented("PNG", n, LEVELS.astype(np.uint16) * 257)
        for n in ORIENTED
    },
    **{f"RGB tiff turned {n}": oriented("TIFF", n, np.dstack([LEVELS] * 3)) for n in ORIENTED},
}
JPEGS = {
    "L jpeg": saved(GREY, "JPEG", quality=100),
    "RGB jpeg": saved(GREY.convert("RGB"), "JPEG", quality=100, subsampling=0),
    **{f"jpeg turned {n}": oriented("JPEG", n) for n in ORIENTED},
}


def as_trained(folder: Path, content: bytes, *, side: str = "left", accept: str = "") -> np.ndarray:
    """The array that training sees of a file at its own size."""
    dataset = pytest.importorskip("rhoa.learning.data", reason="needs torch (extra train)")
    hip = next(hip for hip in squares(folder).hips if hip.side == side)
    hip.image.write_bytes(content)
    size = len(read_crop(hip.image, accept=CROP_REFUSALS))
    return dataset.read_crops([hip], image_size=size, xray_size=None, accept=accept)[0].numpy()


class TestOneReader:
    @pytest.mark.parametrize("name", ENCODINGS)
    def test_every_encoding_of_a_picture_is_the_same_levels(
        self, tmp_path: Path, name: str
    ) -> None:
        file = tmp_path / "hip"
        file.write_bytes(ENCODINGS[name])

        np.testing.assert_array_equal(read_crop(file), LEVELS)

    @pytest.mark.torch
    @pytest.mark.parametrize("name", ["L png", "RGB tiff", "P png", "16-bit tiff", *JPEGS])
    def test_training_prediction_report_and_review_see_the_same_levels(
        self, tmp_path: Path, name: str
    ) -> None:
        content = (ENCODINGS | JPEGS)[name]
        file = tmp_path / "hip.dat"
        file.write_bytes(content)

        predicted = read_crop(file)

        np.testing.assert_array_equal(as_trained(tmp_path, content), np.rint(predicted))
        np.testing.assert_array_equal(read_grey(file, 1000), predicted)
        np.testing.assert_array_equal(shown_crop(file), predicted)
        assert np.abs(predicted - LEVELS).max() <= 3

    def test_levels_between_those_of_8_bits_stay_what_they_are(self, tmp_path: Path) -> None:
        deep = np.linspace(0, 65535, 100).astype(np.uint16).reshape(10, 10)
        (tmp_path / "hip.png").write_bytes(encode_png(deep))

        assert read_crop(tmp_path / "hip.png") == pytest.approx(deep / 257, rel=1e-6)

    def test_of_12_bits_the_largest_value_is_white(self, tmp_path: Path) -> None:
        """TIFF 6.0: two samples in three bytes."""
        values = np.array([[0, 2048], [4095, 1000]])
        packed = b"".join(
            bytes([a >> 4, (a & 15) << 4 | b >> 8, b & 255]) for a, b in values.tolist()
        )
        tags = {"256": 2, "258": 12}
        content = tiff(np.frombuffer(packed, np.uint8).reshape(2, 3), **tags)
        (tmp_path / "hip.tif").write_bytes(content)

        assert read_crop(tmp_path / "hip.tif") == pytest.approx(values * (255 / 4095), rel=1e-6)

    def test_black_and_white_are_0_and_255(self, tmp_path: Path) -> None:
        Image.fromarray(LEVELS > 100).save(tmp_path / "hip.png")

        np.testing.assert_array_equal(read_crop(tmp_path / "hip.png"), 255 * (LEVELS > 100))

    def test_a_tiff_in_which_white_is_zero_is_turned_around(self, tmp_path: Path) -> None:
        for levels in (LEVELS, LEVELS.astype(np.uint16) * 257):
            negative = np.iinfo(levels.dtype).max - levels
            (tmp_path / "hip.tif").write_bytes(tiff(negative, white_is_zero=True))

            np.testing.assert_array_equal(read_crop(tmp_path / "hip.tif"), LEVELS)


class TestRefusals:
    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (b"", "no PNG, TIFF or JPEG picture"),
            (b"\x89PNG\r\n\x1a\n but cut", "not a readable PNG picture"),
            (ENCODINGS["L tiff"][:60], "not a readable TIFF picture"),
            (saved(GREY.convert("CMYK"), "TIFF"), "one grey image is needed"),
            (
                saved(GREY, "TIFF", save_all=True, append_images=[GREY]),
                "2 frames of mode L",
            ),
            (
                saved(Image.merge("LA", [GREY, GREY]), "PNG"),
                "partly transparent",
            ),
            (encode_png(np.full((4, 4), 4095, np.uint16)), "levels up to 4095 where white is 6553"),
            (saved(Image.fromarray(np.full((4, 4), 256.0, np.float32)), "TIFF"), "256 are no grey"),
            (saved(Image.fromarray(np.full((4, 4), 0.5, np.float32)), "TIFF"), "0.5 are no grey"),
            (saved(Image.fromarray(np.full((4, 4), -3, np.int32)), "TIFF"), "-3 to -3 are no grey"),
        ],
    )
    def test_what_is_no_picture_of_grey_levels_is_an_error_that_nothing_overrules(
        self, tmp_path: Path, content: bytes, message: str
    ) -> None:
        (tmp_path / "hip.dat").write_bytes(content)

        for accept in ("", CROP_REFUSALS):
            with pytest.raises(PixelDataError, match=rf"hip\.dat: .*{message}"):
                read_crop(tmp_path / "hip.dat", accept=accept)

    def test_an_absent_file_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(MissingFileError, match=r"gone\.png: no such picture"):
            read_crop(tmp_path / "gone.png")

    def test_a_true_colour_picture_is_refused_or_its_brightness_taken(self, tmp_path: Path) -> None:
        colours = np.dstack([LEVELS, LEVELS // 2, 255 - LEVELS])
        Image.fromarray(colours).save(tmp_path / "hip.png")

        with pytest.raises(ViewError, match=r'hip\.png: a colour picture; .* accept="colour"'):
            read_crop(tmp_path / "hip.png")
        brightness = read_crop(tmp_path / "hip.png", accept="colour")

        assert brightness == pytest.approx(colours @ [0.299, 0.587, 0.114], rel=1e-5)

    @pytest.mark.parametrize("pixels", [WIDE, WIDE.T, WIDE.astype(np.uint16) * 257])
    def test_what_is_not_square_is_refused_or_padded_and_never_stretched(
        self, tmp_path: Path, pixels: np.ndarray
    ) -> None:
        (tmp_path / "hip.png").write_bytes(encode_png(pixels))
        seen = pixels / (257 if pixels.dtype == np.uint16 else 1)
        rows, columns = pixels.shape

        with pytest.raises(ViewError, match=rf"hip\.png: {rows} x {columns} pixels; .*square"):
            read_crop(tmp_path / "hip.png")
        square = read_crop(tmp_path / "hip.png", accept="shape")

        assert square.shape == (40, 40)
        top, left = (40 - rows) // 2, (40 - columns) // 2
        np.testing.assert_array_equal(square[top : top + rows, left : left + columns], seen)
        inside = np.zeros(square.shape, bool)
        inside[top : top + rows, left : left + columns] = True
        edge = [*seen[0], *seen[-1], *seen[1:-1, 0], *seen[1:-1, -1]]
        assert set(square[~inside]) == {np.float32(np.median(edge))}

    @given(rows=st.integers(1, 30), columns=st.integers(1, 30))
    def test_padding_keeps_every_pixel(self, rows: int, columns: int) -> None:
        image = np.random.default_rng(rows).uniform(1, 2, (rows, columns)).astype(np.float32)

        square = padded(image)

        assert square.shape == (max(rows, columns),) * 2
        top, left = ((len(square) - length) // 2 for length in image.shape)
        np.testing.assert_array_equal(square[top : top + rows, left : left + columns], image)

    def test_what_is_larger_than_a_crop_is_refused_unless_it_is_accepted(
        self, tmp_path: Path
    ) -> None:
        for side, refused in ((MOST_CROP_PIXELS, False), (MOST_CROP_PIXELS + 1, True)):
            Image.new("L", (side, side), 9).save(tmp_path / "hip.png")
            if refused:
                with pytest.raises(ViewError, match=r"1601 x 1601 pixels, too many .* accept=\"si"):
                    read_crop(tmp_path / "hip.png")
            assert read_crop(tmp_path / "hip.png", accept="size").shape == (side, side)

    def test_a_refusal_that_does_not_exist_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(rhoa.RhoaError, match="label, size, shape, colour.*got 'part'"):
            read_crop(tmp_path / "hip.png", accept="part")


class TestLabels:
    @pytest.mark.parametrize("side", ["left", "right"])
    def test_a_crop_says_what_it_is_and_loses_no_level(self, tmp_path: Path, side: str) -> None:
        (tmp_path / "hip.png").write_bytes(
            encode_crop(LEVELS, side=side, source="xray", pixel_mm=0.74)
        )

        assert text_of(tmp_path / "hip.png") == {
            "Software": f"rhoa {rhoa.__version__}",
            "kind": "crop",
            "source": "xray",
            "side": side,
            "mirrored": "yes" if side == "right" else "no",
            "pixel_mm": "0.74",
        }
        np.testing.assert_array_equal(levels_of(tmp_path / "hip.png"), LEVELS)
        np.testing.assert_array_equal(read_crop(tmp_path / "hip.png", side=side), LEVELS)

    @pytest.mark.parametrize(
        ("pixel_mm", "box", "expected"),
        [
            ((0.5, 0.5), Box("left", 0, 0, 80, 80), 0.4),
            ((0.5, 0.5), Box("left", 0, 0, 80, 120), 0.4),  # clipped to 80 x 80
            ((1.0, 0.5), Box("left", 0, 0, 80, 80), 0.4),  # 80 x 40 mm, clipped to 40 x 40
        ],
    )
    def test_its_pixel_size_is_that_of_the_box(
        self, tmp_path: Path, pixel_mm: tuple[float, float], box: Box, expected: float
    ) -> None:
        image = rhoa.Radiograph(np.zeros((200, 200)), pixel_mm)

        write_crop(tmp_path / "a.png", np.zeros((100, 100), np.uint8), box, image, source="ct")

        assert float(text_of(tmp_path / "a.png")["pixel_mm"]) == pytest.approx(expected)

    def test_of_a_picture_of_unknown_size_no_pixel_size_is_claimed(self, tmp_path: Path) -> None:
        (tmp_path / "film.png").write_bytes(encode_png(np.tile(LEVELS, (2, 3))))
        film = rhoa.hips.read_xray(tmp_path / "film.png", pixel_mm="optional")
        film.save(tmp_path / "xray.png")

        write_crop(tmp_path / "a.png", LEVELS, Box("left", 0, 0, 40, 40), film, source="xray")

        assert "pixel_mm" not in text_of(tmp_path / "a.png")
        for name in ("a.png", "xray.png"):
            with pytest.raises(rhoa.RhoaError, match="its pixel size is unknown"):
                rhoa.hips.read_xray(tmp_path / name, pixel_mm="file", accept="size")

    @pytest.mark.parametrize(
        ("provenance", "kind"), [({"kind": "CT-AP"}, "CT-AP"), ({"kind": "X-ray"}, "X-ray")]
    )
    def test_a_whole_image_that_rhoa_saved_is_no_crop(
        self, tmp_path: Path, provenance: dict[str, str], kind: str
    ) -> None:
        """Square, of the size of a crop, and 16 bits of range: nothing but its label tells."""
        image = rhoa.Radiograph(LEVELS.astype(np.float32), (1, 1), provenance=provenance)
        image.save(tmp_path / "image.png")

        with pytest.raises(ViewError, match=rf"image\.png: rhoa wrote it as an? .*{kind}"):
            read_crop(tmp_path / "image.png")
        assert read_crop(tmp_path / "image.png", accept="label").max() == 255

    def test_a_picture_for_the_eye_is_no_crop(self, tmp_path: Path) -> None:
        (tmp_path / "boxes.png").write_bytes(encode_png(LEVELS, text=picture_label("picture")))

        with pytest.raises(ViewError, match=r"boxes\.png: rhoa wrote it as a picture, not as a cr"):
            read_crop(tmp_path / "boxes.png")

    def test_the_labels_of_other_programs_mean_nothing(self, tmp_path: Path) -> None:
        text = PngInfo()
        text.add_text("kind", "ct-ap")
        text.add_text("side", "right")
        text.add_text("Software", "another 1.0")
        GREY.save(tmp_path / "hip.png", pnginfo=text)

        np.testing.assert_array_equal(read_crop(tmp_path / "hip.png", side="left"), LEVELS)

    def test_a_crop_of_the_other_side_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "hip.png").write_bytes(encode_crop(LEVELS, side="right", source="ct"))

        with pytest.raises(ViewError, match=r"hip\.png: .*the right hip, and it is listed as a le"):
            read_crop(tmp_path / "hip.png", side="left")
        read_crop(tmp_path / "hip.png", side="left", accept="label")
        read_crop(tmp_path / "hip.png")

    @pytest.mark.parametrize(("side", "mirrored"), [("right", False), ("left", True)])
    def test_a_crop_that_is_the_wrong_way_round_is_refused(
        self, tmp_path: Path, side: str, *, mirrored: bool
    ) -> None:
        (tmp_path / "hip.png").write_bytes(
            encode_crop(LEVELS, side=side, source="ct", mirrored=mirrored)
        )

        with pytest.raises(ViewError, match=r"hip\.png: .*mirrored; models take right hips mirr"):
            read_crop(tmp_path / "hip.png")
        np.testing.assert_array_equal(read_crop(tmp_path / "hip.png", accept="label"), LEVELS)


@pytest.mark.torch
class TestTraining:
    def test_a_crop_that_is_refused_is_named_with_the_remedy(self, tmp_path: Path) -> None:
        other = encode_crop(LEVELS, side="right", source="xray")
        for content, message in (
            (encode_png(WIDE), r'\.png: 24 x 40 pixels; .*accept="shape"'),
            (other, r"\.png: rhoa wrote it as a crop of the right hip, and it is listed as a left"),
            (encode_png(LEVELS, text=picture_label("ct-ap")), r"\.png: rhoa wrote it as a whole"),
        ):
            with pytest.raises(ManifestError, match=message):
                as_trained(tmp_path, content)

    def test_where_it_is_accepted_training_sees_what_prediction_sees(self, tmp_path: Path) -> None:
        (tmp_path / "hip.png").write_bytes(encode_png(WIDE))

        seen = as_trained(tmp_path, encode_png(WIDE), accept="shape")

        expected = read_crop(tmp_path / "hip.png", accept="shape")
        np.testing.assert_array_equal(seen, np.floor(expected + 0.5))
        np.testing.assert_array_equal(read_grey(tmp_path / "hip.png", 1000), expected)
        np.testing.assert_array_equal(shown_crop(tmp_path / "hip.png"), expected)

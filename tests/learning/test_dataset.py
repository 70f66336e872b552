"""Crops as the network sees them: sizes, grey levels, and changes with known results."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from rhoa.errors import ManifestError
from rhoa.learning import Augmentation
from rhoa.phantom import Anatomy, write_xray, xray
from rhoa.raster import encode_png, stretch
from tests.learning.squares import STILL, squares

pytestmark = pytest.mark.torch

PAPER = Augmentation()


def saved_as(path: Path, kind: str, grey: NDArray[np.uint8]) -> Path:
    """A crop as people have it; each shows the same picture."""
    image = Image.fromarray(grey)
    exif = Image.Exif()
    if kind == "EXIF orientation 2":  # mirrored in the file, and turned back by who shows it
        exif[274] = 2
        Image.fromarray(np.ascontiguousarray(grey[:, ::-1])).save(path, exif=exif)
    elif kind == "EXIF orientation 6":
        exif[274] = 6
        Image.fromarray(np.ascontiguousarray(np.rot90(grey))).save(path, exif=exif)
    elif kind == "16 bit":
        Image.fromarray(grey.astype(np.uint16) * 257).save(path)
    elif kind == "DICOM":
        import pydicom

        write_xray(xray(Anatomy.random(5), pixel_mm=1.0, voxel_mm=3.0), path)
        file = pydicom.dcmread(path)
        file.Rows, file.Columns = grey.shape
        file.PixelData = grey.astype("<u2").tobytes()
        file.save_as(path)
    else:
        image.convert(kind).save(path)
    return path


class TestReading:
    @pytest.mark.parametrize(
        "kind",
        [
            *("L", "RGB", "RGBA", "LA", "P", "16 bit", "DICOM"),
            *("EXIF orientation 2", "EXIF orientation 6"),
        ],
    )
    def test_training_sees_the_pixels_that_prediction_sees(self, tmp_path: Path, kind: str) -> None:
        """And they are those of the picture; of DICOM with 1 % saturated at either end."""
        from rhoa.hips import read_crop
        from rhoa.learning.data import read_crops
        from rhoa.learning.grader import SingleModel

        class Seen(SingleModel):
            card = {"image_size": 64, "xray_size": None}  # noqa: RUF012
            levels: list[NDArray[np.uint8]] = []  # noqa: RUF012

            def compute(self, levels: NDArray[np.uint8]) -> NDArray[np.float64]:
                self.levels.append(levels)
                return np.full((len(levels), 2), 0.5)

        row, column = np.mgrid[:64, :64]
        grey = (2 * row + column + 40 * (column > 40)).astype(np.uint8)
        suffix = ".dcm" if kind == "DICOM" else ".png"
        file = saved_as(tmp_path / f"crop{suffix}", kind, grey)
        hip = replace(squares(tmp_path).hips[0], image=file)

        trained_on = read_crops([hip], image_size=64, xray_size=None).numpy()
        Seen().predict_proba([read_crop(file)])

        np.testing.assert_array_equal(trained_on, Seen.levels[-1])
        expected = grey
        if kind == "DICOM":
            expected = stretch(grey.astype(np.float32), saturate_percent=1.0)
        np.testing.assert_array_equal(trained_on[0], expected)

    def test_a_crop_of_the_input_size_is_read_as_it_is(self, tmp_path: Path) -> None:
        from rhoa.learning.data import read_crops

        levels = np.arange(40 * 40).reshape(40, 40).astype(np.uint8)
        hip = squares(tmp_path).hips[0]
        hip.image.write_bytes(encode_png(levels))

        crops = read_crops([hip], image_size=40, xray_size=None)

        np.testing.assert_array_equal(crops.numpy(), levels[None])

    def test_crops_of_any_size_become_one(self, tmp_path: Path) -> None:
        from rhoa.learning.data import read_crops

        hips = squares(tmp_path).hips[:3]
        for hip, shape in zip(hips, [(10, 10), (97, 97), (200, 200)], strict=True):
            hip.image.write_bytes(encode_png(np.full(shape, 77, np.uint8)))

        crops = read_crops(hips, image_size=32, xray_size=None)

        assert (crops.numpy() == 77).all()
        assert crops.shape == (3, 32, 32)

    def test_an_absent_crop_is_named(self, tmp_path: Path) -> None:
        from rhoa.learning.data import read_crops

        hip = replace(squares(tmp_path).hips[0], image=tmp_path / "gone.png")

        with pytest.raises(ManifestError, match=r"gone\.png: no such crop"):
            read_crops([hip], image_size=32, xray_size=None)

    @pytest.mark.parametrize(
        "content", [b"", b"no picture", encode_png(np.zeros((4, 4), np.uint16))]
    )
    def test_what_is_no_8_bit_grey_picture_is_refused(self, tmp_path: Path, content: bytes) -> None:
        from rhoa.learning.data import read_crops

        hip = squares(tmp_path).hips[0]
        hip.image.write_bytes(content)

        with pytest.raises(ManifestError, match="picture"):
            read_crops([hip], image_size=32, xray_size=None)


class TestAugmentation:
    @given(seed=st.integers(0, 2**31))
    def test_changes_stay_within_the_recipe(self, seed: int) -> None:
        import torch

        from rhoa.learning.data import draw

        angle, down, across, scale = draw(PAPER, 500, torch.Generator().manual_seed(seed)).T

        assert angle.abs().max() <= 5
        assert max(down.abs().max(), across.abs().max()) <= 5
        assert scale.min() >= 0.75
        assert scale.max() <= torch.tensor(1.2)

    def test_changes_fill_the_range_evenly_and_independently(self) -> None:
        import torch

        from rhoa.learning.data import draw

        changes = draw(PAPER, 20_000, torch.Generator().manual_seed(1)).numpy()
        low, high = np.array([-5, -5, -5, 0.75]), np.array([5, 5, 5, 1.2])
        shares = (changes - low) / (high - low)

        np.testing.assert_allclose(shares.mean(axis=0), 0.5, atol=0.01)
        np.testing.assert_allclose(np.cov(shares.T), np.eye(4) / 12, atol=0.003)

    def test_the_seed_decides(self) -> None:
        import torch

        from rhoa.learning.data import augment

        images = torch.rand((3, 16, 16), generator=torch.Generator().manual_seed(0))
        first, again, other = (
            augment(images, PAPER, torch.Generator().manual_seed(seed)) for seed in (5, 5, 6)
        )

        assert torch.equal(first, again)
        assert not torch.equal(first, other)

    def test_nothing_changes_when_every_range_is_empty(self) -> None:
        import torch

        from rhoa.learning.data import augment, warp

        images = torch.rand((2, 9, 13), generator=torch.Generator().manual_seed(0))

        assert torch.equal(augment(images, STILL, torch.Generator()), images)
        torch.testing.assert_close(
            warp(images, torch.tensor([[0.0, 0, 0, 1]]).repeat(2, 1)), images, atol=1e-5, rtol=0
        )

    @pytest.mark.parametrize("rows", [12, 20])
    @given(down=st.integers(-5, 5), across=st.integers(-5, 5))
    def test_a_shift_moves_by_whole_pixels_and_lets_black_in(
        self, rows: int, down: int, across: int
    ) -> None:
        import torch

        from rhoa.learning.data import warp

        image = np.random.default_rng(0).random((rows, 12)).astype(np.float32)
        padded = np.pad(image, 5)
        expected = padded[5 - down : 5 - down + rows, 5 - across : 17 - across]

        moved = warp(torch.from_numpy(image)[None], torch.tensor([[0.0, down, across, 1]]))[0]

        np.testing.assert_allclose(moved.numpy(), expected, atol=1e-5)

    def test_a_quarter_turn_is_anticlockwise(self) -> None:
        import torch

        from rhoa.learning.data import warp

        image = np.random.default_rng(0).random((11, 11)).astype(np.float32)

        turned = warp(torch.from_numpy(image)[None], torch.tensor([[90.0, 0, 0, 1]]))[0]

        np.testing.assert_allclose(turned.numpy(), np.rot90(image), atol=1e-5)

    def test_scale_two_doubles_distances_from_the_centre(self) -> None:
        import torch

        from rhoa.learning.data import warp

        image = torch.zeros((1, 21, 21))
        image[0, 10, 13] = 1.0

        grown = warp(image, torch.tensor([[0.0, 0, 0, 2]]))[0]

        assert grown.argmax() == 10 * 21 + 16
        assert grown.sum() == pytest.approx(4, abs=1e-4)

    def test_a_turn_keeps_shapes_in_an_oblong_image(self) -> None:
        """A point three pixels right of the centre comes to lie three pixels above it."""
        import torch

        from rhoa.learning.data import warp

        image = torch.zeros((1, 21, 31))
        image[0, 10, 18] = 1.0

        turned = warp(image, torch.tensor([[90.0, 0, 0, 1]]))[0]

        assert divmod(int(turned.argmax()), 31) == (7, 15)


def test_the_network_sees_three_equal_channels_in_imagenet_units() -> None:
    import torch

    from rhoa.learning.data import as_input

    colours = as_input(torch.full((2, 4, 5), 0.5))

    assert colours.shape == (2, 3, 4, 5)
    expected = torch.tensor([(0.5 - 0.485) / 0.229, (0.5 - 0.456) / 0.224, (0.5 - 0.406) / 0.225])
    torch.testing.assert_close(colours[1, :, 2, 3], expected)

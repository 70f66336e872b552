"""Halves as the detector sees them: geometry that must go there and back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from numpy.typing import NDArray

import rhoa
from rhoa.errors import ManifestError, ParameterError, ReadError
from rhoa.hips import Box, LabelledImage
from rhoa.hips.detector_data import Example, as_examples, changed, halves_seen, read_examples
from rhoa.raster import encode_png
from tests.hips.xrays import write


def with_squares(
    boxes: list[Box], shape: tuple[int, int] = (200, 300), *, bright: float = 200
) -> NDArray[np.float32]:
    """Noise with a bright rectangle in each box."""
    image = np.random.default_rng(0).uniform(0, 60, shape).astype(np.float32)
    for box in boxes:
        image[int(box.top) : int(box.bottom), int(box.left) : int(box.right)] += bright
    return image


def bright_box(pixels: NDArray[np.uint8]) -> tuple[float, float, float, float]:
    """(top, left, bottom, right) of what is brighter than the middle of the grey levels."""
    rows, columns = np.nonzero(pixels > 140)
    return rows.min(), columns.min(), rows.max() + 1, columns.max() + 1


PELVIS = [Box("left", 60, 190, 120, 250), Box("right", 70, 30, 130, 100)]


class TestHalves:
    def test_each_half_has_its_hip_where_its_box_says(self) -> None:
        """Within a pixel of the network's, 0.64 of the image's 150 columns a half."""
        examples = as_examples(with_squares(PELVIS), PELVIS, image_size=96)

        assert len(examples) == 2
        for example in examples:
            box = example.box
            assert example.pixels.shape == (128, 96)
            np.testing.assert_allclose(
                bright_box(example.pixels), (box.top, box.left, box.bottom, box.right), atol=1.1
            )

    @pytest.mark.parametrize(("columns", "end"), [(300, 150), (301, 151)])
    def test_the_right_half_is_mirrored(self, columns: int, end: int) -> None:
        """It ends at column 150, or behind the middle one of 301, which is in both."""
        image = with_squares(PELVIS, (200, columns))

        left, right = as_examples(image, PELVIS, image_size=end)

        assert (left.box.left, left.box.right) == pytest.approx((190 - 150, 250 - 150))
        assert (right.box.left, right.box.right) == pytest.approx((end - 100, end - 30))

    @given(
        st.integers(60, 300), st.integers(80, 401), st.floats(0.5, 3), st.floats(0, 1),
        st.floats(0.1, 1), st.sampled_from(["pelvis", "half"]),
    )  # fmt: skip
    def test_a_box_goes_to_the_half_and_back(
        self, rows: int, columns: int, high_mm: float, start: float, size: float, shows: str
    ) -> None:
        image = rhoa.Radiograph(np.random.default_rng(0).random((rows, columns)), (high_mm, 1.0))
        assume(0.6 < columns / (rows * high_mm) < 3.9)  # no half is four times as long as wide

        for half in halves_seen(image, image_size=64, shows=shows):  # type: ignore[arg-type]
            box = Box(half.side, start * rows, 10 * start, start * rows + 9 * size, 40, 0.3)
            again = half.to_image(half.to_half(box))

            assert again.side == half.side
            assert again.confidence == 0.3
            np.testing.assert_allclose(
                (again.top, again.left, again.bottom, again.right),
                (box.top, box.left, box.bottom, box.right),
                atol=1e-9 * columns,
            )

    def test_pixels_become_square(self) -> None:
        """100 rows of 3 mm and 200 columns of 1 mm: halves of 300 x 100 mm."""
        image = rhoa.Radiograph(np.random.default_rng(0).random((100, 200)), (3.0, 1.0))

        assert [half.pixels.shape for half in halves_seen(image, image_size=64)] == [(192, 64)] * 2

    def test_an_xray_of_one_hip_is_not_cut(self) -> None:
        pixels = with_squares([PELVIS[1]])
        image = rhoa.Radiograph(pixels, (1.0, 1.0), provenance={"hip": "right"})

        (half,) = halves_seen(image, image_size=200)
        box = half.to_half(PELVIS[1])

        np.testing.assert_allclose(
            bright_box(half.pixels), (box.top, box.left, box.bottom, box.right), atol=1
        )
        assert half.to_image(box) == PELVIS[1]

    def test_a_half_without_a_box_is_left_out(self) -> None:
        (example,) = as_examples(with_squares(PELVIS), PELVIS[1:], image_size=64, group="g")

        assert example.group == "g"

    def test_boxes_that_do_not_fit_are_refused(self) -> None:
        image = with_squares(PELVIS)

        with pytest.raises(ParameterError, match="two boxes are of the left hip"):
            as_examples(image, PELVIS[:1] * 2, image_size=64)
        with pytest.raises(ManifestError, match="right box lies in the half of the left hip"):
            as_examples(image, [Box("right", 60, 190, 120, 250)], image_size=64)
        with pytest.raises(ParameterError, match="too long for a pelvis"):
            halves_seen(np.ones((2000, 300)), image_size=64)
        with pytest.raises(ParameterError, match="image must be 2-D"):
            halves_seen(np.ones(5), image_size=64)
        with pytest.raises(ParameterError, match="accept must name refusals"):
            as_examples(image, PELVIS, image_size=64, accept="nothing")


class TestFiles:
    def test_labelled_files_become_examples_of_their_subjects(self, tmp_path: Path) -> None:
        images = []
        for name in ("a.png", "b.png"):
            levels = with_squares(PELVIS, bright=190).astype(np.uint8)
            (tmp_path / name).write_bytes(encode_png(levels))
            images.append(LabelledImage(tmp_path / name, tuple(PELVIS)))
        images.append(LabelledImage(tmp_path / "absent.png", ()))  # without boxes: never read

        by_file = read_examples(images, image_size=64)
        by_subject = read_examples(images, image_size=64, groups=["s", "s", "t"])

        assert [e.group for e in by_file] == [
            str(tmp_path / n) for n in ("a.png",) * 2 + ("b.png",) * 2
        ]
        assert [e.group for e in by_subject] == ["s"] * 4
        for example in by_file:
            box = example.box
            np.testing.assert_allclose(
                bright_box(example.pixels), (box.top, box.left, box.bottom, box.right), atol=1.1
            )

    def test_files_whose_boxes_may_lie_elsewhere_are_refused(self, tmp_path: Path) -> None:
        path = write(tmp_path)
        (tmp_path / "a.png").write_bytes(encode_png(with_squares(PELVIS).astype(np.uint8)))

        with pytest.raises(ReadError, match="a DICOM file, which may be turned"):
            read_examples([LabelledImage(path, tuple(PELVIS))], image_size=64)
        with pytest.raises(ReadError, match=r"a\.png: 200 x 300 pixels; .* of 300 x 200"):
            read_examples(
                [LabelledImage(tmp_path / "a.png", tuple(PELVIS), (300, 200))], image_size=64
            )
        for boxes, message in (
            (PELVIS[:1] * 2, "two boxes are of the left hip"),
            ([Box("left", 100, 250, 110, 260)], "the left box has 10 x 10 pixels"),
        ):
            labelled = [LabelledImage(tmp_path / "a.png", tuple(boxes))]
            with pytest.raises(rhoa.RhoaError, match=rf"a\.png: {message}"):
                read_examples(labelled, image_size=64)
        assert len(read_examples(labelled, image_size=64, accept="box")) == 1

    def test_groups_that_do_not_fit_are_refused(self) -> None:
        with pytest.raises(ParameterError, match="the subject of each of 0 images; got 1"):
            read_examples([], image_size=64, groups=["s"])


class TestChanges:
    @given(st.integers(0, 1000))
    def test_the_box_moves_with_the_hip(self, seed: int) -> None:
        """Its middle lies in the image at most draws; edges within a pixel and a half."""
        image = np.zeros((120, 100), np.float32)
        image[40:80, 30:70] = 255
        example = Example(image.astype(np.uint8), Box("left", 40, 30, 80, 70), "g")

        after = changed(example, np.random.default_rng(seed))
        box = after.box

        assert after.pixels.shape == example.pixels.shape
        np.testing.assert_allclose(
            bright_box(after.pixels), (box.top, box.left, box.bottom, box.right), atol=1.6
        )

    def test_one_draw_gives_one_change(self) -> None:
        example = as_examples(with_squares(PELVIS), PELVIS, image_size=64)[0]

        first, second, other = (changed(example, np.random.default_rng(n)) for n in (1, 1, 2))

        np.testing.assert_array_equal(first.pixels, second.pixels)
        assert first.box == second.box
        assert first.box != other.box

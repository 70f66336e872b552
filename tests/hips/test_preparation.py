"""Halves and grey levels as the paper has them: against arithmetic that is written out here."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import rhoa
from rhoa.hips import Box, crop, halves, prepare, read_xray
from rhoa.phantom import Anatomy, write_xray, xray
from rhoa.phantom.radiography import XRay


@pytest.fixture(scope="module")
def made() -> XRay:
    return xray(Anatomy.random(11, kl_left=3), pixel_mm=1.0, seed=1, voxel_mm=3.0)


class TestHalves:
    @given(columns=st.integers(2, 30), rows=st.integers(1, 5))
    def test_every_column_is_in_its_half_and_the_middle_one_in_both(
        self, columns: int, rows: int
    ) -> None:
        image = np.tile(np.arange(columns), (rows, 1))

        both = halves(image)

        wide = -(-columns // 2)
        assert np.array_equal(both["right"], np.tile(np.arange(wide)[::-1], (rows, 1)))
        assert np.array_equal(both["left"], np.tile(np.arange(columns - wide, columns), (rows, 1)))

    def test_a_mirror_image_has_its_halves_exchanged(self, made: XRay) -> None:
        image = made.radiograph.pixels
        plain, mirrored = halves(image), halves(image[:, ::-1])

        assert np.array_equal(plain["left"], mirrored["right"])
        assert np.array_equal(plain["right"], mirrored["left"])

    def test_the_mirrored_half_has_the_mirrored_truth(self, made: XRay, tmp_path: Path) -> None:
        """The right hip lies in its half where a box mirrored by hand has it."""
        write_xray(made, tmp_path / "a.dcm")
        image = read_xray(tmp_path / "a.dcm")
        both = halves(image)
        middle = image.shape[1] // 2
        for side, box in made.boxes.items():
            left, right = (
                (box.left - middle, box.right - middle)
                if side == "left"
                else (middle - box.right, middle - box.left)
            )
            there = Box("left", box.top, left, box.bottom, right)

            assert crop(both[side], there) == pytest.approx(crop(image, box), abs=0.05)

    def test_both_halves_look_like_left_hips(self, made: XRay) -> None:
        """Femoral shafts are on the outer side: to the right in either half."""
        for half in halves(made.radiograph).values():
            rows, columns = half.shape
            low = half.pixels[-rows // 8 :]
            assert low[:, columns // 2 :].max() > low[:, : columns // 2].max()

    def test_millimetres_stay_where_they_were_and_a_mirror_turns_them(self) -> None:
        image = rhoa.Radiograph(np.zeros((4, 7)), (2.0, 3.0), (-8.0, 5.0), provenance={"a": 1})

        both = halves(image)

        assert both["left"].to_mm(0, 0) == image.to_mm(0, 3)
        assert both["left"].to_mm(3, 3) == image.to_mm(3, 6)
        for column in range(4):
            x, z = image.to_mm(1, 3 - column)
            assert both["right"].to_mm(1, column) == (-x, z)
        assert both["right"].pixel_mm == (2, 3)
        told = {side: dict(half.provenance) for side, half in both.items()}
        assert told["left"] == {"a": 1, "half": "left", "mirrored": False}
        assert told["right"] == {"a": 1, "half": "right", "mirrored": True}

    def test_coverage_goes_with_the_pixels_and_the_pose_with_what_is_not_mirrored(self) -> None:
        pose = rhoa.Alignment(np.eye(3), np.zeros(3))
        coverage = np.arange(12, dtype=np.float32).reshape(2, 6)
        image = rhoa.Radiograph(coverage + 100, (1, 1), (-3, 0), pose, coverage_mm=coverage)

        both = halves(image)

        assert both["left"].alignment is pose
        assert both["right"].alignment is None
        for half in both.values():
            assert np.array_equal(half.pixels, half.coverage_mm + 100)

    def test_it_is_cut_where_it_is_told(self) -> None:
        image = np.arange(10)[None]

        assert [half.shape[1] for half in halves(image, midline_px=3).values()] == [7, 3]
        assert [half.shape[1] for half in halves(image, midline_px=3.5).values()] == [7, 4]
        for wrong in (0, 0.5, 9.5, 10, float("nan")):
            with pytest.raises(rhoa.RhoaError, match="midline_px must leave a column"):
                halves(image, midline_px=wrong)
        with pytest.raises(rhoa.RhoaError, match="image must be 2-D"):
            halves(np.zeros((2, 3, 4)))


class TestPrepare:
    def test_one_percent_is_saturated_at_either_end(self) -> None:
        """Of 10000 levels in any order, 100 become 0 and 100 become 255; the rest is linear."""
        levels = np.random.default_rng(3).permutation(10_000).reshape(100, 100)

        grey = prepare(levels)

        black, white = 0.01 * 9999, 0.99 * 9999
        expected = np.clip((levels - black) / (white - black) * 255, 0, 255)
        assert grey.dtype == np.uint8
        assert np.abs(grey - expected).max() <= 0.5 + 1e-3
        assert (levels[grey == 0] < black).sum() >= 100

    def test_margins_count_for_nothing(self) -> None:
        levels = np.random.default_rng(3).permutation(10_000).reshape(100, 100) + 1000.0
        framed = np.pad(levels, 20, constant_values=0)

        assert np.array_equal(prepare(framed)[20:-20, 20:-20], prepare(levels))

    def test_a_hip_is_cropped_and_mirrored_before(self, made: XRay) -> None:
        for box in made.boxes.values():
            assert np.array_equal(
                prepare(made.radiograph, box), prepare(crop(made.radiograph, box, size=None))
            )

    def test_models_2_and_4_see_100_pixels(self, made: XRay) -> None:
        box = made.boxes["left"]
        whole = prepare(made.radiograph, box)
        assert min(whole.shape) > 70

        small = prepare(made.radiograph, box, size=100)

        assert small.shape == (100, 100)
        assert float(small.mean()) == pytest.approx(float(whole.mean()), abs=1.5)

    @pytest.mark.parametrize("factor", [2, 5])
    def test_fine_stripes_are_averaged_and_not_aliased(self, factor: int) -> None:
        stripes = np.zeros((100 * factor, 100 * factor))
        stripes[:, ::2] = 1000

        grey = prepare(stripes, size=50)

        assert np.abs(grey[:, 3:-3].astype(int) - 127.5).max() <= 26 / factor

    def test_what_is_not_square_is_cut_to_its_middle(self) -> None:
        levels = np.tile(np.arange(300.0), (100, 1))

        grey = prepare(levels, size=100)

        assert np.array_equal(grey, prepare(levels)[:, 100:200])

    def test_there_must_be_an_image(self) -> None:
        with pytest.raises(rhoa.RhoaError, match="must have pixels"):
            prepare(np.zeros((0, 5)))
        with pytest.raises(rhoa.RhoaError, match="must be 2-D"):
            prepare(np.zeros(5))
        with pytest.raises(rhoa.RhoaError, match="size must be a whole number"):
            prepare(np.zeros((5, 5)), size=0)
        assert not prepare(np.full((5, 5), 7.0)).any()

"""Crops are squares by clipping: what is round in the patient is round in the crop, on every road.

Of a disc of radius r the second moment about its middle is r * r / 4 along any direction.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import rhoa
from rhoa.cohort import build
from rhoa.cohort.builder import COLUMNS
from rhoa.hips import Box, boxes, crop, joints, model_crop, prepare, squared
from rhoa.phantom import Anatomy, ct
from rhoa.raster import encode_png, resampling_matrix
from tests.commands import run
from tests.hips.xrays import dx, write
from tests.pictures import levels_of

RADIUS_MM = 20.0


def disc(
    shape: tuple[int, int],
    pixel_mm: tuple[float, float],
    centre: tuple[float, float],
    *,
    radius_mm: float = RADIUS_MM,
) -> np.ndarray:
    """The share of each pixel that a disc about ``centre`` (in pixel edges) covers, from 0 to 1."""
    fine = (np.arange(5) + 0.5) / 5
    rows = ((np.arange(shape[0])[:, None] + fine).ravel() - centre[0]) * pixel_mm[0]
    columns = ((np.arange(shape[1])[:, None] + fine).ravel() - centre[1]) * pixel_mm[1]
    inside = np.add.outer(rows**2, columns**2) < radius_mm**2
    return inside.reshape(shape[0], 5, shape[1], 5).mean(axis=(1, 3)).astype(np.float32)


def radii(share: np.ndarray) -> tuple[float, float]:
    """Down and across, in pixels, of the disc in a crop: 2 times the root of its second moments."""
    weights = share / share.sum()
    places = np.arange(len(share))
    lines = [weights.sum(axis=axis) for axis in (1, 0)]
    middles = [line @ places for line in lines]
    spreads = [line @ (places - m) ** 2 for line, m in zip(lines, middles, strict=True)]
    down, across = (2 * float(np.sqrt(spread)) for spread in spreads)
    return down, across


def assert_round(share: np.ndarray, radius_px: float) -> None:
    assert share.shape[0] == share.shape[1]
    assert radii(share) == pytest.approx((radius_px, radius_px), rel=0.02)


@given(
    high=st.floats(60, 110),
    wide=st.floats(60, 110),
    step=st.sampled_from([(1.0, 1.0), (0.5, 1.0), (1.0, 0.4), (0.8, 0.3)]),
    size=st.sampled_from([100, 171, None]),
    side=st.sampled_from(["left", "right"]),
)
def test_a_disc_is_a_disc_in_the_crop_of_any_box(
    high: float, wide: float, step: tuple[float, float], size: int | None, side: str
) -> None:
    """Boxes in mm, of pixels that are square or not; the square is as wide as the shorter side."""
    rows, columns = (round(140 / one) for one in step)
    row, column = rows / 2 + 0.3, columns / 2 - 0.2
    image = rhoa.Radiograph(disc((rows, columns), step, (row, column)), step)
    down, across = high / 2 / step[0], wide / 2 / step[1]
    box = Box(side, row - down, column - across, row + down, column + across)

    share = crop(image, box, size=size)

    assert_round(share, RADIUS_MM / min(high, wide) * len(share))
    np.testing.assert_array_equal(share, crop(image, squared(box, step), size=size))


@pytest.mark.parametrize("edges", [(-30, 10, 60, 70), (10, -40, 70, 60), (-20, -45, 80, 65)])
def test_near_a_border_the_square_keeps_its_middle(edges: tuple[int, int, int, int]) -> None:
    top, left, bottom, right = edges
    row, column = (top + bottom) / 2, (left + right) / 2
    image = disc((100, 100), (1, 1), (row, column), radius_mm=12)

    share = crop(image, Box("left", *edges), size=100)

    assert share[50, 50] == pytest.approx(1)
    side = min(bottom - top, right - left)
    np.testing.assert_array_equal(
        share,
        crop(
            image,
            Box("left", row - side / 2, column - side / 2, row + side / 2, column + side / 2),
            size=100,
        ),
    )


def test_a_square_that_lies_outside_the_image_is_refused_though_its_box_does_not() -> None:
    """The box reaches over the right border; the square about its middle does not."""
    image = np.zeros((100, 100))

    with pytest.raises(rhoa.RhoaError, match="the left box lies outside the image"):
        crop(image, Box("left", 40, 90, 60, 150))


def test_a_box_that_is_square_is_left_as_it_is() -> None:
    """But for rounding, such as that of edges that were computed from a middle and a half."""
    middles = np.random.default_rng(0).uniform(50, 300, (50, 2)).tolist()
    found = [Box("left", r - 35.1, c - 35.1, r + 35.1, c + 35.1, 0.9) for r, c in middles]

    assert any(box.height != box.width for box in found)
    assert all(squared(box) is box for box in found)


class TestOfCt:
    @pytest.mark.parametrize("spacing", [(3, 3, 3), (2.5, 3, 3)])
    def test_boxes_are_squares_of_millimetres_and_crops_what_they_hold(
        self, spacing: tuple[float, float, float]
    ) -> None:
        """To the bit: nothing is clipped."""
        case = ct(Anatomy.random(8), spacing_mm=spacing)
        pose = rhoa.pose.from_landmarks(case.landmarks)
        found = joints(case.volume, pose)
        for image in (rhoa.ctap(case.volume, pose=pose), rhoa.ctap(case.volume)):
            for box in boxes(image, joints=found).values():
                assert squared(box, image.pixel_mm) is box
                down = resampling_matrix(image.shape[0], 100, box.top, box.bottom)
                across = resampling_matrix(image.shape[1], 100, box.left, box.right)
                expected = down @ image.pixels @ across[:: -1 if box.side == "right" else 1].T
                np.testing.assert_array_equal(crop(image, box), expected)


SHAPE, HIPS = (300, 600), {"right": (160.0, 150.0), "left": (150.0, 450.0)}
"""A picture with a femoral head of 40 mm at either side."""


def film(pixel_mm: tuple[float, float]) -> np.ndarray:
    heads = [disc(SHAPE, pixel_mm, centre) for centre in HIPS.values()]
    grey = np.rint(50 + 150 * np.maximum(*heads)).astype(np.uint8)
    for flank in (np.s_[:, :60], np.s_[:, 540:]):  # the film shows the patient up to its borders
        grey[flank] = np.random.default_rng(0).integers(40, 90, grey[flank].shape)
    return grey


BOXES = {"right": (100, 80, 220, 230), "left": (60, 400, 245, 500)}
"""Top, left, bottom, right: one wider than high, the other higher than wide."""


def levels(crop_file: Path) -> np.ndarray:
    """The share of each pixel that the head covers: black and white are background and head."""
    seen = levels_of(crop_file).astype(float)
    return (seen - seen.min()) / (seen.max() - seen.min())


def assert_heads_are_round(files: dict[str, Path], pixel_mm: tuple[float, float]) -> None:
    for side, file in files.items():
        top, left, bottom, right = BOXES[side]
        short_mm = min((bottom - top) * pixel_mm[0], (right - left) * pixel_mm[1])
        share = levels(file)
        assert_round(share, RADIUS_MM / short_mm * len(share))


class TestOfXrays:
    @pytest.mark.parametrize(
        ("name", "step"),
        [("film.png", (1.0, 1.0)), ("xray.dcm", (0.8, 1.0)), ("xray.dcm", (1.0, 0.7))],
    )
    def test_a_table_of_scans(self, tmp_path: Path, name: str, step: tuple[float, float]) -> None:
        """Boxes that lie beside the middle of the head, as a reader draws them, do as well."""
        (tmp_path / "film.png").write_bytes(encode_png(film(step)))
        spacing = {"PixelSpacing": list(map(str, step)), "ImagerPixelSpacing": None}
        write(tmp_path, dx(film(step).astype(int) * 10), **spacing)
        lines = [",".join(COLUMNS)]
        for side, box in BOXES.items():
            lines.append(",".join(["P1", "xray", name, side, "", "2", "", *map(str, box)]))
        (tmp_path / "scans.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")

        manifest = build(tmp_path / "scans.csv", tmp_path / "study")

        assert_heads_are_round({hip.side: hip.image for hip in manifest}, step)

    def test_boxes_that_a_reader_drew(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (tmp_path / "film.png").write_bytes(encode_png(film((1, 1))))
        rows = ["image,side,top,left,bottom,right"]
        rows += [f"xray.png,{side},{','.join(map(str, box))}" for side, box in BOXES.items()]
        (tmp_path / "boxes.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
        words = ("xray", tmp_path / "film.png", "--pixel-mm", "1", "-o", tmp_path / "out")

        code, _, _ = run(capsys, *words, "--boxes", tmp_path / "boxes.csv")

        assert code == 0
        assert_heads_are_round(
            {side: tmp_path / "out" / f"hip-{side}.png" for side in BOXES}, (1, 1)
        )

    @pytest.mark.parametrize("step", [(1.0, 1.0), (0.5, 1.0)])
    def test_boxes_of_a_detector_that_were_not_clipped(self, step: tuple[float, float]) -> None:
        image = rhoa.Radiograph(film(step).astype(np.float32), step)
        for side, edges in BOXES.items():
            box = Box(side, *edges)
            for pixels in (model_crop(image, box, source="xray"), prepare(image, box)):
                share = pixels / 255
                short_mm = min(box.height * step[0], box.width * step[1])
                assert_round(share, RADIUS_MM / short_mm * len(share))

"""Hip boxes from landmarks, and crops."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import rhoa
from rhoa.hips import Box, boxes, crop, squared
from tests.strategies import rotation

UPRIGHT = rhoa.Landmarks((112, 0, 93), (-112, 0, 93), (14, 0, 0), (-14, 0, 0))


@cache
def scan_with_heads() -> rhoa.Volume:
    """Soft tissue with a bright ball of 24 mm where each femoral head of the mean pelvis lies."""
    spacing = np.array([2.0, 2.0, 2.0])
    hu = np.full((110, 90, 180), 40, np.int16)
    volume = rhoa.Volume.from_array(hu, tuple(spacing))
    affine = volume.affine.copy()
    affine[:3, 3] = [-180, -30, -80]
    volume = rhoa.Volume(hu, affine)
    points = volume.to_lps(np.stack(np.indices(hu.shape), axis=-1))
    for side in (-1, 1):
        hu[np.linalg.norm(points - [83 * side, 49, 18], axis=-1) < 24] = 500
    return volume


@pytest.mark.parametrize("pose", [None, "landmarks"])
def test_boxes_hold_the_femoral_heads_of_the_mean_pelvis(pose: str | None) -> None:
    volume = scan_with_heads()
    image = rhoa.ctap(volume, pose=UPRIGHT if pose else None)

    found = boxes(image) if pose else boxes(image, UPRIGHT)

    heads = image.pixels > image.pixels.max() - 3000
    for side, half in (("right", np.s_[:, :90]), ("left", np.s_[:, 90:])):
        rows, columns = np.nonzero(heads[half])
        columns = columns + (90 if side == "left" else 0)
        centre = (rows.mean() + 0.5, columns.mean() + 0.5)
        np.testing.assert_allclose(found[side].centre, centre, atol=1.0)
        assert found[side].height * 2 == pytest.approx(70)


def test_the_left_box_lies_in_the_right_half_of_the_image() -> None:
    image = rhoa.ctap(scan_with_heads(), pose=UPRIGHT)

    found = boxes(image)

    assert found["left"].centre[1] > image.shape[1] / 2 > found["right"].centre[1]


def test_boxes_follow_the_pelvis_into_an_unposed_image() -> None:
    """Turned by 10 degrees about z, the hip centre (83, 49) goes to (73.2, 62.7) in x and y."""
    turn = rotation(0, 0, 10)
    turned = rhoa.Landmarks(
        *(
            turn @ getattr(UPRIGHT, name)
            for name in ("asis_left", "asis_right", "pubic_tubercle_left", "pubic_tubercle_right")
        )
    )
    image = rhoa.ctap(scan_with_heads())

    row, column = boxes(image, turned)["left"].centre

    x, z = image.to_mm(row - 0.5, column - 0.5)
    assert x == pytest.approx(83 * np.cos(np.radians(10)) - 49 * np.sin(np.radians(10)))
    assert z == pytest.approx(18)


def test_boxes_of_an_oblique_scan_hold_the_heads() -> None:
    """The scan and its landmarks are turned together: the image does not change, nor do boxes."""
    volume, turn = scan_with_heads(), rotation(15, -10, 0)
    affine = np.eye(4)
    affine[:3, :3] = turn
    turned = rhoa.Landmarks(*(turn @ point for point in UPRIGHT.as_array()))

    found = boxes(rhoa.ctap(rhoa.Volume(volume.hu, affine @ volume.affine)), turned)

    for side, box in boxes(rhoa.ctap(volume), UPRIGHT).items():
        np.testing.assert_allclose(found[side].centre, box.centre, atol=1e-6)


def test_an_alignment_made_by_hand_needs_no_quality_numbers() -> None:
    by_hand = rhoa.Alignment(np.eye(3), np.zeros(3), UPRIGHT)

    assert boxes(rhoa.ctap(scan_with_heads(), pose=by_hand))["left"].height * 2 == pytest.approx(70)


def test_an_image_without_a_pelvis_is_refused() -> None:
    with pytest.raises(rhoa.RhoaError, match="hip boxes need to know the pelvis"):
        boxes(rhoa.ctap(scan_with_heads()))


def test_swapped_landmarks_are_refused() -> None:
    swapped = rhoa.Landmarks(
        UPRIGHT.asis_right,
        UPRIGHT.asis_left,
        UPRIGHT.pubic_tubercle_right,
        UPRIGHT.pubic_tubercle_left,
    )

    with pytest.raises(rhoa.RhoaError, match="left and right landmarks are not swapped"):
        boxes(rhoa.ctap(scan_with_heads()), swapped)


def test_a_scan_that_ends_at_the_hips_is_refused_by_side() -> None:
    volume = scan_with_heads()
    cut = rhoa.Volume(volume.hu[:, :, :130], volume.affine)  # ends 78 mm left of the middle

    with pytest.raises(rhoa.RhoaError, match="% of the left hip box lies outside the image"):
        boxes(rhoa.ctap(cut, pose=UPRIGHT))


class TestCrop:
    def test_a_crop_of_whole_pixels_is_the_pixels(self) -> None:
        image = np.random.default_rng(0).random((30, 40)).astype(np.float32)

        square = crop(image, Box("left", 5, 10, 25, 30), size=20)

        np.testing.assert_allclose(square, image[5:25, 10:30], rtol=1e-5)

    def test_right_hips_are_mirrored_and_left_ones_are_not(self) -> None:
        image = np.random.default_rng(1).random((30, 40)).astype(np.float32)
        edges = (5, 10, 25, 30)

        left, right = crop(image, Box("left", *edges)), crop(image, Box("right", *edges))

        np.testing.assert_allclose(right, left[:, ::-1], rtol=1e-5)
        np.testing.assert_allclose(crop(image, Box("right", *edges), mirror=False), left, rtol=1e-5)

    def test_the_default_is_100_pixels_and_none_keeps_their_number(self) -> None:
        image = np.zeros((300, 400))

        assert crop(image, Box("left", 5, 10, 225, 230)).shape == (100, 100)
        assert crop(image, Box("left", 5, 10, 225, 230), size=None).shape == (220, 220)

    def test_beyond_the_image_its_border_is_repeated(self) -> None:
        image = np.tile(np.arange(10, dtype=np.float32), (10, 1))

        square = crop(image, Box("left", 0, 5, 10, 15), size=10)

        np.testing.assert_allclose(square[:, 5:], 9, rtol=1e-5)

    def test_a_box_beside_the_image_is_refused(self) -> None:
        with pytest.raises(rhoa.RhoaError, match="left box lies outside the image"):
            crop(np.zeros((10, 10)), Box("left", 20, 20, 30, 30))


@given(*[st.floats(-50, 50)] * 4)
def test_overlap_of_a_box_with_itself_is_one_and_symmetric(
    top: float, left: float, down: float, across: float
) -> None:
    box = Box("left", top, left, top + abs(down) + 1, left + abs(across) + 1)
    other = Box("left", 0, 0, 10, 10)

    assert box.iou(box) == pytest.approx(1)
    assert box.iou(other) == pytest.approx(other.iou(box))
    assert 0 <= box.iou(other) <= 1


def test_overlap_of_half_covering_boxes_is_a_third() -> None:
    assert Box("left", 0, 0, 10, 10).iou(Box("left", 0, 5, 10, 15)) == pytest.approx(1 / 3)


@pytest.mark.parametrize("edges", [(5, 0, 5, 9), (0, 9, 9, 0), (0, 0, float("nan"), 9)])
def test_a_box_has_an_inside(edges: tuple[float, ...]) -> None:
    with pytest.raises(rhoa.RhoaError, match="a box needs finite edges"):
        Box("left", *edges)


def test_a_rectangle_is_clipped_to_the_square_about_its_middle() -> None:
    """The paper's words; of pixels twice as high as wide, 10 rows are as long as 20 columns."""
    box = Box("right", top=10, left=20, bottom=20, right=60, confidence=0.5)

    assert squared(box) == Box("right", 10, 35, 20, 45, 0.5)
    assert squared(box, (2.0, 1.0)) == Box("right", 10, 30, 20, 50, 0.5)

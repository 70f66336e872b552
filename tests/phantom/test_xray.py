"""X-rays of phantoms: geometry of the cone beam, contrast, truth."""

from __future__ import annotations

import numpy as np
import pytest

import rhoa
from rhoa.phantom import Anatomy, XRay, ct, xray


@pytest.fixture(scope="module")
def image() -> XRay:
    return xray(Anatomy.random(11, kl_left=3), pixel_mm=0.4, seed=1)


def test_the_cone_beam_magnifies_the_distance_between_the_hips(image: XRay) -> None:
    """The detector is 225 mm behind the plane, where the field ends; hips are 51 mm behind it."""
    (_, left), (_, right) = (image.hip_centres_px[side] for side in ("left", "right"))
    heads = ct(image.anatomy, spacing_mm=(9, 9, 9)).hip_centres
    true_mm = np.linalg.norm(heads["left"] - heads["right"])

    magnification = (left - right) * 0.4 / true_mm

    assert magnification == pytest.approx(1150 / (1150 - 225 + 51), rel=0.02)


def test_the_patients_left_is_on_the_right_and_boxes_hold_the_heads(image: XRay) -> None:
    for side, (row, column) in image.hip_centres_px.items():
        box = image.boxes[side]
        assert box.side == side
        assert box.centre == pytest.approx((row, column))
        assert box.share_outside(image.radiograph.shape) == 0
    assert image.boxes["left"].centre[1] > image.radiograph.shape[1] / 2


def test_bone_is_brighter_than_flesh_and_air_is_dark(image: XRay) -> None:
    """The shaft, 80 mm below the head and 39 outside it, against the flesh 35 mm to either side."""
    pixels = image.radiograph.pixels
    row, column = (round(place) for place in image.hip_centres_px["left"])
    row, column = row + round(80 * 1.18 / 0.4), column + round(39 * 1.18 / 0.4)
    aside = round(35 * 1.18 / 0.4)
    inner, shaft, outer = (
        pixels[row - 5 : row + 5, place - 5 : place + 5].mean()
        for place in (column - aside, column, column + aside)
    )
    flesh = (inner + outer) / 2

    assert shaft > 1.05 * flesh
    assert inner > pixels.max() * 0.3
    assert pixels.min() < 0.01 * flesh
    assert pixels.min() >= 0
    assert pixels.max() <= 4095


def test_positioning_and_noise_follow_the_seed() -> None:
    first, again, other = (
        xray(Anatomy.random(2), pixel_mm=2.0, seed=seed, voxel_mm=4.0).radiograph.pixels
        for seed in (0, 0, 1)
    )

    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_a_coarser_body_gives_about_the_same_image_and_the_same_boxes(image: XRay) -> None:
    coarse = xray(Anatomy.random(11, kl_left=3), pixel_mm=0.4, seed=1, voxel_mm=3.0)

    fine, blurred = image.radiograph.pixels.ravel(), coarse.radiograph.pixels.ravel()
    assert np.corrcoef(fine, blurred)[0, 1] > 0.99
    for side, box in image.boxes.items():
        assert box.iou(coarse.boxes[side]) > 0.97


def test_the_default_pixel_is_0_2_mm() -> None:
    image = xray(Anatomy.random(2), voxel_mm=6.0)

    assert image.radiograph.pixel_mm == (0.2, 0.2)
    assert image.radiograph.shape == (1500, 2000)


def test_a_pixel_and_a_voxel_have_a_size() -> None:
    with pytest.raises(rhoa.RhoaError, match="pixel_mm must be a positive"):
        xray(Anatomy.random(2), pixel_mm=0)
    with pytest.raises(rhoa.RhoaError, match="voxel_mm must be a positive"):
        xray(Anatomy.random(2), voxel_mm=0)

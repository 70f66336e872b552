"""Boxes that people gave, against the image: the half of their side, its borders, a hip's size."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import rhoa
from rhoa.errors import ManifestError, ParameterError, ViewError
from rhoa.hips import Box, LabelledImage, read_coco, read_examples, write_coco
from rhoa.hips.annotations import corrected
from rhoa.hips.bounding_boxes import BoxRules, checked_box
from rhoa.raster import encode_png
from rhoa.xray.refusals import FilmHips
from tests.hips.films import BOXES

SHAPE = (300, 400)
LEFT, RIGHT = ((box.top, box.left, box.bottom, box.right) for box in BOXES.values())
MM = BoxRules(SHAPE, (1.0, 1.0), 200.0)
"""Of a film of both hips, 300 x 400 pixels of 1 mm."""
PIXELS = MM._replace(pixel_mm=None)
ONE_HIP = MM._replace(midline_px=None)


@pytest.mark.parametrize("rules", [MM, PIXELS, ONE_HIP, MM._replace(pixel_mm=(0.6, 0.6))])
def test_the_boxes_of_hips_pass(rules: BoxRules) -> None:
    assert checked_box("left", LEFT, rules) == Box("left", *LEFT)
    assert checked_box("right", RIGHT, rules) == Box("right", *RIGHT)


@given(st.floats(41, 199), st.floats(41, 199), st.floats(0, 100), st.floats(205, 300))
def test_any_box_of_a_hips_size_in_its_half_passes(
    height: float, width: float, top: float, left: float
) -> None:
    edges = (top, left, top + height, left + width)
    rules = MM._replace(shape=(300, 500))

    assert checked_box("left", edges, rules).height == pytest.approx(height)
    with pytest.raises(ManifestError, match="right box lies in the half of the left hip"):
        checked_box("right", edges, rules)


WRONG = [
    ("half", RIGHT, MM, "the left box lies in the half of the right hip"),
    ("half", RIGHT, PIXELS, "the left box lies in the half of the right hip"),
    (
        "outside",
        (100, 340, 190, 430),
        MM,
        "33% of the left box lies outside the image of 300 x 400",
    ),
    ("outside", (-20, 250, 70, 340), ONE_HIP, "22% of the left box lies outside"),
    ("box", (100, 250, 130, 280), MM, "box is 30 x 30 mm .width x height., .* 40 to 200 mm"),
    ("box", (20, 205, 260, 395), MM, "box is 190 x 240 mm"),
    ("box", (100, 250, 130, 350), ONE_HIP, "box is 100 x 30 mm"),
    ("box", LEFT, MM._replace(pixel_mm=(0.3, 0.3)), "box is 27 x 27 mm"),
    ("box", (100, 250, 115, 265), PIXELS, "box has 15 x 15 pixels .* 20 to 240"),
    ("box", (20, 210, 270, 390), PIXELS, "box has 180 x 250 pixels"),
]


@pytest.mark.parametrize(("name", "edges", "rules", "message"), WRONG)
def test_what_is_implausible_is_refused_and_can_be_accepted_by_name(
    name: str, edges: tuple[float, ...], rules: BoxRules, message: str
) -> None:
    with pytest.raises(ManifestError, match=message) as error:
        checked_box("left", edges, rules, "a.csv, line 2")
    with pytest.raises(ManifestError, match=message):
        checked_box("left", edges, rules._replace(accept={"half", "outside", "box"} - {name}))

    assert str(error.value).startswith("a.csv, line 2: ")
    assert f'pass accept="{name}"' in str(error.value)
    assert checked_box("left", edges, rules._replace(accept={name})) == Box("left", *edges)


def test_a_box_wholly_outside_is_no_box_whatever_is_accepted() -> None:
    rules = MM._replace(accept={"half", "outside", "box"})

    with pytest.raises(ManifestError, match="100% of the left box lies outside"):
        checked_box("left", (100, 500, 190, 590), rules)


def shares(edges: tuple[float, ...]) -> tuple[float, ...]:
    return tuple(edge / SHAPE[place % 2] for place, edge in enumerate(edges))


TALL, WIDE = (100, 240, 200, 330), (90, 230, 180, 330)


@pytest.mark.parametrize("meant", [LEFT, TALL, WIDE])
@pytest.mark.parametrize(
    ("written", "message"),
    [
        (lambda t, x, b, r: (x, t, r, b), "x and y seem exchanged"),
        (lambda t, x, b, r: (t, x, b - t, r - x), "the last two seem to be height and width"),
        (lambda t, x, b, r: (x, t, r - x, b - t), "they seem to be x, y, width, height"),
        (lambda *edges: shares(edges), "fractions of 1, and pixels are needed"),
    ],
)
@pytest.mark.parametrize("rules", [MM, PIXELS])
def test_edges_in_another_order_are_recognised_and_the_right_ones_told(
    meant: tuple[float, ...],
    written: Callable[..., tuple[float, ...]],
    message: str,
    rules: BoxRules,
) -> None:
    """Each is an error; what is meant is in the message, to be copied."""
    edges = written(*meant)

    with pytest.raises(ManifestError, match=message) as error:
        checked_box("left", edges, rules)

    names = ("top", "left", "bottom", "right")
    fit = ", ".join(f"{name} {edge:.6g}" for name, edge in zip(names, meant, strict=True))
    assert f"{fit} would fit" in str(error.value)


def test_the_box_of_the_other_hip_is_not_taken_for_another_order() -> None:
    with pytest.raises(ManifestError) as error:
        checked_box("left", RIGHT, MM)

    assert "would fit" not in str(error.value)


@pytest.mark.parametrize("edges", [(190, 250, 100, 340), (1, 2, float("nan"), 3)])
def test_what_is_no_rectangle_is_an_error_whatever_is_accepted(edges: tuple[float, ...]) -> None:
    with pytest.raises(ManifestError, match="a box needs finite edges"):
        checked_box("left", edges, MM._replace(accept={"half", "outside", "box"}))


class TestImages:
    def test_halves_are_those_of_the_pelvis_where_a_pose_tells(self) -> None:
        """A posed CT-AP whose midline, x = 0, lies at column 100 of 400."""
        pose = rhoa.pose.from_landmarks(rhoa.Landmarks(*LANDMARKS))
        posed = rhoa.Radiograph(np.zeros(SHAPE, np.float32), (1, 1), (-100, 150), pose)

        assert BoxRules.of(posed).midline_px == pytest.approx(100.5)
        assert BoxRules.of(np.zeros(SHAPE)).midline_px == 200
        assert BoxRules.of(np.zeros(SHAPE), FilmHips("left", "given")).midline_px is None

    @pytest.mark.parametrize(
        ("edges", "message"),
        [
            (RIGHT, r"a\.png: the left box lies in the half of the right hip"),
            ((100, 250, 130, 280), r"a\.png: the left box is 30 x 30 mm"),
            ((100, 350, 190, 440), r"a\.png: 44% of the left box lies outside"),
        ],
    )
    def test_boxes_that_were_drawn_are_checked(
        self, edges: tuple[float, ...], message: str
    ) -> None:
        image = rhoa.Radiograph(np.zeros(SHAPE, np.float32), (1, 1))
        drawn = LabelledImage(Path("a.png"), (Box("left", *edges),))

        with pytest.raises(ManifestError, match=message):
            corrected(image, {}, drawn)
        boxes, _ = corrected(image, {}, drawn, accept="half,outside,box")
        assert set(boxes) == {"left"}
        with pytest.raises(ParameterError, match="accept must name refusals that exist"):
            corrected(image, {}, drawn, accept="all")

    def test_a_drawn_box_of_the_other_hip_of_a_film_of_one_is_refused(self) -> None:
        told = {"hip": "right", "hip_from": "ImageLaterality"}
        image = rhoa.Radiograph(np.zeros((300, 200), np.float32), (1, 1), provenance=told)
        drawn = LabelledImage(Path("a.png"), (Box("left", 100, 60, 190, 150),))

        with pytest.raises(ViewError, match="right hip alone .ImageLaterality"):
            corrected(image, {}, drawn)
        assert set(corrected(image, {}, drawn, accept="side")[0]) == {"left"}

    @pytest.mark.parametrize("side", ["left", "right"])
    def test_a_picture_of_one_hip_is_an_example_of_the_side_of_its_box(
        self, tmp_path: Path, side: str
    ) -> None:
        """A portrait: it is not cut, and mirrored where the hip is a right one."""
        levels = np.tile(np.arange(200, dtype=np.uint8), (300, 1))
        (tmp_path / "a.png").write_bytes(encode_png(levels))
        box = Box(side, 100, 40, 190, 130)  # type: ignore[arg-type]
        write_coco([LabelledImage(tmp_path / "a.png", (box,), levels.shape)], tmp_path / "a.json")

        (example,) = read_examples(read_coco(tmp_path / "a.json"), image_size=200)

        assert example.pixels.shape == (300, 200)
        assert (example.box.left, example.box.right) == pytest.approx(
            (40, 130) if side == "left" else (70, 160)
        )
        grows = example.pixels[0, 150] > example.pixels[0, 50]
        assert grows == (side == "left")


LANDMARKS = ((112, 0, 90), (-112, 0, 90), (30, 0, 0), (-30, 0, 0))

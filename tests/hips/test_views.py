"""Pictures for the eye: every mark lies where its point is, in every storage order."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

import rhoa
from rhoa._types import SIDES
from rhoa.hips import boxes, joints
from rhoa.hips.contact_sheet import Mark, View, frontal, lateral
from rhoa.phantom import Anatomy, Phantom, ct
from rhoa.pose import from_landmarks
from tests.pose.scans import with_ball
from tests.strategies import stored

SPACING = (3.0, 2.0, 2.5)


@cache
def case() -> Phantom:
    return ct(Anatomy.random(4), spacing_mm=SPACING, angles=(8, 2, -5))


def marks_of(view: View, kind: str) -> dict[str, Mark]:
    return {mark.label: mark for mark in view.marks if mark.kind == kind}


def brightest(view: View, plain: View) -> np.ndarray:
    """Column and row, in pixel edges, of what one picture has and the other has not."""
    more = view.grey.astype(float) - plain.grey
    rows, columns = np.nonzero(more > 0.7 * more.max())
    return np.array([columns.mean() + 0.5, rows.mean() + 0.5])


@pytest.mark.parametrize("pose", [None, "landmarks"])
@pytest.mark.parametrize(
    "name", ["asis_left", "asis_right", "pubic_tubercle_left", "pubic_tubercle_right"]
)
def test_a_ball_of_metal_at_a_landmark_is_seen_under_its_mark(name: str, pose: str | None) -> None:
    pelvis = case()
    alignment = from_landmarks(pelvis.landmarks)
    point = getattr(pelvis.landmarks, name)
    marked = with_ball(pelvis.volume, point, 9.0, 3000)
    label = name.replace("asis", "ASIS").replace("pubic_tubercle", "pubic tubercle")
    thing, _, side = label.rpartition("_")

    for volume_view in (
        lambda volume: frontal(
            rhoa.ctap(volume, pose=alignment if pose else None, window=(-150, 3000)),
            alignment,
            {},
            {},
        ),
        lambda volume: lateral(volume, alignment, {}),
    ):
        view, plain = volume_view(marked), volume_view(pelvis.volume)
        at = marks_of(view, "point")[f"{side} {thing}"].at

        assert np.linalg.norm(brightest(view, plain) - at) < 4


def test_the_lateral_view_looks_from_the_left_with_the_head_up() -> None:
    """The patient's front is on the left of the picture, in every storage order."""
    pelvis = case()
    alignment = from_landmarks(pelvis.landmarks)
    plain = lateral(pelvis.volume, alignment, {})

    for order in ((0, 1, 2), (2, 1, 0), (1, 2, 0)):
        for flips in ((False, False, False), (True, True, False), (False, True, True)):
            view = lateral(stored(pelvis.volume, order, flips), alignment, {})

            np.testing.assert_array_equal(view.grey, plain.grey)
            for mark, same in zip(view.marks, plain.marks, strict=True):
                np.testing.assert_allclose(mark.at, same.at, atol=1e-6)
    points = marks_of(plain, "point")
    behind = lateral(pelvis.volume, alignment, joints(pelvis.volume, alignment))
    for circle in marks_of(behind, "circle").values():
        assert circle.at[0] > points["left pubic tubercle"].at[0]
    assert points["left ASIS"].at[1] < points["left pubic tubercle"].at[1]


def test_the_plane_passes_through_the_landmarks() -> None:
    pelvis = case()
    view = lateral(pelvis.volume, from_landmarks(pelvis.landmarks), {})

    x0, y0, x1, y1 = marks_of(view, "line")["anterior pelvic plane"].at
    points = np.array([mark.at for mark in marks_of(view, "point").values()])

    across = np.array([y0 - y1, x1 - x0]) / np.hypot(x1 - x0, y1 - y0)
    off = (points - [x0, y0]) @ across
    # Spines lie on both sides of the line where the pelvis is turned or oblique.
    assert abs(off[:2].mean()) < 0.5
    assert abs(off[2:].mean()) < 0.5


def test_boxes_and_heads_are_drawn_where_they_are() -> None:
    pelvis = case()
    alignment = from_landmarks(pelvis.landmarks)
    image = rhoa.ctap(pelvis.volume)  # its pixels are 3 x 2.5 mm
    found = joints(pelvis.volume, alignment)
    drawn = boxes(image, joints=found)

    view = frontal(image, alignment, found, drawn)

    assert view.pixel_mm == 2.5
    squares = {mark.label.split()[0]: mark.at for mark in view.marks if mark.kind == "box"}
    circles = {mark.label.split()[0]: mark.at for mark in view.marks if mark.kind == "circle"}
    for side in SIDES:
        left, top, right, bottom = squares[side]
        x, y, radius = circles[side]
        assert (left + right) / 2 == pytest.approx(x)
        assert (top + bottom) / 2 == pytest.approx(y)
        assert radius * 2.5 == pytest.approx(found[side].radius_mm)
        assert right - left == pytest.approx(bottom - top)
    assert circles["left"][0] > circles["right"][0]


def test_a_head_that_was_not_found_is_drawn_as_assumed() -> None:
    pelvis = case()
    air = rhoa.Volume(np.full_like(pelvis.volume.hu, -1000), pelvis.volume.affine)
    found = joints(air, from_landmarks(pelvis.landmarks))

    view = frontal(rhoa.ctap(air), None, found, {})

    assert [mark.sure for mark in view.marks] == [False, False]

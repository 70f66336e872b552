"""The pose of a pelvis given as points: frame, signs, equivariance, options, bad input."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import rhoa
from rhoa.errors import ParameterError, PoseError
from rhoa.pose import from_points
from tests.pose.pelves import digital_pelvis as pelvis
from tests.pose.pelves import plane_error_deg, turn_deg
from tests.strategies import rotation, rotations


def centre() -> NDArray[np.float64]:
    return pelvis().reference.origin


def posed() -> rhoa.Alignment:
    return pelvis().found


def turned(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    return (pelvis().points - centre()) @ matrix.T + centre()


def test_the_pose_of_a_digital_pelvis_is_found_within_a_degree() -> None:
    assert turn_deg(posed().matrix, pelvis().reference.matrix) < 1.0
    assert plane_error_deg(posed(), pelvis().reference) < 1.0
    np.testing.assert_allclose(posed().origin, centre(), atol=5.0)
    assert posed().ok
    assert posed().upright


def test_every_number_of_the_quality_is_given_and_finite() -> None:
    for name in (
        *("asis_width_mm", "height_mm", "tubercle_distance_mm", "triangle", "mirror_mm"),
        *("confidence", "apex_offset_mm", "crest_before_tubercles_mm", "least_contact_points"),
        *("tubercle_step_mm",),
        *("face_distance_mm", "centroid_rotation_deg", "centroid_obliquity_deg", "hip_centre_z"),
        *("hip_difference_z", "hip_left_x_mm", "hip_right_z_mm", "voxel_mm", "loose_share"),
    ):
        assert np.isfinite(posed().quality[name]), name
    assert 0 < posed().quality["confidence"] <= 1


def test_the_landmarks_found_define_the_frame() -> None:
    again = rhoa.pose.from_landmarks(posed().landmarks)

    np.testing.assert_allclose(again.matrix, posed().matrix, atol=1e-12)
    np.testing.assert_allclose(again.origin, posed().origin, atol=1e-9)


def test_the_same_points_give_the_same_pose_to_the_last_bit() -> None:
    again = from_points(pelvis().points.copy())

    assert np.array_equal(again.matrix, posed().matrix)
    assert again.quality == posed().quality


@given(rotations(25))
@settings(max_examples=25)
def test_a_turned_pelvis_has_the_turned_frame(matrix: NDArray[np.float64]) -> None:
    found = from_points(turned(matrix))

    np.testing.assert_allclose(found.matrix, posed().matrix @ matrix.T, atol=1e-6)
    np.testing.assert_allclose(
        found.origin,
        matrix @ (posed().origin - centre()) + centre(),
        atol=1e-4,
    )


@given(rotations(180))
@settings(max_examples=25)
def test_a_pelvis_turned_in_any_way_has_the_turned_frame(matrix: NDArray[np.float64]) -> None:
    found = from_points(turned(matrix), orientation="free")

    np.testing.assert_allclose(found.matrix, posed().matrix @ matrix.T, atol=1e-6)
    assert not found.flags & {"extreme_pose", "landmarks_swapped", "large_tilt", "large_turn"}


@given(st.tuples(*(st.floats(-2000, 2000),) * 3))
@settings(max_examples=15)
def test_where_the_patient_lies_does_not_matter(shift: tuple[float, float, float]) -> None:
    found = from_points(pelvis().points + shift)

    np.testing.assert_allclose(found.matrix, posed().matrix, atol=1e-6)
    np.testing.assert_allclose(found.origin, posed().origin + shift, atol=1e-4)


@pytest.mark.parametrize(
    ("turn", "angle", "change"),
    [
        ((10, 0, 0), "tilt", 10),
        ((-10, 0, 0), "tilt", -10),
        ((0, 10, 0), "obliquity", -10),
        ((0, 0, 10), "rotation", 10),
    ],
)
def test_turns_about_patient_axes_change_the_angle_of_that_name(
    turn: tuple[float, float, float], angle: str, change: float
) -> None:
    """From a pelvis that lies exactly in the patient's axes, by the conventions of the angles."""
    straight = posed().matrix @ (pelvis().points - posed().origin).T
    before = from_points(straight.T).angles

    after = from_points((rotation(*turn) @ straight).T).angles

    np.testing.assert_allclose(before, 0, atol=1e-6)
    assert getattr(after, angle) == pytest.approx(change, abs=1e-6)


def test_a_mirrored_pelvis_has_the_mirrored_pose() -> None:
    """Left and right come from the anatomy: the mirror image is another patient's pelvis."""
    mirror = np.diag([-1.0, 1.0, 1.0])

    found = from_points(pelvis().points @ mirror)

    assert found.upright
    tilt, obliquity, rotation_ = posed().angles
    np.testing.assert_allclose(found.angles, (tilt, -obliquity, -rotation_), atol=0.1)
    np.testing.assert_allclose(
        found.landmarks.asis_left, posed().landmarks.asis_right @ mirror, atol=0.5
    )


def test_the_left_spine_is_the_one_on_the_patients_left() -> None:
    assert posed().landmarks.asis_left[0] > centre()[0] > posed().landmarks.asis_right[0]


def test_the_crest_lies_in_front_of_the_tubercles() -> None:
    crest = from_points(pelvis().points, pubis="crest")

    assert crest.angles.tilt < posed().angles.tilt
    assert posed().quality["crest_before_tubercles_mm"] > 0
    assert crest.quality["crest_before_tubercles_mm"] == 0


def test_small_loose_pieces_are_left_out() -> None:
    stone = np.random.default_rng(0).normal(size=(400, 3)) * 3 + centre() - (0, 60, -20)

    found = from_points(np.concatenate([pelvis().points, stone]))

    assert turn_deg(found.matrix, posed().matrix) < 0.5
    assert found.quality["loose_share"] > 0


def test_a_scan_that_ends_at_a_spine_is_flagged() -> None:
    low, high = pelvis().points.min(axis=0) - 50, pelvis().points.max(axis=0) + 50
    cut = pelvis().points[pelvis().points[:, 2] < posed().landmarks.asis_left[2] + 2]
    top = high.copy()
    top[2] = posed().landmarks.asis_left[2] + 2

    assert "field_of_view" in from_points(cut, box_mm=(low, top)).hard_flags
    assert "field_of_view" in from_points(cut).hard_flags
    assert "field_of_view" not in from_points(pelvis().points, box_mm=(low, high)).flags


@pytest.mark.parametrize("share", [0.5, 0.2, 0.08])
def test_a_coarser_sampling_of_the_surface_keeps_the_pose(share: float) -> None:
    points = pelvis().points
    drawn = [np.random.default_rng(seed).random(len(points)) < share for seed in range(9)]

    turns = [
        turn_deg(from_points(points[some]).matrix, pelvis().reference.matrix) for some in drawn
    ]

    assert np.median(turns) < 2.0
    assert max(turns) < 3.0


class TestBadInput:
    @pytest.mark.parametrize(
        ("points", "said"),
        [
            (np.zeros((4, 3)), "4 points"),
            (np.zeros((4, 2)), r"shape \(4, 2\)"),
            ("bones", "array"),
            (np.full((500, 3), np.nan), "500 of 500 points"),
            (np.outer(np.linspace(0, 300, 500), [1, 1, 1]), "line or in a plane"),
            (np.random.default_rng(0).random((500, 3)) * (300, 0, 300), "line or in a plane"),
            (lambda: pelvis().points / 1000, "millimetres"),
            (lambda: pelvis().points * 10, "millimetres"),
        ],
    )
    def test_what_is_no_cloud_of_bone_is_refused_with_a_reason(
        self, points: object, said: str
    ) -> None:
        with pytest.raises(PoseError, match=said):
            from_points(points() if callable(points) else points)

    def test_a_single_bone_is_no_pelvis(self) -> None:
        with pytest.raises(PoseError, match="both hip bones"):
            from_points(pelvis().left)

    def test_a_pelvis_upside_down_is_no_supine_patient(self) -> None:
        upside_down = turned(rotation(0, 180, 0))

        assert from_points(upside_down).hard_flags
        assert from_points(upside_down, orientation="free").ok

    @pytest.mark.parametrize(
        ("options", "said"),
        [
            ({"orientation": "prone"}, "orientation"),
            ({"pubis": "symphysis"}, "pubis"),
            ({"box_mm": 5}, "box_mm"),
            ({"box_mm": ((0, 0, 0), (0, 1, 1))}, "low < high"),
        ],
    )
    def test_an_unknown_option_is_named(self, options: dict[str, object], said: str) -> None:
        with pytest.raises(ParameterError, match=said):
            from_points(pelvis().points, **options)

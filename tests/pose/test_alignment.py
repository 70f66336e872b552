"""Landmarks and the anterior pelvic frame: axes, signs, flags, files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

import rhoa
from tests.strategies import rotation, rotations

UPRIGHT = {
    "asis_left": (112.0, 0.0, 93.0),
    "asis_right": (-112.0, 0.0, 93.0),
    "pubic_tubercle_left": (14.0, 0.0, 0.0),
    "pubic_tubercle_right": (-14.0, 0.0, 0.0),
}


def turned(
    matrix: NDArray[np.float64], shift: tuple[float, float, float] = (0, 0, 0)
) -> rhoa.Landmarks:
    points = {name: matrix @ np.array(point) + shift for name, point in UPRIGHT.items()}
    return rhoa.Landmarks(**points)


def test_an_upright_pelvis_has_the_patients_axes() -> None:
    alignment = rhoa.pose.from_landmarks(turned(np.eye(3), (5, 6, 7)))

    np.testing.assert_allclose(alignment.matrix, np.eye(3), atol=1e-12)
    np.testing.assert_allclose(alignment.origin, [5, 6, 7])
    assert alignment.angles == (0, 0, 0)
    assert alignment.ok
    assert alignment.quality["asis_width_mm"] == 224
    assert alignment.quality["height_mm"] == 93


@pytest.mark.parametrize(
    ("turn", "angles"),
    [
        ((10, 0, 0), (10, 0, 0)),  # +x: the spines go forward: anterior tilt
        ((0, 10, 0), (0, -10, 0)),  # +y: the left spine goes down
        ((0, 0, 10), (0, 0, 10)),
    ],
)
def test_angles_have_the_signs_of_the_conventions(
    turn: tuple[float, float, float], angles: tuple[float, float, float]
) -> None:
    np.testing.assert_allclose(
        rhoa.pose.from_landmarks(turned(rotation(*turn))).angles, angles, atol=1e-9
    )


def test_anterior_tilt_brings_the_spines_in_front_of_the_tubercles() -> None:
    landmarks = turned(rotation(10, 0, 0))

    assert landmarks.asis_left[1] < landmarks.pubic_tubercle_left[1]
    assert rhoa.pose.from_landmarks(landmarks).angles.tilt > 0


def test_positive_obliquity_is_a_higher_left_spine() -> None:
    landmarks = turned(rotation(0, -8, 0))

    assert landmarks.asis_left[2] > landmarks.asis_right[2]
    assert rhoa.pose.from_landmarks(landmarks).angles.obliquity > 0


@given(rotations(60.0), st.tuples(*[st.floats(-500, 500)] * 3))
def test_the_frame_turns_with_the_pelvis(
    turn: NDArray[np.float64], shift: tuple[float, float, float]
) -> None:
    """Equivariance: M(Q p) = M(p) Q^T, and the origin follows."""
    alignment = rhoa.pose.from_landmarks(turned(turn, shift))

    np.testing.assert_allclose(alignment.matrix, turn.T, atol=1e-9)
    np.testing.assert_allclose(alignment.origin, shift, atol=1e-9)


@given(rotations(60.0))
def test_points_survive_the_way_to_the_frame_and_back(turn: NDArray[np.float64]) -> None:
    alignment = rhoa.pose.from_landmarks(turned(turn, (1, 2, 3)))
    points = np.random.default_rng(0).normal(0, 100, (5, 3))

    np.testing.assert_allclose(alignment.to_lps(alignment.to_ap(points)), points, atol=1e-9)
    plane = alignment.to_ap(np.stack([alignment.landmarks.asis_left, alignment.origin]))
    np.testing.assert_allclose(plane[:, 1], 0, atol=1e-9)


class TestFlags:
    def test_swapped_sides(self) -> None:
        swapped = {
            "asis_left": UPRIGHT["asis_right"],
            "asis_right": UPRIGHT["asis_left"],
            "pubic_tubercle_left": UPRIGHT["pubic_tubercle_right"],
            "pubic_tubercle_right": UPRIGHT["pubic_tubercle_left"],
        }

        assert "landmarks_swapped" in rhoa.pose.from_landmarks(rhoa.Landmarks(**swapped)).flags

    def test_swapped_tubercles_alone(self) -> None:
        points = UPRIGHT | {
            "pubic_tubercle_left": UPRIGHT["pubic_tubercle_right"],
            "pubic_tubercle_right": UPRIGHT["pubic_tubercle_left"],
        }

        assert rhoa.pose.from_landmarks(rhoa.Landmarks(**points)).flags == {"landmarks_swapped"}

    def test_spines_below_the_tubercles(self) -> None:
        points = {name: (x, y, -z) for name, (x, y, z) in UPRIGHT.items()}

        assert "landmarks_swapped" in rhoa.pose.from_landmarks(rhoa.Landmarks(**points)).flags

    def test_distances_no_adult_pelvis_has(self) -> None:
        points = {name: np.array(point) / 2 for name, point in UPRIGHT.items()}

        assert rhoa.pose.from_landmarks(rhoa.Landmarks(**points)).flags == {"implausible"}

    @pytest.mark.parametrize("turn", [(36, 0, 0), (0, 21, 0), (0, 0, -21)])
    def test_poses_no_supine_patient_has(self, turn: tuple[float, float, float]) -> None:
        assert rhoa.pose.from_landmarks(turned(rotation(*turn))).flags == {"extreme_pose"}


@pytest.mark.parametrize(
    "points",
    [
        UPRIGHT | {"asis_right": UPRIGHT["asis_left"]},
        UPRIGHT | {"pubic_tubercle_left": (14, 0, 93), "pubic_tubercle_right": (-14, 0, 93)},
    ],
    ids=["one point twice", "all on one line"],
)
def test_collinear_landmarks_are_refused(points: dict[str, tuple[float, float, float]]) -> None:
    with pytest.raises(rhoa.errors.LandmarkError, match="landmarks"):
        rhoa.pose.from_landmarks(rhoa.Landmarks(**points))


@pytest.mark.parametrize("point", [(1, 2), (1, 2, np.nan), "left", None])
def test_a_landmark_is_three_finite_numbers(point: object) -> None:
    with pytest.raises(rhoa.RhoaError, match="asis_left must be three finite numbers"):
        rhoa.Landmarks(**(UPRIGHT | {"asis_left": point}))


@pytest.mark.parametrize(
    "matrix", [np.eye(3) * 2, np.diag([-1.0, 1, 1]), np.zeros((2, 2))], ids=str
)
def test_an_alignment_is_a_rotation(matrix: NDArray[np.float64]) -> None:
    with pytest.raises(rhoa.RhoaError, match="matrix must be a"):
        rhoa.Alignment(matrix, np.zeros(3))


class TestFiles:
    def test_landmarks_survive_json(self, tmp_path: Path) -> None:
        landmarks = turned(rotation(3, 4, 5), (0.1, 0.2, 0.3))
        landmarks.to_json(tmp_path / "a.json")

        again = rhoa.Landmarks.from_json(tmp_path / "a.json")

        for name in UPRIGHT:
            assert np.array_equal(getattr(again, name), getattr(landmarks, name))

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("{", "not a JSON file"),
            ("[]", "lacks asis_left, asis_right"),
            ('{"asis_left": [1, 2, 3]}', "lacks asis_right, pubic_tubercle_left"),
            (
                (
                    '{"space": "RAS", "asis_left": 1, "asis_right": 1,'
                    ' "pubic_tubercle_left": 1, "pubic_tubercle_right": 1}'
                ),
                '"space" must be "LPS"',
            ),
            (
                (
                    '{"asis_left": 1, "asis_right": 1,'
                    ' "pubic_tubercle_left": 1, "pubic_tubercle_right": 1}'
                ),
                r"a\.json: asis_left must be three finite numbers",
            ),
        ],
    )
    def test_bad_files_are_named(self, tmp_path: Path, text: str, message: str) -> None:
        (tmp_path / "a.json").write_text(text)

        with pytest.raises(rhoa.RhoaError, match=message):
            rhoa.Landmarks.from_json(tmp_path / "a.json")

    def test_landmarks_survive_the_markups_of_slicer(self, tmp_path: Path) -> None:
        landmarks = turned(rotation(3, 4, 5), (0.1, 0.2, 0.3))
        landmarks.to_json(tmp_path / "a.mrk.json")

        again = rhoa.Landmarks.from_json(tmp_path / "a.mrk.json")

        content = json.loads((tmp_path / "a.mrk.json").read_text())
        assert content["markups"][0]["coordinateSystem"] == "LPS"
        for name in UPRIGHT:
            assert np.array_equal(getattr(again, name), getattr(landmarks, name))

    @pytest.mark.parametrize(("system", "sign"), [("RAS", -1), ("LPS", 1), ("0", -1), ("1", 1)])
    def test_markups_are_in_the_space_that_they_name(
        self, tmp_path: Path, system: str, sign: int
    ) -> None:
        """As 3D Slicer writes them, 4.11 by number; the patient's left is +x in LPS, -x in RAS."""
        labels = ["L ASIS", "asis-right", "Left pubic tubercle", "F-5", "PT_R"]
        places = [(120, 3, 90), (-120, 3, 90), (15, 1, 0), (9, 9, 9), (-15, 1, 0)]
        points = [
            {"label": label, "position": [sign * x, sign * y, z]}
            for label, (x, y, z) in zip(labels, places, strict=True)
        ]
        text = json.dumps({"markups": [{"coordinateSystem": system, "controlPoints": points}]})
        (tmp_path / "F.mrk.json").write_text(text)

        read = rhoa.Landmarks.from_json(tmp_path / "F.mrk.json")

        assert read.asis_left.tolist() == [120, 3, 90]
        assert read.pubic_tubercle_right.tolist() == [-15, 1, 0]
        assert rhoa.pose.from_landmarks(read).matrix[0, 0] > 0.99

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"coordinateSystem": "IJK"}, "LPS or RAS; this file says IJK"),
            ({"coordinateUnits": "cm"}, "this file says LPS, cm"),
            ({"controlPoints": [{"label": "L ASIS", "position": [1, 2, 3]}] * 2}, "two points"),
            ({"controlPoints": [{"label": "L ASIS", "position": [1, 2]}]}, "no markups of 3D"),
            ({"controlPoints": 3}, "no markups of 3D Slicer"),
            ({"controlPoints": []}, "lacks asis_left, asis_right"),
        ],
    )
    def test_markups_that_do_not_say_where_the_points_lie_are_refused(
        self, tmp_path: Path, change: dict[str, object], message: str
    ) -> None:
        markup = {"coordinateSystem": "LPS", "controlPoints": []} | change
        (tmp_path / "F.mrk.json").write_text(json.dumps({"markups": [markup]}))

        with pytest.raises(rhoa.RhoaError, match=rf"F\.mrk\.json: .*{message}"):
            rhoa.Landmarks.from_json(tmp_path / "F.mrk.json")

    def test_points_in_another_unit_are_refused(self, tmp_path: Path) -> None:
        turned(np.eye(3)).to_json(tmp_path / "a.json")
        text = (tmp_path / "a.json").read_text().replace('"mm"', '"cm"')
        (tmp_path / "a.json").write_text(text)

        with pytest.raises(rhoa.RhoaError, match='"unit" must be "mm"; convert the points first'):
            rhoa.Landmarks.from_json(tmp_path / "a.json")

    def test_a_missing_file_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(rhoa.RhoaError, match=r"none\.json: no such landmark file"):
            rhoa.Landmarks.from_json(tmp_path / "none.json")

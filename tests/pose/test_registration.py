"""The shape model of the pelvis, and its registration to what is bone in a scan and what is not."""

from __future__ import annotations

from functools import cache
from typing import get_args

import numpy as np
import pytest
from numpy.typing import NDArray

import rhoa
from rhoa.phantom import Anatomy, Phantom, Surroundings, ct, with_things
from rhoa.phantom.anatomy import Thing
from rhoa.pose import from_landmarks, from_volume
from rhoa.pose.automatic import FILE, pelvis_model
from tests.pose.pelves import turn_deg
from tests.pose.scans import is_caught, with_ball

SIDES = ("left", "right")


@cache
def phantom(seed: int = 2, reach_z: tuple[float, float] = (-115, 250)) -> Phantom:
    return ct(
        Anatomy.random(seed),
        spacing_mm=(2.5, 2.5, 2.5),
        angles=(-4, 0, 3),
        surroundings=Surroundings(reach_mm=((-225, 225), (-95, 225), reach_z)),
    )


def error_deg(found: rhoa.Alignment, case: Phantom) -> float:
    return turn_deg(found.matrix, from_landmarks(case.landmarks).matrix)


def heads_mm(found: rhoa.Alignment, case: Phantom) -> float:
    """The farther of both heads from the truth."""
    heads = {s: found.to_lps([found.quality[f"hip_{s}_{a}_mm"] for a in "xyz"]) for s in SIDES}
    return max(float(np.linalg.norm(heads[side] - case.hip_centres[side])) for side in SIDES)


def assert_joints(volume: rhoa.Volume, found: rhoa.Alignment, case: Phantom) -> None:
    joints = rhoa.hips.joints(volume, found)
    for side in SIDES:
        assert joints[side].found
        assert np.linalg.norm(joints[side].centre_lps_mm - case.hip_centres[side]) < 5


class TestModel:
    def test_it_is_small(self) -> None:
        assert FILE.stat().st_size <= 700_000

    def test_it_is_a_symmetric_pelvis_in_its_own_frame(self) -> None:
        model = pelvis_model()
        landmarks = rhoa.Landmarks(*model.mean[-6:-2])

        np.testing.assert_allclose(from_landmarks(landmarks).matrix, np.eye(3), atol=1e-3)
        np.testing.assert_allclose(model.mean[-5], model.mean[-6] * (-1, 1, 1), atol=0.1)
        np.testing.assert_allclose(model.mean[-1], model.mean[-2] * (-1, 1, 1), atol=0.1)
        # Means of forty real pelves (the atlas' authors): 224 mm wide, 93 high; hips 81 and 51.
        assert abs(model.mean[-6, 0] - 112) < 6
        assert abs(model.mean[-6, 2] - 93) < 6
        np.testing.assert_allclose(model.mean[-2], (82, 51, 19), atol=6)

    def test_its_normals_point_out_of_the_bone(self) -> None:
        model = pelvis_model()
        for bone in (0, 1):
            here = model.bone == bone
            points, normals = model.mean[:-6][here], model.normals[here]
            lowest = points[:, 2] < np.quantile(points[:, 2], 0.03)  # the ischium
            assert normals[lowest, 2].mean() < -0.5
        np.testing.assert_allclose(np.linalg.norm(model.normals, axis=1), 1, atol=1e-3)


class TestThingsThatAreNoPelvis:
    """Metal on and before the skin, contrast in bowel: the pose stays, and the heads with it."""

    @pytest.mark.parametrize(
        ("where_mm", "radius_mm", "hu"),
        [
            pytest.param(
                (0, -40, -62), 3, 2500, id="zip before the thighs", marks=pytest.mark.slow
            ),
            pytest.param(
                (0, -40, -62), 9, 2500, id="buckle before the thighs", marks=pytest.mark.slow
            ),
            pytest.param(
                (60, -25, 40), 8, 3000, id="clip before the groin", marks=pytest.mark.slow
            ),
            pytest.param(
                (0, -15, 20), 10, 700, id="contrast before the pubis", marks=pytest.mark.slow
            ),
            pytest.param(
                (-70, -20, 80), 14, 600, id="contrast before a spine", marks=pytest.mark.slow
            ),
            pytest.param((0, 60, 40), 30, 400, id="contrast in the bladder"),
        ],
    )
    def test_it_changes_nothing(
        self, where_mm: tuple[float, ...], radius_mm: float, hu: int
    ) -> None:
        case = phantom()
        place = from_landmarks(case.landmarks).to_lps(where_mm)

        found = from_volume(with_ball(case.volume, place, radius_mm, hu))

        assert error_deg(found, case) < 2
        assert heads_mm(found, case) < 5
        assert not found.hard_flags

    @pytest.mark.parametrize(
        "things",
        [
            pytest.param(get_args(Thing), id="everything"),
            *(
                pytest.param(some, id="-".join(some), marks=pytest.mark.slow)
                for some in (
                    ("zip", "buckle", "clip", "coin"),
                    ("wire", "ecg_leads", "catheter"),
                    ("contrast_before_plane", "contrast_at_spine", "calcified_vessels"),
                    ("arms",),
                )
            ),
        ],
    )
    def test_what_patients_bring_loses_nobody(self, things: tuple[Thing, ...]) -> None:
        case = phantom()
        made = with_things(case.volume, case.landmarks, things)

        found = from_volume(made)

        assert heads_mm(found, case) < 5
        assert error_deg(found, case) < 3
        assert not found.hard_flags
        assert_joints(made, found, case)

    def test_a_prosthesis_of_one_side_leaves_the_other_hip(self) -> None:
        around = Surroundings(implant="left", bladder_hu=400)
        case = ct(
            Anatomy.random(4), spacing_mm=(2.5, 2.5, 2.5), angles=(5, 1, -6), surroundings=around
        )

        found = from_volume(case.volume)

        assert error_deg(found, case) < 3 or found.hard_flags
        head = found.to_lps([found.quality[f"hip_right_{axis}_mm"] for axis in "xyz"])
        assert np.linalg.norm(head - case.hip_centres["right"]) < 5

    @pytest.mark.slow
    @pytest.mark.parametrize("seed", [0, 1, 2])
    def test_a_scrap_of_metal_before_the_thighs_loses_neither_hip(self, seed: int) -> None:
        """A ball of 2 to 9 mm anywhere before the plane, on the skin or off it."""
        random = np.random.default_rng(seed)
        case = phantom(20 + seed)
        where = random.uniform((-60, -55, -70), (60, -30, 20))
        place = from_landmarks(case.landmarks).to_lps(where)

        made = with_ball(case.volume, place, random.uniform(2, 9), 2500)
        found = from_volume(made)

        assert error_deg(found, case) < 3 or found.flags
        assert not found.hard_flags
        assert_joints(made, found, case)


class TestPartOfAPelvis:
    @pytest.mark.parametrize(
        "top_mm", [75, *(pytest.param(top, marks=pytest.mark.slow) for top in (95, 60))]
    )
    def test_spines_outside_the_scan_are_the_models(self, top_mm: float) -> None:
        case = phantom(reach_z=(-115, top_mm))

        found = from_volume(case.volume)

        assert "landmarks_outside" in found.warnings
        assert not found.hard_flags
        assert error_deg(found, case) < 2.5 * found.quality["expected_error_deg"]
        assert found.quality["expected_error_deg"] > 1
        assert heads_mm(found, case) < 5

    @pytest.mark.parametrize("bottom_mm", [130, pytest.param(170, marks=pytest.mark.slow)])
    def test_a_scan_that_begins_above_the_pelvis_is_refused(self, bottom_mm: float) -> None:
        case = phantom(reach_z=(bottom_mm, 340))

        with pytest.raises(rhoa.errors.PoseError, match="no pelvis"):
            from_volume(case.volume)

    @pytest.mark.parametrize("beyond_mm", [-10, pytest.param(25, marks=pytest.mark.slow)])
    def test_half_a_pelvis_is_never_used_unasked(self, beyond_mm: float) -> None:
        case = phantom()
        index = int(case.volume.to_index([beyond_mm, 0, 0])[2])

        half = rhoa.Volume(np.ascontiguousarray(case.volume.hu[:, :, :index]), case.volume.affine)

        assert is_caught(half)


class TestPosition:
    @pytest.mark.parametrize(
        "turn",
        [
            pytest.param(np.diag([-1.0, -1.0, 1.0]), id="prone"),
            pytest.param(
                np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]]),
                id="on a side",
                marks=pytest.mark.slow,
            ),
            pytest.param(np.diag([-1.0, 1.0, -1.0]), id="feet first entered head first"),
        ],
    )
    def test_a_patient_who_lies_otherwise_than_the_header_says_is_found_and_flagged(
        self, turn: NDArray[np.float64]
    ) -> None:
        case = phantom()
        affine = np.eye(4)
        affine[:3] = turn @ case.volume.affine[:3]

        found = from_volume(rhoa.Volume(case.volume.hu, affine))

        assert "turned_in_scan" in found.hard_flags
        true = from_landmarks(case.landmarks).matrix @ turn.T
        assert turn_deg(found.matrix, true) < 3

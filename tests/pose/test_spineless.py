"""The pose of a pelvis whose spines were not scanned: approximate, and always flagged."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from numpy.typing import NDArray

import rhoa
from rhoa.errors import PoseError
from rhoa.phantom import Anatomy, Surroundings, ct
from rhoa.pose import from_landmarks, without_spines
from tests.pose.pelves import digital_pelvis, turn_deg
from tests.strategies import rotations

PELVIS = digital_pelvis()
POINTS = PELVIS.points[PELVIS.points[:, 2] < PELVIS.landmarks.asis_left[2] - 20]
CENTRE = PELVIS.reference.origin


def test_the_pose_is_approximate_and_flagged() -> None:
    found = without_spines(POINTS)
    tilt, obliquity, turn = np.subtract(found.angles, PELVIS.reference.angles)

    assert found.warnings == {"no_spines"}
    assert not found.ok
    assert found.landmarks is None
    assert abs(tilt) < 2.5 * found.quality["tilt_sd_deg"]
    assert abs(obliquity) < 1
    assert abs(turn) < 1


def test_hips_lie_where_hips_are() -> None:
    found = without_spines(POINTS)

    for side, sign in (("left", 1), ("right", -1)):
        centre = [found.quality[f"hip_{side}_{axis}_mm"] for axis in "xyz"]
        np.testing.assert_allclose(centre, (82 * sign, 49, 18), atol=18)


@given(rotations(10))
@settings(max_examples=4)
def test_it_turns_with_the_pelvis(matrix: NDArray[np.float64]) -> None:
    still = without_spines(POINTS)

    found = without_spines((POINTS - CENTRE) @ matrix.T + CENTRE)

    assert turn_deg(found.matrix @ matrix, still.matrix) < 4


def test_one_hip_has_no_pose_without_its_spine() -> None:
    with pytest.raises(PoseError, match="hip"):
        without_spines(PELVIS.left[PELVIS.left[:, 2] < PELVIS.landmarks.asis_left[2] - 20])


class TestVolume:
    HIPS_ONLY = Surroundings(reach_mm=((-225, 225), (-95, 225), (-95, 55)))

    @pytest.mark.parametrize("seed", range(3))
    def test_a_ct_of_the_hips_alone_has_an_approximate_pose(self, seed: int) -> None:
        case = ct(
            Anatomy.random(seed),
            spacing_mm=(2, 2, 2),
            angles=(8 - 8 * seed, 2, -4),
            surroundings=self.HIPS_ONLY,
        )

        found = without_spines(case.volume)

        tilt, obliquity, turn = np.subtract(found.angles, from_landmarks(case.landmarks).angles)
        assert found.flags == {"no_spines"}
        assert abs(tilt) < 2.5 * found.quality["tilt_sd_deg"]
        assert abs(obliquity) < 1
        assert abs(turn) < 1

    def test_a_ct_without_hips_is_refused_with_what_to_do(self) -> None:
        hu = np.full((60, 60, 60), 40, np.int16)
        hu[:, 20:40, 20:40] = 800

        with pytest.raises(PoseError, match="no two femoral heads .* must hold both hips"):
            without_spines(rhoa.Volume.from_array(hu, (2, 2, 2)))

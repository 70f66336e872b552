"""The pelvis tipped about its hips, as when standing."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import rhoa
from rhoa.errors import ParameterError
from rhoa.pose import from_points, tilted
from rhoa.pose.alignment import usable_alignment
from tests.pose.pelves import digital_pelvis

LYING = from_points(digital_pelvis().points)
HIPS = [[LYING.quality[f"hip_{side}_{axis}_mm"] for axis in "xyz"] for side in ("left", "right")]
AXIS = LYING.to_lps(np.mean(HIPS, axis=0))


@given(st.floats(-30, 30))
def test_the_pelvis_tips_about_the_middle_of_its_hips(offset_deg: float) -> None:
    standing = tilted(LYING, offset_deg)

    np.testing.assert_allclose(standing.to_ap(AXIS), LYING.to_ap(AXIS), atol=1e-9)
    np.testing.assert_allclose(standing.matrix[0], LYING.matrix[0], atol=1e-12)


def test_a_forward_tip_brings_the_spines_before_the_tubercles() -> None:
    asis = LYING.landmarks.as_array()[:2].mean(axis=0)
    pubis = LYING.landmarks.as_array()[2:].mean(axis=0)

    forward, back = tilted(LYING, 10), tilted(LYING, -10)

    assert forward.to_ap(asis)[1] < forward.to_ap(pubis)[1]
    assert back.to_ap(asis)[1] > back.to_ap(pubis)[1]


@given(st.floats(-15, 15), st.floats(-15, 15))
def test_offsets_add_up(first: float, second: float) -> None:
    twice, once = tilted(tilted(LYING, first), second), tilted(LYING, first + second)

    np.testing.assert_allclose(twice.matrix, once.matrix, atol=1e-12)
    np.testing.assert_allclose(twice.origin, once.origin, atol=1e-9)
    assert twice.quality["tilt_offset_deg"] == pytest.approx(first + second)


def test_hip_centres_are_given_in_the_tipped_frame() -> None:
    standing = tilted(LYING, 12)
    left = [standing.quality[f"hip_left_{axis}_mm"] for axis in "xyz"]

    np.testing.assert_allclose(left, standing.to_ap(LYING.to_lps(HIPS[0])), atol=1e-9)


def test_the_tip_is_recorded_as_a_flag_and_is_usable_without_a_warning() -> None:
    standing = tilted(LYING, -5)

    assert standing.warnings == {"functional_tilt"}
    assert not standing.hard_flags
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert usable_alignment(standing) is standing


def test_landmarks_alone_are_tipped_about_the_hips_of_a_mean_pelvis() -> None:
    read = rhoa.pose.from_landmarks(LYING.landmarks)

    standing = tilted(read, 8)

    middle = read.to_lps((0, 49, 18))
    np.testing.assert_allclose(standing.to_ap(middle), (0, 49, 18), atol=1e-9)


@pytest.mark.parametrize("offset", [36, -40, float("nan"), "much"])
def test_what_no_pelvis_does_is_refused(offset: object) -> None:
    with pytest.raises(ParameterError, match="offset_deg"):
        tilted(LYING, offset)

"""Femoral heads in a CT: where they are, on which side, and what is said of bad ones."""

from __future__ import annotations

import warnings
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rhoa
from rhoa._types import SIDES, Side
from rhoa.errors import ParameterError, RhoaWarning
from rhoa.hips import Box, boxes, joints, located
from rhoa.phantom import ABDOMEN, Anatomy, Phantom, Surroundings, ct
from rhoa.pose import from_landmarks, from_volume
from rhoa.pose.population import FEMORAL_HEAD_RADIUS_MM as RADIUS_MM
from rhoa.projection.depth_and_grid import HIP_REACH_MM
from tests.pose.painted import Painted, painted
from tests.pose.pelves import experts, heads
from tests.pose.scans import cut, measured, with_ball
from tests.strategies import stored

ABOUT_HIPS_MM = ((-165, 165), (-60, 130), (-80, 120))
"""What is scanned: both hips, in any of the poses, and hardly more than is looked at."""
PLAIN = Surroundings(reach_mm=ABOUT_HIPS_MM)


@cache
def phantom(seed: int, surroundings: Surroundings = PLAIN) -> Phantom:
    """A pelvis of any grade in any pose, in voxels of 1 to 2.5 mm; its voxels cannot be changed."""
    random = np.random.default_rng([seed, 8])
    left, right = (int(grade) for grade in random.integers(5, size=2))
    made = ct(
        Anatomy.random(seed, kl_left=left, kl_right=right),
        spacing_mm=tuple(random.uniform((1.0, 1.5, 1.5), 2.5)),
        angles=tuple(random.uniform((-20, -8, -15), (20, 8, 15))),
        surroundings=replace(surroundings, reach_mm=ABOUT_HIPS_MM),
    )
    made.volume.hu.flags.writeable = False
    return made


@cache
def found_in(seed: int, surroundings: Surroundings = PLAIN) -> dict[Side, rhoa.hips.Joint]:
    """The heads of `phantom` in its true frame."""
    case = phantom(seed, surroundings)
    return joints(case.volume, from_landmarks(case.landmarks))


CASES = [(0, ABDOMEN), (1,), (2,), (3, ABDOMEN)]


def away_mm(found: rhoa.hips.Joint, pelvis: Phantom) -> float:
    return float(np.linalg.norm(found.centre_lps_mm - pelvis.hip_centres[found.side]))


class TestHeads:
    def test_centres_are_within_two_millimetres(self) -> None:
        found = [(joint, phantom(*case)) for case in CASES for joint in found_in(*case).values()]

        errors = [away_mm(joint, case) for joint, case in found]
        assert np.mean(errors) < 1.2
        assert max(errors) < 2.0
        for joint, case in found:
            assert joint.flags == frozenset()
            assert joint.confidence > 0.7
            assert abs(joint.radius_mm - case.anatomy.head_radius) < 1.5

    def test_left_is_the_patient_s_left(self) -> None:
        frame = from_landmarks(phantom(1).landmarks)

        found = found_in(1)

        assert frame.to_ap(found["left"].centre_lps_mm)[0] > 60
        assert frame.to_ap(found["right"].centre_lps_mm)[0] < -60

    @settings(max_examples=4)
    @given(order=st.permutations(range(3)), flips=st.tuples(*[st.booleans()] * 3))
    def test_the_storage_order_of_the_voxels_does_not_matter(
        self, order: list[int], flips: tuple[bool, ...]
    ) -> None:
        case = phantom(2)
        frame = from_landmarks(case.landmarks)

        found = joints(stored(case.volume, tuple(order), flips), frame)

        for side, joint in found_in(2).items():
            # Blocks of voxels are averaged from the other end.
            assert np.linalg.norm(found[side].centre_lps_mm - joint.centre_lps_mm) < 0.7

    @pytest.mark.parametrize("off_mm", [(12, 0, 0), (0, -12, 0), (0, 0, 12)])
    def test_an_alignment_that_is_off_by_a_centimetre_finds_the_same_heads(
        self, off_mm: tuple[float, ...]
    ) -> None:
        case = phantom(1)
        frame = from_landmarks(case.landmarks)

        found = joints(case.volume, replace(frame, origin=frame.origin + off_mm))

        for joint in found.values():
            assert away_mm(joint, case) < 2

    @pytest.mark.parametrize(
        "spacing_mm",
        [(3, 2, 2), (2, 3, 3), pytest.param((0.8, 0.9, 0.9), marks=pytest.mark.slow)],
    )
    def test_the_voxels_may_be_fine_or_coarse(self, spacing_mm: tuple[float, ...]) -> None:
        case = ct(Anatomy.random(6), spacing_mm=spacing_mm, surroundings=PLAIN)

        found = joints(case.volume, from_landmarks(case.landmarks))

        assert max(away_mm(joint, case) for joint in found.values()) < 2


class TestLocated:
    def test_depth_and_boxes_follow_the_heads_that_were_found(self) -> None:
        case, found = phantom(2), found_in(2)
        read = from_landmarks(case.landmarks)

        image = rhoa.ctap(case.volume, pose=located(read, found), depth="hip")

        behind = [read.to_ap(case.hip_centres[side])[1] for side in SIDES]
        front, back = image.provenance["depth_mm"]
        assert front == pytest.approx(min(behind) - HIP_REACH_MM, abs=1)
        assert back == pytest.approx(max(behind) + HIP_REACH_MM, abs=1)
        for side, box in boxes(image, joints=found).items():
            alone = boxes(image)[side]
            np.testing.assert_allclose(alone.centre, box.centre, atol=1e-9)
            assert alone.height == pytest.approx(box.height)

    def test_a_side_that_was_not_found_stays_as_it_was(self) -> None:
        case = phantom(3, Surroundings(absent="left"))
        read = measured(case)

        told = located(read, joints(case.volume, read)).quality

        assert told["hip_left_x_mm"] == read.quality["hip_left_x_mm"]
        assert "hip_left_radius_mm" not in told
        assert told["hip_right_radius_mm"] == pytest.approx(case.anatomy.head_radius, abs=1.5)


class TestOneBadHip:
    @pytest.mark.parametrize("side", SIDES)
    @pytest.mark.parametrize("kind", ["implant", "absent"])
    def test_it_is_flagged_and_the_other_is_as_before(self, kind: str, side: str) -> None:
        """Metal in its place; or nothing, which is not found where it would be."""
        case = phantom(3, Surroundings(**{kind: side}))
        (other,) = set(SIDES) - {side}

        found = joints(case.volume, from_landmarks(case.landmarks))

        assert found[side].hard_flags
        assert found[side].confidence <= 0.1
        assert found[other].flags == frozenset()
        assert away_mm(found[other], case) < 2
        if kind == "implant":
            assert "implant" in found[side].flags
        else:
            assert found[side].flags == {"not_found"}
            assert not found[side].found
            assert found[side].radius_mm == RADIUS_MM
            assert away_mm(found[side], case) < 20

    @pytest.mark.parametrize(
        ("side", "beyond_mm"), [("left", 20), ("right", 20), ("left", -20), ("right", -60)]
    )
    def test_a_scan_that_ends_at_a_hip_says_so(self, side: str, beyond_mm: float) -> None:
        """From 20 mm beyond the centre of the head to 60 mm before it."""
        case = phantom(4)
        sign = 1 if side == "left" else -1
        edge = case.hip_centres[side] + [sign * beyond_mm, 0, 0]
        index = int(case.volume.to_index(edge)[2])
        ends = (0, index) if side == "left" else (index, case.volume.shape[2])
        (other,) = set(SIDES) - {side}

        found = joints(cut(case.volume, 2, *ends), from_landmarks(case.landmarks))

        assert "field_of_view" in found[side].flags
        assert found[side].confidence < 0.8
        assert found[other].flags == frozenset()
        if beyond_mm < 0:
            assert not found[side].found or away_mm(found[side], case) < 4

    @pytest.mark.parametrize(
        "towards", [(0, -1, 0.4), (-1, -0.3, 0.3), (0.3, 0.2, 1), (0, 1, -0.5)]
    )
    def test_a_ball_of_contrast_is_rounder_than_the_head_and_is_not_taken_for_it(
        self, towards: tuple[float, ...]
    ) -> None:
        """Contrast fills what is not bone, so that of the ball more is seen than of the head."""
        case = phantom(1)
        place = case.hip_centres["left"] + 22 * np.array(towards) / np.linalg.norm(towards)
        ball = with_ball(case.volume, place, 27, 1000).hu
        hu = np.where(case.volume.hu > 250, case.volume.hu, ball)

        found = joints(rhoa.Volume(hu, case.volume.affine), measured(case))["left"]

        assert away_mm(found, case) < 5

    def test_a_screw_of_half_a_cubic_centimetre_is_an_implant(self) -> None:
        case = phantom(4)
        place = case.hip_centres["right"] + [-10, 0, -15]

        found = joints(with_ball(case.volume, place, 6.0, 3000), from_landmarks(case.landmarks))

        assert found["right"].flags == {"implant"}
        assert found["left"].flags == frozenset()

    def test_air_has_no_heads(self) -> None:
        case = phantom(1)
        air = rhoa.Volume(np.full_like(case.volume.hu, -1000), case.volume.affine)

        found = joints(air, from_landmarks(case.landmarks))

        assert all(joint.flags == {"not_found"} for joint in found.values())


class TestBoxes:
    def test_boxes_are_those_that_a_reader_draws_on_the_phantom(self) -> None:
        overlaps = []
        for key in CASES:
            case, joint_of = phantom(*key), found_in(*key)
            frame = from_landmarks(case.landmarks)
            image = rhoa.ctap(case.volume, pose=frame)

            found = boxes(image, joints=joint_of)

            for side in SIDES:
                x, _, z = frame.to_ap(case.hip_centres[side])
                half = case.half_boxes_mm[side]
                top, left = image.to_pixel(x - half, z + half)
                bottom, right = image.to_pixel(x + half, z - half)
                drawn = Box(side, top + 0.5, left + 0.5, bottom + 0.5, right + 0.5)
                overlaps.append(found[side].iou(drawn))
                assert found[side].confidence == joint_of[side].confidence

        assert np.mean(overlaps) > 0.93
        assert min(overlaps) > 0.85

    def test_the_heads_found_with_the_pose_are_boxed_without_the_volume(self) -> None:
        case = phantom(2)
        image = rhoa.ctap(case.volume, pose=measured(case))

        found = boxes(image)

        for side in SIDES:
            x, _, z = measured(case).to_ap(case.hip_centres[side])
            row, column = image.to_pixel(x, z)
            np.testing.assert_allclose(found[side].centre, (row + 0.5, column + 0.5), atol=1e-6)
            assert found[side].confidence is None


def test_what_is_no_alignment_is_refused() -> None:
    with pytest.raises(
        ParameterError, match=r"joints needs the rhoa\.Alignment of the scan; got str"
    ):
        joints(phantom(1).volume, "auto")  # type: ignore[arg-type]


@pytest.mark.real
@pytest.mark.parametrize(
    "name",
    ["z013", *(pytest.param(name, marks=pytest.mark.slow) for name in ("z001", "z027", "z036"))],
)
def test_heads_of_real_femora_are_found_among_contrast_and_stool(
    real_data: Path, painted_pelvis: Painted, name: str
) -> None:
    """Spheres fitted to the segmented femora, in CTs painted from the same bones."""
    case = painted_pelvis if name == "z013" else painted(real_data, name, 3)
    pelvis = next(pelvis for pelvis in experts(real_data) if pelvis.name == name)

    found = joints(case.volume, case.reference)

    for side, head in heads(real_data, pelvis).items():
        expected = case.reference.to_lps(pelvis.reference.to_ap(head))
        assert np.linalg.norm(found[side].centre_lps_mm - expected) < 3, side
        assert found[side].flags == frozenset()


@pytest.mark.real
def test_an_implant_is_on_the_side_where_it_is_and_both_boxes_lie_in_the_image(
    real_data: Path,
) -> None:
    """Metal in the left proximal femur; the field of view ends just below the hips."""
    file = real_data / "real-ct" / "totalseg_example_ct.nii.gz"
    if not file.is_file():
        pytest.skip("no totalseg_example_ct in RHOA_DATA")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RhoaWarning)
        volume = rhoa.read_ct(file)
    alignment = from_volume(volume)

    found = joints(volume, alignment)

    assert "implant" in found["left"].flags
    assert found["right"].found
    assert "implant" not in found["right"].flags
    # Read on coronal, sagittal and axial slices.
    assert np.linalg.norm(found["left"].centre_lps_mm - (82, -143, 134)) < 4
    assert np.linalg.norm(found["right"].centre_lps_mm - (-80, -144, 128)) < 4
    image = rhoa.ctap(volume)
    drawn = boxes(image, joints=found)
    for box in drawn.values():
        assert box.share_outside(image.shape) < 0.25
    assert drawn["left"].centre[1] > image.shape[1] / 2 > drawn["right"].centre[1]

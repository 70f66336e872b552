"""`rhoa.hips.extract`: from a CT to its hips, each side judged by itself, and one verdict on it."""

from __future__ import annotations

import ast
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import rhoa
from rhoa.errors import ParameterError, PoseError
from rhoa.hips import Box, ExtractedHips, extract
from rhoa.phantom import Anatomy, Phantom, Surroundings, ct

pytestmark = pytest.mark.usefixtures("poses_once")

SPACING = (4, 3, 3)
SIDES = ("left", "right")


@pytest.fixture(scope="module")
def sound() -> Phantom:
    return ct(Anatomy.random(8), spacing_mm=SPACING, angles=(6, 1, -2))


@pytest.fixture(scope="module")
def frame(sound: Phantom) -> rhoa.Alignment:
    return rhoa.pose.from_landmarks(sound.landmarks)


@pytest.fixture(scope="module")
def extracted(sound: Phantom, frame: rhoa.Alignment) -> ExtractedHips:
    return extract(sound.volume, pose=frame)


@pytest.fixture(scope="module")
def doubtful(frame: rhoa.Alignment) -> rhoa.Alignment:
    return rhoa.Alignment(frame.matrix, frame.origin, flags=frozenset({"ambiguous"}))


@pytest.fixture(scope="module")
def flagged(sound: Phantom, doubtful: rhoa.Alignment) -> ExtractedHips:
    with pytest.warns(rhoa.RhoaWarning, match="no hip is cropped: the alignment is flagged"):
        return extract(sound.volume, pose=doubtful)


class TestOfASoundScan:
    def test_both_hips_are_cropped_about_their_true_centres(
        self, sound: Phantom, extracted: ExtractedHips
    ) -> None:
        for side in SIDES:
            hip = extracted.hips[side]
            row, column = hip.box.centre
            x, _, z = extracted.alignment.to_ap(sound.hip_centres[side])
            np.testing.assert_allclose(
                extracted.image.to_mm(row - 0.5, column - 0.5), (x, z), atol=2.0
            )
            assert hip.usable
            assert hip.refusals == ()
            assert hip.exclusion is None

    def test_the_crop_is_that_of_box_and_image(self, extracted: ExtractedHips) -> None:
        for hip in extracted.hips.values():
            expected = rhoa.hips.model_crop(extracted.image, hip.box, source="ct")
            np.testing.assert_array_equal(hip.crop, expected)
            assert hip.crop.shape == (100, 100)

    def test_a_mark_on_the_left_is_in_the_left_crop_and_no_other(
        self, sound: Phantom, frame: rhoa.Alignment, extracted: ExtractedHips
    ) -> None:
        """A dense bead beside the left head, on the side of the midline."""
        hu = sound.volume.hu.copy()
        at = sound.hip_centres["left"] + frame.matrix.T @ [-25.0, 0.0, 12.0]
        k, j, i = np.rint(sound.volume.to_index(at)).astype(int)
        hu[k, j - 8 : j + 9, i] = 2000
        marked = extract(rhoa.Volume(hu, sound.volume.affine), pose=frame)

        change = marked.image.pixels - extracted.image.pixels
        row, column = np.unravel_index(np.argmax(change), change.shape)
        box = marked.hips["left"].box
        assert box.top < row < box.bottom
        assert box.left < column < box.centre[1]
        np.testing.assert_array_equal(marked.hips["right"].crop, extracted.hips["right"].crop)

    def test_it_is_the_same_from_a_path(
        self, sound: Phantom, frame: rhoa.Alignment, extracted: ExtractedHips, tmp_path: Path
    ) -> None:
        nibabel = pytest.importorskip("nibabel", reason="needs nibabel (extra nifti)")
        file = f"{tmp_path}/scan.nii.gz"
        nibabel.save(sound.volume.to_nibabel(), file)

        read = extract(file, pose=frame)

        for side in SIDES:
            np.testing.assert_array_equal(read.hips[side].crop, extracted.hips[side].crop)

    def test_only_the_sides_asked_for_are_there(self, sound: Phantom) -> None:
        found = extract(sound.volume, pose=sound.landmarks, sides=("right",))

        assert list(found.hips) == ["right"]
        assert list(found.coverage.hips) == ["right"]
        assert [row["side"] for row in found.rows] == ["right"]

    def test_hips_are_found_without_landmarks(self, sound: Phantom) -> None:
        with pytest.warns(rhoa.RhoaWarning, match="coarse_voxels"):
            found = extract(sound.volume)

        assert found.pose_used
        for side in SIDES:
            assert found.hips[side].usable
            away = found.hips[side].joint.centre_lps_mm - sound.hip_centres[side]
            assert np.linalg.norm(away) < 2

    def test_options_of_the_projection_reach_the_image(
        self, sound: Phantom, frame: rhoa.Alignment
    ) -> None:
        found = extract(sound.volume, pose=frame, window=(0, 900), depth="hip", pixel_mm=2.5)

        expected = rhoa.ctap(
            sound.volume, pose=found.alignment, window=(0, 900), depth="hip", pixel_mm=2.5
        )
        np.testing.assert_array_equal(found.image.pixels, expected.pixels)


class TestOfOneBadSide:
    @pytest.mark.parametrize(("side", "other"), [SIDES, SIDES[::-1]])
    def test_an_implant_refuses_its_own_side_unless_it_is_accepted(
        self, side: str, other: str
    ) -> None:
        phantom = ct(Anatomy.random(8), spacing_mm=SPACING, surroundings=Surroundings(implant=side))
        pose = rhoa.pose.from_landmarks(phantom.landmarks)

        found = extract(phantom.volume, pose=pose, accept={other: ("implant",)})
        accepted = extract(phantom.volume, pose=pose, accept=("implant",))

        assert found.hips[side].crop is None
        assert found.hips[side].refusals[0].startswith("implant: ")
        assert found.hips[side].exclusion == "prosthesis"
        assert found.hips[other].usable
        assert accepted.hips[side].usable
        assert accepted.hips[side].crop is not None
        assert "implant" in accepted.hips[side].flags
        assert accepted.coverage.hips[side].usable

    def test_a_cut_field_of_view_refuses_the_side_it_cuts_and_says_how_much_of_its_box_is_outside(
        self, sound: Phantom, frame: rhoa.Alignment
    ) -> None:
        volume = sound.volume
        kept = [i for i in range(volume.shape[2]) if volume.to_lps((0, 0, i))[0] > -50]
        affine = volume.affine.copy()
        affine[:3, 3] = volume.to_lps((0, 0, kept[0]))

        found = extract(rhoa.Volume(volume.hu[:, :, kept], affine), pose=frame)

        hip = found.hips["right"]
        assert found.hips["left"].usable
        assert hip.crop is None
        assert {"field_of_view", "box_outside_image"} <= hip.hard_flags
        assert hip.exclusion == "quality"
        (text,) = [text for text in hip.refusals if text.startswith("box outside image")]
        assert f"{hip.box.share_outside(found.image.shape):.0%} of the box" in text


class TestOfAPoseThatIsNotUsed:
    def test_no_hip_has_a_crop_or_a_box_and_each_says_why(self, flagged: ExtractedHips) -> None:
        assert not flagged.pose_used
        for hip in flagged.hips.values():
            assert hip.crop is None
            assert hip.box is None
            assert hip.refusals == ("pose not used: the alignment is flagged ambiguous",)

    def test_the_image_is_as_scanned_to_the_bit(
        self, sound: Phantom, flagged: ExtractedHips
    ) -> None:
        np.testing.assert_array_equal(flagged.image.pixels, rhoa.ctap(sound.volume).pixels)

    @pytest.mark.parametrize(
        ("accept", "sides"),
        [("pose_not_used", set(SIDES)), ({"left": ["pose_not_used"]}, {"left"})],
    )
    def test_it_is_used_for_the_sides_where_that_is_accepted(
        self, sound: Phantom, doubtful: rhoa.Alignment, accept: object, sides: set[str]
    ) -> None:
        with pytest.warns(rhoa.RhoaWarning, match="flagged: ambiguous"):
            found = extract(sound.volume, pose=doubtful, accept=accept)

        assert found.pose_used
        assert {side for side, hip in found.hips.items() if hip.crop is not None} == sides

    def test_a_pose_found_head_down_is_not_used_also_by_force(
        self, sound: Phantom, frame: rhoa.Alignment, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        turned = rhoa.Alignment(np.diag([-1.0, 1.0, -1.0]) @ frame.matrix, frame.origin)
        monkeypatch.setattr("rhoa.hips.extraction.from_volume", lambda _: turned)

        with pytest.warns(rhoa.RhoaWarning, match="no hip is cropped: .*upside down"):
            found = extract(sound.volume, accept="pose_not_used")

        assert not found.pose_used
        assert all(hip.crop is None for hip in found.hips.values())

    def test_a_scan_without_a_pelvis_is_no_error(self) -> None:
        empty = rhoa.Volume.from_array(np.full((5, 40, 40), -1000, np.int16), (4, 3, 3))

        with pytest.warns(rhoa.RhoaWarning, match="no hip is cropped"):
            found = extract(empty)

        assert found.alignment is None
        for hip in found.hips.values():
            assert hip.refusals[0].startswith("no pelvis found: ")
            assert "20 mm from top to bottom" in hip.refusals[0]
        assert "left hip: not usable" in str(found)

    def test_landmarks_of_swapped_sides_are_an_error_also_by_force(self, sound: Phantom) -> None:
        left_asis, right_asis, left, right = sound.landmarks.as_array()
        swapped = rhoa.Landmarks(right_asis, left_asis, right, left)

        with pytest.raises(PoseError, match="left and right landmarks are not swapped"):
            extract(sound.volume, pose=swapped, accept=("pose_not_used",))


class TestOfDrawnBoxes:
    def test_a_drawn_box_is_clipped_to_a_square_and_cropped(self, extracted: ExtractedHips) -> None:
        row, column = extracted.hips["left"].box.centre
        drawn = Box("left", row - 20, column - 10, row + 20, column + 10)

        cut = extracted.with_boxes({"left": drawn}).hips["left"]

        assert (cut.box.height, cut.box.width) == (20, 20)
        assert cut.box.confidence is None
        np.testing.assert_array_equal(
            cut.crop, rhoa.hips.model_crop(extracted.image, cut.box, source="ct")
        )

    def test_it_settles_where_the_hip_is_and_nothing_else(
        self, sound: Phantom, frame: rhoa.Alignment, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Neither head is found, and on the left there is metal."""
        flags = {"left": {"not_found", "implant"}, "right": {"not_found"}}
        lost = {
            side: replace(joint, confidence=0.1, flags=frozenset(flags[side]))
            for side, joint in rhoa.hips.joints(sound.volume, frame).items()
        }
        monkeypatch.setattr("rhoa.hips.extraction.joints", lambda *_: lost)
        found = extract(sound.volume, pose=frame)
        drawn = {side: hip.box for side, hip in found.hips.items()}

        cut = found.with_boxes(drawn)

        assert "not_found" in found.hips["right"].hard_flags
        assert cut.hips["right"].usable
        assert cut.hips["left"].hard_flags == {"implant"}
        assert cut.coverage.hips["right"].usable
        assert not cut.coverage.hips["left"].usable

    @pytest.mark.parametrize(
        ("box", "message"),
        [
            (Box("right", 0, 0, 10, 10), "no left hip for a box of the right hip"),
            (Box("left", -30, -30, 10, 10), "of the left box lies outside the image"),
        ],
    )
    def test_a_box_elsewhere_is_refused(
        self, extracted: ExtractedHips, box: Box, message: str
    ) -> None:
        with pytest.raises(ParameterError, match=message):
            extracted.with_boxes({"left": box})


class TestOfTilt:
    """The tilt of the pelvis in the image: zero with an upright anterior pelvic plane."""

    def spines_before_pubis_mm(self, found: ExtractedHips, phantom: Phantom) -> float:
        """Along the rays, in the frame of the image."""
        points = found.image.alignment.to_ap(phantom.landmarks.as_array())
        return float(points[2:, 1].mean() - points[:2, 1].mean())

    @pytest.mark.parametrize("offset", [0.0, -9.0, 6.0])
    def test_the_offset_tips_from_the_upright_plane_as_the_printed_tilt_says(
        self, sound: Phantom, frame: rhoa.Alignment, offset: float
    ) -> None:
        found = extract(sound.volume, pose=frame, tilt_offset_deg=offset or None)

        tilt, height = frame.angles.tilt + offset, frame.quality["height_mm"]
        assert self.spines_before_pubis_mm(found, sound) == pytest.approx(
            height * np.sin(np.radians(offset)), rel=1e-6, abs=1e-6
        )
        assert f"pose: tilt {tilt:+.1f}" in str(found)
        assert (f"tipped by {offset:+.1f} deg" in str(found)) == bool(offset)
        assert found.as_dict()["angles_deg"]["tilt"] == pytest.approx(tilt)

    def test_standing_is_told_from_how_the_patient_lies(
        self, sound: Phantom, frame: rhoa.Alignment
    ) -> None:
        """The phantom lies with 6 deg of tilt; it stands with 6 - 5 = 1, or 6 - 2 = 4."""
        with pytest.warns(rhoa.RhoaWarning, match="coarse_voxels"):
            whole = extract(sound.volume, pose="standing")
        with pytest.warns(rhoa.RhoaWarning, match="coarse_voxels"):
            less = extract(sound.volume, pose="standing", tilt_offset_deg=-2)

        height = frame.quality["height_mm"]
        for found, tilt in ((whole, 1.0), (less, 4.0)):
            expected = height * np.sin(np.radians(tilt))
            assert self.spines_before_pubis_mm(found, sound) == pytest.approx(expected, abs=2.5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"pose": "as scanned"}, 'pose must be "auto"'),
        ({"pose": None}, 'pose must be "auto"'),
        ({"sides": ("l",)}, "side must be one of 'left', 'right'"),
        ({"accept": ("metal",)}, "accept must name refusals that exist"),
        ({"tilt_offset_deg": 50}, "offset_deg must be a number within 35 deg"),
    ],
)
def test_options_that_are_none_are_refused(
    sound: Phantom, options: dict[str, object], message: str
) -> None:
    with pytest.raises(ParameterError, match=message):
        extract(sound.volume, **options)


def test_no_other_place_in_the_package_goes_this_road() -> None:
    """Joints, coverage and boxes in one file: here alone."""

    def calls(text: str) -> set[str]:
        return {
            getattr(node.func, "attr", getattr(node.func, "id", ""))
            for node in ast.walk(ast.parse(text))
            if isinstance(node, ast.Call)
        }

    texts = {file: file.read_text("utf-8") for file in Path(rhoa.__file__).parent.rglob("*.py")}
    named = {file: text for file, text in texts.items() if "joints(" in text and "cover" in text}
    road = [file.name for file, text in named.items() if {"joints", "coverage"} <= calls(text)]
    assert road == ["extraction.py"]

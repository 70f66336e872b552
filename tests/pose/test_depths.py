"""Depth ranges by anatomy: they follow the hip centres, hold the bone, bound the projections."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import rhoa
from rhoa.projection.depth_and_grid import depth_range_mm
from tests.pose.pelves import experts
from tests.pose.scans import measured, phantom

LANDMARKS = rhoa.Landmarks((120, 0, 90), (-120, 0, 90), (15, 0, 0), (-15, 0, 0))
FRAME = rhoa.pose.from_landmarks(LANDMARKS)


def with_hips(left_y_mm: float, right_y_mm: float) -> rhoa.Alignment:
    centres = {"left": (84.0, left_y_mm, 18.0), "right": (-84.0, right_y_mm, 18.0)}
    quality = {
        f"hip_{side}_{axis}_mm": value
        for side, centre in centres.items()
        for axis, value in zip("xyz", centre, strict=True)
    }
    return replace(FRAME, quality=quality)


class TestRanges:
    def test_without_hip_centres_they_are_the_population_s(self) -> None:
        assert depth_range_mm(FRAME, "hip") == (15, 90)
        assert depth_range_mm(FRAME, "pelvis") == (-20, 160)

    def test_they_follow_the_hip_centres(self) -> None:
        assert depth_range_mm(with_hips(60, 64), "hip") == (22.5, 101.5)
        assert depth_range_mm(with_hips(60, 64), "pelvis") == (-20, 182)

    def test_hip_centres_that_cannot_be_right_are_left_out(self) -> None:
        frame = replace(with_hips(110, 5), flags=frozenset({"implausible_hips"}))

        assert depth_range_mm(frame, "hip") == (15, 90)

    @pytest.mark.parametrize("offset_deg", [-30, -5, 5, 30])
    def test_of_a_pelvis_tipped_on_purpose_they_hold_what_they_held(self, offset_deg: int) -> None:
        frame = with_hips(50, 50)
        tipped = rhoa.pose.tilted(frame, offset_deg)
        _, back = depth_range_mm(frame, "pelvis")
        held = frame.to_lps([(0, 0, 90), (0, 0, 0), (0, back, 60), (0, 83, 160), (0, 82, -45)])

        front, behind = depth_range_mm(tipped, "pelvis")

        y = tipped.to_ap(held)[:, 1]
        assert front + 19.9 <= y.min()
        assert y.max() <= behind + 0.1
        assert depth_range_mm(tipped, "hip") == pytest.approx(depth_range_mm(frame, "hip"))

    @pytest.mark.real
    def test_they_hold_the_bone_of_real_pelves(self, real_data: Path) -> None:
        """The fixed 160 mm cut up to 8 % of the bone of these pelves off, the fixed 90 mm a socket.

        Within 36 mm of a hip centre lie the head, the socket with its walls, and the rim.
        """
        for pelvis in experts(real_data):
            frame, centres = pelvis.found, pelvis.found.quality
            front, back = depth_range_mm(frame, "pelvis")
            bone = frame.to_ap(np.concatenate([pelvis.points, pelvis.sacrum]))
            assert front < bone[:, 1].min(), pelvis.name
            assert bone[:, 1].max() < back, pelvis.name
            front, back = depth_range_mm(frame, "hip")
            for side in ("left", "right"):
                centre = [centres[f"hip_{side}_{axis}_mm"] for axis in "xyz"]
                socket = bone[np.linalg.norm(bone - centre, axis=1) < 36]
                assert front < socket[:, 1].min(), (pelvis.name, side)
                assert socket[:, 1].max() < back, (pelvis.name, side)


class TestProjections:
    @pytest.mark.parametrize("part", ["hip", "pelvis"])
    def test_a_radiograph_tells_the_range_that_was_summed(self, part: str) -> None:
        volume, frame = phantom((5, 4, 4)).volume, measured(phantom((5, 4, 4)))

        image = rhoa.ctap(volume, pose=frame, depth=part)

        ends = depth_range_mm(frame, part)
        assert image.provenance["depth_mm"] == ends
        assert np.array_equal(image.pixels, rhoa.ctap(volume, pose=frame, depth=ends).pixels)

    def test_a_coronal_stack_has_the_slices_of_its_range_only(self) -> None:
        volume, frame = phantom((5, 4, 4)).volume, measured(phantom((5, 4, 4)))

        whole = rhoa.coronal(volume, frame)
        part = rhoa.coronal(volume, frame, depth="hip")

        front, back = depth_range_mm(frame, "hip")
        y = frame.to_ap(part.to_lps([[0, j, 0] for j in range(part.shape[1])]))[:, 1]
        assert front <= y[0] < front + 4
        assert back - 4 < y[-1] <= back
        first = round(float(whole.to_index(part.to_lps([0, 0, 0]))[1]))
        assert np.array_equal(part.hu, whole.hu[:, first : first + part.shape[1]])

    def test_a_coronal_stack_never_exceeds_the_scan(self) -> None:
        volume, frame = phantom((5, 4, 4)).volume, measured(phantom((5, 4, 4)))

        far = rhoa.coronal(volume, frame, depth=(-1e5, 1e5))

        assert far.shape == rhoa.coronal(volume, frame).shape

    def test_a_depth_needs_a_pose(self) -> None:
        with pytest.raises(rhoa.RhoaError, match="pass pose= as well"):
            rhoa.coronal(phantom((5, 4, 4)).volume, depth="hip")

    def test_a_range_beside_the_scan_is_refused(self) -> None:
        with pytest.raises(rhoa.RhoaError, match="no coronal slice within the depth range, 900.0"):
            rhoa.coronal(phantom((5, 4, 4)).volume, measured(phantom((5, 4, 4))), depth=(900, 950))

    def test_an_unknown_part_is_refused(self) -> None:
        with pytest.raises(rhoa.RhoaError, match="one of 'all', 'pelvis', 'hip'; got 'thigh'"):
            rhoa.coronal(phantom((5, 4, 4)).volume, FRAME, depth="thigh")

"""Real pelves: accuracy against experts, no failures in any pose, and defects that are caught.

The atlas's landmarks are not the tubercles: they lie at the middle of the pubic plateaus, 12 mm
from the midline, where experts read the tubercles 26 mm from it. So the plane through the crest is
compared with the atlas, and the plane through the tubercles with the experts.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import rhoa
from rhoa.errors import PoseError
from rhoa.pose import from_mask, from_points
from tests.pose import defects
from tests.pose.pelves import Pelvis, atlas, experts, heads, mask, plane_error_deg, turn_deg
from tests.strategies import rotation

pytestmark = pytest.mark.real
POSE_FLAGS = frozenset({"large_turn", "large_tilt", "extreme_pose"})
"""These tell how the patient lay, not that the frame is wrong."""


@pytest.fixture(scope="module")
def atlas_pelves(real_data: Path) -> list[Pelvis]:
    return atlas(real_data)


@pytest.fixture(scope="module")
def expert_pelves(real_data: Path) -> list[Pelvis]:
    return experts(real_data)


@pytest.fixture(scope="module")
def pelves(atlas_pelves: list[Pelvis], expert_pelves: list[Pelvis]) -> list[Pelvis]:
    return [*atlas_pelves, *expert_pelves]


class TestAccuracy:
    def test_the_plane_is_as_near_to_the_experts_as_they_are_to_each_other(
        self, expert_pelves: list[Pelvis]
    ) -> None:
        """One expert against the four others: 0.57 deg on average, 1.26 at the 95th percentile."""
        errors = [plane_error_deg(p.found, p.reference) for p in expert_pelves]

        assert np.mean(errors) < 0.5
        assert np.quantile(errors, 0.95) < 1.26
        assert max(errors) < 1.5

    def test_angles_are_nearer_to_the_experts_than_they_are_to_each_other(
        self, expert_pelves: list[Pelvis]
    ) -> None:
        """One expert against the four others: tilt 0.51, obliquity 0.42, rotation 0.17 deg."""
        found = np.array([p.found.angles for p in expert_pelves])
        read = np.array([p.reference.angles for p in expert_pelves])

        tilt, obliquity, turn = np.abs(found - read).mean(axis=0)

        assert tilt < 0.51
        assert obliquity < 0.42
        assert turn < 0.17

    def test_tubercles_are_found_within_three_millimetres(
        self, expert_pelves: list[Pelvis]
    ) -> None:
        """One expert against the four others: 1.6 mm."""
        distances = [
            np.linalg.norm(p.found.landmarks.as_array() - p.landmarks.as_array(), axis=1)
            for p in expert_pelves
        ]

        assert np.mean(distances, axis=0)[2:].mean() < 2.0
        assert np.max(distances, axis=0)[2:].max() < 6.0
        assert np.mean(distances, axis=0)[:2].mean() < 5.0

    def test_the_resting_plane_is_that_of_the_atlas(self, atlas_pelves: list[Pelvis]) -> None:
        found = [from_points(p.points, pubis="crest") for p in atlas_pelves]

        normals = [
            plane_error_deg(a, p.reference) for a, p in zip(found, atlas_pelves, strict=True)
        ]
        turns = [
            turn_deg(a.matrix, p.reference.matrix) for a, p in zip(found, atlas_pelves, strict=True)
        ]

        assert np.mean(normals) < 0.85
        assert np.mean(turns) < 1.2

    def test_two_scans_of_one_body_have_one_plane(self, expert_pelves: list[Pelvis]) -> None:
        """Numbers z013 and z024 are one body, segmented and read twice."""
        twice = [p.found for p in expert_pelves if p.name in {"z013", "z024"}]

        assert len(twice) == 2
        assert plane_error_deg(*twice) < 0.5

    def test_the_sacrum_among_the_points_does_no_harm(self, pelves: list[Pelvis]) -> None:
        for pelvis in pelves:
            found = from_points(np.concatenate([pelvis.points, pelvis.sacrum]))

            assert turn_deg(found.matrix, pelvis.found.matrix) < 0.3, pelvis.name


class TestHips:
    def test_hip_centres_are_those_of_the_femoral_heads(
        self, expert_pelves: list[Pelvis], real_data: Path
    ) -> None:
        """Spheres fitted to the heads of the femora, which are no part of the points."""
        distances = []
        for pelvis in expert_pelves:
            for side, head in heads(real_data, pelvis).items():
                centre = [pelvis.found.quality[f"hip_{side}_{axis}_mm"] for axis in "xyz"]
                distances.append(np.linalg.norm(centre - pelvis.found.to_ap(head)))

        assert len(distances) > 15
        assert np.mean(distances) < 4.0
        assert max(distances) < 10.0


class TestAnyPose:
    @pytest.mark.parametrize("orientation", ["supine", "free"])
    def test_no_turned_pelvis_is_lost(self, pelves: list[Pelvis], orientation: str) -> None:
        """Up to 30 deg about each axis, or any rotation: the same plane of the same bone."""
        random = np.random.default_rng(5)
        limit = 30 if orientation == "supine" else 180
        for pelvis in pelves:
            still = pelvis.found
            centre = pelvis.reference.origin
            for _ in range(3):
                turn = rotation(*random.uniform(-limit, limit, 3))

                found = from_points(
                    (pelvis.points - centre) @ turn.T + centre, orientation=orientation
                )

                assert turn_deg(found.matrix, still.matrix @ turn.T) < 0.01, pelvis.name

    @pytest.mark.parametrize("spacing_mm", [1.5, pytest.param(1.0, marks=pytest.mark.slow)])
    def test_voxels_in_any_pose_keep_the_plane_within_half_a_degree(
        self, expert_pelves: list[Pelvis], real_data: Path, spacing_mm: float
    ) -> None:
        random = np.random.default_rng(3)
        for pelvis in expert_pelves[:3]:
            turn = rotation(*random.uniform(-20, 20, 3))
            voxels, affine = mask(real_data, pelvis, turn, spacing_mm)

            found = from_mask(voxels, affine)

            assert "sides_swapped" not in found.flags
            cosine = found.matrix[1] @ turn @ pelvis.found.matrix[1]
            assert np.degrees(np.arccos(min(cosine, 1))) < 0.5, pelvis.name


class TestDefects:
    def test_clean_pelves_raise_no_false_alarm(self, pelves: list[Pelvis]) -> None:
        flags = {p.name: p.found.flags - POSE_FLAGS for p in pelves}

        assert not {name: some for name, some in flags.items() if some}

    @pytest.mark.parametrize(
        ("defect", "least"),
        [
            pytest.param(defects.ends_above_spines(0), 10, id="ends at the spines"),
            pytest.param(defects.ends_above_spines(-20), 10, id="ends 20 mm below the spines"),
            pytest.param(defects.ends_above_spines(-40), 10, id="ends 40 mm below the spines"),
            pytest.param(defects.starts_above_pubis(5), 10, id="starts 5 mm above the pubis"),
            pytest.param(
                defects.starts_above_pubis(15),
                10,
                id="starts 15 mm above the pubis",
                marks=pytest.mark.slow,
            ),
            pytest.param(defects.displaced_hemipelvis(15), 9, id="hip displaced by 15 mm"),
            pytest.param(
                defects.displaced_hemipelvis(25),
                10,
                id="hip displaced by 25 mm",
                marks=pytest.mark.slow,
            ),
            pytest.param(defects.resected_spine(), 10, id="spine resected"),
            pytest.param(defects.missing_hip, 10, id="hip missing"),
        ],
    )
    def test_a_damaged_pelvis_is_flagged(
        self,
        atlas_pelves: list[Pelvis],
        expert_pelves: list[Pelvis],
        defect: defects.Defect,
        least: int,
    ) -> None:
        """Of ten; the specification's prototype: 40, 39, 40, 40, 39, 32, 40, 40, 36 of 40."""
        for pelves in (atlas_pelves, expert_pelves):
            assert sum(caught(pelvis, defect) for pelvis in pelves) >= least

    @pytest.mark.parametrize(
        ("before_mm", "above_mm"),
        [
            *((0, 0), (20, 20), (40, 0), (60, 20)),
            *(
                pytest.param(*place, marks=pytest.mark.slow)
                for place in ((0, 20), (20, 0), (40, 20), (60, 0))
            ),
        ],
    )
    def test_a_stray_ball_before_the_pubis_is_left_out_or_flagged(
        self, pelves: list[Pelvis], before_mm: float, above_mm: float
    ) -> None:
        """The prototype caught 33 to 38 of 40, and 13 of 40 at the plane's depth."""
        for pelvis in pelves:
            still = pelvis.found
            points = defects.stray_blob(before_mm, above_mm)(pelvis.left, pelvis.right, still)

            found = from_points(points)

            assert found.flags - POSE_FLAGS or plane_error_deg(found, still) < 1.5, pelvis.name

    @pytest.mark.parametrize("above_mm", [10, 20, 30])
    def test_a_scan_that_ends_above_the_spines_loses_nothing(
        self, pelves: list[Pelvis], above_mm: float
    ) -> None:
        for pelvis in pelves:
            still = pelvis.found
            points = defects.ends_above_spines(above_mm)(pelvis.left, pelvis.right, still)

            assert plane_error_deg(from_points(points), still) < 0.2, pelvis.name


def caught(pelvis: Pelvis, defect: defects.Defect) -> bool:
    """Whether the damaged pelvis has no pose, or one that is flagged for what it is."""
    still = pelvis.found
    try:
        found: rhoa.pose.Alignment = from_points(defect(pelvis.left, pelvis.right, still))
    except PoseError:
        return True
    return bool(found.flags - (POSE_FLAGS & still.flags))

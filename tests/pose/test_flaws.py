"""Slices that are not as they should be are found where they are; metal on the side it is."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rhoa.pose import coverage
from tests.pose.scans import SIDES, judged, measured, phantom, with_ball


class TestSlices:
    def test_blank_slices_are_listed_and_count_where_a_hip_is(self) -> None:
        hu = phantom().volume.hu.copy()
        hip = int(phantom().volume.to_index(phantom().hip_centres["left"])[0])
        hu[[hip - 2, hip - 1, 90]] = -1000

        found = judged(hu)

        assert found.indices("blank") == (hip - 2, hip - 1, 90)
        assert len(found.slices) == 3
        assert found.flags == {"blank_slices"}
        assert found.usable_sides == ()
        assert found.hips["left"].slices == {"blank": (hip - 2, hip - 1)}
        assert f"slices: 101, blank {hip - 2}-{hip - 1}, 90" in str(found)

    @pytest.mark.parametrize("fill", [-1024, 0, -2000])
    def test_a_partial_slice_counts_for_the_hip_that_it_lacks(self, fill: int) -> None:
        """Columns beyond the middle are the patient's left."""
        hu = phantom().volume.hu.copy()
        hip = int(phantom().volume.to_index(phantom().hip_centres["left"])[0])
        hu[hip - 3 : hip + 4, :, 125:] = fill

        found = judged(hu)

        assert found.indices("partial") == tuple(range(hip - 3, hip + 4))
        assert len(found.slices) == 7
        assert found.usable_sides == ("right",)
        assert found.hips["left"].hard_flags == {"partial_slices", "field_of_view"}
        assert found.hips["right"].slices == {}

    def test_partial_slices_at_the_end_of_a_scan_are_found(self) -> None:
        hu = phantom().volume.hu.copy()
        hu[-5:, 90:] = -1024

        assert judged(hu).indices("partial") == (96, 97, 98, 99, 100)

    @given(k=st.integers(1, 100), float32=st.booleans())
    @settings(max_examples=12)
    def test_a_slice_that_repeats_the_one_before_is_found(self, k: int, *, float32: bool) -> None:
        hu = phantom().volume.hu.astype(np.float32 if float32 else np.int16)
        hu[k] = hu[k - 1]

        found = judged(hu)

        assert [(one.index, one.reason) for one in found.slices] == [(k, "duplicated")]
        assert found.slices[0].note == f"equal to slice {k - 1}"
        assert found.usable_sides == SIDES  # it deserves a look

    def test_one_voxel_makes_a_difference(self) -> None:
        hu = phantom().volume.hu.copy()
        hu[40] = hu[39]
        hu[40, 81, 113] += 1

        assert judged(hu).slices == ()

    @given(
        k=st.integers(3, 93),
        count=st.integers(1, 5),
        pixels=st.tuples(st.integers(-8, 8), st.integers(-8, 8)).filter(
            lambda shift: np.hypot(*shift) >= 3
        ),
    )
    @settings(max_examples=15)
    def test_displaced_slices_are_found_each(
        self, k: int, count: int, pixels: tuple[int, int]
    ) -> None:
        hu = phantom().volume.hu.copy()
        hu[k : k + count] = np.roll(hu[k : k + count], pixels, axis=(1, 2))

        found = judged(hu)

        assert found.indices("shifted") == tuple(range(k, k + count))
        assert len(found.slices) == count
        away = 2 * np.hypot(*pixels)
        measured_mm, told = found.slices[0].note.split(" mm ")
        assert float(measured_mm) == pytest.approx(away, abs=1.5)
        assert told == f"beside slice {k - 1}"

    def test_a_patient_who_moved_for_good_is_found_once(self) -> None:
        hu = phantom().volume.hu.copy()
        hu[80:] = np.roll(hu[80:], 5, axis=2)

        found = judged(hu)

        assert found.indices("shifted") == (80,)
        assert found.usable_sides == SIDES  # above the hips

    def test_a_slice_of_another_place_is_unlike_its_neighbours(self) -> None:
        hu = phantom().volume.hu.copy()
        hu[45] = hu[80]

        found = judged(hu)

        assert [(one.index, one.reason) for one in found.slices] == [(45, "unlike")]

    @pytest.mark.parametrize("turned", [False, True])
    def test_streaked_slices_deserve_a_look(self, *, turned: bool) -> None:
        hu = phantom().volume.hu.copy()
        hip = int(phantom().volume.to_index(phantom().hip_centres["left"])[0])
        rows = np.random.default_rng(0).normal(0, 90, (hu.shape[2 if turned else 1], 1))
        hu[[hip, hip + 1]] += (rows.T if turned else rows).astype(np.int16)

        found = judged(hu)

        assert found.indices("streaked") == (hip, hip + 1)
        assert len(found.slices) == 2
        assert found.usable_sides == SIDES
        assert found.hips["left"].flags == found.hips["right"].flags == {"streaked_slices"}

    def test_what_the_reader_left_out_or_repaired_is_told(self) -> None:
        report = {"blank_dropped": 3, "copies_dropped": 0, "repairs": [{"name": "gaps"}]}

        found = judged(phantom().volume.hu, report)

        assert found.reader == {"blank_dropped": 3, "repairs": [{"name": "gaps"}]}
        assert str(found).endswith("blank dropped by the reader: 3\nrepairs by the reader: gaps")


class TestMetal:
    @pytest.mark.parametrize("side", SIDES)
    def test_an_implant_costs_its_own_hip(self, side: str) -> None:
        pelvis = phantom()
        centre = pelvis.hip_centres[side]

        found = coverage(with_ball(pelvis.volume, centre, 10, 3000), measured(pelvis))

        (other,) = set(SIDES) - {side}
        assert found.usable_sides == (other,)
        assert found.hips[side].hard_flags == {"implant"}
        assert found.hips[side].metal_cm3 == pytest.approx(4.19, rel=0.1)
        assert found.hips[other].flags == {"metal_nearby"}
        (piece,) = found.metal
        assert piece.side == side
        assert piece.cm3 == pytest.approx(4.19, rel=0.1)
        np.testing.assert_allclose(piece.centre_lps_mm, centre, atol=1)
        assert f"metal: {piece.cm3:.1f} cm3, on the {side}" in str(found)

    @pytest.mark.parametrize(("radius", "flagged"), [(4.2, False), (5.7, True)])
    def test_more_than_half_a_cubic_centimetre_is_an_implant(
        self, radius: float, *, flagged: bool
    ) -> None:
        """Balls of 0.31 and 0.78 cm3."""
        pelvis = phantom((2, 2, 2))
        with_metal = with_ball(pelvis.volume, pelvis.hip_centres["left"], radius, 3000)

        found = coverage(with_metal, measured(pelvis))

        assert ("implant" in found.hips["left"].flags) == flagged
        assert ("metal" in found.flags) == flagged

    @pytest.mark.parametrize("side", SIDES)
    def test_without_an_alignment_the_body_s_middle_tells_the_side(self, side: str) -> None:
        pelvis = phantom()

        found = coverage(with_ball(pelvis.volume, pelvis.hip_centres[side], 10, 3071))

        assert [piece.side for piece in found.metal] == [side]

    def test_metal_in_the_spine_belongs_to_no_side(self) -> None:
        frame = measured(phantom())
        spine = frame.to_lps(np.array([0, 90, 150]))

        found = coverage(with_ball(phantom().volume, spine, 10, 3000), frame)

        assert [piece.side for piece in found.metal] == ["middle"]
        assert found.usable_sides == SIDES

    def test_values_that_end_below_metal_cannot_tell_it(self) -> None:
        pelvis = phantom()
        with_metal = with_ball(pelvis.volume, pelvis.hip_centres["left"], 10, 3000).hu

        found = judged(np.minimum(with_metal, 1500))

        assert "values_cut_off" in found.flags
        assert found.hips["left"].flags == found.hips["right"].flags == {"values_cut_off"}
        assert "not judged: values cut off" in str(found)

    def test_where_a_tenth_is_brighter_than_bone_the_values_are_no_hounsfield_units(self) -> None:
        hu = phantom().volume.hu.copy()
        hu[:12] = 3000

        found = judged(hu)

        assert "not_hounsfield" in found.flags
        assert found.usable_sides == ()
        assert found.metal == ()

    def test_values_that_are_no_hounsfield_units_make_no_hip_usable(self) -> None:
        found = judged(phantom().volume.hu + np.int16(1024))

        assert found.flags == {"not_hounsfield", "no_body"}
        assert found.usable_sides == ()
        assert found.metal == ()

"""What a scan covers: each hip by itself, however the scan was cut, stored or turned."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import rhoa
from rhoa.phantom import Anatomy, ct
from rhoa.pose import Alignment, Coverage, coverage
from rhoa.pose.population import HIP_CENTRE_MM as CENTRE_MM
from tests.pose.scans import SIDES, SPACING, cut, judged, measured, phantom, with_ball
from tests.strategies import rotation, stored


class TestCleanScans:
    @pytest.mark.parametrize("noise_hu", [pytest.param(0, marks=pytest.mark.slow), 50])
    @pytest.mark.parametrize(
        ("seed", "spacing_mm"),
        [(1, (10, 3, 3)), (2, (5, 4, 4)), (3, (2, 2, 2)), (4, (1.2, 2.5, 2.5)), (6, (3, 2, 2))],
    )
    def test_nothing_is_found_in_them(
        self, seed: int, spacing_mm: tuple[float, float, float], noise_hu: float
    ) -> None:
        pelvis = ct(
            Anatomy.random(seed), spacing_mm=spacing_mm, angles=(3, 2, -2), noise_hu=noise_hu
        )

        found = coverage(pelvis.volume, pelvis.landmarks)

        assert found.slices == ()
        assert found.flags == frozenset()
        assert found.missing_parts == ()
        assert found.usable_sides == SIDES
        for hip in found.hips.values():
            assert hip.flags == frozenset()
            assert (hip.inside_fraction, hip.joint_fraction, hip.metal_cm3) == (1, 1, 0)

    def test_hip_centres_that_were_measured_are_used_else_the_population_s(self) -> None:
        pelvis = phantom()

        by_measure = coverage(pelvis.volume, measured(pelvis)).hips
        by_prior = coverage(pelvis.volume, pelvis.landmarks).hips

        for side, sign in zip(SIDES, (1, -1), strict=True):
            truth = measured(pelvis).to_ap(pelvis.hip_centres[side])
            np.testing.assert_allclose(by_measure[side].centre_mm, truth)
            np.testing.assert_allclose(by_prior[side].centre_mm, CENTRE_MM * (sign, 1, 1))
            assert (by_measure[side].measured, by_prior[side].measured) == (True, False)

    def test_without_an_alignment_only_the_scan_is_judged(self) -> None:
        found = coverage(phantom().volume)

        assert dict(found.hips) == {}
        assert found.usable_sides == ()
        assert str(found) == "slices: 101, none flagged"

    def test_the_scan_is_neither_copied_nor_changed(self) -> None:
        volume = phantom().volume
        before = volume.hu.copy()
        volume.hu.flags.writeable = False

        coverage(volume, phantom().landmarks)

        assert np.array_equal(volume.hu, before)
        volume.hu.flags.writeable = True

    @pytest.mark.parametrize("dtype", ["f4", "f8", "i4", ">i2"])
    def test_the_element_type_does_not_matter(self, dtype: str) -> None:
        volume = phantom().volume

        assert judged(volume.hu.astype(dtype)).as_dict() == judged(volume.hu).as_dict()


class TestFieldOfView:
    @pytest.mark.parametrize("below_mm", [80, 45, 30, 10, -10])
    def test_a_scan_that_ends_below_the_hips_is_measured(self, below_mm: float) -> None:
        pelvis = ct(Anatomy.random(5), spacing_mm=(2, 3, 3))
        frame = measured(pelvis)
        heights = {side: pelvis.hip_centres[side][2] for side in SIDES}
        start = int((min(heights.values()) - below_mm - pelvis.volume.affine[2, 3]) / 2)

        part = cut(pelvis.volume, 0, start, pelvis.volume.shape[0])
        hips = coverage(part, frame).hips

        for side in SIDES:
            left_over = heights[side] - part.affine[2, 3]
            assert hips[side].margin_mm == pytest.approx(left_over, abs=1e-6)
            scanned = np.clip((50 + left_over) / 100, 0, 1)
            assert hips[side].inside_fraction == pytest.approx(scanned, abs=0.02)
            assert hips[side].usable == (left_over > 32)
            assert ("close_to_edge" in hips[side].flags) == (32 < left_over < 49)

    def test_a_scan_that_ends_above_the_hips_lacks_the_crests_and_spines(self) -> None:
        pelvis = phantom()
        top = max(pelvis.hip_centres[side][2] for side in SIDES) + 40
        last = int((top - pelvis.volume.affine[2, 3]) / SPACING[0])

        found = coverage(cut(pelvis.volume, 0, 0, last), measured(pelvis))

        assert found.usable_sides == SIDES
        parts = ("iliac_crest", "anterior_spine", "posterior_spine")
        assert set(found.missing_parts) == {f"{part}_{side}" for part in parts for side in SIDES}

    @pytest.mark.parametrize("side", SIDES)
    def test_a_scan_that_ends_at_one_side_loses_that_hip_only(self, side: str) -> None:
        pelvis = phantom()
        centre = pelvis.volume.to_index(pelvis.hip_centres[side])[2]
        ends = (0, int(centre)) if side == "left" else (int(centre) + 1, pelvis.volume.shape[2])
        beyond = centre + 1 - ends[1] if side == "left" else ends[0] - centre

        found = coverage(cut(pelvis.volume, 2, *ends), measured(pelvis))

        (other,) = set(SIDES) - {side}
        assert found.usable_sides == (other,)
        assert found.hips[side].hard_flags == {"field_of_view"}
        assert found.hips[side].margin_mm == pytest.approx(-2 * beyond)
        assert "body_cut" in found.hips[side].flags
        assert found.hips[other].flags == frozenset()
        assert found.cut_share[side] == found.cut_share["any"] == 1
        assert found.cut_share[other] == 0
        assert f"({side})" in str(found)
        assert {name.rpartition("_")[2] for name in found.missing_parts} == {side}

    def test_beyond_the_circle_of_reconstruction_nothing_was_scanned(self) -> None:
        """A circle of 150 mm, its middle 28 mm from the right hip and 134 mm from the left one."""
        pelvis = phantom()
        middle = int(pelvis.volume.to_index(pelvis.hip_centres["right"])[2]) + 14
        part = cut(pelvis.volume, 2, middle - 80, middle + 81)
        j, i = np.indices(part.shape[1:]) - np.array(part.shape[1:])[:, None, None] // 2
        circle = np.hypot(j, i) * 2 <= 150
        hu = np.where(circle, part.hu, -1024).astype(np.int16)

        found = coverage(rhoa.Volume(hu, part.affine), measured(pelvis))

        j, i = part.to_index(pelvis.hip_centres["left"])[1:] - np.array(part.shape[1:]) // 2
        assert found.hips["left"].margin_mm == pytest.approx(150 - 2 * np.hypot(j, i), abs=4)
        assert found.hips["left"].hard_flags == {"field_of_view"}
        assert found.usable_sides == ("right",)

    def test_voxels_without_a_number_were_not_scanned(self) -> None:
        hu = phantom().volume.hu.astype(np.float32)
        hu[:, :, hu.shape[2] // 2 :] = np.nan

        found = judged(hu)

        assert found.usable_sides == ("right",)
        assert found.hips["left"].inside_fraction == 0

    def test_blank_slices_at_an_end_are_beyond_the_scan(self) -> None:
        pelvis = phantom()
        start = int((pelvis.hip_centres["left"][2] - pelvis.volume.affine[2, 3]) / 3)
        hu = pelvis.volume.hu.copy()
        hu[:start] = -1024

        found = judged(hu)
        ended = coverage(cut(pelvis.volume, 0, start, len(hu)), measured(pelvis))

        assert found.indices("blank") == tuple(range(start))
        for side in SIDES:
            assert found.hips[side].margin_mm == pytest.approx(ended.hips[side].margin_mm)
            assert found.hips[side].hard_flags == {"field_of_view"}

    def test_a_pelvis_tipped_on_purpose_keeps_its_hips_and_parts(self) -> None:
        frame = measured(phantom())

        straight = coverage(phantom().volume, frame)
        tipped = coverage(phantom().volume, rhoa.pose.tilted(frame, -10))

        for name, margin in straight.parts_mm.items():
            assert tipped.parts_mm[name] == pytest.approx(margin, abs=1e-6)
        assert tipped.usable_sides == SIDES


@cache
def implanted() -> tuple[rhoa.Volume, Alignment]:
    """Metal in the left hip, a scan that ends at the right one, a blank and a repeated slice."""
    pelvis = phantom((5, 4, 4))
    volume = with_ball(pelvis.volume, pelvis.hip_centres["left"], 12, 3000)
    right = volume.to_index(pelvis.hip_centres["right"])[2]
    volume = cut(volume, 2, int(right) - 3, volume.shape[2])
    hu = volume.hu.copy()
    hu[50], hu[57] = -1000, hu[56]
    return rhoa.Volume(hu, volume.affine), measured(pelvis)


@cache
def covered() -> Coverage:
    return coverage(*implanted())


@given(order=st.permutations(range(3)), flips=st.tuples(*[st.booleans()] * 3))
@settings(max_examples=25)
def test_sides_and_slices_follow_the_affine(
    order: list[int], flips: tuple[bool, bool, bool]
) -> None:
    volume, frame = implanted()
    plain = covered()

    found = coverage(stored(volume, tuple(order), flips), frame)

    assert plain.hips["left"].hard_flags == {"implant"}
    assert plain.hips["right"].hard_flags == {"field_of_view"}
    assert found.slice_axis == order.index(0)
    upside_down = flips[found.slice_axis]
    assert found.indices("blank") == (10 if upside_down else 50,)
    assert found.indices("duplicated") == (4 if upside_down else 57,)
    assert found.metal[0].side == "left"
    for side in SIDES:
        ours, theirs = found.hips[side], plain.hips[side]
        assert ours.flags == theirs.flags
        assert ours.margin_mm == pytest.approx(theirs.margin_mm)
        assert ours.metal_cm3 == pytest.approx(theirs.metal_cm3)
        assert ours.inside_fraction == pytest.approx(theirs.inside_fraction, abs=0.05)


@given(angles=st.tuples(*[st.floats(-25, 25)] * 3))
@settings(max_examples=15)
def test_a_turned_scan_has_the_sides_of_the_patient(angles: tuple[float, float, float]) -> None:
    """Patient and scanner turn together, as with oblique slices."""
    volume, frame = implanted()
    turn = np.eye(4)
    turn[:3, :3] = rotation(*angles)
    turned = rhoa.Volume(volume.hu, turn @ volume.affine)
    pose = Alignment(
        frame.matrix @ turn[:3, :3].T, turn[:3, :3] @ frame.origin, quality=frame.quality
    )

    found, plain = coverage(turned, pose), covered()

    for side in SIDES:
        assert found.hips[side].flags == plain.hips[side].flags
        assert found.hips[side].margin_mm == pytest.approx(plain.hips[side].margin_mm, abs=1e-6)


class TestReport:
    def test_it_reads_as_short_lines(self) -> None:
        pelvis = phantom((5, 4, 4))
        volume = with_ball(pelvis.volume, pelvis.hip_centres["left"], 10, 3000)
        metal_cm3 = np.count_nonzero(volume.hu == 3000) * 5 * 4 * 4 / 1000

        lines = str(coverage(volume, measured(pelvis))).splitlines()

        assert lines[0].startswith("left hip: not usable: implant (100% of its region scanned, ")
        assert lines[1].startswith("right hip: usable; flagged: metal nearby (100% of")
        assert lines[2] == "pelvis: all of it inside the scan"
        assert lines[3] == f"metal: {metal_cm3:.1f} cm3, on the left"
        assert lines[4] == "slices: 61, none flagged"

    def test_it_turns_into_json_and_back(self) -> None:
        found = covered()

        told = json.loads(json.dumps(found.as_dict()))

        assert told == found.as_dict()
        assert told["usable_sides"] == []
        assert told["hips"]["left"]["flags"] == sorted(found.hips["left"].flags)
        assert told["slices"][0] == {
            "index": 50,
            "reason": "blank",
            "note": "0.0% of it is tissue",
        }
        assert set(told["hips"]["right"]) == {
            "accepted",
            *("side", "usable", "flags", "centre_mm", "measured", "inside_fraction"),
            *("joint_fraction", "margin_mm", "metal_cm3", "cut_share", "slices"),
        }


class TestWhatIsRefused:
    @pytest.mark.parametrize(
        ("call", "message"),
        [
            (lambda v, a: coverage(v.hu, a), "volume must be a rhoa.Volume; got ndarray"),
            (lambda v, _: coverage(v, np.eye(4)), "alignment must be None, a rhoa.Alignment or"),
            (lambda v, a: coverage(v, a, roi_mm=0), "roi_mm must be a positive finite number"),
            (
                lambda v, a: coverage(v, Alignment(np.diag([-1, -1, 1]) @ a.matrix, a.origin)),
                "points the patient's left to the right",
            ),
            (lambda v, a: coverage(cut(v, 0, 3, 3), a), "the volume is empty"),
        ],
    )
    def test_it_is_said_why(
        self, call: Callable[[rhoa.Volume, Alignment], Coverage], message: str
    ) -> None:
        pelvis = phantom((5, 4, 4))

        with pytest.raises(rhoa.RhoaError, match=message):
            call(pelvis.volume, measured(pelvis))

    @pytest.mark.parametrize("shape", [(1, 1, 1), (2, 3, 4), (1, 64, 64), (40, 1, 1), (9, 50, 50)])
    @pytest.mark.parametrize("hu", [-1000, 0, 40])
    def test_tiny_and_flat_scans_are_judged_as_far_as_can_be(
        self, shape: tuple[int, int, int], hu: int
    ) -> None:
        volume = rhoa.Volume.from_array(np.full(shape, hu, np.int16), (2, 2, 2))

        found = coverage(volume, Alignment(np.eye(3), np.zeros(3)))

        assert "no_body" in found.flags
        assert found.usable_sides == ()


def hips_at(origin: NDArray[np.float64], **centres: tuple[float, float, float]) -> Alignment:
    """An upright frame with hip centres given in LPS mm."""
    quality = {
        f"hip_{side}_{axis}_mm": float(value)
        for side, centre in centres.items()
        for axis, value in zip("xyz", np.array(centre) - origin, strict=True)
    }
    return Alignment(np.eye(3), origin, quality=quality)


@pytest.mark.real
class TestRealScans:
    def test_a_whole_patient_whose_flanks_are_cut(
        self, colonography: tuple[rhoa.Volume, list[str]]
    ) -> None:
        """Of 249 slices not one is accused; hips as in the notes that came with the scan."""
        volume, _ = colonography
        frame = hips_at(
            np.array([22.5, -197.5, -560]), left=(110, -154, -539), right=(-65, -139, -540)
        )

        found = coverage(volume, frame)

        assert found.slices == ()
        assert found.flags == {"body_cut"}
        assert found.cut_share["any"] == pytest.approx(volume.report["cut_body_share"], abs=0.03)
        assert found.cut_share["left"] > 0.7
        assert found.cut_share["right"] > 0.7
        assert found.cut_share["front"] == found.cut_share["back"] == 0
        assert found.usable_sides == SIDES
        assert found.missing_parts == ()
        for hip in found.hips.values():
            assert hip.flags == {"body_cut"}
            assert hip.inside_fraction == 1

    def test_an_implant_on_the_left_in_a_scan_that_ends_below_the_hips(
        self, real_data: Path
    ) -> None:
        """Hip centres by the fit of a sphere to the femoral heads, looked at on coronal slices."""
        file = real_data / "real-ct" / "totalseg_example_ct.nii.gz"
        if not file.is_file():
            pytest.skip("no totalseg_example_ct in RHOA_DATA")
        pytest.importorskip("nibabel", reason="pip install '.[nifti]'")
        with pytest.warns(rhoa.RhoaWarning):
            volume = rhoa.read_ct(file)
        frame = hips_at(
            np.array([-5.0, -191, 121]), left=(78.6, -142.2, 130.1), right=(-85.9, -142.2, 128.7)
        )

        found = coverage(volume, frame)

        assert found.slices == ()
        assert found.usable_sides == ("right",)
        assert found.hips["left"].hard_flags == {"implant"}
        assert {"close_to_edge", "metal_nearby"} <= found.hips["right"].flags
        assert found.missing_parts == ("ischium_left", "ischium_right")
        (piece,) = found.metal
        assert piece.side == "left"
        assert piece.centre_lps_mm[0] == pytest.approx(118, abs=1)
        assert piece.cm3 == pytest.approx(429 * 0.027, abs=0.001)

"""What deserves a look in the voxels: metal, a cut body, motion, values that are no HU."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from rhoa.errors import PixelDataError, WarningCollector
from rhoa.phantom import Anatomy, ct
from rhoa.reading.quality import (
    implausibility,
    is_plausible,
    quality_report,
    slice_stats,
    volume_quality_report,
)
from rhoa.volume import Volume

SPACING = (3.0, 2.0, 2.0)
VOXEL_CM3 = 0.012


@pytest.fixture(scope="module", name="body")
def phantom() -> NDArray[np.int16]:
    hu: NDArray[np.int16] = ct(Anatomy.random(5), spacing_mm=SPACING, angles=(5, 1, -2)).volume.hu
    return hu


def judged(hu: NDArray[Any], **options: bool) -> tuple[dict[str, Any], list[str]]:
    findings = WarningCollector()
    return quality_report(
        [slice_stats(one) for one in hu], SPACING, findings, **options
    ), findings.warnings


def test_a_body_in_the_middle_of_its_field_deserves_none(body: NDArray[np.int16]) -> None:
    report, warnings = judged(body)

    assert warnings == []
    assert report == {
        "metal_cm3": 0.0,
        "plausible_hu": True,
        "cut_body_share": 0.0,
        "moved_slices": [],
    }


def test_floating_point_numbers_are_seen_as_integers_are(body: NDArray[np.int16]) -> None:
    moved = body.copy()
    moved[40:42] = np.roll(moved[40:42], (3, -3), axis=(1, 2))
    moved[20:24, 60:64, 60:64] = 3071

    assert judged(moved.astype(np.float32)) == judged(moved)


class TestMetal:
    @pytest.mark.parametrize("hu", [2501, 3071, 8000, 30710, 31743])
    def test_half_a_cubic_centimetre_in_one_place_is_metal(
        self, body: NDArray[np.int16], hu: int
    ) -> None:
        with_metal = body.copy()
        with_metal[30:34, 70:74, 90:93] = hu

        report, warnings = judged(with_metal)

        assert report["metal_cm3"] == pytest.approx(48 * VOXEL_CM3, abs=0.001)
        assert warnings[0].startswith("metal: 0.6 cm3 above 2500 HU or cut off")

    def test_less_is_metal_where_it_is_cut_off(self, body: NDArray[np.int16]) -> None:
        with_metal = body.copy()
        with_metal[30:32, 70:74, 90:93] = 3071

        assert judged(with_metal)[0]["metal_cm3"] == pytest.approx(24 * VOXEL_CM3, abs=0.001)
        with_metal[0, 0, 0] = 3072  # 3071 is a value among others then
        assert judged(with_metal)[0]["metal_cm3"] == 0

    def test_bright_spots_here_and_there_are_none(self, body: NDArray[np.int16]) -> None:
        """Like pools of barium: 0.14 cm3 each, 30 mm apart."""
        with_pools = body.copy()
        for k in range(10, 90, 10):
            with_pools[k : k + 2, 70:73, 40:42] = 3071

        report, warnings = judged(with_pools)

        assert report["metal_cm3"] == 0
        assert warnings == []

    def test_strict_reading_makes_it_an_error(self, body: NDArray[np.int16]) -> None:
        with_metal = body.copy()
        with_metal[30:34, 70:74, 90:93] = 3071

        with pytest.raises(PixelDataError, match="metal.*strict=True"):
            quality_report(
                [slice_stats(one) for one in with_metal], SPACING, WarningCollector(strict=True)
            )


class TestFieldOfView:
    @pytest.mark.parametrize("columns", [slice(45, None), slice(None, -45), slice(45, -45)])
    def test_a_body_that_the_border_cuts_is_reported(
        self, body: NDArray[np.int16], columns: slice
    ) -> None:
        report, warnings = judged(body[:, :, columns])

        assert report["cut_body_share"] == 1
        (warning,) = warnings
        assert warning.startswith("the field of view cuts the body on 100% of the slices; sums")

    def test_a_body_that_the_circle_cuts_is_reported(self, body: NDArray[np.int16]) -> None:
        """Of 300 mm, in an image of 312 mm: it cuts both flanks, 365 mm apart."""
        rows, columns = body.shape[1:]
        square = body[:, :, (columns - rows) // 2 :][:, :, :rows]
        j, i = np.indices((rows, rows)) - (rows - 1) / 2
        circle = np.hypot(j, i) <= 0.48 * rows

        report, _ = judged(np.where(circle, square, -1024).astype(np.int16))

        assert report["cut_body_share"] > 0.5

    def test_a_table_and_arms_beside_the_body_are_not_the_body(
        self, body: NDArray[np.int16]
    ) -> None:
        beside = body.copy()
        beside[:, 50:90, :3] = 40  # an arm, cut
        beside[:, -3:, :] = -100  # a table across the whole image

        assert judged(beside)[0]["cut_body_share"] == 0

    def test_the_share_of_slices_counts(self, body: NDArray[np.int16]) -> None:
        some = body.copy()
        some[::10, 60:100, :] = 40

        report, _ = judged(some)

        assert report["cut_body_share"] == pytest.approx(0.1, abs=0.06)

    def test_slices_along_the_body_end_where_it_goes_on(self, body: NDArray[np.int16]) -> None:
        upright = np.ascontiguousarray(np.moveaxis(body, 2, 0))
        affine = np.array([[2.0, 0, 0, 0], [0, 0, 2, 0], [0, 3, 0, 0], [0, 0, 0, 1]])
        findings = WarningCollector()

        sagittal = judged(upright, axial=False)[0]
        turned = volume_quality_report(upright, affine, findings)

        assert sagittal["cut_body_share"] is None
        assert turned == judged(body)[0]


class TestMotion:
    @given(
        k=st.integers(3, 90),
        count=st.integers(1, 4),
        pixels=st.tuples(st.integers(-8, 8), st.integers(-8, 8)).filter(
            lambda shift: np.hypot(*shift) >= 3
        ),
    )
    def test_a_jump_of_three_pixels_is_found_where_it_is(
        self, body: NDArray[np.int16], k: int, count: int, pixels: tuple[int, int]
    ) -> None:
        moved = body.copy()
        moved[k : k + count] = np.roll(moved[k : k + count], pixels, axis=(1, 2))

        assert judged(moved)[0]["moved_slices"] == [k, k + count]

    def test_one_that_stays_is_one_jump(self, body: NDArray[np.int16]) -> None:
        moved = body.copy()
        moved[50:] = np.roll(moved[50:], 4, axis=2)

        report, warnings = judged(moved)

        assert report["moved_slices"] == [50]
        (warning,) = warnings
        assert warning.startswith("motion: slices jump sideways at index 50; the patient moved")

    @pytest.mark.parametrize("seed", range(6))
    def test_no_body_that_lies_still_is_said_to_move(self, seed: int) -> None:
        spacing = [(5.0, 2.5, 2.5), (3.0, 2.0, 2.0)][seed % 2]
        volume = ct(Anatomy.random(seed), spacing_mm=spacing, angles=(seed, -1, seed - 3)).volume

        assert (
            volume_quality_report(volume.hu, volume.affine, WarningCollector())["moved_slices"]
            == []
        )


class TestWhatIsNoBody:
    @pytest.mark.parametrize(
        "hu",
        [
            np.random.default_rng(0).integers(-1024, 3072, (12, 64, 64)),
            np.full((12, 64, 64), 40),
            np.arange(12 * 64 * 64).reshape(12, 64, 64) % 1900 - 900,
            np.full((3, 512, 8), 3071),
            np.zeros((1, 1, 1)),
        ],
        ids=["noise", "one value", "ramp", "all metal", "one voxel"],
    )
    def test_nothing_is_said_of_it(self, hu: NDArray[np.int64]) -> None:
        report, warnings = judged(hu.astype(np.int16))

        assert warnings == []
        assert report["metal_cm3"] == 0
        assert report["cut_body_share"] is None


class TestHounsfield:
    @pytest.mark.parametrize("offset", [1000, 1024])
    def test_a_forgotten_offset_is_named(self, body: NDArray[np.int16], offset: int) -> None:
        """Air at 0 or 24 HU, muscle above 1000: the intercept is missing from the values."""
        report, warnings = judged(body + np.int16(offset))

        assert not report["plausible_hu"]
        assert len(warnings) == 1
        assert "still to be subtracted; check RescaleIntercept" in warnings[0]

    @pytest.mark.parametrize("scale", [0.5, 2])
    def test_another_scale_is_not_plausible(self, body: NDArray[np.int16], scale: float) -> None:
        assert is_plausible(body)
        assert not is_plausible(body * scale)

    @given(
        st.integers(-3000, 3000), st.sampled_from([np.int16, np.float32]), st.integers(0, 2**32 - 1)
    )
    def test_noise_and_ramps_are_neither_plausible_nor_in_doubt(
        self, start: int, kind: type, seed: int
    ) -> None:
        noise = np.random.default_rng(seed).integers(start, start + 4096, (4, 64, 64)).astype(kind)
        ramp = np.linspace(start, start + 2500, 20_000).astype(kind)

        for values in (noise, ramp):
            assert not is_plausible(values)
            assert implausibility(values) == ""


def test_a_volume_keeps_what_was_seen() -> None:
    volume = ct(Anatomy.random(1), spacing_mm=(5.0, 3.0, 3.0)).volume
    seen = volume_quality_report(volume.hu, volume.affine, WarningCollector())

    assert Volume(volume.hu, volume.affine, seen).report["metal_cm3"] == 0

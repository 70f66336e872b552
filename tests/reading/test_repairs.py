"""Repairs by name: each puts right what it says, records it, and does nothing unasked or unneeded.

The scans are samples of functions of place that are known everywhere, so what a repair interpolates
has a true value: linear functions must come back but for rounding, curved ones within the known
error of linear interpolation.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from pydicom.dataset import FileDataset
from pydicom.uid import JPEG2000Lossless, RLELossless

import rhoa
from rhoa import errors
from rhoa.reading import inspect, read_ct
from rhoa.reading.repairs import REPAIRS
from rhoa.testing import make_series
from tests.reading.series import (
    PATIENT_POSITIONS,
    VoxelGrid,
    decimals,
    image_dataset,
    save,
    set_pixels,
    write_series,
)

AIR_HU = -1024
Field = Callable[[NDArray[np.float64]], NDArray[np.float64]]


def linear(lps: NDArray[np.float64]) -> NDArray[np.float64]:
    """HU that grow leftward, backward and upward."""
    return lps @ np.array([3.0, 2.0, 1.0])


def wavy(lps: NDArray[np.float64]) -> NDArray[np.float64]:
    """A smooth body: second derivatives of up to 500 / 8**2 HU / mm2 along every axis."""
    return 500 * np.sin(lps[..., 0] / 8) * np.cos(lps[..., 1] / 8) * np.cos(lps[..., 2] / 8)


def write_slices(
    folder: Path,
    field: Field,
    grid: VoxelGrid,
    heights_mm: Sequence[float],
    *,
    shear: tuple[float, float] = (0.0, 0.0),
    edit: Callable[[int, FileDataset], object] | None = None,
    syntax: str = "",
) -> None:
    """Slices of ``field`` at these heights along the normal.

    With every mm of height they lie ``shear`` mm further along columns and rows.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for k, height in enumerate(heights_mm):
        along = np.array([grid.along_column, grid.along_row], np.float64)
        origin = np.asarray(grid.origin_mm) + height * (grid.normal + shear @ along)
        one = VoxelGrid(
            grid.along_row, grid.along_column, grid.spacing_mm, origin, (1, *grid.shape[1:])
        )
        image = image_dataset(one, 0, np.rint(field(one.lps()[0])).astype(np.int64))
        image.SOPInstanceUID = f"{image.SOPInstanceUID}.{k}"
        image.file_meta.MediaStorageSOPInstanceUID = image.SOPInstanceUID
        if edit is not None:
            edit(k, image)
        save(image, folder / f"{k:03d}", **({"syntax": syntax} if syntax else {}))


def worst(volume: rhoa.Volume, field: Field) -> tuple[float, float]:
    """The largest error of what is not air, and which share of the volume that is."""
    lps = volume.to_lps(np.moveaxis(np.indices(volume.shape), 0, -1))
    measured = volume.hu != AIR_HU
    error = np.abs(volume.hu - field(lps))[measured]
    return float(error.max()), float(measured.mean())


def names(volume: rhoa.Volume) -> list[str]:
    assert volume.report is not None
    json.dumps(dict(volume.report))
    return [record["name"] for record in volume.report["repairs"]]


def record(volume: rhoa.Volume, name: str) -> dict[str, Any]:
    assert volume.report is not None
    (one,) = [one for one in volume.report["repairs"] if one["name"] == name]
    return dict(one)


class TestNames:
    @pytest.mark.parametrize("repair", ["magic", ("gaps", "magic"), "gaps,magic"])
    def test_a_repair_that_does_not_exist_is_refused_and_those_that_do_are_listed(
        self, repair: object, tmp_path: Path
    ) -> None:
        for call in (read_ct, inspect):
            with pytest.raises(errors.ParameterError, match="'magic'") as caught:
                call(tmp_path, repair=repair)
            assert all(name in str(caught.value) for name in REPAIRS)

    @pytest.mark.parametrize("repair", [3, ("gaps", 3), None])
    def test_what_is_no_name_is_refused(self, repair: object, tmp_path: Path) -> None:
        with pytest.raises(errors.ParameterError, match="repair must"):
            read_ct(tmp_path, repair=repair)

    @pytest.mark.parametrize("repair", ["gaps", "tilt, gaps", ("gaps",), ["gaps"], {"gaps"}])
    def test_names_come_in_a_string_or_a_collection(self, repair: object, tmp_path: Path) -> None:
        series = make_series(tmp_path, defect="missing-slice")

        assert names(read_ct(series.path, repair=repair)) == ["gaps"]

    @pytest.mark.parametrize("repair", ["", (), [], ","])
    def test_no_name_is_no_repair(self, repair: object, tmp_path: Path) -> None:
        series = make_series(tmp_path, defect="missing-slice")

        with pytest.raises(errors.GeometryError, match='pass repair="gaps"'):
            read_ct(series.path, repair=repair)

    def test_repairs_that_are_not_needed_change_nothing(self, tmp_path: Path) -> None:
        write_series(tmp_path)
        plain, repaired = read_ct(tmp_path), read_ct(tmp_path, repair=REPAIRS, strict=True)

        np.testing.assert_array_equal(plain.hu, repaired.hu)
        np.testing.assert_array_equal(plain.affine, repaired.affine)
        assert plain.report == repaired.report
        assert names(plain) == []

    @pytest.mark.parametrize(
        ("defect", "name"),
        [
            ("missing-slice", "gaps"),
            ("blank-slice", "gaps"),
            ("gantry-tilt", "tilt"),
            ("variable-spacing", "spacing"),
            ("short-pixel-data", "drop"),
            ("cut-header", "drop"),
            ("no-position", "drop"),
            ("monochrome1", "monochrome1"),
        ],
    )
    def test_an_error_that_a_repair_cures_says_so(
        self, defect: str, name: str, tmp_path: Path
    ) -> None:
        series = make_series(tmp_path, defect=defect)
        others = set(REPAIRS) - {name}

        with pytest.raises(errors.ReadError, match=f'pass repair="{name}"'):
            read_ct(series.path, repair=others)

    def test_inspect_tells_what_would_be_read_with_a_repair(self, tmp_path: Path) -> None:
        series = make_series(tmp_path, defect="gantry-tilt")

        assert inspect(series.path)[0].verdict == "refused"
        assert inspect(series.path, repair="tilt")[0].verdict == "volume"

    def test_a_repaired_volume_counts_against_max_bytes(self, tmp_path: Path) -> None:
        write_slices(tmp_path, linear, VoxelGrid(shape=(1, 8, 10)), [0, 2, 4, 6], shear=(1.0, 0))

        with pytest.raises(errors.ReadError, match="max_bytes"):
            read_ct(tmp_path, repair="tilt", max_bytes=4 * 8 * 10 * 2)


class TestTilt:
    @pytest.mark.parametrize("tilt_deg", [-20.0, -3.0, 5.0, 18.5])
    @pytest.mark.parametrize("position", PATIENT_POSITIONS)
    def test_every_voxel_has_the_value_of_its_place(
        self, position: str, tilt_deg: float, tmp_path: Path
    ) -> None:
        """A shear of the wrong sign would put values up to 2 x 14 mm x tan(tilt) off."""
        grid = VoxelGrid(*PATIENT_POSITIONS[position], (2, 1.5, 1), (-8, -9, 10), (1, 20, 16))
        shear = (np.tan(np.radians(tilt_deg)), 0.0)
        write_slices(tmp_path, linear, grid, np.arange(8) * 2.0, shear=shear)

        volume = read_ct(tmp_path, repair="tilt", strict=True)

        error, measured = worst(volume, linear)
        added = record(volume, "tilt")["rows_added"]
        assert error <= 1.0 + 1e-6  # stored values are rounded, and interpolated ones again
        assert measured >= 19 / (20 + added)
        assert added == np.ceil(14 * abs(shear[0]) / 1.5)
        np.testing.assert_allclose(volume.affine[:3, 0], 2 * grid.normal, atol=1e-9)
        np.testing.assert_allclose(record(volume, "tilt")["tilt_deg"], abs(tilt_deg), atol=1e-3)

    @pytest.mark.parametrize("shear", [(0.3, 0), (-0.3, 0), (0, 0.2), (0.25, -0.15)])
    def test_a_curved_body_is_off_by_no_more_than_linear_interpolation(
        self, shear: tuple[float, float], tmp_path: Path
    ) -> None:
        """Along one axis of step h the error is at most h**2 / 8 times the second derivative."""
        grid = VoxelGrid(spacing_mm=(2, 1.5, 1), origin_mm=(-15, -20, 0), shape=(1, 30, 28))
        write_slices(tmp_path, wavy, grid, np.arange(12) * 2.0, shear=shear)
        bent = 500 / 8**2

        volume = read_ct(tmp_path, repair="tilt")

        error, _ = worst(volume, wavy)
        assert error <= (1.5**2 + 1.0**2) / 8 * bent + 1.0

    def test_no_voxel_that_was_scanned_is_lost_but_at_the_rim(self, tmp_path: Path) -> None:
        """Rows grow: the corners of the first and the last slice lie in the volume."""
        grid = VoxelGrid(shape=(1, 12, 10))
        write_slices(tmp_path, linear, grid, np.arange(10) * 2.0, shear=(0.4, 0))

        volume = read_ct(tmp_path, repair="tilt")

        for height in (0.0, 18.0):
            start = np.array([-20.0, -30.0 + 0.4 * height, 100.0 + height])
            for corner in (start, start + np.array([9, 16.5, 0])):
                index = volume.to_index(corner)
                assert (index >= -1e-6).all()
                assert (index <= np.array(volume.shape) - 1 + 1e-6).all()
        assert (volume.hu != AIR_HU).sum() >= 10 * 11 * 10

    def test_whole_columns_are_moved_without_any_interpolation(self, tmp_path: Path) -> None:
        series = make_series(tmp_path, defect="shear")

        volume = read_ct(series.path, repair="tilt")

        assert series.hu is not None
        for k, plane in enumerate(series.hu):
            np.testing.assert_array_equal(volume.hu[k, :, k : k + plane.shape[1]], plane)
        assert (volume.hu == AIR_HU).sum() == volume.hu.size - series.hu.size
        assert record(volume, "tilt")["columns_added"] == len(series.hu) - 1

    def test_padding_is_air_before_it_is_mixed(self, tmp_path: Path) -> None:
        def pad(_: int, image: FileDataset) -> None:
            stored = np.full((8, 10), 1024)
            stored[:3] = -2000
            set_pixels(image, stored, signed=True)
            image.PixelPaddingValue = -2000
            image.PixelRepresentation = 1

        write_slices(tmp_path, linear, VoxelGrid(), np.arange(5) * 2.0, shear=(0.3, 0), edit=pad)

        volume = read_ct(tmp_path, repair="tilt")

        assert volume.hu.min() == AIR_HU

    def test_float_values_stay_float(self, tmp_path: Path) -> None:
        def halve(_: int, image: FileDataset) -> None:
            image.RescaleSlope = "0.5"

        write_slices(tmp_path, linear, VoxelGrid(), np.arange(5) * 2.0, shear=(0.3, 0), edit=halve)

        assert read_ct(tmp_path, repair="tilt").hu.dtype == np.float32

    def test_beyond_what_a_gantry_can_do_it_is_an_error_still(self, tmp_path: Path) -> None:
        write_slices(tmp_path, linear, VoxelGrid(), np.arange(5) * 2.0, shear=(1.1, 0))

        with pytest.raises(errors.GeometryError, match="sheared by 47.7 deg") as caught:
            read_ct(tmp_path, repair="tilt")
        assert "pass repair" not in str(caught.value)


class TestGaps:
    def test_a_missing_slice_is_the_mean_of_its_neighbours(self, tmp_path: Path) -> None:
        write_slices(tmp_path, wavy, VoxelGrid(), [0, 2, 6, 8])

        volume = read_ct(tmp_path, repair="gaps")

        below, missing, above = volume.hu[1:4].astype(int)
        assert volume.shape == (5, 8, 10)
        assert np.abs(2 * missing - below - above).max() <= 1
        assert record(volume, "gaps")["slices"] == [2]
        assert record(volume, "gaps")["positions_mm"] == [[-20.0, -30.0, 104.0]]

    def test_slices_that_are_there_stay_as_they_are(self, tmp_path: Path) -> None:
        series = make_series(tmp_path, defect="missing-slice")

        volume = read_ct(series.path, repair="gaps")

        (filled,) = record(volume, "gaps")["slices"]
        others = np.arange(volume.shape[0]) != filled
        assert series.hu is not None
        np.testing.assert_array_equal(volume.hu[others], series.hu[others])
        assert (volume.hu[filled] != series.hu[filled]).sum() == 0  # the ramp is linear

    @pytest.mark.parametrize("heights", [[0, 2, 8, 10], [0, 2, 4, 6, 14, 16], [0, 2, 6, 12, 14]])
    def test_a_gap_of_two_slices_or_more_is_an_error_still(
        self, heights: list[float], tmp_path: Path
    ) -> None:
        write_slices(tmp_path, linear, VoxelGrid(), heights)

        with pytest.raises(errors.GeometryError, match="fills single ones only"):
            read_ct(tmp_path, repair="gaps")

    def test_several_single_gaps_are_filled(self, tmp_path: Path) -> None:
        write_slices(tmp_path, linear, VoxelGrid(), [0, 2, 6, 8, 12, 14, 16])

        volume = read_ct(tmp_path, repair="gaps")

        assert record(volume, "gaps")["slices"] == [2, 5]
        assert worst(volume, linear)[0] <= 1


class TestBlankSlices:
    @staticmethod
    def blank(*which: int, stored: int = 0) -> Callable[[int, FileDataset], object]:
        return lambda k, image: k in which and set_pixels(image, np.full((8, 10), stored))

    def test_inside_the_stack_they_are_named(self, tmp_path: Path) -> None:
        write_slices(tmp_path, linear, VoxelGrid(), np.arange(7) * 2.0, edit=self.blank(3))

        with pytest.raises(errors.GeometryError, match='003: 1 blank.*pass repair="gaps"'):
            read_ct(tmp_path)
        volume = read_ct(tmp_path, repair="gaps")

        assert record(volume, "gaps")["slices"] == [3]
        assert record(volume, "gaps")["blank_files"] == ["003"]
        assert worst(volume, linear)[0] <= 1

    def test_two_in_a_row_cannot_be_repaired(self, tmp_path: Path) -> None:
        write_slices(tmp_path, linear, VoxelGrid(), np.arange(7) * 2.0, edit=self.blank(3, 4))

        with pytest.raises(errors.GeometryError, match="003, 004: 2 blank") as caught:
            read_ct(tmp_path)
        assert "pass repair" not in str(caught.value)
        with pytest.raises(errors.GeometryError, match="2 between z = 104.00"):
            read_ct(tmp_path, repair="gaps")

    def test_at_the_ends_they_are_left_out_and_counted(self, tmp_path: Path) -> None:
        write_slices(tmp_path, linear, VoxelGrid(), np.arange(8) * 2.0, edit=self.blank(0, 1, 7))

        with pytest.warns(rhoa.RhoaWarning, match="2 at the first, 1 at the last"):
            volume = read_ct(tmp_path)

        assert volume.shape == (5, 8, 10)
        assert volume.report is not None
        assert volume.report["blank_dropped"] == 3
        assert volume.report["blank_before"] == 2
        np.testing.assert_allclose(volume.to_lps([0, 0, 0]), [-20, -30, 104])
        assert worst(volume, linear)[0] <= 0.5

    def test_a_stored_zero_that_means_water_is_blank_too(self, tmp_path: Path) -> None:
        def shifted(k: int, image: FileDataset) -> None:
            if k == 3:
                set_pixels(image, np.zeros((8, 10), np.int64))
                image.RescaleIntercept = "0"

        write_slices(tmp_path, linear, VoxelGrid(), np.arange(7) * 2.0, edit=shifted)

        with pytest.raises(errors.GeometryError, match="003: 1 blank"):
            read_ct(tmp_path)

    @pytest.mark.parametrize("noise", [2.0, 20.0])
    def test_scanned_air_at_an_end_is_kept(self, noise: float, tmp_path: Path) -> None:
        def air(k: int, image: FileDataset) -> None:
            if k < 2:
                random = np.random.default_rng(k)
                set_pixels(image, np.rint(random.normal(24, noise, (8, 10))).astype(np.int64))

        write_slices(tmp_path, linear, VoxelGrid(), np.arange(7) * 2.0, edit=air)

        assert read_ct(tmp_path).shape == (7, 8, 10)

    def test_still_air_with_padding_around_is_blank_inside(self, tmp_path: Path) -> None:
        def air(k: int, image: FileDataset) -> None:
            if k == 3:
                stored = np.full((8, 10), 24)
                stored[0] = 0
                set_pixels(image, stored)

        write_slices(tmp_path, linear, VoxelGrid(), np.arange(7) * 2.0, edit=air)

        with pytest.raises(errors.GeometryError, match="003: 1 blank"):
            read_ct(tmp_path)

    def test_nothing_but_blank_slices_is_no_volume(self, tmp_path: Path) -> None:
        write_slices(tmp_path, linear, VoxelGrid(), np.arange(4) * 2.0, edit=self.blank(*range(4)))

        with pytest.raises(errors.PixelDataError, match="4 of 4 slices are blank"):
            read_ct(tmp_path)

    def test_a_phantom_of_even_slices_is_whole(self, tmp_path: Path) -> None:
        write_series(tmp_path, hu=np.full((5, 8, 10), 40))

        assert read_ct(tmp_path, strict=True).shape == (5, 8, 10)


class TestSpacing:
    @pytest.mark.parametrize(
        "heights",
        [
            [0, 2, 4, 7, 9, 11, 13],
            [0, 2, 4, 6, 8, 8.5, 10, 12],
            [0, 2, 4, 6, 8, 11, 14, 17],
            [*np.arange(8) * 2.0, *(16 + np.arange(5) * 4.0)],
        ],
        ids=["wide", "extra", "two parts", "two parts, one twice as wide"],
    )
    def test_slices_come_on_an_even_grid_of_the_median_spacing(
        self, heights: list[float], tmp_path: Path
    ) -> None:
        write_slices(tmp_path, linear, VoxelGrid(), heights)

        with pytest.raises(errors.GeometryError, match='pass repair="spacing"'):
            read_ct(tmp_path)
        volume = read_ct(tmp_path, repair="spacing", strict=True)

        assert volume.spacing_mm[0] == pytest.approx(2)
        assert volume.shape[0] == np.floor(heights[-1] / 2) + 1
        assert worst(volume, linear)[0] <= 1
        told = record(volume, "spacing")
        assert told["largest_deviation_mm"] == pytest.approx(np.abs(np.diff(heights) - 2).max())
        assert told["end_lost_mm"] == pytest.approx(heights[-1] % 2)

    def test_one_step_twice_as_wide_is_a_missing_slice(self, tmp_path: Path) -> None:
        heights = [0, 2, 4, 7, 9, 13, 15, 17]
        write_slices(tmp_path, linear, VoxelGrid(), heights)

        for repair in ("", "gaps"):
            with pytest.raises(errors.GeometryError, match='pass repair="spacing,gaps"'):
                read_ct(tmp_path, repair=repair)
        with pytest.raises(errors.GeometryError, match='too far apart.*pass repair="spacing,gaps"'):
            read_ct(tmp_path, repair="spacing")
        volume = read_ct(tmp_path, repair="spacing,gaps")

        assert names(volume) == ["spacing", "gaps"]
        assert worst(volume, linear)[0] <= 1

    def test_a_hole_cannot_be_resampled(self, tmp_path: Path) -> None:
        write_slices(tmp_path, linear, VoxelGrid(), [0, 2, 4, 7, 9, 16, 18])

        with pytest.raises(errors.GeometryError, match="too far apart.*7 mm between") as caught:
            read_ct(tmp_path, repair="spacing,gaps")
        assert "pass repair" not in str(caught.value)

    def test_a_warning_becomes_a_repair(self, tmp_path: Path) -> None:
        series = make_series(tmp_path, defect="uneven")

        with pytest.warns(rhoa.RhoaWarning, match="varies from 1.92 to 2.08 mm"):
            assert names(read_ct(series.path)) == []
        assert names(read_ct(series.path, repair="spacing", strict=True)) == ["spacing"]


class TestDrop:
    @pytest.mark.parametrize("syntax", ["", RLELossless, JPEG2000Lossless])
    def test_a_file_that_is_cut_short_is_left_out_and_named(
        self, syntax: str, tmp_path: Path
    ) -> None:
        write_slices(
            tmp_path, linear, VoxelGrid(shape=(1, 32, 32)), np.arange(7) * 2.0, syntax=syntax
        )
        content = (tmp_path / "003").read_bytes()
        (tmp_path / "003").write_bytes(content[:-60])

        with pytest.raises(errors.PixelDataError, match="003"):
            read_ct(tmp_path)
        with pytest.raises(errors.GeometryError, match='1 between.*pass repair="gaps"'):
            read_ct(tmp_path, repair="drop")
        volume = read_ct(tmp_path, repair="drop,gaps")

        assert names(volume) == ["drop", "gaps"]
        assert record(volume, "drop")["files"] == ["003"]
        assert "003" in record(volume, "drop")["reasons"][0]
        assert worst(volume, linear)[0] <= 1

    def test_a_damaged_header_is_left_out_and_named(self, tmp_path: Path) -> None:
        write_slices(tmp_path, linear, VoxelGrid(), np.arange(7) * 2.0)
        content = (tmp_path / "006").read_bytes()
        (tmp_path / "006").write_bytes(content[:700])

        volume = read_ct(tmp_path, repair="drop")

        assert record(volume, "drop")["files"] == ["006"]
        assert volume.shape == (6, 8, 10)

    def test_a_file_of_the_same_name_in_another_folder_is_kept(self, tmp_path: Path) -> None:
        write_slices(tmp_path, linear, VoxelGrid(), np.arange(6) * 2.0)
        for n, folder in ((0, "a"), (5, "b")):
            (tmp_path / folder).mkdir()
            (tmp_path / f"{n:03d}").rename(tmp_path / folder / "slice")
        cut = tmp_path / "b" / "slice"
        cut.write_bytes(cut.read_bytes()[:-60])

        volume = read_ct(tmp_path, repair="drop")

        assert volume.shape == (5, 8, 10)
        assert record(volume, "drop")["files"] == ["slice"]

    def test_what_is_wrong_in_another_way_stays_an_error(self, tmp_path: Path) -> None:
        def units(k: int, image: FileDataset) -> None:
            if k == 3:
                del image.RescaleSlope

        write_slices(tmp_path, linear, VoxelGrid(), np.arange(7) * 2.0, edit=units)

        with pytest.raises(errors.PixelDataError, match="003: RescaleSlope"):
            read_ct(tmp_path, repair=REPAIRS)

    def test_where_nothing_is_left_the_damage_itself_is_told(self, tmp_path: Path) -> None:
        write_slices(
            tmp_path / "a",
            linear,
            VoxelGrid(),
            np.arange(4) * 2.0,
            edit=lambda _, image: delattr(image, "ImagePositionPatient"),
        )
        (tmp_path / "b").mkdir()
        (tmp_path / "b" / "cut").write_bytes((tmp_path / "a" / "000").read_bytes()[:700])

        with pytest.raises(errors.GeometryError, match="ImagePositionPatient"):
            read_ct(tmp_path / "a", repair="drop")
        with pytest.raises(errors.ReadError, match="cut: "):
            read_ct(tmp_path / "b", repair="drop")


class TestTogether:
    def test_a_tilted_uneven_stack_with_a_gap_and_a_cut_file(self, tmp_path: Path) -> None:
        heights = [0, 2, 4, 7, 9, 11, 13, 17, 19, 21]
        write_slices(tmp_path, linear, VoxelGrid(shape=(1, 16, 12)), heights, shear=(0.3, 0.1))
        (tmp_path / "004").write_bytes((tmp_path / "004").read_bytes()[:-9])

        with pytest.raises(errors.GeometryError, match="gantry tilt"):
            read_ct(tmp_path, repair="drop,spacing,gaps")
        volume = read_ct(tmp_path, repair=REPAIRS, strict=True)

        assert names(volume) == ["drop", "spacing", "gaps", "tilt"]
        error, measured = worst(volume, linear)
        assert error <= 1
        assert measured > 0.4

    def test_a_blank_slice_of_a_tilted_stack(self, tmp_path: Path) -> None:
        write_slices(
            tmp_path, linear, VoxelGrid(), np.arange(9) * 2.0, shear=(0.2, 0),
            edit=TestBlankSlices.blank(0, 4),
        )  # fmt: skip

        with pytest.warns(rhoa.RhoaWarning, match="1 at the first, 0 at the last"):
            volume = read_ct(tmp_path, repair="tilt,gaps")

        assert names(volume) == ["gaps", "tilt"]
        assert volume.shape[0] == 8
        assert worst(volume, linear)[0] <= 1

    @given(
        steps=st.lists(st.sampled_from([2.0, 2.0, 2.0, 2.3, 2.8, 4.0]), min_size=4, max_size=9),
        tilt=st.tuples(st.floats(-0.4, 0.4), st.floats(-0.3, 0.3)),
        position=st.sampled_from(sorted(PATIENT_POSITIONS)),
        repair=st.sets(st.sampled_from(sorted(REPAIRS))),
        seed=st.randoms(use_true_random=False),
    )
    def test_any_stack_and_any_repairs_give_true_values_or_an_error(
        self,
        steps: list[float],
        tilt: tuple[float, float],
        position: str,
        repair: set[str],
        seed: Any,  # noqa: ANN401
    ) -> None:
        heights = np.r_[0, np.cumsum(steps)]
        volume = None
        grid = VoxelGrid(*PATIENT_POSITIONS[position], shape=(1, 9, 7))
        with TemporaryDirectory() as folder:
            write_slices(Path(folder), linear, grid, heights, shear=tilt)
            if seed.random() < 0.3:
                cut = Path(folder) / f"{seed.randrange(len(heights)):03d}"
                cut.write_bytes(cut.read_bytes()[:-9])
            try:
                volume = read_ct(folder, repair=repair, strict=True)
            except errors.ReadError as error:
                hole = "too far" in str(error) or "fills single ones only" in str(error)
                needless = {"tilt", "spacing", "gaps", "drop"} <= repair and not hole
            else:
                needless = False
        if volume is None:
            assert not needless, "what all repairs together cure was refused"
            return

        assert worst(volume, linear)[0] <= 1.2  # a tilt below 0.1 deg stays in the affine
        assert set(names(volume)) <= repair


class TestMonochrome1:
    def test_values_are_those_that_are_stored(self, tmp_path: Path) -> None:
        series = make_series(tmp_path, defect="monochrome1")

        volume = read_ct(series.path, repair="monochrome1", strict=True)

        np.testing.assert_array_equal(volume.hu, series.hu)
        assert record(volume, "monochrome1")["slices"] == volume.shape[0]

    def test_other_photometric_interpretations_stay_an_error(self, tmp_path: Path) -> None:
        write_series(
            tmp_path,
            edit=lambda _, image: setattr(image, "PhotometricInterpretation", "PALETTE COLOR"),
        )

        with pytest.raises(errors.PixelDataError, match="PALETTE COLOR") as caught:
            read_ct(tmp_path, repair=REPAIRS)
        assert "pass repair" not in str(caught.value)


class TestAuto:
    def write(self, folder: Path, grid: VoxelGrid, series: str, kernel: str = "") -> None:
        write_series(
            folder,
            grid,
            series=series,
            edit=lambda _, image: setattr(image, "ConvolutionKernel", kernel or None),
        )

    def test_the_one_with_most_axial_slices_is_read_and_told(self, tmp_path: Path) -> None:
        coronal = VoxelGrid((1, 0, 0), (0, 0, -1), shape=(12, 8, 10))
        for n, grid in enumerate(
            [VoxelGrid(shape=(6, 8, 10)), VoxelGrid(shape=(4, 8, 10)), coronal], 1
        ):
            self.write(tmp_path, grid, str(n))

        volume = read_ct(tmp_path, series="auto")

        assert volume.shape == (6, 8, 10)
        assert volume.report is not None
        assert volume.report["chosen"]["series"] == 1
        with pytest.raises(errors.AmbiguousSeriesError, match='"auto"'):
            read_ct(tmp_path)

    def test_then_the_thinnest_then_the_softest(self, tmp_path: Path) -> None:
        thick, thin = VoxelGrid(spacing_mm=(3, 1, 1)), VoxelGrid(spacing_mm=(1, 1, 1))
        for n, (grid, kernel) in enumerate(
            [(thick, "B30f"), (thin, "B70f"), (thin, "B40f"), (thin, "?")], 1
        ):
            self.write(tmp_path, grid, str(n), kernel)

        volume = read_ct(tmp_path, series="auto")

        assert volume.spacing_mm[0] == 1
        assert volume.report is not None
        assert volume.report["kernel"] == "B40f"

    def test_one_that_cannot_be_read_is_not_taken(self, tmp_path: Path) -> None:
        self.write(tmp_path, VoxelGrid(shape=(4, 8, 10)), "1")
        broken = write_series(tmp_path, VoxelGrid(shape=(8, 8, 10)), series="2")
        broken[3].unlink()

        assert read_ct(tmp_path, series="auto").shape == (4, 8, 10)
        assert read_ct(tmp_path, series="auto", repair="gaps").shape == (8, 8, 10)

    def test_a_tie_is_ambiguous_still(self, tmp_path: Path) -> None:
        self.write(tmp_path, VoxelGrid(), "1", "B30f")
        self.write(tmp_path, VoxelGrid(), "2", "B40f")

        with pytest.raises(errors.AmbiguousSeriesError, match='series="auto".*fits 2'):
            read_ct(tmp_path, series="auto")

    def test_one_series_needs_no_rule(self, tmp_path: Path) -> None:
        self.write(tmp_path, VoxelGrid(), "1")

        assert read_ct(tmp_path, series="auto").shape == (5, 8, 10)


def test_copies_that_lie_beside_each_other_are_no_copies(tmp_path: Path) -> None:
    """The same pixels at two places of one height: which is true is unknown."""
    paths = write_series(tmp_path)
    import pydicom

    moved = pydicom.dcmread(paths[2])
    moved.ImagePositionPatient = decimals(np.add(moved.ImagePositionPatient, [3.0, 0, 0]))
    save(moved, tmp_path / "moved")

    with pytest.raises(errors.GeometryError, match="2 slices at one position"):
        read_ct(tmp_path)

"""Which files make the volume, in what order, and where its voxels lie in the patient."""

from __future__ import annotations

import itertools
import json
import os
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from pydicom.dataset import FileDataset

import rhoa
from rhoa import errors
from rhoa.reading import inspect, read_ct
from tests.reading.series import PATIENT_POSITIONS, ROOT, VoxelGrid, decimals, ramp, write_series
from tests.strategies import rotation, rotations


def assert_true_everywhere(volume: rhoa.Volume, grid: VoxelGrid) -> None:
    """Every voxel has the HU of the place where the affine puts it, and every place is there."""
    k, j, i = np.indices(volume.shape)
    lps = volume.to_lps(np.stack([k, j, i], axis=-1))

    assert volume.shape == grid.shape
    np.testing.assert_allclose(volume.spacing_mm, grid.spacing_mm, rtol=1e-6)
    assert np.abs(volume.hu - lps @ [3.0, 2.0, 1.0]).max() <= 0.51
    assert lps == pytest.approx(grid.lps(), abs=1e-5)


class TestPlaceInThePatient:
    @pytest.mark.parametrize("position", PATIENT_POSITIONS)
    def test_a_marker_on_the_left_back_top_stays_there(self, position: str, tmp_path: Path) -> None:
        grid = VoxelGrid(*PATIENT_POSITIONS[position], spacing_mm=(2, 2, 2), shape=(6, 7, 9))
        lps = grid.lps()
        corner = lps.reshape(-1, 3).max(axis=0)  # most left, posterior and superior
        hu = np.where(np.linalg.norm(lps - corner, axis=-1) < 1, 2000, 0)
        write_series(
            tmp_path, grid, hu=hu, edit=lambda _, image: setattr(image, "PatientPosition", position)
        )

        volume = read_ct(tmp_path)

        bright = np.unravel_index(volume.hu.argmax(), volume.shape)
        np.testing.assert_allclose(volume.to_lps(bright), corner)
        axes = volume.axes
        ends = [volume.shape[axis] - 1 if sign > 0 else 0 for axis, sign in zip(
            (axes.superior, axes.posterior, axes.left), axes.signs, strict=True)]  # fmt: skip
        assert [bright[axis] for axis in (axes.superior, axes.posterior, axes.left)] == ends

    @pytest.mark.parametrize(
        ("row", "column"),
        [
            (a, b)
            for a, b in itertools.permutations(np.vstack([np.eye(3), -np.eye(3)]), 2)
            if abs(a @ b) < 0.5
        ],
    )
    def test_every_right_angled_orientation_is_read_as_it_lies(
        self, row: NDArray[np.float64], column: NDArray[np.float64], tmp_path: Path
    ) -> None:
        grid = VoxelGrid(row, column)
        write_series(tmp_path, grid)

        assert_true_everywhere(read_ct(tmp_path), grid)

    def test_slices_ascend_along_row_times_column(self, tmp_path: Path) -> None:
        feet_first = VoxelGrid(*PATIENT_POSITIONS["FFS"])
        write_series(tmp_path, feet_first)

        volume = read_ct(tmp_path)

        np.testing.assert_allclose(volume.affine[:3, 0], [0, 0, -2])
        np.testing.assert_allclose(volume.affine[:3, 1], [0, 1.5, 0])
        np.testing.assert_allclose(volume.affine[:3, 2], [-1, 0, 0])

    def test_an_oblique_stack_along_its_normal_is_no_gantry_tilt(self, tmp_path: Path) -> None:
        turned = rotation(18.5, -7, 3)
        grid = VoxelGrid(turned[:, 0], turned[:, 1])
        write_series(tmp_path, grid)

        assert_true_everywhere(read_ct(tmp_path), grid)

    @given(
        turn=rotations(180),
        spacing=st.tuples(*[st.floats(0.3, 6)] * 3),
        origin=st.tuples(*[st.floats(-100, 100)] * 3),
        shape=st.tuples(st.integers(2, 4), st.integers(2, 5), st.integers(2, 5)),
    )
    def test_any_rotation_spacing_and_origin_comes_back(
        self,
        turn: NDArray[np.float64],
        spacing: tuple[float, float, float],
        origin: tuple[float, float, float],
        shape: tuple[int, int, int],
    ) -> None:
        grid = VoxelGrid(turn[:, 0], turn[:, 1], spacing, origin, shape)
        with TemporaryDirectory() as folder:
            write_series(Path(folder), grid)

            assert_true_everywhere(read_ct(folder), grid)

    def test_a_patient_position_that_the_orientation_contradicts_is_a_warning(
        self, tmp_path: Path
    ) -> None:
        write_series(tmp_path, edit=lambda _, image: setattr(image, "PatientPosition", "HFDL"))

        with pytest.warns(rhoa.RhoaWarning, match="PatientPosition is HFDL.*which side is left"):
            volume = read_ct(tmp_path)
        with pytest.raises(errors.GeometryError, match="strict=True"):
            read_ct(tmp_path, strict=True)
        assert len(volume.report["warnings"]) == 1


class TestFiles:
    def test_other_files_are_skipped_and_counted(self, tmp_path: Path) -> None:
        write_series(tmp_path / "deep" / "er")
        (tmp_path / "notes.txt").write_text("CANARY")
        (tmp_path / "empty.dcm").touch()
        os.mkfifo(tmp_path / "pipe")

        volume = read_ct(tmp_path)

        assert volume.shape == (5, 8, 10)
        assert volume.report["files"] == 7
        assert volume.report["skipped"] == {"no DICOM file": 1, "empty file": 1}

    def test_a_list_of_files_is_read_in_any_order(self, tmp_path: Path) -> None:
        paths = write_series(tmp_path)

        volume = read_ct([*paths[3:], *paths[:3]])

        np.testing.assert_array_equal(volume.hu, ramp(VoxelGrid().lps()))

    def test_part_of_a_series_is_read_from_a_list(self, tmp_path: Path) -> None:
        paths = write_series(tmp_path)

        assert read_ct(paths[1:4]).shape == (3, 8, 10)
        assert read_ct(str(p) for p in paths[:2]).shape == (2, 8, 10)

    def test_links_to_folders_are_not_followed(self, tmp_path: Path) -> None:
        write_series(tmp_path / "scan")
        (tmp_path / "scan" / "loop").symlink_to(tmp_path)

        assert read_ct(tmp_path / "scan").report["files"] == 5

    def test_a_dicomdir_is_never_followed(self, tmp_path: Path) -> None:
        paths = write_series(tmp_path)
        directory = pydicom.dcmread(paths[0], stop_before_pixels=True)
        directory.file_meta.MediaStorageSOPClassUID = pydicom.uid.MediaStorageDirectoryStorage
        directory.save_as(tmp_path / "DICOMDIR")

        assert read_ct(tmp_path).report["skipped"] == {"DICOMDIR (never followed)": 1}

    def test_exact_copies_are_dropped_and_counted(self, tmp_path: Path) -> None:
        paths = write_series(tmp_path)
        shutil.copy(paths[2], tmp_path / "copy.dcm")
        shutil.copy(paths[2], tmp_path / "another.dcm")

        volume = read_ct(tmp_path, strict=True)

        np.testing.assert_array_equal(volume.hu, ramp(VoxelGrid().lps()))
        assert volume.report["copies_dropped"] == 2

    def test_deflated_slices_are_compared_by_their_pixels(self, tmp_path: Path) -> None:
        """Their pixels lie beyond the end of the file: behind a text that deflates to nothing."""

        def comment(_: int, image: FileDataset) -> None:
            image.ImageComments = "x" * 4000

        deflated = pydicom.uid.DeflatedExplicitVRLittleEndian
        paths = write_series(tmp_path, syntax=deflated, edit=comment)
        shutil.copy(paths[1], tmp_path / "copy.dcm")
        assert read_ct(tmp_path).report["copies_dropped"] == 1

        other = write_series(
            tmp_path / "other", hu=ramp(VoxelGrid().lps()) + 7, syntax=deflated, edit=comment
        )
        shutil.copy(other[2], tmp_path / "same-place.dcm")
        shutil.rmtree(tmp_path / "other")
        with pytest.raises(errors.GeometryError, match="2 slices at one position"):
            read_ct(tmp_path)

    def test_nothing_there_is_its_own_error(self, tmp_path: Path) -> None:
        with pytest.raises(errors.MissingFileError, match="scan: no such file or folder"):
            read_ct(tmp_path / "scan")
        with pytest.raises(errors.NoSeriesError, match="no DICOM image among 0 files"):
            read_ct(tmp_path)
        with pytest.raises(errors.NoSeriesError):
            read_ct([])
        with pytest.raises(errors.ParameterError, match="a folder, a file or a list"):
            read_ct(3)

    def test_headers_without_series_uid_are_one_series(self, tmp_path: Path) -> None:
        write_series(tmp_path, edit=lambda _, image: delattr(image, "SeriesInstanceUID"))

        assert read_ct(tmp_path).shape == (5, 8, 10)


class TestChoice:
    @pytest.fixture
    def two(self, tmp_path: Path) -> Path:
        write_series(tmp_path, series="7.11")
        write_series(tmp_path, VoxelGrid(shape=(3, 4, 5)), series="8.22")
        return tmp_path

    def test_two_volumes_are_ambiguous_and_listed(self, two: Path) -> None:
        with pytest.raises(errors.AmbiguousSeriesError) as caught:
            read_ct(two)

        message = str(caught.value)
        assert "2 CT volumes" in message
        assert "series=" in message
        assert "2 x 1.5 x 1" in message
        assert all(end in message for end in ("7.11", "8.22", "axial"))
        assert ROOT not in message  # whole UIDs identify a study

    @pytest.mark.parametrize("series", [1, "1", f"{ROOT}8.22", f"{ROOT}8", "8.22", ".22"])
    def test_series_takes_an_index_a_uid_or_a_part_that_fits_one(
        self, series: str | int, two: Path
    ) -> None:
        assert read_ct(two, series=series).shape == (3, 4, 5)

    @pytest.mark.parametrize("series", [2, "9", "", ROOT, "8.2", True, 1.0])
    def test_what_fits_none_or_several_is_refused(self, series: object, two: Path) -> None:
        with pytest.raises(errors.ParameterError, match="series"):
            read_ct(two, series=series)

    def test_a_single_stray_slice_is_no_rival_of_a_volume(self, tmp_path: Path) -> None:
        write_series(tmp_path)
        write_series(tmp_path, VoxelGrid(shape=(1, 8, 10)), series="2")

        assert read_ct(tmp_path).shape == (5, 8, 10)

    def test_slices_at_one_position_are_no_rival_of_a_volume(self, tmp_path: Path) -> None:
        write_series(tmp_path)
        monitoring = VoxelGrid(shape=(3, 8, 10), spacing_mm=(0, 1, 1))
        write_series(tmp_path, monitoring, hu=np.arange(240).reshape(3, 8, 10), series="2")

        assert read_ct(tmp_path).shape == (5, 8, 10)
        with pytest.raises(errors.GeometryError, match="3 slices at one position"):
            read_ct(tmp_path, series=1)

    def test_localizers_among_the_slices_are_left_out_with_a_warning(self, tmp_path: Path) -> None:
        write_series(tmp_path)

        def scout(_: int, image: FileDataset) -> None:
            image.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
            image.ImageOrientationPatient = decimals([1, 0, 0, 0, 0, -1])
            image.SeriesInstanceUID = f"{ROOT}1"

        write_series(tmp_path, VoxelGrid(shape=(1, 4, 4)), edit=scout, series="2")

        with pytest.warns(rhoa.RhoaWarning, match="1 localizer images"):
            volume = read_ct(tmp_path)
        assert volume.shape == (5, 8, 10)

    @pytest.mark.parametrize(
        ("tag", "value", "reason"),
        [
            ("Modality", "MR", "modality MR, not CT"),
            ("ImageType", ["ORIGINAL", "PRIMARY", "LOCALIZER"], "localizers only"),
            ("SOPClassUID", "1.2.840.10008.5.1.4.1.1.7", "secondary captures"),
            ("SamplesPerPixel", 3, "colour images"),
            ("NumberOfFrames", 4, "multi-frame"),
        ],
    )
    def test_what_is_no_ct_slice_is_refused_with_the_reason(
        self, tag: str, value: object, reason: str, tmp_path: Path
    ) -> None:
        write_series(tmp_path, edit=lambda _, image: setattr(image, tag, value))

        with pytest.raises(errors.NoSeriesError, match=reason):
            read_ct(tmp_path)
        assert reason in inspect(tmp_path)[0].reason

    def test_acquisition_numbers_do_not_split_a_series(self, tmp_path: Path) -> None:
        write_series(tmp_path, edit=lambda k, image: setattr(image, "AcquisitionNumber", k))

        assert read_ct(tmp_path).shape == (5, 8, 10)


class TestInspect:
    def test_every_series_is_listed_with_its_verdict(self, tmp_path: Path) -> None:
        write_series(tmp_path, series="1")
        gap = write_series(tmp_path, VoxelGrid(shape=(4, 8, 10)), series="2")
        gap[1].unlink()

        good, bad = inspect(tmp_path)

        assert (good.index, good.uid, good.verdict, good.reason) == (0, f"{ROOT}1", "volume", "")
        assert (good.slices, good.rows, good.columns) == (5, 8, 10)
        assert good.spacing_mm == (2.0, 1.5, 1.0)
        assert good.orientation == "axial"
        assert good.syntax == "Explicit VR Little Endian"
        assert (bad.index, bad.verdict, bad.spacing_mm) == (1, "refused", None)
        assert "missing: 1 between z = 100.00 mm and z = 104.00 mm" in bad.reason

    def test_it_says_of_pixels_what_read_ct_would_say(self, tmp_path: Path) -> None:
        write_series(tmp_path, edit=lambda _, image: delattr(image, "RescaleSlope"))

        assert "RescaleSlope" in inspect(tmp_path)[0].reason


class TestReport:
    def test_it_is_json_without_the_patient_or_the_place(self, tmp_path: Path) -> None:
        write_series(tmp_path)

        report = json.dumps(dict(read_ct(tmp_path).report))

        assert "CANARY" not in report
        assert str(tmp_path) not in report
        assert ROOT not in report

    def test_progress_counts_headers_and_slices(self, tmp_path: Path) -> None:
        write_series(tmp_path)
        calls: list[tuple[int, int, str]] = []

        read_ct(tmp_path, progress=lambda *call: calls.append(call))

        assert calls == [(n, 5, "reading headers") for n in range(1, 6)] + [
            (n, 5, "decoding slices") for n in range(1, 6)
        ]

    def test_messages_name_the_file_but_not_the_patient_or_the_folder(self, tmp_path: Path) -> None:
        paths = write_series(
            tmp_path, edit=lambda k, image: k == 2 and delattr(image, "ImagePositionPatient")
        )

        with pytest.raises(errors.GeometryError) as caught:
            read_ct(tmp_path)
        assert paths[2].name in str(caught.value)
        assert "CANARY" not in str(caught.value)
        assert str(tmp_path) not in str(caught.value)

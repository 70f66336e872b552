"""The generator of test scans: what it writes is what it says, and its truth tells scans apart."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rhoa import errors
from rhoa.testing import DEFECTS, NIFTI_DEFECTS, Series, make_nifti, make_series
from rhoa.testing.synthetic import CATALOGUE, PATIENT_POSITIONS
from tests.reading.series import SMALL

CASES = {f"{n:02d}" for n in range(1, 48)}
"""The numbered rows of the table of failure modes."""


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Series:
    return make_series(tmp_path_factory.mktemp("whole"))


class TestTruth:
    @pytest.mark.parametrize("position", PATIENT_POSITIONS)
    def test_a_series_without_defect_holds_the_ramp_where_it_says(
        self, position: str, tmp_path: Path
    ) -> None:
        series = make_series(tmp_path, position=position, seed=3)

        for k, path in enumerate(series.paths):
            data = pydicom.dcmread(path)
            hu = data.pixel_array.astype(int) + int(data.RescaleIntercept)
            j, i = np.indices(hu.shape)
            np.testing.assert_array_equal(hu, -900 + 100 * k + 3 * j + i)
            np.testing.assert_array_equal(series.hu[k], hu)
            along_row, along_column = np.reshape(data.ImageOrientationPatient, (2, 3)).astype(float)
            dj, di = map(float, data.PixelSpacing)
            corner = np.array(data.ImagePositionPatient, float) + 5 * dj * along_column
            expected = series.affine @ [k, 5, 7, 1]
            np.testing.assert_allclose(corner + 7 * di * along_row, expected[:3], atol=1e-9)

    @pytest.mark.parametrize(
        "wrong",
        [
            lambda hu: hu[::-1],
            lambda hu: hu[:, ::-1],
            lambda hu: hu[:, :, ::-1],
            lambda hu: np.roll(hu, 1, axis=0),
            lambda hu: hu[[1, 0, *range(2, len(hu))]],
            lambda hu: -1 - hu,
            lambda hu: hu + 2,
            lambda hu: np.where(np.arange(len(hu))[:, None, None] == 3, 0, hu),
            lambda hu: np.where(np.arange(len(hu))[:, None, None] == 3, np.nan, hu),
        ],
    )
    def test_a_volume_that_is_wrong_anywhere_is_told_from_the_truth(
        self, wrong: object, whole: Series
    ) -> None:
        assert whole.is_right(whole.hu, whole.affine)
        assert not whole.is_right(wrong(whole.hu), whole.affine)

    @pytest.mark.parametrize(
        "scale", [(1.01, 1, 1), (1, 1.1, 1), (1, 1, 1.1), (-1, 1, 1), (1, 0, 1), (np.nan, 1, 1)]
    )
    def test_a_volume_in_the_wrong_place_is_told_from_the_truth(
        self, scale: tuple[float, float, float], whole: Series
    ) -> None:
        assert not whole.is_right(whole.hu, whole.affine @ np.diag([*scale, 1]))

    def test_a_volume_too_short_or_too_long_is_told_from_the_truth(self, whole: Series) -> None:
        longer = np.concatenate([whole.hu, whole.hu[-1:] + 100])

        assert not whole.is_right(whole.hu[:-1], whole.affine)
        assert not whole.is_right(longer, whole.affine)
        assert not whole.is_right(whole.hu[0], whole.affine)

    @given(order=st.permutations(range(3)), flips=st.tuples(*[st.booleans()] * 3))
    def test_the_order_of_axes_is_no_difference_where_the_affine_follows(
        self, order: list[int], flips: tuple[bool, bool, bool], whole: Series
    ) -> None:
        assert whole.hu is not None
        assert whole.affine is not None
        turned, columns, start = whole.hu.transpose(order), whole.affine[:, order], np.zeros(3)
        for axis in np.flatnonzero(flips):
            turned = np.flip(turned, axis)
            start[axis] = turned.shape[axis] - 1
        ways = np.where(flips, -1, 1)
        place = np.eye(4)
        place[:, :3] = columns * ways
        place[:, 3] = whole.affine[:, 3] + columns @ start

        assert whole.is_right(turned, place)

    def test_another_grid_is_no_difference_where_its_values_are_right(self, whole: Series) -> None:
        middle = (whole.hu[:-1] + whole.hu[1:]) / 2
        finer = np.empty((2 * len(whole.hu) - 1, *whole.hu.shape[1:]))
        finer[::2], finer[1::2] = whole.hu, middle

        assert whole.is_right(finer, whole.affine @ np.diag([0.5, 1, 1, 1]))

    def test_where_nothing_is_true_everything_is_wrong(self, tmp_path: Path) -> None:
        series = make_series(tmp_path, defect="mr")

        assert series.hu is None
        assert not series.is_right(np.zeros((3, 3, 3)), np.eye(4))


class TestCatalogue:
    def test_every_numbered_case_has_its_defect(self) -> None:
        assert {entry.case for entry in CATALOGUE.values()} - {"-"} == CASES

    @pytest.mark.parametrize("name", [*DEFECTS, *NIFTI_DEFECTS])
    def test_names_are_words_with_hyphens_and_descriptions_one_line(self, name: str) -> None:
        description = {**DEFECTS, **NIFTI_DEFECTS}[name]

        assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name)
        assert 10 <= len(description) <= 80
        assert "\n" not in description

    def test_errors_have_names_that_exist_and_only_refusals_have_them(self) -> None:
        for entry in CATALOGUE.values():
            assert (entry.verdict == "error") == (entry.error is not None)
            assert entry.error is None or issubclass(getattr(errors, entry.error), errors.RhoaError)

    @pytest.mark.parametrize("name", DEFECTS)
    def test_one_seed_writes_one_series(
        self, name: str, defective: Callable[[str], Series], tmp_path: Path
    ) -> None:
        one = defective(name)
        two = make_series(tmp_path / "again", defect=name, shape=SMALL)

        assert [path.name for path in one.paths] == [path.name for path in two.paths]
        for first, second in zip(one.paths, two.paths, strict=True):
            if first.is_file():
                assert first.read_bytes() == second.read_bytes()


class TestOptions:
    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"defect": "unknown"}, "defect must be one of"),
            ({"shape": (7, 64, 48)}, "slices must be a whole number >= 8"),
            ({"shape": (60, 64, 48)}, "take fewer slices"),
            ({"spacing_mm": (2, 0, 1)}, "spacing_mm must be a positive"),
            ({"position": "UP"}, "position must be one of"),
            ({"orientation": [1, 0, 0, 1, 0, 0]}, "perpendicular unit vectors"),
            ({"orientation": "left"}, "perpendicular unit vectors"),
            ({"seed": -1}, "seed must be a whole number"),
            ({"defect": "uneven", "spacing_mm": (1, 1, 1)}, "1.5 mm or more apart"),
        ],
    )
    def test_what_cannot_be_made_is_refused(
        self, options: dict[str, object], message: str, tmp_path: Path
    ) -> None:
        with pytest.raises(errors.ParameterError, match=message):
            make_series(tmp_path, **options)

    def test_a_folder_that_holds_something_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "IM1").write_text("a scan")

        with pytest.raises(errors.ParameterError, match="must be empty"):
            make_series(tmp_path)

    def test_a_name_that_is_no_nifti_files_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(errors.ParameterError, match=r"ends with .nii or .nii.gz"):
            make_nifti(tmp_path / "scan.nrrd")

    def test_the_orientation_may_be_given_in_place_of_the_position(self, tmp_path: Path) -> None:
        series = make_series(tmp_path, orientation=[0, 1, 0, 0, 0, -1])

        np.testing.assert_allclose(series.affine[:3, 2], [0, 0.8, 0])
        np.testing.assert_allclose(series.affine[:3, 1], [0, 0, -0.7])
        np.testing.assert_allclose(series.affine[:3, 0], [-2, 0, 0])


def test_importing_the_generator_loads_no_reader() -> None:
    code = "import sys, rhoa.testing; sys.exit(bool({'pydicom', 'nibabel'} & set(sys.modules)))"

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

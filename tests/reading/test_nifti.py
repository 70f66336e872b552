"""NIfTI files: RAS becomes LPS, HU stay exact, and doubtful sides are errors."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from rhoa import errors
from rhoa.reading import inspect, read_ct
from tests.strategies import rotation, rotations

nibabel = pytest.importorskip("nibabel", reason="pip install '.[nifti]'")

SHAPE = (4, 5, 6)  # x, y, z
HU = np.arange(120, dtype=np.int16).reshape(SHAPE) - 60
RAS = np.array([[-2, 0, 0, 50], [0, 1.5, 0, -40], [0, 0, 3, 100], [0, 0, 0, 1.0]])


def save(
    path: Path,
    data: NDArray[Any] = HU,
    *,
    sform: NDArray[np.float64] | None = RAS,
    qform: NDArray[np.float64] | None = None,
    rescale: tuple[float, float] | None = None,
    unit: str = "mm",
) -> Path:
    """Write ``data[x, y, z]`` with the affines given; an absent one has code 0."""
    image = nibabel.Nifti1Image(data, None, dtype=data.dtype)
    image.header.set_sform(sform, code=0 if sform is None else 1)
    image.header.set_qform(qform, code=0 if qform is None else 1)
    image.header.set_xyzt_units(unit)
    if rescale is not None:
        image.header.set_slope_inter(*rescale)
    image.to_filename(path)
    return path


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "scan.nii.gz"


class TestPlace:
    @pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
    def test_a_voxel_is_where_the_file_says_with_left_and_posterior_reversed(
        self, suffix: str, tmp_path: Path
    ) -> None:
        volume = read_ct(save(tmp_path / f"scan{suffix}"))

        assert volume.shape == (6, 5, 4)
        assert volume.spacing_mm == (3.0, 1.5, 2.0)
        for x, y, z in np.ndindex(SHAPE):
            right, anterior, superior, _ = RAS @ [x, y, z, 1]
            np.testing.assert_allclose(volume.to_lps([z, y, x]), [-right, -anterior, superior])
            assert volume.hu[z, y, x] == HU[x, y, z]

    @given(
        turn=rotations(180),
        spacing=st.tuples(*[st.floats(0.3, 6)] * 3),
        origin=st.tuples(*[st.floats(-400, 400)] * 3),
        flips=st.tuples(*[st.sampled_from([-1, 1])] * 3),
    )
    def test_any_rotation_mirroring_spacing_and_origin_comes_back(
        self,
        turn: NDArray[np.float64],
        spacing: tuple[float, float, float],
        origin: tuple[float, float, float],
        flips: tuple[int, int, int],
    ) -> None:
        affine = np.eye(4)
        affine[:3, :3] = turn * np.array(spacing) * np.array(flips)
        affine[:3, 3] = origin
        with TemporaryDirectory() as folder:
            volume = read_ct(save(Path(folder) / "scan.nii", sform=affine))

        index = np.stack(np.indices(SHAPE), axis=-1).reshape(-1, 3)
        ras = index @ affine[:3, :3].T + affine[:3, 3]
        # NIfTI-1 holds its affine in single precision.
        np.testing.assert_allclose(volume.to_lps(index[:, ::-1]), ras * [-1, -1, 1], atol=1e-3)

    def test_the_qform_is_used_where_there_is_no_sform(self, file: Path) -> None:
        volume = read_ct(save(file, sform=None, qform=RAS))

        np.testing.assert_allclose(volume.to_lps([0, 0, 0]), [-50, 40, 100])
        np.testing.assert_allclose(volume.affine[:3, 2], [2, 0, 0])

    def test_two_forms_that_agree_are_read(self, file: Path) -> None:
        moved = RAS.copy()
        moved[0, 3] += 0.4

        assert read_ct(save(file, qform=moved)).shape == (6, 5, 4)

    def test_forms_that_mirror_each_other_are_an_error(self, file: Path) -> None:
        """One reader would take the sform, another the qform: left and right would swap."""
        mirrored = np.diag([2, 2, 2, 1.0])

        with pytest.raises(errors.GeometryError, match="one mirrors the other.*set the code"):
            read_ct(save(file, sform=np.diag([-2, 2, 2, 1.0]), qform=mirrored))

    def test_a_mirror_that_moves_no_corner_far_is_still_an_error(self, file: Path) -> None:
        """A volume of one voxel's width, mirrored about it, keeps its corners."""
        thin = HU[:1]

        with pytest.raises(errors.GeometryError, match="one mirrors the other"):
            read_ct(save(file, thin, sform=np.diag([-2, 2, 2, 1.0]), qform=np.diag([2, 2, 2, 1.0])))

    def test_forms_more_than_half_a_millimetre_apart_are_an_error(self, file: Path) -> None:
        turned = RAS.copy()
        turned[:3, :3] = rotation(0, 0, 5) @ RAS[:3, :3]

        with pytest.raises(errors.GeometryError, match=r"mm apart \(one of them moves"):
            read_ct(save(file, qform=turned))

    def test_a_file_without_any_form_is_an_error(self, file: Path) -> None:
        with pytest.raises(errors.GeometryError, match="neither sform nor qform"):
            read_ct(save(file, sform=None))

    @pytest.mark.parametrize("value", [np.nan, np.inf])
    def test_an_affine_that_is_not_finite_is_an_error(self, value: float, file: Path) -> None:
        affine = RAS.copy()
        affine[1, 3] = value

        with pytest.raises(errors.GeometryError, match="affine holds NaN"):
            read_ct(save(file, sform=affine))

    def test_sheared_voxels_are_an_error(self, file: Path) -> None:
        affine = RAS.copy()
        affine[1, 2] = 3 * np.tan(np.radians(15))

        with pytest.raises(errors.GeometryError, match="sheared by 15.0 deg"):
            read_ct(save(file, sform=affine))

    def test_metres_are_not_taken_for_millimetres(self, file: Path) -> None:
        with pytest.raises(errors.GeometryError, match="unit is meter"):
            read_ct(save(file, unit="meter"))
        assert read_ct(save(file, unit="unknown")).spacing_mm == (3.0, 1.5, 2.0)


class TestValues:
    @pytest.mark.parametrize("kind", ["u1", "i2", "u2", "i4", "i8"])
    def test_integers_that_fit_are_int16(self, kind: str, file: Path) -> None:
        data = np.abs(HU).astype(kind)

        hu = read_ct(save(file, data)).hu

        assert hu.dtype == np.int16
        np.testing.assert_array_equal(hu.T, data)

    def test_integers_beyond_int16_are_float32(self, file: Path) -> None:
        hu = read_ct(save(file, HU.astype(np.int32) + 40000)).hu

        assert hu.dtype == np.float32
        np.testing.assert_array_equal(hu.T, HU + 40000.0)

    @pytest.mark.parametrize("kind", ["f4", "f8"])
    def test_floats_stay_floats(self, kind: str, file: Path) -> None:
        hu = read_ct(save(file, (HU + 0.25).astype(kind))).hu

        assert hu.dtype == np.float32
        np.testing.assert_array_equal(hu.T, HU + 0.25)

    def test_a_whole_slope_and_intercept_stay_exact(self, file: Path) -> None:
        hu = read_ct(save(file, rescale=(2, -24))).hu

        assert hu.dtype == np.int16
        np.testing.assert_array_equal(hu.T, HU * 2 - 24)

    def test_a_fractional_slope_gives_float32(self, file: Path) -> None:
        hu = read_ct(save(file, rescale=(0.5, 10))).hu

        assert hu.dtype == np.float32
        np.testing.assert_array_equal(hu.T, HU / 2 + 10)

    def test_voxels_that_are_not_finite_are_counted(self, file: Path) -> None:
        data = HU.astype(np.float32)
        data[0, 0, :2] = np.nan
        data[1, 1, 1] = np.inf

        with pytest.raises(errors.PixelDataError, match="3 voxels are NaN or infinite.*-1024"):
            read_ct(save(file, data))

    def test_padding_becomes_air_and_overshoot_stays(self, file: Path) -> None:
        data = HU.copy()
        data[0, 0, :3] = [-3024, -2000, -1207]

        volume = read_ct(save(file, data))

        assert volume.hu[:3, 0, 0].tolist() == [-1024, -1024, -1207]
        assert volume.report["padding_voxels"] == 2

    def test_colours_are_no_ct(self, file: Path) -> None:
        rgb = np.zeros(SHAPE, [("R", "u1"), ("G", "u1"), ("B", "u1")])

        with pytest.raises(errors.PixelDataError, match="are no CT"):
            read_ct(save(file, rgb))


class TestFile:
    def test_a_fourth_dimension_of_one_is_dropped_and_of_more_refused(self, file: Path) -> None:
        assert read_ct(save(file, HU[..., None])).shape == (6, 5, 4)
        with pytest.raises(errors.ReadError, match=r"3-D; this file has the shape \(4, 5, 6, 2\)"):
            read_ct(save(file, np.stack([HU, HU], axis=-1)))

    def test_the_size_is_checked_before_the_voxels_are_read(self, file: Path) -> None:
        save(file)
        header = nibabel.load(file).header
        header.set_data_shape((30000, 30000, 30000))
        bomb = file.with_name("bomb.nii")
        bomb.write_bytes(header.binaryblock + bytes(4))

        with pytest.raises(errors.ReadError, match="max_bytes"):
            read_ct(bomb)
        with pytest.raises(errors.ReadError, match="max_bytes = 239"):
            read_ct(file, max_bytes=239)
        assert read_ct(file, max_bytes=240).hu.nbytes == 240

    @pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
    def test_a_file_cut_short_is_an_error(self, suffix: str, tmp_path: Path) -> None:
        path = save(tmp_path / f"cut{suffix}", np.random.default_rng(0).integers(0, 99, SHAPE))
        content = path.read_bytes()

        for cut in (0, 100, len(content) - 60):
            path.write_bytes(content[:cut])
            with pytest.raises(errors.ReadError, match=path.name):
                read_ct(path)

    def test_what_is_no_nifti_says_so(self, file: Path) -> None:
        file.write_bytes(b"CANARY" * 100)

        with pytest.raises(errors.ReadError, match="not a NIfTI file") as caught:
            read_ct(file)
        assert "CANARY" not in str(caught.value)

    def test_an_absent_file_is_missing(self, file: Path) -> None:
        with pytest.raises(errors.MissingFileError, match=r"scan.nii.gz: no such file"):
            read_ct(file)

    def test_series_is_for_dicom(self, file: Path) -> None:
        with pytest.raises(errors.ParameterError, match="series= is for DICOM"):
            read_ct(save(file), series=0)

    def test_inspect_tells_what_read_ct_would_do(self, file: Path) -> None:
        (good,) = inspect(save(file))
        assert (good.verdict, good.slices, good.rows, good.columns) == ("volume", 6, 5, 4)
        assert good.spacing_mm == (3.0, 1.5, 2.0)

        (bad,) = inspect(save(file, sform=None))
        assert bad.verdict == "refused"
        assert "neither sform nor qform" in bad.reason

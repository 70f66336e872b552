"""Radiograph: positions, square pixels and files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import rhoa
from tests.pictures import text_of
from tests.strategies import rotation
from tests.test_picture import decode_png


def image(shape: tuple[int, int] = (4, 6)) -> rhoa.Radiograph:
    pixels = np.random.default_rng(0).normal(0, 1e4, shape).astype(np.float32)
    alignment = rhoa.Alignment(rotation(5, 3, -7).T, np.array([10.0, -20.0, 30.0]))
    return rhoa.Radiograph(pixels, (2.0, 1.0), (-3.0, 50.0), alignment, {"kind": "CT-AP"})


def test_rows_run_down_and_columns_to_the_patients_left() -> None:
    assert image().to_mm(0, 0) == (-3.0, 50.0)
    assert image().to_mm(1, 2) == (-1.0, 48.0)
    assert image().to_pixel(-1.0, 48.0) == (1.0, 2.0)


def test_square_pixels_cover_the_same_field() -> None:
    square = image().square()

    assert square.shape == (8, 6)
    assert square.pixel_mm == (1.0, 1.0)
    assert square.to_mm(-0.5, -0.5) == image().to_mm(-0.5, -0.5)
    assert square.pixels.mean() == pytest.approx(image().pixels.mean(), rel=1e-3)


def test_square_pixels_are_square_and_centred_on_any_grid() -> None:
    pixels = np.tile(np.arange(7, dtype=np.float32), (3, 1))
    oblong = rhoa.Radiograph(pixels, (1.0, 0.81), (10.0, 20.0))

    square = oblong.square()

    assert square.pixel_mm == (0.81, 0.81)
    assert square.shape == (4, 7)
    middle = np.add(square.to_mm(-0.5, -0.5), square.to_mm(3.5, 6.5)) / 2
    np.testing.assert_allclose(middle, oblong.to_mm(1, 3))
    np.testing.assert_allclose(square.pixels, np.tile(np.arange(7), (4, 1)), atol=1e-5)


def test_it_is_an_array() -> None:
    assert np.array_equal(np.asarray(image()), image().pixels)
    assert np.asarray(image(), dtype=np.float64).dtype == np.float64


def test_a_png_is_square_16_bit_and_leads_back_to_the_values(tmp_path: Path) -> None:
    image().save(tmp_path / "ct-ap.png")

    grey, _ = decode_png((tmp_path / "ct-ap.png").read_bytes())
    square = image().square().pixels
    assert grey.shape == (8, 6)
    black, white = (float(text_of(tmp_path / "ct-ap.png")[name]) for name in ("black", "white"))
    np.testing.assert_allclose(
        black + grey / 65535 * (white - black), square, atol=(white - black) / 65535
    )


def test_an_npz_loses_nothing(tmp_path: Path) -> None:
    image().save(tmp_path / "ct-ap.npz")

    with np.load(tmp_path / "ct-ap.npz", allow_pickle=False) as content:
        assert np.array_equal(content["pixels"], image().pixels)
        assert content["pixel_mm"].tolist() == [2.0, 1.0]
        assert content["origin_mm"].tolist() == [-3.0, 50.0]
        np.testing.assert_array_equal(content["alignment_matrix"], image().alignment.matrix)
        assert json.loads(str(content["provenance"])) == {"kind": "CT-AP"}


def test_a_saved_npz_comes_back_with_its_pelvis(tmp_path: Path) -> None:
    landmarks = rhoa.Landmarks((112, 3, 93), (-112, 0, 93), (14, 0, 0), (-14, 0, 0))
    volume = rhoa.Volume.from_array(np.zeros((9, 8, 7)), (10, 10, 10))
    posed = rhoa.ctap(volume, pose=landmarks)
    posed.save(tmp_path / "a.npz")

    again = rhoa.Radiograph.load(tmp_path / "a.npz")

    assert np.array_equal(again.pixels, posed.pixels)
    assert np.array_equal(again.coverage_mm, posed.coverage_mm)
    assert np.array_equal(again.alignment.matrix, posed.alignment.matrix)
    assert again.alignment.angles == posed.alignment.angles
    assert again.alignment.quality == posed.alignment.quality
    assert again.origin_mm == posed.origin_mm


def test_a_pose_and_its_flags_come_back_as_they_were_not_as_the_landmarks_say(
    tmp_path: Path,
) -> None:
    landmarks = rhoa.Landmarks((112, 3, 93), (-112, 0, 93), (14, 0, 0), (-14, 0, 0))
    tilted = rhoa.Alignment(
        rotation(11, 0, 0).T, np.zeros(3), landmarks, {"mirror": 1.5}, frozenset({"by_hand"})
    )
    rhoa.Radiograph(np.zeros((3, 3)), (1, 1), alignment=tilted).save(tmp_path / "a.npz")

    again = rhoa.Radiograph.load(tmp_path / "a.npz").alignment

    assert again.angles.tilt == pytest.approx(11)
    assert again.flags == {"by_hand"}
    assert again.quality == {"mirror": 1.5}


def test_what_is_no_saved_radiograph_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.npz").write_bytes(b"PK nothing")

    with pytest.raises(rhoa.RhoaError, match=r"a\.npz: not a radiograph saved as \.npz"):
        rhoa.Radiograph.load(tmp_path / "a.npz")
    with pytest.raises(rhoa.RhoaError, match=r"b\.npz: no such radiograph"):
        rhoa.Radiograph.load(tmp_path / "b.npz")


def test_a_nifti_lies_in_patient_space(tmp_path: Path) -> None:
    """A pixel's RAS position from the file is its AP position through the alignment."""
    nibabel = pytest.importorskip("nibabel", reason="needs extra nifti")
    image().save(tmp_path / "ct-ap.nii.gz")

    file = nibabel.load(tmp_path / "ct-ap.nii.gz")
    assert file.header.get_xyzt_units()[0] == "mm"
    assert (int(file.header["qform_code"]), int(file.header["sform_code"])) == (1, 1)
    np.testing.assert_allclose(file.get_qform(), file.affine, atol=1e-4)
    row, column = 3, 5
    x, z = image().to_mm(row, column)
    left, posterior, superior = image().alignment.to_lps([x, 0, z])
    ras = file.affine @ [column, 0, row, 1]
    np.testing.assert_allclose(ras[:3], [-left, -posterior, superior], atol=1e-4)
    assert file.get_fdata()[column, 0, row] == image().pixels[row, column]


def test_an_unknown_suffix_names_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(rhoa.RhoaError, match=r"a\.bmp: unknown image format; use \.png, \.npz"):
        image().save(tmp_path / "a.bmp")


def test_notebooks_show_a_png() -> None:
    grey, _ = decode_png(image()._repr_png_())  # the notebook protocol

    assert grey.dtype == np.uint8
    assert grey.shape == (8, 6)


def test_pixels_must_be_two_dimensional() -> None:
    with pytest.raises(rhoa.RhoaError, match="pixels must be a 2-D array; got 3-D"):
        rhoa.Radiograph(np.zeros((2, 2, 2)), (1, 1))

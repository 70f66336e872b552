"""Left, right, up and down, from files to the image, however the patient lay or was stored."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import rhoa
from tests.reading.enhanced import write_enhanced
from tests.reading.series import PATIENT_POSITIONS, VoxelGrid, write_series
from tests.strategies import rotation

DIRECTIONS = {"L": (1, 0, 0), "R": (-1, 0, 0), "P": (0, 1, 0), "A": (0, -1, 0), "S": (0, 0, 1),
              "I": (0, 0, -1)}  # fmt: skip  # LPS
ORIENTATIONS = [
    row + column
    for row, column in itertools.permutations(DIRECTIONS, 2)
    if not np.dot(DIRECTIONS[row], DIRECTIONS[column])
]
"""Directions of growing column index and of growing row index: 24 pairs at a right angle."""


def write_dicom(path: Path, grid: VoxelGrid, hu: NDArray[np.int64]) -> Path:
    write_series(path, grid, hu=hu)
    return path


def write_multiframe(path: Path, grid: VoxelGrid, hu: NDArray[np.int64]) -> Path:
    return write_enhanced(path.with_suffix(".dcm"), grid, hu=hu)


def write_nifti(path: Path, grid: VoxelGrid, hu: NDArray[np.int64]) -> Path:
    nibabel = pytest.importorskip("nibabel", reason="pip install '.[nifti]'")
    affine = np.eye(4)
    affine[:3, :3] = (axes_of(grid) * np.array(grid.spacing_mm))[:, ::-1]
    affine[:3, 3] = grid.origin_mm
    ras = np.diag([-1, -1, 1, 1]) @ affine
    nibabel.Nifti1Image(hu.T.astype(np.int16), ras).to_filename(path.with_suffix(".nii.gz"))
    return path.with_suffix(".nii.gz")


def write_nrrd(path: Path, grid: VoxelGrid, hu: NDArray[np.int64]) -> Path:
    return write_itk(path.with_suffix(".nrrd"), grid, hu)


def write_ras_nrrd(path: Path, grid: VoxelGrid, hu: NDArray[np.int64]) -> Path:
    """As a program writes it that thinks in RAS."""
    ras = VoxelGrid(
        *(np.array(way) * [-1, -1, 1] for way in (grid.along_row, grid.along_column)),
        grid.spacing_mm,
        np.array(grid.origin_mm) * [-1, -1, 1],
        grid.shape,
    )
    file = write_itk(path.with_suffix(".nrrd"), ras, hu)
    content = file.read_bytes()
    assert content.count(b"left-posterior-superior") == 1
    file.write_bytes(content.replace(b"left-posterior-superior", b"right-anterior-superior"))
    return file


def write_metaimage(path: Path, grid: VoxelGrid, hu: NDArray[np.int64]) -> Path:
    return write_itk(path.with_suffix(".mha"), grid, hu)


def write_itk(file: Path, grid: VoxelGrid, hu: NDArray[np.int64]) -> Path:
    sitk = pytest.importorskip("SimpleITK", reason="pip install '.[itk]'")
    image = sitk.GetImageFromArray(hu.astype(np.int16))
    image.SetSpacing(grid.spacing_mm[::-1])
    image.SetOrigin(np.array(grid.origin_mm, float).tolist())
    image.SetDirection(axes_of(grid)[:, ::-1].ravel().tolist())
    sitk.WriteImage(image, str(file))
    return file


def axes_of(grid: VoxelGrid) -> NDArray[np.float64]:
    """Unit vectors of slices, rows and columns, in columns."""
    return np.stack([grid.normal, grid.along_column, grid.along_row], axis=1).astype(np.float64)


FORMATS = {
    "DICOM": write_dicom,
    "enhanced": write_multiframe,
    "NIfTI": write_nifti,
    "NRRD": write_nrrd,
    "RAS NRRD": write_ras_nrrd,
    "MetaImage": write_metaimage,
}


def marked_series(folder: Path, position: str) -> tuple[VoxelGrid, np.ndarray]:
    """A series of flesh with one bright voxel: the one most left, superior and posterior."""
    grid = VoxelGrid(*PATIENT_POSITIONS[position], spacing_mm=(2.0, 1.5, 1.0), shape=(9, 10, 11))
    places = grid.lps()
    marker = np.unravel_index((places @ [1.0, 0.2, 1.0]).argmax(), grid.shape)
    hu = np.full(grid.shape, 40, np.int64)
    hu[marker] = 600
    write_series(folder, grid, hu=hu)
    return grid, places[marker]


@pytest.mark.parametrize("write", FORMATS.values(), ids=FORMATS)
@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_the_left_is_on_the_right_for_every_orientation_in_every_format(
    orientation: str, write: Callable[[Path, VoxelGrid, NDArray[np.int64]], Path], tmp_path: Path
) -> None:
    """One bright voxel, left, posterior and superior of the middle by different numbers of mm."""
    grid = VoxelGrid(*(DIRECTIONS[way] for way in orientation), shape=(9, 10, 11))
    places = grid.lps()
    away = places - places.reshape(-1, 3).mean(axis=0)
    marker = np.unravel_index((away @ [1.0, 0.9, 0.8]).argmax(), grid.shape)
    hu = np.full(grid.shape, 40, np.int64)
    hu[marker] = 600

    volume = rhoa.read_ct(write(tmp_path / "scan", grid, hu))
    image = rhoa.ctap(volume)

    bright = np.unravel_index(volume.hu.argmax(), volume.shape)
    np.testing.assert_allclose(volume.to_lps(bright), places[marker], atol=1e-4)
    assert (away[marker] > 3).all()
    row, column = np.unravel_index(image.pixels.argmax(), image.shape)
    assert (row, column) == (0, image.shape[1] - 1)
    assert image.to_mm(row, column) == pytest.approx(places[marker][[0, 2]])


@pytest.mark.parametrize("position", PATIENT_POSITIONS)
def test_the_patients_left_is_on_the_right_and_superior_is_up(
    tmp_path: Path, position: str
) -> None:
    _, marker = marked_series(tmp_path, position)

    image = rhoa.ctap(rhoa.read_ct(tmp_path))

    row, column = np.unravel_index(image.pixels.argmax(), image.shape)
    assert row == 0
    assert column == image.shape[1] - 1
    assert image.to_mm(row, column) == pytest.approx((marker[0], marker[2]))


@pytest.mark.parametrize("position", PATIENT_POSITIONS)
def test_a_posed_image_shows_the_marker_where_the_alignment_says(
    tmp_path: Path, position: str
) -> None:
    grid, marker = marked_series(tmp_path, position)
    alignment = rhoa.Alignment(rotation(8, -5, 10).T, grid.lps().reshape(-1, 3).mean(axis=0))

    image = rhoa.ctap(rhoa.read_ct(tmp_path), pose=alignment, window=(40, 600), pixel_mm=0.5)

    row, column = np.unravel_index(image.pixels.argmax(), image.shape)
    x, _, z = alignment.to_ap(marker)
    np.testing.assert_allclose(image.to_mm(row, column), (x, z), atol=0.75)
    assert column > image.shape[1] / 2
    assert row < image.shape[0] / 2


@pytest.mark.filterwarnings("ignore:the values are no Hounsfield units")  # of a ball in a block
@pytest.mark.parametrize("position", PATIENT_POSITIONS)
def test_the_left_hip_box_holds_what_is_on_the_left(tmp_path: Path, position: str) -> None:
    """Landmarks in patient space and the image agree on the side, in every position."""
    grid = VoxelGrid(*PATIENT_POSITIONS[position], spacing_mm=(6.0, 6.0, 6.0), shape=(50, 50, 50))
    places = grid.lps()
    middle = places.reshape(-1, 3).mean(axis=0)
    landmarks = rhoa.Landmarks(
        *(
            middle + np.array(point) - (0, 51, 22)
            for point in ((112, 0, 93), (-112, 0, 93), (14, 0, 0), (-14, 0, 0))
        )
    )
    hu = np.full(grid.shape, 40, np.int64)
    hu[np.linalg.norm(places - middle - (81, 0, 0), axis=-1) < 24] = 500
    write_series(tmp_path, grid, hu=hu)

    image = rhoa.ctap(rhoa.read_ct(tmp_path), pose=landmarks)
    crops = {
        side: rhoa.hips.crop(image, box, mirror=False)
        for side, box in rhoa.hips.boxes(image).items()
    }

    assert crops["left"][45:55, 45:55].mean() > crops["left"][:10, :10].mean() + 1000
    assert np.ptp(crops["right"]) < 0.5 * np.ptp(crops["left"])

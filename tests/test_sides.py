"""Left, right, up and down, from DICOM files to the image, however the patient lay."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import rhoa
from tests.reading.series import PATIENT_POSITIONS, Grid, write_series
from tests.strategies import rotation


def marked_series(folder: Path, position: str) -> tuple[Grid, np.ndarray]:
    """A series of flesh with one bright voxel: the one most left, superior and posterior."""
    grid = Grid(*PATIENT_POSITIONS[position], spacing_mm=(2.0, 1.5, 1.0), shape=(9, 10, 11))
    places = grid.lps()
    marker = np.unravel_index((places @ [1.0, 0.2, 1.0]).argmax(), grid.shape)
    hu = np.full(grid.shape, 40, np.int64)
    hu[marker] = 600
    write_series(folder, grid, hu=hu)
    return grid, places[marker]


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


@pytest.mark.parametrize("position", PATIENT_POSITIONS)
def test_the_left_hip_box_holds_what_is_on_the_left(tmp_path: Path, position: str) -> None:
    """Landmarks in patient space and the image agree on the side, in every position."""
    grid = Grid(*PATIENT_POSITIONS[position], spacing_mm=(6.0, 6.0, 6.0), shape=(50, 50, 50))
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

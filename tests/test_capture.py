"""Images as DICOM Secondary Capture: whole values, right way up, of nobody unless said."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest

from rhoa.dicom.secondary_capture import LONGEST_TEXT, StudyIdentity, secondary_capture
from rhoa.radiograph import Radiograph

pytest.importorskip("highdicom", reason="needs extra dicom-out")
VALUES = np.random.default_rng(2).normal(20_000, 8_000, (30, 40)).astype(np.float32)


def test_values_and_pixel_size_come_back(tmp_path: Path) -> None:
    secondary_capture(VALUES, (0.7, 0.8)).save_as(tmp_path / "image.dcm")

    image = pydicom.dcmread(tmp_path / "image.dcm")

    values = image.pixel_array * float(image.RescaleSlope) + float(image.RescaleIntercept)
    assert np.abs(values - VALUES).max() <= 0.51 * float(image.RescaleSlope)
    assert image.PixelSpacing == [0.7, 0.8]
    assert image.PatientOrientation == ["L", "F"]  # columns toward the left, rows toward the feet
    assert image.SOPClassUID == pydicom.uid.SecondaryCaptureImageStorage
    assert image.BurnedInAnnotation == "NO"


def test_an_image_of_one_value_has_a_usable_slope() -> None:
    image = secondary_capture(np.full((4, 4), 7, np.float32), (1.0, 1.0))

    assert float(image.RescaleSlope) > 0
    assert float(image.RescaleIntercept) == 7


def test_it_is_nobodys_image_unless_said() -> None:
    study = StudyIdentity(
        patient_id="S-12", patient_name="", study_instance_uid="1.2.3", series_number=9
    )

    nobodys, someones = (secondary_capture(VALUES, (1, 1), study=of) for of in (None, study))

    assert not nobodys.PatientID
    assert not nobodys.PatientName
    assert (someones.PatientID, someones.StudyInstanceUID, someones.SeriesNumber) == (
        "S-12",
        "1.2.3",
        9,
    )


def test_a_radiograph_is_saved_with_square_pixels_and_how_it_was_made(tmp_path: Path) -> None:
    image = Radiograph(VALUES, (1.0, 0.5), provenance={"window_hu": (-150, 600)})

    image.save(tmp_path / "ct-ap.dcm")

    written = pydicom.dcmread(tmp_path / "ct-ap.dcm")
    assert (written.Rows, written.Columns) == (60, 40)
    assert written.PixelSpacing == [0.5, 0.5]
    assert written.DerivationDescription == "CT-AP as scanned; window_hu (-150, 600)"
    assert [file.name for file in tmp_path.iterdir()] == ["ct-ap.dcm"]


def test_a_long_description_ends_where_the_standard_says() -> None:
    image = secondary_capture(VALUES, (1, 1), said="depth " * 1000)

    assert len(image.DerivationDescription) == LONGEST_TEXT

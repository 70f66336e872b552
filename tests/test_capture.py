"""Images as DICOM Secondary Capture: whole values, right way up, of nobody unless said."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pydicom
import pytest

from rhoa.dicom.secondary_capture import LONGEST_TEXT, StudyIdentity, secondary_capture
from rhoa.dicom.secondary_capture import write_dicom as write_object
from rhoa.hips import boxes
from rhoa.hips.dicom_report import HipFinding, structured_report
from rhoa.phantom import Anatomy, ct, write_dicom, write_xray, xray
from rhoa.projection import ctap
from rhoa.radiograph import Radiograph

pytest.importorskip("highdicom", reason="needs extra dicom-out")
DCIODVFY = shutil.which("dciodvfy")
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


def test_an_x_ray_says_that_it_is_one(tmp_path: Path) -> None:
    image = Radiograph(VALUES, (1.0, 1.0), provenance={"kind": "X-ray"})

    image.save(tmp_path / "film.dcm")

    written = pydicom.dcmread(tmp_path / "film.dcm")
    assert written.SeriesDescription == "X-ray"
    assert written.DerivationDescription.startswith("X-ray")
    assert written.BodyPartExamined == "PELVIS"


def test_an_identified_image_names_the_slices_it_was_made_from(tmp_path: Path) -> None:
    phantom = ct(Anatomy.random(1), spacing_mm=(20, 8, 8))
    write_dicom(phantom.volume, tmp_path / "one")
    slices = [pydicom.dcmread(file) for file in (tmp_path / "one").iterdir()]
    two = tmp_path / "two"
    write_dicom(phantom.volume, two, seed=1)
    write_dicom(phantom.volume, two / "other", seed=2)

    named, unsure = (
        secondary_capture(VALUES, (1, 1), study=StudyIdentity.of(folder))
        for folder in (tmp_path / "one", two)
    )

    assert {one.ReferencedSOPInstanceUID for one in named.SourceImageSequence} == {
        one.SOPInstanceUID for one in slices
    }
    assert {one.ReferencedSOPClassUID for one in named.SourceImageSequence} == {
        pydicom.uid.CTImageStorage
    }
    assert "SourceImageSequence" not in unsure  # two series: which it was is not known
    assert "SourceImageSequence" not in secondary_capture(VALUES, (1, 1))


@pytest.mark.skipif(DCIODVFY is None, reason="needs dciodvfy (Debian: dicom3tools)")
def test_every_dicom_file_that_rhoa_writes_is_valid(tmp_path: Path) -> None:
    """By dciodvfy, an independent check of objects against the standard's modules."""
    phantom = ct(Anatomy.random(1), spacing_mm=(20, 8, 8))
    write_dicom(phantom.volume, tmp_path / "ct")
    film = xray(Anatomy.random(1), pixel_mm=4.0, voxel_mm=8)
    write_xray(film, tmp_path / "film.dcm")
    image = ctap(phantom.volume, pose=phantom.landmarks)
    image.save(tmp_path / "ct-ap.dcm")
    film.radiograph.save(tmp_path / "saved.dcm")
    box = boxes(image, phantom.landmarks)["left"]
    hips = [
        HipFinding(side="left", box=box, probability=0.3, spread=0.1, flags=("low_confidence",)),
        HipFinding(side="right", kl=2, not_graded="implant: 35 cm3 of metal", flags=("implant",)),
    ]
    for name, study in (("nobody", None), ("patient", StudyIdentity.of(tmp_path / "ct"))):
        both = structured_report(image, hips, models=["0" * 64], study=study)
        for what, dataset in zip(("image", "findings"), both, strict=True):
            write_object(dataset, tmp_path / f"{name}-{what}.dcm")

    files = [next((tmp_path / "ct").iterdir()), *sorted(tmp_path.glob("*.dcm"))]

    assert len(files) == 8
    for file in files:
        checked = subprocess.run(
            [DCIODVFY, "-new", file], capture_output=True, text=True, check=False
        )
        lines = (checked.stdout + checked.stderr).splitlines()
        assert [line for line in lines if line.startswith("Error")] == [], file.name
        assert len(lines) > 1  # the name of the object that it was checked as, and warnings


def test_a_long_description_ends_where_the_standard_says() -> None:
    image = secondary_capture(VALUES, (1, 1), said="depth " * 1000)

    assert len(image.DerivationDescription) == LONGEST_TEXT

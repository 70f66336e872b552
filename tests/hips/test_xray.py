"""X-ray files: grey direction, pixel size, sides."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.uid import DigitalXRayImageStorageForPresentation, ExplicitVRLittleEndian

import rhoa
from rhoa.hips import read_xray

PIXELS = np.arange(12, dtype=np.uint16).reshape(3, 4)


def xray_file(folder: Path, **changes: object) -> Path:
    """A small DX file; a change of None removes the element."""
    dataset = pydicom.Dataset()
    dataset.file_meta = pydicom.dataset.FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = DigitalXRayImageStorageForPresentation
    dataset.file_meta.MediaStorageSOPInstanceUID = pydicom.uid.generate_uid()
    dataset.SOPClassUID = DigitalXRayImageStorageForPresentation
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID
    dataset.Modality = "DX"
    dataset.PatientName = "CANARY^NAME"
    dataset.Rows, dataset.Columns = PIXELS.shape
    dataset.SamplesPerPixel, dataset.PixelRepresentation = 1, 0
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 12, 11
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.PixelSpacing = [0.2, 0.2]
    dataset.PatientOrientation = ["L", "F"]
    dataset.PixelData = PIXELS.tobytes()
    for name, value in changes.items():
        if value is None:
            delattr(dataset, name)
        else:
            setattr(dataset, name, value)
    dataset.save_as(folder / "xray.dcm", enforce_file_format=True)
    return folder / "xray.dcm"


def test_pixels_and_their_size_are_read(tmp_path: Path) -> None:
    image = read_xray(xray_file(tmp_path))

    assert np.array_equal(image, PIXELS)
    assert image.pixel_mm == (0.2, 0.2)


def test_monochrome1_is_turned_so_that_bone_is_bright(tmp_path: Path) -> None:
    image = read_xray(xray_file(tmp_path, PhotometricInterpretation="MONOCHROME1"))

    assert np.array_equal(image, 11 - PIXELS.astype(float))


@pytest.mark.parametrize(
    ("orientation", "expected"),
    [
        (["L", "F"], PIXELS),
        (["R", "F"], PIXELS[:, ::-1]),
        (["L", "H"], PIXELS[::-1]),
        (["RA", "FL"], PIXELS[:, ::-1]),
    ],
)
def test_columns_run_to_the_patients_left(
    tmp_path: Path, orientation: list[str], expected: np.ndarray
) -> None:
    assert np.array_equal(read_xray(xray_file(tmp_path, PatientOrientation=orientation)), expected)


def test_an_unknown_side_is_a_warning(tmp_path: Path) -> None:
    file = xray_file(tmp_path, PatientOrientation=None)

    with pytest.warns(rhoa.RhoaWarning, match="does not say where the patient's left is"):
        read_xray(file)


def test_the_detectors_spacing_serves_where_there_is_no_other(tmp_path: Path) -> None:
    image = read_xray(xray_file(tmp_path, PixelSpacing=None, ImagerPixelSpacing=[0.1, 0.15]))

    assert image.pixel_mm == (0.1, 0.15)


def test_a_picture_needs_its_pixel_size(tmp_path: Path) -> None:
    pillow = pytest.importorskip("PIL.Image", reason="needs Pillow (rhoa[train])")
    pillow.fromarray(PIXELS.astype(np.uint8)).save(tmp_path / "a.png")

    assert np.array_equal(read_xray(tmp_path / "a.png", pixel_mm=0.3), PIXELS)
    with pytest.raises(rhoa.RhoaError, match=r"a\.png: its pixel size is unknown; pass pixel_mm="):
        read_xray(tmp_path / "a.png")


def test_pictures_keep_their_levels_and_are_one_grey_image(tmp_path: Path) -> None:
    pillow = pytest.importorskip("PIL.Image", reason="needs Pillow (rhoa[train])")
    levels = np.linspace(0, 4000, 12, dtype=np.float32).reshape(3, 4)
    pillow.fromarray(levels).save(tmp_path / "float.tif")
    pillow.fromarray(np.zeros((3, 4, 3), np.uint8)).save(tmp_path / "colour.png")
    pages = [pillow.fromarray(PIXELS.astype(np.uint8))] * 2
    pages[0].save(tmp_path / "pages.tif", save_all=True, append_images=pages[1:])

    assert np.array_equal(read_xray(tmp_path / "float.tif", pixel_mm=1), levels)
    for name in ("colour.png", "pages.tif"):
        with pytest.raises(rhoa.RhoaError, match="an X-ray is one grey image"):
            read_xray(tmp_path / name, pixel_mm=1)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"PixelSpacing": None}, "its pixel size is unknown"),
        ({"PixelSpacing": 0.2}, "its pixel size is unknown"),
        ({"PixelData": None}, "holds no image"),
        ({"PixelData": b"\0\0"}, "its pixels cannot be decoded"),
        ({"PhotometricInterpretation": "RGB"}, "an X-ray is grey; this image is RGB|decoded"),
    ],
)
def test_what_is_no_xray_is_refused_without_patient_data(
    tmp_path: Path, changes: dict[str, object], message: str
) -> None:
    file = xray_file(tmp_path, **changes)

    with pytest.raises(rhoa.RhoaError, match=message) as error:
        read_xray(file)

    assert "xray.dcm" in str(error.value)
    assert "CANARY" not in str(error.value)


def test_absent_and_foreign_files_are_named(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no image")

    with pytest.raises(rhoa.RhoaError, match=r"none\.dcm: no such X-ray file"):
        read_xray(tmp_path / "none.dcm")
    with pytest.raises(rhoa.RhoaError, match=r"notes\.txt: not a DICOM file"):
        read_xray(tmp_path / "notes.txt")

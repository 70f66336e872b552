"""Single CT images as DICOM data sets: where they lie, how their values are stored."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import ArrayLike, NDArray
    from pydicom.dataset import FileDataset

INTERCEPT = -1024
ROOT = "1.2.826.0.1.3680043.8.498."
CANARIES = {
    "PatientName": "CANARY^NAME",
    "PatientID": "CANARY-ID",
    "PatientBirthDate": "19010203",
    "AccessionNumber": "CANARY-ACC",
    "InstitutionName": "CANARY-SITE",
    "ReferringPhysicianName": "CANARY^REF",
    "StudyDescription": "CANARY-STUDY",
}
"""What stands where a patient's data would: none of it may ever leave a reader."""

EXPLICIT_LITTLE = "1.2.840.10008.1.2.1"
EXPLICIT_BIG = "1.2.840.10008.1.2.2"
CT_IMAGE = "1.2.840.10008.5.1.4.1.1.2"

PATIENT_POSITIONS = {
    "HFS": ((1, 0, 0), (0, 1, 0)),
    "HFP": ((-1, 0, 0), (0, -1, 0)),
    "HFDL": ((0, -1, 0), (1, 0, 0)),
    "HFDR": ((0, 1, 0), (-1, 0, 0)),
    "FFS": ((-1, 0, 0), (0, 1, 0)),
    "FFP": ((1, 0, 0), (0, -1, 0)),
    "FFDL": ((0, 1, 0), (1, 0, 0)),
    "FFDR": ((0, -1, 0), (-1, 0, 0)),
}
"""How the patient lies: direction of growing column index and of growing row index (LPS), with
image rows horizontal and columns downward in the room (DICOM PS3.3 C.7.3.1.1.2)."""


@dataclass(frozen=True)
class Grid:
    """Where the voxels of a series lie."""

    along_row: ArrayLike = (1, 0, 0)
    along_column: ArrayLike = (0, 1, 0)
    spacing_mm: tuple[float, float, float] = (2.0, 1.5, 1.0)
    """Between slices, rows, columns."""
    origin_mm: ArrayLike = (-20.0, -30.0, 100.0)
    shape: tuple[int, int, int] = (5, 8, 10)

    @property
    def normal(self) -> NDArray[np.float64]:
        """The direction in which slices ascend."""
        normal: NDArray[np.float64] = np.cross(
            np.asarray(self.along_row, np.float64), np.asarray(self.along_column, np.float64)
        )
        return normal

    @property
    def affine(self) -> NDArray[np.float64]:
        """From ``(k, j, i, 1)`` to patient LPS mm."""
        affine = np.eye(4)
        directions = np.array([self.normal, self.along_column, self.along_row], np.float64)
        affine[:3, :3] = (directions * np.array(self.spacing_mm)[:, None]).T
        affine[:3, 3] = self.origin_mm
        return affine

    def lps(self) -> NDArray[np.float64]:
        """Patient LPS mm of every voxel, ``(k, j, i, 3)``, slices ascending along the normal."""
        lps: NDArray[np.float64] = lattice(self.shape) @ self.affine[:3, :3].T + self.affine[:3, 3]
        return lps


def lattice(shape: tuple[int, ...]) -> NDArray[np.float64]:
    """The indices k, j, i of every voxel, ``(k, j, i, 3)``."""
    return np.moveaxis(np.indices(shape), 0, -1).astype(np.float64)


def image_dataset(grid: Grid, k: int, hu: NDArray[np.int64], *, series: str = "1") -> FileDataset:
    """Slice ``k`` as a CT image, 16 bits unsigned, intercept -1024."""
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import UID

    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = UID(CT_IMAGE)
    meta.MediaStorageSOPInstanceUID = UID(f"{ROOT}{series}.{k + 1}")
    image = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    image.SOPClassUID, image.SOPInstanceUID = UID(CT_IMAGE), meta.MediaStorageSOPInstanceUID
    image.StudyInstanceUID = UID(f"{ROOT}99")
    image.SeriesInstanceUID = UID(f"{ROOT}{series}")
    image.FrameOfReferenceUID = UID(f"{ROOT}98")
    image.Modality = "CT"
    image.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    for name, value in CANARIES.items():
        setattr(image, name, value)
    image.SliceThickness = "9"  # never right: nothing may depend on it
    position = np.asarray(grid.origin_mm) + k * grid.spacing_mm[0] * grid.normal
    image.ImagePositionPatient = decimals(position)
    image.ImageOrientationPatient = decimals(
        [*np.ravel(grid.along_row), *np.ravel(grid.along_column)]
    )
    image.PixelSpacing = decimals(grid.spacing_mm[1:])
    set_pixels(image, hu - INTERCEPT)
    image.RescaleSlope, image.RescaleIntercept = "1", str(INTERCEPT)
    return image


def set_pixels(
    image: Any,  # noqa: ANN401  # a data set's elements have no types
    stored: NDArray[np.int64],
    bits: int = 16,
    *,
    signed: bool = False,
) -> None:
    """Give the image these stored values of ``bits`` bits in 16-bit words."""
    image.Rows, image.Columns = stored.shape
    image.SamplesPerPixel, image.PhotometricInterpretation = 1, "MONOCHROME2"
    image.BitsAllocated, image.BitsStored, image.HighBit = 16, bits, bits - 1
    image.PixelRepresentation = int(signed)
    image.PixelData = (stored & ((1 << bits) - 1)).astype("<u2").tobytes()
    image["PixelData"].VR = "OW"


def words(image: Any) -> NDArray[np.uint16]:  # noqa: ANN401  # a data set's elements have no types
    """The pixels of an uncompressed image as the 16-bit words of its file, to be changed."""
    stored = np.frombuffer(image.PixelData, "<u2").reshape(image.Rows, image.Columns)
    return stored.astype(np.uint16)


def save(image: Any, path: Path, syntax: str = EXPLICIT_LITTLE) -> None:  # noqa: ANN401  # see words
    """Write an image with uncompressed pixels in ``syntax``; as it is where that is empty."""
    from pydicom.filewriter import dcmwrite
    from pydicom.uid import UID

    if not syntax:
        image.save_as(path, enforce_file_format=True)
        return
    uid = UID(syntax)
    image.file_meta.TransferSyntaxUID = UID(EXPLICIT_LITTLE)
    if uid.is_compressed and not uid.is_deflated:
        image.compress(uid, generate_instance_uid=False)
    else:
        image.file_meta.TransferSyntaxUID = uid
    if syntax != EXPLICIT_BIG:
        image.save_as(path, enforce_file_format=True)
        return
    image.PixelData = np.frombuffer(image.PixelData, "<u2").byteswap().tobytes()
    dcmwrite(path, image, implicit_vr=False, little_endian=False, force_encoding=True)


def decimals(numbers: ArrayLike) -> list[str]:
    """Decimal strings of up to 16 characters."""
    from pydicom.valuerep import format_number_as_ds

    return [format_number_as_ds(float(number)) for number in np.ravel(numbers)]

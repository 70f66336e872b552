"""Small CT series on disk, right in every respect, or wrong in the one that a test names."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.filewriter import dcmwrite
from pydicom.uid import UID, CTImageStorage, ExplicitVRBigEndian, ExplicitVRLittleEndian
from pydicom.valuerep import format_number_as_ds

INTERCEPT = -1024
ROOT = "1.2.826.0.1.3680043.8.498."

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
        return np.cross(self.along_row, self.along_column)

    def lps(self) -> NDArray[np.float64]:
        """Patient LPS mm of every voxel, ``(k, j, i, 3)``, slices ascending along the normal."""
        k, j, i = np.indices(self.shape)
        dk, dj, di = self.spacing_mm
        return (
            np.asarray(self.origin_mm, np.float64)
            + k[..., None] * dk * self.normal
            + j[..., None] * dj * np.asarray(self.along_column, np.float64)
            + i[..., None] * di * np.asarray(self.along_row, np.float64)
        )


def ramp(lps: NDArray[np.float64]) -> NDArray[np.int64]:
    """HU that tell every place: steeper to the left than to the back than to the head."""
    return np.rint(lps @ [3.0, 2.0, 1.0]).astype(np.int64)


def write_series(
    folder: Path,
    grid: Grid | None = None,
    *,
    hu: NDArray[np.int64] | None = None,
    syntax: UID = ExplicitVRLittleEndian,
    edit: Callable[[int, FileDataset], object] | None = None,
    series: str = "1",
) -> list[Path]:
    """Write ``hu`` (default: `ramp`) slice by slice; names and numbers say nothing of the order.

    ``edit(k, dataset)`` may change slice ``k`` before it is written. The paths are in the order of
    the slices.
    """
    grid = grid or Grid()
    hu = ramp(grid.lps()) if hu is None else hu
    random = np.random.default_rng(0)
    numbers = random.permutation(len(hu))
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for k, (plane, number) in enumerate(zip(hu, numbers, strict=True)):
        image = image_dataset(grid, k, plane, series=series)
        image.InstanceNumber = int(number)
        if edit is not None:
            edit(k, image)
        path = folder / f"{series}-{number:03d}.dcm"
        save(image, path, syntax)
        paths.append(path)
    return paths


def image_dataset(grid: Grid, k: int, hu: NDArray[np.int64], *, series: str = "1") -> FileDataset:
    """Slice ``k`` as a CT image, 16 bits unsigned, intercept -1024."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = CTImageStorage
    meta.MediaStorageSOPInstanceUID = UID(f"{ROOT}{series}.{k + 1}")
    image = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    image.SOPClassUID, image.SOPInstanceUID = CTImageStorage, meta.MediaStorageSOPInstanceUID
    image.SeriesInstanceUID = UID(f"{ROOT}{series}")
    image.Modality = "CT"
    image.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    image.PatientName, image.PatientID = "CANARY^NAME", "CANARY-ID"
    image.SliceThickness = "9"  # never right: nothing may depend on it
    position = np.asarray(grid.origin_mm) + k * grid.spacing_mm[0] * grid.normal
    image.ImagePositionPatient = decimals(position)
    image.ImageOrientationPatient = decimals([*grid.along_row, *grid.along_column])
    image.PixelSpacing = decimals(grid.spacing_mm[1:])
    set_pixels(image, hu - INTERCEPT)
    image.RescaleSlope, image.RescaleIntercept = "1", str(INTERCEPT)
    return image


def set_pixels(
    image: FileDataset, stored: NDArray[np.int64], bits: int = 16, *, signed: bool = False
) -> None:
    """Give the image these stored values of ``bits`` bits in 16-bit words."""
    image.Rows, image.Columns = stored.shape
    image.SamplesPerPixel, image.PhotometricInterpretation = 1, "MONOCHROME2"
    image.BitsAllocated, image.BitsStored, image.HighBit = 16, bits, bits - 1
    image.PixelRepresentation = int(signed)
    image.PixelData = (stored & ((1 << bits) - 1)).astype("<u2").tobytes()
    image["PixelData"].VR = "OW"


def save(image: FileDataset, path: Path, syntax: UID = ExplicitVRLittleEndian) -> None:
    """Write the image in ``syntax``."""
    image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    if syntax.is_compressed and not syntax.is_deflated:
        image.compress(syntax, generate_instance_uid=False)
    else:
        image.file_meta.TransferSyntaxUID = syntax
    if syntax != ExplicitVRBigEndian:
        image.save_as(path, enforce_file_format=True)
        return
    image.PixelData = np.frombuffer(image.PixelData, "<u2").byteswap().tobytes()
    dcmwrite(path, image, implicit_vr=False, little_endian=False, force_encoding=True)


def decimals(numbers: ArrayLike) -> list[str]:
    """Decimal strings of up to 16 characters."""
    return [format_number_as_ds(float(number)) for number in np.ravel(numbers)]

"""X-ray files of the tests: DX images with known pixels, right but for what a test changes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
from numpy.typing import ArrayLike, NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import DigitalXRayImageStorageForPresentation, ExplicitVRLittleEndian

from rhoa.testing.synthetic import CANARIES, save

ROWS, COLUMNS = 70, 90
BITS = 12
WHITE = (1 << BITS) - 1


def truth(rows: int = ROWS, columns: int = COLUMNS) -> NDArray[np.int64]:
    """Grey levels of all 12 bits, no two rows or columns alike: 0 at one corner, WHITE opposite."""
    row, column = np.indices((rows, columns))
    return np.rint(WHITE * (row * columns + column) / (rows * columns - 1)).astype(np.int64)


def dx(stored: ArrayLike | None = None, *, signed: bool = False, bits: int = BITS) -> Dataset:
    """A frontal X-ray of a pelvis that holds ``stored`` (default: `truth`)."""
    values = truth() if stored is None else np.asarray(stored)
    image = Dataset()
    image.preamble = bytes(128)
    image.file_meta = FileMetaDataset()
    image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    image.file_meta.MediaStorageSOPClassUID = DigitalXRayImageStorageForPresentation
    image.SOPClassUID = DigitalXRayImageStorageForPresentation
    image.SOPInstanceUID = pydicom.uid.generate_uid(entropy_srcs=["rhoa"])
    image.file_meta.MediaStorageSOPInstanceUID = image.SOPInstanceUID
    for name, value in CANARIES.items():
        setattr(image, name, value)
    image.Modality, image.BodyPartExamined, image.ViewPosition = "DX", "PELVIS", "AP"
    image.PatientOrientation = ["L", "F"]
    image.PixelSpacing = ["1.5", "2"]
    image.SamplesPerPixel, image.PhotometricInterpretation = 1, "MONOCHROME2"
    image.Rows, image.Columns = values.shape
    image.BitsAllocated, image.BitsStored, image.HighBit = 16, bits, bits - 1
    image.PixelRepresentation = int(signed)
    image.PixelData = (values & ((1 << bits) - 1)).astype("<u2").tobytes()
    image["PixelData"].VR = "OW"
    return image


def write(
    folder: Path,
    image: Dataset | None = None,
    *,
    syntax: str = ExplicitVRLittleEndian,
    **tags: object,
) -> Path:
    """The file of an image whose elements ``tags`` are set, or removed where they are None."""
    image = dx() if image is None else image
    for name, value in tags.items():
        if value is not None:
            setattr(image, name, value)
        elif name in image:
            delattr(image, name)
    path = folder / "xray.dcm"
    save(image, path, syntax)
    return path


def table(first: int, values: ArrayLike, *, bits: int = 16, signed: bool = False) -> list[Dataset]:
    """A look-up table as the items of its sequence."""
    item = Dataset()
    numbers = np.asarray(values)
    item.add_new("LUTDescriptor", "SS" if signed else "US", [len(numbers) & 0xFFFF, first, bits])
    if len(numbers) < 1 << 15:
        item.add_new("LUTData", "US", [int(number) for number in numbers])
    else:  # more than a value of VR US can hold
        item.add_new("LUTData", "OW", numbers.astype("<u2").tobytes())
    return [item]


def code(meaning: str, *modifiers: str) -> list[Dataset]:
    """A code as the items of its sequence; modifiers are of an anatomic region."""
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = "1", "SCT", meaning
    if modifiers:
        item.AnatomicRegionModifierSequence = [code(one)[0] for one in modifiers]
    return [item]

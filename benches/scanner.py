"""A CT series as a scanner writes it: long headers, with private elements and sequences."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from pydicom.dataset import Dataset

from rhoa.testing.synthetic import VoxelGrid, image_dataset, save

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pydicom.dataset import FileDataset

    Progress = Callable[[int, int, str], object]

_ELEMENTS: dict[str, object] = {
    "SpecificCharacterSet": "ISO_IR 100",
    **dict.fromkeys(["StudyDate", "SeriesDate", "AcquisitionDate", "ContentDate"], "20200102"),
    **dict.fromkeys(["StudyTime", "SeriesTime", "AcquisitionTime", "ContentTime"], "101112.345000"),
    "AcquisitionDateTime": "20200102101112.345000",
    "Manufacturer": "ACME", "InstitutionAddress": "Street 1, Town", "StationName": "CT01",
    "SeriesDescription": "Abdomen 1.0 B30f", "PhysiciansOfRecord": "None^Nobody",
    "PerformingPhysicianName": "None^Nobody", "ManufacturerModelName": "Model 64",
    "IrradiationEventUID": "1.2.826.0.1.3680043.8.498.77", "IssuerOfPatientID": "None",
    "PatientSex": "O", "PatientAge": "060Y", "PatientSize": "1.7", "PatientWeight": "70",
    "ContrastBolusAgent": "none", "BodyPartExamined": "ABDOMEN", "SliceThickness": "1",
    "KVP": "120", "DataCollectionDiameter": "500", "DeviceSerialNumber": "00001",
    "SoftwareVersions": "A 1.0", "ProtocolName": "Abdomen", "ContrastBolusVolume": "0",
    "ContrastBolusStartTime": "101112.345000", "ContrastBolusStopTime": "101112.345000",
    "ReconstructionDiameter": "390", "DistanceSourceToDetector": "1085.6",
    "DistanceSourceToPatient": "595", "GantryDetectorTilt": "0", "TableHeight": "145",
    "RotationDirection": "CW", "ExposureTime": "500", "XRayTubeCurrent": "227",
    "Exposure": "133", "FilterType": "FLAT", "GeneratorPower": "26", "FocalSpots": "1.2",
    "DateOfLastCalibration": "20200101", "TimeOfLastCalibration": "101112.345000",
    "ConvolutionKernel": "B30f", "PatientPosition": "HFS", "SingleCollimationWidth": 0.6,
    "TotalCollimationWidth": 38.4, "TableSpeed": 46.0, "TableFeedPerRotation": 23.0,
    "SpiralPitchFactor": 0.6, "DataCollectionCenterPatient": [0.4, -24.6, 1.5],
    "ReconstructionTargetCenterPatient": [0.4, -24.6, 1.5], "ExposureModulationType": "XYZ_EC",
    "EstimatedDoseSaving": 7.1, "CTDIvol": 8.98, "StudyID": "1", "SeriesNumber": "2",
    "AcquisitionNumber": "1", "PositionReferenceIndicator": "", "ImageComments": "",
    "SmallestImagePixelValue": 0, "LargestImagePixelValue": 4095,
    "WindowCenter": ["40", "-600"], "WindowWidth": ["300", "1200"], "RescaleType": "HU",
    "WindowCenterWidthExplanation": ["WINDOW1", "WINDOW2"], "RequestingPhysician": "None^Nobody",
    "RequestedProcedureDescription": "CT abdomen", "PerformedProcedureStepStartDate": "20200102",
    "PerformedProcedureStepStartTime": "101112", "PerformedProcedureStepID": "CT20200102101112",
    "PerformedProcedureStepDescription": "CT abdomen",
}  # fmt: skip  # as they come
_CODES = ("ProcedureCodeSequence", "CTDIPhantomTypeCodeSequence", "RequestedProcedureCodeSequence",
          "PerformedProtocolCodeSequence", "AnatomicRegionSequence")  # fmt: skip
_REFERENCES = ("ReferencedStudySequence", "ReferencedPerformedProcedureStepSequence",
               "ReferencedImageSequence", "SourceImageSequence")  # fmt: skip
_PRIVATE_GROUPS, _PRIVATE_ELEMENTS = (0x0009, 0x0019, 0x0021, 0x0029), 16
_PRIVATE_BYTES = 4000
NOISE_HU = 20


def write(folder: Path, shape: tuple[int, int, int], progress: Progress) -> None:
    """Write a series of 12-bit slices: a bright body in air, 184 elements in each header."""
    grid = VoxelGrid(spacing_mm=(0.8, 0.75, 0.75), origin_mm=(-190, -190, -600), shape=shape)
    random = np.random.default_rng(0)
    body = _body(shape[1:])
    noise = np.rint(random.normal(0, NOISE_HU, (2 * shape[1], shape[2]))).astype(np.int64)
    names = random.permutation(shape[0])
    for k in range(shape[0]):
        first = int(random.integers(shape[1]))
        hu = np.clip(body + noise[first : first + shape[1]], -1024, 3071)
        image = image_dataset(grid, k, hu)
        dress(image, k)
        image.BitsStored, image.HighBit = 12, 11
        save(image, folder / f"IM{names[k]:04d}")
        progress(k + 1, shape[0], "writing slices")


def _body(shape: tuple[int, ...]) -> np.ndarray[Any, np.dtype[np.int64]]:
    """An ellipse of soft tissue with bone in it, in air."""
    y, x = np.meshgrid(*(np.linspace(-1, 1, length) for length in shape), indexing="ij")
    hu = np.full(shape, -1000, np.int64)
    hu[x**2 + (y / 0.7) ** 2 < 0.8] = 40
    hu[(np.abs(x) - 0.4) ** 2 + y**2 < 0.02] = 700
    return hu


def dress(image: FileDataset, k: int) -> None:
    """Add what scanners write: plain elements, nine sequences, four groups of private elements."""
    for keyword, value in _ELEMENTS.items():
        setattr(image, keyword, value)
    image.InstanceNumber, image.SliceLocation = k + 1, f"{-600 + 0.8 * k:.1f}"
    for keyword in _CODES:
        code = Dataset()
        code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = "113691", "DCM", "Phantom"
        setattr(image, keyword, [code])
    for number, keyword in enumerate(_REFERENCES):
        setattr(image, keyword, [_reference(image, number)])
        image[keyword].is_undefined_length = number % 2 == 1  # some writers do, some do not
    for group in _PRIVATE_GROUPS:
        block = image.private_block(group, "ACME HEADER", create=True)
        for number in range(_PRIVATE_ELEMENTS):
            kind, value = (("DS", "1.25"), ("LO", "SOMETHING"), ("US", 7))[number % 3]
            block.add_new(number, kind, value)
    block.add_new(_PRIVATE_ELEMENTS, "OB", bytes(_PRIVATE_BYTES))


def _reference(image: FileDataset, number: int) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID = image.SOPClassUID
    item.ReferencedSOPInstanceUID = f"{image.SOPInstanceUID}.{number}"
    return item

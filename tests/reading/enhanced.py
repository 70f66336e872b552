"""Small enhanced (multi-frame) CT files, right in every respect, or wrong in the one of a test."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileDataset
from pydicom.sequence import Sequence
from pydicom.uid import UID, EnhancedCTImageStorage, ExplicitVRLittleEndian

from tests.reading.series import INTERCEPT, VoxelGrid, decimals, image_dataset, ramp, save

_OF_GROUPS = (
    *("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceThickness"),
    *("RescaleSlope", "RescaleIntercept", "ConvolutionKernel"),
)


def write_enhanced(
    path: Path,
    grid: VoxelGrid | None = None,
    *,
    hu: NDArray[np.int64] | None = None,
    syntax: UID = ExplicitVRLittleEndian,
    edit: Callable[[FileDataset], object] | None = None,
    series: str = "1",
) -> Path:
    """Write ``hu`` (default: `ramp`) as one file; ``edit`` may change it before."""
    image = enhanced_dataset(grid or VoxelGrid(), hu, series=series)
    if edit is not None:
        edit(image)
    path.parent.mkdir(parents=True, exist_ok=True)
    save(image, path, syntax)
    return path


def enhanced_dataset(
    grid: VoxelGrid, hu: NDArray[np.int64] | None = None, *, series: str = "1"
) -> FileDataset:
    """An enhanced CT image whose frames are in the order of `frame_order`."""
    hu = ramp(grid.lps()) if hu is None else hu
    order = frame_order(len(hu))
    image = image_dataset(grid, 0, hu[0], series=series)
    image.SOPClassUID = image.file_meta.MediaStorageSOPClassUID = EnhancedCTImageStorage
    image.ImageType = ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"]
    for name in _OF_GROUPS:
        if name in image:
            delattr(image, name)
    image.NumberOfFrames = len(hu)
    image.PixelData = b"".join((hu[k] - INTERCEPT).astype("<u2").tobytes() for k in order)
    image["PixelData"].VR = "OW"
    image.SharedFunctionalGroupsSequence = Sequence([
        group(
            PixelMeasuresSequence=group(
                PixelSpacing=decimals(grid.spacing_mm[1:]), SliceThickness="9"
            ),
            PlaneOrientationSequence=group(
                ImageOrientationPatient=decimals([*grid.along_row, *grid.along_column])
            ),
            PixelValueTransformationSequence=group(
                RescaleSlope="1", RescaleIntercept=str(INTERCEPT), RescaleType="HU"
            ),
            CTImageFrameTypeSequence=group(
                FrameType=["ORIGINAL", "PRIMARY", "VOLUME", "NONE"],
                VolumeBasedCalculationTechnique="NONE",
            ),
            CTReconstructionSequence=group(ConvolutionKernel="SOFT"),
        )
    ])  # fmt: skip  # one item
    positions = grid.lps()[:, 0, 0]
    image.PerFrameFunctionalGroupsSequence = Sequence([
        group(PlanePositionSequence=group(ImagePositionPatient=decimals(positions[k])))
        for k in order
    ])  # fmt: skip  # one item a frame
    return image


def frame_order(slices: int) -> list[int]:
    """Which slice each frame is: no order that a reader could guess."""
    order: list[int] = np.random.default_rng(slices).permutation(slices).tolist()
    return order


def joined(first: FileDataset, second: FileDataset) -> FileDataset:
    """The frames of both in one file, those of the second last."""
    first.PixelData += second.PixelData
    first["PixelData"].VR = "OW"
    first.NumberOfFrames += second.NumberOfFrames
    for item in second.PerFrameFunctionalGroupsSequence:
        first.PerFrameFunctionalGroupsSequence.append(item)
    return first


def set_frames(image: FileDataset, sequence: str, **elements: object) -> FileDataset:
    """Set elements in a functional group of every frame's own; the image itself."""
    for frame in image.PerFrameFunctionalGroupsSequence:
        if sequence not in frame:
            setattr(frame, sequence, Sequence([Dataset()]))
        for name, value in elements.items():
            setattr(frame[sequence][0], name, value)
    return image


def group(**elements: object) -> Dataset:
    """A data set of these elements; data sets among them become sequences of one item."""
    made = Dataset()
    for name, value in elements.items():
        setattr(made, name, Sequence([value]) if isinstance(value, Dataset) else value)
    return made

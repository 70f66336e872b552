"""Enhanced CT: all slices in one file, their places and scales in functional groups."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from rhoa.testing.draft import Image, defect
from rhoa.testing.images import image_dataset
from rhoa.testing.pixels import known

if TYPE_CHECKING:
    from rhoa.testing.draft import Draft

ENHANCED_CT = "1.2.840.10008.5.1.4.1.1.2.1"


@defect("enhanced", "-", "one enhanced multi-frame file")
def _enhanced(draft: Draft) -> None:
    _merge(draft, draft.images, [("1", 1)] * len(draft.images))


@defect("enhanced-shuffled", "-", "one enhanced multi-frame file, frames in an order of their own")
def _enhanced_shuffled(draft: Draft) -> None:
    frames = [draft.images[n] for n in draft.random.permutation(len(draft.images)).tolist()]
    _merge(draft, frames, [("1", 1)] * len(frames))


@defect("enhanced-stacks", "-", "an enhanced file of two stacks", error="AmbiguousSeriesError")
def _enhanced_stacks(draft: Draft) -> None:
    away = np.asarray(draft.grid.origin_mm) + 400 * draft.grid.normal
    other = draft.slices(replace(draft.grid, origin_mm=away), known(draft) + 7)
    _merge(
        draft, draft.images + other, [(str(1 + n // len(other)), 1) for n in range(2 * len(other))]
    )
    draft.forget()


@defect(
    "enhanced-phases", "-", "an enhanced file of two times at the same places",
    error="AmbiguousSeriesError",
)  # fmt: skip  # a row a defect
def _enhanced_phases(draft: Draft) -> None:
    other = draft.slices(draft.grid, known(draft) + 7)
    _merge(draft, draft.images + other, [("1", 1 + n // len(other)) for n in range(2 * len(other))])
    draft.forget()


def _merge(draft: Draft, frames: list[Image], indices: list[tuple[str, int]]) -> None:
    """One file of all frames; ``indices`` are the stack and the time of each."""
    from pydicom.sequence import Sequence

    merged: Any = image_dataset(draft.grid, 0, known(draft)[0])
    merged.PixelData = b"".join(frame.data.PixelData for frame in frames)
    merged.PerFrameFunctionalGroupsSequence = Sequence(
        [_frame(frame.data, *index) for frame, index in zip(frames, indices, strict=True)]
    )
    shared = _group(
        PixelMeasuresSequence=_group(PixelSpacing=merged.PixelSpacing, SliceThickness="9"),
        PlaneOrientationSequence=_group(ImageOrientationPatient=merged.ImageOrientationPatient),
    )
    merged.SharedFunctionalGroupsSequence = Sequence([shared])
    merged.NumberOfFrames = len(frames)
    merged.SOPClassUID = merged.file_meta.MediaStorageSOPClassUID = ENHANCED_CT
    merged.PatientPosition, merged.InstanceNumber = draft.position, 1
    for name in (
        "PixelSpacing", "SliceThickness", "ImageOrientationPatient", "ImagePositionPatient",
        "RescaleSlope", "RescaleIntercept",
    ):  # fmt: skip  # what only the groups tell
        delattr(merged, name)
    draft.images = [Image("ENHANCED", merged)]


def _frame(data: Any, stack: str, time: int) -> Any:  # noqa: ANN401  # data sets
    return _group(
        FrameContentSequence=_group(StackID=stack, TemporalPositionIndex=time),
        PlanePositionSequence=_group(ImagePositionPatient=data.ImagePositionPatient),
        PixelValueTransformationSequence=_group(
            RescaleSlope=data.RescaleSlope, RescaleIntercept=data.RescaleIntercept, RescaleType="HU"
        ),
        CTImageFrameTypeSequence=_group(FrameType=["ORIGINAL", "PRIMARY", "VOLUME", "NONE"]),
    )


def _group(**elements: Any) -> Any:  # noqa: ANN401  # any element, any value
    """A data set of these elements; data sets among them become sequences of one item."""
    from pydicom.dataset import Dataset
    from pydicom.sequence import Sequence

    group: Any = Dataset()
    for name, value in elements.items():
        setattr(group, name, Sequence([value]) if isinstance(value, Dataset) else value)
    return group

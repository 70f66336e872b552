"""DICOM segmentations (SEG), through highdicom."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, Any

from rhoa.errors import MaskError, MissingFileError, ReadError, RhoaError, require_extra
from rhoa.reading.bounded import shown

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SEGMENTATION_CLASSES = frozenset(
    ["1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.66.7"]  # SEG, Label Map SEG
)


def is_segmentation(given: object) -> bool:
    """Whether it is a DICOM SEG in memory: of highdicom, or a data set of pydicom."""
    return str(getattr(given, "SOPClassUID", "")) in SEGMENTATION_CLASSES


def read_segmentation(path: Path) -> Any:  # noqa: ANN401  # highdicom has no types
    """The data set of a DICOM SEG.

    Raises
    ------
    ReadError
        If the file is absent or something else.
    MissingExtraError
        If highdicom is not installed.
    """
    if not os.path.isfile(path):  # noqa: PTH113  # Path.is_file raises where a name is too long
        raise MissingFileError(f"mask {shown(path)}: no such file or folder; check the path.")
    import pydicom

    try:
        found = pydicom.dcmread(path)
    except Exception as error:  # noqa: BLE001  # damaged files raise anything
        raise ReadError(
            f"mask {shown(path)}: neither NIfTI, NRRD or MetaImage (by its suffix) nor DICOM "
            f"({type(error).__name__}); check the path."
        ) from None
    if not is_segmentation(found):
        raise ReadError(
            f"mask {shown(path)}: this DICOM file holds no segmentation (SEG); pass the file that "
            "does."
        )
    return found


def segments(given: Any, called: str) -> Iterator[tuple[int | None, Any]]:  # noqa: ANN401  # highdicom has no types
    """A ``highdicom.Volume`` of labels, without a number; where segments overlap, one for each.

    Raises
    ------
    MaskError
        If it is of fractions.
    ReadError
        If it is damaged, or its frames are no even stack in the patient.
    MissingExtraError
        If highdicom is not installed.
    """
    seg = require_extra("highdicom", extra="dicom-out", purpose="reading DICOM SEG").seg
    with _explained(called):
        if not isinstance(given, seg.Segmentation):
            given = seg.Segmentation.from_dataset(given, copy=False)
        try:
            whole = given.get_volume(combine_segments=True)
        except RuntimeError:  # segments overlap
            whole = None
        except ValueError:
            if given.SegmentationType != "FRACTIONAL":
                raise
            raise MaskError(
                f"{called}: its values are fractions, as of probabilities; export it as a binary "
                "segmentation."
            ) from None
    if whole is not None:
        yield None, whole
        return
    for number in given.segment_numbers:
        with _explained(called):
            one = given.get_volume(segment_numbers=[number], combine_segments=True, relabel=True)
        yield int(number), one


@contextlib.contextmanager
def _explained(called: str) -> Iterator[None]:
    """Whatever highdicom raises, as what is wrong with the segmentation."""
    try:
        yield
    except RhoaError:
        raise
    except Exception as error:  # noqa: BLE001  # damaged files raise anything
        raise ReadError(
            f"{called}: its frames cannot be read as an even stack of slices "
            f"({type(error).__name__}); export the segmentation on the grid of the scan."
        ) from None

"""An image as DICOM Secondary Capture, for archives and viewers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rhoa._core import __version__
from rhoa.errors import require_extra
from rhoa.picture import grey_range, stretch

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from pydicom.dataset import Dataset

LONGEST_TEXT = 1024
"""Of a description, in characters; the standard's ST ends there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Study:
    """Whose image it is, and which study it joins; by default nobody's, in a study of its own."""

    patient_id: str = ""
    patient_name: str = ""
    study_instance_uid: str | None = None
    series_number: int = 1


def secondary_capture(
    pixels: NDArray[np.float32],
    pixel_mm: tuple[float, float],
    *,
    said: str = "",
    study: Study | None = None,
) -> Dataset:
    """A Secondary Capture of 16 bits with the pixel size and a rescale that gives the values back.

    Parameters
    ----------
    pixels
        2-D; row 0 superior, column 0 the patient's right.
    pixel_mm
        Pixel size (row, column).
    said
        How the image was made, without patient data.
    study
        Whose image it is; nobody's by default.

    Returns
    -------
    pydicom.dataset.Dataset
        Its ``save_as`` writes the file.

    Raises
    ------
    MissingExtraError
        If highdicom is not installed.

    References
    ----------
    DICOM PS3.3 A.8.1, Secondary Capture Image.
    """
    highdicom = require_extra("highdicom", extra="dicom-out", purpose="writing DICOM")
    from pydicom.uid import generate_uid

    of = study or Study()
    black, white = grey_range(pixels)
    image: Dataset = highdicom.sc.SCImage(
        stretch(pixels, bits=16),
        "MONOCHROME2",
        bits_allocated=16,
        coordinate_system="PATIENT",
        study_instance_uid=of.study_instance_uid or generate_uid(prefix=None),
        series_instance_uid=generate_uid(prefix=None),
        series_number=of.series_number,
        sop_instance_uid=generate_uid(prefix=None),
        instance_number=1,
        manufacturer="rhoa",
        manufacturer_model_name="rhoa",
        software_versions=__version__,
        patient_id=of.patient_id or None,
        patient_name=of.patient_name or None,
        pixel_spacing=pixel_mm,
        patient_orientation=("L", "F"),
        series_description="CT-AP",
    )
    image.ImageType = ["DERIVED", "SECONDARY"]
    image.BurnedInAnnotation = "NO"
    image.DerivationDescription = said[:LONGEST_TEXT]
    image.RescaleIntercept = f"{black:.10g}"
    image.RescaleSlope = f"{(white - black) / (2**16 - 1) or 1.0:.10g}"
    image.RescaleType = "US"
    return image

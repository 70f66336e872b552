"""An image as DICOM Secondary Capture, for archives and viewers."""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING, Any, cast

from rhoa._core import __version__
from rhoa.dicom.header import elements_of
from rhoa.errors import ReadError, require_extra
from rhoa.files import atomic_write, list_files, shown
from rhoa.raster import grey_range, stretch

if TYPE_CHECKING:
    from os import PathLike

    import numpy as np
    from numpy.typing import NDArray
    from pydicom.dataset import Dataset

KEYWORDS = {
    "patient_id": "PatientID",
    "study_instance_uid": "StudyInstanceUID",
    "study_id": "StudyID",
}
SOURCE_KEYWORDS = ("SeriesInstanceUID", "SOPClassUID", "SOPInstanceUID")
FORMS = {
    "patient_sex": "[MFO]",
    "patient_birth_date": "[0-9]{8}",
    "study_date": "[0-9]{8}",
    "study_time": r"[0-9]{6}(\.[0-9]{1,6})?",
}
"""Of values that are left out where they are none: nothing wrong is to be written again."""
LONGEST_TEXT = 1024
"""Of a description, in characters; the standard's ST ends there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyIdentity:
    """Whose image it is, and which study it joins; by default nobody's, in a study of its own."""

    patient_id: str = ""
    patient_name: str = ""
    patient_birth_date: str = ""
    patient_sex: str = ""
    study_instance_uid: str | None = None
    study_id: str = ""
    study_date: str = ""
    study_time: str = ""
    accession_number: str = ""
    referring_physician_name: str = ""
    series_number: int = 1
    source_images: tuple[tuple[str, str], ...] = ()
    """SOP class and instance UIDs of the images that the new one was made from."""

    @classmethod
    def of(cls, path: str | PathLike[str], *, series_number: int = 9000) -> StudyIdentity:
        """The patient and the study that the first DICOM image of a scan names, to join it.

        Where all images are of one series, they are the source of what is made from the scan.

        Raises
        ------
        ReadError
            If there is no DICOM image.
        """
        names = {  # SeriesNumber is that of series_number
            name: KEYWORDS.get(name, "".join(word.capitalize() for word in name.split("_")))
            for name in cls._texts()
        }
        sources: dict[str, list[tuple[str, str]]] = {}
        first: dict[str, str] | None = None
        for found in elements_of(list_files(path), [*names.values(), *SOURCE_KEYWORDS]):
            series, *source = (str(found.get(word) or "") for word in SOURCE_KEYWORDS)
            sources.setdefault(series, []).append((source[0], source[1]))
            values = {name: str(found.get(word) or "") for name, word in names.items()}
            if first is None and values["study_instance_uid"]:
                first = values
        if first is None:
            raise ReadError(f"{shown(path)}: no DICOM image names a study; leave the patient out.")
        first |= {name: "" for name, form in FORMS.items() if not re.fullmatch(form, first[name])}
        images = [both for both in next(iter(sources.values())) if all(both)]
        return cls(
            **cast("Any", first),
            series_number=series_number,
            source_images=tuple(images) if len(sources) == 1 else (),
        )

    @classmethod
    def _texts(cls) -> list[str]:
        return [name for name in cls.__slots__ if name not in {"series_number", "source_images"}]

    def named(self) -> dict[str, str | None]:
        """What highdicom asks of every new object; None where nobody is named."""
        values = {name: getattr(self, name) or None for name in self._texts()}
        return values | {"study_instance_uid": self.study_instance_uid or new_uid()}


def _reference(sop_class_uid: str, sop_instance_uid: str) -> Dataset:
    from pydicom.dataset import Dataset

    reference = Dataset()
    reference.ReferencedSOPClassUID = sop_class_uid
    reference.ReferencedSOPInstanceUID = sop_instance_uid
    return reference


def new_uid() -> str:
    """A UID that nothing else has, and that identifies nobody."""
    from pydicom.uid import generate_uid

    return generate_uid(prefix=None)


def secondary_capture(
    pixels: NDArray[np.float32],
    pixel_mm: tuple[float, float],
    *,
    said: str = "",
    description: str = "CT-AP",
    study: StudyIdentity | None = None,
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
    description
        Of the series.
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
    of = study or StudyIdentity()
    black, white = grey_range(pixels)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of names in one word, which are the scan's own
        image: Dataset = highdicom.sc.SCImage(
            stretch(pixels, bits=16),
            "MONOCHROME2",
            bits_allocated=16,
            coordinate_system="PATIENT",
            **of.named(),
            series_instance_uid=new_uid(),
            series_number=of.series_number,
            sop_instance_uid=new_uid(),
            instance_number=1,
            manufacturer="rhoa",
            manufacturer_model_name="rhoa",
            software_versions=__version__,
            pixel_spacing=pixel_mm,
            patient_orientation=("L", "F"),
            series_description=description,
        )
    image.ImageType = ["DERIVED", "SECONDARY"]
    image.BurnedInAnnotation = "NO"
    image.BodyPartExamined = "PELVIS"
    image.DerivationDescription = said[:LONGEST_TEXT]
    if of.source_images:
        image.SourceImageSequence = [_reference(*source) for source in of.source_images]
    image.RescaleIntercept = f"{black:.10g}"
    image.RescaleSlope = f"{(white - black) / (2**16 - 1) or 1.0:.10g}"
    image.RescaleType = "US"
    return image


def write_dicom(dataset: Dataset, path: str | PathLike[str]) -> None:
    """Write a DICOM object as a file, wholly or not at all.

    Raises
    ------
    WriteError
        As `rhoa.files.atomic_write`.
    """
    content = BytesIO()  # where writing it cannot fail
    dataset.save_as(content, enforce_file_format=True)
    atomic_write(path, content.getvalue())

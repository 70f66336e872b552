"""Findings of both hips as a DICOM structured report, beside the image that they were read in.

The report is a Comprehensive SR by the template of measurement reports (PS3.16, TID 1500): one
group of measurements for the pelvis, which has the angles of its pose, and one for each hip, which
has its box as a region of the image, the model's probability, and whatever is flagged. Concepts
that no coding scheme of the standard has are rhoa's own, of the private scheme ``99RHOA``.
"""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from rhoa._core import __version__
from rhoa.dicom.secondary_capture import StudyIdentity, new_uid, secondary_capture
from rhoa.errors import ParameterError, require_extra
from rhoa.hips.annotations import in_picture

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pydicom.dataset import Dataset

    from rhoa._types import Side
    from rhoa.pose import Alignment
    from rhoa.radiograph import Box, Radiograph

SCHEME = "99RHOA"
OWN: Mapping[str, str] = {
    "tilt": "Tilt of the anterior pelvic plane",
    "obliquity": "Obliquity of the pelvis",
    "rotation": "Axial rotation of the pelvis",
    "probability": "Probability of radiographic osteoarthritis of the hip",
    "spread": "Standard deviation of the probability between looks",
    "kl-grade": "Kellgren-Lawrence grade",
    **{
        f"kl-{grade}-probability": f"Probability of Kellgren-Lawrence grade {grade}"
        for grade in range(5)
    },
    "kl-expected": "Expected Kellgren-Lawrence grade",
    "entropy": "Entropy of the probabilities in nats",
    "box-confidence": "Confidence of the box",
    "pelvis-pose": "Pose of the pelvis",
    "hip": "Radiographic assessment of a hip joint",
    "flag": "Flag of quality",
    "not-graded": "Hip not graded",
}
"""Codes of `SCHEME` and what they mean; flags are codes of it too."""
LONGEST_MEANING = 64
"""Characters of a code's meaning (LO)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HipFinding:
    """What is known of one hip."""

    side: Side
    box: Box | None = None
    """In pixels of the image that the report is about."""
    probability: float | None = None
    """Of radiographic osteoarthritis (KL of 2 or more); None where it was not graded."""
    spread: float | None = None
    """Standard deviation of the probability, where there were several views."""
    kl: int | None = None
    """Kellgren-Lawrence grade, where a reader gave one."""
    kl_probabilities: Sequence[float] = ()
    """Of KL 0 to 4, where a model gave them."""
    entropy_nats: float | None = None
    flags: Sequence[str] = ()
    not_graded: str = ""
    """Why there is no probability."""

    def __post_init__(self) -> None:
        if self.side not in {"left", "right"}:
            raise ParameterError(f"side must be left or right; got {self.side!r}.")
        for name in ("probability", "spread"):
            value = getattr(self, name)
            if value is not None and not 0 <= value <= 1:
                raise ParameterError(f"{name} must be from 0 to 1; got {value}.")
        shares = self.kl_probabilities
        if shares and not (len(shares) == 5 and all(0 <= one <= 1 for one in shares)):
            raise ParameterError(f"kl_probabilities must be five shares; got {shares!r}.")
        if self.kl not in {None, 0, 1, 2, 3, 4}:
            raise ParameterError(f"kl must be 0 to 4 or None; got {self.kl!r}.")


def structured_report(
    image: Radiograph,
    hips: Sequence[HipFinding],
    *,
    models: Sequence[str] = (),
    modality: str = "CT",
    study: StudyIdentity | None = None,
) -> tuple[Dataset, Dataset]:
    """The image as DICOM Secondary Capture, and a Comprehensive SR of what was found in it.

    Parameters
    ----------
    image
        A CT-AP, or an X-ray as `rhoa.hips.read_xray` turns it.
    hips
        What is known of each; a hip that is not listed is not in the report.
    models
        What tells the models that graded apart, such as the sha256 of their weights.
    modality
        Of the scan: CT, or XR for an X-ray.
    study
        Whose image it is, and which study it joins; nobody's, in a study of its own, by default.
        `StudyIdentity.of` takes patient and study from the scan.

    Returns
    -------
    tuple of pydicom.dataset.Dataset
        Image and report, in two series of one study; their ``save_as`` writes files.

    Raises
    ------
    MissingExtraError
        If highdicom is not installed.
    ParameterError
        If there is no hip, or two of one side.

    References
    ----------
    DICOM PS3.3 A.35.3, Comprehensive SR; PS3.16, TID 1500, 1410 and 1501.
    """
    if not hips or len({hip.side for hip in hips}) < len(hips):
        raise ParameterError("a report needs one finding of each hip, at most one of a side.")
    sr = require_extra("highdicom", extra="dicom-out", purpose="writing DICOM").sr
    from pydicom.dataset import Dataset

    study, square = study or StudyIdentity(), image.square()
    captured = secondary_capture(square.pixels, square.pixel_mm, said=image.made(), study=study)
    groups = [_of_hip(sr, hip, image, captured, models) for hip in hips]
    if image.alignment is not None:
        groups.insert(0, _of_pelvis(sr, image.alignment, captured))
    # The program observed; no person is named.
    device = sr.DeviceObserverIdentifyingAttributes(
        uid=new_uid(), name="rhoa", manufacturer_name="rhoa", model_name=f"rhoa {__version__}"
    )
    observer = sr.ObserverContext(_codes().DCM.Device, device)
    content = sr.MeasurementReport(
        observation_context=sr.ObservationContext(observer_device_context=observer),
        procedure_reported=getattr(_codes().cid100, f"{modality}UnspecifiedBodyRegion"),
        imaging_measurements=groups,
        title=_codes().DCM.ImagingMeasurementReport,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # as in secondary_capture
        report = sr.ComprehensiveSR(
            evidence=[captured],
            content=content[0],
            series_instance_uid=new_uid(),
            series_number=study.series_number + 1,
            sop_instance_uid=new_uid(),
            instance_number=1,
            manufacturer="rhoa",
            is_complete=True,
        )
    report.SeriesDescription = "Findings of the hips"
    scheme = Dataset()
    scheme.CodingSchemeDesignator = SCHEME
    scheme.CodingSchemeName = "Concepts of rhoa"
    scheme.CodingSchemeResponsibleOrganization = "rhoa"
    report.CodingSchemeIdentificationSequence = [scheme]
    return captured, report


def _of_pelvis(sr: Any, alignment: Alignment, captured: Dataset) -> Any:  # noqa: ANN401  # highdicom
    """Group of the pose: angles, and what is flagged."""
    codes = _codes()
    return sr.MeasurementsAndQualitativeEvaluations(
        tracking_identifier=sr.TrackingIdentifier(uid=new_uid(), identifier="pelvis"),
        finding_type=_own("pelvis-pose"),
        finding_sites=[sr.FindingSite(codes.SCT.Pelvis)],
        measurements=[
            sr.Measurement(_own(name), round(float(angle), 2), codes.UCUM.Degree)
            for name, angle in alignment.angles._asdict().items()
        ],
        qualitative_evaluations=_flags(sr, sorted(alignment.flags)),
        source_images=[sr.SourceImageForMeasurementGroup.from_source_image(captured)],
    )


def _of_hip(
    sr: Any,  # noqa: ANN401  # highdicom
    hip: HipFinding,
    image: Radiograph,
    captured: Dataset,
    models: Sequence[str],
) -> Any:  # noqa: ANN401  # highdicom
    """Group of a hip, about its box in the image; about the image where it has no box."""
    codes = _codes()
    numbers = {
        "probability": hip.probability,
        "spread": hip.spread,
        **{f"kl-{grade}-probability": share for grade, share in enumerate(hip.kl_probabilities)},
        "kl-expected": sum(kl * share for kl, share in enumerate(hip.kl_probabilities))
        if hip.kl_probabilities
        else None,
        "entropy": hip.entropy_nats,
        "box-confidence": None if hip.box is None else hip.box.confidence,
    }
    evaluations = _flags(sr, hip.flags)
    if hip.kl is not None:
        grade = _own(f"kl-{hip.kl}", f"Kellgren-Lawrence grade {hip.kl}")
        evaluations.append(sr.QualitativeEvaluation(_own("kl-grade"), grade))
    if hip.not_graded:
        reason = _own("reason", hip.not_graded)
        evaluations.append(sr.QualitativeEvaluation(_own("not-graded"), reason))
    side = codes.SCT.Left if hip.side == "left" else codes.SCT.Right
    group: dict[str, Any] = {
        "tracking_identifier": sr.TrackingIdentifier(uid=new_uid(), identifier=f"{hip.side} hip"),
        "finding_type": _own("hip"),
        "finding_sites": [sr.FindingSite(codes.SCT.HipJoint, laterality=side)],
        "algorithm_id": sr.AlgorithmIdentification(
            name="rhoa", version=__version__, parameters=[f"model {model}" for model in models]
        ),
        "measurements": [
            sr.Measurement(_own(name), float(value), codes.UCUM.NoUnits)
            for name, value in numbers.items()
            if value is not None
        ],
        "qualitative_evaluations": evaluations,
    }
    if hip.box is None:
        source = sr.SourceImageForMeasurementGroup.from_source_image(captured)
        return sr.MeasurementsAndQualitativeEvaluations(**group, source_images=[source])
    region = _region(sr, hip.box, image, captured)
    return sr.PlanarROIMeasurementsAndQualitativeEvaluations(**group, referenced_region=region)


def _region(sr: Any, box: Box, image: Radiograph, captured: Dataset) -> Any:  # noqa: ANN401
    """The outline of a box in the written picture, from corner to corner and back."""
    (drawn,) = in_picture(image, [box])
    rows, columns = image.square().shape
    left, right = (min(max(edge, 0.0), columns) for edge in (drawn.left, drawn.right))
    top, bottom = (min(max(edge, 0.0), rows) for edge in (drawn.top, drawn.bottom))
    corners = [(left, top), (right, top), (right, bottom), (left, bottom), (left, top)]
    return sr.ImageRegion(
        graphic_type=sr.GraphicTypeValues.POLYLINE,
        graphic_data=np.array(corners),
        source_image=sr.SourceImageForRegion.from_source_image(captured),
    )


def _flags(sr: Any, flags: Sequence[str]) -> list[Any]:  # noqa: ANN401  # highdicom
    return [
        sr.QualitativeEvaluation(_own("flag"), _own(flag, flag.replace("_", " "))) for flag in flags
    ]


def _own(code: str, meaning: str = "") -> Any:  # noqa: ANN401  # highdicom
    """A concept of rhoa's own scheme."""
    highdicom = require_extra("highdicom", extra="dicom-out", purpose="writing DICOM")
    value = re.sub(r"[^A-Za-z0-9.-]+", "-", code)
    return highdicom.sr.CodedConcept(value, SCHEME, (meaning or OWN[code])[:LONGEST_MEANING])


def _codes() -> Any:  # noqa: ANN401  # attributes made on demand
    from pydicom.sr.codedict import codes

    return codes

"""Phantoms as files: a DICOM series, an X-ray, a cohort; and images with the box of each hip."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple, get_args

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import (
    CTImageStorage,
    DigitalXRayImageStorageForPresentation,
    ExplicitVRLittleEndian,
    generate_uid,
)

from rhoa._types import SIDES
from rhoa.cohort.builder import COLUMNS
from rhoa.errors import ParameterError, require_choice, require_count, require_positive
from rhoa.files import atomic_write, csv_text
from rhoa.hips.bounding_boxes import boxes
from rhoa.hips.femoral_heads import joints
from rhoa.parallel import side_by_side
from rhoa.phantom.anatomy import Anatomy, Surroundings
from rhoa.phantom.radiography import NUMBER_OF_LEVELS, VOXEL_MM, xray
from rhoa.phantom.voxelize import ct
from rhoa.pose import from_landmarks
from rhoa.projection import ctap
from rhoa.volume import Volume

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from os import PathLike

    from pydicom.uid import UID

    from rhoa._types import Side
    from rhoa.cohort.manifest import Source
    from rhoa.phantom.anatomy import JointDisease
    from rhoa.phantom.radiography import XRay
    from rhoa.radiograph import Box, Radiograph

    Row = dict[str, object]


# Phantoms as files: a DICOM series, an X-ray, and a whole cohort as a user's would lie.

INTERCEPT_HU = -1024
XRAY_BITS = 12
# How often each KL grade is met in a cohort, and how alike the hips of one subject are.
KL_SHARES = (0.40, 0.10, 0.22, 0.16, 0.12)
SAME_GRADE = 0.5
# How often a hip is a grade worse at the next visit.
PROGRESSION = 0.12
# Spread of the pose of patients on a CT table, degrees: tilt, obliquity, rotation.
POSE_SD_DEG = (6.0, 2.0, 3.0)

Difficulty = Literal["plain", "hard"]


@dataclass(frozen=True, slots=True)
class _Hard:
    """What a hard cohort changes; fixed by reasoning, before anything was trained on it."""

    sign_share: float = 0.6  # how much of each sign is left
    sign_spread: float = 0.5  # and its spread (logarithm), of each sign by itself
    narrowing_sd_mm: float = 0.5  # spread of joint spaces that has nothing to do with the grade
    osteophyte_sd_mm: float = 1.0
    sclerosis_sd: float = 0.12
    misread: float = 0.25  # share of hips whose reader is a grade off
    body: tuple[float, float] = (1.0, 1.2)  # more soft tissue
    pose_sd_deg: tuple[float, float, float] = (9.0, 3.0, 5.0)
    ct_noise_hu: tuple[float, float] = (20.0, 70.0)
    ct_blur_mm: tuple[float, float] = (0.3, 1.2)  # from sharp to soft kernels
    bladder_hu: tuple[float, float] = (0.0, 400.0)
    xray_pixel: tuple[float, float] = (0.8, 1.4)  # of the size asked for
    gamma: tuple[float, float] = (0.6, 1.7)
    edges: tuple[float, float] = (0.0, 1.5)  # enhancement of what is finer than 1.5 mm
    flattened: tuple[float, float] = (0.3, 0.8)  # share taken from what is coarser than 25 mm
    xray_noise: tuple[float, float] = (10.0, 60.0)  # grey levels
    collimated_mm: tuple[float, float] = (0.0, 25.0)


_HARD = _Hard()


def write_dicom(
    volume: Volume, folder: str | PathLike[str], *, subject: str = "PHANTOM", seed: int = 0
) -> None:
    """Write a volume as a CT series: one uncompressed DICOM file a slice, in shuffled order.

    File names and InstanceNumber say nothing about the order of the slices, as in real archives:
    positions do.

    Raises
    ------
    ParameterError
        If HU are not integers of -1024 or more.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    if volume.hu.dtype.kind not in "iu" or volume.hu.min(initial=0) < INTERCEPT_HU:
        raise ParameterError("a CT series holds whole HU of -1024 or more.")
    stored = (volume.hu.astype(np.int32) - INTERCEPT_HU).astype("<u2")
    order = np.random.default_rng([seed, 3]).permutation(len(stored))
    series, study = (_uid(subject, seed, what) for what in ("series", "study"))
    directions = volume.affine[:3, :3] / volume.spacing_mm
    for number, k in enumerate(order.tolist()):
        file = _file(CTImageStorage, _uid(subject, seed, f"slice {k}"), subject)
        file.Modality, file.BodyPartExamined = "CT", "PELVIS"
        file.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
        file.StudyInstanceUID, file.SeriesInstanceUID = study, series
        file.FrameOfReferenceUID = _uid(subject, seed, "frame")
        file.PositionReferenceIndicator, file.KVP, file.AcquisitionNumber = "", None, 1
        file.InstanceNumber = number + 1
        file.PatientPosition = "HFS"
        file.ImageOrientationPatient = _decimals([*directions[:, 2], *directions[:, 1]])
        file.ImagePositionPatient = _decimals(volume.to_lps([k, 0, 0]))
        file.PixelSpacing = _decimals(volume.spacing_mm[1:])
        file.SliceThickness = _decimals(volume.spacing_mm[:1])[0]
        file.RescaleSlope, file.RescaleIntercept, file.RescaleType = 1, INTERCEPT_HU, "HU"
        _set_pixels(file, stored[k], bits=16)
        file.save_as(folder / f"IM{number:04d}.dcm", enforce_file_format=True)


def write_xray(
    image: XRay, path: str | PathLike[str], *, subject: str = "PHANTOM", visit: int = 0
) -> None:
    """Write an X-ray as a digital X-ray (DX) DICOM file; each visit has identifiers of its own."""
    radiograph = image.radiograph
    seed = image.anatomy.seed
    taken = f"xray {visit}" if visit else "xray"
    file = _file(DigitalXRayImageStorageForPresentation, _uid(subject, seed, taken), subject)
    file.Modality = "DX"
    file.ImageType = ["DERIVED", "PRIMARY"]
    file.BodyPartExamined, file.ViewPosition = "PELVIS", "AP"
    file.StudyInstanceUID = _uid(subject, seed, f"{taken} study")
    file.SeriesInstanceUID = _uid(subject, seed, f"{taken} series")
    file.InstanceNumber = 1
    file.PatientOrientation, file.ImageLaterality = ["L", "F"], "B"
    file.AnatomicRegionSequence = [_code("816092008", "SCT", "Pelvis")]
    file.ViewCodeSequence = [_code("399348003", "SCT", "antero-posterior")]
    file.ViewCodeSequence[0].ViewModifierCodeSequence = []
    file.AcquisitionContextSequence = []
    file.DetectorType, file.PositionerType = "", ""
    # Bright is dense, as in a picture of a film: the logarithm of what came through, turned over.
    file.PixelIntensityRelationship, file.PixelIntensityRelationshipSign = "LOG", -1
    file.RescaleSlope, file.RescaleIntercept, file.RescaleType = 1, 0, "US"
    file.PresentationLUTShape, file.LossyImageCompression = "IDENTITY", "00"
    file.BurnedInAnnotation = "NO"
    file.WindowCenter, file.WindowWidth = 1 << (XRAY_BITS - 1), 1 << XRAY_BITS
    file.ImagerPixelSpacing = file.PixelSpacing = _decimals(radiograph.pixel_mm)
    file.PresentationIntentType = "FOR PRESENTATION"
    _set_pixels(file, radiograph.pixels.astype("<u2"), bits=XRAY_BITS)
    file.save_as(path, enforce_file_format=True)


def write_cohort(
    folder: str | PathLike[str],
    *,
    ct_subjects: int,
    xray_subjects: int,
    visits: int = 1,
    seed: int = 0,
    spacing_mm: tuple[float, float, float] = (2.0, 1.5, 1.5),
    pixel_mm: float = 0.2,
    voxel_mm: float = VOXEL_MM,
    difficulty: Difficulty = "plain",
    progress: Callable[[int, int, str], None] | None = None,
) -> Path:
    """Write a cohort of phantoms as a user's own would lie on disk; the path of its table.

    ``ct/SUBJECT/*.dcm`` with ``ct/SUBJECT.landmarks.json``, ``xray/SUBJECT.dcm``, and ``scans.csv``
    with one row per hip, as `rhoa.cohort.build` reads it. The same seed gives the same cohort.

    ``spacing_mm`` is of the CTs, ``pixel_mm`` of the X-rays, and ``voxel_mm`` of the bodies that
    are X-rayed (see `xray`).

    With several ``visits``, each X-ray subject is X-rayed at each (``xray/SUBJECT_2.dcm``): the
    same bones, positioned anew, with grades that rise by one now and then and never fall. CTs are
    taken once.

    ``difficulty="hard"`` makes signs subtler and less tied to the grade, readers who err, and
    images that differ: CTs in pose, noise, blur and content of the bowel; X-rays in resolution,
    grey-level curve, edge enhancement, noise, collimation and marker. Bones, boxes and landmarks
    are true as before. ``write_cohort(folder, ct_subjects=20, xray_subjects=80,
    difficulty="hard")`` is all that it takes; `rhoa.cohort.build` reads both alike.

    Raises
    ------
    ParameterError
        If a number of subjects is negative, there is no visit, or the difficulty is none.
    """
    folder = Path(folder)
    require_count("seed", seed, least=0)
    require_count("visits", visits)
    require_choice("difficulty", difficulty, get_args(Difficulty))
    hard = difficulty == "hard"
    counts: dict[Source, int] = {
        "ct": require_count("ct_subjects", ct_subjects, least=0),
        "xray": require_count("xray_subjects", xray_subjects, least=0),
    }

    def subject_rows(source_and_number: tuple[Source, int]) -> list[Row]:
        source, number = source_and_number
        random = np.random.default_rng([seed, number, len(source)])
        subject = f"{'CT' if source == 'ct' else 'XR'}-{number + 1:03d}"
        left, right = random.choice(len(KL_SHARES), 2, p=KL_SHARES).tolist()
        right = left if random.random() < SAME_GRADE else right
        bones = int(random.integers(1 << 31))
        anatomy = Anatomy.random(bones, kl_left=left, kl_right=right)
        if source == "ct":
            drawn, read = _harder(anatomy, 0) if hard else (anatomy, anatomy)
            scan = _write_ct(folder, subject, drawn, spacing_mm, random, hard=hard)
            return _rows(subject, source, read, scan)
        rows = []
        for visit in range(visits):
            name = f"{subject}_{visit + 1}" if visits > 1 else subject
            drawn, read = _harder(anatomy, visit) if hard else (anatomy, anatomy)
            taken = np.random.default_rng([bones, 11, visit])
            size = pixel_mm * (taken.uniform(*_HARD.xray_pixel) if hard else 1)
            image = xray(drawn, pixel_mm=size, seed=visit, voxel_mm=voxel_mm)
            image = _processed(image, taken) if hard else image
            scan = _write_xray(folder / "xray" / f"{name}.dcm", image, visit)
            label = f"V{visit + 1}" if visits > 1 else ""
            rows += _rows(subject, source, read, scan, visit=label)
            anatomy = _later(anatomy, random)
        return rows

    for source in counts:
        (folder / source).mkdir(parents=True, exist_ok=True)
    subjects = [(source, number) for source, count in counts.items() for number in range(count)]
    total = len(subjects)
    rows: list[Row] = []
    for done, made in enumerate(side_by_side(subject_rows, subjects)):
        if progress is not None:
            progress(done, total, "making phantoms")
        rows += made
    if progress is not None:
        progress(total, total, "making phantoms")
    table = folder / "scans.csv"
    atomic_write(table, csv_text(COLUMNS, ([row.get(name) for name in COLUMNS] for row in rows)))
    return table


def _harder(anatomy: Anatomy, visit: int) -> tuple[Anatomy, Anatomy]:
    """The subject with subtle, confounded signs in more soft tissue; and as a reader grades it."""
    lasting = np.random.default_rng([anatomy.seed, 12])  # the same at every visit
    reading = np.random.default_rng([anatomy.seed, 13, visit])

    def subtle(joint: JointDisease) -> JointDisease:
        share = _HARD.sign_share * np.exp(lasting.normal(0, _HARD.sign_spread, 4))
        wear, spurs, density = np.abs(lasting.standard_normal(3))
        narrowing = joint.narrowing_mm * share[0] + _HARD.narrowing_sd_mm * wear
        return replace(
            joint,
            narrowing_mm=float(np.clip(narrowing, 0, joint.joint_space_mm - 0.3)),
            osteophyte_mm=float(joint.osteophyte_mm * share[1] + _HARD.osteophyte_sd_mm * spurs),
            sclerosis=float(joint.sclerosis * share[2] + _HARD.sclerosis_sd * density),
            flattening_mm=float(joint.flattening_mm * share[3]),
        )

    def graded(joint: JointDisease) -> JointDisease:
        off = int(reading.choice((-1, 1))) if reading.random() < _HARD.misread else 0
        return replace(joint, kl=min(max(joint.kl + off, 0), 4))

    body = lasting.uniform(*_HARD.body)
    drawn = replace(
        anatomy,
        left=subtle(anatomy.left),
        right=subtle(anatomy.right),
        body_width=anatomy.body_width * body,
        body_depth=anatomy.body_depth * body,
    )
    return drawn, replace(drawn, left=graded(drawn.left), right=graded(drawn.right))


def _processed(image: XRay, random: np.random.Generator) -> XRay:
    """An X-ray as one of many vendors' stations shows it; boxes and size stay."""
    from scipy.ndimage import gaussian_filter

    radiograph = image.radiograph
    pixel_mm = radiograph.pixel_mm[0]
    grey = radiograph.pixels / np.float32(NUMBER_OF_LEVELS)
    coarse = gaussian_filter(grey, 25 / pixel_mm, truncate=2)
    grey = grey - random.uniform(*_HARD.flattened) * (coarse - coarse.mean())
    grey += random.uniform(*_HARD.edges) * (grey - gaussian_filter(grey, 1.5 / pixel_mm))
    grey = np.clip(grey, 0, 1) ** random.uniform(*_HARD.gamma)
    levels = grey * NUMBER_OF_LEVELS
    levels += random.uniform(*_HARD.xray_noise) * random.standard_normal(grey.shape)
    top, left, bottom, right = (random.uniform(*_HARD.collimated_mm, 4) / pixel_mm).astype(int) + 1
    shown = np.zeros_like(levels)
    shown[top:-bottom, left:-right] = levels[top:-bottom, left:-right]
    wide = max(round(12 / pixel_mm), 1)
    # A marker of lead in the upper corner on the patient's right, outside the hips.
    shown[top + wide : top + 2 * wide, left + wide : left + 2 * wide] = NUMBER_OF_LEVELS
    pixels = np.rint(np.clip(shown, 0, NUMBER_OF_LEVELS)).astype(np.float32)
    return replace(image, radiograph=replace(radiograph, pixels=pixels))


def _later(anatomy: Anatomy, random: np.random.Generator) -> Anatomy:
    """The subject at the next visit."""
    left, right = (
        min(anatomy.joint(side).kl + int(random.random() < PROGRESSION), 4) for side in SIDES
    )
    return Anatomy.random(anatomy.seed, kl_left=left, kl_right=right)


def _rows(
    subject: str, source: str, anatomy: Anatomy, scan: Mapping[str, Row], *, visit: str = ""
) -> list[Row]:
    """Rows of ``scans.csv``, one a hip."""
    return [
        {"subject": subject, "source": source, "side": side, "kl": anatomy.joint(side).kl}
        | {"visit": visit}
        | scan[side]
        for side in SIDES
    ]


def _write_ct(
    folder: Path,
    subject: str,
    anatomy: Anatomy,
    spacing_mm: tuple[float, float, float],
    random: np.random.Generator,
    *,
    hard: bool,
) -> dict[str, Row]:
    from scipy.ndimage import gaussian_filter

    spread = _HARD.pose_sd_deg if hard else POSE_SD_DEG
    tilt, obliquity, rotation = random.normal(0, spread).clip(-18, 18).tolist()
    angles = (tilt, obliquity, rotation)
    if hard:
        content = Surroundings(
            gas_bubbles=int(random.integers(3, 15)),
            contrast_loops=int(random.integers(0, 6)),
            tagged_stool=tuple(side for side in SIDES if random.random() < 0.3),
            bladder_hu=float(random.uniform(*_HARD.bladder_hu)),
        )
        phantom = ct(
            anatomy, spacing_mm=spacing_mm, angles=angles, noise_hu=0, surroundings=content
        )
        # Kernels blur noise too: what is left of it is the scanner's.
        blur = random.uniform(*_HARD.ct_blur_mm) / np.array(phantom.volume.spacing_mm)
        hu = gaussian_filter(phantom.volume.hu.astype(np.float32), blur)
        hu += random.uniform(*_HARD.ct_noise_hu) * random.standard_normal(hu.shape, np.float32)
        whole = np.rint(hu).clip(INTERCEPT_HU, 3071).astype(np.int16)
        volume = Volume(whole, phantom.volume.affine)
    else:
        phantom = ct(anatomy, spacing_mm=spacing_mm, angles=angles)
        volume = phantom.volume
    write_dicom(volume, folder / "ct" / subject, subject=subject, seed=anatomy.seed)
    phantom.landmarks.to_json(folder / "ct" / f"{subject}.landmarks.json")
    row: Row = {"scan": f"ct/{subject}", "landmarks": f"ct/{subject}.landmarks.json"}
    return dict.fromkeys(SIDES, row)


def _write_xray(path: Path, image: XRay, visit: int) -> dict[str, Row]:
    subject = path.stem.partition("_")[0]
    write_xray(image, path, subject=subject, visit=visit)
    return {
        side: {
            "scan": f"xray/{path.name}",
            "top": round(box.top, 2),
            "left": round(box.left, 2),
            "bottom": round(box.bottom, 2),
            "right": round(box.right, 2),
        }
        for side, box in image.boxes.items()
    }


def _file(storage: UID, uid: UID, subject: str) -> Dataset:
    file = Dataset()
    file.file_meta = FileMetaDataset()
    file.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    file.file_meta.MediaStorageSOPClassUID = storage
    file.file_meta.MediaStorageSOPInstanceUID = uid
    file.SOPClassUID, file.SOPInstanceUID = storage, uid
    file.PatientName, file.PatientID = "PHANTOM", subject
    # What the standard wants to be there, though nothing is known.
    for keyword in ("PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "StudyID"):
        setattr(file, keyword, "")
    file.ReferringPhysicianName = file.AccessionNumber = ""
    file.SeriesNumber, file.Manufacturer = 1, "rhoa"
    return file


def _code(value: str, scheme: str, meaning: str) -> Dataset:
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = value, scheme, meaning
    return code


def _set_pixels(file: Dataset, pixels: np.ndarray, *, bits: int) -> None:
    file.Rows, file.Columns = pixels.shape
    file.SamplesPerPixel, file.PixelRepresentation = 1, 0
    file.PhotometricInterpretation = "MONOCHROME2"
    file.BitsAllocated, file.BitsStored, file.HighBit = 16, bits, bits - 1
    file.PixelData = pixels.astype("<u2").tobytes()


def _uid(subject: str, seed: int, what: str) -> UID:
    return generate_uid(entropy_srcs=["rhoa", subject, str(seed), what])


def _decimals(values: object) -> list[str]:
    """DICOM decimal strings of at most 16 characters."""
    return [f"{float(value):.8g}"[:16] for value in np.asarray(values).ravel()]


# Images of digital pelves with the box of each hip: labels that nobody had to draw.

Kind = Literal["xray", "ctap"]
KINDS: tuple[Kind, ...] = ("xray", "ctap")
PIXEL_MM: dict[Kind, float] = {"xray": 0.8, "ctap": 2.0}
"""Coarse, so that an image is made in seconds; detectors see hips no finer."""


class PhantomLabel(NamedTuple):
    """An image of a digital pelvis and its hips."""

    radiograph: Radiograph
    boxes: Mapping[Side, Box]
    subject: str


def phantom_labels(
    count: int, *, seed: int = 0, kind: Kind = "xray", pixel_mm: float | None = None
) -> Iterator[PhantomLabel]:
    """Images of ``count`` digital subjects, each with the boxes of both hips.

    Boxes of X-rays are those that the phantom knows; boxes of CT-APs are found in the CT
    (`rhoa.hips.joints`), as those of a patient's would be: a CT labels its own CT-AP.

    Parameters
    ----------
    count
        Of subjects.
    seed
        Of the first; subject ``n`` is ``Anatomy.random(seed + n)``.
    kind
        ``"xray"`` or ``"ctap"``.
    pixel_mm
        Of the X-ray, or voxel size of the CT. Default: 0.8 and 2 mm.

    Raises
    ------
    ParameterError
        If an option is out of its range.

    Examples
    --------
    >>> (label,) = phantom_labels(1, kind="ctap", pixel_mm=4)
    >>> label.subject, sorted(label.boxes)
    ('phantom-0', ['left', 'right'])
    """
    require_count("count", count, least=0)
    require_count("seed", seed, least=0)
    require_choice("kind", kind, KINDS)
    size = PIXEL_MM[kind] if pixel_mm is None else require_positive("pixel_mm", pixel_mm)
    for number in range(seed, seed + count):
        anatomy = Anatomy.random(number)
        subject = f"phantom-{number}"
        if kind == "xray":
            made = xray(anatomy, pixel_mm=size, seed=number)
            yield PhantomLabel(made.radiograph, made.boxes, subject)
        else:
            patient = ct(anatomy, spacing_mm=(size, size, size))
            pose = from_landmarks(patient.landmarks)
            image = ctap(patient.volume, pose=pose)
            found = boxes(image, joints=joints(patient.volume, pose))
            yield PhantomLabel(image, found, subject)

"""A series before it is written: CT images as DICOM data sets, and what defects change."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from rhoa.dicom.header import EXPLICIT_BIG, EXPLICIT_LITTLE

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import ArrayLike, NDArray
    from pydicom.dataset import FileDataset


# Single CT images as DICOM data sets: where they lie, how their values are stored.

INTERCEPT = -1024
ROOT = "1.2.826.0.1.3680043.8.498."
CANARIES = {
    "PatientName": "CANARY^NAME",
    "PatientID": "CANARY-ID",
    "PatientBirthDate": "19010203",
    "AccessionNumber": "CANARY-ACC",
    "InstitutionName": "CANARY-SITE",
    "ReferringPhysicianName": "CANARY^REF",
    "StudyDescription": "CANARY-STUDY",
}
"""What stands where a patient's data would: none of it may ever leave a reader."""

CT_IMAGE = "1.2.840.10008.5.1.4.1.1.2"

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
class VoxelGrid:
    """Where the voxels of a series lie."""

    along_row: ArrayLike = (1, 0, 0)
    along_column: ArrayLike = (0, 1, 0)
    spacing_mm: tuple[float, float, float] = (2.0, 1.5, 1.0)
    """Between slices, rows, columns."""
    origin_mm: ArrayLike = (-20.0, -30.0, 100.0)
    shape: tuple[int, int, int] = (5, 8, 10)

    @property
    def normal(self) -> NDArray[np.float64]:
        """The direction in which slices ascend."""
        normal: NDArray[np.float64] = np.cross(
            np.asarray(self.along_row, np.float64), np.asarray(self.along_column, np.float64)
        )
        return normal

    @property
    def affine(self) -> NDArray[np.float64]:
        """From ``(k, j, i, 1)`` to patient LPS mm."""
        affine = np.eye(4)
        directions = np.array([self.normal, self.along_column, self.along_row], np.float64)
        affine[:3, :3] = (directions * np.array(self.spacing_mm)[:, None]).T
        affine[:3, 3] = self.origin_mm
        return affine

    def lps(self) -> NDArray[np.float64]:
        """Patient LPS mm of every voxel, ``(k, j, i, 3)``, slices ascending along the normal."""
        lps: NDArray[np.float64] = lattice(self.shape) @ self.affine[:3, :3].T + self.affine[:3, 3]
        return lps


def lattice(shape: tuple[int, ...]) -> NDArray[np.float64]:
    """The indices k, j, i of every voxel, ``(k, j, i, 3)``."""
    return np.moveaxis(np.indices(shape), 0, -1).astype(np.float64)


def image_dataset(
    grid: VoxelGrid, k: int, hu: NDArray[np.int64], *, series: str = "1"
) -> FileDataset:
    """Slice ``k`` as a CT image, 16 bits unsigned, intercept -1024."""
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import UID

    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = UID(CT_IMAGE)
    meta.MediaStorageSOPInstanceUID = UID(f"{ROOT}{series}.{k + 1}")
    image = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    image.SOPClassUID, image.SOPInstanceUID = UID(CT_IMAGE), meta.MediaStorageSOPInstanceUID
    image.StudyInstanceUID = UID(f"{ROOT}99")
    image.SeriesInstanceUID = UID(f"{ROOT}{series}")
    image.FrameOfReferenceUID = UID(f"{ROOT}98")
    image.Modality = "CT"
    image.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    for name, value in CANARIES.items():
        setattr(image, name, value)
    image.SliceThickness = "9"  # never right: nothing may depend on it
    position = np.asarray(grid.origin_mm) + k * grid.spacing_mm[0] * grid.normal
    image.ImagePositionPatient = decimals(position)
    image.ImageOrientationPatient = decimals(
        [*np.ravel(grid.along_row), *np.ravel(grid.along_column)]
    )
    image.PixelSpacing = decimals(grid.spacing_mm[1:])
    set_pixels(image, hu - INTERCEPT)
    image.RescaleSlope, image.RescaleIntercept = "1", str(INTERCEPT)
    return image


def set_pixels(
    image: Any,  # noqa: ANN401  # a data set's elements have no types
    stored: NDArray[np.int64],
    bits: int = 16,
    *,
    signed: bool = False,
) -> None:
    """Give the image these stored values of ``bits`` bits in 16-bit words."""
    image.Rows, image.Columns = stored.shape
    image.SamplesPerPixel, image.PhotometricInterpretation = 1, "MONOCHROME2"
    image.BitsAllocated, image.BitsStored, image.HighBit = 16, bits, bits - 1
    image.PixelRepresentation = int(signed)
    image.PixelData = (stored & ((1 << bits) - 1)).astype("<u2").tobytes()
    image["PixelData"].VR = "OW"


def words(image: Any) -> NDArray[np.uint16]:  # noqa: ANN401  # a data set's elements have no types
    """The pixels of an uncompressed image as the 16-bit words of its file, to be changed."""
    stored = np.frombuffer(image.PixelData, "<u2").reshape(image.Rows, image.Columns)
    return stored.astype(np.uint16)


def save(image: Any, path: Path, syntax: str = EXPLICIT_LITTLE) -> None:  # noqa: ANN401  # see words
    """Write an image with uncompressed pixels in ``syntax``; as it is where that is empty."""
    from pydicom.filewriter import dcmwrite
    from pydicom.uid import UID

    if not syntax:
        image.save_as(path, enforce_file_format=True)
        return
    uid = UID(syntax)
    image.file_meta.TransferSyntaxUID = UID(EXPLICIT_LITTLE)
    if uid.is_compressed and not uid.is_deflated:
        image.compress(uid, generate_instance_uid=False)
    else:
        image.file_meta.TransferSyntaxUID = uid
    if syntax != EXPLICIT_BIG:
        image.save_as(path, enforce_file_format=True)
        return
    image.PixelData = np.frombuffer(image.PixelData, "<u2").byteswap().tobytes()
    dcmwrite(path, image, implicit_vr=False, little_endian=False, force_encoding=True)


def decimals(numbers: ArrayLike) -> list[str]:
    """Decimal strings of up to 16 characters."""
    from pydicom.valuerep import format_number_as_ds

    return [format_number_as_ds(float(number)) for number in np.ravel(numbers)]


# A series before it is written, what a defect may change of it, and what is known afterwards.

Verdict = Literal["volume", "repair", "warn", "error"]

RAMP = (-900, (100, 3, 1))
"""HU of voxel (0, 0, 0), and how many more one slice, row and column on have."""
NOTHING_HU = -1000
"""HU that only what lies outside the scan has: the ramp starts above it."""
_NEAR = 0.02  # of a voxel: what is nearer to a voxel's centre than this has its value


class DifferenceFromTruth(NamedTuple):
    """How a volume differs from the truth."""

    worst_hu: float
    """Largest difference where both have values; infinite where one has tissue and the other not
    even a voxel."""
    covered: float
    """Share of the true voxels that lie inside the volume and are not filled there."""


@dataclass(frozen=True, slots=True, eq=False)
class Series:
    """A scan on disk, and what a reader must make of it."""

    path: Path
    """What to read: the folder of a DICOM series, or a NIfTI file."""
    paths: tuple[Path, ...]
    """Its files, slices first, in the order of the volume."""
    hu: NDArray[np.int64] | None
    """True HU ``[k, j, i]``; None where the files do not determine them."""
    affine: NDArray[np.float64] | None
    """From ``(k, j, i, 1)`` of ``hu`` to patient LPS mm."""
    defect: str | None
    verdict: Verdict
    """"volume": read as it is. "repair": read, and what was put right is in the report. "warn":
    read with a warning. "error": refused."""
    error: str | None
    """Name of the error class of `rhoa.errors` (or a base of it) that refuses the series."""
    repair: tuple[str, ...]
    """Repairs by which a refused series can be read after all: ``read_ct(..., repair=...)``."""
    tolerance_hu: float
    """How far true readings may be off: rounding, or the loss of a lossy syntax."""

    def difference(self, hu: ArrayLike, affine: ArrayLike) -> DifferenceFromTruth:
        """Compare a volume with the truth place by place, whatever its order and grid.

        Parameters
        ----------
        hu, affine
            Any volume, and its matrix from array indices to patient LPS mm. Between its voxels
            values are interpolated linearly.
        """
        found, place = np.asarray(hu, np.float64), np.asarray(affine, np.float64)
        if self.hu is None or self.affine is None or found.ndim != 3:
            return DifferenceFromTruth(np.inf, 0.0)
        if not np.isfinite(place).all() or abs(np.linalg.det(place)) < 1e-9:
            return DifferenceFromTruth(np.inf, 0.0)
        at = _mapped(self.hu.shape, self.affine, place)
        inside = _inside(at, found.shape)
        values = np.full(len(at), np.nan)
        values[inside] = _sampled(found, at[inside])
        truth = self.hu.reshape(-1)
        filled = inside & (values <= NOTHING_HU + 0.5) & (truth > NOTHING_HU + 50)
        seen = inside & ~filled
        worst = float(np.abs(values - truth)[seen].max()) if seen.any() else np.inf
        beyond = ~_inside(_mapped(found.shape, place, self.affine), self.hu.shape, 0.51)
        if not worst < np.inf or (found.reshape(-1)[beyond] > NOTHING_HU).any():
            worst = np.inf
        return DifferenceFromTruth(worst, float(seen.mean()))

    def is_right(self, hu: ArrayLike, affine: ArrayLike) -> bool:
        """Whether a volume holds every true voxel at its place, and nothing beside them."""
        worst, covered = self.difference(hu, affine)
        return worst <= self.tolerance_hu and covered == 1


@dataclass(slots=True)
class Image:
    """One file to be written."""

    name: str
    data: Any
    """A pydicom data set with uncompressed pixels."""
    syntax: str = EXPLICIT_LITTLE
    edit: Callable[[bytes], bytes] | None = None
    """A last change to the bytes of the file."""

    def write(self, folder: Path) -> Path:
        """The file's path."""
        from pydicom import config

        path = folder / self.name
        with config.disable_value_validation():
            save(self.data, path, self.syntax)
        if self.edit is not None:
            path.write_bytes(self.edit(path.read_bytes()))
        return path


@dataclass(slots=True)
class Draft:
    """A series that a defect may change before it is written; what it holds is then the truth."""

    folder: Path
    grid: VoxelGrid
    position: str
    random: np.random.Generator
    hu: NDArray[np.int64] | None = None
    affine: NDArray[np.float64] | None = None
    images: list[Image] = field(default_factory=list)
    others: list[Path] = field(default_factory=list)
    """Files and links that are no slices; already written."""
    tolerance_hu: float = 1.0

    def lay(
        self,
        hu: NDArray[np.int64] | None = None,
        *,
        grid: VoxelGrid | None = None,
        affine: NDArray[np.float64] | None = None,
    ) -> None:
        """Start again: whole slices on a grid, with the ramp's HU if no others are given."""
        self.grid = grid or self.grid
        self.affine = self.grid.affine if affine is None else affine
        self.hu = ramp(lattice(self.grid.shape)) if hu is None else hu
        self.images = self.slices(self.grid, self.hu)

    def slices(self, grid: VoxelGrid, hu: NDArray[np.int64], series: str = "1") -> list[Image]:
        """Files of one series, in which names, numbers and thickness agree with the places."""
        images = []
        for k, plane in enumerate(hu):
            data: Any = image_dataset(grid, k, plane, series=series)
            data.InstanceNumber = k + 1
            data.SliceThickness = decimals(grid.spacing_mm[:1])[0]
            data.PatientPosition = self.position
            images.append(Image(f"IM{series}{k:03d}", data))
        return images

    def inside(self) -> int:
        """The index of some slice that is none of the two first or last."""
        return int(self.random.integers(2, len(self.images) - 2))

    def tag(self, **values: Any) -> None:  # noqa: ANN401  # any element, any value
        """Set elements in all slices."""
        for image in self.images:
            for name, value in values.items():
                setattr(image.data, name, value)

    def drop(self, *names: str) -> None:
        """Take elements out of all slices."""
        for image in self.images:
            for name in names:
                delattr(image.data, name)

    def store(
        self, hu: NDArray[np.int64], bits: int = 16, *, signed: bool = False, intercept: int = -1024
    ) -> None:
        """Store these HU in all slices, with other bits and another intercept."""
        for image, plane in zip(self.images, hu, strict=True):
            set_pixels(image.data, plane - intercept, bits, signed=signed)
            image.data.RescaleIntercept = str(intercept)

    def encode(self, syntax: str) -> None:
        """Write all slices in another transfer syntax."""
        for image in self.images:
            image.syntax = syntax

    def forget(self) -> None:
        """Nothing is true of this series: whatever a reader makes of it is wrong."""
        self.hu = self.affine = None

    def shaped(self, slices: int) -> VoxelGrid:
        """The grid with another number of slices."""
        return replace(self.grid, shape=(slices, *self.grid.shape[1:]))


@dataclass(frozen=True, slots=True)
class Defect:
    """One way in which a series can be wrong, or unusual and right."""

    case: str
    description: str
    make: Callable[[Draft], None]
    verdict: Verdict
    error: str | None
    repair: tuple[str, ...]


CATALOGUE: dict[str, Defect] = {}


def defect(  # one row of a table
    name: str,
    case: str,
    description: str,
    *,
    verdict: Verdict | None = None,
    error: str | None = None,
    repair: tuple[str, ...] = (),
) -> Callable[[Callable[[Draft], None]], Callable[[Draft], None]]:
    """Enter a function that changes a draft in the catalogue."""

    def enter(make: Callable[[Draft], None]) -> Callable[[Draft], None]:
        judged: Verdict = verdict or ("error" if error else "volume")
        CATALOGUE[name] = Defect(case, description, make, judged, error, repair)
        return make

    return enter


def ramp(index: NDArray[np.generic]) -> NDArray[np.int64]:
    """HU of the places ``(..., 3)``, given as (fractional) voxel indices k, j, i."""
    start, steps = RAMP
    return np.rint(start + np.asarray(index, np.float64) @ np.array(steps, np.float64)).astype(
        np.int64
    )


def body(shape: tuple[int, int, int], width: float = 0.8) -> NDArray[np.int64]:
    """A trunk in air: soft tissue that grows denser downward, and two bones that move slowly."""
    k, j, i = np.indices(shape)
    slices, rows, columns = shape
    hu = np.full(shape, NOTHING_HU, np.int64)
    middle = ((rows - 1) / 2, (columns - 1) / 2)

    def disc(row: Any, column: Any, radius: float) -> Any:  # noqa: ANN401  # arrays or numbers
        return ((j - row) / (radius * rows)) ** 2 + ((i - column) / (radius * columns)) ** 2 < 1

    hu[disc(*middle, width / 2)] = 20
    hu[disc(*middle, width / 2)] += (3 * k + j // 4)[disc(*middle, width / 2)]
    for side in (-1, 1):
        hu[
            disc(middle[0] + k / slices, middle[1] * (1 + side * (0.4 - 0.05 * k / slices)), 0.09)
        ] = 700
    return hu


def _mapped(
    shape: tuple[int, ...], affine: NDArray[np.float64], other: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Where the voxels of one volume lie in another: its (fractional) indices, ``(n, 3)``."""
    matrix = np.linalg.inv(other) @ affine
    mapped: NDArray[np.float64] = lattice(shape).reshape(-1, 3) @ matrix[:3, :3].T + matrix[:3, 3]
    return mapped


def _inside(
    at: NDArray[np.float64], shape: tuple[int, ...], margin: float = _NEAR
) -> NDArray[np.bool_]:
    short, over = at + margin, at - margin - (np.array(shape) - 1)
    inside: NDArray[np.bool_] = np.maximum(-short, over).max(axis=-1) <= 0
    return inside


def _sampled(volume: NDArray[np.float64], at: NDArray[np.float64]) -> NDArray[np.float64]:
    """Values between voxels, linearly; nothing where a voxel that counts is outside the scan."""
    last = np.array(volume.shape) - 1
    at = np.clip(np.where(np.abs(at - np.rint(at)) < _NEAR, np.rint(at), at), 0, last)
    low = np.minimum(np.floor(at).astype(int), np.maximum(last - 1, 0))
    share = at - low
    total = np.zeros(len(at))
    filled: NDArray[np.bool_] = np.zeros(len(at), bool)
    for corner in np.ndindex(2, 2, 2):
        weight = np.prod(np.where(corner, share, 1 - share), axis=1)
        values = volume[tuple(np.minimum(low + corner, last).T)]
        total += np.where(weight > 0, weight * values, 0)
        np.logical_or(filled, (weight > 0) & (values <= NOTHING_HU), out=filled)
    return np.where(filled & (total > NOTHING_HU), NOTHING_HU, total)

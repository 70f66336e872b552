"""Defects of place: which slices there are, where they lie, what their headers say of it."""

from __future__ import annotations

import copy
import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from rhoa.errors import ParameterError
from rhoa.testing.draft import Image, defect, ramp
from rhoa.testing.images import PATIENT_POSITIONS, ROOT, Grid, decimals, lattice

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from rhoa.testing.draft import Draft

TILT_DEG = 15.0


def shift(image: Image, offset_mm: NDArray[np.float64]) -> None:
    """Move a slice, in its header only."""
    position = np.array(image.data.ImagePositionPatient, np.float64) + offset_mm
    image.data.ImagePositionPatient = decimals(position)


def again(draft: Draft, k: int, name: str) -> Any:  # noqa: ANN401  # a data set
    """A copy of slice ``k`` as another file, to be changed."""
    image = copy.deepcopy(draft.images[k])
    image.name = name
    draft.images.append(image)
    return image.data


def _renamed(data: Any) -> None:  # noqa: ANN401  # a data set
    data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID = f"{ROOT}77.1"


@defect("shuffled", "01", "file names and InstanceNumber in an order of their own")
def _shuffled(draft: Draft) -> None:
    numbers = draft.random.permutation(len(draft.images)).tolist()
    for image, number in zip(draft.images, numbers, strict=True):
        image.name, image.data.InstanceNumber = f"IM1{number:03d}", number + 1


@defect("constant-instance-number", "02", "InstanceNumber is 1 in all slices")
def _constant_instance_number(draft: Draft) -> None:
    draft.tag(InstanceNumber=1)


@defect("slice-thickness", "01", "SliceThickness is not the distance of the slices")
def _slice_thickness(draft: Draft) -> None:
    draft.tag(SliceThickness="9")


@defect(
    "missing-slice", "03", "one slice is absent", error="GeometryError", repair=("gaps",)
)  # fmt: skip  # a row a defect
def _missing_slice(draft: Draft) -> None:
    del draft.images[draft.inside()]


@defect("missing-slices", "03", "two slices in a row are absent", error="GeometryError")
def _missing_slices(draft: Draft) -> None:
    k = draft.inside()
    del draft.images[k - 1 : k + 1]


@defect("duplicate-slice", "04", "one slice twice, under two SOPInstanceUIDs", verdict="repair")
def _duplicate_slice(draft: Draft) -> None:
    _renamed(again(draft, draft.inside(), "ZZ1"))


@defect("same-position", "05", "two different slices at one position", error="GeometryError")
def _same_position(draft: Draft) -> None:
    data = again(draft, draft.inside(), "ZZ1")
    _renamed(data)
    data.PixelData = (np.frombuffer(data.PixelData, "<u2") + 40).astype("<u2").tobytes()
    draft.forget()


@defect("duplicate-file", "06", "one file twice", verdict="repair")
def _duplicate_file(draft: Draft) -> None:
    again(draft, draft.inside(), "ZZ1")


@defect("gantry-tilt", "09", "gantry tilt of 15 deg", error="GeometryError", repair=("tilt",))
def _gantry_tilt(draft: Draft) -> None:
    dk, dj, _ = draft.grid.spacing_mm
    _shear(draft, rows=dk * math.tan(math.radians(TILT_DEG)) / dj)
    draft.tag(GantryDetectorTilt=str(TILT_DEG))


@defect(
    "shear", "43", "every slice one column further, no tilt tag", error="GeometryError",
    repair=("tilt",),
)  # fmt: skip  # a row a defect
def _sheared(draft: Draft) -> None:
    _shear(draft, columns=1)


def _shear(draft: Draft, *, rows: float = 0, columns: float = 0) -> None:
    """Slices that are truly scanned that many rows and columns further each."""
    affine = draft.grid.affine
    way = affine[:3, 1] * rows + affine[:3, 2] * columns
    affine[:3, 0] += way
    index = lattice(draft.grid.shape)
    index[..., 1:] += index[..., :1] * [rows, columns]
    draft.lay(ramp(index), affine=affine)
    for k, image in enumerate(draft.images):
        shift(image, k * way)


@defect(
    "variable-spacing", "10", "two steps between slices are 1.5 times the others",
    error="GeometryError", repair=("spacing",),
)  # fmt: skip  # a row a defect
def _variable_spacing(draft: Draft) -> None:
    slices = draft.grid.shape[0]
    at = np.arange(slices) + 0.5 * (np.arange(slices) >= 2) + 0.5 * (np.arange(slices) >= 4)
    index = lattice(draft.grid.shape)
    index[..., 0] = at[:, None, None]
    even = draft.shaped(slices + 1)
    draft.lay(ramp(index))
    for k, image in enumerate(draft.images):
        shift(image, (at[k] - k) * draft.grid.spacing_mm[0] * draft.grid.normal)
    draft.hu, draft.affine = ramp(lattice(even.shape)), even.affine


@defect("jitter", "11", "positions off by up to 0.01 mm")
def _jitter(draft: Draft) -> None:
    for image in draft.images:
        shift(image, draft.random.uniform(-0.01, 0.01) * draft.grid.normal)


@defect("uneven", "11", "one slice 4 % of the spacing off its place", verdict="warn")
def _uneven(draft: Draft) -> None:
    dk = draft.grid.spacing_mm[0]
    if dk < 1.5:
        raise ParameterError(f"uneven needs slices 1.5 mm or more apart; got {dk:g} mm.")
    shift(draft.images[draft.inside()], 0.04 * dk * draft.grid.normal)
    draft.tolerance_hu = 5.0


def _lie(draft: Draft, position: str) -> None:
    along_row, along_column = PATIENT_POSITIONS[position]
    draft.position = position
    draft.lay(grid=replace(draft.grid, along_row=along_row, along_column=along_column))


@defect("feetfirst", "18", "feet first, supine")
def _feetfirst(draft: Draft) -> None:
    _lie(draft, "FFS")


@defect("prone", "19", "head first, prone")
def _prone(draft: Draft) -> None:
    _lie(draft, "HFP")


@defect("decubitus", "20", "head first, on the left side")
def _decubitus(draft: Draft) -> None:
    _lie(draft, "HFDL")


@defect(
    "position-contradicts", "18", "PatientPosition says on the side, the orientation does not",
    verdict="warn",
)  # fmt: skip  # a row a defect
def _position_contradicts(draft: Draft) -> None:
    along_row = np.abs(np.asarray(draft.grid.along_row))
    draft.tag(PatientPosition="HFDL" if along_row[0] > along_row[1] else "HFS")


@defect("oblique", "21", "slices turned by 15 deg, stacked along their normal: no gantry tilt")
def _oblique(draft: Draft) -> None:
    sine, cosine = math.sin(math.radians(TILT_DEG)), math.cos(math.radians(TILT_DEG))
    turn = np.array([[1, 0, 0], [0, cosine, -sine], [0, sine, cosine]])
    along_row, along_column = (
        turn @ np.asarray(way, np.float64)
        for way in (draft.grid.along_row, draft.grid.along_column)
    )
    draft.lay(grid=replace(draft.grid, along_row=along_row, along_column=along_column))


@defect("non-square", "22", "rows 0.5 mm and columns 1.3 mm apart")
def _non_square(draft: Draft) -> None:
    draft.lay(grid=replace(draft.grid, spacing_mm=(draft.grid.spacing_mm[0], 0.5, 1.3)))


@defect("pixel-spacing-differs", "23", "one slice has another PixelSpacing", error="GeometryError")
def _pixel_spacing_differs(draft: Draft) -> None:
    _, dj, di = draft.grid.spacing_mm
    draft.images[draft.inside()].data.PixelSpacing = decimals([1.1 * dj, 1.1 * di])
    draft.forget()


@defect("size-differs", "24", "one slice has fewer rows", error="GeometryError")
def _size_differs(draft: Draft) -> None:
    data = draft.images[draft.inside()].data
    data.Rows -= 4
    data.PixelData = data.PixelData[: 2 * data.Rows * data.Columns]
    draft.forget()


@defect("no-position", "25", "one slice lacks ImagePositionPatient", error="GeometryError",
        repair=("drop", "gaps"))  # fmt: skip  # a row a defect
def _no_position(draft: Draft) -> None:
    del draft.images[draft.inside()].data.ImagePositionPatient


@defect("no-positions", "26", "no slice has ImagePositionPatient", error="GeometryError")
def _no_positions(draft: Draft) -> None:
    draft.drop("ImagePositionPatient")


@defect("no-pixel-spacing", "27", "no slice has PixelSpacing", error="GeometryError")
def _no_pixel_spacing(draft: Draft) -> None:
    draft.drop("PixelSpacing")


@defect("no-orientation", "27", "no slice has ImageOrientationPatient", error="GeometryError")
def _no_orientation(draft: Draft) -> None:
    draft.drop("ImageOrientationPatient")


@defect("one-slice", "40", "a series of one slice", error="GeometryError")
def _one_slice(draft: Draft) -> None:
    draft.images = draft.images[:1]
    draft.forget()


@defect("two-slices", "41", "a series of two slices")
def _two_slices(draft: Draft) -> None:
    draft.lay(grid=draft.shaped(2))


@defect("one-position", "42", "all slices at one position", error="GeometryError")
def _one_position(draft: Draft) -> None:
    draft.tag(ImagePositionPatient=decimals(draft.grid.origin_mm))
    draft.forget()


@defect("nan-orientation", "44", "NaN in one ImageOrientationPatient", error="GeometryError")
def _nan_orientation(draft: Draft) -> None:
    _spoil(draft.images[draft.inside()], "ImageOrientationPatient")


@defect("nan-position", "44", "NaN in one ImagePositionPatient", error="GeometryError",
        repair=("drop", "gaps"))  # fmt: skip  # a row a defect
def _nan_position(draft: Draft) -> None:
    _spoil(draft.images[draft.inside()], "ImagePositionPatient")


def _spoil(image: Image, name: str) -> None:
    """Make the first number of an element NaN."""
    first = decimals([image.data[name].value[0]])[0]
    mark = "123456.7" + "0" * (len(first) % 2)
    values = [mark, *decimals(image.data[name].value)[1:]]
    setattr(image.data, name, values)
    written = str(image.data[name].value[0]).encode()
    image.edit = lambda content: content.replace(written, b"NaN".ljust(len(written)), 1)


@defect(
    "crooked-orientation",
    "44",
    "row and column direction not at right angles",
    error="GeometryError",
)
def _crooked_orientation(draft: Draft) -> None:
    along_row, along_column = np.asarray(draft.grid.along_row), np.asarray(draft.grid.along_column)
    crooked = along_row * math.cos(0.1) + along_column * math.sin(0.1)
    draft.tag(ImageOrientationPatient=decimals([*crooked, *along_column]))


@defect("acquisition-numbers", "-", "every slice has another AcquisitionNumber")
def _acquisition_numbers(draft: Draft) -> None:
    for n, image in enumerate(draft.images):
        image.data.AcquisitionNumber = n % 7


@defect("constant-instance-uid", "-", "one SOPInstanceUID in all slices, as bad tools write it")
def _constant_instance_uid(draft: Draft) -> None:
    for image in draft.images:
        _renamed(image.data)


@defect("localizer", "08", "a localizer among the slices", verdict="warn")
def _localizer(draft: Draft) -> None:
    scout = Grid((1, 0, 0), (0, 0, -1), (2.0, 3.0, 3.0), (-60.0, 0.0, 180.0), (1, 40, 44))
    (image,) = draft.slices(scout, ramp(lattice(scout.shape)))
    image.name = "ZZ1"
    image.data.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
    _renamed(image.data)
    draft.images.append(image)

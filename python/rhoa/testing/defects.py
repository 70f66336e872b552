"""Named defects of a series: of files, of geometry, of pixels, and of enhanced CT."""

from __future__ import annotations

import copy
import math
import struct
import zlib
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from rhoa.dicom.header import DEFLATED, EXPLICIT_BIG, EXPLICIT_LITTLE, IMPLICIT_LITTLE
from rhoa.errors import ParameterError, require_extra
from rhoa.testing.synthetic import (
    NOTHING_HU,
    PATIENT_POSITIONS,
    ROOT,
    Image,
    VoxelGrid,
    body,
    decimals,
    defect,
    image_dataset,
    lattice,
    ramp,
    set_pixels,
    words,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from rhoa.testing.synthetic import Draft


# Defects of place: which slices there are, where they lie, what their headers say of it.

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


defect("constant-instance-number", "02", "InstanceNumber is 1 in all slices")(
    lambda draft: draft.tag(InstanceNumber=1)
)


defect("slice-thickness", "01", "SliceThickness is not the distance of the slices")(
    lambda draft: draft.tag(SliceThickness="9")
)


@defect(
    "missing-slice", "03", "one slice is absent", error="GeometryError", repair=("gaps",)
)  # fmt: skip  # a row a defect
def _missing_slice(draft: Draft) -> None:
    del draft.images[draft.inside()]


@defect("missing-slices", "03", "two slices in a row are absent", error="GeometryError")
def _missing_slices(draft: Draft) -> None:
    k = draft.inside()
    del draft.images[k - 1 : k + 1]


defect("duplicate-slice", "04", "one slice twice, under two SOPInstanceUIDs", verdict="repair")(
    lambda draft: _renamed(again(draft, draft.inside(), "ZZ1"))
)


@defect("same-position", "05", "two different slices at one position", error="GeometryError")
def _same_position(draft: Draft) -> None:
    data = again(draft, draft.inside(), "ZZ1")
    _renamed(data)
    data.PixelData = (np.frombuffer(data.PixelData, "<u2") + 40).astype("<u2").tobytes()
    draft.forget()


defect("duplicate-file", "06", "one file twice", verdict="repair")(
    lambda draft: again(draft, draft.inside(), "ZZ1")
)


@defect("gantry-tilt", "09", "gantry tilt of 15 deg", error="GeometryError", repair=("tilt",))
def _gantry_tilt(draft: Draft) -> None:
    dk, dj, _ = draft.grid.spacing_mm
    _shear(draft, rows=dk * math.tan(math.radians(TILT_DEG)) / dj)
    draft.tag(GantryDetectorTilt=str(TILT_DEG))


defect(
    "shear",
    "43",
    "every slice one column further, no tilt tag",
    error="GeometryError",
    repair=("tilt",),
)(lambda draft: _shear(draft, columns=1))


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


defect("feetfirst", "18", "feet first, supine")(lambda draft: _lie(draft, "FFS"))


defect("prone", "19", "head first, prone")(lambda draft: _lie(draft, "HFP"))


defect("decubitus", "20", "head first, on the left side")(lambda draft: _lie(draft, "HFDL"))


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


defect("non-square", "22", "rows 0.5 mm and columns 1.3 mm apart")(
    lambda draft: draft.lay(
        grid=replace(draft.grid, spacing_mm=(draft.grid.spacing_mm[0], 0.5, 1.3))
    )
)


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


defect("no-positions", "26", "no slice has ImagePositionPatient", error="GeometryError")(
    lambda draft: draft.drop("ImagePositionPatient")
)


defect("no-pixel-spacing", "27", "no slice has PixelSpacing", error="GeometryError")(
    lambda draft: draft.drop("PixelSpacing")
)


defect("no-orientation", "27", "no slice has ImageOrientationPatient", error="GeometryError")(
    lambda draft: draft.drop("ImageOrientationPatient")
)


@defect("one-slice", "40", "a series of one slice", error="GeometryError")
def _one_slice(draft: Draft) -> None:
    draft.images = draft.images[:1]
    draft.forget()


defect("two-slices", "41", "a series of two slices")(lambda draft: draft.lay(grid=draft.shaped(2)))


@defect("one-position", "42", "all slices at one position", error="GeometryError")
def _one_position(draft: Draft) -> None:
    draft.tag(ImagePositionPatient=decimals(draft.grid.origin_mm))
    draft.forget()


defect("nan-orientation", "44", "NaN in one ImageOrientationPatient", error="GeometryError")(
    lambda draft: _spoil(draft.images[draft.inside()], "ImageOrientationPatient")
)


defect(
    "nan-position",
    "44",
    "NaN in one ImagePositionPatient",
    error="GeometryError",
    repair=("drop", "gaps"),
)(lambda draft: _spoil(draft.images[draft.inside()], "ImagePositionPatient"))


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
    scout = VoxelGrid((1, 0, 0), (0, 0, -1), (2.0, 3.0, 3.0), (-60.0, 0.0, 180.0), (1, 40, 44))
    (image,) = draft.slices(scout, ramp(lattice(scout.shape)))
    image.name = "ZZ1"
    image.data.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
    _renamed(image.data)
    draft.images.append(image)


# Defects of value: stored bits, padding, rescaling, units, and what the image shows.

PADDING = -2000
AIR_HU = -1024
_OVERLAY = 0x1000


def known(draft: Draft) -> NDArray[np.int64]:
    """The true HU of a draft that no defect has touched yet."""
    if draft.hu is None:
        draft.lay()
    return np.array(draft.hu, np.int64)


def _padded(draft: Draft, stored: int, *, intercept: int = -1024, signed: bool = True) -> None:
    """Fill what lies outside the circle of reconstruction with a stored value; it is air."""
    hu = known(draft)
    outside = outside_circle(hu.shape, 0.48)
    draft.store(np.where(outside, stored + intercept, hu), signed=signed, intercept=intercept)
    draft.hu = np.where(outside, AIR_HU, hu)


def outside_circle(shape: tuple[int, ...], radius: float) -> NDArray[np.bool_]:
    """Voxels outside an ellipse of ``radius`` times the image's sides."""
    _, rows, columns = shape
    j, i = np.indices((rows, columns))
    away = ((j - (rows - 1) / 2) / rows) ** 2 + ((i - (columns - 1) / 2) / columns) ** 2
    return np.broadcast_to(away > radius**2, shape)


@defect("rescale-per-slice", "12", "slope and intercept vary from slice to slice")
def _rescale_per_slice(draft: Draft) -> None:
    hu = known(draft)
    for k, image in enumerate(draft.images):
        intercept, halves = -1024 - 8 * (k % 5), 1 + k % 2
        set_pixels(image.data, (hu[k] - intercept) * halves)
        image.data.RescaleSlope, image.data.RescaleIntercept = str(1 / halves), str(intercept)


@defect("padding", "13", "PixelPaddingValue -2000, which means -3024 HU", verdict="repair")
def _padding(draft: Draft) -> None:
    _padded(draft, PADDING)
    draft.tag(PixelPaddingValue=PADDING)


@defect(
    "padding-wrong-sign", "13", "PixelPaddingValue 63536 where pixels hold -2000", verdict="repair"
)
def _padding_wrong_sign(draft: Draft) -> None:
    _padded(draft, PADDING)
    draft.tag(PixelPaddingValue=1)
    for image in draft.images:
        image.data["PixelPaddingValue"].VR = "US"
        image.data["PixelPaddingValue"].value = PADDING & 0xFFFF


@defect(
    "padding-range", "13", "padding from -2000 to PixelPaddingRangeLimit -1990", verdict="repair"
)
def _padding_range(draft: Draft) -> None:
    _padded(draft, PADDING)
    draft.tag(PixelPaddingValue=PADDING, PixelPaddingRangeLimit=PADDING + 10)
    outside = outside_circle(known(draft).shape, 0.48)[0]
    for image in draft.images:
        stored = words(image.data).view(np.int16)
        stored[outside] += draft.random.integers(0, 11, outside.sum(), dtype=np.int16)
        image.data.PixelData = stored.tobytes()


defect(
    "padding-untagged", "13", "-2000 outside the circle, and no tag that says so", verdict="repair"
)(lambda draft: _padded(draft, PADDING))


@defect("dirty-high-bits", "14", "12 bits unsigned, leftovers in the other four")
def _dirty_high_bits(draft: Draft) -> None:
    draft.store(known(draft), 12)
    for image in draft.images:
        dirt = draft.random.integers(0, 16, words(image.data).shape, dtype=np.uint16) << 12
        image.data.PixelData = (words(image.data) | dirt).astype("<u2").tobytes()


defect("signed-12-bit", "15", "12 bits signed, zeros above the sign")(
    lambda draft: draft.store(known(draft), 12, signed=True, intercept=0)
)


@defect("overlay-in-high-bits", "-", "a (retired) overlay in bit 12 of the pixels")
def _overlay_in_high_bits(draft: Draft) -> None:
    draft.store(known(draft), 12)
    overlay(draft)


def overlay(draft: Draft) -> None:
    """Draw a bar into bit 12, and declare it."""
    for image in draft.images:
        stored = words(image.data)
        stored[4:12, 5:20] |= _OVERLAY
        image.data.PixelData = stored.astype("<u2").tobytes()
        image.data.add_new(0x60000010, "US", stored.shape[0])
        image.data.add_new(0x60000011, "US", stored.shape[1])
        image.data.add_new(0x60000040, "CS", "G")
        image.data.add_new(0x60000050, "SS", [1, 1])
        image.data.add_new(0x60000100, "US", 16)
        image.data.add_new(0x60000102, "US", 12)


defect("rescale-type-us", "16", "RescaleType US: the unit is unspecified", verdict="warn")(
    lambda draft: draft.tag(RescaleType="US")
)


@defect("rescale-type-other", "16", "RescaleType OD: optical density", error="PixelDataError")
def _rescale_type_other(draft: Draft) -> None:
    draft.tag(RescaleType="OD")
    draft.forget()


@defect("perfusion", "16", "ImageType says that the values are perfusion", error="PixelDataError")
def _perfusion(draft: Draft) -> None:
    draft.tag(ImageType=["DERIVED", "PRIMARY", "AXIAL", "PERFUSION"])
    draft.forget()


@defect("no-rescale", "17", "no RescaleSlope and RescaleIntercept", error="PixelDataError")
def _no_rescale(draft: Draft) -> None:
    draft.drop("RescaleSlope", "RescaleIntercept")
    draft.forget()


@defect("slope-zero", "45", "RescaleSlope 0", error="PixelDataError")
def _slope_zero(draft: Draft) -> None:
    draft.tag(RescaleSlope="0")
    draft.forget()


defect(
    "monochrome1",
    "39",
    "MONOCHROME1, which changes how a value is shown and not what it is",
    error="PixelDataError",
    repair=("monochrome1",),
)(lambda draft: draft.tag(PhotometricInterpretation="MONOCHROME1"))


@defect(
    "blank-slice", "46", "one slice inside the stack is air everywhere", error="GeometryError",
    repair=("gaps",),
)  # fmt: skip  # a row a defect
def _blank_slice(draft: Draft) -> None:
    hu = known(draft)
    blank = draft.images[draft.inside()]
    set_pixels(blank.data, np.zeros(hu.shape[1:], np.int64))


@defect("blank-end", "46", "the last slice is air everywhere", verdict="warn")
def _blank_end(draft: Draft) -> None:
    hu = known(draft)
    set_pixels(draft.images[-1].data, np.zeros(hu.shape[1:], np.int64))
    draft.hu = hu[:-1]


defect("metal", "47", "a metal ball, cut off at 3071 HU", verdict="warn")(
    lambda draft: _ball(draft, 3071, slope=1)
)


defect(
    "metal-extended",
    "47",
    "a metal ball of 30710 HU on the extended scale (slope 10)",
    verdict="warn",
)(lambda draft: _ball(draft, 30710, slope=10))


def _ball(draft: Draft, hu_of_metal: int, *, slope: int) -> None:
    hu = body(draft.grid.shape) // slope * slope
    steps = np.array(draft.grid.spacing_mm)
    middle = (np.array(hu.shape) - 1) / 2
    away = np.linalg.norm((lattice(hu.shape) - middle) * steps, axis=-1)
    hu[away < 7.0] = hu_of_metal  # 1.4 cm3
    draft.lay(hu)
    draft.store((hu + 1000) // slope - 1000, intercept=-1000)
    draft.tag(RescaleSlope=str(slope))


@defect("fov-truncated", "-", "a trunk wider than the field of view", verdict="warn")
def _fov_truncated(draft: Draft) -> None:
    hu = body(draft.grid.shape, width=1.1)
    outside = outside_circle(hu.shape, 0.48)
    draft.lay(hu)
    draft.store(np.where(outside, PADDING - 1024, hu), signed=True)
    draft.hu = np.where(outside, AIR_HU, hu)
    draft.tag(PixelPaddingValue=PADDING)


@defect("motion", "-", "the patient moved by four pixels in some slices", verdict="warn")
def _motion(draft: Draft) -> None:
    hu = body(draft.grid.shape, width=0.7)
    k = int(draft.random.integers(2, len(hu) - 3))
    hu[k : k + 2] = np.roll(hu[k : k + 2], (4, -4), axis=(1, 2))
    draft.lay(hu)


@defect("burned-in", "-", "text drawn into the pixels", error="PixelDataError")
def _burned_in(draft: Draft) -> None:
    hu = known(draft)
    hu[:, 2:6, 2:20] = 3000
    draft.store(hu)
    draft.tag(BurnedInAnnotation="YES")
    draft.forget()


@defect("dose-screen", "-", "pages of a dose report, stored as CT slices", error="NoSeriesError")
def _dose_screen(draft: Draft) -> None:
    hu = np.full(draft.grid.shape, NOTHING_HU, np.int64)
    hu[:, 4:8, 4:24] = 1000
    draft.lay(hu)
    draft.tag(ImageType=["DERIVED", "SECONDARY", "DOSE_INFO"])
    draft.forget()


@defect("mr", "-", "magnetic resonance", error="NoSeriesError")
def _mr(draft: Draft) -> None:
    draft.tag(Modality="MR", SOPClassUID="1.2.840.10008.5.1.4.1.1.4")
    for image in draft.images:
        image.data.file_meta.MediaStorageSOPClassUID = image.data.SOPClassUID
    draft.drop("RescaleSlope", "RescaleIntercept")
    draft.forget()


@defect("colour", "-", "colour images", error="NoSeriesError")
def _colour(draft: Draft) -> None:
    draft.tag(SamplesPerPixel=3, PhotometricInterpretation="RGB", PlanarConfiguration=0)
    draft.tag(BitsAllocated=8, BitsStored=8, HighBit=7)
    for image in draft.images:
        grey = (words(image.data) >> 4).astype(np.uint8)
        image.data.PixelData = np.repeat(grey[..., None], 3, axis=-1).tobytes()
    draft.forget()


# Defects of files: syntaxes, damage, hostile sizes, and what else lies in the folder.

RLE = "1.2.840.10008.1.2.5"
JPEG_LS = "1.2.840.10008.1.2.4.80"
JPEG_LS_LOSSY = "1.2.840.10008.1.2.4.81"
J2K = "1.2.840.10008.1.2.4.90"
_CODEC = {JPEG_LS: "jpeg_ls", JPEG_LS_LOSSY: "jpeg_ls", J2K: "openjpeg"}

_PIXEL_ELEMENT = b"\xe0\x7f\x10\x00OW\0\0"
_CODE_STREAM = b"\xff\x4f\xff\x51"
_NEAR_LOSSLESS_HU = 3
_BOMB_BYTES = 128 << 20


def compressed(draft: Draft, syntax: str, **options: Any) -> None:  # noqa: ANN401  # an encoder's
    """Compress all slices now, so that what their headers say can be changed afterwards."""
    from pydicom.uid import UID

    if syntax in _CODEC:
        require_extra(_CODEC[syntax], extra="codecs", purpose="rhoa.testing")
    for image in draft.images:
        image.data.file_meta.TransferSyntaxUID = UID(EXPLICIT_LITTLE)
        image.data.compress(UID(syntax), generate_instance_uid=False, **options)
        image.syntax = ""


defect("bigendian", "34", "explicit VR big endian")(lambda draft: draft.encode(EXPLICIT_BIG))


defect("deflated", "35", "deflated explicit VR little endian")(lambda draft: draft.encode(DEFLATED))


defect("rle", "36", "RLE lossless")(lambda draft: compressed(draft, RLE))


defect("implicit", "37", "implicit VR little endian")(lambda draft: draft.encode(IMPLICIT_LITTLE))


defect("jpeg-ls", "-", "JPEG-LS lossless")(lambda draft: compressed(draft, JPEG_LS))


defect("j2k", "-", "JPEG 2000 lossless")(lambda draft: compressed(draft, J2K))


@defect(
    "j2k-signedness", "-", "signed by the header, unsigned by the JPEG 2000 stream", verdict="warn"
)
def _j2k_signedness(draft: Draft) -> None:
    draft.store(known(draft), intercept=0)
    compressed(draft, J2K)
    draft.tag(PixelRepresentation=1)


@defect("overlay-j2k", "-", "an overlay in bit 12, compressed along with the pixels")
def _overlay_j2k(draft: Draft) -> None:
    overlay(draft)
    compressed(draft, J2K)
    draft.tag(BitsStored=12, HighBit=11)


@defect("lossy", "-", "JPEG-LS near-lossless: HU are off by up to 3", verdict="warn")
def _lossy(draft: Draft) -> None:
    compressed(draft, JPEG_LS_LOSSY, jls_error=_NEAR_LOSSLESS_HU)
    draft.tag(LossyImageCompression="01")
    draft.tolerance_hu = _NEAR_LOSSLESS_HU


@defect("lossy-padding", "-", "padding of -2000 that lossy compression moved", verdict="warn")
def _lossy_padding(draft: Draft) -> None:
    hu = known(draft)
    outside = outside_circle(hu.shape, 0.48)
    drift = draft.random.integers(-315, 316, hu.shape)
    draft.store(np.where(outside, -2000 - 1024 + drift, hu), signed=True)
    draft.hu = np.where(outside, AIR_HU, hu)
    draft.tag(PixelPaddingValue=-2000, LossyImageCompression="01")


defect(
    "short-pixel-data",
    "28",
    "one slice has too few pixels",
    error="PixelDataError",
    repair=("drop", "gaps"),
)(lambda draft: _shorten(draft, draft.inside()))


@defect("short-last-slice", "28", "the last slice has too few pixels", error="PixelDataError",
        repair=("drop",))  # fmt: skip  # a row a defect
def _short_last_slice(draft: Draft) -> None:
    _shorten(draft, -1)
    draft.hu = known(draft)[:-1]


def _shorten(draft: Draft, k: int) -> None:
    data = draft.images[k].data
    data.PixelData = data.PixelData[: len(data.PixelData) // 4 * 2]


@defect("excess-pixel-data", "28", "one slice has bytes after its pixels", verdict="warn")
def _excess_pixel_data(draft: Draft) -> None:
    draft.images[draft.inside()].data.PixelData += bytes(64)


@defect("no-pixel-data", "28", "one slice has no Pixel Data at all", error="PixelDataError",
        repair=("drop", "gaps"))  # fmt: skip  # a row a defect
def _no_pixel_data(draft: Draft) -> None:
    del draft.images[draft.inside()].data.PixelData


@defect("cut-file", "29", "one file ends inside its pixels", error="PixelDataError",
        repair=("drop", "gaps"))  # fmt: skip  # a row a defect
def _cut_file(draft: Draft) -> None:
    draft.images[draft.inside()].edit = lambda content: content[: -len(content) // 3]


@defect("cut-header", "29", "one file ends inside its header", error="ReadError",
        repair=("drop", "gaps"))  # fmt: skip  # a row a defect
def _cut_header(draft: Draft) -> None:
    draft.images[draft.inside()].edit = lambda content: content[:700]


@defect("four-gigabytes", "31", "one Pixel Data claims 4 GB", error="PixelDataError",
        repair=("drop", "gaps"))  # fmt: skip  # a row a defect
def _four_gigabytes(draft: Draft) -> None:
    def claim(content: bytes) -> bytes:
        place = content.rindex(_PIXEL_ELEMENT) + len(_PIXEL_ELEMENT)
        return content[:place] + struct.pack("<I", 0xFFFFFFFE) + content[place + 4 :]

    draft.images[draft.inside()].edit = claim


@defect("rows-65535", "30", "65535 x 65535 pixels are claimed", error="PixelDataError")
def _rows_65535(draft: Draft) -> None:
    draft.tag(Rows=65535, Columns=65535)
    draft.forget()


@defect("rows-65535-rle", "30", "65535 x 65535 RLE pixels are claimed", error="PixelDataError")
def _rows_65535_rle(draft: Draft) -> None:
    compressed(draft, RLE)
    _rows_65535(draft)


@defect("rows-8000-rle", "30", "8000 x 8000 RLE pixels are claimed", error="PixelDataError")
def _rows_8000_rle(draft: Draft) -> None:
    compressed(draft, RLE)
    draft.tag(Rows=8000, Columns=8000)
    draft.forget()


@defect(
    "rows-65535-j2k", "30", "65535 x 65535 JPEG 2000 pixels are claimed", error="PixelDataError"
)
def _rows_65535_j2k(draft: Draft) -> None:
    compressed(draft, J2K)
    _rows_65535(draft)
    for image in draft.images:
        image.edit = _stream_of(65535)


@defect("stream-size", "30", "the JPEG 2000 stream claims 60000 x 60000, the header does not",
        error="PixelDataError")  # fmt: skip  # a row a defect
def _stream_size(draft: Draft) -> None:
    compressed(draft, J2K)
    draft.images[draft.inside()].edit = _stream_of(60000)
    draft.forget()


def _stream_of(side: int) -> Callable[[bytes], bytes]:
    def claim(content: bytes) -> bytes:
        place = content.rindex(_CODE_STREAM) + 8
        return content[:place] + struct.pack(">II", side, side) + content[place + 8 :]

    return claim


@defect(
    "deflate-bomb", "-", "a deflated slice of 130 kB that inflates to 128 MiB", error="ReadError"
)
def _deflate_bomb(draft: Draft) -> None:
    def inflated(content: bytes) -> bytes:
        start = 144 + struct.unpack_from("<I", content, 140)[0]
        data = zlib.decompress(content[start:], -zlib.MAX_WBITS)
        head = data[: data.rindex(_PIXEL_ELEMENT)] + _PIXEL_ELEMENT
        deflate = zlib.compressobj(wbits=-zlib.MAX_WBITS)
        parts = [content[:start], deflate.compress(head + struct.pack("<I", _BOMB_BYTES))]
        parts += [deflate.compress(bytes(1 << 20)) for _ in range(_BOMB_BYTES >> 20)]
        return b"".join([*parts, deflate.flush()])

    image = draft.images[draft.inside()]
    image.syntax, image.edit = DEFLATED, inflated
    draft.forget()


@defect("foreign-files", "32", "a note, an empty file and a text named .dcm", verdict="repair")
def _foreign_files(draft: Draft) -> None:
    for name, content in (("notes.txt", "CANARY"), ("empty.dcm", ""), ("text.dcm", "CANARY" * 50)):
        draft.others.append(draft.folder / name)
        draft.others[-1].write_text(content)


@defect("symlink-loop", "33", "a link to the folder itself")
def _symlink_loop(draft: Draft) -> None:
    draft.others.append(draft.folder / "loop")
    draft.others[-1].symlink_to(draft.folder.resolve(), target_is_directory=True)


@defect("dicomdir-escape", "-", "a DICOMDIR that refers to files outside the folder")
def _dicomdir_escape(draft: Draft) -> None:
    from pydicom import config
    from pydicom.dataset import Dataset, FileDataset
    from pydicom.uid import MediaStorageDirectoryStorage

    meta = copy.deepcopy(draft.images[0].data.file_meta)
    meta.MediaStorageSOPClassUID = MediaStorageDirectoryStorage
    directory: Any = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    record: Any = Dataset()
    with config.disable_value_validation():
        record.DirectoryRecordType = "IMAGE"
        record.ReferencedFileID = ["..", "..", "..", "etc", "hostname"]
        directory.FileSetID = "CANARY"
        directory.DirectoryRecordSequence = [record]
        meta.TransferSyntaxUID = EXPLICIT_LITTLE
        draft.others.append(draft.folder / "DICOMDIR")
        directory.save_as(draft.others[-1], enforce_file_format=True)


@defect("polyglot", "-", "a preamble that makes each file a Windows program, too")
def _polyglot(draft: Draft) -> None:
    for image in draft.images:
        image.data.preamble = (
            b"MZ" + bytes(58) + struct.pack("<I", 128) + b"CANARY".ljust(64, b"\0")
        )


@defect("two-series", "07", "two series of one patient", error="AmbiguousSeriesError")
def _two_series(draft: Draft) -> None:
    dk, dj, di = draft.grid.spacing_mm
    finer = replace(draft.grid, spacing_mm=(dk / 2, dj, di))
    other = draft.slices(finer, known(draft) + 7, series="2")
    for image in other:
        image.data.ConvolutionKernel = "B60f"
    draft.images += other
    draft.forget()


def _phases(draft: Draft, *, alternating: bool) -> None:
    """A second acquisition in the same series, at the same places or halfway between them."""
    away = np.asarray(draft.grid.origin_mm) + (
        0.5 * alternating * draft.grid.spacing_mm[0] * draft.grid.normal
    )
    other = draft.slices(replace(draft.grid, origin_mm=away), known(draft) + 7)
    for number, images in enumerate((draft.images, other), 1):
        for k, image in enumerate(images):
            image.data.AcquisitionNumber = number
            image.data.SOPInstanceUID = f"{ROOT}{number}.{k + 1}"
            image.data.file_meta.MediaStorageSOPInstanceUID = image.data.SOPInstanceUID
            image.name = f"IM{number}{k:03d}"
    draft.images = draft.images + other
    draft.forget()


defect(
    "two-phases",
    "-",
    "two acquisitions at the same places, in one series",
    error="AmbiguousSeriesError",
)(lambda draft: _phases(draft, alternating=False))


defect(
    "alternating-phases",
    "-",
    "two acquisitions in one series whose slices alternate",
    error="AmbiguousSeriesError",
)(lambda draft: _phases(draft, alternating=True))


@defect("two-patients", "-", "slices of two patients in one series", error="AmbiguousSeriesError")
def _two_patients(draft: Draft) -> None:
    for image in draft.images[len(draft.images) // 2 :]:
        image.data.PatientID = "CANARY-ID-2"
    draft.forget()


defect("iodine-map", "16", "ImageType says iodine, RescaleType US", error="PixelDataError")(
    lambda draft: _derived(draft, "IODINE_MAP", "US")
)


defect("mono-energetic", "16", "virtual mono-energetic HU of 70 keV", error="PixelDataError")(
    lambda draft: _derived(draft, "MONOE_70KEV", "HU")
)


def _derived(draft: Draft, word: str, unit: str) -> None:
    draft.tag(ImageType=["DERIVED", "PRIMARY", "AXIAL", word], RescaleType=unit)
    draft.forget()


@defect("no-preamble", "-", "files that begin with the meta group")
def _no_preamble(draft: Draft) -> None:
    for image in draft.images:
        image.edit = lambda content: content[132:]


@defect("other-vr", "-", "explicit VR, where the meta group says implicit")
def _other_vr(draft: Draft) -> None:
    def claim(content: bytes) -> bytes:
        return content.replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2\0\0\0", 1)

    for image in draft.images:
        image.edit = claim


@defect("two-encodings", "06", "every instance twice, once as RLE", verdict="repair")
def _two_encodings(draft: Draft) -> None:
    for k in range(len(draft.images)):
        again(draft, k, f"ZZ{k:03d}")
        draft.images[-1].syntax = RLE


@defect("stray-slice", "38", "one slice carries another SeriesInstanceUID", error="GeometryError",
        repair=("gaps",))  # fmt: skip  # a row a defect
def _stray_slice(draft: Draft) -> None:
    draft.images[draft.inside()].data.SeriesInstanceUID = f"{ROOT}2"


@defect("extra-slice", "38", "a series of one slice beside the scan")
def _extra_slice(draft: Draft) -> None:
    index = lattice((1, *draft.grid.shape[1:]))
    (image,) = draft.slices(draft.shaped(1), ramp(index) + 500, series="2")
    position = np.asarray(draft.grid.origin_mm) - 3.3 * draft.grid.spacing_mm[0] * draft.grid.normal
    image.data.ImagePositionPatient = decimals(position)
    draft.images.append(image)


# Enhanced CT: all slices in one file, their places and scales in functional groups.

ENHANCED_CT = "1.2.840.10008.5.1.4.1.1.2.1"


defect("enhanced", "-", "one enhanced multi-frame file")(
    lambda draft: _merge(draft, draft.images, [("1", 1)] * len(draft.images))
)


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
    ):  # fmt: skip  # what only the groups state
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

"""Defects of value: stored bits, padding, rescaling, units, and what the image shows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from rhoa.testing.draft import NOTHING_HU, body, defect
from rhoa.testing.images import lattice, set_pixels, words

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from rhoa.testing.draft import Draft

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


@defect(
    "padding-untagged", "13", "-2000 outside the circle, and no tag that says so", verdict="repair"
)
def _padding_untagged(draft: Draft) -> None:
    _padded(draft, PADDING)


@defect("dirty-high-bits", "14", "12 bits unsigned, leftovers in the other four")
def _dirty_high_bits(draft: Draft) -> None:
    draft.store(known(draft), 12)
    for image in draft.images:
        dirt = draft.random.integers(0, 16, words(image.data).shape, dtype=np.uint16) << 12
        image.data.PixelData = (words(image.data) | dirt).astype("<u2").tobytes()


@defect("signed-12-bit", "15", "12 bits signed, zeros above the sign")
def _signed_12_bit(draft: Draft) -> None:
    draft.store(known(draft), 12, signed=True, intercept=0)


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


@defect("rescale-type-us", "16", "RescaleType US: the unit is unspecified", verdict="warn")
def _rescale_type_us(draft: Draft) -> None:
    draft.tag(RescaleType="US")


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


@defect(
    "monochrome1", "39", "MONOCHROME1, which changes how a value is shown and not what it is",
    error="PixelDataError", repair=("monochrome1",),
)  # fmt: skip  # a row a defect
def _monochrome1(draft: Draft) -> None:
    draft.tag(PhotometricInterpretation="MONOCHROME1")


@defect(
    "blank-slice", "46", "one slice inside the stack is air everywhere", error="GeometryError",
    repair=("gaps",),
)  # fmt: skip  # a row a defect
def _blank_slice(draft: Draft) -> None:
    hu = known(draft)
    blank = draft.images[draft.inside()]
    set_pixels(blank.data, np.zeros(hu.shape[1:], np.int64))


@defect("blank-end", "46", "the last slice is air everywhere", verdict="repair")
def _blank_end(draft: Draft) -> None:
    hu = known(draft)
    set_pixels(draft.images[-1].data, np.zeros(hu.shape[1:], np.int64))
    draft.hu = hu[:-1]


@defect("metal", "47", "a metal ball, cut off at 3071 HU", verdict="warn")
def _metal(draft: Draft) -> None:
    _ball(draft, 3071, slope=1)


@defect(
    "metal-extended",
    "47",
    "a metal ball of 30710 HU on the extended scale (slope 10)",
    verdict="warn",
)
def _metal_extended(draft: Draft) -> None:
    _ball(draft, 30710, slope=10)


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

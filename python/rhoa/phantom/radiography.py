"""An AP X-ray of a digital pelvis: cone beam, exponential attenuation, noise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from rhoa._types import SIDES
from rhoa.errors import require_positive
from rhoa.hips import Box
from rhoa.phantom.solids import half_box_mm
from rhoa.phantom.voxelize import Phantom, ct
from rhoa.radiograph import Radiograph
from rhoa.raster import resize

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from rhoa._types import Side
    from rhoa.phantom.anatomy import Anatomy

SOURCE_TO_DETECTOR_MM = 1150.0
DETECTOR_MM = (300.0, 400.0)  # rows, columns
COARSE_MM = 0.75  # detector pixels of the line integrals; finer ones are interpolated
VOXEL_MM = 1.5

# Linear attenuation at 60 keV, 1/mm: water, and how much more bone of 1000 HU takes away.
WATER_PER_MM = 0.0206
BONE_PER_MM_KHU = 0.0340
PHOTONS = 30_000.0  # for each 0.2 mm pixel of an empty beam
NUMBER_OF_LEVELS = 4095


@dataclass(frozen=True, slots=True, eq=False)
class XRay:
    """An X-ray of a digital pelvis and what is true of it."""

    radiograph: Radiograph
    boxes: Mapping[Side, Box]
    """The square that a reader draws around each hip, in pixel edges."""
    hip_centres_px: Mapping[Side, tuple[float, float]]
    """(row, column) of the femoral heads, in pixel edges."""
    anatomy: Anatomy


def xray(
    anatomy: Anatomy, *, pixel_mm: float = 0.2, seed: int = 0, voxel_mm: float = VOXEL_MM
) -> XRay:
    """An AP pelvic X-ray of the subject, positioned as ``seed`` has it.

    The beam starts 1150 mm from the detector and is centred between symphysis and ASIS. Grey levels
    are the logarithm of the attenuation, 0 to 4095, bone bright; row 0 is superior, column 0 the
    patient's right.

    Parameters
    ----------
    anatomy
        The subject; the same one can be scanned by `rhoa.phantom.ct`.
    pixel_mm
        Detector pixel.
    seed
        Of positioning (a few degrees of tilt, obliquity and rotation) and noise.
    voxel_mm
        Of the body that the beam passes; 2.5 mm take a quarter of the time, and blur a little.

    Raises
    ------
    ParameterError
        If ``pixel_mm`` or ``voxel_mm`` is not positive.
    """
    pixel_mm = require_positive("pixel_mm", pixel_mm)
    voxel_mm = require_positive("voxel_mm", voxel_mm)
    random = np.random.default_rng([anatomy.seed, 99, seed])
    angles = tuple(random.normal(0, (5.0, 1.5, 2.0)).tolist())
    patient = ct(
        anatomy,
        spacing_mm=(voxel_mm, voxel_mm, voxel_mm),
        angles=(angles[0], angles[1], angles[2]),
        noise_hu=0,
        table=False,
    )
    beam = _Beam.centred_on(patient)
    rows, columns = (round(length / pixel_mm) for length in DETECTOR_MM)
    integral = resize(_line_integrals(patient, beam), rows, columns)
    radiograph = Radiograph(
        _exposed(integral, pixel_mm, random),
        (pixel_mm, pixel_mm),
        (-DETECTOR_MM[1] / 2 + pixel_mm / 2, DETECTOR_MM[0] / 2 - pixel_mm / 2),
        provenance={"kind": "X-ray", "made": "phantom"},
    )
    centres, boxes = {}, {}
    for side in SIDES:
        u, v = beam.project(patient.hip_centres[side])
        row, column = radiograph.to_pixel(u, v)
        row, column = row + 0.5, column + 0.5  # from pixel centres to pixel edges
        centres[side] = (row, column)
        magnification = beam.magnification(float(patient.hip_centres[side][1]))
        half = magnification * half_box_mm(anatomy, side) / pixel_mm
        boxes[side] = Box(side, row - half, column - half, row + half, column + half)
    return XRay(radiograph, boxes, centres, anatomy)


@dataclass(frozen=True, slots=True)
class _Beam:
    """A point source in front of the patient and a detector behind, in LPS mm."""

    x: float
    source_y: float
    z: float

    @classmethod
    def centred_on(cls, patient: Phantom) -> _Beam:
        points = patient.landmarks.as_array()
        x, z = (float((points[:2, axis].mean() + points[2:, axis].mean()) / 2) for axis in (0, 2))
        back = float(patient.volume.corners_lps_mm()[:, 1].max())
        return cls(x, back - SOURCE_TO_DETECTOR_MM, z)

    def magnification(self, y: float) -> float:
        """Of a coronal plane."""
        return SOURCE_TO_DETECTOR_MM / (y - self.source_y)

    def project(self, point: NDArray[np.float64]) -> tuple[float, float]:
        """(to the left, up) in mm on the detector, from its centre."""
        m = self.magnification(float(point[1]))
        return float(m * (point[0] - self.x)), float(m * (point[2] - self.z))


def _line_integrals(patient: Phantom, beam: _Beam) -> NDArray[np.float32]:
    """Attenuation along each ray; in a cone beam each coronal slice is magnified as a whole."""
    volume = patient.volume
    dk, dj, di = volume.spacing_mm
    first = volume.to_lps([0, 0, 0])
    rows, columns = (round(length / COARSE_MM) for length in DETECTOR_MM)
    up = (DETECTOR_MM[0] / 2 - (np.arange(rows) + 0.5) * COARSE_MM).astype(np.float32)
    left = (-DETECTOR_MM[1] / 2 + (np.arange(columns) + 0.5) * COARSE_MM).astype(np.float32)
    total = np.zeros((rows, columns), np.float32)
    for j in range(volume.shape[1]):
        m = beam.magnification(first[1] + j * dj)
        slice_mu = _attenuation(volume.hu[:, j, :])
        if not slice_mu.any():
            continue
        k = (up / m + beam.z - first[2]) / dk
        i = (left / m + beam.x - first[0]) / di
        total += _interpolated(_interpolated(slice_mu, k).T, i).T
    # A ray crosses the slices at an angle: its path through each is longer than the slice.
    slant = np.sqrt(1 + (up[:, None] ** 2 + left**2) / SOURCE_TO_DETECTOR_MM**2)
    integrals: NDArray[np.float32] = np.asarray(total * slant * dj, np.float32)
    return integrals


def _attenuation(hu: NDArray[np.int16]) -> NDArray[np.float32]:
    khu = hu.astype(np.float32) / 1000
    bone = np.maximum(khu - 0.1, 0)
    mu = WATER_PER_MM * (1 + khu - bone) + BONE_PER_MM_KHU * bone
    return np.asarray(np.maximum(mu, 0), np.float32)


def _interpolated(image: NDArray[np.float32], place: NDArray[np.float32]) -> NDArray[np.float32]:
    """Rows of ``image`` at fractional places; zero outside."""
    inside = (place >= 0) & (place <= len(image) - 1)
    low = np.clip(np.floor(place).astype(int), 0, len(image) - 2)
    share = np.clip(place - low, 0, 1)[:, None]
    first = image.take(low, 0)
    step: NDArray[np.float32] = share * (image.take(low + 1, 0) - first)
    step += first
    step *= inside[:, None]
    return step


def _exposed(
    integral: NDArray[np.float32], pixel_mm: float, random: np.random.Generator
) -> NDArray[np.float32]:
    """Grey levels of a detector: counting noise, a little blur, logarithm."""
    from scipy.ndimage import gaussian_filter

    photons = PHOTONS * (pixel_mm / 0.2) ** 2 * np.exp(-integral)
    noise = random.standard_normal(integral.shape, dtype=np.float32)
    counted = np.maximum(photons + np.sqrt(photons) * noise, 1)
    seen = gaussian_filter(counted, 0.15 / pixel_mm)
    dark = -np.log(seen / (PHOTONS * (pixel_mm / 0.2) ** 2))
    levels = np.clip(dark / np.float32(integral.max() + 0.3), 0, 1) * NUMBER_OF_LEVELS
    return np.asarray(np.rint(levels), np.float32)

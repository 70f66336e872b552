"""Scans whose projections are known exactly."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy.special import erf

import rhoa
from tests.strategies import stored


@dataclass(frozen=True, slots=True)
class Blobs:
    """Gaussian blobs, round in millimetres: their line integrals are Gaussians."""

    centres_lps: NDArray[np.float64]  # (n, 3)
    sigmas_mm: NDArray[np.float64]
    heights_hu: NDArray[np.float64]

    @classmethod
    def within(
        cls, volume: rhoa.Volume, sigmas_mm: tuple[float, float], count: int = 25, seed: int = 0
    ) -> Blobs:
        """Blobs of random size and height, so far inside that nothing of them is cut off."""
        rng = np.random.default_rng(seed)
        sigmas = rng.uniform(*sigmas_mm, count)
        corners = volume.corners_lps_mm()
        margin = 6 * sigmas_mm[1]
        centres = rng.uniform(corners.min(0) + margin, corners.max(0) - margin, (count, 3))
        return cls(centres, sigmas, rng.uniform(50, 200, count))

    def scan(self, shape: tuple[int, int, int], affine: NDArray[np.float64]) -> rhoa.Volume:
        """The blobs sampled at voxel centres, float32; array axes run along patient axes."""
        hu = np.zeros(shape, np.float64)
        for centre, sigma, height in zip(
            self.centres_lps, self.sigmas_mm, self.heights_hu, strict=True
        ):
            factors = []
            for axis, length in enumerate(shape):
                step = affine[:3, axis]
                patient = np.flatnonzero(step)[0]
                place = affine[patient, 3] + step[patient] * np.arange(length)
                factors.append(np.exp(-(((place - centre[patient]) / sigma) ** 2) / 2))
            hu += height * np.einsum("k,j,i->kji", *factors)
        return rhoa.Volume(hu.astype(np.float32), affine)

    def image(
        self, radiograph: rhoa.Radiograph, depth_mm: tuple[float, float] = (-np.inf, np.inf)
    ) -> NDArray[np.float64]:
        """Exact line integrals in HU mm at the pixels of an image, between two depths."""
        x, z = pixel_mm(radiograph)
        image = np.zeros(radiograph.shape)
        for centre, sigma, height in zip(
            radiograph.alignment.to_ap(self.centres_lps),
            self.sigmas_mm,
            self.heights_hu,
            strict=True,
        ):
            distance = (x - centre[0]) ** 2 + (z - centre[2]) ** 2
            front, back = erf((np.array(depth_mm) - centre[1]) / (np.sqrt(2) * sigma))
            along = height * sigma * np.sqrt(np.pi / 2) * (back - front)
            image += along * np.exp(-distance / (2 * sigma**2))
        return image


def pixel_mm(radiograph: rhoa.Radiograph) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """AP x and z of every pixel."""
    rows, columns = np.indices(radiograph.shape)
    x, z = radiograph.to_mm(rows, columns)
    return np.asarray(x), np.asarray(z)


def sheet(shape: tuple[int, int, int], alignment: rhoa.Alignment, depth_mm: float) -> rhoa.Volume:
    """A sheet of 600 HU and 1 mm, facing the beam at a depth, in a scan of 1 mm voxels.

    Each voxel holds the exact share of its cube that lies in the sheet.
    """
    volume = rhoa.Volume.from_array(np.zeros(shape, np.float32), (1, 1, 1))
    index = np.stack(np.indices(shape), axis=-1)
    depth = alignment.to_ap(volume.to_lps(index))[..., 1] - depth_mm
    beam = alignment.matrix[1]
    share = _share_of_cube(0.5 + depth, beam) - _share_of_cube(depth - 0.5, beam)
    return rhoa.Volume((600 * share).astype(np.float32), volume.affine)


def _share_of_cube(reach: NDArray[np.float64], normal: NDArray[np.float64]) -> NDArray[np.float64]:
    """The share of a unit cube about 0 whose distance along a normal is below ``reach``.

    Three boxes of the normal's components, convolved and integrated: a sum of cubes of ramps.
    """
    sides = np.maximum(np.abs(normal), 1e-3)  # a face seen edge-on leaves 0 / 0
    share = np.zeros_like(reach)
    for corner in product([-0.5, 0.5], repeat=3):
        ramp = np.maximum(np.clip(reach, -2, 2) + sides @ corner, 0)
        share += np.prod(np.sign(corner)) * ramp**3
    return share / (6 * np.prod(sides))


def chord_mm(
    volume: rhoa.Volume, radiograph: rhoa.Radiograph, depth_mm: tuple[float, float]
) -> NDArray[np.float64]:
    """Length of every pixel's ray inside the box of voxels and the depth range: three slabs."""
    x, z = pixel_mm(radiograph)
    frame = radiograph.alignment
    start = volume.to_index(frame.to_lps(np.stack([x, np.zeros_like(x), z], axis=-1)))
    step = np.linalg.solve(volume.affine[:3, :3], frame.matrix[1])
    ends = np.stack([-0.5 - start, np.array(volume.shape) - 0.5 - start]) / step
    enters, leaves = ends.min(0).max(-1), ends.max(0).min(-1)
    return np.clip(np.minimum(leaves, depth_mm[1]) - np.maximum(enters, depth_mm[0]), 0, None)


LETTER = np.array(
    [
        [1, 1, 1, 1, 0],
        [1, 0, 0, 0, 1],
        [1, 1, 1, 1, 0],
        [1, 0, 1, 0, 0],
        [1, 0, 0, 1, 0],
        [1, 0, 0, 0, 1],
    ],
    bool,
)
"""An R, which neither turn nor mirror brings to itself. Row 0 is superior, column 0 right."""


def letter(order: tuple[int, ...] = (0, 1, 2), flips: tuple[int, ...] = (0, 0, 0)) -> rhoa.Volume:
    """An R of 500 HU in air, near the patient's front, upper left, stored in any order."""
    hu = np.full((60, 44, 52), -1000, np.int16)
    strokes = np.kron(LETTER, np.ones((6, 6), bool))[::-1]  # k grows superior
    hu[16:52, 8:14, 14:44][np.broadcast_to(strokes[:, None], (36, 6, 30))] = 500
    return stored(rhoa.Volume.from_array(hu, (1.2, 0.9, 1.0)), order, flips)

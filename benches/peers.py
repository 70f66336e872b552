"""Projections of clipped CT by other tools, all called the same way.

A straight image sums a volume ``hu[k, j, i]`` along j; an oblique one sums samples along a `Grid`'s
y. The volume is clipped first, interpolated linearly, and beyond its outermost voxels it goes on as
voxels of the window's low end. Voxels are 1 mm cubes: ITK's point (x, y, z) is voxel (i, j, k).

``prepare`` makes a tool's own image, once and outside of any timing. The first call of a function
imports, compiles and starts threads: call it once before timing.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib import import_module, metadata
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

ToolImage = Any  # what `Peer.prepare` makes, in the tool's own type
Volume = NDArray[np.int16]
Image = NDArray[np.int32] | NDArray[np.float32] | NDArray[np.float64]
Window = tuple[int, int]

_BELOW_ANY_WINDOW = -(1 << 15)
_LAYERS = 32  # of samples held at once by torch: 0.1 GB for an image of 512 x 512


@dataclass(frozen=True, slots=True)
class Grid:
    """Samples (z, y, x) at the voxel index ``origin + z steps[0] + y steps[1] + x steps[2]``."""

    shape: tuple[int, int, int]
    origin: NDArray[np.float64]
    steps: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Peer:
    """A tool: its packages, and its functions of what ``prepare`` makes of a volume."""

    name: str
    module: str
    distribution: str
    prepare: Callable[[Volume], ToolImage]
    straight: Callable[[ToolImage, Window, int], Image] | None  # image, window, threads
    oblique: Callable[[ToolImage, Window, Grid, int], Image] | None  # image, window, grid, threads

    @property
    def version(self) -> str:
        """The installed version."""
        return metadata.version(self.distribution)

    @property
    def missing(self) -> str | None:
        """Why the tool cannot be used, if so."""
        try:
            import_module(self.module)
            metadata.version(self.distribution)
        except ImportError as error:
            return str(error)
        return None


def _as_it_is(hu: Volume) -> Volume:
    return hu


def _framed(hu: Volume) -> Volume:
    """The volume in a frame of one voxel that any window clips to its low end."""
    return np.pad(hu, 1, constant_values=_BELOW_ANY_WINDOW)


def _axes(grid: Grid) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Unit vectors (ITK's x, y, z) and lengths of the grid's steps, which must be orthogonal."""
    lengths = np.linalg.norm(grid.steps, axis=1)
    units = grid.steps[:, ::-1] / lengths[:, None]
    if not np.allclose(units @ units.T, np.eye(3), rtol=0, atol=1e-6):
        raise ValueError(f"The grid's steps must be orthogonal; got {grid.steps.tolist()}.")
    return units, lengths


def _numpy_straight(hu: Volume, window: Window, _threads: int) -> Image:
    low, high = window
    image: NDArray[np.int32] = np.clip(hu, low, high).sum(axis=1, dtype=np.int32)
    return image


@cache
def _numba_kernel() -> Callable[[Volume, np.int16, np.int16], NDArray[np.int32]]:
    numba = import_module("numba")

    def project(hu: Volume, low: np.int16, high: np.int16) -> NDArray[np.int32]:
        slices, rows, columns = hu.shape
        image = np.zeros((slices, columns), np.int32)
        for k in numba.prange(slices):
            line = image[k]
            for j in range(rows):
                row = hu[k, j]
                for i in range(columns):
                    line[i] += min(max(row[i], low), high)
        return image

    compiled: Callable[[Volume, np.int16, np.int16], NDArray[np.int32]]
    compiled = numba.njit(parallel=True)(project)
    return compiled


def _numba_straight(hu: Volume, window: Window, threads: int) -> Image:
    import_module("numba").set_num_threads(threads)
    low, high = np.array(window, np.int16)
    return _numba_kernel()(hu, low, high)


class _SitkImages(NamedTuple):
    """The same volume for both functions; the frame gives SimpleITK the border of `Grid`."""

    plain: ToolImage
    framed: ToolImage


def _sitk_prepare(hu: Volume) -> _SitkImages:
    sitk = import_module("SimpleITK")
    framed = sitk.GetImageFromArray(_framed(hu))
    framed.SetOrigin((-1.0, -1.0, -1.0))
    return _SitkImages(sitk.GetImageFromArray(hu), framed)


def _sitk_straight(images: _SitkImages, window: Window, threads: int) -> Image:
    sitk = import_module("SimpleITK")
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(threads)
    clamped = sitk.Clamp(images.plain, sitk.sitkInt16, *window)
    return _sitk_sum(sitk, clamped)


def _sitk_oblique(images: _SitkImages, window: Window, grid: Grid, threads: int) -> Image:
    sitk = import_module("SimpleITK")
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(threads)
    units, lengths = _axes(grid)
    clamped = sitk.Clamp(images.framed, sitk.sitkInt16, *window)
    samples = sitk.Resample(
        clamped,
        grid.shape[::-1],
        sitk.Transform(),
        sitk.sitkLinear,
        grid.origin[::-1].tolist(),
        lengths[::-1].tolist(),
        units[::-1].T.ravel().tolist(),
        float(window[0]),
        sitk.sitkFloat32,
    )
    return _sitk_sum(sitk, samples)


def _sitk_sum(sitk: ModuleType, image: ToolImage) -> Image:
    summed: Image = sitk.GetArrayFromImage(sitk.SumProjection(image, 1))
    return summed[:, 0]


def _scipy_oblique(hu: Volume, window: Window, grid: Grid, _threads: int) -> Image:
    low, high = window
    samples: NDArray[np.float32] = import_module("scipy.ndimage").affine_transform(
        np.clip(hu, low, high).astype(np.float32),
        grid.steps.T,
        grid.origin,
        grid.shape,
        output=np.float32,
        order=1,
        mode="grid-constant",
        cval=low,
    )
    image: NDArray[np.float32] = samples.sum(axis=1)
    return image


def _torch_prepare(hu: Volume) -> ToolImage:
    return import_module("torch").from_numpy(hu).float()


def _torch_straight(hu: ToolImage, window: Window, threads: int) -> Image:
    import_module("torch").set_num_threads(threads)
    image: Image = hu.clamp(*window).sum(dim=1).numpy()
    return image


def _torch_oblique(hu: ToolImage, window: Window, grid: Grid, threads: int) -> Image:
    torch = import_module("torch")
    torch.set_num_threads(threads)
    low, high = window
    volume = hu.clamp(low, high).sub_(low)[None, None]  # so that its border of zeros is low
    to_unit = 2 / (np.array(hu.shape) - 1)  # voxel indices to -1 ... 1
    origin = torch.from_numpy((grid.origin * to_unit - 1)[::-1].copy())
    along_z, along_y, along_x = torch.from_numpy((grid.steps * to_unit)[:, ::-1].copy())
    z, y, x = (torch.arange(length)[:, None] for length in grid.shape)
    first_layer = (origin + (z * along_z)[:, None] + x * along_x).float()
    image = torch.full(first_layer.shape[:2], float(low * grid.shape[1]))
    for offsets in (y * along_y).float().split(_LAYERS):
        # One batch item a layer: grid_sample gives each thread whole items.
        points = (first_layer + offsets[:, None, None])[:, None]
        samples = torch.nn.functional.grid_sample(
            volume.expand(len(points), -1, -1, -1, -1), points, align_corners=True
        )
        image += samples.sum(dim=(0, 1, 2))
    summed: Image = image.numpy()
    return summed


def _rtk_prepare(hu: Volume) -> ToolImage:
    return import_module("itk").image_from_array(_framed(hu))


def _rtk_straight(framed: ToolImage, window: Window, threads: int) -> Image:
    i, j, k = (length - 2 for length in framed.GetLargestPossibleRegion().GetSize())
    return _rtk_oblique(framed, window, Grid((k, j, i), np.zeros(3), np.eye(3)), threads)


def _rtk_oblique(framed: ToolImage, window: Window, grid: Grid, threads: int) -> Image:
    itk = import_module("itk")
    itk.MultiThreaderBase.SetGlobalDefaultNumberOfThreads(threads)
    _, (down, back, left) = _axes(grid)
    rows, layers, columns = grid.shape
    detector = itk.image_from_array(np.zeros((1, rows, columns), np.float32))
    detector.SetSpacing((left, down, 1.0))
    # Parallel rays along z, as long as the grid is deep: from +source to -source.
    geometry = itk.RTK.ThreeDCircularProjectionGeometry.New()
    geometry.AddProjection(layers * back / 2, 0.0, 0.0)
    # The types are named: left to be found from the input, an attenuated projector is made.
    joseph = itk.RTK.JosephForwardProjectionImageFilter[type(detector), type(detector)].New()
    joseph.SetNumberOfWorkUnits(threads)
    joseph.SetGeometry(geometry)
    joseph.SetInput(0, detector)
    joseph.SetInput(1, _rtk_posed(itk, framed, window, grid))
    joseph.Update()
    (integrals,) = itk.array_from_image(joseph.GetOutput())
    image: Image = integrals / np.float32(back) + np.float32(window[0] * layers)
    return image


def _rtk_posed(itk: ModuleType, framed: ToolImage, window: Window, grid: Grid) -> ToolImage:
    """The volume above low, turned so that the grid's x, z, y are the detector's x, y and depth."""
    low, high = window
    clipped = itk.intensity_windowing_image_filter(
        framed,
        window_minimum=low,
        window_maximum=high,
        output_minimum=0,
        output_maximum=high - low,
        ttype=(type(framed), itk.Image[itk.F, 3]),
    )
    units, _ = _axes(grid)
    turn = units[[2, 0, 1]]
    middle = grid.origin + (grid.shape[1] - 1) / 2 * grid.steps[1]
    clipped.SetDirection(itk.matrix_from_array(turn))
    clipped.SetOrigin((turn @ (-1 - middle[::-1])).tolist())
    return clipped


PEERS = (
    Peer("NumPy", "numpy", "numpy", _as_it_is, _numpy_straight, None),
    Peer("Numba", "numba", "numba", _as_it_is, _numba_straight, None),
    Peer("SimpleITK", "SimpleITK", "SimpleITK", _sitk_prepare, _sitk_straight, _sitk_oblique),
    Peer("SciPy", "scipy.ndimage", "scipy", _as_it_is, None, _scipy_oblique),
    Peer("PyTorch", "torch", "torch", _torch_prepare, _torch_straight, _torch_oblique),
    Peer("ITK-RTK", "itk", "itk-rtk", _rtk_prepare, _rtk_straight, _rtk_oblique),
)

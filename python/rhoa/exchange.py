"""Voxels and their place in the patient, to and from other libraries' images.

Everything here speaks of an array ``[k, j, i]`` and the 4 x 4 ``affine`` from its indices to
patient LPS millimetres. nibabel and TorchIO index ``[x, y, z]`` and count in RAS; SimpleITK indexes
its arrays as rhoa does, its directions by ``x, y, z``; highdicom's volumes are rhoa's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from rhoa.errors import VolumeError, require_extra

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Placed = tuple[NDArray[Any], NDArray[np.float64]]

RAS_TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
"""And LPS to RAS."""
REVERSED = np.array([[0, 0, 1, 0], [0, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 1.0]])
"""Indices ``(x, y, z, 1)`` to ``(k, j, i, 1)``, and back."""


def to_nibabel(hu: NDArray[Any], affine: NDArray[np.float64]) -> Any:  # noqa: ANN401  # a nibabel image
    """A ``nibabel.Nifti1Image`` of the same voxels, in millimetres."""
    nibabel = require_extra("nibabel", extra="nifti", purpose="Volume.to_nibabel")
    voxels = _storable(hu)
    image = nibabel.Nifti1Image(voxels.T, RAS_TO_LPS @ affine @ REVERSED, dtype=voxels.dtype)
    image.header.set_xyzt_units("mm")
    return image


def from_nibabel(image: Any) -> Placed:  # noqa: ANN401  # a nibabel image
    """The voxels of a 3-D image of nibabel, scaled as its header says."""
    voxels = np.asanyarray(_of("nibabel", image, "dataobj"))
    if image.affine is None:
        raise VolumeError("nibabel image: it has no affine, so which side is left is unknown.")
    return _volume("nibabel", voxels).T, RAS_TO_LPS @ np.asarray(image.affine) @ REVERSED


def to_sitk(hu: NDArray[Any], affine: NDArray[np.float64]) -> Any:  # noqa: ANN401  # a SimpleITK image
    """A ``SimpleITK.Image`` of the same voxels."""
    sitk = require_extra("SimpleITK", extra="itk", purpose="Volume.to_sitk")
    image = sitk.GetImageFromArray(_storable(hu))
    steps = affine[:3, 2::-1]  # along x, y and z of the image
    spacing = np.linalg.norm(steps, axis=0)
    image.SetSpacing(spacing.tolist())
    image.SetDirection((steps / spacing).ravel().tolist())
    image.SetOrigin(affine[:3, 3].tolist())
    return image


def from_sitk(image: Any) -> Placed:  # noqa: ANN401  # a SimpleITK image
    """The voxels of a 3-D image of SimpleITK, of one number a voxel."""
    sitk = require_extra("SimpleITK", extra="itk", purpose="Volume.from_sitk")
    if _of("SimpleITK", image, "GetNumberOfComponentsPerPixel")() != 1:
        raise VolumeError("SimpleITK image: it has several values a voxel; a CT has one.")
    voxels = _volume("SimpleITK", sitk.GetArrayFromImage(image))
    affine = np.eye(4)
    directions = np.reshape(image.GetDirection(), (3, 3)) * image.GetSpacing()
    affine[:3, :3] = directions[:, ::-1]
    affine[:3, 3] = image.GetOrigin()
    return voxels, affine


def to_highdicom(hu: NDArray[Any], affine: NDArray[np.float64]) -> Any:  # noqa: ANN401  # a highdicom volume
    """A ``highdicom.Volume`` in patient coordinates, of the same voxels."""
    highdicom = require_extra("highdicom", extra="dicom-out", purpose="Volume.to_highdicom")
    return highdicom.Volume(hu, affine, coordinate_system="PATIENT")


def from_highdicom(volume: Any) -> Placed:  # noqa: ANN401  # a highdicom volume
    """The voxels of a ``highdicom.Volume`` in patient coordinates, without channels."""
    system = _of("highdicom", volume, "coordinate_system")
    if getattr(system, "value", system) != "PATIENT":
        raise VolumeError("highdicom volume: its coordinate system is not the patient's.")
    return _volume("highdicom", np.asarray(volume.array)), np.asarray(volume.affine)


def to_torchio(hu: NDArray[Any], affine: NDArray[np.float64]) -> Any:  # noqa: ANN401  # a TorchIO image
    """A ``torchio.ScalarImage`` of one channel with the same voxels."""
    torchio = require_extra("torchio", extra="torchio", purpose="Volume.to_torchio")
    torch = require_extra("torch", extra="train", purpose="Volume.to_torchio")
    tensor = torch.from_numpy(_storable(hu).T[None].copy())
    return torchio.ScalarImage(tensor=tensor, affine=RAS_TO_LPS @ affine @ REVERSED)


def from_torchio(image: Any) -> Placed:  # noqa: ANN401  # a TorchIO image
    """The voxels of a TorchIO image of one channel."""
    voxels = np.asarray(_of("TorchIO", image, "data"))
    if voxels.ndim != 4 or len(voxels) != 1:
        raise VolumeError(f"TorchIO image: one channel is needed; got shape {voxels.shape}.")
    return _volume("TorchIO", voxels[0]).T, RAS_TO_LPS @ np.asarray(image.affine) @ REVERSED


def library_of(image: object) -> str | None:
    """The library that an image is of; None where rhoa knows none."""
    libraries = {kind.__module__.partition(".")[0] for kind in type(image).__mro__}
    return next((library for library in FROM if library in libraries), None)


def placed(image: object) -> Placed | None:
    """The voxels of an image of any of these libraries, and their affine; None of anything else."""
    library = library_of(image)
    return None if library is None else FROM[library](image)


FROM: dict[str, Callable[[Any], Placed]] = {
    "nibabel": from_nibabel,
    "SimpleITK": from_sitk,
    "highdicom": from_highdicom,
    "torchio": from_torchio,
}


def _of(library: str, image: object, name: str) -> Any:  # noqa: ANN401  # what the library has there
    if not hasattr(image, name):
        raise VolumeError(f"{library}: an image of it is needed; got {type(image).__name__}.")
    return getattr(image, name)


def _volume(library: str, voxels: NDArray[Any]) -> NDArray[Any]:
    if voxels.ndim != 3:
        raise VolumeError(f"{library} image: 3 dimensions are needed; got shape {voxels.shape}.")
    return voxels


def _storable(hu: NDArray[Any]) -> NDArray[Any]:
    """Of a type that image formats know, in native byte order."""
    if hu.dtype == bool:
        return hu.view(np.uint8)
    if hu.dtype == np.float16:
        return hu.astype(np.float32)
    return hu.astype(hu.dtype.newbyteorder("="), copy=False)

"""A CT volume: Hounsfield units and where they lie; other libraries' images; a preview."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from itertools import permutations
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np

from rhoa._types import Frozen
from rhoa.errors import VolumeError, require_extra, require_positive, require_volume
from rhoa.raster import encode_png, resize

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import ArrayLike, DTypeLike, NDArray

    Placed = tuple[NDArray[Any], NDArray[np.float64]]


# Voxels and their place in the patient, to and from other libraries' images.
#
# Everything here speaks of an array ``[k, j, i]`` and the 4 x 4 ``affine`` from its indices to
# patient LPS millimetres. nibabel and TorchIO index ``[x, y, z]`` and count in RAS; SimpleITK
# indexes its arrays as rhoa does, its directions by ``x, y, z``; highdicom's volumes are rhoa's.

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


def values_and_affine(image: object) -> Placed | None:
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


# Preview of a volume: three slices through its middle, in radiological orientation.

WINDOW_HU = (-150.0, 600.0)
LONGEST_PIXELS = 240


class Scan(Protocol):
    """What is shown; a `rhoa.Volume`."""

    @property
    def hu(self) -> NDArray[Any]:
        """Voxels ``[k, j, i]``."""

    @property
    def axes(self) -> Any:  # noqa: ANN401  # AnatomicalAxes
        """Which of them runs where."""

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Along each."""


def preview(scan: Scan) -> str:
    """HTML of an axial, a coronal and a sagittal slice, where there are some; size and spacing.

    Axial and coronal slices have the patient's right on the left of the picture; sagittal ones
    have the front on the left; the head is up.
    """
    superior, posterior, left, signs = scan.axes
    order = (superior, posterior, left)
    turned = scan.hu.transpose(order)[tuple(slice(None, None, sign) for sign in signs)]
    dk, dj, di = (scan.spacing_mm[axis] for axis in order)
    k, j, i = (length // 2 for length in turned.shape)
    slices = {}
    if turned.size:
        slices = {
            "axial": (turned[k], (dj, di)),
            "coronal": (turned[::-1, j], (dk, di)),
            "sagittal": (turned[::-1, :, i], (dk, dj)),
        }
    figures = "".join(
        f'<figure style="margin:0 8px 0 0"><img alt="{name} slice" src="data:image/png;base64,'
        f'{base64.b64encode(_png(pixels, steps)).decode()}">'
        f"<figcaption>{name}</figcaption></figure>"
        for name, (pixels, steps) in slices.items()
    )
    shape = " &times; ".join(map(str, scan.hu.shape))
    spacing = " &times; ".join(f"{step:.4g}" for step in scan.spacing_mm)
    return (
        f'<div style="display:flex;align-items:flex-end">{figures}</div>'
        f"<p>Volume of {shape} {scan.hu.dtype} voxels, {spacing} mm (k, j, i)</p>"
    )


def _png(pixels: NDArray[Any], steps: tuple[float, float]) -> bytes:
    """The slice with square pixels, its longer side `LONGEST_PIXELS`."""
    sides = np.array(pixels.shape) * steps
    rows, columns = np.maximum(1, np.rint(sides * LONGEST_PIXELS / sides.max())).astype(int)
    clipped = np.clip(pixels.astype(np.float32), *WINDOW_HU)
    low, high = WINDOW_HU
    shown = resize((clipped - low) * (255 / (high - low)), int(rows), int(columns))
    return encode_png(np.rint(shown).astype(np.uint8))


# A CT volume: Hounsfield units and where they lie in the patient.


class AnatomicalAxes(NamedTuple):
    """Which array axis runs along each anatomical direction, and whether it grows that way."""

    superior: int
    posterior: int
    left: int
    signs: tuple[int, int, int]
    """+1 where the index grows toward superior, posterior, left; -1 where it falls."""


@dataclass(frozen=True, slots=True, eq=False)
class Volume(Frozen):
    """Hounsfield units on a regular grid in patient space.

    Parameters
    ----------
    hu
        3-D array indexed ``[k, j, i]`` (axial slice, row, column), in HU. It is not copied.
    affine
        4 x 4 matrix from ``(k, j, i, 1)`` to patient LPS millimetres
        (x to the patient's left, y posterior, z superior).
    report
        What the reader found, repaired and flagged; see `rhoa.read_ct`.

    Raises
    ------
    VolumeError
        If ``hu`` is not 3-D and real, or ``affine`` is not a finite, invertible 4 x 4 affine.

    Examples
    --------
    >>> import numpy as np, rhoa
    >>> volume = rhoa.Volume.from_array(np.zeros((3, 4, 5), np.int16), spacing_mm=(2, 1, 1))
    >>> volume.to_lps([1, 0, 0])
    array([0., 0., 2.])
    """

    hu: NDArray[Any]
    affine: NDArray[np.float64]
    report: Mapping[str, Any] | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        affine = np.array(self.affine, dtype=np.float64)
        if affine.shape != (4, 4) or not np.isfinite(affine).all():
            raise VolumeError("affine must be a 4 x 4 matrix of finite numbers.")
        if not np.array_equal(affine[3], [0, 0, 0, 1]):
            raise VolumeError("affine must have (0, 0, 0, 1) as its last row.")
        spacing = np.linalg.norm(affine[:3, :3], axis=0)
        if spacing.min() <= 0 or abs(np.linalg.det(affine[:3, :3] / spacing)) < 1e-3:
            raise VolumeError("affine must be invertible: its axes span no volume.")
        affine.flags.writeable = False
        object.__setattr__(self, "hu", require_volume(self.hu))
        object.__setattr__(self, "affine", affine)
        object.__setattr__(self, "report", MappingProxyType(dict(self.report or {})))

    @classmethod
    def from_array(cls, hu: ArrayLike, spacing_mm: tuple[float, float, float]) -> Volume:
        """A volume from an array and its voxel spacing ``(dk, dj, di)`` in mm.

        ``k`` grows superior, ``j`` posterior, ``i`` to the patient's left; voxel (0, 0, 0) is the
        origin.
        """
        try:
            dk, dj, di = spacing_mm
        except (TypeError, ValueError):
            raise VolumeError(
                f"spacing_mm must be (dk, dj, di), three numbers; got {spacing_mm!r}."
            ) from None
        dk, dj, di = (require_positive("spacing_mm", step) for step in (dk, dj, di))
        affine = np.array([[0, 0, di, 0], [0, dj, 0, 0], [dk, 0, 0, 0], [0, 0, 0, 1]])
        return cls(np.asarray(hu), affine)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Number of slices, rows and columns."""
        k, j, i = self.hu.shape
        return k, j, i

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Distance between neighbouring voxel centres along ``k``, ``j`` and ``i``."""
        dk, dj, di = np.linalg.norm(self.affine[:3, :3], axis=0)
        return float(dk), float(dj), float(di)

    @property
    def axes(self) -> AnatomicalAxes:
        """The array axes that run most nearly along superior, posterior and left."""
        directions = self.affine[:3, :3] / np.linalg.norm(self.affine[:3, :3], axis=0)
        along = directions[[2, 1, 0]]  # rows: superior, posterior, left; columns: array axes
        best = max(
            permutations(range(3)),
            key=lambda order: sum(abs(along[row, axis]) for row, axis in enumerate(order)),
        )
        superior, posterior, left = best
        up, back, side = (1 if along[row, axis] > 0 else -1 for row, axis in enumerate(best))
        return AnatomicalAxes(superior, posterior, left, signs=(up, back, side))

    def to_lps(self, index: ArrayLike) -> NDArray[np.float64]:
        """Patient LPS millimetres of array indices ``(..., 3)`` in the order ``k, j, i``."""
        mm: NDArray[np.float64] = (
            np.asarray(index, np.float64) @ self.affine[:3, :3].T + self.affine[:3, 3]
        )
        return mm

    def to_index(self, lps_mm: ArrayLike) -> NDArray[np.float64]:
        """Fractional array indices ``(..., 3)`` of patient LPS millimetres."""
        offset = np.asarray(lps_mm, np.float64) - self.affine[:3, 3]
        index: NDArray[np.float64] = offset @ np.linalg.inv(self.affine[:3, :3]).T
        return index

    def corners_lps_mm(self, *, beyond: float = 0.0) -> NDArray[np.float64]:
        """The eight corner voxel centres, ``(8, 3)``, in patient LPS millimetres.

        With ``beyond=0.5`` the corners of the volume: voxels reach half a voxel beyond their
        centres.
        """
        ends = [(-beyond, length - 1 + beyond) for length in self.shape]
        return self.to_lps(np.stack(np.meshgrid(*ends, indexing="ij"), axis=-1).reshape(8, 3))

    @classmethod
    def from_nibabel(cls, image: Any) -> Volume:  # noqa: ANN401  # a nibabel image
        """The volume in a 3-D image of nibabel, its values as HU; files are read by `rhoa.read_ct`.

        Raises
        ------
        VolumeError
            If the image is not 3-D, has no affine, or is none of nibabel.
        """
        return cls(*from_nibabel(image))

    @classmethod
    def from_sitk(cls, image: Any) -> Volume:  # noqa: ANN401  # a SimpleITK image
        """The volume in a 3-D SimpleITK image of one value a voxel; voxels are copied.

        Raises
        ------
        VolumeError
            If the image is not 3-D, has several values a voxel, or is none of SimpleITK.
        """
        return cls(*from_sitk(image))

    @classmethod
    def from_highdicom(cls, volume: Any) -> Volume:  # noqa: ANN401  # a highdicom volume
        """The volume in a ``highdicom.Volume`` of patient coordinates without channels.

        Raises
        ------
        VolumeError
            If it has channels, other coordinates, or is none of highdicom.
        """
        return cls(*from_highdicom(volume))

    @classmethod
    def from_torchio(cls, image: Any) -> Volume:  # noqa: ANN401  # a TorchIO image
        """The volume in a TorchIO image of one channel.

        Raises
        ------
        VolumeError
            If it has several channels, or is none of TorchIO.
        """
        return cls(*from_torchio(image))

    def to_nibabel(self) -> Any:  # noqa: ANN401  # a nibabel image
        """A ``nibabel.Nifti1Image`` (RAS); needs the extra ``nifti``."""
        return to_nibabel(self.hu, self.affine)

    def to_sitk(self) -> Any:  # noqa: ANN401  # a SimpleITK image
        """A ``SimpleITK.Image``; needs the extra ``itk``."""
        return to_sitk(self.hu, self.affine)

    def to_highdicom(self) -> Any:  # noqa: ANN401  # a highdicom volume
        """A ``highdicom.Volume``; needs the extra ``dicom-out``."""
        return to_highdicom(self.hu, self.affine)

    def to_torchio(self) -> Any:  # noqa: ANN401  # a TorchIO image
        """A ``torchio.ScalarImage``; needs the extra ``torchio``."""
        return to_torchio(self.hu, self.affine)

    def __array__(
        self,
        dtype: DTypeLike | None = None,
        copy: bool | None = None,  # noqa: FBT001  # NumPy's protocol
    ) -> NDArray[Any]:
        """The Hounsfield units ``[k, j, i]``."""
        hu = np.asarray(self.hu, dtype=dtype)
        return hu.copy() if copy and hu is self.hu else hu

    def __dlpack__(self, **options: Any) -> Any:  # noqa: ANN401  # the array's own protocol
        """The Hounsfield units, for ``torch.from_dlpack`` and the like, without a copy."""
        return self.hu.__dlpack__(**options)

    def __dlpack_device__(self) -> tuple[int, int]:
        """Where they are: main memory."""
        return self.hu.__dlpack_device__()

    def _repr_html_(self) -> str:
        """Three slices through the middle, for a notebook."""
        return preview(self)

    def __repr__(self) -> str:
        dk, dj, di = self.spacing_mm
        return f"Volume({self.shape}, {self.hu.dtype}, spacing_mm=({dk:.4g}, {dj:.4g}, {di:.4g}))"

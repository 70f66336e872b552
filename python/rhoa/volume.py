"""A CT volume: Hounsfield units and where they lie in the patient."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import permutations
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from rhoa import exchange
from rhoa.errors import VolumeError, require_positive, require_volume
from rhoa.preview import preview

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import ArrayLike, DTypeLike, NDArray


class AnatomicalAxes(NamedTuple):
    """Which array axis runs along each anatomical direction, and whether it grows that way."""

    superior: int
    posterior: int
    left: int
    signs: tuple[int, int, int]
    """+1 where the index grows toward superior, posterior, left; -1 where it falls."""


@dataclass(frozen=True, slots=True, eq=False)
class Volume:
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
        return cls(*exchange.from_nibabel(image))

    @classmethod
    def from_sitk(cls, image: Any) -> Volume:  # noqa: ANN401  # a SimpleITK image
        """The volume in a 3-D SimpleITK image of one value a voxel; voxels are copied.

        Raises
        ------
        VolumeError
            If the image is not 3-D, has several values a voxel, or is none of SimpleITK.
        """
        return cls(*exchange.from_sitk(image))

    @classmethod
    def from_highdicom(cls, volume: Any) -> Volume:  # noqa: ANN401  # a highdicom volume
        """The volume in a ``highdicom.Volume`` of patient coordinates without channels.

        Raises
        ------
        VolumeError
            If it has channels, other coordinates, or is none of highdicom.
        """
        return cls(*exchange.from_highdicom(volume))

    @classmethod
    def from_torchio(cls, image: Any) -> Volume:  # noqa: ANN401  # a TorchIO image
        """The volume in a TorchIO image of one channel.

        Raises
        ------
        VolumeError
            If it has several channels, or is none of TorchIO.
        """
        return cls(*exchange.from_torchio(image))

    def to_nibabel(self) -> Any:  # noqa: ANN401  # a nibabel image
        """A ``nibabel.Nifti1Image`` (RAS); needs ``rhoa[nifti]``."""
        return exchange.to_nibabel(self.hu, self.affine)

    def to_sitk(self) -> Any:  # noqa: ANN401  # a SimpleITK image
        """A ``SimpleITK.Image``; needs ``rhoa[itk]``."""
        return exchange.to_sitk(self.hu, self.affine)

    def to_highdicom(self) -> Any:  # noqa: ANN401  # a highdicom volume
        """A ``highdicom.Volume``; needs ``rhoa[dicom-out]``."""
        return exchange.to_highdicom(self.hu, self.affine)

    def to_torchio(self) -> Any:  # noqa: ANN401  # a TorchIO image
        """A ``torchio.ScalarImage``; needs ``rhoa[torchio]``."""
        return exchange.to_torchio(self.hu, self.affine)

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

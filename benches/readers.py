"""CT readers, rhoa and others, all called the same way: from a path to values and their places.

Each is called as its own documentation says, with its own defaults. What it returns is an array and
the matrix from the array's indices to patient LPS millimetres.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from importlib import import_module, metadata
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from collections.abc import Callable

Read = tuple[NDArray[Any], NDArray[np.float64]]

_RAS_TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


@dataclass(frozen=True, slots=True)
class Reader:
    """A tool, and how it reads one path."""

    name: str
    package: str
    read: Callable[[Path], Read]
    imports: tuple[str, ...]

    @property
    def version(self) -> str:
        """The installed version; rhoa may be a checkout."""
        if self.package == "rhoa":
            return str(import_module("rhoa").__version__)
        return metadata.version(self.package)

    @property
    def missing(self) -> str | None:
        """Why the tool cannot be used, if so; otherwise it is imported now."""
        try:
            for module in self.imports:
                import_module(module)
        except ImportError as error:
            return str(error)
        return None

    def owns(self, error: BaseException) -> bool:
        """Whether an error is of a class that the tool itself defines, so that it can be caught."""
        return type(error).__module__.partition(".")[0] == self.package


def _rhoa(path: Path) -> Read:
    volume = import_module("rhoa").read_ct(path)
    return volume.hu, volume.affine


def _sitk_series(path: Path) -> Read:
    sitk = import_module("SimpleITK")
    reader = sitk.ImageSeriesReader()
    names = reader.GetGDCMSeriesFileNames(str(path))
    if len(names) == 1:  # else the series reader makes it a volume of four dimensions
        return _sitk_image(Path(names[0]))
    reader.SetFileNames(names)
    return _of_sitk(reader.Execute())


def _sitk_image(path: Path) -> Read:
    return _of_sitk(import_module("SimpleITK").ReadImage(str(path)))


def _of_sitk(image: Any) -> Read:  # noqa: ANN401  # SimpleITK has no types
    values = import_module("SimpleITK").GetArrayFromImage(image)
    if values.ndim != 3:
        return values, np.eye(4)
    steps = np.reshape(image.GetDirection(), (3, 3)) * image.GetSpacing()
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = steps[:, ::-1], image.GetOrigin()
    return values, affine


def _dicom2nifti(path: Path) -> Read:
    with TemporaryDirectory() as folder:
        file = Path(folder) / "scan.nii"
        import_module("dicom2nifti").dicom_series_to_nifti(path, file, reorient_nifti=False)
        return _nibabel(file)


def _nibabel(path: Path) -> Read:
    image = import_module("nibabel").load(path)
    return np.array(image.get_fdata()), _RAS_TO_LPS @ image.affine


def _highdicom(path: Path) -> Read:
    highdicom = import_module("highdicom")
    images = _images(path)
    if len(images) == 1 and "NumberOfFrames" in images[0]:
        volume = highdicom.Image.from_dataset(images[0]).get_volume()
    else:
        volume = highdicom.get_volume_from_series(images)
    return volume.array, volume.affine


def _pydicom(path: Path) -> Read:
    """What tutorials do: sort by z, stack, one slope, the step between the first two slices."""
    pydicom = import_module("pydicom")
    images = [pydicom.dcmread(file) for file in _files(path)]
    images.sort(key=lambda image: float(image.ImagePositionPatient[2]))
    hu = np.stack(
        [i.pixel_array * float(i.RescaleSlope) + float(i.RescaleIntercept) for i in images]
    )
    first, second = images[0], images[min(1, len(images) - 1)]
    along_row, along_column = np.reshape(first.ImageOrientationPatient, (2, 3)).astype(float)
    origin = np.array(first.ImagePositionPatient, float)
    affine = np.eye(4)
    affine[:3, 0] = np.array(second.ImagePositionPatient, float) - origin
    affine[:3, 1] = along_column * float(first.PixelSpacing[0])
    affine[:3, 2] = along_row * float(first.PixelSpacing[1])
    affine[:3, 3] = origin
    return hu, affine


def _images(path: Path) -> list[Any]:
    """The DICOM files of a folder; pydicom says which those are."""
    pydicom = import_module("pydicom")
    images = []
    for file in _files(path):
        with contextlib.suppress(pydicom.errors.InvalidDicomError):
            images.append(pydicom.dcmread(file))
    return images


def _files(path: Path) -> list[Path]:
    return sorted(file for file in path.iterdir() if file.is_file() and file.name != "DICOMDIR")


DICOM_READERS = (
    Reader("rhoa", "rhoa", _rhoa, ("rhoa", "rhoa.reading.reader")),
    Reader("SimpleITK", "SimpleITK", _sitk_series, ("SimpleITK",)),
    Reader("dicom2nifti", "dicom2nifti", _dicom2nifti, ("dicom2nifti", "nibabel")),
    Reader("highdicom", "highdicom", _highdicom, ("highdicom",)),
    Reader("pydicom, by hand", "pydicom", _pydicom, ("pydicom", "pydicom.pixels")),
)
NIFTI_READERS = (
    Reader("rhoa", "rhoa", _rhoa, ("rhoa", "rhoa.reading.volume_files")),
    Reader("SimpleITK", "SimpleITK", _sitk_image, ("SimpleITK",)),
    Reader("nibabel", "nibabel", _nibabel, ("nibabel",)),
)

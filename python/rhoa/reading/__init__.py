"""Reading CT: DICOM files, a NIfTI, NRRD or MetaImage file become a `Volume`, or a clear error."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, cast

from rhoa.errors import ParameterError, require_count, warn_user
from rhoa.volume import Volume

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence
    from os import PathLike

    from numpy.typing import ArrayLike

    from rhoa.reading.catalogue import SeriesSummary

    Paths = str | PathLike[str] | Iterable[str | PathLike[str]]
    Scan = Volume | str | PathLike[str] | Sequence[str | PathLike[str]]

__all__ = ["as_volume", "inspect", "read_ct", "whole_volume"]

NIFTI_SUFFIXES = (".nii", ".nii.gz")
ITK_SUFFIXES = (".nrrd", ".nhdr", ".mha", ".mhd")


def read_ct(
    path: Paths,
    *,
    series: str | int | None = None,
    repair: str | Collection[str] = (),
    strict: bool = False,
    max_bytes: int = 4 << 30,
    progress: Callable[[int, int, str], object] | None = None,
) -> Volume:
    """Read one CT volume.

    Order, side and spacing of the slices come from their positions and orientations alone; file
    names, InstanceNumber and SliceThickness are not looked at. What forms no even stack of slices
    of Hounsfield units is an error.

    Parameters
    ----------
    path
        A folder of CT DICOM files (nested, with other files among them), a list of files, one
        enhanced (multi-frame) CT file, a NIfTI file (needs ``rhoa[nifti]``), or an NRRD or
        MetaImage file (``.nrrd``, ``.nhdr``, ``.mha``, ``.mhd``; needs ``rhoa[itk]``).
    series
        Which series, where there are several: its UID, the start or end of it, or its index in
        ``rhoa inspect``. Stacks, times and frame types of an enhanced file are told by index.
        "auto" takes the readable one with the most axial slices, then the thinnest, then the one
        with the softest kernel; where that tells no one apart, several are an error still.
    repair
        Repairs that may be made: names in a collection, or in a string with commas between. What
        is not needed is not done; what is done is in ``report["repairs"]``.

        * ``"gaps"``: single missing (or blank) slices are interpolated between their neighbours;
          wider gaps stay an error.
        * ``"tilt"``: slices that do not lie straight above each other (gantry tilt) are shifted
          within their planes onto a rectangular grid, which has more rows or columns.
        * ``"spacing"``: unevenly spaced slices, or parts with different spacing, are resampled to
          an even grid of the median spacing.
        * ``"drop"``: files that are cut short or state no position are left out; mostly "gaps" is
          needed, too.
        * ``"monochrome1"``: values of MONOCHROME1 slices are taken as they are stored: it tells
          how to show values, not what they are.

        All interpolation is linear, in one go; it needs memory for a second volume. Files of one
        whole volume (NIfTI, NRRD, MetaImage) are not repaired.
    strict
        Whether what is otherwise a `RhoaWarning` (lossy compression, localizers among the slices,
        metal, a body that the field of view cuts, a patient that moved) is an error.
    max_bytes
        Largest volume to allocate, in bytes.
    progress
        Called with (done, total, what is being done).

    Returns
    -------
    Volume
        ``hu[k, j, i]`` = (slice, row, column), slices in ascending order along the normal (row x
        column direction), rows and columns as stored; int16, or float32 where that cannot hold
        the values. Padding is -1024 HU. ``report`` tells what was found: ``metal_cm3``,
        ``cut_body_share`` (of the slices), ``moved_slices`` and ``plausible_hu`` what was seen in
        the voxels.

    Raises
    ------
    ReadError
        Of a kind that tells what is wrong (see `rhoa.errors`); it names the file.
    MissingExtraError
        If a decoder, nibabel or SimpleITK is not installed; it says what to install.

    Examples
    --------
    >>> import tempfile, rhoa
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     try:
    ...         rhoa.read_ct(folder)
    ...     except rhoa.RhoaError as error:
    ...         print(type(error).__name__)
    NoSeriesError
    """
    from rhoa.reading.bounded import shown
    from rhoa.reading.findings import Findings
    from rhoa.reading.repairs import named

    max_bytes = require_count("max_bytes", max_bytes)
    repairs = named(repair)
    findings = Findings(strict)
    file = whole_volume(path)
    if file is not None:
        from rhoa.reading.itk import read_itk
        from rhoa.reading.nifti import read_nifti

        if series is not None:
            raise ParameterError(f"series= is for DICOM; {shown(file)} is one volume.")
        read = read_nifti if is_nifti(file) else read_itk
        volume = read(file, max_bytes=max_bytes, findings=findings, progress=progress)
    else:
        from rhoa.reading.series import arrange, read_series

        arranged = arrange(
            path, series=series, repairs=repairs, findings=findings, progress=progress
        )
        volume = read_series(arranged, max_bytes=max_bytes, findings=findings, progress=progress)
    for message in findings.warnings:
        warn_user(message)
    return volume


def inspect(
    path: Paths,
    *,
    repair: str | Collection[str] = (),
    progress: Callable[[int, int, str], object] | None = None,
) -> list[SeriesSummary]:
    """What is at ``path``: one `SeriesSummary` a series, the largest first.

    Pixels are not decoded: blank or undecodable slices are found by `read_ct` only.

    Parameters
    ----------
    path, repair, progress
        As in `read_ct`, which would read with these repairs.

    Raises
    ------
    ParameterError
        If there is no repair of such a name.
    ReadError
        If there is no image at all, or a DICOM file cannot be parsed.
    """
    from rhoa.reading.repairs import named

    repairs = named(repair)
    file = whole_volume(path)
    if file is not None:
        from rhoa.reading.itk import summarise_itk
        from rhoa.reading.nifti import summarise_nifti

        return [summarise_nifti(file) if is_nifti(file) else summarise_itk(file)]
    from rhoa.reading.catalogue import summarise

    return summarise(path, repairs=repairs, progress=progress)


def as_volume(scan: Scan) -> Volume:
    """A scan as a volume: it is one, or a path, or a list of paths, that `read_ct` reads.

    Raises
    ------
    ParameterError
        If it is none of these.
    ReadError
        As `read_ct`.

    Examples
    --------
    >>> import numpy as np, rhoa
    >>> volume = rhoa.Volume.from_array(np.zeros((3, 4, 5)), spacing_mm=(2, 1, 1))
    >>> as_volume(volume) is volume
    True
    """
    volume = read_if_path(scan)
    if not isinstance(volume, Volume):
        raise ParameterError(
            f"volume must be a rhoa.Volume; got {type(scan).__name__}. "
            "Build one with rhoa.Volume.from_array(hu, spacing_mm), or pass the path of a scan."
        )
    return volume


def read_if_path(given: Scan | ArrayLike) -> Volume | ArrayLike:
    """A scan as `as_volume`; what is neither volume nor path, as it is."""
    paths = paths_in(given)
    return cast("Volume | ArrayLike", given) if paths is None else read_ct(paths)


def paths_in(given: object) -> Paths | None:
    """A path, or a list of paths; None where it is something else."""
    if isinstance(given, str | os.PathLike):
        return given
    if isinstance(given, list | tuple) and all(isinstance(p, str | os.PathLike) for p in given):
        return given or None
    return None


def whole_volume(path: Paths) -> Path | None:
    """The path of one NIfTI, NRRD or MetaImage file; None where ``path`` is something else."""
    if not isinstance(path, str | os.PathLike):
        return None
    file = Path(path)
    whole = file.name.lower().endswith(NIFTI_SUFFIXES + ITK_SUFFIXES)
    folder = os.path.isdir(file)  # noqa: PTH112  # Path.is_dir raises where a name is too long
    return file if whole and not folder else None


def is_nifti(file: Path) -> bool:
    """Whether a file is NIfTI by its suffix."""
    return file.name.lower().endswith(NIFTI_SUFFIXES)

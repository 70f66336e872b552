"""Masks and label maps, wherever they come from: labels, and where they lie in the patient."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rhoa import exchange
from rhoa.errors import MaskError, ReadError, warn_user
from rhoa.reading import NIFTI_SUFFIXES, is_nifti, whole_volume
from rhoa.reading.bounded import shown
from rhoa.reading.findings import Findings
from rhoa.reading.segmentations import is_segmentation, read_segmentation, segments
from rhoa.volume import Volume

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from numpy.typing import ArrayLike, NDArray

MOST_LABELS = 255
MOST_BYTES = 16 << 30
"""Of the voxels of one file."""


@dataclass(frozen=True, slots=True, eq=False)
class LabelMap:
    """Labels on a grid of their own."""

    labels: NDArray[np.uint8]
    affine: NDArray[np.float64]
    """From ``(k, j, i, 1)`` to patient LPS mm."""
    called: str
    """As messages name it."""
    one_mask: bool = False
    """Whether it was of booleans: a mask without a label."""
    sparse: bool = False
    """Whether what lies beyond its grid is known to be unmarked: DICOM leaves out empty slices."""

    @property
    def grid(self) -> Volume:
        """The same as a volume."""
        return Volume(self.labels, self.affine)


def has_place(mask: object) -> bool:
    """Whether a mask says where it lies in the patient: all but bare arrays do."""
    if isinstance(mask, Volume | str | os.PathLike) or is_segmentation(mask):
        return True
    return exchange.library_of(mask) is not None


def parts_of(
    mask: object, names: Collection[str] | None = None
) -> Iterator[tuple[str | int | None, LabelMap]]:
    """The label maps that a mask is made of, each with its name; a single one has none.

    Parameters
    ----------
    mask
        A `Volume`; the path of a NIfTI, NRRD or MetaImage file, of a DICOM SEG, or of a folder with
        a NIfTI file a structure; an image of nibabel, SimpleITK, TorchIO or highdicom.
    names
        Of the structures of a folder that are wanted; all by default.

    Raises
    ------
    MaskError
        If it holds no labels.
    ReadError
        If a file is absent, damaged, or not placed in the patient.
    MissingExtraError
        If what reads it is not installed.
    """
    if isinstance(mask, Volume):
        yield None, _label_map(mask.hu, mask.affine, "mask")
    elif isinstance(mask, str | os.PathLike):
        yield from _parts_of_path(Path(mask), names)
    elif is_segmentation(mask):
        yield from _segments(mask, "mask")
    elif (placed := exchange.placed(mask)) is not None:
        library = exchange.library_of(mask)
        yield None, _label_map(*placed, "mask", sparse=library == "highdicom")
    else:
        raise MaskError(
            f"mask must be a rhoa.Volume, a path, or an image of nibabel, SimpleITK or highdicom; "
            f"got {type(mask).__name__}, which does not say where it lies. "
            "Build one with rhoa.Volume(labels, affine)."
        )


def as_labels(values: ArrayLike, called: str, *, whole: bool = False) -> NDArray[np.uint8]:
    """Labels as bytes, those of booleans as 0 and 1; no copy where none is needed.

    Parameters
    ----------
    values
        The labels.
    called
        What messages call them.
    whole
        Whether floating-point numbers are labels, too, where they are whole: files often hold them.

    Raises
    ------
    MaskError
        If they are no whole numbers from 0 to 255.
    """
    array = np.asarray(values)
    if array.dtype == bool:
        marked = array.view(np.uint8)  # a byte that is neither 0 nor 1 is true, too
        return marked if marked.max(initial=0) <= 1 else (marked != 0).view(np.uint8)
    if array.dtype.kind not in ("iuf" if whole else "iu"):
        raise MaskError(f"{called} must be boolean or hold integer labels; got {array.dtype}.")
    if array.size and not (array.min() >= 0 and array.max() <= MOST_LABELS):
        raise MaskError(
            f"{called}: labels must be 0 to {MOST_LABELS}; got {array.min():g} to {array.max():g}."
        )
    labels = array.astype(np.uint8, copy=False)
    if array.dtype.kind == "f" and any((a != b).any() for a, b in zip(array, labels, strict=True)):
        raise MaskError(
            f"{called}: its values are fractions, as of probabilities; mark what counts first, for "
            "example values > 0.5."
        )
    return labels


def _label_map(
    values: NDArray[Any], affine: NDArray[np.float64], called: str, *, sparse: bool = False
) -> LabelMap:
    labels = as_labels(values, called, whole=True)
    grid = Volume(labels, affine)  # checks both
    return LabelMap(labels, grid.affine, called, values.dtype == bool, sparse)


def _parts_of_path(
    path: Path, names: Collection[str] | None
) -> Iterator[tuple[str | int | None, LabelMap]]:
    if os.path.isdir(path):  # noqa: PTH112  # Path.is_dir raises where a name is too long
        yield from _structures(path, names)
    elif (file := whole_volume(path)) is not None:
        yield None, _of_file(file)
    else:
        yield from _segments(read_segmentation(path), f"mask {shown(path)}")


def _structures(
    folder: Path, names: Collection[str] | None
) -> Iterator[tuple[str | int | None, LabelMap]]:
    """The structures of a folder, a file each, as TotalSegmentator writes them."""
    found = {_stem(file): file for file in sorted(folder.iterdir()) if is_nifti(file)}
    if not found:
        raise ReadError(
            f"mask {shown(folder)}: no NIfTI file is in this folder; it needs one a structure, as "
            "TotalSegmentator writes them; pass a label map, or a DICOM SEG, by the path of its "
            "file."
        )
    for name, file in found.items():
        if names is not None and name not in names:
            continue
        part = _of_file(file)
        if part.labels.max(initial=0) > 1 and len(np.unique(part.labels)) > 2:
            raise MaskError(
                f"{part.called}: it holds several labels; a folder of structures has a file of 0 "
                "and 1 for each; pass the path of this file to use its labels."
            )
        yield name, part


def _stem(file: Path) -> str:
    name = file.name.lower()
    return next(file.name[: -len(end)] for end in NIFTI_SUFFIXES if name.endswith(end))


def _of_file(file: Path) -> LabelMap:
    """The label map in a NIfTI, NRRD or MetaImage file."""
    findings = Findings()
    if is_nifti(file):
        from rhoa.reading.nifti import nifti_values

        values, affine = nifti_values(file, max_bytes=MOST_BYTES)
    else:
        from rhoa.reading.itk import itk_values

        values, affine = itk_values(file, max_bytes=MOST_BYTES, findings=findings)
    for message in findings.warnings:
        warn_user(message)
    return _label_map(values, affine, f"mask {shown(file)}")


def _segments(segmentation: Any, called: str) -> Iterator[tuple[str | int | None, LabelMap]]:  # noqa: ANN401  # highdicom's
    """A DICOM SEG as one label map, or, where segments overlap, as one for each."""
    for number, volume in segments(segmentation, called):
        values, affine = exchange.from_highdicom(volume)
        yield number, _label_map(values, affine, called, sparse=True)

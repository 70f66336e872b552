"""Masks and label maps: where they lie in the patient, and how they are laid over a scan."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from rhoa import _core
from rhoa.errors import (
    MaskError,
    MissingFileError,
    ReadError,
    RhoaError,
    WarningCollector,
    require_extra,
    warn_user,
)
from rhoa.files import shown
from rhoa.parallel import thread_count
from rhoa.reading.reader import NIFTI_SUFFIXES, as_volume, is_nifti, whole_volume
from rhoa.volume import Volume, from_highdicom, library_of, values_and_affine

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from numpy.typing import ArrayLike, NDArray

    from rhoa.reading.reader import Scan


# DICOM segmentations (SEG), through highdicom.

SEGMENTATION_CLASSES = frozenset(
    ["1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.66.7"]  # SEG, Label Map SEG
)


def is_segmentation(given: object) -> bool:
    """Whether it is a DICOM SEG in memory: of highdicom, or a data set of pydicom."""
    return str(getattr(given, "SOPClassUID", "")) in SEGMENTATION_CLASSES


def read_segmentation(path: Path) -> Any:  # noqa: ANN401  # highdicom has no types
    """The data set of a DICOM SEG.

    Raises
    ------
    ReadError
        If the file is absent or something else.
    MissingExtraError
        If highdicom is not installed.
    """
    if not os.path.isfile(path):  # noqa: PTH113  # Path.is_file raises where a name is too long
        raise MissingFileError(f"mask {shown(path)}: no such file or folder; check the path.")
    import pydicom

    try:
        found = pydicom.dcmread(path)
    except Exception as error:  # noqa: BLE001  # damaged files raise anything
        raise ReadError(
            f"mask {shown(path)}: neither NIfTI, NRRD or MetaImage (by its suffix) nor DICOM "
            f"({type(error).__name__}); check the path."
        ) from None
    if not is_segmentation(found):
        raise ReadError(
            f"mask {shown(path)}: this DICOM file holds no segmentation (SEG); pass the file that "
            "does."
        )
    return found


def segments(given: Any, called: str) -> Iterator[tuple[int | None, Any]]:  # noqa: ANN401  # highdicom has no types
    """A ``highdicom.Volume`` of labels, without a number; where segments overlap, one for each.

    Raises
    ------
    MaskError
        If it is of fractions.
    ReadError
        If it is damaged, or its frames are no even stack in the patient.
    MissingExtraError
        If highdicom is not installed.
    """
    seg = require_extra("highdicom", extra="dicom-out", purpose="reading DICOM SEG").seg
    with _explained(called):
        if not isinstance(given, seg.Segmentation):
            given = seg.Segmentation.from_dataset(given, copy=False)
        try:
            whole = given.get_volume(combine_segments=True)
        except RuntimeError:  # segments overlap
            whole = None
        except ValueError:
            if given.SegmentationType != "FRACTIONAL":
                raise
            raise MaskError(
                f"{called}: its values are fractions, as of probabilities; export it as a binary "
                "segmentation."
            ) from None
    if whole is not None:
        yield None, whole
        return
    for number in given.segment_numbers:
        with _explained(called):
            one = given.get_volume(segment_numbers=[number], combine_segments=True, relabel=True)
        yield int(number), one


@contextlib.contextmanager
def _explained(called: str) -> Iterator[None]:
    """Whatever highdicom raises, as what is wrong with the segmentation."""
    try:
        yield
    except RhoaError:
        raise
    except Exception as error:  # noqa: BLE001  # damaged files raise anything
        raise ReadError(
            f"{called}: its frames cannot be read as an even stack of slices "
            f"({type(error).__name__}); export the segmentation on the grid of the scan."
        ) from None


# Masks and label maps, wherever they come from: labels, and where they lie in the patient.

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
    return library_of(mask) is not None


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
        path = Path(mask)
        if os.path.isdir(path):  # noqa: PTH112  # Path.is_dir raises where a name is too long
            yield from _structures(path, names)
        elif (file := whole_volume(path)) is not None:
            yield None, _of_file(file)
        else:
            yield from _segments(read_segmentation(path), f"mask {shown(path)}")
    elif is_segmentation(mask):
        yield from _segments(mask, "mask")
    elif (placed := values_and_affine(mask)) is not None:
        library = library_of(mask)
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


def _structures(
    folder: Path, names: Collection[str] | None
) -> Iterator[tuple[str | int | None, LabelMap]]:
    """The structures of a folder, a file each, as TotalSegmentator writes them."""
    found = {
        file.name[: -len(suffix)]: file
        for file in sorted(folder.iterdir())
        if is_nifti(file)
        for suffix in NIFTI_SUFFIXES
        if file.name.lower().endswith(suffix)
    }
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


def _of_file(file: Path) -> LabelMap:
    """The label map in a NIfTI, NRRD or MetaImage file."""
    findings = WarningCollector()
    if is_nifti(file):
        from rhoa.reading.volume_files import nifti_values

        values, affine = nifti_values(file, max_bytes=MOST_BYTES)
    else:
        from rhoa.reading.volume_files import itk_values

        values, affine = itk_values(file, max_bytes=MOST_BYTES, findings=findings)
    for message in findings.warnings:
        warn_user(message)
    return _label_map(values, affine, f"mask {shown(file)}")


def _segments(segmentation: Any, called: str) -> Iterator[tuple[str | int | None, LabelMap]]:  # noqa: ANN401  # highdicom's
    """A DICOM SEG as one label map, or, where segments overlap, as one for each."""
    for number, volume in segments(segmentation, called):
        values, affine = from_highdicom(volume)
        yield number, _label_map(values, affine, called, sparse=True)


# Masks laid over a scan by where they lie in the patient, and refused where they do not fit.

ON_EDGE = 1e-4
"""Voxels of the mask: affines in files are rounded, and a place this near an edge lies on it."""
DRIFT = 1e-3
"""Voxels of the mask, at most, from one end of the scan to the other, along parallel axes."""
LEAST_SHARE = 0.5
"""Of the scan that the mask covers, or of the mask that lies in the scan."""
SAMPLES = 33  # along each axis, for shares
BLOCK_VOXELS = 16 << 20  # resampled at a time
ENDS = {"superior": ("lower", "upper"), "posterior": ("front", "back"), "left": ("right", "left")}


def resample_mask(mask: Any, volume: Scan, *, partial: bool = False) -> NDArray[Any]:  # noqa: ANN401  # see the docstring
    """A mask or label map on the voxels of a scan: each has the label of the nearest of the mask's.

    Both are put where their affines say they lie in the patient: slices in another order, axes
    turned or reversed, other voxel sizes and a part of the scan alone make no difference. A voxel
    midway between two of the mask's takes that on the superior, posterior and left side.

    Parameters
    ----------
    mask
        A `Volume` of labels; the path of a NIfTI, NRRD or MetaImage file (TotalSegmentator's label
        map), or of a DICOM SEG (needs the extra ``dicom-out``); an image of nibabel, SimpleITK,
        TorchIO or highdicom. Labels are whole numbers from 0 to 255.
    volume
        The scan, or its path.
    partial
        Whether the mask may be one of a part of the scan only: what lies beyond it is unmarked.

    Returns
    -------
    NDArray
        uint8 labels of the scan's shape; bool where the mask was.

    Raises
    ------
    MaskError
        If the mask lies elsewhere, or mostly so, or ends within the scan where labels go on; if it
        is of several files or overlapping segments, or no label map.
    ReadError
        If a file is absent, damaged, or not placed in the patient.

    Examples
    --------
    >>> import numpy as np, rhoa
    >>> scan = rhoa.Volume.from_array(np.zeros((4, 4, 4)), spacing_mm=(1, 1, 1))
    >>> labels = np.zeros((4, 4, 4), np.uint8)
    >>> labels[3, 0, 0] = 7
    >>> upside_down = rhoa.Volume(labels[::-1], scan.affine @ [[-1, 0, 0, 3], *np.eye(4)[1:]])
    >>> bool((rhoa.resample_mask(upside_down, scan) == labels).all())
    True
    """
    scan = as_volume(volume)
    name, part = next(iter(parts_of(mask)))
    if name is not None:
        raise MaskError(
            f"{part.called}: it is one of several masks, which may overlap; pass the file, or the "
            "segment, of one."
        )
    labels = resampled(part, scan, partial=partial)
    _require_marks(labels, part)
    return labels.view(np.bool_) if part.one_mask else labels


def resampled(
    part: LabelMap, scan: Volume, *, partial: bool = False, threads: int | None = None
) -> NDArray[np.uint8]:
    """The labels of the nearest voxels of a label map, on the voxels of a scan; 0 beyond it.

    Raises
    ------
    MaskError
        If it does not fit the scan; see `resample_mask`.
    """
    to_mask = np.linalg.inv(part.affine) @ scan.affine
    if part.labels.shape == scan.shape:
        off = to_mask - np.eye(4)
        off_voxels = np.abs(_points(scan.shape, 2) @ off[:3, :3].T + off[:3, 3])  # of the corners
        if off_voxels.max() < DRIFT:
            return part.labels
    _require_overlap(part, scan, to_mask)
    if not (partial or part.sparse):
        _require_whole_labels(part, scan, to_mask)
    along = _parallel_axes(to_mask, scan.shape)
    if along is not None:
        return _by_index(part, scan.shape, to_mask, along)
    return _nearest(part, scan.shape, to_mask, thread_count(threads))


class Layer(NamedTuple):
    """Labels on the voxels of a scan."""

    labels: NDArray[np.uint8]
    names: dict[int, int | str]
    """Of the labels that occur."""
    one_mask: bool = False
    """Whether they are a boolean mask."""


def laid_over(mask: object, volume: Volume | ArrayLike, threads: int) -> list[Layer]:
    """A mask on the voxels of a scan; structures that overlap are in several layers.

    A bare array must have the shape of the scan, which may then be an array, too.

    Raises
    ------
    MaskError, ReadError
        As `resample_mask`.
    """
    if not has_place(mask):
        array = np.asarray(mask)
        report = getattr(volume, "report", None) or {}
        before, dropped = report.get("blank_before", 0), report.get("blank_dropped", 0)
        if dropped and array.shape[:1] == (np.shape(volume)[0] + dropped,):  # of all its slices
            array = array[before : before + np.shape(volume)[0]]
        if array.shape != np.shape(volume):
            raise MaskError(
                f"mask must have the volume's shape {np.shape(volume)}; got {array.shape}. "
                "A mask with an affine (a rhoa.Volume, a path, an image) is resampled to the scan."
            )
        return [_layer(as_labels(array, "mask"), one_mask=array.dtype == bool)]
    if not isinstance(volume, Volume):
        raise MaskError(
            "mask says where it lies in the patient, and an array does not; pass "
            "rhoa.Volume(hu, affine), or a mask that is an array of the same shape."
        )
    layers: list[Layer] = []
    for name, part in parts_of(mask):
        labels = resampled(part, volume, threads=threads)
        if name is None:
            _require_marks(labels, part)
            return [_layer(labels, one_mask=part.one_mask)]
        _add(layers, name, labels)
    if not layers:
        raise MaskError("mask: none of its structures has a voxel in the scan.")
    return layers


def _layer(labels: NDArray[np.uint8], *, one_mask: bool) -> Layer:
    """Labels whose names are their numbers."""
    if one_mask:
        return Layer(labels, {1: 1}, one_mask)
    present = np.zeros(MOST_LABELS + 1, bool)
    for part in labels:
        present |= np.bincount(part.ravel(), minlength=MOST_LABELS + 1) > 0
    return Layer(labels, {int(label): int(label) for label in np.flatnonzero(present) if label})


def _add(layers: list[Layer], name: int | str, labels: NDArray[np.uint8]) -> None:
    """Put a structure into the first layer that has room where it lies, or a new one."""
    marked = labels > 0
    if not marked.any():
        return
    for layer in layers:
        if len(layer.names) < MOST_LABELS and not layer.labels[marked].any():
            break
    else:
        layer = Layer(np.zeros(labels.shape, np.uint8), {})
        layers.append(layer)
    number = len(layer.names) + 1
    layer.labels[marked] = number
    layer.names[number] = name


def _require_marks(labels: NDArray[np.uint8], part: LabelMap) -> None:
    if part.labels.any() and not labels.any():
        raise MaskError(
            f"{part.called}: none of its {np.count_nonzero(part.labels)} marked voxels lies in the "
            "scan; pass the mask that was made of this scan."
        )


def _points(shape: tuple[int, int, int], most: int) -> NDArray[np.float64]:
    """Indices ``(n, 3)`` spread over a grid, at most so many along each axis, ends among them."""
    lines = [np.linspace(0, length - 1, min(length, most)) for length in shape]
    return np.stack(np.meshgrid(*lines, indexing="ij"), axis=-1).reshape(-1, 3)


def _share(shape: tuple[int, int, int], to_other: NDArray[Any], other: tuple[int, ...]) -> float:
    """Share of the voxel centres of a grid that lie within the voxels of another."""
    index = _points(shape, SAMPLES) @ to_other[:3, :3].T + to_other[:3, 3]
    return float(((index >= -0.5 - DRIFT) & (index <= np.array(other) - 0.5 + DRIFT)).all(1).mean())


def _require_overlap(part: LabelMap, scan: Volume, to_mask: NDArray[Any]) -> None:
    shape = part.grid.shape
    if not (part.labels.size and scan.hu.size):
        raise MaskError(f"{part.called}: it is empty, or the scan: shapes {shape}, {scan.shape}.")
    covered = _share(scan.shape, to_mask, shape)
    inside = _share(shape, np.linalg.inv(to_mask), scan.shape)
    if max(covered, inside) < LEAST_SHARE:
        where = "outside" if max(covered, inside) == 0 else "mostly outside"
        raise MaskError(
            f"{part.called} lies {where} the scan: it covers {covered:.0%} of the scan, and "
            f"{inside:.0%} of it lies in the scan. It reaches over "
            f"{_reach(part.grid)} mm (patient LPS), the scan over {_reach(scan)}. Pass the mask "
            "that was made of this scan; a rhoa.Volume of labels needs an LPS affine."
        )


def _reach(grid: Volume) -> str:
    corners = grid.corners_lps_mm()
    ends = zip("xyz", corners.min(axis=0), corners.max(axis=0), strict=True)
    return ", ".join(f"{axis} {low:.0f} to {high:.0f}" for axis, low, high in ends)


def _require_whole_labels(part: LabelMap, scan: Volume, to_mask: NDArray[Any]) -> None:
    """Check that no label is cut where the mask ends within the scan.

    The scan may go on for one voxel of its own: masks are cut to whole voxels of theirs.
    """
    to_scan = np.linalg.inv(to_mask)
    for axis, length in enumerate(part.labels.shape):
        step = np.abs(to_mask[axis, :3]).max()
        for end, beyond in ((0, -1 - step), (length - 1, length + step)):
            face: NDArray[np.uint8] = np.moveaxis(part.labels, axis, 0)[end]
            index = np.insert(np.argwhere(face).astype(np.float64), axis, beyond, axis=1)
            place = index @ to_scan[:3, :3].T + to_scan[:3, 3]
            within = ((place >= -0.5) & (place <= np.array(scan.shape) - 0.5)).all(axis=1)
            if within.any():
                covered = int(100 * _share(scan.shape, to_mask, part.grid.shape))
                raise MaskError(
                    f"{part.called} ends within the scan, of which it covers {covered}%: label "
                    f"{face[face > 0][within][0]} is cut at its "
                    f"{_side(part.grid, axis, upper=end > 0)} end. Segment the whole scan, or pass "
                    "rhoa.resample_mask(mask, volume, partial=True), for which what lies beyond "
                    "the mask is unmarked."
                )


def _side(grid: Volume, axis: int, *, upper: bool) -> str:
    """An end of an array axis in words of the patient."""
    axes = grid.axes
    name = ("superior", "posterior", "left")[axes[:3].index(axis)]
    sign = axes.signs[axes[:3].index(axis)]
    return ENDS[name][upper == (sign > 0)]


def _parallel_axes(to_mask: NDArray[Any], shape: tuple[int, int, int]) -> list[int] | None:
    """The axis of the mask along each of the scan's; None where they are oblique to each other."""
    lengths = np.maximum(np.array(shape) - 1, 1)
    reach = np.abs(to_mask[:3, :3]) * lengths
    along = reach.argmax(axis=1)
    drift = reach.sum(axis=1) - reach.max(axis=1)
    if drift.max() > DRIFT or len(set(along.tolist())) < 3:
        return None
    return [int(row) for row in np.argsort(along)]


def _by_index(
    part: LabelMap, shape: tuple[int, int, int], to_mask: NDArray[Any], along: list[int]
) -> NDArray[np.uint8]:
    """The labels on a grid whose axes are those of the mask, in another order or direction."""
    placed = np.zeros(shape, np.uint8)
    labels = part.labels.transpose(along)
    middle = (np.array(shape) - 1) / 2
    box = []
    for axis, row in enumerate(along):
        steps = to_mask[row, :3]
        offset = to_mask[row, 3] + steps @ middle - steps[axis] * middle[axis]
        place = offset + steps[axis] * np.arange(shape[axis])
        # Of two that are as near, the one that lies farther along x, y or z.
        toward = part.affine[:3, row]
        if toward[np.abs(toward).argmax()] > 0:
            index = np.floor(place + 0.5 + ON_EDGE).astype(np.int64)
        else:
            index = np.ceil(place - 0.5 - ON_EDGE).astype(np.int64)
        known = np.flatnonzero((index >= 0) & (index < labels.shape[axis]))
        if not len(known):
            return placed
        box.append(slice(known[0], known[-1] + 1))
        labels = labels.take(index[known], axis)
    placed[tuple(box)] = labels
    return placed


def _nearest(
    part: LabelMap, shape: tuple[int, int, int], to_mask: NDArray[Any], threads: int
) -> NDArray[np.uint8]:
    """The labels on a grid at an angle to the mask's."""
    placed = np.empty(shape, np.uint8)
    slices = max(1, BLOCK_VOXELS // (shape[1] * shape[2]))
    down, back, left = ((float(k), float(j), float(i)) for k, j, i in to_mask[:3, :3].T)
    for first in range(0, shape[0], slices):
        block = placed[first : first + slices]
        labels = np.empty(block.shape, np.float32)
        _core.resliced(
            part.labels,
            labels,
            shape=block.shape,
            origin=tuple(to_mask[:3] @ [first, 0, 0, 1]),
            steps=(down, back, left),
            order=0,
            outside=0.0,
            threads=threads,
        )
        block[...] = labels
    return placed

"""From a path to a `Volume`: `read_ct`, `inspect`, and CTs read a few slices at a time."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np

from rhoa import _core
from rhoa.dicom.pixels import TooLargeForInt16Error
from rhoa.errors import (
    GeometryError,
    ParameterError,
    PixelDataError,
    VolumeError,
    WarningCollector,
    WriteError,
    require_count,
    require_names,
    warn_user,
)
from rhoa.files import list_files, listed, replacing, shown
from rhoa.reading.decoding import (
    MONO,
    decode,
    decoder,
    kinds,
    require_budget,
    shape_of,
    warn_of_padding,
)
from rhoa.reading.geometry import orientation_name, sort_slices, stack_of
from rhoa.reading.quality import (
    clear_background,
    fill_of,
    quality_report,
    volume_quality_report,
    warn_of_wrapped,
)
from rhoa.reading.repairs import repair_names, resample
from rhoa.reading.series_index import (
    AUTO,
    AUTO_RULE,
    checked,
    choose,
    describe_choice,
    find,
    in_several_folders,
    note_left_out,
    summarise,
    syntax_names,
)
from rhoa.volume import Volume

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
    from os import PathLike

    from numpy.typing import ArrayLike, NDArray

    from rhoa.dicom.header import Header
    from rhoa.files import PathOrPaths, Progress
    from rhoa.reading.decoding import Fill, Tally
    from rhoa.reading.geometry import SortedSlices
    from rhoa.reading.quality import SliceStats
    from rhoa.reading.series_index import ImageSeries, SeriesIndex, SeriesSummary

    Paths = str | PathLike[str] | Iterable[str | PathLike[str]]
    Scan = Volume | str | PathLike[str] | Sequence[str | PathLike[str]]


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
    join: bool = False,
    accept: str | Collection[str] = (),
    cache: str | PathLike[str] | None = None,
) -> Volume:
    """Read one CT volume.

    Order, side and spacing of the slices come from their positions and orientations alone; file
    names, InstanceNumber and SliceThickness are not used. What forms no even stack of slices
    of Hounsfield units is an error.

    Parameters
    ----------
    path
        A folder of CT DICOM files (nested, with other files among them), a list of files, one
        enhanced (multi-frame) CT file, a NIfTI file (needs the extra ``nifti``), or an NRRD or
        MetaImage file (``.nrrd``, ``.nhdr``, ``.mha``, ``.mhd``; needs the extra ``itk``).
    series
        Which series, where there are several: its UID, the start or end of it, or its index in
        ``rhoa inspect``. Volumes of an enhanced file (stacks, times, frame types), and phases in
        one series, have indices. "auto" takes the readable axial one that shows the pelvis, then
        the one with the most slices, the thinnest, the one with the softest kernel, and the first
        phase; where several series are alike in that, they are an error still.
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
        * ``"monochrome1"``: values of MONOCHROME1 slices are taken as they are stored: it says
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
    join
        Whether slices of several series that share one grid are read as one: of a scan whose
        slices carry several series UIDs. A list of files is joined without it where the slices
        form one even stack.
    accept
        ``"mono"``: virtual mono-energetic Hounsfield units are read, too. Maps (iodine, perfusion,
        effective atomic number and the like) never are.
    cache
        A folder for decoded volumes, made if need be: a scan that was read with it before, with the
        same options, is not decoded again, and its voxels are memory-mapped. Voxels, affine,
        report and warnings are the same. A file that was changed, added or removed, another option
        and another version of rhoa are read anew. A volume takes about two bytes a voxel (300
        slices of 512 x 512: 157 MB), and nothing is ever removed: delete the folder to empty it.
        It holds the patients' voxels under names that say nothing: protect it like the scans.

    Returns
    -------
    Volume
        ``hu[k, j, i]`` = (slice, row, column), slices in ascending order along the normal (row x
        column direction), rows and columns as stored; int16, or float32 where that cannot hold
        the values. Padding is -1024 HU. ``report`` holds what was found: ``metal_cm3``,
        ``cut_body_share`` (of the slices), ``moved_slices`` and ``plausible_hu`` what was seen in
        the voxels.

    Raises
    ------
    ReadError
        Of a kind that says what is wrong (see `rhoa.errors`); it names the file.
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
    max_bytes = require_count("max_bytes", max_bytes)
    repairs = repair_names(repair)
    findings = WarningCollector(strict)
    if isinstance(path, Iterator):
        path = list(path)
    place, volume = None, None
    if cache is not None:
        accepted = require_names("accept", accept, [MONO], kind="values")
        names = sorted(repairs), sorted(accepted)
        asked = [str(series), *names, bool(strict), max_bytes, bool(join)]
        place = _place_in_cache(path, cache, asked)
        volume = _from_cache(place)
    if volume is None:
        file = whole_volume(path)
        if file is not None:
            from rhoa.reading.volume_files import read_itk, read_nifti

            if series is not None:
                raise ParameterError(f"series= is for DICOM; {shown(file)} is one volume.")
            read = read_nifti if is_nifti(file) else read_itk
            volume = read(file, max_bytes=max_bytes, findings=findings, progress=progress)
        else:
            plan = plan_series(
                path,
                series=series,
                repairs=repairs,
                findings=findings,
                progress=progress,
                join=join,
                accept=accept,
            )
            volume = read_series(plan, max_bytes=max_bytes, findings=findings, progress=progress)
        # Files that were changed while they were read have another place by now.
        if cache is not None and place == _place_in_cache(path, cache, asked):
            _into_cache(place, volume)
    for message in (volume.report or {})["warnings"]:
        warn_user(message)
    return volume


# Decoded volumes in a folder of the user's, one file each.
#
# A file is a sign, the SHA-256 of all that follows, the length of a JSON text, that text, and from
# the next multiple of 64 bytes on the voxels. Its name is the hash of whatever decides the volume,
# so that no file ever changes: it is there whole, or it is as if it were not there.

CACHE_SIGN = b"rhoa volume 1\n"
_CACHE_HASHED = len(CACHE_SIGN) + hashlib.sha256().digest_size
"""Where what the SHA-256 is of begins."""


def _place_in_cache(path: Paths, cache: str | PathLike[str], asked: Sequence[object]) -> Path:
    """Where the volume of these files, read with what is ``asked`` for, is or would be."""
    folder = Path(cache)
    files = list_files(path)
    roots = [path] if isinstance(path, str | os.PathLike) else path
    if any(folder.resolve().is_relative_to(Path(root).resolve()) for root in roots):
        raise ParameterError(
            f"{shown(folder)}: lies among the files of the scan, which would change with it; pass "
            "another folder as cache=."
        )
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ParameterError(
            f"{shown(folder)}: cannot be a folder of decoded volumes ({error.strerror}); pass "
            "another as cache=."
        ) from None
    file = whole_volume(path)
    if file is not None and not is_nifti(file):
        from rhoa.reading.volume_files import read_text_header

        files.append(read_text_header(file).data)
    # A checkout of rhoa may change and keep its version.
    room = Path(__file__).parent
    files += sorted([*room.glob("*.py"), *(room.parent / "dicom").glob("*.py")])
    files.append(Path(_core.__file__))
    states = [(os.path.abspath(one), one.stat()) for one in files]  # noqa: PTH100  # links keep their names
    listing = [(name, s.st_size, s.st_mtime_ns, s.st_ctime_ns) for name, s in states]
    key = json.dumps([_core.__version__, asked, listing])
    return folder / hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()


def _from_cache(place: Path) -> Volume | None:
    """The volume of a file; None where there is none that is whole."""
    try:
        content = np.asarray(np.memmap(place, np.uint8, mode="c"))
    except (OSError, ValueError):  # absent; empty
        return None
    digest = hashlib.sha256(content[_CACHE_HASHED:].data).digest()
    if content[:_CACHE_HASHED].tobytes() != CACHE_SIGN + digest:
        return None
    begin = _CACHE_HASHED + 8
    end = begin + int.from_bytes(content[_CACHE_HASHED:begin].tobytes())
    facts = json.loads(content[begin:end].tobytes())
    voxels = content[end + -end % 64 :].view(facts["dtype"])
    hu = voxels.reshape(facts["shape"], order=facts["order"])
    return Volume(hu, np.array(facts["affine"]), facts["report"])


def _into_cache(place: Path, volume: Volume) -> None:
    """Write the volume into a file; a warning where that fails."""
    hu = volume.hu
    order: Literal["F", "C"] = "F" if hu.flags.f_contiguous else "C"
    facts = {
        "dtype": hu.dtype.str,
        "shape": hu.shape,
        "order": order,
        "affine": volume.affine.tolist(),
        "report": dict(volume.report or {}),
    }
    text = json.dumps(facts).encode()
    head = len(text).to_bytes(8) + text
    head += b"\0" * (-(_CACHE_HASHED + len(head)) % 64)
    voxels = hu.ravel(order).view(np.uint8).data
    digest = hashlib.sha256(head)
    digest.update(voxels)
    try:
        with replacing(place) as partial, partial.open("wb") as file:
            file.write(CACHE_SIGN + digest.digest() + head)
            file.write(voxels)
    except WriteError as error:
        warn_user(f"the decoded volume was not kept: {error}")


def inspect(
    path: Paths,
    *,
    repair: str | Collection[str] = (),
    progress: Callable[[int, int, str], object] | None = None,
    join: bool = False,
) -> list[SeriesSummary]:
    """What is at ``path``: one `SeriesSummary` a series, the largest first.

    Pixels are not decoded: blank or undecodable slices are found by `read_ct` only.

    Parameters
    ----------
    path, repair, progress, join
        As in `read_ct`, which would read with these repairs.

    Raises
    ------
    ParameterError
        If there is no repair of such a name.
    ReadError
        If there is no image at all, or a DICOM file cannot be parsed.
    """
    repairs = repair_names(repair)
    file = whole_volume(path)
    if file is not None:
        from rhoa.reading.volume_files import summarise_itk, summarise_nifti

        return [summarise_nifti(file) if is_nifti(file) else summarise_itk(file)]

    return summarise(path, repairs=repairs, progress=progress, join=join)


def as_volume(scan: Scan) -> Volume:
    """A scan as a volume: it is one, or a path, or a list of paths, that `read_ct` reads.

    Raises
    ------
    ParameterError
        If it is none of these.
    VolumeError
        If it has no voxels.
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
    if 0 in volume.shape:
        raise VolumeError(f"the volume is empty: its shape is {volume.shape}.")
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


# From decoded slices to the volume: blank slices left out, and repairs that move values made.

AIR_BELOW_HU = -900
"""The middle of a slice through a body is denser somewhere."""
STILL_AIR_HU = 5.0
"""Standard deviation below which air was never scanned: noise is larger."""
FEWEST_PIXELS = 64
"""Those of a smaller slice may be equal by chance."""
_EVERY = 4  # pixel is examined first
_MOST_NAMED = 4


def assemble(
    hu: NDArray[Any],
    ordered: SortedSlices,
    repairs: Collection[str],
    *,
    max_bytes: int,
    findings: WarningCollector,
) -> tuple[Volume, int, int, tuple[dict[str, Any], ...]]:
    """The volume of decoded slices; blank ones left out, and those before it; the repairs made.

    Blank slices at an end are left out. A blank slice inside the stack is a missing one: an error,
    or interpolated by the repair "gaps".

    Raises
    ------
    GeometryError
        If blank slices interrupt the stack, or leave fewer than two slices.
    """
    used = _used_slices(hu, ordered, repairs)
    if used[0] or used[-1] < len(hu) - 1:
        findings.warn(
            f"blank slices at the ends were left out: {used[0]} at the first, "
            f"{len(hu) - 1 - used[-1]} at the last; masks without an affine begin "
            f"{used[0]} slices earlier.",
            PixelDataError,
        )
    stacked = ordered.stack
    inside = range(0)
    if len(used) < len(hu):
        stacked = stack_of([ordered.headers[n] for n in used], ordered.label, repairs)
        inside = range(used[0], used[-1] + 1)
    if stacked.warning:
        findings.warn(stacked.warning, GeometryError)
    ends = len(hu) - len(inside) if inside else 0
    if stacked.layout is None:
        return Volume(hu[used[0] : used[-1] + 1], stacked.affine), ends, used[0], ()
    require_budget(stacked.layout.shape, hu.dtype, max_bytes)
    made = resample(hu, stacked.layout, used)
    blank = [ordered.headers[n].name for n in inside if n not in used]
    records = [
        {**record, "blank_files": blank} if blank and record["name"] == "gaps" else record
        for record in stacked.repairs
    ]
    return Volume(made, stacked.affine), ends, used[0], tuple(records)


def _used_slices(hu: NDArray[Any], ordered: SortedSlices, repairs: Collection[str]) -> list[int]:
    """Indices of the slices that are not blank."""
    headers = ordered.headers
    blank, empty = blank_slices(hu, [header.format.intercept for header in headers])
    if not empty.any():
        return list(range(len(hu)))
    seen = np.flatnonzero(~blank)
    if len(seen) < 2:
        raise PixelDataError(
            f"{headers[0].name}: {int(blank.sum())} of {len(hu)} slices are blank (all pixels "
            "equal), too many for a volume; export the original series."
        )
    solid = np.flatnonzero(~empty)
    inside = [n for n in np.flatnonzero(empty).tolist() if len(solid) and solid[0] < n < solid[-1]]
    if inside and "gaps" not in repairs:
        single = not (np.diff(inside) == 1).any()
        remedy = ', or pass repair="gaps" to interpolate it' if single else ""
        names = ", ".join(headers[n].name for n in inside[:_MOST_NAMED])
        raise GeometryError(
            f"{names}: {len(inside)} blank slices inside the stack, which count as missing; "
            f"export the original series{remedy}."
        )
    return [n for n in range(int(seen[0]), int(seen[-1]) + 1) if n not in inside]


def blank_slices(
    hu: NDArray[Any], zeros_hu: Sequence[float | None]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which slices are blank; which are that, or hold nothing but still air in their middle.

    Blank are slices of equal pixels: air, or stored zeros, or anything where most slices differ.

    Parameters
    ----------
    zeros_hu
        What a stored zero is in every slice.
    """
    equal, void, still = blankness(hu, zeros_hu)
    blank = equal if 2 * equal.sum() < len(hu) else void
    return blank, blank | still


def blankness(
    hu: NDArray[Any], zeros_hu: Sequence[float | None]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_], NDArray[np.bool_]]:
    """Which slices have equal pixels; which of them of air or zeros; which show still air."""
    _, rows, columns = hu.shape
    equal, void, still = (np.zeros(len(hu), bool) for _ in range(3))
    if rows * columns < FEWEST_PIXELS:
        return equal, void, still
    middle = hu[:, rows // 4 : rows - rows // 4, columns // 4 : columns - columns // 4]
    some = middle[:, ::_EVERY, ::_EVERY]
    low, high = some.min(axis=(1, 2)), some.max(axis=(1, 2))
    for k in np.flatnonzero((low == high) | (high <= AIR_BELOW_HU)).tolist():
        equal[k] = hu[k].min() == hu[k].max()
        void[k] = equal[k] and (low[k] <= AIR_BELOW_HU or low[k] == zeros_hu[k])
        still[k] = middle[k].max() <= AIR_BELOW_HU and middle[k].std() < STILL_AIR_HU
    return equal, void, still


# The files of one DICOM series to a volume.


@dataclass(frozen=True, slots=True, eq=False)
class SeriesPlan:
    """The slices of one CT volume, sorted and checked, whose pixels are still in their files."""

    found: SeriesIndex
    chosen: ImageSeries
    ordered: SortedSlices
    headers: tuple[Header, ...]
    """In the order of the volume, as they are to be decoded."""
    left_out: Mapping[str, int]
    repairs: Collection[str]
    by_rule: bool

    @property
    def choice(self) -> str:
        """Which series was taken by rule, and what else was there; empty where none was."""
        return describe_choice(self.found, self.chosen) if self.by_rule else ""

    @property
    def affine(self) -> NDArray[np.float64]:
        """From ``(k, j, i, 1)`` to patient LPS mm, if no slice is blank."""
        return self.ordered.stack.affine

    def quality_report(
        self, stats: Mapping[int, SliceStats], findings: WarningCollector
    ) -> dict[str, Any]:
        """What is seen in the voxels of all slices, for the report; defects become warnings."""
        outline = Volume(np.empty((0, 0, 0), np.int16), self.affine)
        facts = [stats[k] for k in range(len(self.headers))]
        axial = outline.axes.superior == 0
        return quality_report(facts, outline.spacing_mm, findings, axial=axial)


def plan_series(
    path: PathOrPaths,
    *,
    series: str | int | None,
    repairs: Collection[str],
    findings: WarningCollector,
    progress: Progress | None,
    join: bool = False,
    accept: str | Collection[str] = (),
) -> SeriesPlan:
    """The slices of the CT volume among the files of ``path``; see `rhoa.read_ct`."""
    accepted = require_names("accept", accept, [MONO], kind="values")
    found = find(path, repairs, progress, join=join)
    chosen = choose(found, series, repairs)
    if chosen.joined > 1 and not join:
        findings.warnings.append(
            f"slices with {chosen.joined} series UIDs form one even stack: they were joined."
        )
    try:
        ordered = sort_slices(chosen, repairs)
    except GeometryError as error:
        raise GeometryError(f"{error}{in_several_folders([chosen])}") from None
    left_out = note_left_out(chosen.headers, findings)
    of_it = [one for one in found.series if one.uid == chosen.uid and one is not chosen]
    beside = [one for one in of_it if chosen.part and not one.headers[0].frame]
    if beside and series is None:
        findings.warn(
            f"{sum(len(one.headers) for one in beside)} images of the series are no part of its "
            f"volume ({listed([one.part for one in beside], most=_MOST_NAMED)}); they were left "
            "out.",
            GeometryError,
        )
    if found.other_volumes:
        findings.warnings.append(
            f"{listed(found.other_volumes, most=_MOST_NAMED)} beside the DICOM files: not read; "
            "pass a volume file by its own name to read it."
        )
    headers = checked(ordered.headers, findings, accepted)
    return SeriesPlan(found, chosen, ordered, headers, left_out, repairs, series == AUTO)


def read_series(
    plan: SeriesPlan, *, max_bytes: int, findings: WarningCollector, progress: Progress | None
) -> Volume:
    """The volume of slices that are arranged; see `rhoa.read_ct`."""
    headers, ordered, repairs = plan.headers, plan.ordered, plan.repairs
    if ordered.stack.layout is not None:
        require_budget(ordered.stack.layout.shape, np.dtype("i2"), max_bytes)
    decoded = decode(headers, max_bytes=max_bytes, findings=findings, progress=progress)
    volume, blank_dropped, blank_before, made = assemble(
        decoded.hu, ordered, repairs, max_bytes=max_bytes, findings=findings
    )
    first = headers[0]
    moved = bool(made or blank_dropped)
    warn_of_wrapped(decoded.wrapped_voxels, findings)
    if moved:
        seen = volume_quality_report(volume.hu, volume.affine, findings)
    else:
        seen = plan.quality_report(decoded.stats, findings)
    if seen["filled_hu"] is not None:
        clear_background(volume.hu, seen["filled_hu"])
    report: dict[str, Any] = {
        "files": plan.found.files,
        "skipped": dict(plan.found.skipped),
        "series": len(plan.found.series),
        "slices": volume.shape[0],
        "joined_series": plan.chosen.joined,
        **plan.left_out,
        "copies_dropped": ordered.copies,
        "blank_dropped": blank_dropped,
        "blank_before": blank_before,
        "repairs": [*ordered.records(plan.found.dropped), *made],
        "spacing_mm": list(volume.spacing_mm),
        "orientation": orientation_name(first.plane),
        "kernel": first.kernel,
        "scanner": first.scanner,
        "transfer_syntaxes": syntax_names(ordered.headers),
        "rescale_varies": len({(h.format.slope, h.format.intercept) for h in ordered.headers}) > 1,
        "padding_voxels": decoded.padding_voxels,
        "wrapped_voxels": decoded.wrapped_voxels,
        "hu_range": [float(volume.hu.min()), float(volume.hu.max())]
        if moved or seen["filled_hu"] is not None
        else list(decoded.hu_range),
        **seen,
        "warnings": list(findings.warnings),
    }
    if plan.by_rule:
        report["chosen"] = {"series": plan.chosen.index, "by": AUTO_RULE, "what": plan.choice}
    return replace(volume, report=report)


# A CT that is read a few slices at a time: what needs no whole volume never holds one.

BLOCK_BYTES = 8 << 20
"""Of slices that are decoded together: 16 of 512 x 512 pixels."""


class BlankSliceError(Exception):
    """A blank slice, or a filled background: what they mean is known when all slices are.

    Never reaches the user.
    """


class SliceSource:
    """The slices of one CT, sorted and checked, decoded when they are asked for."""

    def __init__(
        self,
        plan: SeriesPlan,
        *,
        max_bytes: int,
        findings: WarningCollector,
        progress: Progress | None,
    ) -> None:
        self._plan = plan
        self._max_bytes = max_bytes
        self._findings = findings
        self._progress = progress
        self._kinds = kinds(plan.headers)

    @property
    def choice(self) -> str:
        """Which series ``series="auto"`` took, and what else was there."""
        return self._plan.choice

    @property
    def whole(self) -> bool:
        """Whether all slices are needed at once: repairs may move them."""
        return bool(self._plan.repairs)

    @property
    def outline(self) -> Volume:
        """A volume of this shape and place, whose voxels are all 0 and take no memory."""
        zero = np.zeros((), self._kinds[0])
        return Volume(np.broadcast_to(zero, shape_of(self._plan.headers)), self._plan.affine)

    def blocks(self) -> Iterator[tuple[int, NDArray[Any]]]:
        """The index of a first slice, and the HU of it and those after it, block by block.

        Values are those of `read`, in int16 where that holds all of a block, else in float32. The
        array is used again for the next block.

        Raises
        ------
        ReadError
            As `rhoa.read_ct`.
        BlankSliceError
            If a slice is blank or its background filled, so that all have to be read.
        """
        headers = self._plan.headers
        total, rows, columns = shape_of(headers)
        most = max(1, BLOCK_BYTES // (rows * columns * 2))
        buffers = {kind: np.empty((0, rows, columns), kind) for kind in self._kinds}
        stats: dict[int, SliceStats] = {}
        wrapped = 0
        with decoder(headers, self._progress) as fill:
            for first in range(0, total, most):
                count = min(most, total - first)
                hu, tally = self._block(fill, buffers, first, count)
                stats |= tally.stats
                wrapped += tally.wrapped
                zeros = [header.format.intercept for header in headers[first : first + count]]
                equal, _, still = blankness(hu, zeros)
                thumbnails = np.stack([one.thumbnail for one in tally.stats.values()])
                if (equal | still).any() or fill_of(thumbnails) is not None:
                    raise BlankSliceError
                yield first, hu
        warn_of_padding(headers, self._findings)
        warn_of_wrapped(wrapped, self._findings)
        warning = self._plan.ordered.stack.warning
        if warning:
            self._findings.warn(warning, GeometryError)
        self._plan.quality_report(stats, self._findings)

    def _block(
        self, fill: Fill, buffers: dict[str, NDArray[Any]], first: int, count: int
    ) -> tuple[NDArray[Any], Tally]:
        """One block in the smallest of the element types that holds it."""
        for kind in self._kinds:
            if len(buffers[kind]) < count:
                buffers[kind] = np.empty((count, *buffers[kind].shape[1:]), kind)
            hu = buffers[kind][:count]
            try:
                return hu, fill(hu, first)
            except TooLargeForInt16Error:
                continue
        name = self._plan.headers[first].name
        raise PixelDataError(f"{name}: its values fit neither int16 nor float32.")

    def read(self) -> Volume:
        """The whole volume, as `rhoa.read_ct` reads it."""
        return read_series(
            self._plan,
            max_bytes=self._max_bytes,
            findings=self._findings,
            progress=self._progress,
        )

    def warn(self) -> None:
        """Warn of what was found so far."""
        for message in self._findings.warnings:
            warn_user(message)


def open_scan(
    path: PathOrPaths,
    *,
    series: str | int | None = None,
    repair: str | Collection[str] = (),
    max_bytes: int = 4 << 30,
    progress: Progress | None = None,
    join: bool = False,
    accept: str | Collection[str] = (),
) -> SliceSource | Volume:
    """What `rhoa.read_ct` would read: the slices of a DICOM series; else the volume, already read.

    Raises
    ------
    ReadError
        As `rhoa.read_ct`.
    """
    if whole_volume(path) is not None:
        return read_ct(path, series=series, repair=repair, max_bytes=max_bytes, progress=progress)
    return open_series(
        path,
        series=series,
        repair=repair,
        max_bytes=max_bytes,
        progress=progress,
        join=join,
        accept=accept,
    )


def open_series(
    path: PathOrPaths,
    *,
    series: str | int | None = None,
    repair: str | Collection[str] = (),
    strict: bool = False,
    max_bytes: int = 4 << 30,
    progress: Progress | None = None,
    join: bool = False,
    accept: str | Collection[str] = (),
) -> SliceSource:
    """A CT series whose slices are decoded when they are asked for; options as in `rhoa.read_ct`.

    Headers are read, and checked, now.

    Raises
    ------
    ReadError
        As `rhoa.read_ct`.
    """
    findings = WarningCollector(strict)
    plan = plan_series(
        path,
        series=series,
        repairs=repair_names(repair),
        findings=findings,
        progress=progress,
        join=join,
        accept=accept,
    )
    return SliceSource(plan, max_bytes=max_bytes, findings=findings, progress=progress)

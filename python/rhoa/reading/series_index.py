"""All series of a path: files to series, what each is, and the one that is read."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from rhoa.dicom.codecs import LOSSY, check_sign, syntax_name
from rhoa.dicom.header import SkippedFileError, read_header
from rhoa.dicom.multiframe import part_names, slices_of
from rhoa.errors import (
    AmbiguousSeriesError,
    GeometryError,
    MissingExtraError,
    NoSeriesError,
    ParameterError,
    PixelDataError,
    ReadError,
    WarningCollector,
)
from rhoa.files import list_files, shown
from rhoa.reading.decoding import assume_hounsfield, check_pixels
from rhoa.reading.geometry import (
    check_planes,
    coincident,
    describe_coincident,
    orientation_name,
    sort_slices,
)
from rhoa.reading.repairs import Dropped

if TYPE_CHECKING:
    from collections.abc import Collection, Hashable, Mapping, Sequence

    from rhoa.dicom.header import Header
    from rhoa.dicom.multiframe import Part
    from rhoa.files import PathOrPaths, Progress


# The images of a series by their headers alone: which are slices, and what is doubtful.

_LOCALIZERS = frozenset(["LOCALIZER", "SCOUT", "TOPOGRAM", "SURVIEW"])
_PAGES = frozenset(["DOSE INFO", "SCREEN SAVE", "PATIENT INFO"])
"""Elements of Image Type: of images that show where slices lie, and of text, perhaps a name."""


def kind_of(header: Header) -> Literal["slice", "localizer", "page"]:
    """What an image is, by its Image Type."""
    words = {part.replace("_", " ") for part in header.image_type}
    if not _PAGES.isdisjoint(words):
        return "page"
    return "slice" if _LOCALIZERS.isdisjoint(words) else "localizer"


def note_left_out(headers: Sequence[Header], findings: WarningCollector) -> dict[str, int]:
    """Warn of images of a series that are no slices; how many there are, for the report."""
    counts = Counter(map(kind_of, headers))
    for count, what in (
        (counts["localizer"], "localizer images"),
        (counts["page"], "dose reports or screenshots"),
    ):
        if count:
            findings.warn(f"{count} {what} among the slices were left out.")
    return {"localizers_dropped": counts["localizer"], "pages_dropped": counts["page"]}


def checked(headers: Sequence[Header], findings: WarningCollector) -> tuple[Header, ...]:
    """The slices of one volume as they are to be decoded.

    Lossy compression, and a patient position that the geometry contradicts, are warnings.

    Raises
    ------
    ReadError
        If one cannot be decoded to Hounsfield units, as far as its header says.
    """
    headers = assume_hounsfield(headers, findings)
    for header in headers:
        check_pixels(header, findings)
        check_sign(header, findings)
    lossy = sum(h.lossy or (h.pixels is not None and h.pixels.syntax in LOSSY) for h in headers)
    if lossy:
        findings.warn(
            f"{lossy} of {len(headers)} slices were compressed with loss; HU are approximate.",
            PixelDataError,
        )
    first = headers[0]
    if orientation_name(first.plane) != "axial" or len(first.patient_position) < 3:
        return headers
    along_x = abs((first.plane.orientation or (0.0,))[0])
    on_side = first.patient_position[2:] in {"DL", "DR"}
    if (along_x < np.sqrt(0.5)) != on_side:
        findings.warn(
            f"PatientPosition is {first.patient_position}, but ImageOrientationPatient lies "
            f"{'on the side' if along_x < np.sqrt(0.5) else 'supine or prone'}; "
            "the orientation was used: check which side is left.",
            GeometryError,
        )
    return headers


# Files to series, and why a series is no CT volume at first sight.

UID_TAIL = 12
"""Characters that distinguish series of one study."""
_SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"


@dataclass(frozen=True, slots=True)
class ImageSeries:
    """Images with one series UID; of an enhanced file, those of one part."""

    index: int
    uid: str
    headers: tuple[Header, ...]
    part: str = ""

    @property
    def slices(self) -> tuple[Header, ...]:
        """Its images without localizers and pages of text."""
        return tuple(header for header in self.headers if kind_of(header) == "slice")

    @property
    def label(self) -> str:
        """Its name in messages."""
        part = f", {self.part}" if self.part else ""
        return f"series {self.index} (UID ...{self.uid[-UID_TAIL:]}{part})"


@dataclass(frozen=True, slots=True)
class SeriesIndex:
    """All series of a path, and what else was there."""

    series: tuple[ImageSeries, ...]
    files: int
    skipped: Mapping[str, int]
    dropped: tuple[Dropped, ...]
    """Damaged files that the repair "drop" left out."""


def find(path: PathOrPaths, repairs: Collection[str], progress: Progress | None) -> SeriesIndex:
    """Every series among the files of ``path``, the largest first.

    Raises
    ------
    ReadError
        If there is nothing, or a DICOM file cannot be parsed and is not to be dropped.
    """
    files = list_files(path)
    grouped: dict[tuple[str, Part], list[Header]] = {}
    skipped: Counter[str] = Counter()
    dropped: list[tuple[str, ReadError]] = []
    known: dict[Hashable, Header] = {}
    for done, file in enumerate(files, 1):
        try:
            headers = slices_of(read_header(file, known))
        except SkippedFileError as reason:
            skipped[str(reason)] += 1
        except ReadError as error:
            if "drop" not in repairs:
                raise
            dropped.append((shown(file), error))
        else:
            for header in headers:
                grouped.setdefault((header.series_uid, header.part), []).append(header)
        if progress is not None:
            progress(done, len(files), "reading headers")
    if dropped and not grouped:
        raise dropped[0][1]
    ordered = sorted(grouped.items(), key=lambda item: (-len(item[1]), item[0]))
    names = part_names(grouped)
    series = tuple(
        ImageSeries(n, key[0], tuple(headers), names[key])
        for n, (key, headers) in enumerate(ordered)
    )
    damaged = tuple(Dropped(name, str(error)) for name, error in dropped)
    return SeriesIndex(series, len(files), skipped, damaged)


def refusal(series: ImageSeries) -> ReadError | None:
    """Why a series is no CT volume at first sight; None where its geometry and pixels decide."""
    headers = series.headers
    modality = headers[0].modality
    reasons = {
        f"modality {modality or 'missing'}, not CT": modality != "CT",
        "secondary captures (screenshots), not CT slices": any(
            header.sop_class.startswith(_SECONDARY_CAPTURE) for header in headers
        ),
        "colour images, not CT slices": any(header.samples != 1 for header in headers),
        "dose reports or screenshots (DOSE_INFO, SCREEN SAVE, PATIENT_INFO), not CT slices": (
            all(kind_of(header) == "page" for header in headers)
        ),
        "localizers only, not CT slices": not series.slices,
        "multi-frame, but no enhanced CT, so its frames have no positions; "
        "export single frames or enhanced CT": any(h.frames != 1 for h in headers),
    }
    for reason, applies in reasons.items():
        if applies:
            return NoSeriesError(f"{series.label}: {reason}.")
    burned = [header.name for header in series.slices if header.burned_in]
    if burned:
        return PixelDataError(
            f"{burned[0]}: BurnedInAnnotation is YES: its pixels hold text, perhaps a name; "
            "leave the file out."
        )
    return _flatness(series)


def _flatness(series: ImageSeries) -> GeometryError | None:
    """The error of a series with one slice, or with all slices at one position."""
    slices = series.slices
    if len(slices) == 1:
        return GeometryError(
            f"{slices[0].name}: one slice is no volume; read_ct needs two or more; "
            "pass the folder that holds the whole series."
        )
    planes = [header.plane for header in slices]
    try:
        check_planes(planes)
    except GeometryError:
        return None  # a volume with a defect, which is named when it is read
    groups = coincident(planes)
    if groups and len(groups[0]) == len(planes):
        return GeometryError(describe_coincident(planes, groups[0]))
    return None


def no_volume(found: SeriesIndex) -> NoSeriesError:
    """The error where no series is a CT volume."""
    skipped = ", ".join(f"{count} x {reason}" for reason, count in sorted(found.skipped.items()))
    what = f"{found.files} files" + (f" (skipped: {skipped})" if skipped else "")
    if not found.series:
        return NoSeriesError(
            f"no DICOM image among {what}; pass the folder that holds the CT slices."
        )
    listed = " ".join(str(refusal(series)) for series in found.series[:_MOST_LISTED])
    return NoSeriesError(
        f"no CT volume among {what}: {listed} Pass the folder that holds the CT slices."
    )


def syntax_names(headers: Sequence[Header]) -> list[str]:
    """The transfer syntaxes of some slices."""
    return [syntax_name(s) for s in sorted({h.pixels.syntax for h in headers if h.pixels})]


# All series of a path: what each is, as a table, and the one that is read.

AUTO = "auto"
AUTO_RULE = "most axial slices, then thinnest, then softest kernel"
_SOFT = re.compile(r"STANDARD|SOFT|[BIJ]R?[0-4]\d[FHSMD]?|FC0\d|FC1\d|[AB]")
_SHARP = re.compile(r"BONE.*|LUNG|EDGE|DETAIL|[BIJ]R?[6-9]\d[FHSMD]?|FC[358]\d|[DEL]|Y[A-E]")
_MOST_LISTED = 12


@dataclass(frozen=True, slots=True)
class SeriesSummary:
    """One series of a folder, as ``rhoa inspect`` shows it.

    ``verdict`` is "volume" where `rhoa.read_ct` would read it, else "refused", and ``reason`` why.
    """

    index: int
    uid: str
    modality: str
    verdict: str
    slices: int
    rows: int
    columns: int
    spacing_mm: tuple[float, float, float] | None
    orientation: str
    kernel: str
    syntax: str
    reason: str
    part: str = ""
    """Which volume of an enhanced file (stack, time, frame type), where it has several."""
    warnings: tuple[str, ...] = ()
    """What `read_ct` would warn of, as far as headers say."""


def summarise(
    path: PathOrPaths, *, repairs: Collection[str] = (), progress: Progress | None = None
) -> list[SeriesSummary]:
    """Every series among the files of ``path``, with what `read_series` would say of it."""
    found = find(path, repairs, progress)
    if not found.series:
        raise no_volume(found)
    return [_summary(series, repairs) for series in found.series]


def choose(found: SeriesIndex, wanted: str | int | None, repairs: Collection[str]) -> ImageSeries:
    """The one series that is a CT volume, or the one that is wanted.

    Raises
    ------
    AmbiguousSeriesError
        If several may be meant.
    ReadError
        Why none is a CT volume.
    """
    if wanted is not None and wanted != AUTO:
        chosen = _named(found, wanted, repairs)
        reason = refusal(chosen)
        if reason is not None:
            raise reason
        return chosen
    refusals = {series.index: refusal(series) for series in found.series}
    candidates = [series for series in found.series if refusals[series.index] is None]
    if len(candidates) == 1:
        return candidates[0]
    if candidates:
        return _best(candidates, repairs, auto=wanted == AUTO)
    for reason in refusals.values():
        if reason is not None and not isinstance(reason, NoSeriesError):
            raise reason
    raise no_volume(found)


def _best(candidates: list[ImageSeries], repairs: Collection[str], *, auto: bool) -> ImageSeries:
    """The first of several by `AUTO_RULE`, where that is asked for and fits one alone."""
    if not auto:
        raise AmbiguousSeriesError(
            f"{len(candidates)} CT volumes in the given files; read_ct reads one; pass series= "
            'with an index, the start or end of a UID, or "auto" '
            f"({AUTO_RULE}):\n{_table(candidates, repairs)}"
        )
    ranks: dict[tuple[int, float, int], list[ImageSeries]] = {}
    for series in candidates:
        summary = _summary(series, repairs)
        if summary.spacing_mm is not None and summary.orientation == "axial":
            rank = (-summary.slices, round(summary.spacing_mm[0], 2), _sharpness(summary.kernel))
            ranks.setdefault(rank, []).append(series)
    best = ranks[min(ranks)] if ranks else []
    if len(best) != 1:
        raise AmbiguousSeriesError(
            f'{len(candidates)} CT volumes in the given files; series="auto" ({AUTO_RULE}) fits '
            f"{len(best)} of them; pass series= with an index, or the start or end of a UID:\n"
            + _table(candidates, repairs)
        )
    return best[0]


def _sharpness(kernel: str) -> int:
    """0 for a soft reconstruction kernel, 2 for a sharp one, 1 for one that is not known."""
    word = kernel.upper().split(" ")[0]
    return 0 if _SOFT.fullmatch(word) else 2 if _SHARP.fullmatch(word) else 1


def _named(found: SeriesIndex, wanted: str | int, repairs: Collection[str]) -> ImageSeries:
    if isinstance(wanted, bool) or not isinstance(wanted, str | int):
        raise ParameterError(
            f'series must be an index, (part of) a UID, or "auto"; got {wanted!r}.'
        )
    if isinstance(wanted, int) or wanted.isdecimal():
        matches = [series for series in found.series if series.index == int(wanted)]
    else:
        exact = [series for series in found.series if series.uid == wanted]
        matches = exact or [
            series
            for series in found.series
            if wanted and (series.uid.startswith(wanted) or series.uid.endswith(wanted))
        ]
    if len(matches) != 1:
        raise ParameterError(
            f"series {wanted!r} fits {len(matches)} of the {len(found.series)} series here; "
            "pass an index, or the start or end of one UID:\n" + _table(found.series, repairs)
        )
    return matches[0]


def _table(listed: Sequence[ImageSeries], repairs: Collection[str]) -> str:
    rows = [("index", "slices", "spacing_mm", "orientation", "kernel", "uid ends with", "note")]
    for series in listed[:_MOST_LISTED]:
        summary = _summary(series, repairs)
        spacing = " x ".join(f"{step:.4g}" for step in summary.spacing_mm or ()) or "-"
        rows.append((
            str(series.index), str(summary.slices), spacing, summary.orientation or "-",
            summary.kernel or "-", series.uid[-UID_TAIL:], series.part or summary.reason[:80],
        ))  # fmt: skip  # one row of the table
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
    if len(listed) > _MOST_LISTED:
        lines.append(f"... and {len(listed) - _MOST_LISTED} more")
    return "\n".join(f"  {line}" for line in lines)


def _summary(series: ImageSeries, repairs: Collection[str]) -> SeriesSummary:
    first = series.headers[0]
    spacing: tuple[float, float, float] | None = None
    problem: Exception | None = refusal(series)
    findings = WarningCollector()
    if problem is None:
        try:
            ordered = sort_slices(series, repairs)
            dk, dj, di = np.linalg.norm(ordered.stack.affine[:3, :3], axis=0).round(6).tolist()
            spacing = (dk, dj, di)
            note_left_out(series.headers, findings)
            checked(ordered.headers, findings)
        except (ReadError, MissingExtraError) as error:
            problem = error
    return SeriesSummary(
        index=series.index,
        uid=series.uid,
        modality=first.modality,
        verdict="volume" if problem is None else "refused",
        slices=len(series.headers),
        rows=first.plane.rows,
        columns=first.plane.columns,
        spacing_mm=spacing,
        orientation=orientation_name(first.plane),
        kernel=first.kernel,
        syntax=", ".join(syntax_names(series.headers)),
        reason="" if problem is None else str(problem).removeprefix(f"{series.label}: "),
        part=series.part,
        warnings=() if problem else tuple(findings.warnings),
    )

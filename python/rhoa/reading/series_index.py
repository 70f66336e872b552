"""All series of a path: files to series, what each is, and the one that is read."""

from __future__ import annotations

import os
import re
from collections import Counter
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from rhoa.dicom.codecs import LOSSY, check_sign, syntax_name
from rhoa.dicom.header import SkippedFileError, read_header
from rhoa.dicom.multiframe import ENHANCED_CT, part_names, slices_of
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
from rhoa.files import list_files, listed, printable, shown
from rhoa.reading.decoding import assume_hounsfield, check_pixels, decode
from rhoa.reading.geometry import (
    SPACING_TOLERANCE_MM,
    along_normal,
    check_planes,
    coincident,
    describe_coincident,
    orientation_name,
    sort_slices,
    sorted_along,
    stack,
)
from rhoa.reading.repairs import Dropped

if TYPE_CHECKING:
    from collections.abc import Collection, Hashable, Iterator, Mapping, Sequence

    from rhoa.dicom.header import Header
    from rhoa.dicom.multiframe import Part
    from rhoa.files import PathOrPaths, Progress


# The images of a series by their headers alone: which are slices, and what is doubtful.

_LOCALIZERS = frozenset(["LOCALIZER", "SCOUT", "SCOUT VIEW", "TOPOGRAM", "SURVIEW", "SCANOGRAM"])
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


def checked(
    headers: Sequence[Header], findings: WarningCollector, accept: Collection[str] = ()
) -> tuple[Header, ...]:
    """The slices of one volume as they are to be decoded; ``accept`` as in `rhoa.read_ct`.

    Lossy compression, and a patient position that the geometry contradicts, are warnings.

    Raises
    ------
    ReadError
        If one cannot be decoded to Hounsfield units, as far as its header says.
    """
    headers = assume_hounsfield(headers, findings, accept)
    for header in headers:
        check_pixels(header, findings, accept)
        check_sign(header, findings)
    for what, labels in (
        ("AcquisitionNumber", [header.acquisition for header in headers]),
        ("TemporalPositionIdentifier", [header.time_point for header in headers]),
        ("ConvolutionKernel", [header.kernel for header in headers]),
    ):
        if _alternates(labels):
            raise GeometryError(
                f"{headers[0].name}: {what} alternates along the stack "
                f"({listed(sorted(set(labels), key=_natural), most=4)}): its slices are of several "
                "scans, none of which is an even stack by itself; pass the files of one of them."
            )
    frames = frames_of_reference(headers)
    if frames:
        what = (
            f"{headers[0].name}: slices of one stack state {frames} different values of "
            "FrameOfReferenceUID: positions in different frames of reference do not compare"
        )
        if len({header.series_uid for header in headers}) > 1 and frames < len(headers):
            raise GeometryError(f"{what}; read the files of one of them, without joining series.")
        findings.warn(f"{what}; review the volume where they meet.", GeometryError)
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


def frames_of_reference(headers: Sequence[Header]) -> int:
    """How many frames of reference the headers state; 0 where they state one, or none."""
    stated = {header.frame_of_reference for header in headers} - {""}
    return len(stated) if len(stated) > 1 else 0


# Files to series, and why a series is no CT volume at first sight.

WHOLE_SUFFIXES = (".nii", ".nii.gz", ".nrrd", ".nhdr", ".mha", ".mhd")
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
    joined: int = 1
    """How many series UIDs its images have."""

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
    other_volumes: tuple[str, ...] = ()
    """Names of NIfTI, NRRD and MetaImage files, which are read by their own name."""


def find(
    path: PathOrPaths, repairs: Collection[str], progress: Progress | None, *, join: bool = False
) -> SeriesIndex:
    """Every series among the files of ``path``, the largest first.

    A series of several phases is as many volumes. With ``join`` the slices of all series that have
    one grid are one series; those of a list of files are, too, where they form one even stack.

    Raises
    ------
    ReadError
        If there is nothing, or a DICOM file cannot be parsed and is not to be dropped.
    """
    is_list = isinstance(path, list | tuple) and not any(map(os.path.isdir, path))
    files = list_files(path)
    grouped: dict[tuple[str, Part], list[Header]] = {}
    skipped: Counter[str] = Counter()
    dropped: list[tuple[str, ReadError]] = []
    known: dict[Hashable, Header] = {}
    for done, file in enumerate(files, 1):
        try:
            header = read_header(file, known)
            headers = slices_of(header) if header.sop_class in ENHANCED_CT else (header,)
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
    names = part_names(grouped) if any(part for _, part in grouped) else {}
    single = [
        ImageSeries(0, key[0], tuple(some), names.get(key, "")) for key, some in grouped.items()
    ]
    if join or (is_list and len(single) > 1):
        single = _joined(single, only_even=not join)
    parts = [
        replace(one, headers=some, part=", ".join(filter(None, (one.part, part))))
        for one in single
        for part, some in _phases(one)
    ]
    order = sorted(range(len(parts)), key=lambda n: (-len(parts[n].headers), parts[n].uid, n))
    series = tuple(replace(parts[n], index=index) for index, n in enumerate(order))
    damaged = tuple(Dropped(name, str(error)) for name, error in dropped)
    others = tuple(shown(file) for file in files if file.name.lower().endswith(WHOLE_SUFFIXES))
    return SeriesIndex(series, len(files), skipped, damaged, others)


def _joined(series: list[ImageSeries], *, only_even: bool) -> list[ImageSeries]:
    """Series of CT slices on one grid as one; where ``only_even``, if that is an even stack."""
    alike: dict[object, list[ImageSeries]] = {}
    for one in series:
        planes = {(h.plane.rows, h.plane.columns, h.plane.pixel_mm, h.part) for h in one.slices}
        joinable = one.headers[0].modality == "CT" and len(planes) == 1
        alike.setdefault(planes.pop() if joinable else id(one), []).append(one)
    found = []
    for some in alike.values():
        headers = tuple(header for one in some for header in one.headers)
        whole = replace(some[0], headers=headers, joined=len(some))
        own = frames_of_reference(whole.slices) in {0, len(whole.slices)}
        join = len(some) > 1 and (not only_even or (own and _is_even(whole.slices)))
        found += [whole] if join else some
    return found


def can_be_joined(series: Sequence[ImageSeries]) -> str:
    """What a message says where slices of several series form one even stack; else nothing."""
    whole = max(_joined(list(series), only_even=True), key=lambda one: one.joined, default=None)
    if whole is None or whole.joined < 2:
        return ""
    return (
        f" The slices of {whole.joined} series form one even stack: pass join=True, or "
        "the list of their files, to read it."
    )


# Phases: several volumes with one series UID, which their headers distinguish.

FEWEST_SLICES = 3
"""Of a phase; two at any distance are an even stack."""
_MOST_ALTERNATING = 4


def _phases(series: ImageSeries) -> list[tuple[str, tuple[Header, ...]]]:
    """The volumes of a series, each with its name; the whole of it, without a name, if it is one.

    Where slices share positions, or what distinguishes acquisitions alternates along the stack, the
    first of these that gives even stacks separates them: AcquisitionNumber, kernel,
    TemporalPositionIdentifier, AcquisitionTime, ContentTime, or the order of InstanceNumber.
    """
    slices, alone = series.slices, [("", series.headers)]
    if len(slices) < 2 * FEWEST_SLICES or any(header.frame is not None for header in slices):
        return alone
    planes = [header.plane for header in slices]
    try:
        check_planes(planes)
    except GeometryError:
        return alone  # a defect, which is named when it is read
    groups = coincident(planes)
    most = max(map(len, groups), default=1)
    for name, labels in _phase_labels(slices, most):
        counted = Counter(labels)
        if len(counted) < 2 or not (
            groups or _alternates([labels[n] for n in sorted_along(planes)])
        ):
            continue
        some = {
            label: tuple(h for h, one in zip(slices, labels, strict=True) if one == label)
            for label in sorted(counted, key=_natural)
        }
        even = [_is_even(headers) for headers in some.values()]
        flat = [len(coincident([h.plane for h in one])) == 1 for one in some.values()]
        if any(even) and all(a or b for a, b in zip(even, flat, strict=True)):
            rest = tuple(header for header in series.headers if kind_of(header) != "slice")
            named = [(f"{name} {label}", headers) for label, headers in some.items()]
            return [(named[0][0], named[0][1] + rest), *named[1:]]
    return alone


def _phase_labels(slices: Sequence[Header], most: int) -> Iterator[tuple[str, list[str]]]:
    """What may distinguish the phases of a series, and its value for every slice."""
    yield "acquisition", [header.acquisition for header in slices]
    yield "kernel", [header.kernel for header in slices]
    yield "time", [header.time_point for header in slices]
    for times in ([h.acquired_s for h in slices], [h.made_s for h in slices]):
        known = np.array([np.nan if time is None else time for time in times])
        if np.isnan(known).any() or len(set(known)) < 2:
            continue
        for count in (most,) if most > 1 else range(2, _MOST_ALTERNATING + 1):
            order = np.sort(known)
            widest = np.sort(np.argsort(-np.diff(order), kind="stable")[: count - 1])
            yield "phase", [str(1 + int(n)) for n in np.searchsorted(order[widest], known, "left")]
    numbers = [header.number for header in slices]
    if most > 1 and None not in numbers and len(set(numbers)) == len(slices):
        seen: Counter[int] = Counter()
        place = np.rint(along_normal([h.plane for h in slices]) / SPACING_TOLERANCE_MM).astype(int)
        labels = [""] * len(slices)
        for n in np.argsort(np.array(numbers, float)).tolist():
            seen[int(place[n])] += 1
            labels[n] = str(seen[int(place[n])])
        yield "phase", labels


def _alternates(labels: Sequence[str]) -> bool:
    """Whether a few labels come back again and again along a stack."""
    few = len(set(labels))
    runs = 1 + sum(one != other for one, other in pairwise(labels))
    return "" not in labels and few <= _MOST_ALTERNATING and runs >= 2 * few


def _natural(label: object) -> tuple[int, str]:
    text = str(label)
    return (int(text) if text.isdecimal() else 0, text)


def _is_even(headers: Sequence[Header]) -> bool:
    """Whether slices form an even stack, at most tilted."""
    if len(headers) < FEWEST_SLICES:
        return False
    try:
        stack([header.plane for header in headers], ("tilt",))
    except GeometryError:
        return False
    return True


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
    for n, what in enumerate(("PatientID", "PatientName")):
        persons = {header.patient[n] for header in headers} - {0}
        if len(persons) > 1:
            return AmbiguousSeriesError(
                f"{series.label}: its files state {len(persons)} different values of {what}: they "
                "are of several patients; pass the files of one of them."
            )
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
    refusals = " ".join(str(refusal(series)) for series in found.series[:_MOST_LISTED])
    return NoSeriesError(
        f"no CT volume among {what}: {refusals} Pass the folder that holds the CT slices."
        + can_be_joined(found.series)
    )


def syntax_names(headers: Sequence[Header]) -> list[str]:
    """The transfer syntaxes of some slices."""
    return [syntax_name(s) for s in sorted({h.pixels.syntax for h in headers if h.pixels})]


# All series of a path: what each is, as a table, and the one that is read.

AUTO = "auto"
AUTO_RULE = "axial slices that show the pelvis, then most, thinnest, softest kernel"
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
    folder: str = ""
    """Where its files lie, below the folder that holds all series."""
    body_part: str = ""
    """What its headers say that it shows: pelvis, abdomen, elsewhere."""


_NO_SERIES = SeriesSummary(0, "", "", "refused", 0, 0, 0, None, "", "", "", "")


def summarise(
    path: PathOrPaths,
    *,
    repairs: Collection[str] = (),
    progress: Progress | None = None,
    join: bool = False,
) -> list[SeriesSummary]:
    """Every series among the files of ``path``, with what `read_series` would say of it."""
    found = find(path, repairs, progress, join=join)
    if not found.series:
        raise no_volume(found)
    rows = [
        replace(_summary(series, repairs), folder=folder)
        for series, folder in zip(found.series, folders_of(found.series), strict=True)
    ]
    others = [
        (words[1], "without an image", count)
        for reason, count in sorted(found.skipped.items())
        if (words := re.fullmatch(r"DICOM without an image \((.*)\)", reason))
    ]
    others += [
        ("-", f"{name}: a volume file, which is read by its own name", 1)
        for name in found.other_volumes
    ]
    return rows + [
        replace(
            _NO_SERIES, index=n, modality=modality, slices=count, reason=f"{reason}, no CT slices."
        )
        for n, (modality, reason, count) in enumerate(others, len(rows))
    ]


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
            more = can_be_joined(found.series)
            raise type(reason)(f"{reason}{more}") if more else reason
    raise no_volume(found)


def _best(candidates: list[ImageSeries], repairs: Collection[str], *, auto: bool) -> ImageSeries:
    """The first of several by `AUTO_RULE`, where that is asked for and fits one alone."""
    if not auto:
        raise AmbiguousSeriesError(
            f"{len(candidates)} CT volumes in the given files; read_ct reads one; pass series= "
            'with an index, the start or end of a UID, or "auto" '
            f"({AUTO_RULE}).{can_be_joined(candidates)}{in_several_folders(candidates)}"
            f"\n{_table(candidates, repairs)}"
        )
    pelvis_mm, ranks = {}, dict[tuple[float, ...], list[ImageSeries]]()
    summaries = {one.index: _summary(one, repairs) for one in candidates}
    for series in candidates:
        summary = summaries[series.index]
        if summary.spacing_mm is not None and summary.orientation == "axial":
            pelvis_mm[series.index] = _pelvis_mm(series, summary.spacing_mm)
    longest = max(pelvis_mm.values(), default=0.0)
    for series in candidates:
        summary = summaries[series.index]
        if series.index not in pelvis_mm or summary.spacing_mm is None:
            continue
        words = {word for header in series.slices[:1] for word in header.body_words}
        rank = (
            pelvis_mm[series.index] < _SHOWS_PELVIS * longest,
            0 if "pelvis" in words else 2 if words == {"elsewhere"} else 1,
            -summary.slices,
            round(summary.spacing_mm[0], 2),
            _sharpness(summary.kernel),
        )
        ranks.setdefault(rank, []).append(series)
    best = ranks[min(ranks)] if ranks else []
    if len({(one.uid, bool(one.part)) for one in best}) == 1:
        return best[0]  # the first of several phases
    if len(best) != 1:
        raise AmbiguousSeriesError(
            f'{len(candidates)} CT volumes in the given files; series="auto" ({AUTO_RULE}) fits '
            f"{len(best)} of them; pass series= with an index, or the start or end of a UID:\n"
            + _table(candidates, repairs)
        )
    return best[0]


_SHOWS_PELVIS = 0.6  # of the longest pelvis among several series
_SAMPLE_MM, _MOST_SAMPLED = 25.0, 32  # between slices that are examined
_LUNG_HU, _BODY_HU, _BONE_HU = (-950, -500), -300, 180
_LEAST_BODY_CM2, _MOST_LUNG, _LEAST_BONE_CM2, _MIDDLE_MM = 300.0, 0.06, 6.0, 40.0


def _pelvis_mm(series: ImageSeries, spacing_mm: tuple[float, float, float]) -> float:
    """How much of a series, along it, shows pelvic bones on both sides of a trunk without lungs."""
    dk, dj, di = spacing_mm
    headers = [series.slices[n] for n in sorted_along([h.plane for h in series.slices])]
    every = max(1, round(_SAMPLE_MM / dk), -(-len(headers) // _MOST_SAMPLED))
    try:
        sampled = assume_hounsfield(headers[every // 2 :: every] or headers, WarningCollector())
        hu = decode(sampled, max_bytes=1 << 30, findings=WarningCollector()).hu
    except (ReadError, MissingExtraError):
        return 0.0
    cm2 = dj * di / 100
    from scipy.ndimage import binary_fill_holes  # takes longer to import than all the rest

    shown = 0
    for one in hu:
        body = one > _BODY_HU
        lung = (one > _LUNG_HU[0]) & (one < _LUNG_HU[1]) & binary_fill_holes(body)
        across = np.flatnonzero(body.sum(axis=0) * dj > 2 * _MIDDLE_MM)
        if np.count_nonzero(body) * cm2 < _LEAST_BODY_CM2 or not len(across):
            continue
        middle = across.mean()
        aside = round(_MIDDLE_MM / di)
        bone = (one > _BONE_HU).sum(axis=0) * cm2
        sides = (bone[: max(0, round(middle) - aside)], bone[round(middle) + aside :])
        both = min(float(side.sum()) for side in sides) > _LEAST_BONE_CM2
        clear = np.count_nonzero(lung) < _MOST_LUNG * np.count_nonzero(body)
        shown += int(both and clear)
    return shown * every * dk


def describe_choice(found: SeriesIndex, chosen: ImageSeries) -> str:
    """Which series was chosen, and what else is there, for a message."""
    others = []
    for one in found.series:
        if one is not chosen:
            facts = (f"{len(one.headers)} images", one.headers[0].kernel, one.part)
            others.append(f"{one.index} ({', '.join(filter(None, facts))})")
    return f"{chosen.label}, {len(chosen.slices)} slices" + (
        f"; also here: series {listed(others, most=_MOST_LISTED)}" if others else ""
    )


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


def folders_of(series: Sequence[ImageSeries]) -> list[str]:
    """The folder of each series, below the one that holds all."""
    places = [os.path.commonpath([header.path.parent for header in one.headers]) for one in series]
    top = os.path.commonpath(places) if places else ""
    return [printable(os.path.relpath(place, top), most=60) for place in places]


def in_several_folders(candidates: Sequence[ImageSeries]) -> str:
    """What a message says where each volume, or each part of one, lies in a folder of its own."""
    places = folders_of(
        [replace(one, headers=(h,)) for one in candidates for h in one.headers]
        if len(candidates) == 1
        else candidates
    )
    folders = {(*Path(name).parts, ".")[0] for name in places}
    own = len(candidates) == 1 or len(folders) <= len({one.uid for one in candidates})
    if len(folders) < 2 or not own or "." in folders:
        return ""
    return (
        f" The files lie in {len(folders)} folders ({listed(sorted(folders), most=3)}): if each is "
        "a scan of its own, pass one of them, or --each in the shell."
    )


def _table(rows_of: Sequence[ImageSeries], repairs: Collection[str]) -> str:
    rows = [
        (
            "index",
            "folder",
            "slices",
            "spacing_mm",
            "orientation",
            "kernel",
            "uid ends with",
            "note",
        )
    ]
    for series, folder in zip(rows_of[:_MOST_LISTED], folders_of(rows_of), strict=False):
        summary = _summary(series, repairs)
        spacing = " x ".join(f"{step:.4g}" for step in summary.spacing_mm or ()) or "-"
        rows.append((
            str(series.index), folder, str(summary.slices), spacing, summary.orientation or "-",
            summary.kernel or "-", series.uid[-UID_TAIL:], series.part or summary.reason[:80],
        ))  # fmt: skip  # one row of the table
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
    if len(rows_of) > _MOST_LISTED:
        lines.append(f"... and {len(rows_of) - _MOST_LISTED} more")
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
        body_part=" ".join(sorted(first.body_words)),
    )

"""Files to series to the one CT volume among them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from rhoa.errors import (
    AmbiguousSeriesError,
    GeometryError,
    MissingExtraError,
    NoSeriesError,
    ParameterError,
    PixelDataError,
    ReadError,
)
from rhoa.reading.codecs import syntax_name
from rhoa.reading.copies import same_pixels
from rhoa.reading.decoding import decode
from rhoa.reading.doubts import checked, kind_of, note_left_out
from rhoa.reading.enhanced import part_names, slices_of
from rhoa.reading.files import list_files
from rhoa.reading.findings import Findings
from rhoa.reading.geometry import (
    Stack,
    check_planes,
    coincident,
    describe_coincident,
    orientation_name,
    stack,
)
from rhoa.reading.headers import SkippedFileError, read_header
from rhoa.reading.looks import judge
from rhoa.volume import Volume

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Mapping, Sequence

    from numpy.typing import NDArray

    from rhoa.reading.enhanced import Part
    from rhoa.reading.files import PathOrPaths
    from rhoa.reading.headers import Header
    from rhoa.reading.looks import Look

    Progress = Callable[[int, int, str], object]

_SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
_UID_TAIL = 12  # characters that tell series of one study apart
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
    """What `read_ct` would warn of, as far as headers tell."""


@dataclass(frozen=True, slots=True)
class _Series:
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
        part = f", {self.part}" if self.part else ""
        return f"series {self.index} (UID ...{self.uid[-_UID_TAIL:]}{part})"


@dataclass(frozen=True, slots=True)
class _Found:
    """All series of a path, and what else was there."""

    series: tuple[_Series, ...]
    files: int
    skipped: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class _Sorted:
    """The slices of one series in the order of the volume."""

    headers: tuple[Header, ...]
    stack: Stack
    copies: int


@dataclass(frozen=True, slots=True, eq=False)
class Arranged:
    """The slices of one CT volume, sorted and checked, whose pixels are still in their files."""

    headers: tuple[Header, ...]
    affine: NDArray[np.float64]
    report: Mapping[str, Any]
    """What the headers tell."""

    def judge(self, looks: Mapping[int, Look], findings: Findings) -> dict[str, Any]:
        """What is seen in the voxels of all slices, for the report; doubts become warnings."""
        scan = Volume(np.empty((0, 0, 0), np.int16), self.affine)
        axial = scan.axes.superior == 0
        facts = [looks[k] for k in range(len(self.headers))]
        return judge(facts, scan.spacing_mm, findings, axial=axial)


def arrange(
    path: PathOrPaths,
    *,
    series: str | int | None,
    findings: Findings,
    progress: Progress | None,
) -> Arranged:
    """The slices of the CT volume among the files of ``path``; see `rhoa.read_ct`."""
    found = _find(path, progress)
    chosen = _choose(found, series)
    ordered = _sort(chosen)
    left_out = note_left_out(chosen.headers, findings)
    headers = checked(ordered.headers, findings)
    report = {
        "files": found.files,
        "skipped": dict(found.skipped),
        "series": len(found.series),
        "slices": len(ordered.headers),
        **left_out,
        "copies_dropped": ordered.copies,
        "spacing_mm": np.linalg.norm(ordered.stack.affine[:3, :3], axis=0).tolist(),
        "orientation": orientation_name(headers[0].plane),
        "kernel": headers[0].kernel,
        "transfer_syntaxes": _syntaxes(ordered.headers),
        "rescale_varies": len({(h.format.slope, h.format.intercept) for h in ordered.headers}) > 1,
    }
    return Arranged(headers, ordered.stack.affine, report)


def read_series(
    arranged: Arranged, *, max_bytes: int, findings: Findings, progress: Progress | None
) -> Volume:
    """The volume of slices that are arranged; see `rhoa.read_ct`."""
    decoded = decode(arranged.headers, max_bytes=max_bytes, findings=findings, progress=progress)
    report = {
        **arranged.report,
        "padding_voxels": decoded.padding_voxels,
        "hu_range": list(decoded.hu_range),
        **arranged.judge(decoded.looks, findings),
        "warnings": list(findings.warnings),
    }
    return Volume(decoded.hu, arranged.affine, report)


def summarise(path: PathOrPaths, *, progress: Progress | None = None) -> list[SeriesSummary]:
    """Every series among the files of ``path``, with what `read_series` would say of it."""
    found = _find(path, progress)
    if not found.series:
        raise _nothing(found)
    return [_summary(series) for series in found.series]


def _find(path: PathOrPaths, progress: Progress | None) -> _Found:
    files = list_files(path)
    grouped: dict[tuple[str, Part], list[Header]] = {}
    skipped: Counter[str] = Counter()
    known: dict[Hashable, Header] = {}
    for done, file in enumerate(files, 1):
        try:
            headers = slices_of(read_header(file, known))
        except SkippedFileError as reason:
            skipped[str(reason)] += 1
        else:
            for header in headers:
                grouped.setdefault((header.series_uid, header.part), []).append(header)
        if progress is not None:
            progress(done, len(files), "reading headers")
    ordered = sorted(grouped.items(), key=lambda item: (-len(item[1]), item[0]))
    names = part_names(grouped)
    series = tuple(
        _Series(n, key[0], tuple(headers), names[key]) for n, (key, headers) in enumerate(ordered)
    )
    return _Found(series, len(files), skipped)


def _choose(found: _Found, wanted: str | int | None) -> _Series:
    if wanted is not None:
        chosen = _named(found, wanted)
        refusal = _refusal(chosen)
        if refusal is not None:
            raise refusal
        return chosen
    refusals = {series.index: _refusal(series) for series in found.series}
    candidates = [series for series in found.series if refusals[series.index] is None]
    if len(candidates) == 1:
        return candidates[0]
    if candidates:
        raise AmbiguousSeriesError(
            f"{len(candidates)} CT volumes in the given files; read_ct reads one; pass series= "
            "with an index, or the start or end of a UID:\n" + _table(candidates)
        )
    for refusal in refusals.values():
        if refusal is not None and not isinstance(refusal, NoSeriesError):
            raise refusal
    raise _nothing(found)


def _named(found: _Found, wanted: str | int) -> _Series:
    if isinstance(wanted, bool) or not isinstance(wanted, str | int):
        raise ParameterError(f"series must be an index or (part of) a UID; got {wanted!r}.")
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
            f"pass an index, or the start or end of one UID:\n{_table(found.series)}"
        )
    return matches[0]


def _table(listed: Sequence[_Series]) -> str:
    rows = [("index", "slices", "spacing_mm", "orientation", "kernel", "uid ends with", "note")]
    for series in listed[:_MOST_LISTED]:
        summary = _summary(series)
        spacing = " x ".join(f"{step:.4g}" for step in summary.spacing_mm or ()) or "-"
        rows.append((
            str(series.index), str(summary.slices), spacing, summary.orientation or "-",
            summary.kernel or "-", series.uid[-_UID_TAIL:], series.part or summary.reason[:80],
        ))  # fmt: skip  # one row of the table
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
    if len(listed) > _MOST_LISTED:
        lines.append(f"... and {len(listed) - _MOST_LISTED} more")
    return "\n".join(f"  {line}" for line in lines)


def _refusal(series: _Series) -> ReadError | None:
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


def _flatness(series: _Series) -> GeometryError | None:
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


def _nothing(found: _Found) -> NoSeriesError:
    skipped = ", ".join(f"{count} x {reason}" for reason, count in sorted(found.skipped.items()))
    what = f"{found.files} files" + (f" (skipped: {skipped})" if skipped else "")
    if not found.series:
        return NoSeriesError(
            f"no DICOM image among {what}; pass the folder that holds the CT slices."
        )
    listed = " ".join(str(_refusal(series)) for series in found.series[:_MOST_LISTED])
    return NoSeriesError(
        f"no CT volume among {what}: {listed} Pass the folder that holds the CT slices."
    )


def _sort(series: _Series) -> _Sorted:
    """The slices in ascending order along their normal, without exact copies."""
    headers = list(series.slices)
    planes = [header.plane for header in headers]
    check_planes(planes)
    copies = {
        n
        for first, *others in coincident(planes)
        for n in others
        if same_pixels(headers[first], headers[n])
    }
    kept = [header for n, header in enumerate(headers) if n not in copies]
    try:
        stacked = stack([header.plane for header in kept])
    except GeometryError as error:
        raise GeometryError(f"{series.label}: {error}") from None
    return _Sorted(tuple(kept[n] for n in stacked.order), stacked, len(copies))


def _syntaxes(headers: Sequence[Header]) -> list[str]:
    return [syntax_name(s) for s in sorted({h.pixels.syntax for h in headers if h.pixels})]


def _summary(series: _Series) -> SeriesSummary:
    first = series.headers[0]
    spacing: tuple[float, float, float] | None = None
    problem: Exception | None = _refusal(series)
    findings = Findings()
    if problem is None:
        try:
            ordered = _sort(series)
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
        syntax=", ".join(_syntaxes(series.headers)),
        reason="" if problem is None else str(problem).removeprefix(f"{series.label}: "),
        part=series.part,
        warnings=() if problem else tuple(findings.warnings),
    )

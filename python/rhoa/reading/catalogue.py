"""All series of a path: what each is, as a table, and the one that is read."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from rhoa.errors import (
    AmbiguousSeriesError,
    MissingExtraError,
    NoSeriesError,
    ParameterError,
    ReadError,
)
from rhoa.reading.doubts import checked, note_left_out
from rhoa.reading.findings import Findings
from rhoa.reading.geometry import orientation_name
from rhoa.reading.grouping import UID_TAIL, find, no_volume, refusal, syntax_names
from rhoa.reading.sorting import sort_slices

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from rhoa.reading.files import PathOrPaths, Progress
    from rhoa.reading.grouping import Found, Series


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
    """What `read_ct` would warn of, as far as headers tell."""


def summarise(
    path: PathOrPaths, *, repairs: Collection[str] = (), progress: Progress | None = None
) -> list[SeriesSummary]:
    """Every series among the files of ``path``, with what `read_series` would say of it."""
    found = find(path, repairs, progress)
    if not found.series:
        raise no_volume(found)
    return [_summary(series, repairs) for series in found.series]


def choose(found: Found, wanted: str | int | None, repairs: Collection[str]) -> Series:
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


def _best(candidates: list[Series], repairs: Collection[str], *, auto: bool) -> Series:
    """The first of several by `AUTO_RULE`, where that is asked for and tells one from the rest."""
    if not auto:
        raise AmbiguousSeriesError(
            f"{len(candidates)} CT volumes in the given files; read_ct reads one; pass series= "
            'with an index, the start or end of a UID, or "auto" '
            f"({AUTO_RULE}):\n{_table(candidates, repairs)}"
        )
    ranks: dict[tuple[int, float, int], list[Series]] = {}
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


def _named(found: Found, wanted: str | int, repairs: Collection[str]) -> Series:
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


def _table(listed: Sequence[Series], repairs: Collection[str]) -> str:
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


def _summary(series: Series, repairs: Collection[str]) -> SeriesSummary:
    first = series.headers[0]
    spacing: tuple[float, float, float] | None = None
    problem: Exception | None = refusal(series)
    findings = Findings()
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

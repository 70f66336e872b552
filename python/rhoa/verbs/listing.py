"""The series of a path: what they are, what becomes of them, and what to type next."""

from __future__ import annotations

import dataclasses
import shlex
import textwrap
from typing import TYPE_CHECKING, Any

from rhoa.progress import bar
from rhoa.verbs.output import Result

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Sequence

    from rhoa.reading.catalogue import SeriesSummary

TERMINAL = 98  # columns that a text may take
SHORT_SYNTAX = {
    "Implicit VR Little Endian": "implicit",
    "Explicit VR Little Endian": "explicit",
    "Explicit VR Big Endian": "big endian",
    "Deflated Explicit VR Little Endian": "deflated",
    "RLE Lossless": "RLE",
    "JPEG 2000 Image Compression (Lossless Only)": "JPEG 2000",
    "JPEG 2000 Image Compression": "JPEG 2000 loss",
    "JPEG-LS Lossless Image Compression": "JPEG-LS",
    "JPEG-LS Lossy (Near-Lossless) Image Compression": "JPEG-LS loss",
}


def inspect(options: Namespace) -> Result:
    """The series of a path, what becomes of each and why, and what to type next."""
    from rhoa.reading import inspect as list_series

    series = list_series(options.scan, repair=options.repair, progress=bar())
    rows = [dataclasses.asdict(summary) for summary in series]
    lines = ["", *(line for summary in series for line in _remarks(summary))]
    lines += [""] * (len(lines) > 1) + [_next_step(series, options.scan)]
    return Result(rows, lines, shown=[_row_of(summary) for summary in series])


def _row_of(series: SeriesSummary) -> dict[str, Any]:
    """A row of the table, in which no cell makes it wider than a terminal."""
    syntaxes = ", ".join(SHORT_SYNTAX.get(name, name) for name in series.syntax.split(", "))
    return {
        "index": series.index,
        "modality": series.modality[:8] or "-",
        "slices": series.slices,
        "pixels": f"{series.rows}x{series.columns}",
        "spacing_mm": "x".join(f"{step:.3g}" for step in series.spacing_mm or ()) or "-",
        "plane": series.orientation or "-",
        "kernel": _cut(series.kernel, 10) or "-",
        "syntax": _cut(syntaxes, 14) or "-",
        "verdict": series.verdict,
    }


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 2]}.."


def _remarks(series: SeriesSummary) -> list[str]:
    """Why a series is refused, or what deserves a look in it."""
    remarks = [f"refused: {series.reason}"] if series.reason else []
    remarks += [f"warning: {warning}" for warning in series.warnings]
    remarks += [f"part: {series.part}"] if series.part else []
    return [
        textwrap.fill(
            remark,
            width=TERMINAL,
            initial_indent=f"{series.index:>5}  ",
            subsequent_indent=" " * 7,
            break_on_hyphens=False,
        )
        for remark in remarks
    ]


def _next_step(series: Sequence[SeriesSummary], scan: str) -> str:
    """The command that makes something of the volume, where there is one."""
    volumes = [summary for summary in series if summary.verdict == "volume"]
    if not volumes:
        return "no series here can be read as a CT volume"
    chosen = "" if len(volumes) == 1 else f" --series {volumes[0].index}"
    several = "" if len(volumes) == 1 else f"   (one of the {len(volumes)} volumes)"
    return f"next: rhoa ctap {shlex.quote(scan)}{chosen} -o out{several}"

"""What a verb prints, the tables it writes, what it calls its scans, and the progress bar."""

from __future__ import annotations

import json
import os
import re
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rhoa.errors import ParameterError
from rhoa.files import atomic_write, csv_text

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from typing import TextIO


# What a verb prints, and the tables that it writes.

Rows = list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class VerbResult:
    """What a verb prints: a table (or its JSON), then lines; and whether cases were rejected."""

    rows: Rows = field(default_factory=list)
    lines: Sequence[str] = ()
    rejected: bool = False
    failed: bool = False
    """Whether what was to be checked does not hold."""
    shown: Rows | None = None
    """What the table has, where JSON has more."""


def table(rows: Rows) -> str:
    """Rows of like keys as aligned columns."""
    columns = list(rows[0])
    cells = [columns, *([_cell(row.get(column)) for column in columns] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in cells
    )


def in_words_of_shell(error: object, options: Namespace) -> str:
    """A message of the library with the options of the command line, where the verb has them.

    Examples
    --------
    >>> from argparse import Namespace
    >>> options = Namespace(accept="", pixel_mm=None)
    >>> in_words_of_shell('pass accept="colour", or pixel_mm=; side="left".', options)
    'pass --accept colour, or --pixel-mm; side="left".'
    >>> in_words_of_shell("read_ct needs more than pixel_mm = 2.", options)
    'rhoa needs more than --pixel-mm 2.'
    """

    def option(found: re.Match[str]) -> str:
        name, text, number = found.groups(default="")
        words = f"--{name.replace('_', '-')} {text}{number}".rstrip()
        return words if hasattr(options, name) else found[0]

    words = re.sub(
        r'\b([a-z_]+) ?= ?(?:"([\w,-]+)"|True|([0-9]+))?(?=[\s,;.]|$)', option, str(error)
    )
    words = re.sub(r"\bread_(ct|xray) (?=needs|reads)", "rhoa ", words)
    return words.replace("rhoa.train", "`rhoa train`").replace(" in the shell", "")


def write_table(file: Path, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    """Write rows as CSV; a list is its members with blanks between."""
    cells = []
    for row in rows:
        values = [row.get(name) for name in columns]
        cells.append([" ".join(map(str, v)) if isinstance(v, list | tuple) else v for v in values])
    atomic_write(file, csv_text(columns, cells))


def _cell(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, dict) and {"value", "low", "high"} <= value.keys():
        if value["value"] is None or value["low"] is None:
            return "-" if value["value"] is None else f"{value['value']:.3f} [no interval]"
        return f"{value['value']:.3f} [{value['low']:.2f} to {value['high']:.2f}]"
    if isinstance(value, list | tuple):
        return (", " if any(isinstance(one, str) for one in value) else " x ").join(
            map(_cell, value)
        )
    return str(value)


# What to call the scans whose paths a verb was given.


def distinct_names(scans: Sequence[Path]) -> dict[str, Path]:
    """A name for each scan: its own, after those of its folders where two would have one.

    Examples
    --------
    >>> sorted(distinct_names([Path("a/ct"), Path("b/ct"), Path("c")]))
    ['a-ct', 'b-ct', 'c']
    """
    # Links keep the names they have.
    whole = [Path(os.path.abspath(scan)) for scan in scans]  # noqa: PTH100
    if len(set(whole)) < len(whole):
        raise ParameterError("one scan is named twice.")
    depth = dict.fromkeys(whole, 1)
    while True:
        names = {place: "-".join(place.parts[1:][-depth[place] :]) for place in whole}
        twice = [p for p in whole if list(names.values()).count(names[p]) > 1]
        deeper = [p for p in twice if depth[p] < len(p.parts) - 1]
        if not deeper:
            break
        for place in deeper:
            depth[place] += 1
    if twice:
        raise ParameterError("two scans cannot be told apart by the names of their folders.")
    return {names[place]: scan for place, scan in zip(whole, scans, strict=True)}


# What goes to the terminal besides results: progress and warnings, shown, logged or left out.


class Screen:
    """A text stream that passes on to another, unless silent, and writes whole lines to a log."""

    def __init__(self, stream: TextIO, *, silent: bool = False, log: TextIO | None = None) -> None:
        self._stream, self.silent, self._log = stream, silent, log
        self._line = ""

    def write(self, text: str) -> int:
        """Write text; in the log a line stands as it was last drawn, with its time."""
        if not self.silent:
            self._stream.write(text)
        if self._log is not None:
            *lines, self._line = (self._line + text).split("\n")
            for line in lines:
                stamp = time.strftime("%Y-%m-%d %H:%M:%S")
                drawn = line.rpartition("\r")[2].replace("\x1b[K", "")
                self._log.write(f"{stamp} {drawn}\n")
            self._log.flush()
        return len(text)

    def flush(self) -> None:
        """Flush the stream behind it."""
        self._stream.flush()

    def isatty(self) -> bool:
        """Whether a terminal shows it."""
        return not self.silent and self._stream.isatty()


# A progress bar on a terminal, and lines where there is none.

WIDTH = 28
LINE_SECONDS = 30.0
LEAST_SECONDS = 3.0
"""Before the pace is known."""


def bar(stream: TextIO | None = None) -> Callable[[int, int, str], None]:
    """A function ``progress(done, total, what)`` that draws on ``stream`` (default: stderr).

    On a terminal it redraws one line, with how long the rest will take at the pace so far;
    elsewhere it writes a line when a stage ends, when each of its parts does (of
    ``"training: model-1"`` and ``"training: model-2"``, training is the stage), and every half
    minute.
    """
    output = sys.stderr if stream is None else stream
    begun: dict[str, tuple[float, int]] = {}
    part: dict[str, tuple[float, str]] = {}
    drawn = [0.0]

    def show(done: int, total: int, what: str) -> None:
        now = time.monotonic()
        stage = what.partition(":")[0]
        start, first = begun.setdefault(stage, (now, done))
        ended = done >= total
        if output.isatty():
            if ended or now - drawn[0] > 0.1:
                drawn[0] = now
                filled = WIDTH * min(done, total) // max(total, 1)
                picture = "#" * filled + "." * (WIDTH - filled)
                end = (
                    f"  {now - start:.0f} s\n"
                    if ended
                    else _rest(now - start, done - first, total - done)
                )
                output.write(f"\r\x1b[K{picture} {done}/{total} {what}{end}")
                output.flush()
        else:
            part_start, name = part.setdefault(stage, (now, what))
            if name != what or (ended and start != part_start):
                output.write(f"{name}: done in {now - part_start:.0f} s\n")
                part[stage] = now, what
                drawn[0] = now
            elif not ended and now - drawn[0] > LINE_SECONDS:
                if now - start > LINE_SECONDS:
                    rest = _rest(now - start, done - first, total - done)
                    output.write(f"{what}: {done} of {total}{rest}\n")
                drawn[0] = now
            if ended:
                output.write(f"{stage}: {total} done in {now - start:.0f} s\n")
            output.flush()
        if ended:
            begun.pop(stage, None)
            part.pop(stage, None)

    return show


def _rest(seconds: float, done: int, left: int) -> str:
    """How long the rest will take, where that can be estimated."""
    if seconds < LEAST_SECONDS or done < 1:
        return ""
    rest = seconds / done * left
    return f"  {rest:.0f} s left" if rest < 100 else f"  {rest / 60:.0f} min left"


def figures_of_test(metrics: Path) -> Rows:
    """One line a model and kind of image: hips, subjects, figures of the test set with intervals.

    Names are those of ``metrics.json``.
    """
    named = ("hips", "subjects", "roc_auc", "balanced_accuracy")
    return [
        {"model": model["name"], "source": source} | {name: result["test"][name] for name in named}
        for model in json.loads(metrics.read_text(encoding="utf-8"))["models"]
        for source, result in model["results"].items()
        if result["test"] is not None
    ]

"""A progress bar on a terminal, and lines where there is none."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TextIO

WIDTH = 28
LEAST_SECONDS = 3.0
"""Before the pace is known."""


def bar(stream: TextIO | None = None) -> Callable[[int, int, str], None]:
    """A function ``progress(done, total, what)`` that draws on ``stream`` (default: stderr).

    On a terminal it redraws one line, with how long the rest will take at the pace so far;
    elsewhere it writes a line when a stage ends.
    """
    output = sys.stderr if stream is None else stream
    begun: dict[str, tuple[float, int]] = {}
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
        elif ended:
            output.write(f"{stage}: {total} done in {now - start:.0f} s\n")
            output.flush()
        if ended:
            begun.pop(stage, None)

    return show


def _rest(seconds: float, done: int, left: int) -> str:
    """How long the rest will take, where that can be told."""
    if seconds < LEAST_SECONDS or done < 1:
        return ""
    rest = seconds / done * left
    return f"  {rest:.0f} s left" if rest < 100 else f"  {rest / 60:.0f} min left"

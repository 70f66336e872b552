"""A progress bar on a terminal, and lines where there is none."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TextIO

WIDTH = 28


def bar(stream: TextIO | None = None) -> Callable[[int, int, str], None]:
    """A function ``progress(done, total, what)`` that draws on ``stream`` (default: stderr).

    On a terminal it redraws one line; elsewhere it writes a line when a stage ends.
    """
    output = sys.stderr if stream is None else stream
    begun: dict[str, float] = {}
    drawn = [0.0]

    def show(done: int, total: int, what: str) -> None:
        now = time.monotonic()
        stage = what.partition(":")[0]
        start = begun.setdefault(stage, now)
        ended = done >= total
        if output.isatty():
            if ended or now - drawn[0] > 0.1:
                drawn[0] = now
                filled = WIDTH * min(done, total) // max(total, 1)
                picture = "#" * filled + "." * (WIDTH - filled)
                end = f"  {now - start:.0f} s\n" if ended else ""
                output.write(f"\r\x1b[K{picture} {done}/{total} {what}{end}")
                output.flush()
        elif ended:
            output.write(f"{stage}: {total} done in {now - start:.0f} s\n")
            output.flush()
        if ended:
            begun.pop(stage, None)

    return show

"""Draw the rooms of the package in their order, and which import which.

    python docs/rooms.py                       # writes docs/figures/rooms.svg
    python docs/rooms.py --out /tmp/rooms.svg

Needs Python alone. Order and imports are those of ``scripts/layout``; the same files give the same
bytes.
"""

from __future__ import annotations

import argparse
import runpy
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parent.parent
LAYOUT = runpy.run_path(str(ROOT / "scripts" / "layout"), run_name="layout")
KEPT = ROOT / "docs" / "figures" / "rooms.svg"

ROW, BOX_WIDTH, BOX_HEIGHT, MARGIN, LANE = 24, 104, 18, 6, 15
OFFSET = 4  # up for what a room imports, down for what imports it
BOX, INK, EDGE = "#eaf0f6", "#12202e", "#6b7a8a"
COLOURS = ("#2b7bba", "#c2620e", "#2e8b57", "#8e5cc4", "#cf4446")
"""Of bands; they and edges stand out from a light and from a dark page."""


class Band(NamedTuple):
    """A line down from a room to those that import it."""

    room: int
    importers: list[int]
    lane: int

    @property
    def last(self) -> int:
        """The row where it ends."""
        return self.importers[-1]


def main() -> None:
    """Write the picture."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, default=KEPT)
    options = parser.parse_args()
    package = LAYOUT["Package"](LAYOUT["PACKAGE"])
    options.out.write_text(drawn(package, LAYOUT["ROOMS"]), encoding="utf-8", newline="\n")


def drawn(package: Any, order: list[str]) -> str:  # noqa: ANN401  # a class of the script
    """The picture, as SVG."""
    imports = without_detours(package.room_imports(types=False), order)
    bands = laid(imports, order)
    width = 2 * MARGIN + BOX_WIDTH + LANE * (2 + max((band.lane for band in bands), default=0))
    height = 2 * MARGIN + ROW * len(order)
    said = "; ".join(
        f"{room} imports {', '.join(imports[room])}" for room in order if imports[room]
    )
    size = f'viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" aria-labelledby="title said">',
        '<title id="title">The rooms of rhoa in their order, and what each imports</title>',
        f'<desc id="said">{said}.</desc>',
        f'<path stroke="{EDGE}" d="{"".join(taps(bands))}"/>',
        '<g fill="none" stroke-width="2" stroke-linejoin="round">',
        *(line for band in bands for line in lines(band)),
        "</g>",
        f'<g fill="{BOX}" stroke="{EDGE}">',
        *(box(row) for row in range(len(order))),
        "</g>",
        f'<g fill="{INK}" font-family="sans-serif" font-size="12" text-anchor="middle">',
        *(label(row, room) for row, room in enumerate(order)),
        "</g>",
        "</svg>",
    ]
    return "\n".join([*parts, ""])


def without_detours(imports: dict[str, set[str]], order: list[str]) -> dict[str, list[str]]:
    """What each room imports, but for what it has through another one anyway."""
    reached: dict[str, set[str]] = {}
    for room in order:
        direct = imports.get(room, set())
        reached[room] = direct.union(*(reached[other] for other in direct))
    return {
        room: [
            other
            for other in order
            if other in imports.get(room, set())
            and not any(other in reached[between] for between in imports[room])
        ]
        for room in order
    }


def laid(imports: dict[str, list[str]], order: list[str]) -> list[Band]:
    """A band for each room that is imported, short ones near the boxes, none on another."""
    places = {room: place for place, room in enumerate(order)}
    needed = [
        (places[room], [places[other] for other in order if room in imports[other]])
        for room in order
    ]
    bands: list[Band] = []
    for room, importers in sorted(needed, key=lambda one: (one[1] or [0])[-1] - one[0]):
        if importers:
            taken = {band.lane for band in bands if band.room < importers[-1] and room < band.last}
            lane = next(lane for lane in range(len(order)) if lane not in taken)
            bands.append(Band(room, importers, lane))
    return sorted(bands)


def middle(row: int) -> int:
    """The height of a row's middle."""
    return MARGIN + ROW * row + ROW // 2


def box(row: int) -> str:
    """The frame of a room."""
    top = middle(row) - BOX_HEIGHT // 2
    return f'<rect x="{MARGIN}" y="{top}" width="{BOX_WIDTH}" height="{BOX_HEIGHT}" rx="3"/>'


def label(row: int, room: str) -> str:
    """Its name."""
    return f'<text x="{MARGIN + BOX_WIDTH // 2}" y="{middle(row) + 4}">{room}</text>'


def taps(bands: list[Band]) -> list[str]:
    """From each room that imports to the farthest band that it does so by."""
    farthest: dict[int, int] = {}
    for band in bands:
        for row in band.importers:
            farthest[row] = max(farthest.get(row, 0), across(band.lane))
    return [
        f"M{MARGIN + BOX_WIDTH} {middle(row) - OFFSET}H{x}" for row, x in sorted(farthest.items())
    ]


def lines(band: Band) -> list[str]:
    """The band with an arrowhead at its room, and a dot for each room that imports it."""
    colour, x, edge = COLOURS[band.lane % len(COLOURS)], across(band.lane), MARGIN + BOX_WIDTH
    start, end = middle(band.room) + OFFSET, middle(band.last) - OFFSET
    return [
        f'<path stroke="{colour}" d="M{edge + 6} {start}H{x}V{end}"/>',
        f'<path fill="{colour}" d="M{edge + 1} {start}l7 -4v8z"/>',
        *(
            f'<circle fill="{colour}" cx="{x}" cy="{middle(row) - OFFSET}" r="3.5"/>'
            for row in band.importers
        ),
    ]


def across(lane: int) -> int:
    """Where a lane lies."""
    return MARGIN + BOX_WIDTH + LANE * (lane + 1)


if __name__ == "__main__":
    main()

"""Time and compare rhoa's projections with other tools', on one array in one run.

    python benches/projection.py                      # 600 x 512 x 512 int16, about 10 minutes
    python benches/projection.py --out docs/speed     # also writes speed.md and speed.png

Needs ``pip install '.[bench]'``; a tool that is not installed is left out, with a note. Every
image is compared with rhoa's before anything is timed. Times are of whole calls, from the tool's
own image in memory to the projection; making that image is not counted.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure
from peers import PEERS, Grid, Peer

import rhoa
from rhoa.cli import demo
from rhoa.cli.common import bar
from rhoa.parallel import thread_count
from rhoa.projection.depth_and_grid import projection_grid

if TYPE_CHECKING:
    from numpy.typing import NDArray

WINDOW = (-150, 600)
HEAD = """# Speed of projection

A section a processor, written there by `python benches/projection.py --out docs/speed`, which
keeps the others; `rhoa bench` prints the first table of yours. Times are of whole calls; ratios are
of the least times of calls that took turns in one run: to a plain read of the same memory, which no
sum can beat, and to Numba's loops for the same image. `out=` writes to memory that was used before.

"""
PICTURE = "Milliseconds a call, rhoa and other tools"


@dataclass(frozen=True, slots=True)
class Match:
    """One tool's job, timed against rhoa's."""

    job: str
    candidate: demo.TimedCall
    difference: float  # largest, relative to the standard deviation of rhoa's image


def matches(scan: rhoa.Volume, threads: int) -> tuple[list[Match], list[str]]:
    """The jobs of all tools that are installed, and notes on the others."""
    grid = projection_grid(scan, demo.tilted(scan), "all", None)
    samples = grid.samples(scan)
    lattice = Grid(samples["shape"], np.array(samples["origin"]), np.array(samples["steps"]))
    straight = rhoa.ctap(scan.hu, window=WINDOW, threads=threads)
    posed = rhoa.ctap(scan, pose=demo.tilted(scan), window=WINDOW, method="reslice")
    oblique = posed.pixels / np.float32(grid.step_mm)  # rows are 1 mm apart
    found, notes = [], []
    for peer in PEERS:
        if peer.missing:
            notes.append(f"{peer.name} left out: {peer.missing}")
            continue
        found += _jobs(peer, scan.hu, lattice, threads, straight, oblique)
    return found, notes


def _jobs(  # one tool, one scan, two jobs
    peer: Peer,
    hu: NDArray[np.int16],
    grid: Grid,
    threads: int,
    straight: NDArray[np.float32],
    oblique: NDArray[np.float32],
) -> list[Match]:
    image, found = peer.prepare(hu), []
    name = f"{peer.name} {peer.version}"
    if (project := peer.straight) is not None:
        candidate = demo.TimedCall(
            f"straight sum, {name}", lambda: project(image, WINDOW, threads), slow=True
        )
        found.append(Match("straight", candidate, _difference(candidate.run(), straight)))
    if (sample := peer.oblique) is not None:
        candidate = demo.TimedCall(
            f"oblique sum, {name}", lambda: sample(image, WINDOW, grid, threads), slow=True
        )
        found.append(Match("oblique", candidate, _difference(candidate.run(), oblique)))
    return found


def _difference(image: object, reference: NDArray[np.float32]) -> float:
    difference = np.abs(np.asarray(image, np.float64) - reference).max()
    return float(difference / reference.std())


def table(timings: list[demo.Timing], found: list[Match]) -> list[str]:
    """The lines of a Markdown table."""
    median = {timing.name: timing.median for timing in timings}
    jobs = {match.candidate.name: match for match in found}
    lines = [
        "| what | min ms | median ms | max ms | against rhoa | largest difference / SD |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for timing in sorted(timings, key=lambda timing: timing.median):
        match = jobs.get(timing.name)
        reference = demo.OBLIQUE if match and match.job == "oblique" else demo.STRAIGHT
        ratio = f"{timing.median / median[reference]:.2f} x" if match else ""
        agreement = f"{match.difference:.1e}" if match else ""
        times = f"{timing.least:.1f} | {timing.median:.1f} | {timing.most:.1f}"
        lines.append(f"| {timing.name} | {times} | {ratio} | {agreement} |")
    return lines


def as_markdown(rows: list[dict[str, object]]) -> list[str]:
    """What `rhoa bench` prints, without Numba's own rows."""
    columns = list(rows[0])
    lines = [f"| {' | '.join(columns)} |", f"|---|---|{'---:|' * (len(columns) - 2)}"]
    for row in rows:
        if not str(row["what"]).endswith(demo.NUMBA):
            cells = ("" if row[column] is None else str(row[column]) for column in columns)
            lines.append(f"| {' | '.join(cells)} |")
    return lines


def draw(timings: list[demo.Timing], path: Path, title: str) -> None:
    """Bars of the medians on a logarithmic scale, rhoa's darker."""
    ordered = sorted(timings, key=lambda timing: -timing.median)
    figure = Figure(figsize=(9, 0.32 * len(ordered) + 1.2), layout="constrained")
    axes = figure.subplots()
    own = [not any(peer.name in timing.name for peer in PEERS) for timing in ordered]
    colours = ["#1f4e79" if mine else "#b8c4d0" for mine in own]
    medians = [timing.median for timing in ordered]
    bars = axes.barh([timing.name for timing in ordered], medians, color=colours)
    axes.bar_label(bars, labels=[f"{median:,.0f} ms" for median in medians], padding=3)
    axes.set_xscale("log")
    axes.set_xlabel("milliseconds a call, median; shorter is faster")
    axes.set_title(title, loc="left")
    axes.spines[["top", "right"]].set_visible(False)
    axes.margins(x=0.25, y=0.01)
    figure.savefig(path, dpi=120)


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--shape", nargs=3, type=int, default=demo.SHAPE)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--out", type=Path, help="path without suffix, for a .md and a .png")
    options = parser.parse_args()
    threads = thread_count(options.threads)
    scan = demo.volume(tuple(options.shape))
    found, notes = matches(scan, threads)
    own = [
        one
        for one in demo.candidates(scan, threads)
        if one.name in {demo.READ, demo.STRAIGHT, demo.OBLIQUE}
    ]
    competitors = [*own, *(match.candidate for match in found)]
    timings = demo.timed(competitors, rounds=options.rounds, progress=bar())
    size = " x ".join(str(length) for length in scan.shape)
    title = f"{size}, {demo.machine(threads)}"
    rows = demo.run(scan.shape, rounds=options.rounds, threads=threads, progress=bar())
    head = [demo.machine(threads), "", f"{size} voxels.", "", *as_markdown(rows), ""]
    text = "\n".join([*head, *table(timings, found), "", *notes])
    print(text)
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        picture = options.out.with_suffix(".png")
        page = options.out.with_suffix(".md")
        text = f"{text.rstrip()}\n\n![{PICTURE}]({picture.name})"
        page.write_text(sections(page, demo.processor(), text), encoding="utf-8")
        draw(timings, picture, title)


def sections(page: Path, name: str, text: str) -> str:
    """The page with the section of one processor put in, or in its old one's place."""
    kept = page.read_text(encoding="utf-8").split("\n## ")[1:] if page.exists() else []
    others = [one.strip() for one in kept if not one.startswith(f"{name}, ")]
    return HEAD + "\n\n".join(f"## {one}" for one in [*others, text.strip()]) + "\n"


if __name__ == "__main__":
    main()

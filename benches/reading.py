"""Time reading a CT series, and projecting it while it is read, beside other ways, in one run.

    python benches/reading.py                        # 600 slices of 512 x 512, about 3 minutes
    python benches/reading.py --folder patient/ct    # a series of your own
    python benches/reading.py --out docs/reading     # also writes reading.md
    python benches/reading.py --compressed rle       # or jpeg-2000, jpeg-lossless: also decoding

The series is made anew in a temporary folder (0.3 GB), uncompressed, with 184 elements in a header.
It is read once before anything is timed, so that it lies in the page cache. All ways take turns,
round after round; ratios are those of one round. Memory is the peak of a process of its own above
what it takes once everything is imported. HU are compared with SimpleITK's. Decoders of compressed
frames are timed beside those that the package imagecodecs brings, a frame at a time on one thread.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
import warnings
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np
import pydicom
import scanner
from pydicom.encaps import encapsulate, generate_frames
from pydicom.uid import UID, JPEG2000Lossless, JPEGLossless, RLELossless
from readers import DICOM_READERS

import rhoa
from rhoa import _core
from rhoa.cli.common import bar
from rhoa.dicom.codecs import IN_PROCESS
from rhoa.errors import WarningCollector
from rhoa.parallel import thread_count
from rhoa.reading.geometry import sort_slices
from rhoa.reading.quality import quality_report, slice_stats
from rhoa.reading.reader import blankness
from rhoa.reading.series_index import checked, choose, find

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Ways = dict[str, Callable[[], object]]
    Times = dict[str, list[float]]

READ, HEADERS, RAW, SITK, CHECKS, LOOKS, STREAM, STEPS = (
    "rhoa.read_ct",
    "pydicom, headers only",
    "raw read of the files",
    "SimpleITK, series reader",
    "checks of headers, of read_ct",
    "looks at voxels, of read_ct, one thread",
    "rhoa.ctap(folder)",
    "rhoa.ctap(rhoa.read_ct(folder))",
)
HEAD = "# Speed of reading\n\nWritten by `python benches/reading.py --out docs/reading`.\n\n"
TAIL = """
## Compressed slices

| transfer syntax | decoded by |
|---|---|
| JPEG 2000, lossless and lossy (.90, .91) | rhoa, on all threads |
| JPEG lossless (.57, .70) | rhoa, on all threads |
| RLE (.5) | rhoa, on all threads |
| JPEG of 8 bits (.50, .51) | Pillow, in a process of its own |
| JPEG-LS (.80, .81), HTJ2K (.201, .202, .203) | the extra `codecs`, in processes of their own |
| JPEG Extended of 12 bits (.51) | python-gdcm, in a process of its own |

Uncompressed and deflated slices need no decoder. A stream's own header is compared with that of
the file before it is decoded; one that ends early, lacks a tile or contradicts the file is an error
that names the file. A syntax whose decoder is not installed is an error that names the package.
`python benches/reading.py --compressed CODEC` times a decoder beside another of its kind.
"""
PEERS = {
    "jpeg-2000": (JPEG2000Lossless, "OpenJPEG", "jpeg2k_decode"),
    "jpeg-lossless": (JPEGLossless, "jpegsof3 (dcm2niix)", "jpegsof3_decode"),
    "rle": (RLELossless, "imagecodecs", "dicomrle_decode"),
}
"""Transfer syntax, and the decoder beside rhoa's: its name and its function in imagecodecs."""
MEMORY = {
    READ: "rhoa.read_ct({0!r})",
    STREAM: "rhoa.ctap({0!r})",
    STEPS: "rhoa.ctap(rhoa.read_ct({0!r}))",
    SITK: "readers.DICOM_READERS[1].read(pathlib.Path({0!r}))",
}
CHILD = """
import json, pathlib, sys, warnings
sys.path.insert(0, {benches!r})
import numpy, pydicom, rhoa, readers, rhoa.reading.reader
warnings.simplefilter("ignore")
if {sitk}: import SimpleITK
rhoa.ctap(numpy.zeros((2, 2, 2), "i2"))
def peak(): return int(open("/proc/self/status").read().partition("VmHWM:")[2].split()[0]) << 10
before = peak()
result = {line}
print(json.dumps([before, peak()]))
"""


@dataclass(frozen=True, slots=True)
class Bar:
    """A ratio that is to stay below, or above, a number."""

    what: str
    least: float
    median: float
    most: float
    wanted: str


def ways(folder: Path) -> tuple[Ways, NDArray[np.int16]]:
    """What is timed, and the HU of the series."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    volume = rhoa.read_ct(folder)
    found = find(folder, (), None)
    highest = [float(one.max()) for one in volume.hu]  # known when a slice is decoded
    facts = [slice_stats(one) for one in volume.hu]

    def checks() -> None:
        ordered = sort_slices(choose(found, None, ()), ())
        checked(ordered.headers, WarningCollector())

    def looks() -> None:
        for one, most in zip(volume.hu, highest, strict=True):
            slice_stats(one, most)
        blankness(volume.hu, [0.0] * len(volume.hu))
        quality_report(facts, volume.spacing_mm, WarningCollector())

    def headers() -> None:
        for file in files:
            pydicom.dcmread(file, stop_before_pixels=True)

    def raw() -> None:
        for file in files:
            file.read_bytes()

    return {
        READ: lambda: rhoa.read_ct(folder),
        HEADERS: headers,
        RAW: raw,
        CHECKS: checks,
        LOOKS: looks,
        STREAM: lambda: rhoa.ctap(folder),
        STEPS: lambda: rhoa.ctap(rhoa.read_ct(folder)),
    }, volume.hu


def timed(what: Ways, rounds: int) -> Times:
    """Seconds of every way in every round, after one round that does not count."""
    show, seconds = bar(), {name: [] for name in what}
    for number in range(rounds + 1):
        for name, run in what.items():
            start = time.perf_counter()
            run()
            if number:
                seconds[name].append(time.perf_counter() - start)
        show(number + 1, rounds + 1, "rounds")
    return seconds


def peaks(folder: Path, sitk: bool) -> dict[str, tuple[int, int]]:  # noqa: FBT001  # internal
    """Bytes before and at the peak of a process that does one thing."""
    found = {}
    for name, line in MEMORY.items():
        if name == SITK and not sitk:
            continue
        code = CHILD.format(
            benches=os.fspath(Path(__file__).parent),
            sitk=name == SITK,
            line=line.format(os.fspath(folder)),
        )
        run = subprocess.run(  # noqa: S603  # this interpreter, the lines above
            [sys.executable, "-c", code], check=True, capture_output=True, text=True
        )
        before, peak = json.loads(run.stdout)
        found[name] = before, peak
    return found


def bars(times: Times, memory: dict[str, tuple[int, int]], volume_bytes: int) -> list[Bar]:
    """The ratios that matter, with what is wanted of them."""
    floor = [sum(pair) for pair in zip(times[HEADERS], times[RAW], strict=True)]
    found = [_bar("read_ct / (pydicom's headers + raw read)", times[READ], floor, "<= 0.9")]
    if SITK in times:
        found.append(_bar("SimpleITK / read_ct", times[SITK], times[READ], ">= 6"))
    found += [
        _bar("checks of headers / read_ct", times[CHECKS], times[READ], "<= 0.1"),
        _bar("ctap(folder) / ctap(read_ct(folder))", times[STREAM], times[STEPS], ""),
    ]
    rise = memory[READ][1] - memory[READ][0]
    found.append(_bar("peak memory of read_ct / volume", [rise], [volume_bytes], "<= 1.35"))
    return found


def _bar(what: str, over: list[float], under: list[float], wanted: str) -> Bar:
    ratios = [a / b for a, b in zip(over, under, strict=True)]
    return Bar(what, min(ratios), statistics.median(ratios), max(ratios), wanted)


def report(times: Times, memory: dict[str, tuple[int, int]], found: list[Bar]) -> list[str]:
    """The lines of three Markdown tables."""
    lines = ["| what | min ms | median ms | max ms |", "|---|---:|---:|---:|"]
    for name, seconds in sorted(times.items(), key=lambda item: statistics.median(item[1])):
        ends = min(seconds), statistics.median(seconds), max(seconds)
        lines.append(f"| {name} | " + " | ".join(f"{1e3 * end:.0f}" for end in ends) + " |")
    lines += ["", "| ratio | min | median | max | wanted |", "|---|---:|---:|---:|---|"]
    lines += [
        f"| {one.what} | {one.least:.2f} | {one.median:.2f} | {one.most:.2f} | {one.wanted} |"
        for one in found
    ]
    lines += ["", "| memory | before, MB | at the peak, MB | more, MB |", "|---|---:|---:|---:|"]
    lines += [
        f"| {name} | {before / 1e6:.0f} | {peak / 1e6:.0f} | {(peak - before) / 1e6:.0f} |"
        for name, (before, peak) in memory.items()
    ]
    return lines


def compress(folder: Path, syntax: UID) -> None:
    """Write the slices of a folder anew, compressed."""
    for path in folder.rglob("IM*"):
        image = pydicom.dcmread(path)
        if syntax == JPEGLossless:
            coded = import_module("imagecodecs").ljpeg_encode(image.pixel_array, bitspersample=16)
            image.PixelData = encapsulate([coded])
            image["PixelData"].VR = "OB"
            image.file_meta.TransferSyntaxUID = syntax
        else:
            image.compress(syntax, generate_instance_uid=False)
        image.save_as(path)


def decoding(folder: Path, rounds: int) -> str:
    """Processor time of decoding a slice, by rhoa and by a peer, of the same frames in turn."""
    images = [pydicom.dcmread(path) for path in sorted(folder.rglob("*")) if path.is_file()]
    syntax = images[0].file_meta.TransferSyntaxUID
    peer, function = next(
        (name, function)
        for uid, name, function in PEERS.values()
        if IN_PROCESS[uid] == IN_PROCESS[syntax]
    )
    try:
        decoder = getattr(import_module("imagecodecs"), function)
    except ImportError as error:
        return f"Decoding beside {peer} left out: {error}"
    frames = [
        next(generate_frames(image.PixelData, number_of_frames=1))
        for image in images[:: max(1, len(images) // 50)]
    ]
    rows, columns = images[0].Rows, images[0].Columns

    def ours(stream: bytes) -> NDArray[np.generic]:
        return _core.decoded(stream, codec=IN_PROCESS[syntax], rows=rows, columns=columns, bits=16)

    def theirs(stream: bytes) -> NDArray[np.generic]:
        if syntax != RLELossless:
            return decoder(stream)
        planes = np.frombuffer(decoder(stream, dtype="<u2"), "<u2")
        return planes[: rows * columns]

    same = all(
        np.array_equal(ours(one).view(np.uint16).ravel(), theirs(one).view(np.uint16).ravel())
        for one in frames
    )
    taken: dict[str, list[float]] = {"rhoa": [], peer: []}
    for _ in range(rounds):
        for name, decode in (("rhoa", ours), (peer, theirs)):
            start = time.process_time()
            for one in frames:
                decode(one)
            taken[name].append(1e3 * (time.process_time() - start) / len(frames))
    ratio = _bar("", taken["rhoa"], taken[peer], "")
    each = ", ".join(f"{name} {statistics.median(ms):.2f} ms" for name, ms in taken.items())
    return (
        f"{syntax.name}: decoding a slice takes {each} of processor time; ratio {ratio.least:.2f} "
        f"to {ratio.most:.2f}, median {ratio.median:.2f} (wanted <= 1.25). "
        f"Samples equal: {'yes' if same else 'NO'}."
    )


def compare(folder: Path, shape: tuple[int, ...], rounds: int) -> str:
    """Everything about one series."""
    what, hu = ways(folder)
    sitk = next(reader for reader in DICOM_READERS if reader.name == "SimpleITK")
    notes, volume_bytes = [], hu.nbytes
    first = next(path for path in folder.rglob("*") if path.is_file())
    if pydicom.dcmread(first, stop_before_pixels=True).file_meta.TransferSyntaxUID in IN_PROCESS:
        notes.append(decoding(folder, rounds))
    if sitk.missing:
        notes.append(f"SimpleITK left out: {sitk.missing}")
    else:
        what[SITK] = lambda: sitk.read(folder)
        values, _ = sitk.read(folder)
        same = np.array_equal(values, hu) or np.array_equal(values[::-1], hu)
        notes.append(f"HU equal SimpleITK's {sitk.version}: {'yes' if same else 'NO'}.")
        del values
    times = timed(what, rounds)
    memory = peaks(folder, sitk=sitk.missing is None)
    size = " x ".join(map(str, shape))
    title = f"{size}, {thread_count()} threads, {platform.machine()}, pydicom {pydicom.__version__}"
    body = report(times, memory, bars(times, memory, volume_bytes))
    return "\n".join([f"{title}.", "", *body, "", *notes])


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--shape", nargs=3, type=int, default=(600, 512, 512))
    parser.add_argument("--folder", type=Path, help="a series to read instead of a made one")
    parser.add_argument("--compressed", choices=PEERS, help="compress the made series")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--out", type=Path, help="path without suffix, for a .md")
    options = parser.parse_args()
    warnings.simplefilter("ignore")  # warnings about the scan do not matter here
    if options.folder:
        text = compare(options.folder, rhoa.read_ct(options.folder).shape, options.rounds)
    else:
        with TemporaryDirectory() as folder:
            scanner.write(Path(folder), tuple(options.shape), bar())
            if options.compressed:
                compress(Path(folder), PEERS[options.compressed][0])
            text = compare(Path(folder), options.shape, options.rounds)
    print(text)
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.with_suffix(".md").write_text(
            f"{HEAD}{text.rstrip()}\n{TAIL}", encoding="utf-8"
        )


if __name__ == "__main__":
    main()

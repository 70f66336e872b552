"""What readers make of series with one defect each, beside rhoa, in one run.

    python benches/broken_series.py                               # prints, about 2 minutes
    python benches/broken_series.py --out docs/broken-series.md   # also writes the page

Needs ``pip install '.[bench,codecs,nifti]'``; a tool that is not installed is left out, with a
note. Every tool reads every series in a process of its own, with a limit of time and of memory.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import signal
import sys
import time
import warnings
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from readers import DICOM_READERS, NIFTI_READERS, Reader

from rhoa.cli.common import bar
from rhoa.dicom.pixels import AIR_HU, IMPOSSIBLE_HU
from rhoa.testing import DEFECTS, NIFTI_DEFECTS, Series, make_nifti, make_series
from rhoa.testing.synthetic import CATALOGUE

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

MEMORY_BYTES = 4 << 30
"""What a reader may take beyond what it has after its imports."""

RIGHT, TYPED, UNTYPED, STDERR, SILENT, CRASHED = (
    "right", "refused", "refused, untyped", "wrong, stderr only", "SILENTLY WRONG", "crashed",
)  # fmt: skip  # the columns of the totals
PADDING, NO_CT = "(padding kept)", "(no CT)"
OUTCOMES = (RIGHT, TYPED, UNTYPED, STDERR, SILENT, CRASHED)

LEGEND = f"""\
One row is one small series with one defect, or an unusual one that is right, made by
`rhoa.testing.make_series`. Every voxel's true HU is known. A volume counts as right if it has the
true HU at every true place in the patient, whatever the order of its axes.

* **{RIGHT}**: the true volume. `+`: and something was said of it, in a warning or on stderr.
* **{TYPED}**: an exception of a class that the tool itself defines, for a program to tell apart.
* **{UNTYPED}**: any other exception (ValueError, RuntimeError, AttributeError ...).
* **{STDERR}**: a wrong volume, and something on stderr, which a program does not see.
* **{SILENT}**: a wrong volume, or one that the files do not determine, and not a word.
* **{CRASHED}**: the process died, or took longer than the limit.

Where the unit is unknown, the pixels are no CT or the files contradict each other, any volume
counts as wrong. `{NO_CT}` marks what only a reader of CT must refuse; the others do not claim to be
one. `{PADDING}` marks volumes that are right but for padding, which they hold as -3024 HU or so:
it does no harm where values are clipped before anything is interpolated.

"should" is what rhoa is meant to do: `warn` is the true volume and a warning, `repair` the true
volume and an entry in its report."""


class Outcome(NamedTuple):
    """What a reader made of one series."""

    kind: str
    remark: str = ""

    @property
    def cell(self) -> str:
        """As the table shows it."""
        shown = f"**{self.kind}**" if self.kind in {SILENT, CRASHED} else self.kind
        return f"{shown} {self.remark}".strip()


def read_in_child(reader: Reader, series: Series, seconds: int) -> Outcome:
    """Read a series in a forked process, which imports nothing any more."""
    with TemporaryDirectory() as folder:
        answer, said = Path(folder) / "answer", Path(folder) / "stderr"
        sys.stdout.flush()
        child = os.fork()
        if child == 0:
            _read(reader, series, answer, said, seconds)
        limit = time.monotonic() + seconds + 5
        while (ended := os.waitpid(child, os.WNOHANG)) == (0, 0):
            if time.monotonic() > limit:
                os.kill(child, signal.SIGKILL)
            time.sleep(0.002)
        if os.WIFSIGNALED(ended[1]) or not answer.exists():
            number = os.WTERMSIG(ended[1])
            late = number in {signal.SIGALRM, signal.SIGKILL}
            return Outcome(
                CRASHED, "time" if late else signal.Signals(number).name if number else ""
            )
        return judged(json.loads(answer.read_text()), loud=bool(said.read_bytes().strip()))


def _read(reader: Reader, series: Series, answer: Path, said: Path, seconds: int) -> None:
    """In the child: read, compare, write the answer, end without clean-up."""
    os.dup2(os.open(said, os.O_CREAT | os.O_WRONLY), sys.stderr.fileno())
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    limit = pages * resource.getpagesize() + MEMORY_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.alarm(seconds)
    warnings.simplefilter("default")
    try:
        hu, affine = reader.read(series.path)
    except BaseException as error:  # noqa: BLE001  # tools raise anything
        found = {"error": type(error).__name__, "own": reader.owns(error)}
    else:
        signal.alarm(0)
        found = {"right": series.is_right(hu, affine), "remark": ""}
        if series.error == "NoSeriesError":
            found["remark"] = NO_CT
        elif not found["right"] and series.is_right(
            np.where(hu < IMPOSSIBLE_HU, AIR_HU, hu), affine
        ):
            found["remark"] = PADDING
    sys.stderr.flush()
    answer.write_text(json.dumps(found), encoding="utf-8")
    os._exit(0)


def judged(found: dict[str, object], *, loud: bool) -> Outcome:
    """The outcome of an answer; ``loud`` where the tool wrote to stderr."""
    if "error" in found:
        name = str(found["error"])
        return Outcome(TYPED, name) if found["own"] else Outcome(UNTYPED, name)
    if found["right"]:
        return Outcome(RIGHT, "+" if loud else "")
    return Outcome(STDERR if loud else SILENT, str(found["remark"]))


def compare(
    readers: Sequence[Reader],
    names: Sequence[str],
    make: Callable[[Path, str], Series],
    seconds: int,
) -> dict[str, tuple[Series, list[Outcome]]]:
    """What every reader makes of every defect; each gets a copy of its own."""
    progress, found = bar(), {}
    for n, name in enumerate(names, 1):
        outcomes = []
        for reader in readers:
            with TemporaryDirectory() as folder:
                series = make(Path(folder) / "scan", name)
                outcomes.append(read_in_child(reader, series, seconds))
        found[name] = (series, outcomes)
        if progress is not None:
            progress(n, len(names), "reading")
    return found


def totals(readers: Sequence[Reader], found: dict[str, tuple[Series, list[Outcome]]]) -> list[str]:
    """A Markdown table: how often each reader came to each outcome."""
    counts = [
        Counter(outcomes[n].kind for _, outcomes in found.values()) for n in range(len(readers))
    ]
    marked = [
        sum(outcomes[n].remark in {PADDING, NO_CT} for _, outcomes in found.values())
        for n in range(len(readers))
    ]
    refused = [
        sum(
            series.verdict != "error" and outcomes[n].kind in {TYPED, UNTYPED}
            for series, outcomes in found.values()
        )
        for n in range(len(readers))
    ]
    lines = [
        f"| of {len(found)} | "
        + " | ".join(OUTCOMES)
        + " | wrong, but marked | refused, but readable |"
    ]
    lines.append("|---" + "|---:" * (len(OUTCOMES) + 2) + "|")
    for reader, count, excused, over in zip(readers, counts, marked, refused, strict=True):
        cells = " | ".join(str(count[kind]) for kind in OUTCOMES)
        lines.append(f"| {reader.name} {reader.version} | {cells} | {excused} | {over} |")
    return lines


def rows(
    readers: Sequence[Reader],
    found: dict[str, tuple[Series, list[Outcome]]],
    described: Callable[[str], str],
) -> list[str]:
    """A Markdown table: one row a defect."""
    lines = ["| defect | what | should | " + " | ".join(reader.name for reader in readers) + " |"]
    lines.append("|---" * (3 + len(readers)) + "|")
    for name, (series, outcomes) in found.items():
        should = series.error or series.verdict
        cells = " | ".join(outcome.cell for outcome in outcomes)
        lines.append(f"| `{name}` | {described(name)} | {should} | {cells} |")
    return lines


def _installed(readers: Sequence[Reader], notes: list[str]) -> list[Reader]:
    notes += [f"{reader.name} left out: {reader.missing}" for reader in readers if reader.missing]
    return [reader for reader in readers if not reader.missing]


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, help="a Markdown file to write")
    parser.add_argument("--seconds", type=int, default=20, help="limit for one reading")
    options = parser.parse_args()
    notes: list[str] = []
    dicom, nifti = _installed(DICOM_READERS, notes), _installed(NIFTI_READERS, notes)
    names = sorted(
        DEFECTS, key=lambda name: (CATALOGUE[name].case == "-", CATALOGUE[name].case, name)
    )
    series = compare(
        dicom, names, lambda path, name: make_series(path, defect=name), options.seconds
    )
    files = compare(
        nifti,
        sorted(NIFTI_DEFECTS),
        lambda path, name: make_nifti(path.with_suffix(".nii"), defect=name),
        options.seconds,
    )
    text = "\n".join([
        "# What readers make of broken series", "",
        "Written by `python benches/broken_series.py --out docs/broken-series.md`.", "",
        LEGEND, "", "## DICOM", "",
        *totals(dicom, series), "", *rows(dicom, series, DEFECTS.__getitem__), "", "## NIfTI", "",
        *totals(nifti, files), "", *rows(nifti, files, NIFTI_DEFECTS.__getitem__), "", *notes,
    ])  # fmt: skip  # the page from top to bottom
    print(text)
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(text.rstrip() + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

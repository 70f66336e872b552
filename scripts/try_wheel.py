#!/usr/bin/env python3
"""Install a wheel as a user without Rust and without torch would, and use it.

A fresh environment outside of the repository, with no cargo, no rustc and no source tree in reach:
the imaging half of the demo, the time of ``import rhoa``, and the tests of the light half.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# What tests read beside the package: everything but rhoa itself and its Rust sources.
BESIDE = (
    *("tests", "benches", "docs", "scripts", ".github"),
    *("pyproject.toml", "README.md", "CONTRIBUTING.md", "CHANGELOG.md"),
)
IMPORT = """
from time import perf_counter, process_time
start = perf_counter(), process_time()
import rhoa
print(1e3 * (perf_counter() - start[0]), 1e3 * (process_time() - start[1]))
"""
WHERE = """
import importlib.util, rhoa
from importlib import metadata
assert rhoa.__version__ == metadata.version("rhoa-ct"), metadata.version("rhoa-ct")
assert importlib.util.find_spec("torch") is None, "torch came with it"
print(rhoa.__version__, rhoa.__file__)
"""


class Room:
    """A folder with an environment of its own, in which commands find neither Rust nor rhoa."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        venv.create(folder / "venv", with_pip=True)
        self.programs = folder / "venv" / ("Scripts" if os.name == "nt" else "bin")
        kept = [place for place in os.environ["PATH"].split(os.pathsep) if not _has_rust(place)]
        hidden = {"PYTHONPATH", "PYTHONPYCACHEPREFIX", "PYTHONDONTWRITEBYTECODE"}
        self.environment = {key: text for key, text in os.environ.items() if key not in hidden}
        self.environment["PATH"] = os.pathsep.join([str(self.programs), *kept])

    def run(self, *words: str | Path) -> str:
        """What a command prints on stdout; it must succeed."""
        print("+", *(word for word in words if "\n" not in str(word)), flush=True)
        program = shutil.which(words[0], path=self.environment["PATH"])
        command = [program or words[0], *words[1:]]
        run = subprocess.run(
            command,
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            text=True,
            check=False,
        )
        if run.returncode != 0:
            print(run.stdout, flush=True)
            raise SystemExit(f"{words[0]} left with exit code {run.returncode}")
        return run.stdout


def _has_rust(place: str) -> bool:
    return any(shutil.which(name, path=place) for name in ("cargo", "rustc"))


def time_import(room: Room) -> str:
    """What ``import rhoa`` takes in fresh processes, beside Python's start; bytecode is there."""
    taken = [[float(word) for word in room.run("python", "-c", IMPORT).split()] for _ in range(15)]
    wall, processor = (statistics.median(column) for column in zip(*taken, strict=True))
    return f"import rhoa: {wall:.0f} ms, {processor:.0f} ms of the processor (medians of 15)"


def demo(room: Room) -> None:
    """The imaging half, which says that it left out the rest, and why."""
    started = time.perf_counter()
    said = room.run("rhoa", "demo", "--out", "demo")
    if "skipped: training" not in said:
        raise SystemExit(f"the demo without torch does not say what it skipped: {said}")
    crops = len(list((room.folder / "demo" / "study").rglob("*.png")))
    print(f"demo: {crops} pictures in {time.perf_counter() - started:.0f} s")


def tests(room: Room, *, extra: str, words: list[str]) -> None:
    """The light half of the tests, on the wheel that is installed."""
    for name in BESIDE:
        source = ROOT / name
        copy = shutil.copytree if source.is_dir() else shutil.copy2
        copy(source, room.folder / name)
    room.run("python", "-m", "pip", "install", "--quiet", extra)
    print(room.run("python", "-m", "pytest", "-q", "-m", "not (torch or slow)", *words)[-4000:])


def main() -> None:
    """Parse, then try."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("wheel", type=Path)
    parser.add_argument("--no-tests", action="store_true", help="only install, import and demo")
    parser.add_argument("pytest", nargs="*", help="words for pytest, after --")
    options = parser.parse_args()
    wheel = options.wheel.resolve()
    with tempfile.TemporaryDirectory(prefix="rhoa-wheel-", ignore_cleanup_errors=True) as folder:
        room = Room(Path(folder))
        room.run("python", "-m", "pip", "install", "--quiet", "--only-binary", ":all:", wheel)
        print(room.run("python", "-c", WHERE).strip())
        print(time_import(room))
        demo(room)
        if not options.no_tests:
            tests(room, extra=f"{wheel}[test]", words=options.pytest)


if __name__ == "__main__":
    sys.exit(main())

"""Work on cases, for other processes to import."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

from rhoa.errors import MissingExtraError, ReadError


def measure(source: Path, folder: Path) -> dict[str, Any]:
    """What the name of the source says: how long its name is, or how it fails."""
    (folder / "a.txt").write_text(source.name)
    (folder / "deep").mkdir()
    (folder / "deep" / "b.bin").write_bytes(bytes(range(200)) * 50)
    if "broken" in source.name:
        raise ReadError(f"{source.name}: no CT.")
    if "bug" in source.name:
        raise KeyError("a patient's name")
    if "extra" in source.name:
        raise MissingExtraError("pip install '.[nifti]'")
    if "killer" in source.name:
        os.kill(os.getpid(), signal.SIGKILL)
    return {"letters": len(source.name)}


def slow(source: Path, folder: Path) -> dict[str, Any]:
    """The same, in small steps that take a moment."""
    for number in range(5):
        (folder / f"{number}.txt").write_text(source.name * 100)
        time.sleep(0.02)
    return {"letters": len(source.name)}


def dies_once(source: Path, folder: Path) -> dict[str, Any]:
    """The process that does the first case dies; the second time it is done."""
    mark = source.parent / f"{source.name}.died"
    if "fragile" in source.name and not mark.exists():
        mark.write_text("")
        os.kill(os.getpid(), signal.SIGKILL)
    return measure(source, folder)

"""Every scan of a folder: side by side, each once, with a table and a page of them all."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import warnings
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rhoa
from rhoa.cohort import Case, Pool, dask, processes, run_cases
from rhoa.errors import ParameterError, RhoaWarning
from rhoa.hips.sheet import Entry, sheet, write_card
from rhoa.progress import bar
from rhoa.reading import whole_volume
from rhoa.verbs.output import Result
from rhoa.writing import atomic_write, csv_text

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Iterator, Sequence

    from rhoa.cohort import Outcome
    from rhoa.cohort.cases import Work
    from rhoa.hips.sheet import Verdict
    from rhoa.verbs.output import Rows
    from rhoa.verbs.pelvis import Request

ELSEWHERE = frozenset(
    {"run", "verb", "json", "out", "scan", "each", "workers", "scheduler", "shard", "threads"}
)
"""Options that have no say in what becomes of a scan."""
SHEET = "contact-sheet.html"


def each(options: Namespace, work: Work, *, table: str, columns: Sequence[str]) -> Result:
    """Do every scan of a folder; write a table of their rows and a page to look at.

    ``work`` returns ``{"verdict": ..., "rows": [...], "card": ...}`` of one scan.
    """
    folder, out = Path(options.scan), Path(options.out)
    scans, loose = scans_in(folder)
    mine = _shard(scans, options.shard)
    wish = _wish(options)
    cases = [Case(path.name, path, _digest([wish, list(_fingerprint(path))])) for path in mine]
    found = run_cases(work, cases, out, pool=_pool(options), progress=bar())
    rows = [{"scan": one.name, **row} for one in found for row in one.record.get("rows", ())]
    failures = [one for one in found if one.failure]
    part = "" if options.shard is None else "-{}-of-{}".format(*options.shard)
    table_file, page, rejected = (
        out / f"{Path(name).stem}{part}{Path(name).suffix}"
        for name in (table, SHEET, "rejected.csv")
    )
    _write_table(table_file, ("scan", *columns), rows)
    atomic_write(page, sheet(map(_card, found), title=f"{len(found)} scans"))
    if failures:
        told = [{"scan": one.name, "reason": one.failure} for one in failures]
        _write_table(rejected, ("scan", "reason"), told)
    else:
        rejected.unlink(missing_ok=True)
    lines = [f"wrote {table_file}: {len(rows)} rows", f"wrote {page}"]
    verdicts = Counter(str(one.record.get("verdict", "failed")) for one in found)
    lines += [f"{count} of {len(found)} scans: {verdict}" for verdict, count in verdicts.items()]
    if earlier := sum(one.earlier for one in found):
        lines.append(f"{earlier} of them were done before")
    lines += [f"{one.name}: {one.failure}" for one in failures]
    lines += [f"{loose} other files beside the scans were not looked at"] if loose else []
    return Result(rows, lines, bool(failures))


def refuse_landmarks(request: Request) -> None:
    """Landmarks are of one scan.

    Raises
    ------
    ParameterError
        If some were given.
    """
    if request.read is not None:
        raise ParameterError(
            "--each looks at many scans, and landmarks are of one: pass --pose auto, force or "
            "no-asis."
        )


@contextlib.contextmanager
def told_warnings() -> Iterator[list[str]]:
    """The texts of the warnings that are given meanwhile, each once."""
    told: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", RhoaWarning)
        yield told
        told += dict.fromkeys(str(one.message) for one in caught)


def scans_in(folder: Path) -> tuple[list[Path], int]:
    """Each subfolder and each file that is a whole volume; and how many other files there are.

    Raises
    ------
    ParameterError
        If there is no such folder, or no scan in it.
    """
    if not folder.is_dir():
        raise ParameterError(f"{folder.name}: no such folder; --each takes a folder of scans.")
    inside = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    scans = [path for path in inside if path.is_dir() or whole_volume(path) is not None]
    if not scans:
        raise ParameterError(
            f"{folder.name}: holds no scans, which are folders of DICOM or NIfTI, NRRD or "
            "MetaImage files, one a scan; leave out --each if it is one scan itself."
        )
    return scans, len(inside) - len(scans)


def _shard(scans: list[Path], shard: tuple[int, int] | None) -> list[Path]:
    """The scans of one part of several, in turn."""
    if shard is None:
        return scans
    number, count = shard
    return scans[number - 1 :: count]


def _pool(options: Namespace) -> Pool | None:
    if options.scheduler:
        return dask(options.scheduler)
    return processes(options.workers) if options.workers > 1 else None


def _wish(options: Namespace) -> dict[str, Any]:
    """What is asked of a scan; files that an option names count with what they hold."""
    wish = {name: value for name, value in vars(options).items() if name not in ELSEWHERE}
    return {"rhoa": rhoa.__version__, "verb": options.verb, **wish}


def _fingerprint(path: Path) -> Iterator[tuple[str, int, int]]:
    """Name, size and time of change of every file of a scan."""
    files = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())
    for file in files:
        state = file.stat()
        yield os.fspath(file.relative_to(path.parent)), state.st_size, state.st_mtime_ns


def _digest(what: Any) -> str:  # noqa: ANN401  # whatever JSON holds
    text = json.dumps(what, sort_keys=True, default=str)
    return hashlib.blake2s(text.encode(), digest_size=16).hexdigest()


def _card(one: Outcome) -> tuple[Verdict, str]:
    if one.failure:
        return "failed", write_card(Entry(one.name, "failed", notes=[one.failure]), ".")
    return one.record["verdict"], one.record["card"]


def _write_table(file: Path, columns: Sequence[str], rows: Rows) -> None:
    cells = ([_cell(row.get(name)) for name in columns] for row in rows)
    atomic_write(file, csv_text(columns, cells))


def _cell(value: object) -> object:
    return " ".join(map(str, value)) if isinstance(value, list | tuple) else value

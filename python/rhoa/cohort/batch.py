"""Many cases, each done once and wholly, by processes of this machine or a Dask cluster.

What a case made appears in its folder at once, with a record that it is done. A run that was
killed leaves whole cases behind and goes on with the others when it is started again.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
import traceback
from concurrent.futures import (
    FIRST_COMPLETED,
    BrokenExecutor,
    Executor,
    Future,
    ProcessPoolExecutor,
    wait,
)
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rhoa.errors import MissingExtraError, ParameterError, RhoaError, require_count, require_extra
from rhoa.files import atomic_write

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Generator, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager

    Work = Callable[[Any, Path], Mapping[str, Any]]
    Start = Callable[[], AbstractContextManager[Executor]]
    Progress = Callable[[int, int, str], None]


# Many cases, side by side: each is done once and wholly, or its failure is reported.

RECORD = "case.json"
PARTIAL = ".partial"
DIED = "its process died, mostly for want of memory; run it with fewer workers."


@dataclass(frozen=True, slots=True)
class Case:
    """Something to be done."""

    name: str
    """Of the folder for what becomes of it."""
    source: Any
    """What its work is called with, mostly a path; other processes must be able to unpickle it."""
    key: str = ""
    """Of what is asked for and of what the source holds: another key is done anew."""

    def __post_init__(self) -> None:
        if self.name in {"", ".", ".."} or Path(self.name).name != self.name:
            raise ParameterError(f"a case needs the name of a folder; got {self.name!r}.")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a case."""

    name: str
    record: Mapping[str, Any] = field(default_factory=dict)
    """What its work returned."""
    failure: str = ""
    """Why it was not done; empty where it was."""
    earlier: bool = False
    """Whether an earlier run had done it."""


@dataclass(frozen=True, slots=True)
class Pool:
    """Where cases are done: in this process, or in the processes of an executor."""

    start: Start | None = None
    """Starts an executor anew; None for this process."""
    at_once: int = 1
    """Cases that are handed out at a time."""


def key_of(settings: object, *paths: str | os.PathLike[str]) -> str:
    """The key of a case: of what is asked for, in what JSON holds, and of every file of ``paths``.

    Files count with their name, size and time of change; those that are absent, as such.
    """
    listed = []
    for path in map(Path, paths):
        files = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())
        states = [(os.fspath(file.relative_to(path.parent)), file.stat()) for file in files]
        listed.append([(name, state.st_size, state.st_mtime_ns) for name, state in states])
    text = json.dumps([settings, listed], sort_keys=True, default=str)
    return hashlib.blake2s(text.encode(), digest_size=16).hexdigest()


def run_cases(
    work: Work,
    cases: Sequence[Case],
    out: str | os.PathLike[str],
    *,
    pool: Pool | None = None,
    progress: Progress | None = None,
) -> list[Outcome]:
    """What became of each case, in their order; none of them stops the others.

    Parameters
    ----------
    work
        Called as ``work(source, folder)``: writes files into the folder and returns what JSON can
        hold. Other processes must be able to import it.
    cases
        With different names. A case that an earlier run did under the same key is not done again;
        one done under another key is, and replaces what was there.
    out
        Folder for ``NAME/`` of each case that is done, with ``case.json``: the key and the record.
    pool
        Where to do them.
    progress
        Called as ``progress(done, total, "cases")``.

    Returns
    -------
    list
        Of `Outcome`; failures are errors in the user's data, anything unexpected with its place in
        rhoa, and processes that died.

    Raises
    ------
    MissingExtraError
        If an optional package is needed that is not installed: this would fail every case.
    ParameterError
        If two cases have one name.

    Examples
    --------
    >>> import tempfile
    >>> def count(source, folder):
    ...     (folder / "length.txt").write_text(str(len(source.name)))
    ...     return {"letters": len(source.name)}
    >>> with tempfile.TemporaryDirectory() as out:
    ...     first = run_cases(count, [Case("one", Path("abc"))], out)
    ...     again = run_cases(count, [Case("one", Path("abc"))], out)
    >>> first[0].record["letters"], again[0].earlier
    (3, True)
    """
    out, pool = Path(out), pool or Pool()
    names = [case.name for case in cases]
    if len(set(names)) < len(names):
        raise ParameterError("two cases have one name; each needs a folder of its own.")
    out.mkdir(parents=True, exist_ok=True)
    _remove_partial(out, set(names))
    found = {case.name: one for case in cases if (one := _earlier(out, case))}
    left = [case for case in cases if case.name not in found]
    step = _Step(work, out)
    if progress is not None:
        progress(len(found), len(cases), "cases")
    for one in map(step, left) if pool.start is None else _side_by_side(step, left, pool):
        found[one.name] = one
        if progress is not None:
            progress(len(found), len(cases), "cases")
    _remove_partial(out, set(names))
    return [found[name] for name in names]


@dataclass(frozen=True, slots=True)
class _Step:
    """One case, done in whichever process."""

    work: Work
    out: Path

    def __call__(self, case: Case) -> Outcome:
        folder = Path(tempfile.mkdtemp(PARTIAL, f".{case.name}.", self.out))
        try:
            record = dict(self.work(case.source, folder))
            text = json.dumps({"key": case.key, "record": record}, indent=2)
            atomic_write(folder / RECORD, text + "\n")
            _settle(folder, self.out / case.name)
        except RhoaError as error:
            return Outcome(case.name, failure=str(error))
        except MissingExtraError:
            raise
        except Exception as error:  # noqa: BLE001  # one case must not stop the others
            return Outcome(case.name, failure=_unexpected(error))
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        return Outcome(case.name, record)


def _settle(folder: Path, place: Path) -> None:
    """Move a folder to its place, which then holds it wholly, whatever was there before."""
    folder.chmod(place.parent.stat().st_mode & 0o777)  # a temporary folder is its owner's alone
    for file in folder.rglob("*"):
        if file.is_file():
            with file.open("rb") as content:
                os.fsync(content.fileno())
    if place.exists():
        with tempfile.TemporaryDirectory(PARTIAL, f".{place.name}.", place.parent) as old:
            place.replace(Path(old) / "before")
            folder.replace(place)
    else:
        folder.replace(place)


def _unexpected(error: Exception) -> str:
    """The kind and place of an error that is nobody's data; its text may hold a patient's."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [f for f in frames if "rhoa" in Path(f.filename).parts and f.filename != __file__]
    own = own or frames
    place = f"{Path(own[-1].filename).name}, line {own[-1].lineno}"
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror} ({place})."
    return f"unexpected {type(error).__name__} ({place}); please report it."


def _side_by_side(step: _Step, cases: Sequence[Case], pool: Pool) -> Iterator[Outcome]:
    """The outcomes as they come; cases whose process dies are tried once more, alone."""
    left = list(cases)
    while left:
        suspects = yield from _until_broken(step, left, pool)
        for case in suspects:
            failed = yield from _until_broken(step, [case], Pool(pool.start))
            if failed:
                yield Outcome(case.name, failure=DIED)


def _until_broken(
    step: _Step, left: list[Case], pool: Pool
) -> Generator[Outcome, None, list[Case]]:
    """Take cases from ``left`` until none is, or a process dies; the cases that were out then."""
    if pool.start is None:
        raise ParameterError("this pool starts no executor.")
    out: dict[Future[Outcome], Case] = {}
    with pool.start() as executor:
        while left or out:
            try:
                while left and len(out) < pool.at_once:
                    out[executor.submit(step, left[0])] = left[0]
                    del left[0]
            except BrokenExecutor:
                return list(out.values())
            done, _ = wait(out, return_when=FIRST_COMPLETED)
            died = [future for future in done if isinstance(future.exception(), BrokenExecutor)]
            for future in done.difference(died):
                yield _outcome(future, out.pop(future))
            if died:
                return list(out.values())
    return []


def _outcome(future: Future[Outcome], case: Case) -> Outcome:
    try:
        return future.result()
    except MissingExtraError:
        raise
    except Exception as error:  # noqa: BLE001  # an executor's own, such as a worker that was lost
        return Outcome(case.name, failure=_unexpected(error))


def _earlier(out: Path, case: Case) -> Outcome | None:
    """What an earlier run made of a case under the same key."""
    try:
        record = json.loads((out / case.name / RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if not isinstance(record, dict) or record.get("key") != case.key or "record" not in record:
        return None
    return Outcome(case.name, record["record"], earlier=True)


def _remove_partial(out: Path, names: Collection[str]) -> None:
    """Remove what runs that were killed left of these cases; other cases may be in the making."""
    for folder in out.glob(f".*{PARTIAL}"):
        if folder.name[1:].removesuffix(PARTIAL).rpartition(".")[0] in names:
            shutil.rmtree(folder, ignore_errors=True)


# Where many cases are done: processes of this machine, or a Dask cluster.

ALL_AT_ONCE = 1 << 30
"""A cluster deals cases out itself."""
CONNECT_SECONDS = 20


def processes(workers: int) -> Pool:
    """A pool of ``workers`` processes of this machine, which share its processors.

    Raises
    ------
    ParameterError
        If ``workers`` is no whole number above zero.
    """
    workers = require_count("workers", workers)
    threads = max(1, (os.cpu_count() or 1) // workers)

    def start() -> ProcessPoolExecutor:
        return ProcessPoolExecutor(
            workers, get_context("spawn"), initializer=_share, initargs=(threads,)
        )

    return Pool(start, workers)


def dask(address: str) -> Pool:
    """A pool of the workers of a Dask cluster; they need rhoa and see the same files.

    Parameters
    ----------
    address
        Of its scheduler, such as ``tcp://10.0.0.5:8786``.

    Raises
    ------
    MissingExtraError
        If Dask's distributed is not installed.
    RhoaError
        When cases are done, if no scheduler answers there.
    """
    distributed = require_extra("distributed", extra="dask", purpose="a Dask cluster")

    @contextlib.contextmanager
    def start() -> Iterator[Executor]:
        try:
            client = distributed.Client(address, timeout=CONNECT_SECONDS)
        except (OSError, ValueError, TimeoutError):
            raise RhoaError(
                f"{address}: no Dask scheduler answers there; check the address, or leave out "
                "--scheduler."
            ) from None
        with client, client.get_executor(pure=False) as executor:
            yield executor

    return Pool(start, ALL_AT_ONCE)


def _share(threads: int) -> None:
    """Let a process use its share of the processors."""
    for name in ("RHOA_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ.setdefault(name, str(threads))

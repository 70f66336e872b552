"""A reader's journal: every action is a line that is on the disk before anything is told of it."""

from __future__ import annotations

import fcntl
import json
import os
import re
import threading
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from rhoa.errors import ReviewError, WriteError
from rhoa.review.actions import Action, as_action, as_fields

if TYPE_CHECKING:
    from pathlib import Path

SUFFIX = ".jsonl"
READER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,39}")


class Entry(NamedTuple):
    """A line: its number from 1, when it was written (UTC), and the action."""

    number: int
    at: str
    action: Action


class Journal:
    """The journal of one reader, open for more; no other process can open it meanwhile.

    A line that a killed process left unfinished was never confirmed, and is removed.

    Parameters
    ----------
    folder
        Made if it is absent.
    reader
        Letters, digits, dots, dashes and underscores.

    Raises
    ------
    ReviewError
        If the reader's name is none, another process has the journal open, or a line is damaged.
    WriteError
        If the folder cannot be written.
    """

    def __init__(self, folder: Path, reader: str) -> None:
        if not READER.fullmatch(reader):
            raise ReviewError(
                f"a reader's name has up to 40 letters, digits, dots, dashes; got {reader!r}."
            )
        self.reader, self.path = reader, folder / f"{reader}{SUFFIX}"
        self._lock = threading.Lock()
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
        except OSError as error:
            raise _unwritten(self.path, error) from None
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._file)
            raise ReviewError(
                f"{reader} has this folder open already; close that, or pass another --reader."
            ) from None
        try:
            whole = self.path.read_bytes().rfind(b"\n") + 1
            os.ftruncate(self._file, whole)
            self.entries = read_journal(self.path)
            _sync_folder(folder)
        except BaseException:
            os.close(self._file)
            raise

    def append(self, action: Action) -> Entry:
        """Write an action down; it is on the disk when this returns.

        Raises
        ------
        WriteError
            If it could not be written; the journal is then as it was.
        """
        with self._lock:
            number = self.entries[-1].number + 1 if self.entries else 1
            entry = Entry(number, datetime.now(UTC).isoformat(timespec="milliseconds"), action)
            told = {"n": number, "at": entry.at, **as_fields(action)}
            line = json.dumps(told, separators=(",", ":"), allow_nan=False).encode() + b"\n"
            size = os.fstat(self._file).st_size
            try:
                written = os.write(self._file, line)
                if written < len(line):
                    raise OSError(28, "No space left on device")  # noqa: TRY301  # undone below
                os.fsync(self._file)
            except OSError as error:
                os.ftruncate(self._file, size)
                raise _unwritten(self.path, error) from None
            self.entries.append(entry)
            return entry

    def close(self) -> None:
        """Let other processes open it."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


def read_journal(path: Path) -> list[Entry]:
    """The entries of a journal; a last line without its end is left out.

    Raises
    ------
    ReviewError
        If another line is damaged.
    """
    lines = path.read_bytes().split(b"\n")[:-1]
    return [_entry(line, number, path) for number, line in enumerate(lines, 1)]


def journals_in(folder: Path) -> dict[str, list[Entry]]:
    """The entries of every reader in a folder, by name."""
    files = sorted(folder.glob(f"*{SUFFIX}"))
    return {file.stem: read_journal(file) for file in files if READER.fullmatch(file.stem)}


def _entry(line: bytes, number: int, path: Path) -> Entry:
    where = f"{path.name}, line {number}"
    try:
        told: dict[str, Any] = json.loads(line)
        count, at = told.pop("n"), told.pop("at")
        if count != number:
            raise ReviewError(f"it says that it is line {count}")  # told below
        return Entry(number, str(at), as_action(told))
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise ReviewError(
            f"{where}: damaged ({error}); restore the file from a copy, or cut it before that line."
        ) from None


def _sync_folder(folder: Path) -> None:
    """Make sure that a new file's name is on the disk, too."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _unwritten(path: Path, error: OSError) -> WriteError:
    return WriteError(
        f"{path.name}: could not be written ({error.strerror or error}); what was there before is "
        "unchanged. Check the folder, its permissions and the space on its disk."
    )

"""Files: read within bounds, written whole or not at all, checked by their checksums."""

from __future__ import annotations

import base64
import csv
import errno
import hashlib
import html
import io
import json
import math
import os
import stat
import sys
import threading
from collections.abc import Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Never

from rhoa.errors import MissingFileError, ParameterError, ReadError, WeightsError, WriteError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from os import PathLike

    Progress = Callable[[int, int, str], object]
    PathOrPaths = str | PathLike[str] | Iterable[str | PathLike[str]]


# Reading within bounds: no more bytes than a file holds, and no header without end.

MOST_HEADER_BYTES = 64 << 20
"""Bytes of one header that are parsed; values that are skipped do not count."""
MOST_VALUE_BYTES = 1 << 20
"""Longest single value that is parsed."""
FEWEST_READS, MOST_READS = 50_000, 4_000_000
"""Of small and large files; an element takes two or three, a slice a few hundred."""
BYTES_A_READ = 256
"""A file may take one more read for so many bytes that it holds: enhanced CT of 2000 frames lists
them in half a million reads, and has a hundred kilobytes of pixels for each."""
_SHORT_BYTES = 1024  # reads that are only counted


class BoundedFile:
    """What a parser may do with a file: no length is believed, and work is bounded.

    Raises `ReadError` where a header is longer than any image's.
    """

    def __init__(self, file: BinaryIO, name: str) -> None:
        self._file = file
        self._name = name
        here = file.tell()
        self._size = file.seek(0, 2)
        file.seek(here)
        self._bytes = MOST_HEADER_BYTES
        held = _held_bytes(file, self._size)
        self._reads = min(MOST_READS, FEWEST_READS + held // BYTES_A_READ)
        self._read = file.read
        self.seek = file.seek  # as it is, and as fast: a header is hundreds of calls
        self.tell = file.tell

    def read(self, count: int = -1) -> bytes:
        """At most ``count`` bytes, and at most what is left."""
        self._reads -= 1
        if not 0 <= count <= _SHORT_BYTES or self._reads < 0:
            count = self._checked(count)
        return self._read(count)

    def _checked(self, count: int) -> int:
        """Bytes to read where ``count`` are asked for."""
        left = max(0, self._size - self._file.tell())
        if count < 0:  # all there is: a parser that inflates it without a limit
            raise ReadError(
                f"{self._name}: its meta header does not say how it is deflated; export it again."
            )
        count = min(count, left)
        self._bytes -= count
        if count > MOST_VALUE_BYTES or self._bytes < 0 or self._reads < 0:
            raise ReadError(
                f"{self._name}: its header has more or longer elements than that of any image; "
                "the file is damaged: export it again."
            )
        return count


def _held_bytes(file: BinaryIO, size: int) -> int:
    """Bytes that are really there: a file of a few kilobytes may claim a terabyte of zeros."""
    try:
        blocks = os.fstat(file.fileno()).st_blocks
    except (OSError, AttributeError):  # in memory; Windows
        blocks = 0
    return min(size, blocks * 512 or MOST_HEADER_BYTES)  # small files may lie beside the blocks


def shown(path: PathLike[str] | str) -> str:
    """The last part of a path as a message may show it: one line that prints, not too long."""
    return printable(os.path.basename(path), most=255)  # noqa: PTH119  # many times a series


def printable(text: str, *, most: int) -> str:
    """``text`` with a question mark for what does not print, cut to ``most`` characters."""
    if len(text) <= most and text.isprintable():
        return text
    return "".join(sign if sign.isprintable() else "?" for sign in text[:most])


def listed(items: Sequence[object], *, most: int) -> str:
    """The first ``most`` items with commas between, and ``...`` where there are more.

    Examples
    --------
    >>> listed([3, 5, 8], most=2)
    '3, 5, ...'
    """
    return ", ".join([*map(str, items[:most]), *["..."] * (len(items) > most)])


# Files that are whole or as they were before: written beside their place, then moved there.

LOCK_FILE = ".lock"
FULL = {errno.ENOSPC, errno.EFBIG, errno.EROFS, getattr(errno, "EDQUOT", errno.ENOSPC)}


def atomic_write(path: str | PathLike[str], content: bytes | str) -> None:
    r"""Write a file so that a reader meets the old or the new content, never a part of it.

    Parameters
    ----------
    path
        Its folder exists. A link is replaced, not followed.
    content
        Text is written as UTF-8, its line ends as they are.

    Raises
    ------
    WriteError
        If the folder is absent or closed, or the disk is full; the file is then as it was.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> file = Path(tempfile.mkdtemp()) / "grades.csv"
    >>> atomic_write(file, "hip,kl\nleft,2\n")
    >>> file.read_text(encoding="utf-8")
    'hip,kl\nleft,2\n'
    """
    with replacing(path) as partial:
        partial.write_bytes(content.encode() if isinstance(content, str) else content)


@contextmanager
def replacing(path: str | PathLike[str]) -> Iterator[Path]:
    """A path beside ``path``, of the same suffix, whose file takes its place when all went well.

    Raises
    ------
    WriteError
        As `atomic_write`.
    """
    place = Path(path)
    # A thread writes one file at a time, so process and thread make the name its own.
    partial = place.with_name(f".{os.getpid()}-{threading.get_ident()}.{place.name}")
    try:
        yield partial
        with partial.open("rb") as file:
            os.fsync(file.fileno())
        partial.replace(place)
    except OSError as error:
        raise WriteError(
            f"{place.name}: could not be written ({error.strerror or error}); what was there "
            "before is unchanged. Check the folder, its permissions and the space on its disk."
        ) from None
    finally:
        with suppress(OSError):
            partial.unlink()


def without_nan(value: Any) -> Any:  # noqa: ANN401  # whatever JSON holds
    """The same with None where a number is not finite: JSON has no NaN."""
    if isinstance(value, Mapping):
        return {key: without_nan(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [without_nan(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def json_text(value: Any) -> str:  # noqa: ANN401  # whatever JSON holds
    """A value as lines of JSON that every reader takes: a number that is not finite is null."""
    return json.dumps(without_nan(value), indent=2, allow_nan=False) + "\n"


def html_view(
    title: str, rows: Iterable[tuple[str, object]], pictures: Mapping[str, bytes] | None = None
) -> str:
    """A result as notebooks show it: a table of names and values, and PNG files by their captions.

    Every text is escaped. Pictures are 300 pixels high.

    Examples
    --------
    >>> html_view("a < b", [("x", 1)])
    '<div><strong>a &lt; b</strong><table><tr><th>x</th><td>1</td></tr></table></div>'
    """
    shown = "".join(
        f"<tr><th>{html.escape(name)}</th><td>{html.escape(str(value))}</td></tr>"
        for name, value in rows
    )
    figures = "".join(
        '<figure style="display:inline-block;margin:8px 8px 0 0"><img style="height:300px" '
        f'alt="{html.escape(caption)}" src="data:image/png;base64,'
        f'{base64.b64encode(picture).decode("ascii")}"><figcaption>{html.escape(caption)}'
        "</figcaption></figure>"
        for caption, picture in (pictures or {}).items()
    )
    heading = f"<strong>{html.escape(title)}</strong>"
    return f"<div>{heading}<table>{shown}</table>{figures}</div>"


@contextmanager
def writing(what: str) -> Iterator[None]:
    """Turn what a full disk raises into a `WriteError` that names ``what``."""
    try:
        yield
    except OSError as error:
        if error.errno not in FULL:
            raise
        raise WriteError(
            f"{what}: could not be written ({error.strerror or error}); check the space on its "
            "disk."
        ) from None


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Let no other process work in ``folder``; the lock of a process that dies is gone with it.

    Raises
    ------
    WriteError
        If another process works in it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    place = folder / LOCK_FILE
    while True:
        file = os.open(place, os.O_RDWR | os.O_CREAT, 0o666)
        if not _lock(file):
            os.close(file)
            raise WriteError(
                f"{shown(folder)}: another process is writing into this folder; wait until it has "
                "ended, or choose another folder."
            )
        with suppress(OSError):  # whoever had it before may have removed the file
            if os.path.samestat(os.fstat(file), place.stat()):
                break
        os.close(file)
    try:
        yield
    finally:
        with suppress(OSError):
            place.unlink()
        os.close(file)


def _lock(file: int) -> bool:
    """Lock an open file for this process; False where another process has locked it."""
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno not in {errno.EACCES, errno.EAGAIN, errno.EDEADLK}
    return True  # also where the file system knows no locks


def csv_text(columns: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    r"""A table as CSV (RFC 4180): None is an empty cell, floats have all their digits.

    Examples
    --------
    >>> csv_text(["side", "kl"], [["left", 2], ["right", None]])
    'side,kl\r\nleft,2\r\nright,\r\n'
    """
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(columns)
    writer.writerows(rows)
    return text.getvalue()


# From what the user names (a folder, a file, a list of files) to files on disk.

MOST_FILES = 200_000
DEEPEST_FOLDER = 16


def list_files(path: PathOrPaths) -> list[Path]:
    """All regular files of ``path`` in a fixed order; folders are walked, each once.

    Raises
    ------
    MissingFileError
        If there is nothing at a path.
    ReadError
        If a folder cannot be opened, or holds more files or deeper folders than any CT study.
    """
    try:
        roots = [Path(path)] if isinstance(path, str | os.PathLike) else [Path(one) for one in path]
    except TypeError:
        raise ParameterError(
            f"path must be a folder, a file or a list of files; got {type(path).__name__}."
        ) from None
    files: list[Path] = []
    walked: set[str] = set()
    places = iter(range(MOST_FILES))
    for root in roots:
        if os.path.isdir(root):  # noqa: PTH112  # Path.is_dir raises where a name is too long
            files += _walk(root, 0, places, walked)
        elif os.path.isfile(root):  # noqa: PTH113
            files.append(root)
        else:
            raise MissingFileError(f"{shown(root)}: no such file or folder; check the path.")
    return files


def _walk(folder: Path, depth: int, places: Iterator[int], walked: set[str]) -> Iterator[Path]:
    """The files below ``folder``; every entry takes one of ``places``.

    A folder is walked once, whatever links lead to it, and none around the first is: ``walked``
    holds their true places.
    """
    here = os.path.join(os.path.realpath(folder), "")  # noqa: PTH118  # with its last separator
    if here in walked or any(one.startswith(here) for one in walked):
        return
    walked.add(here)
    if depth > DEEPEST_FOLDER:
        raise ReadError(
            f"the folder is nested more than {DEEPEST_FOLDER} deep; "
            "pass the folder that holds the scan itself."
        )
    try:
        with os.scandir(folder) as scan:
            entries = sorted(_counted(scan, places), key=lambda entry: entry.name)
    except OSError as error:
        raise ReadError(
            f"{shown(folder)}: the folder cannot be opened ({error.strerror}); "
            "check its permissions."
        ) from None
    for entry in entries:
        if _is_folder(entry):
            yield from _walk(Path(entry.path), depth + 1, places, walked)
        elif _is_file(entry):
            yield Path(entry.path)


def _counted(scan: Iterator[os.DirEntry[str]], places: Iterator[int]) -> Iterator[os.DirEntry[str]]:
    """The entries of a folder while there are places: a folder may hold millions."""
    for entry in scan:
        if next(places, None) is None:
            raise ReadError(
                f"the folder holds more than {MOST_FILES} files; "
                "read_ct needs one study; pass the folder of one study or a list of files."
            )
        yield entry


def _is_folder(entry: os.DirEntry[str]) -> bool:
    """Whether it is a folder, or a link to one."""
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def _is_file(entry: os.DirEntry[str]) -> bool:
    """Whether it is a regular file: no socket, pipe or device, which would block."""
    try:
        return entry.is_file()
    except OSError:  # a link to itself
        return False


# Folders of models: a model card (JSON), and files with the sha256 that it states.
#
# A folder may come from anywhere. What is read from it is bounded, lies in the folder itself, and
# is data: nothing in it is run, and no name that it holds is followed.

MOST_CARD_BYTES = 1 << 20
MOST_WEIGHTS_BYTES = 2 << 30
_FOLLOW_NOTHING = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)


def read_inside(folder: Path, name: str, *, most_bytes: int) -> bytes:
    """The content of the file ``name`` of a folder, which is no link to another place.

    Raises
    ------
    WeightsError
        If it is absent, a link, no regular file, or larger than ``most_bytes``.
    """
    where = f"{shown(folder)}/{name}"
    if (folder / name).is_symlink():
        raise WeightsError(
            f"{where}: a link to somewhere else, and a model keeps its files in its own folder; "
            "copy the file there if you trust it."
        )
    return read_bounded(folder / name, where=where, most_bytes=most_bytes, flags=_FOLLOW_NOTHING)


def read_bounded(path: Path, *, where: str, most_bytes: int, flags: int = 0) -> bytes:
    """The content of a regular file of at most ``most_bytes``.

    Raises
    ------
    WeightsError
        If it cannot be read, is no regular file, or is larger.
    """
    try:
        opened = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0) | flags)
    except OSError as error:
        raise WeightsError(f"{where}: cannot be opened ({error.strerror}).") from None
    try:
        state = os.fstat(opened)
        if not stat.S_ISREG(state.st_mode):
            raise WeightsError(f"{where}: a file is needed; this is a folder, pipe or device.")
        if state.st_size > most_bytes:
            raise WeightsError(
                f"{where}: {state.st_size} bytes; rhoa reads at most {most_bytes} of such a file."
            )
        # A buffer of its size, not of the most there may be.
        with os.fdopen(opened, "rb", closefd=False) as file:
            return file.read(state.st_size)
    finally:
        os.close(opened)


def read_card(folder: Path, name: str, kinds: Mapping[str, Any], *, what: str) -> dict[str, Any]:
    """The JSON object of a folder's model card, with entries of these ``kinds``.

    Raises
    ------
    WeightsError
        If the card is absent, no JSON object, has numbers that JSON does not, is nested without
        end, or lacks an entry.
    """
    if not (folder / name).exists() and not (folder / name).is_symlink():
        raise WeightsError(f"{shown(folder)}: no {name} in it; pass {what}.")
    where = f"{shown(folder)}/{name}"
    text = read_inside(folder, name, most_bytes=MOST_CARD_BYTES)
    try:
        card = json.loads(text.decode("utf-8"), parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:  # UnicodeDecodeError is a ValueError
        reason = printable(str(error), most=100)
        raise WeightsError(f"{where}: not a JSON file ({reason}).") from None
    if not isinstance(card, dict):
        card = {}
    wrong = [  # true and false are no numbers
        key
        for key, kind in kinds.items()
        if key not in card or not isinstance(card[key], kind) or isinstance(card[key], bool)
    ]
    if wrong:
        raise WeightsError(f"{where}: lacks {', '.join(wrong)}; pass {what}.")
    return card


def read_checksummed(folder: Path, name: str, sha256: str, *, card: str) -> bytes:
    """The content of a file whose sha256 the model card states, read once.

    Raises
    ------
    WeightsError
        If it is absent, a link, too large, or another file.
    """
    if not (folder / name).exists() and not (folder / name).is_symlink():
        raise WeightsError(f"{shown(folder)}: no {name} in it; restore the folder.")
    content = read_inside(folder, name, most_bytes=MOST_WEIGHTS_BYTES)
    if hashlib.sha256(content).hexdigest() != sha256:
        raise WeightsError(
            f"{shown(folder)}/{name}: not the file that {card} describes (sha256 differs); "
            "train again or restore the folder."
        )
    return content


def _refuse_constant(name: str) -> Never:
    raise ValueError(f"{name} is no JSON")

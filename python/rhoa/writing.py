"""Files that are whole or as they were before: written beside their place, then moved there."""

from __future__ import annotations

import csv
import io
import os
import threading
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from rhoa.errors import WriteError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from os import PathLike


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

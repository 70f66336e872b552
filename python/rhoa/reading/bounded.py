"""A file that is asked for much gives no more than it holds, and no header without end."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, BinaryIO

from rhoa.errors import ReadError

if TYPE_CHECKING:
    from os import PathLike

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
                f"{self._name}: its meta header does not tell how it is deflated; export it again."
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

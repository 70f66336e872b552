"""A file that is asked for much gives no more than it holds, and no header without end."""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO

from rhoa.errors import ReadError

if TYPE_CHECKING:
    from os import PathLike

MOST_HEADER_BYTES = 64 << 20
"""Bytes of one header that are parsed; values that are skipped do not count."""
MOST_VALUE_BYTES = 1 << 20
"""Longest single value that is parsed."""
FEWEST_READS = 50_000
"""Of a small file; an element takes two or three, a slice a few hundred."""
BYTES_A_READ = 1024
"""A file may take one more read for so many bytes: enhanced CT lists every frame in its header."""


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
        self._bytes = 0
        self._reads = FEWEST_READS + self._size // BYTES_A_READ

    def read(self, count: int) -> bytes:
        """At most ``count`` bytes, and at most what is left."""
        count = min(count, self._size - self._file.tell())
        self._reads -= 1
        self._bytes += count
        if self._reads < 0 or self._bytes > MOST_HEADER_BYTES or not 0 <= count <= MOST_VALUE_BYTES:
            raise ReadError(
                f"{self._name}: its header has more or longer elements than that of any CT image; "
                "the file is damaged: export it again."
            )
        return self._file.read(count)

    def seek(self, place: int, whence: int = 0) -> int:
        """Go to a place, beyond the end too."""
        return self._file.seek(place, whence)

    def tell(self) -> int:
        """Where the file stands."""
        return self._file.tell()


def shown(path: PathLike[str] | str) -> str:
    """The last part of a path as a message may show it: one line that prints, not too long."""
    from pathlib import PurePath

    return printable(PurePath(path).name, most=255)


def printable(text: str, *, most: int) -> str:
    """``text`` with a question mark for what does not print, cut to ``most`` characters."""
    return "".join(sign if sign.isprintable() else "?" for sign in text[:most])

"""From what the user names (a folder, a file, a list of files) to files on disk."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from rhoa.errors import MissingFileError, ParameterError, ReadError
from rhoa.reading.bounded import shown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from os import PathLike

    Progress = Callable[[int, int, str], object]
    PathOrPaths = str | PathLike[str] | Iterable[str | PathLike[str]]

MOST_FILES = 200_000
DEEPEST_FOLDER = 16


def list_files(path: PathOrPaths) -> list[Path]:
    """All regular files of ``path`` in a fixed order; folders are walked, links to them are not.

    Raises
    ------
    MissingFileError
        If there is nothing at a path.
    ReadError
        If a folder cannot be opened, or holds more files or deeper folders than any CT study.
    """
    files: list[Path] = []
    places = iter(range(MOST_FILES))
    for root in _roots(path):
        if os.path.isdir(root):  # noqa: PTH112  # Path.is_dir raises where a name is too long
            files += _walk(root, 0, places)
        elif os.path.isfile(root):  # noqa: PTH113
            files.append(root)
        else:
            raise MissingFileError(f"{shown(root)}: no such file or folder; check the path.")
    return files


def _roots(path: PathOrPaths) -> list[Path]:
    try:
        if isinstance(path, str | os.PathLike):
            return [Path(path)]
        return [Path(one) for one in path]
    except TypeError:
        raise ParameterError(
            f"path must be a folder, a file or a list of files; got {type(path).__name__}."
        ) from None


def _walk(folder: Path, depth: int, places: Iterator[int]) -> Iterator[Path]:
    """The files below ``folder``; every entry takes one of ``places``."""
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
        if entry.is_dir(follow_symlinks=False):
            yield from _walk(Path(entry.path), depth + 1, places)
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


def _is_file(entry: os.DirEntry[str]) -> bool:
    """Whether it is a regular file: no socket, pipe or device, which would block."""
    try:
        return entry.is_file()
    except OSError:  # a link to itself
        return False

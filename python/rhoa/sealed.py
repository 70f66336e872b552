"""Folders of models: a JSON card, and the files that it seals with their sha256.

A folder may come from anywhere. What is read from it is bounded, lies in the folder itself, and is
data: nothing in it is run, and no name that it holds is followed.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
from typing import TYPE_CHECKING, Any, Never

from rhoa.errors import WeightsError
from rhoa.reading.bounded import printable, shown

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

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
    """The JSON object of a folder's card, with entries of these ``kinds``.

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
    wrong = [key for key, kind in kinds.items() if not _is_a(card, key, kind)]
    if wrong:
        raise WeightsError(f"{where}: lacks {', '.join(wrong)}; pass {what}.")
    return card


def read_sealed(folder: Path, name: str, sha256: str, *, card: str) -> bytes:
    """The content of a file that the card describes by its hash, read once.

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


def _is_a(card: Mapping[str, Any], key: str, kind: Any) -> bool:  # noqa: ANN401  # a type or union
    """Whether an entry is there and of its kind; true and false are no numbers."""
    return key in card and isinstance(card[key], kind) and not isinstance(card[key], bool)


def _refuse_constant(name: str) -> Never:
    raise ValueError(f"{name} is no JSON")

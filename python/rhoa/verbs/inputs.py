"""What the paths are that a verb was given, and what to call them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from rhoa.errors import MissingFileError, ParameterError
from rhoa.hips.pictures import picture_format
from rhoa.reading import whole_volume
from rhoa.reading.bounded import shown
from rhoa.reading.headers import SkippedFileError, read_header

if TYPE_CHECKING:
    from collections.abc import Sequence

Kind = Literal["ct", "xray", "crop"]
_HEAD_BYTES = 16


def is_picture(place: Path) -> bool:
    """Whether a file is a PNG, TIFF or JPEG picture, by its first bytes."""
    with place.open("rb") as file:
        return bool(picture_format(file.read(_HEAD_BYTES)))


def kind_of(place: Path, *, has_detector: bool) -> Kind:
    """What a path holds: a CT, an X-ray, or a ready crop of a hip.

    Raises
    ------
    MissingFileError
        If there is nothing.
    ParameterError
        If it is neither.
    """
    if place.is_dir() or whole_volume(place) is not None:
        return "ct"
    if not place.is_file():
        raise MissingFileError(f"{shown(place)}: no such file or folder.")
    if is_picture(place):
        return "xray" if has_detector else "crop"
    try:
        return "ct" if read_header(place).modality == "CT" else "xray"
    except SkippedFileError:
        raise ParameterError(
            f"{shown(place)}: neither a CT, an X-ray nor a picture; pass a folder of CT DICOM, a "
            "volume file, a DICOM X-ray (with --detector), or crops that `rhoa hips` wrote."
        ) from None


def distinct_names(scans: Sequence[Path]) -> dict[str, Path]:
    """A name for each scan: its own, after those of its folders where two would have one.

    Examples
    --------
    >>> sorted(distinct_names([Path("a/ct"), Path("b/ct"), Path("c")]))
    ['a-ct', 'b-ct', 'c']
    """
    # Links keep the names they have.
    whole = [Path(os.path.abspath(scan)) for scan in scans]  # noqa: PTH100
    if len(set(whole)) < len(whole):
        raise ParameterError("one scan is named twice.")
    depth = dict.fromkeys(whole, 1)
    while True:
        names = {place: "-".join(place.parts[1:][-depth[place] :]) for place in whole}
        twice = [p for p in whole if list(names.values()).count(names[p]) > 1]
        deeper = [p for p in twice if depth[p] < len(p.parts) - 1]
        if not deeper:
            break
        for place in deeper:
            depth[place] += 1
    if twice:
        raise ParameterError("two scans cannot be told apart by the names of their folders.")
    return {names[place]: scan for place, scan in zip(whole, scans, strict=True)}

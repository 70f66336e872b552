"""What leaks from one partition into another: subjects, and copies of images under other names."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Literal

import numpy as np

from rhoa.cohort.likeness import likenesses, sketch
from rhoa.errors import ManifestError, ReadError
from rhoa.hips.pictures import read_picture

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from rhoa.cohort.manifest import Hip, Manifest

    Progress = Callable[[int, int, str], None]

Kind = Literal["subject", "identical", "copy", "mirrored copy"]

FIRST_LINE = 2  # of a table, below its head
MOST_LISTED = 10
PROGRESS_EVERY = 100


@dataclass(frozen=True, slots=True)
class Leak:
    """Two rows of a manifest that must not lie in two partitions.

    ``lines`` are those of the table; ``distance`` is 0 for a copy that is the same in all but size,
    edges, grey levels and direction, and 0.045 where copies end.
    """

    kind: Kind
    lines: tuple[int, int]
    images: tuple[Path, Path]
    partitions: tuple[str | None, str | None]
    distance: float = 0.0

    def as_dict(self) -> dict[str, object]:
        """Plain types, for JSON; without subjects and file names."""
        return {
            "kind": self.kind,
            "lines": list(self.lines),
            "partitions": list(self.partitions),
            "distance": self.distance,
        }

    def __str__(self) -> str:
        where = f"lines {self.lines[0]} and {self.lines[1]}"
        parts = "" if None in self.partitions else f" ({' and '.join(map(str, self.partitions))})"
        what = "one subject" if self.kind == "subject" else self.kind
        detail = f", distance {self.distance:.3f}" if "copy" in self.kind else ""
        return f"{where}{parts}: {what}{detail}"


@dataclass(frozen=True, slots=True)
class Leaks:
    """What an audit found; printed, a line for each pair."""

    pairs: tuple[Leak, ...]
    images: int
    """How many were compared."""

    def __len__(self) -> int:
        return len(self.pairs)

    def __iter__(self) -> Iterator[Leak]:
        return iter(self.pairs)

    def as_dict(self) -> dict[str, object]:
        """Plain types, for JSON; without subjects and file names."""
        return {"images": self.images, "leaks": [pair.as_dict() for pair in self.pairs]}

    def __str__(self) -> str:
        return "\n".join(map(str, self.pairs)) or f"no leaks among {self.images} images"


def leaks(manifest: Manifest, *, progress: Progress | None = None) -> Leaks:
    """The pairs of images that leak from one partition into another.

    A pair leaks if both are of one subject, if their files are the same byte for byte, or if one is
    a copy of the other: mirrored, resized, with other grey levels (any rising change, or a
    negative), shifted or cropped by up to 3 % at an edge, compressed or noisy. Where the manifest
    has no partitions yet, images of different subjects are compared, for a split may part them.
    Images that both are `Hip.distinct` are no copies of each other.

    Parameters
    ----------
    manifest
        Hips. Those without a label are left out: no model learns from them or is measured on them.
    progress
        Called with (images done, images in all, what is being done).

    Raises
    ------
    ManifestError
        If an image is absent or no picture.

    References
    ----------
    Simard, LeCun and Denker 1993, Efficient pattern recognition using a new transformation
    distance: the measure by which all pairs are compared before a few are looked at closely.

    Examples
    --------
    >>> import tempfile, numpy as np
    >>> from pathlib import Path
    >>> from rhoa.cohort import Hip, Manifest, leaks
    >>> from rhoa.picture import encode_png
    >>> image = np.random.default_rng(0).integers(0, 255, (40, 40)).astype(np.uint8)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     files = [Path(folder) / name for name in ("a.png", "b.png")]
    ...     for file, pixels in zip(files, (image, image[:, ::-1])):
    ...         _ = file.write_bytes(encode_png(pixels))
    ...     hips = [
    ...         Hip(file, subject, "left", "xray", 0, "", 0, part)
    ...         for file, subject, part in zip(files, ("S1", "S2"), ("train", "test"))
    ...     ]
    ...     print(leaks(Manifest(tuple(hips))))
    lines 2 and 3 (train and test): mirrored copy, distance 0.000
    """
    lines = [n for n, hip in enumerate(manifest.hips, start=FIRST_LINE) if hip.label is not None]
    hips = [manifest.hips[line - FIRST_LINE] for line in lines]
    digests, sketches, sides_px = _read(hips, lines, progress)
    split = any(hip.partition is not None for hip in hips)
    apart = [str(hip.partition) if split else hip.subject for hip in hips]
    found: list[tuple[Kind, int, int, float]] = []
    if split:
        found += [("subject", *pair, 0.0) for pair in _shared([hip.subject for hip in hips], apart)]
    found += [("identical", *pair, 0.0) for pair in _shared(digests, apart)]
    for first, second in _sides(apart, split=split):
        for pair in likenesses(sketches, sides_px, first, second):
            a, b = sorted((pair.first, pair.second))
            looked_at = hips[a].distinct and hips[b].distinct
            if apart[a] != apart[b] and digests[a] != digests[b] and not looked_at:
                kind: Kind = "mirrored copy" if pair.mirrored else "copy"
                found.append((kind, a, b, pair.distance))
    nearest: dict[tuple[Kind, int, int], float] = {}
    for kind, a, b, distance in found:
        nearest[kind, a, b] = min(distance, nearest.get((kind, a, b), 1.0))
    pairs = (
        Leak(
            kind,
            (lines[a], lines[b]),
            (hips[a].crop, hips[b].crop),
            (hips[a].partition, hips[b].partition),
            distance,
        )
        for (kind, a, b), distance in nearest.items()
    )
    return Leaks(tuple(sorted(pairs, key=lambda leak: (leak.lines, leak.kind))), len(hips))


def require_no_leaks(manifest: Manifest, *, progress: Progress | None = None) -> None:
    """Check that no subject and no image lies in two partitions, as `leaks` finds them.

    Raises
    ------
    ManifestError
        With the lines of the pairs; names of subjects and files stay out of the message.
    """
    found = leaks(manifest, progress=progress)
    if found.pairs:
        listed = "; ".join(map(str, found.pairs[:MOST_LISTED]))
        more = len(found) - MOST_LISTED
        raise ManifestError(
            f"{len(found)} pairs of rows leak from one partition into another: {listed}"
            f"{f'; and {more} more' if more > 0 else ''}. Results would be too good: remove "
            "copies, or give them one subject, and split again; where a look shows two different "
            "hips, write yes into the column distinct of both lines."
        )


def _read(
    hips: Sequence[Hip], lines: Sequence[int], progress: Progress | None
) -> tuple[list[bytes], NDArray[np.float32], NDArray[np.int_]]:
    """The hash of each image's file, its sketch, and its shorter side in pixels."""
    digests, sketches, sides_px = [], [], []
    for done, (hip, line) in enumerate(zip(hips, lines, strict=True)):
        if progress is not None and done % PROGRESS_EVERY == 0:
            progress(done, len(hips), "looking for leaks")
        where = f"line {line}"
        try:
            content = hip.crop.read_bytes()
        except OSError as error:
            raise ManifestError(
                f"{where}: the image cannot be read ({error.strerror}); check the image column."
            ) from None
        digests.append(hashlib.sha256(content).digest())
        try:
            pixels = read_picture(hip.crop, ("colour",)).pixels
        except ReadError as error:
            reason = str(error).partition(": ")[2]  # without the name of the file
            raise ManifestError(
                f"{where}: the image is no readable picture of grey levels: {reason}"
            ) from None
        sketches.append(sketch(pixels))
        sides_px.append(min(pixels.shape))
    if progress is not None:
        progress(len(hips), len(hips), "looking for leaks")
    return digests, np.array(sketches), np.array(sides_px)


def _shared(keys: Sequence[Hashable], apart: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Rows of one key that lie apart: the first row of each side with the first row of all."""
    sides: dict[Hashable, dict[str, int]] = defaultdict(dict)
    for row, (key, side) in enumerate(zip(keys, apart, strict=True)):
        sides[key].setdefault(side, row)
    for rows in sides.values():
        first, *others = rows.values()
        yield from ((first, other) for other in others)


def _sides(
    apart: Sequence[str], *, split: bool
) -> Iterator[tuple[NDArray[np.int_], NDArray[np.int_]]]:
    """Rows to compare with rows, the fewer first: partitions two by two, or all rows with all."""
    if not split:
        rows = np.arange(len(apart))
        yield rows, rows
        return
    members: dict[str, list[int]] = defaultdict(list)
    for row, side in enumerate(apart):
        members[side].append(row)
    for first, second in combinations(sorted(members.values(), key=len), 2):
        yield np.array(first), np.array(second)

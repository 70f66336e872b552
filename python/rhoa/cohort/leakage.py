"""What leaks from one partition into another: subjects, and copies of images under other names."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from rhoa.errors import ManifestError, ReadError
from rhoa.hips.crop_files import crop_picture
from rhoa.raster import resampling_matrix

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from rhoa.cohort.manifest import Hip, Manifest

    Array = NDArray[np.float32]

    Progress = Callable[[int, int, str], None]


# Which images show one picture, whatever was done to its size, edges, grey levels or direction.

SKETCH_SIDE = 48
SKETCH_BLUR = 1.0  # pixels of the sketch: noise and compression lie below it
COARSE_SIDE, COARSE_BLUR, COARSE_MARGIN = 16, 2.0, 1

# Tangents of fine images bend: their shifted copies are this much alike at least. Of hips, which
# are all alike, the nearest are looked at closely.
COARSE_LIKENESS = 0.9
MOST_CANDIDATES = 6  # of one image
# Measured on digital hips, which are more alike than patients' (benches/leaks.py): changed copies
# lie below, hips of other subjects above.
DISTANCE = 0.045
WHOLE = 15  # times as alike as their details are copies as a whole, and hips are not
# What noise and compression leave in a copy averages out where a pixel of the sketch has many
# pixels of the image, so that copies of large images must be more alike than those of small ones.
SMALL_PX, LARGE_PX, GROWTH = 50, 150, 1.5
BLOCK = 512  # images whose coarse ones are compared with all others at once
PAIRS = 64  # laid upon each other at once, in cache
ITERATIONS = 4
MARGIN = 5  # pixels of the sketch that a shifted and cropped copy may lack
MOST_SHIFT = 6.0  # pixels of the sketch, an eighth of its side
DETAIL_BLUR = 2.0  # what two hips share is coarser than this, in pixels of the sketch
LEAST_CONTRAST = 1e-3


class Likeness(NamedTuple):
    """Two sketches, by their numbers, and how far they differ: from 0, the same, to `DISTANCE`."""

    first: int
    second: int
    mirrored: bool
    distance: float


def sketch(pixels: NDArray[np.generic]) -> Array:
    """An image as 48 x 48 pixels, each the share of pixels that are darker, less a half.

    Ranks stay what they are under any rising change of grey levels. An image without contrast is 0.
    """
    rows, columns = pixels.shape
    small = _matrix(rows) @ np.asarray(pixels, np.float32) @ _matrix(columns).T
    _, places, counts = np.unique(small, return_inverse=True, return_counts=True)
    ranks = ((np.cumsum(counts) - counts / 2) / small.size - 0.5).astype(np.float32)
    drawing: Array = _blurred(ranks[places.reshape(1, *small.shape)], SKETCH_BLUR)[0]
    return drawing


def likenesses(
    sketches: Array,
    sides_px: NDArray[np.int_],
    first: NDArray[np.int_],
    second: NDArray[np.int_],
) -> list[Likeness]:
    """The sketches of ``first`` and of ``second`` that show the same picture, mirrored or not.

    In the coarse image every pair is compared, but for what shifting and stretching either way
    would do to it (the tangent distance of Simard et al. 1993). Pairs that are nearly the same so
    far are laid upon each other and compared in detail.

    Parameters
    ----------
    sketches
        ``(images, 48, 48)``.
    sides_px
        The shorter side of each image that was sketched.
    first, second
        Numbers of sketches; every one of ``first`` is compared with every one of ``second``.
    """
    if not first.size or not second.size:
        return []
    contrast = sketches.reshape(len(sketches), -1).std(axis=1) > LEAST_CONTRAST
    first, second = first[contrast[first]], second[contrast[second]]
    found: list[Likeness] = []
    if not first.size or not second.size:
        return found
    coarse = _coarse(sketches[second])
    for mirrored in (False, True):
        images = coarse[:, :, ::-1] if mirrored else coarse
        flat = images.reshape(len(second), -1)
        for block in np.array_split(first, -(-len(first) // BLOCK)):
            a, b, sign = _candidates(_coarse(sketches[block]), flat)
            for start in range(0, len(a), PAIRS):
                chunk = slice(start, start + PAIRS)
                one, other = block[a[chunk]], second[b[chunk]]
                turned = sketches[other][:, :, ::-1] if mirrored else sketches[other]
                distances = _distances(sketches[one], turned * sign[chunk, None, None])
                distances *= strictness(np.minimum(sides_px[one], sides_px[other]))
                found += [
                    Likeness(int(i), int(j), mirrored, round(float(max(d, 0.0)), 4))
                    for i, j, d in zip(one, other, distances, strict=True)
                    if d < DISTANCE
                ]
    return found


def strictness(side_px: NDArray[np.int_]) -> Array:
    """How much more alike copies must be than those of images of 50 pixels a side."""
    sides = np.clip(side_px, SMALL_PX, LARGE_PX) / SMALL_PX
    return np.asarray(sides**GROWTH, np.float32)


@lru_cache(maxsize=256)
def _matrix(length: int) -> Array:
    return resampling_matrix(length, SKETCH_SIDE, 0.0, length)


def _blurred(stack: Array, sigma: float) -> Array:
    from scipy import ndimage

    blurred: Array = ndimage.gaussian_filter(stack, (0, sigma, sigma), mode="nearest")
    return blurred


def _coarse(sketches: Array) -> Array:
    """The sketches as 16 x 16 pixels without their border, of mean 0 and length 1."""
    down = resampling_matrix(SKETCH_SIDE, COARSE_SIDE, 0.0, SKETCH_SIDE)
    images = down @ _blurred(sketches, COARSE_BLUR) @ down.T
    inner = slice(COARSE_MARGIN, COARSE_SIDE - COARSE_MARGIN)
    images = images[:, inner, inner]
    images = images - images.mean(axis=(1, 2), keepdims=True)
    lengths: Array = np.sqrt((images**2).sum(axis=(1, 2), keepdims=True))
    return np.asarray(images / np.maximum(lengths, 1e-6), np.float32)


def _steps(side: int) -> Array:
    """Of pixel centres from the middle, in sides."""
    return np.asarray((np.arange(side) - (side - 1) / 2) / side, np.float32)


def _slopes(images: Array) -> Array:
    """Change from row to row and from column to column, ``(2, images, rows, columns)``."""
    return np.asarray(np.gradient(images, axis=(1, 2)), np.float32)


def _candidates(images: Array, others: Array) -> tuple[NDArray[np.int_], NDArray[np.int_], Array]:
    """Pairs (image, other) that are alike in the coarse, and 1 or, for a negative, -1."""
    count = len(images)
    # What a constant, a shift or a stretch would add, (images, 5, pixels).
    down, across = _slopes(images)
    steps = _steps(images.shape[1])
    changes = [np.ones_like(images), down, across, down * steps[:, None], across * steps]
    tangents = np.stack(changes, axis=1).reshape(count, 5, -1)
    basis = np.linalg.qr(tangents.transpose(0, 2, 1))[0].transpose(0, 2, 1)
    flat = images.reshape(count, -1)
    rest = flat - np.einsum("nk,nkd->nd", np.einsum("nkd,nd->nk", basis, flat), basis)
    rest /= np.maximum(np.linalg.norm(rest, axis=1, keepdims=True), 1e-6)
    free = np.ones((count, len(others)), np.float32)
    for k in range(basis.shape[1]):
        free -= (basis[:, k] @ others.T) ** 2
    likeness = rest @ others.T / np.sqrt(np.maximum(free, 1e-4))
    most = min(MOST_CANDIDATES, len(others))
    b = np.argpartition(-np.abs(likeness), most - 1, axis=1)[:, :most].ravel()
    a = np.repeat(np.arange(count), most)
    alike = np.abs(likeness[a, b]) > COARSE_LIKENESS
    return a[alike], b[alike], np.sign(likeness[a[alike], b[alike]])


def _distances(images: Array, others: Array) -> Array:
    """How far details differ, or the whole, once each of ``others`` is laid upon its image.

    Shift and stretch along both axes by Gauss and Newton's least squares. Details tell hips of one
    shape apart, the whole smooth ones of one outline.
    """
    count = len(images)
    inner = slice(MARGIN, SKETCH_SIDE - MARGIN)
    steps = _steps(SKETCH_SIDE)
    moved: Array = np.zeros((count, 4), np.float32)  # down, across, and by how much each side grows
    goal = images[:, inner, inner].reshape(count, -1)
    laid = others
    for _ in range(ITERATIONS):
        down, across = _slopes(laid)
        terms = [down, across, down * steps[:, None], across * steps, laid, np.ones_like(laid)]
        columns = np.stack([term[:, inner, inner].reshape(count, -1) for term in terms], axis=1)
        normal = columns @ columns.transpose(0, 2, 1) + 1e-4 * np.eye(6, dtype=np.float32)
        solved = np.asarray(np.linalg.solve(normal, columns @ goal[:, :, None]), np.float32)
        moved += solved[:, :4, 0] / np.maximum(solved[:, 4], 0.3)  # where grey levels fit as well
        moved = np.clip(moved, -MOST_SHIFT, MOST_SHIFT)
        along = [_weights(moved[:, axis], moved[:, axis + 2], steps) for axis in (0, 1)]
        laid = np.asarray(along[0] @ others @ along[1].transpose(0, 2, 1), np.float32)
    whole = _unlikeness(images, laid)
    fine = [stack - _blurred(stack, DETAIL_BLUR) for stack in (images, laid)]
    return np.asarray(np.maximum(WHOLE * whole, _unlikeness(*fine)), np.float32)


def _unlikeness(images: Array, others: Array) -> Array:
    """1 less the correlation of each image with its other, within the margin."""
    inner = slice(MARGIN, SKETCH_SIDE - MARGIN)
    lines = []
    for stack in (images, others):
        line = stack[:, inner, inner].reshape(len(stack), -1)
        line = line - line.mean(axis=1, keepdims=True)
        lines.append(line / np.maximum(np.linalg.norm(line, axis=1, keepdims=True), 1e-6))
    return np.asarray(1 - np.einsum("nd,nd->n", *lines), np.float32)


def _weights(shift: Array, growth: Array, steps: Array) -> Array:
    """What each line of an image takes from each line of another, ``(images, 48, 48)``."""
    lines = np.arange(SKETCH_SIDE, dtype=np.float32)
    places = (lines + shift[:, None] + growth[:, None] * steps).clip(0, SKETCH_SIDE - 1.001)
    before = places.astype(int)[:, :, None]
    share = places[:, :, None] - before
    weights = np.zeros((len(shift), SKETCH_SIDE, SKETCH_SIDE), np.float32)
    np.put_along_axis(weights, before, 1 - share, axis=2)
    np.put_along_axis(weights, before + 1, share, axis=2)
    return weights


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
        of = "" if None in self.partitions else f" ({' and '.join(map(str, self.partitions))})"
        what = "one subject" if self.kind == "subject" else self.kind
        detail = f", distance {self.distance:.3f}" if "copy" in self.kind else ""
        return f"{where}{of}: {what}{detail}"


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
    has no partitions yet, images of different subjects are compared, for a split may separate them.
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
    >>> from rhoa.raster import encode_png
    >>> image = np.random.default_rng(0).integers(0, 255, (40, 40)).astype(np.uint8)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     files = [Path(folder) / name for name in ("a.png", "b.png")]
    ...     for file, pixels in zip(files, (image, image[:, ::-1])):
    ...         _ = file.write_bytes(encode_png(pixels))
    ...     hips = [
    ...         Hip(file, subject, "left", "xray", 0, "", 0, name)
    ...         for file, subject, name in zip(files, ("S1", "S2"), ("train", "test"))
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
            "copies, or give them one subject, and split again; where a review shows two different "
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
            pixels = crop_picture(hip.crop, ("colour",)).pixels
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

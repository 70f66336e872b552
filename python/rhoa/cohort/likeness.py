"""Which images show one picture, whatever was done to its size, edges, grey levels or direction."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from rhoa.picture import resampling_matrix

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float32]

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
                part = slice(start, start + PAIRS)
                one, other = block[a[part]], second[b[part]]
                turned = sketches[other][:, :, ::-1] if mirrored else sketches[other]
                distances = _distances(sketches[one], turned * sign[part, None, None])
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


def _tangents(images: Array) -> Array:
    """What a constant, a shift or a stretch would add, ``(images, 5, rows, columns)``."""
    down, across = _slopes(images)
    steps = _steps(images.shape[1])
    ones = np.ones_like(images)
    return np.stack([ones, down, across, down * steps[:, None], across * steps], axis=1)


def _steps(side: int) -> Array:
    """Of pixel centres from the middle, in sides."""
    return np.asarray((np.arange(side) - (side - 1) / 2) / side, np.float32)


def _slopes(images: Array) -> Array:
    """Change from row to row and from column to column, ``(2, images, rows, columns)``."""
    return np.asarray(np.gradient(images, axis=(1, 2)), np.float32)


def _candidates(images: Array, others: Array) -> tuple[NDArray[np.int_], NDArray[np.int_], Array]:
    """Pairs (image, other) that are alike in the coarse, and 1 or, for a negative, -1."""
    count = len(images)
    tangents = _tangents(images).reshape(count, 5, -1)
    basis = np.linalg.qr(tangents.transpose(0, 2, 1))[0].transpose(0, 2, 1)
    flat = images.reshape(count, -1)
    rest = flat - np.einsum("nk,nkd->nd", np.einsum("nkd,nd->nk", basis, flat), basis)
    rest /= np.maximum(np.linalg.norm(rest, axis=1, keepdims=True), 1e-6)
    free = np.ones((count, len(others)), np.float32)
    for k in range(basis.shape[1]):
        free -= (basis[:, k] @ others.T) ** 2
    likeness = rest @ others.T / np.sqrt(np.maximum(free, 1e-4))
    kept = min(MOST_CANDIDATES, len(others))
    b = np.argpartition(-np.abs(likeness), kept - 1, axis=1)[:, :kept].ravel()
    a = np.repeat(np.arange(count), kept)
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
        laid = _laid(others, moved, steps)
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


def _laid(stack: Array, moved: Array, steps: Array) -> Array:
    """Each image shifted and stretched, by linear interpolation; edges are repeated."""
    down, across = (_weights(moved[:, axis], moved[:, axis + 2], steps) for axis in (0, 1))
    return np.asarray(down @ stack @ across.transpose(0, 2, 1), np.float32)


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

"""Slices that are displaced against the slice before them: the patient moved, or they are wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

LEAST_JUMP_PX = 2.5
"""A displacement of three pixels is found with this margin for its measurement."""
BODY_HU = -300
_OUTLIER = 4.0  # robust standard deviations
_LEAST_SPREAD_PX, _LEAST_SPREAD = (
    0.2,
    2e-4,
)  # of centroids, of 1 - correlation: exact scans have none
_MOST_EXAMINED = 48  # transitions that are measured
_LOW_HU, _HIGH_HU = -300, 300  # what is registered: the outline, fat, muscle, bone
_FARTHEST = 0.15  # of the image's sides, that a patient moves between two slices
_BETTER = 0.7  # a displacement explains a difference where it leaves less than this part of it


def moved_slices(thumbnails: NDArray[np.int16], step: int) -> list[int]:
    """Indices of slices that are displaced by three pixels or more against the one before.

    Centroids of the body and correlations of neighbours name the suspects: robust outliers among
    all steps from slice to slice. A suspect is believed where registration of the two slices finds
    a displacement that its neighbours do not have, and that makes the slices alike.

    Parameters
    ----------
    thumbnails
        ``(k, j, i)``: every ``step``-th voxel of every ``step``-th row of the slices, in HU.
    """
    jumps = np.diff(_centroids(thumbnails), axis=0) * step
    unlike = 1 - _correlations(thumbnails)
    by_place = np.linalg.norm(_score(jumps, _LEAST_SPREAD_PX), axis=1)
    by_look = _score(unlike, _LEAST_SPREAD)
    suspicion = np.maximum(by_place, by_look)
    suspects = np.flatnonzero(suspicion > _OUTLIER)
    suspects = suspects[np.argsort(-suspicion[suspects], kind="stable")][:_MOST_EXAMINED]
    return sorted(int(k) + 1 for k in suspects if _is_jump(thumbnails, int(k), step))


def _centroids(thumbnails: NDArray[np.int16]) -> NDArray[np.float64]:
    """Centre ``(j, i)`` of the body in every slice, in pixels of the thumbnails."""
    _, rows, columns = thumbnails.shape
    body = thumbnails > BODY_HU
    in_rows = np.count_nonzero(body, axis=2)
    in_columns = body.view(np.uint8).sum(axis=1, dtype=np.uint8)  # of 128 pixels at most
    counts = np.maximum(in_rows.sum(axis=1), 1)
    return np.stack(
        [in_rows @ np.arange(rows) / counts, in_columns @ np.arange(columns) / counts], axis=1
    )


def _correlations(thumbnails: NDArray[np.int16]) -> NDArray[np.float64]:
    """Normalised cross-correlation of each slice with the next."""
    few = np.clip(thumbnails[:, ::3, ::3], _LOW_HU, _HIGH_HU).reshape(len(thumbnails), -1)
    values = few.astype(np.float32)
    values -= values.mean(axis=1, keepdims=True)
    values /= np.maximum(np.linalg.norm(values, axis=1, keepdims=True), 1e-6)
    products: NDArray[np.float64] = np.einsum("kn,kn->k", values[1:], values[:-1], dtype=np.float64)
    return products


def _score(values: NDArray[np.float64], least: float) -> NDArray[np.float64]:
    """How many robust standard deviations each lies above or below the median."""
    away = np.abs(values - np.median(values, axis=0))
    score: NDArray[np.float64] = away / np.maximum(1.4826 * np.median(away, axis=0), least)
    return score


def _is_jump(thumbnails: NDArray[np.int16], k: int, step: int) -> bool:
    """Whether slice ``k + 1`` is displaced against slice ``k``."""
    shift, better = displacement(thumbnails[k], thumbnails[k + 1])
    if not better < _BETTER:
        return False
    around = [n for n in (k - 2, k - 1, k + 1, k + 2) if 0 <= n < len(thumbnails) - 1]
    usual = np.median([displacement(thumbnails[n], thumbnails[n + 1])[0] for n in around], axis=0)
    return bool(np.linalg.norm(shift - usual) * step > LEAST_JUMP_PX)


def displacement(
    one: NDArray[np.int16], other: NDArray[np.int16]
) -> tuple[NDArray[np.float64], float]:
    """How far ``other`` is displaced, in pixels; what part of the difference is left without it."""
    first, second = (_prepared(image) for image in (one, other))
    spectrum = np.fft.rfft2(first).conj() * np.fft.rfft2(second)
    match = np.fft.irfft2(spectrum, first.shape)
    reach = [max(2, int(_FARTHEST * side)) for side in first.shape]
    near = np.take(match, range(-reach[0], reach[0] + 1), axis=0, mode="wrap")
    near = np.take(near, range(-reach[1], reach[1] + 1), axis=1, mode="wrap")
    j, i = np.unravel_index(np.argmax(near), near.shape)
    shift = np.array([_vertex(near[:, i], int(j)) - reach[0], _vertex(near[j], int(i)) - reach[1]])
    turns = [np.fft.fftfreq(first.shape[0]), np.fft.rfftfreq(first.shape[1])]
    phase = np.exp(2j * np.pi * (turns[0][:, None] * shift[0] + turns[1] * shift[1]))
    back = np.fft.irfft2(np.fft.rfft2(second) * phase, first.shape)
    before = float(np.square(second - first).sum())
    return shift, float(np.square(back - first).sum()) / max(before, 1e-9)


def _prepared(image: NDArray[np.int16]) -> NDArray[np.float64]:
    """The image without its unsharp border's influence: air is zero."""
    return np.clip(image, _LOW_HU, _HIGH_HU).astype(np.float64) - _LOW_HU


def _vertex(values: NDArray[np.float64], at: int) -> float:
    """Where a parabola through the highest value and its neighbours has its vertex."""
    if not 0 < at < len(values) - 1:
        return float(at)
    before, here, after = values[at - 1 : at + 2]
    bend = before - 2 * here + after
    return at + float(0.5 * (before - after) / bend) if bend < 0 else float(at)

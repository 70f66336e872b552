"""How well boxes that were found agree with boxes that were drawn."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from rhoa.errors import ParameterError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from rhoa.hips.boxes import Box

IOU_THRESHOLD = 0.5
SCORE_THRESHOLD = 0.5


@dataclass(frozen=True, slots=True)
class Agreement:
    """What `agreement` measures; NaN where nothing defines a figure."""

    average_precision: float
    """Area under precision over recall, all detections counted."""
    precision: float
    recall: float
    f1: float
    iou_mean: float
    """Of the pairs that matched."""
    iou_sd: float
    drawn: int
    found: int
    """Detections at or above the score threshold."""
    matched: int

    def __str__(self) -> str:
        return (
            f"AP {self.average_precision:.3f}, F1 {self.f1:.3f}, "
            f"IoU {self.iou_mean:.3f} +- {self.iou_sd:.3f} "
            f"({self.matched} of {self.drawn} hips, {self.found} boxes)"
        )


class _Pairing(NamedTuple):
    score: float
    iou: float
    """With the box it is paired with; NaN where it is a false alarm."""


def iou_matrix(first: Sequence[Box], second: Sequence[Box]) -> NDArray[np.float64]:
    """Intersection over union of each box of ``first`` (rows) with each of ``second``.

    Examples
    --------
    >>> from rhoa.hips import Box
    >>> one, half = Box("left", 0, 0, 10, 10), Box("left", 0, 0, 10, 5)
    >>> iou_matrix([one], [one, half])
    array([[1. , 0.5]])
    """
    table = np.empty((len(first), len(second)))
    for row, box in enumerate(first):
        for column, other in enumerate(second):
            table[row, column] = box.iou(other)
    return table


def agreement(
    drawn: Sequence[Sequence[Box]],
    found: Sequence[Sequence[Box]],
    *,
    iou: float = IOU_THRESHOLD,
    score: float = SCORE_THRESHOLD,
) -> Agreement:
    """Average precision, precision, recall, F1 and IoU of detections.

    In each image the detections, the surest first, take that box of their side which is still free
    and overlaps them most, if by ``iou`` or more. A drawn box is taken once: what else lies on it
    is a false alarm. Average precision is the area under precision over recall with every point
    counted and precision made to fall (as COCO's, without its 101 steps); detections of one score
    enter together, so that the order of images changes nothing.

    Parameters
    ----------
    drawn
        For each image, its boxes.
    found
        For each image, the detections; their ``confidence`` is their score.
    iou
        Least overlap of a match, above 0 and up to 1.
    score
        Precision, recall, F1 and IoU are of detections at or above it; average precision is not.

    Raises
    ------
    ParameterError
        If the numbers of images differ, a detection has no confidence, or a threshold is out of
        range.

    References
    ----------
    Gebre et al. 2022, "Cropping and contrast adjustment of hip joints": AP 0.99, F1 0.67, IoU
    0.85 +- 0.07 on 300 halves. The mean of precision and of recall along a perfect
    precision-recall curve gives that F1 of 2/3; at one threshold it would be near 1.

    Examples
    --------
    >>> from rhoa.hips import Box
    >>> drawn = [Box("left", 0, 0, 10, 10)]
    >>> sure, again = Box("left", 0, 0, 10, 9, 0.9), Box("left", 0, 0, 10, 10, 0.8)
    >>> print(agreement([drawn], [[sure]]))
    AP 1.000, F1 1.000, IoU 0.900 +- nan (1 of 1 hips, 1 boxes)
    >>> print(agreement([drawn], [[sure, again]]))
    AP 1.000, F1 0.667, IoU 0.900 +- nan (1 of 1 hips, 2 boxes)
    """
    if len(drawn) != len(found):
        raise ParameterError(
            f"drawn and found must be of the same images; got {len(drawn)} and {len(found)}."
        )
    for name, value, low in (("iou", iou, math.ulp(0.0)), ("score", score, 0.0)):
        if not low <= value <= 1:
            raise ParameterError(f"{name} must lie above 0 and up to 1; got {value!r}.")
    pairings: list[_Pairing] = []
    for number, (boxes, detections) in enumerate(zip(drawn, found, strict=True), 1):
        pairings += _pair(boxes, detections, iou, number)
    total = sum(map(len, drawn))
    kept = [pairing for pairing in pairings if pairing.score >= score]
    overlaps = [pairing.iou for pairing in kept if not math.isnan(pairing.iou)]
    return Agreement(
        _average_precision(pairings, total),
        _share(len(overlaps), len(kept)),
        _share(len(overlaps), total),
        _share(2 * len(overlaps), len(kept) + total),
        float(np.mean(overlaps)) if overlaps else math.nan,
        float(np.std(overlaps, ddof=1)) if len(overlaps) > 1 else math.nan,
        total,
        len(kept),
        len(overlaps),
    )


def _pair(
    drawn: Sequence[Box], detections: Sequence[Box], least: float, number: int
) -> list[_Pairing]:
    """Each detection of an image with the box that it takes, if any."""
    if any(box.confidence is None for box in detections):
        raise ParameterError(f"image {number}: a detection has no confidence to rank it by.")
    ranked = sorted(detections, key=lambda box: -(box.confidence or 0.0))
    overlaps = iou_matrix(ranked, drawn)
    free = [True] * len(drawn)
    pairings = []
    for row, box in enumerate(ranked):
        best, taken = least, None
        for column, other in enumerate(drawn):
            better = overlaps[row, column] > best or (
                taken is None and overlaps[row, column] >= best
            )
            if free[column] and box.side == other.side and better:
                best, taken = float(overlaps[row, column]), column
        if taken is not None:
            free[taken] = False
        pairings.append(_Pairing(box.confidence or 0.0, math.nan if taken is None else best))
    return pairings


def _average_precision(pairings: Sequence[_Pairing], total: int) -> float:
    if not total:
        return math.nan
    if not pairings:
        return 0.0
    ranked = sorted(pairings, key=lambda pairing: -pairing.score)
    scores = np.array([pairing.score for pairing in ranked])
    hits = np.cumsum([not math.isnan(pairing.iou) for pairing in ranked])
    last = np.append(scores[1:] != scores[:-1], [True])  # of those that share a score
    precision = hits[last] / (np.flatnonzero(last) + 1)
    falling = np.maximum.accumulate(precision[::-1])[::-1]
    return float(np.sum(np.diff(hits[last], prepend=0) * falling)) / total


def _share(part: int, whole: int) -> float:
    return part / whole if whole else math.nan

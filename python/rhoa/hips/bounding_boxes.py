"""Boxes around the hips of an AP image: made, checked, compared; the crop that models see."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from rhoa._types import SIDES, Side
from rhoa.errors import ManifestError, ParameterError, PoseError, require_choice
from rhoa.pose import Landmarks, usable_alignment
from rhoa.pose.population import FEMORAL_HEAD_RADIUS_MM, HIP_BOX_MM, hip_centre
from rhoa.radiograph import Box, Radiograph, crop
from rhoa.raster import stretch
from rhoa.xray.preparation import SATURATION_PERCENT, open_columns
from rhoa.xray.refusals import hips_of, is_measured

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from numpy.typing import ArrayLike, NDArray

    from rhoa.hips.femoral_heads import Joint
    from rhoa.xray.refusals import FilmHips


# Boxes around the hip joints of an AP image, and crops of them.

HALF_BOX_RADII = HIP_BOX_MM / 2 / FEMORAL_HEAD_RADIUS_MM
"""Half the side of a box, in radii of its femoral head."""

# A box that lies outside the image by more than this share of its area shows no hip to grade.
MOST_OUTSIDE = 0.25


def boxes(
    radiograph: Radiograph,
    landmarks: Landmarks | None = None,
    *,
    joints: Mapping[Side, Joint] | None = None,
    sides: Sequence[Side] = SIDES,
) -> dict[Side, Box]:
    """A square around each hip joint, with the femoral head in its middle.

    The heads are those of ``joints``, which measured them in the scan; else those of the image's
    alignment (``pose="auto"`` finds them); else they are put where they lie in the mean pelvis.
    The square is 2.85 radii of the head wide, 70 mm in the mean pelvis.

    Parameters
    ----------
    radiograph
        A CT-AP.
    landmarks
        Of the same scan. They may be left out where the image's alignment carries them.
    joints
        Of the same scan, as `rhoa.hips.joints` finds them; a box has its joint's confidence.
    sides
        The sides that are wanted.

    Returns
    -------
    dict
        ``{"left": Box, "right": Box}``, sides of the patient: the left box lies in the right half
        of the image.

    Raises
    ------
    PoseError
        If nothing tells where the hips are, left and right are swapped, or more than a quarter of a
        box lies outside the image.

    References
    ----------
    Gebre et al. 2022, "Cropping and contrast adjustment of hip joints": femoral head in the middle,
    up to but without the greater trochanter, with the iliopectineal line.
    """
    for side in sides:
        require_choice("side", side, SIDES)
    if joints is not None:
        found = {side: box_of_joint(radiograph, joints[side]) for side in sides}
    else:
        pelvis = radiograph.alignment if landmarks is None else usable_alignment(landmarks)
        if pelvis is None:
            raise PoseError(
                "hip boxes need to know the pelvis: pass landmarks= or joints=, or an image "
                'projected with rhoa.ctap(volume, pose="auto").'
            )
        found = {}
        for side in sides:
            radius_mm = pelvis.quality.get(f"hip_{side}_radius_mm", FEMORAL_HEAD_RADIUS_MM)
            centre = pelvis.to_lps(hip_centre(pelvis, side))
            found[side] = _box(radiograph, side, centre, radius_mm)
    for side, box in found.items():
        outside = box.share_outside(radiograph.shape)
        if outside > MOST_OUTSIDE:
            raise PoseError(
                f"{outside:.0%} of the {side} hip box lies outside the image; "
                "the scan ends at the hip, or the landmarks are another scan's."
            )
    return found


def box_of_joint(radiograph: Radiograph, joint: Joint) -> Box:
    """The square around a hip joint, wherever in the image it lies, or beside it."""
    box = _box(radiograph, joint.side, joint.centre_lps_mm, joint.radius_mm)
    return replace(box, confidence=joint.confidence)


def _box(
    radiograph: Radiograph, side: Side, centre_lps_mm: NDArray[np.float64], radius_mm: float
) -> Box:
    """The square about a femoral head."""
    centre = centre_lps_mm if radiograph.frame is None else radiograph.frame.to_ap(centre_lps_mm)
    row, column = radiograph.to_pixel(float(centre[0]), float(centre[2]))
    row, column = row + 0.5, column + 0.5  # from pixel centres to pixel edges
    down, across = (HALF_BOX_RADII * radius_mm / step for step in radiograph.pixel_mm)
    return Box(side, row - down, column - across, row + down, column + across)


# The crop of a hip that models are trained on and applied to: one function for both.

Source = Literal["xray", "ct"]
CT_CROP_PIXELS = 100
Scaling = Literal["stretched", "fixed"]
SCALINGS: tuple[Scaling, Scaling] = ("stretched", "fixed")
SCALING = "crop_scaling"
"""Of a CT-AP's ``provenance``, a crop's text fields and a model's card: how crops are scaled."""
FIXED_ATTENUATION = (2.0, 8.0)
"""Black and white of a crop of fixed scaling: the attenuation, at 70 keV, of 104 and of 415 mm of
water. Hips of two patients and two phantoms lie between 3 and 5.5."""


def model_crop(image: Radiograph | ArrayLike, box: Box, *, source: Source) -> NDArray[np.uint8]:
    """Grey levels of a hip as models see it: square, right hips mirrored.

    `rhoa.cohort.build` writes these crops, and ``rhoa predict`` grades them. Those of a CT-AP have
    100 x 100 pixels and are stretched from their smallest value to their largest, or, where the
    CT-AP's provenance says so (`rhoa.hips.extract`), over `FIXED_ATTENUATION`; those of an X-ray
    have its own pixels, with 1 % saturated at either end.

    Parameters
    ----------
    image
        A CT-AP through the pose of its pelvis, or an X-ray as `rhoa.hips.read_xray` makes it.
    box
        Of the hip, in the image's pixel edges; clipped to a square, as `rhoa.hips.crop` clips it.
    source
        What the image is: ``"ct"`` or ``"xray"``.

    Raises
    ------
    ParameterError
        If the image is not 2-D, or all of the box lies outside it.

    References
    ----------
    Gebre et al. 2022, "Cropping and contrast adjustment of hip joints".

    Examples
    --------
    >>> import numpy as np
    >>> from rhoa.hips import Box
    >>> model_crop(np.eye(4), Box("left", 0, 0, 4, 4), source="xray")[0]
    array([255,   0,   0,   0], dtype=uint8)
    """
    is_ct = source == "ct"
    pixels = crop(image, box, size=CT_CROP_PIXELS if is_ct else None)
    saturate = 0.0 if is_ct else SATURATION_PERCENT
    ends = FIXED_ATTENUATION if is_ct and scaling_of(image) == "fixed" else None
    return stretch(pixels, saturate_percent=saturate, ends=ends).astype(np.uint8, copy=False)


def scaling_of(image: Radiograph | ArrayLike) -> str:
    """How `model_crop` scales crops of this CT-AP."""
    provenance = image.provenance if isinstance(image, Radiograph) else {}
    return str(provenance.get(SCALING, SCALINGS[0]))


# Boxes that people gave, against the image: the half of their side, its borders, a hip's size.

LEAST_HIP_MM, MOST_HIP_MM = 40.0, 200.0
LEAST_SHARE, MOST_SHARE = 0.05, 0.6
"""Of the longer side of an image of both hips whose pixel size is unknown."""
MOST_OBLONG = 1.5
"""Of numbers that may be the width and height of a hip."""
DRAWN_OUTSIDE = 0.02
"""Of the area of a box: where less lies outside, it was drawn up to the border."""


class BoxRules(NamedTuple):
    """What boxes of one image are checked by."""

    shape: tuple[int, int]
    pixel_mm: tuple[float, float] | None = None
    """None where it is unknown."""
    midline_px: float | None = None
    """Right hips lie before it; None where the image does not show both hips."""
    most_outside: float = DRAWN_OUTSIDE
    accept: Collection[str] = ()
    """Names of `rhoa.xray.refusals` that are overruled: half, outside, box."""
    overrule: str = 'pass accept="{kind}"'
    """What overrules a refusal of that ``kind``, for messages; empty where nothing does."""

    @classmethod
    def of(cls, image: Radiograph | ArrayLike, hips: FilmHips | None = None) -> BoxRules:
        """Those of an image that shows these hips (default: `rhoa.xray.refusals.hips_of`)."""
        rows, columns = np.shape(image)
        hips = hips_of(image) if hips is None else hips
        pixel_mm = image.pixel_mm if is_measured(image) else None
        middle = None
        if hips.shows == "both":
            if isinstance(image, Radiograph) and image.alignment is not None:
                middle = image.to_pixel(0.0, 0.0)[1] + 0.5  # from pixel centres to edges
            elif not (isinstance(image, Radiograph) and image.scan_frame is not None):
                middle = sum(open_columns(image)) / 2  # in a CT as scanned, it may lie anywhere
        return cls((rows, columns), pixel_mm, middle)


def checked_box(side: Side, edges: Sequence[float], rules: BoxRules, where: str = "") -> Box:
    """The box of a hip whose ``edges`` are top, left, bottom, right in pixels.

    Raises
    ------
    ManifestError
        If they are no rectangle or fractions of 1, or if the box lies in the half of the other
        side, partly outside the image, or has not the size of a hip, and that is not accepted. If
        the edges fit in another order, or as width and height, the message says so.
    """
    kind, problem = "", ""
    if all(0 <= edge <= 1 for edge in edges):
        problem = "its edges are fractions of 1, and pixels are needed"
    else:
        try:
            box = Box(side, *edges)
        except ParameterError as error:
            problem = str(error).rstrip(".")
        else:
            kind, problem = next(_problems(box, rules), ("", ""))
            if not problem:
                return box
    meant = (
        text
        for text, other in _readings(edges, rules, is_box=kind == "half")
        if fits(side, other, rules)
    )
    remedy = next(meant, "correct the box")
    if kind and rules.overrule:
        remedy += f", or {rules.overrule.format(kind=kind)} to take it all the same"
    raise ManifestError(f"{where}{': ' if where else ''}{problem}; {remedy}.")


def fits(side: Side, edges: Sequence[float], rules: BoxRules) -> bool:
    """Whether edges are a box in which nothing is wrong, accepted or not."""
    try:
        box = Box(side, *edges)
    except ParameterError:
        return False
    return next(_problems(box, rules._replace(accept=())), None) is None


def _problems(box: Box, rules: BoxRules) -> Iterator[tuple[str, str]]:
    """(name of the refusal, what is wrong) of all that is not accepted."""
    rows, columns = rules.shape
    outside = box.share_outside(rules.shape)
    if outside > rules.most_outside and ("outside" not in rules.accept or outside >= 1):
        image = f"the image of {rows} x {columns} pixels (rows x columns)"
        name = "outside" if outside < 1 else ""
        yield name, f"{outside:.0%} of the {box.side} box lies outside {image}"
    if rules.midline_px is not None and "half" not in rules.accept:
        half = SIDES[0] if box.centre[1] >= rules.midline_px else SIDES[1]
        if half != box.side:
            where = "left is the patient's left, at the large columns"
            yield "half", f"the {box.side} box lies in the half of the {half} hip; {where}"
    size = _odd_size(box, rules)
    if size and "box" not in rules.accept:
        yield "box", size


def _odd_size(box: Box, rules: BoxRules) -> str:
    """What is wrong with the size of a box; empty where nothing is."""
    if rules.pixel_mm is not None:
        high, wide = box.height * rules.pixel_mm[0], box.width * rules.pixel_mm[1]
        if min(high, wide) < LEAST_HIP_MM or max(high, wide) > MOST_HIP_MM:
            return (
                f"the {box.side} box is {wide:.4g} x {high:.4g} mm (width x height), and that of a "
                f"hip is {LEAST_HIP_MM:g} to {MOST_HIP_MM:g} mm"
            )
    elif rules.midline_px is not None:
        longer = max(rules.shape)
        least, most = LEAST_SHARE * longer, MOST_SHARE * longer
        if min(box.height, box.width) < least or max(box.height, box.width) > most:
            return (
                f"the {box.side} box has {box.width:.4g} x {box.height:.4g} pixels (width x "
                f"height), and that of a hip {least:.0f} to {most:.0f} in an image of this size"
            )
    return ""


def _readings(
    edges: Sequence[float], rules: BoxRules, *, is_box: bool
) -> Iterator[tuple[str, tuple[float, float, float, float]]]:
    """Other meanings that four numbers may have, and the edges that they would be.

    Where they are the box of a hip, though of another side, they are no width and height.
    """
    first, second, third, fourth = edges
    rows, columns = rules.shape
    if all(0 <= edge <= 1 for edge in edges):
        meant = [("multiply", (first * rows, second * columns, third * rows, fourth * columns))]
    else:
        meant = [("x and y seem exchanged (x1 y1 x2 y2)", (second, first, fourth, third))]
        if not is_box and MOST_OBLONG > third / max(fourth, 1) > 1 / MOST_OBLONG:
            high, wide = first + third, second + fourth
            meant.append(("the last two seem to be height and width", (first, second, high, wide)))
            meant.append(("they seem to be x, y, width, height", (second, first, wide, high)))
    for text, (top, left, bottom, right) in meant:
        fit = f"top {top:.6g}, left {left:.6g}, bottom {bottom:.6g}, right {right:.6g}"
        yield f"{text}: {fit} would fit", (top, left, bottom, right)


# How well boxes that were found agree with boxes that were drawn.

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
    free = np.ones(len(drawn), bool)
    pairings = []
    for row, box in enumerate(ranked):
        same_side = np.array([box.side == other.side for other in drawn], bool)
        possible = free & same_side & (overlaps[row] >= least)
        overlap = math.nan
        if possible.any():
            taken = np.where(possible, overlaps[row], -1.0).argmax()
            free[taken], overlap = False, float(overlaps[row, taken])
        pairings.append(_Pairing(box.confidence or 0.0, overlap))
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

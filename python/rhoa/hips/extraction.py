"""From a CT, or an X-ray, to its hips: pose, joints, coverage, image, boxes, crops, and verdicts.

Whatever makes a crop of a CT goes through `extract`: ``rhoa hips``, ``rhoa predict``,
`rhoa.cohort.build` and ``rhoa review`` hold no rule of their own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from rhoa._types import SIDES, Frozen, Side
from rhoa.errors import (
    ParameterError,
    PoseError,
    require_choice,
    require_extra,
    require_names,
    warn_user,
)
from rhoa.files import atomic_write, html_view, json_text
from rhoa.hips.annotations import corrected, in_picture
from rhoa.hips.bounding_boxes import (
    MOST_OUTSIDE,
    SCALING,
    SCALINGS,
    Scaling,
    box_of_joint,
    model_crop,
)
from rhoa.hips.contact_sheet import frontal, marked
from rhoa.hips.crop_files import write_crops
from rhoa.hips.femoral_heads import Joint, joints, located
from rhoa.pose import (
    Alignment,
    Coverage,
    HipCoverage,
    Landmarks,
    coverage,
    difference,
    from_landmarks,
    from_volume,
    tilted,
)
from rhoa.pose.alignment import pelvis_angles, require_upright
from rhoa.pose.scan_coverage import HIP_REFUSALS, HIP_WARNINGS, flag_names
from rhoa.projection import ctap
from rhoa.radiograph import Box, squared
from rhoa.raster import encode_png
from rhoa.reading import as_volume
from rhoa.xray.preparation import prepare
from rhoa.xray.refusals import accepted, require_known, settled

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence
    from os import PathLike

    from numpy.typing import NDArray

    from rhoa.hips.annotations import Correction, LabelledImage
    from rhoa.hips.detector import HipDetector
    from rhoa.pose import Difference
    from rhoa.radiograph import Radiograph
    from rhoa.reading.reader import Scan
    from rhoa.volume import Volume

LOW_CONFIDENCE = 0.5
"""A hip of less confidence is flagged for review."""
STANDING_OFFSET_DEG = -5.0
"""From lying to standing pelves tip backward by 5 deg on average, with a spread of 10."""
EDGES = ("top", "left", "bottom", "right")
PLACE = frozenset({"not_found", "box_outside_image", "low_confidence"})
"""Flags about where the hip is, which a box drawn by a person settles."""
NOT_USED = "the CT-AP is as scanned, and no hip is cropped: {}."
UNPOSED = frozenset({"depth", "pixel_mm", "method", "order"})
"""Options of a projection that are measured in the AP frame."""

VARIANTS: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "bone": {"window": (100.0, 1500.0)},
        "attenuation": {"transform": "attenuation"},
        "joint": {"depth": "hip"},
        "tilted-forward": {"tilt_offset_deg": 5.0},
        "tilted-back": {"tilt_offset_deg": -5.0},
    }
)
"""How else a CT's hip may look, by name: options of `rhoa.ctap`, and a tilt from the image's own.

One thing at a time: other HU, attenuation instead of HU, the depth of the hips alone, other tilts.
"""

PoseOption = Literal["auto", "standing"] | Landmarks | Alignment


@dataclass(frozen=True, slots=True, eq=False)
class HipCrop:
    """The hip of one side: where it is, its crop, and whether it may be used."""

    side: Side
    box: Box | None
    """In pixel edges of the image; None where the pose of the pelvis is not used."""
    crop: NDArray[np.uint8] | None
    """100 x 100 grey levels as models see them, right hips mirrored; None where refused."""
    joint: Joint | None
    coverage: HipCoverage | None
    """With every flag of joint, pose and box; None where no pelvis was found."""
    flags: frozenset[str]
    hard_flags: frozenset[str]
    """The flags that refuse it a crop: each can be accepted by its name."""
    refusals: tuple[str, ...]
    """Why there is no crop, a phrase for each hard flag; empty where there is one."""

    @property
    def usable(self) -> bool:
        """Whether the hip has a crop: nothing forbids its use."""
        return not self.refusals

    @property
    def exclusion(self) -> Literal["prosthesis", "quality"] | None:
        """Why a manifest leaves the hip out; None where it is usable."""
        if self.usable:
            return None
        return "prosthesis" if "implant" in self.hard_flags else "quality"

    def as_dict(self) -> dict[str, Any]:
        """A row of plain types, the same in every table; edges are of pixels of the image."""
        row: dict[str, Any] = {
            "side": self.side,
            "usable": self.usable,
            "refused": "; ".join(self.refusals),
            "exclusion": self.exclusion,
            "flags": sorted(self.flags),
        }
        if self.box is not None:
            row |= {name: round(getattr(self.box, name), 2) for name in EDGES}
            sure = self.box.confidence
            row["confidence"] = None if sure is None else round(sure, 3)
        if self.joint is not None:
            row["head_radius_mm"] = round(self.joint.radius_mm, 1)
        if self.coverage is not None:
            row |= {
                "inside_fraction": round(self.coverage.inside_fraction, 4),
                "joint_fraction": round(self.coverage.joint_fraction, 4),
                "margin_mm": round(self.coverage.margin_mm, 1),
                "metal_cm3": round(self.coverage.metal_cm3, 2),
            }
        return row

    def __str__(self) -> str:
        if self.coverage is not None:
            return str(self.coverage)
        return f"{self.side} hip: not usable: {'; '.join(self.refusals)}"


@dataclass(frozen=True, slots=True, eq=False)
class ExtractedHips(Frozen):
    """The hips of one CT, and what they were cut from."""

    alignment: Alignment | None
    """Of the pelvis, as found or given; None where no pelvis was found."""
    pose_used: bool
    """Whether the image is a projection through the alignment; else it is as scanned."""
    coverage: Coverage
    """What of the pelvis was scanned; its hips have the same verdicts as `hips`."""
    image: Radiograph
    """The CT-AP; as scanned where the pose is not used."""
    hips: Mapping[Side, HipCrop]
    """Of the sides asked for."""
    joints: Mapping[Side, Joint]
    difference: Difference | None = None
    """Of the landmarks given from the pose found; None where there is one of both."""
    note: str = ""
    """Why the pose is not used, or the landmarks were not compared."""
    accepted: Mapping[Side, frozenset[str]] = field(default_factory=dict)
    """Flags that a person accepted."""
    changes: tuple[Correction, ...] = ()
    """Boxes that a person changed: see `corrected`."""
    scan: Mapping[str, object] = field(default_factory=dict)
    """``slice_spacing_mm`` and, where the files name them, ``kernel`` and ``scanner``."""

    def __post_init__(self) -> None:
        for name in ("hips", "joints", "accepted", "scan"):
            object.__setattr__(self, name, MappingProxyType(dict(getattr(self, name))))

    @property
    def boxes(self) -> dict[Side, Box]:
        """Of the hips that have one."""
        return {side: hip.box for side, hip in self.hips.items() if hip.box is not None}

    @property
    def rows(self) -> list[dict[str, Any]]:
        """A row for each hip (`HipCrop.as_dict`), and what was made of the pose."""
        flags = [] if self.alignment is None else sorted(self.alignment.flags)
        pose: dict[str, Any] = {"pose_used": self.pose_used, "pose_flags": flags}
        if self.alignment is not None:
            angles = pelvis_angles(self.alignment)._asdict()
            pose |= {f"{name}_deg": round(float(value), 2) for name, value in angles.items()}
        pose["pixel_mm"] = round(self.image.pixel_mm[0], 4)
        pose |= self.scan
        changed = {one.side: one.change for one in self.changes}
        return [
            hip.as_dict() | {"change": changed.get(side, "")} | pose
            for side, hip in self.hips.items()
        ]

    def with_boxes(self, boxes: Mapping[Side, Box]) -> ExtractedHips:
        """The same with boxes that a person drew, in pixel edges of the image.

        A drawn box is clipped to a square and settles where the hip is: that its joint was not
        found, that its own box left the image, that it was not sure. What else is flagged stays. A
        side without a box keeps its own.

        Raises
        ------
        ParameterError
            If a box is another side's, or more than a quarter of it lies outside the image.
        """
        hips = dict(self.hips)
        for side, drawn in boxes.items():
            if drawn.side != side or side not in hips:
                raise ParameterError(f"there is no {side} hip for a box of the {drawn.side} hip.")
            outside = drawn.share_outside(self.image.shape)
            if outside > MOST_OUTSIDE:
                raise ParameterError(
                    f"{outside:.0%} of the {side} box lies outside the image of "
                    f"{self.image.shape[0]} x {self.image.shape[1]} pixels; draw it on the image."
                )
            box = squared(replace(drawn, confidence=None), self.image.pixel_mm)
            hips[side] = _judged(self, side, box, hips[side].flags - PLACE, hips[side].coverage)
        covered = {side: hip.coverage for side, hip in hips.items() if hip.coverage is not None}
        judged = replace(self.coverage, hips={**self.coverage.hips, **covered})
        return replace(self, hips=hips, coverage=judged)

    def corrected(self, drawn: LabelledImage) -> ExtractedHips:
        """The same with the boxes that a person drew on the picture in place of those found.

        A hip whose box was taken away is none of `hips` any more; `changes` lists what differs.

        Raises
        ------
        ManifestError
            If what was drawn does not fit the picture.
        """
        boxes, changes = corrected(self.image, self.boxes, drawn)
        by_side = {one.side: one.change for one in changes}
        remaining = {side: hip for side, hip in self.hips.items() if by_side.get(side) != "removed"}
        moved = {side: box for side, box in boxes.items() if side in by_side}
        return replace(self, hips=remaining, changes=tuple(changes)).with_boxes(moved)

    def variants(self, volume: Volume) -> Iterator[tuple[str, Radiograph, dict[Side, Box]]]:
        """`VARIANTS` of the CT-AP of this ``volume``: name, image, boxes of the usable hips.

        `rhoa.cohort.build` crops them; models may be shown them in training, and never else.
        """
        usable = [side for side, hip in self.hips.items() if hip.usable]
        if self.alignment is None or not usable:
            return
        for name, options in VARIANTS.items():
            projected = dict(options)
            offset_deg = projected.pop("tilt_offset_deg", 0.0)
            pose = tilted(self.alignment, offset_deg) if offset_deg else self.alignment
            image = ctap(volume, pose=pose, **projected)
            yield name, image, {side: box_of_joint(image, self.joints[side]) for side in usable}

    def save(self, folder: str | PathLike[str]) -> list[Path]:
        """Write image, pose, boxes and crops into a folder, and return the files.

        ``ct-ap.png`` and ``ct-ap.npz``; ``pose.json`` (`as_dict`); ``boxes.png``, the image with
        its boxes, and ``boxes.json`` (`rows`); ``hip-left.png`` and ``hip-right.png`` of the hips
        that are usable.

        Examples
        --------
        >>> import rhoa, tempfile
        >>> patient = rhoa.phantom.ct(rhoa.phantom.Anatomy.random(1), spacing_mm=(3, 3, 3))
        >>> found = rhoa.hips.extract(patient.volume, pose=patient.landmarks)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     [file.name for file in found.save(folder)][-2:]
        ['hip-left.png', 'hip-right.png']
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        picture = marked(frontal(self.image, self.alignment, self.joints, self.boxes))
        self.image.save(folder / "ct-ap.png")
        self.image.save(folder / "ct-ap.npz")
        atomic_write(folder / "pose.json", json_text(self.as_dict()))
        atomic_write(folder / "boxes.png", picture)
        atomic_write(folder / "boxes.json", json_text(self.rows))
        names = ("ct-ap.png", "ct-ap.npz", "pose.json", "boxes.png", "boxes.json")
        crops = {side: hip.crop for side, hip in self.hips.items()}
        return [
            *(folder / name for name in names),
            *write_crops(folder, self.image, self.boxes, crops, source="ct"),
        ]

    def plot(self) -> Any:  # noqa: ANN401  # matplotlib's
        """A figure of matplotlib: the CT-AP with its boxes, and the crop of each hip.

        Raises
        ------
        MissingExtraError
            If matplotlib is not installed.
        """
        figures = require_extra("matplotlib.figure", extra="report", purpose="plotting hips")
        crops = [hip for hip in self.hips.values() if hip.crop is not None]
        figure = figures.Figure(figsize=(5 + 3 * len(crops), 4), layout="constrained")
        axes = figure.subplots(1, 1 + len(crops), squeeze=False)[0]
        square = self.image.square()
        axes[0].imshow(square.to_uint8(), cmap="gray")
        axes[0].set_title("CT-AP (patient's right on the left)")
        for box in in_picture(self.image, self.boxes.values()):
            across = [box.left, box.right, box.right, box.left, box.left]
            down = [box.top, box.top, box.bottom, box.bottom, box.top]
            # Pixel n is drawn from n - 0.5 to n + 0.5.
            axes[0].plot(np.array(across) - 0.5, np.array(down) - 0.5)
            axes[0].text(box.left, box.top - 2, box.side[0].upper(), color="white")
        for place, hip in zip(axes[1:], crops, strict=True):
            place.imshow(hip.crop, cmap="gray")
            place.set_title(f"{hip.side} hip{', mirrored' if hip.side == 'right' else ''}")
        for place in axes:
            place.set_axis_off()
        return figure

    def _repr_html_(self) -> str:
        parts = [line.partition(": ") for line in str(self).splitlines()]
        pictures = {"CT-AP": marked(frontal(self.image, self.alignment, self.joints, self.boxes))}
        for hip in self.hips.values():
            if hip.crop is not None:
                turned = ", mirrored" if hip.side == "right" else ""
                pictures[f"{hip.side} hip{turned}"] = encode_png(hip.crop)
        return html_view("Hips", [(name, value) for name, _, value in parts], pictures)

    def as_dict(self) -> dict[str, Any]:
        """Plain types, as JSON has them; `rhoa.Landmarks.from_json` reads the landmarks back."""
        content: dict[str, Any] = {"used": self.pose_used, "note": self.note}
        if self.alignment is not None:
            if self.alignment.landmarks is not None:
                content |= {"space": "LPS", "unit": "mm", **self.alignment.landmarks.as_dict()}
            content |= {
                "angles_deg": pelvis_angles(self.alignment)._asdict(),
                "flags": sorted(self.alignment.flags),
                "hard_flags": sorted(self.alignment.hard_flags),
                "quality": dict(self.alignment.quality),
            }
        if self.difference is not None:
            content["difference_from_automatic"] = self.difference._asdict()
        return content | {"coverage": self.coverage.as_dict()}

    def __str__(self) -> str:
        if self.alignment is None:
            lines = [f"pose: not found ({self.note})"]
        else:
            use = "" if self.pose_used else ", not used"
            flags = ", ".join(sorted(self.alignment.flags)).replace("_", " ") or "none"
            lines = [f"pose: {pelvis_angles(self.alignment)}{use} (flags: {flags})"]
            offset = self.alignment.quality.get("tilt_offset_deg")
            if offset is not None:
                lines.append(
                    f"image: the pelvis is tipped by {offset:+.1f} deg from its upright anterior "
                    "pelvic plane (above 0: spines forward)"
                )
        if self.difference is not None:
            lines.append(f"from the automatic pose: {self.difference}")
        elif self.pose_used and self.note:
            lines.append(self.note)
        others = replace(self.coverage, hips={})
        return "\n".join([*lines, *map(str, self.hips.values()), str(others)])


def extract(
    scan: Scan,
    *,
    pose: PoseOption = "auto",
    sides: Sequence[Side] = SIDES,
    boxes: Mapping[Side, Box] | None = None,
    accept: Collection[str] | Mapping[Side, Collection[str]] = (),
    tilt_offset_deg: float | None = None,
    scaling: Scaling = "stretched",
    **projection: Any,  # noqa: ANN401  # as rhoa.ctap checks them
) -> ExtractedHips:
    """The hips of a CT: posed, found, judged and cropped, each side by itself.

    Parameters
    ----------
    scan
        A `Volume`, or what `rhoa.read_ct` reads.
    pose
        ``"auto"`` finds the anterior pelvic plane in the scan. `Landmarks` define it, and are
        compared with what is found; an `Alignment` is taken as it is. ``"standing"`` finds it, and
        tips the pelvis from the tilt in which the patient lies.
    sides
        The sides that are wanted; the other one is neither judged nor cropped.
    boxes
        Drawn by a person, in pixel edges of the image: see `ExtractedHips.with_boxes`.
    accept
        Flags that a person has reviewed and that forbid nothing: names of
        `rhoa.pose.scan_coverage.HIP_REFUSALS`, such as ``"implant"``, or ``"pose_not_used"`` for a
        pose that is flagged; of both hips, or by side. A pose that swaps sides or turns the head
        down is never used.
    tilt_offset_deg
        By which the pelvis is tipped about its hips in the image, spines forward if above 0: from
        its upright anterior pelvic plane, or, with ``pose="standing"``, from how the patient lies
        (default then: -5).
    scaling
        Of the crops. ``"stretched"``, as in the paper: each from its own smallest to its largest
        value, so that grey levels of two crops do not compare. ``"fixed"``: the CT-AP is of X-ray
        attenuation instead of HU, and black and white are the same attenuation in every crop
        (`rhoa.hips.bounding_boxes.FIXED_ATTENUATION`). The CT-AP's provenance and the crops' files
        say which, models remember it, and `rhoa.predict` crops alike.
    **projection
        Keyword options of `rhoa.ctap`: ``window``, ``depth``, ``pixel_mm``, ``method``,
        ``threads`` and so on. ``depth`` and ``pixel_mm`` have no meaning where the pose is not
        used, and are left out there.

    Returns
    -------
    ExtractedHips
        ``.alignment``, ``.pose_used``, ``.coverage``, ``.image``, and ``.hips["left"]`` with
        ``.box``, ``.crop``, ``.refusals`` and ``.flags``. A hip has no crop where its joint was not
        found, where the scan lacks part of it or is damaged there, where an implant replaces it,
        where the pose is not used and where its box leaves the image.

    Warns
    -----
    RhoaWarning
        If the pose found is not used, or differs from the landmarks by more than 3 deg.

    Raises
    ------
    ParameterError
        If an option is none of these.
    PoseError
        If landmarks swap left and right.

    References
    ----------
    Gebre et al. 2022, "Cropping and contrast adjustment of hip joints".

    Examples
    --------
    >>> import rhoa
    >>> from rhoa.phantom import Anatomy, Surroundings, ct
    >>> patient = ct(
    ...     Anatomy.random(1), spacing_mm=(3, 3, 3), surroundings=Surroundings(implant="left")
    ... )
    >>> found = rhoa.hips.extract(patient.volume, pose=patient.landmarks)
    >>> found.hips["right"].crop.shape, found.hips["left"].crop
    ((100, 100), None)
    >>> found.hips["left"].refusals[0]
    'implant: 35.0 cm3 of metal in the joint'
    """
    volume = as_volume(scan)
    by_side = accept if isinstance(accept, Mapping) else dict.fromkeys(SIDES, accept)
    accepted: dict[Side, frozenset[str]] = {
        side: require_names("accept", by_side.get(side, ()), sorted(HIP_REFUSALS), kind="refusals")
        for side in sides
    }
    for side in sides:
        require_choice("side", side, SIDES)
    require_choice("scaling", scaling, SCALINGS)
    if scaling == "fixed":
        given = {name: value for name, value in projection.items() if value is not None}
        other = given.get("transform", "attenuation") != "attenuation"
        if other or "window" in given or given.get("reduce", "sum") != "sum":
            raise ParameterError(
                'scaling="fixed" (--scaling fixed) is of attenuation, in its own window; leave out '
                "window, reduce and transform."
            )
        projection = {**given, "transform": "attenuation"}
    forced = any("pose_not_used" in names for names in accepted.values())
    found = _posed(volume, pose, tilt_offset_deg, forced=forced)
    alignment, used = found.alignment, found.used
    heads: Mapping[Side, Joint] = {}
    if alignment is not None and alignment.upright:
        heads = joints(volume, alignment)
        alignment = located(alignment, heads)
        covered = coverage(volume, alignment)
    else:
        covered = coverage(volume)
    if alignment is not None and used and found.offset_deg:
        alignment = tilted(alignment, found.offset_deg)
    if used:
        image = ctap(volume, pose=alignment, **projection)
    else:
        plain = {name: value for name, value in projection.items() if name not in UNPOSED}
        image = ctap(volume, **plain)
    if scaling != SCALINGS[0]:
        image = replace(image, provenance={**image.provenance, SCALING: scaling})
    bare = ExtractedHips(
        alignment,
        used,
        covered,
        image,
        {},
        heads,
        found.difference,
        found.note,
        accepted,
        scan={
            "slice_spacing_mm": round(volume.spacing_mm[covered.slice_axis], 3),
            **{name: (volume.report or {}).get(name) or "" for name in ("kernel", "scanner")},
        },
    )
    hips = {side: _hip(bare, side) for side in sides}
    judged = {side: hip.coverage for side, hip in hips.items() if hip.coverage is not None}
    extracted = replace(bare, hips=hips, coverage=replace(covered, hips=judged))
    return extracted if boxes is None else extracted.with_boxes(boxes)


def _hip(scan: ExtractedHips, side: Side) -> HipCrop:
    """The hip of one side, by what joint, coverage, pose and box say of it."""
    covered, joint = scan.coverage.hips.get(side), scan.joints.get(side)
    if covered is None or joint is None:
        return _judged(scan, side, None, frozenset({"pose_not_used"}), None)
    # How much of the joint was scanned is for the coverage to judge.
    flags = covered.flags | (joint.flags - {"field_of_view"})
    if joint.confidence < LOW_CONFIDENCE:
        flags |= {"low_confidence"}
    box = None
    if scan.pose_used:
        if "pose_not_used" in scan.accepted.get(side, ()):
            flags -= {"pose_not_used"}
        box = box_of_joint(scan.image, joint)
        if box.share_outside(scan.image.shape) > MOST_OUTSIDE:
            flags |= {"box_outside_image"}
    else:
        flags |= {"pose_not_used"}
    return _judged(scan, side, box, flags, covered)


def _judged(
    scan: ExtractedHips,
    side: Side,
    box: Box | None,
    flags: frozenset[str],
    covered: HipCoverage | None,
) -> HipCrop:
    """The verdict: the flags that are neither warnings nor accepted refuse the hip its crop."""
    accepted = scan.accepted.get(side, frozenset())
    if box is None:  # there is nothing to accept
        accepted -= {"pose_not_used"}
    hard = flags - HIP_WARNINGS - accepted
    if covered is not None:
        covered = replace(covered, flags=flags, accepted=accepted)
    crop = None if box is None or hard else model_crop(scan.image, box, source="ct")
    refusals = tuple(_phrase(scan, side, flag, box) for flag in sorted(hard))
    return HipCrop(side, box, crop, scan.joints.get(side), covered, flags, hard, refusals)


def _phrase(scan: ExtractedHips, side: Side, flag: str, box: Box | None) -> str:
    """Why a flag refuses a hip."""
    if flag == "pose_not_used":
        if scan.alignment is None:
            return scan.note
        return f"pose not used: {scan.note}"
    meaning, covered = HIP_REFUSALS[flag], scan.coverage.hips.get(side)
    if flag == "box_outside_image" and box is not None:
        meaning = f"{box.share_outside(scan.image.shape):.0%} of the box lies outside the image"
    elif flag == "implant" and covered is not None:
        meaning = f"{covered.metal_cm3:.1f} cm3 of metal in the joint"
    elif flag == "field_of_view" and covered is not None:
        meaning = f"{covered.joint_fraction:.0%} of the joint was scanned"
    return f"{flag.replace('_', ' ')}: {meaning}"


@dataclass(frozen=True, slots=True, eq=False)
class _Posed:
    """The pose of a pelvis, and whether it is to be used."""

    alignment: Alignment | None
    used: bool
    offset_deg: float = 0.0
    difference: Difference | None = None
    note: str = ""


def _posed(volume: Volume, pose: object, tilt_offset_deg: float | None, *, forced: bool) -> _Posed:
    """The pose asked for, or the one found; used where it is sound, or forced."""
    if tilt_offset_deg is not None:  # is it an angle of a pelvis?
        tilted(Alignment(np.eye(3), np.zeros(3)), tilt_offset_deg)
    offset = tilt_offset_deg or 0.0
    if isinstance(pose, Alignment | Landmarks):
        return _given(volume, pose, offset, forced=forced)
    if pose not in ("auto", "standing"):
        raise ParameterError(
            f'pose must be "auto", "standing", rhoa.Landmarks or rhoa.Alignment; got {pose!r}.'
        )
    found, note = _found(volume)
    used = found is not None and found.upright and (not note or forced)
    if found is not None and pose == "standing":
        offset = found.angles.tilt + (STANDING_OFFSET_DEG if tilt_offset_deg is None else offset)
    if not used:
        warn_user(NOT_USED.format(note))
    return _Posed(found, used, offset, note=note)


def _given(volume: Volume, pose: Alignment | Landmarks, offset: float, *, forced: bool) -> _Posed:
    """An alignment as it is; landmarks compared with what is found."""
    read = from_landmarks(pose) if isinstance(pose, Landmarks) else pose
    require_upright(read)
    what = "alignment is" if isinstance(pose, Alignment) else "landmarks are"
    note = f"the {what} flagged {flag_names(read.hard_flags)}" if read.hard_flags else ""
    used = not note or forced
    if not used:
        warn_user(NOT_USED.format(note))
    if isinstance(pose, Alignment) or not used:
        return _Posed(read, used, offset, note=note)
    found, why = _found(volume)
    if why or found is None:
        return _Posed(read, used, offset, note=f"the landmarks were not compared: {why}")
    apart = difference(read, found)
    if apart.large:
        warn_user(
            f"the landmarks differ from the pose found in the scan by {apart}; check them, "
            "left and right too."
        )
    return _Posed(read, used, offset, apart)


def _found(volume: Volume) -> tuple[Alignment | None, str]:
    """The pose found in a scan, and why it cannot be trusted; an empty string where it can."""
    try:
        found = from_volume(volume)
    except PoseError:
        length_mm = volume.shape[volume.axes.superior] * volume.spacing_mm[volume.axes.superior]
        return None, (
            f"no pelvis found: {length_mm:.0f} mm from top to bottom; the scan must hold both "
            "hips, with the femoral heads"
        )
    if found.hard_flags or not found.upright:
        return found, f"the pose found is flagged {flag_names(found.hard_flags) or 'upside down'}"
    return found, ""


# From an X-ray to its hips: boxes of a detector or of a person, and crops.


@dataclass(frozen=True, slots=True, eq=False)
class XrayHips:
    """The hips of one X-ray."""

    image: Radiograph
    boxes: Mapping[Side, Box]
    """In pixel edges of the image."""
    sides: tuple[Side, ...]
    """Of the hips that it shows."""
    changes: tuple[Correction, ...] = ()
    """Boxes that a person changed."""

    @property
    def rows(self) -> list[dict[str, Any]]:
        """A row for each hip with a box, in the pixel edges of the image."""
        return [
            {
                "side": side,
                **{edge: round(getattr(box, edge), 2) for edge in EDGES},
                "confidence": None if box.confidence is None else round(box.confidence, 3),
            }
            for side, box in self.boxes.items()
        ]

    @property
    def missing(self) -> list[Side]:
        """Sides that the X-ray shows and that have no box, but for boxes that a person removed."""
        changed = {one.side for one in self.changes}
        return [side for side in self.sides if side not in self.boxes and side not in changed]

    @property
    def unsure(self) -> list[Side]:
        """Sides whose box is of little confidence."""
        scores = {side: box.confidence for side, box in self.boxes.items()}
        low = LOW_CONFIDENCE
        return [side for side, score in scores.items() if score is not None and score < low]

    def save(self, folder: str | PathLike[str]) -> list[Path]:
        """Write ``hip-left.png`` and ``hip-right.png`` (mirrored) and ``boxes.json`` (`rows`)."""
        folder = Path(folder)
        crops = {side: prepare(self.image, box) for side, box in self.boxes.items()}
        atomic_write(folder / "boxes.json", json_text(self.rows))
        return [
            *write_crops(folder, self.image, self.boxes, crops, source="xray"),
            folder / "boxes.json",
        ]


def extract_xray(
    image: Radiograph,
    *,
    detector: HipDetector | None = None,
    drawn: LabelledImage | None = None,
    accept: str | Collection[str] = (),
    name: str = "the image",
) -> XrayHips:
    """The hips of an X-ray: found by a detector, drawn by a person, or both.

    Parameters
    ----------
    image
        As `rhoa.hips.read_xray` makes it.
    detector
        Finds the boxes; without one, all are those drawn.
    drawn
        Boxes that a person drew or corrected on the X-ray's picture; they take the place of those
        found, and say which hip it shows where nothing else does.
    accept
        Refusals to overrule, as in `rhoa.hips.read_xray`.
    name
        Of the X-ray, in messages.

    Raises
    ------
    ViewError
        If the X-ray shows one hip, and nothing says which.
    ManifestError
        If what was drawn does not fit the X-ray.

    Examples
    --------
    Boxes of a trained detector::

        found = rhoa.hips.extract_xray(rhoa.hips.read_xray("film.dcm"), detector=detector)
        found.boxes["left"], found.missing
    """
    if drawn is not None:
        named = {box.side: "its drawn box" for box in drawn.boxes}
        shown_hips = settled(image, named, accept=accepted(accept))
        hip = "" if shown_hips.shows == "both" else shown_hips.shows
        provenance = {**image.provenance, "hip": hip, "hip_from": shown_hips.source}
        image = replace(image, provenance=provenance)
    alone = require_known(image, name).alone
    boxes: Mapping[Side, Box] = {} if detector is None else detector.detect(image)
    changes: list[Correction] = []
    if drawn is not None:
        boxes, changes = corrected(image, boxes, drawn, accept=accept)
    sides = SIDES if alone is None else (alone,)
    return XrayHips(image, boxes, sides, tuple(changes))

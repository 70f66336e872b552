"""The hips of one scan as a model grades them: each with its crop, or why it has none."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import rhoa
from rhoa.errors import PoseError
from rhoa.hips import model_crop
from rhoa.hips.film import hips_of
from rhoa.picture import encode_png
from rhoa.pose.sides import SIDES
from rhoa.verbs.folder import told_warnings
from rhoa.verbs.pelvis import pelvis_of, without_nan
from rhoa.writing import atomic_write

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from rhoa import Radiograph, Volume
    from rhoa.hips import Box, HipDetector
    from rhoa.hips.model_crops import Source
    from rhoa.learning import Draws, Grader
    from rhoa.pose.sides import Side
    from rhoa.verbs.output import Rows
    from rhoa.verbs.pelvis import Pelvis, Request

PREDICTION_FILE = "prediction.json"
EDGES = ("top", "left", "bottom", "right")
COLUMNS = (
    *("side", "source", "probability", "spread", "disagreement_nats", "refused"),
    *(*EDGES, "confidence", "head_radius_mm", "flags"),
    *("inside_fraction", "joint_fraction", "margin_mm", "metal_cm3", "pose_flags"),
)
UNSURE = 0.5
"""A box of less confidence deserves a look."""


@dataclass(frozen=True, slots=True, eq=False)
class FoundHip:
    """A hip, before it is graded."""

    side: Side
    box: Box | None
    crop: NDArray[np.uint8] | None
    """As models see it; None where the hip is refused."""
    refused: Sequence[str] = ()
    """Why it must not be graded."""
    flags: Sequence[str] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)
    """Of joint and coverage, for the table."""


@dataclass(frozen=True, slots=True, eq=False)
class FoundHips:
    """Both hips of a scan, and what they were cut from."""

    source: Source
    hips: Sequence[FoundHip]
    image: Radiograph | None
    """None where no pose can be used."""
    notes: Sequence[str]
    pelvis: Pelvis | None = None
    """Of a CT."""

    @property
    def boxes(self) -> dict[Side, Box]:
        """Of the hips that have one."""
        return {hip.side: hip.box for hip in self.hips if hip.box is not None}


def hips_of_ct(volume: Volume, request: Request, *, threads: int | None) -> FoundHips:
    """The hips of a CT, cropped as `rhoa.cohort.build` crops those that models are trained on.

    A hip is refused where the pose, the joint or the coverage forbids its use, and where its box
    leaves the image.
    """
    image = None
    with told_warnings() as told:
        pelvis = pelvis_of(volume, request)
        if pelvis.used:
            image = rhoa.ctap(volume, pose=pelvis.alignment, threads=threads)
    hips = [_hip_of_ct(image, pelvis, side) for side in SIDES]
    return FoundHips("ct", hips, image, told if pelvis.used else [], pelvis)


def _hip_of_ct(image: Radiograph | None, pelvis: Pelvis, side: Side) -> FoundHip:
    if pelvis.alignment is None:
        return FoundHip(side, None, None, [f"no pelvis found: {pelvis.note}"])
    joint, covered = pelvis.joints[side], pelvis.coverage.hips[side]
    refused = [flag.replace("_", " ") for flag in sorted(joint.hard_flags | covered.hard_flags)]
    box = None
    if image is None:
        refused.append(f"pose not used: {pelvis.note}")
    else:
        try:
            box = rhoa.hips.boxes(image, joints=pelvis.joints, sides=(side,))[side]
        except PoseError as error:
            refused.append(str(error))
    crop = None
    if image is not None and box is not None and not refused:
        crop = model_crop(image, box, source="ct")
    facts = {
        "confidence": round(joint.confidence, 3),
        "head_radius_mm": round(joint.radius_mm, 1),
        "inside_fraction": round(covered.inside_fraction, 4),
        "joint_fraction": round(covered.joint_fraction, 4),
        "margin_mm": round(covered.margin_mm, 1),
        "metal_cm3": round(covered.metal_cm3, 2),
        "pose_flags": sorted(pelvis.alignment.flags),
    }
    return FoundHip(side, box, crop, refused, sorted(joint.flags | covered.flags), facts)


def hips_of_xray(image: Radiograph, detector: HipDetector, notes: Sequence[str]) -> FoundHips:
    """The hips of an X-ray that a detector finds; a side without a box is refused.

    Raises
    ------
    ParameterError
        If the X-ray may be of one hip or of two.
    """
    found = detector.detect(image)
    alone = hips_of(image).alone
    hips = []
    for side in SIDES:
        box = found.get(side)
        if box is not None:
            sure = box.confidence or 0.0
            flags = ["unsure_box"] if sure < UNSURE else []
            facts = {"confidence": round(sure, 3)}
            crop = model_crop(image, box, source="xray")
            hips.append(FoundHip(side, box, crop, flags=flags, facts=facts))
        elif alone in {None, side}:
            hips.append(FoundHip(side, None, None, ["no hip was found by the detector"]))
    return FoundHips("xray", hips, image, notes)


def graded(found: FoundHips, grader: Grader, *, views: int) -> Rows:
    """A row for each hip: its probability, or why it has none."""
    crops = [hip.crop for hip in found.hips if hip.crop is not None]
    draws = grader.draws(crops, views=views)
    rows: Rows = []
    graded_hips = 0
    for hip in found.hips:
        place = None if hip.crop is None else graded_hips
        graded_hips += hip.crop is not None
        box = hip.box
        edges = {} if box is None else {edge: round(getattr(box, edge), 2) for edge in EDGES}
        rows.append(
            {
                "side": hip.side,
                "source": found.source,
                **scores_of(draws, place),
                "refused": "; ".join(hip.refused),
                **edges,
                "flags": list(hip.flags),
                **hip.facts,
            }
        )
    return rows


def scores_of(draws: Draws, place: int | None) -> dict[str, float | None]:
    """Probability of rHOA, and how far looks at one hip differ, where there were several."""
    several = len(draws.samples) > 1
    numbers = {
        "probability": draws.probabilities[:, 1],
        **({"spread": draws.spread} if several else {}),
        **({"disagreement_nats": draws.disagreement_nats} if several else {}),
    }
    return {
        name: None if place is None else round(float(values[place]), 6)
        for name, values in numbers.items()
    }


def write_prediction(
    folder: Path, found: FoundHips, rows: Rows, *, model: Mapping[str, Any]
) -> None:
    """Write ``prediction.json``, the image and the crops of one scan into ``folder``."""
    told: dict[str, Any] = {
        "rhoa": rhoa.__version__,
        "research_use_only": True,
        "model": dict(model),
        "hips": rows,
        "notes": list(found.notes),
    }
    if found.pelvis is not None:
        told["pose"] = found.pelvis.as_dict()
    if found.source == "xray" and found.image is not None:
        told["shows"] = hips_of(found.image)._asdict()
    folder.mkdir(parents=True, exist_ok=True)
    if found.image is not None:
        name = "ct-ap.png" if found.source == "ct" else "xray.png"
        found.image.save(folder / name)
    for hip in found.hips:
        file = folder / f"hip-{hip.side}.png"
        if hip.crop is None:
            file.unlink(missing_ok=True)
        else:
            atomic_write(file, encode_png(hip.crop))
    text = json.dumps(without_nan(told), indent=2, allow_nan=False)
    atomic_write(folder / PREDICTION_FILE, text + "\n")

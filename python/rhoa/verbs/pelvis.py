"""What ``--pose`` and ``--accept`` ask of the pose of a pelvis, and how its hips are printed."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import rhoa
from rhoa.errors import PoseError, require_names
from rhoa.pose import Alignment, tilted
from rhoa.pose.verdict import HIP_REFUSALS
from rhoa.writing import atomic_write

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from rhoa.hips import ExtractedHips, HipCrop
    from rhoa.hips.extraction import Pose

AUTO, FORCE = "auto", "force"
FOUND = (AUTO, "standing")
"""Poses that are found in the scan."""
REMEDIES = {
    "box_outside_image": "draw its box with --boxes",
    "not_found": "draw its box with --boxes",
    "pose_not_used": "pass --pose landmarks.json, or use the pose all the same with --pose force",
}
OTHER_REMEDY = "--accept {} crops it all the same"


@dataclass(frozen=True, slots=True)
class PoseRequest:
    """A pose as `rhoa.hips.extract` takes it."""

    pose: Pose
    accept: frozenset[str] = field(default_factory=frozenset)
    tilt_offset_deg: float | None = None

    @classmethod
    def of(
        cls,
        pose: str,
        tilt_offset_deg: float | None = None,
        accept: str | Collection[str] = (),
    ) -> PoseRequest:
        """Understand ``pose`` and read its landmarks, before anything that takes long.

        Raises
        ------
        PoseError
            If landmarks are flagged and not forced.
        ParameterError
            If the offset is no angle of a pelvis, or ``accept`` names what is no refusal.
        """
        if tilt_offset_deg is not None:
            tilted(Alignment(np.eye(3), np.zeros(3)), tilt_offset_deg)
        accepted = require_names("--accept", accept, sorted(HIP_REFUSALS), kind="refusals")
        name = pose.removeprefix(f"{FORCE}:")
        if name != pose or pose == FORCE:
            accepted |= {"pose_not_used"}
        if name == FORCE or name in FOUND:
            return cls(AUTO if name == FORCE else name, accepted, tilt_offset_deg)  # type: ignore[arg-type]
        landmarks = rhoa.Landmarks.from_json(name)
        read = rhoa.pose.from_landmarks(landmarks)
        if not read.ok and "pose_not_used" not in accepted:
            remedy = f", or use them as they are with --pose {FORCE}:{name}" if read.upright else ""
            raise PoseError(
                f"{Path(name).name}: the landmarks are flagged {', '.join(sorted(read.flags))}; "
                f"correct them (patient LPS: x to the patient's left){remedy}."
            )
        return cls(landmarks, accepted, tilt_offset_deg)

    @property
    def of_one_scan(self) -> bool:
        """Whether landmarks were given, which are of one scan."""
        return isinstance(self.pose, rhoa.Landmarks)


def not_cropped(hips: Iterable[HipCrop]) -> list[str]:
    """A line for each hip that has no crop: why, and what to do."""
    lines = []
    for hip in hips:
        if not hip.usable:
            remedies = {
                REMEDIES.get(f, OTHER_REMEDY.format(f)): None for f in sorted(hip.hard_flags)
            }
            why, what = "; ".join(hip.refusals), "; ".join(remedies)
            lines.append(f"{hip.side} hip not cropped: {why} ({what})")
    return lines


def write_pose(file: Path, found: ExtractedHips) -> None:
    """Write ``pose.json``: the pose, and what the scan holds of both hips."""
    text = json.dumps(without_nan(found.as_dict()), indent=2, allow_nan=False)
    atomic_write(file, text + "\n")


def without_nan(value: Any) -> Any:  # noqa: ANN401  # whatever JSON holds
    """The same with None where a number is not finite: JSON has no NaN."""
    if isinstance(value, dict):
        return {key: without_nan(one) for key, one in value.items()}
    if isinstance(value, list):
        return [without_nan(one) for one in value]
    return None if isinstance(value, float) and not abs(value) < float("inf") else value

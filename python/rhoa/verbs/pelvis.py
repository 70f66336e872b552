"""The pose that the command line uses: the one asked for, and whether it can be trusted."""

from __future__ import annotations

import json
import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import rhoa
from rhoa.errors import PoseError, RhoaWarning
from rhoa.pose import Alignment, tilted, usable_alignment
from rhoa.writing import atomic_write

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rhoa import Volume
    from rhoa.hips import Joint
    from rhoa.pose import Coverage, Difference
    from rhoa.pose.sides import Side

AUTO, FORCE = "auto", "force"


@dataclass(frozen=True, slots=True)
class Pelvis:
    """The pelvis of one scan, as far as it is known."""

    alignment: Alignment | None
    """Found or read; None where no pelvis was found."""
    used: bool
    """Whether the scan is to be projected through it."""
    joints: Mapping[Side, Joint]
    """Both hips of the alignment."""
    coverage: Coverage
    difference: Difference | None = None
    """Of the landmarks that were given from what was found; None where there is one of both."""
    note: str = ""
    """Why it is not used, or not compared."""

    @classmethod
    def of(
        cls,
        volume: Volume,
        alignment: Alignment | None,
        used: bool,  # noqa: FBT001  # a field
        *,
        difference: Difference | None = None,
        note: str = "",
    ) -> Pelvis:
        """With the femoral heads of an alignment, and what the scan holds of it."""
        joints: Mapping[Side, Joint] = {}
        if alignment is not None:
            joints = rhoa.hips.joints(volume, alignment)
            alignment = rhoa.hips.located(alignment, joints)
        covered = rhoa.pose.coverage(volume, alignment)
        return cls(alignment, used, joints, covered, difference, note)

    def as_dict(self) -> dict[str, Any]:
        """Plain types, as JSON has them; `rhoa.Landmarks.from_json` reads the landmarks back."""
        told: dict[str, Any] = {"used": self.used, "note": self.note}
        if self.alignment is not None:
            if self.alignment.landmarks is not None:
                told |= {"space": "LPS", "unit": "mm", **self.alignment.landmarks.as_dict()}
            told |= {
                "angles_deg": self.alignment.angles._asdict(),
                "flags": sorted(self.alignment.flags),
                "hard_flags": sorted(self.alignment.hard_flags),
                "quality": dict(self.alignment.quality),
            }
        if self.difference is not None:
            told["difference_from_automatic"] = self.difference._asdict()
        return told | {"coverage": self.coverage.as_dict()}

    def save(self, path: Path) -> None:
        """Write `as_dict`."""
        text = json.dumps(without_nan(self.as_dict()), indent=2, allow_nan=False)
        atomic_write(path, text + "\n")

    def __str__(self) -> str:
        if self.alignment is None:
            lines = ["pose: not found"]
        else:
            use = "" if self.used else ", not used"
            flags = _words(self.alignment.flags) or "none"
            lines = [f"pose: {self.alignment.angles}{use} (flags: {flags})"]
        if self.difference is not None:
            lines.append(f"from the automatic pose: {self.difference}")
        elif self.used and self.note:
            lines.append(self.note)
        return "\n".join([*lines, str(self.coverage)])


@dataclass(frozen=True, slots=True)
class Request:
    """What ``--pose`` says: ``auto``, ``force``, landmarks, or ``force:FILE``."""

    read: Alignment | None
    """Of the landmarks; None where the pose is to be found."""
    file: str
    forced: bool
    tilt_offset_deg: float = 0.0
    """By which the pelvis is tipped afterwards, as `rhoa.pose.tilted` does."""

    @classmethod
    def of(cls, pose: str, tilt_offset_deg: float = 0.0) -> Request:
        """Understand ``pose`` and read its landmarks, before anything that takes long.

        Raises
        ------
        PoseError
            If landmarks are flagged and not forced.
        ParameterError
            If the offset is no angle of a pelvis.
        """
        tilted(Alignment(np.eye(3), np.zeros(3)), tilt_offset_deg)
        name = pose.removeprefix(f"{FORCE}:")
        forced = name != pose or pose == FORCE
        if name in (AUTO, FORCE):
            return cls(None, "", forced, tilt_offset_deg)
        file, read = Path(name).name, rhoa.pose.from_landmarks(rhoa.Landmarks.from_json(name))
        if not read.ok and not forced:
            remedy = f", or use them as they are with --pose {FORCE}:{name}" if read.upright else ""
            raise PoseError(
                f"{file}: the landmarks are flagged {', '.join(sorted(read.flags))}; "
                f"correct them (patient LPS: x to the patient's left){remedy}."
            )
        return cls(usable_alignment(read), file, forced, tilt_offset_deg=tilt_offset_deg)


def pelvis_of(volume: Volume, request: Request) -> Pelvis:
    """The pelvis of a scan: as read, compared with what is found; or as found, if it is sound.

    Tipped at last, where that is asked for.

    Warns
    -----
    RhoaWarning
        If the automatic pose is not used, and why; if it differs from the landmarks by over 3 deg.
    """
    pelvis = _untipped(volume, request)
    if not request.tilt_offset_deg or pelvis.alignment is None or not pelvis.used:
        return pelvis
    return replace(pelvis, alignment=tilted(pelvis.alignment, request.tilt_offset_deg))


def _untipped(volume: Volume, request: Request) -> Pelvis:
    found, note = None, ""
    try:
        found = rhoa.pose.from_volume(volume)
    except PoseError as error:
        note = str(error)
    if found is not None and found.hard_flags:
        note = f"the pose found is flagged {_words(found.hard_flags)}"
    if request.read is not None:
        return _compared(volume, request.read, found if not note else None, request.file, note)
    usable = found is not None and found.upright and (request.forced or not found.hard_flags)
    if not usable:
        remedy = f"; --pose {FORCE} uses it nevertheless" if found and found.upright else ""
        _warn(
            f"projected as scanned: {note}. Look at the image, and pass --pose landmarks.json"
            f"{remedy}."
        )
    return Pelvis.of(volume, found, usable, note=note)


def _compared(
    volume: Volume, read: Alignment, found: Alignment | None, file: str, note: str
) -> Pelvis:
    difference = None if found is None else rhoa.pose.difference(read, found)
    if difference is not None and difference.large:
        _warn(
            f"{file}: the landmarks differ from the pose found in the scan by {difference}; "
            "check them, left and right too."
        )
    note = f"the landmarks were not compared: {note}" if note else ""
    return Pelvis.of(volume, read, used=True, difference=difference, note=note)


def _warn(text: str) -> None:
    warnings.warn(text, RhoaWarning, stacklevel=3)


def _words(flags: frozenset[str]) -> str:
    return ", ".join(sorted(flags)).replace("_", " ")


def without_nan(value: Any) -> Any:  # noqa: ANN401  # whatever JSON holds
    """The same with None where a number is not finite: JSON has no NaN."""
    if isinstance(value, dict):
        return {key: without_nan(one) for key, one in value.items()}
    if isinstance(value, list):
        return [without_nan(one) for one in value]
    return None if isinstance(value, float) and not abs(value) < float("inf") else value

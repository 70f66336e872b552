"""The pose that the command line uses: the one asked for, and whether it can be trusted."""

from __future__ import annotations

import json
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rhoa
from rhoa.errors import PoseError, RhoaWarning
from rhoa.pose import usable_alignment

if TYPE_CHECKING:
    from rhoa import Alignment, Volume
    from rhoa.pose import Coverage, Difference

AUTO, FORCE = "auto", "force"


@dataclass(frozen=True, slots=True)
class Pelvis:
    """The pelvis of one scan, as far as it is known."""

    alignment: Alignment | None
    """Found or read; None where no pelvis was found."""
    used: bool
    """Whether the scan is to be projected through it."""
    coverage: Coverage
    difference: Difference | None = None
    """Of the landmarks that were given from what was found; None where there is one of both."""
    note: str = ""
    """Why it is not used, or not compared."""

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
        text = json.dumps(_without_nan(self.as_dict()), indent=2, allow_nan=False)
        path.write_text(text + "\n", encoding="utf-8")

    def __str__(self) -> str:
        if self.alignment is None:
            lines = ["pose: not found"]
        else:
            tilt, obliquity, rotation = self.alignment.angles
            angles = f"tilt {tilt:.1f}, obliquity {obliquity:.1f}, rotation {rotation:.1f} deg"
            use = "" if self.used else ", not used"
            flags = _words(self.alignment.flags) or "none"
            lines = [f"pose: {angles}{use} (flags: {flags})"]
        if self.difference is not None:
            lines.append(f"from the automatic pose: {self.difference}")
        elif self.used and self.note:
            lines.append(self.note)
        return "\n".join([*lines, str(self.coverage)])


@dataclass(frozen=True, slots=True)
class Request:
    """What ``--pose`` says: ``auto``, ``force``, a file of landmarks, or ``force:FILE``."""

    read: Alignment | None
    """Of the landmarks; None where the pose is to be found."""
    file: str
    forced: bool

    @classmethod
    def of(cls, pose: str) -> Request:
        """Understand ``pose`` and read its landmarks, before anything that takes long.

        Raises
        ------
        PoseError
            If landmarks are flagged and not forced.
        """
        name = pose.removeprefix(f"{FORCE}:")
        forced = name != pose or pose == FORCE
        if name in (AUTO, FORCE):
            return cls(None, "", forced)
        file, read = Path(name).name, rhoa.pose.from_landmarks(rhoa.Landmarks.from_json(name))
        if not read.ok and not forced:
            remedy = f", or use them as they are with --pose {FORCE}:{name}" if read.upright else ""
            raise PoseError(
                f"{file}: the landmarks are flagged {', '.join(sorted(read.flags))}; "
                f"correct them (patient LPS: x to the patient's left){remedy}."
            )
        return cls(usable_alignment(read), file, forced)


def pelvis_of(volume: Volume, request: Request) -> Pelvis:
    """The pelvis of a scan: as read, compared with what is found; or as found, if it is sound.

    Warns
    -----
    RhoaWarning
        If the automatic pose is not used, and why; if it differs from the landmarks by over 3 deg.
    """
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
    return Pelvis(found, usable, rhoa.pose.coverage(volume, found), note=note)


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
    return Pelvis(
        read, used=True, coverage=rhoa.pose.coverage(volume, read), difference=difference, note=note
    )


def _warn(text: str) -> None:
    warnings.warn(text, RhoaWarning, stacklevel=3)


def _words(flags: frozenset[str]) -> str:
    return ", ".join(sorted(flags)).replace("_", " ")


def _without_nan(value: Any) -> Any:  # noqa: ANN401  # whatever JSON holds
    """The same with None where a number is not finite: JSON has no NaN."""
    if isinstance(value, dict):
        return {key: _without_nan(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_without_nan(one) for one in value]
    return None if isinstance(value, float) and not abs(value) < float("inf") else value

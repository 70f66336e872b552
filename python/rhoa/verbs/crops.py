"""The hips of one scan, of every scan in a folder, or of a table of scans."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import rhoa
from rhoa import cohort
from rhoa.errors import ParameterError, PoseError
from rhoa.hips.sheet import Entry, Verdict, write_card
from rhoa.hips.views import frontal, lateral
from rhoa.picture import draw_box, encode_png, stretch
from rhoa.pose.sides import SIDES
from rhoa.progress import bar
from rhoa.verbs.folder import each, refuse_landmarks, told_warnings
from rhoa.verbs.output import Result
from rhoa.verbs.pelvis import AUTO, Request, pelvis_of
from rhoa.verbs.scan import projected, volume_of
from rhoa.writing import atomic_write

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from rhoa import Radiograph, Volume
    from rhoa.hips import Box
    from rhoa.pose.sides import Side
    from rhoa.verbs.output import Rows
    from rhoa.verbs.pelvis import Pelvis

UNSURE = 0.5
"""A hip of less confidence deserves a look."""
HIP_COLUMNS = (
    *("side", "top", "left", "bottom", "right", "confidence", "head_radius_mm"),
    *("usable", "flags", "pose_used", "pose_flags"),
)


@dataclass(frozen=True, slots=True, eq=False)
class Hips:
    """What was found of the hips of one scan."""

    volume: Volume
    image: Radiograph
    pelvis: Pelvis
    boxes: Mapping[Side, Box]
    """Of the sides that the image holds."""
    lost: Sequence[str]
    """Why the other sides have none."""

    @property
    def rows(self) -> Rows:
        """A row for each box, in the pixel edges of ``ct-ap.npz``."""
        return [self._row(side, box) for side, box in self.boxes.items()]

    def _row(self, side: Side, box: Box) -> dict[str, Any]:
        joint, covered = self.pelvis.joints[side], self.pelvis.coverage.hips[side]
        edges = {name: round(getattr(box, name), 2) for name in ("top", "left", "bottom", "right")}
        return {
            "side": side,
            **edges,
            "confidence": round(joint.confidence, 3),
            "head_radius_mm": round(joint.radius_mm, 1),
            "usable": covered.usable and not joint.hard_flags,
            "flags": sorted(joint.flags | covered.flags),
        }

    def write(self, folder: Path) -> list[str]:
        """The files that were written into ``folder``."""
        folder.mkdir(parents=True, exist_ok=True)
        self.image.save(folder / "ct-ap.png")
        self.image.save(folder / "ct-ap.npz")
        self.pelvis.save(folder / "pose.json")
        atomic_write(folder / "boxes.png", _picture_of(self.image, self.boxes))
        text = json.dumps(self.rows, indent=2)
        atomic_write(folder / "boxes.json", text + "\n")
        names = ["ct-ap.png", "ct-ap.npz", "pose.json", "boxes.png", "boxes.json"]
        for side, box in self.boxes.items():
            pixels = stretch(rhoa.hips.crop(self.image, box))
            atomic_write(folder / f"hip-{side}.png", encode_png(pixels))
            names.append(f"hip-{side}.png")
        return names


def hips(options: Namespace) -> Result:
    """Crops of one scan, of every scan in a folder, or of a table of scans."""
    if str(options.scan).lower().endswith(".csv"):
        return _of_table(options)
    request = Request.of(options.pose or AUTO, options.tilt_offset)
    if options.each:
        refuse_landmarks(request)
        return each(options, partial(_case, options), table="hips.csv", columns=HIP_COLUMNS)
    found = find_hips(volume_of(options, options.scan), request, options)
    names = found.write(options.out)
    lines = ["", *str(found.pelvis).splitlines(), ""]
    lines += [*found.lost, *(f"wrote {options.out / name}" for name in names)]
    return Result(found.rows, lines, rejected=bool(found.lost))


def find_hips(volume: Volume, request: Request, options: Namespace) -> Hips:
    """The hips of a scan: each side by itself, so that one bad hip does not lose the other.

    Raises
    ------
    PoseError
        If no pelvis is found, or the image holds neither hip.
    """
    pelvis = pelvis_of(volume, request)
    if pelvis.alignment is None:
        raise PoseError(f"no hips without a pelvis: {pelvis.note}")
    image = projected(volume, pelvis, options)
    boxes: dict[Side, Box] = {}
    lost = []
    for side in SIDES:
        try:
            boxes |= rhoa.hips.boxes(image, joints=pelvis.joints, sides=(side,))
        except PoseError as error:
            lost.append(f"{side} hip not cropped: {error}")
    if not boxes:
        raise PoseError(" ".join(lost))
    return Hips(volume, image, pelvis, boxes, lost)


def _of_table(options: Namespace) -> Result:
    names = ("pose", "series", "repair", "pixel_mm", "tilt_offset", "threads", "each", "window")
    if any(getattr(options, name) for name in names) or options.depth != ["all"]:
        raise ParameterError(
            "a table of scans names its own landmarks and is made with the defaults; leave out "
            "--each, --pose, --series, --repair, --window, --depth, --pixel-mm, --tilt-offset and "
            "--threads."
        )
    manifest = cohort.build(options.scan, options.out, progress=bar())
    rejected = options.out / "rejected.csv"
    lines = [f"wrote {options.out / 'manifest.csv'}: {len(manifest)} hips"]
    lines += [f"{count} hips excluded: {why}" for why, count in manifest.excluded.items()]
    rows = [{"manifest": str(options.out / "manifest.csv"), "hips": len(manifest)}]
    return Result(rows, lines, rejected.exists())


def _case(options: Namespace, scan: Path, folder: Path) -> dict[str, Any]:
    """One scan of a folder: its files, its rows, and its part of the page."""
    request = Request.of(options.pose or AUTO, options.tilt_offset)
    with told_warnings() as told:
        found = find_hips(volume_of(options, scan, quiet=True), request, options)
    found.write(folder)
    entry = _shown(scan.name, found, [*found.lost, *told])
    flags = [] if found.pelvis.alignment is None else sorted(found.pelvis.alignment.flags)
    pose = {"pose_used": found.pelvis.used, "pose_flags": flags}
    return {
        "verdict": entry.verdict,
        "rows": [row | pose for row in found.rows],
        "card": write_card(entry, folder),
    }


def _shown(name: str, found: Hips, notes: Sequence[str]) -> Entry:
    pelvis, alignment = found.pelvis, found.pelvis.alignment
    flags = [] if alignment is None else sorted(alignment.flags)
    rows = {row["side"]: row for row in found.rows}
    unsure = any(row["confidence"] < UNSURE or row["flags"] for row in rows.values())
    verdict: Verdict = "fine"
    if not pelvis.used:
        verdict = "not used"
    elif flags or unsure or found.lost or pelvis.coverage.flags:
        verdict = "look"
    views = (
        frontal(found.image, alignment, pelvis.joints, found.boxes),
        lateral(found.volume, alignment, pelvis.joints),
    )
    facts = [] if alignment is None else [("pose", str(alignment.angles))]
    facts += [(f"{side} hip", _told(row)) for side, row in rows.items()]
    facts += [("scan", line) for line in str(pelvis.coverage).splitlines()[len(SIDES) :]]
    return Entry(name, verdict, facts, flags, notes, views)


def _told(row: dict[str, Any]) -> str:
    use = "usable" if row["usable"] else "not usable"
    flags = ", ".join(row["flags"]).replace("_", " ")
    head = f"head {row['head_radius_mm']} mm, confidence {row['confidence']:.2f}"
    return f"{head}, {use}" + (f" ({flags})" if flags else "")


def _picture_of(image: Radiograph, boxes: Mapping[Side, Box]) -> bytes:
    grey = image.to_uint8()
    for box in boxes.values():
        grey = draw_box(grey, box.top, box.left, box.bottom, box.right)
    return encode_png(grey, pixel_mm=image.pixel_mm[0])

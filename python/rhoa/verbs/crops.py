"""The hips of one scan, of every scan in a folder, or of a table of scans."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rhoa
from rhoa import cohort
from rhoa.errors import ParameterError, PoseError
from rhoa.hips.corrections import corrected
from rhoa.hips.sheet import Entry, Verdict, sheet, write_card
from rhoa.hips.views import frontal, lateral
from rhoa.picture import draw_box, encode_png, picture_label
from rhoa.pose.sides import SIDES
from rhoa.progress import bar
from rhoa.verbs.corrections import Picture, drawn_boxes, wants_review, write_review
from rhoa.verbs.folder import (
    SHEET,
    each,
    name_scans,
    pool_of,
    refuse_landmarks,
    scans_in,
    told_warnings,
    veil,
)
from rhoa.verbs.output import Result
from rhoa.verbs.pelvis import AUTO, Request, pelvis_of
from rhoa.verbs.scan import projected, volume_of
from rhoa.writing import atomic_write

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Mapping, Sequence

    from rhoa import Radiograph, Volume
    from rhoa.cohort import Outcome
    from rhoa.hips import Box, LabelledImage
    from rhoa.hips.corrections import Correction
    from rhoa.pose.sides import Side
    from rhoa.verbs.output import Rows
    from rhoa.verbs.pelvis import Pelvis

UNSURE = 0.5
"""A hip of less confidence deserves a look."""
HIP_COLUMNS = (
    *("side", "top", "left", "bottom", "right", "confidence", "head_radius_mm"),
    *("usable", "flags", "change", "pose_used", "pose_flags"),
)
PICTURE = "ct-ap.png"


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
    changes: Sequence[Correction] = ()
    """Boxes that somebody corrected."""

    @property
    def rows(self) -> Rows:
        """A row for each box, in the pixel edges of ``ct-ap.npz``."""
        return [self._row(side, box) for side, box in self.boxes.items()]

    def _row(self, side: Side, box: Box) -> dict[str, Any]:
        joint, covered = self.pelvis.joints[side], self.pelvis.coverage.hips[side]
        change = next((one.change for one in self.changes if one.side == side), "")
        edges = {name: round(getattr(box, name), 2) for name in ("top", "left", "bottom", "right")}
        return {
            "side": side,
            **edges,
            "confidence": None if box.confidence is None else round(box.confidence, 3),
            "head_radius_mm": round(joint.radius_mm, 1),
            "usable": covered.usable and not joint.hard_flags,
            "flags": sorted(joint.flags | covered.flags),
            "change": change,
        }

    def write(self, folder: Path) -> list[str]:
        """The files that were written into ``folder``."""
        folder.mkdir(parents=True, exist_ok=True)
        self.image.save(folder / PICTURE)
        self.image.save(folder / "ct-ap.npz")
        self.pelvis.save(folder / "pose.json")
        atomic_write(folder / "boxes.png", _picture_of(self.image, self.boxes))
        text = json.dumps(self.rows, indent=2)
        atomic_write(folder / "boxes.json", text + "\n")
        names = [PICTURE, "ct-ap.npz", "pose.json", "boxes.png", "boxes.json"]
        for side, box in self.boxes.items():
            pixels = rhoa.hips.model_crop(self.image, box, source="ct")
            rhoa.hips.write_crop(folder / f"hip-{side}.png", pixels, box, self.image, source="ct")
            names.append(f"hip-{side}.png")
        return names


def hips(options: Namespace) -> Result:
    """Crops of one scan, of every scan in a folder, or of a table of scans."""
    if str(options.scan).lower().endswith(".csv"):
        return _of_table(options)
    request = Request.of(options.pose or AUTO, options.tilt_offset)
    if options.each:
        refuse_landmarks(request)
        return _of_folder(options)
    drawn = drawn_boxes(options, [PICTURE]).get(PICTURE)
    found = find_hips(volume_of(options, options.scan), request, options, drawn)
    names = found.write(options.out)
    lines = ["", *str(found.pelvis).splitlines(), ""]
    lines += [*found.lost, *(f"wrote {options.out / name}" for name in names)]
    if wants_review(options):
        lines += _review_of_one(found, options)
    return Result(found.rows, lines, rejected=bool(found.lost))


def find_hips(
    volume: Volume, request: Request, options: Namespace, drawn: LabelledImage | None = None
) -> Hips:
    """The hips of a scan: each side by itself, so that one bad hip does not lose the other.

    Boxes that were ``drawn`` on the picture take the place of those found.

    Raises
    ------
    PoseError
        If no pelvis is found, or the image holds neither hip.
    ManifestError
        If what was drawn does not fit the picture.
    """
    pelvis = pelvis_of(volume, request)
    if pelvis.alignment is None:
        raise PoseError(f"no hips without a pelvis: {pelvis.note}")
    image = projected(volume, pelvis, options)
    boxes: dict[Side, Box] = {}
    lost: dict[Side, str] = {}
    for side in SIDES:
        try:
            boxes |= rhoa.hips.boxes(image, joints=pelvis.joints, sides=(side,))
        except PoseError as error:
            lost[side] = f"{side} hip not cropped: {error}"
    if drawn is not None:
        boxes, changes = corrected(image, boxes, drawn)
        left = [told for side, told in lost.items() if side not in boxes]
        return Hips(volume, image, pelvis, boxes, left, changes)
    if not boxes:
        raise PoseError(" ".join(lost.values()))
    return Hips(volume, image, pelvis, boxes, list(lost.values()))


def _of_folder(options: Namespace) -> Result:
    """Every scan of a folder."""
    scans, _ = scans_in(Path(options.scan))
    named = name_scans({scan.name: scan for scan in scans}, options)
    drawn = drawn_boxes(options, [f"{name}/{PICTURE}" for name in named])
    by_scan = {name.rpartition("/")[0]: labelled for name, labelled in drawn.items()}

    def review(found: Sequence[Outcome], part: str) -> list[str]:
        told = [one.record["picture"] for one in found if "picture" in one.record]
        return write_review(options.out, [*map(Picture.from_dict, told)], options, part=part)

    return each(
        options,
        partial(_case, options, by_scan),
        table="hips.csv",
        columns=HIP_COLUMNS,
        wishes={name: repr(labelled.boxes) for name, labelled in by_scan.items()},
        review=review if wants_review(options) else None,
    )


def _review_of_one(found: Hips, options: Namespace) -> list[str]:
    """The page of one scan, and its boxes to correct."""
    out: Path = options.out
    scan = Path(options.scan).resolve()
    (called,) = name_scans({scan.name: scan}, options)
    entry = _shown(called, found, found.lost)
    card = write_card(entry, out, place=".")
    atomic_write(out / SHEET, sheet([(entry.verdict, card)], title=f"Hips of {entry.name}"))
    picture = Picture.of(PICTURE, found.image, found.boxes, found.changes)
    return [f"wrote {out / SHEET}", *write_review(out, [picture], options)]


def _of_table(options: Namespace) -> Result:
    names = (
        *("pose", "series", "repair", "pixel_mm", "tilt_offset", "threads", "each", "window"),
        *("review", "boxes", "shard"),
    )
    if any(getattr(options, name) for name in names) or options.depth != ["all"]:
        raise ParameterError(
            "a table of scans names its own landmarks and boxes and is made with the defaults; "
            "leave out --each, --shard, --review, --boxes, --pose, --series, --repair, --window, "
            "--depth, --pixel-mm, --tilt-offset and --threads."
        )
    pool = pool_of(options)
    key = options.pseudonyms
    pseudonyms = None if key is None else cohort.Pseudonyms.load(key)
    manifest = cohort.build(
        options.scan, options.out, pseudonyms=pseudonyms, pool=pool, progress=bar()
    )
    rejected = options.out / "rejected.csv"
    lines = [f"wrote {options.out / 'manifest.csv'}: {len(manifest)} hips"]
    lines += [f"{count} hips excluded: {why}" for why, count in manifest.excluded.items()]
    rows = [{"manifest": str(options.out / "manifest.csv"), "hips": len(manifest)}]
    return Result(rows, lines, rejected.exists())


def _case(
    options: Namespace, drawn: Mapping[str, LabelledImage], scan: Path, folder: Path
) -> dict[str, Any]:
    """One scan of a folder: its files, its rows, and its part of the page."""
    request = Request.of(options.pose or AUTO, options.tilt_offset)
    called = options.names[scan]
    with told_warnings(veil(scan, options)) as told:
        volume = volume_of(options, scan, quiet=True)
        found = find_hips(volume, request, options, drawn.get(called))
    found.write(folder)
    entry = _shown(called, found, [*found.lost, *told])
    flags = [] if found.pelvis.alignment is None else sorted(found.pelvis.alignment.flags)
    pose = {"pose_used": found.pelvis.used, "pose_flags": flags}
    name = f"{called}/{PICTURE}"
    return {
        "picture": Picture.of(name, found.image, found.boxes, found.changes).as_dict(),
        "verdict": entry.verdict,
        "rows": [row | pose for row in found.rows],
        "card": write_card(entry, folder),
    }


def _shown(name: str, found: Hips, notes: Sequence[str]) -> Entry:
    pelvis, alignment = found.pelvis, found.pelvis.alignment
    flags = [] if alignment is None else sorted(alignment.flags)
    rows = {row["side"]: row for row in found.rows}
    unsure = any(
        row["flags"] or (row["confidence"] is not None and row["confidence"] < UNSURE)
        for row in rows.values()
    )
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
    sure = "drawn by hand" if row["change"] else f"confidence {row['confidence']:.2f}"
    head = f"head {row['head_radius_mm']} mm, {sure}"
    return f"{head}, {use}" + (f" ({flags})" if flags else "")


def _picture_of(image: Radiograph, boxes: Mapping[Side, Box]) -> bytes:
    grey = image.to_uint8()
    for box in boxes.values():
        grey = draw_box(grey, box.top, box.left, box.bottom, box.right)
    return encode_png(grey, pixel_mm=image.pixel_mm[0], text=picture_label("picture"))

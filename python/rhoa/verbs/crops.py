"""The hips of one scan, of every scan in a folder, or of a table of scans."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rhoa import cohort
from rhoa.errors import ParameterError
from rhoa.hips import write_crop
from rhoa.hips.corrections import corrected
from rhoa.hips.sheet import Entry, Verdict, sheet, write_card
from rhoa.hips.views import frontal, lateral
from rhoa.picture import draw_box, encode_png, picture_label
from rhoa.pose.sides import SIDES
from rhoa.progress import bar
from rhoa.verbs.corrections import Picture, drawn_boxes, wants_review, write_review
from rhoa.verbs.folder import (
    SHEET,
    captured_warnings,
    each,
    name_scans,
    pool_of,
    refuse_landmarks,
    scans_in,
    veil,
)
from rhoa.verbs.output import Result
from rhoa.verbs.pelvis import AUTO, PoseRequest, not_cropped, without_nan, write_pose
from rhoa.verbs.scan import extracted, volume_of
from rhoa.writing import atomic_write

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Mapping, Sequence

    from rhoa import Radiograph, Volume
    from rhoa.cohort import Outcome
    from rhoa.hips import Box, ExtractedHips, LabelledImage
    from rhoa.hips.corrections import Correction
    from rhoa.pose.sides import Side
    from rhoa.verbs.output import Rows

HIP_COLUMNS = (
    *("side", "usable", "refused", "flags", "top", "left", "bottom", "right", "confidence"),
    *("head_radius_mm", "inside_fraction", "joint_fraction", "margin_mm", "metal_cm3", "change"),
    *("pose_used", "pose_flags"),
)
PRINTED = ("side", "usable", "top", "left", "bottom", "right", "confidence", "flags", "change")
PICTURE = "ct-ap.png"


@dataclass(frozen=True, slots=True, eq=False)
class CroppedScan:
    """The hips of one scan, with the boxes that somebody corrected."""

    volume: Volume
    found: ExtractedHips
    changes: Sequence[Correction] = ()

    @property
    def rows(self) -> Rows:
        """A row for each hip, in pixels of the picture."""
        changed = {one.side: one.change for one in self.changes}
        return [row | {"change": changed.get(row["side"], "")} for row in self.found.rows]

    def write(self, folder: Path) -> list[str]:
        """The files that were written into ``folder``."""
        folder.mkdir(parents=True, exist_ok=True)
        image = self.found.image
        image.save(folder / PICTURE)
        image.save(folder / "ct-ap.npz")
        write_pose(folder / "pose.json", self.found)
        atomic_write(folder / "boxes.png", _picture_of(image, self.found.boxes))
        text = json.dumps(without_nan(self.rows), indent=2)
        atomic_write(folder / "boxes.json", text + "\n")
        names = [PICTURE, "ct-ap.npz", "pose.json", "boxes.png", "boxes.json"]
        for side in SIDES:
            file = folder / f"hip-{side}.png"
            hip = self.found.hips.get(side)
            if hip is None or hip.crop is None or hip.box is None:
                file.unlink(missing_ok=True)
                continue
            write_crop(file, hip.crop, hip.box, image, source="ct")
            names.append(file.name)
        return names


def hips(options: Namespace) -> Result:
    """Crops of one scan, of every scan in a folder, or of a table of scans."""
    if str(options.scan).lower().endswith(".csv"):
        return _of_table(options)
    asked = PoseRequest.of(options.pose or AUTO, options.tilt_offset, options.accept)
    if options.each:
        refuse_landmarks(asked)
        return _of_folder(options)
    drawn = drawn_boxes(options, [PICTURE]).get(PICTURE)
    scan = cropped(volume_of(options, options.scan), asked, options, drawn)
    names = scan.write(options.out)
    refused = not_cropped(scan.found.hips.values())
    lines = ["", *str(scan.found).splitlines(), ""]
    lines += [*refused, *(f"wrote {options.out / name}" for name in names)]
    if wants_review(options):
        lines += _review_of_one(scan, options)
    shown = [{name: row.get(name) for name in PRINTED} for row in scan.rows]
    return Result(scan.rows, lines, rejected=bool(refused), shown=shown)


def cropped(
    volume: Volume, asked: PoseRequest, options: Namespace, drawn: LabelledImage | None = None
) -> CroppedScan:
    """The hips of a scan; boxes that were ``drawn`` on its picture take the place of those found.

    A hip whose box was taken away has no row.

    Raises
    ------
    ManifestError
        If what was drawn does not fit the picture.
    """
    found = extracted(volume, asked, options)
    if not found.pose_used:  # one pixel grid for the picture, its boxes and every table
        found = replace(found, image=found.image.square())
    if drawn is None:
        return CroppedScan(volume, found)
    boxes, changes = corrected(found.image, found.boxes, drawn)
    changed = {one.side: one.change for one in changes}
    kept = {side: hip for side, hip in found.hips.items() if changed.get(side) != "removed"}
    moved = {side: box for side, box in boxes.items() if side in changed}
    return CroppedScan(volume, replace(found, hips=kept).with_boxes(moved), changes)


def _of_folder(options: Namespace) -> Result:
    """Every scan of a folder."""
    scans, _ = scans_in(Path(options.scan))
    named = name_scans({scan.name: scan for scan in scans}, options)
    drawn = drawn_boxes(options, [f"{name}/{PICTURE}" for name in named])
    by_scan = {name.rpartition("/")[0]: labelled for name, labelled in drawn.items()}

    def review(found: Sequence[Outcome], part: str) -> list[str]:
        pictures = [one.record["picture"] for one in found if "picture" in one.record]
        return write_review(options.out, [*map(Picture.from_dict, pictures)], options, part=part)

    return each(
        options,
        partial(_case, options, by_scan),
        table="hips.csv",
        columns=HIP_COLUMNS,
        wishes={name: repr(labelled.boxes) for name, labelled in by_scan.items()},
        review=review if wants_review(options) else None,
    )


def _review_of_one(cut: CroppedScan, options: Namespace) -> list[str]:
    """The page of one scan, and its boxes to correct."""
    out: Path = options.out
    scan = Path(options.scan).resolve()
    (called,) = name_scans({scan.name: scan}, options)
    entry = _entry(called, cut)
    card = write_card(entry, out, place=".")
    atomic_write(out / SHEET, sheet([(entry.verdict, card)], title=f"Hips of {entry.name}"))
    picture = Picture.of(PICTURE, cut.found.image, cut.found.boxes, cut.changes)
    return [f"wrote {out / SHEET}", *write_review(out, [picture], options)]


def _of_table(options: Namespace) -> Result:
    names = (
        *("pose", "series", "repair", "pixel_mm", "tilt_offset", "threads", "each", "window"),
        *("review", "boxes", "shard", "accept"),
    )
    if any(getattr(options, name) for name in names) or options.depth != ["all"]:
        raise ParameterError(
            "a table of scans names its own landmarks, boxes and what it accepts, and is made with "
            "the defaults; leave out --each, --shard, --review, --boxes, --pose, --accept, "
            "--series, --repair, --window, --depth, --pixel-mm, --tilt-offset and --threads."
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
    asked = PoseRequest.of(options.pose or AUTO, options.tilt_offset, options.accept)
    called = options.names[scan]
    with captured_warnings(veil(scan, options)) as warned:
        volume = volume_of(options, scan, quiet=True)
        cut = cropped(volume, asked, options, drawn.get(called))
    cut.write(folder)
    entry = _entry(called, cut, warned)
    picture = Picture.of(f"{called}/{PICTURE}", cut.found.image, cut.found.boxes, cut.changes)
    return {
        "picture": picture.as_dict(),
        "verdict": entry.verdict,
        "rows": without_nan(cut.rows),
        "card": write_card(entry, folder),
    }


def _entry(name: str, cut: CroppedScan, warned: Sequence[str] = ()) -> Entry:
    """What the page shows of a scan."""
    found = cut.found
    flags = [] if found.alignment is None else sorted(found.alignment.flags)
    hips = list(found.hips.values())
    verdict: Verdict = "fine"
    if not found.pose_used:
        verdict = "not used"
    elif flags or found.coverage.flags or any(hip.flags or not hip.usable for hip in hips):
        verdict = "look"
    views = (
        frontal(found.image, found.alignment, found.joints, found.boxes),
        lateral(cut.volume, found.alignment, found.joints),
    )
    facts = [
        ("pose" if line.startswith("pose") else "scan", line.removeprefix("pose: "))
        for line in str(replace(found, hips={})).splitlines()
    ]
    facts[1:1] = [(f"{hip.side} hip", str(hip).partition(": ")[2]) for hip in hips]
    return Entry(name, verdict, facts, flags, [*not_cropped(hips), *warned], views)


def _picture_of(image: Radiograph, boxes: Mapping[Side, Box]) -> bytes:
    """The image with the boxes drawn on it."""
    grey = image.to_uint8()
    for box in boxes.values():
        grey = draw_box(grey, box.top, box.left, box.bottom, box.right)
    return encode_png(grey, pixel_mm=image.pixel_mm[0], text=picture_label("picture"))

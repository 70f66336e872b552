"""The hips of one scan, of every scan in a folder, or of a table of scans."""

from __future__ import annotations

import csv
import json
import warnings
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rhoa
from rhoa import cohort
from rhoa.errors import ParameterError, PoseError, RhoaError, RhoaWarning
from rhoa.hips.sheet import Entry, Verdict, write_sheet
from rhoa.hips.views import frontal, lateral
from rhoa.picture import draw_box, encode_png, stretch
from rhoa.pose.sides import SIDES
from rhoa.progress import bar
from rhoa.reading import whole_volume
from rhoa.verbs.output import Result
from rhoa.verbs.pelvis import AUTO, Request, pelvis_of
from rhoa.verbs.scan import projected, volume_of

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Iterator, Mapping, Sequence

    from rhoa import Radiograph, Volume
    from rhoa.hips import Box
    from rhoa.pose.sides import Side
    from rhoa.verbs.output import Rows
    from rhoa.verbs.pelvis import Pelvis

UNSURE = 0.5
"""A hip of less confidence deserves a look."""
HIP_COLUMNS = (
    *("scan", "side", "top", "left", "bottom", "right", "confidence", "head_radius_mm"),
    *("usable", "hip_flags", "pose_used", "pose_flags"),
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
        (folder / "boxes.png").write_bytes(_picture_of(self.image, self.boxes))
        text = json.dumps(self.rows, indent=2)
        (folder / "boxes.json").write_text(text + "\n", encoding="utf-8")
        names = ["ct-ap.png", "ct-ap.npz", "pose.json", "boxes.png", "boxes.json"]
        for side, box in self.boxes.items():
            pixels = stretch(rhoa.hips.crop(self.image, box))
            (folder / f"hip-{side}.png").write_bytes(encode_png(pixels))
            names.append(f"hip-{side}.png")
        return names


def hips(options: Namespace) -> Result:
    """Crops of one scan, of every scan in a folder, or of a table of scans."""
    if str(options.scan).lower().endswith(".csv"):
        return _of_table(options)
    if options.each:
        return _of_folder(options)
    request = Request.of(options.pose or AUTO, options.tilt_offset)
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


def _of_folder(options: Namespace) -> Result:
    """Every scan of a folder, a table of their hips, and one page to look at."""
    folder, out = Path(options.scan), Path(options.out)
    request = Request.of(options.pose or AUTO, options.tilt_offset)
    if request.read is not None:
        raise ParameterError(
            "--each looks at many scans, and landmarks are of one: pass --pose auto or force."
        )
    scans, loose = scans_in(folder)
    rows: Rows = []
    rejected: list[tuple[str, str]] = []
    verdicts: Counter[Verdict] = Counter()
    show = bar()

    def entries() -> Iterator[Entry]:
        for done, path in enumerate(scans):
            show(done, len(scans), "finding hips")
            entry, found = _entry(path, out, request, options)
            rows.extend(found)
            rejected.extend((path.name, note) for note in entry.notes if not found)
            verdicts[entry.verdict] += 1
            yield entry
        show(len(scans), len(scans), "finding hips")

    page = write_sheet(out, entries(), title=f"Hips of {len(scans)} scans")
    _write_table(out / "hips.csv", HIP_COLUMNS, rows)
    lines = [f"wrote {page}", f"wrote {out / 'hips.csv'}: {len(rows)} hips"]
    lines += [f"{count} of {len(scans)} scans: {verdict}" for verdict, count in verdicts.items()]
    lines += [f"{name}: {reason}" for name, reason in rejected]
    lines += [f"{loose} loose files beside the scans were not looked at"] if loose else []
    return Result(rows, lines, bool(rejected))


def scans_in(folder: Path) -> tuple[list[Path], int]:
    """Each subfolder and each file that is a whole volume; and how many other files there are.

    Raises
    ------
    ParameterError
        If there is no such folder, or no scan in it.
    """
    if not folder.is_dir():
        raise ParameterError(f"{folder.name}: no such folder; --each takes a folder of scans.")
    inside = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    scans = [path for path in inside if path.is_dir() or whole_volume(path) is not None]
    if not scans:
        raise ParameterError(
            f"{folder.name}: holds no scans, which are folders of DICOM or NIfTI, NRRD or "
            "MetaImage files, one a scan; leave out --each if it is one scan itself."
        )
    return scans, len(inside) - len(scans)


def _entry(path: Path, out: Path, request: Request, options: Namespace) -> tuple[Entry, Rows]:
    """One scan on the sheet, and its rows of the table."""
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always", RhoaWarning)
        try:
            found = find_hips(volume_of(options, path, quiet=True), request, options)
        except RhoaError as error:
            return Entry(path.name, "failed", notes=[str(error)]), []
        found.write(out / path.name)
    notes = [*found.lost, *dict.fromkeys(str(one.message) for one in told)]
    rows = [_listed(path.name, row, found.pelvis) for row in found.rows]
    return _shown(path.name, found, notes), rows


def _listed(name: str, row: dict[str, Any], pelvis: Pelvis) -> dict[str, Any]:
    flags = frozenset() if pelvis.alignment is None else pelvis.alignment.flags
    kept = {column: row[column] for column in HIP_COLUMNS if column in row}
    return {
        "scan": name,
        **kept,
        "hip_flags": " ".join(row["flags"]),
        "pose_used": pelvis.used,
        "pose_flags": " ".join(sorted(flags)),
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
    facts = [] if alignment is None else [("pose", _angles(alignment.angles))]
    facts += [(f"{side} hip", _told(row)) for side, row in rows.items()]
    facts += [("scan", line) for line in str(pelvis.coverage).splitlines()[len(SIDES) :]]
    return Entry(name, verdict, facts, flags, notes, views)


def _angles(angles: tuple[float, float, float]) -> str:
    tilt, obliquity, rotation = angles
    return f"tilt {tilt:+.1f}°, obliquity {obliquity:+.1f}°, rotation {rotation:+.1f}°"


def _told(row: dict[str, Any]) -> str:
    use = "usable" if row["usable"] else "not usable"
    flags = ", ".join(row["flags"]).replace("_", " ")
    head = f"head {row['head_radius_mm']} mm, confidence {row['confidence']:.2f}"
    return f"{head}, {use}" + (f" ({flags})" if flags else "")


def _write_table(file: Path, columns: Sequence[str], rows: Rows) -> None:
    with file.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, columns)
        writer.writeheader()
        writer.writerows(rows)


def _picture_of(image: Radiograph, boxes: Mapping[Side, Box]) -> bytes:
    grey = image.to_uint8()
    for box in boxes.values():
        grey = draw_box(grey, box.top, box.left, box.bottom, box.right)
    return encode_png(grey, pixel_mm=image.pixel_mm[0])

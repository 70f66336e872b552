"""Verbs of CTs: `inspect`, `ctap`, `hips`."""

from __future__ import annotations

import dataclasses
import shlex
import sys
import textwrap
from argparse import Namespace
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import rhoa
from rhoa import cohort, projection
from rhoa.cli.batch import (
    SHEET,
    WrittenPicture,
    captured_warnings,
    drawn_boxes,
    each,
    name_scans,
    pool_of,
    redactor,
    refuse_landmarks,
    scans_in,
    wants_review,
    write_review,
)
from rhoa.cli.common import VerbResult, bar, in_words_of_shell
from rhoa.cli.options import (
    accept_option,
    folder_options,
    join_option,
    repair_option,
    review_options,
    scan_options,
)
from rhoa.errors import ParameterError, PoseError, require_names, warn_user
from rhoa.files import atomic_write, json_text, without_nan
from rhoa.hips.bounding_boxes import SCALINGS
from rhoa.hips.contact_sheet import (
    SheetEntry,
    Verdict,
    frontal,
    lateral,
    marked,
    sheet,
    write_card,
)
from rhoa.pose import Alignment, tilted
from rhoa.pose.alignment import pelvis_angles
from rhoa.pose.scan_coverage import HIP_REFUSALS
from rhoa.reading.decoding import MONO
from rhoa.reading.quality import FEWEST_JUDGED_SLICES, SMALLEST_JUDGED_MM, can_be_judged
from rhoa.tables import TABLES

if TYPE_CHECKING:
    import argparse
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from rhoa import Radiograph, Volume
    from rhoa.cohort import Outcome
    from rhoa.hips import ExtractedHips, HipCrop, LabelledImage
    from rhoa.hips.extraction import PoseOption
    from rhoa.reading.series_index import SeriesSummary


# What ``--pose`` and ``--accept`` ask of the pose of a pelvis, and how its hips are printed.

AUTO, FORCE = "auto", "force"
FOUND = (AUTO, "standing")
"""Poses that are found in the scan."""
REMEDIES = {
    "box_outside_image": "draw its box with --boxes",
    "not_found": "draw its box with --boxes",
    "pose_not_used": "pass --pose landmarks.json, or use the pose all the same with --pose force",
}
NO_PELVIS_REMEDY = "pass a scan that holds the pelvis, or its landmarks with --pose landmarks.json"
OTHER_REMEDY = "--accept {} crops it all the same"


@dataclass(frozen=True, slots=True)
class PoseRequest:
    """A pose as `rhoa.hips.extract` takes it."""

    pose: PoseOption
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
        accepted = names_in(accept) - {MONO}
        accepted = require_names("--accept", accepted, sorted(HIP_REFUSALS), kind="refusals")
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
            remedies = [REMEDIES.get(f, OTHER_REMEDY.format(f)) for f in sorted(hip.hard_flags)]
            if hip.coverage is None:
                remedies = [NO_PELVIS_REMEDY]
            why, what = "; ".join(hip.refusals), "; ".join(dict.fromkeys(remedies))
            lines.append(f"{hip.side} hip not cropped: {why} ({what})")
    return lines


# A CT-AP of one scan.

PREVIEW = "preview.png"
"""The CT-AP for people: windowed, with sides, scale and landmarks."""
IMAGE_SUFFIXES = (".png", ".npz", ".nii", ".nii.gz")
COLUMNS = (
    *("pixels", "pixel_mm", "tilt_deg", "obliquity_deg", "rotation_deg", "black", "white"),
    *("pose", "pose_flags"),
)
OTHER_IMAGE_SUFFIXES = (".tif", ".tiff", ".jpg", ".jpeg", ".bmp", ".gif", ".dcm", ".mha", ".nrrd")


def ctap(options: Namespace) -> VerbResult:
    """A CT-AP, or one of every scan in a folder."""
    options.scan = _one_or_list(options.scan)
    out: Path = options.out
    if out.suffix.lower() in OTHER_IMAGE_SUFFIXES:
        raise ParameterError(
            f"{out.name}: rhoa writes {', '.join(IMAGE_SUFFIXES)}, or all it can into a folder."
        )
    asked = _asked(options)
    alone = out.name.lower().endswith(IMAGE_SUFFIXES)
    if options.each:
        if alone:
            raise ParameterError(f"{out.name}: --each writes many images; name a folder.")
        if asked is not None:
            refuse_landmarks(asked)
        return each(options, partial(_ctap_case, options), table="ct-aps.csv", columns=COLUMNS)
    image, found, _ = _made(options, options.scan, asked)
    if alone:
        out.parent.mkdir(parents=True, exist_ok=True)
        image.save(out)
        files = [out]
    else:
        files = [out / name for name in _written(out, image, found)]
    lines = [] if found is None else ["", *str(found).splitlines(), ""]
    if found is not None and not found.pose_used:
        remedy = NO_PELVIS_REMEDY if found.alignment is None else REMEDIES["pose_not_used"]
        lines.append(f"the pose was not used: {found.note} ({remedy})")
    return VerbResult([_described(image, found)], [*lines, *(f"wrote {f}" for f in files)])


def _asked(options: Namespace) -> PoseRequest | None:
    """What the options ask of the pose; None where the image is to be as scanned."""
    if options.pose is None:
        return None
    return PoseRequest.of(options.pose, options.tilt_offset)


def _made(
    options: Namespace,
    scan: str | Path | list[str],
    asked: PoseRequest | None,
    *,
    quiet: bool = False,
) -> tuple[Radiograph, ExtractedHips | None, Volume | None]:
    """The image; the hips and the volume where a pose is asked for."""
    style = {name: getattr(options, name) for name in ("method", "order", "reduce", "transform")}
    if asked is None:
        from rhoa.reading.reader import SliceSource, open_scan

        if _measured(options):
            raise ParameterError(
                "--depth, --pixel-mm and --tilt-offset are measured in the AP frame: pass --pose."
            )
        source: Volume | SliceSource
        if options.cache is not None:
            source = volume_of(options, scan, quiet=quiet)
        else:  # slices are projected while they are read
            progress = None if quiet else bar()
            source = open_scan(scan, **_reading(options), progress=progress)
            if isinstance(source, SliceSource):
                still = source.outline
                judged = can_be_judged(still.shape, still.spacing_mm)
                _say_reading(source.choice, judged=judged, quiet=quiet)
            else:
                _say_reading("", judged=_unit_judged(source), quiet=quiet)
        image: Radiograph = projection.ctap(
            source, window=_window(options), threads=options.threads, **style
        )
        return image, None, None
    volume = volume_of(options, scan, quiet=quiet)
    found = extracted(volume, asked, options, **style)
    return found.image, found, volume


def _written(folder: Path, image: Radiograph, found: ExtractedHips | None) -> list[str]:
    """The names of the files that were written into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    names = ["ct-ap.png", "ct-ap.npz"]
    for name in names:
        image.save(folder / name)
    alignment = None if found is None else found.alignment
    atomic_write(folder / PREVIEW, marked(frontal(image, alignment, {}, {})))
    names.append(PREVIEW)
    if found is not None:
        names.append("pose.json")
        atomic_write(folder / "pose.json", json_text(found.as_dict()))
    return names


def _ctap_case(options: Namespace, scan: Path, folder: Path) -> dict[str, Any]:
    """One scan of a folder: its files, its row, and its panel of the page."""
    with captured_warnings(redactor(scan, options)) as warned:
        image, found, volume = _made(options, scan, _asked(options), quiet=True)
    _written(folder, image, found)
    alignment = None if found is None else found.alignment
    views, flags, facts = [frontal(image, alignment, {}, {})], list[str](), list[tuple[str, str]]()
    verdict: Verdict = "look" if warned else "fine"
    if found is not None and volume is not None:
        views.append(lateral(volume, alignment, found.joints))
        verdict = verdict if found.pose_used else "not used"
    if alignment is not None:
        flags, facts = sorted(alignment.flags), [("pose", str(pelvis_angles(alignment)))]
    card = write_card(SheetEntry(options.names[scan], verdict, facts, flags, warned, views), folder)
    row = _described(image, found) | {"pose_flags": flags}
    return {"verdict": verdict, "rows": [row], "card": card}


def volume_of(options: Namespace, scan: str | Path | list[str], *, quiet: bool = False) -> Volume:
    """The volume of a scan, read as the options say."""
    progress = None if quiet else bar()
    volume = rhoa.read_ct(scan, **_reading(options), cache=options.cache, progress=progress)
    choice = (volume.report or {}).get("chosen", {}).get("what", "")
    _say_reading(choice, judged=_unit_judged(volume), quiet=quiet)
    return volume


def _reading(options: Namespace) -> dict[str, Any]:
    """How the options ask for a scan to be read."""
    names = ("series", "repair", "join", "max_bytes")
    given = {name: getattr(options, name) for name in names if hasattr(options, name)}
    accepted = names_in(getattr(options, "accept", "")) - set(HIP_REFUSALS)
    return given | ({"accept": accepted} if accepted else {})


def _unit_judged(volume: Volume) -> bool:
    """Whether the reader could tell if values are Hounsfield units."""
    return (volume.report or {}).get("plausible_hu") is not None


def _say_reading(choice: str, *, judged: bool, quiet: bool) -> None:
    """On stderr: which series ``--series auto`` took, and that the unit of values is not judged."""
    if choice and not quiet:
        sys.stderr.write(f"--series auto took {choice}\n")
    if not judged and not quiet:
        sys.stderr.write(
            "Unit of values: not judged. The scan is too small to tell (fewer than "
            f"{FEWEST_JUDGED_SLICES} slices, or less than {SMALLEST_JUDGED_MM:g} mm across): check "
            "that its values are Hounsfield units.\n"
        )


def names_in(words: str | Collection[str]) -> frozenset[str]:
    """The names of an option, which has commas between them."""
    parts = words.split(",") if isinstance(words, str) else words
    return frozenset(part.strip() for part in parts) - {""}


def extracted(
    volume: Volume,
    asked: PoseRequest,
    options: Namespace,
    **style: Any,  # noqa: ANN401  # options of the image
) -> ExtractedHips:
    """The hips of a scan as the options ask for them."""
    found = rhoa.hips.extract(
        volume,
        pose=asked.pose,
        accept=asked.accept,
        tilt_offset_deg=asked.tilt_offset_deg,
        window=_window(options),
        depth=_depth(options.depth),
        pixel_mm=options.pixel_mm,
        threads=options.threads,
        scaling=getattr(options, "scaling", "stretched"),
        **style,
    )
    if not found.pose_used and _measured(options):
        warn_user(
            "--depth, --pixel-mm and --tilt-offset were left out, for they are measured in the AP "
            "frame."
        )
    return found


def _measured(options: Namespace) -> bool:
    """Whether an option needs the AP frame."""
    return (
        options.depth != ["all"] or options.pixel_mm is not None or options.tilt_offset is not None
    )


def _window(options: Namespace) -> tuple[float, float] | None:
    return None if options.window is None else (options.window[0], options.window[1])


def _depth(words: list[str]) -> Any:  # noqa: ANN401  # checked by ctap
    if len(words) == 1:
        return words[0]
    try:
        return tuple(float(word) for word in words)
    except ValueError:
        return tuple(words)


def _described(image: Radiograph, found: ExtractedHips | None) -> dict[str, Any]:
    described: dict[str, Any] = {"pixels": list(image.shape), "pixel_mm": list(image.pixel_mm)}
    if image.alignment is not None:
        angles = pelvis_angles(image.alignment)._asdict()
        described |= {f"{name}_deg": round(value, 2) for name, value in angles.items()}
    described["black"], described["white"] = float(image.pixels.min()), float(image.pixels.max())
    if found is not None:
        described["pose"] = image.provenance["pose"]
    return described


# The hips of one scan, of every scan in a folder, or of a table of scans.

HIP_COLUMNS = (
    *("side", "usable", "refused", "flags", "top", "left", "bottom", "right", "confidence"),
    *("head_radius_mm", "inside_fraction", "joint_fraction", "margin_mm", "metal_cm3", "change"),
    *("pose_used", "pose_flags", "tilt_deg", "obliquity_deg", "rotation_deg", "pixel_mm"),
    *("slice_spacing_mm", "kernel", "scanner"),
)
PRINTED = ("side", "usable", "top", "left", "bottom", "right", "confidence", "flags", "change")
PICTURE = "ct-ap.png"


def hips(options: Namespace) -> VerbResult:
    """Crops of one scan, of every scan in a folder, or of a table of scans."""
    options.scan = _one_or_list(options.scan)
    if Path(str(options.scan)).suffix.lower() in TABLES:
        return _of_table(options)
    if options.describe:
        raise ParameterError("--describe fills columns of a table of scans: pass scans.csv.")
    if options.variants:
        raise ParameterError("--variants go into a manifest, of a table of scans: pass scans.csv.")
    asked = PoseRequest.of(options.pose or AUTO, options.tilt_offset, options.accept)
    if options.each:
        refuse_landmarks(asked)
        return _of_folder(options)
    drawn = drawn_boxes(options, [PICTURE]).get(PICTURE)
    first = options.scan[0] if isinstance(options.scan, list) else options.scan
    scan = Path(first).resolve()
    (called,) = name_scans({scan.name: scan}, options)
    warned: list[str] = []
    try:
        with captured_warnings(redactor(scan, options)) as warned:
            volume = volume_of(options, options.scan)
            found = cropped(volume, asked, options, drawn)
    finally:
        for text in warned:
            warn_user(text)
    files = found.save(options.out)
    refused = not_cropped(found.hips.values())
    lines = ["", *str(found).splitlines(), ""]
    lines += [*refused, *(f"wrote {file}" for file in files)]
    if wants_review(options):
        lines += _review_of_one(called, volume, found, options)
    shown = [{name: row.get(name) for name in PRINTED} for row in found.rows]
    described = [{"scan": called, "failure": "", **_described_hips(found, warned)}]
    return VerbResult(described, lines, rejected=bool(refused), shown=shown)


def _described_hips(found: ExtractedHips, warned: Sequence[str]) -> dict[str, Any]:
    """What JSON says of a scan: its verdict, warnings, pose (`pose.json`) and hips (`hips.csv`)."""
    said = {"verdict": _verdict(found), "warnings": list(warned), "pose": found.as_dict()}
    described: dict[str, Any] = without_nan(said | {"hips": found.rows})
    return described


def cropped(
    volume: Volume, asked: PoseRequest, options: Namespace, drawn: LabelledImage | None = None
) -> ExtractedHips:
    """The hips of a scan; boxes that were ``drawn`` on its picture take the place of those found.

    Raises
    ------
    ManifestError
        If what was drawn does not fit the picture.
    """
    found = extracted(volume, asked, options)
    if not found.pose_used:  # one pixel grid for the picture, its boxes and every table
        found = replace(found, image=found.image.square())
    return found if drawn is None else found.corrected(drawn)


def _of_folder(options: Namespace) -> VerbResult:
    """Every scan of a folder."""
    scans, _ = scans_in(Path(options.scan))
    named = name_scans({scan.name: scan for scan in scans}, options)
    drawn = drawn_boxes(options, [f"{name}/{PICTURE}" for name in named])
    by_scan = {name.rpartition("/")[0]: labelled for name, labelled in drawn.items()}

    def review(found: Sequence[Outcome], shard: str) -> list[str]:
        records = [one.record["picture"] for one in found if "picture" in one.record]
        pictures = [WrittenPicture.from_dict(record) for record in records]
        return write_review(options.out, pictures, options, shard=shard)

    return each(
        options,
        partial(_hips_case, options, by_scan),
        table="hips.csv",
        columns=HIP_COLUMNS,
        settings={name: repr(labelled.boxes) for name, labelled in by_scan.items()},
        review=review if wants_review(options) else None,
        by_scan=True,
    )


def _review_of_one(
    called: str, volume: Volume, found: ExtractedHips, options: Namespace
) -> list[str]:
    """The page of one scan, and its boxes to correct."""
    out: Path = options.out
    entry = _entry(called, volume, found)
    card = write_card(entry, out, place=".")
    atomic_write(out / SHEET, sheet([(entry.verdict, card)], title=f"Hips of {entry.name}"))
    picture = WrittenPicture.of(PICTURE, found.image, found.boxes, found.changes)
    return [f"wrote {out / SHEET}", *write_review(out, [picture], options)]


def _of_table(options: Namespace) -> VerbResult:
    names = (
        *("pose", "series", "repair", "pixel_mm", "tilt_offset", "threads", "each", "window"),
        *("review", "boxes", "shard", "accept", "join"),
    )
    if any(getattr(options, name) for name in names) or options.depth != ["all"]:
        raise ParameterError(
            "a table of scans names its own landmarks, boxes and what it accepts, and is made with "
            "the defaults; leave out --each, --shard, --review, --boxes, --pose, --accept, --join, "
            "--series, --repair, --window, --depth, --pixel-mm, --tilt-offset and --threads."
        )
    pool = pool_of(options)
    key = options.pseudonyms
    pseudonyms = None if key is None else cohort.Pseudonyms.load(key)
    manifest = cohort.build(
        options.scan,
        options.out,
        pseudonyms=pseudonyms,
        describe=options.describe,
        cache=options.cache,
        scaling=options.scaling,
        variants=options.variants,
        pool=pool,
        progress=bar(),
    )
    rejected = options.out / "rejected.csv"
    lines = [f"wrote {options.out / 'manifest.csv'}: {len(manifest)} hips"]
    lines += [f"{count} hips excluded: {why}" for why, count in manifest.excluded.items()]
    rows = [{"manifest": str(options.out / "manifest.csv"), "hips": len(manifest)}]
    return VerbResult(rows, lines, rejected.exists())


def _hips_case(
    options: Namespace, drawn: Mapping[str, LabelledImage], scan: Path, folder: Path
) -> dict[str, Any]:
    """One scan of a folder: its files, its rows, and its panel of the page."""
    asked = PoseRequest.of(options.pose or AUTO, options.tilt_offset, options.accept)
    called = options.names[scan]
    with captured_warnings(redactor(scan, options)) as warned:
        volume = volume_of(options, scan, quiet=True)
        found = cropped(volume, asked, options, drawn.get(called))
    found.save(folder)
    entry = _entry(called, volume, found, warned)
    picture = WrittenPicture.of(f"{called}/{PICTURE}", found.image, found.boxes, found.changes)
    return {
        "picture": picture.as_dict(),
        "verdict": entry.verdict,
        "rows": without_nan(found.rows),
        "described": _described_hips(found, warned),
        "card": write_card(entry, folder),
    }


def _verdict(found: ExtractedHips) -> Verdict:
    """Whether a person is needed."""
    if not found.pose_used:
        return "not used"
    of_pose = frozenset() if found.alignment is None else found.alignment.flags
    hips = found.hips.values()
    flagged = any(hip.flags or not hip.usable for hip in hips)
    return "look" if of_pose or found.coverage.flags or flagged else "fine"


def _entry(
    name: str, volume: Volume, found: ExtractedHips, warned: Sequence[str] = ()
) -> SheetEntry:
    """What the page shows of a scan."""
    flags = [] if found.alignment is None else sorted(found.alignment.flags)
    hips = list(found.hips.values())
    views = (
        frontal(found.image, found.alignment, found.joints, found.boxes),
        lateral(volume, found.alignment, found.joints),
    )
    facts = [
        ("pose" if line.startswith("pose") else "scan", line.removeprefix("pose: "))
        for line in str(replace(found, hips={})).splitlines()
    ]
    facts[1:1] = [(f"{hip.side} hip", str(hip).partition(": ")[2]) for hip in hips]
    crops = [
        (f"{hip.side} hip{', mirrored' if hip.side == 'right' else ''}", f"hip-{hip.side}.png")
        for hip in hips
        if hip.crop is not None
    ]
    return SheetEntry(
        name, _verdict(found), facts, flags, [*not_cropped(hips), *warned], views, crops
    )


# The series of a path: what they are, what becomes of them, and what to type next.

TERMINAL = 98  # columns that a text may take
SHORT_SYNTAX = {
    "Implicit VR Little Endian": "implicit",
    "Explicit VR Little Endian": "explicit",
    "Explicit VR Big Endian": "big endian",
    "Deflated Explicit VR Little Endian": "deflated",
    "RLE Lossless": "RLE",
    "JPEG 2000 Image Compression (Lossless Only)": "JPEG 2000",
    "JPEG 2000 Image Compression": "JPEG 2000 loss",
    "JPEG-LS Lossless Image Compression": "JPEG-LS",
    "JPEG-LS Lossy (Near-Lossless) Image Compression": "JPEG-LS loss",
}


def inspect(options: Namespace) -> VerbResult:
    """The series of a path, what becomes of each and why, and what to type next."""
    from rhoa.reading import inspect as list_series

    options.scan = _one_or_list(options.scan)
    series = list_series(options.scan, repair=options.repair, join=options.join, progress=bar())
    ctap_options = Namespace(**vars(options), accept=None, series=None)
    series = [
        dataclasses.replace(
            summary,
            reason=in_words_of_shell(summary.reason, ctap_options),
            warnings=tuple(in_words_of_shell(text, ctap_options) for text in summary.warnings),
        )
        for summary in series
    ]
    rows = [dataclasses.asdict(summary) for summary in series]
    lines = ["", *(line for summary in series for line in _remarks(summary))]
    lines += [""] * (len(lines) > 1) + [_next_step(series, options.scan)]
    return VerbResult(rows, lines, shown=[_row_of(summary) for summary in series])


def _row_of(series: SeriesSummary) -> dict[str, Any]:
    """A row of the table, in which no cell makes it wider than a terminal."""
    syntaxes = ", ".join(SHORT_SYNTAX.get(name, name) for name in series.syntax.split(", "))
    return {
        "index": series.index,
        "folder": _cut(series.folder, 16) or "-",
        "modality": series.modality[:8] or "-",
        "slices": series.slices,
        "pixels": f"{series.rows}x{series.columns}",
        "spacing_mm": "x".join(f"{step:.3g}" for step in series.spacing_mm or ()) or "-",
        "plane": series.orientation or "-",
        "kernel": _cut(series.kernel, 10) or "-",
        "syntax": _cut(syntaxes, 14) or "-",
        "verdict": series.verdict,
    }


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 2]}.."


def _remarks(series: SeriesSummary) -> list[str]:
    """Why a series is refused, or what to review in it."""
    remarks = [f"refused: {series.reason}"] if series.reason else []
    remarks += [f"warning: {warning}" for warning in series.warnings]
    remarks += [f"part: {series.part}"] if series.part else []
    return [
        textwrap.fill(
            remark,
            width=TERMINAL,
            initial_indent=f"{series.index:>5}  ",
            subsequent_indent=" " * 7,
            break_on_hyphens=False,
        )
        for remark in remarks
    ]


def _one_or_list(paths: list[str]) -> str | list[str]:
    """What a verb is to read: one path, or the list of files of one scan."""
    return paths[0] if len(paths) == 1 else paths


def _next_step(series: Sequence[SeriesSummary], scan: str | list[str]) -> str:
    """The command that makes something of the volume, where there is one."""
    volumes = [summary for summary in series if summary.verdict == "volume"]
    if not volumes:
        return "no series here can be read as a CT volume"
    if isinstance(scan, list):
        return "next: rhoa ctap with the same files, and -o out"
    folders = {summary.folder.split("/")[0] for summary in volumes}
    if 1 < len(folders) == len(volumes) and "." not in folders:
        return (
            f"next: rhoa hips {shlex.quote(scan)} --each -o out   (if each of the {len(folders)} "
            "folders is a scan of its own; else --series auto, or an index)"
        )
    chosen = "" if len(volumes) == 1 else f" --series {volumes[0].index}"
    several = "" if len(volumes) == 1 else f"   (one of the {len(volumes)} volumes, or auto)"
    return f"next: rhoa ctap {shlex.quote(scan)}{chosen} -o out{several}"


def add_inspect(verb: argparse.ArgumentParser) -> None:
    """Options of `rhoa inspect`."""
    verb.set_defaults(run=inspect)
    verb.add_argument(
        "scan",
        nargs="+",
        help="a folder or files of DICOM, or a NIfTI, NRRD or MetaImage file",
    )
    join_option(verb)
    verb.epilog = (
        "A series is a volume where `rhoa ctap` would read it, judged by headers alone: pixels are "
        "not decoded. Exit code 0 also where series are refused, for that is an answer; 1 where "
        "there is no image at all, or a file is damaged. --json has whole UIDs; neither has data "
        "of the patient."
    )
    repair_option(verb)


def add_ctap(verb: argparse.ArgumentParser) -> None:
    """Options of `rhoa ctap`."""
    verb.set_defaults(run=ctap)
    verb.add_argument(
        "scan",
        nargs="+",
        help="a folder or files of CT DICOM, a NIfTI, NRRD or MetaImage file, or a folder of scans "
        "(with --each)",
    )
    verb.add_argument(
        "-o",
        "--out",
        type=Path,
        required=True,
        help="a folder (gets ct-ap.png and ct-ap.npz), or a .png, .npz or .nii.gz file",
    )
    folder_options(verb, "ct-aps.csv")
    scan_options(verb)
    verb.add_argument(
        "--accept",
        metavar="mono",
        default="",
        help="project virtual mono-energetic HU, too; maps of iodine and the like never are",
    )
    verb.add_argument(
        "--method",
        choices=["shear", "reslice"],
        default="shear",
        help="with --pose: shear-warp with cubic splines, one pass (default), or the sum of every "
        "re-sliced coronal slice",
    )
    verb.add_argument(
        "--order", type=int, choices=[1, 3], default=1, help="of reslice: 1 trilinear, 3 cubic"
    )
    verb.add_argument(
        "--reduce",
        choices=["sum", "mean", "max"],
        default="sum",
        help="sum of HU along each ray (default), their mean, or the largest (MIP)",
    )
    verb.add_argument(
        "--transform",
        choices=["hu", "attenuation", "transmission"],
        default="hu",
        help="sum HU (default), X-ray attenuation, or exp(-attenuation); the latter two in a "
        "window of -1000 3071 unless --window says otherwise",
    )


def add_hips(verb: argparse.ArgumentParser) -> None:
    """Options of `rhoa hips`."""
    verb.set_defaults(run=hips)
    verb.add_argument(
        "scan",
        nargs="+",
        help="a CT (a folder, or its files), a folder of scans (with --each), or scans.csv",
    )
    verb.add_argument("-o", "--out", type=Path, required=True, help="folder to write")
    folder_options(verb, "hips.csv", many="--each or scans.csv")
    verb.add_argument(
        "--describe",
        action="store_true",
        help="with scans.csv: the manifest gets scanner, kernel, slice_thickness_mm, year, sex and "
        "age (in bands of ten years) from the DICOM header, where the table says nothing",
    )
    verb.add_argument(
        "--scaling",
        choices=SCALINGS,
        default="stretched",
        help="of crops of CTs: each stretched from its smallest to its largest value (default), or "
        "fixed, of X-ray attenuation with the same black and white in every crop",
    )
    verb.add_argument(
        "--variants",
        action="store_true",
        help="with scans.csv: crop each hip of a CT five more times (window of bone, attenuation, "
        "depth of the hips, tilted 5 deg either way), for training alone to see (rhoa train --set "
        "appearance.variants=0.5)",
    )
    review_options(verb, "the scan's geometry gives")
    scan_options(verb, default=" (default: auto)")
    accept_option(verb)

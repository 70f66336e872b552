"""X-rays of a file or folder: each as a picture, its values, both halves, and its hips."""

from __future__ import annotations

import json
import os
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rhoa.errors import MissingExtraError, RhoaError, RhoaWarning
from rhoa.hips import halves, prepare, read_xray
from rhoa.picture import encode_png
from rhoa.pose.sides import SIDES
from rhoa.progress import bar
from rhoa.reading.bounded import shown
from rhoa.reading.files import list_files
from rhoa.verbs.output import Result
from rhoa.writing import atomic_write, csv_text

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Mapping, Sequence

    from rhoa import Radiograph
    from rhoa.hips import Box, HipDetector
    from rhoa.pose.sides import Side
    from rhoa.verbs.output import Rows

SHORT_SOURCE = {
    "ImagerPixelSpacing / EstimatedRadiographicMagnificationFactor": "Imager / magnification",
}
UNSURE = 0.5
"""A hip of a lower score deserves a look."""
FACTS = ("pixel_mm_from", "photometric", "inverted", "modality_lut", "voi", "sides", "hip")


def xray(options: Namespace) -> Result:
    """One X-ray, or every file of a folder."""
    path, out = Path(options.xray), Path(options.out)
    detector = _detector(options)
    if os.path.isdir(path):  # noqa: PTH112  # Path.is_dir raises where a name is too long
        return _of_folder(path, out, options, detector)
    image, told = _read(path, options)
    files = _write(image, out)
    hips = None if detector is None else detector.detect(image)
    if hips is not None:
        files += _write_hips(image, hips, out)
        told += _doubts(shown(path), image, hips)
    for message in told:
        warnings.warn(message, RhoaWarning, stacklevel=2)
    row = _row(shown(path), image, told, hips)
    return Result([row], [f"wrote {file}" for file in files], shown=[_short(row)])


def _of_folder(folder: Path, out: Path, options: Namespace, detector: HipDetector | None) -> Result:
    files = [file for file in list_files(folder) if _counts(file, out)]
    rows: Rows = []
    rejected: list[tuple[str, str]] = []
    remarks: list[str] = []
    show = bar()
    for done, file in enumerate(files):
        show(done, len(files), "reading X-rays")
        name = file.relative_to(folder).as_posix()
        try:
            image, told = _read(file, options)
            _write(image, out / name)
            hips = None if detector is None else detector.detect(image)
            if hips is not None:
                _write_hips(image, hips, out / name)
                told += _doubts(shown_path(name), image, hips)
        except (RhoaError, MissingExtraError) as error:
            rejected.append((shown_path(name), str(error)))
            rows.append({"file": shown_path(name), "verdict": "refused", "reason": str(error)})
            continue
        rows.append(_row(shown_path(name), image, told, hips))
        remarks += [f"warning: {message}" for message in told]
    show(len(files), len(files), "reading X-rays")
    _write_rejected(rejected, out)
    lines = ["", f"{len(rows) - len(rejected)} of {len(rows)} files read into {out}", *remarks]
    lines += [f"refused: {reason}" for _, reason in rejected]
    return Result(rows, lines, bool(rejected), shown=[_short(row) for row in rows])


def shown_path(name: str) -> str:
    """A path within a folder as one line that prints."""
    return "/".join(shown(part) for part in name.split("/"))


def _counts(file: Path, out: Path) -> bool:
    """Whether a file is one of the user's: neither hidden nor written by this verb."""
    return not file.name.startswith(".") and not file.resolve().is_relative_to(out.resolve())


def _read(path: Path, options: Namespace) -> tuple[Radiograph, list[str]]:
    """The X-ray, and what was noticed on the way."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", RhoaWarning)
        image = read_xray(path, pixel_mm=options.pixel_mm, voi=options.voi, accept=options.accept)
    return image, list(dict.fromkeys(str(one.message) for one in caught))


def _write(image: Radiograph, folder: Path) -> list[Path]:
    """The files that were written into ``folder``."""
    parts = {"xray": image}
    if not image.provenance["hip"]:
        parts |= {f"half-{side}": half for side, half in halves(image).items()}
    folder.mkdir(parents=True, exist_ok=True)
    files = [folder / f"{name}.png" for name in parts]
    for file, part in zip(files, parts.values(), strict=True):
        part.save(file)
    values = folder / "xray.npz"
    image.save(values)
    return [*files, values]


def _detector(options: Namespace) -> HipDetector | None:
    """The one that was asked for; torch is brought in for it alone."""
    if options.detector is None:
        return None
    from rhoa.hips import HipDetector

    return HipDetector.load(options.detector)


def _write_hips(image: Radiograph, hips: Mapping[Side, Box], folder: Path) -> list[Path]:
    """Crops of the hips, and where they are; the files that were written into ``folder``."""
    files = []
    for side in SIDES:
        file = folder / f"hip-{side}.png"
        if side in hips:
            pixel_mm = min(image.pixel_mm)
            atomic_write(file, encode_png(prepare(image, hips[side]), pixel_mm=pixel_mm))
            files.append(file)
        else:
            file.unlink(missing_ok=True)
    places = folder / "boxes.json"
    atomic_write(places, json.dumps(_places(hips), indent=2) + "\n")
    return [*files, places]


def _places(hips: Mapping[Side, Box]) -> Rows:
    """A row for each box, in the pixel edges of ``xray.npz``."""
    return [
        {
            "side": side,
            **{edge: round(getattr(box, edge), 2) for edge in ("top", "left", "bottom", "right")},
            "confidence": round(box.confidence or 0.0, 3),
        }
        for side, box in hips.items()
    ]


def _doubts(name: str, image: Radiograph, hips: Mapping[Side, Box]) -> list[str]:
    alone = image.provenance["hip"]
    sides = [side for side in SIDES if alone in {"", side}]
    lost = [f"{name}: no {side} hip was found; look at it." for side in sides if side not in hips]
    unsure = [
        f"{name}: the {side} hip scores {box.confidence:.2f}; look at its crop."
        for side, box in hips.items()
        if box.confidence is not None and box.confidence < UNSURE
    ]
    return lost + unsure


def _row(
    name: str, image: Radiograph, told: Sequence[str], hips: Mapping[Side, Box] | None
) -> dict[str, Any]:
    facts = {fact: image.provenance[fact] for fact in FACTS}
    alone = facts["hip"]
    return {
        "file": name,
        "pixels": list(image.shape),
        "pixel_mm": [round(step, 6) for step in image.pixel_mm],
        **facts,
        "content_px": image.provenance["content_px"],
        **({} if hips is None else {"hips": _places(hips)}),
        "warnings": list(told),
        "verdict": f"read, {alone} hip alone" if alone else "read",
    }


def _short(row: dict[str, Any]) -> dict[str, Any]:
    """A row of the table."""
    source = row.get("pixel_mm_from")
    return {
        "file": row["file"],
        "pixels": row.get("pixels"),
        "pixel_mm": row.get("pixel_mm"),
        "from": None if source is None else SHORT_SOURCE.get(source, source),
        "photometric": row.get("photometric"),
        "verdict": row["verdict"],
    }


def _write_rejected(rejected: Sequence[tuple[str, str]], out: Path) -> None:
    file = out / "rejected.csv"
    if not rejected:
        file.unlink(missing_ok=True)
        return
    out.mkdir(parents=True, exist_ok=True)
    atomic_write(file, csv_text(("file", "reason"), rejected))

"""X-rays of a file or folder: each as a picture and its values, and both halves of it."""

from __future__ import annotations

import csv
import os
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rhoa.errors import MissingExtraError, RhoaError, RhoaWarning
from rhoa.hips import halves, read_xray
from rhoa.progress import bar
from rhoa.reading.bounded import shown
from rhoa.reading.files import list_files
from rhoa.verbs.output import Result

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Sequence

    from rhoa import Radiograph
    from rhoa.verbs.output import Rows

SHORT_SOURCE = {
    "ImagerPixelSpacing / EstimatedRadiographicMagnificationFactor": "Imager / magnification",
}
FACTS = ("pixel_mm_from", "photometric", "inverted", "modality_lut", "voi", "sides", "hip")


def xray(options: Namespace) -> Result:
    """One X-ray, or every file of a folder."""
    path, out = Path(options.xray), Path(options.out)
    if os.path.isdir(path):  # noqa: PTH112  # Path.is_dir raises where a name is too long
        return _of_folder(path, out, options)
    image, told = _read(path, options)
    for message in told:
        warnings.warn(message, RhoaWarning, stacklevel=2)
    files = _write(image, out)
    row = _row(shown(path), image, told)
    return Result([row], [f"wrote {file}" for file in files], shown=[_short(row)])


def _of_folder(folder: Path, out: Path, options: Namespace) -> Result:
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
        except (RhoaError, MissingExtraError) as error:
            rejected.append((shown_path(name), str(error)))
            rows.append({"file": shown_path(name), "verdict": "refused", "reason": str(error)})
            continue
        rows.append(_row(shown_path(name), image, told))
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


def _row(name: str, image: Radiograph, told: Sequence[str]) -> dict[str, Any]:
    facts = {fact: image.provenance[fact] for fact in FACTS}
    alone = facts["hip"]
    return {
        "file": name,
        "pixels": list(image.shape),
        "pixel_mm": [round(step, 6) for step in image.pixel_mm],
        **facts,
        "content_px": image.provenance["content_px"],
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
    with file.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([("file", "reason"), *rejected])

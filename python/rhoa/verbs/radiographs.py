"""X-rays of a file or folder: each as a picture, its values, both halves, and its hips."""

from __future__ import annotations

import json
import os
import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rhoa.errors import MissingExtraError, ParameterError, RhoaError, RhoaWarning, warn_user
from rhoa.hips import halves, prepare, read_xray, write_crop
from rhoa.hips.corrections import corrected
from rhoa.hips.film import hips_of, require_known, settled
from rhoa.hips.refusals import accepted
from rhoa.hips.sheet import OF_XRAYS, Entry, sheet, write_card
from rhoa.hips.views import film as film_view
from rhoa.pose.sides import SIDES
from rhoa.progress import bar
from rhoa.reading.bounded import shown
from rhoa.reading.files import list_files
from rhoa.verbs.corrections import Picture, drawn_boxes, wants_review, write_review
from rhoa.verbs.folder import SHEET
from rhoa.verbs.output import Result, in_words_of_shell
from rhoa.writing import atomic_write, csv_text

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Mapping, Sequence

    from rhoa import Radiograph
    from rhoa.hips import Box, HipDetector, LabelledImage
    from rhoa.hips.corrections import Correction
    from rhoa.pose.sides import Side
    from rhoa.verbs.output import Rows

SHORT_SOURCE = {
    "ImagerPixelSpacing / EstimatedRadiographicMagnificationFactor": "Imager / magnification",
}
PICTURE = "xray.png"
UNSURE = 0.5
"""A hip of a lower score deserves a look."""
FACTS = (
    "pixel_mm_from",
    "photometric",
    "inverted",
    "modality_lut",
    "voi",
    "sides",
    "hip",
    "hip_from",
)


@dataclass(frozen=True, slots=True, eq=False)
class Film:
    """What became of one X-ray."""

    name: str
    """Of its file, within the folder that was asked for."""
    image: Radiograph | None = None
    hips: Mapping[Side, Box] | None = None
    """None where nobody looked for any."""
    changes: Sequence[Correction] = ()
    told: Sequence[str] = ()
    """What was noticed on the way; of a file that was refused, why."""

    @property
    def row(self) -> dict[str, Any]:
        """All that is known of it, for JSON."""
        if self.image is None:
            return {"file": self.name, "verdict": "refused", "reason": self.told[0]}
        facts = {fact: self.image.provenance[fact] for fact in FACTS}
        alone = hips_of(self.image).alone
        return {
            "file": self.name,
            "pixels": list(self.image.shape),
            "pixel_mm": [round(step, 6) for step in self.image.pixel_mm],
            **facts,
            "content_px": self.image.provenance["content_px"],
            **({} if self.hips is None else {"hips": places(self.hips)}),
            "warnings": list(self.told),
            "verdict": f"read, {alone} hip alone ({facts['hip_from']})" if alone else "read",
        }


@dataclass(frozen=True, slots=True, eq=False)
class Reader:
    """What is asked of every X-ray."""

    options: Namespace
    detector: HipDetector | None
    drawn: Mapping[str, LabelledImage]

    def read(self, path: Path, name: str, folder: Path) -> tuple[Film, list[Path]]:
        """An X-ray, and the files that were written of it into ``folder``."""
        drawn = self.drawn.get(_picture(name, self.options))
        image, told = _read(path, self.options)
        if drawn is not None:
            image = _of_drawn(image, drawn, self.options)
        require_known(image, name.rpartition("/")[2])
        hips = {} if self.detector is None else self.detector.detect(image)
        changes: list[Correction] = []
        if drawn is not None:
            hips, changes = corrected(image, hips, drawn, accept=self.options.accept)
        files = _write(image, folder)
        if self.detector is None and drawn is None:
            return Film(name, image, told=told), files
        files += _write_hips(image, hips, folder)
        told += _doubts(name, image, hips, changes)
        return Film(name, image, hips, changes, told), files


def xray(options: Namespace) -> Result:
    """One X-ray, or every file of a folder."""
    path, out = Path(options.xray), Path(options.out)
    if options.review and options.detector is None and options.boxes is None:
        raise ParameterError(
            "--review shows the boxes of hips: pass --detector RUN, which finds them, or --boxes."
        )
    if os.path.isdir(path):  # noqa: PTH112  # Path.is_dir raises where a name is too long
        return _of_folder(path, out, options)
    name = shown(path)
    reader = Reader(options, _detector(options), drawn_boxes(options, [PICTURE]))
    film, files = reader.read(path, name, out)
    lines = [f"wrote {file}" for file in files]
    if wants_review(options):
        lines += review_films([film], out, options)
    for message in film.told:
        warn_user(message)
    return Result([film.row], lines, shown=[_short(film.row)])


def _of_folder(folder: Path, out: Path, options: Namespace) -> Result:
    files = [file for file in list_files(folder) if _counts(file, out)]
    names = [file.relative_to(folder).as_posix() for file in files]
    known = [_picture(shown_path(name), options) for name in names]
    reader = Reader(options, _detector(options), drawn_boxes(options, known))
    films: list[Film] = []
    show = bar()
    for done, (file, name) in enumerate(zip(files, names, strict=True)):
        show(done, len(files), "reading X-rays")
        try:
            films.append(reader.read(file, shown_path(name), out / name)[0])
        except (RhoaError, MissingExtraError) as error:
            films.append(Film(shown_path(name), told=[in_words_of_shell(error, options)]))
    show(len(files), len(files), "reading X-rays")
    refused = [(film.name, film.told[0]) for film in films if film.image is None]
    _write_rejected(refused, out)
    lines = ["", f"{len(films) - len(refused)} of {len(films)} files read into {out}"]
    lines += [f"warning: {text}" for film in films if film.image is not None for text in film.told]
    lines += [f"refused: {reason}" for _, reason in refused]
    if wants_review(options):
        lines += review_films(films, out, options)
    rows = [film.row for film in films]
    return Result(rows, lines, bool(refused), shown=[_short(row) for row in rows])


def _picture(name: str, options: Namespace) -> str:
    """What the table of boxes calls the picture of an X-ray."""
    return f"{name}/{PICTURE}" if os.path.isdir(options.xray) else PICTURE  # noqa: PTH112  # as above


def review_films(films: Sequence[Film], out: Path, options: Namespace) -> list[str]:
    """Write the page of X-rays and their boxes to correct; what there is to say of it."""
    alone = not os.path.isdir(options.xray)  # noqa: PTH112  # as above
    cards, pictures = [], []
    for film in films:
        entry = _entry(film)
        folder = out if alone or film.image is None else out / film.name
        cards.append((entry.verdict, write_card(entry, folder, place="." if alone else None)))
        if film.image is not None:
            name = _picture(film.name, options)
            pictures.append(Picture.of(name, film.image, film.hips or {}, film.changes))
    page = out / SHEET
    title = f"Hips of {len(films)} X-rays"
    atomic_write(page, sheet(cards, title=title, legend=OF_XRAYS, what="X-rays"))
    return [f"wrote {page}", *write_review(out, pictures, options)]


def _entry(film: Film) -> Entry:
    if film.image is None:
        return Entry(film.name, "failed", notes=film.told)
    hips, changes = film.hips or {}, {one.side: one.change for one in film.changes}
    facts = [
        (
            f"{side} hip",
            f"{changes[side]} by hand"
            if side in changes
            else f"score {hips[side].confidence or 0:.2f}"
            if side in hips
            else "none",
        )
        for side in SIDES
    ]
    view = film_view(film.image, hips)
    return Entry(film.name, "look" if film.told else "fine", facts, (), film.told, [view])


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
        image = read_xray(
            path,
            pixel_mm=options.pixel_mm,
            side=options.side,
            voi=options.voi,
            accept=options.accept,
        )
    return image, list(dict.fromkeys(in_words_of_shell(one.message, options) for one in caught))


def _of_drawn(image: Radiograph, drawn: LabelledImage, options: Namespace) -> Radiograph:
    """The X-ray, which shows the hips that somebody drew on it where nothing else tells."""
    named = {box.side: "its drawn box" for box in drawn.boxes}
    hips = settled(image, named, accept=accepted(options.accept))
    shows = "" if hips.shows == "both" else hips.shows
    told = dict(image.provenance) | {"hip": shows, "hip_from": hips.source}
    return replace(image, provenance=told)


def _write(image: Radiograph, folder: Path) -> list[Path]:
    """The files that were written into ``folder``."""
    parts = {"xray": image}
    if hips_of(image).shows == "both":
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
            write_crop(file, prepare(image, hips[side]), hips[side], image, source="xray")
            files.append(file)
        else:
            file.unlink(missing_ok=True)
    file = folder / "boxes.json"
    atomic_write(file, json.dumps(places(hips), indent=2) + "\n")
    return [*files, file]


def places(hips: Mapping[Side, Box]) -> Rows:
    """A row for each box, in the pixel edges of ``xray.npz``."""
    return [
        {
            "side": side,
            **{edge: round(getattr(box, edge), 2) for edge in ("top", "left", "bottom", "right")},
            "confidence": None if box.confidence is None else round(box.confidence, 3),
        }
        for side, box in hips.items()
    ]


def _doubts(
    name: str, image: Radiograph, hips: Mapping[Side, Box], changes: Sequence[Correction]
) -> list[str]:
    alone = hips_of(image).alone
    looked_at = {one.side for one in changes}
    sides = [side for side in SIDES if alone in {None, side} and side not in looked_at]
    lost = [f"{name}: no {side} hip was found; look at it." for side in sides if side not in hips]
    unsure = [
        f"{name}: the {side} hip scores {box.confidence:.2f}; look at its crop."
        for side, box in hips.items()
        if box.confidence is not None and box.confidence < UNSURE
    ]
    return lost + unsure


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

"""Verbs of X-rays: `xray`, `detector`."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rhoa._types import SIDES
from rhoa.cli.batch import (
    SHEET,
    WrittenPicture,
    captured_warnings,
    drawn_boxes,
    wants_review,
    write_review,
)
from rhoa.cli.common import VerbResult, bar, in_words_of_shell
from rhoa.cli.options import detector_options, review_options, side_option
from rhoa.dicom.header import elements_of
from rhoa.errors import MissingExtraError, ParameterError, RhoaError, ViewError, warn_user
from rhoa.files import atomic_write, csv_text, list_files, shown
from rhoa.hips import as_examples, extract_xray, halves, read_examples, read_xray
from rhoa.hips.annotations import read_labels, subjects_of
from rhoa.hips.contact_sheet import OF_XRAYS, SheetEntry, sheet, write_card
from rhoa.hips.contact_sheet import film as film_view
from rhoa.xray.refusals import REFUSALS, hips_of, require_known

if TYPE_CHECKING:
    import argparse
    from argparse import Namespace
    from collections.abc import Iterator, Mapping, Sequence

    from rhoa import Radiograph
    from rhoa._types import Side
    from rhoa.hips import Box, DetectorOptions, Example, HipDetector, LabelledImage, XrayHips
    from rhoa.hips.annotations import Correction


# X-rays of a file or folder: each as a picture, its values, both halves, and its hips.

SHORT_SOURCE = {
    "ImagerPixelSpacing / EstimatedRadiographicMagnificationFactor": "Imager / magnification",
}
PICTURE = "xray.png"
SECTIONAL = {"CT", "MR", "PT", "NM"}
"""Modalities of stacks of slices."""
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
    hips: XrayHips | None = None
    """None where nobody looked for any."""
    notes: Sequence[str] = ()
    """What was noticed on the way; of a file that was refused, why."""

    @property
    def boxes(self) -> Mapping[Side, Box]:
        """Of its hips; empty where nobody looked for any."""
        return {} if self.hips is None else self.hips.boxes

    @property
    def changes(self) -> Sequence[Correction]:
        """Boxes that a person changed."""
        return () if self.hips is None else self.hips.changes

    @property
    def row(self) -> dict[str, Any]:
        """All that is known of it, for JSON."""
        if self.image is None:
            return {"file": self.name, "verdict": "refused", "reason": self.notes[0]}
        facts = {fact: self.image.provenance[fact] for fact in FACTS}
        alone = hips_of(self.image).alone
        return {
            "file": self.name,
            "pixels": list(self.image.shape),
            "pixel_mm": [round(step, 6) for step in self.image.pixel_mm],
            **facts,
            "content_px": self.image.provenance["content_px"],
            **({} if self.hips is None else {"hips": self.hips.rows}),
            "warnings": list(self.notes),
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
        options = self.options
        drawn = self.drawn.get(_picture(name, options))
        with captured_warnings(lambda text: in_words_of_shell(text, options)) as notes:
            image = read_xray(
                path,
                pixel_mm=options.pixel_mm,
                side=options.side,
                voi=options.voi,
                accept=options.accept,
            )
        if self.detector is None and drawn is None:
            require_known(image, name.rpartition("/")[2])
            return Film(name, image, notes=notes), _write(image, folder)
        hips = extract_xray(
            image,
            detector=self.detector,
            drawn=drawn,
            accept=options.accept,
            name=name.rpartition("/")[2],
        )
        notes += [f"{name}: no {side} hip was found; review the picture." for side in hips.missing]
        notes += [
            f"{name}: the {side} hip scores {hips.boxes[side].confidence:.2f}; review its crop."
            for side in hips.unsure
        ]
        return Film(name, hips.image, hips, notes), _write(hips.image, folder) + hips.save(folder)


def xray(options: Namespace) -> VerbResult:
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
    for message in film.notes:
        warn_user(message)
    return VerbResult([film.row], lines, shown=[_short(film.row)])


def _of_folder(folder: Path, out: Path, options: Namespace) -> VerbResult:
    files = [
        file
        for file in list_files(folder)
        if not file.name.startswith(".") and not file.resolve().is_relative_to(out.resolve())
    ]
    # Ends at the first X-ray: only a folder of slices alone is read to its end.
    modalities: list[str] = []
    for found in elements_of(files, ["Modality"]):
        modalities.append(str(found.get("Modality")))
        if modalities[-1] not in SECTIONAL:
            break
    if modalities and set(modalities) <= SECTIONAL:
        raise ViewError(
            f"this folder's {len(modalities)} DICOM files are "
            f"{', '.join(sorted(set(modalities)))}, no X-rays; rhoa hips finds the hips of a CT, "
            "rhoa inspect says what else is there."
        )
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
            films.append(Film(shown_path(name), notes=[in_words_of_shell(error, options)]))
    show(len(files), len(files), "reading X-rays")
    refused = [(film.name, film.notes[0]) for film in films if film.image is None]
    rejected = out / "rejected.csv"
    if refused:
        out.mkdir(parents=True, exist_ok=True)
        atomic_write(rejected, csv_text(("file", "reason"), refused))
    else:
        rejected.unlink(missing_ok=True)
    lines = ["", f"{len(films) - len(refused)} of {len(films)} files read into {out}"]
    lines += [f"warning: {text}" for film in films if film.image is not None for text in film.notes]
    kinds: dict[str, list[str]] = {}
    for _, reason in refused:
        kinds.setdefault(reason.partition(": ")[2], []).append(reason)
    lines += [
        f"refused: {of[0]}" + (f" ({len(of) - 1} more for this; {rejected.name})" if of[1:] else "")
        for of in kinds.values()
    ]
    if wants_review(options):
        lines += review_films(films, out, options)
    rows = [film.row for film in films]
    return VerbResult(rows, lines, bool(refused), shown=[_short(row) for row in rows])


def _picture(name: str, options: Namespace) -> str:
    """What the table of boxes calls the picture of an X-ray."""
    return f"{name}/{PICTURE}" if os.path.isdir(options.xray) else PICTURE  # noqa: PTH112  # as above


def review_films(films: Sequence[Film], out: Path, options: Namespace) -> list[str]:
    """Write the page of X-rays and their boxes to correct; what there is to say of it."""
    alone = not os.path.isdir(options.xray)  # noqa: PTH112  # as above
    panels, pictures = [], []
    for film in films:
        entry = _entry(film)
        folder = out if alone or film.image is None else out / film.name
        panels.append((entry.verdict, write_card(entry, folder, place="." if alone else None)))
        if film.image is not None:
            name = _picture(film.name, options)
            pictures.append(WrittenPicture.of(name, film.image, film.boxes, film.changes))
    page = out / SHEET
    title = f"Hips of {len(films)} X-rays"
    atomic_write(page, sheet(panels, title=title, legend=OF_XRAYS, what="X-rays"))
    return [f"wrote {page}", *write_review(out, pictures, options)]


def _entry(film: Film) -> SheetEntry:
    if film.image is None:
        return SheetEntry(film.name, "failed", notes=film.notes)
    hips, changes = film.boxes, {one.side: one.change for one in film.changes}
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
    return SheetEntry(film.name, "look" if film.notes else "fine", facts, (), film.notes, [view])


def shown_path(name: str) -> str:
    """A path within a folder as one line that prints."""
    return "/".join(shown(part) for part in name.split("/"))


def _write(image: Radiograph, folder: Path) -> list[Path]:
    """The files that were written into ``folder``."""
    images = {"xray": image}
    if hips_of(image).shows == "both":
        images |= {f"half-{side}": half for side, half in halves(image).items()}
    folder.mkdir(parents=True, exist_ok=True)
    files = [folder / f"{name}.png" for name in images]
    for file, one in zip(files, images.values(), strict=True):
        one.save(file)
    values = folder / "xray.npz"
    image.save(values)
    return [*files, values]


def _detector(options: Namespace) -> HipDetector | None:
    """The one that was asked for; torch is brought in for it alone."""
    if options.detector is None:
        return None
    from rhoa.hips import HipDetector

    return HipDetector.load(options.detector)


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


# A hip detector, trained on boxes that people drew or corrected, or on digital pelves.

MEASURED = ("average_precision", "f1", "precision", "recall", "iou_mean", "iou_sd")


def detector(options: Namespace) -> VerbResult:
    """Train a hip detector, measure it on the subjects that were held out, and save it."""
    from rhoa.hips import DetectorOptions, train_detector

    if not options.labels and not options.phantoms:
        raise ParameterError(
            "there is nothing to learn from: pass files of boxes (COCO JSON, boxes.csv of "
            "--review, or a table of MATLAB), or --phantoms N for digital pelves."
        )
    of_files = {"--subjects": options.subjects, "--images": options.images}
    for flag, given in of_files.items():
        if given is not None and not options.labels:
            raise ParameterError(f"{flag} is for files of boxes; pass some, or leave it out.")
    if options.hip_class and not any(file.suffix.lower() == ".json" for file in options.labels):
        raise ParameterError(
            "--hip-class is for COCO JSON; boxes.csv and tables of MATLAB hold hips alone; "
            "leave it out."
        )
    asked = {
        name: getattr(options, name)
        for name in ("backbone", "image_size", "epochs", "batch", "learning_rate", "test_share")
        if getattr(options, name) is not None
    }
    settings = DetectorOptions(**asked)
    examples = [*_drawn(options, settings), *_phantoms(options, settings)]
    made = train_detector(
        examples,
        settings,
        weights=options.weights,
        seed=options.seed,
        device=options.device,
        progress=bar(),
    )
    folder = made.save(options.out)
    halves_used, test = made.notes["halves"], made.notes["test"]
    row: dict[str, Any] = {
        "backbone": made.architecture.backbone,
        "trained on": halves_used["train"],
        "held out": halves_used["test"],
    }
    row |= {
        name.replace("_", " "): None if test[name] is None else round(test[name], 3)
        for name in MEASURED
    }
    lines = [f"wrote {folder}", f"find hips with it: rhoa xray FILMS -o OUT --detector {folder}"]
    return VerbResult([row], lines)


def _drawn(options: Namespace, settings: DetectorOptions) -> Iterator[Example]:
    """The halves of the labelled pictures, grouped by subject."""
    for path in options.labels:
        labelled = read_labels(
            path, folder=options.images, shows=options.shows, hip_class=options.hip_class
        )
        groups = None if options.subjects is None else subjects_of(labelled, options.subjects)
        yield from read_examples(
            labelled, image_size=settings.side_px, groups=groups, accept=options.accept
        )


def _phantoms(options: Namespace, settings: DetectorOptions) -> Iterator[Example]:
    """The halves of X-rays and CT-APs of digital subjects."""
    from rhoa.phantom import phantom_labels
    from rhoa.phantom.export import KINDS

    show, total = bar(), len(KINDS) * options.phantoms
    for number, kind in enumerate(KINDS):
        made = phantom_labels(options.phantoms, seed=options.seed, kind=kind)
        for done, label in enumerate(made, number * options.phantoms + 1):
            show(done, total, "making digital pelves")
            yield from as_examples(
                label.radiograph,
                label.boxes.values(),
                image_size=settings.side_px,
                group=label.subject,
            )


def add_xray(verb: argparse.ArgumentParser) -> None:
    """Options of `rhoa xray`."""
    verb.set_defaults(run=xray)
    verb.add_argument("xray", help="a DICOM, PNG, TIFF or JPEG file, or a folder of them")
    verb.add_argument(
        "-o",
        "--out",
        type=Path,
        required=True,
        help="folder to write: xray.png, xray.npz and, of films of both hips, half-left.png and "
        "half-right.png (mirrored); of a folder, a subfolder for each file, and rejected.csv",
    )
    verb.add_argument(
        "--pixel-mm",
        type=_millimetres,
        metavar="MM|file",
        help="pixel size; pictures need it: file trusts the resolution that a picture states",
    )
    verb.add_argument(
        "--detector",
        type=Path,
        metavar="RUN",
        help="folder of a trained hip detector: also writes hip-left.png and hip-right.png "
        "(mirrored) and boxes.json, with scores (extra train)",
    )
    review_options(verb, "the detector finds; without --detector every box is listed as added")
    verb.add_argument(
        "--voi", action="store_true", help="apply the file's VOI LUT or window, as viewers do"
    )
    verb.add_argument(
        "--accept",
        metavar="NAME,...",
        default="",
        help=f"refusals to overrule: {', '.join(REFUSALS)}",
    )
    side_option(verb)


def add_detector(verb: argparse.ArgumentParser) -> None:
    """Options of `rhoa detector`."""
    verb.set_defaults(run=detector)
    detector_options(verb)


def _millimetres(text: str) -> float | str:
    return text if text == "file" else float(text)

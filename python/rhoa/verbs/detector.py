"""A hip detector, trained on boxes that people drew or corrected, or on digital pelves."""

from __future__ import annotations

import csv
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from rhoa.cohort.tables import open_table
from rhoa.errors import ManifestError, ParameterError
from rhoa.hips import LabelledImage, as_examples, read_coco, read_examples, read_matlab
from rhoa.hips.corrections import read_boxes
from rhoa.progress import bar
from rhoa.reading.bounded import shown
from rhoa.verbs.output import Result

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from rhoa.hips import DetectorOptions, Example, HipDetector

MEASURED = ("average_precision", "f1", "precision", "recall", "iou_mean", "iou_sd")


def detector(options: Namespace) -> Result:
    """Train a hip detector, measure it on the subjects that were held out, and save it."""
    from rhoa.hips import DetectorOptions, train_detector

    if not options.labels and not options.phantoms:
        raise ParameterError(
            "there is nothing to learn from: pass files of boxes (COCO JSON, boxes.csv of "
            "--review, or a table of MATLAB), or --phantoms N for digital pelves."
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
    row = _row(made)
    lines = [f"wrote {folder}", f"find hips with it: rhoa xray FILMS -o OUT --detector {folder}"]
    return Result([row], lines)


def _drawn(options: Namespace, settings: DetectorOptions) -> Iterator[Example]:
    """The halves of the labelled pictures, grouped by subject."""
    owners = None if options.subjects is None else _owners(options.subjects)
    for path in options.labels:
        labelled = _labelled(path, options)
        groups = None if owners is None else _groups(labelled, owners, options.subjects)
        yield from read_examples(
            labelled, image_size=settings.side_px, groups=groups, accept=options.accept
        )


def _owners(path: Path) -> dict[Path, str]:
    """The subject of each picture, as a table with the columns image and subject tells."""
    table = open_table(path)
    columns = table.require(("image", "subject"), "a row names a picture and whose it is")
    owners: dict[Path, str] = {}
    for row in table.rows(columns):
        where = f"{shown(path)}, {row.where}"
        image, subject = (row.cells[column].text for column in columns)
        if not image or not subject:
            raise ManifestError(f"{where}: image or subject is empty; name both.")
        if owners.setdefault((path.parent / image).resolve(), subject) != subject:
            raise ManifestError(f"{where}: the picture has another subject above.")
    return owners


def _groups(labelled: list[LabelledImage], owners: Mapping[Path, str], path: Path) -> list[str]:
    """The subject of each labelled picture; none may be missing."""
    absent = [image.path for image in labelled if image.path.resolve() not in owners]
    if absent:
        raise ManifestError(
            f"{shown(path)}: {len(absent)} of {len(labelled)} labelled pictures have no subject, "
            f"{shown(absent[0])} first; list every picture, by its path from this table's folder."
        )
    return [owners[image.path.resolve()] for image in labelled]


def _labelled(path: Path, options: Namespace) -> list[LabelledImage]:
    """The pictures of a file of boxes, whichever of the three kinds it is."""
    if path.suffix.lower() == ".json":
        return read_coco(path, shows=options.shows)
    if _first_column(path) == "imagefilename":
        return read_matlab(path, shows=options.shows)
    if options.shows != "pelvis":
        raise ParameterError(f"{path.name}: boxes.csv is of whole pictures; leave out --shows.")
    return [
        replace(image, path=path.parent / image.path) for image in read_boxes(path, None).values()
    ]


def _first_column(path: Path) -> str:
    """The name of the first column of a CSV; empty where it cannot be read: its reader tells."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            return next(csv.reader(file), [""])[0].strip().casefold()
    except (OSError, UnicodeDecodeError, csv.Error, IndexError):
        return ""


def _phantoms(options: Namespace, settings: DetectorOptions) -> Iterator[Example]:
    """The halves of X-rays and CT-APs of digital subjects."""
    from rhoa.phantom import phantom_labels
    from rhoa.phantom.labels import KINDS

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


def _row(made: HipDetector) -> dict[str, Any]:
    """What was learnt from, and what the held-out halves gave."""
    halves, test = made.notes["halves"], made.notes["test"]
    row: dict[str, Any] = {
        "backbone": made.architecture.backbone,
        "trained on": halves["train"],
        "held out": halves["test"],
    }
    return row | {
        name.replace("_", " "): None if test[name] is None else round(test[name], 3)
        for name in MEASURED
    }

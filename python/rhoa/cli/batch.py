"""Every scan of a folder, side by side, with a table and a page; boxes that people correct."""

from __future__ import annotations

import contextlib
import os
import warnings
from collections import Counter
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

import rhoa
from rhoa.cli.common import VerbResult, bar, in_words_of_shell, write_table
from rhoa.cohort import Case, Pool, Pseudonyms, dask, processes, run_cases
from rhoa.cohort.batch import key_of
from rhoa.cohort.pseudonyms import redact
from rhoa.errors import MissingFileError, ParameterError, ReadError, RhoaWarning
from rhoa.files import atomic_write
from rhoa.hips import Box, LabelledImage, write_coco
from rhoa.hips.annotations import CORRECTION_COLUMNS, boxes_table, in_picture, read_boxes
from rhoa.hips.contact_sheet import SheetEntry, sheet, write_card
from rhoa.reading import whole_volume

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

    from rhoa import Radiograph
    from rhoa._types import Side
    from rhoa.cli.ct import PoseRequest
    from rhoa.cohort import Outcome
    from rhoa.cohort.batch import Work
    from rhoa.hips.annotations import Correction
    from rhoa.hips.contact_sheet import Verdict

    Review = Callable[[Sequence[Outcome], str], list[str]]  # found, suffix of the shard


# Every scan of a folder: side by side, each once, with a table and a page of them all.

ELSEWHERE = frozenset(
    {"run", "verb", "json", "out", "scan", "scans", "each", "workers", "scheduler", "shard"}
    | {"threads", "review", "boxes", "pseudonyms", "names", "cache"}
)
"""Options that do not change what is computed of a scan."""
SHEET = "contact-sheet.html"


class ScanJob(NamedTuple):
    """A scan, and its settings beside those of all."""

    path: Path
    settings: object = None


def each(
    options: Namespace,
    work: Work,
    *,
    table: str,
    columns: Sequence[str],
    settings: Mapping[str, object] = MappingProxyType({}),
    review: Review | None = None,
    by_scan: bool = False,
) -> VerbResult:
    """Do every scan of a folder; write a table of their rows and a page to look at.

    ``work`` returns ``{"verdict": ..., "rows": [...], "card": ...}`` of one scan. ``settings`` are
    those of single scans, by their names; ``review`` writes what else belongs beside the page and
    returns lines to print. With ``by_scan`` JSON has an object a scan, with what ``work`` returned
    as ``"described"``; without it, one a row.
    """
    scans, loose = scans_in(Path(options.scan))
    named = name_scans({path.name: path for path in scans}, options)
    jobs = {name: ScanJob(path, settings.get(name)) for name, path in named.items()}
    result = each_of(
        jobs, options, work, table=table, columns=columns, review=review, by_scan=by_scan
    )
    lines = [f"{loose} other files beside the scans were not looked at"] if loose else []
    return replace(result, lines=[*result.lines, *lines])


def each_of(
    scans: Mapping[str, ScanJob],
    options: Namespace,
    work: Work,
    *,
    table: str,
    columns: Sequence[str],
    review: Review | None = None,
    by_scan: bool = False,
) -> VerbResult:
    """Do every one of these scans, each in a folder of its name; see `each`."""
    out = Path(options.out)
    names = list(scans)
    if options.shard is not None:
        number, count = options.shard
        names = names[number - 1 :: count]
    # Files that an option names count with what they hold.
    shared = {name: value for name, value in vars(options).items() if name not in ELSEWHERE}
    shared = {"rhoa": rhoa.__version__, "verb": options.verb, **shared}
    cases = []
    for name in names:
        path, settings = scans[name]
        own = {} if settings is None else {"own": settings}
        cases.append(Case(name, path, key_of(shared | own, path)))
    found = []
    for one in run_cases(work, cases, out, pool=pool_of(options), progress=bar()):
        redact = redactor(scans[one.name].path, options)
        failure = in_words_of_shell(redact(one.failure), options) if one.failure else ""
        found.append(replace(one, failure=failure) if failure else one)
    rows = [{"scan": one.name, **row} for one in found for row in one.record.get("rows", ())]
    failures = [one for one in found if one.failure]
    shard = "" if options.shard is None else "-{}-of-{}".format(*options.shard)
    table_file, page, rejected_file = (
        out / f"{Path(name).stem}{shard}{Path(name).suffix}"
        for name in (table, SHEET, "rejected.csv")
    )
    write_table(table_file, ("scan", *columns), rows)
    panels: list[tuple[Verdict, str]] = []
    for one in found:
        if one.failure:
            entry = SheetEntry(one.name, "failed", notes=[one.failure])
            panels.append(("failed", write_card(entry, ".")))
        else:
            panels.append((one.record["verdict"], one.record["card"]))
    atomic_write(page, sheet(panels, title=f"{len(found)} scans"))
    if failures:
        reasons = [{"scan": one.name, "reason": one.failure} for one in failures]
        write_table(rejected_file, ("scan", "reason"), reasons)
    else:
        rejected_file.unlink(missing_ok=True)
    lines = [f"wrote {table_file}: {len(rows)} rows", f"wrote {page}"]
    lines += review(found, shard) if review is not None else []
    verdicts = Counter(str(one.record.get("verdict", "failed")) for one in found)
    lines += [f"{count} of {len(found)} scans: {verdict}" for verdict, count in verdicts.items()]
    if earlier := sum(one.earlier for one in found):
        lines.append(f"{earlier} of them were done before")
    lines += [f"{one.name}: {one.failure}" for one in failures]
    refused = [row for row in rows if row.get("refused")]
    lines += [f"{row['scan']}: {row['side']} hip has no crop: {row['refused']}" for row in refused]
    rejected = bool(failures or refused)
    if not by_scan:
        return VerbResult(rows, lines, rejected)
    described = [
        {"scan": one.name, "failure": one.failure, **one.record.get("described", {})}
        for one in found
    ]
    return VerbResult(described, lines, rejected, shown=rows)


def name_scans(scans: Mapping[str, Path], options: Namespace) -> dict[str, Path]:
    """The scans by what they are called: their own names, or pseudonyms where those are asked for.

    Raises
    ------
    ParameterError
        If the key of the pseudonyms cannot be read, or gives two scans one pseudonym.
    """
    scans = {_legible(name): path for name, path in scans.items()}
    if options.pseudonyms is not None:
        names, count = Pseudonyms.load(options.pseudonyms), len(scans)
        scans = {names.of_scan(path, name): path for name, path in scans.items()}
        if len(scans) < count:
            raise ParameterError(
                "two scans of one patient, or of nobody, would have one pseudonym: rename a folder."
            )
    options.names = {path: name for name, path in scans.items()}
    return dict(scans)


def _legible(name: str) -> str:
    """A file's name as text: bytes that are no UTF-8 are read as Latin-1."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return os.fsencode(name).decode("latin-1")
    return name


def redactor(scan: Path, options: Namespace) -> Callable[[str], str]:
    """A function that takes a scan's names out of a message, where the scan has a pseudonym."""
    if options.pseudonyms is None:
        return str
    return partial(redact, path=scan, name=options.names[scan])


def refuse_landmarks(request: PoseRequest) -> None:
    """Landmarks are of one scan.

    Raises
    ------
    ParameterError
        If some were given.
    """
    if request.of_one_scan:
        raise ParameterError(
            "--each takes many scans, and landmarks are of one: pass --pose auto, standing or "
            "force."
        )


@contextlib.contextmanager
def captured_warnings(redact: Callable[[str], str] = str) -> Iterator[list[str]]:
    """The texts of the warnings that are given meanwhile, each once, as ``redact`` leaves them."""
    texts: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", RhoaWarning)
        try:
            yield texts
        finally:
            texts += dict.fromkeys(redact(str(one.message)) for one in caught)


def scans_in(folder: Path) -> tuple[list[Path], int]:
    """Each subfolder and each file that is a whole volume; and how many other files there are.

    Raises
    ------
    MissingFileError
        If there is no such folder.
    ReadError
        If there is no scan in it.
    """
    if not folder.is_dir():
        raise MissingFileError(f"{folder.name}: no such folder; --each takes a folder of scans.")
    inside = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    scans = [path for path in inside if path.is_dir() or whole_volume(path) is not None]
    if not scans:
        raise ReadError(
            f"{folder.name}: holds no scans, which are folders of DICOM or NIfTI, NRRD or "
            "MetaImage files, one a scan; leave out --each if it is one scan itself."
        )
    return scans, len(inside) - len(scans)


def pool_of(options: Namespace) -> Pool | None:
    """Where scans are done, as the options say; None for this process."""
    if options.scheduler:
        return dask(options.scheduler)
    return processes(options.workers) if options.workers > 1 else None


# Hip boxes that people correct: `--review` writes them beside the page, `--boxes` takes them.

TABLE, COCO, CORRECTIONS = "boxes.csv", "boxes.coco.json", "corrections.csv"


@dataclass(frozen=True, slots=True)
class WrittenPicture:
    """A picture that was written, its boxes in its own pixel edges, and what was corrected."""

    labelled: LabelledImage
    changes: Sequence[Mapping[str, object]] = ()

    @classmethod
    def of(
        cls,
        name: str,
        image: Radiograph,
        boxes: Mapping[Side, Box],
        changes: Iterable[Correction] = (),
    ) -> WrittenPicture:
        """The picture ``name`` of an image."""
        drawn = in_picture(image, boxes.values())
        labelled = LabelledImage(Path(name), drawn, image.square().shape)
        return cls(labelled, [change.as_dict() for change in changes])

    def as_dict(self) -> dict[str, Any]:
        """Plain types, as `from_dict` takes them."""
        boxes = [
            [box.side, box.top, box.left, box.bottom, box.right, box.confidence]
            for box in self.labelled.boxes
        ]
        name, shape = self.labelled.path.as_posix(), self.labelled.shape
        return {"image": name, "shape": shape, "boxes": boxes, "changes": list(self.changes)}

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> WrittenPicture:
        """The picture that `as_dict` made plain."""
        rows, columns = record["shape"]
        boxes = tuple(Box(*box) for box in record["boxes"])
        return cls(LabelledImage(Path(record["image"]), boxes, (rows, columns)), record["changes"])


def drawn_boxes(options: Namespace, names: Collection[str]) -> dict[str, LabelledImage]:
    """What ``--boxes`` gives, by the pictures' names; nothing without it.

    Raises
    ------
    ManifestError
        With the line, if the file names none of ``names``, or holds what is no box.
    """
    return {} if options.boxes is None else read_boxes(options.boxes, names)


def wants_review(options: Namespace) -> bool:
    """Whether boxes and page are to be written."""
    return bool(options.review) or options.boxes is not None


def write_review(
    out: Path, pictures: Sequence[WrittenPicture], options: Namespace, *, shard: str = ""
) -> list[str]:
    """Write the boxes as CSV and COCO, and what was corrected; what there is to say of it."""
    table, coco, corrections = (
        out / f"{name.partition('.')[0]}{shard}.{name.partition('.')[2]}"
        for name in (TABLE, COCO, CORRECTIONS)
    )
    labelled = [picture.labelled for picture in pictures]
    atomic_write(table, boxes_table(labelled))
    write_coco(labelled, coco)
    remedy = f"correct one of them, and cut the crops anew with --boxes {table}"
    lines = [f"wrote {table} and {coco.name}: {remedy}"]
    if options.boxes is None:
        return lines
    rows = [
        {"image": picture.labelled.path.as_posix(), **change}
        for picture in pictures
        for change in picture.changes
    ]
    write_table(corrections, CORRECTION_COLUMNS, rows)
    counts = Counter(str(row["change"]) for row in rows)
    changes = ", ".join(f"{count} {change}" for change, count in sorted(counts.items()))
    return [*lines, f"wrote {corrections}: {changes or 'nothing was changed'}"]

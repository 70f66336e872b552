"""Every scan of a folder, side by side, with a table and a page; boxes that people correct."""

from __future__ import annotations

import contextlib
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
from rhoa.errors import ParameterError, RhoaWarning
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

    Review = Callable[[Sequence[Outcome], str], list[str]]  # found, part of several


# Every scan of a folder: side by side, each once, with a table and a page of them all.

ELSEWHERE = frozenset(
    {"run", "verb", "json", "out", "scan", "scans", "each", "workers", "scheduler", "shard"}
    | {"threads", "review", "boxes", "pseudonyms", "names"}
)
"""Options that have no say in what becomes of a scan."""
SHEET = "contact-sheet.html"


class Asked(NamedTuple):
    """A scan, and what is asked of it beside what is asked of all."""

    path: Path
    wish: object = None

    def own(self) -> dict[str, object]:
        """What tells this scan's wish from the others'."""
        return {} if self.wish is None else {"own": self.wish}


def each(
    options: Namespace,
    work: Work,
    *,
    table: str,
    columns: Sequence[str],
    wishes: Mapping[str, object] = MappingProxyType({}),
    review: Review | None = None,
) -> VerbResult:
    """Do every scan of a folder; write a table of their rows and a page to look at.

    ``work`` returns ``{"verdict": ..., "rows": [...], "card": ...}`` of one scan. ``wishes`` are
    what is asked of single scans, by their names; ``review`` writes what else belongs beside the
    page and tells of it.
    """
    scans, loose = scans_in(Path(options.scan))
    named = name_scans({path.name: path for path in scans}, options)
    asked = {name: Asked(path, wishes.get(name)) for name, path in named.items()}
    result = each_of(asked, options, work, table=table, columns=columns, review=review)
    lines = [f"{loose} other files beside the scans were not looked at"] if loose else []
    return replace(result, lines=[*result.lines, *lines])


def each_of(
    scans: Mapping[str, Asked],
    options: Namespace,
    work: Work,
    *,
    table: str,
    columns: Sequence[str],
    review: Review | None = None,
) -> VerbResult:
    """Do every one of these scans, each in a folder of its name; see `each`."""
    out = Path(options.out)
    mine = _shard(list(scans), options.shard)
    wish = _wish(options)
    cases = [
        Case(name, scans[name].path, key_of(wish | scans[name].own(), scans[name].path))
        for name in mine
    ]
    found = [
        replace(
            one,
            failure=in_words_of_shell(veil(scans[one.name].path, options)(one.failure), options),
        )
        if one.failure
        else one
        for one in run_cases(work, cases, out, pool=pool_of(options), progress=bar())
    ]
    rows = [{"scan": one.name, **row} for one in found for row in one.record.get("rows", ())]
    failures = [one for one in found if one.failure]
    part = "" if options.shard is None else "-{}-of-{}".format(*options.shard)
    table_file, page, rejected = (
        out / f"{Path(name).stem}{part}{Path(name).suffix}"
        for name in (table, SHEET, "rejected.csv")
    )
    write_table(table_file, ("scan", *columns), rows)
    atomic_write(page, sheet(map(_card, found), title=f"{len(found)} scans"))
    if failures:
        told = [{"scan": one.name, "reason": one.failure} for one in failures]
        write_table(rejected, ("scan", "reason"), told)
    else:
        rejected.unlink(missing_ok=True)
    lines = [f"wrote {table_file}: {len(rows)} rows", f"wrote {page}"]
    lines += review(found, part) if review is not None else []
    verdicts = Counter(str(one.record.get("verdict", "failed")) for one in found)
    lines += [f"{count} of {len(found)} scans: {verdict}" for verdict, count in verdicts.items()]
    if earlier := sum(one.earlier for one in found):
        lines.append(f"{earlier} of them were done before")
    lines += [f"{one.name}: {one.failure}" for one in failures]
    refused = [row for row in rows if row.get("refused")]
    lines += [f"{row['scan']}: {row['side']} hip has no crop: {row['refused']}" for row in refused]
    return VerbResult(rows, lines, rejected=bool(failures or refused))


def name_scans(scans: Mapping[str, Path], options: Namespace) -> dict[str, Path]:
    """The scans by what they are called: their own names, or pseudonyms where those are asked for.

    Raises
    ------
    ParameterError
        If the key of the pseudonyms cannot be read, or gives two scans one pseudonym.
    """
    if options.pseudonyms is not None:
        names, count = Pseudonyms.load(options.pseudonyms), len(scans)
        scans = {names.of_scan(path, name): path for name, path in scans.items()}
        if len(scans) < count:
            raise ParameterError(
                "two scans of one patient, or of nobody, would have one pseudonym: rename a folder."
            )
    options.names = {path: name for name, path in scans.items()}
    return dict(scans)


def veil(scan: Path, options: Namespace) -> Callable[[str], str]:
    """What becomes of a message about a scan: where it has a pseudonym, its names are taken out."""
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
def captured_warnings(veil: Callable[[str], str] = str) -> Iterator[list[str]]:
    """The texts of the warnings that are given meanwhile, each once, as ``veil`` leaves them."""
    texts: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", RhoaWarning)
        yield texts
        texts += dict.fromkeys(veil(str(one.message)) for one in caught)


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


def _shard(names: list[str], shard: tuple[int, int] | None) -> list[str]:
    """The scans of one part of several, in turn."""
    if shard is None:
        return names
    number, count = shard
    return names[number - 1 :: count]


def pool_of(options: Namespace) -> Pool | None:
    """Where scans are done, as the options say; None for this process."""
    if options.scheduler:
        return dask(options.scheduler)
    return processes(options.workers) if options.workers > 1 else None


def _wish(options: Namespace) -> dict[str, Any]:
    """What is asked of a scan; files that an option names count with what they hold."""
    wish = {name: value for name, value in vars(options).items() if name not in ELSEWHERE}
    return {"rhoa": rhoa.__version__, "verb": options.verb, **wish}


def _card(one: Outcome) -> tuple[Verdict, str]:
    if one.failure:
        return "failed", write_card(SheetEntry(one.name, "failed", notes=[one.failure]), ".")
    return one.record["verdict"], one.record["card"]


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
    def from_dict(cls, told: Mapping[str, Any]) -> WrittenPicture:
        """What `as_dict` told."""
        rows, columns = told["shape"]
        boxes = tuple(Box(*box) for box in told["boxes"])
        return cls(LabelledImage(Path(told["image"]), boxes, (rows, columns)), told["changes"])


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
    out: Path, pictures: Sequence[WrittenPicture], options: Namespace, *, part: str = ""
) -> list[str]:
    """Write the boxes as CSV and COCO, and what was corrected; what there is to say of it."""
    table, coco, corrections = (
        out / f"{name.partition('.')[0]}{part}.{name.partition('.')[2]}"
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
    told = ", ".join(f"{count} {change}" for change, count in sorted(counts.items()))
    return [*lines, f"wrote {corrections}: {told or 'nothing was changed'}"]

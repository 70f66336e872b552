"""Every scan of a folder: side by side, each once, with a table and a page of them all."""

from __future__ import annotations

import contextlib
import warnings
from collections import Counter
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

import rhoa
from rhoa.cohort import Case, Pool, Pseudonyms, dask, processes, run_cases
from rhoa.cohort.cases import key_of
from rhoa.cohort.pseudonyms import veiled
from rhoa.errors import ParameterError, RhoaWarning
from rhoa.hips.sheet import Entry, sheet, write_card
from rhoa.progress import bar
from rhoa.reading import whole_volume
from rhoa.verbs.output import Result, in_words_of_shell, write_table
from rhoa.writing import atomic_write

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from rhoa.cohort import Outcome
    from rhoa.cohort.cases import Work
    from rhoa.hips.sheet import Verdict
    from rhoa.verbs.pelvis import PoseRequest

    Review = Callable[[Sequence[Outcome], str], list[str]]  # found, part of several

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
) -> Result:
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
) -> Result:
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
    return Result(rows, lines, rejected=bool(failures or refused))


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
    return partial(veiled, path=scan, name=options.names[scan])


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
        return "failed", write_card(Entry(one.name, "failed", notes=[one.failure]), ".")
    return one.record["verdict"], one.record["card"]

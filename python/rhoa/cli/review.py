"""The local page on which readers look, correct and grade; their agreement; their results."""

from __future__ import annotations

import getpass
import json
import math
import re
import sys
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, cast

from rhoa.cli.common import VerbResult
from rhoa.cli.options import cache_option
from rhoa.errors import ParameterError, ReviewError, require_extra
from rhoa.files import atomic_write

if TYPE_CHECKING:
    import argparse
    from argparse import ArgumentParser, Namespace

    from rhoa._types import Side
    from rhoa.cli.common import Rows
    from rhoa.review import Cohort, State


AGREEMENT = "agreement.json"
FEWEST_SUBJECTS = 5
"""For an interval of agreement: a resample of fewer subjects says nothing of others."""


def page_options(verb: ArgumentParser) -> None:
    """What the verb takes."""
    verb.add_argument(
        "folder", help="what rhoa ctap or rhoa hips or rhoa xray wrote, or a manifest of crops"
    )
    verb.add_argument(
        "--scans",
        metavar="FOLDER|CSV",
        help="the CTs (what --each was given, or the table of scans): landmarks can be moved then",
    )
    cache_option(verb, also="; with --scans")
    verb.add_argument(
        "--reader",
        help="name or pseudonym of the reader; each has a journal (default: your login name)",
    )
    verb.add_argument(
        "--seed", type=int, help="of the order in which hips are graded (default: 2020)"
    )
    verb.add_argument(
        "--repeat",
        type=float,
        metavar="SHARE",
        help="share of the hips that are graded twice, 0 to 0.5 (default: 0.1)",
    )
    verb.add_argument(
        "--unblinded", action="store_true", help="show where readers disagree, and cases' numbers"
    )
    verb.add_argument(
        "--predictions",
        metavar="CSV",
        help="with --unblinded: show the probabilities that rhoa predict wrote beside each hip",
    )
    verb.add_argument(
        "--per-case",
        type=int,
        default=1,
        metavar="N",
        help="with --assign: how many readers each case has (default: 1)",
    )
    verb.add_argument("--port", type=int, default=0, help="default: one that is free")
    task = verb.add_mutually_exclusive_group()
    task.add_argument(
        "--adjudicate",
        action="store_true",
        help="grade only the hips that readers disagree on: these grades decide",
    )
    task.add_argument(
        "--training",
        action="store_true",
        help="grade hips whose KL the manifest knows; the known grade is shown after each, and "
        "none of them counts",
    )
    task.add_argument(
        "--assign",
        metavar="NAME,NAME,...",
        help="no page: assign the cases to these readers, who are then shown only theirs; cases "
        "that have readers keep them",
    )
    task.add_argument(
        "--agreement",
        action="store_true",
        help="no page: kappa, limits of agreement and overlaps between and within readers, with "
        "intervals over subjects; also in review/agreement.json",
    )
    task.add_argument(
        "--export",
        action="store_true",
        help="no page: write review/consensus of all readers (or review/NAME of --reader NAME): "
        "manifest.csv with crops, boxes.coco.json, landmarks, adjudication.csv",
    )
    verb.epilog = (
        "The page is served on this machine alone, at an address that opens once; the terminal "
        "shows another for the next browser. Every action is on the disk before the page says so, "
        "in review/READER.jsonl. Press ? on the page for its keys, Ctrl-C here to end."
    )


def review(options: Namespace) -> VerbResult:
    """The page until it is interrupted; or agreement, or results."""
    from rhoa.review import read_cohort

    cohort = read_cohort(options.folder, scans=options.scans)
    if options.agreement:
        return _agreement(cohort)
    if options.export:
        return _export(cohort, options.reader)
    if options.assign:
        return _assign(cohort, options)
    if options.predictions and not options.unblinded:
        raise ParameterError("--predictions unblinds a reader: pass --unblinded with it.")
    require_extra("starlette", extra="review", purpose="rhoa review")
    require_extra("uvicorn", extra="review", purpose="rhoa review")
    from rhoa.review import Session, Sitting
    from rhoa.review.server import serve

    sitting = Sitting(
        reader=options.reader or _login(),
        seed=options.seed,
        repeat=options.repeat,
        blinded=not options.unblinded,
        adjudicates=options.adjudicate,
        training=options.training,
        predictions=_predictions(options.predictions) if options.predictions else None,
        cache=options.cache,
    )
    with closing(Session(cohort, sitting)) as session:
        hips = len(session.order())
        _say(f"{len(cohort)} cases, {hips} readings of hips; reader {sitting.reader}; Ctrl-C ends")
        with suppress(KeyboardInterrupt):
            serve(session, port=options.port, tell=lambda address: _say(f"open {address}"))
        state = session.state
    if options.training:
        return VerbResult(
            lines=[f"{len(state.training)} hips graded to learn; none of them counts"]
        )
    graded = len(state.decisions if options.adjudicate else state.grades)
    return VerbResult(
        lines=[f"all is saved: {graded} readings graded; rhoa review --export writes them"]
    )


def _assign(cohort: Cohort, options: Namespace) -> VerbResult:
    readers = [name.strip() for name in options.assign.split(",")]
    seed = 2020 if options.seed is None else options.seed
    cohort.assign(readers, per_case=options.per_case, seed=seed)
    every = [of for of in (cohort.assignment or {}).values() if of]
    names = sorted({name for of in every for name in of})
    rows: Rows = [{"reader": name, "cases": sum(name in of for of in every)} for name in names]
    return VerbResult(rows, [f"{len(every)} cases have readers; each opens it with --reader NAME"])


def _predictions(path: str) -> dict[tuple[str, Side], float]:
    """Probabilities by name of the case (its scan, or its subject and visit) and side."""
    from rhoa.tables import read_rows, side_in_table

    known: dict[tuple[str, Side], float] = {}
    for line, row in read_rows(Path(path), ("side", "probability"), known=_CASE_COLUMNS):
        if not row["probability"]:
            continue
        scan, subject, visit = (row.get(name, "") for name in _CASE_COLUMNS)
        try:
            value = float(row["probability"])
        except ValueError:
            raise ReviewError(
                f"{Path(path).name}, line {line}: probability is no number; pass the "
                "predictions.csv that rhoa predict wrote."
            ) from None
        for name in (scan, "_".join(filter(None, (subject, visit)))):
            known[name, cast("Side", side_in_table(row["side"]))] = value
    return known


_CASE_COLUMNS = ("scan", "subject", "visit")


def _say(line: str) -> None:
    sys.stderr.write(f"rhoa review: {line}\n")
    sys.stderr.flush()


def _login() -> str:
    """A reader's name from the login's."""
    try:
        name = getpass.getuser()
    except (OSError, KeyError, ImportError):
        name = ""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip(".-_")[:40] or "reader"


def _states(cohort: Cohort) -> dict[str, State]:
    from rhoa.review import journals_in, states_of

    states = states_of(journals_in(cohort.journals))
    if not states:
        raise ReviewError(
            f"{cohort.folder.name}: nobody has reviewed it yet; run rhoa review without options."
        )
    return states


def _agreement(cohort: Cohort) -> VerbResult:
    from rhoa.review import agreement_of, labels

    states = _states(cohort)
    figures = agreement_of(cohort, states)
    rows: Rows = [figure.as_dict() for figure in figures]
    file = cohort.journals / AGREEMENT
    content = {"readers": len(states), "figures": rows}
    atomic_write(file, json.dumps(content, indent=1, allow_nan=False) + "\n")
    found, disputed = labels(states)
    shown: Rows = [
        {
            "readers": " ".join(dict.fromkeys(figure.readers)),
            "measure": figure.measure,
            "value": _known("{:.3f}", figure.estimate.value),
            "95 % interval": "too few subjects"
            if figure.subjects < FEWEST_SUBJECTS
            else _known("{:.3f} to {:.3f}", *figure.estimate[1:]),
            "n": figure.read,
            "subjects": figure.subjects,
        }
        for figure in figures
    ]
    lines = [f"{len(found)} hips have a label, {len(disputed)} wait for --adjudicate"]
    if not figures:
        lines.append("no hip was looked at twice, by one reader or two: nothing to compare")
    return VerbResult(rows, [*lines, f"wrote {file}"], shown=shown)


def _known(words: str, *numbers: float) -> str:
    return words.format(*numbers) if math.isfinite(numbers[0]) else "not defined"


def _export(cohort: Cohort, reader: str | None) -> VerbResult:
    from rhoa.review import export

    states = _states(cohort)
    if reader is not None and reader not in states:
        raise ReviewError(f"there is no journal of {reader}; there are {', '.join(states)}.")
    chosen = states if reader is None else {reader: states[reader]}
    done = export(cohort, chosen, cohort.journals / (reader or "consensus"))
    return VerbResult([], done.lines, rejected=bool(done.failed))


def add_review(verb: argparse.ArgumentParser) -> None:
    """Options of `rhoa review`."""
    verb.set_defaults(run=review)
    page_options(verb)

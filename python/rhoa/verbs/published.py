"""A published table on the command line: what it can come from, and what scores make of it."""

from __future__ import annotations

import argparse
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rhoa.errors import ParameterError
from rhoa.verbs.output import Result

if TYPE_CHECKING:
    from argparse import Namespace

    from rhoa.audit import Audit, PublishedRow, TableAudit

FIGURES = (
    *("accuracy", "balanced_accuracy", "precision", "recall", "f1"),
    *("sensitivity", "specificity", "ppv", "npv", "mcc", "roc_auc", "pr_auc"),
)
TERMINAL = 98  # columns that a text may take
SHOWN = 3  # matrices and repairs of a row that are printed; --json has all

EXAMPLES = """\
One row, figures as they are printed (digits count: 0.80 is not 0.8):

  rhoa audit --positives 15 --negatives 9 --accuracy 50.0 --balanced-accuracy 60.0 \\
      --precision 0.60 --recall 0.71 --f1 0.65

A whole table, table.csv, one row a model; cells that were not printed stay empty:

  name,positives,negatives,accuracy,balanced_accuracy,precision,recall,f1,roc_auc
  Model 1,15,9,50.0,60.0,0.60,0.71,0.65,0.73 [0.49-0.89]

  rhoa audit table.csv

Your own scores (columns label and score) beside what was printed of them:

  rhoa audit table.csv --row "Model 1" --predictions run/predictions.csv --partition test

Precision, recall and F1 are tried as of the positive class, of the negative one, as plain and as
weighted means over both, with F1 as the mean of two or the harmonic mean of the means, and with
precision and recall swapped. Verdicts: consistent; rounded twice (78.89 -> .79 -> 79.0);
contradictory (no definition fits all figures); impossible (accuracy, balanced accuracy and other
figures of one meaning have no confusion matrix of these sizes). Exit code 1 unless all are
consistent, or unless the scores print as published."""


def audit_options(verb: argparse.ArgumentParser) -> None:
    """Declare the arguments of `audit`."""
    verb.formatter_class = argparse.RawDescriptionHelpFormatter
    verb.epilog = EXAMPLES
    verb.add_argument(
        "table", nargs="?", type=Path, help="CSV of printed rows; or give one row by options"
    )
    verb.add_argument("--row", metavar="NAME", help="of the table, the only row to look at")
    row = verb.add_argument_group("one row, as printed")
    for size in ("positives", "negatives"):
        row.add_argument(f"--{size}", type=int, metavar="N", help=f"how many {size} there are")
    for figure in FIGURES:
        name = figure.replace("_", "-")
        row.add_argument(f"--{name}", dest=f"printed_{figure}", metavar="PRINTED", help="")
    scores = verb.add_argument_group("scores of your own")
    scores.add_argument(
        "--predictions", type=Path, metavar="CSV", help="columns label (0, 1) and score"
    )
    scores.add_argument("--partition", metavar="NAME", help="rows of this partition only")
    scores.add_argument("--source", metavar="NAME", help="rows of this source (xray, ct) only")
    scores.add_argument("--threshold", type=float, default=0.5, help="default: 0.5")


def audit(options: Namespace) -> Result:
    """What each row can come from, or how scores compare with one row."""
    from rhoa.audit import table

    rows = _rows(options)
    if options.predictions is not None:
        return _compared(options, rows)
    found = table(rows)
    lines = [line for row in found.rows for line in _remarks(row.name, row.audit, found)]
    return Result(
        [_everything(row.name, row.audit) for row in found.rows],
        ["", *lines, *_summary(found)],
        failed=not found.sound,
        shown=[_shown(row.name, row.audit) for row in found.rows],
    )


def _rows(options: Namespace) -> list[PublishedRow]:
    from rhoa.audit import PublishedRow, read_table
    from rhoa.audit.tables import row_named

    printed = {name: getattr(options, f"printed_{name}") for name in FIGURES}
    printed = {name: text for name, text in printed.items() if text is not None}
    sizes = options.positives, options.negatives
    if options.table is not None:
        if printed or sizes != (None, None):
            raise ParameterError("give a table, or one row by options, not both.")
        rows = read_table(options.table)
        return rows if options.row is None else [row_named(rows, options.row)]
    if options.row is not None:
        raise ParameterError("--row names a row of a table; there is none.")
    if options.predictions is not None and sizes == (None, None):
        return [PublishedRow("as printed", 0, 0, printed)]
    if None in sizes:
        raise ParameterError(
            "give table.csv, or --positives, --negatives and figures as printed; "
            "`rhoa audit --help` has examples."
        )
    return [PublishedRow("as printed", *sizes, printed)]


def _compared(options: Namespace, rows: list[PublishedRow]) -> Result:
    from rhoa.audit import compare, meaning, read_predictions
    from rhoa.audit.predictions import shared_definitions

    if len(rows) != 1:
        raise ParameterError(
            f"the table has {len(rows)} rows; name the one these scores are of: --row NAME."
        )
    only = {"partition": options.partition, "source": options.source}
    labels, scores = read_predictions(
        options.predictions, only={name: text for name, text in only.items() if text is not None}
    )
    (row,) = rows
    found = compare(labels, scores, row.printed, threshold=options.threshold)
    shared = shared_definitions(found)
    sizes = int(labels.sum()), int((labels == 0).sum())
    lines = ["", f"{sizes[0]} positives and {sizes[1]} negatives in {options.predictions.name}"]
    alike = sizes == (row.positives, row.negatives) or (row.positives, row.negatives) == (0, 0)
    if not alike:
        lines.append(f"printed of {row.positives} positives and {row.negatives} negatives")
    lines += [f"all of precision, recall and F1 fit {name}: {meaning(name)}" for name in shared]
    shown = [
        {
            "figure": one.figure,
            "printed": one.printed,
            "computed": round(one.value, 4),
            "agrees under": ", ".join(one.definitions[:SHOWN]) or "nothing",
        }
        for one in found
    ]
    everything = [one._asdict() for one in found]
    failed = not alike or any(not one.definitions for one in found)
    return Result(everything, lines, failed=failed, shown=shown)


def _shown(name: str, audit: Audit) -> dict[str, Any]:
    matrices = [f"({tp}, {tn})" for tp, tn in audit.matrices]
    more = f" and {len(matrices) - SHOWN} more" if len(matrices) > SHOWN else ""
    return {
        "row": name,
        "sizes": f"{audit.positives}+ {audit.negatives}-",
        "verdict": audit.verdict,
        "(tp, tn)": " ".join(matrices[:SHOWN]) + more if matrices else "none",
        "definitions": len(audit.definitions),
    }


def _everything(name: str, audit: Audit) -> dict[str, Any]:
    from rhoa.audit import remarks

    return {
        "row": name,
        "positives": audit.positives,
        "negatives": audit.negatives,
        "printed": {figure: printed.text for figure, printed in audit.printed.items()},
        "verdict": audit.verdict,
        "rounded_twice": list(audit.rounded_twice),
        "matches": [match._asdict() for match in audit.matches],
        "repairs": [
            {
                "definition": repair.definition,
                "figures": list(repair.figures),
                "values": [list(values) for values in repair.values],
                "matrices": [list(matrix) for matrix in repair.matrices],
            }
            for repair in audit.repairs
        ],
        "remarks": remarks(audit),
    }


def _remarks(name: str, audit: Audit, table: TableAudit) -> list[str]:
    """What to know of a row, folded to the terminal."""
    from rhoa.audit import remarks
    from rhoa.audit.remarks import repair_in_words

    said = remarks(audit)
    if audit.rounded_twice:
        said.append(f"{' and '.join(audit.rounded_twice)} rounded to a fraction, then printed in %")
    fitting = [one for one in audit.repairs if one.definition == table.definition]
    said += [
        f"to repair: {repair_in_words(one, audit)}" for one in (fitting or audit.repairs)[:SHOWN]
    ]
    return [
        textwrap.fill(
            f"{name}: {remark}", width=TERMINAL, subsequent_indent="    ", break_on_hyphens=False
        )
        for remark in said
    ]


def _summary(table: TableAudit) -> list[str]:
    from rhoa.audit import meaning

    count = len(table.rows)
    sound = sum(bool(row.audit.matches) for row in table.rows)
    lines = ["", f"{sound} of {count} rows can come from a confusion matrix"]
    if table.definition is not None:
        explained = table.explained[table.definition]
        lines.append(
            textwrap.fill(
                f"{explained} of {count} rows fit {table.definition}: {meaning(table.definition)}",
                width=TERMINAL,
                subsequent_indent="    ",
            )
        )
    return lines

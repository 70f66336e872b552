"""The command line: one verb a stage. It parses, calls the library and prints."""

from __future__ import annotations

import argparse
import json
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from rhoa import _core
from rhoa.cli import common
from rhoa.cli.ct import add_ctap, add_hips, add_inspect
from rhoa.cli.demo import add_bench, add_demo, add_info
from rhoa.cli.predict import add_export, add_predict
from rhoa.cli.review import add_review
from rhoa.cli.study import add_audit, add_evaluate, add_explain, add_split, add_study, add_train
from rhoa.cli.xray import add_detector, add_xray
from rhoa.errors import MissingExtraError, RhoaError, RhoaWarning

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Stages = argparse._SubParsersAction[argparse.ArgumentParser]  # noqa: SLF001  # has no other name


DONE, FAILED, USAGE, MISSING_EXTRA, SOME_REJECTED, INTERRUPTED = 0, 1, 2, 3, 4, 130

DESCRIPTION = """\
Radiograph-like images (CT-AP) from abdominopelvic CT, and models of hip osteoarthritis.

  rhoa demo --out demo                         everything, on a phantom cohort
  rhoa inspect patient/ct                      what is in a folder of DICOM files
  rhoa ctap patient/ct -o out                  the CT-AP as scanned
  rhoa ctap patient/ct -o out --pose auto      realigned to the anterior pelvic plane
  rhoa hips patient/ct -o out                  both hips, cropped
  rhoa hips scans.csv -o study                 a whole cohort: crops and manifest
  rhoa review study                            look, correct and grade, on a local page
  rhoa xray pelvis.dcm -o out                  an X-ray, turned upright, and its halves
  rhoa detector --phantoms 24 -o run           a detector of hips for X-rays
  rhoa study study.toml                        models by a plan, measured and reported
  rhoa predict patient/ct --model RUN -o out   both hips graded, or why not

Research use only: not a medical device."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb and return its exit code.

    0 done, 1 failed, 2 usage, 3 an optional dependency is missing, 4 done but some cases were
    rejected, 130 interrupted.
    """
    options = parser().parse_args(arguments)
    with warnings.catch_warnings():
        warnings.simplefilter("always", RhoaWarning)
        warnings.showwarning = lambda message, *_, **__: print(
            f"rhoa: warning: {common.in_words_of_shell(message, options)}", file=sys.stderr
        )
        try:
            result = options.run(options)
        except RhoaError as error:
            return _fail(options.verb, common.in_words_of_shell(error, options), FAILED)
        except MissingExtraError as error:
            return _fail(options.verb, error, MISSING_EXTRA)
        except OSError as error:
            name = Path(str(error.filename)).name if error.filename else "the disk"
            return _fail(options.verb, f"{name}: {error.strerror or error}", FAILED)
        except MemoryError as error:
            return _fail(options.verb, f"not enough memory ({error})", FAILED)
        except KeyboardInterrupt:
            return _fail(options.verb, "interrupted", INTERRUPTED)
    if result.rows or options.json:
        shown = result.rows if result.shown is None else result.shown
        print(json.dumps(result.rows, indent=2) if options.json else common.table(shown))
    for line in result.lines:
        print(line, file=sys.stderr if options.json else sys.stdout)
    return FAILED if result.failed else SOME_REJECTED if result.rejected else DONE


def _fail(verb: str, error: object, code: int) -> int:
    print(f"rhoa {verb}: {error}", file=sys.stderr)
    return code


def parser() -> argparse.ArgumentParser:
    """The grammar of the command line."""
    root = argparse.ArgumentParser(
        prog="rhoa", description=DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    root.add_argument("--version", action="version", version=f"rhoa {_core.__version__}")
    stages = root.add_subparsers(dest="verb", required=True, metavar="VERB")
    for add in (
        add_inspect,
        add_ctap,
        add_hips,
        add_xray,
        add_detector,
        add_review,
        add_split,
        add_train,
        add_evaluate,
        add_export,
        add_predict,
        add_explain,
        add_study,
        add_audit,
        add_demo,
        add_bench,
        add_info,
    ):
        add(stages)
    return root


def _verb(
    stages: Stages, name: str, summary: str, run: Callable[[argparse.Namespace], common.Result]
) -> argparse.ArgumentParser:
    verb: argparse.ArgumentParser = stages.add_parser(
        name, help=summary[0].lower() + summary[1:], description=f"{summary}."
    )
    verb.add_argument("--json", action="store_true", help="print JSON for programs")
    verb.set_defaults(run=run)
    return verb

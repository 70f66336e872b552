"""The command line: one verb a stage. It parses, calls the library and prints."""

from __future__ import annotations

import argparse
import importlib
import json
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from rhoa import _core
from rhoa.cli import common
from rhoa.errors import MissingExtraError, RhoaError, RhoaWarning

if TYPE_CHECKING:
    from collections.abc import Sequence


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


VERBS = {
    "inspect": ("ct", "List the series of a folder and what becomes of each"),
    "ctap": ("ct", "Project a CT to a radiograph-like image"),
    "hips": ("ct", "Find and crop both hips of a CT, of many, or of a table"),
    "xray": ("xray", "Read X-rays of hips: picture, values and both halves"),
    "detector": ("xray", "Train a detector of hips in X-rays and CT-APs"),
    "review": ("review", "Look at a cohort, correct and grade it on a page"),
    "split": ("study", "Part a manifest by subject: training, validation, test"),
    "train": ("study", "Train one model"),
    "evaluate": ("study", "Measure trained models, with intervals, and report"),
    "export": ("prediction", "Write a trained model as ONNX, which runs without torch"),
    "predict": ("prediction", "Probability of hip osteoarthritis for both hips of scans"),
    "explain": ("study", "Show which parts of a crop a model looks at"),
    "study": ("study", "Train, measure and report all that a plan names"),
    "plan-size": ("study", "Show how many subjects a test set, or a model's development, needs"),
    "audit": ("study", "Find what a published table of figures can come from"),
    "demo": ("demo", "Run everything on a phantom cohort and report"),
    "bench": ("demo", "Time the projections beside a plain read of memory, NumPy and Numba"),
    "info": ("demo", "Print versions, for a bug report"),
}
"""Verbs in the order of the help: their module, and what they do."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb and return its exit code.

    0 done, 1 failed, 2 usage, 3 an optional dependency is missing, 4 done but some cases were
    rejected, 130 interrupted.
    """
    words = sys.argv[1:] if arguments is None else list(arguments)
    options = parser(words).parse_args(words)
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


def parser(words: Sequence[str] | None = None) -> argparse.ArgumentParser:
    """The grammar of the command line.

    Parameters
    ----------
    words
        What it will parse: of the verbs, only the one that these name gets its options, and has
        its module imported. Default: all.
    """
    asked = None if words is None else next((w for w in words if not w.startswith("-")), "")
    root = argparse.ArgumentParser(
        prog="rhoa", description=DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    root.add_argument("--version", action="version", version=f"rhoa {_core.__version__}")
    stages = root.add_subparsers(dest="verb", required=True, metavar="VERB")
    for name, (module, summary) in VERBS.items():
        verb = stages.add_parser(
            name, help=summary[0].lower() + summary[1:], description=f"{summary}."
        )
        verb.add_argument("--json", action="store_true", help="print JSON for programs")
        if asked in {None, name}:
            getattr(importlib.import_module(f"rhoa.cli.{module}"), f"add_{name.replace('-', '_')}")(
                verb
            )
    return root

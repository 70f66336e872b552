"""The command line: one verb a stage. It parses, calls the library and prints."""

from __future__ import annotations

import argparse
import difflib
import importlib
import json
import re
import sys
import traceback
import warnings
from collections import Counter
from contextlib import ExitStack, redirect_stderr
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from rhoa import _core
from rhoa.cli import common
from rhoa.errors import MissingExtraError, ParameterError, RhoaError, RhoaWarning, require_extra

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


DONE, FAILED, USAGE, MISSING_EXTRA, SOME_REJECTED, INTERRUPTED = 0, 1, 2, 3, 4, 130

DESCRIPTION = """\
Radiograph-like images (CT-AP) from abdominopelvic CT, and models of hip osteoarthritis.

  rhoa demo --out demo                         everything, on a phantom cohort
  rhoa inspect patient/ct                      what is in a folder of DICOM files
  rhoa ctap patient/ct -o out                  the CT-AP as scanned
  rhoa ctap patient/ct -o out --pose auto      realigned to the anterior pelvic plane
  rhoa hips patient/ct -o out                  both hips, cropped
  rhoa hips scans.csv -o study                 a whole cohort: crops and manifest
  rhoa review study                            review, correct and grade, on a local page
  rhoa xray pelvis.dcm -o out                  an X-ray, upright, and its halves
  rhoa detector --phantoms 24 -o run           a detector of hips for X-rays
  rhoa study study.toml                        models by a plan, evaluated and reported
  rhoa predict patient/ct --model RUN -o out   both hips graded, or why not

Research use only: not a medical device."""


VERBS = {
    "inspect": ("ct", "List the series of a folder and what becomes of each"),
    "ctap": ("ct", "Project a CT to a radiograph-like image"),
    "hips": ("ct", "Find and crop both hips of a CT, of many, or of a table"),
    "xray": ("xray", "Read X-rays of hips: picture, values and both halves"),
    "detector": ("xray", "Train a detector of hips in X-rays and CT-APs"),
    "review": ("review", "Review a cohort on a page: correct poses and boxes, grade hips"),
    "split": ("study", "Split a manifest by subject: training, validation, test"),
    "train": ("study", "Train one model"),
    "evaluate": ("study", "Evaluate trained models, with intervals, and report"),
    "export": ("prediction", "Write a trained model as ONNX, which runs without torch"),
    "predict": ("prediction", "Probability of hip osteoarthritis for both hips of scans"),
    "explain": ("study", "Show which parts of a crop change a model's answer"),
    "study": ("study", "Train, evaluate and report everything in a plan"),
    "plan-size": ("study", "Show how many subjects a test set, or a model's development, needs"),
    "audit": ("study", "Find the confusion matrices that fit a published table"),
    "demo": ("demo", "Run everything on a phantom cohort and report"),
    "bench": ("demo", "Time the projections beside a plain read of memory, NumPy and Numba"),
    "info": ("demo", "Print versions, for a bug report"),
}
"""Verbs in the order of the help: their module, and what they do."""


DEFAULTS = "rhoa.toml"
"""In the working folder: defaults of options, a table a verb."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb and return its exit code.

    0 done, 1 failed, 2 usage, 3 an optional dependency is missing, 4 done but some cases were
    rejected, 130 interrupted.
    """
    words = sys.argv[1:] if arguments is None else list(arguments)
    if not words:
        parser(words).print_help()
        return DONE
    if words[0] == "--print-completion":
        return _print_completion(words[1:])
    grammar = parser(words)
    try:
        taken = _apply_defaults(grammar, words)
    except RhoaError as error:
        return _fail("", error, USAGE)
    options, unknown = grammar.parse_known_args(words)
    if unknown:
        verbs: dict[str, Grammar] = grammar.stages.choices
        verbs[options.verb].error(f"unrecognized arguments: {' '.join(unknown)}")
    warned: Counter[str] = Counter()

    def show(message: Warning | str, *_: object, **__: object) -> None:
        text = common.in_words_of_shell(message, options)
        kind = _kind_of(text)
        warned[kind] += 1
        if warned[kind] == 1 or options.verbose:
            print(f"rhoa: warning: {text}", file=sys.stderr)

    with ExitStack() as stack:
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("always", RhoaWarning)
        warnings.showwarning = show
        try:
            log = options.log and stack.enter_context(open(options.log, "a", encoding="utf-8"))  # noqa: PTH123  # the user's own words in an error
        except OSError as error:
            return _fail(options.verb, f"{options.log}: {error.strerror or error}", USAGE)
        quiet = options.quiet
        screen = common.Screen(sys.stderr, silent=quiet, log=log or None)
        stack.enter_context(redirect_stderr(screen))
        if taken:
            print(f"rhoa {options.verb}: {DEFAULTS} sets {', '.join(taken)}", file=sys.stderr)
        code, failure = _run(options)
        again = sum(warned.values()) - len(warned)
        if again and not options.verbose:
            kinds = "this kind" if len(warned) == 1 else "these kinds"
            print(f"rhoa: {again} more warnings of {kinds}; -v shows every one", file=sys.stderr)
        screen.silent = False
        if failure is not None:
            if options.verbose:
                traceback.print_exception(failure, file=sys.stderr)
            _fail(options.verb, _message_of(failure, options), code)
    return code


def _run(options: argparse.Namespace) -> tuple[int, BaseException | None]:
    """Run the verb and print its result; the exit code, and the error that ended it."""
    try:
        result = options.run(options)
    except ParameterError as error:
        return USAGE, error
    except (RhoaError, OSError, MemoryError) as error:
        return FAILED, error
    except MissingExtraError as error:
        return MISSING_EXTRA, error
    except KeyboardInterrupt as error:
        return INTERRUPTED, error
    shown = result.rows if result.shown is None else result.shown
    if shown or options.json:
        print(json.dumps(result.rows, indent=2) if options.json else common.table(shown))
    for line in result.lines:
        print(line, file=sys.stderr if options.json else sys.stdout)
    return FAILED if result.failed else SOME_REJECTED if result.rejected else DONE, None


def _message_of(error: BaseException, options: argparse.Namespace) -> str:
    """An error as the shell says it."""
    if isinstance(error, RhoaError):
        return common.in_words_of_shell(error, options)
    if isinstance(error, OSError) and not isinstance(error, MissingExtraError):
        name = Path(str(error.filename)).name if error.filename else "the disk"
        return f"{name}: {error.strerror or error}"
    if isinstance(error, MemoryError):
        return f"not enough memory ({error})"
    return "interrupted" if isinstance(error, KeyboardInterrupt) else str(error)


def _fail(verb: str, error: object, code: int) -> int:
    print(f"rhoa {verb}: {error}" if verb else f"rhoa: {error}", file=sys.stderr)
    return code


def _kind_of(text: str) -> str:
    """What warnings that differ in file and numbers alone have in common.

    >>> _kind_of("a.dcm: 3 slices are blank") == _kind_of("b.dcm: 12 slices are blank")
    True
    """
    return re.sub(r"[0-9]+([.][0-9]+)?", "#", text.partition(": ")[2] or text)


class Grammar(argparse.ArgumentParser):
    """A parser whose errors say what may have been meant."""

    stages: argparse._SubParsersAction[Grammar]

    def error(self, message: str) -> NoReturn:
        """Print the usage and the mistake, and leave with code 2."""
        if found := re.match(r"(?:argument [^:]+: )?invalid choice: '(.*?)' \(", message):
            choices = re.findall(r"'([^']+)'", message)[1:]
            message = (
                f"{found[0][:-2]}{_suggestion(found[1], choices)} (one of {', '.join(choices)})"
            )
        elif found := re.match(r"unrecognized arguments: (\S+)", message):
            known = [word for action in self._actions for word in action.option_strings]
            message = f"{message}{_suggestion(found[1].partition('=')[0], known)}"
        elif message.endswith("VERB"):
            message = f"name a verb: {', '.join(VERBS)}"
        super().error(message)


def _suggestion(word: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f"; did you mean {close[0]}?" if close else ""


def _apply_defaults(grammar: Grammar, words: Sequence[str]) -> list[str]:
    """Options of the verb that is asked for, from the table of its name in `DEFAULTS`; their names.

    Raises
    ------
    ParameterError
        If the file is no TOML, or names a verb or an option that is none.
    """
    file = Path(DEFAULTS)
    if not file.is_file():
        return []
    import tomllib

    try:
        tables = tomllib.loads(file.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ParameterError(f"{DEFAULTS}: not TOML ({error}).") from None
    unknown = next((name for name in tables if name not in VERBS), None)
    if unknown is not None:
        raise ParameterError(
            f"{DEFAULTS}: [{unknown}] is no verb{_suggestion(unknown, VERBS)}; it has tables such "
            'as [hips] with lines such as pose = "auto".'
        )
    asked = next((word for word in words if not word.startswith("-")), "")
    if asked not in tables:
        return []
    verb = grammar.stages.choices[asked]
    options = {
        word.lstrip("-").replace("-", "_"): action
        for action in verb._actions  # noqa: SLF001  # argparse has no other way
        for word in action.option_strings
        if word.startswith("--") and word != "--help"
    }
    table = tables[asked]
    for name, value in table.items():
        action = options.get(name.replace("-", "_"))
        if action is None:
            raise ParameterError(
                f"{DEFAULTS}: [{asked}] has no option {name}"
                f"{_suggestion(name.replace('-', '_'), options)}; rhoa {asked} --help lists them."
            )
        verb.set_defaults(**{action.dest: _default(action, value, f"[{asked}] {name}")})
        action.required = False
    return [name.replace("_", "-") for name in table]


def _default(action: argparse.Action, value: object, where: str) -> object:
    """A value of `DEFAULTS` as the option would have it from the shell."""
    if action.nargs == 0:
        if not isinstance(value, bool):
            raise ParameterError(f"{DEFAULTS}: {where} must be true or false; got {value!r}.")
        return value
    each = value if isinstance(value, list) else [value]
    if any(isinstance(one, bool | dict | list) for one in each):
        raise ParameterError(f"{DEFAULTS}: {where} must be a text, a number or a list of these.")
    convert = action.type if callable(action.type) else str
    try:
        made = [convert(str(one)) for one in each]
    except (ValueError, TypeError, argparse.ArgumentTypeError) as error:
        raise ParameterError(f"{DEFAULTS}: {where}: {error}") from None
    choices = None if action.choices is None else list(action.choices)
    if choices is not None and any(one not in choices for one in made):
        wanted = f"one of {', '.join(map(str, choices))}"
        raise ParameterError(f"{DEFAULTS}: {where} must be {wanted}; got {value!r}.")
    if isinstance(action.nargs, int) and len(made) != action.nargs:
        raise ParameterError(f"{DEFAULTS}: {where} must be {action.nargs} values; got {value!r}.")
    return made if isinstance(value, list) or action.nargs is not None else made[0]


def _print_completion(words: Sequence[str]) -> int:
    """Print a script that completes verbs and options in a shell."""
    shells = ("bash", "zsh", "tcsh")
    if len(words) != 1 or words[0] not in shells:
        return _fail("", f"--print-completion takes one of {', '.join(shells)}", USAGE)
    try:
        shtab = require_extra("shtab", extra="completion", purpose="shell completion")
    except MissingExtraError as error:
        return _fail("", error, MISSING_EXTRA)
    print(shtab.complete(parser(), words[0]))
    return DONE


def parser(words: Sequence[str] | None = None) -> Grammar:
    """The grammar of the command line.

    Parameters
    ----------
    words
        What it will parse: of the verbs, only the one that these name gets its options, and has
        its module imported. Default: all.
    """
    asked = None if words is None else next((w for w in words if not w.startswith("-")), "")
    root = Grammar(
        prog="rhoa", description=DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    root.add_argument("--version", action="version", version=f"rhoa {_core.__version__}")
    root.add_argument(
        "--print-completion",
        metavar="SHELL",
        help="print what completes verbs and options in bash, zsh or tcsh (extra completion)",
    )
    root.stages = root.add_subparsers(dest="verb", required=True, metavar="VERB")
    for name, (module, summary) in VERBS.items():
        verb = root.stages.add_parser(
            name, help=summary[0].lower() + summary[1:], description=f"{summary}."
        )
        verb.add_argument("--json", action="store_true", help="print JSON for programs")
        verbosity = verb.add_mutually_exclusive_group()
        verbosity.add_argument(
            "-v",
            "--verbose",
            action="store_true",
            help="show every warning, also those of one kind, and where an error arose",
        )
        verbosity.add_argument(
            "-q", "--quiet", action="store_true", help="no progress and no warnings, only errors"
        )
        verb.add_argument(
            "--log", metavar="FILE", help="append progress, warnings and errors to this file, too"
        )
        if asked in {None, name}:
            getattr(importlib.import_module(f"rhoa.cli.{module}"), f"add_{name.replace('-', '_')}")(
                verb
            )
    return root

"""The command line: one verb a stage. It parses, calls the library and prints."""

from __future__ import annotations

import argparse
import json
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from rhoa import _core, verbs
from rhoa.bench import SHAPE
from rhoa.errors import MissingExtraError, RhoaError, RhoaWarning
from rhoa.hips.refusals import REFUSALS
from rhoa.verbs.options import (
    accept_option,
    crop_option,
    detector_options,
    folder_options,
    predict_options,
    repair_option,
    review_options,
    scan_options,
    side_option,
)
from rhoa.verbs.plan import study_options
from rhoa.verbs.published import audit_options
from rhoa.verbs.review import page_options
from rhoa.verbs.training import train_options

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
            f"rhoa: warning: {verbs.in_words_of_shell(message, options)}", file=sys.stderr
        )
        try:
            result = options.run(options)
        except RhoaError as error:
            return _fail(options.verb, verbs.in_words_of_shell(error, options), FAILED)
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
        print(json.dumps(result.rows, indent=2) if options.json else verbs.table(shown))
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
        _inspect,
        _ctap,
        _hips,
        _xray,
        _detector,
        _review,
        _split,
        _train,
        _evaluate,
        _export,
        _predict,
        _explain,
        _study,
        _audit,
        _demo,
        _bench,
        _info,
    ):
        add(stages)
    return root


def _verb(
    stages: Stages, name: str, summary: str, run: Callable[[argparse.Namespace], verbs.Result]
) -> argparse.ArgumentParser:
    verb: argparse.ArgumentParser = stages.add_parser(
        name, help=summary[0].lower() + summary[1:], description=f"{summary}."
    )
    verb.add_argument("--json", action="store_true", help="print JSON for programs")
    verb.set_defaults(run=run)
    return verb


def _inspect(stages: Stages) -> None:
    verb = _verb(
        stages, "inspect", "List the series of a folder and what becomes of each", verbs.inspect
    )
    verb.add_argument("scan", help="a folder or file of DICOM, or a NIfTI, NRRD or MetaImage file")
    verb.epilog = (
        "A series is a volume where `rhoa ctap` would read it, as far as headers tell: pixels are "
        "not decoded. Exit code 0 also where series are refused, for that is an answer; 1 where "
        "there is no image at all, or a file is damaged. --json has whole UIDs; neither has data "
        "of the patient."
    )
    repair_option(verb)


def _ctap(stages: Stages) -> None:
    verb = _verb(stages, "ctap", "Project a CT to a radiograph-like image", verbs.ctap)
    verb.add_argument(
        "scan",
        help="a folder or file of CT DICOM, a NIfTI, NRRD or MetaImage file, or a folder of scans "
        "(with --each)",
    )
    verb.add_argument(
        "-o",
        "--out",
        type=Path,
        required=True,
        help="a folder (gets ct-ap.png and ct-ap.npz), or a .png, .npz or .nii.gz file",
    )
    folder_options(verb, "ct-aps.csv")
    scan_options(verb)
    verb.add_argument(
        "--method",
        choices=["shear", "reslice"],
        default="shear",
        help="with --pose: shear-warp with cubic splines, one pass (default), or the sum of every "
        "re-sliced coronal slice",
    )
    verb.add_argument(
        "--order", type=int, choices=[1, 3], default=1, help="of reslice: 1 trilinear, 3 cubic"
    )
    verb.add_argument(
        "--reduce",
        choices=["sum", "mean", "max"],
        default="sum",
        help="sum of HU along each ray (default), their mean, or the largest (MIP)",
    )
    verb.add_argument(
        "--transform",
        choices=["hu", "attenuation", "transmission"],
        default="hu",
        help="sum HU (default), X-ray attenuation, or exp(-attenuation); the latter two in a "
        "window of -1000 3071 unless --window says otherwise",
    )


def _hips(stages: Stages) -> None:
    verb = _verb(
        stages, "hips", "Find and crop both hips of a CT, of many, or of a table", verbs.hips
    )
    verb.add_argument(
        "scan", help="a CT (folder or file), a folder of scans (with --each), or scans.csv"
    )
    verb.add_argument("-o", "--out", type=Path, required=True, help="folder to write")
    folder_options(verb, "hips.csv", many="--each or scans.csv")
    review_options(verb, "the scan's geometry gives")
    scan_options(verb, default=" (default: auto)")
    accept_option(verb)


def _xray(stages: Stages) -> None:
    verb = _verb(stages, "xray", "Read X-rays of hips: picture, values and both halves", verbs.xray)
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
        "(mirrored) and boxes.json, with scores (rhoa[train])",
    )
    review_options(verb, "the detector finds; without --detector every box is told as added")
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


def _detector(stages: Stages) -> None:
    verb = _verb(
        stages, "detector", "Train a detector of hips in X-rays and CT-APs", verbs.detector
    )
    detector_options(verb)


def _review(stages: Stages) -> None:
    page_options(
        _verb(stages, "review", "Look at a cohort, correct and grade it on a page", verbs.review)
    )


def _millimetres(text: str) -> float | str:
    return text if text == "file" else float(text)


def _split(stages: Stages) -> None:
    verb = _verb(
        stages, "split", "Part a manifest by subject: training, validation, test", verbs.split
    )
    verb.add_argument(
        "manifest", type=Path, help="manifest.csv, as `rhoa hips scans.csv` writes it"
    )
    verb.add_argument("-o", "--out", type=Path, help="default: the manifest itself")
    verb.add_argument("--seed", type=int, default=2020)
    task = verb.add_mutually_exclusive_group()
    task.add_argument(
        "--audit",
        action="store_true",
        help="look for subjects and copies of images (mirrored, resized, rewindowed, cropped) that "
        "leak between partitions, and exit with 1 if there are; partitions that the manifest has "
        "are left as they are, and nothing that leaks is written",
    )
    task.add_argument(
        "--fold",
        type=int,
        metavar="K",
        help="write K manifests for cross-validation, OUT-fold-1.csv and so on: in each another "
        "fold is test, and the next one val",
    )


def _train(stages: Stages) -> None:
    train_options(_verb(stages, "train", "Train one model", verbs.train))


def _evaluate(stages: Stages) -> None:
    verb = _verb(
        stages, "evaluate", "Measure trained models, with intervals, and report", verbs.evaluate
    )
    verb.add_argument("runs", nargs="+", type=Path, help="run folders of `rhoa train`")
    verb.add_argument(
        "--manifest", type=Path, required=True, help="the manifest they were trained on"
    )
    verb.add_argument("-o", "--out", type=Path, required=True, help="folder for report.html")


def _export(stages: Stages) -> None:
    verb = _verb(
        stages, "export", "Write a trained model as ONNX, which runs without torch", verbs.export
    )
    verb.add_argument("run_folder", metavar="RUN", type=Path, help="run folder of `rhoa train`")
    verb.add_argument(
        "-o",
        "--out",
        type=Path,
        help="folder for model.onnx and model.json, all that `rhoa predict` needs (default: RUN); "
        "nothing is written where it differs from torch by more than 1e-5",
    )


def _predict(stages: Stages) -> None:
    verb = _verb(
        stages, "predict", "Probability of hip osteoarthritis for both hips of scans", verbs.predict
    )
    verb.add_argument(
        "scans",
        nargs="+",
        metavar="SCAN",
        help="a CT (folder of DICOM, or a volume file), a DICOM X-ray (with --detector), or ready "
        "crops (PNG, right hips mirrored, as `rhoa hips` writes them); with --each a folder of CTs",
    )
    predict_options(verb)
    folder_options(verb, "predictions.csv")
    verb.epilog = (
        "A hip is not graded where the pose of its pelvis is flagged, where the scan lacks part of "
        "the joint, or where an implant or bad slices cross it; the table says why, and the exit "
        "code is 4. Crops are made as those that models are trained on. Not a medical device."
    )


def _explain(stages: Stages) -> None:
    verb = _verb(stages, "explain", "Show which parts of a crop a model looks at", verbs.explain)
    verb.add_argument("crop", type=Path, help="a crop of a hip, right hips mirrored (rhoa hips)")
    verb.add_argument("--model", type=Path, required=True, help="run folder of `rhoa train`")
    verb.add_argument("-o", "--out", type=Path, required=True, help="PNG to write")
    crop_option(verb)
    verb.add_argument(
        "--patch", type=int, default=20, help="occluding square, pixels (default: 20)"
    )
    verb.add_argument("--stride", type=int, default=5, help="its step, pixels (default: 5)")
    verb.add_argument(
        "--method",
        choices=["matlab", "mean", "grad-cam"],
        default="matlab",
        help="occlusion as MATLAB draws it (default); each pixel the mean of the squares over it; "
        "or Grad-CAM, coarse and quick",
    )


def _study(stages: Stages) -> None:
    verb = _verb(stages, "study", "Train, measure and report all that a plan names", verbs.conduct)
    study_options(verb)


def _audit(stages: Stages) -> None:
    verb = _verb(
        stages,
        "audit",
        "Find what a published table of figures can come from",
        verbs.audit,
    )
    audit_options(verb)


def _demo(stages: Stages) -> None:
    verb = _verb(stages, "demo", "Run everything on a phantom cohort and report", verbs.demo)
    verb.add_argument("-o", "--out", type=Path, required=True, help="folder to write")
    verb.add_argument("--seed", type=int, default=2020)
    verb.add_argument("--ct-subjects", type=int, help="phantom CTs (default: 24)")
    verb.add_argument("--xray-subjects", type=int, help="phantom X-rays (default: 36)")
    verb.add_argument("--epochs", type=int, help="of each model (default: 12)")
    verb.add_argument("--full", action="store_true", help="fail (exit 3) where torch is missing")


def _bench(stages: Stages) -> None:
    verb = _verb(
        stages,
        "bench",
        "Time the projections beside a plain read of memory, NumPy and Numba",
        verbs.bench,
    )
    verb.add_argument(
        "--shape",
        nargs=3,
        type=int,
        default=SHAPE,
        metavar=("K", "J", "I"),
        help="slices, rows and columns of the noisy scan (default: 600 512 512, 0.6 GB)",
    )
    verb.add_argument("--rounds", type=int, default=7, help="timed calls of each (default: 7)")
    verb.add_argument("--threads", type=int, help="default: RHOA_NUM_THREADS, else all processors")


def _info(stages: Stages) -> None:
    _verb(stages, "info", "Print versions, for a bug report", verbs.info)

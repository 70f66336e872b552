"""Options that several verbs share."""

from __future__ import annotations

import argparse
from pathlib import Path

from rhoa.hips.crop_files import CROP_REFUSALS
from rhoa.pose.scan_coverage import HIP_REFUSALS
from rhoa.xray.refusals import HIPS


def folder_options(verb: argparse.ArgumentParser, table: str, *, many: str = "--each") -> None:
    """Of verbs that do every scan of a folder; ``many`` says when there are many."""
    verb.add_argument(
        "--each",
        action="store_true",
        help="every subfolder and volume file of SCAN is a scan of its own: a folder for each, "
        f"{table}, and contact-sheet.html, scans that need a review first. Started again, "
        "it does what is not done",
    )
    verb.add_argument(
        "--pseudonyms",
        type=Path,
        metavar="KEY",
        help="call scans and subjects by pseudonyms of their PatientID, the same for every scan of "
        "a patient, made with the key in this file, which you keep (rhoa.cohort.Pseudonyms.create "
        "makes one); default: their own names",
    )
    verb.add_argument(
        "--workers", type=int, default=1, help=f"with {many}: scans at a time (default: 1)"
    )
    verb.add_argument(
        "--scheduler",
        metavar="tcp://HOST:PORT",
        help=f"with {many}: do them on this Dask cluster, which sees the same files (extra dask)",
    )
    verb.add_argument(
        "--shard",
        type=_shard,
        metavar="I/N",
        help="with --each: part I of N only, as for the tasks of a SLURM array; tables and page "
        "are named after it",
    )


def _shard(text: str) -> tuple[int, int]:
    number, _, count = text.partition("/")
    if not (number.isdecimal() and count.isdecimal() and 1 <= int(number) <= int(count)):
        raise argparse.ArgumentTypeError(f"{text!r} is no part such as 1/4")
    return int(number), int(count)


def review_options(verb: argparse.ArgumentParser, found_by: str) -> None:
    """Of verbs that crop hips."""
    verb.add_argument(
        "--review",
        action="store_true",
        help="also write contact-sheet.html with every box and score, and the boxes to correct: "
        "boxes.csv (left, top, right, bottom in pixels of the picture; empty where there is no "
        "hip) and boxes.coco.json, for annotation programs",
    )
    verb.add_argument(
        "--boxes",
        type=Path,
        metavar="FILE",
        help="boxes.csv or COCO JSON of --review after somebody corrected it: its pictures get its "
        f"boxes, others keep those that {found_by}; corrections.csv lists what was moved, added "
        "and removed",
    )


def accept_option(verb: argparse.ArgumentParser) -> None:
    """Of the verb that crops the hips of CTs."""
    verb.add_argument(
        "--accept",
        metavar="NAME,...",
        default="",
        help="crop hips all the same that are refused for these reasons, after a person has "
        f"reviewed them: {', '.join(sorted(HIP_REFUSALS))}; mono reads virtual mono-energetic "
        "HU, too",
    )


def scan_options(verb: argparse.ArgumentParser, *, default: str = "") -> None:
    """Of verbs that project a CT."""
    series_option(verb)
    repair_option(verb)
    join_option(verb)
    cache_option(verb, also=". Each volume is then read whole, also where none is posed")
    verb.add_argument(
        "--max-bytes",
        type=_size,
        default=4 << 30,
        metavar="BYTES",
        help="largest volume to hold in memory, also as 8G (default: 4G); slices that are summed "
        "while they are read need no such limit",
    )
    verb.add_argument(
        "--window",
        nargs=2,
        type=float,
        metavar=("LOW", "HIGH"),
        help="HU window, clipped before summation (default: -150 600)",
    )
    verb.add_argument(
        "--pose",
        metavar="auto|FILE|standing|force[:FILE]",
        help="auto finds the anterior pelvic plane, also where the iliac spines lie outside the "
        "scan, and the image shows the pelvis with that plane "
        "upright; FILE has landmarks (JSON: asis_left, asis_right, pubic_tubercle_left, "
        "pubic_tubercle_right, each [x, y, z] in patient LPS mm), which are compared with what is "
        "found; standing shows the pelvis with the tilt in which the patient lies, tipped back by "
        "5 deg, as most are who stand up. A pose that is flagged is not used but by force "
        f"(auto) or force:FILE{default}",
    )
    verb.add_argument(
        "--depth",
        nargs="+",
        default=["all"],
        metavar="all|pelvis|hip|FRONT BACK",
        help="with --pose: part of the ray that counts: hip and pelvis follow the hip centres; or "
        "two numbers, mm behind the anterior pelvic plane",
    )
    verb.add_argument(
        "--pixel-mm", type=float, help="with --pose: pixel size (default: the scan's)"
    )
    verb.add_argument(
        "--tilt-offset",
        type=float,
        metavar="DEG",
        help="with --pose: tip the pelvis about its hips, iliac spines forward if above 0. Zero is "
        "the upright anterior pelvic plane; with --pose standing, the tilt in which the patient "
        "lies (default there: -5)",
    )
    threads_option(verb)


def predict_options(verb: argparse.ArgumentParser) -> None:
    """Of the verb that grades hips. Nothing here makes a crop unlike those of training."""
    verb.add_argument(
        "--model",
        type=Path,
        action="append",
        required=True,
        metavar="RUN",
        help="run folder of `rhoa train`, or a folder of `rhoa export`; given several times, the "
        "models grade together, and spread says how far they differ",
    )
    verb.add_argument(
        "-o",
        "--out",
        type=Path,
        help="folder for predictions.csv and, of each scan, prediction.json, its image and both "
        "crops; needed where there are several scans",
    )
    verb.add_argument(
        "--views",
        type=int,
        default=1,
        metavar="N",
        help="grade each crop N times, turned, shifted and scaled a little; the probability is "
        "their mean (default: 1)",
    )
    verb.add_argument(
        "--abstain",
        type=float,
        metavar="SHARE",
        help="give no answer where the model is less sure than of all but this share of its "
        "validation hips, such as 0.1; the row says so, and the exit code is 4",
    )
    verb.add_argument(
        "--pose",
        metavar="auto|FILE|standing|force[:FILE]",
        help="of a CT, as in `rhoa hips` (default: auto)",
    )
    series_option(verb)
    repair_option(verb)
    cache_option(verb)
    verb.add_argument(
        "--detector",
        type=Path,
        metavar="FOLDER",
        help="a hip detector for X-rays (extra train); with it, pictures are whole X-rays",
    )
    crop_option(verb, also="; of a CT, those of `rhoa hips`, of an X-ray, those of `rhoa xray`")
    side_option(verb)
    verb.add_argument(
        "--runtime",
        choices=["auto", "torch", "onnx"],
        default="auto",
        help="what computes; auto: ONNX Runtime (extra onnx) where the model was exported, else "
        "torch (extra train)",
    )
    verb.add_argument("--device", default="auto", help="of torch: auto, cpu, cuda (default: auto)")
    verb.add_argument(
        "--dicom",
        action="store_true",
        help="also write image.dcm (Secondary Capture) and findings.dcm (Comprehensive SR), of "
        "nobody, or of the pseudonym of --pseudonyms (extra dicom-out)",
    )
    verb.add_argument(
        "--identified",
        action="store_true",
        help="with --dicom: of the patient and the study that the scan names, to join them in an "
        "archive; without it neither is in any file",
    )
    threads_option(verb)


def crop_option(verb: argparse.ArgumentParser, *, also: str = "") -> None:
    """Of verbs that read crops."""
    names = "; ".join(f"{name}: {meaning}" for name, meaning in CROP_REFUSALS.items())
    verb.add_argument(
        "--accept",
        metavar="NAME,...",
        default="",
        help=f"of a crop that is refused, read it all the same ({names}){also}",
    )


def side_option(verb: argparse.ArgumentParser) -> None:
    """Of verbs that read X-rays."""
    verb.add_argument(
        "--side",
        choices=HIPS,
        help="what the X-rays show: one hip alone, the patient's left or right, or both; default: "
        "what their elements say, or their size; where neither tells, it is asked for, for a film "
        "of one hip must not be cut in half",
    )


def series_option(verb: argparse.ArgumentParser) -> None:
    """Of verbs that read a CT."""
    verb.add_argument(
        "--series",
        metavar="UID|N|auto",
        help="which series, if the folder holds several; auto: the axial one that shows the "
        "pelvis, then most slices, thinnest, softest kernel, first phase",
    )


def join_option(verb: argparse.ArgumentParser) -> None:
    """Of verbs that read a CT."""
    verb.add_argument(
        "--join",
        action="store_true",
        help="read slices of several series that share one grid as one scan",
    )


def cache_option(verb: argparse.ArgumentParser, *, also: str = "") -> None:
    """Of verbs that read a CT."""
    verb.add_argument(
        "--cache",
        type=Path,
        metavar="DIR",
        help="keep decoded volumes in this folder: what is read again, by this verb or another, "
        "with the same files and options is not decoded again. About two bytes a voxel (300 slices "
        "of 512 x 512: 157 MB), and nothing is ever removed: delete the folder to empty it. It "
        f"holds patients' voxels: protect it like the scans{also}",
    )


def _size(text: str) -> int:
    factor = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}.get(text[-1:].upper(), 1)
    number = text[:-1] if factor > 1 else text
    if not number.isdecimal() or int(number) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no size such as 6000000000 or 8G")
    return int(number) * factor


def threads_option(verb: argparse.ArgumentParser) -> None:
    """Of verbs that project."""
    verb.add_argument("--threads", type=int, help="default: RHOA_NUM_THREADS, else all processors")


def repair_option(verb: argparse.ArgumentParser) -> None:
    """Of verbs that read a CT."""
    verb.add_argument(
        "--repair",
        metavar="NAME,...",
        default="",
        help="repairs that may be made: gaps, tilt, spacing, drop, monochrome1",
    )


def detector_options(verb: argparse.ArgumentParser) -> None:
    """Of the verb that trains a hip detector."""
    verb.add_argument(
        "labels",
        nargs="*",
        type=Path,
        help="boxes that were drawn or corrected: COCO JSON, boxes.csv of `rhoa hips --review` (a "
        "CT labels its own CT-AP) or of `rhoa xray --review`, or a table of MATLAB",
    )
    verb.add_argument("-o", "--out", type=Path, required=True, help="folder of the detector")
    verb.add_argument(
        "--phantoms",
        type=_whole,
        default=0,
        metavar="N",
        help="also learn from X-rays and CT-APs of N digital subjects, which need no labels",
    )
    verb.add_argument(
        "--subjects",
        type=Path,
        metavar="CSV",
        help="CSV with columns image and subject; images of one subject are held "
        "out together; default: each picture is of another subject",
    )
    verb.add_argument(
        "--images",
        type=Path,
        metavar="FOLDER",
        help="where the pictures of FILE are (default: in its folder); names of another machine "
        "are matched by the ends of their paths",
    )
    verb.add_argument(
        "--hip-class",
        metavar="NAME",
        default="",
        help="the class of FILE (COCO, Label Studio) that is hips, where its name does not say it",
    )
    verb.add_argument(
        "--shows",
        choices=["pelvis", "half"],
        default="pelvis",
        help="what labelled pictures show: a pelvis (default), or halves that look like left hips",
    )
    verb.add_argument(
        "--backbone",
        metavar="NAME",
        help="mobilenet_v3_large_320_fpn (default), torchvision's; mobilenet_v3_large_fpn, ten "
        "times quicker on a CPU; alexnet, the paper's",
    )
    verb.add_argument(
        "--weights",
        type=Path,
        metavar="FILE",
        help="start from torchvision's weights of that network (COCO) or of its classifier "
        "(ImageNet), .safetensors or .pth; default: random",
    )
    verb.add_argument(
        "--image-size", type=int, help="shorter side of a half (default: 320; 128 for the last two)"
    )
    verb.add_argument("--epochs", type=int, help="passes over the halves (default: 20)")
    verb.add_argument("--batch", type=int, help="halves at once (default: 4)")
    verb.add_argument("--learning-rate", type=float, help="of Adam (default: 0.001)")
    verb.add_argument(
        "--test-share", type=float, help="of the subjects, held out and measured (default: 0.1)"
    )
    verb.add_argument(
        "--accept",
        metavar="NAME,...",
        default="",
        help="refusals of boxes to overrule: half (in the half of the other side), outside (partly "
        "outside the picture), box (not the size of a hip)",
    )
    verb.add_argument("--device", default="auto", help="auto, cpu, cuda (default: auto)")
    verb.add_argument("--seed", type=int, default=2020)
    verb.epilog = (
        "From nothing, in minutes: rhoa detector --phantoms 24 --epochs 12 -o runs/detector. From "
        "your own scans: rhoa hips scans --each --review -o out; rhoa detector out/boxes.csv -o "
        "runs/detector. Needs extra train."
    )


def _whole(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number")
    return int(text)

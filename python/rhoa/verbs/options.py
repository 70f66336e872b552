"""Options that several verbs share."""

from __future__ import annotations

import argparse
from pathlib import Path


def folder_options(verb: argparse.ArgumentParser, table: str, *, many: str = "--each") -> None:
    """Of verbs that do every scan of a folder; ``many`` says when there are many."""
    verb.add_argument(
        "--each",
        action="store_true",
        help="every subfolder and volume file of SCAN is a scan of its own: a folder for each, "
        f"{table}, and contact-sheet.html to look at, scans that need you first. Started again, "
        "it does what is not done",
    )
    verb.add_argument(
        "--workers", type=int, default=1, help=f"with {many}: scans at a time (default: 1)"
    )
    verb.add_argument(
        "--scheduler",
        metavar="tcp://HOST:PORT",
        help=f"with {many}: do them on this Dask cluster, which sees the same files (rhoa[dask])",
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
        f"boxes, others keep those that {found_by}; corrections.csv tells what was moved, added "
        "and removed",
    )


def scan_options(verb: argparse.ArgumentParser, *, default: str = "") -> None:
    """Of verbs that project a CT."""
    verb.add_argument(
        "--series",
        metavar="UID|N|auto",
        help="which series, if the folder holds several; auto: most axial slices, then thinnest",
    )
    repair_option(verb)
    verb.add_argument(
        "--window",
        nargs=2,
        type=float,
        metavar=("LOW", "HIGH"),
        help="HU window, clipped before summation (default: -150 600)",
    )
    verb.add_argument(
        "--pose",
        metavar="auto|FILE|force[:FILE]|no-asis",
        help="auto finds the anterior pelvic plane; no-asis estimates it where the iliac spines "
        "were not scanned (tilt within about 4 deg); FILE has landmarks (JSON: asis_left, "
        "asis_right, pubic_tubercle_left, pubic_tubercle_right, each [x, y, z] in patient LPS mm), "
        "which are compared with what is found. A pose that is flagged is not used but by force "
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
        default=0.0,
        metavar="DEG",
        help="with --pose: tip the pelvis about its hips, ASIS forward if above 0; standing up "
        "tips most by about -5",
    )
    verb.add_argument("--threads", type=int, help="default: RHOA_NUM_THREADS, else all processors")


def repair_option(verb: argparse.ArgumentParser) -> None:
    """Of verbs that read a CT."""
    verb.add_argument(
        "--repair",
        metavar="NAME,...",
        default="",
        help="repairs that may be made: gaps, tilt, spacing, drop, monochrome1",
    )

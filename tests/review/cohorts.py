"""Phantom cohorts in the files of `rhoa hips --each`, made quickly: poses are the phantoms' own.

`test_cases.py` checks that the files of the command itself are read alike.
"""

from __future__ import annotations

import csv
import json
from typing import TYPE_CHECKING

import numpy as np

import rhoa
from rhoa._types import SIDES
from rhoa.phantom import Anatomy, ct, write_dicom
from rhoa.raster import encode_png

if TYPE_CHECKING:
    from pathlib import Path

SPACING_MM = (5.5, 5.0, 4.5)
PATIENT = "Doe^Jane"
"""In every scan and folder's name; it must never reach the page."""


def make_cohort(folder: Path, *, patients: int, flagged: int | None = None) -> tuple[Path, Path]:
    """The folder that a reader reviews, and the scans that it was made from.

    The pose of patient ``flagged``, from 1, was not used: its image is as scanned.
    """
    scans, out = folder / "scans", folder / "hips"
    for number in range(1, patients + 1):
        grades = np.random.default_rng(number).integers(5, size=2)
        anatomy = Anatomy.random(number, kl_left=int(grades[0]), kl_right=int(grades[1]))
        angles = (number % 5 - 2.0, number % 3 - 1.0, 1.0)
        phantom = ct(anatomy, spacing_mm=SPACING_MM, angles=angles)
        name = f"{PATIENT}-{number:02d}"
        write_dicom(phantom.volume, scans / name, subject=name, seed=number)
        used = number != flagged
        _write(phantom.volume, phantom.landmarks, out / name, used=used)
    return out, scans


def _write(volume: rhoa.Volume, landmarks: rhoa.Landmarks, folder: Path, *, used: bool) -> None:
    folder.mkdir(parents=True)
    image = rhoa.ctap(volume, pose=landmarks if used else None)
    image.save(folder / "ct-ap.npz")
    flags = [] if used else ["ambiguous"]
    pose = {"used": used, "flags": flags, "hard_flags": flags, **landmarks.as_dict()}
    (folder / "pose.json").write_text(json.dumps(pose))
    boxes = rhoa.hips.boxes(image, landmarks)
    rows = [
        {
            "side": side,
            **{edge: getattr(box, edge) for edge in ("top", "left", "bottom", "right")},
            "confidence": 0.9,
            "flags": [],
        }
        for side, box in boxes.items()
    ]
    (folder / "boxes.json").write_text(json.dumps(rows))


def make_manifest(folder: Path, hips: int) -> Path:
    """A manifest of X-ray crops, 24 x 24 pixels, two hips a subject, without grades."""
    folder.mkdir(parents=True, exist_ok=True)
    table = folder / "manifest.csv"
    with table.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["image", "subject", "side", "source", "kl", "visit", "label"])
        for number in range(hips):
            pixels = np.random.default_rng(number).integers(256, size=(24, 24), dtype=np.uint8)
            name = f"{number}.png"
            (folder / name).write_bytes(encode_png(pixels))
            side = SIDES[number % 2]
            rows.writerow([name, f"{PATIENT}-{number // 2}", side, "xray", "", "", ""])
    return table

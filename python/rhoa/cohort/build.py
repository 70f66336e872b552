"""From a list of scans to crops of hips and their manifest."""

from __future__ import annotations

import hashlib
import re
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

from rhoa.cohort.manifest import (
    SOURCES,
    Hip,
    Manifest,
    choice,
    exclusion_of,
    grade,
    label_of,
    read_rows,
    sha256_of,
)
from rhoa.errors import ManifestError, RhoaError, RhoaWarning
from rhoa.hips import Box, boxes, crop, joints, located, read_xray
from rhoa.hips.xray import PICTURES
from rhoa.picture import encode_png, stretch
from rhoa.pose import Landmarks, from_landmarks, from_volume
from rhoa.pose.sides import SIDES
from rhoa.projection import ctap
from rhoa.writing import atomic_write, csv_text

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from os import PathLike

    import numpy as np
    from numpy.typing import NDArray

    from rhoa.cohort.manifest import Source
    from rhoa.pose.sides import Side
    from rhoa.radiograph import Radiograph

COLUMNS = (
    *("subject", "source", "scan", "side", "visit", "kl", "landmarks"),
    *("top", "left", "bottom", "right"),
)
CT_CROP_PIXELS = 100
# Gebre et al. 2022, "contrast adjustment was done on the CHECK X-rays by saturating the bottom and
# the top 1% of the pixel values"; CT-APs were left as they are.
XRAY_SATURATION_PERCENT = 1.0


@dataclass(frozen=True, slots=True)
class _Scan:
    """One scan of the list, with the rows of its hips."""

    path: Path
    subject: str
    source: Source
    visit: str
    rows: tuple[tuple[int, Mapping[str, str]], ...]

    @property
    def name(self) -> str:
        """A file name made of the subject and the visit."""
        whole = "_".join([self.subject, self.visit] if self.visit else [self.subject])
        safe = re.sub(r"[^A-Za-z0-9_.-]+", "-", whole).strip(".-")
        if safe == whole and "_" not in self.subject + self.visit:
            return safe
        # Different subjects must not share a name because a file system would not take theirs.
        digest = hashlib.blake2s(f"{self.subject}\0{self.visit}".encode()).hexdigest()[:8]
        return f"{safe or 'scan'}-{digest}"


def build(
    scans_csv: str | PathLike[str],
    out: str | PathLike[str],
    *,
    progress: Callable[[int, int, str], None] | None = None,
) -> Manifest:
    """Crop every hip of a list of scans and write the manifest of the crops.

    Parameters
    ----------
    scans_csv
        One row per hip; columns ``subject, source, scan, side, visit, kl, landmarks, top, left,
        bottom, right``. For ``source`` ct, ``scan`` is a DICOM folder or a NIfTI file and
        ``landmarks`` a JSON file of `Landmarks`, or empty where the pose is to be found in the
        scan; for xray, ``scan`` is an image and the last four
        are the hip's box in pixel edges of the image as `rhoa.hips.read_xray` turns it. Paths are
        relative to the table. A column ``exclusion`` (prosthesis, quality) may be added.
    out
        Folder for ``ct-ap/NAME.png`` and ``.npz``, ``crops/SOURCE/NAME_SIDE.png`` (CT-AP crops
        100 x 100; X-ray crops as large as they are, with 1 % saturated at either end; right hips
        mirrored), ``manifest.csv`` and, where scans failed, ``rejected.csv`` with the reasons.
    progress
        Called with (scans done, scans in all, what is being done).

    Returns
    -------
    Manifest
        Of the hips that were cropped, not yet split.

    Raises
    ------
    ManifestError
        If the table is wrong, or every scan failed. One failing scan is a warning.
    """
    scans_csv, out = Path(scans_csv), Path(out)
    scans = _scans(scans_csv)
    for folder in ("ct-ap", "crops/ct", "crops/xray"):
        (out / folder).mkdir(parents=True, exist_ok=True)
    hips: list[Hip] = []
    rejected: list[tuple[str, str, str]] = []
    for done, scan in enumerate(scans):
        if progress is not None:
            progress(done, len(scans), "making crops")
        try:
            hips += _crop_scan(scan, scans_csv, out)
        except RhoaError as error:
            rejected.append((scan.subject, scan.source, str(error)))
    if progress is not None:
        progress(len(scans), len(scans), "making crops")
    _report_rejected(rejected, out)
    if not hips:
        raise ManifestError(
            f"{scans_csv.name}: every scan failed; the first: {rejected[0][2] if rejected else ''}"
        )
    manifest = Manifest(tuple(hips))
    manifest.write(out / "manifest.csv")
    return manifest


def ct_ap_of(hip: Hip) -> Path:
    """Where `build` keeps the CT-AP that the crop of ``hip`` was taken from."""
    name = hip.image.stem.removesuffix(f"_{hip.side}")
    return hip.image.parents[2] / "ct-ap" / f"{name}.npz"


def _scans(table: Path) -> list[_Scan]:
    grouped: dict[str, list[tuple[int, dict[str, str]]]] = {}
    for line, row in read_rows(table, COLUMNS):
        choice(row["source"], SOURCES, f"{table.name}, line {line}: source")
        choice(row["side"], SIDES, f"{table.name}, line {line}: side")
        grade(row["kl"], f"{table.name}, line {line}")
        exclusion_of(row.get("exclusion", ""), f"{table.name}, line {line}")
        if any(row["side"] == other["side"] for _, other in grouped.get(row["scan"], ())):
            raise ManifestError(
                f"{table.name}, line {line}: the {row['side']} hip of this scan is listed twice."
            )
        if not row["subject"] or not row["scan"]:
            raise ManifestError(f"{table.name}, line {line}: subject or scan is empty.")
        grouped.setdefault(row["scan"], []).append((line, row))
    if not grouped:
        raise ManifestError(f"{table.name}: the table has no rows.")
    scans = []
    for rows in grouped.values():
        line, first = rows[0]
        for key in ("subject", "source", "visit", "landmarks"):
            if any(row[key] != first[key] for _, row in rows):
                raise ManifestError(
                    f"{table.name}, line {line}: the rows of this scan differ in {key}."
                )
        source = cast("Source", first["source"])
        path = table.parent / first["scan"]
        scans.append(_Scan(path, first["subject"], source, first["visit"], tuple(rows)))
    names = [(scan.source, scan.name.casefold()) for scan in scans]
    if len(set(names)) < len(names):
        raise ManifestError(
            f"{table.name}: two scans have the same subject and visit; number the visits."
        )
    return scans


def _crop_scan(scan: _Scan, table: Path, out: Path) -> list[Hip]:
    if scan.source == "ct":
        image, hip_boxes = _project(scan, table, out)
    else:
        image, hip_boxes = _xray(scan, table)
    hips = []
    for line, row in scan.rows:
        side = cast("Side", row["side"])
        file = out / "crops" / scan.source / f"{scan.name}_{side}.png"
        size = CT_CROP_PIXELS if scan.source == "ct" else None
        _write_crop(crop(image, hip_boxes[side], size=size), scan.source, file)
        where = f"{table.name}, line {line}"
        kl, exclusion = grade(row["kl"], where), exclusion_of(row.get("exclusion", ""), where)
        hips.append(
            Hip(
                *(file, scan.subject, side, scan.source, kl, scan.visit),
                label=label_of(kl) if exclusion is None else None,
                exclusion=exclusion,
                sha256=sha256_of(file),
            )
        )
    return hips


def _project(scan: _Scan, table: Path, out: Path) -> tuple[Radiograph, Mapping[Side, Box]]:
    from rhoa.reading import read_ct

    line, row = scan.rows[0]
    name = f"{table.name}, line {line}"
    if row["landmarks"]:
        alignment = from_landmarks(Landmarks.from_json(table.parent / row["landmarks"]))
        _require_sound(alignment.flags, f"{name}: the landmarks are flagged", "correct them")
        volume = read_ct(scan.path)
    else:
        volume = read_ct(scan.path)
        alignment = from_volume(volume)
        remedy = "look at it, and give a landmarks file"
        _require_sound(alignment.hard_flags, f"{name}: the pose found is flagged", remedy)
    found = joints(volume, alignment)
    image = ctap(volume, pose=located(alignment, found))
    image.save(out / "ct-ap" / f"{scan.name}.png")
    image.save(out / "ct-ap" / f"{scan.name}.npz")
    return image, boxes(image, joints=found)


def _require_sound(flags: frozenset[str], what: str, remedy: str) -> None:
    if flags:
        raise ManifestError(f"{what} {', '.join(sorted(flags))}; {remedy}.")


def _xray(scan: _Scan, table: Path) -> tuple[Radiograph, Mapping[Side, Box]]:
    # The box is in pixels: a picture need not know their size.
    is_picture = scan.path.suffix.lower() in PICTURES
    image = read_xray(scan.path, pixel_mm=1.0 if is_picture else None)
    hip_boxes: dict[Side, Box] = {}
    for line, row in scan.rows:
        side = cast("Side", row["side"])
        try:
            edges = [float(row[edge]) for edge in ("top", "left", "bottom", "right")]
        except ValueError:
            raise ManifestError(
                f"{table.name}, line {line}: an X-ray needs its hip's box: top, left, bottom and "
                "right, in pixels."
            ) from None
        hip_boxes[side] = Box(side, *edges)
    columns = {side: box.centre[1] for side, box in hip_boxes.items()}
    if len(columns) == 2 and columns["left"] <= columns["right"]:
        raise ManifestError(
            f"{table.name}, line {scan.rows[0][0]}: the left hip's box lies to the left of the "
            "right hip's; boxes are in the image as rhoa.hips.read_xray turns it, with the "
            "patient's left on the right."
        )
    return image, hip_boxes


def _write_crop(pixels: NDArray[np.float32], source: Source, file: Path) -> None:
    saturate = XRAY_SATURATION_PERCENT if source == "xray" else 0.0
    atomic_write(file, encode_png(stretch(pixels, saturate_percent=saturate)))


def _report_rejected(rejected: list[tuple[str, str, str]], out: Path) -> None:
    file = out / "rejected.csv"
    if not rejected:
        file.unlink(missing_ok=True)
        return
    atomic_write(file, csv_text(("subject", "source", "reason"), rejected))
    warnings.warn(
        f"{len(rejected)} scans were rejected; {file.name} has the reasons. "
        f"The first: {rejected[0][2]}",
        RhoaWarning,
        stacklevel=3,
    )

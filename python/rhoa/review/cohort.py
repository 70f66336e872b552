"""What a folder holds to be reviewed: cases, each with an image, its pose, its hips."""

from __future__ import annotations

import hashlib
import json
from collections import Counter, defaultdict
from dataclasses import dataclass, field, replace
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from rhoa._types import SIDES
from rhoa.cohort import read
from rhoa.cohort.builder import scan_name
from rhoa.cohort.manifest import ct_ap_of
from rhoa.errors import LandmarkError, ManifestError, ParameterError, ReviewError
from rhoa.files import atomic_write
from rhoa.hips import Box
from rhoa.pose import Landmarks
from rhoa.radiograph import Radiograph
from rhoa.review.events import READER
from rhoa.tables import read_rows

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from os import PathLike

    from rhoa._types import Side
    from rhoa.cohort import Hip
    from rhoa.cohort.manifest import Exclusion, Source


# Where the CTs of a cohort are.


def scans_of(path: str | PathLike[str] | None) -> Mapping[str, Path]:
    """The CTs by the names of their cases.

    Parameters
    ----------
    path
        A folder of scans, each named as its case; a table of scans, whose cases are named by
        subject and visit with a null character between; or None.

    Raises
    ------
    ReviewError
        If there is no such folder or table.
    """
    if path is None:
        return {}
    path = Path(path)
    if path.is_dir():
        return {scan.name: scan for scan in path.iterdir() if not scan.name.startswith(".")}
    if not path.is_file():
        raise ReviewError(f"{path.name}: no such folder or table of scans; check the path.")
    rows = [row for _, row in read_rows(path, ("subject", "visit", "source", "scan"))]
    return {
        f"{row['subject']}\0{row['visit']}": path.parent / row["scan"]
        for row in rows
        if row["source"].casefold() == "ct"
    }


OWN = "review"
"""The folder inside a cohort where readers' journals and exports lie."""
IMAGES: dict[str, Source] = {"ct-ap.npz": "ct", "xray.npz": "xray"}
MANIFEST = "manifest.csv"
ASSIGNMENT = "assignment.json"
"""In `OWN`: who reads which case."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a hip has no crop."""

    reasons: str
    exclusion: Exclusion


@dataclass(frozen=True, slots=True)
class Found:
    """What rhoa found in a case, before any reader."""

    landmarks: Landmarks | None = None
    used: bool = False
    """Whether the image was made through them."""
    flags: tuple[str, ...] = ()
    boxes: Mapping[Side, Box] | None = None
    """In pixel edges of the image; None where they were not written down."""
    hip_flags: Mapping[Side, tuple[str, ...]] = field(default_factory=dict)
    refused: Mapping[Side, Refusal] = field(default_factory=dict)
    """The hips that are not to be graded, unless a reader draws their box."""


@dataclass(frozen=True, slots=True, eq=False)
class ReviewCase:
    """One image and the hips in it."""

    key: str
    """Identifies the case in journals; not derived from anything readable of its name."""
    number: int
    """What a reader sees instead of a name."""
    name: str
    """Of its folder, or of its subject and visit: never shown."""
    source: Source
    image: Path | None = None
    """The radiograph; None where there are crops alone."""
    scan: Path | None = None
    """The CT that the image was made from."""
    found: Found = Found()
    hips: Mapping[Side, Hip] = field(default_factory=dict)
    """Rows of a manifest."""

    @property
    def flagged(self) -> bool:
        """Whether something asks for review."""
        found = self.found
        asked = bool(found.flags or found.refused or any(found.hip_flags.values()))
        lost = found.boxes is not None and len(found.boxes) < len(SIDES)
        return asked or lost or (found.landmarks is not None and not found.used)


@dataclass(frozen=True, slots=True, eq=False)
class Cohort:
    """The cases of a folder, in the order of their names."""

    folder: Path
    cases: tuple[ReviewCase, ...]
    manifest: Path | None = None

    def __iter__(self) -> Iterator[ReviewCase]:
        return iter(self.cases)

    def __len__(self) -> int:
        return len(self.cases)

    def case(self, key: str) -> ReviewCase:
        """The case of that key.

        Raises
        ------
        ReviewError
            If there is none.
        """
        for case in self.cases:
            if case.key == key:
                return case
        raise ReviewError("there is no such case in this folder; load the page again.")

    @property
    def journals(self) -> Path:
        """Where readers' journals lie."""
        return self.folder / OWN

    @property
    def assignment(self) -> dict[str, list[str]] | None:
        """The readers of each case, by key; None where nobody was assigned.

        Raises
        ------
        ReviewError
            If the file is damaged.
        """
        file = self.journals / ASSIGNMENT
        if not file.is_file():
            return None
        try:
            return {
                str(key): list(map(str, of)) for key, of in json.loads(file.read_text()).items()
            }
        except (ValueError, OSError, AttributeError, TypeError):
            raise ReviewError(
                f"{ASSIGNMENT} is damaged; restore it, or delete it and assign the cases anew."
            ) from None

    def assign(self, readers: Sequence[str], *, per_case: int = 1, seed: int = 2020) -> None:
        """Write down who reads which case; cases that have readers keep them.

        Cases are dealt at random, so that readers have equally many of them, and pairs of readers
        equally many in common.

        Parameters
        ----------
        readers
            Their names, as ``--reader`` has them.
        per_case
            How many of them read each case.
        seed
            Of the deal.

        Raises
        ------
        ReviewError
            If there are fewer readers than ``per_case``, or a name is none.
        """
        wrong = next((name for name in readers if not READER.fullmatch(name)), None)
        if wrong is not None or len(set(readers)) < len(readers):
            raise ReviewError(
                "readers must be different names of up to 40 letters, digits, dots, dashes; "
                f"got {', '.join(readers)}."
            )
        if not 1 <= per_case <= len(readers):
            raise ReviewError(
                f"each case can have 1 to {len(readers)} of {len(readers)} readers; got {per_case}."
            )
        assigned = self.assignment or {}
        dealt = list(combinations(readers, per_case))
        counts = Counter(tuple(of) for of in assigned.values())
        loads = Counter(name for of in assigned.values() for name in of)
        rng = np.random.default_rng(seed)
        for number in rng.permutation(len(self.cases)).tolist():
            key = self.cases[number].key
            if key in assigned:
                continue
            of = min(dealt, key=lambda pair: (sum(loads[name] for name in pair), counts[pair]))
            assigned[key] = list(of)
            counts[of] += 1
            loads.update(of)
        self.journals.mkdir(parents=True, exist_ok=True)
        atomic_write(self.journals / ASSIGNMENT, json.dumps(assigned, indent=1) + "\n")


def read_cohort(path: str | PathLike[str], *, scans: str | PathLike[str] | None = None) -> Cohort:
    """The cases of a folder that `rhoa ctap`, `rhoa hips` or `rhoa xray` wrote, or of a manifest.

    Parameters
    ----------
    path
        A folder with a subfolder for each case, or with ``manifest.csv``; or a manifest elsewhere
        than that, whose images lie in its own folder or below.
    scans
        The CTs: the folder that was given to ``--each``, or the table of scans. With them,
        landmarks can be moved.

    Raises
    ------
    ReviewError
        If there is nothing to review, or an image lies outside the folder.
    ManifestError
        If the manifest is wrong.
    """
    path = Path(path)
    table = path if path.suffix.lower() == ".csv" else path / MANIFEST
    folder = table.parent
    if not path.exists():
        raise ReviewError(f"{path.name}: no such folder; pass what rhoa hips or rhoa ctap wrote.")
    of_scan = scans_of(scans)
    of_table = table.is_file()
    cases = list(_in_manifest(table, of_scan) if of_table else _in_folders(folder, of_scan))
    if not cases:
        raise ReviewError(
            f"{folder.name}: holds nothing to review; run rhoa hips SCANS -o {folder.name} --each, "
            "or pass a manifest of crops."
        )
    return Cohort(folder, tuple(cases), table if of_table else None)


def _in_folders(folder: Path, scans: Mapping[str, Path]) -> Iterator[ReviewCase]:
    files = [file for name in IMAGES for file in folder.rglob(name)]
    own = folder / OWN
    images = sorted(
        file
        for file in files
        if not file.is_relative_to(own)
        and not any(name.startswith(".") for name in file.relative_to(folder).parts)
    )
    for number, file in enumerate(images, 1):
        _require_inside(file, folder, file.name)
        name = file.parent.relative_to(folder).as_posix()
        name = folder.name if name == "." else name
        found = _found(file.parent)
        yield ReviewCase(_key(name), number, name, IMAGES[file.name], file, scans.get(name), found)


def _in_manifest(table: Path, scans: Mapping[str, Path]) -> Iterator[ReviewCase]:
    """The cases of a manifest: the hips of one subject, visit and kind of image."""
    grouped: dict[tuple[str, str, str], list[Hip]] = defaultdict(list)
    for hip in read(table):
        if hip.image is not None:
            _require_inside(hip.image, table.parent, f"{table.name}: {hip.image.name}")
        grouped[hip.subject, hip.visit, hip.source].append(hip)
    for number, (key, hips) in enumerate(sorted(grouped.items()), 1):
        subject, visit, source = key
        crops = [hip for hip in hips if hip.image is not None and len(hip.image.parents) > 2]
        made = table.parent / "ct-ap" / f"{scan_name(subject, visit)}.npz"
        made = ct_ap_of(crops[0]) if crops else made
        image = made if source == "ct" and made.is_file() else None
        if image is not None:
            _require_inside(image, table.parent, image.name)
        found, alignment = Found(), None if image is None else Radiograph.load(image).alignment
        if alignment is not None:
            found = Found(alignment.landmarks, used=True, flags=tuple(sorted(alignment.flags)))
        refused = {
            hip.side: Refusal(hip.refused or hip.exclusion, hip.exclusion)
            for hip in hips
            if hip.image is None and hip.exclusion is not None
        }
        yield ReviewCase(
            _key("\0".join(key)),
            number,
            f"{subject}_{visit}" if visit else subject,
            cast("Source", source),
            image,
            scans.get(f"{subject}\0{visit}") if source == "ct" else None,
            replace(found, refused=refused),
            {hip.side: hip for hip in hips},
        )


def _found(folder: Path) -> Found:
    """What was written beside an image."""
    pose, rows = _json(folder / "pose.json", dict), _json(folder / "boxes.json", list)
    try:
        if "asis_left" not in pose and rows is None:
            return Found(used=bool(pose.get("used")), flags=tuple(pose.get("flags", ())))
        landmarks = Landmarks.from_json(folder / "pose.json") if "asis_left" in pose else None
        boxes: dict[Side, Box] = {}
        for row in rows or ():
            if row.get("top") is not None:
                edges = row["top"], row["left"], row["bottom"], row["right"]
                boxes[row["side"]] = Box(row["side"], *edges, row.get("confidence"))
    except (LandmarkError, ParameterError, KeyError, TypeError, AttributeError):
        raise ReviewError(
            "pose.json or boxes.json of a case is damaged; make the case again."
        ) from None
    return Found(
        landmarks,
        used=bool(pose.get("used")),
        flags=tuple(pose.get("flags", ())),
        boxes=None if rows is None else boxes,
        hip_flags={row["side"]: tuple(row.get("flags", ())) for row in rows or ()},
        refused={
            row["side"]: Refusal(row["refused"], row.get("exclusion") or "quality")
            for row in rows or ()
            if row.get("refused")
        },
    )


def _json(file: Path, kind: type) -> Any:  # noqa: ANN401  # whatever JSON holds
    """What a file holds; an empty dict or None where it is absent."""
    absent: dict[str, Any] | None = {} if kind is dict else None
    if not file.is_file():
        return absent
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, OSError):
        content = None
    if not isinstance(content, kind):
        raise ReviewError(f"{file.name} of a case is damaged; make the case again.")
    return content


def _key(name: str) -> str:
    return hashlib.blake2s(name.encode(), digest_size=8).hexdigest()


def _require_inside(file: Path, folder: Path, where: str) -> None:
    """Check that a file, links followed, lies in the folder."""
    if not file.resolve().is_relative_to(folder.resolve()):
        raise ManifestError(
            f"{where} lies outside the folder; only what lies in it can be reviewed: copy it there."
        )

"""Where the CTs of a cohort are."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rhoa.cohort.manifest import read_rows
from rhoa.errors import ReviewError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from os import PathLike


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
        if row["source"] == "ct"
    }

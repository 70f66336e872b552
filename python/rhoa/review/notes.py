"""What a report says of its readers: how well they agree, from the file that an export leaves."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from rhoa.errors import ReviewError

if TYPE_CHECKING:
    from pathlib import Path

FILE = "agreement.json"
TOLD = ("KL, kappa (quadratic)", "rHOA, kappa")


def agreement_notes(folder: Path) -> list[str]:
    """Sentences about the readers of the grades in a folder; none where nobody wrote it down.

    Raises
    ------
    ReviewError
        If the file is damaged.
    """
    file = folder / FILE
    if not file.is_file():
        return []
    try:
        told = json.loads(file.read_text(encoding="utf-8"))
        readers, figures = int(told["readers"]), list(told["figures"])
        lines = [_sentence(one) for name in TOLD for one in figures if one["measure"] == name]
    except (ValueError, KeyError, TypeError):
        raise ReviewError(f"{FILE}: damaged; write it again with rhoa review --export.") from None
    many = "one reader graded" if readers == 1 else f"{readers} readers graded"
    return [f"Grades were read on rhoa's page: {many} the hips.", *lines]


def _sentence(figure: dict[str, Any]) -> str:
    number = "not defined" if figure["value"] is None else f"{figure['value']:.2f}"
    if figure["value"] is not None:
        low, high = figure["low"], figure["high"]
        interval = "not defined" if low is None else f"{low:.2f} to {high:.2f}"
        number += f" (95 % interval {interval})"
    return (
        f"Agreement, {figure['kind']} ({' and '.join(figure['readers'])}): {figure['measure']} "
        f"{number}, {figure['count']} hips of {figure['subjects']} subjects."
    )

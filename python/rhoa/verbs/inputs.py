"""What to call the scans whose paths a verb was given."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from rhoa.errors import ParameterError

if TYPE_CHECKING:
    from collections.abc import Sequence


def distinct_names(scans: Sequence[Path]) -> dict[str, Path]:
    """A name for each scan: its own, after those of its folders where two would have one.

    Examples
    --------
    >>> sorted(distinct_names([Path("a/ct"), Path("b/ct"), Path("c")]))
    ['a-ct', 'b-ct', 'c']
    """
    # Links keep the names they have.
    whole = [Path(os.path.abspath(scan)) for scan in scans]  # noqa: PTH100
    if len(set(whole)) < len(whole):
        raise ParameterError("one scan is named twice.")
    depth = dict.fromkeys(whole, 1)
    while True:
        names = {place: "-".join(place.parts[1:][-depth[place] :]) for place in whole}
        twice = [p for p in whole if list(names.values()).count(names[p]) > 1]
        deeper = [p for p in twice if depth[p] < len(p.parts) - 1]
        if not deeper:
            break
        for place in deeper:
            depth[place] += 1
    if twice:
        raise ParameterError("two scans cannot be told apart by the names of their folders.")
    return {names[place]: scan for place, scan in zip(whole, scans, strict=True)}

"""Filters of an array on several threads: a slab of slices each, as if it were done whole."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import numpy as np

from rhoa.threads import side_by_side, thread_count

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

Given = TypeVar("Given", bound=np.generic)
Made = TypeVar("Made", bound=np.generic)


def by_slabs(
    work: Callable[[NDArray[Given]], NDArray[Made]], array: NDArray[Given], *, reach: int = 0
) -> NDArray[Made]:
    """``work(array)``, an array of its shape, done in slabs along the first axis.

    Parameters
    ----------
    work
        Looks at most ``reach`` slices ahead and behind; threads gain where it releases the GIL, as
        filters of SciPy do.
    array
        Of at least one slice.
    reach
        Slices.
    """
    length = len(array)
    count = max(1, min(thread_count(), length // (2 * reach + 1)))
    ends = [length * number // count for number in range(count + 1)]

    def part(number: int) -> NDArray[Made]:
        first, last = ends[number], ends[number + 1]
        start = max(0, first - reach)
        return work(array[start : last + reach])[first - start : last - start]

    return np.concatenate(list(side_by_side(part, range(count))))

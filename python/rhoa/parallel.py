"""Threads: how many to use, work done on all of them, and filters of an array by slabs."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from rhoa.errors import ParameterError, require_count

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from numpy.typing import NDArray


# How many threads to use, and work done on all of them.

Given = TypeVar("Given")
Made = TypeVar("Made")

MOST_THREADS = 256


def thread_count(threads: int | None = None) -> int:
    """``threads``, else ``RHOA_NUM_THREADS``, else the processors this process may use.

    Raises
    ------
    ParameterError
        If either is no whole number above zero.
    """
    if threads is not None:
        return min(require_count("threads", threads), MOST_THREADS)
    setting = os.environ.get("RHOA_NUM_THREADS", "")
    if not setting:
        if hasattr(os, "sched_getaffinity"):
            return len(os.sched_getaffinity(0))
        return os.cpu_count() or 1
    if not setting.isdecimal() or int(setting) < 1:
        raise ParameterError(f"RHOA_NUM_THREADS must be a whole number >= 1; got {setting!r}.")
    return min(int(setting), MOST_THREADS)


def side_by_side(work: Callable[[Given], Made], items: Iterable[Given]) -> Iterator[Made]:
    """``work`` of each item, in their order, done on all threads.

    They gain where the work releases Python's lock, as NumPy and SciPy do for large arrays.

    Examples
    --------
    >>> list(side_by_side(abs, [-2, 1]))
    [2, 1]
    """
    pool = ThreadPoolExecutor(thread_count())
    try:
        yield from pool.map(work, items)
    except BaseException:  # Ctrl-C, too: what is left is neither begun nor waited for
        pool.shutdown(wait=False, cancel_futures=True)
        raise
    pool.shutdown()


# Filters of an array on several threads: a slab of slices each, as if it were done whole.

GivenVoxel = TypeVar("GivenVoxel", bound=np.generic)
MadeVoxel = TypeVar("MadeVoxel", bound=np.generic)


def by_slabs(
    work: Callable[[NDArray[GivenVoxel]], NDArray[MadeVoxel]],
    array: NDArray[GivenVoxel],
    *,
    reach: int = 0,
) -> NDArray[MadeVoxel]:
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

    def part(number: int) -> NDArray[MadeVoxel]:
        first, last = ends[number], ends[number + 1]
        start = max(0, first - reach)
        return work(array[start : last + reach])[first - start : last - start]

    return np.concatenate(list(side_by_side(part, range(count))))

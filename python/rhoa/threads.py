"""How many threads to use."""

from __future__ import annotations

import os

from rhoa.errors import ParameterError, require_count

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
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else _processors()
    if not setting.isdecimal() or int(setting) < 1:
        raise ParameterError(f"RHOA_NUM_THREADS must be a whole number >= 1; got {setting!r}.")
    return min(int(setting), MOST_THREADS)


def _processors() -> int:
    return os.cpu_count() or 1

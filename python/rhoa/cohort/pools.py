"""Where many cases are done: processes of this machine, or a Dask cluster."""

from __future__ import annotations

import contextlib
import os
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import TYPE_CHECKING

from rhoa.cohort.cases import Pool
from rhoa.errors import RhoaError, require_count, require_extra

if TYPE_CHECKING:
    from collections.abc import Iterator
    from concurrent.futures import Executor

ALL_AT_ONCE = 1 << 30
"""A cluster deals cases out itself."""
CONNECT_SECONDS = 20


def processes(workers: int) -> Pool:
    """A pool of ``workers`` processes of this machine, which share its processors.

    Raises
    ------
    ParameterError
        If ``workers`` is no whole number above zero.
    """
    workers = require_count("workers", workers)
    threads = max(1, (os.cpu_count() or 1) // workers)

    def start() -> ProcessPoolExecutor:
        return ProcessPoolExecutor(
            workers, get_context("spawn"), initializer=_share, initargs=(threads,)
        )

    return Pool(start, workers)


def dask(address: str) -> Pool:
    """A pool of the workers of a Dask cluster; they need rhoa and see the same files.

    Parameters
    ----------
    address
        Of its scheduler, such as ``tcp://10.0.0.5:8786``.

    Raises
    ------
    MissingExtraError
        If Dask's distributed is not installed.
    RhoaError
        When cases are done, if no scheduler answers there.
    """
    distributed = require_extra("distributed", extra="dask", purpose="a Dask cluster")

    @contextlib.contextmanager
    def start() -> Iterator[Executor]:
        try:
            client = distributed.Client(address, timeout=CONNECT_SECONDS)
        except (OSError, ValueError, TimeoutError):
            raise RhoaError(
                f"{address}: no Dask scheduler answers there; check the address, or leave out "
                "--scheduler."
            ) from None
        with client, client.get_executor(pure=False) as executor:
            yield executor

    return Pool(start, ALL_AT_ONCE)


def _share(threads: int) -> None:
    """Let a process use its share of the processors."""
    for name in ("RHOA_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ.setdefault(name, str(threads))

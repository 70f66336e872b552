"""Algorithms that repeat to the bit, for as long as a run takes."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def deterministic(seed: int, device: torch.device) -> Iterator[None]:
    """What torch was set to, and its random state, come back afterwards."""
    if device.type == "cuda":  # read by cuBLAS when it starts; without it torch refuses
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    strict = torch.are_deterministic_algorithms_enabled()
    lenient = torch.is_deterministic_algorithms_warn_only_enabled()
    benchmark = torch.backends.cudnn.benchmark
    filling: Any = torch.utils.deterministic  # a class that its stub does not know
    filled = filling.fill_uninitialized_memory
    # On a GPU some layers may have no such algorithm: torch warns then.
    torch.use_deterministic_algorithms(mode=True, warn_only=device.type == "cuda")
    torch.backends.cudnn.benchmark = False
    # Nothing here reads memory that it has not written: filling it would only cost time.
    filling.fill_uninitialized_memory = False
    try:
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            yield
    finally:
        torch.use_deterministic_algorithms(mode=strict, warn_only=lenient)
        torch.backends.cudnn.benchmark = benchmark
        filling.fill_uninitialized_memory = filled

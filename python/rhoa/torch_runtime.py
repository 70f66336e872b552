"""torch at work: its device, results that repeat to the bit, several processes as one."""

from __future__ import annotations

import os
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import distributed
from torch.nn.parallel import DistributedDataParallel

from rhoa.errors import ParameterError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor, nn


# Which device torch works on.


def choose_device(device: str) -> torch.device:
    """The torch device of that name; ``"auto"`` is a GPU where there is one.

    Raises
    ------
    ParameterError
        If torch knows no such device or this machine has none.
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        place = torch.device(device)
        torch.empty(1, device=place)
    except (RuntimeError, AssertionError, TypeError) as error:
        reason = str(error).partition("\n")[0]
        raise ParameterError(
            f'device must be "auto" or one this machine has; got {device!r} ({reason}).'
        ) from None
    return place


# Algorithms that repeat to the bit, for as long as a run takes.


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


# Processes that train one model together, as ``torchrun`` starts them; one process otherwise.


@dataclass(frozen=True, slots=True)
class Team:
    """One process among those that train together; rank 0 alone writes files."""

    rank: int = 0
    size: int = 1

    @property
    def leads(self) -> bool:
        """Whether this is the process that writes."""
        return self.rank == 0

    def spread(self, network: nn.Module) -> nn.Module:
        """``network`` with its gradients averaged over the team."""
        return network if self.size == 1 else DistributedDataParallel(network)

    def summed(self, values: Tensor) -> Tensor:
        """The sum of each process's ``values``."""
        if self.size > 1:
            distributed.all_reduce(values)
        return values

    def broadcast(self, values: Tensor) -> Tensor:
        """The leader's ``values``."""
        if self.size > 1:
            distributed.broadcast(values, src=0)
        return values

    def wait(self) -> None:
        """Wait until all are here."""
        if self.size > 1:
            distributed.barrier()


@contextmanager
def gathered(device: str) -> Iterator[tuple[Team, torch.device]]:
    """The team, and the device of this process; the team is dissolved afterwards.

    Raises
    ------
    ParameterError
        If there is no such device, or several processes would share one GPU.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield Team(), choose_device(device)
        return
    local = int(os.environ.get("LOCAL_RANK", "0"))
    place = choose_device(device)
    if place.type == "cuda":
        if local >= torch.cuda.device_count():
            raise ParameterError(
                f"process {local} has no GPU of its own: this machine has "
                f"{torch.cuda.device_count()}; start fewer with torchrun --nproc-per-node."
            )
        place = torch.device("cuda", local)
        torch.cuda.set_device(place)
    distributed.init_process_group("nccl" if place.type == "cuda" else "gloo")
    try:
        yield Team(distributed.get_rank(), size), place
    finally:
        distributed.destroy_process_group()

"""Processes that train one model together, as ``torchrun`` starts them; one process otherwise."""

from __future__ import annotations

import os
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import distributed
from torch.nn.parallel import DistributedDataParallel

from rhoa.devices import choose_device
from rhoa.errors import ParameterError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor, nn


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

    def told(self, values: Tensor) -> Tensor:
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
    """The team, and the device of this process; the team parts afterwards.

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

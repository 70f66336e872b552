"""torch at work: its device, whole float32, results that repeat, several processes as one."""

from __future__ import annotations

import os
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel

from rhoa.errors import ParameterError, RhoaError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from torch import Tensor


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


def device_name(place: torch.device) -> str:
    """What a device is called: of a GPU of CUDA its product name."""
    return torch.cuda.get_device_name(place) if place.type == "cuda" else place.type


def sent(tensor: Tensor, place: torch.device) -> Tensor:
    """``tensor`` on that device; a GPU of CUDA fetches it while the processor goes on."""
    if place.type != "cuda" or tensor.device.type != "cpu":
        return tensor.to(place)
    return tensor.pin_memory().to(place, non_blocking=True)


# Products in whole float32, and algorithms that repeat to the bit, for as long as a run takes.


@contextmanager
def whole_float32() -> Iterator[None]:
    """Within it, float32 is multiplied as float32 and in no shorter type.

    GPUs have TensorFloat-32 of 10 bits, which torch takes for convolutions by default; where a
    program asks torch for speed (``set_float32_matmul_precision``), processors have bfloat16.
    """
    backends = (torch.backends.cuda, torch.backends.cudnn, torch.backends.mkldnn)
    switches: list[Any] = [
        getattr(one, name)
        for one in backends
        for name in ("matmul", "conv", "rnn")
        if hasattr(one, name)
    ]
    before = [switch.fp32_precision for switch in switches]
    for switch in switches:
        switch.fp32_precision = "ieee"
    try:
        yield
    finally:
        for switch, precision in zip(switches, before, strict=True):
            switch.fp32_precision = precision


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
    torch.use_deterministic_algorithms(mode=True, warn_only=device.type != "cpu")
    torch.backends.cudnn.benchmark = False
    # Nothing here reads memory that it has not written: filling it would only cost time.
    filling.fill_uninitialized_memory = False
    try:
        with torch.random.fork_rng(), whole_float32():
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
        """``network``, a step of which is that of one process with the whole batch.

        Gradients are averaged over the team; in place, batch normalisation becomes that of the
        whole batch.
        """
        if self.size == 1:
            return network
        for parent in list(network.modules()):
            for name, layer in parent.named_children():
                if type(layer) is nn.BatchNorm2d:
                    setattr(parent, name, _of_whole_batch(layer))
        return DistributedDataParallel(network)

    def summed(self, values: Tensor) -> Tensor:
        """The sum of each process's ``values``."""
        if self.size > 1:
            distributed.all_reduce(values)
        return values

    def broadcast(self, values: Sequence[float], place: torch.device) -> list[float]:
        """The leader's ``values``; the others give as many."""
        if self.size == 1:
            return list(values)
        shared = torch.tensor(values, dtype=torch.float64, device=place)
        distributed.broadcast(shared, src=0)
        return [float(value) for value in shared.tolist()]

    def everyone(self, own: str) -> list[str]:
        """What each process gives, by rank."""
        if self.size == 1:
            return [own]
        given: list[Any] = [None] * self.size
        distributed.all_gather_object(given, own)
        return given

    def once(self, work: Callable[[], object], place: torch.device) -> None:
        """Let the leader do ``work`` while the others wait; what it raises ends all of them."""
        raised = None
        if self.leads:
            try:
                work()
            except RhoaError as error:
                raised = error
        if self.broadcast([float(raised is not None)], place)[0]:
            raise raised or RhoaError("stopped, as the first process did; its message says why.")

    def wait(self) -> None:
        """Wait until all are here."""
        if self.size > 1:
            distributed.barrier()


def _of_whole_batch(layer: nn.BatchNorm2d) -> nn.Module:
    """``layer`` with the statistics of the whole batch, of which each process has a part."""
    if layer.weight.device.type == "cuda":
        synchronised: nn.Module = nn.SyncBatchNorm.convert_sync_batchnorm(layer)  # type: ignore[no-untyped-call]
        return synchronised
    layer.__class__ = TeamBatchNorm  # adds no state: every parameter and buffer stays
    return layer


class _Summed(torch.autograd.Function):
    """The sum over the team, of a tensor and of its gradients."""

    @staticmethod
    def forward(_: Any, own: Tensor) -> Tensor:  # noqa: ANN401  # torch's context
        total = own.clone()
        distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(_: Any, gradient: Tensor) -> Tensor:  # noqa: ANN401
        return _summed(gradient)


def _summed(own: Tensor) -> Tensor:
    total: Tensor = _Summed.apply(own)
    return total


class TeamBatchNorm(nn.BatchNorm2d):
    """Batch normalisation over the parts of all processes, as `torch.nn.SyncBatchNorm` of GPUs."""

    def forward(self, images: Tensor) -> Tensor:
        """Of ``(n, channels, rows, columns)``; in evaluation mode that of one process."""
        if not self.training:
            return super().forward(images)
        whole = images.float()
        axes = (0, 2, 3)
        own = whole.new_full((1,), whole.numel() / whole.shape[1])
        sums, count = _summed(torch.cat([whole.sum(axes), own])).tensor_split([-1])
        mean = sums / count
        centred = whole - mean.view(1, -1, 1, 1)
        variance = _summed(centred.square().sum(axes)) / count
        with torch.no_grad():
            self.get_buffer("num_batches_tracked").add_(1)
            pace = self.momentum or 0.0
            self.get_buffer("running_mean").lerp_(mean, pace)
            self.get_buffer("running_var").lerp_(variance * count / (count - 1), pace)
        scale = self.weight * (variance + self.eps).rsqrt()
        scaled = centred * scale.view(1, -1, 1, 1) + self.bias.view(1, -1, 1, 1)
        normalised: Tensor = scaled.to(images.dtype)
        return normalised


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

"""Checkpoints: all that a run needs to go on to the bit, in one safetensors file.

The tensors are those of the network, of its best validation so far, of the optimizer and of the
random number generators; the header holds the rest as JSON. Nothing in the file can run code.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from rhoa.errors import WeightsError
from rhoa.learning.curves import Step
from rhoa.writing import replacing

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from torch import Tensor, nn
    from torch.amp import GradScaler

CHECKPOINT_FILE = "checkpoint.safetensors"
_HEADER = "rhoa"
_NETWORK, _BEST, _OPTIMIZER, _RANDOM = "network.", "best.", "optimizer.", "random."


class Best(NamedTuple):
    """The best validation so far."""

    iteration: int
    val_loss: float
    val_auc: float | None


@dataclass(slots=True)
class State:
    """How far a run has come."""

    history: list[Step] = field(default_factory=list)
    best: Best | None = None
    best_weights: dict[str, Tensor] = field(default_factory=dict)
    stale: int = 0
    """Validations since the best one."""

    @property
    def iteration(self) -> int:
        """Iterations done."""
        return len(self.history)


class Learner(NamedTuple):
    """What a step changes."""

    network: nn.Module
    optimizer: torch.optim.Optimizer
    scaler: GradScaler


def save_checkpoint(
    path: Path, learner: Learner, state: State, *, identity: Mapping[str, Any]
) -> None:
    """Write a checkpoint of the run that ``identity`` describes."""
    tensors = {
        **_named(_NETWORK, learner.network.state_dict()),
        **_named(_BEST, state.best_weights),
        **_named(_OPTIMIZER, _moments(learner.optimizer)),
        **_named(_RANDOM, _random_states()),
    }
    header = {
        "identity": identity,
        "history": state.history,
        "best": state.best,
        "stale": state.stale,
        "scaler": learner.scaler.state_dict(),
    }
    with replacing(path) as partial:
        save_file(tensors, partial, metadata={_HEADER: json.dumps(header)})


def load_checkpoint(path: Path, learner: Learner, *, identity: Mapping[str, Any]) -> State:
    """Put ``learner`` and torch's random generators where the checkpoint left them.

    Raises
    ------
    WeightsError
        If the file is damaged, a link, or of another run.
    """
    if path.is_symlink():
        raise WeightsError(f"{path.name}: is a link; a checkpoint is a file of its own. Remove it.")
    try:
        with safe_open(path, framework="pt") as file:
            header = json.loads((file.metadata() or {})[_HEADER])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # no dict
        _require_same(header["identity"], identity, path)
        _restore(learner, tensors, header["scaler"])
        best_weights = _under(_BEST, tensors)
        if best_weights:
            _require_shapes(best_weights, learner.network.state_dict())
        return State(
            history=[Step(*row) for row in header["history"]],
            best=None if header["best"] is None else Best(*header["best"]),
            best_weights=best_weights,
            stale=int(header["stale"]),
        )
    except WeightsError:
        raise
    except (
        *(OSError, SafetensorError, KeyError, TypeError, ValueError, RuntimeError),
        *(AttributeError, IndexError, RecursionError),
    ) as error:
        raise WeightsError(
            f"{path.name}: not a checkpoint of this run ({type(error).__name__}); remove it, or "
            "begin anew with resume=False (--restart)."
        ) from None


def _require_same(there: Mapping[str, Any], here: Mapping[str, Any], path: Path) -> None:
    here = json.loads(json.dumps(here))
    different = sorted(
        name for name in {*there, *here} if there.get(name, ...) != here.get(name, ...)
    )
    if different:
        raise WeightsError(
            f"{path.name}: is of another run ({', '.join(different)} differ); choose another "
            "folder, or begin anew with resume=False (--restart)."
        )


def _require_shapes(given: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> None:
    shapes, needed = ({k: v.shape for k, v in some.items()} for some in (given, own))
    if shapes != needed:
        raise ValueError("other tensors than the network has")


def _named(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {f"{prefix}{name}": value.detach().contiguous() for name, value in tensors.items()}


def _under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {
        name.removeprefix(prefix): value
        for name, value in tensors.items()
        if name.startswith(prefix)
    }


def _moments(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    return {
        f"{number}.{name}": value
        for number, values in optimizer.state_dict()["state"].items()
        for name, value in values.items()
    }


def _random_states() -> dict[str, Tensor]:
    states = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available() and torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        states["cuda"] = torch.cuda.get_rng_state()
    return states


def _restore(learner: Learner, tensors: Mapping[str, Tensor], scaler: dict[str, Any]) -> None:
    learner.network.load_state_dict(_under(_NETWORK, tensors))
    optimizer = learner.optimizer
    moments: dict[int, dict[str, Tensor]] = {}
    for key, value in _under(_OPTIMIZER, tensors).items():
        number, _, name = key.partition(".")
        moments.setdefault(int(number), {})[name] = value
    optimizer.load_state_dict(
        {"state": moments, "param_groups": optimizer.state_dict()["param_groups"]}
    )
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            for name, value in optimizer.state.get(parameter, {}).items():
                if value.ndim > 0:  # in the weight's own memory order
                    optimizer.state[parameter][name] = torch.empty_like(parameter).copy_(value)
    learner.scaler.load_state_dict(scaler)
    random = _under(_RANDOM, tensors)
    torch.set_rng_state(random["cpu"])
    if "cuda" in random:
        torch.cuda.set_rng_state(random["cuda"])

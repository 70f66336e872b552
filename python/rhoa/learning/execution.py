"""How a training run is carried out: speed, safety, what is written while it runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from rhoa.errors import ParameterError, require_choice

Precision = Literal["auto", "float32", "bfloat16", "float16"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Execution:
    """How a run is carried out; what it computes is in its `Recipe`.

    Parameters
    ----------
    precision
        Of the training steps' matrix products: ``"auto"`` is bfloat16 on GPUs that have it, float16
        with scaled losses on others, float32 on a CPU. Weights, validation and predictions are
        float32 always.
    compile
        Whether ``torch.compile`` makes the training step; it needs a C++ compiler, and its first
        iterations are slow.
    checkpoint_minutes
        Between checkpoints, which are all that a run which is killed can lose; 0: every iteration.
    resume
        Whether a run goes on from its checkpoint, and a finished run is left as it is. Otherwise it
        begins anew.
    tensorboard
        Whether curves are also written for TensorBoard (``rhoa[tensorboard]``).

    Raises
    ------
    ParameterError
        If a value is out of its range.
    """

    precision: Precision = "auto"
    compile: bool = False
    checkpoint_minutes: float = 5.0
    resume: bool = True
    tensorboard: bool = False

    def __post_init__(self) -> None:
        require_choice("precision", self.precision, ("auto", "float32", "bfloat16", "float16"))
        minutes = self.checkpoint_minutes
        if not (isinstance(minutes, int | float) and minutes >= 0):
            raise ParameterError(f"checkpoint_minutes must be a number >= 0; got {minutes!r}.")

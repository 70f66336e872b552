"""Files of weights, safetensors or state dicts; reading them runs no code."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import torch
from safetensors.torch import load

from rhoa.errors import WeightsError
from rhoa.reading.bounded import printable
from rhoa.sealed import MOST_WEIGHTS_BYTES, read_bounded
from rhoa.state_dicts import doubt

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from torch import Tensor

_MOST_HEADER_BYTES = 4 << 20
"""Of a safetensors file; a network of 1000 tensors takes 100 kB."""


def read_tensors(path: Path, *, where: str) -> Mapping[str, Tensor]:
    """The tensors of a ``.safetensors`` file or a PyTorch state dict, by name.

    Raises
    ------
    WeightsError
        If it cannot be read, is damaged, larger than 2 GiB, or holds more than tensors.
    """
    content = read_bounded(path, where=where, most_bytes=MOST_WEIGHTS_BYTES)
    if path.suffix == ".safetensors":
        return read_safetensors(content, where=where)
    return read_state_dict(content, where=where)


def read_safetensors(content: bytes, *, where: str) -> dict[str, Tensor]:
    """The tensors of a safetensors file.

    Raises
    ------
    WeightsError
        If it is no such file.
    """
    header = int.from_bytes(content[:8], "little")
    if header > min(_MOST_HEADER_BYTES, len(content) - 8):
        raise WeightsError(
            f"{where}: not a safetensors file (a header of {header} bytes in a file of "
            f"{len(content)})."
        )
    try:
        tensors: dict[str, Tensor] = load(content)
    except Exception as error:  # noqa: BLE001  # a file made to harm may raise anything
        reason = printable(str(error), most=100)
        raise WeightsError(f"{where}: not a safetensors file ({reason}).") from None
    return tensors


def read_state_dict(content: bytes, *, where: str) -> dict[str, Tensor]:
    """The tensors of a PyTorch state dict; its pickle is looked at before torch may load it.

    Raises
    ------
    WeightsError
        If it holds more than tensors by name.
    """
    problem = doubt(content)
    state: object = None
    if not problem:
        try:
            state = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
        except Exception as error:  # noqa: BLE001  # a file made to harm may raise anything
            problem = f"torch refuses it: {type(error).__name__}"
    if problem:
        raise WeightsError(
            f"{where}: not a state dict of tensors alone ({problem}); files that hold more may "
            "run code when loaded: convert them to .safetensors where you trust them."
        )
    if not isinstance(state, dict) or not all(isinstance(key, str) for key in state):
        raise WeightsError(
            f"{where}: a state dict (names and tensors) is needed; "
            f"got {type(state).__name__}; save network.state_dict()."
        )
    return state

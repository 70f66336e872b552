"""Files of weights, safetensors or PyTorch state dicts; reading them runs no code."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import torch
from safetensors.torch import load

from rhoa.errors import WeightsError
from rhoa.files import MOST_WEIGHTS_BYTES, printable, read_bounded

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from torch import Tensor


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
    try:
        tensors: dict[str, Tensor] = load(content)
    except Exception as error:  # noqa: BLE001  # a file made to harm may raise anything
        reason = printable(str(error), most=100)
        raise WeightsError(f"{where}: not a safetensors file ({reason}).") from None
    return tensors


def read_state_dict(content: bytes, *, where: str) -> dict[str, Tensor]:
    """The tensors of a PyTorch state dict, by torch's reader that runs no code of a file.

    Raises
    ------
    WeightsError
        If torch refuses it, or it holds more than tensors by name.
    """
    try:
        state: object = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except Exception as error:  # noqa: BLE001  # a file made to harm may raise anything
        raise WeightsError(
            f"{where}: not a state dict of tensors alone (torch refuses it: "
            f"{type(error).__name__}); files that hold more may run code when loaded: convert "
            "them to .safetensors where you trust them."
        ) from None
    if not isinstance(state, dict) or not all(isinstance(key, str) for key in state):
        raise WeightsError(
            f"{where}: a state dict (names and tensors) is needed; "
            f"got {type(state).__name__}; save network.state_dict()."
        )
    others = sorted({type(value).__name__ for value in state.values() if not _is_dense(value)})
    if others:
        raise WeightsError(
            f"{where}: a state dict holds dense tensors by name; this one also holds "
            f"{', '.join(others)}; save network.state_dict()."
        )
    return state


def _is_dense(value: object) -> bool:
    return (
        isinstance(value, torch.Tensor)
        and value.layout is torch.strided
        and value.device.type == "cpu"
        and not value.is_quantized
    )

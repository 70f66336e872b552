"""Files of weights, safetensors or PyTorch state dicts; reading them runs no code."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import load

from rhoa.errors import WeightsError
from rhoa.files import MOST_WEIGHTS_BYTES, printable, read_bounded

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from torch import Tensor


def read_tensors(path: Path, *, where: str) -> Mapping[str, Any]:
    """What a ``.safetensors`` file or a PyTorch checkpoint holds, by name.

    Raises
    ------
    WeightsError
        If it cannot be read, is damaged, larger than 2 GiB, or holds what may run code.
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


def read_state_dict(content: bytes, *, where: str) -> dict[str, Any]:
    """What a PyTorch checkpoint holds, by torch's reader that runs no code of a file.

    Of a state dict, tensors by name; others hold it in a dictionary, beside numbers and words.

    Raises
    ------
    WeightsError
        If torch refuses it, it is no dictionary, or a tensor in it is not dense.
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
    strange = next((key for key, value in _tensors_in(state) if not _is_dense(value)), None)
    if strange is not None:
        raise WeightsError(
            f"{where}: the tensor {printable(strange, most=80)} is not dense; save "
            "network.state_dict()."
        )
    return state


def _tensors_in(state: Mapping[str, Any]) -> Iterator[tuple[str, Tensor]]:
    """Every tensor of a file, with the name it stands under, at whatever depth."""
    for key, value in state.items():
        if isinstance(value, torch.Tensor):
            yield str(key), value
        elif isinstance(value, dict):
            yield from _tensors_in(value)


def _is_dense(value: Tensor) -> bool:
    return value.layout is torch.strided and value.device.type == "cpu" and not value.is_quantized

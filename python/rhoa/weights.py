"""Files of weights, safetensors or PyTorch state dicts; reading them runs no code."""

from __future__ import annotations

import io
import zipfile
from pickletools import genops
from typing import TYPE_CHECKING, BinaryIO

import torch
from safetensors.torch import load

from rhoa.errors import WeightsError
from rhoa.files import MOST_WEIGHTS_BYTES, printable, read_bounded

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from torch import Tensor


# PyTorch state dicts, checked before they are loaded: tensors by name, and nothing else.
#
# ``torch.load(weights_only=True)`` refuses most of what a pickle can do. This allows less: the few
# names that tensors need, archives that are not deflated, and no number beyond the file's size, so
# that no file makes torch run anything of its own or reserve memory that the file does not have.

TENSOR_NAMES = frozenset(
    [
        "collections OrderedDict",
        "torch._utils _rebuild_tensor_v2",
        "torch._utils _rebuild_parameter",
    ]
    + [
        f"torch {kind}Storage"
        for kind in ("Float", "Half", "BFloat16", "Double", "Long", "Int", "Short", "Char", "Byte")
    ]
)
_OTHER_NAMES = frozenset(["STACK_GLOBAL", "INST", "OBJ", "NEWOBJ", "NEWOBJ_EX"])
_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
_LEGACY_PARTS = 5  # magic, version, the machine's number sizes, the dict, its storages' keys
_MOST_ENTRIES = 10_000
_MOST_STEPS = 400_000
"""Of all pickles of a file; a network of 1000 tensors takes 40,000."""
_MOST_PICKLE_BYTES = 16 << 20
_SMALL = 1 << 16
"""Numbers that any file may hold, such as versions."""


def unsafe_reason(content: bytes) -> str:
    """Why a file is no state dict that torch may load; empty where it is one.

    Examples
    --------
    >>> unsafe_reason(b"PK but no archive")
    'it is no PyTorch file'
    """
    try:
        for stream in _pickles(content):
            problem = _unsafe_pickle_reason(stream, len(content))
            if problem:
                return problem
    except _NoStateDictError as error:
        return str(error)
    # What parsers of damaged archives and pickles raise.
    except (ValueError, zipfile.BadZipFile, EOFError, NotImplementedError, IndexError, OSError):
        return "it is no PyTorch file"
    return ""


class _NoStateDictError(Exception):
    """The message says why."""


def _pickles(content: bytes) -> Iterator[BinaryIO]:
    """Streams at the start of each pickle of a file."""
    if not zipfile.is_zipfile(io.BytesIO(content)):
        stream = io.BytesIO(content)
        for _ in range(_LEGACY_PARTS):
            yield stream
        return
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        entries = archive.infolist()
        if any(one.compress_type != zipfile.ZIP_STORED for one in entries):
            raise _NoStateDictError("it is a deflated archive, which torch.save does not write")
        if len(entries) > _MOST_ENTRIES or sum(one.file_size for one in entries) > len(content):
            raise _NoStateDictError("its archive claims more than the file holds")
        named = [one for one in entries if one.filename.endswith("data.pkl")]
        if len(named) != 1 or named[0].file_size > _MOST_PICKLE_BYTES:
            raise _NoStateDictError("its archive has not the one data.pkl of a state dict")
        pickle = archive.read(named[0])
    yield io.BytesIO(pickle)


def _unsafe_pickle_reason(stream: BinaryIO, file_bytes: int) -> str:
    """Why a pickle holds more than tensors by name; empty where it does not."""
    most = max(file_bytes, _SMALL)
    for step, (operation, value, _) in enumerate(genops(stream)):
        if step > _MOST_STEPS:
            return "it has more steps than the state dict of any network"
        name = operation.name
        if name in _OTHER_NAMES or name.startswith("EXT"):
            return "it names more than tensors"
        if name == "GLOBAL" and value not in TENSOR_NAMES:
            return "it names more than tensors"
        if isinstance(value, int) and value > most and value != _LEGACY_MAGIC:
            return "it claims more than the file holds"
    return ""


# Files of weights, safetensors or state dicts; reading them runs no code.

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
    """The tensors of a PyTorch state dict; its pickle is checked before torch may load it.

    Raises
    ------
    WeightsError
        If it holds more than tensors by name.
    """
    problem = unsafe_reason(content)
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

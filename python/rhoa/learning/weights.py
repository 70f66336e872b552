"""Weights from elsewhere: ImageNet's, state dicts, safetensors files; reading runs no code."""

from __future__ import annotations

import hashlib
import io
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors.torch import load
from torchvision.models import ResNet18_Weights

from rhoa.errors import WeightsError
from rhoa.learning.cards import WEIGHTS_FILE
from rhoa.learning.state_dicts import doubt
from rhoa.reading.bounded import printable, shown
from rhoa.sealed import MOST_WEIGHTS_BYTES, read_bounded, read_inside

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

WEIGHTS_FOLDER_VARIABLE = "RHOA_WEIGHTS_DIR"
_MOST_HEADER_BYTES = 4 << 20
"""Of a safetensors file; a network of 1000 tensors takes 100 kB."""


@dataclass(frozen=True, slots=True)
class Published:
    """A file of weights that anybody can fetch, and its sha256."""

    url: str
    sha256: str

    @property
    def file(self) -> str:
        """Its name."""
        return self.url.rpartition("/")[2]


IMAGENET = Published(
    url=ResNet18_Weights.IMAGENET1K_V1.url,
    sha256="f37072fd47e89c5e827621c5baffa7500819f7896bbacec160b1a16c560e07ec",
)


def read_weights(path: Path) -> Mapping[str, Tensor]:
    """The tensors of a ``.safetensors`` file, a run folder, or a PyTorch state dict.

    Raises
    ------
    WeightsError
        If there is no such file, it is damaged, larger than 2 GiB, or holds more than tensors.
    """
    if path.is_dir():
        where = f"{shown(path)}/{WEIGHTS_FILE}"
        if not (path / WEIGHTS_FILE).exists():
            raise WeightsError(f"{shown(path)}: no {WEIGHTS_FILE} in it; pass a run folder.")
        content = read_inside(path, WEIGHTS_FILE, most_bytes=MOST_WEIGHTS_BYTES)
        return read_safetensors(content, where=where)
    where = shown(path)
    if not path.is_file():
        raise WeightsError(
            f'{where}: no such weights file; pass "imagenet", "none", a .safetensors file, '
            "a run folder or a PyTorch state dict."
        )
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


def imagenet(published: Published = IMAGENET) -> Mapping[str, Tensor]:
    """Weights from ImageNet: of RHOA_WEIGHTS_DIR, else of torch's cache, else downloaded into it.

    Raises
    ------
    WeightsError
        If they are nowhere, or the file is another one.
    """
    folder = os.environ.get(WEIGHTS_FOLDER_VARIABLE)
    if folder and (Path(folder) / published.file).is_file():
        return _verified(Path(folder) / published.file, published)
    cached = Path(torch.hub.get_dir()) / "checkpoints" / published.file
    if not cached.is_file():
        try:
            cached.parent.mkdir(parents=True, exist_ok=True)
            torch.hub.download_url_to_file(
                published.url, str(cached), hash_prefix=published.sha256, progress=False
            )
        except (OSError, RuntimeError) as error:
            raise WeightsError(
                f"{published.file}: the ImageNet weights are neither in the folder "
                f"{folder or '(unset)'} of {WEIGHTS_FOLDER_VARIABLE} nor could they be downloaded "
                f"({error}); fetch {published.url} elsewhere and set {WEIGHTS_FOLDER_VARIABLE} to "
                f"the folder that holds {published.file}, pass weights=PATH, or train from nothing "
                'with weights="none".'
            ) from None
    return _verified(cached, published)


def _verified(path: Path, published: Published) -> Mapping[str, Tensor]:
    content = read_bounded(path, where=published.file, most_bytes=MOST_WEIGHTS_BYTES)
    digest = hashlib.sha256(content).hexdigest()
    if digest != published.sha256:
        raise WeightsError(
            f"{published.file}: its sha256 begins with {digest[:8]}, not {published.sha256[:8]}: "
            f"the file is damaged or another one; fetch {published.url} again."
        )
    return read_state_dict(content, where=published.file)

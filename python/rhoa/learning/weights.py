"""Weights to start a model from: ImageNet's, or those of a file or a run folder."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torchvision.models import ResNet18_Weights

from rhoa.errors import WeightsError
from rhoa.learning.cards import WEIGHTS_FILE
from rhoa.reading.bounded import shown
from rhoa.sealed import MOST_WEIGHTS_BYTES, read_bounded, read_inside
from rhoa.weights import read_safetensors, read_state_dict, read_tensors

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

WEIGHTS_FOLDER_VARIABLE = "RHOA_WEIGHTS_DIR"


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
    return read_tensors(path, where=where)


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

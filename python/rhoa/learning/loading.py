"""Trained models from their folders, by torch or by ONNX Runtime."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from rhoa.errors import ParameterError, require_choice, require_extra
from rhoa.learning.grader import Ensemble
from rhoa.learning.onnx_model import ONNX_FILE, load_onnx_model

if TYPE_CHECKING:
    from collections.abc import Sequence
    from os import PathLike

    from rhoa.learning.grader import SingleModel

Runtime = Literal["auto", "torch", "onnx"]
RUNTIMES: tuple[Runtime, ...] = ("auto", "torch", "onnx")


def load_model(
    folder: str | PathLike[str], *, device: str = "auto", runtime: Runtime = "auto"
) -> SingleModel:
    """The model of a run folder of `rhoa.train`, or of a folder of `rhoa.learning.export_onnx`.

    Parameters
    ----------
    folder
        Holds ``model.json`` and ``model.safetensors``, or ``model.onnx``.
    device
        Of torch. ``"auto"``: a GPU where there is one; else a name that torch knows (``"cpu"``).
        ONNX Runtime works on the CPU.
    runtime
        ``"torch"`` (``rhoa[train]``), ``"onnx"`` (``rhoa[onnx]``, no torch), or ``"auto"``: ONNX
        Runtime where the model was exported for it and no device is asked for, else torch.

    Raises
    ------
    WeightsError
        If a file is absent or damaged, or the weights are not the ones the card describes.
    MissingExtraError
        If what computes is not installed.
    """
    require_choice("runtime", runtime, RUNTIMES)
    place = Path(folder)
    if runtime == "auto":
        runtime = "onnx" if device == "auto" and _suits_onnx(place) else "torch"
    if runtime == "onnx":
        if device not in {"auto", "cpu"}:
            raise ParameterError(f"ONNX Runtime works on the CPU; got device {device!r}.")
        return load_onnx_model(place)
    for module in ("torch", "torchvision", "safetensors"):
        require_extra(module, extra="train", purpose="rhoa.load_model")
    from rhoa.learning.inference import load_torch_model

    return load_torch_model(place, device=device)


def load_ensemble(
    folders: Sequence[str | PathLike[str]], *, device: str = "auto", runtime: Runtime = "auto"
) -> Ensemble:
    """The models of several folders, grading together; see `load_model` and `Ensemble`.

    Raises
    ------
    ParameterError
        If there is no folder.
    WeightsError
        If a model cannot be loaded.
    """
    return Ensemble(tuple(load_model(folder, device=device, runtime=runtime) for folder in folders))


def _suits_onnx(folder: Path) -> bool:
    """Whether the model was exported, and ONNX Runtime is there or torch is not."""
    exported = (folder / ONNX_FILE).exists()
    return exported and (find_spec("onnxruntime") is not None or find_spec("torch") is None)

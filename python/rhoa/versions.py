"""What rhoa runs on: for bug reports and for the record of a run."""

from __future__ import annotations

import importlib.util
import os
import platform
from importlib import metadata

from rhoa import _core

LIBRARIES = (
    *("numpy", "pydicom", "scikit-learn", "scipy"),
    *("nibabel", "pylibjpeg-openjpeg", "pyjpegls"),
    *("torch", "torchvision", "safetensors", "matplotlib"),
)


def versions() -> dict[str, str | None]:
    """Versions of rhoa, Python and the libraries it uses; None where one is not installed."""
    found: dict[str, str | None] = {
        "rhoa": _core.__version__,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "processors": str(os.cpu_count()),
        "instructions": _core.instruction_set(),
    }
    for library in LIBRARIES:
        try:
            found[library] = metadata.version(library)
        except metadata.PackageNotFoundError:
            found[library] = None
    if importlib.util.find_spec("torch") is not None:
        import torch

        found["gpu"] = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    return found


def show_versions() -> None:
    """Print what a bug report should contain."""
    for name, version in versions().items():
        print(f"{name:20} {version or '-'}")  # noqa: T201  # its purpose

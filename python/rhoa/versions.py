"""What rhoa runs on: for bug reports and for the record of a run."""

from __future__ import annotations

import os
import platform
from importlib import metadata

from rhoa import _core
from rhoa.errors import DISTRIBUTION
from rhoa.parallel import thread_count

LIBRARIES = (
    *("numpy", "scipy", "pydicom", "pillow", "scikit-learn", "jinja2"),
    *("pylibjpeg", "pylibjpeg-openjpeg", "pyjpegls", "nibabel", "SimpleITK", "highdicom"),
    *("torch", "torchvision", "safetensors", "matplotlib", "onnxruntime"),
)


def versions() -> dict[str, str | None]:
    """Versions of rhoa, Python and the libraries it uses; None where one is not installed.

    It does not identify the user of this machine, or the folder of rhoa.

    Examples
    --------
    >>> import rhoa
    >>> versions()["rhoa"] == rhoa.__version__
    True
    """
    rhoa, installed = _core.__version__, _version(DISTRIBUTION)
    if installed not in {rhoa, None}:
        rhoa += f", but its Python half is {installed}: install rhoa again"
    found: dict[str, str | None] = {
        "rhoa": rhoa,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "processors": str(os.cpu_count()),
        "threads": str(thread_count()),
        "instructions": _core.instruction_set(),
    }
    found |= {library: _version(library) for library in LIBRARIES}
    stranger = _version("rhoa")
    if stranger is not None:
        found["conflict"] = (
            f"the distribution rhoa {stranger} is another project's, with files of the same "
            f"names: pip uninstall rhoa, then install {DISTRIBUTION} again"
        )
    if found["torch"] is not None:
        import torch

        found["cuda"] = torch.version.cuda
        found["gpu"] = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    return found


def _version(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def show_versions() -> None:
    """Print what a bug report should contain."""
    for name, version in versions().items():
        print(f"{name:20} {version or '-'}")  # noqa: T201  # its purpose

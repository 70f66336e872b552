"""Reading CT: DICOM files, a NIfTI, NRRD or MetaImage file become a `Volume`, or a clear error."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rhoa.reading.reader import as_volume, inspect, read_ct, whole_volume
    from rhoa.reading.series_index import SeriesSummary

__all__ = ["SeriesSummary", "as_volume", "inspect", "read_ct", "whole_volume"]

_HOME = {
    "SeriesSummary": "series_index",
    "as_volume": "reader",
    "inspect": "reader",
    "read_ct": "reader",
    "whole_volume": "reader",
}


def __getattr__(name: str) -> object:
    """A public name, from its module, on first use: a program pays only for what it uses."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)

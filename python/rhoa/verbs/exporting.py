"""A trained model as ONNX."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from rhoa.verbs.output import Result

if TYPE_CHECKING:
    from argparse import Namespace


def export(options: Namespace) -> Result:
    """A run's classifier as ONNX, checked against torch."""
    from rhoa.learning import export_onnx

    out = export_onnx(options.run_folder, options.out)
    card = json.loads((out / "model.json").read_text(encoding="utf-8"))
    difference = card["onnx"]["largest_difference_from_torch"]
    row = {"model": str(out / "model.onnx"), "largest difference from torch": difference}
    return Result([row], [f"grade with `rhoa predict SCAN --model {out}`; it needs no torch"])

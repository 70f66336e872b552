"""The report of runs with what lies beside their manifest: CT-APs, and crops to explain."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from rhoa.cohort.build import ct_ap_of
from rhoa.hips.model_crops import CT_CROP_PIXELS
from rhoa.radiograph import Radiograph

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from rhoa.cohort import Manifest
    from rhoa.evaluation.report import OcclusionExample

OCCLUSION_EXAMPLES = 6
GALLERY_IMAGES = 12
EXPLAINED = "model-3"
"""Trained on both kinds of image."""


def write_study_report(
    out: Path,
    manifest: Manifest,
    runs: Sequence[Path],
    *,
    example: tuple[Path, Manifest] | None = None,
    notes: Sequence[str] = (),
) -> Path:
    """The report of ``runs`` with the CT-APs beside the manifest and occlusion maps.

    The maps are of ``example``, a run and the manifest it was trained on (default: that one of
    ``runs`` that `explained` picks).
    """
    from rhoa.evaluation.report import write_report

    return write_report(
        out,
        manifest=manifest,
        runs=runs,
        gallery=_gallery(manifest),
        occlusions=_occlusions(*(example or (explained(runs), manifest))),
        notes=notes,
    )


def explained(runs: Sequence[Path]) -> Path:
    """The run whose maps are shown: of model 3 where there is one, else the last."""
    names = [json.loads((run / "recipe.json").read_text(encoding="utf-8"))["name"] for run in runs]
    return runs[names.index(EXPLAINED)] if EXPLAINED in names else runs[-1]


def _gallery(manifest: Manifest) -> list[tuple[str, Radiograph]]:
    """The CT-APs that `rhoa.cohort.build` wrote beside the crops, numbered, without names."""
    files = dict.fromkeys(ct_ap_of(hip) for hip in manifest if hip.source == "ct")
    shown = [file for file in files if file.is_file()][:GALLERY_IMAGES]
    return [(f"CT-AP {n}", Radiograph.load(file)) for n, file in enumerate(shown, start=1)]


def _occlusions(run: Path, manifest: Manifest) -> list[OcclusionExample]:
    """Occlusion maps of CT-AP test hips."""
    from rhoa.evaluation.figures import read_grey
    from rhoa.evaluation.report import OcclusionExample
    from rhoa.evaluation.sensitivity import occlusion
    from rhoa.learning import load_model

    model = load_model(run)
    hips = [hip for hip in manifest.labelled if (hip.source, hip.partition) == ("ct", "test")]
    examples = []
    for hip in hips[:OCCLUSION_EXAMPLES]:
        image = read_grey(hip.image, CT_CROP_PIXELS)
        influence = occlusion(model, image, patch=20, stride=8)
        probability = float(model.predict_proba([image])[0, 1])
        caption = f"{hip.side} hip, KL {hip.kl}"
        examples.append(
            OcclusionExample(caption, image, influence, int(hip.label or 0), probability)
        )
    return examples

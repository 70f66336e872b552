"""The report of runs with what lies beside their manifest: CT-APs, and crops to explain."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np

from rhoa.cohort.build import ct_ap_of
from rhoa.hips.crop_files import CROP_REFUSALS, read_crop
from rhoa.hips.model_crops import CT_CROP_PIXELS
from rhoa.projection import sweep
from rhoa.radiograph import Radiograph

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from rhoa.cohort import Manifest
    from rhoa.evaluation.report import OcclusionExample
    from rhoa.volume import Volume

OCCLUSION_EXAMPLES = 6
GALLERY_IMAGES = 12
WINDOWS_FILE = "windows.npz"
WINDOWS = ((-150, 600), (-1024, 1650))  # the paper's, and the full range of its scans
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
        windows=_windows(manifest),
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


def write_windows(folder: Path, volume: Volume) -> None:
    """Write CT-APs of one scan in the paper's window and in the full one, for the report.

    ``folder`` is that of the cohort's CT-APs.
    """
    images = sweep(volume, WINDOWS)
    names = [f"{low} to {high} HU".replace("-", "\N{MINUS SIGN}") for low, high in WINDOWS]
    pixels = {name: image.pixels for name, image in zip(names, images, strict=True)}
    np.savez_compressed(folder / WINDOWS_FILE, allow_pickle=False, **pixels)


def _windows(manifest: Manifest) -> dict[str, NDArray[np.float32]]:
    """CT-APs of one scan in several HU windows, where they lie beside those of the cohort."""
    folders = {ct_ap_of(hip).parent for hip in manifest if hip.source == "ct"}
    for path in sorted(folder / WINDOWS_FILE for folder in folders):
        if path.is_file():
            with np.load(path) as images:
                return {name: images[name] for name in images.files}
    return {}


def _occlusions(run: Path, manifest: Manifest) -> list[OcclusionExample]:
    """Occlusion maps of CT-AP test hips, those first that the model is most surely wrong of."""
    from rhoa.evaluation.figures import shrunk
    from rhoa.evaluation.report import OcclusionExample
    from rhoa.evaluation.sensitivity import occlusion
    from rhoa.learning import load_model

    model = load_model(run)
    hips = [hip for hip in manifest.labelled if (hip.source, hip.partition) == ("ct", "test")]
    crops = [read_crop(hip.crop, accept=CROP_REFUSALS) for hip in hips]
    scores = model.predict_proba(crops)[:, 1]
    examples = []
    for number in most_telling([int(hip.label or 0) for hip in hips], scores)[:OCCLUSION_EXAMPLES]:
        hip, image = hips[number], shrunk(crops[number], CT_CROP_PIXELS)
        influence = occlusion(model, image, patch=20, stride=8, spread="matlab")
        caption = f"{hip.side} hip, KL {hip.kl}"
        examples.append(
            OcclusionExample(caption, image, influence, int(hip.label or 0), float(scores[number]))
        )
    return examples


def most_telling(labels: Sequence[int], scores: NDArray[np.float64]) -> list[int]:
    """Numbers of hips: misclassified ones, the surest first, then the others as they come.

    Examples
    --------
    >>> most_telling([0, 1, 1, 0], np.array([0.1, 0.4, 0.2, 0.6]))
    [2, 1, 3, 0]
    """
    sureness = np.abs(scores - 0.5)
    wrong = (scores >= 0.5) != np.asarray(labels, bool)
    order: list[int] = np.argsort(np.where(wrong, -sureness, 1.0), kind="stable").tolist()
    return order

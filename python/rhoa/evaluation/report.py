"""One page that shows a study: its cohort, its images, its models and how good they are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rhoa.cohort import leaks
from rhoa.errors import ManifestError, require_extra
from rhoa.evaluation import sections, study
from rhoa.evaluation.findings import findings
from rhoa.evaluation.markdown import as_markdown
from rhoa.evaluation.occlusions import OcclusionExample
from rhoa.evaluation.page import page
from rhoa.evaluation.study import SOURCES
from rhoa.writing import atomic_write

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from os import PathLike

    import numpy as np
    from numpy.typing import NDArray

    from rhoa.cohort import Manifest
    from rhoa.evaluation.figures import GalleryItem
    from rhoa.evaluation.study import Run

__all__ = ["TITLE", "OcclusionExample", "write_report"]

TITLE = "Radiographic hip osteoarthritis on CT-AP and X-ray"


def write_report(
    folder: str | PathLike[str],
    *,
    manifest: Manifest,
    runs: Sequence[str | PathLike[str]],
    gallery: Sequence[GalleryItem] = (),
    occlusions: Sequence[OcclusionExample] = (),
    windows: Mapping[str, NDArray[np.float32]] | None = None,
    notes: Sequence[str] = (),
    title: str = TITLE,
) -> Path:
    """The path of ``folder/report.html``: one file that shows a study, without a network.

    Beside it, ``metrics.json`` holds every number of the page, and ``report.md`` its tables for
    other documents. All depend on the arguments only. Tables 1 to 3 are laid out as in the paper;
    intervals resample subjects. No subject and no file is named.

    Parameters
    ----------
    folder
        Where to write; made where absent.
    manifest
        The cohort, with partitions.
    runs
        Folders that `rhoa.train` wrote for this manifest, in the order of the tables' rows.
    gallery
        CT-APs to show, ``(caption, radiograph)`` or ``(caption, radiograph, boxes)``. Without
        boxes, those of the alignment's landmarks are drawn where it has any.
    occlusions
        Crops with their occlusion maps; misclassified ones are shown first.
    windows
        CT-APs of one scan by the name of their HU window, whose histograms are compared.
    notes
        Caveats for the top of the page, one paragraph each.
    title
        Of the page.

    Raises
    ------
    MissingFileError
        If a run folder lacks ``recipe.json``, ``history.csv`` or ``predictions.csv``.
    ManifestError
        If the manifest has no partitions, a file of a run or a crop cannot be read, or a run's
        predictions are of other hips, labels or partitions than the manifest's.
    ImportError
        If matplotlib is absent: ``pip install 'rhoa[train]'``.

    References
    ----------
    Gebre et al. 2022, Tables 1 to 3, Figures 1, 3 and 4, supplementary Figures 1 to 6.
    """
    require_extra("matplotlib", extra="train", purpose="the report")
    if any(hip.partition is None for hip in manifest.labelled):
        raise ManifestError("the manifest has hips without a partition; run `rhoa split` first.")
    hips = manifest.labelled.hips
    models = study.read_runs(runs, hips)
    examples = sorted(occlusions, key=lambda example: not example.misclassified)
    metrics = _metrics(manifest, models, examples)
    content = [
        ("Summary", sections.heading(title, notes, metrics)),
        ("Cohort", sections.cohort(metrics)),
        ("Images", sections.images(hips, gallery, windows or {})),
        ("Training", sections.training(models)),
        ("Results", sections.results(models, metrics)),
        ("Comparison", sections.comparison(metrics)),
        ("Calibration", sections.calibration(models, metrics)),
        ("Explanations", sections.explanations(examples)),
        ("Failures", sections.failures(models, metrics)),
        ("Models", sections.cards(metrics)),
        ("Reporting", sections.reporting(metrics)),
        ("Provenance", sections.provenance(metrics)),
    ]
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    atomic_write(folder / "metrics.json", json.dumps(metrics, indent=2, allow_nan=False) + "\n")
    atomic_write(folder / "report.md", as_markdown(title, notes, metrics))
    atomic_write(folder / "report.html", page(title, content))
    return folder / "report.html"


def _metrics(
    manifest: Manifest, models: Sequence[Run], examples: Sequence[OcclusionExample]
) -> dict[str, Any]:
    return {
        **study.numbers(manifest, models),
        "flow": manifest.flow().as_dict(),
        "leaks": leaks(manifest).as_dict(),
        "findings": {source: findings(models, source) for source in SOURCES},
        "occlusions": [
            {"label": int(example.label), "probability": float(example.probability)}
            for example in examples
        ],
    }

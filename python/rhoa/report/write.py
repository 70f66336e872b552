"""One page that shows a study, as HTML, Markdown and JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rhoa.cohort.builder import ct_ap_of
from rhoa.cohort.leakage import leaks
from rhoa.errors import ManifestError, require_extra
from rhoa.evaluation.grades import grades_of_run
from rhoa.evaluation.saliency import OcclusionExample, occlusion
from rhoa.files import atomic_write
from rhoa.hips.bounding_boxes import CT_CROP_PIXELS
from rhoa.hips.crop_files import CROP_REFUSALS, read_crop
from rhoa.projection import sweep
from rhoa.radiograph import Radiograph
from rhoa.report import collect
from rhoa.report.collect import SOURCES, comparisons_and_calibration
from rhoa.report.page import content_of, document, page_content, shrunk

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from os import PathLike

    from numpy.typing import NDArray

    from rhoa.cohort import Manifest
    from rhoa.report.page import GalleryItem
    from rhoa.volume import Volume

    Numbers = Mapping[str, Any]


# One page that shows a study: its cohort, its images, its models and how good they are.

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
    by: Sequence[str] = (),
    external: bool = False,
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
    by
        Columns of the manifest, such as sex and site: test figures are reported for each subgroup.
    external
        Whether the manifest is of another cohort than that of training.

    Raises
    ------
    MissingFileError
        If a run folder lacks ``recipe.json``, ``history.csv`` or ``predictions.csv``.
    ManifestError
        If the manifest has no partitions, a file of a run or a crop cannot be read, or a run's
        predictions are of other hips, labels or partitions than the manifest's.
    ImportError
        If matplotlib or Jinja2 is absent: the extra ``report`` brings both.

    References
    ----------
    Gebre et al. 2022, Tables 1 to 3, Figures 1, 3 and 4, supplementary Figures 1 to 6.
    """
    for library in ("matplotlib", "jinja2"):
        require_extra(library, extra="report", purpose="the report")
    if any(hip.partition is None for hip in manifest.labelled):
        raise ManifestError("the manifest has hips without a partition; run `rhoa split` first.")
    hips = manifest.labelled.hips
    models = collect.read_runs(runs, hips)
    examples = sorted(occlusions, key=lambda example: not example.misclassified)
    metrics = {
        **collect.numbers(manifest, models),
        "external": external,
        "grades": [
            {"model": model.name, **one}
            for run, model in zip(runs, models, strict=True)
            for one in grades_of_run(Path(run))
        ],
        "subgroups": collect.subgroups(manifest, models, by),
        "flow": manifest.flow().as_dict(),
        "leaks": leaks(manifest).as_dict(),
        "findings": {source: comparisons_and_calibration(models, source) for source in SOURCES},
        "occlusions": [
            {"label": int(example.label), "probability": float(example.probability)}
            for example in examples
        ],
    }
    common = content_of(title, notes, metrics)
    shown = page_content(
        metrics,
        models=models,
        hips=hips,
        gallery=gallery,
        windows=windows or {},
        occlusions=examples,
    )
    page = document("report.html.jinja", common | shown)
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    atomic_write(folder / "metrics.json", json.dumps(metrics, indent=2, allow_nan=False) + "\n")
    atomic_write(folder / "report.md", document("report.md.jinja", common))
    atomic_write(folder / "report.html", page)
    return folder / "report.html"


# The report of runs with what lies beside their manifest: CT-APs, and crops to explain.

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
    by: Sequence[str] = (),
    external: bool = False,
) -> Path:
    """The report of ``runs`` with the CT-APs beside the manifest and occlusion maps.

    The maps are of ``example``, a run and the manifest it was trained on (default: that one of
    ``runs`` that `explained` picks).
    """
    files = dict.fromkeys(ct_ap_of(hip) for hip in manifest if hip.source == "ct")
    images = [file for file in files if file.is_file()][:GALLERY_IMAGES]
    return write_report(
        out,
        manifest=manifest,
        runs=runs,
        gallery=[(f"CT-AP {n}", Radiograph.load(file)) for n, file in enumerate(images, start=1)],
        occlusions=_occlusions(*(example or (explained(runs), manifest))),
        windows=_windows(manifest),
        notes=notes,
        by=by,
        external=external,
    )


def explained(runs: Sequence[Path]) -> Path:
    """The run whose maps are shown: of model 3 where there is one, else the last."""
    names = [json.loads((run / "recipe.json").read_text(encoding="utf-8"))["name"] for run in runs]
    return runs[names.index(EXPLAINED)] if EXPLAINED in names else runs[-1]


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

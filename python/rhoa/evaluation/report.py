"""One page that shows a study: its cohort, its images, its models and how good they are."""

from __future__ import annotations

import html
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from rhoa.errors import ManifestError, ParameterError
from rhoa.evaluation import figures, study, tables
from rhoa.evaluation.study import CLASSES, SOURCES
from rhoa.evaluation.tables import SOURCE_NAMES
from rhoa.writing import atomic_write

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from os import PathLike

    from numpy.typing import NDArray

    from rhoa.cohort import Hip, Manifest
    from rhoa.evaluation.study import Run
    from rhoa.hips.boxes import Box
    from rhoa.pose.sides import Side
    from rhoa.radiograph import Radiograph

    GalleryItem = tuple[str, Radiograph] | tuple[str, Radiograph, Mapping[Side, Box]]

TITLE = "Radiographic hip osteoarthritis on CT-AP and X-ray"
CROPS_SHOWN = 8


@dataclass(frozen=True, slots=True, eq=False)
class OcclusionExample:
    """A crop, what a model says of it, and where the model looks.

    Parameters
    ----------
    caption
        What it is; no patient data.
    image
        2-D crop.
    map
        Of the image's shape: positive where a pixel speaks for the predicted class.
    label
        Ground truth: 1 rHOA, 0 no rHOA.
    probability
        Of rHOA, as predicted.

    Raises
    ------
    ParameterError
        If image and map are not 2-D of one shape, or label or probability are out of range.

    Examples
    --------
    >>> import numpy as np
    >>> from rhoa.evaluation.report import OcclusionExample
    >>> blank = np.zeros((100, 100))
    >>> OcclusionExample("KL 3", blank, blank, label=1, probability=0.2).misclassified
    True
    """

    caption: str
    image: NDArray[np.float32]
    map: NDArray[np.float32]
    label: int
    probability: float

    def __post_init__(self) -> None:
        image, influence = np.asarray(self.image, np.float32), np.asarray(self.map, np.float32)
        if image.ndim != 2 or image.shape != influence.shape:
            raise ParameterError(
                f"image and map must be 2-D of one shape; got {image.shape} and {influence.shape}."
            )
        if self.label not in {0, 1} or not 0 <= self.probability <= 1:
            raise ParameterError(
                "label must be 0 or 1 and probability in [0, 1]; "
                f"got {self.label!r} and {self.probability!r}."
            )
        object.__setattr__(self, "image", image)
        object.__setattr__(self, "map", influence)

    @property
    def misclassified(self) -> bool:
        """Whether the ground truth and the call at a threshold of 0.5 differ."""
        return (self.probability >= 0.5) != bool(self.label)


def write_report(  # noqa: PLR0913  # the parts of a study are independent
    folder: str | PathLike[str],
    *,
    manifest: Manifest,
    runs: Sequence[str | PathLike[str]],
    gallery: Sequence[GalleryItem] = (),
    occlusions: Sequence[OcclusionExample] = (),
    notes: Sequence[str] = (),
    title: str = TITLE,
) -> Path:
    """The path of ``folder/report.html``: one file that shows a study, without a network.

    Beside it, ``metrics.json`` holds every number of the page. Both depend on the arguments only.
    Tables 1 to 3 are laid out as in the paper; intervals resample subjects.

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
    Gebre et al. 2022, Tables 1 to 3, Figures 1, 3 and 4.
    """
    hips = manifest.labelled.hips
    if any(hip.partition is None for hip in hips):
        raise ManifestError("the manifest has hips without a partition; run `rhoa split` first.")
    models = study.read_runs(runs, hips)
    examples = sorted(occlusions, key=lambda example: not example.misclassified)
    metrics = study.numbers(manifest, models)
    metrics["occlusions"] = [
        {"label": int(example.label), "probability": float(example.probability)}
        for example in examples
    ]
    sections = [
        _heading(title, notes, metrics),
        "<h2>Cohort</h2>" + tables.cohort_table(metrics["cohort"], metrics["models"]),
        _images(hips, gallery),
        _training(models),
        _results(models, metrics),
        _explanations(examples),
    ]
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(metrics, indent=2, allow_nan=False) + "\n"
    atomic_write(folder / "metrics.json", text)
    page = folder / "report.html"
    atomic_write(page, _page(title, sections))
    return page


def _heading(title: str, notes: Sequence[str], metrics: Mapping[str, Any]) -> str:
    cohort = metrics["cohort"]
    hips = {
        source: sum(sum(counts.values()) for counts in cohort["hips"][source].values())
        for source in SOURCES
    }
    caveats = "".join(f"<p>{html.escape(note)}</p>" for note in notes)
    return (
        f'<h1>{html.escape(title)}</h1><p class="byline">{cohort["subjects"]["all"]} subjects '
        f"&middot; {hips['ct']} CT-AP hips &middot; {hips['xray']} X-ray hips "
        f"&middot; {len(metrics['models'])} models</p>{f'<aside>{caveats}</aside>' * bool(notes)}"
        "<p>Models that tell hips with radiographic osteoarthritis (rHOA, Kellgren-Lawrence grade "
        "2 or more) from hips without (no-rHOA), after Gebre et al. 2022 "
        '(<a href="https://doi.org/10.1007/s00198-021-06130-y">doi 10.1007/s00198-021-06130-y</a>).'
        " A CT-AP is the sum of a CT&rsquo;s coronal slices, clipped to &minus;150 to 600 HU: an "
        "image that resembles an X-ray. rHOA is the positive class, called at a probability of at "
        "least 0.5. Intervals are 95% bootstrap intervals that resample subjects, so that the hips "
        "of one subject stay together. Research use only: not for diagnosis.</p>"
    )


def _images(hips: Sequence[Hip], gallery: Sequence[GalleryItem]) -> str:
    parts = ["<h2>Images</h2>"]
    if gallery:
        caption = "CT-APs. R and L are the patient&rsquo;s sides; squares are cropped as hips."
        parts.append(_numbered(caption, figures.gallery(gallery)))
    rows = []
    for source in reversed(SOURCES):
        for label, name in enumerate(reversed(CLASSES)):
            shown = _examples([hip for hip in hips if (hip.source, hip.label) == (source, label)])
            if shown:
                rows.append(f"<h3>{SOURCE_NAMES[source]}, {name}</h3>{figures.crops(shown)}")
    if rows:
        caption = "Crops of each class, right hips mirrored to look like left ones."
        parts.append(_numbered(caption, "".join(rows)))
    return "".join(parts) if len(parts) > 1 else ""


def _examples(hips: Sequence[Hip]) -> list[Hip]:
    """A few hips, from the lowest grade to the highest."""
    ordered = sorted(hips, key=lambda hip: (hip.kl or 0, hip.subject, hip.side, hip.visit))
    places = np.linspace(0, len(ordered) - 1, min(CROPS_SHOWN, len(ordered)))
    return [ordered[round(place)] for place in places]


def _training(models: Sequence[Run]) -> str:
    charts = [
        f"<figure>{figures.training_curves(run.history, alt=f'{run.name}: loss and accuracy')}"
        f"<figcaption><b>{html.escape(run.name)}.</b> "
        f"{html.escape(str(run.recipe.get('description', '')))}</figcaption></figure>"
        for run in models
    ]
    caption = (
        "Training. Blue: training batches; orange: validation dataset; dotted: the loss of "
        f"answering 0.5 always. Losses above {figures.LOSS_TOP:g} leave the frame. Results below "
        "are of the last iteration."
    )
    body = f'<div class="grid training">{"".join(charts)}</div>'
    return f"<h2>Training</h2>{_numbered(caption, body)}" if models else ""


def _results(models: Sequence[Run], metrics: Mapping[str, Any]) -> str:
    if not models:
        return ""
    parts = ["<h2>Results</h2>"]
    for number, source in zip("23", SOURCES, strict=True):
        if any(metrics["baselines"][source][part] for part in ("val", "test")):
            parts.append(tables.result_table(number, source, metrics))
    parts.append(
        '<p class="note">Precision, recall and F1-score are of the rHOA class. The paper&rsquo;s '
        "printed columns fit averages over both classes instead, so compare accuracies and areas, "
        "not these three, with its tables. PR AUC is the average precision.</p>"
    )
    parts += [_curves(source, models, metrics) for source in reversed(SOURCES)]
    parts.append(tables.operating_table("4", metrics))
    return "".join(parts)


def _curves(source: str, models: Sequence[Run], metrics: Mapping[str, Any]) -> str:
    if min(metrics["cohort"]["hips"][source]["test"].values()) == 0:
        return ""  # both curves need both classes
    charts = []
    kinds: tuple[tuple[Literal["roc", "pr"], str], ...] = (("roc", "roc_auc"), ("pr", "pr_auc"))
    for kind, figure in kinds:
        curves = [
            figures.RankCurve(
                tables.legend(model, model["results"][source]["test"], figure),
                run.sets[source, "test"].truth,
                run.sets[source, "test"].score,
            )
            for run, model in zip(models, metrics["models"], strict=True)
            if (source, "test") in run.sets
        ]
        if curves:
            alt = f"{kind.upper()} curves on the {SOURCE_NAMES[source]} test dataset"
            charts.append(figures.rank_curves(curves, kind=kind, alt=alt))
    caption = (
        f"{SOURCE_NAMES[source]} test dataset: receiver operating characteristic and "
        "precision-recall curves; area [95% CI]. Dotted: chance."
    )
    return _numbered(caption, f'<div class="grid curves">{"".join(charts)}</div>') if charts else ""


def _explanations(examples: Sequence[OcclusionExample]) -> str:
    if not examples:
        return ""
    caption = (
        "Occlusion sensitivity. Red: hiding this part lowers the probability of the predicted "
        "class; blue: hiding it raises it. Each map has its own scale. GT: ground truth."
    )
    return f"<h2>What the model looks at</h2>{_numbered(caption, figures.occlusions(examples))}"


def _numbered(caption: str, body: str) -> str:
    return f'<figure class="numbered">{body}<figcaption>{caption}</figcaption></figure>'


def _page(title: str, sections: Iterable[str]) -> str:
    body = "\n".join(f"<section>{section}</section>" for section in sections if section)
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>{html.escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n"
        f"<body>\n<main>\n{body}\n</main>\n</body>\n</html>\n"
    )


STYLE = """
:root { --paper: #fdfcf9; --ink: #26241f; --quiet: #6d675c; --rule: #d8d2c5; --wrong: #b3261e;
  --tint: #f4f0e6; --box: #ffb000 }
@media screen and (prefers-color-scheme: dark) { :root { --paper: #1a1916; --ink: #e4dfd4;
  --quiet: #a29b8d; --rule: #45413a; --wrong: #ff8a7e; --tint: #25231f } }
* { box-sizing: border-box }
body { margin: 0; background: var(--paper); color: var(--ink); counter-reset: figure;
  font: 1rem/1.5 Charter, "Bitstream Charter", "Iowan Old Style", Georgia, "DejaVu Serif", serif }
main { max-width: 62rem; margin: 0 auto; padding: 2.5rem 1rem 4rem }
h1 { font-size: 1.9rem; line-height: 1.2; margin: 0; text-wrap: balance }
h2 { font-size: 1.25rem; margin: 2.6rem 0 .8rem; break-after: avoid }
h3 { font-size: .9rem; margin: .9rem 0 .35rem; font-weight: 600; break-after: avoid }
p { max-width: 46rem } a { color: inherit }
.byline, .note, figcaption, caption { color: var(--quiet); font-size: .85rem }
.note { margin: .45rem 0 } strong, .note strong { color: var(--wrong) }
aside { background: var(--tint); border-left: 3px solid var(--box); padding: .1rem 1rem;
  margin: 1.2rem 0; max-width: 46rem }
figure { margin: 0 } figure.numbered { margin: 1.4rem 0 2rem }
figure.numbered > figcaption { margin-top: .6rem; max-width: 46rem }
figure.numbered > figcaption::before { counter-increment: figure; font-weight: 700;
  content: "Figure " counter(figure) ". " }
.grid { display: grid; gap: .8rem } .grid figcaption { line-height: 1.3;
  font-size: .78rem; margin-top: .2rem }
.grid img, svg { display: block; width: 100%; height: auto }
.gallery { grid-template-columns: repeat(auto-fill, minmax(min(45%, 14rem), 1fr)) }
.crops { grid-template-columns: repeat(8, 1fr); gap: .4rem }
.training { grid-template-columns: repeat(auto-fill, minmax(10.5rem, 1fr)) }
.curves { grid-template-columns: repeat(auto-fit, minmax(min(100%, 20rem), 1fr)) }
.curves img { max-width: 26rem; margin: 0 auto }
.occlusions { grid-template-columns: repeat(auto-fill, minmax(min(100%, 18rem), 1fr)) }
.pair { position: relative; display: grid; grid-template-columns: 1fr 1fr; gap: 2px }
.pair span { position: absolute; top: 0; padding: .1rem .4rem; background: #000a; color: #fff;
  font-size: .75rem } .pair span:last-child { right: 0 }
.misclassified b { color: var(--wrong) }
svg { background: #000 } svg rect { fill: none; stroke: var(--box); stroke-width: 1.5px;
  vector-effect: non-scaling-stroke } svg text { fill: #fff; font-family: sans-serif }
.table { margin: 1.2rem 0 2rem } caption { text-align: left; padding-bottom: .5rem }
caption b { color: var(--ink) }
table { width: 100%; border-collapse: collapse; font-size: .85rem; line-height: 1.35;
  font-variant-numeric: tabular-nums; border-bottom: 1.5px solid var(--ink) }
th { font-weight: 600 } th, td { padding: .28rem .5rem; text-align: right; vertical-align: bottom }
td { white-space: nowrap } th:first-child { text-align: left; padding-left: 0 }
tbody th { font-weight: 400 } thead th[colspan] { text-align: center }
td:last-child, th:last-child { padding-right: 0 }
thead tr:first-child > * { border-top: 1.5px solid var(--ink) }
thead tr:last-child > * { border-bottom: 1px solid var(--ink) }
.sub th { font-weight: 400; color: var(--quiet); font-size: .78rem }
.set th { padding-top: .8rem; font-weight: 600 } .total > * { border-top: 1px solid var(--rule) }
.set span { font-weight: 400; color: var(--quiet); margin-left: .5rem }
.baseline > * { color: var(--quiet); font-style: italic }
@media print, screen and (max-width: 58rem) { table { font-size: .75rem }
  th, td { padding: .25rem .28rem } }
@media screen and (max-width: 47rem) { table { font-size: .85rem }
  .crops { grid-template-columns: repeat(4, 1fr) }
  table, tbody, tr, caption { display: block } thead { display: none }
  tbody tr { display: grid; grid-template-columns: repeat(auto-fit, minmax(10.3rem, 1fr));
    column-gap: 1.2rem; padding: .4rem 0;
    border-top: 1px solid var(--rule) }
  tbody tr > *, .total > * { display: flex; justify-content: space-between; gap: .5rem;
    padding: .1rem 0; border: 0 }
  tbody tr > th, .wide { grid-column: 1 / -1; font-weight: 600 } .wide { font-weight: 400 }
  tr.set th { display: block; padding-top: .6rem }
  .set span { display: block; margin: 0 }
  td::before { content: attr(data-label); color: var(--quiet) } }
@media print { @page { margin: 15mm } :root { --paper: #fff; font-size: 9.5pt }
  main { padding: 0; max-width: none }
  .training { grid-template-columns: repeat(5, 1fr) } .curves img { max-width: 19rem }
  .occlusions { grid-template-columns: repeat(3, 1fr) }
  .gallery { grid-template-columns: repeat(4, 1fr) }
  figure figure, .table, tr, .crops, .curves { break-inside: avoid }
  figcaption { break-before: avoid } }
"""

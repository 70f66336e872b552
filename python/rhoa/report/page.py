"""The page of the report: its sections, its figures, its style; one file, light and dark."""

from __future__ import annotations

import base64
import html
import io
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from rhoa.errors import ManifestError, PoseError, ReadError, require_extra
from rhoa.evaluation.calibration import reliability
from rhoa.evaluation.decision_curves import decision_curve
from rhoa.evaluation.intervals import benefit_band
from rhoa.evaluation.saliency import fraction, overlay
from rhoa.hips import boxes
from rhoa.hips.crop_files import CROP_REFUSALS, read_crop
from rhoa.raster import encode_png, resize
from rhoa.report import charts, tables
from rhoa.report.charts import DARK, LIGHT
from rhoa.report.collect import CLASSES, SOURCES, reference
from rhoa.report.collect import failures as confident_failures
from rhoa.report.tables import SOURCE_NAMES

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from rhoa._types import Side
    from rhoa.cohort import Hip
    from rhoa.evaluation.saliency import OcclusionExample
    from rhoa.radiograph import Box, Radiograph
    from rhoa.report.charts import Palette
    from rhoa.report.collect import Run, Scores

    GalleryItem = tuple[str, Radiograph] | tuple[str, Radiograph, Mapping[Side, Box]]

    class Draw(Protocol):
        """A chart but for its inks."""

        def __call__(self, *, palette: Palette) -> Figure:
            """The figure."""
            ...

    Numbers = Mapping[str, Any]


# Figures of the report as HTML fragments that carry their pictures: charts and images.
#
# Charts are drawn twice, in ink for light and for dark pages; the page picks one. Every picture is
# a base64 PNG whose bytes depend on its content only.

GALLERY_ROWS = 420
CROP_PIXELS = 144


def chart_figure(draw: Draw, alt: str) -> str:
    """A chart of `rhoa.report.charts`, drawn for light pages and for dark ones."""
    light, dark = draw(palette=LIGHT), draw(palette=DARK)
    width, height = (round(96 * inch) for inch in light.get_size_inches())
    addresses = []
    for figure in (light, dark):
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", transparent=True, metadata={"Software": None})
        addresses.append(_address(buffer.getvalue()))
    return (
        '<picture><source media="screen and (prefers-color-scheme: dark)" '
        f'srcset="{addresses[1]}">'
        f'<img src="{addresses[0]}" width="{width}" height="{height}" alt="{html.escape(alt)}">'
        "</picture>"
    )


def image_gallery(items: Sequence[GalleryItem]) -> str:
    """CT-APs with their captions, and boxes around the hips where they are known."""
    return _grid("gallery", [_radiograph(*item) for item in items])


def _radiograph(caption: str, image: Radiograph, found: Mapping[Side, Box] | None = None) -> str:
    """An SVG in millimetres: the picture, the boxes over it, the sides of the patient."""
    if found is None:
        known = image.alignment is not None and image.alignment.landmarks is not None
        try:
            found = boxes(image) if known else {}
        except PoseError:  # the image ends at a hip: shown without boxes
            found = {}
    (rows, columns), (down, across) = image.shape, image.pixel_mm
    high, wide = rows * down, columns * across
    square = image.square()
    shown = min(square.shape[0], GALLERY_ROWS)
    grey = square.to_uint8().astype(np.float32)
    picture = _grey(resize(grey, shown, max(1, round(shown * square.shape[1] / square.shape[0]))))
    rectangles = "".join(
        f'<rect x="{box.left * across:.1f}" y="{box.top * down:.1f}" '
        f'width="{box.width * across:.1f}" height="{box.height * down:.1f}"/>'
        for box in found.values()
    )
    return (
        f'<figure><svg viewBox="0 0 {wide:.1f} {high:.1f}" role="img" '
        f'aria-label="CT-AP: {html.escape(caption)}">'
        f'<image href="{picture}" width="{wide:.1f}" height="{high:.1f}" '
        f'preserveAspectRatio="none"/>{rectangles}'
        f'<text x="{0.02 * wide:.1f}" y="{0.07 * wide:.1f}" font-size="{0.055 * wide:.1f}">R</text>'
        f'<text x="{0.98 * wide:.1f}" y="{0.07 * wide:.1f}" font-size="{0.055 * wide:.1f}" '
        f'text-anchor="end">L</text></svg><figcaption>{html.escape(caption)}'
        f"{_pose(image)}</figcaption></figure>"
    )


def _pose(image: Radiograph) -> str:
    """Angles of the pelvis and flags of the pose, as two lines."""
    alignment = image.alignment
    if alignment is None:
        return "<br>as scanned"
    names = ("tilt", "obliquity", "rotation")
    angles = ", ".join(
        f"{name} {angle:.1f}\N{DEGREE SIGN}".replace("-", "\N{MINUS SIGN}")
        for name, angle in zip(names, alignment.angles, strict=True)
    )
    flags = ", ".join(sorted(alignment.flags)) or "no flags"
    kind = ' class="flagged"' if alignment.flags else ""
    return f"<br>{angles}<br><span{kind}>{html.escape(flags)}</span>"


def crops(hips: Sequence[Hip]) -> str:
    """A row of crops, each with its grade."""
    return _grid(
        "crops",
        [
            f'<figure><img src="{_grey(read_grey(hip.crop, CROP_PIXELS))}" alt="{grade} hip">'
            f"<figcaption>{grade}</figcaption></figure>"
            for hip in hips
            for grade in ["ungraded" if hip.kl is None else f"KL {hip.kl}"]
        ],
    )


def scored_crops(hips: Sequence[tuple[Hip, float]]) -> str:
    """Crops with ground truth top left and probability top right."""
    return _grid(
        "failures",
        [
            f'<figure><div class="pair single-crop">'
            f'<img src="{_grey(read_grey(hip.crop, CROP_PIXELS))}" alt="crop">'
            f"<span>GT {'rHOA' if hip.label else 'no-rHOA'}</span><span>{score:.2f}</span></div>"
            f"<figcaption>{hip.side} hip, {'ungraded' if hip.kl is None else f'KL {hip.kl}'}"
            "</figcaption></figure>"
            for hip, score in hips
        ],
    )


def read_grey(path: Path, size: int) -> NDArray[np.float32]:
    """A crop as models see it, no larger than ``size`` rows and columns.

    Whatever training was allowed to take is shown: what is not square is padded.
    """
    try:
        return shrunk(read_crop(path, accept=CROP_REFUSALS), size)
    except ReadError as error:
        raise ManifestError(f"{error} The manifest must name crops that exist.") from None


def shrunk(grey: NDArray[np.float32], size: int) -> NDArray[np.float32]:
    """A square image, no larger than ``size`` rows and columns."""
    side = min(size, len(grey))
    return grey if side == len(grey) else resize(grey, side, side)


def occlusions(examples: Sequence[OcclusionExample]) -> str:
    """Crops beside their occlusion maps; ground truth top left, probability top right."""
    return _grid("occlusions", [_occlusion(example) for example in examples])


def _occlusion(example: OcclusionExample) -> str:
    truth = "rHOA" if example.label else "no-rHOA"
    verdict = "misclassified" if example.misclassified else "correct"
    return (
        f'<figure class="{verdict}"><div class="pair">'
        f'<img src="{_grey(255 * fraction(example.image))}" alt="crop">'
        f'<img src="{_address(overlay_png(example.image, example.map))}" alt="occlusion map">'
        f"<span>GT {truth}</span><span>P(rHOA) {example.probability:.2f}</span></div>"
        f"<figcaption><b>{verdict.capitalize()}.</b> {html.escape(example.caption)}</figcaption>"
        "</figure>"
    )


def overlay_png(image: NDArray[np.float32], influence: NDArray[np.float32]) -> bytes:
    """`rhoa.evaluation.saliency.overlay` as a PNG file."""
    pictures = require_extra("matplotlib.image", extra="train", purpose="the report")
    buffer = io.BytesIO()
    pixels = overlay(image, influence)
    pictures.imsave(buffer, pixels, format="png", metadata={"Software": None})
    return buffer.getvalue()


def _grey(levels: NDArray[np.float32]) -> str:
    return _address(encode_png(np.rint(np.clip(levels, 0, 255)).astype(np.uint8)))


def _grid(name: str, figures: Sequence[str]) -> str:
    return f'<div class="grid {name}">{"".join(figures)}</div>'


def _address(png: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(png).decode("ascii")


# The page around the report's sections: one file, light and dark, for screens and paper.


def html_page(title: str, sections: Iterable[tuple[str, str]]) -> str:
    """A whole HTML page of sections ``(name, content)``; the first stands above the contents."""
    filled = [(name, content) for name, content in sections if content]
    links = "".join(f'<a href="#{_anchor(name)}">{name}</a>' for name, _ in filled[1:])
    body = "\n".join(
        f'<section id="{_anchor(name)}">{content}</section>'
        + (f'<nav aria-label="Contents">{links}</nav>' if number == 0 else "")
        for number, (name, content) in enumerate(filled)
    )
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>{html.escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n"
        f"<body>\n<main>\n{body}\n</main>\n</body>\n</html>\n"
    )


def numbered(caption: str, body: str) -> str:
    """A figure that the page numbers."""
    return f'<figure class="numbered">{body}<figcaption>{caption}</figcaption></figure>'


def _anchor(name: str) -> str:
    return name.lower().replace(" ", "-")


STYLE = """
:root { --paper: #fdfcf9; --ink: #26241f; --quiet: #6d675c; --rule: #d8d2c5; --wrong: #b3261e;
  --right: #2e7d4f;  --tint: #f4f0e6; --box: #ffb000 }
@media screen and (prefers-color-scheme: dark) { :root { --paper: #1a1916; --ink: #e4dfd4;
  --quiet: #a29b8d; --rule: #45413a; --wrong: #ff8a7e; --right: #63c58b; --tint: #25231f } }
* { box-sizing: border-box }
body { margin: 0; background: var(--paper); color: var(--ink); counter-reset: figure;
  font: 1rem/1.5 Charter, "Bitstream Charter", "Iowan Old Style", Georgia, "DejaVu Serif", serif }
main { max-width: 62rem; margin: 0 auto; padding: 2.5rem 1rem 4rem }
h1 { font-size: 1.9rem; line-height: 1.2; margin: 0; text-wrap: balance }
h2 { font-size: 1.25rem; margin: 2.6rem 0 .8rem; break-after: avoid }
h3 { font-size: .9rem; margin: .9rem 0 .35rem; font-weight: 600; break-after: avoid }
p { max-width: 46rem } a { color: inherit }
.byline, .note, figcaption, caption { color: var(--quiet); font-size: .85rem }
nav { display: flex; flex-wrap: wrap; gap: .2rem 1.1rem; margin: 1.6rem 0 0; padding: .7rem 0;
  border-block: 1px solid var(--rule); font-size: .85rem }
.ci { display: block; color: var(--quiet); font-size: .86em; font-weight: 400 }
.flow { display: grid; grid-template-columns: repeat(3, 1fr); gap: 1.6rem; max-width: 56rem }
.flow > div { position: relative; border: 1px solid var(--rule); border-radius: 3px;
  padding: .6rem .9rem; font-size: .9rem }
.flow > div > b { font-size: 1.35rem; font-weight: 600; margin-right: .2rem }
.flow > div:not(:last-child)::after { content: "\\2192"; position: absolute; right: -1.35rem;
  top: 50%; translate: 0 -50%; color: var(--quiet) }
.flow .out { border-style: dashed; color: var(--quiet) }
.flow ul { margin: .3rem 0 0; padding: 0; list-style: none; font-size: .82rem }
.verdict { border-left: 3px solid var(--right); padding: .1rem 0 .1rem .8rem; font-size: .9rem }
.verdict.bad { border-color: var(--wrong) } .flagged { color: var(--wrong) }
.open { color: var(--wrong) } code { font-size: .88em; overflow-wrap: anywhere }
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
.training { grid-template-columns: repeat(auto-fill, minmax(min(45%, 15rem), 1fr)) }
.curves { grid-template-columns: repeat(auto-fit, minmax(min(100%, 20rem), 1fr)) }
.curves img { max-width: 26rem; margin: 0 auto }
.occlusions { grid-template-columns: repeat(auto-fill, minmax(min(100%, 18rem), 1fr)) }
.failures { grid-template-columns: repeat(auto-fill, minmax(min(45%, 9rem), 1fr)) }
.single img { max-width: 100%; height: auto } .pair.single-crop { grid-template-columns: 1fr }
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
tbody th { font-weight: 400 } tbody th, tbody td { vertical-align: top }
.words table { font-size: .83rem } .words th, .words td { text-align: left; white-space: normal;
  vertical-align: top; border-top: 1px solid var(--rule) } .words td:first-child { padding-left: 0 }
.words tbody th { white-space: nowrap; font-weight: 600 } .words td + th { white-space: normal;
  font-weight: 400 }
.words thead th { border-bottom: 1px solid var(--ink); vertical-align: bottom }
ul { max-width: 46rem; padding-left: 1.2rem } li { margin: .25rem 0 } .flow li { margin: 0 }
thead th[colspan] { text-align: center }
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
  tbody tr { display: grid; padding: .4rem 0;
    border-top: 1px solid var(--rule) }
  tbody tr > *, .total > * { display: flex; justify-content: space-between; gap: .5rem;
    padding: .1rem 0; border: 0 }
  tbody tr > th { grid-column: 1 / -1; font-weight: 600 }
  td { white-space: normal; text-align: right } .ci { display: inline; margin-left: .6rem }
  td::before { margin-right: auto }
  .flow { grid-template-columns: 1fr; gap: 1.7rem }
  .flow > div:not(:last-child)::after { content: "\\2193"; right: auto; left: 50%; top: auto;
    bottom: -1.75rem; translate: -50% 0 }
  .words tbody tr { display: block } .words tbody tr > * { display: block; border: 0 }
  .words td::before { margin: 0 .6rem 0 0 } .words td:empty { display: none }
  tr.set th { display: block; padding-top: .6rem }
  .set span { display: block; margin: 0 }
  td::before { content: attr(data-label); color: var(--quiet) } }
@media print { @page { margin: 15mm } :root { --paper: #fff; font-size: 9.5pt }
  main { padding: 0; max-width: none }
  nav { display: none } .training { grid-template-columns: repeat(5, 1fr) }
  .curves img { max-width: 19rem }
  .occlusions { grid-template-columns: repeat(3, 1fr) }
  .gallery { grid-template-columns: repeat(4, 1fr) }
  figure figure, .table, tr, .crops, .curves { break-inside: avoid }
  figcaption { break-before: avoid } }
"""


# The sections of the report, each an HTML fragment; empty where there is nothing to show.

CROPS_SHOWN = 8
FAILURES_SHOWN = 16


def heading(title: str, notes: Sequence[str], metrics: Mapping[str, Any]) -> str:
    """What the study is and how large; caveats first."""
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
        "<p>Models that tell hips with radiographic osteoarthritis (rHOA) from hips without "
        f"(no-rHOA), here {html.escape(metrics['claims']['outcome'])}, after Gebre et al. 2022 "
        '(<a href="https://doi.org/10.1007/s00198-021-06130-y">doi 10.1007/s00198-021-06130-y</a>).'
        " A CT-AP is the sum of a CT&rsquo;s coronal slices, clipped to &minus;150 to 600 HU: an "
        "image that resembles an X-ray. rHOA is the positive class, called at a probability of at "
        "least 0.5. Intervals are of 95% and take the hips of one subject together: DeLong&rsquo;s "
        "for ROC AUC, Wilson&rsquo;s for shares, the BCa bootstrap for the rest. Research use "
        "only: not for diagnosis.</p>"
    )


def cohort(metrics: Numbers) -> str:
    """How many hips came, stayed and went where; Table 1; what leaks between partitions."""
    flow = metrics["flow"]
    left_out = "".join(f"<li>{count} {reason}</li>" for reason, count in flow["excluded"].items())
    partitions = "".join(
        f"<li><b>{tables.PART_NAMES[partition]}</b> {hips} hips of {count} subjects</li>"
        for partition, count in metrics["cohort"]["subjects"].items()
        if partition != "all"
        for hips in [
            sum(sum(counts[partition].values()) for counts in metrics["cohort"]["hips"].values())
        ]
    )
    steps = (
        f"<div><b>{flow['start']}</b> hips in images</div>"
        f'<div class="out"><b>{flow["start"] - flow["left"]}</b> left out'
        f"{f'<ul>{left_out}</ul>' if left_out else ''}</div>"
        f"<div><b>{flow['left']}</b> hips with a label<ul>{partitions}</ul></div>"
    )
    caption = "Flow of hips from the images to the partitions."
    return (
        f"<h2>Cohort</h2>{numbered(caption, f'<div class=flow>{steps}</div>')}"
        f"{tables.cohort_table(metrics['cohort'], metrics['models'])}{_leaks(metrics['leaks'])}"
    )


def _leaks(audit: Numbers) -> str:
    kinds = [pair["kind"] for pair in audit["leaks"]]
    if not kinds:
        return (
            '<p class="verdict good"><b>Leak audit: nothing found.</b> '
            f"All {audit['images']} "
            "labelled images were compared across partitions for common subjects, identical files, "
            "and copies that are mirrored, resized, rewindowed, cropped or compressed.</p>"
        )
    counts = tables.joined(f"{kinds.count(kind)} {kind}" for kind in sorted(set(kinds)))
    return (
        f'<p class="verdict bad"><b>Leak audit: {len(kinds)} pairs of images cross partitions</b> '
        f"({counts}), of {audit['images']} images. Results below are too good; "
        "<code>rhoa split --audit</code> lists them.</p>"
    )


def images(
    hips: Sequence[Hip],
    gallery: Sequence[GalleryItem],
    windows: Mapping[str, NDArray[np.float32]],
    claims: Mapping[str, str],
) -> str:
    """CT-APs with boxes and pose, histograms of HU windows, crops by class."""
    blocks = ["<h2>Images</h2>"]
    if gallery:
        caption = (
            "CT-APs: the sum of each CT&rsquo;s coronal slices. R and L are the patient&rsquo;s "
            "sides; squares are cropped as hips. Below each image, the angles through which the "
            "pelvis was turned to its anterior pelvic plane, and flags of the pose."
        )
        blocks.append(numbered(caption, image_gallery(gallery)))
    if windows:
        names = html.escape(" and ".join(windows))
        chart = chart_figure(
            partial(charts.window_histograms, windows), f"Histograms of a CT-AP: {names}"
        )
        caption = (
            f"Histogram of the grey levels of one CT-AP, HU clipped to {names} before the sum. "
            "Each image is stretched from its darkest to its brightest pixel."
        )
        blocks.append(numbered(caption, f'<div class="single">{chart}</div>'))
    rows = []
    for source in reversed(SOURCES):
        for label, name in enumerate(reversed(CLASSES)):
            shown = _examples([hip for hip in hips if (hip.source, hip.label) == (source, label)])
            if shown:
                rows.append(f"<h3>{SOURCE_NAMES[source]}, {name}</h3>{crops(shown)}")
    if rows:
        caption = f"Crops of each class: {html.escape(claims['crops'])}."
        blocks.append(numbered(caption, "".join(rows)))
    return "".join(blocks) if len(blocks) > 1 else ""


def _examples(hips: Sequence[Hip]) -> list[Hip]:
    """A few hips, from the lowest grade to the highest."""
    ordered = sorted(hips, key=lambda hip: (hip.kl or 0, hip.subject, hip.side, hip.visit))
    places = np.linspace(0, len(ordered) - 1, min(CROPS_SHOWN, len(ordered)))
    return [ordered[round(place)] for place in places]


def training(models: Sequence[Run]) -> str:
    """Learning curves of all models: the paper's supplementary Figures 2 to 6."""
    drawn = []
    for run in models:
        draw = partial(charts.learning_curves, run.history)
        drawn.append(
            f"<figure>{chart_figure(draw, f'{run.name}: loss and accuracy')}"
            f"<figcaption><b>{html.escape(run.name)}.</b> "
            f"{html.escape(str(run.recipe.get('description', '')))}</figcaption></figure>"
        )
    caption = (
        "Training. Blue: training batches; orange: validation dataset; dotted: the loss of "
        f"answering 0.5 always. Losses above {charts.LOSS_TOP:g} leave the frame. Results below "
        "are of the weights that each model kept."
    )
    body = f'<div class="grid training">{"".join(drawn)}</div>'
    return f"<h2>Training</h2>{numbered(caption, body)}" if models else ""


def results(models: Sequence[Run], metrics: Mapping[str, Any]) -> str:
    """Tables 2 to 4, ROC and PR curves."""
    if not models:
        return ""
    blocks = ["<h2>Results</h2>"]
    numbers = metrics["tables"]
    blocks += [
        tables.result_table(str(numbers[source]), source, metrics)
        for source in SOURCES
        if source in numbers
    ]
    blocks.append(
        '<p class="note">Precision, recall and F1-score are of the rHOA class. The paper&rsquo;s '
        "printed columns fit averages over both classes instead, so compare accuracies and areas, "
        "not these three, with its tables. PR AUC is the average precision.</p>"
    )
    blocks += [_curves(source, models, metrics) for source in reversed(SOURCES)]
    blocks.append(tables.operating_table(str(numbers["answers"]), metrics))
    return "".join(blocks)


def _curves(source: str, models: Sequence[Run], metrics: Mapping[str, Any]) -> str:
    if min(metrics["cohort"]["hips"][source]["test"].values()) == 0:
        return ""  # both curves need both classes
    drawn = []
    for kind, figure, draw in (
        ("ROC", "roc_auc", charts.roc_curves),
        ("Precision-recall", "pr_auc", charts.precision_recall_curves),
    ):
        curves = [
            charts.RankCurve(
                tables.legend(model, model["results"][source]["test"], figure),
                *(scores.truth, scores.score, scores.groups),
            )
            for run, model in zip(models, metrics["models"], strict=True)
            if (scores := run.sets.get((source, "test"))) is not None
        ]
        if curves:
            alt = f"{kind} curves on the {SOURCE_NAMES[source]} test dataset"
            drawn.append(chart_figure(partial(draw, curves), alt))
    caption = (
        f"{SOURCE_NAMES[source]} test dataset: receiver operating characteristic and "
        "precision-recall curves; area [95% CI]. Bands hold 95% of the curves of resampled "
        "subjects. Dotted: chance."
    )
    return numbered(caption, f'<div class="grid curves">{"".join(drawn)}</div>') if drawn else ""


def comparison(metrics: Numbers) -> str:
    """The reference model against the others, source by source."""
    found = metrics["findings"]
    compared = [source for source in reversed(SOURCES) if found[source]["comparisons"]]
    blocks = [
        tables.comparison_table(str(number), source, found[source])
        for number, source in enumerate(compared, start=metrics["tables"]["answers"] + 1)
    ]
    return f"<h2>Models compared</h2>{''.join(blocks)}" if blocks else ""


def calibration(models: Sequence[Run], metrics: Numbers) -> str:
    """Reliability and decision curves, and what validation hips chose, source by source."""
    found = metrics["findings"]
    number = (
        metrics["tables"]["answers"]
        + 1
        + sum(bool(found[source]["comparisons"]) for source in SOURCES)
    )
    blocks = []
    for source in reversed(SOURCES):
        tested = [(run, run.sets[source, "test"]) for run in models if (source, "test") in run.sets]
        if not tested or not tested[0][1].has_both_classes:
            continue
        if found[source]["calibration"]:
            blocks.append(tables.calibration_table(str(number), source, found[source]))
            number += 1
        blocks += [_reliability(source, tested), _decisions(source, tested)]
    return f"<h2>Calibration and decisions</h2>{''.join(blocks)}" if blocks else ""


def _reliability(source: str, tested: Sequence[tuple[Run, Scores]]) -> str:
    drawn = []
    for run, scores in tested:
        bins = reliability(scores.truth, scores.score, groups=scores.groups)
        alt = f"{run.name}: reliability on the {SOURCE_NAMES[source]} test dataset"
        picture = chart_figure(partial(charts.reliability_diagram, bins), alt)
        drawn.append(
            f"<figure>{picture}<figcaption><b>{html.escape(run.name)}.</b></figcaption></figure>"
        )
    caption = (
        f"Reliability on the {SOURCE_NAMES[source]} test dataset: the share of hips with rHOA over "
        "their mean probability, in tenths, with 95% intervals; below, the hips of each tenth. On "
        "the dotted line a probability means what it says."
    )
    return numbered(caption, f'<div class="grid training">{"".join(drawn)}</div>')


def _decisions(source: str, tested: Sequence[tuple[Run, Scores]]) -> str:
    curves = {run.name: decision_curve(scores.truth, scores.score) for run, scores in tested}
    alt = f"Decision curves on the {SOURCE_NAMES[source]} test dataset"
    bands = {}
    for run, scores in tested:
        thresholds = np.array([point.threshold for point in curves[run.name]])
        band = benefit_band(scores.truth, scores.score, scores.groups, thresholds)
        if band is not None:
            bands[run.name] = band
    picture = chart_figure(partial(charts.decision_curves, curves, bands), alt)
    caption = (
        f"Decision curves on the {SOURCE_NAMES[source]} test dataset: hips rightly called rHOA, "
        "less those wrongly called so, weighed by the odds of the threshold, per hip; bands hold "
        "95 % of resampled patients' curves. A model is worth using where it lies above both grey "
        "lines."
    )
    return numbered(caption, f'<div class="single">{picture}</div>')


def failures(models: Sequence[Run], metrics: Numbers) -> str:
    """Test hips that the reference model calls wrong, the most confident first."""
    blocks = []
    for source in reversed(SOURCES):
        chosen = reference(models, source)
        if chosen is None:
            continue
        wrong = confident_failures(chosen, source)
        hips = len(chosen.sets[source, "test"].hips)
        name = f"{html.escape(chosen.name)}, {SOURCE_NAMES[source]}"
        if not wrong:
            blocks.append(f"<p>{name}: none of {hips} test hips is called wrong.</p>")
            continue
        shown = wrong[:FAILURES_SHOWN]
        first = f", the first {len(shown)}" if len(shown) < len(wrong) else ""
        caption = (
            f"{name}: {len(wrong)} of {hips} test hips are called wrong{first}; the most confident "
            "errors come first. GT: ground truth, top left; probability of rHOA, top right."
        )
        blocks.append(numbered(caption, scored_crops(shown)))
    return f"<h2>Failures</h2>{''.join(blocks)}" if blocks and metrics["models"] else ""


def cards(metrics: Numbers) -> str:
    """The model card."""
    if not metrics["models"]:
        return ""
    return f"<h2>Model card</h2>{tables.model_cards(metrics)}"


def reporting(metrics: Numbers) -> str:
    """What TRIPOD+AI and CLAIM ask for."""
    items = tables.checklist(metrics)
    open_items = sum(not item.answer for item in items)
    return (
        "<h2>Reporting checklist</h2><p>What TRIPOD+AI (2024) and CLAIM (2024) ask for, filled in "
        f"where this run knows it; {open_items} items are for the authors to write.</p>"
        f"{tables.checklist_table(items)}"
    )


def provenance(metrics: Numbers) -> str:
    """Versions and hashes, as the run folders state them."""
    rows = []
    for model in metrics["models"]:
        made = model["provenance"]
        versions = ", ".join(f"{name} {value}" for name, value in (made["versions"] or {}).items())
        for name, value in (
            ("Versions", versions),
            ("Device", " ".join(filter(None, (made["device"], made["precision"])))),
            ("Weights, sha256", made["weights_sha256"]),
            ("Hips, sha256", made["manifest_sha256"]),
            ("Partitions, sha256", made["split_sha256"]),
        ):
            if value:
                rows.append((name, html.escape(value), html.escape(model["name"])))
    if not rows:
        return ""
    same: dict[tuple[str, str], list[str]] = {}
    for name, value, model in rows:
        same.setdefault((name, value), []).append(model)
    lines = "".join(
        f'<tr><th scope="row">{name}</th><td><code>{value}</code></td><td>'
        f"{'all' if len(names) == len(metrics['models']) else tables.joined(names)}</td></tr>"
        for (name, value), names in same.items()
    )
    return (
        '<h2>Versions and hashes</h2><div class="words"><table><thead><tr><th>What</th>'
        f"<th>Value</th><th>Models</th></tr></thead><tbody>{lines}</tbody></table></div>"
    )


def described(metrics: Numbers) -> str:
    """Who the subjects are, and the test figures of subgroups."""
    blocks = []
    for number, (caption, heads, rows, note) in enumerate(tables.described_tables(metrics), 1):
        head = f"<tr>{tables.headings(map(html.escape, heads))}</tr>"
        lines = [
            tables.row(name, [(html.escape(h), html.escape(c)) for h, c in zip(heads[1:], cells)])  # noqa: B905
            for name, *cells in rows
        ]
        blocks.append(tables.table(f"S{number}", caption, head, lines, [note] if note else []))
    return f"<h2>Participants and subgroups</h2>{''.join(blocks)}" if blocks else ""


def explanations(examples: Sequence[OcclusionExample]) -> str:
    """Occlusion maps over crops."""
    if not examples:
        return ""
    caption = (
        "Occlusion sensitivity. Red: hiding this part lowers the probability of the predicted "
        "class; blue: hiding it raises it. Each map has its own scale. GT: ground truth."
    )
    return f"<h2>What the model looks at</h2>{numbered(caption, occlusions(examples))}"

"""The page of the report: what its template lays out, and the pictures in it; one file."""

from __future__ import annotations

import base64
import html
import io
import re
from collections import Counter
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from rhoa.errors import ManifestError, PoseError, ReadError, require_extra
from rhoa.evaluation.calibration import reliability
from rhoa.evaluation.decision_curves import decision_curve
from rhoa.evaluation.intervals import benefit_band
from rhoa.evaluation.metrics import SMALL_CLASS
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
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from markupsafe import Markup
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

GALLERY_ROWS = 420
CROP_PIXELS = 144
CROPS_SHOWN = 8
FAILURES_SHOWN = 16


def document(name: str, content: Mapping[str, object]) -> str:
    """A document as its template, a file beside this one, lays out ``content``.

    Every text is escaped where it is printed: in ``.html.jinja`` as HTML, in ``.md.jinja`` as
    Markdown.
    """
    import jinja2

    documents = jinja2.Environment(
        loader=jinja2.PackageLoader("rhoa.report", "."),
        autoescape=True,
        finalize=_in_markdown if name.endswith(".md.jinja") else None,
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
    )
    documents.filters["source_name"] = SOURCE_NAMES.__getitem__
    text: str = documents.get_template(name).render(content)
    return text


def _in_markdown(printed: object) -> Markup:
    """A text in one line of Markdown: no mark-up of its own, HTML or other."""
    import markupsafe

    line = re.sub(r"\s", " ", html.escape(str(printed), quote=False))
    escaped = re.sub(r"([\\`*_\[\]|#~])", r"\\\1", line)
    return markupsafe.Markup(escaped)  # noqa: S704  # it is


def content_of(title: str, notes: Sequence[str], metrics: Numbers) -> dict[str, object]:
    """What the page and its tables in Markdown have in common."""
    return {
        "title": title,
        "notes": notes,
        "metrics": metrics,
        "checklist": tables.checklist(metrics),
        "described": tables.described_tables(metrics),
        "printed": tables.estimate_text,
        "SOURCES": SOURCES,
        "CLASSES": CLASSES,
        "PART_NAMES": tables.PART_NAMES,
        "DASH": tables.DASH,
        "SMALL_CLASS": SMALL_CLASS,
        "COLUMNS": tables.COLUMNS,
        "COUNTS": tables.COUNTS,
        "CALIBRATION": tables.CALIBRATION,
        "answers": [
            (source, model["name"], result["confusion"])
            for source in SOURCES
            for model in metrics["models"]
            if (result := model["results"][source]["test"]) is not None
        ],
    }


def page_content(
    metrics: Numbers,
    *,
    models: Sequence[Run],
    hips: Sequence[Hip],
    gallery: Sequence[GalleryItem],
    windows: Mapping[str, NDArray[np.float32]],
    occlusions: Sequence[OcclusionExample],
) -> dict[str, object]:
    """What the page alone shows: its pictures, and what its tables compute."""
    leaks = Counter(pair["kind"] for pair in metrics["leaks"]["leaks"])
    return {
        "joined": tables.joined,
        "hips_in": partial(tables.hips_in, metrics),
        "small_sets": partial(tables.small_sets, metrics),
        "trained_on": lambda kinds: [
            model["name"] for model in metrics["models"] if set(model["sources"]) == set(kinds)
        ],
        "resized": [
            f"{model['name']} ({model['xray_size']} pixels)"
            for model in metrics["models"]
            if model["xray_size"] is not None
        ],
        "leaks": [f"{count} {kind}" for kind, count in sorted(leaks.items())],
        "gallery": [_gallery_image(*item) for item in gallery],
        "windows": _windows(windows),
        "crops": _crops(hips),
        "loss_top": f"{charts.LOSS_TOP:g}",
        "models": [_learning(run) for run in models],
        "curves": _curves(models, metrics),
        "compared": _compared(metrics),
        "calibrated": _calibrated(models, metrics),
        "occlusions": [_occlusion(example) for example in occlusions],
        "failed": _failed(models),
        "hashes": _hashes(metrics),
    }


# Pictures of the page, as addresses that carry their bytes, which depend on their content only.
# Charts are drawn twice, in ink for light and for dark pages; the page picks one.


def _chart(draw: Draw, alt: str) -> dict[str, object]:
    """A chart of `rhoa.report.charts`, drawn for light pages and for dark ones."""
    light, dark = draw(palette=LIGHT), draw(palette=DARK)
    width, height = (round(96 * inch) for inch in light.get_size_inches())
    chart: dict[str, object] = {"alt": alt, "width": width, "height": height}
    for name, figure in (("light", light), ("dark", dark)):
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", transparent=True, metadata={"Software": None})
        chart[name] = _address(buffer.getvalue())
    return chart


def _address(png: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(png).decode("ascii")


def _grey(levels: NDArray[np.float32]) -> str:
    return _address(encode_png(np.rint(np.clip(levels, 0, 255)).astype(np.uint8)))


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


def overlay_png(image: NDArray[np.float32], influence: NDArray[np.float32]) -> bytes:
    """`rhoa.evaluation.saliency.overlay` as a PNG file."""
    pictures = require_extra("matplotlib.image", extra="report", purpose="the report")
    buffer = io.BytesIO()
    pixels = overlay(image, influence)
    pictures.imsave(buffer, pixels, format="png", metadata={"Software": None})
    return buffer.getvalue()


# What is shown in the sections of the page.


def _gallery_image(
    caption: str, image: Radiograph, found: Mapping[Side, Box] | None = None
) -> dict[str, object]:
    """A CT-AP in millimetres: its picture, boxes of hips over it, angles and flags of its pose."""
    alignment = image.alignment
    if found is None:
        known = alignment is not None and alignment.landmarks is not None
        try:
            found = boxes(image) if known else {}
        except PoseError:  # the image ends at a hip: shown without boxes
            found = {}
    (rows, columns), (down, across) = image.shape, image.pixel_mm
    square = image.square()
    shown = min(square.shape[0], GALLERY_ROWS)
    grey = square.to_uint8().astype(np.float32)
    wide = max(1, round(shown * square.shape[1] / square.shape[0]))
    return {
        "caption": caption,
        "picture": _grey(resize(grey, shown, wide)),
        "size_mm": (columns * across, rows * down),
        "boxes_mm": [
            (box.left * across, box.top * down, box.width * across, box.height * down)
            for box in found.values()
        ],
        "angles": None if alignment is None else alignment.angles._asdict(),
        "flags": () if alignment is None else sorted(alignment.flags),
    }


def _windows(windows: Mapping[str, NDArray[np.float32]]) -> dict[str, object]:
    names = " and ".join(windows)
    draw = partial(charts.window_histograms, windows)
    chart = _chart(draw, f"Histograms of a CT-AP: {names}") if windows else None
    return {"names": names, "chart": chart} if windows else {}


def _crops(hips: Sequence[Hip]) -> list[tuple[str, list[tuple[str, str]]]]:
    """A few crops of each source and class, from the lowest grade to the highest."""
    rows = []
    for source in reversed(SOURCES):
        for label, name in enumerate(reversed(CLASSES)):
            members = [hip for hip in hips if (hip.source, hip.label) == (source, label)]
            members.sort(key=lambda hip: (hip.kl or 0, hip.subject, hip.side, hip.visit))
            places = np.linspace(0, len(members) - 1, min(CROPS_SHOWN, len(members)))
            shown = [
                (_grade(hip), _grey(read_grey(hip.crop, CROP_PIXELS)))
                for hip in (members[round(place)] for place in places)
            ]
            if shown:
                rows.append((f"{SOURCE_NAMES[source]}, {name}", shown))
    return rows


def _grade(hip: Hip) -> str:
    return "ungraded" if hip.kl is None else f"KL {hip.kl}"


def _learning(run: Run) -> dict[str, object]:
    """Learning curves: the paper's supplementary Figures 2 to 6."""
    draw = partial(charts.learning_curves, run.history)
    return {
        "name": run.name,
        "description": run.recipe.get("description", ""),
        "learning": _chart(draw, f"{run.name}: loss and accuracy"),
    }


def _curves(models: Sequence[Run], metrics: Numbers) -> list[tuple[str, list[dict[str, object]]]]:
    """ROC and precision-recall curves of each source whose test hips have both classes."""
    found = []
    for source in reversed(SOURCES):
        if min(metrics["cohort"]["hips"][source]["test"].values()) == 0:
            continue  # both curves need both classes
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
                drawn.append(_chart(partial(draw, curves), alt))
        if drawn:
            found.append((source, drawn))
    return found


def _compared(metrics: Numbers) -> list[tuple[int, str, Numbers]]:
    """Number of each table, source, and the reference against the other models."""
    found, first = metrics["findings"], metrics["tables"]["answers"] + 1
    sources = [source for source in reversed(SOURCES) if found[source]["comparisons"]]
    return [(number, source, found[source]) for number, source in enumerate(sources, first)]


def _calibrated(
    models: Sequence[Run], metrics: Numbers
) -> list[tuple[int, str, Sequence[Numbers], list[tuple[str, object]], object]]:
    """Number of the table, source, its rows, reliability of each model, decision curves."""
    found = []
    number = metrics["tables"]["answers"] + 1 + len(_compared(metrics))
    for source in reversed(SOURCES):
        tested = [(run, run.sets[source, "test"]) for run in models if (source, "test") in run.sets]
        if not tested or not tested[0][1].has_both_classes:
            continue
        rows = metrics["findings"][source]["calibration"]
        diagrams = [(run.name, _reliability(source, run, scores)) for run, scores in tested]
        found.append((number, source, rows, diagrams, _decisions(source, tested)))
        number += bool(rows)
    return found


def _reliability(source: str, run: Run, scores: Scores) -> object:
    bins = reliability(scores.truth, scores.score, groups=scores.groups)
    alt = f"{run.name}: reliability on the {SOURCE_NAMES[source]} test dataset"
    return _chart(partial(charts.reliability_diagram, bins), alt)


def _decisions(source: str, tested: Sequence[tuple[Run, Scores]]) -> object:
    curves = {run.name: decision_curve(scores.truth, scores.score) for run, scores in tested}
    bands = {}
    for run, scores in tested:
        thresholds = np.array([point.threshold for point in curves[run.name]])
        band = benefit_band(scores.truth, scores.score, scores.groups, thresholds)
        if band is not None:
            bands[run.name] = band
    alt = f"Decision curves on the {SOURCE_NAMES[source]} test dataset"
    return _chart(partial(charts.decision_curves, curves, bands), alt)


def _occlusion(example: OcclusionExample) -> dict[str, object]:
    """A crop beside its occlusion map."""
    return {
        "caption": example.caption,
        "crop": _grey(255 * fraction(example.image)),
        "map": _address(overlay_png(example.image, example.map)),
        "truth": CLASSES[not example.label],
        "probability": example.probability,
        "misclassified": example.misclassified,
    }


def _failed(models: Sequence[Run]) -> list[dict[str, object]]:
    """Test hips that the reference model calls wrong, the most confident first."""
    found = []
    for source in reversed(SOURCES):
        chosen = reference(models, source)
        if chosen is None:
            continue
        wrong = confident_failures(chosen, source)
        shown = [
            {
                "picture": _grey(read_grey(hip.crop, CROP_PIXELS)),
                "truth": CLASSES[not hip.label],
                "score": score,
                "side": hip.side,
                "grade": _grade(hip),
            }
            for hip, score in wrong[:FAILURES_SHOWN]
        ]
        tested = len(chosen.sets[source, "test"].hips)
        facts = {"model": chosen.name, "source": source, "hips": tested, "wrong": len(wrong)}
        found.append({**facts, "shown": shown})
    return found


def _hashes(metrics: Numbers) -> list[tuple[str, str, list[str]]]:
    """Versions and hashes, as the run folders state them, and the models that share each."""
    same: dict[tuple[str, str], list[str]] = {}
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
                same.setdefault((name, value), []).append(model["name"])
    return [(*what, names) for what, names in same.items()]

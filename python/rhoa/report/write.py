"""One page that shows a study, its numbers as JSON, its tables and figures as files beside it."""

from __future__ import annotations

import base64
import io
import json
import math
import re
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rhoa.cohort.leakage import leaks
from rhoa.cohort.manifest import ct_ap_of
from rhoa.errors import ManifestError, PoseError, ReadError, require_extra
from rhoa.evaluation.calibration import reliability
from rhoa.evaluation.decision_curves import decision_curve
from rhoa.evaluation.grades import grades_of_run
from rhoa.evaluation.intervals import benefit_band
from rhoa.evaluation.saliency import OcclusionExample, fraction, occlusion, overlay
from rhoa.files import atomic_write
from rhoa.hips import boxes
from rhoa.hips.bounding_boxes import CT_CROP_PIXELS
from rhoa.hips.crop_files import CROP_REFUSALS, read_crop
from rhoa.projection import sweep
from rhoa.radiograph import Radiograph
from rhoa.raster import encode_png, resize
from rhoa.report import charts, collect, tables
from rhoa.report.collect import CLASSES, SOURCES, reference
from rhoa.report.collect import failures as confident_failures
from rhoa.report.tables import SOURCE_NAMES

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from os import PathLike

    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from rhoa._types import Side
    from rhoa.cohort import Hip, Manifest
    from rhoa.radiograph import Box
    from rhoa.report.collect import Run, Scores
    from rhoa.volume import Volume

    GalleryItem = tuple[str, Radiograph] | tuple[str, Radiograph, Mapping[Side, Box]]

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
    readers: str | PathLike[str] | None = None,
    external: bool = False,
) -> Path:
    """The path of ``folder/report.html``: one file that shows a study, without a network.

    Beside it, ``metrics.json`` holds every number of the page, ``report.md`` its tables for other
    documents, ``tables`` each table as CSV and LaTeX, and ``figures`` each chart as SVG. All depend
    on the arguments only. Intervals take the hips of one subject together. No subject and no file
    is named.

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
    readers
        Table of readers' grades of the test hips (columns subject, side, reader, kl), such as the
        ``grades.csv`` of `rhoa review`: their answers are shown beside the models'.
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
    graded = None if readers is None else Path(readers)
    metrics = {
        **collect.numbers(manifest, models, by=by, readers=graded),
        "external": external,
        "grading": [
            {"model": model.name, **one}
            for run, model in zip(runs, models, strict=True)
            if model.recipe.get("target") == "kl"
            for one in grades_of_run(Path(run))
        ],
        "leaks": leaks(manifest).as_dict(),
        "gallery": [_pose(item[1]) for item in gallery],
        "occlusions": [
            {"label": int(example.label), "probability": float(example.probability)}
            for example in examples
        ],
    }
    found = tables.study_tables(metrics)
    figures = _Figures()
    leaking = Counter(pair["kind"] for pair in metrics["leaks"]["leaks"])
    page = _page(
        {
            "title": title,
            "notes": notes,
            "metrics": metrics,
            "tables": found,
            "text": tables,
            "inputs": tables.joined(
                name for source, name in SOURCE_NAMES.items() if tables.hips_in(metrics, [source])
            ),
            "leaks": [f"{count} {kind}" for kind, count in sorted(leaking.items())],
            "gallery": [
                _gallery_image(*item) | pose
                for item, pose in zip(gallery, metrics["gallery"], strict=True)
            ],
            "windows": figures.windows(windows or {}),
            "crops": _crops(hips),
            "training": figures.training(models),
            "curves": figures.curves(models, metrics),
            "calibrated": figures.calibrated(models, metrics),
            "risks": figures.risks(metrics),
            "occlusions": [_occlusion(example) for example in examples],
            "failed": _failed(models),
        }
    )
    folder = Path(folder)
    for inner in ("figures", "tables"):
        (folder / inner).mkdir(parents=True, exist_ok=True)
    atomic_write(folder / "metrics.json", json.dumps(metrics, indent=2, allow_nan=False) + "\n")
    atomic_write(folder / "report.md", _markdown(title, notes, found.values()))
    for name, svg in figures.svg.items():
        atomic_write(folder / "figures" / f"{name}.svg", svg)
    for table in found.values():
        atomic_write(folder / "tables" / f"{table.name}.csv", table.csv())
        atomic_write(folder / "tables" / f"{table.name}.tex", table.latex())
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
    readers: Path | None = None,
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
        readers=readers,
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
    from rhoa.learning.loading import load_model

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


# The page and what is shown in its sections.

GALLERY_ROWS = 420
CROP_PIXELS = 144
CROPS_SHOWN = 8
FAILURES_SHOWN = 8


def _page(content: Mapping[str, object]) -> str:
    """The page as its template, a file beside this one, lays it out; every text is escaped."""
    import jinja2

    documents = jinja2.Environment(
        loader=jinja2.PackageLoader("rhoa.report", "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
    )
    text: str = documents.get_template("report.html.jinja").render(content)
    return text


def _markdown(title: str, notes: Sequence[str], found: Iterable[tables.ReportTable]) -> str:
    lines = [f"# {tables.in_markdown(title)}", *(f"> {tables.in_markdown(note)}" for note in notes)]
    return "\n\n".join([*lines, *(table.markdown() for table in found)]) + "\n"


class _Figures:
    """Charts of the page, each also as SVG by its name.

    On the page texts are outlines, for fonts that a reader lacks, and each chart is there twice, in
    inks for light and for dark pages; the page picks one.
    """

    def __init__(self) -> None:
        self.svg: dict[str, bytes] = {}

    def _chart(self, name: str, figure: Figure, alt: str) -> dict[str, object]:
        plain = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:60]
        plain = plain if plain not in self.svg else f"{plain}-{len(self.svg)}"
        self.svg[plain] = charts.as_svg(figure)
        light = charts.as_svg(figure, outlined=True)
        width, height = (round(96 * inch) for inch in figure.get_size_inches())
        return {
            "alt": alt,
            "width": width,
            "height": height,
            "light": _address(light, "image/svg+xml"),
            "dark": _address(charts.for_dark_pages(light), "image/svg+xml"),
        }

    def windows(self, windows: Mapping[str, NDArray[np.float32]]) -> dict[str, object]:
        """Histograms of one scan's CT-APs, where there are some."""
        names = " and ".join(windows)
        if not windows:
            return {}
        figure = charts.window_histograms(windows)
        chart = self._chart("windows", figure, f"Histograms of a CT-AP: {names}")
        return {"names": names, "chart": chart}

    def training(self, models: Sequence[Run]) -> list[dict[str, object]]:
        """Learning curves: the paper's supplementary Figures 2 to 6."""
        return [
            {
                "name": run.name,
                "description": run.recipe.get("description", ""),
                "chart": self._chart(
                    f"training-{run.name}",
                    charts.learning_curves(run.history),
                    f"{run.name}: loss and accuracy",
                ),
            }
            for run in models
        ]

    def curves(self, models: Sequence[Run], metrics: Numbers) -> list[tuple[str, Sequence[object]]]:
        """ROC and precision-recall curves of each source whose test hips have both classes."""
        found: list[tuple[str, Sequence[object]]] = []
        for source in SOURCES:
            drawn = []
            curves = [
                charts.RankCurve(
                    *(run.name, scores.truth, scores.score, scores.groups),
                    *(
                        f"{title} {tables.estimate(result[name])}"
                        for name, title in (("roc_auc", "ROC"), ("pr_auc", "PR"))
                    ),
                )
                for run, model in zip(models, metrics["models"], strict=True)
                for scores in [run.sets.get((source, "test"))]
                for result in [model["results"][source]["test"]]
                if scores is not None and scores.has_both_classes
            ]
            readers = [
                charts.ReaderPoint(row["reader"], *(_value(row[name]) for name in _OPERATING))
                for row in metrics["readers"]["rows"]
                if row["source"] == source
            ]
            for curve in curves:
                others = [other for other in curves if other is not curve]
                figure = charts.rank_curves(curve, others=others, readers=readers)
                alt = f"{curve.name}: curves on the {SOURCE_NAMES[source]} test dataset"
                drawn.append(self._chart(f"curves-{source}-{curve.name}", figure, alt))
            if drawn:
                found.append((source, drawn))
        return found

    def risks(self, metrics: Numbers) -> list[tuple[str, list[tuple[str, object]]]]:
        """Risk-coverage curve of each model of grades on each source with graded test hips."""
        found: dict[str, list[tuple[str, object]]] = {}
        for one in metrics["grading"]:
            if one["partition"] == "test":
                name, source = one["model"], one["source"]
                points = {float(at): wrong for at, wrong in one["risk_at_coverage"].items()}
                alt = f"{name}: wrong grades by share answered, {SOURCE_NAMES[source]}"
                chart = self._chart(f"risk-{source}-{name}", charts.risk_curve(points), alt)
                found.setdefault(source, []).append((name, chart))
        return list(found.items())

    def calibrated(
        self, models: Sequence[Run], metrics: Numbers
    ) -> list[tuple[str, list[tuple[str, object, object]]]]:
        """Reliability and decision curve of each model on each source with both classes."""
        found = []
        for source in tables.tested_sources(metrics):
            drawn = [
                (run.name, *self._calibration(source, run, scores))
                for run in models
                if (scores := run.sets.get((source, "test"))) is not None
                and scores.has_both_classes
            ]
            if drawn:
                found.append((source, drawn))
        return found

    def _calibration(self, source: str, run: Run, scores: Scores) -> tuple[object, object]:
        known = scores.truth, scores.score
        bins = reliability(*known, groups=scores.groups)
        curve = decision_curve(*known)
        at = np.array([point.threshold for point in curve])
        band = benefit_band(*known, scores.groups, at)
        where = f"on the {SOURCE_NAMES[source]} test dataset"
        name = f"{source}-{run.name}"
        return (
            self._chart(
                f"reliability-{name}",
                charts.reliability_diagram(bins),
                f"{run.name}: reliability {where}",
            ),
            self._chart(
                f"decisions-{name}",
                charts.decision_curves(curve, band),
                f"{run.name}: decision curve {where}",
            ),
        )


_OPERATING = ("specificity", "recall", "precision")


def _value(numbers: Numbers) -> float:
    return math.nan if numbers["value"] is None else float(numbers["value"])


def _address(picture: bytes, kind: str = "image/png") -> str:
    return f"data:{kind};base64," + base64.b64encode(picture).decode("ascii")


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


def _gallery_image(
    caption: str, image: Radiograph, found: Mapping[Side, Box] | None = None
) -> dict[str, object]:
    """A CT-AP in millimetres: its picture, and boxes of hips over it."""
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
    }


def _pose(image: Radiograph) -> dict[str, object]:
    """Angles and flags of an image's pose; no angles as scanned."""
    alignment = image.alignment
    angles = None if alignment is None else alignment.angles._asdict()
    return {
        "angles": angles and {name: float(angle) for name, angle in angles.items()},
        "flags": [] if alignment is None else sorted(alignment.flags),
    }


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

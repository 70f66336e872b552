"""What each verb of the command line does: calls of the library, and what is worth printing."""

from __future__ import annotations

import dataclasses
import importlib
import json
import shlex
import textwrap
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import rhoa
from rhoa import cohort, projection
from rhoa.bench import run as run_bench
from rhoa.errors import ParameterError, PoseError, require_extra
from rhoa.hips.boxes import SIDES, Box
from rhoa.picture import draw_box, encode_png, stretch
from rhoa.progress import bar

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Mapping, Sequence

    from rhoa import Alignment, Radiograph
    from rhoa.reading.catalogue import SeriesSummary

Rows = list[dict[str, Any]]
TRAINING_LIBRARIES = ("torch", "torchvision", "safetensors", "matplotlib")
TERMINAL = 98  # columns that a text may take
SHORT_SYNTAX = {
    "Implicit VR Little Endian": "implicit",
    "Explicit VR Little Endian": "explicit",
    "Explicit VR Big Endian": "big endian",
    "Deflated Explicit VR Little Endian": "deflated",
    "RLE Lossless": "RLE",
    "JPEG 2000 Image Compression (Lossless Only)": "JPEG 2000",
    "JPEG 2000 Image Compression": "JPEG 2000 loss",
    "JPEG-LS Lossless Image Compression": "JPEG-LS",
    "JPEG-LS Lossy (Near-Lossless) Image Compression": "JPEG-LS loss",
}
IMAGE_SUFFIXES = (".png", ".npz", ".nii", ".nii.gz")
OTHER_IMAGE_SUFFIXES = (".tif", ".tiff", ".jpg", ".jpeg", ".bmp", ".gif", ".dcm", ".mha", ".nrrd")


@dataclass(frozen=True, slots=True)
class Result:
    """What a verb prints: a table (or its JSON), then lines; and whether cases were rejected."""

    rows: Rows = field(default_factory=list)
    lines: Sequence[str] = ()
    rejected: bool = False
    shown: Rows | None = None
    """What the table has, where JSON tells more."""


def table(rows: Rows) -> str:
    """Rows of like keys as aligned columns."""
    columns = list(rows[0])
    cells = [columns, *([_cell(row.get(column)) for column in columns] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in cells
    )


def _cell(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list | tuple):
        return " x ".join(_cell(part) for part in value)
    return str(value)


def inspect(options: Namespace) -> Result:
    """The series of a path, what becomes of each and why, and what to type next."""
    from rhoa.reading import inspect as list_series

    series = list_series(options.scan, repair=options.repair, progress=bar())
    rows = [dataclasses.asdict(summary) for summary in series]
    lines = ["", *(line for summary in series for line in _remarks(summary))]
    lines += [""] * (len(lines) > 1) + [_next_step(series, options.scan)]
    return Result(rows, lines, shown=[_row_of(summary) for summary in series])


def _row_of(series: SeriesSummary) -> dict[str, Any]:
    """A row of the table, in which no cell makes it wider than a terminal."""
    syntaxes = ", ".join(SHORT_SYNTAX.get(name, name) for name in series.syntax.split(", "))
    return {
        "index": series.index,
        "modality": series.modality[:8] or "-",
        "slices": series.slices,
        "pixels": f"{series.rows}x{series.columns}",
        "spacing_mm": "x".join(f"{step:.3g}" for step in series.spacing_mm or ()) or "-",
        "plane": series.orientation or "-",
        "kernel": _cut(series.kernel, 10) or "-",
        "syntax": _cut(syntaxes, 14) or "-",
        "verdict": series.verdict,
    }


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 2]}.."


def _remarks(series: SeriesSummary) -> list[str]:
    """Why a series is refused, or what deserves a look in it."""
    remarks = [f"refused: {series.reason}"] if series.reason else []
    remarks += [f"warning: {warning}" for warning in series.warnings]
    remarks += [f"part: {series.part}"] if series.part else []
    return [
        textwrap.fill(
            remark,
            width=TERMINAL,
            initial_indent=f"{series.index:>5}  ",
            subsequent_indent=" " * 7,
            break_on_hyphens=False,
        )
        for remark in remarks
    ]


def _next_step(series: Sequence[SeriesSummary], scan: str) -> str:
    """The command that makes something of the volume, where there is one."""
    volumes = [summary for summary in series if summary.verdict == "volume"]
    if not volumes:
        return "no series here can be read as a CT volume"
    chosen = "" if len(volumes) == 1 else f" --series {volumes[0].index}"
    several = "" if len(volumes) == 1 else f"   (one of the {len(volumes)} volumes)"
    return f"next: rhoa ctap {shlex.quote(scan)}{chosen} -o out{several}"


def ctap(options: Namespace) -> Result:
    """A CT-AP."""
    out: Path = options.out
    if out.suffix.lower() in OTHER_IMAGE_SUFFIXES:
        raise ParameterError(
            f"{out.name}: rhoa writes {', '.join(IMAGE_SUFFIXES)}, or all it can into a folder."
        )
    style = ("method", "order", "reduce", "transform")
    image = _project(options, {name: getattr(options, name) for name in style})
    if out.name.lower().endswith(IMAGE_SUFFIXES):
        files = [out]
    else:
        files = [out / "ct-ap.png", out / "ct-ap.npz"]
    for file in files:
        file.parent.mkdir(parents=True, exist_ok=True)
        image.save(file)
    return Result([_described(image)], [f"wrote {file}" for file in files])


def hips(options: Namespace) -> Result:
    """Crops of one scan, or of a table of scans."""
    if str(options.scan).lower().endswith(".csv"):
        given = (options.pose, options.series, options.repair, options.pixel_mm, options.threads)
        if any(given) or options.depth != ["all"] or options.window is not None:
            raise ParameterError(
                "a table of scans names its own landmarks and is made with the defaults; "
                "leave out --pose, --series, --repair, --window, --depth, --pixel-mm and --threads."
            )
        manifest = cohort.build(options.scan, options.out, progress=bar())
        rejected = options.out / "rejected.csv"
        lines = [f"wrote {options.out / 'manifest.csv'}: {len(manifest)} hips"]
        lines += [f"{count} hips excluded: {why}" for why, count in manifest.excluded.items()]
        rows = [{"manifest": str(options.out / "manifest.csv"), "hips": len(manifest)}]
        return Result(rows, lines, rejected.exists())
    if options.pose is None:
        raise ParameterError("cropping hips needs the pelvis: pass --pose landmarks.json.")
    image = _project(options)
    boxes = rhoa.hips.boxes(image)
    out: Path = options.out
    out.mkdir(parents=True, exist_ok=True)
    image.save(out / "ct-ap.png")
    image.save(out / "ct-ap.npz")
    (out / "boxes.png").write_bytes(_picture_of(image, boxes))
    for side in SIDES:
        pixels = stretch(rhoa.hips.crop(image, boxes[side]))
        (out / f"hip-{side}.png").write_bytes(encode_png(pixels))
    rows = [dataclasses.asdict(boxes[side]) for side in SIDES]
    (out / "boxes.json").write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")
    names = ["ct-ap.png", "ct-ap.npz", "boxes.png", "boxes.json", "hip-left.png", "hip-right.png"]
    return Result(rows, [f"wrote {out / name}" for name in names])


def split(options: Namespace) -> Result:
    """A manifest with partitions."""
    manifest = cohort.read(options.manifest).split(seed=options.seed)
    out: Path = options.out or options.manifest
    manifest.write(out)
    counts = manifest.counts()
    rows = [
        {
            "partition": part,
            **{
                f"{source} {name}": counts.get((source, part, label), 0)
                for source in ("xray", "ct")
                for label, name in ((1, "rHOA"), (0, "no rHOA"))
            },
        }
        for part in ("train", "val", "test")
    ]
    return Result(rows, [f"wrote {out}"])


def train(options: Namespace) -> Result:
    """A trained model."""
    if options.recipe not in rhoa.recipes:
        raise ParameterError(
            f"there is no recipe {options.recipe!r}; choose one of {', '.join(rhoa.recipes)}."
        )
    changes = {"epochs": options.epochs, "image_size": options.image_size}
    recipe = dataclasses.replace(
        rhoa.recipes[options.recipe],
        **{name: value for name, value in changes.items() if value is not None},
    )
    run = rhoa.train(
        cohort.read(options.manifest),
        recipe,
        options.out,
        weights=options.weights,
        device=options.device,
        seed=options.seed,
        progress=bar(),
    )
    return Result([{"run": str(run)}], [f"wrote {run}; measure it with `rhoa evaluate`"])


def evaluate(options: Namespace) -> Result:
    """A report, and the test figures of each model."""
    from rhoa.demo import write_study_report

    manifest = cohort.read(options.manifest)
    report = write_study_report(options.out, manifest, options.runs)
    return Result(_test_figures(options.out / "metrics.json"), [f"wrote {report}"])


def predict(options: Namespace) -> Result:
    """Probabilities of crops."""
    require_extra("torch", extra="train", purpose="rhoa predict")
    from rhoa.evaluation.figures import read_grey

    model = rhoa.load_model(options.model)
    crops = [read_grey(path, 4096) for path in options.crops]
    scores = model.predict_proba(crops)[:, 1]
    pairs = zip(options.crops, scores, strict=True)
    return Result([{"image": str(path), "rHOA": round(float(p), 6)} for path, p in pairs])


def explain(options: Namespace) -> Result:
    """An occlusion map over its crop."""
    require_extra("torch", extra="train", purpose="rhoa explain")
    from rhoa.evaluation.figures import overlay_png, read_grey

    model = rhoa.load_model(options.model)
    crop = read_grey(options.crop, 400)
    influence = rhoa.occlusion(model, crop, patch=options.patch, stride=options.stride)
    options.out.write_bytes(overlay_png(crop, influence))
    score = float(model.predict_proba([crop])[0, 1])
    return Result([{"image": str(options.crop), "rHOA": round(score, 6)}], [f"wrote {options.out}"])


def demo(options: Namespace) -> Result:
    """Everything, on phantoms."""
    from rhoa.demo import DemoSize, make_cohort, train_and_report

    if options.full:
        require_extra("torch", extra="train", purpose="rhoa demo --full")
    names = ("ct_subjects", "xray_subjects", "epochs")
    changes = {name: getattr(options, name) for name in names}
    size = DemoSize(**{name: value for name, value in changes.items() if value is not None})
    progress = bar()
    manifest = make_cohort(options.out, size, seed=options.seed, progress=progress)
    study = options.out / "study"
    lines = [f"CT-APs, crops and manifest are in {study}"]
    missing = [name for name in TRAINING_LIBRARIES if not _importable(name)]
    if missing:
        lines.append(
            "skipped: training, evaluation and report, because they need "
            f"{', '.join(missing)}: pip install 'rhoa[train]'"
        )
        return Result([], lines)
    report = train_and_report(options.out, manifest, size, seed=options.seed, progress=progress)
    return Result(_test_figures(options.out / "metrics.json"), [*lines, f"open {report}"])


def _importable(library: str) -> bool:
    try:
        importlib.import_module(library)
    except ImportError:
        return False
    return True


def bench(options: Namespace) -> Result:
    """Timings of the projections."""
    if min(options.shape) < 1:
        raise ParameterError(f"--shape must be three lengths above zero; got {options.shape}.")
    shape = (options.shape[0], options.shape[1], options.shape[2])
    rows = run_bench(shape, rounds=options.rounds, threads=options.threads, progress=bar())
    return Result(rows)


def info(_: Namespace) -> Result:
    """Versions."""
    from rhoa.versions import versions

    return Result([{"what": name, "version": value} for name, value in versions().items()])


def _project(options: Namespace, style: Mapping[str, Any] = MappingProxyType({})) -> Radiograph:
    from rhoa.reading.slices import open_scan

    scan = open_scan(options.scan, series=options.series, repair=options.repair, progress=bar())
    window = None if options.window is None else (options.window[0], options.window[1])
    if options.pose is None:
        if options.depth != ["all"] or options.pixel_mm is not None:
            raise ParameterError(
                "--depth and --pixel-mm are measured in the AP frame: pass --pose."
            )
        image: Radiograph = projection.ctap(scan, window=window, threads=options.threads, **style)
    else:
        image = projection.ctap(
            scan,
            window=window,
            pose=_pose(options.pose),
            depth=_depth(options.depth),
            pixel_mm=options.pixel_mm,
            threads=options.threads,
            **style,
        )
    return image


def _pose(text: str) -> Alignment:
    name = text.removeprefix("force:")
    alignment = rhoa.pose.from_landmarks(rhoa.Landmarks.from_json(name))
    if not alignment.ok and name == text:
        remedy = f", or use them as they are with --pose force:{name}" if alignment.upright else ""
        raise PoseError(
            f"{Path(name).name}: the landmarks are flagged {', '.join(sorted(alignment.flags))}; "
            f"correct them (patient LPS: x to the patient's left){remedy}."
        )
    return alignment


def _depth(words: list[str]) -> Any:  # noqa: ANN401  # checked by ctap
    if len(words) == 1:
        return words[0]
    try:
        return tuple(float(word) for word in words)
    except ValueError:
        return tuple(words)


def _described(image: Radiograph) -> dict[str, Any]:
    described: dict[str, Any] = {"pixels": list(image.shape), "pixel_mm": list(image.pixel_mm)}
    if image.alignment is not None:
        angles = image.alignment.angles._asdict()
        described |= {f"{name}_deg": round(value, 2) for name, value in angles.items()}
    described["black"], described["white"] = float(image.pixels.min()), float(image.pixels.max())
    return described


def _picture_of(image: Radiograph, boxes: Mapping[Any, Box]) -> bytes:
    grey = image.to_uint8()
    for box in boxes.values():
        grey = draw_box(grey, box.top, box.left, box.bottom, box.right)
    return encode_png(grey, pixel_mm=image.pixel_mm[0])


def _test_figures(metrics: Path) -> Rows:
    """One line a model: its figures on the test sets, as the report has them."""
    rows: Rows = []
    for model in json.loads(metrics.read_text(encoding="utf-8"))["models"]:
        row: dict[str, Any] = {"model": model["name"]}
        for source, name in (("xray", "X-ray"), ("ct", "CT-AP")):
            result = model["results"][source]["test"] or {}
            for figure, title in (
                ("balanced_accuracy", "balanced accuracy"),
                ("roc_auc", "ROC AUC"),
            ):
                value = (result.get(figure) or {}).get("value")
                row[f"{name} {title}"] = None if value is None else round(value, 3)
        rows.append(row)
    return rows

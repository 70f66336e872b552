"""What follows the images: partitions, models, their figures; and the demo."""

from __future__ import annotations

import importlib
import json
from typing import TYPE_CHECKING, Any, cast

import rhoa
from rhoa import cohort
from rhoa.bench import machine
from rhoa.bench import run as run_bench
from rhoa.errors import ParameterError, require_extra
from rhoa.progress import bar
from rhoa.threads import thread_count
from rhoa.verbs.output import Result
from rhoa.writing import atomic_write

if TYPE_CHECKING:
    from argparse import Namespace
    from pathlib import Path

    from rhoa.learning import Model
    from rhoa.verbs.output import Rows

EXPLAINED_PIXELS = 400
"""Of a side of an occlusion map; the score is that of the whole crop."""
TRAINING_LIBRARIES = ("torch", "torchvision", "safetensors", "matplotlib")


def split(options: Namespace) -> Result:
    """A manifest with partitions, or one a fold, or what leaks between its partitions."""
    manifest = cohort.read(options.manifest)
    out: Path = options.out or options.manifest
    if options.fold is not None:
        return _write_folds(manifest.folds(options.fold, seed=options.seed), out)
    parted = any(hip.partition is not None for hip in manifest)
    if options.audit:
        done = manifest if parted else manifest.split(seed=options.seed)
        return _audit(done, None if parted else out)
    manifest = manifest.split(seed=options.seed)
    manifest.write(out)
    rows = _counts(manifest)
    shown = [{key: value for key, value in row.items() if "wanted" not in key} for row in rows]
    for line, row in zip(shown, rows, strict=True):
        for key, reached in line.items():
            if row.get(f"{key} wanted", reached) != reached:
                line[key] = f"{reached} ({row[f'{key} wanted']} wanted)"
    difference = manifest.balance().largest_difference
    near = (
        "as many hips as wanted everywhere"
        if difference == 0
        else f"within {difference} hip{'s' if difference > 1 else ''} of what is wanted: subjects "
        "stay whole"
    )
    return Result(rows, [*str(manifest.flow()).splitlines(), near, f"wrote {out}"], shown=shown)


def _counts(manifest: cohort.Manifest) -> Rows:
    """Reached and wanted hips of each source and class, a row for each partition."""
    names = {"1": "rHOA", "0": "no rHOA"}
    shares = manifest.balance().shares
    rows: Rows = []
    for part in ("train", "val", "test"):
        row: dict[str, Any] = {"partition": part}
        for source in ("xray", "ct"):
            for label, name in names.items():
                key = (source, label, part)
                mine = [s for s in shares if (s.stratum, s.label, s.partition) == key]
                row[f"{source} {name}"] = sum(share.reached for share in mine)
                row[f"{source} {name} wanted"] = sum(share.wanted for share in mine)
        rows.append(row)
    return rows


def _write_folds(folds: tuple[cohort.Manifest, ...], out: Path) -> Result:
    rows, lines = [], []
    for number, manifest in enumerate(folds, start=1):
        path = out.with_name(f"{out.stem}-fold-{number}{out.suffix}")
        manifest.write(path)
        lines.append(f"wrote {path}")
        for part in ("train", "val", "test"):
            hips = [hip for hip in manifest.labelled if hip.partition == part]
            positive = sum(hip.label == 1 for hip in hips)
            counts = {"rHOA": positive, "no rHOA": len(hips) - positive}
            rows.append({"fold": number, "partition": part, **counts})
    return Result(rows, lines)


def _audit(manifest: cohort.Manifest, out: Path | None) -> Result:
    """What leaks; the manifest is written where nothing does and it was split just now."""
    found = cohort.leaks(manifest, progress=bar())
    rows: Rows = [leak.as_dict() for leak in found]
    if rows:
        shown = [
            {**row, "lines": " and ".join(map(str, row["lines"]))}
            | {"partitions": " and ".join(row["partitions"])}
            for row in rows
        ]
        many = len(rows) > 1
        line = f"{len(rows)} pair{'s' * many} of rows leak{'s' * (not many)} from one partition "
        line += "into another; remove copies, or give them one subject, and split again; where a "
        line += "look shows two different hips, write yes into the column distinct of both lines"
        return Result(rows, [line], failed=True, shown=shown)
    lines = [str(found)]
    if out is not None:
        manifest.write(out)
        lines.append(f"wrote {out}")
    return Result(rows, lines)


def evaluate(options: Namespace) -> Result:
    """A report, and the test figures of each model."""
    from rhoa.review.notes import agreement_notes
    from rhoa.study.pages import write_study_report

    manifest = cohort.read(options.manifest)
    notes = agreement_notes(options.manifest.parent)
    report = write_study_report(options.out, manifest, options.runs, notes=notes)
    return Result(_test_figures(options.out / "metrics.json"), [f"wrote {report}"])


def explain(options: Namespace) -> Result:
    """An occlusion map, or Grad-CAM, over its crop."""
    require_extra("torch", extra="train", purpose="rhoa explain")
    from rhoa.evaluation.attention import grad_cam
    from rhoa.evaluation.figures import overlay_png, shrunk

    model = rhoa.load_model(options.model)
    levels = rhoa.hips.read_crop(options.crop, accept=options.accept)
    crop = shrunk(levels, EXPLAINED_PIXELS)
    if options.method == "grad-cam":
        influence = grad_cam(cast("Model", model), crop)
    else:
        influence = rhoa.occlusion(
            model, crop, patch=options.patch, stride=options.stride, spread=options.method
        )
    atomic_write(options.out, overlay_png(crop, influence))
    score = float(model.predict_proba([levels])[0, 1])
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
    return Result(rows, [machine(thread_count(options.threads))])


def info(_: Namespace) -> Result:
    """Versions."""
    from rhoa.versions import versions

    return Result([{"what": name, "version": value} for name, value in versions().items()])


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

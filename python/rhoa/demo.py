"""The whole road on a phantom cohort, through the functions a user's own data would take."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from rhoa.cohort import build
from rhoa.cohort.build import CT_CROP_PIXELS, ct_ap_of
from rhoa.errors import require_count
from rhoa.radiograph import Radiograph

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from rhoa.cohort import Manifest
    from rhoa.evaluation.report import OcclusionExample
    from rhoa.learning import Recipe

    Progress = Callable[[int, int, str], None]

PHANTOM_NOTE = (
    "Every patient in this report is a digital phantom. The figures show that each stage runs and "
    "is measured honestly; they say nothing about how well rhoa grades patients."
)
OCCLUSION_EXAMPLES = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoSize:
    """How much the demo does; the defaults take about four minutes on two cores.

    The recipes are the paper's, except for what is listed here: no pretrained weights (a demo must
    run without a network), so a larger learning rate, fewer epochs and smaller inputs.
    """

    ct_subjects: int = 24
    xray_subjects: int = 36
    epochs: int = 12
    image_size: int = 64
    batch: int = 16
    learning_rate: float = 1e-3
    spacing_mm: tuple[float, float, float] = (2.0, 1.5, 1.5)

    def __post_init__(self) -> None:
        for name in ("ct_subjects", "xray_subjects", "epochs", "batch"):
            require_count(name, getattr(self, name))
        require_count("image_size", self.image_size, least=32)

    def reduced(self, recipe: Recipe) -> Recipe:
        """``recipe`` at the demo's size; the learning-rate drops keep their share of the epochs."""
        return replace(
            recipe,
            epochs=self.epochs,
            drop_period=max(1, self.epochs // 2),
            drop_factor=0.1,
            image_size=self.image_size,
            batch=self.batch,
            learning_rate=self.learning_rate,
            validation_every=2,
        )


def make_cohort(out: Path, size: DemoSize, *, seed: int, progress: Progress | None) -> Manifest:
    """A phantom cohort as DICOM files, and its CT-APs, crops and partitions.

    Writes ``out/cohort`` (what a user would bring) and ``out/study`` (what rhoa makes of it).
    """
    from rhoa import phantom

    scans = phantom.write_cohort(
        out / "cohort",
        ct_subjects=size.ct_subjects,
        xray_subjects=size.xray_subjects,
        spacing_mm=size.spacing_mm,
        seed=seed,
        progress=progress,
    )
    manifest = build(scans, out / "study", progress=progress).split(seed=seed)
    manifest.write(out / "study" / "manifest.csv")
    return manifest


def train_and_report(
    out: Path, manifest: Manifest, size: DemoSize, *, seed: int, progress: Progress | None
) -> Path:
    """The five models of the paper, trained, evaluated and reported in ``out/report.html``."""
    from rhoa.learning import recipes, train

    runs = [
        train(
            manifest,
            size.reduced(recipe),
            out / "runs" / recipe.name,
            weights="none",
            seed=seed,
            progress=progress,
        )
        for recipe in recipes.values()
    ]
    if progress is not None:
        progress(0, 1, "writing the report")
    report = write_study_report(out, manifest, runs, notes=[PHANTOM_NOTE])
    if progress is not None:
        progress(1, 1, "writing the report")
    return report


def write_study_report(
    out: Path, manifest: Manifest, runs: Sequence[Path], *, notes: Sequence[str] = ()
) -> Path:
    """The report of ``runs`` with the CT-APs beside the manifest and occlusion maps of model 3."""
    from rhoa.evaluation.report import write_report

    return write_report(
        out,
        manifest=manifest,
        runs=runs,
        gallery=_gallery(manifest),
        occlusions=_occlusions(manifest, runs),
        notes=notes,
    )


def _gallery(manifest: Manifest) -> list[tuple[str, Radiograph]]:
    """The CT-APs that `rhoa.cohort.build` wrote beside the crops, by subject."""
    files = {hip.subject: ct_ap_of(hip) for hip in manifest if hip.source == "ct"}
    return [(name, Radiograph.load(file)) for name, file in files.items() if file.is_file()]


def _occlusions(manifest: Manifest, runs: Sequence[Path]) -> list[OcclusionExample]:
    """Occlusion maps of CT-AP test hips by the model trained on both kinds of image."""
    from rhoa.evaluation.figures import read_grey
    from rhoa.evaluation.report import OcclusionExample
    from rhoa.evaluation.sensitivity import occlusion
    from rhoa.learning import load_model

    run = next((run for run in runs if run.name == "model-3"), runs[-1])
    model = load_model(run)
    hips = [hip for hip in manifest.labelled if (hip.source, hip.partition) == ("ct", "test")]
    examples = []
    for hip in hips[:OCCLUSION_EXAMPLES]:
        image = read_grey(hip.image, CT_CROP_PIXELS)
        influence = occlusion(model, image, patch=20, stride=8)
        probability = float(model.predict_proba([image])[0, 1])
        caption = f"{hip.subject} {hip.side}, KL {hip.kl}"
        examples.append(
            OcclusionExample(caption, image, influence, int(hip.label or 0), probability)
        )
    return examples

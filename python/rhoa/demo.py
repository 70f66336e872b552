"""The whole road on a phantom cohort, through the functions a user's own data would take."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from rhoa.cohort import build
from rhoa.cohort.build import ct_ap_of
from rhoa.errors import require_count
from rhoa.hips import boxes
from rhoa.picture import draw_box, encode_png, picture_label, resize
from rhoa.radiograph import Radiograph
from rhoa.reading import read_ct
from rhoa.study import Plan, conduct
from rhoa.study.pages import write_windows
from rhoa.writing import atomic_write

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from rhoa.cohort import Manifest
    from rhoa.learning import Recipe

    Progress = Callable[[int, int, str], None]

PHANTOM_NOTE = (
    "Every patient in this report is a digital phantom. The figures show that each stage runs and "
    "is measured honestly; they say nothing about how well rhoa grades patients."
)
OVERVIEW_ROWS = 320


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoSize:
    """How much the demo does; the defaults take seven minutes on two slow cores.

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
    pixel_mm: float = 0.2

    def __post_init__(self) -> None:
        for name in ("ct_subjects", "xray_subjects", "epochs", "batch"):
            require_count(name, getattr(self, name))
        require_count("image_size", self.image_size, least=32)

    def reduced(self, recipe: Recipe) -> Recipe:
        """``recipe`` at the demo's size; the learning-rate drops keep their share of the epochs."""
        return recipe.varied(
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
        pixel_mm=size.pixel_mm,
        seed=seed,
        progress=progress,
    )
    manifest = build(scans, out / "study", progress=progress).split(seed=seed)
    manifest.write(out / "study" / "manifest.csv")
    first = min((out / "cohort" / "ct").glob("*/"))
    write_windows(out / "study" / "ct-ap", read_ct(first))
    return manifest


def train_and_report(
    out: Path, manifest: Manifest, size: DemoSize, *, seed: int, progress: Progress | None
) -> Path:
    """The models of the paper, trained, evaluated and reported in ``out/report.html``.

    Beside it, ``overview.png`` shows a CT-AP and hips by grade.
    """
    from rhoa.learning import recipes

    plan = Plan(
        out=out,
        manifest=out / "study" / "manifest.csv",
        recipes=tuple(
            size.reduced(recipe) for name, recipe in recipes.items() if name.startswith("model-")
        ),
        weights="none",
        seeds=(seed,),
        notes=(PHANTOM_NOTE,),
    )
    report = conduct(plan, redo=True, progress=progress).report
    atomic_write(
        out / "overview.png", encode_png(_overview(manifest), text=picture_label("picture"))
    )
    return report


def _overview(manifest: Manifest) -> NDArray[np.uint8]:
    """A CT-AP with its hips, and beside it hips by KL grade: as CT-AP above, as X-ray below."""
    from rhoa.evaluation.figures import read_grey

    image = Radiograph.load(next(ct_ap_of(hip) for hip in manifest if hip.source == "ct")).square()
    grey = image.to_uint8()
    for box in boxes(image).values():
        grey = draw_box(grey, box.top, box.left, box.bottom, box.right)
    columns = round(grey.shape[1] * OVERVIEW_ROWS / grey.shape[0])
    parts = [resize(grey.astype(np.float32), OVERVIEW_ROWS, columns)]
    half = OVERVIEW_ROWS // 2
    first = {(hip.source, hip.kl): hip.image for hip in reversed(manifest.hips)}
    for kl in range(5):
        files = [first.get((source, kl)) for source in ("ct", "xray")]
        crops = [read_grey(file, half) for file in files if file is not None]
        if len(crops) == len(files):
            parts.append(np.vstack([resize(crop, half, half) for crop in crops]))
    return np.rint(np.hstack(parts)).clip(0, 255).astype(np.uint8)

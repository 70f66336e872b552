"""The paper's comparison on digital pelves: which models read CT-APs, by what they were trained on.

    python benches/phantom_study.py OUT                               # everything; hours on 2 cores
    python benches/phantom_study.py OUT --seeds 3                     # of a study that still runs
    python benches/phantom_study.py OUT --write docs/phantom-study.md # and its tables into the docs
    python benches/phantom_study.py OUT --hard                        # a harder, smaller cohort
    python benches/phantom_study.py OUT --reduced                     # in a minute, to see it work

Makes a cohort of phantoms (OUT/cohort), its crops (OUT/images), its partitions (OUT/manifest.csv)
and a plan (OUT/study.toml), each unless it is there, and does what `rhoa study OUT/study.toml`
does; started again, it goes on. CT-APs are split 25 / 25 / 50, for a test set of many subjects;
X-rays as in the paper. The plan was written before anything was trained.
"""

from __future__ import annotations

import argparse
import csv
import math
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from rhoa import cohort, phantom
from rhoa.cli.common import bar
from rhoa.cohort import Manifest
from rhoa.evaluation import compare
from rhoa.study import conduct, read_plan

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from rhoa.study.runner import Result

SEED = 2020
FRACTIONS = {"xray": (0.55, 0.30, 0.15), "ct": (0.25, 0.25, 0.50)}
WITH_CT, WITHOUT_CT = ("model-3", "model-4", "model-5"), ("model-1", "model-2")
SETS = (("xray", "val"), ("xray", "test"), ("ct", "val"), ("ct", "test"))
NAMES = {"xray": "X-ray", "ct": "CT-AP"}
MOST_BEHIND = 0.02
"""How much less than model 5 model 3 may reach."""
MARKS = {
    "plain": ("<!-- study -->", "<!-- end of study -->"),
    "hard": ("<!-- harder -->", "<!-- end of harder -->"),
}

PLAN = """\
# The phantom study: benches/phantom_study.py
manifest = "manifest.csv"
out = "results"
recipes = [{recipes}]
seeds = [{seeds}]
weights = "none"
device = "cpu"
notes = ["Every patient in this report is a digital phantom. Phantoms are not patients."]

# From random weights, on small crops: a larger learning rate and fewer epochs than the paper's.
# Shifts are the paper's 5 of 224 pixels.
[every-recipe]
image_size = {image_size}
batch = 16
learning_rate = 1e-3
epochs = {epochs}
drop_factor = 0.1
drop_period = {drop_period}
validation_every = 12
augmentation = {{ translation_px = 1 }}

# A few CT-APs make short epochs.
[recipe.model-5]
epochs = {ct_epochs}
drop_period = {ct_drop_period}

[recipe.model-6]
epochs = {ct_epochs}
drop_period = {ct_drop_period}
learning_rate = 3e-4
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How much is done."""

    ct_subjects: int = 120
    xray_subjects: int = 200
    spacing_mm: tuple[float, float, float] = (3.0, 2.0, 2.0)
    pixel_mm: float = 0.8
    seeds: int = 5
    image_size: int = 48
    epochs: int = 20
    ct_epochs: int = 45
    difficulty: Literal["plain", "hard"] = "plain"

    def plan(self, recipes: Sequence[str] = ()) -> str:
        """The plan's file: of these recipes, or of models 1 to 6 and, for the harder, `domain`."""
        more = ("domain",) if self.difficulty == "hard" else ()
        names = recipes or (*(f"model-{number}" for number in range(1, 7)), *more)
        return PLAN.format(
            recipes=", ".join(f'"{name}"' for name in names),
            seeds=", ".join(str(SEED + number) for number in range(self.seeds)),
            image_size=self.image_size,
            epochs=self.epochs,
            drop_period=max(1, 2 * self.epochs // 3),
            ct_epochs=self.ct_epochs,
            ct_drop_period=max(1, 2 * self.ct_epochs // 3),
        )


HARD = Size(ct_subjects=60, xray_subjects=100, difficulty="hard")
REDUCED = Size(
    ct_subjects=8,
    xray_subjects=8,
    spacing_mm=(5.0, 4.0, 4.0),
    pixel_mm=1.0,
    seeds=2,
    image_size=32,
    epochs=1,
    ct_epochs=1,
)


def prepare(out: Path, size: Size) -> Path:
    """The plan of the study, with everything that it names."""
    images = crops(out, size)
    manifest, plan = out / "manifest.csv", out / "study.toml"
    if not manifest.is_file():
        parted(cohort.read(images)).write(manifest)
    if not plan.is_file():
        plan.write_text(size.plan(), encoding="utf-8")
    return plan


def crops(out: Path, size: Size) -> Path:
    """The manifest of all crops of the cohort, which are made unless they are there."""
    progress = bar()
    scans = out / "cohort" / "scans.csv"
    if not scans.is_file():
        phantom.write_cohort(
            scans.parent,
            ct_subjects=size.ct_subjects,
            xray_subjects=size.xray_subjects,
            spacing_mm=size.spacing_mm,
            pixel_mm=size.pixel_mm,
            seed=SEED,
            difficulty=size.difficulty,
            progress=progress,
        )
    images = out / "images" / "manifest.csv"
    if not images.is_file():
        cohort.build(scans, images.parent, progress=progress)
    return images


def parted(
    manifest: Manifest, fractions: Mapping[str, tuple[float, float, float]] = FRACTIONS
) -> Manifest:
    """The manifest in partitions of subjects."""
    hips = manifest.labelled.hips
    parts = cohort.split(
        [str(hip.label) for hip in hips],
        groups=[hip.subject for hip in hips],
        strata=[hip.source for hip in hips],
        fractions=fractions,
        seed=SEED,
    )
    of_subject = dict(zip((hip.subject for hip in hips), parts.tolist(), strict=True))
    return Manifest(
        tuple(replace(hip, partition=of_subject.get(hip.subject, "train")) for hip in manifest)
    )


def tables(results: Sequence[Result], out: Path) -> str:
    """What was found, as Markdown."""
    areas = {
        (one.recipe, one.source, one.partition): one for one in results if one.figure == "roc_auc"
    }
    models = list(dict.fromkeys(one.recipe for one in results))
    runs = len(next(iter(areas.values())).values)
    sizes = [next(a for key, a in areas.items() if key[1:] == where) for where in SETS]
    head = [
        f"{NAMES[one.source]} {one.partition}: {one.hips} hips of {one.subjects}" for one in sizes
    ]
    caption = (
        f"ROC AUC over {runs} seeds, mean +- standard deviation; in brackets the 95 % interval of "
        "the seeds' mean scores, over subjects."
    )
    pairs = (
        "Differences of ROC AUC on the CT-AP test set between the seeds' mean scores, with paired "
        "95 % intervals over subjects:"
    )
    parts = [
        caption,
        table(
            ["model", *head],
            ([name, *(told(areas[name, *where]) for where in SETS)] for name in models),
        ),
        pairs,
        table(["difference", "ROC AUC", "95 % interval"], differences(out)),
        verdict({name: areas[name, "ct", "test"].mean for name in models}),
    ]
    return "\n\n".join(parts)


def told(area: Result) -> str:
    """``0.912 +- 0.013 [0.85, 0.96]``."""
    whole = area.together
    spread = f" +- {area.spread:.3f}" if area.spread is not None else ""
    interval = f" [{whole.low:.2f}, {whole.high:.2f}]" if math.isfinite(whole.low) else ""
    return f"{area.mean:.3f}{spread}{interval}"


def differences(out: Path) -> Iterable[list[str]]:
    """Rows: models that saw CT-APs less those that did not, and models 3 and 6 less model 5."""
    pairs = [(other, name) for name in WITH_CT for other in WITHOUT_CT]
    pairs += [("model-5", "model-3"), ("model-5", "model-6")]
    if (out / "together" / "domain").is_dir():
        pairs += [("model-3", "domain"), ("model-5", "domain")]
    scores = {name: test_scores(out, name) for pair in pairs for name in pair}
    for first, second in pairs:
        hips = sorted(scores[first])
        both = compare(
            [hip.label for hip in hips],
            [scores[first][hip] for hip in hips],
            [scores[second][hip] for hip in hips],
            groups=[hip.subject for hip in hips],
        )
        value, low, high = both.differences["roc_auc"][:3]
        yield [f"{second} - {first}", f"{value:+.3f}", f"{low:+.3f} to {high:+.3f}"]


@dataclass(frozen=True, slots=True, order=True)
class TestHip:
    """A hip of the CT-AP test set."""

    subject: str
    side: str
    label: int


def test_scores(out: Path, name: str) -> Mapping[TestHip, float]:
    """The mean score of each hip of the CT-AP test set."""
    with (out / "together" / name / "predictions.csv").open(encoding="utf-8", newline="") as file:
        return {
            TestHip(row["subject"], row["side"], int(row["label"])): float(row["score"])
            for row in csv.DictReader(file)
            if (row["source"], row["partition"]) == ("ct", "test")
        }


def verdict(means: Mapping[str, float]) -> str:
    """Whether the paper's pattern is there."""
    worst, best = min(means[name] for name in WITH_CT), max(means[name] for name in WITHOUT_CT)
    apart, behind = worst > best, means["model-5"] - means["model-3"]
    return (
        f"Models trained with CT-APs (3, 4, 5) {'all beat' if apart else 'do not all beat'} those "
        f"trained on X-rays alone (1, 2) in mean ROC AUC: the worst of the first reaches "
        f"{worst:.3f}, the best of the second {best:.3f}. Model 3 less model 5: {-behind:+.3f} "
        f"({'not' if behind <= MOST_BEHIND else 'but'} more than {MOST_BEHIND} behind)."
    )


def table(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Markdown."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def write_between(file: Path, marks: tuple[str, str], text: str) -> None:
    """Put ``text`` between two marks of a file."""
    begin, end = map(re.escape, marks)
    before = file.read_text(encoding="utf-8")
    after, found = re.subn(
        f"({begin}).*?({end})",
        lambda match: f"{match[1]}\n\n{text}\n\n{match[2]}",
        before,
        flags=re.DOTALL,
    )
    if found != 1:
        raise SystemExit(f"{file}: holds {found} places between {marks[0]} and {marks[1]}.")
    file.write_text(after, encoding="utf-8")


def main() -> None:
    """Do the study and print what was found."""
    lines = str(__doc__).splitlines()
    options = argparse.ArgumentParser(description=lines[0])
    options.add_argument("out", type=Path)
    options.add_argument("--hard", action="store_true", help="the harder cohort, of 160 subjects")
    options.add_argument("--reduced", action="store_true", help="small, to see it work")
    options.add_argument("--seeds", type=int, help="report the first seeds only")
    options.add_argument("--write", type=Path, metavar="FILE", help="put the tables into it, too")
    chosen = options.parse_args()
    size = REDUCED if chosen.reduced else HARD if chosen.hard else Size()
    plan = read_plan(prepare(chosen.out, size))
    if chosen.seeds is not None:
        plan = replace(plan, seeds=plan.seeds[: chosen.seeds])
    found = tables(conduct(plan, progress=bar()).results, plan.out)
    print(found)
    if chosen.write is not None:
        write_between(chosen.write, MARKS[size.difficulty], found)


if __name__ == "__main__":
    main()

"""The sections of the report, each an HTML fragment; empty where there is nothing to show."""

from __future__ import annotations

import html
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from rhoa.evaluation import charts, figures, finding_tables, statements, tables
from rhoa.evaluation.bands import benefit_band
from rhoa.evaluation.calibration import reliability
from rhoa.evaluation.decisions import decision_curve
from rhoa.evaluation.findings import failures as confident_failures
from rhoa.evaluation.findings import reference
from rhoa.evaluation.page import numbered
from rhoa.evaluation.study import CLASSES, SOURCES
from rhoa.evaluation.tables import SOURCE_NAMES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from rhoa.cohort import Hip
    from rhoa.evaluation.figures import GalleryItem
    from rhoa.evaluation.occlusions import OcclusionExample
    from rhoa.evaluation.study import Run, Scores

    Numbers = Mapping[str, Any]

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
        "<p>Models that tell hips with radiographic osteoarthritis (rHOA, Kellgren-Lawrence grade "
        "2 or more) from hips without (no-rHOA), after Gebre et al. 2022 "
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
    parts = "".join(
        f"<li><b>{tables.PART_NAMES[part]}</b> {hips} hips of {count} subjects</li>"
        for part, count in metrics["cohort"]["subjects"].items()
        if part != "all"
        for hips in [
            sum(sum(counts[part].values()) for counts in metrics["cohort"]["hips"].values())
        ]
    )
    steps = (
        f"<div><b>{flow['start']}</b> hips in images</div>"
        f'<div class="out"><b>{flow["start"] - flow["left"]}</b> left out'
        f"{f'<ul>{left_out}</ul>' if left_out else ''}</div>"
        f"<div><b>{flow['left']}</b> hips with a label<ul>{parts}</ul></div>"
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
) -> str:
    """CT-APs with boxes and pose, histograms of HU windows, crops by class."""
    parts = ["<h2>Images</h2>"]
    if gallery:
        caption = (
            "CT-APs: the sum of each CT&rsquo;s coronal slices. R and L are the patient&rsquo;s "
            "sides; squares are cropped as hips. Below each image, the angles through which the "
            "pelvis was turned to its anterior pelvic plane, and flags of the pose."
        )
        parts.append(numbered(caption, figures.gallery(gallery)))
    if windows:
        names = html.escape(" and ".join(windows))
        chart = figures.chart(
            partial(charts.window_histograms, windows), f"Histograms of a CT-AP: {names}"
        )
        caption = (
            f"Histogram of the grey levels of one CT-AP, HU clipped to {names} before the sum. "
            "Each image is stretched from its darkest to its brightest pixel."
        )
        parts.append(numbered(caption, f'<div class="single">{chart}</div>'))
    rows = []
    for source in reversed(SOURCES):
        for label, name in enumerate(reversed(CLASSES)):
            shown = _examples([hip for hip in hips if (hip.source, hip.label) == (source, label)])
            if shown:
                rows.append(f"<h3>{SOURCE_NAMES[source]}, {name}</h3>{figures.crops(shown)}")
    if rows:
        caption = "Crops of each class, right hips mirrored to look like left ones."
        parts.append(numbered(caption, "".join(rows)))
    return "".join(parts) if len(parts) > 1 else ""


def _examples(hips: Sequence[Hip]) -> list[Hip]:
    """A few hips, from the lowest grade to the highest."""
    ordered = sorted(hips, key=lambda hip: (hip.kl or 0, hip.subject, hip.side, hip.visit))
    places = np.linspace(0, len(ordered) - 1, min(CROPS_SHOWN, len(ordered)))
    return [ordered[round(place)] for place in places]


def training(models: Sequence[Run]) -> str:
    """Learning curves of all models: the paper's supplementary Figures 2 to 6."""
    drawn = [
        f"<figure>{_learning(run)}"
        f"<figcaption><b>{html.escape(run.name)}.</b> "
        f"{html.escape(str(run.recipe.get('description', '')))}</figcaption></figure>"
        for run in models
    ]
    caption = (
        "Training. Blue: training batches; orange: validation dataset; dotted: the loss of "
        f"answering 0.5 always. Losses above {charts.LOSS_TOP:g} leave the frame. Results below "
        "are of the weights that each model kept."
    )
    body = f'<div class="grid training">{"".join(drawn)}</div>'
    return f"<h2>Training</h2>{numbered(caption, body)}" if models else ""


def _learning(run: Run) -> str:
    return figures.chart(
        partial(charts.learning_curves, run.history), f"{run.name}: loss and accuracy"
    )


def results(models: Sequence[Run], metrics: Mapping[str, Any]) -> str:
    """Tables 2 to 4, ROC and PR curves."""
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
            drawn.append(figures.chart(partial(draw, curves), alt))
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
    parts = [
        finding_tables.comparison_table(str(number), source, found[source])
        for number, source in enumerate(compared, start=5)
    ]
    return f"<h2>Models compared</h2>{''.join(parts)}" if parts else ""


def calibration(models: Sequence[Run], metrics: Numbers) -> str:
    """Reliability and decision curves, and what validation hips chose, source by source."""
    found = metrics["findings"]
    number = 5 + sum(bool(found[source]["comparisons"]) for source in SOURCES)
    parts = []
    for source in reversed(SOURCES):
        tested = [(run, run.sets[source, "test"]) for run in models if (source, "test") in run.sets]
        if not tested or not tested[0][1].has_both_classes:
            continue
        if found[source]["calibration"]:
            parts.append(finding_tables.calibration_table(str(number), source, found[source]))
            number += 1
        parts += [_reliability(source, tested), _decisions(source, tested)]
    return f"<h2>Calibration and decisions</h2>{''.join(parts)}" if parts else ""


def _reliability(source: str, tested: Sequence[tuple[Run, Scores]]) -> str:
    drawn = []
    for run, scores in tested:
        bins = reliability(scores.truth, scores.score, groups=scores.groups)
        alt = f"{run.name}: reliability on the {SOURCE_NAMES[source]} test dataset"
        picture = figures.chart(partial(charts.reliability_diagram, bins), alt)
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
    picture = figures.chart(partial(charts.decision_curves, curves, bands), alt)
    caption = (
        f"Decision curves on the {SOURCE_NAMES[source]} test dataset: hips rightly called rHOA, "
        "less those wrongly called so, weighed by the odds of the threshold, per hip; bands hold "
        "95 % of resampled patients' curves. A model is worth using where it lies above both grey "
        "lines."
    )
    return numbered(caption, f'<div class="single">{picture}</div>')


def failures(models: Sequence[Run], metrics: Numbers) -> str:
    """Test hips that the reference model calls wrong, the most confident first."""
    parts = []
    for source in reversed(SOURCES):
        chosen = reference(models, source)
        if chosen is None:
            continue
        wrong = confident_failures(chosen, source)
        hips = len(chosen.sets[source, "test"].hips)
        name = f"{html.escape(chosen.name)}, {SOURCE_NAMES[source]}"
        if not wrong:
            parts.append(f"<p>{name}: none of {hips} test hips is called wrong.</p>")
            continue
        shown = wrong[:FAILURES_SHOWN]
        first = f", the first {len(shown)}" if len(shown) < len(wrong) else ""
        caption = (
            f"{name}: {len(wrong)} of {hips} test hips are called wrong{first}; the most confident "
            "errors come first. GT: ground truth, top left; probability of rHOA, top right."
        )
        parts.append(numbered(caption, figures.scored_crops(shown)))
    return f"<h2>Failures</h2>{''.join(parts)}" if parts and metrics["models"] else ""


def cards(metrics: Numbers) -> str:
    """The model card."""
    if not metrics["models"]:
        return ""
    return f"<h2>Model card</h2>{statements.model_cards(metrics)}"


def reporting(metrics: Numbers) -> str:
    """What TRIPOD+AI and CLAIM ask for."""
    items = statements.checklist(metrics)
    open_items = sum(not item.answer for item in items)
    return (
        "<h2>Reporting checklist</h2><p>What TRIPOD+AI (2024) and CLAIM (2024) ask for, filled in "
        f"where this run knows it; {open_items} items are for the authors to write.</p>"
        f"{statements.checklist_table(items)}"
    )


def provenance(metrics: Numbers) -> str:
    """Versions and hashes, as the run folders tell them."""
    rows = []
    for model in metrics["models"]:
        made = model["provenance"]
        versions = ", ".join(f"{name} {told}" for name, told in (made["versions"] or {}).items())
        for name, told in (
            ("Versions", versions),
            ("Device", " ".join(filter(None, (made["device"], made["precision"])))),
            ("Weights, sha256", made["weights_sha256"]),
            ("Hips, sha256", made["manifest_sha256"]),
            ("Partitions, sha256", made["split_sha256"]),
        ):
            if told:
                rows.append((name, html.escape(told), html.escape(model["name"])))
    if not rows:
        return ""
    same: dict[tuple[str, str], list[str]] = {}
    for name, told, model in rows:
        same.setdefault((name, told), []).append(model)
    lines = "".join(
        f'<tr><th scope="row">{name}</th><td><code>{told}</code></td><td>'
        f"{'all' if len(names) == len(metrics['models']) else tables.joined(names)}</td></tr>"
        for (name, told), names in same.items()
    )
    return (
        '<h2>Versions and hashes</h2><div class="words"><table><thead><tr><th>What</th>'
        f"<th>Value</th><th>Models</th></tr></thead><tbody>{lines}</tbody></table></div>"
    )


def explanations(examples: Sequence[OcclusionExample]) -> str:
    """Occlusion maps over crops."""
    if not examples:
        return ""
    caption = (
        "Occlusion sensitivity. Red: hiding this part lowers the probability of the predicted "
        "class; blue: hiding it raises it. Each map has its own scale. GT: ground truth."
    )
    return f"<h2>What the model looks at</h2>{numbered(caption, figures.occlusions(examples))}"

"""What reporting guidelines ask for: filled where the run knows it, and open where it does not.

Items are named by their subject. Numbers are those of TRIPOD+AI (Collins et al. 2024); sections
those of CLAIM (Tejani et al. 2024).
"""

from __future__ import annotations

import html
from typing import TYPE_CHECKING, Any, NamedTuple

from rhoa.evaluation.tables import SOURCE_NAMES, joined

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    Numbers = Mapping[str, Any]

OPEN = ""
_BY_HAND = (
    ("4", "Introduction", "Objectives and clinical role"),
    ("5", "Methods: data", "Where and when the images were taken; scanners and protocols"),
    ("6", "Methods: data", "Eligibility, and treatments that matter"),
    ("8", "Methods: reference", "Who graded, how often, blinded to what; agreement of readers"),
    ("14", "Methods: evaluation", "Fairness: results by sex, age, site"),
    ("17", "Other", "Ethical approval and consent"),
    ("18", "Other", "Funding, conflicts, protocol, registration"),
    ("19", "Other", "Involvement of patients and public"),
    ("25", "Discussion", "Interpretation, and the study among others"),
    ("27", "Discussion", "Use in practice: input checks, who acts on it"),
)


_CARD = (
    *("What it is", "Trained on", "Hips", "Start", "Epochs", "Iterations", "Input, pixels"),
    *("Seed", "Weights, sha256"),
)
_OUTCOME = "rHOA: Kellgren-Lawrence grade 2 or more; no rHOA: grade 0"
_UNPLANNED = "not planned beforehand as far as the run knows"
_IMBALANCE = "classes as they are; results beside those of always answering the larger class"
_THRESHOLD = "probability of rHOA, called at 0.5; beside it a threshold chosen on validation hips"


class Item(NamedTuple):
    """One thing that a guideline asks for; ``answer`` is empty where the run does not know it."""

    tripod: str
    claim: str
    subject: str
    answer: str


def checklist(metrics: Numbers) -> list[Item]:
    """The items in the order of TRIPOD+AI, answers as plain text."""
    cohort, flow, leaks = metrics["cohort"], metrics["flow"], metrics["leaks"]
    known = [
        Item("7", "Methods: data", "Preparation of images", _preparation(metrics)),
        Item("8", "Methods: reference", "Outcome", _OUTCOME),
        Item("10", "Methods: data", "Sample size", f"{_sizes(cohort)}; {_UNPLANNED}"),
        Item("11", "Methods: data", "Missing data", _missing(flow)),
        Item("12", "Methods: training", "Model, training, tuning", _training(metrics)),
        Item("13", "Methods: training", "Class imbalance", _IMBALANCE),
        Item("15", "Methods: evaluation", "Output and threshold", _THRESHOLD),
        Item("16", "Methods: partitions", "No person in two", _separation(cohort, leaks)),
        Item("20", "Results: data", "Participants, by partition", f"{_sizes(cohort)}: Table 1"),
        Item("22", "Other", "Model as used", _weights(metrics)),
        Item("23", "Results: performance", "Performance with intervals", "Tables 2 to 4"),
        Item("23", "Results: performance", "Failure analysis", _failures(metrics)),
        Item("26", "Discussion", "Limitations that numbers show", _limits(metrics)),
    ]
    items = [*known, *(Item(*row, OPEN) for row in _BY_HAND)]
    return sorted(items, key=lambda item: int(item.tripod))


def _preparation(metrics: Numbers) -> str:
    sizes = {model["provenance"]["image_size"] for model in metrics["models"]} - {None}
    size = f", resized to {joined(str(n) for n in sorted(sizes))} pixels" if sizes else ""
    return f"crops of hips, right ones mirrored, grey levels 0 to 255{size}"


def _sizes(cohort: Numbers) -> str:
    parts = []
    for source, partitions in cohort["hips"].items():
        total = sum(sum(counts.values()) for counts in partitions.values())
        positive = sum(counts["rHOA"] for counts in partitions.values())
        if total:
            parts.append(f"{total} {SOURCE_NAMES[source]} hips ({positive} rHOA)")
    return f"{joined(parts)} of {cohort['subjects']['all']} subjects"


def _missing(flow: Numbers) -> str:
    excluded = joined(f"{count} {reason}" for reason, count in flow["excluded"].items())
    return f"of {flow['start']} hips left out: {excluded or 'none'}; nothing imputed"


def _training(metrics: Numbers) -> str:
    told = []
    for model in metrics["models"]:
        made = model["provenance"]
        start = f", from {made['pretrained']} weights" if made["pretrained"] else ""
        told.append(f"{model['name']}: {model['description']}, {model['epochs']} epochs{start}")
    return "; ".join(told)


def _separation(cohort: Numbers, leaks: Numbers) -> str:
    shared = cohort["subjects_in_several_partitions"]
    pairs = len(leaks["leaks"])
    if not shared and not pairs:
        return f"confirmed by subject, and by comparing all {leaks['images']} images for copies"
    return f"NOT met: {shared} subjects and {pairs} pairs of images cross partitions"


def _weights(metrics: Numbers) -> str:
    hashes = [
        f"{model['name']} {made['weights_sha256'][:12]}"
        for model in metrics["models"]
        for made in [model["provenance"]]
        if made["weights_sha256"]
    ]
    return f"sha256 of the weights: {joined(hashes)}" if hashes else OPEN


def _failures(metrics: Numbers) -> str:
    counts = [
        f"{len(found['failures'])} on {SOURCE_NAMES[source]} ({found['reference']})"
        for source, found in metrics["findings"].items()
        if found["reference"]
    ]
    return f"test hips called wrong: {joined(counts)}" if counts else OPEN


def _limits(metrics: Numbers) -> str:
    small = [
        SOURCE_NAMES[source]
        for source, partitions in metrics["cohort"]["hips"].items()
        if sum(partitions["test"].values()) and min(partitions["test"].values()) < 30
    ]
    limits = ["no external test set as far as the run knows"]
    if small:
        limits.insert(0, f"fewer than 30 test hips of a class: {joined(small)}")
    return "; ".join(limits)


def checklist_table(items: Sequence[Item]) -> str:
    """The items as HTML; open ones are marked for the author."""
    rows = "".join(
        f'<tr><td data-label="TRIPOD+AI">{item.tripod}</td><td data-label="CLAIM">{item.claim}</td>'
        f'<th scope="row">{item.subject}</th><td>'
        + (html.escape(item.answer) or '<i class="open">to be written by the authors</i>')
        + "</td></tr>"
        for item in items
    )
    return (
        '<div class="words"><table><thead><tr><th>TRIPOD+AI</th><th>CLAIM section</th><th>Item</th>'
        f"<th>What this run says</th></tr></thead><tbody>{rows}</tbody></table></div>"
    )


def model_cards(metrics: Numbers) -> str:
    """What each model is, in a table; what all share, in a list."""
    rows = []
    for model in metrics["models"]:
        made = model["provenance"]
        seen = joined(SOURCE_NAMES[source] for source in model["sources"])
        cells = (
            *(model["description"], seen, made["trained_hips"], made["pretrained"]),
            *(model["epochs"], made["iterations"], made["image_size"], made["seed"]),
            (made["weights_sha256"] or "")[:12],
        )
        told = "".join(
            f'<td data-label="{name}">{html.escape(_shown(cell))}</td>'
            for name, cell in zip(_CARD, cells, strict=True)
        )
        rows.append(f'<tr><th scope="row">{html.escape(model["name"])}</th>{told}</tr>')
    head = "".join(f"<th>{name}</th>" for name in ("Model", *_CARD))
    return (
        f'<div class="words"><table><thead><tr>{head}</tr></thead><tbody>{"".join(rows)}</tbody>'
        "</table></div><ul><li><b>Input:</b> one crop of one hip, as X-ray or CT-AP, that "
        "<code>rhoa</code> made. <b>Output:</b> the probability of radiographic hip osteoarthritis "
        "(KL 2 or more).</li><li><b>Use:</b> research on images like those of Table 1. Not for "
        "diagnosis, not for other joints, implants, children or other projections.</li><li><b>"
        "Known limits:</b> KL 1 was left out, so a doubtful hip has no right answer; a score is a "
        "probability only where Figure and table of calibration say so.</li></ul>"
    )


def _shown(value: object) -> str:
    return "\N{EM DASH}" if value in {None, ""} else str(value)

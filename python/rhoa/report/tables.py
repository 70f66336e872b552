"""Tables of the report as HTML, and what reporting guidelines ask for.

Each takes the numbers that ``metrics.json`` holds and prints them; an undefined one is a dash.
"""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, Any, NamedTuple

from rhoa.cohort.partition import PARTITIONS
from rhoa.evaluation.metrics import SMALL_CLASS
from rhoa.report.collect import CLASSES, MULTIPLICITY, SOURCES

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    Numbers = Mapping[str, Any]


# Tables of the report, laid out as the paper's Tables 1 to 3, as HTML.

PART_NAMES = {"train": "Training", "val": "Validation", "test": "Test"}
SOURCE_NAMES = {"xray": "X-ray", "ct": "CT-AP"}

# Columns of Tables 2 and 3: heading, figure, whether in percent.
COLUMNS = (
    ("Accuracy", "accuracy", True),
    ("Balanced accuracy", "balanced_accuracy", True),
    ("Precision", "precision", False),
    ("Recall", "recall", False),
    ("F1-score", "f1", False),
    ("PR AUC", "pr_auc", False),
    ("ROC AUC", "roc_auc", False),
)
CALIBRATION = (
    ("Recall", "recall", False),
    ("Specificity", "specificity", False),
    ("Brier score", "brier", False),
    ("ECE", "ece", False),
)
COUNTS = (
    ("True positive", "tp"),
    ("False negative", "fn"),
    ("False positive", "fp"),
    ("True negative", "tn"),
)
DASH = "\N{EM DASH}"


def hips_in(
    metrics: Numbers,
    sources: Iterable[str] = SOURCES,
    partitions: Iterable[str] = PARTITIONS,
    labels: Iterable[str] = CLASSES,
) -> int:
    """How many labelled hips are of these sources, partitions and classes."""
    hips = metrics["cohort"]["hips"]
    return sum(hips[s][p][label] for s, p, label in product(sources, partitions, labels))


def estimate_text(estimate: Numbers, *, percent: bool = False) -> tuple[str, str]:
    """A value and its interval as printed: ``0.93`` and ``0.72-0.99``; a dash, nothing."""
    value, low, high = (estimate[key] for key in ("value", "low", "high"))
    if value is None:
        return DASH, ""
    scale, digits = (100, 1) if percent else (1, 2)

    def printed(number: float) -> str:
        return f"{scale * number:.{digits}f}".replace("-", "\N{MINUS SIGN}")

    if low is None:
        return printed(value), ""
    between = "\N{EN DASH}" if low >= 0 else " to "
    return printed(value), f"{printed(low)}{between}{printed(high)}"


def legend(model: Numbers, result: Numbers, name: str) -> str:
    """What a chart's legend says of a model: its name and an AUC with interval."""
    value, interval = estimate_text(result[name])
    return f"{model['name']}  {value} [{interval}]" if interval else f"{model['name']}  {value}"


def small_sets(metrics: Numbers, source: str) -> list[str]:
    """The partitions in which a class has so few hips that models cannot be ranked."""
    hips = metrics["cohort"]["hips"][source]
    return [
        PART_NAMES[partition].lower()
        for partition in ("val", "test")
        if sum(hips[partition].values()) and min(hips[partition].values()) < SMALL_CLASS
    ]


def joined(names: Iterable[str]) -> str:
    """``a, b and c``."""
    *others, last = [*names] or [""]
    return f"{', '.join(others)} and {last}" if others else last


# What reporting guidelines ask for: filled where the run knows it, and open where it does not.
#
# Items are named by their subject. Numbers are those of TRIPOD+AI (Collins et al. 2024); sections
# those of CLAIM (Tejani et al. 2024).

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
    excluded = joined(f"{count} {reason}" for reason, count in flow["excluded"].items())
    missing = f"of {flow['start']} hips left out: {excluded or 'none'}; nothing imputed"
    sizes = {model["provenance"]["image_size"] for model in metrics["models"]} - {None}
    size = f", resized to {joined(str(n) for n in sorted(sizes))} pixels" if sizes else ""
    claims, numbers = metrics["claims"], metrics["tables"]
    preparation = f"{claims['crops']}; grey levels 0 to 255{size}"
    outcome = f"{claims['outcome']}; {claims['kl1']}"
    results = f"Tables 2 to {numbers['answers']}" if metrics["models"] else OPEN
    known = [
        Item("7", "Methods: data", "Preparation of images", preparation),
        Item("8", "Methods: reference", "Outcome", outcome),
        Item("10", "Methods: data", "Sample size", f"{_sizes(cohort)}; {_UNPLANNED}"),
        Item("11", "Methods: data", "Missing data", missing),
        Item("12", "Methods: training", "Model, training, tuning", _training(metrics)),
        Item("13", "Methods: training", "Class imbalance", _IMBALANCE),
        Item("15", "Methods: evaluation", "Output and threshold", _THRESHOLD),
        Item("16", "Methods: partitions", "No person in two", _separation(cohort, leaks)),
        Item("20", "Results: data", "Participants, by partition", f"{_sizes(cohort)}: Table 1"),
        Item("22", "Other", "Model as used", _weights(metrics)),
        Item("23", "Results: performance", "Performance with intervals", results),
        Item("23", "Results: performance", "Failure analysis", _failures(metrics)),
        Item("26", "Discussion", "Limitations that numbers show", _limits(metrics)),
    ]
    answers = {
        "5": _described(metrics, ("site", "scanner", "kernel", "year", "slice_thickness_mm")),
        "14": _fairness(metrics),
    }
    items = [*known, *(Item(*row, answers.get(row[0], OPEN)) for row in _BY_HAND)]
    return sorted(items, key=lambda item: int(item.tripod))


def _described(metrics: Numbers, columns: Iterable[str]) -> str:
    """Where, when and how images were taken, as far as columns of the manifest say it."""
    known = [name for name in columns if name in metrics["participants"]]
    return f"{joined(known)} by partition: table of participants" if known else OPEN


def _fairness(metrics: Numbers) -> str:
    by = list(dict.fromkeys(row["by"] for row in metrics.get("subgroups", ())))
    return f"results by {joined(by)}: table of subgroups" if by else OPEN


def described_tables(metrics: Numbers) -> list[tuple[str, list[str], list[list[str]], str]]:
    """The tables of participants and of subgroups: caption, heads, rows, and a note."""
    found = []
    if metrics["participants"]:
        heads = ["Of subjects", *(PART_NAMES[partition] for partition in PARTITIONS)]
        rows = [
            [name.replace("_", " "), *(parts[partition] for partition in PARTITIONS)]
            for name, parts in metrics["participants"].items()
        ]
        found.append(
            ("Participants, as the columns of the manifest describe them", heads, rows, "")
        )
    if metrics.get("subgroups"):
        figures = {"roc_auc": "ROC AUC", "balanced_accuracy": "Balanced accuracy"}
        figures |= {"recall": "Recall", "specificity": "Specificity"}
        heads = ["Subgroup", "Model", "Test images", "Hips", "Subjects", "rHOA", *figures.values()]
        rows = []
        for one in metrics["subgroups"]:
            printed = [estimate_text(one[name]) for name in figures]
            cells = [f"{value} [{interval}]" if interval else value for value, interval in printed]
            sizes = [str(one[name]) for name in ("hips", "subjects", "rHOA")]
            name = f"{one['by']} {one['subgroup']}"
            rows.append([name, one["model"], SOURCE_NAMES[one["source"]], *sizes, *cells])
        found.append(("Test figures of subgroups", heads, rows, MULTIPLICITY))
    return found


def _sizes(cohort: Numbers) -> str:
    counted = []
    for source, partitions in cohort["hips"].items():
        total = sum(sum(counts.values()) for counts in partitions.values())
        positive = sum(counts["rHOA"] for counts in partitions.values())
        if total:
            counted.append(f"{total} {SOURCE_NAMES[source]} hips ({positive} rHOA)")
    return f"{joined(counted)} of {cohort['subjects']['all']} subjects"


def _training(metrics: Numbers) -> str:
    described = []
    for model in metrics["models"]:
        made = model["provenance"]
        start = f", from {made['pretrained']} weights" if made["pretrained"] else ""
        described.append(
            f"{model['name']}: {model['description']}, {model['epochs']} epochs{start}"
        )
    return "; ".join(described)


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
    external = "the test set is another cohort than that of training"
    limits = [external if metrics.get("external") else "no external test set as far as is known"]
    if small:
        limits.insert(0, f"fewer than 30 test hips of a class: {joined(small)}")
    return "; ".join(limits)

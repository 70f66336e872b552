"""Tables of the report as HTML, and what reporting guidelines ask for.

Each takes the numbers that ``metrics.json`` holds and prints them; an undefined one is a dash.
"""

from __future__ import annotations

import html
from typing import TYPE_CHECKING, Any, NamedTuple

from rhoa.cohort.partition import PARTITIONS
from rhoa.evaluation.metrics import SMALL_CLASS
from rhoa.report.collect import CLASSES, MULTIPLICITY, SOURCES

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

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


def cohort_table(cohort: Numbers, models: Sequence[Numbers]) -> str:
    """Table 1: hips of each class by partition, apart and combined."""
    blocks = {
        "X-ray": ("xray",),
        "CT-AP": ("ct",),
        "Combined": ("xray", "ct"),
    }
    titles = "".join(f'<th colspan="2">{name}</th>' for name in blocks)
    trained = "".join(
        f'<th colspan="2">{_listed(names)}</th>'
        for kinds in blocks.values()
        for names in [[m["name"] for m in models if set(m["sources"]) == set(kinds)]]
    )
    classes = "".join(f"<th>{name}</th>" for name in CLASSES * len(blocks))
    head = (
        f"<tr><th>Data partitions</th>{titles}<th>Overall (%)</th><th>Subjects</th></tr>"
        f'<tr class="sub"><th></th>{trained}<th></th><th></th></tr>'
        f"<tr><th></th>{classes}<th></th><th></th></tr>"
    )
    rows = []
    everything = _hips(cohort, SOURCES, PARTITIONS, CLASSES)
    for name, partitions in [
        *((PART_NAMES[partition], [partition]) for partition in PARTITIONS),
        ("Total", PARTITIONS),
    ]:
        cells = [
            (f"{block}, {label}", f"{_hips(cohort, sources, partitions, [label])}")
            for block, sources in blocks.items()
            for label in CLASSES
        ]
        overall = _hips(cohort, SOURCES, partitions, CLASSES)
        share = f" ({100 * overall / everything:.0f}%)" if everything else ""
        cells.append(("Overall (%)", f"{overall}{share}"))
        key = partitions[0] if len(partitions) == 1 else "all"
        cells.append(("Subjects", f"{cohort['subjects'][key]}"))
        rows.append(row(name, cells, kind="total" if name == "Total" else ""))
    caption = "Hips used to train, validate and test the models."
    return table("1", caption, head, rows, _cohort_notes(cohort))


def _hips(
    cohort: Numbers, sources: Iterable[str], partitions: Iterable[str], labels: Iterable[str]
) -> int:
    names = list(labels)
    return sum(
        cohort["hips"][source][partition][name]
        for source in sources
        for partition in list(partitions)
        for name in names
    )


def _cohort_notes(cohort: Numbers) -> list[str]:
    excluded = ", ".join(f"{reason}: {count}" for reason, count in cohort["excluded"].items())
    notes = [f"Excluded hips: {excluded or 'none'}."]
    leaking = cohort["subjects_in_several_partitions"]
    if leaking:
        notes.append(
            f"<strong>{leaking} subject{'s lie' if leaking > 1 else ' lies'} in more than one "
            "partition: results below are too good. Split by subject and train again.</strong>"
        )
    else:
        notes.append("No subject lies in more than one partition.")
    return notes


def result_table(number: str, source: str, metrics: Numbers) -> str:
    """Table 2 (X-ray) or 3 (CT-AP): figures of every model on validation and test sets."""
    rows = []
    for partition in ("val", "test"):
        rows.append(_set_row(source, partition, metrics, columns=1 + len(COLUMNS)))
        rows += [
            row(model["name"], _figure_cells(model["results"][source][partition], COLUMNS))
            for model in metrics["models"]
        ]
        baseline = metrics["baselines"][source][partition]
        if baseline is not None:
            name = f"Always {baseline['answer']}"
            rows.append(row(name, _figure_cells(baseline, COLUMNS), kind="baseline"))
    caption = (
        f"Performance of the models in detecting radiographic hip osteoarthritis on the "
        f"{SOURCE_NAMES[source]} images of the validation and test datasets."
    )
    head = f"<tr><th>Trained models</th>{headings(name for name, *_ in COLUMNS)}</tr>"
    notes = _small_sample(source, metrics)
    resized = [model for model in metrics["models"] if model["xray_size"] is not None]
    if source == "xray" and resized:
        names = _listed([f"{model['name']} ({model['xray_size']} pixels)" for model in resized])
        notes.append(f"X-rays are seen as cropped, except downsampled by {names}.")
    return table(number, caption, head, rows, notes)


def operating_table(number: str, metrics: Numbers) -> str:
    """Table 4: what the models answer on the test sets, and how their scores are calibrated."""
    rows = []
    for source in SOURCES:
        if metrics["baselines"][source]["test"] is None:
            continue
        rows.append(_set_row(source, "test", metrics, columns=9))
        for model in metrics["models"]:
            result = model["results"][source]["test"]
            counts = [
                (name, DASH if result is None else f"{result['confusion'][key]}")
                for name, key in COUNTS
            ]
            rows.append(row(model["name"], [*counts, *_figure_cells(result, CALIBRATION)]))
    names = [*(name for name, _ in COUNTS), *(name for name, *_ in CALIBRATION)]
    head = f"<tr><th>Trained models</th>{headings(names)}</tr>"
    caption = (
        "Answers at a threshold of 0.5 on the test datasets, and calibration "
        "(ECE: expected calibration error; lower is better, as for the Brier score)."
    )
    return table(number, caption, head, rows, [])


def _set_row(source: str, partition: str, metrics: Numbers, *, columns: int) -> str:
    counts = metrics["cohort"]["hips"][source][partition]
    positive, negative = (counts[name] for name in CLASSES)
    subjects = metrics["cohort"]["subjects_by_source"][source][partition]
    size = (
        f"{positive + negative} hips of {subjects} subjects: {positive} rHOA, {negative} no-rHOA"
        if positive + negative
        else "no hips"
    )
    name = f"{SOURCE_NAMES[source]} images of the {PART_NAMES[partition].lower()} dataset"
    return (
        f'<tr class="set"><th colspan="{columns}" scope="rowgroup">{name} '
        f"<span>{size}</span></th></tr>"
    )


def _figure_cells(
    result: Numbers | None, columns: Sequence[tuple[str, str, bool]]
) -> list[tuple[str, str]]:
    return [
        (heading, DASH if result is None else estimate_cell(result[name], percent=percent))
        for heading, name, percent in columns
    ]


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


def estimate_cell(estimate: Numbers, *, percent: bool = False) -> str:
    """A value above its interval."""
    value, interval = estimate_text(estimate, percent=percent)
    return f'{value}<span class="ci">{interval}</span>' if interval else value


def legend(model: Numbers, result: Numbers, name: str) -> str:
    """What a chart's legend says of a model: its name and an AUC with interval."""
    value, interval = estimate_text(result[name])
    return f"{model['name']}  {value} [{interval}]" if interval else f"{model['name']}  {value}"


def _small_sample(source: str, metrics: Numbers) -> list[str]:
    hips = metrics["cohort"]["hips"][source]
    small = [
        PART_NAMES[partition].lower()
        for partition in ("val", "test")
        if sum(hips[partition].values()) and min(hips[partition].values()) < SMALL_CLASS
    ]
    warning = (
        f"<strong>Small sample ({joined(small)}).</strong> A class has fewer than {SMALL_CLASS} "
        "hips: read the intervals, not the values, and do not rank models by them."
    )
    return [warning] if small else []


def _listed(names: Sequence[str]) -> str:
    return html.escape(joined(names)) or DASH


def joined(names: Iterable[str]) -> str:
    """``a, b and c``."""
    *others, last = [*names] or [""]
    return f"{', '.join(others)} and {last}" if others else last


def headings(names: Iterable[str]) -> str:
    """Cells of a head."""
    return "".join(f"<th>{name}</th>" for name in names)


def row(name: str, cells: Iterable[tuple[str, str]], *, kind: str = "") -> str:
    """A row of a table: its name, and cells with the names of their columns."""
    filled = "".join(f'<td data-label="{label}">{text}</td>' for label, text in cells)
    return f'<tr class="{kind}"><th scope="row">{html.escape(name)}</th>{filled}</tr>'


def table(number: str, caption: str, head: str, rows: Sequence[str], notes: Sequence[str]) -> str:
    """A numbered table with its caption above and notes below."""
    below = "".join(f'<p class="note">{note}</p>' for note in notes)
    return (
        f'<div class="table"><table><caption><b>Table {number}.</b> {caption}</caption>'
        f"<thead>{head}</thead><tbody>{''.join(rows)}</tbody></table>{below}</div>"
    )


# Tables of comparisons and of calibration, as HTML.


def comparison_table(number: str, source: str, found: Numbers) -> str:
    """The reference model minus each other one, on the same test hips."""
    names = (
        "ROC AUC",
        "p",
        "PR AUC",
        "Balanced accuracy",
        "Only it right",
        "Only other right",
        "p ",
    )
    rows = []
    for other in found["comparisons"]:
        cells = (
            *(estimate_cell(other["roc_auc"]), probability(other["roc_auc_p"])),
            estimate_cell(other["pr_auc"]),
            estimate_cell(other["balanced_accuracy"]),
            *(str(other["only_reference_right"]), str(other["only_model_right"])),
            probability(other["answers_p"]),
        )
        rows.append(row(f"minus {other['model']}", zip(names, cells, strict=True)))
    head = f"<tr><th>{found['reference']}</th>{headings(names)}</tr>"
    caption = (
        f"{found['reference']} against every other model on the {SOURCE_NAMES[source]} test "
        "dataset: differences of figures, and hips that only one of the two calls right."
    )
    note = (
        f"{found['reference']} is the model of the largest ROC AUC on the validation dataset. "
        "Differences are paired, their intervals resample subjects. First p: no difference of ROC "
        "AUC (DeLong, for clusters Obuchowski); second p: no difference of answers (McNemar, over "
        "subjects). They are not corrected for the number of models."
    )
    return table(number, caption, head, rows, [note])


def calibration_table(number: str, source: str, found: Numbers) -> str:
    """Temperature and threshold of the validation set, and the test figures with them."""
    names = (
        *("Temperature", "Brier score", "scaled", "ECE", "scaled "),
        *("Threshold", "Recall", "Specificity"),
    )
    rows = []
    for model in found["calibration"]:
        figures = {
            key: estimate_cell(model[key])
            for key in ("brier", "brier_scaled", "ece", "ece_scaled", "recall", "specificity")
        }
        cells = (
            f"{model['temperature']:.2f}",
            *(figures[key] for key in ("brier", "brier_scaled", "ece", "ece_scaled")),
            f"{model['threshold']:.2f}",
            *(figures[key] for key in ("recall", "specificity")),
        )
        rows.append(row(model["model"], zip(names, cells, strict=True)))
    head = f"<tr><th>Trained models</th>{headings(names)}</tr>"
    caption = (
        f"Calibration on the {SOURCE_NAMES[source]} test dataset before and after temperature "
        "scaling, and answers at the threshold of the largest sensitivity + specificity; "
        "temperature and threshold are chosen on the validation dataset."
    )
    return table(number, caption, head, rows, [])


def probability(p: float | None) -> str:
    """A p value as printed."""
    if p is None:
        return DASH
    return "&lt;0.001" if p < 0.001 else f"{p:.3f}"


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


_CARD = (
    *("What it is", "Trained on", "Hips", "Start", "Epochs", "Iterations", "Input, pixels"),
    *("Seed", "Weights, sha256"),
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
    claims = {name: html.escape(text) for name, text in metrics["claims"].items()}
    rows = []
    for model in metrics["models"]:
        made = model["provenance"]
        seen = joined(SOURCE_NAMES[source] for source in model["sources"])
        cells = (
            *(model["description"], seen, made["trained_hips"], made["pretrained"]),
            *(model["epochs"], made["iterations"], made["image_size"], made["seed"]),
            (made["weights_sha256"] or "")[:12],
        )
        columns = "".join(
            f'<td data-label="{name}">{DASH if cell in {None, ""} else html.escape(str(cell))}</td>'
            for name, cell in zip(_CARD, cells, strict=True)
        )
        rows.append(f'<tr><th scope="row">{html.escape(model["name"])}</th>{columns}</tr>')
    head = "".join(f"<th>{name}</th>" for name in ("Model", *_CARD))
    return (
        f'<div class="words"><table><thead><tr>{head}</tr></thead><tbody>{"".join(rows)}</tbody>'
        f"</table></div><ul><li><b>Input:</b> one crop of one hip, as X-ray or CT-AP; of this "
        f"study: {claims['crops']}. <b>Output:</b> the probability of radiographic hip "
        f"osteoarthritis ({claims['outcome']}).</li><li><b>Use:</b> research on images like those "
        "of Table 1. Not for diagnosis, not for other joints, implants, children or other "
        "projections.</li><li><b>"
        f"Known limits:</b> {claims['kl1']}; a score is a "
        "probability only where Figure and table of calibration say so.</li></ul>"
    )

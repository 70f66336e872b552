"""Tables of the report, laid out as the paper's Tables 1 to 3, as HTML.

Each takes the numbers that ``metrics.json`` holds and prints them; an undefined one is a dash.
"""

from __future__ import annotations

import html
from typing import TYPE_CHECKING, Any

from rhoa.cohort.split import PARTITIONS
from rhoa.evaluation.results import SMALL_CLASS
from rhoa.evaluation.study import CLASSES, SOURCES

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    Numbers = Mapping[str, Any]

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
        f'<th colspan="2">{_listed(_trained_on(models, sources))}</th>'
        for sources in blocks.values()
    )
    classes = "".join(f"<th>{name}</th>" for name in CLASSES * len(blocks))
    head = (
        f"<tr><th>Data partitions</th>{titles}<th>Overall (%)</th><th>Subjects</th></tr>"
        f'<tr class="sub"><th></th>{trained}<th></th><th></th></tr>'
        f"<tr><th></th>{classes}<th></th><th></th></tr>"
    )
    rows = []
    everything = _hips(cohort, SOURCES, PARTITIONS, CLASSES)
    for name, parts in [
        *((PART_NAMES[part], [part]) for part in PARTITIONS),
        ("Total", PARTITIONS),
    ]:
        cells = [
            (f"{block}, {label}", f"{_hips(cohort, sources, parts, [label])}")
            for block, sources in blocks.items()
            for label in CLASSES
        ]
        overall = _hips(cohort, SOURCES, parts, CLASSES)
        share = f" ({100 * overall / everything:.0f}%)" if everything else ""
        cells.append(("Overall (%)", f"{overall}{share}"))
        cells.append(("Subjects", f"{cohort['subjects'][_part_key(parts)]}"))
        rows.append(row(name, cells, kind="total" if name == "Total" else ""))
    caption = "Hips used to train, validate and test the models."
    return table("1", caption, head, rows, _cohort_notes(cohort))


def _part_key(parts: Iterable[str]) -> str:
    names = list(parts)
    return names[0] if len(names) == 1 else "all"


def _hips(
    cohort: Numbers, sources: Iterable[str], parts: Iterable[str], labels: Iterable[str]
) -> int:
    names = list(labels)
    return sum(
        cohort["hips"][source][part][name]
        for source in sources
        for part in list(parts)
        for name in names
    )


def _trained_on(models: Sequence[Numbers], sources: Iterable[str]) -> list[str]:
    return [model["name"] for model in models if set(model["sources"]) == set(sources)]


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
    for part in ("val", "test"):
        rows.append(_set_row(source, part, metrics, columns=1 + len(COLUMNS)))
        rows += [
            row(model["name"], _figure_cells(model["results"][source][part], COLUMNS))
            for model in metrics["models"]
        ]
        baseline = metrics["baselines"][source][part]
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


def _set_row(source: str, part: str, metrics: Numbers, *, columns: int) -> str:
    counts = metrics["cohort"]["hips"][source][part]
    positive, negative = (counts[name] for name in CLASSES)
    subjects = metrics["cohort"]["subjects_by_source"][source][part]
    size = (
        f"{positive + negative} hips of {subjects} subjects: {positive} rHOA, {negative} no-rHOA"
        if positive + negative
        else "no hips"
    )
    name = f"{SOURCE_NAMES[source]} images of the {PART_NAMES[part].lower()} dataset"
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
        PART_NAMES[part].lower()
        for part in ("val", "test")
        if sum(hips[part].values()) and min(hips[part].values()) < SMALL_CLASS
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

"""The tables of the report: numbers of ``metrics.json`` as printed text in rows and columns.

One table is one `ReportTable`, whatever it is written as: HTML, Markdown, CSV or LaTeX. An
undefined number is a dash. Tables are numbered in the order of the page.
"""

from __future__ import annotations

import html
import re
from dataclasses import dataclass, replace
from itertools import product
from typing import TYPE_CHECKING, Any, NamedTuple

from rhoa.cohort.partition import PARTITIONS
from rhoa.evaluation.metrics import SMALL_CLASS
from rhoa.files import csv_text
from rhoa.report.collect import AREAS, CLASSES, MULTIPLICITY, SOURCES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    Numbers = Mapping[str, Any]


PART_NAMES = {"train": "Training", "val": "Validation", "test": "Test"}
SOURCE_NAMES = {"xray": "X-ray", "ct": "CT-AP"}
DASH = "\N{EM DASH}"

RESULTS = {
    "accuracy": "Accuracy",
    "balanced_accuracy": "Balanced accuracy",
    "precision": "Precision",
    "recall": "Recall",
    "f1": "F1-score",
    "specificity": "Specificity",
    "pr_auc": "PR AUC",
    "roc_auc": "ROC AUC",
}
CALIBRATION = {
    "calibration_slope": "Slope",
    "calibration_intercept": "Intercept",
    "oe_ratio": "O:E",
    "calibration_error": "RMS error",
    "brier": "Brier score",
}
GRADING = {
    "exact": "Exact",
    "within_one": "Within one",
    "kappa": "Quadratic kappa",
    "mean_absolute_error": "Mean error",
    "auc_2": "AUC, KL\N{NO-BREAK SPACE}\N{GREATER-THAN OR EQUAL TO}\N{NO-BREAK SPACE}2",
    "auc_3": "AUC, KL\N{NO-BREAK SPACE}\N{GREATER-THAN OR EQUAL TO}\N{NO-BREAK SPACE}3",
    "auc_4": "AUC, KL\N{NO-BREAK SPACE}4",
    "aurc": "AURC",
    "error_auc": "Error AUC",
}
COUNTS = {
    "tp": "True positive",
    "fn": "False negative",
    "fp": "False positive",
    "tn": "True negative",
}


class TableCell(NamedTuple):
    """A printed value, and the ends of its 95% interval where it has one."""

    value: str
    low: str = ""
    high: str = ""

    @property
    def interval(self) -> str:
        """``0.72-0.99``; ``-0.10 to 0.20`` where there is a minus; empty without an interval."""
        if not self.low:
            return ""
        between = " to " if "\N{MINUS SIGN}" in self.low + self.high else "\N{EN DASH}"
        return f"{self.low}{between}{self.high}"

    def __str__(self) -> str:
        return f"{self.value} [{self.interval}]" if self.low else self.value


@dataclass(frozen=True, slots=True)
class ReportTable:
    """Rows in blocks of one set of hips each, whose title says how many hips of how many subjects.

    ``words`` are tables of sentences; only the others are numbered.
    """

    name: str
    caption: str
    heads: Sequence[str]
    blocks: Sequence[tuple[str, Sequence[Sequence[TableCell]]]]
    notes: Sequence[str] = ()
    warnings: Sequence[str] = ()
    number: int | None = None
    words: bool = False

    @property
    def title(self) -> str:
        """``Table 3. Caption``."""
        return self.caption if self.number is None else f"Table {self.number}. {self.caption}"

    def csv(self) -> str:
        """The set of each row, its cells, and of cells with intervals their ends beside them."""
        ranged = [
            any(row[at].low for _, rows in self.blocks for row in rows)
            for at in range(len(self.heads))
        ]
        names: list[str] = ["set"]
        for head, wide in zip(self.heads, ranged, strict=True):
            names += [head, f"{head}, low", f"{head}, high"] if wide else [head]
        lines: list[list[str]] = []
        for title, rows in self.blocks:
            for row in rows:
                cells = zip(row, ranged, strict=True)
                lines.append(
                    [title, *(text for cell, wide in cells for text in cell[: 1 + 2 * wide])]
                )
        return csv_text(names, lines)

    def latex(self) -> str:
        """A table for the packages booktabs and, where it is wide, graphicx."""
        body = [_latex_row(self.heads), r"\midrule"]
        for title, rows in self.blocks:
            if title:
                body.append(rf"\multicolumn{{{len(self.heads)}}}{{l}}{{{in_latex(title)}}} \\")
            body += [_latex_row([str(cell) for cell in row]) for row in rows]
        columns = "l" + ("l" if self.words else "r") * (len(self.heads) - 1)
        lines = [
            *(r"\begin{table}", r"\centering", rf"\caption{{{in_latex(self.caption)}}}"),
            *(rf"\label{{tab:{self.name}}}", r"\resizebox{\linewidth}{!}{%"),
            *(rf"\begin{{tabular}}{{{columns}}}", r"\toprule", *body, r"\bottomrule"),
            *(r"\end{tabular}}", *map(in_latex, (*self.warnings, *self.notes)), r"\end{table}"),
        ]
        return "\n".join(lines) + "\n"

    def markdown(self) -> str:
        """A heading, a table and its notes; the title of each block opens its rows."""
        wide = any(title for title, _ in self.blocks)
        lines = [f"## {in_markdown(self.title)}", ""]
        heads = ["Set", *self.heads] if wide else list(self.heads)
        lines += [_bars(heads), _bars("---" for _ in heads).replace("\\", "")]
        for title, rows in self.blocks:
            lines += [_bars([title] * wide + [str(cell) for cell in row]) for row in rows]
        return "\n".join([*lines, *(f"\n{in_markdown(n)}" for n in (*self.warnings, *self.notes))])


def _bars(cells: Iterable[str]) -> str:
    return f"| {' | '.join(map(in_markdown, cells))} |"


def in_markdown(text: object) -> str:
    """A text in one line of Markdown: no mark-up of its own, HTML or other."""
    line = re.sub(r"\s", " ", html.escape(str(text), quote=False))
    return re.sub(r"([\\`*_\[\]|#~])", r"\\\1", line)


_LATEX = {character: "\\" + character for character in "&%$#_{}"} | {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "\N{MINUS SIGN}": "$-$",
    "\N{EN DASH}": "--",
    DASH: "---",
}


def in_latex(text: str) -> str:
    r"""A text in one line of LaTeX, which prints it as it is.

    Examples
    --------
    >>> print(in_latex("5 % of_all"))
    5 \% of\_all
    """
    return re.sub(r"\s", " ", "".join(_LATEX.get(character, character) for character in text))


def _latex_row(cells: Iterable[str]) -> str:
    return " & ".join(map(in_latex, cells)) + r" \\"


# Numbers as they are printed.


def number(value: float | None, digits: int = 2) -> str:
    """With two decimals (from 1000 on with none) and a minus sign; a dash where undefined."""
    if value is None:
        return DASH
    text = f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.{digits}f}"
    return text.replace("-", "\N{MINUS SIGN}")


def estimate(numbers: Numbers | None) -> TableCell:
    """A value and its interval; a one-sided interval ends where the scale does."""
    if numbers is None or numbers["value"] is None:
        return TableCell(DASH)
    if numbers["low"] is None:
        return TableCell(number(numbers["value"]))
    return TableCell(*(number(numbers[key]) for key in ("value", "low", "high")))


def p_value(p: float | None) -> str:
    """With three decimals, or below 0.001."""
    return "<0.001" if p is not None and p < 0.001 else number(p, 3)


def counted(hips: int, subjects: int) -> str:
    """``24 hips of 12 subjects``."""
    return f"{hips} hip{'s' * (hips != 1)} of {subjects} subject{'s' * (subjects != 1)}"


def joined(names: Iterable[str]) -> str:
    """``a, b and c``."""
    *others, last = [*names] or [""]
    return f"{', '.join(others)} and {last}" if others else last


def hips_in(
    metrics: Numbers,
    sources: Iterable[str] = SOURCES,
    partitions: Iterable[str] = PARTITIONS,
    labels: Iterable[str] = CLASSES,
) -> int:
    """How many labelled hips are of these sources, partitions and classes."""
    hips = metrics["cohort"]["hips"]
    return sum(hips[s][p][label] for s, p, label in product(sources, partitions, labels))


def size_of(metrics: Numbers, source: str, partition: str) -> str:
    """``24 hips of 12 subjects: 15 rHOA, 9 no-rHOA``."""
    hips = metrics["cohort"]["hips"][source][partition]
    if not sum(hips.values()):
        return "no hips"
    subjects = metrics["cohort"]["subjects_by_source"][source][partition]
    classes = ", ".join(f"{hips[label]} {label}" for label in CLASSES)
    return f"{counted(sum(hips.values()), subjects)}: {classes}"


def _set(metrics: Numbers, source: str, partition: str) -> str:
    name = f"{SOURCE_NAMES[source]} images of the {PART_NAMES[partition].lower()} dataset"
    return f"{name}, {size_of(metrics, source, partition)}"


def tested_sources(metrics: Numbers) -> list[str]:
    """The kinds of image that there are test hips of."""
    return [source for source in SOURCES if hips_in(metrics, [source], ["test"])]


# The tables, in the order of the page.


def study_tables(metrics: Numbers) -> dict[str, ReportTable]:
    """Every table of the report by its name, numbered."""
    found = [_cohort(metrics)]
    if metrics["participants"]:
        found.append(_participants(metrics))
    if metrics["models"]:
        found.append(_cross_validation(metrics))
        found += [
            _results(metrics, source)
            for source in SOURCES
            if hips_in(metrics, [source], ("val", "test"))
        ]
        found.append(_answers(metrics))
        found += [_grades(metrics, source) for source in tested_sources(metrics)]
        found += [_grading(metrics), _answered_grades(metrics)]
        found += [_subgroups(metrics)] if metrics["subgroups"] else []
        found += [_readers(metrics)] if metrics["readers"]["rows"] else []
        found += [_compared(metrics, source) for source in tested_sources(metrics)]
        found.append(_calibration(metrics))
        found.append(_tuned(metrics))
    found = [table for table in found if table.blocks]
    tables = {table.name: replace(table, number=n) for n, table in enumerate(found, start=1)}
    words = [_models(metrics)] if metrics["models"] else []
    words += [_checklist(metrics, {name: int(t.number or 0) for name, t in tables.items()})]
    return tables | {table.name: table for table in [*words, _versions(metrics)] if table.blocks}


def _rows(rows: Iterable[Iterable[object]]) -> list[list[TableCell]]:
    return [
        [one if isinstance(one, TableCell) else TableCell(str(one)) for one in row] for row in rows
    ]


def _cohort(metrics: Numbers) -> ReportTable:
    """Laid out as Table 1 of the paper."""
    kinds = {"X-ray": ["xray"], "CT-AP": ["ct"], "Combined": ["xray", "ct"]}
    everything = hips_in(metrics)
    rows = []
    for key, name in (*PART_NAMES.items(), ("all", "Total")):
        among = list(PART_NAMES) if key == "all" else [key]
        overall = hips_in(metrics, partitions=among)
        share = f" ({100 * overall / everything:.0f}%)" if everything else ""
        cells = [hips_in(metrics, s, among, [label]) for s in kinds.values() for label in CLASSES]
        subjects = metrics["cohort"]["subjects"][key]
        rows.append([name, *cells, f"{overall}{share}", subjects])
    trained = {
        name: joined(m["name"] for m in metrics["models"] if set(m["sources"]) == set(kind))
        for name, kind in kinds.items()
    }
    said = "; ".join(f"{name}: {models}" for name, models in trained.items() if models)
    excluded = metrics["cohort"]["excluded"].items()
    notes = [f"Excluded hips: {', '.join(f'{why}: {count}' for why, count in excluded) or 'none'}."]
    notes += [f"Trained on {said}."] if said else []
    shared = metrics["cohort"]["subjects_in_several_partitions"]
    bad = (
        f"{shared} subject{'s lie' if shared > 1 else ' lies'} in more than one partition: results "
        "below are too good. Split by subject and train again."
    )
    notes += [] if shared else ["No subject lies in more than one partition."]
    heads = [f"{name} {label}" for name in kinds for label in CLASSES]
    return ReportTable(
        "cohort",
        "Hips used to train, validate and test the models.",
        ["Data partitions", *heads, "Overall (%)", "Subjects"],
        [("", _rows(rows))],
        notes,
        [bad] if shared else [],
    )


def _participants(metrics: Numbers) -> ReportTable:
    rows = [
        [name.replace("_", " "), *(said[partition] for partition in PARTITIONS)]
        for name, said in metrics["participants"].items()
    ]
    heads = [
        f"{name}, {metrics['cohort']['subjects'][partition]} subjects"
        for partition, name in PART_NAMES.items()
    ]
    caption = "Participants, as the columns of the manifest describe them."
    return ReportTable("participants", caption, ["Of subjects", *heads], [("", _rows(rows))])


WITHIN_FOLDS = (
    "Within folds, the headline: the mean over folds of the area among a fold's test hips, which "
    "one model ranks. Pooled, as in the other tables and the curves: the area of all scores "
    "together, which also ranks hips of one fold's model against those of another's; where their "
    "scores differ in scale it is lower, though each model may rank well. Thresholds: of each "
    "fold, that of the largest sensitivity + specificity on the validation hips of its own "
    "training part. Intervals are of these models, not of what other training hips would give."
)


def _cross_validation(metrics: Numbers) -> ReportTable:
    blocks = []
    for source in tested_sources(metrics):
        own = [one for one in metrics["cross_validation"] if one["source"] == source]
        rows = [
            [
                one["model"],
                *(estimate(one[area]) for area in AREAS),
                *(estimate(one["pooled"][area]) for area in AREAS),
                _span(one["thresholds"]),
                *_figures(one["at_thresholds"], ("balanced_accuracy", "recall", "specificity")),
            ]
            for one in own
        ]
        if own:
            title = f"{own[0]['folds']} folds, {_set(metrics, source, 'test')}"
            blocks.append((title, _rows(rows)))
    areas = [RESULTS[area] for area in AREAS]
    return ReportTable(
        "cross-validation",
        "Cross-validation: areas within folds, areas of pooled scores, and answers at each fold's "
        "own threshold, as fractions [95% interval].",
        [
            *("Trained models", *(f"{area} within folds" for area in areas)),
            *(f"{area}, pooled" for area in areas),
            *("Thresholds", "Balanced accuracy at them", "Recall at them", "Specificity at them"),
        ],
        blocks,
        [WITHIN_FOLDS],
    )


def _span(values: Iterable[float | None]) -> str:
    known = sorted(value for value in values if value is not None)
    return f"{number(known[0])} to {number(known[-1])}" if known else DASH


def _results(metrics: Numbers, source: str) -> ReportTable:
    """The figures of the paper's Tables 2 and 3, and specificity."""
    blocks = []
    for partition in ("val", "test"):
        rows = [
            [model["name"], *_figures(model["results"][source][partition], RESULTS)]
            for model in metrics["models"]
        ]
        baseline = metrics["baselines"][source][partition]
        if baseline:
            rows.append([f"Always {baseline['answer']}", *_figures(baseline, RESULTS)])
        blocks.append((_set(metrics, source, partition), _rows(rows)))
    hips = metrics["cohort"]["hips"][source]
    small = [
        PART_NAMES[partition].lower()
        for partition in ("val", "test")
        if sum(hips[partition].values()) and min(hips[partition].values()) < SMALL_CLASS
    ]
    warning = (
        f"Small sample ({joined(small)}). A class has fewer than {SMALL_CLASS} hips: read the "
        "intervals, not the values, and do not rank models by them."
    )
    resized = joined(
        f"{model['name']} ({model['xray_size']} pixels)"
        for model in metrics["models"]
        if model["xray_size"] is not None
    )
    notes = [f"X-rays are seen as cropped, except downsampled by {resized}."] if resized else []
    notes = notes if source == "xray" else []
    if metrics["cross_validation"]:
        notes = ["Scores of all folds are pooled; areas within folds are above.", *notes]
    reasons = _reasons(metrics, source)
    return ReportTable(
        f"results-{source}",
        "Performance of the models in detecting radiographic hip osteoarthritis on the "
        f"{SOURCE_NAMES[source]} images, as fractions [95% interval].",
        ["Trained models", *RESULTS.values()],
        blocks,
        [*notes, *([f"Intervals: {reasons}."] if reasons else [])],
        [warning] if small else [],
    )


def _figures(result: Numbers | None, names: Iterable[str]) -> list[TableCell]:
    return [estimate(None if result is None else result.get(name)) for name in names]


def _reasons(metrics: Numbers, source: str) -> str:
    """Why test figures lack an interval or have a one-sided one: each reason once."""
    said: dict[str, list[str]] = {}
    for model in metrics["models"]:
        result = model["results"][source]["test"]
        for name, title in RESULTS.items():
            note = "" if result is None else result["notes"].get(name, "")
            if note:
                said.setdefault(note.rstrip("."), []).append(f"{title} of {model['name']}")
    return "; ".join(
        f"{reason} ({joined(names) if len(names) < 4 else f'{len(names)} figures'})"
        for reason, names in said.items()
    )


def _tested(
    metrics: Numbers, cells: Callable[[Numbers], Iterable[object]]
) -> list[tuple[str, Sequence[Sequence[TableCell]]]]:
    """For each kind of image, the models that are tested on it with the cells of their results."""
    return [
        (
            _set(metrics, source, "test"),
            _rows(
                [model["name"], *cells(result)]
                for model in metrics["models"]
                if (result := model["results"][source]["test"]) is not None
            ),
        )
        for source in tested_sources(metrics)
    ]


def _answers(metrics: Numbers) -> ReportTable:
    blocks = _tested(metrics, lambda result: [result["confusion"][key] for key in COUNTS])
    caption = "Answers at a threshold of 0.5 on the test datasets, hips."
    return ReportTable("answers", caption, ["Trained models", *COUNTS.values()], blocks)


def _grades(metrics: Numbers, source: str) -> ReportTable:
    rows = [row for row in metrics["grades"] if row["source"] == source]
    grades = {row["kl"]: counted(row["hips"], row["subjects"]) for row in rows}
    names = list(dict.fromkeys(row["model"] for row in rows))
    cells = {(row["model"], row["kl"]): estimate(row["right"]) for row in rows}
    body = _rows([name, *(cells[name, kl] for kl in grades)] for name in names)
    return ReportTable(
        f"grades-{source}",
        f"Hips of each Kellgren-Lawrence grade called right at 0.5 on the {SOURCE_NAMES[source]} "
        "test dataset, as fractions [95% interval].",
        ["Trained models", *(f"KL {kl}: {size}" for kl, size in grades.items())],
        [("", body)] if body else [],
    )


def _grading(metrics: Numbers) -> ReportTable:
    blocks = [
        (title, _rows([one["model"], *_figures(one, GRADING)] for one in found))
        for title, found in _graded(metrics)
    ]
    least = "; ".join(
        f"{one['model']} on {SOURCE_NAMES[one['source']]}s {number(one['aurc_best'])}"
        for _, found in _graded(metrics)
        for one in found
    )
    note = (
        "The answer is the most probable grade. AURC: mean share of answers that are not exact "
        f"among the surest hips, over all numbers of hips (at best: {least}). Error AUC: how often "
        "a wrong answer is less sure, by the entropy of its probabilities, than a right one."
    )
    return ReportTable(
        "grading",
        "Kellgren-Lawrence grades 0 to 4 on the test datasets, against those of the labels "
        "[95% interval]. The mean error is in grades; all else are fractions and areas.",
        ["Trained models", *GRADING.values()],
        blocks,
        [note],
    )


def _answered_grades(metrics: Numbers) -> ReportTable:
    blocks = [
        (f"{one['model']}: {title}", _rows([f"KL {kl}", *hips] for kl, hips in answered))
        for title, found in _graded(metrics)
        for one in found
        for answered in [enumerate(one["confusion"])]
    ]
    heads = ["Grade of the label", *(f"Answered KL {kl}" for kl in range(5))]
    return ReportTable(
        "answered-grades", "Grades answered on the test datasets, hips.", heads, blocks
    )


def _graded(metrics: Numbers) -> list[tuple[str, list[Numbers]]]:
    """Figures of grades by test dataset, whose title says how many hips are graded."""
    found = []
    for source in SOURCES:
        own = [
            one
            for one in metrics["grading"]
            if (one["source"], one["partition"]) == (source, "test")
        ]
        if own:
            size = counted(own[0]["hips"], own[0]["subjects"])
            found.append((f"{SOURCE_NAMES[source]} images of the test dataset, {size}", own))
    return found


def _subgroups(metrics: Numbers) -> ReportTable:
    names = ("roc_auc", "balanced_accuracy", "recall", "specificity")
    blocks: dict[str, list[list[TableCell]]] = {}
    for one in metrics["subgroups"]:
        size = f"{counted(one['hips'], one['subjects'])}, {one['rHOA']} rHOA"
        title = f"{SOURCE_NAMES[one['source']]}, {one['by']} {one['subgroup']}: {size}"
        blocks.setdefault(title, []).extend(_rows([[one["model"], *_figures(one, names)]]))
    caption = "Test figures of subgroups, as fractions [95% interval]."
    heads = ["Trained models", *(RESULTS[name] for name in names)]
    return ReportTable("subgroups", caption, heads, list(blocks.items()), [MULTIPLICITY])


def _readers(metrics: Numbers) -> ReportTable:
    found, names = metrics["readers"], ("recall", "specificity", "with_label")
    blocks = []
    for one in found["rows"]:
        size = counted(one["hips"], one["subjects"])
        title = f"{SOURCE_NAMES[one['source']]} test dataset, {size} that {one['reader']} graded"
        reader = [one["reader"], *_figures(one, names), estimate(one["with_model"])]
        model = [f"{one['model']} at 0.5", *_figures(one["of_model"], names), ""]
        blocks.append((title, _rows([reader, model])))
    return ReportTable(
        "readers",
        "Readers beside the model on the same hips: what they call rHOA (KL 2 and above) against "
        "the label, as fractions, and Cohen's kappa [95% interval].",
        ["", "Recall", "Specificity", "Kappa with the label", "Kappa of reader and model"],
        blocks,
        found["notes"],
    )


def _compared(metrics: Numbers, source: str) -> ReportTable:
    found = metrics["findings"][source]
    names = ("roc_auc", "pr_auc", "balanced_accuracy")
    rows = _rows(
        [
            f"minus {other['model']}",
            *(estimate(other[name]) for name in names),
            *(p_value(other["roc_auc_p"]), p_value(other["roc_auc_p_holm"])),
            other["only_reference_right"],
            other["only_model_right"],
            p_value(other["answers_p"]),
        ]
        for other in found["comparisons"]
    )
    reference = str(found["reference"])
    note = (
        f"{reference} {_chosen(metrics, source)}. Differences are paired and take the hips of one "
        "subject together. p of ROC AUC: no difference of ROC AUC, corrected by Holm for the "
        "number of models beside it; p of answers: no difference of answers (McNemar, over "
        "subjects), not corrected."
    )
    heads = [RESULTS[name] for name in names]
    return ReportTable(
        f"compared-{source}",
        f"{reference} against every other model on the {SOURCE_NAMES[source]} test dataset: "
        "differences [95% interval], and hips that only one of the two calls right.",
        [reference, *heads, "p, ROC AUC", "p, Holm", "Only it right", "Only other", "p, answers"],
        [(_set(metrics, source, "test"), rows)] if rows else [],
        [note],
    )


def _chosen(metrics: Numbers, source: str) -> str:
    """Why the reference is the one that others are compared with."""
    sets = [model["results"][source]["val"] for model in metrics["models"]]
    known = any(one is not None and one["roc_auc"]["value"] is not None for one in sets)
    return "has the largest ROC AUC on the validation dataset" if known else "is the first model"


CALIBRATED = (
    "A calibrated model has slope 1, intercept 0, O:E 1 (rHOA hips observed over expected) and "
    "root-mean-square error 0. Chance makes the expected calibration error (ECE) larger than 0 for "
    "every model: beside it stands what a calibrated model with these scores would show, and p, "
    "how often it would show as much."
)


def _calibration(metrics: Numbers) -> ReportTable:
    def cells(result: Numbers) -> list[object]:
        expected, p = number(result["ece_expected"]), p_value(result["ece_p"])
        return [*_figures(result, (*CALIBRATION, "ece")), expected, p]

    heads = ["Trained models", *CALIBRATION.values(), "ECE", "ECE expected", "p"]
    caption = "Calibration on the test datasets [95% interval]."
    return ReportTable("calibration", caption, heads, _tested(metrics, cells), [CALIBRATED])


def _tuned(metrics: Numbers) -> ReportTable:
    blocks = []
    for source in tested_sources(metrics):
        rows = [
            [
                model["model"],
                *(number(model["temperature"]), estimate(model["brier_scaled"])),
                *(estimate(model[key]) for key in ("brier_recalibrated", "oe_recalibrated")),
                number(model["threshold"]),
                *(estimate(model[key]) for key in ("recall", "specificity")),
            ]
            for model in metrics["findings"][source]["calibration"]
        ]
        if rows:
            blocks.append((_set(metrics, source, "test"), _rows(rows)))
    return ReportTable(
        "tuned",
        "What is chosen on the validation dataset, measured on the test dataset [95% interval]: a "
        "temperature, a recalibration (slope and intercept), the threshold of the largest "
        "sensitivity + specificity.",
        [
            *("Trained models", "Temperature", "Brier score with it", "Brier score, recalibrated"),
            *("O:E, recalibrated", "Threshold", "Recall at it", "Specificity at it"),
        ],
        blocks,
    )


def _models(metrics: Numbers) -> ReportTable:
    rows = []
    for model in metrics["models"]:
        made = model["provenance"]
        said = [
            *(model["description"], joined(SOURCE_NAMES[s] for s in model["sources"])),
            *(made["trained_hips"], made["pretrained"], model["epochs"], made["iterations"]),
            *(made["image_size"], made["seed"], (made["weights_sha256"] or "")[:12]),
        ]
        rows.append([model["name"], *(DASH if one in {None, ""} else one for one in said)])
    heads = ["Model", "What it is", "Trained on", "Hips", "Start", "Epochs", "Iterations"]
    heads += ["Input, pixels", "Seed", "Weights, sha256"]
    return ReportTable("models", "Model card", heads, [("", _rows(rows))], words=True)


def _versions(metrics: Numbers) -> ReportTable:
    """Versions and hashes, as the run folders state them, and the models that share each."""
    same: dict[tuple[str, str], list[str]] = {}
    for model in metrics["models"]:
        made = model["provenance"]
        versions = ", ".join(f"{name} {value}" for name, value in (made["versions"] or {}).items())
        for name, value in (
            ("Versions", versions),
            ("Device", " ".join(filter(None, (made["device"], made["precision"])))),
            ("Weights, sha256", made["weights_sha256"]),
            ("Hips, sha256", made["manifest_sha256"]),
            ("Partitions, sha256", made["split_sha256"]),
        ):
            if value:
                same.setdefault((name, value), []).append(model["name"])
    rows = _rows(
        [*what, "all" if len(names) == len(metrics["models"]) else joined(names)]
        for what, names in sorted(same.items(), key=lambda one: one[0][0])
    )
    heads = ["What", "Value", "Models"]
    blocks = [("", rows)] if rows else []
    return ReportTable("versions", "Versions and hashes", heads, blocks, words=True)


# What reporting guidelines ask for: filled where the run knows it, and open where it does not.
#
# Numbers are those of TRIPOD+AI (Collins et al. 2024, doi 10.1136/bmj-2023-078378) and of the 2024
# update of CLAIM (Tejani et al. 2024, doi 10.1148/ryai.240300).

OPEN = ""
ASKED = "What TRIPOD+AI (2024) and CLAIM (2024) ask for, filled in where this run knows it"
BY_AUTHORS = "to be written by the authors"


def _checklist(metrics: Numbers, numbers: Mapping[str, int]) -> ReportTable:
    rows = checklist(metrics, numbers)
    left = sum(not answer for *_, answer in rows)
    return ReportTable(
        "checklist",
        "Reporting checklist",
        ["TRIPOD+AI", "CLAIM", "Item", "What this run says"],
        [("", _rows([*item, answer or BY_AUTHORS] for *item, answer in rows))],
        [f"{ASKED}; {left} items are for the authors to write."],
        words=True,
    )


def checklist(metrics: Numbers, numbers: Mapping[str, int]) -> list[tuple[str, str, str, str]]:
    """Items of TRIPOD+AI in their order, those of CLAIM beside them, subject, answer.

    ``numbers`` are those of the tables by name; an answer that the run does not know is empty.
    """

    def see(*names: str) -> str:
        there = [str(numbers[name]) for name in names if name in numbers]
        return f"Table{'s' * (len(there) > 1)} {joined(there)}" if there else OPEN

    def where(said: Iterable[str], *names: str) -> str:
        text = joined(dict.fromkeys(said))
        return f"{text}: {see(*names)}" if text and see(*names) else text

    cohort, flow, claims = metrics["cohort"], metrics["flow"], metrics["claims"]
    models, participants = metrics["models"], metrics["participants"]
    provenance = [(model["name"], model["provenance"]) for model in models]
    excluded = joined(f"{count} {reason}" for reason, count in flow["excluded"].items())
    sizes = sorted({f"{made['image_size']}" for _, made in provenance} - {"None"})
    size = f", resized to {joined(sizes)} pixels" if sizes else ""
    sets = _sizes(cohort)
    counts = {part: hips_in(metrics, partitions=[part]) for part in PARTITIONS}
    events = "; ".join(
        f"{PART_NAMES[part].lower()}: {counted(count, cohort['subjects'][part])}, "
        f"{hips_in(metrics, partitions=[part], labels=['rHOA'])} rHOA"
        for part, count in counts.items()
        if count
    )
    by = dict.fromkeys(row["by"] for row in metrics["subgroups"])
    fair = where([f"results by {joined(by)}"] if by else [], "subgroups")
    clusters = joined(name for name in ("site", "scanner") if name in by)
    clustered = where([f"results by {clusters}"] if clusters else [], "subgroups")
    updated = where(["temperature, slope and intercept fitted on validation hips"], "tuned")
    updated = updated if see("tuned") else "none" * bool(models)
    described = ("site", "scanner", "kernel", "year", "slice_thickness_mm")
    sources = where((name for name in described if name in participants), "participants")
    hashes = [(name, made["weights_sha256"]) for name, made in provenance]
    weights = joined(f"{name} {sha256[:12]}" for name, sha256 in hashes if sha256)
    versions = [one for _, made in provenance for one in (made["versions"] or {}).items()]
    libraries = joined(dict.fromkeys(" ".join(one) for one in versions))
    failures = joined(
        f"{len(found['failures'])} on {SOURCE_NAMES[source]} ({found['reference']})"
        for source, found in metrics["findings"].items()
        if found["reference"]
    )
    output = where(["probability of rHOA, called at 0.5; thresholds of validation hips"], "tuned")
    output = output if see("tuned") else "probability of rHOA, called at 0.5"
    evaluated = "external: another cohort than that of training" * metrics["external"]
    measures = "discrimination, calibration, net benefit, differences of models" * bool(models)
    subgroups = joined(filter(None, [see("grades-xray", "grades-ct"), see("subgroups")]))
    missing = f"of {flow['start']} hips left out: {excluded or 'none'}; nothing imputed"
    imbalance = "results beside those of always answering the larger class" * bool(models)
    predictors = "grey levels of one crop of one hip; nothing else is used"
    readers = where((row["reader"] for row in metrics["readers"]["rows"]), "readers")
    demography = where([sets], "cohort", "participants")
    maps = metrics["occlusions"]
    explained = f"occlusion maps of {len(maps)} test hips, not validated" if maps else OPEN
    return [
        ("1", "1", "Title", OPEN),
        ("2", "2", "Abstract", OPEN),
        ("3a", "3", "Background; existing models", OPEN),
        ("3b", "3", "Target population, purpose, users", OPEN),
        ("3c", "", "Known health inequalities", OPEN),
        ("4", "4-6", "Objectives, design", OPEN),
        ("5a", "7, 13", "Sources of data; scanners and protocols", sources),
        ("5b", "7, 8", "Dates of the data", OPEN),
        ("6a-c", "7, 8", "Setting, eligibility, treatments", OPEN),
        ("7", "9, 10", "Preparation of images", f"{claims['crops']}; grey levels 0 to 255{size}"),
        ("8a", "14, 15", "Outcome", f"{claims['outcome']}; {claims['kl1']}"),
        ("8b, 8c", "16-18", "Who graded, blinded to what; agreement", OPEN),
        ("9a, 9b", "22", "Predictors", predictors),
        ("9c", "", "Who measured predictors", OPEN),
        ("10", "21", "Sample size", f"{sets}; not planned beforehand as far as the run knows"),
        ("11", "12", "Missing data", missing),
        ("12a", "19, 20", "Partitions; no person in two", _separation(metrics)),
        ("12b, 12c", "22, 24-27", "Model, training, tuning", _training(metrics)),
        ("12d", "30", "Heterogeneity between hospitals, scanners", clustered),
        ("12e", "28, 29", "Measures of performance", measures),
        ("12f", "", "Updating of the model", updated),
        (
            "12g",
            "23",
            "How predictions are made",
            f"rhoa.load_model; {libraries}" * bool(libraries),
        ),
        ("13", "19, 38", "Class imbalance", imbalance),
        ("14", "", "Fairness", fair),
        ("15", "22", "Output and threshold", output),
        ("16", "32, 33", "Training against evaluation data", evaluated),
        ("17", "11", "Ethical approval, consent, de-identification", OPEN),
        ("18a-d", "34, 42, 44", "Funding, conflicts, protocol, registration", OPEN),
        ("18e, 18f", "43", "Availability of data and code", OPEN),
        ("19", "", "Involvement of patients and public", OPEN),
        ("20a", "35", "Flow of participants", where([f"flow chart; {sets}"], "cohort")),
        ("20b, 20c", "36", "Participants, by partition", demography),
        ("21", "35", "Hips and rHOA in each analysis", events),
        ("22", "22, 43", "Model as used", f"sha256 of the weights: {weights}" * bool(weights)),
        ("23a", "37, 38", "Performance with intervals", see("results-xray", "results-ct")),
        ("23a", "39", "Failure analysis", f"test hips called wrong: {failures}" * bool(failures)),
        ("23a", "18", "Readers beside the model", readers),
        ("23a", "37", "Performance in subgroups", subgroups),
        ("23b", "30", "Performance by hospital, scanner", clustered),
        ("", "31", "Explanation of answers", explained),
        ("24", "", "Results of updating", updated),
        ("25", "41", "Interpretation; the study among others", OPEN),
        ("26", "40", "Limitations that numbers show", _limits(metrics)),
        ("27a-c", "41", "Use in practice, next steps", OPEN),
    ]


def _sizes(cohort: Numbers) -> str:
    said = []
    for source, partitions in cohort["hips"].items():
        total = sum(sum(counts.values()) for counts in partitions.values())
        positive = sum(counts["rHOA"] for counts in partitions.values())
        if total:
            said.append(f"{total} {SOURCE_NAMES[source]} hips ({positive} rHOA)")
    return f"{joined(said)} of {cohort['subjects']['all']} subjects"


_STARTS = {
    "none": ", from random weights",
    "first": ", from the weights of its first stage",
}


def _training(metrics: Numbers) -> str:
    described = []
    for model in metrics["models"]:
        made = model["provenance"]
        begun = str(made["pretrained"] or "")
        start = _STARTS.get(begun, f", from {begun} weights" if begun else "")
        described.append(
            f"{model['name']}: {model['description']}, {model['epochs']} epochs{start}"
        )
    return "; ".join(described)


def _separation(metrics: Numbers) -> str:
    leaks, shared = metrics["leaks"], metrics["cohort"]["subjects_in_several_partitions"]
    pairs = len(leaks["leaks"])
    if shared or pairs:
        return f"NOT met: {shared} subjects and {pairs} pairs of images cross partitions"
    if metrics["flow"]["partitions"] < 2:
        return "one partition, so nothing can lie in two"
    return f"confirmed by subject, and by comparing all {leaks['images']} images for copies"


def _limits(metrics: Numbers) -> str:
    small = [
        SOURCE_NAMES[source]
        for source in tested_sources(metrics)
        if min(metrics["cohort"]["hips"][source]["test"].values()) < SMALL_CLASS
    ]
    external = "the test set is another cohort than that of training"
    limits = [external if metrics["external"] else "no external test set as far as is known"]
    if small:
        limits.insert(0, f"fewer than {SMALL_CLASS} test hips of a class: {joined(small)}")
    return "; ".join(limits)

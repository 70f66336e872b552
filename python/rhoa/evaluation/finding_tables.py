"""Tables of comparisons and of calibration, as HTML."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rhoa.evaluation.tables import DASH, SOURCE_NAMES, estimate_cell, headings, row, table

if TYPE_CHECKING:
    from collections.abc import Mapping

    Numbers = Mapping[str, Any]


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

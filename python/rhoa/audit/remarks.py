"""What a reader of a published row should know, in sentences."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from rhoa.audit.cells import figures_of
from rhoa.audit.rankings import Rankings
from rhoa.evaluation.proportions import clopper_pearson

if TYPE_CHECKING:
    from rhoa.audit.matching import Audit
    from rhoa.audit.printed import Printed
    from rhoa.audit.rankings import Range
    from rhoa.audit.repairs import Repair


def remarks(audit: Audit) -> list[str]:
    """What the row says by the standard definitions, and what of it cannot be."""
    said = _standard(audit) + _baseline(audit)
    said += [remark for name in ("roc_auc", "pr_auc") for remark in _area(audit, name)]
    return said + _rankings(audit)


def _standard(audit: Audit) -> list[str]:
    if not audit.matches:
        return []
    tp, tn = np.array(audit.matrices, np.float64).T
    sizes = audit.positives, audit.negatives
    values = figures_of("positive", tp, tn, sizes)
    f1 = _range(values["f1"])
    shares = []
    for name, right, size in zip(("sensitivity", "specificity"), (tp, tn), sizes, strict=True):
        text = f"{name} {_range(values[name])}"
        if tp.size == 1:
            low, high = clopper_pearson(float(right[0]) / size, size)
            text += f" ({int(right[0])}/{size}, exact 95 % interval {low:.2f}-{high:.2f})"
        shares.append(text)
    return [f"{shares[0]}, {shares[1]}, F1 of the positive class {f1}"]


def _range(values: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> str:
    low, high = f"{values.min():.2f}", f"{values.max():.2f}"
    return low if low == high else f"{low} to {high}"


def _baseline(audit: Audit) -> list[str]:
    larger = max(audit.positives, audit.negatives) / (audit.positives + audit.negatives)
    printed = audit.printed.get("accuracy")
    if printed is None or printed.value + printed.half >= larger:
        return []
    answer = "positive" if audit.positives >= audit.negatives else "negative"
    return [f"accuracy {printed.text} is below {100 * larger:.1f} %: calling every case {answer}"]


def _area(audit: Audit, name: str) -> list[str]:
    printed = audit.printed.get(name)
    if printed is None:
        return []
    said = []
    if printed.interval is not None:
        low, high = printed.interval
        if not low.value <= printed.value <= high.value:
            said.append(f"{name} {printed.text}: the value lies outside its own interval")
    if name == "roc_auc" and audit.matches:
        tp, tn = np.array(audit.matrices, np.float64).T
        sensitivity, specificity = tp / audit.positives, tn / audit.negatives
        # The curve rises through the operating point: it cannot be left of nor below these corners.
        lowest = float((sensitivity * specificity).min())
        highest = float((1 - (1 - sensitivity) * (1 - specificity)).max())
        if not lowest - printed.half <= printed.value <= highest + printed.half:
            said.append(
                f"roc_auc {printed.text}: the operating point allows {lowest:.3f} to {highest:.3f}"
            )
    return said


def _rankings(audit: Audit) -> list[str]:
    """What the PR area can be, where it is no average precision."""
    printed, roc = audit.printed.get("pr_auc"), audit.printed.get("roc_auc")
    repaired = not audit.matches
    if printed is None or (repaired and not audit.repairs):
        return []
    matrices = audit.repairs[0].matrices if repaired else audit.matrices
    roc_auc = (0.0, 1.0) if roc is None else (roc.value - roc.half, roc.value + roc.half)
    rankings = Rankings(audit.positives, audit.negatives, tuple(matrices), roc_auc)
    if not rankings.countable:
        return []
    average = rankings.average_precision()
    if math.isnan(average.low) or _prints(printed, average):
        return []
    kind = "the repaired confusion matrix" if repaired else "confusion matrix"
    alike = f"this ROC AUC and {kind}" if roc is not None else f"this {kind}"
    said = (
        f"pr_auc {printed.text}: rankings of {alike} have an average precision of "
        f"{average.low:.3f} to {average.high:.3f}; "
    )
    for tied in range(1, audit.positives + 1):
        if _prints(printed, rankings.without_first_segment(tied=tied)):
            shared = f" if {tied} positives share the highest score" if tied > 1 else ""
            return [f"{said}without the first segment of the curve the area can be so{shared}"]
    return [f"{said}it is none without the first segment of the curve either"]


def _prints(printed: Printed, area: Range) -> bool:
    """Whether an area of the range rounds to what is printed."""
    slack = printed.half + 1e-9
    return area.low - slack <= printed.value <= area.high + slack


def repair_in_words(repair: Repair, audit: Audit) -> str:
    """``recall 0.89 should be 0.8963 to 0.8966: 2 matrices``."""
    changes = []
    for name, values in zip(repair.figures, repair.values, strict=True):
        printed = audit.printed[name]
        needed = _bounds(values, percent=printed.percent)
        changes.append(f"{name} {printed.text} should be {needed}")
    count = len(repair.matrices)
    matrices = (
        f"{count} matrices" if count > 1 else "(tp, tn) = ({}, {})".format(*repair.matrices[0])
    )
    return f"{' and '.join(changes)}: {matrices}"


def _bounds(values: tuple[float, float], *, percent: bool) -> str:
    first, last = (f"{100 * value:.2f}" if percent else f"{value:.4f}" for value in values)
    return first if first == last else f"{first} to {last}"

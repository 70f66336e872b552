"""Areas over all rankings: those of every ranking one by one, and those known of the paper."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import auc, average_precision_score, roc_auc_score

import rhoa
from rhoa.audit.tables import Rankings
from rhoa.evaluation.metrics import values_of
from tests.audit.published import ROWS

# Of the CT-AP rows: confusion matrix (tp, tn), printed ROC AUC and PR area, the ranges of average
# precision and of the area without its first segment, and how many positives must share the
# highest score. Found by listing all 1 307 504 rankings of 15 positives and 9 negatives.
PAPER = {
    "val 3": ((12, 7), ".93", ".90", (0.952, 0.966), (0.883, 0.898), 1),
    "val 4": ((15, 6), ".91", ".88", (0.914, 0.951), (0.841, 0.883), 1),
    "val 5": ((10, 9), ".93", ".76", (0.955, 0.975), (0.887, 0.908), 3),
    "test 1": ((3, 9), ".73", ".79", (0.788, 0.893), (0.710, 0.824), 1),
    "test 2": ((3, 9), ".63", ".72", (0.740, 0.841), (0.661, 0.770), 1),
    "test 3": ((13, 7), ".93", ".89", (0.948, 0.970), (0.879, 0.903), 1),
    "test 4": ((9, 9), ".87", ".87", (0.922, 0.951), (0.852, 0.883), 1),
    "test 5": ((13, 7), ".89", ".80", (0.889, 0.955), (0.813, 0.887), 2),
}


@given(
    positives=st.integers(1, 4),
    negatives=st.integers(1, 4),
    tied=st.integers(1, 3),
    ordered=st.integers(0, 16),
    data=st.data(),
)
@settings(max_examples=20)
def test_ranges_are_those_of_all_rankings(
    positives: int, negatives: int, tied: int, ordered: int, data: st.DataObject
) -> None:
    """Scikit-learn's areas of every order of the labels, with or without a threshold's matrix."""
    tied = min(tied, positives)
    cases, pairs = positives + negatives, positives * negatives
    low, high = (min(ordered, pairs) - 0.5) / pairs, (min(ordered, pairs) + 1.5) / pairs
    matrix = data.draw(
        st.none() | st.tuples(st.integers(0, positives), st.integers(0, negatives)), label="matrix"
    )
    scores = np.linspace(0.95, 0.05, cases)
    with_ties = np.r_[np.full(tied, 0.95), scores[tied:]]
    averages, areas = [], []
    for places in itertools.combinations(range(cases), positives):
        labels = np.zeros(cases, int)
        labels[list(places)] = 1
        if not low <= roc_auc_score(labels, scores) <= high:
            continue
        if passes(labels, scores, matrix):
            averages.append(average_precision_score(labels, scores))
        if passes(labels, with_ties, matrix) and (tied == 1 or labels[:tied].all()):
            areas.append(values_of(labels == 1, with_ties, 0.5)["paper_pr_auc"])

    rankings = Rankings(positives, negatives, () if matrix is None else (matrix,), (low, high))

    for found, listed in (
        (rankings.average_precision(), averages),
        (rankings.without_first_segment(tied=tied), areas),
    ):
        expected = (min(listed), max(listed)) if listed else (np.nan, np.nan)
        np.testing.assert_allclose(found, expected, atol=1e-12)


def passes(labels: np.ndarray, scores: np.ndarray, matrix: tuple[int, int] | None) -> bool:
    """Whether some threshold has these true positives and true negatives."""
    called = [scores >= threshold for threshold in (*scores, 2.0)]
    found = {(int(labels[ones].sum()), int((1 - labels)[~ones].sum())) for ones in called}
    return matrix is None or matrix in found


def test_the_first_segment_is_what_a_curve_without_its_first_point_lacks() -> None:
    labels = np.array([1, 1, 0, 1, 0])
    called = np.arange(1, 6)
    precision, recall = labels.cumsum() / called, labels.cumsum() / 3
    area = auc(recall, precision)

    only = Rankings(3, 2, ((2, 2),), (5 / 6, 5 / 6)).without_first_segment()

    assert only == pytest.approx((area, area))


@pytest.mark.parametrize("row", PAPER.values(), ids=PAPER)
def test_the_papers_rows_have_the_known_ranges(
    row: tuple[tuple[int, int], str, str, tuple[float, float], tuple[float, float], int],
) -> None:
    matrix, roc_auc, pr_auc, average, dropped, tied = row
    printed = float(roc_auc)
    rankings = Rankings(15, 9, (matrix,), (printed - 0.005, printed + 0.005))

    assert rankings.average_precision() == pytest.approx(average, abs=0.0005)
    assert rankings.without_first_segment() == pytest.approx(dropped, abs=0.0005)
    fits = [
        number
        for number in range(1, 6)
        if rankings.without_first_segment(tied=number).low - 0.005
        <= float(pr_auc)
        <= rankings.without_first_segment(tied=number).high + 0.005
    ]
    assert min(fits) == tied


@pytest.mark.parametrize(
    ("accuracy", "balanced", "roc_auc", "pr_auc", "said"),
    [
        ("83.3", "82.2", ".93", ".89", ("confusion matrix", "0.948 to 0.970", "can be so")),
        (
            *("83.3", "82.2", ".89", ".80"),
            ("confusion matrix", "0.889 to 0.955", "can be so if 2 positives share the highest"),
        ),
        ("83.3", "82.2", ".93", ".99", ("0.948 to 0.970", "it is none without the first")),
    ],
)
def test_a_row_is_told_what_its_area_can_be(
    accuracy: str, balanced: str, roc_auc: str, pr_auc: str, said: tuple[str, ...]
) -> None:
    (remark,) = area_remarks(accuracy, balanced, roc_auc, pr_auc)

    assert all(part in remark for part in said)
    assert ("share the highest" in remark) == any("share" in part for part in said)


def test_a_row_that_is_repaired_has_the_area_of_the_repaired_matrix() -> None:
    (row,) = (row for row in ROWS if row.name == "CT-AP val 5")
    printed = row.figures | {"roc_auc": ".93", "pr_auc": ".76"}
    audit = rhoa.audit.check(printed, positives=15, negatives=9)

    (remark,) = (one for one in rhoa.audit.remarks(audit) if one.startswith("pr_auc"))

    assert "the repaired confusion matrix have an average precision of 0.955 to 0.975" in remark
    assert "can be so if 3 positives share the highest score" in remark


def test_an_area_that_is_average_precision_needs_no_remark() -> None:
    assert area_remarks("50.0", "60.0", ".73", ".79") == []


def area_remarks(accuracy: str, balanced: str, roc_auc: str, pr_auc: str) -> list[str]:
    figures = {
        "accuracy": accuracy,
        "balanced_accuracy": balanced,
        "roc_auc": roc_auc,
        "pr_auc": pr_auc,
    }
    audit = rhoa.audit.check(figures, positives=15, negatives=9)
    return [one for one in rhoa.audit.remarks(audit) if one.startswith("pr_auc")]


def test_large_tables_are_left_alone() -> None:
    assert not Rankings(298, 551).countable
    audit = rhoa.audit.check({"accuracy": "90.2", "pr_auc": ".10"}, positives=298, negatives=551)

    assert not [one for one in rhoa.audit.remarks(audit) if one.startswith("pr_auc")]

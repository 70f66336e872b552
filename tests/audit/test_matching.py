"""Confusion matrices of published rows: the paper's 18, and any row printed from a known matrix."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

import rhoa
from rhoa import RhoaError
from rhoa.audit import Match, check, confusions, table
from rhoa.audit.tables import PublishedRow, TableAudit
from tests.audit.published import ROWS, Row

PAPER = "macro-swapped/hmMacro"


@pytest.fixture(scope="module")
def paper() -> TableAudit:
    return table(PublishedRow(row.name, row.positives, row.negatives, row.figures) for row in ROWS)


@pytest.fixture(scope="module")
def audits(paper: TableAudit) -> dict[str, rhoa.audit.Audit]:
    return {row.name: row.audit for row in paper.rows}


class TestThePaper:
    @pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
    def test_each_row_has_the_known_matrices(
        self, row: Row, audits: dict[str, rhoa.audit.Audit]
    ) -> None:
        audit = audits[row.name]

        assert list(audit.matrices) == row.matrices
        assert bool(audit.matches) == (not row.misprint)
        assert all(name.startswith("macro") for name in audit.definitions)
        assert not row.matrices or PAPER in audit.definitions

    @pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
    def test_each_row_has_the_known_verdict(
        self, row: Row, audits: dict[str, rhoa.audit.Audit]
    ) -> None:
        expected = "consistent" if row.matrices else "contradictory" if row.clear else "impossible"
        if row.name == "CT-AP val 3":  # 78.89 %, printed 79.0
            expected = "rounded twice"

        assert audits[row.name].verdict == expected

    @pytest.mark.parametrize("row", [row for row in ROWS if row.misprint], ids=lambda row: row.name)
    def test_the_nearest_repair_is_the_known_one(
        self, row: Row, audits: dict[str, rhoa.audit.Audit]
    ) -> None:
        repair = next(one for one in audits[row.name].repairs if one.definition == PAPER)

        assert repair.figures == row.misprint
        assert list(repair.matrices) == row.repaired

    def test_the_repaired_value_is_told(self, audits: dict[str, rhoa.audit.Audit]) -> None:
        """Ten of 15 and nine of 9 right are 19/24."""
        (repair,) = audits["CT-AP val 5"].repairs

        assert repair.values[0] == pytest.approx((19 / 24, 19 / 24))
        assert repair.units == pytest.approx((83.25 - 1900 / 24) / 0.1)

    def test_only_what_needs_it_is_said_to_be_rounded_twice(
        self, audits: dict[str, rhoa.audit.Audit]
    ) -> None:
        assert audits["CT-AP val 3"].rounded_twice == ("balanced_accuracy",)
        assert audits["CT-AP test 4"].rounded_twice == ()

    def test_one_definition_explains_thirteen_rows_and_no_other_does(
        self, paper: TableAudit
    ) -> None:
        assert paper.definition == PAPER
        assert paper.explained[PAPER] == 13
        assert sorted(paper.explained.values())[-2] < 13
        assert not paper.sound

    def test_numbers_are_read_as_they_are_printed(self) -> None:
        matches = confusions(
            accuracy=50.0,
            balanced_accuracy=60.0,
            precision=0.6,
            recall=0.71,
            f1=0.65,
            positives=15,
            negatives=9,
        )

        assert matches == [Match(tp=3, tn=9, definition=PAPER)]


def _percent(value: Fraction) -> str:
    return f"{float(100 * value):.1f}"


@st.composite
def matrices(draw: st.DrawFn) -> tuple[int, int, int, int]:
    positives, negatives = draw(st.integers(1, 30)), draw(st.integers(1, 30))
    return draw(st.integers(0, positives)), draw(st.integers(0, negatives)), positives, negatives


class TestAnyPaper:
    @given(matrices())
    def test_what_is_printed_of_a_matrix_leads_back_to_it(
        self, matrix: tuple[int, int, int, int]
    ) -> None:
        """Figures in exact fractions, printed by Python: an implementation of its own."""
        tp, tn, positives, negatives = matrix
        printed = {
            "accuracy": _percent(Fraction(tp + tn, positives + negatives)),
            "sensitivity": f"{tp / positives:.3f}",
            "specificity": f"{tn / negatives:.3f}",
        }
        if tp:
            called = tp + negatives - tn
            printed |= {
                "precision": f"{tp / called:.2f}",
                "recall": f"{tp / positives:.2f}",
                "f1": f"{2 * tp / (called + positives):.2f}",
            }

        audit = check(printed, positives=positives, negatives=negatives)

        assert audit.verdict == "consistent"
        assert audit.matrices == ((tp, tn),)  # three decimals tell shares of up to 30 apart
        assert Match(tp, tn, "positive") in audit.matches

    @given(matrices())
    def test_exactly_the_matrices_that_print_the_same_match(
        self, matrix: tuple[int, int, int, int]
    ) -> None:
        tp, tn, positives, negatives = matrix

        def prints(tp: int, tn: int) -> tuple[Fraction, Fraction]:
            return Fraction(tp + tn, positives + negatives), Fraction(tp, positives) / 2 + Fraction(
                tn, negatives
            ) / 2

        def near(values: tuple[Fraction, ...], texts: list[str]) -> bool:
            return all(
                abs(100 * value - Fraction(text)) <= Fraction(1, 20)
                for value, text in zip(values, texts, strict=True)
            )

        texts = [_percent(value) for value in prints(tp, tn)]
        expected = {
            (one, two)
            for one in range(positives + 1)
            for two in range(negatives + 1)
            if near(prints(one, two), texts)
        }

        audit = check(
            {"accuracy": f"{texts[0]}%", "balanced_accuracy": f"{texts[1]}%"},
            positives=positives,
            negatives=negatives,
        )

        assert set(audit.matrices) == expected

    @pytest.mark.parametrize(
        ("definition", "printed"),
        # tp 8 of 10, tn 15 of 30: precision 8/23, recall .8, F1 16/33, of negatives 15/17, .5
        # and 30/47.
        [
            ("positive", (8 / 23, 0.8, 16 / 33)),
            ("positive-swapped", (0.8, 8 / 23, 16 / 33)),
            ("negative", (15 / 17, 0.5, 30 / 47)),
            ("macro/macroF1", ((8 / 23 + 15 / 17) / 2, 0.65, (16 / 33 + 30 / 47) / 2)),
            (
                "weighted/weightedF1",
                ((8 / 23 + 45 / 17) / 4, (0.8 + 1.5) / 4, (16 / 33 + 90 / 47) / 4),
            ),
        ],
    )
    def test_each_definition_is_recognised(
        self, definition: str, printed: tuple[float, float, float]
    ) -> None:
        texts = [f"{value:.4f}" for value in printed]

        audit = check(
            dict(zip(("precision", "recall", "f1"), texts, strict=True)), positives=10, negatives=30
        )

        assert Match(8, 15, definition) in audit.matches

    def test_fewer_decimals_leave_more_matrices(self) -> None:
        exact, coarse = (
            check({"sensitivity": text}, positives=200, negatives=5) for text in ("0.800", "80%")
        )

        assert set(exact.matrices) < set(coarse.matrices)
        assert {tp for tp, _ in coarse.matrices} == {159, 160, 161}

    def test_rounding_twice_is_for_percentages_that_nothing_else_explains(self) -> None:
        assert check({"sensitivity": "79.0"}, positives=9, negatives=1).verdict == "impossible"
        assert check({"sensitivity": "78.0"}, positives=9, negatives=1).verdict == "rounded twice"
        assert check({"sensitivity": "0.780"}, positives=9, negatives=1).verdict == "impossible"

    @pytest.mark.parametrize(
        ("printed", "sizes", "problem"),
        [
            ({"kappa": 0.5}, (5, 5), "no figure 'kappa'"),
            ({}, (5, 5), "nothing to check"),
            ({"roc_auc": 0.9}, (5, 5), "nothing to check"),
            ({"accuracy": "high"}, (5, 5), "accuracy must be a number as printed"),
            ({"accuracy": 101.0}, (5, 5), "accuracy must be a share"),
            ({"accuracy": True}, (5, 5), "accuracy must be a printed number"),
            ({"accuracy": 50.0}, (0, 5), "positives must be a whole number >= 1"),
            ({"accuracy": 50.0}, (10**5, 10**5), "too many confusion matrices"),
        ],
    )
    def test_what_cannot_be_audited_is_named(
        self, printed: dict[str, float | str], sizes: tuple[int, int], problem: str
    ) -> None:
        with pytest.raises(RhoaError, match=problem):
            check(printed, positives=sizes[0], negatives=sizes[1])

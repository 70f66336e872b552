"""Published tables from text: columns understood, rows named, remarks made."""

from __future__ import annotations

from pathlib import Path

import pytest

from rhoa import RhoaError
from rhoa.audit import check, read_table, remarks, table
from rhoa.audit.tables import row_named

HEADER = "Set,Model,Positives,Negatives,Acc,Bal. Acc,Precision,Recall,F1-score,AUC"


def written(folder: Path, *lines: str) -> Path:
    file = folder / "table.csv"
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return file


def test_columns_may_be_named_as_papers_name_them(tmp_path: Path) -> None:
    file = written(
        tmp_path,
        HEADER,
        "test,M1,15,9,50.0,60.0,.60,.71,.65,.73 [.49-.89]",
        "test,M4,15,9,75.0,80.0,,,,",
    )

    first, second = read_table(file)

    assert first.name == "test M1"
    assert (first.positives, first.negatives) == (15, 9)
    assert first.printed["balanced_accuracy"] == "60.0"
    assert first.printed["roc_auc"] == ".73 [.49-.89]"
    assert set(second.printed) == {"accuracy", "balanced_accuracy"}
    assert table([first, second]).sound


def test_a_row_is_found_by_its_name(tmp_path: Path) -> None:
    file = written(tmp_path, HEADER, "val,M1,15,9,50.0,,,,,", "test,M1,15,9,75.0,,,,,")
    rows = read_table(file)

    assert row_named(rows, "test M1").printed == {"accuracy": "75.0"}
    with pytest.raises(RhoaError, match="0 rows are named 'M1'; rows are val M1, test M1"):
        row_named(rows, "M1")


@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        (["name,accuracy", "a,50"], "table.csv: lacks the columns positives, negatives"),
        (["positives,negatives,kappa", "1,2,.5"], "unknown columns kappa"),
        (["name,positives,negatives", "a,1,2"], "no column of figures"),
        (["positives,negatives,acc", "few,9,50"], "line 2: positives must be a whole number"),
    ],
)
def test_a_table_that_cannot_be_used_says_why(
    tmp_path: Path, lines: list[str], problem: str
) -> None:
    with pytest.raises(RhoaError, match=problem):
        read_table(written(tmp_path, *lines))


def test_no_row_explained_means_no_definition() -> None:
    assert table([]).definition is None


class TestRemarks:
    def test_the_standard_figures_are_told_with_exact_intervals(self) -> None:
        """13 of 15 and 7 of 9: [.60, .98] and [.40, .97], Clopper and Pearson."""
        printed = {"accuracy": "83.3", "balanced_accuracy": "82.2"}

        (said,) = remarks(check(printed, positives=15, negatives=9))

        assert "sensitivity 0.87 (13/15, exact 95 % interval 0.60-0.98)" in said
        assert "specificity 0.78 (7/9, exact 95 % interval 0.40-0.97)" in said

    def test_an_accuracy_below_the_larger_class_is_told(self) -> None:
        said = remarks(check({"accuracy": 50.0}, positives=15, negatives=9))

        assert any("below 62.5 %: calling every case positive" in remark for remark in said)
        assert len(remarks(check({"accuracy": 62.5}, positives=15, negatives=9))) == 1

    def test_a_value_outside_its_own_interval_is_told(self) -> None:
        printed = {"accuracy": "90.4", "roc_auc": "0.94 [0.97-0.98]"}

        said = remarks(check(printed, positives=597, negatives=1101))

        assert said[-1] == "roc_auc 0.94 [0.97-0.98]: the value lies outside its own interval"

    def test_an_area_that_the_operating_point_does_not_allow_is_told(self) -> None:
        """Half of positives above all negatives leave an area of one half at least."""
        printed = {"sensitivity": "0.500", "specificity": "1.000"}

        low, high = (
            remarks(check(printed | {"roc_auc": area}, positives=8, negatives=8))
            for area in ("0.45", "0.55")
        )

        assert "the operating point allows 0.500 to 1.000" in low[-1]
        assert len(high) == 1

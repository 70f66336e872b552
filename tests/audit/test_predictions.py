"""Scores beside printed figures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from rhoa import RhoaError
from rhoa.audit import compare, read_predictions
from rhoa.audit.tables import shared_definitions

# Three of 15 rHOA hips found, none of 9 others: model 1 on the CT-AP test set of the paper.
LABELS = [1] * 15 + [0] * 9
SCORES = [0.9] * 3 + [0.1] * 21


def test_the_papers_figures_fit_its_definition_alone() -> None:
    printed = {"accuracy": 50.0, "precision": 0.60, "recall": 0.71, "f1": 0.65}

    found = compare(LABELS, SCORES, printed)

    assert all(one.definitions for one in found)
    assert shared_definitions(found) == ("macro-swapped/hmMacro",)
    assert found[0].definitions == ("standard",)
    assert found[2].value == pytest.approx(3 / 15)  # the standard recall


def test_a_figure_that_the_scores_do_not_give_fits_nothing() -> None:
    (found,) = compare(LABELS, SCORES, {"accuracy": 62.5})

    assert found.definitions == ()
    assert found.value == 0.5


def test_the_area_without_its_first_segment_is_recognised() -> None:
    """A perfect ranking of 15: precision one from recall 1/15 on."""
    scores = np.linspace(1, 0, 24)

    found = compare(LABELS, scores, {"pr_auc": "0.933", "roc_auc": "1.000"})

    assert found[0].definitions == ("first segment dropped",)
    assert found[1].definitions == ("standard",)


def test_the_threshold_counts() -> None:
    (found,) = compare(LABELS, SCORES, {"sensitivity": "1.00"}, threshold=0.05)

    assert found.definitions == ("standard",)


class TestReading:
    def test_rows_are_chosen_by_column(self, tmp_path: Path) -> None:
        file = tmp_path / "predictions.csv"
        file.write_text(
            "subject,source,label,partition,score\n"
            "a,ct,1,test,0.75\nb,ct,0,val,0.5\nc,xray,0,test,0.25\n",
            encoding="utf-8",
        )

        labels, scores = read_predictions(file, only={"partition": "test", "source": "ct"})

        assert (labels.tolist(), scores.tolist()) == ([1], [0.75])
        assert len(read_predictions(file)[0]) == 3
        with pytest.raises(RhoaError, match="no row of partition train"):
            read_predictions(file, only={"partition": "train"})

    @pytest.mark.parametrize(
        ("text", "problem"),
        [
            ("label,p\n1,0.5\n", "lacks the columns score"),
            ("label,score\nyes,0.5\n", "line 2: label and score must be numbers"),
        ],
    )
    def test_what_cannot_be_read_is_named(self, tmp_path: Path, text: str, problem: str) -> None:
        file = tmp_path / "scores.csv"
        file.write_text(text, encoding="utf-8")

        with pytest.raises(RhoaError, match=problem):
            read_predictions(file)

"""``rhoa audit``: rows by option and by table, scores beside them, exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rhoa import cli

PAPER = "macro-swapped/hmMacro"
MODEL_1 = ("--accuracy", "50.0", "--balanced-accuracy", "60.0", "--precision", "0.60")
SIZES = ("--positives", "15", "--negatives", "9")


@pytest.fixture
def published(tmp_path: Path) -> Path:
    file = tmp_path / "table.csv"
    file.write_text(
        "name,positives,negatives,accuracy,balanced_accuracy,precision,recall,f1\n"
        "Model 1,15,9,50.0,60.0,0.60,0.71,0.65\n"
        "Model 5,15,9,83.3,83.3,0.83,0.82,0.83\n",
        encoding="utf-8",
    )
    return file


@pytest.fixture
def predictions(tmp_path: Path) -> Path:
    file = tmp_path / "predictions.csv"
    rows = [(1, 0.9)] * 3 + [(1, 0.1)] * 12 + [(0, 0.1)] * 9
    lines = [f"{label},test,{score}" for label, score in rows]
    file.write_text("\n".join(["label,partition,score", *lines, "1,val,0.5"]), encoding="utf-8")
    return file


def run(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    code = cli.main(["audit", *map(str, words)])
    out, err = capsys.readouterr()
    return code, out, err


def test_one_row_by_options(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, *SIZES, *MODEL_1, "--recall", "0.71", "--f1", "0.65")

    assert code == 0
    assert "(3, 9)" in out
    assert "sensitivity 0.20 (3/15" in out
    assert f"1 of 1 rows fit {PAPER}" in out


def test_a_table_with_an_impossible_row_exits_with_one(
    published: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = run(capsys, published)

    assert code == 1
    assert "1 of 2 rows can come from a confusion matrix" in out
    assert "Model 5: to repair: accuracy 83.3 should be 79.17: (tp, tn) = (10, 9)" in out


def test_programs_get_everything(published: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, published, "--json")

    first, second = json.loads(out)
    assert code == 1
    assert first["matches"] == [{"tp": 3, "tn": 9, "definition": PAPER}]
    assert second["verdict"] == "impossible"
    assert second["repairs"][0]["matrices"] == [[10, 9]]


def test_scores_are_put_beside_a_row(
    published: Path, predictions: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = (published, "--row", "Model 1", "--predictions", predictions, "--partition", "test")
    code, out, _ = run(capsys, *words)

    assert code == 0
    assert "15 positives and 9 negatives in predictions.csv" in out
    assert f"all of precision, recall and F1 fit {PAPER}" in out


def test_scores_that_print_otherwise_exit_with_one(
    predictions: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("--predictions", predictions, "--partition", "test", "--accuracy", "62.5")
    code, out, _ = run(capsys, *words)

    assert code == 1
    assert "nothing" in out


def test_scores_of_other_class_sizes_exit_with_one(
    published: Path, predictions: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = run(capsys, published, "--row", "Model 1", "--predictions", predictions)

    assert code == 1
    assert "printed of 15 positives and 9 negatives" in out


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        ((), "give table.csv, or --positives"),
        (("--accuracy", "50.0"), "give table.csv, or --positives"),
        (("TABLE", *MODEL_1), "not both"),
        (("--row", "Model 1"), "--row names a row of a table"),
        (("TABLE", "--row", "Model 7"), "0 rows are named 'Model 7'"),
        (("TABLE", "--predictions", "scores.csv"), "name the one these scores are of"),
        ((*SIZES, "--accuracy", "good"), "accuracy must be a number as printed"),
    ],
)
def test_mistakes_say_what_to_do(
    words: tuple[str, ...], problem: str, published: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, err = run(capsys, *(published if word == "TABLE" else word for word in words))

    assert code == 2
    assert problem in err

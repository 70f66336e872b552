"""From a table of a German spreadsheet to a report: what it says is true of the data."""

from __future__ import annotations

import html
import json
import re
from pathlib import Path

import numpy as np
import pytest

import rhoa
from rhoa import cli
from rhoa.raster import encode_png

pytestmark = pytest.mark.torch

TINY = ("--recipe", "model-1", "--weights", "none", "--image-size", "32", "--epochs", "1")


def spreadsheet(folder: Path, subjects: range, *, first: str = "P") -> Path:
    """Crops and a table as LibreOffice Calc saves it: semicolons, decimal commas, Windows-1252.

    Of every four subjects, one each has KL 0, 2, 1 and 3; KL 1 counts as no rHOA.
    """
    (folder / "crops").mkdir(parents=True, exist_ok=True)
    lines = ["Image;Subject;Side;Source;KL;Visit;Label;Age;Sex;Site"]
    for number in subjects:
        kl = (0, 2, 1, 3)[number % 4]
        for side in "LR":
            random = np.random.default_rng(1000 * len(first) + 2 * number + (side == "R"))
            picture = random.integers(0, 255, (8, 8)).repeat(6, axis=0).repeat(6, axis=1)
            name = f"crops/{first}{number}{side}.png"
            (folder / name).write_bytes(encode_png(picture.astype(np.uint8)))
            age, sex, site = f"{50 + number},5", "WM"[number // 4 % 2], ("Köln", "Oulu")[number % 2]
            lines.append(
                f"{name};{first}{number};{side};X-ray;{kl},0;NA;{int(kl > 1)};{age};{sex};{site}"
            )
    (folder / "hips.csv").write_bytes("\r\n".join([*lines, ";" * 9]).encode("cp1252"))
    return folder / "hips.csv"


def said(*words: object) -> int:
    return cli.main([str(word) for word in words])


def words_of(report: Path) -> str:
    text = re.sub(r"<(style|script|svg)[\s\S]*?</\1>", " ", report.read_text(encoding="utf-8"))
    return html.unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", text)))


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A manifest, a run of one epoch, and the report by sex and site."""
    folder = tmp_path_factory.mktemp("study")
    table = spreadsheet(folder, range(24))
    assert said("split", table, "-o", folder / "manifest.csv") == 0
    assert said("train", folder / "manifest.csv", "-o", folder / "run", *TINY) == 0
    by = ("--by", "sex,Site", "-o", folder / "report")
    assert said("evaluate", folder / "run", "--manifest", folder / "manifest.csv", *by) == 0
    return folder


def test_age_sex_and_site_travel_from_the_table_to_the_predictions(study: Path) -> None:
    columns = (study / "run" / "predictions.csv").read_text(encoding="utf-8").splitlines()[0]
    manifest = rhoa.cohort.read(study / "manifest.csv")

    assert columns.endswith("label,score,age,sex,site")
    assert {hip.value("site") for hip in manifest} == {"Köln", "Oulu"}
    assert manifest.hips[0].value("age") == "50.5"


def test_subgroups_are_those_of_the_test_hips(study: Path) -> None:
    metrics = json.loads((study / "report" / "metrics.json").read_text(encoding="utf-8"))
    hips = [h for h in rhoa.cohort.read(study / "manifest.csv").labelled if h.partition == "test"]

    counted = {(one["by"], one["subgroup"]): one["hips"] for one in metrics["subgroups"]}
    for column, name in (("sex", "sex"), ("Site", "site")):
        for value in {hip.value(name) for hip in hips}:
            assert counted.pop((column, value)) == sum(hip.value(name) == value for hip in hips)
    assert counted == {}
    text = words_of(study / "report" / "report.html")
    assert "Participants, as the columns of the manifest describe them" in text
    assert "not corrected for their number" in text


def test_the_report_claims_of_the_crops_and_labels_what_is_so(study: Path) -> None:
    """Crops of another program; KL 1 is labelled as no rHOA; X-rays alone."""
    text = words_of(study / "report" / "report.html")

    assert "right ones mirrored" not in text
    assert "not made by rhoa; whether right hips are mirrored is not known" in text
    assert "KL 1 was left out" not in text
    assert "KL 1: 12 as no rHOA" in text
    assert "no rHOA: Kellgren-Lawrence grade 0 to 1" in text
    assert re.findall(r"Table (\d)\.", text)[:3] == ["1", "2", "3"]
    captions = dict(re.findall(r"Table (\d+)\. ([A-Z][^.]*)\.", text))
    (performance,) = re.findall(r"Performance with intervals Table (\d+) ", text)
    assert "on the X-ray images" in captions[performance]
    assert "CT-AP" not in " ".join(captions.values())


def test_the_terminal_says_how_many_hips_with_which_interval_and_what_to_beware_of(
    study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Readers' grades lie beside the manifest: they are shown without being asked for."""
    manifest = rhoa.cohort.read(study / "manifest.csv")
    rows = [f"{hip.subject},{hip.side},anna,{hip.kl}" for hip in manifest.labelled]
    grades = study / "grades.csv"
    grades.write_text("subject,side,reader,kl\n" + "\n".join(rows) + "\n", encoding="utf-8")
    words = ("evaluate", study / "run", "--manifest", study / "manifest.csv", "-o", tmp_path)

    assert said(*words) == 0
    beside = capsys.readouterr().out
    assert said(*words, "--readers", grades, "--json") == 0
    as_json = json.loads(capsys.readouterr().out)
    grades.unlink()
    assert said(*words) == 0
    without = capsys.readouterr().out

    metrics = json.loads((tmp_path / "metrics.json").read_text(encoding="utf-8"))
    test = metrics["models"][0]["results"]["xray"]["test"]
    value, low, high = (test["roc_auc"][key] for key in ("value", "low", "high"))
    head, row = (line.split() for line in without.splitlines()[:2])
    assert head == ["model", "source", "hips", "subjects", "roc_auc", "balanced_accuracy"]
    assert row[:4] == ["Model-1", "xray", str(test["hips"]), str(test["subjects"])]
    interval = "[no interval]" if low is None else f"[{low:.2f} to {high:.2f}]"
    assert f"{value:.3f} {interval}" in without
    assert f"xray: {test['warnings'][0]}" in without
    assert "anna" not in without
    assert "No inference to other readers and cases (MRMC) is made" in beside
    (reader,) = [one for one in as_json if "reader" in one]
    assert (reader["reader"], reader["hips"]) == ("anna", test["hips"])
    assert reader["recall"]["value"] == 1


def test_a_column_that_is_not_there_is_refused_with_those_that_are(
    study: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("--manifest", study / "manifest.csv", "--by", "race", "-o", study / "none")

    assert said("evaluate", study / "run", *words) == 2
    assert "'race', and the manifest has age, kl, sex, side, site, visit" in capsys.readouterr().err


def test_another_cohort_is_graded_and_a_planted_subject_or_copy_stops_it(
    study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = spreadsheet(tmp_path, range(8), first="OTHER")
    words = ("--manifest", other, "-o", tmp_path / "report", "--by", "sex")

    assert said("evaluate", study / "run", *words) == 0
    assert "external validation" in capsys.readouterr().out
    text = words_of(tmp_path / "report" / "report.html")
    assert "External validation: the models never saw this cohort" in text
    assert "the test set is another cohort" in text
    metrics = json.loads((tmp_path / "report" / "metrics.json").read_text(encoding="utf-8"))
    assert metrics["models"][0]["results"]["xray"]["test"]["hips"] == 16

    sound = other.read_bytes()
    other.write_bytes(sound.replace(b"OTHER3;", b"p03;"))
    assert said("evaluate", study / "run", *words) == 1
    assert "1 subjects of the manifest are among those" in capsys.readouterr().err
    other.write_bytes(sound)
    (tmp_path / "crops" / "OTHER3L.png").write_bytes((study / "crops" / "P5R.png").read_bytes())
    assert said("evaluate", study / "run", *words) == 1
    assert "1 images of the manifest" in capsys.readouterr().err


def test_no_recipe_is_assumed_where_a_source_is_lacking(
    study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert said("train", study / "manifest.csv", "-o", tmp_path / "run") == 2
    assert "has no CT-APs to train on, and model-3 is of both" in capsys.readouterr().err


def test_partitions_that_exist_are_not_replaced_unless_asked(
    study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A published split: the first subjects are the test set."""
    lines = (study / "manifest.csv").read_text(encoding="utf-8").splitlines()
    head = lines[0].split(",")
    at, subject = head.index("partition"), head.index("subject")
    rows = [line.split(",") for line in lines[1:]]
    for row in rows:
        row[0] = str(study / row[0])
        row[at] = ("test", "val", "train", "train")[int(row[subject][1:]) // 6]
    table = tmp_path / "published.csv"
    table.write_text("\n".join(map(",".join, [head, *rows])) + "\n", encoding="utf-8")
    before = table.read_bytes()

    assert said("split", table) == 2
    assert "published.csv has partitions already; --audit checks" in capsys.readouterr().err
    assert said("split", table, "-o", tmp_path / "new.csv") == 2
    assert table.read_bytes() == before
    assert not (tmp_path / "new.csv").exists()
    assert said("split", table, "--replace") == 0
    assert table.read_bytes() != before
    assert said("split", table) == 0  # again the same


@pytest.mark.parametrize(
    ("grades", "sentence"),
    [
        ([0, 0, 0, 0, 0, 0], "X-ray train has no hip with rHOA: nothing can be trained on it"),
        ([3], "X-ray test has no hips"),
        ([0, 3, 0, 0, 0, 0, 0, 0, 0, 0], "X-ray test has no hip with rHOA"),
    ],
)
def test_what_partitions_lack_is_said_and_exit_4(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], grades: list[int], sentence: str
) -> None:
    rows = []
    for number, kl in enumerate(grades):
        (tmp_path / f"{number}.png").write_bytes(b"image %d" % number)
        rows.append(f"{number}.png,S{number},left,xray,{kl},,")
    table = tmp_path / "m.csv"
    head = "image,subject,side,source,kl,visit,label"
    table.write_text("\n".join([head, *rows]) + "\n", encoding="utf-8")

    assert said("split", table) == 4
    out = capsys.readouterr().out
    assert sentence in out
    assert "target sizes" not in out

"""The report: its numbers are exact, its page stands alone, its files repeat to the byte."""

from __future__ import annotations

import base64
import csv
import html
import io
import json
import re
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from rhoa.cohort import Manifest
from rhoa.cohort.leakage import leaks
from rhoa.errors import ManifestError, ParameterError
from rhoa.evaluation import compare, evaluate, fit_temperature
from rhoa.evaluation.saliency import OcclusionExample
from rhoa.raster import encode_png
from rhoa.report import charts, write
from rhoa.report.collect import read_runs
from rhoa.report.write import write_report
from tests.evaluation.studies import (
    hip_picture,
    hips_of,
    make_manifest,
    occlusion_examples,
    radiograph,
    write_run,
    write_scores,
)

pytest.importorskip("matplotlib", reason="matplotlib is not installed: pip install '.[train]'")


class Study(NamedTuple):
    manifest: Manifest
    runs: list[Path]
    page: str
    words: str
    metrics: dict[str, Any]


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    """Two models on a small cohort, with every kind of figure."""
    folder = tmp_path_factory.mktemp("study")
    parts = {"train": 6, "val": 5, "test": 6}
    manifest = make_manifest(folder, {"xray": parts, "ct": parts})
    runs = [
        write_run(folder / name, manifest, name, seed)
        for seed, name in enumerate(["model-4", "model-5"])
    ]
    page = write_report(
        folder / "report",
        manifest=manifest,
        runs=runs,
        gallery=[("CT-AP of <one>", radiograph())],
        occlusions=occlusion_examples(),
        windows={"-150 to 600 HU": radiograph().pixels, "all": radiograph().pixels ** 2},
        notes=["Phantoms & no patients."],
        title="A <study>",
    )
    metrics = json.loads((folder / "report" / "metrics.json").read_text(encoding="utf-8"))
    words = (folder / "report" / "report.md").read_text(encoding="utf-8")
    return Study(manifest, runs, page.read_text(encoding="utf-8"), words, metrics)


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "hip.png"
    path.write_bytes(encode_png(hip_picture(2, np.random.default_rng(0), size=40)))
    return path


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Charts are left empty, as most of a report's time is theirs: for tests of its words."""
    monkeypatch.setattr(charts, "as_svg", lambda _, **_options: b"<svg/>")


def rows_of(page: str) -> list[tuple[str, list[str]]]:
    """Name and cells of every row of every table, in the page's order."""
    rows = []
    for row in re.findall(r"<tr[^>]*>(.*?)</tr>", page, flags=re.DOTALL):
        head = re.search(r"<th[^>]*>(.*?)</th>", row, flags=re.DOTALL)
        cells = [
            re.sub(r'<span class="ci">(.*?)</span>', r" [\1]", cell)
            for cell in re.findall(r"<td[^>]*>(.*?)</td>", row, flags=re.DOTALL)
        ]
        rows.append((html.unescape(re.sub("<.*?>", "", head[1])) if head else "", cells))
    return rows


def row_named(page: str, name: str, *, occurrence: int = 0) -> list[str]:
    return [cells for row, cells in rows_of(page) if row == name][occurrence]


def test_table_1_is_the_papers_for_the_papers_cohort(
    tmp_path: Path, image: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Gebre et al. 2022, Table 1, printed figures."""
    nothing = leaks(Manifest(tuple(hips_of(image, "ct", "test", 1, 0))))
    monkeypatch.setattr(write, "leaks", lambda _: nothing)  # thousands of hips take a minute
    hips = []
    for source, counts in (
        ("xray", {"train": (1093, 2019), "val": (597, 1101), "test": (298, 551)}),
        ("ct", {"train": (29, 17), "val": (15, 9), "test": (15, 9)}),
    ):
        for partition, (positive, negative) in counts.items():
            hips += hips_of(image, source, partition, positive, negative)

    page = write_report(tmp_path, manifest=Manifest(tuple(hips)), runs=[]).read_text("utf-8")

    printed = {
        "Training": ["1093", "2019", "29", "17", "1122", "2036", "3158 (55%)"],
        "Validation": ["597", "1101", "15", "9", "612", "1110", "1722 (30%)"],
        "Test": ["298", "551", "15", "9", "313", "560", "873 (15%)"],
        "Total": ["1988", "3671", "59", "35", "2047", "3706", "5753 (100%)"],
    }
    for name, cells in printed.items():
        assert row_named(page, name)[:-1] == cells


@pytest.mark.usefixtures("undrawn")
def test_table_3_prints_the_papers_accuracies_for_its_confusion_matrix(
    tmp_path: Path, image: Path
) -> None:
    """13 of 15 rHOA and 7 of 9 no-rHOA right: the paper prints 83.3 and 82.2 (Table 3, Model-3)."""
    manifest = Manifest(tuple(hips_of(image, "ct", "test", 15, 9)))
    scores = [0.9] * 13 + [0.1] * 2 + [0.8] * 2 + [0.2] * 7
    run = write_scores(tmp_path / "run", manifest, scores)

    page = write_report(tmp_path, manifest=manifest, runs=[run]).read_text("utf-8")

    validation, test = (row_named(page, "Model-3", occurrence=n) for n in (0, 1))
    assert [cell.split()[0] for cell in test[:5]] == ["0.83", "0.82", "0.87", "0.87", "0.87"]
    for cell in test:
        assert re.fullmatch(r"0\.\d\d \[0\.\d\d\u2013[01]\.\d\d\]", cell)
    assert validation == ["\u2014"] * 8
    assert row_named(page, "Always rHOA")[:5] == ["0.62", "0.50", "0.62", "1.00", "0.77"]
    (model,) = json.loads((tmp_path / "metrics.json").read_text("utf-8"))["models"]
    found = model["results"]["ct"]["test"]
    in_percent = [100 * found[name]["value"] for name in ("accuracy", "balanced_accuracy")]
    assert [round(share, 1) for share in in_percent] == [83.3, 82.2]
    assert row_named(page, "Model-3", occurrence=2)[:4] == ["13", "2", "2", "7"]
    assert "X-ray images of the" not in page


def test_results_are_those_of_evaluate_with_subjects_as_groups(study: Study) -> None:
    text = (study.runs[1] / "predictions.csv").read_text(encoding="utf-8")
    rows = csv.DictReader(io.StringIO(text))
    some = [row for row in rows if (row["source"], row["partition"]) == ("ct", "test")]

    expected = evaluate(
        [int(row["label"]) for row in some],
        [float(row["score"]) for row in some],
        groups=[row["subject"] for row in some],
    )

    result = study.metrics["models"][1]["results"]["ct"]["test"]
    assert result["roc_auc"] == pytest.approx(expected.roc_auc._asdict())
    assert result["f1"] == pytest.approx(expected.f1._asdict())
    assert result["hips"] == len(some)
    assert result["subjects"] == len({row["subject"] for row in some}) < len(some)


@pytest.mark.usefixtures("undrawn")
def test_undefined_figures_are_dashes_and_nulls(tmp_path: Path, image: Path) -> None:
    """With one class there is no specificity, no balanced accuracy and no area."""
    manifest = Manifest((*hips_of(image, "ct", "val", 12, 0), *hips_of(image, "ct", "test", 3, 0)))
    run = write_scores(tmp_path / "run", manifest, [0.9, 0.8, 0.2, 0.7] * 3 + [0.6, 0.9, 0.7])

    page = write_report(tmp_path, manifest=manifest, runs=[run]).read_text("utf-8")

    cells = row_named(page, "Model-3")
    assert cells[0].startswith("0.75 [")
    assert cells[1] == cells[5] == cells[6] == cells[7] == "\u2014"
    assert "nan" not in re.sub(r"base64,[^\"]*", "", page).lower()
    assert "NaN" not in (tmp_path / "metrics.json").read_text(encoding="utf-8")


def test_the_page_needs_nothing_beside_itself(study: Study) -> None:
    addresses = re.findall(r'(?:src|<image href|url)="?\(?([^"\s)]*)', study.page)

    assert addresses
    kinds, pictures = zip(*(address.split(";base64,") for address in addresses), strict=True)
    assert set(kinds) == {"data:image/png", "data:image/svg+xml"}
    for kind, picture in zip(kinds, pictures, strict=True):
        if kind == "data:image/svg+xml":
            named = re.findall(rb'(?:href="|url\()([^")]*)', base64.b64decode(picture))
            assert all(part.startswith(b"#") for part in named)
    assert not re.search(r"<(script|link|iframe)|@import", study.page)


def test_every_chart_has_a_light_and_a_dark_face(study: Study) -> None:
    faces = re.findall(
        r'<img class="light" src="([^"]*)"[^>]*><img class="dark" src="([^"]*)"', study.page
    )

    # two models' training; on two test sets their curves, reliability, net benefit; histograms
    assert len(faces) == 2 + 2 * 2 * 3 + 1
    inks = [ink.encode() for ink in (charts.LIGHT.ink, charts.LIGHT.guide, *charts.LIGHT.series)]
    light, dark = (
        [base64.b64decode(face.partition(",")[2]) for face in drawn]
        for drawn in zip(*faces, strict=True)
    )
    assert all(inks[0] in picture for picture in light)
    assert not any(ink in picture for ink in inks for picture in dark)


def test_the_same_study_gives_the_same_bytes(tmp_path: Path) -> None:
    manifest = make_manifest(tmp_path, {"ct": {"val": 4, "test": 4}})
    arguments: dict[str, Any] = {
        "manifest": manifest,
        "runs": [write_run(tmp_path / "model-5", manifest, "model-5", seed=0)],
        "occlusions": occlusion_examples()[:1],
    }

    pages = [write_report(tmp_path / name, **arguments) for name in ("one", "two")]

    files = [path.relative_to(pages[0].parent) for path in pages[0].parent.rglob("*.*")]
    assert len(files) > 10
    for name in files:
        one, two = ((page.parent / name).read_bytes() for page in pages)
        assert one == two
        assert str(tmp_path).encode() not in one


def test_no_subject_is_named(study: Study) -> None:
    for hip in study.manifest:
        assert hip.subject not in study.page
        assert hip.subject not in json.dumps(study.metrics)
        assert hip.subject not in study.words
        assert hip.image.name not in study.page + study.words


def test_the_markdown_has_the_pages_figures(study: Study) -> None:
    figure = study.metrics["models"][0]["results"]["ct"]["test"]["roc_auc"]

    named = re.compile(r"\| CT-AP images of the test dataset, [^|]* \| Model-4 \|")
    lines = [line for line in study.words.splitlines() if named.match(line)]

    printed = f"{figure['value']:.2f} \\[{figure['low']:.2f}\u2013{figure['high']:.2f}\\]"
    assert lines[0].endswith(f"| {printed} |")
    assert lines[0].count("|") == 11


def test_the_reference_is_chosen_on_validation_hips(study: Study) -> None:
    for source in ("xray", "ct"):
        areas = {
            model["name"]: model["results"][source]["val"]["roc_auc"]["value"]
            for model in study.metrics["models"]
        }
        assert study.metrics["findings"][source]["reference"] == max(areas, key=areas.__getitem__)


def test_failures_are_the_wrong_answers_most_confident_first(study: Study) -> None:
    for source, found in study.metrics["findings"].items():
        wrong = found["failures"]
        named = next(m for m in study.metrics["models"] if m["name"] == found["reference"])
        confusion = named["results"][source]["test"]["confusion"]

        assert len(wrong) == confusion["fp"] + confusion["fn"]
        assert all((case["probability"] >= 0.5) != bool(case["label"]) for case in wrong)
        sureness = [abs(case["probability"] - 0.5) for case in wrong]
        assert sureness == sorted(sureness, reverse=True)


def test_comparisons_and_temperatures_are_those_of_the_library(study: Study) -> None:
    found = study.metrics["findings"]["ct"]
    sets = {run.name: run.sets for run in read_runs(study.runs, study.manifest.labelled.hips)}
    (other,) = found["comparisons"]
    mine, theirs = (sets[name]["ct", "test"] for name in (found["reference"], other["model"]))

    expected = compare(mine.truth, theirs.score, mine.score, groups=mine.groups)

    assert other["roc_auc"] == pytest.approx(expected.roc_auc.difference._asdict())
    assert other["answers_p"] == pytest.approx(expected.answers.p)
    for model in found["calibration"]:
        val = sets[model["model"]]["ct", "val"]
        assert model["temperature"] == pytest.approx(fit_temperature(val.truth, val.score).value)


def test_leaking_images_are_told(tmp_path: Path, image: Path) -> None:
    """All hips of this cohort share one picture file."""
    hips = [*hips_of(image, "ct", "train", 1, 1), *hips_of(image, "ct", "test", 1, 1)]

    page = write_report(tmp_path, manifest=Manifest(tuple(hips)), runs=[]).read_text("utf-8")

    assert "pairs of images cross partitions" in page or "1 pairs" in page
    assert "NOT met" in page
    assert json.loads((tmp_path / "metrics.json").read_text("utf-8"))["leaks"]["leaks"]


def test_what_the_run_does_not_know_is_left_to_the_authors(study: Study) -> None:
    open_items = study.page.count("to be written by the authors")

    assert f"{open_items} items are for the authors to write" in study.page
    assert study.words.count("to be written by the authors") == open_items > 0


def test_misclassified_occlusions_come_first(study: Study) -> None:
    verdicts = re.findall(r"<b>(Misclassified|Correct)\.</b>", study.page)

    assert verdicts == ["Misclassified"] * 2 + ["Correct"] * 4
    assert [case["probability"] for case in study.metrics["occlusions"][:2]] == [0.31, 0.64]


def test_crops_run_from_the_lowest_grade_to_the_highest(study: Study) -> None:
    for row in re.findall(r'<div class="grid crops">(.*?)</div>', study.page, flags=re.DOTALL):
        grades = re.findall(r"<figcaption>KL (\d)</figcaption>", row)
        assert grades == sorted(grades)
        assert "1" not in grades


def test_excluded_hips_are_counted(study: Study) -> None:
    excluded = sum(hip.kl == 1 for hip in study.manifest)

    assert f"KL 1: {excluded}" in study.page
    assert study.metrics["cohort"]["excluded"] == {"KL 1": excluded}


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize(("negative", "warned"), [(29, True), (30, False)])
def test_a_class_of_fewer_than_30_hips_is_a_small_sample(
    tmp_path: Path, image: Path, negative: int, *, warned: bool
) -> None:
    manifest = Manifest(tuple(hips_of(image, "ct", "test", 30, negative)))
    run = write_scores(tmp_path / "run", manifest, [0.5] * (30 + negative))

    page = write_report(tmp_path, manifest=manifest, runs=[run]).read_text("utf-8")

    assert ("Small sample (test)" in page) is warned


def test_a_subject_in_two_partitions_is_told(tmp_path: Path, image: Path) -> None:
    hips = [*hips_of(image, "ct", "train", 2, 2), *hips_of(image, "ct", "test", 2, 2)]
    hips[4] = replace(hips[4], subject=hips[0].subject)

    page = write_report(tmp_path, manifest=Manifest(tuple(hips)), runs=[]).read_text("utf-8")

    assert "1 subject lies in more than one partition" in page


@pytest.mark.usefixtures("undrawn")
def test_two_runs_of_one_recipe_are_told_apart(tmp_path: Path, image: Path) -> None:
    manifest = Manifest(tuple(hips_of(image, "ct", "test", 2, 2)))
    runs = [write_scores(tmp_path / name, manifest, [0.5] * 4) for name in ("a", "b")]

    page = write_report(tmp_path, manifest=manifest, runs=runs).read_text("utf-8")

    assert row_named(page, "Model-3 (a)")
    assert row_named(page, "Model-3 (b)")


def test_a_manifest_without_partitions_is_refused(tmp_path: Path, image: Path) -> None:
    hips = [replace(hip, partition=None) for hip in hips_of(image, "ct", "test", 2, 2)]

    with pytest.raises(ManifestError, match="rhoa split"):
        write_report(tmp_path, manifest=Manifest(tuple(hips)), runs=[])


def test_the_line_of_an_unreadable_crop_is_told(tmp_path: Path) -> None:
    path = tmp_path / "crop.png"
    path.write_bytes(b"no picture")

    with pytest.raises(ManifestError, match="line 2: the image is no readable picture"):
        write_report(tmp_path, manifest=Manifest(tuple(hips_of(path, "ct", "test", 1, 1))), runs=[])


@pytest.mark.parametrize("absent", ["matplotlib", "jinja2"])
def test_without_a_library_the_message_says_what_to_install(
    tmp_path: Path, image: Path, monkeypatch: pytest.MonkeyPatch, absent: str
) -> None:
    class Absent:
        def find_spec(self, name: str, *_: object) -> None:
            if name == absent:
                raise ModuleNotFoundError(name=name)

    for name in [name for name in sys.modules if name.partition(".")[0] == absent]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [Absent(), *sys.meta_path])

    with pytest.raises(ImportError, match=rf"needs {absent}: pip install '\.\[report\]'"):
        write_report(
            tmp_path, manifest=Manifest(tuple(hips_of(image, "ct", "test", 1, 1))), runs=[]
        )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"map": np.zeros((4, 5))}, "2-D of one shape"),
        ({"image": np.zeros(4), "map": np.zeros(4)}, "2-D of one shape"),
        ({"label": 2}, "label must be 0 or 1"),
        ({"probability": float("nan")}, "probability in"),
    ],
)
def test_an_occlusion_example_is_checked(changes: dict[str, Any], message: str) -> None:
    blank = np.zeros((4, 4))

    with pytest.raises(ParameterError, match=message):
        OcclusionExample(
            **{"caption": "", "image": blank, "map": blank, "label": 1, "probability": 0.5}
            | changes
        )


def leaves(numbers: object) -> list[float]:
    """Every number of ``metrics.json``."""
    if isinstance(numbers, dict | list):
        inner = numbers.values() if isinstance(numbers, dict) else numbers
        return [leaf for one in inner for leaf in leaves(one)]
    return [numbers] if isinstance(numbers, int | float) and not isinstance(numbers, bool) else []


def text_of(page: str) -> str:
    """The words that a page shows."""
    body = re.sub(r"<(style|svg)[\s\S]*?</\1>", " ", page)
    return html.unescape(re.sub(r"<[^>]*>", " ", body))


def test_every_fraction_of_the_page_is_a_number_of_metrics_json(study: Study) -> None:
    """All but the threshold 0.5: printed with as many decimals, minus signs and dashes apart."""
    text = text_of(study.page).replace("doi 10.1007/s00198-021-06130-y", "")
    printed = re.findall(r"(?<![\w.])\u2212?\d[\d,]*\.\d+(?![\w.]*\d)", text)
    known = {f"{abs(leaf):.{digits}f}" for leaf in leaves(study.metrics) for digits in (1, 2, 3)}

    assert len(printed) > 300
    assert {number.lstrip("\u2212") for number in printed} - known <= {"0.5"}


def test_the_flow_ends_in_the_answers_of_the_reference_model(study: Study) -> None:
    """Counted anew, from the predictions on disk."""
    text = " ".join(text_of(study.page).split())
    for source, kind in (("xray", "X-ray"), ("ct", "CT-AP")):
        name = study.metrics["findings"][source]["reference"]
        run = study.runs[["Model-4", "Model-5"].index(name)]
        rows = list(csv.DictReader(io.StringIO((run / "predictions.csv").read_text("utf-8"))))
        rows = [r for r in rows if (r["source"], r["partition"]) == (source, "test")]
        called = [(float(r["score"]) >= 0.5, r["label"] == "1") for r in rows]
        subjects = len({r["subject"] for r in rows})

        assert f"{kind} test hips {len(rows)} hips of {subjects} subjects:" in text
        right, wrong = called.count((True, True)), called.count((True, False))
        assert f"{name} calls {right + wrong} rHOA : {right} rightly, {wrong} wrongly" in text
        right, wrong = called.count((False, False)), called.count((False, True))
        assert f"{name} calls {right + wrong} no-rHOA : {right} rightly, {wrong} wrongly" in text


def test_grades_are_called_right_as_counted(study: Study) -> None:
    (run, _), found = study.runs, study.metrics["grades"]
    rows = list(csv.DictReader(io.StringIO((run / "predictions.csv").read_text("utf-8"))))
    for one in found:
        if one["model"] != "Model-4":
            continue
        own = (one["source"], "test", str(one["kl"]))
        mine = [r for r in rows if (r["source"], r["partition"], r["kl"]) == own]
        right = sum((float(r["score"]) >= 0.5) == (r["label"] == "1") for r in mine)

        assert one["hips"] == len(mine)
        assert one["right"]["value"] == pytest.approx(right / len(mine))
    assert {one["kl"] for one in found} == {0, 2, 3, 4}


def test_tables_lie_beside_the_page_as_csv_and_latex(study: Study) -> None:
    folder = study.runs[0].parent / "report" / "tables"
    result = study.metrics["models"][0]["results"]["ct"]["test"]

    rows = list(csv.DictReader(io.StringIO((folder / "results-ct.csv").read_text("utf-8"))))

    (row,) = [r for r in rows if "test dataset" in r["set"] and r["Trained models"] == "Model-4"]
    numbers = [f"{result['roc_auc'][key]:.2f}" for key in ("value", "low", "high")]
    assert [row[f"ROC AUC{end}"] for end in ("", ", low", ", high")] == numbers
    latex = (folder / "results-ct.tex").read_text("utf-8")
    heads = 9
    lines = [line for line in latex.splitlines() if line.startswith("Model-4 &")]
    assert {line.count("&") for line in lines} == {heads - 1}
    assert {path.suffix for path in folder.iterdir()} == {".csv", ".tex"}
    numbered = re.findall(r"<b>Table (\d+)\.</b>", study.page)
    assert numbered == [str(n) for n in range(1, len(numbered) + 1)]


def test_charts_lie_beside_the_page_as_svg(study: Study) -> None:
    figures = study.runs[0].parent / "report" / "figures"

    names = sorted(path.name for path in figures.iterdir())

    kinds = ("curves-{}", "decisions-{}", "reliability-{}")
    charts = [f"{kind}-model-{n}.svg" for kind in kinds for n in (4, 5)]
    expected = [chart.format(source) for chart in charts for source in ("ct", "xray")]
    assert names == sorted(
        [*expected, "training-model-4.svg", "training-model-5.svg", "windows.svg"]
    )
    for name in names:
        svg = (figures / name).read_text(encoding="utf-8")
        assert "<svg" in svg
        assert "<text" in svg


def test_the_checklist_names_tables_that_hold_what_it_says(study: Study) -> None:
    captions = dict(re.findall(r"<caption><b>Table (\d+)\.</b> ([^<]*)</caption>", study.page))
    rows = {row[1]: row[2] for _, row in rows_of(study.page) if len(row) == 3}

    first, last = re.fullmatch(
        r"Tables (\d+) and (\d+)", rows["Performance with intervals"]
    ).groups()  # type: ignore[union-attr]
    assert "on the X-ray images" in captions[first]
    assert "on the CT-AP images" in captions[last]
    (tuned,) = re.findall(r"Table (\d+)", rows["Results of updating"])
    assert "chosen on the validation dataset" in captions[tuned]


TRIPOD_AI = """1 2 3a 3b 3c 4 5a 5b 6a 6b 6c 7 8a 8b 8c 9a 9b 9c 10 11 12a 12b 12c 12d 12e 12f 12g
13 14 15 16 17 18a 18b 18c 18d 18e 18f 19 20a 20b 20c 21 22 23a 23b 24 25 26 27a 27b 27c"""
"""The items that Collins et al. 2024 print, letters included: 52."""


@pytest.mark.parametrize(
    ("item", "tripod", "claim"),
    [
        ("Sample size", "10", "21"),
        ("Missing data", "11", "12"),
        ("Class imbalance", "13", "19, 38"),
        ("Fairness", "14", ""),
        ("Flow of participants", "20a", "35"),
        ("Performance in subgroups", "23a", "37"),
        ("Performance by hospital, scanner", "23b", "30"),
        ("Explanation of answers", "", "31"),
        ("Failure analysis", "23a", "39"),
        ("Limitations that numbers show", "26", "40"),
    ],
)
def test_the_checklist_has_the_published_numbers(
    study: Study, item: str, tripod: str, claim: str
) -> None:
    """By the lists of Collins et al. 2024 and of Tejani et al. 2024."""
    assert (tripod, claim) in {(name, row[0]) for name, row in _checked(study) if row[1] == item}


def test_the_checklist_has_every_item_of_both_lists(study: Study) -> None:
    """Letters from to letters, as 6a-c, and numbers from to numbers, as 24-27, are written out."""
    tripod, claim = set(), set()
    for name, row in _checked(study):
        for first, end, letter, last in re.findall(r"(\d+)(?:-(\d+))?([a-g])?(?:-([a-g]))?", name):
            assert not end
            letters = range(ord(letter), ord(last or letter) + 1) if letter else ()
            tripod |= {f"{first}{chr(one)}" for one in letters} or {first}
        for first, last in re.findall(r"(\d+)(?:-(\d+))?", row[0]):
            claim |= set(range(int(first), int(last or first) + 1))

    assert tripod == set(TRIPOD_AI.split())
    assert claim == set(range(1, 45))


def _checked(study: Study) -> list[tuple[str, list[str]]]:
    (start,) = (n for n, (_, row) in enumerate(rows_of(study.page)) if row[1:2] == ["Title"])
    return [(name, row) for name, row in rows_of(study.page)[start:] if len(row) == 3]

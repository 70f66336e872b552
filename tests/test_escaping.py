"""Whatever a user writes or calls a thing is text on every page, and never a part of the page."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from rhoa.cohort import Manifest
from rhoa.evaluation.saliency import OcclusionExample
from rhoa.hips.contact_sheet import Mark, SheetEntry, View, sheet, write_card
from rhoa.raster import encode_png
from rhoa.report.write import write_report
from tests.evaluation.studies import hip_picture, hips_of, radiograph, write_scores

BREAKS_OUT = "</title></style></svg>\"'><script>alert(1)</script><img src=x onerror=alert(1)>&lt;"
"""Ends an attribute and every element that is not parsed as others are; starts a script."""


class Parsed(HTMLParser):
    """What a browser makes of a page: its elements, their attributes, its text."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: set[str] = set()
        self.names: set[str] = set()
        self.said: list[str] = [""]
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.names |= {name for name, _ in attrs}
        self.said += [value or "" for _, value in attrs] + [""]

    def handle_data(self, data: str) -> None:
        self.said[-1] += data


def named(what: str) -> str:
    """A text that no page prints by chance, and that breaks out of one that is not careful."""
    return f"{what}{BREAKS_OUT}"


def require_text(page: str, whats: list[str]) -> None:
    """Check that each text is printed as it is, and that it added nothing to the page."""
    parsed = Parsed(page)
    assert not parsed.tags & {"script", "iframe", "object", "link", "base", "form"}
    assert not [name for name in parsed.names if name.startswith("on")]
    missing = [what for what in whats if not any(named(what) in said for said in parsed.said)]
    assert missing == []


def test_a_contact_sheet_prints_every_text_as_it_is(tmp_path: Path) -> None:
    marks = [
        Mark("point", named("point"), (0.0, 1.0)),
        Mark("circle", named("circle"), (0.0, 1.0, 2.0)),
        Mark("line", named("line"), (0.0, 0.0, 1.0, 1.0)),
        Mark("box", named("box"), (0.0, 0.0, 1.0, 1.0)),
    ]
    view = View(named("view"), np.zeros((3, 4), np.uint8), 1.0, tuple(marks))
    facts = [(named("fact"), named("value"))]
    entry = SheetEntry(named("scan"), "look", facts, [named("flag")], [named("note")], [view])

    page = sheet([("look", write_card(entry, tmp_path))], title=named("title"))

    require_text(page, ["scan", "fact", "value", "flag", "note", "view", "title"])
    require_text(page, [mark.kind for mark in marks])


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of a study in which every text that a user can choose breaks out of a page."""
    pytest.importorskip("matplotlib", reason="the report needs matplotlib")
    pytest.importorskip("jinja2", reason="the report needs jinja2")
    folder = tmp_path_factory.mktemp("escaping")
    image = folder / "hip.png"
    image.write_bytes(encode_png(hip_picture(2, np.random.default_rng(0), size=40)))
    manifest = Manifest(
        tuple(hip for part in ("val", "test") for hip in hips_of(image, "ct", part, 4, 4))
    )
    runs = []
    for number, scores in enumerate(([0.9, 0.8, 0.4, 0.7, 0.1, 0.2, 0.6, 0.3] * 2, [0.5] * 16)):
        run = write_scores(folder / f"run-{number}", manifest, list(scores))
        recipe = json.loads((run / "recipe.json").read_text())
        recipe |= {name: named(f"{name}{number}") for name in ("name", "description", "backbone")}
        recipe |= {"xray_size": named("size"), "epochs": named("epochs")}
        (run / "recipe.json").write_text(json.dumps(recipe))
        record = {name: named(name) for name in ("device", "precision", "manifest_sha256")}
        record |= {"seed": named("seed"), "versions": {named("library"): named("version")}}
        (run / "run.json").write_text(json.dumps(record | {"split_sha256": named("split_sha256")}))
        card = {name: named(name) for name in ("pretrained", "trained_hips", "iterations")}
        card |= {name: named(name) for name in ("image_size", "weights_sha256")}
        (run / "model.json").write_text(json.dumps(card))
        runs.append(run)
    blank = np.eye(8, dtype=np.float32)
    return write_report(
        folder / "report",
        manifest=manifest,
        runs=runs,
        gallery=[(named("gallery"), radiograph())],
        occlusions=[OcclusionExample(named("map"), blank, blank, 1, 0.7)],
        windows={named("window"): radiograph().pixels},
        notes=[named("note")],
        title=named("title"),
    )


def test_the_report_prints_every_text_as_it_is(report: Path) -> None:
    page = report.read_text(encoding="utf-8")

    require_text(page, ["title", "note", "gallery", "map", "window", "seed", "epochs"])
    require_text(page, ["device", "precision", "library", "version", "manifest_sha256"])
    require_text(page, ["split_sha256", "weights_sha256", "pretrained", "trained_hips"])
    require_text(page, ["iterations", "image_size", "description0", "backbone1"])
    require_text(page, ["Name0", "Name1"])


def test_the_markdown_prints_every_text_as_it_is(report: Path) -> None:
    """No element of HTML is in it, and no text adds a cell to a table or a line to the document."""
    lines = report.with_name("report.md").read_text(encoding="utf-8").splitlines()

    assert lines[0].startswith("# title&lt;/title&gt;")
    assert not [line for line in lines if "<" in line]


@pytest.mark.parametrize(
    "name", ["a | b", "two\nlines", "| --- |", "`a`", "[a](b)", "*a*_b_", "\\"]
)
def test_a_name_adds_no_mark_up_to_the_markdown(tmp_path: Path, name: str) -> None:
    pytest.importorskip("matplotlib", reason="the report needs matplotlib")
    image = tmp_path / "hip.png"
    image.write_bytes(encode_png(np.eye(20, dtype=np.uint8)))
    manifest = Manifest(tuple(hips_of(image, "ct", "test", 1, 0)))

    page = write_report(tmp_path, manifest=manifest, runs=[], title=name, notes=[name])

    first, _, note, *_ = page.with_name("report.md").read_text(encoding="utf-8").splitlines()
    assert plain(first.removeprefix("# ")) == plain(note.removeprefix("> "))
    assert plain(first.removeprefix("# ")) == name.replace("\n", " ")


def plain(line: str) -> str:
    """What CommonMark prints of a line, which must hold no mark-up (section 2.4: escapes)."""
    printed, place = "", 0
    while place < len(line):
        assert line[place] not in "`*_[]<|#~"
        place += line[place] == "\\"
        printed += line[place]
        place += 1
    return printed


@pytest.mark.parametrize("name", [r"$\frac{$", "_hidden", r"a\$b$c", "$x$"])
def test_a_legend_prints_a_name_as_it_is(name: str) -> None:
    """Dollars are mathematics to matplotlib, and a name that starts with _ is left out."""
    charts = pytest.importorskip("rhoa.report.charts", reason="charts need matplotlib")
    pytest.importorskip("matplotlib", reason="charts need matplotlib")

    figure = charts.window_histograms({name: radiograph().pixels})
    figure.draw_without_rendering()

    (label,) = figure.axes[0].get_legend().get_texts()
    printed, is_mathematics = label._preprocess_math(label.get_text())
    assert (printed.strip(), is_mathematics) == (name, False)

"""The contact sheet: a page that a person can read, whatever the scans are called."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest
from PIL import Image

from rhoa.hips.contact_sheet import Mark, SheetEntry, View, marked, sheet, write_card

GREY = np.arange(12, dtype=np.uint8).reshape(3, 4)
MARKS = (
    Mark("point", "left ASIS", (1.0, 2.0)),
    Mark("line", "plane", (0.0, 0.0, 3.0, 3.0)),
    Mark("circle", "head", (2.0, 2.0, 1.5), sure=False),
    Mark("box", "left hip, confidence 0.90", (0.5, 0.5, 2.5, 1.5)),
)
VIEW = View("CT-AP, as scanned", GREY, 2.0, MARKS)


class Page(HTMLParser):
    """Texts and attributes of a page, and whether its elements close in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.shapes: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.shapes.append((tag, dict(attrs)))
        if tag not in {"meta", "!doctype"}:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.shapes.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.texts.append(data)


def written(folder: Path, *entries: SheetEntry) -> Page:
    cards = []
    for entry in entries:
        (folder / entry.name).mkdir()
        cards.append((entry.verdict, write_card(entry, folder / entry.name)))
    page = Page(sheet(cards, title="Hips of a & b"))
    assert page.open == []
    return page


def test_scans_that_need_a_person_come_first(tmp_path: Path) -> None:
    page = written(
        tmp_path,
        SheetEntry("one", "fine"),
        SheetEntry("two", "not used"),
        SheetEntry("three", "look"),
        SheetEntry("four", "failed", notes=["no pelvis"]),
    )

    names = [text for text in page.texts if text in {"one", "two", "three", "four"}]
    assert names == ["four", "two", "three", "one"]
    assert any(
        "1 failed, 1 could not be posed, 1 to review, 1 without a flag" in text
        for text in page.texts
    )


def test_everything_that_was_found_is_told(tmp_path: Path) -> None:
    entry = SheetEntry(
        "one", "look", [("pose", "tilt +3.0°")], ["large_tilt"], ["a warning"], [VIEW]
    )

    page = written(tmp_path, entry)

    assert {"tilt +3.0°", "large tilt", "a warning", "pose", "left ASIS"} <= set(page.texts)


def test_marks_are_drawn_over_the_picture_at_their_pixels(tmp_path: Path) -> None:
    page = written(tmp_path, SheetEntry("one", "fine", views=[VIEW]))

    shapes = {tag: attrs for tag, attrs in page.shapes if attrs.get("class") != "scale"}
    svg = next(attrs for tag, attrs in page.shapes if tag == "svg")
    assert svg["viewbox"] == "0 0 4 3"
    assert (shapes["rect"]["x"], shapes["rect"]["width"]) == ("0.5", "2.0")
    assert (shapes["line"]["x2"], shapes["line"]["y2"]) == ("3.0", "3.0")
    assert (shapes["circle"]["r"], shapes["circle"]["class"]) == ("1.5", "circle assumed")
    assert shapes["path"]["d"] == "M1.0 2.0h0"


def test_sides_and_scale_bar_lie_at_one_place_on_the_page_and_in_the_picture(
    tmp_path: Path,
) -> None:
    view = View("CT-AP", np.zeros((200, 400), np.uint8), 0.8, ())
    text = write_card(SheetEntry("a", "fine", views=[view]), tmp_path)
    picture = Image.open(BytesIO(marked(view)))
    bright = np.asarray(picture.convert("L")) > 128
    enlarged = picture.width // 400

    bar = re.search(
        r'<line x1="([0-9.]+)" y1="([0-9.]+)" x2="([0-9.]+)" y2="[0-9.]+" class="scale">', text
    )
    assert bar is not None
    left, low, right = map(float, bar.groups())
    assert (right - left) * 0.8 == pytest.approx(50, abs=0.1)
    drawn = np.flatnonzero(bright[round(low * enlarged)])
    assert drawn[0] / enlarged == pytest.approx(left, abs=1)
    assert drawn[-1] / enlarged == pytest.approx(right, abs=1)
    sides = re.findall(r'<text x="([0-9.]+)" y="([0-9.]+)"[^>]*>([RL])</text>', text)
    assert [side for *_, side in sides] == ["R", "L"]
    for x, y, _ in sides:
        row, column = round(float(y) * enlarged), round(float(x) * enlarged)
        assert bright[row - 12 : row + 12, max(0, column - 30) : column + 30].any()


def test_pictures_are_found_from_the_page_whatever_a_scan_is_called(tmp_path: Path) -> None:
    names = ["a b", "100% <i>&amp;", 'quote" onload="x', "ä#?"]

    page = written(tmp_path, *(SheetEntry(name, "fine", views=[VIEW, VIEW]) for name in names))

    sources = [attrs["href"] for tag, attrs in page.shapes if tag == "image"]
    assert len(sources) == 8
    for source in sources:
        assert (tmp_path / unquote(source or "")).read_bytes().startswith(b"\x89PNG")
    assert set(names) <= set(page.texts)
    assert not any("onload" in attrs for _, attrs in page.shapes)


def test_the_page_needs_no_network(tmp_path: Path) -> None:
    card = write_card(SheetEntry("one", "fine", views=[VIEW]), tmp_path)

    assert not re.search(r"https?://|<script|@import", sheet([("fine", card)], title="Hips"))


def test_no_scans_make_a_page_that_says_so(tmp_path: Path) -> None:
    page = written(tmp_path)

    assert any("no scans" in text for text in page.texts)

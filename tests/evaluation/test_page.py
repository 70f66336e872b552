"""The report in a real browser: no script error, nothing too wide, every picture drawn."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from rhoa.report.write import write_report
from tests.evaluation.studies import (
    MODELS,
    make_manifest,
    occlusion_examples,
    radiograph,
    write_readers,
    write_run,
)

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytest.importorskip("matplotlib", reason="matplotlib is not installed: pip install '.[train]'")
playwright = pytest.importorskip(
    "playwright.sync_api", reason="playwright is not installed: pip install '.[test]'"
)
CHROMIUM = os.environ.get("RHOA_CHROMIUM") or shutil.which("chromium")
LARGEST_MB = 15
MOST_PAGES = 8


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six models and every kind of section: subgroups and readers too."""
    folder = tmp_path_factory.mktemp("study")
    parts = {"train": 4, "val": 6, "test": 12}
    manifest = make_manifest(folder, {"xray": parts, "ct": parts})
    runs = [write_run(folder / name, manifest, name, seed) for seed, name in enumerate(MODELS)]
    pixels = radiograph().pixels
    return write_report(
        folder / "report",
        manifest=manifest,
        runs=runs,
        gallery=[("CT-AP 1", radiograph())] * 12,
        occlusions=occlusion_examples(),
        windows={"-150 to 600 HU": pixels, "-1024 to 1650 HU": pixels**2},
        notes=["Made of drawings."],
        by=["side"],
        readers=write_readers(folder / "grades.csv", manifest),
    )


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("no Chromium: install it, or name it in RHOA_CHROMIUM")
    with playwright.sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 400])
def test_the_page_fits_and_shows_everything(
    report: Path, browser: Browser, width: int, scheme: str
) -> None:
    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda message: problems.append(f"{message.type}: {message.text}"))
    page.on("request", lambda request: problems.append(request.url) if loads(request.url) else None)
    page.goto(report.as_uri())

    wide = page.evaluate("document.documentElement.scrollWidth")
    drawn = page.evaluate(
        "[...document.images].map(image => image.complete && image.naturalWidth > 0)"
    )
    pictures = page.evaluate(
        """[...document.querySelectorAll("svg image")].map(image => {
          const box = image.getBoundingClientRect(); return box.width * box.height })"""
    )
    page.close()

    assert not problems
    assert wide <= width
    assert len(drawn) > 30
    assert all(drawn)
    assert len(pictures) == 12
    assert min(pictures) > 0


def test_a_study_of_six_models_is_printed_on_eight_pages(report: Path, browser: Browser) -> None:
    page = browser.new_page()
    page.goto(report.as_uri())
    paper = page.pdf(prefer_css_page_size=True)
    page.close()

    assert len(re.findall(rb"/Type\s*/Page\b", paper)) <= MOST_PAGES


def loads(address: str) -> bool:
    """Whether an address is neither the page nor in it."""
    return not address.startswith(("file:", "data:"))


def test_the_page_is_not_heavy(report: Path) -> None:
    assert report.stat().st_size < LARGEST_MB * 2**20

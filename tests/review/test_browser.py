"""The whole path in a real browser: found, corrected, graded, killed, restarted, read back."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from typing import TYPE_CHECKING

import pytest

import rhoa
from rhoa.review import journals_in, read_cohort
from rhoa.review.events import Boxed, Graded, Judged, Posed
from tests.review.cohorts import PATIENT, make_cohort
from tests.review.serving import served

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Locator, Page

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
if CHROMIUM is None:
    pytest.skip("there is no Chromium: apt-get install chromium", allow_module_level=True)
pytest.importorskip("uvicorn", reason="the page needs extra review")

FLAGGED = 5
GRADES = [0, 2, 3, 4, 1, 0, 2, 2, 0, 3, 4, 0, 2, 0, 1, 3, 0, 0, 2, 4, 0, 2, 3, 0]


@pytest.fixture
def page() -> Iterator[Page]:
    with sync_api.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        page.set_default_timeout(60_000)
        problems: list[str] = []
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on(
            "console",
            lambda told: problems.append(told.text) if "Content Security" in told.text else None,
        )
        yield page
        browser.close()
        assert problems == []


def pixels(page: Page, stage: int) -> str:
    """What the canvas of a stage shows, as text."""
    return page.evaluate("n => document.querySelectorAll('.stage canvas')[n].toDataURL()", stage)


def drag(page: Page, element: Locator, across: int, down: int) -> None:
    box = element.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + across / 2, y + down / 2)
    page.mouse.move(x + across, y + down)
    page.mouse.up()


def until(page: Page, what: str) -> None:
    """Wait until an expression of the page is true; its policy forbids the driver's own way."""
    for _ in range(5000):
        if page.evaluate(what):
            return
        page.wait_for_timeout(20)
    raise AssertionError(what)


def told(page: Page, where: str, text: str) -> None:
    until(page, f"document.getElementById('{where}').textContent.includes('{text}')")


def saved(page: Page) -> None:
    told(page, "status", "saved")
    page.evaluate("document.getElementById('status').textContent = ''")


def correct_the_flagged_pose(page: Page) -> None:
    page.keyboard.press("f")
    cards = page.locator(".card")
    assert cards.count() == 1
    assert cards.first.get_attribute("data-case") == str(FLAGGED)
    cards.first.get_by_role("button", name="Pose").click()
    page.wait_for_selector(f".stage[data-case='{FLAGGED}']")
    assert page.get_by_text("pose not used").is_visible()
    for stage in (0, 1):
        if stage == 1:
            page.wait_for_selector(".stage:nth-child(2) .grip", state="attached")
        before, remade = (
            pixels(page, 0),
            page.evaluate("Number(document.querySelector('.stage').dataset.remade ?? 0)"),
        )
        point = page.locator(".stage").nth(stage).locator(".grip[data-point=asis_left]")
        drag(page, point, *((0, -24) if stage == 0 else (30, 0)))
        until(page, f"Number(document.querySelector('.stage').dataset.remade) > {remade}")
        saved(page)
        assert pixels(page, 0) != before
    page.keyboard.press("a")
    saved(page)


def correct_a_box(page: Page) -> None:
    page.evaluate("location.hash = 'boxes/1'")
    page.wait_for_selector("rect.box.left.chosen")
    drag(page, page.locator("rect.box.left.movable"), 30, 12)
    saved(page)
    page.keyboard.press("m")
    saved(page)
    page.keyboard.press("a")
    saved(page)


def grade(page: Page, first: int, grades: list[int]) -> None:
    for number, kl in enumerate(grades, first):
        page.wait_for_selector(f".stage[data-hip='{number}']")
        page.keyboard.press(str(kl))
        saved(page)


def review_until_killed(page: Page, folder: Path, options: tuple[str, ...]) -> None:
    with served(folder, *options) as server:
        page.goto(server.address)
        page.wait_for_selector(".card img")
        assert page.url == f"http://127.0.0.1:{server.port}/"
        correct_the_flagged_pose(page)
        correct_a_box(page)
        page.keyboard.press("g")
        grade(page, 0, GRADES[:12])
        server.kill()
        page.keyboard.press("4")
        page.wait_for_selector("#status.wrong")
        told(page, "status", "does not answer")


def review_the_rest(page: Page, folder: Path, options: tuple[str, ...]) -> list[dict[str, str]]:
    """The hips in the order in which they were graded."""
    with served(folder, *options) as server:
        page.goto(server.address)
        page.wait_for_selector(".card")
        told(page, "progress", "12 of 24 graded")
        page.keyboard.press("g")
        grade(page, 12, GRADES[12:23])
        page.wait_for_selector(".stage[data-hip='23']")
        page.keyboard.press("x")
        page.get_by_role("button", name="prosthesis").click()
        told(page, "progress", "24 of 24 graded")
        page.keyboard.press("u")
        told(page, "progress", "23 of 24 graded")
        until(page, "document.querySelector('[aria-pressed=true]') === null")
        page.keyboard.press(str(GRADES[23]))
        told(page, "progress", "24 of 24 graded")
        assert PATIENT not in page.content()
        page.get_by_role("button", name="Export").click()
        told(page, "status", "written")
        order = page.evaluate("fetch('/api/cohort').then(r => r.json()).then(c => c.order)")
    assert PATIENT not in "".join(server.told)
    return order


def test_a_reader_reviews_a_cohort_and_what_was_made_is_read_back(
    page: Page, tmp_path: Path
) -> None:
    folder, scans = make_cohort(tmp_path, patients=12, flagged=FLAGGED)
    options = ("--scans", str(scans), "--reader", "anna", "--repeat", "0", "--seed", "7")

    review_until_killed(page, folder, options)
    order = review_the_rest(page, folder, options)

    actions = [entry.action for entry in journals_in(folder / "review")["anna"]]
    counts = Counter(type(action) for action in actions)
    assert (counts[Graded], counts[Posed], counts[Boxed]) == (25, 2, 2)
    assert [one.verdict for one in actions if isinstance(one, Judged)] == ["accepted"]
    cohort = read_cohort(folder)
    names = {case.key: case.name for case in cohort}
    manifest = rhoa.cohort.read(folder / "review" / "anna" / "manifest.csv")
    assert {(hip.subject, hip.side): hip.kl for hip in manifest} == {
        (names[one["case"]], one["side"]): kl for one, kl in zip(order, GRADES, strict=True)
    }
    (moved,) = (folder / "review" / "anna" / "landmarks").glob(f"*-{FLAGGED:02d}-*.json")
    away = (
        rhoa.Landmarks.from_json(moved).asis_left
        - cohort.cases[FLAGGED - 1].found.landmarks.asis_left
    )
    assert away[2] > 5  # up, in the front view
    assert away[1] > 5  # back, in the side view
    assert {hip.partition for hip in manifest.split(seed=3)} == {"train", "val", "test"}


def test_what_files_say_of_a_case_is_text_on_the_page(page: Page, tmp_path: Path) -> None:
    """Flags and refusals come from files that anyone may have written."""
    hostile = "<img src=x onerror=alert(1)></span><script>alert(1)</script>\"'&lt;"
    folder, _ = make_cohort(tmp_path, patients=1)
    (place,) = (file.parent for file in folder.glob("*/boxes.json"))
    rows = json.loads((place / "boxes.json").read_text())
    rows[0] |= {"refused": f"refusal {hostile}", "flags": [f"mark {hostile}"]}
    (place / "boxes.json").write_text(json.dumps(rows))
    pose = json.loads((place / "pose.json").read_text())
    (place / "pose.json").write_text(json.dumps(pose | {"flags": [f"flag {hostile}"]}))

    with served(folder, "--reader", "anna") as server:
        page.goto(server.address)
        page.wait_for_selector(".card")
        texts = page.evaluate("document.querySelector('.card').innerText")
        parts = page.evaluate("[...document.querySelectorAll('[onerror], img[src=x]')].length")

    assert parts == 0
    for name in ("refusal", "mark", "flag"):
        assert f"{name} {hostile}" in texts
